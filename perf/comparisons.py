r"""How often are generators told apart that are equal, and found that differ? A simulation.

    python perf/comparisons.py                        # 2,000 tables of each kind
    python perf/comparisons.py --kinds equal power --trials 200 --output /tmp/few.json
    python perf/comparisons.py --measure              # time and memory for the paper's matrix

Each trial is a table of six generators on two new benchmarks as large as MBPP and HumanEval, whose
students answer as in perf/intervals.py, so the true PGRs are exact. What is counted comes from
agorabench.analysis.comparisons.compare_block, as in `aggregate`.

equal     six equal generators: pairs with p < 0.05, and tables in which any is established
apart     generators 6 points apart: true ranks outside any interval, intervals of differences
          without the true one
power     two generators as far apart as scripts/tools/power.py says is found in 80 % of cases
seeds-N   six equal generators, whose trainings differ by 5 points (SD), with N seeds each

Prints a Markdown table, writes perf/results/comparisons.json, and with `--figure` a figure.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "scripts"), str(HERE)]

from agorabench.analysis.comparisons import compare_block, compare_views  # noqa: E402
from agorabench.analysis.pgr_table import estimate_table  # noqa: E402
from agorabench.matrix import Run  # noqa: E402
from agorabench.report import figures  # noqa: E402
from agorabench.stats.bootstrap import bootstrap_means  # noqa: E402
from agorabench.stats.pgr import Scores, average_estimates, estimate_pgr  # noqa: E402
from agorabench.stats.power import Items, domain_noise  # noqa: E402
from intervals import SIZES, answers  # noqa: E402

BENCHMARKS, GENERATORS, STEP, SPREAD = SIZES["code"], 6, 6.0, 5.0
KINDS = ("equal", "apart", "power", "seeds-1", "seeds-2", "seeds-5")
CORRELATION = 1 / 3  # of right or wrong at one half, where half the variance behind is the item's
CHUNK = 50  # trials between two writes of the results
COUNTS = ("trials", "pairs", "significant", "established", "uncovered", "outside")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "comparisons.json")
    parser.add_argument("--figure", type=Path, nargs="+", default=[])
    parser.add_argument("--measure", action="store_true", help="time and memory only")
    args = parser.parse_args(argv)
    if args.measure:
        return measure()
    found = json.loads(args.output.read_text()) if args.output.exists() else {}
    for kind in args.kinds:
        row = found.setdefault(kind, dict.fromkeys(COUNTS, 0))
        for trial in range(row["trials"], args.trials):
            count(row, kind, trial, args.draws)
            if trial % CHUNK == CHUNK - 1 or trial == args.trials - 1:
                args.output.parent.mkdir(parents=True, exist_ok=True)
                args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("| kind | tables | p < 0.05 | any pair established | rank outside | no true difference |")
    print("|---|--:|--:|--:|--:|--:|")
    for kind, row in found.items():
        shares = " | ".join(f"{share:.1f} %" for share in shares_of(row).values())
        print(f"| {kind} | {row['trials']:,} | {shares} |")
    if args.figure:
        draw(found, args.figure)


def count(row, kind, trial, draws):
    """Add one table to the counts of its kind."""
    random = np.random.default_rng([trial, *kind.encode()])
    base, gap = random.uniform((0.2, 0.2), (0.5, 0.4))
    seeds = int(kind.partition("-")[2] or 1)
    truth = true_pgrs(kind, gap)
    noise = random.normal(0, SPREAD if "-" in kind else 0, (len(truth), seeds))
    found = table_block(random, truth[:, None] + noise, base, gap, draws, trial)
    names = list(found)
    pairs, ranks = compare_block(found, names, [trial])
    row["trials"] += 1
    row["pairs"] += len(pairs)
    row["significant"] += sum(pair["p"] < 0.05 for pair in pairs)
    row["established"] += any(pair["established"] == "yes" for pair in pairs)
    if pairs[0]["measure"] == "PGR":
        for pair in pairs:
            first, second = (truth[names.index(pair[key])] for key in ("generator", "other"))
            row["uncovered"] += not pair["low"] <= first - second <= pair["high"]
    true_ranks = [1 + int((truth > one).sum()) for one in truth]
    row["outside"] += any(
        not own["rank_low"] <= true <= own["rank_high"]
        for own, true in zip(ranks, true_ranks, strict=True)
    )


def true_pgrs(kind, gap):
    """The true PGR of every generator, in percent."""
    if kind == "apart":
        return 50 + STEP * np.arange(GENERATORS)[::-1]
    if kind == "power":
        items = [Items(n, correlation=CORRELATION, gap=gap) for n in BENCHMARKS.values()]
        half = domain_noise(items, 0).smallest() / 2
        return 50 + np.array([half, -half])
    return np.full(GENERATORS, 50.0)


def table_block(random, pgrs, base, gap, draws, trial):
    """Generator -> its Estimate and, of several seeds, theirs; `pgrs`: [generators, seeds]."""
    each = {}
    for name, items in BENCHMARKS.items():
        students = np.clip(base + pgrs.ravel() / 100 * gap, 0.01, 0.99)
        scores = answers(random, items, (*students, base, base + gap))
        means, drawn = scores.mean(axis=0), bootstrap_means(scores, draws, trial, name)
        for i in range(pgrs.size):
            three = [i, -2, -1]
            estimate = estimate_pgr(name, means[three], drawn[:, three], items)
            each.setdefault(i, []).append(estimate)
    trained = [average_estimates(own) for own in each.values()]
    found = {}
    for i, seeds in enumerate(np.arange(pgrs.size).reshape(pgrs.shape)):
        own = [trained[seed] for seed in seeds]
        found[f"g{i}"] = [average_estimates(own), *own] if len(own) > 1 else own
    return found


def shares_of(row):
    """What -> percent of pairs, or of tables."""
    wholes = {"significant": "pairs", "established": "trials", "outside": "trials"}
    wholes |= {"uncovered": "pairs"}
    return {name: 100 * row[name] / row[whole] for name, whole in wholes.items()}


def measure():
    """Time and memory of the comparisons of the paper's matrix: 54 cells, 6 benchmarks."""
    random, scores, benchmarks = np.random.default_rng(1), {}, {}
    runs = [
        Run(domain, method, f"g{i}", "p", 10_000, 1, "s")
        for domain in SIZES
        for method in ("instance", "response", "enhancement")
        for i in range(GENERATORS)
    ]
    for domain, sizes in SIZES.items():
        models = ["s/base", "s/reference", *(run.model for run in runs if run.domain == domain)]
        for name, items in sizes.items():
            benchmarks[name] = domain
            right = answers(random, items, random.uniform(0.4, 0.6, len(models)))
            right[:, 1] = 1 - (1 - right[:, 1]) * (random.random(items) < 0.5)
            ids = np.arange(items).astype(str)
            columns = zip(models, right.T, strict=True)
            scores[name] = {model: Scores(ids, one, "simulated", None) for model, one in columns}
    start = time.perf_counter()
    estimates = estimate_table(runs, benchmarks, scores, 2000)
    middle = time.perf_counter()
    pairs, ranks = compare_views(estimates, 1)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"bootstrap {middle - start:.1f} s, comparisons {end - middle:.1f} s, {peak:.0f} MB")
    print(f"{len(pairs)} pairs, {len(ranks)} ranks")


def draw(found, paths):
    """The shares, against what they may be."""
    import matplotlib.pyplot as plt

    lines = [
        ("equal: p < 0.05", "equal", "significant", 5),
        ("equal: any established", "equal", "established", 5),
        ("apart: a rank outside", "apart", "outside", 5),
        ("apart: no true difference", "apart", "uncovered", 5),
        *((f"seeds, {n}: p < 0.05", f"seeds-{n}", "significant", 5) for n in (1, 2, 5)),
        *((f"seeds, {n}: any established", f"seeds-{n}", "established", 5) for n in (1, 2, 5)),
        ("power: not found", "power", "significant", 20),
    ]
    lines = [line for line in lines if line[1] in found]
    with figures.style():
        figure, axes = plt.subplots(figsize=(figures.COLUMN_WIDTH, 0.2 * len(lines) + 0.6))
        for place, (_, kind, what, allowed) in enumerate(lines):
            share = shares_of(found[kind])[what]
            share = 100 - share if kind == "power" else share
            whole = found[kind]["trials"]
            half = 196 * np.sqrt(share / 100 * (1 - share / 100) / whole)
            axes.plot([allowed, allowed], [place - 0.4, place + 0.4], color=figures.MUTED)
            axes.plot([share - half, share + half], [place, place], color=figures.COLOURS[0])
            axes.plot(share, place, "o", **figures.mark(figures.COLOURS[0]))
        axes.set_yticks(range(len(lines)), [line[0] for line in lines])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=0)
        axes.set_xlabel("percent; grey: as promised")
        figure.tight_layout(pad=0.4)
        figures.save_figure(figure, paths)
        plt.close(figure)


if __name__ == "__main__":
    main()
