"""Which depth of a network predicts which area, and when in training."""

from brainalign.encoding.convergence.checkpoints import CheckpointCurves, checkpoint_curves, half_times
from brainalign.encoding.convergence.scores import Convergence, LayerScores, convergence_scores
from brainalign.encoding.convergence.scores import layer_orders as layer_orders
from brainalign.encoding.convergence.scores import temporal_score as temporal_score
from brainalign.encoding.convergence.subject_convergence import SubjectConvergence, converge_subjects, mean_scores

__all__ = ["Convergence", "LayerScores", "checkpoint_curves", "converge_subjects", "convergence_scores", "half_times"]
