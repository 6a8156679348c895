"""Run Python programs that a model wrote, so that they can harm nothing and fool nobody.

    outcome = check_code("def double(x):\n    return 2 * x", "assert double(4) == 8")
    outcome.status      # "ok" only if the last test was passed

A program sees the interpreter, the system's libraries and an empty scratch folder in memory: no
network, no environment, no other process, no file of yours. docs/sandbox.md says which mechanism
guarantees what. Where the machine cannot give that, `prove_isolation` refuses.
"""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from agorabench.sandbox.isolation import KINDS, choose_isolation, prove_isolation
from agorabench.sandbox.process import CHILD, Limits, Outcome, run_sandbox

__all__ = [
    "CHILD", "KINDS", "Limits", "Outcome", "check_code", "choose_isolation", "prove_isolation",
    "run_code", "run_many",
]  # fmt: skip


def run_code(
    code: str, limits: Limits | None = None, isolation: str | None = None,
    python: str = sys.executable,
) -> Outcome:  # fmt: skip
    """Run one program as `__main__` and return its `Outcome`.

    isolation: one of `KINDS`, "limits" (no isolation, only limits: for a caller who was told to
        accept that), or None for what `prove_isolation` finds.
    Raises UserError where the machine cannot isolate, or a sandbox cannot be started.
    """
    return run_sandbox(code, None, limits or Limits(), isolation or prove_isolation(python), python)


def check_code(
    code: str, tests: str, limits: Limits | None = None, isolation: str | None = None,
    python: str = sys.executable,
) -> Outcome:  # fmt: skip
    """Run `code` as a module, then `tests` in the same names; "ok" only if both reached their end.

    `if __name__ == "__main__":` parts do not run. Success is a random token that the harness around
    both texts hands over after the last test: printing something, `sys.exit(0)` or `os._exit(0)`
    prove nothing, the token is in no frame, and tests use Python's own builtins. A program that
    searches its own memory (ctypes) could still find it; against that there is no help as long as
    tests share a process with what they test.
    """
    return run_sandbox(
        code, tests, limits or Limits(), isolation or prove_isolation(python), python
    )


def run_many(
    programs: Iterable, workers: int = 1, limits: Limits | None = None,
    isolation: str | None = None, python: str = sys.executable, packages: Iterable[str] = (),
) -> Iterator[Outcome]:  # fmt: skip
    """Yield the outcomes of `programs` in their order, `workers` of them at a time.

    programs: each a program's text, or a pair (code, tests).
    packages: that they may import, as pip names them; installed beside this interpreter.
    """
    isolation, packages = isolation or prove_isolation(python), tuple(packages)

    def run_pair(program):
        code, tests = (program, None) if isinstance(program, str) else program
        return run_sandbox(code, tests, limits or Limits(), isolation, python, packages)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(run_pair, programs)
    finally:
        pool.shutdown(cancel_futures=True)
