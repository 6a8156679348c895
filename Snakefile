"""AgoraBench: how good is a language model at making training data?

snakemake results/pgr_table.csv        the table, on the miniature of config/mini.yaml
snakemake                              the table, its views, figures, costs, analyses and the report
snakemake data | models | scores       stop after a stage
"""

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
# Where programs are; the folder in which it runs is another with --directory and as a module.
BASE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
sys.path.insert(0, str(BASE / "scripts"))

from agorabench.config.shipped import link_shipped

link_shipped(BASE)


# Another matrix would be merged into this one; what has neither is none of its own, and adds to it.
if not {"seeds", "benchmarks"} & set(config):

    configfile: "config/mini.yaml"


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
        EVERYTHING,


onstart:
    start_run(workflow)


onsuccess:
    end_succeeded(workflow)


onerror:
    end_failed(workflow)
