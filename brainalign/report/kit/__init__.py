"""What pages are made of: figures, maps, tables, sentences, and what is drawn."""

from brainalign.checks import check_columns
from brainalign.report.kit.canvas import CEILING as CEILING
from brainalign.report.kit.canvas import CEILING_LINE as CEILING_LINE
from brainalign.report.kit.canvas import COLOURS as COLOURS
from brainalign.report.kit.canvas import GAP as GAP
from brainalign.report.kit.canvas import GREY as GREY
from brainalign.report.kit.canvas import HIDDEN as HIDDEN
from brainalign.report.kit.canvas import MOST_BYTES as MOST_BYTES
from brainalign.report.kit.canvas import MOST_MARKS as MOST_MARKS
from brainalign.report.kit.canvas import MOST_PIXELS as MOST_PIXELS
from brainalign.report.kit.canvas import NULL as NULL
from brainalign.report.kit.canvas import STRIP as STRIP
from brainalign.report.kit.canvas import band as band
from brainalign.report.kit.canvas import cell_text as cell_text
from brainalign.report.kit.canvas import composite as composite
from brainalign.report.kit.canvas import compressed as compressed
from brainalign.report.kit.canvas import label_axes as label_axes
from brainalign.report.kit.canvas import layer_colours as layer_colours
from brainalign.report.kit.canvas import legend_below as legend_below
from brainalign.report.kit.canvas import legend_name as legend_name
from brainalign.report.kit.canvas import letter as letter
from brainalign.report.kit.canvas import model_colours as model_colours
from brainalign.report.kit.canvas import name_point as name_point
from brainalign.report.kit.canvas import new_figure as new_figure
from brainalign.report.kit.canvas import panel_grid as panel_grid
from brainalign.report.kit.canvas import picture_bytes as picture_bytes
from brainalign.report.kit.canvas import share_axis as share_axis
from brainalign.report.kit.captions import CAPTIONS, EXPLAINED
from brainalign.report.kit.citations import CITATIONS as CITATIONS
from brainalign.report.kit.drawings import name_marks as name_marks
from brainalign.report.kit.failed_controls import SPREADS as SPREADS
from brainalign.report.kit.failed_controls import TO_95 as TO_95
from brainalign.report.kit.failed_controls import FailedControl
from brainalign.report.kit.failed_controls import above_spread as above_spread
from brainalign.report.kit.failed_controls import before_onset as before_onset
from brainalign.report.kit.failed_controls import by_name as by_name
from brainalign.report.kit.failed_controls import failed_spaces as failed_spaces
from brainalign.report.kit.failed_controls import failed_windows as failed_windows
from brainalign.report.kit.failed_controls import too_early as too_early
from brainalign.report.kit.figure_files import write_figures
from brainalign.report.kit.found_directions import SUREST, FoundDirections, direction_gains, directions_of
from brainalign.report.kit.heads import HEAD_RADIUS, flatten_positions, lie_on_the_head, topomaps
from brainalign.report.kit.image_material import ImageEncoding, ImageMaterial, thumbnails
from brainalign.report.kit.material import DecodedTimes, Failure, Material, StudyMaterial, SubjectMaterial
from brainalign.report.kit.model_ranking import Ceiling, Pairs, ranked_models
from brainalign.report.kit.page import Answer, Chapter, Panel, Section, captioned, drawn_sections, render_page, together
from brainalign.report.kit.page import drawn_of as drawn_of
from brainalign.report.kit.sentences import FEW_STIMULI as FEW_STIMULI
from brainalign.report.kit.sentences import cleaning_words as cleaning_words
from brainalign.report.kit.sentences import findings as findings
from brainalign.report.kit.sentences import methods_text as methods_text
from brainalign.report.kit.sentences import rdm_methods as rdm_methods
from brainalign.report.kit.sentences import reading_methods as reading_methods
from brainalign.report.kit.sentences import recordings_text as recordings_text
from brainalign.report.kit.shelf import Shelf, decoded_times_of
from brainalign.report.kit.surface import N_VERTICES as N_VERTICES
from brainalign.report.kit.surface import SurfaceMap, flat_maps, significant, surface_map
from brainalign.report.kit.surface import drawn_vertices as drawn_vertices
from brainalign.report.kit.surface import face_values as face_values
from brainalign.report.kit.synthesised import JUDGES as JUDGES
from brainalign.report.kit.synthesised import PLAUSIBLE as PLAUSIBLE
from brainalign.report.kit.synthesised import SYNTHESIS_TABLES, SynthesisedImages
from brainalign.report.kit.synthesised import synthesised_images_of as synthesised_images_of
from brainalign.report.kit.tables import LEVEL as LEVEL
from brainalign.report.kit.tables import Columns as Columns
from brainalign.report.kit.tables import better_model as better_model
from brainalign.report.kit.tables import between as between
from brainalign.report.kit.tables import comparison_table, html_table, row_table, score_table
from brainalign.report.kit.tables import corrected_p as corrected_p
from brainalign.report.kit.tables import folded as folded
from brainalign.report.kit.tables import interval as interval
from brainalign.report.kit.tables import layer_name as layer_name
from brainalign.report.kit.tables import least_p as least_p
from brainalign.report.kit.tables import number as number
from brainalign.report.kit.tables import p_equals as p_equals
from brainalign.report.kit.tables import p_number as p_number
from brainalign.report.kit.tables import p_value as p_value
from brainalign.report.kit.tables import rows_where as rows_where
from brainalign.report.kit.tables import signed as signed
from brainalign.report.kit.tables import space_name as space_name
from brainalign.report.kit.tables import with_interval as with_interval
from brainalign.report.kit.target_maps import IN_MNI as IN_MNI
from brainalign.report.kit.target_maps import TargetMap as TargetMap
from brainalign.report.kit.target_maps import draw_map as draw_map
from brainalign.report.kit.target_maps import maps_in_mni as maps_in_mni
from brainalign.report.kit.target_maps import place_map as place_map
from brainalign.report.kit.target_maps import place_marks as place_marks
from brainalign.report.kit.target_maps import score_histogram as score_histogram
from brainalign.report.kit.target_maps import slice_positions as slice_positions
from brainalign.report.kit.target_maps import target_map as target_map
from brainalign.report.kit.viewer import map_codes, surface_assets, surface_viewer, volume_viewer
