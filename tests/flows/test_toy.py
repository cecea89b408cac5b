"""The whole job on a toy, for real: TRL, S3, vLLM, MLflow, Prefect.

The small toy takes the same way as the one of the README, whose figures only that one has.
"""

import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from relex.checkpoints import TOY_BASE
from relex.config import Recipe, load_recipe
from relex.home import Home
from relex.report import RunSummary
from relex.storage.embedded import free_port
from tasks.record_values import model_name, run_title
from tasks.services import mlflow, running
from tests.processes import is_alive

RECIPES = Path(__file__).parents[2] / "deployments" / "recipes"
PEAK_LIMIT_BYTES = 4e9
NUM_TRAIN = 561
RunToEnd = Callable[[Path, Path], "Finished"]
of_the_readme = pytest.mark.parametrize(
    "toy", [pytest.param("toy", marks=pytest.mark.slow)], indirect=True
)


@dataclass(frozen=True)
class Finished:
    """A pipeline run that has ended."""

    recipe: Recipe
    home: Home
    run: Path
    output: str
    peak_bytes: float

    @property
    def summary(self) -> RunSummary:
        return RunSummary.model_validate_json((self.run / "report" / "summary.json").read_bytes())


@pytest.fixture(scope="module")
def run_to_end(starter, build_environment) -> RunToEnd:
    """Runs the pipeline and watches the memory of its whole process tree."""

    def run(recipe: Path, folder: Path) -> Finished:
        with starter.started(
            "flows.program", ["pipeline", str(recipe)], build_environment(folder)
        ) as program:
            peak_bytes = [0.0]
            watcher = threading.Thread(target=watch_memory, args=(program.tree, peak_bytes))
            watcher.start()
            ended = program.wait()
            watcher.join()
        assert ended.returncode == 0, ended.stdout + ended.stderr
        (run,) = (folder / "s3" / "relex" / "runs").iterdir()
        return Finished(load_recipe(recipe), Home(folder), run, ended.stdout, peak_bytes[0])

    return run


def watch_memory(root: psutil.Process, peak_bytes: list[float]) -> None:
    """Sum of the proportional set sizes of a process and its descendants, at its largest."""
    while is_alive(root):
        with contextlib.suppress(psutil.Error):
            tree = [root, *root.children(recursive=True)]
            peak_bytes[0] = max(peak_bytes[0], sum(p.memory_full_info().pss for p in tree))
        time.sleep(0.5)


@pytest.fixture(scope="module", params=["toy-small", pytest.param("toy", marks=pytest.mark.slow)])
def toy(request, tmp_path_factory, run_to_end) -> Finished:
    """A shipped recipe, with the engine that most use."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = yaml.safe_load((RECIPES / f"{request.param}.yaml").read_text())
    recipe["evaluation"].pop("engine", None)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return run_to_end(path, folder)


@pytest.fixture(scope="module")
def fast_toy(tmp_path_factory, run_to_end) -> Finished:
    """The toy at a rate at which the paper's line is harmful at once."""
    folder = tmp_path_factory.mktemp("fast")
    recipe = yaml.safe_load((RECIPES / "toy.yaml").read_text())
    recipe["training"]["learning_rate"] = 5e-5
    recipe["extrapolation"] = {"targets": [60, 120]}
    path = folder / "fast.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return run_to_end(path, folder)


@of_the_readme
def test_an_extrapolated_candidate_is_chosen_and_beats_what_was_trained(toy):
    decision = toy.summary.decision
    assert (decision.chosen.method, bool(decision.chosen.part)) == ("secant", True)
    chosen = toy.summary.benchmark_result("toy", decision.chosen)
    last = toy.summary.benchmark_result("toy", decision.last_observed)
    assert chosen.interval.low > last.interval.high


@of_the_readme
def test_the_figures_are_those_of_the_readme(toy):
    accuracies = {result.candidate.key: result.accuracy for result in toy.summary.decision.results}
    assert accuracies["base"] == pytest.approx(0.50, abs=0.03)
    assert accuracies["observed-30"] == pytest.approx(0.59, abs=0.04)
    assert accuracies["line-120"] == pytest.approx(0.73, abs=0.1)
    assert accuracies[toy.summary.decision.chosen.key] == pytest.approx(0.95, abs=0.04)


@pytest.mark.slow
def test_an_observed_step_is_kept_where_extrapolation_is_harmful(fast_toy):
    decision = fast_toy.summary.decision
    assert decision.chosen == decision.last_observed
    assert decision.result(decision.last_observed).accuracy > 0.75


def test_vllm_generated_the_answers(toy):
    scores = list((toy.run / "scores").rglob("score.json"))
    measured = {path.relative_to(toy.run / "scores").parts[:2] for path in scores}
    summary = toy.summary
    reported = len(summary.benchmarks) + len(summary.greedy)
    assert len(measured) == len(summary.decision.results) + reported
    assert all(json.loads(path.read_text())["engine"].startswith("vllm") for path in scores)


def test_s3_holds_the_window_and_a_model_that_loads(toy):
    steps = list((toy.run / "window" / "steps").glob("*.safetensors"))
    assert len(steps) == toy.recipe.training.steps
    tokenizer = AutoTokenizer.from_pretrained(toy.run / "model")
    model = AutoModelForCausalLM.from_pretrained(toy.run / "model")
    ids = model.generate(
        **tokenizer("3+4=", return_tensors="pt"), max_new_tokens=4, do_sample=False
    )
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "3+4=7"


@of_the_readme
def test_the_window_is_smaller_than_the_base(toy):
    window = sum(path.stat().st_size for path in (toy.run / "window").rglob("*") if path.is_file())
    assert window < (TOY_BASE / "model.safetensors").stat().st_size


def test_no_checkpoint_is_left_but_the_chosen_one(toy):
    configs = [path.parent for path in toy.home.root.rglob("config.json")]
    assert configs == [toy.run / "model"]
    assert not toy.home.work(toy.run.name).exists()


def test_memory_stays_under_four_gigabytes(toy):
    assert toy.peak_bytes < PEAK_LIMIT_BYTES


def test_mlflow_shows_the_runs_over_http(toy):
    training, evaluation = toy.recipe.training, toy.recipe.evaluation
    model = model_name(toy.recipe)
    with running(mlflow(toy.home, free_port()), toy.home) as address:
        client = MlflowClient(address)
        (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
        runs = client.search_runs([experiment.experiment_id])
        champion = client.get_model_version_by_alias(model, "champion")
        (logged,) = client.search_logged_models([experiment.experiment_id])
        (parent,) = [run for run in runs if run.data.tags["relex.kind"] == "pipeline"]
        curves = {
            name: sorted(p.step for p in client.get_metric_history(parent.info.run_id, name))
            for name in parent.data.metrics
        }
        report = client.list_artifacts(parent.info.run_id, "report")
        link = f"{address}/get-artifact?path=report/accuracy.png&run_uuid={parent.info.run_id}"
        with urllib.request.urlopen(link) as answer:
            picture = answer.read()
    results = toy.summary.decision.results
    on_line = [result for result in results if result.candidate.is_on_the_line]
    targets = [result.candidate.step for result in on_line]
    whole = [r for r in on_line if r.num_questions == toy.summary.decision.num_questions]
    name = f"{whole[0].candidate.key}, {run_title(toy.recipe)}"
    (target,) = [run for run in runs if run.info.run_name == name]
    children = [run for run in runs if run is not parent]
    own = {"kind": "", "part": "", "step": "", "answered": ""}
    assert all(
        (run.data.params | own).items() <= (parent.data.params | own).items() for run in children
    )
    assert parent.data.params["training.kl_beta"] == "0"
    assert len(parent.data.params) > 100
    sources = {
        "validation": toy.recipe.problems.validation,
        "test": toy.recipe.problems.test[0].source,
    }
    asked = {name: source.limit or 200 for name, source in sources.items()}
    answered = f"{asked['validation']} of {asked['validation']} questions"
    assert target.data.params["answered"] == answered
    inputs = {
        data.tags[0].value: json.loads(data.dataset.profile)["num_questions"]
        for data in parent.inputs.dataset_inputs
    }
    assert inputs == {"train": NUM_TRAIN, **asked}
    most = f"pass_at_{evaluation.samples_per_question}"
    facts = {"pass_at_1", most, "repairs", "regressions", "repairs_of_base", "red_flags"}
    assert facts <= target.data.metrics.keys()
    kinds = [run.data.tags["relex.kind"] for run in runs]
    assert sorted(set(kinds)) == ["candidate", "pipeline", "training"]
    observed = [0, *evaluation.observed_steps, training.steps]
    assert kinds.count("candidate") == len(results)
    assert {run.info.status for run in runs} == {"FINISHED"}
    steps = list(range(1, training.steps + 1))
    assert curves["accuracy/extrapolated"] == [training.steps, *targets]
    assert curves["accuracy/trained"] == observed
    assert curves["accuracy/validation"] == observed + targets
    assert curves["training/reward_mean"] == steps
    assert curves["training/accuracy"] == steps
    assert curves["system/cpu_utilization_percentage"] != []
    assert parent.data.metrics["chosen_step"] == toy.summary.decision.chosen.step
    assert 0.9 < parent.data.metrics["fit_r2"] <= 1
    assert parent.data.metrics["fit_forecast_skill"] < parent.data.metrics["fit_r2"]
    assert champion.source == f"s3://relex/runs/{toy.run.name}/model"
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": model, "version": 1}]
    tested = {metric.key: metric.value for metric in logged.metrics}
    assert tested["test_accuracy"] == parent.data.metrics["test_accuracy_toy"]
    assert "/flow-run/" in parent.data.tags["relex.prefect_run"]
    assert "answers.json" in target.data.tags["mlflow.loggedArtifacts"]
    assert "report/report.md" in [file.path for file in report]
    assert picture.startswith(b"\x89PNG")


def test_the_flow_is_completed_in_prefect(toy, prefect_settings):
    request = urllib.request.Request(
        f"{prefect_settings['PREFECT_API_URL']}/flow_runs/filter",
        data=json.dumps({"flow_runs": {"name": {"any_": [toy.run.name]}}}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        flow_runs = json.load(answer)
    # Runs that other tests began with the same recipe, and that were refused, are older.
    newest = max(flow_runs, key=lambda flow_run: flow_run["start_time"])
    assert newest["state_type"] == "COMPLETED"


def test_the_end_of_the_output_tells_what_was_chosen_and_where_it_is(toy):
    summary = toy.summary
    assert summary.decision.reason.split()[0] in toy.output
    assert f"s3://relex/runs/{toy.run.name}/model" in toy.output
    assert "make up" in toy.output


def test_the_same_recipe_again_does_nothing_and_says_so(toy, run_to_end):
    again = run_to_end(toy.home.root / "recipe.yaml", toy.home.root)
    assert "is finished already" in again.output
    assert "starting the engine" not in again.output
    assert again.summary.decision == toy.summary.decision
