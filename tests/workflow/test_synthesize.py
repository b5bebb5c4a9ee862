"""Stages guide, synthesize and directions: encoders never share an image, images come back by their seeds."""

import shutil
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from jobs import run_step
from made import responses_of, splits_of, write_table
from PIL import Image
from pydantic import ValidationError
from refusals import refused
from synthesis.conftest import PLAIN, stable_diffusion  # noqa: F401 (a fixture here, too)
from synthesis.conftest import SIZES as UNET_SIZES
from worlds.scenes import selective_voxels

from brainalign.arrays import Arrays, Features, Layers
from brainalign.config import Config, DirectionSettings, SynthesizeSettings
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report.kit import FoundDirections
from brainalign.report.synthesis_sections import directions_section
from brainalign.simulation import clear_scenes, measure_things, render, true_responses
from brainalign.study import parse
from brainalign.synthesis import BrainGuidedPipeline
from brainalign.workflow import STEPS, Run, jobs

BY = Provenance("test", {}, "")
REGIONS, N_IMAGES, N_TEST, N_VOXELS = ["red", "large"], 120, 30, 6
MODELS = {
    "guide": {"extractor": "pixels", "image_size": 8},
    "check": {"extractor": "efficientnet", "weights": "random", "image_size": 32, "layers": ["block2"], "crop": False},
}
OPTIONS: dict[str, Any] = {"guide": {"model": "pixels", "layer": "pixels"}}
OPTIONS |= {"check": {"model": "net", "layer": "block2"}}
OPTIONS |= {"min_targets": 3, "views": 1, "alphas": [1.0, 100.0], "n_images": 3, "steps": 2, "recurrence": 2}
OPTIONS |= {"n_nulls": 9, "n_null_images": 2, "device": "cpu"}
SYNTHESIS = ("synthesized", "synthesis", "synthesisgains", "synthesissteps", "image")


def pixel_prior(folder: Path) -> Path:
    torch.manual_seed(0)
    unet = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, add_attention=False, **UNET_SIZES, **PLAIN)
    BrainGuidedPipeline(unet, DDIMScheduler()).save_pretrained(folder)
    return folder


@dataclass
class Study:
    """Scenes, voxels that like red or large things, a prior, and both stages as the workflow calls them."""

    folder: Path
    prior: Path
    options: dict[str, Any] = field(default_factory=lambda: dict(OPTIONS))

    def path(self, suffix: str, **labels: str) -> Path:
        subject = {} if suffix == "features" else {"subject": "01"}
        return artifact_path(self.folder / "results", "scenes", suffix, **subject, **labels)

    @property
    def table(self) -> Path:
        return self.folder / "stimuli" / "stimuli.tsv"

    def write(self) -> None:
        (self.folder / "stimuli").mkdir()
        images, ids = render(clear_scenes(N_IMAGES, 3), 32), [f"scene{k}" for k in range(N_IMAGES)]
        for name, image in zip(ids, images, strict=True):
            Image.fromarray(image).save(self.folder / "stimuli" / f"{name}.png")
        write_table(self.table, stimulus_id=ids, path=[f"{name}.png" for name in ids])
        voxels = [selective_voxels(images, REGIONS, N_VOXELS, 0.5, seed)[0] for seed in (0, 0)]
        voxels[1] = voxels[1] + 0.3 * np.random.default_rng(1).normal(size=voxels[1].shape)
        order = np.random.default_rng(2).permutation(2 * N_IMAGES)
        regions = [*np.repeat(REGIONS, N_VOXELS), "small", "small"]
        values = np.concatenate([*voxels])[order].astype(np.float32)
        responses = responses_of(np.concatenate([values, values[:, :2]], axis=1), np.tile(ids, 2)[order], roi=regions)
        save(self.path("responses"), responses, BY)
        ceiling = np.where(np.arange(len(regions)) % N_VOXELS == 0, 0.1, 0.6)  # the first voxel of each is unreliable
        save(self.path("ceiling"), responses.targets[["target_id"]].assign(ceiling=ceiling, repeats_q=np.nan), BY)
        save(self.path("splits"), splits_of(responses, ids[:N_TEST]), BY)
        for name, role in (("pixels", "guide"), ("net", "check")):
            settings, features = {"model": MODELS[role]}, self.path("features", model=name)
            assert run_step("extract", settings, inputs={"stimuli": self.table}, outputs={"features": features}) == 0

    def guide(self, **changes: object) -> int:
        prior = str(changes.pop("prior", self.prior))
        settings = {"synthesize": self.options | {"prior": prior} | changes, "models": MODELS, "ceiling_threshold": 0.2}
        inputs: dict[str, Any] = {name: self.path(name) for name in ("responses", "splits", "ceiling")}
        inputs |= {"stimuli": self.table, "features": [self.path("features", model=name) for name in ("pixels", "net")]}
        return run_step("guide", settings, inputs=inputs, outputs={"guides": self.path("guides")})

    def synthesize(self, *captions: Path, simulated: bool = False, **changes: object) -> int:
        prior = str(changes.pop("prior", self.prior))
        settings = {"synthesize": self.options | {"prior": prior} | changes, "models": MODELS, "confidence": 0.95}
        inputs = {"guides": self.path("guides"), "features": self.path("features", model="pixels")}
        inputs |= {"stimuli": self.table, "captions": captions}
        outputs = {name: self.path(name) for name in SYNTHESIS}
        return run_step("synthesize", settings | {"simulated": simulated}, inputs=inputs, outputs=outputs)

    def arrays(self, suffix: str) -> Arrays:
        return load(self.path(suffix), Arrays)

    def frame(self, suffix: str) -> pd.DataFrame:
        return load(self.path(suffix), pd.DataFrame)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("synthesize")
    made = Study(folder, pixel_prior(folder / "prior"))
    made.write()
    assert (made.guide(), made.synthesize(simulated=True, scales=[3.0])) == (0, 0)
    return made


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Study:
    shutil.copytree(study.folder, tmp_path / "copy")
    return Study(tmp_path / "copy", study.prior)


def test_encoders_share_no_image_and_predict_those_held_out(study: Study) -> None:
    arrays, about = study.arrays("guides"), load_sidecar(study.path("guides"))["details"]
    used = [arrays[f"{role}_images"] for role in ("guide", "check", "test")]
    assert sum(map(len, used)) == len(np.unique(np.concatenate(used))) == N_IMAGES
    assert set(pd.read_csv(study.table, sep="\t")["stimulus_id"].iloc[used[2]]) == {f"scene{k}" for k in range(N_TEST)}
    assert arrays["rows"].tolist() == [k for k in range(2 * N_VOXELS) if k % N_VOXELS]  # reliable ones
    for size in ("prior", "full"):
        assert about["r"]["guide"][size]["red"] > 0.5  # of size, a line through pixels says little
    assert max(map(abs, about["r"]["null"]["prior"].values())) < 0.25  # of 9 encoders on 30 images: se .06
    table = study.frame("synthesis")
    assert {"unguided", "recurrent", "guided", "matched", "best of n", "evolved"} <= set(table["condition"])
    assert {"natural", "natural true", "null", "sweep"} <= set(table["condition"])
    by = table[table["scored"] == "red"].groupby(["condition", "region"])["seed"].apply(list)
    assert by["guided", "red"] == by["guided", "large"] == by["unguided", ""]
    gains = study.frame("synthesisgains")
    up = gains[(gains["condition"] == "guided") & (gains["score"] == "guide") & (gains["against"] == "unguided")]
    assert (up["gain"] > 0).all()  # a linear guide is climbed, whatever the prior
    steps = study.frame("synthesissteps")
    assert (set(steps["region"]), steps["step"].nunique()) == (set(REGIONS), OPTIONS["steps"])
    with zipfile.ZipFile(study.path("image")) as file:
        listed = pd.read_csv(BytesIO(file.read("stimuli.tsv")), sep="\t")
        row = listed[(listed["condition"] == "guided") & (listed["region"] == "large")].iloc[0]
        picture = np.asarray(Image.open(BytesIO(file.read(row["path"]))))
    mine = table[(table["condition"] == "guided") & (table["region"] == "large") & (table["seed"] == row["seed"])]
    np.testing.assert_array_equal(picture, study.arrays("synthesized")["images"][mine["image"].iloc[0]])


def test_the_same_again_and_more_images_of_the_same_seeds(study: Study, copied: Study) -> None:
    before = study.frame("synthesis")
    assert copied.guide() == 0
    for name, values in study.arrays("guides").items():
        np.testing.assert_array_equal(copied.arrays("guides")[name], values, err_msg=name)
    assert copied.synthesize(n_images=4, n_nulls=1, batch_size=2) == 0
    after = copied.frame("synthesis")
    assert after["true"].isna().all()  # nobody knows, unless the study is simulated
    for region in REGIONS:
        guided = [table.query(f"condition == 'guided' and region == '{region}'") for table in (before, after)]
        pairs = zip((study, copied), guided, strict=True)
        old, new = (of.arrays("synthesized")["images"][table["image"].unique()] for of, table in pairs)
        # Another batch sums in another order: a step of 1/255 may fall to the other side.
        assert np.abs(new[:3].astype(int) - old.astype(int)).max() <= 1


def test_one_region_against_another(copied: Study) -> None:
    assert copied.guide(regions=["red-large", "red"]) == 0
    about = load_sidecar(copied.path("guides"))["details"]
    assert about["asked"] == {"red-large": ["red", "large"], "red": ["red", None]}
    assert copied.synthesize(simulated=True, n_nulls=1) == 0
    table = copied.frame("synthesis")
    assert set(table["scored"]) == {"red-large", "red"}
    assert table.loc[table["scored"] == "red-large", "true"].isna().all()
    assert table.loc[table["scored"] == "red", "true"].notna().all()


def test_a_model_in_the_layout_of_stable_diffusion_runs(copied: Study, stable_diffusion: Path) -> None:  # noqa: F811
    assert copied.guide(prior=stable_diffusion, n_nulls=1) == 0
    few = {"n_images": 2, "n_nulls": 1, "steps": 2, "recurrence": 1, "save_memory": True}
    assert copied.synthesize(prior=stable_diffusion, **few) == 0
    # Words for regions, given or taken from captions that predict, are asked for beside.
    captions = pd.DataFrame({"region": ["red", "red", "red", "large", "elsewhere"], "caption": list("aabbb")})
    captions["q"] = [0.01, 0.02, 0.01, 0.4, 0.01]
    save(copied.path("captions"), captions, Provenance("caption", {}, "digest"))
    assert copied.synthesize(copied.path("captions"), prior=stable_diffusion, prompts="captions", **few) == 0
    table = copied.frame("synthesis").drop_duplicates("image")
    prompted = table[table["condition"] == "prompted"]
    assert prompted["region"].tolist() == ["red", "red"]
    assert prompted["seed"].tolist() == table.loc[table["condition"] == "unguided", "seed"].tolist()


def test_bad_words_priors_and_regions_fail_before_anything_is_fitted(copied: Study, tmp_path: Path, fails) -> None:
    for prompts, words in (({"red": "a"}, "reads no prompt"), ({"blue": "a"}, "'blue'"), ("captions", "caption.model")):
        fails(words, copied.synthesize, prompts=prompts)
    copied.path("guides").unlink()
    grey = pixel_prior(tmp_path / "grey")
    unet = UNet2DModel(sample_size=16, in_channels=1, out_channels=1, add_attention=False, **UNET_SIZES, **PLAIN)
    unet.save_pretrained(grey / "unet")
    for changes, words in (
        ({"prior": grey}, "square colour images"),
        ({"regions": ["redd"]}, "did you mean 'red'"),
        ({"regions": ["small"]}, "small has 1 reliable targets"),
    ):
        fails(words, copied.guide, **changes)
    assert not copied.path("guides").exists()


def test_features_of_other_weights_are_noticed(copied: Study, fails) -> None:
    for name in pd.read_csv(copied.table, sep="\t")["path"]:
        image = np.asarray(Image.open(copied.folder / "stimuli" / name))
        Image.fromarray(255 - image).save(copied.folder / "stimuli" / name)
    fails("layer 'pixels' of pixels gives other features than were extracted", copied.guide)


def config(tmp_path: Path, **changes: object) -> Config:
    models = {"pixels": {"extractor": "pixels"}, "net": {"extractor": "efficientnet", "layers": ["block2"]}}
    models |= {"words": {"extractor": "onehot"}, "short": {"extractor": "pixels", "dtype": "float16"}}
    synthesize = {"guide": OPTIONS["guide"], "check": OPTIONS["check"], "prior": "data/prior"} | changes
    content = {"results": str(tmp_path / "results"), "models": models, "synthesize": synthesize}
    content |= {"datasets": {"scenes": {"descriptor": str(tmp_path / "scenes.yaml")}}}
    return parse(Config, content | {"methods": {"ridge": {"encoder": "ridge", "models": ["pixels"]}}}, "configuration")


def test_options_are_checked_before_any_rule(tmp_path: Path) -> None:
    for changes, words in (
        ({"guide": {"model": "words", "layer": "onehot"}}, "words does not look at images"),
        ({"guide": {"model": "pixel", "layer": "pixels"}}, "did you mean 'pixels'"),
        ({"guide": {"model": "short", "layer": "pixels"}}, "features of short are stored as float16"),
        ({"check": {"model": "net", "layer": "block3"}}, "'block3' is not among the layers of net"),
        ({"check": {"model": "pixels", "layer": "pixels"}}, "guide and check both read pixels"),
        ({"check": None}, "check is missing"),
        ({"regions": ["red", "red"]}, "red is there twice"),
    ):
        refused(words, config, tmp_path, **changes)


def test_what_is_planned_and_what_a_change_reruns(make_image_study, tmp_path: Path, root: Path, monkeypatch) -> None:
    scenes = make_image_study(tmp_path / "scenes", n_images=50)  # forty train: halves of twenty
    scenes.write()
    monkeypatch.chdir(root)
    shutil.copytree(scenes.folder, tmp_path, dirs_exist_ok=True)

    def planned(**changes: object) -> list[tuple[str, str]]:
        made = [job for job in jobs(config(tmp_path, **changes)) if job.rule in ("guide", "synthesize")]
        return [(job.rule, dict(job.labels)["subject"]) for job in made]

    assert planned() == [("guide", "01"), ("synthesize", "01")]  # the subject of EEG has no regions
    assert planned(prior=None) == []
    refused("no folder data/priors", planned, prior="data/priors")
    refused("model_index", planned, prior="data")
    refused("'02' is not among the fMRI subjects", planned, subjects=["02"])
    refused("voxels of subject 01 are not put into words", planned, prompts="captions")
    usual = SynthesizeSettings(prior="data/prior", guide=OPTIONS["guide"], check=OPTIONS["check"])
    other, kept = {"scheduler": "DDIMScheduler"}, {"scale": 5.0, "n_images": 4}  # without `other` a prior may not load
    for changes, refits in ((kept, False), ({"views": 3}, True), ({"batch_size": 4}, True), (other, True)):
        assert (usual.model_copy(update=changes).of_the_guide() != usual.of_the_guide()) == refits
    of = {"dataset": "scenes", "subject": "01"}
    for step in ("guide", "directions"):
        given = STEPS[step].settings(Run(config(tmp_path, dtype="float16", **other)), of)["synthesize"]
        assert (given["scheduler"], given["dtype"]) == ("DDIMScheduler", "float16")


ASKED = {"red": [0, 1], "leftside": [2, 3]}
JUDGES = {"guide": {"model": "fine", "layer": "pixels"}, "check": {"model": "coarse", "layer": "pixels"}}
SIZES = {"guide": 16, "check": 8}
DIRECTED = {"methods": ["supervised", "pca"], "n_seeds": 32, "n_directions": 1, "alphas": [-3, 0, 3], "n_images": 6}
DIRECTED |= {"n_controls": 2, "n_control_images": 2}


class Encoders:
    """Forty scenes on disk, and linear encoders of two regions from pixels, one of fewer pixels to judge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scenes = clear_scenes(300, 1)
        images = render(scenes, 32)
        (folder / "stimuli").mkdir()
        for name, image in zip(scenes["stimulus_id"][:40], images[:40], strict=True):
            Image.fromarray(image).save(folder / "stimuli" / f"{name}.png")
        ids = scenes["stimulus_id"][:40]
        stimuli = pd.DataFrame({"stimulus_id": ids, "path": ids + ".png"})
        stimuli.to_csv(folder / "stimuli" / "stimuli.tsv", sep="\t", index=False)
        layer = Features(np.zeros((40, 2), dtype=np.float32), stimuli, "pixels")
        save(self.path("features", model="fine"), Layers({"pixels": layer}), BY)
        truth = true_responses(measure_things(images))[list(ASKED)].to_numpy()
        truth, half = np.repeat((truth - truth.mean(axis=0)) / truth.std(axis=0), 2, axis=1), np.arange(40)
        arrays = {"rows": np.arange(4), "guide_images": half[:20], "check_images": half[20:]}
        for role, size in SIZES.items():
            step = 32 // size
            pixels = images.reshape(300, size, step, size, step, 3).mean(axis=(2, 4)).reshape(300, -1) / 255.0
            centred = pixels - pixels.mean(axis=0)
            coef = centred.T @ np.linalg.solve(centred @ centred.T + 3 * np.eye(300), truth)
            said = np.stack([(centred @ coef)[:, rows].mean(axis=1) for rows in ASKED.values()], axis=1)
            arrays |= {f"{role}_coef": coef, f"{role}_intercept": -pixels.mean(axis=0) @ coef}
            arrays |= {f"{role}_mean": said.mean(axis=0), f"{role}_sd": said.std(axis=0)}
        about = {"regions": ASKED, "asked": {name: [name, None] for name in ASKED}, "image_size": 32}
        save(self.path("guides", subject="01"), Arrays(arrays), BY, **about, **JUDGES)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "scenes", suffix, **labels)

    def run(self, **options: object) -> int:
        synthesize = JUDGES | {"prior": str(Path(__file__).parents[2] / "data" / "prior"), "steps": 10, "device": "cpu"}
        settings = {"directions": DIRECTED | options, "synthesize": synthesize, "simulated": True}
        settings |= {"models": {role: {"extractor": "pixels", "image_size": size} for role, size in SIZES.items()}}
        inputs = {"guides": self.path("guides", subject="01"), "stimuli": self.folder / "stimuli" / "stimuli.tsv"}
        inputs |= {"features": self.path("features", model="fine")}
        outputs = {name: self.path(name, subject="01") for name in ("directions", "directionscores", "directionimages")}
        return run_step("directions", settings, inputs=inputs, outputs=outputs)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    made = Encoders(tmp_path_factory.mktemp("directions"))
    assert made.run() == 0
    return made


def test_vectors_scores_and_images_are_left(encoders: Encoders) -> None:
    details = load_sidecar(encoders.path("directions", subject="01"))["details"]
    assert load(encoders.path("directions", subject="01"), Arrays)["vectors"].shape == (5, 10, 64, 8, 8)
    ways = [("supervised", region, orthogonal) for region in ("red", "leftside") for orthogonal in (False, True)]
    assert [(row["method"], row["region"], row["orthogonal"]) for row in details["rows"]] == [*ways, ("pca", "", False)]
    table = pd.read_parquet(encoders.path("directionscores", subject="01"))
    assert table[["guide", "check", "true", "typical", "valid"]].notna().all().all()
    images = load(encoders.path("directionimages", subject="01"), Arrays)["images"]
    assert images.shape == (6 + 5 * 2 * 6, 32, 32, 3)
    row = table[(table["control"] == "") & (table["scored"] == "leftside")].iloc[17]
    true = true_responses(measure_things(images[[row["image"]]]))["leftside"]
    files = sorted((encoders.folder / "stimuli").glob("*.png"))
    usual = true_responses(measure_things(np.stack([np.asarray(Image.open(file)) for file in files])))["leftside"]
    assert row["true"] == pytest.approx(float((true[0] - usual.mean()) / usual.std(ddof=0)), abs=1e-6)
    mine = table[(table["region"] == "leftside") & (table["scored"] == "leftside") & ~table["orthogonal"]]
    means = mine.groupby("alpha")["true"].mean()
    assert means[3] - means[-3] > 0.5
    about = load_sidecar(encoders.path("directionscores", subject="01"))["details"]
    assert directions_section(FoundDirections(images, table, pd.DataFrame(about["cosines"]))).panels


def test_what_cannot_be_asked(encoders: Encoders, fails) -> None:
    fails("'leftsite' has no encoder; those of synthesize are red, leftside (did", encoders.run, regions=["leftsite"])
    fails("directions.methods", encoders.run, methods=[])
    with pytest.raises(ValidationError, match="strengths must rise"):
        DirectionSettings(alphas=(1.0, 2.0, 3.0))
