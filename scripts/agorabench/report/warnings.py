"""What a reader must know before the first number of the report: sentences, few and short."""

from agorabench import matrix, paths
from agorabench.llm.families import describe_related
from agorabench.report.sections import read_record
from agorabench.stats.pgr import NO_REFERENCE

MANY = 10  # percent of a set's pairs, or of a student's answers


def list_warnings(config: dict, rows: list[dict], exhibits: list[dict]) -> list[str]:
    """The warnings of a report.

    Args:
        config: the checked config.
        rows: of the PGR table.
        exhibits: loaded ones, the table of sets among them if it is shown.
    """
    found = []
    if missing := config.get("missing"):
        more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        found.append(
            f"Incomplete: jobs failed, so tables and figures go without {', '.join(missing[:6])}"
            f"{more}. The next run completes them."
        )
    if all(row["flag"] == NO_REFERENCE for row in rows):
        found.append(
            "There is no reference, so no PGR: students are compared by their scores and by what "
            "they gain over their base."
        )
    elif not any(row["pgr"] is not None and not row["flag"] for row in rows):
        found.append(
            "No PGR here can be relied on: nowhere is the reference measurably better than the "
            "base (gap within noise). Take a stronger reference, a benchmark where it is better, "
            "or more test items; the students' own scores can be compared without a reference."
        )
    shares = [
        (float(row["in_benchmarks"] or 0), "/".join(row[name] for name in matrix.COORDINATES[:3]))
        for exhibit in exhibits
        for row in exhibit["rows"]
        if "in_benchmarks" in row
    ]
    if many := sorted((pair for pair in shares if pair[0] >= MANY), reverse=True):
        found.append(
            f"In {len(many)} of {len(shares)} sets at least {MANY} % of the pairs share 13 words "
            f"in a row with a test item: {many[0][0]:.0f} % of {many[0][1]}."
        )
    answers = [
        (100 * read_record(paths.score(run.model, name))["unfinished"], f"{run.model} on {name}")
        for run in matrix.expand_runs(config)
        for name in matrix.scored_benchmarks(config, run.domain)
    ]
    if many := sorted((pair for pair in answers if pair[0] >= MANY), reverse=True):
        found.append(
            f"In {len(many)} of {len(answers)} evaluations at least {MANY} % of a student's "
            f"answers never ended: {many[0][0]:.0f} % of {many[0][1]}."
        )
    if len({run.seed for run in matrix.expand_runs(config)}) == 1:
        found.append(
            "One seed: nothing here says how far another generation and training would lie apart."
        )
    related = describe_related(config, matrix.judged_metrics(config))
    return found + ([related] if related else [])
