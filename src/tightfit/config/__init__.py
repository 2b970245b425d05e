"""Every setting and its default, once: frozen typed models, filled from a recipe.

A recipe is a TOML file in ``tightfit/recipes``; it gives every value and the reason for it.
Overrides (``optim.lr=1e-4``) make a *new* :class:`Config`. All mistakes are reported at once.
"""

from tightfit.config.loading import (
    DEFAULT_RECIPE,
    from_toml,
    load_config,
    nearest_setting,
    recipe_about,
    recipe_names,
    setting_names,
)
from tightfit.config.sections import (
    Adapters,
    Choice,
    Config,
    Head,
    MissingText,
    Optim,
    Role,
)

__all__ = [
    "DEFAULT_RECIPE",
    "Adapters",
    "Choice",
    "Config",
    "Head",
    "MissingText",
    "Optim",
    "Role",
    "from_toml",
    "load_config",
    "nearest_setting",
    "recipe_about",
    "recipe_names",
    "setting_names",
]
