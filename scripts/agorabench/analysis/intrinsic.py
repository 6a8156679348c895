"""Intrinsic metrics of the generated sets, a row for each set and metric."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas

from agorabench import paths
from agorabench.analysis.study import usable_metrics, value_or_none
from agorabench.errors import UserError
from agorabench.files import read_json, read_jsonl
from agorabench.intrinsic import judged, load_metric_module
from agorabench.matrix import list_cells
from agorabench.report.table import Table, list_columns

PLACE = ("generator", "method", "domain", "prompt", "size", "seed")
OPTIONAL = ("median", "diversity")  # where a metric has them
COLUMNS = (*PLACE, "metric", "by", "value", "standard_error", "n", "without", *OPTIONAL)
TABLE = Table(
    "intrinsic",
    "Intrinsic metrics",
    "Of the generated sets, whoever measured them is in intrinsic.csv: judges from 1 to 5, reward "
    "and perplexity in their own units, similarity as a mean cosine. Empty: not measured. After "
    "Table 8 of the paper.",
)


def aggregate(params: dict) -> list[dict]:
    """Rows of COLUMNS; `params`: see config/result_stages.py.

    `without` counts the examples of the sample that have no value; `median` is that of
    perplexities, `diversity` is 1 - similarity; `reason`, where any has one, says why a metric has
    no value.
    """
    rows = []
    for cell in list_cells(params["matrix"]):
        metrics = read_measured(params["metrics"], cell) | read_assessed(params["metrics"], cell)
        metrics |= make_metrics(params, cell, metrics)
        for name, values in sorted(metrics.items()):
            values = asdict(cell) | {"metric": name} | values | values["also"]
            reason = {"reason": values["reason"]} if "reason" in values else {}
            rows.append({column: values.get(column) for column in COLUMNS} | reason)
    return rows


def read_measured(judges, cell):
    """{metric: its columns} of a set's metrics that models measured. `judges`: metric -> judge."""
    names = [name for name, judge in judges.items() if not judge]
    return {name: read_json(paths.metric(name, cell)) for name in names}


def read_assessed(judges, cell):
    """{metric: its columns} of a set's metrics that judges scored."""
    metrics = {}
    for judge in filter(None, dict.fromkeys(judges.values())):
        path = Path(paths.assessments(judge, cell))
        rows = read_jsonl(path)
        for name in (name for name, other in judges.items() if other == judge):
            measured = judged.measure_scores(path, rows, name)
            metrics[name] = {"by": rows[0]["judge"]} | measured.to_dict()
    return metrics


def make_metrics(params, cell, metrics):
    """{metric: its columns} of a set's metrics that are made of `metrics`, those that it has."""
    made = {}
    for name, entry in params.get("made", {}).items():
        columns = read_columns(params["metrics"], name, entry, cell)
        measured = load_metric_module(entry).measure_columns(entry | {"name": name}, columns)
        made[name] = {"by": metrics[entry["perplexity"]]["by"]} | measured.to_dict()
    return made


def read_columns(judges, name, entry, cell):
    """What a metric of a set is made of, a value for each example: see agorabench.intrinsic."""
    path = paths.metric_examples(entry["perplexity"], cell)
    table = pandas.read_parquet(path).set_index("id")
    columns = {"surprisal": np.log(table["value"].astype(float))}
    if hasattr(load_metric_module(entry), "score_examples"):
        if (column := f"scored {name}") not in table:  # it was measured before, and is not stale
            raise UserError(f"{path} has nothing for {name}; delete it and run snakemake again")
        columns["scored"] = table[column]
    if source := entry.get("reward"):
        columns["reward"] = read_examples(judges, source, cell).reindex(table.index)
    return {key: [value_or_none(each) for each in values.astype(float)]
            for key, values in columns.items()}  # fmt: skip


def read_examples(judges, name, cell):
    """A series, id -> value, of the examples of a set that a model or a judge measured."""
    if not judges[name]:
        return pandas.read_parquet(paths.metric_examples(name, cell)).set_index("id")["value"]
    rows = read_jsonl(paths.assessments(judges[name], cell))
    scores = {row["id"]: row["score"] for row in rows if row["metric"] == name}
    return pandas.Series(scores, dtype="float64")


def tables(study) -> list[Table]:
    """Of each block that has any, a column for each setting."""
    known = (block for block in study.blocks if usable_metrics(block.cells, block.intrinsic))
    return list(map(_block_table, known))


def _block_table(block):
    keys = [f"{method}: {domain}" for method, domain in block.settings]
    cells = block.cells.set_index(["generator", "method", "domain"])
    lines = []
    for metric in usable_metrics(block.cells, block.intrinsic):
        for generator in block.view.generators:
            values = [cells[metric].get((generator, *each), math.nan) for each in block.settings]
            line = {"metric": metric, "generator": generator}
            line |= dict(zip(keys, values, strict=True))
            lines.append(line | {"average": math.fsum(values) / len(values)})
    columns = list_columns(metric=None, generator=None, **dict.fromkeys((*keys, "average"), 2))
    return block.fill(TABLE, columns=columns, rows=lines)
