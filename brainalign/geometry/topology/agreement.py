"""Layers of a network against regions under every transform: how well they fit, and whether subjects agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.condensed import condensed_rdms
from brainalign.geometry.inference import compare
from brainalign.geometry.topology.geotopology import geotopological


@dataclass(frozen=True)
class LayerAgreement:
    """Layers compared with regions under one transform.

    Attributes
    ----------
    fit : array (n_subjects, n_regions, n_layers)
        Pearson's r of transformed RDMs.
    best : array (n_regions,) of int
        Layer of the largest mean fit over subjects; -1 where there is none.
    agreement : array (n_regions,)
        Share of subjects whose best layer is the one that the mean of the others says; chance is 1 / n_layers.
    """

    fit: Values
    best: NDArray[np.intp]
    agreement: Values


def layer_agreement(
    rdms: Values, layers: Values, transforms: Mapping[str, tuple[float, float] | None]
) -> dict[str, LayerAgreement]:
    """Compare the layers of a network with the regions of subjects under several transforms of both.

    Parameters
    ----------
    rdms : array (n_subjects, n_regions, n_pairs)
        All NaN where a subject lacks a region.
    layers : array (n_layers, n_pairs)
    transforms : mapping of (float, float) or None
        By name, the thresholds of `geotopological`; None leaves RDMs as they are.

    Raises
    ------
    BrainalignError
        If the numbers of pairs differ.
    """
    rdms, layers = (
        condensed_rdms("rdms", rdms, "n_subjects", "n_regions"),
        condensed_rdms("layers", layers, "n_layers", some_pairs=True),
    )
    if rdms.shape[-1] != layers.shape[-1]:
        raise BrainalignError(
            f"RDMs of regions have {rdms.shape[-1]} pairs and those of layers {layers.shape[-1]}; both need the pairs "
            "of the same stimuli"
        )
    found = {}
    for name, cell in transforms.items():
        regions, of_model = (x if cell is None else geotopological(x, *cell) for x in (rdms, layers))
        fit = compare(regions.reshape(-1, rdms.shape[-1]), of_model, "pearson").reshape(*rdms.shape[:2], len(layers))
        found[name] = _agreement(fit)
    return found


def _agreement(fit: Values) -> LayerAgreement:
    there: NDArray[np.bool_] = np.asarray(np.isfinite(fit).all(axis=2))  # (n_subjects, n_regions)
    shown = np.where(there[..., None], fit, 0)
    total, n = shown.sum(axis=0), there.sum(axis=0)
    best = np.where(n > 0, total.argmax(axis=1), -1)
    others = (total - shown).argmax(axis=2)
    tested = there & (n > 1)
    hits = ((others == shown.argmax(axis=2)) & tested).sum(axis=0)
    return LayerAgreement(fit, best, hits / np.where(n > 1, n, np.nan))
