"""References that pages print for the steps that ran: text for people, BibTeX for reference managers."""

import re
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Reference:
    """One entry of `templates/references.bib`, and its fields."""

    entry: str
    author: str
    year: str
    title: str
    journal: str
    doi: str = ""

    @property
    def text(self) -> str:
        """The reference on one line."""
        authors = self.author.replace(" and others", " and et al.").replace(", ", " ").replace(" and ", ", ")
        return f"{authors} ({self.year}). {self.title}. {self.journal}."


def _references() -> dict[str, Reference]:
    """Read the file of references: every field on a line of its own."""
    text = files("brainalign.report").joinpath("templates/references.bib").read_text(encoding="utf-8")
    entries = {each["key"]: each[0] for each in re.finditer(r"@article\{(?P<key>\w+),\n.*?\n\}", text, re.DOTALL)}
    line = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
    return {key: Reference(entry, **dict(line.findall(entry))) for key, entry in entries.items()}


CITATIONS = _references()
