"""Contract tests for code that comes in by a door (`relex/doors`), a plug-in of yours or ours.

One line each: `relex.testing.check_reward("my_rewards:concise")`. It returns when the contract
holds; otherwise it raises the door's error, which says in one line what does not.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relex.candidates import BASE, Candidate
from relex.checkpoints import open_base, write_checkpoint
from relex.config import ProblemSource, RewardTerm, Sampling, check_recipe
from relex.config.recipe import EvaluationConfig
from relex.doors import ENGINE, METHOD, REWARD, SOURCE, TRAINER
from relex.evaluation import Completion, Engine, EngineConfig, Request, choose_dtype
from relex.evaluation.choose import build_engine
from relex.evaluation.weight_source import WeightSource
from relex.extrapolation import find_method, random_walk_gram
from relex.problems import Problem, load_problems
from relex.rewards import CheckedReward, build_reward, end_rewards, is_correct
from relex.rewards.checks import NONSENSE, hard_batch
from relex.storage import open_store
from relex.training import TrainingJob
from relex.window import read_window_manifest

PROBLEMS = tuple(Problem(f"{gold}?", gold) for gold in ("4", r"\frac{1}{2}", "0, 1", "A"))
RIGHT = ("{answer}", r"\boxed{{answer}}")
WINDOWS = ((1, 2, 3, 4, 5, 6, 7, 8), (2, 3, 10, 11, 40))
NUM_TOKENS = 8
NUM_REQUESTS = 8


def check_reward(name: str, problems: Sequence[Problem] = PROBLEMS, /, **params: Any) -> None:
    """A reward gives one finite number for every completion, whatever text it is, and the same ones
    again. Give the problems where it needs more of them than the answer."""
    reward = build_reward(RewardTerm(reward=name, params=params))
    try:
        _check_repeats(name, reward, hard_batch(problems))
    finally:
        end_rewards([reward])


def check_grader(
    name: str, problems: Sequence[Problem] = PROBLEMS, right: Sequence[str] = RIGHT
) -> None:
    """A grader is a reward that gives exactly 1.0 to right answers and to no others, whatever else
    is in the batch.

    `problems` are of the kind that it grades; `right` are forms of a completion with such an
    answer, of which it must take one at least.
    """
    grader = build_reward(RewardTerm(reward=name))
    try:
        batch = hard_batch(problems)
        values = _check_repeats(name, grader, batch)
        backwards = {column: texts[::-1] for column, texts in batch.items()}
        if grader(**backwards)[::-1] != values:
            raise REWARD.refused(name, "grades an answer by what else is in the batch")
        for problem in problems:
            _check_verdicts(name, grader, problem, right)
    finally:
        end_rewards([grader])


def check_source(kind: str, **fields: Any) -> None:
    """A question source gives rows with a question and an answer, the same ones each time; `fields`
    are those of a recipe's source."""
    source = ProblemSource(kind=kind, **fields)
    if load_problems(source) != load_problems(source):
        raise SOURCE.refused(kind, "gives other questions when it is asked again")


def check_method(text: str) -> None:
    """A method gives a finite weight for every snapshot, the same ones again, and leaves what it is
    given as it is."""
    method = find_method(text)
    for steps in WINDOWS:
        gram_SS = random_walk_gram(steps)
        given_SS = gram_SS.copy()
        for target in steps if method.is_inside else (steps[-1] + 1, 10 * steps[-1]):
            method.check_target("target", steps, target)
            first_S = method.weights(gram_SS, steps, target)
            if not np.array_equal(first_S, method.weights(gram_SS, steps, target)):
                raise METHOD.refused(
                    text, f"gives other weights at step {target} when it is asked again"
                )
        if not np.array_equal(given_SS, gram_SS):
            raise METHOD.refused(text, "changes the Gram matrix that it is given; copy it first")


def check_engine(name: str, base: str = "toy") -> None:
    """An engine answers every request in order, repeats itself, takes a candidate's weights, and
    gives the base's first answers again when these are back."""
    with tempfile.TemporaryDirectory() as folder:
        config = _engine_config(name, base, Path(folder))
        requests = _requests(config.source.base)
        engine = build_engine(config)
        if not getattr(engine, "name", ""):
            raise ENGINE.refused(name, "has no name; give it one with a version, for records")
        sampling = Sampling(max_completion_tokens=NUM_TOKENS)
        first = _answers(name, engine, requests, sampling)
        if _answers(name, engine, requests, sampling) != first:
            raise ENGINE.refused(name, "answers the same requests, with their seeds, differently")
        stopped = sampling.model_copy(update={"stop": ("1", "2")})
        if any("1" in text or "2" in text for text in _answers(name, engine, requests, stopped)):
            raise ENGINE.refused(name, "leaves stop strings in the text; a text ends before them")
        engine.swap(Candidate(step=1))
        if _answers(name, engine, requests, sampling) == first:
            raise ENGINE.refused(name, "answers as before with other weights: swap changed nothing")
        engine.swap(BASE)
        if _answers(name, engine, requests, sampling) != first:
            raise ENGINE.refused(name, "answers otherwise once the base's weights are back")


def check_trainer(name: str) -> None:
    """A trainer fills the window of its job: three steps of the toy."""
    with tempfile.TemporaryDirectory() as folder:
        job = _job(name, Path(folder))
        TRAINER.load(name)(job)
        manifest = read_window_manifest(open_store(job.window))
        if manifest is None or not manifest.facts.complete:
            num_kept = 0 if manifest is None else len(manifest.steps)
            raise TRAINER.refused(
                name,
                f"left {num_kept} of {len(job.recipe.training.kept_steps)} steps in the window; "
                "keep each in relex.training.filling, to the end of its block",
            )


def _check_repeats(name: str, reward: CheckedReward, batch: dict[str, list[Any]]) -> list[float]:
    values = reward(**batch)
    if reward(**batch) != values:
        raise REWARD.refused(name, "gives other values when it is asked again")
    return values


def _check_verdicts(
    name: str, grader: CheckedReward, problem: Problem, right: Sequence[str]
) -> None:
    gold = problem.answer
    texts = [form.replace("{answer}", gold) for form in right]
    completions = [*texts, *NONSENSE]
    num = len(completions)
    values = grader(
        prompts=[problem.question] * num,
        completions=completions,
        answers=[gold] * num,
        extras=[problem.extra] * num,
    )
    verdicts = [is_correct(value) for value in values]
    if not any(verdicts[: len(texts)]):
        raise REWARD.refused(
            name,
            f"takes none of {texts} for the answer {gold!r}; give golds of the kind that it "
            "grades, and in right how a right completion looks",
        )
    wrong = [text for text, taken in zip(NONSENSE, verdicts[len(texts) :], strict=True) if taken]
    if wrong:
        raise REWARD.refused(name, f"takes {wrong[0][:40]!r} for the answer {gold!r}")


def _answers(
    name: str, engine: Engine, requests: Sequence[Request], sampling: Sampling
) -> list[str]:
    progress = [0]
    completions = engine.generate(requests, sampling, progress.append)
    if len(completions) != len(requests) or progress[-1] != len(requests):
        raise ENGINE.refused(
            name,
            f"gave {len(completions)} completions for {len(requests)} requests and told "
            f"on_progress of {progress[-1]}; all three are the same",
        )
    for completion in completions:
        if not isinstance(completion, Completion) or completion.num_tokens > NUM_TOKENS:
            raise ENGINE.refused(
                name, f"gave {completion!r}, not a Completion of at most {NUM_TOKENS} tokens"
            )
    return [completion.text for completion in completions]


def _engine_config(name: str, base: str, folder: Path) -> EngineConfig:
    """With a window of one step, whose weights are the base's turned upside down."""
    checkpoint = open_base(base)
    upside_down = ((key, checkpoint.read_tensor(key).flip(0)) for key in checkpoint.tensors)
    write_checkpoint(folder / "checkpoint-1", checkpoint, upside_down)
    return EngineConfig(
        source=WeightSource(base=str(checkpoint.folder), window=str(folder)),
        evaluation=EvaluationConfig(
            engine=name, max_completion_tokens=NUM_TOKENS, max_context_tokens=64
        ),
        dtype=choose_dtype(checkpoint, "cpu"),
        device="cpu",
    )


def _requests(base: str) -> list[Request]:
    # Imported here because it takes seconds that the other doors do not need.
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    return [
        Request(prompt_token_ids=tuple(tokenizer(f"{number}+1=")["input_ids"]), seed=number)
        for number in range(NUM_REQUESTS)
    ]


def _job(name: str, folder: Path) -> TrainingJob:
    toy = {"kind": "toy"}
    recipe = check_recipe(
        {
            "name": "contract",
            "device": "cpu",
            "base": {"path": "toy"},
            "problems": {
                "train": {**toy, "split": "train"},
                "validation": {**toy, "split": "validation"},
                "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
            },
            "rewards": [{"reward": "exact_match"}],
            "training": {
                "trainer": name,
                "steps": 3,
                "learning_rate": 1e-4,
                "prompts_per_step": 4,
                "completions_per_prompt": 4,
                "max_completion_tokens": NUM_TOKENS,
                "gradient_checkpointing": False,
            },
            "extrapolation": {"targets": [6]},
            "evaluation": {"grader": "exact_match"},
        },
        "contract",
    )
    return TrainingJob(
        recipe=recipe,
        base=str(open_base("toy").folder),
        window=str(folder / "window"),
        work=str(folder / "work"),
    )
