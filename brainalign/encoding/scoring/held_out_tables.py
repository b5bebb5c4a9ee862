"""What is written of scores on held-out stimuli: a row per target, per group of targets, per permutation, per band."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import statistics
from brainalign.arrays import Responses, Rows, Values
from brainalign.checks import BrainalignError
from brainalign.encoding.networks import SeedEnsemble
from brainalign.encoding.scoring.held_out_scores import TIE, HeldOut
from brainalign.regression import Partition

METRICS = {
    "r": "Pearson r over test images, responses averaged over repeats",
    "r2": "coefficient of determination over the same",
    "r2_signed": "r times its absolute value",
    "ceiling": "share of the variance of these averages that repeats (variance units, unclamped)",
    "r2_normalized": "r2_signed / ceiling, never clipped",
    "p": "one-sided permutation p: predictions exchanged between test images",
    "p_fwer": "the same against the maximum over targets",
    "q": "Benjamini-Hochberg over the targets of one layer whose ceiling exceeds the threshold; others are not tested",
    "reliable": "ceiling above the threshold and repeats alike (F test, q < .05): the targets that means are over",
    "control_r": "r after a refit on training responses exchanged between images; of many targets, of some",
    "cv_r": "r inside the training images; where folds were scored by R², the square root of what is above 0",
}
SPLIT = "what a layer adds to the joint score (product measure: layers sum to it; negative where they correlate)"


def score_table(
    found: HeldOut, responses: Responses, ceiling: Values, reliable: Rows, threshold: float
) -> pd.DataFrame:
    """Return a row per target [and time]: the columns of `METRICS`, alpha and n_test.

    Parameters
    ----------
    found : HeldOut
    responses : Responses
        That were encoded.
    ceiling : array (n_targets,), share of variance
    reliable : array of target numbers
    threshold : float
        Of the ceiling of targets that q is corrected over: more than the reliable ones, since whether a target is
        predicted may be certain where its few repeats are not.
    """
    values = {
        "r": found.r,
        "r2": found.r2,
        "r2_signed": found.r2_signed,
        "ceiling": ceiling,
        "r2_normalized": statistics.normalized_r2(found.r, ceiling),
        "alpha": np.broadcast_to(getattr(found.encoder, "alpha_", np.nan), found.r.shape),
        "p": found.p,
        "p_fwer": found.p_fwer,
        # Ceilings may choose: under the null they are independent of whether features predict a target.
        "q": statistics.fdr(np.where(ceiling <= threshold, np.nan, found.p)),
        "control_r": found.control_r,
        "cv_r": _inner(found, as_r=True),
    }
    compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
    are_reliable = np.isin(np.arange(len(ceiling)), reliable)
    return responses.target_table().assign(**compact, reliable=are_reliable, n_test=len(found.test_ids))


def group_table(found: HeldOut, groups: Mapping[str, Rows], ceiling: Values, confidence: float) -> pd.DataFrame:
    """Return a row per group: mean r with standard error and interval over test images, its null, the refit control.

    Percentiles of draws are widened to Student's t: as they are, those of 20 images cover .88 to .93. `cv_score` is the
    score inside the training images: what a layer may be chosen by.

    Parameters
    ----------
    found : HeldOut
        Of these groups.
    groups : mapping of arrays of target numbers
    ceiling : array (n_targets,), share of variance
    confidence : float
        Of the intervals.
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    r, null = found.group_r, found.group_null
    widening = statistics.interval_widening(np.inf, len(found.test_ids), confidence)
    low, high = np.clip(r + widening * (np.quantile(found.group_draws, tails, axis=0) - r), -1, 1)
    # Corrected for the choice among groups: the largest group of every permutation. One without a score has no null.
    maxima = null[:, ~np.isnan(r)].max(axis=1, initial=-1)
    return pd.DataFrame(
        {
            "group": found.groups,
            "r": r,
            "se": found.group_draws.std(axis=0, ddof=1),
            "low": low,
            "high": high,
            "null_mean": null.mean(axis=0),
            "null_low": np.quantile(null, tails[0], axis=0),
            "null_high": np.quantile(null, tails[1], axis=0),
            "p": statistics.permutation_test(r - TIE, null),
            "p_fwer": statistics.permutation_test(r - TIE, maxima, correct="max"),
            "control_r": found.control_group_r,
            "ceiling_r": statistics.group_means(np.sqrt(np.maximum(ceiling, 0)), list(groups.values())),
            "cv_score": statistics.group_means(_inner(found), list(groups.values())),
            "n_targets": [len(rows) for rows in groups.values()],
        }
    )


def null_table(results: Mapping[str, HeldOut]) -> pd.DataFrame:
    """Return per layer: largest r of any target and mean r of the reliable ones under permutation; its bootstrap."""
    tables = []
    for layer, found in results.items():
        k = found.groups.index(statistics.RELIABLE)
        columns = {"null_r": found.group_null[:, k], "draw_r": found.group_draws[:, k]}
        if found.null is not None:
            columns["null_max_r"] = found.null.max_r
        table = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        tables.append(table.assign(layer=layer, number=np.arange(len(table))))
    return pd.concat(tables, ignore_index=True)


def band_table(parts: Partition, responses: Responses, layers: Sequence[str]) -> pd.DataFrame:
    """Return a row per target and layer: what the layer adds, the same after the refit control, and its share."""
    tables = []
    for k, layer in enumerate(layers):
        values = {"split": parts.split[k], "delta": parts.deltas[k]}
        if parts.control_split is not None:
            values["control_split"] = parts.control_split[k]
        compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
        tables.append(responses.target_table().assign(**compact, layer=layer))
    return pd.concat(tables, ignore_index=True)


def _inner(found: HeldOut, *, as_r: bool = False) -> Values:
    """Return the score inside the training images (n_targets,); NaN where a single penalty left nothing to score."""
    inner = np.full((1, len(found.r)), np.nan)
    squared = False
    if isinstance(found.encoder, SeedEnsemble):
        inner = found.encoder.validation_r_[None]
    elif hasattr(found.encoder, "cv_scores_"):
        inner = np.asarray(found.encoder.cv_scores_)
        squared = getattr(found.encoder, "metric", "r") == "r2"
    best = np.nan_to_num(inner, nan=-np.inf).max(axis=0)
    inside = np.where(np.isfinite(best), best, np.nan)
    return np.sqrt(np.maximum(inside, 0)) if as_r and squared else inside


def target_groups(responses: Responses, reliable: NDArray[np.bool_]) -> dict[str, NDArray[np.intp]]:
    """Return numbers of flat targets by region, or for M/EEG of all sensors by time in s; then the reliable targets.

    Of a region its reliable targets, or all where none is. `reliable` (n_targets,) is of flat targets, sensor × time,
    from `statistics.reliable_targets`.
    """
    if responses.times is not None:
        flat = np.arange(responses.values[0].size).reshape(responses.values.shape[1:])
        groups = {f"{time:.4f}": flat[:, k] for k, time in enumerate(responses.times)}
    else:
        groups = {
            name: rows[reliable[rows]] if reliable[rows].any() else rows for name, rows in responses.regions().items()
        }
    groups[statistics.RELIABLE] = np.flatnonzero(reliable)
    return groups


Results = Mapping[str, HeldOut]


def preference_table(results: Results) -> pd.DataFrame:
    """Return the best layer of every region, from evaluations by layer; over all reliable targets without regions."""
    names = next(iter(results.values())).groups
    rois = [k for k, name in enumerate(names) if name != statistics.RELIABLE] or [0]
    return statistics.layer_preference(
        np.stack([found.group_r[rois] for found in results.values()], axis=-1),
        np.stack([found.group_draws[:, rois] for found in results.values()], axis=-1),
        np.stack([found.group_null[:, rois] for found in results.values()], axis=-1),
        [names[k] for k in rois],
        list(results),
    )


def latency_table(results: Results, times: NDArray[np.floating]) -> pd.DataFrame:
    """Return peak and onset of every layer after the stimulus.

    The first groups of the results, by layer, are the times (n_times,), in s from stimulus onset.
    """
    rows = []
    for layer, found in results.items():
        seen = np.flatnonzero(np.isfinite(found.group_r[: len(times)]))  # groups are times, then the reliable targets
        row: dict[str, Any] = dict.fromkeys((entry.name for entry in fields(statistics.Latency)), np.nan)
        row |= {"decided": False, "reason": "no score: predictions or responses are constant"}
        if (times[seen] >= 0).any():
            curves = found.group_r[seen], found.group_draws[:, seen], found.group_null[:, seen]
            row = vars(statistics.score_latency(*curves, times[seen], window=(0.0, np.inf)))
        rows.append({"layer": layer} | row)
    return pd.DataFrame(rows)


def layer_draws(
    results: Results,
    groups: Mapping[str, NDArray[np.intp]],
    n_train: int,
    *,
    n_draws: int,
    n_permutations: int,
    seed: int,
) -> statistics.RegionDraws:
    """Return draws and null of every region's reliable targets: the ones that all encoders are scored on.

    Parameters
    ----------
    results : mapping of HeldOut by layer
    groups : mapping of arrays of target numbers
        Regions, and the reliable targets; empty where targets lie in none.
    n_train : int
        Training stimuli.
    n_draws, n_permutations, seed : int
    """
    regions = {name: np.intersect1d(rows, groups[statistics.RELIABLE]) for name, rows in groups.items()}
    regions = {name: rows for name, rows in regions.items() if len(rows)}
    sizes = {"n_draws": n_draws, "n_permutations": n_permutations, "seed": seed}
    draws, null = {}, {}
    for layer, found in results.items() if regions else ():
        draws[layer], null[layer] = statistics.region_draws(found.predicted, found.measured, regions, **sizes)
    return statistics.RegionDraws(regions, draws, null, next(iter(results.values())).test_ids.tolist(), n_train)


QUANTILE = 0.95  # of the null at each sensor and time, above which it takes part


def score_clusters(found: HeldOut, responses: Responses) -> pd.DataFrame:
    """Return a row per cluster of r over sensors and times, from the permuted maps of an evaluation.

    `found` has `null_maps`; `responses` are those that were encoded: sensors with their places, and times.
    """
    test = statistics.cluster_permutation(
        np.nan_to_num(found.r).reshape(responses.values.shape[1:]),
        found.null_maps,
        statistics.sensor_adjacency(responses.targets),
        threshold=QUANTILE,
        kind="quantile",
        times=responses.times,
    )
    return test.table(responses.targets["target_id"].tolist())


class Contender(NamedTuple):
    """One encoder on the held-out stimuli, and how many parameters it has.

    Of a trained encoder `seed_r` holds the mean r of each seed over each group (n_seeds, n_groups).
    """

    found: HeldOut
    n_parameters: int
    seed_r: NDArray[np.floating[Any]] | None = None

    @classmethod
    def trained(
        cls,
        found: HeldOut,
        groups: Mapping[str, NDArray[Any]],
        X: NDArray[np.floating[Any]],
        semantics: NDArray[np.floating[Any]] | None = None,
    ) -> Self:
        """Return an encoder that was trained from several seeds; X (and semantics) are of the test stimuli in order."""
        ensemble, rows = cast(SeedEnsemble, found.encoder), list(groups.values())
        by_seed = ensemble.predictions(X, semantics)
        seed_r = np.stack([statistics.group_means(statistics.pearson(each, found.measured), rows) for each in by_seed])
        return cls(found, ensemble.n_parameters_, seed_r)

    @property
    def seconds(self) -> float:
        """Compute the seconds of one fit; of a trained encoder the mean over seeds."""
        encoder = self.found.encoder
        if isinstance(encoder, SeedEnsemble):
            return encoder.seconds_ / len(encoder.seeds)
        return self.found.seconds


def side_by_side(contenders: Mapping[str, Contender], n_targets: Sequence[int], confidence: float) -> pd.DataFrame:
    """Return a row per encoder and group of targets.

    The draws hold the chance of the test stimuli; intervals are widened for few of them and for the chance of the
    training stimuli, as those of `brainalign.statistics.family_contest`. As they are, those of equally good encoders
    exclude 0 too often (95 %, 200 training and 100 test stimuli, 400 studies: .068; widened .028).

    Parameters
    ----------
    contenders : mapping of Contender by name
        The first one is what the others are compared with. All were evaluated on the same test stimuli with the same
        seed and groups, so that their bootstrap draws are paired.
    n_targets : sequence of int
        Of each group.
    confidence : float
        Of the intervals.

    Returns
    -------
    DataFrame
        encoder, group, r (of the mean prediction over seeds) with low and high; seed_mean, seed_sd and n_seeds of r of
        single seeds (NaN, NaN and 1 of what is not trained); difference (the first encoder's r minus this one's)
        with difference_low and difference_high; n_targets, n_parameters and seconds (of one seed).

    Raises
    ------
    BrainalignError
        If the number of training stimuli is not known.
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    first = next(iter(contenders.values())).found
    if first.n_train is None:
        raise BrainalignError("intervals depend on the number of training stimuli; pass n_train to score_predictions")
    widening = statistics.interval_widening(first.n_train, len(first.test_ids), confidence)
    tables = []
    for name, contender in contenders.items():
        found = contender.found
        difference, apart = first.group_r - found.group_r, first.group_draws - found.group_draws
        low, high = found.group_r + widening * (np.quantile(found.group_draws, tails, axis=0) - found.group_r)
        apart_low, apart_high = difference + widening * (np.quantile(apart, tails, axis=0) - difference)
        undefined, seed_r = np.full(len(found.groups), np.nan), contender.seed_r
        tables.append(
            pd.DataFrame(
                {
                    "encoder": name,
                    "group": found.groups,
                    "r": found.group_r,
                    "low": low,
                    "high": high,
                    "seed_mean": undefined if seed_r is None else seed_r.mean(axis=0),
                    "seed_sd": undefined if seed_r is None or len(seed_r) == 1 else seed_r.std(axis=0, ddof=1),
                    "n_seeds": 1 if seed_r is None else len(seed_r),
                    "difference": difference,
                    "difference_low": apart_low,
                    "difference_high": apart_high,
                    "n_targets": list(n_targets),
                    "n_parameters": contender.n_parameters,
                    "seconds": contender.seconds,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
