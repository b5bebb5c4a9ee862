"""What is known of a trial without any brain signal, decoded and scored as the decoder is.

Length, word frequency, fixations, place in the session, subject and task go along with many things that a decoder seems
to read; so do the luminance, contrast and spectrum of images.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.decoding.scoring.pair_scores import PairScore, label_hits, retrieval_hits
from brainalign.decoding.scoring.retrieval import group_of_stimuli
from brainalign.decoding.training import Trials, check_unseen
from brainalign.regression import Ridge
from brainalign.statistics import held_out_prediction, pairing_test
from brainalign.study import words

# Nuisances that are numbers of the table as they stand; columns by their beginning.
NUMBERS = {"fixations": "n_fixations", "luminance": "luminance", "contrast": "contrast", "spectrum": "spectrum_"}
CHUNK = 2**20  # distances between trials that are held at once
N_BINS = 20  # of numbers: a line cannot follow blocks of the session, nor vectors that curve with length
NEIGHBOURS = "neighbours in time"
# What a slow drift of the recording can tell: whole blocks left out answer these, too.
OF_TIME = ("trial index", NEIGHBOURS, "all")


@dataclass(frozen=True)
class NuisanceScores:
    """What is reached without any signal.

    Attributes
    ----------
    table : DataFrame
        A row per nuisance ("nothing": the mean vector or the most frequent label of training trials) and measure:
        nuisance, measure, value, chance, null_sd, p, n_trials, n_stimuli.
    pair_scores : dict
        By (nuisance, measure), array (n_trials, n_stimuli): for comparison with a decoder trial by trial.
    """

    table: pd.DataFrame
    pair_scores: dict[tuple[str, str], Values]


def neighbours_in_time(
    train: pd.DataFrame, targets: Values, test: pd.DataFrame, width: float | None = None
) -> tuple[Values, Values]:
    r"""Average the targets of training trials that lie near in the session: all that a slow drift can tell.

    Weights are exp(−\|Δ trial_index\| / width) within subject and task. A training trial is not averaged with trials of
    its own stimulus. Trials of a subject or task without training trials get the mean of all.

    Parameters
    ----------
    train, test : DataFrame
        Tables of trials with stimulus_id, subject, task and trial_index.
    targets : array (n_train, n_dimensions)
    width : float, optional
        Trials; where not given, the one that predicts training trials best from the others.
    """
    if width is None:
        place = train["trial_index"].to_numpy(dtype=float)
        span = max(float(np.ptp(place)) / 4, 1.0)
        widths = 2.0 ** np.arange(int(np.log2(span)) + 1)
        errors = np.zeros(len(widths))
        for rows, near, distance in _nearby(train, targets, train, True):
            means = (_weighted(near, distance, one) for one in widths)
            errors += [np.square(found - targets[rows]).sum() for found in means]
        width = float(widths[int(np.argmin(errors))])
    return _local_means(train, targets, train, width, True), _local_means(train, targets, test, width, False)


def _local_means(train: pd.DataFrame, targets: Values, asked: pd.DataFrame, width: float, spare: bool) -> Values:
    means = np.tile(targets.mean(axis=0), (len(asked), 1))
    for rows, near, distance in _nearby(train, targets, asked, spare):
        means[rows] = _weighted(near, distance, width)
    return means


def _weighted(near: Values, distance: Values, width: float) -> Values:
    weights = np.exp(-distance / width)
    return np.asarray(weights @ near / weights.sum(axis=1, keepdims=True))


def _nearby(
    train: pd.DataFrame, targets: Values, asked: pd.DataFrame, spare: bool
) -> Iterator[tuple[NDArray[np.intp], Values, Values]]:
    """Give rows of `asked`, targets of the training trials of their session, and how much farther than the nearest."""
    both = pd.concat([train, asked], ignore_index=True)
    group = both.groupby(["subject", "task"], sort=False).ngroup().to_numpy()
    stimulus = pd.factorize(both["stimulus_id"])[0]
    place = both["trial_index"].to_numpy(dtype=float)
    is_train = np.arange(len(both)) < len(train)
    for one in np.unique(group[is_train]):
        own, others = np.flatnonzero((group == one) & is_train), np.flatnonzero((group == one) & ~is_train)
        near, step = targets[own], max(1, CHUNK // len(own))
        for start in range(0, len(others), step):
            rows = others[start : start + step]
            distance = np.abs(place[rows][:, None] - place[own])
            if spare:
                distance[stimulus[rows][:, None] == stimulus[own]] = np.inf
            nearest = distance.min(axis=1, keepdims=True)
            known = np.isfinite(nearest[:, 0])
            # far from all: the nearest, not 0 / 0
            yield rows[known] - len(train), near, distance[known] - nearest[known]


def decode_neighbours(
    train: Trials, test: Trials, label: str | None = None, answers: Callable[[Values], Any] | None = None
) -> Any | None:
    """Decode test trials from training trials near them in the session, see `neighbours_in_time`.

    None where the tables have no trial_index.
    """
    if "trial_index" not in train.meta or "trial_index" not in test.meta:
        return None
    if label is None:
        vectors = neighbours_in_time(train.meta, np.asarray(train.targets, dtype=float), test.meta)[1]
        return vectors if answers is None else answers(vectors)
    levels, targets = _one_hot(train, label)
    return levels[neighbours_in_time(train.meta, targets, test.meta)[1].argmax(axis=1)]


def _one_hot(trials: Trials, label: str) -> tuple[NDArray[Any], Values]:
    values = trials.column(label)[label].to_numpy(dtype=object)
    levels = np.asarray(pd.unique(values), dtype=object)
    return levels, (values[:, None] == levels).astype(float)


def nuisance_features(train: Trials, test: Trials, label: str | None = None) -> dict[str, tuple[Values, Values]]:
    """Return features of training and test trials by nuisance, from the columns the tables have.

    Parameters
    ----------
    train, test : Trials
        From text: "length" (words) and "word frequency" (mean log frequency in the training texts); from trial_index
        "trial index" and "neighbours in time" (targets of training trials nearby, see `neighbours_in_time`); "subject";
        "task"; from n_fixations "fixations"; from the columns of `image_properties` "luminance", "contrast",
        "spectrum". Columns without any number are left out. Of a number there is itself, and which of 20 stretches with
        equally many training trials it lies in: signals may tell of it what no line does.
    label : str, optional
        Column whose values neighbours in time have, in place of targets.

    Raises
    ------
    BrainalignError
        If a stimulus is in train and test, only one of the tables has a column, or a number is missing.
    """
    check_unseen([train], [test])
    found: dict[str, tuple[Values, Values]] = {}
    table = pd.concat([train.meta, test.meta])
    numeric = [name for name in table if str(name).startswith(tuple(NUMBERS.values()))]
    numeric = [name for name in numeric if pd.to_numeric(table[name], errors="coerce").notna().any()]
    numbers = {nuisance: [n for n in numeric if str(n).startswith(start)] for nuisance, start in NUMBERS.items()}
    for name in ("text", "trial_index", *(name for names in numbers.values() for name in names)):
        if (name in train.meta) != (name in test.meta):
            raise BrainalignError(f"only one of train and test has the column {name!r}; give it to both")
    if "text" in train.meta:
        texts = [[words(text) for text in trials.meta["text"]] for trials in (train, test)]
        counts = Counter(word for text in train.distinct().meta["text"] for word in words(text))
        total = sum(counts.values()) + len(counts)
        found["length"] = _stretched([[[len(text)] for text in side] for side in texts])
        # A word never seen in training counts once.
        found["word frequency"] = _stretched(
            [[[np.mean([np.log((counts[w] + 1) / total) for w in text] or [0])] for text in side] for side in texts]
        )
    if "trial_index" in train.meta:
        found["trial index"] = _stretched([trials.meta[["trial_index"]] for trials in (train, test)])
        targets = train.targets if label is None else _one_hot(train, label)[1]
        found[NEIGHBOURS] = neighbours_in_time(train.meta, np.asarray(targets, dtype=float), test.meta)
    for nuisance, names in numbers.items():
        if names:
            sides = [trials.meta[names].apply(pd.to_numeric, errors="coerce") for trials in (train, test)]
            check_finite(nuisance, np.concatenate(sides), f"fill in or drop the column(s) {names}")
            found[nuisance] = _stretched(sides)
    for name in ("subject", "task"):
        levels = np.asarray(train.meta[name].unique(), dtype=object)
        found[name] = _pair([trials.meta[name].to_numpy(dtype=object)[:, None] == levels for trials in (train, test)])
    return found


def _pair(sides: list[Any]) -> tuple[Values, Values]:
    return np.asarray(sides[0], dtype=float), np.asarray(sides[1], dtype=float)


def _stretched(sides: list[Any]) -> tuple[Values, Values]:
    """Return numbers (n_trials, n_numbers) of both sides, and the stretch of each: what bends is then followed, too."""
    train, test = _pair(sides)
    edges = np.quantile(train, np.linspace(0, 1, N_BINS + 1)[1:-1], axis=0).T
    stretches = [
        [np.eye(N_BINS)[np.searchsorted(*some)] for some in zip(edges, side.T, strict=True)] for side in (train, test)
    ]
    return np.hstack([train, *stretches[0]]), np.hstack([test, *stretches[1]])


def nuisance_scores(
    train: Trials,
    test: Trials,
    score: PairScore = retrieval_hits,
    *,
    label: str | None = None,
    answers: Callable[[Values], Any] | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> NuisanceScores:
    """Decode vectors by ridge, or a label by logistic regression, from each nuisance, all, all but time, and nothing.

    Parameters
    ----------
    train, test : Trials
    score : callable
        Of decoded vectors; a label is scored by whether it is right.
    label : str, optional
        Column of the tables; vectors are decoded where not given.
    answers : callable, optional
        From decoded vectors to what `score` takes, for example their nearest sentences; vectors where not given.
    n_permutations, seed : int

    Raises
    ------
    BrainalignError
        If a stimulus is in train and test, or a table lacks a column.
    """
    features = nuisance_features(train, test, label)
    # Drift may tell "all"; what length and frequency tell together is not answered by leaving blocks out.
    together = {"all": list(features), "all but time": [name for name in features if name not in OF_TIME]}
    menu = {"nothing": (np.ones((len(train.meta), 1)), np.ones((len(test.meta), 1))), **features}
    for name, names in together.items():
        menu[name] = _pair([np.column_stack([features[each][side] for each in names]) for side in (0, 1)])
    distinct = test.distinct()
    shown = test.shown(distinct)
    groups = group_of_stimuli(test.meta["task"].to_numpy(), shown, distinct.meta["stimulus_id"].to_numpy())
    rows, pair_scores = [], {}
    for name, (given, asked) in menu.items():
        outputs = _predicted(train, given, asked, label)
        if answers is not None:
            outputs = answers(outputs)
        for measure, scores in (label_hits(label) if label else score)(outputs, distinct).items():
            pair_scores[(name, measure)] = scores
            found = pairing_test(scores, shown, groups, n_permutations, seed)
            row = {"nuisance": name, "measure": measure, "value": found.value, "chance": found.null_mean}
            rows.append(row | {"null_sd": found.null_sd, "p": found.p} | found.counts())
    return NuisanceScores(pd.DataFrame(rows), pair_scores)


def _predicted(train: Trials, given: Values, asked: Values, label: str | None) -> NDArray[Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if label is None:
        stimuli = train.meta["stimulus_id"].to_numpy()
        # Two stimuli or more in a fold, for its R² to be defined.
        ridge = Ridge(cv=max(2, min(5, len(np.unique(stimuli)) // 2)), per_target_alpha=False)
        return held_out_prediction(ridge, given, train.targets, asked, standardise=True, groups=stimuli)
    labels = train.column(label)[label].to_numpy()
    if len(set(labels)) < 2:
        return np.full(len(asked), labels[0], dtype=object)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return np.asarray(logistic.fit(given, labels).predict(asked))
