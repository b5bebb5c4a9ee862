"""Retrieval inside a shared space: of image vectors, from subject to subject, from modality to modality, and fused.

    kind        queries                                     gallery
    image       every trial of a modality                   vectors of its test images
    averaged    mean over the subjects of a modality        vectors of its test images
    subjects    one subject                                 another subject of the modality, every ordered pair
    modalities  mean over the subjects of one modality      mean over the subjects of another, every ordered pair
    fused       mean over subjects and modalities           vectors of the images that all modalities have

It takes embeddings of any decoder, so that ridge stands in the same table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.scoring import distinct_gallery, shown_ranks, similarity_ranks, stimulus_interval, way_accuracy
from brainalign.decoding.training import Trials
from brainalign.statistics import pairing_test

KINDS = ("image", "averaged", "subjects", "modalities", "fused")


@dataclass(frozen=True)
class _Search:
    """Queries of one row of the table, each part with a gallery of its own over the same stimuli."""

    kind: str
    query: str
    gallery: str
    parts: list[tuple[Values, NDArray[np.intp], Values, NDArray[Any]]]  # queries, shown, gallery, subjects


def space_retrieval(
    embeddings: Mapping[str, Values],
    test: Mapping[str, Trials],
    *,
    kinds: Sequence[str] = KINDS,
    top: Sequence[int] = (1, 5),
    n_permutations: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score embeddings of test trials, one per subject and stimulus, in every direction.

    Parameters
    ----------
    embeddings : mapping of array (n_trials, n_dimensions)
        By modality; compared by cosine.
    test : mapping of Trials
        Repeats averaged; targets are the vectors of the images.
    kinds : sequence of str
        Of "image", "averaged", "subjects", "modalities", "fused".
    top : sequence of int
    n_permutations, confidence, seed : int, float, int

    Returns
    -------
    DataFrame
        A row per search and measure ("top-k", and "2-way", which tells most of weak signals): kind, query, gallery,
        measure, value, low, high (over subjects and stimuli drawn anew; NaN below six stimuli), chance, null_mean,
        null_sd and p (exchanges of distinct stimuli), n_gallery, n_trials, n_stimuli, n_subjects.

    Raises
    ------
    BrainalignError
        If rows do not fit or a subject has several trials of a stimulus.
    """
    for name, trials in test.items():
        check_rows(f"embeddings of {name}", len(embeddings[name]), "its trials", len(trials.meta), "embed every trial")
        if trials.meta.duplicated(["subject", "stimulus_id"]).any():
            raise BrainalignError(f"{name}: a subject has several trials of a stimulus; average them by averaged()")
    searches = (search for search in _searches(embeddings, test) if search.kind in kinds)
    return pd.DataFrame([row for search in searches for row in _rows(search, top, n_permutations, confidence, seed)])


def fused_embedding(
    embeddings: Mapping[str, Values], test: Mapping[str, Trials], ids: Sequence[Any] | NDArray[Any] | None = None
) -> tuple[Values, NDArray[Any]]:
    """Return the mean embedding of every stimulus over modalities and subjects, longer ones counting more.

    Repeats of `test` are averaged; `ids` (returned as well) are the stimuli that all modalities have, where not given.
    """
    ids = _common(list(test.values())) if ids is None else np.asarray(ids)
    tables = [trials.meta for trials in test.values()]
    stacked = np.concatenate([np.asarray(embeddings[name]) for name in test])
    shown = np.concatenate([table["stimulus_id"].to_numpy() for table in tables])
    return _means(stacked, shown, ids), ids


def stimulus_hits(embeddings: Mapping[str, Values], test: Mapping[str, Trials], top: int | None = None) -> pd.DataFrame:
    """Compute how well each stimulus is found among image vectors (n_stimuli, n_modalities), over subjects.

    Parameters
    ----------
    embeddings : mapping of array (n_trials, n_dimensions)
    test : mapping of Trials
    top : int, optional
        The hit rate in the first `top`; where not given 2-way accuracy, the share of other images that are less alike.
    """
    found = {}
    for name, trials in test.items():
        ranks = shown_ranks(embeddings[name], trials.targets, trials.meta["stimulus_id"])
        hits = _by_rank(trials.meta["stimulus_id"].nunique(), top)[ranks - 1]
        found[name] = pd.Series(hits, index=trials.meta["stimulus_id"]).groupby(level=0, sort=False).mean()
    return pd.DataFrame(found)


@dataclass(frozen=True)
class PairedChange:
    """How one way scores beside another on the same stimuli.

    Attributes
    ----------
    value : float
        Mean difference.
    se : float
        Of that mean, over stimuli.
    n_stimuli : int
    """

    value: float
    se: float
    n_stimuli: int

    @property
    def clear(self) -> bool:
        """Tell whether the difference is more than Student's t allows, two-sided at .05."""
        return bool(abs(self.value) > stdtrit(self.n_stimuli - 1, 0.975) * self.se)


def paired_change(hits: pd.DataFrame, other: pd.DataFrame) -> PairedChange:
    """Compute the mean difference of `hits` from `other`, paired by stimulus; modalities count alike.

    Parameters
    ----------
    hits, other : DataFrame (n_stimuli, n_modalities)
        From `stimulus_hits`.
    """
    by_stimulus = (hits - other.reindex(index=hits.index, columns=hits.columns)).mean(axis=1).dropna()
    n = len(by_stimulus)
    se = float(by_stimulus.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return PairedChange(float(by_stimulus.mean()), se, n)


def _searches(embeddings: Mapping[str, Values], test: Mapping[str, Trials]) -> Iterator[_Search]:
    for name, trials in test.items():
        gallery, ids = distinct_gallery(trials.targets, trials.meta["stimulus_id"].to_numpy())
        shown = pd.Index(ids).get_indexer(pd.Index(trials.meta["stimulus_id"]))
        subjects = trials.meta["subject"].to_numpy()
        yield _Search("image", name, "image vectors", [(embeddings[name], shown, gallery, subjects)])
        means, _ = fused_embedding(embeddings, {name: trials}, ids)
        yield _Search("averaged", name, "image vectors", [(means, np.arange(len(ids)), gallery, np.full(len(ids), ""))])
        if pairs := list(_subject_pairs(embeddings[name], trials)):
            yield _Search("subjects", name, name, pairs)
    for one, other in permutations(test, 2):
        ids = _common([test[one], test[other]])
        if len(ids) > 1:
            query, sought = (fused_embedding(embeddings, {name: test[name]}, ids)[0] for name in (one, other))
            yield _Search("modalities", one, other, [(query, np.arange(len(ids)), sought, np.full(len(ids), ""))])
    ids = _common(list(test.values()))
    if len(test) > 1 and len(ids) > 1:
        means, _ = fused_embedding(embeddings, test, ids)
        first = next(iter(test.values()))
        gallery, known = distinct_gallery(first.targets, first.meta["stimulus_id"].to_numpy())
        gallery = gallery[pd.Index(known).get_indexer(pd.Index(ids))]
        yield _Search("fused", "all", "image vectors", [(means, np.arange(len(ids)), gallery, np.full(len(ids), ""))])


def _subject_pairs(
    embeddings: Values, trials: Trials
) -> Iterator[tuple[Values, NDArray[np.intp], Values, NDArray[Any]]]:
    """Yield what every subject asks of every other, over the stimuli that all subjects saw."""
    subjects = pd.unique(trials.meta["subject"])
    of = [trials.meta["subject"].to_numpy() == subject for subject in subjects]
    ids = _common([trials.select(rows) for rows in of])
    if len(ids) < 2:
        return
    shown = trials.meta["stimulus_id"].to_numpy()
    means = [_means(embeddings[rows], shown[rows], ids) for rows in of]
    for one, other in permutations(range(len(subjects)), 2):
        yield means[one], np.arange(len(ids)), means[other], np.full(len(ids), subjects[one])


def _by_rank(n_gallery: int, top: int | None) -> Values:
    """Compute what each rank counts: 1 in the first `top` or, without it, the share of others that it is ahead of."""
    return way_accuracy(n_gallery, 2) if top is None else (np.arange(n_gallery) < top).astype(float)


def _rows(
    search: _Search, top: Sequence[int], n_permutations: int, confidence: float, seed: int
) -> Iterator[dict[str, Any]]:
    ranks = np.concatenate([similarity_ranks(queries, gallery) for queries, _, gallery, _ in search.parts])
    column, who = (np.concatenate([part[k] for part in search.parts]) for k in (1, 3))
    about = {"kind": search.kind, "query": search.query, "gallery": search.gallery}
    n_gallery, n_subjects = ranks.shape[1], len(np.unique(who))
    for k in (*top, None):
        measure, accuracy = "2-way" if k is None else f"top-{k}", _by_rank(n_gallery, k)
        test = pairing_test(accuracy[ranks - 1], column, None, n_permutations, seed)
        own, people, stimuli = accuracy[ranks[np.arange(len(column)), column] - 1], who, column
        if search.kind == "subjects":
            own = _pseudo_values(own.reshape(len(search.parts), -1), n_subjects)
            people, stimuli = np.indices(own.shape).reshape(2, -1)
        low, high = np.clip(stimulus_interval(own.ravel(), people, stimuli, 1000, seed, confidence), 0, 1)
        row = {"measure": measure, "value": test.value, "low": low, "high": high, "chance": accuracy.mean()}
        yield about | row | {**test.against_null(), "n_gallery": n_gallery, **test.counts(), "n_subjects": n_subjects}


def _pseudo_values(pairs: Values, n: int) -> Values:
    """Compute what each of n subjects adds to the mean over ordered pairs (n_subjects, n_stimuli), by the jackknife.

    A subject asks and is asked: drawn by who asks alone, intervals covered 73 % of 95. Of two, the mean alone is known.
    """
    without = [[k not in pair for pair in permutations(range(n), 2)] for k in range(n)]
    mean: Values = pairs.mean(axis=0)
    return n * mean - (n - 1) * np.stack([pairs[rows].mean(axis=0) for rows in without]) if n > 2 else mean[None]


def _common(parts: list[Trials]) -> NDArray[Any]:
    """Return the stimuli that all have, in the order of the first."""
    first = pd.unique(parts[0].meta["stimulus_id"])
    shared = set(first).intersection(*(set(trials.meta["stimulus_id"]) for trials in parts))
    return np.array([stimulus for stimulus in first if stimulus in shared])


def _means(embeddings: Values, shown: NDArray[Any], ids: NDArray[Any]) -> Values:
    rows = pd.Index(ids).get_indexer(pd.Index(shown))
    kept = rows >= 0
    given = np.asarray(embeddings)[kept]
    sums = np.zeros((len(ids), given.shape[1]))
    np.add.at(sums, rows[kept], given)
    return np.asarray(sums / np.maximum(np.bincount(rows[kept], minlength=len(ids))[:, None], 1))


def space_patterns(
    embeddings: Mapping[str, Values], test: Mapping[str, Trials]
) -> Iterator[tuple[str, Values, Values]]:
    """Yield (source, patterns, image vectors) of every modality, subjects averaged, and of all fused."""
    parts = {name: {name: trials} for name, trials in test.items()}
    if len(test) > 1:
        parts["fused"] = dict(test)
    for source, chosen in parts.items():
        patterns, ids = fused_embedding(embeddings, chosen)
        distinct = next(iter(chosen.values())).distinct()
        rows = pd.Index(distinct.meta["stimulus_id"]).get_indexer(pd.Index(ids))
        yield source, patterns, distinct.targets[rows]
