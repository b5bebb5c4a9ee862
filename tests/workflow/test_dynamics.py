"""Videos with a model of the user's own: a tiny world, its tables, its page, what stops it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import asked, config_of, reruns, run_all, run_step
from made import write_yaml
from PIL import Image
from refusals import refused
from safetensors.numpy import save_file
from seeded.recorded import Record

from brainalign.arrays import Arrays
from brainalign.config import Config, load_descriptors
from brainalign.datasets import audit_study, read_neural, read_videos
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.simulation import OccludedBall, occluded_ball
from brainalign.study import load_descriptor
from brainalign.workflow import jobs, report_path

MODEL = '''
"""Where the ball is, and where it will be."""
from brainalign.simulation import ball_features, ball_future


class Follower:
    features, simulate = staticmethod(ball_features), staticmethod(ball_future)


def build(seed):
    return Follower()


class Modules:
    def features(self, frames):
        seen = ball_features(frames)
        return {"place": seen[..., :2], "motion": seen[..., 2:]}


def nothing():
    return 3
'''


@pytest.fixture(scope="module")
def world() -> OccludedBall:
    return occluded_ball(24, 18, 8, 4, n_videos=40, n_silent=1, noise=0.5, seed=6)


NEURAL = {"format": "neural", "neural": "neural.safetensors"}


def write_study(folder: Path, world: OccludedBall, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "ball.npz", frames=world.frames, visible=world.visible)
    save_file({"frames": world.training_frames}, folder / "training.safetensors")
    save_file({"neural": world.neural}, folder / "neural.safetensors")
    (folder / "follower.py").write_text(MODEL)
    content = {"name": "ball", "title": "A ball <b>behind</b> a curtain", "stimuli": "ball.npz", "frame_s": 0.05}
    content |= {"recordings": {"1": NEURAL | {"regions": {"front": [0, 5], "rear": [5, 8]}}}}
    content |= {"training": "training.safetensors"} | changes
    return write_yaml(folder / "ball.yaml", content)


def configured(descriptor: Path, function: str = "build", **options: object) -> Config:
    model = {"function": f"{descriptor.parent / 'follower.py'}:{function}", "heads": ["mlp"]}
    quick = {"models": {"follower": model}, "training_steps": 120, "width": 24, "permutations": 40}
    return config_of(descriptor, models={"onehot": {"extractor": "onehot"}}, dynamics=quick | options)


def run_rollout(descriptor: Path, function: str = "build", **options: object) -> tuple[int, Path]:
    config = configured(descriptor, function, **options)
    path = artifact_path(config.results, "ball", "rollouts", model="follower")
    settings, labels = {"dynamics": config.dynamics.of_rollout("follower")}, {"model": "follower"}
    inputs = {"descriptor": descriptor}
    return run_step("rollout", settings, inputs=inputs, outputs={"rollouts": path}, labels=labels), path


def test_a_users_model_goes_through_the_workflow(tmp_path: Path, world) -> None:
    config = configured(write_study(tmp_path, world))
    assert [job.rule for job in jobs(config)] == ["rollout", "dynamics", "report"]
    run_all(config)
    scores = load(artifact_path(config.results, "ball", "dynamics", subject="1"), pd.DataFrame)
    rows = scores.set_index(["region", "epoch", "name"]).sort_index()["r_normalized"]
    for region in ("front", "rear"):
        assert rows[region, "occluded", "simulate"] > 0.85
        assert rows[region, "occluded", "simulate"] > rows[region, "occluded", "mlp"] - 0.05
        for control in ("hold last", "frames as shown", "time alone"):
            assert rows[region, "occluded", control] < rows[region, "occluded", "simulate"] - 0.15
        assert np.ptp(rows.loc[region, "visible"].drop("time alone")) < 1e-9  # one encoder
    page = report_path(config.results, "ball", "1").read_text()
    assert "follower with simulate is not told apart from linear regression on the same frames (.880;" in page
    assert "left out (of six or more): follower with mlp .3. Beside them stand linear regression on the same" in page
    assert "A ball &lt;b&gt;behind" in page
    assert "front, hidden frames: follower with simulate predicts 5 neurons" in page
    assert reruns(asked(config), config, tmp_path / "follower.py") == {"rollout": 1, "dynamics": 1, "report": 1}


def test_modules_are_kept_apart_and_features_are_theirs(tmp_path: Path, world) -> None:
    """Several modules, and dynamics learned from the frames that are shown where there are no other videos."""
    code, path = run_rollout(write_study(tmp_path, world, training=None), "Modules", context=5, training_steps=5)
    assert code == 0
    arrays, record = load(path, Arrays), load_sidecar(path)["details"]
    assert record["trained_on"] == "the shown frames of the same videos"
    assert {row["module"] for row in record["rows"]} == {"place", "motion"}
    assert set(arrays) == {row["name"] for row in record["rows"]}
    seen = arrays["place: frames as shown"]
    for row in record["rows"]:
        assert arrays[row["name"]].shape == (24, 18, 2)
    np.testing.assert_array_equal(arrays["place: mlp"][world.visible], seen[world.visible])
    np.testing.assert_array_equal(arrays["place: hold last"][0, -1], seen[0, world.visible[0].sum() - 1])


def test_videos_in_which_all_is_shown_compare_features_alone(tmp_path: Path, world) -> None:
    descriptor = write_study(tmp_path, world, training=None)
    np.savez(tmp_path / "ball.npz", frames=world.frames)
    code, path = run_rollout(descriptor, components=3)
    assert (code, load(path, Arrays)["frames as shown"].shape) == (0, (24, 18, 3))  # of four
    assert [row["role"] for row in load_sidecar(path)["details"]["rows"]] == ["model"]
    names = ("dynamics", "dynamicsneurons", "dynamicsfolds", "dynamicsmovies")
    outputs = {name: artifact_path(tmp_path, "ball", name, subject="1") for name in names}
    settings = {"dynamics": {"permutations": 19, "folds": 3}, "confidence": 0.95}
    inputs = {"descriptor": descriptor, "rollouts": path}
    assert run_step("dynamics", settings, inputs=inputs, outputs=outputs, labels={"subject": "1"}, seed=4) == 0
    scores = load(outputs["dynamics"], pd.DataFrame)
    assert (set(scores["epoch"]), set(scores["name"])) == ({"visible"}, {"frames as shown", "time alone"})
    assert scores["low"].isna().all()
    tables = {name: load(outputs[name], pd.DataFrame) for name in names}
    about = load_sidecar(outputs["dynamics"])["details"]
    Record(Path(__file__).parent / "recorded_stages.json").check("dynamics", tables | {"about": about})


def test_mistakes_end_with_one_message(tmp_path: Path, world, capsys) -> None:
    for function, message in (
        ("nothing", "returned int, which has no method features"),
        ("bild", "has no function 'bild' (did you mean 'build'?)"),
    ):
        assert run_rollout(write_study(tmp_path, world), function)[0] == 2
        assert message in capsys.readouterr().err


def test_folders_of_images_are_videos(tmp_path: Path, world) -> None:
    for condition in range(3):
        (tmp_path / f"c{condition}").mkdir()
        for time in range(5):
            Image.fromarray(world.frames[condition, time]).save(tmp_path / f"c{condition}" / f"{time:03d}.png")
    found = read_videos(tmp_path)
    assert found.frames.shape == (3, 5, 20, 20, 3)
    np.testing.assert_array_equal(found.frames[2, 4, :, :, 0], world.frames[2, 4])
    (tmp_path / "visible.csv").write_text("1,1,1,0,0\n1,1,1,1,0\n1,1,1,1,1\n")
    assert read_videos(tmp_path).visible.sum(axis=1).tolist() == [3, 4, 5]
    (tmp_path / "c1" / "004.png").unlink()
    refused(r"as many images as the others; got \{'c0': 5, 'c1': 4", read_videos, tmp_path)


def test_the_audit_and_the_plan_know_videos(tmp_path: Path, world) -> None:
    descriptor = load_descriptor(write_study(tmp_path, world))
    found = audit_study(descriptor)
    assert not found.problems
    assert f"{(~world.visible).sum():,} of 432 frames hidden" in found.facts
    assert read_neural(descriptor, "1").shape == world.neural.shape
    recorded = {"1": NEURAL | {"regions": {"rear": [5, 9]}}}
    (problem,) = audit_study(load_descriptor(write_study(tmp_path, world, recordings=recorded))).problems
    assert "ends before neuron 9, but neural.safetensors has 8" in str(problem)
    without = config_of(write_study(tmp_path, world), models={"onehot": {"extractor": "onehot"}}, dynamics={})
    refused("dynamics.models names no model", load_descriptors, without)


def test_what_would_stop_dynamics_is_found_before(tmp_path: Path, world) -> None:
    path = write_study(tmp_path, world)

    def load(**options: object) -> None:
        load_descriptors(configured(path, **options))

    load(folds=24, context=17)  # learned from other videos
    refused(r"datasets.ball: dynamics: folds must be 2 to .*\(24\); got 25", load, folds=25)
    write_study(tmp_path, world, training=None)
    shown = int((~world.visible).argmax(axis=1)[(~world.visible).any(axis=1)].min())
    load(context=shown - 1)
    refused(f"conditions show {shown} frames before the first hidden one", load, context=shown)
