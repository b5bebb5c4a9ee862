"""Time series of the regions of a parcellation, from volumes or grayordinates: what masked models are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_columns, check_rows, check_unique, listed
from brainalign.datasets.formats.bids import SeriesFile
from brainalign.datasets.formats.cifti import cifti_axis, grayordinates, read_dlabel
from brainalign.datasets.formats.fmri import read_volumes, whole_labels
from brainalign.datasets.formats.fmriprep import MOTION, read_confounds
from brainalign.io import CORTEX, file_digest, image_values, load_image_file, read_lines, read_text_table, reading

Values = NDArray[np.float32]
SECONDS = {"SECOND": 1.0, "MSEC": 1e-3, "USEC": 1e-6}


@dataclass(frozen=True)
class RegionSeries:
    """Cleaned time series of every run.

    Attributes
    ----------
    series : list of arrays (n_frames, n_regions), float32
        Detrended, without what confounds explain, z-scored within the run.
    runs : DataFrame (n_runs)
        run_id, stimulus_id (the task), subject, session, run, task, tr_s, n_frames, path, sha256.
    regions : DataFrame (n_regions)
        region_id, hemi ("L", "R", or "" where it is not known or both), size (voxels or grayordinates).
    dropped : DataFrame
        region_id, reason: regions without a usable series in some run.
    """

    series: list[Values]
    runs: pd.DataFrame
    regions: pd.DataFrame
    dropped: pd.DataFrame

    def stack(self, n_frames: int | None = None) -> Values:
        """Return (n_runs, n_frames, n_regions): the first frames of every run, as many as the shortest has or fewer."""
        shortest = int(self.runs["n_frames"].min())
        wanted = shortest if n_frames is None else n_frames
        if not 1 <= wanted <= shortest:
            run = self.runs["run_id"].iloc[int(self.runs["n_frames"].argmin())]
            raise BrainalignError(f"{wanted} frames asked for, but run {run} has {shortest}; ask for 1 to {shortest}")
        return np.stack([values[:wanted] for values in self.series])


def read_region_series(
    files: Sequence[SeriesFile],
    atlas: Path | str,
    *,
    names: Path | str | None = None,
    confounds: Sequence[str] = MOTION,
    high_pass_hz: float | None = 0.008,
    low_pass_hz: float | None = None,
    skip_frames: int = 0,
    bad_regions: Literal["raise", "drop"] = "raise",
) -> RegionSeries:
    """Average the time series of each region and clean them: trend, confounds and slow drift are taken out.

    Parameters
    ----------
    files : sequence of SeriesFile
        From `find_series`, or made by hand.
    atlas : path
        .nii or .nii.gz of whole numbers (0: no region) for volumes, resampled to their grid where it differs;
        .dlabel.nii for grayordinates (.dtseries.nii).
    names : path, optional
        Table with columns index and name, for atlases of volumes.
    confounds : sequence of str
        Columns of fMRIPrep's table or patterns of them, for files that have one.
    high_pass_hz, low_pass_hz : float, optional
        Cut-offs of the Butterworth filter of nilearn.
    skip_frames : int
        First volumes to leave out, in which the signal has not settled.
    bad_regions : {"raise", "drop"}
        What to do with regions that have no voxel, NaN or no variance in some run.

    Raises
    ------
    BrainalignError
        If a file is missing or truncated, its kind is not that of the atlas, the table of confounds is of another
        length, too few frames remain, or regions are bad.

    References
    ----------
    Lindquist MA et al. (2019). Modular preprocessing pipelines can reintroduce artifacts into fMRI data. Human Brain
    Mapping 40:2358-2376. doi:10.1002/hbm.24528 (why filter and confounds are taken out in one step)
    """
    check_choice("bad_regions", bad_regions, ("raise", "drop"))
    if not files:
        raise BrainalignError("no run is given; list them with find_series")
    atlas = Path(atlas)
    tables, means = [], []
    for file in files:
        cifti = file.bold.name.endswith(".dtseries.nii")
        if cifti != atlas.name.endswith(".dlabel.nii"):
            raise BrainalignError(
                f"{file.bold} does not go with {atlas.name}: grayordinates (.dtseries.nii) need a .dlabel.nii, volumes "
                "a .nii.gz of labels"
            )
        values, table, tr_s = _grayordinate_means(file, atlas) if cifti else _volume_means(file, atlas, names)
        means.append((values[skip_frames:], tr_s))
        tables.append(table)
    bad = _bad_regions(files, tables, [values for values, _ in means])
    if len(bad) and bad_regions == "raise":
        first, unusable = bad.iloc[0], list(map(str, bad["region_id"].unique()))
        raise BrainalignError(
            f"{len(unusable)} of {len(tables[0])} regions cannot be used ({listed(unusable)}; "
            f"{first['region_id']}: {first['reason']}); use another atlas or mask, or set bad_regions: drop"
        )
    good = ~tables[0]["region_id"].isin(bad["region_id"]).to_numpy()
    if not good.any():
        raise BrainalignError(f"{atlas}: no region has a series in every run; check that atlas and runs share a space")
    series = [
        _clean(file, values[:, good], tr_s, confounds, high_pass_hz, low_pass_hz, skip_frames)
        for file, (values, tr_s) in zip(files, means, strict=True)
    ]
    regions = tables[0][good].reset_index(drop=True)
    return RegionSeries(series, _runs(files, series, [tr_s for _, tr_s in means]), regions, bad)


def _runs(files: Sequence[SeriesFile], series: list[Values], tr_s: list[float]) -> pd.DataFrame:
    rows = [
        {
            "run_id": f"sub-{file.subject}_ses-{file.session}_task-{file.task}_run-{file.run}",
            "stimulus_id": file.task,
            "subject": file.subject,
            "session": file.session,
            "run": file.run,
            "task": file.task,
            "tr_s": repetition,
            "n_frames": len(values),
            "path": str(file.bold),
            "sha256": file_digest(file.bold),
        }
        for file, values, repetition in zip(files, series, tr_s, strict=True)
    ]
    table = pd.DataFrame(rows)
    check_unique("the files of series", table["run_id"], "runs", "number sessions and runs apart")
    return table


def _volume_means(file: SeriesFile, atlas: Path, names: Path | str | None) -> tuple[Values, pd.DataFrame, float]:
    """Return the mean of every region (n_frames, n_regions), NaN where it has no voxel, and the table of regions."""
    from nilearn.image import resample_to_img

    image, labels = load_image_file(file.bold), load_image_file(atlas)
    if len(image.shape) != 4:
        raise BrainalignError(f"{file.bold}: has shape {image.shape}; give a series of volumes (4-D)")
    numbers = np.unique(whole_labels(atlas, image_values(atlas, labels, np.float32))).astype(np.int64)
    numbers = numbers[numbers > 0]
    if len(labels.shape) != 3 or not len(numbers):
        raise BrainalignError(f"{atlas}: has shape {labels.shape} and {len(numbers)} labels; give a volume of labels")
    if labels.shape != image.shape[:3] or not np.allclose(labels.affine, image.affine, atol=1e-3):
        labels = resample_to_img(labels, image.slicer[..., :1], interpolation="nearest")
    data = whole_labels(atlas, image_values(atlas, labels, np.float32)).reshape(image.shape[:3])
    if file.mask is not None:
        mask = load_image_file(file.mask)
        if mask.shape[:3] != image.shape[:3]:
            raise BrainalignError(f"{file.mask}: has the grid {mask.shape} but {file.bold} has {image.shape[:3]}")
        data = np.where(image_values(file.mask, mask).reshape(data.shape) > 0, data, 0)
    volumes = read_volumes(file.bold)
    sizes = [int((data == number).sum()) for number in numbers]
    values = np.full((image.shape[3], len(numbers)), np.nan, dtype=np.float32)
    # NiftiLabelsMasker would put 0 where a voxel is NaN, so that nobody hears of it.
    for column in np.flatnonzero(sizes):
        values[:, column] = volumes[data == numbers[column]].mean(axis=0, dtype=np.float64)
    ids = _names(names, numbers) if names is not None else [f"region-{number}" for number in numbers]
    hemi = [name[:1] if name[:2] in ("L_", "R_") else "" for name in ids]
    tr_s = file.tr_s if file.tr_s is not None else float(image.header.get_zooms()[3])
    return values, pd.DataFrame({"region_id": ids, "hemi": hemi, "size": sizes}), _checked_tr(file, tr_s)


def _names(path: Path | str, numbers: NDArray[np.int64]) -> list[str]:
    lines = read_lines(path)
    separators = [separator for separator in "\t,; " if lines and separator in lines[0]]
    table = read_text_table(Path(path), separators[0] if separators else "\t")
    check_columns(path, table, ("index", "name"))
    with reading(path, "an index is no whole number", "number the regions"):
        known = {int(index): str(name) for index, name in zip(table["index"], table["name"], strict=True)}
    if missing := [int(number) for number in numbers if number not in known]:
        raise BrainalignError(f"{path}: labels {listed(missing)} of the atlas have no name; add them")
    return [known[int(number)] for number in numbers]


def _grayordinate_means(file: SeriesFile, atlas: Path) -> tuple[Values, pd.DataFrame, float]:
    """Return the mean of every label over the grayordinates it has in the file, as `_volume_means`."""
    from nibabel.cifti2.cifti2_axes import SeriesAxis

    image = load_image_file(file.bold)
    time = cifti_axis(file.bold, image, 0)
    if not isinstance(time, SeriesAxis):
        raise BrainalignError(f"{file.bold}: its rows are no frames; give a dense time series (.dtseries.nii)")
    targets = grayordinates(cifti_axis(file.bold, image, 1), {})
    regions = read_dlabel(atlas, targets)
    values = image_values(file.bold, image, np.float32)  # (n_frames, n_grayordinates)
    means = np.full((len(values), len(regions)), np.nan, dtype=np.float32)
    hemi, sides = [], targets["hemi"].to_numpy()
    for column, inside in enumerate(regions.values()):
        if inside.any():
            means[:, column] = values[:, inside].mean(axis=1)
        found = set(sides[inside])
        hemi.append(found.pop() if len(found) == 1 and found <= set(CORTEX.values()) else "")
    sizes = [int(inside.sum()) for inside in regions.values()]
    tr_s = file.tr_s if file.tr_s is not None else float(time.step) * SECONDS.get(str(time.unit), 1.0)
    return means, pd.DataFrame({"region_id": list(regions), "hemi": hemi, "size": sizes}), _checked_tr(file, tr_s)


def _checked_tr(file: SeriesFile, tr_s: float) -> float:
    if not 0.05 <= tr_s <= 20:
        raise BrainalignError(f"{file.bold}: its repetition time would be {tr_s:g} s; give tr_s in seconds")
    return tr_s


def _bad_regions(files: Sequence[SeriesFile], tables: list[pd.DataFrame], means: list[Values]) -> pd.DataFrame:
    found = []
    for file, table, values in zip(files, tables, means, strict=True):
        if not table["region_id"].equals(tables[0]["region_id"]):
            raise BrainalignError(f"{file.bold}: has other regions than {files[0].bold}; give runs of one layout")
        for region, size, column in zip(table["region_id"], table["size"], values.T, strict=True):
            if size == 0:
                found.append((region, f"nothing of it in {file.bold.name}"))
            elif not np.isfinite(column).all():
                found.append((region, f"{int((~np.isfinite(column)).sum())} NaN or infinite in {file.bold.name}"))
            elif np.ptp(column) == 0:
                found.append((region, f"constant in {file.bold.name}"))
    return pd.DataFrame(found, columns=["region_id", "reason"])


def _clean(
    file: SeriesFile,
    values: Values,
    tr_s: float,
    patterns: Sequence[str],
    high_pass_hz: float | None,
    low_pass_hz: float | None,
    skip_frames: int,
) -> Values:
    from nilearn.signal import clean

    regressors = None
    if file.confounds is not None and len(patterns):
        table = read_confounds(file.confounds, patterns)
        check_rows(str(file.confounds), len(table), str(file.bold), len(values) + skip_frames, "use files of one run")
        regressors = table.to_numpy(dtype=np.float64)[skip_frames:]
    n_regressors = 0 if regressors is None else regressors.shape[1]
    if len(values) < n_regressors + 20:
        remedy = "give longer runs or fewer confounds (20 frames more than confounds at least)"
        raise BrainalignError(f"{file.bold}: {len(values)} frames for {n_regressors} confounds; {remedy}")
    cleaned = clean(
        values.astype(np.float64),
        detrend=True,
        standardize="zscore_sample",
        confounds=regressors,
        high_pass=high_pass_hz,
        low_pass=low_pass_hz,
        t_r=tr_s,
    )
    return np.asarray(cleaned, dtype=np.float32)
