"""Maps on the inflated cortex that a reader can turn: mesh and code once per page, maps as one byte a vertex."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.report.kit.canvas import HIDDEN
from brainalign.report.kit.surface import COLOUR_SCALES, HEMISPHERES, SurfaceMap, fsaverage5

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

VIEWER_CLASS = "surface-viewer"
LEVELS = 254  # of a colour scale; code 0 is "not shown"
GAP_MM = 46.0  # from the midline to the middle of each hemisphere, so that inflated ones do not overlap
STEP_MM = 0.01  # of the stored coordinates
VIEWS = ("left", "left inside", "right", "right inside", "back", "below", "above")


def map_codes(surface: SurfaceMap) -> NDArray[np.uint8]:
    """Return a map as codes (2, 10242): 0 not shown, 1 to 254 along the colour scale (or 1 + index of the category)."""
    if surface.kind == "categorical":
        steps = surface.values
    else:
        steps = np.clip((surface.values - surface.vmin) / (surface.vmax - surface.vmin), 0, 1) * (LEVELS - 1)
    return np.where(np.isfinite(steps), np.round(np.nan_to_num(steps)) + 1, 0).astype(np.uint8)


def surface_viewer(maps: Sequence[SurfaceMap], name: str = "surface") -> Markup:
    """Return the HTML of a viewer with a button per map; the page must hold `surface_assets()` once.

    `name` is that of this viewer on its page: the identifier of its element.
    """
    if not maps:
        raise BrainalignError(f"the surface viewer {name!r} has no maps; leave it out of the page")
    for one in maps:
        if len(one.categories) > LEVELS:
            raise BrainalignError(
                f"the map {one.title!r} has {len(one.categories)} categories but at most {LEVELS} can be told apart; "
                "draw fewer layers"
            )
    described = [
        {name: value for name, value in vars(one).items() if name != "values"} | {"shown": one.n_shown} for one in maps
    ]
    codes = np.concatenate([map_codes(one).ravel() for one in maps]).tobytes()
    buttons = _buttons("map", dict(enumerate(one.title for one in maps)), 0)
    views = _buttons("view", dict.fromkeys(VIEWS), "back")
    return Markup(
        '<div class="{}" id="{}"><div class="buttons" role="group" aria-label="Map">{}</div>'
        '<div class="buttons" role="group" aria-label="View">{}</div>'
        '<label class="threshold" hidden>Only values beyond <input type="range" min="0" max="95" step="5" value="0"> '
        '<output>0</output></label><div class="stage" role="img" aria-label="Cortex in three dimensions">'
        '<p class="soft">'
        "This map is drawn by the browser; without scripts or WebGL see the flat maps.</p></div>"
        '<div class="legend"></div>'
        '<script type="application/json" class="maps">{}</script>'
        '<script type="text/plain" class="codes">{}</script></div>'
    ).format(VIEWER_CLASS, name, buttons, views, _json(described), _packed(codes))


def _buttons(what: str, titles: Mapping[Any, str | None], pressed: object) -> Markup:
    """Return a button per key, with the key as its title where there is none."""
    button = Markup('<button type="button" data-{}="{}" aria-pressed="{}">{}</button>')
    each = (button.format(what, key, str(key == pressed).lower(), title or key) for key, title in titles.items())
    return Markup("").join(each)


def volume_viewer(
    image: "Nifti1Image",
    mask: "Nifti1Image",
    background: "Nifti1Image | None",
    *,
    label: str,
    vmax: float,
    diverging: bool,
) -> Markup:
    """Return the HTML of a map in a volume, cut through its largest value; arguments are those of `draw_map`.

    Only the box around the mask is kept. Without a background, or with one of another grid, the mask is grey.
    """
    from nibabel import as_closest_canonical

    inside, values = (np.asarray(as_closest_canonical(one).dataobj, dtype=np.float64) for one in (mask, image))
    if min(len(set(k)) for k in np.nonzero(inside)) < 2:
        return Markup("")  # one slice, which the figure shows
    under = 0.35 * (inside > 0)
    if background is not None and background.shape[:3] == inside.shape:
        under = np.asarray(as_closest_canonical(background).dataobj, dtype=np.float32)
        under = np.clip(under / np.percentile(under[inside > 0], 99), 0, 1)
    box = tuple(slice(max(k.min() - 1, 0), k.max() + 2) for k in np.nonzero(inside))
    low = -vmax if diverging else 0.0
    drawn = SurfaceMap(label, label, values[box], "diverging" if diverging else "sequential", low, vmax)
    codes = map_codes(drawn)
    peak = np.unravel_index(np.abs(np.nan_to_num(values[box])).argmax(), codes.shape)  # where cuts begin
    affine = as_closest_canonical(image).affine
    zooms, starts = np.abs(np.diag(affine))[:3], [part.start for part in box]
    colours = matplotlib.colormaps[COLOUR_SCALES[drawn.kind]](np.linspace(0, 1, LEVELS), bytes=True)[:, :3].tolist()
    about = {
        "shape": codes.shape,
        "mm": zooms.round(6).tolist(),
        "origin": (affine[:3, 3] + zooms * starts).round(6).tolist(),
        "colours": colours,
    }
    cuts = Markup("").join(
        Markup(
            '<div><label class="threshold">{0} <input type="range" min="0" max="{1}" value="{2}"> <output></output>'
            '</label><canvas role="img" aria-label="Cut across {0}"></canvas></div>'
        ).format(axis, n - 1, start)
        for axis, n, start in zip("xyz", codes.shape, peak, strict=True)
    )
    scale = ",".join(f"rgb({','.join(map(str, colour))})" for colour in colours[::23])
    return Markup(
        '<div class="volume" hidden><div class="cuts">{}</div><div class="legend"><span>{}: {:.2g}</span>'
        '<i style="width:8rem;background:linear-gradient(to right,{})"></i><span>{:.2g}</span></div>'
        '<script type="application/json">{}</script><script type="text/plain">{}</script></div>'
    ).format(
        cuts,
        label,
        drawn.vmin,
        scale,
        vmax,
        _json(about),
        _packed(np.stack([codes, 255 * under[box]]).astype(np.uint8).tobytes()),
    )


def surface_code() -> tuple[str, str]:
    """Return the code that runs on a page with viewers: plotly, as its bundle unpacks, and the script of the page."""
    bundle = files("nilearn").joinpath("plotting/data/js/plotly-gl3d-latest.min.js").read_bytes()
    return bundle.decode(), files("brainalign.report").joinpath("templates/surface.js").read_text()


@cache
def surface_assets() -> Markup:
    """Write the assets that all viewers of a page share: nilearn's plotly bundle, mesh and script (about 1 MB).

    The bundle and the mesh are compressed; the browser unpacks them when a viewer comes into sight.
    """
    bundle, script = surface_code()
    scales = {
        kind: [to_hex(matplotlib.colormaps[scale](k / (LEVELS - 1))) for k in range(LEVELS)]
        for kind, scale in COLOUR_SCALES.items()
    }
    shared = {"step": STEP_MM, "scales": scales, "hidden": HIDDEN, "levels": LEVELS}
    return Markup(
        '<script type="text/plain" id="surface-bundle">{}</script>\n<script type="text/plain" id="surface-mesh">{}'
        '</script>\n<script type="application/json" id="surface-shared">{}</script>\n<script>{}</script>'
    ).format(_packed(bundle.encode()), _packed(_mesh_bytes()), _json(shared), Markup(script))


def _mesh_bytes() -> bytes:
    """Return coordinates (int16, left then right), faces (uint16, the same in both) and sulcal depth (uint8)."""
    from nilearn.datasets import load_fsaverage_data

    inflated = fsaverage5()["inflated"].parts
    depth = load_fsaverage_data("fsaverage5", data_type="sulcal").data.parts
    coordinates, sulci = [], []
    for side, sign in zip(HEMISPHERES.values(), (-1, 1), strict=True):
        points = np.asarray(inflated[side].coordinates, dtype=float)
        points = points - points.mean(axis=0) + [sign * GAP_MM, 0, 0]
        coordinates.append(np.round(points / STEP_MM).astype("<i2"))
        sulci.append(np.asarray(depth[side] > 0, dtype=np.uint8))
    faces = inflated["left"].faces
    assert np.array_equal(faces, inflated["right"].faces)  # else the mesh would have to hold both
    return b"".join(part.tobytes() for part in (*coordinates, faces.astype("<u2"), *sulci))


def _packed(content: bytes) -> str:
    """Return content compressed (with a fixed time stamp, so that equal pages are equal) as base64."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _json(value: object) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
