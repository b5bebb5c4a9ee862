"""Audit of stimuli: images that are missing, unreadable, there twice or nearly so; the same text twice."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.datasets.problems import Problem
from brainalign.io import open_picture
from brainalign.study import words

SIDE = 16  # of the thumbnails; the hash has SIDE * SIDE bits
DEAD_ZONE = 2  # grey levels: compression noise in a flat background is no gradient
BLOCK = 512  # rows compared at once: 512 x 10,000 x 4 words are 160 MB
Bits = NDArray[np.uint64]


@dataclass(frozen=True)
class ImageAudit:
    """What is known of the images of a study.

    Attributes
    ----------
    table : DataFrame (n_stimuli)
        stimulus_id, path, sha256, width, height, problem ("", "missing" or "unreadable: ...").
    pairs : DataFrame
        stimulus_a, stimulus_b, kind ("duplicate": same bytes, "near-duplicate"), n_bits (differing bits of the hash).
    what : {"image", "text"}
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    what: str = "image"

    def problems(self) -> list[Problem]:
        """Return missing and unreadable images as errors, repeated ones as warnings."""
        found, bad = [], self.table[self.table["problem"] != ""]
        for kind, remedy in {"missing": "correct the paths", "unreadable": "copy them again, in 8 bits"}.items():
            rows = bad[bad["problem"].str.startswith(kind)]
            if len(rows):
                first = listed([f"{s} ({path})" for s, path in zip(rows["stimulus_id"], rows["path"], strict=True)])
                what = f"{len(rows)} of {len(self.table)} images are {kind}: {first}; {remedy}"
                found.append(Problem("stimuli", what, rows=tuple(rows["stimulus_id"])))
        same = "the same file" if self.what == "image" else "the same text"
        for kind, meaning in {"duplicate": same, "near-duplicate": "nearly the same picture"}.items():
            rows = self.pairs[self.pairs["kind"] == kind]
            if len(rows):
                first = listed([f"{a} and {b}" for a, b in zip(rows["stimulus_a"], rows["stimulus_b"], strict=True)])
                what = f"{len(rows)} pairs of stimuli are {meaning}: {first}; keep each pair on one side of a split"
                ids = tuple(pd.unique(rows[["stimulus_a", "stimulus_b"]].to_numpy().ravel()))
                found.append(Problem("stimuli", what, "warning", ids))
        return found


def audit_images(stimuli: pd.DataFrame) -> ImageAudit:
    """Read every image once and compare all pairs.

    Raises BrainalignError if the table lacks stimulus_id or path.
    """
    check_columns("the table of stimuli", stimuli, ("stimulus_id", "path"))
    rows, hashes, thumbnails = [], [], []
    for name, path in zip(stimuli["stimulus_id"], stimuli["path"], strict=True):
        row, bits, thumbnail = _look_at(Path(path))
        rows.append({"stimulus_id": str(name), "path": str(path)} | row)
        hashes.append(bits)
        thumbnails.append(thumbnail)
    table = pd.DataFrame(rows, columns=["stimulus_id", "path", "sha256", "width", "height", "problem"])
    good = np.flatnonzero(table["problem"] == "")
    pairs = pd.DataFrame(columns=["stimulus_a", "stimulus_b", "kind", "n_bits"])
    if len(good) > 1:
        first, second, n_bits = near_duplicates(
            np.stack([hashes[row] for row in good]), np.stack([thumbnails[row] for row in good])
        )
        ids, digests = table["stimulus_id"].to_numpy()[good], table["sha256"].to_numpy()[good]
        kind = np.where(digests[first] == digests[second], "duplicate", "near-duplicate")
        pairs = pd.DataFrame({"stimulus_a": ids[first], "stimulus_b": ids[second], "kind": kind, "n_bits": n_bits})
    return ImageAudit(table, pairs)


def audit_texts(stimuli: pd.DataFrame, texts: Sequence[str]) -> ImageAudit:
    """Find stimuli that have the text of another, but for case, spaces and punctuation.

    Of `texts` there is one per stimulus; those without words are like no other.
    """
    table = pd.DataFrame({"stimulus_id": stimuli["stimulus_id"].astype(str), "problem": ""})
    read = pd.Series([" ".join(words(text)) for text in texts], index=table.index)
    first = table["stimulus_id"].groupby(read).transform("first")
    again = (read != "") & (first != table["stimulus_id"])
    pairs = pd.DataFrame({"stimulus_a": first[again], "stimulus_b": table.loc[again, "stimulus_id"]})
    return ImageAudit(table, pairs.assign(kind="duplicate", n_bits=0), "text")


def _look_at(path: Path) -> tuple[dict[str, object], Bits, NDArray[np.float32]]:
    """Read an image's row of the table, its hash (4 words) and its thumbnail (SIDE, SIDE, 3) in 0-1."""
    from PIL import Image

    row: dict[str, object] = {"sha256": "", "width": 0, "height": 0, "problem": ""}
    nothing = np.zeros(SIDE * SIDE // 64, dtype=np.uint64), np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    try:
        content = path.read_bytes()
    except OSError:
        return row | {"problem": "missing"}, *nothing
    row["sha256"] = hashlib.sha256(content).hexdigest()
    try:
        if (picture := open_picture(path)).mode[0] in "IF":  # image networks refuse it, too
            raise BrainalignError(f"has the mode {picture.mode}, of more than 8 bits")
        picture = picture.convert("RGB")
    except BrainalignError as error:
        return row | {"problem": f"unreadable: {error}"}, *nothing
    row |= {"width": picture.width, "height": picture.height}
    grey = np.asarray(picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits((np.diff(grey, axis=1) > DEAD_ZONE).ravel()).view(np.uint64)
    small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32) / np.float32(255)
    return row, bits, small


def near_duplicates(
    hashes: Bits, thumbnails: NDArray[np.float32], *, max_bits: int = 16, max_difference: float = 0.04
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of images that are nearly the same picture, and by how many bits their hashes differ.

    A difference hash finds candidates: one bit per cell of a 16 x 16 grid says whether the picture gets brighter to
    the right, so scale, compression, brightness and contrast hardly change it. It knows neither colour nor plain
    backgrounds, so candidates are confirmed on thumbnails with their mean brightness removed.
    """
    centred = (thumbnails - thumbnails.mean(axis=(1, 2, 3), keepdims=True)).reshape(len(thumbnails), -1)
    n_images, found = len(hashes), []
    for start in range(0, n_images, BLOCK):
        block = hashes[start : start + BLOCK]
        n_bits = np.zeros((len(block), n_images - start), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            n_bits += np.bitwise_count(block[:, word, None] ^ hashes[None, start:, word])
        rows, columns = np.nonzero(n_bits <= max_bits)
        later = columns > rows  # both count from `start`
        rows, columns = rows[later], columns[later]
        for part in range(0, len(rows), 20_000):
            a, b = rows[part : part + 20_000], columns[part : part + 20_000]
            close = np.sqrt(np.mean((centred[start + a] - centred[start + b]) ** 2, axis=1)) <= max_difference
            found.append(np.stack([start + a[close], start + b[close], n_bits[a[close], b[close]].astype(np.intp)]))
    first, second, bits = np.concatenate(found, axis=1) if found else np.zeros((3, 0), dtype=np.intp)
    return first, second, bits
