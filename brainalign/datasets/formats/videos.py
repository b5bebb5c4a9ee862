"""Videos that were shown, which of their frames could be seen, and what neurons did meanwhile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_named, listed
from brainalign.io import array_names, open_picture, read_numbers, reading
from brainalign.study import NeuralFiles, Study

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MASK = "visible.csv"


@dataclass(frozen=True)
class Videos:
    """Frames of every condition.

    Attributes
    ----------
    frames : array (n_conditions, n_times, ...)
        As they were stored; images of folders are (rows, columns, 3) of uint8.
    visible : array (n_conditions, n_times) of bool
    """

    frames: NDArray[Any]
    visible: NDArray[np.bool_]


def read_videos(path: Path) -> Videos:
    """Read videos from arrays, or from a folder with a folder of images per condition.

    That is .npz or .safetensors with `frames` (n_conditions, n_times, ...) and, where frames are hidden, `visible`
    (n_conditions, n_times); or a folder: conditions are its folders in order of their names, frames their images in
    order of theirs, and `visible.csv` has a line of 0 and 1 per condition, without a header.
    """
    if path.is_dir():
        frames, mask = _images(path), path / MASK
        visible = np.ones(frames.shape[:2])
        if mask.is_file():
            with reading(mask, "no table of 0 and 1, a line per condition", "write it again"):
                visible = np.loadtxt(mask, delimiter=",", ndmin=2)
    else:
        arrays = _arrays(path, "frames", "visible")
        frames = arrays["frames"]
        visible = arrays.get("visible", np.ones(frames.shape[:2]))
    if frames.ndim < 3 or visible.shape != frames.shape[:2]:
        remedy = "give (n_conditions, n_times, ...) and (n_conditions, n_times)"
        raise BrainalignError(f"{path}: frames have shape {frames.shape} and visible {visible.shape}; {remedy}")
    if not np.isin(visible, (0, 1)).all():
        raise BrainalignError(f"{path}: visible holds other values than 0 and 1; write 1 where a frame was shown")
    return Videos(frames, visible.astype(bool))


def read_neural(descriptor: Study, subject: str) -> NDArray[Any]:
    """Read the responses of a subject's neurons, (n_conditions, n_times, n_neurons, n_repeats)."""
    path = descriptor.found_files(subject)["neural"]
    neural = _arrays(path, "neural")["neural"]
    if neural.ndim != 4:
        raise BrainalignError(f"{path}: neural has shape {neural.shape}; give (condition, time, neuron, repeat)")
    for name, (_, stop) in _regions(descriptor, subject).items():
        if stop > neural.shape[2]:
            raise BrainalignError(
                f"recordings.{subject}.regions.{name} ends before neuron {stop}, but {path.name} has "
                f"{neural.shape[2]}; neurons are counted from 0, and the second number is one past the last"
            )
    return neural


def neurons_of(descriptor: Study, subject: str, n_neurons: int) -> dict[str, slice]:
    """Find the neurons of each region of a subject; one region of all where none is named."""
    return {name: slice(*pair) for name, pair in _regions(descriptor, subject).items()} or {"all": slice(0, n_neurons)}


def _regions(descriptor: Study, subject: str) -> dict[str, tuple[int, int]]:
    files = descriptor.recordings[subject]
    assert isinstance(files, NeuralFiles)
    return files.regions


def _arrays(path: Path, needed: str, *others: str) -> dict[str, NDArray[Any]]:
    arrays = read_numbers(path, (needed, *others))
    check_named(path, array_names(path), [needed], "array", "save it under this name")
    return arrays


def _images(folder: Path) -> NDArray[np.uint8]:
    conditions = {
        each.name: sorted(file for file in each.iterdir() if file.suffix.lower() in IMAGES)
        for each in sorted(folder.iterdir())
        if each.is_dir()
    }
    counts = {name: len(files) for name, files in conditions.items()}
    if not counts or min(counts.values()) == 0 or len(set(counts.values())) > 1:
        remedy = f"got {counts or 'no folder'}"
        raise BrainalignError(f"{folder}: every condition needs a folder with as many images as the others; {remedy}")
    videos = [[np.asarray(open_picture(file).convert("RGB")) for file in files] for files in conditions.values()]
    shapes = {frame.shape for video in videos for frame in video}
    if len(shapes) > 1:
        raise BrainalignError(f"{folder}: images differ in size ({listed(sorted(shapes))}); make them the same")
    return np.array(videos)
