"""Chapters of pages: how each is gathered from the shelf, and told."""

from brainalign.report.pages.answers import answer_of_group as answer_of_group
from brainalign.report.pages.answers import answer_of_rdms as answer_of_rdms
from brainalign.report.pages.answers import answer_of_runs as answer_of_runs
from brainalign.report.pages.block_sections import blocks_chapter, gather_blocks
from brainalign.report.pages.blocks_figures import mds_points as mds_points
from brainalign.report.pages.blocks_figures import score_against_ceiling as score_against_ceiling
from brainalign.report.pages.concepts import concepts_chapter, gather_concepts
from brainalign.report.pages.continuous import continuous_chapter, gather_continuous
from brainalign.report.pages.dynamics import dynamics_chapter, gather_dynamics
from brainalign.report.pages.group import failed_chapter as failed_chapter
from brainalign.report.pages.group import gather_group, group_chapter, group_figure, group_sections, scores_chapter
from brainalign.report.pages.group_of_blocks import gather_group_of_blocks, group_of_blocks_chapter
from brainalign.report.pages.group_of_recordings import GroupOfRecordings as GroupOfRecordings
from brainalign.report.pages.group_of_recordings import gather_group_of_recordings as gather_group_of_recordings
from brainalign.report.pages.group_of_recordings import group_courses as group_courses
from brainalign.report.pages.group_of_recordings import group_of_recordings_chapter as group_of_recordings_chapter
from brainalign.report.pages.group_of_runs import gather_group_of_runs, group_of_runs_chapter
from brainalign.report.pages.image_parts import gather_images
from brainalign.report.pages.image_parts import image_sections as image_sections
from brainalign.report.pages.images import images_chapter
from brainalign.report.pages.modalities import gather_modalities, modalities_chapter
from brainalign.report.pages.modalities import leak_sentence as leak_sentence
from brainalign.report.pages.rdms import beside_trained as beside_trained
from brainalign.report.pages.rdms import gather_rdms, rdms_chapter
from brainalign.report.pages.sentences import TextMaterial, gather_text, text_chapter
from brainalign.report.pages.series import gather_series, series_chapter
from brainalign.report.pages.text_sections import sentence_section as sentence_section

__all__ = [
    "TextMaterial",
    "blocks_chapter",
    "concepts_chapter",
    "continuous_chapter",
    "dynamics_chapter",
    "gather_blocks",
    "gather_concepts",
    "gather_continuous",
    "gather_dynamics",
    "gather_group",
    "gather_group_of_blocks",
    "gather_group_of_runs",
    "gather_images",
    "gather_modalities",
    "gather_rdms",
    "gather_series",
    "gather_text",
    "group_chapter",
    "group_figure",
    "group_of_blocks_chapter",
    "group_of_runs_chapter",
    "group_sections",
    "images_chapter",
    "modalities_chapter",
    "rdms_chapter",
    "scores_chapter",
    "series_chapter",
    "text_chapter",
]
