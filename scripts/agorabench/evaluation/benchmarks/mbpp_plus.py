"""MBPP+: see humaneval_plus, whose form of data and tests it shares."""

from functools import partial

from agorabench.evaluation.benchmarks import humaneval_plus
from agorabench.evaluation.benchmarks.humaneval_plus import (  # noqa: F401
    ALSO,
    END,
    plain_prompt,
    read_items,
)

grade_items = partial(humaneval_plus.grade_items, dataset="mbpp")
# EvalPlus's stop strings: a program goes on after its imports and first function.
STOP = (*END, '\n"""', "\nassert")
