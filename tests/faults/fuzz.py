"""Hostile files through every reader, in a process of its own: ``python -m tests.faults.fuzz``.

Prints one JSON object: how many files were read, how many refused, and those that broke a reader.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import random
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.texts import iter_texts
from tests.peak import peak_bytes
from tests.sheets import ods, ods_row, xlsx
from tightfit.data.child import REFUSED, TOO_BIG, limit
from tightfit.data.pickles.sandbox import answer
from tightfit.data.sources import Columns, read_table
from tightfit.data.text_files import FOUND_OUT, TextForm
from tightfit.errors import DataError

SECONDS, MEMORY = 5, 2 * 2**30
"""What one file may take, and all of them together."""

TEXTS = [
    "goal",
    "a,b",
    'say "hi"',
    "two\nlines",
    "\u202eright to left",
    "zero\u200bwidth",
    "é🙂",
    "=",
]

SPLICES = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b'"',
        b'""',
        b"\r",
        b"\n",
        b"\r\n",
        b",",
    ),
    *(b"\t", b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[" * 3000, b'{"text":' * 2000, b"]"),
    *(
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"-0",
        b'"text"',
        b'"label"',
        b"\x1b[2J",
    ),
    *(b"x" * 200_000, b"\x80", b"\x00\xff" * 40, b"PAR1", b"cos\nsystem\n(S'true'\ntR.", b"."),
]
"""What is put into files, besides noise."""

Mutation = Callable[[random.Random, bytes], bytes]


def flips(chance: random.Random, content: bytes) -> bytes:
    """A few other bytes."""
    spoilt = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    return bytes(spoilt)


def cut(chance: random.Random, content: bytes) -> bytes:
    """The beginning, or the end, or all but a piece."""
    one, other = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return chance.choice([content[:one], content[other:], content[:one] + content[other:]])


def splice(chance: random.Random, content: bytes) -> bytes:
    """Something unexpected in some place."""
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.choice(SPLICES) + content[place:]


def repeat(chance: random.Random, content: bytes) -> bytes:
    """A piece twice, or many times."""
    one, other = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:other] + content[one:other] * chance.choice([1, 1, 40]) + content[other:]


def noise(chance: random.Random, content: bytes) -> bytes:
    """Nothing of it, but its first bytes."""
    return content[: chance.randrange(8)] + chance.randbytes(chance.randrange(200))


MUTATIONS: list[Mutation] = [flips, flips, cut, splice, splice, repeat, noise]


HOSTILE: list[Any] = [
    *(
        "\0",
        "a\0b",
        "\r",
        "\u2028",
        "\ufeff",
        "<script>alert(1)</script>",
        "=cmd()",
        "@x",
        "-1",
        "+1",
    ),
    *(
        "",
        " ",
        "x" * 70_000,
        "\U000e0001",
        "\x1b[31m",
        "'",
        "`",
        "NaN",
        "1",
        "1.0",
        "None",
        "\udfff",
    ),
    *(None, 0, -1, 2**70, 1.5, float("nan"), float("inf"), True, b"\xff", [], ["a"], {"a": 1}),
]
"""Cells that a table may hold, or may not."""


def rows_of(chance: random.Random) -> list[dict[str, Any]]:
    """A few rows with one hostile cell, or many, or none."""
    share = chance.choice([0, 0.1, 0.1, 0.5])
    pick = [cell for cell in HOSTILE if isinstance(cell, str)] if chance.random() < 0.6 else HOSTILE
    rows = []
    for i in range(chance.choice([1, 3, 8])):
        cells = {"text": TEXTS[i % len(TEXTS)], "label": i % 3}
        rows.append(
            {n: chance.choice(pick) if chance.random() < share else c for n, c in cells.items()}
        )
    return rows


def as_csv(rows: list[dict[str, Any]], **more: Any) -> bytes:
    """With pandas's own quoting."""
    return (
        pd.DataFrame(rows, dtype=object)
        .to_csv(index=False, **more)
        .encode("utf-8", "surrogatepass")
    )


def as_news(rows: list[dict[str, Any]]) -> bytes:
    """AG News's own form, without a header."""
    frame = pd.DataFrame(
        [(i % 4 + 1, "Title", row["text"]) for i, row in enumerate(rows)], dtype=object
    )
    return frame.to_csv(index=False, header=False, quoting=1).encode("utf-8", "surrogatepass")


def one_line(cell: Any) -> str:
    """What can stand in a line that has no quotes."""
    return str(cell).replace("\n", " ")


def as_plain(rows: list[dict[str, Any]], encoding: str = "utf-8", end: str = "\n") -> bytes:
    """Tabs between cells, and no quoting at all."""
    lines = ["text\tlabel", *(f"{one_line(row['text'])}\t{row['label']}" for row in rows)]
    return "".join(line + end for line in lines).encode(encoding, "replace")


def as_fasttext(rows: list[dict[str, Any]]) -> bytes:
    """With one label a row."""
    lines = (f"__label__{row['label']} {one_line(row['text'])}\n" for row in rows)
    return "".join(lines).encode("utf-8", "surrogatepass")


def zipped(content: bytes) -> bytes:
    """As the one file in an archive."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ours.csv", content)
    return out.getvalue()


FORMS = [
    *(TextForm(), TextForm(), TextForm()),
    *(TextForm(quoting=quoting) for quoting in ("double", "backslash", "single", "none")),
    *(TextForm("cp1252"), TextForm("utf-16"), TextForm("shift_jis", ";"), TextForm(delimiter="x")),
]
"""How text files are read: mostly as found out."""


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    """What JSON does not know is written as its words."""
    return "".join(json.dumps(row, default=repr) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """Columns keep their types as far as Arrow finds one for them."""
    out = BytesIO()
    try:
        table = pa.Table.from_pylist(rows)
    except (pa.ArrowException, UnicodeError, OverflowError):
        table = pa.table({name: [ascii(row[name]) for row in rows] for name in rows[0]})
    pq.write_table(table, out)
    return out.getvalue()


def as_frame(rows: list[dict[str, Any]]) -> bytes:
    """A pickled data frame."""
    return pickle.dumps(pd.DataFrame(rows, dtype=object), protocol=4)


def as_dataset(rows: list[dict[str, Any]]) -> bytes:
    """A pickled data set."""
    return pickle.dumps(datasets.Dataset(pq.read_table(BytesIO(as_parquet(rows)))))


def as_array(rows: list[dict[str, Any]]) -> bytes:
    """One array of objects."""
    return json.dumps(rows, default=repr, indent=len(rows) % 2 or None).encode()


def as_columns(rows: list[dict[str, Any]]) -> bytes:
    """One object of columns."""
    return json.dumps(
        {name: [row[name] for row in rows] for name in rows[0]}, default=repr
    ).encode()


def as_arrow(rows: list[dict[str, Any]]) -> bytes:
    """Arrow's own format, as a file or as a stream."""
    table, out = pq.read_table(BytesIO(as_parquet(rows))), BytesIO()
    with (pa.ipc.new_file if len(rows) % 2 else pa.ipc.new_stream)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def as_sheet(rows: list[dict[str, Any]]) -> bytes:
    """A workbook, with what XML may hold."""
    cells = [[plain(cell) for cell in row.values()] for row in rows]
    return xlsx({"S": [list(rows[0]), *cells]})


def as_ods(rows: list[dict[str, Any]]) -> bytes:
    """The same in the OpenDocument form."""
    head = ods_row(*rows[0])
    return ods(head + "".join(ods_row(*(str(plain(x)) for x in row.values())) for row in rows))


def plain(cell: Any) -> Any:
    """A number, or characters that UTF-8 has."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return cell
    return str(cell).encode("utf-8", "replace").decode()


Writer = Callable[[list[dict[str, Any]]], bytes]

KINDS: dict[str, Writer] = {
    "ours.csv": as_csv,
    "ours.tsv": partial(as_csv, sep="\t"),
    "news.csv": as_news,
    "ours.jsonl": as_jsonl,
    "ours.parquet": as_parquet,
    "frame.pkl": as_frame,
    "dataset.pkl": as_dataset,
    "ours.csv.gz": as_csv,
    "ours.jsonl.bz2": as_jsonl,
    "ours.csv.xz": as_csv,
    "array.json": as_array,
    "columns.json": as_columns,
    "semi.csv": partial(as_csv, sep=";", lineterminator="\r\n"),
    "sep.csv": lambda rows: b"sep=|\n" + as_csv(rows, sep="|"),
    "plain.tsv": as_plain,
    "wide.txt": partial(as_plain, encoding="utf-16", end="\r\n"),
    "bare.txt": partial(as_plain, encoding="utf-16-be"),
    "fast.txt": as_fasttext,
    "ours.zip": as_csv,
    "ours.arrow": as_arrow,
    "ours.xlsx": as_sheet,
    "ours.ods": as_ods,
}
"""How rows are written, by the ending of the file."""

OWN_PROCESS = ("ours.xlsx", "ours.ods")
"""Read in a process of their own each, which takes a quarter of a second: fewer of them."""

NAMES = [*[name for name in KINDS if name not in OWN_PROCESS] * 4, *OWN_PROCESS]

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": zipped,
}


def outcome(path: Path, content: bytes, chance: random.Random, form: TextForm = FOUND_OUT) -> str:
    """``read`` or ``refused``; everything else is an error of ours, which is raised."""
    if path.suffix == ".pkl":
        # What the child does, without starting one for each.
        code = answer(BytesIO(content), BytesIO())
        assert code in (0, REFUSED, TOO_BIG), code
        return "read" if code == 0 else "refused"
    path.write_bytes(content)
    columns = Columns(form=form)
    try:
        if chance.random() < 0.3:
            texts = [text for chunk in iter_texts(path, columns, 3) for text in chunk]
        else:
            table = read_table(path, columns, labelled=chance.choice([True, False, None]))
            texts = list(table.texts)
            assert table.labels is None or len(table.labels) == len(texts)
    except DataError as error:
        return "refused" if error.exit_code == 4 else f"exit code {error.exit_code}"
    assert texts
    "".join(texts).encode()  # no half characters
    return "read"


def case(seed: int) -> tuple[str, bytes, random.Random]:
    """The file of a seed: its name, its bytes, and what chance is left to read it by."""
    chance = random.Random(seed)
    name = NAMES[seed % len(NAMES)]
    content = KINDS[name](rows_of(chance))
    packed = PACK.get(Path(name).suffix, bytes)
    if inside := chance.random() < 0.8:
        content = mutated(chance, content)
    content = packed(content)
    return name, content if inside else mutated(chance, content), chance


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Changed in up to three ways."""
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        content = chance.choice(MUTATIONS)(chance, content or b"x")
    return content


def main(first: int, count: int) -> dict[str, Any]:
    """Read the files of these seeds."""
    limit(MEMORY, 600)
    told, broken = Counter[str](), []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            name, content, chance = case(seed)
            signal.alarm(SECONDS)  # nobody catches it: a reader that hangs ends the process
            started = time.monotonic()
            form = chance.choice(FORMS)
            try:
                told[outcome(Path(folder, name), content, chance, form)] += 1
            except Exception as error:  # collected, so that one run shows all of them
                broken.append(f"seed {seed}, {name}: {type(error).__name__}: {error}"[:300])
            slowest = max(slowest, time.monotonic() - started)
    signal.alarm(0)
    return {**told, "broken": broken, "slowest": slowest, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(int, sys.argv[1:]))))
