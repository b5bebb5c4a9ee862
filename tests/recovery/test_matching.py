"""Networks beside networks: what similarity says of unrelated units."""

import numpy as np
import pytest
from shown import Record, cases

from brainalign.geometry import cka


@cases(((50, 500), 40), ((50, 500, 5000), 40))("sizes")
def test_debiased_cka_of_unrelated_units(sizes: tuple[tuple[int, ...], int], record: Record) -> None:
    """Debiased CKA of independent units, 100 stimuli, 40 draws"""
    widths, draws = sizes
    for p in widths:
        rng = np.random.default_rng(p)
        found, plain = np.empty(draws), 0.0
        for k in range(draws):
            X, Y = rng.normal(size=(2, 100, p))
            found[k] = cka(X, Y)
            plain += cka(X, Y, debiased=False) / draws
        se = found.std(ddof=1) / np.sqrt(draws)
        text = f"{found.mean():.4f}, {found.std(ddof=1):.4f}, {plain:.3f}"
        record(f"p = {p}: mean, sd, mean of the plain CKA", text, "0 ± 3 SE, <= .02")
        assert abs(found.mean()) <= 3 * se
        assert found.std(ddof=1) <= 0.02
        assert plain == pytest.approx(p / (p + 100), abs=0.02)
