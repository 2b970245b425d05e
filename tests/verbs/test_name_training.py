"""A run from label names alone: what it answers, what it says of itself, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tightfit
from tests.command import cli
from tests.fixtures import Encoders
from tests.toy_setups import Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult
from tightfit.errors import BudgetError, DataError, SettingsError, UsageError
from tightfit.reporting.page import render

LABELS = ["goal match team", "stock market"]
"""Words that the toy tokenizer knows."""

LENGTHS = ["data.max_length=32", "train.precision=fp32"]


def named(encoder: Path, out: Path, names: Any = LABELS, **options: Any) -> TrainResult:
    """A classifier of toy texts, from what its labels are called."""
    settings = [*LENGTHS, *options.pop("settings", ())]
    options = {"model": str(encoder), "settings": settings, "progress": Notes(), **options}
    return tightfit.train(label_names=names, out=out, **options)


@pytest.fixture(scope="module")
def run(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Not to be changed."""
    return Run.open(named(bert, tmp_path_factory.mktemp("names") / "run").run)


def test_it_is_sealed_and_answers_with_the_names(run: Run) -> None:
    """As any run does; the sentence of a label is that label's."""
    found = Run.load(run.path).predict(list(run.data.sentences))
    assert list(found.labels) == LABELS
    assert tightfit.audit(run.path).verdict == "no adapters: a head-only classifier"
    assert run.plan.pooling == "mean"


def test_scores_are_unknown_and_every_key_is_there(run: Run) -> None:
    """In the metrics and in what ``train --json`` prints."""
    kept = json.loads(run.folder.metrics.read_text())
    assert (kept["validation"], kept["source"]) == (None, None)
    assert kept["train"]["accuracy"] is kept["train"]["macro_f1"] is None
    assert run.metrics.train.start_accuracy is None
    assert repr(run).count("accuracy=unknown") == 1


def test_the_proofs_that_suit_it_hold(run: Run) -> None:
    """Nothing was stepped, so that neither gradients nor movement are to be shown."""
    assert {name: proof["ok"] for name, proof in run.proofs.items()} == {
        "gates": True,
        "head_solved": True,
        "round_trip": True,
    }
    gates = run.proofs["gates"]
    assert gates["plan"] == gates["built"] == gates["optimizer"] == gates["saved"]


def test_page_card_and_table_say_that_nothing_is_known(run: Run) -> None:
    """Until somebody evaluates it; then the page shows that."""
    assert "How many texts it labels right is unknown" in render(run)
    card = (run.artefact / "README.md").read_text("utf-8")
    assert "| accuracy | unknown: no row with a label was at hand |" in card
    assert "One sentence a label (The topic is about goal match team;" in card
    told = cli("runs", str(run.path.parent))
    assert "unknown" in told.stdout + told.stderr


def test_evaluate_tells(bert: Path, tmp_path: Path) -> None:
    """On rows whose labels are the names."""
    result = named(bert, tmp_path / "run", ["sport", "money"])
    found = tightfit.evaluate(result.run, write_jsonl(tmp_path / "rows.jsonl", toy_rows(20)))
    assert found.scores.n == 20
    page = render(Run.open(result.run))
    assert "Evaluated since" in page
    assert "rows.jsonl</bdi> are labelled right; on rows like these" in page
    assert "unknown" not in page.partition('<section id="settings"')[0]


def test_the_last_words(bert: Path, tmp_path: Path) -> None:
    """On the command line."""
    settings = [word for value in LENGTHS for word in ("--set", value)]
    out = ["--out", str(tmp_path / "run"), "--model", str(bert)]
    told = cli("train", "--label-names", ",".join(LABELS), *out, *settings)
    assert told.exit_code == 0, told.stderr
    assert "accuracy unknown: no row with a label was there to score it" in told.stdout
    assert "✓ head solved" in told.stdout


def test_descriptions_stand_in_place_of_names(bert: Path, tmp_path: Path) -> None:
    """Numbers may then be labels."""
    settings = {
        "data.label_descriptions": {"1": "a goal", "2": "a bank"},
        "train.precision": "fp32",
    }
    options: dict[str, Any] = {"model": str(bert), "progress": Notes()}
    lengths = {"data.max_length": 32}
    made = tightfit.train(
        label_names=["1", "2"], out=tmp_path / "run", settings={**settings, **lengths}, **options
    )
    assert Run.open(made.run).data.sentences == ("a goal", "a bank")
    assert np.isfinite(Run.load(made.run).predict("a goal").probabilities).all()


def test_a_sentence_for_no_label_is_told(bert: Path, tmp_path: Path) -> None:
    """Its label may be misspelt: the bare name would stand in its place without a word."""
    file, notes = tmp_path / "labels.toml", Notes()
    file.write_text('"Stock market" = "a bank"\n')
    settings = [f"data.label_descriptions={file}"]
    named(bert, tmp_path / "run", settings=settings, progress=notes)
    assert any("no label is called 'Stock market'" in words for words in notes.warned)


def test_names_that_are_switched_off_are_refused(tmp_path: Path) -> None:
    """There would be nothing to learn from."""
    with pytest.raises(SettingsError, match="names of labels are all that there is"):
        tightfit.train(
            label_names=LABELS, out=tmp_path / "run", settings={"data.label_names": "off"}
        )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("1,2,3", "these names say nothing"),
        ("sport", "a classifier needs at least 2 labels"),
        ("sport; money; " * 40, "a classifier needs at least 2 labels"),
        ("Sport,sport", "a label is named twice"),
    ],
)
def test_names_that_say_nothing_are_refused(names: str, words: str, tmp_path: Path) -> None:
    """Before torch is loaded, and with exit code 4."""
    with pytest.raises(DataError, match=words):
        tightfit.train(label_names=names, out=tmp_path / "run", progress=Notes())
    told = cli("train", "--label-names", names, "--out", str(tmp_path / "run"))
    assert told.exit_code == 4


@pytest.mark.parametrize(
    "options",
    [
        {"data": "sample"},
        {"from_run": "runs/1"},
        {"validation": "sample:test"},
        {"label_column": "y"},
    ],
)
def test_rows_beside_names_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    """Names of labelled rows stand in the rows."""
    with pytest.raises(UsageError, match="without a row that has a label"):
        tightfit.train(label_names="sport,money", out=tmp_path / "run", **options)


def test_parts_of_rows_that_there_are_not_are_refused(tmp_path: Path) -> None:
    """Nothing could be scored in them."""
    with pytest.raises(SettingsError, match="there are none") as caught:
        tightfit.train(label_names=LABELS, out=tmp_path / "run", settings={"train.folds": 3})
    assert caught.value.seen == "--label-names with train.folds=3"


def test_a_file_of_names_is_no_name(tmp_path: Path) -> None:
    """The line that gives what stands in it."""
    file = tmp_path / "my names.txt"
    file.write_text("sport\nmoney\n")
    with pytest.raises(DataError, match="no file is read") as caught:
        tightfit.train(label_names=str(file), out=tmp_path / "run")
    assert f"in a shell are \"$(paste -sd, '{file}')\"" in str(caught.value)


def test_one_that_was_cut_short_is_resumed(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its beginning, since it has no steps; other names are refused."""

    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr("tightfit.verbs.name_training.save_artefact", stop)
        with pytest.raises(KeyboardInterrupt):
            named(bert, tmp_path / "run")
    with pytest.raises(SettingsError, match="the settings that the run began with"):
        named(bert, tmp_path / "run", ["goal", "market"], resume=True)
    assert named(bert, tmp_path / "run", resume=True).total == 66


def test_neither_rows_nor_names_are_refused() -> None:
    """There is nothing to learn from; and nothing to forecast of names."""
    assert "there is nothing to train on" in cli("train").stderr
    told = cli("train", "--label-names", "sport,money", "--dry-run")
    assert (told.exit_code, "that have labels" in told.stderr) == (2, True)


def test_a_head_that_cannot_be_solved_is_refused(encoders: Encoders, tmp_path: Path) -> None:
    """Its hidden layer would have to train."""
    with pytest.raises(SettingsError, match="no head can be made of label names here"):
        named(encoders("roberta"), tmp_path / "run", settings=["head.kind=stock"])


def test_a_cap_below_the_head_is_of_the_budget(bert: Path, tmp_path: Path) -> None:
    """No head of low rank is solved; the hint is to raise the cap."""
    with pytest.raises(BudgetError, match="smaller than the head") as caught:
        named(bert, tmp_path / "run", budget=40)
    assert "whole it would cost 66" in str(caught.value)


POOL = [row["text"] for row in toy_rows(60, seed=5)]


def test_texts_without_a_label_go_with_names(bert: Path, tmp_path: Path) -> None:
    """The card says how many."""
    alone = Run.open(named(bert, tmp_path / "names", unlabelled=POOL).run)
    assert (alone.data.unlabelled, len(alone.data.sentences)) == (60, 2)
    assert "and 60 texts without a label" in (alone.artefact / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("objective", "use"), [("auto", "used"), ("cross-entropy", "left out")])
def test_they_go_with_few_rows(objective: str, use: str, bert: Path, tmp_path: Path) -> None:
    """Where cross-entropy trains they are left out, and it says so."""
    rows, notes = write_jsonl(tmp_path / "rows.jsonl", toy_rows(16)), Notes()
    settings = [*LENGTHS, "train.folds=2", f"optim.objective={objective}", "train.max_steps=2"]
    options: Any = {"model": str(bert), "settings": settings, "progress": notes}
    run = Run.open(tightfit.train(rows, out=tmp_path / "run", unlabelled=POOL, **options).run)
    assert run.decisions.unlabelled is not None
    assert run.decisions.unlabelled.value == use
    assert f"texts without a label are {use}" in str(notes.said)
    assert all(proof["ok"] for proof in run.proofs.values())


@pytest.mark.parametrize("task", ["multi", "rating"])
def test_names_are_of_one_label_a_text(task: str, tmp_path: Path) -> None:
    """What was asked for is not passed over."""
    with pytest.raises(SettingsError, match=f"label_names=… with data.task={task}"):
        tightfit.train(label_names=LABELS, out=tmp_path / "run", settings={"data.task": task})


def test_names_say_nothing_of_pairs(tmp_path: Path) -> None:
    """Whether one text follows from another is no topic."""
    pair = {"data.pair": True, "data.text_column": ("text", "other")}
    with pytest.raises(SettingsError, match="nothing of a pair of texts"):
        tightfit.train(label_names=LABELS, out=tmp_path / "run", settings=pair)
