r"""Answers that can be compared with the right one: any such benchmark, described in the config.

    prompt: "{schema}\n\n{question}"             # over the fields of a row
    answer: query                                # its field, or a template over the fields
    extract: ['(?s)```sql\n(.*?)```', '(?s).+']  # the first that is found, where it is found last
    compare: text

A field with a list has several right answers (of `set` and `json`, the list is the answer). Without
`extract` the answer is looked for where a completion says that it is: in [RESULT], \boxed or after
####, then after "the answer is" (evaluation/answers.py), and then in all of it; for `number` in its
last number, for `json` in its last fenced block. What is compared:

    text      the text, each run of blanks as one
    casefold  the text, without capitals and the marks around it
    number    the value, as GSM8K compares it
    math      formulas, by Math-Verify, as MATH does
    set       items of a list, or of a text by commas or lines, in any order, as casefold
    json      the value, with the keys of mappings in any order
"""

import json
import re
import unicodedata

from agorabench.evaluation.answers import boxed_answer, find_statements, first_number, parse_number
from agorabench.evaluation.benchmarks import gsm8k, math
from agorabench.generation.formats import FENCED
from agorabench.rows import fill_template, read_field

KEYS = {
    "prompt": "the question, a text with {fields} of the rows",
    "answer": "the field of the right answer, or a text with {fields}",
    "compare": "how answers are compared: text, casefold, number, math, set or json",
    "extract": None,
}
SENTENCE = re.compile(r"[.!?](?:\s|$)")
STATED = re.compile(r"\banswer[*_) \t]*(?:\bis\b|[:=\uff1a])[*_:\s]*(\S.*)", re.I)
MARKS = " \t\r\n.,;:!?*_`\"'()[]\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u3002"
BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+", re.M)


def read_items(rows: list[dict], entry: dict) -> list[dict]:
    """Items of rows; their right answers are in the form that is compared.

    Raises:
        KeyError: a row lacks a field.
        ValueError: an answer is none that can be compared.
    """
    items = []
    for number, row in enumerate(rows):
        item = {"id": row_id(row, number), "prompt": fill_template(entry["prompt"], row)}
        if "answer" in entry:  # who answers is not given it
            item["answers"] = right_answers(row, entry)
        items.append(item)
    return items


def row_id(row: dict, number: int) -> str:
    """The `id` of a row as text, or its number."""
    found = row.get("id")
    return str(found) if isinstance(found, (str, int)) else f"row/{number}"


def right_answers(row: dict, entry: dict) -> list:
    """The right answers to a row, each in the form that is compared.

    Raises:
        ValueError: one is none, or there is none.
    """
    template, compare = entry["answer"], entry["compare"]
    value = read_field(row, template)
    several = isinstance(value, list) and compare not in ("set", "json")
    found = []
    for one in value if several else [value]:
        text = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        if compare == "number":  # of a whole solution, its result
            text = gsm8k.extract_number(text)[0] or ""
        parsed = text if compare == "math" else COMPARE[compare](text)
        if parsed is None or not text.strip():
            raise ValueError(f"the answer {text[:60]!r} is no {compare}")
        found.append((boxed_answer(text) or text).strip() if compare == "math" else parsed)
    if not found:
        raise ValueError("there is no right answer")
    return found


def grade_items(
    items: list[dict], completions: list[str], sandbox=None, *, entry: dict, predictions=None
) -> list[dict]:
    """Equality of the answer found with one of the right ones."""
    found = [find_answers(text, entry) for text in completions]
    if entry["compare"] == "math":
        return _grade_formulas(items, completions, found if "extract" in entry else None, sandbox)
    parse = COMPARE[entry["compare"]]
    verdicts = []
    for item, texts in zip(items, found, strict=True):
        values = [parse(text) for text in texts]
        right = any(value == answer for value in values for answer in item["answers"])
        none = all(value is None for value in values)
        reason = "" if right else "no answer" if none else "wrong answer"
        shown = "" if none else texts[0]
        verdicts.append({"score": float(right), "extracted": shown, "reason": reason})
    return verdicts


def _grade_formulas(items, completions, extracted, sandbox):
    """Verdicts as MATH's, on each of an item's right answers; the best counts."""
    if extracted is not None:
        completions = [math.as_boxed(texts[0]) if texts else "" for texts in extracted]
    asked = [(index, one) for index, item in enumerate(items) for one in item["answers"]]
    graded = math.grade_items(
        [{"answer": one} for _, one in asked], [completions[index] for index, _ in asked], sandbox
    )
    best = {}
    for (index, _), verdict in zip(asked, graded, strict=True):
        if index not in best or verdict["score"] > best[index]["score"]:
            best[index] = {key: verdict[key] for key in ("score", "extracted", "reason")}
    return [best[index] for index in range(len(items))]


def find_answers(completion: str, entry: dict) -> list[str]:
    """What a completion gives as its answer, in each way that it may be read; [] for nothing."""
    if patterns := entry.get("extract"):
        for pattern in patterns:
            if matches := list(re.finditer(pattern, completion)):
                found = matches[-1]
                return [next((group for group in found.groups() if group is not None), found[0])]
        return []
    compare = entry["compare"]
    if compare == "number":
        return list(filter(None, gsm8k.extract_number(completion)[:1]))
    if compare == "json" and (blocks := FENCED.findall(completion)):
        return blocks[-1:]
    stated = [one.text for one in find_statements(completion) if one.marked][:1]
    stated = stated or [line[1] for line in STATED.finditer(completion)][-1:] or [completion]
    sentence = SENTENCE.split(stated[0], maxsplit=1)[0]
    return list(dict.fromkeys(text for text in (stated[0], sentence) if text.strip()))


def _parse_text(text):
    return " ".join(text.split()) or None


def _parse_casefold(text):
    text = unicodedata.normalize("NFKC", " ".join(text.split())).casefold()
    return text.strip(MARKS) or text or None  # a mark may be all of the answer


def _parse_number(text):
    found = first_number(text)
    return parse_number(found) if found else None


def _parse_set(text):
    try:
        items = json.loads(text)
    except ValueError:
        items = None
    if not isinstance(items, list):
        text = BULLET.sub("", text.strip())
        items = re.split("\n+" if "\n" in text else r"[,;\uff0c\u3001]", text.strip(MARKS))
    found = {_parse_casefold(one if isinstance(one, str) else json.dumps(one)) for one in items}
    return frozenset(found - {None})


def _parse_json(text):
    """The one form in which equal values are written."""
    try:
        return json.dumps(_plain(json.loads(text)), sort_keys=True)
    except (ValueError, RecursionError):
        return None


def _plain(value):
    """A JSON value whose whole numbers are integers: 1.0 and 1 are one number."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


COMPARE = {
    "text": _parse_text,
    "casefold": _parse_casefold,
    "number": _parse_number,
    "set": _parse_set,
    "json": _parse_json,
}
