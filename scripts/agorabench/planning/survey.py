"""What is due, and what is known of it: journals are read, and jobs that ask run dry."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from agorabench import matrix, paths
from agorabench.errors import UserError
from agorabench.files import read_json, read_jsonl
from agorabench.llm.budget import rows_cost
from agorabench.llm.journal import read_rows
from agorabench.planning.dry_run import open_query, run_dry, unknown_inputs

FREE = {"input": 0.0, "output": 0.0}
SCRIPTS = Path(__file__).resolve().parents[2]


def stale_jobs(config, snakefile=None, targets=()) -> list[dict]:
    """Jobs that a run would do now: dictionaries with rule, wildcards, reason and output (paths).

    Raises:
        UserError: a run would not get as far as its first job.
    """
    with tempfile.TemporaryDirectory(prefix="agorabench-") as folder:
        chosen, listed = Path(folder, "config.json"), Path(folder, "jobs.jsonl")
        chosen.write_text(json.dumps(config), encoding="utf-8")
        listed.touch()
        # Targets first: other options take all words that follow them.
        command = [sys.executable, "-m", "snakemake", *targets, "--dry-run", "--nocolor"]
        command += ["--snakefile", str(snakefile or SCRIPTS.parent / "Snakefile")]
        command += ["--configfile", str(chosen), "--logger", "agorabench"]
        ended = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS), "AGORABENCH_JOBS": str(listed)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if ended.returncode:
            lines = ended.stdout.strip().splitlines()
            raise UserError(f"Snakemake cannot plan a run: {' '.join(lines[-2:])}")
        jobs = [job for job in read_jsonl(listed) if job["output"]]  # no aggregates, such as all
    return sorted(jobs, key=lambda job: (job["rule"], job["output"]))


@dataclass
class Known:
    """What journals and dry runs say; a Counter of a journal is that of `count_journal`.

    Attributes:
        journals: path -> Counter.
        kinds: kind of journal (paths.JournalPath) -> Counter of all its journals; of sets also the
            "accepted" pairs of the "judged" replies of those that were made last.
        asked: first output of a job -> Asked, of jobs that can run dry.
        spent: generator -> USD.
        remade: files that the run will make, or make anew.
    """

    journals: dict = field(default_factory=lambda: defaultdict(Counter))
    kinds: dict = field(default_factory=lambda: defaultdict(Counter))
    asked: dict = field(default_factory=dict)
    spent: Counter = field(default_factory=Counter)
    remade: frozenset = frozenset()
    _counted: Counter = field(default_factory=Counter)

    def count_once(self, what, number):
        """What of a number of requests exceeds those that jobs before ask for, of the same."""
        new = max(number - self._counted[what], 0)
        self._counted[what] += new
        return new


def survey(config, jobs, threads=1) -> Known:
    """All that is known; journals are read and jobs run dry `threads` at a time."""
    known = Known(remade=frozenset(chain.from_iterable(job["output"] for job in jobs)))
    sets, generators = paths.list_journals(), config["generators"]
    owners = {path: name.generator for path, name in sets.items() if name.generator in generators}
    owners |= {
        paths.classification_journal(chosen["prompt"]): chosen["generator"]
        for chosen in matrix.classifications(config)
    }
    prices = [generators[name].get("price", FREE) for name in owners.values()]
    queries = {job["output"][0]: (job, open_query(config, job)) for job in jobs}
    dry = {
        output: job
        for output, (job, query) in queries.items()
        if query and not unknown_inputs(config, query, known.remade)
    }
    with ProcessPoolExecutor(max(1, min(threads, len(owners) + len(dry)))) as pool:
        asked = pool.map(partial(run_dry, config), dry.values())
        counts = pool.map(count_journal, owners, prices)
        known.journals.update(zip(owners, counts, strict=True))
        known.asked.update(zip(dry, asked, strict=True))
    for path, name in owners.items():
        known.spent[name] += known.journals[path]["usd"]
        if path in sets:
            known.kinds[sets[path].kind].update(known.journals[path])
    return known


def count_journal(path, price) -> Counter:
    """Replies of a journal; those "with_usage", and the sums of their "input" and "output" tokens;
    "usd", what replies and faults have cost; of a set, see `Known.kinds`."""
    counts = Counter()
    for row in read_rows(path):
        counts["usd"] += rows_cost([row], price)
        if "fault" not in row:
            counts["replies"] += 1
            if usage := row.get("usage"):
                counts.update(with_usage=1, input=usage["input"], output=usage["output"])
    ledger = Path(paths.journal_ledger(path))
    if ledger.exists():
        made = read_json(ledger)["set"]
        counts.update(accepted=made["valid"], judged=made["replies"])
    return counts
