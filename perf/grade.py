r"""How fast are 5,000 MATH and 1,319 GSM8K answers graded, beside a plain loop over Math-Verify?

    python perf/grade.py

Three ways, each in a process of its own, imports included, in turn and `--repeat` times; the median
counts:

    loop, completions    verify(parse(right answer), parse(completion)), one after another
    loop, answers        the same on the answers that this project has found in the completions
    ours                 the protocols' own grade(), with 1 and 2 workers

The completions are real solutions from $AGORABENCH_DATA. Of MATH's, a third are the item's own, a
third have the answer written otherwise, and a third are those of another item of the same subject;
GSM8K's are a model's, with 742 right. Prints a Markdown table and writes
perf/results/grade.json; `other` counts verdicts that differ from the loop over answers.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "scripts"))

DATA = Path(os.environ.get("AGORABENCH_DATA", ROOT.parent / "shared" / "data"))
WAYS = ("loop, completions", "loop, answers", "ours, 1 worker", "ours, 2 workers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "grade.json")
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(args.run)))
        return
    if not DATA.is_dir():
        sys.exit(f"no {DATA}; set AGORABENCH_DATA")
    runs = {way: [] for way in args.only}
    for _ in range(args.repeat):
        for way, found in runs.items():
            command = [sys.executable, __file__, "--run", way]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(ended.stdout.splitlines()[-1]))
            print(way, found[-1]["seconds"], file=sys.stderr)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"when": time.strftime("%Y-%m-%d"), "runs": runs}) + "\n")
    print("| way | MATH, s | GSM8K, s | together | right | other |\n|---|--:|--:|--:|--:|--:|")
    for way, found in runs.items():
        math, gsm8k = (
            statistics.median(one["seconds"][name] for one in found) for name in ("math", "gsm8k")
        )
        right = " + ".join(str(sum(found[0]["verdicts"][name])) for name in ("math", "gsm8k"))
        times = f"{math:.1f} | {gsm8k:.1f} | {math + gsm8k:.1f}"
        print(f"| {way} | {times} | {right} | {other(runs, way)} |")


def other(runs, way):
    """Verdicts on MATH that differ from those of the plain loop over the same answers."""
    if "loop, answers" not in runs:
        return ""
    mine, plain = (runs[one][0]["verdicts"]["math"] for one in (way, "loop, answers"))
    return sum(a != b for a, b in zip(mine, plain, strict=True))


def run(way):
    """Seconds and verdicts of one way."""
    from agorabench.evaluation.benchmarks import gsm8k, math

    seconds, verdicts = {}, {}
    for protocol, (items, completions) in ((math, math_answers()), (gsm8k, gsm8k_answers())):
        name = protocol.__name__.rpartition(".")[2]
        start = time.monotonic()
        if way.startswith("ours"):
            found = protocol.grade_items(items, completions, Workers(int(way.split()[1])))
            verdicts[name] = [bool(one["score"]) for one in found]
        elif way == "loop, completions" or protocol is gsm8k:
            verdicts[name] = loop(
                [str(item["answer"]) for item in items], completions, math.as_boxed
            )
        else:
            right = [math.answer_expression(item["answer"]) for item in items]
            verdicts[name] = loop(
                right, [math.extract_answer(text)[2] for text in completions], str
            )
        seconds[name] = time.monotonic() - start
    return {"seconds": seconds, "verdicts": verdicts}


class Workers:
    def __init__(self, workers):
        self.workers = workers


def loop(right, answers, form):
    """Math-Verify as its README shows it."""
    from math_verify import parse, verify

    return [
        bool(verify(parse(form(one)), parse(answer)))
        for one, answer in zip(right, answers, strict=True)
    ]


def rows(path):
    return [json.loads(line) for line in (DATA / path).read_text(encoding="utf-8").splitlines()]


def math_answers():
    from agorabench.evaluation.benchmarks import math

    published = rows("math/test.jsonl")
    items, chosen, completions = math.read_items(published), random.Random(1), []
    subjects = {}
    for row in published:
        subjects.setdefault(row["type"], []).append(row["solution"])
    for number, (row, item) in enumerate(zip(published, items, strict=True)):
        text = row["solution"]
        if number % 3 == 1:
            text = text.replace(f"{{{item['answer']}}}", f"{{{otherwise(item['answer'])}}}")
        elif number % 3 == 2:
            text = chosen.choice(subjects[row["type"]])
        completions.append(text)
    return items, completions


def otherwise(answer):
    """The same answer, written as a model might."""
    for ours, theirs in ((r"\frac", r"\dfrac"), (r"\left", ""), (r"\%", ""), ("^", "^ ")):
        if ours in answer and theirs not in answer.replace(ours, ""):
            return answer.replace(ours, theirs).replace(
                r"\right", "" if ours == r"\left" else r"\right"
            )
    return (
        f"x = {answer}"
        if answer.isdigit()
        else f"{answer}.0"
        if answer[1:].isdigit()
        else answer + " "
    )


def gsm8k_answers():
    from agorabench.evaluation.benchmarks import gsm8k

    solutions = rows("math_outputs/gsm8k_openai_example_solutions.jsonl")
    items = gsm8k.read_items(rows("gsm8k/test.jsonl"))
    return items, [row["175b_verification"]["solution"] for row in solutions]


if __name__ == "__main__":
    main()
