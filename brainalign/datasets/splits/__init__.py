"""Splits into training and test, and what leaks between them."""

from brainalign.datasets.splits.image_splits import make_image_split, split_rows
from brainalign.datasets.splits.leakage import leakage_audit, split_card
from brainalign.datasets.splits.repeats import repeat_counts, repeats_cube
from brainalign.datasets.splits.splits import folds_of, group_labels, make_splits

__all__ = ["folds_of", "leakage_audit", "make_image_split", "make_splits"]
