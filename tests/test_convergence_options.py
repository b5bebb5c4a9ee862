"""The section `converge`: a twin always, mistakes before any job, and the job it plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.config import Config, ConvergeSettings, load_descriptors
from brainalign.study import parse
from brainalign.workflow import jobs

NETWORK = {"extractor": "efficientnet", "layers": ["block2", "block4", "block8"]}
CONVERGE = {
    "networks": {"net": {"random": "untrained", "method": "ridge"}},
    "origin": "seen",
    "checkpoints": {"net": {0: "untrained", 100: "half", 1000: "net"}},
}


def content(scenes, **changes: object) -> dict[str, object]:
    return {
        "results": str(scenes.folder / "results"),
        "datasets": {"scenes": {"descriptor": str(scenes.write())}},
        "models": {"net": NETWORK, "untrained": NETWORK | {"weights": "random"}, "half": NETWORK},
        "methods": {"ridge": {"encoder": "ridge"}, "banded": {"encoder": "banded"}},
        "converge": CONVERGE,
    } | changes


def pair(**changes: object) -> dict[str, object]:
    return CONVERGE | {"networks": {"net": {"random": "untrained", "method": "ridge"} | changes}}


def test_a_study_with_networks_has_one_more_job(scenes) -> None:
    config = parse(Config, content(scenes), "test")
    stages = [job.stage for job in jobs(config)]
    assert stages.count("converge") == 1
    assert stages.index("encode_images") < stages.index("converge") < stages.index("report_group")
    without = parse(Config, content(scenes, converge={}), "test")
    assert "converge" not in [job.stage for job in jobs(without)]
    assert config.convergence_of("scenes").models_of("net") == ["net", "untrained", "half"]
    assert config.converging("scenes", "net", ["01", "02"]) == ["01", "02"]


def test_steps_survive_json() -> None:
    """Keys of JSON are text, and the stage reads its options from JSON."""
    options = parse(ConvergeSettings, CONVERGE, "test")
    again = parse(ConvergeSettings, json.loads(json.dumps(options.model_dump(mode="json"))), "test")
    assert again == options
    assert list(again.checkpoints["net"]) == [0, 100, 1000]
    assert again.origins == ("seen",)
    assert parse(ConvergeSettings, {"origin": ["V1v", "V1d"]}, "test").origins == ("V1v", "V1d")


@pytest.mark.parametrize(
    ("converge", "message"),
    [
        ({"networks": {"net": {"method": "ridge"}}}, "converge.networks.net.random: this key is required"),
        (pair(random="untraned"), r"'untraned' is not among the models .*did you mean 'untrained'"),
        (pair(random="half"), "half has no random weights; name a model with `weights: random`"),
        (pair(random="net"), "net has no random weights"),
        (pair(method="rige"), r"'rige' is not among the methods .*did you mean 'ridge'"),
        (pair(method="banded"), "banded fits all layers at once, so none of them has a score of its own"),
        (CONVERGE | {"checkpoints": {"net": {100: "net"}}}, "a half-time needs 2 or more steps; got 1"),
        (CONVERGE | {"checkpoints": {"half": {0: "net", 1: "half"}}}, "'half' is not among converge.networks"),
        (CONVERGE | {"checkpoints": {"net": {0: "net", 1: "haf"}}}, r"converge.checkpoints.net.1: 'haf' is not among"),
        ({"netwoks": {}}, r"unknown key 'converge.netwoks' \(did you mean 'networks'\?\)"),
    ],
)
def test_mistakes_stop_before_any_job(scenes, converge: dict[str, object], message: str) -> None:
    refused(message, parse, Config, content(scenes, converge=converge), "test")


def test_twins_and_checkpoints_must_be_fitted(scenes, tmp_path: Path) -> None:
    ridge = {"ridge": {"encoder": "ridge", "models": ["net", "half"]}, "banded": {"encoder": "banded"}}
    with pytest.raises(BrainalignError, match=r"net is compared with untrained, but ridge is not used on untrained"):
        load_descriptors(parse(Config, content(scenes, methods=ridge), "test"))
    nowhere = {"ridge": {"encoder": "ridge", "models": ["half"]}, "banded": {"encoder": "banded"}}
    with pytest.raises(BrainalignError, match="ridge is not used on net in scenes"):
        load_descriptors(parse(Config, content(scenes, methods=nowhere), "test"))
    missing = CONVERGE | {"maps": str(tmp_path / "maps.tsv")}
    with pytest.raises(BrainalignError, match=r"converge.maps: no file .*maps.tsv"):
        load_descriptors(parse(Config, content(scenes, converge=missing), "test"))
