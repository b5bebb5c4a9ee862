"""Everything wrong with a dataset, found before any long computation: `brainalign check`, and the start of prepare."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, did_you_mean, listed
from brainalign.datasets import formats
from brainalign.datasets.problems import Problem
from brainalign.datasets.splits import make_splits
from brainalign.io import file_digest
from brainalign.study import FmriOptions, Study, check_repetition_time, guessed_repetition_time


def audit(
    descriptor: Study, subjects: list[str] | None = None, prints: dict[str, formats.Fingerprint] | None = None
) -> list[Problem]:
    """Return every problem of a dataset; an empty list when there is none.

    Parameters
    ----------
    descriptor : Study
    subjects : list of str, optional
        All where not given.
    prints : dict of Fingerprint, optional
        Filled with what is kept of every subject's volumes.
    """
    problems = _picture_problems(descriptor)
    for subject in subjects or descriptor.recordings:
        kept: list[formats.Fingerprint] = []
        for field, what in _problems(descriptor, subject, kept):
            place = f"recordings.{subject}.{field}" if field in (*_FIELDS, "rois") else field
            problems.append(Problem(f"{descriptor.name}: {place}", what))
        problems += [Problem(f"{descriptor.name}: fmri", what, "warning") for what in _doubts(descriptor, subject)]
        for volumes in kept:
            # Neighbouring volumes of a run may be alike, as where motion was interpolated; runs are left out in turn.
            runs = pd.DataFrame({"trial_id": volumes.trials, "split": volumes.places, "fold": 0})
            where = f"{descriptor.name}: recordings.{subject}.bold"
            problems += formats.copy_problems(formats.copied_trials({"": volumes}), where, [runs])
            if prints is not None:
                prints[subject] = volumes
    return problems


def _picture_problems(descriptor: Study) -> list[Problem]:
    """Return images of stimuli that are missing, damaged, or there twice."""
    if not descriptor.has_images:
        return []
    found, lost = [], []
    for name, stimulus in descriptor.listed_stimuli.items():
        try:
            path = descriptor.locate(stimulus.path or Path(), f"stimuli.{name}.path")
        except BrainalignError as error:
            lost.append(Problem(f"{descriptor.name}: stimuli.{name}.path", str(error).split(": ", 2)[2], rows=(name,)))
        else:
            found.append({"stimulus_id": name, "path": str(path)})
    problems = formats.audit_images(pd.DataFrame(found, columns=["stimulus_id", "path"])).problems()
    return lost + [replace(problem, where=f"{descriptor.name}: {problem.where}") for problem in problems]


def _doubts(descriptor: Study, subject: str) -> Iterator[str]:
    """Yield what may be wrong with files of a subject that can be read; others are errors already."""
    with suppress(BrainalignError):
        header = formats.open_image(formats.block_images(descriptor, subject)[0]).header
        if hasattr(header, "get_xyzt_units") and (
            what := guessed_repetition_time(_fmri(descriptor).tr_s, header.get_zooms())
        ):
            yield what


_FIELDS = ("bold", "mask", "labels", "events")


def _fmri(descriptor: Study) -> FmriOptions:
    """Give the options that blocks are read with; a study of blocks in volumes has them."""
    assert descriptor.fmri is not None
    return descriptor.fmri


def _problems(descriptor: Study, subject: str, kept: list[formats.Fingerprint]) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong) of one subject; volumes that can be read are appended to `kept`."""
    files, lost = descriptor.recordings[subject], set()
    for field in _FIELDS:
        named = getattr(files, field) or ()
        for one in [named] if isinstance(named, Path) else named:
            try:
                path = descriptor.locate(one, f"recordings.{subject}.{field}")
            except BrainalignError as error:
                lost.add(field)
                yield field, str(error).split(": ", 2)[2]
                continue
            expected = descriptor.sha256.get(one.as_posix())
            if expected and file_digest(path) != expected:
                yield field, f"{path} is not the file the descriptor names (sha256 differs); download it again"
    labels, labelled = None, "labels" if getattr(files, "labels", None) else "events"
    if labelled not in lost and (labelled == "labels" or not lost):
        try:
            labels = formats.read_block_labels(descriptor, subject)
            for field, what in _label_problems(descriptor, labels):
                yield labelled if field == "labels" else field, what
        except BrainalignError as error:
            yield labelled, str(error)
    if not {"bold", "mask"} & lost:
        try:
            yield from _image_problems(descriptor, subject, labels, kept)
        except BrainalignError as error:
            yield "bold" if "bold" in str(error) else "mask", str(error)
    if getattr(files, "rois", {}) and not lost:
        try:
            mask = descriptor.find(subject, "mask")
            formats.block_regions(descriptor, subject, formats.read_volumes(mask) > 0)
        except BrainalignError as error:
            yield "rois", str(error)


def _label_problems(descriptor: Study, labels: pd.DataFrame) -> Iterator[tuple[str, str]]:
    shown, known = set(labels["label"]) - {_fmri(descriptor).rest}, descriptor.stimulus_ids()
    for name in sorted(shown - set(known)):
        yield (
            "labels",
            f"unknown category {name!r}{did_you_mean(name, known)}; add it under stimuli, or name the "
            "label of rest in fmri.rest",
        )
    if never := sorted(set(known) - shown):
        yield "stimuli", f"{listed(never)} never shown; remove them from the descriptor or correct the labels"
    if descriptor.left_out and labels["run"].nunique() < 2:
        yield (
            "labels",
            f"there is one run only ({labels['run'].iloc[0]!r}); cross-validation leaves runs out and needs 3 or more, "
            "so number the runs in the second column of the labels",
        )
        return
    if (labels["run"] != labels["run"].shift()).sum() > labels["run"].nunique():
        yield "labels", "a run number comes back after another run; number the runs of all sessions differently"
        return
    try:
        blocks = formats.find_blocks(labels, _fmri(descriptor))
    except BrainalignError as error:
        yield "labels", str(error)
        return
    yield from _design_problems(descriptor, labels, blocks)


def _design_problems(descriptor: Study, labels: pd.DataFrame, blocks: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the order of blocks and the splits of them."""
    trials = blocks.assign(session="1", trial_id=[str(row) for row in range(len(blocks))])
    for name, split in descriptor.left_out.items():
        try:
            make_splits(trials, split, seed=0)
        except BrainalignError as error:
            yield f"splits.{name}", str(error)
    counts = trials.groupby(["run", "stimulus_id"]).size().unstack(fill_value=0)
    for run, row in counts[(counts == 0).any(axis=1)].iterrows() if descriptor.left_out else ():
        yield (
            "labels",
            f"run {run} has no block of {listed(row.index[row == 0].tolist())}; a held-out run is identified among all "
            "categories, and ceilings compare runs category by category: leave incomplete runs out of the files, or "
            "the category out of the study",
        )
    if (blocks["first"] == blocks["last"]).all():
        yield (
            "labels",
            "every block is a single volume, so noise within blocks cannot be seen; label all volumes of a block",
        )
    shape = descriptor.shape
    for field, found in {"runs": labels["run"].nunique(), "trials": len(blocks)}.items():
        if shape and found > getattr(shape, field):
            yield f"shape.{field}", f"says {getattr(shape, field)} at most but there are {found}; correct it"


def _image_problems(
    descriptor: Study, subject: str, labels: pd.DataFrame | None, kept: list[formats.Fingerprint]
) -> Iterator[tuple[str, str]]:
    paths, place = formats.block_images(descriptor, subject), descriptor.find(subject, "mask")
    images, mask = [formats.open_image(path) for path in paths], formats.open_image(place)
    bold = images[0]
    for path, image in zip(paths, images, strict=True):
        if len(image.shape) != 4:
            yield "bold", f"{path} has shape {image.shape}; give a 4-D image, volumes last"
            return
        if image.shape[:3] != bold.shape[:3] or not np.allclose(image.affine, bold.affine, atol=1e-3):
            what = f"{path} has shape {image.shape[:3]}, or an affine, other than {bold.shape[:3]} of {paths[0]}"
            yield "bold", f"{what}; resample all runs to one grid"
            return
    if mask.shape == (*bold.shape[:3], 1):
        yield "mask", f"the mask has shape {mask.shape}; save it without the last axis (nibabel.squeeze_image)"
        return
    if mask.shape != bold.shape[:3]:
        yield (
            "mask",
            f"the mask has shape {mask.shape} but bold has {bold.shape[:3]}; resample it with "
            "nilearn.image.resample_to_img(mask, bold, interpolation='nearest')",
        )
        return
    if not np.allclose(mask.affine, bold.affine, atol=1e-3):
        yield "mask", "mask and bold have the same shape but different affines; resample the mask to bold"
    if hasattr(bold.header, "get_xyzt_units"):  # headers of MGH, Analyze and AFNI have no units
        try:
            check_repetition_time(_fmri(descriptor).tr_s, bold.header.get_zooms(), bold.header.get_xyzt_units()[1])
        except BrainalignError as error:
            yield "fmri", str(error)
    n_volumes = sum(image.shape[3] for image in images)
    if labels is not None and len(labels) != n_volumes:
        yield ("labels", f"{len(labels)} lines for {n_volumes} volumes of bold; give one line 'label run' per volume")
        return
    inside = formats.read_volumes(place) > 0
    if inside.sum() < 2:
        yield "mask", f"{place} selects {inside.sum()} voxel(s); patterns need 2 or more, with values > 0"
        return
    volumes = np.concatenate([formats.read_volumes(path)[inside] for path in paths], axis=1)
    runs = np.zeros(volumes.shape[1]) if labels is None else labels["run"].to_numpy()
    broken, flat = formats.bad_voxels(volumes, runs)
    names = [f"volume {number}" for number in range(volumes.shape[1])]
    kept.append(formats.fingerprint(volumes[~(broken | flat)].T, names, [f"run {run}" for run in runs]))
    if _fmri(descriptor).bad_voxels == "raise":
        places = [tuple(int(x) for x in place) for place in np.argwhere(inside)]
        for kind, found in (("NaN or infinite", broken), ("constant", flat)):
            if found.any():
                first = listed([places[row] for row in np.flatnonzero(found)])
                yield (
                    "bold",
                    f"{found.sum()} of {len(found)} voxels inside the mask are {kind} in some run (voxels {first}); "
                    "shrink the mask, or set fmri.bad_voxels: drop to leave them out and count them",
                )
    most = descriptor.shape.targets if descriptor.shape else len(broken)
    if len(broken) > most:
        yield "shape.targets", f"says {most} at most but the mask has {len(broken)} voxels; correct it"
