import os
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from made import write_table, write_yaml
from PIL import Image
from refusals import refused
from rsatoolbox.rdm.rdms import RDMs
from safetensors.numpy import save_file
from scipy.io import loadmat, savemat
from scipy.spatial.distance import squareform
from worlds.small import write_things_files

from brainalign.arrays import Arrays
from brainalign.cli import main
from brainalign.datasets import audit_study, read_judgements, read_objects, read_rdm_study, read_triplets
from brainalign.datasets.formats import RdmSets, read_kriegeskorte92, write_stimulus_images
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.simulation import ConceptWorld, concept_world
from brainalign.study import Study, load_descriptor, parse

FOLDER = Path(os.environ.get("BRAINALIGN_DATA", "nowhere")) / "kriegeskorte92"
FILES = ("Kriegeskorte_Neuron2008_supplementalData.mat", "92_brainRDMs.mat", "92_behavRDMs.mat", "92_modelRDMs.mat")
real = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs kriegeskorte92 in the folder named by BRAINALIGN_DATA")


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    write_table(tmp_path / "stimuli.tsv", stimulus_id=list("abcd"), path="x.png", category="thing")
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
    refused("no variable ", read_kriegeskorte92, lambda file: tmp_path / file)


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


JUDGED = {"format": "triplets", "triplets": ["trainset.txt"], "repeats": ["testset1.txt"]}
JUDGED |= {"embedding": "spose_embedding.txt", "dimensions": "labels.txt"}


@pytest.fixture(scope="module")
def world() -> ConceptWorld:
    return concept_world(20, 3, 900, n_repeated=20, n_people=5, seed=1)


def write(folder: Path, world: ConceptWorld, first: int = 0, **files: object) -> Path:
    write_things_files(world, folder, first)
    given = {key: value for key, value in (JUDGED | files).items() if value is not None}
    path = folder / "things.yaml"
    return write_yaml(path, {"name": "things", "stimuli": "unique_id.txt", "recordings": {"us": given}})


@pytest.mark.parametrize("index_base", [0, 1])
def test_what_is_written_is_read(tmp_path: Path, world: ConceptWorld, index_base: int) -> None:
    about = load_descriptor(write(tmp_path, world, index_base))
    assert about.extract_options() == {"stimuli": "unique_id.txt"}
    found = read_judgements(about)
    assert found.index_base == index_base
    np.testing.assert_array_equal(found.triplets, world.triplets)
    np.testing.assert_array_equal(found.repeats, world.repeats)
    np.testing.assert_allclose(found.embedding, world.embedding, atol=1e-6)
    assert found.dimensions == ["property 1", "property 2", "property 3"]
    assert found.objects.iloc[7].tolist() == ["thing_07_a", "thing 07 a"]


@pytest.mark.parametrize("odd", ["name", "place", "one of three"])
def test_a_table_may_name_objects(tmp_path: Path, world: ConceptWorld, odd: str, capsys) -> None:
    path, last = write(tmp_path, world, triplets=["named.csv"], duplicates="keep"), world.triplets[:, 2]
    names = read_objects(tmp_path / "unique_id.txt")["stimulus_id"].to_numpy()
    turned = np.random.default_rng(1).permuted(world.triplets, axis=1)
    told = {"name": names[last], "place": 1 + (turned == last[:, None]).argmax(axis=1)}
    table = pd.DataFrame(names[turned], columns=["left", "middle", "right"]).assign(odd=told.get(odd), rt_ms=700)
    table = table.rename(columns={"odd": "choice"}) if odd == "name" else table
    if odd == "one of three":
        table = pd.DataFrame(names[world.triplets], columns=["left", "right", "odd"])
    table.astype(str).reindex(range(-2, len(table))).to_csv(tmp_path / "named.csv", index=False)  # after instructions
    found = read_judgements(load_descriptor(path))
    np.testing.assert_array_equal(np.sort(found.triplets[:, :2]), np.sort(world.triplets[:, :2]))
    np.testing.assert_array_equal(found.triplets[:, 2], last)
    np.testing.assert_array_equal(found.repeats, world.repeats)
    write_table(tmp_path / "stimuli.csv", stimulus_id=names)
    assert main(["init", str(tmp_path), "--yes"]) == main(["check", str(tmp_path / "study.yaml")]) == 0
    assert "odd-one-out judgements" in (tmp_path / "study.yaml").read_text()
    spoilt = table.columns[2 if odd == "one of three" else 3]
    table.assign(**{spoilt: "thing"}).to_csv(tmp_path / "named.csv", index=False)
    refused("900 triplets are not three .* of which (odd|choice) is one", read_judgements, load_descriptor(path))
    compared = {"left": names[0], "middle": names[turned[:, 1]], "right": names[turned[:, 2]]}
    table = pd.DataFrame(compared).query("middle != left and right != left").assign(choice=lambda rows: rows["right"])
    table.to_csv(tmp_path / "named.csv", index=False)
    never = "choice is never left, as if the others had been compared with that one"
    refused(never, read_judgements, load_descriptor(path))
    table.drop(columns="choice").to_csv(tmp_path / "named.csv", index=False)
    refused("of its columns left, .* and none tells the odd one", read_judgements, load_descriptor(path))
    for name in ("named.csv", "study.yaml"):  # beside texts as THINGS has them
        (tmp_path / name).unlink()
    assert main(["init", str(tmp_path), "--yes"]) == 0
    found = read_judgements(load_descriptor(tmp_path / "study.yaml"))
    np.testing.assert_array_equal(found.triplets, world.triplets)
    np.testing.assert_array_equal(found.repeats, world.repeats)


def test_the_things_descriptor_names_files_of_this_format(root: Path, tmp_path: Path, monkeypatch) -> None:
    """Files of a small world under the published names are read as the published ones would be."""
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    path = root / "data" / "things-similarity.yaml"
    folder, small = tmp_path / "things-similarity", concept_world(20, 66, 900, n_repeated=20, n_people=5)
    write_things_files(small, tmp_path / "written")
    refused("set BRAINALIGN_DATA", load_descriptor(path).all_files)
    files = load_descriptor(path).recordings["people"]
    first, second = files.triplets
    given = {"trainset": first, "testset1": files.repeats[0], "spose_embedding": files.embedding}
    for name, target in (given | {"labels": files.dimensions, "unique_id": load_descriptor(path).stimuli}).items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "written" / f"{name}.txt").rename(folder / target)
    (folder / second).write_text(lines(small.triplets[:5]))  # the same triplets again: several people may judge them
    found = read_judgements(load_descriptor(path))
    assert (len(found.triplets), found.embedding.shape) == (905, (20, 66))
    study = load_descriptor(path)
    assert set(study.urls) == {str(file.relative_to(folder)) for file in study.all_files()}


def test_triplets_as_decimals_and_a_table_of_objects(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0.000e+00 5.0 2\n3\t4  1\n")
    np.testing.assert_array_equal(read_triplets(tmp_path / "a.txt"), [[0, 5, 2], [3, 4, 1]])
    path = tmp_path / "things_concepts.tsv"
    path.write_text("label\tstimulus_id\tpath\nbat\tbat1\ta.png\nhot dog\thot_dog\tb.png\n")
    images = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert read_objects(path).to_numpy().tolist() == [["bat1", "bat", images[0]], ["hot_dog", "hot dog", images[1]]]
    path.write_text("stimulus_id\tx\nbat1\t3\nhot_dog\t4\n")
    assert read_objects(path)["label"].tolist() == ["bat", "hot dog"]
    path.write_text("stimulus_id\n" + "\n".join(numbered := [f"object_{k}" for k in range(3)]) + "\n")
    assert read_objects(path)["label"].tolist() == numbered
    path.write_text("stimulus_Id\nbat1\n")
    refused(r"no column .stimulus_id..*did you mean 'stimulus_Id'", read_objects, path)


def broken(folder: Path, world: ConceptWorld, text: str | None = None, **files: object) -> str:
    path = write(folder, world, **files)
    if text is not None:
        (folder / "trainset.txt").write_text(text)
    return refused(".", read_judgements, load_descriptor(path))


def lines(triplets: np.ndarray) -> str:
    return "".join(f"{a} {b} {c}\n" for a, b, c in triplets)


def test_bad_files_are_named(tmp_path: Path, world: ConceptWorld) -> None:
    good = world.triplets
    assert "has 2 columns" in broken(tmp_path, world, "1 2\n3 4\n")
    assert "first: line 2" in broken(tmp_path, world, "0 1 2\n3 4 4.5\n")
    assert "first: line 1: [1e+16, 1.0, 2.0]); write" in broken(tmp_path, world, "1e16 1 2\n3 4 5\n")
    assert "no table of triplets" in broken(tmp_path, world, "image1 image2 odd\n0 1 2\n")
    assert "the same object twice (first: line 2: [3, 4, 3])" in broken(tmp_path, world, "0 1 2\n3 4 3\n")
    assert "out of range" in broken(tmp_path, world, lines(good) + "0 1 20\n")
    assert "out of range" in broken(tmp_path, world, lines(good) + "-1 1 2\n")
    assert "does not fit index_base: 1; write index_base: 0" in broken(tmp_path, world, index_base=1)
    assert "in no triplet" in broken(tmp_path, world, lines(good[:3]))
    message = broken(tmp_path, world, lines(good) + lines(good[2:3, [2, 0, 1]]))
    assert "1 of 901 triplets hold the same three objects" in message
    assert "duplicates: keep" in message
    assert "describes 3 dimensions, but there is no embedding" in broken(tmp_path, world, embedding=None)
    inner = world.triplets[((world.triplets > 0) & (world.triplets < 19)).all(axis=1)]
    message = broken(tmp_path, world, lines(inner), repeats=[])
    assert "counting may begin at 0 or at 1" in message
    assert "index_base: 0 or 1" in message
    # Said in the descriptor, what is left is that two objects were never shown.
    said = broken(tmp_path, world, lines(inner), repeats=[], index_base=0)
    assert "2 of 20 objects are in no triplet (thing_00_a, thing_19_a)" in said


def prepare(path: Path, results: Path) -> tuple[int, Path, Path]:
    out, stimuli = artifact_path(results, "things", "triplets"), results / "stimuli.tsv"
    files = {"triplets": out, "stimuli": stimuli}
    return run_step("prepare_triplets", inputs={"descriptor": path}, outputs=files), out, stimuli


@pytest.mark.parametrize("published", [True, False])
def test_prepare_checks_that_the_odd_one_is_last(tmp_path: Path, published: bool, capsys, fails) -> None:
    world = concept_world(30, 3, 3500, n_repeated=20, n_people=5, seed=1)
    path = write(tmp_path, world, **({} if published else {"embedding": None, "dimensions": None}))
    code, out, stimuli = prepare(path, tmp_path / "results")
    assert (code, main(["check", str(path)])) == (0, 0)
    arrays, details = load(out, Arrays), load_sidecar(out)["details"]
    np.testing.assert_array_equal(arrays["triplets"], world.triplets)
    assert ("embedding" in arrays) == published
    assert (details["n_triplets"], details["n_different"], details["n_repeats"]) == (3500, 3500, 100)
    assert np.argmax(details["odd_column_shares"]) == 2
    assert stimuli.read_text().splitlines()[1] == "thing_00_a\tthing 00 a\tthing 00 a"
    (tmp_path / "trainset.txt").write_text(lines(world.triplets[:, [2, 0, 1]]))
    fails("column 1 seems to be the odd one", lambda: prepare(path, tmp_path / "results")[0])
    assert main(["check", str(path)]) == 1
    assert "column 1 seems to be the odd one" in " ".join(capsys.readouterr().out.split())


def test_an_embedding_of_other_objects_or_in_another_order_stops(tmp_path: Path, world: ConceptWorld, fails) -> None:
    path = write(tmp_path, world)
    np.savetxt(tmp_path / "spose_embedding.txt", world.embedding[:-1])
    refused("has 19 rows", read_judgements, load_descriptor(path))
    np.savetxt(tmp_path / "spose_embedding.txt", np.random.default_rng(0).permutation(world.embedding))
    fails("do not belong together", lambda: prepare(path, tmp_path / "results")[0])
    path = write(tmp_path, world, embedding=None, dimensions=None)  # without it, choices at random are no reason
    (tmp_path / "trainset.txt").write_text(lines(np.random.default_rng(3).permuted(world.triplets, axis=1)))
    assert prepare(path, tmp_path / "results")[0] == 0
    found = audit_study(load_descriptor(write(tmp_path, world, repeats=[])))
    assert "20 objects, 900 triplets" in found.facts[0]
    assert [problem.where for problem in found.warnings] == ["recordings"]
    (tmp_path / "trainset.txt").write_text("0 0 1\n")
    assert "same object twice" in audit_study(load_descriptor(tmp_path / "things.yaml")).errors[0].what
