"""``tightfit check``: what is wrong with rows, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, bar, new_table
from tightfit.cli.front import open_front
from tightfit.display import percent

if TYPE_CHECKING:
    from tightfit import CheckResult
    from tightfit.data.checks.findings import Findings

in_copy = partial(typer.Option, rich_help_panel="Cleaned copy")
"""Options under a heading of their own."""

LISTED_LABELS = 20
"""Of more labels only the largest and the smallest are shown."""

EXAMPLES = """\
tightfit check --data train.csv
tightfit check --data train.csv --against test.csv
tightfit check --data train.csv --text-column title,body --label-column topic
tightfit check --data hf:ag_news --model roberta-base --max-length 128
tightfit check --data train.csv --no-label-errors --json > findings.json
tightfit check --data train.csv --out suspects.csv
tightfit check --data train.csv --against test.csv \\
    --fix duplicates,contradictory,shared,markup --out clean.parquet"""


def check(
    *,
    data: options.Data,
    against: Annotated[
        str | None,
        options.in_data(
            metavar="ROWS",
            help="Test rows, in any form of --data, that must not be among the others.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    settings: options.Reading = None,
    label_errors: Annotated[
        bool,
        options.in_data(
            "--label-errors/--no-label-errors",
            help="Look for labels that the other rows speak against; takes most of the time.",
        ),
    ] = True,
    model: options.Model = None,
    max_length: Annotated[
        int | None,
        options.in_settings(
            min=1, metavar="N", help="Longest text that will be read, in the model's tokens."
        ),
    ] = None,
    fix: Annotated[
        str | None,
        in_copy(
            metavar="A,B",
            help="Remove rows: duplicates, near (duplicates), contradictory, shared, suspects, "
            "empty; or decode markup.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        in_copy(
            metavar="FILE",
            help="Write it, with all columns, to a .csv, .jsonl or .parquet; without --fix, write "
            "the suspect labels there: row (counted from 0, without a header), place (such as line "
            "152), given and suggested label, confidence, text.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, in_copy("--overwrite", help="Replace the file in --out; never the rows themselves.")
    ] = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Look for faults of rows: repeats, leaks, wrong labels, cut, empty or garbled texts.

    The rows themselves are never changed, and findings are no error: the exit code is 0.
    """
    with open_front(debug=debug) as front:
        result = tightfit.check(
            data,
            against=against,
            text_column=text_column,
            label_column=label_column,
            settings=settings or (),
            model=model,
            max_length=max_length,
            fix=fix or (),
            out=out,
            overwrite=overwrite,
            label_errors=label_errors,
        )
        front.tell(result, lambda: [_show(result, data, front.page)], as_json=as_json)


def _show(result: CheckResult, data: str, console: Console) -> Group:
    findings = result.findings
    parts = [_counts(findings, data)]
    if findings.label_counts:
        parts.append(_labels(findings, console))
    lines = [*_examples(findings), *_closing(result)]
    return Group(*parts, *(Text(line, overflow="fold") for line in lines))


def _counts(findings: Findings, data: str) -> Table:
    from tightfit.data.checks.findings import MEANING

    table = new_table(f"{data}: {findings.rows:,} rows", "rows with", ">rows", ">share", "that is")
    for kind, finding in findings.found.items():
        words = kind.replace("_", " ")
        if finding.skipped:
            add_row(table, words, "-", "", f"not looked for: {finding.skipped}")
        else:
            count = len(finding.rows)
            add_row(table, words, f"{count:,}", percent(count / findings.rows), MEANING[kind])
    if findings.unlabelled:
        share = percent(findings.unlabelled / (findings.rows + findings.unlabelled))
        words = "no label; left out of all else here, and of a cleaned copy"
        add_row(table, "unlabelled", f"{findings.unlabelled:,}", share, words)
    return table


def _labels(findings: Findings, console: Console) -> Table:
    counts = sorted(findings.label_counts.items(), key=lambda item: -item[1])
    largest = counts[0][1]
    title = f"{len(counts):,} labels, the largest {findings.imbalance:.1f} times the smallest"
    table = new_table(title, "label", ">rows", "")
    half = LISTED_LABELS // 2
    few = counts if len(counts) <= LISTED_LABELS else [*counts[:half], *counts[-half:]]
    for name, count in few:
        add_row(table, name, f"{count:,}", bar(count / largest, console))
    return table


def _examples(findings: Findings) -> Iterator[str]:
    for kind, finding in findings.found.items():
        if finding.examples:
            yield f"{kind.replace('_', ' ')}, for example:"
            for example in finding.examples:
                yield f"  {example.place} ({example.why})"
                yield f"    {example.text}"
            yield ""


def _closing(result: CheckResult) -> Iterator[str]:
    """What was written, or how to have it written."""
    shown = (each for finding in result.findings.found.values() for each in finding.examples)
    if any(each.place.startswith("row ") for each in shown):
        yield "rows are counted from 0, a header left out"
    if result.cleaned is not None:
        for fix, count in result.cleaned.removed.items():
            yield f"{fix}: removed {count:,}"
        if result.cleaned.decoded is not None:
            yield f"markup: decoded {result.cleaned.decoded:,}"
        yield f"{len(result.cleaned.table):,} rows are in {result.out}, with all their columns"
    elif result.out is not None:
        suspects = result.findings.count("suspect_labels")
        yield f"{suspects:,} suspect labels are in {result.out}, the most suspect first"
    elif fixes := _suggested(result.findings):
        yield "nothing was changed; to write a cleaned copy, give the same command with"
        yield f"  --fix {','.join(fixes)} --out clean.parquet"


def _suggested(findings: Findings) -> list[str]:
    """The fixes that would do something and that nobody needs to think about twice."""
    from tightfit.data.checks.cleaning import MENDS

    return [
        fix
        for fix, kind in MENDS.items()
        if findings.count(kind) and fix not in ("near", "suspects")
    ]
