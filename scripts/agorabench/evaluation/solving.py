"""What a generator is asked when it solves benchmarks itself: as for data, but with the sampling of
the benchmarks."""

from agorabench.files import json_fingerprint
from agorabench.generation.slots import parameters

SAMPLING = ("max_tokens", "temperature", "top_p")


def requests(identity, entry, name, benchmark, items, seed):
    """The requests to a generator for the items of a benchmark, in their order.

    Args:
        identity: what names the model, as its backend has it.
        entry: the generator's in the config.
        name, benchmark: the benchmark's name and its entry.
        seed: of the samples.
    """
    chosen = sampling(entry["sampling"], benchmark)
    decisive = parameters(entry | {"sampling": chosen}, "text")
    found = []
    for item in items:
        messages = [{"role": "user", "content": item["prompt"]}]
        key = json_fingerprint(identity, messages, decisive, [seed, name, item["id"]])
        request = {"fingerprint": key, "messages": messages, "format": "text"}
        found.append(request | {"sampling": chosen})
    return found


def sampling(own, benchmark):
    """The benchmark's sampling, without what the generator's config leaves out."""
    chosen = {key: benchmark[key] for key in SAMPLING if own.get(key, 0) is not None}
    return own | chosen | ({"stop": False} if "stop" in own else {})  # [END] is the data's own
