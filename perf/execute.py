r"""How long does executing all of HumanEval+ and MBPP+ take, beside EvalPlus's own command?

    python perf/execute.py

The programs are real: for HumanEval+ a model's own (87 of 164 pass), for MBPP+ the right solutions.
Each way is a command of its own, imports included, with two workers, in turn and `--repeat` times;
the median counts:

    evalplus, first    evalplus.evaluate, which also runs the right solutions for what is expected
    evalplus, again    the same with what is expected in its cache
    ours               the protocols' own grade() in the sandbox, which runs both each time

Data are real, from $AGORABENCH_DATA. Prints a Markdown table and writes
perf/results/execute.json; `passed` is base and plus.
"""

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "scripts"))

DATA = Path(os.environ.get("AGORABENCH_DATA", ROOT.parent / "shared" / "data"))
FILES = {
    "humaneval": DATA / "humaneval" / "HumanEvalPlus-v0.1.9.jsonl.gz",
    "mbpp": DATA / "mbpp" / "MbppPlus-v0.2.0-derived.jsonl",
}
SAMPLES = DATA / "code_outputs" / "7b-base_humaneval_eval_results.json"
WAYS = ("evalplus, first", "evalplus, again", "ours")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "execute.json")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)  # data set, file of samples
    args = parser.parse_args()
    if args.run:
        ours(*args.run)
        return
    if not DATA.is_dir():
        sys.exit(f"no {DATA}; set AGORABENCH_DATA")
    runs = {name: {way: [] for way in WAYS} for name in FILES}
    for _ in range(args.repeat):
        for name in FILES:
            for way, found in measured(name).items():
                runs[name][way].append(found)
                print(name, way, found, file=sys.stderr)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"when": time.strftime("%Y-%m-%d"), "runs": runs}) + "\n")
    print("| way | HumanEval+, s | passed | MBPP+, s | passed |\n|---|--:|--:|--:|--:|")
    for way in WAYS:
        cells = []
        for name in FILES:
            found = runs[name][way]
            seconds = statistics.median(one["seconds"] for one in found)
            passed = sorted({tuple(one["passed"]) for one in found})
            cells += [f"{seconds:.1f}", "; ".join(f"{base}, {plus}" for base, plus in passed)]
        print(f"| {way} | {' | '.join(cells)} |")


def measured(name):
    """Way -> {"seconds", "passed": [base, plus]} for one data set."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        tasks, samples = folder / "tasks.jsonl", folder / "samples.jsonl"
        tasks.write_text("".join(json.dumps(row) + "\n" for row in rows(name)))
        samples.write_text("".join(json.dumps(row) + "\n" for row in programs(name)))
        official = [sys.executable, "-m", "evalplus.evaluate", "--dataset", name]
        official += ["--samples", str(samples), "--parallel", "2", "--i-just-wanna-run"]
        environment = os.environ | {
            f"{name.upper()}_OVERRIDE_PATH": str(tasks),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        mine = [sys.executable, __file__, "--run", name, str(samples)]
        return {
            way: timed(command, environment)
            for way, command in zip(WAYS, (official, official, mine), strict=True)
        }


def timed(command, environment):
    """Run a command that tells pass@1 of base and plus, or their numbers."""
    begun = time.monotonic()
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        input="Y\n",  # it asks before it writes its results again
    )  # fmt: skip
    seconds = round(time.monotonic() - begun, 2)
    shares = [float(text) for text in re.findall(r"pass@1:\s*([\d.]+)", ended.stdout)]
    if ended.returncode or len(shares) != 2:
        sys.exit(f"{command} failed:\n{ended.stdout[-2000:]}")
    return {"seconds": seconds, "passed": shares}


def rows(name):
    """EvalPlus's rows of a data set."""
    path = FILES[name]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def programs(name):
    """A program for each task: {"task_id", "solution"}."""
    if name == "humaneval":
        stored = json.loads(SAMPLES.read_text())["eval"]
        return [
            {"task_id": task, "solution": found[0]["solution"]} for task, found in stored.items()
        ]
    return [
        {"task_id": row["task_id"], "solution": row["prompt"] + row["canonical_solution"]}
        for row in rows(name)
    ]


def ours(name, samples):
    """Grade the samples and tell the same as EvalPlus."""
    from agorabench import sandbox
    from agorabench.evaluation import grading
    from agorabench.evaluation.benchmarks import humaneval_plus, mbpp_plus
    from agorabench.files import read_jsonl

    def execute(programs, limits=grading.LIMITS, workers=2):
        return list(
            sandbox.run_many(programs, workers, limits, sandbox.choose_isolation("isolated"))
        )

    module = {"humaneval": humaneval_plus, "mbpp": mbpp_plus}[name]
    items = module.read_items(rows(name))
    codes = {row["task_id"]: row["solution"] for row in read_jsonl(samples)}
    graded = module.grade_items(items, [codes[item["id"]] for item in items], execute)
    for which in ("base", "score"):
        print(f"pass@1: {sum(row[which] for row in graded) / len(graded):.3f}")


if __name__ == "__main__":
    main()
