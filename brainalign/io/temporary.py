"""Names for what is not finished, and the removal of what writers left under such names when they were killed."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

DAY_S = 86_400.0


def temporary_sibling(path: Path) -> Path:
    """Return a hidden name beside `path` for what becomes it once it is whole.

    What writers of the same file left when they were killed is removed: the name tells their machine and their process.
    Of another machine nobody can say here whether a process lives, so what it wrote must be a day old.
    """
    machine = platform.node() or "machine"
    for left in path.parent.glob(f".*.*.{escape(path.name)}"):
        whose, _, number = left.name[1 : -len(path.name) - 1].rpartition(".")
        if number.isdecimal() and _abandoned(left, int(number), elsewhere=whose != machine):
            _remove(left)
    return path.with_name(f".{machine}.{os.getpid()}.{path.name}")  # keeps the extension, which writers look at


def _abandoned(path: Path, process: int, *, elsewhere: bool) -> bool:
    try:
        if elsewhere:
            return time.time() - path.stat().st_mtime > DAY_S
        if process == os.getpid():  # an earlier one of the same number: in containers numbers come back
            return True
        os.kill(process, 0)  # asks only
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's process, or a file that is gone by now
        return False
    return False


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process may be removing it too
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a hidden folder beside `path`, named as `temporary_sibling` does, and remove it in the end."""
    folder = temporary_sibling(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)
