"""What the page of a subject with stimuli held out draws from. What a failed stage did not leave is None."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.io import open_picture, read_parquet, read_text_table
from brainalign.report.kit.found_directions import FoundDirections
from brainalign.report.kit.material import SubjectMaterial
from brainalign.report.kit.synthesised import SynthesisedImages

THUMBNAIL = 96  # pixels


def thumbnails(table: Path, names: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return small copies (size, size, 3) of images that a table of stimuli lists, of those that are there."""
    stimuli = read_parquet(table) if table.suffix == ".parquet" else read_text_table(table)
    paths: Any = stimuli.set_index("stimulus_id")["path"] if "path" in stimuli else {}
    files = {name: table.parent / str(paths.get(name, "")) for name in names}
    pictures = {name: open_picture(path).convert("RGB") for name, path in files.items() if path.is_file()}
    return {name: np.asarray(image.resize((THUMBNAIL, THUMBNAIL)), dtype=np.uint8) for name, image in pictures.items()}


@dataclass(frozen=True)
class ImageEncoding:
    """One method on one model: tables of the encode stage."""

    scores: pd.DataFrame
    profile: pd.DataFrame
    preference: pd.DataFrame
    clusters: pd.DataFrame
    partition: pd.DataFrame = field(default_factory=pd.DataFrame)  # of joint fits: what each layer adds
    baselines: pd.DataFrame = field(default_factory=pd.DataFrame)  # of trained encoders: others beside them
    ensemble: pd.DataFrame = field(default_factory=pd.DataFrame)  # of trained encoders: all layers as one
    fields: Arrays | None = None  # of trained encoders: where they look
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)  # of in-context encoding: scores by number of images
    null: NDArray[np.floating] | None = None  # (n_permutations,), the largest mean r of any region and layer


@dataclass
class ImageMaterial(SubjectMaterial):
    """One subject of a study that holds stimuli out.

    Attributes
    ----------
    encodings : dict
        By (model, method), in the order of the configuration.
    pictures : dict
        Small images (size, size, 3), uint8, of the stimuli that attention is shown for.
    """

    encodings: dict[tuple[str, str], ImageEncoding] = field(default_factory=dict)
    captions: dict[str, pd.DataFrame] = field(default_factory=dict)  # by artifact; empty where no voxel has words
    grounding: dict[str, pd.DataFrame] = field(default_factory=dict)  # by artifact; empty where no words are grounded
    grounded_words: Arrays | None = None
    grounded_regions: pd.DataFrame | None = None
    differences: pd.DataFrame | None = None
    recovery: pd.DataFrame | None = None
    contest: pd.DataFrame | None = None
    winners: pd.DataFrame | None = None
    synthesised: SynthesisedImages | None = None
    directions: FoundDirections | None = None  # of fMRI subjects whose regions directions are sought for
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def has_ceilings(self) -> bool:
        """Whether any target of any fit has a ceiling; a table of a stage that failed may lack the column."""
        scores = (encoding.scores.reindex(columns=["ceiling"]) for encoding in self.encodings.values())
        return any(bool(table.notna().any(axis=None)) for table in scores)

    @property
    def of_layers(self) -> dict[tuple[str, str], ImageEncoding]:
        """Encodings with a fit per layer, whose layers can be compared."""
        return {key: encoding for key, encoding in self.encodings.items() if not self.joint(key[1])}

    def leading(self, fits: Collection[tuple[str, str]]) -> tuple[str, str]:
        """Choose the fit that maps are drawn of: of models that know the stimuli, the one with the largest mean r."""
        rows = [] if self.summary is None else self.summary.query("chosen and quantity == 'mean r'").to_dict("records")
        scores = {(row["model"], row["method"]): np.nan_to_num(row["value"], nan=-np.inf) for row in rows}
        informed = [fit for fit in fits if fit[0] not in self.uninformed]
        return max(informed or fits, key=lambda fit: scores.get(fit, -np.inf))

    def joint(self, method: str) -> bool:
        """Return whether a method fits all layers of a model at once."""
        return self.config.methods[method].joint

    def fields_of(self, model: str, method: str) -> Mapping[str, Any]:
        """Return grids and regions of a fit's spatial fields by layer, and the stimuli they are of."""
        return self.details(f"model-{model}_method-{method}_fields") or {"layers": {}, "stimuli": []}

    def chosen(self, model: str, method: str) -> str:
        """Return the layer that was chosen inside the training images."""
        if self.summary is None:
            return str(self.encodings[model, method].profile["layer"].iloc[0])
        rows = self.summary[(self.summary["model"] == model) & (self.summary["method"] == method)]
        return str(rows.loc[rows["chosen"], "layer"].iloc[0])
