"""What names a local model: all that decides its replies, and nothing else."""

import os

import pytest
from agorabench.config.stages import edits_by_hand, weight_files
from agorabench.files import file_digest, write_json
from agorabench.models.weights import (
    DIGEST_FILE,
    RECORD_FILE,
    model_identity,
    record_digest,
    remove_weights,
    weights_digest,
)
from agorabench.training.students import is_finished

WEIGHTS = (
    "model.safetensors", "pytorch_model.bin", "model.gguf", "consolidated.00.pth", "model.pt",
    "adapter_model.safetensors", "adapter_model.bin", "pytorch_model-00001-of-00002.bin",
    "model-00001-of-00002.safetensors", "model.bin", "0_Transformer/model.safetensors",
)  # fmt: skip
BESIDE = (
    "config.json", "generation_config.json", "adapter_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "vocab.txt",
    "merges.txt", "chat_template.jinja", "additional_chat_templates/tool.jinja",
    "model.safetensors.index.json", "modeling_own.py", "added_tokens.json", "vocab.json",
    "chat_template.json", "tokenizer.model.v3", "preprocessor_config.json", "tekken.json",
    "quantize_config.json", "modules.json", "1_Pooling/config.json",
)  # fmt: skip
IDLE = (
    "README.md", "train.json", "optimizer.pt", "training_args.bin", "LICENSE", ".gitattributes",
    "._model.safetensors", "original/params.json", "runs/events.out", "trainer_state.json",
    "checkpoint-5/config.json", "chat_template.jinja~", "rng_state.pth",
)  # fmt: skip


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


@pytest.mark.parametrize("name", ("chat_template.jinja", "added_tokens.json", "model.safetensors"))
@pytest.mark.parametrize("version", ("now", "before files were recorded"))
def test_an_edit_of_a_built_model_makes_another_and_undone_the_same(folder, name, version):
    write(folder, "chat_template.jinja")
    record_digest(folder)
    if version != "now":
        (folder / RECORD_FILE).unlink()
    before = model_identity(folder)
    assert edits_by_hand(folder) == []
    write(folder, name, "other")
    later = (folder / DIGEST_FILE).stat().st_mtime + (1 if version != "now" else -9)
    os.utime(folder / name, (later, later))  # what is copied here may be old
    assert edits_by_hand(folder) == [str(folder / name)]
    assert model_identity(folder) != before
    config = {"mini": {}}
    assert str(folder / name) in weight_files(config, str(folder))
    if version == "now" and name != "model.safetensors":
        record_digest(folder)  # by a training that finds its student finished
        assert model_identity(folder) != before
        write(folder, name) if name != "added_tokens.json" else (folder / name).unlink()
        assert (model_identity(folder), edits_by_hand(folder)) == (before, [])


def test_a_built_model_is_the_same_when_touched_or_copied_or_without_its_weights(folder):
    write(folder, "config.json")
    write(folder, "chat_template.jinja")
    record_digest(folder)
    before = model_identity(folder)
    for file in folder.iterdir():
        os.utime(file, (1, 1) if file.name == DIGEST_FILE else None)
    write(folder, "README.md")
    assert (model_identity(folder), edits_by_hand(folder)) == (before, [])
    remove_weights(folder)
    assert (model_identity(folder), edits_by_hand(folder)) == (before, [])
    assert weight_files({"mini": {}}, str(folder)) == [str(folder / DIGEST_FILE)]
    (folder / "chat_template.jinja").unlink()
    assert edits_by_hand(folder) == [str(folder / RECORD_FILE)]
    assert model_identity(folder) != before


def test_an_adapter_is_what_its_base_is_too(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    write(base, "model.safetensors")
    write(adapter, "adapter_model.safetensors")
    write_json(adapter / "adapter_config.json", {"base_model_name_or_path": str(base)})
    before = model_identity(adapter)
    write(base, "tokenizer.json")
    assert model_identity(adapter) != before


def test_links_into_a_cache_count_by_what_they_lead_to(folder, tmp_path):
    write(tmp_path, "blobs/abc")
    (folder / "tokenizer.json").symlink_to(tmp_path / "blobs/abc")
    (folder / "merges.txt").symlink_to(tmp_path / "blobs/gone")
    before = model_identity(folder)
    write(tmp_path, "blobs/abc", "other")
    assert model_identity(folder) != before


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
