"""directions: along what the images of a diffusion model differ, and along what a subject's regions answer more.

Directions are found with the guiding encoder as the annotator and tried on other seeds; the checking encoder, and in
simulated studies the neurons themselves, judge. Directions of chance of the same length stand beside.
"""

from typing import Any

import numpy as np

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.config import DirectionSettings, SynthesizeSettings
from brainalign.devices import pick_device
from brainalign.pipelines.synthesize.synthesize import OF_THE_PRIOR, setting_of
from brainalign.synthesis import DirectionStudy, StudiedDirections, load_prior
from brainalign.workflow import Job


def directions(job: Job) -> None:
    """Find directions along which regions answer more, and try them on other seeds."""
    options = job.options("directions", DirectionSettings)
    images = job.options("synthesize", SynthesizeSettings)
    if images.prior is None or not options.methods:
        raise BrainalignError("directions need synthesize.prior and directions.methods; give both")
    device = job.provenance.device = str(pick_device(images.device))
    about = job.details("guides")
    options.check(images.prior, about["asked"])
    asked = {name: about["asked"][name] for name in options.regions or about["asked"]}
    pipe = load_prior(images.prior, device, **images.model_dump(include=OF_THE_PRIOR))
    setting = setting_of(job, images, options.batch_size, pipe, asked)
    found = DirectionStudy(
        pipe,
        setting.encoders.objectives("guide", setting.guide),
        setting.judges,
        **options.model_dump(exclude={"regions", "n_control_images"}),
        n_control_images=min(options.n_control_images, options.n_images),
        n_steps=images.steps,
        seed=job.seed,
        progress=lambda words: print(words, flush=True),
    ).run()
    _save(job, found, about)


def _save(job: Job, found: StudiedDirections, about: dict[str, Any]) -> None:
    table = found.table.assign(**{name: np.nan for name in ("true", "valid") if name not in found.table})
    of = ["method", "region", "direction", "orthogonal"]
    every = list(found.directions.values())
    arrays = {"vectors": np.stack([one.vectors[0].cpu().numpy() for one in every])}
    arrays |= {name: np.array([float(getattr(one, name)[0]) for one in every]) for name in ("scale", "explained")}
    job.save(
        "directions",
        Arrays(arrays),
        rows=[dict(zip(of, key, strict=True)) for key in found.directions],
        timesteps=list(every[0].timesteps),
        options=every[0].options,
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
