"""The table of PGR, its views, its figure, what the data are like and cost, and all data as one.

Needs: the scores of all students, bases and references; all generated sets, ledgers and audits.
Makes: results/pgr_table.csv, results/tables/pgr.{md,tex,html}, results/tables/{seeds,data,cost,paid}.csv,
       results/references/{reference}.csv, the first with a further reference,
       results/figures/pgr.{png,svg,pdf}, results/dataset/ (every set as Parquet, with a card).
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
        seeds="results/tables/seeds.csv",
    log:
        "logs/tally.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        benchmarks=json.dumps(
            {
                name: config["benchmarks"][name]["domain"]
                for name in matrix.scored_benchmarks(config)
            }
        ),
        apart=[
            name
            for name in matrix.scored_benchmarks(config)
            if not config["benchmarks"][name]["in_mean"]
        ],
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    shell:
        "python scripts/tally.py --matrix {params.matrix:q}"
        " --benchmarks {params.benchmarks:q} --apart {params.apart:q} --scores results/scores"
        " --bootstrap {params.bootstrap} --seed {params.seed}"
        " --output {output.table} --markdown {output.markdown} --latex {output.latex}"
        " --html {output.html} --spread {output.seeds}"
        " 2>&1 | tee {log}"


rule tally_reference:
    input:
        scores=lambda wildcards: score_files(compared_with(wildcards.reference)),
        code=code("tally"),
    output:
        table="results/references/{reference}.csv",
    log:
        "logs/tally/{reference}.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=lambda wildcards: experiments(REFERENCES[wildcards.reference]),
        benchmarks=rules.tally.params.benchmarks,
        apart=rules.tally.params.apart,
        bootstrap=rules.tally.params.bootstrap,
        seed=rules.tally.params.seed,
    shell:
        "python scripts/tally.py --matrix {params.matrix:q}"
        " --benchmarks {params.benchmarks:q} --apart {params.apart:q} --scores results/scores"
        " --bootstrap {params.bootstrap} --seed {params.seed}"
        " --reference {wildcards.reference} --output {output.table}"
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


# The sets of mixtures' parts are paid for too.
rule cost:
    input:
        ledgers=[f"results/data/{cell}.ledger.json" for cell in SETS],
        code=code("cost"),
    output:
        report("results/tables/cost.csv", caption="../docs/captions/cost.rst", category="Cost"),
    log:
        "logs/cost.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        mixtures=json.dumps({name: sorted(config["generators"][name]["of"]) for name in MIXTURES}),
        prices=prices(),
    shell:
        "python scripts/cost.py --matrix {params.matrix:q} --mixtures {params.mixtures:q}"
        " --prices {params.prices:q} --data results/data --output {output} 2>&1 | tee {log}"


# Apart from `cost`, as it waits for all that is paid: verdicts and generators' own answers too.
rule paid:
    input:
        ledgers=[f"results/data/{run.cell}.ledger.json" for run in RUNS],
        judgements=judgement_files(),
        assessments=assessment_files(),
        abilities=score_files(abilities()),
        code=code("cost"),
    output:
        report("results/tables/paid.csv", caption="../docs/captions/paid.rst", category="Cost"),
    log:
        "logs/paid.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        prices=prices(),
        classified=classified(),
        judges=matrix.judge_generators(config),
    shell:
        "python scripts/cost.py --matrix {params.matrix:q} --prices {params.prices:q}"
        " --data results/data --journals journal --classified {params.classified:q}"
        " --judges {params.judges} --paid {output} 2>&1 | tee {log}"


rule describe:
    input:
        ledgers=[f"results/data/{run.cell}.ledger.json" for run in RUNS],
        audits=[f"results/data/{run.cell}.audit.json" for run in RUNS],
        code=code("describe"),
    output:
        report("results/tables/data.csv", caption="../docs/captions/data.rst", category="Data"),
    log:
        "logs/describe.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
    shell:
        "python scripts/describe.py --matrix {params.matrix:q} --data results/data"
        " --output {output} 2>&1 | tee {log}"


rule pack:
    input:
        data=[f"results/data/{run.cell}.jsonl" for run in RUNS],
        ledgers=[f"results/data/{run.cell}.ledger.json" for run in RUNS],
        table="results/tables/data.csv",
        costs="results/tables/cost.csv",
        card=os.path.relpath(f"{workflow.basedir}/docs/card.md"),
        code=code("pack"),
    output:
        directory("results/dataset"),
    log:
        "logs/pack.log",
    conda:
        "../envs/local.yaml"
    params:
        matrix=experiments(),
        about=about(),
    shell:
        "python scripts/pack.py --matrix {params.matrix:q} --about {params.about:q}"
        " --data results/data --seeds resources/seeds --table {input.table}"
        " --costs {input.costs} --card {input.card} --output {output} 2>&1 | tee {log}"
