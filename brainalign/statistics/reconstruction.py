"""Scores of images reconstructed from brain activity, and the controls without which they mean little."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, check_shape, numbers
from brainalign.statistics.resampling import MIN_UNITS, bootstrap, permute_within

GREY = (0.2125, 0.7154, 0.0721)  # luminance of red, green and blue (ITU-R BT.709), as scikit-image takes it
SIGMA, REACH = 1.5, 5  # of the window: standard deviation and half width in pixels
K1, K2 = 0.01, 0.03
CHUNK = 2**23  # pixels at once


def check_images(name: str, images: Values) -> Values:
    """Return images as an array of floats, of the precision they have."""
    values = np.asarray(images)
    if not np.issubdtype(values.dtype, np.floating):
        raise BrainalignError(f"{name} must be floats in [0, 1]; got {values.dtype}; divide uint8 by 255")
    if values.ndim != 4 or values.shape[1] != 3 or not len(values):
        raise BrainalignError(
            f"{name} must be colour images (n, 3, H, W); got the shape {values.shape}; "
            "transpose images that have colours last, and repeat grey ones three times"
        )
    check_finite(name, values, "no score can be given for a picture with holes")
    if values.min() < 0 or values.max() > 1:
        raise BrainalignError(f"{name} must lie in [0, 1]; got {values.min():.3g} to {values.max():.3g}")
    return values


def unit_rows(values: Values) -> Values:
    """Return rows (n, ...) centred and of length 1, whose products are correlations; a constant row becomes 0."""
    rows = np.asarray(values).reshape(len(values), -1)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    # What rounding leaves of a constant row is no pattern.
    least = 10 * np.finfo(rows.dtype).eps * largest * np.sqrt(rows.shape[1])
    return np.asarray(rows / np.where(norm > least, norm, np.inf), dtype=rows.dtype)


def structural_similarity(a: Values, b: Values) -> "Floats":
    """Return the structural similarity of grey images, pair by pair: Gaussian window of sd 1.5, as scikit-image.

    SSIM = (2 μa μb + c1)(2 σab + c2) / ((μa² + μb² + c1)(σa² + σb² + c2)), averaged over windows that lie inside.
    Images (n, 3, H, W) are in [0, 1], with at least 11 pixels per side.

    References
    ----------
    Wang Z, Bovik AC, Sheikh HR, Simoncelli EP (2004). Image quality assessment: from error visibility to structural
    similarity. IEEE Transactions on Image Processing 13:600-612. doi:10.1109/TIP.2003.819861
    """
    least = 2 * REACH + 1
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < least:
        raise BrainalignError(
            f"structural similarity needs two sets of one shape (n, 3, H, W), {least} pixels per side or more; "
            f"got {a.shape} and {b.shape}"
        )
    step = max(1, CHUNK // (a.shape[2] * a.shape[3]))
    return np.concatenate([_similarity(a[k : k + step], b[k : k + step]) for k in range(0, len(a), step)])


def _similarity(a: Values, b: Values) -> "Floats":
    from scipy.ndimage import gaussian_filter

    # In float64: variances are differences of nearly equal numbers.
    x, y = (np.einsum("nchw,c->nhw", images, np.array(GREY), dtype=np.float64) for images in (a, b))

    def blur(values: Floats) -> Floats:
        blurred = gaussian_filter(values, (0, SIGMA, SIGMA), truncate=REACH / SIGMA, mode="reflect")
        return np.asarray(blurred[:, REACH:-REACH, REACH:-REACH])

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + K1**2) * (2 * covariance + K2**2)
    denominator = (mean_x**2 + mean_y**2 + K1**2) * (var_x + var_y + K2**2)
    return np.asarray((numerator / denominator).mean(axis=(1, 2)))


Floats = NDArray[np.float64]
Extractor = Callable[[NDArray[np.float32]], Any]

TIE = 1e-6  # correlations closer than this are equal: float32 features carry no more
SSIM_PAIRS = 10_000  # structural similarity has no shortcut for permuted pairs
COLUMNS = ["images", "metric", "features", "distractors", "value", "low", "high", "chance", "p", "n"]


def reconstruction_scores(
    reconstructed: Values,
    target: Values,
    extractors: Mapping[str, Extractor] | None = None,
    *,
    training: Values | None = None,
    clusters: Sequence[object] | NDArray[Any] | None = None,
    n_ways: Sequence[int] = (2,),
    n_permutations: int = 99,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score reconstructions, and what would have been scored without one.

    PixCorr and SSIM compare pixels. Of every extractor f: identification, the share of pairs i, j ≠ i with
    corr(f(r_i), f(g_i)) > corr(f(r_i), f(g_j)), a tie counting one half; and distance, the mean of
    1 − corr(f(r_i), f(g_i)). Published tables take AlexNet, Inception and CLIP for the first, EfficientNet-B1 and SwAV
    for the second.

    Parameters
    ----------
    reconstructed, target : array (n, 3, H, W), in [0, 1]
        Row i of both belongs to the same stimulus.
    extractors : mapping of callable, optional
        Images (n, 3, H, W) float32 to features (n, d), by the name that rows carry. Name what it is: another network
        in the place of a published one must not go by its name.
    training : array (n_training, 3, H, W), optional
        Stimuli that the reconstruction was trained on: for the controls "mean image" and "retrieved".
    clusters : sequence (n,), optional
        Kind of each stimulus (category, or cluster of its features). Identification is then also given among stimuli
        of the same cluster, where knowing the kind does not help, and among all others. Of the first, pairs are
        permuted within clusters: those of all would judge what knows the kind alone by what knows nothing.
    n_ways : sequence of int
        Numbers of candidates, the right one among them; 2 is pairwise.
    n_permutations : int
        Of the pairs, for the control "permuted pairs" and for p; fewer, down to 19, for SSIM of many images.
    confidence : float
    seed : int

    Returns
    -------
    DataFrame
        images: reconstructed, or a control: identity (the targets themselves), permuted pairs, mean image, retrieved
        (of the training images, the one nearest to each reconstruction). metric: PixCorr, SSIM, 2-way (n-way),
        distance, dimension (effective number of dimensions of the features, beside that of identity: an output that
        collapsed onto few dimensions still identifies pairs). features, distractors (all | same cluster | other
        clusters), value, low, high (bootstrap of stimuli; NaN below 6), chance, p (of permuted pairs; NaN of
        controls), n.

    Raises
    ------
    BrainalignError
        If images do not match or lie outside [0, 1], features are not (n, d), or there are fewer than `n_ways` images.

    References
    ----------
    Scotti P et al. (2023). Reconstructing the mind's eye: fMRI-to-image with contrastive learning and diffusion
    priors. NeurIPS. arXiv:2305.18274
    Shirakawa K et al. (2024). Spurious reconstruction from brain activity. arXiv:2405.10078

    Examples
    --------
    >>> reconstruction_scores(reconstructed, shown, {"pixels": lambda x: x.reshape(len(x), -1)}, training=others)
    """
    target = check_images("target", target)
    reconstructed = check_images("reconstructed", reconstructed)
    remedy = "resize the reconstructions to the size of what was shown"
    check_shape("reconstructed", reconstructed.shape, target.shape, "target has", remedy)
    n = len(target)
    if n < max(2, *n_ways) or min(n_ways) < 2:
        raise BrainalignError(f"identification among {tuple(n_ways)} candidates needs as many images; got {n}")
    labels = None if clusters is None else np.asarray(clusters)
    if labels is not None:
        check_rows("clusters", len(labels), "target", n, "give the cluster of every stimulus")
    sets = {"reconstructed": reconstructed, "identity": target}
    if training is not None:
        training = check_images("training", training)
        if training.shape[1:] != target.shape[1:]:
            raise BrainalignError(f"training images {training.shape} differ in size from targets {target.shape}")
        sets["mean image"] = np.broadcast_to(training.mean(axis=0), target.shape)
        sets["retrieved"] = retrieve(reconstructed, training, next(iter((extractors or {}).values()), None))
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(n) for _ in range(n_permutations)]).reshape(-1, n)
    within = orders if labels is None else permute_within(labels, n_permutations, rng)
    rows: list[dict[str, object]] = []

    def add(images: str, metric: str, each: Floats, null: Floats | None, **more: object) -> None:
        found: dict[str, object] = {"value": each.mean(), "n": len(each)}
        if len(each) >= MIN_UNITS:
            drawn = bootstrap(each, confidence, seed=seed)
            found = {"value": drawn.mean, "low": drawn.low, "high": drawn.high, "n": drawn.n}
        rows.append({"images": images, "metric": metric, **more, **found})
        if null is not None and len(null):  # the lower a distance the better
            better = null <= each.mean() + 1e-12 if metric == "distance" else null >= each.mean() - 1e-12
            rows[-1]["p"] = (1 + int(better.sum())) / (1 + len(null))
            spread = {"value": null.mean(), "low": null.min(), "high": null.max(), "n": len(null)}
            rows.append({"images": "permuted pairs", "metric": metric, **more, **spread})

    for name, images in sets.items():
        similar = unit_rows(images) @ unit_rows(target).T  # over pixels and colours; a constant image correlates 0
        permuted = orders if name == "reconstructed" else orders[:0]
        null = np.array([np.diagonal(similar[order]).mean() for order in permuted])
        add(name, "PixCorr", np.diagonal(similar), null)
        permuted = permuted[: max(19, SSIM_PAIRS // n)]
        null = np.array([structural_similarity(images[order], target).mean() for order in permuted])
        add(name, "SSIM", structural_similarity(images, target), null)
    groups = {"all": ~np.eye(n, dtype=bool)}
    if labels is not None:
        same = labels[:, None] == labels[None, :]
        groups |= {"same cluster": same & groups["all"], "other clusters": ~same}
    for features, extractor in (extractors or {}).items():
        goal = _features(features, extractor, target)
        for name, images in sets.items():
            mine = goal if name == "identity" else _features(features, extractor, images)
            if mine.shape[1] != goal.shape[1]:
                raise BrainalignError(f"{features} gives {mine.shape[1]} and {goal.shape[1]} features of equal images")
            similar = unit_rows(mine) @ unit_rows(goal).T  # (n reconstructed, n targets)
            # Exchanged one at a time, where they are needed: each is as large as all pairs.
            permuted, alike = (some if name == "reconstructed" else some[:0] for some in (orders, within))
            for n_way in n_ways:
                for which, others in groups.items():
                    enough = others.sum(axis=1) >= n_way - 1
                    if not enough.any():
                        continue
                    pairs = alike if which == "same cluster" else permuted
                    null = np.array([n_way_identification(similar[k], n_way, others)[enough].mean() for k in pairs])
                    each = n_way_identification(similar, n_way, others)[enough]
                    add(name, f"{n_way}-way", each, null, features=features, distractors=which, chance=1 / n_way)
            null = np.array([1 - np.diagonal(similar[k]).mean() for k in permuted])
            add(name, "distance", 1 - np.diagonal(similar), null, features=features)
            dimension = {"value": effective_dimension(mine), "n": n}
            rows.append({"images": name, "metric": "dimension", "features": features, **dimension})
    return pd.DataFrame(rows).reindex(columns=COLUMNS).fillna({"features": "", "distractors": ""})


def n_way_identification(similar: Values, n_way: int = 2, others: NDArray[np.bool_] | None = None) -> Floats:
    """Compute the probability that each row finds its own column among n_way − 1 random others; exact, no draws.

    Row i of `similar` (n, n) says how alike reconstruction i is to every target; of k that tie for the best one is
    taken at random. `others` (n, n) says which columns may be distractors of a row; all by default, NaN where there are
    too few.
    """
    similar, n = numbers("similar", similar), len(similar)
    if similar.shape != (n, n):
        raise BrainalignError(f"similar has shape {similar.shape}; give a row and a column per image")
    allowed = ~np.eye(n, dtype=bool) if others is None else others & ~np.eye(n, dtype=bool)
    own = np.diagonal(similar)[:, None]
    tied = (np.abs(similar - own) <= TIE) & allowed
    worse = ((similar < own) & ~tied & allowed).sum(axis=1)
    equal, total, drawn = tied.sum(axis=1), allowed.sum(axis=1), n_way - 1
    found = np.zeros(n)
    for k in range(drawn + 1):  # k of the drawn ones tie, none is better
        with np.errstate(invalid="ignore"):  # of rows with too few distractors
            ways = _log_choose(equal, k) + _log_choose(worse, drawn - k) - _log_choose(total, drawn)
        found += np.exp(ways) / (k + 1)
    return np.where((total >= drawn) & np.isfinite(own[:, 0]), found, np.nan)


def effective_dimension(features: Values) -> float:
    """Return the participation ratio (Σλ)² / Σλ² of the covariance of features (n, d); 0 where all rows are equal."""
    values = numbers("features", features, np.float64)
    if values.ndim != 2:
        raise BrainalignError(f"features have shape {values.shape}; give rows × features")
    check_finite("features", values, "drop the rows or features that hold them")
    variances = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    total = variances.sum()
    return float(total**2 / (variances**2).sum()) if total > 1e-24 * (values**2).sum() else 0.0


def retrieve(reconstructed: Values, training: Values, extractor: Extractor | None = None) -> Floats:
    """Return, of each reconstruction, the training image most like it: correlation of features, or of pixels.

    A reconstruction that scores no better than this one says no more than which training image comes near.
    """
    both = reconstructed, training
    a, b = both if extractor is None else (_features("the first extractor", extractor, some) for some in both)
    return np.asarray(training[(unit_rows(a) @ unit_rows(b).T).argmax(axis=1)], dtype=np.float64)


def _features(name: str, extractor: Extractor, images: Values) -> Floats:
    found = np.asarray(extractor(np.ascontiguousarray(images, dtype=np.float32)), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(images) or found.shape[1] < 2 or not np.isfinite(found).all():
        raise BrainalignError(
            f"{name} must give finite features (n, d) with d of 2 or more; got the shape {found.shape} for "
            f"{len(images)} images; flatten maps of a network"
        )
    return found


def _log_choose(n: NDArray[np.integer[Any]], k: int) -> Floats:
    possible = (n >= k) & (k >= 0)
    m = np.where(possible, n, max(k, 0))
    return np.where(possible, gammaln(m + 1) - gammaln(max(k, 0) + 1) - gammaln(m - max(k, 0) + 1), -np.inf)


# Column of the table: metric and name of the features in `reconstruction_scores`. Identification in per cent.
ENTRIES = {
    "PixCorr": ("PixCorr", ""),
    "SSIM": ("SSIM", ""),
    "Inception": ("2-way", "Inception"),
    "CLIP": ("2-way", "CLIP"),
    "EfficientNet-B1": ("distance", "EfficientNet-B1"),
    "SwAV": ("distance", "SwAV"),
}
# Means over subjects 1, 2, 5 and 7, as later papers quote them in their tables; not checked against the originals.
PUBLISHED = pd.DataFrame(
    [
        ("Takagi & Nishimoto", 0.246, 0.410, 83.8, 82.1, 0.811, 0.504),
        ("MindEye2", 0.322, 0.431, 95.4, 93.0, 0.619, 0.344),
        ("MindHier", 0.326, 0.461, 95.9, 95.4, 0.613, 0.345),
    ],
    columns=["method", *ENTRIES],
)


def beside_published(scores: pd.DataFrame, name: str, *, dataset: str) -> pd.DataFrame:
    """Put one's own scores into the table of published ones.

    Parameters
    ----------
    scores : DataFrame
        From `reconstruction_scores`. Only extractors called exactly Inception (pool), CLIP (ViT-L/14),
        EfficientNet-B1 and SwAV fill their columns; what a stand-in scored is left out.
    name : str
        Of the row.
    dataset : str
        "nsd": the published figures are of the shared test images of the Natural Scenes Dataset.

    Returns
    -------
    DataFrame
        method, then PixCorr, SSIM (higher is better), Inception, CLIP (two-way identification, per cent),
        EfficientNet-B1 and SwAV (distance, lower is better); NaN where nothing was scored.

    Raises
    ------
    BrainalignError
        If the scores are of another dataset, or a metric occurs more than once.
    """
    if dataset != "nsd":
        raise BrainalignError(
            f"published figures are of the shared images of 'nsd'; scores of {dataset!r} cannot stand beside them: "
            "other images are easier or harder to tell apart"
        )
    mine: dict[str, object] = {"method": name}
    rows = scores[(scores["images"] == "reconstructed") & scores["distractors"].isin(["", "all"])]
    for column, (metric, features) in ENTRIES.items():
        found = rows[(rows["metric"] == metric) & (rows["features"] == features)]["value"]
        if len(found) > 1:
            raise BrainalignError(f"{column} occurs {len(found)} times; give the scores of one reconstruction")
        mine[column] = (100 if metric == "2-way" else 1) * float(found.iloc[0]) if len(found) else np.nan
    return pd.concat([PUBLISHED, pd.DataFrame([mine])], ignore_index=True)
