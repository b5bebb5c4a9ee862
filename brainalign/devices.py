"""Which device a computation runs on, and how many targets fit into its memory at once.

torch is imported inside the functions: a stage claims its GPU before torch looks at the machine.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from brainalign.checks import BrainalignError, check_choice

if TYPE_CHECKING:
    import torch

MEMORY_SHARE = 0.25  # of what is free: the arrays of a block, with room for temporaries of the same size


def pick_device(device: str) -> "torch.device":
    """Return the device named "cpu", "cuda" or, for "auto", the GPU where there is one."""
    import torch

    check_choice("device", device, {"auto", "cpu", "cuda"})
    if device == "cuda" and not torch.cuda.is_available():
        raise BrainalignError("device is 'cuda' but torch sees no GPU here; use device 'auto' or 'cpu'")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def seeded(seed: int, device: "torch.device | None" = None) -> Iterator[None]:
    """Draw from `seed` with torch; leave its global generator as it was, those of GPUs too if `device` is one."""
    import torch

    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpu else []):
        torch.manual_seed(seed)
        yield


def target_block(n_targets: int, bytes_per_target: int, device: "torch.device") -> int:
    """Choose how many targets to process at once so that their arrays fit into the free memory of `device`."""
    if device.type == "cuda":
        import torch

        free = torch.cuda.mem_get_info(device)[0]
    else:
        import psutil

        free = psutil.virtual_memory().available
    return max(1, min(n_targets, int(MEMORY_SHARE * free) // max(bytes_per_target, 1)))


def visible_gpus() -> list[str]:
    """Return the ids of the NVIDIA GPUs this process may use, without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu.strip()]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def claim_gpu(gpus: Sequence[str], locks: Path | None = None) -> IO[str] | None:
    """Wait for a GPU that no other stage holds and make it the only visible one.

    Snakemake limits how many GPU jobs run but tells none of them which card is its own, so all would land on card 0. A
    locked file per card (on this machine's own disk) settles it; the kernel frees the lock when the process ends,
    however it ends. Keep what is returned open as long as the GPU is needed; it is None where there is nothing to
    claim. Under SLURM the scheduler has already chosen.
    """
    if not gpus or "SLURM_JOB_ID" in os.environ:
        return None
    locks = locks or Path(tempfile.gettempdir())
    while True:
        for gpu in gpus:
            path = locks / f"brainalign-gpu-{gpu}.lock"
            if not path.exists():
                path.touch()
            token = open(path)  # noqa: SIM115 (held open on purpose; reading is enough to lock another user's file)
            try:
                fcntl.flock(token, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                token.close()
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            return token
        time.sleep(0.2)
