"""Studies of networks trained on tokens: their fits, controls and simpler models beside them."""

from brainalign.encoding.trained.token_ensemble import ensemble_weights as ensemble_weights
from brainalign.encoding.trained.token_study import ENSEMBLE, TokenFindings, TokenStudy

__all__ = ["TokenStudy"]
