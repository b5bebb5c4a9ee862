"""Networks aligned with people's choices: a teacher, students that learn from it, and controls, on unseen objects."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_named, check_rows
from brainalign.geometry.odd_one_out import triplet_splits
from brainalign.geometry.odd_one_out.human_alignment import HumanAlignment, HumanTeacher, affine_head
from brainalign.geometry.odd_one_out.triplets import (
    check_probabilities,
    check_triplets,
    choice_entropy,
    choice_probabilities,
    choice_temperature,
    mean_divergence,
    object_similarities,
    odd_one_out_accuracy,
    odd_one_out_shares,
)
from brainalign.geometry.rdms import mean_ranks
from brainalign.statistics import pearson

Triplets = NDArray[np.integer[Any]]
Objects = NDArray[np.integer[Any]]
Layer = tuple[str, str]

MOST_FEATURES = 4096  # an affine map has this number squared


@dataclass(frozen=True)
class AlignmentScore:
    """How well choices are predicted at one level of abstraction.

    Attributes
    ----------
    level : {"all", "fine", "boundary", "coarse"}
    accuracy : float
        Of the most similar pair; chance is 1/3. Expected over people where their probabilities are known.
    ceiling : float
        E[max p]: of whoever always names the most probable choice; NaN where probabilities are not known.
    divergence : float
        Mean KL(people || model), in nats; of single choices the mean surprise.
    uncertainty_r : float
        Spearman correlation over triplets of the model's entropy with how unsure people are; NaN where that is not
        known.
    n_triplets : int
    rows : array (n,), optional
        Which of all triplets are of this level; None for all.
    """

    level: str
    accuracy: float
    ceiling: float
    divergence: float
    uncertainty_r: float
    n_triplets: int
    rows: NDArray[np.bool_] | None = None


def score_alignment(
    similarities: Values,
    triplets: NDArray[np.integer[Any]],
    probabilities: Values | None = None,
    groups: NDArray[Any] | None = None,
    uncertainty: Values | None = None,
) -> list[AlignmentScore]:
    """Score similarities against people's choices, over all triplets and at each level of abstraction.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
        Divided by the temperature, see `choice_temperature`.
    triplets : array (n_triplets, 3)
        The odd one last.
    probabilities : array (n_triplets, 3), optional
        How often each object was chosen; without them the last always was.
    groups : array (n_objects,), optional
        Category of every object; without it there are no levels.
    uncertainty : array (n_triplets,), optional
        How unsure people are, such as response times; by default the entropy of `probabilities`.

    Returns
    -------
    list of AlignmentScore
        "all", then the levels of which there are triplets.
    """
    rows = check_triplets(triplets, len(similarities))
    p = None if probabilities is None else check_probabilities(probabilities, len(rows))
    if groups is not None:
        check_rows("groups", len(groups), "similarities", len(similarities), "give a group per object")
    if uncertainty is None and p is not None:
        uncertainty = choice_entropy(p)
    if uncertainty is not None:
        check_rows("uncertainty", len(uncertainty), "triplets", len(rows), "give a value per triplet")
    level = np.full(len(rows), "") if groups is None else triplet_splits.triplet_levels(rows, groups)
    subsets = {"all": np.ones(len(rows), dtype=bool), **{name: level == name for name in triplet_splits.LEVELS}}
    found = []
    for name, mine in subsets.items():
        if not mine.any():
            continue
        some, target = rows[mine], None if p is None else p[mine]
        q = choice_probabilities(similarities, some)
        found.append(
            AlignmentScore(
                name,
                odd_one_out_accuracy(similarities, some, target),
                float("nan") if target is None else float(target.max(axis=1).mean()),
                mean_divergence(similarities, some, target),
                float("nan") if uncertainty is None else _rank_correlation(choice_entropy(q), uncertainty[mine]),
                len(some),
                None if name == "all" else mine,
            )
        )
    return found


def _rank_correlation(a: Values, b: Values) -> float:
    # A triplet judged twice is a tie, in whatever order its entropy was summed.
    a, b = (mean_ranks(np.asarray(values, dtype=np.float64)[None])[0] for values in (a, b))
    return float(pearson(a, b))


@dataclass(frozen=True)
class AlignedLayer:
    """Affine map of a layer's features, as they were extracted; dot products of what it gives are similarities."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, features: Values) -> NDArray[np.float64]:
        """Return aligned features (n_objects, n_features), of any objects."""
        return np.asarray(np.asarray(features, dtype=np.float64) @ self.weight.T + self.bias)


@dataclass(frozen=True)
class AlignmentStudy:
    """What came of it.

    Attributes
    ----------
    scores : DataFrame
        A row per network, control, split and level: role (teacher, student), model, layer, control ("unaligned",
        "aligned", "shuffled choices", "unaligned teacher"), split, and the fields of `AlignmentScore`; gain over the
        unaligned network, gain_se (over objects and choices).
    aligned, unaligned : dict of AlignedLayer
        By model and layer; the teacher has its own map. Unaligned: centred, and as sure as it can justify.
    teacher : (str, str)
        Model and layer.
    penalty : float
        Of the teacher, chosen on objects held out of training.
    """

    scores: pd.DataFrame
    aligned: dict[Layer, AlignedLayer]
    unaligned: dict[Layer, AlignedLayer]
    teacher: Layer
    penalty: float


def align_networks(
    layers: Mapping[Layer, Values],
    train: tuple[Triplets, Values | None],
    tests: Mapping[str, tuple[Triplets, Values | None]],
    teacher_model: str,
    make_teacher: Callable[[], HumanTeacher],
    make_student: Callable[[int], HumanAlignment],
    *,
    n_clusters: int,
    n_triplets: int,
    groups: NDArray[Any] | None,
    seed: int,
) -> AlignmentStudy:
    """Fit a teacher to people's choices, let a layer of every other network learn from it, and score all of them.

    Of the teacher's layers, the one that predicts choices among held-out training objects best is taken; of other
    networks, the one that predicts the training choices best as it is. Students see triplets of two objects of one
    cluster of the teacher's aligned features and one of another, among training objects only.

    Parameters
    ----------
    layers : mapping of array (n_objects, n_features)
        By model and layer.
    train : (array (n, 3), array (n, 3) or None)
        Triplets, the odd one last, and how probable each choice is; without that the last always was chosen.
    tests : mapping of the same
        By the name of the split.
    teacher_model : str
    make_teacher : callable
        Returns an estimator to be fitted.
    make_student : callable
        The same, given the number of features.
    n_clusters, n_triplets : int
        Clusters of training objects, and triplets that students see.
    groups : array (n_objects,), optional
        Of objects, for levels of abstraction.
    seed : int

    Raises
    ------
    BrainalignError
        If the teacher has no layer, a layer has more than 4096 features, or a triplet is in train and in a test.
    """
    _check(layers, teacher_model)
    triplet_splits.check_triplets_apart(train[0], {name: test for name, (test, _) in tests.items()})
    rng, seen = np.random.default_rng(seed), np.unique(train[0])
    own = {key: values for key, values in layers.items() if key[0] == teacher_model}
    fitted = {key: make_teacher().fit(values, *train) for key, values in own.items()}
    key = min(fitted, key=lambda name: min(fitted[name].held_out_.values(), default=0.0))
    teacher, features = fitted[key], layers[key]
    shuffled = make_teacher()
    shuffled.penalties = (teacher.penalty_,)
    shuffled.fit(features, train[0], rng.permuted(check_probabilities(train[1], len(train[0])), axis=1))
    plain = {name: _plain(values, seen, train) for name, values in layers.items()}
    aligned = {key: _of_teacher(teacher)}
    found = [
        ("teacher", key, {"unaligned": plain[key], "aligned": aligned[key], "shuffled choices": _of_teacher(shuffled)})
    ]
    clusters = triplet_splits.cluster_objects(teacher.transform(features[seen]), n_clusters, seed)
    triplets = seen[triplet_splits.draw_triplets(clusters, n_triplets, rng)]
    lessons = {
        "aligned": teacher.choices(features, triplets),
        "shuffled choices": shuffled.choices(features, triplets),
        "unaligned teacher": choice_probabilities(object_similarities(plain[key](features)), triplets),
    }
    for model in dict.fromkeys(name for name, _ in layers if name != teacher_model):
        mine = [name for name in layers if name[0] == model]
        surprise = {name: mean_divergence(object_similarities(plain[name](layers[name])), *train) for name in mine}
        best = min(mine, key=surprise.__getitem__)
        students = {
            name: _student(layers[best], seen, triplets, lesson, make_student) for name, lesson in lessons.items()
        }
        aligned[best] = students["aligned"]
        found.append(("student", best, {"unaligned": plain[best], **students}))
    rows = [row for role, name, maps in found for row in _scored(role, name, layers[name], maps, tests, groups)]
    return AlignmentStudy(pd.DataFrame(rows), aligned, {name: plain[name] for name in aligned}, key, teacher.penalty_)


def _check(layers: Mapping[Layer, Values], teacher: str) -> None:
    check_named("features", dict.fromkeys(model for model, _ in layers), [teacher], "teacher", "name one of these")
    for (model, layer), values in layers.items():
        if values.shape[1] > MOST_FEATURES:
            raise BrainalignError(
                f"layer {layer!r} of {model!r} has {values.shape[1]} features; an affine map of more than "
                f"{MOST_FEATURES} is too large: extract it with pooling 'mean', or with reduce"
            )


def _standard(values: Values, seen: Objects) -> tuple[NDArray[np.float64], float]:
    centre = values[seen].mean(axis=0)
    scale = float(np.sqrt(((values[seen] - centre) ** 2).sum(axis=1).mean()))
    return centre, scale if scale > 0 else 1.0


def _plain(values: Values, seen: Objects, train: tuple[Triplets, Values | None]) -> AlignedLayer:
    """Return the network as it is, centred, at the temperature that fits the training choices best."""
    centre, scale = _standard(values, seen)
    temperature = choice_temperature(object_similarities((values - centre) / scale), *train)
    factor = 1 / (scale * np.sqrt(temperature))
    return AlignedLayer(np.eye(values.shape[1]) * factor, -centre * factor)


def _of_teacher(teacher: HumanTeacher) -> AlignedLayer:
    weight = teacher.weight_ / teacher.scale_
    return AlignedLayer(weight, teacher.bias_ - weight @ teacher.centre_)


def _student(
    values: Values, seen: Objects, triplets: Triplets, lesson: Values, make: Callable[[int], HumanAlignment]
) -> AlignedLayer:
    centre, scale = _standard(values, seen)
    n = values.shape[1]
    fitted = make(n).fit(affine_head(n), (values - centre) / scale, triplets, lesson)
    weight, bias = (part.detach().cpu().double().numpy() for part in fitted.student_.parameters())
    size = np.sqrt(fitted.temperature_)
    weight = weight / (scale * size)
    return AlignedLayer(weight, (bias - fitted.centre_) / size - weight @ centre)


def _scored(
    role: str,
    name: Layer,
    features: Values,
    maps: Mapping[str, AlignedLayer],
    tests: Mapping[str, tuple[Triplets, Values | None]],
    groups: NDArray[Any] | None,
) -> list[dict[str, Any]]:
    rows = []
    for split, (triplets, p) in tests.items():
        correct: dict[str, dict[str, Values]] = {}
        for control, aligned in maps.items():
            similarities = object_similarities(aligned(features))
            shares = odd_one_out_shares(similarities, triplets)
            hits = (shares * check_probabilities(p, len(triplets))).sum(axis=1)
            for score in score_alignment(similarities, triplets, p, groups):
                mine = np.ones(len(triplets), bool) if score.rows is None else score.rows
                correct.setdefault(score.level, {})[control] = hits[mine]
                gain = hits[mine] - correct[score.level]["unaligned"]
                values = {key: value for key, value in asdict(score).items() if key != "rows"}
                row = {"role": role, "model": name[0], "layer": name[1], "control": control, "split": split} | values
                rows.append(row | {"gain": float(gain.mean()), "gain_se": _over_objects(gain, triplets[mine])})
    return rows


def _over_objects(values: Values, triplets: Triplets) -> float:
    """Return the standard error of a mean over triplets, whose objects are a sample as the choices are.

    Its square: the squared mean minus the mean product of two triplets without a common object; no less than of
    independent triplets. Draws of objects, which repeat triplets many times over, were 1.4 to 2.6 times too wide.
    """
    rows, n = np.sort(triplets, axis=1), len(values)

    def shared(each: Values) -> float:  # sum of the products of triplets that share an object: inclusion and exclusion
        total = 0.0
        for size in (1, 2, 3):
            parts = np.concatenate([rows[:, list(columns)] for columns in combinations(range(3), size)])
            numbers = np.unique(parts @ (int(rows.max()) + 1) ** np.arange(size), return_inverse=True)[1]
            total -= (-1) ** size * float((np.bincount(numbers, np.tile(each, len(parts) // n)) ** 2).sum())
        return total

    apart = n**2 - shared(np.ones(n))
    if apart <= 0:
        return float("nan")
    square = values.mean() ** 2 - (values.sum() ** 2 - shared(values)) / apart
    return float(np.sqrt(max(square, values.var(ddof=1) / n)))
