"""Check the files that a configuration names: data, prompts, templates, models."""

import json
from pathlib import Path

from agorabench import matrix
from agorabench.config.schema import Fault, unknown
from agorabench.errors import UserError
from agorabench.generation import prompts
from agorabench.intrinsic.judged import rubric_files
from agorabench.llm import dataset
from agorabench.models.hub import (
    MODELS,
    code_repositories,
    foreign_code_message,
    on_hub,
    pooling_message,
)

BUILT = "resources/"  # what the pipeline itself makes; absent before its first run
READ_HERE = (".json", ".jsonl")  # endings of data files whose rows are checked before the run


def check_files(config, root):
    """Check the files that a config names, below the folder `root`.

    Raises:
        Fault: the first that is missing or cannot be what it is named for.
    """
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
        for file, source in benchmark["files"].items():
            if "path" in source:
                _check_there(root, source["path"], ("benchmarks", name, "files", file, "path"))
        if (shots := benchmark["shots_from"]) and not shots.startswith(BUILT):
            _check_pairs(root, shots, ("benchmarks", name, "shots_from"), benchmark["shots"])
    for name, generator in config["generators"].items():
        if generator["backend"] in matrix.LOCAL:
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
        roles = {(role,): student[role] for role in matrix.ANCHORS}
        roles |= {("references", key): entry for key, entry in student["references"].items()}
        for role, entry in roles.items():
            _check_model(config, root, entry["model"], ("students", name, *role, "model"))
        if student["template"]:
            _check_there(root, student["template"], ("students", name, "template"))
    for name, metric in config["intrinsic"].items():
        path = ("intrinsic", name)
        if metric["measure"] == "judged":
            _check_rubrics(config, root, (*path, "rubrics"), metric["rubrics"])
            continue
        _check_model(config, root, metric["model"], (*path, "model"))
        _check_code(root, metric, path)
        _check_pooling(root, metric, path)
        if metric.get("template"):
            _check_there(root, metric["template"], (*path, "template"))
    for section in ("themes", "openings"):
        for domain, file in config[section].items():
            try:
                prompts.read_lines(root / file)
            except UserError as error:
                raise Fault((section, domain), _short(error, root)) from None
    for name, experiment in config["experiments"].items():
        if matrix.needs_prompts(config, experiment):
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
                    if word in prompts.list_placeholders(text) and domain not in config[section]:
                        text = f"{file} has {{{word}}}, but {section}.{domain} is missing"
                        raise Fault(path, text)


def _check_rubrics(config, root, path, folder):
    """Check the question to a judge, for every domain of the experiments."""
    domains = {name for one in config["experiments"].values() for name in one["domains"]}
    for domain in sorted(domains):
        question, rubric = (_text(root, file, path) for file in rubric_files(folder, domain))
        prompts.check_template(question, "judge", f"{folder}/prompt.md")
        if not rubric.strip():
            raise Fault(path, f"{folder}/{domain}.md is empty")


def _text(root, file, path):
    """The text of a file."""
    try:
        return (root / file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Fault(path, f"no text file {file}") from None


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
        text = _text(root, file, (*path, "classify", "prompt"))
        prompts.check_template(text, "classify", file)


def _check_there(root, file, path):
    if not (root / file).exists():
        raise Fault(path, f"no file {file}")


def _check_code(root, metric, path):
    """Code that a model brings along is executed only where it cannot change."""
    if not metric.get("trust_remote_code"):
        return
    model = metric["model"]
    if not on_hub(root, model):
        if others := code_repositories(root / model):
            raise Fault((*path, "trust_remote_code"), foreign_code_message(model, others))
    elif not metric["revision"]:
        text = (
            f"would execute what {model} on the hub may become: name the revision, a commit hash "
            "(40 hexadecimal digits), or a local folder as the model"
        )
        raise Fault((*path, "trust_remote_code"), text)


def _check_pooling(root, metric, path):
    """A folder says how to pool only if it is a model of sentence-transformers."""
    model = metric["model"]
    if metric.get("pooling") != "model" or on_hub(root, model):
        return
    if not (root / model / "modules.json").is_file():
        raise Fault((*path, "pooling"), pooling_message(model))


def _check_model(config, root, model, path):
    """Check a local folder; an id on the hub is looked for where a run begins."""
    if on_hub(root, model):
        return
    if (root / model / "config.json").is_file():
        return
    folder, _, name = model.rstrip("/").rpartition("/")
    if folder != MODELS:
        raise Fault(path, f"no model in {model}: there is no {folder}/{name}/config.json")
    if name not in config["mini"]:
        raise Fault(path, unknown("model", model, (f"{MODELS}/{key}" for key in config["mini"])))


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
