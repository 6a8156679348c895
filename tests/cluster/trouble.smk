"""Jobs that meet trouble, with the resources and the profile of the real ones."""

import sys
from pathlib import Path

BASE = Path(workflow.basedir)
sys.path.insert(0, "scripts")
from agorabench.errors import UserError


include: "rules/resources.smk"


rule all:
    input:
        expand(
            "done/{trouble}.txt",
            trouble=["memory", "signal", "kill", "node", "preempt", "time", "warning"],
        ),
        "done/after-hopeless.txt",


rule follow:
    input:
        "done/hopeless.txt",
    output:
        "done/after-hopeless.txt",
    log:
        "logs/follow.log",
    shell:
        "touch {output} 2> {log}"


def needs(minutes):
    """Resources as `ask` gives them, of so many minutes at the first attempt."""
    row = {"memory_gb": {"fixed": 1}, "minutes": {"fixed": minutes}}
    return request_resources(row, {}, SITE, warning=1)


def runtime(wildcards, attempt, threads):
    """One job is given too little time."""
    minutes = 1 if wildcards.trouble == "time" else 5
    return needs(minutes)["runtime"](wildcards, attempt, threads)


rule work:
    output:
        "done/{trouble}.txt",
    log:
        "logs/work/{trouble}.log",
    resources:
        **needs(5) | {"runtime": runtime},
    shell:
        "python trouble.py {wildcards.trouble} {output} 2>&1 | tee {log}"
