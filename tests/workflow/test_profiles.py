"""Profiles say nothing that snakemake does not know: it would be found only by whoever has such a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_every_key_of_a_profile_is_an_option(root: Path, name: str) -> None:
    profile = yaml.safe_load((root / "snakemake" / "profiles" / name / "config.yaml").read_text())
    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert profile
    assert set(profile) <= known
    assert profile["rerun-incomplete"] is True  # a killed run leaves outputs that only look finished
