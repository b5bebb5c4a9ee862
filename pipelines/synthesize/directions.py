"""directions: along what the images of a diffusion model differ, and along what a subject's regions answer more.

Directions are found with the guiding encoder as the annotator and tried on other seeds; the checking encoder, and in
simulated studies the neurons themselves, judge. Directions of chance of the same length stand beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from brainalign.arrays import Arrays, Layers, Values
from brainalign.checks import BrainalignError
from brainalign.config import DirectionSettings, SynthesizeSettings
from brainalign.devices import pick_device
from brainalign.features import image_features
from brainalign.pipelines.synthesize.synthesize import in_batches, natural_files, neurons, pixels
from brainalign.simulation import SHAPE_NEURONS, measure_things
from brainalign.synthesis import (
    DirectionStudy,
    Judges,
    NaturalImages,
    SavedEncoders,
    StudiedDirections,
    Typicality,
    load_prior,
)
from brainalign.workflow import Job

ROLES = ("guide", "check")


def directions(job: Job) -> None:
    """Find directions along which regions answer more, and try them on other seeds."""
    options = job.options("directions", DirectionSettings)
    images = job.options("synthesize", SynthesizeSettings)
    if images.prior is None or not options.methods:
        raise BrainalignError("directions need synthesize.prior and directions.methods; give both")
    device = str(pick_device(images.device))
    job.provenance.device = device
    arrays, about = job.load("guides", Arrays), job.details("guides")
    options.check(images.prior, about["asked"])
    asked = _asked(options.regions, about["asked"])
    pipe = load_prior(images.prior, device, save_memory=images.save_memory)
    if about["image_size"] != pipe.image_size:
        raise BrainalignError(
            f"the encoders were fitted to images of {about['image_size']} pixels, but the prior makes "
            f"{pipe.image_size}; delete the guides and run snakemake again"
        )
    encoders = SavedEncoders(arrays, about["regions"], asked)
    networks = {
        role: image_features(job.settings["models"][role], about[role]["layer"], about[role]["model"], device, job.seed)
        for role in ROLES
    }
    stimuli = next(iter(job.load("features", Layers).values())).stimuli
    natural = NaturalImages(natural_files(job, stimuli, arrays, images.n_natural), pipe.image_size, device)
    batched = {role: in_batches(networks[role], options.batch_size) for role in ROLES}
    by_region: dict[str, Callable[[Tensor], Values]] = {role: encoders.judge(role, batched[role]) for role in ROLES}
    by_image: dict[str, Callable[[Tensor], Values]] = {
        "typical": Typicality(batched["check"], batched["check"](natural).cpu().numpy())
    }
    if job.settings["simulated"]:
        known = [name for name, (_, minus) in asked.items() if minus is None and name in SHAPE_NEURONS]
        by_region["true"] = neurons(list(asked), known, natural)
        by_image["valid"] = lambda shown: measure_things(pixels(shown)).valid.astype(float)
    found = DirectionStudy(
        pipe,
        encoders.objectives("guide", networks["guide"]),
        Judges(by_region, by_image),
        methods=options.methods,
        n_seeds=options.n_seeds,
        n_directions=options.n_directions,
        spatial=options.spatial,
        alphas=options.alphas,
        n_images=options.n_images,
        n_controls=options.n_controls,
        n_control_images=min(options.n_control_images, options.n_images),
        n_steps=images.steps,
        batch_size=options.batch_size,
        seed=job.seed,
        progress=lambda words: print(words, flush=True),
    ).run()
    _save(job, found, about)


def _asked(wanted: Sequence[str] | None, known: dict[str, Any]) -> dict[str, Any]:
    """Return the regions, of those that encoders were fitted for, that directions are sought for."""
    return {name: known[name] for name in wanted or known}


def _save(job: Job, found: StudiedDirections, about: dict[str, Any]) -> None:
    table = found.table.copy()
    for name in ("true", "valid"):
        if name not in table:
            table[name] = np.nan
    of = ["method", "region", "direction", "orthogonal"]
    one = next(iter(found.directions.values()))
    job.save(
        "directions",
        Arrays(
            {
                "vectors": np.stack([d.vectors[0].cpu().numpy() for d in found.directions.values()]),
                "scale": np.array([float(d.scale[0]) for d in found.directions.values()]),
                "explained": np.array([float(d.explained[0]) for d in found.directions.values()]),
            }
        ),
        rows=[dict(zip(of, key, strict=True)) for key in found.directions],
        timesteps=list(one.timesteps),
        options=one.options,
        shapes="vectors (n_directions, n_steps, channels, rows, columns), each of length 1 over all steps; scale: "
        "standard deviation over seeds, the unit of alpha",
    )
    job.save(
        "directionscores",
        table,
        cosines=found.cosines.to_dict("records"),
        guide=about["guide"],
        check=about["check"],
        unit="alpha: standard deviations over seeds; guide, check, true: standard deviations over natural images",
    )
    job.save("directionimages", Arrays({"images": found.images}))
