"""The section `concepts` of the configuration: embeddings of odd-one-out judgements, and what is compared with them.

ConceptSettings     methods, starts, splits, nulls, and the dataset whose regions stand beside
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from brainalign.study import DatasetName, Strict


class ConceptSettings(Strict):
    """Options of the concepts stage."""

    methods: tuple[Literal["sparse", "variational"], ...] = Field(
        ("sparse", "variational"), min_length=1, description="the first one is what networks and regions stand beside"
    )
    n_dims: int = Field(100, ge=1, description="at the start, most are pruned; variational: up to a third of objects")
    starts: int = Field(20, ge=2, description="seeds; dimensions must be found again from the others")
    least_r: float = Field(0.8, gt=0, lt=1, description="with which a dimension must be found again")
    alphas: tuple[float, ...] = Field(
        (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07), min_length=1, description="of sparse"
    )
    epochs: int = Field(60, ge=1)
    test_share: float = Field(0.1, gt=0, lt=1, description="of the different triplets")
    object_share: float = Field(0.25, gt=0, lt=1, description="of the objects: unseen in the second kind of split")
    object_splits: int = Field(3, ge=1)
    folds: int = Field(5, ge=2, description="over objects, for dimensions read out of features")
    permutations: int = Field(100, ge=19, description="of the objects of a network or region")
    readout_permutations: int = Field(20, ge=1, description="of these, fitted anew for every dimension")
    objects: int = Field(300, ge=10, description="for RDMs; a random sample where there are more")
    regions_of: DatasetName | None = Field(
        None, description="a study of images of this configuration whose fMRI subjects saw the same stimulus ids"
    )
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _objects_for_all_splits(self) -> Self:
        if self.object_splits * self.object_share > 1:
            raise ValueError(
                f"object_splits {self.object_splits} times object_share {self.object_share} is more than 1, but no "
                "object is unseen twice; choose fewer splits or a smaller share"
            )
        return self
