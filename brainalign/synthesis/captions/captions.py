"""Weights of voxels as points of an image embedding: averages of the images of a bank that the weights point at.

Weights of an encoder lie off the manifold of embeddings, where no captioner has read; the softmax average does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


class Bank(Protocol):
    """Embeddings of images (n_bank, d): an array, a memory map or a dask array; rows are read as they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_bank, d)"""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return some rows."""


def project_to_bank(
    weights: Values, bank: Bank, temperature: float = 150.0, center: bool = False, chunk: int = 65536
) -> NDArray[np.float64]:
    """Replace every weight vector by an average of the images of a bank, weighted by how well it points at them.

    With ŵ and m̂ at unit length, p_i = softmax_i(T ŵ·m̂_i); the direction is that of Σ p_i m̂_i, the length Σ p_i |m_i|,
    decoded apart because averages of unit vectors are short.

    Parameters
    ----------
    weights : array (d, n_voxels)
        Of an encoder that is linear in embeddings of unit length.
    bank : array (n_bank, d)
        Embeddings of images. Read in chunks, so that it need not fit into memory.
    temperature : float
        T: 0 gives the mean of the bank whatever the weights, infinity the nearest image.
    center : bool
        Measure angles from the mean direction of the bank, for embeddings that crowd around it. Averages are of the
        images as they are.
    chunk : int
        Rows of the bank at once; the result does not depend on it.

    Returns
    -------
    array (n_voxels, d)

    Raises
    ------
    BrainalignError
        If shapes do not match, a weight vector or an image is zero or not finite, or the temperature is negative.

    References
    ----------
    Luo AF, Henderson MM, Tarr MJ, Wehbe L (2024). BrainSCUBA: fine-grained natural language captions of visual cortex
    selectivity. ICLR. arXiv:2310.04420
    """

    def content(_: slice, units: Values, norms: Values) -> Values:
        return np.column_stack([units, norms])  # (n, d + 1)

    sums = _softmax_average(weights, bank, temperature, center, chunk, content)
    direction = sums[:, :-1]
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    # Images that cancel have no mean direction: it stays zero.
    return np.asarray(direction / np.where(length > 0, length, 1) * sums[:, -1:])


def bank_shares(
    weights: Values,
    bank: Bank,
    memberships: NDArray[np.bool_],
    temperature: float = 150.0,
    center: bool = False,
    chunk: int = 65536,
) -> NDArray[np.float64]:
    """Return the share of every voxel's softmax weight that lies on images of a kind.

    Parameters
    ----------
    weights, bank, temperature, center, chunk
        As of `project_to_bank`.
    memberships : array (n_bank, n_kinds) of bool
        Which images are of which kind: red ones, small ones.

    Returns
    -------
    array (n_voxels, n_kinds)

    Raises
    ------
    BrainalignError
        As `project_to_bank`, or if there is not a row of memberships per image.
    """
    if len(memberships) != bank.shape[0]:
        raise BrainalignError(
            f"memberships have {len(memberships)} rows but the bank {bank.shape[0]} images; give one row per image"
        )

    def content(rows: slice, units: Values, norms: Values) -> Values:
        return np.asarray(memberships[rows], dtype=np.float64)

    return _softmax_average(weights, bank, temperature, center, chunk, content)


def _softmax_average(
    weights: Values,
    bank: Bank,
    temperature: float,
    center: bool,
    chunk: int,
    content: Callable[[slice, Values, Values], Values],
) -> NDArray[np.float64]:
    """Return Σ p_i content_i (n_voxels, n_columns) in one pass: sums are rescaled whenever a larger logit turns up."""
    pointing = _checked(weights, bank, temperature, chunk)
    middle = _mean_direction(bank, chunk) if center else np.zeros(len(pointing))
    n_voxels = pointing.shape[1]
    most, total = np.full(n_voxels, -np.inf), np.zeros(n_voxels)
    sums: NDArray[np.float64] | None = None
    for rows, units, norms in _chunks(bank, chunk):
        apart = units - middle
        if center:
            apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)
        cosines = apart @ pointing  # (n, n_voxels)
        columns = content(rows, units, norms)
        if sums is None:
            sums = np.zeros((n_voxels, columns.shape[1]))
        best = cosines.max(axis=0)
        if np.isinf(temperature):  # the first of equally near images
            nearer = best > most
            sums[nearer] = columns[cosines.argmax(axis=0)[nearer]]
            most, total = np.maximum(most, best), np.ones(n_voxels)
            continue
        highest = np.maximum(most, temperature * best)
        kept = np.exp(most - highest)
        shares = np.exp(temperature * cosines - highest)
        sums = sums * kept[:, None] + shares.T @ columns
        total = total * kept + shares.sum(axis=0)
        most = highest
    assert sums is not None
    return sums / total[:, None]


def _checked(weights: Values, bank: Bank, temperature: float, chunk: int) -> NDArray[np.float64]:
    """Return weights at unit length."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or len(bank.shape) != 2 or not bank.shape[0]:
        raise BrainalignError(
            f"weights must be (d, n_voxels) and the bank (n_bank, d); got {weights.shape} and {tuple(bank.shape)}"
        )
    d = bank.shape[1]
    if weights.shape[0] != d:
        turned = weights.shape[1] == d
        remedy = "weights are (d, n_voxels): give weights.T" if turned else "both must be of the same layer"
        raise BrainalignError(f"weights have {weights.shape[0]} rows but embeddings of the bank {d} columns; {remedy}")
    if not temperature >= 0 or chunk < 1:
        raise BrainalignError(f"temperature must be 0 or more and chunk 1 or more; got {temperature} and {chunk}")
    norms = np.linalg.norm(weights, axis=0)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        raise BrainalignError(
            f"the weights of {len(bad)} of {len(norms)} voxels are zero or not finite (first: column {bad[0]}); leave "
            "voxels out that do not vary"
        )
    return np.asarray(weights / norms)


def _chunks(bank: Bank, chunk: int) -> Iterator[tuple[slice, Values, Values]]:
    """Yield rows, unit vectors and norms of every part of the bank."""
    for start in range(0, bank.shape[0], chunk):
        rows = slice(start, min(start + chunk, bank.shape[0]))
        part = np.asarray(bank[rows], dtype=np.float64)
        norms = np.linalg.norm(part, axis=1)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            raise BrainalignError(
                f"{len(bad)} embeddings of the bank are zero or not finite (first: row {start + bad[0]}); leave those "
                "images out"
            )
        yield rows, part / norms[:, None], norms


def _mean_direction(bank: Bank, chunk: int) -> NDArray[np.float64]:
    total = sum(units.sum(axis=0) for _, units, _ in _chunks(bank, chunk))
    return np.asarray(total) / bank.shape[0]
