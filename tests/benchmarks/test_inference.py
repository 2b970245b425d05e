"""The comparison of predicting: its arithmetic, its table, and every side on a toy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import inference
from benchmarks.inference import PUBLISHED, REFERENCE, Answers, options, sides_of
from benchmarks.machine import Process

from tests import warm
from tests.exports import LENGTH, toy_run, toy_texts, wide_encoder
from tests.toys import write_jsonl
from tightfit import Run

TRUTH = [0, 1, 2, 3]

SMALL = ["--batch-sizes", "8", "--threads", "1"]
SMALL += ["--without", PUBLISHED, "torch-bf16", "onnx-int8", "cascade-auto"]


def run_of(labels: list[int], seconds: float, whole: float = 10.0) -> tuple[Process, Answers]:
    """A made-up run."""
    return Process(whole, whole, 10**9), Answers(labels, seconds)


RUNS = {
    REFERENCE: [run_of([0, 1, 2, 0], 1.0), run_of([0, 1, 2, 0], 3.0, 20.0)],
    "onnx-int8": [run_of([0, 1, 1, 3], 0.5)],
    "pipeline-1": [run_of([0, 1, 2, 0], 8.0)],
    "pipeline-32": [run_of([0, 1, 2, 0], 4.0)],
    PUBLISHED: [run_of([0, 1, 2, 0], 16.0)],
}


def test_medians_labels_and_a_paired_difference() -> None:
    """Against the truth, and against what the reference answers."""
    torch, int8, *_ = inference.summarise(RUNS, TRUTH)
    assert (torch.seconds, torch.rows_per_second, torch.steady_rows) == (15.0, 4 / 15, 2.0)
    assert (torch.same_labels, torch.accuracy, torch.paired.difference) == (1.0, 0.75, 0.0)
    assert (int8.same_labels, int8.accuracy, int8.steady_rows) == (0.5, 0.75, 8.0)
    assert (int8.paired.only_ours, int8.paired.only_theirs) == (1, 1)


def test_the_best_pipeline_counts() -> None:
    """Twice the speed of the better batch size, eight times that of the published way."""
    sides = sides_of(options(["--batch-sizes", "1", "32"]))
    lines = inference.results_table(inference.summarise(RUNS, TRUTH), sides).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| 2.0 | 2.00x | 8.00x | 1,000 | 100.00% | 75.00% |  |" in lines[2]
    assert "tightfit, ONNX Runtime int8" in lines[3]
    assert "| 8.00x | 32.00x | 1,000 | 50.00% | 75.00% | +0.00 (" in lines[3]
    assert "pipeline, batches of 32" in lines[5]
    assert "| 1.00x | 4.00x |" in lines[5]


def test_sides_can_be_left_out() -> None:
    """By the names that the help lists."""
    sides = sides_of(options(["--batch-sizes", "8", "--without", "onnx", PUBLISHED]))
    assert {"pipeline-8", "auto", REFERENCE} < set(sides)
    assert not {"onnx", PUBLISHED, "pipeline-32"} & set(sides)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_sides_answer_and_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a toy without validation rows, whose cascade is refused with the reason."""
    run = toy_run(wide_encoder(tmp_path / "toy"), tmp_path / "run", f"data.max_length={LENGTH}")
    texts = [text or "the" for text in toy_texts(120)]
    labels = Run.load(run).predict(texts).ids
    named = [{"text": text, "label": i} for text, i in zip(texts, labels, strict=True)]
    data = write_jsonl(tmp_path / "rows.jsonl", named)
    words = ["--run", str(run), "--data", str(data), "--rows", "110", *SMALL]
    out, found = tmp_path / "RESULTS.md", tmp_path / "found.json"
    monkeypatch.setattr(inference, "run_process", warm.run_process)
    inference.main([*words, "--out", str(out), "--json", str(found)])
    told: list[dict[str, Any]] = json.loads(found.read_text())
    assert [each["side"] for each in told] == [REFERENCE, "onnx", "auto", "pipeline-8"]
    assert all(each["accuracy"] == 1.0 and each["steady_rows"] > 0 for each in told)
    assert "Not for this run: tightfit, fp32 and cascade: the run has no validation rows" in (
        " ".join(out.read_text().split())
    )
