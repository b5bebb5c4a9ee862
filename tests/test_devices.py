import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from refusals import refused

from brainalign.devices import claim_gpu, pick_device, target_block, visible_gpus

CLAIM = """
import os, sys, time
from pathlib import Path
from brainalign.devices import claim_gpu
token = claim_gpu(["0", "1"], Path(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(float(sys.argv[2]))
"""


def claim(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-c", CLAIM, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_jobs_do_not_share_a_card_and_a_kill_frees_it(tmp_path: Path) -> None:
    first, second = claim(tmp_path, 60), claim(tmp_path, 60)
    assert {process.stdout.readline().strip() for process in (first, second)} == {"0", "1"}
    third = claim(tmp_path, 0)
    time.sleep(1)
    assert third.poll() is None  # waits: both are taken
    first.kill()
    assert third.stdout.readline().strip() in {"0", "1"}
    second.kill()
    for process in (first, second, third):
        process.wait()


def test_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for told, visible in (("2,3", ["2", "3"]), ("", [])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
        assert visible_gpus() == visible
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    refused("did you mean 'cuda'", pick_device, "cudda")
    cpu = torch.device("cpu")
    assert (target_block(100, 8, cpu), target_block(100, 10**15, cpu)) == (100, 1)
    assert 1 < target_block(10**9, 10**6, cpu) < 10**9
    assert claim_gpu([], tmp_path) is None
    monkeypatch.setenv("SLURM_JOB_ID", "1")  # the scheduler has chosen already
    assert claim_gpu(["0"], tmp_path) is None
