"""Families of fits that a contest compares: which (model, method) belongs to which, checked before anything runs.

    contest:
      task-optimised: [efficientnet, clip]
      language: [minilm/ridge]

An entry is a model with every method that is used on it, or `model/method`.
"""

from collections.abc import Mapping

from brainalign.config.encoders import MethodUse
from brainalign.study import check_known

Fits = list[tuple[str, str]]


def families_of(fits: Fits, contest: Mapping[str, tuple[str, ...]]) -> dict[str, Fits]:
    """List the fits of each family of a contest."""
    return {
        family: [fit for fit in fits if fit[0] in entries or "/".join(fit) in entries]
        for family, entries in contest.items()
    }


def check_contest(
    contest: Mapping[str, tuple[str, ...]], models: Mapping[str, object], methods: Mapping[str, MethodUse]
) -> None:
    """Raise unless a contest has families, and its entries are fits that can be chosen among."""
    if len(contest) == 1:
        raise ValueError(f"contest: {next(iter(contest))!r} has nothing to be compared with; name two families or more")
    owners: dict[tuple[str, str], str] = {}
    for family, entries in contest.items():
        for entry in entries:
            for fit in _fits_of(family, entry, models, methods):
                if owners.setdefault(fit, family) != family:
                    raise ValueError(
                        f"contest: {'/'.join(fit)} is in {owners[fit]!r} and in {family!r}; leave it in one of them"
                    )
                if len(getattr(methods[fit[1]], "alphas", (0, 1))) == 1:
                    raise ValueError(
                        f"contest.{family}: {fit[1]} has a single penalty, so that nothing is scored inside the "
                        f"training images to choose layers by; give methods.{fit[1]}.alphas two values or more, or "
                        f"name other methods of the model as '{fit[0]}/method'"
                    )


def _fits_of(family: str, entry: str, models: Mapping[str, object], methods: Mapping[str, MethodUse]) -> Fits:
    model, slash, method = entry.partition("/")
    for kind, name, known in (("models", model, models), ("methods", method, methods)):
        if slash or kind == "models":
            check_known(f"contest.{family}: {entry!r}", name, known, kind)
    fits = [(model, name) for name, use in methods.items() if (not slash or name == method) and use.used_on(model)]
    if not fits:
        raise ValueError(
            f"contest.{family}: {f'method {method!r}' if slash else 'no method'} is {'not ' if slash else ''}used on "
            f"{model!r}; name the model in the `models` of a method"
        )
    return fits
