"""The stages of a space that modalities share, on a small simulated study."""

import shutil
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from jobs import asked, config_of, draw_page, reruns, run_all, run_step
from made import write_yaml
from PIL import Image
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from seeded.recorded import Record, Stage

from brainalign.arrays import Arrays
from brainalign.decoding import SharedSpace, Trials
from brainalign.io import Provenance, load, load_sidecar, save
from brainalign.pipelines.decode import decode_modalities
from brainalign.pipelines.report.failures import failures_of
from brainalign.workflow import Run

PIXELS = {"pixels": {"extractor": "pixels", "image_size": 4}}
OPTIONS = {"steps": 40, "width": 16, "permutations": 99, "draws": 1, "whiten": True}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modalities")
    sizes = {"n_train": 60, "n_images": 1, "n_test": 20, "snr": 4, "subjects": {"eeg": 2, "fmri": 2}}
    content = {"name": "small", "title": "A <mine> study", "simulate": {"world": "modalities"} | sizes}
    settings = config_of(write_yaml(folder / "small.yaml", content), models=PIXELS, decode_modalities=OPTIONS)
    run_all(settings, "prepare_modalities", "decode_modalities")
    assert draw_page(settings, "small") == 0
    return folder / "results" / "small"


def test_the_table_holds_every_decoder_and_direction(results: Path) -> None:
    table = load(results / "group" / "modalities" / "spaceretrieval.parquet", pd.DataFrame)
    assert set(table["decoder"]) == {"joint", "ridge", "unimodal", "shuffled", "noise", "one layer", "noise at test"}
    joint = table[(table["decoder"] == "joint") & (table["measure"] == "top-5")].set_index(["kind", "query"])["value"]
    assert joint[("image", "fmri")].item() > 0.8
    nulls = table[table["decoder"].isin(["shuffled", "noise", "noise at test"]) & (table["kind"] == "image")]
    assert (nulls["value"] < nulls["chance"] + 4 * nulls["null_sd"]).all()
    space = SharedSpace.load(results / "group" / "modalities" / "weights.safetensors")
    assert space.embed("fmri", np.load(results / "raw" / "fmri" / "fmri01.npy")[:2], ["fmri01"] * 2).shape == (2, 48)
    geometry = load(results / "group" / "modalities" / "spacegeometry.parquet", pd.DataFrame)
    joint = geometry[geometry["decoder"] == "joint"].set_index("source")
    assert (joint["r"] > joint["null_high"]).all()
    path = results / "group" / "modalities" / "sharedspace.safetensors"
    rows = pd.read_csv(results / "raw" / "stimuli.csv").set_index("stimulus_id")
    found, vectors = load(path, Arrays)["fused"], np.load(results / "raw" / "vectors.npy")
    # Vectors are centred on the training images, so their correlation distances are those of centred ones.
    images = vectors - vectors[(rows["split"] == "train").to_numpy()].mean(axis=0)
    images = images[rows.index.get_indexer(load_sidecar(path)["details"]["stimuli"])]
    expected = spearmanr(pdist(found, "correlation"), pdist(images, "correlation"))[0]
    assert joint.loc["fused", "r"] == pytest.approx(expected, abs=1e-6)
    assert "A &lt;mine&gt; study" in (results / "group.html").read_text()


def test_validation_images_choose_the_weights_of_every_training(rng: np.random.Generator) -> None:
    """What stands beside the joint space is chosen as it is; a null by null pairs."""
    parts: dict[str, dict[str, Trials]] = {}
    for split, n in {"train": 6, "val": 3, "test": 3}.items():
        meta = pd.DataFrame({"stimulus_id": [f"{split}{k}" for k in range(n)], "subject": "01", "task": "x"})
        names = ("eeg", "fmri")
        parts[split] = {name: Trials(rng.normal(size=(n, 4)), rng.normal(size=(n, 2)), meta) for name in names}
    given: list[dict[str, Trials] | None] = []
    space = MagicMock(**{"embed.side_effect": lambda name, signals, subjects: signals})
    space.fit.side_effect = lambda train, val=None: given.append(val) or space
    beside = ("unimodal", "one layer", "shuffled")
    assert set(decode_modalities._beside(beside, lambda **changed: space, *parts.values(), 0)) == set(beside)
    val = parts["val"]
    assert given[:3] == [{"eeg": val["eeg"]}, {"fmri": val["fmri"]}, val]
    for name, trials in given[3].items():
        assert not np.array_equal(trials.signals, val[name].signals)
        assert sorted(trials.signals[:, 0]) == sorted(val[name].signals[:, 0])
    given.clear()
    decode_modalities._beside(beside, lambda **changed: space, parts["train"], {}, parts["test"], 0)
    assert given == [None] * 4


def test_a_small_study_is_decoded_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    images = pd.DataFrame({"stimulus_id": [f"i{k}" for k in rng.permutation(60)], "split": "train"})
    images.loc[3:10, "split"], images.loc[11:18, "split"] = "test", "val"
    vectors = rng.normal(size=(60, 5)) + 3
    arrays, tables = {"image vectors": vectors, "image properties": vectors[:, :3] * [1, 2, 0] + 1}, []
    for name, n, shape in (("fmri", 50, (7,)), ("eeg", 60, (3, 14))):
        rows = np.concatenate([np.arange(n)[::-1], np.arange(n), np.arange(n), np.arange(3, 30)])
        subject = np.repeat(["b", "a"], [2 * n, n + 27])
        signals = np.tensordot(vectors[rows], rng.normal(size=(5, *shape)), 1)
        arrays[name] = signals + rng.normal(size=signals.shape) * 2
        tables.append(images.iloc[rows].assign(modality=name, subject=subject, task="view"))
    inputs = {"modalities": Arrays(arrays), "modalitytrials": pd.concat(tables), "modalitystimuli": images}
    options = {"steps": 2, "width": 8, "permutations": 99, "draws": 3, "whiten": True, "batch_size": 16}
    job = Stage(options, inputs, {"weights": tmp_path / "weights.safetensors"})
    decode_modalities.decode_modalities(job)  # type: ignore[arg-type]
    Record(Path(__file__).parent / "recorded_stages.json").check("decode_modalities", job.saved)


def test_a_finished_study_did_not_fail(results: Path) -> None:
    run = Run(config_of(results.parent.parent / "small.yaml", models=PIXELS, decode_modalities=OPTIONS))
    assert failures_of(run, "small", "") == []
    path = results / "raw" / "fmri" / "fmri01_trials.csv"
    text = path.read_text()
    path.write_text(text + "\n")
    stages = [failure.stage for failure in failures_of(run, "small", "")]
    path.write_text(text)
    assert stages == ["prepare_modalities", "decode_modalities"]


def write_things(folder: Path) -> Path:
    """Write EEG in the files of THINGS-EEG2, of images whose colour and contrast it tells; return the descriptor."""
    rng = np.random.default_rng(0)
    names = [f"{kind}{k:02d}" for kind, n in (("train", 40), ("test", 12)) for k in range(n)]
    colours = {name: rng.uniform(0, 255, size=3) for name in names}
    rows, grain = [], {}
    for name, colour in colours.items():
        partition = "training" if name.startswith("train") else "test"
        place = folder / "images" / f"{partition}_images" / f"{int(name[-2:]) + 1:05d}_{name}"
        place.mkdir(parents=True)
        grain[name] = rng.uniform(2, 40)
        picture = np.clip(colour + rng.normal(scale=grain[name], size=(16, 16, 1)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(place / f"{name}_a.png")
        split = "test" if partition == "test" else ("val" if int(name[-2:]) >= 34 else "train")
        rows.append((f"{name}_a", split, name, str((place / f"{name}_a.png").relative_to(folder))))
    pd.DataFrame(rows, columns=["stimulus_id", "split", "concept", "path"]).to_csv(folder / "stimuli.csv", index=False)
    mixing = rng.normal(size=(4, 8, 20))
    (folder / "eeg2" / "sub-01").mkdir(parents=True)
    for partition, n_repeats in (("training", 4), ("test", 10)):
        names = [name for name in colours if name.startswith(partition[:4])]
        shown = np.array([[*(colours[name] - 128) / 60, (grain[name] - 20) / 10] for name in names])
        values = np.einsum("nd,dct->nct", shown, mixing)[:, None] + rng.normal(size=(len(shown), n_repeats, 8, 20))
        content = {"preprocessed_eeg_data": values, "ch_names": [f"E{k}" for k in range(8)]}
        content["times"] = np.linspace(0, 0.19, 20)
        np.save(folder / "eeg2" / "sub-01" / f"preprocessed_eeg_{partition}.npy", content, allow_pickle=True)
    eeg = {"format": "things_eeg2", "modality": "eeg", "folder": "eeg2", "images": "images", "participants": ["01"]}
    study = {"name": "things", "stimuli": "stimuli.csv", "recordings": {"all": eeg | {"trust_pickle": True}}}
    return write_yaml(folder / "things.yaml", study)


def test_released_files_and_a_model_of_images(tmp_path: Path) -> None:
    """Epochs as THINGS-EEG2 pickles them, and features of a network as the vectors of images."""
    descriptor, place = write_things(tmp_path), tmp_path / "results" / "things" / "group" / "modalities"
    options = OPTIONS | {"beside": ["shuffled"], "model": "pixels"}
    datasets = {"things": {"descriptor": str(descriptor), "models": ["pixels"]}}
    config = config_of(descriptor, datasets=datasets, models=PIXELS, decode_modalities=options)
    run_all(config, "prepare_modalities", "extract", "decode_modalities")
    found = load(place / "spaceretrieval.parquet", pd.DataFrame)
    image = found[(found["kind"] == "image") & (found["measure"] == "top-1")].set_index("decoder")
    assert image.loc["joint", "value"] > 0.5
    # Of colour and contrast, luminance and contrast hold a part.
    low = found[(found["decoder"] == "low level") & (found["kind"] == "image")].set_index("measure")
    assert low.loc["top-5", "p"] <= 0.05
    assert low.loc["top-1", "value"] < image.loc["joint", "value"]
    assert image.loc["shuffled", "value"] <= image.loc["shuffled", "chance"] + 4 * image.loc["shuffled", "null_sd"]
    assert draw_page(config, "things") == 0
    recorded, image = tmp_path / "eeg2" / "sub-01" / "preprocessed_eeg_training.npy", next(tmp_path.rglob("*_a.png"))
    decoded, known = {"prepare_modalities": 1, "decode_modalities": 1, "report_group": 1}, asked(config)
    assert reruns(known, config, recorded) == decoded
    Image.new("RGB", (16, 16), "white").save(image)
    assert reruns(known, config) == decoded | {"extract": 1}
    # With the properties of other images nothing is found.
    path = place / "modalities.safetensors"
    arrays = dict(load(path, Arrays))
    order = np.random.default_rng(0).permutation(len(arrays["image properties"]))
    save(path, Arrays(arrays | {"image properties": arrays["image properties"][order]}), Provenance("test", {}, ""))
    run_all(config, "decode_modalities")
    found = load(place / "spaceretrieval.parquet", pd.DataFrame)
    low = found[(found["decoder"] == "low level") & (found["kind"] == "image")]
    assert (low["value"] <= low["chance"] + 3 * low["null_sd"]).all()


def test_a_table_may_name_images_that_are_elsewhere(tmp_path: Path, results: Path) -> None:
    shutil.copytree(results / "raw", tmp_path, dirs_exist_ok=True)
    table = pd.read_csv(tmp_path / "stimuli.csv", dtype=str)
    table["path"] = "elsewhere/" + table["stimulus_id"] + ".png"
    table.to_csv(tmp_path / "stimuli.csv", index=False)
    (trials,) = (tmp_path / "fmri").glob("fmri01*.csv")
    files = {"modality": "fmri", "signals": "fmri/fmri01.npy", "trials": f"fmri/{trials.name}", "format": "arrays"}
    content = {"name": "away", "stimuli": "stimuli.csv", "vectors": "vectors.npy", "recordings": {"fmri01": files}}
    outputs = {name: tmp_path / f"{name}.parquet" for name in ("modalitytrials", "modalitystimuli")}
    outputs["modalities"] = tmp_path / "modalities.safetensors"
    inputs = {"descriptor": write_yaml(tmp_path / "away.yaml", content), "folder": tmp_path}
    assert run_step("prepare_modalities", inputs=inputs, outputs=outputs) == 0
    assert set(load(outputs["modalities"], Arrays)) == {"fmri", "image vectors"}
