import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from brainalign.datasets.checks import space_problems
from brainalign.io import inflated_fslr
from brainalign.report.kit import HIDDEN, place_map


def cortex() -> pd.DataFrame:
    targets = pd.DataFrame({"hemi": "L", "kind": "vertex", "vertex": np.arange(0, 32492, 2)})
    targets[["x_mm", "y_mm", "z_mm"]] = np.nan
    targets.attrs["space"] = {"name": "fsLR32k", "n_vertices": {"L": 32492, "R": 32492}}
    return targets


def test_a_patch_lies_where_its_vertices_are() -> None:
    places = inflated_fslr("L")
    targets = cortex()
    back = int(targets["vertex"][places[targets["vertex"], 1].argmin()])  # the occipital pole, seen from both sides
    near = np.linalg.norm(places[targets["vertex"]] - places[back], axis=1) < 15
    drawn = place_map(targets, np.where(near, 0.6, np.nan), label="Pearson r", vmax=0.6)
    assert "fsLR 32k" in drawn.where
    for ax, n_coloured in zip(drawn.figure.axes[:4], (near.sum(), near.sum(), 0, 0), strict=True):
        (marks,) = ax.collections
        coloured = np.abs(marks.get_facecolors() - to_rgba(HIDDEN)).max(axis=1) > 0.01
        assert (len(coloured), coloured.sum()) == (32492, n_coloured)
        if n_coloured:
            across, up = np.asarray(marks.get_offsets())[coloured].T  # across is y, or -y from the other side
            assert np.abs(np.abs(across) + places[back, 1]).max() < 15
            assert np.abs(up - places[back, 2]).max() < 15


def test_without_the_surfaces_check_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert space_problems("study", "", cortex()) == []
    monkeypatch.setattr("brainalign.io.maps.find_spec", lambda _: None)
    (problem,) = space_problems("study", "", cortex())
    assert "brainalign[fslr]" in problem.what
    assert place_map(cortex(), np.ones(16246), label="Pearson r", vmax=0.6) is None
