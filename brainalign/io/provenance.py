"""What a stage read, with which settings, at which cost: the content of every sidecar."""

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import brainalign
from brainalign.io.files import file_digest


@dataclass
class Provenance:
    """What one run of a stage read, with which settings: written into the sidecar of everything it saves.

    Parameters
    ----------
    stage : str
    settings : mapping
        Everything that changes the result, as JSON.
    library : str
        Digest of the code that may have taken part (`brainalign.workflow.code_digest`).
    seed : int, optional
    device : str
    files : mapping, optional
        Where the run read and wrote, with its labels: what it takes to run it again.
    """

    stage: str
    settings: Mapping[str, object]
    library: str
    seed: int | None = None
    device: str = "cpu"
    files: Mapping[str, object] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def read(self, name: str, path: str | Path) -> None:
        """Note the digest of a raw input file under a name that tells it from others."""
        self.inputs[name] = file_digest(path)

    def record(self, files: list[Path], details: Mapping[str, object]) -> dict[str, object]:
        """Return the sidecar of an artifact made of `files`."""
        return {
            "stage": self.stage,
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
            "library": {"version": brainalign.__version__, "digest": self.library},
            "seed": self.seed,
            "job": dict(self.files),
            "device": self.device,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_time_s": round(time.perf_counter() - self.started, 3),
            "peak_memory_mb": round(_peak_bytes() / 2**20, 1),
            "details": dict(details),
            "files": {f.name: {"sha256": file_digest(f), "bytes": f.stat().st_size} for f in files},
        }


def _peak_bytes() -> int:
    """Return the most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss begins with what the process that started this one held
        (held,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(held.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
