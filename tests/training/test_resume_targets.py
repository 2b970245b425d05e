"""Several labels, ratings and pairs: a run that was stopped and resumed is the same to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.toy_setups import SHORT
from tests.toys import pair_rows, write_jsonl
from tests.training.test_several_labels import rows_of
from tests.verbs.test_rating_runs import rated_rows
from tightfit.errors import Interrupted
from tightfit.progress import Progress
from tightfit.training.callbacks import CheckpointSaver, TrainingState

SETTINGS = [*SHORT, "optim.lr=1e-2", "train.eval_every=4", "optim.batch=8"]
PAIR = ["premise", "hypothesis"]

KINDS: dict[str, tuple[list[dict[str, Any]], list[str], Any]] = {
    "ratings": (rated_rows(60), ["data.task=rating"], None),
    "pairs": (pair_rows(60), ["data.pair=true"], PAIR),
    "ratings, frozen layers kept": (
        rated_rows(60),
        ["data.task=rating", "adapters.layers=1"],
        None,
    ),
    "several labels": (rows_of(60), [], None),
    "several labels, frozen layers kept": (rows_of(60), ["adapters.layers=1"], None),
    "pairs, rated": (
        [{**row, "label": i % 5 + i % 3 / 4} for i, row in enumerate(pair_rows(60))],
        ["data.task=rating", "data.pair=true"],
        PAIR,
    ),
}


def train(bert: Path, data: Path, out: Path, kind: str, **more: Any) -> bytes:
    """The adapter of a run of some fourteen steps."""
    _, settings, columns = KINDS[kind]
    tightfit.train(
        data,
        model=str(bert),
        text_column=columns,
        out=out,
        settings=[*SETTINGS, *settings],
        max_steps=14,
        progress=Progress(),
        **more,
    )
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


def stop_after_ten(self: CheckpointSaver, state: TrainingState) -> None:
    """Keeps a checkpoint, and ends the training."""
    if state.step == 10:
        self._store.save(state.step, state.snapshot())
        raise Interrupted("stopped", signal_number=15, next_step="go on")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_changes_no_bit(
    bert: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether activations of frozen layers are kept or not."""
    data = write_jsonl(tmp_path / "rows.jsonl", KINDS[kind][0])
    whole = train(bert, data, tmp_path / "whole", kind)
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointSaver, "on_step_end", stop_after_ten)
        with pytest.raises(Interrupted):
            train(bert, data, tmp_path / "stopped", kind)
    assert train(bert, data, tmp_path / "stopped", kind, resume=True) == whole
