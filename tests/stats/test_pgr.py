import math
from time import perf_counter

import numpy as np
import pytest
from agorabench.analysis.pgr_table import COLUMNS, build_table, from_csv, list_views, to_csv
from agorabench.errors import UserError
from agorabench.matrix import Run
from agorabench.stats.pgr import MEAN, Scores, align_items, needed_models, pgr

ANCHORS = ["mini/base", "mini/reference"]
BENCHMARKS = {"sums": "math", "proofs": "math", "functions": "code"}


def scores(share, n=200, start=0, protocol="mini", judge=None):
    """Scores with exactly this share right, the right items from `start` on."""
    right = {(start + i) % n for i in range(round(share * n))}
    values = np.array([float(i in right) for i in range(n)])
    return Scores(np.array([f"item-{i:03}" for i in range(n)]), values, protocol, judge)


def run(domain="math", method="instance", generator="strong", prompt="main", seed=1):
    return Run(domain, method, generator, prompt, 500, seed, "mini")


def world(runs, student=0.5, base=0.2, reference=0.8, **special):
    """Scores for all that `runs` need; `special`: benchmark -> (student, base, reference)."""
    found = {}
    for name, models in needed_models(runs, BENCHMARKS).items():
        shares = special.get(name, (student, base, reference))
        anchors = {"mini/base": shares[1], "mini/reference": shares[2]}
        found[name] = {
            model: scores(anchors.get(model, shares[0]), start=0 if model in anchors else 31 * i)
            for i, model in enumerate(models)
        }
    return found


def one(rows, **where):
    (row,) = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return row


def test_pgr_is_the_papers_formula():
    assert pgr(student=60, base=50, reference=70) == 50
    assert pgr(student=80, base=50, reference=70) == 150
    assert pgr(student=40, base=50, reference=70) == -50
    assert pgr(np.array([60, 70]), 50, 70).tolist() == [50, 100]


def test_without_a_reference_rows_say_so_and_have_what_is_gained():
    runs = [run(), run(generator="noisy")]
    scored = world(runs, student=0.5, base=0.25)
    whole = build_table(runs, BENCHMARKS, scored, draws=200)
    for models in scored.values():
        del models["mini/reference"]
    rows = build_table(runs, BENCHMARKS, scored, draws=200)
    assert len(rows) == len(whole) and {row["flag"] for row in rows} == {"no reference"}
    assert {row[name] for row in rows for name in ("reference_score", "pgr", "pgr_low")} == {None}
    row = one(rows, benchmark="sums", generator="strong")
    models = [scored["sums"][name].values for name in (run().model, "mini/base")]
    drawn = np.random.default_rng(3).integers(0, 200, (4000, 200))
    gains = 100 * (models[0] - models[1])[drawn].mean(axis=1)
    assert row["gain"] == pytest.approx(25)
    ends = [row["gain_low"], row["gain_high"]]
    assert ends == pytest.approx(np.percentile(gains, [2.5, 97.5]), abs=2)
    text = to_csv(rows)
    assert text.splitlines()[0] == ",".join([*COLUMNS, "gain", "gain_low", "gain_high"])
    assert from_csv(text)[0]["gain"] == pytest.approx(rows[0]["gain"], abs=1e-4)
    assert to_csv(whole).splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize("reference", [50, 40])
def test_there_is_no_pgr_without_a_gap(reference):
    assert math.isnan(pgr(student=60, base=50, reference=reference))


def test_a_row_per_benchmark_and_one_for_the_domain():
    runs = [run()]
    rows = build_table(runs, BENCHMARKS, world(runs, proofs=(0.6, 0.5, 0.9)), draws=200)
    assert [row["benchmark"] for row in rows if row["domain"] == "math"][:3] == [
        "sums",
        "proofs",
        MEAN,
    ]
    sums = one(rows, benchmark="sums")
    assert list(sums) == list(COLUMNS)
    assert (sums["student_score"], sums["base_score"], sums["reference_score"]) == pytest.approx(
        (50, 20, 80)
    )
    assert sums["pgr"] == pytest.approx(50) and sums["n_items"] == 200
    domain = one(rows, benchmark=MEAN, domain="math", method="instance")
    assert domain["pgr"] == pytest.approx((50 + 25) / 2)
    assert domain["student_score"] == pytest.approx(55) and domain["n_items"] == 400


def test_the_interval_is_that_of_a_plain_loop():
    runs = [run(domain="code")]
    world_ = world(runs, functions=(0.5, 0.3, 0.7))
    row = one(build_table(runs, BENCHMARKS, world_, draws=4000), benchmark="functions")
    columns = [world_["functions"][m].values for m in (runs[0].model, *ANCHORS)]
    loop = np.random.default_rng(8)
    draws = []
    for _ in range(4000):
        picked = [int(i) for i in loop.integers(200, size=200)]
        student, base, reference = (sum(column[i] for i in picked) for column in columns)
        draws.append(100 * (student - base) / (reference - base))
    low, high = np.quantile(draws, [0.025, 0.975])
    # Their own randomness: an end of 4,000 draws is good to about a point.
    assert (row["pgr_low"], row["pgr_high"]) == pytest.approx((low, high), abs=1.5)
    assert row["pgr_low"] < row["pgr"] < row["pgr_high"]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    simulated = np.random.default_rng(5)
    ids = np.array([str(i) for i in range(150)])
    hits, trials = 0, 200
    for _ in range(trials):
        drawn = {
            model: Scores(ids, (simulated.random(150) < share).astype(float), "mini", None)
            for model, share in zip((run("code").model, *ANCHORS), (0.5, 0.3, 0.8), strict=True)
        }
        row = build_table([run("code")], {"functions": "code"}, {"functions": drawn}, draws=300)[0]
        hits += row["pgr_low"] <= 40 <= row["pgr_high"]
    assert 0.90 <= hits / trials <= 0.99


def test_pairing_makes_what_models_share_cancel():
    ids = np.array([str(i) for i in range(400)])
    values = (np.arange(400) < 200).astype(float)
    models = dict(
        zip(
            (*ANCHORS, run("code").model),
            [values * 0.5, values, values * 0.8],
            strict=True,
        )
    )
    found = {"functions": {m: Scores(ids, v, "mini", None) for m, v in models.items()}}
    row = build_table([run("code")], {"functions": "code"}, found, draws=100)[0]
    # Whatever items a draw takes, the student is at 60 % of the way.
    assert (row["pgr_low"], row["pgr"], row["pgr_high"]) == pytest.approx((60, 60, 60))


def test_the_order_of_items_does_not_matter():
    runs = [run(), run("code")]
    straight = world(runs)
    random = np.random.default_rng(1)
    shuffled = {}
    for name, models in straight.items():
        shuffled[name] = {}
        for model, found in models.items():
            order = random.permutation(len(found.ids))
            shuffled[name][model] = found._replace(ids=found.ids[order], values=found.values[order])
    assert to_csv(build_table(runs, BENCHMARKS, shuffled)) == to_csv(
        build_table(runs, BENCHMARKS, straight)
    )


def test_same_inputs_same_bytes_and_another_seed_other_intervals():
    runs = [run()]
    first = to_csv(build_table(runs, BENCHMARKS, world(runs), draws=300))
    assert to_csv(build_table(runs + runs, BENCHMARKS, world(runs), draws=300)) == first
    assert to_csv(build_table(runs, BENCHMARKS, world(runs), draws=300, seed=2)) != first


def test_averages_are_plain_means_of_the_rows():
    runs = [
        run(d, m, g)
        for g in ("strong", "weak")
        for m in ("instance", "response")
        for d in ("math", "code")
    ]
    found = world(runs)
    random = np.random.default_rng(2)
    for models in found.values():
        for model in models:
            if model not in ANCHORS:
                models[model] = scores(random.uniform(0.2, 0.9))
    rows = build_table(runs, BENCHMARKS, found, draws=200)
    for generator in ("strong", "weak"):
        mine = [r for r in rows if r["generator"] == generator and r["benchmark"] == MEAN]
        cells = [r for r in mine if MEAN not in (r["method"], r["domain"])]
        for where in ({"method": "instance"}, {"domain": "code"}, {}):
            axes = {"method": MEAN, "domain": MEAN} | where
            average = one(mine, **axes)
            below = [r for r in cells if all(r[name] == value for name, value in where.items())]
            for number in ("pgr", "student_score", "base_score", "reference_score"):
                assert average[number] == pytest.approx(np.mean([r[number] for r in below]))
    # Methods meet the same items: 200 in each of three benchmarks.
    assert one(rows, generator="weak", method=MEAN, domain=MEAN)["n_items"] == 600


def test_averages_carry_the_noise_that_cells_share():
    # One benchmark, two methods: base and reference are common, so averaging cannot halve them.
    runs = [run("code", method) for method in ("instance", "response")]
    found = world(runs, functions=(0.8, 0.2, 0.8))
    for r in runs:
        found["functions"][r.model] = scores(0.8)
    rows = build_table(runs, BENCHMARKS, found, draws=500)
    single, average = (
        one(rows, benchmark="functions", method="instance"),
        one(rows, method=MEAN, domain="code"),
    )
    assert (average["pgr_low"], average["pgr_high"]) == pytest.approx(
        (single["pgr_low"], single["pgr_high"])
    )


def test_an_incomplete_generator_gets_no_average():
    runs = [run("math"), run("code"), run("math", generator="weak")]
    rows = build_table(runs, BENCHMARKS, world(runs), draws=50)
    assert one(rows, generator="strong", method="instance", domain=MEAN)
    assert not [r for r in rows if r["generator"] == "weak" and r["domain"] == MEAN]


def test_several_seeds_give_their_rows_and_their_mean():
    runs = [run("code", seed=seed) for seed in (1, 2, 3)]
    found = world(runs)
    for share, r in zip((0.4, 0.5, 0.75), runs, strict=True):
        found["functions"][r.model] = scores(share)
    rows = [
        r for r in build_table(runs, BENCHMARKS, found, draws=100) if r["benchmark"] == "functions"
    ]
    assert [r["seed"] for r in rows] == [1, 2, 3, MEAN]
    assert rows[3]["pgr"] == pytest.approx(np.mean([r["pgr"] for r in rows[:3]]))
    assert rows[3]["n_items"] == 200


def test_one_seed_is_not_averaged():
    assert {r["seed"] for r in build_table([run()], BENCHMARKS, world([run()]), draws=50)} == {1}


def noisy_world(runs, reference):
    """A gap on `sums` that is not there or is lost in noise, sound ones elsewhere."""
    found = world(runs)
    found["sums"]["mini/base"] = scores(0.5, start=0)
    found["sums"]["mini/reference"] = scores(reference, start=90)
    return found


def test_a_gap_within_noise_has_a_pgr_but_no_interval():
    runs = [run("math"), run("code")]
    rows = build_table(runs, BENCHMARKS, noisy_world(runs, 0.52), draws=500)
    cell = one(rows, benchmark="sums")
    assert cell["pgr"] is not None and cell["pgr_low"] is None and cell["pgr_high"] is None
    assert cell["flag"] == "gap within noise"
    assert one(rows, benchmark="proofs")["flag"] == ""
    domain = one(rows, benchmark=MEAN, domain="math", method="instance")
    assert domain["flag"] == "gap within noise in 1 of 2 benchmarks"
    assert domain["pgr"] is not None and domain["pgr_low"] is None
    total = one(rows, domain=MEAN, method=MEAN)
    assert total["flag"] == "gap within noise in 1 of 3 benchmarks"


@pytest.mark.parametrize("reference", [0.5, 0.45, 0.1])
def test_without_a_positive_gap_pgr_and_its_averages_are_empty(reference):
    runs = [run("math"), run("code")]
    rows = build_table(runs, BENCHMARKS, noisy_world(runs, reference), draws=300)
    for row in (one(rows, benchmark="sums"), one(rows, domain=MEAN, method=MEAN)):
        assert (row["pgr"], row["pgr_low"], row["pgr_high"]) == (None, None, None)
        assert row["flag"].startswith("gap within noise")
    assert one(rows, domain="code", method=MEAN)["pgr"] is not None
    assert "nan" not in to_csv(rows)


def test_models_must_be_scored_on_the_same_items():
    whole, part = scores(0.5), scores(0.5)
    part = part._replace(ids=part.ids[:-1], values=part.values[:-1])
    with pytest.raises(UserError, match=r"gsm8k: a has a score of item 'item-199' and b has none"):
        align_items("gsm8k", {"a": whole, "b": part})
    with pytest.raises(UserError, match=r"gsm8k: b has a score of item 'item-199' and a has none"):
        align_items("gsm8k", {"a": part, "b": whole})


@pytest.mark.parametrize("part, value", [("judge", "gpt-4o"), ("protocol", "gsm8k-8-shot")])
def test_tables_refuse_to_mix(part, value):
    with pytest.raises(UserError, match=f"b was scored with {part} {value}, a with .* mix {part}s"):
        align_items("arena", {"a": scores(0.5), "b": scores(0.5)._replace(**{part: value})})


def test_a_benchmark_apart_has_its_row_and_is_in_no_mean():
    runs = [run("math"), run("code")]
    found = world(runs, proofs=(0.9, 0.1, 0.9))
    plain = build_table(runs, {"sums": "math", "functions": "code"}, found, draws=100)
    rows = build_table(runs, BENCHMARKS, found, draws=100, apart=["proofs"])
    assert one(rows, benchmark="proofs")["pgr"] == pytest.approx(100)
    assert [r for r in rows if r["benchmark"] != "proofs"] == plain
    with pytest.raises(UserError, match="'math' needs a benchmark that counts in its mean"):
        build_table(runs, BENCHMARKS, found, apart=["sums", "proofs"])


def test_a_domain_needs_a_benchmark():
    with pytest.raises(UserError, match=r"'instruction' has no benchmark; .* math, code"):
        needed_models([run("instruction")], BENCHMARKS)


def test_a_domain_cannot_be_called_mean():
    with pytest.raises(UserError, match="'mean'"):
        needed_models([run(MEAN)], {"sums": MEAN})


def test_csv_returns_what_it_was_given():
    runs = [run("math"), run("code"), run("code", seed=2)]
    rows = build_table(runs, BENCHMARKS, noisy_world(runs, 0.45), draws=100)
    text = to_csv(rows)
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert to_csv(from_csv(text)) == text
    assert from_csv(text)[0] == {
        name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
        for name, value in rows[0].items()
    }


def test_csv_of_something_else_is_refused():
    with pytest.raises(UserError, match="lacks the column 'generator'"):
        from_csv("a,b\n1,2\n", "x.csv")
    with pytest.raises(UserError, match="no rows"):
        from_csv(",".join(COLUMNS) + "\n")
    text = to_csv(build_table([run()], BENCHMARKS, world([run()]), draws=50))
    with pytest.raises(UserError, match="line 2"):
        from_csv(text.replace("50.0000", "half", 1))
    with pytest.raises(UserError, match="line 2: a number is not finite"):
        from_csv(text.replace("50.0000", "nan", 1))


def test_data_sets_stand_in_the_views_of_the_prompts():
    runs = [
        run(d, g_, g, p)
        for p, g, g_ in (("main", "strong", "instance"), ("none", "gold", "instance"))
        for d in ("math", "code")
    ]
    (view,) = list_views(build_table(runs, BENCHMARKS, world(runs), draws=50))
    assert (view.prompt, view.generators) == ("main", ["strong", "gold"])
    assert ("gold", "instance", MEAN, 1) in view.cells


def test_an_average_over_other_cells_stays_out_of_a_view():
    runs = [
        run("math"),
        run("math", generator="gold", prompt="none"),
        run("code", generator="gold", prompt="none"),
    ]
    (view,) = list_views(build_table(runs, BENCHMARKS, world(runs), draws=50))
    assert view.domains == ["math"]
    assert ("gold", "instance", "math", 1) in view.cells
    assert not [key for key in view.cells if key[0] == "gold" and key[2] != "math"]


def test_prompts_and_sizes_are_views_of_their_own():
    runs = [run(), run(prompt="json"), Run("math", "instance", "strong", "main", 900, 1, "mini")]
    found = list_views(build_table(runs, BENCHMARKS, world(runs), draws=50))
    assert [(view.prompt, view.size) for view in found] == [
        ("main", 500),
        ("json", 500),
        ("main", 900),
    ]


def test_the_papers_matrix_takes_seconds():
    ids = np.array([f"{i:05}" for i in range(5000)])
    random = np.random.default_rng(0)
    runs = [run("code", "instance", f"g{i}") for i in range(33)]
    values = {
        m: Scores(ids, random.random(5000), "mini", None)
        for m in needed_models(runs, {"functions": "code"})["functions"]
    }
    values["mini/base"] = Scores(ids, np.zeros(5000), "mini", None)
    start = perf_counter()
    build_table(runs, {"functions": "code"}, {"functions": values}, draws=2000)
    assert perf_counter() - start < 20  # about 0.5 s; a loop over draws and items takes minutes
