"""Readers of recordings, splits of their trials, and the audit that runs before either."""

from brainalign.datasets.audit import Problem, audit
from brainalign.datasets.fmri import Recording, read_fmri
from brainalign.datasets.splits import folds_of, group_labels, make_splits

__all__ = ["Problem", "Recording", "audit", "folds_of", "group_labels", "make_splits", "read_fmri"]
