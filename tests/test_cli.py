from __future__ import annotations

import re
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


def test_check_tells_warnings_from_errors(scenes, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenes.write()
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "2 warning(s), which stop nothing" in printed
    assert "4 of 4 runs have trials in more than one split" in printed
    assert "nothing that would stop a run (2 subject(s), 24 images)" in printed
    assert "2 to 2 (median 2)" in printed
    assert re.search(r"│ unseen +│ 60 +│ 60 +│", printed)
    next((scenes.folder / "stimuli" / "images").glob("*.png")).unlink()
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "scenes: 1 problem(s)" in printed
    assert "1 of 24 images are missing" in printed
    assert "2 warning(s)" in printed
    assert "nothing" not in printed.split("1 problem(s)")[1]


def test_check_of_what_the_workflow_makes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(root / "data" / "simulated.yaml")]) == 0
    assert "made by the workflow (stage simulate)" in capsys.readouterr().out


def test_plan_adds_up(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(root)
    assert main(["plan", "snakemake/config/demo.yaml"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ encode +│ +5 │", printed)
    assert re.search(r"│ encode_images +│ +15 │", printed)
    totals = [int(n) for n in re.findall(r"^│ \w+ +│ +(\d+) │", printed, flags=re.MULTILINE)]
    assert sum(totals[:-1]) == totals[-1] > 50
    assert "make run CONFIG=snakemake/config/demo.yaml" in printed


def test_mistakes_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("datasets: {}\nmodls: {}\n")
    assert main(["plan", str(config)]) == 2
    assert "unknown key 'modls' (did you mean 'models'?)" in capsys.readouterr().err
