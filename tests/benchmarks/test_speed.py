"""The speed comparison: its arithmetic, its table, and both sides on a toy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import speed, step
from benchmarks.machine import Process, ceiling, run_process
from benchmarks.results import table, write_section
from benchmarks.sides import BASELINE, SAME_WORK, SIDES, Figures
from benchmarks.speed import Run, options, results_table, summarise, write_rows

from tests import warm
from tests.toy_setups import toy_classifier
from tests.toys import toy_encoder, toy_rows, write_jsonl
from tightfit.budget.published import published_config
from tightfit.budget.shapes import encoder_shapes

FIGURES = Figures(
    examples=100,
    tokens=5_000,
    step_seconds=10.0,
    accuracy=0.9,
    history=[(1.0, 0.3), (6.0, 0.8), (12.0, 0.9)],
    began=1_002.0,
    padding=0.02,
    format="fp32",
)


def run_of(seconds: float = 20.0, side: str = "tightfit", **changes: Any) -> Run:
    """A made-up run."""
    process = Process(seconds, 2 * seconds, 10**9, started=1_000.0)
    return Run(side, process, replace(FIGURES, **changes))


def test_operations_are_counted_once_forward_and_once_backward() -> None:
    """The embedded model has 10.6 million weights in its linear layers: 42.5 million a token."""
    config = published_config("all-MiniLM-L6-v2")
    assert config is not None
    shapes = encoder_shapes(config, 4, None)
    weights = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    counted = {name: side.operations(shapes) / weights for name, side in SIDES.items()}
    assert counted["tightfit"] == counted[BASELINE] == 4
    assert counted["upper-cached"] == 2
    assert counted["upper-uncached"] == 3


def test_medians_and_shares() -> None:
    """500 tokens a second of 40 operations are a fifth of 100,000 a second."""
    runs = [run_of(20.0), run_of(30.0, step_seconds=20.0), run_of(10.0)]
    found = summarise(runs, operations=40, best_product=100_000, target=0.8)
    assert (found.seconds, found.cpu_seconds, found.peak_bytes) == (20.0, 40.0, 10**9)
    assert (found.rows_per_second, found.steady_rows, found.steady_tokens) == (5.0, 10.0, 500.0)
    assert found.share == pytest.approx(0.2)
    assert found.target_seconds == 2.0 + 6.0


@pytest.mark.parametrize(("misses", "seconds"), [(1, 8.0), (2, None)])
def test_a_target_that_is_mostly_missed_has_no_time(misses: int, seconds: float | None) -> None:
    """A median over the lucky runs alone would flatter."""
    missed = [run_of(history=[(1.0, 0.3)]) for _ in range(misses)]
    runs = [*missed, *(run_of() for _ in range(3 - misses))]
    assert summarise(runs, operations=1, best_product=1, target=0.8).target_seconds == seconds


def test_the_table_compares_with_both_peers() -> None:
    """Steady rows a second over theirs; without them there is nothing to compare."""
    runs = {"tightfit": run_of(step_seconds=5.0), BASELINE: run_of(side=BASELINE)}
    runs[SAME_WORK] = run_of(side=SAME_WORK, step_seconds=8.0)
    found = [summarise([r], operations=1, best_product=1, target=0.95) for r in runs.values()]
    lines = results_table(found).splitlines()
    assert lines[0].count("|") == lines[2].count("|") == lines[3].count("|")
    assert "| 20.0 | 1,000 | 2.00x | 1.60x |" in lines[2]
    assert lines[2].endswith("| 2.0% | 90.00% | never |")
    assert "| 1.00x | 0.80x |" in lines[3]
    assert "x |" not in results_table(found[:1]).splitlines()[2]


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    """Each benchmark owns its own."""
    path = tmp_path / "RESULTS.md"
    write_section("One", "first", path)
    write_section("Two", table(["", "n"], [["a", "1"]]), path)
    write_section("One", "second\n\n### with a heading", path)
    text = path.read_text()
    assert text.count("## One") == text.count("# Results") == 1
    assert "first" not in text
    assert text.endswith("## Two\n\n|  | n |\n| --- | ---: |\n| a | 1 |\n")
    assert "## One\n\nsecond\n\n### with a heading\n\n## Two" in text


def test_rows_are_drawn_once_for_all_sides(tmp_path: Path) -> None:
    """Disjoint, labelled by id, and the same for the same seed."""
    args: Any = options(["--data", "sample", "--rows", "50", "--validation", "20"])
    write_rows(args, tmp_path)
    parts = {}
    for path in (args.train, args.held):
        parts[path] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (args.rows, args.labels) == (50, 4)
    assert [len(part) for part in parts.values()] == [50, 20]
    texts = [row["text"] for part in parts.values() for row in part]
    assert len(set(texts)) == 70
    assert {row["label"] for row in parts[args.train]} == {0, 1, 2, 3}


def test_a_process_is_timed_and_weighed(tmp_path: Path) -> None:
    """Its own memory, not ours, and its own words; a failure shows them."""
    words = ["python3", "-c", "import os; x = bytearray(200_000_000); print(os.environ['WHO'])"]
    found = run_process(words, {"WHO": "me"}, tmp_path / "said.txt")
    assert found.peak_bytes > 200_000_000
    assert 0 < found.cpu_seconds < 60
    assert (tmp_path / "said.txt").read_text() == "me\n"
    with pytest.raises(SystemExit, match="no such thing"):
        run_process(["sh", "-c", "echo no such thing; exit 3"], {}, tmp_path / "said.txt")


def test_the_ceiling_is_that_of_this_machine() -> None:
    """Somewhere between a pocket calculator and a supercomputer."""
    assert 1e8 < ceiling() < 1e14


@pytest.mark.parametrize("padded", [False, True])
def test_all_ways_through_a_step_give_one_loss(padded: bool, bert: Path) -> None:
    """Otherwise their times could not be compared; the toy's dropouts aside."""
    classifier = toy_classifier(bert, labels=step.LABELS)
    batch = step.random_batch(21, rows=4, tokens=10, padded=padded)
    ways, parts = step.variants(classifier), step.divided(batch, 2)
    ways = {name: way for name, way in ways.items() if not name.endswith("dropouts on")}
    losses = [step.step_seconds(classifier, way, parts)[1] for way in ways.values()]
    assert losses == pytest.approx([losses[0]] * 6, abs=5e-3)
    assert torch.is_grad_enabled()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_sides_run_and_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a toy: the section has a row a side and the command, and the picture is there."""
    sides = ["tightfit-dropout", BASELINE, "trainer-same-dropout"]
    words = ["--model", str(toy_encoder(tmp_path / "toy")), "--rows", "64", "--validation", "32"]
    words += ["--data", str(write_jsonl(tmp_path / "rows.jsonl", toy_rows(96)))]
    words += ["--sides", *sides, "--threads", "1"]
    words += ["--set", "data.max_length=32"]
    words += ["--out", str(tmp_path / "RESULTS.md"), "--json", str(tmp_path / "found.json")]
    monkeypatch.setattr(speed, "run_process", warm.run_process)
    speed.main(words)
    found = json.loads((tmp_path / "found.json").read_text())
    assert [each["side"] for each in found] == sides
    assert all(each["steady_rows"] > each["rows_per_second"] > 0 for each in found)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "python -m benchmarks.speed --model" in text
    assert "Trainer + PEFT as it comes (fp32)" in text
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")
