"""Stimuli that go on: every model, alone and all in one fit, runs left out in turn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import encoding, statistics
from brainalign.arrays import Layers, Responses, Rows, Values
from brainalign.checks import BrainalignError
from brainalign.config import EncodeSettings
from brainalign.datasets.studies import run_drifts
from brainalign.encoding import scoring
from brainalign.features import answered, block_means, hemodynamic_responses, resample_events, resample_signal
from brainalign.io import brain_maps, entities_of, load
from brainalign.regression import ALPHAS
from brainalign.study import apart_s
from brainalign.workflow import Job

EVERYWHERE = "all targets"
Bands = Mapping[str, scoring.Band]
Fits = Mapping[str, scoring.RunFit]
Parts = Mapping[str, Values]  # of R² (n_runs, n_targets)
Tests = Mapping[str, tuple[Values, Values]]  # what was found of each model, and its null
MOST_IN_SETS = 3  # models of which every set is told; of more, pairs
CHANCE_DRAWS = 20  # for a mean over runs and targets
MOST_COLUMNS = 10_000  # decomposed for every pair of folds: some minutes each


@dataclass(frozen=True)
class _Runs:
    """The runs of a subject, how they are left out, and where and over which of them scores are averaged."""

    responses: Responses
    ceilings: pd.DataFrame
    folds: list[scoring.Fold]
    names: list[str]
    sets: dict[str, list[str]]  # runs that are averaged: "" those left out in turn, then each test set
    turns: Mapping[str, NDArray[Any]]  # of the null
    turned: str  # in words
    delays: Sequence[int]  # in rows
    reliable: NDArray[np.bool_]
    regions: dict[str, Rows]
    times: Mapping[str, int]  # that each run was presented
    confidence: float

    @property
    def fitted(self) -> tuple[Any, ...]:
        """Responses, runs, delays and folds, as every fit takes them."""
        return self.responses.values, self.responses.trials["run"].to_numpy(dtype=str), self.delays, self.folds

    def of_set(self, name: str) -> Rows:
        """Find the places of the runs of a set."""
        return np.array([self.names.index(run) for run in self.sets[name]])

    def ceiling(self, name: str) -> Values:
        """Return the ceiling of every target, mean over the runs of a set."""
        share = self.ceilings["signal_share"].to_numpy()
        of_runs = [statistics.noise_ceiling_from_share(share, self.times[run]) for run in self.sets[name]]
        return np.asarray(np.mean(of_runs, axis=0))

    def interval(self, values: Values, name: str = "") -> dict[str, float]:
        """Return the interval of a mean over the runs of a set; NaN of too few."""
        if len(values) < statistics.MIN_UNITS or not np.isfinite(values).all():
            return {"low": np.nan, "high": np.nan}
        n_folds = len(self.folds) - (len(self.sets) > 1)  # the last one tests what is never trained on
        interval = statistics.cross_validated_interval(values, 0.0 if name else 1 / (n_folds - 1), self.confidence)
        return {"low": interval.low, "high": interval.high}


def encode_continuous(job: Job) -> None:
    """Fit every layer of every model with delays, runs left out in turn; then all models and controls jointly."""
    settings, noted = job.options("encode", EncodeSettings), job.details("responses")
    functions = hemodynamic_responses(noted["step_s"]) if noted["hrf"] else None
    shown, shapes = range(len(functions)) if functions is not None else noted["delays"], functions  # of weights
    if noted["slow"] and functions is None and settings.n_components is None and min(shown) >= 0:
        # Delays as response functions, which know what was shown in rows that are left out at the start of a run.
        functions, shapes = np.eye(max(shown) + 1)[:, shown], np.eye(len(shown))
    runs, kept = _runs(job, settings, noted, shown if functions is None else [0]), settings.n_components
    bands: dict[str, scoring.Band] = {}
    fits: dict[str, scoring.RunFit] = {}
    layer_rows: list[dict[str, object]] = []
    weights = []
    controls = {*job.load("runcontrols", pd.DataFrame)["control"]}  # beside every model: what was shown, unread
    ceiling = runs.ceilings["ceiling"].to_numpy()
    for model, layers in _on_the_clock(job, runs.responses.trials, noted, functions):
        every = {}
        for layer, read in layers.items():
            values = read()
            if kept is None and not noted["hrf"]:
                _check_columns(f"{model}, layer {layer}", values, len(runs.delays), len(noted["delays"]))
            every[layer] = encoding.fit_runs([values], *runs.fitted, n_components=kept, responses=shapes)
        fits[model], bands[model] = scoring.best_layers(layers, every, runs.names)
        for layer, fit in every.items() if model not in controls else ():
            labels = {"model": model, "layer": layer, "kind": "layer"}
            layer_rows += _score_rows(runs, labels, fit.r[runs.of_set("")], ceiling)
        weights += [
            {"model": model, "region": region, "delay_s": delay * noted["step_s"], "weight": weight}
            for region, places in runs.regions.items()
            for delay, weight in zip(shown, fits[model].weights[:, places].mean(axis=1), strict=True)
        ]
    options: Any = {"n_candidates": settings.n_candidates, "n_components": kept, "seed": job.seed}
    fits["all"] = encoding.fit_runs(list(bands.values()), *runs.fitted, **options)
    job.save("rundelays", pd.DataFrame(weights), weight="root mean square over features, mean over targets")
    _save_scores(job, runs, fits, bands, {"all": "joint"} | dict.fromkeys(controls, "control"), layer_rows)
    _save_shares(job, runs, fits["all"], bands, options)


def _check_columns(what: str, values: Values, each: int, n_delays: int) -> None:
    """Raise where features are so wide that their fits would take days."""
    n_rows, n = len(values), each * values.shape[1]
    if min(n, n_rows) > MOST_COLUMNS:
        raise BrainalignError(
            f"{what}: {n // n_delays} features at {n_delays} delays are {n:,} columns of {n_rows:,} rows, whose fits "
            "would take days; give encode: {n_components: 50}, principal components of training runs, or "
            f"{n // n_delays} for all of them"
        )


def _runs(job: Job, settings: EncodeSettings, noted: Mapping[str, Any], delays: Sequence[int]) -> _Runs:
    responses, ceilings = job.load("responses", Responses), job.load("ceiling", pd.DataFrame)
    labels = responses.trials["run"].to_numpy(dtype=str)
    names, apart = list(dict.fromkeys(labels.tolist())), noted["test_sets"]
    tested = [run for of in apart.values() for run in of]
    gap = max(round(settings.shift_s / noted["step_s"]), 1)
    shift, phase = f"shifted circularly by {settings.shift_s:g} s or more", "given random phases, alike for all targets"
    reliable = statistics.reliable_targets(ceilings, job.settings["ceiling_threshold"])
    return _Runs(
        responses,
        ceilings,
        scoring.run_folds(names, noted["folds"], tested),
        names,
        {"": [run for run in names if run not in tested], **apart},
        encoding.turned_in_time(labels, settings.null_draws, gap, settings.null, job.seed),
        shift if settings.null == "shift" else phase,
        delays,
        reliable,
        _regions(responses.targets, reliable),
        noted["presentations"],
        job.settings["confidence"],
    )


def _save_scores(
    job: Job, runs: _Runs, fits: Fits, bands: Bands, kinds: Mapping[str, str], rows: list[dict[str, object]]
) -> None:
    """Save how well every fit predicts: by region, with its null, after the rows of layers; by target; by run."""
    Y, labels, delays, folds = runs.fitted
    own = runs.of_set("")
    targets, by_run = [], []
    for model, fit in fits.items():
        fitted = list(bands.values()) if model == "all" else [bands[model]]
        nulls = scoring.run_null(fitted, Y, labels, delays, fit, runs.turns, folds, list(runs.sets.values()))
        for name, null in zip(runs.sets, nulls, strict=True):
            named = {"model": model, "layer": "", "kind": kinds.get(model, "model"), "test_set": name}
            rows += _score_rows(runs, named, fit.r[runs.of_set(name)], runs.ceiling(name), null)
        r = scoring.mean_over_runs(fit.r[own])
        p = statistics.permutation_test(r, nulls[0])
        columns = {"target_id": runs.responses.targets["target_id"], "model": model, "r": r}
        columns |= {"r2": np.nanmean(fit.r2[own], axis=0), "p": p, "q": statistics.fdr(p)}
        columns |= {"p_fwer": statistics.permutation_test(r, nulls[0], "max"), "ceiling": runs.ceilings["ceiling"]}
        columns |= {"alpha": np.median(fit.alphas[own], axis=0), "reliable": runs.reliable}
        targets.append(pd.DataFrame(columns))
        by_run += [
            {"model": model, "region": region, "run": run, "r": float(np.nanmean(fit.r[k, places]))}
            for region, places in runs.regions.items()
            for k, run in enumerate(runs.names)
        ]
    job.save(
        "runscores",
        pd.DataFrame(rows).fillna({"test_set": ""}),
        r="of each run left out, mean over runs as Fisher's z, mean over the targets of a region",
        p=f"one-sided, responses of every run {runs.turned}, and refitted",
        interval="over runs (Nadeau and Bengio)",
    )
    images = brain_maps(runs.responses.targets, np.stack([table["r"].to_numpy() for table in targets]), names=[*fits])
    told: Any = {"p_fwer": "against the largest r over targets", "q": "false discovery rate over targets of a model"}
    told |= {"maps": [f"r, {name}" for name in fits], "alpha": "median over runs left out", "alphas": ALPHAS}
    job.save("runtargets", pd.concat(targets, ignore_index=True), images, **told)
    job.save("runfolds", pd.DataFrame(by_run))


def _save_shares(job: Job, runs: _Runs, together: scoring.RunFit, bands: Bands, options: Any) -> None:
    """Save what every model, and every set of them, has alone in the joint fit: by region and by target."""
    models = [name for name in bands if name in job.settings["informed"]]
    largest = len(models) if len(models) <= MOST_IN_SETS else 2
    several = [of for n in range(2, largest + 1) for of in combinations(models, n)]
    less = encoding.fits_without(bands, *runs.fitted, sets=several, **options) | {(): together}
    every_set = {statistics.SHARING.join(of): of for of in (*zip(bands, strict=True), *several)}
    own, (Y, labels, delays, folds) = runs.of_set(""), runs.fitted
    found = {left: fit.r2[own] for left, fit in less.items()}
    common = {name: scoring.common_r2(of, found) for name, of in every_set.items()}
    turns = {run: turn[:CHANCE_DRAWS] for run, turn in runs.turns.items()}
    for left, fit in less.items():
        others = [band for name, band in bands.items() if name not in left]
        found[left] = scoring.corrected_r2(others, Y, labels, delays, fit, turns, folds)[own]
    corrected = {name: scoring.common_r2(of, found) for name, of in every_set.items()} | {"all": found[()]}
    tests, kept = {}, options["n_components"]
    for name in bands:
        others = [band for other, band in bands.items() if other != name]
        fit = encoding.fit_runs(others, *runs.fitted, n_components=kept, even=True)
        tests[name] = scoring.unique_null(bands, name, fit, Y, labels, delays, runs.turns, folds, runs.sets[""])
    split = dict(zip(bands, together.split[own].swapaxes(0, 1), strict=True))
    shares = pd.DataFrame(_share_rows(runs, together.r2[own], split, common, corrected, tests))
    told = (
        "one-sided, of the covariance of what a model predicts beside others, at one penalty, with what they "
        f"leave unexplained of runs left out; what they leave {runs.turned}, and refitted"
    )
    job.save("runshares", shares, p=told, corrected=f"for R² of responses {runs.turned}, and refitted")
    targets = []
    for name, part in common.items():
        mean = np.nanmean(part, axis=0)
        table = pd.DataFrame({"target_id": runs.responses.targets["target_id"], "model": name, "unique": mean})
        if name in tests:
            p = statistics.permutation_test(*tests[name])
            table = table.assign(p=p, p_fwer=statistics.permutation_test(*tests[name], "max"))
        targets.append(table)
    values = np.stack([table["unique"].to_numpy() for table in targets])
    images = brain_maps(runs.responses.targets, values, names=list(common))
    maps = [f"unique R², {name}" for name in common]
    job.save("rununiques", pd.concat(targets, ignore_index=True), images, maps=maps)


def _on_the_clock(
    job: Job, trials: pd.DataFrame, noted: Mapping[str, Any], functions: Values | None
) -> Iterator[tuple[str, dict[str, Callable[[], Values]]]]:
    """Yield every model and control, with what reads a layer at the times of the rows (n_rows, n_features)."""
    read = partial(_resampled, trials, noted=noted, functions=functions)
    for path in job.paths("features"):
        layers = load(path, Layers, job.provenance, stored=True).items()
        yield entities_of(path)["model"], {name: partial(read, of.stimuli, of.values) for name, of in layers}
    for control, rows in job.load("runcontrols", pd.DataFrame).groupby("control", sort=False):
        yield str(control), {str(control): partial(read, rows, rows["value"].to_numpy())}


def _resampled(
    trials: pd.DataFrame, events: pd.DataFrame, vectors: Values, noted: Mapping[str, Any], functions: Values | None
) -> Values:
    """Return features of events (n_events, ...) at the times of the rows, run by run, without drifts as responses.

    Where response functions are given, their answers to what was shown until then.
    """
    flat, parts = np.asarray(vectors).reshape(len(vectors), -1), []
    for run, rows in trials.groupby("run", sort=False):
        shown = (events["run"].astype(str) == str(run)).to_numpy()
        if not shown.any():
            raise BrainalignError(f"run {run}: no event is of this run; name runs alike in stimuli and recordings")
        onsets, durations = (events.loc[shown, name].to_numpy(dtype=float) for name in ("onset_s", "duration_s"))
        times, step = rows["onset_s"].to_numpy(), noted["step_s"]
        # Rows left out at the start of a run are answered in those that follow.
        before = 0 if functions is None else len(functions)
        times = np.concatenate([times[0] - step * np.arange(before, 0, -1), times])
        width = apart_s(step, noted["delays"]) if noted["slow"] and not noted["hrf"] else step
        if "sampled" in events and events.loc[shown, "sampled"].iloc[0]:
            average = block_means if noted["resample"] == "mean" else resample_signal
            found = average(onsets + durations / 2, flat[shown], times, width)
        else:
            # What answers within milliseconds is locked to onsets, where words differ in length.
            found = resample_events(onsets, durations * noted["slow"], flat[shown], times, width)
        found = found if functions is None else answered(found, functions)[before:]
        bases = run_drifts(rows, noted["step_s"], noted["detrend"], noted["high_pass_hz"])
        parts.append(np.mean([without_drifts(found, drifts) for drifts in bases], axis=0))
    return np.concatenate(parts)


def without_drifts(found: Values, drifts: Values) -> Values:
    """Return features without drifts; rounding is left of those that are constant, and is taken from them too."""
    left = found - drifts @ (drifts.T @ found)
    left[:, np.linalg.norm(left, axis=0) <= 1e-6 * np.linalg.norm(found, axis=0)] = 0
    return left


def _regions(targets: pd.DataFrame, kept: NDArray[np.bool_]) -> dict[str, Rows]:
    """Return the targets of every region: those that repeat, where repeats were recorded."""
    named = targets["roi"].explode().dropna()
    found = {EVERYWHERE if kept.all() else statistics.RELIABLE: np.flatnonzero(kept)}
    found |= {str(roi): np.array([k for k in rows if kept[k]]) for roi, rows in named.groupby(named).groups.items()}
    return {name: rows for name, rows in found.items() if len(rows)} or {EVERYWHERE: np.arange(len(targets))}


def _score_rows(
    runs: _Runs, labels: Mapping[str, str], of_runs: Values, ceiling: Values, null: Values | None = None
) -> list[dict[str, object]]:
    """List the mean r of a fit in every region, with its null, interval and ceiling where it has them."""
    r, found = scoring.mean_over_runs(of_runs), []
    corrected = np.full(len(r), np.nan) if null is None else statistics.permutation_test(r, null, "max")
    for region, rows in runs.regions.items():
        row: dict[str, Any] = {**labels, "region": region, "n_targets": len(rows), "r": float(np.nanmean(r[rows]))}
        row["ceiling"] = float(np.sqrt(np.maximum(ceiling[rows], 0)).mean())
        row |= dict.fromkeys(("low", "high", "null_mean", "null_95", "p", "share"), np.nan)
        if null is not None:
            row |= _against(row["r"], null[:, rows])
            row["share"] = float((corrected[rows] < 0.05).mean())
            row |= runs.interval(np.nanmean(of_runs[:, rows], axis=1), labels["test_set"])
        found.append(row)
    return found


def _share_rows(
    runs: _Runs, r2: Values, split: Parts, common: Parts, corrected: Parts, tests: Tests
) -> list[dict[str, object]]:
    """List what every model adds to the R² of the joint fit: product measure, and what is lost without it.

    Of several models what they share and no other has; "shared" is what is left of R² then.
    """
    rows: list[dict[str, object]] = []
    for region, places in runs.regions.items():
        whole = float(np.nanmean(r2[:, places]))
        beside_chance = {name: float(np.nanmean(part[:, places])) for name, part in corrected.items()}
        rows.append({"model": "all", "region": region, "product": whole, "corrected": beside_chance["all"]})
        told = 0.0
        for name, of_runs in common.items():
            part = np.nanmean(of_runs[:, places], axis=1)
            product = float(np.nanmean(split[name][:, places])) if name in split else np.nan
            rows.append({"model": name, "region": region, "product": product, "unique": float(part.mean())})
            rows[-1] |= runs.interval(part) | {"corrected": beside_chance[name]}
            if name in tests:
                found, null = tests[name]
                rows[-1]["p"] = _against(np.nanmean(found[places]), null[:, places])["p"]
            told += float(part.mean())
        rows.append({"model": "shared", "region": region, "unique": whole - told})
    return rows


def _against(found: object, null: Values) -> dict[str, float]:
    """Return where the mean over targets stands in its null (n_permutations, n_targets)."""
    means = np.nanmean(null, axis=1)
    p = float(statistics.permutation_test(np.asarray(found), means))
    return {"null_mean": float(means.mean()), "null_95": float(np.quantile(means, 0.95)), "p": p}
