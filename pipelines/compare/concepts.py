"""concepts: embeddings of odd-one-out judgements, their dimensions, and networks and brain regions beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Layers, Values
from brainalign.config import ConceptSettings
from brainalign.io import load_sidecar
from brainalign.pipelines.compare.rdms import model_layers, rdms_among
from brainalign.study import check_shared_objects
from brainalign.workflow import Job

ALPHAS = tuple(np.logspace(-2, 6, 9))  # of the read-out

Make = Callable[[Sequence[int]], geometry.SparseConcepts | geometry.VariationalConcepts]


def concepts(job: Job) -> None:
    """Embed objects as people judge them, and compare networks and brain regions with the embedding."""
    from brainalign.regression import Ridge

    options = job.options("concepts", ConceptSettings)
    arrays, details = job.load("triplets", Arrays), job.details("triplets")
    stimuli, published = details["stimuli"], arrays.get("embedding")
    n, repeats = len(stimuli), arrays["repeats"]
    layers = layers_of(model_layers(job), stimuli)
    rows, rdms = regions_of(job, stimuli)
    triplets = geometry.unrepeated(arrays["triplets"], repeats, n)
    split = geometry.split_triplets(triplets, options.test_share, np.random.default_rng(job.seed))
    train, tests = triplets[split.train], {"triplets": triplets[split.test]}
    ceilings = geometry.repeated_ceilings(repeats, n) if len(repeats) else None
    if ceilings:
        tests["repeated"] = repeats
    seeds = list(range(job.seed, job.seed + options.starts))
    makers: dict[str, Make] = {name: maker(name, options) for name in options.methods}
    fits = {name: geometry.fit_concepts(make, train, n, seeds, options.least_r) for name, make in makers.items()}
    first = fits[options.methods[0]]
    about = {
        "n_objects": n,
        "n_train": len(train),
        "n_left_out": len(arrays["triplets"]) - len(triplets),
        "ceilings": asdict(ceilings) if ceilings else None,
        "alpha": {name: getattr(fit.fitted, "alpha_", None) for name, fit in fits.items()},
        "alpha_at_edge": _at_edge(fits, options),
        "starts": options.starts,
        "mean_r": {name: fit.found_again.means.tolist() for name, fit in fits.items()},
        "n_dimensions": {name: [len(e.T) for e in fit.fitted.embeddings_] for name, fit in fits.items()},
    }
    found: dict[str, Values] = {name: fit.embedding for name, fit in fits.items()}
    found |= {f"{name}_r": fit.found_again.r for name, fit in fits.items()}
    shapes = "<method> (n_stimuli, n_dimensions), of the reference start; <method>_r (n_dimensions,)"
    job.save("concepts", Arrays(found), stimuli=stimuli, labels=details["labels"], shapes=shapes)
    job.save("choices", geometry.choice_table(fits, train, tests, n, ceilings, published), **about)
    table = geometry.dimension_table(fits, details["labels"], published, details["dimensions"])
    job.save("conceptdimensions", table, least_r=options.least_r)
    networks, readouts = geometry.network_tables(
        layers,
        first.reproducible,
        triplets,
        tests["triplets"],
        Ridge(ALPHAS, cv=3, dtype="float64"),
        makers[options.methods[0]],
        options,
        job.seed,
    )
    kept = np.flatnonzero(first.found_again.reproducible)
    numbers = (kept if len(kept) else np.arange(first.embedding.shape[1])) + 1
    readouts["dimension"] = [int(numbers[k - 1]) for k in readouts["dimension"]]
    job.save("networks", networks, method=options.methods[0], permutations=options.permutations)
    job.save("readouts", readouts, permutations=options.readout_permutations)
    beside = geometry.region_table(rdms, first.reproducible[rows], options.permutations, job.seed)
    job.save("conceptregions", beside, permutations=options.permutations, dataset=options.regions_of)


def maker(name: str, options: ConceptSettings) -> Make:
    """Build the function that makes an estimator for given seeds."""
    shared: dict[str, Any] = {"n_dims": options.n_dims, "epochs": options.epochs, "device": options.device}
    if name == "sparse":
        shared["alphas"] = options.alphas
    return lambda seeds: geometry.CONCEPT_METHODS[name](**shared, seeds=tuple(seeds))


def _at_edge(fits: dict[str, geometry.ConceptFit], options: ConceptSettings) -> bool:
    """Return whether the chosen penalty is the smallest or the largest of several."""
    alpha = getattr(fits["sparse"].fitted, "alpha_", None) if "sparse" in fits else None
    return len(options.alphas) > 1 and alpha in (min(options.alphas), max(options.alphas))


def layers_of(models: Mapping[str, Layers], stimuli: list[str]) -> dict[tuple[str, str], Values]:
    """Return features (n_stimuli, n_features) of every layer; maps are averaged over their places."""
    found: dict[tuple[str, str], Values] = {}
    for model, layers in models.items():
        for name, features in layers.items():
            values = geometry.stimulus_features(features, stimuli).astype(np.float64)
            found[model, name] = values.mean(axis=1) if values.ndim == 3 else values
    return found


def regions_of(job: Job, stimuli: list[str]) -> tuple[NDArray[np.intp], dict[str, Values]]:
    """Find the objects that every subject was shown, and the RDMs (n_subjects, n_pairs) of each region over them."""
    paths = job.paths("regions")
    if not paths:
        return np.arange(len(stimuli)), {}
    arrays = job.load_all("regions", Arrays)
    details = [load_sidecar(path)["details"] for path in paths]
    shared = set(stimuli).intersection(*(about["conditions"] for about in details))
    names = [name for name in stimuli if name in shared]
    check_shared_objects(names, len(stimuli), len(paths))
    found: dict[str, list[Values]] = {}
    for some, about in zip(arrays, details, strict=True):
        among = rdms_among(np.asarray(some["responses"]), about["conditions"], names)
        for region, values in zip(about["groups"], among, strict=True):
            found.setdefault(region, []).append(values)
    return np.array([stimuli.index(name) for name in names]), {name: np.stack(v) for name, v in found.items()}
