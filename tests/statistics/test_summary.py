import numpy as np
import pandas as pd
import pytest

from brainalign.statistics import summary


@pytest.fixture
def encoding() -> summary.Encoding:
    rng = np.random.default_rng(0)
    scores = {
        "target_id": [f"v{k}" for k in range(10)], "r": np.linspace(-0.2, 0.7, 10), "ceiling": [0.05] * 5 + [0.5] * 5,
        "r2_normalized": [9.0] * 5 + [0.2, 0.3, 0.4, 0.5, 0.6], "q": [0.5] * 6 + [0.01] * 4,
        "p_fwer": [0.5] * 8 + [0.01] * 2, "split": "runs",
    }  # fmt: skip
    runs = {"split": "runs", "fold": np.repeat(range(6), 4), "item": "x", "chosen": "x"}
    pairs = {"split": "pairs", "fold": range(6), "item": "x|y", "chosen": "", "correct": [1, 1, 1, 0, 0.5, 0.5]}
    identified = [pd.DataFrame(runs).assign(correct=[1, 1, 1, k] * 6, layer="ab"[k]) for k in (0, 1)]
    identified += [pd.DataFrame(pairs).assign(layer=layer) for layer in "ab"]
    null = {"permutation": range(99), "accuracy": rng.uniform(0.2, 0.3, 99), "share_good": 0.1, "max_r": 0.5}
    scores = pd.concat(pd.DataFrame(scores).assign(layer=layer) for layer in "ab")
    return summary.Encoding(scores, pd.concat(identified), pd.DataFrame(null).assign(split="runs", layer="a"))


def rows_of(encoding: summary.Encoding) -> pd.DataFrame:
    splits = {"runs": summary.SplitInfo("run", 0.2), "pairs": summary.SplitInfo("stimulus", np.nan)}
    limits = {"good_r": 0.3, "confidence": 0.95, "q": 0.05, "ceiling_threshold": 0.1}
    return pd.DataFrame(summary.summarize_encoding(encoding, splits, **limits))


def test_the_null_of_the_mean_over_layers_is_of_layers_permuted_together(encoding: summary.Encoding) -> None:
    """Layers that permutations move together have means that vary as much as each of them does."""
    rows = rows_of(encoding).to_dict("records")
    together = pd.concat([encoding.null.assign(layer=name, accuracy=np.linspace(0, 0.95, 99)) for name in "ab"])
    apart = pd.concat([together[:99], together[99:].assign(accuracy=np.linspace(0.95, 0, 99))])
    found = [
        next(row for row in summary.summarize_over_layers(rows, null) if row["quantity"] == "identification")
        for null in (together, apart)
    ]
    assert found[0]["p"] == pytest.approx((1 + (np.linspace(0, 0.95, 99) >= 0.875).sum()) / 100)
    assert found[1]["p"] == 0.01
    assert [row["null_95"] for row in found] == [pytest.approx(0.9025), pytest.approx(0.475)]
