"""Labels: blanks around them are nothing, and spellings of one name are told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tightfit.data.checks.examine import check_table
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.checks.spelling import likely_meant, spelling_warning
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table


def test_the_rarer_spelling_is_meant_to_be_the_commoner() -> None:
    """Of case, Unicode form, full width and spaces; other names stay apart."""
    counts = {
        "Neg": 2,
        "neg": 5,
        "NEG": 1,
        "café": 1,
        "cafe\u0301": 3,
        "\uff50\uff4f\uff53": 1,
        "pos": 9,
        "po": 1,
    }
    counts |= {"on  time": 1, "on time": 2, "STRASSE": 1, "straße": 2, "none": 0, "None": 1}
    wanted = {"Neg": "neg", "NEG": "neg", "café": "cafe\u0301", "\uff50\uff4f\uff53": "pos"}
    assert likely_meant(counts) == {**wanted, "on  time": "on time", "STRASSE": "straße"}


def test_a_training_is_warned() -> None:
    """In one sentence, that names three pairs at most."""
    counts = {"a": 2, "A": 1, "b": 2, "B": 1, "c": 2, "C": 1, "d": 2, "D": 1}
    (warning,) = quick_warnings(["x", "y"], strata=[0, 1], counts=counts)
    assert "'A' and 'a', 'B' and 'b', 'C' and 'c' and 1 more" in warning
    assert spelling_warning({"a": 1, "b": 1}) is None


def test_a_check_shows_the_rows() -> None:
    """As one of its findings."""
    table = Table([f"row {i}" for i in range(5)], ["neg", "pos", "Neg", "neg", "pos"])
    finding = check_table(table, label_errors=False).found["label_spelling"]
    assert (finding.rows, finding.examples[0].why) == ((2,), "labelled Neg, mostly spelt neg")


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff", " \u2009"])
def test_blanks_around_a_label_are_nothing(blank: str, tmp_path: Path) -> None:
    """In any kind of source, around numbers too."""
    names = [f"{blank}neg", "neg", f"pos{blank}", "pos"]
    frame = pd.DataFrame({"text": list("abcd"), "label": names})
    assert read_table(frame, Columns(), labelled=True).labels == ["neg", "neg", "pos", "pos"]
    path = tmp_path / "a.csv"
    path.write_text(f'text,label\na,"{blank}1"\nb,"2{blank}"\n', "utf-8")
    assert read_table(path, Columns(), labelled=True).labels == [1, 2]
