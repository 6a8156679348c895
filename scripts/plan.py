r"""Say what a run would do, and what it would take, before anything is spent.

    python scripts/plan.py --config config/mini.yaml --output /tmp/plan.md --table /tmp/plan.csv
    python scripts/plan.py --config config/mini.yaml --target data --output /tmp/plan.md \
        --table /tmp/plan.csv

The jobs and the reasons for them are those of a dry run of Snakemake with the same config. How many
requests a set still takes is counted in its journal, by composing them as generate.py would; what
else is estimated says where it is from (agorabench.estimates). No request is made, no key needed,
and nothing is written but the two files: .md as printed, .csv with a row for each job.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import yaml
from agorabench import config as configs
from agorabench import estimates, grid, jsonl, overlap, prompts, validation
from agorabench.budget import usd
from agorabench.errors import UserError, run
from agorabench.instances import FIRST_WAVE, Instances, Shortfall
from agorabench.submissions import remembered
from agorabench.weights import identity
from generate import Composer, parameters

JOURNALS = Path("journal")
SAMPLE = 32  # prompts that are rendered to see how long they are
UNKNOWN = "unknown"
COORDINATES = ("student", "anchor", "domain", "method", "generator", "prompt", "size", "seed")
AMOUNTS = ("requests_at_least", "requests", "in_batches", "prompt_tokens", "completion_tokens")
MONEY = ("usd_online", "usd_batch", "usd")
COLUMNS = ("rule", *COORDINATES, "output", "reason", "valid", *AMOUNTS, *MONEY)
COLUMNS += ("trained_tokens", "gpu_hours", "source")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="the whole config (YAML or JSON)")
    parser.add_argument("--snakefile", default="Snakefile")
    parser.add_argument("--target", nargs="*", default=[], help="of the run; none: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", required=True, help="the plan in Markdown")
    parser.add_argument("--table", required=True, help="the plan as CSV")
    args = parser.parse_args(argv)

    text = Path(args.config).read_text(encoding="utf-8")
    config = configs.check(yaml.safe_load(text), files_too=False)
    jobs = stale(config, args.snakefile, args.target)
    known = survey(config, jobs, args.threads)
    rows = [{**job, **cost(config, job, known)} for job in jobs]
    share(rows)
    text = render(config, rows, known)
    with jsonl.whole(args.output) as file:
        file.write(text)
    with jsonl.whole(args.table) as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows({**row, **row["wildcards"]} for row in rows)
    print(text, end="")


# What would run


def stale(config, snakefile, targets=()):
    """Jobs that a run would do now: dictionaries with rule, wildcards, reason and output (paths).

    Raises:
        UserError: a run would not get as far as its first job.
    """
    scripts = Path(__file__).resolve().parent
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
        jobs = [job for job in jsonl.read(found) if job["output"]]  # no aggregates, such as all
    return sorted(jobs, key=lambda job: (job["rule"], job["output"]))


# What is known


class Cell(NamedTuple):
    """A generated set."""

    domain: str
    method: str
    generator: str
    prompt: str
    size: int
    seed: int

    @property
    def journal(self):
        """Its journal, which sets of other sizes share."""
        place = JOURNALS / self.domain / self.method / self.generator / self.prompt
        return str(place / f"seed{self.seed}.jsonl")

    @property
    def kind(self):
        """Cells whose replies look alike."""
        return self.domain, self.method, self.generator

    @property
    def data(self):
        """The training set."""
        run = grid.Run("", *self)
        return Path("results/data", f"{run.cell}.jsonl")


def cell_of(job):
    """The set that a job makes or uses."""
    return Cell(
        **{name: kind(job["wildcards"][name]) for name, kind in Cell.__annotations__.items()}
    )


class Known:
    """What journals, seeds and prompts tell.

    seen      journal -> Counter of its replies, and of their tokens by mode
    kinds     (domain, method, generator) -> the same of all its journals
    accepted  likewise -> [valid, replies] of the sets that were made last
    counted   Cell -> what `count` has found
    seeds     (domain, method) -> what `measure` has found
    """

    def __init__(self):
        self.seen, self.counted, self.seeds = {}, {}, {}
        self.kinds, self.accepted = defaultdict(Counter), defaultdict(lambda: [0, 0])


def survey(config, jobs, threads):
    """All that is known: journals are read once, settings side by side."""
    cells = {cell_of(job) for job in jobs if job["rule"] in ("generate", "train")}
    due = {cell_of(job) for job in jobs if job["rule"] == "generate"}
    work = defaultdict(lambda: (set(), set(), set()))
    for path in JOURNALS.glob("*/*/*/*/seed*.jsonl"):
        domain, method, generator = path.parts[-5:-2]
        if generator in config["generators"]:
            work[domain, method][0].add(str(path))
    for cell in cells:
        if config["generators"][cell.generator]["backend"] != "dataset":
            work[cell.domain, cell.method][1].add(cell)
            work[cell.domain, cell.method][2].update({cell} & due)
    known = Known()
    settings = sorted(work)
    if work:
        with ProcessPoolExecutor(min(threads, len(work))) as pool:
            parts = [(config, *setting, *work[setting]) for setting in settings]
            for setting, (seeds, seen, counted) in zip(
                settings, pool.map(look, parts), strict=True
            ):
                known.seeds[setting] = seeds
                known.seen |= seen
                known.counted |= counted
    for source in classifications(config):
        known.seen[source], _ = read(source, keep=False)
    for path, seen in known.seen.items():
        if path in classifications(config):
            continue
        kind = Path(path).parts[-5:-2]
        known.kinds[kind] += seen
        ledger = Path(path).with_suffix(".ledger.json")
        if ledger.exists():
            told = jsonl.read_json(ledger)["set"]
            known.accepted[kind][0] += told["valid"]
            known.accepted[kind][1] += told["replies"]
    for cell, found in known.counted.items():  # of a set whose job was killed there is no ledger
        if found["replies"] and not Path(cell.journal).with_suffix(".ledger.json").exists():
            known.accepted[cell.kind][0] += found["valid"]
            known.accepted[cell.kind][1] += found["replies"]
    return known


def look(part):
    """What is known of one domain and method: (seeds, seen, counted), as in Known."""
    config, domain, method, journals, cells, due = part
    path = Path(f"resources/seeds/{domain}/{method}.jsonl")
    seeds = jsonl.read(path) if path.exists() and cells else None
    seen, counted = {}, {}
    for journal in sorted(journals | {cell.journal for cell in cells}):
        mine = sorted(cell for cell in cells if cell.journal == journal)
        seen[journal], rows = read(journal, keep=not due.isdisjoint(mine))
        for cell in mine:
            counted[cell] = count(config, cell, seeds, rows, cell in due)
    return measure(seeds), seen, counted


def read(journal, keep):
    """(Counter of a journal, its replies by fingerprint if they are to be kept).

    Not agorabench.journal: that one locks the file and mends it.
    """
    seen, replies = Counter(), {}
    if not Path(journal).exists():
        return seen, replies
    with open(journal, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                break  # torn, or being written
            try:
                row = json.loads(line)
                key = row["fingerprint"]
            except (ValueError, TypeError, KeyError):
                raise UserError(f"{journal}, line {number}: not a journal row") from None
            seen["faults" if "fault" in row else "replies"] += 1
            # "most" bounds what a request without usage may have been billed for.
            if usage := row.get("usage") or row.get("most"):
                mode = "batch " if "mode" in row else ""
                seen[f"{mode}input"] += usage["input"]
                seen[f"{mode}output"] += usage["output"]
            if (usage := row.get("usage")) and "fault" not in row:
                seen["told"] += 1
                seen["told input"] += usage["input"]
                seen["told output"] += usage["output"]
            if keep and "fault" not in row:
                replies.setdefault(key, row)
    return seen, replies


def measure(seeds):
    """Rows of a seed set, and mean tokens of their instructions and responses."""
    if not seeds:
        return {"rows": None, "instruction": estimates.INSTRUCTION, "response": estimates.RESPONSE}
    shown = seeds[:: max(len(seeds) // 200, 1)]
    lengths = {
        part: sum(estimates.tokens(row.get(part) or "") for row in shown) / len(shown)
        for part in ("instruction", "response")
    }
    return {"rows": len(seeds), **lengths}


def count(config, cell, seeds, replies, due):
    """What a set has and lacks, by composing its requests and looking for their replies.

    Returns a dictionary: `valid` pairs and the `replies` they came of; `missing` pairs, each of
    which takes a request at least; `batches`, requests that are under way in batches; `stops`, why
    it would end without asking, or None; `prompt`, the tokens of a prompt and where that is from;
    `source` of the count.
    """
    entry, generation = config["generators"][cell.generator], config["generation"]
    family = config["prompts"][cell.prompt]
    template = Path(family["folder"], cell.method, f"{cell.domain}.md").read_text(encoding="utf-8")
    shown = generation["demonstrations"]
    found = {"valid": 0, "replies": 0, "missing": cell.size, "batches": 0, "stops": None}
    if not seeds:
        found["prompt"] = unseen(template, cell.method, generation), "prompt file, seeds assumed"
        found["source"] = "seeds are not there yet" if replies else "nothing is journaled"
        return found
    shows = cell.method == "instance"
    lists = {
        key: prompts.read_lines(config[key][cell.domain])
        if shows and cell.domain in config[key]
        else []
        for key in ("themes", "openings")
    }
    writer = Composer(
        domain=cell.domain, method=cell.method, seed=cell.seed, template=template, seeds=seeds,
        demonstrations=shown, system=generation["system"], replies=family["replies"], **lists,
    )  # fmt: skip
    first = generation["first_wave"] if shows else FIRST_WAVE
    found["prompt"] = rendered(writer, cell.size, first), "prompts rendered"
    found["source"] = "nothing is journaled"
    if not due or not replies:
        return found
    if entry["backend"] in configs.LOCAL and not weighed(entry["model"]):
        return found | {"source": "the model is not built yet"}
    check, repeats = judging(config, cell.domain)
    instances = Instances(
        writer, replies, entry["model"] if "base_url" in entry else identity(entry["model"]),
        parameters(entry, family["replies"]), check, cell.size, generation["attempts"],
        repeats=repeats,
    )  # fmt: skip
    silent = Silent()
    try:
        instances.generate(silent, first)
    except Unasked:
        pass
    except Shortfall as error:
        if not silent.asked:
            found["stops"] = str(error)
    under_way = set()
    for batch in remembered(Path(cell.journal).with_suffix(".batches"))[0].values():
        under_way.update(batch.requests)
    found |= {"valid": len(instances.pairs), "replies": len(instances.rows)}
    found |= {"missing": cell.size - found["valid"]}
    found |= {"batches": len(under_way & silent.asked)}
    return found | {"source": "journal"}


class Unasked(Exception):
    """What would be asked next depends on replies that are not there."""


class Silent:
    """A backend that answers nothing and keeps the fingerprints of what it is asked."""

    def __init__(self):
        self.asked = set()

    def complete(self, queue):
        before = len(self.asked)
        while queue:
            self.asked.add(queue.popleft()["fingerprint"])
        if len(self.asked) > before and queue.writer.shows_generated:
            raise Unasked
        queue.size -= len(self.asked) - before  # taken for valid, so that later slots begin
        return ()


def judging(config, domain):
    """(Check of a pair, repeats): which replies count, as in generate.py."""
    generation = config["generation"]
    names, limit = generation["validators"][domain], generation["max_characters"]
    kind = overlap.REPEATS.get(generation.get("duplicates"))
    items = None
    if generation.get("overlap") == "drop":
        benchmarks = config["benchmarks"].items()
        of_domain = [name for name, chosen in benchmarks if chosen["domain"] == domain]
        items = held_out(tuple(f"resources/benchmarks/{name}.jsonl" for name in of_domain))

    def check(pair):
        verdict = validation.validate(pair, names, max_characters=limit)
        return "in benchmark" if verdict == "valid" and items and items.found(pair) else verdict

    return check, kind and partial(overlap.sift, repeats=kind)


@cache
def held_out(paths):
    """Test items of benchmarks, as far as they are fetched."""
    return overlap.load([path for path in paths if Path(path).exists()])


def weighed(model):
    """Whether what names a local model is known: a folder without weights will have another."""
    return not model.startswith(configs.BUILT) or identity(model) != model


def rendered(writer, size, first_wave):
    """Mean tokens of a set's prompts, from some of them; seeds stand in for generated pairs."""
    slots = range(0, size, max(size // SAMPLE, 1))
    texts = [
        "".join(message["content"] for message in request["messages"])
        for slot in slots
        for request in [writer.request(slot, 0, writer.seeds if slot >= first_wave else [])]
    ]
    return sum(map(estimates.tokens, texts)) / len(texts)


def unseen(template, method, generation):
    """Tokens of a prompt whose seeds are not there yet."""
    pair = estimates.INSTRUCTION + estimates.RESPONSE
    filled = {
        "instance": sum(generation["demonstrations"].values()) * pair,
        "response": estimates.INSTRUCTION,
        "enhancement": pair,
    }
    return estimates.tokens(template + (generation["system"] or "")) + filled[method]


def classifications(config):
    """Journals of classifications -> the generator that is asked."""
    found = {}
    for methods in config["seeds"].values():
        for source in methods.values():
            for part in source.get("parts", {"": source}).values():
                if chosen := part.get("classify"):
                    path = JOURNALS / "classify" / f"{Path(chosen['prompt']).stem}.jsonl"
                    found[str(path)] = chosen["generator"]
    return found


# What a job takes


def cost(config, job, known):
    """Columns of a job: what it takes and where that is from; nothing for cheap rules."""
    rule = job["rule"]
    if rule == "generate":
        return generating(config, cell_of(job), known)
    if rule == "train":
        return training(config, job["wildcards"]["student"], cell_of(job), known)
    if rule.startswith("predict"):
        return predicting(config, rule, job["wildcards"]["student"])
    if rule == "fetch_seeds":
        return classifying(config, job["wildcards"], known)
    return {}


def generating(config, cell, known):
    """A generated set."""
    entry = config["generators"][cell.generator]
    if entry["backend"] == "dataset":
        return {"source": "a data set, nothing is asked"}
    found = known.counted[cell]
    if found["stops"]:
        return {"valid": found["valid"], "requests_at_least": 0, "requests": 0, "in_batches": 0} | {
            "source": f"the job would stop without asking: {found['stops']}"
        }
    share, told = estimates.accepted((found["valid"], found["replies"]), known.accepted[cell.kind])
    mean = reply(config, cell, known)
    return {
        "valid": found["valid"],
        "requests_at_least": found["missing"],
        "in_batches": found["batches"],
        "source": f"pairs: {found['source']}; valid: {told}; tokens: {mean.source}",
        # Until `share` has taken off what a smaller set of the same journal asks for.
        "share": share,
        "mean": mean,
        "entry": entry,
        "mini": built(config, entry["model"]),
    }


def share(rows):
    """Count requests once that several jobs have in common, and price what is left.

    Sets of several sizes share a journal, and so do classifications of the same rows.
    """
    asked = Counter()
    for row in sorted(rows, key=lambda row: int(row["wildcards"].get("size", 0))):
        if "mean" not in row:
            continue
        if row["rule"] == "generate":
            journal = cell_of(row).journal
            row["requests_at_least"] -= asked[journal]
            asked[journal] += row["requests_at_least"]
            row["requests"] = estimates.requests(row["requests_at_least"], row["share"])
        else:
            row["requests"] = max(row["requests"] - asked[row["journal"]], 0)
            asked[row["journal"]] += row["requests"]
        mean, entry = row["mean"], row["entry"]
        usage = {
            "input": mean.prompt * row["requests"],
            "output": mean.completion * row["requests"],
        }
        row["prompt_tokens"], row["completion_tokens"] = map(round, usage.values())
        if "price" in entry:
            row["usd_online"] = row["usd"] = usd(usage, entry["price"])
        if "mode" in entry:
            row["usd_batch"] = usd(usage, entry["price"], batch=True)
            row["usd"] = row["usd_batch" if entry["mode"] == "batch" else "usd_online"]
        elif not row["mini"]:
            row["gpu_hours"] = hours(entry.get("parameters"), sum(usage.values()))


def reply(config, cell, known):
    """Tokens of a set's replies."""
    own, others = told(known.seen[cell.journal]), told(known.kinds[cell.kind])
    limit = config["generators"][cell.generator]["sampling"]["max_tokens"]
    return estimates.reply(cell.method, own, others, known.counted[cell]["prompt"], limit)


def told(seen):
    """Replies whose usage is known, and their tokens."""
    names = {"told": "told", "input": "told input", "output": "told output"}
    return {name: seen.get(key, 0) for name, key in names.items()}


def classifying(config, wildcards, known):
    """A seed set whose rows a generator sorts."""
    source = config["seeds"][wildcards["domain"]][wildcards["method"]]
    for part in source.get("parts", {"": source}).values():
        if not (chosen := part.get("classify")):
            continue
        name = chosen["generator"]
        entry = config["generators"][name]
        path = str(JOURNALS / "classify" / f"{Path(chosen['prompt']).stem}.jsonl")
        seen = known.seen[path]
        template = Path(chosen["prompt"]).read_text(encoding="utf-8")
        prompt = estimates.tokens(template) + estimates.INSTRUCTION
        mean = estimates.reply("response", told(seen), told({}), (prompt, "prompt file"),
                               entry["sampling"]["max_tokens"])  # fmt: skip
        rows = estimates.requests(part.get("size") or estimates.ITEMS, estimates.IN_CLASS)
        return {
            "requests": max(rows - seen["replies"], 0),
            "source": f"rows: share of the class assumed; tokens: {mean.source}",
            "mean": mean,
            "entry": entry,
            "asks": name,
            "journal": path,
            "mini": False,
        }
    return {}


def training(config, student, cell, known):
    """A student."""
    chosen = config["students"][student]
    recipe = chosen["recipe"]
    backend = config["generators"][cell.generator]["backend"]
    added = 0.0
    if cell.data.exists():
        rows = jsonl.read(cell.data)
        shown = rows[:: max(len(rows) // 200, 1)]
        mean = sum(
            estimates.tokens(message["content"]) for row in shown for message in row["messages"]
        ) / len(shown)
        total, source = mean * len(rows), "length of the training sets"
    elif backend == "dataset":
        return {"trained_tokens": UNKNOWN, "gpu_hours": UNKNOWN, "source": "no training set yet"}
    else:
        seeds, answer = known.seeds[cell.domain, cell.method], reply(config, cell, known)
        pair = answer.completion + (seeds["instruction"] if cell.method == "response" else 0)
        if cell.method == "instance" and config["generation"]["train_on_seeds"]:
            added = (seeds["rows"] or 0) * (seeds["instruction"] + seeds["response"])
        total, source = cell.size * pair + added, answer.source
        if not seeds["rows"]:
            source += ", seed data not counted"
    total = round(total * recipe["epochs"])
    row = {"trained_tokens": total, "source": f"tokens: {source}, {recipe['epochs']:g} epochs"}
    if not built(config, chosen["base"]["model"]):
        row["gpu_hours"] = hours(chosen.get("parameters"), total, training=True)
    return row


def predicting(config, rule, student):
    """The completions of a student, or of its base or reference."""
    chosen = config["students"][student]
    domain = None if rule == "predict_anchor" else rule.removeprefix("predict_")
    prompt = completion = 0
    source = "items counted"
    for name in grid.benchmarks(config, domain):
        entry = config["benchmarks"][name]
        items = items_of(f"resources/benchmarks/{name}.jsonl")
        if items is None:
            items, source = estimates.ITEMS, "items assumed"
        items = min(items, entry["limit"] or items)
        prompt += items * estimates.INSTRUCTION
        completion += items * min(estimates.RESPONSE, entry["max_tokens"])
    row = {"prompt_tokens": prompt, "completion_tokens": completion}
    row["source"] = f"{source}, their tokens assumed"
    if not built(config, chosen["base"]["model"]):
        row["gpu_hours"] = hours(chosen.get("parameters"), prompt + completion)
    return row


def items_of(path):
    """Lines of a file, or None where there is none."""
    if not Path(path).exists():
        return None
    with open(path, "rb") as lines:
        return sum(1 for line in lines if line.strip())


def built(config, model):
    """Whether a model is one of the miniature's, which run on the CPU."""
    place = Path(model)
    return str(place.parent) == configs.MODELS and place.name in config["mini"]


def hours(parameters, count, training=False):
    """GPU hours, or "unknown" where the parameters are."""
    return estimates.gpu_hours(parameters, count, training) if parameters else UNKNOWN


# How it is told


def render(config, rows, known):
    """The plan in Markdown."""
    if not rows:
        return "# Plan\n\nNothing is to be done.\n"
    parts = ["# Plan\n", f"{len(rows):,} jobs are to be done.\n", "## Jobs\n", reasons(rows)]
    cells = [row for row in rows if row["rule"] == "generate"]
    if cells:
        parts += ["## Generated sets\n", sets(cells)]
    parts += ["## Generators\n", money(config, rows, known)]
    if other := students(rows):
        parts += ["## Students\n", other]
    parts += ["## Assumptions\n", *(f"- {line}" for line in estimates.assumptions()), ""]
    return "\n".join(parts)


def reasons(rows):
    """Jobs by rule, and why: Snakemake's words, without the files where they go without saying."""
    counted = Counter((row["rule"], brief(row["reason"])) for row in rows)
    totals = Counter(row["rule"] for row in rows)
    lines = []
    for rule in totals:
        whys = [(why, n) for (name, why), n in counted.most_common() if name == rule]
        told = [f"{why} ({n})" if len(whys) > 1 else why for why, n in whys[:5]]
        told += [f"and {len(whys) - 5} more"] if len(whys) > 5 else []
        lines.append((rule, f"{totals[rule]:,}", "; ".join(told)))
    return table(("rule", "jobs", "why"), lines, "lrl")


def brief(reason):
    """A reason of Snakemake's in some words; updated files are named, others not."""
    told = []
    for part in re.split(r"; (?=[A-Z])", reason):
        head, _, files = part.partition(": ")
        names = files.split(", ")
        if head == "Updated input files":
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            head += f" {', '.join(sorted(names)[:2])}{more}"
        told.append(head[0].lower() + head[1:])
    if len(told) > 1:  # follows from the others
        told = [words for words in told if words != "input files updated by another job"]
    return ", ".join(told)


def sets(rows):
    """The sets that are to be generated, and notes on where the numbers are from."""
    head = ("set", "why", "valid", "at least", "about", "prompt", "completion", "USD online")
    head += ("USD batch", "GPU h", "from")
    notes, lines = {}, []
    for row in rows:
        cell = cell_of(row)
        note = notes.setdefault(row["source"], len(notes) + 1)
        under_way = f"{row['in_batches']:,} in batches, " if row.get("in_batches") else ""
        lines.append(
            (
                grid.Run("", *cell).cell, brief(row["reason"]),
                f"{amount(row.get('valid'))} of {cell.size:,}",
                under_way + amount(row.get("requests_at_least")), amount(row.get("requests")),
                amount(row.get("prompt_tokens")), amount(row.get("completion_tokens")),
                dollars(row.get("usd_online")), dollars(row.get("usd_batch")),
                gpu(row.get("gpu_hours")), f"[{note}]",
            )
        )  # fmt: skip
    told = [f"[{number}] {source}.  \n" for source, number in notes.items()]
    intro = "Requests (at least, and about) that are still to be asked, and their tokens:\n\n"
    return "".join([intro, table(head, lines, "llrrrrrrrrl"), "\n", *told])


def money(config, rows, known):
    """A line for each generator that has work or has cost something, and one for all."""
    paths = classifications(config)
    spent = Counter()
    for path, seen in known.seen.items():
        name = paths.get(path) or Path(path).parts[-3]
        price = config["generators"][name].get("price")
        if price:
            spent[name] += usd(seen, price)
            batch = {"input": seen["batch input"], "output": seen["batch output"]}
            spent[name] += usd(batch, price, batch=True)
    asked = defaultdict(list)
    for row in rows:
        if "mean" in row:
            asked[row.get("asks") or cell_of(row).generator].append(row)
    head = ("generator", "mode", "requests", "prompt", "completion", "USD online", "USD batch")
    head += ("spent before", "max_usd leaves", "GPU h")
    lines, everything, warnings = [], [], []
    for name, entry in config["generators"].items():
        mine = asked[name]
        if not mine and not spent[name]:
            continue
        everything += mine
        lines.append(
            total(name, entry.get("mode", "local"), mine, spent[name], entry.get("max_usd"))
        )
        warnings += short(f"generator {name}", entry.get("max_usd"), spent[name], mine)
    lines.append(total("in all", "", everything, spent.total(), config["max_usd"]))
    warnings += short("all generators together", config["max_usd"], spent.total(), everything)
    bill = Counter()
    for row in everything:
        bill["mode" in row["entry"]] += row.get("usd", 0.0)
    told = f"As configured: {dollars(bill.total())} USD"
    if bill[False]:
        told += f", {dollars(bill[True])} of it to providers and the rest for models of one's own"
    told += ".\n"
    return "\n".join([table(head, lines, "llrrrrrrrr"), told, *warnings])


def total(name, mode, rows, spent, limit):
    """A line of the table of generators."""

    def sums(key):
        found = [row[key] for row in rows if row.get(key) not in (None, "")]
        if UNKNOWN in found:
            return UNKNOWN
        return sum(found) if found else None

    left = "no limit" if limit is None else dollars(limit - spent)
    return (
        name, mode, amount(sums("requests") or 0), amount(sums("prompt_tokens") or 0),
        amount(sums("completion_tokens") or 0), dollars(sums("usd_online")),
        dollars(sums("usd_batch")), dollars(spent), left, gpu(sums("gpu_hours")),
    )  # fmt: skip


def short(whose, limit, spent, rows):
    """A sentence where a limit will not do."""
    wanted = sum(row.get("usd", 0.0) for row in rows)
    if limit is None or wanted <= limit - spent:
        return []
    left = dollars(limit - spent)
    return [f"max_usd of {whose} leaves {left} USD, and about {dollars(wanted)} are wanted.\n"]


def students(rows):
    """Training and prediction by student."""
    groups = defaultdict(list)
    for row in rows:
        if row["rule"] == "train" or row["rule"].startswith("predict"):
            verb = row["rule"].partition("_")[0]
            groups[row["wildcards"]["student"], verb].append(row)
    lines = []
    for (student, verb), mine in sorted(
        groups.items(), key=lambda pair: (pair[0][0], pair[0][1] != "train")
    ):
        keys = ("trained_tokens",) if verb == "train" else ("prompt_tokens", "completion_tokens")
        found = [row[key] for row in mine for key in keys]
        unknown = UNKNOWN in found
        spent = [row.get("gpu_hours") for row in mine]
        hours = UNKNOWN if UNKNOWN in spent else sum(filter(None, spent)) if any(spent) else None
        sources = Counter(row["source"] for row in mine).most_common(1)[0][0]
        lines.append((student, verb, f"{len(mine):,}", UNKNOWN if unknown else amount(sum(found)),
                      gpu(hours), sources))  # fmt: skip
    return (
        table(("student", "stage", "jobs", "tokens", "GPU h", "from"), lines, "llrrrl")
        if lines
        else ""
    )


def table(head, lines, sides):
    """A Markdown table whose columns are aligned as plain text too ("l", "r" for each)."""
    lines = [tuple(map(str, line)) for line in [head, *lines]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def show(line):
        cells = (
            text.rjust(width) if side == "r" else text.ljust(width)
            for text, width, side in zip(line, widths, sides, strict=True)
        )
        return f"| {' | '.join(cells)} |\n"

    rule = [
        "-" * (width - 1) + (":" if side == "r" else "-")
        for width, side in zip(widths, sides, strict=True)
    ]
    return "".join([show(lines[0]), show(rule), *map(show, lines[1:])])


def amount(number):
    """A count, to three digits where it is large; empty for None."""
    if number is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{round(number):,}"


def dollars(value):
    """USD in cents, small amounts in hundredths of them."""
    return "" if value is None else f"{value:,.{2 if abs(value) >= 1 or not value else 4}f}"


def gpu(hours):
    """GPU hours; empty where there is nothing for a GPU."""
    return hours if isinstance(hours, str) else "" if hours is None else f"{hours:,.1f}"


if __name__ == "__main__":
    run(main)
