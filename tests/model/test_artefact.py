"""The saved artefact: exactly the plan's tensors, and the same answers from plain PEFT."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.toy_setups import LABELS, TASK, TEXTS, toy_classifier
from tests.toys import SMALL, toy_encoder
from tightfit.data.text_tokenizer import tokenise
from tightfit.encoder.adapter_weights import ADAPTER_FILE, HEAD_FILE, PEFT_PREFIX
from tightfit.errors import ArtefactError, BudgetError
from tightfit.model.adapter_folder import tensor_shapes
from tightfit.model.artefact import count_saved, load_artefact, save_artefact
from tightfit.model.classifier import Classifier, predict_logits
from tightfit.model.encoders import quiet_transformers
from tightfit.model.locate import Source, locate

Encoders = Callable[[str], Path]
FILES = {"tight": ADAPTER_FILE, "head-only": HEAD_FILE, "full": "model.safetensors"}

each_family = pytest.mark.parametrize("family", SMALL)
each_recipe = pytest.mark.parametrize("recipe", FILES)


def moved(folder: Path, recipe: str = "tight") -> Classifier:
    """A classifier whose trainable tensors all differ from how they started."""
    classifier = toy_classifier(folder, recipe=recipe)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in classifier.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return classifier


def logits_of(classifier: Classifier) -> Any:
    """Of a few texts."""
    return predict_logits(classifier, tokenise(classifier.tokenizer, TEXTS, 32), batch=4)


def loaded(classifier: Classifier, folder: Path, source: Source) -> Classifier:
    """The artefact of a classifier, loaded anew."""
    return load_artefact(folder, source, classifier.plan, classifier.task)


@each_family
@each_recipe
def test_an_artefact_answers_as_what_was_saved(
    family: str, recipe: str, encoders: Encoders, tmp_path: Path
) -> None:
    """In every family and of every kind; the fourth gate counts the plan."""
    classifier = moved(encoders(family), recipe)
    assert save_artefact(classifier, tmp_path) == classifier.plan.total
    anew = loaded(classifier, tmp_path, locate(str(encoders(family))))
    np.testing.assert_allclose(logits_of(anew), logits_of(classifier), rtol=0, atol=1e-5)
    assert anew.task.names == LABELS
    assert not any(p.requires_grad for p in anew.module.parameters())
    assert not anew.module.training


@each_recipe
def test_the_file_holds_the_trainable_tensors_and_nothing_else(
    recipe: str, roberta: Path, tmp_path: Path
) -> None:
    """By name, shape and value."""
    classifier = moved(roberta, recipe)
    save_artefact(classifier, tmp_path)
    saved = load_file(tmp_path / FILES[recipe])
    saved = {name.removeprefix(PEFT_PREFIX): tensor for name, tensor in saved.items()}
    state = classifier.state()
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[name], state[name]) for name in state)


@pytest.mark.parametrize("recipe", ["tight", "head-only", "full"])
def test_whoever_reads_one_file_reads_all(recipe: str, roberta: Path, tmp_path: Path) -> None:
    """A service that runs as somebody else needs the weights as well."""
    save_artefact(moved(roberta, recipe), tmp_path)
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


def test_nothing_in_the_folder_is_pickled(roberta: Path, tmp_path: Path) -> None:
    """Safetensors, JSON and words."""
    for recipe in FILES:
        save_artefact(moved(roberta, recipe), tmp_path / recipe)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md", ".txt"}


def test_a_pooler_that_was_new_is_saved(tmp_path: Path) -> None:
    """A BERT without one gets it trained; without it in the file, answers would be random."""
    bare = tmp_path / "bare"
    toy_encoder(bare)
    tensors = load_file(bare / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(kept, bare / "model.safetensors", metadata={"format": "pt"})
    classifier = moved(bare)
    save_artefact(classifier, tmp_path / "saved")
    assert "bert.pooler.dense.weight" in tensor_shapes(tmp_path / "saved" / ADAPTER_FILE)
    torch.manual_seed(99)  # Whatever is drawn while loading must not matter.
    anew = loaded(classifier, tmp_path / "saved", locate(str(bare)))
    np.testing.assert_allclose(logits_of(anew), logits_of(classifier), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@each_family
def test_plain_peft_loads_the_folder(family: str, encoders: Encoders, tmp_path: Path) -> None:
    """With the base model and the right labels, as anybody would; the same logits."""
    classifier = moved(encoders(family))
    save_artefact(classifier, tmp_path)
    with quiet_transformers():
        base = AutoModelForSequenceClassification.from_pretrained(
            encoders(family), num_labels=2, id2label=dict(enumerate(LABELS))
        )
    model = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(encoded.input_ids, attention_mask=encoded.attention_mask).logits
    np.testing.assert_allclose(theirs.numpy(), logits_of(classifier), rtol=0, atol=1e-5)
    assert model.config.id2label == dict(enumerate(LABELS))


def test_the_adapter_names_its_base_model(roberta: Path, tmp_path: Path) -> None:
    """As others find it, with the ranks and whole modules of the plan."""
    classifier = moved(roberta)
    save_artefact(classifier, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(roberta)
    assert (config["task_type"], config["r"], config["lora_alpha"]) == ("SEQ_CLS", 4, 8.0)
    # PEFT adds what it takes for the head of any classifier, whether the model has it or not.
    assert set(config["modules_to_save"]) == {"classifier", "score"}
    assert set(config["target_modules"]) == {layer.name for layer in classifier.plan.layers}


def tampered(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a file."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_the_gate_sees_a_tensor_too_many(roberta: Path, tmp_path: Path) -> None:
    """With its name."""
    classifier = moved(roberta)
    save_artefact(classifier, tmp_path)
    tampered(tmp_path / ADAPTER_FILE, lambda t: t.update({"extra.weight": torch.ones(5)}))
    with pytest.raises(BudgetError, match=r"\+5 against the plan") as caught:
        count_saved(classifier.plan, tmp_path)
    assert "extra.weight: 5, not planned" in str(caught.value)


def test_frozen_constants_do_not_count(roberta: Path, tmp_path: Path) -> None:
    """They are saved beside what trained, and the plan lists them."""
    classifier = moved(roberta)
    save_artefact(classifier, tmp_path)
    tampered(tmp_path / ADAPTER_FILE, lambda t: t.update({"constant": torch.ones(5)}))
    plan = replace(classifier.plan, frozen_constants=("constant",))
    assert count_saved(plan, tmp_path) == plan.total


@each_recipe
@pytest.mark.parametrize("fault", ["missing", "cut", "empty"])
def test_a_damaged_artefact_is_told(recipe: str, fault: str, roberta: Path, tmp_path: Path) -> None:
    """Whatever kind it is of; a whole model that is damaged is no model."""
    classifier = moved(roberta, recipe)
    save_artefact(classifier, tmp_path)
    file = tmp_path / FILES[recipe]
    content = file.read_bytes()
    file.unlink()
    if fault != "missing":
        file.write_bytes(content[:-50] if fault == "cut" else b"")
    with pytest.raises((ArtefactError, ValueError)) as caught:
        loaded(classifier, tmp_path, locate(str(roberta)))
    assert type(caught.value).__module__ == "tightfit.errors"
    if fault != "missing":
        with pytest.raises(ArtefactError, match="cannot be read"):
            tensor_shapes(file)


@pytest.mark.parametrize("recipe", ["tight", "head-only"])
def test_an_artefact_of_another_base_model_is_told(
    recipe: str, roberta: Path, tmp_path: Path
) -> None:
    """Tensors of another width do not fit."""
    classifier = moved(roberta, recipe)
    save_artefact(classifier, tmp_path / "saved")
    wide = toy_encoder(tmp_path / "wide", "roberta", hidden_size=48)
    with pytest.raises(ArtefactError, match="cannot be loaded onto its base model") as caught:
        loaded(classifier, tmp_path / "saved", locate(str(wide)))
    assert "the base model is the one it names" in str(caught.value)


def test_a_head_of_another_family_is_told(roberta: Path, bert: Path, tmp_path: Path) -> None:
    """Its tensors have names that this model does not know."""
    classifier = moved(roberta, "head-only")
    save_artefact(classifier, tmp_path)
    with pytest.raises(ArtefactError, match=r"has no .*classifier\.dense"):
        load_artefact(tmp_path, locate(str(bert)), moved(bert, "head-only").plan, TASK)


def test_shapes_are_read_without_peft_s_prefix(tmp_path: Path) -> None:
    """And without the values."""
    save_file({f"{PEFT_PREFIX}a.weight": torch.ones(2, 3), "b": torch.ones(())}, tmp_path / "f")
    assert tensor_shapes(tmp_path / "f") == {"a.weight": (2, 3), "b": ()}
