"""The card of the exported dataset: what it holds, how it was made, under which licences.

Rows for the tables of templates/card.md; sets are named as load_dataset knows them.
"""

from pathlib import Path
from string import Template

from agorabench.files import file_digest
from agorabench.matrix import COORDINATES, NO_PROMPT, Cell
from agorabench.report.table import align_markdown

TEMPLATE = Path(__file__).resolve().parent / "templates" / "card.md"
# The hub's classes of size: the first one that is larger.
SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}
LARGER = "1M<n<10M"
NO_SEEDS = "None: all generators are datasets."
MARKS = {"prompt": "{}", "size": "n{}", "seed": "seed{}"}  # of coordinates that need not differ


def name_sets(cells: list[Cell]) -> dict[str, Cell]:
    """Name -> cell, with as many coordinates as differ between the cells."""
    varied = [axis for axis in MARKS if len({getattr(cell, axis) for cell in cells}) > 1]
    names = {}
    for cell in cells:
        marks = [MARKS[axis].format(getattr(cell, axis)) for axis in varied]
        names["-".join([cell.domain, cell.method, cell.generator, *marks])] = cell
    return names


def render_card(about: dict, names: dict, counts: dict, records: dict) -> str:
    """The card as Markdown with metadata.

    Args:
        about: what config.result_stages.export says of generators, prompts, checks and the dataset.
        names: name -> Cell, from `name_sets`.
        counts: name -> rows.
        records: "ledgers" by Cell, "sets" and "costs" (rows of tables by their coordinates as
            text), "manifests" of seed data by (domain, method).
    """
    cells = list(names.values())
    first, cell = next(iter(names.items()))
    varied = first != f"{cell.domain}-{cell.method}-{cell.generator}"
    filters = [f"`{key}: {value}`" for key, value in about["filters"].items() if value != "keep"]
    checks = dict.fromkeys(
        check if isinstance(check, str) else ": ".join(map(str, *check.items()))
        for cell in cells
        for check in about["validators"][cell.domain]
    )
    sets = [describe_set(name, cell, counts[name], records) for name, cell in names.items()]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        header=render_header(counts, about["dataset"]),
        title=about["dataset"]["title"],
        example=first,
        axes=", and where these differ by meta-prompt, size and random seed" if varied else "",
        checks=", ".join(f"`{check}`" for check in checks) or "none",
        filters=f"Also left out: {' and '.join(filters)}." if filters else "",
        benchmarks=", ".join(about["benchmarks"]) or "no benchmark",
        sets=render_table(sets),
        generators=render_table(list_generators(cells, about["generators"], records["ledgers"])),
        prompts=render_table(list_prompts(cells, about["prompts"])) or NO_SEEDS,
        seeds=render_table(list_seeds(records["manifests"])) or NO_SEEDS,
    )


def render_header(counts: dict[str, int], dataset: dict) -> str:
    """The card's metadata, as YAML without its fences."""
    import yaml

    total = sum(counts.values())
    files = {name: [{"split": "train", "path": f"{name}/train.parquet"}] for name in counts}
    metadata = {
        "pretty_name": dataset["title"],
        "license": dataset["license"],
        "language": list(dataset["languages"]),
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "agorabench"],
        "size_categories": [next((SIZES[size] for size in SIZES if total < size), LARGER)],
        "configs": [{"config_name": name, "data_files": files[name]} for name in counts],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).rstrip()


def describe_set(name: str, cell: Cell, count: int, records: dict) -> dict:
    """A set's row."""
    place = tuple(str(getattr(cell, axis)) for axis in COORDINATES)
    audit, cost = records["sets"][place], records["costs"][place]
    return {
        "configuration": name,
        "rows": count,
        "generated": audit["pairs"],
        "replies": audit["replies"],
        "rejected": audit["rejected"],
        "exact duplicates": audit["exact_duplicate_pairs"],
        "near-duplicates": audit["near_duplicate_pairs"],
        "in benchmarks": audit["in_benchmarks"],
        "tokens in": cost["input_tokens"],
        "tokens out": cost["output_tokens"],
        "USD": cost["usd"],
    }


def list_generators(cells: list[Cell], entries: dict, ledgers: dict) -> list[dict]:
    """A row for each generator: its model, sampling, and the model names that replies reported."""
    rows = []
    used = [part for c in cells for part in (c.generator, *entries[c.generator].get("of", ()))]
    for name in dict.fromkeys(used):
        entry = entries[name]
        answered = {m for c in cells if c.generator == name for m in ledgers[c]["models"]}
        sampling = entry.get("sampling", {})
        mixed = " + ".join(f"{share:g} {part}" for part, share in entry.get("of", {}).items())
        model = entry.get("model") or mixed or "dataset"
        if Path(model).is_dir():  # a local path says nothing to others
            model = Path(model).name
        sampling = ", ".join(f"{key} {value}" for key, value in sampling.items())
        row = {"generator": name, "model": model, "sampling": sampling}
        rows.append(row | {"answered as": ", ".join(sorted(answered))})
    return rows


def list_prompts(cells: list[Cell], folders: dict[str, str]) -> list[dict]:
    """A row for each meta-prompt's file, with its hash; `folders`: of each prompt."""
    files = {(c.prompt, c.method, c.domain): None for c in cells if c.prompt != NO_PROMPT}
    return [
        {"meta-prompt": prompt, "method": method, "domain": domain}
        | {"sha256": file_digest(f"{folders[prompt]}/{method}/{domain}.md")}
        for prompt, method, domain in files
    ]


def list_seeds(manifests: dict) -> list[dict]:
    """A row for each source of seed data."""
    rows = []
    for (domain, method), manifest in manifests.items():
        for name, origin in manifest.get("origins", {"mini": {}}).items():
            kind = next((kind for kind in ("hub", "url", "path") if kind in origin), None)
            # Of a local file only the name, as of a local model.
            source = Path(origin["path"]).name if kind == "path" else origin.get(kind, "built here")
            row = {"domain": domain, "method": method, "source": f"{name}: {source}"}
            row |= {"version": origin.get("revision") or origin.get("sha256") or ""}
            row |= {"licence": origin.get("licence") or "not stated"}
            rows.append(row | {"rows": origin.get("taken", manifest["rows"])})
        rows[-1]["sha256 of the set"] = manifest["sha256"]
    return rows


def render_table(rows: list[dict]) -> str:
    """Rows, mappings from columns to cells, as a Markdown table; nothing where there are none."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [[row.get(column, "") for column in columns] for row in rows]
    return align_markdown(columns, lines).rstrip() if rows else ""
