r"""Seed data in the form the paper used, from rows as their publisher wrote them.

The forms are those of the 20 rows that the repository neulab/data-agora shows of eight of the nine
sets (libs/data-agora/tests/seed_data at d7e66e1). Known from them: MATH's solution is followed by
its last \boxed answer in [RESULT] marks; MBPP's task and first assertion stand in a docstring and
its code in a fence; LIMA, Magpie and WebInstruct are left as they are; MBPP is its training split
in its order, LIMA keeps its order with rows left out. Inferred, because no row of them is shown:
GSM8K gets [RESULT] marks like MATH and loses its <<calculator>> notes, xP3x gets a fence like MBPP,
CoNaLa is left as it is.
"""

import random
import re
from collections import Counter
from itertools import islice

from agorabench.errors import UserError
from agorabench.generation import prompts
from agorabench.generation.validators import no_markers
from agorabench.llm import answer
from agorabench.llm.request import build_request

CLASSES = ("1", "2")
WAVE = 256  # rows classified before their verdicts are looked at


class Unfit(ValueError):
    """A row that cannot be a seed; its text is a short, stable reason, fit to be counted."""


# Conversions: (instruction, response, row) -> (instruction, response)


def plain(instruction, response, _):
    """As they are."""
    return instruction, response


def gsm8k(question, answer, _):
    """The steps without notes such as <<48/2=24>>, then the number after ####."""
    steps, mark, result = answer.rpartition("####")
    if not mark:
        raise Unfit("no answer after ####")
    steps = re.sub(r"<<[^<>]*>>", "", steps).rstrip()
    return question, f"{steps}\n[RESULT] {result.strip()} [/RESULT]"


def math(problem, solution, _):
    r"""The solution, then what stands in its last \boxed."""
    return problem, f"{solution}\n[RESULT] {boxed(solution)} [/RESULT]"


def mbpp(task, code, row):
    """Task and first assertion in a docstring; fenced code."""
    tests = row.get("test_list")
    if not tests:
        raise Unfit("no assertion")
    return f'"""\n{task}\n{tests[0]}\n"""\n', f"```python\n{code}\n```"


def python(task, code, _):
    """Fenced code."""
    return task, f"```python\n{code.strip()}\n```"


CONVERSIONS = {"plain": plain, "gsm8k": gsm8k, "math": math, "mbpp": mbpp, "python": python}


def boxed(solution):
    r"""The argument of the last \boxed or \fbox, braces balanced; one without braces is one token.

    Raises:
        Unfit: there is none, or its braces do not close.
    """
    start = max(solution.rfind(r"\boxed"), solution.rfind(r"\fbox"))
    if start < 0:
        raise Unfit("no boxed answer")
    rest = solution[start:].lstrip("\\").removeprefix("boxed").removeprefix("fbox").lstrip(" ")
    if not rest.startswith("{"):
        found = re.match(r"\\?[^\s$.,]+", rest)
        if not found:
            raise Unfit("no boxed answer")
        return found[0]
    depth = 0
    for sign in re.finditer(r"\\.|[{}]", rest, re.DOTALL):  # \{ and \} belong to the answer
        depth += {"{": 1, "}": -1}.get(sign[0], 0)
        if depth == 0:
            return rest[1 : sign.start()]
    raise Unfit("no boxed answer")


# Which rows


def pick(rows, part, name, *, seed, answered, tokens=None, classify=None, wave=WAVE):
    """The seed rows that a part of the config takes from its source.

    Args:
        rows: a sequence of dictionaries.
        part: config entry: instruction, response, where, convert, longest, size, classify.
        name: goes before the row's number in its id, where it has none of its own.
        seed: of the order in which rows are looked at where only `size` of them are wanted. Rows
            are looked at one by one until there are enough, and keep their order in the source.
        answered: every row needs a response.
        tokens: counts the tokens of a text, for `longest`.
        classify: rows -> their classes, each "1", "2" or None; see `classifier`.
        wave: rows classified at a time, which does not matter to what is taken.

    Returns:
        (rows with "id", "instruction" and "response"; a Counter of reasons against rows).

    Raises:
        UserError: a field is absent, or there are fewer than `size` rows.
    """
    order, size = list(range(len(rows))), part.get("size")
    if size:
        random.Random(f"seeds {seed}").shuffle(order)
    dropped = Counter()
    fit = fitting(rows, order, part, name, answered, tokens, dropped)
    if part.get("classify"):
        fit = of_class(fit, part["classify"]["class"], classify, wave, dropped)
    taken = sorted(islice(fit, size), key=lambda found: found[0])
    if size and len(taken) < size:
        told = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common())
        raise UserError(
            f"{len(taken)} rows of {len(rows)} can be used and size is {size}; left out:"
            f" {told or 'none'}"
        )
    return [row for _, row in taken], dropped


def fitting(rows, order, part, name, answered, tokens, dropped):
    """(place, seed row) of every row that fits, in the given order; counts the others."""
    for place in order:
        row = rows[place]
        try:
            for field, wanted in part.get("where", {}).items():
                if at(row, field) not in (wanted if isinstance(wanted, list) else [wanted]):
                    raise Unfit("not matching where")
            seed = converted(row, part, answered)
        except Unfit as reason:
            dropped[str(reason)] += 1
            continue
        except KeyError as path:
            raise UserError(f"row {place + 1} has no {path}; known: {', '.join(row)}") from None
        if no_markers((seed["instruction"], seed["response"]), None):
            dropped["marker of the prompts"] += 1  # shown, it would look like another reply
            continue
        if part.get("longest") and tokens(seed["instruction"] + seed["response"]) > part["longest"]:
            dropped["too long"] += 1
            continue
        own = row.get("id")
        yield place, {"id": f"{name}/{place}" if own is None else str(own), **seed}


def converted(row, part, answered):
    """Instruction and response of a row in the form wanted."""
    instruction = at(row, part.get("instruction", "instruction")) or ""
    try:
        response = at(row, part.get("response", "response")) or ""
    except KeyError:
        if answered:
            raise
        response = ""
    if not isinstance(instruction, str) or not isinstance(response, str):
        raise Unfit("not text")
    if not instruction.strip() or (answered and not response.strip()):
        raise Unfit("empty")
    convert = CONVERSIONS[part.get("convert", "plain")]
    instruction, response = convert(instruction, response, row)
    return {"instruction": instruction, "response": response}


def at(row, path):
    """The value at a dotted path ("conversations.0") in nested mappings and lists.

    Raises:
        KeyError: there is none; its argument is the path.
    """
    value = row
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(path) from None
    return value


# Classification


def of_class(found, wanted, classify, wave, dropped):
    """The (place, row) pairs of class `wanted`, in their order; counts the others."""
    while pairs := list(islice(found, wave)):
        verdicts = classify([row for _, row in pairs])
        for pair, verdict in zip(pairs, verdicts, strict=True):
            if verdict == wanted:
                yield pair
            else:
                dropped["other class" if verdict in CLASSES else "not classified"] += 1


def classifier(backend, asked, template, journal):
    """Return a function: rows -> "1", "2" or, for any other reply, None.

    Args:
        backend: a generation backend.
        asked: what decides a reply beside the messages, as in generate's fingerprints.
        template: the prompt, with placeholder {instruction}.
        journal: an open Journal; what it holds is not asked again.
    """

    def request(row):
        content = prompts.render(template, row)
        messages = [{"role": "user", "content": content}]
        # The sample is always 0: which rows are looked at must not decide what is paid for twice.
        return build_request(backend.identity, messages, asked, 0)

    def classify(rows):
        requests = {}
        keys = [requests.setdefault((new := request(row))["fingerprint"], new) for row in rows]
        answer(backend, journal, requests)
        replies = [(journal[key["fingerprint"]]["reply"] or "").strip() for key in keys]
        return [reply if reply in CLASSES else None for reply in replies]

    return classify


def counter(tokenizer, revision):
    """Return a function: text -> its number of tokens, without special ones.

    Raises:
        UserError: there is no such tokenizer.
    """
    from transformers import AutoTokenizer

    from agorabench.models.hub import describe_refusal

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer, revision=revision)
    except Exception as error:  # the library raises dozens of kinds
        raise UserError(
            f"tokenizer: {tokenizer} {describe_refusal(error, revision)}; or download its"
            " tokenizer files, put them in a folder and name that folder as tokenizer.model"
        ) from None
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])
