"""Interim: what the rules of tables pass as JSON."""


def entry(registry, name, keys):
    chosen = {key: config[registry][name][key] for key in keys if key in config[registry][name]}
    return json.dumps(chosen, sort_keys=True)


def optional(option, paths):
    return [f"--{option}", *([paths] if isinstance(paths, str) else paths)] if paths else []


def experiments(students=None):
    backends = {
        name: {"backend": chosen["backend"]} for name, chosen in config["generators"].items()
    }
    axes = config["experiments"]
    if students:
        axes = {
            name: chosen | {"students": [s for s in chosen["students"] if s in students]}
            for name, chosen in axes.items()
        }
    return json.dumps({"experiments": axes, "generators": backends})


def about():
    used = {run.generator for run in SETS}
    kept = ("model", "sampling", "of")
    return json.dumps(
        {
            "generators": {name: json.loads(entry("generators", name, kept)) for name in used},
            "prompts": config["prompts"],
            "benchmarks": list(config["benchmarks"]),
            "generation": config["generation"],
            "dataset": config["dataset"],
        },
        sort_keys=True,
    )


def prices():
    free = {"input": 0.0, "output": 0.0}
    entries = config["generators"].items()
    return json.dumps(
        {name: chosen.get("price", free) for name, chosen in entries if name not in MIXTURES}
    )


def classified():
    chosen = matrix.classifications(config)
    return json.dumps(
        {paths.classification_journal(one["prompt"]): one["generator"] for one in chosen}
    )


def metrics():
    entries = config["intrinsic"].items()
    return json.dumps({name: chosen.get("judge") for name, chosen in entries}, sort_keys=True)


def score_files(evaluated=matrix.student_evaluations(config)):
    return [paths.score(model, name) for model, name in evaluated]


def compared_with(reference):
    return matrix.reference_evaluations(config, reference)


evaluations = partial(matrix.student_evaluations, config)
abilities = partial(matrix.ability_evaluations, config)
solvers = partial(matrix.solving_generators, config)


def recipe(name):
    return json.dumps(config["mini"][name], sort_keys=True)
