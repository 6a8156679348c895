"""What a run would do now and what that takes, before anything is spent.

Needs: nothing.
Makes: results/plan.{md,csv}, where it is asked for: `snakemake plan`.
"""

# No output: what is to be done can change without any file that Snakemake looks at.


localrules:
    plan,


rule plan:
    log:
        "logs/plan.log",
    conda:
        "../envs/local.yaml"
    threads: 8
    params:
        snakefile=os.path.relpath(workflow.main_snakefile),
    shell:
        program("plan", "--snakefile {params.snakefile}")
