"""A run on pairs, through every verb and front: do two texts belong together?"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT, Notes
from tests.toys import pair_rows, write_jsonl
from tightfit import Run, TightfitClassifier
from tightfit.data.text_pair import TextPair
from tightfit.errors import DataError, SettingsError
from tightfit.experiments.cells import BASELINES
from tightfit.progress import Progress

COLUMNS = ["premise", "hypothesis"]
PAIR = [*SHORT, "data.pair=true", "optim.lr=1e-2", "data.validation_rows=0.2"]
NEW = pair_rows(12, seed=7)
PAIRS = [(row["premise"], row["hypothesis"]) for row in NEW]


def trained(rows: Any, encoder: Path, out: Path, *settings: str, **more: Any) -> Path:
    """A run in a few steps."""
    options = {"text_column": COLUMNS, "max_steps": 12, "progress": Progress(), **more}
    tightfit.train(rows, model=str(encoder), out=out, settings=[*PAIR, *settings], **options)
    return out


@pytest.fixture(scope="module")
def run(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a file of pairs; not to be changed."""
    folder = tmp_path_factory.mktemp("pairs")
    return trained(write_jsonl(folder / "rows.jsonl", pair_rows(100)), encoder, folder / "run")


@pytest.fixture(scope="module")
def answers(run: Path) -> np.ndarray[Any, Any]:
    """Its probabilities for the new pairs."""
    return Run.load(run).predict(PAIRS).probabilities


GIVEN: dict[str, Callable[[], Any]] = {
    "tuple of tuples": lambda: tuple(PAIRS),
    "lists": lambda: [list(pair) for pair in PAIRS],
    "array": lambda: np.array(PAIRS),
    "generator": lambda: (pair for pair in PAIRS),
    "pairs": lambda: [TextPair(*pair) for pair in PAIRS],
    "pairs and labels": lambda: (PAIRS, ["same"] * len(PAIRS)),
    "frame": lambda: pd.DataFrame(NEW),
    "Arrow table": lambda: pa.Table.from_pylist(NEW),
    "dicts": lambda: NEW,
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_pairs_are_given_in_any_form(
    given: Callable[[], Any], run: Path, answers: np.ndarray[Any, Any]
) -> None:
    """And answered alike; either text counts, and so does their order."""
    assert np.array_equal(Run.load(run).predict(given()).probabilities, answers)


def test_both_texts_and_their_order_count(run: Path, answers: np.ndarray[Any, Any]) -> None:
    """One pair may stand by itself."""
    loaded = Run.load(run)
    assert np.allclose(loaded.predict(PAIRS[0]).probabilities, answers[:1])
    for other in ([(b, a) for a, b in PAIRS], [(a, "goal") for a, _ in PAIRS]):
        assert np.abs(loaded.predict(other).probabilities - answers).max() > 1e-3


NO_PAIRS: list[tuple[Any, str]] = [
    ("goal", r"not a pair of texts but 'goal'(.|\n)*single texts are for data.pair=false"),
    ([("a", "b"), ("a", "b", "c")], r"(.|\n)*row 1 \(counted from 0\)"),
    ([("a", None)], "without one of the two texts of a pair"),
    ([("a", 1.5 + 2j), ("a", {})], r"a text is not a string but \{\}"),
    ((["a", "b"], ["c", "d"]), r"two lists in a tuple(.|\n)*list\(zip\(firsts, seconds\)\)"),
    ((pd.Series(["a"]), pd.Series(["b"])), "two lists in a tuple"),
    (pd.DataFrame({"premise": ["a"]}), r"has no column 'hypothesis'"),
]


@pytest.mark.parametrize(("given", "words"), NO_PAIRS, ids=str)
def test_what_is_no_pair_is_refused(given: Any, words: str, run: Path) -> None:
    """By its row and in words."""
    with pytest.raises(DataError, match=words):
        Run.load(run).predict(given)


def test_a_run_on_single_texts_refuses_pairs(finished: tightfit.TrainResult) -> None:
    """As anything that is no string."""
    with pytest.raises(DataError, match="a text is not a string but"):
        Run.load(finished.run).predict([("a", "b")])
    found = cli("predict", str(finished.run), "--text", "a", "--text-pair", "b")
    assert found.exit_code == 2
    assert "--text-pair is for a run on pairs" in found.stderr


def test_pairs_in_memory_train_the_same_run(encoder: Path, run: Path, tmp_path: Path) -> None:
    """As (pairs, labels), and as a frame: the same rows are the same run."""
    rows = pair_rows(100)
    pairs = [(row["premise"], row["hypothesis"]) for row in rows]
    labels = [row["label"] for row in rows]
    wanted = Run(run).data.train_fingerprint
    for number, data in enumerate([(pairs, labels), pd.DataFrame(rows)]):
        out = trained(data, encoder, tmp_path / f"{number}", max_steps=1)
        assert Run(out).data.train_fingerprint == wanted
    joined = trained(
        pd.DataFrame(rows), encoder, tmp_path / "joined", "data.pair=false", max_steps=1
    )
    assert Run(joined).data.train_fingerprint != wanted


def test_files_are_predicted_by_the_columns_of_the_run(
    run: Path, answers: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """In the engines, too; a file without one of them is refused."""
    data = write_jsonl(tmp_path / "new.jsonl", NEW)
    for engine in ("torch", "onnx"):
        out = tmp_path / f"{engine}.csv"
        tightfit.predict(run, data, out, engine=engine, probabilities=True, progress=Progress())
        with out.open() as file:
            found = [(float(row["other"]), float(row["same"])) for row in csv.DictReader(file)]
        assert np.allclose(found, answers, atol=1e-5)
    lacking = write_jsonl(tmp_path / "lacking.jsonl", [{"premise": "goal"}])
    told = cli("predict", str(run), "--data", str(lacking), "--out", str(tmp_path / "p.csv"))
    assert told.exit_code == 4
    assert "has no column 'hypothesis'" in told.stderr


def test_a_pair_without_one_text_is_told_by_its_row(
    run: Path, answers: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """Or is a pair with an empty text, where that is asked for."""
    data = write_jsonl(tmp_path / "gap.jsonl", [*NEW, {"premise": "goal", "hypothesis": None}])
    with pytest.raises(DataError, match=r"one of the two texts of a pair(.|\n)*line 13"):
        tightfit.predict(run, data, tmp_path / "p.csv", progress=Progress())
    found = tightfit.predict(
        run, data, tmp_path / "p.csv", missing_text="empty", progress=Progress()
    )
    assert found.rows == 13


def test_the_command_line_takes_two_texts(run: Path, answers: np.ndarray[Any, Any]) -> None:
    """As options, or in a line with a tab; either answers as Python does."""
    options = [part for a, b in PAIRS for part in ("--text", a, "--text-pair", b)]
    lines = "".join(f"{a}\t{b}\n" for a, b in PAIRS)
    for found in (cli("predict", str(run), *options), cli("predict", str(run), stdin=lines)):
        assert found.exit_code == 0, found.stderr
        sure = [float(line.split("\t")[1]) for line in found.stdout.splitlines()]
        assert np.allclose(sure, answers.max(1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "stdin", "code", "words"),
    [
        (["--text", "a"], None, 2, "1 --text and 0 --text-pair"),
        (["--text-pair", "a"], None, 2, "0 --text and 1 --text-pair"),
        ([], "a\tb\nc\n", 4, "line 2 with 0 tabs"),
        ([], "a\tb\tc\n", 4, "line 1 with 2 tabs"),
    ],
)
def test_half_a_pair_is_refused(
    options: list[str], stdin: str | None, code: int, words: str, run: Path
) -> None:
    """With what is missing."""
    found = cli("predict", str(run), *options, stdin=stdin)
    assert found.exit_code == code
    assert words in found.stderr


def test_an_export_and_a_report_tell_how_pairs_are_given(run: Path, tmp_path: Path) -> None:
    """In the card, and in what to type next; both texts of a mistake are shown."""
    tightfit.export(run, "merged", tmp_path / "merged", progress=Progress())
    card = (tmp_path / "merged" / "README.md").read_text("utf-8")
    assert "answers a pair a line, a tab between its texts" in card
    assert "It reads pairs of texts" in card
    page = Run(run).folder.report.read_text("utf-8")
    assert "--text-pair" in page
    assert " ⟷ " in page


def test_words_of_both_texts_are_weighed(run: Path) -> None:
    """Each is left out of the text that it is in."""
    pair = ("goal match", "goal bank")
    found, (words,) = Run.load(run).explain([pair])
    left_out = [("match", "goal bank"), ("goal", "goal bank"), ("goal match", "bank")]
    others = Run.load(run).predict([*left_out, ("goal match", "goal")])
    assert [word.text for word in words] == ["goal", "match", "goal", "bank"]
    wanted = others.probabilities[:, found.ids[0]]
    assert np.allclose([word.without for word in words], wanted, atol=1e-6)


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({"text_column": "premise"}, [], r"made of two columns(.|\n)*with 1: premise"),
    ({"text_column": [*COLUMNS, "label"]}, [], "made of two columns"),
    ({}, ["data.long_text=windows"], "data.long_text=windows is for single texts"),
    ({}, ["data.long_text=head+tail"], "data.long_text=head[+]tail is for single texts"),
]


@pytest.mark.parametrize(("options", "settings", "words"), REFUSED)
def test_settings_that_make_no_pair_are_refused(
    options: dict[str, Any], settings: list[str], words: str, encoder: Path, tmp_path: Path
) -> None:
    """Before anything is written."""
    data = write_jsonl(tmp_path / "rows.jsonl", NEW)
    with pytest.raises(SettingsError, match=words):
        trained(data, encoder, tmp_path / "run", *settings, **options)
    assert not (tmp_path / "run").exists()


def test_a_run_is_gone_on_from_with_pairs(run: Path, tmp_path: Path) -> None:
    """Its kept validation rows are pairs still, and compared; single texts are refused."""
    mine = Path(shutil.copytree(run, tmp_path / "run"))
    kept = Run(mine).validation
    assert kept is not None
    assert all(isinstance(text, TextPair) for text in kept.inputs)
    more = write_jsonl(tmp_path / "more.jsonl", pair_rows(40, seed=3))
    options: Any = {"from_run": mine, "max_steps": 4, "progress": Progress()}
    found = tightfit.train(more, out=tmp_path / "next", **options)
    assert Run(found.run).config.data.pair
    with pytest.raises(SettingsError, match=r"data.pair=false(.|\n)*data.pair=true, as in"):
        tightfit.train(more, out=tmp_path / "no", settings=["data.pair=false"], **options)


def test_the_frozen_prefix_is_that_of_the_pair(encoder: Path, tmp_path: Path) -> None:
    """Kept on disk, in segments: the same answers as without."""
    rows = pair_rows(80)
    few = ("adapters.layers=1", "train.precision=fp32", "optim.epochs=2")
    runs = [
        trained(rows, encoder, tmp_path / word, f"train.prefix_cache={word}", *few, max_steps=None)
        for word in ("auto", "off")
    ]
    cache = Run(runs[0]).decisions.prefix_cache
    assert cache is not None
    assert cache.value == "on"
    with_it, without = (Run.load(path).predict(PAIRS).probabilities for path in runs)
    assert np.allclose(with_it, without, atol=2e-2)


def test_few_pairs_train_by_contrast(encoder: Path, tmp_path: Path) -> None:
    """Sentences with the labels' names, which are single texts, are left out."""
    found = trained(
        pair_rows(24),
        encoder,
        tmp_path / "few",
        *("optim.objective=contrastive", "train.folds=2", "contrastive.steps=2"),
        *("head.kind=linear", "head.start=probe"),
        max_steps=None,
    )
    assert Run(found).decisions.label_names is None
    assert Run(found).proofs["round_trip"]["ok"]


def test_the_estimator_takes_pairs(encoder: Path) -> None:
    """Tuples, arrays or two columns; others are a ValueError."""
    settings = {"data.pair": True, "train.max_steps": 2, "data.max_length": 32}
    model = TightfitClassifier(model=str(encoder), settings=settings, random_state=1)
    rows = pd.DataFrame(pair_rows(40))
    pairs = list(rows[COLUMNS].itertuples(index=False, name=None))
    model.fit(pairs, rows["label"])
    shares = model.predict_proba(PAIRS)
    assert np.array_equal(shares, model.predict_proba(np.array(PAIRS)))
    frame = pd.DataFrame(PAIRS, columns=COLUMNS)
    assert np.array_equal(shares, model.set_params(text_column=COLUMNS).predict_proba(frame))
    for odd in (["a", "b"], [("a", "b", "c")], [("a", 1)], []):
        with pytest.raises(ValueError, match=r"pairs of texts|0 sample"):
            model.predict(odd)


def test_other_names_of_both_columns_are_proposed(run: Path) -> None:
    """The run reads pairs already: nothing is said of texts that are joined."""
    rows = pd.DataFrame(NEW).rename(columns={"premise": "text_a", "hypothesis": "text_b"})
    with pytest.raises(DataError) as caught:
        tightfit.evaluate(run, rows, progress=Progress())
    assert caught.value.add == "--text-column text_a,text_b"
    assert caught.value.next_step == "name the columns of both texts, the first one first:"


def test_rows_are_checked_as_pairs(tmp_path: Path) -> None:
    """The same premise twice repeats nothing; the same pair does."""
    rows = [{"premise": "goal", "hypothesis": f"bank {i}", "label": str(i % 2)} for i in range(30)]
    data = write_jsonl(tmp_path / "rows.jsonl", [*rows, rows[0]])
    options: Any = {"text_column": COLUMNS, "label_errors": False, "progress": Notes()}
    found = tightfit.check(data, settings=["data.pair=true"], **options)
    assert found.findings.found["exact_duplicates"].rows == (30,)
    with pytest.raises(SettingsError, match="belongs to a training"):
        tightfit.check(data, settings=["data.max_length=9"], **options)


def test_compare_reads_both_texts(encoder: Path, tmp_path: Path) -> None:
    """Its baselines too: words of both, and mean embeddings of the pair."""
    data = write_jsonl(tmp_path / "rows.jsonl", pair_rows(60))
    found = tightfit.compare(
        data,
        text_column=COLUMNS,
        model=str(encoder),
        only=BASELINES[1:],
        out=tmp_path / "compared",
        settings=PAIR,
        progress=Progress(),
    )
    assert [row.name for row in found.rows] == list(BASELINES[1:])
