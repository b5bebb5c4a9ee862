"""What a descriptor says of the files of odd-one-out judgements: of three objects, the one that does not belong."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from brainalign.study.parsing import Strict


class TripletFiles(Strict):
    """Text files in the format of the THINGS similarity judgements: paths as everywhere in a descriptor."""

    triplets: tuple[Path, ...] = Field(
        min_length=1, description="numbers of three objects per line, between blanks; the odd one stands last"
    )
    repeats: tuple[Path, ...] = Field(
        (), description="the same for triplets that several people judged: ceilings come from these, and no fit"
    )
    objects: Path = Field(description="a line per object with its id, in the order of the numbers; or a table")
    id_column: str | None = Field(None, description="of a table with a header (.tsv, .csv); else a line is an id")
    label_column: str | None = Field(None, description="names for people and text models; the ids where not given")
    images: Path | None = Field(
        None, description="table: stimulus_id, path of the image that was shown; networks that look at images need it"
    )
    embedding: Path | None = Field(
        None, description="a published embedding, a line of numbers per object: it stands beside what is fitted"
    )
    dimensions: Path | None = Field(None, description="a line per dimension of that embedding: what it is, in words")
    index_base: Literal[0, 1] | None = Field(
        None, description="number of the first object; found in the data where not given, if they say it"
    )
    duplicates: Literal["error", "keep"] = Field(
        "error", description="what the same three objects twice are; keep where several people judged them"
    )
