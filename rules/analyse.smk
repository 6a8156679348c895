"""Tables and figures of the results: PGR, what the sets are like and cost, what predicts PGR.

Needs: the scores of all students, bases and references; generated sets, ledgers and audits; their
       intrinsic metrics and the generators' own scores.
Makes: results/pgr_table.csv, results/tables/pgr.{md,tex,html}, results/tables/seeds.csv,
       results/tables/comparisons.csv, results/tables/ranks.csv,
       results/references/{reference}.csv (the PGR table with a further reference),
       results/figures/pgr.{png,svg,pdf}; results/tables/{cost,paid,data,intrinsic}.csv; for every
       question of agorabench/analysis a table, and a figure where there is something to draw;
       results/tables/analysis.{md,tex,html}, all of it for readers.
"""

from agorabench import analysis

PGR_MODULES = [
    f"agorabench/analysis/{name}.py" for name in ("pgr_table", "pgr_views", "seeds", "comparisons")
]
QUESTIONS = [f"agorabench/analysis/{name}.py" for name in analysis.module_names("tables")]


localrules:
    aggregate_pgr,
    aggregate_reference,
    aggregate_cost,
    aggregate_paid,
    aggregate_data,
    aggregate_intrinsic,
    analyse,
    plot,


rule aggregate_pgr:
    """The PGR table, its views, comparisons and ranks."""
    input:
        **result_stages.aggregate(config, "pgr").inputs,
        code=code("aggregate", *PGR_MODULES),
    output:
        report(paths.PGR_TABLE, caption="../docs/captions/pgr_table.rst", category="PGR"),
        report(paths.table("pgr", "html"), caption="../docs/captions/pgr_table.rst", category="PGR"),
        [paths.table("pgr", ending) for ending in ("md", "tex")],
        [paths.table(name) for name in ("seeds", "comparisons", "ranks")],
    log:
        "logs/aggregate/pgr.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=result_stages.aggregate(config, "pgr").text,
    shell:
        program("aggregate", "--table pgr")


rule aggregate_reference:
    """The PGR table with a further reference as 100 %."""
    input:
        inputs(reference_table),
        code=code("aggregate", *PGR_MODULES),
    output:
        paths.reference_table("{reference}"),
    log:
        "logs/aggregate/reference-{reference}.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=decides(reference_table),
    shell:
        program("aggregate", "--table pgr --reference {wildcards.reference}")


for table, category in {
    "cost": "Cost",
    "paid": "Cost",
    "data": "Data",
    "intrinsic": "Data",
}.items():

    rule:
        """A table of all sets: costs, what was paid, duplicates, metrics."""
        name:
            f"aggregate_{table}"
        input:
            **result_stages.aggregate(config, table).inputs,
            code=code("aggregate", f"agorabench/analysis/{table}.py"),
        output:
            report(paths.table(table), caption=f"../docs/captions/{table}.rst", category=category),
        log:
            f"logs/aggregate/{table}.log",
        conda:
            "../envs/local.yaml"
        params:
            decides=result_stages.aggregate(config, table).text,
            table=table,  # a shell line is made when the loop has ended
        shell:
            program("aggregate", "--table {params.table}")


rule analyse:
    """What goes along with PGR: regressions, components, predictions, prompts, amounts, value."""
    input:
        **result_stages.analyse(config).inputs,
        code=code("analyse", *QUESTIONS),
    output:
        [paths.table(name) for name in analysis.module_names("rows")],
        [paths.table("analysis", ending) for ending in ("md", "tex")],
        [
            paths.figure(name, ending)
            for name in analysis.module_names("figure")
            for ending in ("svg", "pdf")
        ],
        report(
            paths.table("analysis", "html"),
            caption="../docs/captions/analysis.rst",
            category="Analyses",
        ),
        [
            report(
                paths.figure(name, "png"),
                caption=f"../docs/captions/{name}.rst",
                category="Analyses",
            )
            for name in analysis.module_names("figure")
        ],
    log:
        "logs/analyse.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=result_stages.analyse(config).text,
    shell:
        program("analyse")


rule plot:
    """All figures."""
    input:
        table=paths.PGR_TABLE,
        code=code("plot"),
    output:
        report(
            paths.figure("pgr", "png"), caption="../docs/captions/pgr_figure.rst", category="PGR"
        ),
        [paths.figure("pgr", ending) for ending in ("svg", "pdf")],
    log:
        "logs/plot.log",
    conda:
        "../envs/local.yaml"
    params:
        titles=json.dumps(result_stages.list_titles(config, "method")),
    shell:
        program("plot")
