"""The whole workflow on a small study: it runs, reruns exactly what it must, survives a kill, reports failures."""

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from jobs import asked, draw_page, kept, reruns, run_all, wait_for
from pages import check

from brainalign.config import Config, load_config
from brainalign.io import artifact_path, entities_of, load_sidecar
from brainalign.study import parse
from brainalign.workflow import STEPS, report_path

FIXED = {"encoder": "ridge", "alphas": [0.001]}
EVERYTHING = {"prepare_blocks": 1, "extract": 2, "encode": 4, "compare": 1, "summarize": 1, "report": 1}


@pytest.fixture(scope="module")
def finished(make_checkout):
    checkout = make_checkout("finished")
    assert checkout.run(checkout.write_config("done")) == EVERYTHING
    return checkout


def test_it_leaves_results_with_sidecars_and_a_second_run_has_nothing_to_do(finished) -> None:
    results = finished.root / "results of" / "done" / "small"
    assert (results / "sub-1.html").stat().st_size > 100_000
    summary = pd.read_parquet(results / "sub-1" / "summary" / "sub-1_summary.parquet")
    found = summary[(summary["quantity"] == "identification") & (summary["model"] == "onehot")]
    assert found["value"].min() > 0.9  # the planted patterns are strong
    assert (summary[(summary["quantity"] == "pair matching") & (summary["model"] == "onehot")]["value"] == 0.5).all()
    logs = [path.read_text() for path in (results / "logs").rglob("*.log")]  # what plans are judged by
    assert len(logs) == sum(EVERYTHING.values())
    assert all(re.fullmatch(r"took \d+\.\d seconds of a core", log.splitlines()[-1]) for log in logs)
    assert finished.jobs("done.yaml") == {}
    files = [path for path in results.rglob("*_*.*") if path.suffix in {".parquet", ".safetensors", ".gz"}]
    mains = [path for path in files if not re.search(r"_statmap\.|_(trials|targets|stimuli)\.|/\.", path.as_posix())]
    assert len(mains) == 6 + 2 + 4 * 5 + 3 + 2
    for path in mains:
        record = load_sidecar(path)
        assert record["stage"] in {STEPS[rule].name for rule in EVERYTHING}
        assert record["library"]["digest"]


SCORED = {"encode": 4, "summarize": 1, "report": 1}
PREPARED = {name: n for name, n in EVERYTHING.items() if name != "extract"}


@pytest.mark.parametrize(("options", "descriptor", "expected"), [
    ({"encode": {"permutations": 21}}, {}, SCORED), ({"prepare": {"n_halvings": 50}}, {}, PREPARED),
    ({"compare": {"permutations": 60}}, {}, {"compare": 1, "report": 1}),
    ({"summarize": {"q": 0.1}}, {}, {"summarize": 1, "report": 1}),
    ({"confidence": 0.9}, {}, {"compare": 1, "summarize": 1, "report": 1}), ({"seed": 1}, {}, EVERYTHING),
    ({"methods": {"ridge": {"encoder": "ridge", "cv": 4}, "fixed": FIXED}}, {}, SCORED | {"encode": 2}),
    ({}, {"title": "Another title"}, {"report": 1}),
    ({}, {"fmri": {"tr_s": 2.0, "hrf_lag_s": 2.0, "space": "simulated"}}, PREPARED),
    ({}, {"splits": {"runs": {"leave_out": "run", "size": 2}}}, PREPARED),
    ({}, {"stimuli": {f"thing{k}": {"texts": [f"thing{k}", f"one thing{k}"]} for k in range(4)}},
     SCORED | {"extract": 2, "compare": 1}),
])  # fmt: skip
def test_a_change_reruns_what_depends_on_it(
    finished, make_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, descriptor: dict, expected
) -> None:
    monkeypatch.chdir(tmp_path)
    study = make_study(tmp_path / "study")
    edited = [study.write()] * bool(descriptor)
    known = asked(load_config(finished.root / finished.write_config("plain")))
    study.write(**descriptor)
    changed = load_config(finished.root / finished.write_config("plain", **options))
    assert reruns(known, changed, *(path.relative_to(tmp_path) for path in edited)) == expected


@pytest.mark.parametrize(("file", "old", "new", "expected"), [
    ("root/done.yaml", "permutations: 20", "permutations: 21", SCORED),
    ("root/study/small.yaml", "A small", "Another small", {"report": 1}),
    ("root/study/labels.txt", "", "\n", PREPARED),
    ("lib/brainalign/kernels/held_out.py", "", "\n", SCORED | {"compare": 1}),
    ("lib/brainalign/io/artifacts.py", "", "\n", EVERYTHING), ("lib/brainalign/config/settings.py", "", "\n", {}),
])  # fmt: skip
def test_snakemake_sees_what_changed(finished, file: str, old: str, new: str, expected: dict[str, int]) -> None:
    path = finished.root.parent / file
    with kept(path):
        path.write_text(path.read_text().replace(old, new) if old else path.read_text() + new)
        if path.suffix == ".txt":
            os.utime(path, (0, 0))  # a file that takes the place of another may be older than what was made of that
        assert finished.jobs("done.yaml") == expected


@pytest.fixture
def copied(finished, tmp_path: Path):
    shutil.copytree(finished.root, tmp_path / "root", symlinks=True)
    shutil.copytree(finished.lib, tmp_path / "lib" / "brainalign")
    return replace(finished, root=tmp_path / "root", lib=tmp_path / "lib" / "brainalign")


def test_a_kill_loses_nothing(make_checkout, commands: Path) -> None:
    """SIGKILL everything in the middle; the documented command starts again and redoes only what was not finished."""
    checkout = make_checkout("killed")
    # One model: stages run in processes of their own here, which must be killed, and each takes seconds to import.
    changes = {"encode": {"permutations": 500}}
    config = checkout.write_config("kill", models={"onehot": {"extractor": "onehot"}}, **changes)
    real = Path(os.environ.get("VIRTUAL_ENV", Path(__file__).parents[2] / ".venv"))
    environment = checkout.root / ".venv"
    (environment / "bin").mkdir(parents=True)
    for path in [*real.iterdir(), *(real / "bin").iterdir()]:
        if path.name != "bin":
            (environment / path.relative_to(real)).symlink_to(path)
    if not (environment / "installed").exists():
        pytest.skip("this environment was not made by `make setup`")
    # The environment stands, whatever the ages of the files in the copy.
    command = ["make", "-o", ".venv/installed", "run", f"CONFIG={config}"]
    log, where = checkout.root / "killed.log", {"cwd": checkout.root, "env": checkout.environment}
    with log.open("w") as output:
        running = subprocess.Popen(command, **where, start_new_session=True, stdout=output, stderr=output)
    results = checkout.root / "results of" / "kill" / "small"
    # One encode job is done and snakemake has said so, another is at work.
    while not (
        list(results.glob("sub-1/encoding/sub-*_scores.json"))
        and log.read_text().count("Finished jobid") >= 3
        and len(list(results.glob("logs/encode/*.log"))) == 2
    ):
        assert running.poll() is None
        time.sleep(0.05)
    killed = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    wait_for(killed)
    n_recorded = log.read_text().count("Finished jobid:")
    finished = {path: path.stat().st_mtime_ns for path in results.rglob("[!.]*.json") if "progress" not in path.name}
    assert n_recorded >= 2  # features and responses at least
    assert not (results / "sub-1.html").exists()
    locked = checkout.snakemake(config, check=False)
    assert "LockException" in locked.stderr + locked.stdout  # why the command unlocks first
    (environment / "bin" / "python").unlink()
    # Nothing is killed any more: stages need not import for seconds.
    (environment / "bin" / "python").symlink_to(commands / "python")
    again = subprocess.run(command, **where, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (results / "sub-1.html").exists()
    # What snakemake had recorded as finished was not touched; at most the jobs at work at the kill ran again.
    jobs = {path: (path.parent, str(entities_of(path))) for path in finished}
    redone = {jobs[path] for path, stamp in finished.items() if path.stat().st_mtime_ns != stamp}
    assert len(set(jobs.values())) - len(redone) >= n_recorded
    assert len(redone) <= (os.cpu_count() or 1)
    assert checkout.jobs(config) == {}


def test_a_failed_stage_still_leaves_a_report(copied) -> None:
    results = copied.root / "results of" / "done" / "small"
    (results / "sub-1.html").unlink()
    shutil.rmtree(results / "sub-1" / "geometry")
    broken = copied.lib / "geometry" / "rdms" / "noise.py"
    sound = broken.read_text()
    broken.write_text(sound.replace("if dof < 1:", "if True:"))
    assert copied.snakemake("done.yaml", check=False).returncode != 0
    page = (results / "sub-1_incomplete.html").read_text()
    assert not (results / "sub-1.html").exists()
    told = 'id="errors"', "compare stopped", "leave 32 degrees of freedom"  # the message of the error itself
    check(page, *told, 'id="figure-scoremap"', unsaid=['id="figure-rdm"'])  # what did work is shown
    broken.write_text(sound)
    copied.snakemake("done.yaml")
    assert (results / "sub-1.html").exists()


def test_results_of_an_earlier_run_are_not_mixed_in(copied, make_study) -> None:
    """The data change and a stage fails: what it should have renewed is not shown; nor does a figure take the page."""
    make_study(copied.root / "study", signal=0.0).write()  # the same study, now without any signal
    broken = copied.lib / "encoding" / "scoring" / "crossval.py"
    drawn = broken.read_text().replace("rng, by_run = np", "raise RuntimeError('broken')\n    rng, by_run = np")
    broken.write_text(drawn)
    figures = copied.lib / "report" / "pages" / "blocks_figures.py"
    failing = figures.read_text().replace("def mds_points(", "def mds_points(*_):\n    1 / 0\n\n\ndef unused(")
    figures.write_text(failing)
    assert copied.snakemake("done.yaml", check=False).returncode != 0
    page = (copied.root / "results of" / "done" / "small" / "sub-1_incomplete.html").read_text()
    told = "RuntimeError: broken", "did not run: something it needs failed before it", "ZeroDivisionError"
    # The old headline numbers were perfect.
    check(page, *told, unsaid=['id="figure-scoremap"', 'id="summary"'])


def test_an_unusual_but_valid_study(make_study, tmp_path: Path) -> None:
    """No permutations, one method, two runs left out at a time, two subjects, a model of one feature."""
    files = {"format": "nifti", "bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "labels.txt"}
    study = make_study(tmp_path / "study", n_runs=5)
    descriptor = study.write(splits={"runs": {"leave_out": "run", "size": 2}}, recordings={"01": files, "02": files})
    content = {"results": str(tmp_path / "results"), "datasets": {"small": {"descriptor": str(descriptor)}}}
    content |= {"models": {"onehot": {"extractor": "onehot"}, "narrow": {"extractor": "random", "n_features": 1}}}
    content |= {"methods": {"fixed": FIXED}, "encode": {"permutations": 0}, "compare": {"permutations": 50}}
    config = parse(Config, content, "test")
    run_all(config, "prepare_blocks", "extract", "encode", "compare", "summarize")
    assert draw_page(config, "small", "02") == 0
    page = report_path(config.results, "small", "02").read_text()
    check(page, "figure-scoremap", unsaid=["figure-significance"])  # nothing was tested
    for subject in ("01", "02"):
        comparison = pd.read_parquet(artifact_path(config.results, "small", "comparison", subject=subject))
        assert comparison.loc[comparison["model"] == "narrow", "note"].str.contains("only one feature").all()
