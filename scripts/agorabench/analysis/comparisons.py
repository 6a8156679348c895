"""Which generator is better than which, how sure that is, and where each of them ranks.

A block is what stands in one column of the PGR table: generators under one student, prompt, size
and seed in one method and domain, or in an average over them. Where all of its PGRs have an
interval it is compared in PGR, else in the students' own scores, which need no reference; both in
points. The rows are made with the PGR table, of the same draws (stats/comparisons.py).
"""

import csv
import io
import itertools
import math
from pathlib import Path

import numpy as np

from agorabench.analysis.pgr_table import COORDINATES as PLACE
from agorabench.analysis.pgr_table import list_views, table_rows
from agorabench.report import figures
from agorabench.report.readable import read_text
from agorabench.report.table import Column, Table, format_interval, list_columns
from agorabench.stats import comparisons as stats
from agorabench.stats.pgr import MEAN, UNBOUNDED

BLOCK = ("student", "prompt", "size", "seed", "method", "domain")
COLUMNS = (
    *(*BLOCK, "generator", "other", "measure", "difference", "low", "high"),
    *("p", "p_holm", "p_better", "established", "noise", "reason"),
)
RANK_COLUMNS = (
    *(*BLOCK, "generator", "measure", "value", "low", "high", "rank", "rank_low", "rank_high"),
    *("p_best", "best", "noise", "seeds", "sd_items", "sd_seeds", "sd_both", "reason"),
)
WORDS = (*BLOCK, "generator", "other", "measure", "established", "best", "noise", "reason")
PGR, SCORE = "PGR", "score"
ITEMS, SEEDS = "items", "items and seeds"
ABSENT = "not run, or not in all cells of the average"
ALONE = "no other generator to compare it with"
LINE = 0.14  # inches: the least height of a row, and the least width for a number
ROOM = 1.5  # inches: of a generator's name
BETTER, WORSE = "#9ecae1", "#fdc086"  # of the row, established
TABLE = Table(
    "comparisons",
    "Which generator is better",
    "Difference of the first generator minus the second, average of all cells, in points of {of}, "
    "with its 95 % interval, p adjusted for all pairs after Holm, and the probability that the "
    "first is better. Intervals are over benchmark {noise}.",
    (
        *list_columns(generator=None, other=None),
        *(Column("difference", "difference", 1), Column(("low", "high"), "interval", 1)),
        *(Column("p_holm", "p (Holm)", "p"), Column("p_better", "P(better)", 2)),
        Column("established", "established"),
    ),
)
RANKS = Table(
    "ranks",
    "Ranks",
    "Average of all cells and of each domain; intervals of 95 %. Among the best: not established "
    "as worse than the leader.",
    (
        *(Column("where", "average of"), Column("generator", "generator")),
        *(Column("value", "PGR or score", 1), Column(("low", "high"), "interval", 1)),
        *(Column("rank", "rank", 0), Column("ranks", "interval", 0)),
        *(Column("p_best", "P(best)", 2), Column("best", "among the best")),
    ),
)


def compare_views(estimates, seed) -> tuple[list[dict], list[dict]]:
    """(Rows of COLUMNS for each pair, rows of RANK_COLUMNS for each generator) of every block.

    `estimates`: of pgr_table.estimate_table; `seed`: of the noise of seeds.
    """
    pairs, ranks = [], []
    for view in list_views(table_rows(estimates)):
        axes = view.seeds, view.methods, view.domains
        for each, method, domain in itertools.product(*map(with_mean, axes)):
            found = {
                name: [estimates[coordinates] for coordinates in _with_seeds(view, row)]
                for name in view.generators
                if (row := view.cells.get((name, method, domain, each)))
            }
            if not found:
                continue
            place = (view.student, view.prompt, view.size, each, method, domain)
            block = dict(zip(BLOCK, place, strict=True))
            own = compare_block(found, view.generators, [seed, *repr(place).encode()])
            pairs += [block | row for row in own[0]]
            ranks += [block | row for row in own[1]]
    return pairs, ranks


def with_mean(values):
    """Values of an axis and their average; an average over one thing would only repeat it."""
    return [*values, MEAN] if len(values) > 1 else list(values)


def _with_seeds(view, row):
    """Coordinates of a row of the PGR table, and of the seeds that it is the mean of."""
    seeds = view.seeds if row["seed"] == MEAN else ()
    return [tuple((row | {"seed": each})[name] for name in PLACE) for each in (row["seed"], *seeds)]


def compare_block(found, generators, seed):
    """Rows of pairs and of ranks. `found`: generator -> its Estimate and those of its seeds."""
    sound, names = all(own[0].interval() for own in found.values()), list(found)
    keys = ("pgr", "draws") if sound else ("student", "score_draws")
    values, draws, spread = _draw_block(found.values(), *keys, seed)
    pairs = stats.compare_pairs(values, draws, normal=not spread.freedom)
    common = {"measure": PGR if sound else SCORE, "noise": SEEDS if spread.freedom else ITEMS}
    rows = {(names[one.first], names[one.second]): common | _pair_columns(one) for one in pairs}
    common |= {"seeds": max(1, len(found[names[0]]) - 1), "sd_items": spread.items}
    common |= {"sd_seeds": spread.seeds, "sd_both": spread.both} if spread.freedom else {}
    ranks = zip(values, draws, stats.rank_generators(values, draws, pairs), strict=True)
    columns = [common | _rank_columns(*one, alone=len(names) == 1) for one in ranks]
    ranked, absent = dict(zip(names, columns, strict=True)), {"reason": ABSENT}
    return (
        [
            {"generator": one, "other": other} | rows.get((one, other), absent)
            for one, other in itertools.combinations(generators, 2)
        ],
        [{"generator": name} | ranked.get(name, absent) for name in generators],
    )


def _draw_block(generators, number, draws, seed):
    """(Values [generators], draws [generators, draws] with the noise of seeds, the Spread);
    `number`, `draws`: attributes of the Estimates."""
    values = [getattr(own[0], number) for own in generators]
    drawn = np.array([getattr(own[0], draws) for own in generators])
    trained = [own[1:] or own for own in generators]
    spread = stats.estimate_spread(
        [[getattr(one, number) for one in own] for own in trained],
        [np.array([getattr(one, draws) for one in own]) for own in trained],
    )
    if spread.freedom:
        drawn = stats.add_seed_noise(values, drawn, spread, len(trained[0]), seed)
    return values, drawn, spread


def _pair_columns(pair):
    names = ("difference", "low", "high", "p", "p_holm")
    row = {name: getattr(pair, name) for name in names} | {"p_better": pair.better}
    row |= {"established": "yes" if pair.established else "no"}
    return row | {"reason": UNBOUNDED if pair.low is None else ""}


def _rank_columns(value, draws, rank, alone):
    low, high = stats.bounded_interval(draws)
    row = {"value": value, "low": low, "high": high}
    if alone:
        return row | {"reason": ALONE}
    row |= {"rank": rank.rank, "rank_low": rank.low, "rank_high": rank.high}
    row |= {"p_best": rank.p_best, "best": "yes" if rank.best else "no"}
    return row | {"reason": UNBOUNDED if low is None else ""}


def best_sets(ranks) -> dict[tuple, set[str]]:
    """Block -> the generators that cannot be told from its best, of rows of ranks."""
    best = {}
    for row in ranks:
        if row.get("best") == "yes":
            best.setdefault(tuple(row[name] for name in BLOCK), set()).add(row["generator"])
    return best


def read_rows(path: str | Path) -> list[dict]:
    """Rows of results/tables/comparisons.csv or ranks.csv; None for what is empty."""
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    for row in rows:
        row |= {name: float(row[name]) if row[name] else None for name in {*row} - {*WORDS}}
        row |= {"size": int(row["size"])}
        row |= {"seed": MEAN if row["seed"] == MEAN else int(row["seed"])}
    return rows


# ---- For readers


def select_block(rows, view, seed, method, domain):
    """Those of the rows that are of one block."""
    place = (view.student, view.prompt, view.size, seed, method, domain)
    return [row for row in rows if tuple(row[name] for name in BLOCK) == place]


def overall_place(view):
    """(seed, method, domain) of the average over all that a view compares."""
    return tuple(with_mean(axis)[-1] for axis in (view.seeds, view.methods, view.domains))


def tables(study) -> list[Table]:
    """Of each block of the study: the pairs of the average of all cells, and ranks."""
    filled = []
    for block in study.blocks:
        seed, method, domain = overall_place(block.view)
        own = select_block(study.comparisons, block.view, seed, method, domain)
        known = [row for row in own if row["difference"] is not None]
        if not known:
            why = "No two generators have all cells that are averaged."
            filled.append(block.fill(TABLE, caption=why, columns=()))
        else:
            words = {"of": known[0]["measure"], "noise": known[0]["noise"]}
            caption, notes = TABLE.caption.format(**words), absent_notes(own)
            filled.append(block.fill(TABLE, rows=known, caption=caption, notes=notes))
        lines = []
        for place in (MEAN, *block.view.domains) if domain == MEAN else (domain,):
            for row in select_block(study.ranks, block.view, seed, method, place):
                ranks = format_interval(row["rank_low"], row["rank_high"], 0)
                where = "all cells" if place == MEAN else place
                lines += [row | {"where": where, "ranks": ranks}] if row["value"] else []
        filled.append(block.fill(RANKS, rows=lines))
    return filled


def absent_notes(rows):
    """A sentence on the pairs of a block that cannot be compared, in a list."""
    absent = [f"{row['generator']} and {row['other']}" for row in rows if row["difference"] is None]
    return [f"Not compared ({ABSENT}): {'; '.join(absent)}."] if absent else []


def figure(study):
    """A matrix of differences for the average of all cells and for each domain, ranks beside it."""
    view = study.largest.view
    seed, method, domain = overall_place(view)
    places = (MEAN, *view.domains) if domain == MEAN else (domain,)
    names, title = view.generators, view.title(seed)
    if len(names) < 2:
        return figures.empty_page(title, f"One generator: {ALONE}.")
    numbered = [_shorten_name(f"{i} {name}") for i, name in enumerate(names, 1)]
    left = figures.text_width(numbered) + 0.15
    cell = min(0.3, (figures.COLUMN_WIDTH - left - 0.75) / len(names))
    page = figures.Page(
        title, [max(cell, LINE) * len(names)] * len(places), left=[left] * len(places)
    )
    for axes, place in zip(page.axes, places, strict=True):
        pairs = select_block(study.comparisons, view, seed, method, place)
        ranks = select_block(study.ranks, view, seed, method, place)
        draw_matrix(axes, names, pairs, ranks, cell)
        axes.set_yticks(range(len(names)), numbered)
        measure = next((row["measure"] for row in pairs if row["measure"]), PGR)
        heading = "all cells" if place == MEAN else place
        page.label_panel(axes, f"{heading}: row minus column, points of {measure}", "", "")
    return page.figure


def _shorten_name(name):
    """A name that leaves room beside it."""
    width = figures.text_width([name])
    return name if width <= ROOM else f"{name[: int(len(name) * ROOM / width) - 1]}\u2026"


def draw_matrix(axes, names, pairs, ranks, cell):
    """The matrix of one block, `cell` inches across; what is not established stays white. Where
    that is too narrow for numbers colours say it all."""
    size = min(6.5, 30 * cell)
    for row in pairs:
        i, j = names.index(row["generator"]), names.index(row["other"])
        for x, y, sign in ((j, i, 1), (i, j, -1)):
            if row["difference"] is None:
                axes.text(
                    x,
                    y,
                    "n/a" if cell > LINE else "-",
                    ha="center",
                    va="center",
                    color=figures.MUTED,
                    size=size,
                )
                continue
            number = sign * row["difference"]
            if row["established"] == "yes":
                axes.add_patch(_square(x, y, BETTER if number > 0 else WORSE))
            text = figures.minus_sign(f"{number:.0f}") if cell > LINE else ""
            axes.text(x, y, text, ha="center", va="center", size=size)
    for i, row in enumerate(ranks):
        axes.add_patch(_square(i, i, figures.GRID))
        if row["rank"] is not None:
            words = f"rank {row['rank']:.0f} [{row['rank_low']:.0f}, {row['rank_high']:.0f}]"
            weight = "bold" if row["best"] == "yes" else "normal"
            axes.text(len(names) - 0.4, i, words, va="center", size=6, weight=weight)
    axes.set(xlim=(-0.5, len(names) + 0.7 / cell), ylim=(len(names) - 0.5, -0.5))
    step = math.ceil(LINE / cell)
    axes.set_xticks(range(0, len(names), step), range(1, len(names) + 1, step))
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _square(x, y, colour):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=colour, linewidth=0)
