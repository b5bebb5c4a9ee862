"""What in-context encoding learns from other subjects, once per held-out subject and layer: reduction, prior, networks.

Everything comes from the training images of those subjects; the held-out one only takes it over.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_width
from brainalign.encoding.in_context.empirical_bayes import WeightPrior, estimate_prior
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.inputs import unit_rows
from brainalign.encoding.scoring import average_repeats
from brainalign.regression import digest_of
from brainalign.statistics import noise_ceiling_from_share, reliable_rule, reliable_targets, share_and_q

Progress = Callable[[int, int, int, float], None]

REMAINDER = 2  # images beyond the components that least squares with a bias needs to estimate its noise


def training_voxels(values: Values, stimulus_ids: NDArray[Any], threshold: float) -> tuple[NDArray[Any], Values]:
    """Return training images and z-scored averages (n_images, n_kept) of the voxels that a network is to learn from.

    Voxels of `values` (n_trials, n_voxels) are chosen by these trials alone: those of whose variance of averages a
    share of `threshold` repeats; all that vary where no image was repeated.
    """
    images = average_repeats(values, stimulus_ids)
    mean, sd = images.values.mean(axis=0), images.values.std(axis=0)
    kept = np.ptp(images.values, axis=0) > 0  # rounding leaves an sd of what is constant
    if images.counts.max() > 1:
        share, q = share_and_q(values, stimulus_ids)
        ceilings = pd.DataFrame({"ceiling": noise_ceiling_from_share(share, images.counts), "repeats_q": q})
        kept &= reliable_targets(ceilings, threshold)
    if not kept.any():
        raise BrainalignError(
            f"none of {len(kept)} voxels is reliable ({reliable_rule(threshold)}) over {len(images.ids)} training "
            "images; leave the subject out, or lower ceiling_threshold"
        )
    return images.ids, np.asarray((images.values[:, kept] - mean[kept]) / sd[kept], dtype=np.float32)


def pretrain_layer(
    encoder: InContextEncoder,
    reduction: "Reduction",
    features: Values,
    subjects: Sequence[tuple[Rows, Values]],
    *,
    seeds: Sequence[int] = (0,),
    folder: Path | None = None,
    progress: Progress | None = None,
) -> "PretrainedLayer":
    """Estimate the prior and meta-train a network per seed, on other subjects.

    Parameters
    ----------
    encoder : InContextEncoder
        Cloned; its seed is set here.
    reduction : Reduction
        Of these features, from the principal components of these images.
    features : array (n_images, n_features)
        One row per training image of any subject.
    subjects : sequence of (rows, responses)
        Rows of `features` that a subject saw, and the z-scored responses (n_rows, n_voxels) to them.
    seeds : sequence of int
    folder : Path, optional
        Where finished networks are kept, so that a killed run goes on; delete it when all is done. A network is taken
        over only where encoder and data are the same.
    progress : callable (seed, step, n_steps, loss), optional

    Raises
    ------
    BrainalignError
        If there is no subject, or one has too few images.
    """
    if not subjects:
        raise BrainalignError("there is no other subject to learn from; in-context encoding needs one or more")
    fewest = min(len(rows) for rows, _ in subjects)
    width = len(reduction.components)
    if fewest < width + REMAINDER:
        raise BrainalignError(
            f"a subject has {fewest} training images, too few for the weights of {width} features and a bias; lower "
            f"n_components to {fewest - REMAINDER} or less"
        )
    X = reduction(features)
    known = [(X[rows], responses) for rows, responses in subjects]
    prior, networks = estimate_prior(known), []
    asked = known if encoder.n_steps[2] else []
    arrays = [X, prior.mean, prior.covariance, *(array for subject in asked for array in subject)]
    for seed in seeds:
        one = clone(encoder).set_params(seed=seed)
        networks.append(one)
        told: dict[str, Any] = {"subjects": asked, "progress": None if progress is None else partial(progress, seed)}
        if folder is None:
            one.pretrain(X, prior, **told)
            continue
        place = folder / digest_of(sorted(one.get_params().items()), *arrays)
        if (place / "finished").exists():
            networks[-1] = InContextEncoder.load(place / "network.safetensors")
            continue
        place.mkdir(parents=True, exist_ok=True)
        one.pretrain(X, prior, **told, checkpoint=place / "checkpoint")
        one.save(place / "network.safetensors")
        (place / "finished").touch()  # last: a folder without it was cut short
    return PretrainedLayer(reduction, prior, tuple(networks))


@dataclass(frozen=True)
class Reduction:
    """From features of a layer to the unit rows that a network knows; the same for every subject.

    Attributes
    ----------
    mean : array (n_features,)
    components : array (n_components, n_features)
    """

    mean: Values
    components: Values

    def __call__(self, features: Values) -> NDArray[np.float32]:
        """Return unit rows (n_images, n_components), float32; other widths, or an image without direction, raise."""
        remedy = "pre-train on the features of this model and layer"
        check_width("features", features.shape, len(self.mean), "the networks were trained on", remedy)
        return np.asarray(unit_rows((features - self.mean) @ self.components.T), dtype=np.float32)


@dataclass(frozen=True)
class PretrainedLayer:
    """What a held-out subject is given for one layer.

    Attributes
    ----------
    reduction : Reduction
    prior : WeightPrior
        Of the weights of other subjects' voxels, z-scored over their images.
    encoders : tuple of InContextEncoder
        One per seed, pre-trained.
    """

    reduction: Reduction
    prior: WeightPrior
    encoders: tuple[InContextEncoder, ...]

    @property
    def n_parameters(self) -> int:
        """How many parameters one network has."""
        return sum(values.numel() for values in self.encoders[0].network_.parameters())

    @property
    def largest_context(self) -> int:
        """How many images the longest context of training had."""
        return int(self.encoders[0].context_sizes[1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, so that one file holds it; the same networks give the same bytes."""
        found: dict[str, NDArray[Any]] = {
            "reduction/mean": self.reduction.mean,
            "reduction/components": self.reduction.components,
            "prior/mean": self.prior.mean,
            "prior/covariance": self.prior.covariance,
        }
        for number, encoder in enumerate(self.encoders):
            weights, about = encoder.state()
            found |= {f"network{number}/{name}": values for name, values in weights.items()}
            found[f"about{number}"] = np.frombuffer(json.dumps(about, indent=1).encode(), dtype=np.uint8)
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], **changes: Any) -> Self:
        """Restore the layer that `arrays` wrote; `changes` are constructor arguments that do not concern training."""
        encoders: list[InContextEncoder] = []
        while (about := arrays.get(f"about{len(encoders)}")) is not None:
            name = f"network{len(encoders)}"
            weights = {n.removeprefix(f"{name}/"): a for n, a in arrays.items() if n.startswith(f"{name}/")}
            encoders.append(InContextEncoder.from_state(weights, json.loads(about.tobytes()), source=name, **changes))
        reduction = Reduction(arrays["reduction/mean"], arrays["reduction/components"])
        return cls(reduction, WeightPrior(arrays["prior/mean"], arrays["prior/covariance"]), tuple(encoders))


def pretrained_layers(
    arrays: Mapping[str, NDArray[Any]], layers: Iterable[str], **changes: Any
) -> dict[str, PretrainedLayer]:
    """Restore several layers from the arrays of `PretrainedLayer.arrays`, each named "<layer>/<name>".

    Parameters
    ----------
    arrays : mapping of arrays
    layers : iterable of str
    **changes
        Constructor arguments of `InContextEncoder` that do not concern training, such as device or fallback.
    """
    return {
        layer: PretrainedLayer.from_arrays(
            {name.removeprefix(f"{layer}/"): a for name, a in arrays.items() if name.startswith(f"{layer}/")}, **changes
        )
        for layer in layers
    }
