"""searchlight: the geometry around every voxel or vertex of one subject against that of the layers of one model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Layers, Responses
from brainalign.checks import BrainalignError
from brainalign.config import SearchlightSettings
from brainalign.datasets.formats import load_mesh
from brainalign.datasets.splits import group_labels, repeat_counts, repeats_cube
from brainalign.io import brain_maps, voxel_affine
from brainalign.pipelines.compare.rdms import compared_trials
from brainalign.workflow import Job

HEMISPHERES = ("L", "R")
# Patterns of a subject by row, their conditions and runs, and what their noise is taken from.
Measured = tuple[NDArray[np.floating[Any]], NDArray[Any], NDArray[Any], dict[str, Any]]


def searchlight(job: Job) -> None:
    """Compare the geometry around every voxel or vertex with that of the layers of one model."""
    options = job.options("searchlight", SearchlightSettings)
    responses = job.load("responses", Responses, stored=True)
    blocks = not job.has("splits")
    distance = options.distance or ("crossnobis" if blocks else "correlation")
    measured = _blocks(job, responses, distance, options) if blocks else _images(job, responses, distance)
    values, conditions, runs, noise = measured
    mask = job.load("mask", Nifti1Image) if job.has("mask") else None
    around, order = _around(job, responses.targets, options, mask)
    noise = {name: part[:, order] if name == "residuals" else part for name, part in noise.items()}
    dtype = "float64" if blocks else "float32"
    search = geometry.Searchlight(values[:, order], around, distance, conditions, runs, **noise, dtype=dtype)
    names = [str(name) for name in pd.unique(pd.Series(conditions))]
    models = geometry.feature_rdms(job.load("features", Layers, stored=True), names, options.feature_distance)
    found = geometry.searchlight_map(
        search,
        np.stack(list(models.values())),
        options.comparison,
        options.permutations,
        job.seed,
        progress=job.outputs["searchlight"].with_suffix(".blocks"),
        identity=job.library,
    )
    targets = responses.targets.iloc[order[around.centres]]
    everywhere = found.p_anywhere()
    tables = [
        pd.DataFrame({"layer": layer, "target_id": targets["target_id"].to_numpy()}).assign(
            n_channels=found.sizes,
            score=found.scores[k],
            null_mean=found.null_mean[k],
            p=found.p[k],
            p_fwer=found.p_fwer[k],
            p_anywhere=everywhere[k],
            q=found.q[k],
        )
        for k, layer in enumerate(models)
    ]
    job.save(
        "searchlight",
        pd.concat(tables, ignore_index=True),
        brain_maps(targets, found.scores, mask),
        distance=distance,
        noise=options.noise if noise else "none",
        feature_distance=options.feature_distance,
        comparison=options.comparison,
        permutations=options.permutations,
        n_stimuli=len(names),
        radius_mm=None if options.n_nearest and mask is None else options.radius_mm,
        threshold=dict(zip(models, map(float, found.threshold()), strict=True)),
        threshold_anywhere=found.threshold_anywhere(),
        n_nan=dict(zip(models, map(int, found.n_nan), strict=True)),
        n_channels_left_out=search.n_channels_left_out,
        p="one-sided, stimuli of the feature RDM exchanged; p_fwer against the largest fit over centres, p_anywhere "
        "over centres and layers",
    )


def _blocks(job: Job, responses: Responses, distance: str, options: SearchlightSettings) -> Measured:
    found: dict[str, Any] = {}
    if job.has("noise") and options.noise != "none" and distance != "correlation":
        residuals = job.load("noise", Arrays)["residuals"]
        found = {"residuals": residuals, "dof": job.details("noise")["dof"], "noise": options.noise}
    conditions = responses.trials["stimulus_id"].to_numpy()
    return responses.values[...], conditions, group_labels(responses.trials, "run").to_numpy(), found


def _images(job: Job, responses: Responses, distance: str) -> Measured:
    """Return images; their repeats are runs, of which the first so many count that all images have."""
    shown = compared_trials(job, responses)
    names = np.asarray(pd.unique(shown.trials["stimulus_id"]))
    if distance == "crossnobis" and repeat_counts(shown.trials).min() > 1:
        cube = repeats_cube(shown, unequal="fewest")
    else:
        cube = shown.average_repeats().values[None]
    rows = cube.reshape(-1, cube.shape[2])
    return rows, np.tile(names, len(cube)), np.repeat(np.arange(len(cube)), len(names)), {}


def _around(
    job: Job, targets: pd.DataFrame, options: SearchlightSettings, mask: Nifti1Image | None
) -> tuple[geometry.Neighbourhoods, NDArray[np.intp]]:
    """Return neighbourhoods, and the targets in the order of their channels."""
    if "vertex" not in targets:
        if not {"i", "j", "k"} <= set(targets):
            raise BrainalignError(
                f"searchlights need voxels or vertices; the targets are of kind {', '.join(pd.unique(targets['kind']))}"
                "; leave this subject out of searchlight.subjects"
            )
        voxels = targets[["i", "j", "k"]].to_numpy()
        affine = mask.affine if mask is not None else voxel_affine(targets)
        if affine is None:
            raise BrainalignError(
                "the voxels lie in one plane, which leaves their third direction open; widen the mask"
            )
        return geometry.volume_neighbourhoods(voxels, affine, options.radius_mm), np.arange(len(targets))
    meshes: dict[str, Path] = {str(hemi): path for hemi, path in options.meshes.items()}
    parts, orders = [], []
    for hemi in [side for side in HEMISPHERES if (targets["hemi"] == side).any()]:
        if hemi in meshes:
            job.provenance.read(f"mesh_{hemi}", meshes[hemi])
        rows = np.flatnonzero(targets["hemi"] == hemi)
        vertices = targets["vertex"].to_numpy()[rows]
        mesh = load_mesh(hemi, int(targets["vertex"].max()) + 1, meshes)
        measured = np.zeros(len(mesh.cortex), dtype=bool)
        measured[vertices] = True
        size: Any = {"n_nearest": options.n_nearest} if options.n_nearest else {"radius_mm": options.radius_mm}
        found = geometry.surface_neighbourhoods(mesh.coordinates, mesh.faces, **size, cortex=mesh.cortex & measured)
        ascending = np.argsort(vertices)
        place = np.cumsum(measured) - 1  # of a vertex among those measured
        parts.append(geometry.Neighbourhoods(place[found.centres], found.members[:, vertices[ascending]]))
        orders.append(rows[ascending])
    return geometry.joined_hemispheres(parts), np.concatenate(orders)
