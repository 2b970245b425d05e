"""Settings and decisions out of a run folder, of either format."""

from __future__ import annotations

from tightfit import storage
from tightfit.config import Config, Decisions, read_settings


def settings_in(folder: storage.RunFolder) -> tuple[Config, Decisions]:
    """What a run was asked for, and what it decided.

    Raises:
        ArtefactError: a file is missing or damaged.
        SettingsError: the settings cannot be read.
    """
    kept = storage.read_json(folder.decisions) if folder.decisions.is_file() else None
    return read_settings(storage.read_bytes(folder.config).decode(), kept)
