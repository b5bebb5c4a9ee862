"""Volumes of the Natural Scenes Dataset: 750 trials a session, read one at a time, and volumes that label voxels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_named, check_shape, listed
from brainalign.datasets.formats import open_image, read_volumes, region_lists, voxel_table
from brainalign.datasets.published import common
from brainalign.datasets.published.nsd_design import N_TRIALS, read_nsd_design
from brainalign.datasets.splits import make_image_split
from brainalign.io import check_stored, open_hdf5, read_lines

NSD_ROIS = ("nsdgeneral", "prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams")
NSD_SCALE = 1 / 300  # percent signal change of one step of the stored integers
TRIALS_AT_ONCE = 25  # of a file that stores volumes, held whole while voxels are taken out of them
FOLDER = "give the folder that holds nsddata and nsddata_betas, as the release has them"


@dataclass(frozen=True)
class NsdSubject:
    """A subject of NSD whose files are found and checked, and none of whose responses is read yet.

    Attributes
    ----------
    files : dict
        The file of each session.
    trials, targets : DataFrame
        As of `Responses`; of all these sessions, and of the voxels inside the mask.
    splits, ceiling : DataFrame
        As of `Published`.
    scale : float
        What integers are multiplied by to be percent signal change.
    """

    files: dict[int, Path]
    trials: pd.DataFrame
    targets: pd.DataFrame
    splits: pd.DataFrame
    ceiling: pd.DataFrame | None
    scale: float = NSD_SCALE

    def read(self, sessions: Sequence[int] | None = None, targets: NDArray[Any] | None = None) -> NDArray[np.int16]:
        """Return responses as they are stored, (n_trials, n_targets); percent signal change once times `scale`."""
        chosen = list(self.files) if sessions is None else list(sessions)
        check_named("open sessions", self.files, map(str, chosen), "session", "open it as well")
        columns = np.arange(len(self.targets)) if targets is None else np.arange(len(self.targets))[targets]
        if not len(columns) or not chosen:
            raise BrainalignError(f"{len(chosen)} sessions and {len(columns)} targets are asked for; name one of each")
        ijk = self.targets[["i", "j", "k"]].to_numpy()[columns]
        out = np.empty((N_TRIALS * len(chosen), len(columns)), dtype=np.int16)
        for number, session in enumerate(chosen):
            _read_voxels(self.files[session], ijk, out[number * N_TRIALS : (number + 1) * N_TRIALS])
        return out

    def write(self, path: Path | str) -> Path:
        """Write the responses of all sessions to a .npy file of int16, for `fit_distributed(..., scale=self.scale)`.

        One session is in memory at a time; rows are `trials`, columns `targets`.
        """
        path = Path(path)
        unfinished = path.with_name(f".partial.{path.name}")
        shape = (len(self.trials), len(self.targets))
        out = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.int16, shape=shape)
        for number, session in enumerate(self.files):
            out[number * N_TRIALS : (number + 1) * N_TRIALS] = self.read([session])
        out.flush()
        del out
        return unfinished.replace(path)

    def responses(self) -> Responses:
        """Return the responses of all sessions in percent signal change."""
        values = self.read().astype(np.float32)
        values *= np.float32(self.scale)
        return Responses(values, self.trials, self.targets, "percent signal change")


def _read_voxels(path: Path, ijk: NDArray[np.int64], out: NDArray[np.int16]) -> None:
    """Fill `out` (n_trials, n_voxels) from a file whose axes HDF5 reverses, reading no chunk of it twice."""
    x, y, z = ijk.T
    low, high = ijk.min(axis=0), ijk.max(axis=0)
    rows, columns = slice(int(low[1]), int(high[1]) + 1), slice(int(low[0]), int(high[0]) + 1)
    with open_hdf5(path) as file:
        betas = file["betas"]
        check_stored(betas)
        n_trials, n_slices = (betas.chunks or (N_TRIALS, 1))[:2]
        if n_trials < N_TRIALS:
            n_trials, n_slices = n_trials * max(1, TRIALS_AT_ONCE // n_trials), betas.shape[1]
        for bottom in range(int(low[2]) // n_slices * n_slices, int(high[2]) + 1, n_slices):
            here = np.flatnonzero((z >= bottom) & (z < bottom + n_slices))
            for first in range(0, N_TRIALS if len(here) else 0, n_trials):
                box = betas[first : first + n_trials, bottom : bottom + n_slices, rows, columns]
                part = box[:, z[here] - bottom, y[here] - rows.start, x[here] - columns.start]
                out[first : first + n_trials, here] = part


def read_nsd(
    folder: Path | str,
    subject: str,
    *,
    standardize: Literal["session", "none"] = "session",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
    **options: Any,
) -> common.Published:
    """Read the single-trial responses of one subject of NSD; options are those of `open_nsd`.

    `standardize` z-scores each voxel within sessions, as noise ceilings presume. `bad_targets` says what to do with
    voxels that are constant within a session; NSD writes 0 where it has no signal.
    """
    found = open_nsd(folder, subject, **options)
    responses = common.finish_published(found.responses(), standardize=standardize, bad_targets=bad_targets)
    ceiling = found.ceiling
    if ceiling is not None:
        ceiling = ceiling[ceiling["target_id"].isin(responses.targets["target_id"])].reset_index(drop=True)
    return common.Published(responses, found.splits, ceiling)


def open_nsd(
    folder: Path | str,
    subject: str,
    *,
    sessions: Sequence[int] | None = None,
    mask: str | None = "nsdgeneral",
    rois: Sequence[str] = NSD_ROIS,
    within: Sequence[str] | None = None,
    strict: bool = False,
    val: float | None = None,
    seed: int = 0,
    space: str = "func1pt8mm",
    betas: str = "betas_fithrf_GLMdenoise_RR",
) -> NsdSubject:
    """Find and check the files of one subject of NSD, without reading a response.

    Parameters
    ----------
    folder : path
        Holds nsddata and nsddata_betas.
    subject : str
        "01" to "08".
    sessions : sequence of int, optional
        Counted from 1; every one the subject has (40, 40, 32, 30, 40, 32, 40, 30) where not given.
    mask : str, optional
        The labelling whose voxels are read, those above 0; the whole brain mask where None.
    rois : sequence of str
        Labellings of the folder roi. Their names come from <roi>.mgz.ctab of the subject or of fsaverage, or from
        templates/<roi>.ctab.
    within : sequence of str, optional
        Of the mask, read only the voxels of these regions, for example ["V1v", "V1d"].
    strict : bool
        Test on images that all eight subjects saw three times (515 in the release); other shared images are in no
        split. Otherwise on all shared images that this subject saw.
    val : float, optional
        Share of the images of this subject alone that validate.
    seed : int
        Of drawing them.
    space : str
        Or func1mm.
    betas : str
        Version of the responses. The ridge of betas_fithrf_GLMdenoise_RR makes the repeats of an image depend on each
        other; betas_fithrf does not.

    Raises
    ------
    BrainalignError
        If the subject or a file is missing, a session has another number of trials than 750 or another grid than the
        mask, a region has no name, or the design is not NSD's.

    References
    ----------
    Allen et al. (2022), doi:10.1038/s41593-021-00962-x
    """
    root, number = Path(folder), common.subject_number(subject)
    design = read_nsd_design(root / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat")
    chosen = design.sessions(number, sessions)
    place = common.required(root / "nsddata" / "ppdata" / f"subj{number:02d}" / space, FOLDER)
    stored = common.required(root / "nsddata_betas" / "ppdata" / place.parent.name / space / betas, FOLDER)
    path = place / "brainmask.nii.gz" if mask is None else place / "roi" / f"{mask}.nii.gz"
    image = open_image(common.required(path, "give mask= the name of a file in roi, or None for the brain mask"))
    inside = read_nsd_volume(path, image.shape[:3]) > 0
    if not inside.any():
        raise BrainalignError(f"{path}: selects no voxel; expected values above 0")
    regions = read_nsd_regions(root, place, inside, rois)
    kept = common.choose_targets(regions, int(inside.sum()), within)
    targets = voxel_table(inside, image.affine).assign(roi=region_lists(regions, int(inside.sum())))
    targets = targets.iloc[kept].reset_index(drop=True)
    files = {session: stored / f"betas_session{session:02d}.hdf5" for session in chosen}
    _check_sessions(files, inside.shape, number)
    trials = design.trials(number, chosen)
    test = design.seen_by_all() if strict else design.shared
    between = trials["stimulus_id"].isin(set(design.shared) - set(test))
    splits = make_image_split(trials[~between], test=test, val=val, seed=seed)
    ceiling = None
    if (stored / "ncsnr.nii.gz").exists():
        ncsnr = read_nsd_volume(stored / "ncsnr.nii.gz", inside.shape)[inside][kept].astype(np.float64)
        ceiling = common.ceiling_table(targets, ncsnr**2 / (ncsnr**2 + 1), splits)
    return NsdSubject(files, trials, targets, splits, ceiling)


def _check_sessions(files: dict[int, Path], grid: tuple[int, ...], number: int) -> None:
    """Refuse missing sessions and files of another shape, all before the first is read."""
    if missing := [session for session, path in files.items() if not path.is_file()]:
        there = sorted(path.name for path in files[missing[0]].parent.glob("betas_session*"))
        raise BrainalignError(
            f"{files[missing[0]]}: no such file; subject {number} lacks session {listed(missing, 8)} of the "
            f"{len(files)} asked for (found {listed(there) or 'none'}); download them, or name those you have with "
            "sessions="
        )
    expected = (N_TRIALS, *reversed(grid))
    for path in files.values():
        with open_hdf5(path) as file:
            check_named(path, file, ["betas"], "dataset", "download it again")
            shape, dtype = file["betas"].shape, file["betas"].dtype
        if shape != expected or dtype != np.int16:
            wrong = "trials" if shape[1:] == expected[1:] else "voxels (trials, z, y, x)"
            raise BrainalignError(
                f"{path}: 'betas' is {dtype} of shape {shape}; expected int16 of shape {expected}: other {wrong} than "
                "750 trials on the grid of the mask; download it again, or give space= as the betas have it"
            )


def read_nsd_volume(path: Path, grid: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a volume of the release."""
    data = read_volumes(path)
    check_shape(str(path), data.shape, grid, "the mask has", "take both from one space")
    return data


def read_nsd_regions(root: Path, place: Path, inside: NDArray[np.bool_], rois: Sequence[str]) -> common.Regions:
    """Read the masks of the regions of a subject's labellings, over the voxels inside."""
    folder = common.required(place / "roi", "download nsddata/ppdata of the subject")
    found: common.Regions = {}
    for roi in rois:
        path = common.required(folder / f"{roi}.nii.gz", "name labellings that are there with rois=")
        ids = read_nsd_volume(path, inside.shape)[inside]
        tables = [
            root / "nsddata" / "freesurfer" / place.parent.name / "label" / f"{roi}.mgz.ctab",
            root / "nsddata" / "freesurfer" / "fsaverage" / "label" / f"{roi}.mgz.ctab",
            root / "nsddata" / "templates" / f"{roi}.ctab",
        ]
        table = next((table for table in tables if table.exists()), None)
        if table is None and set(np.unique(ids[ids > 0])) <= {1}:
            more = common.named_regions(ids, {1: roi}, path, path)  # a mask, as nsdgeneral, is named after its file
        elif table is None:
            raise BrainalignError(f"{path}: labels several regions, and there is no table of their names {tables[0]}")
        else:
            more = common.named_regions(ids, _read_ctab(table), path, table)
        common.add_regions(found, more, path)
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
