"""Tables of scores: what a layer is chosen by knows no test image, nothing is clipped, q is of reliable targets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainalign.arrays import Responses
from brainalign.encoding import HeldOut, Ridge, evaluate_held_out, group_table, score_table, target_groups
from brainalign.statistics import RELIABLE

TRAIN, TEST = np.arange(60), np.arange(60, 100)
RELIABLE_ROWS = np.arange(4)


def data(seed: int = 0) -> tuple[np.ndarray, Responses]:
    """Six vertices in two regions that overlap; the last two are noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, 5))
    weights = rng.normal(size=(5, 6)) * [1, 1, 1, 1, 0, 0]
    ids = [f"i{k}" for k in range(100)]
    trials = pd.DataFrame(
        {"trial_id": ids, "stimulus_id": ids, "session": "1", "run": "1", "repeat": 0, "onset_s": 0.0}
    )
    rois = [["a"], ["a"], ["a", "b"], ["b"], ["b"], []]
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(6)], "kind": "vertex", "hemi": "L", "roi": rois})
    return X, Responses(X @ weights + rng.normal(size=(100, 6)), trials, targets, "z")


def found(X: np.ndarray, responses: Responses, metric: str, groups: dict[str, np.ndarray]) -> HeldOut:
    ids = responses.trials["stimulus_id"].to_numpy()
    encoder = Ridge((1.0, 10.0, 100.0), metric=metric)
    options = {"n_permutations": 50, "n_boot": 50, "target_groups": groups, "control": "refit"}
    return evaluate_held_out(encoder, X, responses.values, TRAIN, TEST, ids, **options)


@pytest.mark.parametrize("metric", ["r", "r2"])
def test_what_a_layer_is_chosen_by_knows_no_test_image(metric: str) -> None:
    X, responses = data()
    ceiling = np.array([0.5, 0.5, 0.5, 0.5, 0.0, 0.0])
    groups = target_groups(responses, ceiling, 0.2)
    other = responses.values.copy()
    other[TEST] = np.random.default_rng(9).normal(size=other[TEST].shape)
    changed = Responses(other, responses.trials, responses.targets, "z")
    one, two = found(X, responses, metric, groups), found(X, changed, metric, groups)
    scores, noise = (score_table(each, responses, ceiling, RELIABLE_ROWS) for each in (one, two))
    inside = np.asarray(one.encoder.cv_scores_).max(axis=0)
    expected = inside if metric == "r" else np.sqrt(np.maximum(inside, 0))
    np.testing.assert_allclose(scores["cv_r"], expected, rtol=1e-5)
    np.testing.assert_array_equal(scores["cv_r"], noise["cv_r"])
    assert scores["r"][0] > noise["r"][0] + 0.3
    profile, of_noise = (group_table(each, groups, ceiling, 0.95).set_index("group") for each in (one, two))
    assert profile.loc["b", "cv_score"] == pytest.approx(inside[2:5].mean())
    np.testing.assert_array_equal(profile["cv_score"], of_noise["cv_score"])
    assert profile.loc["a", "r"] == pytest.approx(one.r[:3].mean())


def test_scores_are_not_clipped_and_q_is_of_reliable_targets() -> None:
    X, responses = data()
    ceiling = np.array([0.05, 0.5, -0.1, 0.5, 0.5, 0.5])
    one = found(X, responses, "r", target_groups(responses, ceiling, 0.2))
    table = score_table(one, responses, ceiling, RELIABLE_ROWS)
    assert table["r2_normalized"][0] > 1
    np.testing.assert_allclose(table["r2_normalized"][0], one.r[0] * abs(one.r[0]) / 0.05, rtol=1e-5)
    assert np.isnan(table["r2_normalized"][2])
    np.testing.assert_allclose(table["q"][:4], stats.false_discovery_control(one.p[:4]), rtol=1e-5)
    assert table["q"][4:].isna().all()
    assert table["target_id"].tolist() == [f"v{k}" for k in range(6)]


def test_groups_are_regions_or_times_and_the_reliable_targets() -> None:
    _, responses = data()
    ceiling = np.array([0.5, 0.1, np.nan, 0.3, 0.2, 0.9])
    groups = {name: rows.tolist() for name, rows in target_groups(responses, ceiling, 0.2).items()}
    assert groups == {"a": [0, 1, 2], "b": [2, 3, 4], RELIABLE: [0, 3, 5]}
    unknown = target_groups(responses, np.full(6, np.nan), 0.2)
    assert unknown[RELIABLE].tolist() == list(range(6))
    sensors = Responses(
        responses.values.reshape(100, 3, 2),
        responses.trials,
        responses.targets[:3].assign(kind="sensor"),
        "T",
        times=np.array([0.1, 0.25]),
    )
    timed = {name: rows.tolist() for name, rows in target_groups(sensors, ceiling, 0.2).items()}
    assert timed == {"0.1000": [0, 2, 4], "0.2500": [1, 3, 5], RELIABLE: [0, 3, 5]}
