"""In-context encoding as a method: pre-training on other subjects, what may enter it, curve and report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from brainalign.arrays import Layers, Responses
from brainalign.artifacts import artifact_path, load, load_sidecar, save
from brainalign.pipelines import (
    encode_images,
    extract,
    prepare_images,
    pretrain,
)
from brainalign.provenance import Provenance
from brainalign.settings import Config, parse
from brainalign.simulation import betas_image, labels_image

N_ROI = 60  # vertices of a region in each hemisphere
RANDOM = {"extractor": "random", "n_features": 8}
NETWORK = {
    "encoder": "in_context",
    "n_steps": [0, 60, 10],
    "context_sizes": [6, 24],
    "n_components": 8,
    "n_queries": 10,
    "sizes": [6, 12, 24],
    "n_repeats": 2,
    "device": "cpu",
    "subjects": ["01", "03", "04"],
}
METHODS = {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "few": NETWORK}
ENCODED = ("scores", "null", "profile", "preference", "clusters", "bands", "partition", "baselines", "fields", "curve")


@dataclass
class Run:
    """The stages of a study of three fMRI subjects and an EEG one, as the workflow calls them."""

    study: Any
    method: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        content = {
            "results": str(self.study.folder / "results"),
            "datasets": {"scenes": {"descriptor": str(self.study.folder / "scenes.yaml")}},
            "models": {"net": RANDOM | {"n_draws": 1}},
            "methods": METHODS | {"few": NETWORK | self.method},
            "encode_images": {"permutations": 100, "draws": 100},
        }
        self.config = parse(Config, content, "configuration")

    def path(self, suffix: str, **labels: str) -> str:
        return str(artifact_path(self.config.results, "scenes", suffix, **labels))

    def of(self, suffix: str, subject: str, method: str = "few") -> str:
        return self.path(suffix, subject=subject, model="net", method=method)

    def stage(self, stage: Any, settings: object, *arguments: str) -> int:
        return int(stage.main(["--settings", json.dumps(settings), *arguments]))

    def prepared(self, subject: str) -> list[str]:
        suffixes = ("responses", "splits", "ceiling")
        return [part for suffix in suffixes for part in (f"--{suffix}", self.path(suffix, subject=subject))]

    def extract(self) -> None:
        images = str(self.study.folder / "stimuli" / "stimuli.tsv")
        options = {"model": self.config.extractor_of("net")}
        assert self.stage(extract, options, "--stimuli", images, "--features", self.path("features", model="net")) == 0

    def prepare(self, *subjects: str) -> None:
        for subject in subjects:
            files = [
                part for s in ("responses", "splits", "ceiling") for part in (f"--{s}", self.path(s, subject=subject))
            ]
            where = ["--descriptor", str(self.study.folder / "scenes.yaml"), "--raw", "nowhere", "--subject", subject]
            images = str(self.study.folder / "stimuli" / "stimuli.tsv")
            assert self.stage(prepare_images, {}, *where, "--stimuli", images, *files) == 0

    def pretrain(self, subject: str, others: tuple[str, ...], output: str = "") -> int:
        options = {"method": self.config.pretraining_of("few"), "ceiling_threshold": 0.2}
        arguments = [
            "--held-out",
            self.path("splits", subject=subject),
            "--features",
            self.path("features", model="net"),
        ]
        for suffix in ("responses", "splits"):
            arguments += [f"--{suffix}", *(self.path(suffix, subject=other) for other in others)]
        return self.stage(pretrain, options, *arguments, "--network", output or self.of("network", subject))

    def encode(self, subject: str, method: str = "few") -> int:
        options = {"method": self.config.encoder_of(method), "confidence": 0.95}
        options["encode"] = self.config.encode_images.model_dump(mode="json")
        arguments = [
            part for s in ("responses", "splits", "ceiling") for part in (f"--{s}", self.path(s, subject=subject))
        ]
        arguments += ["--features", self.path("features", model="net")]
        arguments += ["--network", self.of("network", subject)] if method == "few" else []
        arguments += [part for suffix in ENCODED for part in (f"--{suffix}", self.of(suffix, subject, method))]
        return self.stage(encode_images, options, *arguments)


def write(study: Any, patterns: np.ndarray) -> None:
    """Write the study, and two more subjects with weights from the same prior: two directions of the features."""
    study.write()
    trials, rng = study.trials, np.random.default_rng(8)
    rows = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(trials["stimulus_id"]))
    shown = ((patterns - patterns.mean(axis=0)) / patterns.std(axis=0))[rows]
    basis = rng.normal(size=(shown.shape[1], 2))
    subjects = {"02": study.descriptor()["subjects"]["02"]}
    for subject in ("01", "03", "04"):
        for hemi in ("L", "R"):
            values = rng.normal(size=(len(trials), study.n_vertices)).astype(np.float32)
            values[:, :N_ROI] += 0.6 * shown @ basis @ rng.normal(size=(2, N_ROI))
            nibabel.save(betas_image(values, trials["trial_id"], hemi), study.folder / f"{subject}_{hemi}.func.gii")
            nibabel.save(labels_image(study.rois, hemi, ["seen", "unseen"]), study.folder / f"{hemi}_rois.label.gii")
        subjects[subject] = study.descriptor()["subjects"]["01"] | {
            "betas": {hemi: f"{subject}_{hemi}.func.gii" for hemi in ("L", "R")}
        }
    content = study.descriptor(subjects=dict(sorted(subjects.items())))
    (study.folder / "scenes.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def run(make_image_study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A study that is prepared, whose subjects 03 and 04 have trained the networks of 01."""
    study = make_image_study(tmp_path_factory.mktemp("few") / "scenes", n_images=64, n_test=14)
    study.write()
    run = Run(study)
    run.extract()
    layer = load(run.path("features", model="net"), Layers)["draw1"]
    write(study, np.asarray(layer.values, dtype=np.float64))
    run.prepare("01", "03", "04")
    assert run.pretrain("01", ("03", "04")) == 0
    assert run.encode("01") == 0
    assert run.encode("01", "ridge") == 0
    return run


def curve(run: Run) -> pd.DataFrame:
    return pd.read_parquet(run.of("curve", "01"))


def test_a_context_of_a_new_subject_is_read(run: Run) -> None:
    profile = pd.read_parquet(run.of("profile", "01")).set_index("group")
    assert profile.loc["seen", "r"] > 0.3
    assert profile.loc["seen", "p_fwer"] < 0.05
    assert abs(profile.loc["unseen", "r"]) < 0.15
    assert abs(profile.loc["seen", "null_mean"]) < 0.1
    assert profile.loc["seen", "cv_score"] > profile.loc["unseen", "cv_score"]
    ceiling = pd.read_parquet(run.path("ceiling", subject="01"))["ceiling"]
    n_targets = int((ceiling > 0.2).sum())
    assert profile.loc["reliable targets", "n_targets"] == n_targets
    scores = pd.read_parquet(run.of("scores", "01"))
    assert scores["r"].notna().sum() == n_targets
    assert (scores["n_test"] == 14).all()


def test_the_curve_and_what_it_rests_on(run: Run) -> None:
    table = curve(run)
    seen = table[table["group"] == "seen"].set_index(["method", "size"])
    methods = {"in_context", "shuffled_context", "ridge_pooled", "ridge_per_target", "empirical_bayes", "ridge_full"}
    assert set(table["method"]) == methods
    assert sorted(table.loc[table["method"] != "ridge_full", "size"].unique()) == [6, 12, 24]
    ev = seen["explained_variance"]
    assert min(ev["in_context", 12], ev["empirical_bayes", 12]) > ev["ridge_pooled", 12]
    assert abs(seen.loc[("shuffled_context", 24), "r"]) < 0.25
    assert seen["ceiling"].notna().all()
    assert not table["beyond"].any()
    about = load_sidecar(run.of("curve", "01"))["details"]
    assert set(about["subjects"]) == {"03", "04"}
    assert all(use["n_images"] == 50 for use in about["subjects"].values())
    mine = about["layers"]["draw1"]
    assert (mine["n_context"], mine["n_features"], mine["n_components"]) == (24, 8, 8)
    assert mine["variance"] == pytest.approx(1)
    groups = {row["group"]: row for row in mine["fallbacks"]}
    assert groups["seen"]["in_context"] < 1
    assert all(row["falls_back"] == (row["ridge"] < row["in_context"]) for row in groups.values())
    assert pd.read_parquet(run.of("curve", "01", "ridge")).empty


def network(path: str) -> bytes:
    return Path(path).read_bytes()


def change(run: Run, subject: str, test_only: bool) -> tuple[Responses, dict[str, object]]:
    """Replace responses of a subject, to all images or to test images alone, by noise; return what was there."""
    path = run.path("responses", subject=subject)
    before = load(path, Responses)
    splits = pd.read_parquet(run.path("splits", subject=subject))
    test = splits.loc[splits["split"] == "test", "trial_id"]
    rows = before.trials["trial_id"].isin(test).to_numpy() if test_only else np.ones(len(before.trials), dtype=bool)
    values = before.values.copy()
    values[rows] = np.random.default_rng(11).normal(size=values[rows].shape)
    about = load_sidecar(path)
    other = Responses(values, before.trials, before.targets, before.units)
    save(path, other, Provenance(about["stage"], about["settings"], "0", about["seed"]), **about["details"])
    return before, about


def restore(run: Run, subject: str, before: Responses, about: dict[str, Any]) -> None:
    provenance = Provenance(about["stage"], about["settings"], "0", about["seed"])
    save(run.path("responses", subject=subject), before, provenance, **about["details"])


@pytest.mark.parametrize(
    ("subject", "test_only", "alike"),
    [("01", False, True), ("03", True, True), ("03", False, False)],
    ids=["the subject held out", "test images of another", "training images of another"],
)
def test_nothing_leaks_into_the_networks(run: Run, tmp_path: Path, subject: str, test_only: bool, alike: bool) -> None:
    """Whatever the held-out subject or any test image does, the artifact is the same to the byte."""
    before, about = change(run, subject, test_only)
    try:
        output = str(tmp_path / Path(run.of("network", "01")).name)
        assert run.pretrain("01", ("03", "04"), output) == 0
    finally:
        restore(run, subject, before, about)
    assert (network(output) == network(run.of("network", "01"))) is alike


def test_features_of_test_images_do_not_enter(run: Run, tmp_path: Path) -> None:
    path = run.path("features", model="net")
    before, about = load(path, Layers), load_sidecar(path)
    layer = before["draw1"]
    values = layer.values.copy()
    values[layer.stimuli["stimulus_id"].isin(run.study.scenes["stimulus_id"][:14]).to_numpy()] = 77
    provenance = Provenance(about["stage"], about["settings"], "0", about["seed"])
    output = str(tmp_path / Path(run.of("network", "01")).name)
    try:
        save(path, Layers({"draw1": type(layer)(values, layer.stimuli, "draw1")}), provenance)
        assert run.pretrain("01", ("03", "04"), output) == 0
    finally:
        save(path, before, provenance)
    assert network(output) == network(run.of("network", "01"))


def test_an_image_in_anyones_test_set_trains_nobody(run: Run, tmp_path: Path, capsys) -> None:
    """The held-out subject may be tested on images that another one was to train on."""
    path = run.path("splits", subject="01")
    before, about = pd.read_parquet(path), load_sidecar(path)
    ids = before.loc[before["split"] == "train", "stimulus_id"].unique()
    provenance = Provenance(about["stage"], about["settings"], "0", about["seed"])
    output = str(tmp_path / Path(run.of("network", "01")).name)
    try:
        for n_left in (48, 0):
            more = before["stimulus_id"].isin(ids[n_left:])
            save(path, before.assign(split=before["split"].where(~more, "test")), provenance, **about["details"])
            status = run.pretrain("01", ("03", "04"), output)
            assert status == (0 if n_left else 2)
            if n_left:
                used = load_sidecar(output)["details"]["subjects"]
                assert [use["n_images"] for use in used.values()] == [n_left, n_left]
    finally:
        save(path, before, provenance, **about["details"])
    assert "every training image of this subject is a test image of another one" in capsys.readouterr().err


def test_a_killed_pretraining_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that was finished is not trained again, and the artifact is that of an undisturbed run."""
    two = Run(run.study, {"seeds": [0, 1], "n_steps": [0, 8, 2]})
    output, whole = (str(tmp_path / name / Path(run.of("network", "01")).name) for name in ("killed", "whole"))
    assert two.pretrain("01", ("03", "04"), whole) == 0
    say, said = pretrain._say, []

    def killed(*arguments: Any) -> None:
        said.append(arguments[2:4])
        if len(said) == 15:
            raise KeyboardInterrupt
        say(*arguments)

    monkeypatch.setattr(pretrain, "_say", killed)
    with pytest.raises(KeyboardInterrupt):
        two.pretrain("01", ("03", "04"), output)
    assert two.pretrain("01", ("03", "04"), output) == 0
    assert said[15:] == [(1, step) for step in range(1, 11)]
    assert network(output) == network(whole)
    assert not list(tmp_path.rglob("*.partial"))
