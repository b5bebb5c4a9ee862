"""The steps of a run: one row each, from which rules, logs, resources, the plan and the jobs themselves are made.

Rows stand in the order of dependence. Never imports torch: Snakemake reads this file while it builds the DAG.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from brainalign.config import InContextMethod
from brainalign.io import artifact_path
from brainalign.study import (
    BlockStudy,
    ImageStudy,
    ModalityStudy,
    RdmStudy,
    RecordingStudy,
    SentenceStudy,
    SeriesStudy,
    TripletStudy,
    VideoStudy,
    scanned_subjects,
)
from brainalign.workflow.digests import program_digest
from brainalign.workflow.job import Job
from brainalign.workflow.run import LEAST_SUBJECTS, Labels, Run, files_of_folder, wants_device, wants_gpu

Reader = Callable[[Run, Labels], Iterable[str | Path]]
Settings = Callable[[Run, Labels], Mapping[str, Any]]
SUBJECT, FIT = ("subject",), ("subject", "model", "method")
# The folders of the library that several steps may import.
ENCODING = ("datasets", "encoding", "features", "kernels", "regression", "statistics")
GEOMETRY = ("geometry", "kernels", "statistics")


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Parameters
    ----------
    name : str
        Of the function of a job, and of its module in `folder`.
    folder : str
        Of the programs.
    about : str
        What it does, in a line.
    of : callable (run)
        Yields the labels of every job that the configuration asks for.
    labels : tuple of str
        Besides the dataset: what stands in the names of its files.
    reads : mapping of str to callable (run, labels)
        Files by suffix, or by the name that the step knows them by; a change of one reruns the job.
    writes : tuple of str
        Suffixes of what it saves, the main one first.
    settings : callable (run, labels)
        Everything that changes the result, by section.
    code : tuple of str
        Folders of the library that it may import: a test follows the imports.
    beside : mapping of str to callable (run, labels)
        Files that it is told of and whose change reruns nothing: what matters in them stands in the settings.
    makes : mapping of str to callable (run, labels)
        Files it writes that are no artifacts, given labels or wildcards.
    watches : callable (run, labels)
        What else reruns it, as text.
    device : callable (run, labels)
        Whether it takes turns at a GPU.
    priority : int
        Of its jobs: what everything follows, and the longest, start as soon as they can.
    runs : str
        The program, where another step has the same.
    """

    name: str
    folder: str
    about: str
    of: Callable[[Run], Iterable[Labels]]
    labels: tuple[str, ...]
    reads: Mapping[str, Reader]
    writes: tuple[str, ...]
    settings: Settings
    code: tuple[str, ...]
    beside: Mapping[str, Reader] = field(default_factory=dict)
    makes: Mapping[str, Callable[[Run, Labels], Path]] = field(default_factory=dict)
    watches: Callable[[Run, Labels], str] = lambda run, of: ""
    device: Callable[[Run, Labels], bool] = lambda run, of: False
    priority: int = 0
    runs: str = ""

    @property
    def program(self) -> str:
        """The name of the module and of the function that the step runs."""
        return self.runs or self.name

    def outputs(self, run: Run, of: Labels) -> dict[str, Path]:
        """Locate the main files of a job's artifacts, and what else it makes; wildcards give the pattern of a rule."""
        labels = {name: of[name] for name in self.labels}
        artifacts = {
            suffix: artifact_path(run.config.results, of["dataset"], suffix, **labels) for suffix in self.writes
        }
        return artifacts | {name: place(run, of) for name, place in self.makes.items()}


# Whose jobs there are ------------------------------------------------------------------------------------------------


def _datasets(*kinds: Any, where: Callable[[Run, str], Any] = lambda run, dataset: True) -> Any:
    """Make a job of every dataset of these kinds."""

    def of(run: Run) -> Iterator[Labels]:
        return ({"dataset": dataset} for dataset in run.datasets_of(*kinds) if where(run, dataset))

    return of


def _subjects(*kinds: Any, where: Callable[[Run, str, str], Any] = lambda run, dataset, subject: True) -> Any:
    """Make a job of every subject."""

    def of(run: Run) -> Iterator[Labels]:
        for dataset in run.datasets_of(*kinds):
            for subject in run.subjects(dataset):
                if where(run, dataset, subject):
                    yield {"dataset": dataset, "subject": subject}

    return of


def _fits(*kinds: Any, where: Callable[[Run, str], Any] = lambda run, method: True) -> Any:
    """Make a job of every subject, model and method that is fitted."""

    def of(run: Run) -> Iterator[Labels]:
        for dataset in run.datasets_of(*kinds):
            for subject in run.subjects(dataset):
                for model, method in run.config.fits_of(dataset, subject):
                    if where(run, method):
                        yield {"dataset": dataset, "subject": subject, "model": model, "method": method}

    return of


def _extracted(run: Run) -> Iterator[Labels]:
    for dataset in run.datasets_of(BlockStudy, ImageStudy, RdmStudy, TripletStudy, SentenceStudy):
        yield from ({"dataset": dataset, "model": model} for model in run.config.models_of(dataset))
    for dataset in run.datasets_of(ModalityStudy):
        yield from ({"dataset": dataset, "model": model} for model in _vectors_of_images(run, dataset))


def _vectors_of_images(run: Run, dataset: str) -> list[str]:
    """List the model whose features stand for image vectors; none where a file gives them."""
    model = run.config.decode_modalities.model
    given = getattr(run.descriptors[dataset], "vectors_file", None) is not None
    return [] if given or model is None else [model]


def _searchlights(run: Run) -> Iterator[Labels]:
    for of in _subjects(BlockStudy, ImageStudy)(run):
        descriptor = run.descriptors[of["dataset"]]
        for model in run.config.searchlights_of(of["dataset"], descriptor, of["subject"]):
            yield {**of, "model": model}


def _decoded_over_time(run: Run) -> Iterator[Labels]:
    yield from _subjects(RecordingStudy)(run)
    for of in _subjects(ImageStudy)(run):
        if of["subject"] in run.descriptors[of["dataset"]].decoded:  # type: ignore[attr-defined]
            yield of


def _decoders(run: Run) -> Iterator[Labels]:
    for dataset in run.datasets_of(SentenceStudy):
        yield from ({"dataset": dataset, "method": decoder} for decoder in run.config.decode.decoders)


def _rollouts(run: Run) -> Iterator[Labels]:
    for dataset in run.datasets_of(VideoStudy):
        yield from ({"dataset": dataset, "model": model} for model in run.config.dynamics.models)


def _synthesised(run: Run, dataset: str, subject: str) -> bool:
    return run.config.synthesises(dataset, run.descriptors[dataset], subject)


# What a job reads ----------------------------------------------------------------------------------------------------


def _own(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of the job's subject, or of its dataset where it has none."""

    def of_one(suffix: str) -> Reader:
        def read(run: Run, of: Labels) -> list[Path]:
            subject = {"subject": of["subject"]} if "subject" in of else {}
            return [run.artifact(suffix, of["dataset"], **subject)]

        return read

    return {suffix: of_one(suffix) for suffix in suffixes}


def _if_blocks(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts that studies of blocks alone have."""

    def of_one(read: Reader) -> Reader:
        return lambda run, of: read(run, of) if of["dataset"] in run.datasets_of(BlockStudy) else []

    return {suffix: of_one(read) for suffix, read in _own(*suffixes).items()}


def _each_fit(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of every model and method of the subject."""

    def of_one(suffix: str) -> Reader:
        return lambda run, of: [
            run.artifact(suffix, of["dataset"], subject=of["subject"], model=model, method=method)
            for model, method in run.config.fits_of(of["dataset"], of["subject"])
        ]

    return {suffix: of_one(suffix) for suffix in suffixes}


def _each_subject(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of every subject of the dataset."""

    def of_one(suffix: str) -> Reader:
        return lambda run, of: [
            run.artifact(suffix, of["dataset"], subject=subject) for subject in run.subjects(of["dataset"])
        ]

    return {suffix: of_one(suffix) for suffix in suffixes}


def _features(models: Callable[[Run, Labels], Iterable[str | None]]) -> dict[str, Reader]:
    """Read the features of some models."""
    return {
        "features": lambda run, of: [
            run.artifact("features", of["dataset"], model=model) for model in models(run, of) if model
        ]
    }


_OF_ITS_MODEL = _features(lambda run, of: [of["model"]])
_OF_EVERY_MODEL = _features(lambda run, of: run.config.models_of(of["dataset"]))
_DESCRIPTOR: dict[str, Reader] = {"descriptor": lambda run, of: [run.config.datasets[of["dataset"]].descriptor]}
_RAW_FOLDER: dict[str, Reader] = {"folder": lambda run, of: [run.config.raw_folder(of["dataset"])]}
_RAW: dict[str, Reader] = {"raw": lambda run, of: run.raw_inputs(of)}
_STIMULI: dict[str, Reader] = {"stimuli": lambda run, of: run.stimuli(of)}
_PRIOR: dict[str, Reader] = {
    "weights": lambda run, of: [path for model in run.encoders_of_images() for path in run.weights(model)],
    "prior": lambda run, of: files_of_folder(run.config.synthesize.prior),
}


def _features_of(choose: Callable[[Run, Labels], str | None]) -> Reader:
    """Read the features of one more model, where a method asks for it."""

    def read(run: Run, of: Labels) -> list[Path]:
        model = choose(run, of)
        return [run.artifact("features", of["dataset"], model=model)] if model else []

    return read


def _semantics(run: Run, of: Labels) -> str | None:
    source = getattr(run.config.methods[of["method"]], "semantics", None)
    return None if source == "classes" else source


def _network(run: Run, of: Labels) -> list[Path]:
    """Locate the network that a method was trained to be; most have none."""
    labels = {name: of[name] for name in FIT}
    return [run.artifact("network", of["dataset"], **labels)] if run.config.pretraining_of(of["method"]) else []


def _others_of_captions(run: Run, of: Labels) -> list[str]:
    """List what a user gives captions: another bank, the files of a language model, a function."""
    options = run.config.caption
    found = [str(options.bank)] if options.bank else []
    if options.prefix:
        found += [str(path) for path in sorted(options.prefix.rglob("*")) if path.is_file()]
    function = Path(options.captioner.rpartition(":")[0])
    return [*found, str(function)] if function.suffix == ".py" else found


def _function_of_video_model(run: Run, of: Labels) -> list[str]:
    place = run.config.dynamics.models[of["model"]].function.rpartition(":")[0]
    return [place] if place.endswith(".py") else []


# What changes a result -----------------------------------------------------------------------------------------------


def _chosen(*sections: str) -> Settings:
    """Take sections of the configuration as they are."""
    return lambda run, of: {name: getattr(run.config, name) for name in sections}


def _prepared(*sections: str, subject: bool = False) -> Settings:
    """Take what responses depend on in the descriptor, and sections of the configuration."""

    def settings(run: Run, of: Labels) -> dict[str, Any]:
        whose = (of["subject"],) if subject else ()
        options = run.descriptors[of["dataset"]].prepare_options(*whose)  # type: ignore[attr-defined]
        return {"descriptor": options, **_chosen(*sections)(run, of)}

    return settings


def _of_the_fit(run: Run, of: Labels) -> dict[str, Any]:
    return {
        "method": run.config.encoder_of(of["method"]),
        **_chosen("encode_images", "ceiling_threshold", "confidence")(run, of),
        **run.config.texts_of(of["model"], of["method"]),
    }


def _text_model(run: Run) -> dict[str, object]:
    return run.config.extractor_of(run.config.ground.text) if run.config.ground.text else {}


def _of_the_captions(run: Run, of: Labels) -> dict[str, Any]:
    model = run.config.caption.model
    return {
        "caption": run.config.caption.model_dump(mode="json", exclude={"subjects"}),
        "model": run.config.extractor_of(model) if model else {},
        **_chosen("ceiling_threshold", "confidence")(run, of),
    }


def _of_the_contest(run: Run, of: Labels) -> dict[str, Any]:
    contest = run.config.contest_of(of["dataset"], run.descriptors[of["dataset"]], of["subject"])
    return {"contest": contest, **_chosen("summarize", "confidence", "ceiling_threshold")(run, of)}


def _of_the_directions(run: Run, of: Labels) -> dict[str, Any]:
    shared = {"prior", "guide", "check", "steps", "n_natural", "device", "save_memory"}
    return {
        "directions": run.config.directions,
        "synthesize": run.config.synthesize.model_dump(mode="json", include=shared),
        "models": run.config.encoders_of_synthesis(),
        "simulated": of["dataset"] in run.simulated,
    }


def _everything(run: Run, of: Labels) -> dict[str, Any]:
    return {"configuration": run.config}


# The pages: they read what the other steps of their dataset have left ------------------------------------------------


def _page_reads(run: Run, of: Labels) -> list[Path]:
    """List what the page of a subject, or of a dataset, is made of.

    A subject's page shows what was made of the subject and of the stimuli; the page of a dataset what was made of all
    subjects, and the summaries of each.
    """
    found: list[Path] = []
    for step, labels in planned(run, of["dataset"]):
        if step.folder == "report":
            continue
        whole = step.outputs(run, labels)
        artifacts = [whole[suffix] for suffix in step.writes]
        if labels.get("subject") == of.get("subject") or ("subject" in of and step.name in OF_THE_STIMULI):
            found += artifacts
        elif "subject" not in of and "subject" in labels:
            found += [whole[suffix] for suffix in SUMMARIES if suffix in whole]
    return found


OF_THE_STIMULI = ("extract", "rollout", "ground")
SUMMARIES = ("summary", "recovery", "differences")
_PAGE: dict[str, Reader] = {"found": _page_reads, **_DESCRIPTOR}


# fmt: off
ROWS = (
    Step(
        "simulate", "prepare", "A study with planted truth: files in the formats of real ones.",
        _datasets(ImageStudy, where=lambda run, dataset: dataset in run.simulated), (),
        {}, (),
        lambda run, of: {"simulate": run.descriptors[of["dataset"]].simulate},  # type: ignore[attr-defined]
        ("simulation",), beside=_RAW_FOLDER, priority=2,
        makes={
            "listing": lambda run, of: run.raw_file("simulated.json", of["dataset"]),
            "stimuli": lambda run, of: run.raw_file("stimuli/stimuli.tsv", of["dataset"]),
        },
    ),
    Step(
        "prepare", "prepare", "Raw recordings of one subject to responses, splits, ceiling, mask and background image.",
        _subjects(BlockStudy), SUBJECT, _RAW, ("responses", "splits", "ceiling", "noise", "mask", "bold"),
        _prepared("prepare", subject=True), ("datasets", "statistics"), beside=_DESCRIPTOR,
    ),
    Step(
        "prepare_images", "prepare", "Recordings of one subject who saw images: responses, splits, ceiling.",
        _subjects(ImageStudy), SUBJECT, {**_RAW, **_STIMULI}, ("responses", "splits", "ceiling"),
        _prepared("prepare", subject=True), ("datasets", "statistics"), beside={**_DESCRIPTOR, **_RAW_FOLDER},
        watches=Run.image_state,
    ),
    Step(
        "prepare_rdms", "prepare", "Published dissimilarity matrices and their images, unpacked.",
        _datasets(RdmStudy), (), _RAW, ("references",),
        lambda run, of: {"descriptor": run.descriptors[of["dataset"]].extract_options()}, ("datasets",),
        beside=_DESCRIPTOR, makes={"stimuli": lambda run, of: run.raw_file("stimuli/stimuli.tsv", of["dataset"])},
    ),
    Step(
        "prepare_recordings", "prepare", "M/EEG recordings of one subject: epochs with a category each.",
        _subjects(RecordingStudy), SUBJECT, _RAW, ("responses",), _prepared(subject=True), ("datasets",),
        beside=_DESCRIPTOR,
    ),
    Step(
        "prepare_sentences", "prepare", "EEG of sentences, a split by text, and the ledger of what was dropped.",
        _datasets(SentenceStudy), (), _RAW, ("responses", "splits", "ledger"), _prepared(),
        ("datasets", "features", "simulation", "statistics"), beside=_DESCRIPTOR,
        makes={"stimuli": lambda run, of: run.raw_file("stimuli/stimuli.tsv", of["dataset"])},
    ),
    Step(
        "prepare_series", "prepare", "Region series of many people, from files or simulated.",
        _datasets(SeriesStudy), (), _RAW, ("series", "people"), _prepared(), ("datasets", "simulation"),
        beside=_DESCRIPTOR,
    ),
    Step(
        "prepare_triplets", "prepare", "Odd-one-out judgements and the table of their objects.",
        _datasets(TripletStudy), (), _RAW, ("triplets",), _prepared(), ("datasets", *GEOMETRY), beside=_DESCRIPTOR,
        makes={"stimuli": lambda run, of: run.raw_file("stimuli/stimuli.tsv", of["dataset"])},
    ),
    Step(
        "prepare_modalities", "prepare", "The same images in several modalities: recordings, trials and images.",
        _datasets(ModalityStudy), (), _RAW, ("modalities", "modalitytrials", "modalitystimuli"), _prepared(),
        ("datasets", "features", "simulation"), beside={**_DESCRIPTOR, **_RAW_FOLDER}, watches=Run.image_state,
    ),
    Step(
        "extract", "features", "Stimuli of a dataset to features of one model.",
        _extracted, ("model",),
        {
            **_STIMULI,
            "weights": lambda run, of: run.weights(of["model"]),
            "captions": lambda run, of: run.caption_table(of) if run.config.models[of["model"]].reads_texts else [],
        },
        ("features",),
        lambda run, of: {
            "model": run.config.extractor_of(of["model"]),
            "descriptor": run.descriptors[of["dataset"]].extract_options(),
        },
        ("features",), beside=_DESCRIPTOR, watches=Run.image_state, priority=1,
    ),
    Step(
        "rollout", "features", "Features over time of one model of videos: hidden frames as it expects them.",
        _rollouts, ("model",),
        {
            "videos": lambda run, of: run.descriptors[of["dataset"]].shown(),  # type: ignore[attr-defined]
            "function": _function_of_video_model,
        },
        ("rollouts",),
        lambda run, of: {
            "dynamics": run.config.dynamics.of_rollout(of["model"]),
            "descriptor": run.descriptors[of["dataset"]].extract_options(),
        },
        ("datasets", "features", *GEOMETRY), beside=_DESCRIPTOR,
    ),
    Step(
        "pretrain", "encode", "What in-context encoding of one subject learns from the others.",
        _fits(ImageStudy, where=lambda run, method: isinstance(run.config.methods[method], InContextMethod)), FIT,
        {
            "held_out": lambda run, of: [run.artifact("splits", of["dataset"], subject=of["subject"])],
            "responses": lambda run, of: run.other_scanned("responses", of),
            "splits": lambda run, of: run.other_scanned("splits", of),
            **_OF_ITS_MODEL,
        },
        ("network",),
        lambda run, of: {
            "method": run.config.pretraining_of(of["method"]),
            **_chosen("ceiling_threshold")(run, of),
        },
        ENCODING, device=lambda run, of: wants_gpu(run.config, of["method"]), priority=2,
    ),
    Step(
        "encode", "encode", "One method on one model's features for one subject.",
        _fits(BlockStudy), FIT, {**_own("responses", "splits", "ceiling", "mask"), **_OF_ITS_MODEL},
        ("scores", "identification", "null", "statmap"),
        lambda run, of: {
            "method": run.config.encoder_of(of["method"]),
            "permute": run.config.models[of["model"]].permute,
            "encode": run.config.encode,
        },
        ENCODING, device=lambda run, of: wants_gpu(run.config, of["method"]),
    ),
    Step(
        "encode_images", "encode", "One method on one model's features for one subject, scored on images held out.",
        _fits(ImageStudy), FIT,
        {
            **_own("responses", "splits", "ceiling"),
            **_OF_ITS_MODEL,
            "semantics": _features_of(_semantics),
            "cls": _features_of(lambda run, of: getattr(run.config.methods[of["method"]], "cls", None)),
            "network": _network,
            "texts": lambda run, of: run.weights(of["model"]) if run.config.texts_of(of["model"], of["method"]) else [],
        },
        (
            "scores", "null", "profile", "preference", "clusters", "bands", "partition", "baselines", "ensemble",
            "fields", "draws", "halves", "curve",
        ),
        _of_the_fit, ENCODING, device=lambda run, of: wants_gpu(run.config, of["method"]),
    ),
    Step(
        "compare", "compare", "RDMs of one subject's responses against those of every model's features.",
        _subjects(BlockStudy), SUBJECT, {**_own("responses", "noise"), **_OF_EVERY_MODEL}, ("rdm", "comparison"),
        _chosen("compare", "confidence"), ("datasets", *GEOMETRY),
    ),
    Step(
        "compare_images", "compare", "Geometry of every region, or over time, against every layer of every model.",
        _subjects(ImageStudy), SUBJECT, {**_own("responses", "splits"), **_OF_EVERY_MODEL}, ("rdm", "comparison"),
        _chosen("compare_images", "confidence"), ("datasets", *GEOMETRY),
    ),
    Step(
        "compare_rdms", "compare", "Published dissimilarity matrices against every layer of every model.",
        _datasets(RdmStudy), (), {**_own("references"), **_OF_EVERY_MODEL}, ("rdm", "comparison", "differences"),
        _chosen("compare_rdms", "confidence"), GEOMETRY,
    ),
    Step(
        "searchlight", "compare", "The geometry of every neighbourhood of the brain against one model's layers.",
        _searchlights, ("subject", "model"),
        {
            **_own("responses"),
            "splits": lambda run, of: (
                _own("splits")["splits"](run, of) if of["dataset"] in run.datasets_of(ImageStudy) else []
            ),
            **_if_blocks("noise", "mask"),
            **_OF_ITS_MODEL,
            "meshes": lambda run, of: run.config.searchlight.meshes.values(),
        },
        ("searchlight",),
        lambda run, of: {
            "searchlight": run.config.searchlight.model_dump(mode="json", exclude={"models", "subjects"})
        },
        ("datasets", *GEOMETRY),
    ),
    Step(
        "decode_times", "decode", "Categories decoded from the sensors of one subject, moment by moment.",
        _decoded_over_time, SUBJECT,
        {
            **_own("responses"),
            "splits": lambda run, of: (
                _own("splits")["splits"](run, of) if of["dataset"] in run.datasets_of(ImageStudy) else []
            ),
        },
        ("timescores", "timesensors", "timewindows", "timeclusters", "timepeaks", "timesquares"),
        lambda run, of: {
            **_chosen("decode_times", "confidence")(run, of),
            "sensors": getattr(run.descriptors[of["dataset"]], "sensors", {}),
            "windows": getattr(run.descriptors[of["dataset"]], "windows", {}),
        },
        ("datasets", *GEOMETRY),
    ),
    Step(
        "dynamics", "compare", "Neurons of one subject predicted over time by every model of the videos.",
        _subjects(VideoStudy), SUBJECT,
        {
            "neural": lambda run, of: [run.descriptors[of["dataset"]].files(of["subject"])["neural"]],  # type: ignore[attr-defined]
            "videos": lambda run, of: run.descriptors[of["dataset"]].shown(),  # type: ignore[attr-defined]
            "rollouts": lambda run, of: [
                run.artifact("rollouts", of["dataset"], model=model) for model in run.config.dynamics.models
            ],
        },
        ("dynamics", "dynamicsneurons", "dynamicsfolds", "dynamicsmovies"),
        lambda run, of: {
            "dynamics": run.config.dynamics.of_scores(),
            **_prepared("confidence", subject=True)(run, of),
        },
        ("datasets", "encoding", "features", "regression", *GEOMETRY), beside=_DESCRIPTOR,
    ),
    Step(
        "guide", "synthesize", "Encoders that images can be made with: one that guides, one that judges, and twins.",
        _subjects(ImageStudy, where=_synthesised), SUBJECT,
        {
            **_own("responses", "splits", "ceiling"),
            **_STIMULI,
            **_features(lambda run, of: run.encoders_of_images()),
            **_PRIOR,
        },
        ("guides",),
        lambda run, of: {
            "synthesize": run.config.synthesize.of_the_guide(),
            "models": run.config.encoders_of_synthesis(),
            **_chosen("ceiling_threshold")(run, of),
        },
        (*ENCODING, "synthesis"), device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "caption", "synthesize", "Words for the voxels of one subject, scored on the test images.",
        _subjects(
            ImageStudy,
            where=lambda run, dataset, subject: subject in run.config.captioned(dataset, run.descriptors[dataset]),
        ),
        SUBJECT,
        {
            **_own("responses", "splits", "ceiling"),
            **_features(lambda run, of: [run.config.caption.model]),
            "others": _others_of_captions,
        },
        ("captions", "captionscores", "captiontemperatures"), _of_the_captions, (*ENCODING, "synthesis"),
    ),
    Step(
        "synthesize", "synthesize", "Images that the regions of a subject would prefer, beside what could explain them.",
        _subjects(ImageStudy, where=_synthesised), SUBJECT,
        {
            **_own("guides"),
            **_STIMULI,
            **_features(lambda run, of: run.encoders_of_images()[:1]),
            **_PRIOR,
            "captions": lambda run, of: (
                _own("captions")["captions"](run, of)
                if run.config.synthesize.prompts == "captions"
                and of["subject"] in run.config.captioned(of["dataset"], run.descriptors[of["dataset"]])
                else []
            ),
        },
        ("synthesized", "synthesis", "synthesisgains", "synthesissteps", "image"),
        lambda run, of: {
            "synthesize": run.config.synthesize.model_dump(mode="json", exclude={"subjects"}),
            "models": run.config.encoders_of_synthesis(),
            "simulated": of["dataset"] in run.simulated,
            **_chosen("confidence")(run, of),
        },
        ("features", "simulation", "statistics", "synthesis"),
        device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "directions", "synthesize", "Directions in the diffusion model along which a subject's regions answer more.",
        _subjects(
            ImageStudy,
            where=lambda run, dataset, subject: run.config.directs(dataset, run.descriptors[dataset], subject),
        ),
        SUBJECT,
        {**_own("guides"), **_STIMULI, **_features(lambda run, of: run.encoders_of_images()[:1]), **_PRIOR},
        ("directions", "directionscores", "directionimages"), _of_the_directions,
        ("features", "simulation", "statistics", "synthesis"),
        device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "ground", "decode", "Words of captions grounded in the training images, beside text vectors and shuffled images.",
        _datasets(ImageStudy, where=lambda run, dataset: run.config.grounded(dataset, run.descriptors[dataset])), (),
        {
            **_features(lambda run, of: [run.config.ground.model]),
            **_each_subject("splits"),
            "captions": Run.caption_table,
            "norms": lambda run, of: [run.config.ground.norms] if run.config.ground.norms else [],
            "texts": lambda run, of: run.weights(run.config.ground.text) if run.config.ground.text else [],
        },
        ("groundedwords", "grounding", "groundedscores", "groundedaxes", "groundedattributes", "groundednorms"),
        lambda run, of: {
            "ground": run.config.ground.model_dump(mode="json", exclude={"subjects"}),
            "text": _text_model(run),
        },
        ("datasets", "decoding", "features", "statistics"),
        device=lambda run, of: wants_device(run.config.ground.device),
    ),
    Step(
        "ground_regions", "decode", "How well grounded words of captions predict the regions of one subject.",
        _subjects(
            ImageStudy,
            where=lambda run, dataset, subject: subject in run.config.grounded(dataset, run.descriptors[dataset]),
        ),
        SUBJECT,
        {
            **_own("responses", "splits", "ceiling"),
            "groundedwords": lambda run, of: [run.artifact("groundedwords", of["dataset"])],
        },
        ("groundedregions",),
        lambda run, of: {
            "ground": run.config.ground.model_dump(mode="json", include={"alphas", "permutations", "draws"}),
            **_chosen("ceiling_threshold", "confidence")(run, of),
        },
        ("decoding", *ENCODING),
    ),
    Step(
        "decode", "decode", "Sentences from EEG by one decoder, with its control matrix and all that stands beside.",
        _decoders, ("method",),
        {
            **_own("responses", "splits"),
            **_features(lambda run, of: [run.config.decoded_model(of["dataset"])]),
            "language": lambda run, of: files_of_folder(
                getattr(run.config.decode.decoders[of["method"]], "language_weights", None)
            ),
        },
        (
            "controls", "retrieval", "retrievalsubjects", "averaged", "zeroshot", "confusion", "nuisances",
            "leftblocks", "textscores", "relevance", "sentences",
        ),
        lambda run, of: {"decode": run.config.decode.of(of["method"])}, ("decoding", "features", "statistics"),
        device=lambda run, of: wants_device(run.config.decode.device_of(of["method"])),
    ),
    Step(
        "decode_modalities", "decode", "EEG, MEG and fMRI in one space with the images, beside ridge and nulls.",
        _datasets(ModalityStudy), (),
        {
            **_own("modalities", "modalitytrials", "modalitystimuli"),
            **_features(lambda run, of: _vectors_of_images(run, of["dataset"])),
        },
        ("spaceretrieval", "sharedspace", "spacechanges", "spacecurve", "spacegeometry"),
        _chosen("decode_modalities"), ("datasets", "decoding", "features", *GEOMETRY),
        device=lambda run, of: wants_device(run.config.decode_modalities.device),
        makes={
            "weights": lambda run, of: (
                run.config.results / of["dataset"] / "group" / "modalities" / "weights.safetensors"
            )
        },
    ),
    Step(
        "decode_series", "decode", "Hidden regions filled in from visible ones, and what is learned of people from it.",
        _datasets(SeriesStudy), (), _own("series", "people"),
        ("filled", "maskedmodel", "filledtraces", "regionnetworks", "regionmap", "personscores"),
        _chosen("decode_series", "confidence"), ("datasets", "decoding", "features", "statistics"),
        device=lambda run, of: wants_device(run.config.decode_series.model.device),
    ),
    Step(
        "concepts", "compare", "Embeddings of odd-one-out judgements, with networks and brain regions beside them.",
        _datasets(TripletStudy), (),
        {
            **_own("triplets"),
            **_OF_EVERY_MODEL,
            "regions": lambda run, of: run.regions_beside_concepts(),
        },
        ("concepts", "choices", "conceptdimensions", "networks", "readouts", "conceptregions"),
        _chosen("concepts"), GEOMETRY, device=lambda run, of: run.config.concepts.device == "cuda",
    ),
    Step(
        "align", "compare", "Networks aligned with odd-one-out judgements: a teacher, and students that learn from it.",
        _datasets(TripletStudy, where=lambda run, dataset: run.config.aligned_models(dataset)), (),
        {
            **_own("triplets", "concepts"),
            **_features(lambda run, of: run.config.aligned_models(of["dataset"])),
            "regions": lambda run, of: run.regions_beside_concepts(),
        },
        ("aligned", "alignment", "alignedregions"), _chosen("align", "concepts"), GEOMETRY,
        device=lambda run, of: run.config.concepts.device == "cuda",
    ),
    Step(
        "summarize", "summarize", "Every score of one subject to one table of headline numbers.",
        _subjects(BlockStudy), SUBJECT,
        {**_own("responses", "splits"), **_each_fit("scores", "identification", "null")}, ("summary", "decoding"),
        _chosen("summarize", "confidence", "ceiling_threshold"), ("datasets", "statistics"),
    ),
    Step(
        "summarize_images", "summarize", "Headline numbers of one subject, and what was planted against what was found.",
        _subjects(ImageStudy), SUBJECT,
        {
            **_own("responses", "ceiling"),
            **_each_fit("scores", "profile", "preference", "null", "draws"),
            "truth": lambda run, of: run.raw_inputs(of) if of["dataset"] in run.simulated else [],
        },
        ("summary", "recovery", "differences", "contest", "winners"), _of_the_contest, ("simulation", "statistics"),
    ),
    Step(
        "summarize_group", "summarize", "What the subjects of a study of images share.",
        _datasets(ImageStudy), (), _each_subject("responses", "splits"), ("ceiling",), lambda run, of: {},
        ("statistics",),
    ),
    Step(
        "converge", "encode", "How far networks converge with the brain, beside their twins of random weights.",
        _datasets(ImageStudy, where=lambda run, dataset: run.config.convergence_of(dataset).networks), (),
        {
            "halves": lambda run, of: run.halves(of["dataset"]),
            "published": lambda run, of: [run.config.converge.maps] if run.config.converge.maps else [],
        },
        ("convergence", "areas", "latencies", "curves", "halftimes", "maps"),
        lambda run, of: {
            "converge": run.config.convergence_of(of["dataset"]),
            **_chosen("confidence")(run, of),
        },
        ENCODING,
    ),
    Step(
        "match", "compare", "Networks beside networks: how alike layers are, their dimensions, what fills them.",
        _datasets(ImageStudy, where=lambda run, dataset: run.config.matching_of(dataset).models), (),
        {
            **_features(lambda run, of: run.matched_models(of["dataset"])),
            "stimuli": lambda run, of: run.stimuli(of) if run.config.match.features else [],
        },
        ("similarity", "dimensions", "featurebias", "manifolds"),
        lambda run, of: {
            "match": run.config.matching_of(of["dataset"]),
            "checkpoints": run.config.checkpoints_of(of["dataset"]),
        },
        GEOMETRY,
    ),
    Step(
        "identify", "compare", "Regions of every fMRI subject named after the geometry of the others.",
        _datasets(
            ImageStudy,
            where=lambda run, dataset: len(scanned_subjects(run.descriptors[dataset])) >= LEAST_SUBJECTS,
        ),
        (),
        {
            "rdm": lambda run, of: [
                run.artifact("rdm", of["dataset"], subject=subject)
                for subject in scanned_subjects(run.descriptors[of["dataset"]])
            ]
        },
        ("regions", "thresholds", "agreement"), _chosen("identify", "confidence"), GEOMETRY,
    ),
    Step(
        "report", "report", "Everything about one subject as one self-contained page.",
        _subjects(BlockStudy, ImageStudy, RecordingStudy, VideoStudy), SUBJECT, _PAGE, (), _everything,
        ("report", "statistics"), makes={"page": Run.page},
    ),
    Step(
        "report_group", "report", "All subjects of a dataset, or what has no subjects, on one page.",
        _datasets(ImageStudy, RdmStudy, TripletStudy, SentenceStudy, ModalityStudy, SeriesStudy), (), _PAGE, (),
        _everything, ("report", "statistics"), runs="report", makes={"page": Run.page},
    ),
)
# fmt: on

STEPS: dict[str, Step] = {step.name: step for step in ROWS}


def step_digest(step: Step) -> str:
    """Return a digest of the code that a step's results depend on: an edit reruns the steps that may use it."""
    return program_digest(step.folder, step.program, step.code)


def planned(run: Run, dataset: str | None = None) -> list[tuple[Step, Labels]]:
    """List every job of a run, or of one dataset, in the order of dependence."""
    return [(step, of) for step in ROWS for of in step.of(run) if dataset in (None, of["dataset"])]


def job_of(run: Run, step: Step, of: Labels) -> Job:
    """Make a job of a step: with every path and every setting, ready to run."""
    chosen = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in step.settings(run, of).items()
    }
    return Job(
        step.name,
        json.loads(json.dumps(chosen)),
        {name: list(map(Path, read(run, of))) for name, read in {**step.reads, **step.beside}.items()},
        step.outputs(run, of),
        labels=dict(of),
        seed=run.config.seed,
        gpu=step.device(run, of),
    )
