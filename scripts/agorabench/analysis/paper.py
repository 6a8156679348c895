"""The tables that the paper prints (config/paper), and what comes out when they are recomputed.

Kim et al. 2025, arXiv 2412.03679v2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from agorabench.analysis.decisions import judge_all
from agorabench.errors import UserError
from agorabench.stats import regression

TABLES = Path(__file__).resolve().parents[3] / "config" / "paper"
COLUMNS = {
    "table2_pgr": "generator method domain pgr",
    "table3_cost": "generator usd_per_mtok_in usd_per_mtok_out problem_solving_average pgr_average",
    "table4_loadings": "metric mean_absolute_loading contribution_percent",
    "table5_prompts": "generator method prompt domain pgr",
    "table7_problem_solving": "generator gsm8k math mbpp humaneval alpaca_eval arena_hard average",
    "table8_intrinsic": "generator method domain metric value",
    "claims": "name where quantity printed remark",
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
ADJUSTED = "compatibility-adjusted reward"
AVERAGE = "average"
CELL = ["generator", "method", "domain"]
FINE = ("instruction_similarity", "response_similarity")  # printed with four decimals, not two
SHAKES = 200  # times that printed numbers are moved within their rounding


def read_tables(folder: str | Path = TABLES) -> dict[str, pandas.DataFrame]:
    """Name -> printed table. Raises UserError where one is absent or lacks a column."""
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
        needed = columns.split()
        if missing := [column for column in needed if column not in tables[name]]:
            needed = ", ".join(needed)
            raise UserError(f"{path} lacks the column {missing[0]!r}; it needs {needed}")
    return tables


def join_cells(tables: dict) -> pandas.DataFrame:
    """The 54 cells: generator, method, domain, pgr (percent), and the nine metrics.

    Problem solving is the mean of the domain's two benchmarks, in percent.
    """
    pgr = tables["table2_pgr"].query("domain != 'average'")
    wide = tables["table8_intrinsic"].pivot(index=CELL, columns="metric", values="value")
    solved = tables["table7_problem_solving"].set_index("generator")
    ability = {domain: solved[names].mean(axis=1) for domain, names in BENCHMARKS.items()}
    cells = pgr.merge(wide.reset_index(), on=CELL, how="left", validate="one_to_one")
    cells[ABILITY] = [ability[row.domain][row.generator] for row in cells.itertuples(index=False)]
    return cells[[*CELL, "pgr", *METRICS]].reset_index(drop=True)


def average_generators(cells: pandas.DataFrame) -> pandas.DataFrame:
    """Means of the cells of each generator, in the order of the tables."""
    return cells.groupby("generator", sort=False)[["pgr", ABILITY]].mean().reset_index()


def list_predictors(cells: pandas.DataFrame) -> dict[str, np.ndarray]:
    """Words -> values [cells]: the metrics, and reward in proportion to how it suits the student.

    The latter is compatibility-adjusted (Xu et al. 2024, arXiv 2411.07133), with a weight of 1; the
    logarithm of perplexity is what they call the loss of the student.
    """
    predictors = {words: cells[name].to_numpy() for name, words in METRICS.items()}
    surprisal = np.log(cells["response_perplexity"].to_numpy())
    return predictors | {
        ADJUSTED: predictors[METRICS["skywork_response_quality"]] / (1 + surprisal)
    }


# ---- Analyses


@dataclass(frozen=True)
class Analyses:
    """Fits to the published cells: regression.Regression, .Components and .Correlation; and the
    rows of decisions.judge_all."""

    cells: pandas.DataFrame
    averages: pandas.DataFrame
    of_generators: regression.Regression
    of_cells: regression.Regression
    components: regression.Components
    on_components: regression.Regression
    on_intrinsic: regression.Regression
    correlations: dict
    decisions: list[dict]


def analyse_tables(tables: dict, draws: int = 2000, seed: int = 1) -> Analyses:
    """All analyses of the paper, and those that it leaves out, on its printed cells."""
    cells = join_cells(tables)
    averages = average_generators(cells)

    def columns(table, x):
        return (table[column].to_numpy() for column in (x, "pgr", "generator"))

    def correlate(name):
        return regression.correlate_columns(*columns(cells, name), draws, seed)

    def fit(table, names, components=regression.COMPONENTS):
        return regression.fit_regression(*columns(table, names), components, draws, seed)

    return Analyses(
        cells,
        averages,
        fit(averages, [ABILITY], None),
        fit(cells, [ABILITY], None),
        regression.fit_components(cells[list(METRICS)]),
        fit(cells, list(METRICS)),
        fit(cells, [name for name in METRICS if name != ABILITY]),
        {name: correlate(name) for name in METRICS},
        judge_all(cells, list_predictors(cells), seed),
    )


# ---- Checks


@dataclass(frozen=True)
class Check:
    """A printed number, and what comes out for it from other printed numbers.

    Attributes:
        printed: as text, with the paper's digits.
        rounding: how far apart the two can be because the paper rounds what it prints.
        remark: about a difference, for readers.
    """

    where: str
    quantity: str
    printed: str
    recomputed: float
    rounding: float = 0.0
    remark: str = ""

    @property
    def digits(self) -> int:
        """Decimals of the printed number."""
        return len(self.printed.partition(".")[2])

    @property
    def shown(self) -> str:
        """What was recomputed, with a digit more than is printed."""
        return f"{self.recomputed:.{self.digits + 1}f}"

    @property
    def difference(self) -> float:
        """Recomputed minus printed; from the bound where the paper prints only one ("<0.001")."""
        difference = self.recomputed - float(self.printed.lstrip("<"))
        return max(difference, 0.0) if self.printed.startswith("<") else difference

    @property
    def verdict(self) -> str:
        """agrees: in all printed digits; rounding: not, but rounded parts can be why; differs."""
        half = 0 if self.printed.startswith("<") else 0.5 * 10.0**-self.digits
        if abs(self.difference) <= half + 1e-9:
            return "agrees"
        return "rounding" if abs(self.difference) <= half + self.rounding + 1e-9 else "differs"


def check_claims(tables: dict, seed: int = 1) -> list[Check]:
    """Checks of the printed results of analyses.

    How far rounding alone can move a result is found by trying: all printed numbers that it is
    made of are moved, SHAKES times, by half of their last digit, up or down.
    """
    recomputed = recompute_claims(tables)
    random = np.random.default_rng(seed)
    shaken = [recompute_claims(shake_tables(tables, random)) for _ in range(SHAKES)]
    checks = []
    for row in tables["claims"].itertuples(index=False):
        if row.name not in recomputed:
            known = ", ".join(recomputed)
            raise UserError(f"claims.csv: unknown claim {row.name!r}; known: {known}")
        value = recomputed[row.name]
        rounding = max(abs(moved[row.name] - value) for moved in shaken)
        checks.append(Check(row.where, row.quantity, row.printed, value, rounding, row.remark))
    return checks


def recompute_claims(tables: dict) -> dict[str, float]:
    """Claim -> what the printed tables give."""
    cells = join_cells(tables)
    averages = average_generators(cells)
    metrics = regression.standardise(cells[list(METRICS)].to_numpy())
    values = {}
    for name, x, table, k in (
        ("ability-generators", averages[[ABILITY]].to_numpy(), averages, 1),
        ("ability-cells", cells[[ABILITY]].to_numpy(), cells, 1),
        ("regression", metrics, cells, regression.COMPONENTS),
    ):
        r2 = regression.explained_variance(x, table["pgr"].to_numpy(), k)
        values |= {f"{name}-r2": r2, f"{name}-p": regression.f_test_p(r2, k, len(table))}
    components = regression.fit_components(cells[list(METRICS)])
    variance = 100 * components.variance[: regression.COMPONENTS]
    values |= {f"component-{i}": float(share) for i, share in enumerate(variance, 1)}
    values["component-sum"] = float(variance.sum())
    free, others = compare_prompts(tables)
    return values | {f"prompts-{name}": float((free - pgr).mean()) for name, pgr in others.items()}


def shake_tables(tables: dict, random: np.random.Generator) -> dict:
    """The tables with every printed number moved by half of its last digit, up or down."""
    moved = dict(tables)
    fine = tables["table8_intrinsic"]["metric"].isin(FINE)
    for name, columns, digits in (
        ("table2_pgr", ["pgr"], 1),
        ("table5_prompts", ["pgr"], 1),
        ("table7_problem_solving", [name for names in BENCHMARKS.values() for name in names], 1),
        ("table8_intrinsic", ["value"], np.where(fine, 4, 2)[:, None]),
    ):
        table = tables[name].copy()
        half = 0.5 * 10.0**-digits
        table[columns] += half * random.choice([-1, 1], size=(len(table), len(columns)))
        moved[name] = table
    return moved


def compare_prompts(tables: dict) -> tuple[pandas.Series, dict[str, pandas.Series]]:
    """(PGR of the cells of the free-form prompts, {other prompt: PGR of the same cells})."""
    table = tables["table5_prompts"]
    wide = table[table["domain"] != AVERAGE].pivot(index=CELL, columns="prompt", values="pgr")
    return wide["agorabench"], {name: wide[name] for name in wide if name != "agorabench"}


def check_averages(tables: dict) -> list[Check]:
    """Checks of all printed averages and of Table 4's shares."""
    return [*_check_domain_averages(tables), *_check_generators(tables), *_check_shares(tables)]


def _check_domain_averages(tables):
    for where, name, keys, column, digits in (
        ("Table 2", "table2_pgr", ["generator", "method"], "pgr", 1),
        ("Table 5", "table5_prompts", ["generator", "method", "prompt"], "pgr", 1),
        ("Table 8", "table8_intrinsic", ["metric", "generator", "method"], "value", 2),
    ):
        for key, rows in tables[name].groupby(keys, sort=False):
            is_average = rows["domain"] == AVERAGE
            places = 4 if key[0] in FINE else digits
            printed = f"{rows.loc[is_average, column].item():.{places}f}"
            mean = rows.loc[~is_average, column].mean()
            words = ", ".join(METRICS.get(part, part.replace("_", " ")) for part in key)
            yield Check(where, words, printed, mean, 0.5 * 10.0**-places)


def _check_generators(tables):
    solved = tables["table7_problem_solving"].set_index("generator")
    pgr = tables["table2_pgr"].query("domain != 'average'").groupby("generator")["pgr"].mean()
    for row in tables["table3_cost"].itertuples(index=False):
        mean = solved.loc[row.generator].drop(AVERAGE).mean()
        printed = solved.loc[row.generator, AVERAGE]
        for where, words, number, recomputed in (
            ("Table 7", "problem solving", printed, mean),
            ("Table 3", "problem solving", row.problem_solving_average, mean),
            ("Table 3", "PGR", row.pgr_average, pgr.loc[row.generator]),
        ):
            yield Check(where, f"{row.generator}, {words}", f"{number:.1f}", recomputed, 0.05)


def _check_shares(tables):
    loadings = tables["table4_loadings"]
    total = loadings["mean_absolute_loading"].sum()
    for row in loadings.itertuples(index=False):
        share = 100 * row.mean_absolute_loading / total
        rounding = 100 * 0.0005 * (total + len(loadings) * row.mean_absolute_loading) / total**2
        words = f"{METRICS[row.metric]}, share of the printed loadings in %"
        yield Check("Table 4", words, f"{row.contribution_percent:.2f}", share, rounding)


def check_loadings(tables: dict, analyses: Analyses) -> list[Check]:
    """Checks of Table 4: mean absolute loadings."""
    means = dict(zip(analyses.components.names, analyses.components.mean_loadings(), strict=True))
    checks = []
    for row in tables["table4_loadings"].itertuples(index=False):
        words, printed = METRICS[row.metric], f"{row.mean_absolute_loading:.3f}"
        words = f"{words}, mean absolute loading"
        checks.append(Check("Table 4", words, printed, float(means[row.metric])))
    return checks


def count_repeated(tables: dict) -> tuple[int, int]:
    """(cells that Table 5 repeats from Table 2, those of them that are other numbers there)."""
    repeated = tables["table5_prompts"].query("prompt == 'agorabench'")
    both = repeated.merge(tables["table2_pgr"], on=CELL, suffixes=("", "_table2"))
    return len(both), int(np.sum(both["pgr"] != both["pgr_table2"]))
