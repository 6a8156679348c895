"""Training: what the loss is on, how examples share a pass, and what a stop or a kill leaves."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
import train
import yaml
from agorabench import matrix, paths
from agorabench.config import load_config, stages
from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, write_json, write_jsonl
from agorabench.models import weights
from agorabench.training import checkpoints, checks, launch, masking, sft, students
from helpers import ROOT
from transformers import AutoModelForCausalLM

HARDWARE = load_config(ROOT / "config/mini.yaml")["students"]["mini"]["hardware"]
RECIPE = {
    "epochs": 1,
    "learning_rate": 0.002,
    "batch_size": 8,
    "batches": "padded",
    "max_length": 128,
    "warmup": 0.1,
    "schedule": "linear",
    "weight_decay": 0.0,
    "precision": "float32",
}


def rows(count=24, words=3):
    return [
        {
            "messages": [
                {"role": "user", "content": f"Say cat {number} times."},
                {"role": "assistant", "content": "cat " * (words - 1) + "cat"},
            ]
        }
        for number in range(count)
    ]


def uneven(count=24):
    """Rows of different lengths, all of them different."""
    return [row for n in range(count) for row in rows(n + 1, 1 + 3 * n % 17)[n:]]


class Training:
    """A folder with what one student is made from; programs run in it.

    Args:
        folder: the working directory.
        model: the base, a folder.
        data: rows of the training set.
        seed: of the cell.
        hardware: keys of the student's hardware.
        recipe: keys of the recipe.
    """

    def __init__(self, folder, model, data=None, seed=1, hardware=None, **recipe):
        self.folder = folder
        self.cell = matrix.Cell("math", "response", "strong", "mini", 24, seed)
        self.output = folder / paths.student_folder(f"mini/{self.cell}")
        config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
        config["students"]["mini"] |= {
            "base": {"model": model, "chat": True},
            "recipe": RECIPE | recipe,
            "hardware": hardware or {},
        }
        write_jsonl(folder / paths.training_set(self.cell), data or rows())
        write_json(folder / "config.json", config)
        self.arguments = ["--config", "config.json", "--student", "mini", "--cell", str(self.cell)]

    def run(self):
        """Train in this process; returns what train.json records."""
        with contextlib.chdir(self.folder):
            train.main(self.arguments)
        return read_json(self.output / "train.json")


def trained(model, folder, **changes):
    return Training(folder, model, **changes).run()


def fit(model, folder, data=None, **recipe):
    conversations = masking.build_conversations(data or rows(), recipe.pop("system", ""))
    return sft.train_model(model, conversations, RECIPE | recipe, HARDWARE, 1, folder)


def test_training_is_recorded_and_repeats_itself(model, tmp_path):
    training = Training(tmp_path / "first", model)
    first, output = training.run(), training.output
    assert first["steps"] == 3 and first["examples"] == 24 and first["truncated"] == 0
    assert first["weights"] == file_digest(output / "model.safetensors")
    assert first["weights"] == weights.model_identity(output) != weights.model_identity(model)
    assert first["settings"]["learning_rate"] == 0.002 and first["devices"] == "cpu"
    assert first["speed"]["tokens_per_second"] > 0 and first["asked"] == 8
    assert trained(model, tmp_path / "again")["weights"] == first["weights"]
    assert trained(model, tmp_path / "other", seed=2)["weights"] != first["weights"]


def test_a_finished_student_is_recognised_and_a_torn_one_is_not(model, tmp_path):
    training = Training(tmp_path, model)
    first, output = training.run(), training.output
    (output / weights.DIGEST_FILE).unlink()  # as Snakemake does before it runs a job again
    assert training.run() == first  # the time it took included: nothing was trained
    assert (output / weights.DIGEST_FILE).read_text().strip() == first["weights"]
    file = output / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert training.run()["weights"] == first["weights"]


def test_another_version_of_training_trains_anew(model, tmp_path, monkeypatch):
    training = Training(tmp_path, model)
    first = training.run()
    decided = stages.train

    def next_version(*names):
        inputs, params = decided(*names)
        return stages.Stage(inputs, params | {"version": 2})

    monkeypatch.setattr(stages, "train", next_version)
    again = training.run()
    assert again["made_from"]["version"] == 2 and first["made_from"]["version"] == 1


def test_a_folder_of_something_else_is_not_cleared(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other files"):
        students.prepare_folder(tmp_path, {})
    assert (tmp_path / "thesis.tex").exists()


def test_too_many_long_examples_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="100% of the examples are longer than max_length 128"):
        fit(model, tmp_path, rows(words=200))


def test_a_cut_example_and_white_space_are_no_fault(model, tmp_path):
    data = rows()
    data[0]["messages"][1]["content"] = "cat " * 300
    data[1]["messages"][1]["content"] = "  cat cat\n"
    assert fit(model, tmp_path, data, max_length=64)["truncated"] == 1 / 24


def test_a_machine_without_the_gpus_says_so(model, tmp_path):
    hardware = HARDWARE | {"gpus": 1}
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=r"hardware\.gpus is 1 and this machine has 0 GPUs"):
        sft.train_model(model, [], RECIPE, hardware, 1, tmp_path)


def test_a_tracker_that_is_not_installed_is_one_sentence(model, tmp_path):
    with pytest.raises(UserError, match="report_to names wandb, which is not installed"):
        sft.train_model(model, [], RECIPE, HARDWARE, 1, tmp_path, trackers=["wandb"])


# How examples share a forward pass


@pytest.mark.parametrize("batches", ["grouped", "padding-free", "packed"])
def test_every_way_of_sharing_a_pass_trains(model, tmp_path, batches):
    record = fit(model, tmp_path, uneven(), batches=batches, epochs=2)
    assert 0 < record["loss_curve"][-1]["loss"] < record["loss_curve"][0]["loss"] + 1
    assert (record["speed"]["padding_share"] == 0) == (batches in sft.FLAT)


@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_students_of_lower_precision_are_saved_in_it(model, tmp_path, precision):
    from safetensors.torch import load_file

    training = Training(tmp_path, model, precision=precision, epochs=8)
    record = training.run()
    saved = load_file(training.output / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert saved.keys() == load_file(f"{model}/model.safetensors").keys()
    assert read_json(training.output / "config.json")["dtype"] == "bfloat16"
    network = AutoModelForCausalLM.from_pretrained(training.output, dtype="auto")
    assert network.dtype == torch.bfloat16
    assert record["loss_curve"][-1]["loss"] < record["loss_curve"][0]["loss"]


def test_a_loss_that_is_no_number_ends_the_training(model, tmp_path):
    with pytest.raises(UserError, match=r"the loss is nan after step [23], and nothing is saved"):
        fit(model, tmp_path, learning_rate=1e30, warmup=0.0, epochs=3)
    assert not (tmp_path / "model.safetensors").exists()


LORA = {"rank": 8, "alpha": 16.0, "rslora": False, "targets": None}


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_adapters_are_trained_and_merged(model, tmp_path, precision):
    """The student is a model like others; embeddings, norms and head are those of the base."""
    from safetensors.torch import load_file

    training = Training(tmp_path, model, epochs=8, precision=precision, lora=LORA)
    record = training.run()
    assert record["loss_curve"][-1]["loss"] < record["loss_curve"][0]["loss"]
    assert record["made_from"]["recipe"]["lora"] == LORA
    saved, base = (load_file(f"{folder}/model.safetensors") for folder in (training.output, model))
    assert saved.keys() == base.keys()
    moved = {
        name for name in base if not torch.equal(saved[name], base[name].to(saved[name].dtype))
    }
    assert moved == {name for name in base if "_proj." in name}
    assert (
        trained(model, tmp_path / "again", epochs=8, precision=precision, lora=LORA)["weights"]
        == record["weights"]
    )


def test_adapters_of_named_layers(model, tmp_path):
    from safetensors.torch import load_file

    fit(model, tmp_path, epochs=2, lora=LORA | {"rslora": True, "targets": ["q_proj"]})
    saved, base = (load_file(f"{folder}/model.safetensors") for folder in (tmp_path, model))
    moved = {name for name in base if not torch.equal(saved[name], base[name])}
    assert moved == {name for name in base if "q_proj" in name}


def test_padding_free_training_takes_the_steps_of_padded_training(model, tmp_path):
    """The same examples in the same order: only rounding may differ."""
    from safetensors.torch import load_file

    found = []
    for batches in ("padded", "padding-free"):
        training = Training(tmp_path / batches, model, uneven(), epochs=2, batches=batches)
        training.run()
        found.append(load_file(training.output / "model.safetensors"))
    plain, free = found
    for name, tensor in plain.items():
        torch.testing.assert_close(free[name], tensor, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_loss_is_the_same_padded_flat_and_packed(model, attention):
    """Sum of the loss over all examples, one by one, padded, one after another, and packed."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.data_utils import pack_dataset
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, attn_implementation=attention)
    made = masking.build_examples(tokenizer, masking.build_conversations(uneven(12)), 128).rows

    def loss(batch):
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = network(**batch, use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        ).item()

    padded = DataCollatorForLanguageModeling(pad_token_id=0)
    flat = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    packed = pack_dataset(Dataset.from_list(made), 128, "bfd")
    alone = sum(loss(padded([row])) for row in made)
    assert loss(padded(made)) == pytest.approx(alone, rel=1e-5)
    assert loss(flat(made)) == pytest.approx(alone, rel=1e-5)
    assert len(packed) < len(made)
    assert sum(loss(flat([row])) for row in packed) == pytest.approx(alone, rel=1e-5)


def test_attention_that_mixes_examples_is_refused(model):
    """As an implementation without a mask of its own does."""
    from transformers import AttentionInterface, AutoConfig
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def careless(module, query, key, value, attention_mask, **more):
        return sdpa_attention_forward(module, query, key, value, None, **more)

    AttentionInterface.register("careless", careless)
    config = AutoConfig.from_pretrained(model)
    config._attn_implementation = "careless"
    with pytest.raises(UserError, match="careless does not keep examples in one row apart"):
        checks.check_attention(config, torch.float32, "cpu")
    config._attn_implementation = "sdpa"
    checks.check_attention(config, torch.float32, "cpu")


# Stops and kills

LONG = {"data": uneven(), "epochs": 8}  # 24 steps
OFTEN = {"checkpoint_minutes": 1e-6}  # a checkpoint after every step


PROGRAM = str(ROOT / "scripts" / "train.py")
ALONE = [sys.executable, PROGRAM]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SHARED = [*TWO, str(ROOT / "tests/helpers/sharded.py")]
TWO += [PROGRAM]
WAIT = 180  # seconds; twenty on two calm cores


def until(training, step, warn, command, group=False, **environment):
    """Train in processes of their own and stop them after the checkpoint of a step.

    `warn` is a signal for the first process, or what is written into the file that warns all of
    them, or None for a training that ends by itself. One that takes too long is ended, and what
    its processes were doing is in what they said. `group`: as SLURM does, signal the whole process
    group.

    Returns (exit status, what was said).
    """
    environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    ends, output, folder = time.monotonic() + WAIT, training.output, training.folder
    with (
        open(folder / "said", "w+") as said,
        subprocess.Popen(
            command, stderr=said, env=os.environ | environment, cwd=folder, start_new_session=group
        ) as process,
    ):
        while warn is not None and process.poll() is None and time.monotonic() < ends:
            if saved(output) >= step:
                if isinstance(warn, str):
                    (output / "checkpoints" / launch.WARNING).write_text(warn)
                elif group:
                    os.killpg(process.pid, warn)
                else:
                    process.send_signal(warn)
                break
            time.sleep(0.001)
        try:
            process.wait(max(0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            family = [process, *psutil.Process(process.pid).children(recursive=True)]
            for number in (signal.SIGABRT, signal.SIGKILL):
                for member in reversed(family):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.send_signal(number)
                time.sleep(2)
        said.seek(0)
        text = said.read()
    assert time.monotonic() < ends, text
    return process.returncode, text


def saved(output):
    """The step of the last whole checkpoint, 0 without one."""
    try:
        found = list(output.glob("checkpoints/checkpoint-*/whole.json"))
    except FileNotFoundError:  # removed while it was looked at
        return 0
    return max((int(path.parent.name.rpartition("-")[2]) for path in found), default=0)


@pytest.mark.slow
def test_a_training_killed_three_times_ends_in_the_same_weights(model, tmp_path):
    whole = trained(model, tmp_path / "whole", **LONG)
    training = Training(tmp_path / "killed", model, hardware=OFTEN, **LONG)
    output = training.output
    for step in (2, 9, 17):
        status, _ = until(training, step, signal.SIGKILL, [*ALONE, *training.arguments])
        assert status == -signal.SIGKILL
        assert not (output / "train.json").exists()
    record = training.run()
    assert record["resumed_from"] >= 17 and record["steps"] == whole["steps"] == 24
    assert record["weights"] == whole["weights"]
    assert record["loss_curve"] == whole["loss_curve"]
    assert not (output / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_warned_training_saves_and_goes_on(model, tmp_path, signum):
    whole = trained(model, tmp_path / "whole", **LONG)
    # Warned when it saves for the first time; after that it would not for half an hour.
    often = Training(tmp_path / "warned", model, hardware=OFTEN, **LONG)
    status, said = until(often, 1, signum, [*ALONE, *often.arguments])
    told = re.search(r"stopped by SIG\w+ after step (\d+) of 24, which is saved", said)
    assert status == 1 and told, said
    record = Training(tmp_path / "warned", model, **LONG).run()
    assert record["resumed_from"] == int(told[1]) and record["weights"] == whole["weights"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "group"),
    [(signal.SIGTERM, False), (signal.SIGUSR1, False), (signal.SIGUSR1, True)],
)
def test_the_parent_of_several_processes_passes_a_warning_on(model, tmp_path, signum, group):
    """As for several GPUs, but for what starts the processes."""
    training = Training(tmp_path, model, uneven(), hardware=OFTEN, epochs=400)
    folder = training.output / "checkpoints"
    students.prepare_folder(training.output, {"other": "training"})
    code = "import pathlib, sys; from agorabench.training import launch; "
    code += f"sys.exit(launch.supervise_processes({[*TWO, *training.arguments]!r}, "
    code += f"pathlib.Path({str(folder)!r})))"
    parent = [sys.executable, "-c", code]
    status, said = until(training, 1, signum, parent, group, PYTHONPATH=str(ROOT / "scripts"))
    told = re.search(rf"stopped by {signum.name} after step (\d+) of 1200, which is saved", said)
    assert status and told, said
    assert checkpoints.last_checkpoint(folder).name == f"checkpoint-{told[1]}"


def test_the_warning_is_looked_for_where_it_is_written():
    assert launch.WARNING == checkpoints.WARNING


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_and_stop_together(model, tmp_path):
    """On CPUs they hold the whole weights each, as sharing them (FSDP) takes GPUs."""
    from safetensors.torch import load_file

    alone = Training(tmp_path / "one", model, **LONG)
    alone.run()
    often = Training(tmp_path / "two", model, hardware=OFTEN, **LONG)
    output = often.output
    status, said = until(often, 5, "SIGTERM", [*TWO, *often.arguments])
    assert status and re.search(r"stopped by SIGTERM after step \d+ of 24, which is saved", said)
    assert not (output / "train.json").exists()
    calm = Training(tmp_path / "two", model, **LONG)
    status, said = until(calm, None, None, [*TWO, *calm.arguments])
    assert status == 0, said
    record = read_json(output / "train.json")
    assert record["resumed_from"] >= 5
    assert record["settings"]["per_device_train_batch_size"] == 4
    one, two = (load_file(folder / "model.safetensors") for folder in (alone.output, output))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_shared_weights_are_those_of_one_process(model, tmp_path):
    """FSDP2 in two processes on CPUs, layers computed again; see helpers/sharded.py."""
    from safetensors.torch import load_file

    alone = Training(tmp_path / "one", model, uneven(), epochs=4)
    alone.run()
    shared = Training(tmp_path / "two", model, uneven(), epochs=4)
    status, said = until(shared, None, None, [*SHARED, *shared.arguments])
    assert status == 0 and "FSDPLlamaForCausalLM of {'DTensor'}" in said, said
    base = load_file(f"{model}/model.safetensors")
    one, two = (load_file(each.output / "model.safetensors") for each in (alone, shared))
    assert one.keys() <= two.keys()  # FSDP2 saves tied weights twice
    moved = max((one[name] - base[name]).abs().max() for name in base)
    apart = max((one[name] - two[name]).abs().max() for name in one)
    assert apart < 1e-5 * moved


@pytest.mark.slow
def test_shared_weights_survive_a_stop_bit_by_bit(model, tmp_path):
    settings = LONG | {"precision": "mixed"}
    accumulating = {"per_device": 2}  # two passes a step
    whole = Training(tmp_path / "whole", model, hardware=accumulating, **settings)
    status, said = until(whole, None, None, [*SHARED, *whole.arguments])
    assert status == 0 and "FSDPLlamaForCausalLM" in said, said
    often = Training(tmp_path / "stopped", model, hardware=OFTEN | accumulating, **settings)
    status, said = until(often, 5, "SIGUSR1", [*SHARED, *often.arguments])
    assert status and re.search(r"stopped by SIGUSR1 after step \d+ of 24, which is saved", said)
    calm = Training(tmp_path / "stopped", model, hardware=accumulating, **settings)
    status, said = until(calm, None, None, [*SHARED, *calm.arguments])
    assert status == 0, said
    before, after = (read_json(each.output / "train.json") for each in (whole, calm))
    assert after["resumed_from"] >= 5 and after["loss_curve"] == before["loss_curve"]
    assert after["weights"] == before["weights"]
    assert read_json(calm.output / "config.json")["dtype"] == "bfloat16"


@pytest.mark.slow
def test_adapters_of_two_processes_stopped_and_resumed_are_those_of_one(model, tmp_path):
    from safetensors.torch import load_file

    alone = Training(tmp_path / "one", model, lora=LORA, **LONG)
    alone.run()
    often = Training(tmp_path / "two", model, hardware=OFTEN, lora=LORA, **LONG)
    status, said = until(often, 5, "SIGTERM", [*TWO, *often.arguments])
    assert status and re.search(r"stopped by SIGTERM after step \d+ of 24, which is saved", said)
    calm = Training(tmp_path / "two", model, lora=LORA, **LONG)
    status, said = until(calm, None, None, [*TWO, *calm.arguments])
    assert status == 0, said
    whole = Training(tmp_path / "whole", model, lora=LORA, **LONG)
    status, said = until(whole, None, None, [*TWO, *whole.arguments])
    assert status == 0, said
    assert read_json(calm.output / "train.json")["resumed_from"] >= 5
    one, two, resumed = (
        load_file(each.output / "model.safetensors") for each in (alone, whole, calm)
    )
    for name, tensor in one.items():
        assert torch.equal(two[name], resumed[name])
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_torn_checkpoint_is_recognised(tmp_path):
    for step in (2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        write_json(folder / checkpoints.WHOLE, {"model.safetensors": 7})
    assert checkpoints.last_checkpoint(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"weig")
    assert checkpoints.last_checkpoint(tmp_path).name == "checkpoint-2"
    assert not (tmp_path / "checkpoint-10").exists()
    (tmp_path / "checkpoint-2" / checkpoints.WHOLE).unlink()
    assert checkpoints.last_checkpoint(tmp_path) is None


def test_checkpoints_of_another_recipe_are_not_gone_on_from(tmp_path):
    students.prepare_folder(tmp_path / "student", {"seed": 1})
    (tmp_path / "student" / "checkpoints" / "checkpoint-1").mkdir()
    students.prepare_folder(tmp_path / "student", {"seed": 1})
    assert (tmp_path / "student" / "checkpoints" / "checkpoint-1").exists()
    students.prepare_folder(tmp_path / "student", {"seed": 2})
    assert not (tmp_path / "student" / "checkpoints" / "checkpoint-1").exists()
