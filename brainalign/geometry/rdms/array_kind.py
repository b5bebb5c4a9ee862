"""numpy or torch: the same formulas run on both, and what comes in decides what goes out.

torch is never imported here: a tensor can only come from whoever has imported it.
"""

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import numbers

if TYPE_CHECKING:
    import torch

Kind = TypeVar("Kind", NDArray[Any], "torch.Tensor")


def is_tensor(array: object) -> bool:
    """Return whether an array is one of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def namespace_of(array: object) -> Any:
    """Return torch for tensors, numpy for everything else; the functions used here go by the same names in both."""
    return sys.modules["torch"] if is_tensor(array) else np


def float64_of(array: object, name: str = "the array") -> Any:
    """Return the array in float64, on its device; itself where it is float64 already."""
    return array.double() if is_tensor(array) else as_numpy(array, name)  # type: ignore[attr-defined]


def as_numpy(array: object, name: str = "the array") -> NDArray[Any]:
    """Return an array or tensor as numpy, in float64; masked values are missing ones, NaN."""
    return numbers(name, array, np.float64)


def as_kind_of(array: object, example: object) -> Any:
    """Return an array or tensor in float64 as what `example` is: numpy, or a tensor on its device."""
    if is_tensor(example):
        return namespace_of(example).as_tensor(array, device=example.device).double()  # type: ignore[attr-defined]
    return as_numpy(array)
