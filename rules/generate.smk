"""Generators write pairs; the first N valid ones become training data.

Needs: seed data, meta-prompts, themes; the generator (a model, or a data set in its place); for a
       mixture, the sets of its parts.
Makes: results/raw/{cell}.jsonl (every reply), results/data/{cell}.jsonl (the training set) and
       its ledger; results/data/{cell}.audit.json, how far it repeats itself and the benchmarks.
       What was asked and paid for is in journal/, which no rule ever deletes.
"""


localrules:
    mix,
    curate,


rule generate:
    """Replies of a generator until a set has N valid pairs."""
    input:
        inputs(of_cell(stages.generate)),
    output:
        paths.raw_replies(CELL),
    log:
        f"logs/generate/{CELL}.log",
    wildcard_constraints:
        generator=one_of(name for name in config["generators"] if name not in MIXTURES),
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("generate"),
        api=lambda wildcards: int(is_remote(wildcards.generator)),
    params:
        decides=decides(of_cell(stages.generate)),
        start=lambda wildcards: starter(wildcards.generator),
        cell=CELL,
    shell:
        program("generate", "--cell {params.cell}", start="{params.start}")


rule mix:
    """A set whose pairs are taken from those of other generators."""
    input:
        inputs(of_cell(stages.mix)),
    output:
        paths.raw_replies(CELL),
    log:
        f"logs/mix/{CELL}.log",
    wildcard_constraints:
        generator=one_of(MIXTURES),
    conda:
        "../envs/local.yaml"
    params:
        decides=decides(of_cell(stages.mix)),
        cell=CELL,
    shell:
        program("mix", "--cell {params.cell}")


rule curate:
    """The first N valid pairs of a set as a training set, with its ledger."""
    input:
        inputs(of_cell(stages.curate)),
    output:
        data=paths.training_set(CELL),
        ledger=paths.set_ledger(CELL),
    log:
        f"logs/curate/{CELL}.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=decides(of_cell(stages.curate)),
        cell=CELL,
    shell:
        program("curate", "--cell {params.cell}")


# Apart from curate, whose outputs students are trained on: an edit of a benchmark retrains nothing.
rule audit:
    """How far a training set repeats itself and the benchmarks."""
    input:
        inputs(of_cell(stages.audit)),
        code=code("audit"),
    output:
        paths.set_audit(CELL),
    log:
        f"logs/audit/{CELL}.log",
    conda:
        "../envs/local.yaml"
    resources:
        **ask("audit"),
        small=1,
    params:
        cell=CELL,
    shell:
        program("audit", "--cell {params.cell}")
