"""Readers of recordings, splits of their trials, and the audit that runs before either.

read_fmri        volumes with labels, in blocks        read_betas     a map per trial: surface, volume, CIFTI
read_fmriprep    BIDS derivatives and events           read_epochs    MNE epochs
read_recordings  M/EEG of categories: Muse CSV, MNE epochs, BIDS
read_videos · read_neural  frames that were shown or hidden, and neurons meanwhile
read_judgements  odd-one-out triplets of objects
read_zuco · read_bids_stimuli · read_things_epochs   M/EEG of sentences and images      read_region_series  fMRI
read_subject     whichever of them a descriptor asks for
read_algonauts · read_nsd · read_nsd_cortex · read_things · read_braincorl     published data as they are downloaded
fetch_files      downloads what a descriptor says where to find
audit_study      everything wrong with a dataset of any kind, before anything long is computed
"""

from brainalign.datasets.algonauts import read_algonauts, read_algonauts_images
from brainalign.datasets.area_maps import AreaMaps, area_maps_table, read_area_maps
from brainalign.datasets.audit import audit
from brainalign.datasets.betas import read_betas
from brainalign.datasets.bids import SeriesFile, find_series
from brainalign.datasets.bids_stimuli import read_bids_stimuli
from brainalign.datasets.braincorl import BraincorlSubject, read_braincorl
from brainalign.datasets.coco_captions import coco_captions, nsd_coco_ids
from brainalign.datasets.copies import (
    Fingerprint,
    copied_files,
    copied_recordings,
    copied_trials,
    copy_problems,
    fingerprint,
    response_copies,
)
from brainalign.datasets.cortical_maps import (
    CorticalMaps,
    Parcels,
    parcel_means,
    read_cortical_maps,
    read_glasser,
    read_schaefer,
)
from brainalign.datasets.fetch import Fetched, fetch_files
from brainalign.datasets.fmri import Recording, read_fmri
from brainalign.datasets.fmriprep import read_fmriprep
from brainalign.datasets.image_splits import make_image_split, shared_stimuli, split_rows
from brainalign.datasets.images import ImageAudit, audit_images
from brainalign.datasets.inspection import inspect_responses, inspect_trials, roi_sizes
from brainalign.datasets.leakage import leakage_audit, split_card
from brainalign.datasets.meeg import check_same_channels, read_epochs
from brainalign.datasets.meshes import Mesh, load_mesh
from brainalign.datasets.modalities import ModalityData, check_modality_splits, modality_copies, read_modalities
from brainalign.datasets.near_texts import levenshtein_similarity, match_texts, near_duplicate_texts, text_groups
from brainalign.datasets.nsd import NSD_SCALE, NsdSubject, open_nsd, read_nsd
from brainalign.datasets.nsd_cortex import read_nsd_cortex
from brainalign.datasets.nsd_images import write_nsd_images
from brainalign.datasets.problems import Problem, stop_on
from brainalign.datasets.published import Published
from brainalign.datasets.rdms import (
    RDM_READERS,
    RdmSets,
    rdm_copies,
    read_kriegeskorte92,
    read_rdm_study,
    write_stimulus_images,
)
from brainalign.datasets.recordings import (
    epochs_to_responses,
    make_epochs,
    read_bids_events,
    read_muse,
    read_recordings,
)
from brainalign.datasets.region_runs import RegionRuns, check_sides, detrended, read_region_runs, series_copies
from brainalign.datasets.region_series import RegionSeries, read_region_series
from brainalign.datasets.repeats import repeat_counts, repeats_cube
from brainalign.datasets.sentence_study import (
    read_sentence_study,
    sentence_sensors,
    sentence_splits,
    sentence_trials,
    split_problems,
)
from brainalign.datasets.sentence_text import TYPOS, clean_text, read_task_table, text_hash, text_id
from brainalign.datasets.splits import folds_of, group_labels, make_splits
from brainalign.datasets.study_audit import StudyAudit, audit_study
from brainalign.datasets.subjects import changed_files, image_split, marked_images, read_images_table, read_subject
from brainalign.datasets.text_eeg import TextRecordings, join_recordings
from brainalign.datasets.text_leakage import order_leak, text_leakage
from brainalign.datasets.text_splits import leave_out, make_text_split, order_blocks
from brainalign.datasets.things import read_things
from brainalign.datasets.things_eeg2_raw import read_things_eeg2_raw
from brainalign.datasets.things_images import concept_splits, drop_tested_concepts, things_image_rows
from brainalign.datasets.things_meeg import read_things_epochs
from brainalign.datasets.trials import complete_trials, read_table, read_trials
from brainalign.datasets.triplets import Judgements, read_judgements, read_objects, read_triplets
from brainalign.datasets.videos import Videos, neurons_of, read_neural, read_videos
from brainalign.datasets.whitening import Whitener, fit_whitener, noise_source
from brainalign.datasets.zuco import read_zuco
from brainalign.feature_norms import read_feature_norms

__all__ = [
    "NSD_SCALE",
    "RDM_READERS",
    "TYPOS",
    "AreaMaps",
    "BraincorlSubject",
    "CorticalMaps",
    "Fetched",
    "Fingerprint",
    "ImageAudit",
    "Judgements",
    "Mesh",
    "ModalityData",
    "NsdSubject",
    "Parcels",
    "Problem",
    "Published",
    "RdmSets",
    "Recording",
    "RegionRuns",
    "RegionSeries",
    "SeriesFile",
    "StudyAudit",
    "TextRecordings",
    "Videos",
    "Whitener",
    "area_maps_table",
    "audit",
    "audit_images",
    "audit_study",
    "changed_files",
    "check_modality_splits",
    "check_same_channels",
    "check_sides",
    "clean_text",
    "coco_captions",
    "complete_trials",
    "concept_splits",
    "copied_files",
    "copied_recordings",
    "copied_trials",
    "copy_problems",
    "detrended",
    "drop_tested_concepts",
    "epochs_to_responses",
    "fetch_files",
    "find_series",
    "fingerprint",
    "fit_whitener",
    "folds_of",
    "group_labels",
    "image_split",
    "inspect_responses",
    "inspect_trials",
    "join_recordings",
    "leakage_audit",
    "leave_out",
    "levenshtein_similarity",
    "load_mesh",
    "make_epochs",
    "make_image_split",
    "make_splits",
    "make_text_split",
    "marked_images",
    "match_texts",
    "modality_copies",
    "near_duplicate_texts",
    "neurons_of",
    "noise_source",
    "nsd_coco_ids",
    "open_nsd",
    "order_blocks",
    "order_leak",
    "parcel_means",
    "rdm_copies",
    "read_algonauts",
    "read_algonauts_images",
    "read_area_maps",
    "read_betas",
    "read_bids_events",
    "read_bids_stimuli",
    "read_braincorl",
    "read_cortical_maps",
    "read_epochs",
    "read_feature_norms",
    "read_fmri",
    "read_fmriprep",
    "read_glasser",
    "read_images_table",
    "read_judgements",
    "read_kriegeskorte92",
    "read_modalities",
    "read_muse",
    "read_neural",
    "read_nsd",
    "read_nsd_cortex",
    "read_objects",
    "read_rdm_study",
    "read_recordings",
    "read_region_runs",
    "read_region_series",
    "read_schaefer",
    "read_sentence_study",
    "read_subject",
    "read_table",
    "read_task_table",
    "read_things",
    "read_things_eeg2_raw",
    "read_things_epochs",
    "read_trials",
    "read_triplets",
    "read_videos",
    "read_zuco",
    "repeat_counts",
    "repeats_cube",
    "response_copies",
    "roi_sizes",
    "sentence_sensors",
    "sentence_splits",
    "sentence_trials",
    "series_copies",
    "shared_stimuli",
    "split_card",
    "split_problems",
    "split_rows",
    "stop_on",
    "text_groups",
    "text_hash",
    "text_id",
    "text_leakage",
    "things_image_rows",
    "write_nsd_images",
    "write_stimulus_images",
]
