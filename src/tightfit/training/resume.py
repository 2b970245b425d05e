"""How a training finds its folder: none yet, an unfinished run, or what a kill left of one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.config import Config, from_toml
from tightfit.errors import DataError, MachineError, SettingsError
from tightfit.training.prepare import Dataset
from tightfit.training.setup import Setup


@dataclass(frozen=True)
class RunStart:
    """Where a training is to lie, and what may be done to what is there."""

    path: Path
    resume: bool = False
    overwrite: bool = False

    @property
    def folder(self) -> storage.RunFolder:
        """The run's files."""
        return storage.RunFolder(self.path)

    @property
    def digests(self) -> Path:
        """Where it is, everything is that a resumed training reads."""
        return self.folder.checkpoints / storage.BEGINNING

    @property
    def finished(self) -> bool:
        """Whether nothing is left to resume."""
        return self.resume and self.folder.manifest.is_file()

    def stored_config(self) -> Config | None:
        """The settings of an unfinished run, or None where there is none to go on with.

        Raises:
            ArtefactError: what it began with has changed since.
        """
        folder = self.folder
        if not (self.resume and self.digests.is_file()):
            return None
        storage.check_digests(self.digests, folder.root)
        return from_toml(folder.config.read_text("utf-8"))

    def create(self, setup: Setup, dataset: Dataset, facts: dict[str, Any]) -> storage.RunFolder:
        """A new folder, in which a training can begin and resume."""
        if self.resume:
            storage.clear_beginning(self.folder)
        folder = storage.create(self.path, overwrite=self.overwrite)
        try:
            storage.write_json(folder.plan, setup.classifier.plan.to_json())
            storage.write_json(folder.labels, dataset.task.to_json())
            storage.write_json(folder.data, facts)
            storage.write_text(folder.config, setup.config.to_toml())
            storage.make_folder(folder.checkpoints)
            written = [folder.config, folder.plan, folder.labels, folder.data]
            storage.write_digests(self.digests, written)
        except MachineError:
            # There is nothing to resume yet, and half a beginning would be in the way of the next.
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        return folder

    def check_same(self, config: Config, dataset: Dataset, stored: Config) -> None:
        """Whether settings and labels are those the run began with, before a model is built.

        Raises:
            DataError: the labels differ.
            SettingsError: the settings do.
        """
        if config != stored:
            raise SettingsError(
                "--resume needs the settings that the run began with",
                seen=", ".join(_differing(config, stored)),
                next_step="give the same options, or start anew with --overwrite",
            )
        if storage.read_json(self.folder.labels) != dataset.task.to_json():
            raise _other_rows("the labels have changed")

    def reopen(self, facts: dict[str, Any]) -> storage.RunFolder:
        """The folder of an unfinished run, if its rows are still those it began with."""
        before = storage.read_json(self.folder.data)
        for part in ("train_fingerprint", "validation_fingerprint"):
            if before[part] != facts[part]:
                raise _other_rows(f"{part.split('_')[0]} rows have changed")
        return self.folder


def _other_rows(seen: str) -> DataError:
    return DataError(
        "--resume needs the rows that the run began with",
        seen=seen,
        next_step="give the same data, or start anew with --overwrite",
    )


def _differing(one: Config, other: Config) -> list[str]:
    before, now = other.model_dump(mode="json"), one.model_dump(mode="json")
    names = []
    for section, value in now.items():
        if isinstance(value, dict) and section != "choices":
            names += [f"{section}.{k}" for k, v in value.items() if v != before[section].get(k)]
        elif value != before[section]:
            names.append(section)
    return names
