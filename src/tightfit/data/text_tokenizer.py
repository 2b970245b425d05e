"""Texts to tokens, by the ``tokenizers`` library alone; longest length and truncation live here.

Nothing here imports torch or transformers: a first answer does not wait for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tightfit.data.shared_work import shared_work
from tightfit.data.text_pair import TextPair, are_pairs, as_input
from tightfit.data.tokens import TextTokens, Tokens
from tightfit.digests import file_sha256
from tightfit.errors import ModelError
from tightfit.families import reads_segments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tightfit.config import KeptText

TOKENIZER, TOKENIZER_CONFIG, CONFIG = "tokenizer.json", "tokenizer_config.json", "config.json"

SEGMENTS = "token_type_ids"
"""What ``transformers`` calls the segments of a pair."""

UNBOUNDED = 100_000
"""Tokenizers without a longest text say so with a number far beyond this."""

TOKENISE_CHUNK = 1_000
"""Texts handed to the tokenizer at once: enough to keep its threads busy, few enough for memory."""

CHARACTERS_A_TOKEN = 32
"""More than any usual text has on average, so that its ends give tokens enough."""

SPARE_TOKENS = 512
"""Left between the tokens that are kept of a very long text and the place where it was cut unread:
more than a word has, so that what was cut off cannot change them."""

MOST_WINDOWS = 8
"""Windows that a text is cut into at most; what is longer is cut there."""


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A tokenizer of the ``tokenizers`` library, and what a model says of its use."""

    backend: Tokenizer
    pad_id: int
    truncation_side: Literal["left", "right"] = "right"
    longest: int | None = None
    """Most tokens of a text that the model was made for, where it says so."""
    unknown_id: int | None = None
    """What stands for whatever the vocabulary lacks; one that spells every byte lacks nothing."""
    segments: bool = False
    """Whether the encoder is told which text of a pair a token belongs to."""
    _turn: Lock = field(default_factory=Lock, repr=False)
    """Held while the library reads: it is told before where to cut, and threads may differ."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the lock, which no other process could take."""
        given = (self.backend, self.pad_id, self.truncation_side, self.longest)
        return type(self), (*given, self.unknown_id, self.segments)

    @classmethod
    def shared(cls, folder: Path) -> TextTokenizer:
        """The same as :meth:`of`, once in a process for all folders that say the same.

        A tokenizer takes six megabytes, one of many languages a hundred. Its rules must not be
        changed.

        Raises:
            ModelError: as there.
        """
        digest = hashlib.sha256()
        for name in (TOKENIZER, TOKENIZER_CONFIG, CONFIG):
            if (folder / name).is_file():
                digest.update(file_sha256(folder / name).encode())
            digest.update(b"/")
        with _opening:
            found = _kept.get(digest.digest())
            if found is None:
                found = _kept[digest.digest()] = cls.of(folder)
        return found

    @classmethod
    def of(cls, folder: Path) -> TextTokenizer:
        """The tokenizer that ``transformers`` saved in a folder: what ``AutoTokenizer`` computes.

        Raises:
            ModelError: files are missing or damaged, or there is no padding token.
        """
        try:
            # Read here, since the library tells nothing of what is wrong with a file.
            backend = Tokenizer.from_buffer((folder / TOKENIZER).read_bytes())
            config = json.loads((folder / TOKENIZER_CONFIG).read_text("utf-8"))
            longest = config.get("model_max_length")
            pad_id, unknown_id = (_id(backend, config, name) for name in ("pad", "unk"))
        # The library raises nothing more precise.
        except Exception as error:
            raise ModelError(
                "the folder has no usable tokenizer",
                seen=f"{folder}: {error}",
                next_step=f"put {TOKENIZER} and {TOKENIZER_CONFIG} beside the weights",
            ) from error
        if pad_id is None:
            raise no_batches("no padding token")
        limit = int(longest) if longest is not None and longest < UNBOUNDED else None
        side = config.get("truncation_side", "right")
        return cls(backend, pad_id, side, limit, unknown_id, _segments(folder, config))

    def tokens(
        self,
        texts: Sequence[str],
        max_length: int,
        *,
        long_text: KeptText = "head",
        advance: Callable[[int], None] | None = None,
    ) -> Tokens:
        """Turn texts into token ids, at most ``max_length`` of each.

        Args:
            texts: any number of strings, or of pairs; an empty one becomes its special tokens.
            max_length: longest row, special tokens included.
            long_text: what is kept of a longer text: its head, its head and its tail, or all of it
                in windows of ``max_length``. Of a pair the longer text loses its end until it is no
                longer than the other.
            advance: told the number of texts done since the last call.
        """
        pairs = are_pairs(texts)
        assert not pairs or long_text == "head", "pairs have no windows and no tails"
        encoder = _pairs if pairs else _ENCODERS[long_text]
        encode = partial(encoder, self, max_length=max_length)
        shared = shared_work()
        if shared is not None:
            way = (self.rules_digest, max_length, long_text)
            encode = partial(shared.tokens.rows, way, encode=encode)
        rows: list[TextTokens] = []
        for start in range(0, len(texts), TOKENISE_CHUNK):
            chunk = list(texts[start : start + TOKENISE_CHUNK])
            rows += encode(chunk)
            if advance is not None:
                advance(len(chunk))
        tokens = Tokens.of(rows, max_length, self.pad_id)
        return tokens if self.segments else replace(tokens, segments=None)

    @property
    def rules_digest(self) -> str:
        """SHA-256, in hexadecimal, of all that tokens depend on besides text and length."""
        return digest_of_rules(self.backend, [self.pad_id, self.truncation_side])

    def encodings(self, texts: list[str], max_length: int | None = None) -> list[Any]:
        """What the library makes of each text (no offsets), the rest of it in ``overflowing``."""
        with self._turn:
            self._cut_at(max_length)
            if len(texts) > 1:
                return list(self.backend.encode_batch_fast(list(map(as_input, texts))))
            # Without the threads that a batch starts.
            return [self.backend.encode(*pair) for pair in map(_one_or_two, texts)]

    def _cut_at(self, max_length: int | None) -> None:
        """Set what the library remembers, where it differs."""
        if self.backend.padding is not None:
            self.backend.no_padding()
        now = self.backend.truncation
        if max_length is None:
            if now is not None:
                self.backend.no_truncation()
            return
        due: dict[str, Any] = {
            "max_length": max_length,
            "direction": self.truncation_side,
            "stride": 0,
            "strategy": "longest_first",
        }
        if now != due:
            self.backend.enable_truncation(**due)


_kept: WeakValueDictionary[bytes, TextTokenizer] = WeakValueDictionary()
_opening = Lock()


def _one_or_two(text: str) -> tuple[str, ...]:
    given = as_input(text)
    return (given,) if isinstance(given, str) else given


def _id(backend: Tokenizer, config: dict[str, Any], kind: str) -> int | None:
    """Of a special token that the settings name, as a word or with how it is found."""
    token = config.get(f"{kind}_token")
    return backend.token_to_id(token["content"] if isinstance(token, dict) else str(token))


def no_batches(seen: str) -> ModelError:
    """The refusal of a tokenizer of which no batches can be made."""
    return ModelError(
        "the model's tokenizer cannot make batches",
        seen=seen,
        next_step="choose a model whose folder has a tokenizer.json with a padding token",
    )


def _heads(
    tokenizer: TextTokenizer, texts: list[str], max_length: int, reach: int = 0
) -> list[TextTokens]:
    """Token ids of each text's head; ``reach`` characters are read at first.

    A tokenizer reads all of a text before it cuts it: a minute and two gigabytes for ten megabytes.
    """
    reach = reach or CHARACTERS_A_TOKEN * (max_length + SPARE_TOKENS)
    heads = [text[:reach] for text in texts]
    encoded = tokenizer.encodings(heads, max_length)
    # Only a row of full length can have lost anything, and asking the others costs time.
    rows = [
        TextTokens(
            np.asarray(ids := encoding.ids, dtype=np.int32),
            (len(ids),),
            len(ids) == max_length and bool(encoding.overflowing),
        )
        for encoding in encoded
    ]
    for i in [i for i, text in enumerate(texts) if len(text) > reach]:
        encoding = encoded[i]
        if sum(len(part.ids) for part in encoding.overflowing) < SPARE_TOKENS:
            # Few tokens in many characters: blanks, or a word without an end.
            (rows[i],) = _heads(tokenizer, [texts[i]], max_length, 64 * reach)
    return rows


def _heads_and_tails(
    tokenizer: TextTokenizer, texts: list[str], max_length: int
) -> list[TextTokens]:
    """The same, with a quarter of a cut text's tokens from its head and the rest from its tail.

    That share did best in arXiv:1905.05583, on the texts of which both ends matter.
    """
    # What is far from both ends is dropped unread: a text may have millions of words.
    reach = CHARACTERS_A_TOKEN * max_length
    ends = [t if len(t) <= 2 * reach else f"{t[:reach]} {t[-reach:]}" for t in texts]
    rows = []
    for encoding in tokenizer.encodings(ends):
        ids, special = encoding.ids, encoding.special_tokens_mask
        if cut := len(ids) > max_length:
            before, after = special.index(0), special[::-1].index(0)
            room = max_length - before - after
            head = before + room // 4
            ids = [*ids[:head], *ids[len(ids) - after - (room - room // 4) :]]
        rows.append(TextTokens(np.asarray(ids, dtype=np.int32), (len(ids),), cut))
    return rows


def _windows(tokenizer: TextTokenizer, texts: list[str], max_length: int) -> list[TextTokens]:
    """Token ids of each text's windows, one after the other."""
    reach = CHARACTERS_A_TOKEN * (MOST_WINDOWS * max_length + SPARE_TOKENS)
    encoded = tokenizer.encodings([text[:reach] for text in texts], max_length)
    rows = []
    for text, encoding in zip(texts, encoded, strict=True):
        all_of_it = [encoding, *encoding.overflowing]
        windows = [np.asarray(each.ids, dtype=np.int32) for each in all_of_it[:MOST_WINDOWS]]
        cut = len(all_of_it) > MOST_WINDOWS or len(text) > reach
        rows.append(TextTokens(np.concatenate(windows), tuple(map(len, windows)), cut))
    return rows


_ENCODERS: dict[KeptText, Callable[..., list[TextTokens]]] = {
    "head": _heads,
    "head+tail": _heads_and_tails,
    "windows": _windows,
}


def digest_of_rules(backend: Tokenizer, more: Sequence[Any]) -> str:
    """SHA-256, in hexadecimal, over a tokenizer's rules and what else is given."""
    rules = backend.to_str()
    # Truncation and padding stand before them, and are set anew by every call.
    rules = rules[rules.index('"added_tokens"') :]
    return hashlib.sha256(f"{json.dumps(more)}{rules}".encode()).hexdigest()


def _pairs(
    tokenizer: TextTokenizer, pairs: list[str], max_length: int, reach: int = 0
) -> list[TextTokens]:
    """Token ids and segments of each pair.

    The library cuts pairs as well, but keeps every combination of what it cuts off both.
    """
    reach = reach or CHARACTERS_A_TOKEN * (max_length + SPARE_TOKENS)
    both = [pair for pair in pairs if isinstance(pair, TextPair)]
    encoded = tokenizer.encodings([TextPair(p.first[:reach], p.second[:reach]) for p in both])
    rows: list[TextTokens] = []
    for pair, encoding in zip(both, encoded, strict=True):
        sides_L = np.array([-1 if side is None else side for side in encoding.sequence_ids])
        read = zip((pair.first, pair.second), (0, 1), strict=True)
        scarce = [
            text
            for text, side in read
            if len(text) > reach and (sides_L == side).sum() < max_length + SPARE_TOKENS
        ]
        if scarce:
            # Few tokens in many characters: blanks, or a word without an end.
            rows += _pairs(tokenizer, [pair], max_length, 64 * reach)
            continue
        kept_L = _longest_first(sides_L, max_length, tokenizer.truncation_side)
        ids_L = np.asarray(encoding.ids, dtype=np.int32)[kept_L]
        segments_L = np.asarray(encoding.type_ids, dtype=np.int8)[kept_L]
        rows.append(TextTokens(ids_L, (len(ids_L),), not kept_L.all(), segments_L))
    return rows


def _longest_first(
    sides_L: NDArray[np.int64], max_length: int, truncation_side: str
) -> NDArray[np.bool_]:
    """Which tokens are kept: the longer text is cut to the shorter one's length, then both.

    Args:
        sides_L: 0 or 1 for a token of a text, -1 for a special one; those are all kept.
        max_length: tokens in all.
        truncation_side: the end at which a text is cut.
    """
    kept_L = np.ones(len(sides_L), dtype=np.bool_)
    if len(sides_L) <= max_length:
        return kept_L
    counts = [int((sides_L == side).sum()) for side in (0, 1)]
    room = max(0, max_length - int((sides_L < 0).sum()))
    short = min(*counts, room // 2)
    # Of an odd room the longer text has one more, and of two equal ones the second.
    shares = (short, room - short) if counts[0] <= counts[1] else (room - short, short)
    for side, (count, share) in enumerate(zip(counts, shares, strict=True)):
        places = np.flatnonzero(sides_L == side)
        gone = max(0, count - share)
        kept_L[places[:gone] if truncation_side == "left" else places[len(places) - gone :]] = False
    return kept_L


def _segments(folder: Path, tokenizer: dict[str, Any]) -> bool:
    """As the encoder in the folder asks; where there is none, as the tokenizer was saved."""
    if (folder / CONFIG).is_file():
        return reads_segments(json.loads((folder / CONFIG).read_text("utf-8")))
    return SEGMENTS in tokenizer.get("model_input_names", ())


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    *,
    long_text: KeptText = "head",
    advance: Callable[[int], None] | None = None,
) -> Tokens:
    """:meth:`TextTokenizer.tokens` by a tokenizer of ``transformers``.

    Raises:
        ModelError: the tokenizer has no padding token, or is not a fast one.
    """
    pad_id = tokenizer.pad_token_id
    if pad_id is None or not tokenizer.is_fast:
        raise no_batches("no padding token" if pad_id is None else "no fast tokenizer")
    own = TextTokenizer(
        tokenizer.backend_tokenizer,
        int(pad_id),
        tokenizer.truncation_side,
        segments=SEGMENTS in tokenizer.model_input_names,
    )
    return own.tokens(texts, max_length, long_text=long_text, advance=advance)
