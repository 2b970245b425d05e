"""The frozen encoder: one in a process, from any form of checkpoint, or refused with a reason."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from tests.toys import SMALL, toy_encoder
from tightfit.encoder import FrozenEncoder, UnknownInside, frozen
from tightfit.errors import ModelError
from tightfit.families import COMPUTED
from tightfit.model.locate import locate

WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def own(bert: Path, tmp_path: Path) -> Path:
    """A toy BERT that may be changed."""
    return Path(shutil.copytree(bert, tmp_path / "own"))


def changed(folder: Path, **settings: Any) -> Path:
    """Other values in ``config.json``."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_there_is_one_in_a_process(bert: Path, own: Path) -> None:
    """However often it is asked for, and under whatever name; gone when nobody holds it."""
    first = FrozenEncoder.of(bert)
    assert FrozenEncoder.of(bert / ".." / bert.name) is first
    assert FrozenEncoder.of(own) is not first
    assert first.digest == locate(str(bert)).digest()
    other = FrozenEncoder.of(own).folder
    gc.collect()
    assert other == own
    assert own not in [folder for folder, _ in frozen._kept]


def test_changed_weights_are_another_encoder(own: Path) -> None:
    """Nobody answers with weights that are no longer there."""
    before = FrozenEncoder.of(own)
    tensors = load_file(own / "model.safetensors")
    tensors[WORDS] += 1
    save_file(tensors, own / "model.new", metadata={"format": "pt"})
    (own / "model.new").replace(own / "model.safetensors")
    after = FrozenEncoder.of(own)
    assert after.digest != before.digest
    np.testing.assert_allclose(
        after.stored(WORDS).floats - 1, before.stored(WORDS).floats, atol=1e-6
    )


def test_weights_cannot_be_written_to(bert: Path) -> None:
    """Every run in the process stands on them."""
    with pytest.raises(ValueError, match="read-only"):
        FrozenEncoder.of(bert).stored(WORDS).floats[0] = 0


def test_sharded_weights(bert: Path, tmp_path: Path) -> None:
    """All files that the index names, and no other."""
    AutoModel.from_pretrained(bert).save_pretrained(tmp_path / "s", max_shard_size="10KB")
    assert len(list((tmp_path / "s").glob("*.safetensors"))) > 2
    whole, shards = FrozenEncoder.of(bert), FrozenEncoder.of(tmp_path / "s")
    assert whole.tensors.keys() == shards.tensors.keys()
    assert all((v.raw == shards.tensors[k].raw).all() for k, v in whole.tensors.items())


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd"])
def test_an_index_that_leads_elsewhere_is_refused(name: str, own: Path) -> None:
    """No digest covers what lies there."""
    (own / "model.safetensors").unlink()
    (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match="leads out of the model folder"):
        FrozenEncoder.of(own)


def test_names_of_the_first_checkpoints(own: Path) -> None:
    """Scale and shift of a norm were called gamma and beta, and are read as transformers does."""
    file = own / "model.safetensors"
    tensors = load_file(file)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        tensors = {k.replace(new, name): v for k, v in tensors.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert "embeddings.LayerNorm.weight" in FrozenEncoder.of(own).tensors


@pytest.mark.parametrize("family", sorted(SMALL.keys() - set(COMPUTED)))
def test_other_families_are_refused_with_a_reason(family: str, tmp_path: Path) -> None:
    """So that the caller goes through transformers."""
    with pytest.raises(UnknownInside, match=f"the inside of {family} is not known here"):
        FrozenEncoder.of(toy_encoder(tmp_path, family))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "positions are not absolute"),
        ({"is_decoder": True}, "set up as a decoder"),
        ({"hidden_act": "mish"}, "activation is not known"),
    ],
)
def test_odd_settings_are_refused_with_a_reason(
    settings: dict[str, Any], message: str, own: Path
) -> None:
    """Rather than computed as if they were not there."""
    with pytest.raises(UnknownInside, match=message):
        FrozenEncoder.of(changed(own, **settings))


def test_damaged_weights_are_refused(own: Path) -> None:
    """Cut short, or with a header that contradicts itself."""
    file = own / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(ModelError, match="damaged"):
        FrozenEncoder.of(own)
    file.write_bytes(data.replace(b'"shape":[32]', b'"shape":[31]', 1))
    with pytest.raises(ModelError, match="contradicts itself"):
        FrozenEncoder.of(own)


@pytest.mark.parametrize("content", ["", "[]"])
def test_a_damaged_configuration_is_refused(content: str, own: Path) -> None:
    """With its name."""
    (own / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"the model's config\.json"):
        FrozenEncoder.of(own)


def test_missing_weights_are_refused(own: Path) -> None:
    """A tensor, or the whole file."""
    with pytest.raises(ModelError, match="lacks weights of the encoder"):
        FrozenEncoder.of(own).stored("bert.nothing.weight")
    (own / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        FrozenEncoder.of(own)
