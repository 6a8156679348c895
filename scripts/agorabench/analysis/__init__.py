"""What the scores say: a module for each question, which has

    rows(study)     rows of results/tables/{module}.csv, with the columns COLUMNS
    tables(study)   the same for readers, filled-in copies of TABLE (report.table.Table)
    figure(study)   results/figures/{module}.{png,svg,pdf}, where there is something to draw

Those of `comparisons` are written with the PGR table, of whose draws they are. With a figure, a
question has docs/captions/{module}.rst, which says what the CSV file and the figure show. A
question is a module that has `tables`, found here by name: a new one is a new file.
Light, because the Snakefile reads it in every job.
"""

import importlib
import re
from functools import cache
from pathlib import Path

# Order of tables in analysis.{md,tex,html} and on the report's page; what is not here follows.
ORDER = (
    *("comparisons", "value", "regressions", "correlations", "components", "prediction"),
    *("decisions", "prompts", "amount"),
)


@cache
def module_names(function):
    """Names of the modules that define a public function, in order of a page."""
    folder = Path(__file__).parent
    names = [
        path.stem
        for path in sorted(folder.glob("*.py"))
        if re.search(rf"^def {function}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def load_module(name):
    """The module of a question or table."""
    return importlib.import_module(f"{__name__}.{name}")
