"""How fast does training go, beside TRL's defaults and a plain loop over padded batches?

    python perf/train.py                        # a small model on the CPU, GSM8K
    python perf/train.py --gpu --data lima      # Llama 8B with random weights on one GPU

The same base, examples, batches of as many examples and steps for all, each in a process of its
own. Counted from the first step to the end of the last. Prints a Markdown table and writes
perf/results/train.json:

    useful    tokens of examples, padding not counted, per second
    padding   share of the computed places that hold no token
    mfu       share of the device's peak that useful tokens take (agorabench.training.speed)

Data are real, from $AGORABENCH_DATA. With --gpu the recipe keeps weights and optimiser in bfloat16,
as one GPU has no room for 8 billion float32 weights and their moments; that has not been run yet,
for want of a GPU, and writes no profile. Last run on two CPU cores: docs/training.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

DATA = Path(os.environ.get("AGORABENCH_DATA", ROOT.parent / "shared" / "data"))
SETS = {"gsm8k": "gsm8k/train.jsonl", "lima": "seeds/lima.json"}
SMALL = {"hidden": 128, "layers": 4, "heads": 4, "intermediate": 384, "steps": 1, "length": 128}
WAYS = ("padded", "grouped", "padding-free", "packed")
LABELS = {f"ours, {way}": way for way in WAYS} | {"TRL's defaults": "trl", "plain loop": "loop"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="Llama 8B on one GPU")
    parser.add_argument("--attention", help="attention implementation of ours")
    parser.add_argument("--data", choices=SETS, default="gsm8k")
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16, help="examples per step")
    parser.add_argument("--per-device", type=int, help="examples per forward pass")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the median counts")
    parser.add_argument("--only", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--output", type=Path, default=HERE / "results" / "train.json")
    parser.add_argument("--run", choices=LABELS.values(), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(args)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        args.folder = Path(folder)
        prepare(args)
        runs = {label: [] for label in args.only}
        for _ in range(args.repeat):
            for label, found in runs.items():
                found.append(apart(LABELS[label]))
                print(json.dumps({"contestant": label} | found[-1]), file=sys.stderr)
    device = next(iter(runs.values()))[0]["device"]
    result = {
        "when": time.strftime("%Y-%m-%d"), "device": device, "machine": platform.processor(),
        "data": args.data, "examples": args.examples, "batch": args.batch, "runs": runs,
    }  # fmt: skip
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{args.data}, {args.examples} examples, {args.batch} a step, on {device}\n")
    print("| contestant | useful tokens/s | padding | MFU |\n|---|--:|--:|--:|")
    for label, found in runs.items():
        useful = statistics.median(one["tokens_per_second"] for one in found)
        mfu = f"{100 * found[0]['mfu']:.1f} %" if found[0].get("mfu") else ""
        print(f"| {label} | {useful:,.0f} | {100 * found[0]['padding_share']:.1f} % | {mfu} |")


def apart(way):
    """Run one contestant in a process of its own, with the arguments of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--run", way]
    command += ["--folder", str(FOLDER[0])]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


FOLDER = []


def prepare(args):
    """Make the base and the examples."""
    FOLDER.append(args.folder)
    rows = pairs(args.data)[: args.examples]
    (args.folder / "rows.json").write_text(json.dumps(rows))
    import mini

    tokenizer = str(args.folder / "tokenizer")
    mini.main(["tokenizer", "--output", tokenizer, "--recipe", '{"lines": 500}'])
    if args.gpu:
        llama(args.folder, tokenizer)
    else:
        flags = ["--tokenizer", tokenizer, "--output", str(args.folder / "base")]
        mini.main(["base", *flags, "--recipe", json.dumps(SMALL)])


def llama(folder, tokenizer):
    """Llama 3.1 8B with random weights, in bfloat16."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=128256, max_position_embeddings=131072,
    )  # fmt: skip
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        network = LlamaForCausalLM(shape)
        torch.set_default_dtype(torch.float32)
    network.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder / "base")


def pairs(name):
    """Instruction and response of a real data set, as conversations."""
    path = DATA / SETS[name]
    if not path.exists():
        sys.exit(f"no {path}; set AGORABENCH_DATA")
    if name == "lima":
        found = json.loads(path.read_text(encoding="utf-8"))
        asked = [(row["instruction"], row["output"]) for row in found]
    else:
        lines = path.read_text(encoding="utf-8").splitlines()
        asked = [(row["question"], row["answer"]) for row in map(json.loads, lines)]
    return [
        [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
        for first, second in asked
    ]


def run(args):
    """Train once; the speed of it."""
    import torch

    torch.manual_seed(1)
    rows = json.loads((args.folder / "rows.json").read_text())
    device = torch.cuda.get_device_name() if args.gpu else "cpu"
    if args.run in WAYS:
        return ours(args, rows) | {"device": device}
    return {"trl": trl, "loop": loop}[args.run](args, rows) | {"device": device}


def ours(args, rows):
    """This project's training."""
    import torch
    from agorabench.config import load_config
    from agorabench.training import masking, sft

    recipe = {
        "epochs": 1, "learning_rate": 1e-5, "batch_size": args.batch, "batches": args.run,
        "max_length": args.max_length, "warmup": 0.0, "schedule": "linear", "weight_decay": 0.0,
        "precision": "bfloat16" if args.gpu else "float32",
    }  # fmt: skip
    hardware = load_config(ROOT / "config/mini.yaml")["students"]["mini"]["hardware"]
    hardware |= {"gpus": int(args.gpu), "attention": args.attention}
    hardware |= {"per_device": args.per_device}
    asked = masking.build_conversations([{"messages": row} for row in rows])
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        return sft.train_model(
            str(args.folder / "base"), asked, recipe, hardware, 1, Path(folder),
            threads=torch.get_num_threads(), max_truncated=1.0,
        )["speed"]  # fmt: skip


def trl(args, rows):
    """SFTTrainer as it comes, but for batch size, length and where it runs."""
    from agorabench.training.speed import Counter
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        def on_train_begin(self, *_, **__):
            self.start = time.monotonic()

    per_device = args.per_device or args.batch
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        trainer = SFTTrainer(
            model=str(args.folder / "base"),
            args=SFTConfig(
                output_dir=folder, num_train_epochs=1, per_device_train_batch_size=per_device,
                gradient_accumulation_steps=args.batch // per_device, max_length=args.max_length,
                use_cpu=not args.gpu, bf16=args.gpu, save_strategy="no", report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"messages": row} for row in rows]),
            callbacks=[clock],
        )  # fmt: skip
        counter = trainer.data_collator = Counter(trainer.data_collator)
        trainer.train()
    return told(counter.positions, counter.padding, time.monotonic() - clock.start)


def loop(args, rows):
    """Shuffle, pad to the longest, forward, backward, step."""
    import random

    import torch
    from agorabench.training import masking
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if args.gpu else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.folder / "base")
    kind = torch.bfloat16 if args.gpu else torch.float32
    network = AutoModelForCausalLM.from_pretrained(args.folder / "base", dtype=kind).to(device)
    if args.gpu:
        network.gradient_checkpointing_enable()
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-5)
    made = masking.build_conversations([{"messages": row} for row in rows])
    made = masking.build_examples(tokenizer, made, args.max_length).rows
    random.Random(1).shuffle(made)
    size = args.per_device or args.batch
    places = tokens = 0
    start = time.monotonic()
    for begin in range(0, len(made), args.batch):
        for first in range(begin, min(begin + args.batch, len(made)), size):
            batch = made[first : first + size]
            width = max(len(row["input_ids"]) for row in batch)
            places += width * len(batch)
            tokens += sum(len(row["input_ids"]) for row in batch)

            def padded(key, value, batch=batch, width=width):
                filled = [row[key] + [value] * (width - len(row[key])) for row in batch]
                return torch.tensor(filled, device=device)

            ids, labels = padded("input_ids", 0), padded("labels", -100)
            mask = torch.tensor(
                [[i < len(row["input_ids"]) for i in range(width)] for row in batch], device=device
            )
            network(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return told(places, places - tokens, time.monotonic() - start)


def told(places, padding, seconds):
    """Speed as `throughput.speed` says it."""
    return {
        "tokens_per_second": (places - padding) / seconds,
        "padding_share": padding / places,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
