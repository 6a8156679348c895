"""The miniature's tokenizer and its chat template."""

import random
from itertools import islice
from pathlib import Path

from miniature.folders import fill_folder
from miniature.lessons import data_lessons, plain_text
from miniature.recipes import PRETRAIN, TOKENIZER

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


def build_tokenizer(output: Path, recipe: dict) -> None:
    """Train the byte-level BPE tokenizer on the world's text and save it to the folder `output`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    recipe = TOKENIZER | recipe
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
    tokenizer.train_from_iterator(_training_text(rng, recipe["lines"]), trainer)
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
    with fill_folder(output) as folder:
        fast.save_pretrained(folder)


def _training_text(rng: random.Random, lines: int):
    """Half plain text, half lessons without their markers, which are tokens of their own."""
    for text, _ in islice(plain_text(rng, PRETRAIN["shares"]), lines // 2):
        yield text
    for lesson in data_lessons(rng, lines // 2):
        text = f"{lesson.prompt}\n{lesson.reply}"
        for marker in MARKERS:
            text = text.replace(marker, "\n")
        yield from text.split("\n")


def load_tokenizer(folder: Path):
    """The tokenizer in a model's folder."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)
