"""Going on from a run: what is kept, what is added, what is refused, and what is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult
from tightfit.config import Decision, load_config
from tightfit.data.checks.repeats import text_key
from tightfit.data.table import Table
from tightfit.data.text_digests import read_text_digests, text_digests
from tightfit.engines.predictor import Predictor
from tightfit.errors import ArtefactError, BudgetError, DataError, SettingsError, UsageError
from tightfit.model.adapters import adapter_pairs
from tightfit.progress import Progress
from tightfit.verbs.continuing import LEARNED
from tightfit.verbs.origin import Origin

Encoders = Callable[[str], Path]

METHODS = [
    ["adapters.method=lora"],
    ["adapters.method=lora", "adapters.dora=true"],
    ["adapters.method=vera"],
    ["adapters.method=ia3"],
    ["adapters.method=bias"],
    ["adapters.method=none"],
]
"""Of each method one."""


def began(encoder: Path, out: Path, *settings: str, rows: int = 120, **more: Any) -> Path:
    """A run on toy rows of two classes, in a few steps that teach it something."""
    data = write_jsonl(out.parent / f"{out.name}.jsonl", toy_rows(rows))
    values = [*SHORT, "optim.lr=1e-2", "data.validation_rows=0.2", *settings]
    options = {"settings": values, "max_steps": 12, "progress": Progress(), **more}
    tightfit.train(data, model=str(encoder), out=out, **options)
    return out


def with_new_label(count: int = 60) -> list[dict[str, Any]]:
    """Rows of both classes and of a third, which words without a meaning make."""
    rows = toy_rows(count, seed=5)
    for i, row in enumerate(rows[::4]):
        row.update(text="the a of in on and for with new after " + "after " * i, label="filler")
    return rows


def gone_on(run: Path, rows: list[dict[str, Any]], *settings: str, **more: Any) -> TrainResult:
    """A training from a run, in a few steps."""
    data = write_jsonl(run.parent / "more.jsonl", rows)
    options = {"max_steps": 8, "progress": Progress(), "out": run.parent / "next", **more}
    return tightfit.train(data, from_run=run, settings=list(settings), **options)


@pytest.fixture(scope="module")
def first(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to go on from; not to be changed."""
    return began(bert, tmp_path_factory.mktemp("first") / "run")


@pytest.fixture
def mine(first: Path, tmp_path: Path) -> Path:
    """A copy of it in a folder of the test's own."""
    return Path(shutil.copytree(first, tmp_path / "run"))


@pytest.mark.parametrize("settings", METHODS, ids=lambda values: "-".join(values))
def test_it_starts_as_the_run_ended(
    settings: list[str], encoders: Encoders, tmp_path: Path
) -> None:
    """One step at a rate of next to nothing: the same logits for known labels, method by method."""
    run = began(encoders("roberta"), tmp_path / "run", "adapters.rank=auto", *settings)
    result = gone_on(run, with_new_label(), "optim.lr=1e-6", max_steps=1)
    texts = [row["text"] for row in toy_rows(20, seed=9)]
    before, after = (Run.load(each).predictor.logits(texts) for each in (run, result.run))
    np.testing.assert_allclose(after[:, :2], before, atol=2e-4)
    assert Run.open(result.run).labels == ("money", "sport", "filler")


def test_rows_kept_apart_are_scored_before_and_after(mine: Path) -> None:
    """The run's validation rows, by itself and by what came of it, and never trained on."""
    rows = with_new_label()
    result, kept = gone_on(mine, rows), Run.open(mine).validation
    assert kept is not None
    found, run = result.continued, Run.load(result.run)
    assert found is not None
    due = [run.labels[i] for i in kept.targets_N]
    told = [Run.load(each).predict(list(kept.inputs)).labels for each in (mine, result.run)]
    shares = [float(np.mean([a == b for a, b in zip(each, due, strict=True)])) for each in told]
    assert (found.rows, found.kept_apart) == (24, True)
    assert [found.before, found.after] == shares
    assert found.new_labels == ("filler",)
    assert result.to_json()["continued"]["after"] == shares[1]
    logits_NK = run.predictor.logits([str(text) for text in kept.inputs])[:, :2]
    assert found.after_known == float((logits_NK.argmax(1) == kept.targets_N).mean())


def test_both_runs_are_scored_at_one_length(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That at which the second is trained and scored, whatever answers read of a text."""
    lengths, plain = [], Predictor.logits

    def seen(predictor: Predictor, texts: Sequence[str]) -> Any:
        lengths.append(predictor.max_length)
        return plain(predictor, texts)

    monkeypatch.setattr(Predictor, "logits", seen)
    gone_on(mine, toy_rows(60, seed=5), "data.max_length=16")
    assert lengths == [16]


def test_a_share_of_what_is_learned_is_kept(mine: Path) -> None:
    """It lies between the run and the end of a training that keeps all, as is on record."""
    rows = with_new_label()
    whole = gone_on(mine, rows, "train.blend=1", out=mine.parent / "whole")
    part = gone_on(mine, rows)
    decided = Run.open(part.run).decisions.blend
    assert decided == Decision(LEARNED, "the rest is that of the run that it goes on from")
    runs = [Run.load(each.run) for each in (part, whole)]
    pairs = [adapter_pairs(run.classifier.module) for run in (Run.load(mine), *runs)]
    for began, kept, end in zip(*pairs, strict=True):
        torch.testing.assert_close(kept.a_RI, began.a_RI.lerp(end.a_RI, LEARNED))
        torch.testing.assert_close(kept.b_OR, began.b_OR.lerp(end.b_OR, LEARNED))


def test_rows_that_repeat_a_validation_row_are_left_out(mine: Path) -> None:
    """They would make what is kept apart a part of what is trained on."""
    kept = Run.open(mine).validation
    assert kept is not None
    rows = [{"text": str(text).upper().lower() + " ", "label": "money"} for text in kept.inputs[:7]]
    notes = Notes()
    result = gone_on(mine, [*with_new_label(), *rows], progress=notes)
    data = Run.open(result.run).data
    assert data.continued is not None
    assert data.continued.repeats_left_out == 7
    assert [said for said in notes.said if said.startswith("7 rows are left out")]
    validation = Run.open(result.run).validation
    assert validation is not None
    assert {text_key(str(t)) for t in kept.inputs} <= {text_key(str(t)) for t in validation.inputs}


def test_rows_that_trained_it_are_not_held_out(mine: Path) -> None:
    """Nor in whatever goes on from what goes on from it."""
    notes = Notes()
    result = gone_on(mine, [*toy_rows(120), *with_new_label()], progress=notes)
    run, known = Run.open(result.run), read_text_digests(mine / "trained.npy")
    assert run.data.continued is not None
    assert run.data.continued.learned_left_out > 0
    assert any("rows held out are left out" in words for words in notes.said)
    own = read_text_digests(run.folder.trained)
    assert own is not None
    assert known is not None
    assert {*known.tolist()} < {*own.tolist()}
    validating = [text for text in (run.validation.inputs if run.validation else ()) if text]
    assert not np.isin(text_digests(validating), own).any()


def test_labels_gone_are_named_and_kept(mine: Path) -> None:
    """Rows of one known label and a new one: the other can still be answered."""
    notes = Notes()
    rows = [row for row in with_new_label() if row["label"] != "sport"]
    result = gone_on(mine, rows, progress=notes)
    assert result.continued is not None
    assert result.continued.labels_gone == ("sport",)
    assert [said for said in notes.said if "no new row has the label 'sport' of" in said]
    assert not [said for said in notes.warned if "no training row has" in said or "alike" in said]
    assert Run.open(result.run).labels == ("money", "sport", "filler")


def test_the_same_labels_in_other_words_are_told(mine: Path) -> None:
    """Ids for names would make of two labels four, each of them twice."""
    notes = Notes()
    ids = {"money": "0", "sport": "1"}
    gone_on(mine, [row | {"label": ids[row["label"]]} for row in toy_rows(40)], progress=notes)
    assert any("the same in other words, such as ids for names" in said for said in notes.warned)


def test_rows_of_a_new_label_alone_do_not_make_every_text_one_of_it(mine: Path) -> None:
    """Half of the kept rows of the other labels train beside them, and the other half tells."""
    notes = Notes()
    rows = [row for row in with_new_label() if row["label"] == "filler"]
    result = gone_on(mine, rows, progress=notes)
    data, continued = Run.open(result.run).data, result.continued
    assert data.continued is not None
    assert continued is not None
    assert (data.continued.again, continued.rows) == (12, 12)
    assert any(said.startswith("12 validation rows of") for said in notes.said)
    assert data.train_rows == 3 * 12, "some of them more than once"


def test_one_label_and_no_row_of_others_is_refused(mine: Path) -> None:
    """As where the run kept no texts."""
    known = Origin.of(mine).known
    known = replace(known, rows=known.rows.select([]))
    rows = Table([f"after {i}" for i in range(20)], ["filler"] * 20, source="toys")
    with pytest.raises(DataError, match="the run kept none of others"):
        known.dataset(load_config("tight"), rows, None, None, progress=Progress())


def test_the_plan_is_counted_anew_and_adapters_shrink_to_it(bert: Path, tmp_path: Path) -> None:
    """A run that spends its cap has no room for a new label: ranks fall, the cap holds."""
    run = began(bert, tmp_path / "run", "adapters.rank=auto", budget=1_100)
    result = gone_on(run, with_new_label(), "optim.lr=1e-6", max_steps=1)
    before, after = Run.open(run).plan, Run.open(result.run).plan
    assert after.layers[0].rank < before.layers[0].rank
    assert result.total <= 1_100
    gates = json.loads((result.run / "proofs.json").read_text())["gates"]
    assert {gates[key] for key in ("plan", "built", "optimizer", "saved")} == {result.total}


def test_a_rank_that_was_set_is_kept_or_the_cap_refuses(bert: Path, tmp_path: Path) -> None:
    """The sum is printed, as for any plan."""
    run = began(bert, tmp_path / "run")
    total = Run.open(run).plan.total
    with pytest.raises(BudgetError, match="excess"):
        gone_on(run, with_new_label(), budget=total)


def test_a_run_that_trained_on_all_of_its_rows_repeats_them(bert: Path, tmp_path: Path) -> None:
    """What a cross-validation scored cannot be kept apart; new rows show what is forgotten."""
    run = began(bert, tmp_path / "run", "train.folds=2", rows=24)
    result = gone_on(run, with_new_label())
    data = Run.open(result.run).data
    assert data.continued is not None
    assert data.continued.kept_rows_train
    assert data.train_rows == 48 + 24
    assert result.continued is not None
    assert not result.continued.kept_apart
    assert Run.open(result.run).config.train.blend == 1.0


def test_a_resumed_training_goes_on_from_the_run_that_it_began_with(
    bert: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and settings may be alike where the weights between which it blends are not."""
    other = began(bert, tmp_path / "other", "optim.lr=2e-3")
    with monkeypatch.context() as crash:
        crash.setattr("tightfit.verbs.run_training.save_artefact", _stopped)
        with pytest.raises(KeyboardInterrupt):
            gone_on(mine, with_new_label(), "optim.lr=1e-3")
    with pytest.raises(UsageError, match="the run that the training began with"):
        gone_on(other, with_new_label(), "optim.lr=1e-3", out=mine.parent / "next", resume=True)
    assert gone_on(mine, with_new_label(), "optim.lr=1e-3", resume=True).steps == 8


def _stopped(*given: Any) -> None:
    raise KeyboardInterrupt


def test_it_is_told_at_the_end_and_on_the_page(mine: Path) -> None:
    """On the command line, with what is before and what is after."""
    data, out = write_jsonl(mine.parent / "more.jsonl", with_new_label()), mine.parent / "next"
    options = ("--data", str(data), "--from", str(mine), "--out", str(out), "--max-steps", "4")
    found = cli("train", *options)
    assert found.exit_code == 0, found.stderr
    assert f"among the labels of before, on 24 validation rows of {mine}" in " ".join(
        found.stdout.split()
    )
    assert "new label 'filler': " in found.stdout
    assert "the run's knowledge and 1 new label solved" in found.stdout
    assert f"goes on from {mine}. Of 24 of its validation rows" in (out / "report.html").read_text()


def test_a_dry_run_goes_on_from_it_too(mine: Path) -> None:
    """The plan is that of the training, with its rows."""
    data = write_jsonl(mine.parent / "more.jsonl", with_new_label())
    forecast = tightfit.dry_run(data, from_run=mine, progress=Progress())
    assert forecast.plan.num_labels == 3
    assert forecast.validation_rows == 12 + 24


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "roberta-base"}, UsageError, "model=… begins anew"),
        ({"recipe": "paper"}, UsageError, "recipe=… begins anew"),
        ({"settings": ["adapters.rank=3"]}, SettingsError, r"(?s)adapters.rank=3.*=4, as in"),
        ({"settings": ["adapters.method=ia3"]}, SettingsError, "contradict|does not|has none"),
        ({"settings": ["head.start=probe"]}, SettingsError, r"(?s)probe.*head.start=run with"),
        ({"settings": ["budget.spend=frugal"]}, SettingsError, "frugal"),
        ({"settings": ["train.folds=3"]}, SettingsError, r"(?s)train.folds=3.*=0 with from_run"),
    ],
)
def test_contradictions_are_refused(
    first: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Before rows are read."""
    with pytest.raises(error, match=words):
        tightfit.train("sample", from_run=first, out=first.parent / "no", **options)


def test_a_damaged_run_is_refused(mine: Path) -> None:
    """As everywhere."""
    (mine / "labels.json").write_text("{}")
    with pytest.raises(ArtefactError, match="not as it was sealed"):
        tightfit.train("sample", from_run=mine, out=mine.parent / "no")


def test_only_rows_kept_apart_leave_nothing_to_train_on(mine: Path) -> None:
    """Somebody gives the run's own validation rows."""
    kept = Run.open(mine).validation
    assert kept is not None
    with pytest.raises(DataError, match="every row is among those that the run was scored on"):
        gone_on(mine, [{"text": text, "label": "money"} for text in kept.inputs])


def test_a_head_cannot_start_from_no_run(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """As when somebody repeats the settings of such a run."""
    with pytest.raises(SettingsError, match="name the run with from_run"):
        began(bert, tmp_path / "run", "head.start=run")
