from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from jobs import peak_bytes
from refusals import refused
from worlds.small import sides

from brainalign import decoding
from brainalign.decoding import Trials, fused_embedding, space_retrieval
from brainalign.decoding import shared_space as paths
from brainalign.decoding.training import SubjectScale
from brainalign.pipelines.decode import decode_modalities
from brainalign.simulation import Modality, shared_space

SMALL = (Modality("eeg", 2, 8, 16, 0.3, 4), Modality("fmri", 2, 60, 0, 0.4, 4))


@pytest.fixture(scope="module")
def small() -> tuple[dict[str, decoding.Trials], dict[str, decoding.Trials]]:
    return sides(shared_space(SMALL, n_train=150, n_images=1, n_test=40, n_codes=8, n_dimensions=16, seed=1))


@pytest.fixture(scope="module")
def fitted(small) -> decoding.SharedSpace:
    return decoding.SharedSpace(steps=120, width=32).fit(small[0])


def test_repeats_are_averaged_whatever_the_index_of_the_table(rng: np.random.Generator) -> None:
    meta = pd.DataFrame({"stimulus_id": np.repeat(list("abcde"), 2), "subject": "01", "task": "x"})
    values, order = np.repeat(np.arange(5.0), 2)[:, None], rng.permutation(10)
    averaged = decoding.Trials(values[order], values[order], meta.iloc[order]).averaged()
    np.testing.assert_array_equal(averaged.signals, averaged.targets)
    assert averaged.meta["stimulus_id"].tolist() == [list("abcde")[int(value)] for value in averaged.targets[:, 0]]


def test_few_images_call_no_more_chance_differences_than_many(rng: np.random.Generator) -> None:
    worlds = [pd.DataFrame(each) for each in rng.normal(size=(600, 6, 1))]
    assert np.mean([decoding.paired_change(hits, hits * 0).clear for hits in worlds]) <= 0.075


def test_ridge_alone_is_the_ridge_beside(small) -> None:
    """Also for the ridge of another penalty, and after the file."""
    train, test = small
    val = {"fmri": test["fmri"]}
    for penalty in (1.0, 30.0):
        space = decoding.SharedSpace(steps=1, width=16, blend=1.0, penalty=penalty).fit(train, val)
        decoded = decoding.independent_ridges(train, test, penalty)
        for name, embedding in decoding.embed_all(space, test).items():
            np.testing.assert_allclose(embedding, decoded[name], atol=1e-4)


def test_somebody_new_gets_the_mean_of_all_ridges(small) -> None:
    train, test = ({"fmri": part["fmri"]} for part in small)
    new = {"fmri": Trials(test["fmri"].signals, test["fmri"].targets, test["fmri"].meta.assign(subject="new"))}
    found = decoding.SharedSpace(steps=1, width=16, blend=1.0, penalty=1.0).fit(train, test)
    decoded = decoding.independent_ridges(train, new, 1.0)["fmri"]
    np.testing.assert_allclose(decoding.embed_all(found, new)["fmri"], decoded, atol=1e-4)
    images = pd.unique(np.concatenate([part["fmri"].meta["stimulus_id"] for part in (train, test)]))
    alike = pd.DataFrame({"contrast": np.arange(len(images)) % 150}, index=images)  # as of mirrored images
    assert set(decode_modalities._low_level(alike, train, test, 1.0, n_permutations=19)["decoder"]) == {"low level"}


def test_the_penalty_is_chosen_where_strong_waves_say_nothing() -> None:
    """Most of the mean eigenvalue is theirs: a penalty of 1 drowned what the images did."""
    rng = np.random.default_rng(4)
    meta = pd.DataFrame({"stimulus_id": np.tile(np.arange(90), 2), "subject": np.repeat(["a", "b"], 90), "task": "x"})
    vectors = rng.normal(size=(90, 6))[meta["stimulus_id"]]
    waves = 9 * rng.normal(size=(180, 4, 1)) * np.cos(np.arange(32))
    signals = (vectors @ rng.normal(size=(6, 32)))[:, None] * np.eye(4)[:1].T + rng.normal(size=(180, 4, 32)) + waves
    every, seen = Trials(signals, vectors, meta), meta["stimulus_id"].to_numpy() < 60
    train, test = {"eeg": every.select(seen)}, {"eeg": every.select(~seen)}
    space = decoding.SharedSpace(steps=1, width=8, blend=1.0).fit(train)
    assert space.penalty_["eeg"] < 0.1
    chosen, fixed = (decoding.independent_ridges(train, test, penalty) for penalty in (None, 1.0))
    every = (chosen, decoding.embed_all(space, test), fixed)
    found = [decoding.stimulus_hits(each, test, 5)["eeg"].mean() for each in every]
    assert min(found[:2]) > found[2] + 0.2
    few = {"eeg": train["eeg"].select(meta["stimulus_id"][seen].to_numpy() < 9)}
    assert decoding.SharedSpace(steps=1, width=8).fit(few).penalty_ == {"eeg": 1.0}  # nine images choose nothing


@pytest.mark.parametrize("subject_layers", [True, False])
def test_ridge_of_many_trials_is_the_dual_ridge_without_its_kernel(subject_layers: bool) -> None:
    rng = np.random.default_rng(4)
    meta = pd.DataFrame({"stimulus_id": np.arange(3000), "subject": np.repeat(["b", "a"], [1400, 1600]), "task": "x"})
    signals = rng.normal(size=(3000, 3, 4)).astype(np.float32) + rng.normal(size=(3, 4)).astype(np.float32)
    trials = decoding.Trials(signals, 2 + signals.reshape(3000, 12)[:, :5] + rng.normal(size=(3000, 5)), meta)
    subjects = meta["subject"].to_numpy()
    scale = SubjectScale.fit(signals, subjects)
    assert peak_bytes(lambda: paths.LinearPath.fit(trials, scale, 0.3, subject_layers)) < 4e6  # a kernel has 16 MB
    path, x = paths.LinearPath.fit(trials, scale, 0.3, subject_layers), scale.apply(signals, subjects)
    whose = subjects if subject_layers else np.full(3000, "all")
    dual = decoding.LinearDecoder("own", penalties=(0.3,)).fit(x, trials.targets, whose).predict(x, whose)
    layers = scale.rows(subjects) if subject_layers else np.zeros(3000, dtype=np.intp)
    np.testing.assert_allclose(path(x, layers), dual, atol=1e-6 * np.abs(dual).max())


def test_images_held_out_are_seen_by_no_modality(small) -> None:
    train, _ = small
    kept, held = paths.held_out_stimuli(train, seed=4)
    ids = [{str(i) for part in parts.values() for i in part.meta["stimulus_id"]} for parts in (kept, held)]
    assert not ids[0] & ids[1]
    few = {"eeg": train["eeg"].select(train["eeg"].meta["stimulus_id"].isin([f"image{k:04d}" for k in range(40)]))}
    assert paths.held_out_stimuli(few, seed=4) == (few, {})  # four say nothing
    assert decoding.SharedSpace(steps=1, width=16).fit(few).blend_ == {"eeg": 0.75}
    assert decoding.SharedSpace(steps=1, width=16, schedule="plateau").fit(few).history_["joint"].converged is None


def test_a_saved_space_embeds_alike(small, fitted: decoding.SharedSpace, tmp_path: Path) -> None:
    fitted.save(tmp_path / "space.safetensors")
    loaded = decoding.SharedSpace.load(tmp_path / "space.safetensors")
    assert loaded.steps == fitted.steps
    for name, embedding in decoding.embed_all(loaded, small[1]).items():
        np.testing.assert_allclose(embedding, decoding.embed_all(fitted, small[1])[name], atol=1e-6)
    (tmp_path / "other").write_text("no such file")
    refused("no shared space", decoding.SharedSpace.load, tmp_path / "other")


def test_padded_voxels_take_no_part(small) -> None:
    train, test = small
    padded = {}
    for part, trials in (("train", train["fmri"]), ("test", test["fmri"])):
        signals, fewer = trials.signals.copy(), (trials.meta["subject"] == "fmri02").to_numpy()
        signals[fewer, 50:] = 0 if part == "train" else 1e6  # whatever stands there
        padded[part] = decoding.Trials(signals, trials.targets, trials.meta)
    space = decoding.SharedSpace(steps=60, width=32).fit({"fmri": padded["train"]})
    assert space.scales_["fmri"].constant() == {"fmri01": 0, "fmri02": 10}
    clean = np.where(padded["test"].signals == 1e6, 0, padded["test"].signals)
    subjects = test["fmri"].meta["subject"].to_numpy()
    found = [space.embed("fmri", values, subjects) for values in (padded["test"].signals, clean)]
    np.testing.assert_array_equal(*(values[subjects == "fmri02"] for values in found))


def test_gates_sum_to_one_and_full_networks_have_the_published_sizes() -> None:
    torch.manual_seed(0)
    mixture, x = paths.SoftMixture(8, 5, 3, 16), torch.randn(7, 8)
    gates = mixture.gates(x)
    np.testing.assert_allclose(gates.sum(dim=1).detach(), 1, atol=1e-6)
    weights = mixture.experts.weight.view(3, 5, 8)
    expected = sum(gates[:, e, None] * (x @ weights[e].T + mixture.experts.bias.view(3, 5)[e]) for e in range(3))
    np.testing.assert_allclose(mixture(x).detach(), expected.detach(), atol=1e-5)
    eeg = paths.PatchConv(2, (63, 250))
    assert (eeg.convolved[-1].in_features, eeg.places.std().item()) == (1440, pytest.approx(0.02, rel=0.05))
    assert eeg(torch.randn(2, 63, 250), torch.tensor([0, 1])).shape == (2, 1024)
    fmri = paths.MODALITY_ENCODERS["full"]["voxels"](1, (70,), width=1024)
    assert (type(fmri), fmri.subjects.weight.shape) == (paths.VoxelLinear, (1, 8 * 1024, 70))
    assert fmri(torch.randn(3, 70), torch.zeros(3, dtype=torch.long)).shape == (3, 1024)


def test_bad_input_stops_before_training(small, fitted: decoding.SharedSpace) -> None:
    train, test = small
    refused("nothing varies", SubjectScale.fit, np.ones((3, 4)), np.repeat("a", 3))
    assert SubjectScale.fit(np.c_[np.full(61, 3.2e-5), np.arange(61.0)], np.repeat("a", 61)).constant() == {"a": 1}
    refused("no modality", decoding.SharedSpace().fit, {})
    eeg, asked = train["eeg"], test["fmri"]
    leaked = asked.meta.assign(stimulus_id=["image0000", *asked.meta["stimulus_id"][1:]])
    val = {"eeg": decoding.Trials(asked.signals, asked.targets, leaked)}
    refused(r"1 stimuli occur in both train and val", decoding.SharedSpace().fit, train, val)
    other = {"eeg": decoding.Trials(eeg.signals, eeg.targets[:, :3], eeg.meta), "fmri": train["fmri"]}
    refused("sizes", decoding.SharedSpace().fit, other)
    short = {"eeg": decoding.Trials(eeg.signals[:, :, :3], eeg.targets, eeg.meta)}
    refused("at least 7 times", decoding.SharedSpace(steps=1).fit, short)
    refused(r"blend 1.5 is not between 0", decoding.SharedSpace(blend=1.5).fit, train)
    refused("must be one of 'joint', 'two'", decoding.SharedSpace().set_params(phases="three").fit, train)

    shape = r"a trial has shape \(8, 15\) but training trials had \(8, 16\)"
    refused(shape, fitted.embed, "eeg", np.zeros((2, 8, 15)), ["eeg01", "eeg02"])
    refused("modality must be one of", fitted.embed, "nirs", np.zeros((2, 8, 16)), ["eeg01", "eeg02"])
    assert fitted.unknown("eeg", ["eeg02", "new", "other"]) == 2


N, D = 30, 12


def trials(rng: np.random.Generator, vectors: np.ndarray, ids: list[str], n_subjects: int, noise: float):
    shown = {"stimulus_id": ids * n_subjects, "subject": np.repeat(np.arange(n_subjects).astype(str), len(ids))}
    meta, targets = pd.DataFrame(shown | {"task": "viewing"}), np.tile(vectors, (n_subjects, 1))
    return Trials(np.zeros((len(meta), 3)), targets, meta), targets + noise * rng.normal(size=targets.shape)


@pytest.fixture
def world() -> tuple[dict[str, Trials], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    vectors, ids = rng.normal(size=(N, D)), [f"image{k}" for k in range(N)]
    made = {"eeg": trials(rng, vectors, ids, 3, 1.5), "fmri": trials(rng, vectors[:20], ids[:20], 2, 0.3)}
    return {name: pair[0] for name, pair in made.items()}, {name: pair[1] for name, pair in made.items()}


def test_averages_are_better_than_single_subjects_and_noise_is_at_chance(world) -> None:
    test, embeddings = world
    table = space_retrieval(embeddings, test, n_permutations=200, top=(1,)).iloc[::2].set_index(["kind", "query"])
    assert table.loc[("averaged", "eeg"), "value"] > table.loc[("image", "eeg"), "value"]
    assert table.loc[("subjects", "fmri"), "value"].item() > 0.9
    assert (table.loc["image", "p"] < 0.01).all()
    rng = np.random.default_rng(1)
    noise = {name: rng.normal(size=values.shape) for name, values in embeddings.items()}
    nothing = space_retrieval(noise, test, n_permutations=200, top=(1,))
    assert ((nothing["value"] - nothing["chance"]).abs() < 4 * nothing["null_sd"]).all()
    assert (nothing["p"] > 0.01).mean() > 0.8
    # Subjects are drawn anew both as who asks and as who is asked.
    test, embedding = trials(rng, rng.normal(size=(N, D)), [f"image{k}" for k in range(N)], 8, 0.3)
    embedding[test.meta["subject"] > "3"] = rng.normal(size=(4 * N, D))  # half of them know nothing
    row = space_retrieval({"eeg": embedding}, {"eeg": test}, kinds=("subjects",), n_permutations=19, top=(1,)).iloc[0]
    of_subjects = 2 * 3 / 7 * 0.5 / 8**0.5  # standard error: what a subject finds, and what is found by it
    assert row["high"] - row["low"] == pytest.approx(2 * 2.36 * of_subjects, rel=0.3)


def test_weak_signals_are_found_by_2_way_where_top_5_finds_few(world) -> None:
    (test, embeddings), p = world, []
    for rng in map(np.random.default_rng, range(20)):
        weak = {name: values + 8 * rng.normal(size=values.shape) for name, values in embeddings.items()}
        table = space_retrieval(weak, test, kinds=("image",), n_permutations=199).set_index(["query", "measure"])
        assert table["value"]["eeg", "2-way"] == pytest.approx(decoding.stimulus_hits(weak, test)["eeg"].mean())
        p.append(table["p"])
    found = (pd.DataFrame(p) <= 0.01).mean().groupby("measure").mean()
    assert found["2-way"] >= found["top-5"] + 0.25


def test_means_over_subjects_follow_the_one_whose_recordings_say_more() -> None:
    """Of one and two of ten times the noise: the mean of unit vectors finds .69 of images first, this one .91."""
    rng, hits = np.random.default_rng(6), []
    for _ in range(4):
        vectors, mixing = rng.normal(size=(160, 12)), rng.normal(size=(3, 12, 60))
        signals = vectors @ mixing + rng.normal(size=(3, 160, 60)) * np.reshape([2, 20, 20], (3, 1, 1))
        meta = pd.DataFrame({"stimulus_id": [*range(160)] * 3, "subject": np.repeat([*"abc"], 160), "task": "viewing"})
        every, is_train = Trials(signals.reshape(480, 60), np.tile(vectors, (3, 1)), meta), meta["stimulus_id"] < 120
        train, test = ({"fmri": every.select(rows.to_numpy())} for rows in (is_train, ~is_train))
        table = space_retrieval(decoding.independent_ridges(train, test), test, kinds=("averaged",), top=(1,))
        hits.append(table["value"].iloc[0])
    assert np.mean(hits) > 0.8


def test_a_fused_embedding_is_the_mean_of_averages(world) -> None:
    test, embeddings = world
    fused, ids = fused_embedding(embeddings, test)
    assert list(ids) == [f"image{k}" for k in range(20)]
    rows = [values[(test[name].meta["stimulus_id"] == "image7").to_numpy()] for name, values in embeddings.items()]
    np.testing.assert_allclose(fused[7], np.concatenate(rows).mean(axis=0))
    doubled = test["fmri"].select(np.repeat(np.arange(40), 2))
    twice = {"fmri": np.repeat(embeddings["fmri"], 2, axis=0)}
    refused("several trials of a stimulus", space_retrieval, twice, {"fmri": doubled})
    averaged = doubled.averaged()
    assert averaged.meta["n_averaged"].tolist() == [2] * 40
    pd.testing.assert_series_equal(averaged.meta["stimulus_id"], test["fmri"].meta["stimulus_id"])
