"""Digests of texts: what is kept is found again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tightfit.data import text_digests as module
from tightfit.data.text_digests import read_text_digests, text_digests, write_text_digests
from tightfit.data.text_pair import TextPair
from tightfit.errors import ArtefactError

TEXTS = ["one two", "three", "half \ud83d", TextPair("one", "two")]


def test_only_the_spacing_makes_no_difference() -> None:
    """A pair is another text than its two put together."""
    one, *_, pair = text_digests(TEXTS).tolist()
    assert text_digests([" one\n two", "One two"])[0] == one
    assert len({one, pair, *text_digests(["One two"]).tolist()}) == 3


def test_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, each once; of too many none."""
    path, digests = tmp_path / "digests.npy", text_digests([*TEXTS, *TEXTS])
    write_text_digests(path, digests)
    found = read_text_digests(path)
    assert found is not None
    assert found.tolist() == sorted({*digests.tolist()})
    monkeypatch.setattr(module, "MOST_DIGESTS", 3)
    write_text_digests(tmp_path / "none.npy", digests)
    assert read_text_digests(tmp_path / "none.npy") is None


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """No pickle is read, either."""
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(b"nothing")
    for path in tmp_path.iterdir():
        with pytest.raises(ArtefactError, match="is damaged"):
            read_text_digests(path)
