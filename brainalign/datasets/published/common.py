"""What readers of published data share: their result, files that may be wrong, regions by name, missing values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, check_named, did_you_mean, listed
from brainalign.datasets.formats import BACKGROUND, NOT_MEASURED, finish_responses
from brainalign.io import read_npy, reading

Regions = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Published:
    """One subject of a published dataset.

    Attributes
    ----------
    responses : Responses
    splits : DataFrame
        As of `make_image_split`: a row per trial, split by image.
    ceiling : DataFrame or None
        target_id, signal_share (of the variance of a single trial), ceiling (of averages over the repeats of the test
        images), all shares of variance; None where the release has none.
    """

    responses: Responses
    splits: pd.DataFrame
    ceiling: pd.DataFrame | None = None


def subject_number(subject: str) -> int:
    """Return 1 of "1", "01", "subj01" or "sub-01"."""
    found = re.fullmatch(r"(?:subj|sub-|s)?0*([1-9]\d*)", str(subject))
    if not found:
        raise BrainalignError(f"subject is {subject!r}; give its number, such as '01'")
    return int(found[1])


def required(path: Path, remedy: str) -> Path:
    """Return the path of a file or folder that must be there."""
    if path.exists():
        return path
    beside = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    there = f"{path.parent} holds {listed(beside, 6) or 'nothing'}" if path.parent.is_dir() else f"no {path.parent}"
    raise BrainalignError(f"{path}: no such file ({there}){did_you_mean(path.name, beside)}; {remedy}")


def load_npy(path: Path, n_axes: int, remedy: str, *, mapped: bool = False) -> NDArray[Any]:
    """Return the numbers of a .npy file, which is never unpickled; `mapped` leaves them on disk until they are read."""
    required(path, remedy)
    values = read_npy(path, mapped=mapped)
    if values.dtype.kind not in "iufb" or values.ndim != n_axes:
        raise BrainalignError(f"{path}: is {values.dtype} of shape {values.shape}; expected numbers with {n_axes} axes")
    return values


def load_pickled_dict(path: Path, remedy: str, needed: Sequence[str] = (), *, trust_pickle: bool) -> dict[Any, Any]:
    """Return the dictionary, with all `needed` keys, of a .npy or .pkl file, a pickle: loading can run any program."""
    required(path, remedy)
    if not trust_pickle:
        raise BrainalignError(
            f"{path}: is a pickled dictionary, and loading a pickle can run any program hidden in it; if it comes from "
            "the dataset's own download, give trust_pickle=True"
        )
    with reading(path, "cannot be unpickled"):
        content = np.load(path, allow_pickle=True)
        # Some writers pickle the dictionary itself, which np.load returns as it is.
        content = content.item() if isinstance(content, np.ndarray) and content.shape == () else content
    if not isinstance(content, dict):
        raise BrainalignError(f"{path}: holds a {type(content).__name__}; expected a dictionary")
    check_named(path, sorted(map(str, content)), needed, "entry", "give the file of the release")
    return content


def named_regions(ids: NDArray[Any], names: Mapping[int, str], path: Path, names_path: Path) -> Regions:
    """Find the targets of each region of a labelling (0 and below: none); regions without targets are left out."""
    if not np.array_equal(ids, np.round(ids)):
        odd = ids[ids != np.round(ids)]
        raise BrainalignError(f"{path}: holds {odd[0]:g}; expected whole numbers, the ids of regions")
    used = [int(key) for key in np.unique(ids) if key > 0]
    if unnamed := [key for key in used if key not in names]:
        known = ", ".join(f"{key} {name}" for key, name in sorted(names.items()))
        raise BrainalignError(
            f"{path}: ROI id {listed(unnamed)} has no name in {names_path} (it names {known or 'none'}); add the name, "
            "or take both files from the same release"
        )
    return {names[key]: ids == key for key in used if names[key].strip().lower() not in BACKGROUND}


def add_regions(found: Regions, more: Regions, path: Path) -> None:
    """Add the regions of a labelling to those of others."""
    if twice := sorted(set(found) & set(more)):
        remedy = "read one of them (rois=)"
        raise BrainalignError(f"{path}: names ROI {listed(twice)}, as a labelling read before it does; {remedy}")
    found.update(more)


def choose_targets(regions: Regions, n_targets: int, within: Sequence[str] | None) -> NDArray[np.intp]:
    """Return the targets that lie in one of the named regions at least; all where no region is named."""
    if within is None:
        return np.arange(n_targets)
    check_named("within", sorted(regions), within, "ROI", "name some of these")
    if not len(within):
        raise BrainalignError("within names no ROI; leave it out to read every target")
    return np.flatnonzero(np.any([regions[name] for name in within], axis=0))


def nsd_image(number: int) -> str:
    """Return the stimulus id of an image of NSD, by its place among the 73,000 counted from 0."""
    return f"nsd-{number:05d}"


def without_missing(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values with -999 (not measured) as NaN, in place."""
    values[values == NOT_MEASURED] = np.nan
    return values


def finish_published(responses: Responses, *, standardize: str, bad_targets: str) -> Responses:
    """Report, drop or keep bad targets and z-score within sessions; see `read_betas`.

    Kept, a target is z-scored over the trials in which it was measured, and NaN in a session in which it is constant.
    """
    check_choice("standardize", standardize, ("session", "none"))
    if bad_targets != "keep" or standardize == "none":
        return finish_responses(responses, standardize=standardize, bad_targets=bad_targets)
    values = np.array(responses.values, dtype=np.float32)
    for rows in responses.trials.groupby("session", sort=False).indices.values():
        part = values[rows].astype(np.float64)
        measured = np.isfinite(part)
        count = measured.sum(axis=0)
        mean = np.where(measured, part, 0).sum(axis=0) / np.maximum(count, 1)
        sd = np.sqrt(np.where(measured, (part - mean) ** 2, 0).sum(axis=0) / np.maximum(count - 1, 1))
        values[rows] = (part - mean) / np.where(sd > 0, sd, np.nan)
    responses.targets.attrs["n_dropped"] = 0
    return replace(responses, values=values, units="z (within session)")


def ceiling_table(targets: pd.DataFrame, share: NDArray[Any], splits: pd.DataFrame) -> pd.DataFrame:
    """Return the table of noise ceilings: target_id, signal_share, ceiling.

    With a share s = ncsnr² / (ncsnr² + 1) of the variance of single trials repeating, NC = s / (s + (1 − s)·mean(1/n))
    of the variance of averages does, for test images shown n times: (A/3 + B/2 + C) / (A + B + C) in the notation of
    NSD.
    """
    share = np.asarray(share, dtype=np.float64)
    repeats = splits[splits["split"] == "test"].groupby("stimulus_id").size()
    noise = (1 - share) * float((1 / repeats).mean())
    ids = targets["target_id"].to_numpy()
    return pd.DataFrame({"target_id": ids, "signal_share": share, "ceiling": share / (share + noise)})
