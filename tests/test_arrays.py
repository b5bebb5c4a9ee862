from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.arrays import Features, Responses
from brainalign.checks import BrainalignError


def responses(n_trials: int = 6, n_targets: int = 3, **columns: object) -> Responses:
    rng = np.random.default_rng(0)
    trials = pd.DataFrame(
        {
            "trial_id": [f"t{k}" for k in range(n_trials)],
            "stimulus_id": [f"s{k % 3}" for k in range(n_trials)],
            "session": "1",
            "run": [str(k // 3) for k in range(n_trials)],
            "repeat": 1,
            "onset_s": 0.0,
        }
        | columns
    )
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(n_targets)], "kind": "voxel", "hemi": "", "roi": ""})
    return Responses(rng.normal(size=(n_trials, n_targets)), trials, targets, "z")


def test_select_takes_masks_and_rows_of_both_axes() -> None:
    full = responses()
    part = full.select(trials=np.array([5, 0]), targets=np.array([True, False, True]))
    np.testing.assert_array_equal(part.values, full.values[[5, 0]][:, [0, 2]])
    assert part.trials["trial_id"].tolist() == ["t5", "t0"]
    assert part.targets["target_id"].tolist() == ["v0", "v2"]


def test_average_repeats_is_the_mean_of_each_stimulus() -> None:
    full = responses()
    mean = full.average_repeats()
    for row, name in enumerate(mean.trials["stimulus_id"]):
        np.testing.assert_allclose(mean.values[row], full.values[full.trials["stimulus_id"] == name].mean(axis=0))
    assert mean.trials["repeat"].tolist() == [2, 2, 2]


def test_averages_and_scores_of_counts_are_not_rounded() -> None:
    full = responses()
    counts = replace(full, values=np.round(10 * full.values).astype(np.int16))
    exact = replace(counts, values=counts.values.astype(float))
    np.testing.assert_allclose(counts.average_repeats().values, exact.average_repeats().values, rtol=1e-6)
    np.testing.assert_allclose(counts.zscore().values, exact.zscore().values, rtol=1e-5)


@pytest.mark.parametrize("within", ["session", "run"])
def test_zscore_within_groups(within: str) -> None:
    scored = responses(session=["1", "1", "1", "2", "2", "2"], run=["1"] * 6).zscore(within)
    for session in ("1", "2"):
        part = scored.values[scored.trials["session"] == session]
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(part.std(axis=0, ddof=1), 1)


def test_a_constant_target_has_no_zscore() -> None:
    full = responses()
    full.values[:3, 1] = 2.0
    refused(r"1 target\(s\) are constant within run.*v1.*drop them", full.zscore, "run")


def test_tables_must_fit() -> None:
    full = responses()
    with pytest.raises(BrainalignError, match="responses has 6 rows but the table of trials has 5"):
        Responses(full.values, full.trials[:5], full.targets, "z")
    refused("lacks the column", Responses, full.values, full.trials.drop(columns="run"), full.targets, "z")
    refused("repeated ids", Responses, full.values, full.trials.assign(trial_id="x"), full.targets, "z")
    refused("third axis", Responses, full.values, full.trials, full.targets, "z", times=np.arange(3.0))


def test_features_align_to_trials_and_name_what_is_missing() -> None:
    stimuli = pd.DataFrame({"stimulus_id": ["s2", "s0", "s1"]})
    features = Features(np.array([[2.0], [0.0], [1.0]]), stimuli, "layer")
    aligned = features.align_to(responses())
    assert aligned.values[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert aligned.stimuli["stimulus_id"].tolist() == ["s0", "s1", "s2"] * 2
    lacking = Features(features.values[:2], stimuli[:2], "layer")
    refused(r"no features for 1 stimuli of the responses \(s1\)", lacking.align_to, responses())
