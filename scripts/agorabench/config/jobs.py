"""What the jobs of a run need before the first one starts: generators to query, models to load.

A job is (rule name, wildcards).
"""

from agorabench import matrix
from agorabench.config.stages import anchor_entry


def queried_generators(config, jobs):
    """Names of the generators that jobs query, for pairs, answers, verdicts or classes."""
    names = set()
    for rule, wildcards in jobs:
        if rule == "generate" or rule.startswith("predict_generator"):
            names.add(wildcards["generator"])
        elif rule == "judge":
            names.add(config["benchmarks"][wildcards["benchmark"]]["judge"])
        elif rule == "judge_set":
            names.add(wildcards["judge"])
        elif rule == "fetch_seeds":
            source = config["seeds"][wildcards["domain"]][wildcards["method"]]
            if chosen := matrix.classification(source):
                names.add(chosen["generator"])
    return sorted(names)


def loaded_models(config, jobs):
    """What jobs load models for -> the entry of the config that names the model."""
    entries = {name: config["generators"][name] for name in queried_generators(config, jobs)}
    models = {
        f"generator {name}": entry
        for name, entry in entries.items()
        if entry["backend"] in matrix.LOCAL
    }
    for rule, wildcards in jobs:
        if rule == "measure":
            models[f"metric {wildcards['metric']}"] = config["intrinsic"][wildcards["metric"]]
        elif rule == "train":
            student = wildcards["student"]
            models[f"base of {student}"] = config["students"][student]["base"]
        elif rule == "predict_anchor":
            student, anchor = wildcards["student"], wildcards["anchor"]
            models[f"{anchor} of {student}"] = anchor_entry(config, student, anchor)
    return models
