"""The generators' own ability: asked like for data, sampled like students."""

import contextlib
from importlib import import_module

import predict
import pytest
import servers
import yaml
from agorabench import paths
from agorabench.config import check_config
from agorabench.evaluation import ability, grading
from agorabench.files import read_jsonl, write_json, write_jsonl
from agorabench.llm import budget
from helpers import ROOT
from helpers.asking import KEY, generator

ITEMS = [{"question": f"{n}+1?", "answer": f"So it is.\n#### {n + 1}"} for n in range(20)]


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_generator_solves_a_benchmark_once(tmp_path, monkeypatch, protocol):
    monkeypatch.setenv(KEY, "test-key")
    lengths = {"sums": 77, "more": 88}
    for name in lengths:
        write_jsonl(tmp_path / paths.benchmark_items(name), ITEMS)
    with servers.start(write="response") as server:
        config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
        config["generators"]["g"] = generator(server, protocol)
        config["generators"]["g"]["sampling"] = {"max_tokens": 500, "top_p": None}
        benchmark = config["benchmarks"]["mini-sums"] | {"protocol": "gsm8k"}
        benchmark["source"] = {"path": "items.jsonl", "licence": "mine"}
        others = {"mini-sums", "mini-steps"}  # of the same domain
        config["benchmarks"] = {
            name: benchmark | {"max_tokens": most} for name, most in lengths.items()
        } | {name: row for name, row in config["benchmarks"].items() if name not in others}
        write_json(tmp_path / "config.json", config)
        command = ["--config", "config.json", "--model", "generators/g", "--domain", "math"]
        output = tmp_path / paths.predictions("generators/g", "sums")
        with contextlib.chdir(tmp_path):
            predict.main(command)
            made = read_jsonl(output)
            assert [row["prompt"] for row in made] == [row["question"] for row in ITEMS]
            assert {row["model"] for row in made} == {"generators/g"}
            assert server.books()["answered"] == 40
            output.unlink()
            predict.main(command)
        assert read_jsonl(output) == made
        assert server.books()["answered"] == 40  # nothing is paid twice
    grading.check_predictions(made, "generators/g", "sums.jsonl")


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_request_may_bring_its_own_sampling(protocol):
    config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
    config["generators"]["g"] = generator("http://localhost:1", protocol)
    entry = check_config(config, root=ROOT)["generators"]["g"]
    provider = import_module(f"agorabench.llm.{protocol}").make_provider(entry)
    request = {"fingerprint": "0" * 32, "messages": []}
    assert provider.request_body(request)["max_tokens"] == 500
    assert budget.max_usage(request, entry)["output"] == 500
    request["sampling"] = entry["sampling"] | {"max_tokens": 77}
    assert provider.request_body(request)["max_tokens"] == 77
    assert budget.max_usage(request, entry)["output"] == 77


def test_the_sampling_is_the_benchmarks_without_what_the_generator_refuses():
    benchmark = {"max_tokens": 1024, "temperature": 0.2, "top_p": 0.95, "repetition_penalty": 1.03}
    own = {"max_tokens": 4096, "temperature": 1.0, "top_p": None, "stop": True, "seeded": False}
    assert ability.benchmark_sampling(own, benchmark) == {
        "max_tokens": 1024, "temperature": 0.2, "top_p": None, "stop": False, "seeded": False,
    }  # fmt: skip
