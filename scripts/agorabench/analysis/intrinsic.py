"""Intrinsic metrics of the generated sets, a row for each set and metric."""

import math
from dataclasses import asdict
from pathlib import Path

from agorabench import paths
from agorabench.analysis.study import usable_metrics
from agorabench.files import read_json, read_jsonl
from agorabench.intrinsic import judged
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
    perplexities, `diversity` is 1 - similarity.
    """
    rows = []
    for cell in list_cells(params["matrix"]):
        metrics = read_measured(params["metrics"], cell) | read_assessed(params["metrics"], cell)
        for name, values in sorted(metrics.items()):
            values = asdict(cell) | {"metric": name} | values | values["also"]
            rows.append({column: values.get(column) for column in COLUMNS})
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
