from collections.abc import Callable

import pytest
import torch

from relex.config import Recipe
from relex.errors import InputError, RecipeError, ResourceError
from relex.evaluation.engine_places import NUMBER, UNBOUND, engine_places

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv(NUMBER, raising=False)


def gpus_of(recipe: Recipe) -> list[str]:
    return [place["CUDA_VISIBLE_DEVICES"] for place in engine_places("cuda", recipe.evaluation)]


def test_every_gpu_has_an_engine(toy_recipe: MakeRecipe, four_gpus: None) -> None:
    assert gpus_of(toy_recipe()) == ["0", "1", "2", "3"]


def test_an_engine_may_take_several_gpus(toy_recipe: MakeRecipe, four_gpus: None) -> None:
    assert gpus_of(toy_recipe(tensor_parallel_size=2)) == ["0,1", "2,3"]
    assert gpus_of(toy_recipe(tensor_parallel_size=3)) == ["0,1,2"]


def test_gpus_keep_the_names_that_this_process_has_for_them(
    toy_recipe: MakeRecipe, four_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,5,7")
    assert gpus_of(toy_recipe(tensor_parallel_size=2)) == ["GPU-a,GPU-b", "5,7"]


def test_fewer_engines_can_be_asked_for(
    toy_recipe: MakeRecipe, four_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NUMBER, "3")
    assert gpus_of(toy_recipe()) == ["0", "1", "2"]
    assert gpus_of(toy_recipe(tensor_parallel_size=2)) == ["0,1", "2,3"]


def test_the_cpu_has_one_engine_unless_more_are_asked_for(
    toy_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NUMBER, raising=False)
    assert engine_places("cpu", toy_recipe().evaluation) == [{}]
    monkeypatch.setenv(NUMBER, "2")
    assert engine_places("cpu", toy_recipe().evaluation) == [UNBOUND, UNBOUND]


def test_an_engine_that_needs_more_gpus_than_there_are_is_refused(
    toy_recipe: MakeRecipe, four_gpus: None
) -> None:
    with pytest.raises(ResourceError, match="tensor_parallel_size: 8, but this process sees 4 GPU"):
        gpus_of(toy_recipe(tensor_parallel_size=8))


@pytest.mark.parametrize("stated", ["0", "two", "", "-1"])
def test_a_number_of_engines_that_is_none_is_refused(
    toy_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    monkeypatch.setenv(NUMBER, stated)
    with pytest.raises(InputError, match=f"RELEX_ENGINES: '{stated}' is no number of engines"):
        engine_places("cpu", toy_recipe().evaluation)


def test_a_transformers_engine_takes_one_gpu(toy_recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match="tensor_parallel_size: 2 is for vLLM"):
        toy_recipe(engine="transformers", tensor_parallel_size=2)
