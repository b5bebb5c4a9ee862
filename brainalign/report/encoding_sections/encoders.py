"""Encoders that are trained on tokens, beside simpler ones, and where in the image they look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report.encoding_sections.layer_shares import ensemble_panel, ensemble_sentence
from brainalign.report.kit import (
    CAPTIONS,
    COLOURS,
    GREY,
    NULL,
    ImageMaterial,
    Panel,
    Section,
    check_columns,
    html_table,
    legend_below,
    new_figure,
    number,
    together,
)
from brainalign.statistics import RELIABLE

SIDE_COLUMNS = ("encoder", "group", "r", "low", "high", "ceiling_r", "null_low", "null_high")
MARKERS = "os^D"  # one after the other, where there are more encoders than colours
MOST_REGIONS = 6  # rows of an attention figure
Pictures = Mapping[str, NDArray[np.uint8]]


def encoder_scores(rows: pd.DataFrame) -> Figure:
    """Draw the score of every encoder in every region, with intervals, ceiling and the band of chance.

    Parameters
    ----------
    rows : DataFrame
        A row per encoder and group: r, low, high, ceiling_r, null_low, null_high. Both in the order of their first row.
    """
    check_columns("the table of encoders", rows, SIDE_COLUMNS)
    groups, encoders = list(pd.unique(rows["group"])), list(pd.unique(rows["encoder"]))
    figure, (ax,) = new_figure(min(max(2.2 + 0.9 * len(groups), 5.4), 9.0), 3.6)  # three names side by side fit
    step = 0.8 / len(encoders)
    for k, encoder in enumerate(encoders):
        mine = rows[rows["encoder"] == encoder].set_index("group").reindex(groups)
        x = np.arange(len(groups)) + (k - (len(encoders) - 1) / 2) * step
        ax.vlines(x, mine["low"], mine["high"], color=COLOURS[k % len(COLOURS)], linewidth=1.4)
        marker = MARKERS[k // len(COLOURS) % len(MARKERS)]
        ax.plot(x, mine["r"], marker, color=COLOURS[k % len(COLOURS)], markersize=4, label=encoder)
    for place, group in enumerate(groups):
        of, left, right = rows[rows["group"] == group].iloc[0], place - 0.45, place + 0.45
        ax.fill_between(
            [left, right],
            of["null_low"],
            of["null_high"],
            color=NULL,
            linewidth=0,
            zorder=0,
            label="exchanged predictions",
        )
        if np.isfinite(of["ceiling_r"]):
            ax.hlines(of["ceiling_r"], left, right, color="black", linestyle="--", linewidth=0.8, label="noise ceiling")
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.set_xticks(range(len(groups)), groups, fontsize=7, rotation=30 if len(groups) > 6 else 0)
    ax.set_ylabel("mean r on test images")
    legend_below(figure, [ax], 3)
    return figure


def attention_maps(
    fields: NDArray[np.floating],
    grid: tuple[int, int],
    regions: Sequence[str],
    stimuli: Sequence[str],
    pictures: Pictures,
) -> Figure:
    """Draw where each region attends, a row per region and a column per image.

    Parameters
    ----------
    fields : array (n_stimuli, n_regions, n_tokens)
        Each sums to 1; tokens row by row of the grid.
    grid : (rows, columns)
    regions, stimuli : sequence of str
    pictures : mapping of arrays (size, size, 3) by stimulus
        Those that are missing leave the attention on white.
    """
    figure, axes = new_figure(1.0 + 1.3 * len(stimuli), 0.5 + 1.3 * len(regions), len(stimuli), len(regions))
    for row, region in enumerate(regions):
        for column, stimulus in enumerate(stimuli):
            ax = axes[row * len(stimuli) + column]
            _map(ax, fields[column, row].reshape(grid), pictures.get(stimulus))
            if row == 0:
                ax.set_title(stimulus, fontsize=7)
            if column == 0:
                ax.set_ylabel(region, fontsize=8)
    return figure


def field_maps(fields: NDArray[np.floating], grid: tuple[int, int], regions: Sequence[str]) -> Figure:
    """Draw the mean spatial field of each region (n_regions, n_tokens), each on a scale of its own."""
    columns = min(len(regions), 6)
    n_rows = -(-len(regions) // columns)
    figure, axes = new_figure(1.0 + 1.3 * columns, 0.4 + 1.5 * n_rows, columns, n_rows)
    for ax in axes[len(regions) :]:
        ax.set_visible(False)
    for ax, region, field in zip(axes, regions, fields, strict=False):
        _map(ax, field.reshape(grid), None)
        ax.set_title(region, fontsize=8)
    return figure


def _map(ax: Axes, field: NDArray[np.floating], picture: NDArray[np.uint8] | None) -> None:
    """Draw one map from 0 to its largest value, over the grey image where there is one."""
    if picture is not None:
        ax.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
    shade = field / field.max() if field.max() > 0 else field
    colours = matplotlib.colormaps["magma"](shade)
    if picture is not None:
        colours[..., 3] = 0.25 + 0.6 * shade
    ax.imshow(colours, extent=(0, 1, 1, 0), interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])


def encoders_section(material: ImageMaterial) -> Section | None:
    """Return the section on trained encoders; None where none was trained."""
    panels: list[Panel] = []
    paragraphs: list[str] = []
    blocks: list[Markup] = []
    for (model, method), encoding in material.encodings.items():
        if not material.config.methods[method].trained or encoding.baselines.empty:
            continue
        label, layer = material.label(model, method), material.chosen(model, method)
        rows = side_rows(material, model, method, layer)
        shown = rows[rows["group"] == RELIABLE] if material.timed else rows[rows["group"] != RELIABLE]
        shown = shown.dropna(subset=["r"])
        parts = []
        if len(shown):
            caption = CAPTIONS["encoders"].format(model=model, layer=layer, confidence=material.config.confidence)
            title = f"Encoders of {model}, {layer}"
            parts.append(Panel(f"encoders{model}{method}", title, caption, encoder_scores(shown), rows))
        paragraphs += side_sentences(label, rows, material.timed)
        blocks.append(side_table(rows[rows["group"] == RELIABLE], f"{label}, {layer}: mean r over reliable targets"))
        parts += _where(material, model, method, layer, rows)
        if sentence := ensemble_sentence(material, model, method):
            paragraphs.append(sentence)
        if panel := ensemble_panel(material, model, method):
            parts.append(panel)
        panels += together(f"encoder{model}{method}", f"{label} beside others", parts)
    return Section("encoders", "Encoders side by side", panels, paragraphs, blocks) if blocks else None


def side_rows(material: ImageMaterial, model: str, method: str, layer: str) -> pd.DataFrame:
    """Return the table of one layer, with the ceiling and the chance of its groups."""
    encoding = material.encodings[model, method]
    profile = encoding.profile[encoding.profile["layer"] == layer]
    table = encoding.baselines[encoding.baselines["layer"] == layer]
    return table.merge(profile[["group", "ceiling_r", "null_low", "null_high", "control_r"]], on="group")


def side_sentences(label: str, rows: pd.DataFrame, timed: bool) -> list[str]:
    """Say where the trained encoder is ahead, where behind, and where neither can be said."""
    names = list(pd.unique(rows["encoder"]))
    regions = rows[rows["group"] == RELIABLE] if timed else rows[rows["group"] != RELIABLE]
    found = []
    for name in names[1:]:
        mine = regions[(regions["encoder"] == name) & regions["difference"].notna()]
        ahead, behind = int((mine["difference_low"] > 0).sum()), int((mine["difference_high"] < 0).sum())
        what = "over all sensors and times" if timed else f"in {len(mine)} regions"
        verdict = f"ahead of {name} {what}: {ahead}, behind: {behind}, undecided: {len(mine) - ahead - behind}"
        found.append(verdict)
    if not found:
        return []
    control = number(rows.loc[rows["group"] == RELIABLE, "control_r"].iloc[0])
    return [
        f"{label}, {names[0]}, {'; '.join(found)} (paired intervals over the same resampled test images, not corrected "
        f"for the number of comparisons). Refitted on exchanged responses it reaches {control}."
    ]


def side_table(rows: pd.DataFrame, title: str) -> Markup:
    """Return a table of encoders side by side, each beside the first: scores with intervals, seeds, size and cost.

    Parameters
    ----------
    rows : DataFrame
        One row per encoder: encoder, r, low, high, seed_mean, seed_sd, n_seeds, difference (of the first minus this
        one) with its interval difference_low and difference_high, n_parameters, seconds.
    title : str
        What the table is called for those who do not see it.
    """
    header = ["encoder", "mean r", "single seeds", "ahead of it by", "parameters", "seconds"]
    first = rows["encoder"].iloc[0]
    cells = []
    for _, row in rows.iterrows():
        seeds = f"{number(row['seed_mean'])} ± {number(row['seed_sd'])} ({row['n_seeds']} seeds)"
        apart = f"{number(row['difference'])} ({number(row['difference_low'])} to {number(row['difference_high'])})"
        cells.append(
            [
                str(row["encoder"]),
                f"{number(row['r'])} ({number(row['low'])} to {number(row['high'])})",
                seeds if row["n_seeds"] > 1 else "–",
                "–" if row["encoder"] == first else apart,
                f"{int(row['n_parameters']):,}",
                f"{row['seconds']:.2g}",
            ]
        )
    return html_table(header, cells, title)


def _where(material: ImageMaterial, model: str, method: str, layer: str, rows: pd.DataFrame) -> list[Panel]:
    """Return the figure of where the encoder looks; none where it kept nothing."""
    encoding = material.encodings[model, method]
    details = material.fields_of(model, method)
    if encoding.fields is None or layer not in encoding.fields:
        return []
    about = details["layers"][layer]
    grid, regions = (about["grid"][0], about["grid"][1]), list(about["regions"])
    score = rows[rows["encoder"] == rows["encoder"].iloc[0]].set_index("group")["r"].reindex(regions).fillna(-1)
    # All targets together are no place of the brain, but better than nothing.
    places = [k for k, name in enumerate(regions) if name != RELIABLE] or [0]
    most = MOST_REGIONS if details["stimuli"] else len(places)
    chosen = sorted(sorted(places, key=lambda k: -float(score.iloc[k]))[:most])
    fields, names = encoding.fields[layer][:, chosen], [regions[k] for k in chosen]
    label = material.label(model, method)
    if details["stimuli"]:
        figure = attention_maps(fields, grid, names, details["stimuli"], material.pictures)
        return [Panel(f"attention{model}{method}", f"Where {label} attends", CAPTIONS["attention"], figure)]
    return [
        Panel(
            f"fields{model}{method}",
            f"Spatial fields of {label}",
            CAPTIONS["fields"],
            field_maps(fields[0], grid, names),
        )
    ]
