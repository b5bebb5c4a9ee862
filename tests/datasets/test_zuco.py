import contextlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy.io import savemat
from scipy.signal import resample

from brainalign.datasets import join_recordings, read_task_table, read_zuco
from brainalign.datasets.sentences import clean_text, text_id

TEXTS = ("The film is emp11111ty of ideas.", "A café in Orléans was her home.", "He moved to Ohio in 1902.")


def eeg(n_samples: int, seed: int = 0) -> np.ndarray:
    values = np.zeros((105, n_samples))
    values[:-1] = 10 * np.random.default_rng(seed).normal(size=(104, n_samples)) + 3
    return values


def write_5(path: Path, texts, raws, *, extra: bool = True, name: str = "sentenceData", **options) -> Path:
    fields = ["content", "rawData", *(["omissionRate"] if extra else [])]
    struct = np.zeros((1, len(texts)), dtype=[(field, object) for field in fields])
    for row, (text, raw) in enumerate(zip(texts, raws, strict=True)):
        struct[0, row]["content"], struct[0, row]["rawData"] = text, raw
        if extra:
            struct[0, row]["omissionRate"] = 0.2
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: struct}, **({"do_compression": True} | options))
    return path


def write_73(path: Path, texts, raws) -> Path:
    """Write HDF5 as MATLAB 7.3 does: references to transposed numbers and 16-bit text; one sentence has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        store, group = file.create_group("#refs#"), file.create_group("sentenceData")
        group.attrs["MATLAB_class"] = np.bytes_("struct")

        def put(place, name, value):
            if isinstance(value, str):
                units = np.frombuffer(value.encode("utf-16-le"), dtype=np.uint16)[:, None]
                written = place.create_dataset(name, data=units)
                written.attrs["MATLAB_class"] = np.bytes_("char")
            elif value.size == 0:
                written = place.create_dataset(name, data=np.array(value.shape, dtype=np.uint64))
                written.attrs.update({"MATLAB_class": np.bytes_("double"), "MATLAB_empty": np.uint8(1)})
            else:
                written = place.create_dataset(name, data=np.atleast_2d(value).T)
                written.attrs["MATLAB_class"] = np.bytes_("double")
            return written

        for field, values in (("content", texts), ("rawData", raws)):
            if len(values) == 1:
                put(group, field, values[0])
                continue
            table = group.create_dataset(field, (len(values), 1), dtype=h5py.ref_dtype)
            for row, value in enumerate(values):
                table[row, 0] = put(store, f"{field}{row}", value).ref
    return path


WRITERS = {"5": write_5, "7.3": write_73}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def test_signals_are_resampled_and_padded(tmp_path, write) -> None:
    raws = [eeg(1100), eeg(250, 1), eeg(5000, 2)]
    write(tmp_path / "task1- SR" / "Matlab files" / "resultsZAB_SR.mat", TEXTS, raws)
    read = read_zuco(tmp_path, dataset="zuco1")
    assert (read.signals.shape, read.signals.dtype) == ((3, 128, 1280), np.float32)
    assert (read.n_channels, read.mask.sum(axis=1).tolist()) == (104, [282, 64, 1280])
    for row, raw in enumerate(raws):
        n = int(read.mask[row].sum())
        np.testing.assert_allclose(read.signals[row, :104, :n], resample(raw[:104], n, axis=1), atol=1e-4)
        assert not read.signals[row, 104:].any()
        assert not read.signals[row, :, n:].any()
        assert read.mask[row, :n].all()
    table = read.sentences
    assert table["text"].tolist() == ["The film is empty of ideas.", *TEXTS[1:]]
    assert table["trial_id"].tolist() == [f"zuco1-ZAB-SR-00{k}" for k in range(3)]
    assert table["stimulus_id"].tolist() == [text_id(text) for text in table["text"]]
    assert (table["sha256"].str[:12] == table["stimulus_id"].str[5:]).all()
    assert table[["subject", "task", "dataset"]].drop_duplicates().to_numpy().tolist() == [["ZAB", "SR", "zuco1"]]
    assert not len(read.ledger)
    # One sentence is no array; four cycles over four seconds come out as four: neither shifted nor scaled.
    raws[1] = eeg(2000)
    raws[1][7] = 20 * np.sin(2 * np.pi * np.arange(2000) / 500)
    write(tmp_path / "one" / "resultsYAC_NR.mat", TEXTS[2:], raws[1:2])
    one = read_zuco(tmp_path / "one", dataset="zuco2")
    assert (one.sentences["text"].tolist(), int(one.mask.sum())) == ([TEXTS[2]], 512)
    np.testing.assert_allclose(one.signals[0, 7, :512], 20 * np.sin(2 * np.pi * np.arange(512) / 128), atol=1e-3)


def test_unusable_trials_are_dropped_and_counted(tmp_path, write) -> None:
    dead, live, infinite, gap = eeg(600), eeg(600), eeg(600), eeg(600)
    dead[40], live[104], infinite[3, 5], gap[0, 0] = 0, 1.0, np.inf, np.nan
    raws = [eeg(600), np.array(np.nan), np.zeros((0, 0)), infinite, dead, eeg(249), eeg(5001), eeg(600)[:64], live, gap]
    raws += [eeg(600)]
    texts = [f"Sentence number {k} of them all." for k in range(10)] + [""]
    write(tmp_path / "resultsZAB_SR.mat", texts, raws)
    read = read_zuco(tmp_path, dataset="zuco1")
    assert read.sentences["row"].tolist() == [0, 8]
    assert read.drops().set_index("reason")["n"].to_dict() == {
        "no EEG (empty or a single NaN)": 2, "NaN or infinite samples": 2, "a channel without signal": 1,
        "shorter than 0.5 s": 1, "longer than 10 s": 1, "EEG of 64 channels, not 105": 1, "no text": 1,
    }  # fmt: skip
    noted = read.ledger[read.ledger["kept"]]
    reason = "channel 105 is not zero, and was left out as the reference all the same"
    assert noted[["row", "reason"]].to_numpy().tolist() == [[8, reason]]
    words = read.describe()
    assert words.startswith("2 sentences read by 1 subjects, 2 different texts; 104 channels, 1280 samples; 9 trials")
    assert "2 of zuco1 SR (1 subjects): no EEG (empty or a single NaN)" in words
    assert len(read.ledger) + len(read.sentences) - len(noted) == len(texts)
    write(tmp_path / "resultsZAB_SR.mat", TEXTS, [np.array(np.nan), np.array(np.nan), eeg(100)])
    refused(r"none of 3 trials can be used \(2 x no EEG .*; 1 x shorter than 0.5", read_zuco, tmp_path, dataset="zuco1")


def test_versions_are_told_by_content(tmp_path) -> None:
    """A file of either version is read whatever its release; others are refused by name."""
    raws = [eeg(600), eeg(700)]
    one = read_zuco(write_5(tmp_path / "a" / "resultsYAC_NR.mat", TEXTS[:2], raws).parent, dataset="x")
    other = read_zuco(write_73(tmp_path / "b" / "resultsYAC_NR.mat", TEXTS[:2], raws).parent, dataset="x")
    np.testing.assert_array_equal(one.signals, other.signals)
    pd.testing.assert_frame_equal(one.sentences, other.sentences)
    path = tmp_path / "c" / "resultsZAB_SR.mat"
    path.parent.mkdir()
    savemat(path, {"sentenceData": np.eye(3)}, format="4")
    refused(r"resultsZAB_SR.mat: a MATLAB file of version 4 .*5 \(ZuCo 1\) and", read_zuco, path.parent, dataset="x")
    for content in (b"no MATLAB file at all, only text of some length" * 9, b""):
        path.write_bytes(content)
        refused("resultsZAB_SR.mat: (not a whole MATLAB|a MATLAB file of ver)", read_zuco, path.parent, dataset="x")


def test_damaged_and_foreign_files(tmp_path, write) -> None:
    path = write(tmp_path / "resultsZAB_SR.mat", TEXTS, [eeg(600)] * 3)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(r"resultsZAB_SR.mat: not a whole MATLAB file", read_zuco, tmp_path, dataset="x")
    write_5(path, TEXTS, [eeg(600)] * 3, name="wordData")
    refused("no variable sentenceData; it has wordData", read_zuco, tmp_path, dataset="x")
    with h5py.File(path, "w") as file:
        file.create_group("sentenceData").create_dataset("content", data=np.zeros(3))
    refused("sentenceData: no field 'rawData'.*; it has content", read_zuco, tmp_path, dataset="x")
    savemat(path, {"sentenceData": {"content": "A text.", "word": 3.0}})
    refused("sentence 0: no field 'rawData'.*; it has content, word", read_zuco, tmp_path, dataset="x")


def test_subjects_tasks_and_their_files(tmp_path) -> None:
    for subject in ("ZAB", "ZDM"):
        for task in ("SR", "NR"):
            write_5(tmp_path / task / f"results{subject}_{task}.mat", TEXTS[:1], [eeg(600)])
    read = read_zuco(tmp_path, dataset="zuco1", subjects=["ZDM"])
    assert read.sentences[["subject", "task"]].to_numpy().tolist() == [["ZDM", "NR"], ["ZDM", "SR"]]
    refused(r"no subject 'ZBA' \(did you mean 'ZAB'\?\)", read_zuco, tmp_path, dataset="zuco1", subjects=["ZBA"])
    refused("no task 'TSR'", read_zuco, tmp_path, dataset="zuco1", tasks=["TSR"])
    write_5(tmp_path / "copy" / "resultsZAB_SR.mat", TEXTS[:1], [eeg(600)])
    refused("are the same subject and task", read_zuco, tmp_path, dataset="zuco1")
    refused("no such folder", read_zuco, tmp_path / "none", dataset="zuco1")
    (tmp_path / "empty").mkdir()
    refused(r"no results<SUBJECT>_<TASK>.mat", read_zuco, tmp_path / "empty", dataset="zuco1")


def test_duplicates_are_listed(tmp_path) -> None:
    write_5(tmp_path / "1" / "resultsZAB_NR.mat", [TEXTS[1], TEXTS[2], TEXTS[1]], [eeg(600, k) for k in range(3)])
    write_73(tmp_path / "2" / "resultsYAC_TSR.mat", [TEXTS[2].upper(), "Another one."], [eeg(600)] * 2)
    both = join_recordings([read_zuco(tmp_path / str(k), dataset=f"zuco{k}") for k in (1, 2)])
    assert both.signals.shape == (5, 128, 1280)
    twice = both.duplicates().set_index("text")
    assert twice["tasks"].to_dict() == {TEXTS[1]: "zuco1 NR", TEXTS[2]: "zuco1 NR, zuco2 TSR"}
    assert twice["most_by_subject"].to_dict() == {TEXTS[1]: 2, TEXTS[2]: 1}
    assert twice.loc[TEXTS[2], ["n_tasks", "n_subjects", "n_trials"]].tolist() == [2, 2, 2]
    assert "2 texts in several tasks or read again by a subject" in both.describe()
    assert both.sentences["repeat"].tolist() == [1, 1, 2, 1, 1]
    part = both.select(both.sentences["dataset"].eq("zuco2").to_numpy())
    assert part.sentences["trial_id"].tolist() == ["zuco2-YAC-TSR-000", "zuco2-YAC-TSR-001"]


def test_texts_are_matched_to_the_table_of_the_task(tmp_path) -> None:
    materials = tmp_path / "sentiment_labels_task1.csv"
    rows = ["sentence_id;sentence;control;sentiment_label", "# positive=1, neutral=0, negative=-1"]
    rows += ["1;The film is\u2028empty of ideas.;;-1", f"2;{TEXTS[1]};;0", '3;"Never read; by anyone.";;1', ""]
    materials.write_text("\n".join(rows), encoding="utf-8")
    table = read_task_table(materials)
    assert table["text"].tolist() == ["The film is empty of ideas.", TEXTS[1], "Never read; by anyone."]
    assert table["sentiment_label"].tolist() == ["-1", "0", "1"]
    broken = TEXTS[1].encode().decode("latin-1")  # mojibake, as in some files of the release
    lost = TEXTS[1].replace("é", "\ufffd", 1)  # a character that cannot be repaired, only matched
    texts = [TEXTS[2], TEXTS[0], broken, lost]
    lengths = (2000, 600, 500, 400)
    write_5(tmp_path / "resultsZAB_SR.mat", texts, [eeg(n, k) for k, n in enumerate(lengths)])
    write_5(tmp_path / "resultsZDM_SR.mat", texts[1:], [eeg(300, k) for k in range(3)])  # where longer ones were
    write_5(tmp_path / "resultsZAB_NR.mat", TEXTS[2:], [eeg(600)])
    read = read_zuco(tmp_path, dataset="zuco1", tables={"SR": table})
    assert read.sentences["task"].tolist() == ["NR", *["SR"] * 6]
    assert read.sentences["text"].tolist()[1:] == ["The film is empty of ideas.", TEXTS[1], TEXTS[1]] * 2
    assert read.sentences["sentiment_label"].tolist()[1:] == ["-1", "0", "0"] * 2
    assert read.sentences["matched"].round(3).tolist()[1:] == [1.0, 1.0, 0.968] * 2
    assert read.drops()[["task", "reason", "n"]].to_numpy().tolist() == [["SR", "not in the table of the task", 1]]
    kept = [(600, 0), *[(n, k) for k, n in enumerate(lengths)][1:], *[(300, k) for k in range(3)]]
    for row, (n, seed) in enumerate(kept):
        samples = round(n * 128 / 500)
        assert read.mask[row].tolist() == [True] * samples + [False] * (1280 - samples)
        expected = resample(eeg(n, seed)[:104], samples, axis=1)
        np.testing.assert_allclose(read.signals[row, :104, :samples], expected, atol=1e-4)
        assert not read.signals[row, :, samples:].any()
    assert len(read_zuco(tmp_path, dataset="zuco1", tables={"SR": table}, unmatched="keep").sentences) == 8
    refused(r"1 sentences are not in", read_zuco, tmp_path, dataset="zuco1", tables={"SR": table}, unmatched="raise")
    refused("tables: no task 'TSR'", read_zuco, tmp_path, dataset="zuco1", tables={"TSR": table})
    path = tmp_path / "nr_1.csv"
    path.write_bytes("1;1;A café, there.;CONTROL\n1;2;Another one.;\n".encode("cp1252"))
    table = read_task_table(path, columns=["paragraph_id", "sentence_id", "sentence", "control"])
    rows = table.drop(columns="stimulus_id").to_numpy().tolist()
    assert rows == [["A café, there.", "1", "1", "CONTROL"], ["Another one.", "1", "2", ""]]
    refused("no column 'sentence'", read_task_table, path)
    refused("none.csv: no such file", read_task_table, tmp_path / "none.csv")


def test_signals_may_go_to_a_file_and_texts_are_repaired(tmp_path) -> None:
    write_5(tmp_path / "in" / "resultsZAB_SR.mat", TEXTS, [eeg(600), np.array(np.nan), eeg(800, 1)])
    outside = read_zuco(tmp_path / "in", dataset="zuco1", signals=tmp_path / "signals.npy")
    assert isinstance(outside.signals, np.memmap)
    np.testing.assert_array_equal(outside.signals, read_zuco(tmp_path / "in", dataset="zuco1").signals)
    assert np.load(tmp_path / "signals.npy").shape == (2, 128, 1280)  # the row of the dropped trial is gone
    assert (tmp_path / "signals.npy").stat().st_size < 2 * 128 * 1280 * 4 + 4096
    assert [path.name for path in tmp_path.glob("*.npy")] == ["signals.npy"]
    for text in ("Bôcher’s “house” – naïve", "Marić", "das Café", "日本 and 😀", "“allé…” „Spaß“ CAFÉ–BAR"):
        data = text.encode()
        assert clean_text(data.decode("latin-1")) == text
        with contextlib.suppress(UnicodeDecodeError):  # five bytes have no character in this code
            assert clean_text(data.decode("cp1252")) == text
        assert clean_text(text) == text
    assert clean_text("cafe\u0301  is\tthere \n") == "café is there"
    assert clean_text("a film.1 teh", {"teh": "the"}) == "a film.1 the"
    assert text_id("Cafe\u0301 noir") == text_id("café  noir")
    assert text_id("Café noir") != text_id("Cafe noir")
