"""The arrays of BraInCoRL: features of images, responses of chosen voxels, and the weights of their full-data ridge."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Features, Responses
from brainalign.checks import BrainalignError, check_finite, check_shape
from brainalign.datasets.formats import complete_trials, empty_lists
from brainalign.datasets.published.common import load_npy, subject_number, without_missing
from brainalign.datasets.splits import make_image_split

REMEDY = "give the folder that holds s1_unique_img_feats_normed.npy, common_img_feats_normed.npy and the others"


@dataclass(frozen=True)
class BraincorlSubject:
    """One subject of BraInCoRL.

    Attributes
    ----------
    responses : Responses
        To the subject's own images, then to the common ones; a row per image.
    splits : DataFrame
        Own images train (contexts are drawn from them), common images test (queries).
    features : Features
        A row per image (n_images, E), of length 1.
    coef : array (E, n_voxels)
        Weights of the ridge on all of the subject's images, laid out as `Ridge.coef_`.
    intercept : array (n_voxels,)
    """

    responses: Responses
    splits: pd.DataFrame
    features: Features
    coef: NDArray[np.float32]
    intercept: NDArray[np.float32]


def read_braincorl(folder: Path | str, subject: str) -> BraincorlSubject:
    """Read the arrays of one subject.

    Parameters
    ----------
    folder : path
        Holds, for subject K, sK_unique_img_feats_normed.npy (n, E), sK_unique_nrn_feats_msk.npy (n, V), sK_gt.npy
        (V, E + 1: weights, then bias), sK_common_nrn_feats_msk.npy (m, V) and common_img_feats_normed.npy (m, E).
    subject : str
        "1", "01", "s1".

    Returns
    -------
    BraincorlSubject
        Neither images nor voxels are named in these files: both are numbered. Missing responses (-999) are NaN.

    Raises
    ------
    BrainalignError
        If a file is missing, shapes disagree, or features are not of length 1.

    References
    ----------
    Yu et al. (2025), arXiv:2505.15813
    """
    place, name = Path(folder), f"s{subject_number(subject)}"
    own_x = _floats(place / f"{name}_unique_img_feats_normed.npy")
    own_y = _floats(place / f"{name}_unique_nrn_feats_msk.npy")
    common_x = _floats(place / "common_img_feats_normed.npy")
    common_y = _floats(place / f"{name}_common_nrn_feats_msk.npy")
    truth = _floats(place / f"{name}_gt.npy")
    n_features, n_voxels = own_x.shape[1], own_y.shape[1]
    expected = {
        f"{name}_unique_nrn_feats_msk.npy": (own_y, (len(own_x), n_voxels)),
        "common_img_feats_normed.npy": (common_x, (len(common_x), n_features)),
        f"{name}_common_nrn_feats_msk.npy": (common_y, (len(common_x), n_voxels)),
        f"{name}_gt.npy": (truth, (n_voxels, n_features + 1)),
    }
    own = f"{len(own_x)} × {n_features} features and {n_voxels} voxels of {name}_unique_*.npy"
    for file, (found, shape) in expected.items():
        knows = f"{own} and {len(common_x)} common images ask for"
        check_shape(str(place / file), found.shape, shape, knows, "download all of them again")
    for file, found in ((f"{name}_unique_img_feats_normed.npy", own_x), ("common_img_feats_normed.npy", common_x)):
        check_finite(str(place / file), found, "download it again")
        lengths = np.linalg.norm(found, axis=1)
        far = np.abs(lengths - 1) > 1e-2  # half precision keeps three digits
        if far.any():
            first = int(np.flatnonzero(far)[0])
            raise BrainalignError(
                f"{place / file}: {far.sum()} of {len(far)} rows are not of length 1 (first: row {first + 1} of length "
                f"{lengths[first]:.3f}); divide each by its length"
            )
    ids = [f"{name}-unique-{row:05d}" for row in range(len(own_x))]
    shared = [f"common-{row:05d}" for row in range(len(common_x))]
    trials = complete_trials(pd.DataFrame({"stimulus_id": ids + shared}), str(place))
    targets = pd.DataFrame({"target_id": [f"{name}-voxel-{row:05d}" for row in range(n_voxels)], "kind": "voxel"})
    values = without_missing(np.concatenate([own_y, common_y]))
    return BraincorlSubject(
        Responses(values, trials, targets.assign(hemi="", roi=empty_lists(n_voxels)), "as released"),
        make_image_split(trials, test=shared, seed=0),
        Features(np.concatenate([own_x, common_x]), pd.DataFrame({"stimulus_id": ids + shared}), "features"),
        np.ascontiguousarray(truth[:, :-1].T),
        truth[:, -1],
    )


def _floats(path: Path) -> NDArray[np.float32]:
    return load_npy(path, 2, REMEDY).astype(np.float32)
