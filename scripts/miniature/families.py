"""Every family of tasks of the miniature, by domain, and what can stand in their slots.

A `Family` is one kind of task (adding, capitals, ...): questions with slots, how values for the
slots are drawn, and how a question with these values is solved. Math comes as short stories, code
as functions of one expression, instructions as constraints that a program can verify.
"""

from miniature.code_tasks import CHANGES, CODE, CUTS, GATHERS, STEPS, TESTS
from miniature.grammar import CATEGORIES, GLUES, NAMES, NOUNS, WORDS
from miniature.instruction_tasks import INSTRUCTION
from miniature.math_tasks import ONE_STEP, TWO_STEPS

FAMILIES = {"math": ONE_STEP + TWO_STEPS, "code": CODE, "instruction": INSTRUCTION}
THEMES = {  # what a task can be asked to be about
    "math": NOUNS,
    "code": tuple(family.name for family in CODE),
    "instruction": tuple(CATEGORIES),
}
DIFFICULTY = {  # of a family's tasks, 1 to 5: how far it is from the question to the answer
    **{"add": 1, "subtract": 1, "multiply": 2, "add_add": 3, "add_subtract": 3},
    **{"multiply_add": 4, "multiply_subtract": 5},
    **{"numbers": 2, "words": 3, "lists": 4, "choices": 5},
    **{"repeat": 1, "capitals": 2, "join": 2, "reverse": 3, "ends": 3, "list": 4},
}
SLOTS = {  # what may stand in a slot; one that is not named here holds a number, or any `words`
    "name": NAMES,
    "noun": NOUNS,
    "first": STEPS,
    "second": STEPS,
    "test": TESTS,
    "gather": GATHERS,
    "cut": CUTS,
    "change": CHANGES,
    "category": CATEGORIES,
    "glue": GLUES,
    "word": WORDS,
    "last": WORDS,
}
