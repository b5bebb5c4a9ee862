"""Ridge and banded ridge, on one machine and on many, and the training loop of networks."""

from brainalign.regression.banded import BandedRidge, band_candidates
from brainalign.regression.design import blocks_of, design_of
from brainalign.regression.distributed_ridge import cluster, fit_distributed, slurm_cluster
from brainalign.regression.fold_scores import block_of, scores
from brainalign.regression.folds import FewFilters, InnerFold, Layout, few_filters, inner_folds, layout
from brainalign.regression.inputs import (
    Array,
    MeanScore,
    as_tensor,
    check_arrays,
    check_shapes,
    labels_of,
    refuse,
    same_kind_as,
)
from brainalign.regression.ridge import ALPHAS, Ridge, fit_layers
from brainalign.regression.rotation import rotate, spectrum
from brainalign.regression.tasks import NpyFile
from brainalign.regression.threads import in_threads, side_by_side, threads_for
from brainalign.regression.training import (
    Checkpoint,
    Epoch,
    Training,
    carve_validation,
    check_validation,
    descend,
    digest_of,
    read_state,
    train,
)
from brainalign.regression.variance_partition import BandedEncoder, Partition, partition

__all__ = [
    "ALPHAS",
    "Array",
    "BandedEncoder",
    "BandedRidge",
    "Checkpoint",
    "Epoch",
    "FewFilters",
    "InnerFold",
    "Layout",
    "MeanScore",
    "NpyFile",
    "Partition",
    "Ridge",
    "Training",
    "as_tensor",
    "band_candidates",
    "block_of",
    "blocks_of",
    "carve_validation",
    "check_arrays",
    "check_shapes",
    "check_validation",
    "cluster",
    "descend",
    "design_of",
    "digest_of",
    "few_filters",
    "fit_distributed",
    "fit_layers",
    "in_threads",
    "inner_folds",
    "labels_of",
    "layout",
    "partition",
    "read_state",
    "refuse",
    "rotate",
    "same_kind_as",
    "scores",
    "side_by_side",
    "slurm_cluster",
    "spectrum",
    "threads_for",
    "train",
]
