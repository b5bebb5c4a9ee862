"""Stimuli that go on: every model, alone and all in one fit, runs left out in turn."""

from collections.abc import Mapping
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
from brainalign.workflow import Job

EVERYWHERE = "all targets"
MOST_IN_SETS = 3  # models of which every set is told; of more, pairs


def encode_continuous(job: Job) -> None:
    """Fit every layer of every model with delays, runs left out in turn; then all models and controls jointly."""
    settings = job.options("encode", EncodeSettings)
    responses, ceilings = job.load("responses", Responses), job.load("ceiling", pd.DataFrame)
    ceiling = ceilings["ceiling"].to_numpy()
    noted = job.details("responses")
    Y, runs, delays = responses.values, responses.trials["run"].to_numpy(dtype=str), list(noted["delays"])
    functions = hemodynamic_responses(noted["step_s"]) if noted["hrf"] else None
    features = _on_the_clock(job, responses.trials, noted, functions)
    shown = delays  # in rows, of the figure of weights
    if functions is not None:
        delays, shown = [0], list(range(len(functions)))
    reliable = statistics.reliable_targets(ceilings, job.settings["ceiling_threshold"])
    regions = _regions(responses.targets, reliable)
    names = list(dict.fromkeys(runs.tolist()))
    scores: list[dict[str, object]] = []
    targets, folds, weights = [], [], []
    bands: dict[str, scoring.Band] = {}
    fits: dict[str, scoring.RunFit] = {}
    apart: dict[str, list[str]] = noted["test_sets"]
    parts = scoring.run_folds(names, noted["folds"], [run for of in apart.values() for run in of])
    sets = {"": [run for run in names if not any(run in of for of in apart.values())], **apart}
    ratios = {name: 0.0 if name else 1 / (len(parts) - bool(apart) - 1) for name in sets}
    gap = max(round(settings.shift_s / noted["step_s"]), 1)
    turns = encoding.turned_in_time(runs, settings.null_draws, gap, settings.null, job.seed)
    rows = {name: np.array([names.index(run) for run in of]) for name, of in sets.items()}
    share, times = ceilings["signal_share"].to_numpy(), noted["presentations"]
    bounds = {
        name: np.mean([statistics.noise_ceiling_from_share(share, times[run]) for run in of], axis=0)
        for name, of in sets.items()
    }
    controls = {*job.load("runcontrols", pd.DataFrame)["control"]}  # beside every model: what was shown, unread
    for model, layers in features.items():
        every = {
            layer: encoding.fit_runs([values], Y, runs, delays, parts, responses=functions)
            for layer, values in layers.items()
        }
        fits[model], bands[model] = scoring.best_layers(layers, every, names)
        for layer, fit in every.items() if model not in controls else ():
            scores += _score_rows(model, layer, "layer", fit.r[rows[""]], ceiling, regions)
        weights += [
            {"model": model, "region": region, "delay_s": delay * noted["step_s"], "weight": weight}
            for region, places in regions.items()
            for delay, weight in zip(shown, fits[model].weights[:, places].mean(axis=1), strict=True)
        ]
    options: Any = {"n_candidates": settings.n_candidates, "seed": job.seed, "with_trained": True}
    fits["all"] = together = encoding.fit_runs(list(bands.values()), Y, runs, delays, parts, **options)
    confidence = job.settings["confidence"]
    for model, fit in fits.items():
        fitted = list(bands.values()) if model == "all" else [bands[model]]
        null = scoring.run_null(fitted, Y, runs, delays, fit, turns, parts, list(sets.values()))
        kind = "control" if model in controls else "joint" if model == "all" else "model"
        for name, draws in zip(sets, null, strict=True):
            listed = _score_rows(
                model, "", kind, fit.r[rows[name]], bounds[name], regions, draws, ratios[name], confidence
            )
            scores += [row | {"test_set": name} for row in listed]
        r = scoring.mean_over_runs(fit.r[rows[""]])
        p = statistics.permutation_test(r, null[0])
        corrected = statistics.permutation_test(r, null[0], "max")
        table = pd.DataFrame({"target_id": responses.targets["target_id"], "model": model, "r": r})
        targets.append(
            table.assign(
                r2=np.nanmean(fit.r2[rows[""]], axis=0), p=p, p_fwer=corrected, ceiling=ceiling, reliable=reliable
            )
        )
        folds += [
            {"model": model, "region": region, "run": run, "r": float(np.nanmean(fit.r[k, rows]))}
            for region, rows in regions.items()
            for k, run in enumerate(names)
        ]
    models = [name for name in bands if name in job.settings["informed"]]
    largest = len(models) if len(models) <= MOST_IN_SETS else 2
    several = [of for n in range(2, largest + 1) for of in combinations(models, n)]
    less = encoding.fits_without(bands, Y, runs, delays, parts, sets=several, **options) | {(): together}
    every_set = {statistics.SHARING.join(of): of for of in (*zip(bands, strict=True), *several)}
    common = {name: scoring.common_r2(of, less)[rows[""]] for name, of in every_set.items()}
    limits = {name: scoring.common_r2(of, less, limit=True)[rows[""]] for name, of in every_set.items()}
    nulls = {name: scoring.unique_null(bands, name, less, Y, runs, delays, turns, parts, sets[""]) for name in bands}
    turned = {
        "shift": f"shifted circularly by {settings.shift_s:g} s or more",
        "phase": "given random phases, alike for all targets",
    }[settings.null]
    job.save(
        "runscores",
        pd.DataFrame(scores).fillna({"test_set": ""}),
        r="of each run left out, mean over runs as Fisher's z, mean over the targets of a region",
        p=f"one-sided, responses of every run {turned}, and refitted",
        interval="over runs (Nadeau and Bengio)",
    )
    images = brain_maps(responses.targets, np.stack([table["r"].to_numpy() for table in targets]), names=list(fits))
    told = {"p_fwer": "against the largest r over targets", "maps": [f"r, {name}" for name in fits]}
    job.save("runtargets", pd.concat(targets, ignore_index=True), images, **told)
    job.save("runfolds", pd.DataFrame(folds))
    job.save("rundelays", pd.DataFrame(weights), weight="root mean square over features, mean over targets")
    whole, split = together.r2[rows[""]], dict(zip(bands, together.split[rows[""]].swapaxes(0, 1), strict=True))
    limits["all"] = together.limit_r2[rows[""]]
    shares = pd.DataFrame(_share_rows(whole, split, common, nulls, regions, ratios[""], confidence))
    shares["limit"] = [
        float(np.nanmean(limits[name][:, regions[region]])) if name in limits else np.nan
        for name, region in zip(shares["model"], shares["region"], strict=True)
    ]
    left = f"one-sided, what other models leave unexplained of every run {turned}, and refitted"
    job.save("runshares", shares, p=left, limit="of endless data: half the sum of runs left out and runs trained on")
    of_targets = []
    for name, part in common.items():
        mean = np.nanmean(part, axis=0)
        table = pd.DataFrame({"target_id": responses.targets["target_id"], "model": name, "unique": mean})
        if name in nulls:
            corrected = statistics.permutation_test(mean, nulls[name], "max")
            table = table.assign(p=statistics.permutation_test(mean, nulls[name]), p_fwer=corrected)
        of_targets.append(table)
    values = np.stack([table["unique"].to_numpy() for table in of_targets])
    images = brain_maps(responses.targets, values, names=list(common))
    maps = [f"unique R², {name}" for name in common]
    job.save("rununiques", pd.concat(of_targets, ignore_index=True), images, maps=maps)


def _on_the_clock(
    job: Job, trials: pd.DataFrame, noted: Mapping[str, Any], functions: Values | None
) -> dict[str, dict[str, Values]]:
    """Return every layer of every model, and controls, at the times of the rows (n_rows, n_features)."""
    found: dict[str, dict[str, Values]] = {}
    for path in job.paths("features"):
        layers = load(path, Layers, job.provenance, stored=True)
        found[entities_of(path)["model"]] = {
            name: _resampled(trials, layer.stimuli, layer.values, noted, functions) for name, layer in layers.items()
        }
    for control, rows in job.load("runcontrols", pd.DataFrame).groupby("control", sort=False):
        found[str(control)] = {str(control): _resampled(trials, rows, rows["value"].to_numpy(), noted, functions)}
    return found


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
        if "sampled" in events and events.loc[shown, "sampled"].iloc[0]:
            average = block_means if noted["resample"] == "mean" else resample_signal
            found = average(onsets + durations / 2, flat[shown], times, step)
        else:
            found = resample_events(onsets, durations, flat[shown], times, step)
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
    model: str,
    layer: str,
    kind: str,
    of_runs: Values,
    ceiling: Values,
    regions: dict[str, Rows],
    null: Values | None = None,
    ratio: float = 0.0,
    confidence: float = 0.95,
) -> list[dict[str, object]]:
    """List the mean r of a fit in every region, with its null, interval and ceiling where it has them."""
    r, found = scoring.mean_over_runs(of_runs), []
    corrected = np.full(len(r), np.nan) if null is None else statistics.permutation_test(r, null, "max")
    for region, rows in regions.items():
        row: dict[str, Any] = {"model": model, "layer": layer, "kind": kind, "region": region, "n_targets": len(rows)}
        row["r"], row["ceiling"] = float(np.nanmean(r[rows])), float(np.sqrt(np.maximum(ceiling[rows], 0)).mean())
        row |= dict.fromkeys(("low", "high", "null_mean", "null_95", "p", "share"), np.nan)
        if null is not None:
            row |= _against(row["r"], null[:, rows])
            row["share"] = float((corrected[rows] < 0.05).mean())
            row |= _interval(np.nanmean(of_runs[:, rows], axis=1), ratio, confidence)
        found.append(row)
    return found


def _share_rows(
    r2: Values,
    split: Mapping[str, Values],
    common: Mapping[str, Values],
    nulls: Mapping[str, Values],
    regions: dict[str, Rows],
    ratio: float,
    confidence: float,
) -> list[dict[str, object]]:
    """List what every model adds to the R² of the joint fit: product measure, and what is lost without it.

    Of several models what they share and no other has; "shared" is what is left of R² then.
    """
    rows: list[dict[str, object]] = []
    for region, places in regions.items():
        whole = float(np.nanmean(r2[:, places]))
        rows.append({"model": "all", "region": region, "product": whole, "unique": np.nan, "low": np.nan})
        told = 0.0
        for name, of_runs in common.items():
            part = np.nanmean(of_runs[:, places], axis=1)
            product = float(np.nanmean(split[name][:, places])) if name in split else np.nan
            rows.append({"model": name, "region": region, "product": product, "unique": float(part.mean())})
            rows[-1] |= _interval(part, ratio, confidence)
            if name in nulls:
                rows[-1] |= _against(rows[-1]["unique"], nulls[name][:, places])
            told += float(part.mean())
        rows.append({"model": "shared", "region": region, "product": np.nan, "unique": whole - told})
    return rows


def _against(found: object, null: Values) -> dict[str, float]:
    """Return where the mean over targets stands in its null (n_permutations, n_targets)."""
    means = np.nanmean(null, axis=1)
    p = float(statistics.permutation_test(np.asarray(found), means))
    return {"null_mean": float(means.mean()), "null_95": float(np.quantile(means, 0.95)), "p": p}


def _interval(values: Values, ratio: float, confidence: float) -> dict[str, float]:
    """Return the interval of a mean over runs; NaN of too few."""
    if len(values) < statistics.MIN_UNITS or not np.isfinite(values).all():
        return {"low": np.nan, "high": np.nan}
    interval = statistics.cross_validated_interval(values, ratio, confidence)
    return {"low": interval.low, "high": interval.high}
