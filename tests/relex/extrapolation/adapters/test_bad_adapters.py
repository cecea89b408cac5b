"""Adapters that cannot be fitted, each with its message; nothing is left behind."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relex.errors import FactorsError, WindowError
from relex.extrapolation import open_factors, write_adapter
from relex.extrapolation.factors import PRODUCTS_FILE
from relex.window import open_source, open_window

ADAPTER = "adapter_model.safetensors"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def edit_config(folder: Path, step: int, **values: object) -> None:
    path = folder / f"checkpoint-{step}" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"use_dora": True}, "use_dora is True: DoRA rescales"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"init_lora_weights": "pissa"}, "'pissa', which changes the base"),
        ({"peft_type": "IA3"}, "peft_type is IA3; only LORA"),
        ({"r": "many"}, "is no config of a LoRA adapter"),
        ({"r": -1}, "r Input should be greater than 0"),
        ({"lora_alpha": 0}, "lora_alpha is 0, which verl's merger writes"),
        ({"lora_alpha": math.nan}, "lora_alpha Input should be a finite number"),
        ({"lora_alpha": 10**400}, "is no config of a LoRA adapter"),
        (
            {"rank_pattern": {"q_proj(": 8}},
            r"rank_pattern.*'q_proj\(' is no regular expression: mis",
        ),
        ({"rank_pattern": {"[": 8}}, "rank_pattern.*is no regular expression"),
        ({"rank_pattern": {"q{2,1}": 8}}, "rank_pattern.*is no regular expression"),
        ({"rank_pattern": {"q{99999999999}": 8}}, "rank_pattern.*is no regular expression"),
        ({"rank_pattern": {"(?P<a>x)(?P<a>y)": 8}}, "rank_pattern.*is no regular expression"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj Input should be greater than 0"),
        ({"rank_pattern": ["q_proj"]}, "is no config of a LoRA adapter"),
        ({"alpha_pattern": {"*q": 8}}, "alpha_pattern.*is no regular expression: nothing to rep"),
        ({"alpha_pattern": {"q": math.inf}}, "alpha_pattern.q Input should be a finite number"),
        ({"lora_alpha": 7}, "the adapter config of step 4 differs from that of step 2"),
    ],
)
def test_adapters_that_are_no_plain_products_are_refused(broken, base, values, message) -> None:
    edit_config(broken, 4, **values)
    with pytest.raises(WindowError, match=message):
        open_window(str(broken), base=base)


def change(folder: Path, edit) -> None:
    path = folder / "checkpoint-4" / ADAPTER
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


FIRST_A = f"base_model.model.{QUERY.removesuffix('.weight')}.lora_A.weight"


def edit_all(folder: Path, edit) -> None:
    for path in folder.glob(f"checkpoint-*/{ADAPTER}"):
        tensors = load_file(path)
        edit(tensors)
        save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop(FIRST_A), "has only one of A and B"),
        (lambda t: t.update({FIRST_A: t[FIRST_A][:, :5].clone()}), "does not fit its shape in the"),
        (lambda t: t.update({FIRST_A: t[FIRST_A][:2].clone()}), "has 2 rows, .* says rank 4"),
        (
            lambda t: t.update({"base_model.model.x.weight": torch.ones(3)}),
            "adapts x.weight",
        ),
        (lambda t: [t.pop(key) for key in list(t) if "lora" in key], "hold no lora_A and lora_B"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(broken, base, edit, message) -> None:
    edit_all(broken, lambda t: (edit(t), t.update({} if t else {"extra": torch.ones(1)})))
    with pytest.raises(WindowError, match=message):
        open_window(str(broken), base=base)


def test_steps_that_differ_are_refused(broken, base) -> None:
    change(broken, lambda t: t.pop(FIRST_A))
    with pytest.raises(WindowError, match=r"step 4: lacks .*lora_A\.weight, which step 2 has"):
        open_window(str(broken), base=base)


def test_an_adapter_that_is_not_finite_is_named_and_nothing_is_left(
    fit, broken, base, tmp_path
) -> None:
    change(broken, lambda t: t[FIRST_A].fill_(float("nan")))
    with pytest.raises(WindowError, match=r"step 4: the adapter of .* has values that are not"):
        fit(broken, base, tmp_path / "out" / "factors")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_pickled_adapter_is_refused(broken, base) -> None:
    (broken / "checkpoint-4" / ADAPTER).rename(broken / "checkpoint-4" / "adapter_model.bin")
    with pytest.raises(WindowError, match=r"has no adapter_model\.safetensors; relex reads"):
        open_window(str(broken), base=base)


def test_adapters_need_their_base(adapters_of) -> None:
    with pytest.raises(WindowError, match="holds LoRA adapters; give the base"):
        open_window(str(adapters_of("plain")))


def test_factors_of_checkpoints_make_no_adapter(lab, tmp_path) -> None:
    base = lab.base({"w": torch.zeros(4)})
    factors = lab.fit({s: {"w": torch.full((4,), float(s))} for s in (1, 2)}, base)
    with pytest.raises(FactorsError, match="was not fitted on adapters; predict a checkpoint"):
        write_adapter(factors, base, 40, tmp_path / "adapter", 4)


def test_damaged_products_are_named(fit, adapters_of, base, tmp_path) -> None:
    fit(adapters_of("plain"), base, tmp_path / "factors")
    path = tmp_path / "factors" / PRODUCTS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FactorsError, match=r"products\.safetensors: has .* bytes, its manifest"):
        open_factors(tmp_path / "factors")


def test_adapters_are_not_packed(adapters_of, tmp_path) -> None:
    with pytest.raises(WindowError, match="holds LoRA adapters, which are small as they are"):
        open_source(str(adapters_of("plain")), None, tmp_path)
