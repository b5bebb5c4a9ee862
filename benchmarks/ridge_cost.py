"""What a ridge fit costs, from its sizes alone: operations by part, bytes, and seconds on a machine of given rates.

The parts are those of `brainalign.encoding`: rows are rotated once, folds are decomposed, and then the work per target
begins. It is compared with what was measured by `make bench`.
"""

from dataclasses import astuple, dataclass

from brainalign.checks import BrainalignError

__all__ = ["Rates", "RidgeCost", "ridge_cost", "seconds"]

EIGH = 9  # operations per k³ of a symmetric decomposition with vectors: 4/3 to tridiagonal, the rest for vectors
PASSES = 8  # times that scoring reads or writes an array (rank, targets) outside its products
CHECKED = 250  # bytes per response for checks, centring in float64 and sums: 6 ns at 45 GB/s, as measured
BLOCK = 8192  # targets at once
SINGLE, DOUBLE = 4, 8  # bytes


@dataclass(frozen=True)
class RidgeCost:
    """Operations (multiplications and additions) by part, and bytes.

    Attributes
    ----------
    gram : float
        X'X or XX' in float64, once and by folds in the rotated basis; half a product, as both are symmetric.
    rotation : float
        X, and targets, into the eigenbasis of all rows.
    eigh : float
        Decompositions, one of all rows and one per fold (and per candidate).
    projection : float
        Targets into the eigenbasis of every fold's training rows.
    scoring : float
        Scores of every penalty from those.
    refit : float
        Coefficients at each target's own penalty.
    read_bytes, written_bytes : float
        What must be read and written once, whatever the method: features and targets; coefficients and scores.
    moved_bytes : float
        What the element-wise parts of checking, centring and scoring move through memory.
    peak_bytes : float
        Memory beyond features and targets: results, decompositions and one block of targets.
    """

    gram: float
    rotation: float
    eigh: float
    projection: float
    scoring: float
    refit: float
    read_bytes: float
    written_bytes: float
    moved_bytes: float
    peak_bytes: float

    @property
    def flops(self) -> float:
        """Return all operations."""
        return float(sum(astuple(self)[:6]))


@dataclass(frozen=True)
class Rates:
    """What a machine does per second.

    Attributes
    ----------
    float32, float64 : float
        Operations of matrix products.
    eigh : float
        Operations of float64 decompositions, counted as `EIGH` · k³.
    memory, disk : float
        Bytes.
    """

    float32: float
    float64: float
    eigh: float
    memory: float
    disk: float = 1e9

    def __post_init__(self) -> None:
        if not all(rate > 0 for rate in astuple(self)):
            raise BrainalignError(f"rates must be positive; got {self}")


def ridge_cost(
    n_rows: int,
    n_features: int,
    n_targets: int,
    n_folds: int = 5,
    n_alphas: int = 20,
    n_candidates: int = 1,
    with_coefficients: bool = True,
) -> RidgeCost:
    """Return the cost of a fit that chooses a penalty per target by cross-validation.

    Per target, fold and candidate, with k = min(training rows, features): 2k² to project, 2k² to share work among the
    penalties, 2k · min(held-out rows, k) for products with what was observed, and 6k per penalty. Where held-out rows
    are few the engine does less (`encoding.few_filters`), how much less depends on the spectrum.

    Parameters
    ----------
    n_rows, n_features, n_targets : int
    n_folds : int
        1: a single penalty, nothing to choose.
    n_alphas : int
    n_candidates : int
        Sets of weights of bands; 1 for plain ridge.
    with_coefficients : bool
        False: the refit stays in the eigenbasis, which is enough to predict.

    Raises
    ------
    BrainalignError
        If a size is not positive.
    """
    sizes = (n_rows, n_features, n_targets, n_folds, n_alphas, n_candidates)
    if min(sizes) < 1:
        raise BrainalignError(f"sizes of a ridge fit must be at least 1; got {sizes}")
    folds = n_folds if n_folds > 1 else 0
    held_out = n_rows / max(folds, 1)
    rank = min(n_rows, n_features)
    k = min(n_rows - held_out, rank) if folds else rank
    splits = folds * n_candidates
    per_split = 2 * k**2 + 2 * k * min(held_out, k) + 6 * n_alphas * k
    result_rows = n_features if with_coefficients else rank
    again = 2 * rank**2 * n_targets if n_candidates > 1 else 0  # its candidate's eigenbasis, for every target
    decomposed = n_candidates if n_candidates > 1 else 1
    return RidgeCost(
        gram=n_rows * n_features * rank + (n_rows * rank**2 if folds else 0),
        rotation=2 * n_rows * n_features * rank + 2 * n_rows * rank * n_targets,
        eigh=EIGH * (decomposed * rank**3 + splits * k**3),
        projection=2 * splits * k**2 * n_targets + 4 * splits * held_out * k**2,
        scoring=splits * per_split * n_targets,
        refit=again + (2 * n_features if with_coefficients else 1) * rank * n_targets,
        read_bytes=SINGLE * n_rows * (n_features + n_targets),
        written_bytes=SINGLE * (result_rows + n_alphas) * n_targets,
        moved_bytes=(SINGLE * splits * (PASSES * k + 3 * n_alphas) + CHECKED * n_rows) * n_targets,
        peak_bytes=SINGLE * (result_rows + n_alphas) * n_targets
        + SINGLE * folds * (3 * k**2 + n_rows / max(folds, 1) * k)
        + DOUBLE * (n_rows * (n_features + rank) + 3 * rank**2)
        + SINGLE * min(n_targets, BLOCK) * (n_rows + 5 * rank + 6 * n_alphas),
    )


def seconds(cost: RidgeCost, rates: Rates, *, from_disk: bool = False) -> float:
    """Return the time a machine takes: work in float64, float32 products, memory traffic, one after another.

    Parameters
    ----------
    cost : RidgeCost
    rates : Rates
    from_disk : bool
        Also read features and targets from a disk, and write the results to it.
    """
    products = cost.rotation + cost.projection + cost.scoring + cost.refit
    time = cost.gram / rates.float64 + cost.eigh / rates.eigh + products / rates.float32
    time += (cost.moved_bytes + cost.written_bytes) / rates.memory
    return time + ((cost.read_bytes + cost.written_bytes) / rates.disk if from_disk else 0)
