"""What a run would do now and what that takes: jobs, requests, tokens, dollars and GPU hours.

`stale` asks Snakemake which jobs are due, `survey` reads what is known from journals and seed data,
and `forecast` says what each of the jobs takes, by the numbers in agorabench.planning.estimates.
"""

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
from agorabench.evaluation.benchmarks import load_protocol
from agorabench.files import read_json, read_jsonl
from agorabench.intrinsic.judged import rubric_files
from agorabench.llm.budget import usd
from agorabench.llm.journal import peek
from agorabench.paths import LOCAL_MODELS as MODELS
from agorabench.planning import estimates, replay

UNKNOWN = "unknown"


def stale(config, snakefile, targets=()):
    """Jobs that a run would do now: dictionaries with rule, wildcards, reason and output (paths).

    Raises:
        UserError: a run would not get as far as its first job.
    """
    scripts = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="agorabench-") as folder:
        chosen, found = Path(folder, "config.json"), Path(folder, "jobs.jsonl")
        chosen.write_text(json.dumps(config), encoding="utf-8")
        found.touch()
        ended = subprocess.run(
            [
                # Targets first: other options take all words that follow them.
                *(sys.executable, "-m", "snakemake", *targets, "--dry-run", "--nocolor"),
                *("--snakefile", snakefile, "--configfile", str(chosen)),
                *("--logger", "agorabench"),
            ],
            env={**os.environ, "PYTHONPATH": str(scripts), "AGORABENCH_JOBS": str(found)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if ended.returncode:
            told = ended.stdout.strip().splitlines()
            raise UserError(f"Snakemake cannot plan a run: {' '.join(told[-2:])}")
        jobs = [job for job in read_jsonl(found) if job["output"]]  # no aggregates, such as all
    return sorted(jobs, key=lambda job: (job["rule"], job["output"]))


def run_of(job):
    """The set that a job makes or uses, as a Cell."""
    return matrix.Cell.of(job["wildcards"])


def kind(run):
    """Sets whose replies look alike."""
    return run.domain, run.method, run.generator


@dataclass
class Known:
    """What journals tell; a Counter of what a journal holds is that of replay.look.

    journals  path -> Counter
    kinds     (domain, method, generator) -> Counter of all its journals
    accepted  likewise -> Counter of "valid" pairs and "replies" of the sets that were made last
    sets      grid.Run -> replay.Count of a set that is to be generated or trained on
    spent     generator -> USD
    remade    files that the run will make, or make anew
    """

    journals: dict = field(default_factory=dict)
    kinds: dict = field(default_factory=lambda: defaultdict(Counter))
    accepted: dict = field(default_factory=lambda: defaultdict(Counter))
    sets: dict = field(default_factory=dict)
    spent: Counter = field(default_factory=Counter)
    remade: frozenset = frozenset()
    _keys: dict = field(default_factory=dict)

    def unanswered(self, path, requests):
        """Those of the requests that neither the journal has nor a job before asks for: none is
        told twice.
        """
        if path not in self._keys:
            self._keys[path] = {row["fingerprint"] for row in peek(path) if "fault" not in row}
        known = self._keys[path]
        new = {key: one for one in requests if (key := one["fingerprint"]) not in known}
        known.update(new)
        return list(new.values())


def survey(config, jobs, threads):
    """All that is known, in a Known; journals are read once, `threads` of them at a time."""
    using = defaultdict(set)  # journal -> sets
    for path in Path("journal").glob("*/*/*/*/seed*.jsonl"):
        if path.parts[3] in config["generators"]:
            using[str(path)] = set()
    due = {run_of(job) for job in jobs if job["rule"] == "generate"}
    used = set(due)
    for job in jobs:
        if job["rule"] == "train":
            used.update(part for _, part in matrix.mixture_parts(config, run_of(job)))
    for run in used:
        if config["generators"][run.generator]["backend"] != "dataset":
            using[paths.set_journal(run)].add(run)
    remade = frozenset(chain.from_iterable(job["output"] for job in jobs))
    known, journals = Known(remade=remade), sorted(using)
    look = partial(replay.look, config, due, remade)
    with ProcessPoolExecutor(max(1, min(threads, len(journals)))) as pool:
        found = list(pool.map(look, journals, (using[path] for path in journals)))
    for path, (held, counts) in zip(journals, found, strict=True):
        alike = Path(path).parts[1:4]
        known.journals[path] = held
        known.kinds[alike].update(held)
        known.spent[alike[-1]] += held["usd"]
        known.sets |= counts
        ledger = Path(path).with_suffix(".ledger.json")
        if ledger.exists():
            told = read_json(ledger)["set"]
            known.accepted[alike].update(valid=told["valid"], replies=told["replies"])
        else:  # the job was killed
            for count in counts.values():
                known.accepted[alike].update(valid=count.valid, replies=count.replies)
    for path, name in classified(config).items():
        price = config["generators"][name].get("price", replay.FREE)
        known.journals[path], _ = replay.read(path, price)
        known.spent[name] += known.journals[path]["usd"]
    return known


def classified(config):
    """Journals of the classifications of seed data -> names of the generators that are asked."""
    return {
        paths.classification_journal(chosen["prompt"]): chosen["generator"]
        for chosen in matrix.classifications(config)
    }


def forecast(config, jobs, known):
    """The jobs, with columns for what each takes and where that is from ("source").

    What several jobs have in common is counted at the first of them: sets of several sizes share
    a journal, and so do classifications of the same rows. A job that asks a generator has its name
    as "asks". Jobs of cheap rules get no columns.
    """
    asked = Counter()  # journal -> requests that smaller sets ask for
    rows = [dict(job) for job in jobs]
    for row in sorted(rows, key=lambda row: int(row["wildcards"].get("size", 0))):
        rule, student = row["rule"], row["wildcards"].get("student")
        if rule == "generate":
            row |= generating(config, run_of(row), known, asked)
        elif rule == "train":
            row |= training(config, student, run_of(row), known)
        elif rule.startswith("predict_generator_"):
            domain = rule.removeprefix("predict_generator_")
            row |= solving(config, row["wildcards"]["generator"], domain, known)
        elif rule.startswith("predict"):
            row |= predicting(config, rule, student)
        elif rule == "judge":
            row |= judging(config, row["wildcards"], known)
        elif rule == "judge_set":
            row |= assessing(config, row["wildcards"]["judge"], run_of(row), known)
        elif rule == "measure":
            row |= measuring(config, row["wildcards"]["metric"], run_of(row))
        elif rule == "fetch_seeds":
            row |= classifying(config, row["wildcards"], known, asked)
    return rows


def generating(config, run, known, asked):
    """Columns of a generated set."""
    if config["generators"][run.generator]["backend"] == "dataset":
        return {"source": "a data set, nothing is asked"}
    found = known.sets[run]
    row = {"valid": found.valid, "in_batches": found.batches}
    if found.stops:
        source = f"the job would stop without asking: {found.stops}"
        return row | {"requests_at_least": 0, "requests": 0, "source": source}
    least = found.missing - asked[paths.set_journal(run)]
    asked[paths.set_journal(run)] += least
    others = known.accepted[kind(run)]
    share, told = estimates.accepted(
        (found.valid, found.replies), (others["valid"], others["replies"])
    )
    mean = reply(config, run, known)
    row |= asking(config, run.generator, estimates.requests(least, share), mean)
    source = f"pairs: {found.source}; valid: {told}; tokens: {mean.source}"
    return row | {"requests_at_least": least if found.certain else 0, "source": source}


def classifying(config, wildcards, known, asked):
    """Columns of a seed set; nothing unless a generator sorts its rows."""
    source = config["seeds"][wildcards["domain"]][wildcards["method"]]
    parts = source.get("parts", {"": source}).values()
    part = next((part for part in parts if part.get("classify")), None)
    if part is None:
        return {}
    name, prompt = part["classify"]["generator"], part["classify"]["prompt"]
    path = paths.classification_journal(prompt)
    held = known.journals[path]
    template = Path(prompt).read_text(encoding="utf-8")
    shown = estimates.tokens(template) + estimates.INSTRUCTION, "prompt file"
    limit = config["generators"][name]["sampling"]["max_tokens"]
    mean = estimates.reply("response", held, Counter(), shown, limit)
    rows = estimates.requests(part.get("size") or estimates.ITEMS, estimates.IN_CLASS)
    requests = max(rows - held["replies"] - asked[path], 0)
    asked[path] += requests
    row = asking(config, name, requests, mean)
    told = "rows: share of the class assumed, less what the journal has"
    return row | {"source": f"{told}; tokens: {mean.source}"}


def judging(config, wildcards, known):
    """Columns of a judge's verdicts on a model's completions."""
    benchmark, entry = wildcards["benchmark"], config["benchmarks"][wildcards["benchmark"]]
    name = entry["judge"]
    path = paths.judge_journal(benchmark, name, wildcards["model"], config["seed"])
    requests = replay.judging(config, benchmark, wildcards["model"], known.remade)
    count, source = items(benchmark, entry)
    shown = 2 * estimates.INSTRUCTION + 2 * estimates.RESPONSE, "answers assumed"
    otherwise = count * load_protocol(entry).GAMES, source
    return putting(config, name, path, requests, otherwise, shown, known)


def assessing(config, name, run, known):
    """Columns of a judge's scores of a generated set."""
    path = paths.assessment_journal(run, name)
    requests = replay.assessing(config, run, name, known.remade)
    metrics = [config["intrinsic"][metric] for metric in matrix.judged_metrics(config, name)]
    sizes = [min(metric["sample"] or run.size, run.size) for metric in metrics]
    texts = [
        Path(file).read_text(encoding="utf-8")
        for metric in metrics
        for file in rubric_files(metric["rubrics"], run.domain)
    ]
    prompt = sum(map(estimates.tokens, texts)) / len(metrics)
    shown = prompt + estimates.INSTRUCTION + estimates.RESPONSE, "rubrics and assumed examples"
    otherwise = sum(sizes), "samples of the config"
    return putting(config, name, path, requests, otherwise, shown, known)


def solving(config, generator, domain, known):
    """Columns of a generator's own completions of a domain's benchmarks."""
    names = matrix.scored_benchmarks(config, domain)
    path = paths.ability_journal(generator, domain, config["seed"])
    requests = replay.answering(config, generator, names, known.remade)
    counts = [items(name, config["benchmarks"][name]) for name in names]
    shown = estimates.INSTRUCTION, "tokens assumed"
    otherwise = sum(count for count, _ in counts), min(source for _, source in counts)
    limit = max(config["benchmarks"][name]["max_tokens"] for name in names)
    return putting(config, generator, path, requests, otherwise, shown, known, limit)


def putting(config, name, path, requests, otherwise, shown, known, limit=None):
    """Columns of questions about what is there, put to the generator `name`.

    Args:
        path: of the journal.
        requests: what the job asks; None where that is not known before the run.
        otherwise: how many there are then, and where that is from.
        shown: tokens of a prompt then, and where that is from.
        limit: max_tokens, where it is not that of the generator.
    """
    held, alike = known.journals.get(path, Counter()), known.kinds[Path(path).parts[1:4]]
    if requests is None:
        count, source = otherwise
        if held["replies"]:
            source += ", nothing of the journal counted"
    else:
        new = known.unanswered(path, requests)
        count, source = len(new), "those that the journal has not"
        if new:
            texts = ["".join(one["content"] for one in request["messages"]) for request in new]
            shown = estimates.mean_tokens(texts), "prompts rendered"
    limit = limit or config["generators"][name]["sampling"]["max_tokens"]
    mean = estimates.reply("response", held, alike, shown, limit)
    row = asking(config, name, count, mean)
    return row | {"source": f"requests: {source}; tokens: {mean.source}"}


def measuring(config, name, run):
    """Columns of a metric of a generated set that a model measures in one forward pass."""
    entry = config["intrinsic"][name]
    lengths = {"instruction": estimates.INSTRUCTION, "response": estimates.RESPONSE}
    read = [entry["of"]] if "of" in entry else list(lengths)
    tokens = min(entry["sample"] or run.size, run.size) * sum(lengths[part] for part in read)
    row = {"prompt_tokens": tokens, "source": "examples: sample of the config; tokens assumed"}
    return row | (gpu_hours(config, entry["model"], entry, tokens) if entry["gpus"] else {})


def asking(config, name, requests, mean):
    """Columns of `requests` to a generator; `mean` is the estimates.Reply of one."""
    entry = config["generators"][name]
    usage = {"input": mean.prompt * requests, "output": mean.completion * requests}
    row = {"asks": name, "requests": requests}
    row["prompt_tokens"], row["completion_tokens"] = map(round, usage.values())
    if "price" in entry:
        row["usd_online"] = row["usd"] = usd(usage, entry["price"])
    if "mode" not in entry:
        return row | gpu_hours(config, entry["model"], entry, sum(usage.values()))
    row["usd_batch"] = usd(usage, entry["price"], batch=True)
    if entry["mode"] == "batch":
        row["usd"] = row["usd_batch"]
    return row


def reply(config, run, known):
    """The estimates.Reply of a set."""
    own = known.journals[paths.set_journal(run)]
    limit = config["generators"][run.generator]["sampling"]["max_tokens"]
    return estimates.reply(run.method, own, known.kinds[kind(run)], known.sets[run].prompt, limit)


def training(config, student, run, known):
    """Columns of a student's training."""
    chosen = config["students"][student]
    epochs = chosen["recipe"]["epochs"]
    data = Path(f"results/data/{run}.jsonl")
    if data.exists():
        rows = read_jsonl(data)
        texts = ["".join(message["content"] for message in row["messages"]) for row in rows]
        tokens, source = estimates.mean_tokens(texts) * len(rows), "length of the training sets"
    elif config["generators"][run.generator]["backend"] == "dataset":
        return {"trained_tokens": UNKNOWN, "gpu_hours": UNKNOWN, "source": "no training set yet"}
    else:
        seeds = replay.seeds(run.domain, run.method, known.remade)
        means = [
            (share, reply(config, part, known)) for share, part in matrix.mixture_parts(config, run)
        ]
        pair = sum(share * mean.completion for share, mean in means)
        source = " or ".join(dict.fromkeys(mean.source for _, mean in means))
        if run.method == "response":
            pair += length(seeds, "instruction", estimates.INSTRUCTION)
        tokens = run.size * pair
        if run.method == "instance" and config["generation"]["train_on_seeds"]:
            tokens += len(seeds) * (length(seeds, "instruction") + length(seeds, "response"))
        if not seeds:
            source += ", seed data not counted"
    tokens = round(tokens * epochs)
    row = {"trained_tokens": tokens, "source": f"tokens: {source}, {epochs:g} epochs"}
    return row | gpu_hours(config, chosen["base"]["model"], chosen, tokens, training=True)


def length(seeds, part, otherwise=0):
    """Mean tokens of the instructions or the responses of seed rows."""
    return estimates.mean_tokens([row.get(part) or "" for row in seeds]) if seeds else otherwise


def predicting(config, rule, student):
    """Columns of the completions of a student, or of its base or reference."""
    chosen = config["students"][student]
    domain = None if rule == "predict_anchor" else rule.removeprefix("predict_")
    prompt = completion = 0
    sources = set()
    for name in matrix.scored_benchmarks(config, domain):
        entry = config["benchmarks"][name]
        count, source = items(name, entry)
        sources.add(source)
        prompt += count * estimates.INSTRUCTION
        completion += count * min(estimates.RESPONSE, entry["max_tokens"])
    row = {"prompt_tokens": prompt, "completion_tokens": completion}
    row["source"] = f"{min(sources)}, their tokens assumed"
    return row | gpu_hours(config, chosen["base"]["model"], chosen, prompt + completion)


def items(name, entry):
    """(Items of a benchmark, where their number is from)."""
    path, source = Path(f"resources/benchmarks/{name}.jsonl"), "items counted"
    if path.exists():
        count = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
    else:
        count, source = estimates.ITEMS, "items assumed"
    return min(count, entry["limit"] or count), source


def gpu_hours(config, model, entry, tokens, training=False):
    """The column of GPU hours; nothing for the miniature's models, which run on the CPU."""
    place = Path(model)
    if str(place.parent) == MODELS and place.name in config["mini"]:
        return {}
    parameters = entry.get("active") or entry.get("parameters")
    if not parameters:
        return {"gpu_hours": UNKNOWN}
    return {"gpu_hours": estimates.gpu_hours(parameters, tokens, training)}
