r"""How often do the 95 % intervals of the PGR hold the true one? A simulation where it is known.

    python perf/intervals.py                       # 2,000 trials of each
    python perf/intervals.py --domains code --trials 200 --output /tmp/few.json
    python perf/intervals.py --domains instruction --resume  # goes on after a stop

Each trial draws two new benchmarks of the paper's sizes, and a base, a reference and a student with
known accuracies that answer them. An item is as hard for all three alike, up to chance: model m is
right where sqrt(h) z + sqrt(1 - h) e_m is below the quantile of its accuracy, with z of the item
and e_m of the answer standard normal. So the true accuracies, and the true PGR, are exact.
The intervals are those that `aggregate` writes, by agorabench.stats.pgr.estimate_cells.

On AlpacaEval a model has a known length-controlled win rate instead. The judge's preferences follow
the model of Dubois et al. 2024 (arXiv 2404.04475) and are as far from 0 and 1 as on the published
annotations; answers are shorter than the baseline's, by an amount of each model; the item scores
are those that agorabench.evaluation.benchmarks.alpaca_eval fits to all that.

Prints a Markdown table, writes perf/results/intervals.json, and with `--figure` a figure.
"""

import argparse
import csv
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import beta, norm

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from agorabench.evaluation.benchmarks.alpaca_eval import length_controlled  # noqa: E402
from agorabench.matrix import ANCHORS, Run  # noqa: E402
from agorabench.report import figures  # noqa: E402
from agorabench.stats.pgr import MEAN, Scores, estimate_cells  # noqa: E402

# Items of the six benchmarks; MBPP is EvalPlus' version.
SIZES = {
    "math": {"GSM8K": 1319, "MATH": 5000},
    "code": {"MBPP": 378, "HumanEval": 164},
    "instruction": {"AlpacaEval": 805, "Arena-Hard": 500},
}
SHARED = 0.5  # of the variance behind an answer is the item's
# AlpacaEval's judge. Coefficients of length and difficulty: the means of the fits of the 200 models
# on its leaderboard (glm weights of alpaca_eval 0.6). Standard deviation of the difficulties, mean
# relative lengths of the gamed baselines' answers: as in its data.
LENGTH, DIFFICULTY, SPREAD = -1.5, 0.9, 1.48
GAMED = (1.43, -0.73)
# Preferences are Beta(mean s, (1 - mean) s): their variance is 3/4 of that of a right or wrong.
SOFTNESS = 1 / 3
CHUNK = 50  # trials between two writes of the results
BAND = (93, 97)  # percent: where the coverage has to be
quantile = np.vectorize(NormalDist().inv_cdf)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domains", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "intervals.json")
    parser.add_argument("--resume", action="store_true", help="go on from what --output holds")
    parser.add_argument("--figure", type=Path, nargs="+", default=[])
    args = parser.parse_args(argv)
    found = json.loads(args.output.read_text()) if args.output.exists() else {}
    for domain in args.domains:
        start = time.monotonic()
        if not args.resume:
            found.pop(domain, None)
        done = found[domain][MEAN]["trials"] if domain in found else 0
        for first in range(done, args.trials, CHUNK):
            trials = range(first, min(first + CHUNK, args.trials))
            found[domain] = simulate(SIZES[domain], trials, args.draws, found.get(domain))
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{domain}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    print("| domain | benchmark | items | trials | flagged | coverage | below | above | width |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for domain, rows in found.items():
        for name, row in rows.items():
            numbers = " | ".join(str(row[key]) for key in ("items", "trials", "flagged"))
            ends = f"{row['below']} | {row['above']} | {np.median(row['widths']):.0f}"
            print(f"| {domain} | {name} | {numbers} | {coverage(row)[0]:.1f} % | {ends} |")
    if args.figure:
        draw(found, args.figure)


def simulate(sizes, trials, draws, found=None, seed=1):
    """Counts for each benchmark of a domain, and for the domain's mean.

    `sizes`: benchmark -> items. `trials`: their numbers. `found`: counts of earlier trials, to be
    added to. Of the trials without a flag: `held` (the interval holds the true PGR), `below` and
    `above` (it lies below or above the true one); `widths` in percent points.
    """
    run = Run("d", "m", "g", "p", 1, 1, "s")
    benchmarks = dict.fromkeys(sizes, run.domain)
    found = found or {
        name: {"items": sizes.get(name, sum(sizes.values())), "trials": 0, "flagged": 0}
        | {"held": 0, "below": 0, "above": 0, "widths": []}
        for name in (*sizes, MEAN)
    }
    for trial in trials:
        random = np.random.default_rng([seed, trial])
        truth, scores = {}, {}
        for name, items in sizes.items():
            # A base of 5 to 55 %, a reference 10 to 40 points above it, a PGR of -10 to 110 %.
            base, gap, pgr = random.uniform((0.05, 0.1, -0.1), (0.55, 0.4, 1.1))
            student = min(max(base + pgr * gap, 0.01), 0.99)
            truth[name] = 100 * (student - base) / gap
            respond = preferences if name == "AlpacaEval" else answers
            scored = respond(random, items, (student, base, base + gap))
            ids = np.arange(items)
            models = (run.model, *(f"{run.student}/{anchor}" for anchor in ANCHORS))
            scores[name] = {
                model: Scores(ids, column, "simulated", None)
                for model, column in zip(models, scored.T, strict=True)
            }
        truth[MEAN] = np.mean(list(truth.values()))
        estimates = estimate_cells([run], benchmarks, scores, draws, trial)[run]
        for name, estimate in estimates.items():
            count(found[name], estimate.interval(), truth[name])
    return found


def luck(random, items, models):
    """Standard normal, in part common to the models: [items, models]."""
    item = random.standard_normal((items, 1))
    own = random.standard_normal((items, models))
    return math.sqrt(SHARED) * item + math.sqrt(1 - SHARED) * own


def answers(random, items, accuracies):
    """Right (1) or wrong (0): [items, models]."""
    return (luck(random, items, len(accuracies)) < quantile(accuracies)).astype(float)


def preferences(random, items, rates):
    """Item scores on AlpacaEval, with known length-controlled win rates: [items, models]."""
    difficulty = random.normal(0, SPREAD, items)
    columns = ("index", "preference", "std_delta_len", "instruction_difficulty")
    gamed = []
    for length in GAMED:
        lengths = random.normal(length, 1, items)
        told = preferred(lengths, difficulty, 0.0, random.standard_normal(items))
        gamed += zip(range(items), told, lengths, difficulty, strict=True)
    lengths = random.normal(random.uniform(0, 1.2, len(rates)), 1, (items, len(rates)))
    chances = luck(random, items, len(rates))
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *gamed])
        file.flush()
        return np.column_stack(
            [
                np.sum(
                    length_controlled(
                        preferred(lengths[:, place], difficulty, strength(rate), chances[:, place]),
                        lengths[:, place],
                        range(items),
                        file.name,
                    ),
                    axis=0,
                )
                for place, rate in enumerate(rates)
            ]
        )


def preferred(lengths, difficulty, advantage, chances):
    """Preferences with the mean that AlpacaEval's model has; `chances`: standard normal."""
    mean = expit(LENGTH * np.tanh(lengths) + DIFFICULTY * difficulty + advantage)
    return beta.ppf(norm.cdf(chances), mean * SOFTNESS, (1 - mean) * SOFTNESS)


def strength(rate):
    """The advantage with which a model has a length-controlled win rate (0 to 1)."""
    places, weights = np.polynomial.hermite_e.hermegauss(60)  # a mean over normal difficulties
    odds = DIFFICULTY * SPREAD * places

    def off(advantage):
        return weights @ expit(odds + advantage) / weights.sum() - rate

    return brentq(off, -20, 20)


def count(row, interval, truth):
    """Add one trial's interval (or None) to the counts."""
    row["trials"] += 1
    if interval is None:
        row["flagged"] += 1
        return
    low, high = interval
    place = "below" if high < truth else "above" if low > truth else "held"
    row[place] += 1
    row["widths"].append(high - low)


def coverage(row):
    """Percent of the intervals that hold the truth, and the 95 % interval of that (Wilson 1927)."""
    n = row["trials"] - row["flagged"]
    share, z = row["held"] / n, NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return 100 * share, 100 * (middle - half), 100 * (middle + half)


def draw(found, paths):
    """Coverage of every benchmark and mean, against the nominal 95 %."""
    import matplotlib.pyplot as plt

    rows = [(domain, name, row) for domain, parts in found.items() for name, row in parts.items()]
    with figures.style():
        figure, axes = plt.subplots(figsize=(figures.COLUMN_WIDTH, 0.26 * len(rows) + 0.6))
        axes.axvspan(*BAND, color=figures.GRID, zorder=0, linewidth=0)
        axes.axvline(95, color=figures.MUTED, linewidth=0.8)
        for place, (domain, name, row) in enumerate(rows):
            share, low, high = coverage(row)
            colour, marker = figures.series_look(list(found).index(domain))
            axes.plot([low, high], [place, place], color=colour)
            axes.plot(share, place, marker, color=colour, markersize=4 if name == MEAN else 3.2)
        labels = [
            f"{domain}, mean" if name == MEAN else f"{name} ({row['items']:,})"
            for domain, name, row in rows
        ]
        axes.set_yticks(range(len(rows)), labels)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(92, 98)
        axes.set_xlabel("intervals that hold the true PGR (%)")
        figure.tight_layout(pad=0.4)
        figures.save_figure(figure, paths)
        plt.close(figure)


if __name__ == "__main__":
    main()
