"""The page of a study of region series: hidden regions filled in, networks found again, traits and states of people."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report import kit

# The Gaussian weighed is orange.
KIND_COLOURS = {"null": kit.GREY, "ablation": kit.COLOURS[4], "baseline": kit.COLOURS[1]}
MODEL, LAGGED, INSTANT, NETWORK = "masked model", "lagged Gaussian", "instantaneous Gaussian", "network alone"
WEIGHED = "lagged Gaussian, weighed"
PREDICTORS = dict(zip((MODEL, LAGGED, INSTANT), kit.COLOURS, strict=False))
MOST_NETWORKS = len(kit.COLOURS)


def filled_figure(filled: pd.DataFrame) -> Figure:
    """Draw R² of hidden regions, a panel per kind of hiding, a row per predictor."""
    rows = filled[filled["network"] == ""]
    views = list(pd.unique(rows["hidden"]))
    names = list(pd.unique(rows["name"]))[::-1]
    figure, axes = kit.new_figure(5.0, 0.5 + (0.7 + 0.25 * len(names)) * len(views), 1, len(views))
    for ax, view in zip(axes, views, strict=True):
        part = rows[rows["hidden"] == view].set_index("name")
        for place, name in enumerate(names):
            row = part.loc[name]
            low, high = max(row["r2"] - row["low"], 0), max(row["high"] - row["r2"], 0)
            style: dict[str, Any] = {"color": PREDICTORS.get(name, KIND_COLOURS.get(row["kind"])), "capsize": 2}
            ax.errorbar(row["r2"], place, xerr=[[low], [high]], fmt="o", markersize=5, **style)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set_yticks(range(len(names)), names, fontsize=8)
        ax.set_ylim(-0.6, len(names) - 0.4)
        kit.label_axes(ax, f"hidden: {view}", x="R² of hidden regions", ticks="x")
    return figure


def filled_networks_figure(filled: pd.DataFrame) -> Figure:
    """Draw R² within every network for the model and the Gaussians, a panel per kind of hiding."""
    rows = filled[(filled["network"] != "") & filled["name"].isin(list(PREDICTORS))]
    views, networks = list(pd.unique(rows["hidden"])), list(pd.unique(rows["network"]))
    figure, axes = kit.new_figure(max(5.0, 1.5 + 0.75 * len(networks)), 2.2 * len(views) + 0.5, 1, len(views))
    for ax, view in zip(axes, views, strict=True):
        part = rows[rows["hidden"] == view].set_index(["name", "network"])
        for k, (name, colour) in enumerate(PREDICTORS.items()):
            values = [part.loc[(name, network), "r2"] for network in networks]
            ax.bar(np.arange(len(networks)) + 0.27 * (k - 1), values, width=0.25, color=colour, label=name)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xticks(range(len(networks)), networks, fontsize=8, rotation=45 if len(networks) > 8 else 0)
        kit.label_axes(ax, f"hidden: {view}", y="R²", ticks="y")
    return kit.legend_below(figure, axes, 3)


def embedding_figure(places: pd.DataFrame) -> Figure:
    """Draw the embeddings of regions on two axes, in the colours of their networks."""
    networks = list(pd.unique(places["network"]))
    figure, (ax,) = kit.new_figure(6.0, 4.2)
    for k, network in enumerate(networks):
        part = places[places["network"] == network]
        marker = "os^vDPX*"[k // MOST_NETWORKS % 8]
        ax.scatter(part["x"], part["y"], s=22, color=kit.COLOURS[k % MOST_NETWORKS], marker=marker, label=network)
    share = float(places["share"].iloc[0])
    kit.label_axes(ax, x=f"first axis (both: {share:.0%} of variance)", y="second axis", ticks="both")
    return kit.legend_below(figure, [ax], 6)


def traces_figure(traces: Mapping[str, NDArray[Any]], names: list[str], tr_s: float, most_s: float = 120.0) -> Figure:
    """Draw hidden regions over time, as measured and as filled in.

    Parameters
    ----------
    traces : mapping
        true, model, gaussian (n_traces, n_frames).
    names : list of str (n_traces)
    tr_s, most_s : float
        Repetition time, and how much of a run is drawn.
    """
    n = min(traces["true"].shape[1], max(2, int(most_s / tr_s)))
    times = np.arange(n) * tr_s
    figure, axes = kit.new_figure(9.0, 0.5 + 1.15 * len(names), 1, len(names))
    for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.plot(times, traces["true"][k, :n], color="black", linewidth=0.8, label="measured")
        ax.plot(times, traces["gaussian"][k, :n], color=kit.COLOURS[1], linewidth=1.1, label="lagged Gaussian")
        ax.plot(times, traces["model"][k, :n], color=kit.COLOURS[0], linewidth=1.1, label="masked model")
        ax.set_title(name, fontsize=8, loc="left", pad=2)
        ax.tick_params(labelsize=7)
        if k < len(names) - 1:
            ax.set_xticklabels([])
    axes[-1].set_xlabel("time, s", fontsize=8)
    return kit.legend_below(figure, axes, 3)


def person_figure(scores: pd.DataFrame) -> Figure:
    """Draw how well labels of people are predicted from each kind of features, a panel per label."""
    labels = list(pd.unique(scores["label"]))
    most = int(scores.groupby("label").size().max())
    figure, axes = kit.new_figure(3.0 + 3.0 * len(labels), 1.1 + 0.32 * most, len(labels))
    for ax, label in zip(axes, labels, strict=True):
        part = scores[scores["label"] == label].iloc[::-1].reset_index(drop=True)
        for place, row in part.iterrows():
            ends = np.nan_to_num([row["score"] - row["low"], row["high"] - row["score"]]).clip(min=0)
            ax.errorbar(row["score"], place, xerr=ends[:, None], fmt="o", color=kit.COLOURS[0], markersize=5, capsize=2)
            if pd.notna(row["null_high"]):
                wide, said = row["null_high"] - row["chance"], "up to the largest of permuted labels"
                ax.barh(place, wide, left=row["chance"], height=0.7, color=kit.NULL, zorder=0, label=said)
        ax.axvline(part["chance"].iloc[0], color="black", linewidth=0.8, linestyle=":", label="chance")
        ax.set_yticks(range(len(part)), part["name"], fontsize=8)
        kit.label_axes(ax, label, x=part["metric"].iloc[0], ticks="x")
    return kit.legend_below(figure, axes, 2)


SERIES_TABLES = ("people", "filled", "regionnetworks", "regionmap", "personscores")
NULL_R2 = 0.02  # what a model fitted to nothing may reach
FEW_PEOPLE = 20
MOST_FIGURES = 6  # labels drawn

Rows = dict[str, dict[Hashable, Any]]


def gather_series(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather what was learned of region series."""
    return shelf.study(SERIES_TABLES, ["filledtraces"], ["series", "maskedmodel"])


def series_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of hidden regions, networks and people."""
    whole = bool(material.tables)
    return kit.Chapter(
        "Time series of regions",
        [_filled(material), _networks(material), _people(material)] if whole else [],
        [*_findings(material), *material.descriptor.notes] if whole else [],
        _cards(material),
        question="Are hidden regions filled in better than by simple predictors?",
        methods=_methods(material),
        failed_controls=failed_series(material.tables["filled"]) if whole else [],
    )


def _by_view(filled: pd.DataFrame) -> list[tuple[str, Rows]]:
    """Return R² over all networks, by what is hidden: a row per predictor, by its name."""
    return [(str(view), _by_name(part)) for view, part in filled[filled["network"] == ""].groupby("hidden", sort=False)]


def failed_series(filled: pd.DataFrame) -> list[kit.FailedControl]:
    """Return nulls, trained and tested on series of their own, that fill in hidden regions.

    Permuted frames keep what regions share at a moment, so that they are a null for whole networks alone.
    """
    return [
        kit.FailedControl(
            f"Null, {name} ({view} hidden), R²",
            float(row["r2"]),
            "Nothing of what a hidden region does is left in the others here: look for the reason before reading what "
            "the model explains.",
            0.0,
            limit=NULL_R2,
            section="filled",
        )
        for view, part in _by_view(filled)
        for name, row in part.items()
        if row["kind"] == "null"
        and row["r2"] > NULL_R2
        and not (name == "frames permuted" and view != "whole networks")
    ]


def _by_name(table: pd.DataFrame) -> Rows:
    return {str(row["name"]): row for row in table.to_dict("records")}


def _cards(material: kit.StudyMaterial) -> list[dict[str, str]]:
    if not material.tables:
        return []
    cards = []
    for view, part in _by_view(material.tables["filled"]):
        others = [kit.number(part[name]["r2"]) for name in (INSTANT, LAGGED, WEIGHED, NETWORK)]
        beside = "Gaussians {}, lagged {}, weighed {}; network alone {}".format(*others)
        cards.append({"name": f"R², {view} hidden", "value": kit.number(part[MODEL]["r2"]), "control": beside})
    agreement = material.tables["regionnetworks"]
    if len(agreement):
        by = _by_name(agreement)
        chance = kit.number(by[MODEL]["null_high"], 2)
        beside = f"connectivity {kit.number(by['connectivity']['ari'], 2)}, 95 % of chance {chance}"
        value = kit.number(by[MODEL]["ari"], 2)
        cards.append({"name": "networks in embeddings, ARI", "value": value, "control": beside})
    scores = material.tables["personscores"]
    for label, some in scores.groupby("label", sort=False) if len(scores) else ():
        row = _by_name(some)["latent connectivity"]
        reference = next(row for row in _by_name(some).values() if row["verdict"] == "reference")
        beside = f"connectivity {kit.number(reference['score'])}, chance {kit.number(row['chance'], 2)}"
        cards.append({"name": f"{label}, {row['metric']}", "value": kit.number(row["score"]), "control": beside})
    return cards


def _findings(material: kit.StudyMaterial) -> list[str]:
    fitted, sentences = material.details("maskedmodel"), []
    if late := [name for name, converged in fitted.get("converged", {}).items() if converged is False]:
        steps = material.config.decode_series.model.n_steps
        sentences.append(
            f"Not converged: {', '.join(late)}. {steps:,} steps were too few for the validation loss to stand still; "
            "raise decode_series.model.n_steps before the model is compared with anything."
        )
    lag = fitted["lag"]
    for view, part in _by_view(material.tables["filled"]):
        model, lagged = part[MODEL], part[LAGGED]
        added, low, high = (kit.number(model[name]) for name in ("added", "added_low", "added_high"))
        clear = "nothing clear, " * bool(model["added_low"] <= 0 <= model["added_high"])
        network, linear = fitted["weights"][view]
        words = {"better": "beats", "tie": "is no better than", "worse": "is worse than"}[model["verdict"]]
        words += " the instantaneous Gaussian, the simplest predictor" + ": a tie" * (model["verdict"] == "tie")
        sentences.append(
            f"With {view} hidden, the masked model explains {kit.number(model['r2'])} of the variance of hidden "
            f"regions [{kit.number(model['low'])} to {kit.number(model['high'])}] and {words} "
            f"({kit.number(part[INSTANT]['r2'])}; difference {kit.number(model['difference'])}, "
            f"{kit.number(model['difference_low'])} to {kit.number(model['difference_high'])}). The "
            f"network weighs {kit.number(network, 2)} in it, the lagged Gaussian {kit.number(linear, 2)}; to that "
            f"Gaussian weighed alone ({kit.number(part[WEIGHED]['r2'])}) it adds {clear}{added} ({low} to {high}). "
            + (
                f"A linear predictor that also sees {lag} frames before and after explains {kit.number(lagged['r2'])}."
                if lag
                else "To a linear predictor frames before and after add nothing: the lag chosen for it is 0."
            )
        )
    scores = material.tables["personscores"]
    for label, some in scores.groupby("label", sort=False) if len(scores) else ():
        latent = _by_name(some)["latent connectivity"]
        reference = next(row for row in _by_name(some).values() if row["verdict"] == "reference")
        said = {"tie": "a tie with", "better": "better than", "worse": "worse than"}[latent["verdict"]]
        above = "" if latent["p"] <= 0.05 else " It is not above permuted labels."
        sentences.append(
            f"{label}: {latent['metric']} {kit.number(latent['score'])} [{kit.number(latent['low'])} to "
            f"{kit.number(latent['high'])}] from the model's latent connectivity, {said} plain connectivity "
            f"({kit.number(reference['score'])}; chance {kit.number(latent['chance'], 2)}).{above}"
        )
    if fitted["n_test"] < FEW_PEOPLE:
        sentences.append(
            f"Filled-in regions were tested on {fitted['n_test']} subjects; intervals over so few are rough."
        )
    return sentences


def _filled(material: kit.StudyMaterial) -> kit.Section:
    prepared, fitted = (material.details(name) for name in ("series", "maskedmodel"))
    filled = material.tables["filled"]
    sure = f"{material.config.confidence:.0%} interval over subjects"
    panels = [kit.captioned("filled", "Hidden regions", filled_figure(filled), filled, sure=sure)]
    if (filled["network"] != "").any():
        figure = filled_networks_figure(filled)
        panels.append(kit.captioned("filledby", "Network by network", figure, filled[filled["network"] != ""]))
    traces = {name: np.asarray(values) for name, values in material.arrays["filledtraces"].items()}
    regions, runs = prepared["regions"], material.tables["people"]
    names = [
        f"{regions[region]}, subject {runs['subject'].iloc[run]}, run {runs['run'].iloc[run]}"
        for run, region in zip(traces["run"], traces["region"], strict=True)
    ]
    figure = traces_figure(traces, names, prepared["tr_s"])
    panels.append(kit.captioned("filledtraces", "Courses of hidden regions, drawn at random", figure, id="traces"))
    columns: kit.Columns = {
        "hidden": lambda row: str(row["hidden"]),
        "predictor": lambda row: str(row["name"]),
        "kind": lambda row: str(row["kind"]),
        "R²": lambda row: kit.number(row["r2"]),
        sure: kit.between,
        f"minus {INSTANT}": lambda row: (
            "–"  # series of nulls are others
            if row["verdict"] == "reference" or row["kind"] == "null"
            else f"{kit.number(row['difference'])} ({row['verdict']})"
        ),
    }
    table = kit.row_table(filled[filled["network"] == ""], columns, "Hidden regions")
    about = [
        f"{runs['subject'].nunique()} subjects, {len(runs)} runs, {len(regions)} regions; trained on "
        f"{fitted['n_train']} subjects, tested on {fitted['n_test']} others, nobody on both sides.",
        "R² = 1 − Σ(x − x̂)² / Σx² over all frames of hidden regions of test runs; the mean of a region gives 0.",
    ]
    if prepared["frames_left_out"]:
        about.append(f"{prepared['frames_left_out']:,} frames of longer runs were left out.")
    about += [f"Note: {warning}" for warning in prepared.get("warnings", [])]
    if prepared["dropped"]:
        about.append(f"Regions without a usable series in some run: {', '.join(prepared['dropped'])}.")
    return kit.Section("filled", "Hidden regions", panels, about, [table])


def _networks(material: kit.StudyMaterial) -> kit.Section:
    places, agreement = material.tables["regionmap"], material.tables["regionnetworks"]
    panels = [kit.captioned("regionmap", "Embeddings of regions", embedding_figure(places), places)]
    if agreement.empty:
        text = "No atlas of networks was given (files.regions), so that clusters are compared with nothing."
        return kit.Section("networks", "Networks in the embeddings", panels, [text])
    columns: kit.Columns = {
        "regions by": lambda row: str(row["name"]),
        "adjusted Rand index": lambda row: kit.number(row["ari"], 2),
        "chance, mean": lambda row: kit.number(row["null_mean"], 2),
        "chance, 95 %": lambda row: kit.number(row["null_high"], 2),
        "p (networks permuted)": lambda row: kit.p_number(row["p"]),
    }
    table = kit.row_table(agreement, columns, "Networks found again")
    text = (
        f"Regions clustered by k-means into {int(agreement['n_networks'].iloc[0])} clusters, beside the networks that "
        "were given. Clusters of plain connectivity stand in the same table: only where these are worse do embeddings "
        "show more than correlations do."
    )
    return kit.Section("networks", "Networks in the embeddings", panels, [text], [table])


def _people(material: kit.StudyMaterial) -> kit.Section:
    scores, title = material.tables["personscores"], "Traits and states"
    if scores.empty:
        return kit.Section("people", title, [], ["No label of people was asked for (labels in the descriptor)."])
    labels = list(pd.unique(scores["label"]))[:MOST_FIGURES]
    few = kit.drawn_of(MOST_FIGURES, scores["label"].nunique())
    sure = f"{material.config.confidence:.0%} interval over subjects"
    figure = person_figure(scores[scores["label"].isin(labels)])
    panel = kit.captioned("personscores", title + few, figure, scores, sure=sure)
    columns: kit.Columns = {
        "label": lambda row: f"{row['label']} ({row['kind']})",
        "from": lambda row: str(row["name"]),
        "score": lambda row: f"{row['metric']} {kit.number(row['score'])}",
        sure: kit.between,
        "chance": lambda row: kit.number(row["chance"], 2),
        "permuted labels: mean, largest": lambda row: (
            "–" if pd.isna(row["null_mean"]) else f"{kit.number(row['null_mean'])}, {kit.number(row['null_high'])}"
        ),
        "beside correlation": lambda row: str(row["verdict"]),
    }
    first = scores.iloc[0]
    text = (
        f"Logistic or ridge regression over {int(first['n_people'])} subjects, folds by subject, "
        f"{int(first['n_repeats'])} times over; the same folds for all. Better, worse: the interval of the difference "
        "to correlation does not hold 0; else a tie. The model saw the series of training subjects, without labels, "
        "before; its weights are as they were (fine-tuned: trained on in every fold)."
    )
    return kit.Section("people", title, [panel], [text], [kit.row_table(scores, columns, title)])


def _ending(material: kit.StudyMaterial) -> str:
    """Describe the length of training, and the reason for its end."""
    fitted = material.details("maskedmodel")
    steps = fitted["steps"][MODEL]
    why = "ended where these were filled in no better" if fitted["converged"][MODEL] else "used up its steps"
    return (
        f"An eighth of the training subjects validated: after {steps:,} steps training {why}; the weights of step "
        f"{fitted['chosen']:,}, the best for them, were kept."
    )


def _methods(material: kit.StudyMaterial) -> list[tuple[str, Sequence[str]]]:
    fitted = material.details("maskedmodel")
    settings = material.config.decode_series
    options = settings.model
    gather = {
        "static": "Regions gather from others by attention that their learned embeddings decide, not the signal, and "
        "never from themselves",
        "adaptive": "Regions gather from others by attention that the signal decides as well, and never from "
        "themselves",
    }[options.attention]
    lagged = (
        " Lagged: also of frames before and after, by block-Toeplitz autocovariances; lag and penalty were chosen on "
        "all runs of inner training subjects (on inner runs, where one subject is trained on; of one run the middle)."
    ) * any(settings.lags)
    texts = [
        f"Runs were detrended and z-scored per region. Network ({options.design}, {options.attention} attention): "
        f"segments of {options.segment_s:g} s, a token per region; between {options.ratio[0]:g} and "
        f"{options.ratio[1]:g} of the regions are hidden for a whole segment. {gather}; what is hidden sends nothing "
        "in the first block. Loss: 0.75 of the squared error of hidden regions, 0.25 of visible ones.",
        *([_ending(material)] if "steps" in fitted else []),
        "Instantaneous Gaussian: conditional mean of hidden given visible regions at the same frame, by the covariance "
        f"of training runs.{lagged}",
        "Masked model: the predictions of the network and of the lagged Gaussian, added with the weights, none "
        "negative, that come nearest to hidden regions of validating subjects, for each kind of hiding; so is the "
        "lagged Gaussian weighed alone. Nulls are made alike; ablations are of the network alone.",
    ]
    nulls = {
        "regions shifted": "each region shifted circularly by itself",
        "frames permuted": "frames permuted alike in all regions, which keeps what regions share at a moment and takes "
        "away what follows later",
    }
    if settings.nulls:
        made = ", or ".join(nulls[name] for name in settings.nulls)
        texts.append(f"Nulls are trained and tested on series of their own: {made}.")
    paragraphs: list[tuple[str, Sequence[str]]] = [(texts[0], ("brainmae",)), *((text, ()) for text in texts[1:])]
    if len(material.tables.get("personscores", pd.DataFrame())):
        text = (
            "Mean tokens: tokens of regions averaged over segments; latent connectivity: correlations of tokens "
            "between regions over segments. Tangent: covariances in the tangent space at the mean of training subjects."
        )
        paragraphs.append((text, ("tangent",)))
    return paragraphs
