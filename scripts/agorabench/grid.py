"""The matrix: experiments' axes -> runs -> paths. Standard library only; the Snakefile reads it."""

import ast
from dataclasses import dataclass
from itertools import product
from pathlib import Path

DOMAINS = ("math", "code", "instruction")
METHODS = ("instance", "response", "enhancement")
ANCHORS = ("base", "reference")  # the two models every student is measured against
NO_PROMPT = "none"  # the prompt coordinate of a data set, which is asked nothing


@dataclass(frozen=True)
class Run:
    """One student: what it is, and the coordinates of the data it is trained on."""

    student: str
    domain: str
    method: str
    generator: str
    prompt: str
    size: int
    seed: int

    @property
    def cell(self):
        """Path of the generated set, without a folder or an ending."""
        place = f"{self.domain}/{self.method}/{self.generator}/{self.prompt}"
        return f"{place}/n{self.size}-seed{self.seed}"

    @property
    def model(self):
        """Path of the trained student, its predictions and its scores, likewise."""
        return f"{self.student}/{self.cell}"


def runs(config):
    """Every run of every experiment, once, in the order of the config."""
    found = {}
    for experiment in config["experiments"].values():
        axes = ("students", "domains", "methods", "generators", "prompts", "sizes", "seeds")
        for student, domain, method, generator, prompt, size, seed in product(
            *(experiment[axis] for axis in axes)
        ):
            if config["generators"][generator]["backend"] == "dataset":
                prompt = NO_PROMPT
            run = Run(student, domain, method, generator, prompt, size, seed)
            found[run] = None
    return list(found)


def benchmarks(config, domain=None):
    """Names of the scored benchmarks of a domain, or of all, in the order of the config."""
    return [
        name
        for name, entry in config["benchmarks"].items()
        if domain in (None, entry["domain"]) and entry["protocol"] != "unscored"
    ]


def sources(program, *more, root="scripts"):
    """Files of this project that a script consists of, found by its import statements.

    `more` names modules that are imported by name at run time, as paths below `root`.
    """
    root = Path(root)
    waiting, found = [f"{program}.py", *more], set()
    while waiting:
        path = waiting.pop()
        if path in found or not (root / path).is_file():
            continue
        found.add(path)
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            for name in names:
                path = name.replace(".", "/")
                waiting += [f"{path}.py", f"{path}/__init__.py"]
    return sorted(str(root / path) for path in found)
