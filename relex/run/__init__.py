"""The whole job as plain functions that emit events. `relex.run(recipe)` does it.

A stage finds out whether it is done, works, publishes its folder with a manifest written last, and
says what happens in events. It knows no terminal, no Prefect and no MLflow: these listen.
"""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """Lets `relex.run` be both this package and the function that does what it is for."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from relex.run.pipeline import run

        return run(*arguments, **options)


sys.modules[__name__].__class__ = _Room
