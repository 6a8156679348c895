"""The miniature's vocabulary, and what a family of tasks is.

Only the standard library is used here.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

NAMES = ("Tom", "Ann", "Sam", "Mia", "Ben", "Eva", "Leo", "Zoe")
NOUNS = ("apples", "books", "coins", "cards", "shells", "pens", "eggs", "stamps")
CATEGORIES = {
    "animals": ("cat", "dog", "cow", "pig", "hen", "fox", "owl", "bee"),
    "colors": ("red", "blue", "green", "pink", "gray", "black", "white", "brown"),
    "fruits": ("fig", "plum", "pear", "lime", "kiwi", "date", "grape", "mango"),
    "tools": ("saw", "axe", "drill", "rake", "file", "nail", "rope", "clamp"),
    "foods": ("rice", "soup", "bread", "cake", "corn", "fish", "salad", "pasta"),
    "clothes": ("hat", "sock", "shoe", "coat", "belt", "scarf", "glove", "shirt"),
    "places": ("park", "lake", "farm", "city", "beach", "cave", "hill", "road"),
    "weather": ("sun", "rain", "snow", "wind", "fog", "hail", "storm", "cloud"),
}
WORDS = tuple(word for words in CATEGORIES.values() for word in words)
GLUES = ("and", "or", "then")


@dataclass(frozen=True)
class Family:
    """One kind of task.

    wordings: questions with {slots}; the first is the plainest. plain: how plain text puts it, with
    {answer} for what follows; None in math, whose questions open with a story that can be told.
    draw(rng, theme): values of the slots. solve(values): the canonical response and the columns
    that grading needs; raises ValueError where the values make no sense.
    """

    domain: str
    name: str
    wordings: tuple[str, ...]
    plain: str | None
    draw: Callable[[random.Random, str | None], dict]
    solve: Callable[[dict], tuple[str, dict]]
