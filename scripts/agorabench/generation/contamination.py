"""Overlap of generated pairs with the test items of benchmarks.

A text overlaps with a benchmark where they share 13 words in a row, the length of Brown et al.
(arXiv 2005.14165, appendix C). An item of 8 to 12 words must be there as a whole; a shorter one,
which many texts contain by chance, must be the whole instruction.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import read_jsonl
from agorabench.generation.formats import Pair
from agorabench.rows import fill_template

LONG, SHORT = 13, 8  # words
# What more of a benchmark's items than this share is the form of its questions, not their content.
COMMON = 10
# Fields of a benchmark's rows that may hold the question, the first there is.
QUESTIONS = ("prompt", "question", "problem", "instruction", "text", "turns")


class BenchmarkItems:
    """Index of the test items of benchmarks, to be looked up by generated pairs.

    Args:
        questions: benchmark -> texts of its items.
    """

    def __init__(self, questions: Mapping[str, Iterable[str]]):
        self.names = list(questions)
        self._runs = defaultdict(set)  # 8 to 13 words -> benchmarks
        self._short = defaultdict(set)  # all words of a shorter item -> benchmarks
        for name, texts in questions.items():
            self._add_benchmark(name, {tuple(split_words(text)) for text in texts} - {()})
        self._heads = {" ".join(run.split(" ")[:SHORT]) for run in self._runs}

    def _add_benchmark(self, name, items):
        runs = Counter()
        for item in items:
            if len(item) < SHORT:
                self._short[" ".join(item)].add(name)
            else:
                runs.update(set(_word_runs(item, min(LONG, len(item)))))
        for run, count in runs.items():
            if count <= COMMON:
                self._runs[run].add(name)

    def find_overlap(self, pair: Pair) -> set[str]:
        """Names of the benchmarks that share an item's words with (instruction, response)."""
        instruction, response = map(split_words, pair)
        names = set(self._short.get(" ".join(instruction), ()))
        for words in (instruction, response):
            for start, head in enumerate(_word_runs(words, SHORT)):
                if head in self._heads:
                    for count in range(SHORT, min(LONG, len(words) - start) + 1):
                        names |= self._runs.get(" ".join(words[start : start + count]), set())
        return names


def split_words(text: str) -> list[str]:
    """Words of a text, without capitals and punctuation."""
    return re.findall(r"\w+", text.casefold())


def _word_runs(words, count):
    """All runs of `count` words, joined by blanks."""
    return [" ".join(words[start : start + count]) for start in range(len(words) - count + 1)]


def item_question(row: dict) -> str:
    """Question of a row of a benchmark's file; of a conversation, all its turns.

    Raises:
        UserError: there is none.
    """
    for field in QUESTIONS:
        if question := row.get(field):
            turns = question if isinstance(question, list) else [question]
            return "\n".join(turn["content"] if isinstance(turn, dict) else turn for turn in turns)
    raise UserError(f"no question: none of {', '.join(QUESTIONS)} in {', '.join(row)}")


def load_items(paths: Iterable[str], templates: Mapping[str, str] | None = None) -> BenchmarkItems:
    """Index of benchmark files named {benchmark}.jsonl.

    Args:
        templates: benchmark -> text with {fields} of its rows, the question of those that the
            config describes.

    Raises:
        UserError: a row has no question.
    """
    questions = {}
    for path in map(Path, paths):
        template = (templates or {}).get(path.stem)
        try:
            questions[path.stem] = [
                fill_template(template, row | {"choices": ""}) if template else item_question(row)
                for row in read_jsonl(path)
            ]
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except KeyError as field:
            raise UserError(f"{path}: a row has no field {field}") from None
    return BenchmarkItems(questions)
