"""rollout: features over time of one model of videos, hidden frames as it expects them, with the controls of that."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.config import DynamicsSettings
from brainalign.datasets import Problem, changed_files, read_videos, stop_on
from brainalign.datasets.formats import Videos
from brainalign.features import PCA, LatentDynamics, SimulatingModel, load_video_model, video_features
from brainalign.geometry import SIMPLE_FUTURES, roll_out
from brainalign.io import Provenance
from brainalign.study import Study, check_dynamics, load_descriptor
from brainalign.workflow import Job

AS_SHOWN, OWN, LINEAR = "frames as shown", "simulate", "linear"
MOST_FRAMES = 2000  # that components are taken from
Values = NDArray[Any]
Found = tuple[str, str, Values]  # dynamics, role, features


def rollout(job: Job) -> None:
    """Show every frame of the videos to a model, let dynamics fill in the hidden ones, and save both with controls."""
    options = job.options("dynamics", DynamicsSettings)
    descriptor = load_descriptor(job.path("descriptor"))
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    videos, training = (_read(descriptor, name, job.provenance) for name in ("stimuli", "training"))
    assert videos is not None
    use = options.models[job.labels["model"]]
    model, source = load_video_model(use.function, job.seed)
    modules = video_features(model, videos.frames)
    learned_from = {} if training is None else video_features(model, training.frames)
    simulate = model.simulate if isinstance(model, SimulatingModel) else None
    if simulate is not None and len(modules) > 1:
        raise BrainalignError(f"{use.function} has {len(modules)} modules and simulate; return the one it rolls out")
    arrays, rows, losses, jitters = {}, [], {}, {}
    for module, features in modules.items():
        before = f"{module}: " if module else ""
        shown = features[:, : check_dynamics(videos.visible)] if training is None else learned_from[module]
        own = None
        if simulate is not None and not videos.visible.all():  # in the units of the model, before any reduction
            own = roll_out(features, videos.visible, simulate, options.context)
        narrow = _narrowed(shown, options.components, job.seed)
        features, shown, own = narrow(features), narrow(shown), None if own is None else narrow(own)
        wanted = () if videos.visible.all() else use.heads
        if wanted and training is None:
            check_dynamics(np.ones(shown.shape[:2], dtype=bool), context=options.context)
        heads = {  # dynamics by name, each followed by the same network untrained
            name: LatentDynamics(head, options.context, options.width, steps, seed=job.seed).fit(shown)
            for head in wanted
            for name, steps in ((head, options.training_steps), (f"{head}, untrained", 0))
        }
        if heads:
            heads[LINEAR] = LatentDynamics(LINEAR, options.context).fit(shown)
        for head, dynamics in heads.items():
            if len(dynamics.losses_):
                losses[f"{before}{head}"] = float(dynamics.losses_[-20:].mean())
                jitters[f"{before}{head}"] = dynamics.jitter_
        for name, role, values in _candidates(features, videos.visible, own, heads, options.context):
            arrays[f"{before}{name}"] = values.astype(np.float32)
            rows.append({"name": f"{before}{name}", "module": module, "dynamics": name, "role": role})
    job.save(
        "rollouts",
        Arrays(arrays),
        rows=rows,
        source_sha256=source,
        final_losses=losses,
        jitters=jitters,
        trained_on="the shown frames of the same videos" if training is None else "the training videos",
        context=options.context,
    )


def _read(descriptor: Study, name: str, provenance: Provenance) -> Videos | None:
    path = descriptor.found_files().get(name)
    if path is None:
        return None
    if path.is_file():
        provenance.read(name, path)
    return read_videos(path)


def _narrowed(shown: Values, n_components: int, seed: int) -> Callable[[Values], Values]:
    """Build the reduction of wide features to principal components of the frames that dynamics learn from."""
    rows = shown.reshape(-1, shown.shape[2])
    if rows.shape[1] <= n_components:
        return lambda values: values
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:MOST_FRAMES])
    reduction = PCA(min(n_components, len(chosen) - 1)).fit(rows, rows=chosen)
    return lambda values: reduction.transform(values.reshape(-1, values.shape[2])).reshape(*values.shape[:2], -1)


def _candidates(
    features: Values, visible: NDArray[np.bool_], own: Values | None, heads: dict[str, LatentDynamics], context: int
) -> Iterator[Found]:
    """Yield features over time by what fills in the hidden frames; without any the features alone."""
    if visible.all():
        yield AS_SHOWN, "model", features
        return
    if own is not None:
        yield OWN, "model", own
    for name, dynamics in heads.items():
        role = "regression" if name == LINEAR else "model" if len(dynamics.losses_) else "control"
        yield name, role, roll_out(features, visible, dynamics.simulate, context)
    for name, expect in SIMPLE_FUTURES.items():
        yield name, "control", roll_out(features, visible, expect, context)
    yield AS_SHOWN, "control", features
