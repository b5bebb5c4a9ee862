"""Compare neural networks with brains: one pipeline from stimuli and recordings to a report per subject."""

__version__ = "0.1.0"
