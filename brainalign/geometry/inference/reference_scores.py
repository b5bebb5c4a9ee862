"""Score models, network layers and weighted combinations of layers against the reference RDMs of a study.

Which layer or model is best is said where one is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, generator
from brainalign.condensed import condensed_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference.bootstrap import DualBootstrap, Factors, compare_models, dual_bootstrap
from brainalign.geometry.inference.comparisons import COMPARISONS, defined_mean, pooled_rdm
from brainalign.geometry.inference.fixed_models import RdmTest, session_average, warn_of_few_orders
from brainalign.geometry.inference.flexible import FlexibleModel, fit_weights, flexible_bootstrap, flexible_score
from brainalign.study import check_combination

Candidates = Mapping[tuple[str, str], Values]


@dataclass(frozen=True)
class ReferenceScores:
    """Three tables about the same candidates.

    Attributes
    ----------
    scores : DataFrame
        A row per reference set and candidate: reference, model, layer, comparison, score (mean over subjects), se,
        low, high (confidence interval), p (score above 0, one-sided; NaN of cosines, which are above 0 by chance),
        ceiling_low, ceiling_high, gap (score minus lower ceiling), gap_se, gap_p (two-sided), n_subjects, n_stimuli,
        n_missing (pairs, most over subjects), n_boot, over, note (why a score is undefined, or what the error does not
        cover).
    subjects : DataFrame
        reference, subject, model, layer, score, n_missing.
    differences : DataFrame
        reference, family, model, layer, other_model, other_layer, difference, se, t, p, p_max: the best of a family
        against each other member, most similar first.
    best : DataFrame
        A row per reference and family: reference, family, model, layer, score, decided, tied (layers or models that
        cannot be told from the best), sentence.
    """

    scores: pd.DataFrame
    subjects: pd.DataFrame
    differences: pd.DataFrame
    best: pd.DataFrame


def score_references(
    sets: Mapping[str, Values],
    candidates: Candidates,
    method: str = "spearman",
    n_boot: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
    exclude: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> ReferenceScores:
    """Compare candidates with every reference set by a dual bootstrap over its subjects and stimuli.

    "Best" is asked about families: the layers of each model that has several, the models without layers ("models"), and
    everything ("all").

    Parameters
    ----------
    sets : dict of array (n_subjects, n_sessions, n_pairs)
        A subject's RDM is that of `subject_rdms`.
    candidates : dict of array (n_pairs,) by (model, layer)
        Layer "" for a model without layers. NaN marks missing pairs.
    method : str
        As for `dual_bootstrap`.
    n_boot, seed : int
        The same draws of stimuli for every candidate of a set.
    alpha : float
        Differences from the best are called at it, over the whole family; intervals cover 1 - alpha.
    exclude : dict of sequence of (model, layer), optional
        Candidates not to be scored against a set because they are the set itself, as a published model that is one.
    """
    if not sets or not candidates:
        raise BrainalignError(f"nothing to compare: {len(sets)} reference sets and {len(candidates)} candidates")
    layers: dict[str, list[tuple[str, str]]] = {}
    for key in candidates:
        layers.setdefault(key[0] if key[1] else "models", []).append(key)
    families = {name: members for name, members in layers.items() if len(members) > 1}
    families |= {} if list(families.values()) == [list(candidates)] else {"all": list(candidates)}
    scores, per_subject, differences, best = [], [], [], []
    for reference, rdms in sets.items():
        skipped = set((exclude or {}).get(reference, ()))
        keys = [key for key in candidates if key not in skipped]
        if not keys:
            continue
        models = np.stack([condensed_rdms(" ".join(key), candidates[key]) for key in keys])
        result = dual_bootstrap(subject_rdms(rdms, method), models, method, n_boot, np.random.default_rng(seed))
        scores.append(_score_rows(result, keys, alpha).assign(reference=reference))
        n_subjects = len(result.per_subject)
        table = pd.DataFrame(keys * n_subjects, columns=["model", "layer"])
        table.insert(0, "subject", np.repeat(np.arange(1, n_subjects + 1), len(keys)))
        each = {"score": result.per_subject.ravel(), "n_missing": result.n_missing.ravel()}
        per_subject.append(table.assign(**each, reference=reference))
        for family, members in families.items():
            rows = [keys.index(key) for key in members if key not in skipped]
            table = compare_models(result, [str(k) for k in range(len(keys))], rows)
            pairs = [keys[int(top)] + keys[int(other)] for top, other in table[["model", "other"]].to_numpy()]
            names = pd.DataFrame(pairs, columns=["model", "layer", "other_model", "other_layer"])
            found = pd.concat([names, table.drop(columns=["model", "other"])], axis=1)
            label = {"reference": reference, "family": family}
            differences.append(found.assign(**label))
            best.append(_best(result, keys, rows, found, alpha).assign(**label))
    if not scores:
        raise BrainalignError("every candidate is the reference set itself; give another model")
    return ReferenceScores(*(_joined(tables) for tables in (scores, per_subject, differences, best)))


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(tables, ignore_index=True)
    first = [name for name in ("reference", "family") if name in table]
    return table[first + [name for name in table if name not in first]]


def subject_rdms(rdms: Values, method: str) -> Values:
    """Return an RDM per subject: mean ranks for comparisons of ranks; else the mean over sessions.

    Of sessions that lack different pairs it is that of `pooled_rdm`: a pair must not be large because the session that
    has it is.
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects", "n_sessions", some_pairs=True)
    if COMPARISONS[method].ranks:
        return session_average(rdms)
    seen, means = np.isfinite(rdms), defined_mean(rdms, axis=1)
    lacks = (seen != seen.any(axis=1, keepdims=True)).any(axis=2) & seen.any(axis=2)
    for row in np.flatnonzero(lacks.any(axis=1)):
        means[row] = pooled_rdm(rdms[row], method)
    return means


def _score_rows(result: DualBootstrap, keys: list[tuple[str, str]], alpha: float) -> pd.DataFrame:
    """Return a row per model with its error, interval, p, ceiling and gap: the columns of `ReferenceScores.scores`."""
    n, se, kind = len(keys), result.se(), COMPARISONS[result.method]
    half = stdtrit(result.dof, 1 - alpha / 2) * se
    _, p = result.test(np.eye(n, n + 2), two_sided=False)
    gaps = np.eye(n, n + 2)
    gaps[:, n] = -1
    _, gap_p = result.test(gaps)
    rest = "" if result.over == "both" else "one subject: errors are over stimuli only and say nothing of others"
    undefined = "undefined: all pairs are equal or missing"
    return pd.DataFrame(keys, columns=["model", "layer"]).assign(
        comparison=result.method,
        score=result.scores,
        se=se,
        low=result.scores - half,
        high=result.scores + half,
        p=p if kind.centre or kind.concordance else np.nan,
        ceiling_low=result.ceiling[0],
        ceiling_high=result.ceiling[1],
        gap=result.scores - result.ceiling[0],
        gap_se=result.se(gaps),
        gap_p=gap_p,
        n_subjects=result.n_subjects,
        n_stimuli=result.n_stimuli,
        n_missing=result.n_missing.max(axis=0),
        n_boot=result.n_boot,
        over=result.over,
        note=np.where(np.isfinite(result.scores), rest, undefined),
    )


def _best(
    result: DualBootstrap, keys: list[tuple[str, str]], rows: list[int], differences: pd.DataFrame, alpha: float
) -> pd.DataFrame:
    defined = [row for row in rows if np.isfinite(result.scores[row])]
    if not defined:
        empty = {"model": "", "layer": "", "score": np.nan, "decided": False, "tied": ""}
        return pd.DataFrame([empty | {"sentence": "No score is defined, so there is no best."}])
    row = max(defined, key=lambda k: result.scores[k])
    alike = differences[~(differences["p_max"] <= alpha)]
    tied = [_label(key) for key in zip(alike["other_model"], alike["other_layer"], strict=True)]
    name, n_others = _label(keys[row]), len(differences)
    about = f"{name} scores highest ({result.scores[row]:.3f} ± {result.se()[row]:.3f})"
    if not n_others:
        sentence = f"{about}; there is nothing to compare it with."
    elif tied:
        which = "the other" if n_others == 1 else f"{len(tied)} of {n_others} others"
        sentence = f"{about}, but {which} cannot be told from it: no best is called."
    elif n_others == 1:
        sentence = f"{about} and exceeds the other."
    else:
        sentence = f"{about} and exceeds each of the {n_others} others, allowing for all differences among them."
    if result.over == "stimuli":
        sentence += " One subject: this holds over stimuli, not over individuals."
    found = {
        "model": keys[row][0],
        "layer": keys[row][1],
        "score": result.scores[row],
        "decided": n_others > 0 and not tied,
        "tied": "; ".join(tied),
        "sentence": sentence,
    }
    return pd.DataFrame([found])


def _label(key: tuple[str, str]) -> str:
    return " ".join(dict.fromkeys(key)).strip()  # the one layer of pixels is called so too


def combination(
    layers: Mapping[tuple[str, str], Values],
    model: str,
    name: str,
    chosen: Sequence[str] | None = None,
    fit: Literal["weighted", "select", "interpolate"] = "weighted",
) -> FlexibleModel:
    """Return the flexible model of some layers of a model, all of them where none are chosen.

    `layers` are RDMs (n_pairs,) by (model, layer), `name` is what the combination is called, `fit` a key of `FITS`.

    Raises
    ------
    BrainalignError
        If the model has no such layers, or fewer than 2.
    """
    known = [layer for other, layer in layers if other == model]
    check_combination(name, model, chosen, known)
    return FlexibleModel(
        np.stack([condensed_rdms(f"{model} {layer}", layers[model, layer]) for layer in chosen or known]), fit
    )


def flexible_permutation_test(
    rdms: Values, model: FlexibleModel, method: str, n_permutations: int, rng: np.random.Generator, n_divisions: int = 4
) -> RdmTest:
    """Test whether a flexible model fits held-out subjects and stimuli better than with its stimuli exchanged.

    Everything is fitted again for every order of the stimuli, which is the same for all RDMs of the model.

    Parameters
    ----------
    rdms, model, method, rng
        As for `flexible_bootstrap`.
    n_permutations : int
    n_divisions : int
        Divisions into folds that every score is a mean over, permuted or not.
    """
    model = replace(model, rdms=condensed_rdms("model.rdms", model.rdms, "n_rdms"))
    n_stimuli = n_stimuli_of(model.rdms.shape[1])
    warn_of_few_orders(n_stimuli)
    square, (i, j), rng = square_rdms(model.rdms), np.triu_indices(n_stimuli, 1), generator(rng)
    per_subject = flexible_score(rdms, model, method, rng, n_divisions)
    null = []
    for _ in range(n_permutations):
        order = rng.permutation(n_stimuli)
        null.append(flexible_score(rdms, replace(model, rdms=square[:, order[i], order[j]]), method, rng, n_divisions))
    return RdmTest.over(per_subject, np.reshape(null, (n_permutations, len(per_subject))).T)


def score_combinations(
    sets: Mapping[str, Values],
    combinations: Mapping[tuple[str, str], FlexibleModel],
    method: str = "spearman",
    n_boot: int = 200,
    n_permutations: int = 100,
    seed: int = 0,
    alpha: float = 0.05,
    over: Factors = "both",
) -> pd.DataFrame:
    """Score combinations of layers on held-out subjects and stimuli of every reference set.

    Parameters
    ----------
    sets : dict of array (n_subjects, n_sessions, n_pairs)
        As for `score_references`.
    combinations : dict of FlexibleModel by (model, name)
    method : str
        A key of `COMPARISONS` but "tau-a".
    n_boot, n_permutations, seed : int
    alpha : float
        Intervals cover 1 - alpha.
    over : {"both", "stimuli", "subjects"}
        What errors are over, as for `dual_bootstrap`.

    Returns
    -------
    DataFrame
        A row per set and combination: the columns of `ReferenceScores.scores`, with ceilings of the same folds, and
        null_mean, null_high (95 % point) and null_p of refits with the stimuli of the model exchanged, weights (of all
        data, sum 1, space-separated), n_undefined (draws too small to divide), selected (score of the best single
        layer, chosen on the training parts and scored on the same held-out ones), gain (score - selected) and gain_p
        (two-sided).
    """
    tables = []
    for reference, rdms in sets.items():
        subjects, keys = subject_rdms(rdms, method), list(combinations)
        rng = np.random.default_rng(seed)
        # A layer's score on all data is no rival: twins choose one layer where the combination fits its weights.
        twins = [replace(model, fit="select") for model in combinations.values()]
        found = flexible_bootstrap(subjects, [*combinations.values(), *twins], method, n_boot, rng, over=over)
        n = len(keys)
        gains = np.eye(n, 2 * n + 2) - np.eye(n, 2 * n + 2, n)
        tests = [
            flexible_permutation_test(subjects, model, method, n_permutations, rng) for model in combinations.values()
        ]
        table = _score_rows(found, keys + keys, alpha)[:n].assign(
            reference=reference,
            selected=found.scores[n:],
            gain=found.scores[:n] - found.scores[n:],
            gain_p=found.test(gains)[1],
            null_mean=[test.null.mean() for test in tests],
            null_high=[np.quantile(test.null, 0.95) for test in tests],
            null_p=[test.p for test in tests],
            weights=[_shares(fit_weights(subjects, model, method)) for model in combinations.values()],
            n_undefined=found.n_undefined,
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _shares(weights: Values) -> str:
    total = weights.sum()
    return " ".join(f"{weight / total if total > 0 else 0:.2f}" for weight in weights)
