"""Stages guide and synthesize: encoders never share an image, images come back by their seeds, errors come early."""

from __future__ import annotations

import json
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
from jobs import run_step
from PIL import Image
from refusals import refused
from worlds.scene_networks import selective_voxels

from brainalign.arrays import Arrays, Responses
from brainalign.config import Config, SynthesizeSettings
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.simulation import clear_scenes, render
from brainalign.study import parse
from brainalign.workflow import jobs

BY = Provenance("test", {}, "")
REGIONS, N_IMAGES, N_TEST, N_VOXELS = ["red", "large"], 120, 30, 6
MODELS = {
    "guide": {"extractor": "pixels", "image_size": 8},
    "check": {"extractor": "efficientnet", "weights": "random", "image_size": 32, "layers": ["block2"], "crop": False},
}
OPTIONS: dict[str, Any] = {
    "guide": {"model": "pixels", "layer": "pixels"},
    "check": {"model": "net", "layer": "block2"},
    "min_targets": 3,
    "views": 1,
    "alphas": [1.0, 100.0],
    "n_images": 3,
    "steps": 2,
    "recurrence": 2,
    "n_nulls": 9,
    "n_null_images": 2,
    "device": "cpu",
}
SYNTHESIS = ("synthesized", "synthesis", "synthesisgains", "synthesissteps", "image")


def pixel_prior(folder: Path, **scheduler: object) -> Path:
    """Write an untrained diffusion model of 16 × 16 pixels."""
    from diffusers import DDIMScheduler, UNet2DModel

    from brainalign.synthesis import BrainGuidedPipeline

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, add_attention=False, **blocks, **kinds)
    BrainGuidedPipeline(unet, DDIMScheduler(**scheduler)).save_pretrained(folder)
    return folder


def latent_prior(folder: Path) -> Path:
    """Write a random model in the layout of Stable Diffusion: text, latents, autoencoder."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = folder.parent / "words"
    words.mkdir()
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3}
    (words / "vocab.json").write_text(json.dumps(vocabulary))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=4)
    text = CLIPTextConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=4, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=2,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4,
        block_out_channels=(4, 8), norm_num_groups=2, sample_size=16,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
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
        images = render(clear_scenes(N_IMAGES, 3), 32)
        ids = [f"scene{k}" for k in range(N_IMAGES)]
        for name, image in zip(ids, images, strict=True):
            Image.fromarray(image).save(self.folder / "stimuli" / f"{name}.png")
        paths = [f"{name}.png" for name in ids]
        pd.DataFrame({"stimulus_id": ids, "path": paths}).to_csv(self.table, sep="\t", index=False)
        voxels = [selective_voxels(images, REGIONS, N_VOXELS, 0.5, seed)[0] for seed in (0, 0)]
        voxels[1] = voxels[1] + 0.3 * np.random.default_rng(1).normal(size=voxels[1].shape)
        order = np.random.default_rng(2).permutation(2 * N_IMAGES)
        shown = np.tile(ids, 2)[order]
        trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(order))], "stimulus_id": shown})
        trials = trials.assign(session="1", run="1", repeat=0, onset_s=np.nan)
        regions = [*np.repeat(REGIONS, N_VOXELS), "small", "small"]
        values = np.concatenate([*voxels])[order].astype(np.float32)
        values = np.concatenate([values, values[:, :2]], axis=1)
        targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(len(regions))], "kind": "voxel", "hemi": "L"})
        targets["roi"] = [[name] for name in regions]
        save(self.path("responses"), Responses(values, trials, targets, "z"), BY)
        ceiling = np.where(np.arange(len(regions)) % N_VOXELS == 0, 0.1, 0.6)  # the first voxel of each is unreliable
        save(self.path("ceiling"), targets[["target_id"]].assign(ceiling=ceiling), BY)
        split = np.where(np.isin(shown, ids[:N_TEST]), "test", "train")
        splits = trials[["trial_id", "stimulus_id"]].assign(group=shown, split=split, fold=0, seed=0, name="shared")
        save(self.path("splits"), splits, BY)
        for name, role in (("pixels", "guide"), ("net", "check")):
            settings, features = {"model": MODELS[role]}, self.path("features", model=name)
            inputs = {"stimuli": self.table}
            assert run_step("extract", settings, inputs=inputs, outputs={"features": features}) == 0

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
    assert made.guide() == 0
    assert made.synthesize(simulated=True, scales=[3.0]) == 0
    return made


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Study:
    """A study that a test may change."""
    shutil.copytree(study.folder, tmp_path / "copy")
    return Study(tmp_path / "copy", study.prior)


def test_guide_and_check_share_no_image_with_each_other_or_the_test(study: Study) -> None:
    arrays, about = study.arrays("guides"), load_sidecar(study.path("guides"))["details"]
    used = [arrays[f"{role}_images"] for role in ("guide", "check", "test")]
    assert sum(map(len, used)) == len(np.unique(np.concatenate(used))) == N_IMAGES
    table = pd.read_csv(study.table, sep="\t")
    assert set(table["stimulus_id"].iloc[used[2]]) == {f"scene{k}" for k in range(N_TEST)}
    assert about["n_images"] == {"guide": 45, "check": 45, "test": N_TEST}


def test_encoders_predict_held_out_images_and_shuffled_ones_do_not(study: Study) -> None:
    arrays, about = study.arrays("guides"), load_sidecar(study.path("guides"))["details"]
    assert sorted(about["regions"]) == sorted(REGIONS)  # two targets are no region
    assert arrays["rows"].tolist() == [k for k in range(2 * N_VOXELS) if k % N_VOXELS]  # reliable ones
    assert arrays["guide_coef"].shape == (8 * 8 * 3, 2 * (N_VOXELS - 1))
    assert arrays["null_coef"].shape == (9, 8 * 8 * 3, 2)
    for size in ("prior", "full"):
        assert about["r"]["guide"][size]["red"] > 0.5  # of size, a line through pixels says little
        assert set(about["r"]["check"][size]) == set(REGIONS)
    assert max(map(abs, about["r"]["null"]["prior"].values())) < 0.25  # of 9 encoders on 30 images: se .06
    assert about["image_size"] == 16


def test_every_condition_is_there_and_paired_by_seed(study: Study) -> None:
    table, images = study.frame("synthesis"), study.arrays("synthesized")["images"]
    assert images.dtype == np.uint8
    assert images.shape[1:] == (16, 16, 3)
    assert sorted(table["image"].unique()) == list(range(len(images)))
    assert {"unguided", "recurrent", "guided", "matched", "best of n", "evolved"} <= set(table["condition"])
    assert {"natural", "natural true", "null", "sweep"} <= set(table["condition"])
    assert set(table["scored"]) == set(REGIONS)
    by = table[table["scored"] == "red"].groupby(["condition", "region"])["seed"].apply(list)
    assert by["guided", "red"] == by["guided", "large"] == by["unguided", ""]
    assert table.loc[table["condition"] == "null", "null"].nunique() == 9
    assert table[["guide", "check", "true", "valid", "typical", "contrast"]].notna().all(axis=None)
    assert table["typical"].between(0, 1).all()
    gains = study.frame("synthesisgains")
    assert {"unguided", "recurrent", "best of n", "evolved", "natural", "null"} <= set(gains["against"])
    up = gains[(gains["condition"] == "guided") & (gains["score"] == "guide") & (gains["against"] == "unguided")]
    assert (up["gain"] > 0).all()  # a linear guide is climbed, whatever the prior
    for region in REGIONS:  # and so is it by the best of many, and by noise that evolves
        scored = table[(table["scored"] == region) & table["region"].isin(["", region])]
        mean = scored.groupby("condition")["guide"].mean()
        assert mean["evolved"] > mean["unguided"]
        assert mean["best of n"] > mean["unguided"]
    steps = study.frame("synthesissteps")
    assert set(steps["region"]) == set(REGIONS)
    assert steps["step"].nunique() == OPTIONS["steps"]
    # In standard deviations over natural images, of which guide and check hold all.
    natural = table[(table["condition"] == "natural") & (table["region"] == table["scored"])]
    assert natural["guide"].between(0.5, 6).all()


def test_pictures_for_a_scanner(study: Study) -> None:
    table, images = study.frame("synthesis"), study.arrays("synthesized")["images"]
    with zipfile.ZipFile(study.path("image")) as file:
        listed = pd.read_csv(BytesIO(file.read("stimuli.tsv")), sep="\t")
        assert len(listed) == 3 * 3  # two regions and none, three seeds
        row = listed[(listed["condition"] == "guided") & (listed["region"] == "large")].iloc[0]
        picture = np.asarray(Image.open(BytesIO(file.read(row["path"]))))
    mine = table[(table["condition"] == "guided") & (table["region"] == "large") & (table["seed"] == row["seed"])]
    np.testing.assert_array_equal(picture, images[mine["image"].iloc[0]])


def test_the_same_again_and_more_images_of_the_same_seeds(study: Study, copied: Study) -> None:
    before = study.frame("synthesis")
    assert copied.guide() == 0
    for name, values in study.arrays("guides").items():
        np.testing.assert_array_equal(copied.arrays("guides")[name], values, err_msg=name)
    assert copied.synthesize(n_images=4, n_nulls=1, batch_size=2) == 0
    after = copied.frame("synthesis")
    assert after["true"].isna().all()  # nobody knows, unless the study is simulated
    assert "natural true" not in set(after["condition"])
    for region in REGIONS:
        old, new = (
            of.arrays("synthesized")["images"][
                table[(table["condition"] == "guided") & (table["region"] == region)]["image"].unique()
            ]
            for of, table in ((study, before), (copied, after))
        )
        assert (len(old), len(new)) == (3, 4)
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
    # The difference of two scores in standard deviations is 0 over natural images.
    gains = copied.frame("synthesisgains")
    assert set(gains["region"]) == {"red-large", "red"}


def test_a_model_in_the_layout_of_stable_diffusion_runs(copied: Study, tmp_path: Path) -> None:
    prior = latent_prior(tmp_path / "sd")
    assert copied.guide(prior=prior, n_nulls=1) == 0
    assert load_sidecar(copied.path("guides"))["details"]["image_size"] == 16
    few = {"n_images": 2, "n_nulls": 1, "steps": 2, "recurrence": 1, "save_memory": True}
    assert copied.synthesize(prior=prior, **few) == 0
    images = copied.arrays("synthesized")["images"]
    assert images.shape[1:] == (16, 16, 3)
    assert images.std() > 0
    assert "prompted" not in set(copied.frame("synthesis")["condition"])
    # Words for regions, given or taken from captions that predict, are asked for beside.
    captions = pd.DataFrame(
        {
            "region": ["red", "red", "red", "large", "elsewhere"],
            "caption": ["a", "a", "b", "b", "b"],
            "q": [0.01, 0.02, 0.01, 0.4, 0.01],
        }
    )
    save(copied.path("captions"), captions, Provenance("caption", {}, "digest"))
    assert copied.synthesize(copied.path("captions"), prior=prior, prompts="captions", **few) == 0
    table = copied.frame("synthesis").drop_duplicates("image")
    prompted = table[table["condition"] == "prompted"]
    assert prompted["region"].tolist() == ["red", "red"]
    assert prompted["seed"].tolist() == table.loc[table["condition"] == "unguided", "seed"].tolist()
    gains = copied.frame("synthesisgains")
    assert set(gains.loc[gains["against"] == "prompted", "region"]) == {"red"}


def test_words_need_a_model_that_reads(copied: Study, capsys: pytest.CaptureFixture[str]) -> None:
    for prompts, words in (
        ({"red": "a"}, "reads no prompt"),
        ({"blue": "a"}, "'blue', which is not among the regions"),
        ("captions", "configure caption.model"),
    ):
        assert copied.synthesize(prompts=prompts) == 2
        assert words in capsys.readouterr().err


def test_bad_priors_fail_before_anything_is_fitted(
    copied: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied.path("guides").unlink()
    flow = pixel_prior(tmp_path / "flow")
    index = json.loads((flow / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (flow / "model_index.json").write_text(json.dumps(index))
    (flow / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000})
    )
    grey = pixel_prior(tmp_path / "grey")
    _as_grey(grey)
    lost = pixel_prior(tmp_path / "lost")
    for file in (lost / "unet").glob("*.safetensors"):
        file.unlink()
    for prior, words in (
        (tmp_path / "nowhere", "there is no folder"),
        (flow, "FlowMatchEulerDiscreteScheduler"),
        (grey, "square colour images"),
        (lost, "cannot load a diffusion model"),
    ):
        assert copied.guide(prior=prior) == 2
        message = capsys.readouterr().err
        assert words in message, message
        assert "Traceback" not in message
    assert not copied.path("guides").exists()
    assert copied.guide(regions=["redd"]) == 2
    assert "did you mean 'red'" in capsys.readouterr().err
    assert copied.guide(regions=["small"]) == 2
    assert "small has 1 reliable targets" in capsys.readouterr().err


def _as_grey(folder: Path) -> None:
    from diffusers import UNet2DModel

    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "add_attention": False}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    UNet2DModel(sample_size=16, in_channels=1, out_channels=1, **blocks, **kinds).save_pretrained(folder / "unet")


def test_features_of_other_weights_are_noticed(copied: Study, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(copied.table, sep="\t")
    for name in table["path"]:
        image = np.asarray(Image.open(copied.folder / "stimuli" / name))
        Image.fromarray(255 - image).save(copied.folder / "stimuli" / name)
    assert copied.guide() == 2
    message = capsys.readouterr().err
    assert "layer 'pixels' of pixels gives other features than were extracted" in message


def config(tmp_path: Path, **changes: object) -> Config:
    study = tmp_path / "scenes.yaml"
    content = {
        "results": str(tmp_path / "results"),
        "datasets": {"scenes": {"descriptor": str(study)}},
        "models": {
            "pixels": {"extractor": "pixels"},
            "net": {"extractor": "efficientnet", "layers": ["block2"]},
            "words": {"extractor": "onehot"},
        },
        "methods": {"ridge": {"encoder": "ridge", "models": ["pixels"]}},
        "synthesize": {name: OPTIONS[name] for name in ("guide", "check")} | {"prior": "data/prior"} | changes,
    }
    return parse(Config, content, "configuration")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"guide": {"model": "words", "layer": "onehot"}}, "words does not look at images"),
        ({"guide": {"model": "pixel", "layer": "pixels"}}, "did you mean 'pixels'"),
        ({"check": {"model": "net", "layer": "block3"}}, "'block3' is not among the layers of net"),
        ({"check": {"model": "pixels", "layer": "pixels"}}, "guide and check both read pixels"),
        ({"check": None}, "check is missing"),
        ({"regions": ["red", "red"]}, "named twice"),
        ({"recurrences": 2}, "recurrence"),
    ],
)
def test_options_are_checked_before_any_rule(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    refused(words, config, tmp_path, **changes)


def test_what_is_planned_and_what_a_changed_option_reruns(
    make_image_study, tmp_path: Path, root: Path, monkeypatch
) -> None:
    scenes = make_image_study(tmp_path / "scenes", n_images=50)  # forty train: halves of twenty
    scenes.write()
    monkeypatch.chdir(root)
    shutil.copytree(scenes.folder, tmp_path, dirs_exist_ok=True)
    planned = [job for job in jobs(config(tmp_path)) if job.stage in ("guide", "synthesize")]
    assert [(job.stage, dict(job.labels)) for job in planned] == [  # the subject of EEG has no regions
        ("guide", {"subject": "01"}),
        ("synthesize", {"subject": "01"}),
    ]
    assert not [job for job in jobs(config(tmp_path, prior=None)) if job.stage in ("guide", "synthesize")]
    refused("no folder data/priors", jobs, config(tmp_path, prior="data/priors"))
    refused("model_index", jobs, config(tmp_path, prior="data"))
    refused("'02' is not among the fMRI subjects", jobs, config(tmp_path, subjects=["02"]))
    refused("voxels of subject 01 are not put into words", jobs, config(tmp_path, prompts="captions"))
    usual = SynthesizeSettings(prior="data/prior", guide=OPTIONS["guide"], check=OPTIONS["check"])
    for changes, refits in (({"scale": 5.0}, False), ({"n_images": 4}, False), ({"views": 3}, True)):
        changed = usual.model_copy(update=changes)
        assert (changed.of_the_guide() != usual.of_the_guide()) == refits
