"""Studies of blocks whose stimuli are images, with any number of blocks: planted truth, and ridge by hand."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import asked, config_of, draw_page, reruns, run_all
from PIL import Image
from refusals import refused
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut

from brainalign.arrays import Arrays, Responses
from brainalign.config import Config
from brainalign.datasets import audit
from brainalign.geometry import noise_covariance, rdm
from brainalign.io import artifact_path, load
from brainalign.study import Study, load_descriptor, parse
from brainalign.workflow import Run, planned, report_path

N_DRIVEN = 30  # of 60 voxels
SIDE = 8  # pixels
ALPHA = 10.0
PIXELS = {"extractor": "pixels", "image_size": SIDE}


class PictureStudy:
    """Categories with a picture each: some voxels follow its pixels, the others are noise."""

    def __init__(self, folder: Path, make_study: Callable[..., Any], order: Sequence[Sequence[int]], texts: int = 0):
        self.study = make_study(folder, n_stimuli=1 + max(map(max, order)), n_runs=len(order))
        names = self.study.names
        pixels = np.random.default_rng(7).integers(0, 256, (len(names), SIDE, SIDE, 3), dtype=np.uint8)
        (folder / "pictures").mkdir(parents=True)
        for name, picture in zip(names, pixels, strict=True):
            Image.fromarray(picture).save(folder / "pictures" / f"{name}.png")
        self.features = pixels.reshape(len(names), -1) / 255.0
        self.labels = self.study.labels_of(order)
        stimuli = {name: {"path": f"pictures/{name}.png"} for name in names}
        for name in names if texts else ():
            stimuli[name]["texts"] = [name] * texts
        self.descriptor = self.study.write(labels=self.labels, volumes=self.volumes(), stimuli=stimuli)

    def volumes(self) -> np.ndarray:
        rng, centred = np.random.default_rng(3), self.features - self.features.mean(axis=0)
        patterns = np.zeros((len(centred), 60))
        patterns[:, :N_DRIVEN] = centred @ rng.normal(size=(centred.shape[1], N_DRIVEN))
        patterns[:, :N_DRIVEN] /= patterns[:, :N_DRIVEN].std(axis=0)
        return self.study.driven(patterns.reshape(-1, *self.study.shape), self.labels, rng)

    def config(self, **changes: Any) -> Config:
        fixed = {"encoder": "ridge", "alphas": [ALPHA], "dtype": "float64"}
        given = {"models": {"pixels": PIXELS}, "methods": {"fixed": fixed}, "compare": {"permutations": 50}}
        given["encode"] = {"permutations": 60}
        return config_of(self.descriptor, **given | changes)


def saved(config: Config, suffix: str, kind: type, **labels: str) -> Any:
    return load(artifact_path(config.results, "small", suffix, **labels), kind)


ONCE = [list(np.random.default_rng(run).permutation(6)) for run in range(5)]


@pytest.mark.parametrize("unequal", [False, True])
def test_several_blocks_of_a_category_in_a_run(tmp_path: Path, make_study, unequal: bool) -> None:
    """Scores are those of ridge by hand, driven voxels are found, ceilings are those of single blocks; as good where
    some categories have more of them than others. An image is an input of models that look at it."""
    rng = np.random.default_rng(6 if unequal else 5)
    order = [rng.permutation([*range(6), *rng.integers(0, 6, 4)]).tolist() for _ in range(4)]
    if not unequal:
        order = [[k for _ in range(2) for k in rng.permutation(6)] for _ in range(4)]
    study = PictureStudy(tmp_path / "study", make_study, order)
    assert not audit(load_descriptor(study.descriptor))
    config = study.config(searchlight={"models": ["pixels"], "permutations": 50, "radius_mm": 4})
    run_all(config, "prepare_blocks", "extract", "encode", "compare", "summarize", *["searchlight"] * (not unequal))
    responses = saved(config, "responses", Responses, subject="1")
    counts = responses.trials.groupby(["run", "stimulus_id"]).size()
    assert counts.nunique() > 2 if unequal else set(counts) == {2}
    scores = saved(config, "scores", pd.DataFrame, subject="1", model="pixels", method="fixed")
    X, r = study.features[[study.study.names.index(name) for name in responses.trials["stimulus_id"]]], []
    for train, test in LeaveOneGroupOut().split(X, groups=responses.trials["run"]):
        centred = X - X[train].mean(axis=0)
        scaled = centred * np.sqrt(1000 / np.square(centred[train]).sum(axis=1).mean())  # of the same total variance
        predicted = Ridge(alpha=ALPHA).fit(scaled[train], responses.values[train]).predict(scaled[test])
        r.append([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, responses.values[test].T, strict=True)])
    np.testing.assert_allclose(scores["r"], np.mean(r, axis=0), atol=1e-4)
    assert scores["r"][:N_DRIVEN].median() > 0.55
    assert scores["p"][:N_DRIVEN].max() < 0.05
    assert abs(scores["r"][N_DRIVEN:].mean()) < 0.15
    # Of the variance of single blocks the share between stimuli, by analysis of variance.
    values = pd.DataFrame(responses.values.astype(float))
    within = values - values.groupby(responses.trials["stimulus_id"].to_numpy()).transform("mean")
    repeats = 1 - np.square(within).sum() / (len(values) - 6) / values.var(ddof=1)
    assert abs(scores["ceiling"][:N_DRIVEN].mean() - repeats[:N_DRIVEN].mean()) < 0.1
    null = saved(config, "null", pd.DataFrame, subject="1", model="pixels", method="fixed").groupby("split")["accuracy"]
    assert abs(null.mean()["runs"] - 1 / 6) < 0.04
    summary = saved(config, "summary", pd.DataFrame, subject="1").set_index(["quantity", "split"])["value"]
    assert summary["pair matching", "pairs"] > 0.7
    if unequal:
        return
    picture = study.study.folder / "pictures" / "thing1.png"
    beside = study.config(models={"pixels": PIXELS, "onehot": {"extractor": "onehot"}})
    assert reruns(asked(beside), beside, picture)["extract"] == 1  # not of one-hot vectors
    assert draw_page(config, "small", "1") == 0
    page = Path(config.results, "small", "sub-1.html").read_text()
    assert "48 trials (blocks) of 6 stimuli, 8 repeats each, in 4 runs with 2 blocks of each category" in page
    # The geometry is that of the means of the blocks of a category in each run.
    cells = responses.trials.groupby(["run", "stimulus_id"], sort=False).indices
    means = np.stack([responses.values[rows].mean(axis=0) for rows in cells.values()])
    runs, stimuli = (np.array(labels) for labels in zip(*cells, strict=True))
    found, residuals = saved(config, "rdm", Arrays, subject="1"), saved(config, "noise", Arrays, subject="1")
    noise = noise_covariance(residuals["residuals"], len(residuals["residuals"]) - len(responses.trials))
    np.testing.assert_allclose(found["crossnobis"], rdm(means, "crossnobis", stimuli, runs, noise), rtol=1e-4)
    assert saved(config, "searchlight", pd.DataFrame, subject="1", model="pixels")["score"].notna().all()


def test_several_subjects_have_a_page_over_them(tmp_path: Path, make_study) -> None:
    """A second one of noise alone: what holds in one of two may be luck; the mean over both is of each target."""
    study = PictureStudy(tmp_path / "study", make_study, ONCE)
    assert not {"map_subjects", "report_group"} & {step.rule for step, _ in planned(Run(study.config()))}
    driven = nibabel.load(study.descriptor.parent / "bold.nii.gz")
    noise = 100 + np.random.default_rng(5).normal(size=driven.shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(noise, driven.affine, driven.header), study.descriptor.parent / "noise.nii.gz")
    described = yaml.safe_load(study.descriptor.read_text())
    described["recordings"]["2"] = described["recordings"]["1"] | {"bold": "noise.nii.gz"}
    study.descriptor.write_text(yaml.safe_dump(described, sort_keys=False))
    config = study.config()
    run_all(config, *({step.rule for step, _ in planned(Run(config))} - {"report"}))
    fit = {"model": "pixels", "method": "fixed"}
    of = [saved(config, "scores", pd.DataFrame, subject=name, **fit).query("split == 'runs'") for name in "12"]
    maps = saved(config, "groupmaps", pd.DataFrame).set_index("target_id")
    mean = sum(scores.set_index("target_id")["r"] for scores in of) / 2
    np.testing.assert_allclose(maps["mean"], mean[maps.index], atol=1e-6)
    page = re.sub(r"\s+", " ", report_path(config.results, "small").read_text())
    assert "Not shown: 1 of 2 subjects may be luck." in page
    assert "pixels is above chance in 1 of 2 subjects" in page


def test_damaged_images_and_stimuli_unlike_the_others_are_named(tmp_path: Path, make_study, small) -> None:
    study = PictureStudy(tmp_path / "study", make_study, ONCE)
    picture = study.study.folder / "pictures" / "thing2.png"
    picture.write_bytes(picture.read_bytes()[:40])
    text = "\n".join(map(str, audit(load_descriptor(study.descriptor))))
    assert "small: stimuli: 1 of 6 images are unreadable: thing2" in text
    for first, others, message in (
        ({"label": "A"}, {"path": "b.png"}, "2 of 3 stimuli have a path, and a none"),
        ({"path": "a.png", "texts": ["a"]}, {"texts": ["b"]}, "1 of 3 stimuli have a path, and b, c none"),
        ({"path": "a.png", "texts": ["a"]}, {"path": "b.png"}, "as many texts as the others"),
    ):
        refused(message, parse, Study, small.descriptor(stimuli={"a": first, "b": others, "c": others}), "small.yaml")
