"""Features in their principal axes: the decomposition that every fold, penalty and target shares.

Rotated and scaled to orthonormal columns, features lose nothing to float32 when they meet the targets, however
ill-conditioned they were; X'Y in float32 would lose half the digits of the condition number of X'X.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from brainalign.kernels import eigh, lower_gram, product
from brainalign.regression.delays import DelayedRows, Rows
from brainalign.regression.inputs import StoredRows, unit_of, weighed
from brainalign.regression.threads import in_threads, side_by_side, threads_for

Solver = Literal["auto", "primal", "dual"]

# Up to this ratio of the largest eigenvalue to the smallest, eigenvectors in float32 move no score by more than 5e-6.
BENIGN = 100.0
SMALL = 0.01  # share of smaller eigenvalues that are found apart
STEPS = 6  # of power iteration, by which the largest eigenvalue is known to some percent
# Below this share of the largest eigenvalue, float64 no longer knows the squares of singular values to 1e-5.
SQUARED = 1e-10
CHUNK = 2**20  # values of the features in float64 at once: 8 MB, near what caches hold
LEAST = 256  # rows
ASKED = 100  # of fewer columns, float64 finds eigenvectors before it is known whether float32 would do
WIDER = 4  # times are pieces of columns in a file, which reads whole pages of every row
ILL_CONDITIONED = (
    "the features are so ill-conditioned that X'X loses digits at the smallest alpha; they are decomposed by SVD, "
    "which is slower. Scale the features, or leave out alphas so small"
)


@dataclass(frozen=True)
class Rotation:
    """Centred features as rows · diag(singular) · axes'.

    Attributes
    ----------
    mean : tensor (n_features,), float64
    axes : tensor (n_features, rank)
        Orthonormal columns, work dtype.
    singular : tensor (rank,), float64
    rows : tensor (n_rows, rank)
        Orthonormal columns, work dtype.
    method : {"gram", "svd"}
        How it was found; "svd" where the eigenvalues of X'X span more than float64 can hold.
    benign : bool
        Whether float32 eigenvectors suffice for this spectrum.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    singular: torch.Tensor
    rows: torch.Tensor
    method: Literal["gram", "svd"]
    benign: bool


def rotate(
    features: Rows, smallest_alpha: float, solver: Solver, dtype: torch.dtype, roots: torch.Tensor | None = None
) -> Rotation:
    """Decompose centred features through X'X or XX', whichever is smaller, or by SVD where squaring loses too much.

    Parameters
    ----------
    features : tensor or delayed rows (n_rows, n_features)
    smallest_alpha : float
        Smallest penalty to come: directions far below it need no digits.
    solver : {"auto", "primal", "dual"}
    dtype : torch.dtype
        Of the rows and axes.
    roots : tensor (n_rows,), float64, optional
        Roots of the weights of rows, by which their mean goes and they are multiplied.
    """
    n, p = features.shape
    roots = None if roots is None else roots.to(features.device)
    mean, primal = column_means(features, roots), by_columns(n, p, solver)
    gram = centred_gram(features, mean, roots, primal=primal)
    with threads_for(n, p):
        found = principal(gram, (n, p), smallest_alpha, dtype, primal=primal)
        if found is None:
            warnings.warn(ILL_CONDITIONED, RuntimeWarning, stacklevel=3)
            return by_svd(features, mean, dtype, roots)
    unit = unit_of(found.singular)
    other = torch.empty((n if primal else p, len(found.singular)), dtype=dtype, device=features.device)

    def rotate_piece(where: slice) -> None:
        piece = _centred(features, mean, roots, where, primal=primal)
        piece = piece if unit == 1 else piece.div_(unit)
        other[where] = product(piece.to(found.scaled), found.scaled).to(dtype)

    in_threads(rotate_piece, _pieces(features, primal=primal), features.device, (n, p))
    vectors = found.vectors.to(dtype)
    rows, axes = (other, vectors) if primal else (vectors, other)
    return Rotation(mean, axes, found.singular, rows, "gram", found.benign)


def centred_gram(features: Rows, mean: torch.Tensor, roots: torch.Tensor | None, *, primal: bool) -> torch.Tensor:
    """Return the lower triangle of X'X (primal) or XX' of features less their mean, in float64."""
    if isinstance(features, DelayedRows) and not primal:
        padded = features.padded
        return features.products(centred_gram(padded, column_means(padded, None), None, primal=False), roots)
    n, p = features.shape
    size = p if primal else n

    def products(some: Sequence[slice]) -> torch.Tensor:
        total = torch.zeros((size, size), dtype=torch.float64, device=features.device)
        for where in some:
            lower_gram(_centred(features, mean, roots, where, primal=primal), total)
        return total

    pieces = _pieces(features, primal=primal)
    n_shares = side_by_side(len(pieces), (n, p), 8 * size**2, features.device)
    ends = [len(pieces) * i // n_shares for i in range(n_shares + 1)]
    gram, *others = in_threads(products, [pieces[a:b] for a, b in pairwise(ends)], features.device, (n, p))
    while others:
        gram += others.pop()
    return gram


def _pieces(features: Rows, *, primal: bool) -> list[slice]:
    """Divide the rows or, dual, the columns, which are the rows of what is multiplied."""
    length, size = features.shape if primal else features.shape[::-1]
    step = piece_rows(size) * (WIDER if isinstance(features, StoredRows) and not primal else 1)
    return [slice(start, start + step) for start in range(0, length, step)]


def _centred(
    features: Rows, mean: torch.Tensor, roots: torch.Tensor | None, where: slice, *, primal: bool
) -> torch.Tensor:
    if primal:
        return weighed(torch.sub(features[where], mean), None if roots is None else roots[where])
    return weighed(torch.sub(features[:, where], mean[where]), roots).T


def centred_product(features: Rows, mean: torch.Tensor, coef: torch.Tensor) -> torch.Tensor:
    """Return features less a mean (n_features,) times coefficients (n_features, n_targets), on their device.

    The mean goes first and in float64: features with a large one would eat the digits of float32.
    """
    features, mean = features.to(coef.device), mean.to(coef.device)
    pieces = _pieces(features, primal=True) or [slice(0)]
    return torch.cat([(features[piece].double() - mean).to(coef) @ coef for piece in pieces])


def piece_rows(n_columns: int) -> int:
    """Choose how many rows to multiply in float64 at once; a few hundred at least, or memory would bound products."""
    return max(LEAST, CHUNK // max(1, n_columns))


def column_sums(rows: Rows, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the (weighted) sum of each column in float64, a few rows at a time: torch would first copy them all."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    step = max(1, CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        total += part.double().sum(dim=0) if weights is None else weights[start : start + step] @ part.double()
    return total


def column_means(rows: Rows, roots: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of each column in float64, weighted by the squares of `roots` (n_rows,) where given."""
    if roots is None:
        return column_sums(rows) / len(rows)
    weights = roots.to(rows.device).square()
    return column_sums(rows, weights) / weights.sum()


def by_columns(n_rows: int, n_columns: int, solver: Solver) -> bool:
    """Return whether so many rows are decomposed through the products of their columns, not of the rows.

    Of as many rows as columns those of the rows are: centred rows lack one direction, which is then known.
    """
    return solver == "primal" or (solver == "auto" and n_rows > n_columns)


@dataclass(frozen=True)
class Principal:
    """One side of a rotation, and what takes the features to the other side."""

    vectors: torch.Tensor  # (n_features or n_rows, rank); float32 where that suffices, else float64
    singular: torch.Tensor  # (rank,), float64
    # Over the singular values in units of `unit_of`: features in that unit times them are the rows, or the axes.
    scaled: torch.Tensor
    benign: bool


def principal(
    gram: torch.Tensor, shape: tuple[int, int], smallest_alpha: float, dtype: torch.dtype, *, primal: bool
) -> Principal | None:
    """Decompose X'X (primal) or XX' of centred features of that shape; None where squaring lost too much."""
    # Of XX' one eigenvalue is always 0: centred rows sum to nothing.
    single = dtype == torch.float32 and _benign(gram, int(not primal))
    eigenvalues, vectors, benign = spectrum(gram, null=int(not primal), single=single)
    largest, smallest = float(eigenvalues[-1]), float(eigenvalues[0 if primal or shape[0] == 1 else 1])
    if max(smallest_alpha, smallest) < SQUARED * largest:
        return None
    lost = int((eigenvalues <= largest * max(shape) * torch.finfo(torch.float64).eps).sum())  # they ascend
    singular, vectors = eigenvalues[lost:].sqrt(), vectors[:, lost:]
    scaled = vectors / (singular / unit_of(singular)).to(vectors)
    if (singular <= BENIGN * singular[:1]).all():  # in float32 an axis is off by rounding / its share of the largest
        scaled = scaled.to(dtype)
    return Principal(vectors, singular, scaled, benign)


def by_svd(features: Rows, mean: torch.Tensor, dtype: torch.dtype, roots: torch.Tensor | None = None) -> Rotation:
    """Decompose features (n_rows, n_features) without squaring them."""
    left, singular, right = torch.linalg.svd(weighed(features[:].double() - mean, roots), full_matrices=False)
    keep = singular > singular[0] * max(features.shape) * torch.finfo(torch.float64).eps
    return Rotation(mean, right[keep].T.to(dtype), singular[keep], left[:, keep].to(dtype), "svd", benign=False)


def spectrum(matrix: torch.Tensor, *, null: int = 0, single: bool = False) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """Return ascending eigenvalues in float64, eigenvectors, and whether float32, theirs then, was enough to find them.

    Parameters
    ----------
    matrix : tensor (n, n), float64
        Symmetric; only its lower triangle is read; overwritten where that saves memory.
    null : int
        How many of the smallest eigenvalues are known to be 0 and do not count as ill-conditioned.
    single : bool
        Try float32 first, which takes half the time.
    """
    found = _in_single(matrix, null) if single and len(matrix) else None
    return (*eigh(matrix), False) if found is None else (*found, True)


def _in_single(matrix: torch.Tensor, null: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Decompose by float32 where all eigenvalues but a few small ones are benign; find those again in float64.

    Few are small where rows are alike, as the first rows of runs are when features are delayed. Each of two steps takes
    from their eigenvectors what K leaves of them along the others: r / (other - small) for a residual r.
    """
    unit = unit_of(matrix.diagonal().sqrt()) ** 2
    values, vectors = eigh((matrix if unit == 1 else matrix / unit).float())
    small = int((values * BENIGN < values[-1]).sum())  # they ascend
    if small > null + int(SMALL * len(matrix)):
        return None
    eigenvalues = values.double() * unit
    if small:
        lower, basis, others = matrix.tril_(), vectors[:, :small].double(), vectors[:, small:]
        for _ in range(2):
            basis = torch.linalg.qr(basis).Q
            image = lower @ basis + lower.T @ basis - lower.diagonal()[:, None] * basis
            eigenvalues[:small], turn = torch.linalg.eigh(basis.T @ image)
            basis, residual = basis @ turn, image @ turn - basis @ turn * eigenvalues[:small]
            gaps = eigenvalues[small:, None] - eigenvalues[:small]
            basis -= (others @ ((others.T @ residual.to(others)) / gaps).to(others)).double()
        vectors[:, :small] = basis.to(vectors)
        others.addmm_(vectors[:, :small], vectors[:, :small].T @ others, alpha=-1)
    return eigenvalues, vectors


def _benign(matrix: torch.Tensor, null: int) -> bool:
    """Return whether all eigenvalues but a few are benign, at a tenth of the cost of finding them.

    Of K - t as many are below 0 as in D of its decomposition LDL' (Sylvester), whose blocks of two have one each.
    """
    if len(matrix) < ASKED:
        return False
    lower = (matrix / unit_of(matrix.diagonal().sqrt()) ** 2).float().tril_()
    diagonal = lower.diagonal().clone()
    vector = lower[diagonal.argmax()]
    for _ in range(STEPS):
        vector = vector / vector.norm()
        vector = lower @ vector + lower.T @ vector - diagonal * vector
    lower.diagonal().sub_(vector.norm() / BENIGN)
    factor, pivots, _ = torch.linalg.ldl_factor_ex(lower)
    in_pairs = pivots < 0
    return int(((factor.diagonal() < 0) & ~in_pairs).sum()) + int(in_pairs.sum()) // 2 <= null + SMALL * len(matrix)
