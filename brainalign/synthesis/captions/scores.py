"""How well captions of voxels predict responses to images held out, and the temperature that predicts best."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_shape, generator
from brainalign.statistics import fdr, permutation_test
from brainalign.synthesis.captions import captioners


@dataclass(frozen=True)
class CaptionScores:
    """Scores of captions on held-out images.

    Attributes
    ----------
    predicted : array (n_images, n_voxels)
        Cosine of every image with the caption of every voxel; NaN where a caption has no embedding.
    r : array (n_voxels,)
        Its correlation with the response.
    frequent, frequent_r : array (n_images,), array (n_voxels,)
        Of the most frequent caption, given to all voxels.
    permuted_r : array (n_voxels,)
        Mean over permutations of the captions over voxels.
    """

    predicted: Values
    r: Values
    frequent: Values
    frequent_r: Values
    permuted_r: Values


def caption_scores(
    captions: captioners.Captions, images: Values, responses: Values, n_permutations: int = 100, seed: int = 0
) -> CaptionScores:
    """Correlate the cosine of held-out images with a voxel's caption with the voxel's responses, beside controls.

    Parameters
    ----------
    images : array (n_images, d)
        Embeddings of images that neither encoder nor temperature has seen.
    responses : array (n_images, n_voxels)
        Averages over repeats.
    n_permutations : int
        Of captions over voxels, drawn without fixed partners: a voxel may get its own caption or the like of it.

    References
    ----------
    Matsuyama T, Nishimoto S, Takagi Y (2026). LaVCa: LLM-assisted visual cortex captioning. ICLR. arXiv:2502.13606
    """
    remedy = "give a row per image and a column per caption"
    check_shape("responses", responses.shape, (len(images), len(captions.texts)), "images and captions are", remedy)
    images = np.asarray(images, dtype=np.float64)
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    predicted = np.asarray(units @ captions.embeddings.T)
    known = np.flatnonzero(np.isfinite(captions.embeddings).all(axis=1))
    nothing = np.full(responses.shape[1], np.nan)
    if not len(known):
        return CaptionScores(predicted, nothing, np.full(len(images), np.nan), nothing, nothing)
    a, b = _standard(predicted[:, known]), _standard(responses)
    everyone = a.T @ b  # r of the caption of one voxel with the responses of another
    r = nothing.copy()
    r[known] = everyone[np.arange(len(known)), known]
    rng, permuted = np.random.default_rng(seed), nothing.copy()
    orders = [rng.permutation(len(known)) for _ in range(n_permutations)]
    permuted[known] = np.mean([everyone[order, known] for order in orders], axis=0)
    top = Counter(captions.texts[known].tolist()).most_common(1)[0][0]
    first = int(np.flatnonzero(captions.texts[known] == top)[0])
    return CaptionScores(predicted, r, predicted[:, known[first]], everyone[first], permuted)


def temperature_curve(
    weights: Values,
    bank: captioners.Bank,
    captioner: captioners.Captioner,
    images: Values,
    responses: Values,
    temperatures: Sequence[float],
) -> pd.DataFrame:
    """Score captions at every temperature on validation images; the best of the finite, positive ones is chosen.

    Parameters
    ----------
    weights, bank
        As of `project_to_bank`; weights fitted without the validation images.
    images, responses : array (n_images, d), array (n_images, n_voxels)
        Validation images: neither those of the fit nor those of the test.
    temperatures : sequence of float
        0 and infinity may be among them, as controls: they are scored but never chosen.

    Returns
    -------
    DataFrame
        temperature, score (mean r over voxels), se (over voxels), n_captions (different ones), chosen (bool).

    Raises
    ------
    BrainalignError
        If no temperature can be chosen: none is between the limits, or captions have no embeddings.
    """
    rows = []
    for temperature in temperatures:
        said = captioners.caption_targets(captioners.project_to_bank(weights, bank, temperature), captioner)
        r = caption_scores(said, images, responses, n_permutations=1).r
        known = pd.Series(r[np.isfinite(r)], dtype=float)
        found = {"score": known.mean(), "se": known.sem(), "n_captions": len(set(said.texts.tolist()))}
        rows.append({"temperature": float(temperature)} | found)
    table = pd.DataFrame(rows)
    choice = table["score"].where((table["temperature"] > 0) & np.isfinite(table["temperature"]))
    if choice.isna().all():
        raise BrainalignError(
            "no temperature can be chosen: give some between 0 and infinity, and a captioner whose texts have "
            "embeddings, or a fixed temperature"
        )
    return table.assign(chosen=table.index == choice.idxmax())


def attribute_evidence(
    captioner: captioners.AttributeCaptioner,
    embeddings: Values,
    responses: Values,
    encoder: tuple[Values, Values],
    labels: Mapping[str, Sequence[str] | NDArray[np.str_]],
    temperature: float,
    *,
    n_nulls: int = 19,
    q: float = 0.05,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Name the value of every attribute that a voxel prefers, and silence those that chance explains.

    Of every value, its contrast with all images, other attributes held constant (least squares; by chance large images
    may more often be red), is taken from the responses, y, and from what the encoder predicts for the same images, H y,
    and the sum of two t is ranked. The first tells most where the embedding lacks an attribute, the second where
    labels err. With a contrast c and P of the regression on attributes,

        t = c y / (|c| s(y)) + c H y / sqrt(v)    s²(x) = |x - P x|² / (n - rank)
        v = max(|c H|² var(y) - E, 0) + |c|² s²(H y)    E: the expected |c|² s²(H y) of exchanged images

    so that v is the variance over exchanges, and more where the encoder has much else to confuse with attributes.

    Parameters
    ----------
    embeddings, responses : array (n_images, d), array (n_images, n_voxels)
        What the encoder was fitted to, embeddings at any length.
    encoder : (array (d, n_voxels), array (n_voxels,))
        Weights on embeddings at unit length, and penalties as of `shuffled_weights`.
    labels : mapping of sequences (n_images)
        Value of every attribute of every image.
    temperature : float
        Of the shares alone; names do not depend on it.
    n_nulls : int
        How often images are exchanged, anew for every voxel.
    q : float
        False discovery rate over voxels and attributes.

    Returns
    -------
    DataFrame
        A row per voxel and attribute: voxel, attribute, value, share (of bank mass on images that have it), prior
        (of all images), strength (the largest t), p (share of exchanged voxels where some value is as strong), q, said
        (the value, or `ANY`) and shuffled (the value named in the first exchange). Shares alone say little: weights of
        shuffled responses have some direction too, and it points along the main axes of the embedding, which may well
        be attributes.
    """
    if n_nulls < 1:
        raise BrainalignError(f"attributes need one exchange of images or more; got {n_nulls}")
    images = np.asarray(embeddings[:], dtype=np.float64)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    phrases = {name: each.phrases.tolist() for name, each in captioner.vocabularies.items()}
    kinds = {name: np.asarray(labels[name])[:, None] == np.array(known)[None] for name, known in phrases.items()}
    design = np.hstack(list(kinds.values())).astype(np.float64)
    n, weights = len(design), np.asarray(encoder[0])
    # Of many solutions the shortest; contrasts within an attribute are the same in all of them.
    full = np.column_stack([np.ones(n), design])
    solved = np.linalg.pinv(full)
    dof = max(n - np.linalg.matrix_rank(full), 1)
    left, sizes, _ = np.linalg.svd(images - images.mean(axis=0), full_matrices=False)
    shrunk = sizes[:, None] ** 2 / (sizes[:, None] ** 2 + np.asarray(encoder[1]))  # H = left shrunk left'
    outside = left - full @ (solved @ left)
    stops = np.cumsum([len(known) for known in phrases.values()])
    parts = {name: slice(stop - len(phrases[name]), stop) for name, stop in zip(phrases, stops, strict=True)}
    contrasts = solved[1:].copy()
    for name, mine in parts.items():
        contrasts[mine] -= kinds[name].mean(axis=0) @ contrasts[mine]
    lengths = (contrasts**2).sum(axis=1, keepdims=True)
    moved = (contrasts @ left) ** 2 @ shrunk**2 - lengths * ((outside**2).sum(axis=0) @ shrunk**2 / dof)

    def strengths(of: Values) -> NDArray[np.float64]:
        """Return the sum of both t, (n_values, n_voxels)."""
        centred = of - of.mean(axis=0)
        fitted = left @ (shrunk * (left.T @ centred))
        rests = (((each - full @ (solved @ each)) ** 2).sum(axis=0) / dof for each in (centred, fitted))
        noise, confused = (lengths * rest for rest in rests)
        spread = np.maximum(moved * centred.var(axis=0, ddof=1), 0) + confused
        least = np.finfo(float).tiny
        return np.asarray(
            contrasts @ centred / np.sqrt(np.maximum(noise, least))
            + contrasts @ fitted / np.sqrt(np.maximum(spread, least))
        )

    found, rng = strengths(responses), generator(rng)
    null = [strengths(rng.permuted(responses, axis=0)) for _ in range(n_nulls)]
    shares = captioners.bank_shares(weights, embeddings, design > 0, temperature)
    voxels, tables = np.arange(weights.shape[1]), []
    for attribute, mine in parts.items():
        column, known = found[mine].argmax(axis=0), np.array(phrases[attribute])
        strength = found[mine].max(axis=0)
        drawn = np.concatenate([each[mine].max(axis=0) for each in null])
        row: dict[str, object] = {"voxel": voxels, "attribute": attribute, "value": known[column]}
        row |= {"share": shares[:, mine][voxels, column], "prior": kinds[attribute].mean(axis=0)[column]}
        row |= {"strength": strength, "p": permutation_test(strength, drawn, correct="max")}
        tables.append(pd.DataFrame(row | {"shuffled": known[null[0][mine].argmax(axis=0)]}))
    table = pd.concat(tables, ignore_index=True)
    corrected = fdr(table["p"].to_numpy())
    return table.assign(q=corrected, said=np.where(corrected <= q, table["value"].astype(str), captioners.ANY))


def _standard(values: Values) -> NDArray[np.float64]:
    """Return columns centred and at unit length; constant ones are NaN, as their correlations are."""
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    return np.asarray(centred / np.where(norms > 1e-12 * np.abs(values).max(), norms, np.nan))
