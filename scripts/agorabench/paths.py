"""Every path below resources/, journal/ and results/, built and parsed here and nowhere else.

All are relative to the working directory. A builder takes a Cell, a name, or one of Snakemake's
wildcards in its place ("{domain}", or Cell.WILDCARDS), so rules and programs say the same.

    resources/seeds/{domain}/{method}.jsonl      resources/benchmarks/{benchmark}.jsonl
    journal/{domain}/{method}/{generator}/{prompt}/seed{seed}.jsonl         replies of a set
    journal/judge/{benchmark}/{judge}/{model}/seed{seed}.jsonl              of a benchmark's judge
    journal/assess/{domain}/{judge}/{method}--{generator}--{prompt}/seed{seed}.jsonl    of a set's
    journal/ability/{domain}/{generator}/benchmarks/seed{seed}.jsonl        of a generator, solving
    journal/classify/{prompt}.jsonl                                         of a classifier of seeds
    results/{raw,data}/{cell}.jsonl              results/models/{student}/{cell}/
    results/{predictions,judgements}/{model}/{benchmark}.jsonl
    results/scores/{model}/{benchmark}.json      results/intrinsic/{metric}/{cell}.json

A model is {student}/{cell}, {student}/{anchor} or generators/{generator}.
"""

import re
from pathlib import Path
from typing import NamedTuple

from agorabench.matrix import Cell

RESOURCES = "resources/"  # what the pipeline brings or builds before the first cell
JOURNAL = "journal"  # what was paid for; no rule declares or deletes it
RESULTS = "results"
PGR_TABLE = "results/pgr_table.csv"
REPORT = "results/report.html"
DATASET = "results/dataset"  # every set as Parquet, with a card
PREVIEW = "results/preview.html"
PAPER_COMPARISON = "results/paper/comparison.html"
LOCAL_MODELS = "resources/models"  # where the pipeline builds models of its own

# ---- resources/


def seed_rows(domain, method):
    """Seed data of a domain and method."""
    return f"resources/seeds/{domain}/{method}.jsonl"


def benchmark_items(benchmark):
    """The test items of a benchmark."""
    return f"resources/benchmarks/{benchmark}.jsonl"


def benchmark_file(benchmark, name):
    """A further file of a benchmark's protocol: judge, control or baseline."""
    return f"resources/benchmarks/{benchmark}/{name}"


def manifest(path):
    """The manifest beside fetched rows: source, version, licence, sha256."""
    return f"{path.removesuffix('.jsonl')}.manifest.json"


# ---- journal/


class JournalPath(NamedTuple):
    """What a journal's path says: whose replies it holds, and which kind of replies.

    Attributes:
        generator: the generator (or judge) that was queried.
        kind: (domain, method, generator) of a set; its counterparts of other journals. Replies of
            one kind are of similar length.
    """

    generator: str
    kind: tuple


_JOURNALS = f"{JOURNAL}/*/*/*/*/seed*"  # the generator is the third part of each


def set_journal(cell):
    """Replies to the requests of a cell; cells of other sizes share it."""
    place = f"{cell.domain}/{cell.method}/{cell.generator}/{cell.prompt}"
    return f"{JOURNAL}/{place}/seed{cell.seed}.jsonl"


def judge_journal(benchmark, judge, model, seed):
    """Replies of a benchmark's judge to the completions of a model."""
    return f"{JOURNAL}/judge/{benchmark}/{judge}/{model.replace('/', '--')}/seed{seed}.jsonl"


def assessment_journal(cell, judge):
    """Replies of a judge to the examples of a set; cells of other sizes share it."""
    place = f"{cell.method}--{cell.generator}--{cell.prompt}"
    return f"{JOURNAL}/assess/{cell.domain}/{judge}/{place}/seed{cell.seed}.jsonl"


def ability_journal(generator, domain, seed):
    """Replies of a generator that solves the benchmarks of a domain itself."""
    return f"{JOURNAL}/ability/{domain}/{generator}/benchmarks/seed{seed}.jsonl"


def classification_journal(prompt):
    """Replies of a classifier of seed data, asked with a prompt (a file)."""
    return f"{JOURNAL}/classify/{Path(prompt).stem}.jsonl"


def list_journals(root=JOURNAL):
    """{path: JournalPath} of all journals of generators below a folder; not of classifications."""
    found = sorted(Path(root).glob(f"{_JOURNALS.removeprefix(JOURNAL)[1:]}.jsonl"))
    return {str(path): parse_journal(path) for path in found}


def parse_journal(path):
    """The JournalPath of a journal, or of a file beside it, that is not of a classification."""
    *_, first, second, generator, _, _ = Path(path).parts
    return JournalPath(generator, (first, second, generator))


def journal_root(path):
    """The folder of all journals, found from the path of one."""
    path = Path(path)
    return next((folder for folder in path.parents if folder.name == JOURNAL), path.parent)


def open_batches(journal):
    """The file that remembers the batches under way, beside a journal."""
    return Path(journal).with_suffix(".batches")


def list_open_batches(root=JOURNAL):
    """Files of batches under way below a folder, of classifications too."""
    return sorted(Path(root).rglob("*.batches"))


def journal_ledger(journal):
    """Counts of all that became of a journal's requests, beside it."""
    return Path(journal).with_suffix(".ledger.json")


# ---- results/


def raw_replies(cell):
    """Every reply of a cell with its verdict."""
    return f"{RESULTS}/raw/{cell}.jsonl"


def training_set(cell):
    """The pairs of a cell that students are trained on."""
    return f"{RESULTS}/data/{cell}.jsonl"


def set_ledger(cell):
    """Counts of a cell's replies and tokens."""
    return f"{RESULTS}/data/{cell}.ledger.json"


def set_audit(cell):
    """How far a training set repeats itself and the benchmarks."""
    return f"{RESULTS}/data/{cell}.audit.json"


def student_folder(model):
    """The folder of a trained student; its weights.sha256 changes with the weights."""
    return f"{RESULTS}/models/{model}"


def predictions(model, benchmark):
    """Completions of a benchmark's items by a model."""
    return f"{RESULTS}/predictions/{model}/{benchmark}.jsonl"


def judgements(model, benchmark):
    """Verdicts of a benchmark's judge on a model's completions."""
    return f"{RESULTS}/judgements/{model}/{benchmark}.jsonl"


def official_judgements(model, benchmark):
    """The folder of the same verdicts in the formats of the benchmark's own tool."""
    return f"{RESULTS}/judgements/{model}/{benchmark}"


def score(model, benchmark):
    """A model's score on a benchmark, a summary."""
    return f"{RESULTS}/scores/{model}/{benchmark}.json"


def verdicts(model, benchmark):
    """The verdict on every item behind a score."""
    return f"{RESULTS}/scores/{model}/{benchmark}.parquet"


def assessments(judge, cell):
    """A judge's scores of the examples of a set."""
    return f"{RESULTS}/assessments/{judge}/{cell}.jsonl"


def metric(name, cell):
    """An intrinsic metric of a set, measured with a model."""
    return f"{RESULTS}/intrinsic/{name}/{cell}.json"


def metric_examples(name, cell):
    """The metric's value for every example."""
    return f"{RESULTS}/intrinsic/{name}/{cell}.parquet"


def table(name, ending="csv"):
    """A table of results."""
    return f"{RESULTS}/tables/{name}.{ending}"


def figure(name, ending="svg"):
    """A figure of results."""
    return f"{RESULTS}/figures/{name}.{ending}"


def plan(ending="csv"):
    """What a run would do and take."""
    return f"{RESULTS}/plan.{ending}"


def reference_table(reference):
    """The PGR table with a further reference in the place of the usual one."""
    return f"{RESULTS}/references/{reference}.csv"


# ---- models


def student_model(student, cell):
    """The name of a trained student among models."""
    return f"{student}/{cell}"


def generator_model(generator):
    """The name of a generator that solves benchmarks itself among models."""
    return f"generators/{generator}"


class ModelName(NamedTuple):
    """What a model's name says; what it does not is None."""

    student: str | None = None
    cell: Cell | None = None
    anchor: str | None = None
    generator: str | None = None


def parse_model(name):
    """The ModelName of {student}/{cell}, {student}/{anchor} or generators/{generator}.

    Raises:
        ValueError: it is none of them.
    """
    first, _, rest = name.partition("/")
    if not rest:
        raise ValueError(f"'{name}' is not STUDENT/CELL, STUDENT/ANCHOR or generators/GENERATOR")
    if first == "generators":
        return ModelName(generator=rest)
    if re.search("/n[0-9]+-seed[0-9]+$", rest):
        return ModelName(student=first, cell=Cell.parse(rest))
    return ModelName(student=first, anchor=rest)
