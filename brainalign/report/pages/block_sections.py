"""The sections of a subject of whom runs or stimuli were left out in turn: which figures are drawn from what."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from nibabel.nifti1 import Nifti1Image

from brainalign.arrays import Arrays, Responses
from brainalign.report import geometry_sections, kit
from brainalign.report.encoding_sections import panels_in_mni, partition_section, regions_section, score_maps
from brainalign.report.pages import blocks_figures as figures
from brainalign.report.pages.answers import answer_of_blocks
from brainalign.statistics import reliable_rule, reliable_targets
from brainalign.statistics.summary import Encoding


def gather_blocks(shelf: kit.Shelf) -> kit.Material:
    """Gather what was made of a subject of whom runs or stimuli were left out in turn."""
    material = shelf.material(kit.Material)
    material.responses = shelf.fetch("responses", Responses)
    material.mask, material.bold = (shelf.fetch(suffix, Nifti1Image) for suffix in ("mask", "bold"))
    shelf.note("features")
    for labels in shelf.each("scores"):
        if tables := shelf.tables(("scores", "identification", "null", "profile", "partition"), **labels):
            material.encodings[labels["model"], labels["method"]] = Encoding(**tables)
    material.rdms = shelf.fetch("rdm", Arrays)
    if material.responses is not None:
        material.conditions = list(pd.unique(material.responses.trials["stimulus_id"]))
    material.region_fits = shelf.fetch("regionfits", pd.DataFrame)
    material.searchlights = geometry_sections.searchlights_of(shelf)
    for suffix in ("splits", "ceiling", "comparison", "decoding", "summary"):
        setattr(material, suffix, shelf.fetch(suffix, pd.DataFrame))
    return material


def blocks_chapter(material: kit.Material) -> kit.Chapter:
    """Tell of one subject of whom runs or stimuli were left out in turn."""
    *steps, closing = kit.methods_text(material)
    return kit.Chapter(
        f"Subject {material.subject}",
        kit.drawn_sections(SECTIONS, material),
        [*kit.findings(material).values()],
        answer=answer_of_blocks(material),
        headline=_table_rows(material.summary),
        interval_note="Intervals: over folds, none where these overlap or are few; n: test items, pairs or targets; "
        "for layer 'all': the range over layers, n of them.",
        summary=material.summary,
        methods=[*steps, *geometry_sections.searchlight_methods(material), closing],
        failed_controls=[*kit.failed_spaces(material)],
    )


def _table_rows(summary: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows the table shows: for models of several layers the row over all; single ones are in the CSV."""
    if summary is None:
        return []
    several = summary.loc[summary["layer"] == "all", ["model", "method", "split", "quantity"]].drop_duplicates()
    marked = summary.merge(several.assign(pooled=True), how="left")
    shown = summary[(marked["pooled"].isna() | (marked["layer"] == "all")).to_numpy()]
    return [{str(key): value for key, value in row.items()} for row in shown.to_dict("records")]


def _panel(
    material: kit.Material,
    name: str,
    title: str,
    drawn: Figure | kit.TargetMap,
    numbers: pd.DataFrame | None = None,
    *,
    label: str = "",
    **values: object,
) -> kit.Panel:
    """Make a panel, its caption filled in by these values and by the study; `label` tells panels of one kind apart."""
    nouns = asdict(material.nouns)
    words = nouns | {"Targets": nouns["targets"].capitalize(), "id": f"{name}-{label}" if label else name} | values
    figure, html = (drawn.figure, drawn.slices) if isinstance(drawn, kit.TargetMap) else (drawn, Markup(""))
    return kit.captioned(name, title, figure, numbers, html=html, **words)


def _in_a_run(material: kit.Material) -> str:
    """Say how often a stimulus was shown in a run, where that was not once."""
    if material.responses is None or not material.several_blocks:
        return ""
    counts = material.responses.trials.groupby(["session", "run", "stimulus_id"]).size()
    most = f"{counts.max()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    return f" with {most} {material.nouns.trials} of each {material.nouns.stimulus}"


def _found(material: kit.Material, name: str) -> list[str]:
    """Return the findings that are of one section."""
    return [sentence for of, sentence in kit.findings(material).items() if of.split()[0] == name]


def _data(material: kit.Material) -> kit.Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, splits, nouns = material.responses, material.splits, material.nouns
    record = material.details("responses")
    repeats = responses.trials.groupby("stimulus_id").size()
    spread = f"{repeats.min()}" if repeats.nunique() == 1 else f"{repeats.min()} to {repeats.max()}"
    blocks = material.descriptor.in_blocks
    recorded = f"units: {responses.units}." + (f" Coordinates: {record['space']}." if blocks else "")
    dropped = record["n_dropped_voxels"] if blocks else responses.targets.attrs.get("n_dropped", 0)
    if blocks or dropped:
        recorded = f"{dropped} left out as NaN or constant; {recorded}"
    if responses.times is not None:
        first, last = 1000 * responses.times[[0, -1]]
        recorded = f"{len(responses.times)} times from {first:.0f} ms to {last:.0f} ms; {recorded}"
    paragraphs = [
        f"{len(responses.trials)} trials{' (blocks)' * blocks} of {len(repeats)} stimuli, {spread} repeats each, in "
        f"{responses.trials[['session', 'run']].drop_duplicates().shape[0]} runs{_in_a_run(material)}; "
        f"{len(responses.targets)} {nouns.targets}, {recorded}",
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
    panel = _panel(material, "splits", "Split card", figures.split_matrix(splits), splits)
    return kit.Section("data", "Data and splits", [panel], paragraphs)


def _identification(material: kit.Material) -> kit.Section | None:
    if material.summary is None or not material.encodings or not material.conditions:
        return None
    first = material.first
    rows = material.pooled_rows("identification", split=first.split)
    if rows.empty:  # stimuli alone are left out, and matched in pairs
        return None
    items = first.of(first.encoding.identification)
    null = first.of(first.encoding.null)["accuracy"].to_numpy()
    confusion = figures.confusion_matrix(items, material.conditions, material.labels)
    name = material.name_of(first.model, first.layer)
    panels = [_panel(material, "confusion", f"Confusion matrix ({name}, {first.method})", confusion, items)]
    if len(null):
        chance = float(rows["chance"].iloc[0])
        figure = figures.null_histogram(null, items["correct"].mean(), chance, "share identified")
        numbers = pd.DataFrame({"accuracy": null})
        within = "within runs" if material.trained_on_all(first.split) else "as wholes"
        spread = {"mean": null.mean(), "error": null.std() / np.sqrt(len(null)), "within": within}
        panels.append(_panel(material, "null", "Permutation null", figure, numbers, **spread))
    told = _found(material, "identification")
    told = told or [f"{kit.number(items['correct'].mean())} of {len(items)} test items are identified."]
    return kit.Section("identification", "Identification", panels, told)


def _maps(material: kit.Material) -> kit.Section | None:
    if not material.encodings or material.responses is None:
        return None
    if material.timed:
        return geometry_sections.left_out_course_section(material)
    first = material.first
    scores, level = first.of(first.encoding.scores), material.config.summarize.q
    name = material.name_of(first.model, first.layer)
    if not material.descriptor.in_blocks:
        name, null = f"{name} with {first.method}", first.of(first.encoding.null)
        limit = float(null["max_r"].quantile(0.95)) if len(null) else float("nan")
        tested, repeats = f"in {material.tested}", _repeats(material)
        return score_maps(material, scores, name, tested=tested, repeats=repeats, limit=limit)
    r, q, p_fwer = (scores[name].to_numpy() for name in ("r", "q", "p_fwer"))
    vmax = float(np.ceil(10 * np.nanmax(np.abs(r))) / 10)
    label = f"Pearson r, {material.tested}"
    drawn = kit.target_map(material, r, label=label, vmax=vmax)
    if drawn is None or material.mask is None:
        return None
    values = {"model": name, "method": first.method, "split": first.split, "tested": f"in {material.tested}"}
    panels = [_panel(material, "scoremap", "Score map", drawn, scores, **values, where=drawn.where)]
    if np.isfinite(q).any():
        seen, of = np.where(q < level, r, np.nan), f"r where q < {level:g}"
        drawn = kit.target_map(material, seen, label=of, vmax=vmax, outline=p_fwer < 0.05)
        assert drawn is not None
        table = scores[["target_id", "r", "p", "p_fwer", "q"]]
        counts: dict[str, Any] = {"n_fdr": int((q < level).sum()), "n_fwer": int((p_fwer < 0.05).sum()), "q": level}
        panels.append(_panel(material, "significance", "Significance", drawn, table, where=drawn.where, **counts))
    panels += panels_in_mni(material.responses.targets, r, pd.Series(q), level, label=label, vmax=vmax)
    return kit.Section("maps", "Maps", panels, _found(material, "maps"))


def _repeats(material: kit.Material) -> str:
    averages = bool(material.encodings) and material.descriptor.left_out[material.first.split].of_stimuli
    return f"{'an average' if averages else 'a single ' + material.nouns.trial} that repeats over runs"


def _ceilings(material: kit.Material) -> kit.Section | None:
    if material.ceiling is None or material.responses is None:
        return None
    threshold, panels = material.config.ceiling_threshold, []
    known = material.ceiling.assign(reliable=reliable_targets(material.ceiling, threshold))
    if material.encodings:  # of what they score: single trials or averages
        known = material.first.of(material.first.encoding.scores)
    ceiling, n_reliable = known["ceiling"].to_numpy(), int(known["reliable"].sum())
    numbers = material.ceiling.assign(ceiling=ceiling)
    if np.isnan(ceiling).all():
        text = f"No {material.nouns.stimulus} was shown in two runs: there is no noise ceiling."
        return kit.Section("ceilings", "Ceilings and penalties", [], [text, *_alphas(material)])
    if material.mask is not None and material.bold is not None and (ceiling > 0).any():
        shown, vmax = np.where(ceiling > 0, ceiling, np.nan), float(np.ceil(10 * np.nanmax(ceiling)) / 10)
        drawn = kit.target_map(material, shown, label="noise ceiling (share of variance)", vmax=vmax, diverging=False)
        assert drawn is not None
        panels = [_panel(material, "ceilingmap", "Noise ceiling map", drawn, numbers, repeats=_repeats(material))]
    histogram = figures.ceiling_histogram(ceiling, threshold)
    panels.append(_panel(material, "ceilinghistogram", "Noise ceilings", histogram, numbers, n_reliable=n_reliable))
    if material.encodings:
        name = material.name_of(material.first.model, material.first.layer)
        title = f"Score against ceiling ({name}, {material.first.method})"
        table = known[["target_id", "r", "r2_signed", "ceiling", "r2_normalized", "reliable"]]
        panels.append(_panel(material, "scoreceiling", title, figures.score_against_ceiling(known, threshold), table))
    text = f"{n_reliable:,} of {len(ceiling):,} {material.nouns.targets} are reliable ({reliable_rule(threshold)})."
    return kit.Section("ceilings", "Ceilings and penalties", panels, [text, *_alphas(material)])


def _alphas(material: kit.Material) -> list[str]:
    """Say how often the penalty at either end of its grid was chosen; nothing where none is chosen."""
    found = []
    for (model, method), encoding in material.encodings.items():
        first, alphas = material.first, getattr(material.config.methods[method], "alphas", ())
        # A joint fit has no scores where the first is of one layer.
        if model == first.model and len(alphas) > 1 and len(first.of(encoding.scores)):
            record = material.sidecars[f"sub-{material.subject}_model-{model}_method-{method}_scores.parquet"]
            low, high = record["details"]["alpha_at_edge"][f"{first.split}/{first.layer}"]
            found.append(f"with {method} {low:.0%} chose the smallest of the grid, {high:.0%} the largest")
    said = "Without signal the largest is right; many at the smallest call for a wider grid."
    return [f"Penalties of {material.nouns.targets}: {'; '.join(found)}. {said}"] if found else []


def _layers(material: kit.Material) -> kit.Section | None:
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
    if material.comparison is not None and "distance" in material.comparison:
        fits = material.comparison[material.comparison["model"].isin(models)]
        name = "fit of RDMs (" + fits["distance"] + ", " + fits["comparison"] + ")"
        fits = fits.assign(quantity=name, chance=np.nan).rename(columns={"score": "value"})
        parts.append(fits[fits["quantity"] == fits["quantity"].iloc[0]] if len(fits) else fits)
    columns = ["quantity", "model", "layer", "value", "chance", "null_mean"]
    table = pd.concat([part[columns] for part in parts], ignore_index=True)
    table["layer"] = table["layer"].str.replace(r"_draw\d+$", "", regex=True)  # random networks: the mean over draws
    table = table.groupby(columns[:3], sort=False, as_index=False).mean()
    controls = [model for model in models if material.config.models[model].random]
    figure = figures.layer_scores(table, material.models, controls)
    meaning = (
        f"In {material.tested} every {material.nouns.stimulus} was trained on, so layers that tell all of them apart "
        "identify them equally well but for their penalty: read what layers add from pairs that were never trained on "
        "and from the fit of RDMs."
    ) * material.trained_on_all(material.first.split)
    if material.n_stimuli < kit.FEW_STIMULI:
        few = f"With so few {material.nouns.stimuli} a difference between neighbouring layers says little."
        meaning = f"{meaning} {few}"
    title = f"Scores over the layers ({method})"
    top = table[table["quantity"] == table["quantity"].iloc[0]].sort_values("value", ascending=False).iloc[0]
    text = f"{top['quantity']} is highest in {top['layer']} of {top['model']}: {kit.number(top['value'])}."
    panel = _panel(material, "blocklayers", title, figure, table, meaning=meaning)
    return kit.Section("layers", "Layers", [panel], [text[0].upper() + text[1:]])


def _zero_shot(material: kit.Material) -> kit.Section | None:
    splits = material.splits_that_leave("stimulus")
    if material.summary is None or not material.encodings or not splits:
        return None
    first, panels = material.first, []
    for split in splits:
        rows = material.summary_rows("pair matching", split=split, method=first.method)
        rows = rows[rows["layer"] != "all"]
        random = rows[rows["model"].isin(material.models_of("random"))]
        wordings = rows[rows["model"].isin(material.wording_models)]
        one_hot = rows[rows["model"].isin(material.models_of("onehot"))]["value"]
        headline = rows[(rows["model"] == first.model) & (rows["layer"] == material.told_best(split))].iloc[0]
        null = material.first_null(split, "accuracy")
        name = material.name_of(first.model, headline["layer"])
        observed = {name: headline["value"], **dict(zip(wordings["layer"], wordings["value"], strict=True))}
        figure = figures.zero_shot(observed, null, random["value"].to_numpy(), name)
        by_wording = [
            f"{row['layer']} {kit.number(row['value'])} (p {kit.p_equals(row['p'])})" for _, row in wordings.iterrows()
        ]
        control = f"One-hot features, which cannot generalise: {kit.number(one_hot.iloc[0])}." if len(one_hot) else ""
        title = f"Stimuli never trained on ({split}, {first.method})"
        words = f"Single wordings: {'; '.join(by_wording)}." if by_wording else ""
        dots = "dots: single wordings; " if by_wording else ""
        about: dict[str, Any] = {"control": control, "dots": dots, "line": name, "wordings": words}
        about["largest"] = first.model in material.layered_models
        panels.append(_panel(material, "zeroshot", title, figure, rows, label=split, **about))
    return kit.Section("zeroshot", "Zero-shot prediction", panels, _found(material, "zeroshot"))


def _geometry(material: kit.Material) -> kit.Section | None:
    if material.rdms is None or material.comparison is None:
        return None
    if material.timed:
        return geometry_sections.rsa_course_section(material)
    stimuli = material.nouns.stimuli
    distances = list(material.comparison["distance"].unique())
    layers = material.comparison.drop_duplicates("model")[["model", "layer"]].to_numpy()
    rdms = {f"responses: {name}": material.rdms[name] for name in distances}
    # Of several layers the first is drawn: the fit of each stands in the bars.
    rdms |= {f"{model} ({layer})": material.rdms[f"model_{model}_{layer}"] for model, layer in layers}
    table = pd.DataFrame(rdms)
    pairs = zip(*np.triu_indices(len(material.labels), 1), strict=True)
    table.insert(0, "pair", [f"{material.labels[i]} - {material.labels[j]}" for i, j in pairs])
    untested = material.comparison[material.comparison["note"] != ""].drop_duplicates(["model", "layer", "note"])
    note = " ".join(f"No test for {kit.layer_name(row)}: {row['note']}." for _, row in untested.iterrows())
    points = figures.mds_points(material.rdms[distances[0]])
    places = pd.DataFrame({"condition": material.labels, "x": points[:, 0], "y": points[:, 1]})
    title = f"Dissimilarities of {stimuli}"
    draw, kinds = partial(figures.rdm_matrices, rdms, material.labels), material.categories_of(material.conditions)
    kinds = kinds if 1 < len(set(kinds)) < len(kinds) else material.labels
    views = geometry_sections.in_orders(rdms, kinds, title, "rdm", draw)
    assert views[0].figure is not None
    arranged = geometry_sections.mds_categories(points, kinds)
    panels = [
        replace(_panel(material, "rdm", title, views[0].figure, table), orders=views if len(views) > 1 else ()),
        _panel(material, "mds", f"Arrangement of {stimuli} ({distances[0]})", arranged, places),
    ]
    several, fits = material.comparison.groupby("model")["layer"].nunique().max() > 1, []
    options: dict[str, Any] = {"untested": note, "confidence": material.config.confidence, "stimuli": stimuli}
    for (distance, measure), rows in material.comparison.groupby(["distance", "comparison"], sort=False):
        figure = figures.rsa_ranking(rows, material.uninformed, f"fit, {distance} RDM, {measure}", material.models)
        known = rows[["low", "ceiling_low"]].notna().any()
        options |= {"id": f"rsa-{distance}-{measure}", "intervals": known["low"], "ceiling": known["ceiling_low"]}
        fits.append(kit.captioned("rsa", f"{distance}, {measure}", figure, rows, several=several, **options))
    panels += kit.together("rsa", "Fit of feature RDMs", fits)
    told = _found(material, "geometry")
    fits_of_regions = pd.DataFrame() if material.region_fits is None else material.region_fits
    if len(fits_of_regions) and (found := geometry_sections.region_bars(fits_of_regions, material)):
        panels, told = [*panels, found[0]], [*told, *found[2]]
    return kit.Section("geometry", "Representational geometry", panels, told)


SECTIONS: list[Callable[[kit.Material], kit.Section | None]] = [
    _data, geometry_sections.evoked_section, _identification, _maps, regions_section, _ceilings, _layers,
    partition_section, _zero_shot, _geometry, geometry_sections.searchlight_section,
]  # fmt: skip
