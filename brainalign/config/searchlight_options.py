"""Options of the searchlight stage: which models, in whom, in neighbourhoods of which size."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from brainalign.study import DistinctNames, Hemisphere, Strict, Strings


class SearchlightSettings(Strict):
    """Options of the searchlight stage: the geometry of every neighbourhood of the brain against those of models."""

    models: DistinctNames = Field((), description="a map of each; none: no searchlights")
    subjects: Strings | None = Field(None, description="fMRI subjects: all of a dataset where not given")
    radius_mm: float = Field(10.0, gt=0, description="of balls in volumes and of discs along the mesh on surfaces")
    n_nearest: int | None = Field(None, ge=2, description="on surfaces: so many nearest vertices instead of a radius")
    distance: Literal["crossnobis", "correlation", "euclidean"] | None = Field(
        None, description="where not given crossnobis for blocks, correlation for images"
    )
    noise: Literal["full", "diagonal", "none"] = Field(
        "full",
        description="noise of blocks by which crossnobis and Euclidean distances are whitened: covariance of the "
        "voxels of each neighbourhood, their variances, or none; studies of images have no residuals to take it from",
    )
    feature_distance: Literal["correlation", "euclidean"] = "correlation"
    comparison: Literal["pearson", "spearman", "rho-a", "cosine", "whitened-pearson", "whitened-cosine"] = "pearson"
    permutations: int = Field(1000, ge=19, description="of the stimuli of the feature RDM, shared by all centres")
    meshes: dict[Hemisphere, Path] = Field(
        {}, description="surfaces (GIFTI or FreeSurfer), for other meshes than fsaverage5 and coarser ones"
    )
