"""What guidance returns: images, their scores, and how it went step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

__all__ = ["GuidedOutput", "converted"]


@dataclass(frozen=True)
class GuidedOutput:
    """What guidance made: images in [0, 1], their scores (n,), and a row per image and guided step.

    Columns of `trace`: image, step, timestep, score, grad_rms, d_rms (after the trust radius), clipped (whether it
    held), nonfinite (values of the gradient that were set to 0). Scores are NaN without an objective.
    """

    images: Tensor | np.ndarray | list[Any]
    scores: Tensor
    trace: pd.DataFrame | None = None


def converted(images: Tensor, output_type: str) -> Tensor | np.ndarray | list[Any]:
    """Return images (n, 3, H, W) in [0, 1] as they are ("pt"), as an array (n, H, W, 3) ("np"), or pictures ("pil")."""
    if output_type == "pt":
        return images
    from diffusers.utils.pil_utils import numpy_to_pil

    arrays = images.cpu().permute(0, 2, 3, 1).numpy()
    pictures: list[Any] = numpy_to_pil(arrays) if output_type == "pil" else []
    return pictures if output_type == "pil" else arrays
