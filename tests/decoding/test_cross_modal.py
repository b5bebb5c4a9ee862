import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.decoding import Trials, fused_embedding, space_retrieval

N, D = 30, 12


def trials(rng: np.random.Generator, vectors: np.ndarray, ids: list[str], n_subjects: int, noise: float):
    shown = {"stimulus_id": ids * n_subjects, "subject": np.repeat(np.arange(n_subjects).astype(str), len(ids))}
    meta = pd.DataFrame(shown | {"task": "viewing"})
    targets = np.tile(vectors, (n_subjects, 1))
    return Trials(np.zeros((len(meta), 3)), targets, meta), targets + noise * rng.normal(size=targets.shape)


@pytest.fixture
def world() -> tuple[dict[str, Trials], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N, D))
    ids = [f"image{k}" for k in range(N)]
    made = {"eeg": trials(rng, vectors, ids, 3, 1.5), "fmri": trials(rng, vectors[:20], ids[:20], 2, 0.3)}
    return {name: pair[0] for name, pair in made.items()}, {name: pair[1] for name, pair in made.items()}


def test_averages_are_better_than_single_subjects_and_noise_is_at_chance(world) -> None:
    test, embeddings = world
    table = space_retrieval(embeddings, test, n_permutations=200, top=(1,)).set_index(["kind", "query"])
    assert table.loc[("averaged", "eeg"), "value"] > table.loc[("image", "eeg"), "value"]
    assert table.loc[("subjects", "fmri"), "value"].item() > 0.9
    assert (table.loc["image", "p"] < 0.01).all()
    rng = np.random.default_rng(1)
    noise = {name: rng.normal(size=values.shape) for name, values in embeddings.items()}
    nothing = space_retrieval(noise, test, n_permutations=200, top=(1,))
    assert ((nothing["value"] - nothing["chance"]).abs() < 4 * nothing["null_sd"]).all()
    assert (nothing["p"] > 0.01).mean() > 0.8


def test_a_fused_embedding_is_the_mean_of_unit_vectors_of_averages(world) -> None:
    test, embeddings = world
    fused, ids = fused_embedding(embeddings, test)
    assert list(ids) == [f"image{k}" for k in range(20)]
    rows = [values[(test[name].meta["stimulus_id"] == "image7").to_numpy()] for name, values in embeddings.items()]
    every = np.concatenate(rows)
    np.testing.assert_allclose(fused[7], (every / np.linalg.norm(every, axis=1, keepdims=True)).mean(axis=0))
    test, embeddings = world
    doubled = test["fmri"].select(np.repeat(np.arange(40), 2))
    twice = {"fmri": np.repeat(embeddings["fmri"], 2, axis=0)}
    refused("several trials of a stimulus", space_retrieval, twice, {"fmri": doubled})
    averaged = doubled.averaged()
    assert averaged.meta["n_averaged"].tolist() == [2] * 40
    pd.testing.assert_series_equal(averaged.meta["stimulus_id"], test["fmri"].meta["stimulus_id"])
