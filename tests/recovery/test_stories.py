"""Worlds of stories: what each model adds, when responses follow, and what is told of targets that follow nothing."""

import numpy as np
import pytest
from shown import Record, within

from brainalign.arrays import Values
from brainalign.datasets.studies import slow_drifts
from brainalign.encoding import fit_runs, fits_without, turned_in_time
from brainalign.encoding.scoring import common_r2, corrected_r2, mean_over_runs
from brainalign.features import answered, hemodynamic_responses, resample_events
from brainalign.regression import DelayedFeatures
from brainalign.simulation import STORY_GROUPS, Story, story


def clean(values: Values, step_s: float, high_pass_hz: float) -> Values:
    drifts = slow_drifts(len(values), step_s, "linear", high_pass_hz)
    return np.asarray(values - drifts @ (drifts.T @ values))


def on_the_clock(world: Story, kept: slice, step_s: float, start_s: float, high_pass_hz: float, hrf: bool = False):
    """Return features, responses, runs, and the share of variance that is planted in what is left after filtering."""
    features, responses, runs, shares = {name: [] for name in [*world.features, "rate"]}, [], [], []
    for run, planted in world.planted.items():
        heard = (world.words["run"] == run).to_numpy()
        onsets, durations = (world.words.loc[heard, name].to_numpy() for name in ("onset_s", "duration_s"))
        times = np.arange(len(planted))[kept] * step_s + start_s
        vectors = {name: values[heard] for name, values in world.features.items()} | {"rate": np.ones((heard.sum(), 1))}
        for name, values in vectors.items():
            if hrf:
                summed = resample_events(onsets, durations, values, np.arange(len(planted)) * step_s + start_s, step_s)
                resampled = answered(summed, hemodynamic_responses(step_s))[kept]
            else:
                resampled = resample_events(onsets, durations, values, times, step_s)
            features[name].append(clean(resampled, step_s, high_pass_hz))
        measured = clean(world.responses[run][0][kept], step_s, high_pass_hz)
        shares.append((clean(planted[kept], step_s, high_pass_hz) ** 2).sum(axis=0) / (measured**2).sum(axis=0))
        responses.append(measured / measured.std(axis=0))
        runs += [run] * len(times)
    stacked = {name: np.concatenate(parts) for name, parts in features.items()}
    return stacked, np.concatenate(responses).astype(np.float32), np.array(runs), np.mean(shares, axis=0)


def least_squares(bands: list[Values], Y: Values, runs: Values, delays: tuple[int, ...]) -> Values:
    """Return R² (n_runs, n_targets) of runs left out."""
    X, found = np.concatenate([DelayedFeatures(band, delays, runs).rows()[:].numpy() for band in bands], axis=1), []
    for run in dict.fromkeys(runs.tolist()):
        test = runs == run
        weights = np.linalg.lstsq(X[~test] - X[~test].mean(axis=0), Y[~test] - Y[~test].mean(axis=0))[0]
        left = Y[test] - (X[test] - X[~test].mean(axis=0)) @ weights
        found.append(1 - (left**2).mean(axis=0) / Y[test].var(axis=0))
    return np.stack(found)


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_unique_shares_are_the_planted_ones_less_what_estimating_costs(seed: int) -> None:
    """Of p features from n rows least squares loses σ² p / (n − p) of R², 0.08 of language: ridge loses less."""
    world, delays = story(n_targets=20, seed=seed), (1, 2, 3, 4)
    bands, Y, runs, planted = on_the_clock(world, slice(10, 295), 2.0, 1.0, 0.01)
    whole = fit_runs(list(bands.values()), Y, runs, delays)
    fits = fits_without(bands, Y, runs, delays, sets=[("language", "sound")]) | {(): whole}
    r2 = {left: fit.r2 for left, fit in fits.items()}
    unique, common = {name: common_r2([name], r2) for name in bands}, common_r2(["language", "sound"], r2)
    written_out, group = least_squares(list(bands.values()), Y, runs, delays), world.targets["roi"].to_numpy()
    for name in STORY_GROUPS:
        own = group == name
        assert whole.r2[:, own].mean() > written_out[:, own].mean() + 0.01, name
        for model, most in (("language", 0.1), ("sound", 0.03)):
            truth = (planted * world.targets[f"unique_{model}"])[own].mean()
            assert truth - most < unique[model][:, own].mean() < truth + 0.01, (model, name)
        shared = (planted * world.targets["shared"])[own].mean()
        assert shared - 0.05 < common[:, own].mean() < shared + 0.01, name
    r = mean_over_runs(whole.r)
    assert abs(r[group == "none"].mean()) < 0.02
    assert np.abs(unique["rate"].mean(axis=0)).mean() < 0.01
    at_once = mean_over_runs(fit_runs(list(bands.values()), Y, runs, (0,)).r)
    assert at_once[group != "none"].mean() < 0.3 * r[group != "none"].mean()
    peaks = world.targets.loc[group == "sound", "peak_s"]
    for target in (peaks.idxmin(), peaks.idxmax()):
        weights = fit_runs([bands["sound"]], Y[:, [target]], runs, tuple(range(7))).weights
        assert abs(2.0 * np.argmax(weights) - peaks[target]) <= 2.0


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_unique_shares_without_the_cost_of_estimating_are_the_planted_ones(seed: int, record: Record) -> None:
    """With SPM's response functions in place of delays; the cost is that of responses turned in time."""
    world = story(n_targets=50, seed=seed)
    bands, Y, runs, planted = on_the_clock(world, slice(10, 295), 2.0, 1.0, 0.01, hrf=True)
    fits = fits_without(bands, Y, runs, (0,)) | {(): fit_runs(list(bands.values()), Y, runs, (0,))}
    turns = turned_in_time(runs, 20, 10)
    r2 = {
        left: corrected_r2([band for name, band in bands.items() if name not in left], Y, runs, (0,), fit, turns)
        for left, fit in fits.items()
    }
    group, off = world.targets["roi"].to_numpy(), {}
    for model in ("language", "sound"):
        found = common_r2([model], r2).mean(axis=0) - planted * world.targets[f"unique_{model}"]
        off |= {(model, name): found[group == name].mean() for name in STORY_GROUPS}
    within(record, "corrected unique R², off the planted share by", max(map(abs, off.values())), most=0.03)


@pytest.mark.acceptance
def test_kernels_of_samples_peak_where_they_were_planted() -> None:
    """64 Hz: within a sample of the truth, and next to nothing before 0 s."""
    world = story(4, 64 * 60, 4, step_s=1 / 64, explained=0.3, n_features=(7, 7), seed=14)
    bands, Y, runs, _ = on_the_clock(world, slice(None), 1 / 64, 0.0, 0.0)
    delays = tuple(range(-6, 39))
    for target in np.flatnonzero(world.targets["roi"] == "sound"):
        weights = fit_runs([bands["sound"]], Y[:, [target]], runs, delays).weights
        assert abs(delays[int(np.argmax(weights))] / 64 - world.targets["peak_s"][target]) < 1.5 / 64
        assert weights[:6].max() < 0.25 * weights.max()
