"""Reads any PEFT LoRA adapter folder, whoever wrote it: names and numbers, nothing executed.

Neither ``transformers`` nor ``peft`` is needed for it, nor the base model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tightfit import storage
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG, ADAPTER_FILE, PEFT_PREFIX
from tightfit.errors import ArtefactError

MODEL_CONFIG = "config.json"
PICKLED = "adapter_model.bin"

_FACTOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.[^.]+)*")
"""Layer and letter; some files put the adapter's name between these and ``weight`` or ``bias``."""

_WRAPPERS = ("modules_to_save", "default")
"""Parts of names that tell how PEFT wrapped a module, not which."""

_FROZEN_COPY = ".original_module."

_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Factor:
    """A tensor of the matrix A or B of one adapter."""

    layer: str
    """Dotted path in the base model."""
    letter: str
    rows: int
    """Its first dimension, which is the rank in A."""
    norm: float
    """Frobenius norm; infinite or not a number where a value is."""


@dataclass(frozen=True)
class Contents:
    """What a safetensors file holds."""

    numbers: int
    """Of all tensors together, without those that a linear head keeps constant."""
    factors: tuple[Factor, ...]
    others: tuple[str, ...]
    """Names of the tensors that are no part of an adapter's A or B."""


def read_contents(path: Path) -> Contents:
    """Count every tensor of a safetensors file, and measure the adapters.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    numbers, factors, others = 0, [], []
    with _opened(path) as file:
        # With bias="all" PEFT writes the head's bias three times over; it trained once.
        names = {_plain(name): name for name in _names(file) if _FROZEN_COPY not in name}
        constants = tuple(_constant_layers(file, names))
        for plain, name in names.items():
            if plain.rpartition(".")[0] not in constants:
                numbers += math.prod(file.get_slice(name).get_shape())
            if match := _FACTOR.fullmatch(plain):
                tensor = file.get_tensor(name)
                norm = float(tensor.double().norm())
                factors.append(Factor(match[1], match[2], len(tensor), norm))
            else:
                others.append(plain)
    return Contents(numbers, tuple(factors), tuple(others))


def read_tensor(path: Path, name: str) -> torch.Tensor:
    """One tensor of a safetensors file, by its name in the base model.

    Raises:
        ArtefactError: the file is missing or damaged, or has no such tensor.
    """
    with _opened(path) as file:
        full = next((n for n in _names(file) if n.removeprefix(PEFT_PREFIX) == name), None)
        if full is None:
            raise ArtefactError("a tensor is missing", seen=f"no {name} in {path}")
        tensor: torch.Tensor = file.get_tensor(full)
    return tensor


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file, by its name in the base model.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return {
            name.removeprefix(PEFT_PREFIX): tuple(file.get_slice(name).get_shape())
            for name in _names(file)
        }


def _names(file: Any) -> list[str]:
    """Of the tensors; an open safetensors file is no dict, and cannot be iterated itself."""
    return list(file.keys())


def _constant_layers(file: Any, names: Mapping[str, str]) -> Iterator[str]:
    """Layers that no training leaves: a weight of so many times the identity, or of ones."""
    for plain, name in names.items():
        layer, _, kind = plain.rpartition(".")
        if kind == "weight" and not _FACTOR.fullmatch(plain):
            weight = file.get_tensor(name)
            like = torch.ones_like(weight) if weight.ndim < 2 else torch.eye(*weight.shape)
            if min(weight.shape) > 1 and bool((weight == weight.flatten()[0] * like).all()):
                yield layer


def _plain(name: str) -> str:
    """A tensor's name in the base model, or below one of its layers."""
    parts = name.removeprefix(PEFT_PREFIX).split(".")
    return ".".join(part for part in parts if part not in _WRAPPERS)


def read_adapter_config(folder: Path) -> Mapping[str, Any]:
    """The parsed ``adapter_config.json``.

    Raises:
        ArtefactError: it is missing, damaged, or of another method than LoRA.
    """
    config = storage.read_json(folder / ADAPTER_CONFIG)
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ArtefactError(
            "this is not a LoRA adapter",
            seen=f"peft_type {kind!r} in {folder / ADAPTER_CONFIG}",
            allowed="peft_type 'LORA'",
            next_step="give the folder of a LoRA adapter",
        )
    assert isinstance(config, dict)
    return config


def weights_file(folder: Path) -> Path:
    """The adapter's weights, which must be in safetensors form.

    Raises:
        ArtefactError: they are missing, or pickled.
    """
    file = folder / ADAPTER_FILE
    if file.is_file():
        return file
    if (folder / PICKLED).is_file():
        raise ArtefactError(
            "the adapter is pickled, and opening a pickle can run anything that is in it",
            seen=folder / PICKLED,
            allowed=ADAPTER_FILE,
            next_step="where you trust it, convert it once: "
            "PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)",
        )
    raise ArtefactError(
        "the adapter's weights are missing",
        seen=file,
        next_step="copy the whole folder, or save the adapter anew",
    )


def label_names(folder: Path) -> tuple[str, ...] | None:
    """Names from a model's settings beside the weights, if there; PEFT itself keeps none."""
    if not (folder / MODEL_CONFIG).is_file():
        return None
    config = storage.read_json(folder / MODEL_CONFIG)
    names = config.get("id2label") if isinstance(config, dict) else None
    if not isinstance(names, dict) or names.keys() != {str(i) for i in range(len(names))}:
        return None
    return tuple(str(names[str(i)]) for i in range(len(names)))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        pointer = _is_lfs_pointer(path)
        raise ArtefactError(
            "a safetensors file cannot be read",
            seen=f"{path}: {'a Git LFS pointer, not the file itself' if pointer else error}",
            next_step="git lfs pull" if pointer else "restore it from a copy, or save it anew",
        ) from error


def _is_lfs_pointer(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER
