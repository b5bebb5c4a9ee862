"""Artifacts, paths, tables and provenance: everything that is read or written, whole or not at all."""

from brainalign.io.array_files import Shapes, array_shapes, chosen_array, located_array, stored_arrays
from brainalign.io.artifact_names import artifact_files as artifact_files
from brainalign.io.artifact_names import artifact_path as artifact_path
from brainalign.io.artifact_names import entities_of as entities_of
from brainalign.io.artifact_names import place_tables as place_tables
from brainalign.io.artifact_names import sidecar_path as sidecar_path
from brainalign.io.artifact_names import table_path as table_path
from brainalign.io.artifacts import load, load_sidecar, open_writer, save
from brainalign.io.files import TensorStream as TensorStream
from brainalign.io.files import file_digest as file_digest
from brainalign.io.files import make_folder as make_folder
from brainalign.io.files import write_atomically as write_atomically
from brainalign.io.files import write_json as write_json
from brainalign.io.files import write_sealed as write_sealed
from brainalign.io.files import write_table as write_table
from brainalign.io.files import writing as writing
from brainalign.io.maps import CORTEX, brain_maps, inflated_fslr, packed_labels, voxel_affine
from brainalign.io.media import film_length, film_of, name_frame, open_pictures, read_sound
from brainalign.io.provenance import Provenance as Provenance
from brainalign.io.readers import array_names as array_names
from brainalign.io.readers import check_stored as check_stored
from brainalign.io.readers import counting_order as counting_order
from brainalign.io.readers import image_values as image_values
from brainalign.io.readers import load_ahead as load_ahead
from brainalign.io.readers import load_image_file as load_image_file
from brainalign.io.readers import open_hdf5 as open_hdf5
from brainalign.io.readers import open_picture as open_picture
from brainalign.io.readers import open_text as open_text
from brainalign.io.readers import read_json as read_json
from brainalign.io.readers import read_lines as read_lines
from brainalign.io.readers import read_npy as read_npy
from brainalign.io.readers import read_npz as read_npz
from brainalign.io.readers import read_numbers as read_numbers
from brainalign.io.readers import read_parquet as read_parquet
from brainalign.io.readers import read_safetensors as read_safetensors
from brainalign.io.readers import reading as reading
from brainalign.io.tables import MISSING, no_cell_lost, read_text_table
from brainalign.io.temporary import temporary_folder, temporary_sibling
