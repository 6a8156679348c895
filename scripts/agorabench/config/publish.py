"""The editor schema config/schema.json and the table of keys in config/README.md, from the models.

After an edit of agorabench.config.models, write both again:

    PYTHONPATH=scripts python -m agorabench.config.publish
"""

import json
import re
from pathlib import Path

from agorabench.config.json_schema import KINDS, build_schema, resolve_rule

FOLDER = Path(__file__).resolve().parents[3] / "config"
MARK = "<!-- Written by: PYTHONPATH=scripts python -m agorabench.config.publish -->\n"


def list_keys(rule, path="", required=False):
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
    for key, inner in rule.get("properties", {}).items():
        yield from list_keys(inner, f"{path}.{key}".strip("."), key in rule.get("required", ()))
    if "title" in rule.get("propertyNames", {}):
        label = re.sub("^an? ", "", rule["propertyNames"]["title"]).split()[0].upper()
        yield from list_keys(rule["additionalProperties"], f"{path}.{label}")


def name_kind(rule):
    """Return what values a key takes, in Markdown."""
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{word}`" for word in rule.get("enum", [rule.get("const")]))
    return " or ".join(KINDS[kind] for kind in rule["type"] or ["object"])


def render_schema():
    """Return the text of config/schema.json, innermost lists and objects on one line each."""
    text = json.dumps(build_schema(), indent=1, ensure_ascii=False)
    leaf = re.compile(r"[\[{]\n[^\[\]{}]+[\]}]")
    return leaf.sub(lambda match: re.sub(r"\n *", " ", match[0]), text) + "\n"


def render_table():
    """Return the Markdown table of all keys."""
    rows = [("key", "is", "default", "meaning"), ("---",) * 4, *list_keys(build_schema())]
    return "".join(f"| {' | '.join(row)} |\n" for row in dict.fromkeys(rows))


def main():
    """Write both files."""
    (FOLDER / "schema.json").write_text(render_schema(), encoding="utf-8")
    readme = FOLDER / "README.md"
    head, _, _ = readme.read_text(encoding="utf-8").partition(MARK)
    readme.write_text(f"{head}{MARK}\n{render_table()}", encoding="utf-8")


if __name__ == "__main__":
    main()
