from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainalign.cli import main


def test_doctor_lists_versions_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for expected in ("torch", "nilearn", "linear algebra", "GPU", "extra weights", "extra vision"):
        assert expected in printed


def test_check_says_when_nothing_is_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(root / "data" / "haxby-slice.yaml")]) == 0
    assert "nothing wrong (1 subject(s), 8 stimuli; 12 runs, 96 trials, 530 targets each)" in capsys.readouterr().out


def test_check_shows_everything_wrong_on_one_screen(small, capsys: pytest.CaptureFixture[str]) -> None:
    volumes = small.volumes()
    volumes[0, 0, 0, 0] = np.nan
    labels = [line.replace("thing3", "thing33") for line in small.labels]
    assert main(["check", str(small.write(volumes=volumes, labels=labels))]) == 1
    printed = capsys.readouterr().out
    assert "3 problem(s)" in printed
    assert "NaN or infinite" in printed
    assert "did you mean 'thing3'" in printed
    assert len(printed.splitlines()) < 40


def test_plan_adds_up(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(root)
    assert main(["plan", "snakemake/config/demo.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "│ encode    │   12 │" in printed
    assert "│ all       │   20 │" in printed
    assert "make run CONFIG=snakemake/config/demo.yaml" in printed


def test_mistakes_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("datasets: {}\nmodls: {}\n")
    assert main(["plan", str(config)]) == 2
    assert "unknown key 'modls' (did you mean 'models'?)" in capsys.readouterr().err
