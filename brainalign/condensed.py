"""RDMs in the one form that everything here computes with: pairs of stimuli in a row, the row-major upper triangle.

A square matrix is one RDM, never a stack of rows: (78, 78) would else be 78 RDMs of 13 stimuli, without a word.
"""

import math

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows, numbers

SLACK = 1e-3  # of the largest entry: what distances in float32 leave of a zero diagonal and of symmetry


def condensed_rdms(
    name: str, rdms: object, *axes: str, any_axes: bool = False, some_pairs: bool = False
) -> NDArray[np.float64]:
    """Return RDMs as rows of pairs, from rows of pairs or square matrices: the form in which every function takes them.

    Matrices are square RDMs where they are symmetric with a diagonal of zeros (or NaN); NaN elsewhere is a missing
    pair. Rows of pairs that happen to be as many as they are long are neither, unless all of them are equal.

    Parameters
    ----------
    name : str
        What messages call them.
    rdms : array (..., n_pairs) or (..., n_stimuli, n_stimuli), or nested lists
    *axes : str
        Names of the leading axes: none for one RDM, "n_subjects" for a stack, in which one RDM alone is a stack of one.
    any_axes : bool
        Take any leading axes.
    some_pairs : bool
        Rows may be of some of the pairs, such as those between categories, so of any length.

    Returns
    -------
    array (..., n_pairs), float64

    Raises
    ------
    BrainalignError
        If the number of pairs is that of no set of stimuli, the axes are others, or a matrix is symmetric but of
        similarities, or filled on one side of its diagonal only, or only some of several matrices are RDMs.
    """
    values: NDArray[np.float64] = numbers(name, rdms, np.float64)
    shape = values.shape
    if values.ndim >= 2 and values.shape[-1] == values.shape[-2] >= 2 and _are_square(name, values):
        values = values[..., *np.triu_indices(values.shape[-1], 1)]
    if values.ndim == 0:
        raise BrainalignError(f"{name} is a single number; give the dissimilarities of every pair of stimuli")
    if not some_pairs or (values.ndim > 1 and values.shape[-1] == values.shape[-2]):
        turned = " (do subjects stand behind pairs? turn it)" if len(shape) == 2 and shape[0] > shape[1] else ""
        n_stimuli_of(values.shape[-1], f"{name} of shape {shape}{turned}: ")
    if any_axes:
        return values
    if values.ndim <= 1 + len(axes) <= 2:
        values = values.reshape(*[1] * (len(axes) + 1 - values.ndim), *values.shape)
    elif not axes and values.shape[:-1] == (1,):
        values = values[0]
    if values.ndim != 1 + len(axes):
        leading = "".join(f"{axis}, " for axis in axes)
        raise BrainalignError(
            f"{name} has shape {shape}; give ({leading}n_pairs), or square matrices ({leading}n_stimuli, n_stimuli)"
        )
    return values


def check_pairs(name_a: str, rdms_a: Values, name_b: str, rdms_b: Values) -> None:
    """Raise unless two stacks of RDMs (..., n_pairs) have as many pairs."""
    remedy = "both need the pairs of the same stimuli"
    check_rows(name_a, rdms_a.shape[-1], name_b, rdms_b.shape[-1], remedy, "pairs")


def check_not_infinite(*stacks: Values) -> None:
    """Raise where a dissimilarity is infinite, which would pass for a missing one."""
    if n_infinite := sum(int(np.isinf(rdms).sum()) for rdms in stacks):
        raise BrainalignError(f"{n_infinite} dissimilarities are infinite; set them to NaN if they are missing")


def _are_square(name: str, values: Values) -> bool:
    """Return whether matrices (..., n, n) are square RDMs."""
    flat = values.reshape(-1, *values.shape[-2:])
    finite = np.isfinite(flat)
    size = np.where(finite, np.abs(np.where(finite, flat, 0)), 0).max(axis=(1, 2))
    varied = np.array([bool(here.any()) and np.ptp(one[here]) > 0 for one, here in zip(flat, finite, strict=True)])
    slack = (SLACK * size)[:, None]
    diagonal = np.diagonal(flat, axis1=1, axis2=2)
    on_zero = (~(np.abs(diagonal) > slack)).all(axis=1)  # NaN is as good
    swapped = np.swapaxes(flat, 1, 2)
    with np.errstate(invalid="ignore"):
        same = (flat == swapped) | (np.isnan(flat) & np.isnan(swapped)) | (np.abs(flat - swapped) <= slack[..., None])
    symmetric = same.all(axis=(1, 2)) & varied
    found, n = symmetric & on_zero, values.shape[-1]
    if (symmetric & ~on_zero).any() and n > 3:
        first = diagonal[symmetric & ~on_zero][0]
        raise BrainalignError(
            f"{name} of shape {values.shape} is symmetric, but its diagonal is {first[np.argmax(np.abs(first))]:.3g}, "
            "not 0: similarities? Give dissimilarities, such as 1 - r"
        )
    blank = ~np.nan_to_num(flat).any(axis=(1, 2))
    below, above = (
        ~np.nan_to_num(flat[:, *side]).any(axis=1) for side in (np.tril_indices(n, -1), np.triu_indices(n, 1))
    )
    if (on_zero & (below | above) & ~blank).any() and n > 3:
        raise BrainalignError(
            f"{name} of shape {values.shape} is filled on one side of its diagonal only; add the transposed matrix, "
            "or give that triangle as a row of pairs"
        )
    if found.any() and not (found | ~varied).all():
        raise BrainalignError(
            f"{name} of shape {values.shape}: {int(found.sum())} of {len(flat)} matrices are symmetric with a diagonal "
            f"of 0, {int((~found & varied).sum())} are not; give symmetric matrices, or rows of pairs"
        )
    return bool(found.any())


def n_stimuli_of(n_pairs: int, where: str = "") -> int:
    """Compute the number of stimuli that have that many pairs.

    `where` is what the message begins with.
    """
    n = round((1 + math.sqrt(1 + 8 * n_pairs)) / 2)
    if n * (n - 1) // 2 != n_pairs:
        raise BrainalignError(
            f"{where}{n_pairs} is not a number of pairs; {n} stimuli have {n * (n - 1) // 2}. Matrices must be "
            "symmetric with a diagonal of 0"
        )
    return n


def square_rdms(rdms: Values) -> Values:
    """Return (..., n_stimuli, n_stimuli) symmetric matrices with zeros on the diagonal."""
    rdms = condensed_rdms("rdms", rdms, any_axes=True)
    n = n_stimuli_of(rdms.shape[-1])
    i, j = np.triu_indices(n, 1)
    square = np.zeros((*rdms.shape[:-1], n, n))
    square[..., i, j] = square[..., j, i] = rdms
    return square


def exchanged_rdms(rdm: Values, orders: NDArray[np.intp]) -> Values:
    """Return an RDM (n_pairs,) with its stimuli in every one of the orders, (n_orders, n_pairs).

    Whole rows are taken, then columns: pairs one by one would take three to eight times as long.
    """
    square = square_rdms(rdm)
    upper = np.ravel_multi_index(np.triu_indices(len(square), 1), square.shape)
    found = np.empty((len(orders), len(upper)))
    for row, order in zip(found, orders, strict=True):
        np.take(square.take(order, axis=0).take(order, axis=1), upper, out=row, mode="clip")  # else numpy buffers
    return found
