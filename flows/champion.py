"""Champions are measured again every week, with draws that nobody has seen."""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from relex.home import open_home
from tasks.champion_check import Check, compare_fresh, draw_again, record_check, today
from tasks.flow_run import heed_operator
from tasks.tracking_client import open_existing, tracking_uri
from tasks.tracking_registry import CHAMPION, Registry, Version


@flow(name="champion-check")
def champion_check(
    model: Annotated[
        str, Field(description="Name of a registered model; empty checks all champions.")
    ] = "",
    tracking: Annotated[
        str, Field(description="MLflow server; empty is that of the worker, or the home folder's.")
    ] = "",
    seed: Annotated[int, Field(description="Seed of the draws; 0 takes today's date.", ge=0)] = 0,
    confidence: Annotated[
        float, Field(description="Certainty at which a loss is an alarm.", gt=0.5, lt=1)
    ] = 0.99,
) -> State[None]:
    """Let champions answer their test questions again, drawn with another seed.

    The run fails when one does significantly worse than when it was registered: then its accuracy
    was luck, or what serves, asks or grades it has changed. At the default confidence a weekly
    check of one champion raises a false alarm about once in two years.
    """
    heed_operator()
    uri = tracking_uri(tracking, open_home())
    registry = Registry(open_existing(uri), uri)
    champions = [registry.resolve(f"models:/{model}@{CHAMPION}")] if model else registry.champions()
    checks = [
        check for champion in champions for check in check_one(champion, uri, seed, confidence)
    ]
    words = " ".join(check.words for check in checks) or f"MLflow at {uri}: there is no champion."
    state = Failed if any(check.is_worse for check in checks) else Completed
    return state(message=words)


def check_one(champion: Version, uri: str, seed: int, confidence: float) -> list[Check]:
    """The champion of one model on each of its test benchmarks."""
    fresh = draw_again(champion, seed or today())
    checks = compare_fresh(champion, fresh, confidence)
    record_check(champion, fresh.recipe, checks, uri)
    return checks
