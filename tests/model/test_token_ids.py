"""A tokenizer of another model is refused before anything is trained, with both sizes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT, Notes, toy_classifier
from tests.toys import toy_encoder, toy_tokenizer
from tightfit.errors import ModelError
from tightfit.model.artefact import save_artefact
from tightfit.model.encoders import load_tokenizer
from tightfit.model.locate import locate


def more_tokens(encoder: Path, folder: Path) -> Path:
    """The same encoder with a tokenizer that has three tokens more than it has embeddings."""
    shutil.copytree(encoder, folder)
    tokenizer = toy_tokenizer()
    tokenizer.add_tokens(["one", "two", "three"])
    tokenizer.save_pretrained(folder)
    return folder


def other_settings(encoder: Path, folder: Path, **values: Any) -> Path:
    """The same encoder with other values in its ``config.json``."""
    shutil.copytree(encoder, folder)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return folder


CALLS: dict[str, Callable[[Path, Path, Path], Any]] = {
    "plan": lambda model, rows, out: tightfit.plan(str(model), settings=SHORT),
    "train": lambda model, rows, out: tightfit.train(
        rows, model=str(model), out=out / "run", settings=SHORT, progress=Notes()
    ),
    "dry_run": lambda model, rows, out: tightfit.dry_run(
        rows, model=str(model), settings=SHORT, progress=Notes()
    ),
    "import_adapter": lambda model, rows, out: tightfit.import_adapter(
        out / "adapter", str(model), out=out / "run", progress=Notes()
    ),
}
"""Whatever takes the folder of an encoder."""


@pytest.mark.parametrize("name", CALLS)
def test_more_tokens_than_embeddings(
    name: str, bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """It would end in an index error at the first text that has one of the tokens."""
    save_artefact(toy_classifier(bert), tmp_path / "adapter")
    model = more_tokens(bert, tmp_path / "model")
    with pytest.raises(ModelError, match=r"more tokens than[\s\S]*31 tokens, 28 embeddings"):
        CALLS[name](model, rows_file, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("pad", [28, -1, 5_000])
def test_padding_without_an_embedding(
    pad: int, bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """``transformers`` ends in an AssertionError where it makes the table."""
    model = other_settings(bert, tmp_path / "model", pad_token_id=pad)
    with pytest.raises(ModelError, match=rf"pads with[\s\S]*pad_token_id {pad}, 28 embeddings"):
        CALLS["train"](model, rows_file, tmp_path)


def test_the_command_says_so_at_once(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Exit 6."""
    model = more_tokens(bert, tmp_path / "model")
    result = cli("train", "--data", str(rows_file), "--model", str(model))
    assert result.exit_code == 6
    assert "resize_token_embeddings" in result.stderr


def test_a_table_with_rows_to_spare_is_fine(bert: Path, tmp_path: Path) -> None:
    """Many are rounded up to a multiple of 64."""
    assert locate(str(toy_encoder(tmp_path / "model", vocab_size=64))).shapes(2)


@pytest.mark.parametrize("content", ["{", '{"model": {}}', '{"model": {"vocab": [[1]]}}', "[]"])
def test_a_strange_tokenizer_does_not_keep_from_planning(
    content: str, bert: Path, tmp_path: Path
) -> None:
    """Whoever needs it says what is wrong with it."""
    model = other_settings(bert, tmp_path / "model")
    (model / "tokenizer.json").write_text(content)
    assert tightfit.plan(str(model), settings=SHORT).total


def test_a_tokenizer_without_that_file_is_counted_once_it_is_loaded(
    bert: Path, tmp_path: Path
) -> None:
    """By the tokens that ``transformers`` gives it."""
    model = other_settings(bert, tmp_path / "model", tokenizer_class="BertTokenizer")
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").unlink()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (model / "vocab.txt").write_text("\n".join([*special, *map(str, range(40))]))
    with pytest.raises(ModelError, match="45 tokens, 28 embeddings"):
        load_tokenizer(locate(str(model)))
