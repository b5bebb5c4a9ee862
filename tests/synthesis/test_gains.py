import numpy as np
import pandas as pd
import torch
from scipy.stats import t, ttest_ind

from brainalign.synthesis import synthesis_gains
from brainalign.synthesis.guidance.study import _match


def study(gain: float, n: int = 24, n_nulls: int = 19, seed: int = 0) -> pd.DataFrame:
    """Return the table of one region: guided images respond by `gain` more than unguided ones of the same seed."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=n)
    parts: list[dict[str, object]] = [{"condition": "unguided", "region": "", "seed": range(n), "true": base}]
    parts.append({"condition": "guided", "region": "a", "seed": range(n), "true": base + gain})
    parts.append({"condition": "natural", "region": "a", "seed": -1, "true": rng.normal(3, 1, n)})
    for k, drift in enumerate(rng.normal(0, 0.1, n_nulls)):
        parts.append({"condition": "null", "region": "", "seed": range(8), "null": k, "true": base[:8] + drift})
    return pd.concat([pd.DataFrame({"null": -1} | part) for part in parts], ignore_index=True).assign(scored="a")


def test_definitions_by_hand() -> None:
    """Fewer natural images than guided ones: as many that the guide likes best are compared with them."""
    rng = np.random.default_rng(3)
    table = study(0.2, seed=2).assign(guide=lambda rows: rng.normal(size=len(rows)), check=np.nan)
    table = pd.concat([table.drop(index=table.index[table["condition"] == "natural"][9:])] * 2, ignore_index=True)
    half = len(table) // 2
    table.loc[half:, "scored"] = "b"  # what another region makes of the same images
    table.loc[half:, "true"] = np.nan
    found, rng = synthesis_gains(table, confidence=0.8, seed=4), np.random.default_rng([4, 0x6A1])
    mine = table[:half]
    own, expected = mine[mine["condition"] == "guided"], []
    for score in ("guide", "true"):
        ends, whole = [0.1, 0.9], own[score].mean()
        other = {name: mine[mine["condition"] == name] for name in ("unguided", "natural", "null")}
        gains = own[score].to_numpy() - other["unguided"][score].to_numpy()
        flipped = np.abs(rng.choice([-1.0, 1.0], size=(10_000, 24)) @ gains) / 24
        p = (1 + (flipped >= abs(gains.mean()) - 1e-12).sum()) / 10_001
        around = gains.mean() + np.array([-1, 1]) * t.ppf(0.9, 23) * gains.std(ddof=1) / np.sqrt(24)
        expected.append(("unguided", score, whole, gains.mean(), *around, p, 24))
        natural = other["natural"][score].to_numpy()
        kept = own.nlargest(len(natural), "guide")[score].to_numpy()
        orders = rng.permuted(np.tile(np.concatenate([kept, natural]), (10_000, 1)), axis=1)
        gain = kept.mean() - natural.mean()
        p = (1 + (np.abs(orders[:, :9].mean(axis=1) - orders[:, 9:].mean(axis=1)) >= abs(gain) - 1e-12).sum()) / 10_001
        around = ttest_ind(kept, natural, equal_var=False).confidence_interval(0.8)
        expected.append(("natural", score, kept.mean(), gain, *around, p, 9))
        nulls = other["null"].groupby("null")[score].mean().to_numpy()
        value = own[score].to_numpy()[:8].mean()  # of the seeds that null encoders had
        beyond, p = np.quantile(value - nulls, ends), (1 + (nulls >= value).sum()) / 20
        expected.append(("null", score, whole, value - nulls.mean(), *beyond, p, 19))
    table = pd.DataFrame(expected, columns=["against", "score", "value", "gain", "low", "high", "p", "n"])
    table.insert(0, "region", "a")
    table.insert(1, "condition", "guided")
    pd.testing.assert_frame_equal(found, table)


def test_a_matched_image_has_the_luminance_and_contrast_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + 0.05 * torch.randn((3, 3, 16, 16), generator=generator)
    mean, contrast = torch.tensor([[0.4, 0.5, 0.6], [0.02, 0.04, 0.06]])[..., None, None, None]
    like = mean + contrast * torch.randn((3, 3, 16, 16), generator=generator)
    grey, goal = _match(images, like).mean(dim=1).flatten(1), like.mean(dim=1).flatten(1)
    torch.testing.assert_close(grey.mean(dim=1), goal.mean(dim=1), atol=1e-3, rtol=0)
    torch.testing.assert_close(grey.std(dim=1), goal.std(dim=1), atol=1e-3, rtol=0)
    apart = images.mean(dim=1).flatten(1)
    assert (grey.std(dim=1) - apart.std(dim=1)).abs().max() > 0.01
    assert torch.corrcoef(torch.stack([grey[0], apart[0]]))[0, 1] > 0.99  # nothing else changes
