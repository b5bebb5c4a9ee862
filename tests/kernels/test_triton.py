import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

CASES = Path(__file__).parent / "triton_cases.py"
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def case(name: str) -> Callable[..., None]:
    return runpy.run_path(str(CASES))[name]


def test_equal_the_definitions_in_the_interpreter() -> None:
    """In a process of its own: whether Triton interprets is decided when it is imported."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run([sys.executable, "-P", str(CASES)], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert result.stdout.count("bound") > 80  # every case ran


@on_gpu
def test_awkward_shapes_on_the_gpu() -> None:
    case("small")("cuda")


@on_gpu
@pytest.mark.parametrize("name", ["large", "dispatch"])
def test_on_the_gpu(name: str) -> None:
    case(name)()


@on_gpu
def test_offsets_beyond_32_bits() -> None:
    if torch.cuda.get_device_properties(0).total_memory < 80e9:
        pytest.skip("needs 80 GB")
    case("huge")()
