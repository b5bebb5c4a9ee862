"""The command line; `brainalign run`: from any folder, with a line per step; what strangers are told when it fails."""

import io
import logging
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import nibabel
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from jobs import wait_for
from made import write_yaml
from pages import BROWSER, DARK, check, inaccessible
from rich.console import Console
from safetensors.numpy import save_file
from worlds.matrix import Cell

from brainalign.cli import main
from brainalign.commands import RunProgress, analyses_of
from brainalign.commands.progress import _clock
from brainalign.config import Config, load_config
from brainalign.io import Provenance, artifact_path, save
from brainalign.study import RUN_KEYS
from brainalign.workflow import Run, running


def test_doctor_lists_versions_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    check(capsys.readouterr().out, "torch", "nilearn", "linear algebra", "GPU", "extra weights", "extra vision")


def test_check_tells_warnings_from_errors(scenes, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenes.write()
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    check(printed, "2 warning(s), which stop nothing", "4 of 4 runs have trials in more than one split")
    check(printed, "nothing that would stop a run (2 subject(s), 24 stimuli)", "2 to 2 (median 2)")
    assert re.search(r"│ unseen +│ 60 +│ 60 +│", printed)
    next((scenes.folder / "stimuli" / "images").glob("*.png")).unlink()
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    check(printed, "scenes: 1 problem(s)", "1 of 24 images are missing", "2 warning(s)")
    assert "nothing" not in printed.split("1 problem(s)")[1]
    path.write_text(f"{path.read_text()}\nmodels: {{own: {{extractor: table, file: none.npy}}}}\n")
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert "1 of 24 images are missing" in told.out
    assert "none.npy: no such file" in told.err


def test_plan_adds_up_and_mistakes_end_in_one_line(root, monkeypatch, capsys, fails, tmp_path) -> None:
    monkeypatch.chdir(root)
    assert main(["plan", "snakemake/config/demo.yaml"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ encode +│ +20 │", printed)
    totals = [int(n) for n in re.findall(r"^│ \w+ +│ +(\d+) │", printed, flags=re.MULTILINE)]
    assert sum(totals[:-1]) == totals[-1] > 50
    rest, longest = map(float, re.search(r"n cores need ([\d.]+) / n \+ ([\d.]+) min", printed).groups())
    minutes = float(re.search(r"│ all +│.*│ +([\d.]+) │ +\d+ │", printed)[1])
    assert rest + longest == pytest.approx(minutes, abs=0.15)
    assert 0 < longest < minutes / 2
    assert "brainalign run snakemake/config/demo.yaml" in printed
    config = tmp_path / "c.yaml"
    config.write_text("datasets: {}\nmodls: {}\n")
    fails("unknown key 'modls' (did you mean 'models'?)", main, ["plan", str(config)])
    fails("no such file", main, ["plan", str(tmp_path)])
    fails("nothing.json", main, ["rerun", str(tmp_path / "nothing.parquet")])  # only what a step has saved runs again


def test_default_options_stop_no_study_whose_stimuli_were_shown_once(tmp_path, monkeypatch, capsys, fails) -> None:
    """Thirty stimuli shown once, in a folder named from elsewhere: crossnobis multiplies repeats, no default does."""
    folder, names = tmp_path / "data" / "once", [f"s{k}" for k in range(30)]
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", np.random.default_rng(0).normal(size=(30, 8)))
    pd.DataFrame({"trial_id": names, "stimulus_id": names}).to_csv(folder / "trials.tsv", sep="\t", index=False)
    recordings = {"01": {"format": "array", "values": "values.npy", "trials": "trials.tsv"}}
    content = {"name": "once", "stimuli": "trials.tsv", "recordings": recordings}
    content |= {"splits": {"s": {"leave_out": "stimulus", "folds": 5}}}
    write_yaml(tmp_path / "asked.yaml", content | {"compare": {"distances": ["crossnobis"]}})
    write_yaml(tmp_path / "study.yaml", content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAINALIGN_DATA", "data")
    fails("compare.distances: crossnobis multiplies repeats", main, ["check", "asked.yaml"])
    assert main(["check", "study.yaml"]) == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    write_yaml(tmp_path / "a study.yaml", content | {"results": "~/out", "stimuli": "~/data/once/trials.tsv"})
    assert main(["plan", "a study.yaml"]) == 0
    said = f"results go to {tmp_path / 'out'}; to run it: brainalign run 'a study.yaml'"
    assert said in " ".join(capsys.readouterr().out.split())


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    return " ".join(" ".join(line.split("│", 2)[-1].replace("│", " ") for line in lines if "│" in line).split())


def rewrite_header(small, tr_s: float, unit: str) -> None:
    bold = nibabel.load(small.folder / "bold.nii.gz")
    bold.header.set_zooms((3, 3, 3, tr_s))
    bold.header.set_xyzt_units("mm", unit)
    nibabel.save(bold, small.folder / "bold.nii.gz")


def test_check_reads_the_repetition_time_of_the_header(small, capsys) -> None:
    path = small.write()
    rewrite_header(small, 720.0, "msec")
    assert "tr_s is 2, but the header of bold says 0.72 s" in checked(path, capsys)
    for unit in ("sec", "msec", "unknown"):  # a time of one is what programs write that do not know
        rewrite_header(small, 1, unit)
        capsys.readouterr()
        assert main(["check", str(path)]) == 0
        assert re.search(r"1 warning.*tr_s is 2, ", " ".join(capsys.readouterr().out.split()))


@pytest.mark.parametrize(("n", "message"), [(12, "1 categories (cat), but accuracy needs two"), (0, "holds no epochs")])
def test_check_finds_recordings_with_nothing_to_decode(tmp_path: Path, n: int, message: str, capsys) -> None:
    import mne

    info = mne.create_info(["Cz", "Pz"], 50.0, "eeg", verbose="error")
    table = pd.DataFrame({"category": ["cat"] * 12, "onset_s": 2.0 * np.arange(12)})
    values = 1e-6 * np.random.default_rng(0).normal(size=(12, 2, 30))
    epochs = mne.EpochsArray(values, info, tmin=-0.2, metadata=table, verbose="error")
    if not n:
        epochs.drop(range(12), verbose="error")
    epochs.save(tmp_path / "cats-epo.fif", verbose="error")
    about = {"name": "cats", "recordings": {"1": {"format": "epochs", "epochs": ["cats-epo.fif"]}}}
    about |= {"epochs": {"tmin_s": -0.1, "tmax_s": 0.3, "baseline_s": None}}
    assert message in checked(write_yaml(tmp_path / "cats.yaml", about), capsys)


def test_plan_finds_layers_and_weights_that_are_not_there(scenes, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("net", "data/net"):
        Path(folder).mkdir(parents=True)
        names = ("embedder", "encoder.stages.0.conv", "encoder.stages.1.conv", "encoder.layer.0.conv")
        save_file({f"resnet.{n}.weight": np.zeros(1, np.float32) for n in names}, f"{folder}/model.safetensors")
    content = {"datasets": {"scenes": {"descriptor": str(scenes.write())}}, "methods": {"ridge": {"encoder": "ridge"}}}
    net = {"extractor": "vision", "weights": "net"}
    for model, message in (
        ({"extractor": "efficientnet", "layers": ["blok5"]}, r"models\.net: layers must .*did you mean 'block5'"),
        (net | {"layers": ["encoder.stage.0"]}, "did you mean 'encoder.stages.0'"),
        (net | {"layers": ["encoder.stages.2"]}, "no layer 'encoder.stages.2'"),
        (net | {"weights": "./nett"}, r"models\.net: no folder ./nett .*did you mean 'net'"),
        (net | {"weights": "data/nett"}, r"no folder data/nett .*did you mean 'data/net'"),
        (net | {"layers": ["encoder.stages.1", "encoder.act", "encoder.layers.0"]}, ""),
        (net | {"weights": "somebody/somewhere"}, ""),
    ):
        Path("c.yaml").write_text(yaml.safe_dump(content | {"models": {"net": model}}))
        assert main(["plan", "c.yaml"]) == (2 if message else 0)
        assert re.search(message, capsys.readouterr().err)


def names_of(run: Run, dataset: str) -> tuple[set[str], dict[str, set[str]]]:
    there, missing = analyses_of(run, dataset)
    return {step.name for step in there}, {what: {step.name for step in steps} for what, steps in missing.items()}


def test_what_is_missing_is_named_and_nothing_else(root, capsys, tmp_path) -> None:
    assert main(["check", str(root / "data" / "haxby-slice.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "nothing wrong (1 subject(s), 8 stimuli; 12 runs, 96 trials, 530 targets each)" in printed
    check(printed, "haxby-slice: analyses: encode, compare", "  with searchlight.models: searchlight\n")
    assert "  with splits: {held: {share: 0.2}}, stimuli held out and match.models: match\n" in printed
    path = root / "data" / "simulated.yaml"
    there, missing = names_of(Run(load_config(path), check=False), "simulated")
    assert (missing["searchlight.models"], missing["caption.model"]) == ({"searchlight"}, {"caption"})
    added = {"searchlight": {"models": ["pixels"]}, "match": {"models": ["pixels"]}}
    added |= {"caption": {"model": "efficientnet"}}
    write_yaml(tmp_path / "s.yaml", yaml.safe_load(path.read_text()) | added)
    with_them, _ = names_of(Run(load_config(tmp_path / "s.yaml"), check=False), "simulated")
    assert with_them == there | {"searchlight", "caption", "match"}
    run = Run(load_config(root / "data" / "simulated-series.yaml"), check=False)
    assert names_of(run, "simulated-series") == ({"decode_series"}, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Half of the units follow own vectors; study and configuration in one file."""
    folder, models = tmp_path / "lab", {"mine": {"extractor": "table", "file": "vectors.csv"}}
    alone = {"name": "mine", "models": models, "encode": {"permutations": 100}}
    Cell("vectors", "array", "runs").write(folder, lambda study, run: study.update(alone))
    (folder / "config.yaml").unlink()
    return folder


def test_a_study_alone_gets_what_its_stimuli_allow_and_may_hold_every_key(root: Path) -> None:
    assert set(Config.model_fields) - {"datasets"} == RUN_KEYS
    assert "minilm" in load_config(root / "data" / "haxby-slice.yaml").models
    config = load_config(root / "data" / "simulated.yaml")
    assert {"pixels", "efficientnet"} <= set(config.models)
    assert set(load_config(root / "data" / "simulated-sentences.yaml").models) == {"minilm"}
    assert set(load_config(root / "data" / "simulated-series.yaml").models) == {"onehot"}
    assert config.results == root / "data" / "results"


def test_a_dry_run_from_elsewhere_writes_beside_the_file(folder: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "lab/study.yaml"]) == 0
    assert "models.mine: " in capfd.readouterr().out  # vectors of its own, found beside it
    assert main(["plan", "lab/study.yaml"]) == 0
    assert main(["run", "lab/study.yaml", "--cores", "1", "--verbose", "--", "-n", "--quiet", "all"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"lab"}
    assert (folder / ".snakemake").is_dir()
    rates = np.load(folder / "rates.npy")
    rates[3, 2] = np.nan
    np.save(folder / "rates.npy", rates)
    assert main(["run", "lab/study.yaml"]) == 2
    assert "(target-0003); shrink the mask" in capfd.readouterr().err
    (folder / "rates.npy").unlink()
    assert main(["run", "lab/study.yaml"]) == 2
    assert "no file rates.npy" in capfd.readouterr().err


def test_memory_bounds_what_runs_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with (folder / "study.yaml").open("a") as file:
        file.write("memory: 1GB\n")
    assert main(["plan", str(folder / "study.yaml")]) == 0
    said = "extract mine mine may take 1.0 GB, more than memory: 1GB"
    check(capsys.readouterr().out, said, unsaid=["encode mine"])
    started = MagicMock(**{"return_value.wait.return_value": 0})
    monkeypatch.setattr("brainalign.commands.run.subprocess.Popen", started)
    assert main(["run", str(folder / "study.yaml")]) == 0
    assert {"mem_mb=953", "gpu=1"} < set(started.call_args.args[0])
    assert main(["run", str(folder / "study.yaml"), "--profile", "slurm"]) == 0
    assert "--resources" not in started.call_args.args[0]


def test_workers_are_as_many_as_cores_of_the_run_or_of_its_jobs(tmp_path: Path, monkeypatch) -> None:
    Cell("vectors", "array", "column").write(tmp_path, lambda study, run: run.update(cluster="dask"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("brainalign.commands.run._wait", lambda process: 0)
    monkeypatch.setattr("brainalign.commands.run.subprocess.Popen", MagicMock())
    for given, workers in (([], None), (["--cores", "1"], 1), (["--profile", "slurm"], 8)):
        assert main(["run", "config.yaml", *given]) == 0
        assert load_config(".snakemake/brainalign/config.yaml").cluster_of("ridge")["workers"] == workers


def test_nobody_can_say_here_whether_a_run_elsewhere_is_over(tmp_path: Path, capsys) -> None:
    (path := tmp_path / "brainalign-login-2-99999999.pid").touch()
    assert [running(tmp_path), running(tmp_path)] == [[99999999]] * 2
    assert f"login-2 (process 99999999); its lock stays; where that is over, remove {path}" in capsys.readouterr().err


def record(event: str, **of: object) -> logging.LogRecord:
    level = logging.ERROR if event == "job_error" else logging.INFO
    return logging.makeLogRecord({"levelno": level, "event": event} | of)


def test_a_step_is_a_line_and_a_failure_its_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the test sets: 100 s for the first of two steps."""
    monkeypatch.chdir(folder)
    clock = iter([1000.0, 1010.0, 1020.0, 1110.0, 1120.0])
    monkeypatch.setattr("brainalign.commands.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    (folder / "job.log").write_text("Traceback\nthe mask holds no voxel; shrink nothing\n\n")
    screen = io.StringIO()
    progress = RunProgress(Run(load_config("study.yaml")), Console(file=screen, width=120, soft_wrap=True))
    progress.costs = {"prepare": 10.0, "encode": 30.0}
    monkeypatch.setattr(progress, "bar", MagicMock())
    progress.take(record("run_info", stats={"prepare": 1, "encode": 1, "all": 1, "total": 3}))
    for number, rule in enumerate(("prepare", "encode"), start=1):
        progress.take(record("job_info", jobid=number, rule_name=rule, wildcards={"dataset": "mine", "subject": "01"}))
    progress.take(record("job_finished", job_id=1))
    progress.take(record("job_finished", job_id=7))  # of nobody
    # Forty of cost are to be done, of which ten took 120 s.
    assert progress.bar.update.call_args.kwargs == {"completed": 10.0, "total": 40.0, "description": "about 6 min left"}
    assert [_clock(seconds) for seconds in (89.6, 90, 210)] == ["90 s", "2 min", "4 min"]
    (folder / "slurm.log").write_text("resources: runtime=10\n")
    progress.take(record("job_error", jobid=2, rule_name="encode", log=["job.log (check log file(s))", "slurm.log"]))
    progress.take(record("job_error", jobid=9, rule_name="all", log=["none.log"]))
    killed = "SLURM-job '3' failed, SLURM status is: 'OUT_OF_MEMORY'. Reason: Unknown."
    progress.take(record("job_error", jobid=9, rule_name="all", log=["slurm.log"], rule_msg=killed))
    # Snakemake tells jobs of a group nothing of SLURM.
    (folder / "group.log").write_text("slurmstepd: error: *** JOB 4 ON node1 CANCELLED AT noon DUE TO TIME LIMIT ***\n")
    progress.take(record("group_error", aux_logs=["group.log"], job_error_info=[{"jobid": 8}]))
    progress.take(record("job_error", jobid=8, rule_name="all", log=["job.log"]))
    progress.close(1)
    assert screen.getvalue() == (
        "1/2 prepare mine 01 (100 s)\nfailed: encode mine 01: the mask holds no voxel; shrink nothing\n"
        f"  its log: {folder / 'job.log'}, {folder / 'slurm.log'}\n"
        f"failed: all : it left no message\n  its log: {folder / 'none.log'}\n"
        f"failed: all : SLURM ended it (OUT_OF_MEMORY)\n  its log: {folder / 'slurm.log'}\n"
        f"failed: all : SLURM ended it (TIMEOUT)\n  its log: {folder / 'job.log'}, {folder / 'group.log'}\n"
        "what had been computed is kept; correct what failed and run again\n"
    )


def test_a_run_that_stops_says_where_all_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / ".snakemake" / "log").mkdir(parents=True)
    (folder / ".snakemake" / "log" / "later.snakemake.log").touch()  # of another shell
    for status, names, said in ((1, [], []), (0, ["a"], []), (1, ["b"], [f"full log: {folder}/b.log"])):
        handlers = [logging.FileHandler(f"{name}.log", delay=True) for name in names]
        monkeypatch.setattr(logging.getLogger("snakemake.logging"), "handlers", handlers)
        screen = io.StringIO()
        progress = RunProgress(Run(load_config("study.yaml")), Console(file=screen, width=120, soft_wrap=True))
        monkeypatch.setattr(progress, "bar", MagicMock())
        progress.take(logging.makeLogRecord({"levelno": logging.WARNING, "msg": "a warning"}))
        progress.take(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "x", "exception": "RuleException"}))
        progress.take(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "no rule makes it"}))
        progress.close(status)
        assert screen.getvalue().splitlines() == ["no rule makes it", *said]


def test_the_index_links_pages_with_their_first_sentence(folder: Path, monkeypatch, capsys, fails) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    fails("brainalign run study.yaml", main, ["report", str(folder)])
    page = folder / "results" / "mine" / "sub-01_incomplete.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        '<title>Mine &amp; yours · brainalign</title><meta name="description" content="r &lt; .1 in all runs">\n'
        '<p class="soft">01</p><svg><g id="axes"/></svg><svg/>' + 2 * '<p class="failed-control">'
    )
    assert main(["report", str(folder / "study.yaml")]) == 0
    index = folder / "results" / "index.html"
    assert capsys.readouterr().out == f"{index}\n"
    written = index.read_text()
    told = "<b>Incomplete: a job failed.</b> <b>2 controls failed.</b> r &lt; .1 in all runs</p><small>01</small>"
    # Of one study nothing is compared.
    check(written, '<a href="mine/sub-01_incomplete.html">Mine &amp; yours</a>', told, unsaid=["<meter"])
    assert re.findall("<svg>.*?</svg>", written) == ['<svg><g id="mine-sub-01_incomplete-axes"/></svg>']
    if BROWSER:
        assert inaccessible(folder, written, DARK) == []
        (found,) = inaccessible(folder, written.replace("</style>", "p {color: #999; background: #fff}</style>"))
        assert found.startswith("color-contrast")


def test_the_index_compares_studies_by_what_repeats(folder: Path) -> None:
    study = yaml.safe_load((folder / "study.yaml").read_text())
    own = {name: study.pop(name) for name in ("models", "encode")}
    own |= {"methods": {"ridge": {"encoder": "ridge"}}, "results": "results"}
    own["models"]["noise"] = {"extractor": "random"}
    for name, subjects in {"mine": ["01"], "runs": ["01", "02"]}.items():
        recordings = dict.fromkeys(subjects, study["recordings"]["01"])
        write_yaml(folder / f"{name}.yaml", study | {"name": name, "recordings": recordings})
        own.setdefault("datasets", {})[name] = {"descriptor": f"{name}.yaml"}
    write_yaml(folder / "config.yaml", own)
    rows = [("mine", 0.4, True), ("noise", 0.1, True), ("mine", 0.9, False)]  # not the layer that was chosen
    summary = pd.DataFrame(rows, columns=["model", "value", "chosen"]).assign(method="ridge", split="test")
    summary = pd.concat([summary, summary.assign(split="pairs", value=0.95)]).assign(quantity="r²/ceiling")
    targets = pd.DataFrame({"model": [*["mine"] * 3, "all", "rate"], "r": [0.6, -0.3, 0.9, 0.9, 0.3]})
    targets = targets.assign(ceiling=[0.72, 0.9, 0.9, 0.9, 0.9], reliable=[True, True, False, True, True])
    results = folder / "results"
    tables = {("mine", "01", "summary"): summary, ("runs", "01", "runtargets"): targets}
    tables["runs", "02", "runtargets"] = targets.assign(r=[0.6, 0.3, 0.9, 0.9, 0.0])
    for (dataset, subject, suffix), table in tables.items():
        save(artifact_path(results, dataset, suffix, subject=subject), table, Provenance("test", {}, 0))
    assert main(["report", str(folder / "config.yaml")]) == 0
    written = (results / "index.html").read_text()
    found = [re.sub("<[^>]+>", "|", row) for row in re.findall("<tr>.*?</tr>", written) if "meter" in row]
    assert [re.sub("[| ]*[|][| ]*", "|", row).strip("|") for row in found] == [
        "mine|mine (ridge)|40%", "mine|noise (ridge), control|10%", "runs|mine|25% (20% to 30% of 2 subjects)",
        "runs|rate, control|5% (0% to 10% of 2 subjects)",
    ]  # fmt: skip
    assert 'value="0.250"' in written
    assert not BROWSER or inaccessible(folder, written, DARK) == []


@pytest.mark.acceptance
def test_a_study_of_one_file_runs_to_its_page(folder: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(["brainalign", "run", "lab/study.yaml"], stdout=subprocess.PIPE, text=True) as killed:
        assert "1/6 " in killed.stdout.readline()
        started = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
    wait_for(started)
    assert main(["run", "lab/study.yaml", "--cores", "1"]) == 0
    printed, page = capfd.readouterr().out, folder / "results" / "mine" / "sub-01.html"
    assert "5/5 report mine 01" in printed  # what was ready before is kept
    assert f"page: {page}" in printed
    assert page.is_file()
    assert "are told apart by what mine predicts of held-out" in (folder / "results" / "index.html").read_text()
