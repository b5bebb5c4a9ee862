"""Responses in files of arrays: every container against the numbers that were written, and whatever can be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.datasets import read_array
from brainalign.io import array_shapes

RNG = np.random.default_rng(3)
MAPS = RNG.normal(size=(6, 3)).astype(np.float32)
SERIES = RNG.normal(size=(6, 3, 5))
TIMES = [-0.1, 0.0, 0.1, 0.2, 0.3]


def _npz(path: Path, values: np.ndarray) -> None:
    np.savez_compressed(path, betas=values, noise=values[:2])


def _hdf5(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("glm/betas", data=values, compression="gzip")


def _mat73(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["betas"] = values.T  # as MATLAB does


def _zarr(path: Path, values: np.ndarray) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(path, data=values, chunks=(2, *values.shape[1:]))


WRITERS: dict[str, tuple[str, Callable[[Path, np.ndarray], object], str | None]] = {
    "npy": ("values.npy", np.save, None),
    "npz": ("values.npz", _npz, "betas"),
    "hdf5": ("values.h5", _hdf5, None),
    "mat 5": ("values.mat", lambda path, values: scipy.io.savemat(path, {"betas": values}), None),
    "mat 7.3": ("values.mat", _mat73, None),
    "zarr": ("values.zarr", _zarr, None),
}


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    table = pd.DataFrame({"stimulus_id": list("abcabc"), "session": [*"111222"]})
    table.to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    return tmp_path / "trials.tsv"


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("values", [MAPS, SERIES], ids=["maps", "series"])
def test_every_container_gives_back_what_was_written(
    form: str, values: np.ndarray, tmp_path: Path, trials: Path
) -> None:
    name, write, key = WRITERS[form]
    write(tmp_path / name, values)
    times = TIMES if values.ndim == 3 else None
    read = read_array(tmp_path / name, trials, key=key, times_s=times, standardize="none")
    np.testing.assert_array_equal(read.values, values.astype(np.float32))
    assert read.values.dtype == np.float32
    assert read.trials["session"].tolist() == [*"111222"]
    assert read.trials["repeat"].tolist() == [1, 1, 1, 2, 2, 2]
    assert values.shape in array_shapes(tmp_path / name).values()


def test_maps_are_z_scored_within_sessions(tmp_path: Path, trials: Path) -> None:
    np.save(tmp_path / "values.npy", MAPS)
    halves = [(half - half.mean(axis=0)) / half.std(axis=0, ddof=1) for half in (MAPS[:3], MAPS[3:])]
    read = read_array(tmp_path / "values.npy", trials)
    np.testing.assert_allclose(read.values, np.concatenate(halves), atol=1e-5)
    assert read.units == "z (within session)"


def test_series_are_cut_and_their_baseline_taken_away(tmp_path: Path, trials: Path) -> None:
    np.save(tmp_path / "values.npy", SERIES)
    np.savetxt(tmp_path / "times.txt", TIMES)
    read = read_array(
        tmp_path / "values.npy", trials, times_s=tmp_path / "times.txt", baseline=(-0.1, 0), tmin=0.0, decimate=2
    )
    expected = (SERIES - SERIES[:, :, :2].mean(axis=2, keepdims=True))[:, :, [1, 3]]
    np.testing.assert_allclose(read.values, expected, atol=1e-6)
    np.testing.assert_array_equal(read.times, [0.0, 0.2])
    assert read.targets["sensor_type"].tolist() == ["sensor"] * 3


def test_targets_keep_what_their_table_says(tmp_path: Path, trials: Path) -> None:
    np.save(tmp_path / "values.npy", MAPS)
    table = pd.DataFrame({"target_id": ["u1", "u2", "u3"], "roi": ["V4; IT", "", "IT"], "hemi": ["lh", "R", "n/a"]})
    table.assign(x_mm=["-3.5", "", "7"], depth=["10", "20", "30"]).to_csv(tmp_path / "targets.csv", index=False)
    targets = read_array(tmp_path / "values.npy", trials, targets=tmp_path / "targets.csv").targets
    assert targets["roi"].tolist() == [["V4", "IT"], [], ["IT"]]
    assert targets["hemi"].tolist() == ["L", "R", ""]
    np.testing.assert_array_equal(targets["x_mm"], [-3.5, np.nan, 7.0])
    assert targets["y_mm"].isna().all()
    assert targets["depth"].tolist() == ["10", "20", "30"]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (MAPS.T, {}, "has shape (3, 6) but {trials} has 6 rows; give one per row, in the same order; its axes may be"),
        (MAPS[:5], {}, "has shape (5, 3) but {trials} has 6 rows"),
        (MAPS[0], {}, "has shape (3,); give rows x targets"),
        (MAPS, {"times_s": TIMES}, "has shape (6, 3); leave out times_s"),
        (SERIES, {}, "has shape (6, 3, 5); give times_s"),
        (SERIES, {"times_s": TIMES[:4]}, "times_s has 4 numbers but"),
        (SERIES, {"times_s": [1000 * time for time in TIMES]}, "reach 300; give seconds, not milliseconds"),
        (SERIES, {"times_s": TIMES[::-1]}, "not numbers in ascending order"),
        (MAPS.astype(complex), {}, "holds complex128; give real numbers"),
        (np.array([["a"] * 3] * 6), {}, "holds <U1; give real numbers"),
        (np.where(np.arange(3) == 1, np.nan, MAPS), {}, "1 of 3 targets hold NaN"),
        (np.where(np.arange(3)[:, None] == 1, 2.0, SERIES), {"times_s": TIMES}, "1 are flat"),
    ],
)
def test_what_does_not_fit_is_refused(
    values: np.ndarray, options: dict[str, object], message: str, tmp_path: Path, trials: Path
) -> None:
    np.save(tmp_path / "values.npy", values)
    with pytest.raises(BrainalignError, match=re.escape(message.format(trials=trials))):
        read_array(tmp_path / "values.npy", trials, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [form for form in WRITERS if form != "zarr"])
def test_a_file_cut_short_is_refused(form: str, tmp_path: Path, trials: Path) -> None:
    name, write, key = WRITERS[form]
    write(tmp_path / name, MAPS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(0.9 * len(content))])
    refused(re.escape(str(tmp_path / name)), read_array, tmp_path / name, trials, key=key)


def test_a_lost_chunk_is_not_read_as_zeros(tmp_path: Path, trials: Path) -> None:
    _zarr(tmp_path / "values.zarr", MAPS)
    chunks = sorted(
        file for file in (tmp_path / "values.zarr").rglob("*") if file.is_file() and "json" not in file.name
    )
    chunks[1].unlink()
    refused("2 of 3 chunks are there", read_array, tmp_path / "values.zarr", trials)


def test_a_header_that_lies_takes_no_memory(tmp_path: Path, trials: Path) -> None:
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file.create_dataset("betas", shape=(10**7, 10**6), dtype="f8", chunks=(10, 10))
    refused("would take", read_array, tmp_path / "values.h5", trials)


def test_pickles_and_other_arrays_are_refused(tmp_path: Path, trials: Path) -> None:
    np.save(tmp_path / "values.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    refused("Python objects", read_array, tmp_path / "values.npy", trials)
    _npz(tmp_path / "values.npz", MAPS)
    with pytest.raises(BrainalignError, match=re.escape("holds 2 arrays (betas, noise); say which one with `key`")):
        read_array(tmp_path / "values.npz", trials)
    with pytest.raises(
        BrainalignError, match=re.escape("holds no array 'beta' (did you mean 'betas'?); it has betas, noise")
    ):
        read_array(tmp_path / "values.npz", trials, key="beta")
    refused("the ending of", read_array, trials, trials)
