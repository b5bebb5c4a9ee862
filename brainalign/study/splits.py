"""Which trials test: runs, sessions, stimuli or others left out in turn, or one set of stimuli held out."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from brainalign.checks import listed
from brainalign.study.parsing import Name, Strict


def _as_in_tables(value: object) -> object:
    """Return `true` or a number of YAML as a table writes it."""
    return str(value) if isinstance(value, bool | int | float) else value


class Split(Strict):
    """Test sets: runs, sessions, stimuli or others left out in turn; or one set of stimuli held out.

    Left out are every `size` of them, or they are drawn into so many `folds`. Those held out have a `value` in a
    `column` of the table of stimuli, or are a `share` drawn at random.
    """

    leave_out: str | None = Field(
        None, min_length=1, description="run, session, stimulus, or a column of the table of trials, such as story"
    )
    size: int = Field(1, ge=1, description="how many are left out at a time")
    folds: int | None = Field(None, ge=2, description="test sets that all are drawn into, instead of size")
    column: str | None = None
    value: Annotated[str | None, BeforeValidator(_as_in_tables)] = None
    share: float | None = Field(None, gt=0, lt=1)
    near_duplicates: Literal["error", "warning"] = Field(
        "error", description="what nearly the same picture in training and test is"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        by_column = self.column is not None and self.value is not None
        rules = [self.leave_out is not None, by_column, self.share is not None]
        if sum(rules) != 1 or (self.column is None) != (self.value is None):
            raise ValueError("give leave_out, or column and value, or share: what the test stimuli are")
        if self.of_stimuli and self.size < 2 and self.folds is None:
            raise ValueError("leaving out one stimulus leaves nothing to tell it from; use size: 2 or more, or folds")
        if self.leave_out is None and (self.size > 1 or self.folds is not None):
            raise ValueError("size and folds are of what is left out in turn; give leave_out, or leave them out")
        if self.size > 1 and self.folds is not None:
            raise ValueError("give size or folds, one of them")
        return self

    @property
    def plural(self) -> str:
        """The name of several of what is left out."""
        return {"stimulus": "stimuli", "story": "stories"}.get(str(self.leave_out), f"{self.leave_out}s")

    @property
    def of_stimuli(self) -> bool:
        """Whether stimuli are left out, so that those tested were never trained on."""
        return self.leave_out == "stimulus"


def _one_sort(splits: dict[str, Split]) -> dict[str, Split]:
    held = [name for name, split in splits.items() if split.leave_out is None]
    if held and len(splits) > 1:
        raise ValueError(
            f"{held[0]} holds stimuli out once, and {listed([name for name in splits if name != held[0]])} stands "
            "beside it; describe a second study of the same files for another split"
        )
    if splits and not held and all(split.of_stimuli and split.folds is None for split in splits.values()):
        raise ValueError(
            "so few stimuli at a time have no scores per target; add a split like runs: {leave_out: run}, or give "
            "folds in place of size"
        )
    return splits


Splits = Annotated[dict[Name, Split], AfterValidator(_one_sort)]
