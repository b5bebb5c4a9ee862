"""Scores averaged over subjects, and intervals of convergence scores over resampled subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainalign.encoding.scoring import FMRI, SplitScores

if TYPE_CHECKING:
    from brainalign.encoding.convergence.subject_convergence import SubjectConvergence

MEAN = "mean"
MIN_SUBJECTS = 5  # fewer say nothing of other subjects


def mean_scores(subjects: Sequence[SplitScores]) -> SplitScores:
    """Return scores averaged over subjects: areas that all have, or the same times.

    The k-th permutation of the mean is the mean of the subjects' k-th permutations: the same order of stimuli where
    they saw the same test stimuli, independent orders else.
    """
    without = [scores for scores in subjects if scores.reason]
    if without:
        return without[0]
    first = subjects[0]
    if any(scores.layers != first.layers for scores in subjects):
        return replace(first, arrays={}, reason="subjects have scores of other layers")
    areas = [name for name in first.areas if all(name in scores.areas for scores in subjects)]
    if first.measured == FMRI and not areas:
        return replace(first, arrays={}, reason="subjects have no region in common")
    stacks: dict[str, list[NDArray[np.floating]]] = {}
    for scores in subjects:
        columns = [scores.areas.index(name) for name in areas]
        for name, values in scores.arrays.items():
            if areas:
                values = values[columns] if name == "places" else values[..., columns]
            stacks.setdefault(name, []).append(values)
    if any(len({values.shape for values in some}) > 1 for some in stacks.values()):
        return replace(first, arrays={}, reason="subjects were measured at different times")
    if "times_s" in stacks and not np.allclose(stacks["times_s"], stacks["times_s"][0]):
        return replace(first, arrays={}, reason="subjects were measured at different times")
    return replace(first, areas=areas, arrays={name: np.mean(some, axis=0) for name, some in stacks.items()})


def cohorts(
    pairs: Mapping[str, tuple[SplitScores, ...]],
) -> Iterator[tuple[str, list[str], tuple[SplitScores, ...]]]:
    """Yield (how they were measured, subjects, their mean scores): each subject, then all measured alike.

    Parameters
    ----------
    pairs : mapping of tuples of SplitScores
        By subject: of several networks, in the same order in every subject.
    """
    kinds = {name: members[0].measured for name, members in pairs.items()}
    for kind in dict.fromkeys(kinds.values()):
        names = [name for name in pairs if kinds[name] == kind]
        for name in names:
            yield kind, [name], pairs[name]
        whole = [name for name in names if not any(scores.reason for scores in pairs[name])]
        if len(whole) > 1:
            yield kind, whole, tuple(mean_scores(some) for some in zip(*(pairs[name] for name in whole), strict=True))


def resampled_subjects(
    subjects: Sequence[SplitScores],
    found: SubjectConvergence,
    network: str,
    n_boot: int,
    confidence: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return intervals of the scores of the mean over subjects drawn with replacement; none with fewer than 5.

    Areas and layers that are decided for all subjects together take part in every draw.
    """
    if len(subjects) < MIN_SUBJECTS or (found.areas.empty and found.layers.empty):
        return {}
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    areas = list(dict.fromkeys(found.areas["area"])) if len(found.areas) else []
    for _ in range(n_boot):
        some = [subjects[k] for k in rng.integers(0, len(subjects), len(subjects))]
        if areas:
            table = found.areas[found.areas["network"] == network].set_index("area")
            choice, r = (
                np.mean([s.arrays[name][:, [s.areas.index(a) for a in areas]] for s in some], axis=0)
                for name in ("choice_r", "r")
            )
            best = np.nan_to_num(choice, nan=-np.inf).argmax(axis=0)
            draws.setdefault("encoding", []).append(float(np.nanmean(r[best, np.arange(len(best))])))
            decided = table["decided"].reindex(areas).to_numpy(dtype=bool)
            distance = table["distance_mm"].reindex(areas).to_numpy(dtype=float)
            draws.setdefault("spatial", []).append(order_of(best[decided], distance[decided]))
        else:
            decided = found.layers.loc[found.layers["network"] == network, "decided"].to_numpy(dtype=bool)
            times = some[0].arrays["times_s"]
            course = np.mean([s.arrays["r"] for s in some], axis=0)[decided][:, times >= 0]
            peaks = times[times >= 0][course.argmax(axis=1)] if len(course) else np.empty(0)
            draws.setdefault("temporal", []).append(order_of(np.flatnonzero(decided), peaks))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    known = {name: np.array(some)[np.isfinite(some)] for name, some in draws.items()}
    # An interval of the draws that happen to be defined would be too narrow.
    return {
        name: (float(np.quantile(some, tails[0])), float(np.quantile(some, tails[1])))
        for name, some in known.items()
        if len(some) >= confidence * n_boot
    }


def order_of(numbers: NDArray[np.integer], along: NDArray[np.floating]) -> float:
    """Return the correlation of layer numbers with distance or time; NaN where either is constant."""
    if len(numbers) < 3 or np.ptp(numbers) == 0 or not np.isfinite(along).all() or np.ptp(along) == 0:
        return float("nan")
    return float(np.corrcoef(numbers, along)[0, 1])
