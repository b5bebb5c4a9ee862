"""The steps of a run: one row each, from which rules, logs, resources, the plan and the jobs themselves are made.

Rows stand in the order of dependence. Never imports torch: Snakemake reads this file while it builds the DAG.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from brainalign.config import LEAST_SUBJECTS, InContextMethod
from brainalign.io import place_tables
from brainalign.study import Study, in_one_space
from brainalign.workflow.digests import code_digest
from brainalign.workflow.job import Job
from brainalign.workflow.run import Labels, Run, files_of_folder, wants_device, wants_gpu
from brainalign.workflow.steps import (
    DESCRIPTOR,
    FIT,
    OF_EVERY_MODEL,
    OF_ITS_MODEL,
    PRIOR,
    RAW,
    RAW_FOLDER,
    STIMULI,
    SUBJECT,
    Reader,
    Step,
    chosen,
    each_dataset,
    each_fit,
    each_fit_of,
    each_subject,
    each_subject_of,
    features,
    own,
    own_of,
    prepared,
)


def _extracted(run: Run) -> Iterator[Labels]:
    read = ("rdms", "judgements", "sentences", "continuous")
    for dataset in [*filter(partial(_is_fitted, run), run.datasets_of("responses")), *run.datasets_of(*read)]:
        yield from ({"dataset": dataset, "model": model} for model in run.config.models_of(dataset))
    for dataset in run.datasets_of("modalities"):
        yield from ({"dataset": dataset, "model": model} for model in _vectors_of_images(run, dataset))


def _where(holds: Callable[[Study], bool]) -> Callable[..., bool]:
    """Choose datasets by their studies, with all of their subjects."""
    return lambda run, dataset, subject="": holds(run.descriptors[dataset])


_holds_out = _where(lambda study: study.holds_out)
_is_fitted = _where(lambda study: study.is_fitted)
_only_decodes = _where(lambda study: not study.is_fitted)
_leaves_out = _where(lambda study: study.is_fitted and not study.holds_out)
_in_blocks = _where(lambda study: study.in_blocks)


def _others_in_space(run: Run, dataset: str, subject: str) -> list[str]:
    return in_one_space(run.descriptors[dataset], subject)


def _has_several(run: Run, dataset: str) -> bool:
    return len(run.subjects(dataset)) > 1


def _spaces(run: Run, dataset: str) -> dict[str, str]:
    """Return the space of every subject; empty where nobody shares it, or targets are sensors."""
    study = run.descriptors[dataset]
    shared = [name for name in run.subjects(dataset) if _others_in_space(run, dataset, name)]
    placed = [name for name in shared if study.modality(name) != "meeg"]
    return {name: study.space_of(name) if name in placed else "" for name in run.subjects(dataset)}


def _leaves_several(run: Run, dataset: str) -> bool:
    return _leaves_out(run, dataset) and _has_several(run, dataset)


def _are_mapped(run: Run, dataset: str) -> bool:
    """Tell whether there are maps over subjects; where runs are left out the page over subjects may have none."""
    shared = sum(map(bool, _spaces(run, dataset).values())) > 1
    return _leaves_several(run, dataset) or (_holds_out(run, dataset) and shared)


def _informed(run: Run, dataset: str) -> list[str]:
    """List the models that know something of the stimuli."""
    models = {name: run.config.models[name] for name in run.config.models_of(dataset)}
    return [name for name, model in models.items() if not model.random and model.extractor != "random"]


def _every_score(run: Run, of: Labels) -> list[Path]:
    """Locate the scores of every fit of every subject whose space is shared."""
    dataset = of["dataset"]
    return [
        run.artifact("scores", dataset, subject=name, model=model, method=method)
        for name, space in _spaces(run, dataset).items()
        if space
        for model, method in run.config.fits_of(dataset, name)
    ]


def _is_grouped(run: Run, dataset: str) -> bool:
    """Tell whether stimuli are held out of several subjects, or something is computed of the whole dataset."""
    whole = (step for step in ROWS if step.folder in ("compare", "encode") and not step.labels)
    several = len(run.descriptors[dataset].recordings) > 1
    return _holds_out(run, dataset) and (several or any({"dataset": dataset} in step.of(run) for step in whole))


def _of_datasets(run: Run) -> Iterator[Labels]:
    yield from each_dataset("responses", where=_is_grouped)(run)
    yield from each_dataset("responses", where=_leaves_several)(run)
    yield from (of for of in each_dataset("responses", where=_only_decodes)(run) if _has_several(run, of["dataset"]))
    yield from each_dataset("continuous", where=_has_several)(run)
    yield from each_dataset("rdms", "judgements", "sentences", "modalities", "series")(run)


def _vectors_of_images(run: Run, dataset: str) -> list[str]:
    """List the model whose features stand for image vectors; none where a file gives them."""
    model = run.config.decode_modalities.model
    return [] if run.descriptors[dataset].vectors or model is None else [model]


def _searchlights(run: Run) -> Iterator[Labels]:
    for of in each_subject_of("responses")(run):
        for model in run.config.searchlights_of(of["dataset"], run.descriptors[of["dataset"]], of["subject"]):
            yield {**of, "model": model}


def _synthesised(run: Run, dataset: str, subject: str) -> bool:
    return run.config.synthesises(dataset, run.descriptors[dataset], subject)


def _semantics(run: Run, of: Labels) -> str | None:
    source = getattr(run.config.methods[of["method"]], "semantics", None)
    return None if source == "classes" else source


def _network(run: Run, of: Labels) -> list[Path]:
    """Locate the network that a method was trained to be; most have none."""
    labels = {name: of[name] for name in FIT}
    return [run.artifact("network", of["dataset"], **labels)] if run.config.pretraining_of(of["method"]) else []


def _own_file(function: str) -> list[str]:
    """List the file of the user's that a function (file.py:name) is defined in; those of packages are of no file."""
    place = function.rpartition(":")[0]
    return [place] if place.endswith(".py") else []


def _others_of_captions(run: Run, of: Labels) -> list[str]:
    """List what a user gives captions: another bank, the files of a language model, a function."""
    options = run.config.caption
    found = [str(options.bank)] if options.bank else []
    if options.prefix:
        found += [str(path) for path in sorted(options.prefix.rglob("*")) if path.is_file()]
    return found + _own_file(options.captioner)


def _but(name: str) -> Callable[[Run, Labels], tuple[str, ...]]:
    """Name the files and folders that fits to other data alone enter, and those of other methods."""
    others = tuple(f"pipelines/encode/{other}.py" for other in ENCODED if other != name)

    def without(run: Run, of: Labels) -> tuple[str, ...]:
        options = run.config.methods[of["method"]] if "method" in of else None
        own = IN_CONTEXT if isinstance(options, InContextMethod) else TRAINED if options and options.trained else ()
        return (*others, *(folder for folder in (*IN_CONTEXT, *TRAINED) if folder not in own))

    return without


def _rsatoolbox(run: Run, of: Labels) -> Path:
    """Locate the RDMs of a job as a file of rsatoolbox, beside their artifact."""
    [rdms] = own("rdm")["rdm"](run, of)
    return Path(rdms).with_name(f"{Path(rdms).stem}s.hdf5")


# The pages: they read what the other steps of their dataset have left ------------------------------------------------


def _page_reads(run: Run, of: Labels) -> list[Path]:
    """List what a page is made of: a subject's results and those of stimuli; of a dataset its own, and summaries."""
    found: list[Path] = []
    for step, labels in planned(run, of["dataset"]):
        suffixes = step.writes
        if not _is_shown(step, labels, of):
            suffixes = tuple(suffix for suffix in SUMMARIES if suffix in step.writes) if "subject" not in of else ()
        if suffixes and step.folder != "report":
            outputs = step.outputs(run, labels)
            found += [outputs[suffix] for suffix in suffixes]
    return found


def _is_shown(step: Step, labels: Labels, of: Labels) -> bool:
    shared = OF_THE_STIMULI if "subject" in of else OF_THE_GROUP
    return labels.get("subject") == of.get("subject") or step.name in shared


def page_jobs(run: Run, of: Labels) -> list[tuple[Step, Labels]]:
    """List the jobs whose results a page shows: those of its subject and of the stimuli, or of the whole dataset."""
    jobs = planned(run, of["dataset"])
    return [(step, labels) for step, labels in jobs if step.folder != "report" and _is_shown(step, labels, of)]


OF_THE_STIMULI, OF_THE_GROUP = ("extract", "rollout", "ground"), ("decode_times",)
SUMMARIES = ("summary", "recovery", "differences")
_PAGE: dict[str, Reader] = {"found": _page_reads, **DESCRIPTOR}


ENCODED = ("left_out", "held_out", "continuous")
IN_CONTEXT, TRAINED = ("encoding/in_context/",), ("encoding/networks/", "encoding/trained/")
SAMPLING = {"prior", "guide", "check", "steps", "n_natural", "device", "save_memory", "scheduler", "dtype"}

# fmt: off
STIMULI_TABLE = {"stimuli": lambda run, of: run.raw_file("stimuli/stimuli.tsv", of["dataset"])}
ROWS = (
    Step(
        "simulate", "prepare", "A study with planted truth: files in the formats of real ones.",
        each_dataset("responses", where=lambda run, dataset: dataset in run.simulated), (), {}, (),
        lambda run, of: {"simulate": run.descriptors[of["dataset"]].simulate},
        beside=RAW_FOLDER, priority=2,
        makes={"listing": lambda run, of: run.raw_file("simulated.json", of["dataset"]), **STIMULI_TABLE},
    ),
    Step(
        "simulate_story", "prepare", "A story with planted truth: words, features and runs as files.",
        each_dataset("continuous", where=lambda run, dataset: dataset in run.simulated), (), {}, (),
        lambda run, of: {"simulate": run.descriptors[of["dataset"]].simulate},
        beside=RAW_FOLDER, priority=2,
        makes={"listing": lambda run, of: run.raw_file("simulated.json", of["dataset"])},
    ),
    Step(
        "prepare", "prepare", "Blocks of volumes of one subject: responses, splits, ceiling, noise and images.",
        each_subject_of("responses", where=_in_blocks), SUBJECT, {**RAW, **STIMULI},
        ("responses", "splits", "ceiling", "noise", "mask", "bold"), prepared("prepare"), data="blocks",
        beside={**DESCRIPTOR, **RAW_FOLDER},
    ),
    Step(
        "prepare", "prepare", "Recordings of one subject to responses, splits and ceiling.",
        each_subject_of("responses", where=lambda *of: _is_fitted(*of) and not _in_blocks(*of)), SUBJECT,
        {**RAW, **STIMULI, "images": lambda run, of: run.listed_images(of)},  # which splits and audits look at
        ("responses", "splits", "ceiling"), prepared("prepare"), beside={**DESCRIPTOR, **RAW_FOLDER},
        watches=Run.image_state,
    ),
    Step(
        "prepare_rdms", "prepare", "Published dissimilarity matrices and their images, unpacked.",
        each_dataset("rdms"), (), RAW, ("references",), prepared(), beside=DESCRIPTOR, makes=STIMULI_TABLE,
    ),
    Step(
        "prepare_recordings", "prepare", "M/EEG recordings of one subject: epochs with a category each.",
        each_subject_of("responses", where=_only_decodes), SUBJECT, RAW, ("responses",), prepared(), beside=DESCRIPTOR,
    ),
    Step(
        "prepare_sentences", "prepare", "EEG of sentences, a split by text, and the ledger of what was dropped.",
        each_dataset("sentences"), (), RAW, ("responses", "splits", "ledger"), prepared(), beside=DESCRIPTOR,
        makes=STIMULI_TABLE,
    ),
    Step(
        "prepare_series", "prepare", "Region series of many people, from files or simulated.",
        each_dataset("series"), (), RAW, ("series", "people"), prepared(), beside=DESCRIPTOR,
    ),
    Step(
        "prepare_triplets", "prepare", "Odd-one-out judgements and the table of their objects.",
        each_dataset("judgements"), (), RAW, ("triplets",), prepared(), beside=DESCRIPTOR, makes=STIMULI_TABLE,
    ),
    Step(
        "prepare_modalities", "prepare", "The same images in several modalities: recordings, trials and images.",
        each_dataset("modalities"), (), RAW, ("modalities", "modalitytrials", "modalitystimuli"), prepared(),
        beside={**DESCRIPTOR, **RAW_FOLDER}, watches=Run.image_state,
    ),
    Step(
        "prepare_events", "prepare", "Events of stimuli that go on, such as words, with an id each.",
        each_dataset("continuous"), (), {"events": lambda run, of: run.event_files(of["dataset"])}, ("runcontrols",),
        lambda run, of: {
            "descriptor": (study := run.descriptors[of["dataset"]]).extract_options(),
            "runs": sorted({name for files in study.recordings.values() for name in getattr(files, "files", ())}),
        },
        beside={**DESCRIPTOR, **RAW_FOLDER}, watches=Run.image_state, makes=STIMULI_TABLE,
    ),
    Step(
        "prepare_runs", "prepare", "The runs of one subject on their own clock, and what repeats in them.",
        each_subject_of("continuous"), SUBJECT, {**RAW, **STIMULI}, ("responses", "ceiling"), prepared(),
        beside={**DESCRIPTOR, **RAW_FOLDER},
    ),
    Step(
        "extract", "features", "Stimuli of a dataset to features of one model.", _extracted, ("model",),
        {
            **STIMULI,
            "weights": lambda run, of: run.weights(of["model"]),
            "captions": lambda run, of: run.caption_table(of) if run.config.models[of["model"]].reads_texts else [],
            "images": lambda run, of: run.listed_images(of) if run.config.models[of["model"]].reads_images else [],
            "signals": lambda run, of: [] if run.config.models[of["model"]].reads_texts else run.signals(of["dataset"]),
        },
        ("features",),
        lambda run, of: {
            "model": run.config.extractor_of(of["model"]),
            "dtype": run.config.models[of["model"]].dtype,
            "descriptor": run.descriptors[of["dataset"]].extract_options(),
        },
        beside=DESCRIPTOR, watches=Run.image_state, priority=1,
        device=lambda run, of: wants_device(getattr(run.config.models[of["model"]], "device", "cpu")),
    ),
    Step(
        "rollout", "features", "Features over time of one model of videos: hidden frames as it expects them.",
        lambda run: [
            {**of, "model": name} for of in each_dataset("videos")(run) for name in run.config.dynamics.models
        ],
        ("model",),
        {
            "videos": lambda run, of: run.descriptors[of["dataset"]].videos(),
            "function": lambda run, of: _own_file(run.config.dynamics.models[of["model"]].function),
        },
        ("rollouts",),
        lambda run, of: {
            "dynamics": run.config.dynamics.of_rollout(of["model"]),
            "descriptor": run.descriptors[of["dataset"]].extract_options(),
        },
        beside=DESCRIPTOR,
    ),
    Step(
        "pretrain", "encode", "What in-context encoding of one subject learns from the others.",
        lambda run: (
            of for of in each_fit_of("responses", where=_is_fitted)(run) if run.config.pretraining_of(of["method"])
        ),
        FIT,
        {
            "held_out": lambda run, of: [run.artifact("splits", of["dataset"], subject=of["subject"])],
            "responses": lambda run, of: run.other_scanned("responses", of),
            "splits": lambda run, of: run.other_scanned("splits", of),
            **OF_ITS_MODEL,
        },
        ("network",),
        lambda run, of: {"method": run.config.pretraining_of(of["method"]), **chosen("ceiling_threshold")(run, of)},
        device=lambda run, of: wants_gpu(run.config, of["method"]), priority=2,
    ),
    Step(
        "encode", "encode", "One method on one model's features for one subject.",
        each_fit_of("responses", where=_leaves_out), FIT,
        {**own("responses", "splits", "ceiling"), **own_of(_in_blocks, "mask"), **OF_ITS_MODEL},
        ("scores", "identification", "null", "profile", "partition"),
        lambda run, of: {
            "method": run.config.encoder_of(of["method"]),
            "permute": run.config.models[of["model"]].permute,
            "encode": run.config.encode.of("left_out"),
            **chosen("ceiling_threshold", *["confidence"] * run.config.methods[of["method"]].joint)(run, of),
        },
        without=_but("left_out"), device=lambda run, of: wants_gpu(run.config, of["method"]),
    ),
    Step(
        "encode", "encode", "One method on one model's features for one subject, scored on images held out.",
        each_fit_of("responses", where=_holds_out), FIT,
        {
            **own("responses", "splits", "ceiling"),
            **OF_ITS_MODEL,
            "semantics": features(lambda run, of: [_semantics(run, of)]),
            "cls": features(lambda run, of: [getattr(run.config.methods[of["method"]], "cls", None)]),
            "network": _network,
            "code": lambda run, of: _own_file(getattr(run.config.methods[of["method"]], "estimator", "")),
            "texts": lambda run, of: run.weights(of["model"]) if run.config.texts_of(of["model"], of["method"]) else [],
        },
        (
            "scores", "null", "profile", "preference", "clusters", "bands", "partition", "baselines", "ensemble",
            "fields", "draws", "halves", "curve",
        ),
        lambda run, of: {
            "method": run.config.encoder_of(of["method"]),
            "encode": run.config.encode.of("held_out"),
            **chosen("ceiling_threshold", "confidence")(run, of),
            **run.config.texts_of(of["model"], of["method"]),
        },
        without=_but("held_out"), device=lambda run, of: wants_gpu(run.config, of["method"]), spreads=True,
        data="held_out",
    ),
    Step(
        "encode", "encode", "Every model of a stimulus that goes on for one subject, alone and all in one fit.",
        each_subject_of("continuous"), SUBJECT,
        {
            **own("responses", "ceiling"), **OF_EVERY_MODEL,
            "runcontrols": lambda run, of: [run.artifact("runcontrols", of["dataset"])],
        },
        ("runscores", "runtargets", "runfolds", "rundelays", "runshares", "rununiques"),
        lambda run, of: {
            "encode": run.config.encode.of("continuous"),
            **chosen("ceiling_threshold", "confidence")(run, of),
            "informed": _informed(run, of["dataset"]),
        },
        without=_but("continuous"), data="continuous",
    ),
    Step(
        "correlate_subjects", "compare", "How well other subjects in the same space predict one whose stimuli went on.",
        each_subject_of("continuous", where=lambda run, *of: bool(_others_in_space(run, *of))), SUBJECT,
        {
            **own("responses"),
            "others": lambda run, of: [
                run.artifact("responses", of["dataset"], subject=other)
                for other in _others_in_space(run, of["dataset"], of["subject"])
            ],
        },
        ("intersubject",), lambda run, of: {},
    ),
    Step(
        "compare", "compare", "RDMs of one subject's responses against those of every model's features.",
        each_subject_of("responses", where=_is_fitted), SUBJECT,
        {**own("responses", "splits"), **own_of(_in_blocks, "noise"), **OF_EVERY_MODEL},
        ("rdm", "comparison", "regionfits"), chosen("compare", "confidence"),
        makes={"rsatoolbox": _rsatoolbox}, without=lambda run, of: ("pipelines/compare/references.py",),
    ),
    Step(
        "compare", "compare", "Published dissimilarity matrices against every layer of every model.",
        each_dataset("rdms"), (), {**own("references"), **OF_EVERY_MODEL}, ("rdm", "comparison", "differences"),
        chosen("compare", "confidence"),
        makes={"rsatoolbox": _rsatoolbox}, without=lambda run, of: ("pipelines/compare/places.py",), data="rdms",
    ),
    Step(
        "searchlight", "compare", "The geometry of every neighbourhood of the brain against one model's layers.",
        _searchlights, ("subject", "model"),
        {
            **own("responses"),
            **own_of(_holds_out, "splits"),
            **own_of(_in_blocks, "noise", "mask"),
            **OF_ITS_MODEL,
            "meshes": lambda run, of: run.config.searchlight.meshes.values(),
        },
        ("searchlight",),
        lambda run, of: {
            "searchlight": run.config.searchlight.model_dump(mode="json", exclude={"models", "subjects"})
        },
    ),
    Step(
        "decode_times", "decode", "Categories decoded from the sensors of one subject, moment by moment.",
        each_subject_of("responses", where=lambda run, dataset, of: of in run.descriptors[dataset].decoded_subjects),
        SUBJECT,
        {
            **own("responses"),
            **own_of(_holds_out, "splits"),
        },
        ("timescores", "timesensors", "timewindows", "timeclusters", "timepeaks", "timesquares"),
        lambda run, of: {
            **chosen("decode_times", "confidence")(run, of),
            "sensors": getattr(run.descriptors[of["dataset"]], "sensors", {}),
            "windows": getattr(run.descriptors[of["dataset"]], "windows", {}),
        },
    ),
    Step(
        "dynamics", "compare", "Neurons of one subject predicted over time by every model of the videos.",
        each_subject_of("videos"), SUBJECT,
        {
            "neural": lambda run, of: [run.descriptors[of["dataset"]].found_files(of["subject"])["neural"]],
            "videos": lambda run, of: run.descriptors[of["dataset"]].videos(),
            "rollouts": lambda run, of: [
                run.artifact("rollouts", of["dataset"], model=model) for model in run.config.dynamics.models
            ],
        },
        ("dynamics", "dynamicsneurons", "dynamicsfolds", "dynamicsmovies"),
        lambda run, of: {"dynamics": run.config.dynamics.of_scores(), **prepared("confidence")(run, of)},
        beside=DESCRIPTOR,
    ),
    Step(
        "guide", "synthesize", "Encoders that images can be made with: one that guides, one that judges, and twins.",
        each_subject_of("responses", where=_synthesised), SUBJECT,
        {
            **own("responses", "splits", "ceiling"),
            **STIMULI,
            "features": features(lambda run, of: run.encoders_of_images()),
            **PRIOR,
        },
        ("guides",),
        lambda run, of: {
            "synthesize": run.config.synthesize.of_the_guide(),
            "models": run.config.encoders_of_synthesis(),
            **chosen("ceiling_threshold")(run, of),
        },
        device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "caption", "synthesize", "Words for the voxels of one subject, scored on the test images.",
        each_subject_of(
            "responses",
            where=lambda run, dataset, subject: subject in run.config.captioned(dataset, run.descriptors[dataset]),
        ),
        SUBJECT,
        {
            **own("responses", "splits", "ceiling"),
            "features": features(lambda run, of: [run.config.caption.model]),
            "others": _others_of_captions,
        },
        ("captions", "captionscores", "captiontemperatures"),
        lambda run, of: {
            "caption": run.config.caption.model_dump(mode="json", exclude={"subjects"}),
            "model": run.config.extractor_of(run.config.caption.model) if run.config.caption.model else {},
            **chosen("ceiling_threshold", "confidence")(run, of),
        },
    ),
    Step(
        "synthesize", "synthesize", "Images that the regions of a subject would prefer, beside controls.",
        each_subject_of("responses", where=_synthesised), SUBJECT,
        {
            **own("guides"),
            **STIMULI,
            "features": features(lambda run, of: run.encoders_of_images()[:1]),
            **PRIOR,
            "captions": lambda run, of: (
                own("captions")["captions"](run, of)
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
            **chosen("confidence")(run, of),
        },
        device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "directions", "synthesize", "Directions in the diffusion model along which a subject's regions answer more.",
        each_subject_of("responses", where=lambda run, *of: run.config.directions.methods and _synthesised(run, *of)),
        SUBJECT,
        {**own("guides"), **STIMULI, "features": features(lambda run, of: run.encoders_of_images()[:1]), **PRIOR},
        ("directions", "directionscores", "directionimages"),
        lambda run, of: {
            "directions": run.config.directions,
            "synthesize": run.config.synthesize.model_dump(mode="json", include=SAMPLING),
            "models": run.config.encoders_of_synthesis(),
            "simulated": of["dataset"] in run.simulated,
        },
        device=lambda run, of: wants_device(run.config.synthesize.device), priority=2,
    ),
    Step(
        "ground", "decode", "Words of captions grounded in the training images, beside text vectors and nulls.",
        each_dataset("responses", where=lambda run, dataset: run.config.grounded(dataset, run.descriptors[dataset])),
        (),
        {
            "features": features(lambda run, of: [run.config.ground.model]),
            **each_subject("splits"),
            "captions": Run.caption_table,
            "norms": lambda run, of: [run.config.ground.norms] if run.config.ground.norms else [],
            "texts": lambda run, of: run.weights(run.config.ground.text) if run.config.ground.text else [],
        },
        ("groundedwords", "grounding", "groundedscores", "groundedaxes", "groundedattributes", "groundednorms"),
        lambda run, of: {
            "ground": run.config.ground.model_dump(mode="json", exclude={"subjects"}),
            "text": run.config.extractor_of(run.config.ground.text) if run.config.ground.text else {},
            **chosen("confidence")(run, of),
        },
        device=lambda run, of: wants_device(run.config.ground.device),
    ),
    Step(
        "ground_regions", "decode", "How well grounded words of captions predict the regions of one subject.",
        each_subject_of(
            "responses",
            where=lambda run, dataset, subject: subject in run.config.grounded(dataset, run.descriptors[dataset]),
        ),
        SUBJECT,
        {
            **own("responses", "splits", "ceiling"),
            "groundedwords": lambda run, of: [run.artifact("groundedwords", of["dataset"])],
        },
        ("groundedregions",),
        lambda run, of: {
            "ground": run.config.ground.model_dump(mode="json", include={"alphas", "permutations", "draws"}),
            **chosen("ceiling_threshold", "confidence")(run, of),
        },
    ),
    Step(
        "decode", "decode", "Sentences from EEG by one decoder, with its control matrix and all that stands beside.",
        lambda run: [
            {**of, "method": name} for of in each_dataset("sentences")(run) for name in run.config.decode.decoders
        ],
        ("method",),
        {
            **own("responses", "splits"),
            "features": features(lambda run, of: [run.config.decoded_model(of["dataset"])]),
            "language": lambda run, of: files_of_folder(
                getattr(run.config.decode.decoders[of["method"]], "language_weights", None)
            ),
            "code": lambda run, of: _own_file(getattr(run.config.decode.decoders[of["method"]], "encoder", "")),
        },
        (
            "controls", "retrieval", "retrievalsubjects", "averaged", "zeroshot", "confusion", "nuisances",
            "leftblocks", "textscores", "relevance", "sentences",
        ),
        lambda run, of: {"decode": run.config.decode.of(of["method"]), **chosen("confidence")(run, of)},
        # Linear ones run on the CPU.
        device=lambda run, of: wants_device(getattr(run.config.decode.decoders[of["method"]], "device", "cpu")),
    ),
    Step(
        "decode_modalities", "decode", "EEG, MEG and fMRI in one space with the images, beside ridge and nulls.",
        each_dataset("modalities"), (),
        {
            **own("modalities", "modalitytrials", "modalitystimuli"),
            "features": features(lambda run, of: _vectors_of_images(run, of["dataset"])),
        },
        ("spaceretrieval", "sharedspace", "spacechanges", "spacecurve", "spacegeometry"),
        chosen("decode_modalities", "confidence"),
        device=lambda run, of: wants_device(run.config.decode_modalities.device),
        makes={
            "weights": lambda run, of: (
                run.config.results / of["dataset"] / "group" / "modalities" / "weights.safetensors"
            )
        },
    ),
    Step(
        "decode_series", "decode", "Hidden regions filled in from visible ones, and what is learned of people from it.",
        each_dataset("series"), (), own("series", "people"),
        ("filled", "maskedmodel", "filledtraces", "regionnetworks", "regionmap", "personscores"),
        chosen("decode_series", "confidence"),
        device=lambda run, of: wants_device(run.config.decode_series.model.device),
    ),
    Step(
        "concepts", "compare", "Embeddings of odd-one-out judgements, with networks and brain regions beside them.",
        each_dataset("judgements"), (),
        {**own("triplets"), **OF_EVERY_MODEL, "regions": lambda run, of: run.regions_beside_concepts()},
        ("concepts", "choices", "conceptdimensions", "networks", "readouts", "conceptregions"),
        chosen("concepts"), device=lambda run, of: run.config.concepts.device == "cuda",
    ),
    Step(
        "align", "compare", "Networks aligned with odd-one-out judgements: a teacher, and students that learn from it.",
        each_dataset("judgements", where=lambda run, dataset: run.config.aligned_models(dataset)), (),
        {
            **own("triplets", "concepts"),
            "features": features(lambda run, of: run.config.aligned_models(of["dataset"])),
            "regions": lambda run, of: run.regions_beside_concepts(),
        },
        ("aligned", "alignment", "alignedregions"), chosen("align", "concepts"),
        device=lambda run, of: run.config.concepts.device == "cuda",
    ),
    Step(
        "summarize", "summarize", "Every score of one subject to one table of headline numbers.",
        each_subject_of("responses", where=_leaves_out), SUBJECT,
        {**own("responses", "splits"), **each_fit("scores", "identification", "null")}, ("summary", "decoding"),
        chosen("summarize", "confidence"),
        without=lambda run, of: ("pipelines/summarize/held_out.py",),
    ),
    Step(
        "summarize", "summarize", "Headline numbers of one subject, and what was planted beside what was found.",
        each_subject_of("responses", where=_holds_out), SUBJECT,
        {
            **own("responses", "ceiling"),
            **each_fit("scores", "profile", "preference", "null", "draws"),
            "truth": lambda run, of: run.raw_inputs(of) if of["dataset"] in run.simulated else [],
        },
        ("summary", "recovery", "differences", "contest", "winners"),
        lambda run, of: {
            "contest": run.config.contest_of(of["dataset"], run.descriptors[of["dataset"]], of["subject"]),
            **chosen("summarize", "confidence")(run, of),
        },
        data="held_out",
    ),
    Step(
        "summarize_group", "summarize", "What the subjects of a study of images share.",
        each_dataset("responses", where=_is_grouped), (), each_subject("responses", "splits"), ("ceiling",),
        lambda run, of: {},
    ),
    Step(
        "map_subjects", "summarize", "Maps over subjects who saw stimuli in one space.",
        each_dataset("responses", where=_are_mapped), (),
        {**each_subject("responses", "splits", "summary"), "scores": _every_score},
        ("grouptargets", "groupmaps"),
        lambda run, of: {
            "spaces": _spaces(run, of["dataset"]),
            "held_out": _holds_out(run, of["dataset"]),
            "fits": [list(fit) for fit in run.config.fits_of(of["dataset"])],
        },
    ),
    Step(
        "map_subjects", "summarize", "Maps over subjects whose stimuli went on, and their scores side by side.",
        each_dataset("continuous", where=_has_several), (),
        each_subject("responses", "runscores", "runtargets", "rununiques"),
        ("groupscores", "grouptargets", "groupmaps"),
        lambda run, of: {"spaces": _spaces(run, of["dataset"])}, data="continuous",
    ),
    Step(
        "converge", "encode", "How far networks converge with the brain, beside their twins of random weights.",
        each_dataset(
            "responses",
            where=lambda run, dataset: _holds_out(run, dataset) and run.config.convergence_of(dataset).networks,
        ),
        (),
        {
            "halves": lambda run, of: run.halves(of["dataset"]),
            "published": lambda run, of: [run.config.converge.maps] if run.config.converge.maps else [],
        },
        ("convergence", "areas", "latencies", "curves", "halftimes", "maps"),
        lambda run, of: {"converge": run.config.convergence_of(of["dataset"]), **chosen("confidence")(run, of)},
    ),
    Step(
        "match", "compare", "Networks beside networks: how alike layers are, their dimensions, what fills them.",
        each_dataset(
            "responses", where=lambda run, dataset: _holds_out(run, dataset) and run.config.matching_of(dataset).models
        ),
        (),
        {
            "features": features(lambda run, of: run.matched_models(of["dataset"])),
            "stimuli": lambda run, of: run.stimuli(of) if run.config.match.features else [],
        },
        ("similarity", "dimensions", "featurebias", "manifolds"),
        lambda run, of: {
            "match": run.config.matching_of(of["dataset"]),
            "checkpoints": run.config.checkpoints_of(of["dataset"]),
        },
    ),
    Step(
        "identify", "compare", "Regions of every fMRI subject named after the geometry of the others.",
        each_dataset("responses", where=lambda run, dataset: len(run.descriptors[dataset].scanned) >= LEAST_SUBJECTS),
        (),
        {
            "rdm": lambda run, of: [
                run.artifact("rdm", of["dataset"], subject=subject)
                for subject in run.descriptors[of["dataset"]].scanned
            ]
        },
        ("regions", "thresholds", "agreement"), chosen("identify", "confidence"),
    ),
    # Pages, of whatever the others leave.
    Step(
        "report", "report", "Everything about one subject as one self-contained page.",
        each_subject_of("responses", "videos", "continuous"), SUBJECT, _PAGE, (),
        lambda run, of: {"configuration": run.config}, makes={"page": Run.page},
    ),
    Step(
        "report", "report", "All subjects of a dataset, or what has no subjects, on one page.",
        _of_datasets, (), _PAGE, (),
        lambda run, of: {"configuration": run.config}, data="group", makes={"page": Run.page},
    ),
)
# fmt: on

STEPS: dict[str, Step] = {step.rule: step for step in ROWS}
for _step in ROWS:
    place_tables(_step.writes, _step.folder)


def step_digest(run: Run, step: Step, of: Labels) -> str:
    """Digest the code that the results of a job depend on: an edit reruns the jobs that may use it, and no other."""
    return code_digest(f"{step.folder}/{step.name}", step.without(run, of))


def changes_of(run: Run, step: Step, of: Labels) -> str:
    """Digest what changes the results of a job: its settings, what it watches, and the files of a lab that it reads."""
    files = {name: run.states(read(run, of)) for name, read in step.reads.items()}
    return hashlib.sha256(json.dumps([settings_of(run, step, of), step.watches(run, of), files]).encode()).hexdigest()


def planned(run: Run, dataset: str | None = None) -> list[tuple[Step, Labels]]:
    """List every job of a run, or of one dataset, in the order of dependence."""
    return [(step, of) for step in ROWS for of in step.of(run) if dataset in (None, of["dataset"])]


def job_of(run: Run, step: Step, of: Labels) -> Job:
    """Make a job of a step: with every path and every setting, ready to run."""
    return Job(
        step.name,
        settings_of(run, step, of),
        {name: list(map(Path, read(run, of))) for name, read in {**step.reads, **step.beside}.items()},
        step.outputs(run, of),
        labels=dict(of),
        seed=run.config.seed,
        gpu=step.device(run, of),
        cluster=run.config.cluster_of(of["method"]) if step.spreads else {},
        without=step.without(run, of),
    )


def incomplete_pages(run: Run) -> Job:
    """Make the job that draws, after a failure, every page on whatever there is."""
    return Job("report", settings_of(run, STEPS["report"], {}))


def page_paths(run: Run) -> list[tuple[Path, Path]]:
    """List where the pages of a run lie, each with where it lies when it was made after a failure."""
    of_pages = [of for name in ("report", "report_group") for of in STEPS[name].of(run)]
    return [(run.page(of), run.page(of, incomplete=True)) for of in of_pages]


def settings_of(run: Run, step: Step, of: Labels) -> dict[str, Any]:
    """List everything that changes the result of a job, by section, as JSON."""
    dumped = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in step.settings(run, of).items()
    }
    return json.loads(json.dumps(dumped))
