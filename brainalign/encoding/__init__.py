"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.banded import BandedRidge, band_candidates
from brainalign.encoding.checkpoint_curves import CheckpointCurves, checkpoint_curves
from brainalign.encoding.context_ensemble import InContextEnsemble
from brainalign.encoding.context_pretraining import pretrain_layer, training_voxels
from brainalign.encoding.context_study import context_curve, score_context
from brainalign.encoding.convergence import Convergence, LayerScores, convergence_scores
from brainalign.encoding.dictionary_study import DictionaryStudy
from brainalign.encoding.empirical_bayes import EmpiricalBayesRidge, WeightPrior, estimate_prior, prior_of_weights
from brainalign.encoding.ensemble import LayerEnsemble
from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.few_images import FewImages, TextQueries
from brainalign.encoding.gaussian_readout import GaussianReadout
from brainalign.encoding.halftimes import half_times
from brainalign.encoding.halves import SplitScores, split_scores
from brainalign.encoding.held_out import HeldOut, evaluate_held_out
from brainalign.encoding.held_out_scores import score_predictions
from brainalign.encoding.held_out_tables import METRICS, SPLIT, band_table, group_table, null_table, score_table
from brainalign.encoding.image_subject import ImageSubject
from brainalign.encoding.in_context import InContextEncoder
from brainalign.encoding.in_context_inputs import unit_rows
from brainalign.encoding.layer_tables import latency_table, layer_draws, preference_table
from brainalign.encoding.partition import Partition
from brainalign.encoding.pretrained_layer import PretrainedLayer, Reduction, pretrained_layers
from brainalign.encoding.readouts import FactorizedReadout
from brainalign.encoding.region_encoders import RegionEncoder, choose_regions, fit_regions, shuffled_regions
from brainalign.encoding.response_optimised import ResponseOptimisedEncoder
from brainalign.encoding.ridge import Ridge, fit_layers
from brainalign.encoding.routing import PUBLISHED_ROUTING, RoutingEncoder
from brainalign.encoding.scaling_curve import curve_baselines, scaling_curve
from brainalign.encoding.seeds import SeedEnsemble
from brainalign.encoding.semantic_readout import SemanticSpatialReadout
from brainalign.encoding.sensor_clusters import score_clusters
from brainalign.encoding.side_by_side import Contender, side_by_side
from brainalign.encoding.subject_convergence import SubjectConvergence, converge_subjects
from brainalign.encoding.target_groups import target_groups
from brainalign.encoding.text_preferences import text_preferences
from brainalign.encoding.text_selectivity import text_selectivity
from brainalign.encoding.token_study import ENSEMBLE, TokenFindings, TokenStudy
from brainalign.encoding.training import Epoch

__all__ = [
    "ENCODERS",
    "ENSEMBLE",
    "METRICS",
    "PUBLISHED_ROUTING",
    "SPLIT",
    "BandedRidge",
    "CheckpointCurves",
    "Contender",
    "Convergence",
    "DictionaryStudy",
    "EmpiricalBayesRidge",
    "Epoch",
    "Evaluation",
    "FactorizedReadout",
    "FewImages",
    "GaussianReadout",
    "HeldOut",
    "ImageSubject",
    "InContextEncoder",
    "InContextEnsemble",
    "LayerEnsemble",
    "LayerScores",
    "Partition",
    "PretrainedLayer",
    "Reduction",
    "RegionEncoder",
    "ResponseOptimisedEncoder",
    "Ridge",
    "RoutingEncoder",
    "SeedEnsemble",
    "SemanticSpatialReadout",
    "SplitScores",
    "SubjectConvergence",
    "TextQueries",
    "TokenFindings",
    "TokenStudy",
    "WeightPrior",
    "band_candidates",
    "band_table",
    "checkpoint_curves",
    "choose_regions",
    "context_curve",
    "converge_subjects",
    "convergence_scores",
    "curve_baselines",
    "estimate_prior",
    "evaluate",
    "evaluate_held_out",
    "fit_layers",
    "fit_regions",
    "group_table",
    "half_times",
    "latency_table",
    "layer_draws",
    "null_table",
    "preference_table",
    "pretrain_layer",
    "pretrained_layers",
    "prior_of_weights",
    "scaling_curve",
    "score_clusters",
    "score_context",
    "score_predictions",
    "score_table",
    "shuffled_regions",
    "side_by_side",
    "split_scores",
    "target_groups",
    "text_preferences",
    "text_selectivity",
    "training_voxels",
    "unit_rows",
]

ENCODERS = {
    "ridge": Ridge,
    "banded": BandedRidge,
    "factorized": FactorizedReadout,
    "gaussian": GaussianReadout,
    "semantic": SemanticSpatialReadout,
    "routing": RoutingEncoder,
    "response_optimised": ResponseOptimisedEncoder,
    "in_context": InContextEncoder,
}
