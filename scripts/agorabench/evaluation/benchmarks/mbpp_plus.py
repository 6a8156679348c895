"""MBPP+: see humaneval_plus, whose form of data and tests it shares."""

from functools import partial

from agorabench.evaluation.benchmarks import humaneval_plus
from agorabench.evaluation.benchmarks.humaneval_plus import ALSO, END, plain, read  # noqa: F401

grade = partial(humaneval_plus.grade, dataset="mbpp")
# EvalPlus's stop strings: a program goes on after its imports and first function.
STOP = (*END, '\n"""', "\nassert")
