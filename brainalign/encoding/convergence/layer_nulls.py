"""Nulls of a correlation with layer numbers: the layers in another order, and unrelated maps over the areas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.statistics import permutation_test, smooth_map_test, spin_test

EXACT_LAYERS = 8  # up to here every order of layers is tried (40,320)
TIE = 1e-6  # of float32 scores


def layer_orders(n_layers: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return orders of the layers (n_orders, n_layers), the given one first: all of them where they are few."""
    if n_layers <= EXACT_LAYERS:
        return np.array(list(itertools.permutations(range(n_layers))), dtype=np.float64)
    shuffled = rng.permuted(np.tile(np.arange(n_layers), (n_permutations, 1)), axis=1)
    return np.vstack([np.arange(n_layers), shuffled]).astype(np.float64)


def identical_layers(scores: Values) -> bool:
    """Return whether all layers (rows) have the same scores, as copies of one layer have."""
    known = scores[:, np.isfinite(scores).all(axis=0)]
    return len(scores) > 1 and known.size > 0 and float(np.ptp(known, axis=0).max()) <= TIE


def against_layers(weights: Values, target: Values, orders: Values) -> dict[str, object]:
    """Correlate weights · layer number with a target, and compare with the numbers in every order.

    Parameters
    ----------
    weights : array (n, n_layers)
        Which layer, or which mixture of layers, each area or latency belongs to.
    """
    r = _correlation(orders @ weights.T, target)
    # An order that gives every area the same number has no correlation: no reason to doubt the observed one.
    return {"value": float(r[0]), "n": len(target), "p_layers": float((np.nan_to_num(r) >= r[0] - TIE).mean())}


def _correlation(rows: Values, target: Values) -> NDArray[np.float64]:
    """Return r of every row with the target; NaN for a constant row."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    direction = target - target.mean()
    with np.errstate(invalid="ignore"):
        return np.asarray(centred @ direction / np.where(norm > TIE, norm, np.nan) / np.linalg.norm(direction))


@dataclass(frozen=True)
class AreaNulls:
    """Where the areas lie, and how unrelated maps of them are made."""

    distance: Values
    separation: Values
    spins: Sequence[NDArray[np.integer[Any]]] | None
    n_permutations: int
    seed: int

    def test(self, numbers: Values, decided: NDArray[np.intp]) -> dict[str, object]:
        """Compare a map over areas with unrelated ones of the same smoothness, and with areas in any order."""
        rng = np.random.default_rng(self.seed)
        direction = self.distance[decided]
        shuffled = rng.permuted(np.tile(numbers[decided], (self.n_permutations, 1)), axis=1)
        observed = _correlation(numbers[None, decided], direction)[0]
        independent = permutation_test(np.asarray(observed - TIE), _correlation(shuffled, direction))
        if self.spins is None:
            part = self.separation[np.ix_(decided, decided)]
            options = {"n_surrogates": self.n_permutations, "seed": self.seed}
            p = float(smooth_map_test(numbers[decided], direction, part, alternative="greater", **options).p[0])
        else:
            shown = np.full(len(numbers), np.nan)
            shown[decided] = numbers[decided]
            p = float(spin_test(shown, {"distance": self.distance}, self.spins, "greater")["p"].iloc[0])
        name = "smooth random maps" if self.spins is None else "spin"
        return {"p_areas": p, "p_independent_areas": float(independent), "area_null": name}
