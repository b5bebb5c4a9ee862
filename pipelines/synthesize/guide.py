"""guide: encoders of a subject's regions that images can be made with: one that guides, and another that judges.

Both are ridge on features of images at the size of the diffusion model's, and of the noised and denoised views of them
that guidance shows. The judge reads another network and was fitted to other images. Twins of the guide are fitted to
responses of exchanged images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Features, Layers, Responses, Rows, Values, flatten_rows
from brainalign.checks import BrainalignError, check_named, listed, naming
from brainalign.config import SynthesizeSettings
from brainalign.datasets import folds_of
from brainalign.devices import pick_device
from brainalign.encoding import fit_regions, shuffled_regions, target_groups
from brainalign.encoding.scoring import choose_regions
from brainalign.features import ImageFeatures, check_stored_features, image_features
from brainalign.io import load
from brainalign.statistics import RELIABLE, reliable_targets
from brainalign.study import check_halves
from brainalign.synthesis import features_of_views, load_prior
from brainalign.workflow import Job

ROLES = ("guide", "check")
COMPARED = 8  # images whose stored features are computed again


@dataclass(frozen=True)
class _Study:
    """Responses to every image once, and which images train the guide, train the check, and test both."""

    responses: Values
    images: Mapping[str, Rows]
    paths: list[str]

    def files(self, images: Rows) -> list[str]:
        """Return the files of images."""
        return [self.paths[image] for image in images]


def guide(job: Job) -> None:
    """Fit the encoders that guide and judge images, and twins to responses of exchanged images."""
    options = job.options("synthesize", SynthesizeSettings)
    if options.prior is None or options.guide is None or options.check is None:
        raise BrainalignError("synthesize.prior, guide and check are needed; give all three")
    device = job.provenance.device = str(pick_device(options.device))
    pipe = load_prior(options.prior, device, dtype=options.dtype, scheduler=options.scheduler)
    responses = job.load("responses", Responses, stored=True)
    reliable = reliable_targets(job.load("ceiling", pd.DataFrame), job.settings["ceiling_threshold"])
    groups = target_groups(responses, reliable)
    regions, wanted = choose_regions(groups, groups.pop(RELIABLE), options.regions, options.min_targets)
    rows = np.unique(np.concatenate(list(regions.values())))
    places = {name: np.searchsorted(rows, targets) for name, targets in regions.items()}

    networks, stored = {}, {}
    for role, chosen, path in zip(ROLES, (options.guide, options.check), job.paths("features"), strict=True):
        networks[role] = image_features(job.settings["models"][role], chosen.layer, chosen.model, device, job.seed)
        layers = load(path, Layers, job.provenance, stored=True)
        check_named(f"synthesize: {chosen.model} as extracted", layers, [chosen.layer], "layer", "take one of these")
        stored[role] = layers[chosen.layer]
    stimuli = stored["guide"].stimuli
    splits, folder = job.load("splits", pd.DataFrame), job.path("stimuli").parent
    study = _study(responses, splits, stored["guide"], folder, rows, job.seed)
    with naming("guide and check were extracted from different images"):
        rows_of = {role: of.rows_of(stimuli["stimulus_id"].tolist()) for role, of in stored.items()}
    full = {role: np.asarray(flatten_rows(of.values[rows_of[role]])) for role, of in stored.items()}
    for role, network in networks.items():
        some = study.images["test"][:COMPARED]
        check_stored_features(network, [study.paths[k] for k in some], full[role][some], full[role].std(axis=0))

    arrays, r = _fitted(study, networks, pipe, options, places, full, job.seed)
    arrays["rows"] = rows
    arrays |= {f"{role}_images": images for role, images in study.images.items()}
    job.save(
        "guides",
        Arrays(arrays),
        regions={name: targets.tolist() for name, targets in places.items()},
        asked={name: list(pair) for name, pair in wanted.items()},
        guide=options.guide.model_dump(),
        check=options.check.model_dump(),
        r=r,
        definition="r of the mean of a region: prediction and averaged responses over test images",
        n_images={role: len(images) for role, images in study.images.items()},
        image_size=pipe.image_size,
        views=options.views,
        images="rows of the table of stimuli of the guide's features",
    )


def _fitted(
    study: _Study,
    networks: Mapping[str, ImageFeatures],
    pipe: Any,
    options: SynthesizeSettings,
    places: Mapping[str, Rows],
    full: Mapping[str, Values],
    seed: int,
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, dict[str, float]]]]:
    """Return the arrays of both encoders and of the null encoders, and correlations on test images by region."""
    arrays: dict[str, NDArray[Any]] = {}
    r: dict[str, dict[str, dict[str, float]]] = {}
    test, measured = study.images["test"], _means(study.responses[study.images["test"]], places)
    for role, other in zip(ROLES, reversed(ROLES), strict=True):
        images, network = study.images[role], networks[role]
        print(f"{role}: {len(images)} images and {options.views} views of each", flush=True)
        views = features_of_views(pipe, study.files(images), network, options.views, seed, options.batch_size)
        clean, of_test = (
            features_of_views(pipe, study.files(some), network, batch_size=options.batch_size)
            for some in (study.images[other], test)
        )
        natural = np.concatenate([views[0], clean[0]])
        answers = study.responses[images]
        encoder = fit_regions(views, answers, options.alphas)
        usual = _means(encoder.predict(natural), places)
        arrays |= {f"{role}_coef": encoder.coef, f"{role}_intercept": encoder.intercept, f"{role}_alpha": encoder.alpha}
        arrays |= {f"{role}_mean": usual.mean(axis=0), f"{role}_sd": usual.std(axis=0)}
        if flat := [name for name, sd in zip(places, arrays[f"{role}_sd"], strict=True) if sd < 1e-9]:
            raise BrainalignError(
                f"the {role} predicts the same for all images in {listed(flat)}; leave the region out of "
                "synthesize.regions, or name another layer"
            )
        # How well an encoder does is asked twice: on images of the size it was fitted to, and on the files themselves.
        sized = {"prior": of_test[0], "full": full[role][test]}
        said = {size: _means(encoder.predict(X), places) for size, X in sized.items()}
        r[role] = {size: _correlations(values, measured, places) for size, values in said.items()}
        if role == "guide":
            coef, intercept = shuffled_regions(views, answers, encoder.alpha, places, options.n_nulls, seed)
            by_null = np.einsum("nd,mdr->mnr", natural, coef) + intercept[:, None]
            arrays |= {"null_coef": coef, "null_intercept": intercept}
            arrays |= {"null_mean": by_null.mean(axis=1), "null_sd": by_null.std(axis=1)}
            null = [_correlations(of_test[0] @ own, measured, places) for own in coef]
            r["null"] = {"prior": {name: float(np.mean([of[name] for of in null])) for name in places}}
    return arrays, r


def _means(values: Values, places: Mapping[str, Rows]) -> Values:
    return np.stack([values[:, rows].mean(axis=1) for rows in places.values()], axis=1)


def _study(
    responses: Responses, splits: pd.DataFrame, features: Features, folder: Path, rows: Rows, seed: int
) -> _Study:
    ((train, test),) = folds_of(splits, responses.trials)
    ids = responses.trials["stimulus_id"].to_numpy()
    once = responses.average_repeats()
    values = np.full((len(features.stimuli), len(rows)), np.nan)
    values[features.rows_of(once.trials["stimulus_id"].tolist())] = once.values[:, rows]
    training, testing = (np.sort(features.rows_of(np.unique(ids[some]).tolist())) for some in (train, test))
    order = np.random.default_rng([seed, 0x6D1]).permutation(training)
    check_halves(len(order))
    half = len(order) // 2
    images = {"guide": np.sort(order[:half]), "check": np.sort(order[half:]), "test": testing}
    return _Study(values, images, [str(folder / path) for path in features.stimuli["path"]])


def _correlations(predicted: Values, measured: Values, places: Mapping[str, Rows]) -> dict[str, float]:
    """Return r of the mean of every region, 0 where one of the two is constant."""
    return {
        name: float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
        for name, a, b in zip(places, predicted.T, measured.T, strict=True)
    }
