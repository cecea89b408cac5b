"""The doors through which the code comes in that a recipe names: ours and everybody else's.

A built-in has a short name, which stands for a dotted path in one of the tables below; all else is
`module:name`, wherever it is on the Python path. What a name may run, `plugins.py` decides; what
the code gets and gives, the last column says, and `docs/extending.md` shows. `relex.testing` checks
it.

| door | a recipe names it in | signature |
|---|---|---|
| REWARD | `rewards`, and the graders | `(completions, answers, **_) -> numbers` |
| SOURCE | `problems`: `kind` | `(source) -> rows` |
| METHOD | `extrapolation.methods` | `(gram_SS, steps, target, *, parameter=default) -> weight_S` |
| ENGINE | `evaluation.engine` | `(config, device) -> engine` |
| TRAINER | `training.trainer` | `(job) -> None` |
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relex.doors.plugins import module_of, refusal
from relex.errors import InputError, ProblemError, RewardError
from relex.visible import one_line

OWN = re.compile(r"[\w.]+:\w+")
MESSAGE_CHARACTERS = 200


@dataclass(frozen=True)
class Door:
    """One kind of code that a recipe names."""

    kind: str
    """What it is called in messages."""

    built_in: Mapping[str, str]
    """Where each of ours is, as `module:name`."""

    error: type[InputError] = InputError
    """What is raised for a name that cannot be used."""

    def knows(self, name: str) -> bool:
        """Whether `name` is one of ours, or written as one of a user's own."""
        return name in self.built_in or OWN.fullmatch(name) is not None

    def place(self, name: str) -> tuple[str, str]:
        """Module and attribute that `name` stands for. Nothing is imported to find out.

        Raises `error` when it is neither built in nor a dotted path, or may not be run here.
        """
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return module, attribute
        module, colon, attribute = name.partition(":")
        if not colon:
            raise self.refused(
                name,
                f"is not built in ({', '.join(self.built_in)}); name your own as module:function",
            )
        self._check_allowed(name, module)
        return module, attribute

    def load(self, name: str) -> Callable[..., Any]:
        """What `name` stands for. Raises `error` as `place`, and when it does not import, is not
        there, or cannot be called."""
        module_name, attribute = self.place(name)
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            what = f"{type(error).__name__}: {one_line(str(error), MESSAGE_CHARACTERS)}"
            mend = "install relex anew" if name in self.built_in else "put its folder on PYTHONPATH"
            raise self.refused(
                name, f"module {module_name!r} does not import ({what}); {mend}"
            ) from error
        found: Callable[..., Any] | None = getattr(module, attribute, None)
        if not callable(found):
            raise self.refused(
                name, f"module {module_name!r} has no function {attribute!r}; define it there"
            )
        if name not in self.built_in:
            # What a module has only imported is not its own.
            self._check_allowed(name, module_of(found))
        return found

    def _check_allowed(self, name: str, module: str) -> None:
        reason = refusal(module)
        if reason:
            raise self.refused(name, reason)

    def refused(self, name: str, reason: str) -> InputError:
        """The error that says what is wrong with `name`, in one line."""
        return self.error(f"{self.kind} {name}: {reason}")


GRADERS = {
    "exact_match": "relex.rewards.exact_match:ExactMatch",
    "math_equality": "relex.rewards.math_equality:MathEquality",
}
"""Rewards of which 1.0 means correct."""

REWARD = Door("reward", {**GRADERS, "format": "relex.rewards.format:Format"}, RewardError)
SOURCE = Door(
    "question source",
    {
        "toy": "relex.toy.problems:toy_rows",
        "jsonl": "relex.problems.jsonl:jsonl_rows",
        "parquet": "relex.problems.parquet:parquet_rows",
        "hub": "relex.problems.hub:hub_rows",
    },
    ProblemError,
)
METHODS = "relex.extrapolation.methods"
METHOD = Door(
    "method",
    {
        path.stem: f"{METHODS}.{path.stem}:{path.stem}"
        for path in sorted(Path(__file__).parents[1].glob("extrapolation/methods/[!_]*.py"))
    },
)
ENGINE = Door(
    "engine",
    {
        "auto": "relex.evaluation.choose:auto",
        "vllm": "relex.evaluation.choose:vllm",
        "transformers": "relex.evaluation.transformers_engine:TransformersEngine",
    },
)
TRAINER = Door("trainer", {"grpo": "relex.training.grpo_run:train"})
