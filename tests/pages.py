"""What an eye reads off a page, and studies for pages that nothing was recorded for."""

import importlib.resources
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brainalign.config import Config
from brainalign.report.kit import Chapter, Panel, StudyMaterial, render_page
from brainalign.study import Study, parse

EVIL = "<img src=x onerror=alert(1)>"
ABOUT = {"name": "study", "title": "A study", "citation": {"text": "Nobody."}, "licence": "CC0", "source": "tests"}
BETAS = {"format": "betas", "betas": "b.nii", "trials": "t.tsv"}
SHARED = {"shared": {"column": "set", "value": "shared"}}
# What every job notes beside its results.
RECORD: dict[str, Any] = dict.fromkeys(("stage", "created", "seed", "device", "wall_time_s", "peak_memory_mb"), "")
RECORD |= {"settings": "", "inputs": {}, "library": {"digest": "0" * 64}}


def words(html: object) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", str(html), flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


@cache
def made_up(section: str) -> ModuleType:
    """Import a file of tests, named from their folder and without its ending, for what it makes up."""
    path = Path(__file__).parent / f"{section}.py"
    spec = importlib.util.spec_from_file_location(f"made_up_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
DARK = "--blink-settings=preferredColorScheme=0"


def dumped(folder: Path, page: str, *flags: str) -> str:
    """Return the document as it is after the browser ran its scripts."""
    path = folder / "page.html"
    path.write_text(page)
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1300,9000", *flags, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


def inaccessible(folder: Path, page: str, *flags: str) -> list[str]:
    """Return what axe-core calls serious or critical in a page, each with the first element."""
    script = (importlib.resources.files("axe_core_python") / "axe.min.js").read_text()
    script += """;addEventListener("load", () => axe.run({resultTypes: ["violations"]}).then((found) => {
      const bad = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
      document.body.dataset.axe = [found.passes.length, ...bad.map((one) => one.id + one.nodes[0].html)].join("|");
    }));"""
    free = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    asking = free.replace("</body>", f"<script>{script}</script></body>")
    seen = dumped(folder, asking, "--virtual-time-budget=9000", *flags)
    passed, *bad = unescape(re.search('data-axe="([^"]*)"', seen)[1]).split("|")
    assert int(passed) > 5
    return [one for one in bad if one]


def cells(html: object) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", str(html), re.DOTALL)
    texts = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in texts]


def config(**content: object) -> Config:
    """Return a configuration of one network and ridge regression, but for what is given."""
    plain = {"datasets": {"study": {"descriptor": "study.yaml"}}, "models": {"net": {"extractor": "efficientnet"}}}
    return parse(Config, plain | {"methods": {"ridge": {"encoder": "ridge"}}} | content, "test")


def study(**content: object) -> Any:
    return parse(Study, ABOUT | content, "test")


def image_study(**content: object) -> Any:
    """Return a study of images that one subject saw, but for what is given."""
    return study(**{"stimuli": "s.tsv", "recordings": {"01": BETAS}, "splits": SHARED, "folder": "."} | content)


def page_of(material: StudyMaterial, chapter: Chapter) -> str:
    """Return a page to be read: its pictures are not painted, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Panel, "image", "data:image/png;base64,")
        patch.setattr(Panel, "drawings", [])
        return render_page(material, [chapter])


def check(text: str, *said: str, unsaid: Sequence[str] = ()) -> None:
    """Assert that a text says some things and others not."""
    assert ([part for part in said if part not in text], [part for part in unsaid if part in text]) == ([], [])
