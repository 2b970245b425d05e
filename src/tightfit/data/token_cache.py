"""Token ids of large data sets, kept between runs: seeds, comparisons and resumed runs read the
same texts again.

An entry is named by a fingerprint of all that its content depends on, so that another tokenizer,
length or text never finds it, and begins with the digest of its content. Texts can be read off
their tokens: the folder is its user's alone.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from tightfit.config import KeptText
from tightfit.data.text_pair import texts_sha256
from tightfit.data.text_tokenizer import (
    CHARACTERS_A_TOKEN,
    MOST_WINDOWS,
    SPARE_TOKENS,
    digest_of_rules,
    tokenise,
)
from tightfit.data.tokens import Tokens
from tightfit.storage.files import machine_errors, only_kept, write_bytes
from tightfit.user_cache import user_cache

MANY_CHARACTERS = 4_000_000
"""Texts of fewer are tokenised again: that takes some five seconds on one core."""

SUFFIX = ".tokens"

FORMAT = 2
"""Of an entry, and of the ways in which texts are cut; counted on when either changes."""


class TokenCache:
    """Tokenises what it has not seen, and finds the rest."""

    def __init__(self, most_bytes: int, warn: Callable[[str], None]) -> None:
        """A cache in the folder that the operating system has for such things.

        Args:
            most_bytes: of all entries together; what was used least recently goes first. 0 keeps
                and finds nothing.
            warn: told, once, that the cache cannot be used; all goes on without it.
        """
        self._most_bytes = most_bytes
        self._warn = warn

    def tokenise(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        max_length: int,
        *,
        long_text: KeptText = "head",
        advance: Callable[[int], None] | None = None,
    ) -> Tokens:
        """What :func:`tightfit.data.text_tokenizer.tokenise` gives, or gave in an earlier run."""
        small = sum(map(len, texts)) < MANY_CHARACTERS
        needed = not small and self._most_bytes and tokenizer.is_fast
        folder = self._folder() if needed else None
        if folder is None:
            return tokenise(tokenizer, texts, max_length, long_text=long_text, advance=advance)
        key = fingerprint(tokenizer, texts, max_length, long_text)
        path = folder / f"{key}{SUFFIX}"
        found = _read(path)
        if found is not None:
            if advance is not None:
                advance(len(texts))
            return found
        tokens = tokenise(tokenizer, texts, max_length, long_text=long_text, advance=advance)
        with only_kept("tokens are", self._warn_once):
            self._keep(path, tokens)
        return tokens

    def _folder(self) -> Path | None:
        """Where entries go; None where the user has no place for them."""
        with only_kept("tokens are", self._warn_once):
            return user_cache() / "tokens"
        return None

    def _warn_once(self, text: str) -> None:
        self._most_bytes = 0
        self._warn(text)

    def _keep(self, path: Path, tokens: Tokens) -> None:
        content = _content(tokens)
        if len(content) > self._most_bytes:
            return
        with machine_errors(path.parent, "make"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(path, content)
        with machine_errors(path.parent, "tidy"):
            entries = [(entry, entry.stat()) for entry in path.parent.glob(f"*{SUFFIX}")]
            total = 0
            for entry, stat in sorted(entries, key=lambda pair: -pair[1].st_mtime_ns):
                total += stat.st_size
                if total > self._most_bytes:
                    entry.unlink(missing_ok=True)


def fingerprint(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, long_text: KeptText
) -> str:
    """SHA-256, in hexadecimal, over all that the tokens depend on."""
    libraries = [version(name) for name in ("tokenizers", "transformers")]
    cutting = [CHARACTERS_A_TOKEN, SPARE_TOKENS, MOST_WINDOWS, max_length, long_text]
    sides = [tokenizer.pad_token_id, tokenizer.truncation_side, tokenizer.model_input_names]
    rules = digest_of_rules(tokenizer.backend_tokenizer, [FORMAT, libraries, cutting, sides])
    return texts_sha256(texts, rules.encode())


def _content(tokens: Tokens) -> bytes:
    """NumPy's archive, behind its digest."""
    numbers = np.array([tokens.truncated, tokens.max_length, tokens.pad_id])
    parts: dict[str, Any] = {"ids": tokens.ids, "offsets": tokens.offsets, "numbers": numbers}
    parts |= {"windows": tokens.windows, "segments": tokens.segments}
    file = io.BytesIO()
    np.savez(file, **{name: part for name, part in parts.items() if part is not None})
    return hashlib.sha256(file.getvalue()).digest() + file.getvalue()


def _read(path: Path) -> Tokens | None:
    """An entry; None where it is absent, or no longer what was written."""
    try:
        content = path.read_bytes()
        os.utime(path)  # the least recently used goes first
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    if hashlib.sha256(content[size:]).digest() != content[:size]:
        return None
    with np.load(io.BytesIO(content[size:])) as parts:
        truncated, max_length, pad_id = parts["numbers"].tolist()
        may_lack = {name: parts[name] for name in ("windows", "segments") if name in parts}
        return Tokens(parts["ids"], parts["offsets"], truncated, max_length, pad_id, **may_lack)
