"""Linear encoders that images are to be made for: ridge on clean images and on views of them, with shuffled twins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Rows
from brainalign.checks import BrainalignError, check_among, check_rows, listed
from brainalign.regression import Ridge

Values = NDArray[np.floating]


def choose_regions(
    groups: Mapping[str, Rows], reliable: Rows, asked: Sequence[str] | None, min_targets: int
) -> tuple[dict[str, Rows], dict[str, tuple[str, str | None]]]:
    """Return the reliable targets of every region that is needed, and what is asked for: a region, or one against one.

    Parameters
    ----------
    groups : mapping
        Numbers of targets by region.
    reliable : array
        Numbers of the targets that count.
    asked : sequence of str, optional
        Names of regions, or `a-b`; all regions with enough targets where not given.
    min_targets : int
    """
    found = {name: np.intersect1d(rows, reliable) for name, rows in groups.items()}
    large = {name: rows for name, rows in found.items() if len(rows) >= min_targets}
    if asked is None:
        asked = list(large)
    if not asked:
        sizes = listed([f"{name}: {len(rows)}" for name, rows in found.items()], 6)
        raise BrainalignError(
            f"no region has {min_targets} reliable targets ({sizes}); lower synthesize.min_targets or "
            "ceiling_threshold, or leave the subject out of synthesize.subjects"
        )
    wanted: dict[str, tuple[str, str | None]] = {}
    for name in asked:
        pairs = [(name[:k], name[k + 1 :]) for k, letter in enumerate(name) if letter == "-"]
        known = [pair for pair in pairs if pair[0] in found and pair[1] in found]
        wanted[name] = known[0] if name not in found and known else (name, None)
        check_among("synthesize.regions", wanted[name], found, "the regions of the subject")
        for part in wanted[name]:
            if part is not None and part not in large:
                raise BrainalignError(
                    f"synthesize.regions: {part} has {len(found[part])} reliable targets, but min_targets is "
                    f"{min_targets}; leave it out, or lower synthesize.min_targets"
                )
    needed = dict.fromkeys(part for pair in wanted.values() for part in pair if part is not None)
    return {name: large[name] for name in needed}, wanted


@dataclass(frozen=True)
class RegionEncoder:
    """A linear encoder, the scaling of its features folded in.

    Attributes
    ----------
    coef : array (n_features, n_targets)
    intercept : array (n_targets,)
    alpha : array (n_targets,)
        Penalties on standardised features.
    """

    coef: NDArray[np.float32]
    intercept: NDArray[np.float32]
    alpha: NDArray[np.floating]

    def predict(self, features: Values) -> Values:
        """Return predicted responses (n_images, n_targets)."""
        return np.asarray(features @ self.coef + self.intercept)


def fit_regions(views: Values, responses: Values, alphas: Sequence[float], cv: int = 5) -> RegionEncoder:
    """Fit every target to features of images and of views of them, which share the image's response.

    An image stays with its views on one side of every inner split, and features are scaled as they vary over the clean
    images, so that noise in the views does not decide what counts.

    Parameters
    ----------
    views : array (n_views, n_images, n_features)
        The first ones are of the clean images.
    responses : array (n_images, n_targets)
    alphas : sequence of float
    cv : int

    Raises
    ------
    BrainalignError
        If numbers of images differ, or `Ridge` raises.
    """
    X, mean, sd = _scaled(views, responses)
    Y = np.tile(responses, (len(views), 1))
    images = np.tile(np.arange(len(responses)), len(views))
    ridge = Ridge(alphas, cv=min(cv, len(responses)), device="cpu").fit(X, Y, groups=images)
    weights = np.asarray(ridge.coef_) / sd[:, None]
    intercept = np.asarray(ridge.intercept_) - mean @ weights
    return RegionEncoder(weights.astype(np.float32), intercept.astype(np.float32), np.asarray(ridge.alpha_))


def shuffled_regions(
    views: Values,
    responses: Values,
    alpha: NDArray[np.floating],
    regions: Mapping[str, Rows],
    n_nulls: int,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Refit encoders of the mean of every region to the responses of other images, at the penalties already chosen.

    Parameters
    ----------
    views, responses
        As of `fit_regions`.
    alpha : array (n_targets,)
        Of the encoder whose null this is.
    regions : mapping
        Columns of `responses` by region.
    n_nulls, seed : int

    Returns
    -------
    coef : array (n_nulls, n_features, n_regions)
    intercept : array (n_nulls, n_regions)
    """
    X, mean, sd = _scaled(views, responses)
    rng = np.random.default_rng([seed, 0x5F0])
    orders = [rng.permutation(len(responses)) for _ in range(n_nulls)]
    coef = np.zeros((n_nulls, X.shape[1], len(regions)))
    intercept = np.zeros((n_nulls, len(regions)))
    for penalty in np.unique(alpha):
        # Ridge is linear in the responses: the mean of targets that share a penalty has the mean of their weights.
        sums = {
            k: responses[:, own].sum(axis=1) / len(rows)
            for k, rows in enumerate(regions.values())
            if len(own := rows[alpha[rows] == penalty])
        }
        if not sums:
            continue
        stacked = np.stack(list(sums.values()), axis=1)
        Y = np.concatenate([stacked[order] for order in orders], axis=1)
        ridge = Ridge([float(penalty)], device="cpu").fit(X, np.tile(Y, (len(views), 1)))
        weights = np.asarray(ridge.coef_).reshape(X.shape[1], n_nulls, len(sums)).transpose(1, 0, 2)
        coef[:, :, list(sums)] += weights
        intercept[:, list(sums)] += np.asarray(ridge.intercept_).reshape(n_nulls, len(sums))
    scaled = coef / sd[:, None]
    shift = np.einsum("d,ndr->nr", mean, scaled)
    return scaled.astype(np.float32), (intercept - shift).astype(np.float32)


def _scaled(views: Values, responses: Values) -> tuple[Values, Values, Values]:
    """Return rows (n_views · n_images, n_features), and the mean and scale that are already out of them."""
    if views.ndim != 3 or not len(views):
        raise BrainalignError(f"views are (n_views, n_images, n_features); got the shape {views.shape}")
    check_rows("views", views.shape[1], "responses", len(responses), "give the response to every image once")
    mean, sd = views[0].mean(axis=0, dtype=np.float64), views[0].std(axis=0, dtype=np.float64)
    # Units that are silent on clean images would be blown up where a view wakes them.
    sd = np.maximum(sd, 0.01 * max(float(np.sqrt((sd**2).mean())), 1e-12))
    X = (views.reshape(-1, views.shape[2]) - mean) / sd
    return X.astype(np.float32), mean, sd
