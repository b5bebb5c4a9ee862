"""Sections of analyses of geometry and time."""

from brainalign.report.geometry_sections.alignment import ALIGNMENT_TABLES, UNSEEN, alignment_section, failed_alignment
from brainalign.report.geometry_sections.decoding_over_time import decoding_findings as decoding_findings
from brainalign.report.geometry_sections.decoding_over_time import (
    decoding_methods,
    decoding_section,
    gather_recordings,
    recordings_chapter,
)
from brainalign.report.geometry_sections.evoked import evoked_section as evoked_section
from brainalign.report.geometry_sections.identification import (
    IDENTIFICATION_TABLES,
    failed_identification,
    identification_section,
    identification_verdict,
)
from brainalign.report.geometry_sections.matching import MATCHING_TABLES, matching_section
from brainalign.report.geometry_sections.reference_rdms import in_orders, layer_curves, mds_categories, rdm_panel
from brainalign.report.geometry_sections.reference_rdms import reference_bars as reference_bars
from brainalign.report.geometry_sections.searchlights import searchlight_methods as searchlight_methods
from brainalign.report.geometry_sections.searchlights import searchlight_section as searchlight_section
from brainalign.report.geometry_sections.searchlights import searchlight_sentence as searchlight_sentence
from brainalign.report.geometry_sections.searchlights import searchlights_of as searchlights_of
from brainalign.report.geometry_sections.time_course import course_section as course_section
from brainalign.report.geometry_sections.time_course import layer_latencies, rsa_over_time, score_over_time
from brainalign.report.geometry_sections.time_course import left_out_course_section as left_out_course_section
from brainalign.report.geometry_sections.time_course import region_bars as region_bars
from brainalign.report.geometry_sections.time_course import rsa_course_section as rsa_course_section
