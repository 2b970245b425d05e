"""``tightfit audit``: did the adapters learn? For a run, or an adapter folder from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, new_table, shared_path
from tightfit.cli.front import open_front
from tightfit.errors import ProofError

if TYPE_CHECKING:
    from tightfit.model.adapter_audit import Audit

EXAMPLES = """\
tightfit audit runs/001
tightfit audit ./someone-elses-lora
tightfit audit ./someone-elses-lora --json"""


def audit(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A finished run, or a PEFT adapter folder (LoRA, VeRA, IA3)."
        ),
    ],
    *,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Tell whether saved adapters ever learned anything, from their file alone.

    The exit code is 7 when any of them is dead. Nothing is unpickled or executed.
    """
    with open_front(debug=debug) as front:
        found = tightfit.audit(path)
        front.tell(found, lambda: _show(found, str(path)), as_json=as_json)
        if found.dead:
            raise ProofError(
                found.verdict,
                next_step="train again; adapters stay dead where no gradient reaches them, as with "
                "re-entrant gradient checkpointing over frozen embeddings",
            )


def _show(found: Audit, title: str) -> list[RenderableType]:
    words = [
        f"{found.trainable:,} trained numbers in the file; the head is "
        f"{'among' if found.head_saved else 'not among'} them",
        f"labels: {', '.join(found.labels) if found.labels else 'not in this folder'}",
    ]
    if not found.dead:
        words.append(found.verdict)
    tables = [_table(found, title)] if found.adapters else [title]
    return [*tables, *words]


def _table(found: Audit, title: str) -> Table:
    # The path that all layers share would take half of the line.
    shared = shared_path([adapter.name for adapter in found.adapters])
    heading = f"adapter of {shared}…" if shared else "adapter of"
    table = new_table(title, "", heading, ">rank", ">norm of A", ">norm of B")
    for adapter in found.adapters:
        norms = [
            "not finite" if n is None else f"{n:.4g}" for n in (adapter.norm_a, adapter.norm_b)
        ]
        mark = "DEAD" if adapter.dead else ""
        add_row(table, mark, adapter.name.removeprefix(shared), str(adapter.rank), *norms)
    return table
