import torch

from relex.evaluation.checksums import OUTSIDE, LayerSums


def sums_of(tensors: dict[str, torch.Tensor]) -> LayerSums:
    sums = LayerSums()
    assert dict(sums.passing(tensors.items())) == tensors
    return sums


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed": (10, 8), "layers.0.q": (8, 8), "layers.0.k": (4, 8), "layers.1.up": (16, 8)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_joined_and_padded_tensors_have_the_sums_of_their_parts() -> None:
    given = {f"model.{name}": tensor for name, tensor in weights(0).items()}
    joined = torch.cat([given["model.layers.0.q"], given["model.layers.0.k"]])
    held = {
        "embedding.weight": torch.cat([given["model.embed"], torch.zeros(6, 8)]),
        "model.layers.0.attention.qkv": joined,
        "model.layers.1.mlp.up": given["model.layers.1.up"],
    }
    assert sums_of(given).unlike(held.items()) == set()


def test_a_layer_is_unlike_when_one_bit_of_it_differs() -> None:
    given = {f"model.{name}": tensor for name, tensor in weights(0).items()}
    held = {name: tensor.clone() for name, tensor in given.items()}
    held["model.layers.1.up"].view(torch.int32)[3, 5] ^= 1
    assert sums_of(given).unlike(held.items()) == {"1"}


def test_what_is_in_no_layer_and_what_is_lacking_are_found() -> None:
    given = {f"model.{name}": tensor for name, tensor in weights(0).items()}
    held = {name: tensor for name, tensor in given.items() if ".1." not in name}
    held["model.embed"] = weights(1)["embed"]
    assert sums_of(given).unlike(held.items()) == {"1", OUTSIDE}


def test_sizes_that_fill_no_whole_words_and_strides_count() -> None:
    odd = {"a": torch.arange(7).bfloat16(), "b": torch.randn(5, 3).bfloat16()[1:]}
    assert sums_of(odd).unlike(odd.items()) == set()
    turned = torch.randn(4, 6)
    assert sums_of({"a": turned.T}).unlike([("a", turned.T.contiguous())]) == set()
    other = {**odd, "b": odd["b"].clone()}
    other["b"][-1, -1] += 1
    assert sums_of(odd).unlike(other.items()) == {OUTSIDE}
