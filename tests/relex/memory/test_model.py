"""A model in numbers, from its config alone."""

import pytest
from peft import LoraConfig, get_peft_model

from relex.errors import CheckpointError
from relex.memory import read_model


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_config_tells_how_many_parameters_a_model_has(tiny, kind, tied):
    model, numbers = tiny(kind, tied=tied)
    assert numbers.num_parameters == sum(weight.numel() for weight in model.parameters())
    assert numbers.num_vocabulary_parameters == (1 if tied else 2) * 96 * 128
    layer = sum(weight.numel() for weight in model.model.layers[0].parameters())
    assert numbers.num_layer_parameters == pytest.approx(layer, rel=0.001)
    assert numbers.has_query_norm == (kind == "qwen3")


@pytest.mark.parametrize("targets", [(), ("q_proj", "v_proj")])
def test_adapters_have_as_many_parameters_as_peft_makes(tiny, targets):
    model, numbers = tiny("qwen3")
    config = LoraConfig(r=8, target_modules=list(targets) or "all-linear", task_type="CAUSAL_LM")
    trained = get_peft_model(model, config).get_nb_trainable_parameters()[0]
    assert numbers.num_adapter_parameters(8, targets) == trained


def test_a_base_of_which_no_model_can_be_made_is_told(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of-tomorrow"}')
    with pytest.raises(CheckpointError, match=r"no model can be made of it: .*of-tomorrow"):
        read_model(str(tmp_path))
