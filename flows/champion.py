"""The champion is measured again every week, with draws that nobody has seen."""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from relex.home import open_home
from tasks.champion_check import compare_fresh, draw_again, record_check, today
from tasks.tracking_client import open_existing, tracking_uri
from tasks.tracking_registry import CHAMPION, Registry


@flow(name="champion-check", flow_run_name="champion-check-{model}")
def champion_check(
    model: Annotated[str, Field(description="Name of the registered model.", min_length=1)],
    tracking: Annotated[
        str, Field(description="MLflow server; empty is the database in the home folder.")
    ] = "",
    seed: Annotated[int, Field(description="Seed of the draws; 0 takes today's date.", ge=0)] = 0,
    confidence: Annotated[
        float,
        Field(description="Certainty at which a loss is an alarm.", gt=0.5, lt=1),
    ] = 0.99,
) -> State[None]:
    """Let the champion answer its test questions again, drawn with another seed.

    The run fails when the champion does significantly worse than when it was registered: then its
    accuracy was luck, or what serves, asks or grades it has changed. At the default confidence a
    weekly check raises a false alarm about once in two years.
    """
    uri = tracking_uri(tracking, open_home())
    champion = Registry(open_existing(uri), uri).resolve(f"models:/{model}@{CHAMPION}")
    fresh = draw_again(champion, seed or today())
    checks = compare_fresh(champion, fresh, confidence)
    words = record_check(champion, fresh.recipe, checks, tracking)
    if any(check.is_worse for check in checks):
        return Failed(message=words)
    return Completed(message=words)
