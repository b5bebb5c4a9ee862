"""The sections of a report: which figures are drawn from what, with captions that say how to read them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from brainalign.report import figures
from brainalign.report.brain_maps import draw_map
from brainalign.report.material import Encoding, Material
from brainalign.report.page import Panel, Section
from brainalign.report.sentences import number

__all__ = ["SECTIONS", "sections"]


def sections(material: Material) -> list[Section]:
    """Return the sections for which the material is there."""
    made = [make(material) for make in SECTIONS]
    return [section for section in made if section is not None]


def _first(material: Material) -> tuple[str, str, Encoding, pd.DataFrame, str]:
    """Return model, method, tables, and the scores and null key of the layer that maps are drawn of."""
    (model, method), encoding = next(iter(material.encodings.items()))
    split, layer = encoding.scores[["split", "layer"]].iloc[0]
    scores = encoding.scores[(encoding.scores["split"] == split) & (encoding.scores["layer"] == layer)]
    return model, method, encoding, scores, split


def _data(material: Material) -> Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, splits = material.responses, material.splits
    record = material.sidecars[f"sub-{material.subject}_responses.safetensors"]["details"]
    n_stimuli = responses.trials["stimulus_id"].nunique()
    repeats = responses.trials.groupby("stimulus_id").size()
    paragraphs = [
        f"{len(responses.trials)} trials (blocks) of {n_stimuli} stimuli, {repeats.min()} to {repeats.max()} repeats each, in "
        f"{responses.trials['run'].nunique()} runs; {len(responses.targets)} voxels, {record['n_dropped_voxels']} left out as "
        f"NaN or constant; units: {responses.units}. Coordinates: {record['space']}.",
        *material.descriptor.notes,
    ]
    for name, table in splits.groupby("name", sort=False):
        kind = material.descriptor.splits[str(name)].leave_out
        fold = table[table["fold"] == 0]["split"].value_counts()
        shared = table.groupby(["fold", "group"])["split"].nunique().max()
        paragraphs.append(
            f"Split {name}: leaves out {material.descriptor.splits[str(name)].size} {kind}(s) at a time, "
            f"{table['fold'].nunique()} folds, {fold['train']} trials to train on and {fold['test']} to test in the first. "
            f"Groups on both sides of a fold: {'none' if shared == 1 else 'FOUND'}."
        )
    caption = (
        "Rows are folds, columns what is kept together; dark cells are tested, light ones trained on. Good: every column is "
        "tested, and no cell is both. A leak would stop the run before anything is fitted."
    )
    panel = Panel("splits", "Split card", caption, figures.split_matrix(splits), splits)
    return Section("data", "Data and splits", [panel], paragraphs)


def _identification(material: Material) -> Section | None:
    if material.summary is None or not material.encodings or not material.conditions:
        return None
    model, method, encoding, scores, split = _first(material)
    layer = scores["layer"].iloc[0]
    rows = material.summary_rows("identification", split=split)
    pooled = rows.loc[rows["layer"] == "all", "model"]
    rows = rows[(rows["layer"] == "all") | ~rows["model"].isin(pooled)]
    items = encoding.identification
    items = items[(items["split"] == split) & (items["layer"] == layer)]
    null = encoding.null[(encoding.null["split"] == split) & (encoding.null["layer"] == layer)]["accuracy"].to_numpy()
    chance = 1 / len(material.conditions)
    panels = [
        Panel(
            "identification",
            "Identification of held-out blocks, every space and method",
            "Share of held-out blocks whose category is found by the best-correlating prediction. Points: mean over runs with a "
            "95 % interval over runs (for spaces of several layers, mean and range over layers). Grey dashes: mean of the "
            "permutations. Dotted: chance. Diamond: a linear classifier of the responses, without any feature space. Good: "
            "points well above dashes, and dashes on chance. Spaces without meaning (onehot, random) beside the others show "
            "what meaning adds: here nothing can be added, because every category is trained on.",
            figures.identification_scores(rows, material.summary_rows("classification", split=split), list(material.config.models)),
            rows,
            vector=True,
        ),
        Panel(
            "confusion",
            f"Confusion matrix ({model}, {method})",
            "How often a shown category (row) was identified as each category (column); rows sum to 1. Good: a dark diagonal. "
            "Off-diagonal blocks show which categories the voxels confuse.",
            figures.confusion_matrix(items, material.conditions, material.labels),
            items,
        ),
    ]
    if len(null):
        caption = (
            "Identification when categories are permuted within runs and everything is refitted. Good: the null is centred on "
            "chance and the observed value lies outside it. A null off chance would mean a leak."
        )
        observed = float(items["correct"].mean())
        figure = figures.null_histogram(null, observed, chance, "share identified")
        panels.append(Panel("null", "Permutation null", caption, figure, pd.DataFrame({"accuracy": null}), vector=True))
    return Section("identification", "Identification", panels)


def _zero_shot(material: Material) -> Section | None:
    splits = material.splits_that_leave("stimulus")
    if material.summary is None or not material.encodings or not splits:
        return None
    model, method, encoding, _, _ = _first(material)
    panels = []
    for split in splits:
        rows = material.summary_rows("pair matching", split=split, method=method)
        single = rows[rows["layer"] != "all"]
        random = single[single["model"].isin(n for n, m in material.config.models.items() if m.extractor == "random")]
        wordings = single[single["model"].isin(n for n, m in material.config.models.items() if getattr(m, "wordings", "") == "each")]
        headline = single[single["model"] == model].iloc[0]
        observed = {model: headline["value"]} | dict(zip(wordings["layer"], wordings["value"], strict=True))
        null = encoding.null[(encoding.null["split"] == split) & (encoding.null["layer"] == headline["layer"])]["accuracy"]
        one_hot = single[single["model"].isin(n for n, m in material.config.models.items() if m.extractor == "onehot")]
        control = f" One-hot features, which cannot generalise: {number(one_hot['value'].iloc[0])}." if len(one_hot) else ""
        by_wording = [f"{row['layer']} {number(row['value'])} (p = {number(row['p'], 3)})" for _, row in wordings.iterrows()]
        caption = (
            "Share of left-out pairs of categories whose predicted patterns match the right measured ones. Grey: the same after "
            "permuting which features belong to which category; ticks: random spaces; dots: single wordings; line: the mean "
            "embedding. Good: the line lies right of the dashed 95 % point, and so do most wordings. The null is wide because "
            f"so few categories make few independent pairs.{control} Single wordings: {'; '.join(by_wording) or 'none'}."
        )
        figure = figures.zero_shot(observed, null.to_numpy(), random["value"].to_numpy(), model)
        panels.append(Panel(f"zeroshot-{split}", f"Stimuli never trained on ({split})", caption, figure, single, vector=True))
    return Section("zeroshot", "Zero-shot prediction", panels)


def _maps(material: Material) -> Section | None:
    if not material.encodings or material.responses is None or material.bold is None or material.mask is None:
        return None
    model, method, _, scores, split = _first(material)
    r, q, p_fwer = (scores[name].to_numpy() for name in ("r", "q", "p_fwer"))
    vmax = float(np.ceil(10 * np.nanmax(np.abs(r))) / 10)
    level = material.config.summarize.q
    space = f"Drawn on the mean functional image: {material.descriptor.fmri.space}."
    panels = [
        Panel(
            "scoremap",
            "Score map",
            f"Pearson r of measured and predicted responses in held-out runs, {model} with {method}, split {split}. Red: predicted "
            f"better than by chance; blue: worse, which noise produces as often as red. Good: contiguous red patches. {space}",
            draw_map(material.volume(r), material.mask, material.bold, label="Pearson r, held-out runs", vmax=vmax, diverging=True),
            scores,
        )
    ]
    if np.isfinite(q).any():
        significant = material.volume(np.where(q < level, r, np.nan))
        outline = material.volume((p_fwer < 0.05).astype(float))
        panels.append(
            Panel(
                "significance",
                "Significance",
                f"The same r where q < {level:g} (false discovery rate, {int((q < level).sum())} voxels); outlined: p < .05 after "
                f"correction by the maximum over all voxels ({int((p_fwer < 0.05).sum())} voxels). Good: outlined voxels lie in "
                f"the red patches of the map above. {space}",
                draw_map(
                    significant, material.mask, material.bold, label=f"r where q < {level:g}", vmax=vmax, diverging=True, outline=outline
                ),
                scores[["target_id", "r", "p", "p_fwer", "q"]],
            )
        )
    return Section("maps", "Maps", panels)


def _ceilings(material: Material) -> Section | None:
    if material.ceiling is None or material.responses is None or material.bold is None or material.mask is None:
        return None
    ceiling = material.ceiling["ceiling"].to_numpy()
    threshold = material.config.summarize.ceiling_threshold
    image = material.volume(np.where(ceiling > 0, ceiling, np.nan))
    vmax = float(np.ceil(10 * ceiling.max()) / 10)
    panels = [
        Panel(
            "ceilingmap",
            "Noise ceiling map",
            "Share of the variance of a single block that repeats over runs: what a perfect model of the stimuli could explain. "
            "Voxels at or below 0 are left out. Good: high where the score map is high. A score high where the ceiling is low "
            "would be suspicious.",
            draw_map(image, material.mask, material.bold, label="noise ceiling (share of variance)", vmax=vmax, diverging=False),
            material.ceiling,
        ),
        Panel(
            "ceilinghistogram",
            "Noise ceilings",
            f"Distribution over voxels, not clamped: without any signal the estimator scatters around 0. Normalised scores are "
            f"averaged over the {int((ceiling > threshold).sum())} voxels right of the threshold, which was fixed beforehand.",
            figures.ceiling_histogram(ceiling, threshold),
            vector=True,
        ),
    ]
    if material.encodings:
        model, method, _, scores, _ = _first(material)
        panels.append(
            Panel(
                "scoreceiling",
                f"Score against ceiling ({model}, {method})",
                "Each point is a voxel. On the dashed line a voxel is predicted as well as its noise allows; points above it are "
                "estimation error of score and ceiling, shown and never clipped. Good: a cloud along the line; a cloud far below "
                "it leaves room for a better model.",
                figures.score_against_ceiling(scores, threshold),
                scores[["target_id", "r", "r2_signed", "ceiling", "r2_normalized"]],
                vector=True,
            )
        )
        panels += _alphas(material, model)
    return Section("ceilings", "Ceilings and penalties", panels)


def _alphas(material: Material, model: str) -> list[Panel]:
    """Return the histogram of chosen penalties of every tuned method, if there is one."""
    alphas, edges, grid = {}, {}, ()
    for (name, method), encoding in material.encodings.items():
        options = material.config.methods[method]
        if name == model and len(options.alphas) > 1:
            split, layer = encoding.scores[["split", "layer"]].iloc[0]
            record = material.sidecars[f"sub-{material.subject}_model-{name}_method-{method}_scores.parquet"]
            edges[method] = record["details"]["alpha_at_edge"][f"{split}/{layer}"]
            grid = options.alphas
            first = encoding.scores[(encoding.scores["split"] == split) & (encoding.scores["layer"] == layer)]
            alphas[method] = first["alpha"].to_numpy()
    if not alphas:
        return []
    caption = (
        "Penalty chosen inside the training runs (median over folds). Good: a hill inside the grid. Voxels without signal pile "
        "up at the largest penalty, which predicts their mean: that edge is no fault of the grid; many voxels at the "
        "smallest penalty would call for a wider one."
    )
    table = pd.DataFrame(alphas)
    return [Panel("alphas", f"Chosen penalties ({model})", caption, figures.alpha_histogram(alphas, grid, edges), table, vector=True)]


def _geometry(material: Material) -> Section | None:
    if material.rdms is None or material.comparison is None:
        return None
    distances = material.config.compare.distances
    layers = material.comparison.drop_duplicates("model")[["model", "layer"]].to_numpy()
    rdms = {f"responses: {name}": material.rdms[name] for name in distances}
    rdms |= {f"{model} ({layer})": material.rdms[f"model_{model}_{layer}"] for model, layer in layers}
    table = pd.DataFrame(rdms)
    pairs = zip(*np.triu_indices(len(material.labels), 1), strict=True)
    table.insert(0, "pair", [f"{material.labels[i]} - {material.labels[j]}" for i, j in pairs])
    undefined = sorted(set(material.comparison.loc[material.comparison["note"] != "", "model"]))
    note = f" Undefined for {', '.join(undefined)}: all categories are equally far apart there." if undefined else ""
    panels = [
        Panel(
            "rdm",
            "Dissimilarities of categories",
            "Dark: alike; light: different; each matrix on its own scale. Crossnobis is unbiased (0 means no difference, and noise "
            "can make it negative); the others are positive even for noise. Good: the same blocks in responses and features.",
            figures.rdm_matrices(rdms, material.labels),
            table,
        ),
        Panel(
            "mds",
            f"Arrangement of categories ({distances[0]})",
            "Classical scaling of the response RDM into the plane: near means alike. Two dimensions cannot hold all distances; "
            "read it together with the matrix.",
            figures.mds(material.rdms[distances[0]], material.labels),
            vector=True,
        ),
        Panel(
            "rsa",
            "Fit of feature RDMs",
            "Bars: comparison of each space's RDM with the RDMs of disjoint pairs of runs, averaged; lines: 95 % interval over "
            "them (measurement noise only); dots: layers of spaces with several; dotted: mean over permuted categories, which "
            "for cosine is not 0; p: permutations of the categories. Grey band: where the true model would lie. Good: a bar "
            f"above its dotted line and near the band.{note}",
            figures.rsa_bars(material.comparison),
            material.comparison,
            vector=True,
        ),
    ]
    return Section("geometry", "Representational geometry", panels)


SECTIONS: list[Callable[[Material], Section | None]] = [_data, _identification, _maps, _ceilings, _zero_shot, _geometry]
