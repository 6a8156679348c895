"""What decides the stages after scoring: tables, figures, report, dataset. Those before are in
stages.py.
"""

from agorabench import matrix, paths
from agorabench.config.stages import Stage, select, select_entries
from agorabench.evaluation.benchmarks import JUDGED
from agorabench.intrinsic import misnamed_metrics
from agorabench.llm.families import describe_related
from agorabench.models.weights import DIGEST_FILE

# ---- Tables and figures


def aggregate(config, table, reference=None):
    """A table of scripts/aggregate.py; `reference`: a further one, for the PGR table."""
    return {
        "pgr": _aggregate_pgr,
        "data": _aggregate_data,
        "cost": _aggregate_cost,
        "paid": _aggregate_paid,
        "intrinsic": _aggregate_intrinsic,
    }[table](config, *([reference] if table == "pgr" else []))


def _aggregate_pgr(config, reference=None):
    names = matrix.scored_benchmarks(config)
    students = matrix.student_references(config)[reference] if reference else None
    params = {"matrix": _matrix(config, students)} | _benchmark_domains(config, names)
    params |= {"bootstrap": config["bootstrap"], "seed": config["seed"]}
    params |= {"reference": reference} if reference else {}
    params |= {"titles": list_titles(config, "method")}
    params |= {"domain_titles": list_titles(config, "domain")}
    params |= _other_references(config, reference, students)
    related = describe_related(config)
    params |= {"related": related} if related else {}
    evaluated = matrix.student_evaluations(config, reference)
    return Stage({"scores": _score_files(evaluated)}, params)


def _other_references(config, reference, students):
    """Student (of `students`, or any) -> domain -> the model that is its reference, where that is
    trained here or none."""
    found = {}
    runs = matrix.expand_runs(config)
    for run in [run for run in runs if students is None or run.student in students]:
        entry = matrix.reference_entry(config, run.student, reference)
        if not entry or "trained_on" in entry:
            models = matrix.anchor_models(config, run.student, run.domain, reference)
            found.setdefault(run.student, {})[run.domain] = models.get(matrix.ANCHORS[1])
    return {"references": found} if found else {}


def _aggregate_data(config):
    inputs = {"ledgers": [paths.set_ledger(cell) for cell in matrix.list_cells(config)]}
    inputs["audits"] = [paths.set_audit(cell) for cell in matrix.list_cells(config)]
    return Stage(inputs, {"matrix": _matrix(config)})


def _aggregate_cost(config):
    cells = matrix.list_cells(config)
    # The sets of mixtures' parts are paid for too.
    parts = [part for cell in cells for _, part in matrix.mixture_parts(config, cell)]
    ledgers = list(map(paths.set_ledger, dict.fromkeys([*cells, *parts])))
    mixtures = {
        name: sorted(config["generators"][name]["of"]) for name in matrix.mixture_generators(config)
    }
    params = {"matrix": _matrix(config), "mixtures": mixtures, "prices": generator_prices(config)}
    return Stage({"ledgers": ledgers}, params)


def _aggregate_paid(config):
    judges = matrix.judge_generators(config)
    solved = matrix.ability_evaluations(config)
    inputs = {
        "ledgers": [paths.set_ledger(cell) for cell in matrix.list_cells(config)],
        # It waits for all that is paid: verdicts and generators' own answers too.
        "judgements": judgement_files(config, judges),
        "assessments": assessment_files(config, judges),
        "abilities": _score_files(solved),
    }
    classified = {
        paths.classification_journal(entry["prompt"]): entry["generator"]
        for entry in matrix.classifications(config)
    }
    params = {"matrix": _matrix(config), "prices": generator_prices(config)}
    return Stage(inputs, params | {"classified": classified, "judges": judges})


def _aggregate_intrinsic(config):
    inputs = {
        "measured": [
            paths.metric(name, cell)
            for name in matrix.model_metrics(config)
            for cell in matrix.list_cells(config)
        ],
        "assessments": assessment_files(config, matrix.judge_generators(config)),
    }
    made = matrix.made_metrics(config)
    entries = config["intrinsic"].items()
    metrics = {name: entry.get("judge") for name, entry in entries if name not in made}
    params = {"matrix": _matrix(config), "metrics": metrics}
    if made:
        sources = dict.fromkeys(source for names in made.values() for source in names)
        inputs["examples"] = [
            paths.metric_examples(source, cell)
            for source in sources
            if not metrics[source]
            for cell in matrix.list_cells(config)
        ]
        params["made"] = {name: config["intrinsic"][name] for name in made}
    return Stage(inputs, params)


def analyse(config):
    """The tables and figures of the analyses."""
    solved = matrix.ability_evaluations(config)
    inputs = {
        "table": [paths.PGR_TABLE],
        "comparisons": [paths.table("comparisons"), paths.table("ranks")],
        "cost": [paths.table("cost")],
        "intrinsic": [paths.table("intrinsic")] if config["intrinsic"] else [],
        "scores": _score_files(solved),
    }
    params = {"generators": matrix.solving_generators(config), "prices": generator_prices(config)}
    params |= _benchmark_domains(config, matrix.ability_benchmarks(config))
    params |= {
        "mixtures": matrix.mixture_generators(config),
        "titles": list_titles(config, "method"),
    }
    misnamed = misnamed_metrics(config["intrinsic"])
    params |= {"misnamed": misnamed} if misnamed else {}
    return Stage(inputs, params | {"bootstrap": config["bootstrap"], "seed": config["seed"]})


def list_titles(config, axis):
    """Domains or methods (`axis`: domain, method) of the experiments -> their names in full."""
    names = dict.fromkeys(getattr(run, axis) for run in matrix.expand_runs(config))
    return {name: config[f"{axis}s"][name]["title"] for name in names}


def judgement_files(config, judges):
    """All judgements of these judges, of generators' own completions too."""
    evaluated = [*matrix.all_evaluations(config), *matrix.ability_evaluations(config)]
    return [
        paths.judgements(model, name)
        for model, name in evaluated
        if config["benchmarks"][name]["protocol"] in JUDGED
        and config["benchmarks"][name]["judge"] in judges
    ]


def assessment_files(config, judges):
    """All assessments of generated sets by these judges."""
    return [
        paths.assessments(judge, cell)
        for judge in judges
        if matrix.judged_metrics(config, judge)
        for cell in matrix.list_cells(config)
    ]


def _score_files(evaluated):
    return [paths.score(model, name) for model, name in evaluated]


def _matrix(config, students=None):
    """What matrix.py needs of a config, for some of the students or for all (None)."""
    experiments = {
        name: axes
        | {"students": [s for s in axes["students"] if students is None or s in students]}
        for name, axes in config["experiments"].items()
    }
    generators = {name: select(entry, ["backend"]) for name, entry in config["generators"].items()}
    # Their order is that of the rows, and text of parameters is sorted.
    found = {"experiments": experiments, "generators": generators, "order": list(experiments)}
    return found | ({"missing": config["missing"]} if config.get("missing") else {})


def _benchmark_domains(config, names):
    """Benchmark -> domain, and names of those that no mean is over."""
    entries = {name: config["benchmarks"][name] for name in names}
    domains = {name: entry["domain"] for name, entry in entries.items()}
    apart = [name for name, entry in entries.items() if not entry["in_mean"]]
    return {"benchmarks": domains, "apart": apart, "benchmark_order": list(domains)}


# ---- Report and dataset


def report(config):
    """The page of all that was found, but for its exhibits."""
    runs = matrix.expand_runs(config)
    cells = matrix.list_cells(config)
    evaluated = matrix.student_evaluations(config)
    inputs = {
        "table": [paths.PGR_TABLE],
        "raw": list(map(paths.raw_replies, cells)),
        "ledgers": list(map(paths.set_ledger, cells)),
        "students": [f"{paths.student_folder(run.model)}/{DIGEST_FILE}" for run in runs],
        "predictions": [paths.predictions(*pair) for pair in evaluated],
        "scores": [paths.score(*pair) for pair in evaluated],
        "verdicts": [paths.verdicts(*pair) for pair in evaluated],
    }
    names = matrix.scored_benchmarks(config)
    inputs["tests"] = list(map(paths.benchmark_items, names))
    judged = [name for name in names if config["benchmarks"][name]["judge"]]
    inputs["judgements"] = [paths.judgements(*pair) for pair in evaluated if pair[1] in judged]
    params = {"experiments": config["experiments"], "prices": generator_prices(config)}
    params["order"] = [list(config["experiments"]), names]
    params |= {"missing": config["missing"]} if config.get("missing") else {}
    related = describe_related(config, matrix.judged_metrics(config))
    params |= {"related": related} if related else {}
    return Stage(inputs, params | {"benchmarks": select_entries(config, names, ("domain",))})


def generator_prices(config):
    """Generator -> USD per million tokens, 0 where none is given; mixtures have no price."""
    free = {"input": 0.0, "output": 0.0}
    mixtures = matrix.mixture_generators(config)
    entries = config["generators"].items()
    return {name: entry.get("price", free) for name, entry in entries if name not in mixtures}


def export(config):
    """The folder of all generated sets, with its card."""
    cells = matrix.list_cells(config)
    prompted = [cell for cell in cells if cell.prompt != matrix.NO_PROMPT]
    seed_sets = dict.fromkeys(paths.seed_rows(cell.domain, cell.method) for cell in prompted)
    inputs = {
        "data": list(map(paths.training_set, cells)),
        "ledgers": list(map(paths.set_ledger, cells)),
        "tables": [paths.table("data"), paths.table("cost")],
        "manifests": list(map(paths.manifest, seed_sets)),
    }
    shares = [share for cell in cells for share in matrix.mixture_parts(config, cell)]
    used = {cell.generator for cell in [*cells, *(part for _, part in shares)]}
    generators = {name: config["generators"][name] for name in sorted(used)}
    general = config["generation"]
    params = {
        "dataset": config["dataset"],
        "generators": {
            name: select(entry, ("model", "sampling", "of")) for name, entry in generators.items()
        },
        "prompts": {
            name: config["prompts"][name]["folder"] for name in {c.prompt for c in prompted}
        },
        "validators": general["validators"],
        "filters": select(general, ("duplicates", "overlap")),
        "benchmarks": list(config["benchmarks"]),
    }
    return Stage(inputs, params)


def paper(config):
    """What the paper prints, recomputed."""
    return Stage({}, select(config, ("bootstrap", "seed")))
