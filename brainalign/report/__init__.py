"""Reports: figures, brain maps, sentences that follow from the numbers, self-contained pages of subjects and groups."""

from brainalign.report.alignment_section import ALIGNMENT_TABLES, alignment_section, no_alignment
from brainalign.report.concepts_page import CONCEPT_TABLES, ConceptMaterial, render_concepts_page
from brainalign.report.convergence import CONVERGENCE_TABLES, convergence_section, no_convergence
from brainalign.report.decoded_times import DECODED_TABLES, DecodedTimes
from brainalign.report.decoding_section import decoding_section
from brainalign.report.directions import directions_section
from brainalign.report.dynamics_page import DYNAMICS_TABLES, DynamicsMaterial, render_dynamics_page
from brainalign.report.failed_controls import FailedControl
from brainalign.report.found_directions import FoundDirections, direction_gains
from brainalign.report.grounding import GROUNDING_TABLES
from brainalign.report.group import group_figure, render_failed_group, render_group_page
from brainalign.report.group_sections import group_sections
from brainalign.report.heads import topomaps
from brainalign.report.identification import (
    IDENTIFICATION_TABLES,
    failed_identification,
    identification_section,
    identification_verdict,
    no_identification,
)
from brainalign.report.image_material import ImageEncoding, ImageMaterial, fit_label
from brainalign.report.image_page import render_image_page
from brainalign.report.layers import layer_preference_maps, layer_profile, roi_layer_heatmap
from brainalign.report.matching import MATCHING_TABLES, matching_section, no_matching
from brainalign.report.material import Failure, Material
from brainalign.report.modalities_page import SPACE_TABLES, ModalityMaterial, render_modalities_page
from brainalign.report.page import Panel, Section, render_page
from brainalign.report.rdm_page import render_rdm_page
from brainalign.report.recordings_page import RecordingMaterial, render_recordings_page
from brainalign.report.recovery import planted_ceilings, planted_latencies, planted_layers, planted_preferences
from brainalign.report.reference_rdms import layer_curves, layer_verdict, mds_categories, rdm_grid, reference_bars
from brainalign.report.sections import sections
from brainalign.report.series_page import SERIES_TABLES, SeriesMaterial, render_series_page
from brainalign.report.surface import SurfaceMap, flat_maps, significant, surface_map
from brainalign.report.surface_viewer import surface_viewer
from brainalign.report.synthesised import SYNTHESIS_TABLES, SynthesisedImages
from brainalign.report.tables import comparison_table, html_table, leakage_box, score_table, split_card
from brainalign.report.text_page import TEXT_TABLES, TextMaterial, render_text_page
from brainalign.report.timecourse import layer_latencies, rsa_over_time, score_over_time
from brainalign.report.voxel_captions import CAPTION_TABLES

__all__ = [
    "ALIGNMENT_TABLES",
    "CAPTION_TABLES",
    "CONCEPT_TABLES",
    "CONVERGENCE_TABLES",
    "DECODED_TABLES",
    "DYNAMICS_TABLES",
    "GROUNDING_TABLES",
    "IDENTIFICATION_TABLES",
    "MATCHING_TABLES",
    "SERIES_TABLES",
    "SPACE_TABLES",
    "SYNTHESIS_TABLES",
    "TEXT_TABLES",
    "ConceptMaterial",
    "DecodedTimes",
    "DynamicsMaterial",
    "FailedControl",
    "Failure",
    "FoundDirections",
    "ImageEncoding",
    "ImageMaterial",
    "Material",
    "ModalityMaterial",
    "Panel",
    "RecordingMaterial",
    "Section",
    "SeriesMaterial",
    "SurfaceMap",
    "SynthesisedImages",
    "TextMaterial",
    "alignment_section",
    "comparison_table",
    "convergence_section",
    "decoding_section",
    "direction_gains",
    "directions_section",
    "failed_identification",
    "fit_label",
    "flat_maps",
    "group_figure",
    "group_sections",
    "html_table",
    "identification_section",
    "identification_verdict",
    "layer_curves",
    "layer_latencies",
    "layer_preference_maps",
    "layer_profile",
    "layer_verdict",
    "leakage_box",
    "matching_section",
    "mds_categories",
    "no_alignment",
    "no_convergence",
    "no_identification",
    "no_matching",
    "planted_ceilings",
    "planted_latencies",
    "planted_layers",
    "planted_preferences",
    "rdm_grid",
    "reference_bars",
    "render_concepts_page",
    "render_dynamics_page",
    "render_failed_group",
    "render_group_page",
    "render_image_page",
    "render_modalities_page",
    "render_page",
    "render_rdm_page",
    "render_recordings_page",
    "render_series_page",
    "render_text_page",
    "roi_layer_heatmap",
    "rsa_over_time",
    "score_over_time",
    "score_table",
    "sections",
    "significant",
    "split_card",
    "surface_map",
    "surface_viewer",
    "topomaps",
]
