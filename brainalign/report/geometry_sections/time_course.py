"""Scores over time: which layer predicts the sensors when, how certain that is, topographies, geometry over time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report import kit
from brainalign.report.geometry_sections.reference_rdms import reference_bars
from brainalign.statistics import RELIABLE
from brainalign.statistics.summary import Encoding


def course_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on scores over time (s from the stimulus), latencies of layers and topographies.

    None where nothing was fitted, or responses have no times.
    """
    if not material.timed or not material.encodings or material.responses is None:
        return None
    rows = pd.concat([_course(material, key) for key in material.encodings], ignore_index=True)
    peaks = pd.concat([_peaks(material, key) for key in material.encodings], ignore_index=True)
    chosen = _of_chosen_layers(material, rows)
    names: dict[str, Any] = {"models": material.fit_labels(material.models)}
    names["random_weights"] = material.fit_labels(material.controls)
    figure = score_over_time(chosen, _clusters(material), _of_chosen_layers(material, peaks), **names)
    panels = [kit.captioned("timecourse", "Score over time, layer chosen in training", figure, rows, id="course")]
    separate = [material.fit_label(*key) for key in material.of_layers]
    n_layers = rows.groupby("model")["layer"].nunique()
    several = [name for name in separate if n_layers[name] > 1]
    if several:
        every = score_over_time(rows[rows["model"] == several[0]], peaks=peaks[peaks["model"] == several[0]])
        title = f"Score over time, every layer of {several[0]}"
        panels.append(kit.captioned("timecourse", title, every, id="courselayers"))
    told = [_peak(chosen, "mean_r", "mean r", "times", n_rows=len(rows))]
    if separate:
        peaks = peaks[peaks["model"].isin(separate)]
        figure = layer_latencies(peaks, material.fit_labels(material.models))
        panels.append(kit.captioned("latency", "When each layer predicts best", figure, peaks, id="latencies"))
        told += _latencies(peaks[peaks["model"] == several[0]]) if several else []
    model, method = material.leading(material.encodings)
    layer, encoding = material.chosen(model, method), material.encodings[model, method]
    scores, found = (of[of["layer"] == layer] for of in (encoding.scores, encoding.clusters))
    scores = scores.assign(significant=_in_clusters(scores, found))
    panels += _heads(material.responses.targets, scores, f"{model}, {layer}", "r on test stimuli", clusters=True)
    return kit.Section("time", "Scores over time", panels, told)


def _latencies(peaks: pd.DataFrame) -> list[str]:
    """State when the layers of a model predict best (ms, with intervals): those that are decided."""
    decided = peaks[peaks["decided"].astype(bool)]
    times = [
        f"{row['layer']} at {1000 * row['peak_s']:.0f} ms [{1000 * row['low_s']:.0f} to {1000 * row['high_s']:.0f}]"
        for _, row in decided.iterrows()
    ]
    of = f"{len(decided)} of {len(peaks)} layers of {peaks['model'].iloc[0]}"
    return [f"The time of the largest score is decided in {of}{': ' * bool(times)}{', '.join(times)}."]


def _peak(rows: pd.DataFrame, score: str, words: str, corrected: str, n_rows: int = 0) -> str:
    """State which model comes highest, when, and its p; of `n_rows` may be layers that training did not choose."""
    top = rows.sort_values(score, ascending=False).iloc[0]
    name = kit.space_name(top["model"], top["layer"])
    p = kit.corrected_p(top["p_fwer"], corrected)
    among = "Of layers chosen in training, " * (len(rows) < n_rows)
    return f"{among}{name} reaches the highest {words}, {kit.number(top[score])}, at {1000 * top['time_s']:.0f} ms{p}."


def _of_chosen_layers(material: kit.ImageMaterial, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the layer of every fit that was chosen in training."""
    chosen = {(material.fit_label(*key), material.chosen(*key)) for key in material.encodings}
    return table[[pair in chosen for pair in zip(table["model"], table["layer"], strict=True)]]


def _course(material: kit.ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    mean = encoding.profile[encoding.profile["group"] != RELIABLE]
    mean = mean.assign(time_s=mean["group"].astype(float), mean_r=mean["r"])
    # Of every layer the sensor with the largest mean score over time: shown, not tested.
    best = encoding.scores.pivot_table("r", "layer", "target_id").idxmax(axis=1)
    scores = encoding.scores[encoding.scores["target_id"] == encoding.scores["layer"].map(best)]
    table = mean.merge(
        scores.assign(time_s=scores["time_s"].round(4))[["layer", "time_s", "r"]].rename(columns={"r": "best_r"}),
        on=["layer", "time_s"],
        how="left",
    )
    columns = ["layer", "time_s", "mean_r", "low", "high", "best_r", "null_mean", "null_low", "null_high", "p_fwer"]
    return table[columns].assign(model=material.fit_label(*key))


def _peaks(material: kit.ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    names = {"peak": "peak_s", "peak_low": "low_s", "peak_high": "high_s"}
    table = material.encodings[key].preference.rename(columns=names)
    columns = ["layer", "peak_s", "low_s", "high_s", "onset", "decided", "reason"]
    return table[columns].assign(model=material.fit_label(*key))


def _clusters(material: kit.ImageMaterial) -> pd.DataFrame:
    """Return when significant clusters of the layer chosen in training last; those that overlap in time as one."""
    rows = []
    for (model, method), encoding in material.encodings.items():
        layer = material.chosen(model, method)
        mine = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
        spans: list[list[float]] = []
        for _, cluster in mine.sort_values("start").iterrows():
            if spans and cluster["start"] <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], cluster["stop"])
                spans[-1][2] = max(spans[-1][2], cluster["p"])
            else:
                spans.append([cluster["start"], cluster["stop"], cluster["p"]])
        name = material.fit_label(model, method)
        rows += [{"model": name, "layer": layer, "start_s": a, "stop_s": b, "p": p} for a, b, p in spans]
    return pd.DataFrame(rows, columns=["model", "layer", "start_s", "stop_s", "p"])


def _in_clusters(scores: pd.DataFrame, clusters: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the scores of sensors over time that lie in a significant cluster."""
    marks: NDArray[np.bool_] = np.zeros(len(scores), dtype=bool)
    for _, cluster in clusters[clusters["p"] < kit.LEVEL].iterrows():
        during = scores["time_s"].between(cluster["start"], cluster["stop"])
        marks |= (during & scores["target_id"].isin(cluster["sensors"])).to_numpy()
    return marks & (scores["p"] < kit.LEVEL).to_numpy()  # a sensor need not be in it as long as the cluster lasts


def _heads(
    targets: pd.DataFrame, scores: pd.DataFrame, name: str, label: str, *, clusters: bool = False
) -> Iterator[kit.Panel]:
    """Yield maps of the head at peaks, or of electrodes at the best time after onset; nothing without their places."""
    if kit.lie_on_the_head(targets):
        figure, title = kit.topomaps(scores, targets, label=label), f"Topography of r ({name})"
        yield kit.captioned("topomap", title, figure, id="topography", clusters=clusters)
        return
    means = scores[scores["time_s"] >= 0].groupby("time_s")["r"].mean().dropna()
    if means.empty:
        return
    best = float(means.index[int(means.to_numpy().argmax())])
    shown = scores[scores["time_s"] == best].set_index("target_id").reindex(targets["target_id"])
    vmax, sure = float(shown["r"].abs().max()), shown["significant"].eq(True).to_numpy()
    drawn = kit.place_map(targets, shown["r"].to_numpy(), label=label, vmax=vmax, outline=sure)
    if drawn is not None:
        title = f"Where r lies at {1000 * best:.0f} ms ({name})"
        yield kit.captioned("electrodes", title, drawn.figure, html=drawn.slices, clusters=clusters)


def left_out_course_section(material: kit.Material) -> kit.Section | None:
    """Return the section on scores over time of runs left out in turn: every model with the first method.

    Each is the mean over its layers; those of networks are also drawn one by one. None where nothing was fitted.
    """
    if not material.encodings or material.responses is None:
        return None
    first = material.first
    mine = {model: encoding for (model, method), encoding in material.encodings.items() if method == first.method}
    courses = [_left_out_course(encoding, first.split).assign(model=model) for model, encoding in mine.items()]
    rows = pd.concat(courses, ignore_index=True)
    pooled = rows.groupby(["model", "time_s"], sort=False, as_index=False).mean(numeric_only=True).assign(layer="all")
    names: dict[str, Any] = {
        "models": material.models,
        "random_weights": material.controls,
        "measure": f"r in {material.tested}",
    }
    figure = score_over_time(pooled, **names)
    caption = kit.CAPTIONS["leftoutcourse"].format(tested=material.tested)
    panels = [kit.Panel("course", f"Score over time ({first.method})", caption, figure, rows)]
    for model in material.layered_models:
        if model in mine:
            every = score_over_time(rows[rows["model"] == model], **names)
            title = f"Score over time, every layer of {model}"
            panels.append(kit.Panel(f"courselayers-{model}", title, caption, every))
    scores, name = first.of(first.encoding.scores), f"{material.name_of(first.model, first.layer)}, {first.method}"
    course = scores.groupby("time_s")["r"].mean()
    if course.isna().all():
        return kit.Section("time", "Scores over time", panels, [f"{name}: no sensor has a score."])
    scores = scores.assign(significant=scores["p_fwer"] < kit.LEVEL)
    panels += _heads(material.responses.targets, scores, name, names["measure"])
    peak_s = course.index.to_numpy(dtype=float)[int(course.argmax())]
    text = (
        f"{name}: the mean over sensors is largest at {1000 * peak_s:.0f} ms. Marked sensors have p < .05, corrected "
        "by the maximum over sensors and times."
    )
    return kit.Section("time", "Scores over time", panels, [text])


def _left_out_course(encoding: Encoding, split: str) -> pd.DataFrame:
    """Return a row per layer and time: mean r over sensors, r of the best one, and what permutations stay below."""
    scores = encoding.scores[encoding.scores["split"] == split]
    best = scores.pivot_table("r", "layer", "target_id").idxmax(axis=1)
    of_best = scores[scores["target_id"] == scores["layer"].map(best)].set_index(["layer", "time_s"])["r"]
    rows = scores.groupby(["layer", "time_s"], sort=False)["r"].mean().rename("mean_r").reset_index()
    keys = pd.MultiIndex.from_frame(rows[["layer", "time_s"]])
    limits = encoding.null[encoding.null["split"] == split].groupby("layer")["max_r"].quantile(0.95)
    largest = rows["layer"].map(limits).astype(float)
    # Chance of the mean over sensors was not kept, so that no band is drawn under it.
    return rows.assign(best_r=of_best.reindex(keys).to_numpy(), null_low=0.0, null_high=np.nan, best_null_high=largest)


def rsa_course_section(material: kit.SubjectMaterial) -> kit.Section | None:
    """Return the section on the fit of RDMs over time; None where no layer has one."""
    if material.comparison is None:
        return None
    table = material.comparison
    rows = table.assign(
        time_s=table["group"].astype(float),
        low=table["score"] - 2 * table["se"],
        high=table["score"] + 2 * table["se"],
        null_low=2 * table["null_mean"] - table["null_high"],
    )
    best = best_layers(rows)
    if best.empty:
        return None
    figure = rsa_over_time(best, models=material.models, random_weights=material.controls)
    panel = kit.captioned("rsatime", "RSA over time", figure, best, id="rsa")
    told = _peak(best, "score", "fit of RDMs", "times and layers")
    at = "at " + (1000 * rows["time_s"]).map("{:.0f} ms".format)
    return kit.Section("geometry", "Geometry over time", [panel], [told, *undrawn_layers(rows.assign(place=at), best)])


def region_bars(
    table: pd.DataFrame, material: kit.SubjectMaterial
) -> "tuple[kit.Panel, pd.Series[Any], list[str]] | None":
    """Return the bars of every region's RDM, the closest layer of all, and what to say; None where nothing fits."""
    best = best_layers(table.assign(reference=table["group"]))
    if best.empty:
        return None
    panel = kit.captioned(
        "regionbars",
        "RSA by region",
        reference_bars(best, models=material.models, controls=material.controls),
        table,
        id="rsaregions",
        ceiling=best["ceiling_high"].notna().any(),
        random=best["model"].isin(material.controls).any(),
        combined="kind" in best and (best["kind"] == "combination").any(),
    )
    top = best.sort_values("score", ascending=False).iloc[0]
    limits = [kit.number(top[name]) for name in ("ceiling_low", "ceiling_high")]
    name, n_regions = kit.space_name(top["model"], top["layer"]), best["reference"].nunique()
    of = f" of {top['reference']}" * (top["reference"] != "all")
    which = f"the RDM{of}" if n_regions == 1 else f"RDMs{of}, of {n_regions} regions"
    text = f"{name} comes closest to {which}: {kit.number(top['score'])}"
    text += kit.corrected_p(top["p_fwer"], "regions and layers")
    known = f", noise ceiling {' to '.join(limits)}." if np.isfinite(top["ceiling_high"]) else "."
    undrawn = undrawn_layers(table.assign(place="to " + table["group"].astype(str)), best)
    return panel, top, [text + known, *undrawn]


def undrawn_layers(table: pd.DataFrame, drawn: pd.DataFrame) -> list[str]:
    """Name layers without a curve or bar that fit best somewhere: there the drawn layer of each model says little.

    `table` has the rows of `drawn`, and besides those of all other layers, with `place`, in words.
    """
    firsts = table.loc[table.dropna(subset=["score"]).groupby("group", sort=False)["score"].idxmax()]
    others = firsts[~firsts.index.isin(drawn.index) & (firsts["p_fwer"] < kit.LEVEL)]
    if "time_s" in table:  # neighbouring times say the same
        others = others.sort_values("score", ascending=False).drop_duplicates(["model", "layer"])
    closer = [
        f"{kit.space_name(row['model'], row['layer'])} {row['place']} ({kit.number(row['score'])}, p "
        f"{kit.p_equals(row['p_fwer'])})"
        for _, row in others.iterrows()
    ]
    more = f" and {len(closer) - 5} more" * (len(closer) > 5)
    return [f"Layers that are not drawn come closest elsewhere: {', '.join(closer[:5])}{more}."] * bool(closer)


def best_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one layer per model, given an error for its largest mean fit, and of combined layers."""
    combined = table["kind"].eq("combination") if "kind" in table else False
    return table[table["se"].notna() | combined]


def score_over_time(
    rows: pd.DataFrame,
    clusters: pd.DataFrame | None = None,
    peaks: pd.DataFrame | None = None,
    *,
    models: Sequence[str] | None = None,
    random_weights: Sequence[str] = (),
    measure: str = "r on test stimuli",
) -> Figure:
    """Draw the score over time, mean over sensors and best sensor, with null band, clusters and peaks.

    Parameters
    ----------
    rows : DataFrame
        A row per model, layer and time_s (s from stimulus onset): mean_r, best_r (of the sensor that is best over the
        whole epoch, picked on the same stimuli, or NaN), null_low and null_high (2.5 and 97.5 % of the permuted mean),
        and, where known, best_null_high (95 % of the permuted best).
    clusters : DataFrame, optional
        model, layer, start_s, stop_s, p: intervals of a cluster permutation test of mean_r. Those with p < .05 are
        drawn full, others pale.
    peaks : DataFrame, optional
        model, layer, peak_s, low_s, high_s, decided, reason: latencies; undecided ones are not drawn.
    models : sequence of str, optional
        Every model of the study, for colours that agree with other figures.
    random_weights : sequence of str
        Models drawn in grey.
    measure : str
        What the vertical axis shows.
    """
    colours = _series_colours(rows, models, random_weights)
    n_bars = 0 if clusters is None else len(clusters.drop_duplicates(["model", "layer"]))
    figure = Figure(figsize=(8.8, 3.5 + 0.16 * n_bars), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[2.6, max(0.16 * n_bars, 0.01)])
    mean = figure.add_subplot(grid[0, 0])
    best, bars = (figure.add_subplot(place, sharex=mean) for place in (grid[0, 1], grid[1, 0]))
    for ax in (mean, best, bars):
        ax.spines[["top", "right"]].set_visible(False)
    bars.set_visible(n_bars > 0)
    for ax, column in ((mean, "mean_r"), (best, "best_r")):
        for (model, layer), part in rows.groupby(["model", "layer"], sort=False):
            ordered = part.sort_values("time_s")
            key = (str(model), str(layer))
            style, label = "--" if model in random_weights else "-", kit.legend_name(_name(rows, key))
            ax.plot(1000 * ordered["time_s"], ordered[column], style, color=colours[key], linewidth=1.3, label=label)
    for ax, low, high in ((mean, "null_low", "null_high"), (best, "null_low", "best_null_high")):
        if high in rows.columns:
            band = rows.groupby("time_s").agg(low=(low, "min"), high=(high, "max"))
            kit.band(ax, 1000 * band.index, band["low"], band["high"], kit.NULL, "permuted", zorder=0)
    for ax, title in ((mean, "mean over sensors"), (best, "best sensor")):
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        kit.label_axes(ax, title, y=measure, ticks="both")
    _draw_peaks(mean, rows, peaks, colours)
    if clusters is not None and n_bars:
        _draw_clusters(bars, rows, clusters, colours)
    (bars if n_bars else mean).set_xlabel("time from onset (ms)", fontsize=8)
    best.set_xlabel("time from onset (ms)", fontsize=8)
    return kit.legend_below(figure, [mean], 5)


def _series_colours(
    rows: pd.DataFrame, models: Sequence[str] | None, random_weights: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Return the colour of every (model, layer): layers of a single model by depth, else one colour per model."""
    series = [(str(m), str(layer)) for m, layer in rows[["model", "layer"]].drop_duplicates().to_numpy()]
    trained = [model for model, _ in series if model not in random_weights]
    by_model = kit.model_colours(models or list(dict.fromkeys(trained)), random_weights)
    if len(set(trained)) == 1 and len(trained) > 1:
        by_layer = kit.layer_colours([layer for model, layer in series if model == trained[0]])
        return {key: by_layer[key[1]] if key[0] == trained[0] else kit.GREY for key in series}
    return {key: by_model.get(key[0], kit.GREY) for key in series}


def _name(rows: pd.DataFrame, key: tuple[str, str]) -> str:
    """Return the label of a series: what tells it apart."""
    if rows["model"].nunique() == 1:
        return key[1]
    return key[0] if len(rows.drop_duplicates(["model", "layer"])) == rows["model"].nunique() else f"{key[0]} {key[1]}"


def _draw_peaks(ax: Axes, rows: pd.DataFrame, peaks: pd.DataFrame | None, colours: dict[tuple[str, str], str]) -> None:
    """Mark decided peak latencies on their curve, with the interval as a horizontal line."""
    if peaks is None:
        return
    for _, peak in peaks[peaks["decided"].astype(bool)].iterrows():
        key = (peak["model"], peak["layer"])
        part = rows[(rows["model"] == key[0]) & (rows["layer"] == key[1])].sort_values("time_s")
        if len(part):
            height = float(np.interp(peak["peak_s"], part["time_s"], part["mean_r"]))
            ax.plot(1000 * peak["peak_s"], height, "o", color=colours[key], markersize=4.5, markeredgecolor="black")
            ax.hlines(height, 1000 * peak["low_s"], 1000 * peak["high_s"], color=colours[key], linewidth=3, alpha=0.5)


def _draw_clusters(ax: Axes, rows: pd.DataFrame, clusters: pd.DataFrame, colours: dict[tuple[str, str], str]) -> None:
    """Draw a line of bars per series, the p of each beside it."""
    names = []
    for line, ((model, layer), part) in enumerate(clusters.groupby(["model", "layer"], sort=False)):
        key = (str(model), str(layer))
        names.append(_name(rows, key))
        for _, cluster in part.iterrows():
            start, stop = 1000 * cluster["start_s"], 1000 * cluster["stop_s"]
            alpha = 1 if cluster["p"] < 0.05 else 0.25
            ax.barh(line, stop - start, left=start, height=0.6, color=colours[key], alpha=alpha)
            ax.text(stop + 6, line, f"p={cluster['p']:.2g}".replace("0.", "."), fontsize=6.5, va="center")
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_ylim(len(names) - 0.4, -0.6)
    kit.label_axes(ax, y="clusters", ticks="x")


def layer_latencies(peaks: pd.DataFrame, models: Sequence[str] | None = None) -> Figure:
    """Draw when each layer predicts best; undecided layers stand in their line without a mark.

    A row per model and layer: peak_s, low_s, high_s (s), decided (bool), reason. Colours agree with other figures for
    `models` of the study that know the stimuli; others are grey.
    """
    shown, names = list(pd.unique(peaks["model"])), list(pd.unique(peaks["layer"]))
    colours = kit.model_colours(models or shown, others=shown)
    step = 0.8 / max(len(shown), 1)  # the marks of a layer stay in its line
    tall = 0.3 if peaks["decided"].all() else max(0.3, 0.16 * len(shown))  # words need a line of their own
    figure, (ax,) = kit.new_figure(6.4, 1.3 + tall * len(names))
    for k, model in enumerate(shown):
        offset = step * (k - (len(shown) - 1) / 2)
        for first, (_, row) in enumerate(peaks[peaks["model"] == model].iterrows()):
            line = names.index(row["layer"]) + offset
            if row["decided"]:
                middle, low, high = (1000 * row[name] for name in ("peak_s", "low_s", "high_s"))
                ax.hlines(line, low, high, color=colours[model], linewidth=1.6)
                ax.plot(middle, line, "o", color=colours[model], markersize=5)
            else:
                said = f"{model}, " * (len(shown) > 1) + f"undecided: {str(row['reason']).split('; ')[0]}"
                along = ax.get_yaxis_transform()
                ax.text(0.01, line, said, fontsize=6.5, color="#555555", va="center", transform=along)
            if first == 0:
                ax.plot([], [], "o-", color=colours[model], label=kit.legend_name(model))
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="time of the largest score (ms from onset)", ylabel="layer")
    if len(shown) > 1:
        kit.legend_below(figure, [ax], 4)
    return figure


def rsa_over_time(
    rows: pd.DataFrame, *, models: Sequence[str] | None = None, random_weights: Sequence[str] = ()
) -> Figure:
    """Draw the fit of RDMs over time with interval, permuted band and ceiling band.

    A row per model, layer and time_s: score, low, high (interval, or NaN), null_low, null_high (2.5 and 97.5 % of
    permuted conditions), ceiling_low, ceiling_high. An optional column comparison makes a panel per value. `models` and
    `random_weights` are as for `score_over_time`.
    """
    limits = ["null_low", "null_high", "ceiling_low", "ceiling_high"]
    panels = list(rows.groupby("comparison", sort=False)) if "comparison" in rows.columns else [("RSA", rows)]
    colours = _series_colours(rows, models, random_weights)
    figure, axes, columns = kit.panel_grid(len(panels), 2, (3.9, 3.2), margin=(1.0, 0.0))
    for ax, (comparison, part) in zip(axes, panels, strict=False):
        bands = part.groupby("time_s")[limits].agg("mean")
        time_ms = 1000 * bands.index
        kit.band(ax, time_ms, bands["ceiling_low"], bands["ceiling_high"], kit.CEILING, "noise ceiling")
        kit.band(ax, time_ms, bands["null_low"], bands["null_high"], kit.NULL, "permuted")
        for (model, layer), line in part.groupby(["model", "layer"], sort=False):
            key, ordered = (str(model), str(layer)), line.sort_values("time_s")
            x = 1000 * ordered["time_s"]
            ax.plot(x, ordered["score"], color=colours[key], linewidth=1.3, label=kit.legend_name(_name(rows, key)))
            ax.fill_between(x, ordered["low"], ordered["high"], color=colours[key], alpha=0.2, linewidth=0)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        kit.label_axes(ax, str(comparison), x="time from onset (ms)", y="fit of the RDMs")
    kit.share_axis(axes)
    return kit.legend_below(figure, axes[:1], 3 * columns)
