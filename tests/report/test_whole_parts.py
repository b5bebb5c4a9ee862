"""What the report stage gathers for a page: a part whose artifacts are not all there is left out whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.io import Provenance
from brainalign.pipelines.report import report_images
from brainalign.report import SYNTHESIS_TABLES, Failure, ImageMaterial
from brainalign.study import parse

PARTS = ("synthesized", *SYNTHESIS_TABLES)


@pytest.mark.parametrize("missing", [None, "synthesized", "synthesisgains"])
def test_synthesised_images_are_shown_with_all_their_tables_or_not(
    missing: str | None, scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "results": str(tmp_path),
        "datasets": {"scenes": {"descriptor": str(scenes.write())}},
        "models": {"net": {"extractor": "efficientnet"}, "other": {"extractor": "efficientnet"}},
        "methods": {"ridge": {"encoder": "ridge", "models": ["net"]}},
        "synthesize": {
            "prior": "p",
            "guide": {"model": "net", "layer": "a"},
            "check": {"model": "other", "layer": "b"},
            "subjects": ["01"],
        },
    }

    def suffix(path: Path) -> str:
        return path.stem.split("_")[-1]

    def sidecar(path: Path) -> dict[str, Any]:
        if suffix(path) not in PARTS or suffix(path) == missing:
            raise BrainalignError(f"no {path}")
        return {"stage": "synthesize", "details": {"cost": {"ratio": 2.0}}}

    def content_of(path: Path, kind: type, provenance: Provenance) -> Any:
        return Arrays({"images": np.zeros((1, 2, 2, 3))}) if kind is Arrays else pd.DataFrame({"of": [suffix(path)]})

    gathered: list[ImageMaterial] = []
    monkeypatch.setattr(report_images, "load_sidecar", sidecar)
    monkeypatch.setattr(report_images, "load", content_of)
    monkeypatch.setattr(report_images, "render_image_page", lambda material: gathered.append(material) or "")
    monkeypatch.setattr(report_images, "write_report", lambda *_, **__: None)
    failures = [Failure("synthesize", "subject 02", "it failed")]
    report_images._write(parse(Config, content, "test"), "scenes", "01", failures, Provenance("report_images", {}, {}))
    (material,) = gathered
    assert (material.synthesised is not None) == (missing is None)
    if material.synthesised is not None:
        of = (material.synthesised.table, material.synthesised.gains, material.synthesised.steps)
        assert tuple(table["of"].iloc[0] for table in of) == SYNTHESIS_TABLES
        assert material.synthesised.cost == {"ratio": 2.0}
