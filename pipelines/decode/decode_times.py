"""decode_times: categories decoded from the sensors of one subject: when, where, and for how long a code lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import diags_array

from brainalign import geometry, statistics
from brainalign.arrays import Arrays, Responses
from brainalign.checks import BrainalignError, check_columns, check_named
from brainalign.config import DecodeTimesSettings
from brainalign.datasets.formats import fit_whitener
from brainalign.geometry import decode_times as decode_moments
from brainalign.study import check_latency_window
from brainalign.workflow import Job

EVERYTHING = "all"
AVERAGED = 2  # neighbouring samples of a window that is decoded as a whole: half the features, and less noise
ACROSS, WITHIN, IMAGES = "recordings left out", "within recordings", "images left out"

FIRST, HIGHEST, ASKED = "first hump", "highest hump", "window asked for"
ONLY, NONE = "first and highest hump", "highest hump, none above the null"


@dataclass
class _Study:
    """The trials of one subject, how they are split, and what the null exchanges."""

    responses: Responses
    settings: DecodeTimesSettings
    folds: dict[str, list[geometry.Fold]]  # by scheme; moments are decoded with the first
    exchange: statistics.Exchange
    trials: statistics.Exchange  # that are resampled
    whiten: bool
    confidence: float
    seed: int
    note: str = ""  # on the order of categories

    def __post_init__(self) -> None:
        self.labels = self.responses.trials["category"].to_numpy(dtype=str)
        self.measure: Any = "auc" if len(set(self.labels)) == 2 else "accuracy"
        self.permuted = self.exchange.permuted(self.settings.permutations, np.random.default_rng(self.seed))
        if len(self.folds) > 1:  # of blocks or few trials a recording alone may leave a category nothing to train on
            every = np.concatenate([self.labels[None], self.permuted])
            parts = [train for train, _ in self.folds[WITHIN]]
            if not all((every[:, train] == kind).any(axis=1).all() for train in parts for kind in {*self.labels}):
                del self.folds[WITHIN]

    @property
    def times(self) -> NDArray[Any]:
        times = self.responses.times
        if times is None:
            raise BrainalignError("responses have no times; decoding over time is for M/EEG")
        return times

    def whiteners(self, rows: NDArray[np.intp]) -> list[NDArray[Any]] | None:
        """Return the whitening of some sensors by fold, from its training trials."""
        if not self.whiten:
            return None
        values, targets = self.responses.values[:, rows], self.responses.targets.iloc[rows]
        return [
            fit_whitener(values[train], self.times, targets, stimulus_ids=self.labels[train].tolist()).matrix
            for train, _ in next(iter(self.folds.values()))
        ]


def decode_times(job: Job) -> None:
    """Decode categories from sensors at every moment, in whole windows and across time."""
    settings = job.options("decode_times", DecodeTimesSettings)
    responses = job.load("responses", Responses)
    splits = job.load("splits", pd.DataFrame) if job.has("splits") else None
    study = _study(responses, splits, settings, job.settings["confidence"], job.seed)
    check_latency_window(study.times, settings.latency_window_s)
    groups = _groups(responses, job.settings["sensors"])
    folds = next(iter(study.folds.values()))
    told: dict[str, Any] = {"permuted": study.permuted, "score": study.measure}
    found = {
        name: decode_moments(responses.values[:, rows], study.labels, folds, whiteners=study.whiteners(rows), **told)
        for name, rows in groups.items()
    }
    facts = {
        "measure": {"auc": "area under the curve", "accuracy": "balanced accuracy"}[study.measure],
        "categories": sorted(set(study.labels)),
        "scheme": next(iter(study.folds)),
        "n_permutations": settings.permutations,
        "n_folds": len(folds),
        "note": study.note,
    }
    tables = [_time_table(study, name, scores) for name, scores in found.items()]
    job.save("timescores", pd.concat(tables, ignore_index=True), **facts)
    effect, sensor_clusters = _sensors(study)
    job.save("timesensors", effect, effect="area under the curve minus .5" if study.measure == "auc" else
         "share of variance between categories", **facts)  # fmt: skip
    # All that follows the stimulus, and as a control all before it.
    before = {"before": (float(study.times[0]), 0.0)} if study.times[0] < 0 else {}
    usual = {"response": (0.0, float(study.times[-1]))} | before
    windows: Mapping[str, Sequence[float]] = job.settings["windows"] or usual
    job.save("timewindows", _windows(study, groups, windows), **facts)
    peaks = [row for name, scores in found.items() for row in _peaks(study, name, scores)]
    job.save("timepeaks", pd.DataFrame(peaks), interval="bootstrap over test trials or images", **facts)
    tests = {
        name: statistics.cluster_permutation(scores.score[None], scores.null[:, None], times=study.times)
        for name, scores in found.items()
    }
    squares, square_clusters = _squares(study, tests[EVERYTHING].mask()[0])
    clusters = [_rows_of(test.table([name]), "time", name) for name, test in tests.items()]
    job.save("timeclusters", pd.concat([*clusters, sensor_clusters, square_clusters], ignore_index=True))
    job.save("timesquares", squares, conditions=list(dict.fromkeys(study.labels)), **facts)


def _study(
    responses: Responses, splits: pd.DataFrame | None, settings: DecodeTimesSettings, confidence: float, seed: int
) -> _Study:
    """Split the trials of a study: recordings left out and contiguous folds, or the split of the images."""
    trials = responses.trials
    check_columns("the trials", trials, ["category"], "give the table of images a column category")
    labels = trials["category"].to_numpy(dtype=str)
    if splits is not None:
        side = trials["trial_id"].map(splits.set_index("trial_id")["split"]).to_numpy(dtype=str)
        folds = {IMAGES: [(np.flatnonzero(side == "train"), np.flatnonzero(side == "test"))]}
        exchange = statistics.Exchange(labels, trials["stimulus_id"].to_numpy(dtype=str), side)
        # They are whitened by prepare_images.
        return _Study(responses, settings, folds, exchange, exchange, False, confidence, seed)
    runs = (trials["session"] + " " + trials["run"]).to_numpy(dtype=str)
    assert responses.times is not None
    length, onsets = float(responses.times[-1] - responses.times[0]), trials["onset_s"].to_numpy(dtype=float)
    folds = {ACROSS: geometry.leave_one_group_out(runs)} if len(set(runs)) > 1 else {}
    if not folds or np.isfinite(onsets).all():
        folds[WITHIN] = geometry.contiguous_folds(runs, onsets, settings.n_folds, guard_s=length)
    of_trials = statistics.Exchange(labels, trials["trial_id"].to_numpy(dtype=str), runs)
    units = _exchanged(labels, runs, onsets)
    exchange, note, n_units = statistics.Exchange(labels, units, runs), "", len(np.unique(units))
    if n_units < len(units):
        note = f"Categories came in {n_units} blocks of trials, which permutations exchange as a whole: "
        note += "what changes slowly tells blocks apart."
    ids, kinds = trials["stimulus_id"].to_numpy(dtype=str), trials.groupby("stimulus_id")["category"].nunique()
    if len(set(labels)) < len(kinds) < len(ids) and (kinds == 1).all():
        # A stimulus is on both sides of a fold: to tell it from others would count as telling its category. It is
        # exchanged with those of the same recordings: else some of these might be left with one category.
        where = pd.Series(runs).groupby(ids).agg(lambda some: " ".join(sorted({*some})))[ids].to_numpy(dtype=str)
        several = (pd.Series(labels).groupby(where).nunique() > 1).all()
        exchange = statistics.Exchange(labels, ids, where if several else np.zeros(len(ids), dtype=np.intp))
        blocked = f"Categories came in {n_units} blocks of trials: what changes slowly counts as telling them apart."
        note = f"Permutations exchange the {len(kinds)} stimuli: telling these apart is not telling categories apart. "
        note += "Intervals are of these stimuli, and may leave out chance where p is large. "
        note += blocked * (n_units < len(units))
    whiten = settings.noise == "residuals"
    return _Study(responses, settings, folds, exchange, of_trials, whiten, confidence, seed, note)


def _exchanged(labels: NDArray[np.str_], runs: NDArray[np.str_], onsets_s: NDArray[Any]) -> NDArray[np.intp]:
    """Return the unit that every trial is exchanged in: itself, or its block where categories come in blocks.

    Whatever changes slowly tells blocks apart: were single trials exchanged, it would count as telling categories
    apart. Blocks they are where the category changes less often than in 95 % of random orders of the same trials.
    """
    order, trials = np.lexsort((onsets_s, runs)), np.arange(len(labels))
    kinds, where = np.unique(labels[order], return_inverse=True)[1], runs[order]
    orders = statistics.Exchange(kinds, trials, where).permuted(999, np.random.default_rng(0))
    starts = (np.diff(np.vstack([kinds, orders])) != 0) | (where[1:] != where[:-1])
    changes = starts.sum(axis=1)
    if statistics.permutation_test(-changes[0], -changes[1:]) > 0.05:
        return trials
    firsts = order[np.maximum.accumulate(np.where(np.r_[True, starts[0]], trials, 0))]
    return firsts[np.argsort(order)]


def _groups(responses: Responses, named: dict[str, Sequence[str]]) -> dict[str, NDArray[np.intp]]:
    ids = pd.Index(responses.targets["target_id"])
    groups = {EVERYTHING: np.arange(len(ids), dtype=np.intp)}
    for name, wanted in named.items():
        check_named(f"sensors.{name}", ids, wanted, "sensor", "correct its name, or leave it out")
        groups[name] = ids.get_indexer(pd.Index(list(wanted)))
    return groups


def _time_table(study: _Study, name: str, found: geometry.TimeScores) -> pd.DataFrame:
    low, high = np.quantile(found.null, [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {
            "group": name,
            "time_s": study.times,
            "score": found.score,
            "null_low": low,
            "null_high": high,
            "p": statistics.permutation_test(found.score, found.null),
            "p_fwer": statistics.permutation_test(found.score, found.null, "max"),
            "chance": found.chance,
        }
    )


def _rows_of(table: pd.DataFrame, kind: str, group: str) -> pd.DataFrame:
    named = table.rename(columns={"start": "start_s", "stop": "stop_s"})
    return named.drop(columns="cluster").assign(kind=kind, group=group)


def _peaks(study: _Study, name: str, found: geometry.TimeScores) -> list[dict[str, object]]:
    """Return when the score peaks and rises: in the first hump or the window asked for, and in the highest hump."""
    weights = study.trials.draws(study.settings.draws, np.random.default_rng(study.seed + 1))
    folds = next(iter(study.folds.values()))
    draws = found.draws(folds, weights)
    draws, after = draws[np.isfinite(draws).all(axis=1)], study.times >= 0
    score, draws, null, times = found.score[after], draws[:, after], found.null[:, after], study.times[after]
    chance, confidence = found.chance, study.confidence
    n_folds = len(folds) if len(folds) > 1 else None  # a single split of images does not show how training varies

    def row(hump: str, window: tuple[float, float]) -> dict[str, object]:
        how: dict[str, Any] = {"window": window, "chance": chance, "confidence": confidence}
        latency = statistics.score_latency(score, draws, null, times, **how)
        centre = statistics.hump_latency(score, draws, times, n_folds=n_folds, **how)
        if hump == FIRST:  # found among all times, so its p is corrected for all of them
            p = statistics.permutation_test(np.asarray(latency.peak_score), null.max(axis=1))
            latency = replace(latency, p=float(p))
        inside = times[(times >= window[0]) & (times <= window[1])]
        if hump == ASKED and latency.peak in (inside[0], inside[-1]):
            reason = "largest at an edge of the window: no peak inside"
            latency = replace(latency, decided=False, reason="; ".join(filter(None, [latency.reason, reason])))
        where = {"group": name, "hump": hump, "start_s": inside[0], "stop_s": inside[-1]}
        return where | asdict(latency) | asdict(centre)

    highest = row(HIGHEST, (0.0, np.inf))
    if study.settings.latency_window_s is not None:
        return [row(ASKED, study.settings.latency_window_s), highest]
    window = statistics.first_hump(score, times, float(np.quantile(null.max(axis=1), confidence)), chance=chance)
    if window is None or window[0] <= float(times[score.argmax()]) <= window[1]:
        return [highest | {"hump": NONE if window is None else ONLY}]
    return [row(FIRST, window), highest]


def _sensors(study: _Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the effect at every sensor and time, with the clusters over both."""
    responses = study.responses
    effect, null = geometry.sensor_effects(responses.values, study.labels, study.permuted)
    ids = responses.targets["target_id"].tolist()
    # Shares of variance are squares; squares of areas, too, find more short and local effects, and no fewer of others.
    signed: Any = {"tail": "both", "power": 2} if study.measure == "auc" else {}
    adjacency = statistics.sensor_adjacency(responses.targets)
    test = statistics.cluster_permutation(effect, null, adjacency, times=study.times, **signed)
    table = pd.DataFrame(
        {
            "target_id": np.repeat(ids, len(study.times)),
            "time_s": np.tile(study.times, len(ids)),
            "effect": effect.ravel(),
            "significant": test.mask().ravel(),
        }
    )
    return table, _rows_of(test.table(ids), "sensors x time", EVERYTHING)


def _squares(study: _Study, known: NDArray[np.bool_]) -> tuple[Arrays, pd.DataFrame]:
    """Return generalisation over time with its clusters, the pairwise movie, and how alike its frames are.

    Clusters lie among moments that tell categories apart by themselves (known, of all moments): at others nothing was
    learned, and a direction of chance may yet split responses that differ strongly, or learn labels that do.
    """
    settings, folds = study.settings, next(iter(study.folds.values()))
    everything = np.arange(len(study.responses.targets), dtype=np.intp)
    whiteners, values = study.whiteners(everything), study.responses.values
    step = settings.square_step
    square, null = geometry.decode_generalization(
        values[:, :, ::step],
        study.labels,
        folds,
        permuted=study.permuted[: settings.square_permutations],
        score=study.measure,
        whiteners=whiteners,
    )
    times = study.times[::step]
    steps = diags_array([np.ones(len(times) - 1)] * 2, offsets=[-1, 1])
    inside = np.logical_and.outer(known[::step], known[::step])
    test = statistics.cluster_permutation(np.where(inside, square, 0), np.where(inside, null, 0), steps, times=times)
    found = {"generalization": square, "significant": test.mask().astype(np.uint8), "square_times": times}
    found["pairs"] = geometry.pairwise_movie(values, study.labels, folds, whiteners=whiteners)
    found["pair_times"] = study.times
    if found["pairs"].shape[1] > 2:  # two numbers have no correlation worth the name
        found["rdm_generalization"] = geometry.rdm_time_generalization(found["pairs"][::step])
    return Arrays(found), _rows_of(test.table([f"{time:.3f}" for time in times]), "time x time", EVERYTHING)


def _windows(
    study: _Study, groups: dict[str, NDArray[np.intp]], windows: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """Return the score of whole windows, by scheme and group of sensors, with a logistic regression beside."""
    rows = []
    told: dict[str, Any] = {"permuted": study.permuted, "score": study.measure}
    for scheme, folds in study.folds.items():
        for group, sensors in groups.items():
            for name, (start, stop) in windows.items():
                inside = study.responses.samples_within(start, stop)
                samples, starts = study.responses.values[:, sensors][:, :, inside], np.arange(0, len(inside), AVERAGED)
                means = np.add.reduceat(samples, starts, axis=2) / np.diff([*starts, len(inside)])
                flat = means.reshape(len(means), -1)
                found = decode_moments(flat[:, :, None], study.labels, folds, **told)
                rows.append(
                    {"scheme": scheme, "group": group, "window": name, "start_s": start, "stop_s": stop}
                    | {"control": stop <= 0}
                    | _window_row(study, scheme, folds, found, flat)
                )
    return pd.DataFrame(rows)


def _window_row(
    study: _Study, scheme: str, folds: list[geometry.Fold], found: geometry.TimeScores, flat: NDArray[Any]
) -> dict[str, float]:
    low = high = logistic = np.nan
    scores = found.folds[:, 0]
    if scheme == WITHIN:  # each recording is trained on for itself, so recordings are independent
        scores = pd.DataFrame(scores.reshape(-1, study.settings.n_folds)).mean(axis=1).dropna().to_numpy()
        if len(scores) >= statistics.MIN_UNITS:
            interval = statistics.bootstrap(scores, study.confidence, seed=study.seed)
            low, high = interval.low, interval.high
    elif len(scores := scores[np.isfinite(scores)]) >= statistics.MIN_UNITS:
        interval = statistics.cross_validated_interval(scores, 1 / (len(scores) - 1), study.confidence)
        low, high = max(interval.low, 0.0), min(interval.high, 1.0)
    if study.measure == "auc":
        logistic = float(np.nanmean(statistics.logistic_auc(flat, study.labels, folds)))
    null = found.null[:, 0]
    return {
        "score": float(found.score[0]),
        "low": low,
        "high": high,
        "null_mean": float(null.mean()),
        "null_95": float(np.quantile(null, 0.95)),
        "p": float(statistics.permutation_test(found.score[0], null)),
        "chance": found.chance,
        "logistic": logistic,
        "n_folds": len(folds),
        "n_trials": len(flat),
    }
