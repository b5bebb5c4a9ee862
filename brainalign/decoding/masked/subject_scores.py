"""Traits and states of people predicted linearly: repeated folds over people, intervals over people, ties called ties.

Every kind of features meets the same folds, the same classifier and the same permuted labels. Folds are drawn by the
labels, so permuted labels have folds of their own: in those of the true ones they would be unbalanced, and worse off.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_apart, check_choice, check_finite, check_rows
from brainalign.decoding.masked.fill_scores import beside_reference
from brainalign.decoding.masked.model import MaskedBrainModel
from brainalign.decoding.masked.network import token_correlations
from brainalign.decoding.masked.segments import check_series, segment_starts
from brainalign.decoding.training import batches, train
from brainalign.regression import Ridge

# Of standardised features, divided by the root of their number: between a fit to the noise and no fit at all.
LOGISTIC_C = 10.0
RIDGE_ALPHAS = tuple(np.logspace(-3, 3, 13))

Values = NDArray[np.float64]
Features = NDArray[np.floating[Any]] | Callable[[NDArray[np.intp]], Values]


def check_people_apart(train: Sequence[str], test: Sequence[str]) -> None:
    """Raise where a person is on both sides of a split."""
    check_apart(train, test, "subjects", "split by subject, not by run")


def check_labels(name: str, labels: NDArray[Any], people: NDArray[Any], n_folds: int) -> None:
    """Raise unless labels (n_rows) can be told apart in every fold over people."""
    values, n_people = np.unique(labels), len(np.unique(people))
    if len(values) < 2:
        raise BrainalignError(f"{name}: one value in all {len(labels)} rows; there is nothing to tell apart")
    if n_people < n_folds:
        raise BrainalignError(f"{name}: {n_people} subjects are fewer than {n_folds} folds; give more, or fewer folds")
    rare = [value for value in values if labels.dtype.kind not in "iuf" and len({*people[labels == value]}) < 2]
    if rare:
        raise BrainalignError(f"{name}: one subject alone has {rare[0]!s}; leave it empty, or give more subjects")


def _fold_people(
    labels: NDArray[Any], people: NDArray[Any], n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Return the test rows of every fold: a person is in one fold, and folds have like shares of people's labels."""
    rows = np.lexsort((pd.Series(labels).groupby(labels).transform("size"), people))  # a person's rarest label first
    names, first = np.unique(people[rows], return_index=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(labels[rows][first][order], kind="stable")]  # like labels lie together, and are dealt out
    dealt = np.tile(np.arange(n_folds), (-(-len(names) // n_folds), 1))
    if labels.dtype.kind in "iuf":  # numbers have one order: folds would be the same in every round
        dealt = rng.permuted(dealt, axis=1)
    fold = np.empty(len(names), dtype=int)
    fold[order] = dealt.ravel()[: len(names)]
    of_row = fold[np.searchsorted(names, people)]
    return [np.flatnonzero(of_row == k) for k in range(n_folds)]


def person_scores(
    features: Mapping[str, Features],
    labels: Sequence[Any] | NDArray[Any],
    people: Sequence[str],
    *,
    reference: str = "correlation",
    n_folds: int = 5,
    n_repeats: int = 5,
    n_permutations: int = 100,
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
        If rows do not fit, the reference is missing, values are not finite, or labels cannot be told apart in folds.
    """
    given, whose = np.asarray(labels), np.asarray([str(name) for name in people])
    check_rows("labels", len(given), "people", len(whose), "give one label per row")
    check_choice("reference", reference, features)
    check_labels("labels", given, whose, n_folds)
    numeric = given.dtype.kind in "iuf"
    for name, values in features.items():
        if not callable(values):
            check_rows(name, len(values), "labels", len(given), "give one row of features per label")
            check_finite(name, np.asarray(values), "mend the series first")
    rng = np.random.default_rng([seed, 0x9E0])
    shuffled = [_shuffled(given, whose, rng) for _ in range(n_permutations)]
    folds = [_fold_people(given, whose, n_folds, rng) for _ in range(n_repeats)]
    apart = np.random.default_rng([seed, 0x9E1])
    folds_of = [_fold_people(some, whose, n_folds, apart) for some in shuffled]
    # Held-out predictions (n_rows): correct, or values as deviations from training; over repeats, once under nulls.
    own = {name: _held_out(values, given, whose, folds, numeric) for name, values in features.items()}
    permuted = {
        name: [_held_out(values, some, whose, [tests], numeric) for some, tests in zip(shuffled, folds_of, strict=True)]
        for name, values in features.items()
    }
    names, of = np.unique(whose, return_inverse=True)
    draws = [np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[of] for _ in range(n_draws)]
    every = np.ones(len(given))
    draws = [one for one in draws if len(np.unique(given[one > 0])) >= (2 if numeric else len(np.unique(given)))]
    drawn = {k: np.array([_score(one, given, weight, numeric) for weight in draws]) for k, one in own.items()}
    # As in `fill_table`; draws do not know that folds share people to train on, as `cross_validated_interval` does.
    n, rows = len(names), []
    wider = np.sqrt(n / (n - 1) * (1 + n_folds / (n_folds - 1)))
    reach = np.array([-1, 1]) * stdtrit(n - 1, (1 + confidence) / 2) * wider
    scores = {name: _score(one, given, every, numeric) for name, one in own.items()}
    metric, chance = ("Pearson's r", 0.0) if numeric else ("balanced accuracy", 1 / len(np.unique(given)))
    for name, score in scores.items():
        null = np.array([_score(p, y, every, numeric) for p, y in zip(permuted[name], shuffled, strict=True)])
        low, high = np.clip(score + reach * drawn[name].std(), -1 if numeric else 0, 1)
        mean, largest = (null.mean(), null.max()) if len(null) else (np.nan, np.nan)
        row = {"name": name, "metric": metric, "score": score, "low": low, "high": high, "chance": chance}
        row |= {"null_mean": mean, "null_high": largest, "p": (1 + (null >= score).sum()) / (1 + len(null))}
        rows.append(row | beside_reference(scores, drawn, name, reference, reach))
    return pd.DataFrame(rows).assign(n_people=n, n_repeats=n_repeats, n_permutations=n_permutations)


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
    features: Features, labels: NDArray[Any], people: NDArray[Any], folds: list[list[NDArray[np.intp]]], numeric: bool
) -> Values:
    """Return held-out predictions (n_rows), averaged over rounds of folds."""
    found = np.zeros(len(labels))
    for tests in folds:
        for test in tests:
            train = np.setdiff1d(np.arange(len(labels)), test)
            values = features(train) if callable(features) else np.asarray(features, dtype=np.float64)
            mean, sd = values[train].mean(axis=0), values[train].std(axis=0)
            scale = np.where(sd > 0, sd, 1) * np.sqrt(values.shape[1])
            inside, outside = (values[train] - mean) / scale, (values[test] - mean) / scale
            # In the space that training rows span no linear fit with an L2 penalty changes.
            axes = np.linalg.svd(inside, full_matrices=False)[2]
            inside, outside = inside @ axes.T, outside @ axes.T
            found[test] += _predicted(inside, labels[train], people[train], outside, labels[test], numeric) / len(folds)
    return found


def _predicted(
    inside: Values, known: NDArray[Any], people: NDArray[Any], outside: Values, own: NDArray[Any], numeric: bool
) -> Values:
    from sklearn.linear_model import LogisticRegression

    if numeric:
        ridge = Ridge(RIDGE_ALPHAS, dtype="float64").fit(inside, known, groups=people)
        # Noise would give r < 0: the mean trained on is high where a fold is low, and what is weak goes the wrong way.
        size = max(float(np.std(ridge.predict(inside))), 1e-9 * float(known.std()))
        return np.asarray((ridge.predict(outside) - known.mean()) / size)
    fitted = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", max_iter=500).fit(inside, known)
    return np.asarray(fitted.predict(outside) == own, dtype=np.float64)


def _score(values: Values, labels: NDArray[Any], weight: NDArray[Any], numeric: bool) -> float:
    """Return r of predictions, or the mean over classes of the share that is correct; rows count by weight."""
    if numeric:
        rows = np.repeat(np.arange(len(labels)), weight.astype(int))
        return float(np.corrcoef(values[rows], labels[rows])[0, 1]) if np.ptp(values[rows]) > 0 else 0.0
    return float(np.mean([np.average(values[labels == c], weights=weight[labels == c]) for c in np.unique(labels)]))


def fine_tuned_row(
    model: MaskedBrainModel,
    series: NDArray[np.float32],
    labels: NDArray[Any],
    people: Sequence[str],
    n_folds: int,
    seed: int,
) -> pd.DataFrame:
    """Score a model that is fine-tuned anew in every fold; one round of folds, no permuted labels: it is slow."""
    whose = np.asarray([str(name) for name in people])
    correct = np.zeros(len(labels))
    for test in _fold_people(labels, whose, n_folds, np.random.default_rng([seed, 0xF1])):
        train = np.setdiff1d(np.arange(len(labels)), test)
        tuned = FineTuned(model, seed=seed).fit(series[train], labels[train].tolist())
        correct[test] = tuned.predict(series[test]) == labels[test]
    score = _score(correct, labels, np.ones(len(labels)), False)
    row = {"name": "fine-tuned", "metric": "balanced accuracy", "score": score, "chance": 1 / len(np.unique(labels))}
    counts = {"n_people": len(np.unique(whose)), "n_repeats": 1, "n_permutations": 0}
    return pd.DataFrame([row | {"verdict": "one round of folds"} | counts])


@dataclass(eq=False, repr=False)
class FineTuned:
    """Classify runs by the correlations of their regions' tokens.

    The read-out is first fitted to the blocks as they are; then it and they learn together.

    Parameters
    ----------
    model : MaskedBrainModel
        Fitted; it is copied, and stays as it is.
    n_steps, batch_size : int
        Steps, and runs of each.
    n_segments : int
        Drawn from a run at every step; all where it has fewer.
    learning_rate, weight_decay : float
    seed : int

    References
    ----------
    Kumar A, Raghunathan A, Jones R, Ma T, Liang P (2022). Fine-tuning can distort pretrained features and underperform
    out-of-distribution. ICLR. arXiv:2202.10054 (why the read-out comes first)
    """

    model: MaskedBrainModel
    _: KW_ONLY
    n_steps: int = 60
    batch_size: int = 12
    n_segments: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    seed: int = 0

    def fit(self, series: NDArray[np.floating[Any]], labels: Sequence[str]) -> "FineTuned":
        """Train on runs (n_runs, n_frames, n_regions) with a label each."""
        values = check_series(series, 2 * self.model.segment_frames, len(self.model.regions_))
        check_rows("labels", len(labels), "series", len(values), "give one label per run")
        self.classes_, classes = np.unique(np.asarray(labels), return_inverse=True)
        if len(self.classes_) < 2:
            raise BrainalignError(f"all {len(labels)} labels are {self.classes_[0]!r}; there is nothing to tell apart")
        self._blocks = copy.deepcopy(self.model.network_.regions)
        device = self._blocks.hidden.device
        cut = torch.from_numpy(self._cut(values))
        with torch.no_grad():  # features are standardised as they are before the blocks change
            start = torch.cat([self._features(one[None].to(device)) for one in cut])
        self._mean, self._scale = start.mean(dim=0), start.std(dim=0).clamp(min=1e-6) * start.shape[1] ** 0.5
        self._read = _probe((start - self._mean) / self._scale, classes)
        rng = np.random.default_rng([self.seed, 0xF17E])
        rows = batches(len(values), self.batch_size, self.n_steps, rng)
        targets = torch.from_numpy(classes).to(device)
        n = min(self.n_segments, cut.shape[1])

        def loss(step: int) -> Tensor:
            chosen = torch.from_numpy(next(rows))
            drawn = torch.from_numpy(rng.random((len(chosen), cut.shape[1])).argsort(axis=1)[:, :n])
            scores = self._scores(cut[chosen[:, None], drawn].to(device))
            return nn.functional.cross_entropy(scores, targets[chosen.to(device)])

        rates: dict[str, Any] = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        train([self._blocks, self._read], loss, self.n_steps, **rates)
        return self

    def predict(self, series: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
        """Return the label of every run (n_runs)."""
        values = check_series(series, 2 * self.model.segment_frames, len(self.model.regions_))
        cut = torch.from_numpy(self._cut(values)).to(self._blocks.hidden.device)
        with torch.no_grad():
            scores = torch.cat([self._scores(one[None]) for one in cut])
        return np.asarray(self.classes_[scores.argmax(dim=1).cpu().numpy()])

    def _cut(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        length = self.model.segment_frames
        starts = segment_starts(values.shape[1], length, length)
        return values[:, starts[:, None] + np.arange(length)]  # (n_runs, n_segments, length, n_regions)

    def _features(self, segments: Tensor) -> Tensor:
        hidden = torch.zeros(segments.shape[0] * segments.shape[1], segments.shape[3], dtype=torch.bool)
        tokens = self._blocks(segments.flatten(0, 1), hidden.to(segments.device))
        related = token_correlations(tokens.unflatten(0, segments.shape[:2]))
        i, j = np.triu_indices(related.shape[1], 1)
        return torch.atanh(related[:, i, j].clamp(-0.9999, 0.9999))

    def _scores(self, segments: Tensor) -> Tensor:
        return self._read((self._features(segments) - self._mean) / self._scale)


def _probe(features: Tensor, classes: NDArray[np.intp]) -> nn.Linear:
    """Return the read-out of standardised features (n_runs, n_features) by logistic regression."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=LOGISTIC_C, max_iter=500).fit(features.cpu().numpy(), classes)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # two classes have one row, of their difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.random.fork_rng(devices=[]):  # first weights, which are replaced, are drawn from the global generator
        read = nn.Linear(weight.shape[1], len(weight)).to(features.device)
    with torch.no_grad():
        read.weight.copy_(torch.from_numpy(weight))
        read.bias.copy_(torch.from_numpy(bias))
    return read
