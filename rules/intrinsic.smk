"""Intrinsic metrics of the generated sets: what their data are like, before anybody learns from them.

Needs: results/data/{cell}.jsonl; the judges, reward, base and embedding models of the config, and
       the judges' rubrics.
Makes: results/assessments/{judge}/{cell}.jsonl (what a judge said of a sample of a set);
       results/intrinsic/{metric}/{cell}.json (a metric that a model of one's own measures, with its
       standard error) and .parquet (the values of each example of the sample);
       results/tables/intrinsic.csv, all metrics in one table, those that judges score too.
"""


rule assess:
    input:
        data=f"results/data/{CELL}.jsonl",
        judge=lambda wildcards: own_weights(wildcards.judge),
        rubrics=rubrics,
    output:
        f"results/assessments/{{judge}}/{CELL}.jsonl",
    log:
        f"logs/assess/{{judge}}/{CELL}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=assessing_gb, minutes=assessing_minutes, gpus=assessing_gpus),
        api=lambda wildcards: int("mode" in config["generators"][wildcards.judge]),
    params:
        version=1,
        metrics=assessed,
        judge=lambda wildcards: json.dumps(
            matrix.decisive(config["generators"][wildcards.judge]), sort_keys=True
        ),
        start=lambda wildcards: start(wildcards.judge),
        config=locks.CONFIG,
        sample_seed=config["seed"],
        journal=lambda wildcards: matrix.assessed(wildcards, wildcards.judge),
    shell:
        "python {params.start} scripts/assess.py --data {input.data} --domain {wildcards.domain}"
        " --metrics {params.metrics:q} --judge {params.judge:q} --generator {wildcards.judge}"
        " --config {params.config} --seed {params.sample_seed} --journal {params.journal}"
        " --output {output} --threads {threads} 2>&1 | tee -i {log}"


rule measure:
    input:
        data=f"results/data/{CELL}.jsonl",
        files=metric_files,
    output:
        metric=f"results/intrinsic/{{metric}}/{CELL}.json",
        examples=f"results/intrinsic/{{metric}}/{CELL}.parquet",
    log:
        f"logs/measure/{{metric}}/{CELL}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=measuring_gb, minutes=measuring_minutes, gpus=measuring_gpus),
    params:
        version=1,
        entry=metric_entry,
        cell=CELL,
        config=locks.CONFIG,
        sample_seed=config["seed"],
    shell:
        "python scripts/warm.py scripts/measure.py --data {input.data} --cell {params.cell}"
        " --metric {wildcards.metric} --entry {params.entry:q} --config {params.config}"
        " --seed {params.sample_seed} --output {output.metric} --examples {output.examples}"
        " --threads {threads} 2>&1 | tee {log}"


rule collect:
    input:
        measured=measured_files(),
        assessments=assessment_files(),
        code=code("collect"),
    output:
        report(
            "results/tables/intrinsic.csv",
            caption="../docs/captions/intrinsic.rst",
            category="Data",
        ),
    log:
        "logs/collect.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        metrics=metrics(),
    shell:
        "python scripts/collect.py --matrix {params.matrix:q} --metrics {params.metrics:q}"
        " --measured results/intrinsic --assessments results/assessments --output {output}"
        " 2>&1 | tee {log}"
