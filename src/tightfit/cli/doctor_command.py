"""``tightfit doctor``: what this machine has, and what can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.console import size, tick
from tightfit.cli.front import open_front

if TYPE_CHECKING:
    from tightfit.diagnosis import Devices, Report

EXAMPLES = """\
tightfit doctor
tightfit doctor --json"""


def doctor(*, as_json: options.AsJson = False, debug: options.Debug = False) -> None:
    """Check versions, devices, compiler, extras, and where models can come from."""
    with open_front(debug=debug) as front:
        report = tightfit.doctor()
        front.tell(report, lambda: _show(report, front.page), as_json=as_json)


def _show(report: Report, console: Console) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2))
    for ok, what, detail in _checks(report):
        mark = "-" if ok is None else tick(ok, console)
        table.add_row(mark, Text(what), Text(detail, overflow="fold"))
    return [table, "", report.verdict]


def _checks(report: Report) -> list[tuple[bool | None, str, str]]:
    """Every line of the checklist, its subject, what was found: fine, or keeping the machine from
    being ready, or (None) something that it can be ready without."""
    from tightfit.diagnosis import OPTIONAL

    rows: list[tuple[bool | None, str, str]] = [
        (found is not None or (None if name in OPTIONAL else False), name, found or "missing")
        for name, found in report.versions.items()
    ]
    rows += [(True, what, detail) for what, detail in _device_lines(report.devices)]
    compiler = report.compiler or "none: torch.compile will not work"
    rows.append((report.compiler is not None or None, "C++ compiler", compiler))
    rows += [(f.ok or None, f"extra {name}", f.detail) for name, f in report.extras.items()]
    none = None if any(f.ok for f in report.reachable.values()) else False  # one of them will do
    rows += [(f.ok or none, f"models: {name}", f.detail) for name, f in report.reachable.items()]
    return rows


def _device_lines(devices: Devices) -> list[tuple[str, str]]:
    used = devices.torch_threads
    threads = "" if used is None else f", of which torch uses {used}"
    features = ", ".join(devices.cpu_features) or "no vector units known of"
    return [
        ("processor", f"{devices.cpu}: {features}"),
        ("cores", f"{devices.cores}{threads}"),
        ("GPUs", "; ".join(devices.gpus) or "none"),
        ("memory", "unknown" if devices.memory is None else size(devices.memory)),
        ("free disk", size(devices.free_disk)),
    ]
