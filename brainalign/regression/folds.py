"""What inner cross-validation needs of each fold, whatever the target.

Training statistics are the total minus the fold's, so features are read once however many folds there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut

from brainalign.arrays import label_codes
from brainalign.checks import BrainalignError, check_folds, check_rows, row_numbers
from brainalign.kernels import FoldForm, held_out, lower_gram, product
from brainalign.regression.delays import DelayedRows, Rows
from brainalign.regression.inputs import StoredRows, less_mean
from brainalign.regression.rotation import BENIGN, Solver, by_columns, column_sums, spectrum
from brainalign.regression.threads import in_threads, side_by_side, threads_for

Sortable = TypeVar("Sortable", torch.Tensor, DelayedRows, StoredRows, Rows)
BYTES = 48  # per value of the matrix that is decomposed, with all that it takes: float64 six times
PAYS = 0.75  # share of the work left; to make the matrix of predictions takes as long as a few hundred targets


@dataclass(frozen=True)
class InnerFold:
    """One fold in the eigenbasis of its training rows.

    Attributes
    ----------
    test : slice
        Held-out rows, in fold order.
    way : {"primal", "sums", "dual"}
        How training targets reach the basis: all rotated targets less the held-out rows; less the fold's rotated
        targets (cheaper where its rows are more than the columns); or the training rows themselves.
    project : tensor (n_columns + 1, rank) or, dual, (n_train, rank)
        What takes training targets to the basis; its last row takes their mean.
    held_out : tensor (n_test, rank) or, sums, (n_columns + 1, rank)
        Held-out rows in the basis, or what takes the fold's rotated targets there.
    form : FoldForm or FewFilters
        How held-out rows are scored. With few filters `project` and `held_out` lead to predictions of each of them,
        (n_columns + 1 or n_train, n_test · n_filters) and (n_test, n_test · n_filters; dual, 0), not to the basis.
    single : bool
        Whether float32 sufficed to decompose the training rows.
    roots : tensor (n_test,) or None
        Of the weights of held-out rows.
    """

    test: slice
    way: Literal["primal", "sums", "dual"]
    project: torch.Tensor
    held_out: torch.Tensor
    form: "FoldForm | FewFilters"
    single: bool
    roots: torch.Tensor | None = None


def by_sums(n_rows: int, n_columns: int, n_folds: int) -> bool:
    """Return whether rotated targets of every fold are smaller, and cheaper to use, than the held-out rows."""
    return n_rows > n_folds * n_columns > 0


def inner_folds(
    rows: torch.Tensor,
    scale: torch.Tensor,
    tests: Sequence[slice],
    alphas: torch.Tensor,
    *,
    grams: Sequence[torch.Tensor] | None,
    solver: Solver = "auto",
    single: bool = False,
    exact: bool = False,
    roots: torch.Tensor | None = None,
) -> list[InnerFold]:
    """Decompose the training rows of every fold.

    Parameters
    ----------
    rows : tensor (n_rows, n_columns)
        Features in orthonormal columns, in fold order.
    scale : tensor (n_columns,), float64
        What each column is multiplied by to be the features again.
    tests : sequence of slice
    alphas : tensor (n_alphas,), float64
    grams : sequence of tensor (n_columns, n_columns), float64, or None
        Lower triangle of rows' · rows of each fold; None where `wants_grams` says that no fold needs them.
    solver : {"auto", "primal", "dual"}
        "auto" decomposes columns × columns or rows × rows, whichever is smaller: every part of the cost grows with it.
    single : bool
        Try float32 for eigenvectors first.
    exact : bool
        Decompose training rows by SVD rather than their products.
    roots : tensor (n_rows,), float64, optional
        Of the weights of rows, which `rows` are multiplied by.
    """
    total = sum(grams[1:], grams[0]) if grams else None
    each: list[torch.Tensor | None] = [*grams] if grams else [None] * len(tests)
    del grams  # a caller that keeps none of them has the memory of each back when its fold begins

    def training(number: int) -> torch.Tensor | None:
        gram, each[number] = each[number], None
        return None if total is None or gram is None else total - gram

    n_train, n_columns = len(rows) - min((test.stop - test.start for test in tests), default=0), rows.shape[1]
    # One product of all rows, of which every fold takes its parts, costs less than theirs.
    dual = bool(tests) and not exact and not by_columns(n_train, n_columns, solver)
    shared = row_products(rows, scale) if dual else None
    # Without some rows the spectrum of the others is narrower, by as many eigenvalues at most (Cauchy).
    narrow = scale.square().flip(0)[: len(scale) - (len(rows) - n_train)]
    if dual and rows.dtype == torch.float32 and len(narrow) and narrow[0] <= BENIGN * narrow[-1]:
        single = True

    given: dict[str, Any] = {"products": shared, "solver": solver, "exact": exact, "roots": roots}

    def one_fold(number: int, single: bool) -> InnerFold:
        own: dict[str, Any] = {"training": training(number), "single": single}
        return inner_fold(rows, scale, tests[number], len(tests), alphas, **own, **given)

    side = n_columns if by_columns(n_train, n_columns, solver) else n_train
    shape, done = (n_train, n_columns) if exact else (side, side), list[InnerFold]()
    at_once = side_by_side(len(tests), shape, BYTES * shape[0] * shape[1], rows.device)
    for start in range(0, len(tests), at_once):
        group = range(start, min(start + at_once, len(tests)))
        # Folds are alike: where one needs float64, those to come need not try without.
        decompose = partial(one_fold, single=single and all(fold.single for fold in done))
        done += in_threads(decompose, group, rows.device, shape)
    return done


def inner_fold(
    rows: torch.Tensor,
    scale: torch.Tensor,
    test: slice,
    n_folds: int,
    alphas: torch.Tensor,
    *,
    training: torch.Tensor | None,
    products: torch.Tensor | None = None,
    solver: Solver = "auto",
    single: bool = False,
    exact: bool = False,
    roots: torch.Tensor | None = None,
) -> InnerFold:
    """Decompose the training rows of one fold, as `inner_folds` does.

    `training` is the lower triangle of rows' · rows of all rows less the fold's, and is overwritten; `products` are
    those of `row_products`, made here where rows are decomposed through them and none are given.
    """
    n_test = test.stop - test.start
    n_train = len(rows) - n_test
    roots = None if roots is None else roots.to(rows.device)
    of_test = None if roots is None else roots[test]
    weight = len(rows) if roots is None else float(roots.square().sum())
    held_weight = n_test if of_test is None else float(of_test.square().sum())
    train_weight = weight - held_weight
    # In float32 columns sum to 0 but for rounding, which a direction that training rows hardly hold would magnify.
    sums = column_sums(rows, roots)
    mean = (sums - column_sums(rows[test], of_test)) / train_weight
    primal = by_columns(n_train, len(scale), solver)
    own_roots = None if of_test is None else of_test.to(rows)
    if not exact and not primal:
        products = row_products(rows, scale) if products is None else products
        eigenvalues, left, held_rows = _from_products(products, test, roots, single=single)
        single, project, held_rows = left.dtype == torch.float32, left.to(rows), held_rows.to(rows)
    else:
        if exact or training is None:
            training = torch.cat([rows[: test.start], rows[test.stop :]]).double()
            of_training = None if roots is None else torch.cat([roots[: test.start], roots[test.stop :]])
            training = less_mean(training, mean, of_training) * scale
            eigenvalues, left, right = _from_rows(training, single=single, exact=exact)
        else:
            training.addr_(mean, mean, alpha=-train_weight).mul_(scale).mul_(scale[:, None])
            eigenvalues, right = _kept(training, single=single)
        single = right.dtype == torch.float32
        basis = right.mul_(scale.to(right)[:, None]).to(rows)
        del training, right  # their memory serves what comes next
        # The training mean in the basis, and as often as there are rows, less their sums.
        shift, shifts = product(torch.stack([mean, weight * mean - sums]).to(rows), basis).split(1)
        held_rows = product(rows[test], basis)
        held_rows = held_rows.sub_(shift) if own_roots is None else held_rows.addr_(own_roots, shift[0], alpha=-1)
        if primal and by_sums(len(rows), rows.shape[1], n_folds):
            form = held_out(held_rows, eigenvalues, alphas, rows.dtype, own_roots)
            held_sums = _with_row(basis, shifts + train_weight * shift)
            return InnerFold(test, "sums", _with_row(basis, -train_weight * shift), held_sums, form, single, own_roots)
        project = _with_row(basis, shifts) if primal else left.to(rows)
    way: Literal["primal", "dual"] = "primal" if primal else "dual"
    reach = (held_rows.double().square().mean(dim=0) * n_train / eigenvalues).sqrt()
    n_inputs, rank = project.shape
    # Predictions by so many filters take at most a share `PAYS` of the work in the eigenbasis.
    most = int(PAYS * (rank * (n_inputs + rank + n_test)) / (n_test * (n_inputs + n_test * primal)))
    few = few_filters(eigenvalues, alphas, most, rows.dtype, reach)
    if few is None or rows.device.type != "cpu":  # a GPU has a kernel of its own
        form = held_out(held_rows, eigenvalues, alphas, rows.dtype, own_roots)
        return InnerFold(test, way, project, held_rows, form, single, own_roots)
    mixed = few.mix(held_rows)
    own = product(mixed, held_rows.T) if primal else mixed.new_empty((0, n_test))
    return InnerFold(test, way, product(mixed, project.T).T, own.T, few, single, own_roots)


def _with_row(basis: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Append a row, in the order of columns that LAPACK left the basis in: rearranging it would take longer."""
    return torch.cat([basis.T, row.T], dim=1).T


def wants_grams(n_rows: int, n_columns: int, tests: Sequence[slice], solver: Solver) -> bool:
    """Return whether any fold is decomposed through the products of its columns."""
    return any(by_columns(n_rows - (test.stop - test.start), n_columns, solver) for test in tests)


def eigenbasis(
    gram: torch.Tensor | None, rows: torch.Tensor, scale: torch.Tensor, *, single: bool, exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eigenvalues and eigenvectors (n_columns, rank) of all rows, scaled: what a refit needs.

    `gram` is the lower triangle of rows' · rows; None decomposes through the rows.
    """
    with threads_for(*rows.shape):
        if gram is not None:
            return _kept(gram * torch.outer(scale, scale), single=single)
        eigenvalues, _, right = _from_rows(rows.double() * scale, single=single, exact=exact)
        return eigenvalues, right


def row_products(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the products (n_rows, n_rows) of scaled rows in float64, both triangles."""
    with threads_for(*rows.shape):
        found = lower_gram((rows.double() * scale).T).tril_()
    return found + found.tril(-1).T


def _from_products(
    products: torch.Tensor, test: slice, roots: torch.Tensor | None, *, single: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return eigenvalues, training rows to basis (n_train, rank) and held-out rows in the basis (n_test, rank).

    Of centred rows x − r m, m = Σ r x / Σ r² over training rows and r the roots of weights, or 1.
    """
    every = products.new_ones(len(products)) if roots is None else roots
    own = torch.cat([every[: test.start], every[test.stop :]])
    mean = own / own.square().sum()
    columns = torch.cat([products[:, : test.start], products[:, test.stop :]], dim=1)
    training, crosses = torch.cat([columns[: test.start], columns[test.stop :]]), columns[test]
    by_mean = training @ mean
    across, square = crosses @ mean, by_mean @ mean
    training = training.addr_(own, by_mean - square * own, alpha=-1).addr_(by_mean, own, alpha=-1)
    crosses = crosses.addr(every[test], by_mean - square * own, alpha=-1).addr_(across, own, alpha=-1)
    eigenvalues, vectors = _kept(training, null=1, single=single)
    singular = eigenvalues.sqrt().to(vectors)
    return eigenvalues, vectors * singular, product(crosses.to(vectors), vectors) / singular


def _from_rows(training: torch.Tensor, *, single: bool, exact: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return eigenvalues, rows to basis (left vectors times singular values) and the basis (right vectors)."""
    if exact:
        left, singular, right = torch.linalg.svd(training, full_matrices=False)
        kept = int((singular > singular[:1] * max(training.shape) * torch.finfo(torch.float64).eps).sum())
        left, singular, right = left[:, :kept].flip(1), singular[:kept].flip(0), right[:kept].flip(0)  # they descended
        return singular.square(), left * singular, right.T
    eigenvalues, vectors = _kept(lower_gram(training.T), null=1, single=single)
    singular = eigenvalues.sqrt()
    return eigenvalues, vectors * singular.to(vectors), product(training.T.to(vectors), vectors) / singular.to(vectors)


def _kept(matrix: torch.Tensor, *, null: int = 0, single: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenvalues and eigenvectors of all directions that vary; only the lower triangle is read."""
    eigenvalues, vectors, found_single = spectrum(matrix, null=null, single=single)
    # In float32 a spectrum is only ever accepted when its other eigenvalues are far above its rounding.
    floor = 1e-5 if found_single else len(matrix) * torch.finfo(torch.float64).eps
    lost = int((eigenvalues <= eigenvalues[-1:] * floor).sum())  # they ascend
    return eigenvalues[lost:], vectors[:, lost:]


@dataclass(frozen=True)
class Layout:
    """Rows sorted so that every fold is a slice.

    Attributes
    ----------
    order : array (n_rows,) or None
        Row numbers in fold order; None where they are in order already.
    tests : list of slice
        The held-out rows of each fold, in fold order.
    roots : tensor (n_rows,), float64, or None
        Roots of the weights of the rows, in fold order; None where all count the same.
    weight : float
        What the weights were divided by.
    """

    order: NDArray[np.intp] | None
    tests: list[slice]
    roots: torch.Tensor | None = None
    weight: float = 1.0

    def sort(self, rows: Sortable) -> Sortable:
        """Return rows in fold order."""
        return rows if self.order is None else rows.index_select(0, torch.as_tensor(self.order, device=rows.device))

    def weigh(self, weights: torch.Tensor | None, unit: float) -> "Layout":
        """Return the same order with weights (n_rows,) of the unsorted rows; rows of weight 0 are left out.

        Raises
        ------
        BrainalignError
            If all rows outside a fold weigh nothing.
        """
        if weights is None:
            return self
        order = np.arange(len(weights)) if self.order is None else self.order
        kept = weights.numpy()[order] > 0
        ends = np.concatenate([[0], np.cumsum(kept)])
        tests = [slice(int(ends[test.start]), int(ends[test.stop])) for test in self.tests]
        for test in tests:
            if test.stop - test.start == ends[-1]:
                raise BrainalignError("sample_weight is 0 for all rows outside a fold; give more rows a weight")
        roots = weights[torch.as_tensor(order[kept])].sqrt()
        tests = [test for test in tests if test.stop > test.start]
        return Layout(None if self.order is None and kept.all() else order[kept], tests, roots, unit)

    @property
    def given_roots(self) -> torch.Tensor | None:
        """Roots of the weights in the order of the rows as given; only where no row is left out."""
        if self.roots is None or self.order is None:
            return self.roots
        return self.roots[torch.as_tensor(np.argsort(self.order))]


def layout(n_rows: int, cv: int | Literal["groups"] | Any, groups: NDArray[np.generic] | None) -> Layout:
    """Divide rows into folds of whole groups, or those that `cv` lists or splits.

    Raises
    ------
    BrainalignError
        If cv is no number of folds, groups are wanted and missing, fewer than two, of one row each, or not one per row;
        or if folds that are given do not test every row once.
    """
    if hasattr(cv, "split") and not isinstance(cv, str):
        cv = list(cv.split(np.zeros((n_rows, 1)), groups=groups))
    if isinstance(cv, list):
        parts = _given(n_rows, cv)
    elif cv == "groups" or (isinstance(cv, Integral) and int(cv) >= 2):
        parts = [test for _, test in _splits(n_rows, "groups" if cv == "groups" else int(cv), groups)]
    else:
        raise BrainalignError(f"cv is {cv!r}; give a number of folds, 2 or more, or 'groups' to leave one group out")
    order = np.concatenate(parts)
    ends = np.cumsum([len(part) for part in parts])
    tests = [slice(int(end) - len(part), int(end)) for part, end in zip(parts, ends, strict=True)]
    return Layout(None if (order == np.arange(n_rows)).all() else order, tests)


def _given(n_rows: int, folds: list[tuple[Any, Any]]) -> list[NDArray[np.intp]]:
    """Return the test rows of folds that were given."""
    check_folds(folds, n_rows)
    trains, parts = ([row_numbers("cv", pair[side], n_rows) for pair in folds] for side in (0, 1))
    n_each = [len(np.unique(train)) + len(test) for train, test in zip(trains, parts, strict=True)]
    whole = np.array_equal(np.sort(np.concatenate(parts)), np.arange(n_rows)) and set(n_each) == {n_rows}
    if not whole or min(map(len, parts)) < 2:
        raise BrainalignError("folds of cv must test every row once, two or more each, and train on all others")
    return parts


def _splits(
    n_rows: int, cv: int | Literal["groups"], groups: NDArray[np.generic] | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rows = np.zeros((n_rows, 1))
    if groups is None:
        if cv == "groups":
            raise BrainalignError("cv='groups' leaves one group out, but fit got no groups; pass groups or a number")
        return list(KFold(_number(cv, n_rows)).split(rows))
    check_rows("groups", len(groups), "X", n_rows, "give one label per row")
    names = label_codes("groups", groups)[1]
    n_groups = len(names)
    if n_groups < 2:
        raise BrainalignError(f"inner cross-validation needs 2 groups or more; all rows are of group '{names[0]}'")
    alone = n_groups == n_rows
    if cv != "groups":
        n_folds = _number(cv, n_groups) if alone else min(cv, n_groups)
        return list(GroupKFold(n_folds).split(rows, groups=groups))
    if alone:
        raise BrainalignError(
            f"cv='groups' leaves out one of {n_groups} groups of one row, and one row has no R² to choose a "
            "penalty by; give cv a number of folds, or groups of several rows"
        )
    return list(LeaveOneGroupOut().split(rows, groups=groups))


def _number(cv: int, n: int) -> int:
    """Return a number of folds, smaller where each would hold one row, which has no R²."""
    return cv if n > cv else max(2, n // 2)


# Where held-out rows are few, as when each of many runs is left out, to predict them a few times costs less than to
# take all targets to the eigenbasis of every fold's training rows, and there through a product that serves all
# penalties (kernels/held_out.py). A few do for all: the filters d / (d + a) of all penalties a, as functions of the
# eigenvalues d, are smooth, so their singular values fall fast.

# Of all filters together, whose largest values are 1, in units of rounding: 1e-5 in float32. Each of them, and so the
# predictions, are then off by about 1e-6. In float64 that leaves too many to pay.
TOLERANCE = 84
VALUES = 2**18  # predictions of all penalties at once, a megabyte of float32: what caches hold


@dataclass(frozen=True)
class FewFilters:
    """Filters of all penalties as weights · filters.

    Attributes
    ----------
    weights : tensor (n_penalties, n_filters)
    filters : tensor (n_filters, rank)
        What the basis is multiplied by; 1 / (eigenvalue + penalty) are their combinations.
    """

    weights: torch.Tensor
    filters: torch.Tensor

    def mix(self, basis: torch.Tensor) -> torch.Tensor:
        """Return every row of a basis (n_rows, rank) under every filter (n_rows · n_filters, rank)."""
        return (basis[:, None] * self.filters).flatten(0, 1)

    def moments(
        self, predicted: torch.Tensor, observed: torch.Tensor, *, totals: bool, roots: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Return Σŷ where asked for, Σŷ² and Σŷy over rows (n_penalties, n_targets).

        Parameters
        ----------
        predicted : tensor (n_rows · n_filters, n_targets)
            In the order of `mix`.
        observed : tensor (n_rows, n_targets)
        totals : bool
        roots : tensor (n_rows,), optional
            Of the weights that rows were multiplied by; Σŷ is weighted, too.
        """
        weights = self.weights
        each = predicted.view(len(observed), weights.shape[1], -1)
        crosses = weights @ (each * observed[:, None]).sum(dim=0)
        squares = torch.zeros_like(crosses)
        for rows in each.split(max(1, VALUES // squares.numel())):
            squares += torch.matmul(weights, rows).square_().sum(dim=0)
        if not totals:
            return None, squares, crosses
        return (
            weights @ (each.sum(dim=0) if roots is None else torch.einsum("r,rft->ft", roots, each)),
            squares,
            crosses,
        )


def few_filters(
    eigenvalues: torch.Tensor, alphas: torch.Tensor, most: int, dtype: torch.dtype, reach: torch.Tensor
) -> FewFilters | None:
    """Find the few filters whose combinations are those of all penalties; None where more than `most` are needed.

    Parameters
    ----------
    eigenvalues : tensor (rank,), float64
        All above 0.
    alphas : tensor (n_penalties,), float64
    most : int
    dtype : torch.dtype
        Of the result.
    reach : tensor (rank,), float64
        How many times larger held-out rows are than training rows along each axis (root mean squares): what a filter
        is off by there counts so much more, where it is more than once.
    """
    if most < 1 or not len(eigenvalues):
        return None
    shrinkage = eigenvalues / (eigenvalues + alphas[:, None])
    largest = shrinkage.amax(dim=1, keepdim=True)
    weight = reach.clamp(min=1)
    left, singular, right = torch.linalg.svd(shrinkage / largest * weight, full_matrices=False)
    # Left over without the smallest singular values, next to filters whose largest value is 1: at most their norm.
    dropped = singular.square().flip(0).cumsum(0).flip(0).sqrt()
    n_filters = int((dropped > TOLERANCE * torch.finfo(dtype).eps).sum())
    if n_filters > most:
        return None
    weights = (left * singular)[:, :n_filters] * largest
    return FewFilters(weights.to(dtype), (right[:n_filters] / (weight * eigenvalues)).to(dtype))
