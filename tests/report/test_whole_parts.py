"""What the report stage gathers for a page: a part whose artifacts are not all there is left out whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Arrays
from brainalign.config import Config
from brainalign.io import Provenance, save
from brainalign.pipelines.report.report import shelf_of
from brainalign.report import SYNTHESIS_TABLES, Failure, gather_images
from brainalign.study import parse
from brainalign.workflow import Run

PARTS = ("synthesized", *SYNTHESIS_TABLES)


@pytest.mark.parametrize("missing", [None, "synthesized", "synthesisgains"])
def test_synthesised_images_are_shown_with_all_their_tables_or_not(missing: str | None, scenes, tmp_path: Path) -> None:
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

    run = Run(parse(Config, content, "test"), check=False)
    noted = Provenance("synthesize", {}, "")
    for suffix in [name for name in PARTS if name != missing]:
        path = run.artifact(suffix, "scenes", subject="01")
        made = Arrays({"images": np.zeros((1, 2, 2, 3))}) if suffix == PARTS[0] else pd.DataFrame({"of": [suffix]})
        save(path, made, noted, **({"cost": {"ratio": 2.0}} if suffix == PARTS[0] else {}))
    failures = [Failure("synthesize", "subject 02", "it failed")]
    material = gather_images(shelf_of(run, {"dataset": "scenes", "subject": "01"}, noted, failures))
    assert (material.synthesised is not None) == (missing is None)
    if material.synthesised is not None:
        of = (material.synthesised.table, material.synthesised.gains, material.synthesised.steps)
        assert tuple(table["of"].iloc[0] for table in of) == SYNTHESIS_TABLES
        assert material.synthesised.cost == {"ratio": 2.0}
