"""Files that are damaged are refused in the one way, and never read as something else."""

import bz2
import gzip
import json
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from refusals import flipped, refused

from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.datasets import read_neural, read_videos
from brainalign.datasets.formats import read_volumes
from brainalign.io import open_picture, read_npy, read_npz, reading
from brainalign.regression import read_state
from brainalign.study import load_descriptor, parse, read_yaml


@pytest.mark.parametrize("name", ["bold.nii.gz", "bold.mgz"])
def test_a_flipped_bit_of_a_compressed_image_never_gives_other_values(tmp_path: Path, name: str) -> None:
    # nibabel leaves the stream with the last voxel, before the checksum: that is what 32 of these would pass.
    path, rng = tmp_path / name, np.random.default_rng(4)
    values = rng.normal(100, 8, size=(6, 5, 4, 7)).astype(np.float32)
    nibabel.save((nibabel.Nifti1Image if "nii" in name else nibabel.MGHImage)(values, np.eye(4)), path)
    np.testing.assert_array_equal(read_volumes(path), values)
    whole, refused = path.read_bytes(), 0
    for bit in rng.choice(8 * len(whole), size=40, replace=False).tolist():
        path.write_bytes(flipped(whole, bit))
        try:
            read = read_volumes(path)
        except BrainalignError:
            refused += 1
        else:
            np.testing.assert_array_equal(read, values)  # a bit of the name or time that gzip notes
    assert refused >= 38


def test_a_compressed_image_is_read_to_its_end(tmp_path: Path) -> None:
    path, image = tmp_path / "map.nii.gz", nibabel.Nifti1Image(np.arange(24.0).reshape(2, 3, 4), np.eye(4))
    raw = image.to_bytes()
    for end in (b"\0" * 40, b""):  # what follows the voxels is nothing, unless it is damaged
        path.write_bytes(gzip.compress(raw + end))
        np.testing.assert_array_equal(read_volumes(path), image.get_fdata())
    path.write_bytes(gzip.compress(raw)[:-8] + bytes(8))
    refused(r"map.nii.gz: truncated, or not .*CRC", read_volumes, path)
    path.write_bytes(gzip.compress(raw[:-1]))
    refused(r"need 544 bytes, there are 543", read_volumes, path)
    packed = tmp_path / "map.nii.bz2"
    packed.write_bytes(bz2.compress(raw))
    np.testing.assert_array_equal(read_volumes(packed), image.get_fdata())
    for damaged in (bz2.compress(raw)[:-4], bz2.compress(raw[:-1])):
        packed.write_bytes(damaged)
        refused(r"map.nii.bz2: truncated, or not", read_volumes, packed)


def test_of_a_file_of_videos_only_what_is_asked_for_is_judged(tmp_path: Path) -> None:
    path, neural = tmp_path / "all.npz", np.ones((2, 3, 4, 5))
    np.savez(path, neural=neural, frames=np.zeros((2, 3, 8)), names=np.array(["a", "b"]), odd=np.array([None]))
    recorded = {"1": {"format": "neural", "neural": "all.npz"}}
    (tmp_path / "a.yaml").write_text(json.dumps({"name": "a", "stimuli": "all.npz", "recordings": recorded}))
    np.testing.assert_array_equal(read_neural(load_descriptor(tmp_path / "a.yaml"), "1"), neural)
    assert read_videos(path).frames.shape == (2, 3, 8)
    np.savez(path, frames=np.array([["a", "b"]]), neural=neural)
    refused("frames holds <U1; give real numbers", read_videos, path)
    np.savez(path, words=np.array(["a"]))
    refused("no array 'frames'; it has words", read_videos, path)


def test_whatever_a_parser_raises_names_file_and_remedy() -> None:
    """But for the project's own errors, which pass."""
    for error in (KeyError("x"), MemoryError(), zlib.error("bad"), RecursionError("deep"), EOFError()):
        said = pytest.raises(BrainalignError, match=r"^some/file.x: not readable \(.+\); copy or download it again$")
        with said, reading("some/file.x", "not readable"):
            raise error
    with pytest.raises(BrainalignError, match=r"^mine$"), reading("x", "not readable"):
        raise BrainalignError("mine")


def test_a_header_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    for shape in ["(3, 50)", "(30000000000, 500000)", "(-3, 4)", "(2, 4)"]:
        np.save(tmp_path / "a.npy", np.ones((3, 4)))
        content = (tmp_path / "a.npy").read_bytes()
        lie = content.replace(b"(3, 4), }" + b" " * (len(shape) - 6), shape.encode() + b", }")
        assert len(lie) == len(content)
        (tmp_path / "a.npy").write_bytes(lie)
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", lie)
        for name, read in (("a.npy", read_npy), ("a.npz", read_npz)):
            refused(rf"{name}: no whole .np[yz] file of numbers", read, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(4_000_000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = (2**32 - 2).to_bytes(4, "little")  # how large it says that it will be
    (tmp_path / "a.npz").write_bytes(content)
    refused("would grow from", read_npz, tmp_path / "a.npz")


def test_a_png_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(path)
    open_picture(path)
    content = bytearray(path.read_bytes())
    content[content.find(b"IDAT") + 60] ^= 4
    path.write_bytes(content)
    refused(r"cannot read the image .*a.png", open_picture, path)


def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    layers = [f"b{k}: &b{k} [{', '.join([f'*b{k - 1}'] * 9)}]" for k in range(1, 10)]
    for text in ("\n".join(["b0: &b0 [1, 1]", *layers]), "a: &a [*a]"):
        path.write_text(text)
        refused(r"a.yaml: its aliases", read_yaml, path)
    path.write_text("a: &a {x: [1, 2]}\nb: {<<: *a, y: 1}\nc: [*a, *a]")
    assert read_yaml(path)["b"] == {"x": [1, 2], "y": 1}
    for text in ("[" * 1_000, "a: 2026-13-45", "a: 0b_", "a: \0"):
        (tmp_path / "a.yaml").write_text(text)
        refused(r"a.yaml: not valid YAML", read_yaml, tmp_path / "a.yaml")
    study = (Path(__file__).parent.parent / "data" / "haxby-slice.yaml").read_text()
    for value in (".inf", "-.inf", ".nan"):
        (tmp_path / "a.yaml").write_text(re.sub(r"tr_s: [\d.]+", f"tr_s: {value}", study))
        refused(r"a.yaml: fmri.tr_s: .*finite", load_descriptor, tmp_path / "a.yaml")


def test_names_that_the_workflow_would_take_for_something_else() -> None:
    odd = [("results", "out/{dataset}"), ("results", "-out"), ("datasets", {"-d": {"descriptor": "d.yaml"}})]
    for key, value in odd:
        refused(rf"run.yaml: {key}", parse, Config, {key: value}, "run.yaml")


def test_a_damaged_state_of_a_training_begins_afresh(tmp_path: Path) -> None:
    path, values = tmp_path / "state.pt", torch.arange(2000.0)
    torch.save({"w": values}, path)
    assert torch.equal(read_state(path)["w"], values)
    content = bytearray(path.read_bytes())
    content[content.find(values.numpy().tobytes()[:400]) + 300] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["w"], values)  # torch sees nothing
    with pytest.warns(RuntimeWarning, match=r"state.pt is damaged; the training begins afresh"):
        assert read_state(path) is None
    assert read_state(tmp_path / "none") is None


FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))  # its workers, which begin afresh, look for it there too
    try:
        import fuzz

        yield fuzz
    finally:
        sys.path.remove(str(FOLDER))


def test_no_damaged_file_ends_in_a_traceback_hangs_or_is_believed(fuzz: ModuleType) -> None:
    found = fuzz.fuzz(3 * len(fuzz.READERS), seed=11)
    assert [(case, kind, error) for case, kind, error in found if kind in fuzz.BAD] == []
    assert len(found) == 3 * len(fuzz.READERS)
    assert len(fuzz.READERS) >= 60
    assert Counter(kind for _, kind, _ in found)["refused"] > len(found) / 2


def test_the_fuzzer_sees_readers_that_fail(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(folder: Path) -> object:
        content = (folder / "a.csv").read_bytes()
        while not content:
            pass
        return {len(content): 0}[40] if len(content) < 9 else content

    def made(folder: Path) -> None:
        (folder / "a.csv").write_bytes(b"name,n\na,1\nb,2\nc,3\n")

    monkeypatch.setitem(fuzz.READERS, "careless", fuzz.Reader("a.csv", made, careless, "table", True))
    monkeypatch.setattr(fuzz, "PATIENCE_S", 0.2)
    samples = fuzz.prepare(tmp_path, ["careless"])
    draws = [int(seed) for seed in range(40) if np.random.default_rng(seed).integers(19) < 9]
    cases = [("cut", draws[0]), ("empty", 0), ("surplus", 0), ("twice", 0), ("bit", 0), ("cell", 3)]
    found = fuzz.run([fuzz.Case("careless", *case) for case in cases], samples, "fork")
    assert [kind for _, kind, _ in found] == ["traceback", "hang", "silent", "silent", "silent", "unnoticed"]
