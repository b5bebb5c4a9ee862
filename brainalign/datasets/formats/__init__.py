"""Readers of file formats: one a file."""

from brainalign.datasets.formats.arrays import read_array
from brainalign.datasets.formats.betas import finish_responses, read_betas
from brainalign.datasets.formats.bids import SeriesFile, find_series
from brainalign.datasets.formats.bids_stimuli import read_bids_stimuli
from brainalign.datasets.formats.cifti import CORTEX, cifti_axis, grayordinates, read_cifti, read_dlabel
from brainalign.datasets.formats.copies import (
    Fingerprint,
    copied_files,
    copied_recordings,
    copied_trials,
    copy_problems,
    fingerprint,
    of_responses,
    response_copies,
)
from brainalign.datasets.formats.fmri import (
    Recording,
    bad_voxels,
    find_blocks,
    open_image,
    read_fmri,
    read_labels,
    read_volumes,
    voxel_table,
)
from brainalign.datasets.formats.fmriprep import read_confounds, read_fmriprep
from brainalign.datasets.formats.images import ImageAudit, audit_images, near_duplicates
from brainalign.datasets.formats.meeg import check_same_channels, read_epochs, without_bad_sensors
from brainalign.datasets.formats.meshes import Mesh, load_mesh
from brainalign.datasets.formats.rdms import (
    RDM_READERS,
    RdmSets,
    rdm_copies,
    read_kriegeskorte92,
    read_rdm_study,
    write_stimulus_images,
)
from brainalign.datasets.formats.recordings import (
    epochs_to_responses,
    make_epochs,
    read_bids_events,
    read_muse,
    read_recordings,
)
from brainalign.datasets.formats.region_runs import RegionRuns, check_sides, detrended, read_region_runs, series_copies
from brainalign.datasets.formats.region_series import RegionSeries, read_region_series
from brainalign.datasets.formats.surfaces import (
    BACKGROUND,
    SPACES,
    empty_lists,
    read_maps,
    read_surface_rois,
    vertex_table,
)
from brainalign.datasets.formats.trials import complete_trials, read_table, read_trials
from brainalign.datasets.formats.videos import Videos, neurons_of, read_neural, read_videos
from brainalign.datasets.formats.whitening import Whitener, fit_whitener, noise_source

__all__ = [
    "BACKGROUND",
    "CORTEX",
    "RDM_READERS",
    "SPACES",
    "Fingerprint",
    "ImageAudit",
    "Mesh",
    "RdmSets",
    "Recording",
    "RegionRuns",
    "RegionSeries",
    "SeriesFile",
    "Videos",
    "Whitener",
    "audit_images",
    "bad_voxels",
    "check_same_channels",
    "check_sides",
    "cifti_axis",
    "complete_trials",
    "copied_files",
    "copied_recordings",
    "copied_trials",
    "copy_problems",
    "detrended",
    "empty_lists",
    "epochs_to_responses",
    "find_blocks",
    "find_series",
    "fingerprint",
    "finish_responses",
    "fit_whitener",
    "grayordinates",
    "load_mesh",
    "make_epochs",
    "near_duplicates",
    "neurons_of",
    "noise_source",
    "of_responses",
    "open_image",
    "rdm_copies",
    "read_array",
    "read_betas",
    "read_bids_events",
    "read_bids_stimuli",
    "read_cifti",
    "read_confounds",
    "read_dlabel",
    "read_epochs",
    "read_fmri",
    "read_fmriprep",
    "read_kriegeskorte92",
    "read_labels",
    "read_maps",
    "read_muse",
    "read_neural",
    "read_rdm_study",
    "read_recordings",
    "read_region_runs",
    "read_region_series",
    "read_surface_rois",
    "read_table",
    "read_trials",
    "read_videos",
    "read_volumes",
    "response_copies",
    "series_copies",
    "vertex_table",
    "voxel_table",
    "without_bad_sensors",
    "write_stimulus_images",
]
