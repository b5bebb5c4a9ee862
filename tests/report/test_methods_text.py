"""Every sentence of the methods text follows from a setting that was used: each branch with and without it."""

from typing import Any

import numpy as np
import pages
import pandas as pd
import pytest
from pages import BETAS, check, image_study, study

from brainalign.arrays import Arrays, Responses
from brainalign.config import Config
from brainalign.report import (
    DecodedTimes,
    ImageEncoding,
    ImageMaterial,
    Material,
    StudyMaterial,
    SubjectMaterial,
    TextMaterial,
)
from brainalign.report.geometry_sections import decoding_over_time as recordings_page
from brainalign.report.kit import cleaning_words, methods_text
from brainalign.report.pages import concepts as concepts_page
from brainalign.report.pages import dynamics as dynamics_page
from brainalign.report.pages import images as image_page
from brainalign.report.pages import modalities as modalities_page
from brainalign.report.pages import sentences as text_page
from brainalign.report.pages import series as series_page
from brainalign.study import RawOptions, Study, parse

EPOCHS = {"format": "epochs", "epochs": ["a-epo.fif"]}
MUSE = {"format": "muse", "recordings": ["a.csv"]}
BIDS = {"format": "bids", "root": ".", "participant": "1", "task": "t"}
Case = tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]  # changes, what must be said, what must not


def config(**content: object) -> Config:
    return pages.config(**{"models": {"minilm": {"extractor": "sentence", "weights": "x"}}} | content)


def joined(texts: Any) -> str:
    return " ".join(text for text, _ in texts)


RECORDINGS: list[Case] = [
    ({"files": EPOCHS, "epochs": {"band_hz": [1, 30]}}, ("as they were filtered",), ("1 to 30 Hz", "not filtered")),
    ({"files": BIDS, "epochs": {"band_hz": [1, 30]}}, ("filtered from 1 to 30 Hz", "MNE-Python"), ("not filtered",)),
    ({"files": MUSE}, ("not filtered", "Muse"), ("filtered from", "MNE-Python", "µV", "subtracted", "samples was")),
    ({"files": EPOCHS, "epochs": {"reject_uv": 100}}, (), ("µV",)),
    ({"files": BIDS, "epochs": {"reject_uv": 100}}, ("more than 100 µV",), ()),
    ({"files": EPOCHS, "epochs": {"baseline_s": [-0.1, 0]}}, ("from -100 to 0 ms was subtracted",), ()),
    ({"files": EPOCHS, "epochs": {"decimate": 4}}, ("one of 4 samples",), ()),
    ({"files": EPOCHS, "epochs": {"tmin_s": -0.2, "tmax_s": 0.4}}, ("cut from -200 ms to 400 ms",), ()),
    ({"files": EPOCHS, "decode": {"permutations": 77}}, ("(77 times",), ()),
    ({"files": EPOCHS, "decoded": False}, ("Epochs saved",), ("discriminant", "Permutations", "Latencies")),
]


@pytest.mark.parametrize(("changes", "said", "unsaid"), RECORDINGS)
def test_recordings(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    of = study(recordings={"1": changes["files"]}, markers={"1": "a", "2": "b"}, epochs=changes.get("epochs", {}))
    windows = pd.DataFrame({"scheme": ["recordings left out", "within recordings"], "logistic": 0.6})
    decoded = DecodedTimes({"timewindows": windows}, Arrays(), {}) if changes.get("decoded", True) else None
    material = SubjectMaterial(config(decode_times=changes.get("decode", {})), "study", of, "1", decoded=decoded)
    check(joined(recordings_page._methods(material)), *said, unsaid=unsaid)


@pytest.mark.parametrize(
    ("options", "resample_hz", "words"),
    [
        ((None, None, None, None, None), None, ["not filtered"]),
        (((1, 30), None, None, ("Cz",), None), None, ["filtered from 1 to 30 Hz", "referenced to Cz"]),
        (((1, 30), 50, "ssp", "average", "sss"), 100,
         ["freed of what came from outside of the head (signal space separation)", "freed of 50 Hz and multiples",
          "filtered from 1 to 30 Hz", "freed of a projection that follows the eyes", "referenced to the average",
          "resampled to 100 Hz"]),
    ],
)  # fmt: skip
def test_what_was_done_to_raw_recordings(options: Any, resample_hz: float | None, words: list[str]) -> None:
    made = RawOptions.model_construct(
        **dict(zip(("band_hz", "notch_hz", "artifacts", "reference", "maxwell"), options, strict=True))
    )
    assert cleaning_words(made, resample_hz) == words


IMAGES: list[Case] = [
    ({}, ("z-scored within session", "whose repeats", "above 0.2", "Noise ceilings", "as a control", "fsaverage5"), ()),
    ({}, ("penalty chosen per target inside the training images",), ()),
    ({"betas": {"standardize": "none"}}, ("taken as they are",), ("z-scored",)),
    ({"vertex": False}, ("z-scored",), ("fsaverage5",)),
    ({"ceiling": np.nan}, ("over all targets",), ("Noise ceilings", "reliable", "repeats were averaged")),
    ({"control_r": np.nan}, ("intervals resample",), ("as a control",)),
    ({"encodings": False}, (), ("ridge regression", "Pearson correlations", "False discovery rate")),
    ({"comparison": False}, ("Pearson correlations",), ("Representational similarity",)),
    ({}, ("correlation distances between test images", "Spearman correlation", "chosen on these same data"), ()),
    ({"config": {"compare_images": {"comparison": "cosine"}}}, ("by cosine",), ("Spearman",)),
    ({"config": {"compare_images": {"comparison": "geotopological"}}}, ("geo-topological transform (0.2 to",), ()),
    ({"config": {"methods": {"ridge": {"encoder": "ridge", "alphas": [2.0]}}}}, ("fixed at 2",), ("chosen per",)),
    ({"config": {"methods": {"ridge": {"encoder": "ridge", "per_target_alpha": False}}}}, ("all targets toget",), ()),
    ({"config": {"methods": {"ridge": {"encoder": "banded"}}}}, ("banded ridge", "Dirichlet"), ("Each layer of each",)),
    ({"config": {"methods": {"ridge": {"encoder": "factorized"}}}}, ("Simpler encoders", "seed 0"), ("softmax",)),
    ({"config": {"methods": {"ridge": {"encoder": "factorized", "baselines": [], "seeds": [0, 1], "ensemble": True}}}},
     ("2 seeds", "softmax(40"), ("Simpler encoders",)),
    ({"config": {"methods": {"ridge": {"encoder": "response_optimised"}}}}, ("trained on images by",), ("on the tok",)),
    ({"config": {"methods": {"ridge": {"encoder": "dictionary"}}}}, ("atoms that respond most",), ("left over",)),
    ({"config": {"methods": {"ridge": {"encoder": "dictionary", "coding": "matching_pursuit"}}}}, ("left over",), ()),
    ({"config": {"methods": {"ridge": {"encoder": "in_context"}}}}, ("900 steps on synthetic",), ("Each layer of",)),
    ({"subject": "02", "epochs": {"whiten": False}}, ("Epochs were read",), ("whitened", "z-scored", "fsaverage5")),
    ({"subject": "02"}, ("deviations from the mean over repeats",), ("samples before the stimulus",)),
    ({"subject": "02", "noise": "baseline"}, ("samples before the stimulus",), ("deviations from",)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "unsaid"), IMAGES)
def test_images(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    subjects = {"01": BETAS, "02": {"format": "epochs", "epochs": "e.fif", "picks": "eeg"}}
    read = {key: changes[key] for key in ("betas", "epochs") if key in changes}
    settings = config(**{"models": {"minilm": {"extractor": "efficientnet"}}} | changes.get("config", {}))
    scores = pd.DataFrame({"ceiling": [changes.get("ceiling", 0.5)]})
    profile = pd.DataFrame({"control_r": [changes.get("control_r", 0.01)]})
    empty = pd.DataFrame()
    of = image_study(recordings=subjects, **read)
    material = ImageMaterial(settings, "study", of, changes.get("subject", "01"), ceiling=scores)
    if changes.get("encodings", True):
        material.encodings["minilm", "ridge"] = ImageEncoding(scores, profile, empty, empty)
    if changes.get("comparison", True):
        material.comparison = pd.DataFrame({"score": [0.1]})
    material.sidecars["sub-02_responses.safetensors"] = {"details": {"noise": changes.get("noise", "residuals")}}
    targets = pd.DataFrame({"target_id": ["v"], "kind": "voxel", "hemi": "L", "roi": [[]], "x_mm": 0.0, "y_mm": 0.0})
    targets = targets.assign(z_mm=0.0, **{"vertex": [1]} if changes.get("vertex", True) else dict.fromkeys("ijk", 0))
    trials = pd.DataFrame({"trial_id": ["t"], "stimulus_id": "s", "session": "1", "run": "1", "repeat": 0})
    material.responses = Responses(np.zeros((1, 1), np.float32), trials.assign(onset_s=0.0), targets, "z")
    check(joined(image_page._methods(material)), *said, unsaid=unsaid)


SENTENCES: list[Case] = [
    ({}, ("split by text", "Penalties were chosen", "0.95"), ("table of the lab", "epochs", "blocks of the session")),
    ({"split": {"table": "t.tsv"}}, ("as a table of the lab says",), ("were split by text",)),
    ({"split": {"similarity": 0.9}}, ("above 0.9)",), ()),
    ({"decoders": {"ridge": {"decoder": "linear", "penalties": [1]}}}, (), ("chosen on validation",)),
    ({"decoders": {"ridge": {"decoder": "linear"}, "n": {"decoder": "network"}}}, ("Penalties and epochs were",), ()),
    ({"decoders": {"ridge": {"decoder": "linear"}, "n": {"decoder": "network", "selection": "last"}}},
     ("Penalties were chosen",), ("epochs were",)),
    ({"blocks": 3}, ("Whole blocks of the session were left out in turn (ridge)",), ()),
    ({"others": ["EOG only"]}, ("channels of the eyes alone",), ("time before the sentence",)),
    ({"others": ["pre-stimulus"]}, ("time before the sentence",), ("of the eyes",)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "unsaid"), SENTENCES)
def test_sentences(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    of = study(simulate={"world": "eeg_text"}, sentences={"split": changes.get("split", {})})
    decoders = changes.get("decoders", {"ridge": {"decoder": "linear"}})
    settings = config(decode={"decoders": decoders, "n_components": 7})
    details = {"explained": 0.5, "others": changes.get("others", []), "decoder": {"decoder": "linear"}, "chosen": {}}
    material = TextMaterial(settings, "study", of, said={"ridge": details})
    material.decoders["ridge"] = {"leftblocks": pd.DataFrame({"block": range(changes.get("blocks", 0))})}
    text = joined(text_page._methods(material))
    check(text, *said, "first 7 principal components (50% of", unsaid=unsaid)


TRAINED = {"validated": True, "has_val": False}
FEW = {"validated": False, "has_val": False}
MODALITIES: list[Case] = [
    ({}, ("images shuffled within", "noise with the mean", "squared distance", "trained together"), ("whitened",)),
    ({"options": {"whiten": True}}, ("whitened by the noise of repeated",), ()),
    ({"options": {"regression": 0}}, (), ("squared distance",)),
    ({"options": {"phases": "two"}}, ("one by one, frozen",), ("trained together",)),
    ({"options": {"beside": ["noise"]}}, ("noise with the mean",), ("images shuffled",)),
    ({"options": {"beside": []}}, (), ("Nulls",)),
    ({}, (), ("luminance", "share of ridge")),
    ({"low": True}, ("luminance",), ()),
    ({"fitted": {"validated": True, "has_val": True}},
     ("split val validated", "found no better (1,200 batches", "best weights", "is eeg .25, chosen by"),
     ("A tenth", "Too few", "cycle")),
    ({"fitted": TRAINED}, ("A tenth of the training images validated",), ("split val",)),
    ({"fitted": TRAINED, "options": {"schedule": "one_cycle"}},
     ("A tenth of the training images validated: training went over a cycle", "best weights"), ("no better",)),
    ({"fitted": FEW}, ("Too few images", "a cycle of the learning rate (1,200 batches", "that of studies without"),
     ("validated", "best weights", "chosen by")),
    ({"fitted": FEW, "options": {"blend": 0.25}}, ("as configured",), ("that of studies",)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "unsaid"), MODALITIES)
def test_modalities(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    of = study(simulate={"world": "modalities"})
    table = pd.DataFrame({"decoder": ["joint", *["low level"] * changes.get("low", False)]})
    settings = config(decode_modalities=changes.get("options", {}))
    material = StudyMaterial(settings, "study", of, tables={"spaceretrieval": table})
    if "fitted" in changes:
        noted = {"steps": {"joint": 1200}, "blend": {"eeg": 0.25}} | changes["fitted"]
        material.sidecars["spaceretrieval.parquet"] = {"details": noted}
    check(joined(modalities_page._methods(material)), *said, unsaid=unsaid)


SERIES: list[Case] = [
    ({}, ("not the signal", "Lagged", "shifted circularly", "frames permuted"), ("Mean tokens", "signal decides")),
    ({"options": {"model": {"attention": "adaptive"}}}, ("the signal decides",), ("not the signal",)),
    ({"options": {"lags": [0]}}, ("Instantaneous",), ("Lagged",)),
    ({"options": {"nulls": ["regions shifted"]}}, ("shifted circularly",), ("frames permuted",)),
    ({"options": {"nulls": []}}, (), ("Nulls",)),
    ({"people": 2}, ("Mean tokens",), ()),
]


@pytest.mark.parametrize(("changes", "said", "unsaid"), SERIES)
def test_series(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    of = study(simulate={"world": "roi_series"})
    tables = {"personscores": pd.DataFrame({"label": range(changes.get("people", 0))})}
    settings = config(decode_series=changes.get("options", {}))
    check(joined(series_page._methods(StudyMaterial(settings, "study", of, tables=tables))), *said, unsaid=unsaid)


CONCEPTS: list[Case] = [
    ({}, ("Sparse:", "Variational:", "(of 9", "20 starts"), ("Its ceiling",)),
    ({"options": {"methods": ["sparse"]}}, ("Sparse:",), ("Variational",)),
    ({"options": {"methods": ["variational"]}}, ("Variational:",), ("Sparse",)),
    ({"options": {"alphas": [0.5]}}, ("a penalty of 0.5",), ("largest within",)),
    ({"ceilings": {"low": 0.6}}, ("Its ceiling",), ()),
]


@pytest.mark.parametrize(("changes", "said", "unsaid"), CONCEPTS)
def test_concepts(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    of = study(stimuli="o.txt", recordings={"us": {"format": "triplets", "triplets": ["t.txt"]}})
    noted = {"choices.parquet": {"details": {"ceilings": changes.get("ceilings")}}}
    material = StudyMaterial(config(concepts=changes.get("options", {})), "study", of, sidecars=noted)
    check(joined(concepts_page._methods(material)), *said, unsaid=unsaid)


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize(("fit_on", "said"), [("epoch", "of each epoch"), ("visible", "of shown frames alone")])
def test_dynamics(drawn: bool, fit_on: str, said: str) -> None:
    of = study(stimuli="v", recordings={"1": {"format": "neural", "neural": "n"}})
    tables = {"dynamicsmovies": pd.DataFrame({"r": [0.1] * drawn})}
    settings = config(dynamics={"fit_on": fit_on, "folds": 4})
    text = joined(dynamics_page._methods(StudyMaterial(settings, "study", of, "1", tables)))
    assert ("Geometry" in text) == drawn
    assert said in text
    assert "4 folds" in text


BLOCKS: list[Case] = [
    ({}, ("within run", "detrended and z-scored", "1,000 permutations", "(FDR)"), ("bootstrap",)),
    ({"fmri": {"detrend": False}}, ("z-scored within run",), ("detrended",)),
    ({"fmri": {"detrend": False, "standardize": "none"}}, ("read with nilearn.",), ("within run. The", "z-scored w")),
    ({"config": {"encode": {"run_permutations": 0}}}, ("identified",), ("Nulls refit", "(FDR)")),
    ({"config": {"encode": {"stimulus_permutations": 0}}}, ("For zero-shot",), ("its null exchanges",)),
    ({}, ("For zero-shot", "its null exchanges", "whitened by the covariance"), ()),
    ({"config": {"compare": {"distances": ["correlation"]}}}, ("correlation distances",), ("whitened", "crossnobis")),
    ({"ceiling_low": 0.3}, ("ceiling band",), ("bootstrap intervals",)),
    ({"low": 0.3}, ("bootstrap intervals",), ("ceiling band",)),
    ({"interval": 0.2}, ("95% t intervals",), ()),
    ({}, ("multinomial",), ("t intervals", "ceiling band")),
    ({"config": {"methods": {"ridge": {"encoder": "ridge", "alphas": [3.0]}}}}, ("(alpha 3)",), ("chosen among",)),
    ({"config": {"methods": {"ridge": {"encoder": "ridge", "cv": "groups"}}}}, ("leave-one-run-out",), ("folds of",)),
    ({"stages": ["prepare_blocks"]}, ("read with nilearn",), ("Feature sp", "ridge", "dissimilarities", "multinomial")),
]


@pytest.mark.parametrize(("changes", "said", "unsaid"), BLOCKS)
def test_blocks(changes: dict[str, Any], said: tuple[str, ...], unsaid: tuple[str, ...], small: Any) -> None:
    content = small.descriptor()
    content["fmri"] |= changes.get("fmri", {})
    material = Material(config(**changes.get("config", {})), "study", parse(Study, content, "test"), "1")
    row = {"ceiling_low": changes.get("ceiling_low", np.nan), "low": changes.get("low", np.nan)}
    material.comparison = pd.DataFrame([row])
    material.summary = pd.DataFrame({"layer": ["l", "all"], "low": [changes.get("interval", np.nan), 0]})
    for stage in changes.get("stages", ["prepare_blocks", "extract", "encode", "compare", "summarize"]):
        material.sidecars[stage] = {"stage": stage}
    check(joined(methods_text(material)), *said, unsaid=unsaid)
