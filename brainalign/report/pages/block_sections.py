"""The sections of a report: which figures are drawn from what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.config import EstimatorMethod, InContextMethod, TrainedMethod
from brainalign.report.encoding_sections import no_convergence
from brainalign.report.geometry_sections import searchlight_section
from brainalign.report.kit import CAPTIONS, MOST_MARKS, Failure, Material, Panel, Section, draw_map, number, p_equals
from brainalign.report.pages import blocks_figures as figures


def sections(material: Material) -> list[Section]:
    """Return the sections for which the material is there.

    In the report of a run that failed, a section that cannot be drawn is one failure more and does not stop the rest.
    """
    made = []
    for make in SECTIONS:
        try:
            made.append(make(material))
        except Exception as error:
            if not material.failures:
                raise
            message = f"{type(error).__name__}: {error}"
            material.failures.append(Failure("report", f"section {make.__name__.strip('_')}", message))
    return [section for section in made if section is not None]


def _panel(
    name: str,
    title: str,
    figure: Figure,
    numbers: pd.DataFrame | None = None,
    *,
    vector: bool = True,
    label: str = "",
    **values: object,
) -> Panel:
    """Return a panel with its caption filled in.

    `vector` is for figures of few marks; `label` tells panels of one kind apart.
    """
    caption = " ".join(CAPTIONS[name].format(**values).split())
    return Panel(f"{name}-{label}" if label else name, title, caption, figure, numbers, vector)


def _in_a_run(material: Material) -> str:
    """Say how often a category was shown in a run, where that was not once."""
    if material.responses is None or not material.several_blocks:
        return ""
    counts = material.responses.trials.groupby(["session", "run", "stimulus_id"]).size()
    most = f"{counts.max()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    return f" with {most} blocks of each category"


def _data(material: Material) -> Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, splits = material.responses, material.splits
    record = material.sidecars[f"sub-{material.subject}_responses.safetensors"]["details"]
    repeats = responses.trials.groupby("stimulus_id").size()
    spread = f"{repeats.min()}" if repeats.nunique() == 1 else f"{repeats.min()} to {repeats.max()}"
    paragraphs = [
        f"{len(responses.trials)} trials (blocks) of {len(repeats)} stimuli, {spread} repeats each, in "
        f"{responses.trials['run'].nunique()} runs{_in_a_run(material)}; {len(responses.targets)} voxels, "
        f"{record['n_dropped_voxels']} left out as NaN or constant; units: {responses.units}. Coordinates: "
        f"{record['space']}.",
        *material.descriptor.notes,
        *(f"Note: {warning}" for warning in record.get("warnings", [])),
    ]
    for name, table in splits.groupby("name", sort=False):
        split = material.descriptor.left_out[str(name)]
        what = split.leave_out if split.size == 1 else split.plural
        how = f"{split.size} {what} left out at a time"
        if split.folds is not None:
            how = f"{split.plural} drawn into disjoint test sets"
        first = table[table["fold"] == 0]["split"].value_counts()
        shared = table.groupby(["fold", "group"])["split"].nunique().max() > 1
        paragraphs.append(
            f"Split {name}: {how}, {table['fold'].nunique()} folds, {first['train']} "
            f"trials to train on and {first['test']} to test in the first. Groups on both sides of a fold: "
            f"{'FOUND' if shared else 'none'}."
        )
    panel = _panel("splits", "Split card", figures.split_matrix(splits), splits, vector=False)
    return Section("data", "Data and splits", [panel], paragraphs)


def _identification(material: Material) -> Section | None:
    if material.summary is None or not material.encodings or not material.conditions:
        return None
    first = material.first
    rows = material.pooled_rows("identification", split=first.split)
    classification = material.summary_rows("classification", split=first.split)
    items = first.of(first.encoding.identification)
    null = first.of(first.encoding.null)["accuracy"].to_numpy()
    overview = figures.identification_scores(rows, classification, list(material.config.models))
    confusion = figures.confusion_matrix(items, material.conditions, material.labels)
    panels = [
        _panel(
            "identification",
            "Identification of held-out blocks, every space and method",
            overview,
            rows,
            confidence=material.config.confidence,
            items="means of the blocks of a category in a run" if material.several_blocks else "blocks",
            single="single " if material.several_blocks else "",
        ),
        _panel("confusion", f"Confusion matrix ({first.model}, {first.method})", confusion, items, vector=False),
    ]
    if len(null):
        chance = 1 / len(material.conditions)
        figure = figures.null_histogram(null, items["correct"].mean(), chance, "share identified")
        numbers = pd.DataFrame({"accuracy": null})
        spread = {"mean": null.mean(), "error": null.std() / np.sqrt(len(null))}
        panels.append(_panel("null", "Permutation null", figure, numbers, **spread))
    return Section("identification", "Identification", panels)


def _maps(material: Material) -> Section | None:
    if not material.encodings or material.responses is None or material.bold is None or material.mask is None:
        return None
    first = material.first
    scores = first.of(first.encoding.scores)
    r, q, p_fwer = (scores[name].to_numpy() for name in ("r", "q", "p_fwer"))
    vmax = float(np.ceil(10 * np.nanmax(np.abs(r))) / 10)
    fmri = material.descriptor.fmri
    level, space = material.config.summarize.q, "" if fmri is None else fmri.space
    everywhere = draw_map(
        material.volume(r), material.mask, material.bold, label="Pearson r, held-out runs", vmax=vmax, diverging=True
    )
    panels = [
        _panel(
            "scoremap",
            "Score map",
            everywhere,
            scores,
            vector=False,
            model=first.model,
            method=first.method,
            split=first.split,
            space=space,
        )
    ]
    if np.isfinite(q).any():
        significant = draw_map(
            material.volume(np.where(q < level, r, np.nan)),
            material.mask,
            material.bold,
            label=f"r where q < {level:g}",
            vmax=vmax,
            diverging=True,
            outline=material.volume((p_fwer < 0.05).astype(float)),
        )
        table = scores[["target_id", "r", "p", "p_fwer", "q"]]
        panels.append(
            _panel(
                "significance",
                "Significance",
                significant,
                table,
                vector=False,
                q=level,
                n_fdr=int((q < level).sum()),
                n_fwer=int((p_fwer < 0.05).sum()),
                space=space,
            )
        )
    return Section("maps", "Maps", panels)


def _ceilings(material: Material) -> Section | None:
    if material.ceiling is None or material.responses is None or material.bold is None or material.mask is None:
        return None
    ceiling = material.ceiling["ceiling"].to_numpy()
    threshold = material.config.ceiling_threshold
    shown = material.volume(np.where(ceiling > 0, ceiling, np.nan))
    vmax = float(np.ceil(10 * ceiling.max()) / 10)
    ceiling_map = draw_map(
        shown, material.mask, material.bold, label="noise ceiling (share of variance)", vmax=vmax, diverging=False
    )
    histogram = figures.ceiling_histogram(ceiling, threshold)
    panels = [
        _panel("ceilingmap", "Noise ceiling map", ceiling_map, material.ceiling, vector=False),
        _panel(
            "ceilinghistogram",
            "Noise ceilings",
            histogram,
            material.ceiling,
            n_reliable=int((ceiling > threshold).sum()),
        ),
    ]
    if material.encodings:
        first = material.first
        scores = first.of(first.encoding.scores)
        title = f"Score against ceiling ({first.model}, {first.method})"
        table = scores[["target_id", "r", "r2_signed", "ceiling", "r2_normalized"]]
        cloud = figures.score_against_ceiling(scores, threshold)
        panels.append(_panel("scoreceiling", title, cloud, table, vector=len(scores) <= MOST_MARKS))
        panels += _alphas(material)
    return Section("ceilings", "Ceilings and penalties", panels)


def _alphas(material: Material) -> list[Panel]:
    """Return the histogram of chosen penalties of every method that chooses, if there is one."""
    first = material.first
    alphas, edges, grids = {}, {}, {}
    for (model, method), encoding in material.encodings.items():
        options = material.config.methods[method]
        if isinstance(options, TrainedMethod | InContextMethod | EstimatorMethod):
            continue  # refused for studies of blocks
        if model == first.model and len(options.alphas) > 1:
            record = material.sidecars[f"sub-{material.subject}_model-{model}_method-{method}_scores.parquet"]
            edges[method] = record["details"]["alpha_at_edge"][f"{first.split}/{first.layer}"]
            alphas[method] = first.of(encoding.scores)["alpha"].to_numpy()
            grids[method] = options.alphas
    if not alphas:
        return []
    figure = figures.alpha_histogram(alphas, grids, edges)
    return [_panel("alphas", f"Chosen penalties ({first.model})", figure, pd.DataFrame(alphas))]


def _layers(material: Material) -> Section | None:
    """Draw the scores of networks of images over their layers."""
    models = material.layered_models
    if material.summary is None or not models:
        return None
    method = material.first.method
    kept = ("identification", "pair matching", "median r")
    rows = material.summary[material.summary["model"].isin(models) & (material.summary["method"] == method)]
    rows = rows[rows["quantity"].isin(kept) & (rows["layer"] != "all")].copy()
    rows["quantity"] = rows["quantity"] + " (" + rows["split"] + ")"
    parts = [rows]
    if material.comparison is not None:
        fits = material.comparison[material.comparison["model"].isin(models)]
        name = "fit of RDMs (" + fits["distance"] + ", " + fits["comparison"] + ")"
        fits = fits.assign(quantity=name, chance=np.nan).rename(columns={"score": "value"})
        parts.append(fits[fits["quantity"] == fits["quantity"].iloc[0]] if len(fits) else fits)
    columns = ["quantity", "model", "layer", "value", "chance", "null_mean"]
    table = pd.concat([part[columns] for part in parts], ignore_index=True)
    table["layer"] = table["layer"].str.replace(r"_draw\d+$", "", regex=True)  # random networks: the mean over draws
    table = table.groupby(columns[:3], sort=False, as_index=False).mean()
    controls = [model for model in models if material.config.models[model].random]
    figure = figures.layer_scores(table, list(material.config.models), controls)
    return Section("layers", "Layers", [_panel("blocklayers", f"Scores over the layers ({method})", figure, table)])


def _zero_shot(material: Material) -> Section | None:
    splits = material.splits_that_leave("stimulus")
    if material.summary is None or not material.encodings or not splits:
        return None
    first = material.first
    panels = []
    for split in splits:
        rows = material.summary_rows("pair matching", split=split, method=first.method)
        rows = rows[rows["layer"] != "all"]
        random = rows[rows["model"].isin(material.models_of("random"))]
        wordings = rows[rows["model"].isin(material.wording_models)]
        one_hot = rows[rows["model"].isin(material.models_of("onehot"))]["value"]
        headline = rows[rows["model"] == first.model].iloc[0]
        null = first.encoding.null[first.encoding.null["split"] == split]
        null = null[null["layer"] == headline["layer"]]["accuracy"].to_numpy()
        name = material.name_of(first.model, headline["layer"])
        observed = {name: headline["value"], **dict(zip(wordings["layer"], wordings["value"], strict=True))}
        figure = figures.zero_shot(observed, null, random["value"].to_numpy(), name)
        by_wording = [
            f"{row['layer']} {number(row['value'])} (p {p_equals(row['p'])})" for _, row in wordings.iterrows()
        ]
        control = f"One-hot features, which cannot generalise: {number(one_hot.iloc[0])}." if len(one_hot) else ""
        title = f"Stimuli never trained on ({split}, {first.method})"
        words = f"Single wordings: {'; '.join(by_wording)}." if by_wording else ""
        dots = "dots: single wordings; " if by_wording else ""
        caption = _panel(
            "zeroshot", title, figure, rows, label=split, control=control, dots=dots, line=name, wordings=words
        )
        panels.append(caption)
    return Section("zeroshot", "Zero-shot prediction", panels)


def _geometry(material: Material) -> Section | None:
    if material.rdms is None or material.comparison is None:
        return None
    distances = material.config.compare.distances
    layers = material.comparison.drop_duplicates("model")[["model", "layer"]].to_numpy()
    rdms = {f"responses: {name}": material.rdms[name] for name in distances}
    # Of several layers the first is drawn: the fit of each stands in the bars.
    rdms |= {f"{model} ({layer})": material.rdms[f"model_{model}_{layer}"] for model, layer in layers}
    table = pd.DataFrame(rdms)
    pairs = zip(*np.triu_indices(len(material.labels), 1), strict=True)
    table.insert(0, "pair", [f"{material.labels[i]} - {material.labels[j]}" for i, j in pairs])
    untested = ", ".join(sorted(set(material.comparison.loc[material.comparison["note"] != "", "model"])))
    note = f"No test for {untested}: all categories are equally far apart there." if untested else ""
    points = figures.mds_points(material.rdms[distances[0]], len(material.labels))
    places = pd.DataFrame({"condition": material.labels, "x": points[:, 0], "y": points[:, 1]})
    bars = figures.rsa_bars(material.comparison)
    matrices = figures.rdm_matrices(rdms, material.labels)
    panels = [
        _panel("rdm", "Dissimilarities of categories", matrices, table, vector=False),
        _panel("mds", f"Arrangement of categories ({distances[0]})", figures.mds(points, material.labels), places),
        _panel(
            "rsa",
            "Fit of feature RDMs",
            bars,
            material.comparison,
            untested=note,
            confidence=material.config.confidence,
        ),
    ]
    return Section("geometry", "Representational geometry", panels)


def _convergence(material: Material) -> Section:
    if material.descriptor.has_images:
        return no_convergence(
            "Convergence scores do not apply: blocks have no named regions and no latencies that the layers of a "
            "network of images could be compared with."
        )
    return no_convergence(
        "Convergence scores do not apply: the stimuli are categories described in words, so there is no network of "
        "images whose layers could be compared with regions and latencies."
    )


SECTIONS: list[Callable[[Material], Section | None]] = [
    _data,
    _identification,
    _maps,
    _ceilings,
    _layers,
    _zero_shot,
    _geometry,
    searchlight_section,
    _convergence,
]
