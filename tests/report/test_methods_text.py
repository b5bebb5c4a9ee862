"""Every sentence of the methods text follows from a setting that was used: each branch with and without it, on record.

Beside each change to a plain study stands what must be said of it, where that is not plain from the change.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pages
import pandas as pd
import pytest
from made import responses_of
from pages import BETAS, image_study, study

from brainalign.datasets.splits import make_splits
from brainalign.report import kit
from brainalign.report.geometry_sections import decoding_over_time as recordings_page
from brainalign.report.kit import cleaning_words, methods_text
from brainalign.report.pages import TextMaterial
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
TRAINED = {"validated": True, "has_val": False}
FEW = {"validated": False, "has_val": False}
LINEAR: dict[str, Any] = {"ridge": {"decoder": "linear"}}
OF_A_LAB = {"methods": {"ridge": type("Own", (), {"encoder": "rbf"})}}  # options of a class that the page does not know
Case = tuple[dict[str, Any], str]  # changes, and what must be said
config = partial(pages.config, models={"minilm": {"extractor": "sentence", "weights": "x"}})


def fitted(**method: Any) -> dict[str, Any]:
    return {"config": {"methods": {"ridge": method}}}


def shown(stimuli: str, runs: str, leave_out: str = "run", folds: int | None = None, roi: Any = None) -> dict[str, Any]:
    splits = {"s": {"leave_out": leave_out, "folds": folds}}
    return fitted(encoder="ridge", cv=2) | {"shown": (list(stimuli), list(runs), roi), "splits": splits}


CASES: dict[str, list[Case]] = {
    "recordings": [
        ({"files": EPOCHS}, "as they were filtered"),
        ({"files": BIDS, "epochs": {"band_hz": [1, 30]}}, "from 1 to 30 Hz"), ({"files": MUSE}, "not filtered"),
        ({"files": BIDS, "epochs": {"reject_uv": 100}}, "µV"),
        ({"files": EPOCHS, "epochs": {"baseline_s": [-0.1, 0]}}, "from -100 to 0 ms was subtracted"),
        ({"files": EPOCHS, "epochs": {"decimate": 4}}, "one of 4 samples"),
        ({"files": EPOCHS, "epochs": {"tmin_s": -0.2, "tmax_s": 0.4}}, "cut from -200 ms to 400 ms"),
        ({"files": EPOCHS, "decode": {"permutations": 77}}, "(77 times"), ({"files": EPOCHS, "decoded": False}, ""),
    ],
    "images": [
        ({}, "penalty chosen per target inside the training"), ({"betas": {"standardize": "none"}}, "as they are"),
        ({"vertex": False}, "z-scored"), ({"ceiling": np.nan}, "over all targets"), ({"control_r": np.nan}, ""),
        ({"encodings": False}, ""), ({"comparison": False}, "Pearson correlations"),
        ({"config": {"compare": {"comparisons": ["cosine"]}}}, "by cosine"),
        ({"config": {"compare": {"comparisons": ["geotopological"]}}}, "(0.2 to"),
        (fitted(encoder="ridge", alphas=[2.0]), "fixed at 2"),
        (fitted(encoder="ridge", per_target_alpha=False), "all targets toget"), (fitted(encoder="banded"), "Dirichlet"),
        (fitted(encoder="factorized"), "Simpler encoders"),
        (fitted(encoder="factorized", baselines=[], seeds=[0, 1], ensemble=True), "softmax(40"),
        (fitted(encoder="response_optimised"), "trained on images by"), (fitted(encoder="dictionary"), "atoms that"),
        (fitted(encoder="dictionary", coding="matching_pursuit"), "left over"),
        (fitted(encoder="in_context"), "900 steps on synthetic"), (OF_A_LAB, "ridge: each layer was regressed on the"),
        ({"subject": "02", "epochs": {"whiten": False}}, "Epochs were read"),
        ({"subject": "02"}, "deviations from the mean over repeats"),
        ({"subject": "02", "noise": "baseline"}, "samples before the stimulus"),
    ],
    "sentences": [
        ({}, "split by text"), ({"split": {"table": "t.tsv"}}, "as a table of the lab says"),
        ({"split": {"similarity": 0.9}}, "above 0.9)"),
        ({"decoders": {"ridge": {"decoder": "linear", "penalties": [1]}}}, ""),
        ({"decoders": LINEAR | {"n": {"decoder": "network"}}}, "Penalties and epochs were"),
        ({"decoders": LINEAR | {"n": {"decoder": "network", "selection": "last"}}}, "Penalties were chosen"),
        ({"blocks": 3}, "Whole blocks of the session were left out in turn (ridge)"),
        ({"others": ["EOG only"]}, "channels of the eyes alone"), ({"others": ["pre-stimulus"]}, "before the sentence"),
    ],
    "modalities": [
        ({}, "images shuffled within"), ({"options": {"whiten": True}}, "whitened by the noise of repeated"),
        ({"options": {"regression": 0}}, ""), ({"options": {"phases": "two"}}, "one by one, frozen"),
        ({"options": {"beside": ["noise"]}}, "noise with the mean"), ({"options": {"beside": []}}, ""),
        ({"low": True}, "luminance"), ({"fitted": {"validated": True, "has_val": True}}, "split val validated"),
        ({"fitted": TRAINED}, "A tenth"), ({"fitted": TRAINED, "options": {"schedule": "one_cycle"}}, "over a cycle"),
        ({"fitted": FEW}, "Too few images"), ({"fitted": FEW, "options": {"blend": 0.25}}, "as configured"),
    ],
    "series": [
        ({}, "not the signal"), ({"options": {"model": {"attention": "adaptive"}}}, "the signal decides"),
        ({"options": {"lags": [0]}}, "Instantaneous"), ({"options": {"nulls": ["regions shifted"]}}, "circularly"),
        ({"options": {"nulls": []}}, ""), ({"people": 2}, "Mean tokens"),
    ],
    "concepts": [
        ({}, "Variational:"), ({"options": {"methods": ["sparse"]}}, "Sparse:"),
        ({"options": {"methods": ["variational"]}}, "Variational:"),
        ({"options": {"alphas": [0.5]}}, "a penalty of 0.5"), ({"ceilings": {"low": 0.6}}, "Its ceiling"),
    ],
    "dynamics": [
        ({"drawn": True, "fit_on": "epoch"}, "Geometry"), ({"drawn": False, "fit_on": "epoch"}, "of each epoch"),
        ({"drawn": True, "fit_on": "visible"}, "of shown frames alone"),
    ],
    "blocks": [
        ({}, "detrended and z-scored"), ({"fmri": {"detrend": False}}, "z-scored within run"),
        ({"fmri": {"detrend": False, "standardize": "none"}}, "read with nilearn."),
        ({"config": {"encode": {"permutations": 0}}}, "identified"),
        ({"config": {"encode": {"permutations": 0}}}, "For zero-shot"),
        ({"distance": "correlation"}, "correlation distances"), ({"stages": ["prepare"]}, "read with nilearn"),
        ({"ceiling_low": 0.3}, "ceiling bounds"), ({"low": 0.3}, "the jackknife over"), ({"interval": 0.2}, "95% t"),
        (fitted(encoder="ridge", alphas=[3.0]), "ridge regression with a free intercept: ridge (alpha 3)"),
        (fitted(encoder="estimator", estimator="a.py:Net"), "predicted by regression: ridge (a.py:Net)"),
        (fitted(encoder="ridge", cv="groups"), "one-run-out"), (OF_A_LAB, "predicted by regression: ridge (rbf)."),
        ({"config": {"models": {"own": {"extractor": "table", "file": "v.npy"}}}}, "Features of own were centred"),
        (shown("aabbccdd", "1" * 8, "stimulus", 2), "block (for categories left out: the averages scored), in units"),
        (shown("aabbccdd", "1" * 8, "stimulus", 2), "2 folds of whole stimuli inside the training stimuli). Scores"),
        (shown("aabb" * 3, "111122223333"), "over single blocks. Nulls"),
        (shown("aabbccdd", "12" * 4, "stimulus", 2), "; fits, r and R² are of averages of each one's blocks; its null"),
        (shown("abcabc", "112233"), "over all repeats"), (shown("ababab", "112233"), "over all runs"),
        (shown("ababab", "112233", roi=["V1"]), "all regions, layers and models in each permutation. "),
        (shown("aabbccdd", "11223344"), "held-out runs are averaged first, as for fits, r and R²."),
    ],
}  # fmt: skip


def recordings(changes: dict[str, Any], _: Any) -> Any:
    of = study(recordings={"1": changes["files"]}, markers={"1": "a", "2": "b"}, epochs=changes.get("epochs", {}))
    windows = pd.DataFrame({"scheme": ["recordings left out", "within recordings"], "logistic": 0.6})
    material = kit.SubjectMaterial(config(decode_times=changes.get("decode", {})), "study", of, "1")
    return recordings_page.decoding_methods(material, windows if changes.get("decoded", True) else pd.DataFrame())


def images(changes: dict[str, Any], _: Any) -> Any:
    subjects = {"01": BETAS, "02": {"format": "epochs", "epochs": "e.fif", "picks": "eeg"}}
    read = {key: changes[key] for key in ("betas", "epochs") if key in changes}
    settings = config(**{"models": {"minilm": {"extractor": "efficientnet"}}} | changes.get("config", {}))
    scores = pd.DataFrame({"ceiling": [changes.get("ceiling", 0.5)], "reliable": True, "repeats_q": 0.01})
    profile = pd.DataFrame({"control_r": [changes.get("control_r", 0.01)]})
    settings.methods.update(changes.get("methods", {}))
    empty, of = pd.DataFrame(), image_study(recordings=subjects, **read)
    material = kit.ImageMaterial(settings, "study", of, changes.get("subject", "01"), ceiling=scores)
    if changes.get("encodings", True):
        material.encodings["minilm", "ridge"] = kit.ImageEncoding(scores, profile, empty, empty)
    if changes.get("comparison", True):
        material.comparison = pd.DataFrame({"score": [0.1]})
    material.sidecars["sub-02_responses.safetensors"] = {"details": {"noise": changes.get("noise", "residuals")}}
    targets = {"vertex": 1} if changes.get("vertex", True) else dict.fromkeys("ijk", 0)
    targets |= dict.fromkeys(("x_mm", "y_mm", "z_mm"), 0.0)
    material.responses = responses_of(np.zeros((1, 1), np.float32), ["s"], targets=targets)
    return image_page._methods(material)


def sentences(changes: dict[str, Any], _: Any) -> Any:
    of = study(simulate={"world": "eeg_text"}, sentences={"split": changes.get("split", {})})
    settings = config(decode={"decoders": changes.get("decoders", {"ridge": {"decoder": "linear"}}), "n_components": 7})
    details = {"explained": 0.5, "others": changes.get("others", []), "decoder": {"decoder": "linear"}, "chosen": {}}
    material = TextMaterial(settings, "study", of, said={"ridge": details})
    material.decoders["ridge"] = {"leftblocks": pd.DataFrame({"block": range(changes.get("blocks", 0))})}
    return text_page._methods(material)


def modalities(changes: dict[str, Any], _: Any) -> Any:
    of = study(simulate={"world": "modalities"})
    table = pd.DataFrame({"decoder": ["joint", *["low level"] * changes.get("low", False)]})
    settings = config(decode_modalities=changes.get("options", {}))
    material = kit.StudyMaterial(settings, "study", of, tables={"spaceretrieval": table})
    if "fitted" in changes:
        noted = {"steps": {"joint": 1200}, "blend": {"eeg": 0.25}, "penalty": {"eeg": 0.01}} | changes["fitted"]
        material.sidecars["spaceretrieval.parquet"] = {"details": noted}
    return modalities_page._methods(material)


def series(changes: dict[str, Any], _: Any) -> Any:
    of = study(simulate={"world": "roi_series"})
    tables = {"personscores": pd.DataFrame({"label": range(changes.get("people", 0))})}
    settings = config(decode_series=changes.get("options", {}))
    return series_page._methods(kit.StudyMaterial(settings, "study", of, tables=tables))


def concepts(changes: dict[str, Any], _: Any) -> Any:
    of = study(stimuli="o.txt", recordings={"us": {"format": "triplets", "triplets": ["t.txt"]}})
    noted = {"choices.parquet": {"details": {"ceilings": changes.get("ceilings")}}}
    material = kit.StudyMaterial(config(concepts=changes.get("options", {})), "study", of, sidecars=noted)
    return concepts_page._methods(material)


def blocks(changes: dict[str, Any], small: Any) -> Any:
    content = small.descriptor()
    content["fmri"] |= changes.get("fmri", {})
    content["splits"] = changes.get("splits", content["splits"])
    of = parse(Study, content, "test")
    material = kit.Material(config(**changes.get("config", {})), "study", of, "1")
    material.config.methods.update(changes.get("methods", {}))
    if "shown" in changes:
        stimuli, runs, roi = changes["shown"]
        material.responses = responses_of(np.zeros((len(stimuli), 1), np.float32), stimuli, run=runs, roi=roi)
        material.region_fits = roi
        material.splits = make_splits(material.responses.trials, of.splits["s"], 0).assign(name="s")
    row = {"distance": changes.get("distance", "crossnobis")}
    row |= {name: changes.get(name, np.nan) for name in ("ceiling_low", "low")}
    material.comparison = pd.DataFrame([row])
    material.summary = pd.DataFrame({"layer": ["l", "all"], "low": [changes.get("interval", np.nan), 0]})
    for stage in changes.get("stages", ["prepare", "extract", "encode", "compare", "summarize"]):
        material.sidecars[stage] = {"stage": stage}
    return methods_text(material)


def dynamics(changes: dict[str, Any], _: Any) -> Any:
    of = study(stimuli="v", recordings={"1": {"format": "neural", "neural": "n"}})
    tables = {"dynamicsmovies": pd.DataFrame({"r": [0.1] * changes["drawn"]})}
    settings = config(dynamics={"fit_on": changes["fit_on"], "folds": 4})
    return dynamics_page._methods(kit.StudyMaterial(settings, "study", of, "1", tables))


MADE = {
    "recordings": recordings, "images": images, "sentences": sentences, "modalities": modalities, "series": series,
    "concepts": concepts, "dynamics": dynamics, "blocks": blocks,
}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_methods_follow_from_settings(kind: str, small: Any, kept: Callable[..., None]) -> None:
    for changes, said in CASES[kind]:
        texts = list(MADE[kind](changes, small))
        assert said in " ".join(text for text, _ in texts), changes
        kept(texts)


@pytest.mark.parametrize(("options", "resample_hz", "words"), [
    ({}, None, ["not filtered"]),
    ({"band_hz": (1, 30), "reference": ("Cz",)}, None, ["filtered from 1 to 30 Hz", "referenced to Cz"]),
    ({"band_hz": (1, 30), "notch_hz": 50, "artifacts": "ssp", "reference": "average", "maxwell": "sss"}, 100,
     ["freed of what came from outside of the head (signal space separation)", "freed of 50 Hz and multiples",
      "filtered from 1 to 30 Hz", "freed of a projection that follows the eyes", "referenced to the average",
      "resampled to 100 Hz"]),
])  # fmt: skip
def test_what_was_done_to_raw_recordings(options: Any, resample_hz: float | None, words: list[str]) -> None:
    assert cleaning_words(RawOptions.model_construct(**options), resample_hz) == words
