"""Volumes of the Natural Scenes Dataset that label voxels, and the colour tables that name their labels."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.datasets.formats import read_volumes
from brainalign.datasets.published.common import Regions, add_regions, named_regions, required
from brainalign.io import read_lines

NSD_ROIS = ("nsdgeneral", "prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams")


def read_nsd_volume(path: Path, grid: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a volume of the release."""
    data = read_volumes(path)
    if data.shape != tuple(grid):
        raise BrainalignError(f"{path}: has the grid {data.shape}; expected {tuple(grid)}, that of the mask")
    return data


def read_nsd_regions(root: Path, place: Path, inside: NDArray[np.bool_], rois: Sequence[str]) -> Regions:
    """Read the masks of the regions of a subject's labellings, over the voxels inside."""
    folder = required(place / "roi", "download nsddata/ppdata of the subject")
    found: Regions = {}
    for roi in rois:
        path = required(folder / f"{roi}.nii.gz", "name labellings that are there with rois=")
        ids = read_nsd_volume(path, inside.shape)[inside]
        tables = [
            root / "nsddata" / "freesurfer" / place.parent.name / "label" / f"{roi}.mgz.ctab",
            root / "nsddata" / "freesurfer" / "fsaverage" / "label" / f"{roi}.mgz.ctab",
            root / "nsddata" / "templates" / f"{roi}.ctab",
        ]
        table = next((table for table in tables if table.exists()), None)
        if table is None and set(np.unique(ids[ids > 0])) <= {1}:
            more = named_regions(ids, {1: roi}, path, path)  # a mask, such as nsdgeneral, is named after its file
        elif table is None:
            raise BrainalignError(f"{path}: labels several regions, and there is no table of their names {tables[0]}")
        else:
            more = named_regions(ids, _read_ctab(table), path, table)
        add_regions(found, more, path)
    return found


def _read_ctab(path: Path) -> dict[int, str]:
    """Return the names of a colour table: a line per region, its id and name [and colour]."""
    names = {}
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not re.fullmatch(r"-?[0-9]+", words[0]):
            raise BrainalignError(f"{path}: line {number} is {line!r}; expected an id and a name")
        names[int(words[0])] = words[1]
    return names
