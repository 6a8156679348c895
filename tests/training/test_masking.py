"""What of a conversation the loss is on, with the templates of the field."""

import pytest
from agorabench.errors import UserError
from agorabench.models import chat
from agorabench.training.masking import (
    IGNORED,
    build_conversations,
    build_examples,
    check_spans,
)
from helpers import ROOT
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

LLAMA = "<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>"
CHATML = "<|endoftext|> <|im_start|> <|im_end|>"
# As Qwen 2.5 does: a system message of its own where none is given.
QWEN = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
ROWS = [
    {
        "messages": [
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": "It is 4."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Résumé?\n\n- one"},
            {"role": "assistant", "content": "  Ünïcode\n\n```python\nx = 1\n```\n"},
        ]
    },
]


def tokenizer(special, template=None, end=None):
    """A byte-level tokenizer with the special tokens of a family of models."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({text: number for number, text in enumerate(alphabet)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    names = special.split()
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token=names[0], eos_token=end or names[1],
        additional_special_tokens=names,
    )  # fmt: skip
    made.chat_template = template
    return made


def families():
    llama = tokenizer(LLAMA)
    chat.use_template(llama, ROOT / "config" / "templates" / "llama-3.jinja")
    chatml = tokenizer(CHATML, end="<|im_end|>")
    chat.use_template(chatml, ROOT / "config" / "templates" / "chatml.jinja")
    qwen = tokenizer(CHATML, QWEN, end="<|endoftext|>")
    return {
        "llama-3": (llama, "<|eot_id|>"),
        "chatml": (chatml, "<|im_end|>"),
        "qwen": (qwen, "<|im_end|>"),
    }


@pytest.mark.parametrize("family", ["llama-3", "chatml", "qwen"])
@pytest.mark.parametrize("system", ["", "You are a helpful AI assistant."])
def test_the_loss_is_on_the_last_response_and_its_end_of_turn(family, system):
    made, end = families()[family]
    asked = build_conversations(ROWS, system)
    found = build_examples(made, asked, 4096)
    assert found.end == end and found.truncated == found.dropped == 0
    for row, conversation in zip(found.rows, asked, strict=True):
        start = next(i for i, label in enumerate(row["labels"]) if label != IGNORED)
        assert row["labels"][start:] == row["input_ids"][start:]  # to the last token of the example
        assert set(row["labels"][:start]) == {IGNORED}
        trained = made.decode(row["input_ids"][start:])
        content = conversation["completion"][0]["content"]
        wanted = content.strip() if family == "llama-3" else content  # which trims, as the original
        assert trained == wanted + end
        # What comes before is what the student will be asked with, to the token.
        prompt = chat.render_chat(made, conversation["prompt"], answering=True)
        assert row["input_ids"][:start] == made(prompt, add_special_tokens=False)["input_ids"]
        assert system in prompt


def test_the_template_of_llama_3():
    made, _ = families()["llama-3"]
    text = chat.render_chat(made, ROWS[0]["messages"])
    assert text == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nIt is 4.<|eot_id|>"
    )


def test_a_cut_example_has_no_end_of_turn_and_a_long_prompt_is_dropped():
    made, _ = families()["chatml"]
    long = {
        "prompt": [{"role": "user", "content": "a" * 100}],
        "completion": [{"role": "assistant", "content": "b"}],
    }
    cut = {
        "prompt": [{"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": "b" * 100}],
    }
    found = build_examples(made, [long, cut], 40)
    assert found.truncated == 1.0 and found.dropped == 1
    (row,), (span,) = found.rows, found.spans
    assert len(row["input_ids"]) == 40 and set(span) == {"b"}


def test_special_tokens_in_a_response_do_not_end_it():
    made, end = families()["chatml"]
    row = {
        "prompt": [{"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": f"say {end} now"}],
    }
    (found,) = build_examples(made, [row], 400).rows
    assert (
        made.decode([label for label in found["labels"] if label != IGNORED])
        == f"say {end} now{end}"
    )


def test_a_template_without_an_end_of_turn_is_refused():
    made = tokenizer(CHATML, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    with pytest.raises(UserError, match="would not learn to stop"):
        build_examples(made, build_conversations(ROWS), 400)


def test_a_template_that_shows_prompts_otherwise_is_refused():
    template = "{{ messages | length }}" + QWEN
    with pytest.raises(UserError, match="the loss cannot be kept to the response"):
        build_examples(tokenizer(CHATML, template), build_conversations(ROWS), 400)


def test_a_tokenizer_without_a_template_needs_one():
    with pytest.raises(UserError, match="has no chat template; name a file of one as its template"):
        chat.use_template(tokenizer(CHATML))


@pytest.mark.parametrize("fault", ["prompt", "end", "label"])
def test_a_loss_elsewhere_is_refused(fault):
    import torch

    made, _ = families()["chatml"]
    found = build_examples(made, build_conversations(ROWS), 4096)
    ids = torch.tensor([found.rows[0]["input_ids"]])
    labels = torch.tensor([found.rows[0]["labels"]])
    wanted = set(found.spans)
    assert check_spans({"input_ids": ids, "labels": labels}, made, wanted) == 1
    start = int((labels[0] != IGNORED).nonzero()[0])
    if fault == "prompt":
        labels[0, start - 1] = ids[0, start - 1]
    elif fault == "end":
        labels[0, -1] = IGNORED
    else:
        labels[0, start] += 1
    with pytest.raises(UserError, match="loss"):
        check_spans({"input_ids": ids, "labels": labels}, made, wanted)


def test_a_template_that_adds_to_the_response_is_refused():
    """As those do that show an empty thought before it."""
    template = QWEN.replace(
        "message.content",
        "('<think></think>' if message.role == 'assistant' else '') + message.content",
    )
    with pytest.raises(UserError, match=r"shows the response 'It is 4\.' as '<think>"):
        build_examples(tokenizer(CHATML, template), build_conversations(ROWS), 400)
