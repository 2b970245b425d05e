"""Run folders: names, whole-or-nothing writes, the seal, and what is worked out later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from tightfit import storage
from tightfit.errors import ArtefactError, MachineError, UsageError
from tightfit.storage import RunFolder
from tightfit.storage.files import machine_errors

VERSIONS = {"torch": "2.13.0", "tightfit": "0.1.0"}
BASE = {"name": "toy", "sha256": "0" * 64}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates cannot be written as UTF-8; texts of rows are checked for them on reading.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A small run, not sealed yet."""
    folder = storage.create(tmp_path / "run")
    storage.write_text(folder.config, "seed = 42\n")
    storage.write_json(folder.labels, {"names": ["World", "Sports"]})
    folder.adapter.mkdir()
    storage.write_bytes(folder.adapter / "adapter_model.safetensors", bytes(range(16)))
    return folder


@pytest.fixture
def sealed(folder: RunFolder) -> RunFolder:
    """The same run, sealed."""
    storage.seal(folder, VERSIONS, BASE)
    return folder


def flip(path: Path, place: int, bit: int = 1) -> None:
    """Change one bit of one byte of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


# --- names -----------------------------------------------------------------------------------


def test_names_are_those_that_others_rely_on() -> None:
    """Users' own scripts open these files."""
    folder = RunFolder(Path("r"))
    names = [
        "config.toml decisions.json plan.json labels.json data.json history.jsonl metrics.json",
        "validation.parquet trained.npy proofs.json",
        "adapter model checkpoints report.html derived manifest.json",
    ]
    found = [path for name in vars(RunFolder) if isinstance(path := getattr(folder, name), Path)]
    assert [path.name for path in found] == " ".join(names).split()
    assert {path.parent for path in found} == {Path("r")}


def test_a_folder_s_names_stay() -> None:
    """Equal where the place is; the place cannot be changed under somebody's feet."""
    folder = RunFolder(Path("run"))
    assert {folder: 1}[RunFolder(Path("run"))] == 1
    with pytest.raises(FrozenInstanceError):
        folder.root = Path("other")  # type: ignore[misc]  # that is the point


def test_next_path_counts_on_after_the_highest(tmp_path: Path) -> None:
    """Gaps are not filled, so that numbers tell the order in time; other names do not count."""
    assert storage.next_path(tmp_path / "none") == tmp_path / "none" / "001"
    for name in ("001", "007", "demo", "9x"):
        (tmp_path / name).mkdir()
    assert storage.next_path(tmp_path) == tmp_path / "008"
    (tmp_path / "1000").mkdir()
    assert storage.next_path(tmp_path) == tmp_path / "1001"


# --- writing ---------------------------------------------------------------------------------


@given(value=json_values)
def test_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """Any JSON value survives writing and reading."""
    path = tmp_path_factory.mktemp("json") / "value.json"
    storage.write_json(path, value)
    assert storage.read_json(path) == value


def test_json_is_written_for_people_too(tmp_path: Path) -> None:
    """Indented by two, letters as they are, and a last line that ends: digests rest on it."""
    storage.write_json(tmp_path / "a.json", {"label": "Wörld", "n": [1]})
    written = (tmp_path / "a.json").read_text("utf-8")
    assert written == '{\n  "label": "Wörld",\n  "n": [\n    1\n  ]\n}\n'


def test_a_fault_without_a_number_has_a_next_step() -> None:
    """Libraries raise such; it is not taken for one of those that the system numbers."""
    with (
        pytest.raises(MachineError, match="cannot write a") as caught,
        machine_errors(Path("a"), "write"),
    ):
        raise OSError("no number")
    assert (caught.value.seen, caught.value.exit_code) == ("no number", 9)
    assert caught.value.next_step == "look into the reason, then try again"


def test_a_refusal_that_a_library_wraps_is_told(tmp_path: Path) -> None:
    """safetensors names the system's number; without one the file is at fault, not the machine."""
    with (
        pytest.raises(MachineError, match="cannot write") as caught,
        machine_errors(tmp_path, "write"),
    ):
        raise SafetensorError("I/O error: no room (os error 28)")
    assert caught.value.seen == "No space left on device"
    assert str(caught.value.next_step).startswith("free some space")
    with pytest.raises(SafetensorError, match="invalid header"), machine_errors(tmp_path, "read"):
        raise SafetensorError("invalid header")


def test_json_refuses_not_a_number(tmp_path: Path) -> None:
    """JSON has no NaN; one that slipped in would break every strict reader."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whatever call of the system fails, the old file stands and nothing lies beside it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "metrics.json"
    path.write_text("old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(MachineError, match=r"cannot write .*metrics\.json(.|\n)*free some space"):
        storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control-C while writing goes through as it is, and leaves nothing half-written."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "metrics.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_reaches_the_disk_before_its_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between renaming and writing would leave an empty file under the right name."""
    calls: list[str] = []

    def spy(name: str, real: Callable[..., object], *given: object) -> object:
        calls.append(name)
        return real(*given)

    monkeypatch.setattr(os, "fsync", partial(spy, "fsync", os.fsync))
    monkeypatch.setattr(os, "replace", partial(spy, "replace", os.replace))
    storage.write_text(tmp_path / "x", "new")
    assert calls == ["fsync", "replace", "fsync"]


def test_threads_write_one_file_at_once(tmp_path: Path) -> None:
    """Each writes it whole: one evaluation in two threads of a service, or of two containers."""
    path = tmp_path / "value.json"
    with ThreadPoolExecutor(8) as threads:
        for _ in range(100):
            list(threads.map(partial(storage.write_json, path), range(8)))
    assert storage.read_json(path) in range(8)
    assert list(tmp_path.iterdir()) == [path]


def test_write_says_what_is_in_the_way(tmp_path: Path) -> None:
    """A folder, and a path through a file, are named as what they are."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(MachineError, match="this is a folder; choose another path"):
        storage.write_text(tmp_path / "folder", "x")
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="a part of this path is a file"):
        storage.write_text(tmp_path / "file" / "x", "x")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""])
def test_read_json_names_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    """Damage of any kind is the artefact's fault, never a traceback of the parser."""
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"plan\.json is damaged"):
        storage.read_json(path)


def test_read_json_names_a_missing_file(tmp_path: Path) -> None:
    """A missing file is not a fault of the machine."""
    with pytest.raises(ArtefactError, match=r"a file is missing\n.*plan\.json"):
        storage.read_json(tmp_path / "plan.json")


# --- creating --------------------------------------------------------------------------------


def test_create_makes_parents_and_takes_an_empty_folder(tmp_path: Path) -> None:
    """Nothing there, and nothing in it, are both free."""
    path = tmp_path / "a" / "b"
    assert storage.create(path).root == path
    assert storage.create(path).root.is_dir()


def test_create_refuses_a_run_that_exists(folder: RunFolder) -> None:
    """The message names all three ways on, and the run stays as it is."""
    with pytest.raises(UsageError, match=r"exists already(.|\n)*resume=True.*overwrite=True.*out="):
        storage.create(folder.root)
    assert folder.config.read_text() == "seed = 42\n"


@pytest.mark.parametrize("finished", [False, True])
def test_create_overwrites_a_run(folder: RunFolder, finished: bool) -> None:
    """By an empty folder; a finished one is kept beside it until it is let go or brought back."""
    if finished:
        storage.seal(folder, VERSIONS, BASE)
    assert list(storage.create(folder.root, overwrite=True).root.iterdir()) == []
    beside = [".run.before"] if finished else []
    assert sorted(path.name for path in folder.root.parent.iterdir()) == [*beside, "run"]
    if finished:
        assert storage.open_run(storage.kept_beside(folder.root))
        storage.bring_back(folder.root)
        assert storage.open_run(folder.root)
    storage.drop_kept(folder.root)
    assert [path.name for path in folder.root.parent.iterdir()] == ["run"]


def test_create_does_not_pull_away_the_folder_it_stands_in(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--out .`` is refused by the system, and the run stays whole."""
    monkeypatch.chdir(folder.root)
    with pytest.raises(MachineError, match=r"cannot make \."):
        storage.create(Path("."), overwrite=True)
    assert folder.config.read_text() == "seed = 42\n"


@pytest.mark.parametrize(
    ("flags", "seen"), [(os.ST_RDONLY, "Read-only file system"), (0, "Permission denied")]
)
def test_looking_ahead_tells_a_read_only_disk_from_a_forbidden_folder(
    flags: int, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permissions help with the first."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    with pytest.raises(MachineError, match="cannot make") as caught:
        storage.check_may_create(tmp_path / "run")
    assert (caught.value.seen, caught.value.exit_code) == (seen, 9)


def test_a_beginning_is_cleared_and_nothing_else(folder: RunFolder) -> None:
    """A kill may leave settings and empty folders; a file of anybody else keeps them all."""
    storage.clear_unstarted(folder)
    assert folder.config.is_file()  # the run beside it has adapters already
    (folder.adapter / "adapter_model.safetensors").unlink()
    storage.clear_unstarted(folder)
    assert not folder.root.exists()
    folder.root.mkdir()
    (folder.root / "thesis.txt").write_text("years of work")
    storage.clear_unstarted(folder)
    assert (folder.root / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_create_never_deletes_what_is_not_a_run(
    tmp_path: Path, folder: RunFolder, kind: str
) -> None:
    """A mistyped --out must not cost anybody their thesis."""
    path = tmp_path / "thesis"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
        (path / "chapter1.txt").write_text("precious")
    else:
        path.symlink_to(folder.root)
    with pytest.raises(UsageError, match=r"not a run folder, so it is not overwritten"):
        storage.create(path, overwrite=True)
    assert path.exists()
    assert folder.config.exists()


@pytest.mark.parametrize("ours", ["config.toml", "manifest.json"])
def test_a_project_with_a_file_of_that_name_is_no_run(tmp_path: Path, ours: str) -> None:
    """Web sites have such files, too; nothing of them is deleted."""
    for name in (ours, "thesis.txt"):
        (tmp_path / name).write_text("precious")
    with pytest.raises(UsageError, match=r"no part of a run(.|\n)*thesis\.txt"):
        storage.check_may_create(tmp_path, overwrite=True)
    with pytest.raises(UsageError, match="no part of a run"):
        storage.create(tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_looking_ahead_refuses_what_create_would(
    tmp_path: Path, folder: RunFolder, overwrite: bool
) -> None:
    """Before the work begins, not after it; and nothing is made or deleted."""
    (tmp_path / "file").touch()
    storage.check_may_create(tmp_path / "new" / "run")
    with pytest.raises(UsageError, match="not a run folder"):
        storage.check_may_create(tmp_path / "file", overwrite=overwrite)
    with pytest.raises(MachineError, match="a part of this path is a file"):
        storage.check_may_create(tmp_path / "file" / "run", overwrite=overwrite)
    if not overwrite:
        with pytest.raises(UsageError, match="exists already"):
            storage.check_may_create(folder.root)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "run"}
    assert folder.config.exists()


def test_create_says_when_a_parent_is_a_file(tmp_path: Path) -> None:
    """Nothing is made."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(MachineError, match=r"cannot make(.|\n)*a part of this path is a file"):
        storage.create(tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "x"


# --- the seal --------------------------------------------------------------------------------


def test_a_sealed_run_opens_and_tells_what_it_is(sealed: RunFolder) -> None:
    """The manifest lists every file with its size, the versions and the base model."""
    assert storage.open_run(sealed.root) == sealed
    manifest = storage.read_manifest(sealed)
    sizes = {file.path: file.bytes for file in manifest.files}
    assert sizes["adapter/adapter_model.safetensors"] == 16
    assert set(sizes) == {"adapter/adapter_model.safetensors", "config.toml", "labels.json"}
    assert (manifest.versions, manifest.base) == (VERSIONS, BASE)


def test_every_flipped_byte_is_detected(sealed: RunFolder) -> None:
    """In every file of the run, at every place; the manifest counts as one of them."""
    files = [path for path in sealed.root.rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        for place in range(path.stat().st_size):
            flip(path, place)
            with pytest.raises(ArtefactError, match=r"damaged|changed|not as it was sealed"):
                storage.open_run(sealed.root)
            flip(path, place)
    assert storage.open_run(sealed.root) == sealed


def test_a_change_that_json_does_not_see_is_detected(sealed: RunFolder) -> None:
    """A space turned into a tab leaves the manifest's values as they were."""
    sealed.manifest.write_text(sealed.manifest.read_text().replace(" ", "\t", 1))
    with pytest.raises(ArtefactError, match="its digest does not match"):
        storage.open_run(sealed.root)


def test_open_tells_missing_changed_and_added_apart(sealed: RunFolder) -> None:
    """All findings come at once."""
    sealed.labels.unlink()
    sealed.config.write_text("seed = 43\n")
    (sealed.adapter / "extra").touch()
    with pytest.raises(ArtefactError) as caught:
        storage.open_run(sealed.root)
    assert "missing: labels.json; added: adapter/extra; changed: config.toml" in str(caught.value)


def test_checkpoints_and_derived_files_are_not_sealed(sealed: RunFolder) -> None:
    """They may come and go; folders of the same name further down are sealed like any other."""
    sealed.checkpoints.mkdir()
    (sealed.checkpoints / "last").touch()
    storage.write_derived(sealed, "evaluation", {"n": 1})
    storage.open_run(sealed.root)
    (sealed.adapter / "derived").mkdir()
    (sealed.adapter / "derived" / "x").touch()
    with pytest.raises(ArtefactError, match="added: adapter/derived/x"):
        storage.open_run(sealed.root)


def test_links_and_pipes_are_refused(sealed: RunFolder, folder: RunFolder) -> None:
    """A link may lead anywhere; reading a pipe would wait for ever."""
    for make in (lambda path: path.symlink_to(folder.config), os.mkfifo):
        stranger = sealed.root / "stranger"
        make(stranger)
        with pytest.raises(ArtefactError, match="only plain files and folders"):
            storage.open_run(sealed.root)
        stranger.unlink()


def test_a_part_that_may_not_be_read_is_not_left_out(
    sealed: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default such a folder is passed over in silence, with whatever lies in it."""
    real = os.scandir

    def scan(path: str | Path) -> Any:
        if Path(path) == sealed.adapter:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(MachineError, match="cannot read") as caught:
        storage.open_run(sealed.root)
    assert (caught.value.seen, caught.value.exit_code) == ("Permission denied", 9)


def test_a_listed_path_never_leads_out_of_the_run(folder: RunFolder) -> None:
    """A forged manifest, with a right digest, cannot make us read another file."""
    outside = folder.root.parent / "secret"
    outside.write_text("secret")
    storage.seal(folder, VERSIONS, BASE)
    manifest = storage.read_manifest(folder)
    for path in ("../secret", str(outside)):
        files = [*manifest.files, manifest.files[0].model_copy(update={"path": path})]
        value = manifest.model_copy(update={"files": files}).model_dump()
        storage.files.write_digested(folder.manifest, value)
        with pytest.raises(ArtefactError, match=f"missing: {path}"):
            storage.open_run(folder.root)


def test_a_manifest_of_another_shape_is_damaged(sealed: RunFolder) -> None:
    """A right digest does not make a manifest."""
    storage.files.write_digested(sealed.manifest, {"files": "none"})
    with pytest.raises(ArtefactError, match=r"manifest\.json is damaged\n.*faulty entries"):
        storage.open_run(sealed.root)


def test_a_run_of_a_later_format_is_not_called_damaged(sealed: RunFolder) -> None:
    """It is whole; only this version cannot tell."""
    value = storage.read_manifest(sealed).model_dump()
    assert value["format"] == 2
    storage.files.write_digested(sealed.manifest, value | {"format": 3})
    with pytest.raises(ArtefactError, match=r"another version[\s\S]*seen: +format 3[\s\S]*1 or 2"):
        storage.open_run(sealed.root)


@pytest.mark.parametrize("change", [{"format": True}, {"more": 1}])
def test_a_manifest_is_read_strictly(sealed: RunFolder, change: dict[str, Any]) -> None:
    """No truth value passes for a number, and nothing is read past."""
    value = storage.read_manifest(sealed).model_dump()
    storage.files.write_digested(sealed.manifest, value | change)
    with pytest.raises(ArtefactError, match="1 faulty entries"):
        storage.open_run(sealed.root)


def test_the_first_five_runs_beside_are_named(tmp_path: Path) -> None:
    """More would hide the sentence."""
    for number in range(6):
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "manifest.json").touch()
    with pytest.raises(ArtefactError, match=r"run4$"):
        storage.open_run(tmp_path / "other")


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    """And found, the second time."""
    for _ in range(2):
        storage.make_folder(tmp_path / "above" / "below")
    assert (tmp_path / "above" / "below").is_dir()


def test_open_says_how_to_finish_an_unfinished_run(folder: RunFolder) -> None:
    """The next step is a command, whose settings are the run's own."""
    words = r"not finished(.|\n)*train --resume --out .*run --recipe .*run/config.toml --data ROWS"
    with pytest.raises(ArtefactError, match=words):
        storage.open_run(folder.root)
    storage.write_text(folder.config, '[head]\nstart = "run"\n')
    with pytest.raises(ArtefactError, match=r"train --resume --out .*run --data ROWS --from RUN"):
        storage.open_run(folder.root)


def test_open_tells_no_folder_from_a_folder_of_something_else(tmp_path: Path) -> None:
    """Neither can be mended by resuming."""
    missing = r"there is no run folder here[\s\S]*next: +"
    with pytest.raises(ArtefactError, match=f"{missing}give the folder that 'tightfit train'"):
        storage.open_run(tmp_path / "nothing")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "manifest.json").write_text("{}")
    with pytest.raises(ArtefactError, match=f"{missing}runs beside it: .*here"):
        storage.open_run(tmp_path / "her")
    with pytest.raises(ArtefactError, match=r"this folder is not a run[\s\S]*runs in it: .*here"):
        storage.open_run(tmp_path)


def test_an_export_is_not_taken_for_a_run(tmp_path: Path) -> None:
    """It is told how it answers; any other folder, what a run is."""
    with pytest.raises(ArtefactError, match=r"next: +give the folder that 'tightfit train' names"):
        storage.open_run(tmp_path)
    for name in ("export.json", "predict.py"):
        (tmp_path / name).touch()
    with pytest.raises(ArtefactError, match=r"an export, .*python .*predict\.py < texts\.txt"):
        storage.open_run(tmp_path)


def test_sealing_sweeps_up_what_a_killed_write_left(folder: RunFolder) -> None:
    """Such a file belongs to no run; it would otherwise be sealed with it."""
    leftover = folder.adapter / f".x.1{storage.files.TEMPORARY_SUFFIX}"
    leftover.touch()
    storage.seal(folder, VERSIONS, BASE)
    assert not leftover.exists()
    storage.open_run(folder.root)


def test_a_failed_seal_leaves_the_run_unsealed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be sealed again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(MachineError, match="free some space"):
            storage.seal(folder, VERSIONS, BASE)
    assert not folder.manifest.exists()
    storage.seal(folder, VERSIONS, BASE)
    storage.open_run(folder.root)


def test_sealing_twice_is_our_own_mistake(sealed: RunFolder) -> None:
    """A sealed run never changes."""
    with pytest.raises(AssertionError, match="a sealed run never changes"):
        storage.seal(sealed, VERSIONS, BASE)


# --- derived ---------------------------------------------------------------------------------


@given(value=st.dictionaries(st.text("abc"), json_values, max_size=3))
def test_derived_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    """Any JSON object survives, and writing again replaces it."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    for _ in range(2):
        assert storage.write_derived(folder, "evaluation-1", value).parent == folder.derived
    assert storage.read_derived(folder, "evaluation-1") == value


def test_every_flipped_byte_of_a_derived_file_is_detected(sealed: RunFolder) -> None:
    """Each derived file carries its own digest."""
    path = storage.write_derived(sealed, "temperature", {"value": 1.25, "label": "Wörld"})
    for place in range(path.stat().st_size):
        flip(path, place)
        with pytest.raises(ArtefactError, match=r"temperature\.json is damaged"):
            storage.read_derived(sealed, "temperature")
        flip(path, place)
    assert storage.read_derived(sealed, "temperature")["value"] == 1.25


@pytest.mark.parametrize("content", ["[]", "{}", '["digest"]', '"digest"', '{"digest": 1}'])
def test_a_derived_file_without_a_digest_is_damaged(sealed: RunFolder, content: str) -> None:
    """A file written by hand is not one of ours."""
    sealed.derived.mkdir()
    (sealed.derived / "x.json").write_text(content)
    with pytest.raises(ArtefactError, match="digest"):
        storage.read_derived(sealed, "x")


def test_derived_names_stay_inside(sealed: RunFolder) -> None:
    """The names are ours, never a user's; a path in one is our own mistake."""
    with pytest.raises(AssertionError, match=r"\.\./x"):
        storage.write_derived(sealed, "../x", {})
