"""In-context encoding of a subject whom no network was trained on: scores from one context, and a curve over sizes.

The context is drawn from the subject's training images; every score is on test images. Beside it stand ridge with a
pooled alpha, with an alpha per target, and empirical-Bayes ridge, from the same images; ridge from all of them; and the
network itself, given responses that were exchanged between the images of its context.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit
from sklearn.base import clone

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_apart, check_folds, check_rows, row_numbers
from brainalign.encoding.in_context.ensemble import InContextEnsemble, ShuffledContext
from brainalign.encoding.in_context.fallback import UNIT_ALPHAS
from brainalign.encoding.in_context.inputs import MIN_CONTEXT
from brainalign.encoding.in_context.pretrained_layer import PretrainedLayer
from brainalign.encoding.in_context.scaling import Predictor, scaling_curve
from brainalign.encoding.scoring import HeldOut, average_repeats
from brainalign.regression import Ridge
from brainalign.statistics import explained_variance, pearson
from brainalign.study import check_contexts

IN_CONTEXT, SHUFFLED, FULL = "in_context", "shuffled_context", "ridge_full"


@dataclass(frozen=True)
class ContextScores:
    """What one layer gives.

    Attributes
    ----------
    held_out : HeldOut
        Of the network given one context.
    curve : DataFrame
        From `context_curve`.
    fallbacks : DataFrame
        From the `InContextEnsemble` of `held_out`.
    seed_r : list of float
        Mean r over the chosen targets, by seed.
    context : (X, Y)
        Unit rows (n_context, n_components) and the responses (n_context, n_chosen) that the network was given.
    """

    held_out: HeldOut
    curve: pd.DataFrame
    fallbacks: pd.DataFrame
    seed_r: list[float]
    context: tuple[Values, Values]


def score_context(
    pretrained: PretrainedLayer,
    features: Values,
    responses: Values,
    stimulus_ids: NDArray[Any],
    train: Rows,
    test: Rows,
    *,
    evaluate: Callable[..., HeldOut],
    targets: Rows,
    groups: Mapping[str, Rows],
    roi: NDArray[Any] | None,
    ceiling: Values,
    sizes: Sequence[int],
    n_repeats: int,
    confidence: float,
    seed: int,
) -> ContextScores:
    """Score the network given its largest context, and after contexts of several sizes.

    Repeats of an image are averaged first, so an example is an image. Responses are z-scored over all training images,
    as those of the other subjects were: what knows their prior is told the scale of each voxel, which nobody knows from
    a handful of images. Predictions and test responses are in that unit too.

    Parameters
    ----------
    pretrained : PretrainedLayer
    features : array (n_trials, n_features)
    responses : array (n_trials, n_targets)
    stimulus_ids : array (n_trials,)
    train, test : arrays of trial numbers
    evaluate : callable
        `evaluate_held_out` with what does not concern the context: permutations, control, target groups.
    targets : array of target numbers
        That are encoded.
    groups : mapping of arrays of target numbers
        Whose means the curve shows.
    roi : array (n_chosen,), optional
        Label per chosen target, for the fallback.
    ceiling : array (n_targets,)
        Noise ceiling; NaN where not known.
    sizes, n_repeats, confidence, seed
        Of `context_curve`.

    Raises
    ------
    BrainalignError
        If features are of another width than the network's, an image is in train and test, or there are too few
        training images.
    """
    check_rows("features", len(features), "responses", len(responses), "call features.align_to(responses)")
    check_folds([(train, test)], len(responses))
    X = pretrained.reduction(features)
    check_apart(stimulus_ids[train], stimulus_ids[test], "stimuli", "split by stimulus_id, not by trial")
    shown = average_repeats(responses[train], stimulus_ids[train])
    pool = shown.ids
    _check_pool(len(pool), sizes, n_repeats)
    mean, sd = shown.values.mean(axis=0), shown.values.std(axis=0)
    sd = np.where(sd > 0, sd, 1)  # of those that are not encoded
    averages, tested = (shown.values - mean) / sd, (responses[test] - mean) / sd
    held = average_repeats(tested, stimulus_ids[test])
    X_pool, X_held = X[train][shown.first], X[test][held.first]
    n_context = min(pretrained.largest_context, len(pool))
    context = np.random.default_rng([seed, 2]).permutation(len(pool))[:n_context]
    ensemble = InContextEnsemble(pretrained.encoders, roi, targets)
    found = evaluate(
        ensemble,
        np.concatenate([X_pool[context], X[test]]),
        Y=np.concatenate([averages[context], tested]),
        train=np.arange(n_context),
        test=np.arange(n_context, n_context + len(test)),
        stimulus_ids=np.concatenate([pool[context], stimulus_ids[test]]),
    )
    by_seed = found.encoder.predictions(X_held)  # test images of `found` are in the same order
    inside = {name: np.searchsorted(targets, rows) for name, rows in groups.items()}
    curve = context_curve(
        pretrained,
        np.concatenate([X_pool, X_held]),
        np.concatenate([averages, held.values])[:, targets],
        test=np.arange(len(pool), len(pool) + len(held.ids)),
        groups=inside,
        roi=roi,
        sizes=sizes,
        n_repeats=n_repeats,
        confidence=confidence,
        seed=seed,
    )
    of_group = {name: ceiling[rows].mean() if len(rows) else np.nan for name, rows in groups.items()}
    return ContextScores(
        found,
        curve.assign(ceiling=curve["group"].map(of_group)),
        found.encoder.fallbacks_,
        [float(np.nanmean(pearson(each[:, targets], found.measured[:, targets]))) for each in by_seed],
        (X_pool[context], averages[context][:, targets]),
    )


def context_curve(
    pretrained: PretrainedLayer,
    X: Values,
    Y: Values,
    *,
    test: Rows,
    groups: Mapping[str, Rows],
    roi: NDArray[Any] | None = None,
    sizes: Sequence[int] = (10, 20, 50, 100),
    n_repeats: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each method on test images after contexts of several sizes, by group of targets.

    Responses are z-scored over all images but the test ones, the unit of the prior.

    Parameters
    ----------
    pretrained : PretrainedLayer
    X : array (n_images, n_components)
        Unit rows, from its reduction; one per image.
    Y : array (n_images, n_targets)
    test : array of row numbers
        To predict; contexts are drawn from the others, those of one size disjoint.
    groups : mapping of arrays of target numbers
        Whose means are taken.
    roi : array (n_targets,), optional
        Label per target, for the fallback.
    sizes : sequence of int
    n_repeats : int
        Contexts of each size.
    confidence : float
        Of the paired intervals.
    seed : int

    Returns
    -------
    DataFrame
        A row per group, method and size: means over contexts of explained_variance and r with standard errors (se,
        r_se); difference (in-context minus this method, in explained variance) with low and high of its interval over
        contexts, NaN for one context; n_repeats, n_targets; beyond (the size exceeds every context of training).

    Raises
    ------
    BrainalignError
        If there are too few images for disjoint contexts, or a context has too few.
    """
    test = row_numbers("test", test, len(X))
    pool = np.setdiff1d(np.arange(len(X)), test)
    _check_pool(len(pool), sizes, n_repeats)
    Y = (Y - Y[pool].mean(axis=0)) / Y[pool].std(axis=0)
    ensemble = InContextEnsemble(pretrained.encoders, roi)
    plain = InContextEnsemble([clone(one).set_params(fallback=False) for one in pretrained.encoders])
    encoders: dict[str, Predictor] = {IN_CONTEXT: ensemble, SHUFFLED: ShuffledContext(plain, seed)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the context has .* more than the", UserWarning)  # the table says it
        table = scaling_curve(
            encoders, X, Y, test=test, sizes=sizes, n_repeats=n_repeats, prior=pretrained.prior, seed=seed
        )
    predicted = np.asarray(Ridge(UNIT_ALPHAS).fit(X[pool], Y[pool]).predict(X[test]))
    full = {"method": FULL, "size": len(pool), "repeat": 0, "target": np.arange(Y.shape[1])}
    full |= {"r": pearson(Y[test], predicted), "explained_variance": explained_variance(Y[test], predicted)}
    table = pd.concat([table, pd.DataFrame(full)], ignore_index=True)
    means = _group_means(table, groups, Y.shape[1])
    summary = _over_contexts(means, confidence)
    return summary.assign(beyond=summary["method"].eq(IN_CONTEXT) & (summary["size"] > pretrained.largest_context))


def _check_pool(n_images: int, sizes: Sequence[int], n_repeats: int) -> None:
    """Raise before anything is fitted unless every size has its disjoint contexts."""
    if min(sizes) < MIN_CONTEXT:
        raise BrainalignError(
            f"a context of {min(sizes)} image(s) is too small; in-context encoding needs {MIN_CONTEXT} or more"
        )
    check_contexts(n_images, sizes, n_repeats)


def _group_means(table: pd.DataFrame, groups: Mapping[str, Rows], n_targets: int) -> pd.DataFrame:
    """Return a row per context, method and group; targets follow each other in the table of scaling_curve."""
    keys = table.iloc[::n_targets][["method", "size", "repeat"]].reset_index(drop=True)
    found = []
    for name, targets in groups.items():
        if len(targets):
            means = {
                score: table[score].to_numpy().reshape(-1, n_targets)[:, targets].mean(axis=1)
                for score in ("explained_variance", "r")
            }
            found.append(keys.assign(group=name, n_targets=len(targets), **means))
    return pd.concat(found, ignore_index=True)


def _over_contexts(means: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return means and standard errors over contexts, and paired differences with t intervals."""
    contexts = ["group", "size", "repeat"]
    own = means[means["method"] == IN_CONTEXT].set_index(contexts)["explained_variance"]
    ours = own.reindex(pd.MultiIndex.from_frame(means[contexts])).to_numpy()
    means = means.assign(difference=ours - means["explained_variance"].to_numpy())
    grouped = means.groupby(["group", "method", "size"], sort=False)
    table = grouped.agg(
        explained_variance=("explained_variance", "mean"),
        se=("explained_variance", "sem"),
        r=("r", "mean"),
        r_se=("r", "sem"),
        difference=("difference", "mean"),
        spread=("difference", "sem"),
        n_repeats=("repeat", "size"),
        n_targets=("n_targets", "first"),
    ).reset_index()
    wide = stdtrit(np.maximum(table["n_repeats"] - 1, 1), (1 + confidence) / 2) * table["spread"]
    return table.assign(low=table["difference"] - wide, high=table["difference"] + wide).drop(columns="spread")
