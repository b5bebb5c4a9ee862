"""fMRI betas on the cortical surface with planted areas: a hierarchy driven by a network's layers, selective areas,
and cortex that answers to nothing.

    beta = offset_session + gain_session · (√share · signal + √(1 − share) · noise)

`signal` and `noise` have unit variance over trials, noise is correlated between neighbouring vertices. A vertex's
share follows from the ceiling planted for the average of all repeats.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_rows
from brainalign.simulation.voxels.scenes import COLOURS, RADIUS, SHAPES, TEXTURES

Floats = NDArray[np.float64]
HEMIS = ("L", "R")

# True ceilings of the average of all repeats, and how many of an area's vertices have each; outside areas it is 0.
CEILINGS, CEILING_SHARES = (0.05, 0.1, 0.3, 0.6), (0.1, 0.2, 0.3, 0.4)
# Drives per area, and the components of each layer they are made of. The first layer's are fewer: its trailing
# components are its own accidents, which no other network's early layers share.
WHAT_DRIVES, WHERE_DRIVES = 6, 8
WHAT_COMPONENTS, WHERE_COMPONENTS = (14, 16, 16, 16, 16), (32, 32, 32, 32, 32)
FIELD_SD, FIELD_Y = 0.3, 0.47
FIELD_X = {"L": 0.62, "R": 0.38}  # the left hemisphere sees the right of the image
PREFERRED = 0.85  # share of a selective vertex's signal variance that is its area's preference
RADIUS_MM, JITTER_MM = 10.0, 2.0  # of an area, on the sphere of radius 100 mm; of its centre between subjects
NEIGHBOUR = 0.5  # weight of each neighbouring vertex's noise, its own having 1

# Centres on the left pial surface in mm, posterior to anterior; x is mirrored for the right. The names say the stream
# and the level in the hierarchy; they are places in this simulation, not claims about the human areas there.
VENTRAL = ((-12, -96, -6), (-26, -86, -14), (-34, -72, -18), (-36, -54, -20), (-38, -36, -24))
DORSAL = ((-12, -98, 10), (-26, -88, 20), (-28, -76, 32), (-26, -64, 50), (-34, -44, 52))
SELECTIVE = {
    "red": (-42, -78, -6),
    "cross": (-50, -66, 6),
    "bluecircle": (-50, -54, -12),
    "large": (-42, -80, 14),
    "leftside": (-56, -46, 32),
}


@dataclass(frozen=True)
class Cortex:
    """A surface mesh per hemisphere ("L", "R").

    Attributes
    ----------
    sphere : dict of arrays (n_vertices, 3)
        Coordinates on the sphere of radius 100 mm.
    pial : dict of arrays (n_vertices, 3)
        Coordinates in mm.
    faces : dict of arrays (n_faces, 3)
    """

    sphere: Mapping[str, Floats]
    pial: Mapping[str, Floats]
    faces: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class CortexDrives:
    """What drives areas, over stimuli.

    Attributes
    ----------
    stimulus_ids : list of str
    what : dict of arrays (n_stimuli, n_drives)
        By layer: content, wherever it is.
    where : dict of dicts of arrays (n_stimuli, n_drives)
        By hemisphere and layer: content in the receptive field.
    preferred : DataFrame (n_stimuli)
    other : array (n_stimuli, n_variables)
        The scene's variables, mixed at random into selective vertices.
    """

    stimulus_ids: list[str]
    what: Mapping[str, Floats]
    where: Mapping[str, Mapping[str, Floats]]
    preferred: pd.DataFrame
    other: Floats
    layers: list[str] = field(default_factory=list)


def load_cortex() -> Cortex:
    """Load fsaverage5, which comes with nilearn: 10,242 vertices per hemisphere, and no network is needed."""
    from nilearn.datasets import load_fsaverage

    parts = load_fsaverage("fsaverage5")
    sides = dict(zip(HEMIS, ("left", "right"), strict=True))
    return Cortex(
        sphere={hemi: np.asarray(parts["sphere"].parts[side].coordinates, float) for hemi, side in sides.items()},
        pial={hemi: np.asarray(parts["pial"].parts[side].coordinates, float) for hemi, side in sides.items()},
        faces={hemi: np.asarray(parts["pial"].parts[side].faces, np.int64) for hemi, side in sides.items()},
    )


def plan_areas(layers: list[str]) -> pd.DataFrame:
    """Return the planted areas: roi, kind (what | where | preference), layer, preference, x_mm, y_mm, z_mm (left).

    Raises
    ------
    BrainalignError
        If there are more layers than levels of the hierarchy.
    """
    if len(layers) > len(VENTRAL):
        raise BrainalignError(f"{len(layers)} layers, but the hierarchy has {len(VENTRAL)} levels; plant fewer")
    rows = []
    for stream, kind, centres in (("ventral", "what", VENTRAL), ("dorsal", "where", DORSAL)):
        for k, (layer, centre) in enumerate(zip(layers, centres, strict=False)):
            rows.append((f"{stream}{k + 1}", kind, layer, "", *centre))
    rows += [(name, "preference", "", name, *SELECTIVE[name]) for name in PREFERENCES]
    return pd.DataFrame(rows, columns=["roi", "kind", "layer", "preference", "x_mm", "y_mm", "z_mm"])


def cortex_drives(maps: Mapping[str, NDArray[np.float32]], scenes: pd.DataFrame) -> CortexDrives:
    """Compute what drives every area from layers of a network and the variables of the scenes.

    Maps are (n_scenes, rows, columns, n_channels), by layer in order of depth.
    """
    flat = {layer: values.reshape(len(values), -1) for layer, values in maps.items()}
    where = {}
    for hemi in HEMIS:
        at = (FIELD_X[hemi], FIELD_Y, FIELD_SD)
        fields = {layer: field_weights(values.shape[1], values.shape[2], *at) for layer, values in maps.items()}
        where[hemi] = layer_drives(flat, WHERE_DRIVES, WHERE_COMPONENTS[: len(maps)], fields)
    pooled = {layer: pool_everywhere(values) for layer, values in maps.items()}
    return CortexDrives(
        stimulus_ids=list(scenes["stimulus_id"]),
        what=layer_drives(pooled, WHAT_DRIVES, WHAT_COMPONENTS[: len(maps)]),
        where=where,
        preferred=preferences(scenes),
        other=scene_variables(scenes),
        layers=list(maps),
    )


def _area_numbers(cortex: Cortex, hemi: str, areas: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the area of every vertex, -1 outside: discs with ragged borders around jittered centres."""
    centres = areas[["x_mm", "y_mm", "z_mm"]].to_numpy(float, copy=True)
    centres[:, 0] *= 1 if hemi == "L" else -1
    nearest = ((cortex.pial[hemi][:, None] - centres) ** 2).sum(axis=2).argmin(axis=0)
    seeds = cortex.sphere[hemi][nearest] + rng.normal(0, JITTER_MM, (len(areas), 3))
    seeds *= 100 / np.linalg.norm(seeds, axis=1, keepdims=True)
    distance = 100 * np.arccos((cortex.sphere[hemi] @ seeds.T / 1e4).clip(-1, 1))  # (n_vertices, n_areas)
    border = RADIUS_MM + rng.normal(0, 0.7, distance.shape)
    owner = distance.argmin(axis=1)
    return np.where(np.take_along_axis(distance < border, owner[:, None], axis=1)[:, 0], owner, -1)


def _neighbours(faces: NDArray[np.int64], n_vertices: int) -> csr_array:
    """Return the smoothing of noise as a matrix with rows of unit norm: white noise in, unit variance out."""
    a, b = np.concatenate([faces, np.roll(faces, 1, axis=1)]).reshape(-1, 3)[:, :2].T
    links = csr_array((np.ones(len(a), np.float32), (a, b)), shape=(n_vertices, n_vertices))
    links = ((links + links.T) > 0).astype(np.float32) * np.float32(NEIGHBOUR)
    mixing = links + diags_array(np.ones(n_vertices, np.float32))
    return csr_array(diags_array((1 / np.sqrt(mixing.multiply(mixing).sum(axis=1))).astype(np.float32)) @ mixing)


def _signals(
    truth: pd.DataFrame, hemi: str, drives: CortexDrives, rows: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the signal of every vertex with one over the subject's stimuli, unit variance: (n_stimuli, n_vertices)."""
    signals = np.zeros((len(rows), len(truth)), dtype=np.float32)
    for _, mine in truth[truth["kind"] != "none"].groupby(["kind", "layer", "preference"]):
        kind, layer, preference = (str(mine[name].iloc[0]) for name in ("kind", "layer", "preference"))
        if kind == "preference":
            mixed = drives.other @ rng.normal(size=(drives.other.shape[1], len(mine)))
            mixed /= mixed.std(axis=0)
            values = np.sqrt(PREFERRED) * drives.preferred[[preference]].to_numpy() + np.sqrt(1 - PREFERRED) * mixed
        else:
            source = drives.what[layer] if kind == "what" else drives.where[hemi][layer]
            values = source @ rng.normal(size=(source.shape[1], len(mine)))
        values = values[rows] - values[rows].mean(axis=0)
        signals[:, mine.index] = values / values.std(axis=0)
    return signals


def _hemisphere(
    trials: pd.DataFrame, drives: CortexDrives, cortex: Cortex, hemi: str, n_repeats: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return the betas (n_trials, n_vertices) and the truth of one hemisphere."""
    areas = plan_areas(drives.layers)
    number = _area_numbers(cortex, hemi, areas, rng)
    n_vertices, n_trials = len(number), len(trials)
    truth = areas.drop(columns=["x_mm", "y_mm", "z_mm"]).reindex(number).reset_index(drop=True)
    truth = truth.fillna({"roi": "", "kind": "none", "layer": "", "preference": ""})
    truth["ceiling"] = np.where(number >= 0, rng.choice(CEILINGS, n_vertices, p=CEILING_SHARES), 0.0)
    share = truth["ceiling"].to_numpy() / (n_repeats - (n_repeats - 1) * truth["ceiling"].to_numpy())
    truth["ceiling_single_trial"] = share

    position = {stimulus_id: k for k, stimulus_id in enumerate(drives.stimulus_ids)}
    seen, stimulus = np.unique(trials["stimulus_id"].map(position).to_numpy(), return_inverse=True)
    signals = _signals(truth, hemi, drives, seen, rng) * np.sqrt(share).astype(np.float32)
    white = rng.standard_normal((n_vertices, n_trials), dtype=np.float32)
    betas = (_neighbours(cortex.faces[hemi], n_vertices) @ white).T * np.sqrt(1 - share).astype(np.float32)
    planted = np.flatnonzero(number >= 0)
    betas[:, planted] += signals[:, planted][stimulus]
    for session in trials["session"].unique():
        mine = (trials["session"] == session).to_numpy()
        gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.1, n_vertices)).astype(np.float32)
        betas[mine] = betas[mine] * gain + (0.5 + rng.normal(0, 0.5, n_vertices)).astype(np.float32)
    truth.insert(0, "vertex", np.arange(n_vertices))
    truth.insert(0, "hemi", hemi)
    return betas, truth


def simulate_cortex(
    trials: pd.DataFrame, drives: CortexDrives, cortex: Cortex, seed: int
) -> tuple[Responses, pd.DataFrame]:
    """Simulate one subject's betas (n_trials, n_vertices of both hemispheres), percent signal change, for a `schedule`.

    Areas lie at the same places in every subject, with jittered centres and ragged borders; every vertex of an area has
    its own random mixture of the area's drives, its own ceiling and, in each session, its own gain and offset.

    The table says of every vertex: hemi, vertex, roi, kind (what | where | preference | none), layer, preference,
    ceiling (true share of signal in the average of all repeats), ceiling_single_trial.
    """
    n_repeats = int(trials["repeat"].max()) + 1
    betas, truths, targets = [], [], []
    for k, hemi in enumerate(HEMIS):
        values, truth = _hemisphere(trials, drives, cortex, hemi, n_repeats, np.random.default_rng([seed, 0xC0, k]))
        betas.append(values)
        truths.append(truth)
        table = pd.DataFrame(cortex.pial[hemi], columns=["x_mm", "y_mm", "z_mm"])
        table.insert(0, "vertex", truth["vertex"])
        table.insert(0, "roi", [[roi] if roi else [] for roi in truth["roi"]])
        table.insert(0, "hemi", hemi)
        table.insert(0, "kind", "vertex")
        table.insert(0, "target_id", [f"{hemi}{vertex}" for vertex in truth["vertex"]])
        targets.append(table)
    everywhere = pd.concat(targets, ignore_index=True)
    responses = Responses(np.concatenate(betas, axis=1), trials, everywhere, "percent signal change")
    return responses, pd.concat(truths, ignore_index=True)


# Layers of one network resemble each other, so a response to an arbitrary mix of a layer's features is predicted almost
# as well from its neighbours, and nobody could say which layer was planted. The drives of a layer are the
# combinations of its leading components that the other layers' features explain least.

RIDGE = 1e-2  # penalty, as a share of the mean eigenvalue of the other layers' kernel


def pool_everywhere(maps: NDArray[np.float32]) -> Floats:
    """Average a layer (n, rows, columns, n_channels) over the image: what is there, wherever it is."""
    return np.asarray(maps.mean(axis=(1, 2), dtype=np.float64))


def field_weights(n_rows: int, n_columns: int, x: float, y: float, sd: float) -> Floats:
    """Return a Gaussian receptive field at the pixels (n_rows · n_columns) of a layer's map, 1 at its peak.

    Centre (from the upper left corner) and standard deviation are shares of the image.
    """
    rows, columns = ((np.arange(n) + 0.5) / n for n in (n_rows, n_columns))
    return np.asarray(np.exp(-((rows[:, None] - y) ** 2 + (columns[None, :] - x) ** 2) / (2 * sd**2)).ravel())


def _unexplained(target: Floats, kernel: Floats, n_folds: int = 5) -> Floats:
    """Return the part of `target` that kernel ridge does not predict in held-out rows."""
    left = np.empty_like(target)
    for fold in range(n_folds):
        test = np.arange(len(target)) % n_folds == fold
        inner, mean = kernel[np.ix_(~test, ~test)], target[~test].mean(axis=0)
        inner[np.diag_indices_from(inner)] += RIDGE * np.trace(inner) / len(inner)
        left[test] = target[test] - mean - kernel[np.ix_(test, ~test)] @ np.linalg.solve(inner, target[~test] - mean)
    return left


def _components(kernel: Floats, n_components: int) -> Floats:
    """Return the leading principal components, of unit variance, from the inner products of centred rows."""
    variances, vectors = np.linalg.eigh(kernel)  # ascending
    n_kept = min(n_components, int((variances > 1e-10 * variances[-1]).sum()))
    return np.asarray(vectors[:, ::-1][:, :n_kept] * np.sqrt(len(kernel)))


def layer_drives(
    features: Mapping[str, NDArray[np.floating]],
    n_drives: int,
    n_components: Sequence[int],
    fields: Mapping[str, Floats] | None = None,
) -> dict[str, Floats]:
    """Return, for every layer, the combinations of its features that the other layers explain least.

    Features are standardised and, for an area with a receptive field, weighted by it. Of the leading `n_components`
    principal components of a layer (scaled to unit variance) those combinations are taken that keep the largest share
    of variance, in held-out stimuli, after ridge on the features of all other layers together, each layer counting
    the same. They remain exactly linear in the layer's features.

    Parameters
    ----------
    features : mapping of arrays (n_stimuli, n_features)
        By layer: from `pool_everywhere`, or whole maps (n_stimuli, rows · columns · n_channels).
    n_components : sequence of int (n_layers)
        Fewer make drives that other networks share, more make drives that only this layer has.
    fields : mapping of arrays (rows · columns), optional
        Receptive field by layer, from `field_weights`.

    Returns
    -------
    dict of arrays (n_stimuli, n_drives)
        Uncorrelated, mean 0, standard deviation 1, the most particular to the layer first.

    Raises
    ------
    BrainalignError
        If there are fewer than two layers, not a number of components for each, or fewer components than drives.
    """
    if len(features) < 2:
        raise BrainalignError(f"{len(features)} layer(s) cannot be told from others; give two or more")
    check_rows("n_components", len(n_components), "the layers", len(features), "give one number per layer")
    kernels, components = {}, {}
    for (layer, values), n_kept in zip(features.items(), n_components, strict=True):
        n_places = 1 if fields is None else len(fields[layer])
        # Channels are scaled alike at all places: pixels few scenes reach must not weigh as the centre.
        centred = (values - values.mean(axis=0, dtype=np.float64)).reshape(len(values), n_places, -1)
        spread = np.sqrt((centred**2).mean(axis=(0, 1)))
        scaled = (centred / np.where(spread > 1e-6 * spread.max(), spread, np.inf)).reshape(len(values), -1)
        kernels[layer] = scaled @ scaled.T / scaled.shape[1]
        if fields is None:
            components[layer] = _components(kernels[layer], n_kept)
        else:
            scaled *= np.repeat(fields[layer], scaled.shape[1] // n_places)
            components[layer] = _components(scaled @ scaled.T, n_kept)
    drives = {}
    for layer, parts in components.items():
        if parts.shape[1] < n_drives:
            raise BrainalignError(f"layer {layer!r} has {parts.shape[1]} components; plant at most as many drives")
        own = _unexplained(parts, np.sum([kernel for name, kernel in kernels.items() if name != layer], axis=0))
        _, directions = np.linalg.eigh(own.T @ own)  # ascending
        drives[layer] = parts @ directions[:, ::-1][:, :n_drives]
    return drives


# What selective areas answer to: red things, crosses, blue circles, large things, things on the left.
PREFERENCES: dict[str, Callable[[pd.DataFrame], "pd.Series[Any]"]] = {
    "red": lambda scenes: scenes["colour"] == "red",
    "cross": lambda scenes: scenes["shape"] == "cross",
    "bluecircle": lambda scenes: (scenes["colour"] == "blue") & (scenes["shape"] == "circle"),
    "large": lambda scenes: (scenes["size"] / RADIUS[1]) ** 2,  # area, as a share of the largest
    "leftside": lambda scenes: 1 - scenes["x"],
}


def _z(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def preferences(scenes: pd.DataFrame) -> pd.DataFrame:
    """Return the true response of every selective area to every scene, z-scored over scenes.

    The table has a column per entry of `PREFERENCES` and the index stimulus_id.
    """
    columns = {name: _z(response(scenes).to_numpy(float)) for name, response in PREFERENCES.items()}
    return pd.DataFrame(columns, index=pd.Index(scenes["stimulus_id"]))


def scene_variables(scenes: pd.DataFrame) -> Floats:
    """Return all variables of scenes as numbers (categories one-hot), z-scored: (n_scenes, n_variables)."""
    menus: dict[str, Collection[str]] = {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES}
    columns = [(scenes[name] == option).to_numpy(float) for name, options in menus.items() for option in options]
    columns += [scenes[name].to_numpy(float) for name in ("size", "x", "y", "ground")]
    return _z(np.stack(columns, axis=1))
