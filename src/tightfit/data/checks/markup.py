"""HTML in texts: entities, also those whose ``&`` was lost as in AG News, and tags.

AG News writes ``Web #39;s`` for ``Web&#39;s``: each lost ``&`` has left a space behind.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

_BREAKING = "br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|blockquote|pre"
"""Tags between words."""

_INLINE = (
    "a|abbr|b|big|body|center|cite|code|em|embed|font|form|head|html|i|iframe|img|input|link|meta|"
    "object|option|q|s|script|select|small|span|strike|strong|style|sub|sup|tbody|tt|u|video"
)
"""Tags that may stand inside a word."""

# What follows a tag's name: its end, or attributes; without this rule "if a <b and c> d" would hold
# a tag. A tag with attributes may also be the last thing in a text that was cut.
_ATTRIBUTES = r"\s+[\w:-]+\s*=[^<>]*"
_END = rf"(?:\s*/?>|{_ATTRIBUTES}(?:>|\Z))"
_QUOTED = r"""(?:"[^"\s]*"?|'[^'\s]*'?)"""

_TAG = re.compile(
    rf"(?P<breaking></?(?:{_BREAKING}){_END}\s*)"
    rf"|</?(?:{_INLINE}){_END}"
    r"|<!--.*?(?:-->|\Z)"
    # What is left of a tag that has lost its brackets; "?src=" in an address is none.
    rf"|(?<![\w?&;])(?:href\s*=\s*(?:{_QUOTED}|[^\s\"'<>]+)|src\s*=\s*{_QUOTED})",
    re.IGNORECASE | re.DOTALL,
)

_ENTITY = re.compile(
    r"&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|(?P<name>[a-z][a-z0-9]{1,31}));"
    # Without "&", so only the numbers that such texts hold: marks, and what is not ASCII.
    r"|[ ]?(?<!&)\#0?(?:3[46-9]|6[02]|1[2-9][0-9]|2[0-5][0-9]|8[0-9]{3});"
    r"|[ ]?(?<![&\w])(?:quot|nbsp|apos);"
    # These may be words: "he plugged in his amp; the crowd roared".
    r"|[ ]?(?<![&\w])(?:amp|lt|gt);(?=\S)|[ ](?<=[ ]{2})(?:amp|lt|gt);",
    re.IGNORECASE | re.VERBOSE,
)


def find_markup(text: str) -> tuple[int, str] | None:
    """The first entity or tag in a text and where it begins, or None where there is none."""
    # Nearly all texts are clean, and these signs are in nearly none of the clean ones.
    if ";" in text:
        for entity in _ENTITY.finditer(text):
            if _character(entity) != entity[0]:
                return entity.start(), entity[0].strip()
    tag = _TAG.search(text) if "<" in text or "=" in text else None
    return None if tag is None else (tag.start(), tag[0].strip())


def decode_markup(text: str) -> str:
    """The text that markup stands for: entities as characters, tags removed.

    A tag between words, such as ``<br>``, leaves a space. What is decoded may be markup again
    (``&amp;lt;``), and is decoded too, so that :func:`find_markup` finds nothing in the result.
    """
    # Each round makes the text shorter, so that this ends.
    while find_markup(text) is not None:
        text = _TAG.sub(_gap, _ENTITY.sub(_character, text)).strip(" ")
    return text


def _character(match: re.Match[str]) -> str:
    """What an entity stands for; a name that HTML does not know stays as it is."""
    name = match["name"]
    if name is not None and f"{name};" not in html5:
        return match[0]
    return html.unescape("&" + match[0].lstrip(" &")).replace("\u00a0", " ")


def _gap(match: re.Match[str]) -> str:
    """One space for a tag that breaks words, unless one stands before it."""
    before = match.string[: match.start()][-1:]
    return " " if match["breaking"] and before.strip() else ""
