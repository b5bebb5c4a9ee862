"""Captions of images that come from COCO, as those of the Natural Scenes Dataset and Algonauts 2023 do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.datasets.published.common import nsd_image, required
from brainalign.io import read_json, read_text_table, reading


def nsd_coco_ids(folder: Path | str) -> dict[str, int]:
    """Return the id in COCO of every image of NSD (by "nsd-00013"), from nsd_stim_info_merged.csv in nsddata.

    Raises
    ------
    BrainalignError
        If the file is missing or has no columns nsdId and cocoId.
    """
    path = Path(folder) / "nsddata" / "experiments" / "nsd" / "nsd_stim_info_merged.csv"
    required(path, "download nsddata/experiments/nsd/nsd_stim_info_merged.csv of the release")
    table = read_text_table(path)
    check_columns(path, table, ("nsdId", "cocoId"), "download it again")
    with reading(path, "its ids are no whole numbers"):
        return {nsd_image(int(nsd)): int(coco) for nsd, coco in zip(table["nsdId"], table["cocoId"], strict=True)}


def coco_captions(annotations: Sequence[Path | str], coco_ids: Mapping[str, int]) -> pd.DataFrame:
    """Return the captions of images as the table that a descriptor names under `captions`.

    Parameters
    ----------
    annotations : sequence of paths
        captions_train2017.json and captions_val2017.json of COCO: the images of NSD come from both.
    coco_ids : mapping of int
        Id in COCO by stimulus: of NSD from `nsd_coco_ids`, restricted to the images at hand.

    Returns
    -------
    DataFrame
        stimulus_id, caption: some five rows per image.

    Raises
    ------
    BrainalignError
        If a file is no annotation of captions, or an image has no caption in any of them.
    """
    captions: dict[int, list[str]] = {}
    for path in map(Path, annotations):
        required(path, "download annotations_trainval2017.zip of COCO")
        with reading(path, "no captions of COCO", "give captions_train2017.json"):
            annotated = read_json(path, "no captions of COCO", "give captions_train2017.json")["annotations"]
            found = [(int(row["image_id"]), str(row["caption"]).strip()) for row in annotated]
        for image, caption in found:
            captions.setdefault(image, []).append(caption)
    if missing := [stimulus for stimulus, image in coco_ids.items() if image not in captions]:
        files = listed([Path(path).name for path in annotations])
        raise BrainalignError(
            f"{len(missing)} of {len(coco_ids)} images have no caption in {files} ({listed(missing)}); give the "
            "annotations of both train2017 and val2017"
        )
    rows = [(stimulus, caption) for stimulus, image in coco_ids.items() for caption in captions[image]]
    return pd.DataFrame(rows, columns=["stimulus_id", "caption"])
