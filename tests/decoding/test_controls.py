from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from jobs import peak_bytes
from refusals import refused

from brainalign import decoding
from brainalign.decoding import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.scoring import nuisance
from brainalign.simulation import EegText, eeg_power, eeg_text, text_sentences

Decode = Callable[[np.ndarray, pd.DataFrame], np.ndarray]


def world(make: Callable[..., EegText] = eeg_text, snr: float = 0.6) -> EegText:
    sentences = text_sentences().sample(200, random_state=0).reset_index(drop=True)
    sizes = {"n_subjects": 2, "n_channels": 8, "n_times": 32, "n_components": 6}
    return make(np.random.default_rng(0).normal(size=(200, 6)), sentences, snr=snr, **sizes, shares=(0.1, 0.2), seed=1)


def split(found: EegText) -> tuple[decoding.Trials, decoding.Trials]:
    both = decoding.Trials(found.signals, found.targets, found.trials)
    return both.select(found.rows("train")), both.select(found.rows("test"))


def ridge(features: str = "raw", **options: int) -> Callable[..., Decode]:
    def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Decode:
        decoder = decoding.LinearDecoder("own", features, **options).fit(signals, targets, meta["subject"].to_numpy())
        return lambda signals, meta: decoder.predict(signals, meta["subject"].to_numpy())

    return fit


def test_a_decoder_that_uses_the_brain() -> None:
    found = world()
    train, test = split(found)
    before = {"pre-stimulus": found.before[found.rows("test")]}
    matrix = decoding.control_matrix(ridge(), train, test, other_tests=before, n_permutations=300)
    assert len(matrix.table) == 3 * 6 * 3
    assert matrix.cell("brain", "brain", "top-1")["value"] > 0.4
    assert matrix.cell("brain", "brain", "top-1")["chance"] == pytest.approx(1 / 40, abs=0.01)
    nulls = matrix.table.set_index(["trained", "tested"]).drop([("brain", "brain")])
    assert (nulls["value"] <= nulls["limit"] + 1e-9).mean() >= 0.9  # 51 cells; reversed ones need not be nulls
    for cell in (("brain", "noise"), ("brain", "pre-stimulus"), ("noise", "brain"), ("shuffled", "brain")):
        assert (nulls.loc[[cell], "value"] <= nulls.loc[[cell], "limit"]).all(), cell
    said = decoding.verdict(matrix, nuisances=decoding.nuisance_scores(train, test, n_permutations=99))
    assert (said.uses_brain, said.not_excluded) == (True, ())
    assert all(part in said.sentences[0] for part in ("The decoder uses the brain: 2-way 0.", ", p = 0.003, above"))
    assert "locked to the stimulus" in str(said)
    unasked = decoding.verdict(matrix)  # nobody looked at the place in the session
    assert (unasked.uses_brain, unasked.not_excluded) == (False, ("place in the session",))


def test_weak_meaning_is_told_by_how_many_sentences_are_less_similar() -> None:
    """Few right sentences are the first found; the verdict does not rest on these alone."""
    train, test = split(world(snr=0.25))
    matrix = decoding.control_matrix(ridge(), train, test, seeds=(0,), tested_on=("brain", "noise"), n_permutations=199)
    alone = decoding.nuisance_scores(train, test, n_permutations=99)
    assert not decoding.verdict(matrix, "top-1", nuisances=alone).uses_brain
    assert decoding.verdict(matrix, nuisances=alone).uses_brain


def test_a_decoder_that_reads_the_table_does_not_use_the_brain() -> None:
    """It scores far above chance, with noise and with anything else."""
    train, test = split(world())

    def cheat(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Decode:
        known = {**dict(zip(test.meta["stimulus_id"], test.targets, strict=True))}
        rng = np.random.default_rng(seed)
        return lambda signals, meta: np.stack([known[s] + 1.5 * rng.normal(size=6) for s in meta["stimulus_id"]])

    matrix = decoding.control_matrix(cheat, train, test, n_permutations=300)
    assert all(matrix.cell(kind, kind, "top-1")["p"] < 0.01 for kind in ("brain", "noise"))
    said = decoding.verdict(matrix)
    assert not said.uses_brain
    assert said.sentences[0].startswith("Nothing shows that the decoder uses the brain: trained on")


def as_good(seed: int) -> bool:
    """Return the verdict on signals beside others of equal information, each with noise of its own."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(140, 12))
    stimuli = np.concatenate([np.arange(100), np.tile(np.arange(100, 140), 4)])
    subjects = np.concatenate([np.repeat("0", 100), np.repeat(list("0123"), 40)])
    meta = pd.DataFrame({"stimulus_id": stimuli, "subject": subjects, "task": "x"})
    both = [(vectors[stimuli] + 1.3 * rng.normal(size=(len(stimuli), 12)))[:, :, None] for _ in range(2)]
    trials = decoding.Trials(both[0], vectors[stimuli], meta)
    train, test = trials.select(np.arange(100)), trials.select(np.arange(100, 260))

    def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Decode:
        x = signals[:, :, 0]
        weights = np.linalg.solve(x.T @ x + 50 * np.eye(12), x.T @ targets)
        return lambda signals, meta: signals[:, :, 0] @ weights

    options = {"other_tests": {"EOG only": both[1][100:]}, "tested_on": ("brain", "noise"), "seeds": (0,)}
    matrix = decoding.control_matrix(fit, train, test, **options, n_permutations=99)
    assert matrix.cell("brain", "EOG only", "top-1")["p"] <= 0.01
    return decoding.verdict(matrix).uses_brain


def test_equal_information_elsewhere_is_not_beaten_and_noise_is_called_noise() -> None:
    """Exchanges alone ask whether either cell decodes, and call the luckier one better in a quarter of worlds."""
    assert sum(as_good(seed) for seed in range(20)) <= 1
    train, test = split(world(snr=0.0))
    matrix = decoding.control_matrix(ridge(), train, test, n_permutations=300)
    assert (matrix.table["p"] > 0.005).all()
    said = decoding.verdict(matrix)
    assert not said.uses_brain
    assert said.sentences[0].startswith("Nothing shows that the decoder uses the brain: it scores at chance")


def test_what_survives_random_phases_is_power() -> None:
    train, test = split(world(eeg_power, snr=1.5))
    kinds = ("brain", "noise", "phase-randomised")
    matrix = decoding.control_matrix(ridge("log_power"), train, test, tested_on=kinds, n_permutations=300)
    alone = decoding.nuisance_scores(train, test, n_permutations=99)
    assert decoding.verdict(matrix, "top-5", nuisances=alone).uses_brain
    raw = decoding.control_matrix(ridge(), train, test, tested_on=("brain", "noise"), seeds=(0,), n_permutations=300)
    assert not decoding.verdict(raw, "top-5").uses_brain
    # One power over the whole epoch: the phase is not asked, so it need not be kept.
    whole = ridge("log_power", window=32)
    matrix = decoding.control_matrix(whole, train, test, tested_on=kinds, seeds=(0,), n_permutations=300)
    cells = [matrix.cell("brain", kind, "top-5")["value"] for kind in ("brain", "phase-randomised")]
    assert cells[0] == pytest.approx(cells[1])
    assert "it uses power or length" in str(decoding.verdict(matrix, "top-5"))


def test_blocks_of_two_tasks_are_beside_chance_within_the_task() -> None:
    """Signals tell the task and nothing else, and every label is of one task."""
    n = np.arange(64)
    task = np.array(["read", "search"])[n // 32]
    label = np.char.add(task, np.array([" a", " b"])[n % 2])
    signals = np.where(task == "read", 1.0, -1.0)[:, None, None] * np.ones((1, 2, 4))
    meta = pd.DataFrame({"stimulus_id": n, "subject": "01", "task": task, "block": n // 8, "label": label})

    def fit(signals: np.ndarray, targets: np.ndarray, meta: pd.DataFrame, seed: int) -> Decode:
        return lambda s, m: np.where(s.mean(axis=(1, 2)) > 0, "read a", "search a")

    blocks = decoding.leave_block_out(fit, decoding.Trials(signals, np.ones((64, 2)), meta), label="label")
    np.testing.assert_allclose(blocks["value"], 0.5)
    np.testing.assert_allclose(blocks["chance"], 0.5)


def topics_in_turn(seed: int, snr=0.0, n_subjects: int = 1) -> tuple[decoding.Trials, decoding.Trials, decoding.Trials]:
    """All trials, training and test: 240 sentences read topic by topic, in noise plus a slow walk, plus meaning."""
    rng = np.random.default_rng([seed, 5])
    n, n_topics = 240, 8
    topic = np.arange(n) * n_topics // n
    vectors = rng.normal(size=(n_topics, 8))[topic] + 0.5 * rng.normal(size=(n, 8))
    mixing = rng.normal(size=(8, 10))
    signals, tables = [], []
    for k in range(n_subjects):  # each begins with another topic
        place = np.argsort(np.argsort((topic + k) % n_topics * n + np.arange(n)))
        walk = np.cumsum(rng.normal(size=(n, 10)), axis=0)[place]
        signals.append(rng.normal(size=(n, 10, 4)) + (walk + snr * vectors @ mixing)[:, :, None])
        table = pd.DataFrame({"stimulus_id": np.arange(n), "subject": str(k), "task": "x", "trial_index": place})
        tables.append(table.assign(block=place // 20))
    meta = pd.concat(tables, ignore_index=True)
    trials = decoding.Trials(np.concatenate(signals), np.tile(vectors, (n_subjects, 1)), meta)
    held = np.tile(rng.permutation(n) % 5 == 0, n_subjects)
    return trials, trials.select(~held), trials.select(held)


@pytest.mark.parametrize("n_subjects", [1, 2])
def test_drift_is_not_called_brain(n_subjects: int) -> None:
    """Without brain signals the place in the session tells the topic; who read what when differs between subjects."""
    trials, train, test = topics_in_turn(1, n_subjects=n_subjects)
    tested_on = ("brain", "noise", "phase-randomised")
    matrix = decoding.control_matrix(ridge(), train, test, seeds=(0,), tested_on=tested_on, n_permutations=199)
    cells = [cell for cell in matrix.pair_scores if cell[2] == "top-5" and cell[:2] != ("brain", "brain")]
    # Above every cell without a brain, as noise has no drift: this was called brain.
    assert all(matrix.beats(matrix.pair_scores[cell], "top-5", 0.01) for cell in cells)
    alone = decoding.nuisance_scores(train, test, n_permutations=99)
    said = decoding.verdict(matrix, "top-5", nuisances=alone)
    assert not said.uses_brain
    assert "neighbours in time" in said.not_excluded
    assert "locked to the stimulus" not in str(said)  # of the drift, which random phases take away
    assert not decoding.verdict(matrix, "top-5").uses_brain
    blocks = decoding.leave_block_out(ridge(), trials)
    for given in (None, alone):
        assert not decoding.verdict(matrix, "top-5", blocks, nuisances=given).uses_brain


def test_meaning_beside_the_same_drift_is_called_brain() -> None:
    trials, train, test = topics_in_turn(0, snr=3.0)
    matrix = decoding.control_matrix(ridge(), train, test, seeds=(0,), tested_on=("brain", "noise"), n_permutations=199)
    alone = decoding.nuisance_scores(train, test, n_permutations=99)
    blocks = decoding.leave_block_out(ridge(), trials)
    this = blocks.assign(value=blocks["value"].where(blocks["measure"] == "top-1", 0))  # nothing by other measures
    for beside in ({"nuisances": alone}, {"blocks": this}, {"blocks": this, "nuisances": alone}):
        assert decoding.verdict(matrix, "top-1", **beside).uses_brain
    told: list[set[int]] = []

    def answers(given: decoding.Trials) -> Callable[[np.ndarray], np.ndarray]:
        told.append(set(given.meta["block"]))
        return lambda vectors: -vectors

    turned = decoding.leave_block_out(ridge(), trials, answers=answers)
    assert told == [set(blocks["block"]) - {block} for block in blocks["block"].unique()]
    assert turned["value"].equals(blocks["value"])  # answers are asked of neighbours alone
    assert turned["neighbours"].sum() < blocks["neighbours"].sum()
    of_r = decoding.nuisance_scores(train, test, lambda v, d: {"r": v @ d.targets.T})
    few = decoding.nuisance_scores(train, test.select(np.arange(20)), n_permutations=99)
    names = [f"{name}{k}" for name in nuisance.NUMBERS.values() for k in range(2)]  # each two tell a quarter of vectors
    metas = [of.meta.assign(label="a").join(pd.DataFrame(of.targets, columns=names)) for of in (train, test)]
    one = [decoding.Trials(of.signals, of.targets, meta) for of, meta in zip((train, test), metas, strict=True)]
    assert (decoding.nuisance_scores(*one, label="label", n_permutations=9).table["value"] == 1).all()
    told_all = decoding.nuisance_scores(*one, n_permutations=99)
    assert decoding.verdict(matrix, "top-1", blocks, nuisances=told_all).not_excluded == ("all but time",)
    refused("not scored by 'top-1'", decoding.verdict, matrix, "top-1", nuisances=of_r)
    refused("score the same trials and stimuli", decoding.verdict, matrix, "top-1", nuisances=few)


def test_neighbours_in_time_take_chunks_and_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, train, test = topics_in_turn(0, n_subjects=2)
    whole = decoding.neighbours_in_time(train.meta, train.targets, test.meta)
    widths, place = 2.0 ** np.arange(6), train.meta["trial_index"].to_numpy(dtype=float)
    subject, stimulus = (train.meta[name].to_numpy() for name in ("subject", "stimulus_id"))
    apart, means = (subject[:, None] == subject) & (stimulus[:, None] != stimulus), []
    for width in widths:
        weights = np.exp(-np.abs(place[:, None] - place) / width) * apart
        means.append(weights @ train.targets / weights.sum(axis=1, keepdims=True))
    best = int(np.argmin([np.square(one - train.targets).sum() for one in means]))
    assert 0 < best < 5
    np.testing.assert_allclose(whole[0], means[best], rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(nuisance, "CHUNK", 700)
    for chunked, full in zip(decoding.neighbours_in_time(train.meta, train.targets, test.meta), whole, strict=True):
        np.testing.assert_allclose(chunked, full, rtol=1e-12, atol=1e-12)
    n = 1500
    table = pd.DataFrame({"stimulus_id": np.arange(n), "subject": "01", "task": "x", "trial_index": np.arange(n)})
    peak = peak_bytes(lambda: decoding.neighbours_in_time(table, np.ones((n, 2)), table))
    assert peak < n * n  # one matrix of distances has 8 n²


def test_neighbours_in_time_are_of_the_same_subject_and_bad_input() -> None:
    targets, table = np.eye(5), pd.DataFrame({"stimulus_id": [0, 1, 1, 2, 3], "subject": list("aaaab"), "task": "x"})
    table["trial_index"] = range(5)
    asked = pd.DataFrame({"stimulus_id": [7, 8, 9], "subject": list("abc"), "task": "x", "trial_index": [1.5, 0, 0]})
    train, test = decoding.neighbours_in_time(table, targets, asked, width=1.0)
    near, far = np.exp(-0.5), np.exp(-1.5)
    np.testing.assert_allclose(test[0], np.array([far, near, near, far, 0]) / (2 * near + 2 * far))
    np.testing.assert_allclose(test[1], targets[4])
    np.testing.assert_allclose(test[2], targets.mean(axis=0))
    np.testing.assert_allclose(train[1], np.array([np.exp(-1), 0, 0, np.exp(-2), 0]) / (np.exp(-1) + np.exp(-2)))
    np.testing.assert_allclose(train[4], targets.mean(axis=0))  # nobody else of this subject
    narrow = decoding.neighbours_in_time(table, targets, asked.assign(trial_index=1e6), width=1e-3)[1]
    np.testing.assert_allclose(narrow[0], targets[3])  # far from all: the nearest, not 0 / 0
    train, test = split(world())
    refused("both train and test", decoding.control_matrix, ridge(), train, train)
    refused("did you mean 'shuffled'", decoding.control_matrix, ridge(), train, test, trained_on=("brain", "shufled"))
    refused("compares with 'brain'", decoding.control_matrix, ridge(), train, test, tested_on=("noise",))
    refused("choose another name", decoding.control_matrix, ridge(), train, test, other_tests={"noise": test.signals})
    refused("no column 'task'", decoding.Trials, train.signals, train.targets, train.meta.drop(columns="task"))
    alone = decoding.control_matrix(ridge(), train, test, tested_on=("brain",), seeds=(0,), n_permutations=99)
    refused("brain / noise", decoding.verdict, alone)
    matrix = decoding.control_matrix(ridge(), train, test, tested_on=("brain", "noise"), seeds=(0,), n_permutations=20)
    refused("cannot reach", decoding.verdict, matrix)
    refused("no column 'block'", decoding.leave_block_out, ridge(), train)


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    rng, mixing = np.random.default_rng(0), np.array([[1, 0.8, 0], [0, 1, -0.6], [0.3, 0, 1]])
    noise = np.cumsum(rng.normal(size=(400, 3, 60)), axis=2) * 0.1 + rng.normal(size=(400, 3, 60))
    return mixing @ (noise - noise.mean() + np.exp(-0.5 * ((np.arange(60) - 20) / 3) ** 2))


def cross(signals: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(signals, axis=2)
    return np.einsum("ncf,ndf->fcd", spectrum, spectrum.conj()) / len(signals)


@pytest.mark.parametrize("keep", ["power", "cross-spectrum"])
def test_random_phases(signals: np.ndarray, keep: str) -> None:
    made, amplitude = phase_randomised(signals, np.random.default_rng(1), keep), np.abs(np.fft.rfft(signals, axis=2))
    np.testing.assert_allclose(np.abs(np.fft.rfft(made, axis=2)), amplitude, atol=1e-9)  # of every trial
    assert np.abs(made.mean(axis=0)).max() < 0.3 * np.abs(signals.mean(axis=0)).max()
    assert abs(np.corrcoef(made.ravel(), signals.ravel())[0, 1]) < 0.05
    covariance, kept = (np.cov(one.swapaxes(0, 1).reshape(3, -1)) for one in (signals, made))
    if keep == "cross-spectrum":
        np.testing.assert_allclose(cross(made), cross(signals), atol=1e-9)
    else:
        assert np.abs(kept[0, 1]) < 0.15 * np.abs(covariance[0, 1])


@pytest.mark.parametrize("n_times", [60, 59])
@pytest.mark.parametrize("keep", ["power", "cross-spectrum"])
def test_noise_of_equal_spectrum(signals: np.ndarray, keep: str, n_times: int) -> None:
    signals = signals[:, :, :n_times]
    made = spectrum_noise(np.tile(signals, (10, 1, 1)), np.random.default_rng(2), keep=keep)
    found, planted = cross(made), cross(signals)
    power = np.einsum("fcc->fc", planted).real
    np.testing.assert_allclose(np.einsum("fcc->fc", found).real, power, rtol=0.12)
    size = np.sqrt(power[:, :, None] * power[:, None])
    kept = np.abs(found - planted) / size if keep == "cross-spectrum" else np.abs(found) / size
    off = ~np.eye(3, dtype=bool)
    assert kept[:, off].max() < 0.08
    assert (np.abs(planted) / size)[:, off].max() > 0.5  # there was something to keep or lose
    # Nothing of single trials, and nothing of what is locked to their onset.
    assert np.abs(made.mean(axis=0)).max() < 0.15 * np.abs(signals.mean(axis=0)).max()
    assert abs(np.corrcoef(made[:400].ravel(), signals.ravel())[0, 1]) < 0.05


def test_bad_input(signals: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    refused("did you mean 'power'", phase_randomised, signals, rng, "powers")
    refused("n_channels", time_reversed, signals[0])
    refused("do not fit 60 times", time_reversed, signals, np.full(400, 61))
    refused("NaN", spectrum_noise, np.full((2, 2, 8), np.nan), rng)
