"""Names of everything a stage leaves on disk: the one place where they are made, and in which format each is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainalign.checks import BrainalignError, check_choice


@dataclass(frozen=True)
class Layout:
    """Where artifacts of one suffix live, in which format, with which tables beside them."""

    folder: str
    extension: str
    tables: tuple[str, ...] = ()


# Suffixes of tables and of arrays by the folder that they lie in.
TABLES = {
    "responses": "splits ceiling ledger",
    "features": "runcontrols",
    "encoding": "scores identification null profile preference clusters bands partition baselines ensemble curve",
    "convergence": "convergence areas latencies curves halftimes maps",
    "identify": "regions thresholds agreement",
    "concepts": "choices conceptdimensions networks readouts conceptregions alignment alignedregions",
    "series": "people filled regionnetworks regionmap personscores",
    "synthesis": "captions captionscores captiontemperatures synthesis synthesisgains synthesissteps directionscores",
    "grounding": "groundedscores groundedaxes groundedattributes groundednorms groundedregions",
    "geometry": "differences searchlight comparison regionfits",
    "time": "timescores timesensors timewindows timeclusters timepeaks",
    "dynamics": "dynamics dynamicsneurons dynamicsfolds dynamicsmovies",
    "modalities": "modalitytrials modalitystimuli spaceretrieval spacechanges spacecurve spacegeometry",
    "matching": "similarity dimensions featurebias manifolds",
    "decoding": (
        "controls retrieval retrievalsubjects averaged zeroshot confusion nuisances leftblocks textscores relevance "
        "sentences"
    ),
    "summary": "decoding summary recovery contest winners",
}
ARRAYS = {
    "responses": "noise",
    "encoding": "fields draws halves network",
    "concepts": "triplets concepts aligned",
    "series": "series maskedmodel filledtraces",
    "grounding": "grounding groundedwords",
    "geometry": "references rdm",
    "time": "timesquares",
    "dynamics": "rollouts",
    "modalities": "modalities sharedspace",
    "synthesis": "guides synthesized directions directionimages",
}
LAYOUTS = {
    "responses": Layout("responses", ".safetensors", ("trials", "targets")),
    "mask": Layout("responses", ".nii.gz"),
    "bold": Layout("responses", ".nii.gz"),
    "features": Layout("features", ".safetensors", ("stimuli",)),
    "image": Layout("synthesis", ".zip"),
    **{name: Layout(folder, ".parquet") for folder, names in TABLES.items() for name in names.split()},
    **{name: Layout(folder, ".safetensors") for folder, names in ARRAYS.items() for name in names.split()},
}


def place_tables(suffixes: Iterable[str], folder: str) -> None:
    """Give suffixes without a place in `LAYOUTS` one: they are tables, in a folder of results.

    The suffixes are what a step saves; steps say the folder of their programs.
    """
    for suffix in suffixes:
        LAYOUTS.setdefault(suffix, Layout(folder, ".parquet"))


ENTITIES = ("model", "method", "desc")  # in this order, after sub-, as in BIDS derivatives


def artifact_path(
    results: str | Path, dataset: str, suffix: str, *, subject: str | None = None, **entities: str
) -> Path:
    """Return where an artifact lives: the one place where file names are made.

    Parameters
    ----------
    results : path
        Root of the results.
    dataset : str
        Name of the dataset.
    suffix : str
        A key of `LAYOUTS`.
    subject : str, optional
        Without it the artifact belongs to the stimuli (features) or to the group.
    **entities : str
        model, method, desc: letters and digits.

    Raises
    ------
    BrainalignError
        If the suffix, an entity or a label is not allowed.

    Examples
    --------
    >>> artifact_path("results", "nsd", "scores", subject="01", model="clip", method="ridge").as_posix()
    'results/nsd/sub-01/encoding/sub-01_model-clip_method-ridge_scores.parquet'
    """
    check_choice("suffix", suffix, LAYOUTS)
    for name, label in {"subject": subject or "x", **entities}.items():
        check_choice("entity", name, ("subject", *ENTITIES))
        if not re.fullmatch(r"[A-Za-z0-9]+|\{[a-z]+\}", label):  # or a wildcard of a workflow rule
            raise BrainalignError(f"{name} {label!r} goes into file names; use letters and digits only")
    layout = LAYOUTS[suffix]
    labels = [f"{name}-{entities[name]}" for name in ENTITIES if name in entities]
    if subject is None:
        level = "stimuli" if suffix == "features" else "group"
    else:
        level = f"sub-{subject}"
        labels.insert(0, level)
    return Path(results, dataset, level, layout.folder, "_".join([*labels, suffix]) + layout.extension)


def entities_of(path: str | Path) -> dict[str, str]:
    """Return the entities in the name of an artifact.

    Examples
    --------
    >>> entities_of("sub-01_model-clip_method-ridge_scores.parquet")
    {'sub': '01', 'model': 'clip', 'method': 'ridge'}
    """
    return dict(re.findall("([a-z]+)-([A-Za-z0-9]+)(?=_)", Path(path).name))


def _stem(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0])


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of an artifact lies."""
    return _stem(path).with_suffix(".json")


def layout_of(path: Path) -> Layout:
    """Return the layout of an artifact, from the suffix of its name."""
    suffix = _stem(path).name.rsplit("_", 1)[-1]
    if path.suffix == ".parquet":  # one of `place_tables`, where no step has been imported
        return LAYOUTS.get(suffix, Layout(path.parent.name, ".parquet"))
    check_choice(f"suffix of {path.name}", suffix, LAYOUTS)
    return LAYOUTS[suffix]


def table_path(path: Path, table: str) -> Path:
    """Return where a table beside an artifact lies."""
    return path.with_name(f"{_stem(path).name}_{table}.parquet")


def artifact_files(path: str | Path) -> list[str]:
    """Return every file of an artifact: main file, tables, sidecar (the outputs a workflow rule declares)."""
    path = Path(path)
    tables = [table_path(path, table) for table in layout_of(path).tables]
    return [str(file) for file in (path, *tables, sidecar_path(path))]
