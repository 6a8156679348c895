"""The table of PGR, its views, its figure, and what the data cost.

Needs: the scores of all students, bases and references; the ledgers of all generated sets.
Makes: results/pgr_table.csv, results/tables/pgr.{md,tex,html}, results/tables/cost.csv,
       results/figures/pgr.{png,svg,pdf}; before all that, if asked, results/plan.{md,csv}.
"""


rule tally:
    input:
        scores=score_files(),
        code=code("tally"),
    output:
        table=report("results/pgr_table.csv", caption="../docs/captions/table.rst", category="PGR"),
        markdown="results/tables/pgr.md",
        latex="results/tables/pgr.tex",
        html=report("results/tables/pgr.html", caption="../docs/captions/table.rst", category="PGR"),
    log:
        "logs/tally.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=matrix(),
        benchmarks=json.dumps(
            {name: config["benchmarks"][name]["domain"] for name in grid.benchmarks(config)}
        ),
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    shell:
        "python scripts/tally.py --matrix {params.matrix:q}"
        " --benchmarks {params.benchmarks:q} --scores results/scores"
        " --bootstrap {params.bootstrap} --seed {params.seed}"
        " --output {output.table} --markdown {output.markdown} --latex {output.latex}"
        " --html {output.html}"
        " 2>&1 | tee {log}"


rule plot:
    input:
        table="results/pgr_table.csv",
        code=code("plot"),
    output:
        report("results/figures/pgr.png", caption="../docs/captions/figure.rst", category="PGR"),
        "results/figures/pgr.svg",
        "results/figures/pgr.pdf",
    log:
        "logs/plot.log",
    conda:
        "../envs/local.yaml"
    shell:
        "python scripts/plot.py --table {input.table} --output {output} 2>&1 | tee {log}"


rule cost:
    input:
        ledgers=[f"results/data/{run.cell}.ledger.json" for run in RUNS],
        code=code("cost"),
    output:
        report("results/tables/cost.csv", caption="../docs/captions/cost.rst", category="Cost"),
    log:
        "logs/cost.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=matrix(),
        prices=prices(),
    shell:
        "python scripts/cost.py --matrix {params.matrix:q} --prices {params.prices:q}"
        " --data results/data --output {output} 2>&1 | tee {log}"


# No output: what is to be done can change without any file that Snakemake looks at.
rule plan:
    log:
        "logs/plan.log",
    localrule: True
    conda:
        "../envs/local.yaml"
    params:
        config=session.CONFIG,
        snakefile=os.path.relpath(workflow.main_snakefile),
    shell:
        "python scripts/plan.py --config {params.config} --snakefile {params.snakefile}"
        " --output results/plan.md --table results/plan.csv --threads {threads} 2>&1 | tee {log}"
