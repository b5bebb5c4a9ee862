"""Every code block of the documentation runs: Python in one namespace per page, YAML is written, commands are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brainalign.cli import main
from brainalign.features import EXTRACTORS

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))


def blocks(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "snakemake", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Snakefile", tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    namespace: dict[str, object] = {"__name__": page.stem}
    monkeypatch.setattr("brainalign.features.EXTRACTORS", dict(EXTRACTORS))  # a page adds an entry
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), namespace)
        elif language == "yaml":
            target = re.match(r"# (\S+)\n", code)
            assert target, f"{page}: the first line of a YAML block says where it goes"
            (tmp_path / target[1]).write_text(code)
        elif language == "bash" and code.startswith("brainalign ") and code.count("\n") == 1:
            assert main(shlex.split(code)[1:]) == 0
        elif language == "bash":  # the first page has commands as processes
            environment = os.environ | {"PATH": path, "PYTHONSAFEPATH": "1"}
            result = subprocess.run(["bash", "-euc", code], env=environment, capture_output=True, text=True)
            assert result.returncode == 0, result.stdout + result.stderr
        else:
            raise AssertionError(f"{page}: a {language} block, which nothing runs")


def test_the_example_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [code for language, code in blocks(ROOT / "README.md") if language == "python"]
    assert len([line for line in example.splitlines() if line and not line.startswith(("import", "from"))]) <= 10
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert "of the explainable variance" in capsys.readouterr().out


def test_the_readme_names_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
    rows = text.split("| to change | edit |")[1].split("\n\n")[0]
    for name in re.findall(r"`([\w./]+/[\w.]*)`", rows):
        assert (ROOT / name).exists(), name


def test_every_page_is_in_the_menu_and_links_to_pages_that_exist() -> None:
    menu = (ROOT / "docs" / "mkdocs.yml").read_text()
    for page in PAGES:
        assert f": {page.name}\n" in menu, page.name
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_a_descriptor_takes_15_lines() -> None:
    (first, *_) = [code for language, code in blocks(ROOT / "docs" / "pages" / "own_images.md") if language == "yaml"]
    assert len([line for line in first.splitlines() if not line.startswith("#")]) <= 15


def test_every_dataset_says_where_it_comes_from() -> None:
    table = (ROOT / "data" / "README.md").read_text()
    for descriptor in (ROOT / "data").glob("*.yaml"):
        assert f"| `{descriptor.stem}` |" in table, descriptor.name


EXAMPLES = (
    "io.artifact_names",
    "decoding.scoring.retrieval",
    "decoding.scoring.text_measures",
    "regression.banded",
    "encoding.networks.gaussian_readout",
    "encoding.networks.factorized_readout",
    "encoding.networks.response_optimised",
    "regression.ridge",
    "encoding.networks.routing",
    "encoding.networks.semantic_readout",
    "features.images.efficientnet",
    "features.images.files",
    "features.latent_dynamics",
    "features.images.network",
    "geometry.odd_one_out.embedding",
    "geometry.rdms.noise",
    "geometry.topology.dependence",
    "geometry.rdms.dissimilarity",
    "geometry.topology.geotopology",
    "simulation.voxels.complex",
    "simulation.concepts.abstraction",
    "simulation.signals.read_sentences",
    "simulation.voxels.linear",
    "simulation.concepts.region_geometries",
    "simulation.concepts.ball",
    "statistics.ceilings",
    "statistics.pairing",
    "statistics.preference",
)


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_docstrings(module: str) -> None:
    import doctest
    import importlib

    result = doctest.testmod(importlib.import_module(f"brainalign.{module}"), extraglobs={"np": np, "torch": torch})
    assert result.attempted > 0
    assert result.failed == 0
