"""The section on directions: what changes along them, what a region answers, and what directions of chance do."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import stdtrit

from brainalign.report import kit

TITLE = "Directions in the diffusion model"
MOST_REGIONS = 8  # of a figure
STRIPS = 2  # seeds of each direction


def directions_section(found: kit.FoundDirections) -> kit.Section:
    """Return the section on directions of one subject's regions."""
    gains = kit.direction_gains(found)
    images, parts = [], []
    if found.regions:
        method = _method(found)
        judge = kit.SUREST[found.judge_of(found.regions[0])]
        few = kit.drawn_of(MOST_REGIONS, len(found.regions))
        title = f"Images along each region's direction{few}"
        images.append(kit.captioned("directionstrips", title, strips(found, method)))
        title, figure = f"Response along each region's own direction ({method}){few}", direction_curves(found, method)
        parts.append(kit.captioned("directioncurves", title, figure, gains, judge=f"the {judge}"))
    if len(found.cosines) and len(found.regions) > 1:
        figure = cosine_maps(found.cosines[found.cosines["method"] == _method(found)])
        title = "Directions of regions beside each other"
        parts.append(kit.captioned("directioncosines", title, figure, found.cosines))
    free = found.table[(found.table["region"] == "") & (found.table["control"] == "")]
    if len(free):
        n = len(free.drop_duplicates(["method", "direction"]))
        title = f"Directions that no region was asked for{kit.drawn_of(MOST_REGIONS, n)}"
        images.append(kit.captioned("directionsfree", title, free_strips(found, free)))
    panels = kit.together("directionimages", "Images along directions", images)
    panels += kit.together("directionresponses", "What regions answer along their directions", parts)
    return kit.Section("directions", TITLE, panels, _sentences(found, gains), [_table(gains)] if len(gains) else [])


def _method(found: kit.FoundDirections) -> str:
    """Return the method that figures show: the first one that asked regions."""
    return str(found.table.loc[found.table["region"] != "", "method"].iloc[0])


def _sentences(found: kit.FoundDirections, gains: pd.DataFrame) -> list[str]:
    """Write the findings on directions in words that follow from the numbers."""
    n = found.table.loc[found.table["control"] == "", "seed"].nunique()
    alphas = sorted(found.table["alpha"].unique())
    texts = [
        "A direction is a map per sampling step that is added to the innermost layer of the diffusion model while an "
        f"image forms, from {alphas[0]:g} to {alphas[-1]:g} standard deviations of what seeds differ by. Directions "
        f"were found with other seeds than the {n} they are tried on; the same seeds are shown at every strength."
    ]
    if not len(gains):
        return texts
    method, failed = _method(found), []
    shown = gains[(gains["method"] == method) & ~gains["orthogonal"]]
    for region in found.regions:
        mine = shown[shown["region"] == region].set_index("judge")
        judge = found.judge_of(region)
        row = mine[mine.index == judge].iloc[0]
        how = "rises at every step" if row["monotone"] else "does not rise at every step"
        shuffled = f", those of shuffled responses by {kit.number(row['chance_shuffled'])}"
        texts.append(
            f"{region}: the {kit.SUREST[judge]} {how} along the region's direction, by {kit.number(row['gain'])} "
            f"standard deviations in all ({kit.number(row['low'])} to {kit.number(row['high'])}); random directions at "
            f"least as long change it by {kit.number(row['chance'])} at most"
            + (shuffled if row["chance_shuffled"] >= 0 else "")
            + f" (p {kit.p_equals(row['p'], 4)})."
            + (f" Besides, {row['other']} changes by {kit.number(row['other_gain'])}." if row["other"] else "")
        )
        guide = mine.loc["guide"] if "guide" in mine.index else None
        if guide is not None and guide["low"] > 0 >= row["low"] and row["high"] < guide["gain"]:
            failed.append(region)
    if failed:
        texts.append(
            f"Warning: in {', '.join(failed)} the guiding encoder rises and who judges it does not. Such a direction "
            "pleases the encoder, and there is no sign that it would please the region."
        )
    if "true" not in found.judges:
        texts.append("Nobody knows the true responses to these images; the checking encoder is a prediction as well.")
    return texts


def _table(gains: pd.DataFrame) -> Markup:
    columns: kit.Columns = {
        "region": lambda row: str(row["region"]),
        "method": lambda row: str(row["method"]) + (", others taken out" if row["orthogonal"] else ""),
        "judge": lambda row: kit.SUREST[row["judge"]],
        "change": lambda row: kit.number(row["gain"]),
        "interval": lambda row: f"{kit.number(row['low'])} to {kit.number(row['high'])}",
        "every step": lambda row: "rises" if row["monotone"] else "no",
        "random": lambda row: kit.number(row["chance"]),
        "shuffled": lambda row: kit.number(row["chance_shuffled"]),
        "p": lambda row: kit.p_number(row["p"], 4),
        "most besides": lambda row: f"{row['other']} {kit.number(row['other_gain'])}" if row["other"] else "–",
    }
    return kit.row_table(gains, columns, "Change of the response from the first strength to the last")


def strips(found: kit.FoundDirections, method: str) -> Figure:
    """Draw images of the same seeds over alpha, a panel per region."""
    return _mosaics({region: found.rows(region, method) for region in found.regions[:MOST_REGIONS]}, found.images)


def free_strips(found: kit.FoundDirections, rows: pd.DataFrame) -> Figure:
    """Draw images over alpha of directions that no region was asked for."""
    named = {
        f"{method} {int(str(direction)) + 1}": part
        for (method, direction), part in rows.groupby(["method", "direction"], sort=False)
    }
    return _mosaics(dict(list(named.items())[:MOST_REGIONS]), found.images)


def _mosaics(parts: Mapping[str, pd.DataFrame], images: NDArray[np.uint8]) -> Figure:
    figure, axes, _ = kit.panel_grid(len(parts), 2, (4.4, 2.0))
    for ax, (name, rows) in zip(axes, parts.items(), strict=False):
        alphas = sorted(rows["alpha"].unique())
        places = rows.drop_duplicates(["seed", "alpha"]).pivot(index="seed", columns="alpha", values="image")
        grid = places[alphas].to_numpy(dtype=int)[:STRIPS]
        mosaic = np.concatenate([np.concatenate(list(images[row]), axis=1) for row in grid], axis=0)
        width = images.shape[2]
        ax.imshow(mosaic, interpolation="nearest")
        ax.set_xticks(width * (np.arange(len(alphas)) + 0.5), [f"{alpha:g}" for alpha in alphas], fontsize=7)
        ax.set_yticks([])
        ax.set_title(name, fontsize=8)
    return figure


def direction_curves(found: kit.FoundDirections, method: str) -> Figure:
    """Draw what every region answers along its own direction, with directions of chance."""
    regions = found.regions[:MOST_REGIONS]
    figure, axes, _ = kit.panel_grid(len(regions), 3, (2.8, 2.6), margin=(1.0, 0.4))
    for ax, region in zip(axes, regions, strict=False):
        judge, mine = found.judge_of(region), found.rows(region, method)
        mine = mine[mine["scored"] == region]
        middle = float(mine.loc[mine["alpha"] == 0, judge].mean())
        chance = found.table[(found.table["control"] != "") & (found.table["scored"] == region)]
        for (control, _), part in chance.groupby(["control", "number"], sort=False):
            ends = part.groupby("alpha")[judge].mean()  # a straight line through the unedited mean
            line = middle + ends.to_numpy(dtype=float) - ends.mean()
            style, label = (":", "shuffled responses") if control == "shuffled" else ("-", "random directions")
            ax.plot(ends.index, line, style, color=kit.GREY, linewidth=0.6, label=label)
        for colour, name in zip(kit.COLOURS, kit.SUREST, strict=False):
            if name not in mine or mine[name].isna().all():
                continue
            values = mine.pivot(index="seed", columns="alpha", values=name)
            mean, error = values.mean(), stdtrit(len(values) - 1, 0.975) * values.sem()  # of few seeds
            ax.fill_between(mean.index, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
            ax.plot(mean.index, mean, "o-", color=colour, markersize=3, linewidth=1.2, label=kit.SUREST[name])
        ax.axhline(middle, color="black", linewidth=0.5, linestyle=":")
        kit.label_axes(ax, region, x="strength (SD)", ticks="both", size=8)
    axes[0].set_ylabel("response (SD over natural images)", fontsize=8)
    return kit.legend_below(figure, axes, 5)


def cosine_maps(table: pd.DataFrame) -> Figure:
    """Draw the cosines of regions' directions before and after what others span was taken out.

    orthogonal, region_a, region_b, cosine; of one method.
    """
    parts = {name: table[table["orthogonal"] == flag] for name, flag in (("found", False), ("others taken out", True))}
    parts = {name: part for name, part in parts.items() if len(part)}
    figure, axes = kit.new_figure(1.0 + 3.2 * len(parts), 3.2, len(parts))
    for ax, (name, part) in zip(axes, parts.items(), strict=True):
        regions = list(part["region_a"].unique())
        grid = part.pivot(index="region_a", columns="region_b", values="cosine").loc[regions, regions]
        image = ax.imshow(grid.to_numpy(dtype=float), vmin=-1, vmax=1, cmap="RdBu_r")
        for (i, j), value in np.ndenumerate(grid.to_numpy(dtype=float)):
            kit.cell_text(ax, i, j, f"{value:.2f}", dark=abs(value) > 0.68, size=6)
        ax.set_xticks(range(len(regions)), regions, fontsize=7, rotation=60, ha="right")
        ax.set_yticks(range(len(regions)), regions, fontsize=7)
        ax.set_title(name, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    return figure
