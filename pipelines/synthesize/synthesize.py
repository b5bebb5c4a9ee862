"""synthesize: images that the regions of a subject would prefer, beside everything that could explain them.

In simulated studies the neurons themselves say what they would have answered, and whether an image shows a clear thing.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign import synthesis
from brainalign.arrays import Arrays, Layers, Values
from brainalign.checks import BrainalignError
from brainalign.config import SynthesizeSettings
from brainalign.devices import pick_device
from brainalign.features import ImageFeatures, image_features
from brainalign.simulation import SHAPE_NEURONS, measure_things, true_responses
from brainalign.workflow import Job

ROLES = ("guide", "check")
OF_THE_PRIOR = {"save_memory", "scheduler", "dtype"}  # how it is loaded
LEVEL = 0.05  # false discovery rate of captions that count
READ_AT_ONCE = 64  # images
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same bytes at any time
SHOWN = ("guided", "unguided")  # conditions whose pictures go into the archive


def synthesize(job: Job) -> None:
    """Make images that regions would prefer, and compare them with every control."""
    options = job.options("synthesize", SynthesizeSettings)
    if options.prior is None:
        raise BrainalignError("synthesize.prior is missing; give a diffusion model")
    device = job.provenance.device = str(pick_device(options.device))
    pipe = synthesis.load_prior(options.prior, device, options.recurrence, **options.model_dump(include=OF_THE_PRIOR))
    about = job.details("guides")
    setting = setting_of(job, options, options.batch_size, pipe, about["asked"])
    study = synthesis.SynthesisStudy(
        pipe,
        setting.encoders.objectives("guide", setting.guide),
        setting.judges,
        setting.natural,
        sampling_of(options, job.seed),
        prompts=_prompts(job, options, list(about["asked"])),
        progress=lambda words: print(words, flush=True),
    )
    nulls = setting.encoders.nulls(setting.guide)[: options.n_nulls]
    found = study.run(nulls, min(options.n_null_images, options.n_images), options.scales, evolution=options.evolution)
    about["n_kept"] = study.sampling.n_kept
    about |= {"scheduler": type(pipe.scheduler).__name__, "own_scheduler": pipe.own_scheduler}
    _save(job, found, setting.known, about)


@dataclass(frozen=True)
class Setting:
    """What images are made and judged with: encoders, the network that guides, judges, natural images, neurons."""

    encoders: synthesis.SavedEncoders
    guide: ImageFeatures
    judges: synthesis.Judges
    natural: synthesis.NaturalImages
    known: list[str]


def setting_of(job: Job, options: SynthesizeSettings, batch_size: int, pipe: Any, asked: Mapping[str, Any]) -> Setting:
    """Set up what images of the regions asked for are made and judged with, by the encoders of the stage before."""
    arrays, about = job.load("guides", Arrays), job.details("guides")
    if about["image_size"] != pipe.image_size:
        raise BrainalignError(
            f"the encoders were fitted to images of {about['image_size']} pixels, but the prior makes "
            f"{pipe.image_size}; delete the guides and run snakemake again"
        )
    device = job.provenance.device
    encoders = synthesis.SavedEncoders(arrays, about["regions"], asked)
    models = job.settings["models"]
    guide, check = (
        image_features(models[role], about[role]["layer"], about[role]["model"], device, job.seed) for role in ROLES
    )
    stimuli = next(iter(job.load("features", Layers, stored=True).values())).stimuli
    shown = np.sort(np.concatenate([arrays["guide_images"], arrays["check_images"]]))
    if len(shown) > options.n_natural:  # more than are held in memory
        shown = np.sort(np.random.default_rng([job.seed, 0x7A7]).choice(shown, options.n_natural, replace=False))
    files = [str(job.path("stimuli").parent / path) for path in stimuli["path"].iloc[shown]]
    natural = synthesis.NaturalImages(files, pipe.image_size, device)
    batched = dict(zip(ROLES, (_in_batches(network, batch_size) for network in (guide, check)), strict=True))
    by_region: dict[str, Callable[[Tensor], Values]] = {role: encoders.judge(role, of) for role, of in batched.items()}
    typical = synthesis.Typicality(batched["check"], batched["check"](natural).cpu().numpy())
    by_image: dict[str, Callable[[Tensor], Values]] = {"typical": typical}
    known: list[str] = []
    if job.settings["simulated"]:
        known = [name for name, (_, minus) in asked.items() if minus is None and name in SHAPE_NEURONS]
        by_region["true"] = _neurons(list(asked), known, natural)
        by_image["valid"] = lambda images: measure_things(_pixels(images)).valid.astype(float)
    return Setting(encoders, guide, synthesis.Judges(by_region, by_image), natural, known)


def sampling_of(options: SynthesizeSettings, seed: int) -> synthesis.Sampling:
    """Build the sampling of images from the settings."""
    names = [field.name for field in fields(synthesis.Sampling)]
    shared = {name: getattr(options, name) for name in names if hasattr(options, name)}
    return synthesis.Sampling(**shared, n_steps=options.steps, seed=seed)


def _prompts(job: Job, options: SynthesizeSettings, regions: Sequence[str]) -> dict[str, str]:
    """Return words for regions: given ones, or the most frequent caption of those that predict above chance."""
    if options.prompts != "captions":
        return dict(options.prompts)
    if not job.has("captions"):
        raise BrainalignError("synthesize.prompts: captions needs the stage caption; configure caption.model")
    said = job.load("captions", pd.DataFrame).reindex(columns=["region", "caption", "q"])  # no voxel, no region
    said = said.assign(region=said["region"].astype(str).str.split(", ")).explode("region")  # a voxel may be in several
    said = said[(said["caption"] != "") & (said["q"] <= LEVEL) & said["region"].isin(regions)]
    return {str(region): str(own.mode().iloc[0]) for region, own in said.groupby("region")["caption"]}


def _save(job: Job, found: synthesis.Synthesised, known: list[str], about: Mapping[str, Any]) -> None:
    table = found.table.assign(**{name: np.nan for name in ("true", "valid") if name not in found.table})
    # Nobody knows which natural images a region prefers whose neuron is not known.
    table = table[(table["condition"] != "natural true") | table["region"].isin(known)].reset_index(drop=True)
    gains = [
        synthesis.synthesis_gains(table[table["scored"] == region], job.settings["confidence"], job.seed)
        for region in about["asked"]
    ]
    details = {
        **{name: about[name] for name in ("asked", "guide", "check", "r", "scheduler", "own_scheduler")},
        "regions": list(about["asked"]),
        "known": known,
        "cost": found.cost,
        "unit": "guide, check, true: standard deviations over natural images; valid: 1 shows one clear shape; typical: "
        "usual distance between natural neighbours in the features of the check, over that of the image, at most 1",
    }
    job.save("synthesized", Arrays({"images": found.images}), **details)
    job.save("synthesis", table, **details)
    p = "sign flips of pairs, exchange of images, or rank among null encoders; not corrected for regions"
    job.save("synthesisgains", pd.concat(gains, ignore_index=True), p=p, **details)
    job.save("synthesissteps", found.steps, of="means over the guided images of a region")
    job.save("image", archive_of(found.images, table, about["n_kept"]), of=list(SHOWN))


@dataclass(frozen=True)
class _ImageArchive:
    """Pictures as PNG files with a table stimuli.tsv, as a descriptor of a study would name it, in one file."""

    images: NDArray[np.uint8]
    table: pd.DataFrame

    def to_filename(self, path: Path) -> None:
        """Write a zip file; the same content gives the same bytes."""
        from PIL import Image

        names = [f"images/{name}.png" for name in self.table["stimulus_id"]]
        table = self.table.assign(path=names)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            text = table.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n")
            file.writestr(zipfile.ZipInfo("stimuli.tsv", LONG_AGO), text)
            for name, pixels in zip(names, self.images, strict=True):
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, "PNG")
                file.writestr(zipfile.ZipInfo(name, LONG_AGO), picture.getvalue())


def archive_of(images: NDArray[np.uint8], table: pd.DataFrame, n_kept: int) -> _ImageArchive:
    """Return the pictures a person would show: so many guided ones of a region, and unguided ones of the same seeds."""
    own = table[table["condition"].isin(SHOWN) & table["region"].isin(["", *table["scored"].unique()])]
    own = own[(own["region"] == "") | (own["region"] == own["scored"])].drop_duplicates("image")
    guided = own[own["condition"] == "guided"]
    rank = guided.groupby("region")["guide"].rank(ascending=False, method="first")
    kept = guided[rank <= n_kept]
    plain = own[(own["condition"] == "unguided") & own["seed"].isin(kept["seed"])]
    own = own[own.index.isin(kept.index.union(plain.index))]
    region = own["region"].where(own["region"] != "", "none")
    names = [
        f"{condition}_{''.join(letter if letter.isalnum() else '-' for letter in name)}_seed{seed}"
        for condition, name, seed in zip(own["condition"], region, own["seed"], strict=True)
    ]
    columns = ["condition", "region", "seed", "scale", "contrast", "luminance", "typical", "guide", "check"]
    shown = own[columns].assign(region=region, stimulus_id=names)
    shown.loc[shown["condition"] == "unguided", ["guide", "check"]] = np.nan  # of no region in particular
    return _ImageArchive(images[own["image"]], shown[["stimulus_id", *columns]])


def _neurons(asked: list[str], known: list[str], natural: synthesis.NaturalImages) -> Callable[[Tensor], Values]:
    """Return true responses (n, n_asked) in standard deviations over natural images; NaN where no neuron is known."""
    usual = _true(natural)
    mean, sd = usual.mean(), usual.std(ddof=0)

    def say(images: Tensor | synthesis.NaturalImages) -> Values:
        found = (_true(images) - mean) / sd
        return np.asarray(found[known].reindex(columns=asked).to_numpy(dtype=np.float64))

    return say


def _true(images: Tensor | synthesis.NaturalImages) -> pd.DataFrame:
    """Return the neurons' responses; natural images are read a few at a time."""
    parts = (images[first : first + READ_AT_ONCE] for first in range(0, len(images), READ_AT_ONCE))
    return pd.concat([true_responses(measure_things(_pixels(part))) for part in parts], ignore_index=True)


def _in_batches(network: Callable[[Tensor], Tensor], size: int) -> Callable[[Tensor | synthesis.NaturalImages], Tensor]:
    """Return a network that is shown few images at a time."""

    def features(images: Tensor | synthesis.NaturalImages) -> Tensor:
        with torch.no_grad():
            return torch.cat([network(images[first : first + size]) for first in range(0, len(images), size)])

    return features


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Return images (n, 3, H, W) in [0, 1] as (n, H, W, 3) of 256 steps."""
    return np.asarray((images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
