import os
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refusals import refused
from rsatoolbox.rdm.rdms import RDMs
from safetensors.numpy import save_file
from scipy.io import loadmat, savemat
from scipy.spatial.distance import squareform

from brainalign.datasets import read_rdm_study
from brainalign.datasets.formats import RdmSets, read_kriegeskorte92, write_stimulus_images
from brainalign.study import Study, parse

FOLDER = Path(os.environ.get("BRAINALIGN_DATA", "nowhere")) / "kriegeskorte92"
FILES = ("Kriegeskorte_Neuron2008_supplementalData.mat", "92_brainRDMs.mat", "92_behavRDMs.mat", "92_modelRDMs.mat")
real = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs kriegeskorte92 in the folder named by BRAINALIGN_DATA")


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    table = pd.DataFrame({"stimulus_id": list("abcd"), "path": "x.png", "category": "thing"})
    table.to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
    save_file({"it": rng.uniform(size=(3, 2, 6)).astype(np.float32)}, tmp_path / "sets.safetensors")
    save_file({"size": rng.uniform(size=6)}, tmp_path / "models.safetensors")
    return tmp_path


def read(folder: Path, **changes: object) -> RdmSets:
    content = {"name": "mine", "folder": folder, "stimuli": "stimuli.tsv", "model_rdms": "models.safetensors"}
    content["recordings"] = {"it": {"format": "rdms", "file": "sets.safetensors"}}
    return read_rdm_study(parse(Study, content | changes, "test"))


def test_a_study_of_ones_own(folder: Path) -> None:
    study = read(folder)
    assert (study.sets["it"].shape, study.sets["it"].dtype, list(study.models)) == ((3, 2, 6), np.float64, ["size"])
    assert study.stimuli["path"].tolist() == [str((folder / "x.png").resolve())] * 4
    assert read(folder, model_rdms=None).models == {}
    save_file({"it": np.ones((3, 2, 6)), "v1": np.arange(6.0)[None]}, folder / "sets.safetensors")
    refused("holds 2 arrays .*; say which one with key", read, folder)
    values = np.random.default_rng(2).uniform(size=(3, 6))
    savemat(folder / "it.mat", {"it": values, "note": "of three subjects"})
    of_matlab = read(folder, recordings={"it": {"format": "rdms", "file": "it.mat"}})
    np.testing.assert_array_equal(of_matlab.sets["it"][:, 0], values)
    sets = read(folder, recordings={"early": {"format": "rdms", "file": "sets.safetensors", "key": "v1"}}).sets
    assert {name: values.shape for name, values in sets.items()} == {"early": (1, 1, 6)}


def test_files_of_rsatoolbox_are_read_by_their_labels(folder: Path) -> None:
    """Stimuli in another order, two sessions a subject out of order, regions in one file, models by name."""
    rdms, order = np.random.default_rng(1).uniform(size=(6, 4, 4)), [2, 0, 3, 1]
    rdms = (rdms + rdms.transpose(0, 2, 1)) * (1 - np.eye(4))
    labels = {"subject": ["b", "a", "b", "a", "a", "b"], "roi": ["V1"] * 4 + ["IT"] * 2, "name": list("uvwxyz")}
    patterns = {"condition": [list("abcd")[k] for k in order]}
    shuffled = RDMs(rdms[:, order][:, :, order], rdm_descriptors=labels, pattern_descriptors=patterns)
    shuffled.save(str(folder / "theirs.h5"), "hdf5")
    recorded = {name: {"format": "rdms", "file": "theirs.h5", "key": name} for name in ("V1", "IT")}
    study = read(folder, recordings=recorded, model_rdms="theirs.h5")
    pairs = rdms[:, *np.triu_indices(4, 1)]
    np.testing.assert_array_equal(study.sets["V1"], pairs[[[0, 2], [1, 3]]])
    np.testing.assert_array_equal(study.sets["IT"][:, 0], pairs[[4, 5]])
    np.testing.assert_array_equal(study.models["y"], pairs[4])
    refused("key 'V4' is no descriptor of its RDMs", read, folder, recordings={"V4": recorded["V1"] | {"key": "V4"}})
    RDMs(rdms, pattern_descriptors={"condition": list("abcx")}).save(str(folder / "other.h5"), "hdf5")
    refused("condition of its 4 patterns and the 4 stimuli of the table differ in", read, folder, model_rdms="other.h5")


def test_tables_that_name_their_stimuli(folder: Path) -> None:
    """A matrix with ids around it, and a row per pair of regions, subjects and sessions, in any order."""
    pairs = np.random.default_rng(3).uniform(size=(2, 3, 2, 6)).round(3)  # regions, subjects, sessions
    pairs[0, 1, 0, 2] = np.nan
    square = np.zeros((4, 4))
    square[*np.triu_indices(4, 1)] = square.T[*np.triu_indices(4, 1)] = pairs[1, 0, 0]
    pd.DataFrame(square, list("abcd"), list("abcd")).loc[list("cadb"), list("dbca")].to_csv(folder / "square.csv")
    index = pd.MultiIndex.from_product((("V1", "IT"), ("s2", "s1", "s3"), (0, 1), combinations("abcd", 2)))
    table = index.to_frame(index=False, name=["region", "subject", "session", "pair"]).assign(n_trials=9)
    ends = np.array(table.pop("pair").tolist())
    ends[::2] = ends[::2, ::-1]
    table[["left", "right"]] = ends
    table = table.assign(distance=pairs.ravel()).sample(frac=1, random_state=0)
    table = table.sort_values(["subject", "session"], kind="stable")
    table.to_csv(folder / "long.tsv", sep="\t", index=False)
    of_table = {region: {"format": "rdms", "file": "long.tsv", "key": region} for region in ("V1", "IT")}
    sets = read(folder, recordings=of_table | {"one": {"format": "rdms", "file": "square.csv"}}).sets
    np.testing.assert_array_equal([sets["V1"], sets["IT"]], pairs[:, [1, 0, 2]])
    np.testing.assert_array_equal(sets["one"], pairs[1, 0, 0][None, None])
    some = {"it": {"format": "rdms", "file": "long.tsv"}}
    refused(r"'region' takes 2 values; give one of them as key \((IT|V1), ", read, folder, recordings=some)
    refused("key 'V4' leaves 0 rows", read, folder, recordings={"it": some["it"] | {"key": "V4"}})
    table.replace({"left": {"a": "x"}}).to_csv(folder / "long.tsv", sep="\t", index=False)
    refused("the 4 stimuli of the study stand neither around", read, folder, recordings=of_table)
    table.assign(left="a", right="b")[table["region"] == "V1"].to_csv(folder / "long.tsv", sep="\t", index=False)
    refused("a and b have dissim.* of the same subject and session", read, folder, recordings={"V1": of_table["V1"]})
    table = table[["left", "right", "distance"]].set_axis([*"ab", "Similarity"], axis=1)
    table.to_csv(folder / "long.tsv", sep="\t", index=False)
    refused("'Similarity' are similarities by their name", read, folder, recordings=some)


def test_stimuli_and_subjects_may_be_numbers(folder: Path) -> None:
    (folder / "stimuli.tsv").write_text("stimulus_id\n1\n2\n3\n4\n")
    pairs = np.arange(12).reshape(2, 6) % 4 + 1  # ratings from 1 to 4
    pd.DataFrame(squareform(pairs[0]), range(1, 5), range(1, 5)).to_csv(folder / "m.tsv", sep="\t")
    rows = [(subject, *pair) for subject in (1, 2) for pair in combinations("1234", 2)]
    pd.DataFrame(rows, columns=["subject", 0, 1]).assign(distance=pairs.ravel()).to_csv(folder / "p.csv", index=False)
    sets = read(folder, recordings={name[0]: {"format": "rdms", "file": name} for name in ("m.tsv", "p.csv")}).sets
    np.testing.assert_array_equal(sets["m"], pairs[:1, None])
    np.testing.assert_array_equal(sets["p"], pairs[:, None])


def test_bad_files_of_ones_own(folder: Path) -> None:
    sets, models, stimuli = (folder / name for name in ("sets.safetensors", "models.safetensors", "stimuli.tsv"))
    for path, spoil, message in (
        (sets, sets.unlink, "no file sets.safetensors"),
        (sets, lambda: sets.write_bytes(sets.read_bytes()[:90]), "not a complete"),
        (sets, lambda: save_file({"it": np.ones((3, 10))}, sets), r"\(3, 1, 10\) but 4 stimuli need"),
        (sets, lambda: save_file({"it": np.ones((1, 1, 10))}, sets), r"4 stimuli need \(n_subjects"),
        (models, lambda: save_file({"m": np.full(6, np.inf)}, models), "holds infinities"),
        (stimuli, stimuli.unlink, "no file stimuli.tsv"),
        (stimuli, lambda: stimuli.write_text("stimulus_id\na\na\nb\nc\n"), r"1 stimulus ids are there twice \(a\)"),
        (stimuli, lambda: stimuli.write_text("name\na\nb\nc\nd\n"), "no column .stimulus_id"),
    ):
        whole = path.read_bytes()
        spoil()
        refused(message, read, folder)
        path.write_bytes(whole)


def test_images_are_written_as_they_are(tmp_path: Path) -> None:
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b"]})
    images = np.random.default_rng(0).integers(0, 256, size=(2, 5, 4, 3), dtype=np.uint8)
    table = write_stimulus_images(RdmSets(stimuli, {}, images=images), tmp_path / "images")
    for path, image in zip(table["path"], images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images" / path)), image)
    assert table["sha256"].nunique() == 2
    refused("holds no images", write_stimulus_images, RdmSets(stimuli, {}), tmp_path)


@real
def test_the_92_images() -> None:
    study = read_kriegeskorte92(lambda name: FOLDER / name)
    shapes = {name: rdms.shape[:2] for name, rdms in study.sets.items()}
    assert shapes == {"humanIT": (4, 2), "monkeyIT": (1, 1), "judgements": (16, 1)}
    assert study.images.shape == (92, 175, 175, 3)
    assert list(study.models)[:6] == ["animacy", "FaceBodyManmadeNatobj", "monkeyIT", "EVA", "HMAX", "V1"]
    assert study.stimuli[["human", "face", "animal", "natural"]].sum().tolist() == [24, 24, 48, 71]
    assert all(np.isfinite(rdms).all() for rdms in study.sets.values())


@real
@pytest.mark.parametrize("name", FILES)
def test_truncated_missing_and_wrong_files(name: str, tmp_path: Path) -> None:
    for file in FILES:
        shutil.copyfile(FOLDER / file, tmp_path / file)
    broken = tmp_path / name
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    refused(f"{name}: (not a readable|lacks)", read_kriegeskorte92, lambda file: tmp_path / file)
    broken.unlink()
    refused(f"{name} was not found", read_kriegeskorte92, lambda file: tmp_path / file)
    savemat(broken, {"something": np.ones(3)})
    refused("lacks the variable", read_kriegeskorte92, lambda file: tmp_path / file)


VARIABLES = [("92_brainRDMs.mat", "RDMs"), ("92_behavRDMs.mat", "rdms_behav_92"), (FILES[3], "Models")]


@real
@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_another_order_of_stimuli_is_found(name: str, variable: str, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(92)
    content = loadmat(FOLDER / name, squeeze_me=True, struct_as_record=False)[variable]
    shape = content.shape
    entries = np.empty(shape, dtype=[("RDM", object), ("name", object)])
    for index in np.ndindex(shape):
        entries[index] = (content[index].RDM[np.ix_(order, order)], content[index].name)
    savemat(tmp_path / name, {variable: entries})
    refused("different orders", read_kriegeskorte92, lambda file: (tmp_path if file == name else FOLDER) / file)
