"""The settings as frozen typed models. Values come from a recipe; see :mod:`tightfit.config`."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tightfit.config.text_settings import Delimiter, Encoding, Quoting
from tightfit.config.value_types import (
    ColumnNames,
    CountOrShare,
    Decay,
    Depth,
    Descriptions,
    Epochs,
    Folds,
    Limit,
    Minutes,
    Names,
    Rank,
    as_list,
)
from tightfit.errors import SettingsError
from tightfit.families import Role
from tightfit.methods import METHODS

MissingText = Literal["refuse", "empty"]
"""What a row without a text is: a fault, or an empty text."""


class Section(BaseModel):
    """One frozen group of settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: object, info: ValidationInfo) -> object:
        """``seed=true`` is a slip, though Python would count it as 1."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError("true and false are not accepted here")
        return value


class Budget(Section):
    """The hard cap and how it is spent."""

    cap: Limit
    """Most trainable parameters allowed; ``none`` means that no cap holds."""
    allocation: Literal["uniform", "importance"] = "uniform"
    """``uniform``: the same rank for every adapted layer. ``importance``: with
    ``adapters.rank=auto``, ranks by what the gradient on a few batches says they are worth."""


class Model(Section):
    """The encoder that stays frozen."""

    name: Annotated[str, Field(min_length=1)]
    """Hub name, folder, or the embedded ``all-MiniLM-L6-v2``."""
    frozen_dropout: bool
    """Whether the frozen encoder's own dropouts act while training."""


class Adapters(Section):
    """What is trained inside the encoder."""

    method: Literal[*METHODS]  # type: ignore[valid-type]  # mypy reads no list of names
    """How the encoder is tuned; the records in :mod:`tightfit.methods` say what each does."""
    rank: Rank = None
    alpha: Annotated[float, Field(gt=0)] = 8.0
    """The product B A is scaled by alpha / rank, or with ``rslora`` by alpha / sqrt(rank)."""
    rslora: bool = False
    """Rank-stabilised scaling (arXiv:2312.03732): one learning rate suits every rank."""
    dora: bool = False
    """Train the length of each row of the weight beside its direction (DoRA, arXiv:2402.09353),
    one number more an output."""
    init: Literal["kaiming", "pissa", "eva"] = "kaiming"
    """Where LoRA's matrices start. ``kaiming``: A at random, B at zero. ``pissa``: at the leading
    singular vectors of the weight, which is frozen without them (arXiv:2404.02948). ``eva``: A at
    the leading directions of what the layer reads on a few batches (arXiv:2410.07170)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the adapter's input."""
    targets: Annotated[tuple[Role, ...], BeforeValidator(as_list), Field(min_length=1)] = (
        "query",
        "value",
    )
    layers: Depth = None
    """Adapt only so many blocks of the encoder, the uppermost; ``all`` adapts every one."""


class Head(Section):
    """The layers that turn the encoder's state into one logit a class."""

    kind: Literal["stock", "linear", "auto"]
    """``stock``: the model class's own head. ``linear``: the same head, of which only the output
    layer trains; hidden layers that the checkpoint lacks are frozen near the identity, and plain
    ``transformers`` loads it all the same. ``auto``: linear where the model's head can be."""
    pooling: Literal["first", "mean", "auto"] = "first"
    """What it reads of the encoder's last layer: the first token's state, or the mean of all. The
    mean costs all of that layer. ``auto``: what a linear classifier on the frozen encoder finds
    better on training rows."""
    start: Literal["random", "probe"] = "random"
    """Where the output layer starts: at random, or at the solution of a linear classifier on the
    frozen features (arXiv:2202.10054)."""


class Data(Section):
    """Which rows are used, and how texts become tokens."""

    validation_rows: CountOrShare
    """Rows held out, a count or (below 1) a share; unused when a validation file is given."""
    stratify: bool
    """Whether the held-out rows keep the shares of the classes."""
    max_length: Annotated[int, Field(ge=4)]
    """Longest text while training and validating, in tokens, special tokens included."""
    long_text: Literal["auto", "head", "head+tail", "windows"] = "head"
    """What is kept of a longer text: its head, or a quarter of the tokens from its head and the
    rest from its tail (arXiv:1905.05583), or all of it (up to eight windows): each window is then
    a row to train on, and the logits of a text are the mean over its windows, weighted by tokens.
    ``auto``: head and tail where many training texts are cut."""
    labels: Names = ()
    """Label names in order, where the data does not say."""
    label_names: Literal["auto", "on", "off"] = "auto"
    """Whether a sentence with its name is a training row of each label, where rows are few.
    ``auto``: where the names tell the rows apart at least as well as other rows do."""
    label_descriptions: Descriptions = {}
    """Sentences of your own in place of those, by label: a mapping, or a TOML file of one."""
    text_column: ColumnNames = ("text",)
    """Columns joined with a space: a column's whole name, or else a list joined by commas."""
    label_column: str = "label"
    missing_text: MissingText = "refuse"
    """What a row without a text is."""
    encoding: Encoding = "auto"
    """Of text files, such as ``cp1252``. ``auto``: UTF-8, or UTF-16 by its mark or its zeros. What
    is marked, or is UTF-8 beyond plain ASCII, is read as that all the same."""
    delimiter: Delimiter = "auto"
    """Between the cells of a text file: a character, or ``tab``, ``space``, ``comma``. ``auto``:
    what divides the first rows best."""
    quoting: Quoting = "auto"
    """Of cells in text files. ``double``: ``"say ""hi\"""``. ``backslash``: ``"say \\"hi\\""``.
    ``single``: as double, with apostrophes. ``none``: quotation marks are part of the text, and a
    row ends with its line. ``auto``: double, but none where marks only decorate."""
    token_cache_gb: Annotated[float, Field(ge=0)] = 1.0
    """Most that the tokens of large data sets take in your cache folder, in gigabytes (10^9
    bytes), where later runs find them; 0 keeps none."""


class Optim(Section):
    """AdamW (arXiv:1711.05101), a cosine schedule with warm-up, and the loss."""

    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    """Not applied to biases and norms."""
    warmup_steps: CountOrShare
    """Optimiser steps of linear warm-up, a count or (below 1) a share of all steps."""
    epochs: Epochs
    batch: Annotated[int, Field(ge=1)]
    """Rows in one forward pass."""
    accumulate: Annotated[int, Field(ge=1)]
    """Forward passes to one optimiser step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(ge=0)]
    """Largest norm of the whole gradient; 0 turns clipping off."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: each row weighs by the inverse frequency of its own class."""
    lora_plus: Annotated[float, Field(gt=0)] = 1.0
    """How many times faster LoRA's B matrices learn than all else (LoRA+, arXiv:2402.12354)."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    objective: Literal["auto", "contrastive", "cross-entropy"] = "cross-entropy"
    """What the steps minimise. ``contrastive``: texts of a class come together, the others apart
    (arXiv:2004.11362), and the head is solved once that is done. ``auto``: by rows a class."""


class Contrastive(Section):
    """The contrastive phase, which has steps of its own: few rows want few."""

    steps: Annotated[int, Field(ge=1)] = 15
    batch: Annotated[int, Field(ge=4)] = 16
    """Rows in a step, shared out evenly among its classes."""
    class_rows: Annotated[int, Field(ge=2)] = 4
    """Least rows of a class in a step, where it has them; a step leaves classes out for that."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """What cosines are divided by."""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """Inverse strength of the solved head's L2 penalty, on features of length 1."""


class Train(Section):
    """How the loop runs; none of this changes what is learnt, rounding aside."""

    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """Of the forward pass; trainable weights and frozen weights are kept in fp32."""
    checkpointing: Literal["off", "on", "reentrant"]
    """Recompute activations instead of keeping them. ``reentrant`` cuts the gradient of adapters
    below it and exists to rebuild the published failure."""
    expect_dead: bool = False
    """Declares that adapters will not learn, so that the failed proof is recorded, not raised."""
    group_by_length: bool
    """Put rows of like length into one batch."""
    batch_by: Literal["rows", "tokens"] = "rows"
    """``tokens``: batches of equal tokens, so that long rows take no more memory than short ones;
    a step then weighs a long row more."""
    eval_every: Annotated[int, Field(ge=1)]
    """Optimiser steps between evaluations; each also writes a checkpoint."""
    eval_rows: Limit = None
    """Most validation rows that an evaluation while training scores, a sample drawn once; the
    final scores are always those of all rows."""
    eval_batch: Annotated[int, Field(ge=1)]
    forward: Literal["auto", "own"] = "auto"
    """``auto``: the lean forward pass where the model has one; ``own``: always the model's own."""
    prefix_cache: Literal["auto", "off"] = "auto"
    """``auto``: keep what lies below the lowest adapter on disk, where epochs would repeat it."""
    prefix_cache_gb: Annotated[float, Field(gt=0)] = 4.0
    """Most that this may take, in gigabytes (10^9 bytes)."""
    patience: Limit = None
    """Evaluations in a row without a better one after which training ends; ``none`` never does."""
    max_steps: Limit = None
    """Ends training early, and shortens the schedule with it."""
    folds: Folds = 0
    """Score by so many trainings, each on all rows but a part, in place of rows held out; all rows
    then train what is kept. ``auto``: where rows are too few to hold any out."""
    minutes: Minutes = None
    """Wall clock of the whole command, final scoring and report included: the schedule is cut to
    fit, and where they would take too long fewer validation rows are scored."""


class Predict(Section):
    """How a finished classifier is used."""

    max_length: Annotated[int, Field(ge=4)]
    """Longest text at inference, in tokens."""
    padded_tokens: Limit = None
    """Most tokens of one pass, padding included; none: what suits the processor's caches, or the
    GPU's free memory."""


class Tracking(Section):
    """Where metrics are logged besides the run folder."""

    to: Literal["none", "tensorboard", "wandb", "mlflow"]


class Config(Section):
    """All settings of one run."""

    recipe: str
    """The recipe that these settings started from."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    budget: Budget
    model: Model
    adapters: Adapters
    head: Head
    data: Data
    optim: Optim
    train: Train
    predict: Predict
    tracking: Tracking
    contrastive: Contrastive = Contrastive()

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        faults = []
        if self.train.checkpointing == "reentrant" and not self.train.expect_dead:
            faults.append(
                "train.checkpointing=reentrant leaves every adapter dead; "
                "use train.checkpointing=on, or declare it with train.expect_dead=true"
            )
        if self.optim.warmup_steps >= 1 and self.optim.warmup_steps % 1:
            faults.append("optim.warmup_steps must be a whole number, or a share below 1")
        if self.data.validation_rows >= 1 and self.data.validation_rows % 1:
            faults.append("data.validation_rows must be a whole number, or a share below 1")
        if self.train.folds == 1:
            faults.append("train.folds=1 leaves nothing to train on; use 0, auto, or 2 and more")
        if self.train.batch_by == "tokens" and not self.train.group_by_length:
            faults.append("train.batch_by=tokens needs train.group_by_length=true")
        if len(set(self.data.labels)) != len(self.data.labels):
            faults.append("data.labels names a label twice")
        faults += self._adapter_faults()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _adapter_faults(self) -> list[str]:
        adapters, by_importance = self.adapters, self.budget.allocation == "importance"
        faults = []
        if len(set(adapters.targets)) != len(adapters.targets):
            faults.append("adapters.targets names a layer twice")
        if by_importance and adapters.rank is not None:
            faults.append("budget.allocation=importance decides the ranks; set adapters.rank=auto")
        if by_importance and self.budget.cap is None:
            faults.append("budget.allocation=importance spends a cap; set budget.cap, or uniform")
        if by_importance and adapters.dora:
            faults.append("budget.allocation=importance weighs ranks alone; set dora=false")
        if adapters.init == "pissa" and adapters.dora:
            faults.append("adapters.init=pissa changes the weights that adapters.dora measures")
        return faults + [
            f"{name} is for LoRA's matrices, and adapters.method={adapters.method} has none; "
            f"set {name}={str(idle).lower()}"
            for name, idle in METHODS[adapters.method].idle.items()
            if attrgetter(name)(self) != idle
        ]

    def with_values(self, values: Mapping[str, object]) -> Config:
        """The same settings with some dotted names changed, checked anew."""
        tree = self.model_dump()
        for name, value in values.items():
            section, _, key = name.rpartition(".")
            (tree[section] if section else tree)[key] = value
        return build_config(tree, [])

    def to_toml(self) -> str:
        """These settings as TOML; :func:`tightfit.config.from_toml` gives an equal object back."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def build_config(values: Mapping[str, Any], mistakes: list[str]) -> Config:
    """Settings from a tree of values, checked.

    Raises:
        SettingsError: with ``mistakes``, and with every one that the check finds.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        mistakes = [*mistakes, *map(_explain, error.errors())]
    if mistakes:
        raise SettingsError(
            "the settings have "
            + ("a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"),
            seen="\n           ".join(mistakes),
            next_step="correct them; recipes and settings are listed by 'tightfit train --help'",
        )
    return config


def _explain(error: Any) -> str:
    """One line for one finding of pydantic: where, what, and the value seen."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    message = error["msg"].removeprefix("Value error, ")
    return f"{where} = {error['input']!r}: {message}" if where else message
