"""A graph with the side head of pairs inside, against the run that it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModel

from tests.data.test_pair_tokens import random_pairs
from tests.exporting.test_vocabulary import unigram
from tests.exports import LENGTH, by_itself, toy_run, wide_encoder
from tests.toys import SMALL, toy_config
from tightfit import Run
from tightfit.data.text_pair import TextPair
from tightfit.errors import ProofError
from tightfit.exporting import exporter, pair_graph
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.pair_graph import put_side
from tightfit.families import FAMILIES
from tightfit.model.pair_reader import PairReader
from tightfit.model.side_head import SideHead

PAIRS = [TextPair("", ""), *random_pairs(30, 40)]
"""Some are cut, and one has nothing but special tokens."""

ROWS = ComparedRows(PAIRS, None, "toys")


def run_of(folder: Path, encoder: Path, **options: Any) -> Run:
    """A run of random weights, with a side head of random weights that matters."""
    run = Run.load(toy_run(encoder, folder / "run", "data.pair=true"), **options)
    reader = PairReader.of(run.base, lambda texts: run.model.tokens(texts, LENGTH))
    chance = np.random.default_rng(0)
    weight_FK, bias_K = chance.normal(size=(reader.width, 3)), chance.normal(size=3)
    drawn = weight_FK.astype(np.float32), bias_K.astype(np.float32)
    side = SideHead(*drawn, reader, kept=0.75)
    assert np.ptp(side.logits(PAIRS), axis=0).min() > 1
    return run.with_parts(side=side, predictor=replace(run.predictor, side=side))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One on BERT; not to be changed."""
    folder = tmp_path_factory.mktemp("bert")
    return run_of(folder, wide_encoder(folder / "encoder"))


@pytest.mark.parametrize("family", sorted(name for name in SMALL if FAMILIES[name].inside))
def test_a_graph_answers_as_the_run_does(family: str, tmp_path: Path) -> None:
    """Of every family whose frozen encoder reads texts apart; single texts have a cut of their own,
    and answers are nothing that the folder leaves out."""
    encoder, out = wide_encoder(tmp_path / "encoder", family), tmp_path / "out"
    run = run_of(tmp_path, encoder, max_length=24)
    found = export(run, "onnx", out, ROWS)
    assert found.parity.max_abs_difference < 1e-4
    assert found.without_side is None
    assert "single_input_ids" in (out / "README.md").read_text("utf-8")
    pairs = [pair for pair in PAIRS if pair.strip()]
    told, wanted = by_itself(out, pairs), run.predict(pairs)
    assert [label for label, _ in told] == wanted.labels
    assert np.abs(np.array([float(score) for _, score in told]) - wanted.confidence).max() < 1e-3


def test_a_mean_without_a_block_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a family whose configuration does not say how exact its norms are."""
    monkeypatch.setattr(pair_graph, "mean_block", lambda *_: {})
    run = run_of(tmp_path, wide_encoder(tmp_path / "encoder", "distilbert"), max_length=24)
    found = export(run, "onnx", tmp_path / "out", ROWS)
    assert found.parity.max_abs_difference < 1e-4
    assert found.without_side is None


def test_a_vocabulary_is_cut_for_both_encoders(tmp_path: Path) -> None:
    """One table of words, and the same answers."""
    config = toy_config("xlm-roberta", vocab_size=len(unigram()) + 7, initializer_range=0.3)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path / "encoder")
    unigram().save_pretrained(tmp_path / "encoder")
    run, out = run_of(tmp_path, tmp_path / "encoder"), tmp_path / "out"
    found = export(run, "onnx", out, replace(ROWS, trained=PAIRS[:9]), used=True)
    assert found.vocabulary is not None
    shapes = [tuple(each.dims) for each in onnx.load(out / "model.onnx").graph.initializer]
    assert shapes.count((found.vocabulary.kept, 32)) == 1
    told = [label for label, _ in by_itself(out, PAIRS[1:9])]
    assert told == run.predict(PAIRS[1:9]).labels


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_what_both_encoders_have_in_common_is_stored_once(
    form: Any, run: Run, tmp_path: Path
) -> None:
    """Their table of words, and no tensor twice; one file has it all."""
    export(run, form, tmp_path, ROWS)
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["model.onnx"]
    tensors = map(onnx.numpy_helper.to_array, onnx.load(tmp_path / "model.onnx").graph.initializer)
    stored = [(array.shape, array.dtype.name, array.tobytes()) for array in tensors]
    assert len(stored) == len(set(stored))
    words = run.classifier.module.get_input_embeddings().weight.shape
    assert [shape for shape, *_ in stored].count(tuple(words)) == 1
    wanted = run.predict(PAIRS[1:9]).labels
    told = [label for label, _ in by_itself(tmp_path, PAIRS[1:9])]
    agreement = np.mean([a == b for a, b in zip(told, wanted, strict=True)])
    assert agreement == 1 or (form == "onnx-int8" and agreement > 0.8)


@pytest.mark.parametrize(
    ("form", "words"),
    [("onnx", "pairs and their side head"), ("onnx-int8", "int8 costs too much accuracy")],
)
def test_one_that_answers_otherwise_is_refused(
    form: Any, words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong with the side head alone."""
    assert run.side is not None
    other = run.with_parts(side=run.side.times(-1, kept=run.side.kept))
    monkeypatch.setattr(exporter, "put_side", lambda _, *more: put_side(other, *more))
    with pytest.raises(ProofError, match=words):
        export(run, form, tmp_path, ROWS)
