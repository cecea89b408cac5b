"""What a machine has of all that a run needs on the nodes of a cluster."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from pydantic import Field

from relex.candidates import split_text
from relex.checkpoints import Checkpoint, locate_base
from relex.config import AnyRecipe, Recipe
from relex.digests import sha256_json
from relex.doors import ENGINE, METHOD, REWARD, TRAINER
from relex.errors import InputError
from relex.home import free_bytes, open_home
from relex.machine import Machine, this_machine
from relex.problems import Problem, load_problems, problems_digest
from relex.rewards import build_rewards, check_reward_contract, end_rewards
from relex.storage import S3Connection, open_store
from relex.strict import Strict
from relex.training import check_training
from relex.versions import pinned_versions
from relex.window import StoredWindow, open_window

KEPT_APART = (
    "a run on a cluster is kept where every node reaches it: set storage.uri to such a bucket, and "
    "give the nodes its keys in their own environment"
)
READ_THERE = "nodes read it themselves: give it to every node under the same name"


class Wanted(Strict):
    """What is asked of every node. Keys of S3 are not among it: a node has its own."""

    storage: str = ""
    """Where the run is kept; nothing is asked without."""

    connection: S3Connection = S3Connection()
    """How to reach it."""

    marker: str = ""
    """Name of an object there."""

    recipe: AnyRecipe | None = None
    """What is to be run; nothing is asked without."""

    window: str = ""
    """Where the snapshots of a run are that it takes from elsewhere."""

    trains: bool = False
    """Whether it must be able to train."""


class Found(Strict):
    """What a node says."""

    versions: dict[str, str]
    digests: dict[str, str] = Field(default={})
    """Of what the run reads on the node itself, by what it is."""

    niceness: int = 0
    """Above 0 all else on the node goes before what Ray starts there."""

    machine: Machine
    """Its GPUs and its memory."""

    free_bytes: int
    """On the disk of what a node keeps."""

    fault: str = ""
    """Why it cannot read what is asked; nothing where it can."""


def look(wanted: Wanted) -> Found:
    """What this machine has; code of the user's is imported to find out."""
    found = Found(
        versions=pinned_versions(),
        niceness=os.nice(0),
        machine=this_machine("cuda" if torch.cuda.is_available() else "cpu"),
        free_bytes=free_bytes(open_home().node),
    )
    recipe, digests = wanted.recipe, {}
    try:
        if wanted.storage:
            with _advising(KEPT_APART):
                open_store(wanted.storage, wanted.connection).get(wanted.marker)
        if recipe is not None:
            with _advising(READ_THERE):
                questions = _training_questions(recipe)
                digests = dict(_read_here(wanted, recipe, questions))
        if isinstance(recipe, Recipe) and wanted.trains:
            check_training(recipe)
            _call_rewards(recipe, questions)
    except InputError as error:
        return found.model_copy(update={"fault": str(error)})
    return found.model_copy(update={"digests": digests})


@contextmanager
def _advising(advice: str) -> Iterator[None]:
    """Say with an InputError what to do on a cluster."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; {advice}") from error


def _training_questions(recipe: AnyRecipe) -> list[Problem]:
    return load_problems(recipe.problems.train) if isinstance(recipe, Recipe) else []


def _read_here(
    wanted: Wanted, recipe: AnyRecipe, questions: Sequence[Problem]
) -> Iterator[tuple[str, str]]:
    """What a node reads itself, and its digest. Raises the InputError of what cannot be read."""
    where = recipe.base
    base = Checkpoint(locate_base(where.path, where.revision, where.trust_remote_code))
    yield f"base {where.path}", base.digest()
    if wanted.window:
        window = open_window(wanted.window, wanted.connection, base)
        digest = window.digest() if isinstance(window, StoredWindow) else sha256_json(window.steps)
        yield f"window {wanted.window}", digest
    names = [(ENGINE, recipe.evaluation.engine)]
    names += [(METHOD, split_text(each)[0]) for each in recipe.extrapolation.methods]
    if isinstance(recipe, Recipe):
        source = recipe.problems.train
        yield f"training questions {source.path or source.kind}", problems_digest(questions)
        names += [(TRAINER, recipe.training.trainer)]
        names += [(REWARD, term.reward) for term in recipe.rewards]
    for door, name in names:
        if name not in door.built_in:
            yield f"{door.kind} {name}", door.own_version(name)
            if door is not REWARD:
                door.load(name)


def _call_rewards(recipe: Recipe, questions: Sequence[Problem]) -> None:
    """Raise RewardError where one of them does not work here, or what it needs is missing."""
    rewards = build_rewards(recipe.rewards, recipe.reward_seconds)
    try:
        check_reward_contract(rewards, questions)
    finally:
        end_rewards(rewards)
