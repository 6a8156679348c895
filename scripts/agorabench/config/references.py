"""Check that the names in a configuration which refer to each other fit together."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from agorabench import matrix, paths
from agorabench.config.messages import ConfigFault, name_unknown, refuse_key
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import JUDGED, lm_eval, load_protocol
from agorabench.generation import validators as checks
from agorabench.plugins import list_plugins, load_plugins, plugin_faults

PROTOCOLS = Path(__file__).resolve().parents[1] / "evaluation" / "benchmarks"  # a module each
# Parameters of a request that `extra` cannot set: the ceiling of its cost would not know of them.
OWNED = (
    "model messages system stream n max_tokens max_completion_tokens temperature top_p stop "
    "stop_sequences seed response_format output_config"
)
# Keys of a benchmark that only protocols with KEYS read.
DESCRIBING = "prompt answer extract compare choices by rubric scale task"
# Keys of a metric that name others -> what these measure: they have values of examples.
MADE_OF = {"perplexity": ("perplexity",), "reward": ("reward", "judged")}
TOLERANCE = 1e-6  # by which shares may miss 1: thirds have no end
HIDDEN = "GPUs are hidden with warm: true; set it to false"
# Names that mean something else: averages in the table, and the prompt of a data set.
RESERVED = {
    "mean": "benchmarks domains generators methods prompts students",
    "generators": "students",  # a folder of results
    # Folders of journals.
    **dict.fromkeys(("judge", "assess", "ability", "classify"), "domains"),
    "problem-solving": "intrinsic",  # a feature beside them
    # Columns beside theirs.
    **dict.fromkeys(("pgr", "low", "high", "generator", "method", "domain"), "intrinsic"),
    matrix.NO_PROMPT: "prompts",
}


def check_references(config: Mapping, root: Path) -> None:
    """Check the names in a config with all defaults that refer to others, and what goes together.

    Plug-ins are loaded, those that are files from below the folder `root`.

    Raises:
        ConfigFault: the first that does not.
    """
    for name, registries in RESERVED.items():
        for registry in registries.split():
            if name in config[registry]:
                text = f"the name '{name}' is taken; choose another"
                raise ConfigFault((registry,), text, (registry, name))
    try:
        modules = load_plugins(config["plugins"], root)
    except UserError as error:
        raise ConfigFault(("plugins",), str(error)) from None
    _check_plugins(config, modules)
    _check_tasks(config)
    validators = [*checks.VALIDATORS, *list_plugins("validator", modules)]
    chosen = {("generation", "validators"): config["generation"]["validators"]}
    for domain, entry in config["domains"].items():
        chosen["domains", domain] = {"validators": entry["validators"]}
    for path, lists in chosen.items():
        for key, names in lists.items():
            for name in names:
                if isinstance(name, str):
                    check_known("validator", name, validators, (*path, key))
                else:
                    _check_parameter(root, (*path, key), name)
    own = [file.stem for file in PROTOCOLS.glob("[!_]*.py")]
    protocols = [*sorted([*own, *list_plugins("protocol", modules)]), "unscored"]
    for name, benchmark in config["benchmarks"].items():
        check_known("protocol", benchmark["protocol"], protocols, ("benchmarks", name, "protocol"))
    for section, check_entry in (
        ("generators", _check_generator),
        ("benchmarks", _check_benchmark),
        ("seeds", _check_seeds),
        ("intrinsic", _check_metric),
        ("students", _check_student),
        ("experiments", _check_experiment),
    ):
        for name, entry in config[section].items():
            check_entry(config, (section, name), entry)


def _check_tasks(config):
    """Check what methods show and reply, and the names of domains and methods wherever they are."""
    for name, method in config["methods"].items():
        _check_method(("methods", name), method)
    keyed = {(name,): config[name] for name in ("seeds", "themes", "openings")}
    keyed["generation", "validators"] = config["generation"]["validators"]
    for name, generator in config["generators"].items():
        keyed["generators", name, "data"] = generator.get("data", ())
    for name in config["domains"]:
        if name == "anchor" or name.startswith("generator_"):  # rules predict_...
            text = "the name is taken: 'anchor', and what begins with 'generator_'"
            raise ConfigFault(("domains",), text, ("domains", name))
    for path, names in keyed.items():
        for name in names:
            if name not in config["domains"]:
                refuse_key(name, config["domains"], path, "domain")
    for domain, methods in config["seeds"].items():
        for name in methods:
            if name not in config["methods"]:
                refuse_key(name, config["methods"], ("seeds", domain), "method")
    for name, benchmark in config["benchmarks"].items():
        path = ("benchmarks", name, "domain")
        check_known("domain", benchmark["domain"], config["domains"], path)
    for name, experiment in config["experiments"].items():
        for axis in ("domains", "methods"):
            for one in experiment[axis]:
                path = ("experiments", name, axis)
                check_known(axis.removesuffix("s"), one, config[axis], path)


def _check_parameter(root, path, check):
    """Check a validator with a parameter."""
    if len(check) != 1:
        told = ", ".join(check) or "none"
        known = ", ".join(checks.WITH_PARAMETER)
        raise ConfigFault(path, f"a validator with a parameter has one of {known}, not {told}")
    if language := check.get("language"):
        check_known("language", language, checks.list_languages(), path)
    schema = check.get("json", True)
    if schema is False:
        raise ConfigFault(path, "json is true, or the file of a JSON Schema, not false")
    if schema is not True:
        try:
            checks.read_schema(str(root / schema))
        except UserError as error:
            raise ConfigFault(path, str(error).replace(f"{root}/", "")) from None


def _check_method(path, method):
    """Check that a method's replies have an instruction where the seeds' own is not shown alone."""
    reply, shows = method["reply"], method["shows"]
    if reply["instruction"] and not reply["response"]:
        text = "an instruction with a marker needs one for the response, which says where it begins"
        raise ConfigFault((*path, "reply"), text, (*path, "reply", "instruction"))
    if reply["instruction"] and reply["instruction"] == reply["response"]:
        raise ConfigFault((*path, "reply"), "the two markers must not be the same")
    if shows in ("examples", "nothing") and not reply["instruction"]:
        text = f"shows {shows}: a reply needs markers of an instruction and of a response"
        raise ConfigFault((*path, "reply"), text)
    for key in ("demonstrations", "first_wave"):
        if method[key] and shows != "examples":
            raise ConfigFault((*path, key), f"shows {shows}: there are no demonstrations")
    if method["train_on_seeds"] and shows == "nothing":
        raise ConfigFault((*path, "train_on_seeds"), "shows nothing: there is no seed data")


def check_known(kind: str, name: str, known: Iterable[str], path: tuple) -> None:
    """Raise a ConfigFault at a key path if a name is none of the known ones."""
    if name not in (known := list(known)):
        raise ConfigFault(path, name_unknown(kind, name, known))


def _check_generator(config, path, generator):
    for key in generator.get("extra", ()):
        if key in OWNED.split():
            text = f"'{key}' has a key of its own, or is decided by the pipeline"
            raise ConfigFault((*path, "extra"), text, (*path, "extra", key))
    for domain, source in generator.get("data", {}).items():
        _check_turns((*path, "data", domain), source)
    if "of" in generator:
        _check_mixture(config, (*path, "of"), generator["of"])
    active = generator.get("active")  # of a mixture of experts
    if active and generator["parameters"] is None:
        raise ConfigFault(path, "active needs parameters, all that the model has")
    if active and active > generator["parameters"]:
        text = f"must be at most parameters, {generator['parameters']:g}, not {active:g}"
        raise ConfigFault((*path, "active"), text)


def _check_mixture(config, path, shares):
    """Check that a mixture's parts are backed by models, and that its shares add up to 1."""
    for name in shares:
        _check_queried(config, path, name, (*path, name))
    if abs(sum(shares.values()) - 1) > TOLERANCE:
        raise ConfigFault(path, f"the shares must add up to 1, not to {sum(shares.values()):g}")


def _check_queried(config, path, name, at=None):
    """Check that a generator is backed by a model, and is no data set or mixture."""
    known = matrix.model_generators(config)
    if name in known:
        return
    if name not in config["generators"]:
        raise ConfigFault(path, name_unknown("generator", name, known), at)
    kind = "a mixture" if "of" in config["generators"][name] else "a data set"
    raise ConfigFault(
        path, f"'{name}' is {kind}, which cannot be asked; known: {', '.join(known)}", at
    )


def _check_benchmark(config, path, benchmark):
    _check_keys(path, benchmark)
    _check_score((*path, "score"), benchmark)
    _check_turns((*path, "shots_fields"), benchmark.get("shots_fields", {}))
    shots_from = benchmark["shots_from"]
    if benchmark["shots"] and not shots_from:
        raise ConfigFault(path, "shots needs shots_from, the file that they are taken from")
    if shots_from and shots_from.startswith(paths.RESOURCES):
        seeds = config["seeds"].items()
        built = [paths.seed_rows(domain, method) for domain, methods in seeds for method in methods]
        if shots_from not in built:
            text = name_unknown("file", shots_from, sorted(built))
            raise ConfigFault((*path, "shots_from"), f"{text} (made from seeds)")
    _check_judge(config, path, benchmark)


def _check_keys(path, benchmark):
    """Check that a benchmark has the keys that describe it to its protocol, and none of others'."""
    name = benchmark["protocol"]
    keys = {} if name == "unscored" else getattr(load_protocol(benchmark), "KEYS", {})
    for key, meaning in keys.items():
        if meaning and key not in benchmark:
            raise ConfigFault(path, f"protocol '{name}' needs {key}, {meaning}")
    if "task" in benchmark and not lm_eval.is_installed():
        raise ConfigFault((*path, "protocol"), lm_eval.MISSING)
    for key in DESCRIBING.split():
        if key in benchmark and key not in keys:
            has = f"; it has: {', '.join(keys)}" if keys else ""
            raise ConfigFault((*path, key), f"protocol '{name}' has no key '{key}'{has}")


def _check_score(path, benchmark):
    """Check that the score that counts is one that the protocol has."""
    if benchmark["score"] and benchmark["protocol"] != "unscored":
        known = getattr(load_protocol(benchmark), "ALSO", ())
        if known is None:  # lm-eval's tasks have their own
            return
        if not known:
            raise ConfigFault(path, "the protocol has one score only")
        check_known("score", benchmark["score"], known, path)


def _check_judge(config, path, benchmark):
    """Check that a protocol with a judge has one and its files, and that another has neither."""
    protocol, judge = benchmark["protocol"], benchmark["judge"]
    if protocol in JUDGED:
        _check_queried(config, (*path, "judge"), judge)
        for file, meaning in load_protocol(benchmark).FILES.items():
            if file not in benchmark["files"]:
                raise ConfigFault(path, f"protocol '{protocol}' needs files.{file}, {meaning}")
    elif judge and protocol != "unscored":
        raise ConfigFault((*path, "judge"), f"protocol '{protocol}' has no judge")


def _check_seeds(config, path, methods):
    """Check what the sources of a domain's seeds need elsewhere in the config."""
    for method, source in methods.items():
        shown = matrix.demonstrations(config, method)
        sizes = [part.get("size") for part in matrix.seed_parts(source).values()]
        if shown and all(sizes) and sum(sizes) < shown["seed"]:
            text = f"takes {sum(sizes)} rows, fewer than the {shown['seed']} that demonstrations"
            raise ConfigFault((*path, method), f"{text} show")
    parts = [
        ((*path, method), part)
        for method, source in methods.items()
        for part in matrix.seed_parts(source).values()
    ]
    for path, part in parts:
        if part.get("longest") and not config["tokenizer"]:
            text = "longest counts tokens and needs the key 'tokenizer', which is missing"
            raise ConfigFault(path, text)
        if chosen := part.get("classify"):
            _check_queried(config, (*path, "classify", "generator"), chosen["generator"])
        _check_turns(path, part)


def _check_turns(path, source):
    if source.get("turns") and source.get("format") != "messages":
        raise ConfigFault((*path, "turns"), "needs format: messages")


def _check_metric(config, path, metric):
    """Check that a metric's judge is backed by a model, that its GPUs can be seen and used, or that
    what it is made of is measured."""
    if metric["measure"] == "judged":
        _check_queried(config, (*path, "judge"), metric["judge"])
    elif "perplexity" in metric:
        for key, kinds in MADE_OF.items():
            entries = config["intrinsic"].items()
            known = [name for name, entry in entries if entry["measure"] in kinds]
            if key in metric:
                check_known("metric", metric[key], known, (*path, key))
    elif config["warm"] and metric["gpus"]:
        raise ConfigFault((*path, "gpus"), HIDDEN)
    elif metric.get("pooling") == "model" and metric["gpus"] > 1:
        text = f"pooling: model uses one GPU: must be at most 1, not {metric['gpus']}"
        raise ConfigFault((*path, "gpus"), text)


def _check_student(config, path, student):
    """Check a student's references, its GPUs, and that these can share its batches."""
    base, hardware, size = student["base"], student["hardware"], student["recipe"]["batch_size"]
    further = {("references", name): entry for name, entry in student["references"].items()}
    own = base["chat"], os.path.normpath(base["model"])
    gpus = [hardware["gpus"], hardware["predict_gpus"], base["gpus"]]
    for place, entry in {("reference",): student["reference"] or {}, **further}.items():
        gpus.append(entry.get("gpus"))
        if "trained_on" in entry:
            _check_trained(config, (*path, *place), path[-1], entry)
        elif entry and own == (entry["chat"], os.path.normpath(entry["model"])):
            told = "is the base too: PGR needs a reference that is better than it"
            raise ConfigFault((*path, *place, "model"), f"{base['model']} {told}")
    if config["warm"] and any(gpus):
        raise ConfigFault((*path, "hardware"), HIDDEN)
    devices = max(1, hardware["gpus"])
    share = devices * (hardware["per_device"] or 1)
    if size % share:
        text = f"batch_size {size} cannot be shared out among {devices} GPUs"
        if hardware["per_device"]:
            text += f" with {hardware['per_device']} examples each"
        raise ConfigFault((*path, "hardware"), f"{text}: it is no multiple of {share}")


def _check_trained(config, path, student, entry):
    """Check that a reference which is trained here has pairs for every domain of its student."""
    sets = [name for name, one in config["generators"].items() if one["backend"] == "dataset"]
    check_known("data set", entry["trained_on"], sets or ["none"], (*path, "trained_on"))
    data = config["generators"][entry["trained_on"]]["data"]
    for experiment in config["experiments"].values():
        for domain in experiment["domains"] if student in experiment["students"] else ():
            if domain not in data:
                text = f"'{entry['trained_on']}' has no data for domain '{domain}'"
                raise ConfigFault((*path, "trained_on"), f"{text}; it has: {', '.join(data)}")


def _check_plugins(config, modules):
    """Check that plug-ins offer the sources named, and have nothing against the config."""
    for name, benchmark in config["benchmarks"].items():
        path = ("benchmarks", name, "source")
        _check_offered("benchmark_source", benchmark["source"], path, modules)
    for domain, methods in config["seeds"].items():
        for method, source in methods.items():
            _check_offered("seed_source", source, ("seeds", domain, method), modules)
    for path, text, at in plugin_faults(config, modules):
        raise ConfigFault(path, text, at)


def _check_offered(kind, source, path, modules):
    """Check that a plug-in of the config offers a source which names one."""
    known = list_plugins(kind, modules) or ["none; name a plug-in under plugins"]
    if "source" in source:
        check_known("source", source["source"], known, (*path, "source"))


def _check_experiment(config, path, experiment):
    for name in experiment["generators"]:
        check_known("generator", name, config["generators"], (*path, "generators"))
    queried = matrix.needs_prompts(config, experiment)
    _check_axes(config, path, experiment, queried)
    for name in experiment["prompts"]:
        replies = config["prompts"].get(name, {}).get("replies")
        for method in experiment["methods"] if replies == "json" else ():
            if not config["methods"][method]["reply"]["instruction"]:
                text = f"prompt '{name}' asks for JSON replies, which method '{method}' has no use"
                raise ConfigFault((*path, "prompts"), f"{text} for")
    for domain in experiment["domains"]:
        _check_domain(config, path, experiment, domain)
        for method in experiment["methods"]:
            needs = queried and matrix.reads_seeds(config, method)
            if needs and method not in config["seeds"].get(domain, {}):
                needed = f"seeds.{domain}.{method}, which is missing"
                text = f"domain '{domain}' with method '{method}' needs {needed}"
                raise ConfigFault(path, text)


def _check_axes(config, path, experiment, queried):
    """Check an experiment's prompts and students; data sets alone need no prompt."""
    for axis in ("prompts", "students"):
        if axis == "prompts" and not queried and experiment[axis] == [matrix.NO_PROMPT]:
            continue
        for name in experiment[axis]:
            if axis == "prompts" and name == matrix.NO_PROMPT:
                known = ", ".join(config[axis])
                text = f"prompt '{name}' is for experiments of data sets alone; known: {known}"
                raise ConfigFault((*path, axis), text)
            check_known(axis.removesuffix("s"), name, config[axis], (*path, axis))


def _check_domain(config, path, experiment, domain):
    """Check that a domain has a benchmark that counts, and pairs in every data set."""
    known = {benchmark["domain"] for benchmark in config["benchmarks"].values()}
    if domain not in known:
        listed = ", ".join(sorted(known))
        text = f"no benchmark is of domain '{domain}'; domains with benchmarks: {listed}"
        raise ConfigFault((*path, "domains"), text)
    scored = [config["benchmarks"][name] for name in matrix.scored_benchmarks(config, domain)]
    if scored and not any(benchmark["in_mean"] for benchmark in scored):
        text = f"no scored benchmark of domain '{domain}' counts in its mean: in_mean is false"
        raise ConfigFault((*path, "domains"), text)
    for name in experiment["generators"]:
        data = config["generators"][name].get("data", {domain: None})
        if domain not in data:
            text = f"generator '{name}' has no data for domain '{domain}'"
            raise ConfigFault((*path, "generators"), f"{text}; it has: {', '.join(data)}")
