"""The verb ``predict``: files, texts on the command line, and pipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import Recorder, cli, like_result, replace
from tightfit.cli import predict_command as verb
from tightfit.cli import text_answers
from tightfit.config import load_config
from tightfit.storage import RunFolder
from tightfit.tasks import Predictions, SingleLabel

NAMES = ("money", "sport")


class ToyRun:
    """A run that calls texts with a ``g`` in them sport."""

    def __init__(self) -> None:
        self.chunks: list[list[str]] = []
        self.loaded: tuple[Any, ...] = ()
        self.thresholds: dict[int, float] = {}
        self.config, self.path = load_config(), Path("run")
        self.folder = RunFolder(self.path)
        self.artefact = self.folder.adapter
        self.task = SingleLabel.from_names(NAMES)

    def load(self, path: Path, **options: Any) -> ToyRun:
        """Stands for Run.load; who asks for few errors gets answers from a confidence of 0.8 on."""
        self.loaded = (path, options)
        self.threshold = 0.8 if options["max_error"] else 0.0
        return self

    def predict(self, texts: list[str]) -> Predictions:
        """0.75 for one label, 0.25 for the other; texts beyond 99 letters count as cut."""
        self.chunks.append(texts)
        sport_N = np.array([0.75 if "g" in text else 0.25 for text in texts])
        cut = sum(len(text) > 99 for text in texts)
        shares_NK = np.stack([1 - sport_N, sport_N], axis=1)
        return self.task.predictions(shares_NK, truncated=cut, threshold=self.threshold)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    """In the place of every run."""
    toy = ToyRun()
    replace(monkeypatch, "Run", toy)
    return toy


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In the place of the prediction of files."""
    found = {
        "out": "p.csv",
        "rows": 7600,
        "truncated": 12,
        "abstained": 3,
        "empty": 2,
        "threshold": 0.8,
        "by_linear": 5,
        "seconds": 100.0,
    }
    recorder = Recorder(like_result(found, **found))
    replace(monkeypatch, "predict", recorder)
    return recorder


# --- texts -------------------------------------------------------------------------------------


def test_texts_in_words(run: ToyRun) -> None:
    """One line a text: label, tab, probability."""
    result = cli("predict", "r", "--text", "goal", "--text", "bank", "--max-length", "64")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "sport\t0.750000\nmoney\t0.750000\n"
    assert run.loaded == (Path("r"), {"max_length": 64, "max_error": None, "thresholds": None})


def test_a_text_has_one_line_whatever_its_label_is_called(run: ToyRun) -> None:
    """JSON has the name as it is."""
    run.task = SingleLabel.from_names(("two\nlines", "a\tb"))
    options = ["--text", "goal", "--text", "bank"]
    assert cli("predict", "r", *options).stdout == "a b\t0.750000\ntwo lines\t0.750000\n"
    told = json.loads(cli("predict", "r", *options, "--json").stdout)
    assert told["predictions"][1]["label"] == "two\nlines"


@pytest.mark.usefixtures("run")
def test_texts_as_an_object() -> None:
    """Rows as in the file, with names."""
    result = cli("predict", "r", "--text", "goal", "--text", "bank", "--json")
    assert json.loads(result.stdout) == {
        "predictions": [
            {"id": 0, "label": "sport", "confidence": 0.75},
            {"id": 1, "label": "money", "confidence": 0.75},
        ]
    }


@pytest.mark.usefixtures("run")
def test_probabilities_and_ids() -> None:
    """Both on request, in both forms."""
    options = ["--text", "goal", "--probabilities", "--label-format", "id"]
    assert cli("predict", "r", *options).stdout == "1\t0.750000\t0=0.250000\t1=0.750000\n"
    [row] = json.loads(cli("predict", "r", *options, "--json").stdout)["predictions"]
    shares = {"0": 0.25, "1": 0.75}
    assert row == {"id": 0, "label": 1, "confidence": 0.75, "probabilities": shares}


@pytest.mark.usefixtures("run")
def test_texts_without_an_answer() -> None:
    """No label where the classifier is not sure enough; the probability stays."""
    options = ["--text", "goal", "--max-error", "0.02"]
    assert cli("predict", "r", *options).stdout == "\t0.750000\n"
    [row] = json.loads(cli("predict", "r", *options, "--json").stdout)["predictions"]
    assert row == {"id": 0, "label": None, "confidence": 0.75}


@pytest.mark.usefixtures("run")
def test_cut_texts_are_told() -> None:
    """On stderr, in both forms."""
    for more in ([], ["--json"]):
        result = cli("predict", "r", "--text", "g" * 100, *more)
        assert "1 text was longer than is read, and cut" in result.stderr


# --- standard input ----------------------------------------------------------------------------


def test_a_pipe(run: ToyRun) -> None:
    """One text a line; an empty line is answered too, so that lines stay side by side."""
    result = cli("predict", "r", stdin="goal\r\n\nbank")
    assert result.stdout == "sport\t0.750000\nmoney\t0.750000\nmoney\t0.750000\n"
    assert run.chunks == [["goal", "", "bank"]]
    assert "note: 1 text has no words, and a label that says nothing" in result.stderr


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("stdin", "table"),
    [
        ("id,text,team\n7,a goal,red\n9,a bank,blue\n", True),
        ("id;text\n7;a goal, late\n", True),
        ("Text\na goal\n", True),
        ("a goal, late\na bank, new\n", False),
        ("goal,bank\n", False),
        ("goal\nbank\n", False),
        ("x" * 200_000 + "\nbank\n", False),
    ],
)
def test_a_table_in_a_pipe_is_told(stdin: str, table: bool) -> None:
    """Its header and its ids would be read as texts, and nobody would see it."""
    result = cli("predict", "r", stdin=stdin)
    assert ("each is answered as one text; to read a column" in result.stderr) == table
    assert len(result.stdout.splitlines()) == stdin.count("\n")


def test_a_long_pipe(run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are read as they are answered, and numbered through."""
    monkeypatch.setattr(text_answers, "LINES_AT_ONCE", 2)
    result = cli("predict", "r", "--json", stdin="a\nb\nc\nd\ne\n")
    assert run.chunks == [["a", "b"], ["c", "d"], ["e"]]
    assert [row["id"] for row in json.loads(result.stdout)["predictions"]] == [0, 1, 2, 3, 4]


def test_a_byte_order_mark_is_no_text(run: ToyRun) -> None:
    """Some programs begin with one."""
    cli("predict", "r", stdin=b"\xef\xbb\xbfgoal\n")
    assert run.chunks == [["goal"]]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"", "standard input is empty"),
        (b"goal\nb\xff\n", "not UTF-8\n  seen:    line 2, byte 2\n"),
        (b"b\xff\n", "convert it: iconv -f ENCODING -t UTF-8"),
        ("Das Café öffnet\n".encode("cp1252"), "cp1252; convert it: iconv -f CP1252 -t UTF-8"),
        ("Das Café öffnet\n".encode("mac_roman"), "convert it: iconv -f MACINTOSH -t UTF-8"),
        ("goal\n".encode("utf-16"), "convert it: iconv -f UTF-16 -t UTF-8"),
        ("Das Café\nist zu\n".encode("utf-16-le"), "convert it: iconv -f UTF-16LE -t UTF-8"),
        ("goal\nDas Café\n".encode("utf-16-le"), "convert it: iconv -f UTF-16LE -t UTF-8"),
        ("goal\nDas Café\n".encode("utf-16-be"), "convert it: iconv -f UTF-16BE -t UTF-8"),
    ],
)
def test_faulty_pipes(stdin: bytes, words: str) -> None:
    """Faults of rows: code 4."""
    result = cli("predict", "r", stdin=stdin)
    assert (result.exit_code, result.stdout) == (4, "")
    assert words in result.stderr


@pytest.mark.usefixtures("run")
def test_answers_before_a_fault_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is answered as it comes; an object is whole or not there."""
    monkeypatch.setattr(text_answers, "LINES_AT_ONCE", 1)
    assert cli("predict", "r", stdin=b"goal\n\xff\n").stdout == "sport\t0.750000\n"
    assert cli("predict", "r", "--json", stdin=b"goal\n\xff\n").stdout == ""


def test_a_terminal_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for somebody to type would look like hanging."""
    monkeypatch.setattr(verb, "_is_terminal", lambda: True)
    result = cli("predict", "r")
    assert result.exit_code == 2
    assert "there is nothing to predict\n  allowed: --data ROWS --out FILE" in result.stderr


# --- files -------------------------------------------------------------------------------------


def test_a_file(files: Recorder) -> None:
    """Everything is passed on; the form is the verb's to choose."""
    result = cli("predict", "r", "--data", "d", "--out", "p.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "wrote 7,600 predictions to p.csv, 76 rows a second" in result.stderr
    assert "12 texts were longer than is read, and cut" in result.stderr
    assert "3 texts have no label: the classifier is less than 80.0% sure" in result.stderr
    assert files.arguments == (Path("r"), "d", Path("p.csv"))
    assert files.options["label_format"] is None
    assert files.options["probabilities"] is False


ALL_OPTIONS = (
    "--probabilities --label-format name --max-length 64 --max-error 0.02 --text-column a,b "
    "--shard 2/3 --escape-formulas --engine auto --cascade --missing-text empty --keep a,c "
    "--id-column b --overwrite --submission --threshold a=b=0.3 "
    "--set data.delimiter=tab"
)
AS_ARGUMENTS = {
    **dict.fromkeys(["probabilities", "escape_formulas", "cascade", "overwrite"], True),
    "submission": True,
    "thresholds": {"a=b": 0.3},
    "keep": "a,c",
    "id_column": "b",
    "label_format": "name",
    "max_length": 64,
    "max_error": 0.02,
    "text_column": "a,b",
    "missing_text": "empty",
    "settings": ["data.delimiter=tab"],
    "shard": "2/3",
    "engine": "auto",
}


def test_a_file_with_options(files: Recorder) -> None:
    """The object, and what else can be asked for."""
    options = ["--data", "d", "--out", "p.csv", "--json", *ALL_OPTIONS.split()]
    result = cli("predict", "r", *options)
    assert json.loads(result.stdout) == files.result.to_json()
    assert files.options == AS_ARGUMENTS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "d"], "--data needs --out\n  next:    add --out FILE.csv"),
        (["--out", "p.csv"], "--out needs --data\n  next:    add --data ROWS"),
        (["--out", "p.csv", "--text", "goal"], "--out needs --data"),
        (["--data", "d", "--out", "p.csv", "--text", "goal"], "exclude each other"),
        (["--text", "goal", "--text-column", "t"], "--text-column is for --data"),
        (["--text", "goal", "--shard", "1/2"], "--shard is for --data"),
        (["--text", "goal", "--escape-formulas"], "--escape-formulas is for --data"),
        (["--text", "goal", "--keep", "t"], "--keep is for --data"),
        (["--text", "goal", "--engine", "onnx"], "--engine is for --data"),
        (["--text", "\udcff"], "a text is not UTF-8\n  seen:    '\\udcff'\n  next:    give it as"),
    ],
)
def test_contradictions(files: Recorder, run: ToyRun, options: list[str], words: str) -> None:
    """Refused before anything is loaded, with the next step."""
    result = cli("predict", "r", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert (files.arguments, run.chunks) == ((), [])
