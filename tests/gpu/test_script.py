"""The script for a GPU: whatever becomes of one part, the others and what was told stay."""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks import metered, speed
from benchmarks.gpu import __main__ as script
from benchmarks.gpu import packages
from benchmarks.gpu.pack import pack_encoder
from benchmarks.gpu.page import JSON_NAME, PAGE_NAME, Outcome, Record, write_whole
from benchmarks.gpu.parts import PARTS, Options, limit_of
from benchmarks.gpu.pieces import joined, split
from benchmarks.gpu.run import RUN, SIZES
from benchmarks.gpu.runner import ROOT, run_part
from benchmarks.machine import run_process

from tests.benchmarks.test_speed import FIGURES
from tests.toy_setups import toy_classifier

TOLD = (
    "print('.', end=''); from benchmarks.gpu.runner import tell; tell({'markdown': 'half of it'})"
)

WAYS = {
    "done": TOLD,
    "failed": f"{TOLD}; print('no such GPU'); raise SystemExit(3)",
    "killed": f"{TOLD}; import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "out of time": f"{TOLD}; import time; time.sleep(60)",
}


def program(code: str) -> list[str]:
    """A command that stands for a part."""
    return [sys.executable, "-c", code]


def run(code: str, limit: float = 30.0) -> Outcome:
    """Run it as a part."""
    return run_part(program(code), {}, limit, told=lambda outcome: None)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_told_stays_however_a_part_ends(way: str) -> None:
    """Its last words are kept only where it did not end well."""
    found = run(WAYS[way], limit=2.0 if way == "out of time" else 30.0)
    reasons = {"failed": "exit code 3", "killed": "killed by SIGKILL"}
    assert found.state == {"killed": "failed"}.get(way, way)
    assert found.reason == reasons.get(way, "")
    assert found.result == {"markdown": "half of it"}
    assert found.tail == {"done": [], "failed": [".", "no such GPU"]}.get(way, ["."])


def test_what_a_part_started_ends_with_it(tmp_path: Path) -> None:
    """A killed part's own children would go on using the GPU."""
    file = tmp_path / "beats"
    beat = f"import time\nwhile True: open({str(file)!r}, 'a').write('.'); time.sleep(0.02)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {beat!r}])"
    assert run(code, limit=2.0).state == "out of time"
    beats = file.stat().st_size
    time.sleep(0.5)
    assert file.stat().st_size == beats > 0


def test_a_part_leaves_what_it_saves_to_those_after_it() -> None:
    """All shares of what is left; tests never more than three minutes."""
    tests = next(part for part in PARTS if part.name == "tests")
    assert limit_of(PARTS[-1], 300.0, PARTS[-1:]) == 300.0
    assert limit_of(tests, 1e6, PARTS) == 180.0
    assert limit_of(PARTS[-1], -5.0, PARTS[-1:]) == 0.0
    assert sum(limit_of(part, 600.0, PARTS) for part in PARTS) <= 600.0


def test_every_part_can_be_run() -> None:
    """On both devices."""
    assert [part.name for part in PARTS] == list(RUN)
    assert set(SIZES) == {"cuda", "cpu"}


def main(out: Path, monkeypatch: pytest.MonkeyPatch, ways: dict[str, str]) -> int:
    """Run the script with these ways in place of parts."""
    monkeypatch.setattr(script, "command_of", lambda name, options: program(WAYS[ways[name]]))
    return script.main(["--device", "cpu", "--out", str(out), "--parts", *ways])


def test_a_part_that_is_killed_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page tells of both; the same call again repeats what is not done."""
    ways = {"machine": "done", "tests": "killed", "predict": "done"}
    assert main(tmp_path, monkeypatch, ways) == 1
    page = (tmp_path / PAGE_NAME).read_text("utf-8")
    assert "| Tests | failed: killed by SIGKILL |" in page
    assert page.count("half of it") == 3
    assert page in capsys.readouterr().out
    began = json.loads((tmp_path / JSON_NAME).read_text("utf-8"))["outcomes"]["machine"]
    assert main(tmp_path, monkeypatch, ways | {"tests": "done"}) == 0
    found = json.loads((tmp_path / JSON_NAME).read_text("utf-8"))["outcomes"]
    assert found["machine"] == began
    assert found["tests"]["state"] == "done"


def test_a_full_disk_loses_nothing_that_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is full the page is only printed; once there is room it is whole again."""
    write, room = Record.write, [False] * 4

    def full(record: Record, folder: Path) -> None:
        if room and not room.pop():
            (folder / f"{JSON_NAME}.partial").symlink_to("/dev/full")
        write(record, folder)

    monkeypatch.setattr(Record, "write", full)
    assert main(tmp_path, monkeypatch, {"machine": "done"}) == 1
    said = capsys.readouterr()
    assert said.err.count("No space left on device") == 4
    assert "half of it" in said.out
    assert not list(tmp_path.iterdir())
    assert main(tmp_path, monkeypatch, {"machine": "done", "tests": "done"}) == 0
    assert "half of it" in (tmp_path / PAGE_NAME).read_text("utf-8")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """On a full disk."""
    path = tmp_path / "page"
    write_whole(path, "old")
    (tmp_path / "page.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["page"]
    assert path.read_text("utf-8") == "old"


def make_wheel(folder: Path, name: str) -> Path:
    """A wheel of one empty module."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in files.items():
            wheel.writestr(inside, text)
    return path


def test_missing_packages_come_from_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is damaged, and one that nobody gave, are told and stop nothing."""
    make_wheel(tmp_path, "tf_given")
    (tmp_path / "tf_damaged-1.0-py3-none-any.whl").write_bytes(b"no zip")
    monkeypatch.setattr(
        packages, "needed", lambda: ["tf-given", "tf-damaged", "tf-absent", "numpy"]
    )
    found = packages.install(tmp_path, tmp_path / "site")
    assert found["installed"] == ["tf_given-1.0-py3-none-any.whl"]
    assert list(found["refused"]) == ["tf_damaged-1.0-py3-none-any.whl"]
    assert found["missing"] == ["tf-damaged", "tf-absent"]
    assert (tmp_path / "site" / "tf_given.py").is_file()
    assert "no wheel for it was given: tf-damaged, tf-absent" in packages.describe(found)


def test_the_project_tells_what_it_needs() -> None:
    """By the names that pip knows; all of it is there where the tests run."""
    names = packages.needed()
    assert {"torch", "pydantic", "pytest"} <= set(names)
    assert all(packages.seen(name, Path("none")) for name in names)


def test_what_travels_is_put_together_again(bert: Path, tmp_path: Path) -> None:
    """Weights in half precision, in pieces, read as fp32."""
    pack_encoder(bert, tmp_path / "packed" / "encoder", most=10_000)
    files = [path for path in (tmp_path / "packed").rglob("*") if path.is_file()]
    assert max(file.stat().st_size for file in files) <= 10_000
    whole = joined(tmp_path / "packed", tmp_path / "whole")
    assert joined(tmp_path / "packed", tmp_path / "whole") == whole
    ours, first = (toy_classifier(path).module.state_dict() for path in (whole / "encoder", bert))
    assert {tensor.dtype for tensor in ours.values() if tensor.is_floating_point()} == {
        torch.float32
    }
    torch.testing.assert_close(ours, first, atol=1e-3, rtol=1e-3)


def test_small_files_travel_as_they_are(tmp_path: Path) -> None:
    """Nothing is copied then."""
    (tmp_path / "small").write_bytes(b"1234")
    assert split(tmp_path / "small", most=4) == [tmp_path / "small"]
    assert joined(tmp_path, tmp_path / "whole") == tmp_path


def test_paths_are_taken_from_what_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless they are given; without anything the embedded encoder and the sample serve."""
    seen: list[Options] = []
    monkeypatch.setattr(script, "_run", lambda record, options, name, out: seen.append(options))
    (tmp_path / "packed" / "encoder").mkdir(parents=True)
    words = ["--device", "cpu", "--out", str(tmp_path / "out"), "--parts", "machine"]
    script.main(words)
    script.main([*words, "--weights", str(tmp_path / "packed"), "--data", "sample:test"])
    assert (seen[0].model, seen[0].data, seen[0].base) == (script.EMBEDDED, "sample", "")
    assert seen[1].model == str(tmp_path / "packed" / "encoder")
    assert (seen[1].data, seen[1].base) == ("sample:test", "")
    assert script.environment_of(seen[0])["CUDA_VISIBLE_DEVICES"] == ""


def test_a_side_gets_the_batch_that_it_is_fastest_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory is out; where nothing fits, the side fails."""
    speeds, told = {32: 10, 128: 30}, list[int]()

    def fake(args: Any, name: str, batch: int, place: Path) -> Any:
        if batch not in speeds:
            raise SystemExit("out of memory")
        return SimpleNamespace(figures=replace(FIGURES, examples=speeds[batch], step_seconds=1.0))

    monkeypatch.setattr(speed, "run_side", fake)
    best = partial(speed.best_batch, folder=tmp_path, told=lambda: told.append(1))
    args = speed.options(["--batch", "32", "128", "512"])
    assert (best(args, "tightfit"), best(args, "defaults")) == (128, 32)
    assert (args.tried, told) == ({"tightfit": speeds}, [1, 1])
    with pytest.raises(SystemExit, match="fails with steps of"):
        best(speed.options(["--batch", "256", "512"]), "tightfit")


def test_a_metered_process_tells_the_memory_of_the_device(tmp_path: Path) -> None:
    """None without a GPU; the module gets its own words."""
    file, module = tmp_path / "peak.json", tmp_path / "told.py"
    module.write_text("import sys; print(sys.argv[1:])")
    command = metered.metered([sys.executable, "-m", "told", "a", "b"], file)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    run_process(command, {"PYTHONPATH": path}, tmp_path / "said.txt")
    assert (tmp_path / "said.txt").read_text() == "['a', 'b']\n"
    assert metered.read_peak(file) is None
