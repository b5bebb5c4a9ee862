"""A lab's own numbers in, a page out: planted vectors are found in planted responses, and nowhere else."""

import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from dask.distributed import SchedulerPlugin
from jobs import config_of, run_all
from made import write_table, write_yaml
from refusals import refused
from sklearn.linear_model import RidgeCV

from brainalign.cli import main
from brainalign.config import BandedRidgeMethod, ClusterSettings, Config, load_config
from brainalign.io import Provenance, artifact_path
from brainalign.pipelines import run_job
from brainalign.pipelines.encode import left_out
from brainalign.pipelines.report.failures import failures_of
from brainalign.pipelines.report.report import shelf_of
from brainalign.regression import cluster
from brainalign.statistics import noise_ceiling_from_share, pearson
from brainalign.workflow import STEPS, Run, job_of, report_path

N, N_TEST, N_REPEATS = 48, 16, 3
TIMES = [-0.1, 0.0, 0.1, 0.2]
NAMES = [f"s{number}" for number in range(N)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stimuli of which nothing but ids is known; vectors in other order; units that follow them, and units that do not.
    Units of "02" do from 0.1 s on."""
    folder, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(8)
    write_table(folder / "stimuli.csv", stimulus_id=NAMES, test=["TRUE"] * N_TEST + ["FALSE"] * (N - N_TEST))
    vectors, order = rng.normal(size=(N, 4)), rng.permutation(N)
    with h5py.File(folder / "vectors.h5", "w") as file:
        file["stimulus_id"] = [NAMES[row] for row in order]
        file["planted"], file["other"] = vectors[order] * (1e-3, 1e-3, 1e-3, 100), rng.normal(size=(N, 4))
    shown = np.concatenate([rng.permutation(N) for _ in range(N_REPEATS)])
    write_table(folder / "trials.tsv", stimulus_id=np.array(NAMES)[shown], session=np.repeat(range(N_REPEATS), N))
    regions = ["seen"] * 10 + ["unseen"] * 10
    write_table(folder / "units.csv", target_id=[f"u{k}" for k in range(20)], roi=regions, **dict.fromkeys("xyz", 1.5))
    drive = vectors @ rng.normal(size=(4, 20)) * (np.arange(20) < 10)
    np.savez(folder / "rates.npz", rates=drive[shown] + rng.normal(size=(N_REPEATS * N, 20)), depth=np.zeros(3))
    late = drive[shown][:, :, None] * (np.array(TIMES) > 0.05)
    np.save(folder / "series.npy", late + rng.normal(size=(N_REPEATS * N, 20, 4)))
    shared = {"format": "array", "trials": "trials.tsv", "targets": "units.csv"}
    recorded = {"01": shared | {"values": "rates.npz", "key": "rates", "units": "spikes/s"}}
    recorded |= {"02": shared | {"values": "series.npy", "times_s": TIMES}}
    descriptor = {"name": "mine", "stimuli": "stimuli.csv", "recordings": recorded}
    descriptor |= {"splits": {"held": {"column": "test", "value": True}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(descriptor))
    own = {"extractor": "table", "file": str(folder / "vectors.h5")}
    draws = {"permutations": 100, "draws": 100}
    content = {"results": str(folder / "results"), "datasets": {"mine": {"descriptor": str(folder / "mine.yaml")}}}
    content |= {"models": {"mine": own, "onehot": {"extractor": "onehot"}}}
    content |= {"methods": {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}}, "encode": draws, "compare": draws}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    config = load_config(folder / "config.yaml")
    run_all(config)
    return config


def test_check_says_what_was_taken_for_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder / "config.yaml")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "models.mine: other (4 features), planted (4 features); ids: array stimulus_id of vectors.h5" in printed
    assert "no image was looked at" in printed
    assert printed.count("name them x_mm, y_mm, z_mm") == 2


def test_units_follow_the_vectors_that_drive_them_from_when_on_they_do(config: Config) -> None:
    fits = [{"subject": name, "model": "mine", "method": "ridge"} for name in ("01", "02")]
    alone, over_time = (pd.read_parquet(artifact_path(config.results, "mine", "scores", **fit)) for fit in fits)
    table, seen = alone.pivot(index="target_id", columns="layer", values="r"), [f"u{k}" for k in range(10)]
    assert table.loc[seen, "planted"].mean() > 0.8
    assert abs(table.loc[seen, "other"].mean()) < 0.35
    assert abs(table.drop(index=seen)["planted"].mean()) < 0.2
    planted = (over_time["layer"] == "planted") & over_time["target_id"].isin(seen)
    by_time = over_time[planted].groupby("time_s")["r"].mean()
    assert by_time[[0.1, 0.2]].min() > 0.7
    assert by_time[[-0.1, 0.0]].abs().max() < 0.25
    for subject in ("01", "02"):
        assert "no image was looked at" in report_path(config.results, "mine", subject).read_text()
    assert "sub-01 (array)" in (config.results / "mine" / "group.html").read_text()


def test_groups_of_stimuli_of_one_run_are_left_out(folder: Path, tmp_path: Path, capsys) -> None:
    """By a column of the table of stimuli; what a study left before it held stimuli out is of no use to its pages."""
    shutil.copy(folder / "units.csv", tmp_path)
    trials = pd.read_csv(folder / "trials.tsv", sep="\t").assign(session=0)
    kept = (trials.index < 2 * N) | trials["stimulus_id"].isin(NAMES[::2])  # every other stimulus is shown twice
    trials[kept].to_csv(tmp_path / "trials.csv", index=False)
    np.savez(tmp_path / "rates.npz", rates=np.load(folder / "rates.npz")["rates"][kept])
    files = {"format": "array", "values": "rates.npz", "key": "rates", "trials": "trials.csv", "targets": "units.csv"}
    models = {"mine": {"extractor": "table", "file": str(folder / "vectors.h5")}}

    def of(n_kinds: int, split: dict[str, object]) -> Config:
        shown = pd.read_csv(folder / "stimuli.csv").assign(kind=[f"k{k % n_kinds}" for k in range(N)])
        shown.to_csv(tmp_path / "stimuli.csv", index=False)
        study = {"name": "mine", "stimuli": "stimuli.csv", "recordings": {"01": files}, "splits": {"kinds": split}}
        few = {"encode": {"permutations": 60}, "compare": {"permutations": 60}}
        return config_of(write_yaml(tmp_path / "mine.yaml", study), models=models, **few)

    config = of(24, {"leave_out": "kind"})
    assert main(["check", str(tmp_path / "mine.yaml")]) != 0
    assert "and 21 more hold fewer than 3 stimuli" in " ".join(capsys.readouterr().out.replace("│", "").split())
    config = of(6, {"leave_out": "kind"})
    assert main(["check", str(tmp_path / "mine.yaml")]) == 0
    run_all(config)
    tables = {"splits": {}, "ceiling": {}, "scores": {"model": "mine", "method": "ridge"}}
    places = [artifact_path(config.results, "mine", suffix, subject="01", **of) for suffix, of in tables.items()]
    splits, ceiling, scores = map(pd.read_parquet, places)
    test = splits[splits["split"] == "test"]
    assert sorted(test.groupby("fold")["group"].unique().str.join("")) == [f"k{k}" for k in range(6)]
    table, seen = scores[scores["layer"] == "planted"].set_index("target_id")["r"], [f"u{k}" for k in range(10)]
    assert table[seen].mean() > 0.6
    assert abs(table.drop(seen).mean()) < 0.1
    ceilings = ceiling.set_index("target_id")["ceiling"]
    limit = noise_ceiling_from_share(ceilings, np.tile([N_REPEATS, 2], N // 2))
    assert scores[scores["layer"] == "planted"].set_index("target_id")["ceiling"].to_numpy() == pytest.approx(limit)
    assert ceilings[seen].mean() > 0.5 > 10 * abs(ceilings.drop(seen).mean())
    with patch.object(left_out, "evaluate", wraps=left_out.evaluate) as evaluated:
        run_all(of(8, {"leave_out": "kind", "folds": 2}), "prepare", "encode")
    assert {*evaluated.call_args.kwargs["wholes"]} == {f"k{k}" for k in range(8)}  # exchanged as wholes
    run = Run(of(6, {"column": "test", "value": True}))
    failures = failures_of(run, "mine", "01")
    assert {"encode", "summarize"} <= {failure.stage for failure in failures}
    labels = {"dataset": "mine", "subject": "01"}
    assert shelf_of(run, labels, Provenance("report", {}, 0), failures).fetch("summary", pd.DataFrame) is None


def test_penalties_suit_stimuli_that_are_left_out(folder: Path, tmp_path: Path) -> None:
    """Not what else repeats in all runs, on which features have no bearing: as those of scikit-learn on averages."""
    rng, trials = (
        np.random.default_rng(3),
        pd.read_csv(folder / "trials.tsv", sep="\t").rename(columns={"session": "run"}),
    )
    vectors, rows = rng.normal(size=(N, 30)), [NAMES.index(name) for name in trials["stimulus_id"]]
    answers = (vectors @ rng.normal(size=(30, 40)) / 30**0.5 + 2 * rng.normal(size=(N, 40)))[rows]
    answers += 0.5 * rng.normal(size=answers.shape)
    np.save(tmp_path / "rates.npy", answers)
    np.savez(tmp_path / "wide.npz", layer=vectors, stimulus_id=NAMES)
    trials.to_csv(tmp_path / "trials.csv", index=False)
    study = {"name": "mine", "stimuli": str(folder / "stimuli.csv")}
    study |= {"recordings": {"01": {"format": "array", "values": "rates.npy", "trials": "trials.csv"}}}
    path = write_yaml(tmp_path / "mine.yaml", study | {"splits": {"parts": {"leave_out": "stimulus", "folds": 6}}})
    models = {"mine": {"extractor": "table", "file": str(tmp_path / "wide.npz")}}
    run_all(config := config_of(path, models=models, encode={"permutations": 9}), "prepare", "extract", "encode")
    tables = {"splits": {}, "scores": {"model": "mine", "method": "ridge"}}
    splits, scores = (
        pd.read_parquet(artifact_path(config.results, "mine", suffix, subject="01", **of))
        for suffix, of in tables.items()
    )
    means, of_folds = np.stack([answers[np.equal(rows, k)].mean(axis=0) for k in range(N)]), []
    for _, fold in splits[splits["split"] == "test"].groupby("fold"):
        test = np.isin(NAMES, fold["group"])
        fitted = RidgeCV(np.logspace(-1, 5, 13), alpha_per_target=True).fit(vectors[~test], means[~test])
        of_folds.append(pearson(fitted.predict(vectors[test]), means[test]))
    assert scores["r"].mean() > np.mean(of_folds) - 0.03 > 0.1


@pytest.mark.parametrize("lacking", [True, False])
def test_ceilings_of_trials_leave_out_what_runs_add(lacking: bool, folder: Path, tmp_path: Path) -> None:
    """Also where the last of three runs lacks every other stimulus."""
    trials = pd.read_csv(folder / "trials.tsv", sep="\t").rename(columns={"session": "run"})
    kept = (trials["run"] < 2) | trials["stimulus_id"].isin(NAMES[:: 1 + lacking])
    trials[kept].to_csv(tmp_path / "trials.csv", index=False)
    files = {"format": "array", "values": "rates.npz", "trials": "trials.csv"}
    study = {"name": "mine", "stimuli": str(folder / "stimuli.csv"), "splits": {"runs": {"leave_out": "run"}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study | {"recordings": {"01": files}}))
    found = []
    for shift in (0, 9):
        shifted = np.load(folder / "rates.npz")["rates"] + shift * trials["run"].to_numpy()[:, None]
        np.savez(tmp_path / "rates.npz", rates=shifted[kept])
        run_all(config := config_of(tmp_path / "mine.yaml", models={"onehot": {"extractor": "onehot"}}), "prepare")
        found.append(pd.read_parquet(artifact_path(config.results, "mine", "ceiling", subject="01")))
    ceilings = found[0]["ceiling"]
    assert ceilings[:10].mean() > 0.5 > 10 * abs(ceilings[10:].mean())
    pd.testing.assert_frame_equal(*found, rtol=1e-4, atol=1e-4)


class Fits(SchedulerPlugin):
    """Counts the shards that workers fitted."""

    n = 0

    def transition(self, key: Any, start: str, finish: str, *_: object, **__: object) -> None:
        self.n += finish == "memory" and key.startswith("fit_shard")


@pytest.mark.parametrize("subject", ["01", "02"])
def test_workers_fit_from_disk_what_one_process_fits(config: Config, subject: str, tmp_path: Path) -> None:
    of = {"dataset": "mine", "subject": subject, "model": "mine", "method": "ridge"}
    with cluster(n_workers=1, processes=False) as client:
        fits = Fits()
        client.cluster.scheduler.add_plugin(fits)
        shared = ClusterSettings(where=client.scheduler.address)
        job = job_of(Run(config.model_copy(update={"cluster": shared})), STEPS["encode_held_out"], of)
        alone, job.outputs = job.outputs, {name: tmp_path / path.name for name, path in job.outputs.items()}
        assert run_job(job) == 0
    assert fits.n == 4  # of two layers and their controls
    for name in ("scores", "profile", "null"):
        found, expected = pd.read_parquet(job.outputs[name]), pd.read_parquet(alone[name])
        pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("copied", [False, True])
def test_responses_on_disk_are_gone_when_they_are_saved_or_refused(config: Config, copied, tmp_path: Path) -> None:
    """A trial of a test stimulus that is also one of a training stimulus is found after responses are written."""
    folder = config.datasets["mine"].descriptor.parent
    rates, trials = np.load(folder / "rates.npz")["rates"], pd.read_csv(folder / "trials.tsv", sep="\t")
    first, tested = (trials["session"] == 0).to_numpy(), trials["stimulus_id"].isin(NAMES[:N_TEST]).to_numpy()
    trained, tested = first & ~tested, first & tested
    if copied:
        rates[np.flatnonzero(trained)[0]] = rates[np.flatnonzero(tested)[0]]
    np.save(tmp_path / "rates.npy", rates)
    study = yaml.safe_load((folder / "mine.yaml").read_text())
    for name in ("stimuli.csv", "trials.tsv", "units.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    files = {"format": "array", "values": "rates.npy", "trials": "trials.tsv", "targets": "units.csv"}
    descriptor = write_yaml(tmp_path / "mine.yaml", study | {"recordings": {"01": files}})
    datasets = {"mine": config.datasets["mine"].model_copy(update={"descriptor": descriptor})}
    run = Run(config.model_copy(update={"results": tmp_path / "results", "datasets": datasets}))
    job = job_of(run, STEPS["prepare"], {"dataset": "mine", "subject": "01"})
    assert (run_job(job) == 0) != copied
    assert job.outputs["responses"].exists() != copied
    assert not [*(tmp_path / "results").rglob("*.npy")]


def test_workers_without_work_are_refused(config: Config) -> None:
    other = config.model_copy(update={"cluster": "dask", "methods": {"ridge": BandedRidgeMethod(encoder="banded")}})
    refused("cluster: workers share ridge on images held out, which no dataset here has", Run, other)
    with pytest.raises(ValueError, match="has workers of its own"):
        ClusterSettings(where="tcp://a:1", workers=3)
