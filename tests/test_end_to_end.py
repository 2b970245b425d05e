"""From rows to a sealed run and back: every family under every recipe, and the pinned losses."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

import tightfit
from tests.toy_setups import LABELS, SHORT, TEXTS, toy_job, toy_loop
from tests.toys import SMALL, toy_rows, toy_tokenizer
from tightfit import Run, TrainResult, evaluate, predict, train
from tightfit.budget.published import published_config
from tightfit.errors import ArtefactError, ModelError, SettingsError
from tightfit.model.encoders import quiet_transformers
from tightfit.progress import Progress

Encoders = Callable[[str], Path]
RECIPES = ("tight", "paper", "paper-as-run", "head-only", "full")
DEAD = {"ok": False, "expected": True}


def short_run(encoder: Path, rows: Path, out: Path, *settings: str, **more: Any) -> TrainResult:
    """Six steps at a rate at which something happens."""
    values = [*SHORT, "optim.lr=1e-2", *settings]
    options = {"max_steps": 6, "progress": Progress(), **more}
    return train(rows, model=str(encoder), out=out, settings=values, **options)


def proofs_of(run: Path) -> dict[str, Any]:
    """The proofs that a run keeps."""
    found: dict[str, Any] = json.loads((run / "proofs.json").read_text())
    return found


def saved_tensors(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of the artefact, without PEFT's prefix."""
    files = [*(run / "adapter").glob("*.safetensors"), *(run / "model").glob("*.safetensors")]
    return {
        name.removeprefix("base_model.model."): tensor
        for file in files
        for name, tensor in load_file(file).items()
    }


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_family_under_every_recipe(
    recipe: str, family: str, encoders: Encoders, rows_file: Path, tmp_path: Path
) -> None:
    """Four equal gates, proofs that hold or failed as declared, and a run that answers again."""
    result = short_run(encoders(family), rows_file, tmp_path / "run", recipe=recipe)
    proofs, summary = proofs_of(result.run), result.proofs
    gates = proofs["gates"]
    assert gates["plan"] == gates["built"] == gates["optimizer"] == gates["saved"]
    assert gates["plan"] == result.total
    assert sum(t.numel() for t in saved_tensors(result.run).values()) == gates["plan"]
    expected = DEAD if recipe == "paper-as-run" else {"ok": True}
    assert summary["gradients"] == summary["movement"] == expected
    assert summary["gates"] == summary["round_trip"] == {"ok": True}
    assert proofs["round_trip"]["max_abs_difference"] <= 1e-4
    again = Run.load(result.run).predict(TEXTS)
    assert set(again.labels) <= set(LABELS)
    assert len(again) == len(TEXTS)


def test_paper_as_run_leaves_every_adapter_dead(
    roberta: Path, rows_file: Path, tmp_path: Path
) -> None:
    """B is exactly zero and the head moved: the published run as it really happened."""
    run = short_run(roberta, rows_file, tmp_path / "run", recipe="paper-as-run").run
    b = [t for name, t in saved_tensors(run).items() if "lora_B" in name]
    assert len(b) == 4
    assert all(torch.count_nonzero(t) == 0 for t in b)
    proofs = proofs_of(run)
    assert [name.rsplit(".", 2)[1] for name in proofs["gradients"]["never"]] == 4 * [
        "lora_A",
        "lora_B",
    ]
    assert len(proofs["movement"]["still"]) == 4
    assert set(proofs["movement"]["adapters"].values()) == {0.0}
    assert min(proofs["movement"]["tensors"].values()) > 0
    assert (proofs["gradients"]["ok"], proofs["gradients"]["expected"]) == (False, True)


PINNED = {
    ("bert", "lora"): {1: 0.692606, 2: 0.693131, 4: 0.698338, 8: 0.685180, 12: 0.672776},
    ("roberta", "lora"): {1: 0.691582, 2: 0.692115, 4: 0.831900, 8: 0.784193, 12: 0.673987},
    ("roberta", "vera"): {1: 0.693956, 2: 0.689876, 4: 0.909828, 8: 0.701999, 12: 0.685160},
    ("roberta", "ia3"): {1: 0.694182, 2: 0.692039, 4: 0.898452, 8: 0.689087, 12: 0.705016},
    ("roberta", "bias"): {1: 0.693984, 2: 0.691140, 4: 0.919398, 8: 0.718100, 12: 0.678289},
    ("roberta", "full"): {1: 0.693443, 2: 0.690841, 4: 0.910848, 8: 0.704385, 12: 0.676372},
    ("roberta", "none"): {1: 0.693984, 2: 0.691140, 4: 0.920490, 8: 0.717409, 12: 0.679196},
}
"""Mean training loss by step, of a family and a method."""


@pytest.mark.parametrize(("family", "method"), PINNED)
@pytest.mark.parametrize("forward", ["auto", "own"])
def test_the_first_losses_are_pinned(
    family: str, method: str, forward: str, encoders: Encoders, tmp_path: Path
) -> None:
    """A refactor must not move them.

    Encoder weights are drawn from seed 0, everything else from seed 42, in fp32 and one thread.
    torch's CPU generator and numpy's PCG64 give the same numbers on every machine, and sums in
    another order (AVX or not, one thread or two) move the sixth digit; only another release of
    torch, transformers or peft, drawing in another order, would change the first.
    """
    settings = ["optim.lr=5e-2", "optim.epochs=9", "train.max_steps=12", "train.eval_every=1"]
    settings += [f"train.forward={forward}", f"adapters.method={method}", "train.prefix_cache=off"]
    setup = toy_job(encoders(family), *settings, "budget.cap=none")
    history = toy_loop(setup, tmp_path).fit().history
    losses = {step: history[step]["train_loss"] for step in PINNED[family, method]}
    assert losses == pytest.approx(PINNED[family, method], abs=1e-4)


CONTRACT_FILES = (
    "config.toml decisions.json plan.json labels.json data.json history.jsonl metrics.json "
    "proofs.json adapter manifest.json report.html"
)
CONTRACT_KEYS = (
    "run task total accuracy macro_f1 start_accuracy best_step steps epochs examples seconds "
    "examples_per_second tokens_per_second proofs"
)


def test_a_run_holds_what_the_contract_says(finished: TrainResult) -> None:
    """The files, the keys of the result, and a history that begins before the first step."""
    names = {path.name for path in finished.run.iterdir()}
    assert names >= set(CONTRACT_FILES.split())
    assert "checkpoints" not in names, "nothing is left to resume"
    assert list(finished.to_json()) == CONTRACT_KEYS.split()
    history = (finished.run / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in history] == [0, 30, 60, 70]


def test_the_toy_run_learned(finished: TrainResult) -> None:
    """Two classes that differ in their words; a coin would give one half."""
    assert (finished.accuracy or 0) >= 0.9
    assert finished.total == 1090
    assert finished.examples == 10 * 108


def test_a_trained_run_predicts_what_it_was_taught(finished: TrainResult) -> None:
    """Texts of one class's words alone, through the Python front."""
    run = tightfit.Run.load(finished.run)
    assert run.predict(["goal team coach", "bank profit price"]).labels == ["sport", "money"]
    again = tightfit.Run.load(finished.run).predict(TEXTS).probabilities
    np.testing.assert_array_equal(run.predict(TEXTS).probabilities, again)


def test_train_evaluate_and_predict_agree(
    finished: TrainResult, bert: Path, tmp_path: Path
) -> None:
    """Accuracy counted from the predicted file is that of evaluate, on fresh rows."""
    rows = toy_rows(60, seed=9)
    data = tmp_path / "test.csv"
    with data.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    run = shutil.copytree(finished.run, tmp_path / "run")
    scores = evaluate(run, data, progress=Progress()).scores
    predict(run, data, tmp_path / "out.csv", label_format="name", progress=Progress())
    told = [line.split(",")[1] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    right = sum(row["label"] == label for row, label in zip(rows, told, strict=True))
    assert scores.n == 60
    assert scores.accuracy.value == pytest.approx(right / 60)
    assert right >= 45


def test_the_same_seed_gives_the_same_run(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Weights to the bit; another seed gives others."""
    first, again, other = (
        saved_tensors(short_run(bert, rows_file, tmp_path / str(i), seed=seed).run)
        for i, seed in enumerate((5, 5, 6))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_changed_base_model_is_refused(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """An adapter on other weights would answer nonsense without a word."""
    base = shutil.copytree(bert, tmp_path / "base")
    run = short_run(base, rows_file, tmp_path / "run").run
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (base / "model.safetensors").write_bytes(weights)
    with pytest.raises(ArtefactError, match="the base model has changed"):
        Run.load(run)
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="no longer where it was"):
        Run.load(run)


def test_a_whole_model_needs_no_base(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """It is its own: the run can go anywhere."""
    base = shutil.copytree(bert, tmp_path / "base")
    run = short_run(base, rows_file, tmp_path / "run", recipe="full").run
    shutil.rmtree(base)
    moved = shutil.move(run, tmp_path / "elsewhere")
    assert len(Run.load(moved).predict(TEXTS)) == len(TEXTS)


def test_a_run_reads_no_longer_texts_than_its_encoder(finished: TrainResult) -> None:
    """64 tokens of the toy tokenizer."""
    assert Run.load(finished.run, max_length=64).predictor.max_length == 64
    with pytest.raises(SettingsError, match=r"positions for(.|\n)*max_length=64"):
        Run.load(finished.run, max_length=65)


def test_label_names_go_through_unharmed(bert: Path, tmp_path: Path) -> None:
    """Names with commas, quotes, line ends and emoji: trained, saved, loaded, predicted."""
    names = ['a, "b"', "two\nlines 🙂"]
    rows = toy_rows(40)
    for row in rows:
        row["label"] = names[row["label"] == "sport"]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = short_run(bert, data, tmp_path / "run").run
    assert Run.load(run).task.names == tuple(names)
    predict(run, data, tmp_path / "out.csv", label_format="name", progress=Progress())
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= set(names)


def test_class_names_of_a_data_set_are_kept_in_order(bert: Path, tmp_path: Path) -> None:
    """Integers of a file, named by the settings."""
    rows = [{**row, "label": int(row["label"] == "sport")} for row in toy_rows(40)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = short_run(bert, data, tmp_path / "run", "data.labels=zulu,alpha").run
    assert json.loads((run / "labels.json").read_text())["names"] == ["zulu", "alpha"]
    assert set(Run.load(run).predict(TEXTS).labels) <= {"zulu", "alpha"}


def test_no_tensor_of_the_artefact_is_in_half_precision(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """bf16 is the format of products, not of what was learnt."""
    run = short_run(bert, rows_file, tmp_path / "run", "train.precision=bf16").run
    assert {t.dtype for t in saved_tensors(run).values()} == {torch.float32}
    assert json.loads((run / "decisions.json").read_text())["precision"]["value"] == "bf16"


@pytest.fixture(scope="module")
def roberta_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised roberta-base from the shipped integers, with toy words."""
    folder = tmp_path_factory.mktemp("roberta-base")
    values = dict(published_config("roberta-base") or {})
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    torch.manual_seed(0)
    with quiet_transformers():
        AutoModel.from_config(config).save_pretrained(folder)
    toy_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_the_published_total_on_the_published_model(
    roberta_base: Path, rows_file: Path, tmp_path: Path
) -> None:
    """741,124 = 147,456 + 593,668 through all four gates, and two steps with living adapters."""
    rows = toy_rows(24)
    for i, row in enumerate(rows):
        row["label"], row["text"] = i % 4, " ".join(row["text"].split()[:5])
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ["optim.batch=2", "optim.accumulate=1", "train.eval_batch=4", "optim.lr=1e-4"]
    result = short_run(roberta_base, data, tmp_path / "run", *settings, recipe="paper", max_steps=2)
    gates = proofs_of(result.run)["gates"]
    assert {gates[name] for name in ("plan", "built", "optimizer", "saved")} == {741_124}
    plan = json.loads((result.run / "plan.json").read_text())
    assert (plan["adapters"], plan["head"], plan["budget"]) == (147_456, 593_668, 1_000_000)
    assert {proof["ok"] for proof in result.proofs.values()} == {True}


def test_a_run_leaves_nothing_but_itself(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder of a tracker, no cache, nothing in the working folder."""
    monkeypatch.chdir(tmp_path)
    short_run(bert, rows_file, tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]


def test_every_file_is_sealed(finished: TrainResult) -> None:
    """Except checkpoints, what was derived, and the seal itself; tensors carry no surprise."""
    manifest = json.loads((finished.run / "manifest.json").read_text())
    sealed = {file["path"] for file in manifest["files"]}
    present = {
        path.relative_to(finished.run).as_posix()
        for path in finished.run.rglob("*")
        if path.is_file()
    }
    loose = {path for path in present if path.startswith(("checkpoints/", "derived/"))}
    assert sealed == present - loose - {"manifest.json"}
    with safe_open(finished.run / "adapter" / "adapter_model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_run_finds_its_base_from_another_folder(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base was named relative to where training was started."""
    monkeypatch.chdir(bert.parent)
    run = train(
        rows_file,
        model=bert.name,
        out=tmp_path / "run",
        max_steps=1,
        settings=SHORT,
        progress=Progress(),
    ).run
    monkeypatch.chdir(tmp_path)
    assert Run.load(run).predict(["goal"]).labels[0] in ("money", "sport")
