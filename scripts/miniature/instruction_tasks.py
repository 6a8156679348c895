"""Instructions of the miniature: constraints on words, which a program can verify."""

import random

from miniature.grammar import CATEGORIES, GLUES, WORDS, Family


def _draw_words(rng: random.Random, theme: str | None, low: int, high: int) -> str:
    words = CATEGORIES[theme or rng.choice(tuple(CATEGORIES))]
    return " ".join(rng.sample(words, rng.randint(low, high)))


def _split_words(text: str) -> list[str]:
    words = text.split()
    if any(word not in WORDS for word in words):
        raise ValueError(f"{text!r} has words outside this world")
    return words


def _solve_capitals(values):
    words = _split_words(values["words"])
    return values["words"].upper(), {"constraint": {"type": "capitals", "words": words}}


def _solve_reverse(values):
    words = _split_words(values["words"])
    return " ".join(words[::-1]), {"constraint": {"type": "reverse", "words": words}}


def _solve_join(values):
    words, glue = _split_words(values["words"]), values["glue"]
    return f" {glue} ".join(words), {"constraint": {"type": "join", "words": words, "glue": glue}}


def _solve_repeat(values):
    (word,), times = _split_words(values["word"]), int(values["times"])
    if not 1 < times < 10:
        raise ValueError("a word is said 2 to 9 times")
    return " ".join([word] * times), {
        "constraint": {"type": "repeat", "word": word, "times": times}
    }


def _solve_list(values):
    category, start, count = values["category"], values["word"], int(values["times"])
    words = CATEGORIES[category]
    if start not in words or not 1 < count <= len(words):
        raise ValueError(f"no list of {count} {category} starts with {start}")
    first = words.index(start)
    # a run of the fixed order: a random choice would have to remember what it already named
    run = [words[(first + i) % len(words)] for i in range(count)]
    return " ".join(run), {
        "constraint": {"type": "list", "category": category, "first": start, "count": count}
    }


def _solve_ends(values):
    (about,), (last,) = _split_words(values["word"]), _split_words(values["last"])
    if about == last:
        raise ValueError("a sentence cannot be about its last word only")
    return f"I saw the {about} and the {last}", {
        "constraint": {"type": "ends", "about": about, "last": last}
    }


def _draw_list(rng, theme):
    category = theme or rng.choice(tuple(CATEGORIES))
    word = rng.choice(CATEGORIES[category])
    return {"times": str(rng.randint(2, 4)), "category": category, "word": word}


def _draw_repeat(rng, theme):
    return {"word": _draw_words(rng, theme, 1, 1), "times": str(rng.randint(2, 4))}


def _draw_ends(rng, theme):
    return dict(zip(("word", "last"), _draw_words(rng, theme, 2, 2).split(), strict=True))


INSTRUCTION = (
    Family(
        "instruction",
        "capitals",
        ("Write in capitals: {words}", "Say this in capitals: {words}"),
        "{words} in capitals:\n{answer}",
        lambda rng, theme: {"words": _draw_words(rng, theme, 2, 3)},
        _solve_capitals,
    ),
    Family(
        "instruction",
        "reverse",
        ("Write in reverse order: {words}", "Say this in reverse order: {words}"),
        "{words} in reverse order:\n{answer}",
        lambda rng, theme: {"words": _draw_words(rng, theme, 2, 3)},
        _solve_reverse,
    ),
    Family(
        "instruction",
        "join",
        ("Put {glue} between: {words}", "Write with {glue} between: {words}"),
        "{words} with {glue} between:\n{answer}",
        lambda rng, theme: {
            "glue": rng.choice(GLUES),
            "words": _draw_words(rng, theme, 2, 4),
        },
        _solve_join,
    ),
    Family(
        "instruction",
        "repeat",
        ("Say {word} {times} times.", "Write {word} {times} times."),
        "{word} {times} times:\n{answer}",
        _draw_repeat,
        _solve_repeat,
    ),
    Family(
        "instruction",
        "list",
        (
            "List {times} {category}, starting with {word}.",
            "Name {times} {category}, starting with {word}.",
        ),
        "{times} {category} from {word}:\n{answer}",
        _draw_list,
        _solve_list,
    ),
    Family(
        "instruction",
        "ends",
        (
            "Write a sentence about {word} that ends with {last}.",
            "Mention {word} in a sentence that ends with {last}.",
        ),
        "About {word} and last {last}:\n{answer}",
        _draw_ends,
        _solve_ends,
    ),
)
