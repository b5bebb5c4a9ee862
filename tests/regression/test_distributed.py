import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from dask.distributed import Client, SchedulerPlugin, WorkerPlugin, as_completed
from jobs import peak_bytes
from refusals import refused
from shown import Record, cases
from sklearn.base import clone

from brainalign.encoding import Ridge
from brainalign.regression import cluster, fit_distributed, slurm_cluster
from brainalign.regression.distributed_ridge import _Run
from brainalign.regression.tasks import NpyFile

ALPHAS = (0.01, 0.3, 10.0, 300.0, 1e4)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On other numbers of threads LAPACK rounds otherwise (1e-6); what is compared is everything else."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def threads() -> Iterator[Client]:
    """Yield one worker in this process: quick, and everything still goes through the scheduler."""
    with cluster(n_workers=1, processes=False) as client:
        yield client


def data(n: int, p: int, t: int = 23) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(n, p)) + 2).astype(np.float32)
    Y = X @ rng.normal(size=(p, t)) / np.sqrt(p) + rng.normal(size=(n, t)) * rng.uniform(0.3, 4, size=t) + 5
    return X, Y.astype(np.float32), np.r_[np.zeros(n // 3), np.arange(n - n // 3) % 6]  # unequal folds, rows apart


def assert_equal(found: Ridge, expected: Ridge, X: np.ndarray, tolerance: float = 1e-6) -> None:
    """Compare on the scale of each quantity; scores count from 1, since R² of a bad penalty is a large number."""
    np.testing.assert_array_equal(found.alpha_, expected.alpha_)
    np.testing.assert_allclose(found.cv_scores_, expected.cv_scores_, rtol=tolerance, atol=tolerance)
    for name in ("coef_", "intercept_"):
        scale = np.abs(getattr(expected, name)).max()
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=tolerance * scale)
    predicted = expected.predict(X)
    np.testing.assert_allclose(found.predict(X), predicted, rtol=0, atol=tolerance * np.abs(predicted).max())
    assert (found.alpha_at_edge_, found.decomposition_) == (expected.alpha_at_edge_, expected.decomposition_)


@pytest.mark.parametrize("metric", ["r2", "r"])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(("n", "p"), [(300, 20), (150, 40), (120, 300)], ids=["sums", "primal", "dual"])
def test_equals_the_engine_in_memory(n: int, p: int, pooled, metric: str, tmp_path, threads, products_of_torch) -> None:
    X, Y, groups = data(n, p)
    ridge = Ridge(ALPHAS, metric=metric, per_target_alpha=not pooled)
    expected = Ridge(ALPHAS, metric=metric, per_target_alpha=not pooled).fit(X, Y, groups=groups)
    options = {"groups": groups, "coef": tmp_path / "coef.npy", "client": threads}
    found = fit_distributed(ridge, X, Y, **options, shard=7, chunk=20_000)
    assert found is ridge
    assert_equal(found, expected, X)
    # In blocks of the same width the very same numbers: MKL sums other widths in another order, no more. (OpenBLAS does
    # so with operands that lie otherwise, too.)
    fit_distributed(ridge, X, Y, **options, chunk=20_000)
    assert_equal(ridge, expected, X, 1e-9)
    np.testing.assert_array_equal(np.load(tmp_path / "coef.npy"), found.coef_.T)
    assert [path.name for path in tmp_path.iterdir()] == ["coef.npy"]  # nothing else is left


@pytest.mark.parametrize("order", ["C", "F"])
def test_integers_with_a_scale(order: str, tmp_path: Path, threads: Client) -> None:
    """As NSD stores betas; by rows or by columns."""
    X, Y, _ = data(80, 12)
    stored = np.asarray(np.round(Y * 300), dtype=np.int16, order=order)
    np.save(tmp_path / "Y.npy", stored)
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    for scale in (1 / 300, 1e-25 / 300, np.linspace(0.5, 2, Y.shape[1])):
        expected = Ridge(ALPHAS).fit(X, stored * np.asarray(scale, dtype=np.float64))
        options = {"scale": scale, "coef": tmp_path / "c.npy", "client": threads, "shard": 6, "chunk": 999}
        assert_equal(fit_distributed(Ridge(ALPHAS), tmp_path / "X.npy", tmp_path / "Y.npy", **options), expected, X)


def test_a_file_of_targets_takes_no_memory(tmp_path: Path) -> None:
    assert peak_bytes(lambda: NpyFile.create(tmp_path / "targets.npy", (10**7, 1), "float32")) < 10**6


def test_ill_conditioned_features_are_decomposed_by_svd(tmp_path: Path, threads: Client) -> None:
    X, Y, _ = data(40, 3)
    X = X.astype(np.float64) * [1, 1e-9, 1e9]
    with pytest.warns(RuntimeWarning, match="ill-conditioned"):
        found = fit_distributed(Ridge((0.1, 10)), X, Y, coef=tmp_path / "c.npy", client=threads)
    with pytest.warns(RuntimeWarning, match="ill-conditioned"):
        assert_equal(found, Ridge((0.1, 10)).fit(X, Y), X)
    flat = fit_distributed(Ridge((0.1, 10)), np.ones((40, 3)), Y, coef=tmp_path / "c.npy", client=threads)
    assert not flat.coef_.any()
    Y[:, 1] = 0.3
    found = fit_distributed(Ridge((0.1, 10)), X, Y, coef=tmp_path / "d.npy", client=threads)
    assert_equal(found, Ridge((0.1, 10)).fit(X, Y), X)


@pytest.mark.parametrize(("change", "message"), [
    ({"X": "nowhere.npy"}, "X: there is no file nowhere.npy"), ({"Y": __file__}, "no whole .npy file"),
    ({"Y": np.zeros((30, 2), dtype=complex)}, "holds complex128; give one array of float16, float32"),
    ({"X": np.zeros((5, 2))}, "X has 5 rows but Y has 30"), ({"X": np.zeros((30, 2, 2))}, r"X has shape \(30, 2, 2\)"),
    ({"X": np.where(np.arange(60).reshape(30, 2) == 31, np.inf, 0)}, r"X .* has 1 NaN .* \(first at \(15, 1\)\)"),
    ({"Y": np.where(np.arange(90).reshape(30, 3) > 70, np.nan, 0)}, r"Y .* has 19 NaN .* \(first at \(23, 2\)\)"),
    ({"groups": np.zeros(3)}, "groups has 3 rows but X has 30"),
    ({"roi": np.zeros(3)}, "only with per_target_alpha=False"),
    ({"scale": np.ones(5)}, "scale has 5 rows but the targets of Y has 23"),
    ({"scale": 0.0}, "scale must be finite and not 0"),
    ({"coef": "no/such/folder/c.npy"}, "no/such/folder for the coefficients"),
    ({"shard": 0}, "shard must be at least 1; got 0"), ({"client": "nowhere"}, "where must be one of"),
])  # fmt: skip
def test_errors_come_before_the_long_part(change, message: str, tmp_path: Path, threads: Client, monkeypatch) -> None:
    decompose = "brainalign.regression.distributed_ridge._Run.decompose"
    monkeypatch.setattr(decompose, lambda self: pytest.fail("it went on"))
    X, Y, groups = data(30, 4)
    given: dict[str, Any] = {"X": X, "Y": Y, "groups": groups, "coef": tmp_path / "c.npy", "client": threads} | change
    refused(message, fit_distributed, Ridge(), given.pop("X"), given.pop("Y"), chunk=1_000, **given)
    assert not list(tmp_path.iterdir())


def test_an_address_and_what_is_none(tmp_path: Path, threads: Client, monkeypatch) -> None:
    X, Y, _ = data(30, 4)
    address = threads.scheduler.address
    ridge = Ridge(ALPHAS, dtype="float64")  # in float32, scores of six rows keep five digits
    assert_equal(fit_distributed(ridge, X, Y, coef=tmp_path / "c.npy", client=address), clone(ridge).fit(X, Y), X)
    with cluster(n_workers=3, processes=False) as client:
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 3
    refused("leave n_workers=3 out", cluster(address, n_workers=3).__enter__)
    refused("no scheduler answers at tcp", cluster("tcp://127.0.0.1:9", timeout="0.2s").__enter__)
    here, other = ({"packages": {"brainalign": version}} for version in ("0.2", None))
    versions = {"client": here, "workers": {"tcp://a": here, "tcp://b": other}}
    monkeypatch.setattr(Client, "get_versions", lambda self, packages: versions)
    refused("worker tcp://b has brainalign None and not 0.2", cluster(address).__enter__)
    versions["workers"] = {}
    with pytest.warns(UserWarning, match="has no workers; start some with: dask worker inproc"), cluster(address):
        pass
    np.save(tmp_path / "Y.npy", Y)
    os.truncate(tmp_path / "Y.npy", 1000)
    cut = r"Y\.npy: no whole \.npy file .*needs 2,888 bytes"
    refused(cut, fit_distributed, Ridge(), X, tmp_path / "Y.npy", coef=tmp_path / "c.npy", client=threads)


def test_a_scheduler_that_ends_is_said_to(tmp_path: Path, threads: Client, monkeypatch) -> None:
    submit = _Run._submit

    def cancelled(self: _Run, task: Any, *given: Any) -> Any:
        future = submit(self, task, *given)
        future.cancel()  # as a client does with all of them whose scheduler is gone
        return future

    monkeypatch.setattr(_Run, "_submit", cancelled)
    X, Y, _ = data(30, 4)
    refused("the scheduler ended", fit_distributed, Ridge(), X, Y, coef=tmp_path / "c.npy", client=threads)


def test_the_job_script_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    options = {"queue": "big", "cores": 4, "memory": "32GB", "walltime": "03:00:00", "account": "lab"}
    with slurm_cluster(**options, interface="lo") as workers:
        script = workers.job_script()
    for line in ("#SBATCH -p big", "#SBATCH --cpus-per-task=4", "#SBATCH -t 03:00:00", "#SBATCH -A lab"):
        assert line in script
    assert "#SBATCH --mem=30G" in script  # 32 GB in the units of SLURM
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    refused(r'install it with: pip install "brainalign\[cluster\]"', slurm_cluster)


class Finished(SchedulerPlugin):
    """How often every shard was finished."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def transition(self, key: Any, start: str, finish: str, *_: object, **__: object) -> None:
        if (start, finish) == ("processing", "memory") and key.startswith("fit_shard"):
            self.times[key] += 1


class Shards(WorkerPlugin):
    """Writes down every shard that a worker starts, and that it ends."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def transition(self, key: Any, start: str, finish: str, **_: object) -> None:
        if "executing" in (start, finish) and key.startswith("fit_shard"):
            with open(self.log.with_suffix("." + finish), "a") as file:
                file.write(f"{key}\n")


@cases((300, 6_000, "2GB", 300), (4_000, 200_000, "1GB", None))("sizes")
def test_a_killed_worker_costs_its_shard(sizes, tmp_path, threads, record: Record, monkeypatch) -> None:
    """Two dask workers fit a file larger than their memory, one is killed in the middle."""
    n_rows, n_targets, limit, shard = sizes
    X = np.random.default_rng(0).normal(size=(n_rows, 64)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    rng = np.random.default_rng(1)
    mapped = np.lib.format.open_memmap(tmp_path / "Y.npy", mode="w+", dtype=np.int16, shape=(n_rows, n_targets))
    weights = rng.normal(size=(64, len(range(0, n_targets, 97)))) * 40
    for row in range(0, n_rows, 100):
        rows = rng.integers(-2000, 2000, size=(len(X[row : row + 100]), n_targets), dtype=np.int16)
        rows[:, ::97] += np.round(X[row : row + 100] @ weights).astype(np.int16)
        mapped[row : row + 100] = rows
    options: dict[str, Any] = {"scale": 1 / 300, "shard": shard, "chunk": 2**25}
    paths = tmp_path / "X.npy", tmp_path / "Y.npy"
    ridge = {"alphas": ALPHAS, "cv": 3}
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    with cluster(n_workers=2, memory_limit=limit) as client:
        limits = {worker["memory_limit"] for worker in client.scheduler_info()["workers"].values()}
        began = time.monotonic()
        calm = fit_distributed(Ridge(**ridge), *paths, coef=tmp_path / "calm.npy", client=client, **options)
        calm_s, peak = time.monotonic() - began, max(client.run(peak_memory).values())
        finished = Finished()
        client.cluster.scheduler.add_plugin(finished)
        client.register_plugin(Shards(tmp_path / "shards"))
        pids = client.run(os.getpid)
        received: list[Any] = []

        def completed(futures: list[Any], **options: Any) -> Iterator[tuple[Any, Any]]:
            for future, result in as_completed(futures, **options):
                if future.key.startswith("fit_shard"):
                    received.append(future.key)
                    if len(received) == 10:
                        os.kill(next(iter(pids.values())), signal.SIGKILL)
                yield future, result

        monkeypatch.setattr("dask.distributed.as_completed", completed)
        began = time.monotonic()
        shot = fit_distributed(Ridge(**ridge), *paths, coef=tmp_path / "shot.npy", client=client, **options)
        shot_s = time.monotonic() - began
        after = client.run(os.getpid)
    started, ended = ((tmp_path / f"shards.{state}").read_text().split() for state in ("executing", "memory"))
    n_shards, size = len(set(started)), paths[1].stat().st_size
    again, twice = len(started) - n_shards, {key for key, times in finished.times.items() if times > 1}
    assert set(pids.values()) - set(after.values()) == {next(iter(pids.values()))}  # it died, and only it
    alone = calm  # one worker gives the same bits
    if shard is not None:
        alone = fit_distributed(Ridge(**ridge), *paths, coef=tmp_path / "one.npy", client=threads, **options)
    for name in ("coef_", "intercept_", "alpha_", "cv_scores_"):
        np.testing.assert_array_equal(getattr(shot, name), getattr(calm, name))
        np.testing.assert_array_equal(getattr(alone, name), getattr(calm, name))
    some = np.r_[0:97, n_targets - 97 : n_targets]
    in_memory = Ridge(**ridge).fit(X, np.load(paths[1], mmap_mode="r")[:, some].astype(np.float32) / np.float32(300))
    np.testing.assert_array_equal(shot.alpha_[some], in_memory.alpha_)
    np.testing.assert_allclose(shot.cv_scores_[:, some], in_memory.cv_scores_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shot.coef_[:, some], in_memory.coef_, atol=1e-6 * np.abs(in_memory.coef_).max())
    assert n_shards > 16
    assert not twice.intersection(received[:8])  # what had come is never computed again
    # And one was in the making. The word that another was done can die with the worker: the ends are the workers' own.
    assert again <= len(ended) - n_shards + 1
    (worker_limit,) = limits
    if size > worker_limit:
        assert peak < worker_limit
    for quantity, value, expected in (
        ("size of the targets / memory limit of a worker", f"{size / worker_limit:.2f}", "> 1"),
        ("peak memory of a worker / its limit", f"{peak / worker_limit:.2f}", "< 0.95"),
        ("shards, of which started again after the kill", f"{n_shards}, {again}", "none that was received"),
        ("seconds, undisturbed and with the kill", f"{calm_s:.0f}, {shot_s:.0f}", "about the same"),
        ("results with and without the kill", "equal in every bit", "equal"),
    ):
        record(quantity, value, expected)


def peak_memory() -> int:
    """Return the most bytes this process ever held; ru_maxrss would count those of the process that started it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
