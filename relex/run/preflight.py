"""Everything that can be known to be wrong before an hour of training is known here."""

from relex.config import Recipe, RewardTerm, WindowRecipe
from relex.device import multiplies_in
from relex.doors import ENGINE, TRAINER
from relex.errors import RecipeError
from relex.evaluation import draw_all, own_dtype
from relex.extrapolation import find_methods, random_walk_gram
from relex.extrapolation.checks import check_window_of_base
from relex.own_code import check_own_code
from relex.problems import check_disjoint
from relex.rewards import (
    WITHOUT_SANDBOX,
    CheckedReward,
    build_reward,
    build_rewards,
    check_golds,
    check_reward_contract,
    listed_golds,
)
from relex.run.nodes import check_nodes, engines_of
from relex.run.places import TRAIN, Run
from relex.run.room import Nodes, check_run_disk, check_run_memory
from relex.storage import check_writable
from relex.training import check_base, check_one_machine, check_training
from relex.window import open_window
from relex.window.precision import hidden_in_rounding


def validate(run: Run) -> None:
    """Check machine, base, memory, methods, rewards, problems, storage and space, cheapest first.

    Raises the InputError of the first fault.
    """
    nodes: Nodes = {}
    if run.cluster is not None:
        nodes = check_nodes(run, run.cluster)
    elif isinstance(run.recipe, Recipe):
        check_one_machine(run.recipe)
        check_training(run.recipe)
    num_elements = sum(info.num_elements for info in run.base.tensors.values())
    run.say(
        f"base       {run.base_folder} ({num_elements / 1e6:,.1f} M parameters), on {run.device}"
    )
    if isinstance(run.recipe, Recipe):
        untrained = check_base(run.recipe, run.base)
        if untrained:
            run.say(f"           {len(untrained)} tensors stay as in the base: {untrained[0]}, ...")
    if isinstance(run.recipe, WindowRecipe):
        _check_window(run, run.recipe)
    check_run_memory(run, nodes)
    _check_methods(run)
    _check_own_code(run)
    _check_problems(run)
    check_writable(run.root_uri, run.connection)
    check_run_disk(run, nodes)
    num_engines = len(engines_of(run).places())
    run.say(f"dtype      {_dtype_words(run)}")
    run.say(f"engines    {num_engines} on {run.device}, which share the questions")


def _dtype_words(run: Run) -> str:
    """What answers are computed in, and why where that is not plain."""
    dtype, own = run.dtype, own_dtype(run.base)
    if dtype != own:
        return (
            f"answers are computed in {dtype}, not in the base's own {own}, for which the machine "
            "that began the run has no instructions"
        )
    if not multiplies_in(dtype, run.device):
        return (
            f"answers are computed in {dtype}, in which the run began; this processor has no "
            "instructions for it and takes several times as long"
        )
    return f"answers are computed in {dtype}, the base's own"


def _check_methods(run: Run) -> None:
    """Names, parameters, and what the window is too short for, on a random walk."""
    steps, options = run.window_steps, run.recipe.extrapolation
    for method in find_methods(options.methods):
        for target in options.listed_targets:
            method.check_target("extrapolation.targets", steps, target)
            method.weights(random_walk_gram(steps), steps, target)


def _check_own_code(run: Run) -> None:
    check_own_code(ENGINE, run.recipe.evaluation.engine, run.detail)
    if isinstance(run.recipe, Recipe):
        check_own_code(TRAINER, run.recipe.training.trainer, run.detail)


def _check_problems(run: Run) -> None:
    check_disjoint(run.problems)
    seconds = run.recipe.reward_seconds
    rewards = build_rewards(run.recipe.rewards, seconds)
    names = {run.recipe.exam(name).grader for name in run.benchmark_names}
    graders = {name: build_reward(RewardTerm(reward=name), seconds) for name in sorted(names)}
    if WITHOUT_SANDBOX in {*names, *(term.reward for term in run.recipe.rewards)}:
        run.warn(
            f"sandbox: none, by {WITHOUT_SANDBOX}: programs that the model writes can do whatever "
            "you can"
        )
    check_reward_contract([*rewards, *graders.values()], next(iter(run.problems.values())))
    for reward in rewards if TRAIN in run.problems else ():
        _check_golds(run, TRAIN, reward)
    for name in run.benchmark_names:
        _check_golds(run, name, graders[run.recipe.exam(name).grader])
    draw_all(
        run.recipe, run.base_folder, {name: run.problems[name] for name in run.benchmark_names}
    )
    counts = ", ".join(f"{len(problems)} {name}" for name, problems in run.problems.items())
    run.say(f"problems   {counts}; no question is in two of them")
    if isinstance(run.recipe, Recipe):
        terms = " + ".join(f"{term.weight:g} x {term.reward}" for term in run.recipe.rewards)
        run.say(f"reward     {terms}")


def _check_golds(run: Run, name: str, grader: CheckedReward) -> None:
    doubtful = check_golds(name, run.problems[name], grader)
    if doubtful:
        run.say(
            f"           {name}: {grader.name} does not take "
            f"{len(doubtful)} gold answer(s) for themselves: {listed_golds(doubtful)}"
        )


def _check_window(run: Run, recipe: WindowRecipe) -> None:
    """What is there suits the base and the recipe."""
    if run.source is None:
        window = open_window(run.window_uri, run.connection, run.base)
        check_window_of_base(window, run.base)
        for note in window.notes:
            run.say(f"           {note}")
        kept = {window.tensors[name].dtype for name in run.base.tensors}
        if any(hidden_in_rounding(run.base, dtype) for dtype in kept if dtype.is_floating_point):
            run.warn(
                f"{recipe.window.uri}: its snapshots are kept in a dtype that cannot hold the "
                f"base's {own_dtype(run.base)}, so displacements hold the base's rounding beside "
                "what was trained; keep snapshots as rounded or float32"
            )
    steps = run.window_steps
    try:
        recipe.check_steps(steps)
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from error
    run.say(f"window     {recipe.window.uri}: {len(steps)} steps from {steps[0]} to {steps[-1]}")
