"""The contract tests: what comes with relex passes them, and each breach is said in one line."""

from pathlib import Path

import pytest

from relex import testing
from relex.doors import GRADERS, METHOD, REWARD, SOURCE
from relex.errors import InputError, ProblemError, RewardError

BAD = """
import itertools
import random
from relex.evaluation import Completion
from relex.evaluation.transformers_engine import TransformersEngine

count = itertools.count()

def counts(completions, **_):
    return [float(next(count)) for _ in completions]

def infinite(completions, **_):
    return [float("inf") for _ in completions]

def everything(completions, **_):
    return [1.0 for _ in completions]

def nothing(completions, **_):
    return [0.0 for _ in completions]

def first_of_batch(completions, answers, **_):
    return [float(i == 0) for i, _ in enumerate(completions)]

def other_rows(source):
    yield {"question": f"{next(count)}+1=", "answer": "1"}

def no_rows(source):
    return 3

def no_columns(source):
    yield "2+2=", "4"

def raises(source):
    raise KeyError("path")

def other_weights(gram_SS, steps, target):
    return [float(next(count))] * len(steps)

def overwrites(gram_SS, steps, target):
    gram_SS *= 2
    return [1.0] * len(steps)

class Deaf(TransformersEngine):
    def swap(self, candidate):
        pass

class Short(TransformersEngine):
    def generate(self, requests, sampling, on_progress):
        return super().generate(requests[1:], sampling, on_progress)

class Dice(TransformersEngine):
    def generate(self, requests, sampling, on_progress):
        on_progress(len(requests))
        text = str(random.random())
        return [Completion(text=text, num_tokens=1, finish_reason="stop") for _ in requests]

def lazy(job):
    pass

def half(job):
    from pathlib import Path
    from relex.checkpoints import Checkpoint
    from relex.training.filling import open_job_window
    job.spool.mkdir(parents=True)
    open_job_window(job).append(1, Checkpoint(Path(job.base)))
"""


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"bad_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    return name


# They need more of a problem than its answer, and keep the contract in tests of their own.
NEEDY = {"reasoning_gym", "code_tests", "code_tests_without_sandbox"}


@pytest.mark.parametrize("name", sorted(REWARD.built_in.keys() - NEEDY))
def test_rewards_of_ours_keep_the_contract(name: str) -> None:
    testing.check_reward(name)


@pytest.mark.parametrize("name", sorted(GRADERS.keys() - NEEDY))
def test_graders_of_ours_keep_the_contract(name: str) -> None:
    testing.check_grader(name)


def test_sources_of_ours_keep_the_contract(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    (tmp_path / "a.jsonl").write_text('{"question": "2+2=", "answer": 4}\n')
    parquet.write_table(
        pyarrow.table({"question": ["2+2="], "answer": ["4"]}), tmp_path / "a.parquet"
    )
    testing.check_source("toy", split="validation")
    testing.check_source("jsonl", path=str(tmp_path / "a.jsonl"))
    testing.check_source("parquet", path=str(tmp_path / "a.parquet"))
    elsewhere = {"hub", "reasoning_gym", "human_eval", "mbpp", "live_code_bench", "apps"}
    assert SOURCE.built_in.keys() == {"toy", "jsonl", "parquet", *elsewhere}


@pytest.mark.parametrize("name", [*METHOD.built_in, "line-rank3", "secant-gap4"])
def test_methods_of_ours_keep_the_contract(name: str) -> None:
    testing.check_method(name)


def test_the_engine_of_ours_keeps_the_contract() -> None:
    testing.check_engine("transformers")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_trainer_of_ours_keeps_the_contract() -> None:
    testing.check_trainer("grpo")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("counts", "gives other values when it is asked again"),
        ("infinite", "returned inf, not a finite number"),
    ],
)
def test_a_reward_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        testing.check_reward(f"{bad}:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("everything", "takes '' for the answer '4'"),
        ("nothing", r"takes none of \['4', '.*boxed\{4\}'\] for the answer '4'; give golds"),
        ("first_of_batch", "grades an answer by what else is in the batch"),
    ],
)
def test_a_grader_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        testing.check_grader(f"{bad}:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other_rows", "gives other questions when it is asked again"),
        ("no_rows", "raised TypeError: 'int' object is not iterable; it gives rows, each a mapp"),
        ("no_columns", "row 0: is tuple, not a mapping; give a row its columns"),
        ("raises", "raised KeyError: 'path'; it gives rows"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_a_source_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        testing.check_source(f"{bad}:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other_weights", "gives other weights at step 9 when it is asked again"),
        ("overwrites", "changes the Gram matrix that it is given; copy it first"),
    ],
)
def test_a_method_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        testing.check_method(f"{bad}:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Deaf", "answers as before with other weights: swap changed nothing"),
        ("Short", "gave 7 completions for 8 requests and told on_progress of 7"),
        ("Dice", "answers the same requests, with their seeds, differently"),
    ],
)
def test_an_engine_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        testing.check_engine(f"{bad}:{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lazy", "left 0 of 3 steps in the window; keep each in relex.training.filling"),
        ("half", "left 1 of 3 steps in the window; keep each in relex.training.filling"),
    ],
)
def test_a_trainer_that_breaks_the_contract_is_told(bad: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        testing.check_trainer(f"{bad}:{name}")
