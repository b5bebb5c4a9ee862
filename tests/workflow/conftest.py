"""A copy of the checkout to run snakemake in: tests may edit it, kill it and fail in it."""

import compileall
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from made import write_yaml

ROOT = Path(__file__).parent.parent.parent

pytest.importorskip("snakemake.utils")

Start = Callable[[Sequence[str], Path, dict[str, str]], subprocess.CompletedProcess[str]]


@dataclass
class Checkout:
    root: Path
    lib: Path
    start: Start

    @classmethod
    def make(cls, folder: Path, compiled: Path, start: Start) -> "Checkout":
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
        fixed = {"PYTHONSAFEPATH": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        return os.environ | fixed | {"PATH": path, "PYTHONPATH": str(self.lib.parent)}

    def snakemake(self, config: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        arguments = ("--workflow-profile", "snakemake/profiles/default", "--configfile", config, *arguments)
        result = self.start(arguments, self.root, self.environment)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def jobs(self, config: str) -> dict[str, int]:
        return self.run(config, "--dry-run")

    def run(self, config: str, *arguments: str) -> dict[str, int]:
        result = self.snakemake(config, *arguments)
        text = result.stdout + result.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.partition("Job stats:\n")[2].partition("\n\n")[0]
        rows = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in {"all", "total", "count"}}

    def write_config(self, name: str, **changes: object) -> str:
        """Write a configuration of the small study: controls only, so that no language model is loaded."""
        models = {"onehot": {"extractor": "onehot"}, "random": {"extractor": "random", "permute": []}}
        methods = {"ridge": {"encoder": "ridge", "cv": 3}, "fixed": {"encoder": "ridge", "alphas": [0.001]}}
        content = {"results": f"results of/{name}", "datasets": {"small": {"descriptor": "study/small.yaml"}}}
        content |= {"models": models, "methods": methods, "encode": {"permutations": 20}}
        content |= {"compare": {"permutations": 50}} | changes
        return write_yaml(self.root / f"{name}.yaml", content).name


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Path]:
    """Return a folder with a `snakemake`, and a `python` for its stages, that import nothing: see forks.py."""
    folder = tmp_path_factory.mktemp("commands")
    command = [sys.executable, "-P", str(Path(__file__).with_name("forks.py")), str(folder), str(compiled.parent)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        while not (folder / "socket").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield folder


@pytest.fixture(scope="session")
def snakemake(commands: Path) -> Start:
    def start(arguments: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environment = environment | {"PATH": f"{commands}{os.pathsep}{environment['PATH']}"}
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        return subprocess.run([str(commands / "snakemake"), *arguments], cwd=folder, env=environment, **options)

    return start


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the library as in a wheel, with what is compiled of it: copies keep the ages of its files."""
    lib = tmp_path_factory.mktemp("compiled") / "brainalign"
    for name, place in (("brainalign", lib), ("kernels", lib / "kernels"), ("pipelines", lib / "pipelines")):
        shutil.copytree(ROOT / name, place)
    compileall.compile_dir(lib, quiet=1)
    return lib


@pytest.fixture(scope="module")
def make_checkout(tmp_path_factory, make_study, compiled: Path, snakemake) -> Callable[[str], Checkout]:
    def make(name: str) -> Checkout:
        checkout = Checkout.make(tmp_path_factory.mktemp(name), compiled, snakemake)
        make_study(checkout.root / "study").write()
        return checkout

    return make
