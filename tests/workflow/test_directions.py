"""Stage directions: from saved encoders and a prior to vectors, scores, images, and a section drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from PIL import Image
from pydantic import ValidationError

from brainalign.arrays import Arrays, Features, Layers
from brainalign.config import DirectionSettings
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report import FoundDirections, directions_section
from brainalign.simulation import clear_scenes, measure_things, render, true_responses

BY = Provenance("test", {}, "")
PRIOR = Path(__file__).parents[2] / "data" / "prior"
REGIONS = {"red": [0, 1], "leftside": [2, 3]}
JUDGES = {"guide": {"model": "fine", "layer": "pixels"}, "check": {"model": "coarse", "layer": "pixels"}}
SIZES = {"guide": 16, "check": 8}
OUTPUTS = ("directions", "directionscores", "directionimages")
OPTIONS = {
    "methods": ["supervised", "pca"], "n_seeds": 32, "n_directions": 1, "alphas": [-3, 0, 3], "n_images": 6,
    "n_controls": 2, "n_control_images": 2,
}  # fmt: skip


class Study:
    """Forty scenes on disk, and linear encoders of two regions from pixels, one of fewer pixels to judge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scenes = clear_scenes(300, 1)
        images = render(scenes, 32)
        (folder / "stimuli").mkdir()
        for name, image in zip(scenes["stimulus_id"][:40], images[:40], strict=True):
            Image.fromarray(image).save(folder / "stimuli" / f"{name}.png")
        ids = scenes["stimulus_id"][:40]
        stimuli = pd.DataFrame({"stimulus_id": ids, "path": ids + ".png"})
        stimuli.to_csv(folder / "stimuli" / "stimuli.tsv", sep="\t", index=False)
        layer = Features(np.zeros((40, 2), dtype=np.float32), stimuli, "pixels")
        save(self.path("features", model="fine"), Layers({"pixels": layer}), BY)
        truth = true_responses(measure_things(images))[list(REGIONS)].to_numpy()
        truth = np.repeat((truth - truth.mean(axis=0)) / truth.std(axis=0), 2, axis=1)
        half = np.arange(40)
        arrays = {"rows": np.arange(4), "guide_images": half[:20], "check_images": half[20:]}
        for role, size in SIZES.items():
            step = 32 // size
            pixels = images.reshape(300, size, step, size, step, 3).mean(axis=(2, 4)).reshape(300, -1) / 255.0
            centred = pixels - pixels.mean(axis=0)
            dual = np.linalg.solve(centred @ centred.T + 3 * np.eye(300), truth)
            coef = centred.T @ dual
            said = np.stack([(centred @ coef)[:, rows].mean(axis=1) for rows in REGIONS.values()], axis=1)
            arrays |= {f"{role}_coef": coef, f"{role}_intercept": -pixels.mean(axis=0) @ coef}
            arrays |= {f"{role}_mean": said.mean(axis=0), f"{role}_sd": said.std(axis=0)}
        about = {"regions": REGIONS, "asked": {name: [name, None] for name in REGIONS}, "image_size": 32}
        save(self.path("guides", subject="01"), Arrays(arrays), BY, **about, **JUDGES)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "scenes", suffix, **labels)

    def run(self, **options: object) -> int:
        settings = {
            "directions": OPTIONS | options,
            "synthesize": JUDGES | {"prior": str(PRIOR), "steps": 10, "device": "cpu"},
            "models": {role: {"extractor": "pixels", "image_size": size} for role, size in SIZES.items()},
            "simulated": True,
        }
        inputs = {
            "guides": self.path("guides", subject="01"),
            "stimuli": self.folder / "stimuli" / "stimuli.tsv",
            "features": self.path("features", model="fine"),
        }
        outputs = {name: self.path(name, subject="01") for name in OUTPUTS}
        return run_step("directions", settings, inputs=inputs, outputs=outputs)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(tmp_path_factory.mktemp("directions"))
    assert made.run() == 0
    return made


def test_vectors_scores_and_images_are_left(study: Study) -> None:
    vectors = load(study.path("directions", subject="01"), Arrays)
    details = load_sidecar(study.path("directions", subject="01"))["details"]
    assert vectors["vectors"].shape == (5, 10, 64, 8, 8)
    assert np.allclose(np.linalg.norm(vectors["vectors"].reshape(5, -1), axis=1), 1, atol=1e-4)
    assert [(row["method"], row["region"], row["orthogonal"]) for row in details["rows"]] == [
        ("supervised", "red", False),
        ("supervised", "red", True),
        ("supervised", "leftside", False),
        ("supervised", "leftside", True),
        ("pca", "", False),
    ]
    table = pd.read_parquet(study.path("directionscores", subject="01"))
    assert table[["guide", "check", "true", "typical", "valid"]].notna().all().all()
    assert set(table["control"]) == {"", "random", "shuffled"}
    images = load(study.path("directionimages", subject="01"), Arrays)["images"]
    assert images.shape == (6 + 5 * 2 * 6, 32, 32, 3)
    row = table[(table["control"] == "") & (table["scored"] == "leftside")].iloc[17]
    true = true_responses(measure_things(images[[row["image"]]]))["leftside"]
    files = sorted((study.folder / "stimuli").glob("*.png"))
    usual = true_responses(measure_things(np.stack([np.asarray(Image.open(file)) for file in files])))["leftside"]
    assert row["true"] == pytest.approx(float((true[0] - usual.mean()) / usual.std(ddof=0)), abs=1e-6)
    mine = table[(table["region"] == "leftside") & (table["scored"] == "leftside") & ~table["orthogonal"]]
    means = mine.groupby("alpha")["true"].mean()
    assert means[3] - means[-3] > 0.5
    assert np.allclose(mine.loc[mine["alpha"] == 0, "image"], range(6))
    about = load_sidecar(study.path("directionscores", subject="01"))["details"]
    assert directions_section(FoundDirections(images, table, pd.DataFrame(about["cosines"]))).panels


def test_what_cannot_be_asked(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.run(regions=["leftsite"]) == 2
    assert "'leftsite' has no encoder; those of synthesize are red, leftside (did you mean" in capsys.readouterr().err
    assert study.run(methods=[]) == 2
    assert "directions.methods" in capsys.readouterr().err
    with pytest.raises(ValidationError, match="strengths must rise"):
        DirectionSettings(alphas=(1.0, 2.0, 3.0))
