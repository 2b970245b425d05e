"""A folder of a program's own that can travel as bytes, as what a fitted estimator holds must."""

from __future__ import annotations

import io
import shutil
import weakref
import zipfile
from pathlib import Path
from tempfile import mkdtemp
from typing import Self


class TemporaryFolder:
    """A folder that is gone with the last who refers to it, and at the latest with the program."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="tightfit-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def packed(self) -> bytes:
        """The files in it, as one archive."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(self.path.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(self.path))
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, archive: bytes) -> Self:
        """What :meth:`packed` gave, in a folder of its own again."""
        folder = cls()
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(folder.path)
        return folder
