import json
import sys
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from jobs import kept
from PIL import Image, ImageDraw
from refusals import refused

from brainalign import datasets
from brainalign.datasets.formats import near_duplicates

ONSETS = np.array([1.0, 2.5, 4.0, 5.5, 7.0])
SHOWN = ("bat/bat_01b", "cow/cow_02s", "", "bat/bat_07n", "bat/bat_01b")


def photograph(seed: int, size: int = 128) -> Image.Image:
    rng, total = np.random.default_rng(seed), np.zeros((size, size, 3))
    for cells in (4, 8, 16, 32):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float) * 8 / cells
    return Image.fromarray((255 * (total - total.min()) / np.ptp(total)).astype(np.uint8))


def scene(place=(30, 40), colour=(200, 30, 30), size=24, background=(120, 120, 120)) -> Image.Image:
    image = Image.new("RGB", (128, 128), background)
    x, y = place
    ImageDraw.Draw(image).ellipse((x, y, x + size, y + size), fill=colour)
    return image


def audited(folder, images, **options):
    rows = []
    for name, image in images.items():
        path = folder / (name if "." in name else f"{name}.png")
        if isinstance(image, bytes):
            path.write_bytes(image)
        elif image is not None:
            image.save(path)
        rows.append({"stimulus_id": name, "path": path})
    return datasets.audit_images(pd.DataFrame(rows), **options)


def pairs_of(audit, kind):
    rows = audit.pairs[audit.pairs["kind"] == kind]
    return {frozenset(pair) for pair in rows[["stimulus_a", "stimulus_b"]].to_numpy().tolist()}


def test_duplicates_and_near_duplicates_are_found_and_nothing_else(tmp_path) -> None:
    base, images = photograph(0), {f"photo{k}": photograph(k) for k in range(20)}
    images |= {"copy": base, "jpeg.jpg": base, "small": base.resize((64, 64)), "grey": base.convert("L")}
    images |= {"brighter": base.point(lambda value: value * 0.9 + 12)}
    audit = audited(tmp_path, images)
    assert pairs_of(audit, "duplicate") == {frozenset({"photo0", "copy"})}
    same = {"photo0", "copy", "jpeg.jpg", "small", "brighter"}
    expected = {frozenset({a, b}) for a in same for b in same if a != b} - {frozenset({"photo0", "copy"})}
    assert pairs_of(audit, "near-duplicate") == expected
    assert [problem.level for problem in audit.problems()] == ["warning", "warning"]
    assert "photo0 and copy" in str(audit.problems()[0])
    images = {"base": scene(), "green": scene(colour=(30, 200, 30)), "moved": scene(place=(60, 40))}
    images |= {"larger": scene(size=40), "background": scene(background=(120, 90, 150))}
    plain = (200, 30, 30), (30, 200, 30)
    images |= {f"flat{k}": Image.new("RGB", (128, 128), colour) for k, colour in enumerate(plain)}
    assert audited(tmp_path, images).pairs.empty


def test_missing_and_unreadable_images_are_all_named(tmp_path) -> None:
    whole = tmp_path / "whole.png"
    photograph(1).save(whole)
    deep, bad = Image.new("I;16", (9, 9)), {"cut": whole.read_bytes()[:-99], "text": b"<html>", "empty": b""}
    audit = audited(tmp_path, {"good": photograph(2), "gone": None, "deep": deep, **bad})
    missing, unreadable = audit.problems()
    assert missing.rows == ("gone",)
    assert "1 of 6 images are missing: gone (" in str(missing)
    assert (set(unreadable.rows), {missing.level, unreadable.level}) == ({"deep", *bad}, {"error"})
    assert audit.pairs.empty
    refused("no column 'path'", datasets.audit_images, pd.DataFrame({"stimulus_id": ["a"]}))


def test_pairs_are_met_among_ten_thousand_images(rng: np.random.Generator) -> None:
    hashes = rng.integers(0, 2**63, (10_000, 4), dtype=np.uint64)
    thumbnails = rng.random((10_000, 16, 16, 3), dtype=np.float32)
    hashes[7_000], thumbnails[7_000] = hashes[12] ^ np.array([1, 2, 4, 8], dtype=np.uint64), thumbnails[12]
    hashes[9_999] = hashes[500]  # the same hash of another picture
    first, second, bits = near_duplicates(hashes, thumbnails)
    assert list(zip(first, second, bits, strict=True)) == [(12, 7_000, 4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Ten seconds of EEG at 100 Hz; after the k-th event the first channel is at k µV for half a second."""
    folder = tmp_path_factory.mktemp("bids")
    data = np.zeros((4, 1000))  # Oz stays flat
    data[1] = 1e-6 * np.random.default_rng(0).normal(size=1000)
    for k, onset in enumerate(ONSETS, start=1):
        data[0, int(100 * onset) : int(100 * onset) + 50] = 1e-6 * k
    data[3] = 1e-4 * np.random.default_rng(1).normal(size=1000)
    info = mne.create_info(["Cz", "Pz", "Oz", "HEO"], 100.0, ["eeg", "eeg", "eeg", "eog"])
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations(ONSETS, 0.5, ["exp"] * 5))
    place = mne_bids.BIDSPath(subject="01", task="read", run="1", datatype="eeg", root=folder)
    mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", overwrite=True, verbose="error")
    return folder


@pytest.fixture
def events(root) -> Path:
    path = root / "sub-01" / "eeg" / "sub-01_task-read_run-1_events.tsv"
    table = pd.DataFrame({"onset": ONSETS, "duration": 0.5, "trial_type": ["exp", "exp", "catch", "exp", "test"]})
    table["file_path"] = [f"images/{name}.jpg" if name else "n/a" for name in SHOWN]
    table["category"] = ["bat", "cow", "n/a", "bat", "bat"]
    table.to_csv(path, sep="\t", index=False)
    return path


def read(root, **options):
    given = {"task": "read", "run": "1", "stimulus_column": "file_path"} | options
    return datasets.read_bids_stimuli(root, "01", **given)


def test_stimuli_become_epochs_of_responses(root, events) -> None:
    raw, table = read(root, names="file stem")
    assert table["stimulus_id"].tolist() == ["bat_01b", "cow_02s", "bat_07n", "bat_01b"]
    assert table["sample"].tolist() == [100, 250, 550, 700]
    responses = datasets.epochs_to_responses([datasets.make_epochs(raw, table, band_hz=None, tmin=-0.2, tmax=0.4)])
    assert responses.trials["stimulus_id"].tolist() == table["stimulus_id"].tolist()
    assert responses.trials["trial_type"].tolist() == ["exp", "exp", "exp", "test"]
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2]
    np.testing.assert_allclose(responses.trials["onset_s"], [1.0, 2.5, 5.5, 7.0])
    after = responses.values[:, 0, responses.times > -0.005]
    np.testing.assert_allclose(after, np.array([1, 2, 4, 5])[:, None] * np.ones(after.shape), rtol=1e-3)
    np.testing.assert_allclose(responses.values[:, 0, responses.times < -0.005], 0, atol=1e-3)


def test_flat_and_bad_channels(root, events) -> None:
    raw, table = read(root)
    assert raw.ch_names == ["Cz", "Pz", "Oz"]  # without the eyes
    epochs = datasets.make_epochs(raw, table, band_hz=None, tmin=-0.2, tmax=0.4)
    assert datasets.epochs_to_responses([epochs], bad_channels="drop").targets["target_id"].tolist() == ["Cz", "Pz"]
    channels = root / "sub-01" / "eeg" / "sub-01_task-read_run-1_channels.tsv"
    content = pd.read_csv(channels, sep="\t", dtype=str, keep_default_na=False)
    with kept(channels):
        content.assign(status=["good", "bad", "good", "good"]).to_csv(channels, sep="\t", index=False)
        assert read(root)[0].info["bads"] == ["Pz"]
        refused("cannot be read", read, root, datatype="meg")


def test_events_may_be_chosen_and_what_is_missing_is_named(root, events, monkeypatch) -> None:
    _, table = read(root, where={"trial_type": ["test"]})
    assert table["stimulus_id"].tolist() == table["category"].tolist() == ["images/bat/bat_01b.jpg"]
    refused(r"no column 'filepath' \(did you mean 'file_path'\?\)", read, root, stimulus_column="filepath")
    refused(r"no column 'kind'", read, root, where={"kind": ["x"]})
    refused("datatype must be one of", read, root, datatype="ieeg")
    table = pd.read_csv(events, sep="\t", dtype=str, keep_default_na=False)
    table.loc[1, "onset"] = "99.0"
    table.to_csv(events, sep="\t", index=False)
    refused(r"1 onsets are no seconds .* of 10.0 s \(first: '99.0', stimulus", read, root)
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    refused(r'pip install "brainalign\[bids\]"', read, root)


def annotations(path: Path, rows: list[tuple[int, str]]) -> Path:
    """Write a file as COCO lays it out; captions of one image do not follow each other."""
    captions = [{"image_id": k, "id": n, "caption": text} for n, (k, text) in enumerate(rows)]
    path.write_text(json.dumps({"info": {}, "images": [], "annotations": captions}))
    return path


def test_captions_are_found_by_their_ids(tmp_path: Path) -> None:
    folder = tmp_path / "nsddata" / "experiments" / "nsd"
    folder.mkdir(parents=True)
    header = ",cocoId,cocoSplit,cropBox,loss,nsdId,flagged,BOLD5000,shared1000,subject1\n"
    lines = ['0,532481,val2017,"(0, 0, 0.1, 0.1)",0.1,0,False,False,False,0\n']
    lines.append('1,245764,train2017,"(0, 0, 0, 0)",0.2,72999,False,False,True,12\n')
    (folder / "nsd_stim_info_merged.csv").write_text(header + "".join(lines))
    ids = datasets.nsd_coco_ids(tmp_path)
    assert ids == {"nsd-00000": 532481, "nsd-72999": 245764}
    train = annotations(tmp_path / "train.json", [(245764, "A dog.\n"), (1, "Another."), (245764, "A brown dog.")])
    table = datasets.coco_captions([train, annotations(tmp_path / "val.json", [(532481, "A kite.")])], ids)
    assert table["stimulus_id"].tolist() == ["nsd-00000", "nsd-72999", "nsd-72999"]
    assert list(table) == ["stimulus_id", "caption"]
    assert table["caption"].tolist() == ["A kite.", "A dog.", "A brown dog."]
    refused(r"1 of 2 images have no caption in train.json \(nsd-00000\).*val2017", datasets.coco_captions, [train], ids)
    (folder / "nsd_stim_info_merged.csv").unlink()
    refused(r"nsd_stim_info_merged\.csv", datasets.nsd_coco_ids, tmp_path)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"annotations": [{"image_id": 1, "bbox": []}]}))
    refused(r"instances.json: no captions of COCO \(KeyError: 'caption'\)", datasets.coco_captions, [path], {"a": 1})
    path.write_text("[1, 2")
    refused("no captions of COCO", datasets.coco_captions, [path], {"a": 1})
    refused("annotations_trainval2017", datasets.coco_captions, [tmp_path / "nothing.json"], {"a": 1})
