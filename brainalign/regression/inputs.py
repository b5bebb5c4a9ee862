"""What ridge estimators check before they compute, and how they take arrays in and give them back."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import StoredArray, take_rows
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, check_shape, listed, numbers

Array = NDArray[Any] | torch.Tensor
CHUNK = 2**22  # values looked at in one go
HUGE = 1e120
# Types that torch hardly computes with, and the next that holds their values.
WIDER = {torch.bool: torch.uint8, torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.float64}


class MeanScore:
    """`score` as scikit-learn asks for it, of an encoder that has `score_targets`."""

    def score_targets(self, *args: Any, **kwargs: Any) -> Array:
        """Return the score of each target (n_targets,) for features and targets."""
        raise NotImplementedError(f"{type(self).__name__} scores no targets")

    def score(self, X: Any, Y: Any, sample_weight: Any = None, **others: Any) -> float:
        """Return the mean of `score_targets` over targets; one without a score (constant) counts as 0.

        Raises BrainalignError where it is NaN or infinite values of X or Y that leave a target without.
        """
        given = others if sample_weight is None else others | {"sample_weight": sample_weight}
        scores = as_tensor(self.score_targets(X, Y, **given)).double()
        scored = scores.isfinite().cpu().numpy()
        if not scored.all():
            pairs = (("predictions from X", self.predict(X, **others)), ("Y", Y))  # type: ignore[attr-defined]
            for name, values in pairs:
                found = as_tensor(as_array(name, values)).double().cpu().numpy().reshape(-1, len(scores))
                check_finite(name, np.where(scored, 0, found), "drop the rows of X or Y that hold NaN, or repair them")
        return float(scores.nan_to_num(nan=0.0).mean())


def alphas_of(alphas: Sequence[float] | float) -> tuple[float, ...]:
    """Return penalties as a tuple, also of a single number."""
    values = np.atleast_1d(np.asarray(alphas))
    numbers = values.ndim < 2 and values.size and values.dtype.kind in "iuf"
    if not numbers or not (np.isfinite(values) & (values >= 0)).all():
        raise BrainalignError(f"alphas must be finite and >= 0, at least one; got {alphas!r}")
    return tuple(values.astype(np.float64).tolist())


def check_options(alphas: Sequence[float] | float, solver: str, metric: str, dtype: str, device: str) -> None:
    """Raise unless the options that every ridge estimator has are among those it knows."""
    check_choice("solver", solver, {"auto", "primal", "dual"})
    check_choice("metric", metric, {"r2", "r"})
    check_choice("dtype", dtype, {"float32", "float64"})
    check_choice("device", device, {"auto", "cpu", "cuda"})
    alphas_of(alphas)


def check_arrays(name: str, X: Any, Y: Array, *, looked: bool = False, varying: bool = False) -> torch.Tensor:
    """Return the range of every target (n_targets,), after making sure that an encoder can be fitted.

    Features, called `name` in messages, and targets must have two axes, the same rows and finite values, and with
    `varying` no target may be constant. With `looked` targets were looked at (once is enough where several features
    meet the same ones), and no range is returned.
    """
    check_kind(**{name: X, "Y": Y})
    check_shapes(name, X.shape, Y.shape)
    check_range(name, *_limits(name, X))
    if looked:
        return torch.empty(0, dtype=torch.float64)
    smallest, largest = _limits("Y", Y)
    flat = smallest == largest
    if varying and flat.any():
        raise BrainalignError(
            f"{int(flat.sum())} target(s) of Y are constant (columns {listed(flat.nonzero().ravel().tolist())}); "
            "drop them with responses.select(targets=...)"
        )
    return check_range("Y", smallest, largest)


def check_kind(**given: object) -> None:
    """Raise unless all are arrays or tensors, where tables and lists are not taken."""
    for name, values in given.items():
        if not hasattr(values, "shape") or hasattr(values, "iloc"):
            raise BrainalignError(f"{name} is a {type(values).__name__}; give an array, such as np.asarray({name})")


def refuse(name: str, **given: object) -> None:
    """Raise where a keyword was given that the encoder of that name cannot use."""
    for keyword, value in given.items():
        if value is not None:
            raise BrainalignError(f"{name} cannot use {keyword}; leave it out or choose another encoder")


def check_range(name: str, smallest: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """Return the range of every column in float64."""
    ranges = largest.double() - smallest.double()
    extreme = (ranges > HUGE) | ((ranges < 1 / HUGE) & (ranges > 0))
    if bool(extreme.any()):
        raise BrainalignError(
            f"{int(extreme.sum())} column(s) of {name} range over {float(ranges[extreme][0]):.0e}; their squares leave "
            "the range of float64: give them in another unit"
        )
    return ranges.cpu()


def check_shapes(name: str, X: Sequence[int], Y: Sequence[int]) -> None:
    """Raise unless the shapes of features and targets have two axes and the same rows."""
    for label, shape in ((name, X), ("Y", Y)):
        if len(shape) != 2:
            raise BrainalignError(
                f"{label} has shape {tuple(shape)}; ridge wants rows × columns: flatten the other axes"
            )
        if not shape[1]:
            raise BrainalignError(f"{label} has shape {tuple(shape)}: it has no columns; leave it out")
    check_rows(name, X[0], "Y", Y[0], "call features.align_to(responses)")
    if X[0] < 2:
        raise BrainalignError(f"{name} has {X[0]} row; ridge needs at least 2")


def check_targets(Y: Sequence[int], n_rows: int, n_targets: int) -> None:
    """Raise unless the shape of responses is that of predictions, which they could otherwise be spread over."""
    remedy = "give the targets of the fit, one row per row of X"
    check_shape("Y", Y, (n_rows, n_targets), "predictions have", remedy)


def _limits(name: str, array: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the smallest and largest value of each column, a few rows at a time, after making sure all are finite.

    Extremes carry NaN and infinity along and are found ten times faster than every value is tested.
    """
    step = max(1, CHUNK // max(array.shape[1], 1))
    smallest = largest = as_tensor(array[:1])[0]
    for start in range(0, len(array), step):
        part = as_tensor(array[start : start + step])
        smallest = torch.minimum(smallest, part.amin(dim=0))
        largest = torch.maximum(largest, part.amax(dim=0))
    if not bool(torch.isfinite(smallest).all() & torch.isfinite(largest).all()):
        whole = array[:]
        values = np.asarray(whole.cpu() if isinstance(whole, torch.Tensor) else whole)
        check_finite(name, values, "drop or repair them")
    return smallest, largest


def as_array(name: str, values: Any) -> Array:
    """Return a tensor or numpy array of real numbers: as it is where it is one, else of a table, list or number."""
    if isinstance(values, torch.Tensor):
        if values.is_complex():
            raise BrainalignError(f"{name} is complex; give its real and imaginary part, or its size, as columns")
        return values
    if np.ma.is_masked(values):
        raise BrainalignError(f"{name} has masked values; drop those rows or fill them")
    return numbers(name, values)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Features in a file as decompositions read them: by the operations they use of a tensor (n_rows, n_columns)."""

    stored: StoredArray
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.stored.shape

    def __len__(self) -> int:
        return len(self.stored)

    def to(self, device: torch.device) -> "StoredRows":
        """Return it for another device, which gets what is read."""
        return StoredRows(self.stored, device)

    def index_select(self, dim: int, rows: torch.Tensor) -> "StoredRows":
        """Return some rows (dim 0) in another order."""
        return StoredRows(take_rows(self.stored, rows.cpu().numpy()), self.device)

    def __getitem__(self, where: slice | tuple[slice, slice]) -> torch.Tensor:
        """Read some rows or, of a pair of slices, all rows of some columns."""
        return as_tensor(self.stored[where]).to(self.device)


def as_targets(values: Any) -> Any:
    """Return targets as `as_array` does; those in a file stay there, to be read by blocks."""
    return values if isinstance(values, StoredArray) else as_array("Y", values)


def as_tensor(array: Array) -> torch.Tensor:
    """Return a tensor on the same memory, where torch can express and compute with what lies there.

    torch warns of read-only memory maps, which are only read here.
    """
    if isinstance(array, np.ndarray) and not (array.dtype.isnative and all(stride >= 0 for stride in array.strides)):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")  # also of one row that runs backwards
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.as_tensor(array)
    return tensor.detach().to(WIDER.get(tensor.dtype, tensor.dtype))


def floating(array: torch.Tensor) -> torch.dtype:
    """Return the type that predictions from or of these numbers need; integers below 2²⁴ have all digits in float32."""
    if array.is_floating_point():
        return array.dtype
    return torch.float32 if array.element_size() < 4 else torch.float64


def labels_of(groups: Array | None) -> NDArray[Any] | None:
    """Return groups (n_rows,), or one column of them, as a numpy array, or None."""
    values = np.asarray(groups.cpu() if isinstance(groups, torch.Tensor) else groups)
    return None if groups is None else values[:, 0] if values.shape[1:] == (1,) else values


def same_kind_as(array: Array) -> Callable[[torch.Tensor], Array]:
    """Return a function that turns a torch tensor into the kind of array the user gave."""
    if isinstance(array, torch.Tensor):
        return lambda tensor: tensor.to(array.device)
    return lambda tensor: np.asarray(tensor.cpu().numpy())


# Squares of tesla, or of counts, leave the range of float32. In units of about their own size they cannot; penalties
# are in squares of the unit of the features, coefficients in units of targets over units of features.

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
    """Return the unit of every target (n_targets,), whose values have these ranges; None where each is 1."""
    exponents = _exponents(ranges)
    ordinary = np.abs(exponents) <= ORDINARY
    return None if ordinary.all() else torch.from_numpy(np.ldexp(1.0, np.where(ordinary, 0, exponents)))


def _exponents(sizes: torch.Tensor) -> NDArray[np.int32]:
    return np.asarray(np.frexp(sizes.double().cpu().numpy())[1])


def rescale_coefficients(coef: torch.Tensor, units: torch.Tensor | None, unit: float) -> None:
    """Bring coefficients (n_targets, ...) to the units of targets and the unit of features, in place."""
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


# Weighted least squares are plain ones of rows times the roots of their weights, in which those roots stand where a
# column of ones was: means, and what centring takes away, go by them.


def row_weights(weights: Array | float | None, n_rows: int) -> tuple[torch.Tensor | None, float]:
    """Return the weights (n_rows,) in float64 over a power of four, and that power; None and 1 without weights."""
    if weights is None:
        return None, 1.0
    given = weights.cpu() if isinstance(weights, torch.Tensor) else as_array("sample_weight", weights)
    values = np.asarray(given, dtype=np.float64)
    values = np.broadcast_to(values, n_rows) if values.ndim == 0 else values
    if values.ndim != 1:
        raise BrainalignError(f"sample_weight has shape {values.shape}; give one number per row")
    check_rows("sample_weight", len(values), "X", n_rows, "give one number per row")
    if not (np.isfinite(values) & (values >= 0)).all() or not values.any():
        raise BrainalignError("sample_weight must be finite and >= 0, and above 0 for some rows")
    unit = 4.0 ** (math.frexp(values.max())[1] // 2)
    return torch.as_tensor(values / unit), unit


def weighed(rows: torch.Tensor, roots: torch.Tensor | None) -> torch.Tensor:
    """Return rows (n_rows, n_columns) times the roots of their weights, or as they are without."""
    return rows if roots is None else rows * roots.to(rows)[:, None]


def less_mean(rows: torch.Tensor, mean: torch.Tensor, roots: torch.Tensor | None) -> torch.Tensor:
    """Return weighed rows (n_rows, n_columns) less a mean (n_columns,), which is weighed as they are."""
    return rows - mean if roots is None else rows - roots.to(rows)[:, None] * mean
