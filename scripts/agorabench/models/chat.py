"""Conversations as a model's chat template shows them, and their token ids."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from agorabench.errors import UserError

Message = dict[str, str]  # "role" and "content"


def use_template(tokenizer: PreTrainedTokenizerBase, path: str | Path | None = None) -> None:
    """Set the chat template of a tokenizer to that of a file, if one is given.

    Raises:
        UserError: there is no such file, or the tokenizer has no template and none is given.
    """
    if path:
        try:
            tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template; name a file of one "
            "as its template in the config"
        )


def render_chat(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], answering: bool = False
) -> str:
    """Return the text of a conversation; with `answering` up to where an answer begins."""
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Return the token ids of a conversation, up to where the assistant speaks."""
    encoded = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return encoded["input_ids"]


def continuation_tokens(
    tokenizer: PreTrainedTokenizerBase, prompt: str | list[Message], continuation: str
) -> tuple[list[int], list[int]]:
    """Return the token ids of a prompt, text or messages, and those that a continuation adds.

    A text's blanks at its end are tokens with what follows, as lm-evaluation-harness has it.
    """
    if not isinstance(prompt, str):
        return prompt_tokens(tokenizer, prompt), tokenize_texts(tokenizer, [continuation])[0]
    blanks = len(prompt) - len(prompt.rstrip())
    prompt, continuation = prompt.rstrip(), prompt[len(prompt) - blanks :] + continuation
    context = tokenizer(prompt)["input_ids"] if prompt else []
    whole = tokenizer(prompt + continuation)["input_ids"]
    if not context:  # something has to come before the first token
        first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return [first], whole[whole[:1] == [first] :]
    return context, whole[len(context) :]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the special token that the template puts behind a response.

    Raises:
        UserError: it puts none there, so a student would never learn to stop.
    """
    probe = "x1y2"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": probe}]
    tail = render_chat(tokenizer, messages).rpartition(probe)[2]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for token in tokenize_texts(tokenizer, [tail])[0]:
        if token in special:
            return token
    raise UserError(
        f"the chat template puts {tail!r} behind a response, and no token of that is special: "
        "a student would not learn to stop"
    )


def split_conversation(tokenizer: PreTrainedTokenizerBase, row: dict) -> tuple[str, str]:
    """Return the text of a conversation up to where the answer begins, and the rest.

    Args:
        row: {"prompt": messages, "completion": [message]}.

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


def tokenize_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the token ids of each text, without special tokens beyond those in it."""
    return tokenizer(texts, add_special_tokens=False)["input_ids"]
