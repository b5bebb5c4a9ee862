"""A folder as a challenge publishes it goes through snakemake: prepare reads it, and reads it again when it changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from brainalign.arrays import Responses
from brainalign.datasets import read_algonauts_images
from brainalign.io import load

N_IMAGES, N_VERTICES = 12, {"lh": 30, "rh": 20}


def write_challenge(folder) -> dict[str, np.ndarray]:
    """Write a subject of the layout of Algonauts 2023 and its descriptor; return the responses by hemisphere."""
    rng = np.random.default_rng(0)
    subject = folder / "subj01"
    fmri, pictures = (subject / "training_split" / name for name in ("training_fmri", "training_images"))
    for place in (fmri, pictures, subject / "roi_masks"):
        place.mkdir(parents=True)
    for number in range(1, N_IMAGES + 1):
        picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        picture.save(pictures / f"train-{number:04d}_nsd-{3 * number:05d}.png")
    values = {side: rng.normal(size=(N_IMAGES, n)).astype(np.float32) for side, n in N_VERTICES.items()}
    for side, responses in values.items():
        np.save(fmri / f"{side}_training_fmri.npy", responses)
        np.save(subject / "roi_masks" / f"{side}.streams_challenge_space.npy", np.arange(N_VERTICES[side]) % 3)
    names = {0: "Unknown", 1: "early", 2: "midventral"}
    np.save(subject / "roi_masks" / "mapping_streams.npy", names, allow_pickle=True)
    read_algonauts_images(folder, "01").to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    files = {"format": "algonauts", "root": ".", "participant": "01", "rois": ["streams"], "trust_pickle": True}
    content = {
        "name": "challenge",
        "title": "Algonauts 2023",
        "citation": {"text": "Gifford et al. (2023)."},
        "licence": "tests",
        "source": "tests",
        "stimuli": "stimuli.tsv",
        "recordings": {"01": files},
        "splits": {"drawn": {"share": 0.25}},
    }
    (folder / "challenge.yaml").write_text(yaml.safe_dump(content))
    return values


def test_prepare_reads_the_folder_and_notices_when_it_changes(make_checkout) -> None:
    checkout = make_checkout("published")
    values = write_challenge(checkout.root / "challenge")
    config = {
        "results": "results",
        "datasets": {"challenge": {"descriptor": "challenge/challenge.yaml"}},
        "models": {"random": {"extractor": "random", "n_features": 4}},
        "methods": {"ridge": {"encoder": "ridge", "cv": 3}},
    }
    (checkout.root / "config.yaml").write_text(yaml.safe_dump(config))
    checkout.snakemake("config.yaml", "--until", "prepare")
    prepared = checkout.root / "results" / "challenge" / "sub-01" / "responses"
    responses = load(prepared / "sub-01_responses.safetensors", Responses)
    np.testing.assert_array_equal(responses.values, np.concatenate(list(values.values()), axis=1))
    assert responses.targets["roi"].map(list).iloc[:3].tolist() == [[], ["early"], ["midventral"]]
    splits = load(prepared / "sub-01_splits.parquet", pd.DataFrame)
    assert splits["split"].value_counts().to_dict() == {"train": 9, "test": 3}
    assert "prepare" not in checkout.jobs("config.yaml")
    path = checkout.root / "challenge" / "subj01" / "training_split" / "training_fmri" / "lh_training_fmri.npy"
    np.save(path, values["lh"] + 1)
    assert checkout.jobs("config.yaml")["prepare"] == 1
