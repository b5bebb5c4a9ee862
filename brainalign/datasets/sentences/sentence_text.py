"""Sentences as they should be: encoding errors repaired, typing errors corrected, an id made of the text."""

import csv
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.io import no_cell_lost, open_text, reading

# Typing errors of ZuCo's files; others are given by the caller, who knows the release.
TYPOS: Mapping[str, str] = MappingProxyType({"emp11111ty": "empty", "film.1": "film."})

# What the bytes of UTF-8 look like where they were read as Windows-1252: a lead byte and its continuations.
BYTES = {bytes([b]).decode("cp1252", errors="replace"): b for b in range(0x80, 0x100)} | {
    chr(b): b for b in range(0x80, 0x100)
}
REST = "".join(re.escape(char) for char, byte in BYTES.items() if byte < 0xC0 and char != "\ufffd")
# Ends of words as in "café\xa0»", "Spaß“" or "CAFÉ–BAR" were read as they are: most leads do not go on with a word.
MISREAD = re.compile(
    f"(?:[\u00c2-\u00c5]|(?<![A-Z\u00c0-\u00de])[\u00c6-\u00de]|(?<![A-Za-z\u00c0-\u00ff])\u00df)[{REST}]"
    f"|(?:\u00e1(?=[\u00ba\u00bb])|\u00e2|(?<![A-Za-z\u00c0-\u00ff])[\u00e0\u00e1\u00e3-\u00ef])[{REST}]{{2}}"
    f"|[\u00f0-\u00f4][{REST}]{{3}}"
)


def clean_text(text: str, typos: Mapping[str, str] = TYPOS) -> str:
    """Return a sentence in NFC, with one blank between words, UTF-8 that was read as Windows-1252 undone.

    `typos` says what to put in the place of each typing error, wherever it occurs.
    """
    text = MISREAD.sub(_as_utf8, text)
    for wrong, right in typos.items():
        text = text.replace(wrong, right)
    return " ".join(unicodedata.normalize("NFC", text).split())


def _as_utf8(found: re.Match[str]) -> str:
    try:
        return bytes(BYTES[char] for char in found[0]).decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def text_hash(text: str) -> str:
    """Return the sha256 of a cleaned sentence, whatever its case."""
    return hashlib.sha256(clean_text(text).casefold().encode()).hexdigest()


def text_id(text: str) -> str:
    """Return the stimulus id of a sentence: the same text has the same id in every task, release and subject."""
    return f"text-{text_hash(text)[:12]}"


def read_task_table(
    path: Path | str,
    *,
    columns: list[str] | None = None,
    text_column: str = "sentence",
    typos: Mapping[str, str] = TYPOS,
) -> pd.DataFrame:
    """Read the sentences and labels that belong to a task.

    Fields are separated by semicolons, commas or tabs, whichever the first line has most of; lines that begin with #
    are comments, as in the materials of ZuCo 1.

    Parameters
    ----------
    path : path
    columns : list of str, optional
        Of a file without a line of names, such as `nr_1.csv` of ZuCo 2.
    text_column : str
    typos : mapping
        See `clean_text`.

    Returns
    -------
    DataFrame
        text (cleaned), stimulus_id, then the other columns as text; of a sentence that is listed twice the first row.
    """
    with reading(path, "cannot be read", "give a CSV file of sentences"), open_text(path) as file:
        lines = StringIO(file.read(), newline=None)
    kept = [line.rstrip("\n") for line in lines if not line.startswith("#") and line.strip()]
    separator = max(";,\t", key=kept[0].count) if kept else ","
    header, rows = (kept[:1], kept[1:]) if columns is None else ([], kept)
    if all(row.endswith(separator) for row in rows):  # a separator that ends every line begins no cell
        rows = [row.removesuffix(separator) for row in rows]
    with no_cell_lost(path):
        named = [name for line in csv.reader(header, delimiter=separator) for name in line if name.strip()]
        table = pd.read_csv(
            StringIO("\n".join([*header, *rows])),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            header=0 if columns is None else None,
            names=columns,
            index_col=False,
        )
    remedy = "name the column of sentences in text_column, or give columns= where the file has no line of names"
    check_columns(path, table, [text_column], remedy)
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise BrainalignError(f"{path}: two columns are called {listed(twice)}; keep one of each name")
    texts = [clean_text(text, typos) for text in table[text_column]]
    table = table.drop(columns=[text_column, "text", "stimulus_id"], errors="ignore")
    table.insert(0, "text", texts)
    table.insert(1, "stimulus_id", [text_id(text) for text in texts])
    return table[table["text"].ne("")].drop_duplicates("stimulus_id").reset_index(drop=True)
