"""``tightfit runs``: which runs lie in a folder, and what each is worth.

Nothing is loaded and no file's digest is computed, so that a hundred runs are listed within a
second: the seal itself is checked, and every file's presence and size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tightfit import storage
from tightfit.display import Shown, score_value
from tightfit.errors import ArtefactError, MachineError
from tightfit.metrics.interval import Interval
from tightfit.storage.files import machine_errors

State = Literal["finished", "unfinished", "damaged"]

DEFAULT_FOLDER = Path("runs")

SCORES = ("accuracy", "exact_match", "micro_f1", "spearman", "mae")
"""By which a run is judged, whichever of them its task has: the first."""


@dataclass(frozen=True)
class Score(Interval):
    """A score on the validation rows, with its interval."""

    name: str
    rows: int


@dataclass(frozen=True)
class ListedRun:
    """One run, as far as its small files tell."""

    run: Path
    state: State
    data: str | None = None
    """Where its rows came from."""
    model: str | None = None
    score: Score | None = None
    """None of a run that is not finished, of an adapter that was imported, and of a run from label
    names alone."""
    parameters: int | None = None
    """That trained."""
    bytes: int = 0
    """Of all sealed files."""
    date: str | None = None
    """When it was sealed, or last written to: ISO 8601, UTC."""
    fault: str | None = None
    """What is wrong with it, or missing."""


@dataclass(frozen=True, repr=False)
class RunList(Shown):
    """The runs in a folder, by name."""

    folder: Path
    runs: tuple[ListedRun, ...]

    def __iter__(self) -> Iterator[ListedRun]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit runs --json`` prints."""
        return {"runs": [{**asdict(each), "run": str(each.run)} for each in self.runs]}

    def shown(self) -> dict[str, object]:
        """Each run with its score, or with what it is instead."""
        return {
            str(each.run): each.state
            if each.score is None
            else score_value(each.score.name, each.score.value)
            for each in self.runs
        }


def runs(folder: str | Path | None = None) -> RunList:
    """The runs in a folder; damaged and unfinished ones are named as such.

    Files are not read through: ``audit`` does that. Their presence and size is checked.

    Args:
        folder: of runs, or a single run; None takes ``runs``, which need not be there.

    Raises:
        ArtefactError: there is no such folder.
        MachineError: it may not be read.
    """
    root = DEFAULT_FOLDER if folder is None else Path(folder)
    with machine_errors(root, "read"):
        if not root.is_dir():
            if folder is None:
                return RunList(root, ())
            raise ArtefactError(
                "there is no folder of runs here",
                seen=root,
                next_step="give the folder that holds them, such as runs",
            )
        inside = [root] if _is_run(root) else sorted(filter(_is_run, root.iterdir()))
    return RunList(root, tuple(map(_listed, inside)))


def _is_run(path: Path) -> bool:
    """Whether a run began here; a link, or what is half replaced, is none."""
    hidden = path.name.startswith(".") and path.name not in (".", "..")
    return not hidden and not path.is_symlink() and storage.RunFolder(path).begun


def _listed(path: Path) -> ListedRun:
    folder = storage.RunFolder(path)
    if not folder.sealed:
        return ListedRun(
            path,
            "unfinished",
            data=_source(folder),
            date=_date(folder.history if folder.history.is_file() else folder.config),
            fault="no seal: training was interrupted, failed, or is not over",
        )
    try:
        return _finished(folder)
    except (ArtefactError, MachineError) as error:
        fault = error.what if error.seen is None else f"{error.what}: {error.seen}"
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fault = f"a file has another content than it should: {error}"
    return ListedRun(path, "damaged", date=_date(folder.manifest), fault=fault)


def _finished(folder: storage.RunFolder) -> ListedRun:
    """Raises what reading JSON of an unexpected form raises, and ArtefactError."""
    manifest = storage.read_manifest(folder)
    unlike = [file.path for file in manifest.files if _size(folder.root / file.path) != file.bytes]
    if unlike:
        raise ArtefactError("missing, or of another size", seen=", ".join(unlike[:3]))
    score = None
    if folder.metrics.is_file():
        # As it is: the types that the one reader makes of it wait for SciPy.
        score = _score(storage.read_json(folder.metrics)["validation"])
    return ListedRun(
        folder.root,
        "finished",
        data=str(storage.read_json(folder.data)["source"]),
        model=manifest.base.get("public_name"),
        score=score,
        parameters=int(storage.read_json(folder.plan)["total"]),
        bytes=sum(file.bytes for file in manifest.files),
        date=_date(folder.manifest),
    )


def _score(validation: dict[str, Any] | None) -> Score | None:
    for name in SCORES:
        if validation is not None and validation.get(name) is not None:
            value, low, high = (float(validation[name][key]) for key in ("value", "low", "high"))
            return Score(value, low, high, name, int(validation["n"]))
    return None


def _source(folder: storage.RunFolder) -> str | None:
    try:
        return str(storage.read_json(folder.data)["source"])
    except (ArtefactError, MachineError, LookupError, TypeError):
        return None  # it had not been written yet


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _date(path: Path) -> str | None:
    if not path.is_file():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
