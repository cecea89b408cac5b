"""How a trial's end is told, and which base a sweep names."""

import pytest
import yaml

from relex.config import SweepConfig
from relex.errors import NoLearningError, RecipeError, RewardError
from tasks.sweep import Ending, base_recipe, ending_of_error, ending_of_message


def sweep_of(base: object) -> SweepConfig:
    rewards = [{"name": "good", "terms": [{"reward": "exact_match"}]}]
    return SweepConfig.model_validate({"name": "mine", "base": base, "rewards": rewards})


def test_an_error_of_a_trial_becomes_one_line():
    error = RewardError("reward broken: raised ZeroDivisionError:\n  division by zero")
    expected = "reward broken: raised ZeroDivisionError: division by zero"
    assert ending_of_error(error) == Ending("failed", expected)
    message = f"Flow run encountered an exception: RewardError: {error}"
    assert ending_of_message(message) == Ending("failed", expected)


def test_a_run_that_was_ended_because_it_learned_nothing_is_stopped():
    error = NoLearningError("step 9: stopped, because it learns nothing")
    assert ending_of_error(error) == Ending("stopped", str(error))


def test_a_long_reason_is_cut_and_a_missing_one_is_said():
    assert ending_of_error(ValueError("x" * 1000)).reason == "x" * 300 + "..."
    assert ending_of_message("").reason == "no reason was given; see the log of its flow run"


def test_a_base_is_found_by_name_by_path_and_whole(tmp_path):
    by_name = base_recipe(sweep_of("toy"))
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(by_name.model_dump(mode="json")))
    assert base_recipe(sweep_of(str(path))) == by_name
    assert base_recipe(sweep_of(by_name.model_dump(mode="json"))) == by_name


def test_an_unknown_base_is_refused_in_one_line():
    with pytest.raises(RecipeError, match=r"^sweep mine: base: no shipped recipe is named 'tov'; "):
        base_recipe(sweep_of("tov"))
    with pytest.raises(RecipeError, match=r"^absent\.yaml: cannot be read"):
        base_recipe(sweep_of("absent.yaml"))
