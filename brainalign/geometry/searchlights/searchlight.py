"""Searchlights: the RDM around every voxel or vertex, some centres at a time.

Correlations are gathered, voxel-wise distances averaged, whitened distances factorised centre by centre. torch is
imported where RDMs are computed: what else lies in this folder does without it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows, numbers
from brainalign.devices import pick_device, target_block
from brainalign.geometry.rdms import design_of
from brainalign.geometry.searchlights.neighbourhoods import Neighbourhoods

if TYPE_CHECKING:
    import torch

DISTANCES = ("correlation", "crossnobis", "euclidean")
DTYPES = ("float32", "float64")
# Bytes of a block of centres, and of distances at single channels, on a CPU: others are slower (measured).
GATHERED, AVERAGED = 20_000_000, 1_000_000


class Searchlight:
    """Patterns and neighbourhoods, ready for the RDM of any centre.

    Parameters
    ----------
    patterns : array (n_rows, n_channels)
        Rows are observations. Channels with NaN belong to no neighbourhood: where one is a centre its RDM is NaN.
    neighbourhoods : Neighbourhoods
        From `volume_neighbourhoods` or `surface_neighbourhoods`.
    method : {"correlation", "crossnobis", "euclidean"}
        As for `rdm`.
    conditions, runs : array (n_rows,), optional
        As for `rdm`.
    residuals : array (n_residuals, n_channels), optional
        Noise by which crossnobis and Euclidean distances are whitened, as for `noise_precision`. Channels that never
        deviate are left out like those with NaN.
    dof : int, optional
        Of the residuals; their rows where not given.
    noise : {"full", "diagonal"}
        Covariance of the channels of each neighbourhood, shrunk; or their variances alone, which is faster.
    device : {"auto", "cpu", "cuda"}
    dtype : {"float64", "float32"}
        Of products; patterns are centred before they are rounded. Whitening is always float64.

    Attributes
    ----------
    neighbourhoods : Neighbourhoods
        Without the channels left out.
    n_channels_left_out : int
    n_pairs : int
    """

    def __init__(
        self,
        patterns: Values,
        neighbourhoods: Neighbourhoods,
        method: str,
        conditions: NDArray[Any] | None = None,
        runs: NDArray[Any] | None = None,
        *,
        residuals: Values | None = None,
        dof: int | None = None,
        noise: Literal["full", "diagonal"] = "full",
        device: str = "auto",
        dtype: str = "float64",
    ) -> None:
        check_choice("method", method, DISTANCES)
        check_choice("noise", noise, ("full", "diagonal"))
        check_choice("dtype", dtype, DTYPES)
        patterns = numbers("patterns", patterns, np.float64)
        if patterns.ndim != 2 or not len(patterns):
            raise BrainalignError(f"patterns have shape {patterns.shape}; give rows × channels, at least one row")
        remedy = "make the neighbourhoods of the same voxels or vertices"
        n_channels = neighbourhoods.members.shape[1]
        check_rows("the second axis of patterns", patterns.shape[1], "neighbourhoods", n_channels, remedy)
        missing: NDArray[np.bool_] = np.asarray(~np.isfinite(patterns).all(axis=0))
        scale = None
        if residuals is not None:
            if method == "correlation":
                raise BrainalignError("correlation distance uses no noise; leave residuals out or choose crossnobis")
            residuals, scale, self._dof = _unit_noise(np.asarray(residuals, dtype=np.float64), dof, n_channels)
            missing |= ~(scale > 0)
        self.method, self.dtype, self.device = method, dtype, pick_device(device)
        self.neighbourhoods = neighbourhoods.without(missing) if missing.any() else neighbourhoods
        self.n_channels_left_out = int(missing.sum())
        patterns = np.where(missing, 0, patterns)
        if scale is not None:
            patterns = patterns / np.where(missing, 1, scale)
        design = design_of(len(patterns), conditions, runs)
        if method == "crossnobis":
            cube, present = design.run_means(patterns)  # (n_runs, n_conditions, n_channels)
            if len(cube) < 2:
                raise BrainalignError(f"crossnobis multiplies runs with each other and needs 2; got {len(cube)}")
            if not present.all():
                run, condition = np.argwhere(~present)[0]
                raise BrainalignError(
                    f"condition '{design.condition_names[condition]}' is missing in run '{design.run_names[run]}'; "
                    "drop that run or that condition"
                )
        else:
            cube = design.condition_means(patterns)[None]
        if method != "correlation":
            cube = cube - cube.mean(axis=1, keepdims=True)  # differences of conditions ignore what a run shares
        self.cube = cube
        self._residuals = None
        if residuals is not None and noise == "full":
            self._residuals = np.where(missing, 0, residuals)

    @property
    def n_pairs(self) -> int:
        """Pairs of conditions."""
        n = self.cube.shape[1]
        return int(n * (n - 1) // 2)

    @property
    def n_centres(self) -> int:
        """Searchlights."""
        return len(self.neighbourhoods.centres)

    def rdms(self, centres: NDArray[np.intp] | slice = slice(None)) -> Values:
        """Return RDMs (n_chosen, n_pairs) of chosen centres (row numbers), or of all.

        NaN for pairs of a constant pattern, and for a centre that has no channel.
        """
        chosen = self.neighbourhoods.select(np.arange(self.n_centres)[centres])
        if self.method != "correlation" and self._residuals is None:
            found = self._averaged(chosen)
        else:
            found = self._gathered(chosen)
        found[chosen.sizes == 0] = np.nan
        return np.maximum(found, 0, out=found) if self.method == "euclidean" else found

    def _averaged(self, chosen: Neighbourhoods) -> Values:
        """Average distances at single channels, some pairs at a time."""
        import torch

        used, columns = np.unique(chosen.members.indices, return_inverse=True)
        cube = torch.as_tensor(np.ascontiguousarray(self.cube[:, :, used]), device=self.device)
        share = np.repeat(1 / np.maximum(chosen.sizes, 1), chosen.sizes)
        with warnings.catch_warnings():  # torch calls its compressed rows a beta
            warnings.simplefilter("ignore", UserWarning)
            weights = torch.sparse_csr_tensor(
                torch.as_tensor(chosen.members.indptr, dtype=torch.int64, device=self.device),
                torch.as_tensor(columns, dtype=torch.int64, device=self.device),
                torch.as_tensor(share, dtype=getattr(torch, self.dtype), device=self.device),
                size=(len(chosen.centres), len(used)),
            )
        first, second = torch.triu_indices(cube.shape[1], cube.shape[1], 1, device=self.device)
        found = np.empty((len(chosen.centres), len(first)), dtype=self.dtype)
        at_once = target_block(len(first), 8 * ((2 * len(cube) + 2) * len(used) + len(found)), self.device)
        if self.device.type == "cpu":
            at_once = min(at_once, max(16, AVERAGED // (8 * max(len(used), 1))))
        for start in range(0, len(first), at_once):
            part = slice(start, start + at_once)
            found[:, part] = _averaged_distances(cube, weights, first[part], second[part]).cpu().numpy()
        return found

    def _gathered(self, chosen: Neighbourhoods) -> Values:
        """Gather the channels of centres of one size, some centres at a time."""
        import torch

        n_runs, n, _ = self.cube.shape
        i, j = torch.triu_indices(n, n, 1, device=self.device)
        pairs = i * n + j  # where the pairs of an RDM stand in a flattened square matrix
        channels_first = self.cube.transpose(2, 0, 1)  # (n_channels, n_runs, n_conditions)
        cube = torch.as_tensor(np.ascontiguousarray(channels_first), device=self.device)
        found = np.full((len(chosen.centres), self.n_pairs), np.nan, dtype=self.dtype)
        noise = None if self._residuals is None else torch.as_tensor(self._residuals, device=self.device)
        for size in np.unique(chosen.sizes[chosen.sizes > 0]):
            rows = np.flatnonzero(chosen.sizes == size)
            places = chosen.members.indptr[rows, None] + np.arange(size)
            members = chosen.members.indices[places]  # (n_rows, size)
            n_noise = 0 if noise is None else len(noise)
            needed = 8 * int(size * (2 * n_runs * n + 2 * n_noise + 3 * size) + 3 * n**2)
            at_once = target_block(len(rows), needed, self.device)
            if self.device.type == "cpu":
                at_once = min(at_once, max(1, GATHERED // needed))
            for start in range(0, len(rows), at_once):
                some = torch.as_tensor(members[start : start + at_once], dtype=torch.int64, device=self.device)
                if noise is None:
                    local = _gathered_correlations(cube[:, 0], some, pairs, getattr(torch, self.dtype))
                else:
                    local = _whitened_distances(cube, noise, self._dof, some, pairs)
                found[rows[start : start + at_once]] = local.cpu().numpy()
        return found


def searchlight_rdms(
    patterns: Values,
    neighbourhoods: Neighbourhoods,
    method: str,
    conditions: NDArray[Any] | None = None,
    runs: NDArray[Any] | None = None,
    **options: Any,
) -> Values:
    """Return the RDM of the channels around every centre: what `rdm` gives for the channels of each, in one go.

    Parameters
    ----------
    patterns, neighbourhoods, method, conditions, runs, options
        As for `Searchlight`, which gives RDMs of some centres where those of all do not fit into memory.

    Returns
    -------
    array (n_centres, n_pairs)
        NaN for pairs of a constant pattern, and for a centre with NaN in its patterns.

    Raises
    ------
    BrainalignError
        If shapes or labels do not fit, or the result does not fit into memory.

    References
    ----------
    Kriegeskorte N, Goebel R, Bandettini P (2006). Information-based functional brain mapping. PNAS 103:3863-3868.
    doi:10.1073/pnas.0600244103
    Walther A, Nili H, Ejaz N, Alink A, Kriegeskorte N, Diedrichsen J (2016). Reliability of dissimilarity measures
    for multi-voxel pattern analysis. NeuroImage 137:188-200. doi:10.1016/j.neuroimage.2015.12.012

    Examples
    --------
    >>> from brainalign.geometry import volume_neighbourhoods
    >>> around = volume_neighbourhoods(np.argwhere(np.ones((5, 5, 5), dtype=bool)), np.eye(4), 2.0)
    >>> searchlight_rdms(np.random.default_rng(0).normal(size=(4, 125)), around, "correlation").shape
    (125, 6)
    """
    search = Searchlight(patterns, neighbourhoods, method, conditions, runs, **options)
    needed, free = 8 * search.n_centres * search.n_pairs, psutil.virtual_memory().available
    if needed > free:
        raise BrainalignError(
            f"RDMs of {search.n_centres:,} centres with {search.n_pairs:,} pairs need {needed / 1e9:.0f} GB, and "
            f"{free / 1e9:.0f} GB are free; take them some centres at a time with Searchlight(...).rdms(centres)"
        )
    return search.rdms()


def _unit_noise(residuals: Values, dof: int | None, n_channels: int) -> tuple[Values, Values, int]:
    """Return residuals with mean 0 and mean square 1 in every channel, the noise sd that they had, and their dof."""
    remedy = "give residuals of the same channels"
    check_rows("the second axis of residuals", residuals.shape[1], "neighbourhoods", n_channels, remedy)
    dof = len(residuals) - 1 if dof is None else dof
    if dof < 1:
        raise BrainalignError(f"{len(residuals)} residuals leave {dof} degrees of freedom; noise needs 1 or more")
    deviations = residuals - residuals[:1]  # exactly 0 of constants
    deviations = deviations - deviations.mean(axis=0)
    root = np.sqrt(np.square(deviations).mean(axis=0))
    return deviations / np.where(root > 0, root, 1), root * np.sqrt(len(residuals) / dof), dof


def _gathered_correlations(
    patterns: torch.Tensor, members: torch.Tensor, pairs: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return 1 − Pearson's r over the channels of every centre, (n_centres, n_pairs); centring is float64.

    Patterns are (n_channels, n_conditions), members (n_centres, size); NaN for pairs of a constant pattern. Sparse
    products for Σx, Σx² and Σxy cost a quarter of the operations, but take four times as long as dense products of
    gathered channels, and lose the digits that a large common offset takes.
    """
    import torch

    from brainalign.kernels import correlation_rdms

    n_centres, size = members.shape
    n = patterns.shape[1]
    local = patterns.index_select(0, members.reshape(-1)).view(n_centres, size, n)
    mean = torch.bmm(local.new_full((1, 1, size), 1 / size).expand(n_centres, 1, size), local)
    local -= mean
    # On a CPU the product itself holds the norms; elsewhere values are scaled before they are rounded.
    gram = None
    if dtype == torch.float64 and not local.is_cuda:
        values = local.numpy()  # numpy sees that both factors are one, and computes half of the product
        gram = torch.from_numpy(np.matmul(values.transpose(0, 2, 1), values))
    square = local.square().sum(dim=1) if gram is None else gram.diagonal(dim1=1, dim2=2)
    # The rule of `rdm`: what remains of a pattern after centring is rounding.
    constant = square <= 1e-24 * (square + size * mean[:, 0].square())
    scale = square.masked_fill(constant, torch.nan).rsqrt_()
    if gram is None:
        local = local.mul_(scale[:, None]).to(dtype)
        if local.is_cuda:
            return correlation_rdms(local.mT.contiguous().nan_to_num())  # a row of zeros is constant there as well
        gram = torch.bmm(local.mT, local).neg_()
    else:
        gram *= scale[:, :, None]
        gram *= -scale[:, None]
    return gram.view(n_centres, n * n).index_select(1, pairs).add_(1)


def _averaged_distances(
    cube: torch.Tensor, weights: torch.Tensor, first: torch.Tensor, second: torch.Tensor
) -> torch.Tensor:
    """Return means over neighbourhoods of distances at single channels: one sparse product for all centres.

    Euclidean distances and crossnobis distances with diagonal noise are sums over channels, so every channel's own
    distances are taken once and no centre repeats them. The cube is (n_runs, n_conditions, n_channels), weights
    (n_centres, n_channels) are 1 / size where a channel belongs to a centre; of one run distances are Euclidean.
    """
    n_runs = len(cube)
    differences = cube[:, first] - cube[:, second]  # (n_runs, n_pairs, n_channels)
    local = differences.sum(dim=0).square_()
    if n_runs > 1:
        local -= differences.square_().sum(dim=0)
        local /= n_runs * (n_runs - 1)
    return weights @ local.T.to(weights.dtype).contiguous()


def _shrunk_correlation(residuals: torch.Tensor, dof: int) -> torch.Tensor:
    """Return noise correlations (n_centres, size, size) shrunk as by `noise_covariance`.

    Channels of the residuals (n_centres, n_rows, size) have mean 0 and mean square 1. Schäfer & Strimmer (2005).
    """
    import torch

    _, n, size = residuals.shape
    found = torch.bmm(residuals.mT, residuals) / n
    squares = residuals.square()
    # Sums over pairs of different channels, of products of squares and of squared products.
    fourth = squares.sum(dim=2).square().sum(dim=1) - squares.square().sum(dim=(1, 2))
    second = n**2 * (found.square().sum(dim=(1, 2)) - size)
    amount = torch.where(second > 0, n / dof**2 * (fourth * (n - 1) / second - 1), torch.ones_like(second)).clamp(0, 1)
    found *= (1 - amount)[:, None, None]
    found.diagonal(dim1=1, dim2=2).add_(amount[:, None])
    return found


def _whitened_distances(
    cube: torch.Tensor, residuals: torch.Tensor, dof: int, members: torch.Tensor, pairs: torch.Tensor
) -> torch.Tensor:
    """Return distances whitened by the noise of each neighbourhood: a Cholesky factor per centre, no inverse.

    The cube (n_channels, n_runs, n_conditions) is in units of each channel's noise; one run: Mahalanobis, more:
    crossnobis. Channels of the residuals (n_rows, n_channels) have mean 0 and mean square 1.
    """
    import torch

    n_centres, size = members.shape
    _, n_runs, n = cube.shape
    flat = members.reshape(-1)
    noise = residuals.index_select(1, flat).view(-1, n_centres, size).transpose(0, 1)
    factor = torch.linalg.cholesky(_shrunk_correlation(noise, dof))
    local = cube.index_select(0, flat).view(n_centres, size, n_runs * n)
    local = torch.linalg.solve_triangular(factor, local, upper=False).view(n_centres, size, n_runs, n)
    total = local.sum(dim=2)
    gram = torch.bmm(total.mT, total)
    if n_runs > 1:
        runs = local.transpose(1, 2).reshape(n_centres * n_runs, size, n)
        within = torch.bmm(runs.mT, runs).view(n_centres, n_runs, n, n).sum(dim=1)
        gram = (gram - within) / (n_runs * (n_runs - 1))
    own = gram.diagonal(dim1=1, dim2=2)
    i, j = pairs // n, pairs % n
    return (own[:, i] + own[:, j] - 2 * gram.view(n_centres, n * n)[:, pairs]) / size
