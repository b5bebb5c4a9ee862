"""The workflow as text: lint, what rules and profiles declare, what a dry-run lists, what stops it, who locks it. Jobs
go to SLURM as the profile says: by Snakemake's own plugin, to a stand-in that runs what is submitted."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from made import write_yaml
from snakemake.cli import get_argument_parser
from worlds.matrix import Cell

from brainalign.config import Config, load_config
from brainalign.io import artifact_path
from brainalign.study import parse
from brainalign.workflow import STEPS, Job, Run, forget, jobs, note, planned, reached, running

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def run(root: Path, compiled: Path, snakemake) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs snakemake in this checkout; its format is a matter of `make style`."""
    environment = os.environ | {"PATH": PATH, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(compiled.parent)}
    return lambda *arguments: snakemake(arguments, root, environment)


def test_lint_and_what_every_rule_declares(run, root: Path) -> None:
    result = run("--lint")
    assert result.returncode == 0, result.stderr
    assert "good condition" in result.stderr + result.stdout
    # One rule is made of every row of the table: it says all that Snakemake can know of a job.
    text = (root / "snakemake" / "rules" / "steps.smk").read_text()
    directives = {"name", "input", "output", "params", "log", "threads", "mem_mb", "runtime", "gpu"}
    assert directives <= set(re.findall(r"^ +(\w+)(?::|=)", text, flags=re.MULTILINE))
    programs = {root / "pipelines" / step.folder / f"{step.name}.py" for step in STEPS.values()}
    assert [path for path in programs if not path.is_file()] == []
    assert {"kernels/blas.py", "study/vectors.py"} <= reached("compare/searchlight").keys()
    assert len((root / "Snakefile").read_text().splitlines()) < 45


@pytest.mark.parametrize("name", ["config", "demo"])
def test_a_dry_run_lists_the_planned_jobs(run, root: Path, name: str, tmp_path: Path, monkeypatch) -> None:
    text = (root / "snakemake" / "config" / f"{name}.yaml").read_text().replace("results/demo", str(tmp_path))
    config = str(tmp_path / f"{name}.yaml")
    Path(config).write_text(text)
    arguments = ["--configfile", config, "--config", f"results={tmp_path}", "seed=7", "--dry-run", "--printshellcmds"]
    result = run("--workflow-profile", "snakemake/profiles/default", *arguments)
    assert result.returncode == 0, result.stderr
    table = (result.stdout + result.stderr).split("Job stats:")[1]
    listed = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)}
    monkeypatch.chdir(root)
    planned = jobs(load_config(config))
    assert {rule: n for rule, n in listed.items() if rule in STEPS} == Counter(job.rule for job in planned)
    files = re.findall(r"brainalign\.pipelines (\S+\.json) ", result.stdout + result.stderr)
    given = [Job.read(root / file) for file in files]
    assert Counter(job.step for job in given) == Counter(job.stage for job in planned)
    assert {job.seed for job in given} == {7}


def test_mistakes_stop_before_any_job(run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("datasets: {d: {descriptor: d}}\nmodels: {}\nmethods: {r: {encoder: ridge, aphas: [1]}}")
    result = run("--configfile", str(config), "--dry-run", "--cores", "1")
    assert result.returncode != 0
    assert "unknown key 'methods.r.aphas' (did you mean 'alphas'?)" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_what_stages_load_themselves_is_declared(make_image_study, root: Path, tmp_path: Path) -> None:
    """Weights of models of sentences and of language models, runs that a table names: files that nothing else reads."""
    descriptor = make_image_study(tmp_path / "scenes").write()
    for name in ("words/model.safetensors", "writer/model.safetensors", "rest/01.npy", "net/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "rest" / "people.tsv").write_text("subject\tpath\n01\t01.npy\n")
    series = {"name": "rest", "recordings": {"all": {"format": "series", "people": "people.tsv", "tr_s": 1.0}}}
    decoder = {"decoder": "network", "language": "pretrained", "language_weights": str(tmp_path / "writer")}
    sentences = {"descriptor": str(root / "data" / "simulated-sentences.yaml"), "models": ["words"]}
    datasets = {"scenes": {"descriptor": str(descriptor), "models": ["net"]}, "simulated-sentences": sentences}
    datasets |= {"rest": {"descriptor": str(write_yaml(tmp_path / "rest" / "rest.yaml", series))}}
    models = {"net": {"extractor": "vision", "weights": str(tmp_path / "net"), "pooling": "tokens"}}
    models |= {"words": {"extractor": "sentence", "weights": str(tmp_path / "words")}}
    content = {"results": f"{tmp_path}/results", "datasets": datasets, "ground": {"model": "net", "text": "words"}}
    own = {"ridge": {"decoder": "linear"}, "written": decoder | {"encoder": f"{tmp_path}/own.py:Net"}}
    content |= {"models": models, "methods": {"ridge": {"encoder": "ridge"}}, "decode": {"decoders": own}}
    whole = Run(parse(Config, content, "test"))
    jobs_of = [(step, [read(whole, of) for read in step.reads.values()]) for step, of in planned(whole)]
    found = [(step.name, {str(path) for paths in files for path in paths}) for step, files in jobs_of]

    def readers(name: str) -> list[str]:
        return [step for step, files in found if str(tmp_path / name) in files]

    assert "ground" in readers("words/model.safetensors")
    assert readers("writer/model.safetensors") == readers("own.py") == ["decode"]  # once: not of ridge
    assert readers("rest/people.tsv") == readers("rest/01.npy") == ["prepare_series"]


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_every_key_of_a_profile_is_an_option(root: Path, name: str) -> None:
    profile = yaml.safe_load((root / "snakemake" / "profiles" / name / "config.yaml").read_text())
    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert set(profile) <= known
    assert {rule.partition("=")[0] for rule in profile.get("groups", [])} <= set(STEPS)
    assert profile["rerun-incomplete"] is True  # a killed run leaves outputs that only look finished


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
    note(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    os.utime(path, (0, 0))  # noted long before this process began
    assert running(tmp_path) == []
    assert not path.exists()


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
elif name in ("sinfo", "scontrol"):  # the latter says how long squeue knows of jobs that have ended
    print({{"sinfo": "PARTITION normal*", "scontrol": "MinJobAge = 300 sec"}}[name])
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
    pytest.importorskip("snakemake_executor_plugin_slurm")
    config = Cell("vectors", "array", "column").write(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "srun", "squeue", "sacct", "sinfo", "scontrol"):
        (tmp_path / "bin" / name).write_text(SLURM)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "jobs").mkdir()
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    (planned,) = (job.cost.memory_mb + 400 for job in jobs(config) if job.rule == "prepare")  # and Snakemake around it
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
