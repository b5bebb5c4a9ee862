"""What the descriptor of a study of images says about one subject becomes responses; and which images are tested."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_columns, check_unique, did_you_mean, listed
from brainalign.datasets import formats, published
from brainalign.datasets.problems import Problem
from brainalign.datasets.splits import group_labels, make_image_split, make_splits
from brainalign.io import file_digest, read_json
from brainalign.study import (
    COPIED,
    AlgonautsFiles,
    ArrayFiles,
    BetaFiles,
    EpochFiles,
    FmriprepFiles,
    NsdCortexFiles,
    NsdFiles,
    Split,
    Strict,
    Study,
    ThingsEpochFiles,
    ThingsFmriFiles,
    text_column,
)

Recorded = TypeVar("Recorded", bound=Strict)
Reader = Callable[..., Responses]


def read_subject(descriptor: Study, subject: str, *, as_they_are: bool = False, work: Path | None = None) -> Responses:
    """Read the responses of one subject by the reader of its format, with the options of the descriptor.

    `as_they_are`: fMRI neither z-scored nor freed of NaN and constant targets, so that these can be counted. `work`: a
    .npy file for responses that need not be in memory; see `read_array`.
    """
    form = descriptor.recordings[subject].format
    responses = READERS[form](descriptor, subject, as_they_are, **({"work": work} if form in ON_DISK else {}))
    return _with_groups(descriptor, responses)


def read_categories(study: Study, subject: str) -> Responses:
    """Read responses over time with a category each: of arrays what their trials say of it, or what was shown.

    Rows without onsets are taken in the order in which they were recorded, and not to overlap.
    """
    if study.recordings[subject].format != "array":
        return formats.read_recordings(study, subject)
    responses = _array(study, subject, as_they_are=False)
    trials, times = responses.trials, responses.times
    assert times is not None  # as `check_responses` says
    if trials["onset_s"].isna().all():
        trials = trials.assign(onset_s=2.0 * (times[-1] - times[0]) * np.arange(len(trials)))
    trials = trials.assign(category=group_labels(trials, "category" if "category" in trials else "stimulus_id"))
    trials.attrs["n_rejected"] = [0] * trials.groupby(["session", "run"]).ngroups
    return replace(responses, trials=trials)


def _with_groups(study: Study, responses: Responses) -> Responses:
    """Give trials the columns of the table of stimuli by which stimuli are left out, such as a category."""
    wanted = {str(rule.leave_out) for rule in study.left_out.values()} - {"run", "stimulus", *responses.trials}
    if not wanted or not isinstance(study.stimuli, Path):
        return responses
    stimuli = read_stimuli(study, study.stimulus_table()).set_index("stimulus_id")
    groups = {name: responses.trials["stimulus_id"].map(stimuli[name]) for name in wanted & set(stimuli)}
    return replace(responses, trials=responses.trials.assign(**groups))


def _given(study: Study, subject: str, kind: type[Recorded]) -> tuple[Recorded, dict[str, Path]]:
    """Return a subject's entry of the descriptor, and the path of each of its files."""
    files = study.recordings[subject]
    assert isinstance(files, kind)
    return files, study.found_files(subject)


def _finish(study: Study, as_they_are: bool) -> dict[str, Any]:
    """Return whether maps are z-scored, and what is done with bad targets."""
    if as_they_are:
        return {"standardize": "none", "bad_targets": "keep"}
    return {"standardize": study.betas.standardize, "bad_targets": study.betas.bad_targets}


def _epochs(study: Study, subject: str, _: bool) -> Responses:
    files, paths = _given(study, subject, EpochFiles)
    if isinstance(files.epochs, tuple) and not study.holds_out:
        return formats.read_recordings(study, subject)
    return formats.read_epochs(
        study.placed(files.epochs),
        trials=paths.get("trials"),
        picks=files.picks or "eeg",
        bad_channels=study.epochs.bad_channels,
        **_cut(study),
    )


def _cut(study: Study) -> dict[str, Any]:
    """Name the part of what is over time that is read."""
    cut = study.epochs
    return {"tmin": cut.tmin_s, "tmax": cut.tmax_s, "decimate": cut.decimate, "baseline": cut.baseline_s}


def _algonauts(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, AlgonautsFiles)
    part: dict[str, Any] = files.model_dump(include={"trust_pickle", "within"})
    part["rois"] = published.ALGONAUTS_ROIS if files.rois is None else files.rois
    part["bad_targets"] = _finish(study, as_they_are)["bad_targets"]
    return published.read_algonauts(paths["root"], files.participant, **part).responses


def _nsd(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, NsdFiles)
    part: dict[str, Any] = files.model_dump(include={"sessions", "mask", "within", "betas"})
    part["rois"] = published.NSD_ROIS if files.rois is None else files.rois
    nsd = published.open_nsd(paths["root"], files.participant, **part)
    return published.finish_published(nsd.responses(), **_finish(study, as_they_are))


def _nsd_cortex(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, NsdCortexFiles)
    part: dict[str, Any] = files.model_dump(include={"trust_pickle", "sessions", "within"})
    return published.read_nsd_cortex(paths["root"], files.participant, **part, **_finish(study, as_they_are)).responses


def _things_fmri(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, ThingsFmriFiles)
    part: dict[str, Any] = files.model_dump(include={"sessions", "within"})
    return published.read_things(paths["root"], files.participant, **part, **_finish(study, as_they_are)).responses


def _things_epochs(study: Study, subject: str, _: bool) -> Responses:
    files, paths = _given(study, subject, ThingsEpochFiles)
    cut = study.epochs
    given: dict[str, Any] = {"images": paths["images"], "trust_pickle": files.trust_pickle, "hashes": False}
    given["bad_channels"] = cut.bad_channels
    if files.release == "eeg2_raw":
        low, high = cut.span_s
        given |= _cut(study) | {"sessions": files.sessions, "band_hz": cut.band_hz, "tmin": low, "tmax": high}
        return published.read_things_eeg2_raw(paths["root"], files.participant, **given).responses
    read = published.read_things_epochs(paths["root"], files.participant, release=files.release, **given).responses
    assert read.times is not None
    first = -np.inf if cut.tmin_s is None else cut.tmin_s - 1e-6
    last = np.inf if cut.tmax_s is None else cut.tmax_s + 1e-6
    kept = np.flatnonzero((read.times >= first) & (read.times <= last))[:: cut.decimate]
    return replace(read, values=read.values[..., kept], times=read.times[kept])


def _betas(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, BetaFiles)
    return formats.read_betas(
        study.placed(files.betas),
        paths["trials"],
        mask=paths.get("mask"),
        rois=study.placed(files.rois) or None,
        space=files.space,
        mesh=study.placed(files.surfaces),
        units=files.units,
        **_finish(study, as_they_are),
    )


def _array(study: Study, subject: str, as_they_are: bool, work: Path | None = None) -> Responses:
    files, paths = _given(study, subject, ArrayFiles)
    return formats.read_array(
        paths["values"],
        paths["trials"],
        targets=paths.get("targets"),
        atlas=paths.get("atlas"),
        times_s=paths.get("times_s", files.times_s),
        **files.model_dump(include={"key", "trials_axis", "times_axis", "repeats_axis", "units"}),
        # What is bad in series is raised or dropped when they are read, as of epochs.
        **_finish(study, as_they_are and not files.timed),
        **_cut(study),
        work=work,
    )


def _fmriprep(study: Study, subject: str, as_they_are: bool) -> Responses:
    files, paths = _given(study, subject, FmriprepFiles)
    return formats.read_fmriprep(
        paths["derivatives"],
        paths["raw"],
        files.participant,
        task=files.task,
        space=files.space,
        mask=paths.get("mask"),
        **_finish(study, as_they_are),
        **study.glm.model_dump(),
    )


ON_DISK = {"array"}  # formats whose readers take `work`
# By the format of a recording: a function of the study, the subject, and whether responses are left as they are.
READERS: dict[str, Reader] = {
    "nifti": lambda study, subject, _: formats.read_fmri(study, subject).responses,
    "betas": _betas,
    "array": _array,
    "epochs": _epochs,
    "fmriprep": _fmriprep,
    "algonauts": _algonauts,
    "nsd": _nsd,
    "nsd_cortex": _nsd_cortex,
    "things_fmri": _things_fmri,
    "things_epochs": _things_epochs,
    "muse": lambda study, subject, _: formats.read_recordings(study, subject),
    "bids": lambda study, subject, _: formats.read_recordings(study, subject),
}


def listed_table(study: Study) -> pd.DataFrame:
    """Tabulate the stimuli that a descriptor lists: stimulus_id and label, with path and texts as it gives them."""
    stimuli = study.listed_stimuli.values()
    table = pd.DataFrame({"stimulus_id": list(study.listed_stimuli)})
    table["label"] = [stimulus.label or name for name, stimulus in study.listed_stimuli.items()]
    if study.has_images:
        table["path"] = [str(stimulus.path) for stimulus in stimuli]
    if study.n_texts:
        table["texts"] = [list(stimulus.texts) for stimulus in stimuli]
    return table


def read_stimuli(study: Study, table: Path | None = None) -> pd.DataFrame:
    """Read what was shown, paths of images made absolute: a table of stimuli, or what the descriptor lists.

    Raises
    ------
    BrainalignError
        As `read_images_table`, or if an image that the descriptor lists is in none of the places.
    """
    if table is not None:
        return read_images_table(table)
    found, paths = listed_table(study), study.image_paths()
    return found.assign(path=[str(paths[name]) for name in found["stimulus_id"]]) if paths else found


def read_images_table(path: Path) -> pd.DataFrame:
    """Return the table of images; the path of each, where there is one, made absolute: it is relative to the table.

    Raises
    ------
    BrainalignError
        If it cannot be read, lacks stimulus_id, or lists an id twice.
    """
    table = formats.read_table(path)
    check_columns(path, table, ["stimulus_id"])
    table = table.assign(stimulus_id=formats.as_ids(table["stimulus_id"]))
    check_unique(path, table["stimulus_id"])
    return table.assign(path=[str(path.parent / str(file)) for file in table["path"]]) if "path" in table else table


def look_at_images(stimuli: pd.DataFrame) -> tuple[formats.ImageAudit | None, list[Problem]]:
    """Audit the images of a study, or else its texts; of one without either, say what is not known then.

    Stimuli are from `read_images_table`.
    """
    if "path" in stimuli:
        images = formats.audit_images(stimuli)
        return images, images.problems()
    texts = stimuli.get("texts", stimuli.get(text_column(stimuli)))
    near = did_you_mean("path", [str(column) for column in stimuli])
    if texts is not None and not near:
        joined = [" ".join(text) if isinstance(text, list) else str(text) for text in texts.fillna("")]
        read = formats.audit_texts(stimuli, joined)
        return read, read.problems()
    what = (
        f"the table has no column 'path'{near}, so no image was looked at: one picture under two ids, on both sides of "
        "the split, would not be seen"
    )
    return None, [Problem("stimuli", what, "warning")]


def marked_images(stimuli: pd.DataFrame, name: str, rule: Split) -> list[str]:
    """Return the test images that a column of the table marks; none where a share is drawn."""
    if rule.column is None:
        return []
    check_columns(f"splits.{name}.column: the table of images", stimuli, [rule.column], "name one of these")
    values = stimuli[rule.column].astype(str)
    is_test = values == rule.value
    if str(rule.value) in ("True", "False"):  # programs write TRUE, true or True
        is_test = values.str.capitalize() == rule.value
    chosen = stimuli.loc[is_test, "stimulus_id"].astype(str).tolist()
    if not chosen:
        known = sorted(values.unique())
        raise BrainalignError(
            f"splits.{name}.value: no image has {rule.value!r} in column {rule.column!r}"
            f"{did_you_mean(str(rule.value), known)}; values there are {listed(known)}"
        )
    return chosen


def image_split(
    trials: pd.DataFrame, rule: Split, test: list[str], images: formats.ImageAudit | None, *, seed: int
) -> pd.DataFrame:
    """Return the split that a rule of the descriptor asks for; see `make_image_split` and `make_splits`.

    Tested images are of `marked_images`. What is drawn keeps pairs of like images on one side; what the table marks
    stays as marked, and is audited. Raises where what is left out by a column of the trials has a copy in training.
    """
    if rule.leave_out is not None:
        splits = make_splits(trials, rule, seed)
        if images is not None and rule.leave_out not in ("run", "session", "stimulus"):
            _check_copies(splits, rule.leave_out, images)
        if not rule.of_stimuli or rule.folds is None or images is None or images.pairs.empty:
            return splits
    if rule.column is not None:
        return make_image_split(trials, test=test, seed=seed)
    pairs = None if images is None else images.pairs
    return make_image_split(trials, test=rule.share, folds=rule.folds, seed=seed, together=pairs)


def _check_copies(splits: pd.DataFrame, column: str, images: formats.ImageAudit) -> None:
    """Raise where a stimulus of one group has the file or the text of one of another, whichever folds are drawn."""
    same = images.pairs[images.pairs["kind"] == "duplicate"]
    of = splits.groupby("stimulus_id")["group"].agg(frozenset).to_dict() if len(same) else {}
    pairs = [(a, b) for a, b in zip(same["stimulus_a"], same["stimulus_b"], strict=True) if a in of and b in of]
    if leaked := [f"{a} and {b}" for a, b in pairs if of[a] != of[b] and min(len(of[a]), len(of[b])) == 1]:
        raise BrainalignError(
            f"{len(leaked)} pairs of stimuli are the same {images.what} in another {column}, so that one trains while "
            f"the other is tested: {listed(leaked)}; leave one of each out, or give both the same {column}"
        )


def changed_files(descriptor: Study) -> list[str]:
    """Return a line for every file that is there but has another sha256 than the descriptor gives, or than it had."""
    copied, found = descriptor.folder / COPIED, []
    for name, digest in (read_json(copied) if copied.exists() else {}).items():
        if (path := descriptor.folder / name).exists() and file_digest(path) != digest:
            remedy = f"move study.yaml away and start init again, or delete {COPIED} where that says nothing new"
            found.append(f"{path} was changed after init had copied it; {remedy}")
    for given, expected in descriptor.sha256.items():
        try:
            path = descriptor.locate(Path(given), "sha256")
        except BrainalignError:
            continue
        if file_digest(path) != expected:
            source = f" from {descriptor.urls[given]}" if given in descriptor.urls else ""
            found.append(
                f"{path} is not the file the descriptor names (sha256 differs); download it again{source}, or correct "
                "the checksum"
            )
    return found
