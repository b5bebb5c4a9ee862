"""Studies that hold no responses, only dissimilarities: of subjects and sessions, and of published models.

Your own (`format: rdms`): a table of stimuli (stimulus_id, and category, path, caption where they are known) and RDMs
as .npy, .csv, .npz, .safetensors, .h5 or .mat: rows of pairs (row-major upper triangle, NaN where missing) or matrices;
or what names its stimuli itself: a .csv or .tsv, with ids around a matrix or in a row per pair, or rsatoolbox's HDF5.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import io
from brainalign.checks import BrainalignError, check_choice, check_columns, check_named, check_unique, listed
from brainalign.condensed import condensed_rdms
from brainalign.datasets.formats.copies import copied_trials, copy_problems, fingerprint
from brainalign.datasets.problems import Problem
from brainalign.study import Kriegeskorte92Files, RdmFiles, Study

Values = NDArray[np.float64]
Find = Callable[[str], Path] | Mapping[str, Path]

N_STIMULI = 92
SEPARATORS = {".csv": ",", ".tsv": "\t"}
WORDS = ("dissimilarity", "distance", "rdm")  # what a column of dissimilarities may be called beside other numbers
FLAGS = ("human", "face", "animal", "natural")


@dataclass(frozen=True)
class RdmSets:
    """Reference RDMs, model RDMs and the stimuli they are about.

    Attributes
    ----------
    stimuli : DataFrame (n_stimuli)
        stimulus_id, category, and whatever else is known of them.
    sets : dict of array (n_subjects, n_sessions, n_pairs)
        Reference RDMs; row-major upper triangle, stimuli in the order of the table, NaN where missing.
    models : dict of array (n_pairs,)
        Published models.
    images : array (n_stimuli, rows, columns, 3) of uint8, optional
    """

    stimuli: pd.DataFrame
    sets: dict[str, Values]
    models: dict[str, Values] = field(default_factory=dict)
    images: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        check_columns("the table of stimuli", self.stimuli, ["stimulus_id"])
        check_unique("the table of stimuli", self.stimuli["stimulus_id"])
        n = len(self.stimuli)
        for kind, shape, arrays in (("set", "(n_subjects, n_sessions, ", self.sets), ("model", "(", self.models)):
            for name, rdms in arrays.items():
                if rdms.ndim != (3 if kind == "set" else 1) or rdms.shape[-1] != n * (n - 1) // 2:
                    raise BrainalignError(
                        f"RDM {kind} {name!r} has shape {rdms.shape} but {n} stimuli need {shape}{n * (n - 1) // 2}); "
                        "save the row-major upper triangle of every subject and session"
                    )
                if np.isinf(rdms).any():
                    raise BrainalignError(f"RDM {kind} {name!r} holds infinities; write NaN where a pair is missing")
                if np.isnan(rdms).all() or np.nanmin(rdms) == np.nanmax(rdms):
                    what = "no number" if np.isnan(rdms).all() else f"nothing but {np.nanmax(rdms):g}"
                    raise BrainalignError(f"RDM {kind} {name!r} holds {what}; give dissimilarities of pairs")


def read_kriegeskorte92(find: Find) -> RdmSets:
    """Read the 92 images of Kriegeskorte et al. (2008): human and monkey IT, judgements, models.

    `find` gives the path of a file by its published name. Sets are humanIT (4 subjects, 2 sessions), monkeyIT (1, 1)
    and judgements (16, 1). Every file's order of stimuli is checked against the others through what they share: the
    animacy model and the flags of the stimuli, the category table, and monkey IT, which two files hold.

    References
    ----------
    Kriegeskorte N et al. (2008). Matching categorical object representations in inferior temporal cortex of man and
    monkey. Neuron 60:1126-1141. doi:10.1016/j.neuron.2008.10.043
    Mur M et al. (2013). Human object-similarity judgments reflect and transcend the primate-IT object representation.
    Frontiers in Psychology 4:128. doi:10.3389/fpsyg.2013.00128
    """
    supplement = "Kriegeskorte_Neuron2008_supplementalData.mat"
    with io.reading(_path(find, supplement).parent, "its files hold something else than the published ones"):
        return _kriegeskorte92(find, supplement)


def _kriegeskorte92(find: Find, supplement: str) -> RdmSets:
    objects, published, labels, table = _load(
        find, supplement, "stimuli_92objs", "RDMs_mIT_hIT_fig1", "categoryLabels", "categoryVectors"
    )
    [brain] = _load(find, "92_brainRDMs.mat", "RDMs")
    [behaviour] = _load(find, "92_behavRDMs.mat", "rdms_behav_92")
    [fitted] = _load(find, "92_modelRDMs.mat", "Models")
    if np.shape(objects) != (N_STIMULI,) or np.shape(brain) != (4, 2) or np.shape(behaviour) != (16,):
        raise BrainalignError(
            f"expected {N_STIMULI} stimuli, 4 x 2 brain RDMs and 16 judgements; got {np.shape(objects)}, "
            f"{np.shape(brain)} and {np.shape(behaviour)}; download the published files again"
        )
    rows = {
        "stimulus_id": [f"object{number:02d}" for number in range(1, N_STIMULI + 1)],
        "category": [str(stimulus.category) for stimulus in objects],
    }
    stimuli = pd.DataFrame(rows | {flag: [bool(getattr(stimulus, flag)) for stimulus in objects] for flag in FLAGS})
    figure = _named(published, supplement, "mIT_674neurons", "hITvisStim_316vx")
    study = RdmSets(
        stimuli=stimuli,
        sets={
            "humanIT": np.array([[_condensed(session) for session in subject] for subject in brain]),
            "monkeyIT": figure["mIT_674neurons"][None, None],
            "judgements": np.array([[_condensed(subject)] for subject in behaviour]),
        },
        models=_named(fitted, "92_modelRDMs.mat", "animacy", "monkeyIT"),
        images=np.stack([np.asarray(stimulus.image, dtype=np.uint8) for stimulus in objects]),
    )
    categories = dict(zip([str(label) for label in labels], np.asarray(table).T, strict=True))
    _check_order(study, categories, figure["hITvisStim_316vx"])
    return study


def read_rdm_study(study: Study) -> RdmSets:
    """Read the matrices that a descriptor names: sets of your own, or those of the 92 images.

    Raises BrainalignError if there is no such set, a file is unreadable, or its arrays do not fit the stimuli.
    Recordings are sets by their names. Of your own, a row per stimulus of its table in the order of the RDMs; an RDM is
    a row of pairs or a symmetric matrix, and axes before it are subjects, and sessions.
    """
    files = study.found_files()
    if any(isinstance(one, Kriegeskorte92Files) for one in study.recordings.values()):
        published = read_kriegeskorte92({path.name: path for path in files.values()})
        for name in study.recordings:
            check_choice("recordings", name, published.sets)
        return replace(published, sets={name: published.sets[name] for name in study.recordings})
    table = files["stimuli"]
    stimuli = io.read_text_table(table)
    if "path" in stimuli:
        stimuli["path"] = [str((table.parent / path).resolve()) for path in stimuli["path"]]
    sets = {}
    for name, one in study.recordings.items():
        assert isinstance(one, RdmFiles)
        path = files[f"recordings.{name}.file"]
        named = _rsatoolbox_rdms if _is_of_rsatoolbox(path) else _table_rdms if _has_names(path) else None
        if named is not None:
            sets[name] = _by_subjects(*named(path, stimuli["stimulus_id"].astype(str).tolist(), one.key))
            continue
        arrays = _matrices(path)
        if one.key is None and len(arrays) > 1:
            raise BrainalignError(f"{path}: holds {len(arrays)} arrays ({listed([*arrays])}); say which one with key")
        key = next(iter(arrays), "") if one.key is None else one.key
        check_choice(f"recordings.{name}.key", key, arrays)
        values = arrays[key]
        n = values.shape[0] if values.ndim else 0
        if values.ndim in (3, 4) and values.shape[1] == n > 1 and values.shape[-2:] != (n, n):
            values = np.moveaxis(values, (0, 1), (-2, -1))  # MATLAB's files have subjects and sessions behind matrices
        rdms = condensed_rdms(f"{path}: {key}" if key else str(path), values, any_axes=True)
        # One RDM is that of one subject; without sessions there is one.
        sets[name] = rdms[None, None] if rdms.ndim == 1 else rdms[:, None] if rdms.ndim == 2 else rdms
    check_columns("the table of stimuli", stimuli, ["stimulus_id"])
    ids = stimuli["stimulus_id"].astype(str).tolist()
    return RdmSets(stimuli, sets, model_rdms(files["model_rdms"], ids) if "model_rdms" in files else {})


def model_rdms(path: Path, stimuli: list[str]) -> dict[str, Values]:
    """Return the RDMs of models by name: that of its array or file, or the descriptor `name` of rsatoolbox."""
    if _has_names(path):
        return {path.stem: _table_rdms(path, stimuli, None)[0][0]}
    if not _is_of_rsatoolbox(path):
        return {key or path.stem: condensed_rdms(f"{path}: {key}", of) for key, of in _matrices(path).items()}
    rdms, labels = _rsatoolbox_rdms(path, stimuli)
    names = labels.get("name", labels.get("model", []))
    if len(set(names)) != len(rdms):
        raise BrainalignError(f"{path}: {len(rdms)} RDMs of models need as many names; give a descriptor `name`")
    return dict(zip(names, rdms, strict=True))


def _matrices(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name; that of a .npy or .csv has none."""
    if path.suffix in SEPARATORS:
        with io.reading(path, "no table of numbers", "write one row per stimulus, without names or with all of them"):
            return {"": np.loadtxt(path, delimiter=SEPARATORS[path.suffix], ndmin=2, encoding="utf-8-sig")}
    if path.suffix in (".npy", ".safetensors"):
        return io.read_numbers(path)
    stored = io.stored_arrays(path, [name for name, shape in io.array_shapes(path).items() if shape])
    return {name: values for name, values in stored.items() if values.dtype.kind in "iufb"}


def _has_names(path: Path) -> bool:
    """Tell whether the first line of a table holds names, not numbers alone."""
    if path.suffix not in SEPARATORS:
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        cells = pd.Series(next(lines, "0").strip("\r\n").split(SEPARATORS[path.suffix]))
    return not cells[0].strip(' "') or _numbers(cells) is None  # pandas leaves the corner of a matrix empty


def _numbers(cells: pd.Series) -> Values | None:
    """Return text as numbers, NaN where it is empty; None where a cell holds something else."""
    try:
        return cells.replace("", "nan").to_numpy(dtype=np.float64)
    except ValueError:
        return None


def rdm_keys(path: Path, stimuli: list[str]) -> list[str]:
    """List the values of the column by which a table of pairs holds several sets, as regions; [] of other files."""
    if not _has_names(path):
        return []
    table = io.read_text_table(path)
    other = [table[name] for name in table if name not in ("subject", "session") and not set(table[name]) <= {*stimuli}]
    labels = [cells.unique().tolist() for cells in other if _numbers(cells) is None and cells.nunique() > 1]
    return labels[0] if len(labels) == 1 else []


def _table_rdms(path: Path, stimuli: list[str], key: str | None) -> tuple[Values, dict[str, list[str]]]:
    """Return RDMs (n_rdms, n_pairs) of a table that names its stimuli, and the subject of each.

    Ids stand around a matrix, or in two columns of a row per pair, beside the dissimilarity and, where there are
    several, subject and session. `key` is the column of dissimilarities, or a value of another, as of a region.
    """
    table = io.read_text_table(path)
    names = [str(name) for name in table]
    if sorted(table[names[0]]) == sorted(names[1:]) == sorted(stimuli):
        square = table.set_index(names[0]).loc[stimuli, stimuli]
        cells = _numbers(pd.Series(square.to_numpy().ravel()))
        if cells is None:
            raise BrainalignError(f"{path}: some cells are no numbers; leave those of missing pairs empty")
        return condensed_rdms(str(path), cells.reshape(square.shape), any_axes=True)[None], {}
    ends = [name for name in names if name not in ("subject", "session", key, *WORDS) and {*table[name]} <= {*stimuli}]
    if len(ends) != 2:
        raise BrainalignError(
            f"{path}: the {len(stimuli)} stimuli of the study stand neither around a matrix nor in two of the columns "
            f"{listed(names)}; name rows and columns of the matrix, or both stimuli of a row, by stimulus_id"
        )
    names = [name for name in names if name not in {*ends, "subject", "session"}]
    if key is not None and key not in names:
        table = table[np.any([table[name] == key for name in names], axis=0)]
    numbers = {name: cells for name in names if (cells := _numbers(table[name])) is not None}
    known = [name for name in numbers if name == key or (key not in numbers and name in WORDS)] or list(numbers)
    if mixed := [name for name in names if name not in numbers and table[name].nunique() > 1]:
        keys = [str(value) for value in table[mixed[0]].unique()]
        raise BrainalignError(
            f"{path}: {mixed[0]!r} takes {len(keys)} values; give one of them as key ({listed(keys)}), or call the "
            "column subject or session if that is what they are"
        )
    if len(known) != 1 or table.empty:
        raise BrainalignError(
            f"{path}: key {key!r} leaves {len(table)} rows, and {listed(known) or 'no column'} may be dissimilarities; "
            "give as key that column, or a value of another"
        )
    if re.search("(?<!dis)similar", known[0].lower()):
        remedy = "give dissimilarities, such as 1 - r"
        raise BrainalignError(f"{path}: {known[0]!r} are similarities by their name; {remedy}")
    of_sets = [table[name] for name in ("subject", "session") if name in table] or [table[ends[0]] * 0]
    rdms, subjects = list[Values](), list[str]()
    for rows in table.groupby([of.to_numpy() for of in of_sets], sort=False).indices.values():
        i, j = (pd.Index(stimuli).get_indexer(pd.Index(table[end].iloc[rows])) for end in ends)
        values = numbers[known[0]][rows]
        matrix = np.where(np.eye(len(stimuli)), 0.0, np.nan)
        matrix[i, j] = matrix[j, i] = values
        other = np.flatnonzero(~np.isclose(matrix[i, j], values, equal_nan=True))
        if len(other):
            first, place = table.iloc[rows[other[0]]], (i[other[0]], j[other[0]])
            raise BrainalignError(
                f"{path}: {' and '.join(first[ends])} have dissimilarities {first[known[0]]} and {matrix[place]:g} of "
                "the same subject and session; keep one, or name the columns subject and session"
            )
        rdms.append(condensed_rdms(str(path), matrix))
        subjects.append(str(table["subject"].iloc[rows[0]]) if "subject" in table else "")
    return np.stack(rdms), {"subject": subjects}


def _is_of_rsatoolbox(path: Path) -> bool:
    """Tell whether a file is what `rsatoolbox.rdm.RDMs.save` writes as HDF5."""
    if path.suffix == ".pkl":
        raise BrainalignError(f"{path}: a pickle can run code and is not read; save it with file_type='hdf5'")
    return path.suffix in (".h5", ".hdf5") and "dissimilarities" in io.array_shapes(path)


def _rsatoolbox_rdms(path: Path, stimuli: list[str], key: str | None = None) -> tuple[Values, dict[str, list[str]]]:
    """Return RDMs (n_rdms, n_pairs) of a file of rsatoolbox, in the order of the stimuli, and their labels."""
    from rsatoolbox.rdm.rdms import load_rdm

    with io.reading(path, "not a whole HDF5 file of rsatoolbox", "write it again with RDMs.save"):
        theirs = load_rdm(str(path), "hdf5")
        matrices = np.asarray(theirs.get_matrices(), dtype=np.float64)
        patterns = {name: _texts(labels) for name, labels in theirs.pattern_descriptors.items() if name != "index"}
        labels = {name: _texts(labels) for name, labels in theirs.rdm_descriptors.items() if name != "index"}
    names = [name for name, order in patterns.items() if sorted(order) == sorted(stimuli)]
    if patterns and not names:
        best = min(patterns, key=lambda name: len(set(stimuli) - set(patterns[name])))
        other = sorted(set(patterns[best]) ^ set(stimuli))
        raise BrainalignError(
            f"{path}: {best} of its {len(patterns[best])} patterns and the {len(stimuli)} stimuli of the table differ "
            f"in {listed(other)}; give both the same ids"
        )
    if names:
        order = [patterns[names[0]].index(stimulus) for stimulus in stimuli]
        matrices = matrices[:, order][:, :, order]
    if key is not None:
        chosen = [any(of[k] == key for of in labels.values()) for k in range(len(matrices))]
        if not any(chosen):
            known = f"they have {listed(sorted({value for of in labels.values() for value in of}))}"
            raise BrainalignError(f"{path}: key {key!r} is no descriptor of its RDMs; {known}")
        matrices = matrices[chosen]
        labels = {name: [value for value, kept in zip(of, chosen, strict=True) if kept] for name, of in labels.items()}
    return condensed_rdms(str(path), matrices, any_axes=True), labels


def _texts(labels: Any) -> list[str]:
    return [label.decode() if isinstance(label, bytes) else str(label) for label in np.asarray(labels).tolist()]


def _by_subjects(rdms: Values, labels: Mapping[str, list[str]]) -> Values:
    """Return RDMs (n_subjects, n_sessions, n_pairs): as they are labelled, else each is of a subject."""
    if "subject" not in labels:
        return rdms[:, None]
    sessions = pd.Series(labels["subject"]).groupby(labels["subject"], sort=False)
    counts = sessions.size()
    if counts.nunique() > 1:
        raise BrainalignError(f"RDMs by subject: {counts.to_dict()}; give each as many sessions, or average them")
    return np.stack([rdms[rows] for rows in sessions.indices.values()])


def rdm_copies(sets: Mapping[str, Values]) -> list[Problem]:
    """Say which sets are equal, and which matrices of one: an error between subjects, who are left out in turn.

    `sets` are arrays (n_subjects, n_sessions, n_pairs).
    """
    problems: list[Problem] = []
    for (name, values), (other, others) in combinations(sets.items(), 2):
        if np.array_equal(values, others, equal_nan=True):
            what = f"holds the same numbers as {name}, one a copy of the other; name the file of each"
            problems.append(Problem(f"recordings.{other}", what))
    for name, values in sets.items():
        subjects, sessions = (part.ravel() for part in np.indices(values.shape[:2]))
        numbers = list(range(len(subjects)))
        places = [f"subject {a + 1} session {b + 1}" for a, b in zip(subjects, sessions, strict=True)]
        pairs = copied_trials({"": fingerprint(values.reshape(len(subjects), -1), numbers, places)})
        sides = [pd.DataFrame({"trial_id": numbers, "split": subjects, "fold": 0})]
        problems += copy_problems(pairs, f"recordings.{name}", sides)
    return problems


def write_stimulus_images(study: RdmSets, folder: Path) -> pd.DataFrame:
    """Write the images of a study as PNG and return its stimuli with the columns path (file name) and sha256."""
    from PIL import Image

    if study.images is None:
        raise BrainalignError("this study holds no images; give their files in the column path of stimuli.tsv")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in study.stimuli["stimulus_id"]]
    for path, image in zip(paths, study.images, strict=True):
        io.write_atomically(path, Image.fromarray(image).save)
    return study.stimuli.assign(path=[path.name for path in paths], sha256=[io.file_digest(path) for path in paths])


def _path(find: Find, name: str) -> Path:
    with suppress(KeyError):
        path = Path(find[name] if isinstance(find, Mapping) else find(name))
        if path.exists():
            return path
    raise BrainalignError(f"{name} was not found; fetch the dataset, or put the file beside the others")


def _load(find: Find, name: str, *variables: str) -> list[Any]:
    """Return variables of a MATLAB file."""
    from scipy.io import loadmat

    path = _path(find, name)
    with io.reading(path, "not a readable MATLAB file", "it may be truncated: download it again"):
        content = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=variables)
    check_named(path, content, variables, "variable", f"is it the published {name}?")
    return [content[variable] for variable in variables]


def _named(entries: Any, file: str, *needed: str) -> dict[str, Values]:
    """Return RDMs by name."""
    found = {str(entry.name): _condensed(entry) for entry in np.atleast_1d(entries)}
    check_named(file, found, needed, "RDM", "download the published file again")
    return found


def _condensed(entry: Any) -> Values:
    """Return the row-major upper triangle of a square or condensed RDM."""
    values = np.asarray(entry.RDM, dtype=np.float64)
    n_pairs = N_STIMULI * (N_STIMULI - 1) // 2
    if values.shape == (n_pairs,):
        return values
    if values.shape != (N_STIMULI, N_STIMULI) or not np.allclose(values, values.T, equal_nan=True):
        known = f"it must be a symmetric {N_STIMULI} x {N_STIMULI} matrix or {n_pairs} pairs"
        raise BrainalignError(f"RDM {str(entry.name)!r} has shape {values.shape}; {known}")
    return values[np.triu_indices(N_STIMULI, 1)]


def _check_order(study: RdmSets, categories: dict[str, NDArray[Any]], human: Values) -> None:
    """Raise unless what files share says that they list the stimuli in one order."""
    i, j = np.triu_indices(N_STIMULI, 1)
    animal = study.stimuli["animal"].to_numpy()
    animacy = study.models["animacy"]
    # The files of sessions and of judgements name no stimuli. In another order they would correlate about 0 with these.
    sessions = study.sets["humanIT"].mean(axis=(0, 1)), study.sets["judgements"].mean(axis=(0, 1))
    agree = {
        "the animacy model and the stimuli's flags": np.array_equal(animacy, animal[i] != animal[j]),
        "monkey IT in the supplement and in the models": np.allclose(
            study.models["monkeyIT"], study.sets["monkeyIT"][0, 0], atol=1e-6
        ),
        "human IT of the sessions and of the supplement": np.corrcoef(sessions[0], human)[0, 1] > 0.8,
        "the judgements and the animacy model": np.corrcoef(sessions[1], animacy)[0, 1] > 0.2,
    }
    for label, flag in (("animate", "animal"), ("face", "face"), ("human", "human")):
        same = np.array_equal(categories[label].astype(bool), study.stimuli[flag].to_numpy())
        agree[f"the category table's {label!r} and the stimuli's {flag!r}"] = same
    if wrong := [what for what, same in agree.items() if not same]:
        raise BrainalignError(f"the files list the stimuli in different orders: {listed(wrong)} disagree")
