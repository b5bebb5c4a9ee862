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


LAYOUTS = {
    "responses": Layout("responses", ".safetensors", ("trials", "targets")),
    "splits": Layout("responses", ".parquet"),
    "ceiling": Layout("responses", ".parquet"),
    "noise": Layout("responses", ".safetensors"),
    "mask": Layout("responses", ".nii.gz"),
    "bold": Layout("responses", ".nii.gz"),
    "features": Layout("features", ".safetensors", ("stimuli",)),
    "runcontrols": Layout("features", ".parquet"),
    "scores": Layout("encoding", ".parquet"),
    "identification": Layout("encoding", ".parquet"),
    "null": Layout("encoding", ".parquet"),
    "profile": Layout("encoding", ".parquet"),
    "preference": Layout("encoding", ".parquet"),
    "clusters": Layout("encoding", ".parquet"),
    "bands": Layout("encoding", ".parquet"),
    "partition": Layout("encoding", ".parquet"),
    "baselines": Layout("encoding", ".parquet"),
    "ensemble": Layout("encoding", ".parquet"),
    "fields": Layout("encoding", ".safetensors"),
    "draws": Layout("encoding", ".safetensors"),
    "halves": Layout("encoding", ".safetensors"),
    "convergence": Layout("convergence", ".parquet"),
    "areas": Layout("convergence", ".parquet"),
    "latencies": Layout("convergence", ".parquet"),
    "curves": Layout("convergence", ".parquet"),
    "halftimes": Layout("convergence", ".parquet"),
    "maps": Layout("convergence", ".parquet"),
    "regions": Layout("identify", ".parquet"),
    "thresholds": Layout("identify", ".parquet"),
    "agreement": Layout("identify", ".parquet"),
    "network": Layout("encoding", ".safetensors"),
    "curve": Layout("encoding", ".parquet"),
    "triplets": Layout("concepts", ".safetensors"),
    "concepts": Layout("concepts", ".safetensors"),
    "choices": Layout("concepts", ".parquet"),
    "conceptdimensions": Layout("concepts", ".parquet"),
    "series": Layout("series", ".safetensors"),
    "people": Layout("series", ".parquet"),
    "maskedmodel": Layout("series", ".safetensors"),
    "filled": Layout("series", ".parquet"),
    "filledtraces": Layout("series", ".safetensors"),
    "regionnetworks": Layout("series", ".parquet"),
    "regionmap": Layout("series", ".parquet"),
    "personscores": Layout("series", ".parquet"),
    "captions": Layout("synthesis", ".parquet"),
    "captionscores": Layout("synthesis", ".parquet"),
    "captiontemperatures": Layout("synthesis", ".parquet"),
    "grounding": Layout("grounding", ".safetensors"),
    "groundedwords": Layout("grounding", ".safetensors"),
    "groundedscores": Layout("grounding", ".parquet"),
    "groundedaxes": Layout("grounding", ".parquet"),
    "groundedattributes": Layout("grounding", ".parquet"),
    "groundednorms": Layout("grounding", ".parquet"),
    "groundedregions": Layout("grounding", ".parquet"),
    "networks": Layout("concepts", ".parquet"),
    "readouts": Layout("concepts", ".parquet"),
    "conceptregions": Layout("concepts", ".parquet"),
    "aligned": Layout("concepts", ".safetensors"),
    "alignment": Layout("concepts", ".parquet"),
    "alignedregions": Layout("concepts", ".parquet"),
    "references": Layout("geometry", ".safetensors"),
    "differences": Layout("geometry", ".parquet"),
    "rdm": Layout("geometry", ".safetensors"),
    "searchlight": Layout("geometry", ".parquet"),
    "comparison": Layout("geometry", ".parquet"),
    "timescores": Layout("time", ".parquet"),
    "timesensors": Layout("time", ".parquet"),
    "timewindows": Layout("time", ".parquet"),
    "timeclusters": Layout("time", ".parquet"),
    "timepeaks": Layout("time", ".parquet"),
    "timesquares": Layout("time", ".safetensors"),
    "rollouts": Layout("dynamics", ".safetensors"),
    "dynamics": Layout("dynamics", ".parquet"),
    "dynamicsneurons": Layout("dynamics", ".parquet"),
    "dynamicsfolds": Layout("dynamics", ".parquet"),
    "dynamicsmovies": Layout("dynamics", ".parquet"),
    "modalities": Layout("modalities", ".safetensors"),
    "modalitytrials": Layout("modalities", ".parquet"),
    "modalitystimuli": Layout("modalities", ".parquet"),
    "sharedspace": Layout("modalities", ".safetensors"),
    "spaceretrieval": Layout("modalities", ".parquet"),
    "spacechanges": Layout("modalities", ".parquet"),
    "spacecurve": Layout("modalities", ".parquet"),
    "spacegeometry": Layout("modalities", ".parquet"),
    "similarity": Layout("matching", ".parquet"),
    "dimensions": Layout("matching", ".parquet"),
    "featurebias": Layout("matching", ".parquet"),
    "manifolds": Layout("matching", ".parquet"),
    "guides": Layout("synthesis", ".safetensors"),
    "synthesized": Layout("synthesis", ".safetensors"),
    "synthesis": Layout("synthesis", ".parquet"),
    "synthesisgains": Layout("synthesis", ".parquet"),
    "synthesissteps": Layout("synthesis", ".parquet"),
    "image": Layout("synthesis", ".zip"),
    "directions": Layout("synthesis", ".safetensors"),
    "directionscores": Layout("synthesis", ".parquet"),
    "directionimages": Layout("synthesis", ".safetensors"),
    "ledger": Layout("responses", ".parquet"),
    "controls": Layout("decoding", ".parquet"),
    "retrieval": Layout("decoding", ".parquet"),
    "retrievalsubjects": Layout("decoding", ".parquet"),
    "averaged": Layout("decoding", ".parquet"),
    "zeroshot": Layout("decoding", ".parquet"),
    "confusion": Layout("decoding", ".parquet"),
    "nuisances": Layout("decoding", ".parquet"),
    "leftblocks": Layout("decoding", ".parquet"),
    "textscores": Layout("decoding", ".parquet"),
    "relevance": Layout("decoding", ".parquet"),
    "sentences": Layout("decoding", ".parquet"),
    "decoding": Layout("summary", ".parquet"),
    "summary": Layout("summary", ".parquet"),
    "recovery": Layout("summary", ".parquet"),
    "contest": Layout("summary", ".parquet"),
    "winners": Layout("summary", ".parquet"),
}


def place_tables(suffixes: Iterable[str], folder: str) -> None:
    """Give suffixes without a place in `LAYOUTS` one: they are tables, in a folder of results.

    Parameters
    ----------
    suffixes : iterable of str
        What a step saves.
    folder : str
        Of results; steps say that of their programs.
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
