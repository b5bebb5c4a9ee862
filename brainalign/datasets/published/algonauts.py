"""The layout of the Algonauts 2023 challenge: NSD on challenge vertices, averaged over repeats."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.datasets.formats import SPACES, complete_trials, on_mesh, region_lists
from brainalign.datasets.published import common
from brainalign.datasets.splits import make_image_split

ALGONAUTS_ROIS = ("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams")
SIDES = {"L": "lh", "R": "rh"}
SCORED = {hemi: f"{side}_training_fmri.npy" for hemi, side in SIDES.items()}
REMEDY = "download the subject again, or give the folder that holds subj01, subj02 ..."


def read_algonauts(
    folder: Path | str,
    subject: str,
    *,
    trust_pickle: bool = False,
    rois: Sequence[str] = ALGONAUTS_ROIS,
    within: Sequence[str] | None = None,
    test: float = 0.1,
    val: float | None = None,
    seed: int = 0,
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
) -> common.Published:
    """Read the training responses of one subject of Algonauts 2023.

    The challenge z-scored within sessions and averaged the repeats, and keeps the responses to its test images to
    itself: a share of the training images is tested here. It has no noise ceilings.

    Parameters
    ----------
    folder : path
        Holds subj01, subj02 ... with training_split and roi_masks.
    subject : str
        "01" to "08".
    trust_pickle : bool
        The names of regions (mapping_<roi>.npy) are pickles; True loads them. Without regions (`rois=()`) none is.
    rois : sequence of str
        The labellings to read.
    within : sequence of str, optional
        Read only the vertices of these regions, for example ["FFA-1", "FFA-2"].
    test, val : float
        Shares of images drawn for testing and validation.
    seed : int
        Of the drawing.
    bad_targets : {"raise", "drop", "keep"}
        What to do with vertices that hold NaN (or -999) or are constant.

    Returns
    -------
    Published
        `responses.targets` has `challenge_vertex`, the challenge's own numbering; and `vertex`, the place on fsaverage,
        where roi_masks holds {lh,rh}.all-vertices_fsaverage_space.npy.

    Raises
    ------
    BrainalignError
        If a file is missing or of another shape than the others, a region has no name, or a pickle is not trusted.

    References
    ----------
    Gifford et al. (2023), arXiv:2301.03198
    """
    place = _place(folder, subject)
    images = read_algonauts_images(folder, subject)
    maps = {hemi: common.load_npy(_fmri(place) / name, 2, REMEDY, mapped=True) for hemi, name in SCORED.items()}
    for hemi, part in maps.items():
        remedy = "a row is of an image, so one of them is incomplete"
        check_rows(_fmri(place) / SCORED[hemi], len(part), "training_images", len(images), remedy)
    values, tables = [], []
    hemispheres = {hemi: _regions(place, hemi, maps[hemi].shape[1], rois, trust_pickle) for hemi in maps}
    known = {name for regions in hemispheres.values() for name in regions}
    for hemi, part in maps.items():
        # A region may lie in one hemisphere only; whether it lies in any is what is checked.
        regions = {name: hemispheres[hemi].get(name, np.zeros(part.shape[1], dtype=bool)) for name in known}
        kept = common.choose_targets(regions, part.shape[1], within)
        table = _vertices(place, hemi, part.shape[1]).assign(roi=region_lists(hemispheres[hemi], part.shape[1]))
        tables.append(table.iloc[kept])
        values.append(np.asarray(part if within is None else part[:, kept], dtype=np.float32))
    responses = Responses(
        common.without_missing(np.concatenate(values, axis=1)),
        complete_trials(images.drop(columns="path"), str(_fmri(place))),
        on_mesh(tables, "fsaverage", dict.fromkeys(SIDES, SPACES["fsaverage"])),
        "z (within session), averaged over repeats",
    )
    responses = common.finish_published(responses, standardize="none", bad_targets=bad_targets)
    return common.Published(responses, make_image_split(responses.trials, test=test, val=val, seed=seed))


def read_algonauts_images(folder: Path | str, subject: str) -> pd.DataFrame:
    """Return the training images of a subject, in the order of its responses: stimulus_id (nsd-00013), path.

    Paths are relative to the folder: written there, this is the table of images of a descriptor.

    Raises
    ------
    BrainalignError
        If there is none, a file is not called train-0001_nsd-00013.png, or their numbers have gaps.
    """
    pictures = common.required(_place(folder, subject) / "training_split" / "training_images", REMEDY)
    files = sorted(pictures.glob("*.png"))
    if not files:
        raise BrainalignError(f"{pictures}: holds no .png; {REMEDY}")
    names = [re.fullmatch(r"train-(\d+)_(nsd-\d+)", file.stem) for file in files]
    if other := [file.name for file, name in zip(files, names, strict=True) if not name]:
        raise BrainalignError(f"{pictures}: holds {listed(other)}; expected names like train-0001_nsd-00013.png")
    numbers = [int(name[1]) for name in names if name]
    missing = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
    if missing or len(set(numbers)) < len(numbers):
        wrong = f"{len(missing)} are missing (first: train-{missing[0]:04d})" if missing else "a number occurs twice"
        raise BrainalignError(f"{pictures}: its {len(numbers)} images go up to {numbers[-1]}, but {wrong}; {REMEDY}")
    paths = [file.relative_to(folder).as_posix() for file in files]
    return pd.DataFrame({"stimulus_id": [name[2] for name in names if name], "path": paths})


def _place(folder: Path | str, subject: str) -> Path:
    return common.required(Path(folder) / f"subj{common.subject_number(subject):02d}", REMEDY)


def _fmri(place: Path) -> Path:
    return place / "training_split" / "training_fmri"


def _regions(place: Path, hemi: str, n_vertices: int, rois: Sequence[str], trust_pickle: bool) -> common.Regions:
    found: common.Regions = {}
    for roi in rois:
        names_path = place / "roi_masks" / f"mapping_{roi}.npy"
        path = place / "roi_masks" / f"{SIDES[hemi]}.{roi}_challenge_space.npy"
        remedy = "download roi_masks again, or name the labellings that are there with rois=(...), () for none"
        names = common.load_pickled_dict(names_path, remedy, trust_pickle=trust_pickle)
        ids = common.load_npy(path, 1, remedy)
        check_rows(path, len(ids), SCORED[hemi], n_vertices, "take both from the same subject", "vertices")
        named = {int(key): str(name) for key, name in names.items()}
        common.add_regions(found, common.named_regions(ids, named, path, names_path), path)
    return found


def _vertices(place: Path, hemi: str, n_vertices: int) -> pd.DataFrame:
    """Return a row per challenge vertex: where it lies on fsaverage, if the release says so."""
    path = place / "roi_masks" / f"{SIDES[hemi]}.all-vertices_fsaverage_space.npy"
    number = np.arange(n_vertices)
    nowhere = dict.fromkeys(("x_mm", "y_mm", "z_mm"), np.nan)
    table = pd.DataFrame({"kind": "vertex", "hemi": hemi, "challenge_vertex": number, **nowhere})
    if path.exists():
        vertex = np.flatnonzero(common.load_npy(path, 1, REMEDY))
        check_rows(path, len(vertex), SCORED[hemi], n_vertices, "take both from the same subject", "vertices")
        table.insert(2, "vertex", vertex)
    return table.assign(target_id=[f"challenge-{hemi}-{vertex}" for vertex in number])
