from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.geometry import compare, rdm, rdm_noise_ceiling, score_references, session_average

N = 30


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, np.ndarray], dict[tuple[str, str], np.ndarray]]:
    """Return a group and one subject whose truth is layer b of a network, and candidates of which some tie."""
    rng = np.random.default_rng(0)
    layers = {name: rdm(rng.normal(size=(N, 8)), "euclidean") for name in "abc"}
    truth = layers["b"]
    noisy = truth + rng.normal(size=(8, 2, len(truth))) * 0.5
    noisy[3, :, 7] = np.nan
    candidates = {("net", name): values for name, values in layers.items()}
    candidates["net", "flat"] = np.ones(len(truth))
    candidates["published", ""] = truth + rng.normal(size=len(truth)) * 0.01
    candidates["monkey", ""] = noisy[0, 0]
    return {"group": noisy, "single": noisy[:1, :1]}, candidates


def test_scores_ceilings_and_the_honest_best(world: tuple[dict, dict]) -> None:
    sets, candidates = world
    found = score_references(sets, candidates, n_boot=200, exclude={"single": [("monkey", "")]})
    subjects = session_average(sets["group"])
    scores = found.scores.set_index(["reference", "model", "layer"])
    for key, values in candidates.items():
        expected = compare(subjects, values, "spearman").mean()
        assert scores.loc[("group", *key), "score"] == pytest.approx(expected, nan_ok=True)
    row = scores.loc[("group", "net", "b")]
    assert (row["ceiling_low"], row["ceiling_high"]) == pytest.approx(rdm_noise_ceiling(subjects, "spearman"))
    assert row["low"] < row["score"] < row["high"]
    assert row["n_missing"] == 1
    assert row["over"] == "both"
    assert scores.loc[("group", "net", "flat"), "note"].startswith("undefined")
    assert ("single", "monkey", "") not in scores.index
    assert "one subject" in scores.loc[("single", "net", "b"), "note"]
    assert len(found.subjects) == 8 * 6 + 5
    best = found.best.set_index(["reference", "family"])
    assert set(best.index.get_level_values("family")) == {"net", "models", "all"}
    assert best.loc[("group", "net"), "layer"] == "b"
    assert best.loc[("group", "net"), "decided"]
    assert "exceeds each of the 2 others" in best.loc[("group", "net"), "sentence"]
    assert not best.loc[("group", "all"), "decided"]  # the published model is as good
    assert "no best is called" in best.loc[("group", "all"), "sentence"]
    assert "One subject" in best.loc[("single", "net"), "sentence"]
    differences = found.differences.query("reference == 'group' and family == 'net'")
    assert differences["other_layer"].tolist() == ["a", "c"] or differences["other_layer"].tolist() == ["c", "a"]


def test_one_seed_one_result(world: tuple[dict, dict]) -> None:
    sets, candidates = world
    first, second = (score_references(sets, candidates, "cosine", 50, seed=3) for _ in range(2))
    assert first.scores.equals(second.scores)
    assert first.differences.equals(second.differences)


def test_nothing_to_compare_is_refused(world: tuple[dict, dict]) -> None:
    refused("0 reference sets", score_references, {}, world[1])
