"""What an exported folder holds besides its weights: a card, and a program that runs it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from tightfit.budget.parts import SideReads
from tightfit.config import KeptText
from tightfit.data.text_pair import TextPair
from tightfit.data.text_tokenizer import TOKENIZER, tokenise
from tightfit.digests import file_sha256
from tightfit.display import score_name
from tightfit.encoder.on_torch import Engine, all_logits
from tightfit.engines.parity import Loss, Parity
from tightfit.exporting.exported import Exported
from tightfit.exporting.format_names import FACTS_FILE, LABELS_FILE, Format
from tightfit.exporting.vocabulary import Vocabulary
from tightfit.model.embedded import EMBEDDED
from tightfit.model.side_head import SIDE_FILE
from tightfit.run import Run
from tightfit.storage import write_text
from tightfit.tasks.label_thresholds import threshold_words

EXAMPLE_FILE = "predict.py"
CARD_FILE = "README.md"

LIBRARY: dict[Format, str] = {
    "peft": "peft",
    "merged": "transformers",
    "onnx": "onnxruntime",
    "onnx-int8": "onnxruntime",
}
"""What the card names as the library that loads the folder."""

NEEDS: dict[Format, str] = {
    "peft": "torch transformers peft",
    "merged": "torch transformers",
    "onnx": "numpy onnxruntime tokenizers",
    "onnx-int8": "numpy onnxruntime tokenizers",
}
"""The packages that the example needs, but for those of a side head."""

EXAMPLE_TEXTS = ("A text of seven words, as others.", "And another one.")
"""What an exported adapter is asked first, to know its base model; pairs are made of both."""

_FREE = (CARD_FILE, "adapter_config.json")
"""What may change: the place of the base model stands in the second, and programs need it right."""

_READ_BESIDE = (LABELS_FILE, TOKENIZER, SIDE_FILE)
"""What the example reads beside a graph."""

_LINES = {False: "a text a line", True: "a pair a line, a tab between its texts"}
"""What the example reads."""

_KEPT: dict[KeptText, str] = {"head+tail": "head and tail", "windows": "all windows"}
"""What a run reads of long texts that its exports do not."""

_RESULTS = "## Results\n\n"
_SIDE_LEFT_OUT = (
    "Those of the run with its side head, which this folder leaves out: [below](#side-head) is "
    "what that costs.\n\n"
)
_LONGER_READ = (
    "Those of the run, which reads more of long texts than this folder: [below](#long-texts).\n\n"
)

_INT8 = (
    "Scores on this card are those of the run, whose weights have 32. The numbers between layers "
    "are rounded by a scale of the whole batch: beside other texts a text may get another answer."
)

_PIPELINE = (
    '`pipeline("text-classification", FOLDER, truncation=True)` of transformers cuts long texts '
    f"where `{EXAMPLE_FILE}` does. Without `truncation` it ends in an error where a text has more "
    "tokens than the encoder has positions.\n\n"
)

_LOADING = re.compile(r"(?<=^## Loading it\n\n).*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)

_TEMPLATES = Environment(
    loader=PackageLoader("tightfit.exporting", "examples"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
)


@dataclass(frozen=True)
class ExportFolder:
    """A run in another form, and the folder where it lies."""

    run: Run
    form: Format
    path: Path

    @property
    def side(self) -> SideReads | None:
        """What the side head reads that the folder brings along: a graph has any, others but
        one."""
        side = self.run.side
        if side is None or not (side.portable or self.form.startswith("onnx")):
            return None
        return side.plan.reads

    @property
    def needed(self) -> str:
        """The packages that the example needs, as pip is told."""
        beside = ["numpy", "safetensors"] if self.side == "characters" else []
        return " ".join(dict.fromkeys([*NEEDS[self.form].split(), *beside]))

    def write_example(self) -> None:
        """Write ``predict.py``, which answers texts with what the folder holds and without
        tightfit."""
        run = self.run
        name = "onnx.py.j2" if self.form.startswith("onnx") else "torch.py.j2"
        facts = {"form": self.form, "base": run.base.public_name, "pair": run.config.data.pair}
        facts |= {"needs": self.needed, "kind": run.task.kind, "side": self.side}
        text = _TEMPLATES.get_template(name).render(**facts)
        write_text(self.path / EXAMPLE_FILE, text)

    def recognised(self, engine: Engine) -> dict[str, Any]:
        """By what the program knows what it was exported with: digests of the folder's files, and
        of an adapter what it says of a text, since the base model lies elsewhere."""
        read = [each for each in self.path.iterdir() if each.is_file() and each.name not in _FREE]
        if self.form.startswith("onnx"):
            # The settings beside a graph are for other programs.
            read = [each for each in read if each.name in _READ_BESIDE or each.suffix == ".onnx"]
        digests = {each.name: file_sha256(each) for each in sorted(read)}
        example = {"example": self._known_text(engine)} if self.form == "peft" else {}
        return {"sha256": digests} | example

    def _known_text(self, engine: Engine) -> dict[str, Any]:
        """What the folder says of a text: with another base model it says something else."""
        run = self.run
        text = TextPair(*EXAMPLE_TEXTS) if run.config.data.pair else EXAMPLE_TEXTS[0]
        tokens = tokenise(run.classifier.tokenizer, [text], run.predictor.max_length)
        return {"text": text, "logits": all_logits(engine, tokens)[0].tolist()}

    def write_card(self, exported: Exported, where: str) -> None:
        """Write the run's card as that of the export: loaded otherwise, and compared with the
        run.

        Args:
            exported: the figures.
            where: the rows come from on which they were measured.
        """
        run, form = self.run, self.form
        of_run = run.artefact / CARD_FILE
        card = ModelCard.load(of_run) if of_run.is_file() else None
        if card is None or not _LOADING.search(card.text):
            # An imported adapter has but the form that PEFT leaves to be filled in.
            head = f"---\n{ModelCardData().to_yaml()}\n---\n\n# Text classifier\n\n"
            card = ModelCard(f"{head}## Loading it\n\n-\n")
        side_left_out = run.side is not None and self.side is None
        longer = run.decisions.long_text.value != "head"
        for apart, words in ((longer, _LONGER_READ), (side_left_out, _SIDE_LEFT_OUT)):
            if apart:
                # Whoever reads scores by program would take them for those of the folder.
                card.data.eval_results = None
                card.text = card.text.replace(_RESULTS, _RESULTS + words)
        card.data.library_name = LIBRARY[form]
        card.data.base_model_relation = "adapter" if form == "peft" else "finetune"
        loading = (
            f"`pip install {self.needed}`, then `python {EXAMPLE_FILE} < texts.txt` answers "
            f"{_LINES[run.config.data.pair]}; the program is short enough to copy from. "
            f"{_answer(run)}\n\n"
        )
        loading += base_words(run.base.public_name) * (form == "peft") + _confidence(run)
        loading += _PIPELINE * (form == "merged")
        card.text = _LOADING.sub(lambda _: loading, card.text) + "\n"
        card.text += _export(form, exported.parity)
        if exported.int8 is not None:
            cost = _cost(run, exported.int8, where)
            card.text += f"\nWeights of 8 bits come {cost}. {_INT8}\n"
        card.text += "".join(
            f"\n## {about}\n\n{words}\n" for about, words in exported.caveats.items()
        )
        card.save(self.path / CARD_FILE)

    def caveats(self, exported: Exported, where: str) -> dict[str, str]:
        """What other programs than the one in the folder do without, and what was left out.

        Args:
            exported: the figures.
            where: the rows come from on which they were measured.
        """
        found, run = {}, self.run
        if (kept := run.decisions.long_text.value) != "head":
            cost = _costing(run, exported.heads_alone, where)
            found["Long texts"] = (
                f"the run reads {_KEPT[kept]} of texts longer than {run.predictor.max_length} "
                f"tokens, and this folder their head alone, {EXAMPLE_FILE} too: of such texts it "
                f"may answer otherwise{cost}. In the comparison with the run both read heads alone"
            )
        if run.thresholds:
            others = "take one for all labels, mostly a half"
            if run.task.one_class:
                others = "answer the most probable label"
            found["Thresholds"] = (
                f"{threshold_words(run.task, run.thresholds, kept=False)}: {EXAMPLE_FILE} does so; "
                f"other programs that load the folder {others}, unless they apply the thresholds "
                f"in {FACTS_FILE}"
            )
        if run.side is not None:
            decided, cost = run.decisions.side_factor, _costing(run, exported.without_side, where)
            told = f"; when it was trained: {decided.reason}" if decided else ""
            bare = self.side is None and not run.task.calibrates
            told += "; it gives no intervals, since the run's would be too narrow" * bare
            found["Side head"] = f"{self._side_words()}{cost}{told}"
        if exported.vocabulary is not None:
            found["Vocabulary"] = _pieces_words(run, exported.vocabulary, where)
        return found

    def _side_words(self) -> str:
        if self.side is None:
            return (
                "the run's side head adds to the logits how both texts differ, each read by the "
                "frozen encoder: tightfit and ONNX exports do so; this folder answers without it"
            )
        if self.side == "pairs":
            length = self.run.decisions.max_length.value
            return (
                "the graph adds to the logits how both texts differ, each read by the frozen "
                "encoder. It has inputs for them, single_input_ids and single_attention_mask: all "
                f"first texts of a batch, then all second ones, each cut at {length} tokens. "
                f"{EXAMPLE_FILE} gives them"
            )
        return (
            f"a side head ({SIDE_FILE}) adds to the logits what it reads of a text's characters: "
            f"{EXAMPLE_FILE} does so; other programs that load the folder answer without it"
        )


def base_words(base: str) -> str:
    """Where the program finds the base model, which an adapter's folder lacks.

    Args:
        base: its public name, see :class:`tightfit.model.locate.Source`.
    """
    given = f"`python {EXAMPLE_FILE} BASE < texts.txt`"
    if Path(base).is_absolute():
        return (
            f"The base model is not in this folder; where it has moved, give its own: {given}.\n\n"
        )
    code = f"from tightfit.model.locate import locate; print(locate({json.dumps(base)}).folder)"
    where = "is not in this folder. Without network, give its own"
    if base in EMBEDDED:  # else its public name is the Hub's
        where = (
            f"is neither in this folder nor on the Hub: the package {EMBEDDED[base].package} "
            "carries it, and like models from elsewhere answer otherwise. Give its own folder"
        )
    return (
        f"The base model, {base}, {where}: {given}. "
        "Where tightfit is installed, this prints it:\n\n"
        f"```sh\npython -c {shlex.quote(code)}\n```\n\n"
    )


def _answer(run: Run) -> str:
    """What a line that the program writes is."""
    if not run.task.calibrates:
        return (
            "An answer is a rating, in the unit of those that it learned from; where `reach` in "
            f"`{FACTS_FILE}` is a number, a tab and the lower end of its 90% interval follow, a "
            "tab and the upper end."
        )
    if run.task.one_class:
        return "An answer is a label, a tab and its probability."
    return (
        f"An answer is all labels that apply, `{run.task.separator}` between them, a tab, and "
        "their probabilities likewise; where none applies, a tab alone."
    )


def _confidence(run: Run) -> str:
    """That others who load the folder know no temperature; empty where there is none."""
    scale = run.predictor.temperature
    if not run.task.calibrates or np.all(np.asarray(scale) == 1):
        return ""
    told = "the temperatures of the labels"
    same = "Their probabilities are others, and perhaps their answers."
    if run.task.one_class:
        told = f"the run's temperature, {scale:.3g}"
        same = "That changes no label, but its confidence."
    return (
        f"The confidence that `{EXAMPLE_FILE}` gives is calibrated: logits are divided by {told} "
        f"(`temperature` in `{FACTS_FILE}`). Other programs that load the folder, `pipeline()` of "
        f"transformers too, do not divide. {same}\n\n"
    )


def _pieces_words(run: Run, vocabulary: Vocabulary, where: str) -> str:
    return (
        f"{vocabulary.kept:,} of {vocabulary.pieces:,} pieces are kept, those of the run's own "
        "texts and single characters: texts within them have the tokens that they had. To see "
        "what others lose: with the pieces of the training rows alone "
        f"{vocabulary.outside:.1%} of the tokens of the rows compared would be others, "
        f"{_cost(run, vocabulary.cost, where)}"
    )


def _costing(run: Run, lost: Loss | None, where: str) -> str:
    """The same behind a comma, where it was measured."""
    return "" if lost is None else f", {_cost(run, lost, where)}"


def _cost(run: Run, lost: Loss, where: str) -> str:
    points = round(100 * lost.accuracy_loss, 2)
    return (
        f"at a {'gain' if points < 0 else 'cost'} of {abs(points):.2f} points of "
        f"{score_name(run.task.metric)}, by the {lost.by} of {lost.rows:,} rows ({where})"
    )


def _export(form: Format, parity: Parity) -> str:
    return (
        f"## Export\n\nFormat `{form}`. Compared with the run on {parity.rows:,} rows, some of "
        f"random tokens: {parity.agreement:.2%} equal answers, largest difference of a logit "
        f"{parity.max_abs_difference:.2g}.\n"
    )
