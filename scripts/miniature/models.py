"""The miniature's models: a base, and what post-training makes of it.

Llama-architecture models of about half a million weights, built on a CPU in about a minute each.
The base has read plain text only. A *student's* post-training (`answers`) shows bare instructions
with right answers: the reference. A *generator's* (`data`) shows meta-prompts with replies, and its
known defects are chosen here: a share of wrong answers, or a few templates only. A *judge's*
(`verdicts`) shows right and wrong answers with scores, a *reward model's* (`preferences`) the same
in pairs; both start from the reference, which knows what is right.

Recipes: the config's `mini:`, with the keys of recipes.py.
"""

import json
import random
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from agorabench.errors import UserError
from agorabench.models import weights
from agorabench.progress import hush, progress

from miniature.folders import fill_folder
from miniature.lessons import (
    Lesson,
    answer_lessons,
    data_lessons,
    plain_text,
    preference_lessons,
    verdict_lessons,
)
from miniature.losses import (
    encode_turns,
    encode_verdict,
    label_loss,
    make_batches,
    preference_loss,
    reply_loss,
    verdict_loss,
)
from miniature.recipes import POSTTRAIN, PRETRAIN
from miniature.tokenizer import load_tokenizer


def build_base(tokenizer_folder: Path, output: Path, recipe: dict, threads: int) -> None:
    """Pre-train the base on plain text and save it, with its tokenizer, to the folder `output`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    recipe = PRETRAIN | recipe
    _set_seed(recipe["seed"], threads)
    tokenizer = load_tokenizer(tokenizer_folder)
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
    optimizer, schedule = _make_optimizer(model, recipe["learning_rate"], steps)
    stream = _stream_tokens(tokenizer, random.Random(f"pretrain/{recipe['seed']}"), recipe)
    started, losses = time.monotonic(), []
    for _ in progress(range(steps), "pretrain base", unit="steps"):
        rows = torch.tensor([list(islice(stream, length)) for _ in range(recipe["batch_size"])])
        loss = label_loss(model, rows, rows)
        losses.append(_update_weights(loss, model, optimizer, schedule))
    _save_model(model, tokenizer, output, recipe, losses, started)


def _stream_tokens(tokenizer, rng: random.Random, recipe: dict):
    """An endless stream of token ids: lines of plain text, parted by newlines."""
    lines = plain_text(rng, recipe["shares"])
    while True:
        texts = [text + "\n" for text, _ in islice(lines, 512)]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            yield from ids


def posttrain_model(name: str, base: Path, output: Path, recipe: dict, threads: int) -> None:
    """Post-train the base into the reference or a generator and save it to the folder `output`."""
    import torch
    from transformers import LlamaForCausalLM

    recipe = POSTTRAIN | recipe
    _set_seed(recipe["seed"], threads)
    tokenizer = load_tokenizer(base)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    for _ in range(recipe["extra_layers"]):
        model = add_layer(model)
    lessons = draw_lessons(name, recipe)
    facts = {}
    if recipe["lessons"] == "preferences":
        model = _add_reward_head(model)
    elif recipe["lessons"] != "verdicts":
        facts["right_share"] = sum(lesson.right for lesson in lessons) / len(lessons)
    rows, loss_of = _encode_lessons(tokenizer, lessons, recipe["lessons"])
    order = random.Random(f"order/{name}/{recipe['seed']}")
    batches = [
        batch
        for _ in range(recipe["epochs"])
        for batch in make_batches(rows, recipe["batch_size"], order)
    ]
    optimizer, schedule = _make_optimizer(model, recipe["learning_rate"], len(batches))
    started, losses = time.monotonic(), []
    for batch in progress(batches, f"posttrain {name}", unit="steps"):
        loss = loss_of(model, [rows[i] for i in batch], tokenizer.pad_token_id)
        losses.append(_update_weights(loss, model, optimizer, schedule))
    _save_model(model, tokenizer, output, recipe, losses, started, **facts)


def _add_reward_head(model):
    """The model with one number at its end in place of the next token."""
    from transformers import LlamaForSequenceClassification

    model.config.num_labels = 1
    classifier = LlamaForSequenceClassification(model.config)
    classifier.model = model.model
    return classifier


def _encode_lessons(tokenizer, lessons: list, kind: str) -> tuple[list, Callable]:
    """Lessons as token ids, and the loss of this kind of lesson."""
    if kind == "preferences":
        pairs = [
            tuple(encode_turns(tokenizer, one.prompt, one.reply)[0] for one in pair)
            for pair in lessons
        ]
        return pairs, preference_loss
    if kind == "verdicts":
        return [encode_verdict(tokenizer, lesson) for lesson in lessons], verdict_loss
    return [encode_turns(tokenizer, one.prompt, one.reply) for one in lessons], reply_loss


def draw_lessons(name: str, recipe: dict) -> list[Lesson]:
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


def add_layer(model):
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


def _set_seed(seed: int, threads: int) -> None:
    import torch

    hush()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def _make_optimizer(model, learning_rate: float, steps: int):
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


def _update_weights(loss, model, optimizer, schedule) -> float:
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _save_model(model, tokenizer, output: Path, recipe, losses, started, **facts) -> None:
    """Save model and tokenizer as a Hugging Face folder, with build.json and the digest last."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    last = losses[-50:]
    with fill_folder(output) as folder:
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
