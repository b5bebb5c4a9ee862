"""Scores of a network's layers on two halves of the test stimuli: one chooses layers, the other scores them.

What convergence scores are made of. Sensors need no halves: nothing is chosen by their scores, so all stimuli count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.statistics import bootstrap_correlations, group_means, pearson, permuted_correlations
from brainalign.study import MIN_TEST

FMRI = "fMRI"


@dataclass(frozen=True)
class SplitScores:
    """Scores of the layers of one network in one subject.

    Attributes
    ----------
    layers : list of str
        From input to output; none where layers were not fitted one by one.
    areas : list of str
        Regions; none for sensors.
    measured : str
        "fMRI", or the types of the sensors: only subjects measured alike are averaged.
    arrays : dict
        Areas: choice_r (n_layers, n_areas), choice_draws and choice_null (n, n_layers, n_areas) from one half of the
        test stimuli; r, draws and null from the other; places (n_areas, 3) in mm; ceiling_r (n_areas,), the mean over
        targets of the square root of their noise ceiling. Sensors: r, draws and null over
        times (n_layers, n_times), means over sensors, from all test stimuli; times_s (n_times,).
    n_stimuli : tuple of int
        Test stimuli of the half that chooses and of the half that scores; of sensors 0 and all.
    seed : int
        Of the halves, draws and permutations.
    reason : str
        Why there are no scores, or "".
    """

    layers: list[str] = field(default_factory=list)
    areas: list[str] = field(default_factory=list)
    measured: str = FMRI
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    n_stimuli: tuple[int, int] = (0, 0)
    seed: int = 0
    reason: str = ""

    @property
    def details(self) -> dict[str, object]:
        """What is no array, as JSON values: the sidecar of an artifact."""
        return {name: value for name, value in vars(self).items() if name != "arrays"}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any]) -> Self:
        """Put arrays and details of an artifact together again."""
        known = {name: details[name] for name in cls.__dataclass_fields__ if name in details}
        return cls(**known | {"arrays": dict(arrays), "n_stimuli": tuple(details["n_stimuli"])})


def half_rows(stimulus_ids: Sequence[str] | NDArray[Any], seed: int) -> tuple[Rows, Rows]:
    """Return the rows of two halves of the stimuli: the same for the same stimuli, whatever their order.

    Both in one order of the ids, so that draws and permutations of them are paired over subjects; the first is the
    smaller one where the number is odd. Each id occurs once.

    Examples
    --------
    >>> [rows.tolist() for rows in half_rows(["a", "b", "c", "d"], seed=0)]
    [[2, 1], [0, 3]]
    """
    shuffled = np.random.default_rng([seed, 2]).permutation(np.argsort(np.asarray(stimulus_ids), kind="stable"))
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def split_scores(
    results: Mapping[str, HeldOut],
    targets: pd.DataFrame,
    groups: Mapping[str, Rows],
    times_s: Values | None = None,
    *,
    ceiling: Values | None = None,
    n_permutations: int = 1000,
    n_draws: int = 1000,
    seed: int = 0,
) -> SplitScores:
    """Score layers that were fitted one by one on disjoint halves of the test stimuli.

    Parameters
    ----------
    results : mapping of HeldOut
        By layer, from input to output, all of the same test stimuli and groups.
    targets : DataFrame (n_targets)
        Of the responses: hemi, x_mm, y_mm, z_mm; sensor_type of sensors.
    groups : mapping of arrays of target numbers
        Areas; for sensors one group per time, in order.
    times_s : array (n_times,), optional
        For sensors.
    ceiling : array (n_targets,), optional
        Noise ceiling of every target (variance units), to be shown beside the scores.
    n_permutations, n_draws : int
        Of each half.
    seed : int

    Returns
    -------
    SplitScores
        With a reason and no arrays where no area has a target, or there are fewer than 14 test stimuli.
    """
    layers, names = list(results), list(groups)
    first = next(iter(results.values()))
    n = len(first.test_ids)
    sizes = {"n_permutations": n_permutations, "n_draws": n_draws, "seed": seed}
    if times_s is not None:
        order = np.argsort(first.test_ids, kind="stable")  # every subject met them in another one
        arrays = _scored(results, {"": order}, list(groups.values()), **sizes) | {"times_s": np.asarray(times_s)}
        types = " and ".join(sorted(set(targets["sensor_type"].astype(str))))
        return SplitScores(layers, [], types, arrays, (0, n), seed)
    halves = half_rows(first.test_ids, seed)
    if not names:
        return SplitScores(layers, reason="no target lies in a named region")
    if len(halves[0]) < MIN_TEST:
        return SplitScores(
            layers, names, reason=f"{n} test images cannot be halved: either half needs {MIN_TEST}, for a null"
        )
    some = [groups[name] for name in names]
    if not sum(map(len, some)):
        return SplitScores(layers, names, reason="no target of a region was scored")
    arrays = _scored(results, dict(zip(("choice_", ""), halves, strict=True)), some, **sizes)
    limit = np.full(len(targets), np.nan) if ceiling is None else np.sqrt(np.maximum(ceiling, 0))
    arrays |= {"ceiling_r": group_means(limit, some).astype(np.float32), "places": area_places(targets, some)}
    return SplitScores(layers, names, FMRI, arrays, (len(halves[0]), len(halves[1])), seed)


def _scored(
    results: Mapping[str, HeldOut],
    halves: Mapping[str, Rows],
    groups: Sequence[Rows],
    n_permutations: int,
    n_draws: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Return r of groups, its draws and its null on some rows of the test stimuli, by layer; names get a prefix."""
    # Only targets of groups: the null of all others would take most of the time.
    used = np.unique(np.concatenate(groups))
    inside, parts = [np.searchsorted(used, rows) for rows in groups], dict[str, list[Values]]()
    for found in results.values():
        for k, (prefix, rows) in enumerate(halves.items()):
            x, y = found.predicted[rows][:, used], found.measured[rows][:, used]
            draws = bootstrap_correlations(x, y, inside, n_draws=n_draws, seed=seed)
            # The same seed for all layers of all networks: nulls are paired.
            null = permuted_correlations(x, y, n_permutations, [seed, k], groups=inside).group_r
            scores = {"r": group_means(pearson(x, y), inside), "draws": draws, "null": null}
            for name, values in scores.items():
                parts.setdefault(f"{prefix}{name}", []).append(values)
    stacks = {name: np.stack(some, axis=0 if name.endswith("r") else 1) for name, some in parts.items()}
    return {name: values.astype(np.float32) for name, values in stacks.items()}


AXES = ["x_mm", "y_mm", "z_mm"]


def area_places(targets: pd.DataFrame, groups: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the centroid of every area (n_areas, 3), the right hemisphere mirrored; NaN without coordinates.

    A region usually has a part in each hemisphere. The midpoint of both would lie between the hemispheres, as far from
    V1 for a lateral region as for a medial one; mirrored, distances are those within a hemisphere. Targets have x_mm
    (negative on the left), y_mm, z_mm; hemi "L", "R", or "" where x tells the side.
    """
    if not set(AXES) <= set(targets.columns):
        return np.full((len(groups), 3), np.nan)
    places = targets[AXES].to_numpy(dtype=np.float64, copy=True)
    hemi = targets["hemi"].to_numpy(dtype=str)
    right = (hemi == "R") | ((hemi == "") & (places[:, 0] > 0))
    places[right, 0] *= -1
    known = np.isfinite(places).all(axis=1)
    kept = [np.asarray(rows)[known[rows]] for rows in groups]
    return np.array([places[rows].mean(axis=0) if len(rows) else np.full(3, np.nan) for rows in kept]).reshape(-1, 3)


def separations(places: Values) -> NDArray[np.float64]:
    """Return straight distances between areas (n_areas, n_areas), in the unit of their places."""
    return np.asarray(np.linalg.norm(places[:, None] - places, axis=2), dtype=np.float64)
