from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jobs import run_step

from brainalign.arrays import Responses
from brainalign.io import Provenance, artifact_path, load, save

N_IMAGES, N_TARGETS, N_REPEATS = 40, 30, 2


def write_subject(root: Path, subject: str, values: np.ndarray, n_targets: int = N_TARGETS) -> list[str]:
    """Write responses (n_images, n_targets) shown twice each, the first half for training; return the paths."""
    images = [f"image{k}" for k in range(N_IMAGES)]
    trials = pd.DataFrame(
        {
            "trial_id": [f"trial{k}" for k in range(N_IMAGES * N_REPEATS)],
            "stimulus_id": images * N_REPEATS,
            "session": "1",
            "run": "1",
            "repeat": np.repeat(np.arange(N_REPEATS), N_IMAGES),
            "onset_s": 0.0,
        }
    )
    targets = pd.DataFrame({"target_id": [f"vertex{k}" for k in range(n_targets)], "kind": "vertex", "hemi": "L"})
    targets["roi"] = [["early"] if k < 10 else ["late"] if k < 20 else [] for k in range(n_targets)]
    responses = Responses(np.tile(values, (N_REPEATS, 1)), trials, targets, "z")
    splits = trials[["trial_id", "stimulus_id"]].assign(
        split=np.where(np.arange(len(trials)) % N_IMAGES < N_IMAGES // 2, "train", "test"), fold=0, name="shared"
    )
    provenance = Provenance("prepare", {}, "")
    paths = [artifact_path(root, "study", suffix, subject=subject) for suffix in ("responses", "splits")]
    save(paths[0], responses, provenance)
    save(paths[1], splits, provenance)
    return [str(path) for path in paths]


def ceilings(root: Path, subjects: list[list[str]]) -> pd.DataFrame:
    output = artifact_path(root, "study", "ceiling")
    responses, splits = zip(*subjects, strict=True)
    inputs = {"responses": responses, "splits": splits}
    assert run_step("summarize_group", inputs=inputs, outputs={"ceiling": output}) == 0
    return load(output, pd.DataFrame)


def test_what_subjects_share_is_found_where_it_was_planted(tmp_path: Path) -> None:
    """Early targets follow the same signal in three subjects, the others do not; training images play no part."""
    rng = np.random.default_rng(0)
    shared, subjects = rng.normal(size=(N_IMAGES, 10)), []
    for name in ("01", "02", "03"):
        values = rng.normal(size=(N_IMAGES, N_TARGETS))
        values[:, :10] = shared + 0.5 * rng.normal(size=(N_IMAGES, 10))
        values[: N_IMAGES // 2] = 1e3 * rng.normal(size=(N_IMAGES // 2, N_TARGETS))
        subjects.append(write_subject(tmp_path, name, values.astype(np.float32)))
    table = ceilings(tmp_path, subjects).set_index(["group", "subject"])
    assert set(table["n_images"]) == {N_IMAGES // 2}
    # Signal variance 1, noise .25; the mean of two others has .125: r² = 1 / (1.25 · 1.125)
    assert abs(table.loc["early", "lower"].mean() - 0.71) < 0.1
    assert (table.loc["early", "upper"] > table.loc["early", "lower"]).all()
    assert abs(table.loc["late", "lower"].mean()) < 0.1


def test_subjects_with_other_targets_are_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N_IMAGES, N_TARGETS)).astype(np.float32)
    subjects = [write_subject(tmp_path, "01", values), write_subject(tmp_path, "02", values[:, :25], 25)]
    assert ceilings(tmp_path, subjects).empty
