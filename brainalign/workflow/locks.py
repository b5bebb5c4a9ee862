"""Whether a snakemake that may hold a lock is still running: a killed one leaves its lock behind.

python -P -m brainalign.workflow.locks && snakemake --unlock
"""

import os
import platform
import sys
from pathlib import Path

import psutil

FOLDER = Path(".snakemake")
MACHINE = platform.node() or "machine"


def _path(pid: int | None, folder: Path) -> Path:
    return folder / f"brainalign-{MACHINE}-{pid or os.getpid()}.pid"


def note(pid: int | None = None, folder: Path = FOLDER) -> None:
    """Write down that a process (this one) runs the workflow here."""
    _path(pid, folder).touch()


def forget(pid: int | None = None, folder: Path = FOLDER) -> None:
    """Remove the note of a process that ends (this one)."""
    _path(pid, folder).unlink(missing_ok=True)


def running(folder: Path = FOLDER) -> list[int]:
    """Return the noted processes that may be alive, and say which; notes of dead ones are removed.

    A zombie, and a process that took over the number after the note, do not count. What runs elsewhere cannot be seen.
    """
    alive = []
    for path in folder.glob("brainalign-*.pid"):
        machine, _, number = path.stem.removeprefix("brainalign-").rpartition("-")
        pid, elsewhere = int(number), machine not in ("", MACHINE)  # notes once held the number alone
        try:
            process = psutil.Process(pid)
            gone = process.status() == psutil.STATUS_ZOMBIE or process.create_time() > path.stat().st_mtime + 1
        except psutil.NoSuchProcess:
            gone = True
        if gone and not elsewhere:
            path.unlink(missing_ok=True)
        else:
            alive.append(pid)
            remedy = f"; where that is over, remove {path.absolute()}" if elsewhere else ""
            print(f"snakemake runs on {machine or MACHINE} (process {pid}); its lock stays{remedy}", file=sys.stderr)
    return alive


def main() -> int:
    """Exit with 0 when no noted process runs, else with 1."""
    return 1 if running() else 0


if __name__ == "__main__":
    raise SystemExit(main())
