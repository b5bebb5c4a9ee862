import itertools
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from made import write_table, write_yaml
from refusals import refused

from brainalign import datasets
from brainalign.arrays import Responses, StoredArray
from brainalign.datasets import complete_trials, read_array, read_objects, read_table, read_task_table, read_trials
from brainalign.io import Provenance, array_shapes, load, read_text_table, save
from brainalign.statistics import signal_share
from brainalign.study import Study, known_shape, load_descriptor, parse

RNG = np.random.default_rng(3)
MAPS = RNG.normal(size=(6, 3)).astype(np.float32)
SERIES = RNG.normal(size=(6, 3, 5))
TIMES = [-0.1, 0.0, 0.1, 0.2, 0.3]


def _hdf5(path: Path, values: np.ndarray, name: str = "betas", **how: str) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, **how)


def _zarr(path: Path, values: np.ndarray) -> None:
    pytest.importorskip("zarr").create_array(path, data=values, chunks=(2, *values.shape[1:]))


WRITERS: dict[str, tuple[str, Callable[[Path, np.ndarray], object], str | None]] = {
    "npy": ("values.npy", np.save, None), "hdf5 as it is": ("values.h5", _hdf5, None),
    "npz": ("values.npz", lambda path, values: np.savez_compressed(path, betas=values, noise=values[:2]), "betas"),
    "hdf5": ("values.h5", lambda path, values: _hdf5(path, values, "glm/betas", compression="gzip"), None),
    "mat 5": ("values.mat", lambda path, values: scipy.io.savemat(path, {"betas": values}), None),
    "mat 7.3": ("values.mat", lambda path, values: _hdf5(path, values.T), None),  # as MATLAB turns it around
    "zarr": ("values.zarr", _zarr, None),
}  # fmt: skip


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return write_table(tmp_path / "trials.tsv", stimulus_id=list("abcabc"), session=[*"111222"])


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("values", [MAPS, SERIES], ids=["maps", "series"])
def test_every_container_gives_back_what_was_written(form: str, values, tmp_path: Path, trials: Path) -> None:
    name, write, key = WRITERS[form]
    write(tmp_path / name, values)
    read = read_array(tmp_path / name, trials, key=key, times_s=TIMES if values.ndim == 3 else None, standardize="none")
    np.testing.assert_array_equal(read.values, values.astype(np.float32))
    assert (type(read.values), read.values.dtype) == (np.ndarray, np.float32)  # in memory where no file is given
    assert (read.trials["session"].tolist(), read.trials["repeat"].tolist()) == ([*"111222"], [1, 1, 1, 2, 2, 2])
    assert values.shape in array_shapes(tmp_path / name).values()


def test_maps_are_z_scored_and_series_cut(tmp_path: Path, trials: Path) -> None:
    np.save(tmp_path / "values.npy", MAPS)
    table = pd.DataFrame({"target_id": ["u1", "u2", "u3"], "roi": ["V4; IT", "", "IT"], "hemi": ["lh", "R", "n/a"]})
    table.assign(x_mm=["-3.5", "", "7"], depth=["10", "20", "30"]).to_csv(tmp_path / "targets.csv", index=False)
    read = read_array(str(tmp_path / "values.npy"), str(trials), targets=tmp_path / "targets.csv")
    halves = [(half - half.mean(axis=0)) / half.std(axis=0, ddof=1) for half in (MAPS[:3], MAPS[3:])]
    np.testing.assert_allclose(read.values, np.concatenate(halves), atol=1e-5)
    assert read.units == "z (within session)"
    files = {"format": "array", "values": "values.npy", "trials": trials.name, "targets": "targets.csv"}
    study = {"name": "lab", "folder": tmp_path, "stimuli": trials.name, "recordings": {"1": files}}
    described = datasets.read_subject(parse(Study, study | {"splits": {"runs": {"leave_out": "run"}}}, "test"), "1")
    np.testing.assert_array_equal(described.values, read.values)
    assert (read.targets["roi"].tolist(), read.targets["hemi"].tolist()) == ([["V4", "IT"], [], ["IT"]], ["L", "R", ""])
    np.testing.assert_array_equal(read.targets["x_mm"], [-3.5, np.nan, 7.0])
    assert read.targets["y_mm"].isna().all()
    assert read.targets["depth"].tolist() == ["10", "20", "30"]
    np.save(tmp_path / "values.npy", SERIES)
    np.savetxt(tmp_path / "times.txt", TIMES)
    options = {"times_s": tmp_path / "times.txt", "baseline": (-0.1, 0), "tmin": 0.0, "decimate": 2}
    read = read_array(tmp_path / "values.npy", trials, **options)
    expected = (SERIES - SERIES[:, :, :2].mean(axis=2, keepdims=True))[:, :, [1, 3]]
    np.testing.assert_allclose(read.values, expected, atol=1e-6)
    np.testing.assert_array_equal(read.times, [0.0, 0.2])
    assert read.targets["sensor_type"].tolist() == ["sensor"] * 3


@pytest.mark.parametrize("standardize", ["session", "none"])
@pytest.mark.parametrize("form", ["npy", "hdf5 as it is", "hdf5"])
def test_what_stays_on_disk_is_what_is_read(form, standardize, tmp_path, trials, monkeypatch) -> None:
    """Trials of a session lie apart, targets are dropped, and blocks hold one target or two trials."""
    monkeypatch.setattr("brainalign.arrays.BLOCK_BYTES", 48)
    monkeypatch.setattr("brainalign.datasets.formats.betas.BLOCK_BYTES", 48)
    monkeypatch.setattr("brainalign.io.files.WRITTEN_AT_ONCE", 20)
    write_table(trials, stimulus_id=list("abcabc"), session=[*"121212"])
    values = np.round(300 * np.where(np.arange(3) == 1, 2.0, MAPS)).astype(np.int16)
    name, write, key = WRITERS[form]
    write(tmp_path / name, values)
    options = {"key": key, "standardize": standardize, "bad_targets": "drop"}
    expected = read_array(tmp_path / name, trials, **options)
    found = read_array(tmp_path / name, trials, **options, work=tmp_path / "work.npy")
    assert isinstance(found.values, StoredArray) == (form != "hdf5")
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == np.float32
    pd.testing.assert_frame_equal(found.targets, expected.targets)
    assert found.targets.attrs["n_dropped"] == expected.targets.attrs["n_dropped"] == 1
    ids = found.trials["stimulus_id"].to_numpy()
    np.testing.assert_array_equal(signal_share(found.values, ids), signal_share(expected.values, ids))
    plain = {"standardize": "none", "bad_targets": "keep", "work": tmp_path / "no.npy"}
    np.testing.assert_array_equal(read_array(tmp_path / name, trials, key=key, **plain).values, values)
    assert not (tmp_path / "no.npy").exists()
    save(tmp_path / "responses.safetensors", found, Provenance("prepare", {}, "digest"))
    np.testing.assert_array_equal(load(tmp_path / "responses.safetensors", Responses).values, expected.values)


@pytest.mark.parametrize("axes", [(1, 0), *itertools.permutations(range(3))], ids=str)
def test_trials_targets_and_times_are_axes_in_any_order(axes: tuple[int, ...], tmp_path: Path, trials: Path) -> None:
    values = SERIES if len(axes) == 3 else MAPS
    moved = np.moveaxis(values, range(values.ndim), axes)
    np.save(tmp_path / "values.npy", moved if values.ndim == 3 else moved[:, None, None])  # as GLMsingle keeps places
    times = {"times_s": np.array(TIMES), "times_axis": axes[2]} if len(axes) == 3 else {"work": tmp_path / "w.npy"}
    axis = axes[0] if len(axes) == 3 else 3 * axes[0]
    read = read_array(tmp_path / "values.npy", trials, trials_axis=axis, standardize="none", **times)
    np.testing.assert_array_equal(read.values, values.astype(np.float32))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (0, 1, 2, 3), (3, 1, 0, 2)], ids=str)
def test_repeats_of_their_own_axis_are_trials_but_for_missing_ones(axes: tuple[int, ...], tmp_path: Path) -> None:
    """Axes are those of stimuli, repeats, targets and times."""
    values = RNG.normal(size=(4, 3, 2, 5)[: len(axes)]).astype(np.float32)
    values[1, 1:] = values[3, 0] = np.nan
    np.save(tmp_path / "one.npy", values[:, :, :1, 0] if values.ndim == 4 else values[:, :, :1])
    np.save(tmp_path / "values.npy", np.moveaxis(values, range(values.ndim), axes))
    (tmp_path / "stimuli.tsv").write_text("stimulus_id\tcolour\na\tred\nb\tblue\nc\tred\nd\tblue\n")
    how: dict[str, object] = {"trials_axis": axes[0], "repeats_axis": axes[1], "standardize": "none"}
    how |= {"times_s": TIMES, "times_axis": axes[3]} if len(axes) == 4 else {"work": tmp_path / "w.npy"}
    read = read_array(tmp_path / "values.npy", tmp_path / "stimuli.tsv", **how)
    assert "".join(read.trials["stimulus_id"]) == "aaabcccdd"
    assert read.trials["repeat"].tolist() == [1, 2, 3, 1, 1, 2, 3, 2, 3]
    assert read.trials["colour"].tolist() == ["red"] * 3 + ["blue"] + ["red"] * 3 + ["blue"] * 2
    np.testing.assert_array_equal(read.values, values[~np.isnan(values).reshape(4, 3, -1).any(axis=2)])
    single = read_array(tmp_path / "one.npy", tmp_path / "stimuli.tsv", repeats_axis=1, standardize="none")
    assert single.values.shape == (9, 1)  # one target, no window
    recording = {"format": "array", "values": "values.npy", "trials": "stimuli.tsv", "times_s": how.get("times_s")}
    recording |= {name: how[name] for name in ("trials_axis", "repeats_axis", "times_axis") if name in how}
    splits = {"runs": {"leave_out": "run"}}
    content = {"name": "s", "stimuli": {name: {} for name in "abcd"}, "recordings": {"1": recording}, "splits": splits}
    measured = known_shape(load_descriptor(write_yaml(tmp_path / "s.yaml", content)))
    assert (measured.trials, measured.targets) == (12, values[0, 0].size)


def test_what_does_not_fit_is_refused(tmp_path: Path, trials: Path) -> None:
    for values, options, message in (
        (MAPS[:5], {}, "has shape (5, 3) but {trials} has 6 rows"),
        (np.tile(MAPS.T, 5), {}, "in the same order; cut frames or samples that go on into trials x targets x times"),
        (MAPS, {"times_s": TIMES}, "has shape (6, 3); leave out times_s"),
        (MAPS, {"trials_axis": 2}, "has shape (6, 3) but trials_axis is 2; correct these"),
        (MAPS.T, {}, "has 6 rows; give one per row, in the same order, or trials_axis: 1 where values are so"),
        (SERIES, {"repeats_axis": 0}, "has shape (6, 3, 5) but trials_axis is 0 and repeats_axis 0; correct these"),
        (SERIES, {"repeats_axis": 3}, "but trials_axis is 0 and repeats_axis 3; correct these"),
        (SERIES[:5], {"repeats_axis": 1}, "but {trials} has 6 rows; give one per stimulus, or correct"),
        (SERIES, {"times_s": TIMES, "trials_axis": 2}, "but trials_axis is 2, times_axis 2; correct these"),
        (SERIES, {"times_s": TIMES[:4]}, "times_s has 4 numbers but"),
        (SERIES.swapaxes(1, 2), {"times_s": TIMES}, "has 3 times; give one per time, or times_axis: 1 where values"),
        (SERIES, {"times_s": [1000 * time for time in TIMES]}, "reach 300; give seconds, not milliseconds"),
        (SERIES, {"times_s": TIMES[::-1]}, "not numbers in ascending order"),
        (MAPS.astype(complex), {}, "holds complex128; give real numbers"),
        (np.array([["a"] * 3] * 6), {}, "holds <U1; give real numbers"),
        (np.where(np.arange(3) == 1, np.nan, MAPS), {}, "1 of 3 targets hold NaN"),
        (np.where(np.arange(3)[:, None] == 1, 2.0, SERIES), {"times_s": TIMES}, "1 are flat"),
    ):
        np.save(tmp_path / "values.npy", values)
        refused(re.escape(message.format(trials=trials)), read_array, tmp_path / "values.npy", trials, **options)


@pytest.mark.parametrize("form", [form for form in WRITERS if form != "zarr"])
def test_a_file_cut_short_is_refused(form: str, tmp_path: Path, trials: Path) -> None:
    name, write, key = WRITERS[form]
    write(tmp_path / name, MAPS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(0.9 * len(content))])
    refused(re.escape(str(tmp_path / name)), read_array, tmp_path / name, trials, key=key)


def test_lost_chunks_pickles_and_other_arrays_are_refused(tmp_path: Path, trials: Path) -> None:
    _zarr(tmp_path / "values.zarr", MAPS)
    files = sorted(file for file in (tmp_path / "values.zarr").rglob("*") if file.is_file())
    [file for file in files if "json" not in file.name][1].unlink()
    refused("2 of 3 chunks are there", read_array, tmp_path / "values.zarr", trials)
    with h5py.File(tmp_path / "values.h5", "w") as file:  # nor does a header that lies take memory
        file.create_dataset("betas", shape=(10**7, 10**6), dtype="f8", chunks=(10, 10))
    refused("would take", read_array, tmp_path / "values.h5", trials)
    np.save(tmp_path / "values.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    refused("Python objects", read_array, tmp_path / "values.npy", trials)
    np.savez(tmp_path / "values.npz", betas=MAPS, noise=MAPS[:2])
    refused(r"holds 2 arrays \(betas, noise\); say which one", read_array, tmp_path / "values.npz", trials)
    refused(r"no array 'beta' \(did you mean 'betas'", read_array, tmp_path / "values.npz", trials, key="beta")
    refused("the ending of", read_array, trials, trials)


def write(path, table) -> object:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".parquet"])
def test_ids_keep_their_zeros_and_absent_columns_are_filled(tmp_path, ending) -> None:
    given = pd.DataFrame({"stimulus_id": ["007", "1", "007"], "rating": [1, 2, 3]})
    table = read_trials(write(tmp_path / f"trials{ending}", given))
    assert "rating" in table
    expected = {"trial_id": [f"trial-{k:04d}" for k in range(3)], "stimulus_id": ["007", "1", "007"], "session": "1"}
    expected = pd.DataFrame(expected | {"run": "1", "repeat": [1, 1, 2], "onset_s": np.nan})
    pd.testing.assert_frame_equal(table.drop(columns="rating"), expected, check_dtype=False)


def test_what_is_wrong_is_named_and_given_columns_win(tmp_path) -> None:
    for table, message in (
        ({"stimulus": ["a"]}, r"trials.tsv: no column 'stimulus_id' \(did you mean 'stimulus'\?\)"),
        ({"stimulus_id": ["a", ""]}, r"1 rows have no stimulus_id \(rows 2\)"),
        ({"stimulus_id": ["a"], "Session": ["1"]}, "no column 'session', but 'Session'; rename it"),
        ({"stimulus_id": ["a", "b"], "repeat": ["1", "x"]}, "repeat is 'x' in row 2; it must be a whole number"),
        ({"stimulus_id": ["a", "b"], "repeat": ["1", "1.5"]}, "repeat is '1.5' in row 2; it must be a whole number"),
        ({"stimulus_id": ["a", "b"], "onset_s": ["1", "soon"]}, "onset_s is 'soon' in row 2; it must be a number"),
        ({"stimulus_id": []}, "no trial"),
    ):
        refused(message, read_trials, write(tmp_path / "trials.tsv", pd.DataFrame(table)))
        refused("no such file", read_trials, tmp_path / "none.tsv")
        refused(r"must be one of '.csv', '.parquet', '.tsv'; got '.xlsx'", read_trials, tmp_path / "trials.xlsx")
        (tmp_path / "broken.parquet").write_bytes(b"PAR1")
        refused(r"not a readable \.parquet table", read_trials, tmp_path / "broken.parquet")
    given = pd.DataFrame({"stimulus_id": [3, 4], "session": [1.0, 2.0], "repeat": [2, 2], "onset": ["1.5", "n/a"]})
    table = complete_trials(given, "x")
    assert (table["stimulus_id"].tolist(), table["session"].tolist()) == (["3", "4"], ["1", "2"])
    assert (table["repeat"].tolist(), table["onset_s"].tolist()[0]) == ([2, 2], 1.5)
    assert table["onset_s"].isna().tolist() == [False, True]


SURPLUS = {
    "the first row": "trial_id,stimulus_id,session\n1,a,x,y\n2,b,x,y\n",
    "the first row, its last cell empty": "trial_id,stimulus_id,session\n1,a,x,\n2,b,x\n",
    "every row, their last cells empty": "trial_id,stimulus_id,session\n1,a,x,\n2,b,x,\n",
    "a later row": "trial_id,stimulus_id,session\n1,a,x\n2,b,x,y\n",
    "two names alike": "trial_id,stimulus_id,stimulus_id\n1,a,b\n2,b,a\n",
}
WHOLE = {
    "a comma in quotation marks": ('trial_id,stimulus_id,session\n1,"a,b",x\n2,b,x\n', ["a,b", "b"]),
    "a byte-order mark and empty lines": ("\ufefftrial_id,stimulus_id,session\n\n1,a,x\n\n2,b,x\n", ["a", "b"]),
    "an index without a name": (",trial_id,stimulus_id\n0,1,a\n1,2,b\n", ["a", "b"]),
}
READERS = {"trials": read_trials, "images": read_table, "objects of triplets": read_objects}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", [*SURPLUS, *WHOLE])
def test_no_row_is_shifted_by_a_surplus_cell(tmp_path, reader, case) -> None:
    path = tmp_path / "table.csv"
    if case in SURPLUS:
        path.write_text(SURPLUS[case])
        refused(r"table\.csv: ", READERS[reader], path)
    else:
        text, stimuli = WHOLE[case]
        path.write_text(text)
        assert READERS[reader](path)["stimulus_id"].tolist() == stimuli


def test_what_a_lab_writes_is_read_as_it_stands(tmp_path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text('\ufeffstimulus_id\tnote\n007\t5" wide\n\n1\t\n2\n')
    assert read_text_table(path).to_dict("list") == {"stimulus_id": ["007", "1", "2"], "note": ['5" wide', "", ""]}
    path.write_text("")
    refused("not a readable table", read_text_table, path)
    path.write_bytes(b"a\tb\n\xff\xfe\t1\n")
    refused("not a readable table", read_text_table, path)
    path = tmp_path / "task1.csv"
    path.write_text("id;sentence\n1;She sang.;\n2;He ran.;\n")
    assert read_task_table(path, text_column="sentence")["id"].tolist() == ["1", "2"]
    path.write_text("id;sentence\n1;She sang; he ran.;\n2;He ran.;\n")
    refused(r"task1\.csv: a row has more cells", read_task_table, path, text_column="sentence")
