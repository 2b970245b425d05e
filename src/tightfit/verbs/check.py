"""``tightfit check``: what is wrong with rows, and, on request, a copy without it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightfit.config import Settings, load_config, with_reading
from tightfit.data.checks.cleaning import FIXES, Cleaned, Fix, cleaned
from tightfit.data.checks.findings import Findings
from tightfit.data.copies import check_copy, write_sheet
from tightfit.data.output_paths import check_new_file, check_not_input
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.data.table import Table
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.display import Shown
from tightfit.errors import DataError, MissingExtraError, UsageError, did_you_mean
from tightfit.extras import ensure
from tightfit.model.candidates import candidate_names, planned_name
from tightfit.model.locate import locate
from tightfit.model.unread_texts import readability_warning
from tightfit.progress import Progress, RichProgress

if TYPE_CHECKING:
    from tightfit.data.checks.examine import CountTokens


@dataclass(frozen=True, repr=False)
class CheckResult(Shown):
    """What was found, and what was written."""

    findings: Findings
    cleaned: Cleaned | None = None
    out: Path | None = None
    """The cleaned copy; without one, the sheet of suspect labels."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit check --json`` prints.

        ``cleaned`` is there only if a copy was written, ``suspects_out`` if the suspects were.
        """
        if self.cleaned is None:
            sheet = {} if self.out is None else {"suspects_out": str(self.out)}
            return {**self.findings.to_json(), **sheet}
        copy = {
            "out": str(self.out),
            "rows": len(self.cleaned.table),
            "removed": self.cleaned.removed,
            "decoded": self.cleaned.decoded,
        }
        return {**self.findings.to_json(), "cleaned": copy}

    def shown(self) -> dict[str, object]:
        """Rows, and how many have each fault."""
        faults = {str(kind): self.findings.count(kind) for kind in self.findings.found}
        return {"rows": self.findings.rows, **{kind: n for kind, n in faults.items() if n}}


def check(
    data: Any,
    *,
    against: Any = None,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    settings: Settings = (),
    model: str | None = None,
    max_length: int | None = None,
    fix: Sequence[Fix] | str = (),
    out: str | Path | None = None,
    overwrite: bool = False,
    label_errors: bool = True,
    progress: Progress | None = None,
) -> CheckResult:
    """Look for faults of rows; the data itself is never changed.

    Args:
        data: anything that ``train`` takes, with or without labels; a missing text counts as an
            empty one.
        against: test rows, which must not be among ``data``; their labels are not looked at.
        text_column: column, or columns to join with a space.
        label_column: column of the labels; None takes ``label`` where there is one.
        settings: how a text file is read: ``data.encoding``, ``data.delimiter``, ``data.quoting``,
            ``data.task`` and ``data.label_separator`` where what is seen of labels is wrong, and
            ``data.pair`` where texts are pairs, as assignments or by name.
        model: whose tokenizer counts tokens; None takes the default recipe's, if it is installed.
        max_length: longest text that will be read, in tokens; None takes the default recipe's.
        fix: what a cleaned copy shall be without: some of ``FIXES``. The copy has all columns.
        out: the file of that copy, .csv, .jsonl or .parquet; without ``fix`` of the suspect labels,
            with row (counted from 0, without a header), place (such as ``line 152``), given label,
            suggested label, confidence and text.
        overwrite: replace a file that is there already.
        label_errors: look for suspect labels, which takes most of the time.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        DataError: the rows cannot be read, no row would be left in the copy, or labels cannot be
            judged and a sheet of suspects is asked for.
        UsageError: ``fix`` and ``out`` do not go together, or cannot be used.
        MissingExtraError: the extra ``checks`` is not installed.
        ModelError: the model has no tokenizer that can be used.
        MachineError: a file may not be read or written.
    """
    ensure("datasketch", "checking rows")
    progress = progress or RichProgress()
    fixes = _fixes(fix)
    file = _file(fixes, out, label_errors=label_errors)
    if file is not None:
        check_not_input(file, data, against)
        check_new_file(file, overwrite=overwrite)
    defaults = with_reading(load_config(), settings, "data.pair").data
    columns = Columns.of(defaults, text_column, label_column, "empty")
    several = defaults.task == "multi" or defaults.label_separator
    columns = replace(columns, missing_label="refuse" if several else "drop")
    labelled = None if label_column is None else True
    check_source(data, columns, labelled=labelled, progress=progress)
    from tightfit.data.checks.check_outputs import cleaned_sheet, suspects_sheet
    from tightfit.data.checks.examine import check_table

    table, columns = _read(data, columns, labelled, progress)
    _tell_unread(model, table.texts, progress)
    test = None if against is None else read_table(against, columns, labelled=False)
    findings = check_table(
        table,
        test=test,
        count_tokens=_token_counter(model),
        max_length=max_length or defaults.max_length,
        label_errors=label_errors,
        progress=progress,
    )
    if file is None:
        return CheckResult(findings)
    if not fixes:
        _check_judged(findings)
        write_sheet(suspects_sheet(table, findings.suspects), file)
        return CheckResult(findings, out=file)
    clean = cleaned(table, findings, fixes)
    write_sheet(cleaned_sheet(data, columns, clean), file)
    return CheckResult(findings, clean, file)


def _read(
    data: Any, columns: Columns, labelled: bool | None, progress: Progress
) -> tuple[Table, Columns]:
    """The rows, and how they were read: where a training stops since labels seem to be of another
    kind, and names the settings that take them so, a check takes them so, and says it."""
    try:
        return read_table(data, columns, labelled=labelled), columns
    except DataError as fault:
        parts = shlex.split(fault.add or "")
        found = [value for flag, value in pairwise(parts) if flag == "--set"]
        if columns.task != "auto" or not any(each.startswith("data.task=") for each in found):
            raise
        kind = load_config(settings=found).data
        columns = replace(columns, task=kind.task, separator=kind.label_separator)
        if kind.task == "multi":
            columns = replace(columns, missing_label="refuse")
        progress.say(f"{fault.what}: checked with {fault.add}")
        return read_table(data, columns, labelled=labelled), columns


def _check_judged(findings: Findings) -> None:
    """An empty sheet must mean that no label is suspect, not that nobody could look."""
    skipped = findings.found["suspect_labels"].skipped
    if skipped:
        raise DataError(
            "there is no sheet of suspect labels to write",
            seen=f"labels were not judged: {skipped}",
            next_step="name the column of labels with --label-column, or leave out --out",
        )


def _fixes(fix: Sequence[Fix] | str) -> tuple[Fix, ...]:
    names = [name.strip() for name in fix.split(",")] if isinstance(fix, str) else fix
    unknown = [name for name in names if name not in FIXES]
    if unknown:
        raise UsageError(
            "no such fix",
            seen=", ".join(map(repr, unknown)),
            allowed=", ".join(FIXES),
            next_step=did_you_mean(unknown[0], FIXES),
        )
    return tuple(known for known in FIXES if known in names)


def _file(fixes: Sequence[Fix], out: str | Path | None, *, label_errors: bool) -> Path | None:
    """Where to write the suspects or the copy, or None for neither; refuses before any work."""
    if out is None:
        if fixes:
            raise UsageError(
                "a cleaned copy needs a file to write",
                seen=f"--fix {','.join(fixes)}",
                next_step="name it with --out FILE",
            )
        return None
    if not fixes and not label_errors:
        raise UsageError(
            "--out writes the suspect labels, and --no-label-errors looks for none",
            seen=f"--out {out}",
            next_step=f"leave one of them out, or write a cleaned copy with --fix, some of "
            f"{','.join(FIXES)}",
        )
    path = Path(out)
    check_copy(path)
    return path


def _tell_unread(model: str | None, texts: Sequence[str], progress: Progress) -> None:
    """Warn of texts that the encoder does not read; of several at hand a training chooses."""
    settings = load_config().model
    names = candidate_names(settings) if model is None else (model,)
    if len(names) > 1 or not texts:
        return
    with suppress(MissingExtraError):  # that it is missing is said where its tokens are counted
        told = readability_warning(names[0], texts)
        if told is not None:
            progress.warn(told)


def _token_counter(model: str | None) -> CountTokens | None:
    """Counts the tokens of texts; None if no model is named and the default one is missing."""
    try:
        source = locate(model or planned_name(load_config().model))
    except MissingExtraError:
        if model is not None:
            raise
        return None
    tokenizer = TextTokenizer.of(source.folder)
    return lambda texts: [len(encoding.ids) for encoding in tokenizer.encodings(list(texts))]
