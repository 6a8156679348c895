"""What a job would ask, and what of that its journal has: it is replayed, and nobody is asked.

The requests are composed as the job would compose them and looked up in the journal by their
fingerprints, so the count is what a run would then do: of a set, up to the first request whose
prompt shows replies that are not there yet; of a judge, but for verdicts that cannot be read. What
is asked about files that the run will write anew (`remade`, paths) cannot be known.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from agorabench import intrinsic, matrix, paths
from agorabench.evaluation import ability, benchmarks
from agorabench.evaluation.judge import judge_request
from agorabench.files import read_jsonl
from agorabench.generation import prompts
from agorabench.generation.slots import FIRST_WAVE, Instances, Shortfall, pair_checks
from agorabench.intrinsic import judged
from agorabench.llm.batch_log import remembered
from agorabench.llm.budget import spent
from agorabench.llm.journal import peek
from agorabench.llm.request import fingerprint_parameters
from agorabench.models.weights import DIGEST_FILE, model_identity
from agorabench.paths import RESOURCES as BUILT
from agorabench.planning import estimates

RENDERED = 32  # prompts that are rendered to see how long they are
FREE = {"input": 0.0, "output": 0.0}


class Count(NamedTuple):
    """A set's `valid` pairs, the `replies` they came of and the pairs that are `missing`.

    prompt   (mean tokens of its prompts, where that is from)
    source   where the count is from
    batches  requests that are under way in batches
    stops    why generate.py would end without asking, or None
    certain  is it known that they are missing, or might the journal have them?
    """

    missing: int
    prompt: tuple
    source: str
    valid: int = 0
    replies: int = 0
    batches: int = 0
    stops: str | None = None
    certain: bool = True


def look(config, due, remade, path, runs):
    """What the journal at `path` holds, and what the sets that use it have and lack.

    Args:
        config: the whole config, checked.
        due: sets that are to be generated (grid.Run); of others only the prompts are looked at.
        remade: files that the run will write anew.
        runs: the sets that use the journal.

    Returns (Counter, {run: Count}). The Counter has "replies"; of those whose usage the provider
    has "told", how many they are, and their "input" and "output" tokens; and "usd", what replies
    and faults have cost.
    """
    price = config["generators"][paths.parse_journal(path).generator].get("price", FREE)
    held, replies = read(path, price, keep=not due.isdisjoint(runs))
    return held, {run: count(config, run, replies if run in due else {}, remade) for run in runs}


def read(path, price, keep=False):
    """(Counter of a journal as in `look`, its replies by fingerprint if they are to be kept)."""
    held, replies = Counter(), {}
    for row in peek(path):
        held["usd"] += spent([row], price)
        if "fault" in row:
            continue
        held["replies"] += 1
        if usage := row.get("usage"):
            held.update(told=1, input=usage["input"], output=usage["output"])
        if keep:
            replies.setdefault(row["fingerprint"], row)
    return held, replies


@cache
def seeds(domain, method, remade):
    """Rows of a seed set; none where it is not there, or may be that of another config."""
    path = f"resources/seeds/{domain}/{method}.jsonl"
    return read_jsonl(path) if there(path, remade) else []


def there(path, remade):
    """Is a file there, and will it stay as it is?"""
    return path not in remade and Path(path).exists()


def model_name(entry, remade):
    """What a generator's backend calls its model; None for one that is still to be built."""
    if entry["backend"] not in matrix.LOCAL:
        return entry["model"]
    name = model_identity(entry["model"])
    if name.startswith(BUILT) or f"{entry['model']}/{DIGEST_FILE}" in remade:
        return None  # still a folder's name and no digest of weights, or of others than will be
    return name


def count(config, run, replies, remade):
    """The Count of a set from the `replies` of its journal, rows by fingerprint."""
    entry, generation = config["generators"][run.generator], config["generation"]
    family = config["prompts"][run.prompt]
    path = Path(family["folder"], run.method, f"{run.domain}.md")
    template = path.read_text(encoding="utf-8")
    nothing = "nothing is journaled"
    rows = seeds(run.domain, run.method, remade)
    if not rows:
        prompt = unseen(template, run.method, generation), "prompt file, seeds assumed"
        told = "seeds are made anew, what the journal has may do" if replies else nothing
        return Count(run.size, prompt, told, certain=not replies)
    writer = composer(config, run, template, rows)
    first_wave = generation["first_wave"] if run.method == "instance" else FIRST_WAVE
    prompt = rendered(writer, run.size, first_wave), "prompts rendered"
    if not replies:
        return Count(run.size, prompt, nothing)
    name = model_name(entry, remade)
    if name is None:
        told = "the model is built anew, what the journal has may do"
        return Count(run.size, prompt, told, certain=False)

    items = []
    if generation["overlap"] == "drop":
        named = config["benchmarks"].items()
        files = [f"resources/benchmarks/{n}.jsonl" for n, b in named if b["domain"] == run.domain]
        items = [file for file in files if Path(file).exists()]
    check, repeats = pair_checks(generation, run.domain, items)
    asked = fingerprint_parameters(entry, family["replies"])
    instances = Instances(
        writer, replies, name, asked, check, run.size, generation["attempts"], repeats=repeats
    )
    silent, stops = Silent(), None
    try:
        instances.generate(silent, first_wave)
    except Unasked:
        pass
    except Shortfall as error:
        stops = None if silent.asked else str(error)
    under_way = set()
    for batch in remembered(Path(paths.set_journal(run)).with_suffix(".batches"))[0].values():
        under_way.update(batch.requests)
    valid = len(instances.pairs)
    return Count(
        run.size - valid, prompt, "journal", valid, len(instances.rows),
        len(under_way & silent.asked), stops,
    )  # fmt: skip


def assessing(config, run, judge, remade):
    """Requests to a judge about a generated set; None where that, or the judge, is not there."""
    path, entry = f"results/data/{run}.jsonl", config["generators"][judge]
    name = model_name(entry, remade)
    if name is None or not there(path, remade):
        return None
    metrics = {
        metric: config["intrinsic"][metric] for metric in matrix.judged_metrics(config, judge)
    }
    games = judged.rubric_games(
        intrinsic.read_generated_pairs(path), metrics, run.domain, config["seed"]
    )
    return put(config, name, entry, games)


def judging(config, benchmark, model, remade):
    """Requests to the judge of a benchmark about the completions of a model; None likewise."""
    chosen, folder = config["benchmarks"][benchmark], Path("resources/benchmarks")
    entry = config["generators"][chosen["judge"]]
    paths = [folder / f"{benchmark}.jsonl", Path(f"results/predictions/{model}/{benchmark}.jsonl")]
    files = {name: folder / benchmark / name for name in benchmarks.load_protocol(chosen).FILES}
    name = model_name(entry, remade)
    if name is None or not all(there(str(path), remade) for path in (*paths, *files.values())):
        return None
    items, rows = benchmarks.load_items(chosen, paths[0]), read_jsonl(paths[1])
    if [item["id"] for item in items] != [row["id"] for row in rows]:
        return None  # of other items; the job says so
    games = benchmarks.build_games(chosen, items, rows, files, config["seed"])
    return put(config, name, entry, games)


def put(config, name, entry, games):
    """The first requests that put games to a judge whose backend calls it `name`."""
    asked = fingerprint_parameters(entry)
    return [judge_request(name, game, asked, config["seed"]) for game in games]


def answering(config, generator, solved, remade):
    """Requests to a generator for the items of benchmarks; None where one is not there."""
    entry, requests = config["generators"][generator], []
    name = model_name(entry, remade)
    for benchmark in solved:
        path = Path(f"resources/benchmarks/{benchmark}.jsonl")
        chosen = config["benchmarks"][benchmark]
        if name is None or not there(str(path), remade):
            return None
        items = benchmarks.load_items(chosen, path)
        requests += ability.benchmark_requests(
            name, entry, benchmark, chosen, items, config["seed"]
        )
    return requests


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


def composer(config, run, template, seeds):
    """What writes a set's requests; `seeds`: rows of its seed set."""
    files = {key: config[key].get(run.domain) for key in ("themes", "openings")}
    lists = {key: prompts.read_lines(file) if file else [] for key, file in files.items()}
    generation = config["generation"]
    return prompts.Composer(
        domain=run.domain, method=run.method, seed=run.seed, template=template,
        seeds=seeds, demonstrations=generation["demonstrations"],
        system=generation["system"], replies=config["prompts"][run.prompt]["replies"], **lists,
    )  # fmt: skip


def rendered(writer, size, first_wave):
    """Mean tokens of a set's prompts, from some of them; seeds stand in for generated pairs."""
    texts = []
    for slot in range(0, size, max(size // RENDERED, 1)):
        request = writer.request(slot, 0, writer.seeds if slot >= first_wave else [])
        texts.append("".join(message["content"] for message in request["messages"]))
    return estimates.mean_tokens(texts)


def unseen(template, method, generation):
    """Tokens of a prompt whose seeds are not there yet."""
    pair = estimates.INSTRUCTION + estimates.RESPONSE
    filled = {
        "instance": sum(generation["demonstrations"].values()) * pair,
        "response": estimates.INSTRUCTION,
        "enhancement": pair,
    }
    return estimates.tokens(template + (generation["system"] or "")) + filled[method]
