"""``tightfit report``: a page about a run, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tightfit
from tightfit.cli import options
from tightfit.cli.front import open_front

EXAMPLES = """\
tightfit report runs/001
tightfit report runs/001 --out report.html
tightfit report runs/001 --json"""


def report(
    run: options.Run,
    *,
    out: Annotated[
        Path | None,
        options.in_answer(
            metavar="FILE", help="The page to write; else derived/report.html in the run."
        ),
    ] = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Write a page about a run: results, mistakes, confidence, learning, budget, proofs.

    Training leaves such a page in the run; this one also tells what was evaluated since. It is one
    file that needs no network. Its path is printed.
    """
    with open_front(debug=debug) as front:
        path = tightfit.report(run, out=out)
        if as_json:
            front.answer({"report": str(path)})
        else:
            front.lines([str(path)])
            front.show(
                "open this page: what came since the run was sealed is on it; "
                f"{run / 'report.html'} stays as it was sealed"
            )
