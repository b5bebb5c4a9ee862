"""Every code block of the documentation runs: Python in one namespace per page, YAML is written, commands are run."""

import doctest
import importlib
import os
import pydoc
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
from brainalign.study import load_descriptor

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
            if page.stem == "time":  # its recordings are nowhere, so they cannot be checked
                load_descriptor(tmp_path / target[1])
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


def test_what_pages_and_tables_name_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
    for name in re.findall(r"`([\w./]+/[\w.]*)`", text.split("| to change | edit |")[1].split("\n\n")[0]):
        assert (ROOT / name).exists(), name
    menu = (ROOT / "docs" / "mkdocs.yml").read_text()
    for page in PAGES:
        assert f": {page.name}\n" in menu, page.name
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"
    for name in re.findall("^::: (.+)$", (ROOT / "docs" / "pages" / "reference.md").read_text(), flags=re.MULTILINE):
        assert pydoc.locate(name) is not None, name
    sources = (ROOT / "data" / "README.md").read_text()
    for descriptor in (ROOT / "data").glob("*.yaml"):
        assert f"| `{descriptor.stem}` |" in sources, descriptor.name
    (first, *_) = [code for language, code in blocks(ROOT / "docs" / "pages" / "betas.md") if language == "yaml"]
    assert len([line for line in first.splitlines() if not line.startswith("#")]) <= 15


LIBRARY = ROOT / "brainalign"
WITH_EXAMPLES = sorted(path for path in LIBRARY.rglob("*.py") if re.search(r"^ *>>> ", path.read_text(), re.MULTILINE))
# They show how to ask, with data, weights or packages that are not here.
ILLUSTRATIONS = {
    *("BrainGuidedPipeline", "HumanAlignment", "HumanTeacher", "PCA", "RegionObjective", "SeedEnsemble", "batches"),
    *("TimmExtractor", "TorchvisionExtractor", "UserExtractor", "VisionExtractor"),
    *("reconstruction_scores", "semantic_directions"),
}


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: ".".join(path.relative_to(LIBRARY).parts))
def test_examples_in_docstrings(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    runner = doctest.DocTestRunner()
    for examples in doctest.DocTestFinder().find(module, extraglobs={"np": np, "torch": torch}):
        if examples.name.rpartition(".")[2] not in ILLUSTRATIONS:
            runner.run(examples)
    assert runner.failures == 0
