"""Errors become words on stderr and exit codes; standard output carries answers only."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Recorder, cli, like_result, replace
from tightfit import errors
from tightfit.cli import main
from tightfit.cli.front import APOLOGY

FAULTS = [
    (errors.UsageError("what", seen="x", allowed="y", next_step="z"), 2),
    (errors.SettingsError("what"), 3),
    (errors.MissingExtraError("what"), 3),
    (errors.DataError("what"), 4),
    (errors.BudgetError("what"), 5),
    (errors.ModelError("what"), 6),
    (errors.ProofError("what"), 7),
    (errors.ArtefactError("what"), 8),
    (errors.MachineError("what"), 9),
    (errors.Interrupted("what", signal_number=15, next_step="resume"), 143),
]


@pytest.mark.parametrize(("fault", "code"), FAULTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_faults_of_users(
    monkeypatch: pytest.MonkeyPatch, fault: errors.Fault, code: int, as_json: list[str]
) -> None:
    """The error's own words, its own code, no traceback, and no answer."""
    replace(monkeypatch, "plan", Recorder(fault))
    result = cli("plan", *as_json)
    assert result.exit_code == code
    assert result.stderr == f"error: {fault}\n"
    assert result.stdout == ""


def test_a_mistake_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An apology, what it was, how to report it; the traceback only on request."""
    replace(monkeypatch, "plan", Recorder(ZeroDivisionError("division by zero")))
    result = cli("plan")
    assert result.exit_code == 1
    assert result.stderr == f"error: ZeroDivisionError: division by zero\n  {APOLOGY}\n"
    assert "Traceback" in cli("plan", "--debug").stderr


def test_debug_shows_where_a_users_fault_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback comes first, so that the words stay in sight."""
    replace(monkeypatch, "plan", Recorder(errors.DataError("no rows")))
    result = cli("plan", "--debug")
    assert result.exit_code == 4
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.endswith("error: no rows\n")


class OutOfMemoryError(RuntimeError):
    """torch's own for GPUs has this name."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 9, "there is not enough memory\n  next:    set a smaller optim.batch"),
        (OutOfMemoryError("CUDA out of memory.\nTried"), 9, "seen:    CUDA out of memory.\n  next"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 9, "can't all"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 9, "denied: 'runs'\n  next"),
        (OSError(errno.ENOSPC, "No space left on device"), 9, "No space left on device"),
    ],
)
def test_what_the_machine_and_the_keyboard_do(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    """No mistake of ours, and no apology for it."""
    replace(monkeypatch, "plan", Recorder(error))
    result = cli("plan")
    assert result.exit_code == code
    assert words in result.stderr
    assert APOLOGY not in result.stderr


def test_a_missing_file_is_our_own_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where users can miss a file, an error of ours says so; any other one is a bug."""
    replace(monkeypatch, "plan", Recorder(FileNotFoundError(errno.ENOENT, "gone", "x")))
    assert cli("plan").exit_code == 1


def test_what_libraries_print_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers, for one, greet on standard output."""

    def noisy(*arguments: object, **options: object) -> object:
        sys.stdout.write("View run at https://example.org\n")
        return like_result({"total": 3})

    replace(monkeypatch, "plan", noisy)
    result = cli("plan", "--json")
    assert json.loads(result.stdout) == {"total": 3}
    assert "View run" in result.stderr


def test_not_a_number_is_never_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would write NaN, which is no JSON."""
    replace(monkeypatch, "plan", Recorder(like_result({"total": float("nan")})))
    result = cli("plan", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "not JSON compliant" in result.stderr


def test_markup_in_errors_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or label may contain brackets that look like rich's markup."""
    replace(monkeypatch, "plan", Recorder(errors.DataError("no [red]column[/red] [x]")))
    assert cli("plan").stderr == "error: no [red]column[/red] [x]\n"


def test_long_lines_are_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths must survive being copied out of a log."""
    path = "/long" * 40
    replace(monkeypatch, "plan", Recorder(errors.DataError("no file", seen=path)))
    assert path in cli("plan").stderr


@pytest.mark.parametrize("form", [["--json"], []])
def test_a_reader_that_goes_away(form: list[str]) -> None:
    """``tightfit … | head`` ends quietly, with the code that shells give for a broken pipe."""
    command = [sys.executable, "-m", "tightfit", "plan", "--model", "roberta-base", *form]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    words = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert words == b""


def test_an_answer_that_can_go_nowhere() -> None:
    """A service may close standard output, of which words for people, but no object, can go
    elsewhere; it was called a mistake of our own."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "tightfit", "plan"]
    alone = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    asked = subprocess.run([*command, "--json"], stderr=subprocess.PIPE, check=False)
    assert (alone.returncode, asked.returncode) == (0, 9)
    assert b"headroom" in alone.stderr
    assert asked.stderr.startswith(b"error: standard output is closed")


def test_what_is_closed_is_no_place_for_a_file() -> None:
    """What a library prints would be written into the file that is opened next."""
    look = (
        "from tightfit.cli import _fill_closed as fill; fill(); print(open('/dev/null').fileno())"
    )
    command = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", look]
    assert int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) > 2


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("train('nope.csv')", "DataError"),
        ("dry_run('sample', text_column='nope')", "DataError"),
        ("compare('sample', model='./nope')", "ModelError"),
        ("compare('sample', only=['nope'])", "UsageError"),
        ("compare('sample', ablate=['nope=1'])", "SettingsError"),
        ("import_adapter('nope', 'all-MiniLM-L6-v2')", "ArtefactError"),
        ("evaluate('nope', 'sample:test')", "ArtefactError"),
        ("predict('nope', 'sample:test', 'o.csv')", "ArtefactError"),
        ("export('nope', 'merged', 'out')", "ArtefactError"),
        ("report('nope')", "ArtefactError"),
        ("audit('nope')", "ArtefactError"),
        ("check('nope.csv')", "DataError"),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(
    call: str, fault: str, tmp_path: Path
) -> None:
    """Whoever mistypes a name does not wait for torch."""
    program = (
        "import sys, tightfit\n"
        f"try: tightfit.{call}\n"
        "except tightfit.errors.TightfitError as error: print(type(error).__name__)\n"
        "print(*{'torch', 'transformers', 'peft', 'sklearn', 'scipy', 'datasets'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True)
    assert told.stdout.decode().split() == [fault], told.stderr.decode()


FAULTY_ROWS = {
    "a word,x\nanother,\n": "rows without a label",
    "a word,x\n,y\n": "rows without a text",
    "a word,x\nanother,x\n": "at least 2 classes",
    "a word,x\na word,y\n": "all rows have the same text",
    "a word,x\nanother,y\n": "no class has two different texts",
}
ASK_OF_ROWS = """
import sys, tightfit
for verb in (tightfit.train, tightfit.dry_run):
    for file in sys.argv[1:]:
        try: verb(file, progress=tightfit.progress.Progress())
        except tightfit.errors.DataError as error: print(error)
print(*{'torch', 'transformers', 'peft', 'sklearn', 'scipy', 'datasets'} & {*sys.modules}, '.')
"""


def test_faulty_rows_are_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    """What can be said of rows alone waits for no library that computes."""
    files = [tmp_path / f"{number}.csv" for number in range(len(FAULTY_ROWS))]
    for file, rows in zip(files, FAULTY_ROWS, strict=True):
        file.write_text(f"text,label\n{rows}", "utf-8")
    command = [sys.executable, "-c", ASK_OF_ROWS, *map(str, files)]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    assert [told.stdout.count(words) for words in FAULTY_ROWS.values()] == [2] * len(files)
    assert told.stdout.endswith("\n.\n"), told.stdout


def test_sigterm_ends_a_verb_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with its own exit code; what stood there before stands there again."""

    def stopped(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL, "or this would end the tests"
    replace(monkeypatch, "plan", stopped)
    result = cli("plan")
    assert (result.exit_code, result.stdout) == (143, "")
    assert "error: terminated\n  next:    give the same command again" in result.stderr
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("result", "searched"),
    [(like_result({"total": 3}), [False, True]), (errors.DataError("no rows"), [False])],
)
def test_no_garbage_is_looked_for_among_what_was_loaded(
    monkeypatch: pytest.MonkeyPatch, result: object, searched: list[bool]
) -> None:
    """The verb works as ever; after a fault what was left open is put away at the end."""
    at_freeze: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: at_freeze.append(gc.isenabled()))
    monkeypatch.setattr(sys, "argv", ["tightfit", "plan", "--json"])
    replace(monkeypatch, "plan", Recorder(result))
    with pytest.raises(SystemExit):
        main()
    assert gc.isenabled()
    assert at_freeze == searched


def test_help_where_only_ascii_can_be_shown() -> None:
    """What is not is spelt out."""
    command = [sys.executable, "-m", "tightfit", "train", "--help"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=ascii_only, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"\\u2026" in done.stdout
