"""The whole workflow on a small study of images in real formats: what was planted is found, and reruns are minimal."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import asked, draw_incomplete, kept, reruns, run_all, run_step
from pages import check
from PIL import Image

from brainalign.arrays import Responses
from brainalign.config import Config
from brainalign.io import artifact_path, load
from brainalign.pipelines.summarize.held_out import _recovery as planted_and_recovered
from brainalign.study import parse
from brainalign.workflow import jobs, log_path

EVERYTHING = {"extract": 2, "prepare": 2, "encode_held_out": 6, "compare": 2, "summarize_held_out": 2, "report": 2}
EVERYTHING |= {"summarize_group": 1, "converge": 1, "match": 1, "report_group": 1}
OF_ALL = ("converge", "match", "summarize_group", "report_group")
ALONE = [stage for stage in EVERYTHING if stage not in OF_ALL]  # of one subject, and a network without a twin
BANDED = {"encoder": "banded", "models": ["net"], "n_candidates": 5, "cv": 3, "device": "cpu"}
NETWORK = {"extractor": "efficientnet", "layers": ["block2", "block4"], "image_size": 64, "crop": False}
PREPARED = ("responses", "splits", "ceiling")
SECTIONS = {"01": ("data", "maps", "layers", "partition", "geometry", "ceilings", "contest")}
SECTIONS |= {"02": ("data", "time", "partition", "geometry", "ceilings")}


def configured(root: Path, **changes: object) -> dict[str, object]:
    descriptor, few = root / "scenes" / "scenes.yaml", {"permutations": 100, "draws": 100}
    given = {"results": str(root / "results"), "datasets": {"scenes": {"descriptor": str(descriptor)}}}
    given |= {"models": {"net": NETWORK, "untrained": NETWORK | {"weights": "random"}}, "encode": few, "compare": few}
    given |= {"methods": {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "banded": BANDED}}
    given |= {"contest": {"trained": ["net/ridge"], "untrained": ["untrained/ridge"]}}
    given |= {"converge": {"networks": {"net": {"random": "untrained", "method": "ridge"}}, "origin": "seen"}}
    return given | {"match": {"models": ["net", "untrained"], "stimuli": 40, "units": 20, "draws": 2}} | changes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_image_study) -> Path:
    root = tmp_path_factory.mktemp("images")
    study = make_image_study(root / "scenes", n_images=72, n_test=24, size=64, n_vertices=2562, n_roi=100)
    study.write(study.network_patterns())
    config = parse(Config, configured(root), "test")
    assert Counter(job.rule for job in jobs(config)) == EVERYTHING
    run_all(config)
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> Path:
    return root / "results" / "scenes"


def table(results: Path, subject: str, kind: str, suffix: str, **labels: str) -> pd.DataFrame:
    name = "".join(f"_{key}-{value}" for key, value in labels.items())
    return pd.read_parquet(results / f"sub-{subject}" / kind / f"sub-{subject}{name}_{suffix}.parquet")


def test_what_is_planted_is_found_there_alone(results: Path) -> None:
    """block4 of the trained network, by scores, choice of a layer, joint fit, geometry and contest."""
    profile = table(results, "01", "encoding", "profile", model="net", method="ridge")
    best = profile[profile["layer"] == "block4"].set_index("group")
    assert best.loc["seen", "r"] > 0.8
    assert best.loc["seen", "p_fwer"] < 0.02
    assert abs(best.loc["unseen", "r"]) < 0.05
    assert best.loc["unseen", "p"] > 0.05
    assert profile["control_r"].abs().max() < 0.25  # refitted on exchanged responses: one draw, all vertices alike
    assert profile["null_mean"].abs().max() < 0.05  # predictions exchanged between test images
    decisions = table(results, "01", "encoding", "preference", model="net", method="ridge").set_index("roi")
    assert decisions.loc["seen", ["best", "decided"]].tolist() == ["block4", True]
    assert not decisions.loc["unseen", "decided"]
    parts = table(results, "01", "encoding", "partition", model="net", method="banded").set_index(["group", "layer"])
    assert parts.loc[("seen", "block4"), "low"] > 2 * parts.loc[("seen", "block2"), "high"]
    assert parts.loc["unseen", "split"].max() < 0.02
    comparison = table(results, "01", "geometry", "comparison")
    fits = comparison.set_index(["model", "layer", "group"])
    assert fits.loc[("net", "block4", "seen"), "score"] > 0.5
    assert fits.loc[("net", "block4", "seen"), "p_fwer"] < 0.02
    assert (comparison.loc[comparison["group"] == "unseen", "p_fwer"] > 0.05).all()
    contest = table(results, "01", "summary", "contest")
    best = contest[contest["winner"]].set_index("region")
    assert best.loc["seen", ["family", "layer", "decided"]].tolist() == ["trained", "block4", True]
    assert "unseen" not in best.index or not best.loc["unseen", "decided"]  # its reliable targets are so by chance
    assert table(results, "02", "summary", "contest").empty
    course = table(results, "02", "encoding", "profile", model="net", method="ridge")
    course = course[(course["layer"] == "block4") & (course["group"] != "reliable targets")]
    planted = course["group"].astype(float) > 0.07
    assert (course["r"][planted] > 0.25).all()
    assert ((course["p_fwer"] < 0.05) == planted).all()
    latencies = table(results, "02", "encoding", "preference", model="net", method="ridge").set_index("layer")
    assert latencies.loc["block4", "onset"] == pytest.approx(0.08, abs=0.021)
    clusters = table(results, "02", "encoding", "clusters", model="net", method="ridge")
    assert (clusters[clusters["p"] < 0.05]["start"] >= 0.05).all()
    for subject in ("01", "02"):
        summary = table(results, subject, "summary", "summary")
        chosen = summary[summary["chosen"] & (summary["quantity"] == "mean r") & (summary["method"] == "ridge")]
        chosen = chosen.set_index("model")
        assert chosen.loc["net", "low"] > chosen.loc["untrained", "high"]
        differences = table(results, subject, "geometry", "differences")
        assert (differences.loc[differences["model_b"] == "untrained", "low"] > 0).all()


def test_every_report_is_small_self_contained_and_whole(results: Path) -> None:
    for subject, sections in SECTIONS.items():
        page = (results / f"sub-{subject}.html").read_text(encoding="utf-8")
        assert 100_000 < len(page.encode()) < 5e6
        found = {section for section in (*SECTIONS["01"], *SECTIONS["02"]) if f'id="{section}"' in page}
        assert found == set(sections)  # sensors lie in no region
        check(page, "runs have trials in more than one split", unsaid=['src="http'])  # the warning of the audit
    page = (results / "group.html").read_text(encoding="utf-8")
    check(page, 'id="scores"', 'id="comparisons"', 'id="matching"', "sub-01", "sub-02")
    scores = pd.read_parquet(results / "group" / "convergence" / "convergence.parquet")
    found = scores.set_index(["network", "subject", "score"])
    assert found.loc[("trained", "01", "encoding"), "value"] > found.loc[("random", "01", "encoding"), "value"]
    spatial = found.loc[("trained", "01", "spatial")]
    assert np.isnan(spatial["value"])
    assert spatial["reason"].endswith("of 2 areas have a decided best layer; a spatial score needs 4")
    assert "a temporal score needs 3" in found.loc[("trained", "02", "temporal"), "reason"]


TWO = {"net": NETWORK, "untrained": NETWORK | {"weights": "random", "layers": ["block2"]}}
TIMES = {"prepare": 1, "encode_held_out": 3, "compare": 1, "summarize_held_out": 1, "summarize_group": 1}
OF_RESPONSES = {name: n for name, n in EVERYTHING.items() if name not in ("extract", "match")}
FITS = {"encode_held_out": 6, "summarize_held_out": 2, "converge": 1}


@pytest.mark.parametrize(("options", "descriptor", "expected"), [
    ({"compare": {"permutations": 100, "draws": 110}}, {}, {"compare": 2}),
    ({"summarize": {"q": 0.1}}, {}, {"summarize_held_out": 2}),
    ({"encode": {"permutations": 110, "draws": 100}}, {}, FITS),
    ({"contest": {}}, {}, {"summarize_held_out": 1}),  # sensors lie in no region
    # Of studies of another kind; the report's settings are the whole configuration.
    ({"encode": {"permutations": 100, "draws": 100, "good_r": 0.2, "null": "phase"}}, {}, {}),
    ({"models": TWO}, {}, FITS | {"extract": 1, "encode_held_out": 2, "compare": 2, "match": 1}),  # the other
    ({}, {"title": "Another title"}, {}), ({}, {"epochs": {"tmax_s": 0.2}}, TIMES | {"converge": 1}),
    ({}, {"splits": {"drawn": {"share": 0.3}}}, OF_RESPONSES),
])  # fmt: skip
def test_a_change_reruns_what_depends_on_it(root: Path, options: dict, descriptor: dict, expected: dict) -> None:
    known, path = asked(parse(Config, configured(root), "test")), root / "scenes" / "scenes.yaml"
    with kept(path):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | descriptor, sort_keys=False))
        config = parse(Config, configured(root, **options), "test")
        assert reruns(known, config, *[path] * bool(descriptor)) == expected | {"report": 2, "report_group": 1}


def test_another_image_reruns_all_that_follows_from_it(root: Path) -> None:
    config = parse(Config, configured(root), "test")
    known, path = asked(config), root / "scenes" / "stimuli" / "images" / "scene0005.png"
    with kept(path):
        Image.open(path).rotate(90).save(path)
        assert reruns(known, config) == EVERYTHING


def test_a_subject_that_fails_takes_nothing_with_it(root: Path, results: Path, capsys) -> None:
    epochs = root / "scenes" / "eeg-epo.fif"
    before, config = epochs.read_bytes(), parse(Config, configured(root), "test")
    epochs.write_bytes(before[:5000])
    with pytest.raises(AssertionError):
        run_all(config, "prepare", subjects=["02"])
    log = log_path(config.results, "scenes", "prepare", subject="02")
    log.parent.mkdir(parents=True)
    log.write_text(capsys.readouterr().err)
    for suffix in PREPARED:  # as Snakemake takes away what a failed job was to write
        artifact_path(config.results, "scenes", suffix, subject="02").with_suffix(".json").unlink()
    assert draw_incomplete(config) == 0
    epochs.write_bytes(before)
    page = (results / "sub-02_incomplete.html").read_text(encoding="utf-8")
    told = 'id="errors"', "prepare stopped", "truncated, or not epochs that MNE or EEGLAB saved"
    check(page, *told, unsaid=['id="figure-course"'])  # scores of the epochs as they were


@pytest.fixture(scope="module")
def simulated(make_checkout):
    checkout = make_checkout("simulated")
    content = yaml.safe_load((checkout.root / "data" / "simulated.yaml").read_text())
    size = {"n_shared": 20, "n_unique": 40, "fmri_subjects": 0, "meg_subjects": 0, "eeg_subjects": 1}
    content["simulate"] = size | {"n_training_scenes": 100, "n_epochs": 1}
    content["recordings"] = {"01": {"format": "epochs", "epochs": "sub-01/sub-01_eeg-epo.fif", "picks": "eeg"}}
    del content["decoded"]
    (checkout.root / "simulated.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    generator = {"extractor": "vision", "weights": "results/simulated/raw/generator"}
    config = configured(Path(), datasets={"simulated": {"descriptor": "simulated.yaml"}})
    config |= {"models": {"generator": generator | {"layers": ["embedder", "encoder.stages.1"]}}}
    config |= {"methods": {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}}}
    config = {name: value for name, value in config.items() if name not in ("contest", "converge", "match")}
    (checkout.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert checkout.run("config.yaml", "--cores", "2") == dict.fromkeys(("simulate", *ALONE), 1)
    return checkout


def test_a_simulated_study_shows_what_was_planted(simulated) -> None:
    results = simulated.root / "results" / "simulated"
    page = (results / "sub-01.html").read_text(encoding="utf-8")
    # Sensors were whitened: their ceilings are not those planted.
    check(page, 'id="recovery"', 'id="figure-plantedlatencies"', unsaid=['id="figure-plantedceilings"'])
    assert set(pd.read_parquet(results / "sub-01" / "summary" / "sub-01_recovery.parquet")["what"]) == {"latency"}


def test_planted_ceilings_are_found_at_every_time(simulated, tmp_path: Path) -> None:
    """Times of the truth and of a file differ in the last digit, and 0 may be -0."""
    raw = simulated.root / "results" / "simulated" / "raw"
    content = yaml.safe_load((simulated.root / "simulated.yaml").read_text()) | {"epochs": {"whiten": False}}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(content))
    paths = {suffix: artifact_path(tmp_path, "simulated", suffix, subject="01") for suffix in PREPARED}
    inputs = {"descriptor": tmp_path / "plain.yaml", "folder": raw, "stimuli": raw / "stimuli" / "stimuli.tsv"}
    assert run_step("prepare", inputs=inputs, outputs=paths, labels={"subject": "01"}) == 0
    responses, ceiling = load(paths["responses"], Responses), load(paths["ceiling"], pd.DataFrame)
    decisions = table(raw.parent, "01", "encoding", "preference", model="generator", method="ridge")
    decided = decisions.assign(model="generator", method="ridge")
    found = planted_and_recovered(raw / "truth", "01", responses, ceiling, decided)
    ceilings = found[found["what"] == "ceiling"]
    assert len(ceilings) == len(ceiling)
    assert np.corrcoef(ceilings["planted"], ceilings["ceiling"])[0, 1] > 0.5


def test_what_the_workflow_made_itself_is_no_new_input(simulated) -> None:
    """Images, epochs and weights were not there when the first run was planned."""
    assert simulated.jobs("config.yaml") == {}
    path = simulated.root / "simulated.yaml"
    path.write_text(path.read_text().replace("n_unique: 40", "n_unique: 41"))
    assert simulated.jobs("config.yaml") == dict.fromkeys(("simulate", *ALONE), 1)
