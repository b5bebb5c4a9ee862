"""Scores of predictions for stimuli that were held out, with their permutation null and bootstrap."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.regression import Partition
from brainalign.statistics import (
    RELIABLE,
    CorrelationNull,
    bootstrap_correlations,
    fdr,
    group_means,
    pearson,
    permutation_test,
    permuted_correlations,
    r2,
    signed_r2,
    without_rounding,
)

TIE = 1e-6  # the null's r are float32
CHANCE = 2.0  # standard deviations over its mean that exchanged predictions seldom reach


@dataclass(frozen=True)
class HeldOut:
    """Scores on held-out stimuli and what they are compared with. Targets are flat: sensor × time in C order.

    Attributes
    ----------
    encoder : fitted encoder
    test_ids : array (n_test,)
        Scored stimuli, in order of first appearance: the rows of `predicted` and `measured`.
    n_repeats : array (n_test,) of int
        Trials behind each measured average, for its noise ceiling.
    predicted, measured : array (n_test, n_targets)
    r, r2, r2_signed : array (n_targets,)
    p, p_fwer, q : array (n_targets,)
        One-sided, from the permuted test stimuli: per target, against the largest target, false discovery rate. NaN
        without permutations or where r is undefined.
    null : CorrelationNull or None
    null_maps : array (n_maps, *shape of a response), float32
        r of the first permutations, for cluster tests; where r is undefined, 0.
    groups : list of str
        Names of the target groups, the columns of what follows.
    group_r : array (n_groups,)
        Mean r over the targets of each group; NaN where none has one.
    group_null : array (n_permutations, n_groups)
    group_draws : array (n_boot, n_groups)
        Under resampling of test stimuli.
    control_r : array (n_targets,) or None
        r after a refit on permuted training responses; NaN for targets that were not refitted.
    control_group_r : array (n_groups,) or None
    partition : Partition or None
        What each band of features adds; None where X is one array.
    seconds : float
        That the fit took, without its control.
    refitted : fitted encoder or None
        The control's.
    n_train : int or None
        Different training stimuli; None where nobody told.
    """

    encoder: Any
    test_ids: NDArray[Any]
    n_repeats: Rows
    predicted: Values
    measured: Values
    r: Values
    r2: Values
    r2_signed: Values
    p: Values
    p_fwer: Values
    q: Values
    null: CorrelationNull | None
    null_maps: NDArray[np.float32]
    groups: list[str]
    group_r: Values
    group_null: Values
    group_draws: Values
    control_r: Values | None
    control_group_r: Values | None
    partition: Partition | None = None
    seconds: float = float("nan")
    refitted: Any = None
    n_train: int | None = None


def score_predictions(
    encoder: Any,
    predicted: Values,
    measured: Values,
    test_ids: NDArray[Any],
    n_repeats: Rows,
    *,
    shape: tuple[int, ...] | None = None,
    n_permutations: int = 1000,
    n_boot: int = 1000,
    n_maps: int = 0,
    target_groups: Mapping[str, NDArray[Any]] | None = None,
    controls: Iterable[tuple[Any, Values, Any]] = (),
    seconds: float = float("nan"),
    seed: int = 0,
    n_train: int | None = None,
) -> HeldOut:
    """Score predictions for held-out stimuli; `evaluate_held_out` says what null and bootstrap are.

    Parameters
    ----------
    encoder : fitted encoder
        That made the predictions.
    predicted, measured : array (n_test, n_targets)
    test_ids, n_repeats : array (n_test,)
    shape : tuple of int, optional
        Of a response, for the permuted maps; (n_targets,) where not given.
    n_permutations, n_boot, n_maps, target_groups, seed
        As for `evaluate_held_out`.
    controls : iterable of (fitted encoder, array (n_test, n_refitted), numbers of those targets or a slice of all)
        Refits to exchanged training responses, and what they predict: the next is asked for while the reliable targets
        are predicted better than exchanged predictions do. The last one is kept.
    seconds : float
    n_train : int, optional
        Different training stimuli.
    """
    predicted = without_rounding(predicted, measured)
    r = pearson(predicted, measured)
    named = {} if target_groups is None else dict(target_groups)
    null, p, p_fwer = None, np.full(len(r), np.nan), np.full(len(r), np.nan)
    if n_permutations:
        null = permuted_correlations(
            predicted, measured, n_permutations, seed, groups=list(named.values()), n_maps=n_maps, sequential=True
        )
        p = null.p
        p_fwer = permutation_test(r - TIE, null.max_r, correct="max")
    draws = np.empty((0, len(named)))
    if n_boot and named:
        draws = bootstrap_correlations(predicted, measured, list(named.values()), n_draws=n_boot, seed=seed)
    refitted, control_r, control_group_r = None, None, None
    judged = np.array([name == RELIABLE for name in named], dtype=bool)
    by_chance = np.inf if null is None else null.group_r.mean(axis=0) + CHANCE * null.group_r.std(axis=0)
    for fit, others, targets in controls:
        refitted, control_r = fit, np.full(len(r), np.nan, r.dtype)
        control_r[targets] = pearson(without_rounding(others, measured[:, targets]), measured[:, targets])
        control_group_r = group_means(control_r, list(named.values()))
        if not ((control_group_r > by_chance) & judged).any():
            break
    scores = r, r2(measured, predicted), signed_r2(r), p, p_fwer, fdr(p)
    maps = np.empty((0, len(r)), np.float32) if null is None else null.maps
    maps = maps.reshape(-1, *(r.shape if shape is None else shape))
    group_null = np.empty((0, len(named))) if null is None else null.group_r
    of_groups = list(named), group_means(r, list(named.values())), group_null, draws, control_r, control_group_r
    about: dict[str, Any] = {"seconds": seconds, "refitted": refitted, "n_train": n_train}
    return HeldOut(encoder, test_ids, n_repeats, predicted, measured, *scores, null, maps, *of_groups, **about)
