"""What a generator is asked when it solves benchmarks itself: as for data, but with the sampling of
the benchmarks."""

from pathlib import Path

from agorabench import paths
from agorabench.evaluation import benchmarks
from agorabench.llm import answer
from agorabench.llm.request import build_request, fingerprint_parameters

SAMPLING = ("max_tokens", "temperature", "top_p")


def load_items(params: dict) -> dict[str, list[dict]]:
    """{benchmark: its items} of a stage's parameters (config/stages.py)."""
    return {
        name: benchmarks.load_items(entry, Path(paths.benchmark_items(name)))
        for name, entry in params["benchmarks"].items()
    }


def query_benchmarks(
    params: dict, entry: dict, items: dict, journal, backend, advance=lambda count: None
) -> dict[str, list[dict]]:
    """Ask a generator for all items of benchmarks: {benchmark: its replies, in the items' order}.

    Args:
        params: of the stage (config/stages.py): {"benchmarks": name -> entry, "seed"}.
        entry: the generator's in the config.
        items: name -> items.
        advance: called with the number of further replies.
    """
    asked = {
        name: benchmark_requests(backend.identity, entry, name, chosen, items[name], params["seed"])
        for name, chosen in params["benchmarks"].items()
    }
    requests = {one["fingerprint"]: one for several in asked.values() for one in several}
    answer(backend, journal, requests, advance)
    return {name: [journal[one["fingerprint"]] for one in rows] for name, rows in asked.items()}


def benchmark_requests(
    identity: str, entry: dict, name: str, benchmark: dict, items: list[dict], seed: int
) -> list[dict]:
    """The requests to a generator for the items of a benchmark, in their order.

    Args:
        identity: what names the model, as its backend has it.
        entry: the generator's in the config.
        name, benchmark: the benchmark's name and its entry.
        seed: of the samples.
    """
    sampling = benchmark_sampling(entry["sampling"], benchmark)
    parameters = fingerprint_parameters(entry | {"sampling": sampling})
    requests = []
    for item in items:
        messages = [{"role": "user", "content": item["prompt"]}]
        sample = [seed, name, item["id"]]
        requests.append(build_request(identity, messages, parameters, sample, sampling=sampling))
    return requests


def benchmark_sampling(own: dict, benchmark: dict) -> dict:
    """The benchmark's sampling, without what the generator's config leaves out."""
    chosen = {key: benchmark[key] for key in SAMPLING if own.get(key, 0) is not None}
    return own | chosen | ({"stop": False} if "stop" in own else {})  # [END] is the data's own


def prediction_rows(model: str, items: list[dict], replies: list[dict]) -> list[dict]:
    """Rows as predict.py writes them, from the generator's replies to the items."""
    return [
        {
            "id": item["id"],
            "model": model,
            "prompt": item["prompt"],
            "completion": reply["reply"] or "",
            "finish_reason": reply["finish_reason"],
        }
        for item, reply in zip(items, replies, strict=True)
    ]
