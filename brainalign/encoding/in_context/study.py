"""In-context encoding of a subject whom no network was trained on: scores from one context, and a curve over sizes.

The context is drawn from the subject's training images; every score is on test images. Beside it stand ridge with a
pooled alpha, with an alpha per target, and empirical-Bayes ridge, from the same images; ridge from all of them; and the
network itself, given responses that were exchanged between the images of its context.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.base import BaseEstimator, clone

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_apart, check_folds, check_rows, listed, row_numbers
from brainalign.encoding.in_context.empirical_bayes import EmpiricalBayesRidge, WeightPrior
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.fallback import BAYES, NETWORK, RIDGE, UNIT_ALPHAS, groups_of_targets
from brainalign.encoding.in_context.inputs import MIN_CONTEXT
from brainalign.encoding.in_context.pretraining import PretrainedLayer
from brainalign.encoding.scoring import HeldOut, average_repeats
from brainalign.regression import Array, Ridge, check_shapes
from brainalign.statistics import Regressor, explained_variance, pearson
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
    mean, varies = shown.values.mean(axis=0), np.ptp(shown.values, axis=0) > 0
    sd = np.where(varies, shown.values.std(axis=0), 1)  # of those that are not encoded
    averages, tested = (shown.values - mean) / sd, (responses[test] - mean) / sd
    held = average_repeats(tested, stimulus_ids[test])
    X_pool, X_held = X[train][shown.first], X[test][held.first]
    n_context = min(pretrained.largest_context, len(pool))
    context = np.random.default_rng([seed, 2]).permutation(len(pool))[:n_context]
    found = evaluate(
        InContextEnsemble(pretrained.encoders, roi, targets),
        np.concatenate([X_pool[context], X[test]]),
        Y=np.concatenate([averages[context], tested]),
        train=np.arange(n_context),
        test=np.arange(n_context, n_context + len(test)),
        stimulus_ids=np.concatenate([pool[context], stimulus_ids[test]]),
    )
    by_seed = found.encoder.predictions(X_held)  # test images of `found` are in the same order
    curve = context_curve(
        pretrained,
        np.concatenate([X_pool, X_held]),
        np.concatenate([averages, held.values])[:, targets],
        test=np.arange(len(pool), len(pool) + len(held.ids)),
        groups={name: np.searchsorted(targets, rows) for name, rows in groups.items()},
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
    sizes, n_repeats
        As for `scaling_curve`.
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
    sd = np.where(np.ptp(Y[pool], axis=0) > 0, Y[pool].std(axis=0), 1)
    Y = (Y - Y[pool].mean(axis=0)) / sd
    ensemble = InContextEnsemble(pretrained.encoders, roi)
    plain = InContextEnsemble([clone(one).set_params(fallback=False) for one in pretrained.encoders])
    encoders: dict[str, Regressor] = {IN_CONTEXT: ensemble, SHUFFLED: ShuffledContext(plain, seed)}
    if pretrained.prior is not None:  # shrunk as the ensemble is, whose lead would else be that share
        encoders[BAYES] = EmpiricalBayesRidge(pretrained.prior, shrunk=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the context has .* more than the", UserWarning)  # the table says it
        table = scaling_curve(encoders, X, Y, test=test, sizes=sizes, n_repeats=n_repeats, seed=seed)
    predicted = np.asarray(Ridge(UNIT_ALPHAS).fit(X[pool], Y[pool]).predict(X[test]))
    full = {"method": FULL, "size": len(pool), "repeat": 0, "target": np.arange(Y.shape[1])}
    full |= {"r": pearson(Y[test], predicted), "explained_variance": explained_variance(Y[test], predicted)}
    table = pd.concat([table, pd.DataFrame(full)], ignore_index=True)
    summary = _over_contexts(_group_means(table, groups, Y.shape[1]), confidence)
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
    scores = {name: table[name].to_numpy().reshape(-1, n_targets) for name in ("explained_variance", "r")}
    found = []
    for name, targets in groups.items():
        if len(targets):
            means = {score: pd.DataFrame(values[:, targets]).mean(axis=1) for score, values in scores.items()}
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


def curve_baselines(prior: WeightPrior | None = None) -> dict[str, Regressor]:
    """Build the baselines of an in-context encoder: ridge and, with a prior, empirical-Bayes ridge.

    Ridge comes twice, with a pooled alpha and with an alpha per target. The prior is that of other voxels.
    """
    baselines: dict[str, Regressor] = {
        "ridge_pooled": Ridge(UNIT_ALPHAS, per_target_alpha=False),
        "ridge_per_target": Ridge(UNIT_ALPHAS),
    }
    return baselines if prior is None else baselines | {"empirical_bayes": EmpiricalBayesRidge(prior)}


def scaling_curve(
    encoders: Mapping[str, Regressor],
    X: Values,
    Y: Values,
    *,
    test: ArrayLike,
    sizes: Sequence[int],
    n_repeats: int = 5,
    prior: WeightPrior | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score encoders and the baselines of `curve_baselines` after contexts of several sizes.

    The contexts of one size share no image, and every method sees the same ones.

    Parameters
    ----------
    encoders : mapping of name to encoder
        Cloned, not changed.
    X : array (n_images, n_features)
        One row per image (average repeats first).
    Y : array (n_images, n_targets)
    test : array of row numbers, or a mask
        Images to predict; the others are what contexts are drawn from.
    sizes : sequence of int
        Images in a context.
    n_repeats : int
        Contexts of each size.
    prior : WeightPrior, optional
        Adds empirical-Bayes ridge. From other subjects than those of Y.
    seed : int

    Returns
    -------
    DataFrame
        A row per method, size, repeat and target: method, size, repeat, target (column of Y), r, explained_variance.

    Raises
    ------
    BrainalignError
        If shapes do not fit, a name is taken by a baseline, or there are too few images for disjoint contexts.
    """
    check_shapes("X", X.shape, Y.shape)
    baselines = curve_baselines(prior)
    if taken := sorted(set(encoders) & set(baselines)):
        raise BrainalignError(f"encoders named {listed(taken)} are baselines of every curve; choose other names")
    held_out = row_numbers("test", test, len(X))
    pool = np.setdiff1d(np.arange(len(X)), held_out)
    check_contexts(len(pool), sizes, n_repeats)
    rng, tables = np.random.default_rng(seed), []
    for size in sizes:
        contexts = rng.permutation(pool)[: size * n_repeats].reshape(n_repeats, size)
        for repeat, context in enumerate(contexts):
            for name, encoder in {**encoders, **baselines}.items():
                varies = (np.ptp(Y[context], axis=0) > 0) | isinstance(encoder, InContextEnsemble)  # which sees to it
                predicted = np.tile(Y[context].mean(axis=0), (len(held_out), 1))
                predicted[:, varies] = clone(encoder).fit(X[context], Y[context][:, varies]).predict(X[held_out])
                scores = {
                    "method": name,
                    "size": size,
                    "repeat": repeat,
                    "target": np.arange(Y.shape[1]),
                    "r": pearson(Y[held_out], predicted),
                    "explained_variance": explained_variance(Y[held_out], predicted),
                }
                tables.append(pd.DataFrame(scores))
    return pd.concat(tables, ignore_index=True)


ERRORS = (NETWORK, BAYES, RIDGE)


@dataclass(eq=False, repr=False)
class InContextEnsemble(BaseEstimator):  # type: ignore[misc]
    """Networks of several seeds that read the same context: the mean of their predictions.

    Parameters
    ----------
    encoders : sequence of InContextEncoder
        Pre-trained; cloned, and none of their networks changes.
    roi : array (n_chosen,), optional
        Label per chosen target: each region falls back to ridge, or does not, by itself.
    targets : array of target numbers, optional
        That are encoded where the context has them vary; others are predicted by their mean. All where not given.

    Attributes
    ----------
    encoders_ : list of fitted InContextEncoder
    cv_scores_ : array (1, n_targets)
        Share of the context's variance that what is taken explains of images left out, in the target's group; NaN
        without fallback.
    fallbacks_ : DataFrame
        A row per seed and group: seed, group, n_targets, in_context, empirical_bayes (NaN where its units are not
        known), ridge (leave-one-out errors in units of the context's variance), taken, falls_back.
    """

    metric = "r2"  # what cv_scores_ are

    encoders: Sequence[InContextEncoder]
    roi: NDArray[Any] | None = None
    targets: Rows | None = None

    def fit(self, X: Values, Y: Values, *, groups: Array | None = None) -> Self:
        """Encode the context (n_images, n_features), (n_images, n_targets)."""
        chosen = np.arange(Y.shape[1]) if self.targets is None else np.asarray(self.targets)
        self.means_ = Y.mean(axis=0)
        varies = np.ptp(Y[:, chosen], axis=0) > 0
        roi, chosen = None if self.roi is None else np.asarray(self.roi)[varies], chosen[varies]
        # Columns of a row-major selection lie apart in memory; the network wants them side by side.
        context = np.ascontiguousarray(Y[:, chosen])
        self.encoders_ = [clone(encoder).fit(X, context, groups=groups, roi=roi) for encoder in self.encoders]
        self.chosen_ = chosen
        members = groups_of_targets(roi, len(chosen), self.encoders_[0].min_group)
        rows = [
            {"seed": one.seed, "group": label, "n_targets": len(members[label])}
            | {name: one.context_errors_[label].get(name, np.nan) for name in ERRORS}
            | {"taken": name, "falls_back": name != NETWORK, "error": one.context_errors_[label][name]}
            for one in self.encoders_
            for label, name in one.taken_.items()
        ]
        names = ["seed", "group", "n_targets", *ERRORS, "taken", "falls_back"]
        table = pd.DataFrame(rows, columns=[*names, "error"])
        self.fallbacks_ = table[names]
        self.cv_scores_ = np.full((1, Y.shape[1]), np.nan)
        for label, error in table["error"].groupby(table["group"]).mean().items():
            self.cv_scores_[0, chosen[members[str(label)]]] = 1 - error
        return self

    def predictions(self, X: Values) -> Values:
        """Predict responses by each seed (n_seeds, n_images, n_targets)."""
        found = np.empty((len(self.encoders_), len(X), len(self.means_)), dtype=np.float32)
        found[:] = self.means_
        for each, encoder in zip(found, self.encoders_, strict=True):
            each[:, self.chosen_] = encoder.predict(X)
        return found

    def predict(self, X: Values) -> Values:
        """Return the mean prediction (n_images, n_targets)."""
        return np.asarray(self.predictions(X).mean(axis=0))


class ShuffledContext:
    """A control: each target's responses are exchanged between the images of the context, each in its own way."""

    def __init__(self, encoder: InContextEnsemble, seed: int) -> None:
        self.encoder, self.seed = encoder, seed

    def __sklearn_clone__(self) -> "ShuffledContext":
        return ShuffledContext(clone(self.encoder), self.seed)

    def fit(self, X: Values, Y: Values) -> Self:
        """Fit to responses from which nothing can be read."""
        self.encoder.fit(X, np.random.default_rng([self.seed, len(Y)]).permuted(Y, axis=0))
        return self

    def predict(self, X: Values) -> Values:
        """Return predictions."""
        return self.encoder.predict(X)
