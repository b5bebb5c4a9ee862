"""Dimensions, spectra and manifolds of responses."""

from brainalign.geometry.dimensionality.bias_study import equal_variance, feature_bias, whitened
from brainalign.geometry.dimensionality.manifold_study import (
    BalancedCategories,
    balanced_categories,
    category_manifolds,
)
from brainalign.geometry.dimensionality.manifolds import manifold_capacity, neural_collapse
from brainalign.geometry.dimensionality.spectra import (
    DIMENSIONS,
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
    "DIMENSIONS", "BalancedCategories", "TwoNN", "balanced_categories", "category_manifolds", "compare_dimensions",
    "cross_validated_spectrum", "eigenspectrum", "equal_variance", "feature_bias", "manifold_capacity",
    "neural_collapse", "participation_ratio", "power_law", "rankme", "two_nn", "whitened",
]  # fmt: skip
