"""Training examples as token ids, with the loss on each response and its end of turn only.

Prompt and response become tokens apart, as they do when the student answers: the prompt ends where
it will begin to write. What a template puts after the end of turn (ChatML a line break) is no part
of the example.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from agorabench.errors import UserError
from agorabench.models.chat import end_of_turn, split_conversation, tokenize_texts

IGNORED = -100  # the label of a token without loss, in PyTorch's cross entropy
BATCH = 1000  # conversations tokenized at a time


@dataclass
class Examples:
    """Conversations as token ids.

    Attributes:
        rows: {"input_ids", "labels"} of each, at most max_length tokens long.
        spans: the text that the loss of each should cover: the response as the template shows it
            and the end of turn; for one that was cut, what is left of them.
        end: the text of the end of turn.
        truncated: fraction of the conversations that are longer than max_length.
        dropped: how many of those have a prompt that alone is; they are in neither list.
    """

    rows: list[dict[str, list[int]]]
    spans: list[str]
    end: str
    truncated: float
    dropped: int


def build_conversations(rows: list[dict], system: str = "") -> list[dict]:
    """Return each answer of each row as {"prompt": the messages before it, "completion": [it]}.

    `system` goes before rows that have no system message of their own.
    """
    opening = [{"role": "system", "content": system}] if system else []
    conversations = []
    for row in rows:
        messages = row["messages"]
        if messages[0]["role"] != "system":
            messages = opening + messages
        conversations += (
            {"prompt": messages[:number], "completion": [message]}
            for number, message in enumerate(messages)
            if message["role"] == "assistant"
        )
    return conversations


def build_examples(
    tokenizer: PreTrainedTokenizerBase, conversations: list[dict], max_length: int
) -> Examples:
    """Return conversations, {"prompt": messages, "completion": [message]}, as Examples.

    Raises:
        UserError: the template does not show a prompt as the beginning of the conversation, or a
            response as it is, but for white space around it.
    """
    end = tokenizer.decode([end_of_turn(tokenizer)])
    rows, spans, long, dropped = [], [], 0, 0
    for start in range(0, len(conversations), BATCH):
        texts = [_split_example(tokenizer, row, end) for row in conversations[start:][:BATCH]]
        prompts, answers = map(list, zip(*texts, strict=True))
        tokens = tokenize_texts(tokenizer, prompts), tokenize_texts(tokenizer, answers)
        for prompt, answer, text in zip(*tokens, answers, strict=True):
            long += len(prompt) + len(answer) > max_length
            if len(prompt) >= max_length:
                dropped += 1
                continue
            kept = answer[: max_length - len(prompt)]
            labels = [IGNORED] * len(prompt) + kept
            rows.append({"input_ids": prompt + kept, "labels": labels})
            spans.append(text if len(kept) == len(answer) else tokenizer.decode(kept))
    return Examples(rows, spans, end, long / max(1, len(conversations)), dropped)


def _split_example(tokenizer, conversation, end):
    """(Text of the prompt, text of the response with its end of turn)."""
    prompt, text = split_conversation(tokenizer, conversation)
    shown = text[: text.rindex(end)]
    response = conversation["completion"][0]["content"]
    if shown.strip() != response.strip():
        raise UserError(f"the chat template shows the response {response!r} as {shown + end!r}")
    return prompt, shown + end


def check_spans(
    batch: dict[str, torch.Tensor], tokenizer: PreTrainedTokenizerBase, spans: set[str]
) -> int:
    """Check that the loss of a batch, as the model gets it, covers whole responses only.

    Args:
        batch: "input_ids" and "labels", [rows, tokens], of padded, packed or flattened examples.
        spans: the texts that the loss may cover in one run of tokens.

    Returns:
        The number of responses in the batch.

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
                if text not in spans:
                    raise UserError(
                        f"the loss would be taken on {text!r}, which is no response with its end "
                        "of turn: the chat template does not mark turns as expected"
                    )
    return found
