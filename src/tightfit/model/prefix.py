"""Frozen-prefix cache: what lies below the lowest adapter is computed once and kept on disk.

Those layers never change and draw nothing at random, so every epoch would compute the same states
again. They are stored in half precision: in bf16 where training computes in it, so that nothing
is lost; otherwise in fp16, whose 11 bits lose less than bf16's 8, and whose range suffices since a
layer's output has just been normalised.

A file holds 64 characters of fingerprint, then the states of all rows, longest row first, each
(tokens, H). Another model, tokenizer, data or number format gives another fingerprint.

Shapes: N rows, B rows of a batch, L tokens of its longest row, H hidden width.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import Batch, collate
from tightfit.data.tokens import Tokens
from tightfit.encoder.threads import side_by_side
from tightfit.model.lean import LeanEncoder

HEADER_BYTES = 64
"""A SHA-256 in hexadecimal."""


class PrefixStates:
    """The stored states of some rows, read through a memory map."""

    def __init__(self, path: Path, encoder: LeanEncoder, tokens: Tokens) -> None:
        """Open a file that :func:`store_prefix` wrote for these very rows."""
        self._dtype, self._hidden = stored_dtype(encoder), encoder.model.config.hidden_size
        self._pooled = encoder.prefix_is_pooled
        self._lengths_N = _stored_lengths(encoder, tokens)
        order_N = np.argsort(-tokens.lengths, kind="stable")
        self._starts_N = np.empty_like(order_N)
        self._starts_N[order_N] = np.cumsum(self._lengths_N[order_N]) - self._lengths_N[order_N]
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def of(self, batch: Batch) -> torch.Tensor:
        """The states ``x_BLH`` of a batch of these rows, on the CPU; zeros at padding."""
        rows = batch.rows_B.numpy()
        # Where only what the head reads is kept there is nothing to pad.
        longest = 1 if self._pooled else batch.ids_BL.shape[1]
        # NumPy has no bf16; the bits travel as integers.
        x_BLH = np.zeros((len(rows), longest, self._hidden), dtype=np.int16)
        stored = np.frombuffer(self._map, dtype=np.int16, offset=HEADER_BYTES)
        stored_TH = stored.reshape(-1, self._hidden)
        for i, row in enumerate(rows):
            start, length = self._starts_N[row], self._lengths_N[row]
            x_BLH[i, :length] = stored_TH[start : start + length]
        if hasattr(mmap, "MADV_DONTNEED"):
            # Pages once read would count as this process's memory for as long as it lives.
            self._map.madvise(mmap.MADV_DONTNEED)
        return torch.from_numpy(x_BLH).view(self._dtype)

    def close(self) -> None:
        """Let go of the file, so that it can be removed."""
        self._map.close()


def store_prefix(
    encoder: LeanEncoder,
    tokens: Tokens,
    folder: Path,
    *,
    batch: int,
    advance: Callable[[int], None] | None = None,
) -> PrefixStates:
    """The states of all rows, computed and written first where ``folder`` does not have them.

    One pass over rows of like length, before the first epoch: without gradients, padding and
    shuffling it costs less than these layers do within an epoch, and the file is whole or absent.

    Args:
        encoder: of which the layers below the lowest adapter are run.
        tokens: the rows.
        folder: where the file is, or shall be.
        batch: most rows of one forward pass.
        advance: told the number of rows done since the last call.

    Raises:
        OSError: the disk is full, or refuses; nothing half-written is left.
    """
    key = fingerprint(encoder, tokens)
    path = folder / f"{key[:16]}.states"
    size = HEADER_BYTES + prefix_bytes(encoder, tokens)
    if not _holds(path, key, size):
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    # A disk that is too small says so now, and not after the work is done.
                    os.posix_fallocate(file.fileno(), 0, size)
                file.write(key.encode())
                for part in _computed(encoder, tokens, batch, advance):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    elif advance is not None:
        advance(len(tokens))
    return PrefixStates(path, encoder, tokens)


def prefix_bytes(encoder: LeanEncoder, tokens: Tokens) -> int:
    """What the states of all rows take on disk."""
    states = int(_stored_lengths(encoder, tokens).sum())
    return states * int(encoder.model.config.hidden_size) * stored_dtype(encoder).itemsize


def stored_dtype(encoder: LeanEncoder) -> torch.dtype:
    """bf16 where the encoder computes in it, else fp16."""
    return torch.bfloat16 if encoder.dtype == torch.bfloat16 else torch.float16


def fingerprint(encoder: LeanEncoder, tokens: Tokens) -> str:
    """SHA-256, in hexadecimal, over all that the stored states depend on."""
    digest = hashlib.sha256()
    config, formats = encoder.model.config, (encoder.dtype, stored_dtype(encoder))
    digest.update(f"{encoder.frozen_depth} {formats} {config.to_json_string()}".encode())
    for name, tensor in encoder.model.base_model.named_parameters():
        if not tensor.requires_grad:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy())
    # What the tokenizer made of the texts stands for both.
    digest.update(tokens.ids.tobytes())
    digest.update(tokens.offsets.tobytes())
    if tokens.segments is not None:
        digest.update(tokens.segments.tobytes())
    return digest.hexdigest()


def _stored_lengths(encoder: LeanEncoder, tokens: Tokens) -> NDArray[np.int64]:
    """States kept of each row."""
    return np.ones_like(tokens.lengths) if encoder.prefix_is_pooled else tokens.lengths


def _holds(path: Path, key: str, size: int) -> bool:
    """Whether the file is there, whole, and of this fingerprint."""
    if not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return file.read(HEADER_BYTES) == key.encode()


def _computed(
    encoder: LeanEncoder, tokens: Tokens, batch: int, advance: Callable[[int], None] | None
) -> Iterator[memoryview]:
    """The bytes of the states, longest row first."""
    device = next(encoder.model.parameters()).device
    lengths_N = _stored_lengths(encoder, tokens)
    order = length_sorted(tokens, batch, encoder.padded_tokens)

    @torch.inference_mode()
    def compute(rows: list[int]) -> torch.Tensor:
        x_BLH = encoder.prefix(collate(tokens, rows).to(device))
        return x_BLH.to(stored_dtype(encoder)).cpu()

    found = side_by_side(compute, order) if encoder.spreads else map(compute, order)
    for rows, x_BLH in zip(order, found, strict=True):
        kept = [x_LH[: lengths_N[row]] for x_LH, row in zip(x_BLH, rows, strict=True)]
        yield torch.cat(kept).view(torch.int16).numpy().data
        if advance is not None:
            advance(len(rows))
