"""From a meta-prompt to exactly N valid pairs.

cells composes a cell's slots from its files; prompts composes their requests; formats parses a
reply into a pair; validators and contamination judge the pair, duplicates the set; slots decides
which request is next.
"""
