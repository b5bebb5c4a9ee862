from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.arrays import Features, Responses


def responses(n_trials: int = 6, n_targets: int = 3, **columns: object) -> Responses:
    rng = np.random.default_rng(0)
    ids = {"trial_id": [f"t{k}" for k in range(n_trials)], "stimulus_id": [f"s{k % 3}" for k in range(n_trials)]}
    order = {"session": "1", "run": [str(k // 3) for k in range(n_trials)], "repeat": 1, "onset_s": 0.0}
    trials = pd.DataFrame(ids | order | columns)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(n_targets)], "kind": "voxel", "hemi": "", "roi": ""})
    return Responses(rng.normal(size=(n_trials, n_targets)), trials, targets, "z")


def test_select_and_align() -> None:
    full = responses()
    part = full.select(trials=np.array([5, 0]), targets=np.array([True, False, True]))
    np.testing.assert_array_equal(part.values, full.values[[5, 0]][:, [0, 2]])
    assert part.trials["trial_id"].tolist() == ["t5", "t0"]
    assert part.targets["target_id"].tolist() == ["v0", "v2"]
    stimuli = pd.DataFrame({"stimulus_id": ["s2", "s0", "s1"]})
    features = Features(np.array([[2.0], [0.0], [1.0]]), stimuli, "layer")
    aligned = features.align_to(responses())
    assert aligned.values[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert aligned.stimuli["stimulus_id"].tolist() == ["s0", "s1", "s2"] * 2
    lacking = Features(features.values[:2], stimuli[:2], "layer")
    refused(r"no features for 1 stimuli of the responses \(s1\)", lacking.align_to, responses())


@pytest.mark.parametrize("n_times", [0, 4])
def test_average_repeats_is_the_mean_of_each_stimulus(n_times: int) -> None:
    full = responses(stimulus_id=["b", "a", "b", "c", "b", "a"], session="2", run="7")
    if n_times:
        over_time = np.stack([full.values] * n_times, axis=2) + np.arange(n_times)
        full = replace(full, values=over_time, times=np.arange(4.0))
    mean = full.average_repeats()
    expected = [full.values[rows].mean(axis=0) for rows in ([0, 2, 4], [1, 5], [3])]
    np.testing.assert_allclose(mean.values, expected)
    ids = {"trial_id": ["b", "a", "c"], "stimulus_id": ["b", "a", "c"], "session": "", "run": ""}
    pd.testing.assert_frame_equal(mean.trials, pd.DataFrame(ids | {"repeat": [3, 2, 1], "onset_s": np.nan}))
    told = {"target_id": np.repeat(["v0", "v1", "v2"], n_times or 1).tolist()}
    assert mean.target_table().to_dict("list") == told | ({"time_s": [0.0, 1.0, 2.0, 3.0] * 3} if n_times else {})


@pytest.mark.parametrize(("within", "groups"), [("session", 2), ("run", 4)])
def test_zscore_within_groups(within: str, groups: int) -> None:
    """Runs are numbered anew in every session; trials of a group need not follow each other."""
    full = responses(12, session=["1", "2"] * 6, run=["1"] * 4 + ["2"] * 8)
    full = replace(full, values=full.values.astype(np.float32), units="%")
    scored = full.zscore(within)
    keys = ["session"] if within == "session" else ["session", "run"]
    values = pd.DataFrame(full.values.astype(float)).groupby([full.trials[key] for key in keys])
    assert values.ngroups == groups
    np.testing.assert_allclose(scored.values, values.transform(lambda x: (x - x.mean()) / x.std(ddof=1)), rtol=1e-5)
    assert (scored.units, scored.values.dtype) == ("z", np.float32)
    constant = responses()
    constant.values[:3, 1] = 2.0
    refused(r"1 target\(s\) are constant within run .*'1', '0'.* \(v1\); drop them", constant.zscore, "run")
    counts = replace(full, values=np.round(10 * full.values).astype(np.int16))  # nor are theirs rounded
    exact = replace(counts, values=counts.values.astype(float))
    np.testing.assert_allclose(counts.average_repeats().values, exact.average_repeats().values, rtol=1e-6)
    np.testing.assert_allclose(counts.zscore().values, exact.zscore().values, rtol=1e-5)
    inside = full.zscore(within, in_place=True)
    assert inside.values is full.values
    np.testing.assert_array_equal(inside.values, scored.values)


def test_tables_must_fit() -> None:
    full = responses()
    refused("responses has 6 rows but the table of trials", Responses, full.values, full.trials[:5], full.targets, "z")
    refused("no column", Responses, full.values, full.trials.drop(columns="run"), full.targets, "z")
    refused("ids are there twice", Responses, full.values, full.trials.assign(trial_id="x"), full.targets, "z")
    refused("third axis", Responses, full.values, full.trials, full.targets, "z", times=np.arange(3.0))
