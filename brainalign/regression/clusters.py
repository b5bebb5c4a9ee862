"""Where a distributed fit runs: processes of this machine, a scheduler by its address, or jobs of SLURM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from brainalign.checks import BrainalignError, check_choice, import_optional

if TYPE_CHECKING:
    from dask.distributed import Client


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
        If `where` is none of these, no scheduler answers, or SLURM is wanted without dask-jobqueue.
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
            yield client
        return
    check_choice("where", where, {"local", "slurm"})
    if where == "slurm":
        workers = slurm_cluster(n_workers=n_workers or 1, **options)
    else:
        # One thread each: the linear algebra of a worker is one task at a time, in memory that it knows.
        workers = LocalCluster(n_workers, **{"threads_per_worker": 1, "dashboard_address": ":0"} | options)
    with workers, Client(workers) as client:
        yield client


def slurm_cluster(*, n_workers: int = 0, **options: Any) -> Any:
    """Return a `dask_jobqueue.SLURMCluster`; its `job_script()` shows what would be submitted.

    Parameters
    ----------
    n_workers : int
        Workers to submit jobs for at once.
    options
        queue, cores, memory, walltime, account, ...: as `SLURMCluster` takes them.

    Raises
    ------
    BrainalignError
        If dask-jobqueue is not installed.
    """
    jobqueue = import_optional("dask_jobqueue", "cluster", "running on SLURM")
    return jobqueue.SLURMCluster(n_workers=n_workers, **options)
