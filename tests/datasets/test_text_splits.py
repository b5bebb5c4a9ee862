import itertools

import numpy as np
import pandas as pd
import pytest
from rapidfuzz.distance.Levenshtein import distance
from refusals import refused

from brainalign import datasets
from brainalign.checks import listed
from brainalign.datasets import sentences


def words(n: int, rng: np.random.Generator) -> str:
    return " ".join("".join(rng.choice(list("abcdefghij"), rng.integers(2, 8))) for _ in range(n))


def test_similarity_and_near_duplicates_are_those_of_rapidfuzz(rng: np.random.Generator) -> None:
    for _ in range(60):
        a = "".join(rng.choice(list("abc"), rng.integers(0, 12)))
        b = "".join(rng.choice(list("abc"), rng.integers(0, 12)))
        longest = max(len(a), len(b))
        expected = 1 - distance(a, b) / longest if longest else 1.0
        assert sentences.levenshtein_similarity(a, b) == pytest.approx(expected)
        for least in (0.3, 0.6, 0.9):
            above = expected if expected >= least - 1e-12 else 0.0
            assert sentences.levenshtein_similarity(a, b, least) == pytest.approx(above)
    assert sentences.levenshtein_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    rng = np.random.default_rng(1)
    texts = [words(4, rng) for _ in range(25)]
    texts += [text[: k % len(text)] + "X" * (1 + k % 3) + text[k % len(text) + k % 2 :] for k, text in enumerate(texts)]
    found, folded = sentences.near_duplicate_texts(texts, 0.9), [text.casefold() for text in texts]
    expected = [
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if 1 - distance(folded[a], folded[b]) / max(len(folded[a]), len(folded[b])) > 0.9
    ]
    assert list(zip(found["row_a"], found["row_b"], strict=True)) == expected
    assert 10 < len(expected) < 60
    base = "abcdefghijklmnopqrst"
    assert not len(sentences.near_duplicate_texts([base, base[:-1] + "X"]))  # 19 of 20 characters: exactly .95
    assert len(sentences.near_duplicate_texts([base + "u", base + "X"])) == 1  # 20 of 21


def test_groups_are_chains_of_near_duplicates() -> None:
    base = words(12, np.random.default_rng(3))
    assert sentences.text_groups([base, "X" + base, "XY" + base, "something else entirely"]).tolist() == [0, 0, 0, 1]
    matched = sentences.match_texts(["XY" + base.upper(), "nothing of the kind"], [base, "xy" + base, "XYZ" + base])
    assert matched["row"].tolist() == [1, -1]
    rng = np.random.default_rng(2)
    texts = [words(20, rng) for _ in range(690)]
    texts += [text[:50] + "Q" + text[51:] for text in texts[:10]]
    found = sentences.near_duplicate_texts(texts)
    matched = sentences.match_texts([text[:30] + "Q" + text[31:] for text in texts[10:200]], texts[:690])
    assert sorted(zip(found["row_a"], found["row_b"], strict=True)) == [(k, 690 + k) for k in range(10)]
    assert matched["row"].tolist() == list(range(10, 200))


def corpus(n: int = 60, subjects=("A", "B", "C"), seed: int = 0) -> pd.DataFrame:
    rng, rows = np.random.default_rng(seed), []
    for task in ("NR", "TSR"):
        texts = [words(8, rng) for _ in range(n)]
        for subject in subjects:
            rows += [(subject, task, row, text) for row, text in enumerate(texts)]
    table = pd.DataFrame(rows, columns=["subject", "task", "row", "text"]).assign(dataset="zuco1")
    table["stimulus_id"] = [sentences.text_id(text) for text in table["text"]]
    table["trial_id"] = table["subject"] + "-" + table["task"] + "-" + table["row"].astype(str)
    return table


def set_text(table: pd.DataFrame, task: str, row: int, text: str) -> None:
    rows = (table["task"] == task) & (table["row"] == row)
    table.loc[rows, "text"] = text
    table.loc[rows, "stimulus_id"] = sentences.text_id(text)


def sides(table: pd.DataFrame, splits: pd.DataFrame, text: str) -> set[str]:
    return set(splits["split"][splits["trial_id"].isin(table["trial_id"][table["text"] == text])])


def test_texts_stay_together_and_shared_ones_train() -> None:
    table = corpus()
    texts = table.drop_duplicates("stimulus_id")["text"].tolist()
    for row in range(12):  # a fifth of the texts of NR are read in TSR too
        set_text(table, "TSR", row, texts[row])
    near = [texts[20 + k][:10] + "#" + texts[20 + k][11:] for k in range(8)]
    for k, text in enumerate(near):  # and some of NR have a near-duplicate within it
        set_text(table, "NR", 40 + k, text)
    for seed in range(3):
        splits = datasets.make_text_split(table, test=0.2, val=0.1, seed=seed)
        assert splits["trial_id"].tolist() == table["trial_id"].tolist()
        assert splits.groupby("stimulus_id")["split"].nunique().max() == 1
        assert all(sides(table, splits, texts[row]) == {"train"} for row in range(12))
        for k, text in enumerate(near):
            assert sides(table, splits, text) == sides(table, splits, texts[20 + k])
        counts = table.assign(split=splits["split"]).groupby(["task", "split"])["stimulus_id"].nunique()
        assert (counts["NR", "test"] >= 8, counts["TSR", "test"]) == (True, 10)  # of 48
        assert not datasets.text_leakage(splits, table)
    again = datasets.make_text_split(table, test=0.2, val=0.1, seed=0)
    pd.testing.assert_frame_equal(again, datasets.make_text_split(table, test=0.2, val=0.1, seed=0))
    assert not again["split"].equals(splits["split"])


def test_planted_leaks_are_named() -> None:
    table = corpus()
    clean = datasets.make_text_split(table, test=0.2, val=0.1, seed=0)
    assert not datasets.text_leakage(clean, table)
    first_of = clean["split"].tolist().index
    leaky, moved = clean.copy(), first_of("test")
    leaky.loc[moved, "split"] = "train"
    (problem,) = datasets.text_leakage(leaky, table)
    assert problem.what.startswith("1 sentences are both train and test (trials ")
    assert set(problem.rows) == set(table["trial_id"][table["text"] == table["text"][moved]])
    refused(f"splits: fold 0: 1 sentences .*{problem.rows[0]}", datasets.stop_on, [problem])
    leaky = clean.copy()
    leaky.loc[first_of("val"), "split"] = "train"
    (problem,) = datasets.text_leakage(leaky, table)
    assert problem.what.startswith("repeats in validation: 1 sentences are both train and val")
    # A text under two ids: the text counts.
    renamed, test_text = table.copy(), table["text"][first_of("test")]
    train_row = first_of("train")
    renamed.loc[train_row, "text"] = test_text.upper()
    (problem,) = datasets.text_leakage(clean, renamed)
    assert table["trial_id"][train_row] in problem.rows
    near = table.copy()
    near.loc[train_row, "text"] = test_text[:12] + "#" + test_text[13:]
    (problem,) = datasets.text_leakage(clean, near)
    assert "1 pairs of almost the same text lie in two splits" in problem.what
    assert near["trial_id"][train_row] in problem.rows
    assert not datasets.text_leakage(clean, near, similarity=0.999)
    assert "3 trials are not in the table of sentences" in datasets.text_leakage(clean, table.iloc[3:])[0].what
    assert "there is no test trial" in datasets.text_leakage(clean[clean["split"] != "test"], table)[0].what
    twice = pd.concat([clean, clean.iloc[:2]], ignore_index=True)
    assert "2 trials occur more than once" in datasets.text_leakage(twice, table)[0].what


def test_labels_in_blocks_leak_through_the_order() -> None:
    table = corpus(120, subjects=("A", "B"))
    table["block"] = datasets.order_blocks(table, 15)
    assert table["block"].nunique() == 16
    splits = datasets.make_text_split(table, test=0.2, val=0.1, seed=0)
    names = np.random.default_rng(0).choice(["award", "job", "wife", "city"], 8)  # in an order without rhythm
    labelled = table.assign(relation=names[table["row"] // 15])
    (problem,) = datasets.text_leakage(splits, labelled, label="relation")
    known = labelled.assign(split=splits["split"].to_numpy())
    accuracy, null, p, rows = sentences.order_leak(known, "relation", n_permutations=1000, seed=0)
    assert problem.what == (
        "relation follows the order of reading: the nearest training sentence of the recording has the label of "
        f"{accuracy:.0%} of the test sentences, against {null:.0%} with labels permuted (p = {p:.3f}; trials "
        f"{listed(rows)}), so that slow drift of the EEG would be decoded; leave out blocks (order_blocks, leave_out)"
    )
    assert list(problem.rows) == rows
    tested = labelled[splits["split"].eq("test").to_numpy()]
    assert set(problem.rows) <= set(tested["trial_id"])
    assert len(problem.rows) > 0.8 * len(tested)
    # The same labels in random order are no leak, whatever the draw; nor are blocks that were left out.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        label = dict(zip(sorted(set(table["text"])), rng.permutation(np.resize(list("abcd"), 240)), strict=True))
        assert not datasets.text_leakage(splits, table.assign(relation=table["text"].map(label)), label="relation")
    folds = datasets.leave_out(labelled, "block")
    problems = datasets.text_leakage(folds[folds["fold"].isin((3, 4))], labelled, left_out="block", label="relation")
    assert not [p for p in problems if "order" in p.what]


def test_the_order_test_by_hand() -> None:
    """Nearest training sentences of the same recording: three of four labels are told; texts of a task share a null."""
    rows = [
        *[("b0", "y", "B", "T", 10, "test", "y0", "p"), ("b1", "y", "B", "T", 12, "train", "y1", "p")],
        *[("b2", "y", "B", "T", 4, "train", "y2", "p"), ("b3", "y", "B", "T", 6, "test", "y3", "p")],
        *[("b4", "y", "B", "T", 7, "train", "y4", "r"), ("b5", "y", "B", "T", 9, "train", "y5", "")],
        *[("a3", "x", "A", "T", 3, "train", "x3", "q"), ("a4", "x", "A", "U", 1, "train", "x4", "r")],
        *[("a1", "x", "A", "T", 1, "test", "x1", "p"), ("a2", "x", "A", "T", 2, "test", "x2", "q")],
        *[("a0", "x", "A", "T", 0, "train", "x0", "p"), ("a5", "x", "A", "T", 2, "val", "x5", None)],
        *[("c1", "x", "C", "T", 1, "train", "x1", "p"), ("c2", "x", "C", "V", 0, "test", "x6", "r")],
    ]
    shown = pd.DataFrame(rows, columns=["trial_id", "dataset", "subject", "task", "row", "split", "text", "label"])
    accuracy, null, p, told = sentences.order_leak(shown, "label", n_permutations=20000, seed=1)
    assert (accuracy, told) == (0.75, ["b0", "a1", "a2"])
    # Two of p, two of q: a pair is alike in 1 of 3; four of p, one of r: in 3 of 5, and both pairs where r is neither.
    assert (null, p) == (pytest.approx((2 / 3 + 2 * 3 / 5) / 4, abs=0.006), pytest.approx(1 / 3, abs=0.015))
    small = [sentences.order_leak(shown, "label", n_permutations=9, seed=seed) for seed in (1, 1, 2, 3)]
    assert small[0] == small[1]
    assert len({found[1] for found in small}) > 1
    assert {round(10 * found[2], 9) for found in small} <= set(range(1, 11))  # (1 + as large) / (1 + permutations)
    nothing = sentences.order_leak(shown[shown["split"] != "test"], "label")
    assert np.isnan(nothing[:2]).all()
    assert nothing[2:] == (1.0, [])


def test_blocks_are_left_out_with_their_texts() -> None:
    table = corpus(40)
    table["block"] = datasets.order_blocks(table, 10)
    set_text(table, "TSR", 5, table.drop_duplicates("stimulus_id")["text"].tolist()[0])  # read in another block as well
    folds = datasets.leave_out(table, "block")
    assert folds["fold"].nunique() == 8
    assert not datasets.text_leakage(folds, table, left_out="block")
    first = folds[folds["left_out"] == "zuco1-NR-block000"]
    assert (set(first["split"]), len(first[first["split"] == "test"])) == ({"train", "test"}, 30)
    assert len(first) == len(table) - 3  # the shared text is not trained on
    broken = folds.copy()
    broken.loc[int(np.flatnonzero((broken["fold"] == 0) & (broken["split"] == "test"))[0]), "split"] = "train"
    found = datasets.text_leakage(broken, table, left_out="block")
    assert any("block zuco1-NR-block000 is tested and trained on" in problem.what for problem in found)
    refused("blocks of 0 sentences", datasets.order_blocks, table, 0)


def test_subjects_are_left_out_with_new_texts() -> None:
    table = corpus()
    splits = datasets.make_text_split(table, test=0.2, val=0.1, seed=0)
    folds = datasets.leave_out(table, "subject", splits)
    assert not datasets.text_leakage(folds, table, left_out="subject")
    for value, fold in folds.groupby("left_out"):
        assert set(fold[fold["split"] == "test"]["trial_id"].str[0]) == {value}
        assert value not in set(fold["trial_id"][fold["split"] != "test"].str[0])
        assert set(fold["split"]) == {"train", "val", "test"}
    found = datasets.text_leakage(splits, table, left_out="subject")
    assert "subject A, B, C is tested and trained on, though it was to be left out" in found[0].what
    refused(r"leaving out subject 'A' leaves .* 0 to train; where all read", datasets.leave_out, table, "subject")
    refused(r"no column 'subjct' \(did you mean 'subject'\?\)", datasets.leave_out, table, "subjct")
    refused("dataset has one value only", datasets.leave_out, table, "dataset")
    refused("6 trials are in no split", datasets.leave_out, table, "subject", splits.iloc[6:])
    table = corpus(6)
    refused(r"test is 0.0 and val 0.1", datasets.make_text_split, table, test=0.0)
    refused("no text is left for test: 12 different texts", datasets.make_text_split, table, test=0.05, val=0.1)
    refused("no column .text", datasets.make_text_split, table.drop(columns="text"))
    splits = datasets.make_text_split(table, test=0.3, val=0.0)
    refused("no column 'relatoin'", datasets.text_leakage, splits, table.assign(relation="a"), label="relatoin")
