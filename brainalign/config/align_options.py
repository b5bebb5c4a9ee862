"""The section `align` of the configuration: which network learns from people's choices, and which ones learn from it.

AlignSettings     teacher, students, split, penalties, triplets, training, nulls
"""

from typing import Literal

from pydantic import Field

from brainalign.study import Name, Names, Strict


class AlignSettings(Strict):
    """Options of the align stage: networks aligned with odd-one-out judgements."""

    teacher: Name | None = Field(None, description="model that learns from people; without it nothing is aligned")
    students: Names | None = Field(None, description="models that learn from it; all others by default")
    choices: Literal["judged", "sparse", "variational"] = Field(
        "judged",
        description="what the teacher learns: single choices, or the probabilities of an embedding that is fitted to "
        "them, with n_dims and epochs of concepts",
    )
    object_share: float = Field(0.25, gt=0, lt=1, description="of the objects: unseen in training, for the test")
    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1), min_length=2, description="of the teacher's map, chosen on held-out training objects"
    )
    local_weight: float = Field(0.1, ge=0, description="with which the teacher keeps each object's neighbours")
    clusters: int = Field(50, ge=2, description="of training objects; triplets have two of one and one of another")
    triplets: int = Field(20_000, ge=1, description="that students learn from")
    divergence: Literal["kl", "jsd"] = "kl"
    decay: float = Field(0.1, ge=0, description="with which students return to where they came from")
    steps: int = Field(500, ge=1)
    learning_rate: float | None = Field(
        None, gt=0, description="of students; by default 0.15 over the number of features, as the map has their square"
    )
    groups: int = Field(27, ge=3, description="clusters of the embedding of concepts: levels of abstraction in scores")

    def models_of(self, models: list[str]) -> list[str]:
        """Return the teacher and its students among the models of a dataset; none where the teacher is not one."""
        if self.teacher not in models:
            return []
        students = models if self.students is None else [name for name in models if name in self.students]
        return [self.teacher, *(name for name in students if name != self.teacher)]
