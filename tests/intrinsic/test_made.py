"""Metrics made of what a student's base has read: equal to plain computations, one example at a
time, in float64, and to other people's numbers."""

import contextlib
import csv
import math
from itertools import chain
from types import SimpleNamespace

import aggregate
import measure
import numpy as np
import pandas
import pytest
import torch
import yaml
from agorabench import intrinsic, matrix, paths
from agorabench.analysis import decisions
from agorabench.analysis import intrinsic as intrinsic_table
from agorabench.cluster.failures import leave_out
from agorabench.config import check_config, result_stages, stages
from agorabench.errors import UserError
from agorabench.files import write_json, write_jsonl
from agorabench.intrinsic import adjusted_reward, local_naturalness, perplexity, rank_surprisal
from helpers import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

CELL = matrix.Cell("math", "response", "strong", "mini", 12, seed=1)
SENTENCES = (
    "Tom has 3.5 apples.",
    "Is it so?",
    "He buys 4 more!\n",
    "3+4=7\n\n",
    "So there are 7,",
    "as we said.",
)
MADE = {
    "surprisal": {"measure": "surprisal"},
    "rank-surprisal": {"measure": "rank_surprisal", "clip": 20},
    "local-naturalness": {"measure": "local_naturalness", "window": 2},
    "adjusted": {"measure": "adjusted_reward", "beta": 0.5},
}


def steps_of(number):
    """Steps of a response, each with the blanks that follow it: the comma ends none."""
    chosen = [SENTENCES[(number + place) % 6] for place in range(1 + number % 8)]
    texts = [text if text.endswith("\n") else f"{text} " for text in chosen]
    joined = "".join(texts).rstrip()
    steps, begun = [], ""
    for text in texts:
        begun += text
        if not text.startswith("So"):
            steps, begun = [*steps, begun], ""
    steps += [begun] if begun else []
    assert "".join(steps).rstrip() == joined
    return [*steps[:-1], steps[-1].rstrip()]


def pairs():
    """Pairs whose responses have one to eight sentences."""
    return [
        {
            "id": number,
            "instruction": f"How many? ({number})",
            "response": "".join(steps_of(number)),
        }
        for number in range(12)
    ]


def config_of(model, metrics=MADE, **more):
    """A checked config with a perplexity under a model, a reward, and metrics made of them."""
    config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
    base = {"measure": "perplexity", "model": str(model), "batch_size": 3} | more
    base["template"] = str(ROOT / "config/templates/plain.jinja")
    reward = {"measure": "reward", "model": str(model)}
    config["intrinsic"] = {"perplexity": base, "reward": reward} | metrics
    axes = {"students": ["mini"], "domains": ["math"], "methods": ["response"], "seeds": [1]}
    axes |= {"generators": ["strong"], "prompts": ["mini"], "sizes": [CELL.size]}
    config["experiments"] = {"x": axes}
    return check_config(config, root=ROOT)


def read_alone(network, prompt, context, response):
    """(surprisals, ranks) of the tokens of a response, by itself."""
    with torch.no_grad():
        ids = torch.tensor([prompt + context + response])
        logits = network(ids).logits[0, -len(response) - 1 : -1]
    rows = [(row, row[token]) for row, token in zip(logits, response, strict=True)]
    surprisals = [(row.exp().sum().log() - own).item() for row, own in rows]
    return surprisals, [1 + sum(other > own for other in row).item() for row, own in rows]


def token_steps(tokenizer, number):
    """Token ids of each step of a response: a token belongs to the step that it ends in."""
    steps = steps_of(number)
    shown = tokenizer("".join(steps), add_special_tokens=False, return_offsets_mapping=True)
    ends = np.cumsum([len(step) for step in steps])
    owners = [int(np.searchsorted(ends, end)) for _, end in shown.offset_mapping]
    ids = zip(shown.input_ids, owners, strict=True)
    found = [[] for _ in steps]
    for token, owner in ids:
        found[owner].append(token)
    return [step for step in found if step]


@pytest.fixture(scope="module")
def alone(model):
    """Of each example: surprisal, mean clipped rank, local naturalness; float64, one by one."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64).eval()
    rows = []
    for pair in pairs():
        prompt = tokenizer(f"{pair['instruction']}\n\n", add_special_tokens=False).input_ids
        steps = token_steps(tokenizer, pair["id"])
        surprisals, ranks = read_alone(network, prompt, [], [*chain(*steps)])
        local = [
            np.mean(
                read_alone(network, prompt, [*chain(*steps[max(0, place - 2) : place])], step)[0]
            )
            for place, step in enumerate(steps)
        ]
        rows.append((np.mean(surprisals), np.mean(np.minimum(ranks, 20)), -np.mean(local)))
    return np.array(rows).T


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_one_reading_gives_what_each_example_by_itself_gives(model, alone, batch_size):
    config = config_of(model, batch_size=batch_size)["intrinsic"]
    chosen = config["perplexity"] | {"name": "perplexity"}
    chosen["scored"] = intrinsic.scored_metrics(config, "perplexity")
    assert list(chosen["scored"]) == ["rank-surprisal", "local-naturalness"]
    told = perplexity.measure_pairs(
        perplexity.load_model(chosen, 1), chosen, pairs(), lambda _: None
    )
    surprisal, ranks, local = alone
    assert np.log(told.values) == pytest.approx(surprisal, rel=1e-4)
    assert told.scored["rank-surprisal"] == pytest.approx(ranks, rel=1e-4)
    assert told.scored["local-naturalness"] == pytest.approx(local, rel=1e-4)
    assert max(abs(surprisal + local)) > 0.01  # the window does count


def sine_model():
    """A model whose weights are known everywhere."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=300, **sizes)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            if weights.ndim > 1:
                steps = torch.arange(weights.numel(), dtype=torch.float64)
                weights.copy_((steps**2 * 0.7).sin().reshape(weights.shape))
    return network


@pytest.mark.parametrize(("clip", "ratio"), [(100, 9.666931072647658), (10, 1.1248391625280525)])
def test_the_rank_surprisal_ratio_is_its_authors(clip, ratio):
    """Numbers of rsr_cal.py, UmeanNever/RankSurprisalRatio at 1c908ee, on the same token ids."""
    ranks = [87.66666666666667, 100, 71.38461538461539, 79, 78.65217391304348, 84.96428571428571]
    prompts = [[(17 * i + n) % 280 for i in range(4 + n)] + [290, 291] for n in range(7)]
    rows = [[(31 * i * i + 7 * n + 3) % 280 for i in range(3 + 5 * n)] for n in range(7)]
    reader = perplexity.Reader(None, sine_model(), 2)
    found = reader.read(
        [prompt + row for prompt, row in zip(prompts, rows, strict=True)], list(map(len, prompts))
    )
    readings = [SimpleNamespace(ranks=own.tolist()) for _, own in found]
    scored = rank_surprisal.score_examples({"clip": clip}, readings, reader)
    assert clip == 10 or scored == pytest.approx([*ranks, 94])
    columns = {"scored": scored, "surprisal": [each.mean().item() for each, _ in found]}
    told = rank_surprisal.measure_columns({"name": "m"}, columns)
    assert told.value == pytest.approx(ratio, rel=1e-4) and told.n == 7


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("One. Two", ["One. ", "Two"]),
        ("Pi is 3.14. Really?! Yes", ["Pi is 3.14. ", "Really?! ", "Yes"]),
        ("a\n\n  b\nc", ["a\n\n  ", "b\n", "c"]),
        ("no end", ["no end"]),
        ("... ...", ["... ", "..."]),
        ("A." + " " * 20000 + "B", ["A." + " " * 20000, "B"]),
    ],
)
def test_a_step_ends_where_a_sentence_or_a_line_does(text, steps):
    class Characters:
        """A token for each character."""

        def __call__(self, text, **_):
            return {"offset_mapping": [(place, place + 1) for place in range(len(text))]}

    found = local_naturalness.split_steps(Characters(), SimpleNamespace(text=text))
    assert [text[start:end] for start, end in found] == steps


def test_the_standard_error_of_a_ratio_is_that_of_repeated_samples():
    random, found = np.random.default_rng(3), []
    for _ in range(400):
        bottoms = random.gamma(5, size=150)
        tops = 2 * bottoms + random.normal(3, 1, size=150)
        told = intrinsic.measure_ratio("m", [*tops, None, 1.0], [*bottoms, 1.0, None])
        assert (told.n, told.without) == (150, 2)
        assert told.value == pytest.approx(tops.mean() / bottoms.mean())
        found.append((told.value, told.standard_error))
    values, errors = np.array(found).T
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.1)


def test_a_negative_reward_is_not_divided():
    columns = {"surprisal": [1.0, 2.0, 3.0], "reward": [3.0, 1.0, 2.0]}
    told = adjusted_reward.measure_columns({"name": "m", "beta": 1.0}, columns)
    assert told.value == pytest.approx(2 / 3) and not told.also
    columns["reward"] = [-3.0, 1.0, -1.0]
    told = adjusted_reward.measure_columns({"name": "m", "beta": 1.0}, columns)
    assert told.value is None and told.standard_error is None
    assert told.also["reason"].startswith("the mean reward is not above 0")


# The whole


def make_tables(folder, config, rewards):
    """Measure the perplexity of a set that has rewards, and aggregate; rows by metric."""
    folder.mkdir()
    rows = [
        {
            "messages": [
                {"role": "user", "content": pair["instruction"]},
                {"role": "assistant", "content": pair["response"]},
            ],
            "origin": "generated",
        }
        for pair in pairs()
    ]
    write_jsonl(folder / paths.training_set(CELL), rows)
    measured = {"value": 1.0, "standard_error": 1.0, "n": len(rows), "without": 0}
    write_json(folder / paths.metric("reward", CELL), measured | {"by": "r", "also": {}})
    measure.write_examples(
        folder / paths.metric_examples("reward", CELL), range(len(rows)), {"value": rewards}
    )
    write_json(folder / "config.json", config)
    with contextlib.chdir(folder):
        measure.main(["--config", "config.json", "--metric", "perplexity", "--cell", str(CELL)])
        aggregate.main(["--config", "config.json", "--table", "intrinsic"])
    with open(folder / paths.table("intrinsic")) as file:
        return {row["metric"]: row for row in csv.DictReader(file)}


def test_metrics_are_made_of_one_reading_and_change_nothing_else(model, alone, tmp_path):
    rewards = [4.0, 1.0, None, *np.linspace(1, 5, 9)]
    rows = make_tables(tmp_path / "made", config_of(model), rewards)
    plain = make_tables(tmp_path / "plain", config_of(model, {}), rewards)
    assert list(rows) == sorted([*MADE, "perplexity", "reward"])
    assert list(plain) == ["perplexity", "reward"]
    assert all(rows[name] == plain[name] for name in plain)
    files = [
        (tmp_path / each / paths.metric("perplexity", CELL)).read_bytes()
        for each in ("made", "plain")
    ]
    assert files[0] == files[1]
    place = tmp_path / "plain" / paths.metric_examples("perplexity", CELL)
    assert list(pandas.read_parquet(place)) == ["id", "value"]

    surprisal, ranks, local = alone
    known = np.array([each is not None for each in rewards])
    own = np.array([each for each in rewards if each is not None])
    wanted = {
        "surprisal": surprisal.mean(),
        "rank-surprisal": ranks.mean() / surprisal.mean(),
        "local-naturalness": local.mean(),
        "adjusted": own.mean() / (1 + 0.5 * surprisal[known].mean()),
    }
    for name, value in wanted.items():
        assert float(rows[name]["value"]) == pytest.approx(value, rel=1e-4)
        assert float(rows[name]["standard_error"]) > 0 and rows[name]["by"] == str(model)
        assert (rows[name]["n"], rows[name]["without"]) == (
            ("11", "1") if name == "adjusted" else ("12", "0")
        )
    assert "reason" not in rows["adjusted"]


def test_what_is_too_long_to_be_read_counts_nowhere(model, tmp_path):
    config = config_of(model, MADE | {"value": MADE["rank-surprisal"]}, max_length=60)
    rows = make_tables(tmp_path / "set", config, [1.0] * 12)
    assert 2 <= int(rows["perplexity"]["n"]) < 12
    assert len({(rows[name]["n"], rows[name]["without"]) for name in (*MADE, "perplexity")}) == 1
    assert rows["value"]["value"] == rows["rank-surprisal"]["value"]  # no name is a column's
    place = tmp_path / "set" / paths.metric_examples("perplexity", CELL)
    pandas.read_parquet(place).drop(columns="scored value").to_parquet(place)
    with contextlib.chdir(tmp_path / "set"), pytest.raises(UserError, match="nothing for value"):
        intrinsic_table.aggregate(result_stages.aggregate(config, "intrinsic").params)


def test_a_metric_without_a_value_says_why(model, tmp_path):
    rows = make_tables(tmp_path / "set", config_of(model), [-1.0] * 12)
    assert rows["adjusted"]["value"] == "" and "not above 0" in rows["adjusted"]["reason"]
    assert rows["surprisal"]["value"] and rows["surprisal"]["reason"] == ""


def test_only_what_the_model_has_to_be_asked_for_makes_a_reading_stale(model):
    def decides(*names):
        config = config_of(model, {name: MADE[name] for name in names})
        return stages.measure(config, "perplexity", CELL).text

    assert decides("surprisal", "adjusted") == decides()
    assert len({decides(), decides("rank-surprisal"), decides("local-naturalness")}) == 3
    aggregated = result_stages.aggregate(config_of(model, {}), "intrinsic")
    assert "made" not in aggregated.params and "examples" not in aggregated.inputs


def test_without_its_reading_a_metric_is_left_out(model):
    left = leave_out(config_of(model), {paths.metric("reward", CELL)})
    assert left["missing"] == ["intrinsic/reward", "intrinsic/adjusted"]
    left = leave_out(config_of(model), {paths.metric("perplexity", CELL)})
    assert list(left["intrinsic"]) == ["reward"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"perplexity": "reward"}, r"adjusted\.perplexity: unknown metric 'reward'; known: perpl"),
        ({"reward": "surprisal"}, r"adjusted\.reward: unknown metric 'surprisal'; known: reward"),
        ({"beta": -1.0}, r"adjusted\.beta"),
        ({"sample": 3}, r"adjusted: unknown key 'sample'"),
    ],
)
def test_what_a_metric_is_made_of_is_there(model, spoil, told):
    with pytest.raises(UserError, match=told):
        config_of(model, MADE | {"adjusted": MADE["adjusted"] | spoil})


def test_a_response_that_is_certain_has_no_surprisal():
    told = adjusted_reward.measure_columns(
        {"name": "m", "beta": 1.0}, {"surprisal": [0.0, 0.0], "reward": [1.0, 3.0]}
    )
    assert told.value == 2.0 and math.isfinite(told.standard_error)


def test_which_end_is_good_is_what_is_measured_not_what_it_is_called(model):
    names = {"rsr": MADE["rank-surprisal"], "surprisal-adjusted": MADE["adjusted"]}
    config = config_of(model, MADE | names)
    assert result_stages.analyse(config).params["misnamed"] == list(names)
    assert "misnamed" not in result_stages.analyse(config_of(model)).params
    cells = pandas.DataFrame(
        {"generator": list("abcd"), "method": "m", "domain": "d", "pgr": [1.0, 2.0, 3.0, 4.0]}
    )
    predictors = ("rsr", "surprisal", "surprisal-adjusted", "reward")
    values = {name: [4, 3, 2, 1] for name in predictors}
    rows = decisions.judge_all(cells, values, 1, list(names))
    told = {row["predictor"]: (row["good"], row.get("accuracy")) for row in rows[:4]}
    assert told == {
        "rsr": ("low", 1.0),
        "surprisal": ("low", 1.0),
        "surprisal-adjusted": ("high", 0.0),
        "reward": ("high", 0.0),
    }
