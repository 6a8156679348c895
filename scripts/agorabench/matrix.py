"""The matrix: experiments' axes -> runs -> paths. Standard library only; the Snakefile reads it."""

import ast
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

DOMAINS = ("math", "code", "instruction")
METHODS = ("instance", "response", "enhancement")
ANCHORS = ("base", "reference")  # the two models every student is measured against
LOCAL = ("transformers", "vllm")  # backends that load a model themselves
NO_PROMPT = "none"  # the prompt coordinate of a data set, which is asked nothing


@dataclass(frozen=True)
class Run:
    """One student: what it is, and the coordinates of the data it is trained on."""

    student: str
    domain: str
    method: str
    generator: str
    prompt: str
    size: int
    seed: int

    @property
    def cell(self):
        """Path of the generated set, without a folder or an ending."""
        place = f"{self.domain}/{self.method}/{self.generator}/{self.prompt}"
        return f"{place}/n{self.size}-seed{self.seed}"

    @property
    def model(self):
        """Path of the trained student, its predictions and its scores, likewise."""
        return f"{self.student}/{self.cell}"

    @property
    def journal(self):
        """Path of the generated set's journal, which sets of other sizes share."""
        place = f"{self.domain}/{self.method}/{self.generator}/{self.prompt}"
        return f"journal/{place}/seed{self.seed}.jsonl"


# Arguments of vLLM's engine that change how fast it is, and not what it says.
SPEED = [
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "swap_space",
    "cpu_offload_gb",
    "block_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "async_scheduling",
    "enforce_eager",
    "compilation_config",
    "disable_log_stats",
    "distributed_executor_backend",
    "pipeline_parallel_size",
    "max_parallel_loading_workers",
    "download_dir",
    "load_format",
]


def decisive(entry, replies="text"):
    """What of a generator's entry decides its replies: nothing else makes a set stale.

    `replies` is the form that the meta-prompt asks for, "text" or "json".
    """
    keys = ["backend", "model", "sampling", *(["structured"] if replies == "json" else [])]
    kept = {key: entry[key] for key in keys if key in entry}
    if entry.get("extra"):
        kept["extra"] = entry["extra"]
    engine = {key: value for key, value in entry.get("engine", {}).items() if key not in SPEED}
    if engine:
        kept["engine"] = engine
    return kept


def runs(config):
    """Every run of every experiment, once, in the order of the config."""
    found = {}
    for experiment in config["experiments"].values():
        axes = ("students", "domains", "methods", "generators", "prompts", "sizes", "seeds")
        for student, domain, method, generator, prompt, size, seed in product(
            *(experiment[axis] for axis in axes)
        ):
            if config["generators"][generator]["backend"] == "dataset":
                prompt = NO_PROMPT
            run = Run(student, domain, method, generator, prompt, size, seed)
            found[run] = None
    return list(found)


def asked(config):
    """Names of the generators that are asked: no data sets, and no mixtures of others."""
    return [
        name
        for name, entry in config["generators"].items()
        if entry["backend"] not in ("dataset", "mixture")
    ]


def asks(config, experiment):
    """Is a generator of the experiment asked for replies, which takes seeds and prompts?"""
    return any(
        config["generators"][name]["backend"] != "dataset" for name in experiment["generators"]
    )


def mixtures(config):
    """Names of the generators that are mixtures of others."""
    return [name for name, entry in config["generators"].items() if entry["backend"] == "mixture"]


def parts(config, run):
    """[(share, Run)] of the sets that a run's set is taken from: itself, but for a mixture."""
    shares = config["generators"][run.generator].get("of", {run.generator: 1.0})
    return [(share, replace(run, generator=name)) for name, share in sorted(shares.items())]


def references(config):
    """Further references -> the students of experiments that have them."""
    found = {}
    for student in dict.fromkeys(run.student for run in runs(config)):
        for name in config["students"][student]["references"]:
            found.setdefault(name, []).append(student)
    return found


def further(reference):
    """The further reference's name as an anchor, beside those of ANCHORS."""
    return f"reference-{reference}"


def benchmarks(config, domain=None):
    """Names of the scored benchmarks of a domain, or of all, in the order of the config."""
    return [
        name
        for name, entry in config["benchmarks"].items()
        if domain in (None, entry["domain"]) and entry["protocol"] != "unscored"
    ]


def solved(config):
    """Names of the benchmarks that generators solve: the scored ones of experiments' domains."""
    domains = {name for chosen in config["experiments"].values() for name in chosen["domains"]}
    return [name for name in benchmarks(config) if config["benchmarks"][name]["domain"] in domains]


def judgements(benchmark, judge, model, seed):
    """Path of the journal of what a judge said of a model's completions of a benchmark."""
    # As deep as the journals of sets, and the asked one at the same place: the budget looks there.
    return f"journal/judge/{benchmark}/{judge}/{model.replace('/', '--')}/seed{seed}.jsonl"


def abilities(generator, domain, seed):
    """Path of the journal of what a generator answered to the benchmarks of a domain."""
    return f"journal/ability/{domain}/{generator}/benchmarks/seed{seed}.jsonl"


def judges(config):
    """Names of the generators that judge, completions of a scored benchmark or generated sets."""
    named = [config["benchmarks"][name].get("judge") for name in benchmarks(config)]
    named += [config["intrinsic"][name]["judge"] for name in assessments(config)]
    return list(dict.fromkeys(filter(None, named)))


def assessments(config, judge=None):
    """Names of the intrinsic metrics that a judge scores, or that any does."""
    return [
        name
        for name, entry in config["intrinsic"].items()
        if entry["measure"] == "judged" and judge in (None, entry["judge"])
    ]


def measurements(config):
    """Names of the other intrinsic metrics, which models measure without a judge."""
    return [name for name in config["intrinsic"] if name not in assessments(config)]


def rubrics(folder, domain):
    """Files that the question to a judge is made of: the prompt, and the domain's rubric."""
    return [f"{folder}/prompt.md", f"{folder}/{domain}.md"]


def assessed(run, judge):
    """Path of the journal of what a judge said of a set, which sets of other sizes share."""
    place = f"{run.method}--{run.generator}--{run.prompt}"
    return f"journal/assess/{run.domain}/{judge}/{place}/seed{run.seed}.jsonl"


def verdicts(prompt):
    """Path of the journal of what is classified with a meta-prompt (a file)."""
    return f"journal/classify/{Path(prompt).stem}.jsonl"


def classifications(config):
    """Journals of the classifications of seed data -> names of the generators that are asked."""
    sources = [chosen for methods in config["seeds"].values() for chosen in methods.values()]
    parts = [part for chosen in sources for part in chosen.get("parts", {"": chosen}).values()]
    return {
        verdicts(chosen["prompt"]): chosen["generator"]
        for chosen in (part.get("classify") for part in parts)
        if chosen
    }


def sources(program, *more, root="scripts"):
    """Files of this project that a script consists of, found by its import statements.

    `more` names modules that are imported by name at run time, as paths below `root`.
    """
    root = Path(root)
    waiting, found = [f"{program}.py", *more], set()
    while waiting:
        path = waiting.pop()
        if path in found or not (root / path).is_file():
            continue
        found.add(path)
        waiting += _imported(root / path)
    return sorted(str(root / path) for path in found)


@cache
def _imported(path):
    """Where the modules that a file imports would lie, below the root of its imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        for name in names:
            place = name.replace(".", "/")
            found += [f"{place}.py", f"{place}/__init__.py"]
    return found
