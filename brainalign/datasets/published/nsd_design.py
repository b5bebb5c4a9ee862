"""What the Natural Scenes Dataset showed to whom and when (nsd_expdesign.mat), and its one file of 73,000 images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainalign.checks import BrainalignError, check_named, listed
from brainalign.datasets.published.common import nsd_image, required
from brainalign.io import make_folder, open_hdf5, reading, writing

NSD_SESSIONS = (40, 40, 32, 30, 40, 32, 40, 30)
N_TRIALS = 750  # of a session
# Trials of the twelve runs of a session: odd runs 63, even ones 62.
RUNS = np.repeat(np.arange(1, 13), [63, 62] * 6)


@dataclass(frozen=True)
class NsdDesign:
    """The design of NSD, ids counted from 0 (the file counts from 1).

    Attributes
    ----------
    images : array (n_subjects, n_images)
        Which of the 73,000 images each of a subject's images is.
    order : array (n_trials,)
        Which of the subject's images each trial shows; the same for all subjects.
    shared : list of str
        Images of all subjects.
    """

    images: NDArray[np.int64]
    order: NDArray[np.int64]
    shared: list[str]

    def sessions(self, number: int, wanted: Sequence[int] | None) -> list[int]:
        """Return the sessions to read of a subject."""
        if number > len(NSD_SESSIONS):
            raise BrainalignError(f"subject is {number}; NSD has 1 to {len(NSD_SESSIONS)}")
        have = NSD_SESSIONS[number - 1]
        chosen = list(range(1, have + 1)) if wanted is None else [int(session) for session in wanted]
        wrong = [session for session in chosen if not 1 <= session <= have]
        if wrong or not chosen or len(set(chosen)) < len(chosen):
            remedy = f"subject {number} of NSD has 1 to {have}, each once"
            raise BrainalignError(f"sessions are {listed(chosen, 8) or 'none'}; {remedy}")
        return chosen

    def trials(self, number: int, sessions: Sequence[int]) -> pd.DataFrame:
        """Return the table of trials of some sessions of a subject; `repeat` counts from its first session on."""
        return nsd_trials(self.images[number - 1][self.order], sessions)

    def seen_by_all(self, times: int = 3) -> list[str]:
        """Return the shared images that every subject saw so often, given how many sessions each has."""
        numbers, counts = np.unique(self.order[: N_TRIALS * min(NSD_SESSIONS)], return_counts=True)
        shared = set(self.shared)
        names = [nsd_image(int(image)) for image in self.images[0][numbers[counts >= times]]]
        return [name for name in names if name in shared]


def nsd_trials(images: NDArray[np.int64], sessions: Sequence[int]) -> pd.DataFrame:
    """Return the table of trials of some sessions."""
    table = pd.DataFrame({"image": images})
    table["stimulus_id"] = table["image"].map(nsd_image)
    table["repeat"] = table.groupby("image", sort=False).cumcount() + 1
    rows = np.arange(len(table))
    session, trial = rows // N_TRIALS + 1, rows % N_TRIALS
    table["session"], table["run"] = session.astype(str), RUNS[trial].astype(str)
    table["trial_id"] = [f"ses-{s:02d}_trial-{t + 1:03d}" for s, t in zip(session, trial, strict=True)]
    chosen = np.concatenate([np.arange(N_TRIALS) + N_TRIALS * (s - 1) for s in sessions])
    columns = ["trial_id", "stimulus_id", "session", "run", "repeat"]
    return table.loc[chosen, columns].assign(onset_s=np.nan).reset_index(drop=True)


def read_nsd_design(path: Path) -> NsdDesign:
    """Read nsd_expdesign.mat."""
    from pymatreader import read_mat

    required(path, "give the folder that holds nsddata and nsddata_betas; the design is in nsddata/experiments/nsd")
    names = ("subjectim", "masterordering", "sharedix")
    with reading(path, "not a readable MATLAB file", "download it again"):
        content = read_mat(path, variable_names=names)
    check_named(path, content, names, "variable", "download it again")
    with reading(path, "its variables are no numbers", "download it again"):
        images, order, shared = (np.asarray(content[name]).astype(np.int64) for name in names)
    n_subjects, n_trials = len(NSD_SESSIONS), N_TRIALS * max(NSD_SESSIONS)
    if images.ndim != 2 or len(images) != n_subjects or order.size != n_trials:
        raise BrainalignError(
            f"{path}: subjectim has shape {images.shape} and masterordering {order.size} trials; expected "
            f"({n_subjects}, 10000) and {n_trials}"
        )
    if order.min() < 1 or order.max() > images.shape[1]:
        known = f"expected 1 to {images.shape[1]}, the columns of subjectim"
        raise BrainalignError(f"{path}: masterordering runs from {order.min()} to {order.max()}; {known}")
    return NsdDesign(images - 1, order.ravel() - 1, [nsd_image(int(image)) for image in shared.ravel() - 1])


def write_nsd_images(folder: Path | str, stimulus_ids: Sequence[str], into: Path | str) -> pd.DataFrame:
    """Write images as .png and stimuli.tsv, the table of images of a descriptor, beside them.

    Parameters
    ----------
    folder : path
        Holds nsddata and nsddata_stimuli.
    stimulus_ids : sequence of str
        As in the table of trials ("nsd-02950"); each is written once.
    into : path
        Folder, made where there is none.

    Returns
    -------
    DataFrame
        stimulus_id, path (relative), set ("shared" or "unique").

    Raises
    ------
    BrainalignError
        If the file of images is missing, damaged or of another shape, or has no such image.
    """
    root, into = Path(folder), Path(into)
    shared = set(read_nsd_design(root / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat").shared)
    path = root / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
    required(path, "download nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5 of the release")
    names = sorted(set(stimulus_ids))
    make_folder(into)
    with open_hdf5(path) as file:
        bricks = file.get("imgBrick")
        if bricks is None or bricks.ndim != 4 or bricks.shape[3] != 3 or bricks.dtype != np.uint8:
            found = f"{bricks.dtype} of shape {bricks.shape}" if bricks is not None else "no dataset 'imgBrick'"
            raise BrainalignError(f"{path}: has {found}; expected 'imgBrick', uint8 of shape (73000, 425, 425, 3)")
        for name in names:
            number = name.removeprefix("nsd-")
            if not number.isdigit() or int(number) >= len(bricks):
                raise BrainalignError(f"{path}: has no image {name!r}; expected nsd-00000 to {len(bricks) - 1}")
            with writing(into / f"{name}.png"):
                Image.fromarray(bricks[int(number)]).save(into / f"{name}.png")
    table = pd.DataFrame({"stimulus_id": names, "path": [f"{name}.png" for name in names]})
    table["set"] = ["shared" if name in shared else "unique" for name in names]
    table.to_csv(into / "stimuli.tsv", sep="\t", index=False)
    return table
