"""The images of the Natural Scenes Dataset, taken out of its one file of 73,000."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from brainalign.checks import BrainalignError
from brainalign.datasets.published.common import required
from brainalign.datasets.published.nsd_design import read_nsd_design
from brainalign.io import make_folder, open_hdf5, writing


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
            image = Image.fromarray(bricks[int(number)])
            with writing(into / f"{name}.png"):
                image.save(into / f"{name}.png")
    table = pd.DataFrame({"stimulus_id": names, "path": [f"{name}.png" for name in names]})
    table["set"] = ["shared" if name in shared else "unique" for name in names]
    table.to_csv(into / "stimuli.tsv", sep="\t", index=False)
    return table
