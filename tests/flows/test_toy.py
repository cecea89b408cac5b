"""The whole job on the toy, for real: TRL, S3, vLLM, MLflow, Prefect."""

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from relex.checkpoints import TOY_BASE
from relex.home import Home
from relex.report import RunSummary
from relex.storage.embedded import free_port
from tasks.services import mlflow_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOY = ROOT / "deployments" / "recipes" / "toy.yaml"
PEAK_LIMIT_BYTES = 4e9


@dataclass(frozen=True)
class Finished:
    """A pipeline run that has ended."""

    home: Home
    run: Path
    output: str
    peak_bytes: float

    @property
    def summary(self) -> RunSummary:
        return RunSummary.model_validate_json((self.run / "report" / "summary.json").read_bytes())


def run_to_end(recipe: Path, folder: Path, environment: dict[str, str]) -> Finished:
    """Run the pipeline and watch the memory of its whole process tree."""
    command = [sys.executable, "-m", "flows.run", str(recipe)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        peak_bytes = [0.0]
        watcher = threading.Thread(target=watch_memory, args=(process, peak_bytes))
        watcher.start()
        output, _ = process.communicate()
        watcher.join()
    assert process.returncode == 0, output
    (run,) = (folder / "s3" / "relex" / "runs").iterdir()
    return Finished(Home(folder), run, output, peak_bytes[0])


def watch_memory(process: subprocess.Popen[str], peak_bytes: list[float]) -> None:
    """Sum of the proportional set sizes of a process and its descendants, at its largest."""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            tree = [root, *root.children(recursive=True)]
            peak_bytes[0] = max(peak_bytes[0], sum(p.memory_full_info().pss for p in tree))
        time.sleep(0.5)


@pytest.fixture(scope="module")
def toy(tmp_path_factory, prefect_settings, build_environment) -> Finished:
    folder = tmp_path_factory.mktemp("toy")
    return run_to_end(TOY, folder, build_environment(folder))


@pytest.fixture(scope="module")
def fast_toy(tmp_path_factory, build_environment) -> Finished:
    """The toy at a rate at which extrapolation is harmful at once."""
    folder = tmp_path_factory.mktemp("fast")
    recipe = yaml.safe_load(TOY.read_text())
    recipe["training"]["learning_rate"] = 5e-5
    path = folder / "fast.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return run_to_end(path, folder, build_environment(folder))


def test_an_extrapolated_candidate_is_chosen_and_beats_what_was_trained(toy):
    decision = toy.summary.decision
    assert decision.chosen.method == "line"
    chosen = toy.summary.benchmark_result("toy", decision.chosen)
    last = toy.summary.benchmark_result("toy", decision.last_observed)
    assert chosen.interval.low > last.interval.high


def test_the_figures_are_those_of_the_readme(toy):
    accuracies = {
        result.candidate.label: result.accuracy for result in toy.summary.decision.results
    }
    assert accuracies["base"] == pytest.approx(0.50, abs=0.03)
    assert accuracies["step 30"] == pytest.approx(0.59, abs=0.04)
    assert accuracies["k = 120"] == pytest.approx(0.73, abs=0.06)


def test_an_observed_step_is_kept_where_extrapolation_is_harmful(fast_toy):
    decision = fast_toy.summary.decision
    assert decision.chosen == decision.last_observed
    assert decision.result(decision.last_observed).accuracy > 0.75


def test_vllm_generated_the_answers(toy):
    scores = [json.loads(path.read_text()) for path in toy.run.glob("scores/*/*/score.json")]
    assert len(scores) == 12 + 3
    assert all(score["engine"].startswith("vllm") for score in scores)


def test_s3_holds_the_window_and_a_model_that_loads(toy):
    assert len(list((toy.run / "window" / "steps").glob("*.safetensors"))) == 30
    tokenizer = AutoTokenizer.from_pretrained(toy.run / "model")
    model = AutoModelForCausalLM.from_pretrained(toy.run / "model")
    ids = model.generate(
        **tokenizer("3+4=", return_tensors="pt"), max_new_tokens=4, do_sample=False
    )
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "3+4=7"


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
    with mlflow_server(toy.home, free_port()) as address:
        client = MlflowClient(address)
        (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
        runs = client.search_runs([experiment.experiment_id])
        champion = client.get_model_version_by_alias("toy", "champion")
        (parent,) = [run for run in runs if run.data.tags["relex.kind"] == "pipeline"]
        curves = {
            name: sorted(p.step for p in client.get_metric_history(parent.info.run_id, name))
            for name in parent.data.metrics
        }
        report = client.list_artifacts(parent.info.run_id, "report")
        link = f"{address}/get-artifact?path=report/accuracy.png&run_uuid={parent.info.run_id}"
        with urllib.request.urlopen(link) as answer:
            picture = answer.read()
    name = "k = 120, exact_match lr 1e-5 seed 0 (toy)"
    (target,) = [run for run in runs if run.info.run_name == name]
    children = [run for run in runs if run is not parent]
    own = {"kind": "", "step": "", "answered": ""}
    assert all(run.data.params | own == parent.data.params | own for run in children)
    assert target.data.params["answered"] == "200 of 200 questions"
    inputs = {
        data.tags[0].value: json.loads(data.dataset.profile)["num_questions"]
        for data in parent.inputs.dataset_inputs
    }
    assert inputs == {"train": 561, "validation": 200, "test": 200}
    facts = {"pass_at_1", "pass_at_16", "repairs", "regressions", "repairs_of_base", "red_flags"}
    assert facts <= target.data.metrics.keys()
    kinds = [run.data.tags["relex.kind"] for run in runs]
    assert sorted(set(kinds)) == ["candidate", "pipeline", "training"]
    assert kinds.count("candidate") == 12
    assert {run.info.status for run in runs} == {"FINISHED"}
    targets = [60, 75, 90, 120, 150, 180, 240, 300]
    assert curves["accuracy/extrapolated"] == [30, *targets]
    assert curves["accuracy/trained"] == [0, 10, 20, 30]
    assert curves["accuracy/validation"] == [0, 10, 20, 30, *targets]
    assert curves["training/reward_mean"] == list(range(1, 31))
    assert curves["training/accuracy"] == list(range(1, 31))
    assert curves["system/cpu_utilization_percentage"] != []
    assert parent.data.metrics["chosen/step"] == toy.summary.decision.chosen.step
    assert 0.9 < parent.data.metrics["fit/r2"] <= 1
    assert parent.data.metrics["fit/forecast_skill"] < parent.data.metrics["fit/r2"]
    assert champion.source == f"s3://relex/runs/{toy.run.name}/model"
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
    assert "make ui" in toy.output


def test_the_same_recipe_again_does_nothing_and_says_so(toy, build_environment):
    again = run_to_end(TOY, toy.home.root, build_environment(toy.home.root))
    assert "is finished already" in again.output
    assert "starting the engine" not in again.output
    assert again.summary.decision == toy.summary.decision
