"""Tokens kept between runs: found only where nothing differs, and never needed."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_setups import toy_job
from tests.toys import toy_tokenizer
from tightfit.config import KeptText
from tightfit.data import token_cache
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.token_cache import TokenCache, fingerprint
from tightfit.data.tokens import Tokens
from tightfit.errors import MachineError

TEXTS = ["goal match", "", "market shares " * 20, 'é, "quoted"\n🎉']
LENGTH = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where entries go; texts of any size are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(token_cache, "MANY_CHARACTERS", 0)
    return tmp_path / "tightfit" / "tokens"


def cached(texts: list[str] = TEXTS, most: int = 10**6, **more: Any) -> Tokens:
    """Tokens by way of a cache that must not warn."""
    cache = TokenCache(most, lambda text: pytest.fail(text))
    return cache.tokenise(toy_tokenizer(), texts, LENGTH, **more)


def same(one: Tokens, other: Tokens) -> bool:
    """In every part."""
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Tokens)]
    return all(np.array_equal(a, b) if a is not None else b is None for a, b in pairs)


@pytest.mark.parametrize("long_text", ["head", "head+tail", "windows"])
def test_what_is_found_is_what_was_made(
    folder: Path, long_text: KeptText, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time without a tokenizer's work, and the bar still moves."""
    plain = tokenise(toy_tokenizer(), TEXTS, LENGTH, long_text=long_text)
    assert same(cached(long_text=long_text), plain)
    monkeypatch.setattr(token_cache, "tokenise", None)
    done: list[int] = []
    assert same(cached(long_text=long_text, advance=done.append), plain)
    assert sum(done) == len(TEXTS)


def test_all_that_tokens_depend_on_is_in_the_fingerprint() -> None:
    """Other texts, other cuts between them, another length, tokenizer or way to cut."""
    tokenizer = toy_tokenizer()
    other = toy_tokenizer()
    other.add_tokens(["goalkeeper"])
    keys = {
        fingerprint(tokenizer, TEXTS, LENGTH, "head"),
        fingerprint(tokenizer, TEXTS[::-1], LENGTH, "head"),
        fingerprint(tokenizer, ["".join(TEXTS)], LENGTH, "head"),
        fingerprint(tokenizer, TEXTS, LENGTH - 1, "head"),
        fingerprint(tokenizer, TEXTS, LENGTH, "windows"),
        fingerprint(other, TEXTS, LENGTH, "head"),
    }
    assert len(keys) == 6


def test_an_earlier_call_does_not_change_the_fingerprint() -> None:
    """A tokenizer remembers how it last cut and padded."""
    tokenizer = toy_tokenizer()
    before = fingerprint(tokenizer, TEXTS, LENGTH, "head")
    tokenise(tokenizer, TEXTS, LENGTH)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=5)
    assert fingerprint(tokenizer, TEXTS, LENGTH, "head") == before


def test_a_damaged_entry_is_made_again(folder: Path) -> None:
    """Whichever byte was hit, and also when it is cut short or empty."""
    plain = cached()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    harm = [content[:-1], content[: len(content) // 2], b"", b"{}"]
    for place in range(0, len(content), 23):
        harm.append(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    for damaged in harm:
        path.write_bytes(damaged)
        assert same(cached(), plain)


def test_small_data_leave_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a limit of nothing, or one that a single entry exceeds."""
    cached(most=0)
    cached(most=100)
    monkeypatch.setattr(token_cache, "MANY_CHARACTERS", 10**6)
    cached()
    assert not folder.exists()


def test_what_was_used_least_recently_goes_first(folder: Path) -> None:
    """A look at an entry counts as use."""
    texts = [["goal"], ["match"], ["market"]]
    paths: list[Path] = []
    for number, each in enumerate(texts[:2]):
        cached(each)
        (new,) = set(folder.iterdir()) - set(paths)
        paths.append(new)
        os.utime(new, (number, number))
    cached(texts[0])
    cached(texts[2], most=int(2.5 * paths[0].stat().st_size))
    assert paths[0].exists()
    assert not paths[1].exists()


def test_the_folder_is_its_user_s_alone(folder: Path) -> None:
    """Texts can be read off their tokens."""
    cached()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_full_disk_is_told_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all goes on."""

    def full(path: Path, content: bytes) -> None:
        raise MachineError("the file cannot be written", seen=os.strerror(errno.ENOSPC))

    monkeypatch.setattr(token_cache, "write_bytes", full)
    warnings: list[str] = []
    cache = TokenCache(10**6, warnings.append)
    for texts in (TEXTS, TEXTS[:2]):
        found = cache.tokenise(toy_tokenizer(), texts, LENGTH)
        assert same(found, tokenise(toy_tokenizer(), texts, LENGTH))
    assert len(warnings) == 1
    assert "No space left" in warnings[0]


def test_a_job_uses_it(bert: Path, folder: Path) -> None:
    """Training rows and held-out rows have an entry each; settings turn it off."""
    toy_job(bert, "data.token_cache_gb=0")
    assert not folder.exists()
    first, again = toy_job(bert), toy_job(bert)
    assert len(list(folder.iterdir())) == 2
    assert same(first.train.tokens, again.train.tokens)
    assert same(first.validation.tokens, again.validation.tokens)
