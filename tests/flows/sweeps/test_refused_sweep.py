"""A sweep that cannot be run is refused like a run: Prefect shows the one line that says why."""

from flows.sweep import reward_sweep
from relex.config import SweepConfig


def test_the_state_of_a_sweep_that_is_refused_is_the_line_that_says_why(client):
    variant = {"name": "a", "terms": [{"reward": "exact_match"}]}
    sweep = SweepConfig.model_validate(
        {"name": "refused", "base": "no-such-recipe", "rewards": [variant]}
    )
    state = reward_sweep(sweep, return_state=True)
    assert state.is_failed()
    assert state.message.startswith("sweep refused: base: no shipped recipe is named")
