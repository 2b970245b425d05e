"""Write requirements.lock: the newest versions that suit pyproject.toml, every one pinned.

Usage: ``python scripts/lock.py [options of pip install]``, for instance ``-c FILE`` to hold some
versions back. Nothing is installed; pip only works out what it would install.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
TORCH = "torch==2.13.0"  # built for many machines; a newer one is taken up on purpose only
ACCELERATOR_PARTS = ("cuda-", "nvidia-", "triton", "pytorch-triton")
HEADER = """\
# Every package that 'make demo' and 'make test' install; renewed by 'make lock'.
# Not pinned here: what torch itself pins for its build of your platform (CUDA libraries on Linux
# from PyPI; none with a CPU build). A CPU build is taken where pip's settings offer one, for
# instance with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
# Not in here: the extra 'mlflow', whose releases trail those of pandas and pyarrow.
"""


def main(options: list[str]) -> None:
    """Resolve and write the lock."""
    LOCK.write_text(HEADER + "".join(f"{pin}\n" for pin in pins(resolve(options))), "utf-8")


def resolve(options: list[str]) -> dict[str, Any]:
    """pip's report on installing everything into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", str(report), f"{ROOT}[dev]", TORCH, *options]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit("pip found no set of versions; its own message stands above")
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


def pins(report: dict[str, Any]) -> list[str]:
    """``name==version`` for each package of a report but our own, sorted.

    A local version such as ``2.13.0+cpu`` loses its suffix, so that the lock suits any platform.
    """
    packages = [item["metadata"] for item in report["install"]]
    return sorted(
        f"{package['name'].lower().replace('_', '-')}=={package['version'].partition('+')[0]}"
        for package in packages
        if package["name"] != "tightfit" and not package["name"].startswith(ACCELERATOR_PARTS)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
