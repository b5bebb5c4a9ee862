"""Maps of voxels: the slices that hold some, and garbage that is collected as usual afterwards."""

import gc

import nibabel
import numpy as np
import pytest

from brainalign.report.kit import draw_map, slice_positions


def image(values: np.ndarray) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(values.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]))


def test_slices_are_drawn_and_nothing_stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = np.zeros((8, 8, 6))
    inside[2:6, 2:6, 1:4] = 1
    values = np.where(inside > 0, 0.5, np.nan)
    gc.unfreeze()  # what the session froze
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda *_: collected.append(gc.get_freeze_count()) or 0)
    figure = draw_map(image(values), image(inside), image(inside), label="r", vmax=1.0, diverging=False)
    assert slice_positions(image(inside)) == [3.0, 6.0, 9.0]
    assert {"z=3", "z=6", "z=9"} <= {text.get_text() for ax in figure.axes for text in ax.texts}
    assert all(collected)  # what stood before is left out of every collection
    assert gc.get_freeze_count() == 0
    with pytest.raises(TypeError, match="dimension"):
        draw_map(image(values), image(inside), image(values[0]), label="r", vmax=1.0, diverging=False)
    assert gc.get_freeze_count() == 0
