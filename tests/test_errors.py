"""The error tree: what each error tells people, shells and Python code."""

from __future__ import annotations

import pickle

import pytest

from tightfit import errors
from tightfit.errors import Fault, Interrupted, TightfitError

CONTRACT = {
    "UsageError": (2, ValueError),
    "SettingsError": (3, ValueError),
    "MissingExtraError": (3, ImportError),
    "DataError": (4, ValueError),
    "BudgetError": (5, ValueError),
    "ModelError": (6, ValueError),
    "ProofError": (7, RuntimeError),
    "ArtefactError": (8, ValueError),
    "MachineError": (9, OSError),
}
"""Exit codes and the built-in that each is, as users' scripts rely on them."""


@pytest.mark.parametrize("name", CONTRACT)
def test_exit_codes_and_built_ins(name: str) -> None:
    """A shell tells errors apart by the code, Python code by the built-in."""
    code, built_in = CONTRACT[name]
    error = getattr(errors, name)("wrong")
    assert error.exit_code == code
    assert isinstance(error, TightfitError)
    assert isinstance(error, built_in)


def test_the_contract_lists_every_error() -> None:
    """A new one must be given a code on purpose."""
    classes = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Fault)
    ]
    assert set(classes) == {*CONTRACT, "Fault", "TightfitError", "Interrupted"}


@pytest.mark.parametrize("name", CONTRACT)
def test_an_error_says_all_four_things(name: str) -> None:
    """In this order, one line each."""
    error = getattr(errors, name)("too big", seen=7, allowed="1 to 5", next_step="choose less")
    assert str(error) == "too big\n  seen:    7\n  allowed: 1 to 5\n  next:    choose less"


def test_what_is_not_given_is_not_said() -> None:
    """But a value of 0, or an empty text, was seen."""
    assert str(TightfitError("wrong")) == "wrong"
    assert str(TightfitError("wrong", seen=0)) == "wrong\n  seen:    0"
    assert str(TightfitError("wrong", seen="")) == "wrong\n  seen:    "


@pytest.mark.parametrize("name", CONTRACT)
def test_an_error_crosses_processes(name: str) -> None:
    """Worker processes send their errors home by pickle."""
    error = getattr(errors, name)("wrong", seen="x", next_step="mend it")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(("signal_number", "code"), [(2, 130), (15, 143)])
def test_an_interruption_exits_as_shells_expect(signal_number: int, code: int) -> None:
    """128 plus the number of the signal; one interruption does not change the next."""
    error = Interrupted("stopped", signal_number=signal_number, next_step="use --resume")
    assert error.exit_code == code
    assert Interrupted.exit_code == 130
    assert str(error) == "stopped\n  next:    use resume=True"


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("choose it with --label-column, or", "choose it with label_column=…, or"),
        ("with --resume, or another --out", "with resume=True, or another out=…"),
        ("give --max-length 64 or less", "give max_length=64 or less"),
        ('such as --label-names "a,b"', 'such as label_names="a,b"'),
        ("as in --text-column a,b", "as in text_column='a,b'"),
        ("name the run with --from", "name the run with from_run=…"),
        ("use --format onnx, or wait", "use format='onnx', or wait"),
        ("or --set train.folds=5, tell", "or settings={'train.folds': 5}, tell"),
        ("--set data.task=multi", "settings={'data.task': 'multi'}"),
        ("see 'tightfit train --help'", "see 'tightfit train --help'"),
    ],
)
def test_a_program_is_told_of_arguments(options: str, arguments: str) -> None:
    """A command of its options; a whole command stays one, and so does what was seen."""
    error = TightfitError(options, seen="a --text", allowed=options, next_step=options)
    told = [f"{arguments}", "seen:    a --text", f"allowed: {arguments}", f"next:    {arguments}"]
    assert [line.strip() for line in str(error).split("\n")] == told
    error.given = ""
    assert str(error).split("\n")[0] == options


def test_what_is_added_is_an_argument_too() -> None:
    """Without a command to add it to."""
    error = TightfitError("wrong", add="--text-column body --set data.task=multi")
    assert str(error).endswith("add text_column='body', settings={'data.task': 'multi'}")
    error.given = "tightfit train"
    assert str(error).endswith("tightfit train --text-column body --set data.task=multi")


def test_an_interruption_ends_a_loop_that_survives_errors() -> None:
    """``for fold in folds: try: train(fold) except Exception: …`` must stop at Ctrl-C."""
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)
