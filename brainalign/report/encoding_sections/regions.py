"""Regions of subjects of whom runs or stimuli were left out in turn: which model predicts which of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from brainalign.report import kit
from brainalign.report.encoding_sections.layers import MOST_PANELS, layer_profile
from brainalign.statistics import RELIABLE, permutation_test

MOST_TOLD = 8  # regions of a sentence


def region_rows(material: kit.StudyMaterial, fit: tuple[str, str], profile: pd.DataFrame) -> pd.DataFrame:
    """Return a row per split, region and layer of one fit; of random spaces, draws and wordings the mean.

    `profile` has a row per split, layer and group of targets; returned are also `roi` and the label of the `model`.
    """
    if profile.empty:
        return profile
    rows = profile[profile["group"] != RELIABLE]
    model = material.config.models[fit[0]]
    layers = rows["layer"].str.replace(r"_draw\d+$", "", regex=True)
    rows = rows.assign(layer=layers if model.reads_images or model.reads_vectors else "all")
    means = rows.groupby(["split", "group", "layer"], sort=False).mean(numeric_only=True).reset_index()
    return means.rename(columns={"group": "roi"}).assign(model=material.fit_label(*fit))


def regions_section(material: kit.Material) -> kit.Section | None:
    """Draw what every model predicts of every region; None where regions are not named, and of responses over time."""
    parts = [region_rows(material, fit, encoding.profile) for fit, encoding in material.encodings.items()]
    rows = pd.concat(parts or [pd.DataFrame()], ignore_index=True)
    if rows.empty:
        return None
    rows = rows[rows["split"] == material.first.split]  # pairs alone have no r
    words: dict[str, Any] = {"tested": material.tested, "stimuli": material.nouns.stimuli}
    panels = [_panel(material, "regionprofile", "Mean r by region", f"mean r, {material.tested}", rows, words)]
    matched = "pairs matched" if material.descriptor.left_out[material.first.split].of_stimuli else "identified"
    of_patterns = {name: rows[f"accuracy_{name}"] for name in ("low", "high", "null_mean", "null_high")}
    told_apart = rows.assign(r=rows["accuracy"], ceiling_r=np.nan, **of_patterns)
    title = f"{material.nouns.stimuli.capitalize()} told apart by region"
    panels.append(_panel(material, "regionaccuracy", title, f"share {matched}", told_apart, words))
    drawn = [panel for panel in panels if panel is not None]
    told = [_highest(material, rows)] if rows["r"].notna().any() else []
    alike = f"All {material.nouns.stimuli} were trained on: models of full rank differ by penalties, not by meaning."
    told += [alike] * material.trained_on_all(material.first.split)
    return kit.Section("regions", "Regions", kit.together("regions", "By region", drawn), told)


def _panel(
    material: kit.StudyMaterial, key: str, title: str, measure: str, rows: pd.DataFrame, words: dict[str, Any]
) -> kit.Panel | None:
    """Draw r of every region and layer with its interval; None where there is none."""
    rows = rows.dropna(subset=["r"])
    if rows.empty:
        return None
    sizes = rows.drop_duplicates("roi").set_index("roi")["n_targets"]
    shown = rows[rows["roi"].isin(sizes.nlargest(MOST_PANELS).index)]
    shown = shown.assign(se=shown["high"] - shown["r"], decided=False, reason=None)
    random = material.fit_labels(material.uninformed)
    known: dict[str, Any] = {"intervals": shown["high"].notna().any(), "ceiling": shown["ceiling_r"].notna().any()}
    known |= {"several": rows.groupby("model")["layer"].nunique().max() > 1, "random": rows["model"].isin(random).any()}
    known["drawn"] = f" Drawn are the {MOST_PANELS} largest of {len(sizes)} regions." * (len(sizes) > MOST_PANELS)
    informed = {*material.config.models_of(material.dataset)} - {*material.uninformed}
    figure = layer_profile(shown, material.fit_labels([*informed]), random, measure)
    return kit.captioned(key, title, figure, rows, **words, **known)


def _highest(material: kit.Material, rows: pd.DataFrame) -> str:
    """Say which layer scores highest in each region, held against the best region and layer of every permutation."""
    informed = [encoding for fit, encoding in material.encodings.items() if fit[0] not in material.uninformed]
    nulls = pd.concat([encoding.null for encoding in informed or material.encodings.values()])
    maxima = nulls[nulls["split"] == material.first.split].groupby("permutation")["max_region_z"].max().to_numpy()

    def p(row: "pd.Series[Any]") -> str:
        return f", p {kit.p_equals(float(permutation_test(row['z'], maxima, 'max')))}" if len(maxima) else ""

    corrected = " (p corrected for regions, layers and models)" * bool(len(maxima))
    return f"Of each region the highest mean r{corrected}: {_best(material, rows, p)}."


def _best(material: kit.StudyMaterial, rows: pd.DataFrame, tested: Callable[["pd.Series[Any]"], str]) -> str:
    """List the regions, highest first, each with its highest layer of models that know the stimuli, and its test."""
    informed = rows[~rows["model"].isin(material.fit_labels(material.uninformed))]
    best = (rows if informed.empty else informed).dropna(subset=["r"])
    best = best.loc[best.groupby("roi")["r"].idxmax()].sort_values("r", ascending=False)
    told = [
        f"{row['model'] if row['layer'] == 'all' else kit.space_name(row['model'], row['layer'])} in {row['roi']} "
        f"({kit.number(row['r'])}{tested(row)})"
        for _, row in best.head(MOST_TOLD).iterrows()
    ]
    return ", ".join(told) + f" and {len(best) - MOST_TOLD} more" * (len(best) > MOST_TOLD)


def group_regions(material: kit.StudyMaterial) -> list[kit.Section]:
    """Draw means over subjects of what every model predicts of the regions that several have; nothing without any."""
    table = material.tables.get("profile", pd.DataFrame())
    if table.empty:
        return []
    first = table.groupby("split", sort=False)["r"].count().gt(0).idxmax()  # pairs have none
    table = table[table["split"] == first].assign(above=table["p"] <= kit.LEVEL)
    of = table.groupby(["roi", "model", "layer"], sort=False)
    n = of["subject"].nunique()
    rows = of.mean(numeric_only=True).assign(n=n, n_above=of["above"].sum())
    rows["high"] = rows["r"] + (of["r"].std() / np.sqrt(n)).where(n >= 3)
    rows = rows[n > 1].reset_index()
    panel = _panel(material, "groupregions", "Mean r by region, over subjects", "mean r over subjects", rows, {})
    if panel is None:
        return []
    best = _best(material, rows, lambda row: f", p ≤ .05 in {row['n_above']:.0f} of {row['n']:.0f} subjects")
    text = f"Of each region the highest mean r over subjects, p not corrected for layers: {best}."
    return [kit.Section("regions", "Regions", [panel], [text])]
