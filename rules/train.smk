"""Students: the base, fine-tuned on each generated set with one recipe.

Needs: results/data/{cell}.jsonl and the student's base model.
Makes: results/models/{student}/{cell}/, a Hugging Face folder. Its weights.sha256 is the declared
       output: it changes when the weights do. `present` says that they are there. With keep_models:
       scored, predict removes them and Snakemake the file, which it makes anew, weights and all,
       when somebody needs them again. Checkpoints are kept apart from what Snakemake deletes.
"""


rule train:
    input:
        data=f"results/data/{CELL}.jsonl",
        base=lambda wildcards: model_file(config["students"][wildcards.student]["base"]["model"]),
        template=lambda wildcards: config["students"][wildcards.student]["template"] or [],
    output:
        weights=f"results/models/{{student}}/{CELL}/weights.sha256",
        present=kept(f"results/models/{{student}}/{CELL}/present"),
    log:
        f"logs/train/{{student}}/{CELL}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask(gb=training_gb, minutes=training_minutes, gpus=training_gpus, warning=300),
    params:
        version=1,
        base=lambda wildcards: config["students"][wildcards.student]["base"]["model"],
        recipe=lambda wildcards: json.dumps(
            config["students"][wildcards.student]["recipe"], sort_keys=True
        ),
        system=lambda wildcards: config["students"][wildcards.student]["system"] or "",
        template=lambda wildcards, input: optional("template", input.template),
        config=locks.CONFIG,
        folder=f"results/models/{{student}}/{CELL}",
    shell:
        "python scripts/warm.py scripts/train.py --model {params.base:q}"
        " --data {input.data} --recipe {params.recipe:q} --system={params.system:q}"
        " {params.template:q} --seed {wildcards.seed} --output {params.folder}"
        " --config {params.config} --student {wildcards.student}"
        " --threads {threads} --version {params.version} 2>&1 | tee -i {log}"
        " && touch {output.present}"
