"""Sentences retrieved from simulated EEG by linear decoders: phase-locked meaning, meaning in power, and nothing.

Each world runs reduced in `make test`, and at full size (marked acceptance) in `make acceptance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.decoding import (
    ControlMatrix,
    LinearDecoder,
    Trials,
    Verdict,
    control_matrix,
    nuisance_scores,
    retrieval_accuracy,
    retrieval_hits,
    verdict,
)
from brainalign.simulation import EegText, eeg_power, eeg_text

Record = Callable[[str, object, str], None]
SEEDS = (1, 2, 3)
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
NULLS = [("brain", "noise"), ("brain", "shuffled"), ("noise", "brain"), ("noise", "noise"), ("shuffled", "brain")]


def split(world: EegText, name: str) -> Trials:
    return Trials(world.signals, world.targets, world.trials).select(world.rows(name))


def scores(world: EegText, decoder: LinearDecoder) -> tuple[float, float]:
    """Return top-1 and top-5 on the test sentences, settings chosen on the validation sentences."""
    train, val, test = (split(world, name) for name in ("train", "val", "test"))
    subjects = [part.meta["subject"].to_numpy() for part in (train, val, test)]
    decoder.fit(train.signals, train.targets, subjects[0], (val.signals, val.targets, subjects[1]))
    shown = test.meta["stimulus_id"].to_numpy()
    found = retrieval_accuracy(
        decoder.predict(test.signals, subjects[2]), test.targets, shown, shown, subjects=subjects[2], n_permutations=200
    ).table.set_index("measure")["value"]
    return float(found["top-1"]), float(found["top-5"])


def matrix(
    world: EegText, features: str, seeds: tuple[int, ...], columns: np.ndarray | slice = slice(None), **only: object
) -> ControlMatrix:
    """Return the matrix of own ridge, scored by the chosen components."""

    def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Callable[..., np.ndarray]:
        decoder = LinearDecoder("own", features).fit(signals, targets, meta["subject"].to_numpy())
        return lambda signals, meta: decoder.predict(signals, meta["subject"].to_numpy())

    def score(outputs: np.ndarray, distinct: Trials) -> dict[str, np.ndarray]:
        return dict(retrieval_hits(outputs[:, columns], replace(distinct, targets=distinct.targets[:, columns])))

    before = {"pre-stimulus": world.before[world.rows("test")]}
    return control_matrix(
        fit, split(world, "train"), split(world, "test"), score, other_tests=before, seeds=seeds, **only
    )


def judged(world: EegText, found: ControlMatrix) -> Verdict:
    """Return the verdict on a matrix beside what is decoded without signals."""
    return verdict(found, nuisances=nuisance_scores(split(world, "train"), split(world, "test")))


def unlike_their_mirror(world: EegText) -> np.ndarray:
    """Return the components whose course, played backwards, falls elsewhere; the middle ones stay where they are."""
    unit = world.courses / np.linalg.norm(world.courses, axis=1, keepdims=True)
    return np.flatnonzero((unit * unit[:, ::-1]).sum(axis=1) < 0.05)


def reach(values: list[float], low: float) -> bool:
    """Return whether the mean over seeds is at `low` within two standard errors."""
    return bool(np.mean(values) + 2 * np.std(values, ddof=1) / np.sqrt(len(values)) >= low)


def said(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def check_nulls(found: list[ControlMatrix], nulls: list[tuple[str, str]], record: Record) -> None:
    for trained, tested in nulls:
        cells = [one.cell(trained, tested, "top-1") for one in found]
        values = [cell["value"] for cell in cells]
        limit = np.mean([cell["limit"] for cell in cells])
        record(f"top-1, trained on {trained}, tested on {tested}", said(values), f"mean <= {limit:.3f}, each <= .07")
        assert np.mean(values) <= limit
        assert max(values) <= 0.07


def test_phase_locked_and_power_reduced() -> None:
    """Both worlds with random vectors and two subjects."""
    vectors = np.random.default_rng(0).normal(size=(576, 24))
    locked = eeg_text(vectors, n_subjects=2, seed=1)
    own = scores(locked, LinearDecoder())
    assert own[0] > 0.5
    assert own[1] > 0.85
    power = eeg_power(vectors, n_subjects=2, seed=1)
    assert scores(power, LinearDecoder())[0] <= 0.06
    assert scores(power, LinearDecoder(features="covariance"))[0] > 0.35
    nothing = eeg_text(vectors, n_subjects=2, snr=0, seed=1)
    assert scores(nothing, LinearDecoder())[0] <= 0.06


@pytest.mark.acceptance
def test_phase_locked_sentences(minilm: np.ndarray, record: Record) -> None:
    """World eeg_text, linear decoders: 59 held-out sentences, 4 subjects, chance .017; seeds 1-3"""
    found: dict[str, list[tuple[float, float]]] = {"own": [], "pooled": [], "partial": []}
    matrices, mirrored, verdicts = [], [], []
    for seed in SEEDS:
        world = eeg_text(minilm, seed=seed)
        for sharing, values in found.items():
            values.append(scores(world, LinearDecoder(sharing, rhos=(0.1, 0.3, 1.0))))
        matrices.append(matrix(world, "raw", (0, 1)))
        verdicts.append(judged(world, matrices[-1]))
        outer = unlike_their_mirror(world)
        mirrored.append(matrix(world, "raw", (0,), outer, trained_on=("brain",), tested_on=("brain", "time-reversed")))
    for sharing, low, page in (("own", 0.72, ".72-.75"), ("pooled", 0.68, ".68-.72"), ("partial", 0.75, ".75-.77")):
        top1, top5 = ([pair[k] for pair in found[sharing]] for k in (0, 1))
        record(f"top-1, ridge, {sharing}", said(top1), f"{page}, mean within 2 SE")
        record(f"top-5, ridge, {sharing}", said(top5), ".95-.99")
        assert reach(top1, low)
        assert reach(top5, 0.95)
    assert np.mean(found["partial"], axis=0)[0] > np.mean(found["own"], axis=0)[0]
    check_nulls(matrices, [*NULLS, ("brain", "phase-randomised"), ("brain", "pre-stimulus")], record)
    # Courses are symmetric: reversed, the six components in the middle stay where they are, and are found.
    cells = [one.cell("brain", "time-reversed", "top-1") for one in matrices]
    limit = np.mean([cell["limit"] for cell in cells])
    values = [cell["value"] for cell in cells]
    expected = f"mean <= {limit:.3f} falls short; each <= .07"
    record("top-1, tested on time-reversed, all 24 components", said(values), expected)
    assert max(values) <= 0.07
    assert len(outer) == 18
    check_nulls(mirrored, [("brain", "time-reversed")], record)
    for one in verdicts:
        record("verdict", str(one), "uses the brain")
        assert one.uses_brain


@pytest.mark.acceptance
def test_sentences_in_power(minilm: np.ndarray, record: Record) -> None:
    """World eeg_power, linear decoders: ridge on signals fails, ridge on covariance does not; seeds 1-3"""
    kinds = {"raw": (1.0,), "log_power": GRID, "covariance": GRID}
    page = {"raw": "<= .06", "log_power": ".20-.28", "covariance": ".52-.62, mean within 2 SE"}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    matrices, used, raw = [], [], []
    for seed in SEEDS:
        world = eeg_power(minilm, seed=seed)
        for features, penalties in kinds.items():
            found[features].append(scores(world, LinearDecoder("own", features, penalties))[0])
        matrices.append(matrix(world, "covariance", (0, 1)))
        used.append(judged(world, matrices[-1]).uses_brain)
        raw.append(judged(world, matrix(world, "raw", (0,))).uses_brain)
    for features, values in found.items():
        record(f"top-1, ridge on {features}", said(values), page[features])
    assert max(found["raw"]) <= 0.06
    assert reach(found["covariance"], 0.52)
    check_nulls(matrices, [*NULLS, ("brain", "pre-stimulus")], record)
    for kind in ("phase-randomised", "time-reversed"):
        values = [one.cell("brain", kind, "top-1")["value"] for one in matrices]
        record(f"top-1, covariance, tested on {kind}", said(values), "no null here: power survives")
    record("verdicts on ridge of signals", raw, "never uses the brain")
    assert not any(raw)
    assert all(used)
