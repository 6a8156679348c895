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

    def run_tests(number):
        status = outcomes[number].status
        return status == "ok", "" if status == "ok" else status

    verdicts = [
        world.grade_completion(
            item, completion, lambda code, tests, number=number: run_tests(number)
        )
        for number, (item, completion) in enumerate(zip(items, completions, strict=True))
    ]
    return [
        dict(zip(("score", "extracted", "reason"), verdict, strict=True)) for verdict in verdicts
    ]
