"""How far a set repeats itself, and how far it repeats the benchmarks' test items.

Exact duplicates are texts that are equal but for capitals and white space. Near-duplicates have
sets of word 5-grams with a Jaccard similarity of at least 0.8, the threshold of Lee et al. (arXiv
2107.06499). They estimate it by MinHash; here it is computed exactly, by a join with a prefix
filter (Bayardo et al., WWW 2007), so nothing depends on random numbers. A text shorter than five
words is one 5-gram.

A text overlaps with a benchmark where they share 13 words in a row, the length of Brown et al.
(arXiv 2005.14165, appendix C). An item of 8 to 12 words must be there as a whole; a shorter one,
which many texts contain by chance, must be the whole instruction.
"""

import re
from collections import Counter, defaultdict
from functools import partial

from agorabench.errors import UserError

SHINGLE = 5  # words
# Jaccard 0.8, as a ratio of whole numbers so that no rounding decides.
LEAST, OF = 4, 5
LONG, SHORT = 13, 8  # words
# What more of a benchmark's items than this share is the form of its questions, not their content.
COMMON = 10
# Where the files of benchmarks have their questions.
QUESTIONS = ("prompt", "question", "problem", "instruction", "text", "turns")


def pair_text(row):
    """A pair as one text."""
    return f"{row['instruction']}\n{row['response']}"


def normalize_text(text):
    """A text without its capitals, line breaks and repeated blanks."""
    return " ".join(text.casefold().split())


def find_exact(texts):
    """For each text, whether an earlier one is the same."""
    seen, found = set(), []
    for text in map(normalize_text, texts):
        found.append(text in seen)
        seen.add(text)
    return found


def find_near(texts):
    """For each text, whether it is nearly the same as an earlier one that is no repeat itself."""
    texts = [normalize_text(text) for text in texts]
    sets, shared = _number_shingles(texts)
    seen, found = set(), []
    heads = defaultdict(list)  # 5-gram -> texts that have it in front
    for number, (text, mine) in enumerate(zip(texts, sets, strict=True)):
        again = text in seen
        if not again:
            seen.add(text)
            # Sets so similar cannot do without a common member here, whatever the order is.
            head = mine[: len(mine) - -(-LEAST * len(mine) // OF) + 1]
            head = head[shared[head]].tolist()
            candidates = {other for gram in head for other in heads.get(gram, ())}
            again = any(_are_similar(mine, sets[other]) for other in candidates)
            for gram in () if again else head:
                heads[gram].append(number)
        found.append(again)
    return found


def _number_shingles(texts):
    """(Each text's 5-grams as an array of distinct numbers, rarest first; which are shared)."""
    import numpy

    if not texts:
        return [], numpy.zeros(0, bool)
    vocabulary, words, lengths = {"": 0}, [], []
    for text in texts:
        mine = text.split(" ")
        mine += [""] * (SHINGLE - len(mine))
        numbers = [vocabulary.setdefault(word, len(vocabulary)) for word in mine]
        words.append(numpy.array(numbers, numpy.int32))
        lengths.append(len(mine))
    words = numpy.concatenate(words)
    owner = numpy.repeat(numpy.arange(len(texts)), lengths)
    # A 64-bit hash stands for a 5-gram: the sum of random numbers for each word at each place.
    random = numpy.random.default_rng(0)
    count = len(words) - SHINGLE + 1
    grams = numpy.zeros(count, numpy.uint64)
    for place in range(SHINGLE):
        codes = random.integers(2**64, size=len(vocabulary), dtype=numpy.uint64)
        grams += codes[words[place : place + count]]
    inside = owner[:count] == owner[SHINGLE - 1 :]
    grams, owner = grams[inside], owner[:count][inside]
    grams, counts = numpy.unique(grams, return_inverse=True, return_counts=True)[1:]
    rank = numpy.empty(len(counts), numpy.int32)
    rank[numpy.argsort(counts, kind="stable")] = numpy.arange(len(counts), dtype=numpy.int32)
    members = owner * len(counts)
    members += rank[grams]
    members.sort()  # numpy.unique does it by hashing, which takes ten times as long
    members = members[numpy.diff(members, prepend=-1) > 0]
    ends = numpy.searchsorted(members, numpy.arange(1, len(texts)) * len(counts))
    members %= len(counts)
    grams = members.astype(numpy.int32)
    return numpy.split(grams, ends), numpy.bincount(grams, minlength=len(counts)) > 1


def _are_similar(one, other):
    """Whether the Jaccard similarity of two sets is at least LEAST / OF."""
    import numpy

    small, large = sorted((len(one), len(other)))
    if OF * small < LEAST * large:
        return False
    common = numpy.intersect1d(one, other, assume_unique=True).size
    return OF * common >= LEAST * (small + large - common)


REPEATS = {"exact": find_exact, "near": find_near}


def repeat_filter(duplicates):
    """`sift` by the config's generation.duplicates; None where repeats are kept."""
    kind = REPEATS.get(duplicates)
    return kind and partial(reject_repeats, repeats=kind)


def reject_repeats(rows, repeats):
    """The rows that repeat an earlier one by `repeats` (exact or near); that is their verdict."""
    again = repeats([pair_text(row) for row in rows])
    dropped = [row for row, repeated in zip(rows, again, strict=True) if repeated]
    for row in dropped:
        row["verdict"] = "duplicate"
    return dropped


class BenchmarkItems:
    """The test items of benchmarks, to be looked for in generated pairs.

    Args:
        questions: benchmark -> texts of its items.
    """

    def __init__(self, questions):
        self.names = list(questions)
        self._grams = defaultdict(set)  # 8 to 13 words -> benchmarks
        self._short = defaultdict(set)  # all words of a shorter item -> benchmarks
        for name, texts in questions.items():
            items = {tuple(split_words(text)) for text in texts} - {()}
            grams = Counter()
            for item in items:
                if len(item) < SHORT:
                    self._short[" ".join(item)].add(name)
                else:
                    grams.update(set(_word_runs(item, min(LONG, len(item)))))
            for gram, count in grams.items():
                if count <= COMMON:
                    self._grams[gram].add(name)
        self._heads = {" ".join(gram.split(" ")[:SHORT]) for gram in self._grams}

    def find_overlap(self, pair):
        """Names of the benchmarks that (instruction, response) shares an item's words with."""
        instruction, response = map(split_words, pair)
        names = set(self._short.get(" ".join(instruction), ()))
        for text in (instruction, response):
            for start, head in enumerate(_word_runs(text, SHORT)):
                if head in self._heads:
                    for count in range(SHORT, min(LONG, len(text) - start) + 1):
                        names |= self._grams.get(" ".join(text[start : start + count]), set())
        return names


def split_words(text):
    """The words of a text, without capitals and punctuation."""
    return re.findall(r"\w+", text.casefold())


def _word_runs(words, count):
    """All runs of `count` words."""
    return [" ".join(words[start : start + count]) for start in range(len(words) - count + 1)]


def item_question(row):
    """The question of a row of a benchmark's file; of a conversation, all its turns.

    Raises:
        UserError: there is none.
    """
    for field in QUESTIONS:
        if found := row.get(field):
            turns = found if isinstance(found, list) else [found]
            return "\n".join(turn["content"] if isinstance(turn, dict) else turn for turn in turns)
    raise UserError(f"no question: none of {', '.join(QUESTIONS)} in {', '.join(row)}")


def load_items(paths):
    """The `Items` of benchmark files named {benchmark}.jsonl."""
    from pathlib import Path

    from agorabench.files import read_jsonl

    questions = {}
    for path in map(Path, paths):
        try:
            questions[path.stem] = [item_question(row) for row in read_jsonl(path)]
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return BenchmarkItems(questions)
