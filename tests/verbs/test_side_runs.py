"""A run with a side head: counted, proven, sealed, and answering alike on every way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tightfit
from tests.command import cli
from tests.exports import by_itself
from tests.toy_setups import SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit.config import ASKED, Decision
from tightfit.errors import ArtefactError, BudgetError, SettingsError
from tightfit.model.side_head import SIDE_FILE, SideHead
from tightfit.run import Run
from tightfit.verbs import run_training
from tightfit.verbs.train_result import read_result

WIDTH = 512
PARAMETERS = 2 * (WIDTH + 1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two classes."""
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", toy_rows(400))


def trained(bert: Path, rows: Path, out: Path, *settings: str, **more: Any) -> Run:
    """A run of a few steps with a side head that was asked for."""
    wanted = [*SHORT, "data.validation_rows=40", f"head.side={WIDTH}", *settings]
    more = {"max_steps": 4, "progress": Notes(), **more}
    tightfit.train(rows, model=str(bert), settings=wanted, out=out, **more)
    return Run.load(out)


@pytest.fixture(scope="module")
def run(bert: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Such a run."""
    return trained(bert, rows, tmp_path_factory.mktemp("side") / "run")


def test_it_is_counted_at_every_gate(run: Run) -> None:
    """The sum by hand, in plan and proofs; and it is proven to be solved."""
    plan = json.loads((run.path / "plan.json").read_text("utf-8"))
    assert plan["side"] == PARAMETERS
    assert plan["total"] == plan["adapters"] + plan["head"] + PARAMETERS
    gates = run.proofs["gates"]
    assert {gates[name] for name in ("plan", "built", "optimizer", "saved")} == {plan["total"]}
    assert run.proofs["side_solved"]["ok"]
    assert run.proofs["side_solved"]["parameters"] == PARAMETERS
    assert run.decisions.side == Decision(WIDTH, ASKED)
    factor = run.decisions.side_factor
    assert factor is not None
    assert factor.value == run.proofs["side_solved"]["factor"]
    assert "of 40 rows that neither saw" in factor.reason
    assert "side head" in (run.path / "report.html").read_text("utf-8")


def test_its_temperature_is_fitted_anew_as_at_first(run: Run, tmp_path: Path) -> None:
    """Where ``derived/`` was left behind."""
    copy = shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("derived"))
    assert Run.open(copy).calibration == run.calibration


def test_the_command_tells_the_steps_from_what_the_side_head_adds(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of its figures is of the steps alone, the others of both."""
    monkeypatch.setitem(vars(tightfit), "train", lambda *_, **__: read_result(run.path))
    told = cli("train", "--data", "sample").stdout
    assert "scored while training; what follows is with the side head\naccuracy" in told


def test_answers_are_those_that_were_scored(run: Run) -> None:
    """The logits on record are the encoder's and what the side head adds."""
    kept = run.validation
    assert kept is not None
    texts = [str(text) for text in kept.inputs]
    assert run.side is not None
    encoder_NK = run.model.logits(run.model.tokens(texts, 32))
    assert np.abs(run.side.logits(texts)).max() > 0.1
    assert np.abs(encoder_NK + run.side.logits(texts) - kept.logits_NK).max() < 1e-4
    assert np.abs(run.predictor.logits(texts) - kept.logits_NK).max() < 1e-4
    assert run.predictor.logits([]).shape == (0, 2)


def test_its_temperature_is_kept_however_few_the_rows(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They chose how much it counts, at that temperature."""
    monkeypatch.setattr(run_training, "weigh_side", lambda *_, **__: Decision(30.0, "chosen"))
    rows = toy_rows(400)
    doubtful = [{**row, "label": rows[i // 3 * 3]["label"]} for i, row in enumerate(rows)]
    path = write_jsonl(tmp_path / "rows.jsonl", doubtful)
    few = trained(bert, path, tmp_path / "few", "data.validation_rows=20").calibration
    assert few is not None
    assert (few.rows, few.reason) == (20, None)
    assert np.all(np.array(few.temperature) > 1)


def test_a_file_is_answered_alike(run: Run, rows: Path, tmp_path: Path) -> None:
    """Chunk by chunk, in another order of rows, and by word left out."""
    tightfit.predict(run.path, rows, out=tmp_path / "out.jsonl", progress=Notes())
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    texts = [row["text"] for row in toy_rows(400)]
    told = run.predict(texts)
    assert [line["label"] for line in lines] == told.labels
    assert np.abs([line["confidence"] for line in lines] - told.confidence).max() < 1e-4
    whole, words = run.explain(texts[0])
    assert len(words[0]) == len(texts[0].split())
    assert whole.labels == told.labels[:1]


@pytest.mark.parametrize("form", ["merged", "onnx", "peft"])
def test_an_export_answers_by_itself(form: str, run: Run, rows: Path, tmp_path: Path) -> None:
    """Its program adds the side head; for all others it says what they do without."""
    notes, out = Notes(), tmp_path / "out"
    found = tightfit.export(run.path, form, out, progress=notes).to_json()
    texts = [*(row["text"] for row in toy_rows(30, seed=5)), "ÄÖÜ ñandú 世界 🙂"]
    told = by_itself(out, texts)
    wanted = run.predict(texts)
    assert [label for label, _ in told] == wanted.labels
    assert np.abs(np.array([float(score) for _, score in told]) - wanted.confidence).max() < 1e-4
    assert found["without_side"] == {**without_it(run), "by": "labels", "rows": 40}
    points = f"{100 * found['without_side']['accuracy_loss']:.2f} points of accuracy"
    caveat = f"answer without it, at a cost of {points}, by the labels of 40 rows (the run's "
    caveat += "validation rows); when it was trained: of 40 rows"
    assert any(caveat in line for line in notes.warned)
    assert caveat in (out / "README.md").read_text("utf-8")


def without_it(run: Run) -> dict[str, Any]:
    """What accuracy the run's validation rows lose without what it adds."""
    kept = run.validation
    assert kept is not None
    assert run.side is not None
    bare_NK = kept.logits_NK - run.side.logits([str(text) for text in kept.inputs])
    right, bare = (
        float((each_NK.argmax(1) == kept.targets_N).mean()) for each_NK in (kept.logits_NK, bare_NK)
    )
    assert right > bare  # else the figure shows nothing
    return {"accuracy_loss": pytest.approx(right - bare)}


def test_an_imported_adapter_brings_it_along(run: Run, bert: Path, tmp_path: Path) -> None:
    """The round trip: logits to the last digit, counted in plan and proofs, exported again."""
    tightfit.export(run.path, "peft", tmp_path / "peft", progress=Notes())
    made = tightfit.import_adapter(tmp_path / "peft", str(bert), out=tmp_path / "run")
    again, texts = Run.load(made.run), [row["text"] for row in toy_rows(30, seed=5)]
    assert np.array_equal(again.predictor.logits(texts), run.predictor.logits(texts))
    assert again.config.head.side == WIDTH
    assert made.total == again.plan.total == run.plan.total
    assert again.proofs["gates"]["saved"] == made.total
    assert made.proofs["side_solved"] is None
    tightfit.export(made.run, "peft", tmp_path / "again", progress=Notes())
    both = [tmp_path / name / SIDE_FILE for name in ("peft", "again")]
    assert both[0].read_bytes() == both[1].read_bytes()


def test_one_for_other_labels_is_refused(run: Run, bert: Path, tmp_path: Path) -> None:
    """Instead of answering otherwise than the run; nothing is left behind."""
    tightfit.export(run.path, "peft", tmp_path / "peft", progress=Notes())
    assert run.side is not None
    zeros_FK = np.zeros((WIDTH, 3), np.float32)
    wide = SideHead(zeros_FK, np.zeros(3, np.float32), run.side.reader)
    wide.write(tmp_path / "peft")
    with pytest.raises(ArtefactError, match=r"\(512, 3\) and \(3,\) for 2 labels"):
        tightfit.import_adapter(tmp_path / "peft", str(bert), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_it_is_part_of_the_seal(run: Run, tmp_path: Path) -> None:
    """A changed byte is refused, and so is a run without it."""
    copy = Path(shutil.copytree(run.path, tmp_path / "run"))
    file = copy / "adapter" / SIDE_FILE
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(bytes(whole))
    with pytest.raises(ArtefactError):
        Run.load(copy)
    file.unlink()
    with pytest.raises(ArtefactError):
        Run.load(copy)


def test_a_resumed_training_has_the_same(run: Run, bert: Path, rows: Path, tmp_path: Path) -> None:
    """Solved again on the same rows, weighed on the same logits."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        trained(bert, rows, out, progress=_StopsAtTheEnd())
    trained(bert, rows, out, resume=True)
    for name in ("plan.json", "decisions.json"):
        assert (out / name).read_bytes() == (run.path / name).read_bytes()
    side = f"adapter/{SIDE_FILE}"
    assert (out / side).read_bytes() == (run.path / side).read_bytes()


class _StopsAtTheEnd(Notes):
    """Is interrupted once the steps are over, when the side head has been weighed."""

    def say(self, text: str) -> None:
        if text.startswith("side head: "):
            raise KeyboardInterrupt
        super().say(text)


def test_where_it_adds_nothing_it_costs_nothing(bert: Path, rows: Path, tmp_path: Path) -> None:
    """Of random labels no character tells anything: no file, no parameter, no proof."""
    noise = [{**row, "label": str(i * 7 % 11 % 2)} for i, row in enumerate(toy_rows(400))]
    run = trained(
        bert, write_jsonl(tmp_path / "noise.jsonl", noise), tmp_path / "run", "head.side=auto"
    )
    assert run.decisions.side is not None
    assert run.decisions.side.value == 0
    assert run.plan.side is None
    assert run.plan.total == run.plan.adapters + run.plan.head
    assert "side_solved" not in run.proofs
    assert not (run.path / "adapter" / SIDE_FILE).exists()


def test_one_that_is_left_out_at_the_end_is_counted_nowhere(
    bert: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the gates, nor in what the training tells of itself."""
    none = Decision(0.0, "left out")
    monkeypatch.setattr(run_training, "weigh_side", lambda *_, **__: none)
    run = trained(bert, rows, tmp_path / "run", "head.side=64")
    assert run.plan.side is None
    assert run.metrics.train.total == run.plan.total == run.proofs["gates"]["saved"]


def test_rows_without_one_class_have_none(bert: Path, tmp_path: Path) -> None:
    """Asked for, it is refused before anything trains; that rows are lists, reading them says."""
    listed = [{**row, "label": [row["label"], "both"]} for row in toy_rows(60)]
    file = write_jsonl(tmp_path / "listed.jsonl", listed)
    with pytest.raises(SettingsError, match="a side head is offered for one label a text"):
        trained(bert, file, tmp_path / "run")


def test_over_the_cap_it_is_refused_with_the_sum(bert: Path, rows: Path, tmp_path: Path) -> None:
    """And told what fits."""
    with pytest.raises(BudgetError, match=r"side head: 2 x \(512 \+ 1\) = 1,026"):
        trained(bert, rows, tmp_path / "run", "budget.cap=2000")


def test_rows_that_are_all_trained_on(bert: Path, rows: Path, tmp_path: Path) -> None:
    """Each is scored by an encoder and a side head that did not see it."""
    more = ("train.folds=3", "head.start=probe", "head.kind=linear")
    run = trained(bert, rows, tmp_path / "run", *more, "data.validation_rows=0")
    assert run.decisions.side_factor is not None
    assert "of 400 rows that neither saw" in run.decisions.side_factor.reason
    assert run.proofs["side_solved"]["ok"]
