from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from nilearn.signal import clean
from refusals import refused

from brainalign.datasets import read_fmri
from brainalign.datasets.formats import find_blocks, read_labels
from brainalign.study import FmriOptions, load_descriptor


def test_blocks_are_found_and_shifted_by_the_lag(small) -> None:
    descriptor = load_descriptor(small.write())
    labels = read_labels(small.folder / "labels.txt")
    blocks = find_blocks(labels, descriptor.fmri)
    assert len(blocks) == 16
    # Two volumes of rest, three of a stimulus, read two volumes later.
    assert (blocks["first"].tolist()[:3], blocks["last"].tolist()[:3]) == ([4, 9, 14], [6, 11, 16])
    assert blocks["onset_s"].tolist()[:5] == [4.0, 14.0, 24.0, 34.0, 4.0]
    assert blocks["run"].tolist()[:5] == ["0", "0", "0", "0", "1"]
    blocks = find_blocks(labels, FmriOptions(tr_s=2.0, hrf_lag_s=10.0, space="x"))
    ends = labels.reset_index().groupby("run")["index"].max()
    assert all(row["last"] <= ends[row["run"]] for _, row in blocks.iterrows())
    refused("no volume left after a lag of 40", find_blocks, labels, FmriOptions(tr_s=2.0, hrf_lag_s=40.0, space="x"))


def test_responses_are_block_means_of_the_cleaned_series(small) -> None:
    descriptor = load_descriptor(small.write())
    recording = read_fmri(descriptor, "1")
    labels = read_labels(small.folder / "labels.txt")
    series = small.volumes().reshape(-1, len(labels)).T
    runs = labels["run"].astype(int).to_numpy()
    cleaned = clean(series, runs=runs, detrend=True, standardize="zscore_sample", t_r=2.0)
    blocks = find_blocks(labels, descriptor.fmri)
    for row, block in blocks.iterrows():
        expected = cleaned[block["first"] : block["last"] + 1]
        mean = expected.mean(axis=0)
        np.testing.assert_allclose(recording.responses.values[row], mean, atol=1e-5)
        np.testing.assert_allclose(recording.residuals[3 * row : 3 * row + 3], expected - mean, atol=1e-5)
    assert (recording.responses.units, recording.n_dropped) == ("z (within run)", 0)


def test_a_file_of_volumes_and_of_events_per_run_is_read_as_one_with_labels(small) -> None:
    """Events in another order, with names of rest, pauses and cells that say nothing."""
    whole = read_fmri(load_descriptor(small.write()), "1")
    labels, volumes = read_labels(small.folder / "labels.txt"), small.volumes()
    bold, tables = [], []
    for run, rows in labels.groupby("run", sort=False):
        bold.append(f"run-{run}_bold.nii.gz")
        image = nibabel.Nifti1Image(volumes[..., rows.index], np.diag([3.0, 3.0, 3.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2.0
        nibabel.save(image, small.folder / bold[-1])
        starts = np.flatnonzero(rows["label"].to_numpy() != rows["label"].shift().to_numpy())
        onsets, ends = 2.0 * starts, 2.0 * np.r_[starts[1:], len(rows)]
        names = rows["label"].iloc[starts]
        events = pd.DataFrame({"onset": onsets, "duration": ends - onsets - 0.5, "trial_type": names})
        events.loc[len(rows) + 1000] = [1.0, 0.0, "n/a"]
        tables.append(f"run-{run}_events.tsv")
        events[::-1].to_csv(small.folder / tables[-1], sep="\t", index=False)
    files = {"format": "nifti", "bold": bold, "mask": "mask.nii.gz", "events": tables}
    path = small.folder / "runs.yaml"
    path.write_text(Path(small.write(recordings={"1": files})).read_text())
    recording = read_fmri(load_descriptor(path), "1")
    np.testing.assert_allclose(recording.responses.values, whole.responses.values, atol=1e-5)
    np.testing.assert_allclose(recording.residuals, whole.residuals, atol=1e-5)
    names = ["stimulus_id", "repeat"]
    pd.testing.assert_frame_equal(recording.responses.trials[names], whole.responses.trials[names])
    assert recording.responses.trials["run"].nunique() == labels["run"].nunique()


def test_voxels_know_their_place_and_bad_ones_are_dropped(small) -> None:
    mask = np.zeros(small.shape)
    mask[1, 2, 0] = mask[5, 4, 1] = 1
    recording = read_fmri(load_descriptor(small.write(mask=mask)), "1")
    table = recording.responses.targets
    assert table[["i", "j", "k"]].to_numpy().tolist() == [[1, 2, 0], [5, 4, 1]]
    assert table[["x_mm", "y_mm", "z_mm"]].to_numpy().tolist() == [[3.0, 6.0, 0.0], [15.0, 12.0, 3.0]]
    volumes = small.volumes()
    # A value written back at (i, j, k) is the value of that voxel: columns follow the table.
    assert np.corrcoef(volumes[5, 4, 1][4:7], recording.residuals[:3, 1])[0, 1] > 0.9
    volumes[0, 0, 0, 3] = np.nan
    volumes[1, 1, 1, : volumes.shape[-1] // 2] = 7.0
    path = small.write(volumes=volumes)
    refused("1 NaN and 1 constant voxels inside the mask", read_fmri, load_descriptor(path), "1")
    options = {"tr_s": 2.0, "hrf_lag_s": 4.0, "space": "simulated", "bad_voxels": "drop"}
    recording = read_fmri(load_descriptor(small.write(volumes=volumes, fmri=options)), "1")
    assert (recording.n_dropped, len(recording.responses.targets)) == (2, 58)
    assert np.isfinite(recording.responses.values).all()
    assert int(np.asarray(recording.mask.dataobj).sum()) == 58
