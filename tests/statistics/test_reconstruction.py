from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from skimage import metrics

import brainalign.statistics as st
from brainalign.statistics.reconstruction import structural_similarity


def pictures(n: int, seed: int, size: int = 16) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(0.1, 0.9, size=(n, 3, 4, 4))
    return np.kron(coarse, np.ones((1, 1, size // 4, size // 4))).astype(np.float32)


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def coarse(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=1)[:, ::4, ::4].reshape(len(images), -1)


def test_the_whole_table_by_hand() -> None:
    shown, training, clusters = pictures(7, 0), pictures(9, 2), np.array(list("aabbbcc"))
    made = (0.5 * shown + 0.5 * pictures(7, 1)).astype(np.float32)
    extractors = {"flat": flat, "coarse": coarse}
    options = {"clusters": clusters, "n_ways": (2, 3), "n_permutations": 19, "confidence": 0.8, "seed": 3}
    table = st.reconstruction_scores(made, shown, extractors, training=training, **options)
    rng = np.random.default_rng(3)
    orders = [rng.permutation(7) for _ in range(19)]
    within = st.permute_within(clusters, 19, rng)

    def r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.corrcoef(a, b)[: len(a), len(a) :]

    sets = {"reconstructed": made, "identity": shown, "mean image": np.stack([training.mean(axis=0)] * 7)}
    sets["retrieved"] = training[r(flat(made), flat(training)).argmax(axis=1)]
    rows: list[dict[str, object]] = []

    def add(images: str, metric: str, each: np.ndarray, null: list[float], **about: object) -> None:
        row = {"images": images, "metric": metric, "value": each.mean(), "n": len(each)} | about
        if len(each) >= 6:
            interval = st.bootstrap(each, 0.8, seed=3)
            row |= {"low": interval.low, "high": interval.high}
        rows.append(row)
        if null and images == "reconstructed":
            sign = -1 if metric == "distance" else 1
            row["p"] = (1 + sum(sign * one >= sign * each.mean() - 1e-9 for one in null)) / 20
            spread = {"value": np.mean(null), "low": min(null), "high": max(null), "n": 19}
            rows.append({"images": "permuted pairs", "metric": metric} | about | spread)

    for name, images in sets.items():
        similar = r(flat(images), flat(shown))
        add(name, "PixCorr", np.diag(similar), [np.diag(similar[order]).mean() for order in orders])
        null = [structural_similarity(images[order], shown).mean() for order in orders]
        add(name, "SSIM", structural_similarity(images, shown), null)
    same, everyone = clusters[:, None] == clusters, ~np.eye(7, dtype=bool)
    for features, extractor in extractors.items():
        for name, images in sets.items():
            similar = r(extractor(images), extractor(shown))
            for n_way in (2, 3):
                for which, others in (("all", everyone), ("same cluster", same & everyone), ("other clusters", ~same)):
                    kept = others.sum(axis=1) >= n_way - 1
                    ordered = [similar, *(similar[k] for k in (within if which == "same cluster" else orders))]
                    each, *null = (st.n_way_identification(one, n_way, others)[kept] for one in ordered)
                    about = {"features": features, "distractors": which, "chance": 1 / n_way}
                    add(name, f"{n_way}-way", each, [float(one.mean()) for one in null], **about)
            null = [1 - np.diag(similar[order]).mean() for order in orders]
            add(name, "distance", 1 - np.diag(similar), null, features=features)
            dimension = {"value": st.effective_dimension(extractor(images)), "n": 7}
            rows.append({"images": name, "metric": "dimension", "features": features} | dimension)
    columns = ["images", "metric", "features", "distractors", "value", "low", "high", "chance", "p", "n"]
    expected = pd.DataFrame(rows, columns=columns).fillna({"features": "", "distractors": ""})
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, atol=1e-5, rtol=1e-4)


def test_n_way_is_the_mean_over_all_draws() -> None:
    similar = np.random.default_rng(3).integers(0, 4, size=(7, 7)).astype(float)  # many ties
    expected = []
    for i in range(7):
        draws = [[similar[i, j] for j in some] for some in combinations([j for j in range(7) if j != i], 3)]
        expected.append(np.mean([(similar[i, i] >= max(d)) / (1 + sum(x == similar[i, i] for x in d)) for d in draws]))
    assert st.n_way_identification(similar, 4).tolist() == pytest.approx(expected)


def test_structural_similarity_equals_skimage_and_dimensions_of_patterns() -> None:
    a, b = pictures(3, 0, 24), pictures(3, 1, 24)
    grey, how = np.array([0.2125, 0.7154, 0.0721])[:, None, None], {"gaussian_weights": True, "data_range": 1.0}
    pairs = zip((a * grey).sum(axis=1), (b * grey).sum(axis=1), strict=True)
    expected = [metrics.structural_similarity(*pair, use_sample_covariance=False, **how) for pair in pairs]
    assert structural_similarity(a, b).tolist() == pytest.approx(expected, abs=1e-9)
    assert st.effective_dimension(1e-12 * np.random.default_rng(0).normal(size=(4000, 5))) == pytest.approx(5, abs=0.05)
    assert st.effective_dimension(flat(pictures(3, 3))[np.arange(36) % 3]) <= 2 + 1e-9


def test_published_figures_stand_beside_scores_of_the_same_images_only() -> None:
    shown = pictures(8, 0)
    table = st.reconstruction_scores(shown, shown, {"CLIP": flat, "SwAV": flat, "stand-in": coarse})
    rows = st.beside_published(table, "mine", dataset="nsd")
    assert len(rows) == len(st.PUBLISHED) + 1
    mine = rows.iloc[-1]
    assert (mine["method"], mine[["PixCorr", "SSIM", "CLIP"]].tolist()) == ("mine", pytest.approx([1, 1, 100]))
    assert mine["SwAV"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(mine["Inception"])
    refused("PixCorr occurs 2 times", st.beside_published, pd.concat([table, table]), "mine", dataset="nsd")
    refused("'simulated' cannot stand beside them", st.beside_published, table, "mine", dataset="simulated")


@pytest.mark.parametrize(("change", "message"), [
    ({"reconstructed": pictures(5, 0)}, "reconstructed has shape .* but target has"),
    ({"reconstructed": 255 * pictures(6, 0)}, "must lie in"),
    ({"reconstructed": pictures(6, 0).transpose(0, 2, 3, 1)}, "must be colour images"),
    ({"extractors": {"f": lambda images: images}}, "f must give finite features"),
    ({"clusters": ["a"]}, "clusters has 1 rows"), ({"n_ways": (50,)}, "needs as many images"),
    ({"n_ways": (1, 2)}, "needs as many images"), ({"training": pictures(4, 0, 24)}, "differ in size from targets"),
    ({"extractors": {"f": lambda images: flat(images) * np.nan}}, "f must give finite features"),
    ({"extractors": {"f": lambda images: flat(images)[1:]}}, "f must give finite features"),
    ({"extractors": {"f": lambda images: flat(images)[:, :1]}}, "f must give finite features"),
    ({"reconstructed": pictures(6, 0) - 0.5}, "must lie in"),
    ({"reconstructed": pictures(6, 0)[:, :, :8, :8], "target": pictures(6, 0)[:, :, :8, :8]}, "11 pixels"),
])  # fmt: skip
def test_bad_input_is_refused(change: dict[str, object], message: str) -> None:
    refused(message, st.reconstruction_scores, **{"reconstructed": pictures(6, 0), "target": pictures(6, 0)} | change)
