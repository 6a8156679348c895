"""What names a local model: all that decides its replies, and nothing else."""

import os

import pytest
from agorabench.config.stages import weight_files
from agorabench.files import file_digest, write_json
from agorabench.models.weights import model_identity, record_digest, weights_digest
from agorabench.training.students import is_finished

WEIGHTS = (
    "model.safetensors", "pytorch_model.bin", "model.gguf", "consolidated.00.pth", "model.pt",
    "adapter_model.safetensors", "adapter_model.bin",
)  # fmt: skip
BESIDE = (
    "config.json", "generation_config.json", "adapter_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "vocab.txt",
    "merges.txt", "chat_template.jinja", "additional_chat_templates/tool.jinja",
    "model.safetensors.index.json", "modeling_own.py",
)  # fmt: skip
IDLE = ("README.md", "train.json", "optimizer.pt", "training_args.bin", "LICENSE")


def write(folder, name, text="first"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "model.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_any_format_are_told_apart(tmp_path, name):
    write(tmp_path, name)
    before = model_identity(tmp_path)
    write(tmp_path, name, "other")
    assert str(tmp_path) != before != model_identity(tmp_path)
    assert weight_files({"mini": {}}, str(tmp_path)) == [str(tmp_path / name)]


@pytest.mark.parametrize("name", BESIDE)
def test_an_edited_file_beside_the_weights_makes_another_model(folder, name):
    write(folder, name)
    before = model_identity(folder)
    assert str(folder / name) in weight_files({"mini": {}}, str(folder))
    write(folder, name, "other")
    assert model_identity(folder) != before


@pytest.mark.parametrize("name", (*IDLE, "pytorch_model.bin"))
def test_a_file_that_no_reply_depends_on_changes_nothing(folder, name):
    write(folder, "config.json")
    before = model_identity(folder), weight_files({"mini": {}}, str(folder))
    write(folder, name)
    (folder / "config.json").touch()
    assert (model_identity(folder), weight_files({"mini": {}}, str(folder))) == before


def test_weights_alone_and_recorded_weights_are_named_as_ever(folder):
    digest = file_digest(folder / "model.safetensors")
    assert model_identity(folder) == model_identity(folder / "model.safetensors") == digest
    write(folder, "config.json")
    assert model_identity(folder) != digest
    record_digest(folder)
    assert model_identity(folder) == digest


def test_students_recorded_by_the_weights_of_their_base_are_recognised(folder, tmp_path):
    base, student = tmp_path / "base", tmp_path / "student"
    write(base, "model.safetensors")
    write(base, "chat_template.jinja")
    write(student, "model.safetensors", "trained")
    record = {"made_from": {"base": weights_digest(base)}, "weights": weights_digest(student)}
    write_json(student / "train.json", record)
    made_from = {"base": model_identity(base)}
    assert is_finished(student, made_from, str(base))
    later = (student / "train.json").stat().st_mtime + 1
    os.utime(base / "chat_template.jinja", (later, later))
    assert not is_finished(student, made_from, str(base))
