r"""Style control: how often a model would win against a baseline whose answers had its own style.

Judges like long answers with headers, lists and bold words. Arena-Hard's tool (lmarena's
arena-hard-auto) adds the differences of style between the two answers to its Bradley-Terry model,

    logit P(model wins) = strength of the model - strength of the baseline + sum of c_k z_k

with z_k the difference in length (tokens), headers, lists and bold passages, each over its standard
deviation over all battles. With m and b the counts in the model's and the baseline's answer, and n
their tokens, the difference is, in the tool's two versions (show_result.py of August 2024 with
--style-control; of April 2025 with --control-features markdown length),

    v0.1   (m - b) / (m + b + 1) of all four
    v2.0   (m - b) / (m + b) of the tokens; of the others the same as v0.1 on counts / (n + 1)

What one model's battles can tell is less than what a leaderboard's can. The tool fits all models at
once: the c_k are common to them, and z_k is centred on all battles, so that its score is the chance
to win at the leaderboard's average difference of style. Centred on the battles of one model, that
would be this model's own difference, and nothing would be controlled for. So here z_k is not
centred: the score is the chance to win at no difference, the c_k are this model's own, and they are
told by the questions that it answered in another style than others. A feature that differs by the
same amount everywhere cannot be told from strength and is left out. Far from equal style the score
is an extrapolation, and its standard error says so.

The tool counts tokens by tiktoken, whose vocabularies are downloads. Here they are the pieces that
TOKEN finds, the same on every machine and for every student. On the 750 answers to Arena-Hard v2.0
that the tool's repository holds with their numbers of gpt-4o's tokens, the pieces are 0.5 % fewer
in all, and their correlation over the answers in Latin script is 0.996 (0.94 over all).
"""

import math
import re

VERSIONS = ("v0.1", "v2.0")
# Up to ten letters of English, three digits or two other letters; a run of signs; line ends.
TOKEN = re.compile(r"[A-Za-z]{1,10}|\d{1,3}|[^\W\d_a-zA-Z]{1,2}|[^\w\s]+|_|\n+")
CODE = re.compile(r"```[^`]*```")  # has no markdown in it
MARKDOWN = {
    "header_count": {f"h{n}": rf"^#{{{n}}}\s" for n in range(1, 7)},
    "list_count": {"ordered": r"^[^\S\n]*\d+\.\s", "unordered": r"^[^\S\n]*[-*+]\s"},
    "bold_count": {"**": r"\*\*[^*\n]+\*\*", "__": r"__[^_\n]+__"},
}
# As in the tool's fit of v0.1: the base of its ratings, each battle counted twice, and
# scikit-learn's default penalty, half the square of each coefficient. The penalty moves a fit on
# hundreds of battles by little, and keeps one finite in which every battle is lost.
BASE, TWICE, STRENGTH = 10, 2, 1.0
ROUNDS = 100  # of the tool's bootstrap


def style_metadata(answer: str) -> dict:
    """The style of an answer, in the form that the tool keeps it in beside the answer."""
    prose = CODE.sub("", answer)
    counted = {
        name: {kind: len(re.findall(pattern, prose, re.M)) for kind, pattern in kinds.items()}
        for name, kinds in MARKDOWN.items()
    }
    return {"token_len": len(TOKEN.findall(answer))} | counted


def style_differences(model: list[dict], baseline: list[dict], version: str):
    """Relative differences of style, [answers, features]: tokens, headers, lists, bold passages.

    Args:
        model, baseline: metadata of answers to the same questions.
        version: one of VERSIONS; see above.
    """
    import numpy as np

    own, other = (
        np.array(
            [[row["token_len"], *(sum(row[name].values()) for name in MARKDOWN)] for row in rows],
            dtype=float,
        )
        for rows in (model, baseline)
    )
    if version == "v0.1":
        return (own - other) / (own + other + 1)
    for counts in (own, other):
        counts[:, 1:] /= counts[:, :1] + 1
    total = own + other + [0, 1, 1, 1]
    return np.divide(own - other, total, out=np.zeros_like(total), where=total > 0)


def design_matrix(features, battles):
    """What is fitted for one model: [answers, 2 + features that vary].

    The two strengths come first; features are divided by their standard deviation over battles.
    """
    import numpy as np

    mean = np.average(features, axis=0, weights=battles)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=battles))
    varies = deviation > 1e-12
    strengths = np.full((len(features), 2), math.log(BASE)) * [1, -1]
    return np.hstack([strengths, features[:, varies] / deviation[varies]])


def fit_battles(design, wins, battles):
    """Coefficients [columns] of the Bradley-Terry model.

    Args:
        design: [answers, columns].
        wins: [answers], battles won; half a battle where it is a draw.
        battles: [answers], battles fought.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=STRENGTH, fit_intercept=False, solver="newton-cholesky", tol=1e-8, max_iter=1000
    )
    counts = TWICE * np.concatenate([wins, battles - wins])
    outcomes = np.repeat([1, 0], len(design))
    fought = counts > 0
    if len(set(outcomes[fought])) < 2:  # scikit-learn wants both outcomes: one of no weight
        fought[:] = True
    model.fit(np.vstack([design, design])[fought], outcomes[fought], sample_weight=counts[fought])
    return model.coef_[0]


def win_probability(coefficients) -> float:
    """The chance to win at equal style, 0 to 1."""
    return 1 / (1 + math.exp(-math.log(BASE) * (coefficients[0] - coefficients[1])))


def controlled_scores(features, wins, battles):
    """Scores of answers whose mean is the chance to win at equal style: [answers].

    Each is the chance plus the answer's influence on it (stats.bootstrap): the standard error of
    their mean is that of the chance, with the two games of a question as one observation, and
    whoever resamples them resamples the fit. One may lie outside 0 to 1.

    Args:
        features: [answers, features], `differences`.
        wins, battles: see `fit`; every answer has a battle.
    """
    import numpy as np

    from agorabench.stats.bootstrap import influence

    wins, battles = np.asarray(wins, dtype=float), np.asarray(battles, dtype=float)
    design = design_matrix(features, battles)
    coefficients = fit_battles(design, wins, battles)
    expected = 1 / (1 + np.exp(-(design @ coefficients)))
    spread = TWICE * battles * expected * (1 - expected)
    bend = design.T @ (spread[:, None] * design) + np.eye(design.shape[1]) / STRENGTH
    pull = TWICE * (wins - battles * expected)[:, None] * design
    won = win_probability(coefficients)
    towards = np.zeros(design.shape[1])
    towards[:2] = won * (1 - won) * math.log(BASE) * np.array([1, -1])
    return won + influence(pull, bend, towards)


def bootstrap_interval(
    outcomes: list[list[float]], features=None, rounds=ROUNDS, seed: int = 42
) -> tuple[float, float, float]:
    """(chance to win, its 2.5 % and 97.5 % quantile) in percent, as the tool's leaderboards give.

    The tool resamples battles, each for itself, so two games of a question, and the three battles
    that a "much better" counts as, pass for independent: its intervals are narrower than ours.

    Args:
        outcomes: of each answer, the results of its battles: 1 won, 0 lost, 0.5 drawn.
        features: [answers, features] to control for, or None.
    """
    import numpy as np

    index = np.repeat(np.arange(len(outcomes)), [len(one) for one in outcomes])
    results = np.concatenate([np.asarray(one, dtype=float) for one in outcomes])
    whole = np.bincount(index)
    design = design_matrix(np.zeros((len(outcomes), 0)) if features is None else features, whole)

    def score_draw(times):
        battles = np.bincount(index, times, len(outcomes))
        wins = np.bincount(index, times * results, len(outcomes))
        fought = battles > 0
        if features is None:
            return 100 * wins.sum() / battles.sum()
        return 100 * win_probability(fit_battles(design[fought], wins[fought], battles[fought]))

    random = np.random.default_rng(seed)
    draws = random.multinomial(len(results), np.full(len(results), 1 / len(results)), rounds)
    low, high = np.percentile([score_draw(times) for times in draws], [2.5, 97.5])
    return score_draw(np.ones(len(results))), low, high
