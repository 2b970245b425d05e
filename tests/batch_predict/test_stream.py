"""Prediction of whole files: the same rows in any format and any chunks, or no file at all."""

from __future__ import annotations

import csv
import errno
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tightfit
from tests.toy_setups import (
    TEXTS,
    CountingBar,
    Notes,
    Speaker,
    predict_chunks,
    toy_classifier,
    toy_predictor,
)
from tests.toys import toy_rows
from tightfit.batch_predict.shard import Shard
from tightfit.batch_predict.writers import WRITERS
from tightfit.engines.predictor import Predictor
from tightfit.errors import DataError, MachineError, UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.storage import lock_output

STRANGE = (
    'a, "quoted" one',
    "two\nlines",
    "a\rreturn",
    "🙂 ünï",
    "-1",
    "=1+1",
    "back\\slash",
    "tab\t",
    " ",
)
"""Label names that formats get wrong."""

formats = pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])


@pytest.fixture(scope="module")
def predictor(bert: Path) -> Predictor:
    """A classifier with strange labels."""
    return toy_predictor(toy_classifier(bert, labels=STRANGE))


@pytest.fixture(scope="module")
def many() -> list[str]:
    """A hundred texts."""
    return [row["text"] for row in toy_rows(100)]


def read_back(path: Path) -> list[dict[str, Any]]:
    """Rows of a file, read by a library that is not ours; numbers as they were."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(encoding="utf-8", newline="") as file:
        return [{**row, "id": int(row["id"])} for row in csv.DictReader(file)]


def chunked(texts: list[str], size: int) -> Iterator[list[str]]:
    """Some at a time."""
    return (texts[i : i + size] for i in range(0, len(texts), size))


@formats
def test_rows_come_back_in_order(
    suffix: str, predictor: Predictor, many: list[str], tmp_path: Path
) -> None:
    """IDs from 0, and the label that the classifier gives to each text."""
    written = predict_chunks(predictor, chunked(many, 30), tmp_path / f"out{suffix}")
    rows = read_back(tmp_path / f"out{suffix}")
    assert (written.rows, written.abstained) == (100, 0)
    assert [row["id"] for row in rows] == list(range(100))
    assert [int(row["label"]) for row in rows] == predictor.predict(many).ids
    assert list(rows[0]) == ["id", "label", "confidence"]


@formats
def test_chunks_do_not_matter(
    suffix: str, predictor: Predictor, many: list[str], tmp_path: Path
) -> None:
    """One row at a time, seven, or all at once: the same rows, probabilities to 1e-6."""
    found = []
    for size in (1, 7, 1000):
        out = tmp_path / f"{size}{suffix}"
        predict_chunks(predictor, chunked(many, size), out, probabilities=True)
        found.append(read_back(out))
    for other in found[1:]:
        assert [row["label"] for row in other] == [row["label"] for row in found[0]]
        for name in list(other[0])[2:]:
            ours, theirs = ([float(row[name]) for row in rows] for rows in (other, found[0]))
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_files_of_ids_are_the_same_bytes(
    predictor: Predictor, many: list[str], tmp_path: Path
) -> None:
    """What is handed in does not depend on how it was cut."""
    for size in (1, 7, 1000):
        predict_chunks(predictor, chunked(many, size), tmp_path / f"{size}.csv", submission=True)
    contents = {(tmp_path / f"{size}.csv").read_bytes() for size in (1, 7, 1000)}
    assert len(contents) == 1
    assert contents.pop().startswith(b"ID,Label\n0,")


@formats
def test_strange_label_names_come_back(suffix: str, predictor: Predictor, tmp_path: Path) -> None:
    """Commas, quotes, line ends, emoji, formulas: as values and as the names of columns."""
    out = tmp_path / f"out{suffix}"
    predict_chunks(predictor, [TEXTS], out, label_format="name", probabilities=True)
    rows = read_back(out)
    assert [row["label"] for row in rows] == predictor.predict(TEXTS).labels
    assert list(rows[0]) == ["id", "label", "confidence", *STRANGE]
    for row in rows:
        assert sum(float(row[name]) for name in STRANGE) == pytest.approx(1, abs=1e-5)


@formats
@pytest.mark.parametrize("label_format", ["value", "id", "name"])
def test_texts_below_the_threshold_have_no_label(
    suffix: str, label_format: Any, predictor: Predictor, tmp_path: Path
) -> None:
    """An empty cell, or null; the first row may be one of them."""
    unsure = replace(predictor, threshold=0.999)
    out = tmp_path / f"out{suffix}"
    written = predict_chunks(unsure, [TEXTS], out, label_format=label_format)
    assert (written.rows, written.abstained) == (4, 4)
    assert {row["label"] for row in read_back(out)} <= {"", None}


def test_texts_that_were_cut_are_counted_over_chunks(predictor: Predictor, tmp_path: Path) -> None:
    """One in the first chunk, two in the second."""
    long = "goal " * 40
    written = predict_chunks(predictor, [[long, "a"], [long, long]], tmp_path / "out.csv")
    assert written.truncated == 3


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), max_size=6),
    count=st.integers(1, 5),
    label_format=st.sampled_from(["value", "id", "name"]),
)
def test_any_chunks_and_shards_give_the_same_file(
    sizes: list[int], count: int, label_format: Any, predictor: Predictor, many: list[str]
) -> None:
    """However the rows are cut and dealt out, their lines put together are those of one piece."""
    ends = [min(sum(sizes[:i]), len(many)) for i in range(len(sizes) + 1)]
    chunks = [many[a:b] for a, b in zip(ends, [*ends[1:], len(many)], strict=True) if a < b]
    with TemporaryDirectory() as folder:
        whole = Path(folder, "whole.jsonl")
        predict_chunks(predictor, [many], whole, label_format=label_format)
        lines = []
        for number in range(1, count + 1):
            out, shard = Path(folder, f"{number}.jsonl"), Shard(number, count)
            predict_chunks(predictor, chunks, out, label_format=label_format, shard=shard)
            lines += out.read_text("utf-8").splitlines()
        lines.sort(key=lambda line: int(json.loads(line)["id"]))
        assert lines == whole.read_text("utf-8").splitlines()


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a=1", "'=1")
"""Label names, of which a spreadsheet would run all but the last two."""


def test_formulas_are_escaped_where_that_is_asked_for(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind an apostrophe; other names stay as they are."""
    predictor = toy_predictor(toy_classifier(bert, labels=FORMULAS))
    each = predictor.task.predictions(np.eye(len(FORMULAS)))
    monkeypatch.setattr(Predictor, "predict_tokens", lambda *_: each)
    for escape, due in (
        (False, FORMULAS),
        (True, (*(f"'{n}" for n in FORMULAS[:6]), "a=1", "'=1")),
    ):
        options: dict[str, Any] = {"label_format": "name", "escape_formulas": escape}
        predict_chunks(predictor, [["goal"] * len(FORMULAS)], tmp_path / "out.csv", **options)
        assert tuple(row["label"] for row in read_back(tmp_path / "out.csv")) == due


def test_formulas_are_no_matter_in_other_formats(predictor: Predictor, tmp_path: Path) -> None:
    """JSON lines and Parquet would only be spoilt."""
    with pytest.raises(UsageError, match="escaped in CSV only") as caught:
        predict_chunks(predictor, [TEXTS], tmp_path / "out.jsonl", escape_formulas=True)
    assert (caught.value.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_no_rows_leave_a_file_with_columns(predictor: Predictor, tmp_path: Path) -> None:
    """Whoever reads it finds what was asked for: none of them."""
    for suffix in (".csv", ".jsonl", ".parquet"):
        assert predict_chunks(predictor, [], tmp_path / f"out{suffix}").rows == 0
    assert (tmp_path / "out.csv").read_text() == "id,label,confidence\n"
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["id", "label", "confidence"]


def test_progress_is_told(predictor: Predictor, many: list[str], tmp_path: Path) -> None:
    """Row by row of the whole file, within a chunk too, and those that are read back."""
    for job in ({"run": "a"}, {"run": "a"}):
        bar = CountingBar()
        options: dict[str, Any] = {"progress": Speaker(bar), "job": job}
        predict_chunks(predictor, chunked(many, 30), tmp_path / "out.csv", **options)
        assert bar.count == 100


def test_a_log_hears_of_rows_that_nobody_counted(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """How many there are is not known of a CSV: a prediction of an hour said nothing."""
    monkeypatch.setattr("tightfit.progress.LOG_AFTER", -1.0)
    predict_chunks(predictor, [TEXTS], tmp_path / "out.csv", progress=RichProgress())
    assert capsys.readouterr().err == "predicting: 4\n"


def failing(error: BaseException) -> Iterator[list[str]]:
    """Texts that end in a fault."""
    yield TEXTS
    raise error


@formats
@pytest.mark.parametrize(
    "error", [DataError("row 5 has no text"), KeyboardInterrupt(), MachineError("cannot read")]
)
def test_a_failure_midway_leaves_only_what_is_finished(
    suffix: str, error: BaseException, predictor: Predictor, tmp_path: Path
) -> None:
    """Neither the file nor its parts, and the fault itself is told, not another."""
    with pytest.raises(type(error)) as caught:
        predict_chunks(predictor, failing(error), tmp_path / f"out{suffix}")
    assert caught.value is error
    assert left_in(tmp_path) == ["done", f"out{suffix}.partial"]


def left_in(folder: Path) -> list[str]:
    """What a prediction that failed leaves, the finished chunks themselves aside."""
    return sorted(path.name for path in folder.rglob("*") if path.parent.name != "done")


def test_a_failure_midway_keeps_the_older_file(predictor: Predictor, tmp_path: Path) -> None:
    """As it was."""
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(DataError):
        predict_chunks(predictor, failing(DataError("no text")), out)
    assert out.read_text() == "old"
    assert left_in(tmp_path) == ["done", "out.csv", "out.csv.partial"]


@formats
def test_a_full_disk_is_a_fault_of_the_machine(
    suffix: str, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its words, and without a half-written file."""

    def full_disk(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WRITERS[suffix], "write", full_disk)
    with pytest.raises(MachineError, match="could not be written") as caught:
        predict_chunks(predictor, [TEXTS], tmp_path / f"out{suffix}")
    assert "No space left on device" in str(caught.value)
    assert left_in(tmp_path) == ["done", f"out{suffix}.partial"]


def test_an_output_below_a_file_is_a_fault_of_the_machine(
    predictor: Predictor, tmp_path: Path
) -> None:
    """There cannot be such a folder."""
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="something is there already"):
        predict_chunks(predictor, [TEXTS], tmp_path / "file" / "out.csv")


def test_two_predictions_do_not_share_an_output(predictor: Predictor, tmp_path: Path) -> None:
    """Chunks of both, perhaps of two runs, would be mixed."""
    refused = pytest.raises(MachineError, match="another process is writing")
    with lock_output(tmp_path / "out.csv"), refused:
        predict_chunks(predictor, [TEXTS], tmp_path / "out.csv")
    predict_chunks(predictor, [TEXTS], tmp_path / "out.csv")
    assert left_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.xlsx", "out.csv.gz"])
def test_other_formats_are_refused(name: str, predictor: Predictor, tmp_path: Path) -> None:
    """With those that there are, and before a text is read."""
    with pytest.raises(UsageError, match="cannot be written in this format") as caught:
        predict_chunks(predictor, failing(AssertionError()), tmp_path / name)
    assert "FILE.csv, FILE.jsonl, FILE.parquet" in str(caught.value)


def test_a_folder_of_that_name_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    """It is not replaced."""
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(UsageError, match="the output is a folder"):
        predict_chunks(predictor, [TEXTS], tmp_path / "out.csv")


def test_the_competition_s_file(finished: tightfit.TrainResult, tmp_path: Path) -> None:
    """A pickled data set of 8,000 texts: a header, and the IDs 0 to 7999."""
    rows = [row["text"] for row in toy_rows(200)] * 40
    with (tmp_path / "test.pkl").open("wb") as file:
        pickle.dump(datasets.Dataset.from_dict({"text": rows}), file)
    out = tmp_path / "submission.csv"
    result = tightfit.predict(
        finished.run, tmp_path / "test.pkl", out, submission=True, progress=Progress()
    )
    assert (result.rows, result.abstained) == (8000, 0)
    lines = out.read_text().splitlines()
    assert lines[0] == "ID,Label"
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(8000)]
    assert {line.split(",")[1] for line in lines[1:]} == {"0", "1"}


def test_a_fault_in_the_rows_leaves_no_submission(
    finished: tightfit.TrainResult, tmp_path: Path
) -> None:
    """The column is wrong, which shows at once; no text in row 9,000, which shows late.

    What was finished by then waits for the mended row.
    """
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "goal"}\n' * 9000 + '{"text": null}\n')
    for column in ("body", "text"):
        with pytest.raises(DataError):
            tightfit.predict(
                finished.run, data, tmp_path / "out.csv", text_column=column, progress=Progress()
            )
        kept = [path.name for path in tmp_path.iterdir() if path != data]
        assert kept == ([] if column == "body" else ["out.csv.partial"])


def test_texts_that_training_did_not_see_the_like_of(
    finished: tightfit.TrainResult, tmp_path: Path
) -> None:
    """The encoder read all of the training rows; half of these tokens are unknown to it."""
    for texts, told in ((TEXTS, []), (["目标 goal", "goal 比赛"], ["50% of the tokens", "0% in"])):
        notes = Notes()
        tightfit.predict(finished.run, texts, tmp_path / f"{len(told)}.csv", progress=notes)
        assert len(notes.warned) == bool(told), notes.warned
        assert all(words in notes.warned[0] for words in told)
