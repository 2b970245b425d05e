"""What a target is, and what an answer is: one file a kind of target.

Another kind is another class with the public methods of :class:`SingleLabel`, named in the two
places below; mypy then tells what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightfit.errors import ArtefactError
from tightfit.tasks.single_label import LabelFormat, Predictions, SingleLabel

Task = SingleLabel
"""Any kind of target."""

KINDS = {SingleLabel.kind: SingleLabel}
"""By the name under which ``labels.json`` has them; a file without one is of the first kind."""


def read_task(saved: Mapping[str, Any]) -> Task:
    """The task of a run, from its ``labels.json``.

    Raises:
        ArtefactError: it is damaged, or of a kind that this version does not know.
    """
    kind = saved.get("task", SingleLabel.kind)
    if kind not in KINDS:
        what = "the run answers in a way that this version does not know"
        raise ArtefactError(what, seen=kind, allowed=", ".join(KINDS))
    return KINDS[kind].from_json(saved)
