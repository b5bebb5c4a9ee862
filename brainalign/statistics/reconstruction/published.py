"""Published scores of reconstructions of the Natural Scenes Dataset, and a table with one's own row beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError

# Column of the table: metric and name of the features in `reconstruction_scores`. Identification in per cent.
ENTRIES = {
    "PixCorr": ("PixCorr", ""),
    "SSIM": ("SSIM", ""),
    "Inception": ("2-way", "Inception"),
    "CLIP": ("2-way", "CLIP"),
    "EfficientNet-B1": ("distance", "EfficientNet-B1"),
    "SwAV": ("distance", "SwAV"),
}
# Means over subjects 1, 2, 5 and 7, as later papers quote them in their tables; not checked against the originals.
PUBLISHED = pd.DataFrame(
    [
        ("Takagi & Nishimoto", 0.246, 0.410, 83.8, 82.1, 0.811, 0.504),
        ("MindEye2", 0.322, 0.431, 95.4, 93.0, 0.619, 0.344),
        ("MindHier", 0.326, 0.461, 95.9, 95.4, 0.613, 0.345),
    ],
    columns=["method", *ENTRIES],
)


def beside_published(scores: pd.DataFrame, name: str, *, dataset: str) -> pd.DataFrame:
    """Put one's own scores into the table of published ones.

    Parameters
    ----------
    scores : DataFrame
        From `reconstruction_scores`. Only extractors called exactly Inception (pool), CLIP (ViT-L/14),
        EfficientNet-B1 and SwAV fill their columns; what a stand-in scored is left out.
    name : str
        Of the row.
    dataset : str
        "nsd": the published figures are of the shared test images of the Natural Scenes Dataset.

    Returns
    -------
    DataFrame
        method, then PixCorr, SSIM (higher is better), Inception, CLIP (two-way identification, per cent),
        EfficientNet-B1 and SwAV (distance, lower is better); NaN where nothing was scored.

    Raises
    ------
    BrainalignError
        If the scores are of another dataset, or a metric occurs more than once.
    """
    if dataset != "nsd":
        raise BrainalignError(
            f"published figures are of the shared images of 'nsd'; scores of {dataset!r} cannot stand beside them: "
            "other images are easier or harder to tell apart"
        )
    mine: dict[str, object] = {"method": name}
    rows = scores[(scores["images"] == "reconstructed") & scores["distractors"].isin(["", "all"])]
    for column, (metric, features) in ENTRIES.items():
        found = rows[(rows["metric"] == metric) & (rows["features"] == features)]["value"]
        if len(found) > 1:
            raise BrainalignError(f"{column} occurs {len(found)} times; give the scores of one reconstruction")
        percent = 100 if metric == "2-way" else 1
        mine[column] = percent * float(found.iloc[0]) if len(found) else np.nan
    return pd.concat([PUBLISHED, pd.DataFrame([mine])], ignore_index=True)
