"""Captions of voxels."""

from brainalign.synthesis.captions.captioners import (
    ANY,
    AttributeCaptioner,
    Captioner,
    Captions,
    TextCaptioner,
    VocabularyCaptioner,
    bank_shares,
    caption_targets,
    noun_shares,
    project_to_bank,
)
from brainalign.synthesis.captions.prefix_captioner import PrefixCaptioner, train_prefix_captioner
from brainalign.synthesis.captions.scores import CaptionScores, attribute_evidence, caption_scores, temperature_curve
from brainalign.synthesis.captions.study import CaptionStudy, VoxelCaptions, shuffled_weights

__all__ = [
    "ANY", "AttributeCaptioner", "CaptionStudy", "Captioner", "Captions", "PrefixCaptioner", "TextCaptioner",
    "VocabularyCaptioner", "attribute_evidence", "bank_shares", "caption_scores", "caption_targets", "noun_shares",
    "project_to_bank", "shuffled_weights", "temperature_curve", "train_prefix_captioner",
]  # fmt: skip
