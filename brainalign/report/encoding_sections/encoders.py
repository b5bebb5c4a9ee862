"""Encoders beside simpler ones: trained on tokens, and where they look; all layers as one; sparse codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.config import DictionaryMethod
from brainalign.report import kit
from brainalign.statistics import RELIABLE

MARKERS = "os^D"  # one after the other, where there are more encoders than colours
MOST_REGIONS = 6  # rows of an attention figure
Pictures = Mapping[str, NDArray[np.uint8]]


def encoder_scores(rows: pd.DataFrame) -> Figure:
    """Draw the score of every encoder in every region, with intervals, ceiling and the band of chance.

    A row per encoder and group: r, low, high, ceiling_r, null_low, null_high. Both in the order of their first row.
    """
    groups, encoders = list(pd.unique(rows["group"])), list(pd.unique(rows["encoder"]))
    figure, (ax,) = kit.new_figure(min(max(2.2 + 0.9 * len(groups), 5.4), 9.0), 3.6)  # three names side by side fit
    step = 0.8 / len(encoders)
    for k, encoder in enumerate(encoders):
        mine = rows[rows["encoder"] == encoder].set_index("group").reindex(groups)
        x = np.arange(len(groups)) + (k - (len(encoders) - 1) / 2) * step
        ax.vlines(x, mine["low"], mine["high"], color=kit.COLOURS[k % len(kit.COLOURS)], linewidth=1.4)
        marker, label = MARKERS[k // len(kit.COLOURS) % len(MARKERS)], kit.legend_name(encoder)
        ax.plot(x, mine["r"], marker, color=kit.COLOURS[k % len(kit.COLOURS)], markersize=4, label=label)
    for place, group in enumerate(groups):
        of, left, right = rows[rows["group"] == group].iloc[0], place - 0.45, place + 0.45
        kit.band(ax, [left, right], of["null_low"], of["null_high"], kit.NULL, "exchanged predictions", zorder=0)
        if np.isfinite(of["ceiling_r"]):
            ax.hlines(of["ceiling_r"], left, right, **kit.CEILING_LINE)
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    ax.set_xticks(range(len(groups)), groups, fontsize=7, rotation=30 if len(groups) > 6 else 0)
    ax.set_ylabel("mean r on test images")
    kit.legend_below(figure, [ax], 3)
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
    figure, axes = kit.new_figure(1.0 + 1.3 * len(stimuli), 0.5 + 1.3 * len(regions), len(stimuli), len(regions))
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
    figure, axes, _ = kit.panel_grid(len(regions), 6, (1.3, 1.5), margin=(1.0, 0.4))
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


def encoders_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on trained encoders; None where none was trained."""
    panels: list[kit.Panel] = []
    paragraphs: list[str] = []
    blocks: list[Markup] = []
    for (model, method), encoding in material.encodings.items():
        if not material.config.methods[method].trained or encoding.baselines.empty:
            continue
        layer, rows, parts, sentences, table = _beside(material, model, method, "encoders", "Encoders")
        paragraphs += sentences
        blocks.append(table)
        parts += _where(material, model, method, layer, rows)
        if sentence := ensemble_sentence(material, model, method):
            paragraphs.append(sentence)
            parts.append(ensemble_panel(material, model, method))
        panels += kit.together(f"encoder{model}{method}", f"{material.fit_label(model, method)} beside others", parts)
    return kit.Section("encoders", "Encoders side by side", panels, paragraphs, blocks) if blocks else None


def _beside(
    material: kit.ImageMaterial, model: str, method: str, kind: str, title: str
) -> tuple[str, pd.DataFrame, list[kit.Panel], list[str], Markup]:
    """Return the layer of a fit that was chosen, its rows, and their figure, sentences and table."""
    label, layer = material.fit_label(model, method), material.chosen(model, method)
    encoding = material.encodings[model, method]
    table, profile = (of[of["layer"] == layer] for of in (encoding.baselines, encoding.profile))
    rows = table.merge(profile[["group", "ceiling_r", "null_low", "null_high", "control_r"]], on="group")
    shown = _places(rows, material.timed).dropna(subset=["r"])
    words: dict[str, Any] = {"id": f"{kind}{model}{method}", "model": model, "layer": layer}
    panels = []
    if len(shown):
        figure, confidence = encoder_scores(shown), material.config.confidence
        panels = [kit.captioned(kind, f"{title} of {model}, {layer}", figure, rows, confidence=confidence, **words)]
    told = side_table(rows[rows["group"] == RELIABLE], f"{label}, {layer}: mean r over reliable targets")
    return layer, rows, panels, side_sentences(label, rows, material.timed), told


def _places(rows: pd.DataFrame, timed: bool) -> pd.DataFrame:
    """Return the rows of regions; of all reliable targets where there are none, or over all times."""
    regions = rows[rows["group"] != RELIABLE]
    return rows[rows["group"] == RELIABLE] if timed or regions.empty else regions


def side_sentences(label: str, rows: pd.DataFrame, timed: bool) -> list[str]:
    """Say where the trained encoder is ahead, where behind, and where neither can be said."""
    names = list(pd.unique(rows["encoder"]))
    regions, found = _places(rows, timed), []
    for name in names[1:]:
        mine = regions[(regions["encoder"] == name) & regions["difference"].notna()]
        ahead, behind = int((mine["difference_low"] > 0).sum()), int((mine["difference_high"] < 0).sum())
        what = f"in {len(mine)} regions" if regions["group"].ne(RELIABLE).any() else f"over all {RELIABLE}"
        what = "over all sensors and times" if timed else what
        found.append(f"ahead of {name} {what}: {ahead}, behind: {behind}, undecided: {len(mine) - ahead - behind}")
    if not found:
        return []
    control = kit.number(rows.loc[rows["group"] == RELIABLE, "control_r"].iloc[0])
    return [
        f"{label}, {names[0]}, {'; '.join(found)} (paired intervals over the same resampled test images, not corrected "
        f"for the number of comparisons). Refitted on exchanged responses it reaches {control}."
    ]


def side_table(rows: pd.DataFrame, title: str) -> Markup:
    """Return a table of encoders side by side, each beside the first: scores with intervals, seeds, size and cost.

    rows: One row per encoder: encoder, r, low, high, seed_mean, seed_sd, n_seeds, difference (of the first minus this
    one) with its interval difference_low and difference_high, n_parameters, seconds.
    """
    first, apart = rows["encoder"].iloc[0], ("difference", "difference_")

    def seeds(row: Mapping[str, Any]) -> str:
        mean, sd = kit.number(row["seed_mean"]), kit.number(row["seed_sd"])
        return f"{mean} ± {sd} ({row['n_seeds']} seeds)" if row["n_seeds"] > 1 else "–"

    columns: kit.Columns = {
        "encoder": lambda row: str(row["encoder"]),
        "mean r": lambda row: kit.with_interval(row, "r"),
        "single seeds": seeds,
        "ahead of it by": lambda row: "–" if row["encoder"] == first else kit.with_interval(row, *apart),
        "parameters": lambda row: f"{int(row['n_parameters']):,}",
        "seconds": lambda row: f"{row['seconds']:.2g}",
    }
    return kit.row_table(rows, columns, title)


def _where(material: kit.ImageMaterial, model: str, method: str, layer: str, rows: pd.DataFrame) -> list[kit.Panel]:
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
    label = material.fit_label(model, method)
    if details["stimuli"]:
        figure = attention_maps(fields, grid, names, details["stimuli"], material.pictures)
        return [kit.captioned("attention", f"Where {label} attends", figure, id=f"attention{model}{method}")]
    figure = field_maps(fields[0], grid, names)
    return [kit.captioned("fields", f"Spatial fields of {label}", figure, id=f"fields{model}{method}")]


def layer_weights(rows: pd.DataFrame) -> Figure:
    """Draw the weight of every layer in every region, side by side: the weights of a region sum to 1.

    A row per group and layer: group, layer, weight. Both in the order of their first row.
    """
    groups, layers = list(pd.unique(rows["group"])), list(pd.unique(rows["layer"]))
    figure, (ax,) = kit.new_figure(6.5, 1.2 + 0.28 * len(groups))
    start = np.zeros(len(groups))
    for layer, colour in kit.layer_colours(layers).items():
        weight = rows[rows["layer"] == layer].set_index("group")["weight"].reindex(groups).fillna(0).to_numpy()
        label = kit.legend_name(layer)
        ax.barh(groups, weight, left=start, color=colour, edgecolor="white", linewidth=0.5, label=label)
        start = start + weight
    ax.axvline(1, color="black", linewidth=0.6)
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("weight in the ensemble, mean over targets")
    ax.tick_params(axis="y", labelsize=7)
    ax.invert_yaxis()
    kit.legend_below(figure, [ax], 5)
    return figure


def ensemble_panel(material: kit.ImageMaterial, model: str, method: str) -> kit.Panel:
    """Return the figure of which layers are read, with its table, where layers were combined."""
    table = material.encodings[model, method].ensemble
    alone = table[table["layer"] != table["layer"].iloc[0]].dropna(subset=["weight"])
    shown = alone[(alone["group"] == RELIABLE) == material.timed]
    shown = shown if len(shown) else alone
    label = material.fit_label(model, method)
    return kit.captioned(
        "layerweights", f"Layers that {label} reads", layer_weights(shown), table, id=f"layerweights{model}{method}"
    )


def ensemble_sentence(material: kit.ImageMaterial, model: str, method: str) -> str | None:
    """Say what all layers together reach, and how far they are ahead of each layer alone."""
    encoding = material.encodings[model, method]
    if encoding.ensemble.empty:
        return None
    name = encoding.ensemble["layer"].iloc[0]
    own = encoding.ensemble[(encoding.ensemble["layer"] == name) & (encoding.ensemble["group"] == RELIABLE)].iloc[0]
    rows = encoding.baselines[(encoding.baselines["layer"] == name) & (encoding.baselines["group"] == RELIABLE)]
    apart = [
        f"{row['encoder'].partition(', ')[2]} {kit.with_interval(row, 'difference', 'difference_')}"
        for _, row in rows.iloc[1:].iterrows()
    ]
    return (
        f"{material.fit_label(model, method)}, all layers and seeds as one: mean r over reliable targets "
        f"{kit.number(own['r'])} ({kit.number(own['low'])} to {kit.number(own['high'])}; exchanged predictions "
        f"{kit.number(own['null_mean'])}, refitted on exchanged responses {kit.number(own['control_r'])}; "
        f"p {kit.p_equals(own['p'], 4)}). Ahead of single layers by: {'; '.join(apart)}."
    )


def dictionaries_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on sparse dictionaries; None where none was learned."""
    panels: list[kit.Panel] = []
    paragraphs: list[str] = []
    blocks: list[Markup] = []
    for (model, method), encoding in material.encodings.items():
        if not isinstance(material.config.methods[method], DictionaryMethod) or encoding.baselines.empty:
            continue
        label = material.fit_label(model, method)
        layer, _, parts, sentences, table = _beside(material, model, method, "dictionaries", "Sparse codes")
        columns: kit.Columns = {
            "layer": lambda row: str(row["layer"]),
            "unexplained variance": lambda row: f"{row['unexplained']:.0%}",
            "atoms per image": lambda row: f"{row['n_active']:.1f} of {row['n_atoms']}",
            "never used": lambda row: f"{row['dead']:.0%}",
            "alike over starts": lambda row: kit.number(row.get("stability", float("nan"))),
            "random atoms": lambda row: kit.number(row.get("random_stability", float("nan"))),
        }
        quality = material.details(f"model-{model}_method-{method}_baselines").get("dictionaries", [])
        panels += parts
        paragraphs += [*sentences, *(_stability(label, row) for row in quality if row["layer"] == layer)]
        title = f"{label}: dictionaries by layer, on test images"
        blocks += [table, kit.row_table(pd.DataFrame(quality), columns, title)]
    return kit.Section("dictionaries", "Sparse dictionaries", panels, paragraphs, blocks) if blocks else None


def _stability(label: str, row: Mapping[str, Any]) -> str:
    """Say whether another start finds the same atoms."""
    if "stability" not in row:
        return f"{label}: one start only, so nothing shows whether another would find the same atoms; give more seeds."
    verdict = "read single atoms" if row["same"] >= 0.5 else "do not read single atoms: most depend on the start"
    return (
        f"{label}, {row['layer']}: atoms of {row['n_starts']} starts resemble each other by a cosine of "
        f"{kit.number(row['stability'])} (random atoms: {kit.number(row['random_stability'])}); {row['same']:.0%} "
        f"are the same (cosine above .9). So {verdict}. Learned from {row['n_images']:,} images."
    )
