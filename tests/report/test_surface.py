"""Maps on fsaverage5: what is masked stays grey, what is drawn is what was given, one mesh however many maps."""

import base64
import gzip
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_fsaverage
from refusals import refused

from brainalign.config import Config
from brainalign.report import encoding_sections, kit
from brainalign.report.kit import N_VERTICES, face_values, layer_colours, map_codes, picture_bytes, surface_assets

LAYERS = [f"block{k}" for k in range(6)]
PAGE = kit.StudyMaterial(Config.model_construct(), "d", SimpleNamespace(title="t"))


@pytest.fixture(scope="module")
def cortex() -> pd.DataFrame:
    rng, pial = np.random.default_rng(0), load_fsaverage("fsaverage5")["pial"].parts
    y = np.concatenate([pial[side].coordinates[:, 1] for side in ("left", "right")])
    ceiling = 0.8 / (1 + np.exp((y + 55) / 8))
    table = pd.DataFrame({"hemi": np.repeat(["L", "R"], N_VERTICES), "vertex": np.tile(np.arange(N_VERTICES), 2)})
    table = table.assign(r=ceiling + rng.normal(0, 0.03, len(y)), ceiling=ceiling)
    table["layer"] = [LAYERS[int(k)] for k in np.minimum(pd.Series(y).rank(pct=True) * 6, 5)]
    return table.assign(q=np.where(table["r"] > 0.15, 0.01, 0.6), margin=table["r"] / 20, decided=table["r"] > 0.3)


def test_what_is_not_significant_or_not_reliable_is_not_shown(cortex: pd.DataFrame) -> None:
    values = kit.significant(cortex, "r", q=0.05, ceiling=0.1)
    hidden = (cortex["q"] >= 0.05) | (cortex["ceiling"] <= 0.1)
    assert 0 < hidden.sum() < len(cortex)
    np.testing.assert_array_equal(values.isna(), hidden)
    assert kit.significant(cortex.assign(q=np.nan), "r").isna().all()  # no test, no colour
    surface = kit.surface_map(cortex.assign(shown=values), "shown", title="t", unit="r")
    np.testing.assert_array_equal(map_codes(surface).ravel() == 0, hidden)
    assert surface.n_shown == (~hidden).sum()


def test_codes_give_the_values_back(cortex: pd.DataFrame) -> None:
    for kind in ("sequential", "diverging"):
        surface = kit.surface_map(cortex, "r", title="t", unit="r", kind=kind, vmax=1.0)
        step = (surface.vmax - surface.vmin) / 253
        assert np.abs((surface.vmin + (map_codes(surface).astype(float) - 1) * step) - surface.values).max() <= step
    rows = pd.DataFrame({"hemi": ["R", "L"], "vertex": [7, 10_241], "r": [0.5, -0.25]})
    surface = kit.surface_map(rows, "r", title="t", unit="r", kind="diverging")
    assert (surface.values[1, 7], surface.values[0, 10_241]) == (0.5, -0.25)
    assert (surface.n_shown, surface.vmin) == (2, -surface.vmax)
    faces, values = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]]), np.array([1.0, 3.0, 3.0, np.nan, np.nan])
    np.testing.assert_allclose(face_values(values, faces, "sequential"), [7 / 3, 3.0, np.nan])
    np.testing.assert_allclose(face_values(values, faces, "categorical"), [3.0, 3.0, np.nan])
    three = np.array([[0, 1, 2], [1, 0, 2], [2, 3, 1]])
    assert face_values(np.array([4.0, 5, 6, 5]), three, "categorical").tolist() == [4, 5, 5]


def test_the_flat_map_is_masked_where_the_vertices_are(cortex: pd.DataFrame) -> None:
    values = kit.significant(cortex, "r", ceiling=0.1)
    surface = kit.surface_map(cortex.assign(shown=values), "shown", title="Score", unit="Pearson r")
    figure = kit.flat_maps(surface)
    maps = [ax.collections[1] for ax in figure.axes[:2]]  # the first collection is the grey cortex below
    faces = [load_fsaverage("fsaverage5")["flat"].parts[side].faces for side in ("left", "right")]
    for side, drawn in enumerate(maps):
        array = np.asarray(drawn.get_array())
        at_most = (np.isfinite(surface.values[side])[faces[side]].sum(axis=1) >= 2).sum()
        assert np.isfinite(array).all()
        assert len(drawn.get_paths()) == array.size
        assert 0.99 * at_most < array.size <= at_most  # all but the faces across the cuts
        assert array.size < 0.99 * len(faces[side])  # some are masked
    assert figure.get_figwidth() * figure.dpi <= 1000
    assert len(picture_bytes(figure)) <= 200_000


def test_undecided_vertices_have_no_layer_but_a_margin(cortex: pd.DataFrame) -> None:
    preferred, margin = encoding_sections.layer_preference_maps(cortex, LAYERS, "effnet")
    np.testing.assert_array_equal(np.isfinite(preferred.values.ravel()), cortex["decided"])
    assert margin.n_shown == len(cortex)
    first = cortex.index[cortex["decided"]][0]
    assert preferred.categories[int(preferred.values.ravel()[first])] == cortex["layer"][first]
    assert len(set(preferred.colours)) == len(LAYERS)
    assert [label.get_text() for label in kit.flat_maps(preferred).axes[2].get_yticklabels()] == LAYERS
    wrong = cortex.replace({"layer": {"block0": "blok0"}})
    refused("got 'blok0' .did you mean 'block0'", encoding_sections.layer_preference_maps, wrong, LAYERS, "effnet")


@pytest.mark.parametrize(("change", "message"), [
    ({"hemi": "left"}, "hemi .* must be one of 'L', 'R'; got 'left'"),
    ({"vertex": 10_242}, "has vertex 10242, but a hemisphere of fsaverage5 has 10242"),
    ({"vertex": 3}, "has 20484 rows for 2 vertices"),
])  # fmt: skip
def test_wrong_places_are_refused(cortex: pd.DataFrame, change: dict[str, object], message: str) -> None:
    refused(message, kit.surface_map, cortex.assign(**change), "r", title="t", unit="r")


def test_the_mesh_is_on_the_page_once_however_many_maps(cortex: pd.DataFrame) -> None:
    maps = [kit.surface_map(cortex, "r", title=f"map {k}", unit="r") for k in range(5)]
    options = {"kind": "categorical", "categories": layer_colours(LAYERS)}
    maps.append(kit.surface_map(cortex, "layer", title="l", unit="l", **options))
    panels = [kit.Panel(f"p{k}", "t", "c", None, html=kit.surface_viewer(maps, f"p{k}")) for k in range(2)]
    page = kit.render_page(PAGE, [kit.Chapter("", [kit.Section("s", "s", panels)])])
    assert page.count('id="surface-mesh"') == page.count('id="surface-bundle"') == 1
    assert (page.count('data-map="'), kit.render_page(PAGE, []).count("surface-mesh")) == (12, 0)
    codes = re.findall(r'class="codes">(.*?)</script>', page)
    assert len(codes) == 2
    expected = np.concatenate([map_codes(one).ravel() for one in maps])
    np.testing.assert_array_equal(np.frombuffer(gzip.decompress(base64.b64decode(codes[0])), np.uint8), expected)
    evil = "</script><script>alert(1)</script>"
    viewer = kit.surface_viewer([kit.surface_map(cortex, "r", title=evil, unit=evil)], evil)
    assert evil not in viewer
    assert json.loads(re.search(r'class="maps">(.*?)</script>', viewer)[1])[0]["title"] == evil
    refused("has no maps", kit.surface_viewer, [])


def test_the_shared_mesh_is_that_of_nilearn() -> None:
    assets = str(surface_assets())
    assert len(assets) < 1_200_000
    content = gzip.decompress(base64.b64decode(re.search(r'id="surface-mesh">(.*?)</script>', assets, re.DOTALL)[1]))
    points = np.frombuffer(content[: 12 * N_VERTICES], "<i2").reshape(2, N_VERTICES, 3) / 100
    faces = np.frombuffer(content[12 * N_VERTICES : -2 * N_VERTICES], "<u2").reshape(-1, 3)
    inflated = load_fsaverage("fsaverage5")["inflated"].parts
    for side, name in enumerate(("left", "right")):
        truth = inflated[name].coordinates
        assert np.abs(points[side] - points[side].mean(0) - (truth - truth.mean(0))).max() < 0.02  # mm
        np.testing.assert_array_equal(faces, inflated[name].faces)
    assert points[0][:, 0].max() < 0 < points[1][:, 0].min()  # the hemispheres do not overlap
