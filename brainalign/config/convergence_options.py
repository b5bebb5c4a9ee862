"""The section `converge` of the configuration: which networks are compared with the brain, from where, over what.

ConvergeSettings     networks with their random-weights twins, the region distances start from, checkpoints, maps
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from brainalign.checks import check_among
from brainalign.study import Name, Strict, check_known

Step = Annotated[int, Field(ge=0)]


class NetworkPair(Strict):
    """How the convergence of a trained network is measured, and what it is compared with."""

    random: Name = Field(description="model with random weights, the same architecture: the control, always shown")
    method: Name = Field(description="that fits the layers of both one by one")
    areas: tuple[str, ...] | None = Field(None, min_length=1, description="regions that take part: all if not given")


class ConvergeSettings(Strict):
    """Options of the converge stage: encoding, spatial and temporal score of networks."""

    networks: dict[Name, NetworkPair] = Field({}, description="by trained model; none: no convergence scores")
    origin: str | tuple[str, ...] | None = Field(
        None, description="region that distances are measured from, such as V1, or several; no spatial score without"
    )
    checkpoints: dict[Name, dict[Step, Name]] = Field(
        {}, description="by trained model: models by training step, for half-times"
    )
    maps: Path | None = Field(
        None, description="table (.tsv, .csv, .parquet) of cortical maps: area, sphere_x, sphere_y, sphere_z [, hemi]"
    )
    permutations: int = Field(5000, ge=100, description="of layers (all orders up to 8), and surrogates over areas")
    spins: int = Field(1000, ge=100, description="rotations of the sphere, for maps")

    @property
    def origins(self) -> tuple[str, ...]:
        """The regions that distances are measured from."""
        return () if self.origin is None else (self.origin,) if isinstance(self.origin, str) else self.origin

    def models_of(self, network: str) -> list[str]:
        """Return every model that is fitted for a network: itself, its twin, its checkpoints."""
        return list(
            dict.fromkeys([network, self.networks[network].random, *self.checkpoints.get(network, {}).values()])
        )

    def limited_to(self, networks: list[str]) -> "ConvergeSettings":
        """Return the options of some networks only."""
        return self.model_copy(
            update={
                "networks": {name: pair for name, pair in self.networks.items() if name in networks},
                "checkpoints": {name: steps for name, steps in self.checkpoints.items() if name in networks},
            }
        )

    def check(self, models: Mapping[str, object], methods: Mapping[str, object]) -> None:
        """Raise where a model or method is not one of the configuration, or makes no sense where it is named."""
        for name, pair in self.networks.items():
            places = {f"networks.{name}.random": pair.random, f"networks.{name}": name}
            places |= {f"checkpoints.{name}.{s}": model for s, model in self.checkpoints.get(name, {}).items()}
            for place, model in places.items():
                check_known(f"converge.{place}", model, models, "models")
            check_known(f"converge.networks.{name}.method", pair.method, methods, "methods")
            if getattr(methods[pair.method], "joint", False):
                raise ValueError(
                    f"converge.networks.{name}.method: {pair.method} fits all layers at once, so none of them has a "
                    "score of its own; take a method that fits one layer, such as ridge"
                )
            # Whether a function of the user's gives random weights only the user knows.
            own = getattr(models[pair.random], "extractor", "") == "user"
            if pair.random == name or not (own or getattr(models[pair.random], "random", False)):
                raise ValueError(
                    f"converge.networks.{name}.random: {pair.random} has no random weights; name a model with "
                    "`weights: random` or `random_weights: true` and the same layers"
                )
        check_among("converge.checkpoints", self.checkpoints, self.networks, "converge.networks")
        for name, steps in self.checkpoints.items():
            if len(steps) < 2:
                raise ValueError(f"converge.checkpoints.{name}: a half-time needs 2 or more steps; got {len(steps)}")
