r"""Bring seed data or benchmark items to where the pipeline reads them, with a manifest.

    python scripts/fetch.py seeds --source '{"path": "my.jsonl"}' --domain math --method response \
        --output /tmp/seeds.jsonl --manifest /tmp/seeds.manifest.json
    python scripts/fetch.py benchmark --source '{"source": "mini"}' --name mini-sums \
        --output /tmp/items.jsonl --manifest /tmp/items.manifest.json

Seed rows become {"id", "instruction", "response"}; benchmark rows stay as their source has them.
"""

import argparse
import json
from pathlib import Path

from agorabench import jsonl
from agorabench.errors import UserError, run


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("seeds", "benchmark"))
    parser.add_argument("--source", type=json.loads, required=True, help="the config's entry")
    parser.add_argument("--domain", help="of seeds")
    parser.add_argument("--method", help="of seeds")
    parser.add_argument("--name", help="of a benchmark")
    parser.add_argument("--output", required=True)
    parser.add_argument("--manifest", required=True)
    args = parser.parse_args(argv)

    if args.kind == "seeds":
        rows = seeds(args.source, args.domain, args.method)
    else:
        rows = benchmark(args.source, args.name)
    if not rows:
        raise UserError(f"{args.source.get('path') or args.output}: there are no rows")
    jsonl.write(args.output, rows)
    manifest = {"source": args.source, "rows": len(rows), "sha256": jsonl.digest(args.output)}
    if "path" in args.source:
        manifest["source_sha256"] = jsonl.digest(args.source["path"])
    jsonl.write_json(args.manifest, manifest)


def seeds(source, domain, method):
    """Seed rows of a setting: built in, or from a local file with the same fields."""
    if "path" not in source:
        from agorabench.mini import world

        return world.seeds(domain, method)
    name = Path(source["path"]).stem
    rows = []
    for number, row in enumerate(jsonl.read(source["path"])):
        if not row.get("instruction"):
            raise UserError(f"{source['path']}, row {number + 1}: no instruction")
        rows.append(
            {
                "id": str(row.get("id", f"{name}/{number}")),
                "instruction": row["instruction"],
                "response": row.get("response") or "",
            }
        )
    return rows


def benchmark(source, name):
    """A benchmark's own rows: built in, or those of a local file."""
    if "path" in source:
        return jsonl.read(source["path"])
    from agorabench.mini import world

    return world.benchmark(name)


if __name__ == "__main__":
    run(main)
