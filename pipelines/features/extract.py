"""extract: stimuli of a dataset to features of one model, streamed to disk."""

import hashlib
import inspect
import json
from pathlib import Path

import pandas as pd

from brainalign.checks import check_columns, check_unique
from brainalign.datasets.formats import read_table
from brainalign.datasets.studies import listed_table, sampled_stimuli
from brainalign.features import EXTRACTORS, Extractor, check_images
from brainalign.io import file_digest, film_of, open_writer
from brainalign.study import captions_of, check_captions, load_descriptor, text_column
from brainalign.workflow import Job

PIECES_HZ = 10.0  # of sounds, where a model that hears nothing stands for them


def extract(job: Job) -> None:
    """Show every stimulus to a model, and keep what its layers make of it; rows of a run before are not made again."""
    options = dict(job.settings["model"])
    extractor = EXTRACTORS[options.pop("extractor")]
    if "seed" in inspect.signature(extractor).parameters:
        options["seed"] = job.seed
    model: Extractor = extractor(**options)
    sampled = None
    if job.has("signals"):
        rate_hz = getattr(model, "rate_hz", PIECES_HZ)
        sampled = sampled_stimuli(load_descriptor(job.path("descriptor")), model.reads, rate_hz)
    if sampled is not None:
        stimuli, table = sampled, sampled.drop(columns="path")
    elif not job.has("stimuli"):
        descriptor = load_descriptor(job.path("descriptor"))
        stimuli = table = listed_table(descriptor)
        if model.reads == "path" and descriptor.has_images:  # the artifact keeps them as the descriptor gives them
            stimuli = table.assign(path=[str(path.absolute()) for path in descriptor.image_paths().values()])
    else:
        captions = job.path("captions") if job.has("captions") else None
        stimuli = table = _from_table(job.path("stimuli"), captions)
        if "path" in table:  # the artifact keeps them relative to stimuli.tsv
            folder = job.path("stimuli").parent.absolute()
            stimuli = table.assign(path=[str(folder / file) if file else "" for file in table["path"]])
    digests = _content_digests(stimuli, model.reads or "stimulus_id")
    job.provenance.inputs["weights"] = model.digest()
    key = "sha256" if model.reads not in ("", "film") else None
    stored = job.settings.get("dtype", "float32")
    writer = open_writer(job.outputs["features"], table.assign(sha256=digests), job.provenance, key, stored)
    model.extract(stimuli, writer)
    writer.close(**model.describe())


def _from_table(path: Path, captions: Path | None) -> pd.DataFrame:
    """Return the table of stimuli as it is; the captions of an image become the wordings of its stimulus."""
    stimuli = read_table(path)
    check_columns(path, stimuli, ["stimulus_id"], "give every stimulus an id")
    check_unique(path, stimuli["stimulus_id"])
    if captions is not None:
        stimuli["texts"] = captions_of(stimuli["stimulus_id"].tolist(), read_table(captions), captions.name)
    elif (column := text_column(stimuli)) and "texts" not in stimuli:
        stimuli["texts"] = [[text] for text in stimuli[column]]
    return stimuli


def _content_digests(stimuli: pd.DataFrame, column: str) -> list[str]:
    """Return the sha256 of what the extractor reads of each stimulus: an image's bytes, texts, a piece of a sound."""
    if column in ("path", "film", "sound"):
        if column != "sound":
            check_images(stimuli)
        read = stimuli["path"].astype(str)
        files = [str(film_of(path)) for path in read]
        digests = {file: file_digest(file) for file in dict.fromkeys(files)}
        # Of a sound a piece is read, of a film the frame that its name holds the moment of.
        moments = (
            stimuli["onset_s"]
            if column == "sound"
            else [path[len(file) :] for path, file in zip(read, files, strict=True)]
        )
        return [
            hashlib.sha256(f"{digests[file]} {moment}".encode()).hexdigest() if moment != "" else digests[file]
            for file, moment in zip(files, moments, strict=True)
        ]
    needs = "a text model needs wordings in the descriptor, or a column text in stimuli.tsv, or a table of captions"
    check_columns("the stimuli", stimuli, [column], needs)
    texts = [list(content) if column == "texts" else content for content in stimuli[column]]
    if column == "texts":
        check_captions(stimuli["stimulus_id"].tolist(), texts)
    return [hashlib.sha256(json.dumps(content).encode()).hexdigest() for content in texts]
