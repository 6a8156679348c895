"""How far a set repeats itself.

Exact duplicates are texts that are equal but for capitals and white space. Near-duplicates have
sets of word 5-grams with a Jaccard similarity of at least 0.8, the threshold of Lee et al. (arXiv
2107.06499). They estimate it by MinHash; here it is computed exactly, by a join with a prefix
filter (Bayardo et al., WWW 2007), so nothing depends on random numbers. A text shorter than five
words is one 5-gram.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

SHINGLE = 5  # words
# Jaccard 0.8, as a ratio of whole numbers so that no rounding decides.
NUMERATOR, DENOMINATOR = 4, 5


def pair_text(row: dict) -> str:
    """A pair as one text."""
    return f"{row['instruction']}\n{row['response']}"


def normalize_text(text: str) -> str:
    """A text without its capitals, line breaks and repeated blanks."""
    return " ".join(text.casefold().split())


def find_exact(texts: Iterable[str]) -> list[bool]:
    """For each text, whether an earlier one is the same."""
    seen, repeated = set(), []
    for text in map(normalize_text, texts):
        repeated.append(text in seen)
        seen.add(text)
    return repeated


def find_near(texts: Iterable[str]) -> list[bool]:
    """For each text, whether it is nearly the same as an earlier one that is no repeat itself."""
    texts = [normalize_text(text) for text in texts]
    sets, shared = _number_shingles(texts)
    seen, repeated = set(), []
    heads = defaultdict(list)  # 5-gram -> texts that have it in front
    for number, (text, grams) in enumerate(zip(texts, sets, strict=True)):
        again = text in seen
        if not again:
            seen.add(text)
            # Sets so similar cannot do without a common member here, whatever the order is.
            head = grams[: len(grams) - -(-NUMERATOR * len(grams) // DENOMINATOR) + 1]
            head = head[shared[head]].tolist()
            candidates = {other for gram in head for other in heads.get(gram, ())}
            again = any(_are_similar(grams, sets[other]) for other in candidates)
            for gram in () if again else head:
                heads[gram].append(number)
        repeated.append(again)
    return repeated


def _number_shingles(texts):
    """(Each text's 5-grams as an array of distinct numbers, rarest first; which are shared)."""
    import numpy

    if not texts:
        return [], numpy.zeros(0, bool)
    grams, owner = _hash_shingles(texts)
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


def _hash_shingles(texts):
    """(64-bit hashes of all 5-grams, the numbers of the texts they are from), arrays.

    The hash is the sum of random numbers for each word at each of the five positions.
    """
    import numpy

    vocabulary, words, lengths = {"": 0}, [], []
    for text in texts:
        tokens = text.split(" ")
        tokens += [""] * (SHINGLE - len(tokens))
        numbers = [vocabulary.setdefault(token, len(vocabulary)) for token in tokens]
        words.append(numpy.array(numbers, numpy.int32))
        lengths.append(len(tokens))
    words = numpy.concatenate(words)
    owner = numpy.repeat(numpy.arange(len(texts)), lengths)
    random = numpy.random.default_rng(0)
    count = len(words) - SHINGLE + 1
    grams = numpy.zeros(count, numpy.uint64)
    for position in range(SHINGLE):
        codes = random.integers(2**64, size=len(vocabulary), dtype=numpy.uint64)
        grams += codes[words[position : position + count]]
    inside = owner[:count] == owner[SHINGLE - 1 :]
    return grams[inside], owner[:count][inside]


def _are_similar(first, second):
    """Whether the Jaccard similarity of two sets (arrays) is at least 0.8."""
    import numpy

    small, large = sorted((len(first), len(second)))
    if DENOMINATOR * small < NUMERATOR * large:
        return False
    common = numpy.intersect1d(first, second, assume_unique=True).size
    return DENOMINATOR * common >= NUMERATOR * (small + large - common)


REPEATS = {"exact": find_exact, "near": find_near}


def repeat_filter(duplicates: str | None) -> Callable | None:
    """`reject_repeats` by the config's generation.duplicates; None where repeats are kept."""
    kind = REPEATS.get(duplicates)
    return kind and partial(reject_repeats, repeats=kind)


def reject_repeats(rows: Sequence[dict], repeats: Callable) -> list[dict]:
    """The rows that repeat an earlier one by `repeats` (find_exact or find_near); their verdict
    becomes "duplicate"."""
    again = repeats([pair_text(row) for row in rows])
    rejected = [row for row, repeated in zip(rows, again, strict=True) if repeated]
    for row in rejected:
        row["verdict"] = "duplicate"
    return rejected
