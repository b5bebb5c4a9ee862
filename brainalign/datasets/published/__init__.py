"""Readers of published data sets."""

from brainalign.datasets.published.algonauts import ALGONAUTS_ROIS, read_algonauts, read_algonauts_images
from brainalign.datasets.published.area_maps import AreaMaps, area_maps_table, read_area_maps
from brainalign.datasets.published.braincorl import BraincorlSubject, read_braincorl
from brainalign.datasets.published.coco import coco_captions, nsd_coco_ids
from brainalign.datasets.published.common import Published, finish_published, load_npy
from brainalign.datasets.published.cortical_maps import (
    CorticalMaps,
    Parcels,
    parcel_means,
    read_cortical_maps,
    read_glasser,
    read_schaefer,
)
from brainalign.datasets.published.nsd import NSD_ROIS, NsdSubject, open_nsd, read_nsd
from brainalign.datasets.published.nsd_cortex import read_nsd_cortex
from brainalign.datasets.published.nsd_design import NSD_SESSIONS, read_nsd_design, write_nsd_images
from brainalign.datasets.published.things import read_things
from brainalign.datasets.published.things_eeg2_raw import read_things_eeg2_raw
from brainalign.datasets.published.things_images import concept_splits, drop_tested_concepts, things_image_rows
from brainalign.datasets.published.things_meeg import read_things_epochs
from brainalign.datasets.published.zuco import read_zuco
from brainalign.datasets.published.zuco_files import read_sentences as read_sentences

__all__ = [
    "NsdSubject", "Parcels", "Published", "area_maps_table", "coco_captions", "drop_tested_concepts", "nsd_coco_ids",
    "open_nsd", "parcel_means", "read_algonauts", "read_algonauts_images", "read_area_maps", "read_braincorl",
    "read_cortical_maps", "read_glasser", "read_nsd", "read_nsd_cortex", "read_schaefer", "read_things",
    "read_things_eeg2_raw", "read_things_epochs", "read_zuco", "things_image_rows", "write_nsd_images",
]  # fmt: skip
