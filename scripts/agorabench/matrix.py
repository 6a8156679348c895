"""The matrix: experiments' axes -> runs. Light, because the Snakefile reads it in every job.

A cell is one generated set; a run is a student trained on a cell.
"""

import re
from dataclasses import dataclass, replace
from itertools import product

ANCHORS = ("base", "reference")  # the two models every student is measured against
LOCAL = ("transformers", "vllm")  # backends that load a model themselves
NO_PROMPT = "none"  # the prompt coordinate of a data set, which is asked nothing


@dataclass(frozen=True)
class Cell:
    """One generated set; as text, its path below the folders of results, without an ending."""

    domain: str
    method: str
    generator: str
    prompt: str
    size: int
    seed: int

    def __str__(self):
        place = f"{self.domain}/{self.method}/{self.generator}/{self.prompt}"
        return f"{place}/n{self.size}-seed{self.seed}"

    @classmethod
    def parse(cls, text):
        """The cell of DOMAIN/METHOD/GENERATOR/PROMPT/nSIZE-seedSEED. Raises ValueError."""
        found = re.fullmatch(r"([^/]+)/([^/]+)/([^/]+)/([^/]+)/n(\d+)-seed(\d+)", text)
        if not found:
            form = "DOMAIN/METHOD/GENERATOR/PROMPT/nSIZE-seedSEED"
            raise ValueError(f"'{text}' is not a cell: {form}")
        *words, size, seed = found.groups()
        return cls(*words, int(size), int(seed))

    @classmethod
    def of(cls, wildcards):
        """The cell of a job's wildcards (attributes or keys, as text)."""
        read = wildcards.get if hasattr(wildcards, "get") else lambda name: getattr(wildcards, name)
        words = [read(name) for name in COORDINATES]
        return cls(*words[:4], int(words[4]), int(words[5]))


COORDINATES = tuple(Cell.__dataclass_fields__)  # of a cell, in the order of its path
Cell.WILDCARDS = Cell(*(f"{{{name}}}" for name in COORDINATES))  # for the outputs of rules


@dataclass(frozen=True)
class Run(Cell):
    """A cell, and the student that is trained on it."""

    student: str

    @property
    def cell(self):
        """The Cell."""
        return Cell(*(getattr(self, name) for name in COORDINATES))

    @property
    def model(self):
        """The student's name among models (paths.parse_model)."""
        return f"{self.student}/{self.cell}"


def expand_runs(config):
    """Every Run of every experiment that is not `missing`, once, in the order of the config."""
    axes = ("students", *(f"{name}s" for name in COORDINATES))
    runs = {}
    for experiment in config["experiments"].values():
        for student, *place in product(*(experiment[axis] for axis in axes)):
            run = Run(*place, student)
            if config["generators"][run.generator]["backend"] == "dataset":
                run = replace(run, prompt=NO_PROMPT)
            runs[run] = None
    return [run for run in runs if run.model not in config.get("missing", ())]


def list_cells(config):
    """Every Cell that a student is trained on, once, in the order of the config."""
    return list(dict.fromkeys(run.cell for run in expand_runs(config)))


def model_generators(config):
    """Names of the generators backed by a model: no data sets, and no mixtures of others."""
    return [
        name
        for name, entry in config["generators"].items()
        if entry["backend"] not in ("dataset", "mixture")
    ]


def shows_examples(config, method):
    """Does a method show demonstrations, which are drawn anew for every request?"""
    return config["methods"][method]["shows"] == "examples"


def demonstrations(config, method):
    """{"seed", "generated"}: demonstrations that a method shows; None where it shows none."""
    if shows_examples(config, method):
        return config["methods"][method]["demonstrations"] or config["generation"]["demonstrations"]
    return None


def reads_seeds(config, method):
    """Does a method need seed data?"""
    return config["methods"][method]["shows"] != "nothing" or trains_on_seeds(config, method)


def trains_on_seeds(config, method):
    """Are students of a method trained on its seed data too?"""
    return config["methods"][method]["train_on_seeds"] and config["generation"]["train_on_seeds"]


def needs_responses(config, method):
    """Must the seed data of a method have responses, not instructions alone?"""
    entry = config["methods"][method]
    return entry["shows"] in ("examples", "pair") or entry["train_on_seeds"]


def needs_prompts(config, experiment):
    """Is a generator of the experiment asked for replies, which takes seeds and prompts?"""
    return any(
        config["generators"][name]["backend"] != "dataset" for name in experiment["generators"]
    )


def mixture_generators(config):
    """Names of the generators that are mixtures of others."""
    return [name for name, entry in config["generators"].items() if entry["backend"] == "mixture"]


def mixture_parts(config, cell):
    """[(share, Cell)] of the sets that a cell is taken from: itself, but for a mixture."""
    shares = config["generators"][cell.generator].get("of", {cell.generator: 1.0})
    return [(share, replace(cell, generator=name)) for name, share in sorted(shares.items())]


def student_references(config):
    """Further references -> the students of experiments that have them."""
    found = {}
    for student in dict.fromkeys(run.student for run in expand_runs(config)):
        for name in config["students"][student]["references"]:
            found.setdefault(name, []).append(student)
    return found


def reference_anchor(reference):
    """The further reference's name as an anchor, beside those of ANCHORS."""
    return f"reference-{reference}"


def reference_entry(config, student, reference=None):
    """The config entry of a student's reference, or of a further one; None where it has none."""
    entry = config["students"][student]
    return entry["references"][reference] if reference else entry["reference"]


def size_answering(config, student, anchor=None):
    """A student's entry with the parameters and `predict_gpus` of the model that answers: its
    base or a reference where `anchor` names one."""
    entry = config["students"][student]
    further = {reference_anchor(name): one for name, one in entry["references"].items()}
    own = (entry | further).get(anchor) or {}
    hardware = entry["hardware"] | ({"predict_gpus": own["gpus"]} if own.get("gpus") else {})
    size = own.get("parameters") or entry["parameters"]
    return entry | {"hardware": hardware, "parameters": size}


def reference_run(config, student, domain, reference=None):
    """The Run whose student is the reference in a domain; None where it is not trained here."""
    entry = reference_entry(config, student, reference)
    if not entry or "trained_on" not in entry:
        return None
    chosen = [one for one in config["experiments"].values() if student in one["students"]]
    size = entry["size"] or max(size for one in chosen for size in one["sizes"])
    method = next(iter(config["methods"]))  # a data set is the same in all
    return Run(domain, method, entry["trained_on"], NO_PROMPT, size, entry["seed"], student)


def anchor_models(config, student, domain, reference=None):
    """Anchor -> the model that is it in a domain; without the reference where there is none."""
    base, other = ANCHORS
    models = {base: f"{student}/{base}"}
    if run := reference_run(config, student, domain, reference):
        return models | {other: run.model}
    if reference_entry(config, student, reference) is None:
        return models
    return models | {other: f"{student}/{reference_anchor(reference) if reference else other}"}


def scored_benchmarks(config, domain=None):
    """Names of the scored benchmarks of a domain, or of all, in the order of the config."""
    return [
        name
        for name, entry in config["benchmarks"].items()
        if domain in (None, entry["domain"]) and entry["protocol"] != "unscored"
    ]


def asked_benchmarks(config, domain):
    """Names of the scored benchmarks of a domain that a generator can solve: it answers in text,
    and says nothing of likelihoods."""
    names = scored_benchmarks(config, domain)
    return [name for name in names if config["benchmarks"][name].get("by") != "likelihood"]


def ability_benchmarks(config):
    """Names of the benchmarks that generators solve: those of experiments' domains."""
    domains = {name for chosen in config["experiments"].values() for name in chosen["domains"]}
    asked = {name for domain in domains for name in asked_benchmarks(config, domain)}
    return [name for name in config["benchmarks"] if name in asked]


def student_evaluations(config, reference=None):
    """(model, benchmark) of students on their domains' benchmarks, and of their anchors.

    `reference`: a further one, with its students alone.
    """
    students = student_references(config)[reference] if reference else None
    runs = [run for run in expand_runs(config) if students is None or run.student in students]
    models = [(run.model, run.domain) for run in runs]
    models += [
        (model, domain)
        for student, domain in dict.fromkeys((run.student, run.domain) for run in runs)
        for model in anchor_models(config, student, domain, reference).values()
    ]
    pairs = [
        (model, name) for model, domain in models for name in scored_benchmarks(config, domain)
    ]
    return list(dict.fromkeys(pairs))


def all_evaluations(config):
    """`student_evaluations` for the tables of all references."""
    pairs = student_evaluations(config)
    for reference in student_references(config):
        pairs += student_evaluations(config, reference)
    return list(dict.fromkeys(pairs))


def solving_generators(config):
    """Names of the generators of experiments that can solve a benchmark: those that are models."""
    names = dict.fromkeys(run.generator for run in expand_runs(config))
    return [name for name in names if name in model_generators(config)]


def ability_evaluations(config, generators=None):
    """(model, benchmark) of generators (None: all that can) that solve benchmarks themselves."""
    names = solving_generators(config) if generators is None else generators
    names = [name for name in names if f"generators/{name}" not in config.get("missing", ())]
    return [(f"generators/{name}", each) for name in names for each in ability_benchmarks(config)]


def judge_generators(config):
    """Names of the generators that judge, completions of a scored benchmark or generated sets."""
    named = [config["benchmarks"][name].get("judge") for name in scored_benchmarks(config)]
    named += [config["intrinsic"][name]["judge"] for name in judged_metrics(config)]
    return list(dict.fromkeys(filter(None, named)))


def judged_metrics(config, judge=None):
    """Names of the intrinsic metrics that a judge scores, or that any does."""
    return [
        name
        for name, entry in config["intrinsic"].items()
        if entry["measure"] == "judged" and judge in (None, entry["judge"])
    ]


def model_metrics(config):
    """Names of the intrinsic metrics that models measure without a judge."""
    return [name for name, entry in config["intrinsic"].items() if "model" in entry]


def made_metrics(config):
    """Names of the intrinsic metrics that are made of others -> names of these."""
    entries = config["intrinsic"].items()
    made = {name: entry for name, entry in entries if "perplexity" in entry}
    keys = ("perplexity", "reward")
    return {name: [entry[key] for key in keys if key in entry] for name, entry in made.items()}


def seed_parts(source):
    """The sources that make up a seed set, by name: its `parts`, or itself as ""."""
    return source.get("parts", {"": source})


def classification(source):
    """The `classify` entry of a seed set, or None; at most one of its parts has one."""
    parts = seed_parts(source).values()
    return next((part["classify"] for part in parts if part.get("classify")), None)


def classifications(config):
    """The `classify` entries of all seed sets."""
    sources = (source for methods in config["seeds"].values() for source in methods.values())
    return [chosen for chosen in map(classification, sources) if chosen]
