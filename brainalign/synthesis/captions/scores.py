"""How well captions of voxels predict responses to images held out, and the temperature that predicts best."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.statistics import fdr, permutation_test
from brainalign.synthesis.captions.captioners import (
    ANY,
    AttributeCaptioner,
    Bank,
    Captioner,
    Captions,
    bank_shares,
    caption_targets,
    project_to_bank,
)


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
    captions: Captions, images: Values, responses: Values, n_permutations: int = 100, seed: int = 0
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
    if len(images) != len(responses) or responses.shape[1] != len(captions.texts):
        raise BrainalignError(
            f"{len(images)} images and {len(captions.texts)} captions need responses of that shape; got "
            f"{responses.shape}"
        )
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
    weights: Values, bank: Bank, captioner: Captioner, images: Values, responses: Values, temperatures: Sequence[float]
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
        said = caption_targets(project_to_bank(weights, bank, temperature), captioner)
        r = caption_scores(said, images, responses, n_permutations=1).r
        known = r[np.isfinite(r)]
        row = {
            "temperature": float(temperature),
            "score": float(known.mean()) if len(known) else np.nan,
            "se": float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else np.nan,
            "n_captions": len(set(said.texts.tolist())),
        }
        rows.append(row)
    table = pd.DataFrame(rows)
    choice = table["score"].where((table["temperature"] > 0) & np.isfinite(table["temperature"]))
    if choice.isna().all():
        raise BrainalignError(
            "no temperature can be chosen: give some between 0 and infinity, and a captioner whose texts have "
            "embeddings, or a fixed temperature"
        )
    return table.assign(chosen=table.index == choice.idxmax())


def attribute_evidence(
    captioner: AttributeCaptioner,
    weights: Values,
    bank: Bank,
    labels: Mapping[str, Sequence[str] | NDArray[np.str_]],
    temperature: float,
) -> pd.DataFrame:
    """Name the value of every attribute that the encoder of a voxel predicts most for.

    Not the value nearest to the weights, projected or not: where attributes go together in images, it is often that of
    another one.

    Parameters
    ----------
    weights : array (d, n_voxels)
    bank : array (n_bank, d)
        Images whose attributes are known.
    labels : mapping of sequences (n_bank)
        Value of every attribute of every image.
    temperature : float
        Of the shares alone; names do not depend on it.

    Returns
    -------
    DataFrame
        A row per voxel and attribute: voxel, attribute, value, share (of bank mass on images that have it), prior
        (of all images) and strength: how much more the encoder predicts for them than for all, other attributes held
        constant (least squares; error: its standard error over images): by chance large images may more often be
        red. Shares alone say little: weights of shuffled responses have some direction too, and it points along the
        main axes of the embedding, which may well be attributes.
    """
    images = np.asarray(bank[:], dtype=np.float64)
    predicted = images / np.linalg.norm(images, axis=1, keepdims=True) @ weights  # (n_bank, n_voxels)
    phrases = {name: each.phrases.tolist() for name, each in captioner.vocabularies.items()}
    kinds = {name: np.asarray(labels[name])[:, None] == np.array(known)[None] for name, known in phrases.items()}
    design = np.hstack(list(kinds.values())).astype(np.float64)
    # Of many solutions the shortest; contrasts within an attribute are the same in all of them.
    full = np.column_stack([np.ones(len(design)), design])
    solved = np.linalg.pinv(full)
    effects = solved @ predicted
    left_over = ((predicted - full @ effects) ** 2).sum(axis=0) / max(len(full) - np.linalg.matrix_rank(full), 1)
    shares = bank_shares(weights, bank, design > 0, temperature)
    voxels = np.arange(weights.shape[1])
    rows, start = [], 0
    for attribute, known in phrases.items():
        mine = slice(start, start + len(known))
        start = mine.stop
        prior = kinds[attribute].mean(axis=0)
        contrasts = effects[1:][mine] - prior @ effects[1:][mine]
        spread = ((solved[1:][mine] - prior @ solved[1:][mine]) ** 2).sum(axis=1)  # of contrasts, per variance
        column = contrasts.argmax(axis=0)
        table = pd.DataFrame({"voxel": voxels, "attribute": attribute, "value": np.array(known)[column]})
        measures = {"share": shares[:, mine][voxels, column], "prior": prior[column]}
        measures |= {"strength": contrasts[column, voxels], "error": np.sqrt(spread[column] * left_over)}
        rows.append(table.assign(**measures))
    return pd.concat(rows, ignore_index=True)


def silence_attributes(evidence: pd.DataFrame, null: Sequence[pd.DataFrame], q: float = 0.05) -> pd.DataFrame:
    """Silence attributes whose strength does not exceed that of encoders fitted to shuffled responses.

    Strengths are divided by their size in the voxel's own refits, since penalties differ between voxels, less what is
    error over images there, and by their own error, since a voxel with much signal has more left to confuse. p is the
    share of refits of all voxels whose named value of that attribute is then as strong; q controls the false discovery
    rate over voxels and attributes.

    Parameters
    ----------
    evidence : DataFrame
        From `attribute_evidence`.
    null : sequence of DataFrames (two or more)
        The same of weights refitted to responses whose images were exchanged, anew for every voxel.
    q : float
        False discovery rate.

    Returns
    -------
    DataFrame
        `evidence` with p, q and said: the value, or `ANY`.
    """
    if len(null) < 2:
        raise BrainalignError(f"attributes need two refits to exchanged images or more; got {len(null)}")
    squares, errors = (np.stack([each[of].to_numpy() ** 2 for each in null]) for of in ("strength", "error"))
    # What refits differ by beyond their own errors: (n_refits, n_rows), of which a mean may fall below 0 by chance.
    excess, n = squares - errors, len(null)
    size = np.sqrt(np.maximum(excess.mean(axis=0), 0) + evidence["error"].to_numpy() ** 2)
    # A refit is divided by the size of the others, as the evidence is divided by that of refits it is not among.
    sizes = np.sqrt(np.maximum(excess.sum(axis=0) - excess, 0) / (n - 1) + errors)
    drawn = np.stack([each["strength"].to_numpy() for each in null]) / sizes
    scaled = evidence["strength"].to_numpy() / size
    p = np.ones(len(evidence))
    for rows in evidence.groupby("attribute", sort=False).indices.values():
        p[rows] = permutation_test(scaled[rows], drawn[:, rows].ravel(), correct="max")
    corrected = fdr(p)
    return evidence.assign(p=p, q=corrected, said=np.where(corrected <= q, evidence["value"].astype(str), ANY))


def _standard(values: Values) -> NDArray[np.float64]:
    """Return columns centred and at unit length; constant ones are NaN, as their correlations are."""
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    return np.asarray(centred / np.where(norms > 1e-12 * np.abs(values).max(), norms, np.nan))
