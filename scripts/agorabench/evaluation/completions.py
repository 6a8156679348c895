"""Completions of a benchmark's items by a model that is loaded here; a killed run goes on."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from agorabench.evaluation import benchmarks
from agorabench.files import (
    cut_tail,
    json_fingerprint,
    read_appended,
    to_json,
    write_jsonl,
)
from agorabench.llm.dataset import load_pairs
from agorabench.models import weights
from agorabench.progress import Progress

BATCH = 64
MANY_UNFINISHED = 0.1  # share of answers without an end above which the log warns
SAMPLING = ("max_tokens", "temperature", "top_p", "repetition_penalty")


def answer_benchmark(
    engine: Callable,
    name: str,
    entry: dict,
    items: list[dict],
    model: tuple[str, str],
    system: str,
    chat: bool,
    seed: int,
    output: str | Path,
) -> Path:
    """Write a row for every item: id, model, prompt, completion, finish_reason.

    Args:
        engine: loads and returns the model; called where completions are missing.
        name, entry: the benchmark's name, and what of its entry decides completions.
        items: of the benchmark.
        model: (folder or hub id, what the rows call it).
        system: message before every conversation, or "".
        chat: does the model know conversations? If not, it is shown worked examples as plain text.
        seed: of the samples.
        output: path of the rows.

    Returns the path of the partial file, which the caller removes once all outputs are there.
    """
    location, label = model
    if chat:
        stop, start = [], [{"role": "system", "content": system}] if system else []
        render = partial(_as_messages, start)
    else:
        source = {"path": entry["shots_from"]} | entry.get("shots_fields", {})
        shown = load_pairs(source)[: entry["shots"]] if entry["shots"] else []
        render, stop = plain_renderer(benchmarks.load_protocol(entry), shown)
    prompts = [_render_item(item, render) for item in items]
    stop += items[0].get("stop", [])
    made_from = [weights.model_identity(location), label, entry, prompts, seed]
    unfinished = Path(output).parent / f".{name}.partial.jsonl"
    with PartialCompletions(unfinished, json_fingerprint(*made_from)) as kept:
        complete_items(
            engine, name, entry, items, prompts, seed, stop, f"predict {label}/{name}", kept
        )
    rows = [{"id": row["id"], "model": label} | row for row in kept.rows]
    write_jsonl(output, rows)
    warn_unfinished(rows, label, name, entry)
    return unfinished


def _as_messages(start, item):
    return [*start, {"role": "user", "content": item["prompt"]}]


def _render_item(item, render):
    """What a model is shown of an item; where likelihoods are asked for, of each continuation."""
    if "continuations" not in item:
        return render(item)
    contexts = item.get("contexts") or [item["prompt"]] * len(item["continuations"])
    return [render(item | {"prompt": context}) for context in contexts]


def warn_unfinished(rows: list[dict], label: str, name: str, entry: dict) -> None:
    """Say so where many answers did not end within the limit."""
    unfinished = sum(row["finish_reason"] != "stop" for row in rows) / len(rows)
    if unfinished > MANY_UNFINISHED:
        print(
            f"warning: {label} did not end {unfinished:.0%} of its answers to {name} "
            f"within {entry['max_tokens']} tokens", file=sys.stderr,
        )  # fmt: skip


class PartialCompletions:
    """Completions of a benchmark that are written as they come, so that a killed run goes on.

    `rows` holds those of an earlier run that asked for the same, `asked`; others are dropped.
    """

    def __init__(self, path, asked):
        self.path, self.rows = path, []
        path.parent.mkdir(parents=True, exist_ok=True)
        good = 0
        with open(path, "a+b") as file:
            file.seek(0)
            sentence = f"{path}, line {{}}: not a row of predictions; delete the file"
            for row, end in read_appended(file, "asked", sentence):
                if row["asked"] != asked:
                    break
                good = end
                self.rows.append({key: value for key, value in row.items() if key != "asked"})
            cut_tail(file, good)
        self.asked = asked

    def __enter__(self):
        self._file = open(self.path, "ab")
        return self

    def __exit__(self, *_):
        self._file.close()

    def add_rows(self, rows) -> None:
        """Write rows before they count."""
        lines = (to_json({"asked": self.asked} | row) + "\n" for row in rows)
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows += rows


def complete_items(
    engine: Callable,
    name: str,
    entry: dict,
    items: list[dict],
    prompts: list,
    seed: int,
    stop: list[str],
    label: str,
    kept: PartialCompletions,
) -> None:
    """Add a row for every item that `kept` lacks, in order, completed in batches.

    `engine()` loads the model, if that has not been done; `prompts` are texts, or conversations.
    """
    if len(kept.rows) == len(items):
        return
    model = engine()
    size = getattr(model, "BATCH", BATCH)
    with Progress(label, len(items), "items", done=len(kept.rows)) as bar:
        for start in range(len(kept.rows), len(items), size):
            batch, asked = items[start : start + size], prompts[start : start + size]
            if "continuations" in items[0]:
                replies = _weigh_continuations(model, batch, asked)
            else:
                tokens = model.plain if isinstance(asked[0], str) else model.chat
                settings = {key: entry[key] for key in SAMPLING}
                settings["max_tokens"] = min(
                    one.get("max_tokens", entry["max_tokens"]) for one in [*batch, entry]
                )
                replies = model.generate(
                    [tokens(prompt) for prompt in asked],
                    [int(json_fingerprint(seed, name, one["id"])[:16], 16) for one in batch],
                    stop=stop,
                    **settings,
                )
            rows = []
            for item, reply in zip(batch, replies, strict=True):
                row = {"id": item["id"], "prompt": item["prompt"], "completion": reply["reply"]}
                row["finish_reason"] = reply["finish_reason"]
                rows.append(row | {key: reply[key] for key in reply if key == "likelihoods"})
            kept.add_rows(rows)
            bar.advance(len(batch))


def _weigh_continuations(model, items, prompts):
    """Likelihoods of each item's continuations; the likeliest stands for a reply."""
    pairs = [
        pair
        for item, shown in zip(items, prompts, strict=True)
        for pair in zip(shown, item["continuations"], strict=True)
    ]
    found = iter(model.likelihoods(*map(list, zip(*pairs, strict=True))))
    replies = []
    for item in items:
        told = [next(found) for _ in item["continuations"]]
        best = max(range(len(told)), key=lambda index: told[index]["logprob"])
        reply = {"reply": item["continuations"][best], "finish_reason": "stop"}
        replies.append(reply | {"likelihoods": told})
    return replies


def plain_renderer(protocol: ModuleType, shown: list[dict]) -> tuple[Callable, list[str]]:
    """(How a protocol's items are put to a model without a conversation, where it stops)."""
    if hasattr(protocol, "plain_prompt"):
        return protocol.plain_prompt, list(protocol.STOP)

    def render(item):
        prompt = few_shot_prompt(shown, item["prompt"])
        return f"{prompt} " if "continuations" in item else prompt

    return render, ["\nQuestion:"]


def few_shot_prompt(shown: list[dict], question: str) -> str:
    """A plain-text prompt: worked examples, then the question."""
    examples = [f"Question: {row['instruction']}\nAnswer: {row['response']}\n" for row in shown]
    return "\n".join([*examples, f"Question: {question}\nAnswer:"])
