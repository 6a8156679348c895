"""From conversations to tokens, with the loss on each response and its end of turn only.

Prompt and response become tokens apart, as they do when the student answers: the prompt ends where
it will begin to write. What a template puts after the end of turn (ChatML a line break) is no part
of the example.
"""

from dataclasses import dataclass

from agorabench.errors import UserError

IGNORED = -100  # the label of a token without loss, in PyTorch's cross entropy
BATCH = 1000


@dataclass
class Examples:
    """Conversations as tokens.

    Attributes:
        rows: {"input_ids", "labels"} of each, at most max_length long.
        spans: the text that the loss of each should cover: the response as the template shows it
            and the end of turn; for one that was cut, what is left of them.
        end: the text of the end of turn.
        truncated: share of the conversations that are longer than max_length.
        dropped: those among them whose prompt alone is; they are in neither list.
    """

    rows: list
    spans: list
    end: str
    truncated: float
    dropped: int


def use_template(tokenizer, path=None):
    """Set the chat template of a tokenizer to that of a file, if one is given.

    Raises:
        UserError: there is no such file, or the tokenizer has no template and none is given.
    """
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                tokenizer.chat_template = file.read()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template; name a file of one "
            "as its template in the config"
        )


def render_chat(tokenizer, messages, answering=False):
    """The text of a conversation; with `answering` up to where an answer begins."""
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)


def prompt_tokens(tokenizer, messages):
    """Token ids of a conversation, up to where the assistant speaks."""
    encoded = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return encoded["input_ids"]


def end_of_turn(tokenizer):
    """The special token, an id, that the template puts behind a response.

    Raises:
        UserError: it puts none there, so a student would never learn to stop.
    """
    probe = "x1y2"
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": probe}]
    tail = render_chat(tokenizer, asked).rpartition(probe)[2]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    found = [token for token in tokenize_texts(tokenizer, [tail])[0] if token in special]
    if not found:
        raise UserError(
            f"the chat template puts {tail!r} behind a response, and no token of that is special: "
            "a student would not learn to stop"
        )
    return found[0]


def build_examples(tokenizer, conversations, max_length):
    """Conversations, {"prompt": messages, "completion": [message]}, as Examples.

    Raises:
        UserError: the template does not show a prompt as the beginning of the conversation, or a
            response as it is, but for white space around it.
    """
    end = end_of_turn(tokenizer)
    stop = tokenizer.decode([end])
    rows, spans, long, dropped = [], [], 0, 0
    for start in range(0, len(conversations), BATCH):
        batch = conversations[start : start + BATCH]
        parts = [split_conversation(tokenizer, row) for row in batch]
        asked = [prompt for prompt, _ in parts]
        answers = [text[: text.rindex(stop)] + stop for _, text in parts]
        for text, row in zip(answers, batch, strict=True):
            response = row["completion"][0]["content"]
            if text.removesuffix(stop).strip() != response.strip():
                raise UserError(f"the chat template shows the response {response!r} as {text!r}")
        tokens = tokenize_texts(tokenizer, asked), tokenize_texts(tokenizer, answers)
        for prompt, answer, text in zip(*tokens, answers, strict=True):
            ids = prompt + answer
            long += len(ids) > max_length
            if len(prompt) >= max_length:
                dropped += 1
                continue
            kept = answer[: max_length - len(prompt)]
            labels = [IGNORED] * len(prompt) + kept
            rows.append({"input_ids": ids[:max_length], "labels": labels})
            spans.append(text if len(kept) == len(answer) else tokenizer.decode(kept))
    return Examples(rows, spans, stop, long / max(1, len(conversations)), dropped)


def split_conversation(tokenizer, row):
    """(Prompt, answer): the text of a conversation up to where the answer begins, and the rest.

    Raises:
        UserError: the template does not show the prompt as the beginning of the conversation.
    """
    prompt = render_chat(tokenizer, row["prompt"], answering=True)
    text = render_chat(tokenizer, row["prompt"] + row["completion"])
    if not text.startswith(prompt):
        raise UserError(
            f"the chat template shows a prompt as {prompt[-60:]!r} while it waits for the "
            f"answer, and otherwise as {text[: len(prompt)][-60:]!r}: the loss cannot be kept to "
            "the response"
        )
    return prompt, text[len(prompt) :]


def tokenize_texts(tokenizer, texts):
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def check_spans(batch, tokenizer, wanted):
    """See in a batch, as the model will get it, that the loss covers whole responses only.

    Args:
        batch: tensors "input_ids" and "labels", rows of examples, padded, packed or flattened.
        wanted: what the loss may cover in one run of tokens, a set of spans.

    Returns:
        How many responses there are.

    Raises:
        UserError: the loss is on something else.
    """
    found = 0
    for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        run = []
        for token, label in zip([*ids, None], [*labels, IGNORED], strict=True):
            if label != IGNORED:
                if label != token:
                    raise UserError("the labels of the loss are not the tokens of the responses")
                run.append(token)
            elif run:
                text, run = tokenizer.decode(run), []
                found += 1
                if text not in wanted:
                    raise UserError(
                        f"the loss would be taken on {text!r}, which is no response with its end "
                        "of turn: the chat template does not mark turns as expected"
                    )
    return found
