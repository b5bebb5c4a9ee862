"""Nothing that is trained on is tested: every public function that is handed both sides refuses what is on both."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from jobs import peak_bytes
from refusals import refused

from brainalign import decoding
from brainalign.checks import check_folds
from brainalign.datasets import folds_of
from brainalign.datasets.splits import split_rows
from brainalign.decoding.training import check_unseen
from brainalign.encoding import Ridge, evaluate, evaluate_held_out
from brainalign.encoding.scoring import encode_folds
from brainalign.geometry import choice_table, decode_generalization, decode_times, pairwise_movie
from brainalign.regression import Training, train
from brainalign.statistics import linear_classification, logistic_auc

N = 40
SIGNALS = np.random.default_rng(11).normal(size=(N, 3, 2))
ROWS = SIGNALS[:, :, 0]
LABELS = np.tile(["a", "b"], N // 2)
RUNS = np.repeat(np.arange(4), N // 4)
RIDGE = Ridge(alphas=(1.0,), cv=2)
ALL = {"leave_out": "run", "stimulus_ids": LABELS, "runs": RUNS, "n_permutations": 0}
ONE = {"stimulus_ids": np.arange(N).astype(str), "n_permutations": 0, "n_boot": 0}


def network(folds) -> None:
    import torch

    ((fitted, held),) = folds
    module, X = torch.nn.Linear(3, 1), torch.as_tensor(ROWS, dtype=torch.float32)
    train(module, lambda rows: module(X[rows]).mean(), lambda rows: 0.0, (fitted, held), Training(epochs=1), seed=0)


TAKE_FOLDS = {of.__name__: partial(of, SIGNALS, LABELS) for of in (decode_times, decode_generalization, pairwise_movie)}
TAKE_FOLDS |= {of.__name__: partial(of, ROWS, LABELS) for of in (linear_classification, logistic_auc)}
TAKE_FOLDS |= {
    "encode_folds": lambda folds: encode_folds(RIDGE, ROWS, ROWS[None], folds, RUNS, LABELS),
    "evaluate": lambda folds: evaluate(RIDGE, ROWS, ROWS, folds, **ALL),
    "evaluate_held_out": lambda folds: evaluate_held_out(RIDGE, ROWS, ROWS, *folds[0], **ONE),
}
FIRST, SECOND = np.arange(N // 2), np.arange(N // 2, N)
WRONG = {
    "every row on both sides": ((np.arange(N), np.arange(N)), "40 rows are in both"),
    "one row on both sides": ((FIRST, np.r_[SECOND, 3]), r"1 rows are in both .* \(3\)"),
    "masks that overlap": ((np.arange(N) < 21, np.arange(N) >= 20), r"1 rows are in both .* \(20\)"),
    "the last row under its negative number": ((np.r_[FIRST, -1], SECOND), "first -1"),
    "a row too many": ((FIRST, np.r_[SECOND, N]), "first 40"),
    "nothing to train on": ((FIRST[:0], SECOND), "names no row"),
    "nothing to test": ((FIRST, SECOND[:0]), "names no row"),
}


@pytest.mark.parametrize("function", TAKE_FOLDS)
def test_rows_on_both_sides_are_refused(function) -> None:
    TAKE_FOLDS[function]([(FIRST, SECOND)])  # which are apart
    for fold, message in WRONG.values():
        refused(message, TAKE_FOLDS[function], [fold])


def test_the_fold_and_what_it_shares_are_named() -> None:
    refused(r"fold 1: 2 rows are in both train", check_folds, [([0, 1], [2]), ([4, 5, 6], [6, 4])], 7, ("train", "val"))
    refused("there is no fold", check_folds, [], 7)
    for wrong in ("one row on both sides", "the last row under its negative number", "nothing to train on"):
        fold, message = WRONG[wrong]
        refused(message, network, [fold])
    table = pd.DataFrame({"trial_id": ["t0", "t1", "t1"], "group": list("abc"), "split": ["train", "train", "test"]})
    for stored in (folds_of, split_rows):
        refused("1 rows", stored, table.assign(fold=0), pd.DataFrame({"trial_id": ["t0", "t1", "t2"]}))


def trials(names, vectors, texts=None, seed=0) -> decoding.Trials:
    meta = pd.DataFrame({"stimulus_id": names, "subject": "01", "task": "t", "trial_index": range(len(names))})
    if texts is not None:
        meta["text"] = texts
    return decoding.Trials(np.random.default_rng(seed).normal(size=(len(names), 4, 16)), np.asarray(vectors), meta)


VECTORS = np.random.default_rng(3).normal(size=(60, 5))
IDS = [f"s{row}" for row in range(60)]


def sides(kind: str) -> tuple[decoding.Trials, decoding.Trials]:
    """Return 40 training and 20 test trials, of which some are of one stimulus on both sides."""
    names, vectors, texts = list(IDS), VECTORS.copy(), [f"word{row} and other{row}" for row in range(60)]
    if kind == "one id":
        names[45] = names[5]
    elif kind.endswith("under two ids"):
        texts[45], vectors[45] = texts[5].upper() + " ", vectors[5]
    elif kind.endswith("embedded again"):  # in another batch: the last bits differ
        texts[45], vectors[45] = texts[5], vectors[5] * (1 + 2e-7) + 1e-8
    texts = None if "vector" in kind else texts
    parts = (slice(0, 40), slice(40, 60))
    return tuple(trials(names[p], vectors[p], None if texts is None else texts[p], k) for k, p in enumerate(parts))


def fit(signals, targets, meta, seed):
    decoder = decoding.LinearDecoder().fit(signals, targets, meta["subject"].to_numpy())
    return lambda given, table: decoder.predict(given, table["subject"].to_numpy())


space = partial(decoding.SharedSpace, steps=1, width=8, n_experts=1, router=4)
BRAIN = {"trained_on": ["brain"], "tested_on": ["brain"], "seeds": [0], "n_permutations": 9}
TAKE_TRIALS = {
    "control_matrix": lambda one, other: decoding.control_matrix(fit, one, other, **BRAIN),
    "nuisance_features": decoding.nuisance_features,
    "nuisance_scores": lambda one, other: decoding.nuisance_scores(one, other, n_permutations=9),
    "independent_ridges": lambda one, other: decoding.independent_ridges({"eeg": one}, {"eeg": other}),
    "unimodal_spaces": lambda one, other: decoding.unimodal_spaces(space, {"eeg": one}, {"eeg": other}),
    "SharedSpace.fit": lambda one, other: space().fit({"eeg": one}, {"eeg": other}),
}


@pytest.mark.parametrize("function", TAKE_TRIALS)
def test_a_stimulus_on_both_sides_is_refused(function) -> None:
    for kind in ("one id", "one text under two ids", "one vector under two ids"):
        refused(r"both train and|under another id", TAKE_TRIALS[function], *sides(kind))
    # Networks take seconds to be trained; their own tests do so on stimuli that are apart.
    if function in ("control_matrix", "nuisance_scores", "independent_ridges"):
        TAKE_TRIALS[function](*sides("apart"))
    for kind in ("text embedded again", "vector embedded again"):  # nor does rounding make another stimulus
        refused("s45", check_unseen, *([side] for side in sides(kind)))


def test_sides_are_compared_without_a_copy_of_the_signals() -> None:
    one, other = (replace(side, signals=np.zeros((len(side.meta), 64, 256))) for side in sides("apart"))
    assert peak_bytes(lambda: check_unseen([one], [other])) < one.signals.nbytes / 4


def test_triplets_that_were_trained_on_are_not_tested() -> None:
    """As where a sentence model reads its context."""
    same, of_category = [f"word{row % 5}" for row in range(60)], np.eye(5)[np.arange(60) % 5]
    decoding.nuisance_features(trials(IDS[:40], VECTORS[:40], same[:40]), trials(IDS[40:], VECTORS[40:], same[40:]))
    decoding.nuisance_features(trials(IDS[:40], of_category[:40]), trials(IDS[40:], of_category[40:]))
    known, new = np.array([[0, 1, 2], [1, 2, 3]]), np.array([[2, 0, 1], [0, 1, 3]])
    refused("1 of 2 triplets of the split 'new' are trained on", choice_table, {}, known, {"new": new}, 4, None)
