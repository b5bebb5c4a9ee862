"""In-context encoding of one subject: which targets it reads, the regions that fall back, and what it is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.arrays import Features, Layers, Responses
from brainalign.checks import BrainalignError
from brainalign.encoding import FewImages, ImageSubject, TextQueries, target_groups
from brainalign.encoding.in_context import subject_study as few_images
from brainalign.statistics import RELIABLE

CEILING = np.array([0.5, 0.1, 0.6, 0.7, 0.9, 0.3])
ABOUT = {"layers": {"early": {"n_features": 4}}, "subjects": {"02": {}}, "n_images": 9}


def subject(ceiling: np.ndarray = CEILING) -> ImageSubject:
    """Six vertices in two regions that overlap; the last but one never varies in training."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 6))
    values[:8, 4] = 2.0
    ids = [f"i{k}" for k in range(12)]
    trials = pd.DataFrame({"trial_id": ids, "stimulus_id": ids, "session": "1", "run": "1", "repeat": 0})
    rois = [["a"], ["a"], ["a", "b"], ["b"], ["b"], []]
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(6)], "kind": "vertex", "hemi": "L", "roi": rois})
    responses = Responses(values, trials.assign(onset_s=0.0), targets, "z")
    groups = target_groups(responses, ceiling, 0.2)
    return ImageSubject(
        responses=responses, ceiling=ceiling, train=np.arange(8), test=np.arange(8, 12), groups=groups, seed=3
    )


def study(who: ImageSubject, **known: object) -> FewImages:
    return FewImages.of(who, networks={"early": None}, about=ABOUT, sizes=[3], n_repeats=2, **known)


def layer(name: str) -> Layers:
    stimuli = pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(12)]})
    return Layers({name: Features(np.zeros((12, 4), dtype=np.float32), stimuli, name)})


def test_targets_are_the_reliable_ones_that_vary() -> None:
    few = study(subject())
    assert few.targets.tolist() == [0, 2, 3, 5]
    groups = {name: rows.tolist() for name, rows in few.subject.groups.items()}
    assert groups == {"a": [0, 2], "b": [2, 3], RELIABLE: [0, 2, 3, 5]}
    nothing = study(subject(np.zeros(6)))
    assert nothing.targets.tolist() == [0, 1, 2, 3, 5]  # none is reliable: all that vary


def test_nothing_to_take_means_over_is_said_before_anything_is_fitted() -> None:
    who = subject(np.zeros(6))
    who = replace(who, groups={RELIABLE: np.array([], dtype=int)})
    refused("no target is reliable and no region", study, who)


def test_what_a_layer_is_scored_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions are labels among the targets that are read; texts are asked where the space is shared."""
    seen: dict = {}

    def score(network: object, *arrays: object, **options: object) -> SimpleNamespace:
        seen.update(options, train=arrays[3], test=arrays[4])
        table = pd.DataFrame({"group": ["a"]})
        context = np.zeros((5, 2)), np.zeros((5, 4))
        return SimpleNamespace(curve=table, fallbacks=table, seed_r=[0.1], context=context, held_out="scores")

    def texts(*arguments: object, **options: object) -> pd.DataFrame:
        seen.update(inside=arguments[5], names=arguments[4], asked_of=options["roi"])
        return pd.DataFrame({"text": ["a dog"]})

    monkeypatch.setattr(few_images, "score_context", score)
    monkeypatch.setattr(few_images, "text_preferences", texts)
    few = study(subject(), queries=TextQueries(["a dog"], np.zeros((1, 4)), frozenset({"early"})))
    assert dict(few.fits(layer("early"))) == {"early": "scores"}
    assert seen["roi"].tolist() == seen["asked_of"].tolist() == ["a", "a", "b", "in no region"]  # the first it lies in
    assert seen["targets"].tolist() == [0, 2, 3, 5]
    assert (seen["train"].tolist(), seen["test"].tolist(), seen["seed"]) == (list(range(8)), list(range(8, 12)), 3)
    assert {name: rows.tolist() for name, rows in seen["inside"].items()} == {
        "a": [0, 1],
        "b": [1, 2],
        RELIABLE: [0, 1, 2, 3],
    }
    assert few.curves[0]["layer"].tolist() == ["early"]
    mine = few.contexts["layers"]["early"]
    assert (mine["n_features"], mine["n_context"], mine["texts"]) == (4, 5, [{"text": "a dog"}])
    elsewhere = study(subject(), queries=TextQueries(["a dog"], np.zeros((1, 4)), frozenset({"other"})))
    assert dict(elsewhere.fits(layer("early"))) == {"early": "scores"}
    assert elsewhere.contexts["layers"]["early"]["texts"] == []


def test_a_layer_without_network_is_refused() -> None:
    with pytest.raises(BrainalignError, match="no network was trained for layer 'late', but for early; run pretrain"):
        next(study(subject()).fits(layer("late")))
