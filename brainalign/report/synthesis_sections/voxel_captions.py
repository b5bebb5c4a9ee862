"""The section on words for voxels: whether captions predict, what they say of regions, where, and what controls do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from brainalign.report import kit
from brainalign.statistics import RELIABLE

NAMES = {
    "permuted": "captions of other voxels",
    "frequent": "the most frequent caption",
    "bankmean": "the mean of the bank (T → 0)",
    "nearest": "the nearest image (T → ∞)",
    "shuffled": "captions of shuffled responses",
    "followed": "captions without an encoder",
}
LABELS = {"encoder": "encoder", "caption": "caption", **NAMES}
MOST_REGIONS = 9


def temperature_figure(curve: pd.DataFrame) -> Figure:
    """Draw scores of validation images over temperatures; the limits stand at both ends.

    temperature, score, se, chosen.
    """
    curve = curve.sort_values("temperature").reset_index(drop=True)
    figure, (ax,) = kit.new_figure(6.0, 3.2)
    x = np.arange(len(curve))
    limit = ((curve["temperature"] == 0) | np.isinf(curve["temperature"])).to_numpy()
    error = 2 * curve["se"].fillna(0).to_numpy()
    ax.errorbar(
        x[~limit], curve["score"][~limit], error[~limit], color=kit.COLOURS[0], marker="o", markersize=4, capsize=2
    )
    ax.errorbar(x[limit], curve["score"][limit], error[limit], color=kit.GREY, marker="x", linestyle="none", capsize=2)
    chosen = curve["chosen"].to_numpy(dtype=bool)
    ax.plot(x[chosen], curve["score"][chosen], "o", color=kit.COLOURS[1], markersize=8)
    ax.set_xticks(x, ["∞" if np.isinf(value) else f"{value:g}" for value in curve["temperature"]])
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    kit.label_axes(ax, x="temperature", y="r of captions, validation images", ticks="both")
    return figure


def caption_scores_figure(scores: pd.DataFrame) -> Figure:
    """Draw mean r of captions, the encoder and controls by region.

    region, of, r, low, high, n.
    """
    sizes = scores.groupby("region", sort=False)["n"].first()
    regions = sizes[sizes > 0].sort_values(ascending=False, kind="stable").index[:MOST_REGIONS].tolist()
    figure, axes, columns = kit.panel_grid(len(regions), 3, (3.2, 1.9), margin=(0.0, 0.6))
    for k, (ax, region) in enumerate(zip(axes, regions, strict=False)):
        part = scores[scores["region"] == region].set_index("of")
        part = part.loc[[name for name in LABELS if name in part.index]]
        y = np.arange(len(part))[::-1]
        for at, (name, row) in zip(y, part.iterrows(), strict=True):
            colour = kit.COLOURS[0] if name in ("encoder", "caption") else kit.GREY
            ax.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=1.5)
            ax.plot(row["r"], at, "o" if name != "encoder" else "D", color=colour, markersize=5)
        ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
        ax.axvline(part.loc["caption", "r"], color=kit.COLOURS[0], linewidth=0.6, linestyle="--")
        ax.set_yticks(y, [LABELS[str(name)] for name in part.index] if k % columns == 0 else [""] * len(y), fontsize=7)
        kit.label_axes(ax, f"{region} ({int(part['n'].iloc[0])} voxels)", x="mean r", ticks="x", size=8)
    return figure


def noun_figure(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the share of voxels of each region whose caption holds each word.

    Share by region and word.
    """
    table = pd.DataFrame(shares).T.dropna(how="all")
    figure, (ax,) = kit.new_figure(min(9.0, 2.2 + 0.55 * table.shape[1]), 1.2 + 0.32 * len(table))
    values = table.to_numpy(dtype=float)
    picture = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    if values.size <= 200:
        for (row, column), value in np.ndenumerate(values):
            kit.cell_text(ax, row, column, f"{value:.2f}", dark=value < 0.6)
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table], rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index], fontsize=8)
    figure.colorbar(picture, ax=ax, shrink=0.8, label="share of voxels")
    return figure


CAPTION_TABLES = ("captions", "captionscores", "captiontemperatures")
TITLE = "Words for voxels"
SHOWN = 15  # voxels in the table
MOST_VALUES = len(kit.COLOURS)  # of an attribute that has a map
NOTHING = "nothing said"
SILENT = "#6b6b6b"  # darker than the sulci
OWN_COLOURS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2", "yellow": "#F0E442"}  # of values that name one


def voxel_captions_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section; None where nothing was captioned."""
    if not material.captions or material.responses is None:
        return None
    table, scores, curve = (material.captions[name] for name in CAPTION_TABLES)
    details = material.details("captions")
    if table.empty:
        return kit.Section("voxelcaptions", TITLE, paragraphs=[f"No voxel is captioned: {details['reason']}."])
    parts, of = [], {"attributes": details["attributes"], "followed": (scores["of"] == "followed").any()}
    if len(curve):
        parts.append(kit.captioned("captiontemperature", "Temperature", temperature_figure(curve), curve, **of))
    if scores["r"].notna().any():
        title = "Captions beside controls" + kit.drawn_of(MOST_REGIONS, scores[scores["n"] > 0]["region"].nunique())
        figure, confidence = caption_scores_figure(scores), material.config.confidence
        parts.append(kit.captioned("captionscores", title, figure, scores, confidence=confidence, **of))
    parts.append(kit.captioned("captionnouns", "Words by region", noun_figure(details["nouns"])))
    panels = kit.together("captionscores", "How well captions predict, and what they say", parts)
    panels += kit.together("captionmaps", "Captions on the flattened cortex", _maps(material, table, details))
    paragraphs = [_explained(details), caption_verdict(table, scores, details), *_silences(table, details)]
    return kit.Section("voxelcaptions", TITLE, panels, paragraphs, [_table(table)])


def caption_verdict(table: pd.DataFrame, scores: pd.DataFrame, details: Mapping[str, Any]) -> str:
    """Say whether captions predict held-out responses better than what they must be compared with.

    table, scores: Artifacts `captions` and `captionscores`.
    """
    known = table["r"].notna()
    if not known.any():
        why = "no voxel has one" if (table["caption"] == "").all() else "nothing embeds the texts among the images"
        return f"Captions cannot be scored: {why}. What they say is not evidence."
    rows = kit.by_name(scores[scores["region"] == RELIABLE], "of")
    predict = int((table.loc[known, "q"] <= details["q_level"]).sum())
    text = (
        f"On {details['n_test']} test images the cosine with its caption predicts a voxel's response with mean r "
        f"{kit.number(rows['caption']['r'])} ({kit.between(rows['caption'])}; the encoder "
        f"itself {kit.number(rows['encoder']['r'])}); {predict:,} of {int(known.sum()):,} captions predict above "
        f"chance (false discovery rate {details['q_level']:g}). "
    )
    controls = {name: rows[name] for name in NAMES if name in rows}
    beaten = [NAMES[name] for name, row in controls.items() if row["gain_low"] > 0]
    not_beaten = [
        f"{NAMES[name]} ({kit.number(row['r'])}; difference {kit.between(row, 'gain_low', 'gain_high')}"
        f"{': worse' * (row['gain_high'] < 0)})"
        for name, row in controls.items()
        if not row["gain_low"] > 0
    ]
    if not not_beaten:
        return text + f"They predict better than every control: {', '.join(beaten)}."
    essential = {name for name in ("permuted", "shuffled") if not rows[name]["gain_low"] > 0}
    if beaten:
        text += f"They predict better than {', '.join(beaten)}. "
    text += f"They do not predict clearly better than {'; '.join(not_beaten)}."
    if essential:
        text += " Warning: without that, the words below describe the stimuli, not the voxels, and should not be used."
    return text


def caption_methods(material: kit.ImageMaterial) -> list[tuple[str, list[str]]]:
    """Describe the captioning of voxels, with the keys of the references; empty where no voxel was captioned."""
    if not material.captions or material.captions["captions"].empty:
        return []
    details = material.details("captions")
    chosen = "chosen on training images held out" if details["temperature_chosen"] else "fixed beforehand"
    bank = f"softmax averages of the bank ({details['bank']}{_temperature(details)}, {chosen})"
    how = (
        "attributes were named by contrasts of responses and of the encoder's predictions, other attributes held "
        f"constant, and count as said where these exceed those of {details['n_nulls']} exchanges of images per voxel "
        f"(false discovery rate {details['q_level']:g}); shares of the bank are of {bank}"
        if details["attributes"]
        else f"of all phrases (captioner {details['captioner']}) that was named whose cosine with training images "
        f"correlated most with responses; weights and the bank ({details['bank']}) are of controls alone"
        if details["temperature"] is None
        else f"weights were replaced by {bank} and named by the captioner {details['captioner']}"
    )
    text = (
        f"Captions: ridge regression of {details['n_voxels']:,} reliable voxels on unit-length embeddings (layer "
        f"{details['layer']}), {details['n_train']} training images; {how}. A caption's score is the correlation over "
        "test images of the voxel's response with the cosine between caption and image."
    )
    return [(text, ["brainscuba", "lavca"])]


def _explained(details: Mapping[str, Any]) -> str:
    how = (
        "Of every attribute the value is named for whose images the voxel responds most and its encoder predicts most, "
        "other attributes held constant; the temperature only weighs shares of the bank. "
        if details["attributes"]
        else "Of all phrases the one is named whose cosine with training images the voxel's responses follow best; the "
        "encoder and the bank are of controls alone. "
        if details["temperature"] is None
        else "The weights of a voxel's encoder are replaced by an average of the images that they point at, and this "
        "point among images is put into words. "
    )
    return (
        f"{how}A caption is a hypothesis about the voxel, not a measurement: what it is worth is how well it predicts "
        "responses to images that nothing was fitted to, beside captions that cannot know the voxel, and some that "
        f"need no encoder or no bank. Captioner: {details['captioner']}{_temperature(details)}."
    )


def _temperature(details: Mapping[str, Any]) -> str:
    return "" if details["temperature"] is None else f"; temperature {details['temperature']:g}"


def _silences(table: pd.DataFrame, details: Mapping[str, Any]) -> list[str]:
    if not details["attributes"]:
        return []
    said = [f"{name} {kit.number(float((table[name] != '').mean()), 2)}" for name in details["attributes"]]
    return [
        f"Share of {len(table):,} voxels about which an attribute is said at all: {', '.join(said)}; of the others the "
        f"caption says “any”, and {int((table['caption'] == '').sum()):,} voxels have no caption."
    ]


def _table(table: pd.DataFrame) -> Markup:
    best = table.sort_values("r", ascending=False, na_position="last").head(SHOWN)
    header = ["voxel", "region", "caption", "r", "others' captions", "nearest image", "encoder r", "√ceiling", "q"]
    rows = [
        [str(row["target_id"]), str(row["region"]), str(row["caption"])]
        + [kit.number(float(row[name])) for name in ("r", "permuted_r", "nearest_r", "encoder_r")]
        + [kit.number(float(np.sqrt(max(row["ceiling"], 0)))), kit.p_number(float(row["q"]))]
        for _, row in best.iterrows()
    ]
    return kit.html_table(header, rows, f"The {len(rows)} voxels whose captions predict best")


def _maps(material: kit.ImageMaterial, table: pd.DataFrame, details: Mapping[str, Any]) -> list[kit.Panel]:
    """Return a map per attribute on the flattened cortex; none for other spaces."""
    assert material.responses is not None
    vertices = kit.drawn_vertices(material.responses.targets)
    if vertices is None:
        return []
    panels = []
    for name, values in details["attributes"].items():
        if len(values) > MOST_VALUES or not (table[name] != "").any():
            continue
        shown = table[["target_id", name]].merge(vertices, on="target_id")
        shown[name] = shown[name].where(shown[name] != "", NOTHING)
        named = [OWN_COLOURS[value] for value in values if value in OWN_COLOURS]
        colours = dict(zip(values, named if len(named) == len(values) else kit.COLOURS, strict=False))
        words: dict[str, Any] = {"title": f"{name} in captions", "unit": name, "kind": "categorical"}
        surface = kit.surface_map(shown, name, categories=colours | {NOTHING: SILENT}, **words)
        words = {"id": f"captionmap-{name}", "attribute": name, "q": details["q_level"]}
        panels.append(kit.captioned("captionmap", f"Captions: {name}", kit.flat_maps(surface), **words))
    return panels
