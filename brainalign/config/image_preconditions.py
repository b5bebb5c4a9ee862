"""What sections of the configuration ask of the tables of a study of images, found before anything is computed.

Rules are those of the stages: `preconditions`, `image_words` and the sections themselves. What a table that is not
there yet, or cannot be read, would say is left to the stage that makes it and to `check`.
"""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, did_you_mean, naming
from brainalign.config.encoders import InContextMethod, TrainedMethod
from brainalign.config.models import SHARED_LAYERS
from brainalign.config.settings import Config
from brainalign.io import read_parquet, read_text_table
from brainalign.study import (
    ArrayFiles,
    BetaFiles,
    EpochFiles,
    SimulateOptions,
    Split,
    Study,
    attribute_labels,
    caption_words,
    check_captions,
    check_contexts,
    check_halves,
    check_latency_window,
    check_repeated,
    check_shared_objects,
    check_shared_stimuli,
    check_vectors,
    image_captions,
    norms_of_words,
    read_feature_norms,
    text_column,
    written_captions,
)

MOST_CAPTIONED = 10_000  # images whose words are counted; captions of more take seconds, and hold words enough


class _Tables:
    """The tables of a study, read when they are asked for; None where they are not there or cannot be read."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._shown: dict[str, Counter[str] | None] = {}  # by subject; every fit of a subject asks

    def _table(self, path: Path | None) -> pd.DataFrame | None:
        if path is None or self.study.simulate:
            return None
        try:
            found = self.study.locate(path, "")
            return read_parquet(found) if found.suffix == ".parquet" else read_text_table(found)
        except BrainalignError:
            return None

    @cached_property
    def images(self) -> pd.DataFrame | None:
        table = self._table(self.study.stimuli if isinstance(self.study.stimuli, Path) else None)
        return None if table is None or "stimulus_id" not in table else table.astype({"stimulus_id": str})

    @property
    def rule(self) -> Split | None:
        """What stimuli are held out; None where runs or stimuli are left out in turn."""
        return None if self.study.held_out is None else self.study.held_out[1]

    @cached_property
    def captions(self) -> pd.DataFrame | None:
        return self._table(self.study.captions)

    @cached_property
    def tested(self) -> NDArray[np.bool_] | None:
        """Which images are marked as test images; None where they are drawn, or the mark is wrong."""
        rule = self.rule
        if self.images is None or rule is None or rule.column not in self.images:
            return None
        return (self.images[rule.column].astype(str) == rule.value).to_numpy()

    @property
    def training(self) -> pd.DataFrame | None:
        """Rows of the images that may train: all where test images are drawn."""
        return self.images if self.images is None or self.tested is None else self.images[~self.tested]

    def shown(self, subject: str) -> Counter[str] | None:
        """Count the times that a subject saw each image; None where no table says."""
        if subject not in self._shown:
            files = self.study.recordings[subject]
            table = self._table(files.trials) if isinstance(files, BetaFiles | ArrayFiles | EpochFiles) else None
            names = None if table is None else table.get("stimulus_id")
            self._shown[subject] = None if names is None else Counter(names.astype(str))
        return self._shown[subject]

    def n_training(self, subject: str) -> int | None:
        """Bound from above the number of a subject's training images; None where it is not known."""
        if isinstance(self.study.simulate, SimulateOptions):
            return self.study.simulate.n_unique
        if self.images is None:
            return None
        ids = set(self.images["stimulus_id"]).intersection(self.shown(subject) or self.images["stimulus_id"])
        if self.tested is not None:
            return len(ids.difference(self.images["stimulus_id"][self.tested]))
        rule = self.rule
        return None if rule is None or rule.share is None else len(ids) - round(rule.share * len(ids))

    def fewest_repeats(self, subject: str) -> int | None:
        """Count the repeats of the test image that a subject saw least; at most so many where test images are drawn."""
        counts = self.shown(subject)
        if not counts or self.images is None:
            return None
        if self.tested is None:
            return max(counts.values())
        return min((counts[name] for name in self.images["stimulus_id"][self.tested] if name in counts), default=None)


def check_image_study(config: Config, dataset: str, study: Study) -> None:
    """Raise where a section of the configuration asks for what the tables of a study of images do not hold."""
    tables = _Tables(study)
    _texts(config, dataset, tables)
    if config.captioned(dataset, study):
        with naming("caption"):
            _words(config, tables)
    if config.grounded(dataset, study):
        with naming("ground"):
            _grounds(config, tables)
    _matches(config, dataset, tables)
    for subject in study.recordings:
        with naming(f"datasets.{dataset}: subject {subject}"):
            if config.synthesises(dataset, study, subject) and (n := tables.n_training(subject)) is not None:
                check_halves(n)
            asked = {config.compare.distance}
            if config.searchlights_of(dataset, study, subject):
                asked.add(config.searchlight.distance or "correlation")
            if "crossnobis" in asked and (n := tables.fewest_repeats(subject)) is not None:
                check_repeated("crossnobis", n)
            for _, name in config.fits_of(dataset, subject):
                _fits(config, name, tables, subject)
        if subject in study.decoded:
            check_times(config, study, subject)


def check_repeats(config: Config, dataset: str, study: Study) -> None:
    """Raise where distances between runs or repeats are asked for, and stimuli were shown once.

    Of a study with runs or stimuli left out in turn.
    """
    tables = _Tables(study)
    if study.data_type == "responses":
        _texts(config, dataset, tables)
    for subject in study.recordings if "crossnobis" in (config.compare.distances or ()) and not study.over_time else ():
        if counts := tables.shown(subject):
            with naming(f"datasets.{dataset}: subject {subject}: compare.distances"):
                check_repeated("crossnobis", min(counts.values()))


def _texts(config: Config, dataset: str, tables: _Tables) -> None:
    """Raise where a model of texts meets an image without a caption."""
    readers = [model for model in config.models_of(dataset) if config.models[model].reads_texts]
    images = tables.images
    if not readers or images is None:
        return
    ids = images["stimulus_id"].tolist()
    with naming(f"datasets.{dataset}.models: {', '.join(readers)} read texts"):
        if tables.captions is not None:
            written = written_captions(ids, tables.captions, str(tables.study.captions))["stimulus_id"]
            check_wordings(config, dataset, int(written[written.isin(ids)].value_counts().max()))
        elif column := text_column(images):
            check_captions(ids, [[text] for text in images[column]])


def check_wordings(config: Config, dataset: str, most: int) -> None:
    """Raise where a stimulus has several texts, and a model reads one."""
    wrong = [name for name in config.models_of(dataset) if config.models[name].extractor == "language"]
    if wrong and most > 1:
        what = f"models.{wrong[0]}: a language model reads one text per stimulus, not {most}"
        raise BrainalignError(f"{what}; take extractor: sentence")


def _layer(config: Config, model: str, asked: str | None, where: str) -> str | None:
    """Return the layer that is read, the last one where none is asked for; None where it cannot be known yet."""
    layers = getattr(config.models[model], "layers", None)
    if asked is not None and layers and "_draw" not in asked:
        check_choice(f"{where}.layer", asked, layers)
    return asked or (layers[-1] if layers else None)


def _words(config: Config, tables: _Tables) -> None:
    options = config.caption
    assert options.model is not None
    model = config.models[options.model]
    layer = _layer(config, options.model, options.layer, "caption")
    if layer is not None:
        options.check_space(layer, model.extractor == "vision" and layer in SHARED_LAYERS)
        tokens = getattr(model, "pooling", None) == "tokens" and layer not in SHARED_LAYERS
        check_vectors(layer, tokens=tokens)
    if tables.training is None:
        return
    options.check_columns([str(name) for name in tables.training])
    if options.captioner == "attributes" and len(tables.training):
        attribute_labels(tables.training, options.attributes, options.words)


def _grounds(config: Config, tables: _Tables) -> None:
    options = config.ground
    assert options.model is not None
    _layer(config, options.model, options.layer, "ground")
    if options.norms is not None:
        read_feature_norms(options.norms)
    images = tables.images
    if images is None or (tables.study.captions is not None and tables.captions is None):
        return
    for column in options.attributes:
        check_choice("ground.attributes", column, [str(each) for each in images])
        numbers = pd.to_numeric(images[column], errors="coerce")
        if numbers.isna().any():
            other = images[column][numbers.isna()].iloc[0]
            raise BrainalignError(f"ground.attributes: {column} of the images holds {other!r}, no number; leave it out")
    if len(images) > MOST_CAPTIONED and tables.captions is not None:
        written_captions(images["stimulus_id"].tolist(), tables.captions, str(tables.study.captions))
    else:
        texts = image_captions(images, tables.captions, str(tables.study.captions))
        train = np.ones(len(texts), dtype=bool) if tables.tested is None else ~tables.tested
        words, _ = caption_words(texts, train, options.min_images)
        if options.norms is not None:
            norms_of_words(options.norms, words)


def _matches(config: Config, dataset: str, tables: _Tables) -> None:
    options, images = config.matching_of(dataset), tables.images
    if not options.models:
        return
    size = tables.study.simulate
    if isinstance(size, SimulateOptions) or images is not None:
        n_made = size.n_shared + size.n_unique if isinstance(size, SimulateOptions) else 0
        with naming("match"):
            check_shared_stimuli(n_made or len(images if images is not None else ()))
    if options.features and images is not None:
        options.check_features(str(tables.study.stimuli), images.replace("", np.nan))


def _fits(config: Config, name: str, tables: _Tables, subject: str) -> None:
    """Raise where a method needs more images, regions or categories than a subject has."""
    options, files = config.methods[name], tables.study.recordings[subject]
    if getattr(options, "cv", None) == "groups":
        raise BrainalignError(
            f"methods.{name}.cv: 'groups' leaves a run out, but stimuli are held out and averaged over runs; give a "
            "number of folds"
        )
    if isinstance(options, InContextMethod) and (n := tables.n_training(subject)) is not None:
        with naming(f"methods.{name}"):
            check_contexts(n, options.sizes, options.n_repeats)
    if not isinstance(options, TrainedMethod):
        return
    if options.needs_semantics == "classes" and tables.images is not None and "category" not in tables.images:
        columns = [str(column) for column in tables.images]
        raise BrainalignError(
            f"methods.{name}.semantics: classes needs a column category{did_you_mean('category', columns)} in the "
            "table of images; add one, or name a model"
        )
    none = files.format == "fmriprep" or (isinstance(files, BetaFiles) and not files.rois)
    none = none or (isinstance(files, ArrayFiles) and files.targets is None)
    if getattr(options, "queries", "target") == "roi" and none:
        raise BrainalignError(
            f"methods.{name}.queries is 'roi', but the descriptor gives no regions; choose queries: target, parcel "
            "or hemisphere, give regions in the descriptor, or name the subjects that have some in the method"
        )


def check_objects(judgements: Study, study: Study) -> None:
    """Raise where too few objects of judgements are test images of the study that they are compared with."""
    tables = _Tables(study)
    try:
        names = judgements.stimulus_ids()
    except BrainalignError:
        return
    if tables.images is None:
        return
    shown = set(tables.images["stimulus_id"] if tables.tested is None else tables.images["stimulus_id"][tables.tested])
    scanned = study.scanned
    for subject in scanned:
        shown &= set(tables.shown(subject) or shown)
    check_shared_objects([name for name in names if name in shown], len(names), len(scanned))


def check_times(config: Config, study: Study, subject: str) -> None:
    """Raise where a peak is to be looked for in too few samples of a subject's epochs."""
    window = config.decode_times.latency_window_s
    if window is None:
        return
    times = _times(study, subject)
    if times is not None and len(times):
        with naming(f"decode_times: {study.name}, subject {subject}"):
            check_latency_window(times, window)


def _times(study: Study, subject: str) -> NDArray[np.floating] | None:
    """Return the times of epochs, from the header of their file and how they are cut; None where nothing says them."""
    cut = study.epochs
    low, high = cut.tmin_s, cut.tmax_s
    if study.recordings[subject].format in ("muse", "bids"):
        low, high = cut.span_s
    given = getattr(study.recordings[subject], "times_s", None)
    times = np.array(given) if isinstance(given, tuple) else None
    if study.recordings[subject].format == "epochs" and not study.is_simulated:
        try:
            files = study.found_files(subject)
        except BrainalignError:
            return None
        path = next(file for name, file in files.items() if name.startswith(("epochs", "recordings")))
        import mne

        try:
            times = mne.read_epochs(path, preload=False, verbose="error").times
        except Exception:  # whatever MNE stumbles over is for `check` to tell
            return None
    if times is not None:
        half = 0.5 * float(np.diff(times[:2]).sum())
        after = times >= (-np.inf if low is None else low - half)
        before = times <= (np.inf if high is None else high + half)
        return np.asarray(times[after & before][:: cut.decimate])
    if low is None or high is None:
        return None
    return np.arange(low, high, 1e-3)  # the rate of raw recordings is not known: never too few samples for it


def check_in_context(config: Config, dataset: str, descriptor: Study, method: str, model: str) -> None:
    """Raise where in-context encoding has nobody to learn from, meets sensors, or features of many places."""
    if getattr(config.models[model], "pooling", None) == "tokens":
        raise BrainalignError(
            f"methods.{method} reads one vector per image, but models.{model} keeps tokens; take pooling: mean or cls, "
            f"or name other models in methods.{method}.models"
        )
    options, layers = config.methods[method], getattr(config.models[model], "layers", None) or ()
    shared = config.models[model].extractor == "vision" and SHARED_LAYERS.intersection(layers)
    if getattr(options, "text_queries", ()) and not shared:
        raise BrainalignError(
            f"methods.{method}.text_queries need a space that images and texts share, but models.{model} has none; use "
            "extractor: vision with the weights of a CLIP-like model and layers: [visual_projection], or name such "
            f"models in methods.{method}.models"
        )
    scanned = descriptor.scanned
    if len(scanned) < 2:
        raise BrainalignError(
            f"methods.{method} is trained on the voxels of other subjects, but {dataset} has {len(scanned)} fMRI "
            "subject(s); it needs two or more"
        )
    for subject in descriptor.subject_names:
        if config.methods[method].used_on(model, subject) and subject not in scanned:
            raise BrainalignError(
                f"methods.{method} reads the weights of voxels, but subject {subject} has sensors; name the fMRI "
                f"subjects in methods.{method}.subjects: {', '.join(scanned)}"
            )
