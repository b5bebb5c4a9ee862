"""Natural mistakes with arrays, betas, runs, matrices, features and events: `check` answers each in a sentence."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from brainalign.cli import main

NAMES = [f"p{k:02d}" for k in range(30)]
RUNS = [f"run{k}" for k in (1, 2, 3)]
Spoil = Callable[[Path, dict[str, Any]], object]


def write_table(path: Path, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)


def volumes(path: Path, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    image = nibabel.Nifti1Image(rng.normal(size=shape).astype("float32"), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2.0)[: len(shape)])
    nibabel.save(image, path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("lab"), np.random.default_rng(3)
    np.save(folder / "values.npy", rng.normal(size=(90, 12)))
    shown = np.concatenate([rng.permutation(NAMES) for _ in range(3)])
    write_table(folder / "trials.tsv", stimulus_id=shown, session=np.repeat(["1", "2", "3"], 30))
    write_table(folder / "stimuli.tsv", stimulus_id=NAMES, set=["test"] * 10 + ["train"] * 20)
    write_table(folder / "vectors.tsv", stimulus_id=NAMES, a=rng.normal(size=30), b=rng.normal(size=30))
    volumes(folder / "betas.nii.gz", (3, 3, 2, 90), rng)
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 3, 2), "uint8"), np.eye(4)), folder / "mask.nii.gz")
    for run in RUNS:
        np.save(folder / f"{run}.npy", rng.normal(size=(100, 10)))
        volumes(folder / f"{run}.nii.gz", (3, 3, 2, 100), rng)
    onsets = np.tile(np.arange(1, 196, 3.0), 3)
    write_table(folder / "words.tsv", run=np.repeat(RUNS, 65), onset_s=onsets, duration_s=0.2, text="word")
    np.save(folder / "of_words.npy", rng.normal(size=(195, 3)))
    for region in ("V1", "IT"):
        np.save(folder / f"{region}.npy", rng.uniform(0.1, 1, size=(3, 435)))
    return folder


def described(kind: str) -> dict[str, Any]:
    study: dict[str, Any] = {"name": "lab", "stimuli": "stimuli.tsv"}
    study["models"] = {"own": {"extractor": "table", "file": "vectors.tsv"}}
    files = {
        "arrays": {"format": "array", "values": "values.npy", "trials": "trials.tsv"},
        "betas": {"format": "betas", "betas": "betas.nii.gz", "mask": "mask.nii.gz", "trials": "trials.tsv"},
        "runs": {"format": "runs", "tr_s": 2.0, "files": {run: f"{run}.npy" for run in RUNS}},
        "volumes": {"format": "runs", "tr_s": 2.0, "files": {run: f"{run}.nii.gz" for run in RUNS}},
    }
    if kind == "rdms":
        return study | {"recordings": {name: {"format": "rdms", "file": f"{name}.npy"} for name in ("V1", "IT")}}
    study["recordings"], study["splits"] = {"01": files[kind]}, {"held": {"column": "set", "value": "test"}}
    if kind in ("runs", "volumes"):
        study |= {"stimuli": "words.tsv", "splits": {"runs": {"leave_out": "run"}}}
        study["models"]["own"]["file"] = "of_words.npy"
        study["recordings"]["01"] |= {"mask": "mask.nii.gz"} if kind == "volumes" else {}
    return study


def values(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda folder, study: np.save(folder / name, change(np.load(folder / name)))


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], separator: str = "\t") -> Spoil:
    def spoil(folder: Path, study: dict[str, Any]) -> None:
        cells = pd.read_csv(folder / name, sep="\t", dtype=str)
        change(cells).to_csv(folder / name, sep=separator, index=False)

    return spoil


def recording(**changes: object) -> Spoil:
    return lambda folder, study: study["recordings"]["01"].update(changes)


def key(**changes: object) -> Spoil:
    return lambda folder, study: study.update(changes)


def image(name: str, *shape: int, value: float = 1) -> Spoil:
    content = nibabel.Nifti1Image(np.full(shape, value, "float32"), np.eye(4))
    return lambda folder, study: nibabel.save(content, folder / name)


MISTAKES: list[tuple[str, Spoil, str]] = [
    (
        "arrays",
        values("values.npy", np.transpose),
        "has shape (12, 90) but .*90 rows; .*, or trials_axis: 1 where values are so",
    ),
    ("arrays", values("values.npy", lambda v: v[:, 0]), "its array has shape (90,); give rows x targets"),
    ("arrays", recording(values=["values.npy"]), "recordings.01.values: give the path of one file"),
    ("arrays", table("trials.tsv", lambda t: t, ";"), "separated by semicolons, not by tabs as its name says"),
    ("arrays", table("trials.tsv", lambda t: t.set_axis(["image", "session"], axis=1)), "no column 'stimulus_id'"),
    ("arrays", table("trials.tsv", lambda t: t.assign(stimulus_id=t["stimulus_id"] + ".png")), "did you mean 'p00'"),
    ("arrays", key(splits={"share": 0.2}), "splits.share: give names with what they stand for"),
    ("arrays", key(recordings={"01": {"values": "values.npy"}}), "recordings.01.format: this key is required"),
    ("arrays", key(name="my lab"), "name: a name is of letters and digits; of a data set also of hyphens"),
    ("arrays", table("vectors.tsv", lambda t: t.assign(a=1, b=2)), "is the same for all 30 stimuli"),
    ("betas", image("mask.nii.gz", 3, 3, 2, 2), "has shape (3, 3, 2, 2), where one volume is wanted"),
    ("betas", image("betas.nii.gz", 3, 3, 2), "has shape (3, 3, 2); give a 4-D image, a volume per trial"),
    ("runs", values("run2.npy", np.transpose), "shape (10, 100), where (rows, 10 targets) of numbers are wanted; turn"),
    ("runs", recording(files=dict.fromkeys(RUNS, "run1.npy")), "run1 and run2 hold the same numbers, one a copy"),
    ("runs", recording(files={run: ["run1.npy"] * 2 for run in RUNS}), "(presentation 1) and run1 (presentation 2)"),
    ("runs", recording(files=["run1.npy"]), "recordings.01.files: give names with what they stand for"),
    ("runs", recording(tr_s=2000), "a repetition time is given in seconds"),
    ("runs", recording(first_row_s=2000), "no event is left when its first row begins (193 s beside 2021 s)"),
    ("runs", table("words.tsv", lambda t: t.assign(run=t["run"].str[-1])), "no event is of such a run; the table has"),
    ("runs", table("words.tsv", lambda t: t.assign(onset_s=1000 * t["onset_s"].astype(float))), "begin after its end"),
    ("runs", table("words.tsv", lambda t: t.iloc[:-1]), "holds 195 vectors but there are 194 stimuli"),
    ("runs", key(continuous={"delays_s": [2000, 4000]}), "4000 s is no delay of responses; give seconds, 60 at most"),
    ("runs", key(continuous={"trim_s": 20}), "continuous.trim_s: give a list"),
    ("volumes", image("mask.nii.gz", 3, 3, 2, value=0), "mask.nii.gz: selects no voxel"),
    ("volumes", image("run1.nii.gz", 3, 3, 2), "has shape (3, 3, 2); give a 4-D image"),
    ("volumes", recording(key="bold"), "key and repeats name arrays, but the files are volumes"),
    ("rdms", values("V1.npy", lambda v: v[:, :400]), "V1.npy of shape (3, 400): 400 is not a number of pairs"),
    ("rdms", values("V1.npy", lambda v: v[[0, 1, 2, 0]].T), "V1.npy of shape (435, 4) (do subjects stand behind"),
    ("rdms", values("V1.npy", lambda v: v * np.nan), "RDM set 'V1' holds no number"),
    ("rdms", values("V1.npy", np.ones_like), "RDM set 'V1' holds nothing but 1"),
    ("rdms", lambda folder, study: shutil.copy(folder / "V1.npy", folder / "IT.npy"), "holds the same numbers as"),
]


@pytest.mark.parametrize(("kind", "spoil", "message"), MISTAKES, ids=[message for *_, message in MISTAKES])
def test_a_mistake_is_answered_in_a_sentence(lab: Path, tmp_path: Path, capsys, kind: str, spoil, message: str) -> None:
    folder, study = tmp_path / "lab", described(kind)
    shutil.copytree(lab, folder)
    spoil(folder, study)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    assert main(["check", str(folder / "study.yaml")]) != 0
    written = capsys.readouterr()
    told = re.sub(r"[│┃\s]+", " ", written.out + written.err)
    assert re.search(".*".join(map(re.escape, message.split(".*"))), told), told
    assert "Traceback" not in told


@pytest.mark.parametrize("kind", ["arrays", "betas", "runs", "volumes", "rdms"])
def test_nothing_is_wrong_with_the_files_themselves(lab: Path, kind: str) -> None:
    path = lab / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(described(kind)))
    assert main(["check", str(path)]) == 0
