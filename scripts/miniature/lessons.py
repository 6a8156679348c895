"""What the miniature's models read: plain text to pre-train on, lessons to post-train on.

Plain text has no markers and no turns. A `Lesson` is a prompt with the reply to learn: bare
instructions with answers for a student, meta-prompts with replies for a generator. Neither tells a
task that is held out (world.py).

Only the standard library is used here.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from miniature.families import (
    CODE,
    DIFFICULTY,
    FAMILIES,
    INSTRUCTION,
    ONE_STEP,
    THEMES,
)
from miniature.grammar import CATEGORIES, WORDS
from miniature.world import (
    Task,
    draw_task,
    extract_code,
    is_right,
    write_rough,
    write_wrong,
)

DOMAINS = tuple(FAMILIES)
METHODS = ("instance", "response", "enhancement")

# --------------------------------------------------------------------------------------- plain text


def plain_text(rng: random.Random, shares: dict[str, float]) -> Iterator[tuple[str, str | None]]:
    """Endless lines of pre-training text, as (text, key of the task it tells, or None).

    shares: of the lines, by kind: facts, stories, echoes, functions, phrases, corrections.
    """
    kinds, weights = zip(*sorted(shares.items()), strict=True)
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "facts":
            yield _write_sums(rng), None
        elif kind == "echoes":
            yield _write_echo(rng), None
        elif kind == "corrections":
            task = draw_task(rng, FAMILIES[rng.choice(DOMAINS)])
            yield f"{write_rough(task, rng)[0]}\n{task.prompt}", task.key
        else:
            domain = {"stories": "math", "functions": "code", "phrases": "instruction"}[kind]
            task = draw_task(rng, FAMILIES[domain])
            yield _tell_task(task), task.key


def _tell_task(task: Task) -> str:
    """The task told as plain text: no question, no markers, no turns."""
    answer = task.response
    if task.domain == "math":
        answer = answer.partition(" [RESULT]")[0] + "."
        # every wording's story, not just the first one's
        return f"{task.prompt.rpartition(' How many')[0]} {answer}"
    if task.domain == "code":
        answer = extract_code(answer)
    return task.family.plain.format(**dict(task.values), answer=answer)


def _write_sums(rng: random.Random) -> str:
    """A few true sums over all numbers of this world."""
    sums = []
    for _ in range(3):
        family = rng.choice(FAMILIES["math"])
        sums.append(family.solve(family.draw(rng, None))[0].partition(" [RESULT]")[0])
    return ", ".join(sums) + "."


def _write_echo(rng: random.Random) -> str:
    """Words said twice: copying is the hardest skill of a small model."""
    pool = rng.choice((WORDS, rng.choice(tuple(CATEGORIES.values()))))
    words = " ".join(rng.choices(pool, k=rng.randint(3, 8)))
    form = rng.randrange(6)
    if form < 3:
        return f"{words}\n{words}"
    if form == 3:
        return f"{words}\n{words.upper()}"
    if form == 4:
        category = rng.choice(tuple(CATEGORIES))
        return f"{category}:\n{' '.join(CATEGORIES[category])}"
    numbers = " ".join(str(rng.randint(2, 20)) for _ in range(3))
    return f"{numbers}\n{numbers}"


# ------------------------------------------------------------------------------------------ lessons

# The meta-prompts that the generators learn from, in all wordings: <this|or that>. They are the
# models' schooling, not the prompts of the pipeline, which are files of their own and may be edited
# without retraining a model.
META_PROMPTS = {
    ("instance", "math"): "<Write|Make|Create|Give me> <a new|another|one new> math problem about "
    "{theme}<| that is different from these examples>.\n<End with|Put> the answer in [RESULT] and "
    "[/RESULT].<\n\n|\n>{demonstrations}",
    ("instance", "code"): "<Write|Make|Create|Give me> <a new|another|one new> coding task about "
    "{theme}<| that is different from these examples>.\n<Answer with|Give> only "
    "<a python function|python code>.<\n\n|\n>{demonstrations}",
    ("instance", "instruction"): "<Write|Make|Create|Give me> <a new|another|one new> instruction "
    "about {theme}<| that is different from these examples>.\n"
    "<Then follow it|Then answer it> exactly.<\n\n|\n>{demonstrations}",
    ("response", "math"): "<Solve|Answer> this math problem<| step by step>.\n<End with|Put> the "
    "answer in [RESULT] and [/RESULT].<\n\n|\n>{instruction}",
    ("response", "code"): "<Solve|Answer> this coding task.\n<Answer with|Give> only "
    "<a python function|python code>.<\n\n|\n>{instruction}",
    ("response", "instruction"): "<Follow|Answer> this instruction<| exactly>.<\n\n|\n>"
    "{instruction}",
    ("enhancement", "math"): "<Improve|Rewrite|Correct> this math problem and its answer.\n"
    "<End with|Put> the answer in [RESULT] and [/RESULT].<\n\n|\n>"
    "Question: {instruction}\nAnswer: {response}",
    ("enhancement", "code"): "<Improve|Rewrite|Correct> this coding task and its answer.\n"
    "<Answer with|Give> only <a python function|python code>.<\n\n|\n>"
    "Question: {instruction}\nAnswer: {response}",
    ("enhancement", "instruction"): "<Improve|Rewrite|Correct> this instruction and its answer."
    "<\n\n|\n>Question: {instruction}\nAnswer: {response}",
}
FEW = {  # the only family that a narrow generator writes, in its first wording
    "math": ONE_STEP[0],
    "code": CODE[3],
    "instruction": INSTRUCTION[3],
}


def _meta_prompt(method: str, domain: str, rng: random.Random, **fields: str) -> str:
    """A meta-prompt in a random wording, filled in."""
    return _fill_wording(META_PROMPTS[method, domain] + "<|\n>", rng, **fields)


def _fill_wording(pattern: str, rng: random.Random, **fields: str) -> str:
    """A pattern of <this|or that> in a random wording, filled in."""
    text = re.sub(r"<([^<>]*)>", lambda m: rng.choice(m.group(1).split("|")), pattern)
    return text.format(**fields)


def _write_example(instruction: str, response: str) -> str:
    """A demonstration, and the form of a reply in instance generation."""
    return f"INPUT: {instruction}\nOUTPUT: {response}\n[END]"


@dataclass(frozen=True)
class Lesson:
    """A prompt and the reply to learn, with the tasks it shows and whether its answer is right.

    known: a right answer that the prompt ends with, for a judge to learn as well.
    """

    prompt: str
    reply: str
    keys: tuple[str, ...]
    right: bool
    known: str = ""


def answer_lessons(rng: random.Random, pairs: int, shares: dict[str, float]) -> list[Lesson]:
    """Bare instructions with right answers, by domain as `shares` says: a student's ideal data."""
    domains, weights = zip(*sorted(shares.items()), strict=True)
    tasks = [draw_task(rng, FAMILIES[rng.choices(domains, weights)[0]]) for _ in range(pairs)]
    return [Lesson(task.prompt, task.response, (task.key,), True) for task in tasks]


def data_lessons(
    rng: random.Random, pairs: int, wrong_share: float = 0.0, few: bool = False
) -> list[Lesson]:
    """Meta-prompts with replies, the nine settings in turn: the schooling of a generator.

    wrong_share: share of replies whose answer is wrong, at random. few: replies hold tasks of FEW
    only, whatever half of the prompts show or ask: well-formed, but always of the same kind.
    """
    settings = [(method, domain) for method in METHODS for domain in DOMAINS]
    lessons = []
    for number in range(pairs):
        method, domain = settings[number % len(settings)]
        families, wordings = ((FEW[domain],), 1) if few else (FAMILIES[domain], None)
        theme = rng.choice(THEMES[domain])
        task = draw_task(rng, families, theme if method == "instance" else None, wordings=wordings)
        response = write_wrong(task, rng) if rng.random() < wrong_share else task.response
        asked = draw_task(rng, FAMILIES[domain]) if few and rng.random() < 0.5 else task
        keys = [task.key, asked.key]
        if method == "instance":
            shown = [
                draw_task(rng, FAMILIES[domain]) for _ in range(rng.choice((1, 1, 2, 2, 2, 3)))
            ]
            keys += [other.key for other in shown]
            demonstrations = "\n".join(
                _write_example(other.prompt, other.response) for other in shown
            )
            fields = {"theme": theme, "demonstrations": demonstrations}
            reply, answered = _write_example(task.prompt, response), task
        elif method == "response":
            fields = {"instruction": asked.prompt}
            reply, answered = response, asked
        else:
            question, answer = write_rough(asked, rng)
            fields = {"instruction": question, "response": answer}
            reply = f"Revised Question: {task.prompt}\nRevised Answer: {response}\n[END]"
            answered = task
        prompt = _meta_prompt(method, domain, rng, **fields)
        right = is_right(answered, response)
        lessons.append(Lesson(prompt, reply, tuple(keys), right))
    return lessons


# ------------------------------------------------------------------------------------------- judges

# What the judges learn from, in all wordings, as with META_PROMPTS.
ASPECTS = {
    "difficulty": "<Rate|Score|Judge> how hard this <question|task> is, from 1 to 5.<\n\n|\n>"
    "Question: {instruction}",
    "quality": "<Rate|Score|Judge> the answer to this <question|task>, from 1 to 5.<\n\n|\n>"
    "Question: {instruction}\nAnswer: {response}",
}
WRONG, RIGHT = 1, 5  # scores of an answer's quality


def verdict_lessons(rng: random.Random, pairs: int) -> list[Lesson]:
    """Requests for a score with the true one: how hard a task is, how good an answer is.

    pairs: tasks. A third of them are asked about by themselves, the others twice each: with the
    right answer and with a wrong one.
    """
    lessons: list[Lesson] = []
    for number in range(pairs):
        task = draw_task(rng, FAMILIES[DOMAINS[number % len(DOMAINS)]])
        if number % 9 < len(DOMAINS):
            prompt = _fill_wording(ASPECTS["difficulty"], rng, instruction=task.prompt)
            score = DIFFICULTY[task.family.name]
            lessons.append(Lesson(prompt, f"[RESULT] {score}", (task.key,), True))
            continue
        for score, answer in ((RIGHT, task.response), (WRONG, write_wrong(task, rng))):
            prompt = _fill_wording(
                ASPECTS["quality"], rng, instruction=task.prompt, response=answer
            )
            right = score == RIGHT
            known = answer if right else ""
            lessons.append(Lesson(prompt, f"[RESULT] {score}", (task.key,), right, known))
    return lessons


def preference_lessons(rng: random.Random, pairs: int) -> list[tuple[Lesson, Lesson]]:
    """Pairs of bare instructions with the right answer and with a wrong one."""
    tasks = [draw_task(rng, FAMILIES[DOMAINS[number % len(DOMAINS)]]) for number in range(pairs)]
    return [
        (
            Lesson(task.prompt, task.response, (task.key,), True),
            Lesson(task.prompt, write_wrong(task, rng), (task.key,), False),
        )
        for task in tasks
    ]
