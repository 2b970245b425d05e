"""Words before every text, put into the tokenizer: whoever loads it, wherever, need not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tightfit.errors import ModelError


def put_prefix(tokenizer: Tokenizer, prefix: str) -> None:
    """Have the tokenizer begin every text as if this stood before it, a blank between the two.

    Its tokens go beside those that begin every text anyway, and like them are never cut away.

    Args:
        tokenizer: changed.
        prefix: some words, or nothing.

    Raises:
        ModelError: the tokenizer frames texts in a way that has no room for them.
    """
    if not prefix.strip():
        return
    words = tokenizer.encode(prefix.strip(), add_special_tokens=False)
    # Some tokenizers come with padding set.
    own = [i for i, real in enumerate(words.attention_mask) if real]
    frame: dict[str, Any] = json.loads(
        tokenizer.post_processor.__getstate__() if tokenizer.post_processor else b"{}"
    )
    if frame.get("type") != "TemplateProcessing":
        raise ModelError(
            "this tokenizer cannot put a prefix before every text",
            seen=f"{prefix!r}, {frame.get('type', 'no post-processor')}",
            allowed="a tokenizer.json whose post_processor is a TemplateProcessing",
            next_step="set model.prefix=none",
        )
    pieces = [{"SpecialToken": {"id": words.tokens[i], "type_id": 0}} for i in own]
    for form in ("single", "pair"):
        first = next(i for i, piece in enumerate(frame[form]) if "Sequence" in piece)
        frame[form][first:first] = pieces
    for i in own:
        token = words.tokens[i]
        frame["special_tokens"][token] = {"id": token, "ids": [words.ids[i]], "tokens": [token]}
    framed = TemplateProcessing()
    framed.__setstate__(json.dumps(frame).encode())
    tokenizer.post_processor = framed


@contextmanager
def prefixed(tokenizer: Tokenizer, prefix: str) -> Iterator[None]:
    """The same for a while."""
    before = tokenizer.post_processor
    put_prefix(tokenizer, prefix)
    try:
        yield
    finally:
        tokenizer.post_processor = before
