import numpy as np
import pandas as pd
import pytest
from refusals import refused
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity

from brainalign.decoding import repeat_curve, retrieval_accuracy, similarity_ranks, way_accuracy, zero_shot_labels


def test_ranks_by_hand_and_ties_count_against(rng: np.random.Generator) -> None:
    queries, gallery = rng.normal(size=(20, 5)), rng.normal(size=(8, 5))
    expected = [[(row >= one).sum() for one in row] for row in cosine_similarity(queries, gallery)]
    np.testing.assert_array_equal(similarity_ranks(queries, gallery), expected)
    for asked, given in ((queries, np.ones((8, 5))), (np.zeros((3, 5)), gallery)):  # one vector, an empty answer
        assert (similarity_ranks(asked, given) == 8).all()


def test_ways_are_the_mean_over_random_galleries() -> None:
    rng = np.random.default_rng(2)
    gallery = rng.normal(size=(30, 6))
    queries = gallery + 1.2 * rng.normal(size=gallery.shape)
    found = retrieval_accuracy(queries, gallery, range(30), range(30), ways=(2, 10), n_permutations=99).table
    similar = cosine_similarity(queries, gallery)
    for k in (2, 10):
        draws = [(i, rng.choice(np.delete(range(30), i), k - 1, replace=False)) for _ in range(150) for i in range(30)]
        hits = [(similar[i, others] < similar[i, i]).all() for i, others in draws]
        row = found.set_index("measure").loc[f"{k}-way"]
        assert (row["value"], row["chance"]) == (pytest.approx(np.mean(hits), abs=0.02), pytest.approx(1 / k))
    half = retrieval_accuracy(queries, gallery, range(30), range(30), ways=(2, 10), confidence=0.5).table
    assert (half["high"] - half["low"] < 0.5 * (found["high"] - found["low"])).all()
    np.testing.assert_allclose(way_accuracy(30, 30), np.eye(30)[0], atol=1e-12)
    np.testing.assert_allclose(way_accuracy(2000, 24).mean(), 1 / 24)


def test_nothing_is_found_in_noise_and_bad_input_is_named() -> None:
    rng = np.random.default_rng(4)
    shown = np.concatenate([np.zeros(30, dtype=int), np.arange(20)])
    gallery = rng.normal(size=(20, 6))
    found = retrieval_accuracy(rng.normal(size=(50, 6)), gallery, shown, range(20)).table.set_index("measure")
    assert found.loc["top-1", "p"] > 0.01
    assert (found.loc["top-1", "majority"], found.loc["top-1", "chance"]) == (pytest.approx(31 / 50), 1 / 20)
    # Always naming the frequent stimulus looks good beside chance, and exchanges of stimuli say what it is.
    constant = retrieval_accuracy(np.tile(gallery[:1], (50, 1)), gallery, shown, range(20)).table.set_index("measure")
    assert constant.loc["top-1", "value"] == constant.loc["top-1", "majority"]
    assert constant.loc["top-1", "p"] >= 0.02
    vectors = np.random.default_rng(6).normal(size=(10, 3))
    refused("not in the gallery .*70.*77", retrieval_accuracy, vectors, vectors, [*range(8), 77, 70], range(10))
    refused("same space", retrieval_accuracy, vectors[:, :2], vectors, range(10), range(10))
    refused("NaN", retrieval_accuracy, np.full((10, 3), np.nan), vectors, range(10), range(10))
    rows, task = [0, 0, 1, 2], "give the task, not the subject"
    refused(task, retrieval_accuracy, vectors[rows], vectors, rows, range(10), groups=np.array(list("abaa")))
    refused("nothing to retrieve", retrieval_accuracy, vectors[:1], vectors[:1], [0], [0])


def test_averaging_repeats_raises_accuracy_towards_the_ceiling() -> None:
    rng = np.random.default_rng(7)
    n, repeats = 25, 16
    gallery, whose = rng.normal(size=(n, 10)), np.repeat(["a", "b"], n * repeats)
    trials = pd.DataFrame({"stimulus_id": np.tile(np.arange(n), 2 * repeats), "subject": whose})
    signals = gallery[trials["stimulus_id"]] + 3 * rng.normal(size=(len(trials), 10))
    curve = repeat_curve(signals, trials, lambda x, _: x, gallery, range(n), n_draws=5)
    assert curve["n_averaged"].tolist() == [1, 2, 4, 8, 16]
    assert (curve["value"].diff().dropna() > 0).all()
    assert curve["value"].iloc[-1] > 0.6
    # Halves are as noisy as the queries, so they set less than the noiseless gallery does.
    assert (curve["ceiling"][:-1] < curve["value"][:-1]).all()
    assert np.isnan(curve["ceiling"].iloc[-1])
    apart, seen = trials.assign(subject=trials["stimulus_id"] // 5, n_samples=whose == "a"), []
    null = repeat_curve(rng.normal(size=signals.shape), apart, lambda x, t: (seen.append(t), x)[1], gallery, range(n))
    assert not seen[-1]["n_samples"].any()  # those that all trials of an average have
    assert (null["value"] < 0.12).all()
    assert (null["ceiling"].dropna() < 0.12).all()


def labelled(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Three labels, one of them frequent, of 40 texts that two subjects read; all vectors share an offset."""
    rng = np.random.default_rng(0)
    means, label = 1.2 * rng.normal(size=(3, 8)), np.repeat([0, 0, 1, 2], 10)
    texts, shown = means[label] + rng.normal(size=(40, 8)) + 5, np.tile(np.arange(40), 2)
    decoded = texts[shown] + noise * rng.normal(size=(80, 8))
    wordings = {name: means[k] + 0.3 * rng.normal(size=(4, 8)) + 5 for k, name in enumerate("abc")}
    return decoded, texts[shown], shown, np.array(list("abc"))[label][shown], wordings


def test_labels_are_told_but_not_from_noise_by_the_majority_or_without_any() -> None:
    decoded, texts, shown, labels, wordings = labelled(1.0)
    found = zero_shot_labels(decoded, texts, shown, labels, wordings, np.full(8, 5.0))
    table = found.table.set_index("measure")
    assert table.loc["micro accuracy", "value"] == pytest.approx((found.told == labels).mean())
    assert table.loc["balanced accuracy", "value"] == pytest.approx(balanced_accuracy_score(labels, found.told))
    assert (table["p"] < 0.01).all()
    assert (table["value"] <= table["text_ceiling"]).all()
    assert (table.loc["micro accuracy", "majority"], table["n_stimuli"].tolist()) == (0.5, [40, 40])
    assert np.diag(found.confusion).sum() / 80 == pytest.approx(table.loc["micro accuracy", "value"])
    # With the offset left in, all vectors point one way.
    off = zero_shot_labels(decoded, texts, shown, labels, wordings, np.zeros(8)).table["value"]
    assert off[0] < table.loc["micro accuracy", "value"]
    decoded, texts, shown, labels, wordings = labelled(0.0)
    noise = np.random.default_rng(1).normal(size=decoded.shape) + 5
    assert (zero_shot_labels(noise, texts, shown, labels, wordings, np.full(8, 5.0)).table["p"] > 0.01).all()
    many = np.repeat(np.arange(80), np.where(shown % 5 == 0, 6, 1))  # some texts were read more often
    uneven = np.tile(wordings["a"].mean(axis=0), (160, 1)), texts[many], shown[many], labels[many]
    table = zero_shot_labels(*uneven, wordings, np.full(8, 5.0)).table.set_index("measure")
    assert table["value"].tolist() == pytest.approx([0.5, 1 / 3])
    assert table.loc["balanced accuracy", ["null_mean", "null_sd"]].tolist() == pytest.approx([1 / 3, 0])
    assert (table["p"] >= [0.1, 1]).all()
    decoded, texts, shown, labels, wordings = labelled(1.0)
    given, words = (decoded, texts, shown), {k.replace("c", "0"): wordings[k] for k in "abc"}
    number = np.where(labels == "c", 0, labels.astype(object))
    refused("for 0, only for '0', 'a', 'b'", zero_shot_labels, *given, number, words, np.zeros(8))
    refused("several labels", zero_shot_labels, *given, np.where(np.arange(80), labels, "c"), wordings, np.zeros(8))
