"""One page a kind of study."""

from brainalign.report.pages.block_sections import sections
from brainalign.report.pages.blocks_figures import mds_points as mds_points
from brainalign.report.pages.blocks_figures import score_against_ceiling as score_against_ceiling
from brainalign.report.pages.concepts import CONCEPT_TABLES, ConceptMaterial, render_concepts_page
from brainalign.report.pages.dynamics import DYNAMICS_TABLES, DynamicsMaterial, render_dynamics_page
from brainalign.report.pages.group import group_figure, render_failed_group, render_group_page
from brainalign.report.pages.group_parts import group_sections
from brainalign.report.pages.image_parts import image_sections as image_sections
from brainalign.report.pages.images import render_image_page
from brainalign.report.pages.modalities import SPACE_TABLES, ModalityMaterial, render_modalities_page
from brainalign.report.pages.modalities import leak_sentence as leak_sentence
from brainalign.report.pages.rdms import beside_trained as beside_trained
from brainalign.report.pages.rdms import render_rdm_page
from brainalign.report.pages.recordings import RecordingMaterial, render_recordings_page
from brainalign.report.pages.sentences import TEXT_TABLES, TextMaterial, render_text_page
from brainalign.report.pages.series import SERIES_TABLES, SeriesMaterial, render_series_page
from brainalign.report.pages.text_sections import sentence_section as sentence_section

__all__ = [
    "CONCEPT_TABLES",
    "DYNAMICS_TABLES",
    "SERIES_TABLES",
    "SPACE_TABLES",
    "TEXT_TABLES",
    "ConceptMaterial",
    "DynamicsMaterial",
    "ModalityMaterial",
    "RecordingMaterial",
    "SeriesMaterial",
    "TextMaterial",
    "group_figure",
    "group_sections",
    "render_concepts_page",
    "render_dynamics_page",
    "render_failed_group",
    "render_group_page",
    "render_image_page",
    "render_modalities_page",
    "render_rdm_page",
    "render_recordings_page",
    "render_series_page",
    "render_text_page",
    "sections",
]
