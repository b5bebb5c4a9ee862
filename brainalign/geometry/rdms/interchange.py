"""RDMs and patterns to and from rsatoolbox objects, with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_named, check_rows, listed
from brainalign.condensed import condensed_rdms, n_stimuli_of
from brainalign.geometry.rdms.dissimilarity import DISTANCES

if TYPE_CHECKING:
    from rsatoolbox.data.dataset import Dataset
    from rsatoolbox.rdm.rdms import RDMs

Labels = NDArray[Any]
MEASURES = {name: f"squared {name}" if name in ("euclidean", "mahalanobis") else name for name in DISTANCES}
METHODS = {theirs: ours for ours, theirs in MEASURES.items()}


@dataclass(frozen=True)
class LabelledRdms:
    """RDMs and what they are of.

    Attributes
    ----------
    rdms : array (n_rdms, n_pairs) or (n_rdms, n_conditions, n_conditions)
        As `rdm` makes them: pairs of conditions in the order of `conditions`; NaN for missing pairs.
    conditions : array (n_conditions,)
    method : str, optional
        The distance: a key of `DISTANCES`, or the words of whoever computed it.
    subjects : array (n_rdms,), optional
    runs : array (n_rdms,), optional
    of_rdms : dict of array (n_rdms,)
        Further labels of RDMs, as time or region.
    of_conditions : dict of array (n_conditions,)
    of_all : dict
        What holds for all of them.
    """

    rdms: NDArray[np.floating[Any]]
    conditions: Labels
    method: str | None = None
    subjects: Labels | None = None
    runs: Labels | None = None
    of_rdms: Mapping[str, Labels] = field(default_factory=dict)
    of_conditions: Mapping[str, Labels] = field(default_factory=dict)
    of_all: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledPatterns:
    """Patterns of one subject and the conditions and runs of their rows: what `rdm` takes.

    Attributes
    ----------
    patterns : array (n_rows, n_channels)
    conditions : array (n_rows,)
    runs : array (n_rows,), optional
    subject : str, optional
    of_rows : dict of array (n_rows,)
        Further labels of rows.
    of_channels : dict of array (n_channels,)
    of_all : dict
        What holds for all of them.
    """

    patterns: NDArray[np.floating[Any]]
    conditions: Labels
    runs: Labels | None = None
    subject: str | None = None
    of_rows: Mapping[str, Labels] = field(default_factory=dict)
    of_channels: Mapping[str, Labels] = field(default_factory=dict)
    of_all: Mapping[str, object] = field(default_factory=dict)


@overload
def to_rsatoolbox(labelled: LabelledRdms) -> RDMs: ...
@overload
def to_rsatoolbox(labelled: LabelledPatterns) -> Dataset: ...
def to_rsatoolbox(labelled: LabelledRdms | LabelledPatterns) -> RDMs | Dataset:
    """Return an `rsatoolbox.rdm.RDMs` or an `rsatoolbox.data.Dataset` with the same values and labels.

    Returns
    -------
    RDMs or Dataset
        Descriptors are named "condition", "run", "subject" and as given. rsatoolbox sorts conditions by label where it
        computes RDMs itself; those made here keep their order, and their descriptor says which it is.

    Raises
    ------
    BrainalignError
        If labels do not fit the values.
    """
    return _to_rdms(labelled) if isinstance(labelled, LabelledRdms) else _to_dataset(labelled)


@overload
def from_rsatoolbox(
    theirs: RDMs, condition: str | None = None, run: str = "run", subject: str = "subject"
) -> LabelledRdms: ...
@overload
def from_rsatoolbox(
    theirs: Dataset, condition: str | None = None, run: str = "run", subject: str = "subject"
) -> LabelledPatterns: ...
def from_rsatoolbox(
    theirs: RDMs | Dataset, condition: str | None = None, run: str = "run", subject: str = "subject"
) -> LabelledRdms | LabelledPatterns:
    """Return the values and labels of an rsatoolbox object.

    Parameters
    ----------
    theirs : rsatoolbox.rdm.RDMs or rsatoolbox.data.Dataset
    condition : str, optional
        The descriptor that names conditions: "condition", or the only one there is, by default.
    run, subject : str
        The descriptors that name runs and subjects, where there are such.

    Returns
    -------
    LabelledRdms or LabelledPatterns
        Copies. Descriptors that are neither keep their names.

    Raises
    ------
    BrainalignError
        If the descriptor of conditions is missing or there are several to choose from.
    """
    from rsatoolbox.data.dataset import Dataset
    from rsatoolbox.rdm.rdms import RDMs

    if isinstance(theirs, RDMs):
        return _from_rdms(theirs, condition, run, subject)
    if type(theirs) is not Dataset:  # others inherit from it and have further axes
        raise BrainalignError(f"rsatoolbox objects read here are RDMs and Dataset; got {type(theirs).__name__}")
    return _from_dataset(theirs, condition, run, subject)


def _from_rdms(theirs: RDMs, condition: str | None, run: str, subject: str) -> LabelledRdms:
    patterns, rdms = _arrays(theirs.pattern_descriptors), _arrays(theirs.rdm_descriptors)
    conditions, everything = patterns.pop(_condition(patterns, condition)), dict(theirs.descriptors)
    for made_there in (patterns, rdms):  # it numbers everything
        made_there.pop("index", None)
    subjects = rdms.pop(subject, None)
    if subjects is None and subject in everything:
        subjects = np.repeat(np.asarray(everything.pop(subject)), theirs.n_rdm)
    measure = theirs.dissimilarity_measure
    method = None if measure is None else METHODS.get(measure.lower(), measure)
    values = np.array(theirs.dissimilarities)
    return LabelledRdms(values, conditions, method, subjects, rdms.pop(run, None), rdms, patterns, everything)


def _from_dataset(theirs: Dataset, condition: str | None, run: str, subject: str) -> LabelledPatterns:
    rows, everything = _arrays(theirs.obs_descriptors), dict(theirs.descriptors)
    conditions = rows.pop(_condition(rows, condition, besides=(run,)))
    rows.pop("index", None)
    channels = {name: labels for name, labels in _arrays(theirs.channel_descriptors).items() if name != "index"}
    whose = everything.pop(subject, None)
    name, values = None if whose is None else str(whose), np.array(theirs.measurements)
    return LabelledPatterns(values, conditions, rows.pop(run, None), name, rows, channels, everything)


def _to_dataset(labelled: LabelledPatterns) -> Dataset:
    from rsatoolbox.data.dataset import Dataset  # takes a second: only for those who exchange

    rows = {"condition": labelled.conditions} | _given(run=labelled.runs) | dict(labelled.of_rows)
    values = np.array(labelled.patterns, dtype=np.float64)
    return Dataset(
        values,
        descriptors=_given(subject=labelled.subject) | dict(labelled.of_all),
        obs_descriptors=_checked(rows, len(values), "patterns"),
        channel_descriptors=_checked(labelled.of_channels, values.shape[1], "channels"),
    )


def _to_rdms(labelled: LabelledRdms) -> RDMs:
    from rsatoolbox.rdm.rdms import RDMs

    values = condensed_rdms("rdms", labelled.rdms, "n_rdms").copy()
    patterns = {"condition": labelled.conditions} | dict(labelled.of_conditions)
    rdms = _given(subject=labelled.subjects, run=labelled.runs) | dict(labelled.of_rdms)
    return RDMs(
        values,
        dissimilarity_measure=None if labelled.method is None else MEASURES.get(labelled.method, labelled.method),
        descriptors=dict(labelled.of_all),
        rdm_descriptors=_checked(rdms, len(values), "rdms"),
        pattern_descriptors=_checked(patterns, n_stimuli_of(values.shape[1]), "the conditions of the RDMs"),
    )


def _given(**labels: Any) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if value is not None}


def _arrays(descriptors: Mapping[str, Any]) -> dict[str, Labels]:
    return {name: np.array(values) for name, values in descriptors.items()}


def _condition(descriptors: Mapping[str, Labels], wanted: str | None, besides: tuple[str, ...] = ()) -> str:
    """Return the name of the descriptor that names conditions."""
    if wanted is not None:
        check_named("condition", descriptors, [wanted], "descriptor", "name one of these")
        return wanted
    names = [name for name in descriptors if name not in ("index", *besides)]
    if "condition" in names:
        return "condition"
    if len(names) > 1 or not descriptors:
        raise BrainalignError(f"which descriptor names the conditions? Give condition=, one of {listed(names, 9)}")
    return names[0] if names else "index"


def _checked(labels: Mapping[str, Any], n: int, what: str) -> dict[str, Labels]:
    for name, values in labels.items():
        check_rows(f"the labels {name!r}", len(values), what, n, "give one label each")
    return {name: np.asarray(values) for name, values in labels.items()}
