import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import write_yaml
from refusals import Trap, refused
from safetensors.numpy import save_file

from brainalign import datasets
from brainalign.datasets import drop_tested_concepts, read_subject, read_things_epochs, things_image_rows
from brainalign.datasets.published import concept_splits
from brainalign.datasets.studies import check_modality_splits, read_modalities
from brainalign.datasets.studies.modalities import _table
from brainalign.simulation import Modality, shared_space, write_modalities
from brainalign.study import Study, load_descriptor, parse
from brainalign.workflow.estimates import _held_mb

CHANNELS, TIMES = ["Pz", "O1", "O2"], np.linspace(-0.2, 0.79, 10)
PARTS = {"training": "train", "test": "test"}


class Things:
    """Four training concepts with two images, two test concepts with one; "kiwi" is in both where asked."""

    def __init__(self, root, *, shared: bool = False) -> None:
        self.root, self.images = root / "data", root / "images"
        self.training = {"00001_apple": 2, "00002_kiwi" if shared else "00002_bat": 2, "00003_car": 2, "00010_axe": 2}
        self.test = {"00001_kiwi": 1, "00002_zebra": 1}
        for partition, concepts in (("training", self.training), ("test", self.test)):
            for folder, n in concepts.items():
                place = self.images / f"{partition}_images" / folder
                place.mkdir(parents=True)
                for k in range(n):
                    name = folder.split("_")[1]
                    (place / f"{name}_{'ba'[k] if n > 1 else 'z'}.jpg").write_bytes(f"{name}{k}{partition}".encode())
        rng = np.random.default_rng(0)
        self.values = {"training": rng.normal(size=(8, 2, 3, 10)), "test": rng.normal(size=(2, 5, 3, 10))}
        (self.root / "sub-01").mkdir(parents=True)

    def content(self, partition, key="preprocessed_eeg_data", **changes):
        return {key: self.values[partition], "ch_names": CHANNELS, "times": TIMES} | changes

    def write_eeg2(self, how="npy", **changes) -> None:
        for partition in ("training", "test"):
            path = self.root / "sub-01" / f"preprocessed_eeg_{partition}.npy"
            content = self.content(partition, **changes)
            if how == "npy":
                np.save(path, content, allow_pickle=True)
            else:  # some preprocessing writes the dictionary itself under this name
                path.write_bytes(pickle.dumps(content))

    def write_meg(self, test="preprocessed_meg_zs_test.pkl", values=None) -> None:
        for partition, name in (("training", "preprocessed_meg_training.pkl"), ("test", test)):
            content = {"meg_data": (values or self.values)[partition], "ch_names": CHANNELS, "times": TIMES}
            (self.root / "sub-01" / name).write_bytes(pickle.dumps(content))

    def read(self, **options):
        given = {"release": "eeg2", "images": self.images, "trust_pickle": True} | options
        return read_things_epochs(self.root, "01", **given)


@pytest.fixture
def things(tmp_path) -> Things:
    return Things(tmp_path)


def test_rows_are_concept_then_file(things) -> None:
    rows = things_image_rows(things.images, "training")
    assert rows["stimulus_id"].tolist() == ["apple_a", "apple_b", "bat_a", "bat_b", "car_a", "car_b", "axe_a", "axe_b"]
    assert rows["concept"].tolist() == ["apple", "apple", "bat", "bat", "car", "car", "axe", "axe"]
    assert rows["sha256"].nunique() == 8
    assert rows["sha256"].str.len().eq(64).all()
    assert things_image_rows(things.images, "training", hashes=False)["sha256"].tolist() == [""] * 8
    metadata = {"train_img_concepts": ["00001_apple", "00002_bat"], "train_img_files": ["apple_a.jpg", "bat_a.jpg"]}
    metadata |= {"test_img_concepts": ["00001_kiwi"], "test_img_files": ["kiwi_z.jpg"]}
    path = things.root / "image_metadata.npy"
    np.save(path, metadata, allow_pickle=True)
    assert things_image_rows(path, "training", trust_pickle=True)["stimulus_id"].tolist() == ["apple_a", "bat_a"]
    refused("give trust_pickle=True", things_image_rows, path, "training")
    (things.images / "training_images" / "00003_car" / "bat_a.jpg").write_bytes(b"x")
    refused(r"1 names of images are there twice \(bat_a\)", things_image_rows, things.images, "training")
    refused(r"training_images: no such file", things_image_rows, things.root, "training")


@pytest.mark.parametrize("how", ["npy", "pickle"])
def test_epochs_of_eeg2(things, how) -> None:
    things.write_eeg2(how)
    published = things.read()
    responses, trials = published.responses, published.responses.trials
    assert (responses.values.shape, responses.values.dtype) == ((8 * 2 + 2 * 5, 3, 10), np.float32)
    np.testing.assert_allclose(responses.times, TIMES)
    assert responses.targets["target_id"].tolist() == CHANNELS
    images = {"training": "apple_a apple_b bat_a bat_b car_a car_b axe_a axe_b", "test": "kiwi_z zebra_z"}
    for partition, names in images.items():
        for condition, name in enumerate(names.split()):
            rows = trials["stimulus_id"].eq(name).to_numpy()
            np.testing.assert_allclose(responses.values[rows], things.values[partition][condition], rtol=1e-6)
            assert trials["repeat"][rows].tolist() == list(range(1, things.values[partition].shape[1] + 1))
            assert set(trials["partition"][rows]) == {partition}
    assert trials["sha256"].str.len().eq(64).all()
    split = published.splits.set_index("trial_id")["split"]
    assert split[trials["trial_id"]].eq("test").tolist() == trials["partition"].eq("test").tolist()
    assert set(published.splits["group"]) == {"apple", "bat", "car", "axe", "kiwi", "zebra"}
    assert trials.attrs["n_dropped_concepts"] == 0


@pytest.mark.parametrize("test", ["preprocessed_meg_test.pkl", "preprocessed_meg_zs_test.pkl"])
def test_epochs_of_meg_without_tested_concepts(tmp_path, test) -> None:
    things = Things(tmp_path, shared=True)
    # Files of every concept lose the tested one; files that lost it before are matched with the images that are left.
    for kept, shape in ((slice(None), (8, 2)), ([0, 1, 4, 5, 6, 7], (3, 2, 2))):
        training = things.values["training"][kept]
        things.write_meg(test, {"training": training.reshape(*shape, 3, 10), "test": things.values["test"]})
        published = things.read(release="meg")
        trials = published.responses.trials
        assert sorted(set(trials["concept"][trials["partition"] == "training"])) == ["apple", "axe", "car"]
        assert trials.attrs["n_dropped_concepts"] == (1 if kept == slice(None) else 0)
        for condition, name in ((0, "apple_a"), (4, "car_a"), (7, "axe_b")):
            found = published.responses.values[trials["stimulus_id"].eq(name).to_numpy()]
            np.testing.assert_allclose(found, things.values["training"][condition], rtol=1e-6)
        assert published.splits.groupby("group")["split"].nunique().max() == 1


def test_training_trials_of_tested_concepts_are_dropped(things) -> None:
    things.write_eeg2()
    responses = things.read().responses
    tested = responses.trials["stimulus_id"].isin(["kiwi_z", "bat_b"])
    mixed = replace(responses, trials=responses.trials.assign(partition=np.where(tested, "test", "training")))
    kept = drop_tested_concepts(mixed)
    assert kept.trials["concept"].nunique() == 6
    assert set(kept.trials["stimulus_id"][kept.trials["concept"] == "bat"]) == {"bat_b"}
    assert len(kept.trials) == len(mixed.trials) - 2  # two repeats of bat_a
    assert kept.trials.attrs["n_dropped_concepts"] == 1
    assert concept_splits(kept.trials).groupby("group")["split"].nunique().max() == 1
    for wrong, message in (("exp", "0 trials are tested and 26 are left"), ("test", "26 trials are tested and 0 are")):
        refused(message, drop_tested_concepts, replace(responses, trials=responses.trials.assign(partition=wrong)))
    lacking = replace(responses, trials=responses.trials.drop(columns="partition"))
    refused("no column .partition", drop_tested_concepts, lacking)


@pytest.mark.parametrize("release", ["eeg2", "meg"])
def test_nothing_is_unpickled_before_it_is_trusted(things, tmp_path, release) -> None:
    names = {"eeg2": "preprocessed_eeg_training.npy", "meg": "preprocessed_meg_training.pkl"}
    (things.root / "sub-01" / names[release]).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(r"pickle can run any program .* give trust_pickle=True", things.read, release=release, trust_pickle=False)
    assert not (tmp_path / "sprung").exists()


def test_flat_and_nan_channels_and_wrong_contents_are_named(things) -> None:
    refused(r"preprocessed_eeg_training.npy: no such file", things.read)
    things.write_eeg2(key="eeg")
    refused("lacks preprocessed_eeg_data; it has eeg, ch_names, times", things.read)
    things.write_eeg2(ch_names=CHANNELS[:2])
    refused(r"of shape \(8, 2, 3, 10\); expected numbers .* 2 channels, 10 times", things.read)
    things.write_eeg2()
    extra = things.images / "training_images" / "00003_car" / "car_c.jpg"
    extra.write_bytes(b"c")
    refused(r"has 8 conditions or images but .*, training, has 9", things.read)
    extra.unlink()
    path = things.root / "sub-01" / "preprocessed_eeg_test.npy"
    np.save(path, things.content("test", ch_names=["Pz", "O2", "O1"]), allow_pickle=True)
    refused(r"has 3 channels at 10 times but .* or others of the same number", things.read)
    path.write_bytes(path.read_bytes()[:300])
    refused("cannot be unpickled", things.read)
    refused("release must be one of 'eeg2', 'meg'", things.read, release="eeg3")
    things.values["test"][1, 2, 0, 3] = np.nan
    for values in things.values.values():
        values[:, :, 2] = 0
    things.write_eeg2()
    refused(r"1 channels hold NaN and 1 are flat \(Pz, O2\)", things.read)
    responses = things.read(bad_channels="drop").responses
    assert (responses.targets["target_id"].tolist(), responses.targets.attrs["n_dropped"]) == (["O1"], 2)


@pytest.mark.parametrize("release", ["eeg2", "meg"])
def test_a_study_of_modalities_takes_a_release(things, tmp_path, release) -> None:
    {"eeg2": things.write_eeg2, "meg": things.write_meg}[release]()
    parts = [things_image_rows(things.images, part).assign(split=side) for part, side in PARTS.items()]
    pd.concat(parts).to_csv(tmp_path / "stimuli.csv", index=False)
    recorded = {"format": f"things_{release}", "modality": "m", "folder": "data", "images": "images"}
    recorded |= {"participants": ["01"], "trust_pickle": True}
    content = {"name": "things", "folder": tmp_path, "stimuli": "stimuli.csv", "recordings": {"all": recorded}}
    found, expected = read_modalities(parse(Study, content, "test")), things.read(release=release).responses
    np.testing.assert_array_equal(found.signals["m"], expected.values)
    trials = found.trials["m"]
    assert trials["stimulus_id"].tolist() == expected.trials["stimulus_id"].tolist()
    assert trials["split"].tolist() == expected.trials["partition"].map(PARTS).tolist()
    assert (set(trials["subject"]), set(trials["task"])) == ({"01"}, {"viewing"})


def test_ids_are_text_in_every_kind_of_table_and_plans_know_the_size_of_files(tmp_path: Path) -> None:
    pd.DataFrame({"stimulus_id": [1, 2]}).to_parquet(tmp_path / "ids.parquet")
    assert _table(tmp_path / "ids.parquet", ["stimulus_id"])["stimulus_id"].tolist() == ["1", "2"]
    (tmp_path / "signals.npy").write_bytes(bytes(2**21))
    assert _held_mb(SimpleNamespace(inputs=lambda: [tmp_path, tmp_path / "signals.npy"])) == 16


def write_raw(things, **changes) -> dict[str, list[int]]:
    """Write two sessions of raw EEG with a bump 100 ms after each onset, as high as the number of the condition."""
    rng = np.random.default_rng(3)
    shown: dict[str, list[int]] = {"training": [], "test": []}
    for session in (1, 2):
        for partition, n in (("training", 8), ("test", 2)):
            order = [*rng.permutation(np.arange(1, n + 1)).tolist(), 99999, *([1, 2] if partition == "test" else [])]
            values = np.zeros((3, 1500 + 1500 * len(order)))
            for k, number in enumerate(order):
                onset = 1000 + 1500 * k
                values[2, onset] = number
                values[:2, onset + 100 : onset + 200] = 1e-6 * number if number != 99999 else 1e-3
            values[1] *= -1
            shown[partition] += [number for number in order if number != 99999]
            content = {"raw_eeg_data": values, "ch_names": ["Pz", "Oz", "stim"], "ch_types": ["eeg", "eeg", "stim"]}
            content |= {"sfreq": 1000, "highpass": 0.01, "lowpass": 100}
            place = things.root / "sub-01" / f"ses-{session:02d}"
            place.mkdir(exist_ok=True)
            np.save(place / f"raw_eeg_{partition}.npy", content | changes, allow_pickle=True)
    return shown


def read_raw(things, **options):
    given = {"trust_pickle": True, "sessions": (1, 2), "band_hz": None, "decimate": 1, "tmax": 0.4} | options
    return datasets.read_things_eeg2_raw(things.root, "1", images=things.images, **given)


def test_raw_eeg2_is_cut_at_its_conditions(things) -> None:
    shown, published = write_raw(things), read_raw(things)
    responses, trials = published.responses, published.responses.trials
    names = {part: things_image_rows(things.images, part)["stimulus_id"].tolist() for part in ("training", "test")}
    expected = [names[part][number - 1] for part in ("training", "test") for number in shown[part]]
    assert trials["stimulus_id"].tolist() == expected
    numbers = np.array(shown["training"] + shown["test"])
    bumps = responses.values[:, :, (responses.times >= 0.1) & (responses.times < 0.1995)]
    np.testing.assert_allclose(bumps, (numbers[:, None] * [1, -1])[:, :, None] * np.ones(bumps.shape), rtol=1e-5)
    assert not responses.values[:, :, responses.times < 0.0995].any()
    assert responses.units == "µV"
    assert trials["session"].tolist() == ["1"] * 8 + ["2"] * 8 + ["1"] * 4 + ["2"] * 4
    assert published.splits["split"].value_counts().to_dict() == {"train": 16, "test": 8}
    assert trials["repeat"].tolist()[:16] == [1] * 8 + [2] * 8
    assert read_raw(things, band_hz=(0.5, 40.0), decimate=4).responses.values.shape[2] == 151
    refused(r"ses-03.*no such file|no .*ses-03", read_raw, things, sessions=(1, 3))
    (things.images / "test_images" / "00002_zebra" / "zebra_z.jpg").unlink()
    refused(r"raw_eeg_test.npy: conditions 2, but there are 1 images", read_raw, things)
    write_raw(things, ch_types=["eeg", "eeg", "eeg"])
    refused("0 channels of type stim", read_raw, things)
    write_raw(things, ch_types=["eeg", "stim"])
    refused(r"raw_eeg_data has shape .* 3 names and 2 types", read_raw, things)


@pytest.mark.parametrize("release", ["eeg2", "eeg2_raw"])
def test_a_descriptor_names_the_release(things, tmp_path, release) -> None:
    """Responses to images as the readers give them, between the times that are asked for; pickles must be trusted."""
    parts = [things_image_rows(things.images, part).assign(set=part) for part in ("training", "test")]
    pd.concat(parts).to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
    recorded = {"format": "things_epochs", "release": release, "root": "data", "participant": "01", "images": "images"}
    recorded |= {"trust_pickle": True, "sessions": [1, 2]}
    content = {"name": "things", "folder": tmp_path, "stimuli": "stimuli.tsv", "recordings": {"01": recorded}}
    content |= {"splits": {"held": {"column": "set", "value": "test"}}, "epochs": {"tmin_s": -0.1, "tmax_s": 0.3}}
    if release == "eeg2":
        things.write_eeg2()
        expected = things.read().responses
        expected = replace(expected, values=expected.values[..., 1:5], times=expected.times[1:5])
    else:
        write_raw(things)
        expected = read_raw(things, tmin=-0.1, tmax=0.3, baseline=None).responses
    read = read_subject(parse(Study, content, "test"), "01")
    np.testing.assert_allclose(read.times, expected.times)
    np.testing.assert_array_equal(read.values, expected.values)
    assert read.trials["stimulus_id"].tolist() == expected.trials["stimulus_id"].tolist()
    content["recordings"]["01"]["trust_pickle"] = False
    refused("trust_pickle", read_subject, parse(Study, content, "test"), "01")


SMALL = (Modality("eeg", 2, 4, 8, 0.3, 3), Modality("fmri", 2, 10, 0, 0.4, 2))


def study(folder: Path, **changed: Any) -> Study:
    recordings = {}
    for subject in ("eeg01", "eeg02", "fmri01", "fmri02"):
        place = f"{subject[:-2]}/{subject}"
        recordings[subject] = {"format": "arrays", "modality": subject[:-2], "signals": f"{place}.npy"}
        recordings[subject]["trials"] = f"{place}_trials.csv"
    content = {"name": "small", "stimuli": "stimuli.csv", "vectors": "vectors.npy", "recordings": recordings}
    return load_descriptor(write_yaml(folder / "small.yaml", content | changed))


def test_what_is_written_is_read_and_what_does_not_fit_named(tmp_path: Path) -> None:
    world = shared_space(SMALL, n_train=12, n_images=1, n_test=6, n_codes=3, n_dimensions=5, train_repeats=2, seed=0)
    write_modalities(world, tmp_path)
    found = read_modalities(study(tmp_path))
    np.testing.assert_allclose(found.vectors, world.vectors, atol=1e-6)
    pd.testing.assert_frame_equal(found.stimuli, world.stimuli)
    for name, trials in world.trials.items():
        np.testing.assert_array_equal(found.signals[name], world.signals[name])
        columns = ["stimulus_id", "subject", "split"]
        pd.testing.assert_frame_equal(found.trials[name][columns], trials[columns])
    signals = np.load(tmp_path / "fmri" / "fmri02.npy")
    save_file({"signals": np.ascontiguousarray(signals[:, :7])}, tmp_path / "fmri" / "fmri02.safetensors")
    described = study(tmp_path).model_dump(mode="json")["recordings"]
    described["fmri02"]["signals"] = "fmri/fmri02.safetensors"
    found = read_modalities(study(tmp_path, recordings=described))
    second = (found.trials["fmri"]["subject"] == "fmri02").to_numpy()
    np.testing.assert_array_equal(found.signals["fmri"][second, :7], signals[:, :7])
    assert not found.signals["fmri"][second, 7:].any()
    write_modalities(world, tmp_path)
    table = tmp_path / "eeg" / "eeg01_trials.csv"
    trials = pd.read_csv(table)
    trials.iloc[:-1].to_csv(table, index=False)
    refused(r"eeg01: signals has 42 rows but its table of trials has 41", read_modalities, study(tmp_path))
    trials.assign(stimulus_id="elsewhere").to_csv(table, index=False)
    refused(r"eeg01: 1 images are not in stimuli.csv \(elsewhere\)", read_modalities, study(tmp_path))
    trials.to_csv(table, index=False)
    np.save(tmp_path / "eeg" / "eeg02.npy", np.zeros((42, 4, 7), dtype=np.float32))
    refused("select the same channels and times", read_modalities, study(tmp_path))


def test_leaks_stop_with_their_rows() -> None:
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b", "c", "d"], "split": ["train", "val", "test", "train"]})
    check_modality_splits(stimuli)
    check_modality_splits(stimuli.assign(concept=["dog", "dog", "cat", "dog"]))  # train and val may share concepts
    vectors = np.eye(4)
    vectors[1] = vectors[3]
    refused(r"equal vectors.*\(train, val\): rows \[1, 3\]; keep repeats of", check_modality_splits, stimuli, vectors)
    for changes, message in (
        ({"stimulus_id": ["a", "a", "c", "d"]}, r"1 stimulus\(s\) are in several splits \(train, val\): rows \[0, 1\]"),
        ({"stimulus_id": ["a", "b", "c", "a"]}, r"there twice \(a\)"),
        ({"sha256": ["x", "y", "x", "z"]}, r"picture\(s\) are in several splits .*rows \[0, 2\]"),
        ({"concept": ["dog", "cat", "cat", "dog"]}, r"concept\(s\).*rows \[1, 2\]; leave concepts of test images out"),
        ({"split": "dev"}, "must be among train, val, test"),
    ):
        refused(message, check_modality_splits, stimuli.assign(**changes))


def test_recordings_in_folders_are_inputs_and_of_simulated_ones_none(tmp_path: Path) -> None:
    files = [tmp_path / "eeg2" / "sub-01" / f"preprocessed_eeg_{part}.npy" for part in ("test", "training")]
    files[0].parent.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for file in (*files, tmp_path / "stimuli.csv", tmp_path / "vectors.npy"):
        file.touch()
    things = {"format": "things_eeg2", "modality": "eeg", "folder": "eeg2", "images": "images", "participants": ["01"]}
    files += [tmp_path / name for name in ("images", "stimuli.csv", "vectors.npy")]
    assert study(tmp_path, recordings={"all": things}).inputs() == files
    world = {"world": "modalities", "subjects": {"eeg": 2}}
    simulated = load_descriptor(write_yaml(tmp_path / "made.yaml", {"name": "made", "simulate": world}))
    assert list(simulated.recordings) == ["eeg01", "eeg02"]
    assert simulated.all_files() == simulated.inputs() == []
