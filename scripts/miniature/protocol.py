"""The miniature's benchmarks: held-out tasks of its own grammar, in every domain.

math         Tom has 3 apples and buys 4 more. How many now?   3+4=7 [RESULT] 7 [/RESULT]
code         a small function in a fenced block, judged by assertions in the sandbox
instruction  a constraint that a program verifies
"""

from miniature import world


def read_items(rows):
    """The rows are items already."""
    return rows


def grade_items(items, completions, sandbox):
    """Numbers and constraints by the grammar, code by its assertions in the sandbox."""
    programs = {}
    for number, (item, completion) in enumerate(zip(items, completions, strict=True)):
        if item["kind"] == "code" and (code := world.extract_code(completion)) is not None:
            programs[number] = (code, "\n".join(item["tests"]))
    outcomes = dict(zip(programs, sandbox(list(programs.values())), strict=True))
    verdicts = []
    for number, (item, completion) in enumerate(zip(items, completions, strict=True)):
        status = outcomes[number].status if number in outcomes else ""
        ran = status == "ok", status if status != "ok" else ""
        verdict = world.grade_completion(item, completion, lambda code, tests, ran=ran: ran)
        verdicts.append(dict(zip(("score", "extracted", "reason"), verdict, strict=True)))
    return verdicts
