"""The miniature's models: everything that a real matrix downloads is built here in minutes.

Needs: `mini:` of the config, a recipe for each model. Nothing else.
Makes: resources/models/tokenizer/, resources/models/base/ (pre-trained on plain text) and
       resources/models/{mini}/ (the base post-trained: the reference and the generators).
"""


rule mini_tokenizer:
    output:
        "resources/models/tokenizer/tokenizer.json",
    log:
        "logs/mini/tokenizer.log",
    conda:
        "../envs/local.yaml"
    resources:
        **ask_amounts(gb=always(4), minutes=always(30)),
    params:
        version=1,
        recipe=lambda wildcards: recipe("tokenizer"),
        folder=subpath(output[0], parent=True),
    shell:
        "python scripts/warm.py scripts/mini.py tokenizer --recipe {params.recipe:q}"
        " --output {params.folder} 2>&1 | tee {log}"


rule mini_base:
    input:
        tokenizer="resources/models/tokenizer/tokenizer.json",
    output:
        "resources/models/base/weights.sha256",
    log:
        "logs/mini/base.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask_amounts(gb=always(4), minutes=always(30)),
    params:
        version=1,
        recipe=lambda wildcards: recipe("base"),
        folder=subpath(output[0], parent=True),
        tokenizer=subpath(input.tokenizer, parent=True),
    shell:
        "python scripts/warm.py scripts/mini.py base --recipe {params.recipe:q}"
        " --tokenizer {params.tokenizer} --output {params.folder} --threads {threads} 2>&1 | tee {log}"


rule mini_posttrain:
    input:
        base=lambda wildcards: (
            f"resources/models/{config['mini'][wildcards.mini].get('start', 'base')}/weights.sha256"
        ),
    output:
        "resources/models/{mini}/weights.sha256",
    log:
        "logs/mini/{mini}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask_amounts(gb=always(4), minutes=always(30)),
    params:
        version=1,
        recipe=lambda wildcards: recipe(wildcards.mini),
        folder=subpath(output[0], parent=True),
        base=subpath(input.base, parent=True),
    shell:
        "python scripts/warm.py scripts/mini.py posttrain --name {wildcards.mini}"
        " --recipe {params.recipe:q} --base {params.base} --output {params.folder}"
        " --threads {threads} 2>&1 | tee {log}"
