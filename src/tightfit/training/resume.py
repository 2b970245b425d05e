"""How a training finds its folder: none yet, an unfinished run, or what a kill left of one."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decisions, from_toml
from tightfit.data.facts import DataFacts
from tightfit.errors import DataError, Interrupted, MachineError, UsageError
from tightfit.progress import Progress
from tightfit.storage.files import parsed
from tightfit.tasks.dataset import Dataset
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.request import check_same_settings
from tightfit.training.setup import Setup
from tightfit.training.signals import to_go_on


@dataclass(frozen=True)
class Stored:
    """What an unfinished run began with."""

    config: Config
    decisions: Decisions
    plan: Plan
    facts: DataFacts


@dataclass(frozen=True)
class RunStart:
    """Where a training is to lie, and what may be done to what is there."""

    path: Path
    resume: bool
    overwrite: bool = False

    @property
    def folder(self) -> storage.RunFolder:
        """The run's files."""
        return storage.RunFolder(self.path)

    @property
    def digests(self) -> Path:
        """Where it is, everything is that a resumed training reads."""
        return self.folder.checkpoints / storage.START_DIGESTS

    @property
    def finished(self) -> bool:
        """Whether nothing is left to resume."""
        return self.resume and self.folder.sealed

    def stored(self) -> Stored | None:
        """What an unfinished run began with, or None where there is none to go on with.

        Raises:
            ArtefactError: what it began with has changed since.
        """
        folder = self.folder
        if not (self.resume and self.digests.is_file()):
            return None
        pending = folder.checkpoints / storage.DECIDED
        if pending.is_file():
            _put(folder, storage.read_digested(pending))
        storage.check_digests(self.digests, folder.root)
        return Stored(
            from_toml(folder.config.read_text("utf-8")),
            Decisions.from_json(storage.read_json(folder.decisions)),
            Plan.from_json(storage.read_json(folder.plan)),
            parsed(DataFacts, storage.read_json(folder.data), folder.data),
        )

    @contextmanager
    def keeping(self, progress: Progress) -> Iterator[None]:
        """Train meanwhile: a finished run that is replaced is gone only when the new one is sealed.

        After an error it is back in its folder; where the new run can be resumed it stays beside.
        """
        if not (self.overwrite or self.resume):  # what lies beside is not of this training
            with self._told_to_resume():
                yield
            return
        kept = storage.kept_beside(self.path)
        try:
            yield
        except BaseException:  # a signal, too, leaves the folder to be put right
            if kept.is_dir() and not self.folder.sealed:
                self._put_right(kept, progress)
            raise
        try:
            storage.drop_kept(self.path)
        except MachineError as error:
            progress.warn(f"the new run is sealed; the one before it could not be removed: {error}")

    @contextmanager
    def _told_to_resume(self) -> Iterator[None]:
        """Where a signal that no step waits for leaves a folder, the same command is refused."""
        try:
            yield
        except KeyboardInterrupt as error:
            next_step, begun = to_go_on(self.path), self.digests.is_file()
            told = getattr(error, "next_step", None) == next_step
            if told or not begun or self.folder.sealed:
                raise
            number = error.exit_code - 128 if isinstance(error, Interrupted) else signal.SIGINT
            what = "stopped before the run was sealed"
            raise Interrupted(what, signal_number=number, next_step=next_step) from None

    def _put_right(self, kept: Path, progress: Progress) -> None:
        if CheckpointStore(self.folder.checkpoints).is_empty:
            storage.bring_back(self.path)
            progress.say(f"{self.path} is the run that it was before")
        else:
            progress.say(f"the run that was in {self.path} lies in {kept} until this is done")

    def create(self, setup: Setup) -> storage.RunFolder:
        """A new folder, in which a training can begin and resume."""
        if self.resume:
            storage.clear_unstarted(self.folder)
        folder = storage.create(self.path, overwrite=self.overwrite)
        try:
            storage.write_text(folder.config, setup.config.to_toml())
            storage.write_json(folder.labels, setup.dataset.task.to_json())
            facts = replace(setup.dataset.facts, tokens=setup.token_facts())
            storage.write_json(folder.data, asdict(facts))
            storage.make_folder(folder.checkpoints)
            write_decided(folder, setup)
        except MachineError:
            # There is nothing to resume yet, and half a beginning would be in the way of the next.
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        return folder

    def check_same(self, config: Config, dataset: Dataset, stored: Stored) -> None:
        """Whether settings and rows are those the run began with, before a model is built.

        Raises:
            DataError: the rows or labels differ.
            SettingsError: the settings do.
            UsageError: it is to go on from another run than it began with.
        """
        check_same_settings(config, stored.config)
        if storage.read_json(self.folder.labels) != dataset.task.to_json():
            raise _other_rows("the labels have changed")
        for part, fingerprint in dataset.facts.fingerprints.items():
            if stored.facts.fingerprints[part] != fingerprint:
                raise _other_rows(f"{part} rows have changed")
        began, now = stored.facts.continued, dataset.facts.continued
        if (began and began.identity) != (now and now.identity):
            raise UsageError(
                "--resume needs the run that the training began with",
                seen=f"another run in {now and now.run}",
                allowed=f"the run that was in {began and began.run}",
                next_step="give the same --from, or start anew with --overwrite",
            )


def write_decided(folder: storage.RunFolder, setup: Setup) -> None:
    """Keep plan and decisions, now or once the last of them is made; a resumed training goes by
    them. One that a kill ends meanwhile goes by the new ones."""
    decided = {"decisions": setup.decisions.to_json(), "plan": setup.plan.to_json()}
    if (folder.checkpoints / storage.START_DIGESTS).is_file():
        storage.write_digested(folder.checkpoints / storage.DECIDED, decided)
    _put(folder, decided)


def _put(folder: storage.RunFolder, decided: Mapping[str, Any]) -> None:
    storage.write_json(folder.decisions, decided["decisions"])
    storage.write_json(folder.plan, decided["plan"])
    written = [folder.config, folder.decisions, folder.plan, folder.labels, folder.data]
    storage.write_digests(folder.checkpoints / storage.START_DIGESTS, written)
    (folder.checkpoints / storage.DECIDED).unlink(missing_ok=True)


def _other_rows(seen: str) -> DataError:
    return DataError(
        "--resume needs the rows that the run began with",
        seen=seen,
        next_step="give the same data, or start anew with --overwrite",
    )
