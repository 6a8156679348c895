"""Judges and generators of one family: known by name, host or what the config says."""

import pytest
import yaml
from agorabench import matrix
from agorabench.config import check_config, result_stages
from agorabench.llm.families import FAVOUR, describe_related, list_families
from agorabench.llm.request import deciding_keys
from helpers import ROOT


def shipped(name):
    return yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("entry", "families"),
    [
        ({"model": "gpt-4o-2024-08-06"}, {"openai"}),
        ({"model": "ft:gpt-4o-mini:acme::abc"}, {"openai"}),
        ({"model": "o3-mini"}, {"openai"}),
        ({"model": "us.anthropic.claude-3-5-sonnet-v2:0"}, {"anthropic"}),
        ({"model": "meta-llama/Llama-3.1-8B-Instruct"}, {"meta"}),
        ({"model": "accounts/fireworks/models/llama-v3p1-405b-instruct"}, {"meta"}),
        ({"model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"}, {"deepseek", "alibaba"}),
        ({"model": "Qwen2.5-7B-Instruct/"}, {"alibaba"}),
        # Parts of other words are none; two unknown models of a folder are no relatives.
        ({"model": "graphite-1"}, {"graphite-1"}),
        ({"model": "sophia-o12"}, {"sophia-o12"}),
        ({"model": "resources/models/strong"}, {"strong"}),
        # A deployment whose name tells nothing; the host of a model that others made.
        ({"model": "prod-7", "base_url": "https://acme.openai.azure.com/v1"}, {"openai"}),
        ({"model": "gemini-2.0", "base_url": "https://x.googleapis.com/v1/openai"}, {"google"}),
        ({"model": "gpt-4o", "family": "acme"}, {"acme"}),
        ({"of": {"a": 0.5, "b": 0.5}}, {"meta", "b"}),
        ({"backend": "dataset"}, set()),
    ],
)
def test_a_family_is_who_makes_the_model(entry, families):
    parts = {"a": {"model": "llama-2"}, "b": {"model": "b"}}
    assert list_families({"generators": parts | {"x": entry}}, "x") == families


def test_a_judge_of_ones_own_family_is_told_wherever_its_numbers_are():
    config = check_config(shipped("agorabench"), root=ROOT)
    assert describe_related(config) == (
        f"{FAVOUR}alpaca-eval-judge judges gpt-4o, gpt-4o-mini in alpaca-eval; arena-hard-judge "
        "judges gpt-4o, gpt-4o-mini in arena-hard."
    )
    told = describe_related(config, matrix.judged_metrics(config))
    assert "judges gpt-4o, gpt-4o-mini in difficulty-gpt-4o, quality-gpt-4o." in told
    assert "prometheus" not in told
    assert result_stages.report(config).params["related"] == told
    assert result_stages.aggregate(config, "pgr").params["related"] == describe_related(config)


def test_what_the_config_calls_a_family_is_one():
    config = shipped("mini")
    assert "related" not in result_stages.report(check_config(config, root=ROOT)).params
    before = deciding_keys(check_config(config, root=ROOT)["generators"]["narrow"])
    for name in ("narrow", "careful"):
        config["generators"][name]["family"] = "ours"
    checked = check_config(config, root=ROOT)
    told = describe_related(checked, matrix.judged_metrics(checked))
    assert told == f"{FAVOUR}careful judges narrow in difficulty-careful, quality-careful."
    assert describe_related(checked) == ""  # no student is judged
    assert deciding_keys(checked["generators"]["narrow"]) == before  # nothing is asked again
