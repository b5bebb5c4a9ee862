"""The 92 images of Kriegeskorte et al. (2008): published figures, and those of a network, through the library."""

import os
from pathlib import Path

import numpy as np
import pytest
import rsatoolbox
import torch
from shown import Record

from brainalign.datasets.formats import RdmSets, read_kriegeskorte92
from brainalign.features import EfficientNetExtractor
from brainalign.geometry import compare, pooled_rdm, rdm, rdm_noise_ceiling, score_references, session_average

FOLDER = Path(os.environ.get("BRAINALIGN_DATA", "nowhere")) / "kriegeskorte92"
WANTED = "needs kriegeskorte92 in the folder named by BRAINALIGN_DATA"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=WANTED)

PUBLISHED = {"animacy": 0.390, "monkeyIT": 0.300, "EVA": 0.237, "HMAX": 0.163, "V1": 0.023}
REFERENCES = ("humanIT", "monkeyIT", "judgements")


@pytest.fixture(scope="module")
def study() -> RdmSets:
    return read_kriegeskorte92(lambda name: FOLDER / name)


def group_scores(study: RdmSets, pooling: str, layers: tuple[str, ...], **options: object) -> dict[str, np.ndarray]:
    """Return Spearman of 1 - r between features with the pooled RDM of each reference, by layer."""
    pooled = np.stack([pooled_rdm(session_average(study.sets[name]), "spearman") for name in REFERENCES])
    extractor = EfficientNetExtractor(layers=layers, pooling=pooling, crop=False, **options)
    images = torch.from_numpy(study.images).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        parts = [extractor.features(part, layers)[0] for part in images.split(23)]
    features = {layer: torch.cat([part[layer] for part in parts]).double().numpy() for layer in layers}
    return {layer: compare(pooled, rdm(x, "correlation"), "spearman")[:, 0] for layer, x in features.items()}


def test_published_figures(study: RdmSets) -> None:
    subjects = session_average(study.sets["humanIT"])
    ceiling = rdm_noise_ceiling(subjects, "spearman")
    assert ceiling == pytest.approx((0.378, 0.669), abs=0.002)
    theirs = rsatoolbox.inference.boot_noise_ceiling(rsatoolbox.rdm.RDMs(subjects), "spearman")
    assert ceiling == pytest.approx(theirs, abs=1e-6)
    for name, expected in PUBLISHED.items():
        assert compare(subjects, study.models[name], "spearman").mean() == pytest.approx(expected, abs=0.002), name


@pytest.mark.acceptance
def test_figures(study: RdmSets, record: Record) -> None:
    """92 images: ceilings, models and EfficientNet-Lite0 (Spearman; whole image at 224 pixels)"""
    models = {(name, ""): study.models[name] for name in PUBLISHED}
    found = score_references(study.sets, models, exclude={"monkeyIT": [("monkeyIT", "")]})
    scores = found.scores.set_index(["reference", "model"])
    row = scores.loc["humanIT", "animacy"]
    record("noise ceiling of human IT", f"{row['ceiling_low']:.3f} / {row['ceiling_high']:.3f}", ".378 / .669")
    for name, expected in PUBLISHED.items():
        record(f"{name}, human IT", f"{scores.loc[('humanIT', name), 'score']:.3f}", f"{expected:.3f} +/- .002")
        assert scores.loc[("humanIT", name), "score"] == pytest.approx(expected, abs=0.002)
    for sentence in found.best["sentence"]:
        record("best model", sentence, "called only where it survives the max-statistic")
    expected = {"block0": ".15 human IT", "block12": ".40 / .44 / .41"}
    for pooling in ("flatten", "mean"):
        trained = group_scores(study, pooling, ("block0", "block12"))
        for layer, values in trained.items():
            text = " / ".join(f"{value:.3f}" for value in values)
            record(f"{layer}, {pooling}: human IT / monkey IT / judgements", text, expected[layer])
        # Where things are matters to early layers, what they are to late ones: maps of block 0, means of block 12.
        if pooling == "flatten":
            assert trained["block0"][0] == pytest.approx(0.15, abs=0.02)
        else:
            assert trained["block12"] == pytest.approx([0.40, 0.44, 0.41], abs=0.02)
    random = [group_scores(study, "flatten", ("block12",), weights="random", seed=s)["block12"][0] for s in range(10)]
    assert np.mean(random) == pytest.approx(0.09, abs=0.02)
    record("block12 with random weights, human IT", f"{np.mean(random):.3f}, sd {np.std(random, ddof=1):.3f}", "≈ .09")
