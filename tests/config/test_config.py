"""Each fault of a configuration stops it with one sentence that can be acted on."""

import copy
import json
import subprocess
import sys

import jsonschema
import pytest
import yaml
from agorabench import matrix, plugins
from agorabench.config import check_config, json_schema, load_config, publish, stages
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import lm_eval
from helpers import ROOT
from snakemake.utils import update_config

FILE = "config/mini.yaml"
COMPLETE = """
seeds:
  math:
    instance: {source: mini}
    response: {path: data/response.jsonl}
  code:
    instance: {source: mini}
    response: {source: mini}
benchmarks:
  mini-sums: {domain: math, protocol: mini, source: {source: mini}, max_tokens: 64}
  functions:
    domain: code
    protocol: humaneval
    source: {path: data/functions.jsonl}
    shots: 1
    shots_from: data/shots.jsonl
generators:
  strong: {backend: transformers, model: resources/models/strong}
  noisy: {backend: transformers, model: acme/noisy, sampling: {temperature: 0.7}}
  people: {backend: dataset, data: {math: {path: data/people.jsonl, instruction: question}}}
mini: {strong: {}}
prompts: {main: {folder: config/prompts/main}}
themes: {math: config/themes.txt}
students:
  tiny:
    base: {model: models/tiny, chat: false}
    reference: {model: ./models/tiny, chat: true}
    recipe: {epochs: 5, learning_rate: 2.0e-3, batch_size: 8, max_length: 256, precision: float32}
plugins: [miniature]
experiments:
  main:
    domains: [math, code]
    methods: [instance, response]
    generators: [strong, noisy]
    prompts: [main]
    sizes: [500]
    seeds: [1, 2]
    students: [tiny]
  human:
    domains: [math]
    methods: [instance]
    generators: [people]
    prompts: [main]
    sizes: [10]
    seeds: [1]
    students: [tiny]
"""
FILES = {
    FILE: COMPLETE,
    "config/themes.txt": "shopping\n",
    "config/prompts/main/instance/math.md": "Write one about {theme}.\n{demonstrations}\n",
    "config/prompts/main/instance/code.md": "{demonstrations}\n",
    "config/prompts/main/response/math.md": "{instruction}\n",
    "config/prompts/main/response/code.md": "{instruction}\n",
    "data/response.jsonl": '{"instruction": "1+1?"}\n\n{"instruction": "2+2?"}\n',
    "data/functions.jsonl": '{"task_id": "f/0"}\n',
    "data/shots.jsonl": '{"instruction": "Write f.", "response": "def f(): ..."}\n',
    "data/people.jsonl": '{"question": "1+1?", "response": "2"}\n' * 10,
    "models/tiny/config.json": "{}\n",
}

# A benchmark that the config describes.
OWN = {"domain": "code", "protocol": "match", "source": {"path": "data/functions.jsonl"}}
OWN |= {"prompt": "{task_id}", "answer": "task_id", "compare": "text"}
RUBRIC = {key: OWN[key] for key in ("domain", "source", "prompt")}
RUBRIC |= {"protocol": "rubric", "judge": "strong"}

PUBLISHED = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
CASES = ROOT / "tests/cases/config"
ALIKE = {"measure": "similarity", "of": "response", "model": "./models/tiny"}


@pytest.fixture
def project(tmp_path):
    """A folder with a complete, valid config and all the files that it names."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def edited(edits):
    """The complete config with `edits`, {"key/path": value, or None to delete}."""
    config = yaml.safe_load(COMPLETE)
    for path, value in edits.items():
        *parents, last = path.split("/")
        place = config
        for key in parents:
            place = place.setdefault(key, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return config


def fault(project, config, files=(FILE,), **kwargs):
    with pytest.raises(UserError) as caught:
        check_config(config, files, project, **kwargs)
    return str(caught.value)


def test_a_complete_config_passes_and_gets_its_defaults(project):
    given = yaml.safe_load(COMPLETE)
    before = copy.deepcopy(given)
    filled = check_config(given, [FILE], project)
    assert given == before
    assert (filled["seed"], filled["sandbox"], filled["warm"]) == (1, "isolated", False)
    assert filled["generators"]["strong"]["sampling"] == {
        "temperature": 1.0,
        "top_p": 0.9,
        "max_tokens": 4096,
    }
    assert filled["generators"]["noisy"]["sampling"]["temperature"] == 0.7
    assert filled["generators"]["noisy"]["price"] == {"input": 0.0, "output": 0.0}
    assert filled["generators"]["people"]["data"]["math"]["response"] == "response"
    assert filled["generation"]["demonstrations"] == {"seed": 2, "generated": 1}
    assert filled["generation"]["validators"]["math"] == ["length", "one_result", "no_markers"]
    assert filled["benchmarks"]["mini-sums"]["shots"] == 0
    assert filled["openings"] == {}
    assert filled["students"]["tiny"]["recipe"]["schedule"] == "linear"


def test_a_method_can_have_a_first_wave_of_its_own(project):
    cell = matrix.Cell("math", "instance", "strong", "main", 20, 1)
    for edits, size in (({}, 64), ({"methods": {"instance": {"first_wave": 8}}}, 8)):
        stage = stages.generate(check_config(edited(edits), [FILE], project), cell)
        assert stage.params["generation"]["first_wave"] == size


def test_a_number_is_the_same_however_it_is_written(project):
    for written in (1, 1.0):
        config = edited({"generators/strong/sampling": {"temperature": written}})
        temperature = check_config(config, (), project)["generators"]["strong"]["sampling"][
            "temperature"
        ]
        assert repr(temperature) == "1.0"


def test_defaults_are_those_that_results_were_made_with():
    """Another default, or 1 in place of 1.0, makes finished results stale."""
    filled = load_config(CASES / "least.yaml")
    kept = (CASES / "least-filled.json").read_text(encoding="utf-8")
    assert json.dumps(filled, sort_keys=True) == json.dumps(json.loads(kept), sort_keys=True)


def test_defaults_are_not_shared_between_configs(project):
    check_config(yaml.safe_load(COMPLETE), (), project)["generation"]["validators"]["math"].clear()
    again = check_config(yaml.safe_load(COMPLETE), (), project)
    assert again["generation"]["validators"]["math"] == ["length", "one_result", "no_markers"]


def test_a_checked_config_passes_again(project):
    filled = check_config(yaml.safe_load(COMPLETE), (), project)
    assert check_config(filled, (), project) == filled


# Faults that the models find: what was changed, and the sentence.
SCHEMA_FAULTS = {
    "misspelt key": (
        {"generation/atempts": 3},
        "generation: unknown key 'atempts'; did you mean 'attempts'? known: attempts, "
        "demonstrations, first_wave, validators, train_on_seeds, max_characters, "
        "duplicates, overlap, system",
    ),
    "key unlike any": (
        {"students/tiny/base/zzz": 3},
        "students.tiny.base: unknown key 'zzz'; known: model, chat, parameters, gpus",
    ),
    "misspelt key at the top": (
        {"experimentz": {}},
        "unknown key 'experimentz'; did you mean 'experiments'? known: seed, bootstrap, "
        "max_usd, preview, warm, lock, sample_seed, tokenizer, keep_models, sandbox, packages, "
        "plugins, "
        "mini, domains, methods, seeds, benchmarks, generators, generation, dataset, prompts, "
        "themes, openings, students, intrinsic, experiments, missing",
    ),
    "key of another backend": (
        {"generators/strong/data": {}},
        "generators.strong: unknown key 'data'; known: backend, model, family, sampling, "
        "give_up_after, price, batch_size",
    ),
    "missing key": (
        {"students/tiny/recipe/precision": None},
        "students.tiny.recipe: missing key 'precision'",
    ),
    "missing section": ({"students": None}, "missing key 'students'"),
    "text for a number": (
        {"students/tiny/recipe/epochs": "five"},
        "students.tiny.recipe.epochs: must be a number, not 'five'",
    ),
    "YAML's text for a number": (
        {"students/tiny/recipe/learning_rate": "2e-3"},
        "students.tiny.recipe.learning_rate: must be a number, not '2e-3'; "
        "YAML takes it for text, write 0.002",
    ),
    "YAML's text for a whole number": (
        {"bootstrap": "1e3"},
        "bootstrap: must be a whole number, not '1e3'; YAML takes it for text, write 1000",
    ),
    "boolean for a whole number": (
        {"bootstrap": True},
        "bootstrap: must be a whole number, not true",
    ),
    "fraction for a whole number": (
        {"experiments/main/sizes": [1.5]},
        "experiments.main.sizes: must be a whole number, not 1.5",
    ),
    "number for text": (
        {"prompts/main": 5},
        "prompts.main: must be a mapping, not 5",
    ),
    "number for true or false": (
        {"students/tiny/base/chat": 1},
        "students.tiny.base.chat: must be true or false, not 1",
    ),
    "list for text or null": (
        {"generation/system": ["You", "write"]},
        "generation.system: must be text or null, not a list",
    ),
    "text for a mapping": ({"themes": "math.txt"}, "themes: must be a mapping, not 'math.txt'"),
    "text for a source": (
        {"seeds/math/instance": "mini"},
        "seeds.math.instance: must be a mapping, not 'mini'",
    ),
    "one name for a list": (
        {"experiments/main/students": "tiny"},
        "experiments.main.students: must be a list, not 'tiny'",
    ),
    "size 0": (
        {"experiments/main/sizes": [0]},
        "experiments.main.sizes: must be at least 1, not 0",
    ),
    "size below 0": (
        {"experiments/main/sizes": [500, -5]},
        "experiments.main.sizes: must be at least 1, not -5",
    ),
    "learning rate 0": (
        {"students/tiny/recipe/learning_rate": 0},
        "students.tiny.recipe.learning_rate: must be more than 0, not 0",
    ),
    "top_p in percent": (
        {"generators/noisy/sampling/top_p": 95},
        "generators.noisy.sampling.top_p: must be at most 1, not 95",
    ),
    "entry twice in a list": (
        {"experiments/main/sizes": [500, 1000, 500]},
        "experiments.main.sizes: 500 is given twice",
    ),
    "name twice in a list": (
        {"experiments/main/generators": ["strong", "strong"]},
        "experiments.main.generators: 'strong' is given twice",
    ),
    "empty list": (
        {"experiments/main/seeds": []},
        "experiments.main.seeds: must name at least one",
    ),
    "empty section": ({"experiments": {}}, "experiments: must have at least one entry"),
    "empty path": ({"themes/math": ""}, "themes.math: must not be empty"),
    "name with a space": (
        {"students/my student": {}},
        "students: 'my student' is not a name fit for a path "
        "(up to 100 letters, digits, '.', '_', '-'; first a letter or digit)",
    ),
    "name that climbs": (
        {"experiments/..": {}},
        "experiments: '..' is not a name fit for a path "
        "(up to 100 letters, digits, '.', '_', '-'; first a letter or digit)",
    ),
    "unknown sandbox": (
        {"sandbox": "none"},
        "sandbox: unknown sandbox 'none'; known: isolated, limits",
    ),
    "unknown backend": (
        {"generators/strong/backend": "vlm"},
        "generators.strong.backend: unknown backend 'vlm'; known: openai, anthropic, "
        "vllm, transformers, dataset, mixture",
    ),
    "all of a mixture": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 1}}},
        "generators.mixed.of.strong: must be less than 1, not 1",
    ),
    "nothing of a part": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 0, "noisy": 0.5}}},
        "generators.mixed.of.strong: must be more than 0, not 0",
    ),
    "mixture of nothing": (
        {"generators/mixed": {"backend": "mixture", "of": {}}},
        "generators.mixed.of: must have at least one entry",
    ),
    "no backend": ({"generators/strong/backend": None}, "generators.strong: missing key 'backend'"),
    "empty source": (
        {"seeds/math/instance": {}},
        "seeds.math.instance: missing key 'source' or 'path' or 'url' or 'hub' or 'parts'",
    ),
    "misspelt key of a source": (
        {"seeds/math/instance": {"paht": "x"}},
        "seeds.math.instance: unknown key 'paht'; did you mean 'path'? known: source, instruction, "
        "response, format, turns, roles, where, convert, longest, classify, size, path, licence, "
        "url, sha256, hub, subset, split, files, revision, parts",
    ),
    "two sources": (
        {"seeds/math/instance": {"source": "mini", "path": "x"}},
        "seeds.math.instance: unknown key 'path'; known: source",
    ),
    "branch for a commit": (
        {"generators/people/data/math": {"hub": "acme/sums", "revision": "main"}},
        "generators.people.data.math.revision: 'main' is not a commit hash (40 hexadecimal digits)",
    ),
}


@pytest.mark.parametrize("edits, sentence", SCHEMA_FAULTS.values(), ids=SCHEMA_FAULTS)
def test_fault_of_form(project, edits, sentence):
    config = edited(edits)
    (project / FILE).write_text(yaml.safe_dump(config))
    assert fault(project, config) == f"{FILE}: {sentence}"


@pytest.mark.parametrize("edits", [edits for edits, _ in SCHEMA_FAULTS.values()], ids=SCHEMA_FAULTS)
def test_jsonschema_refuses_it_too(edits):
    validator = jsonschema.Draft202012Validator(PUBLISHED)
    assert not validator.is_valid(edited(edits))


def test_jsonschema_accepts_what_passes(project):
    validator = jsonschema.Draft202012Validator(PUBLISHED)
    validator.validate(yaml.safe_load(COMPLETE))
    validator.validate(check_config(yaml.safe_load(COMPLETE), (), project))


def test_whole_numbers_written_with_a_point_are_refused(project):
    # JSON Schema takes 500.0 for an integer, but a path would hold "n500.0".
    config = edited({"experiments/main/sizes": [500.0]})
    assert fault(project, config, ()) == (
        "experiments.main.sizes: must be a whole number, not 500.0"
    )


def test_a_name_with_a_line_break_is_refused(project):
    # In Python, the pattern's $ would match before it.
    config = edited({"prompts/main\n": {"folder": "config/prompts/main"}})
    assert fault(project, config, ()) == (
        "prompts: 'main\\n' is not a name fit for a path "
        "(up to 100 letters, digits, '.', '_', '-'; first a letter or digit)"
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(project, number):
    config = edited({"students/tiny/recipe/weight_decay": number})
    assert fault(project, config, ()) == (
        f"students.tiny.recipe.weight_decay: must be a number, not {number}"
    )


def test_a_name_that_yaml_takes_for_a_number(project):
    config = edited({})
    config["generators"][405] = config["generators"]["strong"]
    (project / FILE).write_text(yaml.safe_dump(config))
    assert fault(project, config) == f"{FILE}: generators: the key 405 must be text: quote it"


@pytest.mark.parametrize(
    "edits, sentence",
    [
        (
            {"experiments/main/sizes": [10**15]},
            "sizes: must be at most 10000000, not 1000000000000",
        ),
        ({"bootstrap": 10**12}, "bootstrap: must be at most 1000000, not 1000000000000"),
        ({f"students/{'s' * 101}": {}}, "is not a name fit for a path (up to 100 letters,"),
        ({"dataset/languages": ["en", False]}, "languages: must be text, not false: quote it"),
    ],
)
def test_what_no_machine_or_path_could_hold(project, edits, sentence):
    assert sentence in fault(project, edited(edits), ())


# Names that refer to each other.
REFERENCE_FAULTS = {
    "misspelt method of seeds": (
        {"seeds/math/respones": {"path": "data/response.jsonl"}},
        "seeds.math: unknown method 'respones'; did you mean 'response'? "
        "known: instance, response, enhancement",
    ),
    "misspelt domain of a benchmark": (
        {"benchmarks/mini-sums/domain": "maths"},
        "benchmarks.mini-sums.domain: unknown domain 'maths'; known: math, code, instruction",
    ),
    "misspelt validator of a domain": (
        {"domains": {"sql": {"validators": ["lenght"]}}},
        "domains.sql.validators: unknown validator 'lenght'; known: length, one_result, only_code, "
        "has_assertion, no_markers, no_placeholders, not_held_out",
    ),
    "domain whose rule is another's": (
        {"domains": {"generator_math": {}}},
        "domains: the name is taken: 'anchor', and what begins with 'generator_'",
    ),
    "domain named as a folder of journals": (
        {"domains": {"judge": {}}},
        "domains: the name 'judge' is taken; choose another",
    ),
    "method whose replies have no instruction to learn": (
        {"methods": {"evolve": {"shows": "examples", "reply": {"response": "A:"}}}},
        "methods.evolve.reply: shows examples: a reply needs markers of an instruction and of a "
        "response",
    ),
    "method without a marker where the response begins": (
        {"methods": {"evolve": {"shows": "pair", "reply": {"instruction": "Q:"}}}},
        "methods.evolve.reply: an instruction with a marker needs one for the response, which says "
        "where it begins",
    ),
    "method with one marker for two texts": (
        {
            "methods": {
                "evolve": {"shows": "pair", "reply": {"instruction": "Q:", "response": "Q:"}}
            }
        },
        "methods.evolve.reply: the two markers must not be the same",
    ),
    "demonstrations that nobody sees": (
        {"methods": {"evolve": {"shows": "instruction", "demonstrations": {"seed": 1}}}},
        "methods.evolve.demonstrations: shows instruction: there are no demonstrations",
    ),
    "a first wave of what comes without waves": (
        {"methods": {"evolve": {"shows": "instruction", "first_wave": 8}}},
        "methods.evolve.first_wave: shows instruction: there are no demonstrations",
    ),
    "training on seeds that are not there": (
        {"methods/instance": {"shows": "nothing"}},
        "methods.instance.train_on_seeds: shows nothing: there is no seed data",
    ),
    "a validator of two parameters": (
        {"domains": {"math": {"validators": [{"language": "de", "runs": "python"}]}}},
        "domains.math.validators: a validator with a parameter has one of matches, language, json, "
        "runs, not language, runs",
    ),
    "a language that nobody detects": (
        {"generation/validators/math": [{"language": "deutsch"}]},
        "generation.validators.math: unknown language 'deutsch'; known: af, ar, bg, bn, ca, cs, "
        "cy, da, de, el, en, es, et, fa, fi, fr, gu, he, hi, hr, hu, id, it, ja, kn, ko, lt, lv, "
        "mk, ml, mr, ne, nl, no, pa, pl, pt, ro, ru, sk, sl, so, sq, sv, sw, ta, te, th, tl, tr, "
        "uk, ur, vi, zh-cn, zh-tw",
    ),
    "a schema that is not there": (
        {"generation/validators/math": [{"json": "config/schema.json"}]},
        "generation.validators.math: no file config/schema.json",
    ),
    "a pattern of a validator that is none": (
        {"generation/validators/math": [{"matches": "(a"}]},
        "generation.validators.math: '(a' is no regular expression of Python: missing ), "
        "unterminated subpattern at position 0",
    ),
    "an unknown parameter of a validator": (
        {"generation/validators/math": [{"langauge": "de"}]},
        "generation.validators.math: unknown key 'langauge'; did you mean 'language'? known: "
        "matches, language, json, runs",
    ),
    "a reference trained on what is no data set": (
        {"students/tiny/reference": {"trained_on": "strong"}},
        "students.tiny.reference.trained_on: unknown data set 'strong'; known: people",
    ),
    "a reference without data for a domain": (
        {"students/tiny/reference": {"trained_on": "people"}},
        "students.tiny.reference.trained_on: 'people' has no data for domain 'code'; it has: math",
    ),
    "an answer that nothing compares": (
        {"benchmarks/functions": {key: OWN[key] for key in OWN if key != "compare"}},
        "benchmarks.functions: protocol 'match' needs compare, how answers are compared: text, "
        "casefold, number, math, set or json",
    ),
    "a comparison that is none": (
        {"benchmarks/functions": OWN | {"compare": "exact"}},
        "benchmarks.functions.compare: unknown compare 'exact'; known: text, casefold, number, "
        "math, set, json",
    ),
    "a pattern that is none": (
        {"benchmarks/functions": OWN | {"extract": ["(a"]}},
        "benchmarks.functions.extract: '(a' is no regular expression of Python: missing ), "
        "unterminated subpattern at position 0",
    ),
    "a key of another protocol": (
        {"benchmarks/functions": OWN | {"scale": "right"}},
        "benchmarks.functions.scale: protocol 'match' has no key 'scale'; it has: prompt, answer, "
        "compare, extract",
    ),
    "a prompt of a protocol with one of its own": (
        {"benchmarks/functions/prompt": "{q}"},
        "benchmarks.functions.prompt: protocol 'humaneval' has no key 'prompt'",
    ),
    "a rubric without a judge": (
        {"benchmarks/functions": RUBRIC | {"rubric": "config/themes.txt", "judge": None}},
        "benchmarks.functions.judge: unknown generator null; known: strong, noisy",
    ),
    "unknown domain of an experiment": (
        {"experiments/main/domains": ["maths"]},
        "experiments.main.domains: unknown domain 'maths'; known: math, code, instruction",
    ),
    "unknown method of an experiment": (
        {"experiments/main/methods": ["instances"]},
        "experiments.main.methods: unknown method 'instances'; "
        "known: instance, response, enhancement",
    ),
    "unknown domain of seeds": (
        {"seeds/maths": {"response": {"path": "data/response.jsonl"}}},
        "seeds: unknown domain 'maths'; did you mean 'math'? known: math, code, instruction",
    ),
    "unknown source": (
        {"seeds/math/instance": {"source": "maxi"}},
        "seeds.math.instance.source: unknown source 'maxi'; known: mini",
    ),
    "unknown score": (
        {"benchmarks/mini-sums/protocol": "math", "benchmarks/mini-sums/score": "lenient"},
        "benchmarks.mini-sums.score: unknown score 'lenient'; known: strict",
    ),
    "a score of a protocol that has one": (
        {"benchmarks/mini-sums/score": "strict"},
        "benchmarks.mini-sums.score: the protocol has one score only",
    ),
    "unknown protocol": (
        {"benchmarks/mini-sums/protocol": "gsm"},
        "benchmarks.mini-sums.protocol: unknown protocol 'gsm'; known: alpaca_eval, "
        "arena_hard, choice, gsm8k, humaneval, humaneval_plus, ifeval, lm_eval, match, math, "
        "mbpp, mbpp_plus, mini, rubric, unscored",
    ),
    "name of an average": (
        {"benchmarks/mean": {"domain": "math", "protocol": "mini", "source": {"source": "mini"}}},
        "benchmarks: the name 'mean' is taken; choose another",
    ),
    "prompt of a data set": (
        {"prompts/none": {"folder": "config/prompts/main"}},
        "prompts: the name 'none' is taken; choose another",
    ),
    "misspelt key of a miniature model": (
        {"mini": {"strong": {"extra_layer": 2}}},
        "mini.strong: unknown key 'extra_layer'; did you mean 'extra_layers'? known: seed, "
        "start, lessons, pairs, epochs, batch_size, learning_rate, shares, extra_layers, "
        "wrong_share, few",
    ),
    "unknown benchmark of the miniature": (
        {"benchmarks/sums": {"domain": "math", "protocol": "mini", "source": {"source": "mini"}}},
        "benchmarks: unknown mini benchmark 'sums'; known: mini-sums, mini-steps, mini-code, "
        "mini-constraints",
    ),
    "unknown generator": (
        {"experiments/main/generators": ["strong", "gpt4o"]},
        "experiments.main.generators: unknown generator 'gpt4o'; known: strong, noisy, people",
    ),
    "unknown student": (
        {"experiments/main/students": ["huge"]},
        "experiments.main.students: unknown student 'huge'; known: tiny",
    ),
    "unknown prompt": (
        {"experiments/main/prompts": ["mian"]},
        "experiments.main.prompts: unknown prompt 'mian'; known: main",
    ),
    "unknown validator": (
        {"generation/validators/code": ["lenght"]},
        "generation.validators.code: unknown validator 'lenght'; "
        "known: length, one_result, only_code, has_assertion, no_markers, "
        "no_placeholders, not_held_out",
    ),
    "parameter of a request with a key of its own": (
        {
            "generators/api": {
                "backend": "openai",
                "model": "m",
                "price": {"input": 1, "output": 1},
                "extra": {"n": 8},
            }
        },
        "generators.api.extra: 'n' has a key of its own, or is decided by the pipeline",
    ),
    "domain without a benchmark": (
        {"benchmarks/functions": None},
        "experiments.main.domains: no benchmark is of domain 'code'; domains with benchmarks: math",
    ),
    "domain without data": (
        {"experiments/human/domains": ["math", "code"]},
        "experiments.human.generators: generator 'people' has no data for domain 'code'; "
        "it has: math",
    ),
    "setting without seeds": (
        {"experiments/main/methods": ["enhancement"]},
        "experiments.main: domain 'math' with method 'enhancement' needs seeds.math.enhancement, "
        "which is missing",
    ),
    "mixture of an unknown generator": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 0.5, "nosiy": 0.5}}},
        "generators.mixed.of: unknown generator 'nosiy'; known: strong, noisy",
    ),
    "mixture with a data set": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 0.5, "people": 0.5}}},
        "generators.mixed.of: 'people' is a data set, which cannot be asked; known: strong, noisy",
    ),
    "mixture with a mixture": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 0.5, "mixed": 0.5}}},
        "generators.mixed.of: 'mixed' is a mixture, which cannot be asked; known: strong, noisy",
    ),
    "shares of less than a whole": (
        {"generators/mixed": {"backend": "mixture", "of": {"strong": 0.5, "noisy": 0.4}}},
        "generators.mixed.of: the shares must add up to 1, not to 0.9",
    ),
    "mixture that classifies": (
        {
            "generators/mixed": {"backend": "mixture", "of": {"strong": 0.5, "noisy": 0.5}},
            "seeds/math/response/classify": {"generator": "mixed", "prompt": "p", "class": "1"},
        },
        "seeds.math.response.classify.generator: 'mixed' is a mixture, which cannot be asked; "
        "known: strong, noisy",
    ),
    "data set that judges": (
        {"intrinsic/quality": {"measure": "judged", "judge": "people", "rubrics": "r"}},
        "intrinsic.quality.judge: 'people' is a data set, which cannot be asked; "
        "known: strong, noisy",
    ),
    "more active parameters than there are": (
        {"generators/moe": {"backend": "vllm", "model": "m", "parameters": 8, "active": 13}},
        "generators.moe.active: must be at most parameters, 8, not 13",
    ),
    "active parameters of nobody knows how many": (
        {"generators/moe": {"backend": "vllm", "model": "m", "active": 13}},
        "generators.moe: active needs parameters, all that the model has",
    ),
    "two GPUs for an embedder that takes one": (
        {"intrinsic/alike": {**ALIKE, "gpus": 2}},
        "intrinsic.alike.gpus: pooling: model uses one GPU: must be at most 1, not 2",
    ),
    "no prompt for a model": (
        {"experiments/main/prompts": ["none"]},
        "experiments.main.prompts: prompt 'none' is for experiments of data sets alone; "
        "known: main",
    ),
    "shots from nowhere": (
        {"benchmarks/mini-sums/shots": 2},
        "benchmarks.mini-sums: shots needs shots_from, the file that they are taken from",
    ),
    "shots from seeds that are not there": (
        {"benchmarks/mini-sums/shots_from": "resources/seeds/math/enhancement.jsonl"},
        "benchmarks.mini-sums.shots_from: unknown file 'resources/seeds/math/enhancement.jsonl'; "
        "known: "
        "resources/seeds/code/instance.jsonl, resources/seeds/code/response.jsonl, "
        "resources/seeds/math/instance.jsonl, resources/seeds/math/response.jsonl "
        "(made from seeds)",
    ),
    "reference that is the base": (
        {"students/tiny/reference": {"model": "./models//tiny", "chat": False}},
        "students.tiny.reference.model: models/tiny is the base too: PGR needs a reference that is "
        "better than it",
    ),
    "further reference that is the base": (
        {"students/tiny/references": {"same": {"model": "models/tiny", "chat": False}}},
        "students.tiny.references.same.model: models/tiny is the base too: PGR needs a reference "
        "that is better than it",
    ),
    "more demonstrations than seeds": (
        {
            "generation": {"demonstrations": {"seed": 100000}},
            "seeds/math/instance": {"hub": "acme/seeds", "revision": "a" * 40, "size": 40},
        },
        "seeds.math.instance: takes 40 rows, fewer than the 100000 that demonstrations show",
    ),
}


@pytest.mark.parametrize("edits, sentence", REFERENCE_FAULTS.values(), ids=REFERENCE_FAULTS)
@pytest.mark.parametrize("files_too", [True, False])
def test_fault_of_reference(project, edits, sentence, files_too):
    config = edited(edits)
    (project / FILE).write_text(yaml.safe_dump(config))
    assert fault(project, config, files_too=files_too) == f"{FILE}: {sentence}"


def test_a_source_is_one_that_a_plugin_offers(project, monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    (project / "mine.py").write_text("def seed_source_mine(domain, method):\n    return []\n")
    config = edited({"seeds/math/instance": {"source": "mine"}})
    told = "seeds.math.instance.source: unknown source 'mine'; known: mini"
    assert fault(project, config, ()) == told
    config["plugins"].append("mine.py")
    assert check_config(config, (), project)["seeds"]["math"]["instance"] == {"source": "mine"}


def test_a_data_set_needs_neither_seeds_nor_prompts(project):
    config = edited({"experiments/main": None, "experiments/human/methods": ["enhancement"]})
    assert check_config(config, (), project)["experiments"]["human"]["methods"] == ["enhancement"]


def test_a_further_reference_is_a_model_that_is_there(project):
    named = {"model": "./models/weak", "chat": True}
    config = edited({"students/tiny/references": {"weak": named}})
    told = "students.tiny.references.weak.model: no model in ./models/weak"
    assert fault(project, config, ()).startswith(told)
    (project / "models/weak").mkdir()
    (project / "models/weak/config.json").write_text("{}")
    assert matrix.student_references(check_config(config, (), project)) == {"weak": ["tiny"]}
    assert matrix.student_references(check_config(edited({}), (), project)) == {}


# Files that the config names: the file, its new text (None: absent), and the sentence.
@pytest.mark.parametrize("installed", [True, False])
def test_lm_eval_is_there_and_so_is_its_task(project, monkeypatch, installed):
    monkeypatch.setattr(lm_eval, "is_installed", lambda: installed)
    entry = {"domain": "code", "protocol": "lm_eval", "task": "tasks/mine.yaml"}
    words = "task: no file tasks/mine.yaml" if installed else f"protocol: {lm_eval.MISSING}"
    told = fault(project, edited({"benchmarks/functions": entry}), ())
    assert told == f"benchmarks.functions.{words}"


DESCRIBED_FAULTS = {
    "a prompt of a field that no row has": (
        {"benchmarks/functions": OWN | {"prompt": "{question}"}},
        "benchmarks.functions: data/functions.jsonl, line 1: no field 'question'; it has: task_id",
    ),
    "a rubric that shows no completion": (
        {"benchmarks/functions": RUBRIC | {"rubric": "config/themes.txt"}},
        "benchmarks.functions.rubric: config/themes.txt has no {completion}, what the judge is to "
        "judge",
    ),
    "a rubric that is not there": (
        {"benchmarks/functions": RUBRIC | {"rubric": "config/rubric.md"}},
        "benchmarks.functions.rubric: no text file config/rubric.md",
    ),
}


@pytest.mark.parametrize("edits, sentence", DESCRIBED_FAULTS.values(), ids=DESCRIBED_FAULTS)
def test_fault_of_a_described_benchmarks_files(project, edits, sentence):
    config = edited(edits)
    (project / FILE).write_text(yaml.safe_dump(config))
    assert fault(project, config) == f"{FILE}: {sentence}"


FILE_FAULTS = {
    "seeds absent": (
        ("data/response.jsonl", None),
        f"{FILE}: seeds.math.response.path: no file data/response.jsonl",
    ),
    "seeds empty": (
        ("data/response.jsonl", "\n"),
        f"{FILE}: seeds.math.response.path: data/response.jsonl has no rows",
    ),
    "seeds not JSON": (
        ("data/response.jsonl", '{"instruction": "a"}\n{"instruction": }\n'),
        f"{FILE}: seeds.math.response.path: data/response.jsonl, line 2 is not JSON "
        "(Expecting value: line 1 column 17 (char 16))",
    ),
    "seed row a list": (
        ("data/response.jsonl", '{"instruction": "a"}\n["b"]\n'),
        f"{FILE}: seeds.math.response.path: data/response.jsonl, line 2 is list, not a JSON object",
    ),
    "seed without instruction": (
        ("data/response.jsonl", '{"instruction": "a"}\n\n{"question": "b"}\n'),
        f"{FILE}: seeds.math.response.path: data/response.jsonl, line 3 has no 'instruction'",
    ),
    "seed with a blank instruction": (
        ("data/response.jsonl", '{"instruction": " "}\n'),
        f"{FILE}: seeds.math.response.path: data/response.jsonl, line 1 has no text in "
        "'instruction'",
    ),
    "seed list with a blank instruction": (
        ("data/response.jsonl", '[{"instruction": "a"}, {"instruction": ""}]'),
        f"{FILE}: seeds.math.response.path: data/response.jsonl, row 2 has no text in "
        "'instruction'",
    ),
    "shot without a response": (
        ("data/shots.jsonl", '{"instruction": "Write f."}\n'),
        f"{FILE}: benchmarks.functions.shots_from: data/shots.jsonl, line 1 has no 'response'",
    ),
    "benchmark absent": (
        ("data/functions.jsonl", None),
        f"{FILE}: benchmarks.functions.source.path: no file data/functions.jsonl",
    ),
    "benchmark empty": (
        ("data/functions.jsonl", ""),
        f"{FILE}: benchmarks.functions.source.path: data/functions.jsonl has no rows",
    ),
    "data set absent": (
        ("data/people.jsonl", None),
        f"{FILE}: generators.people.data.math.path: no file data/people.jsonl",
    ),
    "data set without the field": (
        ("data/people.jsonl", '{"prompt": "1+1?", "answer": "2"}\n'),
        f"{FILE}: generators.people.data.math.instruction: no text in 'question' of "
        "data/people.jsonl, line 1; known: prompt, answer",
    ),
    "model absent": (
        ("models/tiny/config.json", None),
        f"{FILE}: students.tiny.base.model: no model in models/tiny: "
        "there is no models/tiny/config.json",
    ),
    "themes absent": (
        ("config/themes.txt", None),
        f"{FILE}: themes.math: config/themes.txt: no such file",
    ),
    "themes blank": (
        ("config/themes.txt", " \n\n"),
        f"{FILE}: themes.math: config/themes.txt: no line with text in it",
    ),
    "meta-prompt absent": (
        ("config/prompts/main/response/code.md", None),
        f"{FILE}: experiments.main.prompts: prompt 'main' has no file "
        "config/prompts/main/response/code.md",
    ),
    "meta-prompt without its placeholder": (
        ("config/prompts/main/response/code.md", "Answer well.\n"),
        "config/prompts/main/response/code.md: no placeholder {instruction}, "
        "which method response needs",
    ),
    "meta-prompt with a placeholder too many": (
        ("config/prompts/main/response/code.md", "{instruction} {theme}\n"),
        "config/prompts/main/response/code.md: unknown placeholder {theme}; "
        "method response has {instruction}; write {{theme}} for the text itself",
    ),
    "meta-prompt with a theme where there are none": (
        ("config/prompts/main/instance/code.md", "{demonstrations} {theme}\n"),
        f"{FILE}: experiments.main.prompts: config/prompts/main/instance/code.md has {{theme}}, "
        "but themes.code is missing",
    ),
    "file not in UTF-8": (
        ("data/functions.jsonl", b'{"a": "\xff"}\n'),
        f"{FILE}: benchmarks.functions.source.path: data/functions.jsonl is not text in UTF-8",
    ),
}


@pytest.mark.parametrize("change, sentence", FILE_FAULTS.values(), ids=FILE_FAULTS)
def test_fault_of_a_file(project, change, sentence):
    name, text = change
    (project / name).unlink()
    if text is not None:
        (project / name).write_bytes(text.encode() if isinstance(text, str) else text)
    config = yaml.safe_load(COMPLETE)
    assert fault(project, config) == sentence
    check_config(config, [FILE], project, files_too=False)  # a job on a cluster does not look


def test_data_sets_alone_need_no_prompt(project):
    experiment = {"experiments/main/generators": ["people"], "experiments/main/prompts": ["none"]}
    experiment |= {"experiments/main/domains": ["math"], "experiments/main/methods": ["response"]}
    experiment["experiments/main/sizes"] = [10]
    assert check_config(edited(experiment), (), project)["experiments"]["main"]["prompts"] == [
        "none"
    ]
    experiment["experiments/main/generators"] = ["people", "strong"]
    (project / FILE).write_text(yaml.safe_dump(edited(experiment)))
    told = f"{FILE}: experiments.main.prompts: prompt 'none' is for experiments of data sets alone"
    assert fault(project, edited(experiment)) == f"{told}; known: main"


def test_a_metric_may_have_the_name_of_a_column_that_is_in_no_table_with_it(project):
    config = edited({"intrinsic/id": {**ALIKE, "pooling": "mean"}})
    assert list(check_config(config, (), project)["intrinsic"]) == ["id"]


def test_how_to_pool_is_asked_of_models_that_say_it(project):
    config = edited({"intrinsic/alike": ALIKE})
    told = "intrinsic.alike.pooling: ./models/tiny is no model of sentence-transformers"
    assert fault(project, config, ()) == f"{told} (no modules.json): say pooling: mean"
    (project / "models/tiny/modules.json").write_text("[]")
    check_config(config, (), project)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "0_New/config.json"])
def test_code_of_another_repository_is_not_executed(project, file):
    config = edited({"intrinsic/alike": {**ALIKE, "pooling": "mean", "trust_remote_code": True}})
    place = project / "models/tiny" / file
    place.parent.mkdir(exist_ok=True)
    place.write_text('{"auto_map": {"AutoModel": "modeling.Model"}, "a": "b--c"}')
    check_config(config, (), project)
    place.write_text('{"auto_map": {"AutoModel": ["acme/code--modeling.Model", null]}}')
    assert fault(project, config, ()).startswith(
        "intrinsic.alike.trust_remote_code: the classes of ./models/tiny come from acme/code, where"
    )
    config["intrinsic"]["alike"]["trust_remote_code"] = False
    check_config(config, (), project)


def test_too_few_seeds_to_show(project):
    (project / "data/one.jsonl").write_text('{"instruction": "a", "response": "b"}\n')
    config = edited({"seeds/math/instance": {"path": "data/one.jsonl"}})
    assert fault(project, config, ()) == (
        "seeds.math.instance.path: data/one.jsonl has 1 rows, fewer than the 2 that "
        "demonstrations show"
    )


SEEDS = '{"question": "1+1?", "answer": "2", "kind": "sum"}\n' * 3
FIELDS = {"instruction": "question", "response": "answer"}


@pytest.mark.parametrize(
    "source, sentence",
    [
        ({"response": "reply", "instruction": "question"}, "response: no text in 'reply' of"),
        ({**FIELDS, "convert": "python", "response": "code"}, "response: no text in 'code' of"),
        ({**FIELDS, "where": {"level": "5"}}, "where: no field 'level' in data/own.jsonl, line 1"),
        (
            {**FIELDS, "size": 5000},
            "path: data/own.jsonl has 3 rows, fewer than the 5000 that size",
        ),
        (
            {"format": "messages"},
            "format: no messages or conversations (data/own.jsonl, line 1); turns: split",
        ),
        ({"turns": "split"}, "turns: needs format: messages"),
        ({**FIELDS, "size": 3, "where": {"kind": "sum"}}, None),
    ],
)
def test_seeds_with_fields_of_their_own(project, source, sentence):
    (project / "data/own.jsonl").write_text(SEEDS)
    config = edited({"seeds/math/instance": {"path": "data/own.jsonl", **source}})
    if sentence is None:
        check_config(config, (), project)
    else:
        assert f"seeds.math.instance.{sentence}" in fault(project, config, ())


def test_seeds_of_several_files_are_few_in_each(project):
    rows = '{"instruction": "a", "response": "b"}\n'
    (project / "data/one.jsonl").write_text(rows)
    parts = {name: {"path": "data/one.jsonl"} for name in ("a", "b")}
    check_config(edited({"seeds/math/instance": {"parts": parts}}), (), project)


def test_a_data_set_with_fewer_pairs_than_are_taken(project):
    config = edited({"experiments/human/sizes": [5, 5000]})
    assert fault(project, config, ()) == (
        "generators.people.data.math.path: data/people.jsonl has 10 rows, fewer than the 5000 that "
        "experiments take"
    )


def test_a_miniature_model_that_is_not_built(project):
    config = edited({"generators/strong/model": "resources/models/stron"})
    (project / FILE).write_text(yaml.safe_dump(config))
    assert fault(project, config) == (
        f"{FILE}: generators.strong.model: unknown model 'resources/models/stron'; "
        "known: resources/models/strong"
    )


def test_shots_may_have_fields_of_their_own(project):
    (project / "data/shots.jsonl").write_text('{"q": "1 + 1?", "a": "2"}\n' * 5)
    fields = {"instruction": "{q}", "response": "a"}
    edits = {"benchmarks/functions/shots_fields": fields}
    assert check_config(edited(edits), (), project)["benchmarks"]["functions"]["shots_fields"]
    edits = {"benchmarks/functions/shots_fields": fields | {"response": "b"}}
    assert "no text in 'b' of data/shots.jsonl, line 1" in fault(project, edited(edits), ())


def test_shots_from_what_the_pipeline_builds_need_not_be_there_yet(project):
    source = "resources/seeds/math/instance.jsonl"
    config = edited({"benchmarks/mini-sums/shots": 2, "benchmarks/mini-sums/shots_from": source})
    assert check_config(config, (), project)["benchmarks"]["mini-sums"]["shots_from"] == source


# Which file holds it.


def test_the_file_that_holds_the_key_is_named(project):
    (project / "mine.yaml").write_text("experiments: {main: {generators: [gpt4o]}}")
    config = yaml.safe_load(COMPLETE)
    update_config(config, yaml.safe_load((project / "mine.yaml").read_text()))
    # Snakemake gives files of the command line first, and those absolute.
    assert fault(project, config, [project / "mine.yaml", FILE]) == (
        "mine.yaml: experiments.main.generators: unknown generator 'gpt4o'; "
        "known: strong, noisy, people"
    )


def test_a_key_missing_from_a_section_in_two_files_names_both(project):
    half = edited({"students/tiny/recipe/precision": None})
    (project / FILE).write_text(yaml.safe_dump(half))
    (project / "more.json").write_text('{"students": {"tiny": {"recipe": {"epochs": 5}}}}')
    assert fault(project, half, ["more.json", FILE]) == (
        f"more.json, {FILE}: students.tiny.recipe: missing key 'precision'"
    )


@pytest.mark.parametrize(
    "edits, sentence",
    [
        ({"bootstrap": 0}, "bootstrap: must be at least 2, not 0"),
        (
            {"bootstap": 5},
            "unknown key 'bootstap'; did you mean 'bootstrap'? known: seed, bootstrap, "
            "max_usd, preview, warm, lock, sample_seed, tokenizer, keep_models, sandbox, packages, "
            "plugins, "
            "mini, domains, methods, seeds, benchmarks, generators, generation, dataset, prompts, "
            "themes, openings, students, intrinsic, experiments, missing",
        ),
    ],
)
def test_a_value_of_the_command_line_is_named_so(project, edits, sentence):
    assert fault(project, edited(edits)) == f"--config: {sentence}"


def test_a_default_is_of_the_file_that_left_it_open(project):
    """Whoever wrote the data set without the names of its columns did it in that file."""
    mine = {"generators": {"people": {"backend": "dataset", "data": {"math": {"path": "q.json"}}}}}
    (project / "mine.yaml").write_text(yaml.safe_dump(mine))
    (project / "q.json").write_text('[{"question": "1+1?", "answer": "2"}]')
    config = edited({"generators/people": None})
    (project / FILE).write_text(yaml.safe_dump(config))
    update_config(config, mine)
    assert fault(project, config, ["mine.yaml", FILE]) == (
        "mine.yaml: generators.people.data.math.instruction: no text in 'instruction' of q.json, "
        "row 1; known: question, answer"
    )


def test_a_file_outside_the_folder_is_named_as_given(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "other.yaml"
    other.write_text("bootstrap: 0")
    assert fault(project, edited({"bootstrap": 0}), [FILE, other]) == (
        f"{other}: bootstrap: must be at least 2, not 0"
    )


def test_a_generator_given_twice(project):
    text = COMPLETE.replace("  noisy: {", "  strong: {")
    (project / FILE).write_text(text)
    assert fault(project, yaml.safe_load(text)) == (
        f"{FILE}: generators: 'strong' is given twice, on lines 18 and 19"
    )
    given = edited({"generators/noisy": None, "experiments/main/generators": ["strong"]})
    check_config(given, [FILE], project, files_too=False)  # a job on a cluster does not look


def test_a_section_given_twice(project):
    text = COMPLETE + "themes: {}\n"
    (project / FILE).write_text(text)
    first = COMPLETE.splitlines().index("themes: {math: config/themes.txt}") + 1
    assert fault(project, yaml.safe_load(text)) == (
        f"{FILE}: 'themes' is given twice, on lines {first} and {len(text.splitlines())}"
    )


def test_yaml_anchors_and_merge_keys_are_no_repetition(project):
    text = COMPLETE.replace("  human:\n", "  again: &again\n", 1)
    text += "  human:\n    <<: *again\n    seeds: [3]\n"
    (project / FILE).write_text(text)
    filled = check_config(yaml.safe_load(text), [FILE], project)
    assert filled["experiments"]["human"]["seeds"] == [3]
    assert filled["experiments"]["human"]["generators"] == ["people"]


# What is published: schemas for editors, and the table of keys.


def properties(rule, path=()):
    """Every key that a schema names, wherever it does: (path, its schema)."""
    for key, inner in rule.items() if isinstance(rule, dict) else enumerate(rule):
        if key == "properties":
            for name, entry in inner.items():
                yield (*path, name), entry
                yield from properties(entry, (*path, name))
        elif isinstance(inner, (dict, list)):
            yield from properties(inner, (*path, key))


RENEW = "run: PYTHONPATH=scripts python -m agorabench.config.publish"
SHIPPED = sorted({path.name for path in (ROOT / "config").glob("*.yaml")} - {"resources.yaml"})
WHOLE = ["mini.yaml", "agorabench.yaml", "rehearsal.yaml"]


@pytest.mark.parametrize("name", ["schema.json", "schema-overlay.json"])
def test_the_published_schema_is_that_of_the_models(name):
    text = (ROOT / "config" / name).read_text(encoding="utf-8")
    assert text == publish.render_schema(publish.list_schemas()[name]), RENEW
    assert json.loads(text) == publish.list_schemas()[name]
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("file", SHIPPED)
def test_an_editor_finds_the_schema_of_a_shipped_config_and_nothing_wrong(file):
    text = (ROOT / "config" / file).read_text(encoding="utf-8")
    name = "schema.json" if file in WHOLE else "schema-overlay.json"
    assert text.startswith(f"# yaml-language-server: $schema={name}\n")
    schema = json.loads((ROOT / "config" / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


@pytest.mark.parametrize("file", WHOLE)
def test_a_shipped_config_that_is_whole_passes(file):
    assert load_config(ROOT / "config" / file)["experiments"]


@pytest.mark.parametrize("name", ["misspelt key", "text for a number", "key unlike any"])
def test_the_schema_of_a_config_behind_another_refuses_what_is_wrong_in_any(name):
    schema = json.loads((ROOT / "config/schema-overlay.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"generators": {"strong": {"model": "m"}}})
    assert not validator.is_valid(edited(SCHEMA_FAULTS[name][0]))


def test_every_key_is_described_and_in_the_readme():
    readme = (ROOT / "config/README.md").read_text()
    found = list(properties(PUBLISHED))
    assert len(found) > 60
    for path, rule in found:
        rule = json_schema.resolve_rule(rule)
        assert rule.get("description", "").endswith("."), path
        rows = [row for row in readme.splitlines() if row.startswith("| `")]
        assert any(
            row.split("`")[1].split(".")[-1] == path[-1] and rule["description"] in row
            for row in rows
        ), path


def test_the_readme_holds_the_table_as_the_models_make_it():
    readme = (ROOT / "config/README.md").read_text()
    assert readme.endswith(f"{publish.MARK}\n{publish.render_table()}"), RENEW


# The Snakefile imports it at every call, on a cluster in every job.


def test_importing_it_imports_nothing_heavy():
    program = """if True:
        import json, sys
        import pydantic
        class Model(pydantic.BaseModel):  # Snakemake has models of its own
            key: int = 1
        before = set(sys.modules)
        import agorabench.config
        print(json.dumps(sorted(set(sys.modules) - before)))
    """
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    roots = {name.partition(".")[0] for name in json.loads(run.stdout)}
    ours = {
        name for name in roots if not name.startswith("_") and name not in sys.stdlib_module_names
    }
    assert ours == {"agorabench"}


def test_a_small_number_survives_the_way_through_json(tmp_path):
    """Scripts read the config that the Snakefile has written down, where 1e-05 is a number."""
    config = yaml.safe_load((ROOT / "config/mini.yaml").read_text(encoding="utf-8"))
    config["students"]["mini"]["recipe"]["learning_rate"] = 1.0e-5
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert "1e-05" in file.read_text()
    assert load_config(file)["students"]["mini"]["recipe"]["learning_rate"] == 1.0e-5
