"""Bad input: every mistake gives a short line that names file, field and remedy, before anything is computed."""

from __future__ import annotations

import gzip
import re

import nibabel
import numpy as np

from brainalign.datasets import audit
from brainalign.study import Study, load_descriptor


def found(path) -> str:
    return "\n".join(str(problem) for problem in audit(load_descriptor(path, Study)))


def test_nothing_is_wrong_with_sound_data(small, root) -> None:
    assert found(small.write()) == ""
    assert found(root / "data" / "haxby-slice.yaml") == ""


def test_missing_file(small) -> None:
    path = small.write()
    (small.folder / "mask.nii.gz").unlink()
    text = found(path)
    assert text.startswith("small: recordings.1.mask: no file mask.nii.gz in ")
    assert "BRAINALIGN_DATA" in text


def test_mask_of_another_shape(small) -> None:
    path = small.write(mask=np.ones((6, 5, 3)))
    assert "recordings.1.mask: the mask has shape (6, 5, 3) but bold has (6, 5, 2); resample it" in found(path)


def test_nan_and_constant_voxels(small) -> None:
    volumes = small.volumes()
    volumes[0, 0, 0, 3] = np.nan
    volumes[1, 1, 1] = 7.0
    volumes[2, 2, 0, :23] = 5.0  # within the first run only
    text = found(small.write(volumes=volumes))
    assert "bold: 1 of 60 voxels inside the mask are NaN or infinite in some run (voxels (0, 0, 0))" in text
    assert "bold: 2 of 60 voxels inside the mask are constant in some run (voxels (1, 1, 1), (2, 2, 0))" in text
    assert "set fmri.bad_voxels: drop" in text


def test_labels_that_do_not_match_the_volumes(small) -> None:
    path = small.write(labels=small.labels[:-1])
    assert f"labels: {len(small.labels) - 1} lines for {len(small.labels)} volumes of bold" in found(path)


def test_malformed_labels(small) -> None:
    path = small.write(labels=["rest 0", "thing0", *small.labels[2:]])
    assert "line 2 is 'thing0'; each line must be 'label run'" in found(path)


def test_one_run_only(small) -> None:
    path = small.write(labels=[f"{line.split()[0]} 0" for line in small.labels])
    assert "labels: there is one run only ('0')" in found(path)


def test_unknown_category(small) -> None:
    path = small.write(labels=[line.replace("thing3", "thing33") for line in small.labels])
    text = found(path)
    assert "labels: unknown category 'thing33' (did you mean 'thing3'?); add it under stimuli" in text
    assert "stimuli: thing3 never shown" in text


def test_a_run_without_a_category(small) -> None:
    lines = [line.replace("thing1", "rest") if line.endswith(" 2") else line for line in small.labels]
    assert "run 2 has no block of thing1; a held-out run is identified among all categories" in found(
        small.write(labels=lines)
    )


def test_truncated_nifti(small) -> None:
    path = small.write()
    bold = small.folder / "bold.nii.gz"
    bold.write_bytes(bold.read_bytes()[: bold.stat().st_size // 2])
    assert "truncated, or not of the format its name says" in found(path)
    bold.write_bytes(gzip.compress(b"not an image"))
    assert "truncated, or not of the format its name says" in found(path)


def test_a_file_that_is_not_the_descriptors(small) -> None:
    assert "sha256 differs" in found(small.write(sha256={"bold.nii.gz": "0" * 64}))


def test_empty_mask_and_wrong_size(small) -> None:
    assert "selects 0 voxel(s); patterns need 2 or more" in found(small.write(mask=np.zeros(small.shape)))
    text = found(small.write(shape={"runs": 3, "trials": 15, "targets": 59}))
    assert "shape.runs: says 3 at most but there are 4" in text
    assert "shape.trials: says 15 at most but there are 16" in text
    assert "shape.targets: says 59 at most but the mask has 60 voxels" in text
    assert found(small.write(shape={"runs": 4, "trials": 16, "targets": 70})) == ""  # another subject may have more


def test_a_volume_that_is_not_a_series(small) -> None:
    assert "give a 4-D image" in found(small.write(volumes=small.volumes()[..., 0]))


def test_too_few_stimuli_for_a_split(small) -> None:
    text = found(small.write(splits={"runs": {"leave_out": "run"}, "all": {"leave_out": "stimulus", "size": 3}}))
    assert "splits.all: leaving out 3 of 4 stimuli leaves fewer than 2 to train on" in text


def test_a_header_without_units_of_time(small) -> None:
    text = small.write().read_text()
    image = nibabel.load(small.folder / "bold.nii.gz")
    nibabel.save(nibabel.MGHImage(image.get_fdata(dtype=np.float32), image.affine), small.folder / "bold.mgz")
    (small.folder / "small.yaml").write_text(re.sub(r"bold.nii.gz", "bold.mgz", text))
    assert found(small.folder / "small.yaml") == ""


def test_other_things_a_file_can_be(small) -> None:
    path = small.write()
    labels = small.folder / "labels.txt"
    labels.write_text("")
    assert "empty; give one line 'label run' per volume" in found(path)
    labels.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in found(path)
    labels.write_text("\n".join("rest " + line.split()[1] for line in small.labels))
    assert "every volume is labelled 'rest': no stimulus is shown" in found(path)
    labels.write_text("\n".join(small.labels) + "\n\n")
    assert found(path) == ""  # blank lines at the end are nothing
    labels.write_text("\n".join(f"{line.split()[0]} {int(line.split()[1]) % 2}" for line in small.labels))
    assert "a run number comes back after another run" in found(path)
    small.write(mask=np.ones((*small.shape, 1)))
    assert "save it without the last axis" in found(path)
    small.write()
    raw = bytearray(gzip.decompress((small.folder / "bold.nii.gz").read_bytes()))
    raw[70:72] = b"\x99\x99"  # the code of the data type
    (small.folder / "bold.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    assert "truncated, or not of the format its name says" in found(path)


def test_blocks_of_one_volume(small, make_study) -> None:
    study = make_study(small.folder, block=1)
    assert "every block is a single volume" in found(study.write())


def test_too_many_folds(small, make_study) -> None:
    study = make_study(small.folder, n_stimuli=20, n_runs=3)
    text = found(study.write(splits={"runs": {"leave_out": "run"}, "five": {"leave_out": "stimulus", "size": 5}}))
    assert "splits.five: every 5 of 20 stimuli left out makes 15,504 folds; use a smaller size" in text


def test_everything_at_once(small) -> None:
    lines = [line.replace("thing3", "thing33") for line in small.labels][:-1]
    text = found(small.write(labels=lines, mask=np.ones((6, 5, 3))))
    assert len(text.splitlines()) >= 3
