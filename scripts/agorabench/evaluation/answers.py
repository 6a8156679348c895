r"""Where a text states its answer, and numbers as people write them: for every grader that looks.

    parse_number("$1{,}234.50")                      # Fraction(2469, 2)
    next(find_statements("**Answer:** 4 (of 9)"))    # Statement(text="4 (of 9)", kind="phrase")

Every pattern takes time linear in the text, whatever a model has written.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

LONGEST = 1000  # characters in which a stated answer is looked for
LATEST = 30  # statements of a kind that are looked at
LARGEST = 400  # characters, and powers of ten, of a number that has a value here

# ---- Numbers

# Minus signs, blanks and apostrophes of typographers, full-width signs: one for one.
PLAIN = str.maketrans(
    "\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d\u00a0\u202f\u205f\u2019\u02bc\uff0c\uff0e\uff04"
    + "".join(map(chr, range(0x2002, 0x200B))),
    "-------   '',.$" + " " * 9,
)
VULGAR = {sign: Fraction(1, n) for n, sign in enumerate("\u00bd\u2153\u00bc\u2155\u2159", 2)}
VULGAR |= {"\u00be": Fraction(3, 4), "\u2154": Fraction(2, 3), "\u215a": Fraction(5, 6)}
VULGAR |= {sign: Fraction(n, 5) for n, sign in enumerate("\u2156\u2157\u2158", 2)}
VULGAR |= {
    sign: Fraction(n, 8) for n, sign in zip((1, 3, 5, 7), "\u215b\u215c\u215d\u215e", strict=True)
}
SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
GAP = r"(?:\{,\}|,?\\[,;:! ]|[ ,~_'])"  # between groups of three digits
FRACTION = (
    r"\\[dtc]?frac ?(?:\{ ?\d+ ?\}|\d) ?(?:\{ ?\d+ ?\}|\d)"
    rf"|[{''.join(VULGAR)}]|(?<!\d)\d+ ?[/\u2044\u2215] ?\d+(?![\d/]|[.,]\d)"
)
# A minus is a sign where no word, bracket or minus touches it from before, nor a blank from behind:
# in "48 - 24", "48-24" and "- 72" it is none, in "-24" and "5 -3" it is. A number is no exponent
# and no index, and after a letter its point is none: m^2, x_1, No.5.
NUMBER = re.compile(
    r"(?P<sign>(?<![\w)}\]%-])\\?-|\b(?i:negative) )?"
    r"(?:(?:US)?\\?[$\u20ac\u00a3\u00a5\u20b9]\s?)?"
    r"(?<![\d^])(?<!\^\{)(?<!\w_)(?<!_\{)"
    rf"(?:(?P<fraction>{FRACTION})"
    rf"|(?P<whole>[1-9]\d{{0,2}}(?:{GAP}\d{{3}})+(?!\d)|[1-9]\d?(?:,\d\d)+,\d{{3}}(?!\d)"
    r"|[1-9]\d{0,2}(?:\.\d{3}){2,}(?![.\d])|\d+)(?P<tail>\.\d+|,\d\d?(?![,\d]))?"
    rf"(?: ?(?P<more>{FRACTION}))?"
    r"|(?<![\w.])(?P<point>\.\d+))"
    r"(?:[eE](?P<exponent>[+-]?\d+)(?!\w)"
    r"|\s?(?:\\times|\\cdot|[\u00d7*\u00b7x])\s?10\s?(?:\^|\*\*)\s?\{?(?P<power>[+-]?\d+)\}?"
    rf"|(?:\s|\\text\{{ ?)(?P<scale>(?i:{'|'.join(SCALES)}))\b(?!-))?"
)
# What is stated may be a sum, as in "3 + 4 = 7": its result counts.
OPERATOR = re.compile(r"\\(?:times|cdot|div)|[+\-*/x\u00d7\u00f7\u00b7]")
TERMS = re.compile(r"(?:\\(?:left|right|[,;:! $])|[\s\d.,$(){}%])*")


def find_numbers(text: str) -> list[str]:
    """The numbers of a text, as written but for signs and blanks."""
    return [found.group() for found in NUMBER.finditer(text.translate(PLAIN))]


def first_number(stated: str) -> str | None:
    """The number of a stated answer, of a sum the result; None where there is none."""
    stated = stated[:LONGEST].translate(PLAIN)
    while "=" in stated:
        left, _, right = stated.partition("=")
        if not (OPERATOR.search(left) and TERMS.fullmatch(OPERATOR.sub("", left))):
            break
        stated = right
    found = NUMBER.search(stated)
    return found.group() if found else None


def parse_number(text: str) -> Fraction | None:
    """The value of a text that is one number; None where it is none, or is too long to have one."""
    found = NUMBER.fullmatch(text.strip().translate(PLAIN)) if len(text) <= LARGEST else None
    if not found:
        return None
    part = found.groupdict()
    try:
        if part["fraction"]:
            value = _parse_fraction(part["fraction"])
        else:
            whole = re.sub(r"\D", "", part["whole"] or "0")
            value = Fraction(whole + (part["tail"] or part["point"] or "").replace(",", "."))
            value += _parse_fraction(part["more"]) if part["more"] else 0
    except ZeroDivisionError:
        return None
    power = int(part["exponent"] or part["power"] or SCALES.get((part["scale"] or "").lower(), 0))
    if abs(power) > LARGEST:
        return None
    return value * Fraction(10) ** power * (-1 if part["sign"] else 1)


def _parse_fraction(text):
    if text in VULGAR:
        return VULGAR[text]
    above, below = re.findall(r"\d+", text) if re.search(r"\d\D+\d", text) else text[-2:]
    return Fraction(int(above), int(below))


# ---- Statements


class Statement(NamedTuple):
    """What a text says its answer is.

    Attributes:
        kind: "result", "box" or "hashes", which are marks, or "phrase".
    """

    text: str
    kind: str

    @property
    def marked(self) -> bool:
        """Does it stand in a mark of the training data?"""
        return self.kind != "phrase"


RESULT = re.compile(r"\[(/?)RESULT\]", re.I)
HASHES = re.compile(r"####+[^\S\n]*")
# $...$, \(...\) or \[...\]
FORMULA = r"(?:(?<!\\)\${1,2}(?:\\.|[^$\\])+\${1,2}|\\\(.{1,500}?\\\)|\\\[.{1,500}?\\\])"
DISPLAYED = re.compile(rf"[*_\s]*{FORMULA}", re.S)
# How a number or a formula begins, and not a heading: "2. Compute", "2nd", "Step 2", "A cat".
OPENING = re.compile(
    r"[*_\s]*(?!\d+(?:[.):]\s+[*_]*[^\W\d]|\s-+\s+[^\W\d]|st\b|nd\b|rd\b|th\b))"
    r"(?:(?i:negative )?[(\[|+]?(?:US)?-?[(\[]?"
    r"(?:[\d$.\u20ac\u00a3\u00a5\u20b9\u221a\u03c0\u221e\u00bc-\u00be\u2150-\u215e]|\\(?!text))"
    r"|-?[^\W\d_](?=[*_\s]*$|\s?[=^_+*/<>(,-]))"
)
# "Answer" as a heading, "the answer is" and "answer:".
PHRASE = re.compile(
    r"(?P<heading>^[#*_ \t]*(?:(?:the|my|final|correct) +)*answer[*_: \t]*$)"
    r"|(?P<final>(?<![^\W_])final +)?(?<![^\W_])answer[*_)\s]{0,9}"
    r"(?:(?P<verb>\b(?:is|was|equals|(?:would|will|must|should) be)\b"
    r"(?:\s(?:therefore|thus|simply|just)\b)?[*_\s]{0,9}:?)|[:=\uff1a])",
    re.I | re.M,
)
STEP = re.compile(r"\d+\s?(?:\\times|[+*/x\u00d7\u00f7-])\s?\$?\d[^=\n]*=")


def find_statements(text: str) -> Iterator[Statement]:
    """What a text states, marks before phrases, and of each kind the last first."""
    results, opened = [], None
    for found in RESULT.finditer(text):
        if not found[1]:
            opened = found.end()
        elif opened is not None:
            results.append(text[opened : found.start()].strip())
            opened = None
    yield from (Statement(result, "result") for result in reversed(results) if result)
    yield from (Statement(box.strip(), "box") for box in boxed_answers(text))
    last_line = text.rfind("\n", 0, len(text.rstrip()))
    for found in reversed(list(HASHES.finditer(text))[-LATEST:]):
        line = _next_line(text, found.end())
        # Words are a heading, unless nothing comes after them.
        ends = found.start() > last_line and not PHRASE.search(line)
        if line and (ends or OPENING.match(line.translate(PLAIN))):
            yield Statement(line, "hashes")
    for found in reversed(list(PHRASE.finditer(text))[-LATEST:]):
        stated = _next_line(text, found.end(), blank_lines=True).lstrip("*_: \t")
        loose = found["verb"] or (found["final"] and not PHRASE.match(stated))
        if stated.strip(" $*:") and (loose or _is_stated(text, found, stated)):
            yield Statement(stated, "phrase")


def _next_line(text, start, blank_lines=False):
    """The rest of a line, or the next one that has text; a formula is kept whole."""
    line = text[start : start + LONGEST]
    line = line.lstrip() if blank_lines else line
    formula = DISPLAYED.match(line) if line[:1] != "\n" else None
    end = line.find("\n", formula.end() if formula else 0)
    return (line if end < 0 else line[:end]).strip()


def _is_stated(text, found, stated):
    """Is what follows "Answer:" the answer, and not the first step towards it?"""
    if not OPENING.match(stated.translate(PLAIN)):
        return False
    if not text[: min(found.start(), LONGEST)].strip(" #*_\n"):  # what comes first is rarely it
        short = len(stated.split()) <= 4 and len(find_numbers(stated)) <= 1
        return short or DISPLAYED.fullmatch(stated.rstrip("*_ .")) is not None
    end = found.end() + len(stated)
    return not (STEP.match(stated) and text.find("=", end, end + LONGEST) >= 0)


BRACE = re.compile(r"\\.|[{}]", re.S)
BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*(?:(\{)|((?:\\[^\s]|[^\s$\\])+))")


def boxed_answers(text: str) -> Iterator[str]:
    r"""What stands in each \boxed{...} that is closed and not empty, the last first.

    \boxed and \fbox are also used without braces, up to a blank or the formula's end: \boxed 12.
    """
    opened, closed = [], {}
    for brace in BRACE.finditer(text):
        if brace.group() == "{":
            opened.append(brace.end())
        elif brace.group() == "}" and opened:
            closed[opened.pop()] = brace.start()
    for found in reversed(list(BOX.finditer(text))):
        if found[1]:
            inside = text[found.end() : closed.get(found.end(), found.end())]
        else:
            inside = re.split(r"\\[)\]]", found[2])[0].rstrip(".,;:*")
            inside = inside.rstrip("}") if inside.count("{") < inside.count("}") else inside
        if inside.strip():
            yield inside


def boxed_answer(text: str) -> str | None:
    """The last boxed answer of a text, with its blanks, or None."""
    return next(boxed_answers(text), None)
