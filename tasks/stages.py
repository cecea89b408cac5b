"""The stages of a run as Prefect tasks, which its page shows one by one."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.run import conclude, measure, preflight, search, window

P = ParamSpec("P")
R = TypeVar("R")


def as_task(name: str, stage: Callable[P, R]) -> Callable[P, R]:
    """`stage` as a task; it knows itself whether it is done, so that Prefect keeps no result."""
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE)(stage)


validate = as_task("validate", preflight.validate)
train = as_task("train", window.train)
take_window = as_task("take window", window.take_window)
fit = as_task("fit", window.fit)
measure_candidates = as_task("measure candidates", search.measure_candidates)
choose = as_task("choose", conclude.choose)
measure_finalists = as_task("measure finalists", measure.measure_finalists)
publish = as_task("publish", conclude.publish)
report = as_task("report", conclude.report)
tidy = as_task("tidy", conclude.tidy)
