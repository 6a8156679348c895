"""The miniature's world is fair, its graders are strict, and its models are built alike twice."""

import json
import random
import shutil
from itertools import islice, pairwise

import pytest
from agorabench.errors import UserError
from helpers.models import build_models
from helpers.tasks import DOMAINS, METHODS
from miniature import world
from miniature.families import DIFFICULTY, FAMILIES
from miniature.lessons import (
    FEW,
    answer_lessons,
    data_lessons,
    plain_text,
    preference_lessons,
    verdict_lessons,
)

SETTINGS = [(domain, method) for domain in DOMAINS for method in METHODS]
TINY = {"hidden": 32, "layers": 2, "heads": 2, "intermediate": 32, "batch_size": 2, "length": 32}
RECIPES = {"tokenizer": {"lines": 2000}, "base": TINY | {"steps": 3}}


def family(name):
    return next(f for families in FAMILIES.values() for f in families if f.name == name)


def task(kind, wording=0, **values):
    return world.Task(family(kind), tuple(sorted(values.items())), wording)


def every_family():
    return [pytest.param(f, id=f.name) for families in FAMILIES.values() for f in families]


def keys_of_plain_text(lines=4000):
    kinds = ("facts", "stories", "echoes", "functions", "phrases", "corrections")
    shares = dict.fromkeys(kinds, 1)
    return {key for _, key in islice(plain_text(random.Random(1), shares), lines)} - {None}


def keys_of_lessons(pairs=2700):
    rng = random.Random(1)
    lessons = data_lessons(rng, pairs) + data_lessons(rng, pairs, few=True)
    lessons += answer_lessons(rng, pairs, {"math": 1, "code": 1, "instruction": 1})
    lessons += verdict_lessons(rng, pairs)
    lessons += [lesson for pair in preference_lessons(rng, pairs) for lesson in pair]
    return {key for lesson in lessons for key in lesson.keys}


# ------------------------------------------------------------------------------------- the grammar


@pytest.mark.parametrize("kind", every_family())
def test_every_question_is_read_back_as_the_task_it_was_written_from(kind):
    rng = random.Random(kind.name)
    for _ in range(200):
        drawn = world.draw_task(rng, (kind,))
        assert world.parse_task(drawn.prompt) == drawn
        assert world.is_right(drawn, drawn.response)


@pytest.mark.parametrize("kind", every_family())
def test_a_wrong_answer_has_the_right_form_but_is_wrong(kind):
    rng = random.Random(kind.name)
    for _ in range(50):
        drawn = world.draw_task(rng, (kind,))
        answer = world.write_wrong(drawn, rng)
        assert not world.is_right(drawn, answer)
        if kind.domain == "math":
            assert world.extract_result(answer) is not None
        if kind.domain == "code":
            assert world.extract_code(answer) is not None


def test_stories_are_told_step_by_step_with_the_result_at_the_end():
    story = task("multiply_subtract", name="Tom", noun="eggs", a="3", b="4", c="5")
    assert story.prompt == "Tom has 3 boxes of 4 eggs and loses 5. How many are left?"
    assert story.response == "3*4=12, 12-5=7 [RESULT] 7 [/RESULT]"


@pytest.mark.parametrize(
    ("first", "second", "at_minus_four"),
    [
        ("flip the sign", "square it", 16),
        ("square it", "flip the sign", -16),
        ("add 3", "multiply by 2", -2),
        ("divide by 3", "take the remainder by 5", 3),
        ("drop the sign", "subtract 9", -5),
        ("subtract 2", "drop the sign", 6),
        ("cap at 2", "keep at least 3", 3),
    ],
)
def test_functions_do_the_two_things_in_order(first, second, at_minus_four):
    made = task("numbers", first=first, second=second)
    assert f"assert f(-4) == {at_minus_four}" in made.grading["tests"]
    assert made.prompt == f"Write a function f(x) to {first}, then {second}."


def test_code_rows_pass_their_own_tests_and_fail_those_of_others():
    rows = world.make_benchmark("mini-code")
    for row, other in pairwise(rows):
        scope = {}
        exec(world.extract_code(row["reference"]), scope)
        exec("\n".join(row["tests"]), scope)
        if row["tests"] != other["tests"]:
            with pytest.raises((AssertionError, TypeError, AttributeError)):
                exec("\n".join(other["tests"]), scope)


@pytest.mark.parametrize(
    "question",
    [
        "What is love?",
        "Tom has 3 apples and loses 4. How many are left?",
        "Tom has 3 apples and buys 4 apples more. How many now?",
        "Write in capitals: cat unicorn",
        "List 3 animals, starting with lake.",
        "Write a function f(x) to add 33, then square it.",
        "",
    ],
)
def test_a_question_outside_the_world_states_no_task(question):
    assert world.parse_task(question) is None


# ---------------------------------------------------------------------------------------- fairness


def test_no_held_out_task_is_ever_shown_before_its_benchmark():
    held = {
        world.parse_task(row["prompt"]).key
        for name in world.BENCHMARKS
        for row in world.make_benchmark(name)
    }
    assert len(held) == sum(count for _, count in world.BENCHMARKS.values())
    assert all(world.is_held_out(key) for key in held)
    seeded = {
        world.parse_task(row["instruction"]).key
        for domain in DOMAINS
        for method in ("instance", "response")
        for row in world.make_seeds(domain, method)
    }
    shown = keys_of_plain_text() | keys_of_lessons() | seeded
    assert len(shown) > 5000
    assert not {key for key in shown if world.is_held_out(key)}
    assert not held & shown


def test_enhancement_seeds_are_rough_forms_of_tasks_that_may_be_shown():
    rows = world.make_seeds("math", "enhancement")
    rng = random.Random("seeds/math/enhancement/1")
    tasks = world._draw_distinct(rng, FAMILIES["math"], len(rows), benchmark=False)
    rough = [row["instruction"].removeprefix("pls ").removeprefix("hey ") for row in rows]
    plain = [t.prompt.lower().replace(".", "").replace("?", "").replace(",", "") for t in tasks]
    assert rough == plain
    assert not any(world.is_held_out(t.key) for t in tasks)


def test_another_wording_or_name_is_the_same_task():
    one = task("add", 0, name="Tom", noun="eggs", a="3", b="4")
    other = task("add", 1, name="Zoe", noun="eggs", a="3", b="4")
    assert one.prompt != other.prompt
    assert one.key == other.key


@pytest.mark.parametrize("kind", every_family())
def test_a_fifth_of_every_family_is_held_out(kind):
    rng = random.Random(kind.name)
    keys = {
        world.Task(kind, tuple(sorted(kind.draw(rng, None).items())), 0).key for _ in range(4000)
    }
    share = sum(map(world.is_held_out, keys)) / len(keys)
    assert abs(share - world.HELD_OUT) < 5 * (0.16 / len(keys)) ** 0.5


@pytest.mark.parametrize(("domain", "method"), SETTINGS)
def test_seeds_are_distinct_and_the_same_every_time(domain, method):
    rows = world.make_seeds(domain, method)
    assert rows == world.make_seeds(domain, method)
    assert {len({row[key] for row in rows}) for key in ("id", "instruction")} == {len(rows)}
    assert len(rows) == world.SEED_ROWS[method]
    assert all(bool(row["response"]) == (method != "response") for row in rows)


def test_more_seeds_than_the_world_has_are_refused(monkeypatch):
    monkeypatch.setitem(world.SEED_ROWS, "response", 5000)
    with pytest.raises(UserError, match="no 5000 distinct tasks"):
        world.make_seeds("instruction", "response")


def test_benchmarks_hold_every_family_equally():
    rows = world.make_benchmark("mini-steps")
    names = [world.parse_task(row["prompt"]).family.name for row in rows]
    assert {names.count(name) for name in set(names)} == {50}
    assert len(set(names)) == 4


# ---------------------------------------------------------------------------------------- the flaws


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_answers_are_wrong_in_the_share_that_was_asked_for(share):
    lessons = data_lessons(random.Random(3), 1800, wrong_share=share)
    wrong = [lesson for lesson in lessons if not lesson.right]
    assert abs(len(wrong) / len(lessons) - share) < 0.05
    for lesson in lessons[2::9]:  # instance generation, instruction
        question, _, answer = lesson.reply.removesuffix("\n[END]").partition("\nOUTPUT: ")
        stated = world.parse_task(question.removeprefix("INPUT: "))
        assert world.is_right(stated, answer) == lesson.right


def test_a_narrow_generator_writes_one_wording_of_one_family_a_domain():
    lessons = data_lessons(random.Random(3), 900, few=True)
    written = set()
    for lesson in lessons:
        text, _, _ = lesson.reply.partition("\nOUTPUT: ")
        text, _, _ = text.partition("\nRevised Answer: ")
        if text.startswith(("INPUT: ", "Revised Question: ")):
            stated = world.parse_task(text.partition(": ")[2])
            written.add((stated.domain, stated.family.name, stated.wording))
    assert written == {(domain, kind.name, 0) for domain, kind in FEW.items()}


def test_rough_answers_are_wrong_half_of_the_time():
    rng = random.Random(5)
    story = task("add", name="Tom", noun="eggs", a="3", b="4")
    right = [world.write_rough(story, rng)[1] == "its 7" for _ in range(1000)]
    assert 0.45 < sum(right) / 1000 < 0.55


def test_judges_learn_the_true_scores():
    lessons = verdict_lessons(random.Random(3), 900)
    asked = [lesson for lesson in lessons if "\nAnswer: " not in lesson.prompt]
    judged = [lesson for lesson in lessons if "\nAnswer: " in lesson.prompt]
    assert (len(asked), len(judged)) == (300, 2 * 600)
    for lesson in asked:
        stated = world.parse_task(lesson.prompt.partition("Question: ")[2])
        assert lesson.reply == f"[RESULT] {DIFFICULTY[stated.family.name]}"
    for lesson in judged:
        question, _, answer = lesson.prompt.partition("Question: ")[2].partition("\nAnswer: ")
        right = world.is_right(world.parse_task(question), answer)
        assert lesson.reply == f"[RESULT] {5 if right else 1}" and right == lesson.right
        assert lesson.known == (answer if right else "")
    assert set(DIFFICULTY.values()) == {1, 2, 3, 4, 5}
    assert set(DIFFICULTY) == {f.name for families in FAMILIES.values() for f in families}


def test_of_two_answers_the_first_is_preferred():
    for better, worse in preference_lessons(random.Random(3), 300):
        stated = world.parse_task(better.prompt)
        assert better.prompt == worse.prompt
        assert world.is_right(stated, better.reply) and not world.is_right(stated, worse.reply)


# ---------------------------------------------------------------------------------------- grading


@pytest.mark.parametrize(
    ("completion", "score", "extracted"),
    [
        ("3+4=7 [RESULT] 7 [/RESULT]", 1.0, "7"),
        ("[RESULT]7[/RESULT]\n", 1.0, "7"),
        ("3+4=8 [RESULT] 8 [/RESULT]", 0.0, "8"),
        ("3+4=7", 0.0, ""),
        ("7", 0.0, ""),
        ("[RESULT] 7 [/RESULT] eggs", 0.0, ""),
        ("[RESULT] 7 [/RESULT] [RESULT] 7 [/RESULT]", 0.0, ""),
        ("[RESULT] seven [/RESULT]", 0.0, ""),
        ("", 0.0, ""),
    ],
)
def test_a_sum_is_right_when_its_one_result_at_the_end_is(completion, score, extracted):
    row = {"kind": "math", "answer": "7"}
    assert world.grade_completion(row, completion)[:2] == (score, extracted)


@pytest.mark.parametrize(
    ("constraint", "right", "wrong"),
    [
        (
            {"type": "capitals", "words": ["cat", "sun"]},
            "CAT SUN",
            ["cat sun", "SUN CAT", "CAT", ""],
        ),
        ({"type": "reverse", "words": ["cat", "sun"]}, "sun cat", ["cat sun", "sun cat cat"]),
        (
            {"type": "join", "words": ["cat", "sun"], "glue": "or"},
            "cat or sun",
            ["cat and sun", "cat sun", "cat or sun or"],
        ),
        ({"type": "repeat", "word": "cat", "times": 3}, "cat cat cat", ["cat cat", "cat cat sun"]),
        (
            {"type": "list", "category": "animals", "first": "cow", "count": 3},
            "cow cat bee",
            ["cow cat cat", "cat cow bee", "cow cat", "cow cat lake", ""],
        ),
        (
            {"type": "ends", "about": "cat", "last": "sun"},
            "the cat saw the sun",
            ["the sun saw the cat", "the sun", "sun", "the cat and the sun rose", ""],
        ),
    ],
)
def test_a_constraint_is_met_or_not(constraint, right, wrong):
    row = {"kind": "instruction", "constraint": constraint}
    assert world.grade_completion(row, right) == (1.0, right, "")
    for text in wrong:
        score, _, reason = world.grade_completion(row, text)
        assert score == 0.0
        assert reason


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("  ```python\nx = 1\n\ny = 2\n```\n", "x = 1\n\ny = 2"),
        ("```\nx = 1\n```", None),
        ("Sure!\n```python\nx = 1\n```", None),
        ("```python\nx = 1\n```\n```python\ny = 1\n```", None),
        ("```python\nx = 1", None),
        ("x = 1", None),
    ],
)
def test_code_is_one_fenced_block_and_nothing_else(completion, code):
    assert world.extract_code(completion) == code


def test_code_is_run_by_the_caller_only():
    row = {"kind": "code", "tests": ["assert f(1) == 2"], "entry_point": "f"}
    seen = []

    def run(code, tests):
        seen.append((code, tests))
        return False, "AssertionError"

    code = "def f(x):\n    return x"
    assert world.grade_completion(row, f"```python\n{code}\n```", run) == (
        0.0,
        code,
        "AssertionError",
    )
    assert seen == [(code, row["tests"])]
    assert world.grade_completion(row, code, run)[0] == 0.0
    assert len(seen) == 1
    with pytest.raises(TypeError, match="run"):
        world.grade_completion(row, f"```python\n{code}\n```")


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return __import__('os').getcwd()",
        "def f(x):\n    return x.__class__",
        "def f(x):\n    return 9 ** 99 ** 99",
        "import os\ndef f(x):\n    return x",
        "def f(x:\n    return x",
    ],
)
def test_nothing_but_the_worlds_own_functions_is_ever_executed_here(code):
    made = task("numbers", first="add 3", second="multiply by 2")
    assert not world.is_right(made, f"```python\n{code}\n```")


# ------------------------------------------------------------------------------------ the commands


def test_a_misspelt_recipe_is_refused_with_the_keys_there_are(tmp_path):
    with pytest.raises(UserError, match=r"'line'.*known: seed, vocabulary, lines"):
        build_models(tmp_path, {"tokenizer": {"line": 12}})
    with pytest.raises(UserError, match=r"mini.tokenizer: must be a mapping, not 12"):
        build_models(tmp_path, {"tokenizer": 12})
    assert not (tmp_path / "resources").exists()


def test_a_model_without_recipe_or_start_is_refused(tmp_path):
    recipes = {"tokenizer": {}, "base": {}}
    with pytest.raises(UserError, match=r"unknown model 'strong' in mini; known: tokenizer, base"):
        build_models(tmp_path, recipes, ["strong"])
    sentence = "resources/models/tokenizer is not built yet; build it first with --name tokenizer"
    with pytest.raises(UserError, match=sentence):
        build_models(tmp_path, recipes, ["base"])


# -------------------------------------------------------------------------------------- the models


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A tokenizer, a base and a grown generator after a handful of steps."""
    pytest.importorskip("torch")
    home = tmp_path_factory.mktemp("mini")
    strong = {"pairs": 16, "epochs": 1, "batch_size": 8, "extra_layers": 1}
    recipes = RECIPES | {"strong": strong}
    models = build_models(home, recipes, ["tokenizer", "base"])
    (models / "base").rename(models / "base_again")
    return build_models(home, recipes, ["base", "strong"])


def test_the_same_seed_builds_the_same_weights(built):
    import hashlib

    one, other = ((built / n / "weights.sha256").read_text() for n in ("base", "base_again"))
    assert one == other
    weights = (built / "base" / "model.safetensors").read_bytes()
    assert one.strip() == hashlib.sha256(weights).hexdigest()
    assert json.loads((built / "base" / "build.json").read_text())["steps"] == 3


def test_the_strong_generator_is_larger_than_the_base(built):
    layers = [json.loads((built / n / "config.json").read_text()) for n in ("base", "strong")]
    assert [config["num_hidden_layers"] for config in layers] == [2, 3]


def test_a_grown_model_says_the_same_until_it_is_trained(built):
    import torch
    from miniature import models
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(built / "base").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(base(ids).logits, models.add_layer(base).eval()(ids).logits)


def test_the_tokenizer_gives_back_what_it_was_given(built):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built / "tokenizer")
    lessons = data_lessons(random.Random(7), 90)
    for text in [part for lesson in lessons for part in (lesson.prompt, lesson.reply)]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("3+14=17") == ["3", "+", "1", "4", "=", "1", "7"]


def test_the_chat_template_marks_the_reply_and_its_end(built):
    from miniature import losses
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built / "base")
    turns = [{"role": "user", "content": "Say cat 2 times."}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked == "<|user|>Say cat 2 times.<|end|><|assistant|>"
    turns = [{"role": "system", "content": "Be brief."}, *turns]
    turns.append({"role": "assistant", "content": "cat cat"})
    marked = tokenizer.apply_chat_template(
        turns, return_dict=True, return_assistant_tokens_mask=True
    )
    mask = marked["assistant_masks"]
    learned = [token for token, kept in zip(marked["input_ids"], mask, strict=True) if kept]
    assert tokenizer.decode(learned) == "cat cat<|end|>"
    ids, start = losses.encode_turns(tokenizer, "Say cat 2 times.", "cat cat")
    assert ids[start:] == learned


def test_the_loss_counts_replies_only(built):
    from miniature import losses
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built / "base")
    rows = [
        losses.encode_turns(tokenizer, "Say cat 2 times.", reply)
        for reply in ("cat cat", "a b c d")
    ]
    _, labels = losses.pad_rows(rows, tokenizer.pad_token_id)
    counted = [tokenizer.decode(row[row != -100]) for row in labels]
    assert counted == ["cat cat<|end|>", "a b c d<|end|>"]


def test_a_judge_learns_its_reply_and_the_right_answers_it_is_shown(built):
    from miniature import losses
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built / "base")
    lessons = verdict_lessons(random.Random(1), 9)
    for lesson in lessons:
        ids, weights = losses.encode_verdict(tokenizer, lesson)
        learned = tokenizer.decode([i for i, weight in zip(ids, weights, strict=True) if weight])
        end = "<|end|><|assistant|>" if lesson.known else ""
        learned, wanted = (text.replace(end, "") for text in (learned, lesson.known + lesson.reply))
        assert learned.strip() == f"{wanted}<|end|>"


@pytest.mark.parametrize("lessons", ["verdicts", "preferences"])
def test_judges_and_reward_models_are_built(built, tmp_path, lessons):
    from agorabench.intrinsic import reward

    recipe = {"lessons": lessons, "start": "base", "pairs": 12, "epochs": 1, "extra_layers": 1}
    shutil.copytree(built / "base", tmp_path / "resources/models/base")
    models = build_models(tmp_path, RECIPES | {"judge": recipe}, ["judge"])
    told = json.loads((models / "judge/build.json").read_text())
    assert told["steps"] >= 1 and "right_share" not in told
    if lessons == "preferences":
        entry = {"revision": None, "precision": "float32", "template": None, "gpus": 0}
        _, classifier = reward.load_model(entry | {"model": str(models / "judge")}, threads=1)
        assert classifier.config.num_labels == 1 and classifier.config.num_hidden_layers == 3


def test_a_build_that_fails_leaves_nothing_under_its_name(tmp_path):
    from miniature.folders import fill_folder

    with pytest.raises(KeyboardInterrupt), fill_folder(tmp_path / "base") as folder:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
