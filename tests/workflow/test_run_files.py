"""Runs as laboratories keep them, in GIFTI, CIFTI and from fMRIPrep; a film whose controls take what is theirs."""

import json
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import asked, config_of, reruns, run_all
from made import write_yaml
from nibabel.cifti2 import BrainModelAxis, Cifti2Header, Cifti2Image, SeriesAxis
from PIL import Image
from refusals import refused
from scipy.io import wavfile
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
from worlds.films_and_stories import SOUND_HZ, configured, told, write_film

from brainalign.arrays import Layers
from brainalign.config import Config, load_descriptors
from brainalign.datasets import audit_study, stop_on
from brainalign.datasets.studies import read_continuous, read_events, run_drifts, slow_drifts
from brainalign.io import artifact_path, load, read_sound
from brainalign.simulation import betas_image, labels_image, story, write_story
from brainalign.study import Shape, known_shape, load_descriptor, parse
from brainalign.workflow import report_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    write_story(story(3, 75, 6, explained=0.8, n_features=(12, 7), seed=21), folder)
    return folder


def test_surfaces_and_grayordinates_hold_the_same(folder: Path, tmp_path: Path) -> None:
    """A GIFTI per hemisphere and run, a dtseries per run: the responses of the table they were written from."""
    for name in ("words.tsv", "targets.tsv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    nibabel.save(labels_image(["first"] + [""] * 641, "L", ["first"]), tmp_path / "areas.label.gii")
    vertices = [BrainModelAxis.from_surface(np.arange(642), 642, f"CORTEX_{side}") for side in ("LEFT", "RIGHT")]
    for run in range(1, 4):
        values = np.random.default_rng(run).normal(size=(75, 2 * 642)).astype(np.float32)
        np.save(tmp_path / f"story{run}.npy", values)
        for side, part in (("L", values[:, :642]), ("R", values[:, 642:])):
            nibabel.save(betas_image(part, [""] * len(part), side), tmp_path / f"story{run}_hemi-{side}.func.gii")
        header = Cifti2Header.from_axes((SeriesAxis(0, 2.0, 75), vertices[0] + vertices[1]))
        nibabel.save(Cifti2Image(values, header), tmp_path / f"story{run}.dtseries.nii")
    expected = read_continuous(told(tmp_path, 3, targets=None), "01").responses.values
    sides = {"files": "*_hemi-L.func.gii", "right": "*_hemi-R.func.gii", "rois": {"L": "areas.label.gii"}}
    for files in (sides, {"files": "*.dtseries.nii", "rois": {"L": "areas.label.gii"}}):
        study = told(tmp_path, 3, targets=None, **files)
        assert known_shape(study) == Shape(runs=3, trials=225, targets=2 * 642)
        read = read_continuous(study, "01").responses
        np.testing.assert_array_equal(read.values, expected)
        assert read.targets["roi"].map(len).tolist() == [1] + 1283 * [0]
    wrong = {
        "header of bold says 2 s": {"files": "*.dtseries.nii", "tr_s": 1.5},
        "holds CortexRight, .* as hemisphere L; swap": sides | {"files": "*_hemi-R.func.gii"},
        "of surfaces files are the left hemisphere": {"files": "*_hemi-L.func.gii"},
        "story3 has other files": sides | {"right": {f"story{k}": "a.gii" for k in range(1, 3)}},
    }
    for message, files in wrong.items():
        refused(message, lambda of=files: read_continuous(told(tmp_path, **{"targets": None} | of), "01"))
    (tmp_path / "story3_hemi-L.json").write_text('{"RepetitionTime": 2.5}')
    refused("tr_s is 2, .* 2.5 s", read_continuous, told(tmp_path, 3, targets=None, **sides), "01")


STUDY: dict[str, object] = {"name": "story", "stimuli": "bids", "splits": {"s": {"leave_out": "run"}}}
STUDY |= {"recordings": {"01": {"format": "runs", "derivatives": "derivatives"}}}


def bids(folder: Path, story: Path) -> None:
    """Write three runs as fMRIPrep does, with motion on top of responses, and their words as BIDS events."""
    raw, func = folder / "bids" / "sub-01" / "func", folder / "derivatives" / "sub-01" / "ses-1" / "func"
    for made in (raw, func):
        made.mkdir(parents=True)
    (folder / "bids" / "dataset_description.json").write_text("{}")
    words = pd.read_csv(story / "words.tsv", sep="\t")
    affine, rng = np.diag([3.0, 3.0, 3.0, 1.0]), np.random.default_rng(8)
    for run in range(1, 4):
        stem = f"task-story_run-{run}"
        events = words[words["run"] == f"story{run}"].rename(columns={"onset_s": "onset", "duration_s": "duration"})
        press = pd.DataFrame({"onset": [3.0], "duration": [0.0], "text": ["n/a"]})
        pd.concat([press, events]).drop(columns="run").to_csv(raw / f"sub-01_{stem}_events.tsv", sep="\t", index=False)
        motion = rng.normal(size=(75, 7)).cumsum(axis=0)
        values = np.load(story / f"story{run}.npy") + motion @ rng.normal(size=(7, 24))
        inside = np.ones((4, 3, 3), dtype=np.uint8)
        inside[3, :, run % 3] = 0
        volumes = np.full((4, 3, 3, 75), 9.0, dtype=np.float32)
        volumes[:2, :, :] = values[:, :18].T.reshape(2, 3, 3, 75)
        volumes[2, :2, :] = values[:, 18:].T.reshape(2, 3, 75)
        image = nibabel.Nifti1Image(volumes, affine)
        image.header.set_zooms((3, 3, 3, 2.0))
        name = f"sub-01_ses-1_{stem}_space-MNI152NLin2009cAsym"
        nibabel.save(image, func / f"{name}_desc-preproc_bold.nii.gz")
        (func / f"{name}_desc-preproc_bold.json").write_text('{"RepetitionTime": 2.0}')
        nibabel.save(nibabel.Nifti1Image(inside, affine), func / f"{name}_desc-brain_mask.nii.gz")
        columns = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "csf"]
        table = pd.DataFrame(motion, columns=columns).assign(constant=1.0, white=["n/a"] + [0.5] * 74)
        table.to_csv(func / f"sub-01_ses-1_{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)


def test_what_fmriprep_wrote_is_found_and_confounds_are_regressed_out(folder: Path, tmp_path: Path) -> None:
    """No list of files: motion is taken out of responses and of features, as one regression with both would."""
    bids(tmp_path, folder)
    content = STUDY | {"continuous": {"confounds": ["trans_*", "rot_*", "csf", "constant"]}}
    study = load_descriptor(write_yaml(tmp_path / "story.yaml", content))
    files = study.recordings["01"]
    assert list(files.files) == ["task-story_run-1", "task-story_run-2", "task-story_run-3"]
    assert (files.space, files.tr_s, known_shape(study).trials) == ("MNI152NLin2009cAsym", 2.0, 225)
    assert not audit_study(study).errors
    words = pd.read_csv(folder / "words.tsv", sep="\t")
    assert len(read_events(study)) == words["run"].isin(["story1", "story2", "story3"]).sum()
    read = read_continuous(study, "01")
    assert read.n_dropped == 3 * 3 * 3 - 24  # voxels inside of all masks that never change
    moved, rows = read.responses.values, read.responses.trials
    confounds = rows[[name for name in rows if name.startswith("confound 1 ")]].to_numpy()
    runs = {f"story{k}": str(folder / f"story{k}.npy") for k in range(1, 4)}
    still = read_continuous(told(tmp_path, 3, targets=None, files=runs), "01").responses.values
    x = np.random.default_rng(0).normal(size=60) + confounds[:60, 0]
    (basis,) = run_drifts(rows[:60], 2.0, "linear", 0.01)
    drifts = slow_drifts(60, 2.0, "linear", 0.01)
    assert basis.shape[1] == drifts.shape[1] + 7  # the constant column is no confound
    together = np.linalg.lstsq(np.column_stack([x, drifts, confounds[:60]]), still[:60, 0], rcond=None)[0][0]
    cleared, residual = x - basis @ (basis.T @ x), still[:60] - basis @ (basis.T @ still[:60])
    assert cleared @ residual[:, 0] / (cleared @ cleared) == pytest.approx(together)
    np.testing.assert_allclose(moved[:60], residual / residual.std(axis=0), atol=1e-3)
    config = configured(tmp_path).model_dump(mode="json")
    write_yaml(tmp_path / "story.yaml", content)
    kept = words["run"].isin(["story1", "story2", "story3"])
    np.save(tmp_path / "language.npy", np.load(folder / "language.npy")[kept])
    config["models"] = {"language": config["models"]["language"]}
    config = parse(Config, config | {"encode": {"permutations": 19, "n_candidates": 2}}, "test")
    run_all(config, "prepare_events", "prepare_runs", "extract", "encode_continuous")
    r = pd.read_parquet(artifact_path(config.results, "story", "runtargets", subject="01")).set_index("model")["r"]
    groups = pd.read_csv(folder / "targets.tsv", sep="\t")["roi"].to_numpy()
    assert r["language"].to_numpy()[groups == "language"].mean() > 0.2
    known = asked(config)
    for file in [*(tmp_path / "derivatives").rglob("*run-3*")]:
        file.rename(str(file).replace("run-3", "run-4"))
    assert "prepare_events" in reruns(known, config)  # its folder of events is the same


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda f: next(f.rglob("*run-2_events.tsv")).unlink(), "no .*of task-story_run-2"),
    (lambda f: (f / "bids/sub-02_task-story_run-2_events.tsv").write_text("onset\n1\n"), "differ, but .*run-2 is"),
    (lambda f: next(f.rglob("*run-2_desc-conf*")).write_text("csf\n1\n"), "no confound 'trans_x'"),
    (lambda f: next(f.rglob("*run-2_desc-conf*")).unlink(), "confounds_timeseries.tsv"),
    (lambda f: next(f.rglob("*run-2*_bold.json")).write_text('{"RepetitionTime": 3}'), "tr_s is 2, .* says 3 s"),
    (lambda f: f.joinpath("derivatives/sub-01").rename(f / "derivatives/sub-1"), "no folder sub-01 in derivatives"),
    (lambda f: (run := next(f.rglob("*run-2*_bold.nii.gz"))).rename(
        run.with_name("sub-01_task-story_run-2_space-T1w_desc-preproc_bold.nii.gz")
    ), "there is MNI152NLin2009cAsym, T1w"),
])  # fmt: skip
def test_gaps_in_derivatives_are_named(folder: Path, tmp_path: Path, spoil, message: str) -> None:
    bids(tmp_path, folder)
    spoil(tmp_path)
    refused(message, lambda: stop_on(audit_study(load_descriptor(write_yaml(tmp_path / "story.yaml", STUDY))).errors))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    film = tmp_path_factory.mktemp("film")
    write_yaml(film / "film.yaml", write_film(film, seed=31, n_voxels=3))
    return film


def configured_film(film: Path, results: Path, models: dict[str, object], descriptor: str = "film.yaml") -> Config:
    options = {"permutations": 39, "n_candidates": 5}
    return config_of(film / descriptor, results=str(results), models=models, encode=options)


def test_what_loudness_drives_is_not_of_the_language_that_goes_with_it(film: Path) -> None:
    models = {"language": {"extractor": "table", "file": str(film / "words.npy")}}
    config = configured_film(film, film / "results", models)
    run_all(config)
    tables = [artifact_path(config.results, "film", name, subject="01") for name in ("runscores", "runshares")]
    scores, shares = map(pd.read_parquet, tables)
    scores = scores[scores["kind"] != "layer"].set_index(["model", "region"])["r"]
    unique = shares.set_index(["model", "region"])["unique"]
    assert scores["language", "loudness"] > 0.4
    assert abs(unique["language", "loudness"]) < 0.03
    assert unique["sound loudness", "loudness"] > 0.1
    assert scores["film motion", "motion"] > 0.5
    assert abs(scores["film luminance", "motion"]) < 0.15
    assert (scores[:, "none"].abs() < 0.2).all()
    assert "sound loudness alone: " in report_path(config.results, "film", "01").read_text()


def test_models_look_at_frames_and_hear_sounds_of_a_study_without_events(film: Path, tmp_path: Path) -> None:
    """Pixels predict what luminance drives, and add nothing to it; a network without events is refused."""
    content = yaml.safe_load((film / "film.yaml").read_text())
    silent = {key: value for key, value in content.items() if key != "stimuli"}
    write_yaml(film / "silent.yaml", silent)
    front = {"conv_dim": (8,), "conv_kernel": (400,), "conv_stride": (320,), "num_feat_extract_layers": 1}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    places = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    HubertModel(HubertConfig(**front, **sizes, **places)).save_pretrained(tmp_path / "hubert")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "hubert")
    models = {"pixels": {"extractor": "pixels", "image_size": 4}}
    models |= {"hubert": {"extractor": "speech", "weights": str(tmp_path / "hubert"), "rate_hz": 2, "context_s": 1}}
    models |= {"noise": {"extractor": "random", "n_features": 4}}
    config = configured_film(film, tmp_path / "results", descriptor="silent.yaml", models=models)
    run_all(config)
    scores = pd.read_parquet(artifact_path(config.results, "film", "runscores", subject="01"))
    scores = scores[scores["kind"] != "layer"].set_index(["model", "region"])["r"]
    assert "event rate" not in scores
    assert min(scores["pixels", "luminance"], scores["film luminance", "luminance"]) > 0.5
    unique = pd.read_parquet(artifact_path(config.results, "film", "runshares", subject="01"))
    assert abs(unique.set_index(["model", "region"])["unique"]["pixels", "luminance"]) < 0.03
    heard = load(artifact_path(config.results, "film", "features", model="hubert"), Layers)
    assert len(heard["layer1"].stimuli) == 5 * 150 * 2
    seen = load(artifact_path(config.results, "film", "features", model="pixels"), Layers)["pixels"]
    frames = [np.asarray(Image.open(film / "run1" / f"frame{k}.png")) for k in (1, 2, 10)]
    rows = np.asarray(seen.values).reshape(len(seen.values), -1)[[0, 1, 9]]
    assert np.abs(rows.mean(axis=1) - [frame.mean() / 255 for frame in frames]).max() < 0.01
    bare, text = content | {"continuous": {}}, {"extractor": "sentence", "weights": "w"}
    for study, model, message in (
        (silent, text, "a study without events has no column"),
        (bare, models["hubert"], "read sounds, but its descriptor names none"),
        (bare, {"extractor": "video", "weights": "w"}, "read films, but its descriptor names none"),
    ):
        write_yaml(film / "other.yaml", study)
        refused(message, load_descriptors, configured_film(film, tmp_path, {"own": model}, "other.yaml"))


def test_descriptors_that_cannot_run_are_refused(film: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((film / "film.yaml").read_text())
    for change, message in (
        ({"sounds": {"run1": "run1.wav"}}, "continuous.sounds: none for run2, .*, but for run1"),
        ({"fps": None}, "films and fps go together"),
        ({"sounds": "sounds/*.wav"}, "continuous.sounds: no file fits sounds/"),
    ):
        write_yaml(tmp_path / "film.yaml", content | {"continuous": content["continuous"] | change})
        refused(message, load_descriptor, tmp_path / "film.yaml")


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda film: wavfile.write(film / "run2.wav", SOUND_HZ, np.zeros(120 * SOUND_HZ, np.int16)),
     "continuous.sounds.run2: lasts 120 s, but rows of subject 01 go on to 139 s"),
    (lambda film: (film / "run3.wav").unlink(), "continuous.sounds.run3: no file run3.wav"),
    (lambda film: (film / "run3.wav").write_bytes(b"RIFF"), "run3.wav: not a readable .wav"),
    (lambda film: shutil.rmtree(film / "run4"), "continuous.films.run4: no file run4"),
    (lambda film: [file.unlink() for file in (film / "run4").iterdir()], "run4 holds no image"),
])  # fmt: skip
def test_check_finds_signals_that_do_not_fit(film: Path, tmp_path: Path, spoil, message: str) -> None:
    shutil.copytree(film, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    assert not audit_study(load_descriptor(tmp_path / "film.yaml")).errors
    spoil(tmp_path)
    problems = "\n".join(map(str, audit_study(load_descriptor(tmp_path / "film.yaml")).errors))
    assert re.search(message, problems), problems


def test_what_a_speech_model_cannot_hear_is_refused_before_it_is_loaded(film: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"conv_stride": [5, 2, 2, 2, 2, 2, 2]}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 16000, "n_samples": 480000}))
    (tmp_path / "model.safetensors").touch()
    for options, message in (
        ({"rate_hz": 60, "chunk_s": 1}, "models.speech: rate_hz: .* has 50 frames per second, not 60 rows"),
        ({"context_s": 29}, "models.speech: context_s and chunk_s: .* hears 30 s at once, not 31 s"),
    ):
        models = {"speech": {"extractor": "speech", "weights": str(tmp_path)} | options}
        refused(message, load_descriptors, configured_film(film, tmp_path, models))
    shutil.copytree(film, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    content = yaml.safe_load((film / "film.yaml").read_text())
    content["continuous"]["sounds"] = "*.wav"
    write_yaml(tmp_path / "film.yaml", content)
    assert load_descriptor(tmp_path / "film.yaml").continuous == load_descriptor(film / "film.yaml").continuous


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_sounds_of_any_encoding_are_the_mean_of_their_channels(tmp_path: Path, dtype: str) -> None:
    full, offset = {"uint8": (127, 128), "int16": (2**15 - 1, 0), "int32": (2**31 - 256, 0), "float32": (1, 0)}[dtype]
    wave = np.sin(np.arange(SOUND_HZ) / 10)[:, None] * [0.5, 1.0]
    wavfile.write(tmp_path / "tone.wav", SOUND_HZ, (full * wave + offset).astype(dtype))
    values, rate = read_sound(tmp_path / "tone.wav")
    assert rate == SOUND_HZ
    np.testing.assert_allclose(values, wave.mean(axis=1), atol=0.016 if dtype == "uint8" else 1e-4)
