"""How large a study is, from headers and tables alone, so that a plan needs no `shape` in the descriptor."""

import gzip
import re
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from math import ceil, prod
from pathlib import Path

import numpy as np

from brainalign.checks import BrainalignError
from brainalign.io import array_shapes, chosen_array, image_values, load_image_file, read_lines, reading
from brainalign.study.descriptor import Shape, Study
from brainalign.study.worlds import SimulateOptions, StoryWorld

DEFAULT_SHAPE = Shape(runs=12, trials=10_000, targets=100_000)  # of a release whose files say nothing at a glance
VERTICES = 20_484  # of the simulated cortex
HEAD_BYTES = 1 << 16  # of a GIFTI file: what stands before its first array
CIFTI = (".dscalar.nii", ".dtseries.nii")


def shape_of(study: Study) -> Shape:
    """Return the size of the largest subject's data: as the descriptor says, as its files say, else a large release."""
    return known_shape(study) or DEFAULT_SHAPE


def known_shape(study: Study) -> Shape | None:
    """Return the size of the largest subject's data; None where neither descriptor nor files say it."""
    if study.shape is not None or study.data_type not in ("responses", "continuous"):
        return study.shape
    return _measured(str(study.folder), study.model_dump_json(exclude={"title", "citation", "notes"}), _Held(study))


def has_unknown_size(study: Study) -> bool:
    """Tell whether neither descriptor nor files say how large a study is whose jobs grow with it."""
    return study.is_fitted and known_shape(study) is None


def count_stimuli(study: Study) -> int:
    """Count the stimuli that a descriptor or its table lists; 0 where a folder holds them."""
    table = study.stimulus_table()
    if table is None:
        return len(study.listed_stimuli)
    return 0 if table.is_dir() else _rows(table)


class _Held:
    """A study beside the text that a cache knows it by; all are equal."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=64)
def _measured(folder: str, text: str, held: _Held) -> Shape | None:
    study = held.study
    size = study.simulate
    if isinstance(size, SimulateOptions):
        return Shape(runs=size.n_sessions, trials=(size.n_shared + size.n_unique) * size.n_repeats, targets=VERTICES)
    if isinstance(size, StoryWorld):
        return Shape(runs=size.n_runs, trials=size.n_runs * size.n_rows, targets=4 * size.n_targets)
    shapes = []
    for subject in study.subject_names:
        # A file that is missing or damaged is for `check` to tell; a plan goes without it.
        with suppress(BrainalignError, OSError, ValueError, KeyError, EOFError):
            shapes.append(_of_responses(study, subject))
    found = [shape for shape in shapes if shape is not None]
    return max(found, key=lambda shape: shape.trials * shape.targets, default=None)


def _of_blocks(study: Study, subject: str) -> Shape:
    assert study.fmri is not None
    files, targets = study.found_files(subject), _inside(study.find(subject, "mask"))
    if tables := [path for label, path in files.items() if label.startswith("events")]:
        return Shape(runs=len(tables), trials=sum(map(_rows, tables)), targets=targets)
    labels = [line.split() for line in read_lines(files["labels"]) if line.strip()]
    starts = [row for k, row in enumerate(labels) if k == 0 or row != labels[k - 1]]
    trials = sum(row[0] != study.fmri.rest for row in starts)
    return Shape(runs=len({row[-1] for row in labels}), trials=trials, targets=targets)


def _of_responses(study: Study, subject: str) -> Shape | None:
    files = study.recordings[subject]
    if files.format == "nifti":
        return _of_blocks(study, subject)
    paths = study.found_files(subject)
    if files.format == "runs":
        heard = {run: study.locate(files.presentations(run)[0], "files") for run in files.files}
        if files.kind == "recordings":
            heads = [import_module("mne").io.read_raw(path, verbose="error") for path in heard.values()]
            seconds = sum(raw.n_times / raw.info["sfreq"] for raw in heads)
            n_sensors = sum(kind in ("eeg", "mag", "grad") for kind in heads[0].get_channel_types())
            return Shape(runs=len(heads), trials=round(seconds / files.step_s), targets=n_sensors)
        if files.kind != "arrays":
            first = next(iter(heard.values()))
            rows = [_n_rows(path) for path in heard.values()]
            masks = [path for label, path in paths.items() if re.fullmatch(r"mask(\.1)?", label)]
            targets = _inside(masks[0]) if masks else _targets(first) * (1 + bool(files.right))
            return Shape(runs=len(rows), trials=sum(rows), targets=targets)
        arrays = [array_shapes(path)[files.array_of(path, run)] for run, path in heard.items()]
        return Shape(runs=len(arrays), trials=sum(shape[-2] for shape in arrays), targets=arrays[0][-1])
    if files.format == "array":
        shape = list(array_shapes(paths["values"])[chosen_array(paths["values"], files.key)])
        axes = {files.trials_axis, files.trials_axis if files.repeats_axis is None else files.repeats_axis}
        n_trials = prod(size for axis, size in enumerate(shape) if axis in axes)
        return Shape(runs=1, trials=n_trials, targets=prod(shape) // n_trials)
    n_trials = sum(_rows(path) for label, path in paths.items() if label.startswith("trials"))
    if files.format == "epochs":
        values = sum(path.stat().st_size for label, path in paths.items() if label.startswith("epochs")) / 4
        trials = n_trials or count_stimuli(study)
        return Shape(runs=1, trials=trials, targets=ceil(values / trials)) if trials else None
    if files.format == "betas" and n_trials:
        # The files of a list hold other trials of the same targets.
        firsts = {label: path for label, path in paths.items() if re.fullmatch(r"betas(\.[LR])?(\.1)?", label)}
        volume = not isinstance(files.betas, dict) and not min(firsts.values()).name.endswith(CIFTI)
        targets = _inside(paths["mask"]) if volume and "mask" in paths else sum(map(_targets, firsts.values()))
        return Shape(runs=1, trials=n_trials, targets=targets)
    return None


def _targets(path: Path) -> int:
    """Count the vertices, grayordinates or voxels of a file of responses."""
    if path.name.endswith((".gii", ".gii.gz")):
        return _gifti_head(path)["Dim0"]
    shape: tuple[int, ...] = load_image_file(path).shape
    return int(shape[-1]) if path.name.endswith(CIFTI) else prod(map(int, shape[:3]))


def _n_rows(path: Path) -> int:
    """Count the volumes or maps of a file."""
    if path.name.endswith(".gii"):
        head = _gifti_head(path)
        return head["NumberOfDataArrays"] if head["NumberOfDataArrays"] > 1 else head.get("Dim1", 1)
    return int(load_image_file(path).shape[0 if path.name.endswith(CIFTI) else -1])


def _gifti_head(path: Path) -> dict[str, int]:
    """Read the number of arrays of a GIFTI file, and the shape of the first."""
    with reading(path, "no GIFTI file"):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(HEAD_BYTES).split(b"<Data>")[0]
        return {str(name, "ascii"): int(n) for name, n in re.findall(rb'(NumberOfDataArrays|Dim[01])="(\d+)"', head)}


def _inside(mask: Path) -> int:
    """Count the voxels that a mask selects; several programs write NaN outside."""
    return int(np.count_nonzero(np.nan_to_num(image_values(mask, load_image_file(mask)))))


def _rows(path: Path) -> int:
    """Return the rows of a table, without its header."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        with reading(path, "not a readable .parquet table", "write it again"):
            return int(pyarrow.parquet.read_metadata(path).num_rows)
    return max(sum(1 for line in read_lines(path) if line.strip()) - 1, 1)
