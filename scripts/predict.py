r"""Let one model answer all its benchmarks, loading it once.

    python scripts/predict.py --model resources/models/reference --name mini/reference --seed 1 \
        --benchmarks '{"mini-sums": {"protocol": "mini", "max_tokens": 48, "temperature": 0.2,
                       "top_p": 0.95, "repetition_penalty": 1.0}}' \
        --items resources/benchmarks --output /tmp/predictions

Writes one file per benchmark, a row per item: id, model, prompt, completion, finish_reason. A model
that knows no conversation (`--plain`, the base) is shown worked examples as plain text instead.
"""

import argparse
import json
import os
import sys
from functools import cache, partial
from pathlib import Path

from agorabench import llm
from agorabench.config.references import read
from agorabench.errors import UserError, run
from agorabench.evaluation import benchmarks
from agorabench.files import json_fingerprint, read_appended, read_jsonl, to_json, write_jsonl
from agorabench.models import weights
from agorabench.progress import Progress

BATCH = 64
MANY = 0.1  # share of answers without an end above which the log warns


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a folder or a hub id")
    parser.add_argument("--name", required=True, help="what the rows call the model")
    parser.add_argument("--plain", action="store_true", help="prompt with few shots, no template")
    parser.add_argument("--system", default="", help="system message of every conversation")
    parser.add_argument("--benchmarks", type=json.loads, required=True, help="config: benchmarks")
    parser.add_argument("--items", required=True, help="folder of {benchmark}.jsonl")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", required=True, help="folder of {benchmark}.jsonl")
    parser.add_argument("--config", help="the whole config: hardware, keep_models")
    parser.add_argument("--student", help="the student's name in --config")
    parser.add_argument("--remove", action="store_true", help="weights, if keep_models says so")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    config = read(args.config) if args.config else {}
    engine = cache(partial(load, args.model, config, args.student, args.threads))
    output, kept = Path(args.output), []
    for name, entry in args.benchmarks.items():
        items = benchmarks.load(entry, Path(args.items) / f"{name}.jsonl")
        if args.plain:
            shown = read_jsonl(entry["shots_from"])[: entry["shots"]] if entry["shots"] else []
            plain, stop = plain_prompt(benchmarks.protocol(entry), shown)
            prompts = [plain(item) for item in items]
        else:
            stop = []
            system = [{"role": "system", "content": args.system}] if args.system else []
            prompts = [[*system, {"role": "user", "content": item["prompt"]}] for item in items]
        label = "predict " + "/".join((*output.parts[2:], name))
        made_from = [weights.identity(args.model), args.name, entry, prompts, args.seed]
        with Kept(output / f".{name}.partial.jsonl", json_fingerprint(*made_from)) as part:
            complete(engine, name, entry, items, prompts, args.seed, stop, label, part)
        rows = [{"id": row["id"], "model": args.name} | row for row in part.rows]
        write_jsonl(output / f"{name}.jsonl", rows)
        kept.append(part.path)
        unfinished = sum(row["finish_reason"] != "stop" for row in rows) / len(rows)
        if unfinished > MANY:
            print(
                f"warning: {args.name} did not end {unfinished:.0%} of its answers to {name} "
                f"within {entry['max_tokens']} tokens", file=sys.stderr,
            )  # fmt: skip
    if args.remove and config["keep_models"] == "scored":
        # What was answered stays: a job that is killed now has to write its outputs again.
        weights.remove(args.model)
    else:
        for path in kept:
            path.unlink()


def load(model, config, student, threads):
    """The engine that answers: vLLM where the student's hardware names an interpreter that has it.

    Does not return where that is another interpreter than this one.
    """
    if (Path(model) / weights.FILE).exists() and not weights.digest(model):
        raise UserError(
            f"the weights of {model} were removed when it was scored; to train it again, delete "
            f"{model}/present and start again"
        )
    hardware = config["students"][student]["hardware"] if student else {}
    if hardware.get("predict_gpus") and hardware["python"]:
        llm.elsewhere(hardware["python"])
        from agorabench.llm.vllm import Answers

        return Answers(model, hardware["predict_gpus"])
    from agorabench.models.generate import Engine

    return Engine(model, threads)


class Kept:
    """Completions of a benchmark that are written as they come, so that a killed run goes on.

    `rows` holds those of an earlier run that asked for the same, `asked`; others are forgotten.
    """

    def __init__(self, path, asked):
        self.path, self.rows = path, []
        path.parent.mkdir(parents=True, exist_ok=True)
        good = 0
        with open(path, "a+b") as file:
            file.seek(0)
            told = f"{path}, line {{}}: not a row of predictions; delete the file"
            for row, end in read_appended(file, "asked", told):
                if row["asked"] != asked:
                    break
                good = end
                self.rows.append({key: value for key, value in row.items() if key != "asked"})
            file.truncate(good)
        self.asked = asked

    def __enter__(self):
        self._file = open(self.path, "ab")
        return self

    def __exit__(self, *_):
        self._file.close()

    def add(self, rows):
        """Write rows before they count."""
        lines = (to_json({"asked": self.asked} | row) + "\n" for row in rows)
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows += rows


def complete(engine, name, entry, items, prompts, seed, stop, label, kept):
    """Add a row for every item that `kept` lacks, in order, completed in batches.

    `engine()` loads the model, if that has not been done; `prompts` are texts, or conversations.
    """
    if len(kept.rows) == len(items):
        return
    model = engine()
    size = getattr(model, "BATCH", BATCH)
    tokens = model.plain if isinstance(prompts[0], str) else model.chat
    with Progress(label, len(items), "items", done=len(kept.rows)) as bar:
        for start in range(len(kept.rows), len(items), size):
            batch = items[start : start + size]
            seeds = [int(json_fingerprint(seed, name, item["id"])[:16], 16) for item in batch]
            replies = model.generate(
                [tokens(prompt) for prompt in prompts[start : start + size]],
                seeds,
                stop=stop,
                **{key: entry[key] for key in SAMPLING},
            )
            kept.add(
                [
                    {
                        "id": item["id"],
                        "prompt": item["prompt"],
                        "completion": reply["reply"],
                        "finish_reason": reply["finish_reason"],
                    }
                    for item, reply in zip(batch, replies, strict=True)
                ]
            )
            bar.advance(len(batch))


SAMPLING = ("max_tokens", "temperature", "top_p", "repetition_penalty")


def plain_prompt(protocol, shown):
    """How a protocol's items are put to a model without a conversation, and where it stops."""
    if hasattr(protocol, "plain"):
        return protocol.plain, list(protocol.STOP)
    return lambda item: few_shot(shown, item["prompt"]), ["\nQuestion:"]


def few_shot(shown, question):
    """A plain-text prompt: worked examples, then the question."""
    examples = [f"Question: {row['instruction']}\nAnswer: {row['response']}\n" for row in shown]
    return "\n".join([*examples, f"Question: {question}\nAnswer:"])


if __name__ == "__main__":
    run(main)
