"""The flow goes through all rounds, each with a record of its own in MLflow."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from relex.config import check_recipe
from relex.home import Home
from relex.run.rounds import rounds_of
from tasks.tracking_client import RUN_TAG, home_uri, open_existing
from tests.flows.preloaded import Starter
from tests.flows.small import small_recipe


@pytest.mark.slow
def test_two_rounds_in_one_flow_run(
    starter: Starter, build_environment: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    recipe = small_recipe("rounds") | {"rounds": 2}
    recipe["training"] |= {"steps": 3, "checkpoint_every_steps": 1}
    recipe["extrapolation"]["targets"] = [6]
    recipe["evaluation"] |= {"observed_steps": [2], "denoised_steps": []}
    file, home = tmp_path / "rounds.yaml", Home(tmp_path / "home")
    file.write_text(yaml.safe_dump(recipe))
    arguments = ["pipeline", str(file)]
    ended = starter.run("flows.program", arguments, build_environment(home.root))
    assert ended.returncode == 0, ended.stdout + ended.stderr

    first, last = (one.run_id for one, _ in rounds_of(check_recipe(recipe, "rounds")))
    report = (home.root / "reports" / last / "report.md").read_text()
    assert "## The rounds" in report and first in report
    tags = {
        run.data.tags[RUN_TAG]: run.data.tags
        for run in open_existing(home_uri(home)).search_runs(["1"], f"tags.`{RUN_TAG}` != ''")
        if run.data.tags.get("relex.recipe_digest")
    }
    assert {first, last} <= tags.keys()
    assert tags[last]["relex.run_before"] == first
