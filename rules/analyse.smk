"""What PGR goes along with, and what to choose; and the paper's own numbers, recomputed.

Needs: the PGR table, costs, the generators' own scores, and intrinsic metrics where the config
       has any; config/paper/, the tables that the paper prints.
Makes: results/tables/{abilities,correlations,components,regressions,prediction,prompts,amount,
       value}.csv, results/tables/analysis.{md,tex,html},
       results/figures/{ability,components,correlations,prediction,amount,value}.{png,svg,pdf};
       results/paper/comparison.html
"""

ANALYSES = ("correlations", "components", "regressions", "prediction", "prompts", "amount", "value")
TABLES = (
    *("table2_pgr", "table3_cost", "table4_loadings", "table5_prompts"),
    *("table7_problem_solving", "table8_intrinsic"),
)
PRINTED = os.path.relpath(f"{workflow.basedir}/config/paper")
DRAWN = ("ability", "components", "correlations", "prediction", "amount", "value")


rule analyse:
    input:
        table="results/pgr_table.csv",
        cost="results/tables/cost.csv",
        intrinsic="results/tables/intrinsic.csv" if config["intrinsic"] else [],
        scores=score_files(abilities()),
        code=code("analyse"),
    output:
        [f"results/tables/{name}.csv" for name in ("abilities", *ANALYSES)],
        "results/tables/analysis.md",
        "results/tables/analysis.tex",
        [f"results/figures/{name}.{ending}" for name in DRAWN for ending in ("svg", "pdf")],
        pages=report(
            "results/tables/analysis.html",
            caption="../docs/captions/analysis.rst",
            category="Analyses",
        ),
        figures=[
            report(
                f"results/figures/{name}.png",
                caption=f"../docs/captions/{name}.rst",
                category="Analyses",
            )
            for name in DRAWN
        ],
    log:
        "logs/analyse.log",
    conda:
        "../envs/local.yaml"
    params:
        intrinsic=lambda wildcards, input: optional("intrinsic", input.intrinsic),
        generators=solvers(),
        benchmarks=json.dumps(
            {
                name: config["benchmarks"][name]["domain"]
                for name in matrix.ability_benchmarks(config)
            }
        ),
        apart=[
            name
            for name in matrix.ability_benchmarks(config)
            if not config["benchmarks"][name]["in_mean"]
        ],
        mixtures=MIXTURES,
        prices=prices(),
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    shell:
        "python scripts/analyse.py --table {input.table} --cost {input.cost}"
        " {params.intrinsic:q} --scores results/scores --generators {params.generators:q}"
        " --benchmarks {params.benchmarks:q} --apart {params.apart:q}"
        " --mixtures {params.mixtures:q} --prices {params.prices:q}"
        " --bootstrap {params.bootstrap} --seed {params.seed}"
        " --tables results/tables --figures results/figures 2>&1 | tee {log}"


rule paper:
    input:
        claims=f"{PRINTED}/claims.csv",
        tables=[f"{PRINTED}/{name}.csv" for name in TABLES],
        code=code("paper"),
    output:
        report(
            "results/paper/comparison.html",
            caption="../docs/captions/comparison.rst",
            category="Paper",
        ),
    log:
        "logs/paper.log",
    conda:
        "../envs/local.yaml"
    params:
        folder=subpath(input.claims, parent=True),
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    shell:
        "python scripts/paper.py --tables {params.folder} --bootstrap {params.bootstrap}"
        " --seed {params.seed} --output {output} 2>&1 | tee {log}"
