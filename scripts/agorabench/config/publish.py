"""Editor schemas and the table of keys in config/README.md, written from the models.

config/schema.json describes a whole config, config/schema-overlay.json one that is given behind
another. After an edit of agorabench.config.models, write them again:

    PYTHONPATH=scripts python -m agorabench.config.publish
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agorabench.config.json_schema import KINDS, build_schema, resolve_rule

FOLDER = Path(__file__).resolve().parents[3] / "config"
MARK = "<!-- Written by: PYTHONPATH=scripts python -m agorabench.config.publish -->\n"


def list_keys(rule: dict, path: str = "", required: bool = False) -> Iterator[tuple]:
    """Yield (key path, kind, default, description), in Markdown, of every key in the schema."""
    rule = resolve_rule(rule)
    if path and "description" in rule:
        default = rule.get("default", {})  # {} says no more than its own keys do
        shown = "required" if required else "" if default == {} else f"`{json.dumps(default)}`"
        yield f"`{path}`", name_kind(rule), shown, rule["description"]
    for branch in rule.get("oneOf", ()):
        for row in list_keys(branch, path):
            if row[0] != f"`{path}`":
                yield row
    items = resolve_rule(rule.get("items", {}))
    for branch in [items, *items.get("anyOf", ())]:
        for key, inner in resolve_rule(branch).get("properties", {}).items():
            yield from list_keys(inner, f"{path}.{key}")
    for key, inner in rule.get("properties", {}).items():
        yield from list_keys(inner, f"{path}.{key}".strip("."), key in rule.get("required", ()))
    if "title" in rule.get("propertyNames", {}):
        label = re.sub("^an? ", "", rule["propertyNames"]["title"]).split()[0].upper()
        yield from list_keys(rule["additionalProperties"], f"{path}.{label}")


def list_schemas() -> dict[str, dict]:
    """Return {file in config/: schema}: of a whole config, and of one behind another."""
    return {"schema.json": build_schema(), "schema-overlay.json": allow_absent(build_schema())}


def name_kind(rule: dict) -> str:
    """Return what values a key takes, in Markdown."""
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{word}`" for word in rule.get("enum", [rule.get("const")]))
    return " or ".join(KINDS[kind] for kind in rule["type"] or ["object"])


def allow_absent(rule: Any) -> Any:
    """Return a schema for a file behind another one, which need not have what that has."""
    if not isinstance(rule, dict):
        return [allow_absent(item) for item in rule] if isinstance(rule, list) else rule
    kept = {key: part for key, part in rule.items() if key not in ("required", "minProperties")}
    return {"anyOf" if key == "oneOf" else key: allow_absent(part) for key, part in kept.items()}


def render_schema(schema: dict) -> str:
    """Return the text of a schema, innermost lists and objects on one line each."""
    text = json.dumps(schema, indent=1, ensure_ascii=False)
    leaf = re.compile(r"[\[{]\n[^\[\]{}]+[\]}]")
    return leaf.sub(lambda match: re.sub(r"\n *", " ", match[0]), text) + "\n"


def render_table() -> str:
    """Return the Markdown table of all keys."""
    rows = [("key", "is", "default", "meaning"), ("---",) * 4, *list_keys(build_schema())]
    return "".join(f"| {' | '.join(row)} |\n" for row in dict.fromkeys(rows))


def main() -> None:
    """Write all three files."""
    for name, schema in list_schemas().items():
        (FOLDER / name).write_text(render_schema(schema), encoding="utf-8")
    readme = FOLDER / "README.md"
    head, _, _ = readme.read_text(encoding="utf-8").partition(MARK)
    readme.write_text(f"{head}{MARK}\n{render_table()}", encoding="utf-8")


if __name__ == "__main__":
    main()
