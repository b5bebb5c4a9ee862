"""A value per target drawn where the targets lie: on slices, on the flattened cortex, or as marks at their places."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.io import brain_maps, inflated_fslr, voxel_affine
from brainalign.report.kit import surface
from brainalign.report.kit.canvas import HIDDEN, MOST_MARKS, new_figure
from brainalign.report.kit.material import SubjectMaterial
from brainalign.report.kit.viewer import volume_viewer

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

IN_MNI = {"glassbrain": "Glass brain", "projection": "Projected to the cortex"}  # titles of what is drawn there
AXES = ["x_mm", "y_mm", "z_mm"]
FRAME = 2  # voxels
SIDES = (("L", "outer", -1), ("L", "inner", 1), ("R", "inner", -1), ("R", "outer", 1))  # and the sign of x towards us
VIEWS = {"from above": (0, 1), "from behind": (0, 2), "from the right": (1, 2)}  # axes that each view shows


class TargetMap(NamedTuple):
    """A map, a sentence on what it is drawn, and of a volume the HTML of a viewer with a slider per axis."""

    figure: Figure
    where: str
    slices: Markup = Markup("")


def target_map(
    material: SubjectMaterial,
    values: NDArray[Any],
    *,
    label: str,
    vmax: float,
    diverging: bool = True,
    outline: NDArray[Any] | None = None,
) -> TargetMap | None:
    """Draw a value per target where the targets lie; None where their places are not known.

    Parameters
    ----------
    material : SubjectMaterial
        Its responses name the targets.
    values : array (n_targets,)
        NaN is not drawn.
    label : str
        What the colours show, with its unit.
    vmax : float
        End of the colour scale, which begins at −vmax or, where it is not diverging, at 0.
    outline : array (n_targets,), optional
        True for targets to outline; not on a cortex.
    """
    assert material.responses is not None
    targets = material.responses.targets
    options: dict[str, Any] = {"label": label, "vmax": vmax, "diverging": diverging}
    marked = np.zeros(len(targets)) if outline is None else np.asarray(outline, dtype=float)
    if material.mask is not None and material.bold is not None:
        image, edge = (_volume(targets, of, material.mask) for of in (values, marked))
        figure = draw_map(image, material.mask, material.bold, outline=edge, **options)
        fmri = material.descriptor.fmri
        where = f"Drawn on the mean functional image{'' if fmri is None else f' ({fmri.space})'}."
        return TargetMap(figure, where, volume_viewer(image, material.mask, material.bold, **options))
    return place_map(targets, values, outline=marked, **options)


def place_map(
    targets: pd.DataFrame, values: NDArray[Any], *, outline: NDArray[Any] | None = None, **options: Any
) -> TargetMap | None:
    """Draw a value per target where the table of targets says that they lie; None where it does not.

    Options are those of `target_map`.
    """
    marked = np.zeros(len(targets)) if outline is None else np.asarray(outline, dtype=float)
    drawn = DRAWN.get(_space(targets))
    return None if drawn is None else drawn(targets, np.asarray(values), marked, {"diverging": True} | options)


def _space(targets: pd.DataFrame) -> str:
    """Return the key of `DRAWN` for the space of targets; empty where it cannot be drawn."""
    if surface.drawn_vertices(targets) is not None:
        return "fsaverage"
    placed = np.isfinite(targets.reindex(columns=AXES).to_numpy(dtype=float)).all(axis=1)
    if "vertex" in targets:
        if placed[targets["vertex"] >= 0].all():
            return "surfaces"
        known = targets.attrs.get("space", {}).get("name") == "fsLR32k" and inflated_fslr("L") is not None
        return "fsLR32k" if known else ""
    if not placed.all():
        return ""
    return "places" if voxel_affine(targets) is None else "volume"


def _on_fsaverage(
    targets: pd.DataFrame, values: NDArray[Any], marked: NDArray[Any], options: dict[str, Any]
) -> TargetMap:
    vertices, label = surface.drawn_vertices(targets), options["label"]
    assert vertices is not None  # as `_space` says
    drawn = surface.surface_map(
        vertices.merge(pd.DataFrame({"target_id": targets["target_id"], "shown": values})),
        "shown", title=label, unit=label, kind="diverging" if options["diverging"] else "sequential", vmin=0.0,
        vmax=options["vmax"],
    )  # fmt: skip
    return TargetMap(surface.flat_maps(drawn), "Drawn on the flattened cortex of fsaverage5.")


def _in_volume(targets: pd.DataFrame, values: NDArray[Any], marked: NDArray[Any], options: dict[str, Any]) -> TargetMap:
    image, edge, inside = (_framed(_volume(targets, of)) for of in (values, marked, np.ones(len(targets))))
    inside = _filled(inside)
    what = "parcels" if "labels" in targets.attrs.get("space", {}) else "voxels"
    figure = draw_map(image, inside, None, outline=edge, **options)
    where = f"Drawn on their own grid; grey: border of the {what} that were read."
    return TargetMap(figure, where, volume_viewer(image, inside, None, **options))


def _on_fslr(targets: pd.DataFrame, values: NDArray[Any], marked: NDArray[Any], options: dict[str, Any]) -> TargetMap:
    """Draw on the inflated group average: what lies in a sulcus is seen, too."""
    cortex = {hemi: pd.DataFrame(inflated_fslr(hemi), columns=AXES).rename_axis("vertex") for hemi in ("L", "R")}
    known = pd.concat(cortex, names=["hemi"]).reset_index()  # the medial wall, too: nothing shines through it
    placed = known.merge(targets[["hemi", "vertex"]].assign(value=values), how="left")
    where = "Drawn on the inflated cortex of 1,200 people (Human Connectome Project, fsLR 32k)."
    return _on_surfaces(placed, placed["value"].to_numpy(), marked, options)._replace(where=where)


def _on_surfaces(
    targets: pd.DataFrame, values: NDArray[Any], marked: NDArray[Any], options: dict[str, Any]
) -> TargetMap:
    """Draw a mark per vertex from both sides of every hemisphere: near ones hide far ones, grey has no value."""
    figure, axes = new_figure(8.6, 3.0, 4)
    scale = ScalarMappable(
        Normalize(-options["vmax"] if options["diverging"] else 0.0, options["vmax"]),
        surface.COLOUR_SCALES["diverging" if options["diverging"] else "sequential"],
    )
    for ax, (hemi, side, towards) in zip(axes, SIDES, strict=True):
        rows = np.flatnonzero((targets["hemi"] == hemi) & (targets["vertex"] >= 0))
        places = targets[AXES].to_numpy(dtype=float)[rows]
        order = np.argsort(towards * places[:, 0], kind="stable")
        shown = np.asarray(values, dtype=float)[rows][order]
        colours = np.where(np.isfinite(shown)[:, None], scale.to_rgba(np.nan_to_num(shown)), to_rgba(HIDDEN))
        size = float(np.clip(50_000 / max(len(rows), 1), 1, 40))
        across, up = (places[order][:, 1:] * [towards, 1]).T
        ax.scatter(across, up, c=colours, s=size, linewidths=0, rasterized=True)
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"{surface.HEMISPHERES[hemi]}, {side}", fontsize=9)
        ax.spines[:].set_visible(False)
    figure.colorbar(scale, ax=axes, shrink=0.75, pad=0.01, aspect=25).set_label(options["label"], fontsize=8)
    return TargetMap(figure, "Drawn at the vertices of the surfaces that the descriptor gives.")


def _at_places(targets: pd.DataFrame, values: NDArray[Any], marked: NDArray[Any], options: dict[str, Any]) -> TargetMap:
    figure = place_marks(targets, values, outline=marked, **options)
    return TargetMap(figure, "Drawn at their places, from three sides.")


DRAWN: dict[str, Callable[[pd.DataFrame, NDArray[Any], NDArray[Any], dict[str, Any]], TargetMap]] = {
    "fsaverage": _on_fsaverage,
    "surfaces": _on_surfaces,
    "fsLR32k": _on_fslr,
    "volume": _in_volume,
    "places": _at_places,
}


def maps_in_mni(
    targets: pd.DataFrame, values: NDArray[Any], *, label: str, vmax: float, diverging: bool = True
) -> dict[str, Figure]:
    """Draw a value per target in a standard head, where the descriptor says that their places are those of MNI.

    Parameters
    ----------
    targets : DataFrame
        Voxels, or other targets with places in mm; their space says its name.
    values, label, vmax, diverging
        As for `target_map`.

    Returns
    -------
    dict of str to Figure
        By the name of its caption: the glass brain and, of voxels, the projection to the cortex. Empty where the space
        is not MNI, or nothing is to be drawn.
    """
    from nilearn import plotting

    values = np.asarray(values, dtype=float)
    name = str(targets.attrs.get("space", {}).get("name", ""))
    placed = np.isfinite(targets.reindex(columns=AXES).to_numpy(dtype=float)).all(axis=1) & np.isfinite(values)
    if not name.upper().startswith("MNI") or "vertex" in targets or not placed.any():
        return {}
    cmap, low = ("RdBu_r", -vmax) if diverging else ("viridis", 0.0)
    figure = Figure(figsize=(9.0, 2.8), dpi=110)
    options: dict[str, Any] = {"display_mode": "lyrz", "figure": figure, "colorbar": True}
    if voxel_affine(targets) is None:
        places = targets[AXES].to_numpy(dtype=float)[placed]
        plotting.plot_markers(
            values[placed], places, node_size=25, node_cmap=cmap, node_vmin=low, node_vmax=vmax, **options
        )
        figure.suptitle(label, fontsize=9)
        return {"glassbrain": figure}
    image = _volume(targets, values)
    with _little_garbage():
        plotting.plot_glass_brain(
            _filled(image), cmap=cmap, vmin=low, vmax=vmax, plot_abs=False, threshold=1e-6, symmetric_cbar=diverging,
            **options,
        )  # fmt: skip
    figure.suptitle(label, fontsize=9)
    kind: Any = "diverging" if diverging else "sequential"
    cortex = surface.SurfaceMap(label, label, _projected(image), kind, low, vmax)
    return {"glassbrain": figure} | ({"projection": surface.flat_maps(cortex)} if cortex.n_shown else {})


def _projected(image: Nifti1Image) -> NDArray[np.float64]:
    """Project a volume in MNI to fsaverage5 (2, n_vertices), divided by a map of ones; NaN where half is unknown."""
    import nibabel
    from nilearn.surface import vol_to_surf

    known = nibabel.Nifti1Image(np.isfinite(np.asarray(image.dataobj)).astype(np.float32), image.affine)
    meshes, projected = surface.fsaverage5(), np.full((2, surface.N_VERTICES), np.nan)
    for row, side in enumerate(("left", "right")):
        pial, white = (meshes[name].parts[side] for name in ("pial", "white_matter"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # vertices outside of the grid
            values, share = (vol_to_surf(volume, pial, inner_mesh=white) for volume in (_filled(image), known))
        projected[row] = np.divide(values, share, out=projected[row], where=np.nan_to_num(share) >= 0.5)
    return projected


def _filled(image: Nifti1Image) -> Nifti1Image:
    """Return an image with 0 in place of NaN."""
    import nibabel

    return nibabel.Nifti1Image(np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32)), image.affine)


def _volume(targets: pd.DataFrame, values: NDArray[Any], mask: Nifti1Image | None = None) -> Nifti1Image:
    """Return a value per voxel as an image in three dimensions, NaN elsewhere."""
    import nibabel

    image = brain_maps(targets, np.asarray(values, dtype=np.float32)[None], mask)["statmap.nii.gz"]
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[..., 0], image.affine)


def _framed(image: Nifti1Image) -> Nifti1Image:
    """Return an image with a frame of voxels without a value, so that borders are inside it."""
    import nibabel

    affine = image.affine.copy()
    affine[:3, 3] -= FRAME * affine[:3, :3].sum(axis=1)
    return nibabel.Nifti1Image(np.pad(np.asarray(image.dataobj), FRAME, constant_values=np.nan), affine)


def place_marks(
    targets: pd.DataFrame,
    values: NDArray[Any],
    *,
    label: str,
    vmax: float,
    diverging: bool = True,
    outline: NDArray[Any] | None = None,
) -> Figure:
    """Draw a mark per target with a value at its place, seen from three sides; those in front hide others."""
    places, values = targets[AXES].to_numpy(dtype=float), np.asarray(values, dtype=float)
    shown = np.flatnonzero(np.isfinite(values))
    shown = shown[np.argsort(np.abs(values[shown]), kind="stable")]  # the largest lie on top
    edges = ["none" if outline is None or not outline[k] else "black" for k in shown]
    low, high = places.min(axis=0), places.max(axis=0)
    middle, reach = (low + high) / 2, 0.55 * float((high - low).max()) + 1
    figure, axes = new_figure(8.6, 3.0, 3)
    size = float(np.clip(9000 / max(len(shown), 1), 4, 40))
    for ax, (name, (across, up)) in zip(axes, VIEWS.items(), strict=True):
        marks = ax.scatter(
            places[shown, across], places[shown, up], c=values[shown], s=size, vmin=-vmax if diverging else 0,
            vmax=vmax, cmap=surface.COLOUR_SCALES["diverging" if diverging else "sequential"], edgecolors=edges,
            linewidths=0.7, rasterized=len(shown) > MOST_MARKS,
        )  # fmt: skip
        ax.set_title(name, fontsize=9)
        for axis, limits in ((across, ax.set_xlim), (up, ax.set_ylim)):  # one scale for all views
            limits(middle[axis] - reach, middle[axis] + reach)
        ax.set(aspect="equal", xlabel=f"{'xyz'[across]} (mm)", ylabel=f"{'xyz'[up]} (mm)")
        ax.tick_params(labelsize=7)
    bar = figure.colorbar(marks, ax=axes, shrink=0.75, pad=0.01, aspect=25)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def score_histogram(
    scores: pd.DataFrame, level: float, *, limit: float = float("nan"), targets: str = "targets"
) -> Figure:
    """Draw how r is distributed over targets, those above chance in colour, and the largest r that chance gives.

    The level is a false discovery rate; 95 % of permuted maps stay below the limit, NaN where that is not known.
    """
    r = scores["r"].to_numpy(dtype=float)
    above = (scores["q"] < level).to_numpy()[np.isfinite(r)]
    r = r[np.isfinite(r)]
    figure, (ax,) = new_figure(5.6, 3.0)
    ax.hist(
        [r[above], r[~above]], bins=40, stacked=True, color=["#0072B2", "#c8c8c8"],
        label=[f"q < {level:g} ({above.sum():,})", f"others ({(~above).sum():,})"],
    )  # fmt: skip
    ax.axvline(0, color="black", linestyle=":", linewidth=1)
    if np.isfinite(limit):
        ax.axvline(limit, color="#D55E00", linewidth=1.5, label="largest of a permuted map, 95 % point")
    ax.set(xlabel="Pearson r of measured and predicted responses", ylabel=targets)
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=3)
    return figure


def slice_positions(mask: Nifti1Image, most: int = 7) -> list[float]:
    """Return z coordinates (mm) of at most `most` axial slices that hold voxels of the mask."""
    filled = np.flatnonzero(np.asarray(mask.dataobj).any(axis=(0, 1)))
    chosen = filled[np.linspace(0, len(filled) - 1, min(most, len(filled))).round().astype(int)]
    return [float((mask.affine @ [0, 0, k, 1])[2]) for k in chosen]


def draw_map(
    image: Nifti1Image,
    mask: Nifti1Image,
    background: Nifti1Image | None,
    *,
    label: str,
    vmax: float,
    diverging: bool,
    outline: Nifti1Image | None = None,
) -> Figure:
    """Draw axial slices of a statistical map, NaN where nothing is drawn; the mask chooses them.

    Without a background, the mean functional image, the border of the mask is drawn; what is not 0 in `outline` is
    outlined in black. The scale begins at −vmax or, where it is not diverging, at 0.
    """
    from nilearn import plotting

    positions = slice_positions(mask)
    figure = Figure(figsize=(min(3.4 + 2.4 * len(positions), 9.0), 3.2), dpi=130)
    options: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -vmax} if diverging else {"cmap": "viridis", "vmin": 0}
    with _little_garbage():
        display = plotting.plot_stat_map(
            _filled(image),
            bg_img=background,
            display_mode="z",
            cut_coords=positions,
            figure=figure,
            axes=(0.0, 0.0, 1.0, 0.88),
            threshold=1e-6,
            vmax=vmax,
            symmetric_cbar=diverging,
            black_bg=background is not None,
            dim=0,
            resampling_interpolation="nearest",
            draw_cross=False,
            annotate=True,
            **options,
        )
        if background is None:
            display.add_contours(mask, levels=[0.5], colors="#8c8c8c", linewidths=0.8)
        if outline is not None and np.nan_to_num(outline.dataobj).any():
            display.add_contours(_filled(outline), levels=[0.5], colors="black", linewidths=1.4)
    figure.suptitle(label, fontsize=10, y=0.97)
    return figure


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Keep what stands already out of the collections of garbage, of which nilearn asks one at every image it reads."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
