"""Traits and states of people predicted linearly: repeated folds over people, intervals over people, ties called ties.

Every kind of features meets the same folds, the same classifier and the same permuted labels. Folds are drawn by the
labels, so permuted labels have folds of their own: in those of the true ones they would be unbalanced, and worse off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_apart, check_finite, check_rows
from brainalign.regression import Ridge

# Of standardised features, divided by the root of their number: between a fit to the noise and no fit at all.
LOGISTIC_C = 10.0
RIDGE_ALPHAS = tuple(np.logspace(-3, 3, 13))

Values = NDArray[np.float64]
Features = NDArray[np.floating[Any]] | Callable[[NDArray[np.intp]], Values]


def check_people_apart(train: Sequence[str], test: Sequence[str]) -> None:
    """Raise where a person is on both sides of a split.

    Raises
    ------
    BrainalignError
        If there is one: what is unique to a person would be scored as what is common to all.
    """
    check_apart(train, test, "subjects", "split by subject, not by run")


def fold_people(
    labels: NDArray[Any], people: NDArray[Any], n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Return the test rows of every fold: a person is in one fold, and folds have like shares of people's labels.

    Raises
    ------
    BrainalignError
        If there are fewer people than folds.
    """
    names, first = np.unique(people, return_index=True)
    if len(names) < n_folds:
        raise BrainalignError(f"{len(names)} subjects are fewer than {n_folds} folds; give more or use fewer folds")
    order = rng.permutation(len(names))
    order = order[np.argsort(labels[first][order], kind="stable")]  # like labels lie together, and are dealt out
    fold = np.empty(len(names), dtype=int)
    fold[order] = np.arange(len(names)) % n_folds
    of_row = fold[np.searchsorted(names, people)]
    return [np.flatnonzero(of_row == k) for k in range(n_folds)]


@dataclass(frozen=True)
class _Out:
    """Held-out predictions: correct or predicted values (n_rows), averaged over repeats, and one round under nulls."""

    own: Values
    null: Values  # (n_permutations, n_rows)


def person_scores(
    features: Mapping[str, Features],
    labels: Sequence[Any] | NDArray[Any],
    people: Sequence[str],
    *,
    reference: str = "correlation",
    n_folds: int = 5,
    n_repeats: int = 5,
    n_permutations: int = 20,
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict labels from each kind of features.

    Classes are told by logistic regression and scored by balanced accuracy; numbers by ridge and Pearson's r.

    Parameters
    ----------
    features : mapping
        Name to array (n_rows, n_features), or to a function of the training rows that returns one.
    labels : sequence (n_rows)
        Words: classes; numbers: values.
    people : sequence of str (n_rows)
        Whose row it is; nobody is on both sides of a fold.
    reference : str
        The features that the others are compared with.
    n_folds, n_repeats : int
    n_permutations : int
        Of the labels: over people where each has one label, else within people. Each is fitted in one round of folds,
        drawn by it: of classes the null is a little wider than that of a mean over rounds, and p errs upwards.
    n_draws : int
        Bootstrap draws of people.
    confidence, seed : float, int

    Returns
    -------
    DataFrame
        A row per kind: name, metric, score, low, high, chance, null_mean, null_high (the largest), p, difference (to
        the reference), difference_low, difference_high, verdict ("reference", "tie", "better", "worse"), n_people.

    Raises
    ------
    BrainalignError
        If rows do not fit, the reference is missing, values are not finite, or there is one class only.
    """
    given, whose = np.asarray(labels), np.asarray([str(name) for name in people])
    check_rows("labels", len(given), "people", len(whose), "give one label per row")
    if reference not in features:
        raise BrainalignError(f"reference {reference!r} is not among the features ({', '.join(features)})")
    numeric = bool(np.issubdtype(given.dtype, np.number))
    if not numeric and len(np.unique(given)) < 2:
        raise BrainalignError(f"all {len(given)} labels are {given[0]!r}; there is nothing to tell apart")
    for name, values in features.items():
        if not callable(values):
            check_rows(name, len(values), "labels", len(given), "give one row of features per label")
            check_finite(name, np.asarray(values), "mend the series first")
    rng = np.random.default_rng([seed, 0x9E0])
    shuffled = [_shuffled(given, whose, rng) for _ in range(n_permutations)]
    folds = [fold_people(given, whose, n_folds, rng) for _ in range(n_repeats)]
    apart = np.random.default_rng([seed, 0x9E1])
    folds_of = [fold_people(some, whose, n_folds, apart) for some in shuffled]
    out = {}
    for name, values in features.items():
        permuted = [
            _held_out(values, some, whose, [tests], numeric) for some, tests in zip(shuffled, folds_of, strict=True)
        ]
        out[name] = _Out(_held_out(values, given, whose, folds, numeric), np.array(permuted).reshape(-1, len(given)))
    names = np.unique(whose)
    of = np.searchsorted(names, whose)
    draws = [np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[of] for _ in range(n_draws)]
    every = np.ones(len(given))
    draws = [weight for weight in draws if numeric or len(np.unique(given[weight > 0])) == len(np.unique(given))]
    drawn = {k: np.array([_score(one.own, given, weight, numeric) for weight in draws]) for k, one in out.items()}
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    rows = []
    for name, one in out.items():
        score = _score(one.own, given, every, numeric)
        null = np.array([_score(p, y, every, numeric) for p, y in zip(one.null, shuffled, strict=True)])
        low, high = np.quantile(drawn[name], tails)
        difference = score - _score(out[reference].own, given, every, numeric)
        below, above = np.quantile(drawn[name] - drawn[reference], tails)
        verdict = "better" if below > 0 else "worse" if above < 0 else "tie"
        rows.append(
            {
                "name": name,
                "metric": "Pearson's r" if numeric else "balanced accuracy",
                "score": score,
                "low": low,
                "high": high,
                "chance": 0.0 if numeric else 1 / len(np.unique(given)),
                "null_mean": null.mean() if len(null) else np.nan,
                "null_high": null.max() if len(null) else np.nan,
                "p": (1 + (null >= score).sum()) / (1 + len(null)),
                "difference": difference,
                "difference_low": below,
                "difference_high": above,
                "verdict": "reference" if name == reference else verdict,
            }
        )
    return pd.DataFrame(rows).assign(n_people=len(names), n_repeats=n_repeats, n_permutations=n_permutations)


def _shuffled(labels: NDArray[Any], people: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    names, first, of = np.unique(people, return_index=True, return_inverse=True)
    if (labels == labels[first][of]).all():
        return np.asarray(labels[first][rng.permutation(len(names))][of])
    found = labels.copy()
    for k in range(len(names)):
        rows = np.flatnonzero(of == k)
        found[rows] = labels[rng.permutation(rows)]
    return np.asarray(found)


def _held_out(
    features: Features,
    labels: NDArray[Any],
    people: NDArray[Any],
    folds: list[list[NDArray[np.intp]]],
    numeric: bool,
) -> Values:
    """Return held-out predictions (n_rows), averaged over rounds of folds."""
    found = np.zeros(len(labels))
    for tests in folds:
        for test in tests:
            train = np.setdiff1d(np.arange(len(labels)), test)
            values = features(train) if callable(features) else np.asarray(features, dtype=np.float64)
            inside, outside = _reduced(values, train, test)
            found[test] += _predicted(inside, labels[train], people[train], outside, labels[test], numeric) / len(folds)
    return found


def _reduced(values: Values, train: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[Values, Values]:
    """Return standardised features in the space that training rows span: no linear fit with an L2 penalty changes."""
    mean, sd = values[train].mean(axis=0), values[train].std(axis=0)
    scale = np.where(sd > 0, sd, 1) * np.sqrt(values.shape[1])
    inside, outside = (values[train] - mean) / scale, (values[test] - mean) / scale
    axes = np.linalg.svd(inside, full_matrices=False)[2]
    return inside @ axes.T, outside @ axes.T


def _predicted(
    inside: Values, known: NDArray[Any], people: NDArray[Any], outside: Values, own: NDArray[Any], numeric: bool
) -> Values:
    from sklearn.linear_model import LogisticRegression

    if numeric:
        return np.asarray(Ridge(RIDGE_ALPHAS, dtype="float64").fit(inside, known, groups=people).predict(outside))
    if len(np.unique(known)) < 2:
        raise BrainalignError(f"a fold has only the label {known[0]!r} to learn from; use fewer folds or more people")
    fitted = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", max_iter=500).fit(inside, known)
    return np.asarray(fitted.predict(outside) == own, dtype=np.float64)


def _score(values: Values, labels: NDArray[Any], weight: NDArray[Any], numeric: bool) -> float:
    """Return r of predictions, or the mean over classes of the share that is correct; rows count by weight."""
    if numeric:
        rows = np.repeat(np.arange(len(labels)), weight.astype(int))
        return float(np.corrcoef(values[rows], labels[rows])[0, 1]) if np.ptp(values[rows]) > 0 else 0.0
    shares = [np.average(values[labels == c], weights=weight[labels == c]) for c in np.unique(labels)]
    return float(np.mean(shares))


class Classifier(Protocol):
    """What is trained anew in every fold."""

    def fit(self, series: NDArray[np.float32], labels: Sequence[str], /) -> Classifier:
        """Train on rows."""

    def predict(self, series: NDArray[np.float32], /) -> NDArray[Any]:
        """Return a label per row."""


def fine_tuned_row(
    make: Callable[[], Classifier],
    series: NDArray[np.float32],
    labels: NDArray[Any],
    people: Sequence[str],
    n_folds: int,
    seed: int,
) -> pd.DataFrame:
    """Score a classifier that is trained anew in every fold; one round of folds, no permuted labels: it is slow.

    Parameters
    ----------
    make : callable
    series : array (n_rows, n_frames, n_regions)
    labels : array of str (n_rows)
    people : sequence of str (n_rows)
    n_folds, seed : int

    Returns
    -------
    DataFrame
        One row as of `person_scores`; what was not computed is missing.
    """
    whose = np.asarray([str(name) for name in people])
    correct = np.zeros(len(labels))
    for test in fold_people(labels, whose, n_folds, np.random.default_rng([seed, 0xF1])):
        train = np.setdiff1d(np.arange(len(labels)), test)
        correct[test] = make().fit(series[train], labels[train].tolist()).predict(series[test]) == labels[test]
    row = {
        "name": "fine-tuned",
        "metric": "balanced accuracy",
        "score": _score(correct, labels, np.ones(len(labels)), False),
        "chance": 1 / len(np.unique(labels)),
        "verdict": "one round of folds",
        "n_people": len(np.unique(whose)),
        "n_repeats": 1,
        "n_permutations": 0,
    }
    return pd.DataFrame([row])
