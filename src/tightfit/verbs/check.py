"""``tightfit check``: what is wrong with rows, and, on request, a copy without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from tightfit.config import load_config
from tightfit.data.checks.cleaning import FIXES, Cleaned, Fix, cleaned
from tightfit.data.checks.findings import Findings
from tightfit.data.copies import check_copy, write_table
from tightfit.data.output_paths import check_new_file, check_not_input
from tightfit.data.rows import nearest
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.display import Shown
from tightfit.errors import MissingExtraError, ModelError, UsageError
from tightfit.model.locate import Source, locate
from tightfit.progress import Progress, RichProgress

if TYPE_CHECKING:
    from tightfit.data.checks.examine import CountTokens


@dataclass(frozen=True, repr=False)
class CheckResult(Shown):
    """What was found, and what was written."""

    findings: Findings
    cleaned: Cleaned | None = None
    out: Path | None = None
    """The cleaned copy."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit check --json`` prints; ``cleaned`` only if one was written."""
        if self.cleaned is None:
            return self.findings.to_json()
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
        model: whose tokenizer counts tokens; None takes the default recipe's, if it is installed.
        max_length: longest text that will be read, in tokens; None takes the default recipe's.
        fix: what a cleaned copy shall be without: some of ``FIXES``.
        out: the file of that copy: .csv, .jsonl or .parquet.
        overwrite: replace a file that is there already.
        label_errors: look for suspect labels, which takes most of the time.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        DataError: the rows cannot be read, or no row would be left in the copy.
        UsageError: ``fix`` and ``out`` do not go together, or cannot be used.
        MissingExtraError: the extra ``checks`` is not installed.
        ModelError: the model has no tokenizer that can be used.
        MachineError: a file may not be read or written.
    """
    progress = progress or RichProgress()
    fixes = _fixes(fix)
    copy = _copy_path(fixes, out)
    if copy is not None:
        check_not_input(copy, data, against)
        check_new_file(copy, overwrite=overwrite)
    defaults = load_config().data
    names = (text_column,) if isinstance(text_column, str) else text_column
    columns = Columns(tuple(names or defaults.text_column), label_column or "label", "empty")
    labelled = None if label_column is None else True
    check_source(data, columns, labelled=labelled, progress=progress)
    from tightfit.data.checks.examine import check_table

    table = read_table(data, columns, labelled=labelled)
    test = None if against is None else read_table(against, columns, labelled=False)
    findings = check_table(
        table,
        test=test,
        count_tokens=_token_counter(model),
        max_length=max_length or defaults.max_length,
        label_errors=label_errors,
        progress=progress,
    )
    if copy is None:
        return CheckResult(findings)
    clean = cleaned(table, findings, fixes)
    write_table(clean.table, copy)
    return CheckResult(findings, clean, copy)


def _fixes(fix: Sequence[Fix] | str) -> tuple[Fix, ...]:
    names = [name.strip() for name in fix.split(",")] if isinstance(fix, str) else fix
    unknown = [name for name in names if name not in FIXES]
    if unknown:
        near = nearest(unknown[0], FIXES)
        raise UsageError(
            "no such fix",
            seen=", ".join(map(repr, unknown)),
            allowed=", ".join(FIXES),
            next_step=f"did you mean {near!r}?" if near else None,
        )
    return tuple(known for known in FIXES if known in names)


def _copy_path(fixes: Sequence[Fix], out: str | Path | None) -> Path | None:
    """Where to write the cleaned copy, or None where none is asked for; refuses before any work."""
    if bool(fixes) != (out is not None):
        raise UsageError(
            "a cleaned copy needs both what to fix and a file to write",
            seen=f"--fix {','.join(fixes)}" if fixes else f"--out {out}",
            allowed=f"--fix with some of {','.join(FIXES)}, and --out FILE",
        )
    if out is None:
        return None
    path = Path(out)
    check_copy(path)
    return path


def _token_counter(model: str | None) -> CountTokens | None:
    """Counts the tokens of texts; None if no model is named and the default one is missing."""
    try:
        source = locate(model or load_config().model.name)
    except MissingExtraError:
        if model is not None:
            raise
        return None
    tokenizer = _tokenizer(source)
    return lambda texts: [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


def _tokenizer(source: Source) -> Tokenizer:
    """The model's tokenizer by itself: transformers' would load torch, and only to count."""
    file = source.folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
    # The library raises bare Exception for JSON that is no tokenizer.
    except Exception as error:
        raise ModelError(
            "the model folder has no usable tokenizer.json",
            seen=f"{source.folder}: {error}",
            next_step="choose another model with --model, or save this one's fast tokenizer",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
