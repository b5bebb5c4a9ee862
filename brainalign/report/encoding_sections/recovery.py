"""Planted against recovered: whether the analysis finds what a simulation put in, and where it says it cannot tell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, band, cell_text, name_point, new_figure

MIN_AREAS = 3  # fewer have no rank correlation


def recovered_words(recovery: pd.DataFrame) -> list[tuple[str, str]]:
    """Say of everything that was planted in one subject how much came back: (what, in words).

    Columns are what (layer, latency, preference, ceiling), model, decided, and what was planted and recovered of each.
    """
    told = []
    for model, layers in recovery[recovery["what"] == "layer"].groupby("model", sort=False):
        decided = layers[layers["decided"].astype(bool)]
        depths = decided[["planted_depth", "recovered_depth"]].astype(float)
        exact = int((decided["planted_layer"] == decided["recovered_layer"]).sum())
        found = "no rank correlation: constant depths"
        if len(decided) < MIN_AREAS:
            found = f"no rank correlation: {len(decided)} decided area(s)"
        elif (depths.nunique() > 1).all():
            rho = float(depths.corr("spearman").to_numpy()[0, 1])
            found = f"Spearman of depths {rho:.2f}"
        if set(layers["planted_layer"]) & set(layers["recovered_layer"]):
            found += f"; {exact} of {len(decided)} layers exact"
        told.append((f"layers with {model}", f"{found}; {len(layers) - len(decided)} undecided"))
    for model, peaks in recovery[recovery["what"] == "latency"].groupby("model", sort=False):
        decided = peaks[peaks["decided"].astype(bool)]
        error = (decided["recovered_ms"] - decided["planted_ms"]).abs().max()
        found = f"largest error {error:.0f} ms in {len(decided)} decided of {len(peaks)}"
        found = found if len(decided) else f"none of {len(peaks)} latencies is decided"
        told.append((f"latencies with {model}", found))
    selective = recovery[recovery["what"] == "preference"]
    if len(selective):
        decided = selective[selective["decided"].astype(bool)]
        exact = int((decided["planted_preference"] == decided["recovered_preference"]).sum())
        found = f"{exact} of {len(decided)} exact; {len(selective) - len(decided)} undecided"
        told.append(("preferences of areas", found))
    ceilings = recovery[recovery["what"] == "ceiling"].reindex(columns=["planted", "ceiling"]).dropna()
    if len(ceilings):
        gaps = ceilings.groupby(ceilings["planted"].round(2))[["planted", "ceiling"]].mean()
        error = (gaps["ceiling"] - gaps["planted"]).abs().max()
        told.append(("ceilings", f"largest |mean − planted| of a level {error:.3f}"))
    return told


def planted_layers(rows: pd.DataFrame, layers: Sequence[str] | None = None) -> Figure:
    """Draw recovered against planted layers: their counts where the networks share layers, and their relative depths.

    A row per area (and subject): area, planted, recovered (names of layers), planted_depth, recovered_depth (0 first
    layer, 1 last), decided (bool), reason. Undecided areas are counted and left out. `layers` are those of both axes of
    the counts; without them (another network than the generating one) only depths are drawn.
    """
    decided = rows[rows["decided"].astype(bool)]
    figure, axes = new_figure(8.6 if layers else 4.4, 3.5, 2 if layers else 1)
    if layers:
        _confusion(axes[0], decided, layers, "layer")
    ax = axes[-1]
    ax.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=0.8)
    rho = float(decided[["planted_depth", "recovered_depth"]].astype(float).corr("spearman").to_numpy()[0, 1])
    title = f"Spearman {rho:.2f} over {len(decided)} areas"
    if np.isnan(rho):
        title = f"no rank correlation: {len(decided)} areas with a constant depth"
    ax.scatter(decided["planted_depth"], decided["recovered_depth"], s=28, color=COLOURS[0], alpha=0.8)
    taken = decided.groupby(["planted_depth", "recovered_depth"], sort=False)["area"].unique().reset_index()
    for x, y, unique in taken.itertuples(index=False):
        text = ", ".join(map(str, unique[:3])) + (f" +{len(unique) - 3}" if len(unique) > 3 else "")
        beside, ha = (-5, "right") if x > 0.6 else (5, "left")  # else the name runs out of the axes
        name_point(ax, text, (x, y), (beside, 3), ha=ha)
    ax.set(xlabel="planted relative depth", ylabel="recovered relative depth", xlim=(-0.06, 1.06), ylim=(-0.06, 1.06))
    ax.set_title(f"{title}\n{_undecided(rows, 'areas')}", fontsize=8)
    return figure


def _undecided(rows: pd.DataFrame, what: str) -> str:
    """Count the undecided rows, and give the most frequent reason."""
    left = rows[~rows["decided"].astype(bool)]
    if left.empty:
        return f"undecided: 0 of {len(rows)} {what}"
    reason = left["reason"].value_counts()
    return f"undecided: {len(left)} of {len(rows)} {what}\n({reason.index[0]})"


def _confusion(ax: Axes, decided: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Draw counts of planted (rows) and recovered (columns) names."""
    table = pd.crosstab(decided["planted"], decided["recovered"])
    counts = table.reindex(index=list(names), columns=list(names), fill_value=0).to_numpy()
    ax.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.max(initial=0), 1) * 1.2)
    for i, j in np.argwhere(counts > 0):
        cell_text(ax, i, j, str(counts[i, j]), dark=counts[i, j] > 0.6 * counts.max(), size=8)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_title(f"exact in {int(np.trace(counts))} of {len(decided)} decided", fontsize=8)
    ax.set(xlabel=f"recovered {what}", ylabel=f"planted {what}")


def planted_latencies(rows: pd.DataFrame, sample_ms: float) -> Figure:
    """Draw recovered against planted latencies with intervals; the band is max(12 ms, one sample) wide on each side.

    A row per layer (and subject): layer, planted_ms, recovered_ms, low_ms, high_ms (interval), decided, reason;
    modality (meg, eeg) is coloured where there is such a column. `sample_ms` is the time between samples.
    """
    tolerance = max(12.0, sample_ms)
    decided = rows[rows["decided"].astype(bool)]
    figure, (ax,) = new_figure(4.8, 4.1)
    kinds = list(pd.unique(rows["modality"])) if "modality" in rows.columns else [""]
    for k, kind in enumerate(kinds):
        part = decided[decided["modality"] == kind] if kind else decided
        x = part["planted_ms"] + 1.5 * (k - (len(kinds) - 1) / 2)  # beside each other, not on top
        spread = np.maximum([part["recovered_ms"] - part["low_ms"], part["high_ms"] - part["recovered_ms"]], 0)
        ax.errorbar(
            x, part["recovered_ms"], spread, fmt="o", color=COLOURS[k], markersize=4, capsize=2, label=kind or None
        )
    low, high = ax.get_xlim() if len(decided) else (0.0, 1.0)
    ends = np.array([low - 15, high + 15])
    ax.plot(ends, ends, color="black", linestyle="--", linewidth=0.8)
    band(ax, ends, ends - tolerance, ends + tolerance, GREY, f"within {tolerance:g} ms", alpha=0.2)
    inside = int((np.abs(decided["recovered_ms"] - decided["planted_ms"]) <= tolerance).sum())
    found = f"{inside} of {len(decided)} decided within {tolerance:g} ms"
    ax.set_title(f"{found}\n{_undecided(rows, 'latencies')}", fontsize=8)
    ax.set(xlabel="planted latency (ms)", ylabel="recovered latency (ms)", xlim=tuple(ends))
    ax.legend(fontsize=7, frameon=False, loc="upper left")
    return figure


def planted_ceilings(rows: pd.DataFrame, tolerance: float = 0.02) -> Figure:
    """Draw estimated against planted noise ceilings per planted level: targets, their mean, and its allowed error.

    A row per target: planted and ceiling (estimate, not clamped), shares of variance; `tolerance` is the allowed |mean
    − planted|.
    """
    levels = rows.groupby(rows["planted"].round(3))["ceiling"]
    figure, (ax, gap) = new_figure(8.4, 3.4, 2)
    rng = np.random.default_rng(0)
    for level, values in levels:
        drawn = values.sample(min(len(values), 250), random_state=0)
        ax.plot(level + rng.uniform(-0.008, 0.008, len(drawn)), drawn, ".", color=COLOURS[4], markersize=2, alpha=0.5)
        ax.errorbar(level, values.mean(), values.std(), fmt="o", color=COLOURS[0], markersize=5, capsize=3)
        error, se = values.mean() - level, values.std() / np.sqrt(len(values))
        colour = COLOURS[5] if abs(error) > tolerance else COLOURS[0]
        gap.errorbar(level, error, 2 * se, fmt="o", color=colour, markersize=5, capsize=3)
    sizes = levels.size()
    n = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    gap.set_title(f"{n} targets per planted level", fontsize=8)
    top = max(float(rows["planted"].max()), 0.1)
    ax.plot([0, top], [0, top], color="black", linestyle="--", linewidth=0.8)
    ax.set(xlabel="planted ceiling (share of variance)", ylabel="estimated ceiling (mean, sd)")
    gap.axhspan(-tolerance, tolerance, color=GREY, alpha=0.2, linewidth=0, label=f"within ± {tolerance:g}")
    gap.axhline(0, color="black", linewidth=0.8, linestyle="--")
    reach = max(np.abs(gap.get_ylim()).max(), 1.6 * tolerance)
    gap.set(xlabel="planted ceiling (share of variance)", ylabel="mean estimate − planted (2 SE)", ylim=(-reach, reach))
    gap.margins(x=0.15)
    gap.legend(fontsize=7, frameon=False, loc="lower left")
    return figure


def planted_preferences(rows: pd.DataFrame) -> Figure:
    """Draw counts of planted (rows) and recovered (columns) preferences of regions.

    Columns of a row per area (and subject): area, planted, recovered, decided (bool), reason.
    """
    decided = rows[rows["decided"].astype(bool)]
    shown = list(dict.fromkeys([*rows["planted"], *decided["recovered"]]))
    figure, (ax,) = new_figure(2.6 + 0.42 * len(shown), 2.0 + 0.36 * len(shown))
    _confusion(ax, decided, shown, "preference")
    ax.set_title(f"{ax.get_title()}\n{_undecided(rows, 'areas')}", fontsize=8)
    return figure
