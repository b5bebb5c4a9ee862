"""THINGS-fMRI in its table format: a table of voxels, a table of trials, and responses in HDF5."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_apart, check_choice, check_columns, check_named, listed
from brainalign.datasets.formats import as_numbers, complete_trials, read_table, region_lists
from brainalign.datasets.published import common
from brainalign.datasets.splits import make_image_split
from brainalign.io import check_stored, open_hdf5

REMEDY = "give the folder betas_csv of the release, with VoxelMetadata.csv, StimulusMetadata.csv and ResponseData.h5"
PLACE = ("voxel_x", "voxel_y", "voxel_z")
VOXEL_COLUMNS = ("voxel_id", *PLACE, "nc_singletrial")
TRIAL_COLUMNS = ("trial_type", "session", "run", "trial_id", "stimulus")
# What a column of the voxel table is that is not a region (1 inside, 0 outside).
MEASURES = ("voxel_", "subject_id", "nc_", "splithalf_", "prf-")
ROWS = 4096  # voxels read at a time


def read_things(
    folder: Path | str,
    subject: str,
    *,
    sessions: Sequence[int] | None = None,
    within: Sequence[str] | None = None,
    val: float | None = None,
    seed: int = 0,
    standardize: Literal["session", "none"] = "session",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
) -> common.Published:
    """Read the single-trial responses of one subject of THINGS-fMRI.

    Tested are the images whose trials the release marks `test` (100, each shown in every session).

    Parameters
    ----------
    folder : path
        Holds sub-01_VoxelMetadata.csv, sub-01_StimulusMetadata.csv and sub-01_ResponseData.h5.
    subject : str
        "01" to "03".
    sessions : sequence of int, optional
        Read only these, by their number in the table of trials.
    within : sequence of str, optional
        Read only the voxels of these regions, for example ["lFFA", "rFFA"].
    val : float, optional
        Share of the training images that validate.
    seed : int
        Of drawing them.
    standardize : {"session", "none"}
        Z-score each voxel within sessions.
    bad_targets : {"raise", "drop", "keep"}
        What to do with voxels that hold NaN (or -999) or are constant within a session.

    Returns
    -------
    Published
        Coordinates in mm are NaN: the tables give places in the volume only.

    Raises
    ------
    BrainalignError
        If a file or a column is missing, the three files disagree, or there is no such session or region.

    References
    ----------
    Hebart et al. (2023), doi:10.7554/eLife.82580
    """
    place, name = Path(folder), f"sub-{common.subject_number(subject):02d}"
    voxel_path, trial_path = place / f"{name}_VoxelMetadata.csv", place / f"{name}_StimulusMetadata.csv"
    voxels = _table(voxel_path, VOXEL_COLUMNS)
    trials, regions = _trials(trial_path), _regions(voxel_path, voxels)
    kept = common.choose_targets(regions, len(voxels), within)
    columns = _in_sessions(trial_path, trials, sessions)
    targets = _targets(voxel_path, voxels).assign(roi=region_lists(regions, len(voxels)))
    targets = targets.iloc[kept].reset_index(drop=True)
    ids = as_numbers(voxels, "voxel_id", str(voxel_path)).to_numpy()
    values = _read_values(place / f"{name}_ResponseData.h5", ids, len(trials), kept, columns)
    trials = trials.iloc[columns].reset_index(drop=True)
    responses = Responses(common.without_missing(values), trials, targets, "single-trial betas (arbitrary units)")
    tested = trials.loc[trials["trial_type"] == "test", "stimulus_id"].unique().tolist()
    splits = make_image_split(trials, test=tested, val=val, seed=seed)
    share = as_numbers(voxels, "nc_singletrial", str(voxel_path)).to_numpy()[kept] / 100  # written in percent
    ceiling = common.ceiling_table(targets, share, splits)
    responses = common.finish_published(responses, standardize=standardize, bad_targets=bad_targets)
    ceiling = ceiling[ceiling["target_id"].isin(responses.targets["target_id"])].reset_index(drop=True)
    return common.Published(responses, splits, ceiling)


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_table(common.required(path, REMEDY))
    check_columns(path, table, columns, REMEDY)
    if not len(table):
        raise BrainalignError(f"{path}: has no row; {REMEDY}")
    return table


def _trials(path: Path) -> pd.DataFrame:
    table = _table(path, TRIAL_COLUMNS)
    for kind in table["trial_type"].unique():
        check_choice(f"{path}: trial_type", kind, ("train", "test"))
    stimuli = [Path(name).stem for name in table["stimulus"]]
    ids = [f"trial-{number:0>5}" for number in table["trial_id"]]
    table = table.drop(columns=["stimulus", "subject_id"], errors="ignore")
    trials = complete_trials(table.assign(stimulus_id=stimuli, trial_id=ids), str(path))
    train, test = (trials.loc[trials["trial_type"] == kind, "stimulus_id"] for kind in ("train", "test"))
    check_apart(train, test, f"images of {path}", "take the table as it was published")
    return trials


def _in_sessions(path: Path, trials: pd.DataFrame, sessions: Sequence[int] | None) -> NDArray[np.intp]:
    if sessions is None:
        return np.arange(len(trials))
    wanted = [str(session) for session in sessions]
    known = trials["session"].unique().tolist()
    check_named(path, known, wanted, "session", "ask for some of these")
    if not wanted:
        raise BrainalignError(f"{path}: no session is asked for; it has {listed(known, 12)}")
    return np.flatnonzero(trials["session"].isin(wanted))


def _regions(path: Path, voxels: pd.DataFrame) -> common.Regions:
    found: common.Regions = {}
    for column in voxels.columns:
        if str(column).startswith(MEASURES) or not str(column) or str(column).startswith("Unnamed"):
            continue
        inside = as_numbers(voxels, column, str(path)).to_numpy()
        other = inside[~np.isin(inside, (0, 1))]
        if len(other):
            raise BrainalignError(f"{path}: column {column!r} holds {other[0]:g}; expected a region, 1 inside, else 0")
        if inside.any():
            found[str(column)] = inside == 1
    return found


def _targets(path: Path, voxels: pd.DataFrame) -> pd.DataFrame:
    ijk = np.stack([as_numbers(voxels, column, str(path)) for column in PLACE], axis=1)
    if not np.array_equal(ijk, np.round(ijk)):
        raise BrainalignError(f"{path}: voxel_x, voxel_y, voxel_z are not whole numbers; expected places in the volume")
    ijk = ijk.astype(np.int64)
    table = pd.DataFrame(ijk, columns=["i", "j", "k"])
    table.insert(0, "target_id", [f"voxel-{i}-{j}-{k}" for i, j, k in ijk])
    return table.assign(kind="voxel", hemi="", x_mm=np.nan, y_mm=np.nan, z_mm=np.nan)


def _read_values(
    path: Path, voxel_ids: NDArray[np.float64], n_trials: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return (n_trials, n_voxels) of some voxels and trials, reading some thousand voxels at a time.

    pandas stored a row per voxel: the betas of all trials in one block of floats, voxel_id beside it or before it. The
    names of its columns are pickled, so blocks are told by their type and size.
    """
    with open_hdf5(common.required(path, REMEDY)) as file:
        check_named(path, file, ["ResponseData"], "group", "download it again")
        group = file["ResponseData"]
        blocks = {name: group[name] for name in group if name.startswith("block") and name.endswith("_values")}
        betas, first = _find_betas(path, blocks, len(voxel_ids), n_trials)
        check_stored(betas)
        for block in blocks.values():
            if block.ndim == 2 and block.shape == (len(voxel_ids), 1):
                _check_ids(path, np.asarray(block)[:, 0], voxel_ids)
        if first:
            _check_ids(path, betas[:, 0], voxel_ids)
        out = np.empty((len(columns), len(rows)), dtype=np.float32)
        begin, end = first + int(columns[0]), first + int(columns[-1]) + 1
        for start in range(0, len(voxel_ids), ROWS):
            here = np.flatnonzero((rows >= start) & (rows < start + ROWS))
            if len(here):
                out[:, here] = betas[start : start + ROWS, begin:end][rows[here] - start][:, columns - columns[0]].T
        return out


def _find_betas(path: Path, blocks: dict[str, Any], n_voxels: int, n_trials: int) -> tuple[Any, int]:
    """Return the block of betas, and how many of its columns come before the first trial."""
    for block in blocks.values():
        for first in (0, 1):
            if block.dtype.kind == "f" and block.shape == (n_voxels, n_trials + first):
                return block, first
    shapes = ", ".join(f"{name} {block.dtype} {block.shape}" for name, block in blocks.items()) or "no block of values"
    raise BrainalignError(
        f"{path}: ResponseData has {shapes}; expected floats of shape ({n_voxels}, {n_trials}): the rows of "
        "VoxelMetadata.csv and of StimulusMetadata.csv; take the three files of the same subject"
    )


def _check_ids(path: Path, stored: NDArray[Any], voxel_ids: NDArray[np.float64]) -> None:
    if not np.array_equal(stored, voxel_ids):
        row = int(np.flatnonzero(stored != voxel_ids)[0])
        raise BrainalignError(
            f"{path}: its row {row + 1} is voxel {stored[row]:g}, that of VoxelMetadata.csv is {voxel_ids[row]:g}; "
            "take the three files of the same subject"
        )
