"""What the rules that score models and measure sets share: inputs and parameters by coordinate."""

from agorabench.evaluation.benchmarks import JUDGED


def answering(names, few_shot=False):
    """The benchmarks' entries as far as they matter to `predict`, as JSON."""
    keys = ["protocol", "limit", "max_tokens", "temperature", "top_p", "repetition_penalty"]
    if few_shot:
        keys += ["shots", "shots_from"]
    return json.dumps({name: json.loads(entry("benchmarks", name, keys)) for name in names})


def anchor(wildcards):
    """The base or a reference of a student."""
    student = config["students"][wildcards.student]
    further = {matrix.further(name): entry for name, entry in student["references"].items()}
    return (student | further)[wildcards.anchor]


def shots(wildcards):
    """Worked examples, which only a model without a chat template is shown."""
    if anchor(wildcards)["chat"]:
        return []
    return [
        config["benchmarks"][name]["shots_from"]
        for name in matrix.benchmarks(config)
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
    return code(
        "score", f"agorabench/evaluation/benchmarks/{protocol}.py", "agorabench/sandbox/child.py"
    )


def scoring_threads(wildcards):
    """Processes that grade at a time: those of the miniature are done before a second has begun."""
    many = ("math", "humaneval", "humaneval_plus", "mbpp", "mbpp_plus")
    return 4 if config["benchmarks"][wildcards.benchmark]["protocol"] in many else 1


def evaluations(anchors=matrix.ANCHORS, students=tuple(config["students"])):
    """(model, benchmark) of these students on their domains' benchmarks, and of their anchors."""
    runs = [run for run in RUNS if run.student in students]
    models = [(run.model, run.domain) for run in runs]
    models += [
        (f"{student}/{anchor}", domain)
        for student, domain in dict.fromkeys((run.student, run.domain) for run in runs)
        for anchor in anchors
    ]
    return [(model, name) for model, domain in models for name in matrix.benchmarks(config, domain)]


def compared_with(reference):
    """`evaluations` for the table of a further reference."""
    return evaluations((matrix.ANCHORS[0], matrix.further(reference)), REFERENCES[reference])


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
    return [name for name in names if name in matrix.asked(config)]


def abilities(names=solvers()):
    """(model, benchmark) of generators on the benchmarks of all experiments' domains."""
    return [
        (f"generators/{name}", benchmark) for name in names for benchmark in matrix.solved(config)
    ]


def judgement_files(judges=matrix.judges(config)):
    """All judgements of these judges, of generators' own completions too."""
    return [
        f"results/judgements/{model}/{name}.jsonl"
        for model, name in [*all_evaluations(), *abilities()]
        if config["benchmarks"][name]["protocol"] in JUDGED
        and config["benchmarks"][name]["judge"] in judges
    ]


def assessment_files(judges=matrix.judges(config)):
    """All assessments of generated sets by these judges."""
    return [
        f"results/assessments/{judge}/{cell}.jsonl"
        for judge in judges
        if matrix.assessments(config, judge)
        for cell in dict.fromkeys(run.cell for run in RUNS)
    ]


def assessed(wildcards):
    """The metrics that a judge scores, as far as they matter to its verdicts, as JSON."""
    names = matrix.assessments(config, wildcards.judge)
    return json.dumps(
        {name: json.loads(entry("intrinsic", name, ("rubrics", "sample"))) for name in names}
    )


def rubrics(wildcards):
    """Files that the questions to a judge are made of."""
    return [
        file
        for name in matrix.assessments(config, wildcards.judge)
        for file in matrix.rubrics(config["intrinsic"][name]["rubrics"], wildcards.domain)
    ]


def metrics():
    """Every metric's judge, null where a model measures it, as JSON."""
    entries = config["intrinsic"].items()
    return json.dumps({name: chosen.get("judge") for name, chosen in entries}, sort_keys=True)


def metric_entry(wildcards):
    """A metric as far as it decides the values of a set, as JSON."""
    spared = ("batch_size", "parameters", "gpus")
    entries = config["intrinsic"][wildcards.metric].items()
    return json.dumps({key: value for key, value in entries if key not in spared}, sort_keys=True)


def metric_files(wildcards):
    """Local files that a metric needs: weights and chat template."""
    chosen = config["intrinsic"][wildcards.metric]
    return [*model_file(chosen["model"]), *filter(None, [chosen.get("template")])]


def measured_files():
    """All metrics of generated sets that models measure."""
    cells = dict.fromkeys(run.cell for run in RUNS)
    names = matrix.measurements(config)
    return [f"results/intrinsic/{name}/{cell}.json" for name in names for cell in cells]
