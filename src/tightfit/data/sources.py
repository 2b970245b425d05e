"""The front of all readers: a path, a Hub name, the sample or a Python object becomes a Table.

Every source is opened as :class:`tightfit.data.rows.Rows`, which gives chunks of cells;
:func:`read_table` takes them all, :func:`iter_records` one at a time.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from tightfit.data.beside_labels import names_beside
from tightfit.data.cell_text import read_groups, read_texts
from tightfit.data.column_hints import JOINED, about_joining, propose_pair
from tightfit.data.columns import Columns as Columns
from tightfit.data.compressed import (
    COMPRESSED,
    PART_SIGN,
    ZIP,
    archive_of,
    only_member,
    plain_suffix,
)
from tightfit.data.given_pairs import FIRST, SECOND, pair_columns
from tightfit.data.hub import HUB_FORM, HUB_PREFIX, load_hub, parse_hub
from tightfit.data.in_memory import LABEL, TEXT, InMemory, as_pairs, is_nameless, open_memory
from tightfit.data.label_columns import with_labels
from tightfit.data.many_files import Sources, files_of, is_many, joined
from tightfit.data.missing_rows import without_missing
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.data.readers_arrow import open_arrow, open_dataset, open_ipc, open_parquet
from tightfit.data.readers_delimited import AG_NEWS_NAMES, open_csv
from tightfit.data.readers_json import open_json
from tightfit.data.readers_plain import begins_as_fasttext, open_txt
from tightfit.data.rows import PartFault, Rows, columns_rows
from tightfit.data.saved_datasets import is_saved, open_saved
from tightfit.data.spreadsheets.sheets import open_sheet
from tightfit.data.table import Table
from tightfit.data.text_files import EncodingFault, TextForm
from tightfit.data.text_pair import are_pairs
from tightfit.data.unreadable import SAVE, elsewhere, refuse_foreign, unreadable
from tightfit.errors import DataError, MachineError, SettingsError, did_you_mean
from tightfit.extras import SPREADSHEETS
from tightfit.progress import Progress

DataLike: TypeAlias = "str | Path | InMemory | Table | Sources"
"""What tightfit takes as data: a path, ``hf:...``, ``sample``, rows in memory, or several."""

CHUNK_ROWS = 8192
"""Rows in memory at a time while streaming."""

FIRST_ROWS = 200
"""Texts that are looked at before all are read."""

GROUP_FLAG = "--set data.group_column=NAME"
"""How the column of groups is chosen."""

NAME_BOTH = "name both, as in --text-column premise,hypothesis"
SAMPLE_FOLDER = Path(__file__).parent.parent / "sample"
SAMPLES = {"sample": "train.jsonl", "sample:test": "test.jsonl"}
"""Names of the rows that ship inside the package, and their files."""


def read_table(data: DataLike, columns: Columns, *, labelled: bool | None) -> Table:
    """Read all rows.

    Args:
        data: a path (CSV, TSV, .txt, JSON, Parquet, Arrow, spreadsheet, pickle; text also
            compressed as .gz, .bz2 or .xz, or in a .zip; a folder or a pattern of such files, or
            one of ``save_to_disk``; with ``#PART`` a sheet, a split or a key), a Hub name
            (``hf:NAME[@REVISION][:CONFIG[:SPLIT]]``), ``sample`` or ``sample:test``, rows in
            memory as :mod:`tightfit.data.in_memory` has them, or a :class:`Table`, which is
            returned as it is.
        columns: which columns hold text and label.
        labelled: whether labels are needed; if not, the label column is not even looked for. None
            takes the labels where there is such a column.

    Raises:
        DataError: the source cannot be read, lacks a column, has no rows, or has rows whose text
            or label cannot be used; the message counts them and names the first few.
        MachineError: the file may not be read.
    """
    if isinstance(data, Table):
        return _labelled(data) if labelled else data
    if isinstance(data, Sources):
        return data.joined([read_table(x, columns, labelled=labelled) for x in data.names])
    rows, columns = open_rows(data, columns)
    if labelled is None:
        labelled = rows.find(columns.label) is not None
    texts, label = _chosen(rows, columns, columns.label if labelled else None)
    group = rows.resolve((columns.group,), GROUP_FLAG) if columns.group else ()
    whole = rows.whole((*texts, *group, *label), CHUNK_ROWS)
    sizes, mend = (len(texts), len(label)), columns.mend_text
    whole, left_out, numbers = without_missing(whole, sizes, columns.gaps, mend, pair=columns.pair)
    parts = whole.cells[: len(texts)]
    strings = read_texts(whole, parts, columns.missing_text, mend, pair=columns.pair)
    groups = read_groups(whole, whole.cells[len(texts) :][: len(group)]) if group else None
    table = Table(
        strings,
        source=rows.origin.source,
        groups=groups,
        left_out=left_out,
        places=whole.places,
        unit=rows.origin.unit,
        numbers=numbers,
    )
    if not label:
        return table
    return with_labels(table, whole, rows, label, task=columns.task, separator=columns.separator)


def check_source(
    data: DataLike,
    columns: Columns,
    *,
    labelled: bool | None = True,
    progress: Progress = Progress(),
) -> list[str]:
    """Look whether the rows are there and have these columns, without reading all of them.

    What is on the Hub is not asked for.

    Args:
        data: as for :func:`read_table`.
        columns: where texts and labels are.
        labelled: as for :func:`read_table`.
        progress: told what was found out about a file's form.

    Returns:
        The first few texts, as far as they can be had already.

    Raises:
        DataError: there is no such file, or it lacks a column.
        MachineError: the file may not be read.
    """
    if isinstance(data, Sources):
        look = partial(check_source, columns=columns, labelled=labelled, progress=progress)
        return data.each(look)[:FIRST_ROWS]
    if isinstance(data, str) and data.startswith(HUB_PREFIX):
        parse_hub(data)
    elif isinstance(data, str | Path) or (labelled is not False and not isinstance(data, Table)):
        try:
            rows, columns = open_rows(data, columns)
        except (EncodingFault, PartFault) as fault:
            _complete(fault, data, columns, labelled=labelled)
            raise
        wanted = (*columns.text, *((columns.label,) if labelled else ()))
        named = names_beside(rows, columns) if labelled else []
        for line in (*rows.told, *rows.taken_for(wanted), *named):
            progress.say(line)
        with _no_half(columns):
            rows.look(columns.text, columns.label, labelled=labelled)
        texts, _ = _chosen(rows, columns, columns.label if labelled else None)
        for line in () if columns.pair or columns.answering else about_joining(texts):
            progress.say(line)
        if columns.group:
            rows.resolve((columns.group,), GROUP_FLAG)
        return _first_texts(rows, columns)
    return list(data.texts[:FIRST_ROWS]) if isinstance(data, Table) else []


def _first_texts(rows: Rows, columns: Columns) -> list[str]:
    """Of a source that has just been opened."""
    try:
        return next(iter_records(rows, columns, (), FIRST_ROWS))[0]
    except DataError:
        return []  # whoever reads all rows tells of every fault at once


def open_rows(data: str | Path | InMemory | Table, columns: Columns) -> tuple[Rows, Columns]:
    """A source, of which nothing but the names of its columns has been read yet; and which of them
    are meant: of what comes without names, those that it gets here.

    Raises:
        DataError: it cannot be opened.
        MachineError: the file may not be read.
    """
    if isinstance(data, str):
        return _open_name(data, columns.form), columns
    if isinstance(data, Path):
        return _open_file(data, columns.form), columns
    nameless = replace(columns, text=(FIRST, SECOND) if columns.pair else (TEXT,))
    if isinstance(data, Table):
        cells = pair_columns(data.texts) if are_pairs(data.texts) else {TEXT: data.texts}
        return columns_rows(cells, data.source), nameless
    if not is_nameless(data):
        return open_memory(data), columns
    named = as_pairs(data) if columns.pair else data
    return open_memory(named), replace(nameless, label=LABEL)


def iter_records(
    rows: Rows, columns: Columns, more: Sequence[str], chunk_rows: int = CHUNK_ROWS
) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """Stream the texts, and beside them the cells of more columns as the source has them.

    Raises:
        DataError: there is no such column; a fault of a row when its chunk is reached.
        MachineError: the file may not be read.
    """
    text, _ = _chosen(rows, columns, None)

    def records() -> Iterator[tuple[list[str], list[list[Any]]]]:
        chunk = None
        for chunk in rows.read((*text, *more), chunk_rows):
            cells, rest = chunk.cells[: len(text)], chunk.cells[len(text) :]
            missing, mend = columns.missing_text, columns.mend_text
            yield read_texts(chunk, cells, missing, mend, pair=columns.pair), rest
        if chunk is None:
            raise rows.no_rows()

    return records()


def frame_texts(data: Any, columns: Columns) -> list[str]:
    """All texts of rows that a program hands over, in their order.

    Raises:
        DataError: there is no such column, or a text is missing or no string.
    """
    rows, columns = open_rows(data, columns)
    text = rows.resolve(columns.text, "predict(rows['COLUMN'])")
    chunks = iter_records(rows, replace(columns, text=text), ())
    return [each for texts, _ in chunks for each in texts]


def _labelled(table: Table) -> Table:
    if table.targets is None:
        raise DataError("labels are needed here", seen=f"{table.source} without labels")
    return table


def _complete(
    fault: EncodingFault | PartFault, data: Any, columns: Columns, *, labelled: bool | None
) -> None:
    """Say at once what else is amiss, as it is seen in the encoding that fits, or the likely part:
    the options that choose the columns."""
    form = columns.form
    if isinstance(fault, PartFault):
        if str(data) != fault.whole:  # one of many files
            return
        data, fault.next_step = fault.likely, "choose one, such as"
        fault.add = shlex.join(["--data", fault.likely])
    elif fault.guess is None:
        return
    else:
        form = replace(form, encoding=fault.guess)
    try:
        with _no_half(columns):
            rows, _ = open_rows(data, replace(columns, form=form))
            rows.look(columns.text, columns.label, labelled=labelled)
    except DataError as another:
        if another.add is None or type(another) is type(fault):  # the guess was wrong
            return
        fault.seen = f"{fault.seen}; {another.what}"
        steps = filter(None, (fault.next_step, another.next_step))
        fault.next_step, fault.add = "; ".join(steps) or None, f"{fault.add} {another.add}"


@contextmanager
def _no_half(columns: Columns) -> Iterator[None]:
    """Of a pair: take the advice from a fault to read one from one column, or to say it is one."""
    try:
        yield
    except DataError as fault:
        add = fault.add or ""
        if columns.pair and "--text-column" in add and "," not in add:
            fault.add, fault.next_step = None, NAME_BOTH
        elif columns.pair and fault.next_step == JOINED:
            fault.next_step = "name the columns of both texts, the first one first:"
        if not columns.pair and not columns.answering:
            propose_pair(fault)
        raise


def _chosen(
    rows: Rows, columns: Columns, label: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the text and of the label.

    Raises:
        DataError: there are no such columns.
        SettingsError: a pair is wanted, and the columns of the text are not two.
    """
    with _no_half(columns):
        texts, labels = rows.choose(columns.text, label)
    if columns.pair and (len(texts) != 2 or texts[0] == texts[1]):
        raise SettingsError(
            "a pair is made of two columns",
            seen=f"data.pair=true with {len(texts)}: {', '.join(texts)}",
            next_step=NAME_BOTH,
        )
    return texts, labels


def _open_name(name: str, form: TextForm) -> Rows:
    if name.startswith(HUB_PREFIX):
        return open_dataset(load_hub(name), name)
    if name in SAMPLES:
        return open_json(SAMPLE_FOLDER / SAMPLES[name], name, class_names=AG_NEWS_NAMES)
    return _open_file(Path(name), form)


def _open_file(path: Path, form: TextForm) -> Rows:
    path, part = _parted(path)
    source = str(path) if part is None else f"{path}{PART_SIGN}{part}"
    if is_saved(path):
        return open_saved(path, source, part)
    if is_many(path):
        known = (*_OPENERS, *_TEXT_OPENERS, *SPREADSHEETS, ZIP)
        return joined([_open_file(file, form) for file in files_of(path, known)], str(path))
    inside = archive_of(path)
    _check_file(inside[0] if inside else path)
    if inside is None and path.suffix.lower() == ZIP:
        return _open_file(only_member(path), form)
    suffix = plain_suffix(path)
    if inside is None and begins_as_fasttext(path):
        return open_txt(path, source, form)
    if suffix in _TEXT_OPENERS:
        if suffix == path.suffix.lower() and inside is None:
            refuse_foreign(path)
        if suffix in JSON:
            return open_json(path, source, form, part=part)
        return _TEXT_OPENERS[suffix](path, source, form)
    if suffix in SPREADSHEETS and inside is None:
        return open_sheet(path, source, part)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None or inside is not None:
        kinds = ", ".join((*_TEXT_OPENERS, *_OPENERS, *SPREADSHEETS))
        raise unreadable(
            path,
            f"{kinds}; text also with {', '.join(COMPRESSED)} after it; "
            f"a folder or a pattern of such files; or {HUB_FORM}; or {', '.join(SAMPLES)}",
        )
    return opener(path, source)


def _parted(path: Path) -> tuple[Path, str | None]:
    """A file or folder, and the part of it that ``FILE.xlsx#Sheet`` or ``FOLDER#split`` means."""
    whole = str(path)
    signs = [i for i, sign in enumerate(whole) if sign == PART_SIGN]
    for sign in signs if not path.exists() else []:
        file, part = Path(whole[:sign]), whole[sign + 1 :]
        if part and (is_saved(file) or (file.is_file() and file.suffix.lower() in PARTED)):
            return file, part
    return path, None


def _check_file(path: Path) -> None:
    if not path.exists():
        around = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        around += SAMPLES
        hint = did_you_mean(path.name, around) or f"it was looked for from {Path.cwd()}"
        raise DataError("no such file", seen=path, next_step=elsewhere(path) or hint)
    if not path.is_file():
        raise DataError("rows are read from files, more than once", seen=path, next_step=SAVE)
    if not os.access(path, os.R_OK):
        raise MachineError("no permission to read the file", seen=path)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")


JSON = (".jsonl", ".ndjson", ".json")
PARTED = (*JSON, *SPREADSHEETS)
"""Files of which a part may be named."""

_TEXT_OPENERS: dict[str, Callable[[Path, str, TextForm], Rows]] = {
    ".csv": open_csv,
    ".tsv": partial(open_csv, default="\t"),
    ".tab": partial(open_csv, default="\t"),
    ".txt": open_txt,
    **dict.fromkeys(JSON, open_json),
}
"""Formats of text, which may be compressed."""

_OPENERS: dict[str, Callable[[Path, str], Rows]] = {
    ".parquet": open_parquet,
    **dict.fromkeys((".arrow", ".feather"), lambda path, source: open_ipc([path], source)),
    **dict.fromkeys(
        (".pkl", ".pickle"), lambda path, source: open_arrow(read_pickle(path), source)
    ),
}
"""Others: Parquet compresses by itself, and a pickle is opened with care enough."""
