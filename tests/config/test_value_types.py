"""The settings that say how a text file is read."""

from __future__ import annotations

import pytest

from tightfit.config import from_toml, load_config, with_reading
from tightfit.config.value_types import as_list
from tightfit.errors import SettingsError


@pytest.mark.parametrize(
    ("given", "delimiter"),
    [
        *(("tab", "\t"), ("\\t", "\t"), ('"\\t"', "\t"), ("comma", ","), ("semicolon", ";")),
        *(("pipe", "|"), ("space", " "), (";", ";"), (",", ","), ("|", "|"), ("#", "#")),
        *(('"^"', "^"), ("1", "1"), ("auto", "auto"), ("、", "、")),
    ],
)
def test_a_delimiter_has_a_word_where_a_shell_would_swallow_it(given: str, delimiter: str) -> None:
    """And comes back from the file of a run."""
    config = load_config(settings=[f"data.delimiter={given}"])
    assert config.data.delimiter == delimiter
    assert from_toml(config.to_toml()) == config


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ('World,"Sci, Tech"', ["World", "Sci, Tech"]),
        ('"a ""b""" , c,', ['a "b"', "c"]),
        ('5" discs,2" discs', ['5" discs', '2" discs']),
        ("", []),
        (["a, b"], ["a, b"]),
    ],
)
def test_a_name_with_a_comma_is_quoted(given: str | list[str], names: list[str]) -> None:
    """As in a file of cells: it became two labels, with the quotation marks in them."""
    assert as_list(given) == names


@pytest.mark.parametrize(
    ("given", "cap"),
    [("1M", 1_000_000), ("750_000", 750_000), ("0.5m", 500_000), (7, 7), ("none", None)],
)
def test_a_budget_is_written_as_people_do(given: str | int, cap: int | None) -> None:
    """In Python and among settings as on the command line."""
    assert load_config(budget=given).budget.cap == cap
    assert load_config(settings=[f"budget.cap={given}"]).budget.cap == cap


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.delimiter=ab", "one character is wanted, or one of tab, comma, semicolon, pipe"),
        ("data.delimiter=", "one character is wanted"),
        ('data.delimiter="\\n"', "one character is wanted"),
        ("data.encoding=cp125", "no such encoding; did you mean cp125"),
        ("data.encoding=base64", "no such encoding"),
        ("data.encoding=\0", "no such encoding"),
        ("data.quoting=all", "'auto', 'double', 'backslash', 'single' or 'none'"),
    ],
)
def test_what_cannot_be_is_refused(setting: str, words: str) -> None:
    """With what can."""
    with pytest.raises(SettingsError) as caught:
        load_config(settings=[setting])
    assert words in str(caught.value)


def test_another_file_may_be_read_in_another_way() -> None:
    """And nothing else of a run may change."""
    config = load_config(settings=["data.encoding=cp1252", "data.quoting=none"])
    assert with_reading(config, ()) is config
    other = with_reading(config, ["data.encoding=auto", "data.delimiter=tab"]).data
    assert (other.encoding, other.delimiter, other.quoting) == ("auto", "\t", "none")
    with pytest.raises(SettingsError, match=r"belongs to a training\n.*optim.lr"):
        with_reading(config, {"data.quoting": "none", "optim.lr": 1})
