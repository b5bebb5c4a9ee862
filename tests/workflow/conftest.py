"""A copy of the checkout to run snakemake in: tests may edit it, kill it and fail in it."""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent

pytest.importorskip("snakemake.utils")


Start = Callable[[Sequence[str], Path, dict[str, str]], subprocess.CompletedProcess[str]]


@dataclass
class Checkout:
    """The workflow in `root`, and the library it imports in `lib`, laid out as in a wheel."""

    root: Path
    lib: Path
    start: Start

    @classmethod
    def make(cls, folder: Path, compiled: Path, start: Start) -> Checkout:
        root, lib = folder / "root", folder / "lib" / "brainalign"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(compiled, lib)
        for name in ("snakemake", "data"):
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        for name in ("Snakefile", "Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy2(ROOT / name, root / name)
        return cls(root, lib, start)

    @property
    def environment(self) -> dict[str, str]:
        """PYTHONPATH comes before the editable install, so that stages import the copy."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {
            "PATH": path,
            "PYTHONPATH": str(self.lib.parent),
            "PYTHONSAFEPATH": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def snakemake(self, config: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        arguments = ("--workflow-profile", "snakemake/profiles/default", "--configfile", config, *arguments)
        result = self.start(arguments, self.root, self.environment)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def jobs(self, config: str) -> dict[str, int]:
        """Return what a dry-run would do: number of jobs by rule."""
        return self.run(config, "--dry-run")

    def run(self, config: str, *arguments: str) -> dict[str, int]:
        """Run snakemake and return what it did: number of jobs by rule."""
        result = self.snakemake(config, *arguments)
        text = result.stdout + result.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.partition("Job stats:\n")[2].partition("\n\n")[0]
        rows = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in {"all", "total", "count"}}

    def write_config(self, name: str, **changes: object) -> str:
        """Write a configuration of the small study: controls only, so that no language model is loaded."""
        content = {
            "results": f"results/{name}",
            "datasets": {"small": {"descriptor": "study/small.yaml"}},
            "models": {"onehot": {"extractor": "onehot"}, "random": {"extractor": "random", "permute": []}},
            "methods": {"ridge": {"encoder": "ridge", "cv": 3}, "fixed": {"encoder": "ridge", "alphas": [0.001]}},
            "encode": {"run_permutations": 20, "stimulus_permutations": 20},
            "compare": {"permutations": 50},
        } | changes
        (self.root / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return f"{name}.yaml"


@contextmanager
def forks(file: str, *arguments: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """Start a file of this folder that imports first and forks for every call; yield its input and its output."""
    command = [sys.executable, "-P", str(Path(__file__).with_name(file)), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdin, process.stdout


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a `python` that starts stages without importing torch and pandas every time."""
    folder = tmp_path_factory.mktemp("stages")
    with forks("stage_forks.py", str(folder)) as (_, output):
        assert output.readline() == "ready\n"
        yield folder


@pytest.fixture(scope="session")
def snakemake(tmp_path_factory: pytest.TempPathFactory, stages: Path) -> Iterator[Start]:
    """Return a function that runs `snakemake` with arguments, in a folder and an environment."""

    def start(arguments: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environment = environment | {"PATH": f"{stages}{os.pathsep}{environment['PATH']}"}
        written = [tmp_path_factory.mktemp("snakemake") / name for name in ("output", "errors")]
        call = {"folder": str(folder), "environment": environment, "arguments": list(arguments)}
        print(json.dumps(call | {"output": str(written[0]), "errors": str(written[1])}), file=calls, flush=True)
        code = int(codes.readline())
        return subprocess.CompletedProcess(arguments, code, *(path.read_text() for path in written))

    with forks("snakemake_forks.py") as (calls, codes):
        yield start


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the library as in a wheel, compiled once: copies of it keep the ages of its files."""
    lib = tmp_path_factory.mktemp("compiled") / "brainalign"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder, place in (
        (ROOT / "brainalign", lib),
        *((ROOT / name, lib / name) for name in ("kernels", "pipelines")),
    ):
        shutil.copytree(folder, place, ignore=ignore)
    compileall.compile_dir(lib, quiet=1)
    return lib


@pytest.fixture(scope="module")
def make_checkout(
    tmp_path_factory: pytest.TempPathFactory, make_study, compiled: Path, snakemake
) -> Callable[[str], Checkout]:
    """Return a function that makes a checkout with the small study in it."""

    def make(name: str) -> Checkout:
        checkout = Checkout.make(tmp_path_factory.mktemp(name), compiled, snakemake)
        make_study(checkout.root / "study").write()
        return checkout

    return make
