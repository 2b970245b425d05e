"""The page about a run: true to the run's files, one file, harmless, and whole for odd runs."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from tests.command import cli
from tests.reports import HOSTILE, hostile, scores_of, with_outcomes
from tests.toy_setups import Notes
from tightfit import Run, TrainResult, evaluate, report, storage
from tightfit.data.labels import LabelSet
from tightfit.errors import ArtefactError, UsageError
from tightfit.metrics.interval import Interval
from tightfit.reporting.drawing import MOST_POINTS, nice_range, percent_tick, short, thinned
from tightfit.reporting.examples import rows, warnings
from tightfit.reporting.page import render
from tightfit.reporting.spending import frozen_parameters, spending, weight_changes
from tightfit.tasks import MultiLabel
from tightfit.tasks.validation_logits import ValidationLogits


@pytest.fixture(scope="module")
def run(finished: TrainResult) -> Run:
    """Of the toy run."""
    return Run.open(finished.run)


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its visible words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep words."""
        self.words += data


def words_of(run: Run) -> str:
    """What the page says, on one line."""
    return " ".join(Parsed(render(run)).words.split())


def without(run: Run, part: str) -> Run:
    """The same run with one of its proofs not recorded."""
    return run.with_parts(proofs={n: p for n, p in run.proofs.items() if n != part})


def dead(run: Run, *, expected: bool) -> Run:
    """The same run with its first adapter dead."""
    movement = run.proofs["movement"]
    name = next(iter(movement["adapters"]))
    adapters = {**movement["adapters"], name: 0.0}
    proof = {**movement, "ok": False, "still": [name], "adapters": adapters}
    return run.with_parts(proofs={**run.proofs, "movement": {**proof, "expected": expected}})


def test_training_leaves_a_page_in_the_sealed_run(finished: TrainResult) -> None:
    """It is one of the files that the seal covers."""
    folder = storage.open_run(finished.run)
    assert "report.html" in {file.path for file in storage.read_manifest(folder).files}
    assert folder.report.read_text("utf-8").startswith("<!doctype html>")


def test_the_page_says_what_the_run_says(run: Run) -> None:
    """Accuracy with its interval, the budget, the adapters, each proof."""
    words, accuracy = words_of(run), scores_of(run).accuracy
    assert f"lies between {accuracy.low:.1%} and {accuracy.high:.1%}" in words
    assert f"{run.plan.total:,} of 1,000,000 parameters; all 4 adapters learned" in words
    assert "All 5 proofs hold" in words
    assert "answers as the trained model does" in words
    for name, setting in (("lr", run.config.optim.lr), ("rank", run.config.adapters.rank)):
        assert f"{name}{setting}" in words


def test_the_page_is_one_file_without_a_script(run: Run) -> None:
    """Nothing in it refers to anything else, and its own policy forbids the rest."""
    parsed = Parsed(render(run))
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "iframe", "img", "object", "embed", "form", "base"}
    links = [a[key] for _, a in parsed.tags for key in ("href", "src") if key in a]
    assert all(link and link.startswith(("#", "data:,")) for link in links)
    policy = next(a["content"] for _, a in parsed.tags if "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy


def test_nothing_that_a_user_wrote_becomes_markup(run: Run) -> None:
    """The same tags as for harmless names; every hostile text stands there as it was written."""
    harmless = Parsed(render(with_outcomes(run, list("abcde"), list("abcde"))))
    parsed = Parsed(render(hostile(run)))
    assert {tag for tag, _ in parsed.tags} == {tag for tag, _ in harmless.tags} | {"li"}
    attributes = {name for _, given in parsed.tags for name in given}
    assert not {name for name in attributes if name.startswith("on")}
    assert all(text.encode("utf-8", "replace").decode() in parsed.words for text in HOSTILE)


def test_turned_text_stays_in_its_place(run: Run) -> None:
    """Marks that turn the direction of writing end with the element they are in."""
    page = render(hostile(run))
    turned = [m.start() for m in re.finditer("\u202e", page)]
    before = [page[:at].rstrip()[-12:] for at in turned]
    isolated = ("<bdi>", 'dir="auto">', "<pre", '"', ">")
    assert turned
    assert all(any(mark in text for mark in isolated) for text in before)


def test_quoted_words_of_code_keep_to_their_places(run: Run) -> None:
    """From right to left, names and what joins them would change places: 0 would seem the second's.

    What is copied from the page is the code as it was.
    """
    names = ["رياضة (كرة)", "מניות", 'مال "كبير"', "it's"]
    page = render(with_outcomes(run, names, names))
    quoted = [str(escape(repr(name))) for name in names]
    code = ", ".join(f"{place}: <bdi>{name}</bdi>" for place, name in enumerate(quoted))
    assert f"{{{code}}}" in page
    assert repr(dict(enumerate(names))) in Parsed(page).words


def test_a_dead_adapter_stands_out(run: Run) -> None:
    """At the top, by name, and in the picture."""
    page = render(dead(run, expected=False))
    assert "Not everything learned." in page
    assert "1 of 4 adapters never learned" in page
    assert "bar alert" in page
    assert "the recipe declares it" not in page
    assert "bar alert" not in render(run)


def test_a_declared_failure_is_called_declared(run: Run) -> None:
    """The published failure, rebuilt on purpose."""
    assert "Declared beforehand by the recipe." in words_of(dead(run, expected=True))


def test_a_run_of_before_keeps_its_page(run: Run) -> None:
    """Without the record of its rows, or of what was measured later, the rest is told."""
    assert run.data.tokens is not None
    data = replace(run.data, tokens=replace(run.data.tokens, lengths=None))
    before = without(run, "gates").with_parts(validation=None, calibration=None, data=data)
    words = words_of(before)
    assert "The validation rows are not on record." in words
    assert "Can its confidence be believed?" not in words


@pytest.mark.parametrize("labels", [2, 12, 13, 300])
def test_any_number_of_labels_has_a_page(run: Run, labels: int) -> None:
    """Few make a matrix; many a list of the weakest, and a page that is no larger for it."""
    page = render(with_outcomes(run, [f"label {i}" for i in range(labels)], ["text"]))
    assert ("Most frequent confusions" in page) == (labels > 12)
    assert ("The weakest labels" in page) == (labels > 20)
    assert len(page) < 150_000


def test_one_history_row_is_enough(run: Run) -> None:
    """A loss that was never a number leaves its picture out."""
    row = {**run.history[-1], "eval_loss": float("nan"), "train_loss": None}
    words = words_of(run.with_parts(history=[row]))
    assert "Accuracyvalidationtraining" in words.replace(" ", "")
    assert "Lossvalidation" not in words.replace(" ", "")


def test_all_right_and_all_wrong_have_a_page(run: Run) -> None:
    """Neither divides by zero."""
    for share in (0.0, 1.0):
        interval = Interval(share, share, share)
        scores = replace(scores_of(run), accuracy=interval, macro_f1=interval)
        metrics = replace(run.metrics, validation=scores)
        assert f"{100 * share:.1f}" in words_of(run.with_parts(metrics=metrics))


def test_warnings_are_those_of_the_rows(run: Run) -> None:
    """From the data checks, from the split, and from what was cut."""
    assert run.data.tokens is not None
    tokens = replace(run.data.tokens, truncated=run.data.train_rows // 2)
    data = replace(run.data, warnings=("3 rows are odd",), note="held out 10%", tokens=tokens)
    found = warnings(run.with_parts(data=data))
    assert found[:2] == ["3 rows are odd.", "Held out 10%."]
    assert "Only 12 validation rows" in found[2]
    assert "50.0% of the training texts are longer than 32 tokens" in found[3]


def test_the_parts_of_the_budget_add_up(run: Run) -> None:
    """To the cap, and to the model."""
    found = spending(run)
    assert sum(part.parameters for part in found.parts) == run.plan.budget
    assert sum(part.share for part in found.parts) == pytest.approx(1.0)
    trained = sum(part.parameters for part in found.parts if part.tone != "free")
    assert trained == found.model[0].parameters == run.plan.total
    assert found.parts[0].sum == "2 x 4 x (32 + 32)"


def test_a_fresh_page_tells_what_was_evaluated_since(
    finished: TrainResult, rows_file: Path, tmp_path: Path
) -> None:
    """The run's own page stays as it was sealed."""
    run = Path(shutil.copytree(finished.run, tmp_path / "run"))
    before = (run / "report.html").read_bytes()
    evaluate(run, rows_file)
    notes = Notes()
    assert report(run, progress=notes) == run / "derived" / "report.html"
    assert notes.tracked == ["writing the page; mistakes are read again"]
    page = report(run, out=tmp_path / "new" / "page.html").read_text("utf-8")
    assert "Evaluated since" in page
    assert re.search(
        r"Made anew on \d+ \w+ \d{4}, \d\d:\d\d UTC. Since the run was sealed: acc", page
    )
    assert "This page was sealed with the run on " in before.decode()
    assert str(rows_file) in page
    assert (run / "report.html").read_bytes() == before
    storage.open_run(run)


def test_the_page_of_a_run_is_not_replaced(finished: TrainResult, tmp_path: Path) -> None:
    """Nor any other file of it or of another run, nor a folder."""
    other = shutil.copytree(finished.run, tmp_path / "other")
    for run, name in ((finished.run, "report.html"), (other, "page.html")):
        with pytest.raises(UsageError, match="inside a run, which never changes"):
            report(finished.run, out=run / name)
    with pytest.raises(UsageError, match="is to be a file"):
        report(finished.run, out=tmp_path)
    with pytest.raises(ArtefactError, match="there is no run folder here"):
        report(tmp_path / "none")


def test_the_verb_prints_where_the_page_is(finished: TrainResult, tmp_path: Path) -> None:
    """As a line, or as JSON."""
    out = tmp_path / "page.html"
    said = cli("report", str(finished.run), "--out", str(out))
    assert said.stdout == f"{out}\n"
    assert f"{finished.run / 'report.html'} stays as it was sealed" in said.stderr
    told = cli("report", str(finished.run), "--json")
    assert json.loads(told.stdout) == {"report": str(finished.run / "derived" / "report.html")}
    assert cli("report", str(tmp_path / "none")).exit_code == 8


@pytest.mark.parametrize(
    ("values", "bounds", "places"),
    [
        ([0.0, 1.0], (0.0, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]),
        ([0.93, 0.97], (0.0, 1.0), [0.93, 0.94, 0.95, 0.96, 0.97]),
        ([0.0, 69.0], (0.0, 69.0), [0.0, 20.0, 40.0, 60.0, 69.0]),
        ([5.0], (0.0, 100.0), [4.0, 6.0]),
        ([0.0], (0.0, 1.0), [0.0, 0.25]),
    ],
)
def test_axes_have_round_numbers(
    values: list[float], bounds: tuple[float, float], places: list[float]
) -> None:
    """Around the values, and within what is possible."""
    found = nice_range(values, floor=bounds[0], ceiling=bounds[1])
    assert found == sorted(found)
    assert found == pytest.approx(places)
    assert found[0] <= min(values)
    assert found[-1] >= min(max(values), bounds[1])


@pytest.mark.parametrize("values", [(0.961, 0.968), (0.2, 0.9), (0.0, 1.0), (-0.4, 0.3)])
def test_ticks_of_shares_never_read_alike(values: tuple[float, float]) -> None:
    """However near to one another they are."""
    words = [percent_tick(place) for place in nice_range(values, floor=-1, ceiling=1)]
    assert len(set(words)) == len(words)


def test_long_lines_are_thinned() -> None:
    """To a bounded number of points, both ends among them."""
    points = [(float(i), 0.0) for i in range(30_001)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert thinned(points[:3]) == points[:3]
    assert thinned([]) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.05, "0.05"), (1200.0, "1.2k"), (1234.0, "1234"), (2.5e6, "2.5M")],
)
def test_numbers_on_an_axis_are_short(value: float, words: str) -> None:
    """No needless zeros, thousands as k."""
    assert short(value) == words


def test_json_files_are_read_as_written(finished: TrainResult, run: Run) -> None:
    """Nothing is lost between the run and the page."""
    metrics: dict[str, Any] = json.loads((finished.run / "metrics.json").read_text())
    assert scores_of(run).to_json() == metrics["validation"]
    assert len(weight_changes(run)) == len(run.plan.layers) == 4
    assert frozen_parameters(run) is not None
    assert run.validation is not None
    assert len(run.validation) == metrics["validation"]["n"]


def test_labels_of_mistakes_are_answered_from_their_thresholds(run: Run) -> None:
    """As everywhere else; what a half makes of the same probabilities is no answer of the run."""
    task = MultiLabel(LabelSet(("joy", "love"), ("joy", "love")))
    logits_NK = np.array([[0.3, -3], [3, -0.3]], dtype=np.float32)
    kept = ValidationLogits.gather(task, logits_NK, np.array([[0, 0], [1, 0]]), ["dim", "bright"])
    several = run.with_parts(task=task, validation=kept, calibration=None, temperature=1.0)
    told = rows(several.with_parts(thresholds={0: 0.6, 1: 0.4}), explain=False)
    assert [(each.text, each.predicted) for each in told.mistakes] == [("bright", "joy, love")]
    told = rows(several.with_parts(thresholds={}), explain=False)
    assert [(each.text, each.predicted) for each in told.mistakes] == [("dim", "joy")]
    assert told.wrong == 1
