"""Dimensions, spectra and manifolds of responses."""

from brainalign.geometry.dimensionality.bias_study import equal_variance, feature_bias, whitened
from brainalign.geometry.dimensionality.manifold_study import (
    LEAST_STIMULI,
    MANIFOLD_MEASURES,
    BalancedCategories,
    balanced_categories,
    category_manifolds,
)
from brainalign.geometry.dimensionality.manifolds import (
    ManifoldCapacity,
    NeuralCollapse,
    manifold_capacity,
    mmcr_objective,
    neural_collapse,
)
from brainalign.geometry.dimensionality.spectra import (
    DIMENSIONS,
    PowerLaw,
    TwoNN,
    compare_dimensions,
    cross_validated_spectrum,
    eigenspectrum,
    participation_ratio,
    power_law,
    rankme,
    two_nn,
)

__all__ = [
    "DIMENSIONS",
    "LEAST_STIMULI",
    "MANIFOLD_MEASURES",
    "BalancedCategories",
    "ManifoldCapacity",
    "NeuralCollapse",
    "PowerLaw",
    "TwoNN",
    "balanced_categories",
    "category_manifolds",
    "compare_dimensions",
    "cross_validated_spectrum",
    "eigenspectrum",
    "equal_variance",
    "feature_bias",
    "manifold_capacity",
    "mmcr_objective",
    "neural_collapse",
    "participation_ratio",
    "power_law",
    "rankme",
    "two_nn",
    "whitened",
]
