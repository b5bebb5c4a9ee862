"""Small data that cases share, and how most of them are made."""

from collections.abc import Callable
from inspect import isgenerator, signature
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from brainalign import geometry
from brainalign.encoding import Ridge

RNG = np.random.default_rng
X, Y = RNG(1).normal(size=(2, 24, 6))
WORLD = RNG(2)
SUBJECTS, MODELS = (geometry.rdm(WORLD.normal(size=(4, 12, 5)), "euclidean") for _ in range(2))
TRIPLETS = np.stack([WORLD.permutation(10)[:3] for _ in range(150)])


def ridge() -> Ridge:
    return Ridge(alphas=(1.0,), cv=2, device="cpu")


def case(function: Callable[..., Any], *given: Any, part: str = "", look: str = "", **options: Any) -> Any:
    """Return the name of a function, with what is looked at, and what it gives by seed, or a column or part of that."""
    by_rng = "rng" in signature(function).parameters

    def of(seed: int) -> Any:
        found = function(*given, **options, **({"rng": RNG(seed)} if by_rng else {"seed": seed}))
        if look:
            return found[look] if isinstance(found, pd.DataFrame) else attrgetter(look)(found)
        return list(found) if isgenerator(found) else found

    return f"{function.__name__}, {part}" if part else function.__name__, of
