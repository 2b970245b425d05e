"""Every setting and its default, once: frozen typed models, filled from a recipe.

A recipe is a TOML file in ``tightfit/recipes``; it gives every value and the reason for it.
A :class:`Config` says what was asked for and never changes; :class:`Decisions` say what a run made
of it. All mistakes are reported at once.
"""

from tightfit.config.decisions import (
    ASKED,
    Decision,
    Decisions,
    KeptText,
    Objective,
    Use,
    undecided,
)
from tightfit.config.loading import (
    DEFAULT_RECIPE,
    OPTIONS,
    Settings,
    from_toml,
    load_config,
    named_values,
    nearest_setting,
    read_settings,
    recipe_about,
    recipe_names,
    setting_names,
    typed,
    with_reading,
)
from tightfit.config.sections import (
    Adapters,
    Data,
    Head,
    Metric,
    MissingLabel,
    MissingText,
    Model,
    Optim,
    TaskKind,
)
from tightfit.config.settings_model import Config
from tightfit.config.value_types import Quoting
