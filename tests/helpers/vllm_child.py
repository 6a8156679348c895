"""Ask vLLM in an environment that has it: `vllm_child.py < work.json`, a test's hand.

The work is {"entry", "batch_size", "requests", "late", "journal"}: the last `late` requests join
the queue one by one, each when another has been answered.
"""

import json
import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from agorabench.cli import run_program
from agorabench.llm import connect
from agorabench.llm.journal import Journal


def main():
    work = json.load(sys.stdin)
    backend = connect(work["entry"], batch_size=work["batch_size"])
    with Journal(work["journal"]) as journal:
        asked = [row for row in work["requests"] if row["fingerprint"] not in journal]
        first = len(asked) - work["late"]
        queue, later = deque(asked[:first]), deque(asked[first:])
        for rows in backend.complete(queue):
            journal.add(rows)
            for _ in rows:
                if later:
                    queue.append(later.popleft())
    backend.close()


if __name__ == "__main__":  # vLLM starts processes that import this file
    run_program(main)
