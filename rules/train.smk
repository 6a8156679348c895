"""Students: the base, fine-tuned on each generated set with one recipe.

Needs: results/data/{cell}.jsonl and the student's base model.
Makes: results/models/{student}/{cell}/, a Hugging Face folder. Its weights.sha256 is the declared
       output: it changes when the weights do. `present` says that they are there. With keep_models:
       scored, predict removes them and Snakemake the file, which it makes anew, weights and all,
       when somebody needs them again. Checkpoints are kept apart from what Snakemake deletes.
"""

STUDENT = paths.student_model("{student}", CELL)


rule train:
    """A student: the base, trained on a set."""
    input:
        inputs(of_cell(stages.train, "student")),
    output:
        weights=f"{paths.student_folder(STUDENT)}/weights.sha256",
        present=kept(f"{paths.student_folder(STUDENT)}/present"),
    log:
        f"logs/train/{STUDENT}.log",
    conda:
        "../envs/local.yaml"
    threads: 1
    resources:
        **ask("train", warning=300),
    params:
        decides=decides(of_cell(stages.train, "student")),
        cell=CELL,
    shell:
        program("train", "--student {wildcards.student} --cell {params.cell}", start=WARM)
