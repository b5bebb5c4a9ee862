"""Tables in text files, read as they stand: a row that has more cells than the header names is refused, not shifted."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from brainalign.checks import BrainalignError, listed
from brainalign.io.readers import open_text, reading

MISSING = ("", "n/a", "N/A", "nan", "NaN", "<NA>", "None")  # cells in which nothing is known


def read_text_table(path: Path, separator: str | None = None) -> pd.DataFrame:
    """Read a table whose cells stay text, so that ids keep their zeros; empty cells are "".

    pandas takes a surplus cell in the first row for an index and moves every column by one. Read without a header,
    the line of names is a row like any other, and the parser refuses a row that is longer.

    The separator is a comma where the name ends in .csv, else a tab, unless given.
    """
    separator = separator or ("," if path.suffix.lower() == ".csv" else "\t")
    with no_cell_lost(path), open_text(path) as file:
        cells = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, header=None)
    names = [name or f"Unnamed: {place}" for place, name in enumerate(cells.iloc[0])]
    other = next((mark for mark in ";\t," if len(names) == 1 and mark != separator and mark in names[0]), None)
    if other is not None and re.sub(r'[_"\s.-]', "", names[0].replace(other, "")).isalnum():
        words = {";": "semicolons", "\t": "tabs", ",": "commas"}
        raise BrainalignError(
            f"{path}: its cells are separated by {words[other]}, not by {words[separator]} as its name says; save it so"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BrainalignError(f"{path}: two columns are called {listed(twice)}; keep one of each name")
    return cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


@contextmanager
def no_cell_lost(path: Path | str) -> Iterator[None]:
    """Turn what pandas says of a table that it cannot read, or reads with cells left out, into the project's error.

    For tables read with `index_col=False`, where pandas only warns of a surplus cell; `path`, what is read, is named in
    the message.
    """
    with reading(path, "not a readable table"):  # csv.Error, a file without any text, bytes that are no text, ...
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                yield
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            surplus = isinstance(error, pd.errors.ParserWarning) or " saw " in str(error)
            what = "a row has more cells than the header" if surplus else "not a readable table"
            remedy = "put text that holds the separator in quotation marks, or write the table again"
            raise BrainalignError(f"{path}: {what} ({str(error).strip()}); {remedy}") from error
