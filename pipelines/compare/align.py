"""align: networks aligned with odd-one-out judgements; a teacher learns from people, students learn from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.config import AlignSettings, ConceptSettings
from brainalign.geometry import (
    CONCEPT_METHODS,
    AlignmentStudy,
    HumanAlignment,
    HumanTeacher,
    align_networks,
    choice_probabilities,
    cluster_objects,
    judged_shares,
    object_similarities,
    region_table,
    repeated_ceilings,
    split_objects,
    unrepeated,
)
from brainalign.io import Provenance, load, load_sidecar, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.compare.concepts import layers_of, regions_of
from brainalign.study import parse

HEAD_RATE = 0.15  # over the number of features: how fast an affine map learns, whatever its size

Values = NDArray[np.floating[Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("align", __doc__)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--concepts", type=Path, required=True, help="an embedding of the judgements")
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="one per model")
    parser.add_argument("--regions", type=Path, nargs="*", default=[], help="RDMs of subjects of another dataset")
    for name in ("aligned", "alignment", "alignedregions"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="output")
    return run_stage(parser, _align, argv, uses_gpu=lambda a: a.settings["concepts"].get("device") == "cuda")


def _align(arguments: argparse.Namespace, provenance: Provenance) -> None:
    options = parse(AlignSettings, arguments.settings["align"], "align")
    concepts = parse(ConceptSettings, arguments.settings["concepts"], "concepts")
    if options.teacher is None:
        raise BrainalignError("align.teacher names no model; give the one that is to learn from people")
    arrays = load(arguments.triplets, Arrays, provenance)
    stimuli = load_sidecar(arguments.triplets)["details"]["stimuli"]
    n, repeats = len(stimuli), arrays["repeats"]
    embedding = load(arguments.concepts, Arrays, provenance)[concepts.methods[0]]
    layers = layers_of(arguments.features, stimuli, provenance)
    triplets = unrepeated(arrays["triplets"], repeats, n)
    split = split_objects(triplets, n, options.object_share, np.random.default_rng(arguments.seed))
    train = triplets[split.train]
    tests: dict[str, tuple[NDArray[Any], Values | None]] = {"unseen objects": (triplets[split.test], None)}
    if len(repeats):
        tests["repeated"] = judged_shares(repeats)
    study = align_networks(
        layers,
        (train, _soft(train, n, options, concepts, arguments.seed)),
        tests,
        options.teacher,
        lambda: HumanTeacher(options.penalties, options.local_weight, seed=arguments.seed),
        lambda n_features: HumanAlignment(
            options.divergence,
            decay=options.decay,
            n_steps=options.steps,
            learning_rate=options.learning_rate or HEAD_RATE / n_features,
            seed=arguments.seed,
            device=concepts.device,
        ),
        n_clusters=options.clusters,
        n_triplets=options.triplets,
        groups=cluster_objects(embedding, options.groups, arguments.seed),
        draws=options.draws,
        seed=arguments.seed,
    )
    about = {
        "teacher": list(study.teacher),
        "penalty": study.penalty,
        "n_train": len(train),
        "n_unseen": len(split.unseen),
        "n_objects": n,
        "ceilings": asdict(repeated_ceilings(repeats, n)) if len(repeats) else None,
    }
    save(arguments.alignment, study.scores, provenance, **about)
    _save_features(arguments.aligned, study, layers, stimuli, provenance)
    beside = _beside(study, layers, regions_of(arguments.regions, stimuli, provenance), concepts, arguments.seed)
    save(arguments.alignedregions, beside, provenance, dataset=concepts.regions_of)


def _soft(
    train: NDArray[np.int64], n: int, options: AlignSettings, concepts: ConceptSettings, seed: int
) -> Values | None:
    """Compute the probabilities of training choices by an embedding fitted to them; None for single ones."""
    if options.choices == "judged":
        return None
    make = CONCEPT_METHODS[options.choices]
    extra: dict[str, Any] = {"alphas": concepts.alphas} if options.choices == "sparse" else {}
    made = make(n_dims=concepts.n_dims, epochs=concepts.epochs, device=concepts.device, seeds=(seed,), **extra)
    return choice_probabilities(object_similarities(made.fit(train, n).embedding_), train)


def _save_features(
    path: Path,
    study: AlignmentStudy,
    layers: dict[tuple[str, str], Values],
    stimuli: list[str],
    provenance: Provenance,
) -> None:
    found = {}
    for (model, layer), aligned in study.aligned.items():
        found[model] = aligned(layers[model, layer]).astype(np.float32)
        found[f"{model}_weight"] = aligned.weight.astype(np.float32)
        found[f"{model}_bias"] = aligned.bias.astype(np.float32)
    save(
        path,
        Arrays(found),
        provenance,
        stimuli=stimuli,
        layers=dict(study.aligned.keys()),
        shapes="<model> (n_stimuli, n_features) = features of its layer @ <model>_weight.T + <model>_bias",
    )


def _beside(
    study: AlignmentStudy,
    layers: dict[tuple[str, str], Values],
    regions: tuple[NDArray[np.intp], dict[str, Values]],
    concepts: ConceptSettings,
    seed: int,
) -> pd.DataFrame:
    """Tabulate the fit of brain regions to every network, unaligned and aligned; models are by row."""
    rows, rdms = regions
    tables = []
    for key in study.aligned:
        for control, maps in (("unaligned", study.unaligned), ("aligned", study.aligned)):
            table = region_table(rdms, maps[key](layers[key])[rows], concepts.permutations, seed)
            tables.append(table.assign(model=key[0], layer=key[1], control=control))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    raise SystemExit(main())
