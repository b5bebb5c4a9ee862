"""Sections of encoding analyses."""

from brainalign.report.encoding_sections.contest import (
    contest_methods,
    contest_scores,
    contest_section,
    contest_sentence,
    winner_maps,
)
from brainalign.report.encoding_sections.convergence import CONVERGENCE_TABLES, convergence_section, no_convergence
from brainalign.report.encoding_sections.convergence_figures import map_correlations
from brainalign.report.encoding_sections.cortex_sections import MOST_PANELS, layers_section, maps_section
from brainalign.report.encoding_sections.dictionaries import dictionaries_section
from brainalign.report.encoding_sections.encoders import attention_maps, encoder_scores, encoders_section, field_maps
from brainalign.report.encoding_sections.few_images import LOWEST, curves, few_images_section
from brainalign.report.encoding_sections.layer_shares import layer_weights
from brainalign.report.encoding_sections.layers import (
    PROFILE_COLUMNS,
    layer_preference_maps,
    layer_profile,
    roi_layer_heatmap,
)
from brainalign.report.encoding_sections.partition import partition_section
from brainalign.report.encoding_sections.recovery import (
    planted_ceilings,
    planted_latencies,
    planted_layers,
    planted_preferences,
)

__all__ = [
    "CONVERGENCE_TABLES",
    "LOWEST",
    "MOST_PANELS",
    "PROFILE_COLUMNS",
    "attention_maps",
    "contest_methods",
    "contest_scores",
    "contest_section",
    "contest_sentence",
    "convergence_section",
    "curves",
    "dictionaries_section",
    "encoder_scores",
    "encoders_section",
    "few_images_section",
    "field_maps",
    "layer_preference_maps",
    "layer_profile",
    "layer_weights",
    "layers_section",
    "map_correlations",
    "maps_section",
    "no_convergence",
    "partition_section",
    "planted_ceilings",
    "planted_latencies",
    "planted_layers",
    "planted_preferences",
    "roi_layer_heatmap",
    "winner_maps",
]
