"""The miniature's models: everything that a real matrix downloads is built here in minutes.

Needs: `mini:` of the config, a recipe for each model. Nothing else.
Makes: resources/models/tokenizer/, resources/models/base/ (pre-trained on plain text) and
       resources/models/{mini}/ (the base post-trained: the reference and the generators).
"""


rule build_tokenizer:
    """The miniature's tokenizer, trained on its own grammar."""
    output:
        f"{paths.LOCAL_MODELS}/tokenizer/tokenizer.json",
    log:
        "logs/build/tokenizer.log",
    conda:
        "../envs/local.yaml"
    resources:
        **ask("build"),
    params:
        version=1,
        recipe=json.dumps(config["mini"].get("tokenizer"), sort_keys=True),
    shell:
        program("miniature/build", "--name tokenizer", start=WARM)


rule build_base:
    """The miniature's base, pre-trained from random weights."""
    input:
        rules.build_tokenizer.output,
    output:
        f"{paths.LOCAL_MODELS}/base/weights.sha256",
    log:
        "logs/build/base.log",
    conda:
        "../envs/local.yaml"
    threads: 2  # everything waits for it; its weights are those of one
    resources:
        **ask("build"),
    params:
        version=1,
        recipe=json.dumps(config["mini"].get("base"), sort_keys=True),
    shell:
        program("miniature/build", "--name base", start=WARM)


rule build_model:
    """A further model of the miniature, post-trained from the base."""
    input:
        lambda wildcards: stages.weight_files(
            config, f"{paths.LOCAL_MODELS}/{config['mini'][wildcards.mini].get('start', 'base')}"
        ),
    output:
        f"{paths.LOCAL_MODELS}/{{mini}}/weights.sha256",
    log:
        "logs/build/{mini}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("build"),
    params:
        version=1,
        recipe=lambda wildcards: json.dumps(config["mini"][wildcards.mini], sort_keys=True),
    shell:
        program("miniature/build", "--name {wildcards.mini}", start=WARM)
