"""Units in which features and targets are computed with: powers of two, which cost no digit and move no rounding.

Squares of tesla, or of counts, leave the range of float32. In units of about their own size they cannot; penalties are
in squares of the unit of the features, coefficients in units of targets over units of features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

# Within 2 to plus or minus this power, singular values of features and ranges of targets stay as they are.
ORDINARY = 30
MOST = 100  # float32 ends at 2 ** 127; the rest is for sizes within one target


def unit_of(singular: torch.Tensor) -> float:
    """Return the unit of features with these singular values: between the largest and smallest, 1 for ordinary ones."""
    above = singular[singular > 0]
    if not len(above):
        return 1.0
    ends = _exponents(torch.stack([above.min(), above.max()]))
    return 1.0 if np.abs(ends).max() <= ORDINARY else float(np.ldexp(1.0, ends.sum() // 2))


def units_of(ranges: torch.Tensor) -> torch.Tensor | None:
    """Return the unit of every target (n_targets,) in float64, or None where each is 1.

    Parameters
    ----------
    ranges : tensor (n_targets,)
        Largest value minus smallest.
    """
    exponents = _exponents(ranges)
    ordinary = np.abs(exponents) <= ORDINARY
    return None if ordinary.all() else torch.from_numpy(np.ldexp(1.0, np.where(ordinary, 0, exponents)))


def _exponents(sizes: torch.Tensor) -> NDArray[np.int32]:
    return np.asarray(np.frexp(sizes.double().cpu().numpy())[1])


def rescale_coefficients(coef: torch.Tensor, units: torch.Tensor | None, unit: float) -> None:
    """Bring coefficients (n_targets, ...) to the units of the data, in place.

    Parameters
    ----------
    coef : tensor (n_targets, ...)
    units : tensor (n_targets,), optional
        Of the targets.
    unit : float
        Of the features.

    Raises
    ------
    BrainalignError
        If they leave the range of float32.
    """
    if units is None and unit == 1:
        return
    ratio = (torch.ones(len(coef), dtype=torch.float64) if units is None else units) / unit
    if coef.dtype == torch.float32 and bool((torch.frexp(ratio)[1].abs() > MOST).any()):
        sizes = f"{float(ratio.min()):.0e} to {float(ratio.max()):.0e}"
        raise BrainalignError(
            f"coefficients of about {sizes} (units of targets over features) leave the range of float32; give "
            'dtype="float64", or scale features or targets'
        )
    coef.mul_(ratio.to(coef).reshape(-1, *[1] * (coef.ndim - 1)))
