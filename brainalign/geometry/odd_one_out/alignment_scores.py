"""How well similarities predict people's choices among three, by level of abstraction, and whether doubts agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.geometry.odd_one_out.cluster_triplets import LEVELS, triplet_levels
from brainalign.geometry.odd_one_out.soft_choices import check_probabilities, choice_entropy, mean_divergence
from brainalign.geometry.odd_one_out.triplets import check_triplets, choice_probabilities, odd_one_out_accuracy


@dataclass(frozen=True)
class AlignmentScore:
    """How well choices are predicted at one level of abstraction.

    Attributes
    ----------
    level : {"all", "fine", "boundary", "coarse"}
    accuracy : float
        Of the most similar pair; chance is 1/3. Expected over people where their probabilities are known.
    ceiling : float
        E[max p]: of whoever always names the most probable choice; NaN where probabilities are not known.
    divergence : float
        Mean KL(people || model), in nats; of single choices the mean surprise.
    uncertainty_r : float
        Spearman correlation over triplets of the model's entropy with how unsure people are; NaN where that is not
        known.
    n_triplets : int
    rows : array (n,), optional
        Which of all triplets are of this level; None for all.
    """

    level: str
    accuracy: float
    ceiling: float
    divergence: float
    uncertainty_r: float
    n_triplets: int
    rows: NDArray[np.bool_] | None = None


def score_alignment(
    similarities: Values,
    triplets: NDArray[np.integer[Any]],
    probabilities: Values | None = None,
    groups: NDArray[Any] | None = None,
    uncertainty: Values | None = None,
) -> list[AlignmentScore]:
    """Score similarities against people's choices, over all triplets and at each level of abstraction.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
        Divided by the temperature, see `choice_temperature`.
    triplets : array (n_triplets, 3)
        The odd one last.
    probabilities : array (n_triplets, 3), optional
        How often each object was chosen; without them the last always was.
    groups : array (n_objects,), optional
        Category of every object; without it there are no levels.
    uncertainty : array (n_triplets,), optional
        How unsure people are, such as response times; by default the entropy of `probabilities`.

    Returns
    -------
    list of AlignmentScore
        "all", then the levels of which there are triplets.

    Raises
    ------
    BrainalignError
        If shapes do not match, or a value is not finite.
    """
    rows = check_triplets(triplets, len(similarities))
    p = None if probabilities is None else check_probabilities(probabilities, len(rows))
    if groups is not None:
        check_rows("groups", len(groups), "similarities", len(similarities), "give a group per object")
    if uncertainty is None and p is not None:
        uncertainty = choice_entropy(p)
    if uncertainty is not None:
        check_rows("uncertainty", len(uncertainty), "triplets", len(rows), "give a value per triplet")
    level = np.full(len(rows), "") if groups is None else triplet_levels(rows, groups)
    subsets = {"all": np.ones(len(rows), dtype=bool), **{name: level == name for name in LEVELS}}
    found = []
    for name, mine in subsets.items():
        if not mine.any():
            continue
        some, target = rows[mine], None if p is None else p[mine]
        q = choice_probabilities(similarities, some)
        found.append(
            AlignmentScore(
                name,
                odd_one_out_accuracy(similarities, some, target),
                float("nan") if target is None else float(target.max(axis=1).mean()),
                mean_divergence(similarities, some, target),
                float("nan") if uncertainty is None else _rank_correlation(choice_entropy(q), uncertainty[mine]),
                len(some),
                None if name == "all" else mine,
            )
        )
    return found


def _rank_correlation(a: Values, b: Values) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (a, np.asarray(b, dtype=np.float64))]
    ranks = [values - values.mean() for values in ranks]
    size = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / size if size > 0 else float("nan")
