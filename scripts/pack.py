r"""Write all generated sets as one folder with a dataset card, ready for upload.

    python scripts/pack.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --about '{"generators": {"strong": {"model": "strong", "sampling": {"top_p": 0.9}}},
                  "prompts": {"mini": {"folder": "config/prompts/mini"}}, "benchmarks": ["gsm8k"],
                  "generation": {"validators": {"math": ["length"]}},
                  "dataset": {"title": "My sets", "license": "other", "languages": ["en"]}}' \
        --data results/data --seeds resources/seeds --table results/tables/data.csv \
        --costs results/tables/cost.csv --card docs/card.md --output /tmp/dataset
    hf upload USER/NAME /tmp/dataset --repo-type dataset

Every set becomes a configuration of its own, in Parquet: load_dataset("/tmp/dataset", NAME).
"""

import argparse
import csv
import json
from pathlib import Path
from string import Template

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.errors import UserError
from agorabench.files import atomic_file, file_digest, read_json, read_jsonl
from agorabench.report import markdown

PLACE = ("domain", "method", "generator", "prompt", "size", "seed")
# The hub's classes of size: the first one that is larger.
SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}
LARGER = "1M<n<10M"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--about", type=json.loads, required=True, help="what the card tells")
    parser.add_argument("--data", required=True, help="folder of the sets and their ledgers")
    parser.add_argument("--seeds", required=True, help="folder of the seed data's manifests")
    parser.add_argument("--table", required=True, help="data.csv")
    parser.add_argument("--costs", required=True, help="cost.csv")
    parser.add_argument("--card", required=True, help="template of the card")
    parser.add_argument("--output", required=True, help="a new folder")
    args = parser.parse_args(argv)

    output = Path(args.output)
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; remove it or name another folder")
    cells = list({found.cell: found for found in matrix.expand_runs(args.matrix)}.values())
    names = configurations(cells)
    counts = {}
    for name, cell in names.items():
        counts[name] = convert(f"{args.data}/{cell.cell}.jsonl", output / name / "train.parquet")
    told = {
        "ledgers": {c.cell: read_json(f"{args.data}/{c.cell}.ledger.json") for c in cells},
        "sets": by_place(args.table),
        "costs": by_place(args.costs),
        "manifests": manifests(cells, args.seeds),
    }
    template = Template(Path(args.card).read_text(encoding="utf-8"))
    with atomic_file(output / "README.md") as file:
        file.write(template.substitute(card(names, counts, args.about, **told)))


def configurations(cells):
    """Name -> cell, with as many coordinates as differ between cells of one matrix."""
    varied = {axis for axis in PLACE[3:] if len({getattr(cell, axis) for cell in cells}) > 1}
    marks = {"prompt": "{}", "size": "n{}", "seed": "seed{}"}
    names = {}
    for cell in cells:
        parts = [cell.domain, cell.method, cell.generator]
        parts += [marks[axis].format(getattr(cell, axis)) for axis in marks if axis in varied]
        names["-".join(parts)] = cell
    return names


def convert(source, target):
    """Write a JSON Lines file as Parquet; returns the number of rows."""
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    turns = pyarrow.list_(pyarrow.struct({"role": text, "content": text}))
    schema = pyarrow.schema({"messages": turns, "origin": text})
    rows = pyarrow.Table.from_pylist(read_jsonl(source), schema)
    target.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(rows, target)
    return len(rows)


def by_place(path):
    """Rows of a table by their cell's coordinates, as text."""
    with open(path, encoding="utf-8", newline="") as file:
        return {tuple(row[axis] for axis in PLACE): row for row in csv.DictReader(file)}


def manifests(cells, folder):
    """(domain, method) -> manifest of its seed data, where generators were asked."""
    asked = {(c.domain, c.method): None for c in cells if c.prompt != matrix.NO_PROMPT}
    return {
        place: read_json(Path(folder).joinpath(*place).with_suffix(".manifest.json"))
        for place in asked
    }


def card(names, counts, about, ledgers, sets, costs, manifests):
    """What the template's placeholders stand for."""
    cells = list(names.values())
    first, cell = next(iter(names.items()))
    varied = first != f"{cell.domain}-{cell.method}-{cell.generator}"
    generation = about["generation"]
    filters = {"duplicates": generation.get("duplicates"), "overlap": generation.get("overlap")}
    told = [f"`{key}: {value}`" for key, value in filters.items() if value not in (None, "keep")]
    checks = dict.fromkeys(check for c in cells for check in generation["validators"][c.domain])
    return {
        "header": header(counts, about["dataset"]),
        "title": about["dataset"]["title"],
        "example": first,
        "axes": ", and where these differ by meta-prompt, size and random seed" if varied else "",
        "checks": ", ".join(f"`{check}`" for check in checks) or "none",
        "filters": f"Also left out: {' and '.join(told)}." if told else "",
        "benchmarks": ", ".join(about["benchmarks"]) or "no benchmark",
        "sets": table(
            [row_of(name, cell, counts[name], sets, costs) for name, cell in names.items()]
        ),
        "generators": table(generators(cells, about["generators"], ledgers)),
        "prompts": table(prompts(cells, about["prompts"])) or "None: all generators are data sets.",
        "seeds": table(seeds(manifests)) or "None: all generators are data sets.",
    }


def header(counts, dataset):
    """The card's metadata, as YAML without its fences."""
    import yaml

    total = sum(counts.values())
    metadata = {
        "pretty_name": dataset["title"],
        "license": dataset["license"],
        "language": list(dataset["languages"]),
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "agorabench"],
        "size_categories": [next((SIZES[size] for size in SIZES if total < size), LARGER)],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": f"{name}/train.parquet"}],
            }
            for name in counts
        ],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).rstrip()


def row_of(name, cell, count, sets, costs):
    """One set's row."""
    place = tuple(str(getattr(cell, axis)) for axis in PLACE)
    found, cost = sets[place], costs[place]
    return {
        "configuration": name,
        "rows": count,
        "generated": found["pairs"],
        "replies": found["replies"],
        "rejected": found["rejected"],
        "exact duplicates": found["exact_duplicate_pairs"],
        "near-duplicates": found["near_duplicate_pairs"],
        "in benchmarks": found["in_benchmarks"],
        "tokens in": cost["input_tokens"],
        "tokens out": cost["output_tokens"],
        "USD": cost["usd"],
    }


def generators(cells, entries, ledgers):
    """A row for each generator: what was asked, how, and what said it answered."""
    rows = []
    used = [part for c in cells for part in (c.generator, *entries[c.generator].get("of", ()))]
    for name in dict.fromkeys(used):
        entry = entries[name]
        answered = {m for c in cells if c.generator == name for m in ledgers[c.cell]["models"]}
        sampling = entry.get("sampling", {})
        mixed = " + ".join(f"{share:g} {part}" for part, share in entry.get("of", {}).items())
        model = entry.get("model") or mixed or "data set"
        if Path(model).is_dir():  # where it lies says nothing to others
            model = Path(model).name
        rows.append(
            {
                "generator": name,
                "model": model,
                "sampling": ", ".join(f"{key} {value}" for key, value in sampling.items()),
                "answered as": ", ".join(sorted(answered)),
            }
        )
    return rows


def prompts(cells, entries):
    """A row for each meta-prompt's file, with its hash."""
    files = {(c.prompt, c.method, c.domain): None for c in cells if c.prompt != matrix.NO_PROMPT}
    return [
        {
            "meta-prompt": prompt,
            "method": method,
            "domain": domain,
            "sha256": file_digest(f"{entries[prompt]['folder']}/{method}/{domain}.md"),
        }
        for prompt, method, domain in files
    ]


def seeds(manifests):
    """A row for each source of seed data."""
    rows = []
    for (domain, method), manifest in manifests.items():
        place = {"domain": domain, "method": method}
        for name, origin in manifest.get("origins", {"mini": {}}).items():
            kind = next((kind for kind in ("hub", "url", "path") if kind in origin), None)
            # Of a local file only the name, as of a local model.
            source = Path(origin["path"]).name if kind == "path" else origin.get(kind, "built here")
            rows.append(
                place
                | {
                    "source": f"{name}: {source}",
                    "version": origin.get("revision") or origin.get("sha256") or "",
                    "licence": origin.get("licence") or "not stated",
                    "rows": origin.get("taken", manifest["rows"]),
                }
            )
        rows[-1]["sha256 of the set"] = manifest["sha256"]
    return rows


def table(rows):
    """Rows, mappings from columns to cells, as a Markdown table; nothing where there are none."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [[row.get(column, "") for column in columns] for row in rows]
    return markdown.table(columns, lines).rstrip() if rows else ""


if __name__ == "__main__":
    run_program(main)
