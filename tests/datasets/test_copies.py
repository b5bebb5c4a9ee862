from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.datasets import copied_files, copied_trials, copy_problems, fingerprint


def eeg(n: int, seed: int, drift: float = 0.0) -> np.ndarray:
    """Return epochs (n, 8, 50) of a signal common to all, noise, and a slow walk of every channel."""
    rng = np.random.default_rng(seed)
    evoked = 3 * np.sin(np.linspace(0, 9, 50)) * np.random.default_rng(99).normal(size=(8, 1))
    walk = drift * np.cumsum(rng.normal(size=(n, 8)), axis=0)
    times = np.linspace(0, 1, 50)
    offsets = walk[:, :, None] + drift * rng.normal(size=(n, 8, 1)) * times + 20 * drift
    return evoked + offsets + rng.normal(size=(n, 8, 50))


def patterns(n: int, seed: int) -> np.ndarray:
    """Return volumes (n, 300) in scanner units: an anatomy that is the same in all, and 1 % of change."""
    rng = np.random.default_rng(seed)
    anatomy = np.random.default_rng(7).uniform(200, 2000, 300)
    return anatomy * (1 + 0.01 * rng.normal(size=(n, 300)))


def known(values, name: str = "t", place: str = "1"):
    return fingerprint(values, [f"{name}{k}" for k in range(len(values))], [place] * len(values))


def quantised(values):
    step = np.abs(values).max() / 32767
    return np.round(values / step).astype(np.int16).astype(np.float64) * step


WRITTEN = {
    "as it was": lambda values: values,
    "in single precision": lambda values: values.astype(np.float32),
    "in 16 bits": quantised,
    "in text of six digits": lambda values: np.array([float(f"{x:.6g}") for x in values.ravel()]).reshape(values.shape),
    "in another order": lambda values: values[::-1],
    "in part": lambda values: values[5:15],
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("make", [eeg, patterns])
def test_a_recording_is_known_again_however_it_was_written(make, written) -> None:
    first, second = make(40, 1), make(40, 2)
    copy = WRITTEN[written](first)
    # Half of the second recording is its own: whole trials are compared, not recordings.
    parts = {"01": known(first, "a"), "02": known(np.concatenate([second, copy]), "b", "2")}
    pairs = copied_trials(parts)
    assert len(pairs) == len(copy)
    expected = np.arange(40)
    expected = expected[::-1] if written == "in another order" else expected[5:15] if written == "in part" else expected
    found = dict(zip(pairs["trial_b"], pairs["trial_a"], strict=True))
    assert found == {f"b{40 + row}": f"a{of}" for row, of in enumerate(expected)}


UNLIKE = {
    "noise": lambda seed: eeg(200, seed),
    "slow drift": lambda seed: eeg(200, seed, drift=50.0),
    "an anatomy": lambda seed: patterns(200, seed),
    "few targets": lambda seed: np.random.default_rng(seed).normal(size=(200, 8)),
    "one loud target": lambda seed: patterns(200, seed) * np.where(np.arange(300) == 0, 1e5, 1),
    "counts of few spikes": lambda seed: np.random.default_rng(seed).poisson(0.3, size=(200, 40)).astype(float),
    "flat and missing trials": lambda seed: np.where(np.arange(200)[:, None] < 20, np.nan, np.zeros((200, 30))),
}


@pytest.mark.parametrize("data", UNLIKE)
def test_trials_of_their_own_are_no_copies(data) -> None:
    make = UNLIKE[data]
    assert copied_trials({"01": known(make(3), place="1"), "02": known(make(4), place="2")}).empty


def test_repeats_of_a_stimulus_are_no_copies() -> None:
    shown = np.random.default_rng(0).normal(size=(20, 60))
    rng = np.random.default_rng(1)
    repeats = np.concatenate([shown + 0.3 * rng.normal(size=shown.shape) for _ in range(4)])
    assert copied_trials({"01": known(repeats)}).empty


def test_flat_channels_do_not_hide_a_copy() -> None:
    first = eeg(30, 1)
    first[:, 2] = 0
    assert len(copied_trials({"01": known(first), "02": known(first)})) == 30


@pytest.mark.parametrize("places", [1, 5])
def test_a_huge_artefact_makes_no_other_trials_copies(places: int) -> None:
    values = np.random.default_rng(5).normal(size=(100, 32))
    values[[7, 60]] *= 1e4
    ids = [f"t{k}" for k in range(100)]

    def pairs(values: np.ndarray) -> list[tuple[str, str]]:
        table = copied_trials({"01": fingerprint(values, ids, [str(k % places) for k in range(100)])})
        return list(zip(table["trial_a"], table["trial_b"], strict=True))

    assert pairs(values) == []
    values[90] = values[20] * (1 + 1e-5)
    assert pairs(values) == [("t20", "t90")]


def test_a_huge_artefact_among_recordings_of_one_trial_each() -> None:
    values = np.random.default_rng(5).normal(size=(30, 32))
    values[7] *= 1e4
    assert copied_trials({f"{k:02d}": known(values[[k]]) for k in range(30)}).empty


def test_targets_silent_in_most_trials_do_not_hide_a_copy() -> None:
    """Their quartiles are what rounding left of channels that are dead nine times in ten."""
    first, other = eeg(40, 1), eeg(40, 2)
    for seed, values in enumerate((first, other)):
        values[np.arange(40) % 10 != 0, :6] = 1 + 1e-12 * np.random.default_rng(seed).normal(size=(36, 6, 50))
    parts = {"01": known(first), "02": known(first.astype(np.float32)), "03": known(other)}
    pairs = copied_trials(parts)
    assert set(pairs["part_a"] + pairs["part_b"]) == {"0102"}
    assert (pairs["trial_a"] == pairs["trial_b"]).sum() == len(pairs) == 40


def test_reading_takes_little_memory_whatever_a_trial_weighs() -> None:
    values = np.zeros((100, 64, 1000), dtype=np.float32)  # 26 MB; 3 * 51 MB where all are held in float64
    tracemalloc.start()
    kept = known(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.values.shape == (100, 256)
    assert peak < 25e6


def test_copies_stop_where_they_lie_on_two_sides() -> None:
    values = eeg(20, 1)
    twice = fingerprint(np.concatenate([values, values[:3]]), [f"t{k}" for k in range(23)], ["1"] * 20 + ["2"] * 3)
    pairs = copied_trials({"01": twice})
    (problem,) = copy_problems(pairs, "subjects.01")
    assert problem.level == "error"
    assert problem.rows == ("t0", "t1", "t2", "t20", "t21", "t22")

    def split(tested: list[str]) -> pd.DataFrame:
        names = [f"t{k}" for k in range(23)]
        return pd.DataFrame(
            {"trial_id": names, "fold": 0, "split": ["test" if n in tested else "train" for n in names]}
        )

    assert [p.level for p in copy_problems(pairs, "x", [split(["t0", "t20", "t1", "t21", "t2", "t22"])])] == ["warning"]
    problems = copy_problems(pairs, "x", [split(["t0", "t20", "t5"]), split(["t1"])])
    assert sorted((p.level, len(p.rows)) for p in problems) == [("error", 2), ("warning", 4)]
    # Other subjects are pages of their own: a copy there leaks into no test, but counts twice in a group.
    assert [p.level for p in copy_problems(copied_trials({"01": known(values), "02": known(values)}), "x")] == [
        "warning"
    ]


def test_files_of_the_same_bytes_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = {name: rng.bytes(300_000) for name in "abc"}
    content["copy of a"] = content["a"]
    content["a, one bit later"] = content["a"][:150_001] + bytes([content["a"][150_001] ^ 1]) + content["a"][150_002:]
    content["a, one bit elsewhere"] = content["a"][:99_000] + bytes([content["a"][99_000] ^ 1]) + content["a"][99_001:]
    content |= {"empty": b"", "empty too": b""}
    files = {}
    for number, (name, data) in enumerate(content.items()):
        files[name] = tmp_path / f"{number}.bin"
        files[name].write_bytes(data)
    assert copied_files(files | {"folder": tmp_path}) == [("a", "copy of a")]
