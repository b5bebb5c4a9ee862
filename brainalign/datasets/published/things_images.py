"""The images of THINGS in the order of conditions: concept by concept, then file by file."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, check_columns, check_unique
from brainalign.datasets.published.common import load_pickled_dict, required
from brainalign.io import file_digest

METADATA = {"training": "train", "test": "test"}  # prefixes of image_metadata.npy
IMAGES = (".jpg", ".jpeg", ".png")
REMEDY = "give the folder of the images, or image_metadata.npy"


def things_image_rows(
    images: Path | str, partition: Literal["training", "test"], *, trust_pickle: bool = False, hashes: bool = True
) -> pd.DataFrame:
    """Return the images of a partition in the order of the conditions, and of rows of features: concept, then file.

    Parameters
    ----------
    images : path
        The folder with training_images/ and test_images/, in which every concept has a folder; or image_metadata.npy.
    partition : {"training", "test"}
    trust_pickle : bool
        Load image_metadata.npy, which is a pickle.
    hashes : bool
        Read every image for its sha256.

    Returns
    -------
    DataFrame
        stimulus_id (name of the file without its ending), concept (name of its folder without the number), path and
        sha256 (empty where unknown).

    Raises
    ------
    BrainalignError
        If there is no such folder, no image in it, or two images have one name.
    """
    check_choice("partition", partition, METADATA)
    place = Path(images)
    if place.is_file():
        columns = [f"{METADATA[partition]}_img_{name}" for name in ("concepts", "files")]
        content = load_pickled_dict(place, REMEDY, columns, trust_pickle=trust_pickle)
        folders, names = ([str(name) for name in content[column]] for column in columns)
        paths = ["" for _ in names]
    else:
        folder = required(place / f"{partition}_images", "give the folder with training_images/ and test_images/")
        found = [
            image
            for concept in sorted(folder.iterdir())
            if concept.is_dir()
            for image in sorted(concept.iterdir())
            if image.suffix.lower() in IMAGES
        ]
        folders, names, paths = [p.parent.name for p in found], [p.name for p in found], [str(p) for p in found]
    table = pd.DataFrame({"stimulus_id": [Path(name).stem for name in names]})
    table["concept"] = [name.split("_", 1)[1] if name.split("_")[0].isdigit() else name for name in folders]
    table["path"] = paths
    table["sha256"] = [file_digest(path) if hashes and path else "" for path in paths]
    if not len(table):
        raise BrainalignError(f"{place}: no image of the {partition} set; give the folder of the images of THINGS")
    check_unique(place, table["stimulus_id"], "names of images", "rename them")
    return table


def drop_tested_concepts(responses: Responses) -> Responses:
    """Return the responses without the training trials of concepts that are tested too, as THINGS-MEG has them.

    Trials have the columns concept and partition ("test" is tested); `trials.attrs["n_dropped_concepts"]` of what is
    returned counts the concepts that lost trials.

    Raises
    ------
    BrainalignError
        If a column is missing, or no trial is tested or none is left to train.
    """
    trials = responses.trials
    check_columns("the table of trials", trials, ("concept", "partition"))
    tested = trials["partition"].eq("test")
    lost = ~tested & trials["concept"].isin(trials["concept"][tested])
    if not tested.any() or (tested | lost).all():
        raise BrainalignError(
            f"{int(tested.sum())} trials are tested and {int((~tested & ~lost).sum())} are left to train of "
            f"{len(trials)}; name the tested ones 'test' in the column partition"
        )
    kept = responses.select(trials=(~lost).to_numpy())
    kept.trials.attrs["n_dropped_concepts"] = int(trials["concept"][lost].nunique())
    return kept


def concept_splits(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per trial: those of the partition "test" are tested, the others train; groups are concepts."""
    table = trials[["trial_id", "stimulus_id"]].assign(group=trials["concept"])
    return table.assign(split=np.where(trials["partition"].eq("test"), "test", "train"), fold=0, seed=0)
