"""AgoraBench: how good is a language model at making training data?

snakemake results/pgr_table.csv        the table, on the miniature of config/mini.yaml
snakemake                              the table, its views, figures, costs, analyses and the report
snakemake data | models | scores       stop after a stage
"""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
# Rules run the Python that runs Snakemake, whether or not its environment is active.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


# Another matrix would be merged into this one, registry by registry; what has neither is no matrix
# of its own and adds to it.
if not {"seeds", "benchmarks"} & set(config):

    configfile: "config/mini.yaml"


report: "docs/captions/workflow.rst"


include: "rules/helpers.smk"
include: "rules/resources.smk"
include: "rules/seeds.smk"
include: "rules/miniature.smk"
include: "rules/generate.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/intrinsic.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"
include: "rules/plan.smk"
include: "rules/targets.smk"


rule all:
    """The table, its views, figures, costs, analyses and the report."""
    default_target: True
    input:
        rules.aggregate_pgr.output,
        rules.references.input,
        rules.aggregate_cost.output,
        rules.aggregate_paid.output,
        rules.aggregate_data.output,
        rules.aggregate_intrinsic.output if config["intrinsic"] else [],
        rules.analyse.output,
        rules.plot.output,
        rules.report.output,


onstart:
    start_run(workflow)


onerror:
    end_failed(workflow)
