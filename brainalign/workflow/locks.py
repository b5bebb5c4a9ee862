"""Whether a snakemake that may hold a lock is still running: a killed one leaves its lock behind.

python -P -m brainalign.workflow.locks && snakemake --unlock
"""

import os
import sys
from pathlib import Path

import psutil

FOLDER = Path(".snakemake")


def _path(pid: int | None, folder: Path) -> Path:
    return folder / f"brainalign-{pid or os.getpid()}.pid"


def note(pid: int | None = None, folder: Path = FOLDER) -> None:
    """Write down that a process (this one) runs the workflow here."""
    _path(pid, folder).touch()


def forget(pid: int | None = None, folder: Path = FOLDER) -> None:
    """Remove the note of a process that ends (this one)."""
    _path(pid, folder).unlink(missing_ok=True)


def running(folder: Path = FOLDER) -> list[int]:
    """Return the noted processes that are still alive; notes of dead ones are removed.

    A zombie, and a process that took over the number after the note was written, do not count.
    """
    alive = []
    for path in folder.glob("brainalign-*.pid"):
        pid = int(path.stem.removeprefix("brainalign-"))
        try:
            process = psutil.Process(pid)
            gone = process.status() == psutil.STATUS_ZOMBIE or process.create_time() > path.stat().st_mtime + 1
        except psutil.NoSuchProcess:
            gone = True
        if gone:
            path.unlink(missing_ok=True)
        else:
            alive.append(pid)
    return alive


def main() -> int:
    """Exit with 0 when no noted process runs, else with 1 and say which."""
    alive = running()
    if alive:
        print(f"snakemake is running here (process {', '.join(map(str, alive))}); its lock stays", file=sys.stderr)
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
