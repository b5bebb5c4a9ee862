"""The unit and the type of what is given change no number; what says nothing has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refusals import refused

from brainalign import decoding, features, geometry, statistics, synthesis
from brainalign.regression import Ridge

RNG, RIDGE = np.random.default_rng, Ridge([1])
X, WHOLE = RNG(0).normal(size=(40, 5)), RNG(1).integers(-120, 120, size=(40, 3))
SIGNALS, HALVES = RNG(2).integers(0, 200, size=(40, 3, 8)), [np.arange(20), np.arange(20, 40)]
ATOMS = features.SparseAutoencoder(8, 2, epochs=1).fit(256 * X)
SAID = synthesis.Captions(np.array(["one", "two", "three"]), RNG(3).normal(size=(3, 5)))
LOST = np.where(np.arange(200) == 99, np.nan, RNG(4).normal(size=200)).reshape(40, 5)

CASES: dict[str, tuple[Callable[[Any], Any], Any, type, float]] = {
    "share of rows in tesla": (lambda v: statistics.independent_share([v]), 1e-15 * SIGNALS, np.float32, 1e15),
    "targets held out": (lambda v: statistics.held_out_prediction(RIDGE, X, v, X), WHOLE, np.int8, 1),
    "labels": (lambda v: statistics.held_out_prediction(RIDGE, X, v, X), WHOLE > 0, bool, 1),
    "features": (lambda v: statistics.held_out_prediction(RIDGE, v, X, v, standardise=True), WHOLE, np.int8, 1),
    "R²": (lambda v: statistics.held_out_r2(RIDGE, X, v, HALVES), 256.0 * WHOLE, np.float16, 1),
    "dictionary": (lambda v: features.dictionary_quality(ATOMS, v).unexplained, 256 * X, np.float16, 1),
    "captions": (lambda v: synthesis.caption_scores(SAID, v, WHOLE).r, 256 * X, np.float16, 1),
    "phases": (lambda v: decoding.phase_randomised(v, RNG(0)), SIGNALS, np.uint8, 1),
    "noise": (lambda v: decoding.spectrum_noise(v, RNG(0)), SIGNALS, np.uint8, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_depend_on_no_unit_and_no_type(case: str) -> None:
    function, values, dtype, unit = CASES[case]
    found, expected = function(values.astype(dtype)), function(unit * values.astype(float))
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_an_offset_of_all_signals_tells_no_subjects_apart() -> None:
    def decoded(offset: float) -> Any:
        signals = SIGNALS * np.repeat([1, 1.5], 20)[:, None, None] + offset
        decoder = decoding.LinearDecoder("pooled", penalties=(0.1,)).fit(signals, X, np.repeat(["a", "b"], 20))
        return decoder.predict(signals, np.repeat(["a", "b"], 20))

    np.testing.assert_allclose(decoded(1e5), decoded(0), rtol=1e-6)


def test_what_is_constant_but_for_rounding_has_no_score() -> None:
    flat, labels = np.full((41, 2), 0.1), np.arange(41) % 3  # the mean of 41 times .1 is not .1
    halves = [np.arange(20), np.arange(20, 41)]
    assert np.isnan(statistics.held_out_r2(RIDGE, RNG(0).normal(size=(41, 5)), flat, halves))
    assert np.isnan(geometry.fit_dimensions(RNG(0).normal(size=(41, 5)), flat, RIDGE, 3, 2, RNG(0)).r2).all()
    np.testing.assert_array_equal(geometry.sensor_effects(flat[:, :, None], labels, labels[None])[0], 0)


def test_missing_values_and_other_units_are_refused() -> None:
    alike = geometry.object_similarities(LOST, "cosine")
    refused("similarities", geometry.odd_one_out_accuracy, alike, np.array([[0, 1, 19]]))
    refused("5 channels", geometry.rdm, LOST, "mahalanobis", precision=geometry.noise_covariance(X, method="full"))
    refused("pair_scores", statistics.pairing_test, LOST, np.arange(40) % 5)
    refused("queries", decoding.similarity_ranks, LOST, X)
    refused("targets", decoding.LinearDecoder().fit, SIGNALS, LOST, np.repeat("a", 40))
    refused("no RDM", geometry.FlexibleModel, X[:0])
    refused("groups has 1 missing", geometry.leave_one_group_out, ["a", None, "b"])
    refused("labels has 1 missing", geometry.decode_times, SIGNALS, [None, *"ab" * 19, "a"], [])
    refused("give one label per row", geometry.decode_times, SIGNALS, WHOLE, [])
    refused("stimulus_ids has 1 missing", statistics.ncsnr, X, [np.nan, *range(39)])
    refused("two categories, not 4", statistics.logistic_auc, X, np.arange(40) % 4, [])
    refused("times_s that ascend", features.resample_events, HALVES[0], HALVES[0], X[:20], -HALVES[0])
    refused("rng is None", geometry.shuffled_units, X, None)
    hidden = np.ma.masked_invalid(LOST)
    refused("NaN", statistics.effective_dimension, hidden)
    assert np.isnan(statistics.sign_flip_test(hidden, 0)[1]).sum() == 1
    assert np.isnan(statistics.identification(hidden, X)[0]).any()
    refused("masked", statistics.pearson, np.ma.masked_less(X, 0), X)
    refused("root mean square of 9.78e-14", decoding.ConditionalGaussian().fit, 1e-13 * RNG(0).normal(size=(4, 60, 5)))
