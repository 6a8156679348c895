"""What a run would do now and what that takes, before anything is spent, and what it would ask.

Needs: nothing; for a preview, seed data and benchmark items.
Makes: results/plan.{md,csv}, where it is asked for: `snakemake plan`; results/preview.html:
       `snakemake preview`.
"""

# No output: what is to be done can change without any file that Snakemake looks at.


localrules:
    plan,
    preview,


rule plan:
    """What would run and why, and what it would cost; asks nobody."""
    log:
        "logs/plan.log",
    conda:
        "../envs/local.yaml"
    threads: 8
    params:
        snakefile=os.path.relpath(workflow.main_snakefile),
    shell:
        program("plan", "--snakefile {params.snakefile}")


rule preview:
    """The first prompts of each cell; with --config preview=N as many replies, and their verdicts."""
    input:
        lambda _: [
            file
            for cell in SETS
            if cell.generator in matrix.model_generators(config)
            for files in stages.generate(config, cell).inputs.values()
            for file in files
        ],
    log:
        "logs/preview.log",
    conda:
        "../envs/local.yaml"
    shell:
        program("preview")
