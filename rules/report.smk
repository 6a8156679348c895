"""The table of PGR, its views, its figure, and what the data cost.

Needs: the scores of all students, bases and references; the ledgers of all generated sets.
Makes: results/pgr_table.csv, results/tables/pgr.{md,tex}, results/tables/cost.csv,
       results/figures/pgr.{png,svg,pdf}.
"""

MATRIX = json.dumps(
    {
        "experiments": config["experiments"],
        "generators": {
            name: {"backend": chosen["backend"]}
            for name, chosen in config["generators"].items()
        },
    }
)


def score_files():
    """Scores of every student on its domain's benchmarks, and of its base and reference."""
    models = [(run.model, run.domain) for run in RUNS]
    models += [
        (f"{student}/{anchor}", domain)
        for student, domain in dict.fromkeys((run.student, run.domain) for run in RUNS)
        for anchor in grid.ANCHORS
    ]
    return [
        f"results/scores/{model}/{benchmark}.json"
        for model, domain in models
        for benchmark in grid.benchmarks(config, domain)
    ]


rule tally:
    input:
        scores=score_files(),
        code=code("tally"),
    output:
        table=report(
            "results/pgr_table.csv", caption="../docs/captions/table.rst", category="PGR"
        ),
        markdown="results/tables/pgr.md",
        latex="results/tables/pgr.tex",
    log:
        "logs/tally.log",
    params:
        matrix=MATRIX,
        benchmarks=json.dumps(
            {name: chosen["domain"] for name, chosen in config["benchmarks"].items()}
        ),
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    conda:
        "../envs/local.yaml"
    shell:
        "python scripts/tally.py --matrix {params.matrix:q}"
        " --benchmarks {params.benchmarks:q} --scores results/scores"
        " --bootstrap {params.bootstrap} --seed {params.seed}"
        " --output {output.table} --markdown {output.markdown} --latex {output.latex}"
        " 2>&1 | tee {log}"


rule plot:
    input:
        table="results/pgr_table.csv",
        code=code("plot"),
    output:
        report(
            "results/figures/pgr.png", caption="../docs/captions/figure.rst", category="PGR"
        ),
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
        report(
            "results/tables/cost.csv", caption="../docs/captions/cost.rst", category="Cost"
        ),
    log:
        "logs/cost.log",
    params:
        matrix=MATRIX,
        prices=json.dumps(
            {name: chosen["price"] for name, chosen in config["generators"].items()}
        ),
    conda:
        "../envs/local.yaml"
    shell:
        "python scripts/cost.py --matrix {params.matrix:q} --prices {params.prices:q}"
        " --data results/data --output {output} 2>&1 | tee {log}"
