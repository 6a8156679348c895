"""What the rules share: the checked config, wildcards closed over it, and inputs by coordinate."""

import json
import os
from functools import cache

from agorabench import grid, session
from agorabench.benchmarks import JUDGED
from agorabench.config import check
from agorabench.errors import UserError

try:
    config.update(check(config, workflow.configfiles, files_too=workflow.is_main_process))
except UserError as error:
    raise SystemExit(f"error: {error}") from None


CELL = "{domain}/{method}/{generator}/{prompt}/n{size}-seed{seed}"
RUNS = grid.runs(config)
SETS = dict.fromkeys([*RUNS, *(part for run in RUNS for _, part in grid.parts(config, run))])
MIXTURES = grid.mixtures(config)
REFERENCES = grid.references(config)


def one_of(names):
    """A wildcard constraint: exactly one of `names`."""
    return "|".join(map(re.escape, names)) or "(?!)"  # which nothing matches


wildcard_constraints:
    domain=one_of(grid.DOMAINS),
    method=one_of(grid.METHODS),
    generator=one_of(config["generators"]),
    prompt=one_of([*config["prompts"], grid.NO_PROMPT]),
    size=r"[1-9]\d*",
    seed=r"\d+",
    student=one_of(config["students"]),
    anchor=one_of([*grid.ANCHORS, *map(grid.further, REFERENCES)]),
    reference=one_of(REFERENCES),
    benchmark=one_of(config["benchmarks"]),
    judge=one_of(grid.judges(config)),
    mini=one_of(name for name in config["mini"] if name not in ("tokenizer", "base")),


def entry(registry, name, keys):
    """The part of a registry entry that matters to a stage, as JSON for a command line.

    Whatever is left out (a price, say) can change without making the stage's outputs stale.
    """
    chosen = {key: config[registry][name][key] for key in keys if key in config[registry][name]}
    return json.dumps(chosen, sort_keys=True)


def model_file(model):
    """The files that stand for a local model's weights, or nothing for a hub's."""
    folder = Path(model)
    if str(folder.parent) == "resources/models" and folder.name in config["mini"]:
        return [str(folder / "weights.sha256")]
    return sorted(map(str, folder.glob("*.safetensors")))


def local(source):
    """The local file of a source, or nothing where it has none."""
    return [source["path"]] if "path" in source else []


@cache
def code(program, *more):
    """The sources of a cheap stage's script: an edit there makes the stage run again."""
    # Relative, so that a copy of the folder is as fresh as the folder.
    return grid.sources(program, *more, root=os.path.relpath(f"{workflow.basedir}/scripts"))


def recipe(name):
    """How a model of the miniature is built."""
    return json.dumps(config["mini"][name], sort_keys=True)


def asked(wildcards):
    """Is the generator a model that is asked, and not a data set that is read?"""
    return config["generators"][wildcards.generator]["backend"] != "dataset"


def generators_asked():
    """Names of the generators that the jobs of this run will ask, for instances or for classes."""
    names = set()
    for job in workflow.dag.needrun_jobs():
        if job.rule.name in ("generate", "predict_generator"):
            names.add(job.wildcards.generator)
        elif job.rule.name == "judge":
            names.add(judge_of(job.wildcards))
        elif job.rule.name == "assess":
            names.add(job.wildcards.judge)
        elif job.rule.name == "fetch_seeds" and (chosen := classification(job.wildcards)):
            names.add(chosen["generator"])
    return sorted(names)


def plans_only():
    """Does this run do nothing but plan?"""
    return {job.rule.name for job in workflow.dag.needrun_jobs()} == {"plan"}


def warm():
    """Does this run start the process that scripts are forked from?"""
    # Jobs of a cluster must not leave their node or their limits.
    return config["warm"] and workflow.local_exec and not plans_only()


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
        kept = grid.decisive(config["generators"][chosen["generator"]])
        arguments += ["--entry", json.dumps(kept, sort_keys=True), "--config", session.CONFIG]
        arguments += ["--generator", chosen["generator"]]
        arguments += ["--journal", grid.verdicts(chosen["prompt"])]
    return [str(argument) for argument in arguments]


def generator_source(wildcards):
    """The generator's weights, or its data set, where they are local files."""
    if asked(wildcards):
        return own_weights(wildcards.generator)
    return local(config["generators"][wildcards.generator]["data"][wildcards.domain])


def own_weights(name):
    """The weights of a generator that is asked, where they are local files."""
    chosen = config["generators"][name]
    return model_file(chosen["model"]) if chosen["backend"] in grid.LOCAL else []


def generator_entry(wildcards):
    """What of a generator's config decides its replies, as JSON."""
    chosen = config["generators"][wildcards.generator]
    kept = grid.decisive(chosen, reply_form(wildcards))
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


def optional(option, paths):
    """Arguments for an input that may be absent."""
    return [f"--{option}", *([paths] if isinstance(paths, str) else paths)] if paths else []


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


def kept(path):
    """An output that goes when it has been used, if the config says so."""
    return temp(path) if config["keep_models"] == "scored" else path


def questions(names):
    """The items of benchmarks."""
    return expand("resources/benchmarks/{benchmark}.jsonl", benchmark=names)


def compared(wildcards):
    """The items of all benchmarks of a cell's domain, scored or not."""
    entries = config["benchmarks"].items()
    return questions([name for name, chosen in entries if chosen["domain"] == wildcards.domain])


def answering(names, few_shot=False):
    """The benchmarks' entries as far as they matter to `predict`, as JSON."""
    keys = ["protocol", "limit", "max_tokens", "temperature", "top_p", "repetition_penalty"]
    if few_shot:
        keys += ["shots", "shots_from"]
    return json.dumps({name: json.loads(entry("benchmarks", name, keys)) for name in names})


def anchor(wildcards):
    """The base or a reference of a student."""
    student = config["students"][wildcards.student]
    further = {grid.further(name): entry for name, entry in student["references"].items()}
    return (student | further)[wildcards.anchor]


def shots(wildcards):
    """Worked examples, which only a model without a chat template is shown."""
    if anchor(wildcards)["chat"]:
        return []
    return [
        config["benchmarks"][name]["shots_from"]
        for name in grid.benchmarks(config)
        if config["benchmarks"][name]["shots"]
    ]


def judged(wildcards):
    """Has the benchmark a judge?"""
    return config["benchmarks"][wildcards.benchmark]["protocol"] in JUDGED


def protocol_files(wildcards):
    """The further files that a benchmark's protocol needs."""
    names = config["benchmarks"][wildcards.benchmark]["files"]
    return expand(rules.fetch_file.output.file, benchmark=wildcards.benchmark, file=names)


def judge_of(wildcards):
    """The name of the benchmark's judge among the generators."""
    return config["benchmarks"][wildcards.benchmark]["judge"]


def judgement_arguments(wildcards, input):
    """What `score` is told where there was a judge."""
    if not judged(wildcards):
        return []
    arguments = ["--judgements", input.judgements, "--files"]
    arguments += [f"resources/benchmarks/{wildcards.benchmark}"]
    return [*arguments, "--judge", config["generators"][judge_of(wildcards)]["model"]]


def scoring_code(wildcards):
    """The sources of `score` and of the benchmark's protocol."""
    protocol = config["benchmarks"][wildcards.benchmark]["protocol"]
    return code("score", f"agorabench/benchmarks/{protocol}.py", "agorabench/sandbox_child.py")


def scoring_threads(wildcards):
    """Processes that grade at a time: those of the miniature are done before a second has begun."""
    many = ("math", "humaneval", "humaneval_plus", "mbpp", "mbpp_plus")
    return 4 if config["benchmarks"][wildcards.benchmark]["protocol"] in many else 1


def evaluations(anchors=grid.ANCHORS, students=tuple(config["students"])):
    """(model, benchmark) of these students on their domains' benchmarks, and of their anchors."""
    runs = [run for run in RUNS if run.student in students]
    models = [(run.model, run.domain) for run in runs]
    models += [
        (f"{student}/{anchor}", domain)
        for student, domain in dict.fromkeys((run.student, run.domain) for run in runs)
        for anchor in anchors
    ]
    return [(model, name) for model, domain in models for name in grid.benchmarks(config, domain)]


def compared_with(reference):
    """`evaluations` for the table of a further reference."""
    return evaluations((grid.ANCHORS[0], grid.further(reference)), REFERENCES[reference])


def all_evaluations():
    """`evaluations` for all tables."""
    found = [*evaluations(), *(pair for name in REFERENCES for pair in compared_with(name))]
    return list(dict.fromkeys(found))


def score_files(evaluated=evaluations()):
    """Scores of (model, benchmark) pairs; without them, of those of results/pgr_table.csv."""
    return [f"results/scores/{model}/{name}.json" for model, name in evaluated]


def solvers():
    """Names of the generators that are models: those that can solve a benchmark."""
    names = dict.fromkeys(run.generator for run in RUNS)
    return [name for name in names if name in grid.asked(config)]


def abilities(names=solvers()):
    """(model, benchmark) of generators on the benchmarks of all experiments' domains."""
    return [
        (f"generators/{name}", benchmark) for name in names for benchmark in grid.solved(config)
    ]


def judgement_files():
    """All judgements, of generators' own completions too."""
    return [
        f"results/judgements/{model}/{name}.jsonl"
        for model, name in [*all_evaluations(), *abilities()]
        if config["benchmarks"][name]["protocol"] in JUDGED
    ]


def assessment_files():
    """All assessments of generated sets by judges."""
    judges = dict.fromkeys(config["intrinsic"][name]["judge"] for name in grid.assessments(config))
    return [
        f"results/assessments/{judge}/{cell}.jsonl"
        for judge in judges
        for cell in dict.fromkeys(run.cell for run in RUNS)
    ]


def assessed(wildcards):
    """The metrics that a judge scores, as far as they matter to its verdicts, as JSON."""
    names = grid.assessments(config, wildcards.judge)
    return json.dumps(
        {name: json.loads(entry("intrinsic", name, ("rubrics", "sample"))) for name in names}
    )


def rubrics(wildcards):
    """Files that the questions to a judge are made of."""
    return [
        file
        for name in grid.assessments(config, wildcards.judge)
        for file in grid.rubrics(config["intrinsic"][name]["rubrics"], wildcards.domain)
    ]


def metrics(wildcards):
    """The metrics as far as they decide the values of a set, and who measures each, as JSON."""
    kept = {}
    for name, chosen in config["intrinsic"].items():
        if chosen["measure"] == "judged":
            judge = chosen["judge"]
            kept[name] = {key: chosen[key] for key in ("measure", "sample")}
            kept[name]["by"] = config["generators"][judge]["model"]
            kept[name]["assessments"] = expand(rules.assess.output, judge=judge, **wildcards)[0]
        else:
            spared = ("batch_size", "parameters", "gpus")
            kept[name] = {key: value for key, value in chosen.items() if key not in spared}
            kept[name]["by"] = chosen["model"]
    return json.dumps(kept)


def metric_files(wildcards):
    """Local files that the metrics need: assessments, weights and chat templates."""
    found = {}
    for chosen in config["intrinsic"].values():
        if chosen["measure"] == "judged":
            files = expand(rules.assess.output, judge=chosen["judge"], **wildcards)
        else:
            files = [*model_file(chosen["model"]), chosen.get("template")]
        found |= dict.fromkeys(filter(None, files))
    return list(found)


def matrix(students=None):
    """The experiments, and what it takes to expand them into runs, as JSON.

    Of `students` only, where they are given.
    """
    backends = {
        name: {"backend": chosen["backend"]} for name, chosen in config["generators"].items()
    }
    experiments = config["experiments"]
    if students:
        experiments = {
            name: chosen | {"students": [s for s in chosen["students"] if s in students]}
            for name, chosen in experiments.items()
        }
    return json.dumps({"experiments": experiments, "generators": backends})


def about():
    """What the dataset card tells of the config, as JSON."""
    used = {run.generator for run in SETS}
    kept = ("model", "sampling", "of")
    return json.dumps(
        {
            "generators": {name: json.loads(entry("generators", name, kept)) for name in used},
            "prompts": config["prompts"],
            "benchmarks": list(config["benchmarks"]),
            "generation": config["generation"],
            "dataset": config["dataset"],
        },
        sort_keys=True,
    )


def prices():
    """USD per million tokens of every generator, as JSON; data sets cost nothing here.

    A mixture has no price of its own: its rows cost what their generators do.
    """
    free = {"input": 0.0, "output": 0.0}
    entries = config["generators"].items()
    return json.dumps(
        {name: chosen.get("price", free) for name, chosen in entries if name not in MIXTURES}
    )


def classified():
    """Journals of classifications -> the generators that were asked, as JSON."""
    return json.dumps(grid.classifications(config))
