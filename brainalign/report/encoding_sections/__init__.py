"""Sections of encoding analyses."""

from brainalign.report.encoding_sections.contest import contest_methods as contest_methods
from brainalign.report.encoding_sections.contest import contest_scores as contest_scores
from brainalign.report.encoding_sections.contest import contest_section as contest_section
from brainalign.report.encoding_sections.contest import contest_sentence as contest_sentence
from brainalign.report.encoding_sections.contest import winner_maps as winner_maps
from brainalign.report.encoding_sections.convergence import CONVERGENCE_TABLES, convergence_section, map_correlations
from brainalign.report.encoding_sections.encoders import attention_maps as attention_maps
from brainalign.report.encoding_sections.encoders import dictionaries_section as dictionaries_section
from brainalign.report.encoding_sections.encoders import encoder_scores as encoder_scores
from brainalign.report.encoding_sections.encoders import encoders_section as encoders_section
from brainalign.report.encoding_sections.encoders import field_maps as field_maps
from brainalign.report.encoding_sections.encoders import layer_weights as layer_weights
from brainalign.report.encoding_sections.few_images import context_curves, few_images_section
from brainalign.report.encoding_sections.layers import MOST_PANELS as MOST_PANELS
from brainalign.report.encoding_sections.layers import layer_preference_maps, layer_profile, roi_layer_heatmap
from brainalign.report.encoding_sections.layers import layers_section as layers_section
from brainalign.report.encoding_sections.layers import maps_section as maps_section
from brainalign.report.encoding_sections.layers import panels_in_mni as panels_in_mni
from brainalign.report.encoding_sections.layers import score_maps as score_maps
from brainalign.report.encoding_sections.partition import partition_section as partition_section
from brainalign.report.encoding_sections.partition import penalty_ends as penalty_ends
from brainalign.report.encoding_sections.recovery import (
    planted_ceilings,
    planted_latencies,
    planted_layers,
    planted_preferences,
    recovered_words,
)
from brainalign.report.encoding_sections.regions import group_regions as group_regions
from brainalign.report.encoding_sections.regions import region_rows as region_rows
from brainalign.report.encoding_sections.regions import regions_section as regions_section
