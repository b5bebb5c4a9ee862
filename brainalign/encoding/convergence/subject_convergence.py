"""Convergence scores of every subject of a study and of the mean over subjects measured alike.

The mean is of scores, permutations and draws, area by area and time by time, so its nulls are those of the mean. From 5
subjects on it has an interval over resampled subjects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from brainalign.checks import BrainalignError, check_among, listed
from brainalign.encoding.convergence.scores import (
    Convergence,
    LayerScores,
    convergence_scores,
    layer_latencies,
    layer_orders,
    score_row,
    temporal_score,
)
from brainalign.encoding.scoring import FMRI, SplitScores, separations

SPATIAL = ("spatial", "spatial, centre of mass")
NO_ORIGIN = "no region was named from which distances are measured"


class SubjectConvergence(Convergence):
    """Tables of `convergence_scores` with the columns subject ("mean" for the mean) and measured.

    Scores have more columns: low, high: interval of the mean over resampled subjects; n_subjects; ceiling_r: of the
    encoding score, the mean over areas.
    """


def converge_subjects(
    trained: Mapping[str, SplitScores],
    random: Mapping[str, SplitScores],
    *,
    origin: Sequence[str] = (),
    areas: Sequence[str] | None = None,
    n_permutations: int = 5000,
    n_boot: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> SubjectConvergence:
    """Score the convergence of a trained network and of its random twin with every subject.

    Regions give encoding and spatial score, sensors the temporal one; a study may have subjects of both kinds.

    Parameters
    ----------
    trained, random : mapping of SplitScores
        By subject; the same subjects in both.
    origin : sequence of str
        The region, or the regions, distances are measured from (V1); none: no spatial score.
    areas : sequence of str, optional
        The regions that take part: all where not given.
    n_permutations : int
        Of layers and areas.
    n_boot : int
        Resamples of subjects.
    confidence : float
        Of their interval.
    seed : int

    Raises
    ------
    BrainalignError
        If the subjects of both networks differ, or `origin` or `areas` name a region that no subject has.
    """
    if set(trained) != set(random):
        raise BrainalignError(
            f"the trained network has scores of subjects {listed(sorted(trained))}, the random one of "
            f"{listed(sorted(random))}; fit both to the same subjects"
        )
    known = sorted({area for scores in trained.values() for area in scores.areas})
    asked = [*origin, *(areas or ())] if known else []
    check_among("converge.origin or areas", asked, known, "the regions of any subject")
    parts = []
    pairs = {name: (of_areas(trained[name], areas, origin), of_areas(random[name], areas, origin)) for name in trained}
    for measured, subjects, (mine, twin) in cohorts(pairs):
        members = [pairs[name] for name in subjects]
        if reason := mine.reason or twin.reason:  # rows say why there is no score
            names = ("encoding", *SPATIAL) if measured == FMRI else ("temporal",)
            rows = [score_row(of, name, reason=reason) for of in ("trained", "random") for name in names]
            found = SubjectConvergence(pd.DataFrame(rows), pd.DataFrame(), pd.DataFrame())
        elif measured == FMRI:
            found = _of_areas(mine, twin, origin, n_permutations, seed)
        else:
            found = _of_sensors(mine, twin, n_permutations, seed)
        intervals = {
            network: resampled_subjects([member[k] for member in members], found, network, n_boot, confidence, seed)
            for k, network in enumerate(("trained", "random"))
        }
        scores = found.scores.assign(n_subjects=len(members), low=np.nan, high=np.nan)
        for k, row in scores.iterrows():
            scores.loc[k, ["low", "high"]] = intervals[row["network"]].get(row["score"], (np.nan, np.nan))
        name = subjects[0] if len(subjects) == 1 else MEAN
        parts.append([table.assign(subject=name, measured=measured) for table in (scores, found.areas, found.layers)])
    return SubjectConvergence(*[pd.concat([part[k] for part in parts], ignore_index=True) for k in range(3)])


def of_areas(scores: SplitScores, areas: Sequence[str] | None, origin: Sequence[str]) -> SplitScores:
    """Return the scores of some areas, with their distance from the origin as one more array (NaN where unknown).

    Areas without coordinates are left out where others have them.
    """
    if scores.measured != FMRI or scores.reason:
        return scores
    places = scores.arrays["places"].astype(np.float64)
    placed = np.asarray(np.isfinite(places).all(axis=1))
    start = placed & np.isin(scores.areas, list(origin))
    # Of no place at all the distance is NaN, and so is that of an area without one.
    distance = np.linalg.norm(places - (places[start].mean(axis=0) if start.any() else np.nan), axis=1)
    kept = np.array([areas is None or name in areas for name in scores.areas], dtype=bool)
    if placed[kept].any():
        kept &= placed
    names = [name for name, keep in zip(scores.areas, kept, strict=True) if keep]
    everything = {**scores.arrays, "distance": distance}
    arrays = {name: values[kept] if name == "places" else values[..., kept] for name, values in everything.items()}
    return replace(scores, areas=names, arrays=arrays, reason="" if names else "no region takes part")


def _of_areas(
    trained: SplitScores, random: SplitScores, origin: Sequence[str], n_permutations: int, seed: int
) -> SubjectConvergence:
    distance = trained.arrays["distance"]
    known = bool(np.isfinite(distance).all())
    found = convergence_scores(
        _layer_scores(trained),
        distance if known else np.zeros(len(distance)),
        random=_layer_scores(random),
        separation_mm=separations(trained.arrays["places"].astype(np.float64)) if known else None,
        layers=trained.layers,
        random_layers=random.layers,
        areas=trained.areas,
        n_permutations=n_permutations,
        seed=seed,
    )
    scores = found.scores[found.scores["score"] != "temporal"].reset_index(drop=True)
    if not known:
        named = f"{listed(list(origin))} is not among the regions of the subject, or the targets have no coordinates"
        scores.loc[scores["score"].isin(SPATIAL), "reason"] = named if origin else NO_ORIGIN
    ceiling = trained.arrays["ceiling_r"].astype(np.float64)
    shown = np.isfinite(ceiling).any()
    scores["ceiling_r"] = np.where(scores["score"] == "encoding", np.nanmean(ceiling) if shown else np.nan, np.nan)
    return SubjectConvergence(scores, found.areas if known else found.areas.assign(distance_mm=np.nan), found.layers)


def _layer_scores(scores: SplitScores) -> LayerScores:
    names = ("choice_r", "choice_draws", "choice_null", "r", "null")
    return LayerScores(*(scores.arrays[name].astype(np.float64) for name in names))


def _of_sensors(trained: SplitScores, random: SplitScores, n_permutations: int, seed: int) -> SubjectConvergence:
    rows, layers = [], []
    for network, scores in (("trained", trained), ("random", random)):
        r, draws, null, times = (scores.arrays[name].astype(np.float64) for name in ("r", "draws", "null", "times_s"))
        latencies = layer_latencies(r, draws, null, times, scores.layers)
        orders = layer_orders(len(scores.layers), n_permutations, np.random.default_rng(seed))
        rows.append(score_row(network, "temporal", **temporal_score(r, times, latencies, orders)))
        layers.append(latencies.assign(network=network))
    return SubjectConvergence(pd.DataFrame(rows), pd.DataFrame(), pd.concat(layers, ignore_index=True))


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


def cohorts(pairs: Mapping[str, tuple[SplitScores, ...]]) -> Iterator[tuple[str, list[str], tuple[SplitScores, ...]]]:
    """Yield (how they were measured, subjects, their mean scores): each subject, then all measured alike."""
    kinds = {name: members[0].measured for name, members in pairs.items()}
    for kind in dict.fromkeys(kinds.values()):
        names = [name for name in pairs if kinds[name] == kind]
        for name in names:
            yield kind, [name], pairs[name]
        whole = [name for name in names if not any(scores.reason for scores in pairs[name])]
        if len(whole) > 1:
            yield kind, whole, tuple(mean_scores(some) for some in zip(*(pairs[name] for name in whole), strict=True))


def resampled_subjects(
    subjects: Sequence[SplitScores], found: SubjectConvergence, network: str, n_boot: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Return intervals of the scores of the mean over subjects drawn with replacement; none with fewer than 5.

    By Student's t about the score. Best layers of draws are less sure than those of all, and lie lower: percentiles,
    expanded as those of `bootstrap`, covered down to .11, these .88 to .99. Areas and layers that are decided for all
    subjects together take part in every draw.
    """
    if len(subjects) < MIN_SUBJECTS or (found.areas.empty and found.layers.empty):
        return {}
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    areas = list(dict.fromkeys(found.areas["area"])) if len(found.areas) else []
    if areas:
        table = found.areas[found.areas["network"] == network].set_index("area").reindex(areas)
        decided, distance = table["decided"].to_numpy(dtype=bool), table["distance_mm"].to_numpy(dtype=float)
        places = [(s, [s.areas.index(a) for a in areas]) for s in subjects]
        choices, rs = (np.stack([s.arrays[name][:, of] for s, of in places]) for name in ("choice_r", "r"))
    else:
        decided = found.layers.loc[found.layers["network"] == network, "decided"].to_numpy(dtype=bool)
        times = subjects[0].arrays["times_s"]
        rs = np.stack([s.arrays["r"][decided][:, times >= 0] for s in subjects])
    for _ in range(n_boot):
        some = rng.integers(0, len(subjects), len(subjects))
        r = rs[some].mean(axis=0)
        if areas:
            best = np.nan_to_num(choices[some].mean(axis=0), nan=-np.inf).argmax(axis=0)
            draws.setdefault("encoding", []).append(float(np.nanmean(r[best, np.arange(len(best))])))
            draws.setdefault("spatial", []).append(order_of(best[decided], distance[decided]))
        else:
            peaks = times[times >= 0][r.argmax(axis=1)] if len(r) else np.empty(0)
            draws.setdefault("temporal", []).append(order_of(np.flatnonzero(decided), peaks))
    n, of = len(subjects), found.scores[found.scores["network"] == network].set_index("score")["value"]
    reach = np.array([-1, 1]) * stdtrit(n - 1, (1 + confidence) / 2) * np.sqrt(n / (n - 1))
    known = {name: np.array(some)[np.isfinite(some)] for name, some in draws.items()}
    # An interval of the draws that happen to be defined would be too narrow.
    return {
        name: tuple(np.clip(of[name] + reach * some.std(), -1, 1).tolist())
        for name, some in known.items()
        if len(some) >= confidence * n_boot
    }


def order_of(numbers: NDArray[np.integer], along: NDArray[np.floating]) -> float:
    """Return the correlation of layer numbers with distance or time; NaN where either is constant."""
    if len(numbers) < 3 or np.ptp(numbers) == 0 or not np.isfinite(along).all() or np.ptp(along) == 0:
        return float("nan")
    return float(np.corrcoef(numbers, along)[0, 1])
