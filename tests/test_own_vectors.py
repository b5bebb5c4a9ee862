"""Vectors of a lab's own: every form against the numbers written, every fault in a sentence, every kind of study."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from refusals import refused

from brainalign.arrays import Layers
from brainalign.cli import main
from brainalign.config import load_config
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.study import read_vectors
from brainalign.workflow import Run

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
    refused(re.escape("none.npy: no such file"), read_vectors, tmp_path / "none.npy")
    np.savez(tmp_path / "layers.npz", one=VALUES, two=VALUES[:3])
    refused("two has 3 rows but the first layer 4", read_vectors, tmp_path / "layers.npz")
    (tmp_path / "ids.txt").write_text("\n".join(NAMES))
    refused("there are 4 ids", read_vectors, tmp_path / "layers.npz", tmp_path / "ids.txt", ["two"])
    _csv(tmp_path).write_text("id,a\nface,1\n")
    refused("no column 'stimulus_id'", read_vectors, tmp_path / "vectors.csv")


def study(folder: Path, **model: object) -> Path:
    """Write a study of RDMs of which nothing but ids is known, and return a configuration with one model of vectors."""
    pd.DataFrame({"stimulus_id": NAMES}).to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    np.save(folder / "cortex.npy", np.random.default_rng(1).uniform(size=(2, 6)))
    recorded = {"cortex": {"format": "rdms", "file": "cortex.npy"}}
    described = {"name": "mine", "stimuli": "stimuli.tsv", "recordings": recorded}
    (folder / "mine.yaml").write_text(yaml.safe_dump(described))
    content = {"results": str(folder / "results"), "datasets": {"mine": {"descriptor": str(folder / "mine.yaml")}}}
    content |= {"models": {"own": {"extractor": "table"} | model}, "methods": {"ridge": {"encoder": "ridge"}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


def test_check_refuses_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _csv(tmp_path)
    described, whole = study(tmp_path, file=str(path)), pd.read_csv(path, dtype={"stimulus_id": str})
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
    config = load_config(study(tmp_path, file=str(_csv(tmp_path))))
    assert Run(config).weights("own") == [str(tmp_path / "vectors.csv")]
    run_all(config, "prepare_rdms", "extract")
    place = artifact_path(config.results, "mine", "features", model="own")
    np.testing.assert_allclose(load(place, Layers)["vectors"].values, VALUES, rtol=1e-6)
    before = load_sidecar(place)["inputs"]["weights"]
    pd.DataFrame(-VALUES, columns=list("abc")).assign(stimulus_id=NAMES).to_csv(tmp_path / "vectors.csv", index=False)
    run_all(config, "extract")
    np.testing.assert_allclose(load(place, Layers)["vectors"].values, -VALUES, rtol=1e-6)
    assert load_sidecar(place)["inputs"]["weights"] != before
