from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from refusals import refused
from safetensors.numpy import save_file

from brainalign.datasets.studies import check_modality_splits, read_modalities
from brainalign.simulation import Modality, shared_space, write_modalities
from brainalign.study import Study, load_descriptor

SMALL = (Modality("eeg", 2, 4, 8, 0.3, 3), Modality("fmri", 2, 10, 0, 0.4, 2))


def study(folder: Path, **changed: Any) -> Study:
    recordings = {}
    for subject in ("eeg01", "eeg02", "fmri01", "fmri02"):
        place = f"{subject[:-2]}/{subject}"
        recordings[subject] = {"format": "arrays", "modality": subject[:-2], "signals": f"{place}.npy"}
        recordings[subject]["trials"] = f"{place}_trials.csv"
    content = {"name": "small", "stimuli": "stimuli.csv", "vectors": "vectors.npy", "recordings": recordings}
    (folder / "small.yaml").write_text(yaml.safe_dump(content | changed))
    return load_descriptor(folder / "small.yaml")


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
    assert study(tmp_path, recordings={"all": things}).inputs() == [
        *files, tmp_path / "images", tmp_path / "stimuli.csv", tmp_path / "vectors.npy",
    ]  # fmt: skip
    world = {"world": "modalities", "subjects": {"eeg": 2}}
    refused("give recordings or simulate, one of them", study, tmp_path, simulate=world)
    (tmp_path / "made.yaml").write_text(yaml.safe_dump({"name": "made", "simulate": world}))
    simulated = load_descriptor(tmp_path / "made.yaml")
    assert list(simulated.recordings) == ["eeg01", "eeg02"]
    assert simulated.all_files() == simulated.inputs() == []
