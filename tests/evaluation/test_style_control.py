"""Style control: the tool's formulas on battles of several models, and what one model can tell."""

import math

import numpy as np
import pytest
from agorabench.evaluation import style_control
from agorabench.files import read_jsonl
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

ANSWER = """# Title
## Part
text with **bold** and __more__ and **two
lines**

- one
  * two
10. ten
```python
# a comment
- not a list **nor bold**
```
#no header
"""


def test_markdown_is_counted_outside_of_code():
    told = style_control.style_metadata(ANSWER)
    assert told["header_count"] == {"h1": 1, "h2": 1, "h3": 0, "h4": 0, "h5": 0, "h6": 0}
    assert told["list_count"] == {"ordered": 1, "unordered": 2}
    assert told["bold_count"] == {"**": 1, "__": 1}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", 0),
        ("The cat sat.", 4),
        ("internationally", 2),  # more than ten letters
        ("12345", 2),
        ("a_b\n\n\nc", 5),
        ("x = f(a, b)", 8),
        ("猫が座る", 2),
    ],
)
def test_tokens(text, pieces):
    assert style_control.style_metadata(text)["token_len"] == pieces


def test_counts_are_those_of_the_tool_on_real_answers(data):
    path = data / "arena_hard/model_answer/o3-mini-2025-01-31.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}: answers with the tool's metadata (lmarena/arena-hard-auto)")
    rows = read_jsonl(path)
    texts = [row["messages"][-1]["content"]["answer"] for row in rows]
    theirs, ours = (
        [row["metadata"] for row in rows],
        [style_control.style_metadata(text) for text in texts],
    )
    for own, other in zip(ours, theirs, strict=True):
        assert own | {"token_len": 0} == other | {"token_len": 0}
    tokens = np.array([[one["token_len"] for one in told] for told in (ours, theirs)])
    assert tokens[0].sum() == pytest.approx(tokens[1].sum(), rel=0.01)
    latin = [sum(ord(sign) > 0x24F for sign in text) < 0.02 * len(text) for text in texts]
    assert np.corrcoef(tokens[:, latin])[0, 1] > 0.99 and sum(latin) > 300


# The tool's formulas, written again from its text

QUESTIONS, RIVALS = 150, 4


def told(counts):
    """Metadata of counts (tokens, headers, lists, bold passages)."""
    tokens, headers, lists, bold = (int(count) for count in counts)
    return {
        "token_len": tokens,
        "header_count": {"h1": headers // 2, "h2": headers - headers // 2},
        "list_count": {"ordered": 0, "unordered": lists},
        "bold_count": {"**": bold, "__": 0},
    }


@pytest.fixture(scope="module")
def arena():
    """Counts [models + the baseline, questions, 4], and battles: (model, question, won, times)."""
    draw = np.random.default_rng(3)
    counts = np.concatenate(
        [
            draw.integers(50, 900, size=(RIVALS + 1, QUESTIONS, 1)),
            draw.poisson(3, size=(RIVALS + 1, QUESTIONS, 3)),
        ],
        axis=2,
    )
    battles = []
    for model in range(RIVALS):
        for question in range(QUESTIONS):
            for _ in range(2):
                longer = np.log(counts[model, question, 0] / counts[-1, question, 0])
                odds = 0.6 * (model - 1.5) + 0.7 * longer
                won = float(draw.random() < 1 / (1 + math.exp(-odds)))
                won = 0.5 if draw.random() < 0.15 else won
                times = 3 if won != 0.5 and draw.random() < 0.3 else 1
                battles.append((model, question, won, times))
    return counts, battles


def by_answer(battles, chosen):
    """Wins and battles of the answers of some models, [models x questions]."""
    wins, fought = np.zeros((2, RIVALS, QUESTIONS))
    for model, question, won, times in battles:
        wins[model, question] += won * times
        fought[model, question] += times
    return wins[chosen].ravel(), fought[chosen].ravel()


def differences(counts, chosen, version):
    return np.concatenate(
        [
            style_control.style_differences(
                [told(one) for one in counts[model]], [told(one) for one in counts[-1]], version
            )
            for model in chosen
        ]
    )


def test_several_models_are_rated_as_the_tools_first_version_does(arena):
    """X and Y as construct_style_matrices makes them, fitted as fit_bt does, to more digits."""
    counts, battles = arena
    rows = [battle for battle in battles for _ in range(battle[3])]
    rows = rows + rows  # every battle twice: a draw is once won and once lost
    X = np.zeros((len(rows), RIVALS + 1 + 4))
    Y = np.zeros(len(rows))
    for place, (model, question, won, _) in enumerate(rows):
        X[place, RIVALS], X[place, model] = math.log(10), -math.log(10)  # the baseline is A
        a, b = counts[-1, question], counts[model, question]
        X[place, -4:] = (a - b) / (a + b + 1)
        Y[place] = won == 0 or (won == 0.5 and place < len(rows) // 2)
    X[:, -4:] = (X[:, -4:] - X[:, -4:].mean(axis=0)) / X[:, -4:].std(axis=0)
    theirs = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=10000).fit(X, Y).coef_[0]
    theirs_won = 1 / (1 + 10 ** (theirs[RIVALS] - theirs[:RIVALS]))

    wins, fought = by_answer(battles, slice(None))
    features = differences(counts, range(RIVALS), "v0.1")
    mean = np.average(features, axis=0, weights=fought)
    own = style_control.design_matrix(features, fought)[:, 2:]
    own -= mean / np.sqrt(np.average((features - mean) ** 2, axis=0, weights=fought))
    strengths = np.zeros((len(own), RIVALS + 1))
    strengths[:, RIVALS] = -math.log(10)
    strengths[np.arange(len(own)), np.repeat(np.arange(RIVALS), QUESTIONS)] = math.log(10)
    ours = style_control.fit_battles(np.hstack([strengths, own]), wins, fought)
    assert ours == pytest.approx(theirs, abs=1e-5)
    for model in range(RIVALS):
        assert style_control.win_probability(ours[[model, RIVALS]]) == pytest.approx(
            theirs_won[model], abs=1e-5
        )
    assert theirs_won[0] < 0.4 < 0.6 < theirs_won[3] and theirs[-4] > 0.3


def second_version(counts, battles):
    """Features, outcomes and one-hot models of each battle, by print_leaderboard_with_style…"""
    rows = [battle for battle in battles for _ in range(battle[3])]
    features = np.zeros((len(rows), 4))
    models = np.zeros((len(rows), RIVALS + 1))
    for place, (model, question, _, _) in enumerate(rows):
        m, b = counts[model, question].astype(float), counts[-1, question].astype(float)
        features[place, 0] = (m[0] - b[0]) / (m[0] + b[0])
        m, b = m[1:] / (m[0] + 1), b[1:] / (b[0] + 1)
        features[place, 1:] = (m - b) / (m + b + 1)
        models[place, model], models[place, RIVALS] = 1, -1
    return features, np.array([won for _, _, won, _ in rows]), models


def likeliest(X, outcomes):
    """Coefficients with the least binary cross-entropy, the tool's loss."""

    def loss(beta):
        odds = X @ beta
        residual = 1 / (1 + np.exp(-odds)) - outcomes
        return np.sum(np.logaddexp(0, odds) - outcomes * odds), X.T @ residual

    return minimize(loss, np.zeros(X.shape[1]), jac=True, options={"gtol": 1e-7}).x


def test_several_models_are_rated_as_the_tools_second_version_does(arena, monkeypatch):
    monkeypatch.setattr(style_control, "STRENGTH", 1e9)  # it has no penalty
    counts, battles = arena
    features, outcomes, models = second_version(counts, battles)
    normal = (features - features.mean(axis=0)) / features.std(axis=0)
    theirs = likeliest(np.hstack([models, normal]), outcomes)

    wins, fought = by_answer(battles, slice(None))
    own = style_control.design_matrix(differences(counts, range(RIVALS), "v2.0"), fought)[:, 2:]
    own -= np.average(own, axis=0, weights=fought)
    one_hot = np.repeat(np.eye(RIVALS), QUESTIONS, axis=0)
    strengths = math.log(10) * np.hstack([one_hot, -np.ones((len(own), 1))])
    ours = style_control.fit_battles(np.hstack([strengths, own]), wins, fought)
    assert ours[-4:] == pytest.approx(theirs[-4:], abs=1e-4)
    for model in range(RIVALS):
        wanted = 1 / (1 + math.exp(theirs[RIVALS] - theirs[model]))
        assert style_control.win_probability(ours[[model, RIVALS]]) == pytest.approx(
            wanted, abs=1e-4
        )


@pytest.mark.parametrize("model", range(RIVALS))
def test_one_models_score_is_the_tools_moved_to_equal_style(arena, monkeypatch, model):
    """The tool centres features on the battles; not to do so is to move its score by the mean."""
    monkeypatch.setattr(style_control, "STRENGTH", 1e9)
    counts, battles = arena
    features, outcomes, _ = second_version(counts, [one for one in battles if one[0] == model])
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    alone = np.hstack([np.ones((len(features), 1)), (features - mean) / deviation])
    strength, *coefficients = likeliest(alone, outcomes)
    wanted = 1 / (1 + math.exp(-(strength - coefficients @ (mean / deviation))))
    wins, fought = by_answer(battles, [model])
    parts = style_control.controlled_scores(differences(counts, [model], "v2.0"), wins, fought)
    assert parts.mean() == pytest.approx(wanted, abs=1e-4)


# What the score is worth


def judged(draw, questions, strength, bias, longer=1.2):
    """Features, wins and battles of a model that a judge likes by its length, too."""
    features = np.column_stack([draw.normal(longer, 1, questions), np.zeros((questions, 3))])
    odds = strength + bias * features[:, 0] + draw.normal(0, 0.5, questions)
    battles = np.full(questions, 2.0)
    return features, draw.binomial(2, 1 / (1 + np.exp(-odds))).astype(float), battles


def test_a_judges_liking_for_length_is_taken_out():
    """As good as the baseline, longer by more than a standard deviation: 75 % of all battles."""
    draw = np.random.default_rng(1)
    features, wins, battles = judged(draw, 4000, 0.0, 0.9)
    assert wins.sum() / battles.sum() > 0.7
    parts = style_control.controlled_scores(features, wins, battles)
    error = np.std(parts, ddof=1) / math.sqrt(len(parts))
    assert abs(parts.mean() - 0.5) < 3 * error < 0.06


def test_the_standard_error_is_that_of_resampled_questions():
    draw = np.random.default_rng(2)
    features, wins, battles = judged(draw, 300, 0.4, 0.8)
    parts = style_control.controlled_scores(features, wins, battles)
    again = []
    for _ in range(300):
        picked = draw.integers(300, size=300)
        design = style_control.design_matrix(features[picked], battles[picked])
        again.append(
            style_control.win_probability(
                style_control.fit_battles(design, wins[picked], battles[picked])
            )
        )
    error = np.std(parts, ddof=1) / math.sqrt(len(parts))
    assert error == pytest.approx(np.std(again, ddof=1), rel=0.15)
    # Not that of the plain share, which knows its style.
    plain = wins / battles
    assert error > 1.3 * np.std(plain, ddof=1) / math.sqrt(len(plain))


@pytest.mark.parametrize("version", style_control.VERSIONS)
def test_the_same_style_everywhere_leaves_the_plain_share(version):
    features = style_control.style_differences(
        [told((9, 1, 1, 1))] * 40, [told((9, 1, 1, 1))] * 40, version
    )
    wins = np.arange(40) % 3 / 1.0
    parts = style_control.controlled_scores(features, wins, np.full(40, 2.0))
    assert parts.mean() == pytest.approx(wins.sum() / 80, abs=0.002)


def test_a_model_that_loses_every_battle_has_a_finite_score():
    features, _, battles = judged(np.random.default_rng(4), 60, 0, 0)
    parts = style_control.controlled_scores(features, np.zeros(60), battles)
    assert np.isfinite(parts).all() and 0 <= parts.mean() < 0.05


def test_empty_answers_have_a_style():
    empty = [style_control.style_metadata("")] * 2
    for version in style_control.VERSIONS:
        found = style_control.style_differences(
            empty, [style_control.style_metadata(""), style_control.style_metadata(ANSWER)], version
        )
        assert np.isfinite(found).all() and (found[0] == 0).all() and (found[1] < 0).all()


def test_the_bootstrap_is_over_battles():
    draw = np.random.default_rng(5)
    outcomes = [[float(draw.random() < 0.3)] * 3 + [0.5] for _ in range(250)]
    score, low, high = style_control.bootstrap_interval(outcomes, rounds=2000)
    every = np.concatenate(outcomes)
    assert score == pytest.approx(100 * every.mean())
    half = 196 * every.std() / math.sqrt(len(every))  # 1.96 standard errors, in percent
    assert (score - low, high - score) == pytest.approx((half, half), rel=0.1)
    features = draw.normal(size=(250, 4))
    controlled, low, high = style_control.bootstrap_interval(outcomes, features)
    wins, battles = [sum(one) for one in outcomes], [4.0] * 250
    assert controlled == pytest.approx(
        100 * style_control.controlled_scores(features, wins, battles).mean()
    )
    assert low < controlled < high
