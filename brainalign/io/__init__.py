"""Artifacts, paths, tables and provenance: everything that is read or written, whole or not at all."""

from brainalign.io.array_files import array_shapes, chosen_array, stored_arrays
from brainalign.io.artifact_names import (
    artifact_files,
    artifact_path,
    entities_of,
    place_tables,
    sidecar_path,
    table_path,
)
from brainalign.io.artifacts import load, load_sidecar, open_writer, save
from brainalign.io.files import (
    TensorStream,
    file_digest,
    make_folder,
    write_atomically,
    write_json,
    write_sealed,
    writing,
)
from brainalign.io.maps import CORTEX, brain_maps, voxel_affine
from brainalign.io.provenance import Provenance
from brainalign.io.readers import (
    array_names,
    check_stored,
    image_values,
    load_image_file,
    open_hdf5,
    open_picture,
    read_json,
    read_lines,
    read_npy,
    read_npz,
    read_numbers,
    read_parquet,
    read_safetensors,
    read_sound,
    reading,
)
from brainalign.io.tables import MISSING, no_cell_lost, read_text_table
from brainalign.io.temporary import temporary_folder, temporary_sibling

__all__ = [
    "CORTEX",
    "MISSING",
    "Provenance",
    "TensorStream",
    "array_names",
    "array_shapes",
    "artifact_files",
    "artifact_path",
    "brain_maps",
    "check_stored",
    "chosen_array",
    "entities_of",
    "file_digest",
    "image_values",
    "load",
    "load_image_file",
    "load_sidecar",
    "make_folder",
    "no_cell_lost",
    "open_hdf5",
    "open_picture",
    "open_writer",
    "place_tables",
    "read_json",
    "read_lines",
    "read_npy",
    "read_npz",
    "read_numbers",
    "read_parquet",
    "read_safetensors",
    "read_sound",
    "read_text_table",
    "reading",
    "save",
    "sidecar_path",
    "stored_arrays",
    "table_path",
    "temporary_folder",
    "temporary_sibling",
    "voxel_affine",
    "write_atomically",
    "write_json",
    "write_sealed",
    "writing",
]
