"""Check the files that a configuration names: data, prompts, templates, models."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from agorabench import matrix, paths
from agorabench.config.messages import ConfigFault, name_unknown
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import load_protocol, parse_items
from agorabench.evaluation.benchmarks.lm_eval import task_files
from agorabench.files import text_encoding, value_at
from agorabench.generation import prompts
from agorabench.intrinsic.judged import rubric_files
from agorabench.models.hub import (
    code_repositories,
    foreign_code_message,
    on_hub,
    pooling_message,
)
from agorabench.rows import LOOKED_AT, Unfit, read_field, read_pairs, text_fault

PAIR = ("instruction", "response")
JSON_ENDINGS = (".json", ".jsonl")  # of data files whose rows are checked before the run


def check_files(config: Mapping, root: Path) -> None:
    """Check the files that a config names, below the folder `root`.

    Raises:
        ConfigFault: the first that is missing or cannot be what it is named for.
    """
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            _check_seeds(config, root, ("seeds", domain, method), source, method)
    for section, check_entry in (
        ("benchmarks", _check_benchmark),
        ("generators", _check_generator),
        ("students", _check_student),
        ("intrinsic", _check_metric),
    ):
        for name, entry in config[section].items():
            check_entry(config, root, (section, name), entry)
    for section in ("themes", "openings"):
        for domain, file in config[section].items():
            try:
                prompts.read_lines(root / file)
            except UserError as error:
                raise ConfigFault((section, domain), str(error).removeprefix(f"{root}/")) from None
    for name, experiment in config["experiments"].items():
        if matrix.needs_prompts(config, experiment):
            _check_templates(config, root, ("experiments", name, "prompts"), experiment)


def _check_seeds(config, root, path, source, method):
    """Check the files of a seed set and the prompt that classifies its rows."""
    demonstrations = matrix.demonstrations(config, method)
    shown = demonstrations["seed"] if demonstrations else 1
    keys = PAIR if matrix.needs_responses(config, method) else PAIR[:1]
    for name, part in matrix.seed_parts(source).items():
        here = (*path, "parts", name) if name else path
        if file := part.get("path"):
            own = all(part[key] == key for key in PAIR) and part["convert"] == "plain"
            wanted = {"size takes": part["size"] or 1, "demonstrations show": 1 if name else shown}
            if not file.endswith(JSON_ENDINGS):
                _check_exists(root, file, (*here, "path"))
            elif own and not part["where"] and not part.get("format"):
                _check_pairs(root, file, (*here, "path"), wanted, keys)
            else:
                _check_dataset(root, part, here, wanted, keys)
        if chosen := part.get("classify"):
            text = _read_text(root, chosen["prompt"], (*here, "classify", "prompt"))
            prompts.check_template(text, "classify", chosen["prompt"])


def _check_benchmark(config, root, path, benchmark):
    file = benchmark["source"].get("path")
    if file and file.endswith(JSON_ENDINGS):
        place, row = _read_first(root, file, (*path, "source", "path"))
        if benchmark["protocol"] != "unscored" and hasattr(load_protocol(benchmark), "KEYS"):
            try:
                parse_items(benchmark, [row], file, lambda _: place.removeprefix(f"{file}, "))
            except UserError as error:
                raise ConfigFault(path, str(error)) from None
    elif file:
        _check_exists(root, file, (*path, "source", "path"))
    for task in task_files(benchmark.get("task", ""))[:1]:
        _check_exists(root, task, (*path, "task"))
    rubric, here = benchmark.get("rubric"), (*path, "rubric")
    if rubric and "{completion}" not in _read_text(root, rubric, here):
        raise ConfigFault(here, f"{rubric} has no {{completion}}, what the judge is to judge")
    for name, source in benchmark["files"].items():
        if "path" in source:
            _check_exists(root, source["path"], (*path, "files", name, "path"))
    shots, here = benchmark["shots_from"], (*path, "shots_from")
    if shots and not shots.startswith(paths.RESOURCES):
        wanted = {"shots show": benchmark["shots"]}
        if not shots.endswith(JSON_ENDINGS):
            _check_exists(root, shots, here)
        elif fields := benchmark.get("shots_fields"):
            _check_dataset(root, {"path": shots} | fields, here, wanted)
        else:
            _check_pairs(root, shots, here, wanted)


def _check_generator(config, root, path, generator):
    """Check the folder of a local model, and the first pair of each domain of a data set."""
    if generator["backend"] in matrix.LOCAL:
        _check_model(config, root, generator["model"], (*path, "model"))
    for domain, source in generator.get("data", {}).items():
        if "path" not in source:
            continue
        here = (*path, "data", domain)
        if source["path"].endswith(JSON_ENDINGS):
            own = [run for run in matrix.expand_runs(config) if run.domain == domain]
            trained = {matrix.reference_run(config, run.student, domain) for run in own} - {None}
            runs = [*own, *trained]
            sizes = (run.size for run in runs if run.generator == path[-1])
            _check_dataset(root, source, here, {"experiments take": max(sizes, default=1)})
        else:
            _check_exists(root, source["path"], (*here, "path"))


def _check_dataset(root, source, path, wanted, keys=PAIR):
    """Check that one of the first rows of a file has the pair, or the instruction alone, that its
    source names, and that there are as many rows as are `wanted` (what for -> number)."""
    first, fits, count, reason = None, False, 0, None
    for place, row in _read_rows(root, source["path"], (*path, "path")):
        first, count = first or (place, row), count + 1
        if not fits and count <= LOOKED_AT:
            try:
                whole = keys == PAIR or source.get("format") == "messages"
                pairs = read_pairs(row, source) if whole else []
                texts = [pair[key] for pair in pairs for key in PAIR]
                texts = texts or [read_field(row, source[keys[0]])]
                fits = not any(map(text_fault, texts))
            except (Unfit, KeyError) as fault:
                reason = reason or fault
        if count >= (max(wanted.values()) if fits else LOOKED_AT):
            break
    exact = fits and source.get("turns") != "split"  # a row is a pair
    _check_count(source["path"], count, wanted if exact else {}, (*path, "path"))
    place, row = first
    for field in source.get("where", ()):
        try:
            value_at(row, field)
        except KeyError:
            text = f"no field '{field}' in {place}; known: {', '.join(row)}"
            raise ConfigFault((*path, "where"), text) from None
    if fits:
        return
    if source.get("format") == "messages":
        text = (
            f"{reason or 'no text'} ({place}); turns: split reads several rounds, roles names roles"
        )
        raise ConfigFault((*path, "format"), text)
    for key in keys:
        field = source[key]
        try:
            fault = text_fault(read_field(row, field))
        except KeyError as missing:
            (field,), fault = missing.args, "missing"
        if fault:
            text = f"no text in '{field}' of {place}; known: {', '.join(row)}"
            raise ConfigFault((*path, key), text)
    raise ConfigFault(path, f"{place}: the turns are others than a question and its answer")


def _check_count(file, count, wanted, path):
    """Check that a file has rows, as many as are `wanted` (what for -> number)."""
    if not count:
        raise ConfigFault(path, f"{file} has no rows")
    for purpose, number in wanted.items():
        if count < number:
            raise ConfigFault(
                path, f"{file} has {count} rows, fewer than the {number} that {purpose}"
            )


def _check_student(config, root, path, student):
    models = {(role,): student[role] for role in matrix.ANCHORS}
    models |= {("references", name): entry for name, entry in student["references"].items()}
    for role, entry in models.items():
        if entry and "model" in entry:
            _check_model(config, root, entry["model"], (*path, *role, "model"))
    if student["template"]:
        _check_exists(root, student["template"], (*path, "template"))


def _check_metric(config, root, path, metric):
    if metric["measure"] == "judged":
        _check_rubrics(config, root, (*path, "rubrics"), metric["rubrics"])
    if "model" not in metric:
        return
    _check_model(config, root, metric["model"], (*path, "model"))
    if metric.get("trust_remote_code"):
        _check_code(root, (*path, "trust_remote_code"), metric["model"], metric["revision"])
    local = not on_hub(root, metric["model"])
    pooling = root / metric["model"] / "modules.json"  # of sentence-transformers
    if metric.get("pooling") == "model" and local and not pooling.is_file():
        raise ConfigFault((*path, "pooling"), pooling_message(metric["model"]))
    if metric.get("template"):
        _check_exists(root, metric["template"], (*path, "template"))


def _check_rubrics(config, root, path, folder):
    """Check the question to a judge, for every domain of the experiments."""
    experiments = config["experiments"].values()
    for domain in sorted({name for entry in experiments for name in entry["domains"]}):
        question, rubric = (_read_text(root, file, path) for file in rubric_files(folder, domain))
        prompts.check_template(question, "judge", f"{folder}/prompt.md")
        if not rubric.strip():
            raise ConfigFault(path, f"{folder}/{domain}.md is empty")


def _check_code(root, path, model, revision):
    """Check that code which a model brings along is executed only where it cannot change."""
    if not on_hub(root, model):
        if others := code_repositories(root / model):
            raise ConfigFault(path, foreign_code_message(model, others))
    elif not revision:
        text = (
            f"would execute what {model} on the hub may become: name the revision, a commit hash "
            "(40 hexadecimal digits), or a local folder as the model"
        )
        raise ConfigFault(path, text)


def _check_model(config, root, model, path):
    """Check the folder of a local model; an id on the hub is checked when a run begins."""
    if on_hub(root, model) or (root / model / "config.json").is_file():
        return
    folder, _, name = model.rstrip("/").rpartition("/")
    if folder != paths.LOCAL_MODELS:
        raise ConfigFault(path, f"no model in {model}: there is no {folder}/{name}/config.json")
    if name not in config["mini"]:
        built = (f"{paths.LOCAL_MODELS}/{key}" for key in config["mini"])
        raise ConfigFault(path, name_unknown("model", model, built))


def _check_templates(config, root, path, experiment):
    """Check the meta-prompts of an experiment."""
    for prompt in experiment["prompts"]:
        for method in experiment["methods"]:
            for domain in experiment["domains"]:
                file = Path(config["prompts"][prompt]["folder"]) / method / f"{domain}.md"
                if not (root / file).is_file():
                    raise ConfigFault(path, f"prompt '{prompt}' has no file {file}")
                _check_template(config, root, path, file, method, domain)


def _check_template(config, root, path, file, method, domain):
    """Check the placeholders of a meta-prompt, and that the config says what they stand for."""
    text = _read_text(root, file, path)
    shows = config["methods"][method]["shows"]
    prompts.check_template(text, shows, file, f"method {method}")
    for word, section in (("theme", "themes"), ("opening", "openings")):
        if word in prompts.list_placeholders(text) and domain not in config[section]:
            raise ConfigFault(path, f"{file} has {{{word}}}, but {section}.{domain} is missing")


def _check_exists(root, file, path):
    if not (root / file).exists():
        raise ConfigFault(path, f"no file {file}")


def _check_pairs(root, file, path, wanted, keys=PAIR):
    """Check that a file has as many rows as are `wanted` (what for -> number), each with text that
    is not blank in `keys`."""
    count = 0
    for place, row in _read_rows(root, file, path):
        count += 1
        for key in keys:
            if not (isinstance(text := row.get(key), str) and text.strip()):
                text = f"has no '{key}'" if key not in row else f"has no text in '{key}'"
                raise ConfigFault(path, f"{place} {text}")
    _check_count(file, count, wanted, path)


def _read_text(root, file, path):
    try:
        return (root / file).read_text(encoding="utf-8")
    except OSError:
        raise ConfigFault(path, f"no text file {file}") from None
    except UnicodeDecodeError:
        raise ConfigFault(path, f"{file} is not text in UTF-8") from None


def _read_first(root, file, path):
    """Return (place, row) of the first row."""
    for place, row in _read_rows(root, file, path):
        return place, row
    raise ConfigFault(path, f"{file} has no rows")


def _read_rows(root, file, path) -> Iterator[tuple[str, dict]]:
    """Yield (place, row) of JSON Lines, one line in memory at a time, or of one JSON list."""
    try:
        with open(root / file, encoding=text_encoding(root / file)) as lines:
            whole = lines.read(1000).lstrip()[:1] == "["
            lines.seek(0)
            for number, value in enumerate(json.load(lines) if whole else lines, 1):
                place = f"{file}, {'row' if whole else 'line'} {number}"
                if not whole:
                    if not value.strip():
                        continue
                    value = _parse_line(value, place, path)
                if not isinstance(value, dict):
                    raise ConfigFault(path, f"{place} is {type(value).__name__}, not a JSON object")
                yield place, value
    except OSError:
        raise ConfigFault(path, f"no file {file}") from None
    except UnicodeDecodeError:
        raise ConfigFault(path, f"{file} is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigFault(path, f"{file} is not JSON ({error})") from None


def _parse_line(line, place, path):
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigFault(path, f"{place} is not JSON ({error})") from None
