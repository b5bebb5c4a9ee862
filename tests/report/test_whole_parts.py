"""What the report stage gathers for a page: a part whose artifacts are not all there is left out whole."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import config

from brainalign.arrays import Arrays
from brainalign.io import Provenance, save
from brainalign.pipelines.report import failures, report
from brainalign.pipelines.report.report import shelf_of
from brainalign.report.kit import SYNTHESIS_TABLES, Failure
from brainalign.report.pages import gather_images
from brainalign.workflow import Run

PARTS = ("synthesized", *SYNTHESIS_TABLES)


@pytest.mark.parametrize("missing", [None, "synthesized", "synthesisgains"])
def test_synthesised_images_are_shown_with_all_their_tables_or_not(missing: str | None, scenes, tmp_path: Path) -> None:
    settings = config(
        results=str(tmp_path),
        datasets={"scenes": {"descriptor": str(scenes.write())}},
        models={name: {"extractor": "efficientnet"} for name in ("net", "other")},
        synthesize={"prior": "p", "subjects": ["01"]} | {"guide": {"model": "net", "layer": "a"}}
        | {"check": {"model": "other", "layer": "b"}},
    )  # fmt: skip
    run, noted = Run(settings, check=False), Provenance("synthesize", {}, "")
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


@pytest.mark.parametrize(("of", "names"), [
    ("b 2", ["‹ subject 1", "› subject 3", "All subjects"]), ("b 1", ["› subject 2", "All subjects"]),
    ("b 4", ["‹ subject 3", "All subjects"]), ("a 1", []), ("b", ["Subject 1", "Subject 2", "Subject 3", "Subject 4"]),
])  # fmt: skip
def test_a_page_leads_on_to_its_neighbours(of: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [{"dataset": name[0], "subject": name[1]} for name in ("a1", "b1", "b2", "b3", "b4")]
    steps = {"report": pages, "report_group": [{"dataset": "b"}]}
    monkeypatch.setattr(report, "STEPS", {name: SimpleNamespace(of=lambda _, of=of: of) for name, of in steps.items()})
    run: Any = SimpleNamespace(page=lambda of: Path("pages", f"{of.get('subject', 'all')}.html"))
    found = report._neighbours(run, dict(zip(("dataset", "subject"), of.split(), strict=False)))
    expected = [(name, f"{name.split()[-1].replace('subjects', 'all')}.html") for name in names]
    assert found == [*expected, ("All studies", "../index.html")]


def test_a_folder_of_results_is_described_and_an_error_is_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert failures.end_of_log(log) == failures.WAITING
    log.write_text("\n".join(f"line {k}" for k in range(20)) + "\n\n")
    assert failures.end_of_log(log).split("\n") == [f"line {k}" for k in range(8, 20)]
    study: Any = SimpleNamespace(title="t", source="https://x", licence="CC0", citation=SimpleNamespace(doi="10.1/x"))
    described = report.dataset_description(study)
    assert described.pop("GeneratedBy")[0]["Name"] == "brainalign"
    same = {"Name": "brainalign results of t", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    assert described == same | {"License": "CC0", "SourceDatasets": [{"URL": "https://x", "DOI": "10.1/x"}]}
    described = report.dataset_description(SimpleNamespace(title="t", source="", licence="", citation=None))
    del described["GeneratedBy"]
    assert described == same | {"SourceDatasets": []}
