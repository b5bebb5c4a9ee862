"""`brainalign run`: the workflow of the package on a YAML, from any folder.

Snakemake is another process, to which interrupts of this one are passed on, and its end.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

import brainalign
from brainalign.checks import BrainalignError, check_choice
from brainalign.commands.folders import folder_of_run
from brainalign.config import Config, load_config
from brainalign.io import writing
from brainalign.study import Study
from brainalign.workflow import Run, running

STATE = Path(".snakemake")
PR_SET_PDEATHSIG = 1
CORES = 8  # that a job of SLURM asks for where `cluster` says one worker per core


def run_workflow(path: Path, cores: str, profile: str, verbose: bool, arguments: Sequence[str]) -> int:
    """Run the workflow on a configuration, or on a study alone; returns Snakemake's exit status.

    Parameters
    ----------
    path : path
    cores : str
        A number, or all.
    profile : str
        Of those of the package.
    verbose : bool
        Print what Snakemake prints, in place of a line per finished step.
    arguments : sequence of str
        More of Snakemake's own.
    """
    # In an installed package the workflow lies inside it; in a checkout beside it.
    package = Path(brainalign.__file__).parent
    inside = package / "snakefiles"
    root = inside if (inside / "Snakefile").is_file() else package.parent
    profiles = root / "snakemake" / "profiles"
    check_choice("--profile", profile, sorted(folder.name for folder in profiles.iterdir()))
    with folder_of_run(path) as file:
        config = load_config(file)
        for name, descriptor in Run(config).descriptors.items():
            descriptor.all_files()
            if not (config.results / name).exists():
                _check_data(descriptor, path)
        here = min(int(cores), os.cpu_count() or 1) if cores.isdecimal() else None
        written = str(_written(config, file.stem, here if profile == "default" else CORES))
        command = [sys.executable, "-P", "-m", "brainalign.commands.snakemake_process", written]
        command += ["--cores", cores] if profile == "default" else []
        command += [] if verbose else ["--logger", "brainalign"]
        if config.memory is not None and profile == "default":  # the GPU is the profile's, which this line replaces
            command += ["--resources", "gpu=1", f"mem_mb={config.memory // 2**20}"]
        # Last, as options before them take every word that follows: targets, say.
        command += ["--snakefile", str(root / "Snakefile"), "--workflow-profile", str(profiles / profile)]
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # of the jobs' own `python`
        environment = os.environ | {"PATH": search}
        if list((STATE / "locks").glob("*")) and not running(STATE):  # of a run that was killed
            subprocess.run([*command, "--unlock", "--quiet"], env=environment, check=False)
        return _wait(subprocess.Popen([*command, *arguments], env=environment, preexec_fn=_apart))


def _check_data(descriptor: Study, path: Path) -> None:
    """Raise where data of a first run have what would stop it later."""
    from brainalign.datasets import audit_study

    if errors := audit_study(descriptor).errors:
        more = f" (and {len(errors) - 1} more: brainalign check {path})" if len(errors) > 1 else ""
        raise BrainalignError(f"{errors[0].where}: {errors[0].what}{more}")


def _written(config: Config, name: str, cores: int | None) -> Path:
    """Write the configuration as Snakemake reads it, whatever of it was left to defaults but a worker per core."""
    content = config.model_dump(mode="json", exclude_unset=True)
    cluster = {} if config.cluster == "dask" else content.get("cluster") or {"where": "nowhere"}
    if cluster.get("where", "local") == "local":
        content["cluster"] = {"workers": cores} | cluster
    path = STATE / "brainalign" / f"{name}.yaml"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _apart() -> None:
    """Give Snakemake and its jobs a group of their own, and a signal when this process ends, whatever ended it."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
