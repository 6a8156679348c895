"""Completions of a benchmark's items by a model that is loaded here.

A killed run goes on, and where more items are wanted later, only these are answered.
"""

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
) -> None:
    """Write a row for every item: id, model, prompt, completion, finish_reason.

    Args:
        engine: loads and returns the model; called where completions are missing.
        name, entry: the benchmark's name, and what of its entry decides completions.
        items: of the benchmark.
        model: (folder or hub id, what the rows call it).
        system: message before every conversation, or "".
        chat: does the model know conversations? If not, it is shown worked examples as plain text.
        seed: of the samples.
        output: path of the rows; beside it all answers so far are kept.
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
    settings = {key: value for key, value in entry.items() if key != "limit"}
    made_from = [weights.model_identity(location), label, settings, seed, stop]
    with KeptAnswers(Path(output).parent / f".{name}.answers.jsonl", made_from) as kept:
        complete_items(
            engine, name, entry, items, prompts, seed, stop, f"predict {label}/{name}", kept
        )
    answers = map(kept.answers.get, map(kept.key, items, prompts))
    rows = [{"id": row["id"], "model": label} | row for row in answers]
    write_jsonl(output, rows)
    warn_unfinished(rows, label, name, entry)


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


class KeptAnswers:
    """Answers of a model to a benchmark, written as they come.

    `answers` has those of earlier runs of the same model with the same settings, `made_from`, by
    `key`; others are dropped.
    """

    def __init__(self, path, made_from):
        self.path, self.answers = path, {}
        self._made_from = json_fingerprint(*made_from)
        path.parent.mkdir(parents=True, exist_ok=True)
        good = 0
        with open(path, "a+b") as file:
            file.seek(0)
            sentence = f"{path}, line {{}}: not an answer; delete the file"
            for row, end in read_appended(file, "made_from", sentence):
                if row.pop("made_from") != self._made_from:
                    break
                good = end
                self.answers[row.pop("key")] = row
            cut_tail(file, good)

    def __enter__(self):
        self._file = open(self.path, "ab")
        return self

    def __exit__(self, *_):
        self._file.close()

    def key(self, item, prompt) -> str:
        """What an answer is found by: its item, and all that the model is shown."""
        return json_fingerprint(item["id"], prompt)

    def add(self, answers) -> None:
        """Write answers, key -> row, before they count."""
        lines = (
            to_json({"made_from": self._made_from, "key": key} | row) + "\n"
            for key, row in answers.items()
        )
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.answers |= answers


def complete_items(
    engine: Callable,
    name: str,
    entry: dict,
    items: list[dict],
    prompts: list,
    seed: int,
    stop: list[str],
    label: str,
    kept: KeptAnswers,
) -> None:
    """Add an answer to every item that `kept` lacks, in order, completed in batches.

    `engine()` loads the model, if that has not been done; `prompts` are texts, or conversations.
    """
    pairs = zip(items, prompts, strict=True)
    missing = [pair for pair in pairs if kept.key(*pair) not in kept.answers]
    if not missing:
        return
    model = engine()
    size = getattr(model, "BATCH", BATCH)
    with Progress(label, len(items), "items", done=len(items) - len(missing)) as bar:
        for start in range(0, len(missing), size):
            batch, asked = zip(*missing[start : start + size], strict=True)
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
            rows = {}
            for item, prompt, reply in zip(batch, asked, replies, strict=True):
                row = {"id": item["id"], "prompt": item["prompt"], "completion": reply["reply"]}
                row["finish_reason"] = reply["finish_reason"]
                row |= {name: reply[name] for name in reply if name == "likelihoods"}
                rows[kept.key(item, prompt)] = row
            kept.add(rows)
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
