"""What has a query of its own, and which targets read it: ROIs, hemispheres, single targets, or parcels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.regression import Array

N_COMPONENTS = 64  # of response profiles: parcels lie in the leading ones, and k-means on all rows takes far longer

Members = tuple[list[str], NDArray[np.bool_]]


def members_of(
    queries: Literal["roi", "target", "hemisphere"], roi: Array | Sequence[object] | None, n_targets: int, *, rest: bool
) -> Members:
    """Return the names of the queries and which targets read them (n_queries, n_targets).

    Raises
    ------
    BrainalignError
        If `roi` is missing, of no use or of the wrong shape, a ROI has no targets, or a target has no ROI.
    """
    if queries == "target":
        if roi is not None:
            raise BrainalignError("queries 'target' gives every target a query of its own; leave roi out")
        return [str(target) for target in range(n_targets)], np.eye(n_targets, dtype=bool)
    if roi is None:
        wanted = "labels or membership" if queries == "roi" else "'L' or 'R' per target"
        raise BrainalignError(f"queries {queries!r} needs roi={wanted} to know which targets a query has")
    values = np.asarray(roi.cpu() if isinstance(roi, torch.Tensor) else roi)
    names, members = _of_membership(values, n_targets) if values.ndim == 2 else _of_labels(values, n_targets)
    if queries == "hemisphere" and not {"L", "R"}.issuperset(names):
        raise BrainalignError(f"roi has labels {listed(names)}; queries 'hemisphere' wants 'L' or 'R' for each target")
    outside = ~members.any(axis=0)
    if outside.any() and not rest:
        raise BrainalignError(
            f"{int(outside.sum())} of {n_targets} targets are in no ROI (columns "
            f"{listed(np.flatnonzero(outside).tolist())}); drop them with "
            "responses.select(targets=...), or set rest=True for one more query that they share"
        )
    if outside.any():
        names, members = [*names, "rest"], np.vstack([members, outside])
    return names, members


def parcels_of(Y: NDArray[Any], n_parcels: int, seed: int) -> Members:
    """Cluster targets by their responses: k-means on profiles scaled to unit variance.

    Parameters
    ----------
    Y : array (n_rows, n_targets)
        Of the rows a network is trained on, and no others. Missing responses (NaN) count as the target's mean.

    Raises
    ------
    BrainalignError
        If there are more parcels than targets, or fewer than one.
    """
    if not 1 <= n_parcels <= Y.shape[1]:
        raise BrainalignError(f"n_parcels is {n_parcels} but Y has {Y.shape[1]} targets; take 1 to {Y.shape[1]}")
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    profiles = ((Y - np.nanmean(Y, axis=0)) / np.nanstd(Y, axis=0)).T
    profiles = np.nan_to_num(profiles)
    if min(profiles.shape) > N_COMPONENTS:
        profiles = PCA(N_COMPONENTS, svd_solver="randomized", random_state=seed).fit_transform(profiles)
    labels = KMeans(n_parcels, n_init=3, random_state=seed).fit_predict(profiles)
    found = np.unique(labels)  # fewer than asked for where targets are copies of each other
    return [f"parcel{number}" for number in found], labels == found[:, None]


def _of_labels(values: NDArray[Any], n_targets: int) -> Members:
    """Return the membership that labels say, in order of first appearance; "", None and NaN are no label."""
    if values.ndim != 1:
        raise BrainalignError(f"roi has shape {values.shape}; give a label per target, or a boolean row per ROI")
    check_rows("roi", len(values), "the targets of Y", n_targets, "give one label per target")
    labels = np.array(["" if value is None or value != value else str(value) for value in values.tolist()])
    names = [name for name in dict.fromkeys(labels.tolist()) if name]
    if not names:
        raise BrainalignError(f"none of the {n_targets} targets has a label in roi; name the ROI of each")
    return names, labels == np.array(names)[:, None]


def _of_membership(values: NDArray[Any], n_targets: int) -> Members:
    if values.dtype != bool or values.shape[1] != n_targets:
        raise BrainalignError(
            f"roi has shape {values.shape} and dtype {values.dtype} but Y has {n_targets} targets; "
            "membership is boolean, (n_rois, n_targets)"
        )
    empty = np.flatnonzero(~values.any(axis=1)).tolist()
    if empty or not len(values):
        raise BrainalignError(
            f"{len(empty)} of {len(values)} ROIs have no members (rows {listed(empty)}); leave them out"
        )
    return [str(number) for number in range(len(values))], values
