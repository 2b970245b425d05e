"""Adapters of any kind that PEFT writes: computed as PEFT does, or refused, never half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from tests.encoder.artefacts import assert_close, random_tokens
from tests.exports import toy_texts
from tests.toys import toy_tokenizer
from tests.verbs.test_import_adapter import KINDS, make_adapter, plain_logits
from tightfit.encoder import AdapterWeights, UnknownInside, open_classifier
from tightfit.encoder.on_torch import all_logits
from tightfit.errors import ArtefactError

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    # PEFT takes the bias of an adapter for a matrix that was cut.
    pytest.mark.filterwarnings("ignore:Adapter 'default':"),
]

LEFT_TO_PEFT = {
    "lora-bias": "settings of the adapter are not known here\n  seen:    lora_bias",
    "embeddings": "a part of an adapter is not known here",
    "some-tokens": "settings of the adapter are not known here\n  seen:    trainable_token",
}


@pytest.fixture
def folder(encoder: Path, tmp_path: Path) -> Path:
    """A plain adapter that may be changed."""
    make_adapter(tmp_path / "a", encoder)
    toy_tokenizer().save_pretrained(tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - LEFT_TO_PEFT.keys()))
def test_adapters_made_elsewhere(kind: str, encoder: Path, tmp_path: Path) -> None:
    """Ranks and scales by layer, biases, magnitudes, poolers."""
    made = make_adapter(tmp_path, encoder, **KINDS[kind])
    toy_tokenizer().save_pretrained(tmp_path)
    ours = open_classifier(tmp_path, encoder)
    tokens = ours.tokens(toy_texts(), 64)
    assert_close(ours.logits(tokens), plain_logits(made))
    assert_close(all_logits(ours.on_torch(), tokens), plain_logits(made))


@pytest.mark.parametrize("kind", LEFT_TO_PEFT)
def test_what_only_peft_computes_is_refused(kind: str, encoder: Path, tmp_path: Path) -> None:
    """With the reason."""
    make_adapter(tmp_path, encoder, **KINDS[kind])
    toy_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnknownInside, match=LEFT_TO_PEFT[kind]):
        open_classifier(tmp_path, encoder)


PEFT, LAYER = "base_model.model.", "bert.encoder.layer.0.attention.self.query"
A, B = (f"{PEFT}{LAYER}.lora_{letter}.weight" for letter in "AB")
Change = Callable[[Path], object]


def rewritten(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change to the tensors of a folder."""

    def apply(folder: Path) -> None:
        tensors = dict(load_file(folder / "adapter_model.safetensors"))
        change(tensors)
        save_file(tensors, folder / "adapter_model.safetensors")

    return apply


def added(name: str) -> Change:
    """One tensor more."""
    return rewritten(lambda tensors: tensors.update({PEFT + name: tensors[A]}))


def reset(**settings: Any) -> Change:
    """A change to the settings of a folder."""

    def apply(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return apply


UNKNOWN: dict[str, tuple[Change, str]] = {
    "method": (reset(peft_type="LOHA"), "method is not known"),
    "start": (reset(init_lora_weights="olora"), "how the adapter started"),
    "future": (reset(use_tomorrows_variant=True), "use_tomorrows_variant"),
    "part": (added(f"{LAYER}.lora_C.weight"), "lora_C"),
    "other-tensor": (added("other.weight"), "changes other parts\n  seen:    other.weight"),
}
DAMAGED: dict[str, tuple[Change, str]] = {
    "half": (rewritten(lambda tensors: tensors.pop(B)), "lora_B"),
    "size": (rewritten(lambda tensors: tensors.update({A: tensors[A][:, :9]})), "another size"),
    "head": (rewritten(lambda tensors: tensors.pop(f"{PEFT}classifier.weight")), "has no head"),
    "config": (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read"),
    "gone": (lambda folder: (folder / "adapter_model.safetensors").unlink(), "cannot be read"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_unknown_is_left_to_peft(name: str, folder: Path, encoder: Path) -> None:
    """A setting of tomorrow's PEFT as well."""
    change, message = UNKNOWN[name]
    change(folder)
    with pytest.raises(UnknownInside, match=message):
        open_classifier(folder, encoder)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told(name: str, folder: Path, encoder: Path) -> None:
    """And is never taken for something that peft might know."""
    change, message = DAMAGED[name]
    change(folder)
    with pytest.raises(ArtefactError, match=message):
        open_classifier(folder, encoder)


def test_an_adapter_is_a_view_of_its_file(folder: Path, encoder: Path) -> None:
    """A second run on one encoder adds its own numbers and no more."""
    second = Path(shutil.copytree(folder, folder.parent / "b"))
    one, two = (open_classifier(path, encoder) for path in (folder, second))
    assert one.encoder is two.encoder
    for path, change in AdapterWeights.read(folder).changes.items():
        assert change.low_rank is not None, path
        assert not change.low_rank.a_RI.flags.owndata
    tokens = random_tokens([3, 4], 64)
    assert (one.logits(tokens) == two.logits(tokens)).all()
