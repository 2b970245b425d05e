"""Encoders of all ten families: loaded whole, in fp32, and recomputed layer by layer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging as transformers_logging

from tests.toy_setups import LABELS, TASK, toy_plan
from tests.toys import SMALL, toy_config, toy_encoder, toy_tokenizer
from tightfit.errors import ModelError
from tightfit.model.encoders import (
    layer_stack,
    load_encoder,
    load_tokenizer,
    longest_text,
    quiet_transformers,
    recompute_layers,
)
from tightfit.model.locate import Source, locate
from tightfit.tasks import SingleLabel

each_family = pytest.mark.parametrize("family", SMALL)
Encoders = Callable[[str], Path]

IDS_BL = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
MASK_BL = (IDS_BL != 0).long()


def loaded(folder: Path, *, labels: tuple[str, ...] = LABELS, recipe: str = "tight") -> Any:
    """The encoder of a folder with a head for ``labels``, its new weights always the same."""
    torch.manual_seed(0)
    plan = toy_plan(folder, recipe=recipe, labels=len(labels))
    return load_encoder(locate(str(folder)), plan, SingleLabel.from_names(labels))


def logits_of(model: nn.Module) -> torch.Tensor:
    """Logits of two short rows, one of them padded."""
    logits_BK: torch.Tensor = model(input_ids=IDS_BL, attention_mask=MASK_BL).logits
    return logits_BK


@each_family
def test_a_family_loads_with_the_labels_of_the_run(family: str, encoders: Encoders) -> None:
    """One logit a label, names both ways, fp32, and the name of the base model."""
    folder = encoders(family)
    model = loaded(folder, labels=("a", "b", "c"))
    assert logits_of(model).shape == (2, 3)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.name_or_path == str(folder)


def test_half_precision_weights_are_loaded_as_fp32(bert: Path, tmp_path: Path) -> None:
    """Adapters must not train in half precision because the base was published in it."""
    AutoModel.from_pretrained(bert, dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").popitem()[1].dtype == torch.bfloat16
    model = loaded(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def with_tensors(folder: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model folder whose weights were changed."""
    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    change(tensors)
    save_file(tensors, to / "model.safetensors", metadata={"format": "pt"})
    return to


def test_a_checkpoint_without_encoder_weights_is_refused(roberta: Path, tmp_path: Path) -> None:
    """They would be random and frozen; the message names them, and what may be new."""

    def drop(tensors: dict[str, Any]) -> None:
        del tensors["encoder.layer.1.attention.self.value.weight"]

    folder = with_tensors(roberta, tmp_path / "copy", drop)
    with pytest.raises(ModelError, match="lacks weights of the encoder itself") as caught:
        loaded(folder)
    assert "roberta.encoder.layer.1.attention.self.value.weight" in str(caught.value)
    assert "only classifier may be newly initialised" in str(caught.value)


def test_encoder_weights_of_another_shape_are_refused(roberta: Path, tmp_path: Path) -> None:
    """``transformers`` would replace them with random ones."""

    def narrow(tensors: dict[str, Any]) -> None:
        name = "encoder.layer.0.output.dense.weight"
        tensors[name] = tensors[name][:, :8].contiguous()

    folder = with_tensors(roberta, tmp_path / "copy", narrow)
    with pytest.raises(ModelError, match="lacks weights of the encoder itself"):
        loaded(folder)


def test_a_head_for_other_labels_is_made_anew(bert: Path, tmp_path: Path) -> None:
    """A checkpoint that was trained on five classes serves for two; its head is ours to train."""
    loaded(bert, labels=tuple("abcde")).save_pretrained(tmp_path)
    model = loaded(tmp_path)
    assert logits_of(model).shape == (2, 2)


def test_a_bert_without_pooler_gets_one_that_trains(tmp_path: Path) -> None:
    """The plan lists it, so that random weights are never frozen."""
    AutoModel.from_config(toy_config("bert"), add_pooling_layer=False).save_pretrained(tmp_path)
    plan = toy_plan(tmp_path)
    assert set(plan.head_modules) == {"bert.pooler", "classifier"}
    assert plan.head == (32 * 32 + 32) + (32 * 2 + 2)
    assert logits_of(loaded(tmp_path)).shape == (2, 2)


def test_weights_that_were_cut_short_are_refused(bert: Path, tmp_path: Path) -> None:
    """The plan was made before; only loading finds out."""
    plan = toy_plan(bert)
    folder = shutil.copytree(bert, tmp_path / "copy")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(ModelError, match=r"as a sequence classifier(.|\n)*not fully covered"):
        load_encoder(locate(str(folder)), plan, TASK)


def test_settings_that_contradict_the_weights_are_refused(bert: Path, tmp_path: Path) -> None:
    """Heads that do not divide the width: the library's own words are in the message."""
    plan = toy_plan(bert)
    folder = shutil.copytree(bert, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 5}))
    with pytest.raises(ModelError, match=r"as a sequence classifier(.|\n)*32.*5"):
        load_encoder(locate(str(folder)), plan, TASK)


def test_code_in_a_model_folder_is_not_run(bert: Path, tmp_path: Path) -> None:
    """Not even where the settings ask for it."""
    folder = shutil.copytree(bert, tmp_path / "copy")
    mark = tmp_path / "executed"
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w').close()")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    assert type(loaded(folder)).__name__ == "BertForSequenceClassification"
    assert not mark.exists()


def test_a_model_that_is_its_own_code_is_refused(bert: Path, tmp_path: Path) -> None:
    """With the reason why no setting allows it."""
    folder = shutil.copytree(bert, tmp_path / "copy")
    code = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(code))
    (folder / "code.py").write_text("raise SystemExit('executed')")
    with pytest.raises(ModelError, match="code of its own, which is never run") as caught:
        loaded(folder)
    assert "no setting allows the code" in str(caught.value)
    assert "model_type 'mine' with auto_map" in str(caught.value)


def sharded(bert: Path, folder: Path, **places: str) -> Path:
    """The toy in two files, which the index says to be at these places."""
    shutil.copytree(bert, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"one.safetensors": names[:5], "two.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / file, {"format": "pt"})
    where = {name: places.get(f[:3], f) for f, held in parts.items() for name in held}
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_sharded_checkpoint_is_the_whole_one(bert: Path, tmp_path: Path) -> None:
    """The same logits from two files."""
    again = loaded(sharded(bert, tmp_path / "shards"))
    torch.testing.assert_close(logits_of(again.eval()), logits_of(loaded(bert).eval()))


@pytest.mark.parametrize("place", ["../two.safetensors", "below/two.safetensors", "{root}/two"])
def test_shards_outside_the_model_folder_are_refused(
    place: str, bert: Path, tmp_path: Path
) -> None:
    """Transformers would load them, while no digest of the model covers them."""
    folder = sharded(bert, tmp_path / "shards", two=place.format(root=tmp_path))
    with pytest.raises(ModelError, match="leads out of the model folder") as caught:
        loaded(folder)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_index_is_refused(index: str, bert: Path, tmp_path: Path) -> None:
    """Whatever else stands in its place."""
    folder = sharded(bert, tmp_path / "shards")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match="index of the weights is damaged"):
        loaded(folder)


@each_family
def test_a_folder_without_tokenizer_is_refused(family: str, tmp_path: Path) -> None:
    """Most families would get an empty one, to which every word is unknown."""
    AutoModel.from_config(toy_config(family)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no usable tokenizer(.|\n)*tokenizer\.json"):
        load_tokenizer(locate(str(tmp_path)))


def test_a_damaged_tokenizer_is_refused(bert: Path, tmp_path: Path) -> None:
    """The tokenizers library raises bare exceptions; users see none of them."""
    folder = shutil.copytree(bert, tmp_path / "copy")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match="no usable tokenizer"):
        load_tokenizer(locate(str(folder)))


def test_the_tokenizer_is_the_folder_s_own(bert: Path) -> None:
    """The same ids as from the one that was saved."""
    text = "goal match of the season"
    assert load_tokenizer(locate(str(bert)))(text).input_ids == toy_tokenizer()(text).input_ids


ABSOLUTE = sorted(SMALL.keys() - {"modernbert"})
"""Families with a table of positions, which ends somewhere."""


def unbounded_source(family: str, folder: Path) -> Source:
    """A toy encoder whose tokenizer sets no limit of its own."""
    return locate(str(toy_encoder(folder, family, max_position_embeddings=40)))


@pytest.mark.parametrize("family", ABSOLUTE)
def test_the_longest_text_is_the_longest_that_runs(family: str, tmp_path: Path) -> None:
    """So many tokens have positions, and one more has not."""
    source = unbounded_source(family, tmp_path)
    tokenizer = toy_tokenizer()
    tokenizer.model_max_length = int(1e30)
    longest = longest_text(source, tokenizer)
    assert longest in (38, 39, 40)
    model = loaded(tmp_path).eval()
    model(input_ids=torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 5))


def test_the_tokenizer_s_limit_holds_too(bert: Path) -> None:
    """BERT's 512 positions, but 64 of the toy tokenizer."""
    assert longest_text(locate(str(bert)), toy_tokenizer()) == 64


def test_without_any_limit_there_is_no_longest_text(tmp_path: Path) -> None:
    """A family that counts distances alone, and a tokenizer that says so with a huge number."""
    (tmp_path / "config.json").write_text('{"model_type": "modernbert"}')
    tokenizer = toy_tokenizer()
    tokenizer.model_max_length = int(1e30)
    assert longest_text(Source("x", tmp_path, "x"), tokenizer) is None


@each_family
def test_the_layer_stack_holds_the_layers(family: str, encoders: Encoders) -> None:
    """As many as the settings say; ALBERT shares one among all."""
    stack = layer_stack(loaded(encoders(family)))
    assert len(stack) == (1 if family == "albert" else 2)


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Of a loss over two rows, by tensor."""
    model.zero_grad()
    logits_of(model).square().sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@each_family
def test_recomputing_changes_neither_logits_nor_gradients(family: str, encoders: Encoders) -> None:
    """Memory is saved and nothing else changes, also in families that have no such switch."""
    model = loaded(encoders(family)).eval()
    # As in training below a cap: only what is above the embeddings has gradients.
    model.requires_grad_(True)
    model.get_input_embeddings().requires_grad_(False)
    before, kept = logits_of(model).detach(), gradients(model)
    recompute_layers(model, reentrant=False)
    torch.testing.assert_close(logits_of(model).detach(), before, rtol=0, atol=1e-6)
    again = gradients(model)
    assert again.keys() == kept.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=1e-6, msg=name)


@each_family
def test_recomputing_runs_each_layer_twice(family: str, encoders: Encoders) -> None:
    """Once forward and once for the backward pass; and only once where no gradient is asked."""
    model = loaded(encoders(family))
    runs: list[str] = []
    innermost = layer_stack(model)[-1]
    innermost.forward = counted(innermost.forward, runs)
    recompute_layers(model, reentrant=False)
    with torch.no_grad():
        logits_of(model)
    once = len(runs)
    logits_of(model).sum().backward()
    assert len(runs) == 3 * once


def counted(forward: Callable[..., Any], runs: list[str]) -> Callable[..., Any]:
    """The same function, leaving a mark each time."""

    def marked(*args: Any, **kwargs: Any) -> Any:
        runs.append("run")
        return forward(*args, **kwargs)

    return marked


def test_transformers_is_quiet_only_inside() -> None:
    """Afterwards its reports and bars are as the user had them, also after a fault."""
    transformers_logging.set_verbosity_info()
    with quiet_transformers():
        assert transformers_logging.get_verbosity() == transformers_logging.ERROR
        assert not transformers_logging.is_progress_bar_enabled()
    with pytest.raises(KeyError), quiet_transformers():
        raise KeyError
    assert transformers_logging.get_verbosity() == transformers_logging.INFO
    assert transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_warning()
