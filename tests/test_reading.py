"""Files that are damaged are refused in the one way, and never read as something else."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from brainalign.checks import BrainalignError
from brainalign.datasets.fmri import read_volumes


@pytest.mark.parametrize("name", ["bold.nii.gz", "bold.mgz"])
def test_a_flipped_bit_of_a_compressed_image_never_gives_other_values(tmp_path: Path, name: str) -> None:
    # nibabel leaves the stream with the last voxel, before the checksum: that is what 32 of these would pass.
    path, rng = tmp_path / name, np.random.default_rng(4)
    values = rng.normal(100, 8, size=(6, 5, 4, 7)).astype(np.float32)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path) if "nii" in name else nibabel.MGHImage(
        values, np.eye(4)
    ).to_filename(path)
    np.testing.assert_array_equal(read_volumes(path), values)
    whole, refused = path.read_bytes(), 0
    for bit in rng.choice(8 * len(whole), size=40, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            read = read_volumes(path)
        except BrainalignError:
            refused += 1
        else:
            np.testing.assert_array_equal(read, values)  # a bit of the name or time that gzip notes
    assert refused >= 38


def test_a_compressed_image_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "map.nii.gz"
    image = nibabel.Nifti1Image(np.arange(24.0).reshape(2, 3, 4), np.eye(4))
    raw = image.to_bytes()
    for end in (b"\0" * 40, b""):  # what follows the voxels is nothing, unless it is damaged
        path.write_bytes(gzip.compress(raw + end))
        np.testing.assert_array_equal(read_volumes(path), image.get_fdata())
    path.write_bytes(gzip.compress(raw)[:-8] + bytes(8))
    with pytest.raises(BrainalignError, match=r"map.nii.gz: truncated, or not .*CRC"):
        read_volumes(path)
    path.write_bytes(gzip.compress(raw[:-1]))
    with pytest.raises(BrainalignError, match=r"need 544 bytes, there are 543"):
        read_volumes(path)
