"""Judgements in exactly the format of THINGS, with a network and regions beside them, to the page."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from jobs import asked, config_of, draw_page, reruns, run_all, run_step
from made import write_yaml
from refusals import refused
from worlds.small import write_things_files

from brainalign.arrays import Arrays, Features, Layers
from brainalign.cli import main
from brainalign.config import ConceptSettings, Config, load_descriptors
from brainalign.geometry import rdm, unrepeated
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.compare import concepts
from brainalign.simulation import ConceptWorld, concept_world
from brainalign.workflow import report_path

SUFFIXES = ("concepts", "choices", "conceptdimensions", "networks", "readouts", "conceptregions")
OPTIONS = {"n_dims": 8, "starts": 3, "alphas": [0.03], "object_splits": 2, "permutations": 19}
OPTIONS |= {"readout_permutations": 5}


def write_study(folder: Path, world: ConceptWorld) -> Path:
    write_things_files(world, folder)
    files = {"format": "triplets", "triplets": ["trainset.txt"], "repeats": ["testset1.txt"]}
    content = {"name": "things", "title": "Judgements of planted properties, 2 < 3", "stimuli": "unique_id.txt"}
    content |= {"recordings": {"us": files | {"embedding": "spose_embedding.txt", "dimensions": "labels.txt"}}}
    content |= {"notes": ["Nothing here was judged by anybody."]}
    return write_yaml(folder / "things.yaml", content)


def configured(descriptor: Path, **changes: object) -> Config:
    models = {"random": {"extractor": "random", "n_features": 12}}
    return config_of(descriptor, **{"models": models, "concepts": OPTIONS} | changes)


@pytest.fixture(scope="module")
def world() -> ConceptWorld:
    return concept_world(30, 3, 2500, n_repeated=60, n_people=8, seed=4)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, world: ConceptWorld) -> tuple[dict[str, pd.DataFrame], Path]:
    """Run the stages in this process: a network that knows the properties, one of noise, regions of three subjects."""
    folder = tmp_path_factory.mktemp("concepts")
    descriptor, results = write_study(folder / "study", world), folder / "results"
    paths = {suffix: artifact_path(results, "things", suffix) for suffix in ("triplets", *SUFFIXES)}
    stimuli = results / "stimuli.tsv"
    prepared = {"triplets": paths["triplets"], "stimuli": stimuli}
    assert run_step("prepare_triplets", inputs={"descriptor": descriptor}, outputs=prepared) == 0
    objects = pd.read_csv(stimuli, sep="\t")
    by, rng = Provenance("test", {}, ""), np.random.default_rng(0)
    features = {}
    for name, values in (("knows", world.features), ("noise", rng.normal(size=(30, 12)))):
        features[name] = artifact_path(results, "things", "features", model=name)
        order = rng.permutation(30)  # rows are matched by id
        layer = Features(values[order].astype(np.float32), objects.iloc[order].reset_index(drop=True), "last")
        save(features[name], Layers(last=layer), by)
    regions = []
    for subject in ("01", "02", "03"):
        shown = rng.permutation(30)[:26]
        patterns = world.embedding @ rng.normal(size=(3, 20)) + 0.5 * rng.normal(size=(30, 20))
        both = np.stack([patterns, rng.normal(size=patterns.shape)])[:, shown]
        regions.append(artifact_path(results, "brain", "rdm", subject=subject))
        conditions = objects["stimulus_id"].iloc[shown].tolist()
        save(regions[-1], Arrays(responses=rdm(both, "correlation")), by, groups=["IT", "noise"], conditions=conditions)
    settings = {"concepts": OPTIONS | {"regions_of": "brain"}}
    inputs = {"triplets": paths["triplets"], "features": features.values(), "regions": regions}
    outputs = {suffix: paths[suffix] for suffix in SUFFIXES}
    assert run_step("concepts", settings, inputs=inputs, outputs=outputs, seed=2) == 0
    return {suffix: load(paths[suffix], pd.DataFrame) for suffix in SUFFIXES[1:]}, results


def test_choices_dimensions_networks_and_regions(tables, world: ConceptWorld) -> None:
    choices = tables[0]["choices"].set_index(["split", "name", "kind"])["accuracy"]
    for split in ("triplets", "repeated"):
        for method in ("sparse", "variational"):
            assert choices[split, method, "embedding"] > 0.45
            assert choices[split, method, "control"] == pytest.approx(1 / 3, abs=0.08)
    row = tables[0]["choices"].query("split == 'repeated' and kind == 'published'").iloc[0]
    assert row["ceiling_low"] < row["accuracy"] < row["ceiling_high"]  # what was planted
    details = load_sidecar(artifact_path(tables[1], "things", "choices"))["details"]
    arrays = load(artifact_path(tables[1], "things", "triplets"), Arrays)
    assert details["n_left_out"] == len(arrays["triplets"]) - len(unrepeated(arrays["triplets"], arrays["repeats"], 30))
    kept = tables[0]["conceptdimensions"].query("method == 'sparse' and reproducible")["dimension"].tolist()
    assert tables[0]["readouts"].query("model == 'knows'")["dimension"].tolist() == kept
    dimensions = tables[0]["conceptdimensions"].query("method == 'sparse'")
    best = dimensions[dimensions["published_r"] > 0.8]
    assert len(best) >= 2
    for _, row in best.iterrows():
        planted = world.embedding[:, int(row["published"].split()[1]) - 1]
        assert planted[[int(name.split()[1]) for name in row["top"]][:3]].mean() > np.quantile(planted, 0.8)
    networks = tables[0]["networks"].set_index("model")
    assert networks.loc["knows", "p"] == 1 / 20
    assert networks.loc["knows", "unseen"] > networks.loc["noise", "unseen"] + 0.05
    assert networks.loc["knows", "mean_r2"] > 0.5
    assert networks.loc["noise", "mean_r2"] < 0.2
    regions = tables[0]["conceptregions"].set_index("region")
    assert regions.loc["IT", "score"] > 0.4
    assert abs(regions.loc["noise", "score"]) < 0.2


def test_maps_are_averaged_over_their_places() -> None:
    rng = np.random.default_rng(1)
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b", "c", "d"], "path": ""})
    maps, flat = rng.normal(size=(4, 6, 5)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    layers = {"map": Features(maps, stimuli, "map", (2, 3)), "flat": Features(flat, stimuli, "flat")}
    found = concepts.layers_of({"net": Layers(layers)}, ["c", "a"])
    np.testing.assert_allclose(found["net", "map"], maps[[2, 0]].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found["net", "flat"], flat[[2, 0]])

    def at_edge(alpha: float, *alphas: float) -> bool:
        fit = SimpleNamespace(fitted=SimpleNamespace(alpha_=alpha))
        return concepts._at_edge({"sparse": fit}, ConceptSettings(alphas=alphas))

    assert [at_edge(alpha, 0.1, 0.3, 0.2) for alpha in (0.1, 0.2, 0.3)] == [True, False, True]
    assert not at_edge(0.1, 0.1)
    assert not concepts._at_edge({}, ConceptSettings(alphas=(0.1, 0.2)))


def test_the_page_shows_controls_and_escapes(tables) -> None:
    assert draw_page(configured(tables[1].parent / "study" / "things.yaml", results=str(tables[1])), "things") == 0
    page = report_path(tables[1], "things").read_text()
    assert "planted properties, 2 &lt; 3" in page
    assert "Nothing here was judged" in page


def test_mistakes_are_said_before_anything_runs(tmp_path: Path, world: ConceptWorld) -> None:
    descriptor = write_study(tmp_path / "study", world)

    def load(**changes: object) -> None:
        load_descriptors(configured(descriptor, **changes))

    refused("did you mean 'things'", load, concepts={"regions_of": "thing"})
    refused("things has no fMRI subject", load, concepts={"regions_of": "things"})
    refused("no object is unseen twice", load, concepts={"object_splits": 5})


def test_text_files_become_a_page(tmp_path: Path, world: ConceptWorld, capsys: pytest.CaptureFixture[str]) -> None:
    descriptor, options = write_study(tmp_path / "things", world), OPTIONS | {"methods": ["sparse"]}
    config = configured(descriptor, concepts=options)
    run_all(config)
    networks = load(artifact_path(config.results, "things", "networks"), pd.DataFrame)
    assert networks["cosine"].iloc[0] == pytest.approx(1 / 3, abs=0.15)  # features at random
    changed = configured(descriptor, concepts=options | {"folds": 4})
    assert reruns(asked(config), changed) == {"concepts": 1, "report_group": 1}
    descriptor.write_text(descriptor.read_text() + "concepts: {object_share: 0.04}\n")
    assert (main(["check", str(descriptor)]), "with 1 of 30 objects unseen" in capsys.readouterr().out) == (1, True)
