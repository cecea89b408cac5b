"""relex: the best checkpoint that a short RLVR run can give, and the reasons for the choice.

In a notebook these names are all that is needed (`docs/notebook.md`). Each is imported when it is
first used, so that `import relex` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relex.config import Recipe, load_recipe
    from relex.errors import RelexError
    from relex.notebook import fit, inspect, open_window, predict
    from relex.run import run

__version__ = "0.1.0"

__all__ = [
    "Recipe",
    "RelexError",
    "fit",
    "inspect",
    "load_recipe",
    "open_window",
    "predict",
    "run",
]

_MODULES = {
    "Recipe": "relex.config",
    "RelexError": "relex.errors",
    "load_recipe": "relex.config",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "run":
        # The package of the run, which can be called.
        return import_module("relex.run")
    return getattr(import_module(_MODULES.get(name, "relex.notebook")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
