"""Fewer dimensions: a random projection that needs no data, and principal components of the training rows."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from brainalign.arrays import BLOCK_BYTES, StoredArray, flatten_rows, map_rows, real_values, row_blocks, take_rows
from brainalign.checks import BrainalignError, check_finite


class SparseProjection:
    """Very sparse random projection: linear, the same for every row, so that it can run while features stream.

    Entries are 0 with probability 1 − s and ±√(1 / (s n_components)) else, with density s = 1/√n_features, which
    keeps squared distances in expectation. The matrix is that of scikit-learn's `SparseRandomProjection`.

    Parameters
    ----------
    n_features, n_components : int
        Before and after.
    seed : int

    References
    ----------
    Achlioptas D (2003). Database-friendly random projections. J Comput Syst Sci. doi:10.1016/S0022-0000(03)00025-4
    Li P, Hastie TJ, Church KW (2006). Very sparse random projections. KDD. doi:10.1145/1150402.1150436
    """

    def __init__(self, n_features: int, n_components: int, seed: int = 0) -> None:
        if not 0 < n_components <= n_features:
            raise BrainalignError(f"cannot project {n_features} features onto {n_components}; choose fewer components")
        self.n_features = n_features
        self.n_components = n_components
        self.seed = seed

    @cached_property
    def components_(self) -> Tensor:
        """The sparse matrix (n_components, n_features)."""
        from sklearn.random_projection import SparseRandomProjection

        fitted = SparseRandomProjection(self.n_components, random_state=self.seed).fit(np.zeros((1, self.n_features)))
        matrix = fitted.components_.tocoo()
        places = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
        return torch.sparse_coo_tensor(
            places, torch.from_numpy(matrix.data), matrix.shape, check_invariants=True
        ).coalesce()

    def __call__(self, values: Tensor) -> Tensor:
        """Return (..., n_components) for values (..., n_features); differentiable."""
        if values.shape[-1] != self.n_features:
            raise BrainalignError(f"the projection takes {self.n_features} features; got {values.shape[-1]}")
        rows = values.reshape(-1, self.n_features)
        projected: Tensor = torch.sparse.mm(self.components_.to(rows), rows.T).T
        return projected.reshape(*values.shape[:-1], self.n_components)


class PCA:
    """Principal components of given rows, which must be training rows: test rows never take part in the fit.

    Rows in a file are read in blocks; in memory are the products of rows or of features, whichever are fewer.

    Attributes
    ----------
    mean_ : array (n_features,)
    components_ : array (n_components, n_features)
        Orthonormal, by descending variance; the largest weight of each is positive.
    explained_variance_ratio_ : array (n_components,)

    Examples
    --------
    >>> reduced = PCA(50).fit(values, rows=train_rows).transform(values)
    """

    mean_: NDArray[np.float64]
    components_: NDArray[np.float64]
    explained_variance_ratio_: NDArray[np.float64]

    def __init__(self, n_components: int) -> None:
        self.n_components = n_components

    def fit(self, values: Any, *, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "PCA":
        """Fit to `values[rows]`, values (n_stimuli, n_features).

        Raises
        ------
        BrainalignError
            If the values are not finite, or the rows cannot give so many components.
        """
        values = real_values("values", values)
        train = take_rows(values, rows)
        if train.ndim != 2:
            raise BrainalignError(f"PCA takes values (n_stimuli, n_features); got the shape {values.shape}")
        n_rows, n_features = train.shape
        most = min(n_rows - 1, n_features)
        if not 0 < self.n_components <= most:
            raise BrainalignError(
                f"{n_rows} training rows of {n_features} features give at most {most} components; "
                f"got n_components = {self.n_components}"
            )
        self.mean_ = moments(train)[0]
        check_finite("the mean of the training rows", self.mean_, "drop the stimuli or the layer")
        products = np.zeros((min(train.shape),) * 2)
        for block in self._blocks(train):
            products += block.T @ block
        largest = (len(products) - self.n_components, len(products) - 1)
        variances, axes = (found[..., ::-1] for found in eigh(products, subset_by_index=largest))
        if n_rows < n_features:
            axes = np.linalg.qr(np.concatenate([block @ axes for block in self._blocks(train)]))[0]
        self.components_ = (axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(self.n_components)])).T
        self.explained_variance_ratio_ = np.maximum(variances, 0) / np.trace(products)
        return self

    def _blocks(self, train: Any) -> Iterator[NDArray[np.float64]]:
        """Yield centred rows, or columns where those are more, as rows of blocks."""
        at_once = max(1, BLOCK_BYTES // (8 * min(train.shape)))
        for first in range(0, max(train.shape), at_once):
            some, wide = slice(first, first + at_once), train.shape[0] < train.shape[1]
            yield (train[:, some] - self.mean_[some]).T if wide else train[some] - self.mean_

    def transform(self, values: Any) -> NDArray[np.floating]:
        """Return the scores (n_stimuli, n_components), in the type of `values`; floats of integers."""
        values = real_values("values", values)
        dtype = values.dtype if np.issubdtype(values.dtype, np.floating) else np.dtype(np.float32)
        return map_rows(lambda block: ((block - self.mean_) @ self.components_.T).astype(dtype), values)


TOTAL_VARIANCE = 1000.0  # of a standardised layer
AT_ONCE = 2**22  # bytes of float64 that moments are taken of, about what caches hold


def layer_inputs(
    values: Any,
    train: NDArray[np.intp],
    *,
    n_components: int | None = None,
    standardize: bool = True,
    maps: bool = False,
) -> Any:
    """Return features (n_trials, n_inputs), centred on the training rows; every layer has the same total variance.

    Layers of 20 and of 20,000 features then need the same penalties, and no layer wins by its scale. Pooled features
    are z-scored one by one; places of `maps` keep their own variance, which is next to 0 at empty borders.

    Parameters
    ----------
    values : array (n_trials, ...)
        Those of a stored array stay in the file, where they are not reduced, and are scaled as they are read.
    train : array of row numbers
        That principal components, means and variances are of.
    n_components : int, optional
        Of the principal components that take the place of features; all features where there are no more.
    standardize : bool
        False: neither centred nor scaled.

    Examples
    --------
    >>> layer_inputs(np.random.default_rng(0).normal(size=(20, 8, 3)), np.arange(15), n_components=4).shape
    (20, 4)
    """
    flat = flatten_rows(values)
    if n_components is not None and n_components < flat.shape[1]:
        flat = PCA(n_components).fit(flat, rows=train).transform(flat)
        maps = True  # components keep their own variance too
    if not standardize:
        return flat
    mean, variance = moments(take_rows(flat, train))
    factor = np.ones_like(variance)
    if not maps:
        spread = np.sqrt(variance)
        factor = np.where(spread > 1e-6 * spread.max(), 1 / np.where(spread > 0, spread, 1), 0)
    total = float(variance @ factor**2)
    factor *= np.sqrt(TOTAL_VARIANCE / total) if total else 1
    dtype = np.result_type(flat.dtype, np.float32)
    mean, factor = mean.astype(dtype), factor.astype(dtype)
    if isinstance(flat, StoredArray):
        return replace(flat, standard=(mean, factor))
    flat = flat - mean
    flat *= factor
    return np.asarray(flat, dtype=np.float32)


def moments(values: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and variance of each column, a few rows at a time; about the first row constants have exactly 0."""
    first = np.asarray(values[0], dtype=np.float64)
    total, squares = np.zeros((2, len(first)))
    for rows in row_blocks(values, AT_ONCE):
        about = values[rows] - first
        total += about.sum(axis=0)
        squares += np.einsum("nf,nf->f", about, about)
    mean = total / len(values)
    return first + mean, np.maximum(squares / len(values) - mean**2, 0)
