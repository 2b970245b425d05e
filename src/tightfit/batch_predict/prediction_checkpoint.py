"""What a long prediction has finished, kept beside its output until that is whole.

One file a chunk of rows holds what the classifier said of it. After a kill, a chunk of the same
texts is read back instead of predicted, so that the output is the same to the byte.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from tightfit import storage
from tightfit.data.text_pair import texts_sha256
from tightfit.errors import ArtefactError
from tightfit.tasks import Predictions, Task

JOB_FILE = "job.json"
"""What the chunks were predicted with; those of another job are useless."""


class PredictionCheckpoint:
    """The finished chunks of one job.

    Args:
        folder: where they are kept; made when the first one is.
        task: what an answer is.
        job: whatever must be the same for them to be used: the run, how it reads texts. Plain JSON.
    """

    def __init__(self, folder: Path, task: Task, job: Mapping[str, object]) -> None:
        self._folder, self._task = folder, task
        self._job = json.loads(json.dumps(job))  # as it is read again: tuples are lists there
        if folder.is_dir() and not self._is_of_this_job():
            self.clear()

    def read(self, number: int, texts: Sequence[str]) -> Predictions | None:
        """What was said of these texts as the chunk of this number; None where nothing was."""
        path = self._path(number)
        if not path.is_file():
            return None
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as saved:
                if str(saved["texts"]) != texts_sha256(texts):
                    return None
                return self._task.predictions(
                    saved["probabilities"],
                    truncated=int(saved["truncated"]),
                    by_linear=int(saved["by_linear"]),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # Writing is whole or nothing, so this is a damaged disk: predicting again mends it.
            return None

    def write(self, number: int, texts: Sequence[str], found: Predictions) -> None:
        """Keep what was said of a chunk.

        Raises:
            MachineError: it cannot be written.
        """
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            storage.write_json(self._folder / JOB_FILE, self._job)
        buffer = BytesIO()
        np.savez(
            buffer,
            probabilities=found.probabilities,
            truncated=np.array(found.truncated),
            by_linear=np.array(found.by_linear),
            texts=np.array(texts_sha256(texts)),
        )
        storage.write_bytes(self._path(number), buffer.getvalue())

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"chunk-{number:08d}.npz"

    def _is_of_this_job(self) -> bool:
        try:
            return bool(storage.read_json(self._folder / JOB_FILE) == self._job)
        except ArtefactError:
            return False
