"""Exports of runs on pairs: what plain transformers, PEFT and ONNX Runtime make of two texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from transformers import AutoTokenizer, pipeline

from tests.data.test_pair_tokens import random_pairs
from tests.exports import NAMES, by_itself, toy_run, wide_encoder
from tests.toys import SMALL
from tightfit import Run, import_adapter
from tightfit.data.text_pair import TextPair
from tightfit.errors import ProofError
from tightfit.exporting import formats
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import FORMATS
from tightfit.families import reads_segments
from tightfit.families.sizes import read_object
from tightfit.progress import Progress
from tightfit.verbs.write_export import _sample_texts

PAIRS = [TextPair("", ""), *random_pairs(30, 40)]
"""Some are cut, and one has nothing but special tokens."""

ROWS = ComparedRows(PAIRS, None, "toys")

Runs = Callable[[str], Run]

families = pytest.mark.parametrize("family", sorted(SMALL))


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A loaded run on pairs of a family, each made once."""
    root = tmp_path_factory.mktemp("runs")

    def make(family: str) -> Run:
        encoder = wide_encoder(root / family, family)
        return Run.load(toy_run(encoder, root / f"run-{family}", "data.pair=true"))

    return cache(make)


@families
def test_merged_models_serve_pairs_in_a_plain_pipeline(
    family: str, runs_of: Runs, tmp_path: Path
) -> None:
    """By their scores, to 1e-5: with segments where the family is told them, and only there.

    An empty second text alone is no pair to transformers, though it is one in a list of several.
    """
    pairs = [pair for pair in PAIRS if pair.second]
    run = runs_of(family)
    export(run, "merged", tmp_path, ROWS)
    served = pipeline("text-classification", str(tmp_path), top_k=None)
    given: Any = [{"text": pair.first, "text_pair": pair.second} for pair in pairs]
    answers = [served(each, truncation=True) for each in given]
    found = [
        [row["score"] for name in NAMES for row in each if row["label"] == name] for each in answers
    ]
    wanted = run.task.probabilities(run.predictor.logits(pairs))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    names = AutoTokenizer.from_pretrained(tmp_path).model_input_names
    assert ("token_type_ids" in names) == reads_segments(read_object(tmp_path / "config.json"))


@families
def test_graphs_have_segments_where_the_family_has(
    family: str, runs_of: Runs, tmp_path: Path
) -> None:
    """As an input; the comparison with the run is on pairs and on random segments."""
    exported = export(runs_of(family), "onnx", tmp_path, ROWS)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    told = reads_segments(read_object(tmp_path / "config.json"))
    names = ["input_ids", "attention_mask", *["token_type_ids"] * told]
    assert [each.name for each in session.get_inputs()] == names
    assert exported.parity.rows > len(PAIRS)
    assert exported.parity.max_abs_difference < 1e-4


@pytest.mark.parametrize("form", FORMATS)
def test_the_example_answers_a_pair_a_line(form: Any, runs_of: Runs, tmp_path: Path) -> None:
    """As the run does, in every format; a line of one text is told, not read by itself."""
    run = runs_of("bert")
    export(run, form, tmp_path, ROWS)
    pairs = [pair for pair in PAIRS if pair.strip()][:8]
    told = [label for label, _ in by_itself(tmp_path, pairs)]
    agreement = np.mean([a == b for a, b in zip(told, run.predict(pairs).labels, strict=True)])
    assert agreement == 1 or (form == "onnx-int8" and agreement > 0.8)
    with pytest.raises(AssertionError, match="line 2 is not two texts with a tab between"):
        by_itself(tmp_path, [pairs[0], "one text"])


def test_an_adapter_that_comes_back_reads_pairs(runs_of: Runs, tmp_path: Path) -> None:
    """Both texts joined would be another text, and its answers others."""
    run = runs_of("bert")
    export(run, "peft", tmp_path / "out", ROWS)
    made = import_adapter(
        tmp_path / "out", run.base.name, out=tmp_path / "run", progress=Progress()
    )
    again = Run.load(made.run)
    assert again.config.data.pair
    pairs = [(pair.first, pair.second) for pair in PAIRS]
    found, wanted = (each.predict(pairs).probabilities for each in (again, run))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_tokenizer_that_loses_segments_is_refused(
    runs_of: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens may be the same."""
    kept = formats._write_tokenizer

    def without_segments(run: Run, folder: Path) -> None:
        kept(run, folder)
        file = folder / "tokenizer_config.json"
        file.write_text(file.read_text().replace('"token_type_ids"', '"input_ids"'))

    monkeypatch.setattr(formats, "_write_tokenizer", without_segments)
    with pytest.raises(ProofError, match="other tokens than the run's"):
        export(runs_of("bert"), "merged", tmp_path, ROWS)


def test_where_no_rows_are_at_hand_texts_of_the_sample_are_paired() -> None:
    """Each with the next."""
    pairs = _sample_texts(pair=True)
    assert all(isinstance(pair, TextPair) for pair in pairs)
