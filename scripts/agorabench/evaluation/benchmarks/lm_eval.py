r"""Any task of lm-evaluation-harness, by its name or a YAML file: it prompts and grades.

    task: gpqa_diamond_cot_zeroshot     # or config/tasks/mine.yaml
    by: text                            # likelihood for tasks of output_type multiple_choice
    score: exact_match,strict-match     # null takes the task's first metric

Its requests are rendered when the benchmark is fetched, as lm-eval's own evaluator renders them
(few-shot examples drawn with seed 1234), and answered here as those of any benchmark are: in greedy
decoding unless `temperature` says else, up to the task's own stop strings and to the smaller one of
its and the config's numbers of tokens. A model that knows conversations is shown a request as the
user's message. Then lm-eval filters and grades. A score is a metric that is the mean of its items',
from 0 to 1, higher being better; the others, as F1 or perplexity, are left out. The package lm_eval
is installed by who wants it (`pip install lm_eval`; written for 0.4.13).
"""

import contextlib
import logging
import os
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import json_fingerprint

KEYS = {"task": "the name of a task of lm-evaluation-harness, or its YAML file", "by": None}
ALSO = None  # the task's own metrics, which are known when it has graded
STOP = []  # the task's own
FEWSHOT_SEED = 1234  # of lm-eval's evaluator
TOKENS = 256  # max_gen_toks of a task that gives none
MISSING = (
    "protocol lm_eval needs lm-evaluation-harness, which is not installed: pip install lm_eval"
)


def is_installed() -> bool:
    return find_spec("lm_eval") is not None


def task_files(task: str) -> list[str]:
    """Local files that decide a task: its YAML file and the Python files beside it; of a task that
    lm-eval has none."""
    if not task.endswith((".yaml", ".yml")):
        return []
    return [task, *sorted(map(str, Path(task).parent.glob("*.py")))]


def load_task(name: str):
    """lm-eval's task of a name or a YAML file, with its data.

    Raises:
        UserError: the package or the task cannot be had.
    """
    if not is_installed():
        raise UserError(MISSING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.tasks import TaskManager

    local = bool(task_files(name))
    try:
        tasks = list(TaskManager(include_defaults=not local).load([name])["tasks"].values())
    except Exception as error:  # lm-eval and datasets raise dozens of kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"lm-eval cannot load the task {name}: {reason}") from None
    if len(tasks) != 1:
        raise UserError(f"{name} is {len(tasks)} tasks of lm-eval; a benchmark is one of them")
    (task,) = tasks
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(
            f"the task {name} runs what models write, outside the sandbox: it is refused"
        )
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return task


def build_instances(task, limit: int | None = None) -> list[list]:
    """lm-eval's requests (Instance) of each item of a task."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # its progress bar
        task.build_all_requests(limit=limit, rank=0, world_size=1)
    found = defaultdict(list)
    for instance in task.instances:
        found[instance.doc_id].append(instance)
    return [sorted(found[number], key=lambda one: one.idx) for number in sorted(found)]


def fetch_rows(name: str) -> list[dict]:
    """The rows of a task: {"id", "prompt", "kind", "requests": [arguments of each request]}.

    Raises:
        UserError: it asks for what is not a completion or the likelihood of one.
    """
    rows = []
    for number, instances in enumerate(build_instances(load_task(name))):
        kind, arguments = instances[0].request_type, [list(one.args) for one in instances]
        if kind not in ("generate_until", "loglikelihood") or instances[0].repeats != 1:
            raise UserError(
                f"the task {name} asks for {kind}, {instances[0].repeats} times an item; what can "
                "be asked is generate_until or loglikelihood (multiple_choice), once"
            )
        prompt = arguments[0][0]
        rows.append({"id": f"{number}", "prompt": prompt, "kind": kind, "requests": arguments})
    return rows


def read_items(rows: list[dict], entry: dict) -> list[dict]:
    """Items of fetched rows, with what they are answered by.

    Raises:
        ValueError: the task asks for likelihoods and the config does not say so, or the reverse.
    """
    items = []
    for row in rows:
        item = {key: row[key] for key in ("id", "prompt", "requests")}
        likelihood = row["kind"] == "loglikelihood"
        if likelihood != (entry.get("by") == "likelihood"):
            told = "likelihoods: set by: likelihood" if likelihood else "text: set by: text"
            raise ValueError(f"the task asks for {told}")
        if likelihood:
            item["contexts"], item["continuations"] = map(list, zip(*row["requests"], strict=True))
        else:
            settings = row["requests"][0][1]
            until = settings.get("until") or []
            item["stop"] = [until] if isinstance(until, str) else list(until)
            item["max_tokens"] = settings.get("max_gen_toks") or TOKENS
        items.append(item)
    return items


def plain_prompt(item: dict) -> str:
    return item["prompt"]


def grade_items(
    items: list[dict], completions: list[str], sandbox=None, *, entry: dict, predictions: list[dict]
) -> list[dict]:
    """The task's metrics of each item; the one that counts is the first, as `score`.

    Raises:
        UserError: the task is another than when it was fetched, or has no such metric.
    """
    task = load_task(entry["task"])
    groups = build_instances(task, limit=len(items))
    for item, instances, row in zip(items, groups, predictions, strict=True):
        if json_fingerprint([list(one.args) for one in instances]) != json_fingerprint(
            item["requests"]
        ):
            raise UserError(
                f"the task {entry['task']} asks item {item['id']} otherwise than when it was "
                "fetched; delete the benchmark's files and fetch it again"
            )
        for number, instance in enumerate(instances):
            if "likelihoods" in row:
                told = row["likelihoods"][number]
                instance.resps = [(told["logprob"], told["greedy"])]
            else:
                instance.resps = [_cut_text(row["completion"], item["stop"])]
    task.apply_filters()
    verdicts = [{} for _ in items]
    docs = [instances[0].doc for instances in groups]
    for name in groups[0][0].filtered_resps:
        for verdict, doc, instances in zip(verdicts, docs, groups, strict=True):
            told = task.process_results(doc, [one.filtered_resps[name] for one in instances])
            for metric, value in told.items():
                if _is_score(task, metric, value):
                    verdict[metric if name == "none" else f"{metric},{name}"] = float(value)
    return [
        _make_verdict(verdict, verdicts[0], entry, groups[number], row)
        for number, (verdict, row) in enumerate(zip(verdicts, predictions, strict=True))
    ]


def _cut_text(text, stop):
    """What comes before the first stop string: APIs were not told of them."""
    return text[: min([text.index(mark) for mark in stop if mark and mark in text] or [len(text)])]


def _is_score(task, metric, value):
    """Is a metric the mean of its items' values, from 0 to 1, the higher the better?"""
    mean = getattr(task.aggregation().get(metric), "__name__", "mean") == "mean"
    higher = task.higher_is_better().get(metric, True)
    return mean and higher and not isinstance(value, (tuple, list, str)) and 0 <= value <= 1


def _make_verdict(found, first, entry, instances, row):
    if not first or set(found) != set(first):
        raise UserError(
            f"the task {entry['task']} has no metric that is a mean of items' scores from 0 to 1"
        )
    score = found[next(iter(first))]
    shown = next(iter(instances[0].filtered_resps.values()))
    shown = row["completion"] if "likelihoods" in row else str(shown)
    reason = "" if score else "wrong answer"
    return {"score": score, "extracted": shown, "reason": reason, **found}
