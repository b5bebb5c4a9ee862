from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_step
from refusals import refused
from worlds.small import write_things_files

from brainalign.arrays import Arrays
from brainalign.cli import main
from brainalign.datasets import audit_study, read_judgements, read_objects, read_triplets
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.simulation import ConceptWorld, concept_world
from brainalign.study import load_descriptor

FILES = {"format": "triplets", "triplets": ["trainset.txt"], "repeats": ["testset1.txt"]}
FILES |= {"embedding": "spose_embedding.txt", "dimensions": "labels.txt"}


@pytest.fixture(scope="module")
def world() -> ConceptWorld:
    return concept_world(20, 3, 900, n_repeated=20, n_people=5, seed=1)


def write(folder: Path, world: ConceptWorld, first: int = 0, **files: object) -> Path:
    write_things_files(world, folder, first)
    given = {key: value for key, value in (FILES | files).items() if value is not None}
    path = folder / "things.yaml"
    path.write_text(yaml.safe_dump({"name": "things", "stimuli": "unique_id.txt", "recordings": {"us": given}}))
    return path


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
    table.to_csv(tmp_path / "named.csv", index=False)
    found = read_judgements(load_descriptor(path))
    np.testing.assert_array_equal(np.sort(found.triplets[:, :2]), np.sort(world.triplets[:, :2]))
    np.testing.assert_array_equal(found.triplets[:, 2], last)
    np.testing.assert_array_equal(found.repeats, world.repeats)
    pd.DataFrame({"stimulus_id": names}).to_csv(tmp_path / "stimuli.csv", index=False)
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
