"""How long a first answer takes, from the start of a process, against importing torch alone.

    python -m benchmarks.first_answer RUN
    python -m benchmarks.first_answer RUN --repeats 15 --threads 2

Three ways to it: ``tightfit predict RUN --text``, ``tightfit.Run.load(RUN).predict``, and the
classifier alone, as a service might open it. Each compares the run's adapter and its base model
with the digests in the manifest (that of the base is remembered while its file stays as it was),
and answers one text; the last then opens a copy of the run beside it and says what that added.
Processes are interleaved, and medians shown: a busy hour slows all sides alike, so the quotients
tell more than the seconds. Modules are compiled beforehand, as in any installed package.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import Process, run_process
from tightfit.model.locate import locate

TEXT = "Stocks fell for a third day as oil rose and the bank warned of losses."

ANSWER = """
import json, sys
from pathlib import Path
from tightfit.encoder import open_classifier
from tightfit.digests import file_sha256

run, base, second, text = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
manifest = json.loads((run / "manifest.json").read_bytes())
for file in manifest["files"]:
    assert file_sha256(run / file["path"]) == file["sha256"], file["path"]
classifier = open_classifier(run / "adapter", base)
assert classifier.encoder.digest == manifest["base"]["sha256"]
logits = classifier.logits(classifier.tokens([text], 128))
"""

COMMAND = """
import sys
from tightfit.cli import main
sys.argv[:] = ["tightfit", "predict", sys.argv[1], "--text", sys.argv[4]]
try:
    main()
except SystemExit as end:
    assert not end.code
"""

LIBRARY = """
import sys
import tightfit
tightfit.Run.load(sys.argv[1]).predict(sys.argv[4]).labels
"""

SIDES = {
    "tightfit predict": COMMAND,
    "Run.load().predict": LIBRARY,
    "the classifier": ANSWER,
    "import torch": "import torch",
}
"""What is measured, the yardstick last."""

# What the system counts for a child includes what its parent held when it was forked.
PEAK = """
import json, re
from pathlib import Path
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({"peak": 1024 * int(peak[1])}))
"""

SECOND = (
    ANSWER
    + """
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
other = open_classifier(second, base)
assert (other.logits(other.tokens([text], 128)) == logits).all()
print(json.dumps({"added": resident() - before}))
"""
)


def main() -> None:
    """Measure, and print one table."""
    options = _options()
    base = locate(json.loads((options.run / "manifest.json").read_bytes())["base"]["name"]).folder
    environment = {"PYTHONDONTWRITEBYTECODE": "", "HF_HUB_OFFLINE": "1"}
    if options.threads is not None:
        environment["OPENBLAS_NUM_THREADS"] = str(options.threads)
    measured: dict[str, list[Process]] = {name: [] for name in SIDES}
    with TemporaryDirectory() as scratch:
        log, second = Path(scratch, "log"), Path(scratch, "second")
        shutil.copytree(options.run / "adapter", second)
        given = [str(options.run), str(base), str(second), TEXT]
        run_process([sys.executable, "-c", SECOND, *given], environment, log)
        added = json.loads(log.read_text())["added"]
        # Once more than is asked for, to warm the disk's cache and to compile what is not yet.
        for _ in range(options.repeats + 1):
            for name, program in SIDES.items():
                command = [sys.executable, "-c", program + PEAK, *given]
                measured[name].append(_measured(command, environment, log))
    _print({name: each[1:] for name, each in measured.items()}, added)


def _measured(command: list[str], environment: dict[str, str], log: Path) -> Process:
    process = run_process(command, environment, log)
    return replace(process, peak_bytes=json.loads(log.read_text().splitlines()[-1])["peak"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a sealed run with adapters")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, help="of numpy's products; else all processors")
    options = parser.parse_args()
    assert isinstance(options, argparse.Namespace)
    return options


def _print(measured: dict[str, list[Process]], added: int) -> None:
    torch = median(process.seconds for process in [*measured.values()][-1])
    print(f"{'':24}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}{'of torch':>10}")
    for name, sides in measured.items():
        seconds, cpu = median(p.seconds for p in sides), median(p.cpu_seconds for p in sides)
        peak = median(p.peak_bytes for p in sides) / 1e6
        print(f"{name:24}{seconds:10.3f}{cpu:10.3f}{peak:10.0f}{seconds / torch:10.2f}")
    print(f"a second run on the same encoder adds {added / 1e6:.1f} MB")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
