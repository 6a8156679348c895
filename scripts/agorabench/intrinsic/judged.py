r"""A judge's score, 1 to 5, of an instruction's difficulty or of a response's quality.

The judge, a chat model, sees one example and a rubric, and no other answer to compare it with. It
is asked by scripts/judge.py; here are the question, how a verdict is read, and what a set's scores
amount to. A verdict ends the reply, in the format of Prometheus 2 (arXiv 2405.01535) or close to
it:

    Feedback: The sums are right, but the second step is missing. [RESULT] 3

A score elsewhere is none, because feedback may quote the example, and in mathematics that has a
[RESULT] of its own.
"""

import re
from pathlib import Path

from agorabench.generation import prompts
from agorabench.intrinsic import Measured, measure_mean, read_generated_pairs, sample_pairs

# What the prompts of judges and their replies set a score off with. "Result" counts in brackets
# only, as mathematics has results of its own; "a score of 5" in prose is none.
GAP = r"[\s*:=()\[\]]*"
VERDICT = re.compile(
    rf"(?:\[result\]{GAP}(?:(?:final|overall|result|score|rating|of|is){GAP})*"
    rf"|[(\[]score{GAP}|\bscore[\s*]*(?::|=|\bis\b){GAP}|^[\W_]*(?:(?:final|overall) )?score{GAP})"
    r"([1-5])(?:\.0+)?(?:[\s*]?/[\s*]?5(?:\.0+)?| out of 5)?[\s*)\].`]*\Z",
    re.IGNORECASE | re.MULTILINE,
)
ENDING = 300  # characters of a reply in which it is looked for


def rubric_files(folder: str, domain: str) -> list[str]:
    """Files that the question to a judge is made of: the prompt, and the domain's rubric."""
    return [f"{folder}/prompt.md", f"{folder}/{domain}.md"]


def load_games(stage, domain: str) -> list[dict]:
    """The games of a stage `assess` (config/stages.py) about a set of a domain."""
    pairs = read_generated_pairs(*stage.inputs["data"])
    return rubric_games(pairs, stage.params["metrics"], domain, stage.params["seed"])


def rubric_games(pairs: list[dict], metrics: dict[str, dict], domain: str, seed: int) -> list[dict]:
    """Return what the judge is asked (judge.judge_games): a game for each metric and example of its
    sample, {"metric", "id", "messages"}.

    Args:
        pairs: of a generated set.
        metrics: name -> {"rubrics": a folder, "sample"}.
        seed: of the samples.
    """
    found = []
    for name, entry in metrics.items():
        template, rubric = (
            Path(path).read_text(encoding="utf-8").strip()
            for path in rubric_files(entry["rubrics"], domain)
        )
        for pair in sample_pairs(pairs, entry["sample"], seed):
            question = prompts.render_template(template, {**pair, "rubric": rubric})
            messages = [{"role": "user", "content": question}]
            found.append({"metric": name, "id": pair["id"], "messages": messages})
    return found


def read_verdict(_, reply: dict) -> int | None:
    """`parse_score`, in the form that judge_games wants."""
    return parse_score(reply)


def parse_score(reply: dict) -> int | None:
    """The score, 1 to 5, that a reply row ends with, or None."""
    if reply["finish_reason"] != "stop":
        return None
    found = VERDICT.search((reply["reply"] or "").strip()[-ENDING:])
    return int(found[1]) if found else None


def measure_scores(path: str | Path, rows: list[dict], metric: str) -> Measured:
    """The Measured of a metric's scores, 1 to 5; an example without a readable verdict has none.

    Args:
        path: file of the rows, which an error names.
        rows: what judge.py wrote: {"metric", "score"} of every example of the metric's sample.

    Raises:
        UserError: fewer than two examples have a score.
    """
    scores = [row["score"] for row in rows if row["metric"] == metric]
    return measure_mean(f"{path}: {metric}", scores)
