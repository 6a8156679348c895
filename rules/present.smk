"""One page of all that was found, which needs no network and no other file.

Needs: the PGR table, the exhibits listed here, and of every set and model what the page shows.
Makes: results/report.html.
"""

CAPTIONS = os.path.relpath(f"{workflow.basedir}/docs/captions")
LOOK = os.path.relpath(f"{workflow.basedir}/docs/report")

# What the page shows besides the PGR table and the sets, in this order: a title, and what there is
# of a caption, a table of regressions whose errors are told first, a table (CSV) and a figure (SVG
# or PNG).
EXHIBITS = [
    {
        "title": "PGR by method and domain",
        "caption": f"{CAPTIONS}/figure.rst",
        "figure": "results/figures/pgr.svg",
    },
    {
        "title": "What the sets are like",
        "caption": f"{CAPTIONS}/data.rst",
        "table": "results/tables/data.csv",
    },
    {
        "title": "What the sets cost",
        "caption": f"{CAPTIONS}/cost.rst",
        "table": "results/tables/cost.csv",
    },
    {
        "title": "What was paid in all",
        "caption": f"{CAPTIONS}/paid.rst",
        "table": "results/tables/paid.csv",
    },
    *(
        [
            {
                "title": "Intrinsic metrics of the sets",
                "caption": f"{CAPTIONS}/intrinsic.rst",
                "table": "results/tables/intrinsic.csv",
            }
        ]
        if config["intrinsic"]
        else []
    ),
    *(
        {
            "title": title,
            "caption": f"{CAPTIONS}/{name}.rst",
            "table": f"results/tables/{table}.csv",
            "figure": f"results/figures/{name}.svg",
            "width": "column",
        }
        | ({"errors": "results/tables/regressions.csv"} if name == "prediction" else {})
        for name, table, title in (
            ("value", "value", "PGR by dollars"),
            ("ability", "regressions", "PGR and problem solving"),
            ("correlations", "correlations", "Metrics that go along with PGR"),
            ("components", "components", "Principal components of the metrics"),
            ("prediction", "prediction", "PGR predicted from the metrics"),
            ("amount", "amount", "PGR by the number of pairs"),
        )
    ),
]


rule present:
    input:
        table="results/pgr_table.csv",
        exhibits=[
            one[key]
            for one in EXHIBITS
            for key in ("caption", "errors", "table", "figure")
            if key in one
        ],
        raw=[f"results/raw/{run.cell}.jsonl" for run in RUNS],
        ledgers=[f"results/data/{run.cell}.ledger.json" for run in RUNS],
        students=[f"results/models/{run.model}/weights.sha256" for run in RUNS],
        predictions=[f"results/predictions/{model}/{name}.jsonl" for model, name in evaluations()],
        scores=score_files(),
        verdicts=[f"results/scores/{model}/{name}.parquet" for model, name in evaluations()],
        look=[f"{LOOK}/{name}" for name in ("page.html", "parts.html", "page.css", "page.js")],
        code=code("present"),
    output:
        "results/report.html",
    log:
        "logs/present.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        benchmarks=rules.tally.params.benchmarks,
        prices=prices(),
        exhibits=json.dumps(EXHIBITS),
    shell:
        "python scripts/present.py --matrix {params.matrix:q} --benchmarks {params.benchmarks:q}"
        " --prices {params.prices:q} --exhibits {params.exhibits:q}"
        " --results results --table {input.table} --output {output} 2>&1 | tee {log}"
