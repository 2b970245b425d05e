"""The page itself: one file, no script, nothing fetched.

Everything that users wrote (texts, labels, names) reaches it through the template's escaping. The
page also forbids scripts and every request by its own policy, so that an oversight would not run.
"""

from __future__ import annotations

from pathlib import PurePath

from jinja2 import Environment, PackageLoader, StrictUndefined

import tightfit.reporting as package
from tightfit.reporting.confidence import confidence
from tightfit.reporting.drawing import percent, short
from tightfit.reporting.examples import rows
from tightfit.reporting.facts import RunFacts
from tightfit.reporting.learning import learning
from tightfit.reporting.provenance import story
from tightfit.reporting.quality import quality, verdict
from tightfit.reporting.spending import adapter_words, spending

TEMPLATE = "page.html.j2"


def render(facts: RunFacts) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=PackageLoader(package.__name__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["short"] = short
    page = environment.get_template(TEMPLATE).render(
        name=PurePath(facts.path).name or facts.path,
        facts=facts,
        adapters=adapter_words(facts),
        verdict=verdict(facts),
        spending=spending(facts),
        learning=learning(facts),
        quality=quality(facts),
        confidence=confidence(facts),
        rows=rows(facts),
        story=story(facts),
    )
    # A lone surrogate, as a label of a data frame may hold, cannot be written.
    return page.encode("utf-8", "replace").decode()
