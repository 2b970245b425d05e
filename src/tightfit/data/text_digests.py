"""Digests of texts: whether a run was trained on a text can be told of it without keeping texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tightfit.data.checks.repeats import text_key
from tightfit.storage.files import damaged, read_bytes, write_bytes

BYTES = 8
"""Of a digest: among a million others a new text is taken for one once in 10^13 times."""

MOST_DIGESTS = 4_000_000
"""That are kept, 32 MB; of more none are."""


def text_digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of each text, in their order; alike where all but the spacing is."""
    keys = (text_key(text).encode("utf-8", "surrogatepass") for text in texts)
    digests = b"".join(hashlib.blake2b(key, digest_size=BYTES).digest() for key in keys)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_text_digests(path: Path, digests: NDArray[np.uint64]) -> None:
    """Keep digests, each once, unless they are too many.

    Raises:
        MachineError: they cannot be written.
    """
    kept = np.unique(digests)
    if len(kept) > MOST_DIGESTS:
        return
    buffer = BytesIO()
    np.save(buffer, kept, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_text_digests(path: Path) -> NDArray[np.uint64] | None:
    """What :func:`write_text_digests` kept, in ascending order; None where it kept none.

    Raises:
        ArtefactError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        found = np.load(BytesIO(read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise damaged(path, str(error)) from error
    return np.asarray(found, dtype=np.uint64)
