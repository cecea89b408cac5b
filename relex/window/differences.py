"""What differs between a snapshot and its base, in one line that says how it came about."""

import re
from collections.abc import Mapping

from relex.checkpoints import TensorInfo, check_same_tensors
from relex.errors import WindowError

Infos = Mapping[str, TensorInfo]

OF_ADAPTERS = re.compile(r".*\.(?:base_layer|lora_[AB]|lora_embedding_[AB]|lora_magnitude\w*)\b.*")
FUSED_EXPERTS = re.compile(r".*\.experts\.[a-z_]+")
SINGLE_EXPERTS = re.compile(r".*\.experts\.\d+\..*")
OF_VOCABULARY = re.compile(r".*(?:emb|wte|lm_head|output).*")


def check_same(where: str, found: Infos, expected: Infos) -> None:
    """Raise WindowError unless names and shapes are those of the base."""
    for name in sorted(filter(OF_ADAPTERS.fullmatch, found.keys() - expected.keys())):
        raise WindowError(
            f"{where}: holds adapters that were not merged ({name}); merge them before saving "
            "(PEFT: merge_and_unload), or fit the adapters themselves"
        )
    _check_experts(where, found, expected)
    for name in sorted(found.keys() & expected.keys()):
        _check_shape(f"{where}: {name}", name, found[name], expected[name])
    check_same_tensors(where, found, expected, error=WindowError)


def _check_experts(where: str, found: Infos, expected: Infos) -> None:
    for one, other, how in (
        (FUSED_EXPERTS, SINGLE_EXPERTS, "as one tensor for each layer, the base one by one"),
        (SINGLE_EXPERTS, FUSED_EXPERTS, "one by one, the base as one tensor for each layer"),
    ):
        extra = sorted(filter(one.fullmatch, found.keys() - expected.keys()))
        if extra and any(map(other.fullmatch, expected.keys() - found.keys())):
            raise WindowError(
                f"{where}: holds the experts {how} ({extra[0]}), and transformers does not convert "
                "the one into the other for this base; save both with the same version of it"
            )


def _check_shape(where: str, name: str, found: TensorInfo, expected: TensorInfo) -> None:
    if found.shape == expected.shape:
        return
    num_times, rest = divmod(found.num_elements, max(expected.num_elements, 1))
    if num_times > 1 and rest == 0 and found.shape[1:] == expected.shape[1:]:
        raise WindowError(
            f"{where} is {found}, in the base it is {expected}: {num_times} times as long, as when "
            "a merger joins what every process held whole; merge the shards anew, or pack them as "
            "they are"
        )
    if found.shape[1:] == expected.shape[1:] and OF_VOCABULARY.fullmatch(name):
        raise WindowError(
            f"{where} has {found.shape[0]} rows, in the base {expected.shape[0]}: the vocabulary "
            "was resized; give the base as it was when training began (resize_token_embeddings, "
            "then save_pretrained)"
        )
