"""Tables of trials: what was shown when, from a file or from the metadata of MNE epochs."""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Responses, take_rows
from brainalign.checks import BrainalignError, check_choice, check_columns, listed
from brainalign.io import MISSING, read_parquet, read_text_table
from brainalign.study import LEFT_OUT

ENDINGS = (".tsv", ".csv", ".parquet")


def read_table(path: Path | str) -> pd.DataFrame:
    """Return a table as it is in the file; the cells of text files stay text, so that ids keep their zeros.

    Raises BrainalignError if the file does not exist, has another ending or cannot be read as a table; see
    `read_text_table`. `path` ends in .tsv, .csv or .parquet.
    """
    ending = (path := Path(path)).suffix.lower()
    check_choice(f"the ending of {path}", ending, ENDINGS)
    return read_parquet(path) if ending == ".parquet" else read_text_table(path)


def read_trials(path: Path | str) -> pd.DataFrame:
    """Read the trials of a recording, one row per trial in the order of the data.

    A .tsv, .csv or .parquet file with the column stimulus_id becomes trial_id, stimulus_id, session, run, repeat,
    onset_s (see `complete_trials`), then its other columns.
    """
    return complete_trials(read_table(path), str(path))


def complete_trials(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the table with every column a table of trials has; all ids are text.

    Only stimulus_id is required. Where absent, trial_id numbers the rows, session and run are "1", repeat counts the
    presentations of a stimulus from 1, and onset_s is taken from the BIDS column onset, or unknown (NaN). Raises
    BrainalignError if stimulus_id is missing (the message names the nearest column), has empty cells, or session or run
    seem misspelt; if repeat or onset_s are not numbers, or there is no row. `source` names the table in messages.
    Rows that left_out marks (1, else 0) may say nothing else; see `kept_trials`.
    """
    columns = [str(column) for column in table]
    check_columns(source, columns, ["stimulus_id"])
    for name in ("session", "run"):  # of 'sesion' all trials would become one, and be z-scored as one
        near = difflib.get_close_matches(name, [column.lower() for column in columns], n=1, cutoff=0.8)
        if name not in columns and near:
            given = next(column for column in columns if column.lower() == near[0])
            raise BrainalignError(f"{source}: no column {name!r}, but {given!r}; rename it to {name!r}")
    table = table.reset_index(drop=True)
    marked = as_numbers(table.assign(**{LEFT_OUT: table.get(LEFT_OUT, 0)}), LEFT_OUT, source, whole=True) == 1
    if "repeat" in columns:
        table["repeat"] = table["repeat"].astype(object).mask(marked, 1)
    if marked.all():
        raise BrainalignError(f"{source}: no trial; give one row per trial")
    ids = {name: as_ids(table[name]) for name in ("trial_id", "stimulus_id", "session", "run") if name in table}
    for name, column in ids.items():
        empty = np.flatnonzero(column.isin(MISSING) & ~marked)
        if len(empty):
            raise BrainalignError(
                f"{source}: {len(empty)} rows have no {name} (rows {listed((empty + 1).tolist())}); fill them, or mark "
                f"these trials with a 1 in a column {LEFT_OUT}, others with a 0"
            )
    n_trials = len(table)
    number = pd.Series([f"trial-{row:04d}" for row in range(n_trials)])
    result = pd.DataFrame({"trial_id": ids.get("trial_id", number), "stimulus_id": ids["stimulus_id"]})
    for name in ("session", "run"):
        result[name] = ids.get(name, pd.Series(["1"] * n_trials))
    counted = result.groupby(["stimulus_id", marked], sort=False).cumcount() + 1
    result["repeat"] = as_numbers(table, "repeat", source, whole=True) if "repeat" in table else counted
    onset = next((name for name in ("onset_s", "onset") if name in table), None)
    result["onset_s"] = as_numbers(table, onset, source) if onset else np.nan
    return pd.concat([result, table[[name for name in table if name not in {*result, "onset"}]]], axis=1)


def kept_trials(responses: Responses) -> Responses:
    """Leave out the trials that the table of some responses marks; stored values stay in their file."""
    if LEFT_OUT not in responses.trials:
        return responses
    kept = np.flatnonzero(responses.trials[LEFT_OUT].astype(float) != 1)
    trials = responses.trials.iloc[kept].drop(columns=LEFT_OUT).reset_index(drop=True)
    return replace(responses, values=take_rows(responses.values, kept), trials=trials)


def as_ids(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Write ids as text, those of tables of numbers too."""
    if pd.api.types.is_float_dtype(column) and not (column.dropna() % 1).any():
        column = column.astype("Int64")  # 3.0 means the stimulus "3"; a missing cell made the column floating
    return column.astype(object).where(column.notna(), "").astype(str)


def as_numbers(table: pd.DataFrame, name: str, source: str, *, whole: bool = False) -> "pd.Series[Any]":
    """Return a column as numbers, NaN where nothing is known; whole ones must all be known."""
    cells = table[name].replace(list(MISSING), np.nan)
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = numbers % 1 != 0 if whole else numbers.isna() & cells.notna()
    if wrong.any():
        row, kind = int(np.flatnonzero(wrong)[0]), "a whole number" if whole else "a number"
        raise BrainalignError(f"{source}: {name} is {table[name].iloc[row]!r} in row {row + 1}; it must be {kind}")
    return numbers.astype(int if whole else float)
