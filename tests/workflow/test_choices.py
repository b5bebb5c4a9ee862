"""What represents a model, or a family in a contest, is chosen inside the training images alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.pipelines.summarize import summarize_images
from brainalign.statistics import RELIABLE, RegionDraws, family_contest


def test_the_layer_of_a_model_is_not_chosen_by_its_test_score() -> None:
    profile = pd.DataFrame(
        {
            "group": [RELIABLE, "V1"] * 2,
            "layer": ["early", "early", "late", "late"],
            "r": [0.2, 0.2, 0.9, 0.9],
            "cv_score": [0.5, 0.1, 0.4, 0.9],
        }
    )
    assert summarize_images._chosen_layer(profile) == "early"
    assert summarize_images._chosen_layer(profile.assign(cv_score=np.nan)) == "early"  # the first: none was scored


def test_a_family_enters_a_contest_with_what_training_chose() -> None:
    columns = {"p": [0.01] * 4, "layer": ["early"] * 2 + ["late"] * 2}
    scores = pd.DataFrame({"r": [0.2, 0.3, 0.9, 0.8], "cv_r": [0.6, 0.5, 0.4, 0.3]} | columns)
    rows = {"V1": np.arange(2)}
    one, null = np.full((20, 1), 0.5, dtype=np.float32), np.zeros((20, 1), dtype=np.float32)
    draws = RegionDraws(rows, {"early": one, "late": 2 * one}, {"early": null, "late": null}, ["i"] * 9, 30)
    mine = summarize_images._candidates(("networks", "net", "ridge"), scores, draws)
    other = summarize_images._candidates(("language", "mini", "ridge"), scores.iloc[:2], draws)
    assert [each.layer for each in mine] == ["early", "late"]
    assert [each.draws.max() for each in mine] == [0.5, 1.0]
    contest = family_contest([*mine, *other], rows, n_train=30, n_test=9).set_index("family")
    assert contest.loc["networks", ["model", "method", "layer"]].tolist() == ["net", "ridge", "early"]
    np.testing.assert_allclose(contest.loc["networks", ["r", "cv_r"]].astype(float), [0.25, 0.55])
