"""Families of fits that a contest compares: which (model, method) belongs to which, checked before anything runs.

    contest:
      task-optimised: [efficientnet, clip]
      language: [minilm/ridge]

An entry is a model with every method that is used on it, or `model/method`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from brainalign.checks import BrainalignError, did_you_mean
from brainalign.config.encoders import MethodUse
from brainalign.study import Descriptor, ImageStudy

if TYPE_CHECKING:
    from brainalign.config.settings import Config

Fits = list[tuple[str, str]]


def contest_of(config: Config, dataset: str, descriptor: Descriptor, subject: str) -> dict[str, Fits]:
    """Return the fits of every family for a subject; empty where there is no contest.

    A subject takes part when it was recorded with fMRI, whose targets lie in regions, and every family has a fit.
    """
    if not isinstance(descriptor, ImageStudy) or descriptor.modality(subject) != "fmri":
        return {}
    fits = config.fits_of(dataset, subject)
    families = {
        family: [fit for fit in fits if any(_is_of(fit, entry) for entry in entries)]
        for family, entries in config.contest.items()
    }
    return families if all(families.values()) else {}


def check_contest(
    contest: Mapping[str, tuple[str, ...]], models: Mapping[str, object], methods: Mapping[str, MethodUse]
) -> None:
    """Raise unless a contest has families, and its entries are fits that can be chosen among.

    Raises
    ------
    ValueError
        If there is one family only; an entry is no model, method, or fit; a fit is in two families; or a method scores
        nothing inside the training images.
    """
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
        if name not in known and (slash or kind == "models"):
            raise ValueError(
                f"contest.{family}: {entry!r}: {name!r} is not among the {kind} of the configuration "
                f"({', '.join(known)}){did_you_mean(name, known)}"
            )
    fits = [(model, name) for name, use in methods.items() if (not slash or name == method) and use.used_on(model)]
    if not fits:
        raise ValueError(
            f"contest.{family}: {f'method {method!r}' if slash else 'no method'} is {'not ' if slash else ''}used on "
            f"{model!r}; name the model in the `models` of a method"
        )
    return fits


def check_contest_in(config: Config, descriptors: Mapping[str, Descriptor]) -> None:
    """Raise where a study of images has some families of the contest and not the others, or none has all.

    Raises
    ------
    BrainalignError
        With the family that is missing.
    """
    held = not config.contest
    for dataset, descriptor in descriptors.items() if config.contest else ():
        subjects = list(descriptor.subjects) if isinstance(descriptor, ImageStudy) else []
        fits = {fit for subject in subjects for fit in config.fits_of(dataset, subject)}
        there = {
            family: any(_is_of(fit, entry) for fit in fits for entry in entries)
            for family, entries in config.contest.items()
        }
        if not any(there.values()):
            continue  # a study without contest
        for family in (family for family, found in there.items() if not found):
            raise BrainalignError(
                f"contest.{family}: none of {', '.join(config.contest[family])} is fitted in {dataset}; name the "
                f"models and methods in datasets.{dataset}, or leave those of the other families out of it"
            )
        if not any(contest_of(config, dataset, descriptor, subject) for subject in subjects):
            raise BrainalignError(
                f"contest: no subject of {dataset} has responses in regions (fMRI) and a fit of every family "
                f"({', '.join(config.contest)}); add their methods, or leave the contest out"
            )
        held = True
    if not held:
        raise BrainalignError(
            f"contest: no study of images fits the models of its families ({', '.join(config.contest)}); add them to "
            "the models of a dataset, or leave the contest out"
        )


def _is_of(fit: tuple[str, str], entry: str) -> bool:
    return entry in (fit[0], "/".join(fit))
