"""Reads any PEFT LoRA adapter folder, whoever wrote it: names and numbers, nothing executed.

Neither torch nor ``peft`` is needed for it, nor the base model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tightfit import storage
from tightfit.encoder.adapter_weights import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    PEFT_PREFIX,
    UNTOUCHED,
    plain_name,
)
from tightfit.encoder.tensors import DTYPES, Stored, map_tensors
from tightfit.errors import ArtefactError, ModelError

MODEL_CONFIG = "config.json"
PICKLED = "adapter_model.bin"

HEADS = ("classifier", "score")
"""Modules that PEFT saves whole for any classification task, besides ``modules_to_save``."""

_FACTOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.[^.]+)*")
"""Layer and letter; some files put the adapter's name between these and ``weight`` or ``bias``."""


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
    constants: tuple[str, ...]
    """Layers that a linear head keeps constant."""


def read_contents(path: Path) -> Contents:
    """Count every tensor of a safetensors file, and measure the adapters.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    numbers, factors, others = 0, [], []
    with _opened(path) as file:
        # With bias="all" PEFT writes the head's bias three times over; it trained once.
        names = {plain_name(name): name for name in file.shapes if UNTOUCHED not in name}
        constants = tuple(_constant_layers(file, names))
        for plain, name in names.items():
            if plain.rpartition(".")[0] not in constants:
                numbers += math.prod(file.shapes[name])
            if match := _FACTOR.fullmatch(plain):
                tensor = file.tensor(name)
                norm = float(np.linalg.norm(tensor))
                factors.append(Factor(match[1], match[2], len(tensor), norm))
            else:
                others.append(plain)
    return Contents(numbers, tuple(factors), tuple(others), constants)


def read_tensor(path: Path, name: str) -> NDArray[np.float64]:
    """One tensor of a safetensors file, by its name in the base model.

    Raises:
        ArtefactError: the file is missing or damaged, or has no such tensor.
    """
    with _opened(path) as file:
        full = next((n for n in file.shapes if n.removeprefix(PEFT_PREFIX) == name), None)
        if full is None:
            raise ArtefactError("a tensor is missing", seen=f"no {name} in {path}")
        return file.tensor(full)


def read_tensors(path: Path, *, without: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """Every tensor of a safetensors file, by its name in the base model.

    Args:
        path: the file.
        without: names in the file that are left out.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    with _opened(path) as file:
        names = [name for name in file.shapes if name not in without]
        return {name.removeprefix(PEFT_PREFIX): file.tensor(name) for name in names}


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file, by its name in the base model.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return {name.removeprefix(PEFT_PREFIX): shape for name, shape in file.shapes.items()}


def numbers_of(weight_OI: NDArray[np.float64], rank: int) -> int:
    """Parameters behind a saved weight: those of its two factors, if its rank is no higher.

    A higher rank counts in full, and so fails the gate that asks.
    """
    values = np.linalg.svd(weight_OI, compute_uv=False)
    # A product of fp32 factors, rounded to fp32, has no zero singular values but tiny ones.
    beyond = values[rank:]
    narrow = len(beyond) == 0 or float(beyond[0]) <= 1e-5 * float(values[0])
    return rank * sum(weight_OI.shape) if narrow else weight_OI.size


@dataclass(frozen=True)
class _File:
    """An open safetensors file."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    stored: Mapping[str, Stored]
    """The tensors of floating-point numbers."""

    def tensor(self, name: str) -> NDArray[np.float64]:
        """The numbers of one tensor."""
        if name not in self.stored:
            raise ArtefactError(
                "a tensor is in a format that is not read here",
                seen=f"{name} in {self.path}",
                allowed=", ".join(DTYPES),
                next_step="save it anew in fp32",
            )
        return self.stored[name].floats.astype(np.float64)


def _constant_layers(file: _File, names: Mapping[str, str]) -> Iterator[str]:
    """Layers that no training leaves: a weight of so many times the identity, or of ones."""
    for plain, name in names.items():
        layer, _, kind = plain.rpartition(".")
        if kind == "weight" and not _FACTOR.fullmatch(plain):
            weight = file.tensor(name)
            like = np.ones_like(weight) if weight.ndim < 2 else np.eye(*weight.shape)
            if min(weight.shape) > 1 and bool((weight == weight.flat[0] * like).all()):
                yield layer


def read_adapter_config(folder: Path, *more: str) -> Mapping[str, Any]:
    """The parsed ``adapter_config.json``.

    Args:
        folder: where it is.
        more: kinds of adapters that will do besides LoRA, as PEFT calls them.

    Raises:
        ArtefactError: it is missing, damaged, or of another method.
    """
    config = storage.read_json(folder / ADAPTER_CONFIG)
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind not in ("LORA", *more):
        raise ArtefactError(
            "adapters of this kind are not read" if more else "this is not a LoRA adapter",
            seen=f"peft_type {kind!r} in {folder / ADAPTER_CONFIG}",
            allowed=f"peft_type {', '.join(map(repr, ('LORA', *more)))}",
            next_step="give the folder of such an adapter",
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
def _opened(path: Path) -> Iterator[_File]:
    try:
        # The library looks more closely at a header than we do.
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        yield _File(path, shapes, map_tensors(path))
    except (OSError, SafetensorError, ModelError) as error:
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
