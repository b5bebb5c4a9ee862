"""Which tensors the Triton kernels serve; everything else is computed in plain torch."""

from importlib.util import find_spec

import torch


def served(*tensors: torch.Tensor) -> bool:
    """Say whether all are float32 (or int16) on one NVIDIA GPU the kernels are made for, and Triton is here.

    They are made for data-centre cards from Hopper on: others have less shared memory than a product takes.
    """
    first = tensors[0]
    return (
        first.is_cuda
        and torch.version.hip is None
        and all(t.device == first.device and t.dtype in (torch.float32, torch.int16) for t in tensors)
        and find_spec("triton") is not None
        and torch.cuda.get_device_capability(first.device) in ((9, 0), (10, 0), (10, 3))
    )
