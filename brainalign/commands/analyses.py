"""What a study can be asked, and what is missing for the rest: asked of the table of steps itself.

A step is allowed where its row has a job. For another, changes of study and configuration are tried on copies, one by
one and then in pairs: the first that gives it a job is what is missing.
"""

import copy
import itertools
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from brainalign.config import LEAST_SUBJECTS, Config
from brainalign.study import Split, Study
from brainalign.workflow import STEPS, Run, Step

ANALYSES = ("encode", "compare", "decode", "synthesize")  # folders of programs that say something new of a study
Changed = tuple[Config, Study]


def _options(section: str, **values: Callable[[list[str]], Any]) -> Callable[[Config, Study, list[str]], Changed]:
    """Make the change that gives options of a section to the models of a dataset."""

    def change(config: Config, study: Study, models: list[str]) -> Changed:
        given = {name: value(models) for name, value in values.items()}
        return config.model_copy(update={section: getattr(config, section).model_copy(update=given)}), study

    return change


def _studied(**values: Callable[[Study], Any]) -> Callable[[Config, Study, list[str]], Changed]:
    """Make the change of a study."""
    return lambda config, study, models: (
        config,
        study.model_copy(update={name: value(study) for name, value in values.items()}),
    )


CHANGES: dict[str, Callable[[Config, Study, list[str]], Changed]] = {
    "splits: {runs: {leave_out: run}}": _studied(splits=lambda study: {"runs": Split(leave_out="run")}),
    "splits: {held: {share: 0.2}}, stimuli held out": _studied(splits=lambda study: {"held": Split(share=0.2)}),
    "decoded: [subjects]": _studied(decoded=lambda study: tuple(study.recordings)),
    f"{LEAST_SUBJECTS} subjects": _studied(
        recordings=lambda study: {str(k): of for of in [*study.recordings.values()][:1] for k in range(LEAST_SUBJECTS)}
    ),
    "searchlight.models": _options("searchlight", models=tuple),
    "align.teacher": _options("align", teacher=lambda models: models[0]),
    "match.models": _options("match", models=tuple),
    "converge.networks": _options("converge", networks=lambda models: dict.fromkeys(models[:1])),
    "caption.model": _options("caption", model=lambda models: models[0]),
    "ground.model and ground.text": _options("ground", model=lambda models: models[0], text=lambda models: models[0]),
    "synthesize.prior, guide and check": _options(
        "synthesize",
        prior=lambda models: "prior",
        guide=lambda models: SimpleNamespace(model=models[0]),  # a layer, as far as rows of the table ask
        check=lambda models: SimpleNamespace(model=models[-1]),
    ),
    "directions.methods": _options("directions", methods=lambda models: ("supervised",)),
    "dynamics.models": _options("dynamics", models=dict.fromkeys),
}
OF_IMAGES = ("caption.", "ground.", "synthesize.", "directions.")


def analyses_of(run: Run, dataset: str) -> tuple[list[Step], dict[str, list[Step]]]:
    """List the analyses that a study has, and the others by what is missing for them.

    Those that no two changes lead to are of other recordings, and in neither.
    """
    steps = [step for step in STEPS.values() if step.folder in ANALYSES and step.name not in ("pretrain", "guide")]
    there = [step for step in steps if _has_job(step, run, dataset)]
    tried = [name for name in CHANGES if run.descriptors[dataset].has_images or not name.startswith(OF_IMAGES)]
    missing: dict[str, list[Step]] = {}
    left = [step for step in steps if step.name not in {one.name for one in there}]
    for names in [*((name,) for name in tried), *itertools.combinations(tried, 2)]:
        changed = _changed(run, dataset, names)
        if gained := [step for step in left if changed is not None and _has_job(step, changed, dataset)]:
            missing[" and ".join(names)] = gained
            left = [step for step in left if step not in gained]
    return there, missing


def _has_job(step: Step, run: Run, dataset: str) -> bool:
    return any(of["dataset"] == dataset for of in step.of(run))


def _changed(run: Run, dataset: str, names: Iterable[str]) -> Run | None:
    """Return a copy of a run with changes; None where its recordings cannot have them."""
    config, study = run.config, run.descriptors[dataset]
    timed = any(study.data_type == "responses" and study.modality(name) == "meeg" for name in study.recordings)
    if "decoded: [subjects]" in names and not timed:
        return None
    if any(name.startswith("splits") for name in names) and study.data_type != "responses":
        return None
    for name in names:
        config, study = CHANGES[name](config, study, config.models_of(dataset))
    changed = copy.copy(run)
    changed.config, changed.descriptors = config, {dataset: study}
    return changed
