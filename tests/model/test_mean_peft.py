"""A mean-pooled adapter folder in the hands of who knows PEFT alone: right, or an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from tests.encoder.artefacts import Floats, assert_close, moved, padded, random_tokens
from tests.fixtures import Encoders
from tests.toy_setups import LABELS
from tightfit.data.batches import collate
from tightfit.encoder import FrozenEncoder, UnknownInside, open_classifier
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG, ADAPTER_FILE
from tightfit.model.artefact import save_artefact

MEAN = ("head.pooling=mean", "head.kind=auto")
TOKENS = random_tokens([1, 5, 64, 2], 64)


def saved(encoder: Path, folder: Path, *settings: str) -> Floats:
    """Write an artefact whose base model is found by its path; gives its logits."""
    classifier = moved(encoder, *MEAN, *settings)
    save_artefact(classifier, folder)
    return padded(classifier, TOKENS)


@torch.inference_mode()
def logits(module: nn.Module) -> Floats:
    """Of the same tokens, by whatever was loaded."""
    batch = collate(TOKENS, range(len(TOKENS)))
    out = module.eval()(input_ids=batch.ids_BL, attention_mask=batch.mask_BL)
    return np.asarray(out.logits.numpy(), np.float32)


def base_of(encoder: Path, **more: object) -> nn.Module:
    """As the card says, or with more."""
    found: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=len(LABELS), **more
    )
    return found


def by_peft_model(encoder: Path, folder: Path) -> nn.Module:
    """The three lines of the card."""
    return PeftModel.from_pretrained(base_of(encoder), str(folder))


def by_peft_model_on_one_layer_more(encoder: Path, folder: Path) -> nn.Module:
    """By somebody who counts the layers of the file."""
    return PeftModel.from_pretrained(base_of(encoder, num_hidden_layers=3), str(folder))


def by_auto_peft(encoder: Path, folder: Path) -> nn.Module:
    """Without naming the base model."""
    return AutoPeftModelForSequenceClassification.from_pretrained(str(folder))


def by_transformers(encoder: Path, folder: Path) -> nn.Module:
    """An adapter's folder in place of a model's."""
    return base_of(folder)


def by_load_adapter(encoder: Path, folder: Path) -> nn.Module:
    """Onto a model that is there already."""
    model = base_of(encoder)
    model.load_adapter(str(folder))
    return model


BY_PEFT = [by_peft_model, by_peft_model_on_one_layer_more, by_auto_peft]
WAYS = [*BY_PEFT, by_transformers, by_load_adapter]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_load_it_on_bert_gives_the_same_logits(
    way: Callable[[Path, Path], nn.Module], bert: Path, tmp_path: Path
) -> None:
    """The folder brings the block itself, whatever the base was told."""
    expected = saved(bert, tmp_path)
    assert_close(logits(way(bert, tmp_path)), expected)


@pytest.mark.parametrize("way", BY_PEFT)
@pytest.mark.parametrize("setting", ["adapters.dora=true", "adapters.init=pissa"])
def test_kin_of_lora_do_as_well(
    way: Callable[[Path, Path], nn.Module], setting: str, bert: Path, tmp_path: Path
) -> None:
    """Of DoRA transformers' own loader loses the lengths, with and without a block."""
    expected = saved(bert, tmp_path, setting)
    assert_close(logits(way(bert, tmp_path)), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["distilbert", "mpnet", "roberta"])
def test_of_other_families_nobody_gets_other_logits(
    way: Callable[[Path, Path], nn.Module], family: str, encoders: Encoders, tmp_path: Path
) -> None:
    """PEFT repeats layers of BERT alone, and says so."""
    saved(encoders(family), tmp_path)
    with pytest.raises(ValueError, match="Could not locate the layers"):
        way(encoders(family), tmp_path)


def test_the_file_holds_the_block_in_half_precision(bert: Path, tmp_path: Path) -> None:
    """It takes half the bytes, and each of its numbers is exact."""
    saved(bert, tmp_path)
    tensors = load_file(tmp_path / ADAPTER_FILE)
    block = {name: t for name, t in tensors.items() if ".layer.2." in name}
    assert len(block) == 16
    assert {t.dtype for t in block.values()} == {torch.float16}
    assert {t.dtype for n, t in tensors.items() if n not in block} == {torch.float32}


def test_other_repeated_layers_are_left_to_peft(bert: Path, tmp_path: Path) -> None:
    """They would be left out without a word."""
    saved(bert, tmp_path)
    config = json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    (tmp_path / ADAPTER_CONFIG).write_text(
        json.dumps(config | {"layer_replication": [[0, 2], [0, 1]]})
    )
    with pytest.raises(UnknownInside, match="repeats layers"):
        open_classifier(tmp_path, bert)
    assert FrozenEncoder.of(bert).depth == 2
