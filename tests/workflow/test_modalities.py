"""The stages of a space that modalities share, on a small simulated study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from brainalign.artifacts import load
from brainalign.decoding import SharedSpace
from brainalign.pipelines import decode_modalities, prepare_modalities, report_modalities
from brainalign.settings import load_config

OPTIONS = {"steps": 40, "width": 16, "permutations": 99, "draws": 1, "whiten": True}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the three stages; return the folder of the dataset."""
    folder = tmp_path_factory.mktemp("modalities")
    simulate = {"n_train": 60, "n_images": 1, "n_test": 20, "snr": 4, "subjects": {"eeg": 2, "fmri": 2}}
    content = {
        "kind": "modalities", "name": "small", "title": "A <mine> study", "citation": {"text": "c"}, "licence": "l",
        "source": "s", "simulate": simulate,
    }  # fmt: skip
    (folder / "small.yaml").write_text(yaml.safe_dump(content))
    config = {
        "results": str(folder / "results"),
        "datasets": {"small": {"descriptor": str(folder / "small.yaml")}},
        "models": {"pixels": {"extractor": "pixels"}},
        "methods": {"ridge": {"encoder": "ridge"}},
        "decode_modalities": OPTIONS,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    settings = load_config(folder / "config.yaml")
    place = folder / "results" / "small" / "group" / "modalities"
    prepared = [
        f"--modalities={place / 'modalities.safetensors'}",
        *(f"--{name}={place / name}.parquet" for name in ("modalitytrials", "modalitystimuli")),
    ]
    raw = ["--descriptor", str(folder / "small.yaml"), "--raw", str(folder / "results" / "small" / "raw")]
    assert prepare_modalities.main(["--settings", "{}", *raw, *prepared]) == 0
    tables = [f"--{name}={place / name}.parquet" for name in
              ("spaceretrieval", "spacechanges", "spacecurve", "spacegeometry")]  # fmt: skip
    made = [f"--weights={place / 'weights.safetensors'}", f"--sharedspace={place / 'sharedspace.safetensors'}", *tables]
    options = json.dumps({"decode_modalities": settings.decode_modalities.model_dump(mode="json")})
    assert decode_modalities.main(["--settings", options, *prepared, *made]) == 0
    assert report_modalities.main(["--settings", settings.model_dump_json(), "--dataset", "small"]) == 0
    return folder / "results" / "small"


def test_the_table_holds_every_decoder_and_direction(results: Path) -> None:
    table = load(results / "group" / "modalities" / "spaceretrieval.parquet", pd.DataFrame)
    assert set(table["decoder"]) == {"joint", "ridge", "unimodal", "shuffled", "noise", "one layer", "noise at test"}
    joint = table[(table["decoder"] == "joint") & (table["measure"] == "top-5")].set_index(["kind", "query"])["value"]
    assert joint[("image", "fmri")].item() > 0.8
    assert joint[("modalities", "eeg")].item() > 0.5
    nulls = table[table["decoder"].isin(["shuffled", "noise", "noise at test"]) & (table["kind"] == "image")]
    assert (nulls["value"] < nulls["chance"] + 4 * nulls["null_sd"]).all()


def test_the_fitted_space_can_be_loaded(results: Path) -> None:
    space = SharedSpace.load(results / "group" / "modalities" / "weights.safetensors")
    signals = np.load(results / "raw" / "fmri" / "fmri01.npy")[:2]
    assert space.embed("fmri", signals, ["fmri01"] * 2).shape == (2, 48)


def test_the_page_says_what_was_found(results: Path) -> None:
    page = (results / "group.html").read_text()
    assert "A &lt;mine&gt; study" in page
    assert "<mine>" not in page
    for said in ("From modality to modality", "Averaging repeats", "Geometry of concepts", "Subject layers are",
                 "Joint training against ridge"):  # fmt: skip
        assert said in page
    assert "not comparable" not in page  # both modalities have the same images and repeats
