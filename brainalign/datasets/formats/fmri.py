"""Real fMRI: volumes, a mask and labels per volume become one response per block of a stimulus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_columns, check_rows
from brainalign.datasets.formats.surfaces import empty_lists, roi_lists
from brainalign.io import MISSING, image_values, load_image_file, read_lines, read_text_table, reading
from brainalign.study import FmriOptions, Study

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

NOT_MEASURED = -999  # how several releases and programs write what was not measured


@dataclass(frozen=True)
class Recording:
    """What the prepare stage keeps of one subject.

    Attributes
    ----------
    responses : Responses
        One trial per block.
    mask : image
        The voxels of `responses`, in their order.
    mean : image
        Mean over volumes: what maps are drawn on where there is no anatomy.
    residuals : array (n_volumes_in_blocks, n_voxels)
        Deviations of volumes from the mean of their block: noise that did not enter the responses.
    n_dropped : int
        NaN or constant voxels left out (`fmri.bad_voxels: drop`).
    """

    responses: Responses
    mask: "Nifti1Image"
    mean: "Nifti1Image"
    residuals: NDArray[np.float32]
    n_dropped: int


def read_labels(path: Path) -> pd.DataFrame:
    """Return a row per volume: label, run."""
    lines = read_lines(path, "give one line 'label run' per volume")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise BrainalignError(f"{path}: empty; give one line 'label run' per volume")
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 2:
            raise BrainalignError(f"{path}: line {number} is {line!r}; each line must be 'label run'")
        rows.append(words)
    return pd.DataFrame(rows, columns=["label", "run"])


def block_images(study: Study, subject: str) -> list[Path]:
    """Locate the volumes of a subject, in order: one file, or one per run."""
    return [path for label, path in study.found_files(subject).items() if label.split(".")[0] == "bold"]


def read_block_labels(study: Study, subject: str) -> pd.DataFrame:
    """Return a row per volume of a subject: label, run; of events runs are numbered as files."""
    files = study.found_files(subject)
    if "labels" in files:
        return read_labels(files["labels"])
    assert study.fmri is not None
    tables = [path for label, path in files.items() if label.startswith("events")]
    parts = [
        _labels_of_events(table, open_image(bold).shape[-1], study.fmri).assign(run=str(run))
        for run, (table, bold) in enumerate(zip(tables, block_images(study, subject), strict=True), start=1)
    ]
    return pd.concat(parts, ignore_index=True)


def block_regions(study: Study, subject: str, inside: NDArray[np.bool_]) -> "pd.Series[Any]":
    """Return the names of the regions of every voxel inside a mask (i, j, k)."""
    files, mask = study.found_files(subject), study.find(subject, "mask")
    rois = {label.removeprefix("rois."): path for label, path in files.items() if label.startswith("rois.")}
    return roi_lists(volume_regions(rois, inside, open_image(mask), mask), int(inside.sum()), None)


def _labels_of_events(path: Path, n_volumes: int, options: FmriOptions) -> pd.DataFrame:
    """Label volumes by the event in which their middle lies; pauses below a volume between equal events count too."""
    table = read_text_table(path)
    check_columns(path, table, ("onset", "duration", "trial_type"))
    table = table[~table["trial_type"].isin(MISSING)]
    spans = table[["onset", "duration"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    names, end = table["trial_type"].astype(str).tolist(), n_volumes * options.tr_s
    if not np.isfinite(spans).all() or (len(spans) and not 0 <= spans[:, 0].max() < end):
        raise BrainalignError(
            f"{path}: onsets or durations are no seconds within the {end:g} s of its run (last onset "
            f"{np.nanmax(spans[:, 0], initial=0):g}); give both in seconds from the first volume"
        )
    middles, labels = (np.arange(n_volumes) + 0.5) * options.tr_s, np.full(n_volumes, options.rest, dtype=object)
    order = np.argsort(spans[:, 0], kind="stable")
    for k, row in enumerate(order):
        start, stop = spans[row, 0], spans[row].sum()
        after = order[k + 1] if k + 1 < len(order) else row
        if names[after] == names[row] and 0 < spans[after, 0] - stop < options.tr_s:
            stop = spans[after, 0]
        labels[(middles >= start) & (middles < stop)] = names[row]
    return pd.DataFrame({"label": labels})


def find_blocks(labels: pd.DataFrame, options: FmriOptions) -> pd.DataFrame:
    """Return a row per block of volumes with the same label: stimulus_id, run, first, last (rows), onset_s.

    `first` and `last` are the volumes read: those of the block, shifted by the lag of the haemodynamic response and
    cut at the end of the run.
    """
    lag = options.lag_volumes
    changed, blocks = (labels != labels.shift()).any(axis=1), []
    for _, block in labels.groupby(changed.cumsum(), sort=False):
        label, run = block.iloc[0]
        if label == options.rest:
            continue
        start, stop = block.index[0], block.index[-1]
        run_rows = labels.index[labels["run"] == run]
        if start + lag > run_rows[-1]:
            raise BrainalignError(
                f"run {run}: the block of {label!r} at volume {start} has no volume left after a lag of "
                f"{options.hrf_lag_s} s; shorten fmri.hrf_lag_s"
            )
        row = {
            "stimulus_id": label,
            "run": run,
            "first": start + lag,
            "last": min(stop + lag, run_rows[-1]),
            "onset_s": (start - run_rows[0]) * options.tr_s,
        }
        blocks.append(row)
    if not blocks:
        remedy = "correct the labels or fmri.rest"
        raise BrainalignError(f"every volume is labelled {options.rest!r}: no stimulus is shown; {remedy}")
    return pd.DataFrame(blocks)


def open_image(path: Path) -> "Nifti1Image":
    """Open a NIfTI image."""
    from nibabel.spatialimages import SpatialImage

    image = load_image_file(path)
    if not isinstance(image, SpatialImage):
        raise BrainalignError(f"{path}: holds a {type(image).__name__}; give a NIfTI image")
    return cast("Nifti1Image", image)


def read_volumes(path: Path) -> NDArray[np.float32]:
    """Return the data of a NIfTI image."""
    return image_values(path, open_image(path), np.float32)


def _volumes_of(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Read the volumes of several files into one array, a file at a time."""
    if len(paths) == 1:
        return read_volumes(paths[0])
    shapes = [open_image(path).shape for path in paths]
    volumes = np.empty((*shapes[0][:3], sum(shape[3] for shape in shapes)), dtype=np.float32)
    for path, last in zip(paths, np.cumsum([shape[3] for shape in shapes]), strict=True):
        part = read_volumes(path)
        volumes[..., last - part.shape[3] : last] = part
    return volumes


def bad_targets_of(responses: Responses, within: str | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the targets that hold a NaN or infinity, and those constant within a session (or a run, or at all).

    Values are read by blocks: they may lie on disk. Where nothing else is nearly as low, -999 stands for NaN.
    """
    broken, flat = np.zeros((2, len(responses.targets)), dtype=bool)
    groups = responses.trials[within] if within else pd.Series(0, index=responses.trials.index)
    for rows in responses.trials.groupby(groups, sort=False).indices.values():
        for columns in responses.blocks(len(rows)):
            part = np.moveaxis(responses.values[rows, columns], 1, 0)
            part = part.reshape(len(part), -1)
            others = np.where(part == NOT_MEASURED, np.nan, part)
            marked = np.isnan(others).any(axis=1) & ~(others < NOT_MEASURED / 2).any(axis=1)
            broken[columns] |= marked | ~np.isfinite(part).all(axis=1)
            flat[columns] |= (part.max(axis=1) == part.min(axis=1)) & (len(rows) > 1)  # one trial varies in nothing
    return broken, flat & ~broken


def bad_voxels(volumes: NDArray[np.float32], runs: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the voxels that hold a NaN or infinity, and those constant within a run (so without a z-score)."""
    broken = np.asarray(~np.isfinite(volumes).all(axis=1))
    flat = np.zeros(len(volumes), dtype=bool)
    for run in np.unique(runs):
        part = volumes[:, runs == run]
        flat |= part.max(axis=1) == part.min(axis=1)
    return broken, flat & ~broken


def read_fmri(descriptor: Study, subject: str) -> Recording:
    """Read one subject: nilearn detrends and z-scores within run; blocks are averaged after the lag.

    Raises BrainalignError if files disagree with each other or with the descriptor. `brainalign.datasets.checks.blocks`
    finds all such problems at once; run it first.
    """
    import nibabel
    from nilearn.signal import clean

    options = descriptor.fmri
    assert options is not None  # a study of blocks in volumes has it
    labels, paths = read_block_labels(descriptor, subject), block_images(descriptor, subject)
    bold, mask = open_image(paths[0]), open_image(descriptor.find(subject, "mask"))
    volumes = _volumes_of(paths)
    check_rows("labels", len(labels), "bold", volumes.shape[3], "give one line per volume")
    inside = image_values(descriptor.find(subject, "mask"), mask) > 0
    broken, flat = bad_voxels(volumes[inside], labels["run"].to_numpy())
    if options.bad_voxels == "raise" and (broken | flat).any():
        remedy = "shrink the mask or set fmri.bad_voxels: drop"
        raise BrainalignError(f"bold has {broken.sum()} NaN and {flat.sum()} constant voxels inside the mask; {remedy}")
    inside[inside] = ~(broken | flat)
    good_mask = nibabel.Nifti1Image(inside.astype(np.uint8), mask.affine)
    # A masker would do the same, but collects garbage at every image it looks at, which takes longer than the rest.
    series = clean(  # (n_volumes, n_voxels)
        np.ascontiguousarray(volumes[inside]).T,
        runs=pd.factorize(labels["run"])[0],
        detrend=options.detrend,
        standardize="zscore_sample" if options.standardize == "run" else None,
        t_r=options.tr_s,
    )
    blocks = find_blocks(labels, options)
    spans = [series[first : last + 1] for first, last in zip(blocks["first"], blocks["last"], strict=True)]
    trials = blocks.drop(columns=["first", "last"]).assign(session="1")
    trials["repeat"] = blocks.groupby("stimulus_id", sort=False).cumcount() + 1
    trials.insert(0, "trial_id", [f"trial-{row:04d}" for row in range(len(blocks))])
    responses = Responses(
        np.asarray([part.mean(axis=0) for part in spans], dtype=np.float32),
        trials[["trial_id", "stimulus_id", "session", "run", "repeat", "onset_s"]],
        voxel_table(inside, mask.affine).assign(roi=block_regions(descriptor, subject, inside)),
        units="z (within run)" if options.standardize == "run" else "scanner units",
    )
    mean = nibabel.Nifti1Image(np.nan_to_num(volumes).mean(axis=3), bold.affine)
    residuals = np.concatenate([part - part.mean(axis=0) for part in spans]).astype(np.float32)
    return Recording(responses, good_mask, mean, residuals, int((broken | flat).sum()))


def voxel_table(inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> pd.DataFrame:
    """Return a row per voxel in the order of boolean indexing."""
    ijk = np.argwhere(inside)
    table = pd.DataFrame(ijk, columns=["i", "j", "k"])
    table[["x_mm", "y_mm", "z_mm"]] = (np.c_[ijk, np.ones(len(ijk))] @ affine.T)[:, :3]
    table.insert(0, "target_id", [f"voxel-{i}-{j}-{k}" for i, j, k in ijk])
    table.attrs["space"] = {"shape": list(inside.shape), "affine": np.asarray(affine, dtype=float).tolist()}
    return table.assign(kind="voxel", hemi="", roi=empty_lists(len(ijk)))


def volume_regions(
    rois: Mapping[str, Path], inside: NDArray[np.bool_], image: Any, mask: Path
) -> dict[str, NDArray[np.bool_]]:
    """Mark the voxels inside a mask that each region of label images holds; `image` is what `mask` names."""
    regions: dict[str, NDArray[np.bool_]] = {}
    for key, path in rois.items():
        labels = whole_labels(path, on_grid(path, load_image_file(path), image, mask))
        for name, region in label_names(path, key, np.unique(labels[labels != 0]).tolist()):
            regions[name] = regions.get(name, False) | (labels == region)[inside]
    return regions


def check_grid(path: Path, image: Any, reference: Path, expected: Any) -> None:
    """Raise unless an image has the grid of another, its axes and their places."""
    if image.shape[:3] != expected.shape[:3] or not np.allclose(image.affine, expected.affine, atol=1e-3):
        same = " with another affine" if image.shape[:3] == expected.shape[:3] else ""
        raise BrainalignError(
            f"{path}: has the grid {image.shape[:3]}{same} but {reference} has {expected.shape[:3]}; resample one with "
            "nilearn.image.resample_to_img(..., interpolation='nearest')"
        )


def on_grid(path: Path, image: Any, expected: Any, reference: Path | None = None) -> NDArray[np.float32]:
    """Return one volume of the grid that is expected, without NaN."""
    check_grid(path, image, reference or path, expected)
    data = read_volumes(path)
    data = np.where(np.isnan(data), 0, data)  # how several programs write what lies outside
    if data.size > np.prod(data.shape[:3]):
        raise BrainalignError(f"{path}: has shape {data.shape}, where one volume is wanted; give the one that is meant")
    return data.reshape(data.shape[:3])


def whole_labels(path: Path, labels: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the values of a label image as whole numbers; others, as interpolation leaves them, are refused."""
    whole = np.nan_to_num(labels).round().astype(np.int32)
    if (between := labels[np.abs(labels - whole) > 0.01]).size:  # scaled integers are rounded
        raise BrainalignError(
            f"{path}: labels {between.size} voxels by fractions ({between[0]:g}), where regions are whole numbers; "
            "resample it with interpolation='nearest', or threshold it"
        )
    return whole


def label_names(path: Path, key: str, values: list[int]) -> list[tuple[str, int]]:
    """List names and values of the regions of a label image: of the table beside it, as of BIDS, else after its key."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = [path.with_name(stem + ending) for ending in (".tsv", ".csv")]
    for table in [file for file in beside if file.exists()][:1]:
        names = read_text_table(table)
        with reading(table, "not a table of index (whole numbers) and name", "name its columns so, as BIDS does"):
            rows = zip(names["name"], names["index"].astype(float).astype(int), strict=True)
            return [(name, index) for name, index in rows if index]
    return [(key, values[0] if values else 1)] if len(values) < 2 else [(f"{key}{value}", value) for value in values]
