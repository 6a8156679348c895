"""The command lines of jobs: short, the same next week, and named as their rules and programs."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import partial

import pytest
import yaml
from agorabench.config import load_config, result_stages, stages
from helpers import ROOT
from helpers.workflow import Folder

MINIATURE = "config/mini.yaml"
MATRIX = "config/agorabench.yaml"
PROGRAMS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
RULE = re.compile(r"^( *)rule(?: (\w+))?:\n((?:\1    .*\n|\n)+)", re.M)


@pytest.fixture
def clone(tmp_path):
    return Folder(tmp_path / "clone")


def shell_lines(text):
    """The command lines that `snakemake -p` shows."""
    return re.findall(r"^ *Shell command: (.+)$", text, re.M)


def run_line(folder, line):
    """Run a command line in a folder, as a user pastes it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder.path, env=folder.environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.slow
def test_no_command_line_of_the_papers_matrix_has_400_characters(clone):
    lines = shell_lines(clone.snakemake("-n", "-p", "--forceall", "--configfile", MATRIX))
    assert len(lines) > 900
    assert max(map(len, lines)) < 400, max(lines, key=len)


def test_a_line_means_the_same_after_another_config_was_run(clone):
    target = clone.path / "resources/seeds/math/response.jsonl"
    for name in "ab":
        row = {"instruction": f"question {name}", "response": name}
        (clone.path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")

    def run(name):
        whole = yaml.safe_load((ROOT / MINIATURE).read_text(encoding="utf-8"))
        math = whole["seeds"]["math"] | {"response": {"path": f"{name}.jsonl"}}
        whole["seeds"] = whole["seeds"] | {"math": math}
        (clone.path / "config.json").write_text(json.dumps(whole))
        arguments = (str(target.relative_to(clone.path)), "--configfile", "config.json")
        [line] = shell_lines(clone.snakemake("-p", *arguments))
        return line, target.read_bytes()

    first, rows = run("a")
    second, others = run("b")
    assert first != second and b"question a" in rows and b"question b" in others
    assert run_line(clone, first).returncode == 0
    assert target.read_bytes() == rows
    assert run_line(clone, second).returncode == 0
    assert target.read_bytes() == others


def test_rules_run_the_python_that_runs_snakemake(clone):
    """As `.venv/bin/snakemake` without activating .venv: no python on the PATH has our packages."""
    (clone.path / "bin").mkdir()
    python = clone.path / "bin/python"
    python.write_text("#!/bin/sh\necho the python of the system; exit 1\n")
    python.chmod(0o755)
    (clone.path / "rows.jsonl").write_text('{"instruction": "q", "response": "a"}\n')
    whole = yaml.safe_load((ROOT / MINIATURE).read_text(encoding="utf-8"))
    whole["seeds"]["math"]["response"] = {"path": "rows.jsonl"}
    (clone.path / "config.json").write_text(json.dumps(whole))
    target = "resources/seeds/math/response.jsonl"
    ended = subprocess.run(
        clone.command(target, "--configfile", "config.json"),
        cwd=clone.path, env={**os.environ, "PATH": f"{clone.path}/bin:/usr/bin:/bin"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (clone.path / target).exists() and "python of the system" not in ended.stdout


# One verb for a rule, its program and its log; nouns for what collects them


def rules():
    """[(file, name, text)] of all rules; a name may hold a wildcard of its loop, {domain}."""
    found = []
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]:
        for _, name, text in RULE.findall(path.read_text(encoding="utf-8")):
            found.append((path.name, name or re.search(r'name:\s*f?"(.+)"', text)[1], text))
    return found


def program(text):
    """The program that a rule runs, as a path below scripts/ without an ending; or None."""
    shell = re.search(r"^ +shell:\n((?:.*\n)+)", text, re.M)
    if not shell:
        return None
    named = re.search(r'\bprogram\(\s*"([\w/]+)"', shell[1])
    named = named or re.search(r"scripts/(?!warm)(\w+)\.py", shell[1])
    assert named, shell[1]
    return named[1]


def aggregates():
    """The table in the docstring of rules/targets.smk: a noun and what it collects."""
    docstring = ast.get_docstring(ast.parse(leading_string("rules/targets.smk")))
    return dict(re.findall(r"^(\w+) {2,}(\S.*)$", docstring, re.M))


def leading_string(path):
    """The string that a file begins with."""
    return re.match(r'r?""".*?"""', (ROOT / path).read_text(encoding="utf-8"), re.S)[0]


def test_every_rule_says_what_it_makes():
    for file, name, text in rules():
        assert text.lstrip().startswith('"""'), f"{file}: {name} has no docstring"


def test_a_rule_its_program_and_its_log_have_one_verb():
    ran = set()
    for file, name, text in rules():
        run = program(text)
        if run is None:
            continue
        ran.add(run)
        verb = run.rpartition("/")[2]
        assert (ROOT / f"scripts/{run}.py").is_file(), f"{file}: {name}"
        assert name == verb or name.startswith(f"{verb}_"), f"{file}: {name} runs {run}.py"
        log = re.search(r'log:\s*f?"logs/(\w+)[/.]', text)
        assert log and log[1] == verb, f"{file}: the log of {name}"
    assert {*PROGRAMS} <= ran, "a program that no rule runs"


def test_aggregates_are_nouns_of_one_table():
    nouns = aggregates()
    named = [(file, name) for file, name, text in rules() if program(text) is None]
    assert named == [("Snakefile", "all"), *(("targets.smk", noun) for noun in nouns)]
    verbs = {program(text) for _, _, text in rules()}
    assert not {*nouns} & verbs


# What docstrings say to paste


def pasted(path):
    """The commands in a program's docstring, a line each."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    lines = docstring.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("    python scripts/")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_docstring_begins_with_a_command_of_the_program_itself(name):
    commands = pasted(ROOT / f"scripts/{name}.py")
    assert commands and all(c.startswith(f"python scripts/{name}.py ") for c in commands)
    assert all(" --config config/" in command for command in commands)


@pytest.mark.slow
def test_every_docstrings_command_runs_in_a_finished_miniature(copy):
    sets = [
        f"results/raw/math/response/{name}/mini/n300-seed1.jsonl" for name in ("strong", "noisy")
    ]
    copy.snakemake("--configfile", "config/axes.yaml", "--", *sets)  # the parts of a mixture
    commands = [c for name in PROGRAMS for c in pasted(copy.path / f"scripts/{name}.py")]
    commands = [command for command in commands if MATRIX not in command]
    assert len(commands) >= len(PROGRAMS)
    faults = {command: fault for command in commands if (fault := failure(copy, command))}
    assert not faults, "\n\n".join(f"{command}\n{fault}" for command, fault in faults.items())
    assert copy.stale() == []  # each made what was there


def failure(folder, command):
    """What a command printed that failed, or nothing."""
    ended = run_line(folder, command)
    return ended.returncode and (ended.stdout + ended.stderr)[-1500:]


FAULTY_NAMES = {
    "no such config": (["analyse", "--config", "no.json"], "cannot read the config no.json"),
    "cell that is none": (["curate", "--cell", "math"], "'math' is not a cell: DOMAIN/METHOD/"),
    "unknown method": (["train", "--student", "mini", "--cell", "math/foo/strong/mini/n6-seed1"],
                       "unknown method 'foo'; known: instance, response, enhancement"),
    "unknown prompt": (["generate", "--cell", "math/response/strong/nope/n6-seed1"],
                       "unknown prompt 'nope'; known: mini, none"),
    "misspelt anchor": (["predict", "--model", "mini/refrence"],
                        "unknown model of a student 'refrence'; known: base, reference"),
    "no judge": (["judge", "--benchmark", "mini-sums", "--model", "mini/base"],
                 "benchmark mini-sums has no judge"),
    "no mixture": (["mix", "--cell", "math/response/strong/mini/n6-seed1"],
                   "strong is no mixture; mixtures of the config: none"),
    "no set yet": (["train", "--student=mini", "--cell=math/response/strong/mini/n6-seed9"],
                   "results/data/math/response/strong/mini/n6-seed9.jsonl: no such file"),
    "domain of a student": (["predict", "--model", "mini/base", "--domain", "math"],
                            "--domain: mini/base answers all its benchmarks at once"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTY_NAMES)
def test_a_name_that_the_config_lacks_gets_one_sentence(case):
    (program, *options), sentence = FAULTY_NAMES[case]
    config = [] if "--config" in options else ["--config", MINIATURE]
    ended = subprocess.run(
        [sys.executable, f"scripts/{program}.py", *config, *options],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode and sentence in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_order_of_what_tables_show_decides_their_bytes():
    config = load_config(ROOT / MINIATURE)
    other = config | {"benchmarks": dict(reversed(config["benchmarks"].items()))}
    for stage in (partial(result_stages.aggregate, table="pgr"), result_stages.report):
        assert stage(config).text != stage(other).text
    assert stages.seeds(config, "math", "response") == stages.seeds(other, "math", "response")
