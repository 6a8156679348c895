"""Aggregates to ask for by name; nothing here makes a file."""


rule providers:
    """Replies of generators behind APIs, pairs and answers to the benchmarks: on a machine with a
    network, where nodes have none."""
    input:
        [f"results/raw/{run.cell}.jsonl" for run in SETS if asks_provider(run.generator)],
        [
            f"results/predictions/{model}/{name}.jsonl"
            for model, name in abilities(filter(asks_provider, solvers()))
        ],


rule data:
    input:
        [f"results/data/{run.cell}.jsonl" for run in RUNS],
        rules.describe.output,


rule dataset:
    input:
        rules.pack.output,


rule models:
    input:
        [f"results/models/{run.model}/weights.sha256" for run in RUNS],


rule predictions:
    """Answers of all models, generators too, before any judge is asked."""
    input:
        [
            f"results/predictions/{model}/{name}.jsonl"
            for model, name in [*all_evaluations(), *abilities()]
        ],


rule judgements:
    """What judges behind APIs say of them, and of the generated sets: on a machine with a network,
    where nodes have none."""
    input:
        judgement_files(list(filter(asks_provider, matrix.judges(config)))),
        assessment_files(list(filter(asks_provider, matrix.judges(config)))),


rule scores:
    input:
        score_files(all_evaluations()),


rule references:
    """Tables with further references in the place of the usual one."""
    input:
        expand(rules.tally_reference.output.table, reference=list(REFERENCES)),


rule abilities:
    """Scores of the generators themselves on the benchmarks of all experiments' domains."""
    input:
        score_files(abilities()),


rule intrinsic:
    """Intrinsic metrics of all generated sets."""
    input:
        rules.collect.output,
