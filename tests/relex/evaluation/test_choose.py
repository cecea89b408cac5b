from collections.abc import Callable

import pytest

from relex.checkpoints import TOY_BASE
from relex.config import Recipe
from relex.errors import ResourceError
from relex.evaluation import choose
from relex.evaluation.choose import build_engine
from relex.evaluation.engine import EngineConfig
from relex.evaluation.weight_source import WeightSource


@pytest.fixture
def make_config(toy_recipe: Callable[..., Recipe]) -> Callable[[str], EngineConfig]:
    def make(engine: str) -> EngineConfig:
        source = WeightSource(base=str(TOY_BASE))
        evaluation = toy_recipe(engine=engine).evaluation
        return EngineConfig(source=source, evaluation=evaluation, dtype="bfloat16", device="cpu")

    return make


@pytest.fixture
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choose.DISTRIBUTIONS, "cpu", "relex-no-such-distribution")


def test_without_vllm_auto_takes_transformers_and_says_so(
    make_config: Callable[[str], EngineConfig],
    no_vllm: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build_engine(make_config("auto")).name.startswith("transformers ")
    line = capsys.readouterr().out
    assert line.startswith("no vLLM for cpu is installed (pip install 'relex[cpu]')")


def test_vllm_that_is_asked_for_must_be_installed(
    make_config: Callable[[str], EngineConfig], no_vllm: None
) -> None:
    with pytest.raises(ResourceError, match=r"evaluation.engine vllm: no vLLM for cpu"):
        build_engine(make_config("vllm"))
