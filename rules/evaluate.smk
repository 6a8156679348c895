"""Completions of the benchmarks by students, bases and references, and their scores.

Needs: trained students, the base and reference of the config, resources/benchmarks/.
Makes: results/predictions/{model}/{benchmark}.jsonl; where a judge decides,
       results/judgements/{model}/{benchmark}.jsonl; results/scores/{model}/{benchmark}.json and the
       verdict on every item as .parquet beside it.
"""

# One rule for each domain: a rule's outputs are fixed, and one load of a student answers all the
# benchmarks of its domain.
for domain in matrix.DOMAINS:
    names = matrix.benchmarks(config, domain)
    if not names:
        continue

    rule:
        name:
            f"predict_{domain}"
        input:
            model=rules.train.output.weights,
            present=rules.train.output.present,
            questions=questions(names),
        output:
            [f"results/predictions/{{student}}/{CELL}/{name}.jsonl" for name in names],
        log:
            f"logs/predict/{{student}}/{CELL}.log",
        wildcard_constraints:
            domain=domain,
        conda:
            "../envs/local.yaml"
        threads: 1
        resources:
            **ask(gb=prediction_gb, minutes=prediction_minutes, gpus=prediction_gpus),
        params:
            version=2,
            benchmarks=answering(names),
            system=lambda wildcards: config["students"][wildcards.student]["system"] or "",
            folder=f"{{student}}/{CELL}",
            config=locks.CONFIG,
        shell:
            "python scripts/warm.py scripts/predict.py --model results/models/{params.folder}"
            " --name {params.folder}"
            " --config {params.config} --student {wildcards.student} --remove"
            " --benchmarks {params.benchmarks:q} --system={params.system:q}"
            " --items resources/benchmarks --seed {wildcards.seed}"
            " --output results/predictions/{params.folder}"
            " --threads {threads} 2>&1 | tee {log}"


rule predict_anchor:
    input:
        model=lambda wildcards: model_file(anchor(wildcards)["model"]),
        questions=questions(matrix.benchmarks(config)),
        shots=shots,
    output:
        expand(
            "results/predictions/{{student}}/{{anchor}}/{benchmark}.jsonl",
            benchmark=matrix.benchmarks(config),
        ),
    log:
        "logs/predict/{student}/{anchor}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=prediction_gb, minutes=prediction_minutes, gpus=prediction_gpus),
    params:
        version=2,
        model=lambda wildcards: anchor(wildcards)["model"],
        plain=lambda wildcards: "" if anchor(wildcards)["chat"] else "--plain",
        benchmarks=lambda wildcards: answering(
            matrix.benchmarks(config), few_shot=not anchor(wildcards)["chat"]
        ),
        system=lambda wildcards: config["students"][wildcards.student]["system"] or "",
        seed=config["seed"],
        config=locks.CONFIG,
    shell:
        "python scripts/warm.py scripts/predict.py --model {params.model:q} {params.plain}"
        " --config {params.config} --student {wildcards.student}"
        " --name {wildcards.student}/{wildcards.anchor}"
        " --benchmarks {params.benchmarks:q} --system={params.system:q}"
        " --items resources/benchmarks --seed {params.seed}"
        " --output results/predictions/{wildcards.student}/{wildcards.anchor}"
        " --threads {threads} 2>&1 | tee {log}"


# The generators' own ability, for what it says of the data that they make.
for domain in matrix.DOMAINS:
    names = matrix.benchmarks(config, domain)
    if not names:
        continue

    rule:
        name:
            f"solve_{domain}"
        input:
            model=lambda wildcards: generator_source(wildcards),
            questions=questions(names),
        output:
            [f"results/predictions/generators/{{generator}}/{name}.jsonl" for name in names],
        log:
            f"logs/solve/{{generator}}/{domain}.log",
        conda:
            "../envs/local.yaml"
        threads: 1
        resources:
            **ask(gb=generation_gb, minutes=always(240), gpus=generation_gpus),
            api=lambda wildcards: int(asks_provider(wildcards.generator)),
        params:
            version=1,
            entry=lambda wildcards: json.dumps(
                matrix.decisive(config["generators"][wildcards.generator]), sort_keys=True
            ),
            benchmarks=answering(names),
            config=locks.CONFIG,
            seed=config["seed"],
            journal=lambda wildcards, domain=domain: matrix.abilities(
                wildcards.generator, domain, config["seed"]
            ),
        shell:
            "python scripts/ability.py --generator {wildcards.generator} --entry {params.entry:q}"
            " --config {params.config} --benchmarks {params.benchmarks:q}"
            " --items resources/benchmarks --seed {params.seed} --journal {params.journal}"
            " --output results/predictions/generators/{wildcards.generator} --threads {threads}"
            " 2>&1 | tee -i {log}"


rule judge:
    input:
        questions="resources/benchmarks/{benchmark}.jsonl",
        predictions="results/predictions/{model}/{benchmark}.jsonl",
        files=protocol_files,
    output:
        games="results/judgements/{model}/{benchmark}.jsonl",
        official=directory("results/judgements/{model}/{benchmark}"),
    log:
        "logs/judge/{model}/{benchmark}.log",
    wildcard_constraints:
        model=r".+",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=judging_gb, minutes=judging_minutes, gpus=judging_gpus),
        api=lambda wildcards: int("mode" in config["generators"][judge_of(wildcards)]),
    params:
        version=2,
        entry=lambda wildcards: entry(
            "benchmarks", wildcards.benchmark, ("protocol", "limit", "labels", "style")
        ),
        judge=lambda wildcards: json.dumps(
            matrix.decisive(config["generators"][judge_of(wildcards)]), sort_keys=True
        ),
        name=judge_of,
        config=locks.CONFIG,
        seed=config["seed"],
        journal=lambda wildcards: matrix.judgements(
            wildcards.benchmark, judge_of(wildcards), wildcards.model, config["seed"]
        ),
    shell:
        "python scripts/judge.py --name {wildcards.benchmark} --entry {params.entry:q}"
        " --items {input.questions} --files resources/benchmarks/{wildcards.benchmark}"
        " --predictions {input.predictions} --model {wildcards.model} --seed {params.seed}"
        " --judge {params.judge:q} --generator {params.name} --config {params.config}"
        " --journal {params.journal} --output {output.games} --official {output.official}"
        " --threads {threads} 2>&1 | tee -i {log}"


rule score:
    input:
        questions="resources/benchmarks/{benchmark}.jsonl",
        predictions="results/predictions/{model}/{benchmark}.jsonl",
        judgements=lambda wildcards: rules.judge.output.games if judged(wildcards) else [],
        files=lambda wildcards: protocol_files(wildcards) if judged(wildcards) else [],
        code=scoring_code,
    output:
        score="results/scores/{model}/{benchmark}.json",
        verdicts="results/scores/{model}/{benchmark}.parquet",
    log:
        "logs/score/{model}/{benchmark}.log",
    wildcard_constraints:
        model=r".+",
    conda:
        "../envs/local.yaml"
    threads: scoring_threads
    resources:
        **ask(gb=scoring_gb, minutes=always(10)),
        small=1,
    params:
        entry=lambda wildcards: entry(
            "benchmarks", wildcards.benchmark, ("protocol", "limit", "style", "score")
        ),
        judgements=judgement_arguments,
        sandbox=config["sandbox"],
    shell:
        "python scripts/score.py --name {wildcards.benchmark} --entry {params.entry:q}"
        " --items {input.questions} --model {wildcards.model} --predictions {input.predictions}"
        " {params.judgements:q} --sandbox {params.sandbox} --threads {threads}"
        " --output {output.score} --verdicts {output.verdicts} 2>&1 | tee {log}"
