"""Families of models that meet in every region: who wins, by how much, and where that cannot be said."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from brainalign.config import SentenceModel
from brainalign.report import kit
from brainalign.statistics import RELIABLE

PALE = 0.68  # share of white in the colour of an undecided vertex
UNDECIDED = "{}, undecided"


def contest_scores(rows: pd.DataFrame) -> Figure:
    """Draw the score of every family in every region, and below it the margin of the best one.

    A row per region and family, of `family_contest`. Both in the order of their first row.
    """
    regions, families = list(pd.unique(rows["region"])), list(pd.unique(rows["family"]))
    colours = kit.model_colours(families)
    figure, (above, below) = kit.new_figure(min(max(2.4 + 0.75 * len(regions), 6.5), 9.0), 5.4, rows=2)
    step = 0.7 / len(families)
    for k, family in enumerate(families):
        mine = rows[rows["family"] == family].set_index("region").reindex(regions)
        x = np.arange(len(regions)) + (k - (len(families) - 1) / 2) * step
        above.vlines(x, mine["low"], mine["high"], color=colours[family], linewidth=1.4)
        above.plot(x, mine["r"], "o", color=colours[family], markersize=4, label=kit.legend_name(family))
    for place, (_, row) in enumerate(rows[rows["winner"]].set_index("region").reindex(regions).iterrows()):
        left, right, label = place - 0.45, place + 0.45, "best family, exchanged predictions"
        kit.band(above, [left, right], 0, row["null_high"], kit.NULL, label, zorder=0)
        if np.isfinite(row["ceiling_r"]):
            above.hlines(row["ceiling_r"], left, right, **kit.CEILING_LINE)
        colour = colours[row["family"]]
        below.vlines(place, row["ahead_low"], row["ahead_high"], color=colour, linewidth=1.4)
        below.plot(place, row["ahead"], "o", color=colour, markerfacecolor=colour if row["decided"] else "white")
    for ax, label in ((above, "mean r on test stimuli"), (below, "ahead of the others (r)")):
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        ax.set_ylabel(label)
        ax.set_xlim(-0.6, len(regions) - 0.4)
    above.set_xticks([])
    below.set_xticks(range(len(regions)), regions, fontsize=7, rotation=40 if len(regions) > 6 else 0, ha="center")
    kit.legend_below(figure, [above], 3)
    return figure


def winner_maps(
    table: pd.DataFrame, decided: Mapping[str, bool], families: Sequence[str], *, q: float
) -> tuple[kit.SurfaceMap, kit.SurfaceMap]:
    """Return the map of the best family and the map of its margin; a vertex of an undecided region is pale.

    Parameters
    ----------
    table : DataFrame
        A row per reliable vertex: hemi, vertex, roi (list of str), family, margin, q.
    decided : mapping of bool
        By region; a vertex in several is pale unless one of them is decided.
    families : sequence of str
        In the order of their colours.
    q : float
        Vertices whose best family is not significant at this false discovery rate are not shown.
    """
    sure = np.array([any(decided.get(name, False) for name in names) for names in table["roi"]], dtype=bool)
    shown = table["q"].to_numpy(dtype=float) < q
    names = [family if firm else UNDECIDED.format(family) for family, firm in zip(table["family"], sure, strict=True)]
    table = table.assign(
        winner=pd.Series(names, index=table.index, dtype=object).where(shown, None), margin=table["margin"].where(shown)
    )
    colours = kit.model_colours(list(families))
    paler = {name: [PALE + (1 - PALE) * part for part in to_rgb(colour)] for name, colour in colours.items()}
    pale = {UNDECIDED.format(name): to_hex((red, green, blue)) for name, (red, green, blue) in paler.items()}
    kind: dict[str, Any] = {"unit": "family", "kind": "categorical", "categories": colours | pale}
    title, unit = "Margin of the best family", "difference in r to the second"
    return (
        kit.surface_map(table, "winner", title="Best family", **kind),
        kit.surface_map(table, "margin", title=title, unit=unit, vmin=0.0),
    )


def contest_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on the contest of families; None where there was none."""
    rows = material.contest
    if rows is None or rows.empty:
        return None
    regions, confidence = rows[rows["region"] != RELIABLE], material.config.confidence
    drawn = regions if len(regions) else rows
    panels = [
        kit.captioned("contest", "Families by region", contest_scores(drawn), rows, confidence=confidence),
        *_maps(material, rows),
    ]
    best = drawn[drawn["winner"]]
    n, chance = len(best), (1 - confidence) * len(best)
    paragraphs = [
        f"{int(best['decided'].sum())} of {n} regions are decided. Were two families equally good in all, up to "
        f"{chance:.2g} would be decided by chance: regions are decided one by one, not corrected for their number.",
        "What a family is was said in the configuration: the winner is the best of the fits that were named, not of "
        "all that could have been.",
    ]
    return kit.Section("contest", "Families of models", panels, paragraphs, [_table(rows)])


def _maps(material: kit.ImageMaterial, rows: pd.DataFrame) -> list[kit.Panel]:
    """Return maps of winner and margin with the ceiling beside; none on another mesh than fsaverage5."""
    if material.winners is None or material.responses is None:
        return []
    targets = material.responses.targets
    if (vertices := kit.drawn_vertices(targets)) is None:
        return []
    table = material.winners.merge(vertices, on="target_id").merge(targets[["target_id", "roi"]], on="target_id")
    of_regions = rows[rows["region"] != RELIABLE].groupby("region")["decided"].first()
    decided = {str(region): bool(sure) for region, sure in of_regions.items()}
    families, q = list(pd.unique(rows["family"])), material.config.summarize.q
    winner, margin = winner_maps(table, decided, families, q=q)
    ceiling = kit.surface_map(table, "ceiling", title="noise ceiling", unit="share of variance that repeats")
    maps = [winner, margin] + ([ceiling] if table["ceiling"].notna().any() else [])
    n_families = len(families)
    counts = {
        "hidden": "vertices with an unreliable ceiling, and those whose best family is not above chance "
        f"(q ≥ {q:g}, corrected for {n_families} families)",
        "n": len(table),
        "n_shown": winner.n_shown,
        "n_decided": int((winner.values < n_families).sum()),  # pale ones come after
    }
    caption, numbers = kit.CAPTIONS["winners"].format(**counts), material.winners
    parts = [
        kit.Panel("winners", "Inflated", caption, None, numbers, html=kit.surface_viewer(maps)),
        kit.Panel("flatwinners", f"Flattened: {winner.title}", caption, kit.flat_maps(winner)),
        kit.captioned("winnermargin", f"Flattened: {margin.title}", kit.flat_maps(margin), id="flatmargin"),
    ]
    return kit.together("winners", "Families on fsaverage5", parts)


def _table(rows: pd.DataFrame) -> Markup:
    families, cells = list(pd.unique(rows["family"])), []
    for region, mine in rows.groupby("region", sort=False):
        of, best = mine.set_index("family"), mine[mine["winner"]].iloc[0]
        scores = [f"{kit.number(of['r'][name])} ({of['model'][name]}, {of['layer'][name]})" for name in families]
        verdict = str(best["family"]) if best["decided"] else f"undecided: {best['reason']}"
        extent = [kit.number(best["null_high"]), kit.number(best["ceiling_r"])]
        extent += [kit.with_interval(best, "ahead", "ahead_"), verdict]
        cells.append([str(region), f"{int(best['n_targets']):,}", *scores, *extent])
    header = ["region", "targets", *families, "chance, upper end", "ceiling (r)", "best ahead by", "decision"]
    return kit.html_table(header, cells, "Families by region: mean r (model, layer)")


def contest_sentence(material: kit.ImageMaterial) -> list[str]:
    """Return who wins where, in a sentence; nothing without a contest."""
    rows = material.contest
    if rows is None or rows.empty:
        return []
    regions = rows[rows["region"] != RELIABLE] if rows["region"].ne(RELIABLE).any() else rows
    best = regions[regions["winner"]]
    parts = [
        f"{family} in {', '.join(mine['region'])}"
        for family, mine in best[best["decided"]].groupby("family", sort=False)
    ]
    left = int((~best["decided"]).sum())
    found = "; ".join(parts) or "no family in any region"
    return [
        f"Best of {rows['family'].nunique()} families of models: {found}; undecided: {left} of {len(best)} regions."
    ]


def contest_methods(material: kit.ImageMaterial) -> list[tuple[str, tuple[str, ...]]]:
    """Describe the caption features and the comparison of model families, with the keys of the references."""
    config = material.config
    texts: list[tuple[str, tuple[str, ...]]] = []
    for name in config.models_of(material.dataset):
        model = config.models[name]
        if isinstance(model, SentenceModel):
            how = "averaged over the captions of an image" if model.wordings == "mean" else "a layer per caption"
            text = f"{name}: sentence embeddings of the captions of the images by {model.weights}, {how}."
            texts.append((text, ("sentence",)))
    if material.contest is not None and not material.contest.empty:
        families = "; ".join(f"{family}: {', '.join(entries)}" for family, entries in config.contest.items())
        text = (
            f"Families of models ({families}) were compared on the reliable targets of each region. Each family was "
            "represented by the model, method and layer with the largest score inside the training stimuli. The best "
            "family's leads over each of the others were resampled over test stimuli, and their intervals widened for "
            "the chance of the training stimuli. A region is decided when all of these lie above 0 and the best family "
            "above the largest of all families under exchanged predictions."
        )
        texts.append((text, ("bootstrap", "folds", "maxstat")))
    return texts
