"""Responses that are estimated already: a map per trial, on the surface, in a volume or in grayordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import BLOCK_BYTES, Responses, StoredArray
from brainalign.checks import BrainalignError, check_choice, check_rows, listed
from brainalign.datasets.formats import surfaces
from brainalign.datasets.formats.cifti import read_cifti
from brainalign.datasets.formats.fmri import (
    bad_targets_of,
    check_grid,
    on_grid,
    read_volumes,
    volume_regions,
    voxel_table,
)
from brainalign.datasets.formats.trials import kept_trials, read_trials
from brainalign.io import load_image_file

Paths = Path | Sequence[Path]
Regions = dict[str, NDArray[np.bool_]]
CIFTI = (".dscalar.nii", ".dtseries.nii")


def read_betas(
    betas: Mapping[str, Paths] | Paths,
    trials: Path,
    *,
    mask: Path | None = None,
    rois: Mapping[str, Path] | None = None,
    roi_names: Sequence[str] | None = None,
    space: str | None = None,
    mesh: Mapping[str, Path] | None = None,
    standardize: Literal["session", "none"] = "session",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
    units: str = "percent signal change",
) -> Responses:
    """Read single-trial response maps.

    Parameters
    ----------
    betas : mapping of hemisphere ("L", "R") to path, or path
        Surface maps per hemisphere (GIFTI or .mgh), or a 4-D NIfTI with `mask`, or a CIFTI dscalar or dtseries. A
        list of paths is read one after the other (for example a file per session).
    trials : Path
        A row per map, in their order; see `read_trials`.
    mask : Path, optional
        NIfTI of the same grid, non-zero inside; needed for a volume.
    rois : mapping, optional
        Surface: label file (.label.gii, .annot) by hemisphere. Volume: label image by name; one with several values
        takes their names from the BIDS table beside it (`<name>.tsv` with index and name), else numbers them. CIFTI:
        label file by hemisphere, or .dlabel.nii by any name. Regions without a target are left out, with a warning.
    roi_names : sequence of str, optional
        Keep these regions only.
    space : str, optional
        Mesh of the surface maps; found by its size where not given. See `check_space`.
    mesh : mapping, optional
        Surface by hemisphere, for coordinates of meshes other than fsaverage5.
    standardize : {"session", "none"}
        Z-score each target within sessions.
    bad_targets : {"raise", "drop", "keep"}
        What to do with targets that hold NaN or are constant within a session. `targets.attrs["n_dropped"]` counts
        those left out.
    units : str
        Of the maps.

    Raises
    ------
    BrainalignError
        If files are truncated, differ from each other in length or grid, there is another number of maps than of
        trials, a region is unknown, all regions or one of `roi_names` are empty, or targets are bad and `bad_targets`
        is "raise".
    """
    check_choice("standardize", standardize, ("session", "none"))
    table = read_trials(trials)
    values, targets = read_brain_maps(betas, mask, rois or {}, roi_names, space, mesh or {}, len(table))
    remedy = "give one row per map, in the same order"
    check_rows(_listed(betas)[0], len(values), f"the table of trials {trials}", len(table), remedy, "maps")
    return finish_responses(Responses(values, table, targets, units), standardize=standardize, bad_targets=bad_targets)


def read_brain_maps(
    betas: Mapping[str, Paths] | Paths,
    mask: Paths | None,
    rois: Mapping[str, Path],
    roi_names: Sequence[str] | None,
    space: str | None,
    mesh: Mapping[str, Path],
    n_maps: int | None = None,
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Read maps (n_maps, n_targets) and their targets, which name the regions that they lie in; see `read_betas`.

    Of several masks the voxels inside all are read.
    """
    first = str(_listed(betas)[0])
    if isinstance(betas, Mapping):
        values, targets, regions = _read_surface(betas, n_maps, rois, space, mesh)
    elif first.endswith(".gii"):
        raise BrainalignError(f"{first}: a GIFTI holds one hemisphere; give L: and R: with a file each")
    elif first.endswith(CIFTI):
        values, targets, regions = read_cifti(_listed(betas), rois, mesh)
    else:
        values, targets, regions = _read_volume(_listed(betas), [] if mask is None else _listed(mask), rois)
    targets["roi"] = surfaces.roi_lists(regions, len(targets), roi_names)
    return values, targets


def _listed(paths: Mapping[str, Paths] | Paths) -> list[Path]:
    if isinstance(paths, Mapping):
        return [path for group in paths.values() for path in _listed(group)]
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def finish_responses(
    responses: Responses, *, standardize: str, bad_targets: str, work: Path | None = None
) -> Responses:
    """Report or drop bad targets, refuse empty regions, z-score within sessions; see `read_betas`.

    The values are the reader's own, and are overwritten. Those on disk are not: what becomes of them goes to `work`,
    a .npy file.
    """
    responses = kept_trials(responses)
    if (standardize, bad_targets) == ("none", "keep"):
        responses.targets.attrs["n_dropped"] = 0
        return responses
    bad = bad_targets_among(responses, standardize=standardize, bad_targets=bad_targets)
    responses = _with_targets(responses, ~bad, work)
    responses.targets.attrs["n_dropped"] = int(bad.sum())
    if standardize == "session":
        return replace(responses.zscore(within="session", in_place=True), units="z (within session)")
    return responses


def bad_targets_among(responses: Responses, *, standardize: str, bad_targets: str) -> NDArray[np.bool_]:
    """Find the targets to drop, NaN or constant; refuse them, or that dropping them would leave a region empty."""
    check_choice("bad_targets", bad_targets, ("raise", "drop", "keep"))
    trials, targets = responses.trials, responses.targets
    sizes = trials.groupby("session", sort=False).size()
    if standardize == "session" and (sizes < 2).any():
        raise BrainalignError(
            f"session {listed(sizes.index[sizes < 2].tolist())} has a single trial, which has no z-score; correct the "
            "column session of the trials or set standardize: none"
        )
    if bad_targets == "keep":
        return np.zeros(len(targets), dtype=bool)
    # Without z-scoring, and in sessions of one trial, only what never varies is constant.
    broken, flat = bad_targets_of(responses, "session" if standardize == "session" else None)
    bad = broken | flat
    if bad_targets == "raise" and bad.any():
        raise BrainalignError(
            f"{broken.sum()} of {len(bad)} targets hold NaN, infinity or -999 and {flat.sum()} are constant within a "
            f"session ({listed(targets['target_id'][bad].tolist())}); shrink the mask, or set bad_targets: drop to "
            "leave them out and count them"
        )
    if bad_targets == "drop" and bad.any():
        if bad.all():
            raise BrainalignError(f"all {len(bad)} targets hold NaN or are constant; check the maps")
        every, left = ({name for names in rows for name in names} for rows in (targets["roi"], targets["roi"][~bad]))
        if every - left:
            lost = listed(sorted(every - left))
            raise BrainalignError(f"every target of ROI {lost} holds NaN or is constant; check the maps")
    return bad


def _with_targets(responses: Responses, kept: NDArray[np.bool_], work: Path | None) -> Responses:
    """Return responses of some targets; of those on disk a copy in `work`, where it is given."""
    if not isinstance(responses.values, StoredArray) or work is None:
        return responses if kept.all() else responses.select(targets=kept)
    n_trials, values = len(responses.trials), responses.values
    copy = StoredArray.create(work, (n_trials, int(kept.sum())), np.float32)
    at_once = max(1, BLOCK_BYTES // (8 * len(kept)))
    for row in range(0, n_trials, at_once):
        copy[row : row + at_once] = values[row : row + at_once][:, kept]
    return replace(responses, values=copy, targets=responses.targets[kept].reset_index(drop=True))


def _read_surface(
    betas: Mapping[str, Paths],
    n_maps: int | None,
    rois: Mapping[str, Path],
    space: str | None,
    mesh: Mapping[str, Path],
) -> tuple[NDArray[np.float32], pd.DataFrame, Regions]:
    for given in (betas, rois, mesh):
        for hemi in given:
            check_choice("hemisphere", hemi, ("L", "R"))
    maps = {}
    for hemi in sorted(betas):
        paths = _listed(betas[hemi])
        parts = [surfaces.read_maps(path, hemi, n_maps if len(paths) == 1 else None) for path in paths]
        lengths = sorted({part.shape[1] for part in parts})
        if len(lengths) > 1:
            raise BrainalignError(f"{paths[0]} and the files after it have {listed(lengths)} vertices; give one mesh")
        maps[hemi] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    n_vertices = {hemi: part.shape[1] for hemi, part in maps.items()}
    space = surfaces.check_space(n_vertices, space)
    counts = {hemi: len(part) for hemi, part in maps.items()}
    if len(set(counts.values())) > 1:
        raise BrainalignError(f"the hemispheres have {counts} maps; give one map per trial in both")
    tables: list[pd.DataFrame] = []
    regions: Regions = {}
    starts = dict(zip(maps, np.cumsum([0, *[part.shape[1] for part in maps.values()]]), strict=False))
    n_targets = sum(part.shape[1] for part in maps.values())
    for hemi, part in maps.items():
        tables.append(surfaces.vertex_table(hemi, part.shape[1], space, mesh.get(hemi)))
        if hemi in rois:
            for name, inside in surfaces.read_surface_rois(rois[hemi], hemi, part.shape[1]).items():
                whole = regions.setdefault(name, np.zeros(n_targets, dtype=bool))
                whole[starts[hemi] : starts[hemi] + part.shape[1]] |= inside
    return np.concatenate(list(maps.values()), axis=1), surfaces.on_mesh(tables, space, n_vertices), regions


def _read_volume(
    paths: list[Path], masks: list[Path], rois: Mapping[str, Path]
) -> tuple[NDArray[np.float32], pd.DataFrame, Regions]:
    if not masks:
        raise BrainalignError(f"{paths[0]}: a volume needs a mask; give mask: with a NIfTI of the same grid")
    mask, image = masks[0], load_image_file(masks[0])
    inside = np.all([on_grid(path, load_image_file(path), image, mask) != 0 for path in masks], axis=0)
    if not inside.any():
        raise BrainalignError(f"{listed(masks)}: selects no voxel; give values > 0 inside")
    parts = []
    for path in paths:
        maps = load_image_file(path)
        if len(maps.shape) != 4:
            raise BrainalignError(f"{path}: has shape {maps.shape}; give a 4-D image, a volume per trial")
        check_grid(path, maps, mask, image)
        parts.append(read_volumes(path)[inside].T)
    return np.concatenate(parts), voxel_table(inside, image.affine), volume_regions(rois, inside, image, mask)
