"""What decides the result of each stage, for its rule and for its program alike.

A stage is a function of the config and of what the job is about; it returns the files that it reads
and the parameters that decide what it makes. A rule declares both, so Snakemake runs a stage again
exactly when one of them has changed; the program computes the same and uses nothing else for its
result. How a result is computed (address, key, mode, money, GPUs, batch size) is not here: programs
look it up in the config, and a change of it makes nothing stale.
"""

import ast
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from agorabench import matrix, paths
from agorabench.config.read import read_shipped
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import JUDGED
from agorabench.evaluation.benchmarks.lm_eval import task_files
from agorabench.intrinsic import scored_metrics
from agorabench.intrinsic.judged import rubric_files
from agorabench.llm.request import deciding_keys
from agorabench.models.weights import DIGEST_FILE, deciding_files, edited_files

PROTOCOL = ("protocol", "limit", "prompt", "choices", "task")  # of items
ANSWERING = (*PROTOCOL, "by", "max_tokens", "temperature", "top_p", "repetition_penalty")
SHOWN = ("shots", "shots_from", "shots_fields")  # to models without a chat template
JUDGING = (*PROTOCOL, "labels", "style", "rubric", "scale", "answer")
SCORING = (*PROTOCOL, "style", "score", "rubric", "answer", "by", "extract", "compare")
METRIC_SPEED = ("batch_size", "parameters", "gpus")  # of a metric's model: how, not what


class Stage(NamedTuple):
    """The input files of a stage by name, each a list of paths, and what else decides it."""

    inputs: dict
    params: dict

    @property
    def text(self):
        """The parameters as text that Snakemake can compare."""
        return json.dumps(self.params, sort_keys=True)


# ---- Seeds and benchmarks


def seeds(config, domain, method):
    """The seed data of a domain and method."""
    source = config["seeds"][domain][method]
    parts = matrix.seed_parts(source).values()
    params = {"version": 1, "source": source, "lock": config["lock"]}
    params["sample_seed"] = config["sample_seed"]
    params |= _own_method(config, method)
    if any(part.get("longest") for part in parts):
        params["tokenizer"] = config["tokenizer"]
    chosen = matrix.classification(source)
    if chosen:
        params["classifier"] = deciding_keys(config["generators"][chosen["generator"]])
    files = [file for part in parts for file in local_file(part)]
    return Stage({"files": files, "prompt": [chosen["prompt"]] if chosen else []}, params)


def benchmark(config, name):
    """The items of a benchmark."""
    source = config["benchmarks"][name]["source"]
    params = {"version": 1, "source": source, "lock": config["lock"]}
    return Stage({"files": local_file(source)}, params)


def benchmark_file(config, name, file):
    """A further file that the protocol of a benchmark needs."""
    source = config["benchmarks"][name]["files"][file]
    params = {"version": 1, "source": source, "lock": config["lock"]}
    return Stage({"files": local_file(source)}, params)


def local_file(source):
    """The local files of a source, or nothing where it has none."""
    return [source["path"]] if "path" in source else task_files(source.get("task", ""))


# ---- Generated sets


def generate(config, cell):
    """The replies of a generator, or the rows of a data set in its place."""
    entry, general = config["generators"][cell.generator], config["generation"]
    generation = {"max_characters": general["max_characters"]}
    checks = general["validators"][cell.domain]
    generation["validators"] = {cell.domain: checks}
    if general["duplicates"] != "keep":
        generation["duplicates"] = general["duplicates"]
    more = [check for check in checks if isinstance(check, dict)]
    if any("runs" in check for check in more):
        generation["sandbox"] = config["sandbox"]
    inputs = {"benchmarks": []}
    if schemas := [check["json"] for check in more if check.get("json", True) is not True]:
        inputs["schemas"] = schemas
    if general["overlap"] == "drop":
        inputs["benchmarks"] = domain_items(config, cell.domain)
        generation |= item_questions(config, cell.domain)
    if entry["backend"] == "dataset":
        data = {cell.domain: entry["data"][cell.domain]}
        inputs["source"] = local_file(entry["data"][cell.domain])
        params = {"generator": deciding_keys(entry) | {"data": data}}
        params |= _own_method(config, cell.method)
        return Stage(inputs, {"version": 1, "generation": generation, **params})
    family = config["prompts"][cell.prompt]
    generation |= {key: general[key] for key in ("attempts", "system")}
    inputs["source"] = generator_weights(config, cell.generator)
    method = config["methods"][cell.method]
    seeds = [paths.seed_rows(cell.domain, cell.method)]
    inputs["seeds"] = seeds if matrix.reads_seeds(config, cell.method) else []
    inputs["prompt"] = [f"{family['folder']}/{cell.method}/{cell.domain}.md"]
    for registry in ("themes", "openings"):
        file = config[registry].get(cell.domain)
        inputs[registry] = [file] if file and method["shows"] in ("examples", "nothing") else []
    if shown := matrix.demonstrations(config, cell.method):
        first = method["first_wave"] or general["first_wave"]
        generation |= {"demonstrations": shown, "first_wave": first}
    params = {"generator": deciding_keys(entry, family["replies"]), "replies": family["replies"]}
    params |= _own_method(config, cell.method)
    return Stage(inputs, {"version": 1, "generation": generation, **params})


def _own_method(config, name):
    """What a method is, unless it is one of the paper as it is: its name says that."""
    method = select(config["methods"][name], ("shows", "reply", "train_on_seeds"))
    shipped = read_shipped()["methods"].get(name, {})
    form = {"instruction": None, "response": None} | shipped.get("reply", {})
    same = {"train_on_seeds": False, **select(shipped, method), "reply": form} == method
    return {} if same else {"method": method}


def mix(config, cell):
    """A mixture of other generators' sets."""
    shares = dict(sorted(config["generators"][cell.generator]["of"].items()))
    raw = [paths.raw_replies(part) for _, part in matrix.mixture_parts(config, cell)]
    duplicates = config["generation"]["duplicates"]
    return Stage({"raw": raw}, {"version": 1, "shares": shares, "duplicates": duplicates})


def curate(config, cell):
    """The training set."""
    written = config["generators"][cell.generator]["backend"] != "dataset"
    trained_on = written and matrix.trains_on_seeds(config, cell.method)
    seed_files = [paths.seed_rows(cell.domain, cell.method)] if trained_on else []
    return Stage({"raw": [paths.raw_replies(cell)], "seeds": seed_files}, {"version": 2})


def audit(config, cell):
    """How far a training set repeats itself and the benchmarks."""
    items = domain_items(config, cell.domain)
    inputs = {"data": [paths.training_set(cell)], "benchmarks": items}
    return Stage(inputs, item_questions(config, cell.domain))


def domain_items(config, domain):
    """The items of all benchmarks of a domain, scored or not."""
    entries = config["benchmarks"].items()
    return [paths.benchmark_items(name) for name, entry in entries if entry["domain"] == domain]


def item_questions(config, domain):
    """{"questions": {benchmark: template of its items' questions}} of those that have one."""
    entries = config["benchmarks"].items()
    found = {name: entry["prompt"] for name, entry in entries
             if entry["domain"] == domain and "prompt" in entry}  # fmt: skip
    return {"questions": found} if found else {}


def weight_files(config, model):
    """The files that decide what a local model replies, or nothing for a hub's."""
    folder = Path(model)
    weights, beside = deciding_files(folder)
    built = str(folder.parent) == paths.LOCAL_MODELS and folder.name in config["mini"]
    if built or (not weights and (folder / DIGEST_FILE).exists()):
        return [str(folder / DIGEST_FILE), *edits_by_hand(folder)]
    return sorted(map(str, weights + beside)) if weights else []


def edits_by_hand(folder):
    """Files that decide a built model's replies and are not as they were built."""
    folder = Path(folder)
    return list(map(str, edited_files(folder))) if (folder / DIGEST_FILE).exists() else []


def generator_weights(config, name):
    """The weights of a generator, where they are local files."""
    entry = config["generators"][name]
    return weight_files(config, entry["model"]) if entry["backend"] in matrix.LOCAL else []


# ---- Students


def train(config, student, cell):
    """A student, trained on a cell."""
    entry = config["students"][student]
    inputs = {
        "data": [paths.training_set(cell)],
        "base": weight_files(config, entry["base"]["model"]),
        "template": [entry["template"]] if entry["template"] else [],
    }
    recipe = {key: value for key, value in entry["recipe"].items() if value is not None}
    params = {"version": 1, "base": entry["base"]["model"], "recipe": recipe}
    return Stage(inputs, params | {"system": entry["system"] or ""})


def anchor_entry(config, student, anchor):
    """The config entry of a student's base, or of one of its references."""
    entry = config["students"][student]
    further = {matrix.reference_anchor(name): one for name, one in entry["references"].items()}
    found = (entry | further)[anchor]
    if not found or "model" not in found:
        told = f"is trained on {found['trained_on']}" if found else "is none"
        raise UserError(f"{student}/{anchor} is no model of its own: the reference {told}")
    return found


def predict(config, model, domain=None):
    """The completions of a student, of a base or reference, or of a generator (of one domain).

    Of a trained student the benchmarks of its domain are answered, of the others all.
    """
    name = paths.parse_model(model)
    domain = name.cell.domain if name.cell else domain
    listed = matrix.asked_benchmarks if name.generator else matrix.scored_benchmarks
    names = listed(config, domain)
    inputs = {"questions": list(map(paths.benchmark_items, names))}
    if name.generator:
        inputs["model"] = generator_weights(config, name.generator)
        params = {"version": 1, "generator": deciding_keys(config["generators"][name.generator])}
        params |= {"benchmarks": select_entries(config, names, ANSWERING), "seed": config["seed"]}
        return Stage(inputs, params)
    params = {"version": 2, "system": config["students"][name.student]["system"] or ""}
    keys = ANSWERING
    if name.cell:
        params["seed"] = name.cell.seed
        inputs["edited"] = edits_by_hand(paths.student_folder(model))
    else:
        entry = anchor_entry(config, name.student, name.anchor)
        inputs["model"] = weight_files(config, entry["model"])
        params |= {"seed": config["seed"], "model": entry["model"], "chat": entry["chat"]}
        if not entry["chat"]:
            keys = (*ANSWERING, *SHOWN)
            benchmarks = (config["benchmarks"][name] for name in names)
            inputs["shots"] = [entry["shots_from"] for entry in benchmarks if entry["shots"]]
    return Stage(inputs, params | {"benchmarks": select_entries(config, names, keys)})


def select_entries(config, names, keys):
    """Benchmark -> those of its keys."""
    return {name: select(config["benchmarks"][name], keys) for name in names}


def select(entry, keys):
    """An entry's values of `keys`, those that it has."""
    return {key: entry[key] for key in keys if key in entry}


# ---- Scores


def protocol_files(config, name):
    """The further files that decide a benchmark's verdicts."""
    entry = config["benchmarks"][name]
    names = entry["files"] if entry["protocol"] in JUDGED else ()
    own = [entry["rubric"]] if "rubric" in entry else task_files(entry.get("task", ""))
    return [*own, *(paths.benchmark_file(name, file) for file in names)]


def judge(config, benchmark, model):
    """The verdicts of a benchmark's judge on the completions of a model."""
    entry = config["benchmarks"][benchmark]
    params = {"version": 2, "benchmark": select(entry, JUDGING), "seed": config["seed"]}
    params["judge"] = deciding_keys(config["generators"][entry["judge"]])
    return Stage(_scored_files(config, benchmark, model), params)


def score(config, benchmark, model):
    """A model's score on a benchmark."""
    entry = config["benchmarks"][benchmark]
    inputs = _scored_files(config, benchmark, model)
    params = {"benchmark": select(entry, SCORING), **select(config, ("sandbox", "packages"))}
    if entry["protocol"] in JUDGED:
        inputs["judgements"] = [paths.judgements(model, benchmark)]
        params["judge"] = config["generators"][entry["judge"]]["model"]
    return Stage(inputs, params)


def _scored_files(config, benchmark, model):
    return {
        "questions": [paths.benchmark_items(benchmark)],
        "predictions": [paths.predictions(model, benchmark)],
        "files": protocol_files(config, benchmark),
    }


# ---- Intrinsic metrics


def judge_set(config, judge, cell):
    """A judge's scores of the examples of a set."""
    names = matrix.judged_metrics(config, judge)
    entries = {name: select(config["intrinsic"][name], ("rubrics", "sample")) for name in names}
    inputs = {
        "data": [paths.training_set(cell)],
        "judge": generator_weights(config, judge),
        "rubrics": [
            file
            for entry in entries.values()
            for file in rubric_files(entry["rubrics"], cell.domain)
        ],
    }
    params = {"version": 1, "metrics": entries, "seed": config["seed"]}
    return Stage(inputs, params | {"judge": deciding_keys(config["generators"][judge])})


def measure(config, metric, cell):
    """An intrinsic metric of a set, measured with a model."""
    entry = config["intrinsic"][metric]
    files = [*weight_files(config, entry["model"]), *filter(None, [entry.get("template")])]
    kept = {key: value for key, value in entry.items() if key not in METRIC_SPEED}
    params = {"version": 1, "metric": kept, "seed": config["seed"]}
    scored = scored_metrics(config["intrinsic"], metric)
    params |= {"scored": scored} if scored else {}
    return Stage({"data": [paths.training_set(cell)], "files": files}, params)


# ---- Code: of cheap stages only, an edit makes them run again


# What starts a program and reads the config; what of the config counts is in the parameters.
FRAME = ("agorabench/cli", "agorabench/config/", "agorabench/cluster/")


def source_files(program, *more, root="scripts"):
    """Files of this project that decide what a program makes, found by its import statements.

    `more` names modules that are imported by name at run time and files that are read (templates),
    as paths below `root`.
    """
    root = Path(root)
    waiting, found = [f"{program}.py", *more], set()
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith(FRAME) or not (root / path).is_file():
            continue
        found.add(path)
        if path.endswith(".py"):
            waiting += _imported_modules(root / path)
    return sorted(str(root / path) for path in found)


@cache
def _imported_modules(path):
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
