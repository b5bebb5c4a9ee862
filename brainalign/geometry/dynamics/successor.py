"""Agents that predict their future: are states alike, for them and for the brain, as their futures are alike?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.condensed import condensed_rdms, exchanged_rdms, square_rdms
from brainalign.geometry.dimensionality import participation_ratio, rankme
from brainalign.geometry.inference import compare
from brainalign.geometry.network_similarity import representation
from brainalign.geometry.rdms import rdm
from brainalign.statistics import permutation_test


def successor_representation(transitions: Values, gamma: float, *, ahead: bool = False) -> NDArray[np.float64]:
    """Return the discounted number of visits to every state, (I − γP)⁻¹, a row per state to start from.

    Parameters
    ----------
    transitions : array (n_states, n_states)
        Probabilities P under the policy; rows add up to 1.
    gamma : float
        Discount, 0 <= gamma < 1.
    ahead : bool
        Count from the next state on, P (I − γP)⁻¹: what a network that predicts coming states computes.

    Raises
    ------
    BrainalignError
        If transitions are no square matrix of probabilities, or gamma is out of range.

    References
    ----------
    Dayan P (1993). Improving generalization for temporal difference learning: the successor representation. Neural
    Computation 5:613-624. doi:10.1162/neco.1993.5.4.613
    """
    P = np.asarray(transitions, dtype=np.float64)
    if P.ndim != 2 or P.shape[0] != P.shape[1]:
        raise BrainalignError(f"transitions have shape {P.shape}; give (n_states, n_states)")
    off = np.abs(P.sum(axis=1) - 1)
    if not (P >= 0).all() or not (off < 1e-6).all():
        raise BrainalignError(
            f"transitions are no probabilities: row {int(np.nanargmax(off))} adds up to "
            f"{P[int(np.nanargmax(off))].sum():.4g}; divide counts by the sum of their row, and leave out states that "
            "were never left"
        )
    if not 0 <= gamma < 1:
        raise BrainalignError(f"gamma must be 0 or more and below 1; got {gamma}")
    visits = np.linalg.inv(np.eye(len(P)) - gamma * P)
    return np.asarray(P @ visits if ahead else visits)


def successor_rdm(
    transitions: Values,
    gamma: float,
    *,
    features: Values | None = None,
    ahead: bool = False,
    distance: str = "euclidean",
) -> NDArray[np.float64]:
    """Return the RDM (n_pairs,) of the states' successor representations, or of their successor features.

    On a ring or a line without a preferred direction the *order* of these dissimilarities is the same at every gamma
    above 0: compare them with "pearson" or "cosine", not by ranks.

    Parameters
    ----------
    transitions, gamma, ahead
        See `successor_representation`.
    features : array (n_states, n_units), optional
        In whose coordinates the future is counted: those of an agent's encoder, when its predictions are compared.
        One unit per state where not given.
    distance : str
        A key of `DISTANCES`.
    """
    visits = successor_representation(transitions, gamma, ahead=ahead)
    if features is not None:
        check_rows("features", len(features), "transitions", len(visits), "give the features of every state")
        visits = visits @ representation("features", features)
    return np.asarray(rdm(visits, distance))


def compare_checkpoints(
    modules: Mapping[str, Values],
    references: Mapping[str, Values],
    returns: Sequence[float],
    *,
    comparison: str = "pearson",
    distance: str = "euclidean",
    n_permutations: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the RDM of every module of an agent, at every checkpoint of training, with reference RDMs.

    Parameters
    ----------
    modules : mapping of array (n_checkpoints, n_states, n_units)
        What encoder, transition network, value network ... make of every state.
    references : mapping of array (n_pairs,)
        RDMs of regions, or successor RDMs at several discounts.
    returns : sequence of float, one per checkpoint
        What the agent earned: agents are compared at equal return (`at_equal_return`).
    comparison, distance : str
        Keys of `COMPARISONS` and `DISTANCES`.
    n_permutations : int
        Of the states of the module; 0 leaves p NaN.
    seed : int

    Returns
    -------
    DataFrame
        module, checkpoint, return, reference, score, p, participation_ratio, rankme (both of the states; near 1 a
        module has collapsed, which a predictive objective alone brings about). Scores are NaN for a constant RDM.

    Raises
    ------
    BrainalignError
        If a module has another number of checkpoints or states.

    References
    ----------
    Fang C, Stachenfeld KL (2024). Predictive auxiliary objectives in deep RL mimic learning in the brain. ICLR.
    arXiv:2310.06089
    """
    rng = np.random.default_rng(seed)
    wanted = np.stack([condensed_rdms(f"the reference {name}", one) for name, one in references.items()])
    n_states = len(square_rdms(wanted)[0])
    orders = np.array([rng.permutation(n_states) for _ in range(n_permutations)])
    rows = []
    for name, values in modules.items():
        check_rows(f"module {name}", len(values), "returns", len(returns), "give one return per checkpoint")
        for checkpoint, of_states in enumerate(values):
            X = representation(f"module {name}", of_states)
            check_rows(f"module {name}", len(X), "the references", n_states, "both must have the same states")
            found = rdm(X, distance)
            scores = np.asarray(compare(found, wanted, comparison))[0]
            p = np.full(len(wanted), np.nan)
            if n_permutations:
                p = permutation_test(scores, np.asarray(compare(exchanged_rdms(found, orders), wanted, comparison)))
            about = {"module": name, "checkpoint": checkpoint, "return": float(returns[checkpoint])}
            size = {"participation_ratio": participation_ratio(X), "rankme": rankme(X)}
            rows += [
                about | {"reference": reference, "score": float(score), "p": float(chance)} | size
                for reference, score, chance in zip(references, scores, p, strict=True)
            ]
    return pd.DataFrame(rows)


def at_equal_return(returns: Mapping[str, Sequence[float]], target: float | None = None) -> dict[str, int]:
    """Return, for every agent, the first checkpoint at which it earns as much as all agents manage at some time.

    Returns are by agent, one per checkpoint; the `target` is the smallest of the agents' best ones where not given.

    Raises
    ------
    BrainalignError
        If an agent never earns so much.
    """
    best = {name: max(of) for name, of in returns.items()}
    least = min(best.values()) if target is None else target
    for name, most in best.items():
        if most < least:
            raise BrainalignError(
                f"{name} never earns {least:g} (its best is {most:g}); train it longer, or lower the target"
            )
    return {name: int(np.argmax(np.asarray(of) >= least)) for name, of in returns.items()}
