r"""A choice of answers: any such benchmark, described in the config.

    prompt: "{question}\n\n{choices}\n\nAnswer with the letter."
    choices: options      # a list; {label: text}; {"label": [...], "text": [...]}; or [field, ...]
    answer: answer_idx    # the field of the right label, of its place in the list (from 0), or text
    by: text

{choices} in the prompt is a line for each, "A. the text"; where the prompt does not have it, they
follow. By `text` a completion is read: what it gives as its answer is a label or a choice's text;
`extract`, regular expressions, say where else it is. By `likelihood` nothing is written: the label
counts that the model would most likely answer with, which an engine that is loaded here can tell
and an API cannot.
"""

import re
import string

from agorabench.evaluation.answers import find_statements
from agorabench.evaluation.benchmarks.match import find_answers, row_id
from agorabench.files import value_at
from agorabench.rows import fill_template

KEYS = {
    "prompt": "the question, a text with {fields} of the rows",
    "choices": "the field of the choices, or a list of fields",
    "answer": "the field of the right choice",
    "extract": None,
    "by": None,
}
NAMED = r"(?:answer|option|choice)[\s*_:]*(?:is[\s*_:]*)?"


def read_items(rows: list[dict], entry: dict) -> list[dict]:
    """Items of rows, with the labels and texts of their choices and the right label.

    Raises:
        KeyError: a row lacks a field.
        ValueError: a row has no choices, or its answer is none of them.
    """
    items = []
    for number, row in enumerate(rows):
        choices = read_choices(row, entry["choices"])
        lines = "\n".join(f"{label}. {text}" for label, text in choices.items())
        prompt = fill_template(entry["prompt"], row | {"choices": lines})
        if "{choices}" not in entry["prompt"]:
            prompt = f"{prompt.rstrip()}\n\n{lines}"
        item = {"id": row_id(row, number), "prompt": prompt, "choices": choices}
        if entry.get("by") == "likelihood":
            item["continuations"] = list(choices)
        if "answer" in entry:  # who answers is not given it
            item["answer"] = right_label(value_at(row, entry["answer"]), choices)
        items.append(item)
    return items


def read_choices(row: dict, place: str | list[str]) -> dict[str, str]:
    """{label: text} of a row's choices, of a field or of several.

    Raises:
        ValueError: they are fewer than two, or no texts.
    """
    value = [value_at(row, field) for field in place] if isinstance(place, list) else None
    value = value_at(row, place) if value is None else value
    if isinstance(value, dict) and set(value) == {"label", "text"}:
        value = dict(zip(value["label"], value["text"], strict=True))
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        value = dict(tuple(one[key] for key in ("label", "text")) for one in value)
    if isinstance(value, list) and len(value) <= len(string.ascii_uppercase):
        value = dict(zip(string.ascii_uppercase, value, strict=False))
    if not isinstance(value, dict) or len(value) < 2:
        raise ValueError(f"not 2 to 26 choices in {place}")
    return {str(label): str(text) for label, text in value.items() if text is not None}


def right_label(answer, choices: dict[str, str]) -> str:
    """The label that an answer means: a label itself, a place from 0, or a choice's text.

    A number is a place, and text that is the text of one choice is that choice, though both be 2.

    Raises:
        ValueError: it is none of these.
    """
    labels, text = list(choices), str(answer).strip()
    if text in choices:
        return text
    same = [label for label, choice in choices.items() if choice.strip() == text]
    if len(same) == 1 and isinstance(answer, str):
        return same[0]
    if re.fullmatch(r"\d+", text) and int(text) < len(labels):
        return labels[int(text)]
    raise ValueError(f"the answer {answer!r} is none of its choices")


def grade_items(
    items: list[dict], completions: list[str], sandbox=None, *, entry: dict, predictions: list[dict]
) -> list[dict]:
    """Is the label that was read, or that is likeliest, the right one?"""
    verdicts = []
    for item, text, row in zip(items, completions, predictions, strict=True):
        if entry.get("by") == "likelihood":
            likely = [one["logprob"] for one in row["likelihoods"]]
            found = list(item["choices"])[likely.index(max(likely))]
        else:
            found = read_label(text, item["choices"], entry)
        right = found == item["answer"]
        reason = "" if right else "wrong answer" if found else "no answer"
        verdicts.append({"score": float(right), "extracted": found or "", "reason": reason})
    return verdicts


def read_label(completion: str, choices: dict[str, str], entry: dict) -> str | None:
    """The label of the choice that a completion gives as its answer, or None."""
    if "extract" in entry:
        found = find_answers(completion, entry)
        return _label_of(found[0], choices) if found else None
    for statement in find_statements(completion):
        if label := _label_of(statement.text, choices):
            return label
    labels = "|".join(map(re.escape, choices))
    named = re.findall(rf"{NAMED}[(\[*_\"']*({labels})(?![\w'])", completion, re.I)
    if named:
        return _as_written(named[-1], choices)
    lines = completion.strip().splitlines() or [""]
    for line in (completion, lines[0], lines[-1]):
        if label := _label_of(line, choices):
            return label
    # A label that is no word of a sentence: "(B)", "**B**"; if only one is there.
    marked = set(re.findall(rf"[(\[]({labels})[)\]]|\*\*({labels})\.?\*\*", completion))
    alone = {one or other for one, other in marked}
    return alone.pop() if len(alone) == 1 else None


def _label_of(text, choices):
    """The choice that a text is, or begins with: "B", "(B)", "B. the text", "the text"."""
    text = text.strip().strip("*_`$\"' \t\n")
    for label, choice in choices.items():
        if text.rstrip(".").casefold() == choice.strip().rstrip(".").casefold():
            return label
    labels = "|".join(map(re.escape, choices))
    box = rf"(?:\\text\{{)?[(\[]?({labels})(?:[)\]}}.:,*]|\s*$|\s+(?:-|\u2013|\u2014|because)\s)"
    found = re.match(box, text) or re.match(rf"[(\[]?({labels})[)\].:]", text, re.I)
    return _as_written(found[1], choices) if found else None


def _as_written(label, choices):
    """The label that this is in capitals or not."""
    return next(one for one in choices if one.casefold() == label.casefold())
