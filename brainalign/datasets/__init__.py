"""Readers of recordings, splits of their trials, and the audit that runs before either.

read_fmri        volumes with labels, in blocks        read_betas     a map per trial: surface, volume, CIFTI
read_fmriprep    BIDS derivatives and events           read_epochs    MNE epochs
read_recordings  M/EEG of categories: Muse CSV, MNE epochs, BIDS
read_videos · read_neural  frames that were shown or hidden, and neurons meanwhile
read_judgements  odd-one-out triplets of objects
read_subject     whichever of them a descriptor asks for
read_algonauts · read_nsd · read_nsd_cortex · read_things · read_braincorl     published data as they are downloaded
audit_study      everything wrong with a dataset of any kind, before anything long is computed
"""

from brainalign.datasets.algonauts import read_algonauts, read_algonauts_images
from brainalign.datasets.area_maps import AreaMaps, area_maps_table, read_area_maps
from brainalign.datasets.audit import audit
from brainalign.datasets.betas import read_betas
from brainalign.datasets.braincorl import BraincorlSubject, read_braincorl
from brainalign.datasets.coco_captions import coco_captions, nsd_coco_ids
from brainalign.datasets.cortical_maps import (
    CorticalMaps,
    Parcels,
    parcel_means,
    read_cortical_maps,
    read_glasser,
    read_schaefer,
)
from brainalign.datasets.fmri import Recording, read_fmri
from brainalign.datasets.fmriprep import read_fmriprep
from brainalign.datasets.image_splits import make_image_split, shared_stimuli, split_rows
from brainalign.datasets.images import ImageAudit, audit_images
from brainalign.datasets.inspection import inspect_responses, inspect_trials, roi_sizes
from brainalign.datasets.leakage import leakage_audit, split_card
from brainalign.datasets.meeg import check_same_channels, read_epochs
from brainalign.datasets.meshes import Mesh, load_mesh
from brainalign.datasets.nsd import NSD_SCALE, NsdSubject, open_nsd, read_nsd
from brainalign.datasets.nsd_cortex import read_nsd_cortex
from brainalign.datasets.nsd_images import write_nsd_images
from brainalign.datasets.problems import Problem, stop_on
from brainalign.datasets.published import Published
from brainalign.datasets.rdms import (
    RDM_READERS,
    RdmSets,
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
from brainalign.datasets.repeats import repeat_counts, repeats_cube
from brainalign.datasets.splits import folds_of, group_labels, make_splits
from brainalign.datasets.study_audit import StudyAudit, audit_study
from brainalign.datasets.subjects import changed_files, image_split, marked_images, read_images_table, read_subject
from brainalign.datasets.things import read_things
from brainalign.datasets.trials import complete_trials, read_table, read_trials
from brainalign.datasets.triplets import Judgements, read_judgements, read_objects, read_triplets
from brainalign.datasets.videos import Videos, neurons_of, read_neural, read_videos
from brainalign.datasets.whitening import Whitener, fit_whitener

__all__ = [
    "NSD_SCALE",
    "RDM_READERS",
    "AreaMaps",
    "BraincorlSubject",
    "CorticalMaps",
    "ImageAudit",
    "Judgements",
    "Mesh",
    "NsdSubject",
    "Parcels",
    "Problem",
    "Published",
    "RdmSets",
    "Recording",
    "StudyAudit",
    "Videos",
    "Whitener",
    "area_maps_table",
    "audit",
    "audit_images",
    "audit_study",
    "changed_files",
    "check_same_channels",
    "coco_captions",
    "complete_trials",
    "epochs_to_responses",
    "fit_whitener",
    "folds_of",
    "group_labels",
    "image_split",
    "inspect_responses",
    "inspect_trials",
    "leakage_audit",
    "load_mesh",
    "make_epochs",
    "make_image_split",
    "make_splits",
    "marked_images",
    "neurons_of",
    "nsd_coco_ids",
    "open_nsd",
    "parcel_means",
    "read_algonauts",
    "read_algonauts_images",
    "read_area_maps",
    "read_betas",
    "read_bids_events",
    "read_braincorl",
    "read_cortical_maps",
    "read_epochs",
    "read_fmri",
    "read_fmriprep",
    "read_glasser",
    "read_images_table",
    "read_judgements",
    "read_kriegeskorte92",
    "read_muse",
    "read_neural",
    "read_nsd",
    "read_nsd_cortex",
    "read_objects",
    "read_rdm_study",
    "read_recordings",
    "read_schaefer",
    "read_subject",
    "read_table",
    "read_things",
    "read_trials",
    "read_triplets",
    "read_videos",
    "repeat_counts",
    "repeats_cube",
    "roi_sizes",
    "shared_stimuli",
    "split_card",
    "split_rows",
    "stop_on",
    "write_nsd_images",
    "write_stimulus_images",
]
