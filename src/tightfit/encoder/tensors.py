"""Tensors of safetensors files, mapped and not read: only pages that are used take memory."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.shapes import damaged_weights, safetensors_header

Format = Literal["F64", "F32", "F16", "BF16"]

DTYPES: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Formats of weights; numpy has no bf16, whose bits are the upper half of fp32's."""


@dataclass(frozen=True, eq=False)
class Stored:
    """One tensor as its file holds it."""

    raw: NDArray[Any]
    format: Format = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.raw.shape

    @cached_property
    def floats(self) -> NDArray[np.float32]:
        """All of it in fp32: a view of the file, or one copy where the file has another format."""
        return _floats(self.raw, self.format)

    def rows(self, ids_T: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows in fp32; the others are not touched."""
        return _floats(self.raw[ids_T], self.format)


def map_tensors(file: Path) -> dict[str, Stored]:
    """Every tensor of weights in a file, by name.

    Raises:
        ModelError: the file is cut short or not of this format.
        OSError: it cannot be read.
    """
    header = safetensors_header(file)
    with file.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return {
            name: _stored(mapped[start:], entry)
            for name, entry in header.items()
            if entry["dtype"] in DTYPES
        }
    except (ValueError, TypeError, LookupError) as error:
        raise damaged_weights(file, f"a header that contradicts itself: {error}") from error


def _stored(data: memoryview, entry: Mapping[str, Any]) -> Stored:
    begin, end = entry["data_offsets"]
    shape, dtype = tuple(entry["shape"]), np.dtype(DTYPES[entry["dtype"]])
    if end - begin != prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin:,} bytes for {shape} of {entry['dtype']}")
    raw = np.frombuffer(data[begin:end], dtype).reshape(shape)
    # A header may have any length; what does not begin where a processor reads it is copied.
    return Stored(np.require(raw, requirements="A"), cast(Format, entry["dtype"]))


def _floats(raw: NDArray[Any], form: Format) -> NDArray[np.float32]:
    if form == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False)
