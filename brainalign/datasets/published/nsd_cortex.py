"""NSD on the whole cortical surface, as .npy files: a matrix per hemisphere and a dictionary about both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.datasets.formats import SPACES, on_mesh, region_lists, vertex_table
from brainalign.datasets.published import common
from brainalign.datasets.published.nsd_design import N_TRIALS, nsd_trials
from brainalign.datasets.splits import make_image_split

SIDES = {"L": "lh", "R": "rh"}
REMEDY = "give the folder that holds lh_betas_sub-01.npy, rh_betas_sub-01.npy and metadata_sub-01.npy"
KEYS = ("img_presentation_order", "train_img_num", "test_img_num")


def read_nsd_cortex(
    folder: Path | str,
    subject: str,
    *,
    trust_pickle: bool = False,
    sessions: Sequence[int] | None = None,
    within: Sequence[str] | None = None,
    standardize: Literal["session", "none"] = "none",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
) -> common.Published:
    """Read single-trial responses of all 163,842 vertices of each hemisphere of fsaverage.

    Parameters
    ----------
    folder : path
        Holds {lh,rh}_betas_sub-0X.npy (n_trials, 163842) and metadata_sub-0X.npy.
    subject : str
        "01" to "08".
    trust_pickle : bool
        The metadata (what each trial showed, splits, regions, ncsnr) are a pickle, which True loads.
    sessions : sequence of int, optional
        Read only these, counted from 1.
    within : sequence of str, optional
        Read only the vertices of these regions.
    standardize : {"session", "none"}
        These files are z-scored within sessions already.
    bad_targets : {"raise", "drop", "keep"}
        What to do with vertices that hold NaN (or -999) or are constant: in the release a few are.

    Raises
    ------
    BrainalignError
        If a file is missing, the metadata are not trusted or lack an entry, or shapes disagree.

    References
    ----------
    Allen et al. (2022), doi:10.1038/s41593-021-00962-x
    """
    place, name = Path(folder), f"sub-{common.subject_number(subject):02d}"
    paths = {hemi: place / f"{side}_betas_{name}.npy" for hemi, side in SIDES.items()}
    betas = {hemi: common.load_npy(path, 2, REMEDY, mapped=True) for hemi, path in paths.items()}
    about = place / f"metadata_{name}.npy"
    metadata = common.load_pickled_dict(about, REMEDY, KEYS, trust_pickle=trust_pickle)
    shown = np.asarray(metadata["img_presentation_order"]).ravel()
    n_sessions = _check_shapes(paths, betas, about, len(shown))
    chosen = list(range(1, n_sessions + 1)) if sessions is None else [int(session) for session in sessions]
    if not chosen or not all(1 <= session <= n_sessions for session in chosen):
        raise BrainalignError(f"sessions are {listed(chosen, 8) or 'none'}; {paths['L']} has 1 to {n_sessions}")
    trials = nsd_trials(shown[: n_sessions * N_TRIALS].astype(np.int64), chosen)
    hemispheres = {hemi: _regions(about, metadata, side) for hemi, side in SIDES.items()}
    known = {region for regions in hemispheres.values() for region in regions}
    nowhere = np.zeros(SPACES["fsaverage"], dtype=bool)
    tables, columns, ncsnr = [], {}, []
    for hemi, regions in hemispheres.items():
        every = {region: regions.get(region, nowhere) for region in known}
        mine = columns[hemi] = common.choose_targets(every, len(nowhere), within)
        lists = region_lists({region: inside[mine] for region, inside in regions.items()}, len(mine))
        tables.append(vertex_table(hemi, len(nowhere), "fsaverage").iloc[mine].assign(roi=lists.array))
        if (key := f"{SIDES[hemi]}_ncsnr") in metadata:
            whole = np.asarray(metadata[key]).ravel()
            check_rows(f"{about}: {key}", len(whole), "fsaverage", len(nowhere), "download it again", "vertices")
            ncsnr.append(whole[columns[hemi]])
    targets = on_mesh(tables, "fsaverage", dict.fromkeys(SIDES, len(nowhere)))
    values = np.empty((len(trials), len(targets)), dtype=np.float32)
    for number, session in enumerate(chosen):
        rows = slice((session - 1) * N_TRIALS, session * N_TRIALS)
        parts = [betas[hemi][rows][:, columns[hemi]] for hemi in SIDES]  # a view of the file, then only these columns
        values[number * N_TRIALS : (number + 1) * N_TRIALS] = np.concatenate(parts, axis=1)
    responses = Responses(common.without_missing(values), trials, targets, "z (within session)")
    responses = common.finish_published(responses, standardize=standardize, bad_targets=bad_targets)
    images = {
        name: {common.nsd_image(int(image)) for image in np.asarray(metadata.get(f"{name}_img_num", ())).ravel()}
        for name in ("train", "val", "test")
    }
    # What has not been shown in the sessions read cannot be validated on, and would be refused.
    val = sorted(images["val"] & set(trials["stimulus_id"])) or None
    named = trials[trials["stimulus_id"].isin(set.union(*images.values()))]  # images in none are in no split
    splits, ceiling = make_image_split(named, test=sorted(images["test"]), val=val, seed=0), None
    if len(ncsnr) == len(SIDES):
        squares = np.concatenate(ncsnr).astype(np.float64) ** 2
        ceiling = common.ceiling_table(targets, squares / (squares + 1), splits)
        ceiling = ceiling[ceiling["target_id"].isin(responses.targets["target_id"])].reset_index(drop=True)
    return common.Published(responses, splits, ceiling)


def _check_shapes(paths: dict[str, Path], betas: dict[str, NDArray[Any]], about: Path, n_shown: int) -> int:
    """Check the shapes of the betas and count the sessions."""
    n_vertices = SPACES["fsaverage"]
    for hemi, part in betas.items():
        if part.shape[1] != n_vertices or len(part) % N_TRIALS or not len(part):
            known = f"expected ({N_TRIALS} per session, {n_vertices}), the vertices of fsaverage"
            raise BrainalignError(f"{paths[hemi]}: has shape {part.shape}; {known}")
    remedy = "take both from the same release"
    check_rows(paths["L"], len(betas["L"]), paths["R"], len(betas["R"]), remedy, "trials")
    # The order may be that of the whole design, which is longer than what some subjects completed.
    if n_shown < len(betas["L"]):
        raise BrainalignError(
            f"{about}: img_presentation_order has {n_shown} trials but {paths['L']} has {len(betas['L'])}; take both "
            "from the same subject"
        )
    return len(betas["L"]) // N_TRIALS


def _regions(about: Path, metadata: dict[Any, Any], side: str) -> common.Regions:
    found: common.Regions = {}
    for name, vertices in metadata.get(f"{side}_fsaverage_rois", {}).items():
        rows = np.asarray(vertices, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= SPACES["fsaverage"]):
            known = f"expected 0 to {SPACES['fsaverage'] - 1}"
            raise BrainalignError(f"{about}: ROI {name!r} of {side}_fsaverage_rois has vertex {rows.max()}; {known}")
        if len(rows):
            found[str(name)] = np.zeros(SPACES["fsaverage"], dtype=bool)
            found[str(name)][rows] = True
    return found
