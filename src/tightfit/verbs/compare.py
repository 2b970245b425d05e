"""``tightfit compare``: recipes, baselines and ablations on the same rows, in one table.

What can be refused at once is refused here, before torch is imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from tightfit import storage
from tightfit.config import named_values, typed
from tightfit.data.output_paths import refuse_inside_run
from tightfit.errors import UsageError
from tightfit.experiments.cells import CELLS, RECIPE, Wanted, configs_of
from tightfit.model.candidates import candidate_names
from tightfit.progress import Progress, RichProgress
from tightfit.training.request import TrainOptions, TrainRequest, check_options

if TYPE_CHECKING:
    from tightfit.verbs.comparison import Comparison


def compare(
    data: Any,
    *,
    ablate: Sequence[str] = (),
    only: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
    **options: Unpack[TrainOptions],
) -> Comparison:
    """Train recipes and baselines, or an ablation, on the same rows with the same seed.

    A cell that is finished in ``out`` is read, and never computed again; one that was interrupted
    goes on from its checkpoint.

    Args:
        data: anything that ``train`` takes.
        ablate: such as ``rank=1,2,4``: recipe ``tight`` with each value, instead of the baselines.
        only: names of the rows to compute, in any letter case, beside those that are finished;
            empty computes all.
        out: the folder of the comparison; None takes the next ``runs/NNN``.
        progress: how to speak to people; None speaks on stderr.
        options: those of ``train``, for every cell; ``minutes`` leaves out the cells that would
            take longer than what is left of this time, and ``budget`` does not hold in full
            fine-tuning.

    Raises:
        TightfitError: its subclasses tell what is wrong; finished cells are kept.
    """
    check_options(options)
    minutes, given = options.pop("minutes", None), _overrides(options)
    asked = TrainRequest.of(
        data,
        recipe=RECIPE,
        settings=given,
        validation=options.get("validation"),
        limit=options.get("limit"),
        started=options.get("started"),
    )
    progress = progress or RichProgress()
    wanted = Wanted.of(asked.config, candidate_names(asked.config.model), ablate=ablate, only=only)
    configs_of(wanted.cells, given, asked.config)
    folder = Path(out) if out is not None else storage.next_path()
    _check_folder(folder)
    asked.check(progress)
    from tightfit.verbs.comparison import compared

    return compared(asked, given, wanted, folder=folder, minutes=minutes, progress=progress)


def _overrides(options: TrainOptions) -> dict[str, object]:
    """What is asked of every cell, as typed values by dotted name."""
    return {**typed(options.get("settings", ())), **named_values(options)}


def _check_folder(folder: Path) -> None:
    """Take a new or empty folder, or one of a comparison."""
    refuse_inside_run(folder)
    if not os.path.lexists(folder) or (folder / CELLS).is_dir():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(
            "the output path exists and is not the folder of a comparison",
            seen=folder,
            next_step="choose another --out",
        )
