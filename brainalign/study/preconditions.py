"""What a stage cannot do without, each rule once: the stage that needs it calls it, and so do `check` and `plan`.

check_test_stimuli      scores over held-out stimuli need some
check_categories        decoding needs categories to tell apart
check_folds_within      folds of successive trials need their onsets, and trials enough
check_halves            guide and check are fitted to a half of the training images each
check_contexts          contexts of in-context encoding share no image
check_shared_stimuli    networks are compared over stimuli
check_shared_objects    objects of judgements are compared with regions over those that brains saw
check_combination       several layers of one model
check_repeated          crossnobis multiplies repeats of an image
check_dynamics          frames that dynamics are learned from, and conditions for the folds
check_neural            neurons beside videos: repeats, and no gaps
check_latency_window    a peak is looked for in some samples
check_vectors           embeddings are vectors
check_repetition_time   seconds, and those of the scan; guessed_repetition_time: where its header says nothing
find_weights            a folder, a package that carries a model, or the id of a hub
loading_model           of transformers or diffusers: what they raise over its files
check_saved_layers      layers of a model in a folder, by the names of its weights
"""

import difflib
import importlib.metadata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from brainalign.checks import BrainalignError, did_you_mean, listed

LEAST_OBJECTS = 7  # shared with a brain dataset: fewer have too few orders
LEAST_SHARED = 20  # stimuli that networks are compared over
MIN_TEST = 7  # fewer stimuli have too few orders for a permutation null
LEAST_HALF = 20  # images that the guide, and those that the check is fitted to; fewer fit nothing
LONGEST_TR_S = 60.0  # longer ones are milliseconds
TR_TOLERANCE = 0.01  # relative; headers are rounded


def check_test_stimuli(ids: Collection[str]) -> None:
    """Raise where too few stimuli are held out for a score over them."""
    n = len(set(ids))
    if n < MIN_TEST:
        raise BrainalignError(
            f"scores over held-out stimuli need {MIN_TEST} test stimuli or more; got {n}; hold out more stimuli"
        )


def check_categories(names: Sequence[str], score: str) -> None:
    """Raise where there are not the categories that a score is made of."""
    if len(names) < 2 or (score == "auc" and len(names) != 2):
        wanted = "exactly two categories; take score='accuracy' or pairwise_movie" if score == "auc" else "two or more"
        raise BrainalignError(f"{len(names)} categories ({listed(list(map(str, names)))}), but {score} needs {wanted}")


def check_folds_within(groups: Sequence[str], onsets_s: NDArray[np.floating], n_folds: int) -> None:
    """Raise where the trials of a group cannot be cut into folds of successive ones.

    Parameters
    ----------
    groups : sequence (n_trials,) of str
        The recording of each trial.
    onsets_s : array (n_trials,)
        NaN where unknown.
    n_folds : int
    """
    if not np.isfinite(onsets_s).all():
        raise BrainalignError(
            f"{(~np.isfinite(onsets_s)).sum()} of {len(onsets_s)} trials have no onset_s, so what overlaps is unknown; "
            "give onsets in the table of trials, or leave out whole recordings"
        )
    for name, n in Counter(groups).items():
        if n_folds < 2 or n < 2 * n_folds:
            raise BrainalignError(f"{n_folds} folds of the {n} trials of '{name}'; use 2 or more, of 2 trials each")


def check_halves(n_training: int) -> None:
    """Raise where guide and check cannot each be fitted to a half of the training images."""
    if n_training // 2 < LEAST_HALF:
        raise BrainalignError(
            f"{n_training} training images make halves of {n_training // 2}; guide and check need {LEAST_HALF} each"
        )


def check_contexts(n_training: int, sizes: Sequence[int], n_repeats: int) -> None:
    """Raise where there are too few training images for contexts that share none."""
    if max(sizes) * n_repeats > n_training:
        raise BrainalignError(
            f"{n_repeats} disjoint contexts of {max(sizes)} need {max(sizes) * n_repeats} training images but there "
            f"are {n_training}; lower sizes or n_repeats"
        )


def check_shared_stimuli(n: int) -> None:
    """Raise where there are too few stimuli to compare networks over."""
    if n < LEAST_SHARED:
        raise BrainalignError(f"models share {n} stimuli; comparing them needs {LEAST_SHARED} or more")


def check_shared_objects(names: Sequence[str], n_objects: int, n_subjects: int) -> None:
    """Raise where too few objects of judgements are test images of all subjects of a brain dataset."""
    if len(names) < LEAST_OBJECTS:
        raise BrainalignError(
            f"concepts.regions_of: {len(names)} of {n_objects} objects are test images of all of its {n_subjects} fMRI "
            f"subjects ({listed(names) or 'none'}), but {LEAST_OBJECTS} are needed; ids of objects and stimuli must be "
            "the same, and splits test them"
        )


def check_combination(name: str, model: str, chosen: Collection[str] | None, known: Sequence[str]) -> None:
    """Raise where layers that a combination takes of a model are not there; all are taken where none is given."""
    unknown = [layer for layer in chosen or () if layer not in known]
    if unknown or len(known) < 2:
        raise BrainalignError(
            f"combinations: {name} combines {listed(unknown or [model])}, but the layers of {model} are "
            f"{listed(known, 12) or 'none'}; name two or more of them"
        )


def check_repeated(distance: str, n_repeats: int) -> None:
    """Raise where repeats of the test images are multiplied, and some were shown once.

    `n_repeats` are those of the test image that was shown least.
    """
    if distance == "crossnobis" and n_repeats < 2:
        raise BrainalignError(
            "crossnobis multiplies repeats of a stimulus with each other, and some stimuli that are compared were "
            "shown once; choose the distance 'correlation' or 'euclidean'"
        )


def check_dynamics(visible: NDArray[np.bool_], *, context: int | None = None, folds: int | None = None) -> int:
    """Raise where videos are too few or too short; return how many frames all show before the first hidden one.

    Parameters
    ----------
    visible : array (n_conditions, n_times) of bool
    context : int, optional
        Frames that dynamics see before a prediction, where they are learned from these videos.
    folds : int, optional
        Of conditions.
    """
    hidden = ~visible
    shown = int(np.where(hidden.any(axis=1), hidden.argmax(axis=1), visible.shape[1]).min())
    if context is not None and shown <= context:
        raise BrainalignError(
            f"conditions show {shown} frames before the first hidden one, which leaves none to learn from "
            f"after a context of {context}; give `training` videos, a shorter context, or heads: []"
        )
    if folds is not None and not 2 <= folds <= len(visible):
        raise BrainalignError(f"folds must be 2 to the number of conditions ({len(visible)}); got {folds}")
    return shown


def check_neural(neural: NDArray[np.floating], visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Check neural recordings and mark the frames (n_conditions, n_times) that were recorded.

    Raises BrainalignError if shapes do not fit, there are fewer than two repeats, or NaN is anywhere but after the end
    of a trial. Recordings are (n_conditions, n_times, n_neurons, n_repeats), `visible` is (n_conditions, n_times).
    """
    if neural.ndim != 4 or neural.shape[:2] != visible.shape or neural.shape[3] < 2:
        raise BrainalignError(
            f"neural has shape {neural.shape} and the visible mask {visible.shape}; give (n_conditions, n_times, "
            "n_neurons, n_repeats) with two repeats or more, and (n_conditions, n_times)"
        )
    finite = np.isfinite(neural)
    present = np.asarray(finite.any(axis=(2, 3)))
    odd = present & ~finite.all(axis=(2, 3))
    if odd.any():
        row, time = (int(k) for k in np.argwhere(odd)[0])
        raise BrainalignError(
            f"neural has NaN in some neurons or repeats of {int(odd.sum())} frames (first: condition {row}, frame "
            f"{time}); keep the neurons and repeats that are complete. Frames after the end of a trial are NaN in all"
        )
    if (np.diff(present.astype(int), axis=1) > 0).any() or not present.any(axis=1).all():
        raise BrainalignError("neural has NaN before the end of a trial; only frames after its end may be missing")
    return present


def check_latency_window(times: NDArray[np.floating], window: tuple[float, float] | None) -> None:
    """Raise where the window in which a peak is looked for holds too few samples.

    `times` are seconds from the stimulus, all of them where there is no `window`.
    """
    if window is None:
        return
    n = int(((times >= window[0]) & (times <= window[1])).sum())
    if n < 3:
        raise BrainalignError(
            f"latency_window_s: {window[0]:g} to {window[1]:g} s holds {n} samples of epochs that go {times[0]:g} to "
            f"{times[-1]:g} s; a peak needs 3 or more"
        )


def check_vectors(layer: str, *, tokens: bool) -> None:
    """Raise where a layer keeps the places of images, and embeddings are wanted."""
    if tokens:
        raise BrainalignError(
            f"layer {layer!r} holds tokens; embeddings are vectors: take another layer, or a model that averages over "
            "places"
        )


def header_step_s(zooms: Sequence[float], unit: str) -> float | None:
    """Return the seconds from volume to volume that a header says; None where it says none."""
    if len(zooms) < 4 or not zooms[3] > 0:
        return None
    return float(zooms[3]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1e-3 if zooms[3] > LONGEST_TR_S else 1.0)


def check_repetition_time(tr_s: float, zooms: Sequence[float], unit: str) -> None:
    """Raise where volumes are told to follow each other faster or slower than their file says.

    Parameters
    ----------
    tr_s : float
    zooms : sequence of float
        Of the header of the image; the fourth is time, 0 where it was not written.
    unit : str
        Of that time as the header gives it. Of 1 see `guessed_repetition_time`.
    """
    of_file = header_step_s(zooms, unit)
    if of_file is None or zooms[3] == 1:
        return
    if abs(of_file - tr_s) > TR_TOLERANCE * of_file:
        raise BrainalignError(
            f"tr_s is {tr_s:g}, but the header of bold says {of_file:g} s from one volume to the next; correct the one "
            "that is wrong"
        )


def guessed_repetition_time(tr_s: float, zooms: Sequence[float]) -> str:
    """Write the warning for a header that says exactly 1 where `tr_s` says something else; "" where it does not.

    Programs that do not know the repetition time (ITK, ANTs, `fslmerge -t`) write 1 into every file, most with a unit.
    """
    if len(zooms) < 4 or zooms[3] != 1 or abs(tr_s - 1) <= TR_TOLERANCE:
        return ""
    return (
        f"tr_s is {tr_s:g}, but the header of bold says 1 from one volume to the next, as programs write that do not "
        "know it; see that tr_s is that of the scan"
    )


@contextmanager
def loading_model(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever libraries raise over the files of a model into the project's error."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BrainalignError(f"cannot load {what}: {reason} {remedy}") from error


def check_complete(missing: Iterable[str], weights: str) -> None:
    """Raise where a file lacks what a pass needs, which would be made up at random; a pooler on top is not read."""
    if lacks := sorted(key for key in missing if "pooler" not in key and "masked_spec_embed" not in key):
        raise BrainalignError(
            f"the weights in {weights!r} lack {len(lacks)} tensors of the model ({listed(lacks)}); "
            "give the folder of the whole model, or random_weights for an untrained one"
        )


def find_weights(name: str) -> str:
    """Return where a model lies: a local folder, or the folder a Python package of that name carries it in.

    A name that is neither is returned as it is: a hub id.
    """
    if Path(name).is_dir():
        return name
    folder = Path(name).parent
    inside = "/" in name and folder.is_dir()  # of hub ids no folder has the name of the owner
    if name.startswith((".", "/", "~")) or inside or name.count("/") > 1:
        near = did_you_mean(name, [str(folder / path.name) for path in folder.iterdir()]) if inside else ""
        raise BrainalignError(f"no folder {name} with a model{near}; give a folder, a package with one, or a hub id")
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        names = [] if "/" in name else [package.metadata["Name"] for package in importlib.metadata.distributions()]
        for near in difflib.get_close_matches(name, names, n=max(len(names), 1), cutoff=0.6):
            if any(map(_is_model, importlib.metadata.files(near) or ())):
                raise BrainalignError(f"there is no package {name!r} (did you mean {near!r}?)") from None
        return name
    weights = list(filter(_is_model, files))
    if not weights:
        raise BrainalignError(f"the package {name} carries no model.safetensors or .gguf; give a folder or a hub id")
    return str(Path(str(weights[0].locate())).parent)


def _is_model(file: PurePath) -> bool:
    return file.name == "model.safetensors" or file.suffix == ".gguf"


def quantized_file(folder: Path) -> dict[str, str]:
    """Choose the arguments of transformers for a model of one .gguf file without config.json; else none.

    Raises BrainalignError if there are several such files, or a package that reads them is missing.
    """
    files = sorted(folder.glob("*.gguf"))
    if not files or (folder / "config.json").is_file():
        return {}
    if len(files) > 1:
        names = listed([file.name for file in files])
        raise BrainalignError(f"{folder} holds {len(files)} models ({names}); give one a folder of its own")
    try:
        for needed in ("gguf", "accelerate"):
            importlib.metadata.version(needed)
    except importlib.metadata.PackageNotFoundError as error:
        remedy = "pip install --no-deps gguf accelerate"
        raise BrainalignError(f"{files[0].name} is read with the package {error.name}; {remedy}") from error
    return {"gguf_file": files[0].name}


def check_saved_layers(folder: Path, layers: Iterable[str]) -> None:
    """Raise where a layer cannot be in a network, going by the names of its weights in the folder.

    A layer without weights of its own is let pass where the module it stands in is there, and so is one whose first
    module is not among them: transformers renames weights as it loads them (encoder.layer.0 to layers.0). `folder` is
    one with model.safetensors, others are not looked into; `layers` are names of modules.
    """
    modules = _modules(folder / "model.safetensors")
    for layer in layers if modules else ():
        parent, _, last = layer.rpartition(".")
        siblings = {name.rpartition(".")[2] for name in modules if name.rpartition(".")[0] == parent}
        counted = last.isdecimal() and any(name.isdecimal() for name in siblings)
        begun = layer.partition(".")[0] in modules and parent.replace("layers", "layer") not in modules
        unlikely = begun and parent not in modules if parent else bool(did_you_mean(layer, modules))
        if layer not in modules and (counted or unlikely):
            named = (name for name in modules if not name[0].isdecimal())
            by_depth = sorted(named, key=lambda name: (name.count("."), name))
            raise BrainalignError(
                f"there is no layer {layer!r} in {folder}{did_you_mean(layer, modules)}; it has {listed(by_depth, 8)}"
            )


def _modules(path: Path) -> set[str]:
    """Return every module that holds weights, or modules that do, by the ends of its name: prefixes may be left out."""
    if not path.is_file():
        return set()
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (OSError, SafetensorError):
        return set()  # the stage that loads it says what is wrong with it
    modules = set()
    for name in names:
        parts = name.split(".")[:-1]
        for start in range(min(len(parts), 4)):
            modules |= {".".join(parts[start:stop]) for stop in range(start + 1, len(parts) + 1)}
    return modules
