"""Judged benchmarks: real items, a judge behind HTTP, a score; the real tools' known answers."""

import ast
import contextlib
import csv
import json
import statistics

import judge
import pytest
import score
import servers
import yaml
from agorabench import paths
from agorabench.config import load_config
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import alpaca_eval, arena_hard
from agorabench.files import read_json, read_jsonl, write_json, write_jsonl
from agorabench.planning import dry_run
from helpers import ROOT
from helpers.asking import KEY, generator

# Known answers of the real tools


def known(data):
    """Rows of known_answers.csv whose annotations are there."""
    with open(data / "alpaca_eval/known_answers.csv") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (data / f"alpaca_eval/annotations/{row['model']}.json").exists()]


def annotations(data, model):
    rows = json.loads((data / f"alpaca_eval/annotations/{model}.json").read_text())
    # 1: the baseline's answer is better, 2: the model's; 0 and 1.5 are draws.
    return rows, [(row["preference"] or 1.5) - 1 for row in rows]


def test_win_rates_are_those_of_the_leaderboard(data):
    rows = known(data)
    assert len(rows) == 4
    for row in rows:
        made, preferences = annotations(data, row["model"])
        assert 100 * statistics.mean(preferences) == pytest.approx(
            float(row["win_rate_published"]), abs=1e-6
        )
        error = 100 * statistics.stdev(preferences) / len(preferences) ** 0.5
        assert error == pytest.approx(float(row["standard_error_published"]), abs=1e-6)
        length = statistics.mean(len(one["output_2"]) for one in made)
        assert int(length) == int(row["avg_length"])


def test_length_controlled_win_rates_are_those_of_the_leaderboard(data):
    folder = data / "alpaca_eval"
    reference = json.loads((folder / "reference_outputs/gpt4_1106_preview.json").read_text())
    place = {row["instruction"]: number for number, row in enumerate(reference)}
    for row in known(data):
        made, preferences = annotations(data, row["model"])
        predicted, moved = alpaca_eval.length_controlled(
            preferences,
            [len(one["output_1"]) - len(one["output_2"]) for one in made],
            [place[one["instruction"]] for one in made],
            folder / "lc/df_gamed_surrogate.csv",
        )
        wanted = float(row["lc_win_rate_published"])
        assert 100 * statistics.mean(predicted) == pytest.approx(wanted, abs=0.12)
        if row["lc_standard_error"]:
            error = 100 * statistics.stdev(predicted) / len(predicted) ** 0.5
            assert error == pytest.approx(float(row["lc_standard_error"]), abs=0.01)
        # With the noise of judge and fit: more than the plain rate's, the shorter the answers are.
        scores = [sum(pair) for pair in zip(predicted, moved, strict=True)]
        assert statistics.mean(scores) == pytest.approx(statistics.mean(predicted))
        honest = statistics.stdev(scores) / statistics.stdev(preferences)
        assert honest == pytest.approx(HONEST[row["model"]], abs=0.05)


# Standard errors of the length-controlled win rate over the plain one's, as found here.
HONEST = {
    "alpaca-7b": 1.98,
    "claude-2": 1.50,
    "Qwen-14B-Chat": 1.51,
    "FuseChat-Llama-3.1-8B-Instruct": 1.03,
}


def test_preferences_are_read_from_the_judges_own_probabilities(data):
    """The stored reply of each annotation gives the stored preference."""
    rows, _ = annotations(data, "alpaca-7b")
    stored = [row for row in rows if row["raw_completion"]]
    assert len(stored) > 700
    for row in stored:
        told = row["raw_completion"]
        told = ast.literal_eval(told) if isinstance(told, str) else told
        top = told["logprobs"]["content"][0]["top_logprobs"]
        reply = {"reply": "", "logprobs": {one["token"]: one["logprob"] for one in top}}
        # m is the baseline's answer unless the order was turned, which the tool does not store.
        found = [
            alpaca_eval.parse_verdict({}, {"swapped": turned}, reply) for turned in (False, True)
        ]
        assert min(abs(one - (row["preference"] - 1)) for one in found) < 1e-6


def test_verdicts_of_stored_judgements(data):
    (path,) = (data / "arena_hard/judgments").glob("*.jsonl")
    judgements, labels = [], 0
    for row in read_jsonl(path):
        games = []
        for number, game in enumerate(row["games"]):
            said = game["judgment"]
            label = arena_hard.parse_label(said if isinstance(said, str) else said["answer"])
            assert label == game["score"]
            labels += 1
            games.append({"verdict": label, "swapped": bool(number)})
        judgements.append(games)
    graded = [arena_hard.question_verdict(games) for games in judgements]
    battles = sum(row["weight"] for row in graded)
    assert (len(graded), labels, battles) == (9, 18, 24)
    assert 100 * sum(row["weight"] * row["score"] for row in graded) / battles == 25.0


def test_the_share_of_battles_is_the_bradley_terry_estimate():
    """Against one baseline: the logistic regression of the official tool, without a penalty."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(1)
    names = list(arena_hard.LABELS)
    for _ in range(20):
        judgements = [
            [{"verdict": names[draw.integers(5)], "swapped": turned} for turned in (False, True)]
            for _ in range(30)
        ]
        graded = [arena_hard.question_verdict(games) for games in judgements]
        share = np.average([r["score"] for r in graded], weights=[r["weight"] for r in graded])
        wins, weights = [], []
        for row in (game for games in judgements for game in games):
            value, count = arena_hard.LABELS[row["verdict"]]
            value = value if row["swapped"] else 1 - value
            wins += [1, 0]
            weights += [count * value, count * (1 - value)]
        model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
        model.fit(np.ones((len(wins), 1)), wins, sample_weight=weights)
        assert share == pytest.approx(1 / (1 + np.exp(-model.coef_[0, 0])), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("My final verdict is tie: [[A=B]].", "A=B", "A=B"),
        ("[[A>B]] then, on reflection, [[B>A]]", None, "B>A"),
        ("[[A>B]] and again [[A>B]]", "A>B", "A>B"),
        ("Verdict: [A>>B]", None, "A>>B"),
        ("[[A<B]]", None, "B>A"),
        ("[[B=A]]", None, "A=B"),
        ("[[A<<B]]", None, "B>>A"),
        ("[[A>>>B]]", None, None),
        ("[[]]", None, None),
        ("Assistant A is better", None, None),
        ("", None, None),
    ],
)
def test_labels_are_read_as_each_version_does(text, first, second):
    assert arena_hard.parse_label(text, "v0.1") == first
    assert arena_hard.parse_label(text, "v2.0") == second


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ({"reply": "m"}, 0.0),
        ({"reply": " M\n"}, 1.0),
        ({"reply": "both"}, None),
        ({"reply": "M."}, 1.0),
        ({"reply": "**m**"}, 0.0),
        ({"reply": '"M"'}, 1.0),
        ({"reply": "Model M"}, 1.0),
        ({"reply": "The better answer is: `m`."}, 0.0),
        ({"reply": "M or m"}, None),
        ({"reply": "Mm"}, None),
        ({"reply": "I'm unsure"}, None),
        ({"reply": "M", "logprobs": {" M": -0.1}}, 1.0),
        ({"reply": "", "logprobs": {"M": 1e9, "m": float("nan")}}, None),
        ({"reply": None}, None),
        ({"reply": "M", "logprobs": {"M": -0.1, "m": -2.4}}, 0.9089),
        ({"reply": "M", "logprobs": {"M": -0.1}}, 1.0),
        ({"reply": "The", "logprobs": {"The": -0.1, "Both": -3.0}}, None),
    ],
)
def test_preferences(reply, share):
    straight = alpaca_eval.parse_verdict({}, {"swapped": False}, reply)
    turned = alpaca_eval.parse_verdict({}, {"swapped": True}, reply)
    if share is None:
        assert straight is turned is None
    else:
        assert straight == pytest.approx(share, abs=1e-4)
        assert turned == pytest.approx(1 - share, abs=1e-4)


# The whole path, with a judge behind HTTP


JUDGE_YAML = {
    "system_prompt": "Which answer is better?",
    "prompt_template": ["Question: {question_1}\nA: {answer_1}\nB: {answer_2}"],
}


MODEL = "mini/base"


class Judged:
    """A folder with a benchmark of real items, b, and a model's completions, which programs judge
    and score."""

    def __init__(self, data, folder, server, protocol, count=12, **entry):
        self.folder, self.protocol = folder, protocol
        self.judge = generator(server, "openai", model="judge-1", **entry)
        self.judge["sampling"] = {"max_tokens": 60, "stop": False, "seeded": True}
        self.files = folder / paths.benchmark_file("b", "")
        self.files.mkdir(parents=True)
        if protocol == "alpaca_eval":
            items = "alpaca_eval/reference_outputs/gpt4_1106_preview.json"
            copy(data / "alpaca_eval/judge/alpaca_eval_clf.txt", self.files / "judge")
            copy(data / "alpaca_eval/lc/df_gamed_surrogate.csv", self.files / "control")
            self.judge["extra"] = {"logprobs": True, "top_logprobs": 5}
        else:
            items = "arena_hard/question.jsonl"
            (self.files / "judge").write_text(yaml.safe_dump(JUDGE_YAML))
            copy(data / "arena_hard/model_answer/gpt-4-0314.jsonl", self.files / "baseline")
        copy(data / items, folder / paths.benchmark_items("b"))
        module = {"alpaca_eval": alpaca_eval, "arena_hard": arena_hard}[protocol]
        rows = [
            {
                "id": item["id"],
                "model": MODEL,
                "prompt": item["prompt"],
                "completion": f"answer {n} " * (n + 1),
                "finish_reason": "stop",
            }
            for n, item in enumerate(module.read_items(read_jsonl(data / items))[:count])
        ]
        write_jsonl(folder / paths.predictions(MODEL, "b"), rows)
        self.entry = {"domain": "instruction", "protocol": protocol, "limit": count}
        self.entry |= {"judge": "judge", "source": {"path": "b", "licence": "mine"}}
        self.entry |= {"files": {name: {"path": "b"} for name in module.FILES}, "max_tokens": 99}
        self.output = folder / paths.judgements(MODEL, "b")
        self.official = folder / paths.official_judgements(MODEL, "b")
        self.journal = folder / paths.judge_journal("b", "judge", MODEL, 1)

    def call(self, program, *options):
        """Run judge.py or score.py in the folder."""
        config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
        config["generators"]["judge"] = self.judge
        config["benchmarks"]["b"] = self.entry
        write_json(self.folder / "config.json", config)
        with contextlib.chdir(self.folder):
            program.main(
                ["--config", "config.json", "--benchmark", "b", "--model", MODEL, *options]
            )

    def run(self):
        self.call(judge)
        return read_jsonl(self.output)

    def score(self, asked="judge-1", **entry):
        self.entry |= entry
        self.judge["model"] = asked
        self.call(score)
        return read_json(self.folder / paths.score(MODEL, "b"))


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(KEY, "test-key")


@pytest.mark.parametrize("protocol", ["alpaca_eval", "arena_hard"])
def test_from_real_items_and_a_judge_to_a_score(data, tmp_path, protocol):
    write = {"alpaca_eval": "name", "arena_hard": "label"}[protocol]
    with servers.start(write=write) as server:
        bench = Judged(data, tmp_path, server, protocol)
        rows = bench.run()
        games = {"alpaca_eval": 1, "arena_hard": 2}[protocol]
        assert len(rows) == 12 * games and all(row["verdict"] is not None for row in rows)
        told = bench.score()
        assert 0 < told["score"] < 100 and told["standard_error"] > 0 and told["n"] == 12
        assert told["judge"] == "judge-1" and told["without_verdict"] == 0
        asked = server.books()["answered"]
        assert asked == 12 * games
        official(bench.official, protocol, rows, told)
        bench.output.unlink()
        assert bench.run() == rows and server.books()["answered"] == asked  # nothing paid twice


@pytest.mark.parametrize("protocol", ["alpaca_eval", "arena_hard"])
def test_the_plan_looks_up_what_the_judge_was_asked(data, tmp_path, monkeypatch, capsys, protocol):
    with servers.start(write={"alpaca_eval": "name", "arena_hard": "label"}[protocol]) as server:
        bench = Judged(data, tmp_path, server, protocol)
        rows = bench.run()
    monkeypatch.chdir(tmp_path)
    config = load_config("config.json")
    job = {"rule": "judge", "wildcards": {"benchmark": "b", "model": MODEL}}
    query = dry_run.open_query(config, job)
    assert query.journal == paths.judge_journal("b", "judge", MODEL, 1)
    keys = {row["fingerprint"] for row in read_jsonl(bench.journal)}
    assert dry_run.run_dry(config, job).lengths == {}  # the journal has them all
    bench.journal.unlink()
    asked = dry_run.run_dry(config, job).lengths
    assert len(asked) == len(rows) and asked.keys() == keys
    bench.output.unlink()
    monkeypatch.delenv(KEY)
    capsys.readouterr()
    bench.call(judge, "--dry-run")
    counts = json.loads(capsys.readouterr().out)
    assert counts["requests"] == counts["games"] == len(rows) and counts["journaled"] == 0
    assert not bench.output.exists() and not bench.journal.exists()
    assert dry_run.unknown_inputs(config, query, frozenset()) == []
    remade = {paths.predictions(MODEL, "b")}
    assert dry_run.unknown_inputs(config, query, remade) == ["predictions"]


def official(folder, protocol, rows, told):
    """The same result comes of the files in the official tool's format."""
    if protocol == "alpaca_eval":
        made = json.loads((folder / "annotations.json").read_text())
        preferences = [row["preference"] - 1 for row in made]
        assert 100 * statistics.mean(preferences) == pytest.approx(told["also"]["raw"]["score"])
        outputs = json.loads((folder / "model_outputs.json").read_text())
        assert [row["output"] for row in outputs] == [row["output_2"] for row in made]
        assert {row["generator_1"] for row in made} == {"gpt4_1106_preview"}
        return
    assert len(arena_hard.read_answers(folder / "model_answer.jsonl")) == 12
    made = read_jsonl(folder / "model_judgment.jsonl")
    # As its show_result counts them.
    weights = {"A>>B": [1] * 3, "A>B": [1], "A=B": [0.5], "B>A": [0], "B>>A": [0] * 3}
    battles = []
    for row in made:
        first, second = (weights[game["score"]] for game in row["games"])
        battles += second + [1 - value for value in first]
    assert 100 * statistics.mean(battles) == pytest.approx(told["score"])
    with open(folder / "leaderboard.csv") as file:
        plain, controlled = csv.DictReader(file)
    assert (plain["style_control"], controlled["style_control"]) == ("False", "True")
    for row, found in ((plain, told), (controlled, told["also"]["style_controlled"])):
        assert float(row["score"]) == pytest.approx(found["score"], abs=0.01)
        assert float(row["rating_q025"]) < float(row["score"]) < float(row["rating_q975"])
    answer = read_jsonl(folder / "model_answer.jsonl")[3]
    assert answer["messages"][-1]["content"] == {"answer": "answer 3 " * 4}
    assert answer["metadata"]["token_len"] == 8


@pytest.mark.parametrize("protocol", ["alpaca_eval", "arena_hard"])
def test_verdicts_that_cannot_be_read_are_asked_again_then_counted(data, tmp_path, protocol):
    write = {"alpaca_eval": "name", "arena_hard": "label"}[protocol]
    with servers.start(write=write, invalid=0.6) as server:
        bench = Judged(data, tmp_path, server, protocol, count=40)
        rows = bench.run()
        silent = [row for row in rows if row["verdict"] is None]
        assert silent and {row["attempts"] for row in silent} == {3}
        assert {row["attempts"] for row in rows if row["verdict"] is not None} == {1, 2, 3}
        assert server.books()["answered"] == sum(row["attempts"] for row in rows)
        without = {row["id"] for row in rows} - {
            row["id"] for row in rows if row["verdict"] is not None
        }
        told = bench.score()
        assert told["without_verdict"] == len(without) and told["n"] == 40 - len(without)


@pytest.mark.parametrize(
    ("protocol", "name"), [("alpaca_eval", "raw"), ("arena_hard", "style_controlled")]
)
def test_another_of_the_scores_may_count(data, tmp_path, protocol, name):
    write = {"alpaca_eval": "name", "arena_hard": "label"}[protocol]
    with servers.start(write=write, invalid=0.6) as server:
        bench = Judged(data, tmp_path, server, protocol, count=40)
        bench.run()
        told = bench.score()
        other = bench.score(score=name)
    assert told["counts"] is None and other["counts"] == name
    assert {key: other[key] for key in ("score", "standard_error")} == told["also"][name]
    assert other["also"]["main"] == {key: told[key] for key in ("score", "standard_error")}
    assert other["without_verdict"] == told["without_verdict"] > 0
    assert other["also"].keys() - {"main"} == told["also"].keys() - {name}
    if protocol == "arena_hard":
        version = bench.score(style="v2.0", score=None)
        assert version["score"] == told["score"]
        assert version["also"]["style_controlled"] != told["also"]["style_controlled"]


def test_judgements_that_do_not_fit_are_refused(data, tmp_path):
    with servers.start(write="label") as server:
        bench = Judged(data, tmp_path, server, "arena_hard")
        rows = bench.run()
    with pytest.raises(UserError, match="judged by judge-1, and the config names judge-2"):
        bench.score("judge-2")
    for spoilt, message in (
        (rows[1:], r"the item \w+ has 1 of 2 games"),
        ([*rows, rows[0]], r"game 0 of item \w+ is there twice"),
        ([*rows, rows[0] | {"id": "x"}], "the item x is not in the benchmark"),
        ([row for row in rows if row["game"] == 0], r"the item \w+ has 1 of 2 games"),
        ([row | {"model": "other"} for row in rows], f"judgements of other, not of {MODEL}"),
        ([row | {"answer": "0"} for row in rows], r"another completion of \w+ was judged"),
    ):
        write_jsonl(bench.output, spoilt)
        with pytest.raises(UserError, match=message):
            bench.score()
    (bench.files / "baseline").unlink()
    with pytest.raises(
        UserError, match=r"baseline: no such file; arena_hard needs files\.baseline"
    ):
        bench.run()


def test_one_verdict_is_no_score_and_says_so(data, tmp_path):
    with servers.start(write="name") as server:
        bench = Judged(data, tmp_path, server, "alpaca_eval", count=3)
        rows = bench.run()
    write_jsonl(bench.output, [rows[0], *(row | {"verdict": None} for row in rows[1:])])
    with pytest.raises(UserError, match="mini/base on b: fewer than two items have a verdict"):
        bench.score()
