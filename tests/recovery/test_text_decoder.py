"""Sentences decoded from simulated EEG by networks, beside ridge, with every null; and written word by word.

Reduced worlds are in tests/decoding/test_text.py; here they run at full size (marked acceptance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from brainalign.decoding import (
    ControlMatrix,
    LinearDecoder,
    TextDecoder,
    Trials,
    Verdict,
    control_matrix,
    nuisance_scores,
    retrieval_hits,
    text_scores,
    verdict,
    word_t5,
)
from brainalign.simulation import EegText, eeg_power, eeg_text
from brainalign.statistics import crossed_bootstrap

Record = Callable[[str, object, str], None]
SEEDS = (1, 2, 3)
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
NULLS = [("brain", "noise"), ("brain", "shuffled"), ("noise", "brain"), ("noise", "noise"), ("shuffled", "brain")]
ACCEPTANCE = pytest.mark.acceptance


@dataclass
class Study:
    """The splits of a world, and how often sentences are retrieved from its test trials."""

    world: EegText

    def __post_init__(self) -> None:
        trials = Trials(self.world.signals, self.world.targets, self.world.trials)
        self.train, self.val, self.test = (trials.select(self.world.rows(name)) for name in ("train", "val", "test"))
        self.people = self.test.meta["subject"].to_numpy()
        self.distinct = self.test.distinct()
        self.shown = self.test.shown(self.distinct)

    def hits(self, vectors: np.ndarray) -> np.ndarray:
        """Return whether each trial retrieves its sentence first, and among five (2, n_trials)."""
        found = retrieval_hits(vectors, self.distinct)
        return np.stack([scores[np.arange(len(self.shown)), self.shown] for scores in found.values()])

    def ridge(self, sharing: str = "own", features: str = "raw", penalties: tuple[float, ...] = (1.0,)) -> np.ndarray:
        parts = [(part.signals, part.targets, part.meta["subject"].to_numpy()) for part in (self.train, self.val)]
        decoder = LinearDecoder(sharing, features, penalties, rhos=(0.1, 0.3, 1.0)).fit(*parts[0], parts[1])
        return self.hits(decoder.predict(self.test.signals, self.people))

    def network(self, **options: object) -> np.ndarray:
        decoder = TextDecoder(**options).fit(self.train)
        return self.hits(decoder.embed(self.test.signals, self.test.meta))

    def matrix(self, seed: int, spreads: list[float], **options: object) -> ControlMatrix:
        """Return the matrix of a network: one fit on brain signals, one on noise, one on shuffled pairs."""

        def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Callable[..., np.ndarray]:
            decoder = TextDecoder(seed=seed, **options).fit(Trials(signals, targets, meta))
            spreads.append(decoder.spread_)
            return decoder.embed

        before = {"pre-stimulus": self.world.before[self.world.rows("test")]}
        return control_matrix(fit, self.train, self.test, other_tests=before, seeds=(seed,))

    def verdict(self, matrix: ControlMatrix) -> Verdict:
        """Return the verdict on a matrix beside what is decoded without signals."""
        return verdict(matrix, nuisances=nuisance_scores(self.train, self.test))

    def of_matrix(self, matrix: ControlMatrix) -> np.ndarray:
        """Return whether each trial retrieves its sentence first (1, n_trials)."""
        scores = matrix.pair_scores[("brain", "brain", "top-1")]
        return scores[None, np.arange(len(self.shown)), self.shown]

    def difference(self, one: np.ndarray, other: np.ndarray) -> str:
        """Return one decoder minus another in top-1, its interval over subjects and sentences, and what it says."""
        gain = one[0] - other[0]
        found = crossed_bootstrap(gain, self.people, self.shown)
        said = "better" if found.low > 0 else "worse" if found.high < 0 else "a tie"
        return f"{gain.mean():+.3f} [{found.low:+.3f}, {found.high:+.3f}] {said}"


def said(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def values_of(matrices: list[ControlMatrix], trained: str, tested: str, measure: str = "top-1") -> list[float]:
    return [one.cell(trained, tested, measure)["value"] for one in matrices]


def check_nulls(found: list[ControlMatrix], nulls: list[tuple[str, str]], name: str, record: Record) -> None:
    for trained, tested in nulls:
        values = values_of(found, trained, tested)
        limit = np.mean([one.cell(trained, tested, "top-1")["limit"] for one in found])
        record(f"top-1, {name}: {trained} / {tested}", said(values), f"mean <= {limit:.3f}, each <= .07")
        assert np.mean(values) <= limit
        assert max(values) <= 0.07


def test_meaning_in_power_reduced() -> None:
    """Raw-signal ridge fails, the envelope network does not, and not on noise; two subjects."""
    study = Study(eeg_power(np.random.default_rng(0).normal(size=(576, 24)), n_subjects=2, snr=1.0, seed=1))
    assert study.ridge()[0].mean() <= 0.06
    decoder = TextDecoder("envelope", n_epochs=16, augment=False, device="cpu").fit(study.train)
    assert study.hits(decoder.embed(study.test.signals, study.test.meta))[0].mean() > 0.35
    before = study.world.before[study.world.rows("test")]
    assert study.hits(decoder.embed(before, study.test.meta))[0].mean() <= 0.06


@ACCEPTANCE
def test_phase_locked_sentences_by_networks(minilm: np.ndarray, record: Record) -> None:
    """World eeg_text, networks beside ridge: 59 held-out sentences, 4 subjects, chance .017; seeds 1-3"""
    linear: dict[str, list[np.ndarray]] = {"own": [], "pooled": [], "partial": []}
    tiny, matrices, verdicts, spreads, gains, tiny_gains = [], [], [], [], [], []
    for seed in SEEDS:
        study = Study(eeg_text(minilm, seed=seed))
        for sharing, values in linear.items():
            values.append(study.ridge(sharing).mean(axis=1))
        own = study.ridge()
        hits = study.network(encoder="tiny", seed=seed)
        tiny.append(hits.mean(axis=1))
        tiny_gains.append(study.difference(hits, own))
        spreads.append([])
        matrices.append(study.matrix(seed, spreads[-1], encoder="residual", n_epochs=12))
        verdicts.append(study.verdict(matrices[-1]))
        gains.append(study.difference(study.of_matrix(matrices[-1]), own))
    for sharing, values in linear.items():
        record(f"top-1, ridge, {sharing}", said([v[0] for v in values]), "in the same table")
        record(f"top-5, ridge, {sharing}", said([v[1] for v in values]), "in the same table")
    ridge = np.mean(linear["own"], axis=0)[0]
    record("top-1, tiny + augmentation", said([v[0] for v in tiny]), f"mean >= ridge own - .03 = {ridge - 0.03:.3f}")
    record("top-5, tiny + augmentation", said([v[1] for v in tiny]), "mean >= .93")
    top1, top5 = (values_of(matrices, "brain", "brain", measure) for measure in ("top-1", "top-5"))
    record("top-1, ridge + residual network", said(top1), f"mean >= ridge own - .02 = {ridge - 0.02:.3f}")
    record("top-5, ridge + residual network", said(top5), "mean >= .95")
    record("top-1, ridge + residual network minus ridge own", "; ".join(gains), "paired; a tie is called a tie")
    record("top-1, tiny + augmentation minus ridge own", "; ".join(tiny_gains), "paired; a tie is called a tie")
    record("spread of vectors, trained on brain, noise, shuffled", "; ".join(map(said, spreads)), "0: constant answers")
    check_nulls(matrices, [*NULLS, ("brain", "phase-randomised"), ("brain", "pre-stimulus")], "residual", record)
    record("top-1, tested on time-reversed", said(values_of(matrices, "brain", "time-reversed")), "each <= .07")
    assert max(values_of(matrices, "brain", "time-reversed")) <= 0.07
    assert np.mean(top1) >= ridge - 0.02
    assert np.mean(top5) >= 0.95
    assert np.mean(tiny, axis=0)[0] >= ridge - 0.03
    assert np.mean(tiny, axis=0)[1] >= 0.93
    for one in verdicts:
        record("verdict", str(one), "uses the brain")
        assert one.uses_brain


@ACCEPTANCE
def test_sentences_in_power_by_the_envelope_network(minilm: np.ndarray, record: Record) -> None:
    """World eeg_power: the envelope network decodes where raw-signal ridge cannot; seeds 1-3"""
    raw, covariance, matrices, verdicts, gains, spreads = [], [], [], [], [], []
    for seed in SEEDS:
        study = Study(eeg_power(minilm, seed=seed))
        raw.append(study.ridge()[0].mean())
        fair = study.ridge("own", "covariance", GRID)
        covariance.append(fair[0].mean())
        spreads.append([])
        matrices.append(study.matrix(seed, spreads[-1], encoder="envelope", augment=False))
        verdicts.append(study.verdict(matrices[-1]))
        gains.append(study.difference(study.of_matrix(matrices[-1]), fair))
    top1, top5 = (values_of(matrices, "brain", "brain", measure) for measure in ("top-1", "top-5"))
    record("top-1, ridge on signals", said(raw), "each <= .06")
    record("top-1, ridge on covariance, which decodes, too", said(covariance), "in the same table")
    record("top-1, envelope network", said(top1), "mean >= .55 and >= ridge on covariance")
    record("top-5, envelope network", said(top5), "mean >= .88")
    record("top-1, envelope minus ridge on covariance", "; ".join(gains), "paired; a tie is called a tie")
    record("spread of vectors, trained on brain, noise, shuffled", "; ".join(map(said, spreads)), "0: constant answers")
    for kind in ("phase-randomised", "time-reversed"):
        record(f"top-1, tested on {kind}", said(values_of(matrices, "brain", kind)), "no null here: power survives")
    check_nulls(matrices, [*NULLS, ("brain", "pre-stimulus")], "envelope", record)
    assert max(raw) <= 0.06
    assert np.mean(top1) >= max(0.55, np.mean(covariance))
    assert np.mean(top5) >= 0.88
    assert all(one.uses_brain for one in verdicts)


@ACCEPTANCE
def test_sentences_written_from_eeg(minilm: np.ndarray, record: Record) -> None:
    """World eeg_text: the tiny network writes through a frozen language model of training texts; seeds 1-3"""
    found = {"brain": [], "noise": [], "pre-stimulus": []}
    top1 = []
    for seed in SEEDS:
        study = Study(eeg_text(minilm, seed=seed))
        texts = study.train.meta["text"].tolist()
        language = word_t5(sorted(set(texts)), seed=seed)
        decoder = TextDecoder("tiny", n_epochs=12, language=language, seed=seed).fit(study.train, texts=texts)
        meta = study.test.meta
        noise = np.random.default_rng(seed).normal(size=study.test.signals.shape).astype(np.float32)
        before = study.world.before[study.world.rows("test")]
        top1.append(study.hits(decoder.embed(study.test.signals, meta))[0].mean())
        for name, signals in zip(found, (study.test.signals, noise, before), strict=True):
            written = decoder.generate(signals, meta, max_length=12)
            found[name].append(text_scores(written, meta["text"].tolist(), measures=("content",)).iloc[0])
    record("top-1, trained together with the language model", said(top1), "mean >= .45")
    assert np.mean(top1) >= 0.45
    for name, rows in found.items():
        gaps = [row["gap"] for row in rows]
        scores = f"{said([r['value'] for r in rows])}; rotated {said([r['rotated'] for r in rows])}"
        limit = "gap >= .12, p < .01" if name == "brain" else "|gap| <= .04"
        record(f"content words, free running, from {name}", f"{scores}; gap {said(gaps)}", limit)
        if name == "brain":
            assert min(gaps) >= 0.12
            assert max(row["p"] for row in rows) < 0.01
        else:
            assert max(np.abs(gaps)) <= 0.04
