"""Sections of synthesised images, captions and words."""

from brainalign.report.synthesis_sections.directions import directions_section
from brainalign.report.synthesis_sections.grounding import GROUNDING_TABLES
from brainalign.report.synthesis_sections.grounding import grounding_methods as grounding_methods
from brainalign.report.synthesis_sections.grounding import grounding_section as grounding_section
from brainalign.report.synthesis_sections.grounding import region_sentences as region_sentences
from brainalign.report.synthesis_sections.grounding import retrieval_sentence as retrieval_sentence
from brainalign.report.synthesis_sections.sheets import MOST_COLUMNS as MOST_COLUMNS
from brainalign.report.synthesis_sections.sheets import SIDE as SIDE
from brainalign.report.synthesis_sections.sheets import Strip as Strip
from brainalign.report.synthesis_sections.sheets import contact_sheet as contact_sheet
from brainalign.report.synthesis_sections.sheets import failures as failures
from brainalign.report.synthesis_sections.sheets import gallery as gallery
from brainalign.report.synthesis_sections.sheets import minimal_pairs as minimal_pairs
from brainalign.report.synthesis_sections.sheets import nulls as nulls
from brainalign.report.synthesis_sections.sheets import scale_sweep as scale_sweep
from brainalign.report.synthesis_sections.sheets import specificity as specificity
from brainalign.report.synthesis_sections.sheets import step_trace as step_trace
from brainalign.report.synthesis_sections.synthesis import GALLERIES as GALLERIES
from brainalign.report.synthesis_sections.synthesis import MOST_DRAWN as MOST_DRAWN
from brainalign.report.synthesis_sections.synthesis import gains_table as gains_table
from brainalign.report.synthesis_sections.synthesis import means_table as means_table
from brainalign.report.synthesis_sections.synthesis import synthesis_blocks as synthesis_blocks
from brainalign.report.synthesis_sections.synthesis import synthesis_section as synthesis_section
from brainalign.report.synthesis_sections.synthesis import synthesis_text as synthesis_text
from brainalign.report.synthesis_sections.synthesis_words import contests as contests
from brainalign.report.synthesis_sections.synthesis_words import matched_sentence as matched_sentence
from brainalign.report.synthesis_sections.synthesis_words import objections as objections
from brainalign.report.synthesis_sections.synthesis_words import specific_sentence as specific_sentence
from brainalign.report.synthesis_sections.synthesis_words import synthesis_findings as synthesis_findings
from brainalign.report.synthesis_sections.synthesis_words import synthesis_methods as synthesis_methods
from brainalign.report.synthesis_sections.synthesis_words import verdict as verdict
from brainalign.report.synthesis_sections.synthesis_words import warning as warning
from brainalign.report.synthesis_sections.voxel_captions import CAPTION_TABLES
from brainalign.report.synthesis_sections.voxel_captions import caption_methods as caption_methods
from brainalign.report.synthesis_sections.voxel_captions import caption_verdict as caption_verdict
from brainalign.report.synthesis_sections.voxel_captions import voxel_captions_section as voxel_captions_section
