"""Few images: in-context encoding beside ridge as a subject is shown more of them, and texts that regions prefer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from brainalign.report import kit
from brainalign.statistics import RELIABLE

# The colour of a method is the same on every page; the control is grey.
METHODS = {
    "in_context": ("in-context", kit.COLOURS[0], "o"),
    "empirical_bayes": ("empirical-Bayes ridge", kit.COLOURS[1], "s"),
    "ridge_pooled": ("ridge, one penalty", kit.COLOURS[2], "^"),
    "ridge_per_target": ("ridge, a penalty each", kit.COLOURS[3], "v"),
    "shuffled_context": ("in-context, responses exchanged", kit.GREY, "x"),
}
FULL = "ridge_full"
TAKEN = {
    "in_context": "in-context",
    "empirical_bayes": "empirical-Bayes ridge (fell back)",
    "ridge": "ridge (fell back)",
}
RIVALS = ("empirical_bayes", "ridge_pooled")  # what superiority is claimed over
MOST_REGIONS = 8  # panels
LOWEST = -0.5  # of the axis: ridge with a penalty each can fall far below any other line


def context_curves(rows: pd.DataFrame) -> Figure:
    """Draw explained variance against the number of images, a panel per region.

    A row per group, method and size: explained_variance, se, ceiling, beyond. Groups in the order of their first row.
    """
    regions = list(pd.unique(rows["group"]))
    figure, axes, columns = kit.panel_grid(len(regions), 4, (2.2, 2.3), margin=(1.0, 1.0), least=6.0)
    for k, (ax, region) in enumerate(zip(axes, regions, strict=False)):
        _panel(ax, rows[rows["group"] == region])
        ax.set_title(region, fontsize=9)
        if k % columns == 0:
            ax.set_ylabel("explained variance", fontsize=8)
        if k >= len(regions) - columns:
            ax.set_xlabel("images in the context", fontsize=8)
    kit.share_axis(axes)
    for ax in axes:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], LOWEST))
    kit.legend_below(figure, axes, 4 if columns > 2 else 3)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    for place, (method, (label, colour, marker)) in enumerate(METHODS.items()):
        above = 3 - 0.1 * place  # the first lies on top
        mine = rows[rows["method"] == method].sort_values("size")
        if mine.empty:
            continue
        value, error = mine["explained_variance"], mine["se"].fillna(0)
        ax.fill_between(mine["size"], value - error, value + error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(mine["size"], value, color=colour, linewidth=1.3, zorder=above)
        for beyond, part in mine.groupby("beyond"):
            face = "white" if beyond else colour
            name = "_" if beyond else label  # names with an underscore stay out of the legend
            style: dict[str, Any] = {"color": colour, "mfc": face, "ms": 4, "label": name, "zorder": above + 0.05}
            ax.plot(part["size"], part["explained_variance"], marker, **style)
    full = rows.loc[rows["method"] == FULL, "explained_variance"]
    if len(full):
        ax.axhline(full.iloc[0], color=kit.GREY, linewidth=1, label="ridge, all training images")
    ceiling = rows["ceiling"].iloc[0]
    if np.isfinite(ceiling):
        ax.axhline(ceiling, color="black", linestyle="--", linewidth=0.8, label="noise ceiling")
    ax.axhline(0, color=kit.GREY, linestyle=":", linewidth=0.8, label="the mean")
    sizes = sorted(rows.loc[rows["method"] != FULL, "size"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=7)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="y", labelsize=7)


def few_images_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on in-context encoding; None where no method asks for it."""
    panels: list[kit.Panel] = []
    paragraphs: list[str] = []
    blocks: list[Markup] = []
    for (model, method), encoding in material.encodings.items():
        if encoding.curve.empty:
            continue
        label, layer = material.fit_label(model, method), material.chosen(model, method)
        about = material.details(f"model-{model}_method-{method}_curve")
        rows = encoding.curve[encoding.curve["layer"] == layer]
        regions = _regions(rows)
        shown = pd.concat([rows[rows["group"] == region] for region in regions])
        words: dict[str, Any] = {
            "model": label,
            "layer": layer,
            "n_repeats": int(rows.loc[rows["method"] != FULL, "n_repeats"].max()),
            "n_pool": int(rows.loc[rows["method"] == FULL, "size"].max()),
            "ceiling": rows["ceiling"].notna().any(),
            "cut": (shown["explained_variance"] < LOWEST).any(),
        }
        n_named = rows.loc[rows["group"] != RELIABLE, "group"].nunique()
        title = f"{label}, {layer}: from few images to many{kit.drawn_of(MOST_REGIONS, n_named)}"
        figure, place = context_curves(shown), f"curve{model}{method}"
        parts = [kit.captioned("fewimages", title, figure, rows, id=place, **words)]
        paragraphs += _sentences(material, label, layer, rows, about)
        texts = pd.DataFrame(about["layers"][layer].get("texts", []))
        if len(texts):
            parts.append(text_panel(f"texts{model}{method}", label, material.subject, texts, regions))
        panels += kit.together(f"few{model}{method}", f"{label} from few images", parts)
        blocks.append(_fallback_table(label, about["layers"][layer]))
        blocks.append(_score_table(label, rows[rows["group"] == RELIABLE], material.config.confidence))
    return kit.Section("fewimages", "Few images: in-context encoding", panels, paragraphs, blocks) if panels else None


def _regions(rows: pd.DataFrame) -> list[str]:
    """Return the regions to draw, those of most targets where there are many; all targets where there is none."""
    sizes = rows.drop_duplicates("group").set_index("group")["n_targets"]
    named = sizes.drop(RELIABLE, errors="ignore")
    if named.empty:
        return [str(name) for name in sizes.index]
    largest = set(named.nlargest(MOST_REGIONS).index)
    return [str(name) for name in named.index if name in largest]


def _sentences(
    material: kit.ImageMaterial, label: str, layer: str, rows: pd.DataFrame, about: Mapping[str, Any]
) -> list[str]:
    """Describe the meta-training, its subjects and its cost, and state the claims that the scores allow."""
    mine = about["layers"][layer]
    others = ", ".join(
        f"{name} ({use['n_voxels']:,} voxels, {use['n_images']:,} images)" for name, use in about["subjects"].items()
    )
    seeds, spread = len(mine["seed_r"]), ""
    if seeds > 1:
        sd = float(np.std(mine["seed_r"], ddof=1))
        spread = f" Single seeds: mean r {kit.number(float(np.mean(mine['seed_r'])))} ± {kit.number(sd)}."
    trained = (
        f"{label}: a network of {mine['n_parameters']:,} parameters ({seeds} seed{'s' if seeds > 1 else ''}, "
        f"{mine['seconds']:.0f} s of pre-training for layer {layer}) was meta-trained on training images of subject "
        f"{others}, and on nothing of subject {material.subject}. Features: {mine['n_components']} principal "
        f"components of {mine['n_features']} ({mine['variance']:.0%} of their variance), at unit length. Scores "
        f"elsewhere on this page are of {mine['n_context']} training images of this subject, the largest context of "
        f"training or all there are; no weight of the network was changed by them.{spread}"
    )
    verdicts = _verdicts(label, rows[rows["group"] == RELIABLE])
    return [*_trailing(label, rows[rows["group"] == RELIABLE]), trained, *verdicts]


def _trailing(label: str, rows: pd.DataFrame) -> list[str]:
    """Return at which sizes a simpler method is ahead, in front of everything else; empty where none is."""
    parts, clear = [], "Nowhere does the interval exclude 0."
    for rival in RIVALS:
        ahead = rows[(rows["method"] == rival) & (rows["difference"].round(3) < 0)]  # where it was taken they are equal
        if len(ahead):
            sizes = ", ".join(
                f"{row['size']} (by {kit.number(-row['difference'])}{', clear' if row['high'] < 0 else ''})"
                for _, row in ahead.iterrows()
            )
            parts.append(f"{METHODS[rival][0]} at {sizes}")
        if (ahead["high"] < 0).any():
            clear = "Clear: the interval over contexts excludes 0."
    if not parts:
        return []
    return [
        f"{label}: in-context encoding trails a simpler method, in explained variance over all reliable targets: "
        f"{'; '.join(parts)}. {clear}"
    ]


def _verdicts(label: str, rows: pd.DataFrame) -> list[str]:
    """Say at which sizes in-context encoding is ahead of what it must beat: where the paired interval excludes 0."""
    found, rows = [], rows.round(3)  # where a fall-back was taken they are equal
    for rival in RIVALS:
        mine = rows[(rows["method"] == rival) & rows["low"].notna()]
        if mine.empty:
            continue
        groups: dict[str, Sequence[int]] = {
            "ahead": mine.loc[mine["low"] > 0, "size"].tolist(),
            "behind": mine.loc[mine["high"] < 0, "size"].tolist(),
            "undecided": mine.loc[(mine["low"] <= 0) & (mine["high"] >= 0), "size"].tolist(),
        }
        parts = [f"{what} at {', '.join(map(str, sizes))}" for what, sizes in groups.items() if sizes]
        found.append(f"against {METHODS[rival][0]}: {'; '.join(parts)}")
    if not found:
        return [f"{label}: with one context of each size nothing can be said of differences; raise n_repeats."]
    both = [size for size, mine in rows[rows["method"].isin(RIVALS)].groupby("size") if (mine["low"] > 0).all()]
    verdict = (
        f"Better than both at {', '.join(map(str, both))}." if both else "It is not claimed to be better than both."
    )
    return [
        f"{label}, images at which in-context encoding is ahead or behind over all reliable targets, "
        f"{', '.join(found)} (paired intervals over contexts, for these test images; not corrected for the number of "
        f"sizes). {verdict}"
    ]


def _fallback_table(label: str, about: Mapping[str, Any]) -> Markup:
    """Tabulate the method taken in each region, in-context or a ridge fall-back, with the errors that decided it."""
    if not about["fallbacks"]:
        return Markup("<p>{}: no fall-back was asked for, so in-context weights stand everywhere.</p>").format(label)
    several = len(about["seed_r"]) > 1
    columns: kit.Columns = {
        "region": lambda row: f"{row['group']} (seed {row['seed']})" if several else str(row["group"]),
        "targets": lambda row: f"{int(row['n_targets']):,}",
        "error, in-context": lambda row: kit.number(row["in_context"]),
        "error, empirical Bayes": lambda row: kit.number(row["empirical_bayes"]),
        "error, ridge": lambda row: kit.number(row["ridge"]),
        "taken": lambda row: TAKEN[row["taken"]],
    }
    title = f"{label}: leave-one-out errors on the {about['n_context']} images of the context"
    note = Markup(
        '<p class="soft">{}, in units of their variance (1: no better than the mean), region by region, before any '
        "test image is seen. The network stays unless empirical-Bayes ridge is better by more than a standard error "
        "over images; the better of the two must beat ridge by as much, or ridge is taken.</p>"
    ).format(title)
    return kit.row_table(pd.DataFrame(about["fallbacks"]), columns, title) + note


def _score_table(label: str, rows: pd.DataFrame, confidence: float) -> Markup:
    names = {method: name for method, (name, _, _) in METHODS.items()} | {FULL: "ridge, all training images"}
    columns: kit.Columns = {
        "method": lambda row: names.get(row["method"], row["method"]),
        "images": lambda row: str(row["size"]),
        "explained variance": lambda row: _with_error(row["explained_variance"], row["se"]),
        "r": lambda row: _with_error(row["r"], row["r_se"]),
        "in-context ahead by": lambda row: (
            "–" if np.isnan(row["low"]) or row["method"] == "in_context" else kit.with_interval(row, "difference")
        ),
    }
    return kit.row_table(rows, columns, f"{label}: over all reliable targets, {confidence:.0%} intervals")


def _with_error(value: float, error: float) -> str:
    return f"{kit.number(value)} ± {kit.number(error)}" if np.isfinite(error) else kit.number(value)


MOST_TEXTS = 5  # bars of a region


def text_bars(rows: pd.DataFrame) -> Figure:
    """Draw the texts that move each region most, a panel per region, beside what chance reaches.

    A row per group and text: selectivity, chance. Groups in the order of their first row.
    """
    regions = list(pd.unique(rows["group"]))
    figure, axes, _ = kit.panel_grid(len(regions), 3, (2.7, 1.7), margin=(1.0, 0.7), least=5.6)
    for ax, region in zip(axes, regions, strict=False):
        mine = rows[rows["group"] == region].nlargest(MOST_TEXTS, "selectivity")
        chance = float(mine["chance"].iloc[0])
        colours = [kit.COLOURS[0] if value > chance else kit.GREY for value in mine["selectivity"]]
        ax.barh(range(len(mine)), mine["selectivity"], color=colours)
        ax.axvline(chance, color="black", linestyle="--", linewidth=0.8)
        ax.axvline(0, color=kit.GREY, linewidth=0.6)
        ax.set_yticks(range(len(mine)), mine["text"], fontsize=7, parse_math=False)
        ax.invert_yaxis()
        kit.label_axes(ax, region, x="standard deviations", ticks="x")
    kit.share_axis(axes, x=True, y=False)
    return figure


def text_panel(name: str, label: str, subject: str, texts: pd.DataFrame, regions: Sequence[str]) -> kit.Panel:
    """Return the figure of the best texts of some regions, with a table of those beyond chance.

    texts: As for `text_bars`.
    """
    shown = pd.concat([texts[texts["group"] == region] for region in regions])
    n_texts = texts["text"].nunique()
    words: dict[str, Any] = {"n": min(MOST_TEXTS, n_texts), "subject": subject, "n_texts": n_texts}
    cells = []
    for region, mine in shown.groupby("group", sort=False):
        beyond = mine[mine["selectivity"] > mine["chance"]].nlargest(MOST_TEXTS, "selectivity")
        told = ", ".join(f"{row['text']} ({kit.number(row['selectivity'])})" for _, row in beyond.iterrows())
        cells.append([str(region), told or "none", kit.number(mine["chance"].iloc[0])])
    table = kit.html_table(["region", "texts beyond chance", "chance"], cells, f"Texts of {label}")
    title = f"Texts that {label} prefers"
    return kit.captioned("texts", title, text_bars(shown), texts, id=name, html=table, **words)
