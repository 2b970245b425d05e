"""Reads recipes, TOML and overrides into settings; all mistakes are reported at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, cast

from tightfit.config.decisions import Decisions, decisions_of_format_1
from tightfit.config.sections import Section
from tightfit.config.settings_model import Config, build_config
from tightfit.errors import SettingsError

DEFAULT_RECIPE = "tight"


def recipe_names() -> list[str]:
    """Names of the recipes that ship with tightfit, sorted."""
    folder = resources.files("tightfit") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def recipe_about(name: str) -> str:
    """One line that says what the recipe is for."""
    return str(_read_recipe(name)["about"])


Settings: TypeAlias = "Sequence[str] | Mapping[str, object]"
"""Values for dotted names: assignments such as ``optim.lr=1e-4``, or a mapping of typed values."""


def load_config(recipe: str = DEFAULT_RECIPE, settings: Settings = (), **options: object) -> Config:
    """Settings of a recipe with others on top, in order; later ones win.

    Args:
        recipe: one of :func:`recipe_names`, or a TOML file such as a run's ``config.toml``.
        settings: assignments as the command line takes them, or typed values by dotted name.
        options: values for the settings in :data:`OPTIONS`; those that are None are left out.

    Raises:
        SettingsError: with every mistake, and the nearest valid name for an unknown key.
    """
    values = _resolved(recipe)
    assigned = settings.items() if isinstance(settings, Mapping) else map(_parsed, settings)
    mistakes = []
    for name, value in (*assigned, *named_values(options).items()):
        fault = value if isinstance(value, _Mistake) else _assign(values, name, value)
        mistakes += [fault] if fault else []
    return build_config(values, mistakes)


OPTIONS = {
    "model": "model.name",
    "budget": "budget.cap",
    "seed": "seed",
    "max_steps": "train.max_steps",
    "minutes": "train.minutes",
    "text_column": "data.text_column",
    "label_column": "data.label_column",
}
"""The settings that have an option of their own."""


def named_values(options: Mapping[str, object]) -> dict[str, object]:
    """The options that are not None as typed values by dotted name; others are left out.

    Several models are those to choose from.
    """
    given = {
        OPTIONS[name]: value
        for name, value in options.items()
        if name in OPTIONS and value is not None
    }
    models = given.get("model.name")
    if models is not None:
        several = [models] if isinstance(models, str) else list(cast("Sequence[str]", models))
        one = len(several) == 1
        given["model.name"] = several[0] if one else "auto"
        given["model.candidates"] = () if one else tuple(several)
    return given


def typed(settings: Settings) -> dict[str, object]:
    """Settings as typed values by dotted name; unknown names are left to :func:`load_config`.

    Raises:
        SettingsError: a text is no assignment.
    """
    if isinstance(settings, Mapping):
        return dict(settings)
    values = dict(map(_parsed, settings))
    mistakes = [str(value) for value in values.values() if isinstance(value, _Mistake)]
    if mistakes:
        raise SettingsError("the settings have a mistake", seen="; ".join(mistakes))
    return values


READING = (
    *("data.delimiter", "data.encoding", "data.label_separator", "data.missing_label"),
    *("data.quoting", "data.task"),
)
"""The settings of a file, which may be another for rows that a run has not been trained on."""


def with_reading(config: Config, settings: Settings, *more: str) -> Config:
    """Settings under which another file of text is read.

    Args:
        config: the settings so far.
        settings: some of :data:`READING`.
        more: names of others that are allowed.

    Raises:
        SettingsError: a setting is none of :data:`READING`, or has a mistake.
    """
    values = typed(settings)
    allowed = sorted((*READING, *more))
    strange = [name for name in values if name not in allowed]
    if strange:
        raise SettingsError(
            "this setting belongs to a training",
            seen=strange[0],
            allowed=", ".join(allowed),
            next_step="leave it out",
        )
    return config.with_values(values) if values else config


def from_toml(text: str) -> Config:
    """Read settings that :meth:`Config.to_toml` wrote.

    Raises:
        SettingsError: the text is not TOML, or not such settings.
    """
    return build_config(_parsed_toml(text), [])


def read_settings(text: str, decisions: Mapping[str, Any] | None) -> tuple[Config, Decisions]:
    """Settings and decisions as a run keeps them.

    Args:
        text: its ``config.toml``.
        decisions: its ``decisions.json``; None in runs of format 1, whose settings held both.

    Raises:
        SettingsError: the text is not TOML, or not such settings.
    """
    if decisions is not None:
        return from_toml(text), Decisions.from_json(decisions)
    values = _parsed_toml(text)
    choices = values.pop("choices", {})
    values.get("train", {}).pop("compile", None)  # a setting that never had a second value
    config = build_config(values, [])
    return config, decisions_of_format_1(config, choices)


def _parsed_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("the settings file is not TOML", seen=str(error)) from error


ELSEWHERE = {
    "learning_rate": "optim.lr",
    "batch_size": "optim.batch",
    "per_device_train_batch_size": "optim.batch",
    "train_batch_size": "optim.batch",
    "gradient_accumulation_steps": "optim.accumulate",
    "num_train_epochs": "optim.epochs",
    "num_epochs": "optim.epochs",
    "warmup_ratio": "optim.warmup_steps",
    "max_grad_norm": "optim.clip",
    "label_smoothing_factor": "optim.label_smoothing",
    "r": "adapters.rank",
    "lora_r": "adapters.rank",
    "lora_alpha": "adapters.alpha",
    "lora_dropout": "adapters.dropout",
    "target_modules": "adapters.targets",
    "use_rslora": "adapters.rslora",
    "use_dora": "adapters.dora",
    "model_name_or_path": "model.name",
    "max_seq_length": "data.max_length",
    "eval_steps": "train.eval_every",
    "gradient_checkpointing": "train.checkpointing",
}
"""What ``transformers`` and PEFT call settings that are meant when somebody writes these."""


def setting_names() -> list[str]:
    """Every dotted name that an override may assign, sorted."""
    return sorted(_types())


def _types() -> dict[str, Any]:
    """The type of every setting, by its dotted name."""
    types: dict[str, Any] = {"seed": int}
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            types |= {f"{name}.{key}": own.annotation for key, own in section.model_fields.items()}
    return types


def _read_recipe(name: str) -> dict[str, Any]:
    if name not in recipe_names():
        inside = Path(name) / "config.toml"
        near = f"did you mean {str(inside)!r}?" if inside.is_file() else None
        raise SettingsError(
            "unknown recipe",
            seen=name,
            allowed=f"{', '.join(recipe_names())}, or a TOML file",
            next_step=near or nearest_setting(name, recipe_names()),
        )
    text = (resources.files("tightfit") / "recipes" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def _read_file(file: Path) -> dict[str, Any]:
    """Settings in a TOML file, such as a run's ``config.toml``, over those of a recipe: that which
    it names, or the default one."""
    try:
        own = _parsed_toml(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "the file of settings cannot be read",
            seen=f"{file}: {getattr(error, 'strerror', None) or error}",
            allowed=f"a TOML file, or one of {', '.join(recipe_names())}",
        ) from error
    own.pop("choices", None)  # of a run of format 1: what it decided, not what was asked for
    base = str(own.get("extends", own.get("recipe", DEFAULT_RECIPE)))
    _read_recipe(base)  # a name, and no other file, which might lead back here
    return {**own, "extends": base}


def _resolved(name: str) -> dict[str, Any]:
    """The recipe's values over those of the recipe that it extends."""
    from_file = name.lower().endswith(".toml")
    own = _read_file(Path(name)) if from_file else _read_recipe(name)
    base = _resolved(str(own["extends"])) if "extends" in own else {}
    for key, value in own.items():
        if key not in ("about", "extends"):
            # A section where one value is due, or the reverse, is left to the check of them all.
            both = isinstance(value, dict) and isinstance(base.get(key, {}), dict)
            base[key] = {**base.get(key, {}), **value} if both else value
    # A file is no recipe of its own: whoever repeats a run asks for what it asked for.
    return base if from_file else {**base, "recipe": name}


class _Mistake(str):
    """Words about an assignment that is none."""


def _parsed(text: str) -> tuple[str, object]:
    """Name and value of one ``a.b=c``; the value is typed where the name is known."""
    name, equals, raw = (part.strip() for part in text.partition("="))
    if not equals:
        return name, _Mistake(f"{text!r} is not an assignment; write key=value")
    return name, _parse(raw, _types().get(name))


def _assign(values: dict[str, Any], name: str, value: object) -> str | None:
    """Put one value into ``values``; returns the mistake, if it is one."""
    types = _types()
    if name not in types:
        hint = nearest_setting(name, sorted(types))
        return f"unknown setting {name!r}" + (f"; {hint}" if hint else "")
    section, _, key = name.rpartition(".")
    # A section that no recipe fills has defaults of its own.
    place = values.setdefault(section, {}) if section else values
    if isinstance(place, dict):  # else a file has a value in its stead, which the check refuses
        place[key] = value
    return None


def _parse(raw: str, wanted: object) -> object:
    """A TOML value where it is one, else the bare word itself.

    Where words are wanted, what TOML takes for a number or a date is one: a column may be named so.
    """
    try:
        value: object = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
    words = wanted in (str, tuple[str, ...]) and not isinstance(value, str | list)
    return raw if words else value


def nearest_setting(name: str, allowed: Sequence[str]) -> str | None:
    """``did you mean …?`` with the allowed name that is most like this one; None if none is."""
    # A bare key, or one under the wrong section, is recognisable by its last part.
    key = name.split(".")[-1]
    close = [other for other in allowed if ELSEWHERE.get(key) == other]
    close = close or [other for other in allowed if other.split(".")[-1] == key]
    close = close or difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None
