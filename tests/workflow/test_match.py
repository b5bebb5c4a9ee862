"""Stages match and align: related networks stand out from their nulls; a network learns categories from judgements."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from made import write_table
from pydantic import ValidationError
from refusals import refused
from seeded.recorded import Record
from worlds.abstraction import abstraction_world

from brainalign import geometry
from brainalign.arrays import Arrays, Features, Layers
from brainalign.config import AlignSettings, MatchSettings
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.compare import match
from brainalign.pipelines.compare.concepts import layers_of
from brainalign.regression import Ridge
from brainalign.report.geometry_sections import ALIGNMENT_TABLES, MATCHING_TABLES, alignment_section, matching_section
from brainalign.workflow import Job

N, SEED, BY = 160, 2, Provenance("test", {}, "")
MEASURES = ["cka", "procrustes", "one_to_one", "soft", "cca", "predicts", "predicted"]


class Networks:
    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.ids = folder, [f"image{k:03d}" for k in range(N)]
        self.path = partial(artifact_path, folder, "planted")
        kind = np.tile(["face", "house"], N // 2)
        # A third of circles and of squares, a few of the other two: too few stars for halves of four.
        shape = np.random.default_rng(1).permutation(np.repeat(["circle", "square", "cross", "star"], [60, 60, 35, 5]))
        centres = dict(zip(np.unique(shape), 3 * np.random.default_rng(2).normal(size=(4, 200)), strict=True))
        shaped = np.stack([centres[name] for name in shape]) + np.random.default_rng(3).normal(size=(N, 200)) * 3
        units = rng.normal(size=(N, 12))
        units[:, 0] = 3 * (kind == "face") + 0.1 * rng.normal(size=N)
        self.models = {
            "seen": [rng.normal(size=(N, 200)), units],
            "again": [units[:, rng.permutation(12)] + 0.3 * rng.normal(size=(N, 12))],
            "other": [rng.normal(size=(N, 8)), np.ones((N, 3)), shaped],
            "half": [rng.normal(size=(N, 200)), units[:, :1] * np.ones(12) + 0.05 * rng.normal(size=(N, 12))],
        }
        for model, layers in self.models.items():
            order = rng.permutation(N)  # rows of another order are matched by stimulus
            stimuli = pd.DataFrame({"stimulus_id": np.array(self.ids)[order]})
            made = {f"l{k}": Features(X[order].astype(np.float32), stimuli, f"l{k}") for k, X in enumerate(layers)}
            save(self.path("features", model=model), Layers(made), BY, pooling="mean")
        place = [f"place{k % 32}" for k in range(N)]  # five images each
        columns = {"kind": kind, "shape": shape, "noise": rng.normal(size=N), "place": place}
        write_table(folder / "stimuli.tsv", stimulus_id=self.ids, **columns)

    def run(self, checkpoints: dict[str, dict[int, str]] | None = None, **options: object) -> int:
        content = {"models": ["seen", "again", "other"], "measures": MEASURES, "draws": 2, "units": 20} | options
        settings = {"match": content, "checkpoints": checkpoints or {}}
        models = [*content["models"], *(m for of in settings["checkpoints"].values() for m in of.values())]  # type: ignore[misc]
        inputs = {"features": [self.path("features", model=model) for model in dict.fromkeys(models)]}
        inputs |= {"stimuli": self.folder / "stimuli.tsv"}
        outputs = {name: self.path(name) for name in ("similarity", "dimensions", "featurebias", "manifolds")}
        return run_step("match", settings, inputs=inputs, outputs=outputs, seed=SEED)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {name: pd.read_parquet(self.path(name)) for name in MATCHING_TABLES}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    made = Networks(tmp_path_factory.mktemp("match"))
    assert made.run({"seen": {0: "half", 100: "seen"}}, features=["kind", "shape", "noise"]) == 0
    return made


def test_categories_stand_out_where_they_are_planted(networks: Networks) -> None:
    table = networks.tables()["manifolds"]
    layers = table[table["step"] < 0].set_index(["model", "layer", "feature", "measure"])
    planted, nothing = layers.loc["other", "l2", "shape"], layers.loc["other", "l2", "kind"]
    assert planted.loc["capacity", "value"] > 1.5 * planted.loc["capacity", "null_high"]
    assert planted.loc["nc1", "value"] < planted.loc["nc1", "null_low"] / 3
    assert nothing.loc["capacity", "value"] == pytest.approx(nothing.loc["capacity", "null"], rel=0.1)
    training = table[(table["step"] >= 0) & (table["measure"] == "cdnv") & (table["feature"] == "kind")]
    late = training.set_index(["step", "layer"])["value"]
    assert late[0, "l1"] < 0.3 * late[100, "l1"]  # at first there is nothing else


def test_numbers_are_those_of_the_library(networks: Networks) -> None:
    tables = networks.tables()
    assert len(matching_section(tables).panels) == 6
    found = {model: load(networks.path("features", model=model), Layers) for model in networks.models}
    ids = next(iter(found["seen"].values())).stimuli["stimulus_id"].tolist()
    layers = layers_of(found, ids)
    some = {key: layers[key] for key in (("seen", "l1"), ("again", "l0"), ("other", "l1"))}
    ridge = Ridge(np.logspace(-3, 6, 10), cv=10, dtype="float64")
    expected = geometry.compare_networks(some, MEASURES, draws=2, regressor=ridge, seed=SEED)
    mine = tables["similarity"].set_index(["model_a", "layer_a", "model_b", "layer_b"])
    same = mine.loc[[("seen", "l1", "again", "l0"), ("seen", "l1", "other", "l1"), ("again", "l0", "other", "l1")]]
    pd.testing.assert_frame_equal(same.reset_index()[expected.columns], expected, rtol=1e-4, atol=1e-8)
    about = load_sidecar(networks.path("manifolds"))["details"]
    assert about["categories"] == {"kind": {"each": 20, "left_out": []}, "shape": {"each": 20, "left_out": ["star"]}}
    found = tables | {"order": ids, "about": about["n_stimuli"]}
    Record(Path(__file__).parent / "recorded_stages.json").check("match", found, 1e-3)


def test_few_stimuli_are_drawn_and_counted_and_ids_keep_their_zeros(networks: Networks, tmp_path: Path) -> None:
    assert networks.run(models=["again", "other"], measures=["cka"], stimuli=50) == 0
    tables = networks.tables()
    assert set(tables["similarity"]["n_stimuli"]) == set(tables["dimensions"]["n"]) == {50}
    assert networks.run(models=["again", "other"], measures=["cka"], features=["place"]) == 0
    tables = networks.tables()
    [reason] = set(tables["manifolds"]["note"])
    assert reason == "0 of 32 categories have 8 or more stimuli; two are needed"
    assert f"No capacity or collapse of place: {reason}." in matching_section(tables).paragraphs
    table = write_table(tmp_path / "stimuli.tsv", stimulus_id=["001", "002"], size=[1.5, 2.0], kind=["a", "b"])
    given = Job("match", {}, {"stimuli": [table]}), ["002", "001"]
    known = match._known(*given, MatchSettings(features=("size", "kind")))
    assert (known["size"].tolist(), known["kind"].tolist()) == ([2.0, 1.5], ["b", "a"])
    wrong = "match.features: stimuli.tsv: no column 'colour'; it has "
    refused(wrong, match._known, *given, MatchSettings(features=("kind", "colour")))


ALIGNED = ("aligned", "alignment", "alignedregions")
OPTIONS = {"teacher": "one", "clusters": 12, "groups": 10, "triplets": 5000, "penalties": [1e-4, 1e-3]}


class Study:
    """160 objects, each with features of two networks; `people` judge; two subjects' V1 sees look-alikes, IT kinds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, abstraction_world(10, 8, 2, seed=4)
        self.path = partial(artifact_path, folder, "people")
        rng, n = np.random.default_rng(0), len(self.world.basic)
        self.ids = [f"object{k:03d}" for k in range(n)]
        drawn = np.unique(np.sort(rng.integers(n, size=(20_000, 3)), axis=1), axis=0)
        drawn = rng.permutation(drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)])
        self.triplets = self.world.judge(drawn[:-80], rng)[0]
        self.repeats = self.world.judge(np.repeat(drawn[-80:], 12, axis=0), rng)[0]
        self.save("triplets", Arrays({"triplets": self.triplets, "repeats": self.repeats}), stimuli=self.ids)
        kinds = np.eye(10)[self.world.superordinate].astype(np.float32)  # what an embedding of judgements might hold
        self.save("concepts", Arrays({"sparse": kinds}), stimuli=self.ids)
        layers = {"one": {"deep": self.world.features, "noise": rng.normal(size=(n, 12))}}
        layers |= {"two": {"l0": self.world.others}}
        order = rng.permutation(n)  # rows of another order are matched by stimulus
        stimuli = pd.DataFrame({"stimulus_id": np.array(self.ids)[order]})
        for model, values in layers.items():
            made = {k: Features(10 * v[order].astype(np.float32), stimuli, k) for k, v in values.items()}
            self.save("features", Layers(made), model=model)
        self.rdms, self.shown = [], rng.permutation(n)[:60]
        shown = self.shown
        for subject in ("01", "02"):
            patterns = [np.eye(10)[labels[shown]] for labels in (self.world.lookalike, self.world.superordinate)]
            rdms = [geometry.rdm(p + 0.2 * rng.normal(size=p.shape), "euclidean") for p in patterns]
            self.rdms.append(rdms)
            path = artifact_path(folder, "brains", "rdm", subject=subject)
            about = {"conditions": [self.ids[k] for k in shown], "groups": ["V1", "IT"]}
            save(path, Arrays({"responses": np.stack(rdms)}), BY, **about)

    def save(self, suffix: str, content: object, *, model: str | None = None, **about: object) -> None:
        save(self.path(suffix, **({"model": model} if model else {})), content, BY, **about)

    def run(self, **options: object) -> int:
        concepts = {"methods": ["sparse"], "permutations": 19, "regions_of": "brains"}
        inputs: dict[str, object] = {name: self.path(name) for name in ("triplets", "concepts")}
        inputs |= {"features": [self.path("features", model=model) for model in ("one", "two")]}
        inputs |= {"regions": [artifact_path(self.folder, "brains", "rdm", subject=name) for name in ("01", "02")]}
        outputs, settings = {name: self.path(name) for name in ALIGNED}, {"align": OPTIONS | options}
        return run_step("align", settings | {"concepts": concepts}, inputs=inputs, outputs=outputs, seed=1)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(tmp_path_factory.mktemp("align"))
    assert made.run() == 0
    return made


def test_networks_gain_on_unseen_objects_and_controls_do_not(study: Study) -> None:
    about = load_sidecar(study.path("alignment"))["details"]
    assert about["teacher"] == ["one", "deep"]  # the layer of noise predicts nothing
    scores = pd.read_parquet(study.path("alignment")).set_index(["model", "control", "split", "level"])
    for model in ("one", "two"):
        aligned = scores.loc[model, "aligned", "unseen objects", "all"]
        assert aligned["gain"] > max(0.12, 3 * aligned["gain_se"])
        for level in ("boundary", "coarse"):  # which networks do not know
            gained = scores.loc[model, "aligned", "unseen objects", level]
            assert gained["gain"] > max(0.15, 2 * gained["gain_se"])
        assert scores.loc[model, "shuffled choices", "unseen objects", "all"]["gain"] < 0.05
        doubts = scores["uncertainty_r"].loc[model, :, "repeated", "all"]
        assert doubts["aligned"] > doubts["unaligned"] + 0.2
    assert scores.loc["two", "unaligned teacher", "unseen objects", "all"]["gain"] < 0.05
    found = load(study.path("aligned"), Arrays)
    for model, values in {"one": 10 * study.world.features, "two": 10 * study.world.others}.items():
        expected = values @ found[f"{model}_weight"].T + found[f"{model}_bias"]
        np.testing.assert_allclose(found[model], expected, atol=1e-3 * np.abs(expected).max())
        alike = [geometry.object_similarities(each) for each in (values, found[model])]
        before, after = (geometry.odd_one_out_accuracy(each, study.triplets) for each in alike)
        assert after > before + 0.1
    triplets = geometry.unrepeated(study.triplets, study.repeats, 160)
    split = geometry.split_objects(triplets, 160, 0.25, np.random.default_rng(1))
    expected = {"teacher": ["one", "deep"], "n_train": len(split.train), "n_unseen": 40, "n_objects": 160}
    assert about | expected == about
    assert about["ceilings"] == pytest.approx(asdict(geometry.repeated_ceilings(study.repeats, 160)))
    shown = np.sort(study.shown)  # in the order of all objects
    i, j = np.triu_indices(60, 1)
    order = np.argsort(study.shown)
    of_regions = [[geometry.square_rdms(of[k])[order[i], order[j]] for of in study.rdms] for k in (0, 1)]
    rdms = {region: np.stack(of) for region, of in zip(("V1", "IT"), of_regions, strict=True)}
    assert alignment_section({name: pd.read_parquet(study.path(name)) for name in ALIGNMENT_TABLES}, about).panels
    table = pd.read_parquet(study.path("alignedregions"))
    for model in ("one", "two"):
        mine = table[(table["model"] == model) & (table["control"] == "aligned")].reset_index(drop=True)
        expected = geometry.region_table(rdms, found[model][shown], 19, 1)
        pd.testing.assert_frame_equal(mine[expected.columns], expected, rtol=1e-3, atol=1e-4)
    scores = table.set_index(["model", "region", "control"])["score"]
    for model in ("one", "two"):
        assert scores[model, "IT", "aligned"] > scores[model, "IT", "unaligned"] + 0.1
        assert scores[model, "V1", "aligned"] < scores[model, "V1", "unaligned"] - 0.05


def test_what_cannot_be_aligned(study: Study, fails) -> None:
    fails("no teacher 'three'", study.run, teacher="three")
    with pytest.raises(ValidationError, match="penalties"):
        AlignSettings(penalties=(1.0,))
    assert AlignSettings(teacher="one").models_of(["two", "one"]) == ["one", "two"]
    assert AlignSettings(teacher="one", students=("one",)).models_of(["two", "one"]) == ["one"]
    assert AlignSettings(teacher="one").models_of(["two"]) == []
