"""From a meta-prompt file to a request.

In a template, a word in braces is a placeholder, `{{` and `}}` are literal braces and come in
pairs, and any other brace is literal. So JSON needs no doubling, `{{theme}}` is the text "{theme}",
and LaTeX's `{a}` is written `{{a}}`.
"""

import json
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from agorabench.errors import UserError
from agorabench.generation.formats import END, KEYS, SCHEMA

# What a template shows -> placeholder -> whether it must be there. Two are no methods of making
# data: one sorts the questions that a data set mixes, and one has a judge score an example.
PLACEHOLDERS = {
    "examples": {"demonstrations": True, "theme": False, "opening": False},
    "nothing": {"theme": False, "opening": False},
    "instruction": {"instruction": True},
    "pair": {"instruction": True, "response": True},
    "classify": {"instruction": True},
    "judge": {"rubric": True, "instruction": True, "response": False},
}
TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


def list_placeholders(text: str) -> set[str]:
    """Names of the placeholders in a template."""
    return {match[1] for match in TOKEN.finditer(text) if match[1]}


def check_template(text: str, shows: str, name: str, method: str | None = None) -> None:
    """Check that a template has all of PLACEHOLDERS that it `shows` and nothing unknown.

    `name` is its file and `method` whose template it is, for the message.

    Raises:
        UserError: it is empty, a required placeholder is missing, another is unknown, or doubled
            braces do not pair.
    """
    known, method = PLACEHOLDERS[shows], method or f"method {shows}"
    present = list_placeholders(text)
    possible = ", ".join(f"{{{word}}}" for word in known)
    if not text.strip():
        raise UserError(f"{name}: the meta-prompt is empty")
    for word in sorted(present - known.keys()):
        raise UserError(
            f"{name}: unknown placeholder {{{word}}}; {method} has {possible};"
            f" write {{{{{word}}}}} for the text itself"
        )
    for word, required in known.items():
        if required and word not in present:
            raise UserError(f"{name}: no placeholder {{{word}}}, which {method} needs")
    _check_braces(text, name)


def _check_braces(text, name):
    """Refuse doubled braces that do not pair."""
    depth = 0
    for match in TOKEN.finditer(text):
        depth += {"{{": 1, "}}": -1}.get(match[0], 0)
        if depth < 0:
            break
    if depth:
        # Nested JSON ends in "}}": collapsing it silently would show the generator broken JSON.
        lonely, apart = ("}}", "} }") if depth < 0 else ("{{", "{ {")
        raise UserError(
            f"{name}: '{lonely}' stands for one literal brace and needs its partner;"
            f" write '{apart}' for two braces"
        )


def render_template(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template with `values` (placeholder -> text; others may be there too).

    One pass: what is filled in is never read again, so it may hold placeholders and braces.

    Raises:
        UserError: the template has a placeholder without a value.
    """

    def fill_in(match):
        if not match[1]:
            return match[0][0]
        if match[1] not in values:
            raise UserError(f"the meta-prompt has {{{match[1]}}}, for which there is no value")
        return values[match[1]]

    return TOKEN.sub(fill_in, template)


def format_demonstrations(rows: Iterable[dict], form: Mapping, replies: str = "text") -> str:
    """Format `rows`, mappings with "instruction" and "response", as replies of a method.

    `form` has its markers (formats.parse_reply).

    With `replies` "json", each is a JSON object on a line of its own; what else is in a row is not
    shown. Rows are shown as they are: one with a marker at the start of a line would teach the
    generator a reply that the parser rejects, so keep such rows out (validators.no_markers).
    """
    if replies == "json":
        shown = ({key: row[key] for key in KEYS} for row in rows)
        return "\n".join(json.dumps(pair, ensure_ascii=False) for pair in shown)
    first, second = form["instruction"], form["response"]
    return "\n".join(
        f"{first} {row['instruction']}\n{second} {row['response']}\n{END}" for row in rows
    )


def read_lines(path: str | Path) -> list[str]:
    """Entries of a text file with one a line (themes, opening words), stripped, none of them blank.

    Raises:
        UserError: there is no such file, or no entry in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8") from None
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise UserError(f"{path}: no line with text in it")
    return lines


class Composer:
    """Compose the request for a slot: the same seeds and themes for every generator.

    Args:
        domain, method, seed: of the cell.
        shows, form: the method's, by PLACEHOLDERS and formats.parse_reply.
        template: text of the meta-prompt.
        seeds: rows of the seed data.
        themes, openings: values of the placeholders of that name, may be empty.
        demonstrations: {"seed": how many, "generated": how many} examples are shown, if any.
        system: system message, or None.
        replies: "text" or "json".
    """

    def __init__(
        self, *, domain, method, seed, shows, form, template, seeds, themes, openings,
        demonstrations, system, replies="text",
    ):  # fmt: skip
        self.domain, self.method, self.seed = domain, method, seed
        self.shows, self.form = shows, form
        self.template, self.system, self.replies = template, system, replies
        self.seeds, self.themes, self.openings = seeds, themes, openings
        self.demonstrations = demonstrations
        self.order = self._random_for("order").sample(range(len(seeds)), len(seeds))

    @property
    def shows_generated(self) -> bool:
        """Whether requests show what was generated before."""
        return self.shows == "examples" and self.demonstrations["generated"] > 0

    def __str__(self):
        return f"{self.method} {self.domain}, seed {self.seed}"

    def _random_for(self, *parts):
        return random.Random("/".join(map(str, (self.seed, self.domain, self.method, *parts))))

    def compose_request(self, slot: int, attempt: int, pool: list[dict]) -> dict:
        """What `build_request` takes for one attempt at a slot, with its slot, attempt, seeds (ids)
        and instruction; `pool` holds the valid pairs of earlier waves."""
        if self.shows in ("examples", "nothing"):
            shown, values = self._draw_examples(slot, attempt, pool)
            instruction = None
        else:
            shown = [self.seeds[self.order[slot % len(self.seeds)]]]
            values = {key: shown[0][key] for key in PLACEHOLDERS[self.shows]}
            instruction = shown[0]["instruction"]
        content = render_template(self.template, values)
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {
            "slot": slot,
            "attempt": attempt,
            "sample": [self.seed, slot, attempt],
            "seeds": [row["id"] for row in shown],
            "instruction": instruction,
            "messages": [*system, {"role": "user", "content": content}],
        } | ({"schema": SCHEMA} if self.replies == "json" else {})

    def _draw_examples(self, slot, attempt, pool):
        """(Seeds shown, values of the placeholders) of a request that no seed is the subject of."""
        draw, shown = self._random_for(slot, attempt), []
        if self.shows == "examples":
            shown = draw.sample(self.seeds, min(self.demonstrations["seed"], len(self.seeds)))
        values = {
            "theme": draw.choice(self.themes) if self.themes else "",
            "opening": draw.choice(self.openings) if self.openings else "",
        }
        if self.shows == "examples":
            # Last, because the pool is the generator's own: what was drawn before is common to all.
            own = draw.sample(pool, min(self.demonstrations["generated"], len(pool)))
            rows = shown + own
            values["demonstrations"] = format_demonstrations(rows, self.form, self.replies)
        return shown, values
