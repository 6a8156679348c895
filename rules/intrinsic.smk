"""Intrinsic metrics of the generated sets: what their data are like, before anybody learns from them.

Needs: results/data/{cell}.jsonl; the judges, reward, base and embedding models of the config, and
       the judges' rubrics.
Makes: results/assessments/{judge}/{cell}.jsonl (what a judge said of a sample of a set);
       results/intrinsic/{metric}/{cell}.json (a metric that a model of one's own measures, with its
       standard error) and .parquet (the values of each example of the sample).
"""


rule judge_set:
    """What a judge says of a sample of a set."""
    input:
        inputs(of_cell(stages.judge_set, "judge")),
    output:
        paths.assessments("{judge}", CELL),
    log:
        f"logs/judge/{{judge}}/{CELL}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("judge_set"),
        api=lambda wildcards: int(is_remote(wildcards.judge)),
    params:
        decides=decides(of_cell(stages.judge_set, "judge")),
        start=lambda wildcards: starter(wildcards.judge),
        cell=CELL,
    shell:
        program("judge", "--judge {wildcards.judge} --cell {params.cell}", start="{params.start}")


rule measure:
    """An intrinsic metric of a set that a model measures."""
    input:
        inputs(of_cell(stages.measure, "metric")),
    output:
        metric=paths.metric("{metric}", CELL),
        examples=paths.metric_examples("{metric}", CELL),
    log:
        f"logs/measure/{{metric}}/{CELL}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("measure"),
    params:
        decides=decides(of_cell(stages.measure, "metric")),
        cell=CELL,
    shell:
        program("measure", "--metric {wildcards.metric} --cell {params.cell}", start=WARM)
