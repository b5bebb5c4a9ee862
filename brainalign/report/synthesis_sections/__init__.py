"""Sections of synthesised images, captions and words."""

from brainalign.report.synthesis_sections.directions import directions_section
from brainalign.report.synthesis_sections.grounding import (
    GROUNDING_TABLES,
    grounding_methods,
    grounding_section,
    region_sentences,
    retrieval_sentence,
)
from brainalign.report.synthesis_sections.methods_text import synthesis_findings, synthesis_methods
from brainalign.report.synthesis_sections.sheets import MOST_COLUMNS, SIDE, Strip, contact_sheet
from brainalign.report.synthesis_sections.synthesis import (
    GALLERIES,
    MOST_DRAWN,
    synthesis_blocks,
    synthesis_section,
    synthesis_text,
)
from brainalign.report.synthesis_sections.synthesis_figures import nulls, scale_sweep, specificity, step_trace
from brainalign.report.synthesis_sections.synthesis_images import failures, gallery, minimal_pairs
from brainalign.report.synthesis_sections.synthesis_tables import gains_table, means_table
from brainalign.report.synthesis_sections.synthesis_words import (
    contests,
    matched_sentence,
    objections,
    specific_sentence,
    verdict,
    warning,
)
from brainalign.report.synthesis_sections.voxel_captions import (
    CAPTION_TABLES,
    caption_methods,
    caption_verdict,
    voxel_captions_section,
)

__all__ = [
    "CAPTION_TABLES",
    "GALLERIES",
    "GROUNDING_TABLES",
    "MOST_COLUMNS",
    "MOST_DRAWN",
    "SIDE",
    "Strip",
    "caption_methods",
    "caption_verdict",
    "contact_sheet",
    "contests",
    "directions_section",
    "failures",
    "gains_table",
    "gallery",
    "grounding_methods",
    "grounding_section",
    "matched_sentence",
    "means_table",
    "minimal_pairs",
    "nulls",
    "objections",
    "region_sentences",
    "retrieval_sentence",
    "scale_sweep",
    "specific_sentence",
    "specificity",
    "step_trace",
    "synthesis_blocks",
    "synthesis_findings",
    "synthesis_methods",
    "synthesis_section",
    "synthesis_text",
    "verdict",
    "voxel_captions_section",
    "warning",
]
