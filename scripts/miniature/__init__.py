"""The miniature: a small world whose tasks a program can draw, solve and grade, and its models.

It is a plug-in (`plugins: [miniature]`, see agorabench.plugins), and these are what it offers.
"""

from miniature import protocol as protocol_mini
from miniature.checks import check_config
from miniature.checks import not_held_out as validator_not_held_out
from miniature.world import make_benchmark as benchmark_source_mini
from miniature.world import make_seeds as seed_source_mini

__all__ = [
    "benchmark_source_mini",
    "check_config",
    "protocol_mini",
    "seed_source_mini",
    "validator_not_held_out",
]
