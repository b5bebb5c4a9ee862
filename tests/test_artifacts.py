import errno
import gc
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from made import responses_of
from refusals import flipped, refused
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from brainalign import io
from brainalign.arrays import Arrays, Features, Layers, Responses, flatten_rows, take_rows
from brainalign.checks import BrainalignError


@pytest.fixture
def provenance() -> io.Provenance:
    return io.Provenance("test", {"option": 1}, "digest", seed=3)


def a_table() -> pd.DataFrame:
    return pd.DataFrame({"target_id": ["a", "b"], "r": [0.1, np.nan]})


def responses(n_trials: int = 6, n_targets: int = 3, **columns: object) -> Responses:
    values = np.random.default_rng(0).normal(size=(n_trials, n_targets))
    told = {"run": [str(k // 3) for k in range(n_trials)], "repeat": 1, "onset_s": 0.5} | columns
    return responses_of(values, [f"s{k % 3}" for k in range(n_trials)], roi=[["V1"]] * n_targets, **told)


def test_names() -> None:
    path = io.artifact_path("out", "nsd", "scores", subject="01", model="clip", method="ridge", desc="test")
    assert path == Path("out/nsd/sub-01/encoding/sub-01_model-clip_method-ridge_desc-test_scores.parquet")
    features = io.artifact_path("out", "nsd", "features", model="clip")
    assert features == Path("out/nsd/stimuli/features/model-clip_features.safetensors")
    assert io.entities_of(path) == {"sub": "01", "model": "clip", "method": "ridge", "desc": "test"}
    refused(r"model 'a_b' goes into", io.artifact_path, "out", "nsd", "scores", model="a_b", method="ridge")
    refused("did you mean 'scores'", io.artifact_path, "out", "nsd", "score", subject="01")


def test_responses_and_layers_round_trip(tmp_path: Path, provenance: io.Provenance) -> None:
    path = io.artifact_path(tmp_path, "d", "responses", subject="1")
    saved = replace(responses(2, 1), values=np.array([[1.0], [2.0]], dtype=np.float32))
    io.save(path, saved, provenance, note="x")
    read = io.load(path, Responses)
    np.testing.assert_array_equal(read.values, saved.values, strict=True)
    pd.testing.assert_frame_equal(read.trials, saved.trials)
    assert (read.targets["roi"][0].tolist(), read.units) == (["V1"], "z")
    assert all(Path(file).exists() for file in io.artifact_files(path))
    record = io.load_sidecar(path)
    assert (record["settings"], record["seed"], record["details"]["note"]) == ({"option": 1}, 3, "x")
    assert set(record["files"]) == {Path(file).name for file in io.artifact_files(path)[:-1]}
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b"]})
    flat, maps = np.ones((2, 3), dtype=np.float32), np.ones((2, 4, 3), dtype=np.float32)
    path = io.artifact_path(tmp_path, "d", "features", model="m")
    io.save(path, Layers(z=Features(flat, stimuli, "z"), a=Features(maps, stimuli, "a", grid=(2, 2))), provenance)
    read = io.load(path, Layers)
    assert (list(read), read["a"].grid) == (["z", "a"], (2, 2))
    assert read["z"].grid is None


def test_arrays_stay_in_their_file_until_rows_are_asked_for(tmp_path: Path, provenance: io.Provenance) -> None:
    rng, n = np.random.default_rng(0), 4000
    trials = pd.DataFrame({"trial_id": np.arange(n), "stimulus_id": "a", "session": "1", "run": "1"})
    targets = pd.DataFrame({"target_id": np.arange(1000), "kind": "voxel", "hemi": "", "roi": [[]] * 1000})
    values = rng.normal(size=(n, 1000)).astype(np.float32)  # 16 MB
    path = io.artifact_path(tmp_path, "d", "responses", subject="1")
    tracemalloc.start()
    io.save(path, Responses(values, trials.assign(repeat=1, onset_s=0.0), targets, "z"), provenance)
    found = io.load(path, Responses, stored=True)
    chosen = found.select(trials=np.array([7, 3, 3999]))
    assert tracemalloc.get_traced_memory()[1] < values.nbytes / 4
    tracemalloc.stop()
    np.testing.assert_array_equal(chosen.values, values[[7, 3, 3999]])
    np.testing.assert_array_equal(np.asarray(found.values), values)
    few, odd = take_rows(found.values, np.array([9, 2, 3999])), np.arange(4000) % 2 > 0
    for where in (np.s_[:, 3:9], np.s_[[5, 1], 990:2000], np.s_[7, ::4], np.s_[..., 5:5], (odd, np.s_[9:2:-1])):
        np.testing.assert_array_equal(found.values[where], values[where])
    np.testing.assert_array_equal(few[1:, 4:8], values[[2, 3999], 4:8])
    os.truncate(path, path.stat().st_size - 4)  # meanwhile
    np.testing.assert_array_equal(found.values[:, :999], values[:, :999])
    refused("ends before its shape", found.values.__getitem__, np.s_[:, 999:])


def test_every_kind_of_number_is_as_safetensors_reads_it(tmp_path: Path, provenance: io.Provenance) -> None:
    kinds = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    arrays = Arrays({kind: np.arange(6).reshape(2, 3).T.astype(kind) for kind in kinds} | {"none": np.empty((0, 2))})
    path = io.artifact_path(tmp_path, "d", "rdm", subject="1")
    io.save(path, arrays, provenance)
    for read in (load_file(path), io.load(path, Arrays), io.load(path, Arrays, stored=True)):
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(read[name]), array)
            # Numbers of 16 bits, which features alone have, are computed with as float32.
            assert read[name].dtype == array.dtype or (name, read[name].dtype) == ("f2", np.float32)


def test_a_changed_or_unfinished_artifact_is_refused(tmp_path: Path, provenance: io.Provenance) -> None:
    path = io.artifact_path(tmp_path, "d", "scores", subject="1")
    io.save(path, a_table(), provenance)
    bytes_ = path.read_bytes()
    path.write_bytes(bytes_[:-1] + b"x")
    refused("sha256 differs", io.load, path, pd.DataFrame)
    path.write_bytes(bytes_)
    refused("holds DataFrame, not Responses", io.load, path, Responses)
    path.with_suffix(".json").unlink()
    refused("was not finished; delete", io.load, path, pd.DataFrame)
    refused("is not there", io.load, path.with_name("other.parquet"), pd.DataFrame)
    io.save(path, a_table(), provenance)
    old = path.read_bytes()
    with pytest.raises(Exception, match=r"Conversion failed|mixed"):
        io.save(path, pd.DataFrame({"x": [1, "a", object()]}), provenance)
    assert (path.read_bytes(), [file.name for file in path.parent.iterdir()]) == (old, [path.name])
    refused("not finished", io.load, path, pd.DataFrame)


class TestSidecar:
    @pytest.fixture
    def path(self, tmp_path: Path, provenance: io.Provenance) -> Path:
        path = io.artifact_path(tmp_path, "d", "responses", subject="1")
        io.save(path, responses(2, 1), provenance, dof=12)
        return path

    def test_a_damaged_or_edited_one_is_refused(self, path: Path) -> None:
        sidecar = path.with_suffix(".json")
        whole = sidecar.read_bytes()
        edited = [(b'"dof": 12', b'"dof": 13'), (b'"units": "z"', b'"units": "V"')]
        damaged = [b"", whole[: len(whole) // 2], b"{}", b"[]", b"null", b"[" * 100_000, b"\xff" + whole]
        for content in (*damaged, whole.decode().encode("utf-16"), *(whole.replace(*edit) for edit in edited)):
            assert content != whole
            sidecar.write_bytes(content)
            refused(r"sub-1_responses\.json: .*; delete the artifact and run", io.load, path, Responses)

    def test_one_that_does_not_vouch_for_every_file_is_refused(self, path: Path) -> None:
        sidecar = path.with_suffix(".json")
        record = json.loads(sidecar.read_text())
        del record["digest"]
        for kept in ([], ["sub-1_responses_trials.parquet"], ["sub-1_responses.safetensors"]):
            io.write_sealed(sidecar, record | {"files": {name: record["files"][name] for name in kept}})
            refused(r"does not vouch for .*; delete", io.load, path, Responses)

    def test_any_flipped_bit_is_refused(self, path: Path) -> None:
        """Or it changed nothing: a blank that became another."""
        sidecar, rng = path.with_suffix(".json"), np.random.default_rng(0)
        whole, record, refused = sidecar.read_bytes(), io.load_sidecar(path), 0
        for bit in rng.choice(8 * len(whole), size=200, replace=False).tolist():
            sidecar.write_bytes(flipped(whole, bit))
            try:
                assert io.load_sidecar(path) == record
            except BrainalignError:
                refused += 1
        assert refused > 150


@pytest.mark.parametrize("kind", ["arrays", "table"])
def test_a_disk_that_is_full_is_said_so(tmp_path: Path, provenance: io.Provenance, kind: str) -> None:
    content = Arrays(a=np.arange(90_000.0)) if kind == "arrays" else pd.DataFrame({"a": np.arange(90_000.0)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a file may not grow further
    try:
        with pytest.raises(BrainalignError, match=r"scores\.parquet|network\.safetensors.* cannot be written"):
            io.save(io.artifact_path(tmp_path, "d", "network" if kind == "arrays" else "scores"), content, provenance)
        writer = io.open_writer(io.artifact_path(tmp_path, "d", "features", model="m"), TestWriter.stimuli, provenance)
        with pytest.raises(BrainalignError, match=r"model-m_features\.safetensors: cannot be written"):
            writer.write(np.arange(5), {"one": np.ones((5, 9_000), dtype=np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*tmp_path.rglob("*_network*"), *tmp_path.rglob("*_scores*")]
    (tmp_path / "d").rename(tmp_path / "moved")
    (tmp_path / "d").write_text("a file where the folder should be")
    place = io.artifact_path(tmp_path, "d", "scores", subject="1")
    refused(r"cannot be written \(Not a directory\); make room", io.save, place, a_table(), provenance)


class TestWriter:
    stimuli = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(5)], "texts": [["a", "b"]] * 5})
    stimuli = stimuli.assign(sha256=list("vwxyz"))

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return io.artifact_path(tmp_path, "d", "features", model="m")

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self.some(self.stimuli, np.arange(start, stop))

    def some(self, stimuli: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # What a row holds depends on its digest alone.
        values = np.array([ord(digest) for digest in stimuli["sha256"].iloc[rows]], dtype=np.float32)
        return rows, {"one": np.stack([values, values + 0.5], 1), "maps": np.tile(values[:, None, None], (1, 4, 3))}

    def finished(self, path: Path, stimuli: pd.DataFrame, provenance: io.Provenance) -> int:
        """Write what is pending of a file; return how many rows that were."""
        writer = io.open_writer(path, stimuli, provenance, "sha256")
        n = len(writer.pending)
        writer.write(*self.some(stimuli, writer.pending), {"maps": (2, 2)})
        writer.close()
        return n

    def test_streams_a_valid_safetensors_file(self, path: Path, provenance: io.Provenance) -> None:
        writer = io.open_writer(path, self.stimuli, provenance)
        writer.write(*self.rows(0, 2), {"maps": (2, 2)})
        assert not path.exists()
        rows, values = self.rows(2, 5)
        writer.write(rows[::-1], {name: tensor[::-1] for name, tensor in values.items()})  # in any order
        writer.close()
        expected = self.rows(0, 5)[1]
        np.testing.assert_equal(load_file(path), expected)
        read = io.load(path, Layers)
        np.testing.assert_array_equal(read["maps"].values, expected["maps"])
        assert read["maps"].grid == (2, 2)
        assert read["one"].grid is None
        left = {file.name for file in path.parent.iterdir()} - {Path(file).name for file in io.artifact_files(path)}
        assert left == {f".previous.{path.name}", f".previous.{path.name}.json"}
        assert path.samefile(path.with_name(f".previous.{path.name}"))  # a link: it takes no room

    @pytest.mark.parametrize("kind", ["float16", "bfloat16"])
    def test_numbers_of_16_bits_are_as_torch_rounds_them(self, path: Path, provenance: io.Provenance, kind) -> None:
        """Half the file; read, resumed and taken over as float32; what the type cannot hold is refused."""
        rng, n = np.random.default_rng(0), len(self.stimuli)
        values = (rng.normal(size=(n, 7, 1000)) * 10 ** rng.uniform(-9, 4, (n, 7, 1000))).astype(np.float32)
        expected = torch.from_numpy(values).to(getattr(torch, kind))
        io.open_writer(path, self.stimuli, provenance, "sha256", kind).write(np.array([3, 1]), {"a": values[[3, 1]]})
        writer = io.open_writer(path, self.stimuli, provenance, "sha256", kind)  # killed meanwhile
        assert writer.pending.tolist() == [0, 2, 4]
        wrong = np.full((1, 7, 1000), 1e39 if kind == "bfloat16" else 7e4)
        with np.errstate(over="ignore"):
            refused(rf"layer 'a' holds .*, but {kind} ends at", writer.write, np.array([0]), {"a": wrong})
        refused(rf"but {kind} ends at", writer.write, np.array([0]), {"a": np.nan * wrong})
        writer.write(writer.pending, {"a": values[writer.pending]})
        writer.close()
        assert torch.equal(load_torch(path)["a"], expected)
        assert path.stat().st_size < values.nbytes / 2 + 200
        read = io.load(path, Layers, stored=True)["a"].values
        for found in (read[...], read[[4, 0]], np.asarray(take_rows(flatten_rows(read), slice(1, 3)))):
            assert found.dtype == np.float32
        np.testing.assert_array_equal(read[[4, 0], 2:4], expected.float().numpy()[[4, 0], 2:4])
        io.open_writer(path, self.stimuli.iloc[::-1].reset_index(drop=True), provenance, "sha256", kind).close()
        assert torch.equal(load_torch(path)["a"], expected.flip(0))
        assert len(io.open_writer(path, self.stimuli, provenance, "sha256").pending) == n  # float32 was asked for

    @pytest.mark.parametrize("change", ["settings", "stimuli", "inputs", "library", "seed"])
    @pytest.mark.parametrize("end", ["killed", "finished"])
    def test_never_mixes_rows_of_another_run(self, path: Path, change: str, end: str) -> None:
        writer = io.open_writer(path, self.stimuli, io.Provenance("s", {"a": 1}, "digest"))
        writer.write(*self.rows(0, 3))
        if end == "finished":
            writer.write(*self.rows(3, 5))
            writer.close()
        stimuli = self.stimuli.assign(texts=[["a", "c"]] * 5) if change == "stimuli" else self.stimuli
        other = io.Provenance("s", {"a": 2 if change == "settings" else 1}, "new" if change == "library" else "digest")
        other.seed = 1 if change == "seed" else None
        if change == "inputs":
            other.inputs["weights"] = "others"
        assert len(io.open_writer(path, stimuli, other).pending) == 5

    def test_only_changed_rows_are_pending_after_the_outputs_were_deleted(self, path: Path, provenance) -> None:
        self.finished(path, self.stimuli, provenance)
        for file in io.artifact_files(path):  # as Snakemake does before it runs a job again
            Path(file).unlink()
        # s1 changed, one stimulus left, the others stand elsewhere.
        stimuli = self.stimuli.assign(sha256=list("vuxyz")).iloc[[4, 3, 1, 0]].reset_index(drop=True)
        writer = io.open_writer(path, stimuli, provenance, "sha256")
        assert writer.pending.tolist() == [2]
        writer.write(*self.some(stimuli, writer.pending))
        writer.close()
        read = io.load(path, Layers)
        np.testing.assert_array_equal(read["one"].values, self.some(stimuli, np.arange(4))[1]["one"])
        assert (read["maps"].grid, io.load_sidecar(path)["details"]["n_rows_reused"]) == ((2, 2), 3)

    def test_a_killed_run_keeps_its_rows_when_an_image_is_mended(self, path: Path, provenance: io.Provenance) -> None:
        io.open_writer(path, self.stimuli, provenance, "sha256").write(*self.rows(0, 3))  # image s3 could not be read
        stimuli = self.stimuli.assign(sha256=list("vwxuz"))
        for _ in range(2):  # the second time it resumes
            assert io.open_writer(path, stimuli, provenance, "sha256").pending.tolist() == [3, 4]
        assert self.finished(path, stimuli, provenance) == 2
        np.testing.assert_array_equal(io.load(path, Layers)["one"].values, self.some(stimuli, np.arange(5))[1]["one"])
        assert not [file.name for file in path.parent.iterdir() if "replaced" in file.name or "partial" in file.name]

    def test_a_finished_file_that_someone_changed_is_not_copied_from(self, path: Path, provenance) -> None:
        self.finished(path, self.stimuli, provenance)
        with open(path, "r+b") as file:  # through the link, both change
            file.seek(-4, 2)
            file.write(b"0000")
        assert len(io.open_writer(path, self.stimuli, provenance, "sha256").pending) == 5

    @pytest.mark.parametrize("ending", ["", ".rows", ".json"])
    def test_a_flipped_bit_of_a_killed_run_is_never_finished(self, path: Path, provenance, ending: str) -> None:
        rng, expected, kept = np.random.default_rng(2), self.rows(0, 5)[1], 0
        for _ in range(10):
            io.open_writer(path, self.stimuli, provenance, "sha256").write(*self.rows(0, 4), {"maps": (2, 2)})  # killed
            damaged = path.with_name(path.name + ".partial" + ending)
            content = damaged.read_bytes()
            damaged.write_bytes(flipped(content, int(rng.integers(8 * len(content)))))
            kept += 5 - self.finished(path, self.stimuli, provenance)
            read = io.load(path, Layers)
            np.testing.assert_array_equal(read["one"].values, expected["one"])
            np.testing.assert_array_equal(read["maps"].values, expected["maps"])
            assert read["maps"].grid == (2, 2)
            for file in path.parent.iterdir():
                file.unlink()
        assert kept >= {"": 8, ".rows": 20, ".json": 0}[ending]  # what is whole is not computed again

    @pytest.mark.parametrize("ending", ["", ".rows", ".json"])
    @pytest.mark.parametrize(("share", "changed"), [(0, False), (0.5, False), (0.5, True)])
    def test_a_killed_run_that_was_cut_begins_afresh(self, path: Path, provenance, ending, share, changed) -> None:
        io.open_writer(path, self.stimuli, provenance, "sha256").write(*self.rows(0, 4), {"maps": (2, 2)})
        cut = path.with_name(path.name + ".partial" + ending)
        cut.write_bytes(cut.read_bytes()[: int(share * cut.stat().st_size)])
        stimuli = self.stimuli.assign(sha256=list("vwxuz")) if changed else self.stimuli
        assert self.finished(path, stimuli, provenance) == 5
        np.testing.assert_array_equal(io.load(path, Layers)["one"].values, self.some(stimuli, np.arange(5))[1]["one"])

    def test_another_process_may_not_write_the_same_file(self, path: Path, provenance: io.Provenance) -> None:
        writer = io.open_writer(path, self.stimuli, provenance)
        writer.write(*self.rows(0, 2))

        def of_another_process() -> BaseException | None:
            with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
                return pool.submit(io.open_writer, path, self.stimuli, provenance).exception()

        refused_by = f"is being written by process {multiprocessing.current_process().pid} on"
        assert refused_by in str(of_another_process())
        assert len(writer.pending) == 3
        writer.write(*self.rows(2, 5))
        writer.close()
        assert of_another_process() is None  # and its lock went with it
        assert len(io.open_writer(path, self.stimuli, provenance).pending) == 0

    @pytest.mark.parametrize("call", ["write", "ftruncate"])
    def test_a_disk_too_full_for_the_lock_is_said_and_leaves_it_free(self, path, provenance, call: str) -> None:
        gc.collect()  # what other tests left open is closed now, not meanwhile
        before = len(os.listdir("/proc/self/fd"))
        full = OSError(errno.ENOSPC, "No space left on device")
        with patch(f"brainalign.io.files.os.{call}", side_effect=full):
            refused("cannot be written", io.open_writer, path, self.stimuli, provenance)
        assert len(os.listdir("/proc/self/fd")) == before
        assert len(io.open_writer(path, self.stimuli, provenance).pending) == 5

    def test_says_what_does_not_fit(self, path: Path, provenance: io.Provenance) -> None:
        writer = io.open_writer(path, self.stimuli, provenance)
        writer.write(*self.rows(0, 3))
        refused("changed from", writer.write, np.array([3]), {"one": np.zeros((1, 3), dtype=np.float32)})
        refused(r"row 5 was written to .* which has 5 rows", writer.write, np.array([5]), self.rows(3, 4)[1])
        refused(r"tensor 'one' has 2 rows but the batch has 1", writer.write, np.array([3]), self.rows(3, 5)[1])
        refused("has 3 rows but the table of stimuli has 5", writer.close)


def test_sidecars_are_plain_json(tmp_path: Path, provenance: io.Provenance) -> None:
    path = io.artifact_path(tmp_path, "d", "rdm", subject="1")
    io.save(path, Arrays(a=np.arange(3.0)), provenance, conditions=["x", "y"])
    record, reader = json.loads(path.with_suffix(".json").read_text()), io.Provenance("next", {}, "digest")
    io.load(path, Arrays, reader)
    later = path.with_name("sub-1_scores.parquet")
    io.save(later, a_table(), reader)  # which notes what was read
    assert io.load_sidecar(later)["inputs"] == {path.name: record["files"][path.name]["sha256"]}
    assert record["details"]["conditions"] == ["x", "y"]
    assert record["wall_time_s"] >= 0
    assert record["peak_memory_mb"] > 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_peak_memory_is_of_the_stage_alone() -> None:
    """The process that starts a stage may have held far more."""
    held, code = np.ones(50_000_000), "from brainalign.io.provenance import Provenance\n"
    code += "print(Provenance('test', {}, 'none').record([], {})['peak_memory_mb'])"
    peak = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert 5 < float(peak) < held.nbytes / 2**20 - 50


def test_what_killed_writers_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Of a process that is gone here, or of another machine a day ago; not of one that lives, nor of other files."""
    path, machine = tmp_path / "a_[1].json", platform.node() or "machine"
    with subprocess.Popen([sys.executable, "-IS", "-c", ""]) as gone, subprocess.Popen(["sleep", "60"]) as living:
        gone.wait()
        left = [f".{machine}.{gone.pid}.a_[1].json", f".{machine}.{os.getpid()}.a_[1].json", ".far.off.7.a_[1].json"]
        kept = [f".{machine}.{living.pid}.a_[1].json", f".{machine}.{gone.pid}.b.json", ".far.8.a_[1].json", "a_1.json"]
        for name in (*left, *kept, ".previous.a_[1].json", "a_[1].json.partial"):
            (tmp_path / name).write_text("half of i")
        (tmp_path / f".{machine}.{gone.pid}.folder").mkdir()
        (tmp_path / f".{machine}.{gone.pid}.folder" / "in").touch()
        os.utime(tmp_path / left[2], (time.time() - 90_000,) * 2)
        io.write_json(path, {"whole": 1})
        with io.temporary_folder(tmp_path / "folder") as folder:
            assert list(folder.iterdir()) == []
        living.kill()
    others = {path.name, ".previous.a_[1].json", "a_[1].json.partial"}
    assert {file.name for file in tmp_path.iterdir()} == {*kept, *others}
    assert json.loads(path.read_text()) == {"whole": 1}


def test_select_and_align() -> None:
    full = responses()
    part = full.select(trials=np.array([5, 0]), targets=np.array([True, False, True]))
    np.testing.assert_array_equal(part.values, full.values[[5, 0]][:, [0, 2]])
    assert (part.trials["trial_id"].tolist(), part.targets["target_id"].tolist()) == (["t5", "t0"], ["v0", "v2"])
    stimuli = pd.DataFrame({"stimulus_id": ["s2", "s0", "s1"]})
    features = Features(np.array([[2.0], [0.0], [1.0]]), stimuli, "layer")
    aligned = features.align_to(responses())
    assert aligned.values[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert aligned.stimuli["stimulus_id"].tolist() == ["s0", "s1", "s2"] * 2
    lacking = Features(features.values[:2], stimuli[:2], "layer")
    refused(r"no features for 1 of 3 stimuli \(s1\)", lacking.align_to, responses())


@pytest.mark.parametrize("n_times", [0, 4])
def test_average_repeats_is_the_mean_of_each_stimulus(n_times: int) -> None:
    full = responses(stimulus_id=["b", "a", "b", "c", "b", "a"], session="2", run="7")
    if n_times:
        over_time = np.stack([full.values] * n_times, axis=2) + np.arange(n_times)
        full = replace(full, values=over_time, times=np.arange(4.0))
    mean = full.average_repeats()
    np.testing.assert_allclose(mean.values, [full.values[rows].mean(axis=0) for rows in ([0, 2, 4], [1, 5], [3])])
    ids = {"trial_id": ["b", "a", "c"], "stimulus_id": ["b", "a", "c"], "session": "", "run": ""}
    pd.testing.assert_frame_equal(mean.trials, pd.DataFrame(ids | {"repeat": [3, 2, 1], "onset_s": np.nan}))
    told = {"target_id": np.repeat(["v0", "v1", "v2"], n_times or 1).tolist()}
    assert mean.target_table().to_dict("list") == told | ({"time_s": [0.0, 1.0, 2.0, 3.0] * 3} if n_times else {})


@pytest.mark.parametrize(("within", "groups"), [("session", 2), ("run", 4)])
def test_zscore_within_groups(within: str, groups: int) -> None:
    """Runs are numbered anew in every session; trials of a group need not follow each other."""
    full = responses(12, session=["1", "2"] * 6, run=["1"] * 4 + ["2"] * 8)
    full = replace(full, values=full.values.astype(np.float32), units="%")
    scored = full.zscore(within)
    keys = ["session"] if within == "session" else ["session", "run"]
    values = pd.DataFrame(full.values.astype(float)).groupby([full.trials[key] for key in keys])
    assert values.ngroups == groups
    np.testing.assert_allclose(scored.values, values.transform(lambda x: (x - x.mean()) / x.std(ddof=1)), rtol=1e-5)
    assert (scored.units, scored.values.dtype) == ("z", np.float32)
    constant = responses()
    constant.values[:3, 1] = 2.0
    refused(r"1 target\(s\) are constant within run .*'1', '0'.* \(v1\); drop them", constant.zscore, "run")
    counts = replace(full, values=np.round(10 * full.values).astype(np.int16))  # nor are theirs rounded
    exact = replace(counts, values=counts.values.astype(float))
    np.testing.assert_allclose(counts.average_repeats().values, exact.average_repeats().values, rtol=1e-6)
    np.testing.assert_allclose(counts.zscore().values, exact.zscore().values, rtol=1e-5)
    inside = full.zscore(within, in_place=True)
    assert inside.values is full.values
    np.testing.assert_array_equal(inside.values, scored.values)


def test_tables_must_fit() -> None:
    full = responses()
    refused("responses has 6 rows but the table of trials", Responses, full.values, full.trials[:5], full.targets, "z")
    refused("no column", Responses, full.values, full.trials.drop(columns="run"), full.targets, "z")
    refused("ids are there twice", Responses, full.values, full.trials.assign(trial_id="x"), full.targets, "z")
    refused("third axis", Responses, full.values, full.trials, full.targets, "z", times=np.arange(3.0))
