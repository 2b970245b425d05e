"""The page itself: one file, no script, nothing fetched.

Everything that users wrote (texts, labels, names) reaches it through the template's escaping. The
page also forbids scripts and every request by its own policy, so that an oversight would not run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import tightfit.reporting as package
from tightfit.display import percent, score_name, score_value, score_words, share_words
from tightfit.metrics.interval import Interval
from tightfit.reporting.confidence import confidence
from tightfit.reporting.drawing import short
from tightfit.reporting.examples import rows
from tightfit.reporting.first_look import first_points, what_it_shows
from tightfit.reporting.label_sets import label_set_quality
from tightfit.reporting.learning import learning
from tightfit.reporting.provenance import provenance
from tightfit.reporting.quality import largest_evaluation, quality, scored_rows, verdict
from tightfit.reporting.rated import rated
from tightfit.reporting.spending import spending
from tightfit.run import Run

TEMPLATE = "page.html.j2"

_QUOTED = re.compile(r"(&#3[49];).*?\1")
"""Of code that is escaped already."""

QUALITIES: dict[str, Callable[[Run], Any]] = {
    "single": quality,
    "multi": label_set_quality,
    "rating": rated,
}
"""What ``top_KIND`` and ``scores_KIND`` show of each kind of target."""


@cache
def _templates() -> Environment:
    """Made once: to compile the page takes as long as a toy takes to train."""
    environment = Environment(
        loader=PackageLoader(package.__name__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {"percent": percent, "short": short}
    filters |= {"share_words": share_words, "isolated": isolated}
    environment.filters.update(filters)
    return environment


def isolated(code: str) -> Markup:
    """Code in which words in quotes do not move others, in whatever direction they are written."""
    return Markup(_QUOTED.sub(r"<bdi>\g<0></bdi>", str(escape(code))))


def render(run: Run, *, explain: bool = False, sealed: bool = False) -> str:
    """The whole page as HTML.

    Args:
        run: of which it tells.
        explain: weigh the words of the worst mistakes.
        sealed: whether the page is to be a part of the run, and so never changes.
    """
    template = _templates().get_template(TEMPLATE)
    scores = run.metrics.validation
    shown = [scores, *(each.scores for each in run.evaluations)]
    headline: dict[str, Interval | None] = next(
        (each.headline() for each in shown if each is not None), {}
    )
    best = next(iter(headline), None)
    others = [
        f"{score_name(name)} {score_words(name, each)}"
        for name, each in headline.items()
        if scores and name != best
    ]
    about_rows = rows(run, explain=explain)
    page = template.render(
        name=PurePath(str(run.path)).name or run.path,
        run=run,
        scores=scores,
        scored=scored_rows(run) if scores else "",
        found=None if scores else largest_evaluation(run),
        headline=headline,
        best=best,
        others=others,
        score_name=score_name,
        score_value=score_value,
        verdict=verdict(run),
        shows=what_it_shows(run, datetime.now(UTC), sealed=sealed),
        points=first_points(run, about_rows.warnings),
        spending=spending(run),
        learning=learning(run),
        quality=QUALITIES[run.task.kind](run) if scores else None,
        confidence=confidence(run),
        rows=about_rows,
        provenance=provenance(run),
    )
    # A lone surrogate, as a label of a data frame may hold, cannot be written.
    return page.encode("utf-8", "replace").decode()
