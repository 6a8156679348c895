"""Tasks of lm-evaluation-harness: prompts, items, verdicts and means are those of its evaluator."""

import json

import pytest
import yaml
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, grading
from agorabench.evaluation.benchmarks import lm_eval
from agorabench.evaluation.completions import answer_benchmark
from agorabench.files import read_jsonl, write_jsonl
from agorabench.models.generate import Engine

harness = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")

ROWS = [
    {"question": f"{a} + {b}", "answer": a + b, "options": [str(a + b), "cat"], "best": b % 2}
    for a in range(2, 8)
    for b in range(3, 7)
]
TEXT = {
    "output_type": "generate_until",
    "doc_to_text": "How many are {{question}}? Add them.",
    "doc_to_target": "{{answer}}",
    "num_fewshot": 2,
    "fewshot_config": {
        "sampler": "first_n",
        "samples": [{"question": "1 + 1", "answer": 2}, {"question": "2 + 1", "answer": 3}],
    },
    "generation_kwargs": {"until": ["\n\n", "Q:"], "max_gen_toks": 40, "do_sample": False},
    "filter_list": [
        {"name": name, "filter": [{"function": "regex", "regex_pattern": pattern},
                                  {"function": "take_first"}]}
        for name, pattern in (("last", r"(\d+)\D*$"), ("first", r"(\d+)"))
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}} is",
    "doc_to_target": "{{best}}",
    "doc_to_choice": "{{options}}",
    "metric_list": [
        {"metric": name, "aggregation": "mean", "higher_is_better": True}
        for name in ("acc", "acc_norm")
    ],
}


def write_task(folder, settings):
    write_jsonl(folder / "rows.jsonl", ROWS)
    data = {"path": "json", "data_files": {"test": str(folder / "rows.jsonl")}}
    task = {"task": "mine", "dataset_path": data["path"], "test_split": "test"}
    task |= {"dataset_kwargs": {"data_files": data["data_files"]}, **settings}
    (folder / "mine.yaml").write_text(yaml.safe_dump(task))
    return str(folder / "mine.yaml")


def evaluate(task, lm):
    """lm-eval's own results on a task: (samples, means)."""
    manager = harness.tasks.TaskManager(include_defaults=False)
    found = harness.simple_evaluate(
        lm, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    return found["samples"]["mine"], found["results"]["mine"]


def speak(texts):
    """A model of lm-eval's that says these texts."""
    from lm_eval.api.model import LM

    class Speaker(LM):
        def generate_until(self, requests, disable_tqdm=False):
            assert all(one.args[1]["until"] == ["\n\n", "Q:"] for one in requests)
            return list(texts)

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Speaker()


ENTRY = {"protocol": "lm_eval", "max_tokens": 64, "temperature": 0.0, "top_p": 1.0, "shots": 0}
ENTRY |= {"repetition_penalty": 1.0, "shots_from": None}


def predict(entry, items, model, folder):
    rows = folder / "answers.jsonl"
    place = (str(model), "tiny")
    answer_benchmark(lambda: Engine(model), "mine", entry, items, place, "", False, 1, rows)
    return read_jsonl(rows)


def check_means(verdicts, samples, means, names):
    for name, theirs in names.items():
        metric, kind = theirs.split(",")
        own = [one[metric] for one in samples if one["filter"] == kind]
        assert [verdict[name] for verdict in verdicts] == own and 0 < sum(own) < len(own)
        _, ours = grading.select_score(lm_eval, verdicts, name)
        assert ours["score"]["score"] == pytest.approx(100 * means[theirs], abs=1e-9)


def test_texts_are_asked_for_cut_and_graded_as_lm_eval_does(model, tmp_path):
    task = write_task(tmp_path, TEXT)
    entry = ENTRY | {"task": task}
    items = benchmarks.parse_items(entry, lm_eval.fetch_rows(task), "mine")
    predictions = predict(entry, items, model, tmp_path)
    assert [row["prompt"] for row in predictions] == [item["prompt"] for item in items]
    said = [
        f"not 1 but {row['answer']}" if n % 3 else f"{row['answer']}, no, 99"
        for n, row in enumerate(ROWS)
    ]
    graded = lm_eval.grade_items(
        items, [], entry=entry, predictions=[{"completion": f"{text}\n\n7"} for text in said]
    )
    samples, means = evaluate(task, speak(said))
    assert [one["arguments"][0][0] for one in samples[: len(items)]] == [
        item["prompt"] for item in items
    ]
    names = {f"exact_match,{name}": f"exact_match,{name}" for name in ("last", "first")}
    check_means(graded, samples, means, names)
    assert [verdict["score"] for verdict in graded] == [one["exact_match,last"] for one in graded]


def test_likelihoods_and_verdicts_are_those_of_lm_evals_model(model, tmp_path):
    from lm_eval.models.huggingface import HFLM

    task = write_task(tmp_path, CHOICE)
    entry = ENTRY | {"task": task, "by": "likelihood"}
    items = benchmarks.parse_items(entry, lm_eval.fetch_rows(task), "mine")
    predictions = predict(entry, items, model, tmp_path)
    verdicts = lm_eval.grade_items(items, [], entry=entry, predictions=predictions)
    lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=8)
    samples, means = evaluate(task, lm)
    check_means(verdicts, samples, means, {"acc": "acc,none", "acc_norm": "acc_norm,none"})
    theirs = [told[0] for one in samples for told in one["resps"]]
    ours = [told for row in predictions for told in row["likelihoods"]]
    assert [one["logprob"] for one in ours] == pytest.approx([one for one, _ in theirs], abs=1e-4)
    assert [one["greedy"] for one in ours] == [greedy for _, greedy in theirs]


@pytest.mark.parametrize(("settings", "words"), [
    ({**CHOICE, "metric_list": [{"metric": "f1"}]}, "has no metric that is a mean"),
    ({"output_type": "loglikelihood_rolling", "metric_list": [{"metric": "word_perplexity"}]},
     "asks for loglikelihood_rolling"),
    ({**TEXT, "repeats": 3}, "asks for generate_until, 3 times"),
])  # fmt: skip
def test_what_is_no_score_of_items_is_refused(tmp_path, settings, words):
    task = write_task(tmp_path, {"doc_to_text": "", "doc_to_target": "{{question}}", **settings})
    entry = {"protocol": "lm_eval", "task": task, "by": "likelihood"}
    with pytest.raises(UserError, match=words):
        items = benchmarks.parse_items(entry, lm_eval.fetch_rows(task), "mine")
        told = [{"completion": "", "likelihoods": [{"logprob": -1.0, "greedy": True}] * 2}] * 24
        lm_eval.grade_items(items, [""] * 24, entry=entry, predictions=told)


def test_a_task_is_found_or_the_reason_said(tmp_path):
    with pytest.raises(UserError, match="lm-eval cannot load the task no_such: "):
        lm_eval.fetch_rows("no_such")
    task = write_task(tmp_path, CHOICE)
    entry = {"protocol": "lm_eval", "task": task}
    with pytest.raises(UserError, match=r"^mine, row 1: .* likelihoods: set by: likelihood"):
        benchmarks.parse_items(entry, lm_eval.fetch_rows(task), "mine")
    items = benchmarks.parse_items(entry | {"by": "likelihood"}, lm_eval.fetch_rows(task), "mine")
    write_task(tmp_path, CHOICE | {"doc_to_text": "{{question}} makes"})
    with pytest.raises(UserError, match="otherwise than when it was fetched"):
        lm_eval.grade_items(items, [""] * 24, entry=entry, predictions=[{}] * 24)
    assert json.dumps(items)
