"""The miniature's models: a tokenizer, a base, and what post-training makes of it.

Llama-architecture models of about half a million weights, built on a CPU in about a minute each.
The base has read plain text only. A *student's* post-training (`answers`) shows bare instructions
with right answers: the reference. A *generator's* (`data`) shows meta-prompts with replies, and its
known defects are chosen here: a share of wrong answers, or a few templates only. A *judge's*
(`verdicts`) shows right and wrong answers with scores, a *reward model's* (`preferences`) the same
in pairs; both start from the reference, which knows what is right.

Recipes (the config's `mini:` stanza), with the keys of `POSTTRAIN` and `PRETRAIN` below.
"""

import json
import os
import random
import shutil
import time
from itertools import islice
from pathlib import Path

from agorabench.errors import UserError
from agorabench.models import weights
from agorabench.progress import hush, progress

from miniature.lessons import (
    Lesson,
    answer_lessons,
    data_lessons,
    plain_text,
    preference_lessons,
    verdict_lessons,
)

PAD, SYSTEM, USER, ASSISTANT, END = "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
MARKERS = (
    *("[RESULT]", "[/RESULT]", "[END]", "INPUT:", "OUTPUT:"),
    *("Question:", "Answer:", "Revised", "```python", "```"),
)
# the generation markers show trainers which tokens are the assistant's, its end of turn included
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- else -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

VERDICT_WEIGHT = 0.5  # of each of the three tokens of a judge's reply
ANSWER_WEIGHT = 0.7  # of the tokens of a right answer that it is shown, together

TOKENIZER = {"seed": 1, "vocabulary": 960, "lines": 8000}
PRETRAIN = {
    "seed": 1,
    "hidden": 96,
    "layers": 3,
    "heads": 4,
    "intermediate": 256,
    "steps": 2500,
    "batch_size": 8,
    "length": 128,
    "learning_rate": 3e-3,
    "shares": {
        "facts": 8,
        "stories": 13,
        "echoes": 35,
        "functions": 13,
        "phrases": 24,
        "corrections": 12,
    },
}
POSTTRAIN = {
    "seed": 1,
    "start": "base",  # the model that it is made of
    "lessons": "data",  # or answers, verdicts, preferences
    "pairs": 4500,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "shares": {"math": 2, "code": 2, "instruction": 3},  # of answers; data has nine equal settings
    "extra_layers": 0,
    "wrong_share": 0.0,
    "few": False,
}


def recipe_keys(name: str) -> dict:
    """What the recipe of a model of this name may set, with the defaults."""
    return {"tokenizer": TOKENIZER, "base": PRETRAIN}.get(name, POSTTRAIN)


def recipe_of(defaults: dict, given: dict) -> dict:
    """The defaults with what the config gave; a key that is not among them is a UserError."""
    for key in given:
        if key not in defaults:
            raise UserError(f"unknown key {key!r} in a mini recipe; known: {', '.join(defaults)}")
    return defaults | given


# -------------------------------------------------------------------------------------- tokenizer


def build_tokenizer(output: Path, recipe: dict) -> None:
    """Train the byte-level BPE tokenizer on the world's text and save it to the folder `output`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    recipe = recipe_of(TOKENIZER, recipe)
    rng = random.Random(f"tokenizer/{recipe['seed']}")
    tokenizer = Tokenizer(models.BPE())
    # single digits: a number is read as it is written, and sums can be learned from few examples
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, SYSTEM, USER, ASSISTANT, END]
    markers = [AddedToken(text, normalized=False, special=False) for text in MARKERS]
    trainer = trainers.BpeTrainer(
        vocab_size=recipe["vocabulary"] - len(MARKERS),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_tokenizer_text(rng, recipe["lines"]), trainer)
    tokenizer.add_tokens(markers)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        padding_side="right",
    )
    fast.chat_template = CHAT_TEMPLATE
    with _complete(output) as folder:
        fast.save_pretrained(folder)


def _tokenizer_text(rng: random.Random, lines: int):
    """Half plain text, half lessons without their markers, which are tokens of their own."""
    for text, _ in islice(plain_text(rng, PRETRAIN["shares"]), lines // 2):
        yield text
    for lesson in data_lessons(rng, lines // 2):
        text = f"{lesson.prompt}\n{lesson.reply}"
        for marker in MARKERS:
            text = text.replace(marker, "\n")
        yield from text.split("\n")


# ------------------------------------------------------------------------------------------- base


def build_base(tokenizer_folder: Path, output: Path, recipe: dict, threads: int) -> None:
    """Pre-train the base on plain text and save it, with its tokenizer, to the folder `output`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    recipe = recipe_of(PRETRAIN, recipe)
    _settle(recipe["seed"], threads)
    tokenizer = _load_tokenizer(tokenizer_folder)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe["hidden"],
            intermediate_size=recipe["intermediate"],
            num_hidden_layers=recipe["layers"],
            num_attention_heads=recipe["heads"],
            num_key_value_heads=recipe["heads"],
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    steps, length = recipe["steps"], recipe["length"]
    optimizer, schedule = _optimizer(model, recipe["learning_rate"], steps)
    stream = _packed(tokenizer, random.Random(f"pretrain/{recipe['seed']}"), recipe)
    started, losses = time.monotonic(), []
    for _ in progress(range(steps), "pretrain base", unit="steps"):
        rows = torch.tensor([list(islice(stream, length)) for _ in range(recipe["batch_size"])])
        loss = _loss(model, rows, rows)
        losses.append(_step(loss, model, optimizer, schedule))
    _save(model, tokenizer, output, recipe, losses, started)


def _packed(tokenizer, rng: random.Random, recipe: dict):
    """An endless stream of token ids: lines of plain text, parted by newlines."""
    lines = plain_text(rng, recipe["shares"])
    while True:
        texts = [text + "\n" for text, _ in islice(lines, 512)]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            yield from ids


# ---------------------------------------------------------------------------------- post-training


def posttrain(name: str, base: Path, output: Path, recipe: dict, threads: int) -> None:
    """Post-train the base into the reference or a generator and save it to the folder `output`."""
    import torch
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    recipe = recipe_of(POSTTRAIN, recipe)
    _settle(recipe["seed"], threads)
    tokenizer = _load_tokenizer(base)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    for _ in range(recipe["extra_layers"]):
        model = grow(model)
    lessons = lessons_of(name, recipe)
    facts = {}
    if recipe["lessons"] == "preferences":
        model.config.num_labels = 1
        classifier = LlamaForSequenceClassification(model.config)
        classifier.model = model.model
        model, loss_of = classifier, _preference_loss
        rows = [
            tuple(encode(tokenizer, one.prompt, one.reply)[0] for one in pair) for pair in lessons
        ]
    elif recipe["lessons"] == "verdicts":
        loss_of = _verdict_loss
        rows = [encode_verdict(tokenizer, lesson) for lesson in lessons]
    else:
        loss_of = _reply_loss
        rows = [encode(tokenizer, lesson.prompt, lesson.reply) for lesson in lessons]
        facts["right_share"] = sum(lesson.right for lesson in lessons) / len(lessons)
    order = random.Random(f"order/{name}/{recipe['seed']}")
    batches = [
        batch
        for _ in range(recipe["epochs"])
        for batch in _batches(rows, recipe["batch_size"], order)
    ]
    optimizer, schedule = _optimizer(model, recipe["learning_rate"], len(batches))
    started, losses = time.monotonic(), []
    for batch in progress(batches, f"posttrain {name}", unit="steps"):
        loss = loss_of(model, [rows[i] for i in batch], tokenizer.pad_token_id)
        losses.append(_step(loss, model, optimizer, schedule))
    _save(model, tokenizer, output, recipe, losses, started, **facts)


def lessons_of(name: str, recipe: dict) -> list[Lesson]:
    """What a model of this name and recipe (with its defaults) learns from."""
    rng = random.Random(f"posttrain/{name}/{recipe['seed']}")
    if recipe["lessons"] == "answers":
        return answer_lessons(rng, recipe["pairs"], recipe["shares"])
    if recipe["lessons"] == "data":
        return data_lessons(rng, recipe["pairs"], recipe["wrong_share"], recipe["few"])
    if recipe["lessons"] == "verdicts":
        return verdict_lessons(rng, recipe["pairs"])
    if recipe["lessons"] == "preferences":
        return preference_lessons(rng, recipe["pairs"])
    known = "answers, data, verdicts, preferences"
    raise UserError(f"unknown lessons {recipe['lessons']!r} for {name}; known: {known}")


def grow(model):
    """The same function with one more layer, which post-training can then use.

    The new last layer is a copy whose output projections are zero, so that it adds nothing yet
    (block expansion, arXiv 2401.02415).
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    last = model.config.num_hidden_layers - 1
    config = LlamaConfig(**(model.config.to_dict() | {"num_hidden_layers": last + 2}))
    larger = LlamaForCausalLM(config)
    state = model.state_dict()
    for key, value in list(state.items()):
        if key.startswith(f"model.layers.{last}."):
            silent = key.endswith(("o_proj.weight", "down_proj.weight"))
            copy = torch.zeros_like(value) if silent else value.clone()
            state[key.replace(f"layers.{last}.", f"layers.{last + 1}.")] = copy
    larger.load_state_dict(state)
    return larger


def encode(tokenizer, prompt: str, reply: str) -> tuple[list[int], int]:
    """Token ids of one turn each, and how many of them are the prompt's (no loss on those)."""
    asked = tokenizer(f"{USER}{prompt}{END}{ASSISTANT}", add_special_tokens=False)["input_ids"]
    answered = tokenizer(f"{reply}{END}", add_special_tokens=False)["input_ids"]
    return asked + answered, len(asked)


def collate(rows: list[tuple[list[int], int]], pad: int):
    """Right-padded ids and labels, both (rows, longest); prompts and padding carry no label."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), -100)
    for i, (row, start) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, start : len(row)] = torch.tensor(row[start:])
    return ids, labels


def _reply_loss(model, rows, pad: int):
    return _loss(model, *collate(rows, pad))


def encode_verdict(tokenizer, lesson: Lesson) -> tuple[list[int], list[float]]:
    """Token ids of a judge's lesson and the weight of each in the loss.

    A right answer within the prompt (and its end) counts, too: who cannot tell what comes next
    cannot tell what is wrong, and so small a model soon forgets it otherwise.
    """
    ids, start = encode(tokenizer, lesson.prompt, lesson.reply)
    weights = [0.0] * start + [VERDICT_WEIGHT] * (len(ids) - start)
    if lesson.known:
        head = USER + lesson.prompt.removesuffix(lesson.known).rstrip()
        begin = len(tokenizer(head, add_special_tokens=False)["input_ids"])
        for place in range(begin, start):
            weights[place] = ANSWER_WEIGHT / (start - begin)
    return ids, weights


def _verdict_loss(model, rows, pad: int):
    """Weighted cross-entropy."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), pad)
    weights = torch.zeros((len(rows), longest))
    for i, (row, weight) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        weights[i, : len(row)] = torch.tensor(weight)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    counted = weights[:, 1:] > 0
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[counted]), ids[:, 1:][counted], reduction="none"
    )
    return (losses * weights[:, 1:][counted]).sum() / len(rows)


def _preference_loss(model, rows, pad: int):
    """Minus the log-likelihood that the first of each pair is preferred (Bradley, Terry 1952)."""
    import torch

    flat = [ids for pair in rows for ids in pair]
    longest = max(map(len, flat))
    ids = torch.full((len(flat), longest), pad)
    for i, row in enumerate(flat):
        ids[i, : len(row)] = torch.tensor(row)
    first, second = model(input_ids=ids, use_cache=False).logits.view(-1, 2).unbind(1)
    return -torch.nn.functional.logsigmoid(first - second).mean()


def _batches(rows, size: int, order: random.Random) -> list[list[int]]:
    """Shuffled batches of row numbers, alike in length, so that little of the work is padding."""
    numbers = list(range(len(rows)))
    order.shuffle(numbers)
    pool = size * 16
    batches = []
    for start in range(0, len(numbers), pool):
        near = sorted(numbers[start : start + pool], key=lambda i: len(rows[i][0]))
        batches += [near[i : i + size] for i in range(0, len(near), size)]
    order.shuffle(batches)
    return batches


# ----------------------------------------------------------------------------------------- shared


def _settle(seed: int, threads: int) -> None:
    import torch

    hush()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def _load_tokenizer(folder: Path):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


def _optimizer(model, learning_rate: float, steps: int):
    """AdamW with a short warm-up and a linear decay to zero."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    warmup = max(1, min(100, steps // 20))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    return optimizer, schedule


def _loss(model, ids, labels):
    """Cross-entropy of the labelled tokens, every row counting alike, however long its reply is."""
    import torch

    # right padding under a causal mask: no mask is needed, as padding comes after all that counts
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    counted = wanted != -100
    # the head is computed for the labelled tokens alone
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[counted]), wanted[counted], reduction="none"
    )
    lengths = counted.sum(1, keepdim=True).expand_as(counted)[counted]
    return (losses / lengths).sum() / len(ids)


def _step(loss, model, optimizer, schedule) -> float:
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _save(model, tokenizer, output: Path, recipe, losses, started, **facts) -> None:
    """Save model and tokenizer as a Hugging Face folder, with build.json and the digest last."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    last = losses[-50:]
    with _complete(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        build = {
            "seed": recipe["seed"],
            "parameters": sum(part.numel() for part in model.parameters()),
            "steps": len(losses),
            "loss": round(sum(last) / len(last), 4),
            "seconds": round(time.monotonic() - started, 1),
            **facts,
            "recipe": recipe,
        }
        (folder / "build.json").write_text(json.dumps(build, indent=2) + "\n")
        weights.record_digest(folder)


class _complete:
    """A folder that appears under its name only when the block that fills it has succeeded."""

    def __init__(self, output: Path):
        self.output = Path(output)
        self.partial = self.output.with_name(f".{self.output.name}.partial")

    def __enter__(self) -> Path:
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        return self.partial

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        shutil.rmtree(self.output, ignore_errors=True)
        os.replace(self.partial, self.output)
