"""Shared fixtures: the real Haxby slice, a small simulated study on disk, and a record of acceptance figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parent.parent


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
        lines = []
        for run in range(self.n_runs):
            for name in rng.permutation(self.names):
                lines += [f"rest {run}"] * 2 + [f"{name} {run}"] * self.block
            lines += [f"rest {run}"] * 3
        return lines

    def volumes(self) -> np.ndarray:
        """Return noise plus a pattern per stimulus, two volumes after its label."""
        rng = np.random.default_rng(2)
        patterns = rng.normal(size=(self.n_stimuli, *self.shape)) * self.signal
        volumes = 100 + rng.normal(size=(*self.shape, len(self.labels)))
        for row, line in enumerate(self.labels):
            name = line.split()[0]
            if name != "rest":
                volumes[..., row + 2] += patterns[self.names.index(name)]
        return volumes.astype(np.float32)

    def descriptor(self, **changes: object) -> dict[str, object]:
        return {
            "name": "small",
            "title": "A small simulated study",
            "kind": "blocks",
            "citation": {"text": "Nobody (2026). Simulated."},
            "licence": "CC0",
            "source": "tests",
            "subjects": {"1": {"bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "labels.txt"}},
            "fmri": {"tr_s": 2.0, "hrf_lag_s": 4.0, "space": "simulated"},
            "stimuli": {name: {"texts": [name, f"a {name}"]} for name in self.names},
            "splits": {"runs": {"leave_out": "run"}, "pairs": {"leave_out": "stimulus", "size": 2}},
        } | changes

    def write(
        self,
        *,
        volumes: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        labels: list[str] | None = None,
        **changes: object,
    ) -> Path:
        """Write everything and return the path of the descriptor; arguments replace parts of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([3.0, 3.0, 3.0, 1.0])
        inside = np.ones(self.shape, dtype=np.uint8) if mask is None else mask.astype(np.uint8)
        nibabel.save(
            nibabel.Nifti1Image(self.volumes() if volumes is None else volumes, affine), self.folder / "bold.nii.gz"
        )
        nibabel.save(nibabel.Nifti1Image(inside, affine), self.folder / "mask.nii.gz")
        (self.folder / "labels.txt").write_text("\n".join(labels or self.labels) + "\n")
        path = self.folder / "small.yaml"
        path.write_text(yaml.safe_dump(self.descriptor(**changes), sort_keys=False))
        return path


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    return SmallStudy(tmp_path / "study")


@pytest.fixture(scope="session")
def make_study() -> Callable[..., SmallStudy]:
    return lambda folder, **changes: replace(SmallStudy(folder), **changes)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know, when they are torn down, whether the test passed."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.passed = report.passed


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Callable[[str, object, str], None]]:
    """Collect figures of an acceptance test; `make acceptance` writes them into benchmarks/RESULTS.md."""
    rows: list[dict[str, object]] = []
    yield lambda quantity, value, expected: rows.append({"quantity": quantity, "value": value, "expected": expected})
    passed = getattr(request.node, "passed", False)
    if rows and passed and request.node.get_closest_marker("acceptance"):
        folder = ROOT / "build" / "acceptance"
        folder.mkdir(parents=True, exist_ok=True)
        world = (request.node.function.__doc__ or request.node.name).splitlines()[0]
        content = {"world": world, "test": request.node.nodeid, "rows": rows}
        name = request.node.nodeid.replace("/", "_").replace("::", "__").replace("[", "_").replace("]", "")
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
