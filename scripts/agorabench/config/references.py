"""Check the configuration before the DAG is built, and fill in its defaults.

Its form is that of config/schema.py. What a schema cannot say, names that refer to each other, is
checked here; the files that it names by agorabench.config.files.
"""

from collections.abc import Mapping
from pathlib import Path

from agorabench import matrix
from agorabench.config.files import BUILT, check_files
from agorabench.config.schema import Fault, conform, load, loader, schema, unknown
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import JUDGED, load_protocol
from agorabench.generation.validators import VALIDATORS
from agorabench.plugins import list_plugins, load_plugins, plugin_faults

ABSENT = object()
PROTOCOLS = Path(__file__).resolve().parents[1] / "evaluation" / "benchmarks"  # a module each
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
WHOLE = 1e-6  # by which shares may miss 1: thirds have no end
HIDDEN = "GPUs are hidden with warm: true; set it to false"


def check_config(config, files=(), root=".", files_too=True):
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
        filled = conform(config, schema())
        _check_references(filled, root)
        if files_too:
            check_files(filled, root)
    except Fault as fault:
        parts = [_holders(fault.at, config, files, root), ".".join(map(str, fault.path))]
        raise UserError(": ".join([*filter(None, parts), fault.text])) from None
    return filled


def load_config(file):
    """The checked config in one file, YAML or JSON; the files that it names are not looked at.

    JSON is read as such: to YAML its 1e-05 is text.
    """
    return check_config(load(file), [file], files_too=False)


# Names that refer to each other


# Names that mean something else: averages in the table, and the prompt of a data set.
RESERVED = {
    "mean": "benchmarks generators prompts students",
    "generators": "students",  # a folder of results
    "problem-solving": "intrinsic",  # a feature beside them
    # Columns beside theirs.
    **dict.fromkeys(("pgr", "low", "high", "generator", "method", "domain"), "intrinsic"),
    matrix.NO_PROMPT: "prompts",
}


def _check_references(config, root="."):
    for name, registries in RESERVED.items():
        for registry in registries.split():
            if name in config[registry]:
                text = f"the name '{name}' is taken; choose another"
                raise Fault((registry,), text, (registry, name))
    try:
        modules = load_plugins(config["plugins"], root)
    except UserError as error:
        raise Fault(("plugins",), str(error)) from None
    _check_plugins(config, modules)
    validators = [*VALIDATORS, *list_plugins("validator", modules)]
    for domain, names in config["generation"]["validators"].items():
        for name in names:
            if name not in validators:
                path = ("generation", "validators", domain)
                raise Fault(path, unknown("validator", name, validators))
    for name, generator in config["generators"].items():
        for key in generator.get("extra", ()):
            if key in OWNED:
                text = f"'{key}' has a key of its own, or is decided by the pipeline"
                raise Fault(("generators", name, "extra"), text, ("generators", name, "extra", key))
        if "of" in generator:
            _check_mixture(config, ("generators", name, "of"), generator["of"])
        _check_active(("generators", name), generator)
    own = [file.stem for file in PROTOCOLS.glob("[!_]*.py")]
    protocols = [*sorted([*own, *list_plugins("protocol", modules)]), "unscored"]
    for name, benchmark in config["benchmarks"].items():
        path = ("benchmarks", name)
        if benchmark["protocol"] not in protocols:
            text = unknown("protocol", benchmark["protocol"], protocols)
            raise Fault((*path, "protocol"), text)
        _check_score(path, benchmark)
        if benchmark["shots"] and not benchmark["shots_from"]:
            raise Fault(path, "shots needs shots_from, the file that they are taken from")
        if (source := benchmark["shots_from"]) and source.startswith(BUILT):
            built = {f"{BUILT}seeds/{d}/{m}.jsonl" for d, ms in config["seeds"].items() for m in ms}
            if source not in built:
                text = unknown("file", source, sorted(built))
                raise Fault((*path, "shots_from"), f"{text} (made from seeds)")
        _check_judge(config, path, benchmark)
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            for part in source.get("parts", {None: source}).values():
                _check_part(config, ("seeds", domain, method), part)
    for name, metric in config["intrinsic"].items():
        _check_metric(config, ("intrinsic", name), metric)
    for name, student in config["students"].items():
        _check_student(config, ("students", name), student)
    for name, experiment in config["experiments"].items():
        _check_experiment(config, ("experiments", name), experiment)


def _check_score(path, benchmark):
    """The score that counts is one that the protocol has."""
    if (name := benchmark["score"]) and benchmark["protocol"] != "unscored":
        known = getattr(load_protocol(benchmark), "ALSO", ())
        if name not in known:
            text = unknown("score", name, known) if known else "the protocol has one score only"
            raise Fault((*path, "score"), text)


def _check_judge(config, path, benchmark):
    """A protocol with a judge has one, and the files that it needs; another has neither."""
    protocol, name = benchmark["protocol"], benchmark["judge"]
    if protocol not in JUDGED:
        if name and protocol != "unscored":
            raise Fault((*path, "judge"), f"protocol '{protocol}' has no judge")
        return
    _check_asked(config, (*path, "judge"), name)
    for file, what in load_protocol(benchmark).FILES.items():
        if file not in benchmark["files"]:
            text = f"protocol '{protocol}' needs files.{file}, {what}"
            raise Fault(path, text)


def _check_asked(config, path, name, at=None):
    """Is this a generator that can be asked, and no data set or mixture?"""
    asked = matrix.model_generators(config)
    if name in asked:
        return
    if name not in config["generators"]:
        raise Fault(path, unknown("generator", name, asked), at)
    kind = "a mixture" if "of" in config["generators"][name] else "a data set"
    raise Fault(path, f"'{name}' is {kind}, which cannot be asked; known: {', '.join(asked)}", at)


def _check_active(path, generator):
    """The parameters that work on a token are some of all."""
    if (active := generator.get("active")) is None:
        return
    if (parameters := generator["parameters"]) is None:
        raise Fault(path, "active needs parameters, all that the model has")
    if active > parameters:
        text = f"must be at most parameters, {parameters:g}, not {active:g}"
        raise Fault((*path, "active"), text)


def _check_metric(config, path, metric):
    """Whether a metric's judge can be asked, and its GPUs can be seen and used."""
    if metric["measure"] == "judged":
        _check_asked(config, (*path, "judge"), metric["judge"])
    elif config["warm"] and metric["gpus"]:
        raise Fault((*path, "gpus"), HIDDEN)
    elif metric.get("pooling") == "model" and metric["gpus"] > 1:
        text = f"pooling: model uses one GPU: must be at most 1, not {metric['gpus']}"
        raise Fault((*path, "gpus"), text)


def _check_mixture(config, path, shares):
    """Its parts are generators that are asked, and its shares make up one whole."""
    for part in shares:
        _check_asked(config, path, part, (*path, part))
    if abs(sum(shares.values()) - 1) > WHOLE:
        raise Fault(path, f"the shares must add up to 1, not to {sum(shares.values()):g}")


def _check_student(config, path, student):
    """Whether its batches can be shared out among its GPUs, and the GPUs can be seen."""
    hardware, size = student["hardware"], student["recipe"]["batch_size"]
    if config["warm"] and (hardware["gpus"] or hardware["predict_gpus"]):
        raise Fault((*path, "hardware"), HIDDEN)
    devices = max(1, hardware["gpus"])
    share = devices * (hardware["per_device"] or 1)
    if size % share:
        text = f"batch_size {size} cannot be shared out among {devices} GPUs"
        if hardware["per_device"]:
            text += f" with {hardware['per_device']} examples each"
        raise Fault((*path, "hardware"), f"{text}: it is no multiple of {share}")


def _check_part(config, path, part):
    """What a source of seeds needs elsewhere in the config."""
    if part.get("longest") and not config["tokenizer"]:
        raise Fault(path, "longest counts tokens and needs the key 'tokenizer', which is missing")
    if chosen := part.get("classify"):
        _check_asked(config, (*path, "classify", "generator"), chosen["generator"])


def _check_plugins(config, modules):
    """What plug-ins say against the config, and sources that none of them offers."""
    for name, benchmark in config["benchmarks"].items():
        path = ("benchmarks", name, "source")
        _check_offered("benchmark_source", benchmark["source"], path, modules)
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            _check_offered("seed_source", source, ("seeds", domain, method), modules)
    for path, text, at in plugin_faults(config, modules):
        raise Fault(path, text, at)


def _check_offered(kind, source, path, modules):
    """A source that a plug-in makes is one that a plug-in of the config offers."""
    known = list_plugins(kind, modules)
    if "source" in source and source["source"] not in known:
        text = unknown("source", source["source"], known or ["none; name a plug-in under plugins"])
        raise Fault((*path, "source"), text)


def _check_experiment(config, path, experiment):
    for axis in ("generators", "prompts", "students"):
        none = axis == "prompts" and experiment[axis] == [matrix.NO_PROMPT]
        if none and not matrix.needs_prompts(config, experiment):
            continue  # data sets only, which are asked nothing
        for name in experiment[axis]:
            if name not in config[axis]:
                text = unknown(axis.removesuffix("s"), name, config[axis])
                if axis == "prompts" and name == matrix.NO_PROMPT:
                    known = ", ".join(config[axis])
                    text = f"prompt '{name}' is for experiments of data sets alone; known: {known}"
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
        mine = [config["benchmarks"][name] for name in matrix.scored_benchmarks(config, domain)]
        if mine and not any(benchmark["in_mean"] for benchmark in mine):
            raise Fault(
                (*path, "domains"),
                f"no scored benchmark of domain '{domain}' counts in its mean: in_mean is false",
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
            if matrix.needs_prompts(config, experiment) and method not in config["seeds"].get(
                domain, {}
            ):
                raise Fault(
                    path,
                    f"domain '{domain}' with method '{method}' needs seeds.{domain}.{method},"
                    " which is missing",
                )


# Which file holds a fault


def _refuse_repeated_keys(files, root):
    import yaml

    for file in files:
        try:
            tree = yaml.compose((root / file).read_text(encoding="utf-8"), Loader=loader())
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
    """The files whose value at key path `at` is the one in force, or "--config".

    A default is in no file: what holds it is the nearest mapping above that is in the config.
    """
    if not files:
        return ""
    while (wanted := _at(config, at)) is ABSENT:
        at = at[:-1]
    found = {}
    for file in files:
        held = _at(load(root / file), at)
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
