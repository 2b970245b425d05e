"""The settings as frozen typed models. Values come from a recipe; see :mod:`tightfit.config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from tightfit.config.value_types import (
    Blend,
    Cap,
    ColumnNames,
    CountOrShare,
    Decay,
    Delimiter,
    Depth,
    Descriptions,
    Encoding,
    Epochs,
    Folds,
    Length,
    Limit,
    Minutes,
    Names,
    NgramCount,
    Quoting,
    Rank,
    RowCount,
    StepCount,
    as_list,
)
from tightfit.families import Role
from tightfit.methods import METHODS

MissingText = Literal["refuse", "empty", "drop"]
"""What a row without a text is: a fault, or an empty text."""


TaskKind = Literal["auto", "single", "multi", "rating"]
"""What a label is."""

Metric = Literal["accuracy", "macro_f1", "log_loss"]
"""By which an evaluation is the best."""

MissingLabel = Literal["refuse", "drop"]
"""What a row without a label is: a fault, or left out."""


class Section(BaseModel):
    """One frozen group of settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

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

    cap: Cap
    """Most trainable parameters allowed; ``none`` means that no cap holds."""
    allocation: Literal["uniform", "importance"] = "uniform"
    """``uniform``: the same rank for every adapted layer. ``importance``: with
    ``adapters.rank=auto``, ranks by what the gradient on a few batches says they are worth."""
    spend: Literal["all", "frugal"] = "all"
    """``frugal``: the fewest parameters that validation rows cannot tell from all that the cap
    pays, for some four trainings more."""


class Model(Section):
    """The encoder that stays frozen."""

    name: Annotated[str, Field(min_length=1)]
    """Hub name, folder, or an embedded one: ``all-MiniLM-L6-v2``, ``multilingual-e5-small``.
    ``auto``: of those at hand, the one on which a linear classifier of your rows does best."""
    candidates: Names = ()
    """Of which ``name=auto`` chooses; none: the embedded ones that are installed."""
    prefix: str = "auto"
    """What stands before every text, such as ``"query: "``, for which some encoders were trained.
    ``none``, or text of your own. ``auto``: nothing, or what the embedded encoder was trained for,
    whichever a linear classifier does better with."""
    frozen_dropout: bool
    """Whether the frozen encoder's own dropouts act while training."""


class Adapters(Section):
    """What is trained inside the encoder."""

    method: Literal[*METHODS]  # type: ignore[valid-type]  # mypy reads no list of names
    """How the encoder is tuned; the records in :mod:`tightfit.methods` say what each does."""
    rank: Rank = None
    """``auto``: the largest equal rank that the cap allows, up to 64. A number, where you compare
    plans or want a smaller artefact."""
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
    """Roles of the layers that are adapted. Fewer of them, where the cap is small or steps must be
    cheap: query and value alone take a third of the adapters' time."""
    layers: Depth = None
    """Adapt only so many blocks of the encoder, the uppermost: a number, or ``half`` of them;
    ``all`` adapts every one."""


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
    side: NgramCount = "off"
    """A linear map beside the encoder, whose outputs are added to the logits: of a text's
    characters, so many n-grams, or of how the two texts of a pair differ, each read by the
    frozen encoder. It is solved, and counts under the cap. ``auto``: where it helps a linear
    classifier on the frozen encoder, and then what was trained, on rows that none of them saw."""
    start: Literal["random", "probe", "run"] = "random"
    """Where the output layer starts: at random, or at the solution of a linear classifier on the
    frozen features (arXiv:2202.10054). ``run``: at the head of the run that ``--from`` names."""
    end: Literal["trained", "auto"] = "trained"
    """What the output layer is where cross-entropy ends: what its steps left, or, with up to 1,000
    training rows, solved anew on what the encoder has learned. ``auto``: solved, where it lowers
    the loss of validation rows and loses none of them beyond chance."""


class Data(Section):
    """Which rows are used, and how texts become tokens."""

    validation_rows: CountOrShare
    """Rows held out, a count or (below 1) a share; unused when a validation file is given. The
    published 640 become a tenth of fewer than 6,400 rows."""
    stratify: bool
    """Whether the held-out rows keep the shares of the classes; off, only where order matters."""
    split: Literal["random", "group", "last"] = "random"
    """Which rows are held out. ``random``: any. ``group``: whole groups, so that rows of one
    author, thread or patient stay on one side. ``last``: the last rows of the file, as for data in
    order of time."""
    group_column: str = ""
    """The column that names each row's group; with ``split=group`` and none, rows whose texts are
    nearly the same are a group."""
    max_length: Annotated[int, Field(ge=4)]
    """Longest text while training and validating, in tokens, special tokens included."""
    long_text: Literal["auto", "head", "head+tail", "windows"] = "head"
    """What is kept of a longer text: its head, or a quarter of the tokens from its head and the
    rest from its tail (arXiv:1905.05583), or all of it (up to eight windows): each window is then
    a row to train on, and the logits of a text are the mean over its windows, weighted by tokens.
    ``auto``: the tail too where many training texts are cut and a linear classifier on the frozen
    encoder does better with it."""
    labels: Names = ()
    """Label names in order, where the data does not say."""
    label_names: Literal["auto", "on", "off"] = "auto"
    """Whether a sentence with its name is a training row of each label, where rows are few.
    ``auto``: where a probe is surer of rows that it did not see with them, and they are no
    abbreviations."""
    label_descriptions: Descriptions = {}
    """Sentences of your own in place of those, by label: a mapping, or a TOML file of one."""
    text_column: ColumnNames = ("text",)
    """Columns joined with a space: a column's whole name, or else a list joined by commas."""
    pair: bool = False
    """Whether the text is a pair: two columns, such as premise and hypothesis, which the tokenizer
    puts together and tells apart in the way of its model. A pair that is too long loses the end of
    its longer text."""
    label_column: str = "label"
    """Column of the labels."""
    task: TaskKind = "auto"
    """What a label is. ``single``: one class a row, also where labels are numbers that are not
    whole, or seem to be several in one. ``multi``: each row has several labels, one or none.
    ``rating``: a number, learnt as one, so that 3 is nearer to 4 than to 5. ``auto``: lists, or
    several columns of 0 and 1, are several labels; else as ``single``, but labels that seem to be
    something else stop."""
    label_separator: str = ""
    """What stands between several labels in one cell, such as ``|``; with it ``auto`` takes each
    row to have several. Empty: found out, where ``task`` is ``multi``."""
    missing_text: MissingText = "refuse"
    """What a row without a text is: a fault, an empty text, or while training left out."""
    missing_label: MissingLabel = "refuse"
    """What a row without a label is while training: a fault, or left out."""
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
    """Largest learning rate. Adapters want some ten times that of full fine-tuning; halve it where
    the loss jumps, double it where few steps are taken."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Not applied to biases and norms."""
    warmup_steps: CountOrShare
    """Optimiser steps of linear warm-up, a count or (below 1) a share of all steps."""
    epochs: Epochs
    """Passes over the training rows; ``auto``: 3 where rows are many, up to 10 where they are few.
    Fewer, to be done sooner; ``--minutes`` decides by itself."""
    batch: Annotated[int, Field(ge=1)]
    """Rows in one forward pass. Larger ones leave few rows too few steps."""
    accumulate: Annotated[int, Field(ge=1)]
    """Forward passes to one optimiser step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Share of each target that is spread over the other classes (arXiv:1512.00567). 0.1, where
    labels are doubtful."""
    clip: Annotated[float, Field(ge=0)]
    """Largest norm of the whole gradient; 0 turns clipping off."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: each row weighs by the inverse frequency of its own class."""
    lora_plus: Annotated[float, Field(gt=0)] = 1.0
    """How many times faster LoRA's B matrices learn than all else (LoRA+, arXiv:2402.12354)."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's running means of gradient and square. There is hardly a reason to change them."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """What AdamW adds to the root of the square. There is hardly a reason to change it."""
    objective: Literal["auto", "contrastive", "contrastive-first", "cross-entropy"] = (
        "cross-entropy"
    )
    """What the steps minimise. ``contrastive``: texts of a class come together, the others apart
    (arXiv:2004.11362), and the head is solved once that is done. ``contrastive-first``: then
    cross-entropy goes on from there. ``auto``: by how many rows there are."""


class Contrastive(Section):
    """The contrastive phase, which has steps of its own: few rows want few."""

    steps: StepCount = None
    """Optimiser steps that a class takes part in; where a step leaves classes out there are more in
    all. More of them learn few rows by heart: ``auto`` is 15, or 20 where
    a step has more than four rows of a class."""
    batch: RowCount = None
    """Most rows in a step, but of two classes at least; with few classes there are fewer.
    ``auto``: of four classes."""
    class_rows: RowCount = None
    """Rows of each class in a step, where it has them; a step leaves classes out for that.
    ``auto`` is 4, above 16 rows a class classes share up to 64; multilingual-e5-small has 4."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Largest learning rate of the phase."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """What cosines are divided by."""
    strength: Annotated[float, Field(gt=0)] = 10.0
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
    """Rows in a pass while scoring; smaller, where memory is short."""
    forward: Literal["auto", "own"] = "auto"
    """``auto``: the lean forward pass where the model has one; ``own``: always the model's own."""
    prefix_cache: Literal["auto", "off"] = "auto"
    """``auto``: keep what lies below the lowest adapter on disk, where epochs would repeat it."""
    prefix_cache_gb: Annotated[float, Field(gt=0)] = 4.0
    """Most that this may take, in gigabytes (10^9 bytes)."""
    patience: Limit = None
    """Evaluations in a row without a better one after which training ends; ``none`` never does."""
    metric: Metric = "accuracy"
    """What makes an evaluation the best, so that its weights are kept. ``macro_f1``: every class
    counts as much, however rare. ``log_loss``: the least, where probabilities matter more."""
    blend: Blend = 1.0
    """How much of what was learned is kept: 1 is all of it, and 0.5 lies half-way between the start
    and that; ``--from`` takes 0.75. ``auto``: the least that the validation rows cannot tell from
    the best; on rows of another kind all of it was better where that was measured."""
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

    max_length: Length = None
    """Longest text at inference, in tokens. ``auto``: as while training, so that held-out
    scores are those of the answers."""
    padded_tokens: Limit = None
    """Most tokens of one pass, padding included; none: what suits the processor's caches, or the
    GPU's free memory."""


class Tracking(Section):
    """Where metrics are logged besides the run folder."""

    to: Literal["none", "tensorboard", "wandb", "mlflow"]
    """The tracker; its package is an extra."""
