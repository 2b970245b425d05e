"""Everything worth knowing of a GPU, in minutes: ``bash scripts/gpu.sh`` starts this.

    python -m benchmarks.gpu --device cuda --minutes 15 --out gpu-out
    python -m benchmarks.gpu --device cpu --minutes 10 --out gpu-out

Each part is a process of its own with its own time limit. ``OUT/gpu.md`` and ``OUT/gpu.json`` are
written anew whenever a part tells something; the same call again keeps the parts that are done.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.page import PAGE_NAME, Outcome, Record
from benchmarks.gpu.parts import PARTS, Options, limit_of
from benchmarks.gpu.pieces import joined
from benchmarks.gpu.runner import ROOT, run_part

EMBEDDED = "all-MiniLM-L6-v2"
NEEDS_BASE = "accuracy-base"
"""The part that random weights cannot serve."""
RESERVE = 15.0
"""Seconds kept back, so that all is written when the time is up."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts that are not done yet; returns 0 where all are, and the page is written."""
    args = _arguments(sys.argv[1:] if words is None else words)
    ends = time.monotonic() + 60 * args.minutes - RESERVE
    out = Path(args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    options = _options(args, out)
    record = _record(out, options.device, words)
    chosen = [part for part in PARTS if part.name in (args.parts or [p.name for p in PARTS])]
    if not options.base:
        # Said and left out, so that its time goes to the others.
        record.outcomes[NEEDS_BASE] = Outcome("left out", reason="no weights of base size given")
        chosen = [part for part in chosen if part.name != NEEDS_BASE]
    waiting = [part for part in chosen if not _is_done(record, part.name)]
    while waiting:
        part = waiting[0]
        limit = limit_of(part, ends - time.monotonic(), waiting)
        waiting = waiting[1:]
        if limit < 1:
            break
        print(f"--- {part.title}: at most {limit:.0f} s", file=sys.stderr)
        _run(record, replace(options, limit=limit), part.name, out)
    written = _write(record, out)
    print(record.page())
    print(out / PAGE_NAME if written else "the page stands above alone", file=sys.stderr)
    return 0 if written and all(_is_done(record, part.name) for part in chosen) else 1


def _run(record: Record, options: Options, name: str, out: Path) -> None:
    """One part, with the record written whenever it tells something."""

    def keep(outcome: Outcome) -> None:
        record.outcomes[name] = outcome
        _write(record, out)

    keep(Outcome("running", limit=options.limit))
    command = command_of(name, options)
    keep(run_part(command, environment_of(options), options.limit, told=keep))


def command_of(name: str, options: Options) -> list[str]:
    """What runs a part."""
    return [sys.executable, "-m", "benchmarks.gpu.run", name, json.dumps(asdict(options))]


def environment_of(options: Options) -> dict[str, str]:
    """Of every part: this checkout, then what the wheels brought; no network; the device."""
    places = [str(ROOT / "src"), str(ROOT), str(Path(options.out) / "site")]
    given = os.environ.get("PYTHONPATH")
    environment = {
        "PYTHONPATH": os.pathsep.join([*places, given] if given else places),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        # What a machine without a writable home has, too.
        "XDG_CACHE_HOME": str(Path(options.out) / "cache"),
    }
    if options.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _write(record: Record, out: Path) -> bool:
    """Whether there was room; what is known stays in memory, and the end prints it all."""
    try:
        record.write(out)
    except OSError as error:
        print(f"the page could not be written ({error}); going on", file=sys.stderr)
        return False
    return True


def _record(out: Path, device: str, words: Sequence[str] | None) -> Record:
    """That of an earlier call on the same device, else a new one."""
    earlier = Record.read(out)
    if earlier is not None and earlier.device == device:
        return earlier
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    said = sys.argv[1:] if words is None else words
    return Record(device, began, f"bash scripts/gpu.sh {shlex.join(said)}")


def _is_done(record: Record, name: str) -> bool:
    found = record.outcomes.get(name)
    return found is not None and found.state == "done"


def _options(args: argparse.Namespace, out: Path) -> Options:
    """Paths made absolute, since parts start elsewhere; what ``--weights`` holds is taken."""
    packed = joined(Path(args.weights).resolve(), out / "weights") if args.weights else None
    model, data, base = args.model, args.data, args.base
    if packed:
        model = model or _if_there(packed / "encoder")
        base = base or _if_there(packed / "base")
        data = data or _if_there(packed / "rows.parquet")
    return Options(
        out=str(out),
        device=args.device,
        data=_absolute(data or "sample"),
        model=_absolute(model or EMBEDDED),
        base=_absolute(base) if base else "",
        wheels=_absolute(args.wheels) if args.wheels else "",
    )


def _if_there(path: Path) -> str:
    return str(path) if path.exists() else ""


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", required=True, help="folder of the page; resumed if it is there")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=15.0, help="for all parts together")
    parser.add_argument("--wheels", help="folder of wheels for packages that are missing")
    parser.add_argument("--weights", help="folder that python -m benchmarks.gpu.pack made")
    parser.add_argument("--data", help="labelled rows, as tightfit's --data; default: sample")
    parser.add_argument("--model", help=f"default: {EMBEDDED}")
    parser.add_argument("--base", help="folder of a base-size encoder; default: random weights")
    names = [part.name for part in PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, metavar="PART", help=", ".join(names))
    return parser.parse_args(words)


if __name__ == "__main__":
    # As an exception, so that the part that runs ends, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
