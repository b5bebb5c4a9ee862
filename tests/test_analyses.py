"""What `check` says a study can be asked, and that what it says is missing is all that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from brainalign.cli import main
from brainalign.commands import analyses_of
from brainalign.config import load_config
from brainalign.workflow import Run


def names_of(run: Run, dataset: str) -> tuple[set[str], dict[str, set[str]]]:
    there, missing = analyses_of(run, dataset)
    return {step.name for step in there}, {what: {step.name for step in steps} for what, steps in missing.items()}


def test_a_study_of_runs_lacks_a_set_of_stimuli(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(root / "data" / "haxby-slice.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "nothing wrong (1 subject(s), 8 stimuli; 12 runs, 96 trials, 530 targets each)" in printed
    assert "haxby-slice: analyses: encode, compare" in printed
    assert "  with searchlight.models: searchlight\n" in printed
    assert "  with splits: {held: {share: 0.2}}, stimuli held out: encode_images, compare_images\n" in printed


def test_what_is_named_as_missing_is_what_is_missing(root: Path, tmp_path: Path) -> None:
    path = root / "data" / "simulated.yaml"
    there, missing = names_of(Run(load_config(path), check=False), "simulated")
    assert missing["searchlight.models"] == {"searchlight"}
    assert missing["caption.model"] == {"caption"}
    added = {"searchlight": {"models": ["pixels"]}, "match": {"models": ["pixels"]}}
    added |= {"caption": {"model": "efficientnet"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | added))
    with_them, _ = names_of(Run(load_config(tmp_path / "s.yaml"), check=False), "simulated")
    assert with_them == there | {"searchlight", "caption", "match"}
    run = Run(load_config(root / "data" / "simulated-series.yaml"), check=False)
    assert names_of(run, "simulated-series") == ({"decode_series"}, {})
