"""Check the configuration before the DAG is built, and fill in its defaults.

The schema, config/schema.yaml, describes every key once. This module reads the part of JSON Schema
that it uses, itself: importing jsonschema takes longer than all of the rest, and its errors would
have to be reworded anyway; the tests hold both to the same verdicts. What a schema cannot say
(names that refer to each other, files) is checked after it.

This renews the table of keys in config/README.md after an edit of the schema:

    PYTHONPATH=scripts python -m agorabench.config
"""

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agorabench import prompts
from agorabench.backends import dataset
from agorabench.errors import UserError
from agorabench.grid import NO_PROMPT
from agorabench.validation import VALIDATORS

CONFIG = Path(__file__).resolve().parent.parent.parent / "config"
ABSENT = object()
TABLE = "<!-- Made from schema.yaml by: PYTHONPATH=scripts python -m agorabench.config -->\n"
BUILT = "resources/"  # what the pipeline itself makes; absent before its first run
MODELS = "resources/models"

READ_HERE = (".json", ".jsonl")  # endings of data files whose rows are checked before the run
# Parameters of a request that `extra` cannot set: the ceiling of its cost would not know of them.
OWNED = [
    "model",
    "messages",
    "system",
    "stream",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "stop_sequences",
    "seed",
    "response_format",
    "output_config",
]
LOCAL = ("transformers", "vllm")  # backends that load a model themselves

KINDS = {
    "object": ("a mapping", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("a whole number", lambda value: type(value) is int),
    "number": ("a number", lambda value: type(value) in (int, float) and math.isfinite(value)),
}


class Fault(Exception):
    """A fault at a key path of the config; `at` is the key to look for in the files, if another."""

    def __init__(self, path, text, at=None):
        super().__init__(text)
        self.path, self.text, self.at = path, text, path if at is None else at


def check(config, files=(), root=".", files_too=True):
    """Check a config and fill in the defaults of its schema.

    Args:
        config: what Snakemake made of its config files and --config; left as it is.
        files: the config files, Snakemake's `workflow.configfiles`; the message names the one that
            holds the fault.
        root: folder that paths in the config are relative to.
        files_too: also look for keys given twice in `files` and check the files that the config
            names. A job on a cluster re-reads a config that has passed and can do without.

    Returns:
        A new dictionary with every default in it.

    Raises:
        UserError: the first fault, in one sentence: file, key path, and what was possible.
    """
    root = Path(root)
    try:
        if files_too:
            _refuse_repeated_keys(files, root)
        config = _conform(config, schema(), ())
        _check_references(config)
        if files_too:
            _check_files(config, root)
    except Fault as fault:
        parts = [_holders(fault.at, config, files, root), ".".join(map(str, fault.path))]
        raise UserError(": ".join([*filter(None, parts), fault.text])) from None
    return config


def read(file):
    """The checked config in one file, YAML or JSON; the files that it names are not looked at.

    JSON is read as such: to YAML its 1e-05 is text.
    """
    return check(_load(file), [file], files_too=False)


@cache
def schema():
    """The parsed config/schema.yaml."""
    return _load(CONFIG / "schema.yaml")


# The schema


def _conform(value, rule, path):
    """Return `value` with the defaults of `rule` (a JSON Schema) filled in, or raise a Fault."""
    rule = _resolve(rule)
    if "oneOf" in rule:
        rule = _branch(value, [_resolve(branch) for branch in rule["oneOf"]], path)
    if "const" in rule:  # a branch was chosen by it
        return value
    _check_kind(value, rule, path)
    if isinstance(value, Mapping):
        return _conform_mapping(value, rule, path)
    if isinstance(value, list):
        if not value and rule.get("minItems"):
            raise Fault(path, "must name at least one")
        if rule.get("uniqueItems"):
            _refuse_repeated(value, path)
        return [_conform(item, rule["items"], path) for item in value]
    _check_scalar(value, rule, path)
    # 1 and 1.0 are one number: they must not differ in a fingerprint or make anything stale.
    kinds = rule.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return float(value) if "number" in kinds and type(value) is int else value


def _conform_mapping(value, rule, path):
    known = rule.get("properties", {})
    others = rule.get("additionalProperties", True)
    names = _resolve(rule.get("propertyNames", {}))
    for key in value:
        if not isinstance(key, str):
            raise Fault(path, f"the key {_show(key)} must be text: quote it", (*path, key))
        if key in known:
            continue
        if others is False:
            _refuse_key(key, list(known), path)
        if "enum" in names and key not in names["enum"]:
            _refuse_key(key, names["enum"], path, names["title"])
        _check_scalar(key, names, path, (*path, key))
    for key in rule.get("required", ()):
        if key not in value:
            raise Fault(path, f"missing key '{key}'")
    if not value and rule.get("minProperties"):
        raise Fault(path, "must have at least one entry")
    filled = {}
    for key, item in value.items():
        inner = known.get(key, others)
        filled[key] = item if inner is True else _conform(item, inner, (*path, key))
    for key, inner in known.items():
        if key not in filled and "default" in (inner := _resolve(inner)):
            filled[key] = _conform(inner["default"], inner, (*path, key))
    return filled


def _resolve(rule):
    """Follow a $ref to one of the schema's own $defs; keys beside it win."""
    while "$ref" in rule:
        target = schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")]
        rule = {**target, **{key: part for key, part in rule.items() if key != "$ref"}}
    return rule


def _branch(value, branches, path):
    """The branch of a oneOf that `value` means.

    A branch is known by the first key that it requires and, if that has one, by its const.
    """
    if not isinstance(value, Mapping):
        raise Fault(path, f"must be a mapping, not {_show(value)}")
    possible = {}
    for branch in branches:
        head = branch["required"][0]
        const = _resolve(branch["properties"][head]).get("const")
        if head in value and const in (None, value[head]):
            return branch
        possible.setdefault(head, []).append(const)
    for head, consts in possible.items():
        if head in value:
            raise Fault((*path, head), _unknown(head, value[head], consts))
    for key in value:
        known = list(dict.fromkeys(key for branch in branches for key in branch["properties"]))
        if key not in known:
            _refuse_key(key, known, path)
    raise Fault(path, f"missing key {' or '.join(map(repr, possible))}")


def _check_kind(value, rule, path):
    kinds = rule.get("type")
    if kinds is None:
        return
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(KINDS[kind][1](value) for kind in kinds):
        text = f"must be {' or '.join(KINDS[kind][0] for kind in kinds)}, not {_show(value)}"
        if isinstance(value, str) and {"number", "integer"} & set(kinds):
            text += _hint(value)
        raise Fault(path, text)


def _check_scalar(value, rule, path, at=None):
    if "enum" in rule and value not in rule["enum"]:
        raise Fault(path, _unknown(rule.get("title", path[-1]), value, rule["enum"]))
    text = isinstance(value, str)
    if (
        text
        and "pattern" in rule
        and not re.search(rule["pattern"].removesuffix("$") + r"\Z", value)
    ):
        raise Fault(path, f"{_show(value)} is not {rule['title']}", at)
    if value == "" and rule.get("minLength"):
        raise Fault(path, "must not be empty")
    if isinstance(value, (int, float)):
        for word, wrong, sentence in (
            ("minimum", lambda limit: value < limit, "at least"),
            ("exclusiveMinimum", lambda limit: value <= limit, "more than"),
            ("maximum", lambda limit: value > limit, "at most"),
            ("exclusiveMaximum", lambda limit: value >= limit, "less than"),
        ):
            if word in rule and wrong(rule[word]):
                raise Fault(path, f"must be {sentence} {rule[word]}, not {_show(value)}")


def _refuse_repeated(items, path):
    for index, item in enumerate(items):
        if item in items[:index]:
            raise Fault(path, f"{_show(item)} is given twice")


def _refuse_key(key, known, path, title="key"):
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    guess = f" did you mean '{close[0]}'?" if close else ""
    text = f"unknown {title} '{key}';{guess} known: {', '.join(known)}"
    raise Fault(path, text, (*path, key))


def _unknown(kind, name, known):
    return f"unknown {kind} {_show(name)}; known: {', '.join(known)}"


def _show(value):
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, (Mapping, list)):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _hint(text):
    """Why a number is text: YAML 1.1 takes 2e-3 for it, and so does Snakemake inside --config."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    if "e" in text.lower():
        digits, _, power = repr(number).partition("e")
        told = f"{digits if '.' in digits else digits + '.0'}e{power}" if power else digits
        return f"; YAML takes it for text, write {told}"
    return "; nested values of --config are text, put them in a file and name it by --configfile"


# Names that refer to each other


# Names that mean something else: averages in the table, and the prompt of a data set.
RESERVED = {"mean": "benchmarks generators prompts students", NO_PROMPT: "prompts"}


def _check_references(config):
    for name, registries in RESERVED.items():
        for registry in registries.split():
            if name in config[registry]:
                text = f"the name '{name}' is taken; choose another"
                raise Fault((registry,), text, (registry, name))
    _check_mini(config)
    for domain, names in config["generation"]["validators"].items():
        for name in names:
            if name not in VALIDATORS:
                path = ("generation", "validators", domain)
                raise Fault(path, _unknown("validator", name, VALIDATORS))
    for name, generator in config["generators"].items():
        for key in generator.get("extra", ()):
            if key in OWNED:
                text = f"'{key}' has a key of its own, or is decided by the pipeline"
                raise Fault(("generators", name, "extra"), text, ("generators", name, "extra", key))
    for name, benchmark in config["benchmarks"].items():
        path = ("benchmarks", name)
        if benchmark["shots"] and not benchmark["shots_from"]:
            raise Fault(path, "shots needs shots_from, the file that they are taken from")
        if (source := benchmark["shots_from"]) and source.startswith(BUILT):
            built = {f"{BUILT}seeds/{d}/{m}.jsonl" for d, ms in config["seeds"].items() for m in ms}
            if source not in built:
                text = _unknown("file", source, sorted(built))
                raise Fault((*path, "shots_from"), f"{text} (made from seeds)")
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            for part in source.get("parts", {None: source}).values():
                _check_part(config, ("seeds", domain, method), part)
    for name, experiment in config["experiments"].items():
        _check_experiment(config, ("experiments", name), experiment)


def _check_part(config, path, part):
    """What a source of seeds needs elsewhere in the config."""
    if part.get("longest") and not config["tokenizer"]:
        raise Fault(path, "longest counts tokens and needs the key 'tokenizer', which is missing")
    if chosen := part.get("classify"):
        name = chosen["generator"]
        asked = [known for known, g in config["generators"].items() if g["backend"] != "dataset"]
        if name not in asked:
            raise Fault((*path, "classify", "generator"), _unknown("generator", name, asked))


def _check_mini(config):
    """The miniature's own recipes and benchmarks; what they may be is known to its modules."""
    if config["mini"]:
        from agorabench.mini import models

        for name, recipe in config["mini"].items():
            if not isinstance(recipe, Mapping):
                raise Fault(("mini", name), f"must be a mapping, not {_show(recipe)}")
            for key in recipe:
                if key not in (known := models.recipe_keys(name)):
                    _refuse_key(key, list(known), ("mini", name))
    for name, benchmark in config["benchmarks"].items():
        if "source" in benchmark["source"]:
            from agorabench.mini import world

            if name not in world.BENCHMARKS:
                raise Fault(("benchmarks",), _unknown("mini benchmark", name, world.BENCHMARKS))


def _check_experiment(config, path, experiment):
    for axis in ("generators", "prompts", "students"):
        if axis == "prompts" and experiment[axis] == [NO_PROMPT] and not _asks(config, experiment):
            continue  # data sets only, which are asked nothing
        for name in experiment[axis]:
            if name not in config[axis]:
                text = _unknown(axis.removesuffix("s"), name, config[axis])
                raise Fault((*path, axis), text)
    for name in experiment["prompts"]:
        replies = config["prompts"].get(name, {}).get("replies")
        if replies == "json" and "response" in experiment["methods"]:
            text = f"prompt '{name}' asks for JSON replies, which method 'response' has no use for"
            raise Fault((*path, "prompts"), text)
    for domain in experiment["domains"]:
        if all(benchmark["domain"] != domain for benchmark in config["benchmarks"].values()):
            have = sorted({benchmark["domain"] for benchmark in config["benchmarks"].values()})
            raise Fault(
                (*path, "domains"),
                f"no benchmark is of domain '{domain}'; domains with benchmarks: {', '.join(have)}",
            )
        for name in experiment["generators"]:
            data = config["generators"][name].get("data")
            if data is not None and domain not in data:
                raise Fault(
                    (*path, "generators"),
                    f"generator '{name}' has no data for domain '{domain}';"
                    f" it has: {', '.join(data)}",
                )
        for method in experiment["methods"]:
            if _asks(config, experiment) and method not in config["seeds"].get(domain, {}):
                raise Fault(
                    path,
                    f"domain '{domain}' with method '{method}' needs seeds.{domain}.{method},"
                    " which is missing",
                )


def _asks(config, experiment):
    """Whether a generator of the experiment is asked for replies, which takes seeds and prompts."""
    return any(
        config["generators"][name]["backend"] != "dataset" for name in experiment["generators"]
    )


# Files


def _check_files(config, root):
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            least = config["generation"]["demonstrations"]["seed"] if method == "instance" else 1
            for name, part in source.get("parts", {None: source}).items():
                path = ("seeds", domain, method, *(("parts", name) if name else ()))
                _check_seeds(config, root, part, path, least, answered=method != "response")
    for name, benchmark in config["benchmarks"].items():
        if file := benchmark["source"].get("path"):
            path = ("benchmarks", name, "source", "path")
            if file.endswith(READ_HERE):
                _first(root, file, path)
            else:
                _check_there(root, file, path)
        if (shots := benchmark["shots_from"]) and not shots.startswith(BUILT):
            _check_pairs(root, shots, ("benchmarks", name, "shots_from"), benchmark["shots"])
    for name, generator in config["generators"].items():
        if generator["backend"] in LOCAL:
            _check_model(config, root, generator["model"], ("generators", name, "model"))
        for domain, source in generator.get("data", {}).items():
            if "path" in source:
                path = ("generators", name, "data", domain)
                place, row = _first(root, source["path"], (*path, "path"))
                for part in ("instruction", "response"):
                    try:
                        dataset.dig(row, source[part])
                    except (KeyError, IndexError, TypeError, ValueError):
                        text = f"no text in '{source[part]}' of {place}; known: {', '.join(row)}"
                        raise Fault((*path, part), text) from None
    for name, student in config["students"].items():
        for role in ("base", "reference"):
            _check_model(config, root, student[role]["model"], ("students", name, role, "model"))
    for section in ("themes", "openings"):
        for domain, file in config[section].items():
            try:
                prompts.read_lines(root / file)
            except UserError as error:
                raise Fault((section, domain), _short(error, root)) from None
    for name, experiment in config["experiments"].items():
        if _asks(config, experiment):
            _check_templates(config, root, ("experiments", name, "prompts"), experiment)


def _check_templates(config, root, path, experiment):
    for prompt in experiment["prompts"]:
        for method in experiment["methods"]:
            for domain in experiment["domains"]:
                file = Path(config["prompts"][prompt]["folder"]) / method / f"{domain}.md"
                try:
                    text = (root / file).read_text(encoding="utf-8")
                except OSError:
                    raise Fault(path, f"prompt '{prompt}' has no file {file}") from None
                except UnicodeDecodeError:
                    raise Fault(path, f"{file}: not text in UTF-8") from None
                prompts.check_template(text, method, file)
                for word, section in (("theme", "themes"), ("opening", "openings")):
                    if word in prompts.placeholders(text) and domain not in config[section]:
                        text = f"{file} has {{{word}}}, but {section}.{domain} is missing"
                        raise Fault(path, text)


def _check_seeds(config, root, part, path, least, answered):
    """Check the file of a source of seeds and the prompt that classifies its rows."""
    if "path" in part:
        own = all(part[key] == key for key in ("instruction", "response"))
        if own and part["convert"] == "plain" and part["path"].endswith(READ_HERE):
            _check_pairs(root, part["path"], (*path, "path"), least, answered)
        else:
            _check_there(root, part["path"], (*path, "path"))
    if chosen := part.get("classify"):
        file = chosen["prompt"]
        try:
            text = (root / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise Fault((*path, "classify", "prompt"), f"no text file {file}") from None
        prompts.check_template(text, "classify", file)


def _check_there(root, file, path):
    if not (root / file).exists():
        raise Fault(path, f"no file {file}")


def _check_model(config, root, model, path):
    """Check a local folder; an id on the hub, which has one slash at most, cannot be checked."""
    if not ((root / model).is_dir() or model.startswith((".", "/")) or model.count("/") > 1):
        return
    if (root / model / "config.json").is_file():
        return
    folder, _, name = model.rstrip("/").rpartition("/")
    if folder != MODELS:
        raise Fault(path, f"no model in {model}: there is no {folder}/{name}/config.json")
    if name not in config["mini"]:
        raise Fault(path, _unknown("model", model, (f"{MODELS}/{key}" for key in config["mini"])))


def _check_pairs(root, file, path, least=1, answered=True):
    """Every row has an instruction (and, if `answered`, a response) that is text and not blank."""
    count = 0
    for place, row in _rows(root, file, path):
        for part in ("instruction", "response")[: 1 + answered]:
            if not (isinstance(text := row.get(part), str) and text.strip()):
                text = f"has no '{part}'" if part not in row else f"has no text in '{part}'"
                raise Fault(path, f"{place} {text}")
        count += 1
    if count < max(least, 1):
        text = f"has {count} rows, fewer than the {least} to show" if count else "has no rows"
        raise Fault(path, f"{file} {text}")


def _first(root, file, path):
    for place, row in _rows(root, file, path):
        return place, row
    raise Fault(path, f"{file} has no rows")


def _rows(root, file, path):
    """(place, row) of JSON Lines, one line in memory at a time, or of one JSON list."""
    try:
        with open(root / file, encoding="utf-8") as lines:
            start = lines.read(1)
            lines.seek(0)
            whole = start == "["
            values = enumerate(json.load(lines) if whole else lines, 1)
            for number, value in values:
                place = f"{file}, {'row' if whole else 'line'} {number}"
                if not whole and not value.strip():
                    continue
                try:
                    row = value if whole else json.loads(value)
                except ValueError as error:
                    raise Fault(path, f"{place} is not JSON ({error})") from None
                if not isinstance(row, dict):
                    raise Fault(path, f"{place} is {type(row).__name__}, not a JSON object")
                yield place, row
    except OSError:
        raise Fault(path, f"no file {file}") from None
    except UnicodeDecodeError:
        raise Fault(path, f"{file} is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise Fault(path, f"{file} is not JSON ({error})") from None


def _short(error, root):
    return str(error).removeprefix(f"{root}/")


# Which file holds a fault


def _refuse_repeated_keys(files, root):
    import yaml

    for file in files:
        try:
            tree = yaml.compose((root / file).read_text(encoding="utf-8"), Loader=_loader())
        except (OSError, yaml.YAMLError):
            continue  # Snakemake has read it, perhaps as JSON, which YAML resembles but is not
        if found := _repeated(tree):
            path, key, first, second = found
            parts = [_name(file, root), ".".join(path)]
            text = f"'{key}' is given twice, on lines {first} and {second}"
            raise UserError(": ".join([*filter(None, parts), text]))


def _repeated(node, path=()):
    """(path, key, first line, second line) of the first key given twice in a YAML node, or None."""
    if node is None or isinstance(node.value, str):
        return None
    lines = {}
    for part in node.value:
        key, inner = part if isinstance(part, tuple) else (None, part)
        here = path
        if key is not None:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and name != "<<":
                return path, name, lines[name], line
            lines[name] = line
            here = (*path, name)
        if found := _repeated(inner, here):
            return found
    return None


def _holders(at, config, files, root):
    """The files whose value at key path `at` is the one in force, or "--config"."""
    if not files:
        return ""
    wanted = _at(config, at)
    found = {}
    for file in files:
        held = _at(_load(root / file), at)
        both = isinstance(held, Mapping) and isinstance(wanted, Mapping)
        if held is not ABSENT and (both or held == wanted):
            found[_name(file, root)] = None
    return ", ".join(found) or "--config"


def _at(config, path):
    for key in path:
        if not isinstance(config, Mapping) or key not in config:
            return ABSENT
        config = config[key]
    return config


def _name(file, root):
    path = (root / file).absolute()
    return str(path.relative_to(root.absolute()) if path.is_relative_to(root.absolute()) else file)


def _load(file):
    import yaml

    text = Path(file).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, Loader=_loader())


def _loader():
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is 10 times as fast


# The table of keys in config/README.md


def document(rule, path="", required=False):
    """Yield (key path, kind, default, description), in Markdown, of every key in a schema."""
    rule = _resolve(rule)
    if path and "description" in rule:
        default = rule.get("default", {})  # {} says no more than its own keys do
        shown = "required" if required else "" if default == {} else f"`{json.dumps(default)}`"
        yield f"`{path}`", _kind(rule), shown, rule["description"]
    for branch in rule.get("oneOf", ()):
        yield from document(branch, path)
    for key, inner in rule.get("properties", {}).items():
        yield from document(inner, f"{path}.{key}".strip("."), key in rule.get("required", ()))
    if isinstance(inner := rule.get("additionalProperties"), Mapping):
        label = rule["propertyNames"]["$ref"].rpartition("/")[2].upper()
        yield from document(inner, f"{path}.{label}")


def table():
    """The Markdown table of all keys."""
    rows = [("key", "is", "default", "meaning"), ("---",) * 4, *document(schema())]
    return "".join(f"| {' | '.join(row)} |\n" for row in dict.fromkeys(rows))


def _kind(rule):
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{word}`" for word in rule.get("enum", [rule.get("const")]))
    kinds = rule.get("type", "object")
    return " or ".join(KINDS[kind][0] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def main():
    """Renew the table in config/README.md."""
    readme = CONFIG / "README.md"
    head, _, _ = readme.read_text(encoding="utf-8").partition(TABLE)
    readme.write_text(f"{head}{TABLE}\n{table()}", encoding="utf-8")


if __name__ == "__main__":
    main()
