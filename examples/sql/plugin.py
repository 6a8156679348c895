"""What text-to-SQL needs beyond the config: a benchmark whose answers are run, and a validator.

plugins: [examples/sql/plugin.py]
benchmarks: {sql-rows: {protocol: sql_rows, ...}}      a query is right if it finds the right rows
domains: {sql: {validators: [is_query, ...]}}          a response is one SELECT statement
"""

import re

FENCED = re.compile(r"```\w*\n(.*?)```", re.S)
# Runs after the query, a text, has been bound: as untrusted code, in the sandbox.
TESTS = """
import sqlite3
database = sqlite3.connect(":memory:")
database.executescript({rows!r})
wanted = database.execute({right!r}).fetchall()
found = database.execute(QUERY).fetchmany(10_000)
if "ORDER BY" not in {right!r}:
    wanted, found = sorted(wanted, key=repr), sorted(found, key=repr)
assert found == wanted
"""


class protocol_sql_rows:
    """rows       the statements that make the table and fill it
    question, query    the question, and a query that is right
    """

    @staticmethod
    def read_items(rows):
        return [
            {"id": row["id"], "prompt": row["question"], "rows": row["rows"], "right": row["query"]}
            for row in rows
        ]

    @staticmethod
    def grade_items(items, completions, sandbox):
        queries = [find_query(text) for text in completions]
        programs = [
            (f"QUERY = {query!r}", TESTS.format(rows=item["rows"], right=item["right"]))
            for item, query in zip(items, queries, strict=True)
        ]
        verdicts = []
        for query, outcome in zip(queries, sandbox(programs), strict=True):
            right = outcome.status == "ok"
            said = outcome.stderr.strip().splitlines() or [outcome.status]
            reason = "" if right else "other rows" if "AssertionError" in said[-1] else said[-1]
            verdicts.append({"score": float(right), "extracted": query, "reason": reason})
        return verdicts


def find_query(text):
    """The query in a completion: its last fenced block, or its first line that selects."""
    blocks = FENCED.findall(text) or re.findall(r"(?im)^\s*((?:select|with)\b.*)", text)[:1]
    return (blocks or [text])[-1].strip().rstrip(";")


def validator_is_query(pair, limits):
    """None, or why the response is no single SELECT statement."""
    query = pair.response.strip().rstrip(";")
    return None if re.match(r"(?is)(select|with)\b[^;]*$", query) else "no single query"
