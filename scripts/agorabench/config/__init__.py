"""The configuration: its keys, what they refer to, and what decides the result of each stage.

models/       every key once: type, bounds, default, meaning
read          the text of a file, and what is wrong with it, by line
load          a file -> the checked config with all defaults, or a fault and the file it is in
messages      a fault as one sentence
references    names that refer to each other
files         files that it names
json_schema   the models as JSON Schema
shipped       files of config/ in another folder
publish       writes the editor schemas and the table of keys in config/README.md
stages        what decides the result of each stage
changes       what of that has changed, in words
"""

from agorabench.config.load import check_config, load_config

__all__ = ["check_config", "load_config"]
