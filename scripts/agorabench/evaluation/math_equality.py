r"""Are two mathematical answers equal? Math-Verify decides, in processes that can be killed.

    equal([(r"\frac{1}{2}", r"\boxed{0.5}")])        # [True]

Both are texts in which Math-Verify looks for an answer. A text may keep its parser or sympy busy
for ever, in C code that no signal handler of Python's interrupts, and its own time limits work in
a main thread only. So they are switched off, and the kernel ends a worker that has spent `SECONDS`
of CPU time on one answer: its own time, so a busy machine changes no verdict. The answer counts as
"timeout", and another worker goes on with the next.

Asked once each: pairs that occur again. Not asked at all, because Math-Verify says the same: pairs
that are one text once it has normalised them, and pairs of two plain numbers that are not even
close (tests/evaluation/test_math.py holds both against it).
"""

import logging
import math
import multiprocessing
import re
import resource
import signal
import time
from collections import deque
from fractions import Fraction
from functools import cache, lru_cache
from multiprocessing import connection

SECONDS = 10  # of CPU time for one answer; Math-Verify's own default is 5 + 5 + 5 of wall time
PATIENCE = 10  # times as much wall time, after which the answer is given up all the same
MEMORY = 4 << 30  # bytes of address space of a worker
LONGEST = 1000  # characters of a text that is looked at here and not by a worker
# Of 15 digits at most, which is what Math-Verify compares.
PLAIN = re.compile(r"(-?)(?:(\d{1,9}(?:\.\d{1,6})?)|\\frac\{(\d{1,9})\}\{([1-9]\d{0,8})\})")
APART = Fraction(1, 10_000)  # it rounds to 6 decimals: numbers that differ by more are different


def compare_answers(
    pairs: list[tuple[str, str]], workers: int = 1, seconds: int = SECONDS
) -> list[bool | str]:
    """Verdicts on [(right answer, answer)], in order.

    Each is True, False, "timeout" (the answer took more than `seconds` of CPU time) or "crash" (its
    worker died of it, of memory for example).
    """
    verdicts = {pair: _compare_directly(*pair) for pair in pairs}
    waiting = [pair for pair, verdict in verdicts.items() if verdict is None]
    if waiting:
        verdicts |= _query_workers(waiting, max(1, workers), seconds)
    return [verdicts[pair] for pair in pairs]


def _compare_directly(right, answer):
    """A verdict that needs no algebra, or None."""
    if right == answer:
        return True
    texts = [_normalise_text(text) for text in (right, answer)]
    if None in texts:
        return None
    if texts[0] == texts[1]:
        return True  # Math-Verify goes on with these texts, and compares them as such at last
    numbers = [_parse_number(text) for text in texts]
    return False if None not in numbers and abs(numbers[0] - numbers[1]) > APART else None


@lru_cache(maxsize=100_000)
def _normalise_text(text):
    r"""What Math-Verify makes of a \boxed text before it parses it; None for other texts."""
    from latex2sympy2_extended.latex2sympy2 import normalize_latex

    if not text.startswith("\\boxed{") or "$" in text or len(text) > LONGEST:
        return None
    return normalize_latex(text, config=_normalization_config()) or None


@cache
def _normalization_config():
    from dataclasses import replace

    from math_verify import LatexExtractionConfig

    return replace(LatexExtractionConfig().normalization_config, boxed="last")


def _parse_number(text):
    """The value of a plain number or fraction, or None."""
    if not (found := PLAIN.fullmatch(text)):
        return None
    sign, decimal, above, below = found.groups()
    value = Fraction(decimal) if decimal else Fraction(int(above), int(below))
    return -value if sign else value


def _query_workers(pairs, workers, seconds):
    """Verdicts on `pairs`, each asked of one of the workers."""
    # Not a fork of this process: it may have threads. The server imports Math-Verify once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "math_verify"])
    waiting, verdicts, crew = deque(pairs), {}, {}
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                worker = _Worker(context, seconds)
                crew[worker.pipe] = worker
                worker.send_pair(waiting.popleft())
            now = time.monotonic()
            soon = min(worker.deadline for worker in crew.values())
            for pipe in connection.wait(list(crew), max(0, soon - now)):
                worker = crew[pipe]
                verdicts[worker.pair], alive = worker.receive_verdict()
                if alive and waiting:
                    worker.send_pair(waiting.popleft())
                else:
                    crew.pop(pipe).end_process()
            for pipe in [p for p, worker in crew.items() if worker.deadline <= time.monotonic()]:
                verdicts[crew[pipe].pair] = "timeout"
                crew.pop(pipe).end_process()
    finally:
        for worker in crew.values():
            worker.end_process()
    return verdicts


class _Worker:
    """A process that compares one pair after another."""

    def __init__(self, context, seconds):
        self.seconds = seconds
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve_pairs, args=(theirs, seconds), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()  # it can work; if it cannot, no answer is to blame: this raises

    def send_pair(self, pair):
        self.pair = pair
        self.deadline = time.monotonic() + PATIENCE * self.seconds
        self.pipe.send(pair)

    def receive_verdict(self):
        """(the verdict that has come, is the worker still there?)"""
        try:
            return self.pipe.recv(), True
        except (EOFError, ConnectionResetError):
            self.process.join()
            timed_out = self.process.exitcode == -signal.SIGXCPU
            return "timeout" if timed_out else "crash", False

    def end_process(self):
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _serve_pairs(pipe, seconds):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no time limit
    verify_pair("1", "1")
    pipe.send("ready")
    while True:
        try:
            pair = pipe.recv()
        except EOFError:
            return
        spent = math.ceil(time.process_time())
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        # The signal's own action ends the process, in whatever code it is.
        resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, most))
        pipe.send(verify_pair(*pair))


def verify_pair(right: str, answer: str) -> bool:
    """Math-Verify's verdict on two texts, without a time limit."""
    from math_verify import verify

    return verify(_parse_text(right), _parse_text(answer), timeout_seconds=None)


@lru_cache(maxsize=10_000)
def _parse_text(text):
    from math_verify import parse

    return parse(text, parsing_timeout=None)
