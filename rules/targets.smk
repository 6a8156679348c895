"""Aggregates to ask for by name, nouns all; nothing here makes a file.

providers    replies of generators behind APIs
data         training sets, and what they are like
models       students
predictions  answers to the benchmarks
judgements   verdicts of judges behind APIs
scores       of students, bases and references
references   PGR tables with further references
abilities    scores of the generators themselves
intrinsic    metrics of the training sets
"""

REMOTE_JUDGES = list(filter(is_remote, matrix.judge_generators(config)))


rule providers:
    """Replies of generators behind APIs, pairs and answers to the benchmarks: on a machine with a
    network, where nodes have none."""
    input:
        [paths.raw_replies(cell) for cell in SETS if is_remote(cell.generator)],
        [
            paths.predictions(model, name)
            for model, name in matrix.ability_evaluations(
                config, list(filter(is_remote, matrix.solving_generators(config)))
            )
        ],


rule data:
    """All training sets."""
    input:
        [paths.training_set(cell) for cell in CELLS],
        rules.aggregate_data.output,


rule models:
    """All students."""
    input:
        [f"{paths.student_folder(run.model)}/weights.sha256" for run in RUNS],


rule predictions:
    """Answers of all models, generators too, before any judge is asked."""
    input:
        [
            paths.predictions(model, name)
            for model, name in [
                *matrix.all_evaluations(config),
                *matrix.ability_evaluations(config),
            ]
        ],


rule judgements:
    """What judges behind APIs say of them, and of the generated sets: on a machine with a network,
    where nodes have none."""
    input:
        result_stages.judgement_files(config, REMOTE_JUDGES),
        result_stages.assessment_files(config, REMOTE_JUDGES),


rule scores:
    """All scores."""
    input:
        [paths.score(model, name) for model, name in matrix.all_evaluations(config)],


rule references:
    """Tables with further references in the place of the usual one."""
    input:
        expand(rules.aggregate_reference.output, reference=list(REFERENCES)),


rule abilities:
    """Scores of the generators themselves on the benchmarks of all experiments' domains."""
    input:
        [paths.score(model, name) for model, name in matrix.ability_evaluations(config)],


rule intrinsic:
    """Intrinsic metrics of all generated sets."""
    input:
        rules.aggregate_intrinsic.output,


EVERYTHING = [  # what plain `snakemake` makes
    rules.aggregate_pgr.output,
    rules.references.input,
    rules.aggregate_cost.output,
    rules.aggregate_paid.output,
    rules.aggregate_data.output,
    rules.aggregate_intrinsic.output if config["intrinsic"] else [],
    rules.analyse.output,
    rules.plot.output,
    rules.report.output,
]
