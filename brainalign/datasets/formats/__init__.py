"""Readers of file formats: one a file."""

from brainalign.datasets.formats.arrays import read_array, target_table
from brainalign.datasets.formats.betas import bad_targets_among, finish_responses, read_betas, read_brain_maps
from brainalign.datasets.formats.bids import SeriesFile, find_series
from brainalign.datasets.formats.bids_stimuli import read_bids_stimuli
from brainalign.datasets.formats.cifti import cifti_axis, grayordinates, read_cifti, read_dlabel
from brainalign.datasets.formats.copies import (
    Fingerprint,
    copied_files,
    copied_recordings,
    copied_trials,
    copy_problems,
    fingerprint,
    response_copies,
)
from brainalign.datasets.formats.copies import of_responses as of_responses
from brainalign.datasets.formats.fmri import NOT_MEASURED as NOT_MEASURED
from brainalign.datasets.formats.fmri import Recording, read_fmri
from brainalign.datasets.formats.fmri import bad_targets_of as bad_targets_of
from brainalign.datasets.formats.fmri import bad_voxels as bad_voxels
from brainalign.datasets.formats.fmri import block_images as block_images
from brainalign.datasets.formats.fmri import block_regions as block_regions
from brainalign.datasets.formats.fmri import find_blocks as find_blocks
from brainalign.datasets.formats.fmri import open_image as open_image
from brainalign.datasets.formats.fmri import read_block_labels as read_block_labels
from brainalign.datasets.formats.fmri import read_labels as read_labels
from brainalign.datasets.formats.fmri import read_volumes as read_volumes
from brainalign.datasets.formats.fmri import voxel_table as voxel_table
from brainalign.datasets.formats.fmriprep import read_confounds, read_fmriprep
from brainalign.datasets.formats.images import ImageAudit, audit_images, audit_texts, near_duplicates
from brainalign.datasets.formats.meeg import check_same_channels, open_epochs, read_epochs, without_bad_sensors
from brainalign.datasets.formats.meshes import load_mesh
from brainalign.datasets.formats.rdms import (
    RdmSets,
    model_rdms,
    rdm_copies,
    rdm_keys,
    read_kriegeskorte92,
    read_rdm_study,
    write_stimulus_images,
)
from brainalign.datasets.formats.recordings import epochs_to_responses, make_epochs, read_muse, read_recordings
from brainalign.datasets.formats.recordings import read_raw_run as read_raw_run
from brainalign.datasets.formats.region_runs import RegionRuns, check_sides, detrended, read_region_runs, series_copies
from brainalign.datasets.formats.region_series import RegionSeries, read_region_series
from brainalign.datasets.formats.surfaces import BACKGROUND as BACKGROUND
from brainalign.datasets.formats.surfaces import SPACES as SPACES
from brainalign.datasets.formats.surfaces import empty_lists as empty_lists
from brainalign.datasets.formats.surfaces import on_mesh as on_mesh
from brainalign.datasets.formats.surfaces import read_maps as read_maps
from brainalign.datasets.formats.surfaces import read_surface_rois as read_surface_rois
from brainalign.datasets.formats.surfaces import region_lists as region_lists
from brainalign.datasets.formats.surfaces import vertex_table as vertex_table
from brainalign.datasets.formats.trials import as_ids, as_numbers, complete_trials, read_table, read_trials
from brainalign.datasets.formats.videos import Videos, neurons_of, read_neural, read_videos
from brainalign.datasets.formats.whitening import Whitener, fit_whitener, noise_source

__all__ = [
    "Recording", "SeriesFile", "audit_images", "complete_trials", "detrended", "epochs_to_responses", "find_series",
    "make_epochs", "open_epochs", "read_array", "read_betas", "read_bids_stimuli", "read_epochs", "read_fmri",
    "read_fmriprep", "read_muse", "read_neural", "read_rdm_study", "read_region_series", "read_table", "read_trials",
    "read_videos",
]  # fmt: skip
