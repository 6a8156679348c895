"""What README and docs say can be done: links lead somewhere, YAML is a config, commands run."""

import re
import shlex
import subprocess

import pytest
import yaml
from agorabench.config import load_config
from agorabench.config.load import merge_configs
from helpers import ROOT, workflow

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")),
    ROOT / "examples/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PAGES = [page for page in PAGES if page.exists()]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
STANZAS = ["README.md", "docs/generators.md", "docs/axes.md", "docs/own-task.md"]
PREPARE = ("make ", ".ci/run", "python3 -m venv", "pip install", "python examples/teachers.py")


def blocks(page, *languages):
    text = page.read_text(encoding="utf-8")
    return [block for language, block in FENCE.findall(text) if language in languages]


def commands(page):
    """The command lines of a page, without remarks."""
    lines = [line for block in blocks(page, "sh", "bash") for line in block.splitlines()]
    return [" ".join(shlex.split(line, comments=True)) for line in lines if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(page):
    text = re.sub(FENCE, "", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name}: {link}"
        if heading:
            if target.name == "configuration.md":
                target = ROOT / "config/README.md"
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert heading in anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("page", STANZAS)
def test_stanzas_are_a_config_or_go_into_the_papers(page, tmp_path):
    paper = yaml.safe_load((ROOT / "config/agorabench.yaml").read_text(encoding="utf-8"))
    paper["generators"]["claude"] = paper["generators"]["claude-3.5-sonnet"]
    earlier = paper
    for block in blocks(ROOT / page, "yaml"):
        stanza = yaml.safe_load(block)
        earlier = stanza if "students" in stanza and "experiments" in stanza else earlier
        earlier = merge_configs(earlier, stanza)
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(earlier, sort_keys=False))
        checked = load_config(file)
        assert all(name in checked[key] for key in stanza for name in stanza[key])


def test_the_site_has_every_page_once():
    listed = re.findall(r'"([\w-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.slow
def test_every_command_line_can_be_run(copy, tmp_path):
    """Snakemake's are, as dry runs; stages' programs have tests of their docstrings' lines."""
    workflow.copy(ROOT / "examples", copy.path / "examples")
    own = next(
        block for block in blocks(ROOT / "docs/own-task.md", "yaml") if "experiments" in block
    )
    (copy.path / "mine.yaml").write_text(own)
    (copy.path / "data/prompts/response").mkdir(parents=True)
    (copy.path / "data/prompts/response/sql.md").write_text("{instruction}\n")
    for name, row in {
        "seeds": '{"instruction": "How many?", "response": "select 1"}\n',
        "test": '{"question": "How many?", "query": "select 1"}\n',
    }.items():
        (copy.path / f"data/{name}.jsonl").write_text(row)
    lines = {line for page in PAGES for line in commands(page) if not line.startswith(PREPARE)}
    ran = 0
    for line in sorted(lines):
        program, *rest = shlex.split(line)
        if program == "snakemake":
            if "config/rehearsal.yaml" in rest:
                continue  # its files are fetched by hand; a test of its own runs it
            targets = rest.index("--configfile") if "--configfile" in rest else len(rest)
            copy.snakemake(*rest[:targets], "--dry-run", *rest[targets:])
        else:
            assert rest[0].startswith("scripts/"), line
            if rest[0].startswith("scripts/tools/"):
                ended = subprocess.run(
                    copy.command()[:1] + rest, cwd=copy.path, capture_output=True, text=True
                )
                done = ended.returncode == 0 or "no set that is new" in ended.stderr
                assert done, f"{line}\n{ended.stderr[-2000:]}"
        ran += 1
    assert ran > 20
