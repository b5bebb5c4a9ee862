"""Readers of recordings, splits of their trials, and the audit that runs before either."""

from brainalign.datasets.audit import Problem, audit
from brainalign.datasets.fmri import Recording, read_fmri
from brainalign.datasets.rdms import (
    RDM_READERS,
    RdmStudy,
    read_kriegeskorte92,
    read_rdm_study,
    write_stimulus_images,
)
from brainalign.datasets.splits import folds_of, group_labels, make_splits

__all__ = [
    "RDM_READERS",
    "Problem",
    "RdmStudy",
    "Recording",
    "audit",
    "folds_of",
    "group_labels",
    "make_splits",
    "read_fmri",
    "read_kriegeskorte92",
    "read_rdm_study",
    "write_stimulus_images",
]
