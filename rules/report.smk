"""All results on one page, all data in one folder, the paper's own numbers recomputed.

Needs: the tables and figures of analyse.smk; generated sets, students, scores and answers;
       config/paper/, the tables that the paper prints.
Makes: results/report.html, results/tables/decision.md, results/dataset/ (every set as Parquet, with
       a card), results/paper/comparison.html.
"""

from agorabench.report.exhibits import list_exhibits


report: "../docs/captions/workflow.rst"


EXHIBITS = list_exhibits(config, analysis.module_names("figure"))
LOOK = "agorabench/report/templates"
TEMPLATES = {
    "export": [f"{LOOK}/card.md"],
    "report": [
        f"{LOOK}/{name}" for name in ("page.html", "head.html", "parts.html", "page.css", "page.js")
    ],
}


localrules:
    export,
    report,
    paper,


rule export:
    """All sets as Parquet, with a dataset card."""
    input:
        **result_stages.export(config).inputs,
        code=code("export", *TEMPLATES["export"]),
    output:
        directory(paths.DATASET),
    log:
        "logs/export.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=result_stages.export(config).text,
    shell:
        program("export")


rule report:
    """One page of all that was found, and the decision in sentences."""
    input:
        **result_stages.report(config).inputs,
        exhibits=[file for each in EXHIBITS for file in each.files],
        captions=[os.path.relpath(each.caption) for each in EXHIBITS],
        code=code("report", *TEMPLATES["report"]),
    output:
        paths.REPORT,
        paths.table("decision", "md"),
    log:
        "logs/report.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=result_stages.report(config).text,
    shell:
        program("report")


rule paper:
    """The paper's printed numbers, recomputed."""
    input:
        tables=sorted(map(os.path.relpath, (BASE / "config/paper").glob("*.csv"))),
        code=code("paper", "agorabench/report/templates/comparison.html"),
    output:
        report(
            paths.PAPER_COMPARISON,
            caption="../docs/captions/comparison.rst",
            category="Paper",
        ),
    log:
        "logs/paper.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=result_stages.paper(config).text,
    shell:
        program("paper")
