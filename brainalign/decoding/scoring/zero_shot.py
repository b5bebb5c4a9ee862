"""Labels told without a classifier: by the nearest of sentences that say them.

Several sentences word each label like the corpus does ("it is about animals"); their mean vector stands for it. The
same head on the vector of the true text is the ceiling: no decoder of that vector can be asked for more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, listed
from brainalign.decoding.scoring.retrieval import group_of_stimuli
from brainalign.statistics import PairingTest, exchanged, permutation_test, sums_by_stimulus


@dataclass(frozen=True)
class ZeroShot:
    """Labels told from decoded vectors.

    Attributes
    ----------
    table : DataFrame
        Rows "micro accuracy" and "balanced accuracy": measure, value, chance, majority, text_ceiling, null_mean,
        null_sd, p (of exchanges of distinct stimuli), n_trials, n_stimuli, n_labels.
    told : array (n_trials,)
    confusion : DataFrame
        True labels in rows, told ones in columns.
    """

    table: pd.DataFrame
    told: NDArray[Any]
    confusion: pd.DataFrame


def zero_shot_labels(
    decoded: Values,
    texts: Values,
    shown: NDArray[Any],
    labels: NDArray[Any],
    wordings: Mapping[Any, Values],
    centre: Values,
    *,
    groups: NDArray[Any] | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> ZeroShot:
    """Tell the label of every trial by cosine with the vectors of the labels, all centred.

    Parameters
    ----------
    decoded, texts : array (n_trials, n_dimensions)
        Decoded vectors, and the vectors of the true texts.
    shown : array (n_trials,)
        Stimulus ids.
    labels : array (n_trials,)
        One per stimulus.
    wordings : mapping of arrays (n_wordings, n_dimensions)
        Vectors of sentences that say each label.
    centre : array (n_dimensions,)
        Mean vector of the training texts: what all sentences share tells no label.
    groups : array (n_trials,), optional
        Stimuli are exchanged within, for example the task.
    n_permutations, seed : int

    Raises
    ------
    BrainalignError
        If shapes do not fit, a label has no wording, or a stimulus has several labels.
    """
    names = np.array(list(wordings), dtype=object)
    absent, known = (sorted(map(repr, some)) for some in ({*np.asarray(labels).tolist()} - {*wordings}, wordings))
    if absent:
        raise BrainalignError(f"no wordings for {listed(absent)}, only for {listed(known)}; give some for every label")
    for name, given in (("texts", texts), ("shown", shown), ("labels", labels)):
        check_rows(name, len(given), "decoded", len(decoded), "give one per trial")
    check_finite("decoded", decoded, "drop those trials and count them")
    said = np.stack([np.asarray(wordings[name], dtype=np.float64).mean(axis=0) for name in wordings])
    told, ceiling = (names[_nearest(vectors - centre, said - centre)] for vectors in (decoded, texts))
    column, ids = pd.factorize(np.asarray(shown))
    true = np.asarray(labels, dtype=object)
    of_stimulus = np.empty(len(ids), dtype=object)
    of_stimulus[column] = true
    if (of_stimulus[column] != true).any():
        raise BrainalignError("a stimulus has several labels; give each one, or leave it out")
    groups = None if groups is None else group_of_stimuli(np.asarray(groups), column, np.asarray(ids))
    counts, rows = pd.Series(true).value_counts(), []
    # Balanced: each label counts alike, however many trials it has.
    even = len(true) / (len(counts) * counts.loc[list(true)].to_numpy())
    as_told, stimuli = sums_by_stimulus((told[:, None] == of_stimulus).astype(float), column)
    orders = exchanged(stimuli, len(ids), groups, n_permutations, np.random.default_rng(seed))
    orders = np.concatenate([stimuli[None], orders])
    right, n, label = as_told[stimuli, orders], np.bincount(column), pd.factorize(of_stimulus)[0][orders]
    # An exchange gives a label to stimuli of more or fewer trials.
    recalls = [((label == k) * right).sum(axis=1) / ((label == k) * n).sum(axis=1) for k in range(len(counts))]
    micro, balanced = right.sum(axis=1) / len(true), np.mean(recalls, axis=0)
    for measure, of, weight in (("micro accuracy", micro, 1.0), ("balanced accuracy", balanced, even)):
        found = PairingTest(float(of[0]), of[1:], float(permutation_test(of[0], of[1:])), len(true), len(ids))
        row = {
            "measure": measure,
            "value": found.value,
            "chance": 1 / len(names),
            "majority": counts.iloc[0] / len(true) if measure == "micro accuracy" else 1 / len(counts),
            "text_ceiling": float(((ceiling == true) * weight).mean()),
            **found.against_null(),
            **found.counts(),
            "n_labels": len(names),
        }
        rows.append(row)
    confusion = pd.crosstab(pd.Series(true, name="true"), pd.Series(told, name="told"))
    return ZeroShot(pd.DataFrame(rows), told, confusion)


def _nearest(rows: Values, said: Values) -> NDArray[np.intp]:
    norms = np.linalg.norm(said, axis=1)
    return np.asarray((rows @ said.T / np.where(norms > 0, norms, 1)).argmax(axis=1))
