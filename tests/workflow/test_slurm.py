"""Jobs go to SLURM as the profile says: by Snakemake's own plugin, to a stand-in that runs what is submitted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds.matrix import Cell

from brainalign.io import artifact_path
from brainalign.workflow import jobs

pytest.importorskip("snakemake_executor_plugin_slurm")

# sbatch runs a job at once, unless it asks for less memory than it needs; srun runs a step; squeue and sinfo tell.
SLURM = f"""#!{sys.executable}
import json, os, subprocess, sys
from itertools import dropwhile
from pathlib import Path
name, *given = sys.argv[0].rpartition("/")[2], *sys.argv[1:]
folder = Path(os.environ["STAND_IN"])
submitted = sorted(folder.glob("*.json"))
if name == "squeue":
    for path in submitted:
        print(path.stem, json.loads(path.read_text())["state"], sep="|")
elif name == "sinfo":
    print("PARTITION normal*")
elif name == "scontrol":
    print("MinJobAge = 300 sec")  # for which squeue knows of jobs that have ended
elif name == "sacct":
    raise SystemExit("no accounts are kept")
elif name == "srun":
    raise SystemExit(subprocess.run([*dropwhile(lambda word: word[0] == "-", given)]).returncode)
else:
    asked = dict(zip(given, given[1:]))
    (line,) = (word.removeprefix("--wrap=") for word in given if word.startswith("--wrap="))
    job = {{"memory": int(asked["--mem"]), "minutes": int(asked["-t"]), "comment": asked["--comment"]}}
    number = len(submitted) + 1
    if job["memory"] < int(os.environ["NEEDED"]):
        job["state"] = "OUT_OF_MEMORY"
    else:
        Path(asked["--output"]).parent.mkdir(parents=True, exist_ok=True)
        with open(asked["--output"].replace("%j", str(number)), "w") as log:
            environment = os.environ | {{"SLURM_JOB_ID": str(number)}}
            status = subprocess.run(line, shell=True, stdout=log, stderr=log, env=environment).returncode
        job["state"] = "FAILED" if status else "COMPLETED"
    (folder / f"{{number}}.json").write_text(json.dumps(job))
    print(number)
"""


def test_a_job_killed_for_memory_asks_for_half_as_much_again(tmp_path: Path) -> None:
    config = Cell("vectors", "array", "column").write(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "srun", "squeue", "sacct", "sinfo", "scontrol"):
        (tmp_path / "bin" / name).write_text(SLURM)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "jobs").mkdir()
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    (planned,) = (job.cost.memory_mb for job in jobs(config) if job.rule == "prepare")
    environment = os.environ | {"PATH": path, "STAND_IN": str(tmp_path / "jobs"), "NEEDED": str(planned + 1)}
    wanted = artifact_path(config.results, "study", "responses", subject="01")
    command = ["brainalign", "run", "config.yaml", "--profile", "slurm", "--", str(wanted)]
    options = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
    process = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 300}
    ended = subprocess.run([*command, *options], **process)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    submitted = [json.loads(path.read_text()) for path in sorted((tmp_path / "jobs").iterdir())]
    told = [(job["memory"], job["minutes"], job["state"]) for job in submitted]
    assert told == [(planned, 10, "OUT_OF_MEMORY"), (round(1.5 * planned), 20, "COMPLETED")]
    assert wanted.exists()
