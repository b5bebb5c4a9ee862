"""Chapters of pages: how each is gathered from the shelf, and told."""

from brainalign.report.pages.answers import answer_of_group, answer_of_rdms, answer_of_runs
from brainalign.report.pages.block_sections import blocks_chapter, gather_blocks
from brainalign.report.pages.blocks_figures import mds_points, score_against_ceiling
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
from brainalign.report.pages.image_parts import gather_images, image_sections
from brainalign.report.pages.images import images_chapter
from brainalign.report.pages.modalities import gather_modalities, leak_sentence, modalities_chapter
from brainalign.report.pages.rdms import beside_trained, gather_rdms, rdms_chapter
from brainalign.report.pages.sentences import TextMaterial, gather_text, text_chapter
from brainalign.report.pages.series import gather_series, series_chapter
from brainalign.report.pages.text_sections import sentence_section as sentence_section
