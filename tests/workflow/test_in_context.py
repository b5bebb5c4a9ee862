"""In-context encoding as a method: pre-training on other subjects, what may enter it, curve and report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from features.conftest import clip  # noqa: F401 (a fixture here, too)
from jobs import ImageRun, asked, draw_page, kept, outside_its_digest, reruns, run_all
from refusals import stopping

from brainalign import workflow
from brainalign.arrays import Layers, Responses
from brainalign.config import Config
from brainalign.io import Provenance, artifact_files, artifact_path, load, load_sidecar, save
from brainalign.pipelines import run_job
from brainalign.pipelines.encode import pretrain
from brainalign.pipelines.report.failures import failures_of
from brainalign.workflow import STEPS, report_path

RANDOM = {"extractor": "random", "n_features": 8}
NETWORK = {"encoder": "in_context", "n_steps": [0, 60, 10], "context_sizes": [6, 24], "n_components": 8}
NETWORK |= {"n_queries": 10, "sizes": [6, 12, 24], "n_repeats": 2, "device": "cpu", "subjects": ["01", "03", "04"]}


class Run(ImageRun):
    def of(self, suffix: str, subject: str, method: str = "few") -> str:
        return self.path(suffix, subject=subject, model="net", method=method)

    def job(self, step: str, **of: str) -> workflow.Job:
        return workflow.job_of(workflow.Run(self.config, check=False), STEPS[step], {"dataset": "scenes"} | of)

    def extract(self) -> None:
        assert run_job(self.job("extract", model="net")) == 0

    def prepare(self, *subjects: str) -> None:
        for subject in subjects:
            assert run_job(self.job("prepare", subject=subject)) == 0

    def pretrain(self, subject: str, output: str = "") -> int:
        job = self.job("pretrain", subject=subject, model="net", method="few")
        return run_job(replace(job, outputs={"network": Path(output or self.of("network", subject))}))

    def encode(self, subject: str, method: str = "few") -> int:
        return run_job(self.job("encode_held_out", subject=subject, model="net", method=method))


def write(study: Any, patterns: np.ndarray, people: tuple[str, ...] = ("01", "02", "03", "04")) -> None:
    """Write the study, and two more subjects with weights from the same prior: two directions of the features."""
    study.write()
    trials, rng = study.trials, np.random.default_rng(8)
    rows = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(trials["stimulus_id"]))
    shown = ((patterns - patterns.mean(axis=0)) / patterns.std(axis=0))[rows]
    basis = rng.normal(size=(shown.shape[1], 2))
    subjects = {"02": study.descriptor()["recordings"]["02"]}
    for subject in ("01", "03", "04"):
        study.write_betas(shown @ basis, rng, gain=0.6, name=f"{subject}_")
        betas = {hemi: f"{subject}_{hemi}_betas.func.gii" for hemi in ("L", "R")}
        subjects[subject] = study.descriptor()["recordings"]["01"] | {"betas": betas}
    content = study.descriptor(recordings={name: subjects[name] for name in people})
    (study.folder / "scenes.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def configured(study: Any, model: dict[str, Any] | None = None, results: str = "results", **method: object) -> Run:
    """Return a run with one model, ridge and in-context encoding, but for what is changed of the latter."""
    methods = {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "few": NETWORK | method}
    models = {"net": model or RANDOM | {"n_draws": 1}}
    return Run(study, {"models": models, "methods": methods, "results": str(study.folder / results)})


@pytest.fixture(scope="module")
def run(make_image_study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A study that is prepared, whose subjects 03 and 04 have trained the networks of 01."""
    study = make_image_study(tmp_path_factory.mktemp("few") / "scenes", n_images=64, n_test=14)
    study.write()
    run = configured(study)
    run.extract()
    write(study, np.asarray(load(run.path("features", model="net"), Layers)["draw1"].values, dtype=np.float64))
    run.prepare("01", "03", "04")
    assert (run.pretrain("01"), run.encode("01"), run.encode("01", "ridge")) == (0, 0, 0)
    return run


@pytest.mark.parametrize("step", ["pretrain", "encode_held_out"])
def test_it_enters_no_file_that_its_digest_leaves_out(brief: tuple[Run, str], step: str) -> None:
    job = brief[0].job(step, subject="01", model="net", method="few")
    job.outputs = {name: path.parent / "again" / path.name for name, path in job.outputs.items()}
    assert not outside_its_digest(job)


def test_a_context_of_a_new_subject_is_read(run: Run) -> None:
    profile = pd.read_parquet(run.of("profile", "01")).set_index("group")
    assert profile.loc["seen", "r"] > 0.3
    assert profile.loc["seen", "p_fwer"] < 0.05
    assert profile.loc["reliable targets", "r"] > 0.8  # almost none of noise is among them
    assert profile.loc["unseen", "n_targets"] < 0.05 * profile.loc["seen", "n_targets"]
    assert not profile.loc["unseen", "p"] <= 0.05  # NaN where none is
    assert not profile.loc["unseen", "cv_score"] >= profile.loc["seen", "cv_score"]
    scores = pd.read_parquet(run.of("scores", "01"))
    assert scores["r"].notna().tolist() == scores["reliable"].tolist()
    table = pd.read_parquet(run.of("curve", "01"))
    seen = table[table["group"] == "seen"].set_index(["method", "size"])
    methods = {"in_context", "shuffled_context", "ridge_pooled", "ridge_per_target", "empirical_bayes", "ridge_full"}
    assert set(table["method"]) == methods
    ev = seen["explained_variance"]
    assert min(ev["in_context", 12], ev["empirical_bayes", 12]) > ev["ridge_pooled", 12]
    assert abs(seen.loc[("shuffled_context", 24), "r"]) < 0.25
    about = load_sidecar(run.of("curve", "01"))["details"]
    assert {name: use["n_images"] for name, use in about["subjects"].items()} == {"03": 50, "04": 50}
    groups = {row["group"]: row for row in about["layers"]["draw1"]["fallbacks"]}
    assert groups["seen"]["in_context"] < 1
    for row in groups.values():
        assert row["falls_back"] == (row["taken"] != "in_context")
        assert row["taken"] == "ridge" or row[row["taken"]] < row["ridge"]


@pytest.fixture(scope="module")
def brief(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """The same study with a training of a few steps, after which whatever enters has left its trace; its network."""
    short = configured(run.study, n_steps=[0, 6, 2])
    path = str(tmp_path_factory.mktemp("brief") / Path(run.of("network", "01")).name)
    assert short.pretrain("01", path) == 0
    return short, path


@contextmanager
def stood_in(path: str) -> Iterator[Provenance]:
    """Give an artifact back its files afterwards; yield a provenance for what stands in for it."""
    about = load_sidecar(path)
    with kept(*artifact_files(path)):
        yield Provenance(about["stage"], about["settings"], "0", about["seed"])


@contextmanager
def others(run: Run, subject: str, test_only: bool) -> Iterator[None]:
    path = run.path("responses", subject=subject)
    before, splits = load(path, Responses), pd.read_parquet(run.path("splits", subject=subject))
    test = splits.loc[splits["split"] == "test", "trial_id"]
    rows = before.trials["trial_id"].isin(test).to_numpy() if test_only else np.ones(len(before.trials), dtype=bool)
    values = before.values.copy()
    values[rows] = 5 - 2 * values[rows][:, ::-1]
    with stood_in(path) as provenance:
        save(path, Responses(values, before.trials, before.targets, before.units), provenance)
        yield


@contextmanager
def other_features(run: Run) -> Iterator[None]:
    path = run.path("features", model="net")
    layer = load(path, Layers)["draw1"]
    values = layer.values.copy()
    values[layer.stimuli["stimulus_id"].isin(run.study.scenes["stimulus_id"][:14]).to_numpy()] = 77
    with stood_in(path) as provenance:
        save(path, Layers({"draw1": type(layer)(values, layer.stimuli, "draw1")}), provenance)
        yield


DISTURBED = {
    "the subject held out": (lambda run: others(run, "01", test_only=False), True),
    "test images of another": (lambda run: others(run, "03", test_only=True), True),
    "training images of another": (lambda run: others(run, "03", test_only=False), False),
    "features of test images": (other_features, True),
}


@pytest.mark.parametrize("what", DISTURBED)
def test_nothing_leaks_into_the_networks(brief: tuple[Run, str], tmp_path: Path, what: str) -> None:
    """Whatever the held-out subject or any test image does, the artifact is the same to the byte."""
    (run, undisturbed), (disturb, alike) = brief, DISTURBED[what]
    output = str(tmp_path / Path(undisturbed).name)
    with disturb(run):
        assert run.pretrain("01", output) == 0
    assert (Path(output).read_bytes() == Path(undisturbed).read_bytes()) is alike


def test_an_image_in_anyones_test_set_trains_nobody(brief: tuple[Run, str], tmp_path: Path, capsys) -> None:
    """The held-out subject may be tested on images that another one was to train on."""
    run, _ = brief
    path = run.path("splits", subject="01")
    before = pd.read_parquet(path)
    ids = before.loc[before["split"] == "train", "stimulus_id"].unique()
    output = str(tmp_path / Path(run.of("network", "01")).name)
    with stood_in(path) as provenance:
        for n_left in (48, 0):
            more = before["stimulus_id"].isin(ids[n_left:])
            save(path, before.assign(split=before["split"].where(~more, "test")), provenance)
            assert run.pretrain("01", output) == (0 if n_left else 2)
            if n_left:
                used = load_sidecar(output)["details"]["subjects"]
                assert [use["n_images"] for use in used.values()] == [n_left, n_left]
    assert "every training image of this subject is a test image of another one" in capsys.readouterr().err


def test_a_killed_pretraining_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that was finished is not trained again, and the artifact is that of an undisturbed run."""
    two = configured(run.study, seeds=[0, 1], n_steps=[0, 9, 3])
    output, whole = (str(tmp_path / name / Path(run.of("network", "01")).name) for name in ("killed", "whole"))
    assert two.pretrain("01", whole) == 0
    said, say = stopping(15, pretrain._say)
    monkeypatch.setattr(pretrain, "_say", say)
    with pytest.raises(KeyboardInterrupt):
        two.pretrain("01", output)
    assert two.pretrain("01", output) == 0
    assert [step[2:4] for step in said[15:]] == [(1, step) for step in range(1, 13)]
    assert Path(output).read_bytes() == Path(whole).read_bytes()


def test_mistakes_are_clear(run: Run, tmp_path: Path, fails) -> None:
    path = run.path("features", model="net")
    layer = load(path, Layers)["draw1"]
    kind, output = type(layer), str(tmp_path / Path(run.of("network", "01")).name)
    with stood_in(path) as provenance:
        save(path, Layers({"draw1": kind(layer.values[:, None], layer.stimuli, "draw1", (1, 1))}), provenance)
        fails("in-context encoding reads one vector per image", run.pretrain, "01", output)


def test_an_incomplete_report_knows_what_networks_rest_on(run: Run) -> None:
    """Networks of subject 01 are out of date once responses of another subject are."""

    def stages() -> set[str]:
        return {failure.stage for failure in failures_of(workflow.Run(run.config), "scenes", "01")}

    before = stages()
    assert not {"pretrain", "encode_held_out"} & before
    with others(run, "03", False):
        assert "pretrain" in stages()
        Path(run.path("responses", subject="03")).with_suffix(".json").unlink()
        assert "pretrain" in stages()
    assert stages() == before


def test_regions_are_asked_about_texts(run: Run, clip: str) -> None:  # noqa: F811
    """None of what a tiny model of images and texts says is beyond chance."""
    model = {"extractor": "vision", "weights": clip, "layers": ["visual_projection"]}
    queries = ["a face", "a house", "a hand"]
    method = {"text_queries": queries, "n_steps": [0, 6, 0], "n_components": 6, "fallback": False}
    texts = configured(run.study, model, "texts", subjects=["01", "03"], **method)
    texts.extract()
    texts.prepare("01", "03", "04")
    assert (texts.pretrain("01"), texts.encode("01")) == (0, 0)
    table = pd.DataFrame(load_sidecar(texts.of("curve", "01"))["details"]["layers"]["visual_projection"]["texts"])
    assert (table["chance"] > 0).all()
    assert table["selectivity"].abs().max() < 3 * table["chance"].max()


def test_the_page_and_what_a_changed_method_reruns(make_image_study, tmp_path: Path, capsys) -> None:
    """Of two subjects each is predicted by a network of the other; options of the curve train none again."""
    study = make_image_study(tmp_path / "scenes", n_images=64, n_test=14)
    write(study, np.random.default_rng(0).normal(size=(64, 3)), ("01", "03"))
    few = NETWORK | {"n_steps": [0, 6, 2], "subjects": ["01", "03"]}

    def changed(**method: object) -> Config:
        return ImageRun(study, {"models": {"net": RANDOM}, "methods": {"few": few | method}}).config

    config = changed()
    run_all(config, "extract", "prepare")
    run_all(config, "pretrain", "encode_held_out", "compare", "summarize_held_out", subjects=["01"])
    assert "draw1, seed 0: step 8 of 8, loss " in capsys.readouterr().out
    assert draw_page(config, "scenes", "01") == 0
    page = report_path(config.results, "scenes", "01").read_text()
    assert 'id="fewimages"' in page
    assert "and on nothing of subject 01" in page
    record = load_sidecar(artifact_path(config.results, "scenes", "network", subject="01", model="net", method="few"))
    assert {name.split("_")[0] for name in record["inputs"]} == {"sub-01", "sub-03", "model-net"}
    own = [name for name in record["inputs"] if name.startswith("sub-01")]
    assert own == ["sub-01_splits.parquet"]  # which images are in the test set, and nothing else
    fits = {"encode_held_out": 2, "summarize_held_out": 2, "report": 2, "report_group": 1}
    for changes, expected in (({}, {}), ({"sizes": [6, 12]}, fits), ({"n_steps": [0, 6, 3]}, fits | {"pretrain": 2})):
        assert reruns(asked(config), changed(**changes)) == expected
