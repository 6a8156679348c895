"""A logger plugin of Snakemake: one JSON line for each job that a dry run would do.

    AGORABENCH_JOBS=/tmp/jobs.jsonl PYTHONPATH=scripts snakemake --dry-run --logger agorabench

Snakemake finds it by its name, hence its length; agorabench.planning.survey uses it.
"""

import json
import os

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """Appends to the file that the environment variable AGORABENCH_JOBS names."""

    writes_to_stream = writes_to_file = False  # beside what Snakemake itself writes there
    has_formatter = has_filter = True  # all jobs, whatever --quiet says
    needs_rulegraph = False

    def emit(self, record):
        if getattr(record, "event", None) != LogEvent.JOB_INFO:
            return
        job = {
            "rule": record.rule_name,
            "wildcards": {name: str(value) for name, value in record.wildcards.items()},
            "reason": record.reason,
            "output": list(record.output),
        }
        with open(os.environ["AGORABENCH_JOBS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(job, ensure_ascii=False) + "\n")
