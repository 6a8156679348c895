"""Completions of the benchmarks by students, bases, references and generators, and their scores.

Needs: trained students, the base and reference of the config, resources/benchmarks/.
Makes: results/predictions/{model}/{benchmark}.jsonl; where a judge decides,
       results/judgements/{model}/{benchmark}.jsonl; results/scores/{model}/{benchmark}.json and the
       verdict on every item as .parquet beside it.
"""

# Rules for each domain: a rule's outputs are fixed, and one load of a model answers all the
# benchmarks of its domain.
for domain in config["domains"]:
    names = matrix.scored_benchmarks(config, domain)
    if not names:
        continue

    rule:
        """Answers of a student to the benchmarks of its domain."""
        name:
            f"predict_{domain}"
        input:
            inputs(completions(STUDENT)),
            model=rules.train.output.weights,
            present=rules.train.output.present,
        output:
            [paths.predictions(STUDENT, name) for name in names],
        log:
            f"logs/predict/{STUDENT}.log",
        wildcard_constraints:
            domain=domain,
        conda:
            "../envs/local.yaml"
        threads: 1
        resources:
            **ask("predict"),
        params:
            decides=decides(completions(STUDENT)),
            model=STUDENT,
        shell:
            program("predict", "--model {params.model}", start=WARM)

    names = matrix.asked_benchmarks(config, domain)
    if not names:
        continue

    # The generators' own ability, for what it says of the data that they make.
    rule:
        """Answers of a generator to the benchmarks of a domain."""
        name:
            f"predict_generator_{domain}"
        input:
            inputs(completions("generators/{generator}", domain)),
        output:
            [paths.predictions("generators/{generator}", name) for name in names],
        log:
            f"logs/predict/generators/{{generator}}/{domain}.log",
        conda:
            "../envs/local.yaml"
        threads: 1
        resources:
            **ask("predict_generator"),
            api=lambda wildcards: int(is_remote(wildcards.generator)),
        params:
            decides=decides(completions("generators/{generator}", domain)),
            domain=domain,
        shell:
            program("predict", "--model generators/{wildcards.generator} --domain {params.domain}")


rule predict_anchor:
    """Answers of a base or a reference to the benchmarks of its students."""
    input:
        inputs(completions("{student}/{anchor}")),
    output:
        [paths.predictions("{student}/{anchor}", name) for name in matrix.scored_benchmarks(config)],
    log:
        "logs/predict/{student}/{anchor}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("predict"),
    params:
        decides=decides(completions("{student}/{anchor}")),
    shell:
        program("predict", "--model {wildcards.student}/{wildcards.anchor}", start=WARM)


rule judge:
    """What a benchmark's judge says of a model's answers."""
    input:
        inputs(of_names(stages.judge, "benchmark", "model")),
    output:
        games=paths.judgements("{model}", "{benchmark}"),
        official=directory(paths.official_judgements("{model}", "{benchmark}")),
    log:
        "logs/judge/{model}/{benchmark}.log",
    wildcard_constraints:
        model=r".+",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("judge"),
        api=lambda wildcards: int(is_remote(config["benchmarks"][wildcards.benchmark]["judge"])),
    params:
        decides=decides(of_names(stages.judge, "benchmark", "model")),
    shell:
        program("judge", "--benchmark {wildcards.benchmark} --model {wildcards.model}")


rule score:
    """Score of a model on a benchmark, with the verdict on every item."""
    input:
        inputs(of_names(stages.score, "benchmark", "model")),
        code=score_code,
    output:
        score=paths.score("{model}", "{benchmark}"),
        verdicts=paths.verdicts("{model}", "{benchmark}"),
    log:
        "logs/score/{model}/{benchmark}.log",
    wildcard_constraints:
        model=r".+",
    conda:
        "../envs/local.yaml"
    threads: score_threads
    resources:
        **ask("score"),
        small=1,
    params:
        decides=decides(of_names(stages.score, "benchmark", "model")),
    shell:
        program("score", "--benchmark {wildcards.benchmark} --model {wildcards.model}")
