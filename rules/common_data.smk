"""What the rules that make data share: inputs and parameters by coordinate."""


def seed_sources(wildcards):
    """The sources that make up a seed set."""
    source = config["seeds"][wildcards.domain][wildcards.method]
    return list(source["parts"].values()) if "parts" in source else [source]


def classification(wildcards):
    """The `classify` entry of a seed set, or an empty one."""
    return next(filter(None, (part.get("classify") for part in seed_sources(wildcards))), {})


def seed_sampling(wildcards):
    """What of the config decides which rows of a seed set are taken, as arguments."""
    arguments = ["--sample-seed", config["sample_seed"]]
    if any(part.get("longest") for part in seed_sources(wildcards)):
        arguments += ["--tokenizer", json.dumps(config["tokenizer"], sort_keys=True)]
    if chosen := classification(wildcards):
        kept = matrix.decisive(config["generators"][chosen["generator"]])
        arguments += ["--entry", json.dumps(kept, sort_keys=True), "--config", locks.CONFIG]
        arguments += ["--generator", chosen["generator"]]
        arguments += ["--journal", matrix.verdicts(chosen["prompt"])]
    return [str(argument) for argument in arguments]


def generator_source(wildcards):
    """The generator's weights, or its data set, where they are local files."""
    if asked(wildcards):
        return own_weights(wildcards.generator)
    return local(config["generators"][wildcards.generator]["data"][wildcards.domain])


def own_weights(name):
    """The weights of a generator that is asked, where they are local files."""
    chosen = config["generators"][name]
    return model_file(chosen["model"]) if chosen["backend"] in matrix.LOCAL else []


def generator_entry(wildcards):
    """What of a generator's config decides its replies, as JSON."""
    chosen = config["generators"][wildcards.generator]
    kept = matrix.decisive(chosen, reply_form(wildcards))
    if not asked(wildcards):
        kept["data"] = {wildcards.domain: chosen["data"][wildcards.domain]}
    return json.dumps(kept, sort_keys=True)


def start(name):
    """How the script that asks a generator is started: vLLM wants a process, an interpreter and
    GPUs of its own."""
    return "" if config["generators"][name]["backend"] == "vllm" else "scripts/warm.py"


def mixed_sets(wildcards):
    """The sets that a mixture consists of, in the order of the generators' names."""
    shares = config["generators"][wildcards.generator]["of"]
    return expand(f"results/raw/{CELL}.jsonl", **{**wildcards, "generator": sorted(shares)})


def generation(wildcards):
    """What of `generation:` matters to a cell, as JSON."""
    whole = config["generation"]
    kept = {
        "validators": {wildcards.domain: whole["validators"][wildcards.domain]},
        "max_characters": whole["max_characters"],
    }
    if whole["duplicates"] != "keep":
        kept["duplicates"] = whole["duplicates"]
    if asked(wildcards):
        kept |= {key: whole[key] for key in ("attempts", "system")}
        if wildcards.method == "instance":
            kept |= {key: whole[key] for key in ("demonstrations", "first_wave")}
    return json.dumps(kept, sort_keys=True)


def reply_form(wildcards):
    """The form of the replies that the meta-prompt asks for."""
    return config["prompts"].get(wildcards.prompt, {}).get("replies", "text")


def meta_prompt(wildcards):
    """The meta-prompt's file; a data set is asked nothing."""
    if not asked(wildcards):
        return []
    folder = config["prompts"][wildcards.prompt]["folder"]
    return f"{folder}/{wildcards.method}/{wildcards.domain}.md"


def wordlist(registry):
    """Themes or opening words of the domain, which only instance generation shows."""

    def path(wildcards):
        shown = asked(wildcards) and wildcards.method == "instance"
        return config[registry].get(wildcards.domain, []) if shown else []

    return path


def compared(wildcards):
    """The items of all benchmarks of a cell's domain, scored or not."""
    entries = config["benchmarks"].items()
    return questions([name for name, chosen in entries if chosen["domain"] == wildcards.domain])
