"""From a model's ``config.json`` to the sizes of its linear layers and of its head.

Nothing is loaded: the families' table and a few integers say it all. A test builds every family
on the meta device and compares.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tightfit.errors import ModelError
from tightfit.families import FAMILIES, Family, HeadSpec, Role
from tightfit.families.sizes import Sizes

WEIGHTS_INDEX = "model.safetensors.index.json"
"""Tells which file of a sharded checkpoint holds which tensor."""

LONGEST_HEADER = 100_000_000
"""Bytes; the limit that the safetensors format itself sets."""


@dataclass(frozen=True)
class LinearShape:
    """A linear layer of the encoder that can carry an adapter."""

    name: str
    """Dotted path in the ``transformers`` model for sequence classification."""
    roles: tuple[Role, ...]
    """What it does; a fused projection does several things at once."""
    in_features: int
    out_features: int
    bias: bool
    block: int
    """Which of the encoder's blocks holds it, counted from below."""

    @property
    def parameters(self) -> int:
        """Of the frozen layer itself."""
        return (self.in_features + self.bias) * self.out_features


@dataclass(frozen=True)
class HeadModule:
    """A module that trains whole, beside or instead of adapters."""

    module: str
    """Dotted path of the module."""
    tensors: tuple[tuple[str, int], ...]
    """Full name and number of parameters of each tensor."""
    replaceable: tuple[str, ...] = ()
    """Tensors of a hidden layer before a tanh: a small multiple of the identity can stand there."""

    @property
    def parameters(self) -> int:
        """Of all its tensors."""
        return sum(count for _, count in self.tensors)


@dataclass(frozen=True)
class EncoderShapes:
    """All that a plan needs to know about a model."""

    model_type: str
    hidden: int
    layers: tuple[LinearShape, ...]
    """In the order in which the encoder holds them; layers that it uses repeatedly occur once."""
    head: tuple[HeadModule, ...]
    """Modules that are new, or always trained: they train, count, and are saved."""
    stored_head: tuple[HeadModule, ...]
    """Modules before these that the checkpoint brings, trained to read the first token."""
    depth: int
    """Blocks that a text passes through."""
    parameters: int
    """Of the whole classifier, head included."""


def encoder_shapes(
    config: Mapping[str, Any], num_labels: int, tensor_names: Collection[str] | None
) -> EncoderShapes:
    """Layers, head and size of the classifier that ``transformers`` builds from a configuration.

    Args:
        config: a parsed ``config.json``.
        num_labels: logits that the head gives.
        tensor_names: names in the checkpoint; None stands for those of published checkpoints.

    Raises:
        ModelError: the family is unknown, or the configuration lacks a size.
    """
    model_type = config.get("model_type")
    family = FAMILIES.get(str(model_type))
    if family is None:
        if "auto_map" in config:
            raise ModelError(
                "the model brings code of its own, which is never run: it could do anything",
                seen=f"model_type {model_type!r} with auto_map in its config.json",
                allowed=", ".join(FAMILIES),
                next_step="choose an encoder of one of these families; no setting allows the code, "
                "since the layers of such a model would not be known either",
            )
        raise ModelError(
            "adapters are not known for this family of models",
            seen=f"model_type {model_type!r}",
            allowed=", ".join(FAMILIES),
            next_step="choose an encoder of one of these families",
        )
    sizes = Sizes(config, family.renamed)
    blocks = _blocks(family, sizes)
    layers = tuple(
        _linear(family, sizes, path, number=number, block=block)
        for number, block in enumerate(blocks)
        for path in family.linears
    )
    modules = [_head_module(spec, sizes, num_labels) for spec in family.head]
    stored = tuple(
        module
        for spec, module in zip(family.head, modules, strict=True)
        if _stored(spec, module, family, tensor_names)
    )
    return EncoderShapes(
        model_type=str(model_type),
        hidden=sizes.hidden,
        layers=layers,
        head=tuple(module for module in modules if module not in stored),
        stored_head=stored,
        depth=sizes.depth,
        parameters=family.other_parameters(sizes, len(blocks))
        + sum(layer.parameters for layer in layers)
        + sum(module.parameters for module in modules),
    )


def safetensors_names(folder: Path) -> frozenset[str]:
    """Names of all tensors in a model folder's ``*.safetensors``, read from their headers alone.

    A file is 8 bytes with the length of the header (little-endian), the header as JSON, the data.

    Raises:
        ModelError: a file is cut short or not of this format.
    """
    files = sorted(folder.glob("*.safetensors"))
    return frozenset(name for file in files for name in safetensors_header(file))


def _blocks(family: Family, sizes: Sizes) -> list[str]:
    counts = [sizes.count(key, default) for key, default in family.counters]
    indices = product(*map(range, counts))
    return [f"{family.encoder}.{family.block.format(*index)}" for index in indices]


def _linear(family: Family, sizes: Sizes, path: str, *, number: int, block: str) -> LinearShape:
    roles = family.linears[path]
    # A fused projection writes what each of its roles needs side by side.
    wide_in, wide_out = sizes.hidden, sizes.hidden * len(roles)
    if roles == ("mlp-in",):
        wide_out = sizes.inner * (2 if family.gated else 1)
    elif roles == ("mlp-out",):
        wide_in = sizes.inner
    setting = "mlp_bias" if roles[0].startswith("mlp") else "attention_bias"
    bias = _has_bias(sizes, setting, optional=family.optional_bias)
    return LinearShape(f"{block}.{path}", roles, wide_in, wide_out, bias, number)


def _head_module(spec: HeadSpec, sizes: Sizes, num_labels: int) -> HeadModule:
    tensors = []
    for path, writes in spec.linears.items():
        width = sizes.hidden if writes == "hidden" else num_labels
        tensors.append((f"{path}.weight", sizes.hidden * width))
        if _has_bias(sizes, "classifier_bias", optional=spec.optional_bias):
            tensors.append((f"{path}.bias", width))
    if spec.norm:
        tensors.append((f"{spec.norm}.weight", sizes.hidden))
        if _has_bias(sizes, "norm_bias", optional=spec.optional_bias):
            tensors.append((f"{spec.norm}.bias", sizes.hidden))
    hidden = [path for path, writes in spec.linears.items() if writes == "hidden" and spec.tanh]
    owners = tuple(f"{path}." for path in hidden)
    replaceable = tuple(name for name, _ in tensors if owners and name.startswith(owners))
    return HeadModule(spec.module, tuple(tensors), replaceable)


def _has_bias(sizes: Sizes, setting: str, *, optional: bool) -> bool:
    return not optional or sizes.flag(setting, False)


def _stored(
    spec: HeadSpec, module: HeadModule, family: Family, tensor_names: Collection[str] | None
) -> bool:
    """Whether the checkpoint brings this module already trained."""
    if not spec.often_stored or tensor_names is None:
        return spec.often_stored
    # A checkpoint of the bare encoder lacks the prefix under which the classifier holds it.
    prefix = f"{family.encoder}."
    return all(
        name in tensor_names or name.removeprefix(prefix) in tensor_names
        for name, _ in module.tensors
    )


def safetensors_header(file: Path) -> dict[str, Any]:
    """The JSON header by tensor, after checking that the data which it promises is all there.

    Raises:
        ModelError: the file is cut short or not of this format.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(LONGEST_HEADER, size - 8):
            raise damaged_weights(file, f"a header of {length:,} bytes in a file of {size:,}")
        text = stream.read(length)
    try:
        header = dict(json.loads(text))
        header.pop("__metadata__", None)
        data = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (ValueError, TypeError, LookupError) as error:
        raise damaged_weights(file, f"a header that cannot be read: {error}") from error
    # A download that broke off has a whole header and too little behind it.
    if size != 8 + length + data:
        raise damaged_weights(file, f"{size:,} bytes instead of {8 + length + data:,}")
    return header


def shard_files(folder: Path) -> list[str]:
    """Names of the files of a sharded checkpoint, sorted; none where the folder has no index.

    Raises:
        ModelError: it leads elsewhere, where no digest covers the weights, or is no index.
    """
    index = folder / WEIGHTS_INDEX
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        strange = [str(name) for name in names if name != Path(name).name]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ModelError("the index of the weights is damaged", seen=index) from error
    if strange or not names:
        raise ModelError(
            "the index of the weights leads out of the model folder, or nowhere",
            seen=f"{index}: {', '.join(strange[:3]) or 'no file'}",
            allowed="names of files beside it",
            next_step="fetch the model anew from a place that you trust",
        )
    return names


def damaged_weights(file: Path, seen: object) -> ModelError:
    """The error for a safetensors file that is not what its header says."""
    return ModelError(
        f"the weights in {file.name} are damaged",
        seen=seen,
        allowed="a whole safetensors file",
        next_step=f"fetch it again: {file}",
    )
