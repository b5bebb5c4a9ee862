"""Ridge and banded ridge, on one machine and on many, and the training loop of networks."""

from brainalign.regression.banded import BandedRidge, band_candidates
from brainalign.regression.delays import DelayedFeatures as DelayedFeatures
from brainalign.regression.design import blocks_of, design_of
from brainalign.regression.distributed_ridge import DistributedRidge, cluster, fit_distributed, slurm_cluster
from brainalign.regression.fold_scores import block_of, scores
from brainalign.regression.folds import FewFilters, InnerFold, Layout, few_filters, inner_folds, layout
from brainalign.regression.inputs import Array as Array
from brainalign.regression.inputs import MeanScore as MeanScore
from brainalign.regression.inputs import as_tensor as as_tensor
from brainalign.regression.inputs import check_arrays as check_arrays
from brainalign.regression.inputs import check_kind as check_kind
from brainalign.regression.inputs import check_shapes as check_shapes
from brainalign.regression.inputs import labels_of as labels_of
from brainalign.regression.inputs import refuse as refuse
from brainalign.regression.inputs import same_kind_as as same_kind_as
from brainalign.regression.ridge import ALPHAS, Ridge, fit_layers
from brainalign.regression.rotation import centred_product, rotate, spectrum
from brainalign.regression.tasks import NpyFile as NpyFile
from brainalign.regression.threads import in_threads, side_by_side, threads_for
from brainalign.regression.training import Checkpoint as Checkpoint
from brainalign.regression.training import Epoch as Epoch
from brainalign.regression.training import Training as Training
from brainalign.regression.training import carve_validation as carve_validation
from brainalign.regression.training import check_validation as check_validation
from brainalign.regression.training import descend as descend
from brainalign.regression.training import digest_of as digest_of
from brainalign.regression.training import read_state as read_state
from brainalign.regression.training import train as train
from brainalign.regression.variance_partition import BandedEncoder, Partition, partition
