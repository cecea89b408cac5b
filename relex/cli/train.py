"""`relex train`: the short GRPO run, from a recipe to a window."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from relex.checkpoints import locate_base
from relex.config import Recipe, dump_recipe, load_recipe, parse_recipe
from relex.device import resolve_device
from relex.digests import sha256_bytes
from relex.errors import StorageError
from relex.home import make_home
from relex.memory import check_memory, longest_prompt, read_model, this_machine
from relex.problems import Problem, load_problems
from relex.rewards import build_rewards, check_reward_contract
from relex.run.rounds import check_one_round
from relex.storage import check_writable, open_store
from relex.storage.manifest import MANIFEST
from relex.training import (
    RolloutsChosen,
    StepTrained,
    TrainingEvent,
    TrainingJob,
    TrainingResumed,
    TrainingWarning,
    check_training,
    computed_terms,
    run_training,
)

RECIPE_FILE = "recipe.yaml"
WORK_CHARACTERS = 12


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")],
    out: Annotated[
        str, typer.Option(metavar="RUN", help="Folder or s3://bucket/prefix of the run.")
    ],
) -> None:
    """Train, and store a window of snapshots in RUN/window. Run it again to resume."""
    chosen = load_recipe(recipe)
    check_one_round(chosen)
    job = _job(chosen, out.rstrip("/"))
    check_training(job.recipe)
    questions = load_problems(job.recipe.problems.train, typer.echo)
    _check_memory(job, questions)
    _check_rewards(job.recipe, questions)
    check_writable(out, job.connection)
    _claim_run(out, job)
    run_training(job, _show, lambda line: typer.echo(line, err=True))
    typer.echo(f"{job.window}: {len(job.recipe.training.kept_steps)} snapshots")


def _job(recipe: Recipe, out: str) -> TrainingJob:
    window, base = f"{out}/window", recipe.base
    return TrainingJob(
        recipe=recipe,
        base=str(locate_base(base.path, base.revision, base.trust_remote_code)),
        window=window,
        connection=recipe.storage.connection,
        work=str(make_home().work(f"train-{sha256_bytes(window.encode())[:WORK_CHARACTERS]}")),
    )


def _check_memory(job: TrainingJob, questions: Sequence[Problem]) -> None:
    recipe = job.recipe
    model = read_model(job.base, trust_remote_code=recipe.base.trust_remote_code)
    longest = longest_prompt(recipe, Path(job.base), questions)
    check_memory(recipe, model, this_machine(resolve_device(recipe.device)), typer.echo, longest)


def _check_rewards(recipe: Recipe, questions: Sequence[Problem]) -> None:
    rewards = build_rewards(computed_terms(recipe), recipe.reward_seconds)
    check_reward_contract(rewards, questions)


def _claim_run(out: str, job: TrainingJob) -> None:
    """Write the recipe into RUN; raises StorageError where another recipe is there already, or a
    window that no recipe accounts for."""
    store = open_store(out, job.connection)
    if store.size(RECIPE_FILE) is None:
        if store.child("window").size(MANIFEST) is not None:
            raise StorageError(
                f"{job.window}: is the window of another run, there is no {RECIPE_FILE} beside it; "
                "choose another --out"
            )
        store.put(RECIPE_FILE, dump_recipe(job.recipe).encode())
        return
    where = f"{store.uri}/{RECIPE_FILE}"
    if parse_recipe(store.get(RECIPE_FILE).decode(), where).digest != job.recipe.digest:
        raise StorageError(f"{where}: is another recipe; choose another --out, or remove that run")


def _show(event: TrainingEvent) -> None:
    match event:
        case StepTrained():
            typer.echo(event.words)
        case TrainingWarning():
            typer.echo(f"warning: {event.message}", err=True)
        case RolloutsChosen():
            typer.echo(event.words)
        case TrainingResumed():
            typer.echo(f"resumed after step {event.step}")
