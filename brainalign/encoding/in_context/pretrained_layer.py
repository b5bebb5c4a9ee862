"""What in-context encoding of a held-out subject starts from: a reduction, a prior and networks, per layer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.empirical_bayes import WeightPrior
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.inputs import unit_rows


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
        """Return unit rows (n_images, n_components), float32.

        Raises
        ------
        BrainalignError
            If features are of another width than those it was fitted to, or an image has no direction.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise BrainalignError(
                f"features have shape {features.shape} but the networks were trained on {len(self.mean)} features; "
                "pre-train on the features of this model and layer"
            )
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
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], **changes: Any) -> PretrainedLayer:
        """Restore the layer that `arrays` wrote; `changes` are constructor arguments that do not concern training.

        Raises
        ------
        BrainalignError
            If networks and what is said about them do not belong together.
        """
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
