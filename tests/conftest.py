"""Shared fixtures: the real Haxby slice, a small simulated study on disk, and a record of acceptance figures."""

import base64
import gc
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import unarranged, watched
from made import save_epochs, write_yaml
from PIL import Image
from seeded.recorded import Record

from brainalign.features import EfficientNetExtractor
from brainalign.kernels import blas
from brainalign.simulation import betas_image, draw_scenes, labels_image, render

# What modules define lives as long as the session: the collector need not walk over all of it again and again.
gc.disable()
os.environ["BRAINALIGN_FORKS"] = ""  # runs of tests import nothing anyway, see workflow/forks.py


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(10_000)  # as in a job
    gc.enable()


ROOT = Path(__file__).parent.parent
# Files that ask where panels lie in a figure; of whole pages, one does.
ARRANGED = ("test_figures", "test_composite", "test_brain_maps", "test_surface", "test_image_page")
SOURCE = {"citation": {"text": "Nobody (2026). Simulated."}, "licence": "CC0", "source": "tests"}


@dataclass(frozen=True)
class SmallStudy:
    """A study small enough to run in seconds: NIfTI, mask and labels on disk, and the descriptor that names them."""

    folder: Path
    n_runs: int = 4
    n_stimuli: int = 4
    block: int = 3
    shape: tuple[int, int, int] = (6, 5, 2)
    signal: float = 2.0

    @property
    def names(self) -> list[str]:
        return [f"thing{k}" for k in range(self.n_stimuli)]

    @property
    def labels(self) -> list[str]:
        rng = np.random.default_rng(1)
        return self.labels_of([rng.permutation(self.n_stimuli) for _ in range(self.n_runs)])

    def labels_of(self, order: Sequence[Sequence[int]]) -> list[str]:
        lines = []
        for run, shown in enumerate(order):
            for k in shown:
                lines += [f"rest {run}"] * 2 + [f"{self.names[k]} {run}"] * self.block
            lines += [f"rest {run}"] * 3
        return lines

    def volumes(self) -> np.ndarray:
        rng = np.random.default_rng(2)
        return self.driven(rng.normal(size=(self.n_stimuli, *self.shape)) * self.signal, self.labels, rng)

    def driven(self, patterns: np.ndarray, labels: list[str], rng: np.random.Generator) -> np.ndarray:
        """Return noise plus a pattern per stimulus, two volumes after its label."""
        volumes = 100 + rng.normal(size=(*self.shape, len(labels)))
        for row, line in enumerate(labels):
            name = line.split()[0]
            if name != "rest":
                volumes[..., row + 2] += patterns[self.names.index(name)]
        return volumes.astype(np.float32)

    def descriptor(self, **changes: object) -> dict[str, object]:
        files = {"format": "nifti", "bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "labels.txt"}
        content = {"name": "small", "title": "A small simulated study"} | SOURCE | {"recordings": {"1": files}}
        content |= {"fmri": {"tr_s": 2.0, "hrf_lag_s": 4.0, "space": "simulated"}}
        content |= {"stimuli": {name: {"texts": [name, f"a {name}"]} for name in self.names}}
        splits = {"runs": {"leave_out": "run"}, "pairs": {"leave_out": "stimulus", "size": 2}}
        return content | {"splits": splits} | changes

    def write(self, *, volumes: Any = None, mask: Any = None, labels: list[str] | None = None, **changes: Any) -> Path:
        """Write everything and return the path of the descriptor; arguments replace parts of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([3.0, 3.0, 3.0, 1.0])
        inside = np.ones(self.shape, dtype=np.uint8) if mask is None else mask.astype(np.uint8)
        bold = nibabel.Nifti1Image(self.volumes() if volumes is None else volumes, affine)
        bold.header["pixdim"][4] = self.descriptor(**changes)["fmri"]["tr_s"]
        bold.header.set_xyzt_units("mm", "sec")
        nibabel.save(bold, self.folder / "bold.nii.gz")
        nibabel.save(nibabel.Nifti1Image(inside, affine), self.folder / "mask.nii.gz")
        (self.folder / "labels.txt").write_text("\n".join(labels or self.labels) + "\n")
        return write_yaml(self.folder / "small.yaml", self.descriptor(**changes))


SENSORS = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Cz", "Pz")


@dataclass(frozen=True)
class SmallImageStudy:
    """Responses to rendered scenes in real formats: betas of one subject (GIFTI), EEG of another (-epo.fif). The
    planted patterns reach the vertices of region "seen" and, from 80 ms on, the last six sensors."""

    folder: Path
    n_images: int = 24
    n_test: int = 10
    size: int = 32
    n_vertices: int = 642  # fsaverage3
    n_roi: int = 60  # vertices per region and hemisphere
    n_repeats: int = 2

    @property
    def scenes(self) -> pd.DataFrame:
        scenes = draw_scenes(self.n_images, seed=4)
        scenes.insert(1, "path", [f"images/{name}.png" for name in scenes["stimulus_id"]])
        return scenes.assign(set=["shared"] * self.n_test + ["unique"] * (self.n_images - self.n_test))

    @property
    def trials(self) -> pd.DataFrame:
        rng, tables = np.random.default_rng(5), []
        for session in range(self.n_repeats):
            ids = rng.permutation(self.scenes["stimulus_id"].to_numpy())
            run = np.where(np.arange(len(ids)) < len(ids) // 2, "1", "2")
            tables.append(pd.DataFrame({"stimulus_id": ids, "session": f"s{session}", "run": run}))
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "trial_id", [f"t{row:03d}" for row in range(len(table))])
        return table

    @property
    def rois(self) -> list[str]:
        return ["seen"] * self.n_roi + ["unseen"] * self.n_roi + [""] * (self.n_vertices - 2 * self.n_roi)

    def descriptor(self, **changes: object) -> dict[str, object]:
        betas = {"format": "betas", "betas": {"L": "L_betas.func.gii", "R": "R_betas.func.gii"}}
        betas |= {"rois": {"L": "L_rois.label.gii", "R": "R_rois.label.gii"}, "trials": "trials.tsv"}
        recordings = {"01": betas, "02": {"format": "epochs", "epochs": "eeg-epo.fif", "picks": "eeg"}}
        content = {"name": "scenes", "title": "A small study of scenes"} | SOURCE
        content |= {"stimuli": "stimuli/stimuli.tsv", "recordings": recordings}
        content |= {"splits": {"shared": {"column": "set", "value": "shared", "near_duplicates": "warning"}}}
        return content | {"shape": {"runs": 4, "trials": len(self.trials), "targets": 2 * self.n_vertices}} | changes

    def network_patterns(self) -> np.ndarray:
        """Return the first principal components (n_images, 3) of what an EfficientNet sees in the images."""
        images = torch.from_numpy(render(self.scenes, self.size)).permute(0, 3, 1, 2) / 255
        features, _ = EfficientNetExtractor(image_size=64, crop=False).features(images, ["block4"])
        values = features["block4"].numpy().astype(np.float64)
        left, scale, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        return left[:, :3] * scale[:3]

    def write(self, patterns: np.ndarray | None = None, **changes: object) -> Path:
        """Write everything and return the path of the descriptor; planted are patterns (n_images, n), or random."""
        (self.folder / "stimuli" / "images").mkdir(parents=True, exist_ok=True)
        scenes, trials = self.scenes, self.trials
        for path, image in zip(scenes["path"], render(scenes, self.size), strict=True):
            Image.fromarray(image).save(self.folder / "stimuli" / path)
        scenes.to_csv(self.folder / "stimuli" / "stimuli.tsv", sep="\t", index=False)
        trials.to_csv(self.folder / "trials.tsv", sep="\t", index=False)
        rng = np.random.default_rng(6)
        if patterns is None:
            patterns = rng.normal(size=(self.n_images, 3))
        rows = pd.Index(scenes["stimulus_id"]).get_indexer(pd.Index(trials["stimulus_id"]))
        shown = ((patterns - patterns.mean(axis=0)) / patterns.std(axis=0))[rows]
        self.write_betas(shown, rng)
        self.write_epochs(trials, shown)
        return write_yaml(self.folder / "scenes.yaml", self.descriptor(**changes))

    def write_betas(self, shown: np.ndarray, rng: np.random.Generator, gain: float = 1.5, name: str = "") -> None:
        ids = self.trials["trial_id"]
        for hemi in ("L", "R"):
            values = rng.normal(size=(len(ids), self.n_vertices)).astype(np.float32)
            values[:, : self.n_roi] += gain * shown @ rng.normal(size=(shown.shape[1], self.n_roi))
            nibabel.save(betas_image(values, ids, hemi), self.folder / f"{name}{hemi}_betas.func.gii")
            nibabel.save(labels_image(self.rois, hemi, ["seen", "unseen"]), self.folder / f"{hemi}_rois.label.gii")

    def write_epochs(self, trials: pd.DataFrame, shown: np.ndarray, names=SENSORS, file="eeg-epo.fif", kinds="eeg"):
        rng = np.random.default_rng(7)
        values = rng.normal(size=(len(trials), len(names), 20))
        values[:, 6:, 8:] += 1.5 * (shown @ rng.normal(size=(shown.shape[1], len(names) - 6)))[:, :, None]
        save_epochs(self.folder / file, values, names, trials, rate_hz=50.0, tmin=-0.08, kinds=kinds)


@pytest.fixture
def scenes(tmp_path: Path) -> SmallImageStudy:
    return SmallImageStudy(tmp_path / "scenes")


@pytest.fixture(scope="session")
def make_image_study() -> Callable[..., SmallImageStudy]:
    return lambda folder, **changes: replace(SmallImageStudy(folder), **changes)


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    return SmallStudy(tmp_path / "study")


@pytest.fixture(scope="session")
def make_study() -> Callable[..., SmallStudy]:
    return lambda folder, **changes: replace(SmallStudy(folder), **changes)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Check that a command or a step ends with exit code 2 and says why, without a traceback."""

    def check(words: str, call: Callable[..., int], /, *arguments: object, **options: object) -> None:
        assert call(*arguments, **options) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert words in said
        assert "Traceback" not in said

    return check


@pytest.fixture
def products_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave products on the CPU to torch, which counts them, whatever the processor."""
    monkeypatch.setattr(blas, "_by_openblas", lambda: False)


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlive a machine that loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield
    gc.freeze()  # pytest collects five times at its end


@pytest.fixture(scope="module", autouse=True)
def pages_are_unarranged(request: pytest.FixtureRequest) -> Iterator[None]:
    of_report = request.path.parent.name == "report"
    with nullcontext() if of_report and request.path.stem.startswith(ARRANGED) else unarranged():
        yield


@pytest.fixture(scope="session", autouse=True)
def problems() -> Iterator[list[str]]:
    with watched() as found:
        yield found


@pytest.fixture(autouse=True)
def figures_are_right(problems: list[str]) -> Iterator[None]:
    """Fail where a figure of a test, or of what was made for it, has marks outside its axes or labels twice."""
    yield
    found, problems[:] = list(problems), []
    assert not found


@pytest.fixture(scope="module")
def on_record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """Return what is on record of a file of tests, in `records` beside it."""
    record = Record(request.path.parent / "records" / f"{request.path.stem}.json", anew=True)
    yield record
    record.write()


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Record:
    """Return what is on record of all tests of a folder."""
    return Record(request.path.parent / "recorded.json")


@pytest.fixture(scope="session")
def probed() -> Callable[[str, str], str]:
    """Return a function that adds a script to a page, and to what the policy of the page lets run."""

    def probed(page: str, script: str) -> str:
        code = script.removeprefix("<script>").removesuffix("</script>")
        allowed = f"script-src &#39;sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}&#39;"
        policy = "script-src" if "script-src" in page else "default-src &#39;none&#39;"
        with_probe = page.replace(policy, allowed if policy == "script-src" else f"{policy}; {allowed}", 1)
        assert with_probe != page
        return with_probe.replace("</body>", f"<script>{code}</script></body>")

    return probed


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know, when they are torn down, whether the test passed."""
    report = (yield).get_result()
    if report.when == "call":
        item.passed = report.passed


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Callable[[str, object, str], None]]:
    """Collect figures of an acceptance test; `make acceptance` writes them into benchmarks/RESULTS.md."""
    rows: list[dict[str, object]] = []
    yield lambda quantity, value, expected: rows.append({"quantity": quantity, "value": value, "expected": expected})
    if rows and getattr(request.node, "passed", False) and request.node.get_closest_marker("acceptance"):
        folder = ROOT / "build" / "acceptance"
        folder.mkdir(parents=True, exist_ok=True)
        world = (request.node.function.__doc__ or request.node.name).splitlines()[0]
        content = {"world": world, "test": request.node.nodeid, "rows": rows}
        name = request.node.nodeid.replace("/", "_").replace("::", "__").replace("[", "_").replace("]", "")
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
