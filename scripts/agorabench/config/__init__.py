"""The configuration: its keys, what they refer to, and what decides the result of each stage."""

from agorabench.config.load import check_config, load_config

__all__ = ["check_config", "load_config"]
