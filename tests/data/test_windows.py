"""Long texts in windows: all of the text is read, and a text has one answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.toy_setups import LABELS, SHORT, Notes, toy_job, toy_settings
from tests.toys import WORDS, toy_tokenizer, write_jsonl
from tightfit import Run, train
from tightfit.config import Decision
from tightfit.data.batches import collate
from tightfit.data.table import Table
from tightfit.data.text_tokenizer import MOST_WINDOWS, tokenise
from tightfit.data.tokens import Tokens
from tightfit.encoder.on_torch import all_logits
from tightfit.engines.engine import TorchEngine
from tightfit.model.classifier import predict_logits
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks.dataset import read_dataset
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.timing import rehearse

LENGTHS = [3, 40, 0, 8, 9, 21]
"""Words of each text; a window has room for eight."""
TEXTS = [" ".join((WORDS * 3)[:count]) for count in LENGTHS]


def windows_of(texts: list[str] = TEXTS) -> Tokens:
    """In windows of ten places, two of them marks."""
    return tokenise(toy_tokenizer(), texts, 10, long_text="windows")


def test_nothing_is_lost() -> None:
    """The windows' words, one after the other, are the text's, each window between its marks."""
    tokens, whole = windows_of(), tokenise(toy_tokenizer(), TEXTS, 1000)
    flat = tokens.flat
    assert tokens.truncated == 0
    assert tokens.owners.tolist() == [0, *[1] * 5, 2, 3, 4, 4, 5, 5, 5]
    for text in range(len(TEXTS)):
        parts = [flat.select([w]).ids for w in np.flatnonzero(tokens.owners == text).tolist()]
        assert all(len(part) <= 10 for part in parts)
        words = np.concatenate([part[1:-1] for part in parts])
        assert words.tolist() == whole.select([text]).ids[1:-1].tolist()


def test_short_texts_have_no_windows() -> None:
    """Then all is as if none had been asked for."""
    tokens, plain = windows_of(TEXTS[:1]), tokenise(toy_tokenizer(), TEXTS[:1], 10)
    assert tokens.windows is None
    assert tokens.flat is tokens
    assert tokens.ids.tolist() == plain.ids.tolist()


@pytest.mark.parametrize("text", ["goal " * 9 * MOST_WINDOWS, "goal " * 200_000, "x" * 900_000])
def test_a_very_long_text_is_cut_and_counted(text: str) -> None:
    """After the most windows that are read."""
    tokens = windows_of([text, "stock"])
    assert tokens.owners.tolist().count(0) <= MOST_WINDOWS
    assert tokens.truncated == 1


@given(st.lists(st.integers(0, len(TEXTS) - 1), max_size=9))
def test_texts_are_selected_with_their_windows(rows: list[int]) -> None:
    """As if only they had been read."""
    chosen, read = windows_of().select(rows), windows_of([TEXTS[row] for row in rows])
    assert chosen.ids.tolist() == read.ids.tolist()
    assert chosen.offsets.tolist() == read.offsets.tolist()
    assert chosen.flat.offsets.tolist() == read.flat.offsets.tolist()


@torch.inference_mode()
def test_a_text_answers_with_the_mean_of_its_windows(bert: Path) -> None:
    """Weighted by tokens, whoever computes: against one window at a time."""
    classifier = toy_job(bert).classifier
    classifier.module.eval()
    tokens = windows_of()
    flat = tokens.flat
    single_WK = np.concatenate([classifier.logits(collate(flat, [w])) for w in range(len(flat))])
    expected_NK = [
        np.average(single_WK[own], axis=0, weights=flat.lengths[own])
        for own in (np.flatnonzero(tokens.owners == text) for text in range(len(TEXTS)))
    ]
    found_NK = predict_logits(classifier, tokens, batch=4)
    np.testing.assert_allclose(found_NK, expected_NK, atol=1e-5)
    engine_NK = all_logits(TorchEngine(classifier.module), tokens)
    np.testing.assert_allclose(engine_NK, expected_NK, atol=1e-5)
    assert found_NK.dtype == np.float32


def test_every_window_is_a_row_to_train_on(bert: Path) -> None:
    """With its text's label; held-out texts stay whole, and no states are kept of them."""
    texts = [" ".join(["goal", "bank"][i % 2] for _ in range(40)) for i in range(16)]
    table = Table(texts, [LABELS[i % 2] for i in range(16)], source="long")
    config = toy_settings(bert, "data.long_text=windows", "data.validation_rows=2")
    config = config.with_values({"adapters.layers": 1})
    dataset = read_dataset(config, table, None, None)
    source, progress = locate(str(bert)), Notes()
    job = prepare(config, dataset, source, plan_for(config, source, 2), progress=progress)
    windows = len(job.train.targets)
    assert windows > len(dataset.train) == 14
    assert len(job.train.tokens) == windows
    assert job.train.tokens.windows is None
    assert len(job.validation.tokens) == len(job.validation.targets) == 2
    assert job.decisions.prefix_cache == Decision("off", "texts have several windows")
    assert job.token_facts().truncated == 0


def test_a_rehearsal_times_windows(bert: Path) -> None:
    """Each as a row of its own: all of a text at once is more than the encoder has places for."""
    texts = ["goal bank " * 75, "bank goal " * 75] * 8
    table = Table(texts, [LABELS[i % 2] for i in range(16)], source="long")
    config = toy_settings(bert, "data.long_text=windows", "data.validation_rows=2")
    dataset = read_dataset(config, table, None, None)
    source = locate(str(bert))
    job = prepare(config, dataset, source, plan_for(config, source, 2), progress=Notes())
    assert job.validation.tokens.lengths.max() > 64
    assert rehearse(job).evaluation > 0


def test_a_run_reads_windows_from_training_to_prediction(bert: Path, tmp_path: Path) -> None:
    """The only word that tells stands behind the first window."""
    tails = [["goal", "bank"][i % 2] for i in range(80)]
    rows = [{"text": "the of in " * 14 + tail, "label": tail} for tail in tails]
    settings = [*SHORT, "data.long_text=windows", "optim.lr=2e-2", "optim.epochs=8"]
    run = train(
        write_jsonl(tmp_path / "rows.jsonl", rows),
        model=str(bert),
        out=tmp_path / "run",
        settings=settings,
        progress=Progress(),
    ).run
    loaded = Run.load(run)
    assert loaded.config.data.long_text == "windows"
    assert loaded.predict([rows[0]["text"], rows[1]["text"]]).labels == ["goal", "bank"]
