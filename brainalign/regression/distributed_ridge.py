"""Ridge regression beyond one machine: the steps of the in-memory engine as tasks of dask.

Whatever is large lies in files that all workers see: targets (rearranged once, so that every task reads its own in one
piece), the decomposed features, the coefficients. dask carries slices, Grams and scores, and reruns what a killed
worker had not finished. Pieces depend on sizes only, never on the number of workers, so neither do results.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from brainalign.arrays import StoredArray, row_blocks
from brainalign.checks import BrainalignError, check_choice, check_rows, import_optional
from brainalign.io import temporary_folder
from brainalign.regression import inputs, tasks
from brainalign.regression.design import pooled_alpha
from brainalign.regression.folds import Layout, layout, wants_grams
from brainalign.regression.inputs import Array
from brainalign.regression.ridge import Ridge
from brainalign.regression.rotation import ILL_CONDITIONED
from brainalign.regression.tasks import DesignFile, Job, NpyFile, ShardFit, Stored, check_finite_pieces

if TYPE_CHECKING:
    from dask.distributed import Client, Future

CHUNK = 2**27  # bytes a task reads of features (in float64), or of targets to rearrange
SHARD = 2**28  # bytes that the arrays of a shard of targets take while it is fitted
RETRIES = 2  # of a task that failed: shared file systems hiccup


def fit_distributed(
    ridge: Ridge,
    X: Path | str | Array | StoredArray,
    Y: Path | str | Array | StoredArray,
    *,
    coef: Path | str,
    groups: Array | None = None,
    roi: Array | None = None,
    sample_weight: Any = None,
    scale: float | Array | None = None,
    client: Client | str | None = None,
    scratch: Path | str | None = None,
    shard: int | None = None,
    chunk: int = CHUNK,
) -> Ridge:
    """Fit a `Ridge` to more targets than fit into memory, on any number of workers.

    Equals `ridge.fit` to 1e-6. A worker holds a chunk of X or Y; later the decomposed features (about
    2 × n_rows × min(n_rows, n_features) values) and one shard of targets.

    Parameters
    ----------
    ridge : Ridge
        Fitted in place.
    X : path of a .npy file, array or StoredArray, (n_rows, n_features)
    Y : path of a .npy file, array or StoredArray, (n_rows, n_targets)
        Floats or integers; arrays are written to scratch first.
    coef : path
        The .npy file of coefficients (n_targets, n_features) to write; the fit's `coef_` maps it.
    groups, roi, sample_weight
        As for `Ridge.fit`; weights must be above 0.
    scale : float or array (n_targets,), optional
        What values of Y are multiplied by, for responses stored as integers.
    client : dask.distributed.Client or str, optional
        A client, the address of a scheduler, or None: processes of this machine for the time of the fit.
    scratch : path, optional
        Folder for temporary files that all workers see, with room for Y and the decomposed features; the folder of
        `coef` where not given.
    shard : int, optional
        Targets a task fits, and a killed worker loses; as many as take 256 MB where not given.
    chunk : int
        Bytes a task reads of X, or of Y to rearrange it.

    Returns
    -------
    Ridge
        With numpy arrays as attributes.

    Raises
    ------
    BrainalignError
        If options are unknown, files are missing, shapes do not fit or values are not finite;
        all before anything is decomposed.
    """
    coef, scratch = Path(coef).absolute(), Path(scratch or Path(coef).parent).absolute()
    for use, folder in (("the coefficients", coef.parent), ("temporary files", scratch)):
        if not folder.is_dir():
            raise BrainalignError(f"there is no folder {folder} for {use}; make it, where all workers see it")
    inputs.check_options(ridge.alphas, ridge.solver, ridge.metric, ridge.dtype, ridge.device)
    for name, value in {"shard": 1 if shard is None else shard, "chunk": chunk}.items():
        if value < 1:
            raise BrainalignError(f"{name} must be at least 1; got {value}")
    unfinished = coef.with_name(f".partial.{coef.name}")  # the name appears when all coefficients are there
    try:
        with temporary_folder(scratch / coef.stem) as folder:
            features, targets = _file("X", X, folder), _file("Y", Y, folder)
            order = _order(ridge, features, targets, groups, roi, sample_weight)
            job = _job(ridge, features, targets, order, folder, unfinished, shard)
            scales = _scales(scale, targets.shape[1])
            # A client that is given goes on; one that is made here ends with the block.
            until = cluster(client or "local") if client is None or isinstance(client, str) else nullcontext(client)
            with until as connected:
                run = _Run(connected, job, chunk)
                stored = Stored(scales, run.look(scales))
                run.decompose()
                found = run.fit(stored, inputs.labels_of(roi))
        unfinished.replace(coef)
    finally:
        unfinished.unlink(missing_ok=True)
    ridge.alpha_, ridge.cv_scores_, ridge.intercept_ = found.alpha, found.scores, found.intercept
    ridge.coef_ = np.load(coef, mmap_mode="c").T  # writable in memory, as torch wants it; the file stays as it is
    of_targets = inputs.floating(torch.empty(0, dtype=getattr(torch, job.Y.dtype)))
    ridge.note((torch.from_numpy(run.mean), torch.from_numpy(found.means)), run.method, of_targets)
    return ridge


@dataclass(eq=False, repr=False)
class DistributedRidge(Ridge):
    """Fit `Ridge` by the workers of a dask scheduler: an encoder like any other, whose targets may lie on disk.

    `scheduler` is its address; `scratch` a folder that all workers see, where the coefficients of the last fit stay.
    """

    scheduler: str = ""
    scratch: Path | str = ""

    def fit(self, X: Any, Y: Any, *, grid: Any = None, semantics: Any = None, **given: Any) -> Ridge:
        """Fit all targets; parameters and errors are those of `fit_distributed`, and what `Ridge` refuses."""
        inputs.refuse("Ridge", grid=grid, semantics=semantics)
        return fit_distributed(self, X, Y, coef=Path(self.scratch) / "coef.npy", client=self.scheduler, **given)


def _order(ridge: Ridge, X: NpyFile, Y: NpyFile, groups: Array | None, roi: Array | None, given: Any) -> Layout:
    """Lay out rows and folds, after checks of what can be checked without reading."""
    inputs.check_shapes("X", X.shape, Y.shape)
    ridge.check_roi(roi, Y.shape[1])
    weights, weight = inputs.row_weights(given, X.shape[0])
    if weights is not None and not bool((weights > 0).all()):
        raise BrainalignError("sample_weight is 0 for some rows; leave those rows out of X and Y")
    several = len(inputs.alphas_of(ridge.alphas)) > 1
    order = layout(X.shape[0], ridge.cv, inputs.labels_of(groups)) if several else Layout(None, [])
    return order.weigh(weights, weight)


def _job(ridge: Ridge, X: NpyFile, Y: NpyFile, order: Layout, folder: Path, coef: Path, shard: int | None) -> Job:
    """Lay out the files."""
    (n_rows, n_features), n_targets = X.shape, Y.shape[1]
    rows = None if order.order is None else torch.from_numpy(order.order)
    tests = [(test.start, test.stop) for test in order.tests]
    tasks.save(folder / "layout.pt", (rows, tests, order.roots, order.weight))
    job = Job(
        X=X,
        Y=Y,
        staged=NpyFile.create(folder / "targets.npy", (n_rows * n_targets, 1), Y.dtype),
        coef=NpyFile.create(coef, (n_targets, n_features), ridge.dtype),
        folder=folder,
        tests=order.tests,
        shard=shard or 1,
        alphas=inputs.alphas_of(ridge.alphas),
        solver=ridge.solver,
        metric=ridge.metric,
        per_target_alpha=ridge.per_target_alpha,
        device=ridge.device,
        dtype=ridge.dtype,
    )
    return replace(job, shard=min(n_targets, shard or max(1, SHARD // job.per_target)))


def _file(name: str, array: Path | str | Array | StoredArray, folder: Path) -> NpyFile:
    if isinstance(array, StoredArray):
        if array.standard is None:
            return NpyFile.of(name, array)
        copied = StoredArray.create(folder / f"{name}.npy", array.shape, array.dtype)
        for rows in row_blocks(array):
            copied[rows] = array[rows]
        array = copied.path
    if not isinstance(array, Path | str):
        values = np.asarray(array.cpu() if isinstance(array, torch.Tensor) else array)
        array = folder / f"{name}.npy"
        np.save(array, values)
    return NpyFile.open(name, Path(array))


def _scales(scale: float | Array | None, n_targets: int) -> NDArray[np.float64] | None:
    if scale is None:
        return None
    given = np.asarray(scale, dtype=np.float64)
    if given.ndim:
        check_rows("scale", given.size, "the targets of Y", n_targets, "give a number, or one per target")
    if not np.isfinite(given).all() or not given.all():
        raise BrainalignError("scale must be finite and not 0: it turns stored integers into responses")
    return np.broadcast_to(given.ravel(), n_targets).copy()


class _Run:
    """The steps of one fit; each waits for the one before, so that a lost worker never takes a finished step along."""

    mean: NDArray[np.float64]
    method: Literal["gram", "svd"]

    def __init__(self, client: Client, job: Job, chunk: int) -> None:
        self.client, self.job, self.chunk = client, job, chunk

    def look(self, scales: NDArray[np.float64] | None) -> torch.Tensor | None:
        """Rearrange targets, find the mean of the features, and refuse values that nothing can be fitted to.

        Returns the units of the targets (n_targets,), times `scales` where given; None where each is 1.
        """
        X, Y = self.job.X, self.job.Y
        n_rows, n_targets = Y.shape
        if Y.by_column:
            blocks = [(slice(0, n_rows), columns) for columns in self.job.shards]
        else:
            blocks = [(rows, slice(0, n_targets)) for rows in self._pieces(n_rows, n_targets * Y.itemsize)]
        smallest, largest = np.full(n_targets, np.inf), np.full(n_targets, -np.inf)
        looks = []
        for number, seen in self._done(tasks.stage, [(block,) for block in blocks]):
            columns = blocks[number][1]
            smallest[columns] = np.minimum(smallest[columns], seen.smallest)
            largest[columns] = np.maximum(largest[columns], seen.largest)
            looks.append(seen)
        check_finite_pieces("Y", Y.shape, looks)
        sums = self._all(tasks.total, [(rows,) for rows in self._pieces(n_rows, 8 * X.shape[1])])
        check_finite_pieces("X", X.shape, [seen for _, seen in sums])
        seen_x = [seen for _, seen in sums]
        lowest, highest = (np.min([s.smallest for s in seen_x], axis=0), np.max([s.largest for s in seen_x], axis=0))
        inputs.check_range("X", torch.from_numpy(lowest), torch.from_numpy(highest))
        roots = self.job.layout().roots
        self.mean = np.sum([each for each, _ in sums], axis=0) / (n_rows if roots is None else float(roots @ roots))
        np.save(self.job.folder / "mean.npy", self.mean)
        factor = 1.0 if scales is None else np.abs(scales)
        return inputs.units_of(
            inputs.check_range("Y", *(torch.from_numpy(factor * extreme) for extreme in (smallest, largest)))
        )

    def decompose(self) -> None:
        """Rotate the features and decompose every fold, into files of scratch."""
        job = self.job
        (length, width), kind = (job.X.shape, "rows") if job.primal else (job.X.shape[::-1], "axes")
        pieces = self._pieces(length, 8 * width)
        gram = self._tree([self._submit(tasks.gram, where) for where in pieces])
        rank, self.method = self._all(tasks.decompose, [(gram,)])[0]
        if self.method == "svd":
            warnings.warn(ILL_CONDITIONED, RuntimeWarning, stacklevel=3)
        else:
            other = NpyFile.create(job.folder / f"{kind}.npy", (length, rank), job.dtype)
            self._all(tasks.rotate_rows, [(other, where) for where in pieces])
        if not job.tests:
            return
        exact = self.method == "svd"
        grams: list[Future[Any] | None] = [None] * len(job.tests)
        whole = None
        if not exact and wants_grams(job.X.shape[0], rank, job.tests, job.solver):
            grams = [self._submit(tasks.fold_gram, test) for test in job.tests]
            whole = self.client.submit(sum, grams, pure=False, retries=RETRIES)
        self._all(tasks.fold, [(exact, number, each, whole) for number, each in enumerate(grams)])

    def fit(self, stored: Stored, roi: NDArray[Any] | None) -> ShardFit:
        """Fit every shard of targets."""
        job = self.job
        n_targets, dtype = job.Y.shape[1], np.dtype(job.dtype)
        design = self.client.submit(DesignFile, job, self.method, pure=False)
        scores, intercept = np.empty((len(job.alphas), n_targets), dtype), np.empty(n_targets)
        alpha, means = np.empty(n_targets), np.empty(n_targets)
        shards = [(design, where, stored.of(where)) for where in job.shards]
        for number, found in self._done(tasks.fit_shard, shards):
            where = job.shards[number]
            scores[:, where], alpha[where], means[where], intercept[where] = found
        if not job.per_target_alpha:
            alpha = pooled_alpha(torch.tensor(job.alphas, dtype=torch.float64), torch.from_numpy(scores), roi).numpy()
            again = [(*shard, alpha[where]) for shard, where in zip(shards, job.shards, strict=True)]
            for number, found in self._done(tasks.solve_shard, again):
                intercept[job.shards[number]] = found
        design.release()
        return ShardFit(scores, alpha, means, intercept)

    def _pieces(self, length: int, n_bytes: int) -> list[slice]:
        """Divide rows or columns of so many bytes each into chunks."""
        return list(gen_batches(length, max(1, self.chunk // max(1, n_bytes))))

    def _tree(self, sums: list[Future[Any]]) -> Future[Any]:
        """Add in pairs, and pairs of pairs; first of all else, so that workers do not pile up what is to be added."""
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2], strict=False)
            added = [self.client.submit(operator.add, *pair, pure=False, retries=RETRIES, priority=1) for pair in pairs]
            sums = added + sums[2 * len(added) :]
        return sums[0]

    def _submit(self, task: Callable[..., Any], *given: Any) -> Future[Any]:
        return self.client.submit(task, self.job, *given, pure=False, retries=RETRIES)

    def _all(self, task: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run a task for each tuple of arguments and return the results in their order."""
        return [result for _, result in sorted(self._done(task, given), key=operator.itemgetter(0))]

    def _done(self, task: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield the number and result of every task as it is done: what is here no worker can lose."""
        from dask.distributed import as_completed

        futures = [self._submit(task, *each) for each in given]
        numbers = {future.key: number for number, future in enumerate(futures)}
        try:
            for future, result in as_completed(futures, with_results=True):
                if future.cancelled():  # by nobody here
                    scheduler: Any = self.client.scheduler
                    raise BrainalignError(
                        f"{scheduler.address}: the scheduler ended or forgot the fit before it was done; "
                        "see its log, start it and its workers, and run again"
                    )
                future.release()  # else what a worker had sent is computed again where that worker dies
                yield numbers[future.key], result
        except BaseException:  # nothing of the rest is wanted
            self.client.cancel(futures)
            raise


@contextmanager
def cluster(where: str = "local", *, n_workers: int | None = None, **options: Any) -> Iterator[Client]:
    """Connect to workers for as long as the block lasts; those it started end with it.

    Parameters
    ----------
    where : {"local", "slurm"} or str
        Processes of this machine; jobs of SLURM; or the address of a running scheduler ("tcp://node01:8786").
    n_workers : int, optional
        Local: one per core where not given. SLURM: how many to ask for. A running scheduler has its own.
    options
        Passed to `dask.distributed.LocalCluster` (as memory_limit="8GB"), `dask_jobqueue.SLURMCluster` (queue, cores,
        memory, walltime, ...) or `dask.distributed.Client`.

    Yields
    ------
    dask.distributed.Client

    Raises
    ------
    BrainalignError
        If `where` is none of these, no scheduler answers, its workers have another version of brainalign, or SLURM is
        wanted without dask-jobqueue.
    """
    from dask.distributed import Client, LocalCluster

    if "://" in where:
        if n_workers is not None:
            raise BrainalignError(f"the scheduler at {where} has workers of its own; leave n_workers={n_workers} out")
        try:
            client = Client(where, **options)
        except OSError as error:
            raise BrainalignError(f"no scheduler answers at {where}; start one with: dask scheduler") from error
        with client:
            _check_workers(where, client)
            yield client
        return
    check_choice("where", where, {"local", "slurm"})
    if where == "slurm":
        workers = slurm_cluster(n_workers=n_workers or 1, **options)
    else:
        # One thread each: the linear algebra of a worker is one task at a time, in memory that it knows.
        workers = LocalCluster(n_workers=n_workers, **{"threads_per_worker": 1, "dashboard_address": ":0"} | options)
    with workers, Client(workers) as client:
        yield client


def _check_workers(where: str, client: Client) -> None:
    """Raise if a worker has another brainalign, or none: it would end at its first task, and the fit wait for ever."""
    versions: Any = client.get_versions(packages=["brainalign"])
    if not versions["workers"]:
        warnings.warn(f"the scheduler at {where} has no workers; start some with: dask worker {where}", stacklevel=4)
    own = versions["client"]["packages"]["brainalign"]
    for worker, found in versions["workers"].items():
        if (other := found["packages"]["brainalign"]) != own:
            raise BrainalignError(f"the worker {worker} has brainalign {other} and not {own}; install the same there")


def slurm_cluster(*, n_workers: int = 0, **options: Any) -> Any:
    """Return a `dask_jobqueue.SLURMCluster`; its `job_script()` shows what would be submitted.

    Jobs are submitted for `n_workers` at once; options are queue, cores, memory, walltime, account, ...: as
    `SLURMCluster` takes them.
    """
    return import_optional("dask_jobqueue", "cluster", "running on SLURM").SLURMCluster(n_workers=n_workers, **options)
