"""Which judges judge their relatives: models of one maker may favour each other's texts."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from agorabench import matrix

# Who makes models -> words of these models' names and hosts; what is distilled has two makers.
MAKERS = {
    "openai": "openai|(chat)?gpt|o[134](?!\\d)|davinci",
    "anthropic": "anthropic|claude",
    "meta": "(code)?llama",
    "google": "gemini|gemma|palm",
    "mistral": "(open-)?(mistral|mixtral|ministral|codestral|magistral|devstral|pixtral)",
    "alibaba": "qwen|qwq|qvq",
    "deepseek": "deepseek",
    "microsoft": "phi|wizardlm",
    "cohere": "command|aya",
    "xai": "grok",
    "zhipu": "(chat)?glm",
    "moonshot": "kimi|moonshot",
    "01-ai": "yi",
    "ai2": "olmo|tulu",
    "huggingface": "smollm\\d*|zephyr",
    "nvidia": "nemotron",
}
FAVOUR = "A judge may favour models of its own family, by up to 28.7 % in arXiv 2502.01534: "


def list_families(config: dict, generator: str) -> set[str]:
    """Families of a generator: as its entry says, else its makers by model and host. Where these do
    not tell, only the same model is of its family; a mixture is of its parts', a data set of none.
    """
    entry = config["generators"][generator]
    if "of" in entry:
        return set().union(*(list_families(config, part) for part in entry["of"]))
    if "family" in entry or "model" not in entry:
        return {entry["family"]} if "family" in entry else set()
    name = entry["model"].rstrip("/").rpartition("/")[2].lower()
    told = f"{name} {urlsplit(entry.get('base_url', '')).hostname or ''}"
    makers = {
        maker
        for maker, words in MAKERS.items()
        if re.search(rf"(?<![a-z])({words})(?![a-z])", told)
    }
    return makers or {name}


def describe_related(config: dict, metrics: Iterable[str] = ()) -> str:
    """A sentence on judges of the generators' own families; empty where there are none.

    Judged are the students on scored benchmarks, and the sets by these `metrics`.
    """
    games = {}  # judge -> what it scores -> the generators whose numbers that touches
    runs = matrix.expand_runs(config)
    for name in matrix.scored_benchmarks(config):
        entry = config["benchmarks"][name]
        own = dict.fromkeys(run.generator for run in runs if run.domain == entry["domain"])
        games.setdefault(entry.get("judge"), {})[name] = own
    for name in metrics:
        judge = config["intrinsic"][name]["judge"]
        games.setdefault(judge, {})[name] = dict.fromkeys(run.generator for run in runs)
    told = {}  # (judge, its relatives) -> what it scores
    for judge, scored in games.items():
        family = list_families(config, judge) if judge else set()
        for name, generators in scored.items():
            near = [one for one in generators if family & list_families(config, one)]
            told.setdefault((judge, ", ".join(near)), []).append(name)
    texts = [f"{judge} judges {near} in {', '.join(names)}"
             for (judge, near), names in told.items() if near]  # fmt: skip
    return f"{FAVOUR}{'; '.join(texts)}." if texts else ""
