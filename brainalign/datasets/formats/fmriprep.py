"""What fMRIPrep leaves behind (BIDS derivatives) and the raw events become a response per trial, by nilearn's GLM."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, check_columns, check_rows, did_you_mean, listed
from brainalign.datasets.formats.betas import finish_responses
from brainalign.datasets.formats.bids import FmriprepRun, find_runs
from brainalign.datasets.formats.fmri import check_grid, read_volumes, voxel_table
from brainalign.datasets.formats.surfaces import check_space, on_mesh, read_maps, vertex_table
from brainalign.datasets.formats.trials import complete_trials
from brainalign.io import MISSING, load_image_file, read_text_table

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
Series = NDArray[np.float32]
LEAST_SEEN = 0.2  # of the highest point of a response that trials of a length usually reach


def read_fmriprep(
    derivatives: Path,
    raw: Path,
    subject: str,
    *,
    task: str | None = None,
    space: str | None = None,
    stimulus_column: str = "stimulus_id",
    hrf_model: Literal["spm", "glover", "spm + derivative", "glover + derivative"] = "spm",
    confounds: Sequence[str] = MOTION,
    high_pass_hz: float = 0.01,
    noise_model: Literal["ols", "ar1"] = "ols",
    mask: Path | None = None,
    standardize: Literal["session", "none"] = "session",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
) -> Responses:
    """Estimate a response per trial: least squares with a regressor for every trial of a run.

    Raises BrainalignError if files are missing or disagree, events lack the stimulus column, or a design cannot be
    estimated.

    Parameters
    ----------
    derivatives, raw, subject, task, space
        See `brainalign.datasets.formats.bids.find_runs`.
    stimulus_column : str
        Column of the events that names the stimulus. Events where it is n/a (responses, fixation) are modelled by
        their trial_type and not returned.
    hrf_model : str
        As in nilearn; derivatives are modelled and not returned.
    confounds : sequence of str
        Columns of the confounds, or patterns such as "a_comp_cor_0*".
    high_pass_hz : float
        Cut-off of the cosine drifts.
    noise_model : {"ols", "ar1"}
    mask : Path, optional
        Of the same grid; where not given, voxels inside the brain masks of all runs.
    standardize, bad_targets
        See `read_betas`.

    Returns
    -------
    Responses
        z within session, or coefficients of nilearn's regressors in percent of the mean over the run (the regressor of
        a short event peaks below 1, so its coefficient exceeds the peak of the response).
    """
    check_choice("noise_model", noise_model, ("ols", "ar1"))
    runs = find_runs(derivatives, raw, subject, task=task, space=space)
    volume = "" in runs[0].bold
    inside = _common_mask(runs, mask) if volume else None
    betas, tables = [], []
    for run in runs:
        series = _series(run, inside, runs[0])
        events, trials = _events(run, stimulus_column)
        design = _design(run, len(series), events, read_confounds(run.confounds, confounds), hrf_model, high_pass_hz)
        betas.append(_fit(run, series, design, len(trials), noise_model))
        tables.append(trials)
    if volume and inside is not None:
        targets = voxel_table(inside, load_image_file(mask or runs[0].bold[""]).affine)
    else:
        lengths = {hemi: read_maps(path, hemi).shape[1] for hemi, path in runs[0].bold.items()}
        name = check_space(lengths, space)
        targets = on_mesh([vertex_table(h, n, name) for h, n in sorted(lengths.items())], name, lengths)
    table = complete_trials(pd.concat(tables, ignore_index=True), f"events of sub-{subject}")
    lasts = pd.to_numeric(table["duration"])
    if len(instant := np.flatnonzero(lasts == 0)) not in (0, len(lasts)):  # a regressor of 0 s is many times smaller
        raise BrainalignError(
            f"events of sub-{subject}: {len(instant)} trials last 0 s (the first: {table['stimulus_id'][instant[0]]}) "
            f"and others up to {lasts.max():g}, so responses would differ in size; write how long each lasted"
        )
    responses = Responses(np.concatenate(betas), table, targets, "percent signal change")
    return finish_responses(responses, standardize=standardize, bad_targets=bad_targets)


def _common_mask(runs: list[FmriprepRun], mask: Path | None) -> NDArray[np.bool_]:
    """Return the voxels inside the given mask, or inside the brain masks of all runs."""
    lacking = [str(run.bold[""]) for run in runs if run.mask is None]
    if mask is None and lacking:
        raise BrainalignError(f"{lacking[0]}: no *_desc-brain_mask.nii.gz beside it; copy it there or give mask:")
    first = load_image_file(runs[0].bold[""])
    inside = np.ones(first.shape[:3], dtype=bool)
    for path in [mask] if mask else [run.mask for run in runs if run.mask]:
        image = load_image_file(path)
        check_grid(path, image, runs[0].bold[""], first)
        inside &= read_volumes(path).reshape(image.shape[:3]) > 0
    if not inside.any():
        raise BrainalignError(f"{runs[0].bold['']}: no voxel is inside all masks; check them")
    return inside


def _series(run: FmriprepRun, inside: NDArray[np.bool_] | None, first: FmriprepRun) -> Series:
    """Return (n_volumes, n_targets) in percent of the mean over the run."""
    if inside is not None:
        image = load_image_file(run.bold[""])
        check_grid(run.bold[""], image, first.bold[""], load_image_file(first.bold[""]))
        if len(image.shape) != 4:
            raise BrainalignError(f"{run.bold['']}: has shape {image.shape}; give 4-D")
        series = read_volumes(run.bold[""])[inside].T
    else:
        series = np.concatenate([read_maps(path, hemi) for hemi, path in sorted(run.bold.items())], axis=1)
    mean = series.mean(axis=0)
    if (below := int((mean < 0).sum())) > (mean > 0).sum() / 4:
        raise BrainalignError(
            f"{run.bold[min(run.bold)]}: the mean over the run is below 0 in {below} of {len(mean)} targets, so "
            "percent of it mean nothing; give the bold of fMRIPrep, from which no mean was taken"
        )
    with np.errstate(divide="ignore", invalid="ignore"):  # a voxel without signal becomes NaN: reported as bad
        return np.asarray(np.where(mean > 0, 100 * (series / mean - 1), np.nan), dtype=np.float32)


def _events(run: FmriprepRun, stimulus_column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return nilearn's events (a condition per trial, the others by trial_type) and the trials of the run."""
    table = read_text_table(run.events)
    check_columns(run.events, table, ("onset", "duration"))
    check_columns(run.events, table, [stimulus_column], "name the column of the stimulus in stimulus_column")
    shown = ~table[stimulus_column].isin(MISSING)
    if not shown.any():
        raise BrainalignError(f"{run.events}: {stimulus_column} is empty in every row; say which stimulus was shown")
    numbers = table[["onset", "duration"]].apply(pd.to_numeric, errors="coerce")
    if numbers.isna().any(axis=None):
        row = int(np.flatnonzero(numbers.isna().any(axis=1))[0])
        raise BrainalignError(f"{run.events}: onset or duration in row {row + 1} is no number; correct it")
    other = "other-" + (table["trial_type"] if "trial_type" in table else pd.Series("event", index=table.index))
    names = np.where(shown, [f"trial{row:05d}" for row in range(len(table))], other)
    trials = table[shown].assign(session=run.session, run=run.run)
    trials = trials.drop(columns=[name for name in ("trial_id", "repeat") if name in trials])
    trials["stimulus_id"] = trials[stimulus_column]
    return numbers.assign(trial_type=names), trials


def read_confounds(path: Path, patterns: Sequence[str]) -> pd.DataFrame:
    """Return columns of fMRIPrep's table of confounds (or patterns, "a_comp_cor_0*"); 0 where a value is missing."""
    table = read_text_table(path).replace(list(MISSING), np.nan)
    columns = [str(column) for column in table]
    chosen: list[str] = []
    for pattern in patterns:
        matching = [name for name in columns if fnmatchcase(name, pattern) and name not in chosen]
        if not any(fnmatchcase(name, pattern) for name in columns):
            known = f"it has {listed(columns, 8)}"
            raise BrainalignError(f"{path}: no confound {pattern!r}{did_you_mean(pattern, columns)}; {known}")
        chosen += matching
    numbers: pd.DataFrame = table[chosen].apply(pd.to_numeric, errors="coerce")
    wrong = [name for name in chosen if (numbers[name].isna() & table[name].notna()).any()]
    if wrong or np.isinf(numbers.to_numpy(dtype=float)).any():
        raise BrainalignError(f"{path}: {listed(wrong or chosen)} holds what is no finite number; write numbers or n/a")
    return numbers.fillna(0.0)  # derivatives and framewise displacement have none in the first volume


def _design(
    run: FmriprepRun, n_volumes: int, events: pd.DataFrame, confounds: pd.DataFrame, hrf_model: str, high_pass_hz: float
) -> pd.DataFrame:
    from nilearn.glm.first_level import make_first_level_design_matrix

    check_rows(run.confounds, len(confounds), "the bold", n_volumes, "use files of one fMRIPrep run", "volumes")
    frames = run.start_s + run.tr_s * np.arange(n_volumes)
    late = events["onset"] >= frames[-1]
    if late.any():
        raise BrainalignError(
            f"{run.events}: {late.sum()} events begin after the last volume ({frames[-1]:.1f} s; first at "
            f"{events['onset'][late].iloc[0]:.1f} s); give onsets in seconds from the start of the run"
        )
    if not (possible := events["duration"].between(0, frames[-1] + run.tr_s)).all():
        raise BrainalignError(
            f"{run.events}: {(~possible).sum()} events last less than 0 s, or longer than the run (the first "
            f"{events['duration'][~possible].iloc[0]:g} s); give durations in seconds"
        )
    regressors = confounds.to_numpy() if confounds.shape[1] else None
    design = make_first_level_design_matrix(
        frames,
        events,
        hrf_model=hrf_model,
        high_pass=high_pass_hz,
        add_regs=regressors,
        add_reg_names=list(confounds) if regressors is not None else None,
    )
    trials = [name for name in design if re.fullmatch(r"trial\d{5}", name)]
    rest = [name for name in design if name not in trials]
    # A response that the run ends before shows is estimated from almost nothing, and would outweigh all others.
    peaks, lasts = design[trials].abs().max(), events.set_index("trial_type").loc[trials, "duration"]
    if unseen := [name for name in trials if peaks[name] < LEAST_SEEN * peaks[lasts <= lasts[name]].median()]:
        raise BrainalignError(
            f"{run.events}: the run ends before the responses of {len(unseen)} trials are seen (rows "
            f"{listed([str(int(name[5:]) + 1) for name in unseen])}); write n/a for their stimuli"
        )
    if design.shape[1] >= n_volumes:
        raise BrainalignError(
            f"{run.events}: {len(trials)} trials and {len(rest)} other regressors for {n_volumes} volumes cannot be "
            "estimated; use fewer confounds, a lower high_pass_hz, or estimate betas elsewhere (format betas)"
        )
    return pd.DataFrame(design[trials + rest])


def _fit(run: FmriprepRun, series: Series, design: pd.DataFrame, n_trials: int, noise_model: str) -> Series:
    """Return the coefficient of every trial (n_trials, n_targets); targets with NaN stay NaN."""
    from nilearn.glm.first_level import run_glm

    matrix = design.to_numpy()
    if np.linalg.matrix_rank(matrix / np.maximum(np.abs(matrix).max(axis=0), 1e-12)) < matrix.shape[1]:
        raise BrainalignError(
            f"{run.events}: the regressors of {run.bold[min(run.bold)].name} depend on each other (two trials at one "
            "onset, or a confound twice); correct events or confounds"
        )
    betas = np.full((n_trials, series.shape[1]), np.nan, dtype=np.float32)
    good = np.flatnonzero(np.isfinite(series).all(axis=0))
    labels, results = run_glm(series[:, good].astype(np.float64), matrix, noise_model=noise_model)
    fitted: dict[Any, Any] = results
    for label, result in fitted.items():
        betas[:, good[labels == label]] = result.theta[:n_trials]
    return betas
