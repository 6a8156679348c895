"""What of a config the miniature answers for: recipes, and names of its benchmarks."""

from collections.abc import Iterator, Mapping

from agorabench.config.messages import name_unknown_key

from miniature.recipes import recipe_keys
from miniature.world import BENCHMARKS, is_held_out, parse_task


def check_config(config: Mapping) -> Iterator[tuple]:
    """Yield the faults of a config, see agorabench.plugins."""
    for name, recipe in config["mini"].items():
        path = ("mini", name)
        if not isinstance(recipe, Mapping):
            yield path, f"must be a mapping, not {recipe!r}"
            continue
        if (start := recipe.get("start")) and start not in config["mini"]:
            known = ", ".join(config["mini"])
            yield (*path, "start"), f"unknown model '{start}'; known: {known}"
        known = recipe_keys(name)
        for key in (key for key in recipe if key not in known):
            yield path, name_unknown_key(str(key), known), (*path, key)
    for name, benchmark in config["benchmarks"].items():
        if benchmark["source"].get("source") == "mini" and name not in BENCHMARKS:
            text = f"unknown mini benchmark '{name}'; known: {', '.join(BENCHMARKS)}"
            yield ("benchmarks",), text


def not_held_out(pair: tuple[str, str], limits: Mapping) -> str | None:
    """The instruction is no task that the miniature's benchmarks keep for themselves."""
    task = parse_task(pair[0])
    return "held-out task" if task and is_held_out(task.key) else None
