"""What jobs ask a cluster for: memory, time, GPUs, and where. On one machine only GPUs count.

Needs: config/resources.yaml, a row for each stage; profiles/slurm/cluster.yaml where the cluster's
       defaults will not do.
Makes: `ask`, the resources of a rule; no rules.
"""

import signal

from agorabench.cluster import slurm
from agorabench.cluster.resources import read_table, request_resources

try:
    RESOURCES = read_table(BASE / "config/resources.yaml")
    SITE = slurm.read_site(BASE / "profiles/slurm/cluster.yaml")
except UserError as error:
    raise SystemExit(f"error: {error}") from None

if workflow.is_main_process:
    # Jobs that ask providers at a time, where neither profile nor command line says it. In the
    # default profile it would replace all `resources:` of the others.
    if "api" not in workflow.global_resources:
        workflow.register_resource("api", 4)
    if executor := sys.modules.get("snakemake_executor_plugin_slurm"):
        slurm.patch_executor(executor)
else:
    shell.prefix(slurm.SHELL_PREFIX)
    slurm.relay_signal(signal.SIGUSR1)


def ask(stage, warning=None):
    """Resources of a rule, to be unpacked into its `resources:`.

    `warning`: seconds before the time limit at which SLURM sends the job SIGUSR1.
    """
    return request_resources(RESOURCES[stage], config, SITE, warning)
