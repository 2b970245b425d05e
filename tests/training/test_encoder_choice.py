"""Which encoder a training stands on, and what stands before every text."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig, AutoModel, AutoTokenizer

import tightfit
from tests.fixtures import Encoders
from tests.toy_setups import SHORT, Notes, toy_settings, toy_table
from tests.toys import toy_tokenizer
from tightfit.config import Config, Decision, Decisions, load_config
from tightfit.data.readability import Readability
from tightfit.encoder import FrozenEncoder, UnknownInside
from tightfit.errors import MachineError, ModelError
from tightfit.families import Pooling
from tightfit.model import embedded
from tightfit.model.candidates import candidate_names, planned_name, variants
from tightfit.model.embedded import E5, MINILM, Embedded
from tightfit.model.locate import Source
from tightfit.model.unread_texts import readability_warning
from tightfit.progress import Progress
from tightfit.tasks.dataset import read_dataset
from tightfit.training import encoder_choice
from tightfit.training.encoder_choice import (
    ONLY,
    ChosenEncoder,
    choose_encoder,
    recorded_encoder,
    sources_at_hand,
)
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.time_budget import TimeLimit


def auto(*folders: Path, settings: tuple[str, ...] = ()) -> Config:
    """Toy settings that leave the choice between folders."""
    config = toy_settings(folders[0], "data.validation_rows=0.25", *settings)
    names = tuple(map(str, folders))
    return config.with_values({"model.name": "auto", "model.candidates": names})


def chosen(config: Config, *, rows: int = 64, **more: Any) -> ChosenEncoder:
    """The choice over toy rows."""
    dataset = read_dataset(config, toy_table(rows), None, None)
    asked: dict[str, Any] = {"limit": None, "progress": Progress(), **more}
    return choose_encoder(config, dataset, asked["limit"], asked["progress"])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, float]], None]:
    """Sets on what share of its rows the probe is right, by folder and prefix."""

    def judge(shares: Mapping[str, float]) -> None:
        def scores(probe: FrozenProbe, source: Source, pooling: Pooling) -> Any:
            assert pooling == "mean"
            share = shares[source.prefix + source.folder.name]
            return np.arange(len(probe.rows_N)) < round(share * len(probe.rows_N))

        monkeypatch.setattr(FrozenProbe, "scores", scores)

    return judge


@pytest.fixture
def with_prefix(bert: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an embedded encoder that was trained with a word before every text."""

    class Toy(Embedded):
        def folder(self) -> Path:
            return bert

    toy = Toy("toy", "toy", "tightfit", "", "", prefix="the ")
    monkeypatch.setitem(embedded.EMBEDDED, "toy", toy)
    return "toy"


def test_one_at_hand_is_no_detour(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed, and nothing said."""
    monkeypatch.setattr(FrozenProbe, "features", None)
    notes = Notes()
    found = chosen(auto(bert), progress=notes)
    assert (found.source.folder, found.source.prefix, notes.said) == (bert, "", [])
    assert found.decisions == {"encoder": Decision(str(bert), ONLY)}
    assert chosen(toy_settings(bert)).decisions == {}


@pytest.mark.parametrize(("better", "winner"), [(0.9, "roberta"), (0.62, "bert")])
def test_the_better_one_beyond_the_error(
    better: float, winner: str, encoders: Encoders, judged: Any
) -> None:
    """Else the cheaper one, which here is the first of two that cost the same."""
    judged({"bert": 0.6, "roberta": better})
    notes = Notes()
    found = chosen(auto(encoders("bert"), encoders("roberta")), progress=notes)
    assert found.source.folder == encoders(winner)
    decision = found.decisions["encoder"]
    assert decision.value == str(encoders(winner))
    assert "on 48 unseen rows" in decision.reason
    assert decision.reason.endswith(" costs least") == (winner == "bert")
    assert any(line.startswith(f"encoder {encoders(winner)}: ") for line in notes.said)
    assert any(line.startswith("choosing took ") for line in notes.said)


def test_one_that_cannot_be_unpacked_is_left_out(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several are at hand; the only one is an error, and what mends it is said."""

    class Barred(Embedded):
        def folder(self) -> Path:
            raise MachineError("cannot make it", seen="full", next_step="set X")

    monkeypatch.setitem(embedded.EMBEDDED, "toy", Barred("toy", "toy", "tightfit", "", ""))
    notes = Notes()
    assert chosen(auto(Path("toy"), bert), progress=notes).source.folder == bert
    assert notes.warned == ["toy is left out: cannot make it (full); set X"]
    with pytest.raises(MachineError, match="cannot make it"):
        sources_at_hand(toy_settings(Path("toy")).model, notes)


def test_one_that_cannot_read_the_texts_is_out(
    bert: Path, blind: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is computed."""
    monkeypatch.setattr(FrozenProbe, "features", None)
    found = chosen(auto(blind, bert))
    reason = found.decisions["encoder"].reason
    assert found.source.folder == bert
    assert reason.startswith("it reads the texts; ")
    assert f"{blind} cannot read them: 100% of their tokens are unknown to it" in reason


@pytest.fixture
def blind(tmp_path: Path, bert: Path) -> Path:
    """An encoder whose tokenizer knows none of the toy words."""
    folder = tmp_path / "blind"
    folder.mkdir()
    for file in bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    rules = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = rules["model"]["vocab"]
    rules["model"]["vocab"] = {w if i < 4 else w[::-1] + "#": i for w, i in vocabulary.items()}
    (folder / "tokenizer.json").write_text(json.dumps(rules), "utf-8")
    return folder


def test_where_none_reads_it_warns(blind: Path, bert: Path, tmp_path: Path) -> None:
    """With what to do about it."""
    other = tmp_path / "other"
    other.symlink_to(blind)
    notes = Notes()
    chosen(auto(blind, other), progress=notes)
    (warned,) = notes.warned
    assert warned.startswith(f"{blind} cannot read these texts: 100% of their tokens are unknown")
    told = readability_warning(str(blind), ["goal match"])
    assert told is not None
    assert f"--model {E5.name}" in told
    assert readability_warning(str(bert), ["goal match"]) is None
    assert readability_warning("someone/model-on-the-hub", ["goal"]) is None


def test_of_a_few_names_the_tokens_of_a_word_are_not_told() -> None:
    """Two names are as good as texts, and would be called a language that is read poorly."""
    assert readability_warning(MINILM.name, ["wobblefax refund"]) is not None
    assert readability_warning(MINILM.name, ["wobblefax refund"], names=True) is None
    told = readability_warning(MINILM.name, ["漢字"], names=True)
    assert told is not None
    assert "cannot read" in told


@pytest.mark.parametrize(("share", "prefix"), [(0.9, "the "), (0.3, "")])
def test_a_prefix_is_tried_both_ways(
    share: float, prefix: str, with_prefix: str, judged: Any
) -> None:
    """That for which the encoder was trained, and none; by the same probe."""
    judged({"bert": 0.5, "the bert": share})
    found = chosen(load_config("tight", [*SHORT, f"model.name={with_prefix}"]))
    assert (found.source.prefix, list(found.decisions)) == (prefix, ["prefix"])
    reason = found.decisions["prefix"].reason
    assert re.search(r"no prefix 49.1%, 'the ' \d\d.\d%, accuracy .* 57 unseen rows", reason)
    again = Decisions(Decision(8, ""), Decision(8, ""), Decision("head", ""), **found.decisions)
    config = load_config("tight", [f"model.name={with_prefix}"])
    assert recorded_encoder(config, again) == found.source
    for asked, due in (("none", ""), ("team", "team")):
        assert variants(config.with_values({"model.prefix": asked}).model) == [("toy", due)]


def deeper(source: Path, folder: Path) -> Path:
    """The same encoder with a layer more."""
    config = AutoConfig.from_pretrained(source, num_hidden_layers=3)
    AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def test_without_time_it_is_the_cheapest_and_on_few_rows_the_largest(
    encoders: Encoders, tmp_path: Path
) -> None:
    """And says so."""
    small = encoders("bert")
    config = auto(small, deeper(small, tmp_path / "large"))
    found = chosen(config, rows=12)
    assert found.source.name.endswith("large")
    assert (
        found.decisions["encoder"].reason == "it is the largest, and 9 rows are too few to compare"
    )
    late = TimeLimit(1.0, time.monotonic() - 60.0)
    for rows, why in ((120, "there is no time to compare"), (12, "9 rows are too few to compare")):
        found = chosen(config, rows=rows, limit=late)
        assert found.source.folder == small
        assert found.decisions["encoder"].reason == f"it costs least, and {why}"


@pytest.mark.parametrize(("small", "due"), [(0.56, "large"), (1.0, "bert")])
def test_on_few_rows_a_smaller_one_must_be_better_beyond_the_error(
    small: float, due: str, encoders: Encoders, tmp_path: Path, judged: Any
) -> None:
    """On many the larger one must."""
    folders = encoders("bert"), deeper(encoders("bert"), tmp_path / "large")
    judged({folders[0].name: small, "large": 0.5})
    found = chosen(auto(*folders), rows=24)
    assert found.source.folder == (folders[1] if due == "large" else folders[0])
    if due == "large":
        assert found.decisions["encoder"].reason.endswith(" is the largest")


def test_rows_of_many_classes_are_not_few(
    encoders: Encoders, tmp_path: Path, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few each of them has, there are enough for the probe to tell."""
    monkeypatch.setattr(encoder_choice, "FEW_CLASSES", 1)
    folders = encoders("bert"), deeper(encoders("bert"), tmp_path / "large")
    judged({folders[0].name: 0.56, "large": 0.5})
    assert chosen(auto(*folders), rows=24).source.folder == folders[0]


def test_without_comparing_the_one_that_reads_them_is_taken(
    encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dearer one, where the texts fall into pieces in the cheapest."""
    cheap, dear = encoders("bert"), encoders("roberta")
    pieces = {cheap: 2.0, dear: 1.1}
    monkeypatch.setattr(
        encoder_choice, "_read", lambda _, source: Readability(0.0, pieces[source.folder], "word")
    )
    found = chosen(auto(cheap, dear), rows=12)
    assert found.source.folder == dear
    assert found.decisions["encoder"].reason == (
        "it reads the texts better, and 9 rows are too few to compare: "
        "they fall into 1.1 tokens a word, not 2.0"
    )


def test_one_that_reads_poorly_is_compared_with_one_that_cannot_read(
    encoders: Encoders, monkeypatch: pytest.MonkeyPatch, judged: Any
) -> None:
    """Letter by letter is no better than some unknown tokens."""
    folders = encoders("bert"), encoders("roberta")
    of = dict(
        zip(folders, (Readability(0.02, 3.5, "word"), Readability(0.06, 2.3, "word")), strict=True)
    )
    monkeypatch.setattr(encoder_choice, "_read", lambda _, source: of[source.folder])
    judged({folders[0].name: 0.4, folders[1].name: 0.6})
    assert chosen(auto(*folders)).source.folder == folders[1]


def test_an_encoder_that_only_transformers_computes_is_not_compared(encoders: Encoders) -> None:
    """It is left out, by name."""
    one, other = encoders("bert"), encoders("deberta-v2")
    found = chosen(auto(other, one))
    assert found.source.folder == one
    assert f"{other} is not compared: " in found.decisions["encoder"].reason


def test_several_models_are_those_to_choose_from() -> None:
    """One is that one, whatever was listed in a file of settings before."""
    several = load_config(model=["a", "b"]).model
    assert (several.name, several.candidates, candidate_names(several)) == (
        "auto",
        ("a", "b"),
        ("a", "b"),
    )
    one = load_config(settings={"model.candidates": ("a", "b")}, model="c").model
    assert (one.name, one.candidates, candidate_names(one)) == ("c", (), ("c",))
    assert (planned_name(one), planned_name(several)) == ("c", "a")


def test_the_default_is_whatever_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan without rows is for the first, also where there are more."""
    model = load_config().model
    for installed in ([MINILM], [E5], [MINILM, E5]):
        packages = [each.package for each in installed]
        monkeypatch.setattr("tightfit.model.candidates.available", packages.__contains__)
        assert candidate_names(model) == tuple(each.name for each in installed)
        assert planned_name(model) == MINILM.name
    monkeypatch.setattr("tightfit.model.candidates.available", lambda package: False)
    assert candidate_names(model) == (MINILM.name,)


@pytest.fixture
def made(bert: Path, roberta: Path, rows_file: Path, tmp_path: Path) -> tightfit.Run:
    """A run on one of two encoders, with a word before every text."""
    done = tightfit.train(
        rows_file,
        model=[str(bert), str(roberta)],
        out=tmp_path / "run",
        max_steps=2,
        settings=[*SHORT, "model.prefix=the"],
        progress=Progress(),
    )
    return tightfit.Run.load(done.run)


def test_whoever_answers_puts_the_prefix_there(made: tightfit.Run, tmp_path: Path) -> None:
    """It is in the tokenizer, so that none need know."""
    ids = made.model.tokens(["goal"], 16).ids.tolist()
    assert ids[:2] == toy_tokenizer()("the").input_ids[:2]
    assert made.classifier.tokenizer("goal").input_ids == ids
    tightfit.export(made.path, "merged", tmp_path / "merged", progress=Progress())
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")("goal").input_ids == ids


def test_going_on_keeps_encoder_and_prefix(
    made: tightfit.Run, rows_file: Path, tmp_path: Path
) -> None:
    """Nothing is chosen again."""
    out = tmp_path / "more"
    tightfit.train(rows_file, from_run=made.path, out=out, max_steps=2, progress=Progress())
    more, before = tightfit.Run.load(out), made.decisions.encoder
    assert before is not None
    assert made.base.name == more.base.name == before.value
    same = "as in the run that it goes on from"
    assert more.decisions.encoder == replace(before, reason=same)
    assert more.decisions.long_text == replace(made.decisions.long_text, reason=same)
    ids = made.model.tokens(["goal"], 16).ids.tolist()
    assert more.model.tokens(["goal"], 16).ids.tolist() == ids


def test_an_unknown_candidate_is_refused_at_once(bert: Path, rows_file: Path) -> None:
    """Whichever of them it is."""
    with pytest.raises(ModelError, match="no model folder at this path"):
        tightfit.train(rows_file, model=[str(bert), "./nowhere"], progress=Progress())


def test_nothing_to_compare_where_the_inside_of_none_is_known(
    encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one, then."""

    def refuse(folder: Path) -> FrozenEncoder:
        raise UnknownInside("positions are not absolute")

    monkeypatch.setattr(FrozenEncoder, "of", refuse)
    found = chosen(auto(encoders("bert"), encoders("roberta")))
    assert found.source.folder == encoders("bert")
