from __future__ import annotations

import numpy as np
from worlds.objects import OBJECT_ROIS, object_world


def test_plants_what_it_says() -> None:
    world = object_world(3000, 600, n_targets=4, seed=3)
    rows = np.arange(3600)
    assert world.tokens.shape == (3600, 64, 12)
    assert (
        np.sort(world.cells, axis=1)[:, 1:] > np.sort(world.cells, axis=1)[:, :-1]
    ).all()  # all on tokens of their own
    left = world.cells % 8 < 4
    for name, (kind, which) in OBJECT_ROIS.items():
        signal = world.signal[:, world.roi == name]
        cells = np.full(3600, which) if kind == "where" else world.cells[:, which]
        seen = world.tokens[rows, cells, 4:]
        if kind == "whatwhere":
            seen = seen * left[:, which, None]
        weights = np.linalg.lstsq(seen, signal, rcond=None)[0]
        np.testing.assert_allclose(seen @ weights, signal, atol=1e-8)
        if kind == "where":
            np.testing.assert_allclose(signal.std(axis=0), 1)
        else:
            share = 1 if kind == "what" else 0.5  # of images in which the ROI responds
            np.testing.assert_allclose(signal.var(axis=0), share * np.square(weights).sum(axis=0), rtol=0.15)
    for k in range(4):
        own = world.tokens[rows, world.cells[:, k]]
        assert abs(own[:, k].mean() - 2) < 0.03
        assert abs(own[:, 4:].std() - 1) < 0.02
    noise = world.responses - world.signal
    np.testing.assert_allclose(noise[:3000].std(), 1, atol=0.02)
    np.testing.assert_allclose(noise[3000:].var(), 1 / 3, atol=0.02)
    share = world.signal[3000:].var(axis=0)
    np.testing.assert_allclose(world.ceiling(slice(3000, None)), share / (share + 1 / 3))
