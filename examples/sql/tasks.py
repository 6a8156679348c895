"""Text-to-SQL tasks over four small tables: what the example's stand-ins know, and its data.

    python examples/sql/tasks.py        # writes seeds.jsonl, gold.jsonl and test.jsonl again

A task is drawn, put in words and answered by a program; the test's tasks are none of the others'.
"""

import json
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

TABLES = {  # name -> columns -> what may be in them: words, or numbers from 1 to below this
    "pets": {"name": "Tom Ada Rex", "kind": "cat dog fish", "age": 10},
    "books": {"title": "Dune Emma Momo", "author": "Ann Ben Cleo", "pages": 10},
    "towns": {"name": "Bern Lyon Graz", "land": "Spain Italy", "people": 10},
}
SIGNS = {"more than": ">", "less than": "<", "": "="}
QUESTION = re.compile(
    r"(?P<table>\w+)\([\w, ]+\): (?P<what>how many|which \w+)"
    r"(?: where (?P<first>[^?]*?)(?: and (?P<second>[^?]*?))?)?(?:, by (?P<order>\w+))?\?$"
)
CONDITION = re.compile(r"(\w+) is (?:(more than|less than) )?(\w+)$")


@dataclass(frozen=True)
class Task:
    """A question about one table: which column (None: how many rows), under which conditions
    [(column, words of SIGNS, value)], in which order."""

    table: str
    column: str | None
    conditions: tuple = ()
    order: str | None = None

    @property
    def question(self) -> str:
        columns = ", ".join(TABLES[self.table])
        said = " and ".join(
            f"{column} is {f'{sign} ' if sign else ''}{value}"
            for column, sign, value in self.conditions
        )
        what = f"which {self.column}" if self.column else "how many"
        end = f", by {self.order}" if self.order else ""
        return f"{self.table}({columns}): {what}{f' where {said}' if said else ''}{end}?"

    @property
    def query(self) -> str:
        said = " AND ".join(
            f"{column} {SIGNS[sign]} {value if value.isdigit() else repr(value)}"
            for column, sign, value in self.conditions
        )
        text = f"SELECT {self.column or 'COUNT(*)'} FROM {self.table}"
        text += f" WHERE {said}" if said else ""
        return text + (f" ORDER BY {self.order}" if self.order else "")


def draw_task(rng: random.Random) -> Task:
    table = rng.choice(list(TABLES))
    column = rng.choice([None, *TABLES[table]])
    return Task(table, column, (draw_condition(rng, table, column),))


def draw_condition(rng: random.Random, table: str, *taken) -> tuple:
    column = rng.choice([name for name in TABLES[table] if name not in taken])
    values = TABLES[table][column]
    if isinstance(values, int):
        return column, rng.choice(list(SIGNS)), str(rng.randrange(1, values))
    return column, "", rng.choice(values.split())


def harden(rng: random.Random, task: Task) -> Task:
    """The task with another condition or, where a column is listed, in an order."""
    used = [column for column, *_ in task.conditions]
    if task.column and (len(used) > 1 or rng.random() < 0.5):
        return replace(
            task, order=rng.choice([name for name in TABLES[task.table] if name not in used])
        )
    if len(used) > 1:
        return task
    return replace(task, conditions=(*task.conditions, draw_condition(rng, task.table, *used)))


def read_task(text: str) -> Task | None:
    """The task whose question is in a text, or None."""
    for line in reversed(text.splitlines()):
        if found := QUESTION.search(line):
            said = [CONDITION.match(one) for one in (found["first"], found["second"]) if one]
            if None in said or found["table"] not in TABLES:
                return None
            conditions = tuple((one[1], one[2] or "", one[3]) for one in said)
            column = None if found["what"] == "how many" else found["what"].split()[1]
            return Task(found["table"], column, conditions, found["order"])
    return None


def spoil(rng: random.Random, task: Task) -> Task:
    """The task with a mistake: another column, a sign turned round, or a condition forgotten."""
    (column, sign, value), *others = task.conditions
    turned = {"more than": "less than", "less than": "more than"}
    if sign in turned:
        return replace(task, conditions=((column, turned[sign], value), *others))
    if others or rng.random() < 0.3:
        return replace(task, conditions=tuple(others))
    return replace(
        task, column=rng.choice([name for name in TABLES[task.table] if name != task.column])
    )


def reply(rng: random.Random, prompt: str, careful: bool) -> str:
    """A stand-in's answer to a meta-prompt of this example; 45 % of a hasty one's are wrong."""
    shown = read_task(prompt)
    if "[instance]" in prompt or shown is None:
        task = draw_task(rng)
        head = f"Question: {task.question}\nQuery: "
    elif "[evolve]" in prompt:
        task = harden(rng, shown)
        head = f"Harder question: {task.question}\nQuery: "
    else:
        task, head = shown, ""
    wrong = not careful and rng.random() < 0.45
    return head + (spoil(rng, task) if wrong else task).query


def make_rows(name: str, task: Task) -> str:
    """The statements that make a table and fill it with a dozen rows."""
    rng = random.Random(f"rows/{name}")
    columns = TABLES[task.table]
    rows = [
        tuple(rng.randrange(1, values) if isinstance(values, int) else rng.choice(values.split())
              for values in columns.values())
        for _ in range(12)
    ]  # fmt: skip
    filled = ", ".join(map(str, rows))
    table = task.table
    return f"CREATE TABLE {table}({', '.join(columns)}); INSERT INTO {table} VALUES {filled};"


def write_data(folder: Path) -> None:
    rng, taken = random.Random("examples/sql"), set()

    def fresh(count, hard=0.0):
        found = []
        while len(found) < count:
            task = draw_task(rng)
            task = harden(rng, task) if rng.random() < hard else task
            if task not in taken:
                taken.add(task)
                found.append(task)
        return found

    sets = {
        "seeds": [{"instruction": one.question, "response": one.query} for one in fresh(300, 0.3)],
        "gold": [{"instruction": one.question, "response": one.query} for one in fresh(400, 0.3)],
        "test": [
            {"id": f"t{n}", "question": one.question, "query": one.query, "rows": make_rows(n, one)}
            for n, one in enumerate(fresh(150, 0.3))
        ],
    }
    for name, rows in sets.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_data(Path(__file__).parent)
