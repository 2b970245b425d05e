"""Pairs with several labels or ratings, with folds and groups: each trains, seals and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.toy_setups import SHORT
from tests.toys import pair_rows, write_jsonl
from tightfit import Run
from tightfit.progress import Progress

TEXTS = {"text_column": ["premise", "hypothesis"]}
ROWS = pair_rows(60)
SETS: list[Any] = [["same"], ["other"], ["other", "same"], []]
FOLDS, GROUPS = ["train.folds=3"], ["data.split=group", "data.group_column=group"]
HELD = [*GROUPS, "train.folds=0"]


def rows_of(kind: str) -> list[dict[str, Any]]:
    """Pairs, labelled as asked; each group has three of them."""
    labels = {
        "single": [row["label"] for row in ROWS],
        "multi": [SETS[i % 4] for i in range(len(ROWS))],
        "rating": [i % 5 + i % 7 / 8 for i in range(len(ROWS))],
    }[kind]
    return [
        {**row, "label": label, "group": i // 3}
        for i, (row, label) in enumerate(zip(ROWS, labels, strict=True))
    ]


@pytest.mark.parametrize("ways", [FOLDS, [*FOLDS, *GROUPS], HELD], ids=" ".join)
@pytest.mark.parametrize("kind", ["multi", "rating", "single"])
def test_pairs_of_each_kind(bert: Path, tmp_path: Path, kind: str, ways: list[str]) -> None:
    """Proofs hold, or a start is kept and says so; a pair is answered."""
    data, out = write_jsonl(tmp_path / "rows.jsonl", rows_of(kind)), tmp_path / "run"
    plain = [each for each in SHORT if each != "train.folds=0"]
    linear = ["head.kind=linear", "head.start=probe"]
    own = [f"data.task={kind}", "data.pair=true", "optim.lr=1e-4", *linear]
    options: dict[str, Any] = {"model": str(bert), "out": out, "progress": Progress(), **TEXTS}
    result = tightfit.train(data, settings=[*plain, *own, *ways], max_steps=12, **options)
    assert [
        name for name, proof in result.proofs.items() if not (proof["ok"] or proof.get("expected"))
    ] == []
    assert result.source == ("cross_validation" if FOLDS[0] in ways else "validation")
    answers: Any = Run.load(out).predict([("goal match", "stock bank")])
    assert len(answers.told()) == 1
