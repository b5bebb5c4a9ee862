"""Model geometries against the geometry of many places at once: regions, searchlight centres, moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import check_choice, generator
from brainalign.condensed import check_pairs, condensed_rdms, exchanged_rdms, n_stimuli_of
from brainalign.geometry.inference.comparisons import COMPARISONS, TIE, unit_forms
from brainalign.geometry.inference.fixed_models import warn_of_few_orders
from brainalign.statistics import permutation_test

CHUNK_BYTES = 50_000_000
METHODS = tuple(name for name, kind in COMPARISONS.items() if not kind.concordance)


@dataclass(frozen=True)
class PlacesTest:
    """Fit of every model at every place, and by chance.

    Attributes
    ----------
    scores : array (n_places, n_models)
    p : array (n_places, n_models)
        One-sided, for this place alone.
    p_fwer : array (n_places, n_models)
        Against the largest fit of every permutation over places, and over the models of a family.
    null_mean, null_high : array (n_places, n_models)
        Mean and 95 % point under permutation.
    """

    scores: Values
    p: Values
    p_fwer: Values
    null_mean: Values
    null_high: Values


def rdm_permutation_places(
    rdms: Values,
    models: Values,
    method: str,
    n_permutations: int,
    rng: np.random.Generator,
    families: Sequence[str] | None = None,
) -> PlacesTest:
    """Compare models with the RDMs of every place, and with the stimuli of the models exchanged.

    An exchange of stimuli moves the entries of a model's RDM without changing their ranks or their norm, so the null of
    all places is one matrix product. All models and places see the same exchanges.

    Parameters
    ----------
    rdms : array (n_places, n_pairs)
    models : array (n_models, n_pairs)
    method : str
        A key of `COMPARISONS` but "tau-a".
    n_permutations : int
    rng : Generator
    families : sequence of str, optional
        A label per model: the network of each layer, where the best layer is looked for. Else each is its own.

    Returns
    -------
    PlacesTest
        NaN for RDMs that are constant, zero or not finite.

    Raises
    ------
    BrainalignError
        If the numbers of pairs differ or are those of no set of stimuli.

    References
    ----------
    Kriegeskorte N, Mur M, Bandettini P (2008). Representational similarity analysis. Frontiers in Systems Neuroscience
    2:4. doi:10.3389/neuro.06.004.2008
    """
    rdms = condensed_rdms("rdms", rdms, "n_places", some_pairs=True)
    models = condensed_rdms("models", models, "n_models", some_pairs=True)
    check_choice("method", method, METHODS)
    check_pairs("an RDM of places", rdms, "one of models", models)
    n_stimuli, rng = n_stimuli_of(rdms.shape[-1]), generator(rng)
    warn_of_few_orders(n_stimuli)
    # Products of unit forms are comparisons. One that is constant compares with nothing: it is NaN.
    places, forms = unit_forms(rdms, method)[1], unit_forms(models, method)[0]
    orders = np.stack([rng.permutation(n_stimuli) for _ in range(n_permutations)])
    parts = np.array_split(orders, 1 + 8 * rdms.shape[-1] * n_permutations // CHUNK_BYTES)
    scores = places @ forms.T
    least = scores - TIE  # an exchange that leaves a model as it is reaches its score but for rounding
    p, total, high = (np.empty(scores.shape) for _ in range(3))
    labels = [str(k) for k in range(len(models))] if families is None else families
    largest = dict.fromkeys(labels, np.full(n_permutations, -np.inf))
    for k, (form, label) in enumerate(zip(forms, labels, strict=True)):
        null = np.concatenate([exchanged_rdms(form, part) @ places.T for part in parts])  # (n_permutations, n_places)
        p[:, k] = permutation_test(least[:, k], null)
        largest[label] = np.fmax(largest[label], np.fmax.reduce(null, axis=1))
        total[:, k] = null.mean(axis=0)
        high[:, k] = np.quantile(null, 0.95, axis=0)
    p_fwer = [permutation_test(row, largest[label], "max") for row, label in zip(least.T, labels, strict=True)]
    return PlacesTest(scores, p, np.stack(p_fwer, axis=1), total, high)
