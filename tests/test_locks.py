from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from brainalign.workflow import forget, note, running


def test_only_living_processes_hold_a_lock(tmp_path: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note(sleeper.pid, tmp_path)
    note(folder=tmp_path)
    assert set(running(tmp_path)) == {sleeper.pid, os.getpid()}
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and left as a zombie
    assert running(tmp_path) == [os.getpid()]
    sleeper.wait()
    forget(folder=tmp_path)
    assert running(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_number_taken_over_by_another_process_does_not_count(tmp_path: Path) -> None:
    note(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    os.utime(path, (0, 0))  # noted long before this process began
    assert running(tmp_path) == []
    assert not path.exists()
