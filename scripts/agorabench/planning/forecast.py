"""What each job takes: requests, tokens, dollars and GPU hours, by what journals and dry runs say
(planning/survey.py) and by the numbers in planning/estimates.py."""

import math
from collections import Counter
from functools import cache, partial
from pathlib import Path

from agorabench import matrix, paths
from agorabench.config import stages
from agorabench.evaluation.benchmarks import load_protocol
from agorabench.files import read_jsonl
from agorabench.generation.cells import first_wave, open_composer, read_template
from agorabench.llm.budget import usage_cost
from agorabench.llm.request import text_length
from agorabench.matrix import Cell
from agorabench.planning import estimates
from agorabench.planning.dry_run import Asked, open_query, unknown_inputs
from agorabench.planning.survey import Known
from agorabench.rows import Unreadable, read_files

UNKNOWN = "unknown"
RENDERED = 32  # prompts that are rendered to see how long they are
# Input files without which a set cannot run dry, in the plan's words; the first counts.
ANEW = {
    "seeds": "seeds are made anew",
    "weights": "the model is built anew",
    "benchmarks": "benchmarks are made anew",
}


def forecast(config, jobs, known: Known) -> list[dict]:
    """The jobs, with columns for what each takes and where that is from ("source").

    What several jobs have in common is counted at the first of them: sets of several sizes share
    a journal, and so do classifications of the same rows. A job that asks a generator has its name
    as "asks". Jobs of cheap rules get no columns.
    """
    rows = [dict(job) for job in jobs]
    for row in sorted(rows, key=lambda row: int(row["wildcards"].get("size", 0))):
        rule, words = row["rule"], row["wildcards"]
        if rule == "generate":
            row |= plan_set(config, Cell.of(words), row, known)
        elif rule == "judge":
            row |= plan_judge(config, words["benchmark"], row, known)
        elif rule == "judge_set":
            row |= plan_set_judge(config, words["judge"], Cell.of(words), row, known)
        elif rule == "fetch_seeds":
            row |= plan_classification(config, words["domain"], words["method"], known)
        elif rule.startswith("predict_generator_"):
            row |= plan_solver(config, rule.removeprefix("predict_generator_"), row, known)
        elif rule.startswith("predict_"):
            domain = rule.removeprefix("predict_")
            row |= plan_prediction(config, words["student"], domain)
        elif rule == "train":
            row |= plan_training(config, words["student"], Cell.of(words), known)
        elif rule == "measure":
            row |= plan_metric(config, words["metric"], Cell.of(words))
    return rows


# ---- Jobs that ask


def plan_set(config, cell, job, known):
    """Columns of a generated set."""
    query = open_query(config, job)
    if query is None:
        return {"source": "a data set, nothing is asked"}
    held = known.journals[query.journal]["replies"]
    asked = known.asked.get(job["output"][0])
    source = "journal" if held else "nothing is journaled"
    if held and not asked:
        unknown = unknown_inputs(config, query, known.remade)
        anew = next(words for kind, words in ANEW.items() if kind in unknown)
        source = f"{anew}, what the journal has may do"
    counts = asked or Asked({})
    row = {"valid": counts.valid, "in_batches": counts.in_batches}
    if counts.stops:
        source = f"the job would stop without asking: {counts.stops}"
        return row | {"requests_at_least": 0, "requests": 0, "source": source}
    if (
        matrix.shows_examples(config, cell.method)
        and asked
        and counts.lengths
        and held > counts.replies
    ):
        source += ", some of it to other prompts: edited, or with other pairs shown"
    least = known.count_once(query.journal, cell.size - counts.valid)
    others = known.kinds[paths.parse_journal(query.journal).kind]
    share, shares = estimates.valid_share(
        (counts.valid, counts.replies), (others["accepted"], others["judged"])
    )
    tokens = set_tokens(config, cell, known)
    row |= query_columns(config, cell.generator, estimates.count_requests(least, share), tokens)
    row["requests_at_least"] = 0 if held and not asked else least
    return row | {"source": f"pairs: {source}; valid: {shares}; tokens: {tokens.source}"}


def set_tokens(config, cell, known):
    """The estimates.ReplyTokens of a set."""
    prompt = partial(prompt_tokens, config, cell, known.remade)
    completion = estimates.RESPONSE
    if config["methods"][cell.method]["reply"]["instruction"]:
        completion += estimates.INSTRUCTION
    journal = paths.set_journal(cell)
    return reply_tokens(config, cell.generator, journal, prompt, known, completion=completion)


def reply_tokens(config, name, journal, prompt, known, limit=None, completion=estimates.RESPONSE):
    """The estimates.ReplyTokens of a journal.

    `limit`: max_tokens, if not those of the config; `completion`: tokens, if nothing is known.
    """
    own, kind = known.journals[journal], known.kinds[paths.parse_journal(journal).kind]
    limit = limit or config["generators"][name]["sampling"]["max_tokens"]
    return estimates.reply_tokens(completion, own, kind, prompt, limit)


def prompt_tokens(config, cell, remade):
    """(Mean tokens of a set's prompts, where they are from); seeds stand in for generated pairs."""
    stage, generation = stages.generate(config, cell), config["generation"]
    method = config["methods"][cell.method]
    if stage.inputs["seeds"] and not read_seeds(cell.domain, cell.method, remade):
        pair = estimates.INSTRUCTION + estimates.RESPONSE
        shown = {"instruction": estimates.INSTRUCTION, "pair": pair, "nothing": 0}
        if demonstrations := matrix.demonstrations(config, cell.method):
            shown["examples"] = sum(demonstrations.values()) * pair
        text = read_template(stage) + (generation["system"] or "")
        return estimates.count_tokens(text) + shown[method["shows"]], "prompt file, seeds assumed"
    composer, first = open_composer(stage, method, cell), first_wave(stage)
    requests = [
        composer.compose_request(slot, 0, composer.seeds if slot >= first else [])
        for slot in range(0, cell.size, max(cell.size // RENDERED, 1))
    ]
    lengths = [text_length(request["messages"]) for request in requests]
    return estimates.mean_tokens(lengths), "prompts rendered"


@cache
def read_seeds(domain, method, remade):
    """Rows of a seed set; none where it is not there, or may be that of another config."""
    path = paths.seed_rows(domain, method)
    return read_jsonl(path) if path not in remade and Path(path).exists() else []


def plan_classification(config, domain, method, known):
    """Columns of a seed set; nothing unless a generator sorts its rows."""
    parts = matrix.seed_parts(config["seeds"][domain][method]).values()
    part = next((part for part in parts if part.get("classify")), None)
    if part is None:
        return {}
    name, prompt = part["classify"]["generator"], part["classify"]["prompt"]
    journal, text = paths.classification_journal(prompt), Path(prompt).read_text(encoding="utf-8")
    shown = estimates.count_tokens(text) + estimates.INSTRUCTION, "prompt file"
    there = count_rows(part["path"]) if "path" in part else None
    wanted = part.get("size") or math.ceil((there or estimates.ITEMS) * estimates.IN_CLASS)
    rows = min(estimates.count_requests(wanted, estimates.IN_CLASS), there or math.inf)
    new = known.count_once(journal, rows - known.journals[journal]["replies"])
    limit = config["generators"][name]["sampling"]["max_tokens"]
    held = known.journals[journal]
    tokens = estimates.reply_tokens(estimates.RESPONSE, held, Counter(), lambda: shown, limit)
    source = "rows: share of the class assumed, less what the journal has"
    row = query_columns(config, name, new, tokens)
    return row | {"source": f"{source}; tokens: {tokens.source}"}


def plan_judge(config, benchmark, job, known):
    """Columns of a judge's verdicts on a model's completions."""
    entry = config["benchmarks"][benchmark]
    count, source = count_items(benchmark, entry)
    shown = 2 * estimates.INSTRUCTION + 2 * estimates.RESPONSE, "answers assumed"
    return plan_questions(config, job, (count * load_protocol(entry).GAMES, source), shown, known)


def plan_set_judge(config, name, cell, job, known):
    """Columns of a judge's scores of a generated set."""
    metrics = [config["intrinsic"][metric] for metric in matrix.judged_metrics(config, name)]
    count = sum(min(metric["sample"] or cell.size, cell.size) for metric in metrics)
    files = stages.judge_set(config, name, cell).inputs["rubrics"]
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    prompt = sum(map(estimates.count_tokens, texts)) / len(metrics)
    shown = prompt + estimates.INSTRUCTION + estimates.RESPONSE, "rubrics and assumed examples"
    return plan_questions(config, job, (count, "samples of the config"), shown, known)


def plan_solver(config, domain, job, known):
    """Columns of a generator's own completions of a domain's benchmarks."""
    names = matrix.asked_benchmarks(config, domain)
    entries = [config["benchmarks"][name] for name in names]
    counts, sources = zip(*map(count_items, names, entries), strict=True)
    shown = estimates.INSTRUCTION, "tokens assumed"
    limit = max(entry["max_tokens"] for entry in entries)
    return plan_questions(config, job, (sum(counts), min(sources)), shown, known, limit)


def plan_questions(config, job, otherwise, shown, known, limit=None):
    """Columns of questions about what is there.

    Args:
        otherwise: how many there are if the job cannot run dry, and where that is from.
        shown: tokens of a prompt then, and where they are from.
        limit: max_tokens, where it is not that of the generator.
    """
    _, name, journal = open_query(config, job)
    asked, (count, source) = known.asked.get(job["output"][0]), otherwise
    if asked:
        lengths = [n for key, n in asked.lengths.items() if known.count_once((journal, key), 1)]
        count, source = len(lengths), "those that the journal has not"
        if lengths:
            shown = estimates.mean_tokens(lengths), "prompts rendered"
    elif known.journals[journal]["replies"]:
        source += ", nothing of the journal counted"
    tokens = reply_tokens(config, name, journal, lambda: shown, known, limit)
    row = query_columns(config, name, count, tokens)
    return row | {"source": f"requests: {source}; tokens: {tokens.source}"}


def query_columns(config, name, requests, tokens):
    """Columns of requests to a generator; `tokens` is the estimates.ReplyTokens of one."""
    entry = config["generators"][name]
    usage = {"input": tokens.prompt * requests, "output": tokens.completion * requests}
    row = {"asks": name, "requests": requests}
    row["prompt_tokens"], row["completion_tokens"] = map(round, usage.values())
    if "price" in entry:
        row["usd_online"] = row["usd"] = usage_cost(usage, entry["price"])
    if "mode" not in entry:
        return row | gpu_column(config, entry["model"], entry, *usage.values())
    row["usd_batch"] = usage_cost(usage, entry["price"], batch=True)
    if entry["mode"] == "batch":
        row["usd"] = row["usd_batch"]
    return row


# ---- Jobs that load a model


def plan_metric(config, name, cell):
    """Columns of a metric of a generated set that a model measures in one forward pass."""
    entry = config["intrinsic"][name]
    lengths = {"instruction": estimates.INSTRUCTION, "response": estimates.RESPONSE}
    pair = lengths[entry["of"]] if "of" in entry else sum(lengths.values())
    tokens = min(entry["sample"] or cell.size, cell.size) * pair
    row = {"prompt_tokens": tokens, "source": "examples: sample of the config; tokens assumed"}
    return row | (gpu_column(config, entry["model"], entry, tokens) if entry["gpus"] else {})


def plan_training(config, student, cell, known):
    """Columns of a student's training."""
    entry, data = config["students"][student], Path(paths.training_set(cell))
    if data.exists():
        rows = read_jsonl(data)
        lengths = [text_length(row["messages"]) for row in rows]
        tokens, source = estimates.mean_tokens(lengths) * len(rows), "length of the training sets"
    elif config["generators"][cell.generator]["backend"] == "dataset":
        return {"trained_tokens": UNKNOWN, "gpu_hours": UNKNOWN, "source": "no training set yet"}
    else:
        tokens, source = training_tokens(config, cell, known)
    epochs = entry["recipe"]["epochs"]
    tokens = round(tokens * epochs)
    row = {"trained_tokens": tokens, "source": f"tokens: {source}, {epochs:g} epochs"}
    return row | gpu_column(config, entry["base"]["model"], entry, trained=tokens)


def training_tokens(config, cell, known):
    """(Tokens of a training set that is not there yet, where they are from)."""
    seeds = read_seeds(cell.domain, cell.method, known.remade)
    parts = [
        (share, set_tokens(config, part, known))
        for share, part in matrix.mixture_parts(config, cell)
    ]
    pair = sum(share * tokens.completion for share, tokens in parts)
    source = " or ".join(dict.fromkeys(tokens.source for _, tokens in parts))
    if not config["methods"][cell.method]["reply"]["instruction"]:
        pair += seed_tokens(seeds, "instruction") if seeds else estimates.INSTRUCTION
    if not seeds:
        return cell.size * pair, f"{source}, seed data not counted"
    tokens = cell.size * pair
    if matrix.trains_on_seeds(config, cell.method):
        tokens += len(seeds) * (seed_tokens(seeds, "instruction") + seed_tokens(seeds, "response"))
    return tokens, source


def seed_tokens(seeds, column):
    """Mean tokens of the instructions or the responses of seed rows."""
    return estimates.mean_tokens([len(row.get(column) or "") for row in seeds])


def plan_prediction(config, student, domain):
    """Columns of the completions of a student, or of its base or reference ("anchor")."""
    entry, prompt, completion, sources = config["students"][student], 0, 0, set()
    for name in matrix.scored_benchmarks(config, None if domain == "anchor" else domain):
        benchmark = config["benchmarks"][name]
        count, source = count_items(name, benchmark)
        sources.add(source)
        prompt += count * estimates.INSTRUCTION
        completion += count * min(estimates.RESPONSE, benchmark["max_tokens"])
    row = {"prompt_tokens": prompt, "completion_tokens": completion}
    row["source"] = f"{min(sources)}, their tokens assumed"
    return row | gpu_column(config, entry["base"]["model"], entry, prompt, completion)


def count_items(name, entry):
    """(Items of a benchmark, where their number is from)."""
    path = entry["source"].get("path", paths.benchmark_items(name))  # one's own file may be edited
    count, source = count_rows(path), "items counted"
    if count is None:
        count, source = (
            estimates.KNOWN_ITEMS.get(entry["protocol"], estimates.ITEMS),
            "items assumed",
        )
    return min(count, entry["limit"] or count), source


@cache
def count_rows(path):
    """Rows of a file or folder of rows; None where it is not there, or cannot be read."""
    try:
        return len(read_files(path)[0])
    except Unreadable:
        return None


def gpu_column(config, model, entry, *tokens, **trained):
    """The column of GPU hours; nothing for the miniature's models, which run on the CPU."""
    folder = Path(model)
    if str(folder.parent) == paths.LOCAL_MODELS and folder.name in config["mini"]:
        return {}
    parameters = entry.get("active") or entry.get("parameters")
    hours = estimates.gpu_hours(parameters, *tokens, **trained) if parameters else UNKNOWN
    return {"gpu_hours": hours}
