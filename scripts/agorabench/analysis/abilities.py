"""Problem solving of the generators themselves: their own scores on the benchmarks."""

import math
from collections import defaultdict
from dataclasses import replace

from agorabench import paths
from agorabench.errors import UserError
from agorabench.files import read_json
from agorabench.report.table import Table, list_columns

COLUMNS = ("generator", "domain", "benchmark", "score", "standard_error", "n")
TABLE = Table(
    "abilities",
    "Problem solving of the generators themselves",
    "Score and standard error in percent; items: {items}. Average: of the domains. After Table 7 "
    "of the paper.",
)


def rows(study) -> list[dict]:
    """A row for each generator and benchmark: score and its error in percent, n items."""
    return study.abilities


def tables(study) -> list[Table]:
    """A column for each benchmark."""
    if not study.abilities:
        return [replace(TABLE, caption="No generator has solved the benchmarks.")]
    sizes = {row["benchmark"]: row["n"] for row in study.abilities}
    lines = {}
    for row in study.abilities:
        line = lines.setdefault(row["generator"], {"generator": row["generator"]})
        line[row["benchmark"]] = f"{row['score']:.1f} \u00b1 {row['standard_error']:.1f}"
    for generator, line in lines.items():
        means = [mean for (name, _), mean in study.domain_means.items() if name == generator]
        line["average"] = math.fsum(means) / len(means)
    items = ", ".join(f"{name} {n:,}" for name, n in sizes.items())
    caption = TABLE.caption.format(items=items)
    columns = list_columns(generator=None, **dict.fromkeys((*sizes, "average"), 1))
    return [replace(TABLE, caption=caption, columns=columns, rows=list(lines.values()))]


def read_abilities(params):
    """Generators' own scores on benchmarks: score and its error in percent, n items.

    Raises:
        UserError: a summary is missing or is none.
    """
    rows = []
    for generator in params["generators"]:
        for benchmark, domain in params["benchmarks"].items():
            path = paths.score(paths.generator_model(generator), benchmark)
            row = {"generator": generator, "domain": domain, "benchmark": benchmark}
            try:
                summary = read_json(path)
                row |= {"score": float(summary["score"]), "n": int(summary["n"])}
                row |= {"standard_error": summary["standard_error"]}
            except FileNotFoundError:
                raise UserError(
                    f"{path} is missing: score generators/{generator} on {benchmark} first"
                ) from None
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is not a score summary: {error!r}") from None
            rows.append(row)
    return rows


def mean_abilities(abilities):
    """(generator, domain) -> mean score in percent over the domain's benchmarks."""
    scores = defaultdict(list)
    for row in abilities:
        scores[row["generator"], row["domain"]].append(row["score"])
    return {key: math.fsum(values) / len(values) for key, values in scores.items()}
