import numpy as np
from nilearn.signal import clean
from refusals import refused

from brainalign.datasets import read_fmri
from brainalign.datasets.formats import find_blocks, read_labels
from brainalign.study import FmriOptions, load_descriptor


def test_blocks_are_found_and_shifted_by_the_lag(small) -> None:
    descriptor = load_descriptor(small.write())
    blocks = find_blocks(read_labels(small.folder / "labels.txt"), descriptor.fmri)
    assert len(blocks) == 16
    # Two volumes of rest, three of a stimulus, read two volumes later.
    assert blocks["first"].tolist()[:3] == [4, 9, 14]
    assert blocks["last"].tolist()[:3] == [6, 11, 16]
    assert blocks["onset_s"].tolist()[:5] == [4.0, 14.0, 24.0, 34.0, 4.0]
    assert blocks["run"].tolist()[:5] == ["0", "0", "0", "0", "1"]
    small.write()
    labels = read_labels(small.folder / "labels.txt")
    long_lag = FmriOptions(tr_s=2.0, hrf_lag_s=10.0, space="x")
    blocks = find_blocks(labels, long_lag)
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
    assert recording.responses.units == "z (within run)"
    assert recording.n_dropped == 0


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
    volumes = small.volumes()
    volumes[0, 0, 0, 3] = np.nan
    volumes[1, 1, 1, : volumes.shape[-1] // 2] = 7.0
    path = small.write(volumes=volumes)
    refused("1 NaN and 1 constant voxels inside the mask", read_fmri, load_descriptor(path), "1")
    options = {"tr_s": 2.0, "hrf_lag_s": 4.0, "space": "simulated", "bad_voxels": "drop"}
    recording = read_fmri(load_descriptor(small.write(volumes=volumes, fmri=options)), "1")
    assert recording.n_dropped == 2
    assert len(recording.responses.targets) == 58
    assert np.isfinite(recording.responses.values).all()
    assert int(np.asarray(recording.mask.dataobj).sum()) == 58
