"""Comparison of RDMs: scores, ceilings, and tests over subjects, stimuli and models."""

from brainalign.geometry.inference.bootstrap import bootstrap_places, compare_models, dual_bootstrap, index_draws
from brainalign.geometry.inference.comparisons import COMPARISONS, TIE, Comparison, compare, pooled_rdm, unit_forms
from brainalign.geometry.inference.comparisons import defined_mean as defined_mean
from brainalign.geometry.inference.fixed_models import (
    rdm_noise_ceiling,
    rdm_partial_test,
    rdm_permutation_test,
    session_average,
    split_half_ceiling,
    split_half_rdms,
)
from brainalign.geometry.inference.fixed_models import stimulus_orders as stimulus_orders
from brainalign.geometry.inference.flexible import FITS, FlexibleModel, fit_weights, flexible_bootstrap, flexible_score
from brainalign.geometry.inference.mass_univariate import METHODS, rdm_permutation_places
from brainalign.geometry.inference.reference_scores import (
    combination,
    flexible_permutation_test,
    score_combinations,
    score_references,
    subject_rdms,
)
from brainalign.geometry.inference.resampled import multiplicities as multiplicities

__all__ = [
    "COMPARISONS", "FITS", "FlexibleModel", "bootstrap_places", "combination", "compare", "compare_models",
    "dual_bootstrap", "fit_weights", "flexible_bootstrap", "flexible_permutation_test", "flexible_score", "pooled_rdm",
    "rdm_noise_ceiling", "rdm_partial_test", "rdm_permutation_places", "rdm_permutation_test",
    "score_combinations", "score_references", "session_average", "split_half_ceiling", "split_half_rdms",
    "subject_rdms",
]  # fmt: skip
