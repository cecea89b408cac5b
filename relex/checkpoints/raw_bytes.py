"""The bytes of a tensor, whatever its strides say."""

import torch


def raw_bytes(elements: torch.Tensor) -> torch.Tensor:
    """The bytes of contiguous elements: flat, uint8, on their device, and the same memory.

    torch counts a tensor of one element as contiguous whatever its stride is, and then refuses to
    view it as bytes; so the stride is set.
    """
    assert elements.is_contiguous()
    flat = elements.detach().as_strided((elements.numel(),), (1,))
    return flat.view(torch.uint8)
