"""A run from an adapter that was trained elsewhere, once nothing speaks against it at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from peft import PeftModel

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.shapes import EncoderShapes
from tightfit.config import Config, load_config, undecided
from tightfit.config.value_types import as_list
from tightfit.data.sources import Columns, read_table
from tightfit.data.text_tokenizer import tokenise
from tightfit.display import Shown
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG
from tightfit.engines.predictor import check_max_length
from tightfit.errors import ArtefactError, UsageError
from tightfit.exporting.format_names import FACTS_FILE, LABELS_FILE
from tightfit.model.adapter_audit import Audit, audit_folder
from tightfit.model.adapter_folder import label_names
from tightfit.model.artefact import count_saved, load_artefact, save_artefact
from tightfit.model.classifier import Classifier, predict_logits
from tightfit.model.encoders import load_tokenizer, longest_text
from tightfit.model.locate import Source, locate
from tightfit.model.peft_folder import PeftFolder, labels_in_base, read_peft_folder
from tightfit.model.proofs import Proof, round_trip
from tightfit.model.side_head import SIDE_FILE, SideHead
from tightfit.progress import Progress
from tightfit.storage.whole import whole_folder
from tightfit.tasks import SingleLabel, need_one_class, read_task
from tightfit.verbs.sealing import RECORDED_VERSIONS

RECIPE = "imported"
"""What stands as the recipe in the settings of such a run."""

PREDICT_BATCH = 64
PROBE_ROWS, PROBE_TOKENS = 64, 128
"""Texts of the sample on which the sealed artefact must answer as the given one, and where each is
cut."""


@dataclass(frozen=True, repr=False)
class ImportResult(Shown):
    """The run that was made."""

    run: Path
    total: int
    """Numbers that the adapter trained."""
    labels: tuple[str, ...]
    proofs: dict[str, bool | None]
    """Whether each holds; None where nobody watched."""
    verdict: str
    """Whether the adapters ever learned, as far as the file tells."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit import --json`` prints."""
        proofs = {name: {"ok": ok} for name, ok in self.proofs.items()}
        lists = {"run": str(self.run), "labels": list(self.labels), "proofs": proofs}
        return {**vars(self), **lists}

    def shown(self) -> dict[str, object]:
        """Where it is, and whether its adapters learned."""
        return {"run": self.run, "parameters": f"{self.total:,}", "verdict": self.verdict}


def imported_run(
    folder: Path,
    base: str,
    path: Path,
    *,
    labels: Sequence[str] | str | None,
    max_length: int | None,
    overwrite: bool,
    progress: Progress,
) -> ImportResult:
    """Load, prove and seal; see :func:`tightfit.verbs.import_adapter.import_adapter`."""
    adapter, audit = read_peft_folder(folder), audit_folder(folder)
    source = locate(base)
    asked: Any = as_list(labels)
    task = _task(adapter, source, tuple(asked or ()), progress)
    plan = adapter.plan(source.shapes(task.outputs), model=base, num_labels=task.outputs)
    config = _config(adapter, source, task.names, max_length)
    config = config.with_values({"head.pooling": plan.pooling})
    classifier, side = _load(adapter, source, plan, task), _side(folder, task, progress)
    if side is not None:
        plan = replace(plan, side=side.plan)
        config = config.with_values({"head.side": side.plan.width})
    if audit.dead:
        progress.warn(audit.verdict)
    with whole_folder(
        path, overwrite=overwrite, marker=storage.RunFolder(path).manifest.name
    ) as partial:
        run = storage.RunFolder(partial)
        storage.write_text(run.config, config.to_toml())
        storage.write_json(run.decisions, undecided(config).to_json())
        storage.write_json(run.plan, plan.to_json())
        storage.write_json(run.labels, task.to_json())
        storage.write_json(run.data, {"source": str(folder), "imported": True})
        with warnings.catch_warnings():
            # PEFT takes the bias of an adapter (lora_bias) for a matrix that was cut.
            warnings.filterwarnings("ignore", "Adapter 'default':.* invalid shape")
            save_artefact(classifier, run.adapter)
        if side is not None:
            side.write(run.adapter)
        proofs = _proofs(classifier, side, run.adapter, source, plan=plan, audit=audit)
        storage.write_json(run.proofs, proofs)
        versions = {name: version(name) for name in RECORDED_VERSIONS}
        storage.seal(run, versions, source.to_json())
    held = {name: proof["ok"] for name, proof in proofs.items()}
    return ImportResult(path, plan.total, task.names, held, audit.verdict)


def _task(
    adapter: PeftFolder, source: Source, asked: tuple[str, ...], progress: Progress
) -> SingleLabel:
    """Names in order; raw values are the ids, so that rows match by number or by name."""
    count = _count_labels(adapter, source, source.shapes(2))
    ours = adapter.folder / LABELS_FILE
    if asked:
        _check_number(len(asked), count, "--labels")
        return SingleLabel.from_names(asked)
    if ours.is_file():
        # Written by our own export, with the raw values.
        saved = need_one_class(read_task(storage.read_json(ours)), "importing an adapter")
        _check_number(saved.outputs, count, ours)
        return saved
    if (beside := label_names(adapter.folder)) is not None:
        _check_number(len(beside), count, adapter.folder / "config.json")
        return SingleLabel.from_names(beside)
    of_base = label_names(source.folder)
    if of_base is not None and len(of_base) == count:
        progress.say(f"label names are those of {source.name}: {', '.join(of_base)}")
        return SingleLabel.from_names(of_base)
    progress.warn(f"nothing says how the {count} labels are called; name them with --labels")
    return SingleLabel.from_names(tuple(f"LABEL_{i}" for i in range(count)))


def _count_labels(adapter: PeftFolder, source: Source, shapes: EncoderShapes) -> int:
    count = adapter.labels_in(shapes) or labels_in_base(source, shapes)
    if count is None:
        raise ArtefactError(
            "neither the adapter nor the base model has a trained head for classification",
            seen=adapter.folder,
            allowed="an adapter that was saved with its classifier (task_type SEQ_CLS)",
            next_step="save the adapter with modules_to_save=['classifier']",
        )
    return count


def _check_number(named: int, count: int, where: object) -> None:
    if named == count:
        return
    kind = UsageError if where == "--labels" else ArtefactError
    raise kind(
        "the number of label names is not that of the head's outputs",
        seen=f"{named} names in {where}, {count} outputs",
        next_step=f"name {count} labels in order, with --labels",
    )


def _config(
    adapter: PeftFolder, source: Source, names: tuple[str, ...], max_length: int | None
) -> Config:
    """Settings as far as the adapter tells them; the rest are defaults that trained nothing."""
    defaults, told = load_config(), adapter.settings
    longest = longest_text(source, load_tokenizer(source))
    file = adapter.folder / FACTS_FILE  # written by our own export
    facts = storage.read_json(file) if file.is_file() else {}
    if max_length is not None:
        length = check_max_length(max_length, longest)
    else:
        length = int(facts.get("max_length", defaults.predicted_length))
        length = length if longest is None else min(length, longest)
    ranks = [shape[0] for name, shape in adapter.shapes.items() if name.endswith("lora_A.weight")]
    return defaults.with_values(
        {
            "recipe": RECIPE,
            "budget.cap": None,
            "model.name": source.name,
            "adapters.rank": max(ranks, default=1),
            "adapters.alpha": told.get("lora_alpha", defaults.adapters.alpha),
            "adapters.rslora": bool(told.get("use_rslora", False)),
            "adapters.dropout": told.get("lora_dropout", 0.0),
            "data.labels": names,
            "data.pair": facts.get("pair", False),
            "data.max_length": length,
        }
    )


def _load(adapter: PeftFolder, source: Source, plan: Plan, task: SingleLabel) -> Classifier:
    """The classifier as PEFT loads it, if each tensor has found its place.

    Raises:
        ArtefactError: the adapter is for another base model.
    """
    try:
        with warnings.catch_warnings():
            # PEFT warns of tensors that it lacks; the check below refuses them.
            warnings.simplefilter("ignore")
            classifier = load_artefact(adapter.folder, source, plan, task)
    # What PEFT raises for a configuration that it, or this base model, does not know.
    except (KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise ArtefactError(
            "PEFT cannot load this adapter",
            seen=f"{adapter.folder}: {type(error).__name__}: {error}",
            next_step=f"check {ADAPTER_CONFIG}, and that --base is the model it names",
        ) from error
    adapter.check_loaded(classifier)
    # The folder that is sealed must name the base that it was checked with.
    module = cast(PeftModel, classifier.module)
    module.active_peft_config.base_model_name_or_path = source.public_name
    return classifier


def _side(folder: Path, task: SingleLabel, progress: Progress) -> SideHead | None:
    """What reads texts beside the adapter: an export of ours may bring it.

    Raises:
        ArtefactError: it is damaged, or for other labels.
    """
    if not (folder / SIDE_FILE).is_file():
        return None
    side = SideHead.read(folder, task.outputs)
    progress.say(f"its side head of {side.plan.width:,} n-grams comes along")
    return side


def _proofs(
    classifier: Classifier,
    side: SideHead | None,
    adapter: Path,
    source: Source,
    *,
    plan: Plan,
    audit: Audit,
) -> dict[str, Any]:
    """What can be shown of an adapter whose training nobody watched, and what cannot.

    Raises:
        ProofError: the sealed artefact does not answer as the given one.
    """
    anew = load_artefact(adapter, source, classifier.plan, classifier.task)
    side_anew = None if side is None else SideHead.read(adapter, plan.num_labels)
    trip = round_trip(
        _logits(classifier, side, source),
        _logits(anew, side_anew, source),
        labels=(classifier.task.names, anew.task.names),
    )
    gates = {"plan": plan.total, "saved": count_saved(plan, adapter), "cap": None}
    alive = None if audit.verdict.startswith("unproven") else audit.dead == 0
    unwatched = {"ok": None, "unknown": "trained elsewhere; nobody watched"}
    return {
        "gates": Proof(ok=True, numbers=gates).to_json(),
        "gradients": unwatched,
        "no_regression": unwatched,
        "movement": {"ok": alive, "dead": audit.dead, "verdict": audit.verdict},
        "round_trip": trip.to_json(),
        **({} if side is None else {"side_solved": unwatched}),
    }


def _logits(classifier: Classifier, side: SideHead | None, source: Source) -> NDArray[np.float32]:
    """``logits_NK`` of some texts of the sample."""
    texts = read_table("sample:test", Columns(), labelled=False).texts[:PROBE_ROWS]
    longest = longest_text(source, classifier.tokenizer) or PROBE_TOKENS
    tokens = tokenise(classifier.tokenizer, texts, min(longest, PROBE_TOKENS))
    logits_NK = predict_logits(classifier, tokens, batch=PREDICT_BATCH)
    return logits_NK if side is None else logits_NK + side.logits(texts)
