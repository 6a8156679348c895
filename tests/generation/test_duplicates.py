"""What repeats an earlier pair or a test item, and exactly N pairs where such do not count."""

import contextlib
import itertools
import random
from functools import partial

import audit
import generate
import pytest
from agorabench import paths
from agorabench.errors import UserError
from agorabench.files import read_json, read_jsonl, write_json, write_jsonl
from agorabench.generation import contamination, duplicates, slots
from agorabench.llm.journal import Journal
from agorabench.matrix import NO_PROMPT, Cell
from generation.test_generate import Counting, composer, valid
from helpers.asking import config

WORDS = [f"word{i}" for i in range(40)]


def grams(text):
    """Word 5-grams as a set, written down once more."""
    found = text.lower().split()
    return {tuple(found[i : i + 5]) for i in range(max(len(found) - 4, 1))}


def by_hand(texts):
    """Near-duplicates of earlier texts that are none themselves, by comparing all with all."""
    kept, found = [], []
    for mine in map(grams, texts):
        again = any(5 * len(mine & other) >= 4 * len(mine | other) for other in kept)
        found.append(again)
        if not again:
            kept.append(mine)
    return found


def edited(draw, text):
    """A text with a few words replaced, dropped or doubled."""
    found = text.split()
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(found))
        found[place : place + 1] = [draw.choice(WORDS)] * draw.choice((0, 1, 1, 2))
        found = found or ["word0"]
    return " ".join(found)


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(seed):
    draw = random.Random(seed)
    texts = []
    for _ in range(400):
        if texts and draw.random() < 0.6:
            texts.append(edited(draw, draw.choice(texts)))
        else:
            texts.append(" ".join(draw.choices(WORDS, k=draw.choice((1, 3, 5, 6, 20, 60)))))
    found = duplicates.find_near(texts)
    assert found == by_hand(texts)
    assert 20 < sum(found) < 300
    # Every exact duplicate is a near one, too.
    assert all(
        near for near, exact in zip(found, duplicates.find_exact(texts), strict=True) if exact
    )


def test_a_long_common_preamble_makes_no_duplicates():
    preamble = " ".join(f"instruction{i}" for i in range(60))
    texts = [f"{preamble} " + " ".join(f"q{n}w{i}" for i in range(30)) for n in range(200)]
    assert sum(duplicates.find_near(texts)) == 0


def test_exact_duplicates_differ_in_capitals_and_white_space_only():
    texts = ["What is 2 + 2?", "what  is\n2 + 2?", "What is 2 - 2?", "What is 2+2?"]
    assert duplicates.find_exact(texts) == [False, True, False, False]
    assert duplicates.find_near(texts) == [False, True, False, False]
    assert duplicates.find_near([]) == duplicates.find_exact([]) == []
    assert duplicates.find_near(["", " ", "a"]) == [False, True, False]


LONG = "Natalia sold clips to 48 of her friends in April and then she sold half as many in May"
MIDDLE = "Tom has 3 apples and buys 4 more apples"  # 9 words
SHORT = "Name a primary colour"

FOUND = {
    "thirteen words in a row": (
        "Anna: natalia sold clips to 48 of her friends; in April, and then SHE wept",
        "r",
        True,
    ),
    "twelve words in a row": (
        "natalia sold clips to 48 of her friends in April and then he",
        "r",
        False,
    ),
    "in the response": ("q", f"Like this. {LONG}?", True),
    "across instruction and response": (LONG[:40], LONG[40:], False),
    "a middling item inside a text": (f"Say it: {MIDDLE}!", "r", True),
    "a part of a middling item": ("Tom has 3 apples and buys 4 more pears", "r", False),
    "a short item alone": ("Name a primary colour.", "r", True),
    "a short item inside a text": ("Name a primary colour and a fruit.", "r", False),
    "a short item as a response": ("q", SHORT, False),
    "nothing": ("", "", False),
}


@pytest.mark.parametrize("case", FOUND)
def test_overlap_with_test_items(case):
    instruction, response, expected = FOUND[case]
    items = contamination.BenchmarkItems({"b": [LONG, MIDDLE, SHORT, "", "!?"]})
    assert (items.find_overlap((instruction, response)) == {"b"}) is expected


def test_the_form_of_a_benchmarks_questions_is_no_overlap():
    form = "Solve the following problem step by step and give the final answer in a box"
    items = contamination.BenchmarkItems(
        {"b": [f"{form}: question {i}" for i in range(20)], "c": [LONG]}
    )
    assert items.find_overlap((f"{form}: something else", LONG)) == {"c"}


@pytest.mark.parametrize(
    ("name", "count", "field"),
    [
        ("gsm8k/test.jsonl", 1319, "question"),
        ("math/test.jsonl", 5000, "problem"),
        ("mbpp/mbpp.jsonl", 974, "text"),
        ("humaneval/HumanEval.jsonl", 164, "prompt"),
        ("arena_hard/question.jsonl", 500, "prompt"),
        ("alpaca_eval/model_outputs/alpaca-7b.json", 805, "instruction"),
    ],
)
def test_every_benchmarks_items_are_found_in_themselves(data, name, count, field):
    rows = read_jsonl(data / name)
    assert len(rows) == count
    assert all(contamination.item_question(row) == row[field] for row in rows)
    items = contamination.load_items([data / name])
    # Not the rest: boilerplate in more than ten items, questions of other alphabets.
    found = sum(bool(items.find_overlap((contamination.item_question(row), ""))) for row in rows)
    assert found >= 0.97 * count


def test_questions_are_asked_for_by_name(tmp_path):
    assert contamination.item_question({"turns": [{"content": "a"}, {"content": "b"}]}) == "a\nb"
    assert contamination.item_question({"turns": ["a", "b"]}) == "a\nb"
    write_jsonl(tmp_path / "mine.jsonl", [{"quiz": "What?"}])
    with pytest.raises(UserError, match=r"mine.jsonl: no question: none of prompt, .* in quiz"):
        contamination.load_items([tmp_path / "mine.jsonl"])


def test_a_template_says_what_a_question_is(tmp_path):
    question = "wie viele Wege fuehren von hier bis nach Rom"
    write_jsonl(tmp_path / "mine.jsonl", [{"frage": question, "antwort": "so many"}])
    items = contamination.load_items([tmp_path / "mine.jsonl"], {"mine": "{frage}? {choices}"})
    assert items.find_overlap((f"Sagt, {question}?", "x")) == {"mine"}
    assert not items.find_overlap(("so many", "so many"))
    with pytest.raises(UserError, match=r"mine.jsonl: a row has no field 'fragen'"):
        contamination.load_items([tmp_path / "mine.jsonl"], {"mine": "{fragen}"})


CELL = Cell("math", "instance", "human", NO_PROMPT, 3, seed=4)


def arguments(folder, source, generation=None, **questions):
    """Writes a config, whose generator is a data set, and an item of each benchmark; returns the
    arguments of programs about CELL."""
    item = {"domain": "math", "protocol": "unscored", "source": {"path": "unused"}}
    for name, text in questions.items():
        write_jsonl(folder / paths.benchmark_items(name), [{"question": text}])
    whole = config(
        {"human": {"backend": "dataset", "data": {"math": source}}},
        benchmarks=dict.fromkeys(questions, item),
        generation=generation or {},
    )
    whole["experiments"]["main"] |= {"domains": ["math"], "prompts": [NO_PROMPT]}
    write_json(folder / "config.json", whole)
    return ["--config", "config.json", "--cell", str(CELL)]


def test_an_audit_counts_pairs(tmp_path):
    pairs = [(LONG, "a"), (LONG, "b"), (LONG.upper(), "a"), ("other", "c"), (f"{LONG} now", "a")]
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        | {"origin": "generated"}
        for q, a in pairs
    ]
    write_jsonl(tmp_path / paths.training_set(CELL), [*rows, rows[0] | {"origin": "seed"}])
    command = arguments(tmp_path, {"path": "unused"}, quiz=LONG, idle="who is there")
    with contextlib.chdir(tmp_path):
        audit.main(command)
    assert read_json(tmp_path / paths.set_audit(CELL)) == {
        "pairs": 5,
        "duplicates": {"instruction": {"exact": 2, "near": 3}, "pair": {"exact": 1, "near": 3}},
        "overlap": {"idle": 0, "quiz": 4},
        "overlap_any": 4,
    }


# Sets without duplicates


class Repeating(Counting):
    """A generator that has only `kinds` things to say; replies come in the order of `order`."""

    def __init__(self, kinds, order=None, **options):
        super().__init__(**options)
        self.kinds, self.order = kinds, order

    def complete(self, queue):
        while queue:
            held = []
            for _ in range(self.order.randint(1, 20) if self.order else 1):
                if queue:
                    held.append(queue.popleft())
            if self.order:
                self.order.shuffle(held)
            for row in itertools.chain(*super().complete(held_queue(held))):
                number = int(row["fingerprint"][:8], 16)
                if row["reply"] != "no markers":
                    kind = number % self.kinds
                    row["reply"] = f"INPUT: this is question {kind}\nOUTPUT: a{kind}\n[END]"
                yield [row]


def held_queue(requests):
    """What Counting takes requests from."""

    class Queue(list):
        def popleft(self):
            return self.pop(0)

    return Queue(requests)


def made(backend, size, path, method="instance", **options):
    shown = "{demonstrations} {theme}" if method == "instance" else "{instruction}"
    writer = composer(method, template=shown)
    repeats = partial(duplicates.reject_repeats, repeats=duplicates.find_exact)
    with Journal(path) as journal:
        filled = slots.Slots(
            writer, journal, backend.identity, {}, lambda pair: "valid", size, 10, repeats=repeats,
            **options,
        )  # fmt: skip
        filled.generate(backend, first_wave=8)
        return filled.rows


@pytest.mark.parametrize(("method", "kinds"), [("instance", 300), ("response", 50)])
def test_n_new_pairs_whatever_order_replies_come_in(tmp_path, method, kinds):
    counted = []
    rows = made(
        Repeating(kinds, faulty=5), 150, tmp_path / "j.jsonl", method,
        valid=lambda count=1: counted.append(count),
    )  # fmt: skip
    kept = valid(rows)
    assert len(kept) == len(set(kept)) == sum(counted) == 150
    assert {row["verdict"] for row in rows} >= {"valid", "duplicate"}
    # Each is the first of its kind, the last row is needed, and nothing was asked beyond it.
    answers = [row for row in rows if row["verdict"] in ("valid", "duplicate")]
    seen = set()
    for row in answers:
        pair = row["instruction"], row["response"]
        assert (row["verdict"] == "valid") is (pair not in seen)
        seen.add(pair)
    assert answers[-1]["verdict"] == "valid"
    assert {row["slot"] for row in rows} == set(range(rows[-1]["slot"] + 1))
    for number in range(5):
        order = random.Random(number)
        path = tmp_path / f"{number}.jsonl"
        assert made(Repeating(kinds, order, faulty=5), 150, path, method) == rows
        idle = Repeating(kinds, faulty=5)
        assert made(idle, 150, path, method) == rows
        assert idle.asked == []


def test_a_larger_set_without_duplicates_extends_a_smaller_one(tmp_path):
    small = made(Repeating(500), 100, tmp_path / "j.jsonl")
    large = made(Repeating(500), 180, tmp_path / "j.jsonl")
    assert valid(large)[:100] == valid(small)
    assert large == made(Repeating(500), 180, tmp_path / "fresh.jsonl")


@pytest.mark.parametrize("method", ["instance", "response"])
def test_a_generator_that_only_repeats_itself_is_stopped(tmp_path, method):
    backend = Repeating(3)
    with pytest.raises(slots.Shortfall, match=r"of 1000 pairs are new and more than that"):
        made(backend, 1000, tmp_path / "j.jsonl", method)
    assert len(backend.asked) <= 2000


def test_a_data_set_gives_n_new_pairs():
    pairs = [{"instruction": f"question {i % 60}", "response": "r"} for i in range(200)]
    repeats = partial(duplicates.reject_repeats, repeats=duplicates.find_near)
    rows = generate.adopt(pairs, lambda pair: "valid", 50, 1, repeats)
    assert len(set(valid(rows))) == len(valid(rows)) == 50
    assert rows[-1]["verdict"] == "valid"
    with pytest.raises(slots.Shortfall, match=r"60 valid pairs of 200 .* duplicate 140"):
        generate.adopt(pairs, lambda pair: "valid", 61, 1, repeats)


def test_pairs_that_are_test_items_can_be_dropped(tmp_path):
    pairs = [{"instruction": LONG, "response": "r"}, {"instruction": "mine", "response": "r"}]
    write_jsonl(tmp_path / "pairs.jsonl", pairs * 3)
    source = {"path": "pairs.jsonl", "instruction": "instruction", "response": "response"}

    def verdicts(duplicates, overlap="keep"):
        generation = {"validators": {"math": ["length"]}, "max_characters": 99}
        generation |= {"duplicates": duplicates, "overlap": overlap}
        command = arguments(tmp_path, source, generation, quiz=LONG)
        with contextlib.chdir(tmp_path):
            generate.main(command)
        return [row["verdict"] for row in read_jsonl(tmp_path / paths.raw_replies(CELL))]

    assert verdicts("keep") == ["valid"] * 3
    told = verdicts("keep", "drop")
    assert told.count("valid") == 3
    assert set(told) == {"valid", "in benchmark"}
    with pytest.raises(slots.Shortfall, match="in benchmark 3, duplicate 2"):
        verdicts("near", "drop")
