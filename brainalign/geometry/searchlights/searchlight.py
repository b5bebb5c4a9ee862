"""Searchlights: the RDM around every voxel or vertex, some centres at a time.

torch is imported where RDMs are computed: what else lies in this folder does without it.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.devices import pick_device, target_block
from brainalign.geometry.rdms import design_of
from brainalign.geometry.searchlights.neighbourhoods import Neighbourhoods

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

    Raises
    ------
    BrainalignError
        If shapes or labels do not fit, or correlation is to be whitened.
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
        patterns = np.asarray(patterns, dtype=np.float64)
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
                raise BrainalignError(
                    f"crossnobis multiplies runs with each other and needs 2 or more; got {len(cube)}"
                )
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

        from brainalign.geometry.searchlights.local_rdms import averaged_distances

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
            found[:, part] = averaged_distances(cube, weights, first[part], second[part]).cpu().numpy()
        return found

    def _gathered(self, chosen: Neighbourhoods) -> Values:
        """Gather the channels of centres of one size, some centres at a time."""
        import torch

        from brainalign.geometry.searchlights.local_rdms import gathered_correlations, pair_index, whitened_distances

        n_runs, n, _ = self.cube.shape
        pairs = pair_index(n, self.device)
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
                    local = gathered_correlations(cube[:, 0], some, pairs, getattr(torch, self.dtype))
                else:
                    local = whitened_distances(cube, noise, self._dof, some, pairs)
                found[rows[start : start + at_once]] = local.cpu().numpy()
        return found


def searchlight_rdms(
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
) -> Values:
    """Return the RDM of the channels around every centre: what `rdm` gives for the channels of each, in one go.

    Parameters
    ----------
    patterns, neighbourhoods, method, conditions, runs, residuals, dof, noise, device, dtype
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
    search = Searchlight(
        patterns, neighbourhoods, method, conditions, runs, residuals=residuals, dof=dof, noise=noise, device=device,
        dtype=dtype,
    )  # fmt: skip
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
    deviations = residuals - residuals.mean(axis=0)
    root = np.sqrt(np.square(deviations).mean(axis=0))
    return deviations / np.where(root > 0, root, 1), root * np.sqrt(len(residuals) / dof), dof
