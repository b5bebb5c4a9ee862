"""align: networks aligned with odd-one-out judgements; a teacher learns from people, students learn from it."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Values
from brainalign.checks import BrainalignError
from brainalign.config import AlignSettings, ConceptSettings
from brainalign.pipelines.compare.concepts import layers_of, maker, regions_of
from brainalign.pipelines.compare.rdms import model_layers
from brainalign.workflow import Job


def align(job: Job) -> None:
    """Align networks with judgements, and compare them with people and with brain regions."""
    options = job.options("align", AlignSettings)
    concepts = job.options("concepts", ConceptSettings)
    if options.teacher is None:
        raise BrainalignError("align.teacher names no model; give the one that is to learn from people")
    arrays = job.load("triplets", Arrays)
    stimuli = job.details("triplets")["stimuli"]
    n, repeats = len(stimuli), arrays["repeats"]
    embedding = job.load("concepts", Arrays)[concepts.methods[0]]
    layers = layers_of(model_layers(job), stimuli)
    triplets = geometry.unrepeated(arrays["triplets"], repeats, n)
    split = geometry.split_objects(triplets, n, options.object_share, np.random.default_rng(job.seed))
    train, choices = triplets[split.train], None  # single ones
    if options.choices != "judged":  # as probable as an embedding fitted to them has it
        made = maker(options.choices, concepts)((job.seed,)).fit(train, n)
        choices = geometry.choice_probabilities(geometry.object_similarities(made.embedding_), train)
    tests: dict[str, tuple[NDArray[Any], Values | None]] = {"unseen objects": (triplets[split.test], None)}
    if len(repeats):
        tests["repeated"] = geometry.judged_shares(repeats)
    study = geometry.align_networks(
        layers,
        (train, choices),
        tests,
        options.teacher,
        lambda: geometry.HumanTeacher(options.penalties, options.local_weight, seed=job.seed),
        lambda _: geometry.HumanAlignment(
            options.divergence,
            decay=options.decay,
            n_steps=options.steps,
            learning_rate=options.learning_rate,
            seed=job.seed,
            device=concepts.device,
        ),
        n_clusters=options.clusters,
        n_triplets=options.triplets,
        groups=geometry.cluster_objects(embedding, options.groups, job.seed),
        seed=job.seed,
    )
    about = {
        "teacher": list(study.teacher),
        "penalty": study.penalty,
        "n_train": len(train),
        "n_unseen": len(split.unseen),
        "n_objects": n,
        "ceilings": asdict(geometry.repeated_ceilings(repeats, n)) if len(repeats) else None,
    }
    job.save("alignment", study.scores, **about)
    _save_features(job, study, layers, stimuli)
    rows, rdms = regions_of(job, stimuli)
    beside = []  # the fit of brain regions to every network, as it is and aligned
    for key in study.aligned:
        for control, maps in (("unaligned", study.unaligned), ("aligned", study.aligned)):
            table = geometry.region_table(rdms, maps[key](layers[key])[rows], concepts.permutations, job.seed)
            beside.append(table.assign(model=key[0], layer=key[1], control=control))
    job.save("alignedregions", pd.concat(beside, ignore_index=True), dataset=concepts.regions_of)


def _save_features(
    job: Job, study: geometry.AlignmentStudy, layers: dict[tuple[str, str], Values], stimuli: list[str]
) -> None:
    found = {}
    for (model, layer), aligned in study.aligned.items():
        found[model] = aligned(layers[model, layer]).astype(np.float32)
        found[f"{model}_weight"] = aligned.weight.astype(np.float32)
        found[f"{model}_bias"] = aligned.bias.astype(np.float32)
    shapes = "<model> (n_stimuli, n_features) = features of its layer @ <model>_weight.T + <model>_bias"
    job.save("aligned", Arrays(found), stimuli=stimuli, layers=dict(study.aligned.keys()), shapes=shapes)
