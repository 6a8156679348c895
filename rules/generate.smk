"""Generators write instances; the first N valid ones become training data.

Needs: seed data, meta-prompts, themes; the generator (a model, or a data set in its place); for a
       mixture, the sets of its parts.
Makes: results/raw/{cell}.jsonl (every reply), results/data/{cell}.jsonl (the training set) and
       its ledger; results/data/{cell}.audit.json, how far it repeats itself and the benchmarks.
       What was asked and paid for is in journal/, which no rule ever deletes.
"""


rule generate:
    input:
        source=generator_source,
        seeds=lambda wildcards: rules.fetch_seeds.output.rows if asked(wildcards) else [],
        prompt=meta_prompt,
        themes=wordlist("themes"),
        openings=wordlist("openings"),
        benchmarks=lambda wildcards: (
            compared(wildcards) if config["generation"]["overlap"] == "drop" else []
        ),
    output:
        f"results/raw/{CELL}.jsonl",
    log:
        f"logs/generate/{CELL}.log",
    wildcard_constraints:
        generator=one_of(name for name in config["generators"] if name not in MIXTURES),
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=generation_gb, minutes=generation_minutes, gpus=generation_gpus),
        # Not a param: how many are answered together does not decide what is answered.
        batch=lambda wildcards: config["generators"][wildcards.generator].get("batch_size", 1),
        api=lambda wildcards: int(asks_provider(wildcards.generator)),
    params:
        version=1,
        # no size here: a larger set extends a smaller one
        journal="journal/{domain}/{method}/{generator}/{prompt}/seed{seed}.jsonl",
        entry=generator_entry,
        generation=generation,
        replies=reply_form,
        start=lambda wildcards: start(wildcards.generator),
        config=locks.CONFIG,
        files=lambda wildcards, input: [
            *optional("seeds", input.seeds),
            *optional("prompt", input.prompt),
            *optional("themes", input.themes),
            *optional("openings", input.openings),
            *optional("benchmarks", input.benchmarks),
        ],
    shell:
        "python {params.start} scripts/generate.py"
        " --entry {params.entry:q} --generation {params.generation:q}"
        " --config {params.config} --generator {wildcards.generator} --replies {params.replies}"
        " --domain {wildcards.domain} --method {wildcards.method}"
        " --size {wildcards.size} --seed {wildcards.seed}"
        " {params.files:q} --journal {params.journal} --output {output}"
        " --threads {threads} --batch-size {resources.batch} 2>&1 | tee -i {log}"


rule mix:
    input:
        mixed_sets,
    output:
        f"results/raw/{CELL}.jsonl",
    log:
        f"logs/mix/{CELL}.log",
    wildcard_constraints:
        generator=one_of(MIXTURES),
    conda:
        "../envs/local.yaml"
    params:
        version=1,
        shares=lambda wildcards: json.dumps(
            config["generators"][wildcards.generator]["of"], sort_keys=True
        ),
        duplicates=config["generation"]["duplicates"],
    shell:
        "python scripts/mix.py --of {params.shares:q} --raw {input} --size {wildcards.size}"
        " --duplicates {params.duplicates} --output {output} 2>&1 | tee {log}"


rule curate:
    input:
        raw=f"results/raw/{CELL}.jsonl",
        seeds=lambda wildcards: (
            rules.fetch_seeds.output.rows
            if wildcards.method == "instance"
            and asked(wildcards)
            and config["generation"]["train_on_seeds"]
            else []
        ),
    output:
        data=f"results/data/{CELL}.jsonl",
        ledger=f"results/data/{CELL}.ledger.json",
    log:
        f"logs/curate/{CELL}.log",
    conda:
        "../envs/local.yaml"
    params:
        version=2,
    shell:
        "python scripts/curate.py --raw {input.raw} --seeds {input.seeds}"
        " --size {wildcards.size} --output {output.data} --ledger {output.ledger}"
        " 2>&1 | tee {log}"


# Apart from curate, whose outputs students are trained on: an edit of a benchmark retrains nothing.
rule audit:
    input:
        data=f"results/data/{CELL}.jsonl",
        benchmarks=compared,
        code=code("audit"),
    output:
        f"results/data/{CELL}.audit.json",
    log:
        f"logs/audit/{CELL}.log",
    conda:
        "../envs/local.yaml"
    resources:
        **ask(gb=always(4), minutes=always(5)),
        small=1,
    shell:
        "python scripts/audit.py --data {input.data} --benchmarks {input.benchmarks}"
        " --output {output} 2>&1 | tee {log}"
