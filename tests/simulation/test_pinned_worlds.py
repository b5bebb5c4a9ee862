"""Worlds of a seed are the same in every release: published figures rest on them; files give back what was planted."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from PIL import Image
from refusals import refused
from seeded.recorded import Record
from seeded.worlds import RNG, case
from worlds.abstraction import abstraction_world

from brainalign import simulation
from brainalign.simulation.voxels import COLOURS, SHAPES

SCENES = simulation.draw_scenes(40, 2)
NAMES = SCENES["stimulus_id"].tolist()
SHOWN = simulation.schedule(NAMES, 2, 3, 1, trials_per_run=7, trial_s=2.5)
WHAT = {"early": RNG(1).normal(size=(40, 3)), "late": RNG(2).normal(size=(40, 3))}
WHERE = {"L": WHAT, "R": {layer: values[::-1] for layer, values in WHAT.items()}}
TOLD = simulation.preferences(SCENES), simulation.scene_variables(SCENES)
DRIVES = simulation.CortexDrives(NAMES, WHAT, WHERE, *TOLD, list(WHAT))
MAPS = {"early": RNG(3).normal(size=(40, 6, 4, 8)).astype(np.float32), "late": RNG(4).normal(size=(40, 3, 2, 7))}
BALL = simulation.occluded_ball(6, 20, 5, 3, n_videos=2, side=12, seed=3)
PRIOR = simulation.voxel_prior_world(7, 2, seed=3)
THINGS = simulation.measure_things(simulation.render(simulation.draw_scenes(40, 3), 32))
SPACES = (simulation.Modality("eeg", 2, 4, 8, 0.3, 3), simulation.Modality("fmri", 3, 6, 0, 0.5, 2))
SHARED = {"n_train": 6, "n_test": 3, "train_repeats": 2, "share": 0.3, "n_codes": 3, "n_dimensions": 5}
TEXTS = RNG(6).normal(size=(576, 24)) * np.geomspace(4, 0.1, 24)
READING = {"n_subjects": 2, "n_channels": 4, "n_times": 9, "n_components": 6}
SPOT = np.full((2, 16, 16, 3), 128, dtype=np.uint8)  # nothing, and one red pixel
SPOT[1, 4, 9] = [255, 0, 0]


def cortex() -> simulation.Cortex:
    from scipy.spatial import ConvexHull

    z, turn = 1 - (2 * np.arange(400) + 1) / 400, np.pi * (1 + 5**0.5) * np.arange(400)
    sphere = 100 * np.column_stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z])
    faces = ConvexHull(sphere).simplices.astype(np.int64)
    pial = {"L": sphere * [0.3, 0.7, 0.5] - [30, 20, 0], "R": sphere * [0.3, 0.7, 0.5] + [30, -20, 0]}
    return simulation.Cortex(pial, dict.fromkeys("LR", sphere), dict.fromkeys("LR", faces))


def generator_outputs() -> Any:
    images = simulation.render(SCENES[:10], 32)
    model = simulation.train_generator(SCENES[:10], images, n_epochs=2, batch_size=4, seed=5)
    return simulation.activations(model, images[:5], batch_size=2)


def planted_energies() -> Any:
    """Sizes of drives: their signs are those of eigenvectors, which libraries choose."""
    drives = simulation.cortex_drives(MAPS, SCENES)
    return [np.abs(values) for each in (drives.what, drives.where["L"], drives.where["R"]) for values in each.values()]


def recordings(kind: str, n: int) -> Any:
    """Return signals and epochs of sensors in units in which their noise is about 1, which a record can hold."""
    info = simulation.sensor_info(kind)
    responses, truth = simulation.simulate_meeg(SHOWN[:n], WHAT, NAMES, info, 3)
    found, unit = simulation.to_epochs(responses, info), {"eeg": 1e5, "meg": 1e12}[kind]
    about = int(found.info["custom_ref_applied"]), len(found.info["projs"])
    made = found.events, found.metadata, found.tmin, unit * found.get_data(copy=True), about
    return unit * responses.values, responses.trials, responses.targets, responses.times, truth, made


def written() -> Any:
    """Return the names and sizes of files that worlds are written to, and what stands in tables and arrays."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        simulation.write_story(simulation.story(2, 60, 2, repeated=1, n_features=(9, 8), seed=3), folder / "story")
        sizes = {"n_train": 6, "n_test": 3, "n_codes": 3, "n_dimensions": 5, "seed": 3}
        listed = simulation.write_modalities(simulation.shared_space(SPACES, **sizes), folder / "spaces")  # type: ignore[arg-type]
        model = simulation.train_generator(SCENES[:4], simulation.render(SCENES[:4], 32), n_epochs=1)
        listed += simulation.save_generator(model, folder / "generator", 32)
        found = [[str(path.relative_to(folder)) for path in listed], (listed[-1]).read_text()]
        for path in sorted(folder.rglob("*.[ntc]*v")) + sorted(folder.rglob("*.npy")):
            table = path.suffix != ".npy" and pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
            found.append([path.name, np.load(path) if path.suffix == ".npy" else table])
    values = RNG(3).normal(size=(3, 5)).astype(np.float32)
    labels = simulation.labels_image(["", "b", "a", "b"], "R", ["a", "b"])
    for image in (simulation.betas_image(values, list("abc"), "L"), labels):
        table = [[label.key, label.label, *label.rgba] for label in image.labeltable.labels]
        arrays = [[one.data, dict(one.meta), one.intent, one.encoding] for one in image.darrays]
        found.append([table, dict(image.meta), arrays])
    return found


WORLDS = [
    case(simulation.clear_scenes, 12),
    case(simulation.concept_world, 12, 3, 60, n_repeated=5, n_people=3, n_features=7),
    case(simulation.draw_scenes, 40), case(simulation.eeg_power, TEXTS, **READING),
    case(simulation.eeg_text, TEXTS, **READING),
    case(simulation.grounded_words, 60, 50, 20, n_locations=4, n_channels=7, n_text=9),
    case(simulation.linear_world, 9, 4, 3, [0.0, 0.3, 0.8]),
    case(simulation.occluded_ball, 6, 20, 5, 3, n_videos=2, side=12), case(simulation.roi_lagged, 3, 40, 2, 2),
    case(simulation.roi_series, 5, 60, 2), case(simulation.shared_space, SPACES, **SHARED),
    case(simulation.simulate_rest, simulation.rest_networks(["ventral1", "dorsal1", "red"]), 30),
]  # fmt: skip
PINNED: dict[str, Callable[[], Any]] = {name: partial(make, 3) for name, make in WORLDS}
PINNED |= {
    "concept_world of many": lambda: simulation.concept_world(120, 3, 400, n_repeated=5, n_people=3, seed=3),
    "ball_features": lambda: simulation.ball_features(BALL.frames),
    "ball_future": lambda: simulation.ball_future(RNG(3).uniform(0.1, 0.9, (5, 3, 4)) * [1, 1, 0.3, -0.3], 9),
    "layer_latencies": lambda: simulation.layer_latencies(["a", "b", "c"]),
    "simulate_meeg eeg": lambda: recordings("eeg", 80), "simulate_meeg meg": lambda: recordings("meg", 30),
    "written": written, "text_sentences": simulation.text_sentences,
    "roi_series with states": lambda: simulation.roi_series(4, 60, 2, state_strength=0.6, state_frames=9, seed=3),
    "roi_series without traits": lambda: simulation.roi_series(4, 60, 2, trait=0, seed=3),
    "rest_networks": lambda: simulation.rest_networks(["ventral1", "dorsal1", "red", "V1"]),
    "story slow": lambda: simulation.story(3, 60, 2, repeated=1, n_features=(9, 8), seed=3),
    "story fast": lambda: simulation.story(2, 200, 2, step_s=0.05, explained=0.6, n_features=(9, 8), seed=3),
    "voxel_prior_world": lambda: PRIOR,
    "voxel_prior_world weights": lambda: [PRIOR.weights(4, RNG(0), on_prior=on) for on in (True, False)],
    "voxel_prior_world prior": lambda: [
        (PRIOR.prior_mean, PRIOR.prior_covariance, PRIOR.images(3, RNG(1)), PRIOR.noise_sd(np.ones((8, 2)), [1, 2]))
    ],
    "render": lambda: simulation.render(simulation.draw_scenes(40, 3), 48), "schedule": lambda: SHOWN,
    "preferences": lambda: (DRIVES.preferred, DRIVES.other), "measure_things": lambda: THINGS,
    "measure_things of a spot": lambda: simulation.measure_things(SPOT),
    "true_responses": lambda: simulation.true_responses(THINGS),
    "plan_areas": lambda: simulation.plan_areas(["a", "b", "c"]),
    "simulate_cortex": lambda: simulation.simulate_cortex(SHOWN, DRIVES, cortex(), 3),
    "cortex_drives": planted_energies, "train_generator": generator_outputs,
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
def test_a_world_of_a_seed_stays(name: str, recorded: Record) -> None:
    recorded.check(name, PINNED[name](), 1e-3)


def test_planted_ceilings_are_shares_of_variance() -> None:
    ceiling = np.repeat([0.0, 0.3, 0.8, 1.0], 50)
    world = simulation.linear_world(2000, 15, 3, ceiling, seed=1)
    np.testing.assert_allclose(world.X @ world.weights, world.signal)
    np.testing.assert_allclose(np.square(world.weights).sum(axis=0), ceiling)  # features of unit variance
    np.testing.assert_allclose((world.repeats - world.signal).var(axis=(0, 1)), 1 - ceiling, atol=0.07)


def test_choices_are_drawn_as_probable_as_they_are() -> None:
    triplets, p = abstraction_world(4, 3, 2, seed=3).judge(np.tile([0, 5, 12], (4000, 1)), RNG(0))
    chosen = np.array([(triplets[:, 2] == k).mean() for k in (0, 5, 12)])
    np.testing.assert_allclose(chosen, [float(p[triplets[:, 2] == k, 2][0]) for k in (0, 5, 12)], atol=0.03)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_weights_are_those_of_the_prior_and_others_of_the_same_size() -> None:
    world, rng = simulation.voxel_prior_world(seed=3), np.random.default_rng(0)
    images = world.images(20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(images.T)))
    assert spread[-1] / spread[0] == pytest.approx(3, abs=0.5)  # the planted ratio, a little less on the sphere
    weights = world.weights(40_000, rng)
    np.testing.assert_allclose(np.cov(weights), world.prior_covariance, atol=0.1)
    on, off = (np.linalg.eigvalsh(np.cov(world.weights(40_000, rng, on_prior=flag)[:-1])) for flag in (True, False))
    assert on[-3:].sum() / on.sum() > 0.9
    assert off[-3:].sum() / off.sum() < 0.25
    assert off.sum() == pytest.approx(on.sum(), rel=0.05)
    few = weights[:, :50]
    np.testing.assert_allclose(world.noise_sd(few, 1.5) / (images @ few[:-1] + few[-1]).std(axis=0), 1.5, rtol=0.05)


@pytest.mark.parametrize("textures", [("plain",), ("striped",)])
def test_things_are_measured_as_they_were_drawn(textures: tuple[str, ...]) -> None:
    scenes = simulation.draw_scenes(160, 3, textures=textures)
    things = simulation.measure_things(simulation.render(scenes, 32))
    assert (things.overlap.idxmax(axis=1).to_numpy() == scenes["shape"]).mean() >= 0.99
    assert things.valid.all()
    # A triangle's centre of gravity lies above the centre of its outline's box, never beside it.
    np.testing.assert_allclose(things.x, scenes["x"], atol=0.02)
    for shape in SHAPES:
        mine = (scenes["shape"] == shape).to_numpy()
        assert np.corrcoef(things.area[mine], scenes["size"][mine] ** 2)[0, 1] > 0.98


def test_neurons_prefer_what_they_are_named_for() -> None:
    scenes = simulation.draw_scenes(320, 4, textures=("plain",))
    found = simulation.true_responses(simulation.measure_things(simulation.render(scenes, 32)))
    for shape in SHAPES:
        mine = (scenes["shape"] == shape).to_numpy()
        assert found.loc[mine, shape].min() > found.loc[~mine, shape].max()
    red = (scenes["colour"] == "red").to_numpy()
    assert found.loc[red, "red"].min() > 0.7
    assert found.loc[~red, "red"].max() < 0.3  # yellow is the nearest hue
    both = ((scenes["colour"] == "blue") & (scenes["shape"] == "circle")).to_numpy()
    assert found.loc[both, "bluecircle"].min() > found.loc[~both, "bluecircle"].max()
    assert np.corrcoef(found["leftside"], scenes["x"])[0, 1] < -0.99


def test_what_is_no_thing_gives_nothing_captions_floats_and_bad_scenes() -> None:
    images = np.full((6, 32, 32, 3), 128, np.uint8)  # two of nothing, four of scattered spots
    images[2:][np.random.default_rng(0).random((4, 32, 32)) < 0.2] = (np.array(COLOURS["red"]) * 255).astype(np.uint8)
    things = simulation.measure_things(images)
    assert not things.valid.any()
    assert (simulation.true_responses(things)[:2].to_numpy() == 0).all()
    assert (things.stray[2:] > 0.3).all()
    scenes = simulation.draw_scenes(200, 5)
    assert [simulation.caption(scene) for _, scene in scenes.iterrows()] == scenes["caption"].tolist()
    look = {"shape": "circle", "colour": "red", "texture": "plain", "size": 0.29, "x": 0.34, "y": 0.34, "ground": 0.36}
    assert simulation.caption(pd.Series(look)) == "a large red circle in the upper left on a dark background"
    images = simulation.render(scenes[:10], 32)
    np.testing.assert_allclose(
        simulation.true_responses(simulation.measure_things(images)),
        simulation.true_responses(simulation.measure_things(images / 255)),
    )
    assert set(simulation.PREFERENCES) <= set(simulation.SHAPE_NEURONS)
    refused("did you mean 'circle'", simulation.render, scenes.assign(shape="circel"))
    refused("at least 1", simulation.draw_scenes, 0)
    refused("positive number of pixels", simulation.render, scenes, 0)
    refused(r"got the shape \(2, 3, 32, 32\)", simulation.measure_things, np.zeros((2, 3, 32, 32)))


def test_what_cannot_be_built() -> None:
    refused(r"shares in \[0, 1\]", simulation.linear_world, 10, 2, 2, [1.2])
    refused("n_features is 2 but n_latents 3", simulation.voxel_prior_world, n_features=2)
    refused("at least two subjects", simulation.roi_series, 1)
    refused("within", simulation.roi_series, 3, trait=1.2)
    refused("at least 6", simulation.roi_lagged, 3, 4)


TINY = {"n_shared": 12, "n_unique": 28, "fmri_subjects": 1, "n_training_scenes": 64, "n_epochs": 1}
TINY |= {"meg_sensors": "mag", "n_rest_volumes": 60}


def run(folder: Path, seed: int = 0, **changes: object) -> int:
    outputs = {"listing": folder / "simulated.json", "stimuli": folder / "stimuli" / "stimuli.tsv"}
    return run_step("simulate", {"simulate": TINY | changes}, inputs={"folder": folder}, outputs=outputs, seed=seed)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    assert run(folder) == 0
    return folder


def test_sidecar_names_every_file_and_stimuli(study: Path) -> None:
    record = json.loads((study / "simulated.json").read_text())
    found = {p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file()} - {"simulated.json"}
    assert set(record["files"]) == found
    for name, entry in record["files"].items():
        assert hashlib.sha256((study / name).read_bytes()).hexdigest() == entry["sha256"]
    assert record["details"]["subjects"] == {"01": "fmri", "02": "meg", "03": "eeg"}
    table = pd.read_csv(study / "stimuli/stimuli.tsv", sep="\t")
    assert table["set"].value_counts().to_dict() == {"unique": 28, "shared": 12}
    for path, image in zip(table["path"], simulation.render(simulation.draw_scenes(40, 0), 128), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(study / "stimuli" / path)), image)


def test_betas_and_areas(study: Path) -> None:
    trials = pd.read_csv(study / "sub-01/sub-01_trials.tsv", sep="\t", dtype=str)
    truth = pd.read_parquet(study / "truth/vertices.parquet")
    for hemi in "LR":
        betas = nibabel.load(study / f"sub-01/sub-01_hemi-{hemi}_betas.func.gii")
        values = np.stack([darray.data for darray in betas.darrays])
        assert values.shape == (len(trials), 10242) == (120, 10242)
        assert [darray.meta["Name"] for darray in betas.darrays] == trials["trial_id"].tolist()
        assert np.isfinite(values).all()
        labels = nibabel.load(study / f"sub-01/sub-01_hemi-{hemi}_rois.label.gii")
        names = labels.labeltable.get_labels_as_dict()
        rois, mine = np.array([names[key] for key in labels.darrays[0].data]), truth[truth["hemi"] == hemi]
        np.testing.assert_array_equal(np.where(rois == "???", "", rois), mine["roi"])
        assert mine.groupby("roi").size().min() >= 10
        assert set(mine.loc[mine["kind"] == "what", "layer"]) == set(simulation.LAYERS)


def test_epochs(study: Path) -> None:
    import mne

    sensors = pd.read_parquet(study / "truth/sensors.parquet")
    for subject, kind, n, scale in (("02", "meg", 102, 1e-13), ("03", "eeg", 64, 1e-5)):
        epochs = mne.read_epochs(study / f"sub-{subject}/sub-{subject}_{kind}-epo.fif", verbose=False)
        values = epochs.get_data()
        assert values.shape == (80, n, 61)
        assert 0.5 * scale < values.std() < 2 * scale
        assert list(epochs.metadata) == ["trial_id", "stimulus_id", "session", "run", "repeat", "onset_s"]
        assert epochs.metadata.groupby("stimulus_id").size().eq(2).all()
        assert epochs.tmin == pytest.approx(-0.1)
        mine = sensors[sensors["subject"] == subject]
        assert (list(mine["target_id"].unique()), len(mine)) == (epochs.ch_names, n * 61)
        assert mne.channels.find_layout(epochs.info) is not None  # topomaps can be drawn


def test_generator_loads_as_any_hugging_face_model(study: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(study / "generator", local_files_only=True).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 500_000
    assert {*simulation.LAYERS} <= dict(model.named_modules()).keys()
    found = simulation.activations(model, simulation.render(simulation.draw_scenes(3, 0), 128))
    assert list(found) == ["embedder", *(f"encoder.stages.{k}" for k in range(4))]
    assert [values.shape[:3] for values in found.values()] == [(3, n, n) for n in (32, 32, 16, 8, 4)]


def test_same_seed_same_bytes_and_another_differs(study: Path, tmp_path: Path) -> None:
    only_fmri = {"meg_subjects": 0, "eeg_subjects": 0}
    assert (run(tmp_path / "a", **only_fmri), run(tmp_path / "b", seed=1, **only_fmri)) == (0, 0)
    for name in ("stimuli/stimuli.tsv", "sub-01/sub-01_hemi-L_betas.func.gii", "sub-01/sub-01_rest.tsv"):
        here = (study / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == here
        assert (tmp_path / "b" / name).read_bytes() != here


def test_bad_settings_are_named_and_what_cannot_be_simulated_refused(tmp_path, fails) -> None:
    fails("did you mean 'n_repeats'", run, tmp_path, n_repeat=2)
    fails("multiple of 128", run, tmp_path, image_size=100)
    refused("fewer sessions", simulation.schedule, ["a"], 1, 2, 0)
    refused("lag", simulation.simulate_rest, simulation.rest_networks(["ventral1", "dorsal1"]), 4, 0)
