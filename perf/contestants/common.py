"""What every contestant of the generation benchmark is given, and what it gives back.

    python perf/contestants/bare_aiohttp.py http://127.0.0.1:8000/v1 prompts.jsonl 64 replies

Standard library only: contestants run in environments of their own.
"""

import json
import sys
from pathlib import Path

KEY = "test-key"  # that the loopback server accepts
MODEL = "gpt-4o-mini"  # a name that price tables know, so that those who count costs can
SAMPLING = {"max_tokens": 1024, "temperature": 1.0}


def task():
    """The command line: (url, prompts as a list of str, concurrency, path for the replies)."""
    url, prompts, concurrency, output = sys.argv[1:]
    with open(prompts, encoding="utf-8") as lines:
        prompts = [json.loads(line)["instruction"] for line in lines]
    return url, prompts, int(concurrency), Path(output)


def save(replies, output):
    """Write the replies (an iterable of str), one JSON string a line, for the driver to check."""
    with open(output, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(reply) + "\n" for reply in replies)
