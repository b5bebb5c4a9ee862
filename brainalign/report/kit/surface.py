"""Values per vertex of fsaverage5: which are shown, in which colours, and drawn on the flattened cortex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.path import Path
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice
from brainalign.report.kit.canvas import HIDDEN, new_figure

N_VERTICES = 10_242  # of one hemisphere of fsaverage5
FSAVERAGE4 = 2_562  # vertices: a table of unknown mesh with more, up to N_VERTICES, is taken for fsaverage5
HEMISPHERES = {"L": "left", "R": "right"}
COLOUR_SCALES = {"sequential": "viridis", "diverging": "RdBu_r"}
LONGEST_EDGE_MM = 20.0  # of a face of the flat map; longer ones span its cuts


@dataclass(frozen=True)
class SurfaceMap:
    """A map ready to draw.

    Attributes
    ----------
    title : str
    unit : str
        What the colours show, with its unit; beside the colour scale.
    values : array (2, 10242)
        Left and right hemisphere; NaN is not shown. Categorical: the index of the category.
    kind : "sequential", "diverging" or "categorical"
    vmin, vmax : float
        Ends of the colour scale; values beyond them take the colour of the end.
    categories, colours : tuple of str
        Of a categorical map.
    """

    title: str
    unit: str
    values: NDArray[np.float64]
    kind: Literal["sequential", "diverging", "categorical"]
    vmin: float
    vmax: float
    categories: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()

    @property
    def n_shown(self) -> int:
        """Number of vertices with a colour."""
        return int(np.isfinite(self.values).sum())

    @property
    def palette(self) -> matplotlib.colors.Colormap:
        """The colour scale."""
        if self.kind == "categorical":
            return ListedColormap(list(self.colours))
        return matplotlib.colormaps[COLOUR_SCALES[self.kind]]


def significant(table: pd.DataFrame, column: str, *, q: float = 0.05, ceiling: float | None = None) -> pd.Series[float]:
    """Return a column with NaN where it may not be shown: q not below the level, or ceiling not above the threshold.

    Parameters
    ----------
    table : DataFrame
        A row per vertex: q, ceiling (where a threshold is given) and the column.
    column : str
    q : float
        Level of the false discovery rate. A vertex without a test (q is NaN) is not shown.
    ceiling : float, optional
        Threshold, share of variance.
    """
    shown = table["q"] < q
    if ceiling is not None:
        shown &= table["ceiling"] > ceiling
    return table[column].astype(float).where(shown)


def drawn_vertices(targets: pd.DataFrame) -> pd.DataFrame | None:
    """Find the target that each vertex of fsaverage5 is drawn of; None where targets lie on no mesh of fsaverage.

    The vertices of a coarser fsaverage are the first ones of every finer one: of fsaverage6 and 7 those are drawn that
    fsaverage5 has too; of fsaverage3 and 4 each vertex of fsaverage5 takes the nearest on the sphere.

    Returns
    -------
    DataFrame
        target_id, hemi, vertex (of fsaverage5); a target may stand in several rows or in none.
    """
    if "vertex" not in targets:
        return None
    space = targets.attrs.get("space", {})
    n_vertices = max(space.get("n_vertices", {"": N_VERTICES}).values())
    named = str(space.get("name", "")).startswith("fsaverage")
    if not named and ("n_vertices" in space or not FSAVERAGE4 < targets["vertex"].max() < N_VERTICES):
        return None
    table = targets.loc[targets["vertex"] >= 0, ["target_id", "hemi", "vertex"]]
    if n_vertices >= N_VERTICES:
        return table[table["vertex"] < N_VERTICES]
    from scipy.spatial import KDTree

    parts = []
    for hemi, side in HEMISPHERES.items():
        sphere = fsaverage5()["sphere"].parts[side].coordinates
        nearest = KDTree(sphere[:n_vertices]).query(sphere)[1]
        parts.append(pd.DataFrame({"hemi": hemi, "vertex": nearest, "drawn": np.arange(N_VERTICES)}))
    table = table.merge(pd.concat(parts), on=["hemi", "vertex"])
    return table.drop(columns="vertex").rename(columns={"drawn": "vertex"})


def surface_map(
    table: pd.DataFrame,
    column: str,
    *,
    title: str,
    unit: str,
    kind: Literal["sequential", "diverging", "categorical"] = "sequential",
    vmin: float | None = None,
    vmax: float | None = None,
    categories: Mapping[str, str] | None = None,
) -> SurfaceMap:
    """Place a column of a table on the cortex.

    Parameters
    ----------
    table : DataFrame
        hemi ("L" or "R"), vertex (0 to 10241) and the column; NaN, None and vertices without a row are not shown.
    column : str
        Numbers, or names of categories.
    title, unit : str
    kind : str
        Colours: viridis, RdBu_r symmetric about 0, or one colour per category.
    vmin, vmax : float, optional
        Default: 0 (sequential; the smallest value where it is negative) or −vmax, and the 99.5 % point.
    categories : mapping, optional
        Colour by category, in the order of the legend; categorical maps need it.

    Raises
    ------
    BrainalignError
        If a column is missing, a hemisphere is unknown, a vertex lies outside fsaverage5 or occurs twice, or a
        category has no colour.
    """
    rows, places = _places(table, title)
    values = np.full((2, N_VERTICES), np.nan)
    if kind == "categorical":
        colours = dict(categories or {})
        codes = {name: k for k, name in enumerate(colours)}
        for unknown in set(table[column].dropna()) - set(codes):
            check_choice(f"a category of the map {title!r}", unknown, list(codes))
        values[rows, places] = table[column].map(codes).astype(float)
        return SurfaceMap(title, unit, values, kind, -0.5, len(codes) - 0.5, tuple(codes), tuple(colours.values()))
    values[rows, places] = table[column].astype(float)
    finite = values[np.isfinite(values)]
    if kind == "diverging":
        top = vmax if vmax is not None else float(np.quantile(np.abs(finite), 0.995)) if finite.size else 1.0
        return SurfaceMap(title, unit, values, kind, -(top or 1.0), top or 1.0)
    top = vmax if vmax is not None else float(np.quantile(finite, 0.995)) if finite.size else 1.0
    bottom = vmin if vmin is not None else float(min(finite.min(initial=0.0), 0.0))
    return SurfaceMap(title, unit, values, kind, bottom, top if top > bottom else bottom + 1.0)


def _places(table: pd.DataFrame, title: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return hemisphere (0, 1) and vertex of every row, checked."""
    for hemi in pd.unique(table["hemi"]):
        check_choice(f"hemi of the map {title!r}", hemi, list(HEMISPHERES))
    rows = (table["hemi"] == "R").to_numpy().astype(np.intp)
    places = table["vertex"].to_numpy().astype(np.intp)
    if places.size and (places.min() < 0 or places.max() >= N_VERTICES):
        raise BrainalignError(
            f"the map {title!r} has vertex {places.max() if places.max() >= N_VERTICES else places.min()}, but a "
            f"hemisphere of fsaverage5 has {N_VERTICES}; resample the data to fsaverage5 before drawing"
        )
    flat = rows * N_VERTICES + places
    if len(np.unique(flat)) < len(flat):
        raise BrainalignError(
            f"the map {title!r} has {len(flat)} rows for {len(np.unique(flat))} vertices; choose one split, layer and "
            "model before drawing"
        )
    return rows, places


class _Flat(NamedTuple):
    """The flattened hemisphere: points (mm), faces that do not span a cut, and where front and top of the brain lie."""

    points: NDArray[np.float64]
    faces: NDArray[np.intp]
    folds: list[Path]  # all gyri, all sulci
    poles: dict[str, NDArray[np.float64]]


@cache
def fsaverage5() -> dict[str, Any]:
    """Return nilearn's meshes by their names, which are read from files once."""
    from nilearn.datasets import load_fsaverage

    return dict(load_fsaverage("fsaverage5"))


@cache
def _flat(side: str) -> _Flat:
    from nilearn.datasets import load_fsaverage_data

    meshes = fsaverage5()
    flat, pial = meshes["flat"].parts[side], meshes["pial"].parts[side].coordinates
    points = np.asarray(flat.coordinates[:, :2], dtype=float)
    corners = points[flat.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    faces = flat.faces[longest < LONGEST_EDGE_MM].astype(np.intp)
    used = np.unique(faces)
    depth = np.asarray(load_fsaverage_data("fsaverage5", data_type="sulcal").data.parts[side], dtype=float)
    towards = {"front": pial[:, 1], "top": pial[:, 2]}
    poles = {name: points[used[np.argsort(along[used])[-30:]]].mean(axis=0) for name, along in towards.items()}
    sulci = face_values(depth, faces, "sequential") > 0
    return _Flat(points, faces, [_together(points[faces[part]]) for part in (~sulci, sulci)], poles)


def _together(triangles: NDArray[np.float64]) -> Path:
    """Return triangles (n, 3, 2) as one path."""
    closed = np.concatenate([triangles, triangles[:, :1]], axis=1)
    return Path(closed.reshape(-1, 2), np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(triangles)))


def face_values(values: NDArray[np.floating], faces: NDArray[np.integer], kind: str) -> NDArray[np.float64]:
    """Return a value per face (n_faces,): mean of its vertices, NaN unless at least two of the three are shown.

    Categories are not averaged: a face takes the one that two of its vertices share, else that of the first shown.
    """
    corners = np.asarray(values, dtype=float)[faces]  # (n_faces, 3)
    shown = np.isfinite(corners)
    few = shown.sum(axis=1) < 2
    if kind == "categorical":
        first = corners[np.arange(len(faces)), shown.argmax(axis=1)]
        result = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], first)
    else:
        result = np.where(shown, corners, 0).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    return np.where(few, np.nan, result)


def flat_maps(surface: SurfaceMap) -> Figure:
    """Draw a map on both flattened hemispheres; grey is cortex that is not shown, dark grey its sulci."""
    figure, axes = new_figure(8.6, 3.7, 2)
    image: Any = None
    for side, (ax, values) in enumerate(zip(axes, surface.values, strict=True)):
        flat = _flat(list(HEMISPHERES.values())[side])
        ax.add_collection(
            PathCollection(flat.folds, facecolors=["#e3e3e3", HIDDEN], antialiased=False, rasterized=True)
        )
        of_faces = face_values(values, flat.faces, surface.kind)
        shown = np.isfinite(of_faces)  # one polygon is drawn for each, which takes long
        image = PolyCollection(
            flat.points[flat.faces[shown]],  # type: ignore[arg-type]  # an array is drawn faster than a list
            array=of_faces[shown],
            cmap=surface.palette,
            antialiased=False,
            rasterized=True,
        )
        image.set(clim=(surface.vmin, surface.vmax), label="map")
        ax.add_collection(image)
        for name, (x, y) in flat.poles.items():
            ax.text(x, y, name, fontsize=7, ha="center", va="center", color="#333333", style="italic")
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"{list(HEMISPHERES.values())[side]} hemisphere", fontsize=9)
        ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.01, aspect=25, extend=_extend(surface))
    bar.set_label(surface.unit, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if surface.kind == "categorical":
        step = -(-len(surface.categories) // 24)
        bar.set_ticks(list(range(0, len(surface.categories), step)), labels=list(surface.categories[::step]))
        bar.ax.minorticks_off()
    return figure


def _extend(surface: SurfaceMap) -> Literal["neither", "both", "min", "max"]:
    """Return at which ends of the colour scale values lie beyond it."""
    if surface.kind == "categorical" or not surface.n_shown:
        return "neither"
    below, above = np.nanmin(surface.values) < surface.vmin, np.nanmax(surface.values) > surface.vmax
    return "both" if below and above else "min" if below else "max" if above else "neither"
