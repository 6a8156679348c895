"""After a run with failures: why each job failed, and tables and report of what there is.

Where tables or the report could not be made because some models have no scores, the same rules make
them of the others, with a config that names under `missing` what is left out. The next run of the
user's own config makes them anew, for it has other parameters.
"""

import copy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from agorabench import matrix, paths
from agorabench.cluster import locks

ENDINGS = ("aggregate", "analyse", "plot", "report")  # rules that cost nothing, by their verbs
MOST_NAMED = 3  # jobs that failed for one reason


def explain_failures(jobs) -> str:
    """The failed jobs with the sentences that they ended with, of `jobs` (rule, output, log)."""
    reasons = defaultdict(list)
    for rule, output, log in jobs:
        reasons[last_sentence(log)].append(f"{rule} {output} (log: {log})")
    lines = [f"{len(jobs)} jobs failed:" if len(jobs) > 1 else "1 job failed:"]
    for sentence, names in reasons.items():
        more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
        lines += [f"  {sentence}", *(f"    {name}" for name in [*names[:MOST_NAMED], *more])]
    return "\n".join(lines)


def last_sentence(log: str) -> str:
    """The last line of a log that is an error of ours, else its last line."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "it left no log"
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["its log is empty"])[-1]


def leave_out(config: dict, unmade: set[str]) -> dict | None:
    """A config of what is whole without the files `unmade`; None if nothing is left out, or all."""
    config = copy.deepcopy(config)
    missing = config["missing"]
    before = list(missing)

    def lacks(evaluated):
        return any(paths.score(*pair) in unmade for pair in evaluated)

    # A benchmark without an answer of a base or reference tells of no student.
    for domain in config["domains"]:
        names = matrix.scored_benchmarks(config, domain)
        students = {run.student for run in matrix.expand_runs(config) if run.domain == domain}
        anchors = [
            model
            for student in students
            for model in matrix.anchor_models(config, student, domain).values()
        ]
        lacking = [name for name in names if lacks((anchor, name) for anchor in anchors)]
        for name in lacking if len(lacking) < len(names) else ():
            del config["benchmarks"][name]
            missing.append(f"benchmarks/{name}")
    for run in matrix.expand_runs(config):
        models = (run.model, *matrix.anchor_models(config, run.student, run.domain).values())
        names = matrix.scored_benchmarks(config, run.domain)
        files = {paths.raw_replies(run.cell), paths.set_ledger(run.cell), paths.set_audit(run.cell)}
        if files & unmade or lacks((model, name) for model in models for name in names):
            missing.append(run.model)
    for generator in matrix.solving_generators(config):
        if lacks(matrix.ability_evaluations(config, [generator])):
            missing.append(paths.generator_model(generator))
    for name, entry in list(config["intrinsic"].items()):
        judge, cells = entry.get("judge"), matrix.list_cells(config)
        place = paths.assessments if judge else paths.metric
        if any(place(judge or name, cell) in unmade for cell in cells):
            del config["intrinsic"][name]
            missing.append(f"intrinsic/{name}")
    for name, sources in matrix.made_metrics(config).items():
        if not config["intrinsic"].keys() >= set(sources):
            del config["intrinsic"][name]
            missing.append(f"intrinsic/{name}")
    return config if missing != before and matrix.expand_runs(config) else None


def make_partial(config: dict, targets: list[str], rules: list[str], snakefile: str) -> str:
    """Make targets of a config that leaves something out; return what became of it, in words."""
    snapshot = locks.write_snapshot(config | {"warm": False})
    command = [sys.executable, "-m", "snakemake", *targets, "--snakefile", snakefile]
    command += ["--allowed-rules", *rules, "--configfile", str(snapshot), "--nocolor"]
    log = Path("logs/partial.log")
    log.parent.mkdir(exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    names = ", ".join(config["missing"][:MOST_NAMED])
    if len(config["missing"]) > MOST_NAMED:
        names += f" and {len(config['missing']) - MOST_NAMED} more"
    made = "could not be made" if status else "are made"
    return f"Tables and report {made} without {names} (log: {log}); the next run completes them."
