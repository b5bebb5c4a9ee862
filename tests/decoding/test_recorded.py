"""Whole results of fixed seeds as they were: tables, networks and weights, of small uneven data."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from seeded.recorded import as_they_were
from sklearn.linear_model import LinearRegression

from brainalign import decoding
from brainalign.decoding.masked import fine_tuned_row, hidden_regions, joined, segment_starts, validation_runs

RNG = np.random.default_rng
N, D = 36, 5  # trials, dimensions of vectors
VECTORS = RNG(1).normal(size=(12, D)) + 0.4
STIMULUS = np.concatenate([np.arange(12), np.arange(12)[::-1], [3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 11, 10]])
SAID = [f"{who} {what} the {where}" for who in ("the dog", "a cat") for what in ("saw", "left") for where in (
    "house", "old river", "big sea")]  # fmt: skip
META = pd.DataFrame({
    "stimulus_id": [f"s{k:02d}" for k in STIMULUS], "subject": np.repeat(["b", "a", "c"], 12),
    "task": np.where(STIMULUS % 3 == 1, "search", "read"),
    "trial_index": np.concatenate([np.arange(12), np.arange(12), np.arange(12)]),
    "block": np.tile(np.repeat([1, 2, 3], 4), 3), "label": np.where(STIMULUS % 4 < 2, "x", "y"),
    "text": [SAID[k] for k in STIMULUS], "n_fixations": STIMULUS % 5 + 2.0, "spectrum_2": np.cos(STIMULUS),
    "spectrum_1": np.sin(STIMULUS), "luminance": STIMULUS**0.5, "n_samples": 24 - STIMULUS % 4,
    "trial_id": np.arange(N) + 100, "split": np.where(np.isin(STIMULUS, [2, 9]), "val", "train"),
})  # fmt: skip
WAVES = np.einsum("nd,dc,t->nct", VECTORS[STIMULUS], RNG(2).normal(size=(D, 4)), np.sin(np.arange(24) / 2))
SIGNALS = (WAVES + RNG(3).normal(size=WAVES.shape) * [[1], [2], [0.5], [1]]).astype(np.float32)
TRIALS = decoding.Trials(SIGNALS, VECTORS[STIMULUS], META)
TEST = np.isin(STIMULUS, [1, 3, 4, 6, 8, 10, 11])
PADDED = TRIALS.select(~TEST), TRIALS.select(TEST)
QUICK = {"n_permutations": 19, "seed": 3}


def linear(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Callable[..., np.ndarray]:
    fitted = decoding.LinearDecoder("own").fit(signals + 1e-3 * seed, targets, meta["subject"].to_numpy())
    return lambda given, table: fitted.predict(given, table["subject"].to_numpy())


@cache
def matrix(keep: str = "power") -> decoding.ControlMatrix:
    before = {"pre-stimulus": RNG(4).normal(size=PADDED[1].signals.shape)}
    return decoding.control_matrix(
        linear, *PADDED, other_tests=before, seeds=(2, 5), keep=keep, n_permutations=99  # type: ignore[arg-type]
    )  # fmt: skip


def matrices() -> Any:
    """Return matrices of signals as they are and of null ones: spectrum_noise, phase_randomised."""
    one, other = matrix(), matrix("cross-spectrum")
    beside = [one.gain("noise", "brain", "top-5", 0.9)]
    return one, other, beside, [one.beats(scores, key[2], 0.2) for key, scores in one.pair_scores.items()]


def zero_shot() -> Any:
    wordings = {"x": VECTORS[:3] + 1, "y": VECTORS[3:7] - 1, "z": VECTORS[7:8]}
    decoded = VECTORS[STIMULUS] + 0.6 * RNG(8).normal(size=(N, D)) + np.where(META["label"] == "x", 0.5, 0)[:, None]
    given = decoded, VECTORS[STIMULUS], META["stimulus_id"].to_numpy(), META["label"].to_numpy(), wordings
    centre = np.full(D, 0.3)
    grouped = decoding.zero_shot_labels(*given, centre, groups=META["task"].to_numpy(), **QUICK)
    return grouped, decoding.zero_shot_labels(*given, centre, **QUICK)


def text_scores() -> Any:
    """Return scores of texts: content_overlaps, those of a constant_sentence, and others."""
    told = [SAID[(3 * k + k // 5) % 12] if k % 7 else "nothing known" for k in range(N)]
    beside = {"tasks": META["task"].tolist(), "labels": META["label"].tolist()}
    whole = decoding.text_scores(told, META["text"].tolist(), **beside, n_rotations=3, **QUICK)
    return whole, decoding.constant_scores(["a cat", "", "The dog!", "the dog"], list(META["text"]), n_permutations=9)


SPACES = {"text": RNG(11).normal(size=(16, 6)), "grounded": RNG(12).normal(size=(16, 4)) * [3, 2, 1, 1]}


def regions() -> pd.DataFrame:
    rng = RNG(16)
    spaces = {name: (rng.normal(size=(20, d)), rng.normal(size=(14, d))) for name, d in (("b", 4), ("a", 6))}
    train, test = (side @ rng.normal(size=(4, 7)) + rng.normal(size=(len(side), 7)) for side in spaces["b"])
    where = {"late": np.array([5, 6, 2]), "early": np.array([0, 1]), "none": np.array([], dtype=int)}
    ceiling = np.array([0.9, 0.5, -0.1, 0.4, np.nan, 0.3, 0.2])
    options = {"n_permutations": 19, "n_draws": 30, "confidence": 0.8, "seed": 2}
    given = spaces, train, test, where, lambda x, y: LinearRegression(fit_intercept=False).fit(x, y)
    return decoding.word_regions(*given, ceiling=ceiling, **options)


def grounding() -> Any:
    """Return a study of grounded words (scene_retrieval) and a model of them, trained by pair_loss on batches."""
    rng = RNG(17)
    said = rng.random((30, 16)) < 0.15
    said[np.arange(30), np.arange(30) % 16] = True
    scenes = said[:, None] @ rng.normal(size=(16, 7)) * rng.random((30, 3, 1)) + 0.3 * rng.normal(size=(30, 3, 7))
    made: Any = {"n_steps": 6, "batch_size": 8, "device": "cpu", "relation_steps": 5, "relation_batch": 4}
    models = [decoding.GroundedLanguage(5, 9, weight_decay=0.5, seed=k, **made) for k in (1, 2, 3)]
    rows = np.arange(30)
    study = decoding.ground_study(*models[:2], SPACES["text"], said, scenes, rows < 18, rows > 19, **QUICK)
    captions = [np.flatnonzero(row) for row in said]
    relations = pd.DataFrame({"scene": [4, 1, 7, 7, 9], "subject": [1, 2, 3, 4, 5], "object": [0, 5, 6, 7, 1]})
    relations["relation"] = ["on", "by", "on", "by", "in"]
    model = models[2].fit(SPACES["text"], captions, scenes, relations)
    told = model.relate([1, 2], [5, 6], scenes.astype(np.float32)[1::-1])
    beside = model.history_, model.relation_history_, model.relation_names_
    return study.retrieval, study.spaces, model.state(), model.scores(captions[:4], scenes[:5]), told, beside, (
        model.locate([3, 4, 5], scenes[:3]), model.embed(SPACES["text"][2:5])
    )  # fmt: skip


SERIES = RNG(21).normal(size=(9, 44, 6)).cumsum(axis=1).astype(np.float32)
SERIES = (SERIES - SERIES.mean(axis=1, keepdims=True)) / SERIES.std(axis=1, keepdims=True)
PEOPLE = [f"p{k}" for k in (3, 3, 1, 1, 0, 0, 2, 4, 5)]
OF = ["n", "m", "n", "m", "n", "k"]
HIDDEN = np.array([[True, False, False, True, False, False]] * 4 + [[False, True] * 3] * 5)


def masked(**options: Any) -> decoding.MaskedBrainModel:
    small = {"segment_frames": 8, "width": 6, "hidden_width": 5, "n_steps": 4, "batch_size": 4, "device": "cpu"}
    training = {"region_vectors": False, "ratio": (0.05, 0.8), "learning_rate": 3e-3, "schedule": "constant"}
    return decoding.MaskedBrainModel(**small | training | options)


def gaussians() -> Any:
    found = []
    for given in (PEOPLE, None, ["one"] * 9):
        model = decoding.ConditionalGaussian((0, 1, 3), (0.05, 2.0), seed=2).fit(SERIES, given)
        filled = model.reconstruct(SERIES, HIDDEN)
        found.append([model.lag_, model.penalty_, model.covariances_, filled])
    return found, decoding.hidden_r2(SERIES, filled, HIDDEN)


def fills() -> Any:
    masks = decoding.hidden_masks(9, OF, 2, seed=2)
    shares = {"b": np.array([0.9, 0.1, 0.5, 0.2, 0.3, 0.4]), "a": 0.3, "c": 0.3, "d": -0.5}
    filled = {name: lambda series, _, share=share: series * share for name, share in shares.items()}
    sums = {name: decoding.filled_sums(fill, SERIES, masks) for name, fill in filled.items()}
    cut = SERIES[:, segment_starts(44, 10, 7)[:, None] + np.arange(10)] * np.arange(1, 11)[:, None]
    return (
        masks, decoding.fill_table(sums, PEOPLE, reference="a", networks=OF, n_draws=40, confidence=0.8, seed=2),
        decoding.shifted_regions(SERIES, RNG(2)), decoding.permuted_frames(SERIES, RNG(2)),
        joined(cut, segment_starts(44, 10, 7), 44, 3), hidden_regions((3, 2), 7, (0.1, 0.9), RNG(2)),
        [validation_runs(SERIES[:n], PEOPLE[:n], 8, 2) for n in (9, 2, 1)],
    )  # fmt: skip


def masked_study() -> Any:
    options = {"lags": (0, 2), "nulls": ("regions shifted", "frames permuted"), "ablations": ("no masking",)}
    found = decoding.masked_study(
        SERIES, PEOPLE, np.arange(9) > 5, [f"r{k}" for k in range(6)], OF, lambda **changes: masked(
            schedule="plateau", seed=4, **changes), **options, n_halves=2, n_traces=3, n_draws=30,
        network_permutations=9, confidence=0.8, seed=2,
    )  # fmt: skip
    return found.filled, found.agreement, found.traces, found.histories, found.gaussian.lag_


def persons() -> Any:
    """Return scores by features of people: correlation_features, tangent_features, tokens; and what was fine-tuned."""
    model = masked().fit(SERIES)
    series = np.concatenate([SERIES, SERIES[:, ::-1] + 0.3 * RNG(22).normal(size=SERIES.shape).astype(np.float32)])
    features, people = dict(decoding.person_features(model, series)), [f"p{k % 9 // 2}" for k in range(18)]
    states, traits = np.array(list("xyyxyxxyxyxyyxxyxy")), np.array(["u", "v", "u", "v", "v"])[np.arange(18) % 9 // 2]
    options = {"n_folds": 2, "n_repeats": 2, "n_permutations": 3, "n_draws": 30, "confidence": 0.8, "seed": 2}
    numbers = features["correlation"][:, 0] + RNG(23).normal(size=18)
    tables = [decoding.person_scores(features, given, people, **options) for given in (states, traits, numbers)]
    tuned = decoding.FineTuned(model, n_steps=3, batch_size=5, n_segments=2, seed=2).fit(series, states.tolist())
    three = decoding.FineTuned(model, n_steps=1).fit(series, ["a", "b", "c"] * 6)
    rows = fine_tuned_row(model, series, states, people, 2, 3)
    # Not all weights: those that change nothing, as biases of keys, follow rounding.
    kept = [(*one._read.parameters(), one._blocks.embeddings) for one in (tuned, three)]
    learned = [torch.cat([part.detach().flatten() for part in parts]) for parts in kept]
    return tables, tuned.predict(series), three.predict(series), learned, rows, features["mean tokens"], (
        decoding.mean_connectivity(series), decoding.network_agreement({"a": SERIES[0].T, "b": SERIES[1].T}, OF, 19, 2)
    )  # fmt: skip


def studies() -> Any:
    """Return retrieval_accuracy, nuisance_scores, subject_curve and others of both kinds of decoders and of repeats."""
    vectors = RNG(41).normal(size=(12, 9)) * np.arange(1, 10)
    components = decoding.Components.fit(vectors[[0, 2, 5, 7, 9, 11]], 4)
    targets = components.transform(vectors[STIMULUS])
    every = decoding.Trials(SIGNALS, targets, META.drop(columns="n_samples").assign(block=STIMULUS // 4))
    found: list[Any] = [components, components.inverse(targets)]
    parts = [np.isin(STIMULUS, some) for some in ((0, 4, 7, 9, 11), (2, 5, 8), (1, 3, 6, 10))]
    for repeats, kind in ((1, "linear"), (2, "network")):
        train, val, test = (every.select(np.tile(np.flatnonzero(rows), repeats)) for rows in parts)
        sides = ((train, "train"), (val, "val"))
        train, val = (replace(side, meta=side.meta.assign(split=name)) for side, name in sides)
        wordings = {"x": vectors[:2], "y": vectors[2:5]}
        study = decoding.TextStudy(
            train, val, test, components, vectors[STIMULUS][np.tile(np.flatnonzero(parts[2]), repeats)],
            {"EOG only": test.signals[:, ::-1]}, wordings, list("wxyz"), np.arange(24) / 24 - 0.1,
        )  # fmt: skip
        options = {"linear": {"penalties": (0.1, 10.0)}}
        options["network"] = {"encoder": "residual", "n_epochs": 1, "selection": "last", "batch_size": 8}
        made = decoding.decoder_of({"decoder": kind, **options[kind]})
        study_of = decoding.study_text(study, made, seeds=(2, 4), n_permutations=19, n_draws=30, n_averages=3)
        found.append([study_of.tables, study_of.sentences_by, study_of.chosen, study_of.has_blocks])
    lost = decoding.exchange_relevance(lambda x, _: x[:, :, :4].sum(axis=2) @ np.eye(4), every, n_windows=5, seed=2)
    return found, lost, decoding.nearest_sentences(targets[::-1], targets[:12], SAID)


OF_WORDS, OF_SERIES = (zero_shot, text_scores, regions, grounding), (gaussians, fills, masked_study, persons)
test_results_of_fixed_seeds = as_they_were(matrices, *OF_WORDS, *OF_SERIES, studies)
