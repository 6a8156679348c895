"""The tables that the paper prints (config/paper), and what comes out when they are recomputed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from agorabench.errors import UserError
from agorabench.stats import regression

AVERAGE = "average"
COLUMNS = {
    "table2_pgr": ("generator", "method", "domain", "pgr"),
    "table3_cost": (
        "generator",
        "usd_per_mtok_in",
        "usd_per_mtok_out",
        "problem_solving_average",
        "pgr_average",
    ),
    "table4_loadings": ("metric", "mean_absolute_loading", "contribution_percent"),
    "table5_prompts": ("generator", "method", "prompt", "domain", "pgr"),
    "table7_problem_solving": (
        "generator",
        "gsm8k",
        "math",
        "mbpp",
        "humaneval",
        "alpaca_eval",
        "arena_hard",
        "average",
    ),
    "table8_intrinsic": ("generator", "method", "domain", "metric", "value"),
    "claims": ("name", "where", "quantity", "printed", "remark"),
}
BENCHMARKS = {
    "math": ["gsm8k", "math"],
    "code": ["mbpp", "humaneval"],
    "instruction": ["alpaca_eval", "arena_hard"],
}
METRICS = {  # in full, for readers
    "gpt4o_instruction_difficulty": "difficulty, GPT-4o",
    "prometheus_instruction_difficulty": "difficulty, Prometheus",
    "gpt4o_response_quality": "quality, GPT-4o",
    "prometheus_response_quality": "quality, Prometheus",
    "skywork_response_quality": "reward",
    "response_perplexity": "perplexity",
    "instruction_similarity": "instruction similarity",
    "response_similarity": "response similarity",
    "problem_solving": "problem solving",
}
ABILITY = "problem_solving"
CELL = ["generator", "method", "domain"]


@dataclass(frozen=True)
class Check:
    """A printed number, and what comes out for it from other printed numbers.

    `printed`: as text, with the paper's digits; `rounding`: how far apart the two can be because
    the paper rounds what it prints; `remark`: about a difference, for readers.
    """

    where: str
    quantity: str
    printed: str
    recomputed: float
    rounding: float = 0.0
    remark: str = ""

    @property
    def digits(self):
        return len(self.printed.partition(".")[2])

    @property
    def difference(self):
        """Recomputed minus printed; from the bound where the paper prints only one ("<0.001")."""
        difference = self.recomputed - float(self.printed.lstrip("<"))
        return max(difference, 0.0) if self.printed.startswith("<") else difference

    @property
    def verdict(self):
        """agrees: in all printed digits; rounding: not, but rounded parts can be why; differs."""
        half = 0 if self.printed.startswith("<") else 0.5 * 10.0**-self.digits
        if abs(self.difference) <= half + 1e-9:
            return "agrees"
        return "rounding" if abs(self.difference) <= half + self.rounding + 1e-9 else "differs"


def read(folder):
    """Name -> DataFrame of the printed tables. Raises UserError where one is absent or another."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = Path(folder) / f"{name}.csv"
        try:
            kinds = {"printed": str} if name == "claims" else None
            tables[name] = pandas.read_csv(path, dtype=kinds, keep_default_na=False)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None
        except ValueError as error:
            raise UserError(f"{path} is no table: {error}") from None
        for column in columns:
            if column not in tables[name]:
                raise UserError(
                    f"{path} lacks the column {column!r}; it needs {', '.join(columns)}"
                )
    return tables


def cells(tables):
    """The 54 cells: generator, method, domain, pgr (percent), and the nine metrics.

    Problem solving is the mean of the domain's two benchmarks, in percent.
    """
    pgr = tables["table2_pgr"].query("domain != 'average'")
    wide = tables["table8_intrinsic"].pivot(index=CELL, columns="metric", values="value")
    solved = tables["table7_problem_solving"].set_index("generator")
    ability = pandas.DataFrame(
        {domain: solved[names].mean(axis=1) for domain, names in BENCHMARKS.items()}
    )
    found = pgr.merge(wide.reset_index(), on=CELL, how="left", validate="one_to_one")
    found[ABILITY] = [
        ability.loc[row.generator, row.domain] for row in found.itertuples(index=False)
    ]
    return found[[*CELL, "pgr", *METRICS]].reset_index(drop=True)


def by_generator(found):
    """Means of the cells of each generator, in the order of the tables."""
    return found.groupby("generator", sort=False)[["pgr", ABILITY]].mean().reset_index()


@dataclass(frozen=True)
class Analyses:
    """What the published cells say: regression.Regression, .Components and .Correlation."""

    found: pandas.DataFrame
    averages: pandas.DataFrame
    of_generators: regression.Regression
    of_cells: regression.Regression
    components: regression.Components
    on_components: regression.Regression
    on_intrinsic: regression.Regression
    correlations: dict


def analyse(tables, draws=2000, seed=1):
    """All analyses of the paper, and those that it leaves out, on its printed cells."""
    found = cells(tables)
    averages = by_generator(found)
    y, groups = found["pgr"].to_numpy(), found["generator"].to_numpy()
    metrics = found[list(METRICS)].to_numpy()
    options = {"draws": draws, "seed": seed}

    def on(names, components=regression.COMPONENTS):
        return regression.regress(found[names].to_numpy(), y, groups, components, **options)

    return Analyses(
        found,
        averages,
        regression.regress(
            averages[ABILITY].to_numpy(),
            averages["pgr"].to_numpy(),
            averages["generator"].to_numpy(),
            **options,
        ),
        on([ABILITY], None),
        regression.decompose(found[list(METRICS)]),
        on(list(METRICS)),
        on([name for name in METRICS if name != ABILITY]),
        {
            name: regression.correlate(metrics[:, i], y, groups, **options)
            for i, name in enumerate(METRICS)
        },
    )


def claims(tables, shakes=200, seed=1):
    """Checks of the printed results of analyses.

    How far a result can be from the printed one for rounding alone is found by trying: all printed
    numbers that it is made of are moved, `shakes` times, by up to half of their last digit.
    """
    recomputed = results(tables)
    random = np.random.default_rng(seed)
    shaken = [results(shake(tables, random)) for _ in range(shakes)]
    found = []
    for row in tables["claims"].itertuples(index=False):
        if row.name not in recomputed:
            known = ", ".join(recomputed)
            raise UserError(f"claims.csv: unknown claim {row.name!r}; known: {known}")
        value = recomputed[row.name]
        furthest = max((abs(one[row.name] - value) for one in shaken), default=0.0)
        place = row.where, row.quantity, row.printed
        found.append(Check(*place, value, furthest, row.remark))
    return found


def results(tables):
    """Claim -> what the printed tables give."""
    found = cells(tables)
    averages = by_generator(found)
    metrics = regression.standardised(found[list(METRICS)].to_numpy())
    values = {}
    for name, x, table, k in (
        ("ability-generators", averages[[ABILITY]].to_numpy(), averages, 1),
        ("ability-cells", found[[ABILITY]].to_numpy(), found, 1),
        ("regression", metrics, found, regression.COMPONENTS),
    ):
        r2 = regression.explained(x, table["pgr"].to_numpy(), k)
        values |= {f"{name}-r2": r2, f"{name}-p": regression.significance(r2, k, len(table))}
    components = regression.decompose(found[list(METRICS)])
    variance = 100 * components.variance[: regression.COMPONENTS]
    values |= {f"component-{i}": float(value) for i, value in enumerate(variance, 1)}
    values["component-sum"] = float(variance.sum())
    free, others = prompt_cells(tables)
    return values | {f"prompts-{name}": float((free - pgr).mean()) for name, pgr in others.items()}


def shake(tables, random):
    """The tables with every printed number moved by up to half of its last digit."""
    moved = dict(tables)
    for name, columns, digits in (
        ("table2_pgr", ["pgr"], 1),
        ("table5_prompts", ["pgr"], 1),
        ("table7_problem_solving", [name for names in BENCHMARKS.values() for name in names], 1),
        ("table8_intrinsic", ["value"], 2),
    ):
        table = tables[name].copy()
        half = 0.5 * 10.0**-digits
        table[columns] += random.uniform(-half, half, size=(len(table), len(columns)))
        moved[name] = table
    return moved


def prompt_cells(tables):
    """(PGR of the cells of the free-form prompts, {other prompt: PGR of the same cells})."""
    table = tables["table5_prompts"]
    table = table[table["domain"] != AVERAGE]
    wide = table.pivot(index=CELL, columns="prompt", values="pgr")
    return wide["agorabench"], {name: wide[name] for name in wide if name != "agorabench"}


def averages(tables):
    """Checks of all printed averages and of Table 4's shares."""
    found = []
    sources = (
        ("Table 2", "table2_pgr", ["generator", "method"], "pgr", 1),
        ("Table 5", "table5_prompts", ["generator", "method", "prompt"], "pgr", 1),
        ("Table 8", "table8_intrinsic", ["metric", "generator", "method"], "value", 2),
    )
    for where, name, keys, column, digits in sources:
        for key, rows in tables[name].groupby(keys, sort=False):
            is_average = rows["domain"] == AVERAGE
            printed = f"{rows.loc[is_average, column].item():.{digits}f}"
            mean = rows.loc[~is_average, column].mean()
            words = ", ".join(METRICS.get(part, readable(part)) for part in key)
            found.append(Check(where, words, printed, mean, 0.5 * 10.0**-digits))
    solved = tables["table7_problem_solving"].set_index("generator")
    pgr = tables["table2_pgr"].query("domain != 'average'").groupby("generator")["pgr"].mean()
    for row in tables["table3_cost"].itertuples(index=False):
        mean = solved.loc[row.generator].drop(AVERAGE).mean()
        for where, text in (
            ("Table 7", solved.loc[row.generator, AVERAGE]),
            ("Table 3", row.problem_solving_average),
        ):
            words = f"{row.generator}, problem solving"
            found.append(Check(where, words, f"{text:.1f}", mean, 0.05))
        words = f"{row.generator}, PGR"
        found.append(
            Check("Table 3", words, f"{row.pgr_average:.1f}", pgr.loc[row.generator], 0.05)
        )
    loadings = tables["table4_loadings"]
    total = loadings["mean_absolute_loading"].sum()
    for row in loadings.itertuples(index=False):
        share = 100 * row.mean_absolute_loading / total
        rounding = 100 * 0.0005 * (total + len(loadings) * row.mean_absolute_loading) / total**2
        words = f"{METRICS[row.metric]}, share of the printed loadings in %"
        found.append(Check("Table 4", words, f"{row.contribution_percent:.2f}", share, rounding))
    return found


def loadings(tables, analyses):
    """Checks of Table 4: mean absolute loadings."""
    means = dict(zip(analyses.components.names, analyses.components.mean_loadings(), strict=True))
    return [
        Check(
            "Table 4",
            f"{METRICS[row.metric]}, mean absolute loading",
            f"{row.mean_absolute_loading:.3f}",
            float(means[row.metric]),
        )
        for row in tables["table4_loadings"].itertuples(index=False)
    ]


def repeated(tables):
    """(cells that Table 5 repeats from Table 2, those of them that are other numbers there)."""
    mine = tables["table5_prompts"].query("prompt == 'agorabench'")
    both = mine.merge(tables["table2_pgr"], on=CELL, suffixes=("", "_table2"))
    return len(both), int(np.sum(both["pgr"] != both["pgr_table2"]))


def readable(name):
    return name.replace("_", " ")
