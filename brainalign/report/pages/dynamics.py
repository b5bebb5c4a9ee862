"""The page of a subject whose neurons were compared with models of videos: who follows what is hidden."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report import kit
from brainalign.statistics import MIN_UNITS, cross_validated_interval

ROLES = {"model": "", "regression": "black", "control": kit.GREY}  # in this order; models have a colour each
TITLES = {"occluded": "frames hidden", "visible": "frames shown"}


def followed_bars(rows: pd.DataFrame) -> Figure:
    """Draw every model and control of a region, an axis per epoch; grey bars: 95 % of exchanged conditions."""
    epochs = [epoch for epoch in TITLES if (rows["epoch"] == epoch).any()]
    labels = list(dict.fromkeys(zip(rows["network"], rows["name"], rows["role"], strict=True)))
    labels.sort(key=lambda label: [*ROLES].index(label[2]))  # stable: controls below all models
    figure, axes = kit.new_figure(3.2 + 2.8 * len(epochs), 1.3 + 0.27 * len(labels), len(epochs))
    for ax, epoch in zip(axes, epochs, strict=True):
        part = rows[rows["epoch"] == epoch].set_index(["network", "name"])
        for place, (network, name, role) in enumerate(labels):
            row = part.loc[(network, name)]
            model = role == "model"
            colour = kit.COLOURS[place % len(kit.COLOURS)] if model else ROLES[role]
            ax.barh(place, max(row["null_95"], 0), height=0.8, color=kit.NULL, label="conditions exchanged, 95 %")
            ax.hlines(place, row["low"], row["high"], color=colour, linewidth=1.2)
            ax.plot(row["r_normalized"], place, "o", color=colour, markerfacecolor=colour if model else "white")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.axvline(1, color="black", linewidth=0.8, linestyle=":", label="ceiling")
        ax.set_yticks(range(len(labels)), [])
        ax.invert_yaxis()
        kit.label_axes(ax, TITLES[epoch], x="r / √reliability", ticks="both")
    names = [", ".join(part for part in (network, name) if part) for network, name, _ in labels]
    axes[0].set_yticks(range(len(labels)), names, fontsize=7)
    kit.share_axis(axes, x=True, y=False)
    return kit.legend_below(figure, axes, 2)


def followed_movies(rows: pd.DataFrame, frame_s: float | None = None) -> Figure:
    """Draw how alike models and neurons of a region are at every frame; shaded: the share of conditions hidden."""
    figure, (ax,) = kit.new_figure(7.2, 3.6)
    first = rows.drop_duplicates("time").sort_values("time")
    scale = 1 if frame_s is None else frame_s
    x, shade = scale * first["time"].to_numpy(), ax.twinx()
    shade.fill_between(x, 0, first["hidden"], step="mid", color=kit.NULL, linewidth=0, alpha=0.6)
    shade.set_ylim(0, 1)
    kit.label_axes(shade, y="share of conditions hidden", ticks="both")
    ax.set_zorder(shade.get_zorder() + 1)
    ax.patch.set_visible(False)
    models = rows.loc[rows["role"] == "model", ["network", "name"]].drop_duplicates().to_numpy().tolist()
    styles = iter(["--", ":", "-.", "-", (0, (1, 3)), (0, (5, 1)), (0, (3, 1, 1, 1))] * 10)
    for (network, name, role), part in rows.groupby(["network", "name", "role"], sort=False):
        if part["score"].isna().all():  # it tells no conditions apart
            continue
        label = kit.legend_name(", ".join(text for text in (str(network), str(name)) if text))
        x = scale * part["time"].to_numpy()
        model = role == "model"  # of one colour here and in bars
        colour = kit.COLOURS[models.index([network, name]) % len(kit.COLOURS)] if model else ROLES[str(role)]
        width, style = (0.9, next(styles)) if role == "control" else (1.6, "-" if model else ":")
        ax.plot(x, part["score"], color=colour, linewidth=width, linestyle=style, label=label)
    highest = rows.groupby("time")["null_95"].max()
    label, times = "conditions exchanged, 95 %", scale * np.asarray(highest.index)
    ax.plot(times, highest, color="black", linewidth=0.6, label=label)
    ax.axhline(0, color="black", linewidth=0.6)
    unit = "frame" if frame_s is None else "time (s)"
    kit.label_axes(ax, x=unit, y="RDM of model against neurons (Spearman)", ticks="both")
    return kit.legend_below(figure, [ax], 3)


DYNAMICS_TABLES = ("dynamics", "dynamicsneurons", "dynamicsfolds", "dynamicsmovies")
EPOCH_NAMES = {"occluded": "hidden frames", "visible": "shown frames"}


def gather_dynamics(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather how well models follow the neurons of a subject."""
    shelf.note("rollouts")
    return shelf.material(kit.StudyMaterial, tables=shelf.tables(DYNAMICS_TABLES))


def dynamics_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of one subject's neurons beside models of videos."""
    scores = material.tables.get("dynamics", pd.DataFrame())
    kind, methods = f"Subject {material.subject}", _methods(material)
    if scores.empty:
        return kit.Chapter(kind, methods=methods)
    return kit.Chapter(
        kind,
        [_data(material), _following(material, scores)],
        [*_findings(material, scores), *material.descriptor.notes],
        _cards(scores),
        question="Do models that simulate predict neurons while the stimulus is hidden?",
        headline=_headline(scores),
        interval_note="Intervals: over folds of conditions, none of fewer than six; n: neurons.",
        summary=scores,
        methods=methods,
        failed_controls=[*failed_following(scores, material.tables["dynamicsfolds"], material.config.confidence)],
    )


def _data(material: kit.StudyMaterial) -> kit.Section:
    facts = material.details("dynamicsmovies")
    return kit.Section(
        "data",
        "Data",
        paragraphs=[
            f"{facts['n_conditions']} conditions of {facts['n_times']} frames, of which {facts['n_hidden']:,} frames "
            f"were hidden; {facts['n_neurons']} neurons of one subject, {facts['n_repeats']} repeats.",
            "Whatever is found here holds for these neurons and these videos; it is no statement about other subjects.",
        ],
    )


def _following(material: kit.StudyMaterial, scores: pd.DataFrame) -> kit.Section:
    panels, movies = [], material.tables["dynamicsmovies"]
    for k, (region, part) in enumerate(scores.groupby("region", sort=False)):
        where = "" if scores["region"].nunique() == 1 else f", {region}"
        bars = followed_bars(part)
        shown = movies[movies["region"] == region]
        course = followed_movies(shown, material.descriptor.frame_s)
        of: dict[str, Any] = {"linear": (part["role"] == "regression").any()}
        panels.append(kit.captioned("followed", f"Neurons predicted{where}", bars, part, id=f"followed{k}", **of))
        panels.append(kit.captioned("movies", f"Geometry frame by frame{where}", course, shown, id=f"movies{k}", **of))
    panels.append(kit.captioned("followedtable", "All numbers", None, scores, id="scores", html=_table(scores)))
    return kit.Section("following", "What models and neurons follow", panels, _findings(material, scores)[:1])


def _findings(material: kit.StudyMaterial, scores: pd.DataFrame) -> list[str]:
    """Write the findings on dynamics as sentences that follow from the numbers alone."""
    found, by_fold = [], material.tables["dynamicsfolds"]
    for (region, epoch), part in scores.groupby(["region", "epoch"], sort=False):
        models, controls = (part[part["role"] == role] for role in ("model", "control"))
        if models.empty:
            continue
        best = models.iloc[int(models["r_normalized"].to_numpy().argmax())]
        sure = best["p"] * len(models) < kit.LEVEL and best["r_normalized"] > 0
        verb = "predicts" if sure else "is not shown to predict"
        n, best_of = material.config.dynamics.permutations, f", the best of {len(models)}" * (len(models) > 1)
        found.append(
            f"{region}, {EPOCH_NAMES[str(epoch)]}: {_name(best)} {verb} {int(best['n_neurons'])} neurons, mean r / "
            f"sqrt(reliability) = {kit.number(best['r_normalized'])} ({int(best['n_dropped'])} dropped as unreliable; "
            f"conditions exchanged: {kit.number(best['null_mean'])}, "
            f"p {kit.p_equals(best['p'], 4)} of {n:,} permutations{kit.least_p(best['p'], n, len(models)) or best_of})."
        )
        if epoch == "occluded" and len(controls):
            folds = by_fold[(by_fold["region"] == region) & (by_fold["epoch"] == epoch)]
            found.append(_beside(best, controls, folds, material.config.confidence))
            of_the_same = "".join([*str(best["name"]).rpartition(": ")[:2], "linear"])  # the module before its dynamics
            same = part[(part["network"] == best["network"]) & (part["name"] == of_the_same)]
            found += [_beside_linear(best, linear, folds, material.config.confidence) for _, linear in same.iterrows()]
    return found


def failed_following(scores: pd.DataFrame, folds: pd.DataFrame, confidence: float) -> Iterator[kit.FailedControl]:
    """Yield controls as good as the best model during hidden frames, where that is above its null."""
    for region, part in scores[scores["epoch"] == "occluded"].groupby("region", sort=False):
        models, controls = (part[part["role"] == role] for role in ("model", "control"))
        if models.empty or controls.empty:
            continue
        best, control = (rows.iloc[int(rows["r_normalized"].to_numpy().argmax())] for rows in (models, controls))
        of = folds[(folds["region"] == region) & (folds["epoch"] == "occluded")]
        gap, low, _ = _gap(best, control, of, confidence)
        if best["p"] < kit.LEVEL and not (gap if np.isnan(low) else low) > 0:
            yield kit.FailedControl(
                f"{region}, hidden frames: {_name(control)}, a control, r / sqrt(reliability)",
                float(control["r_normalized"]),
                f"The best model, {_name(best)}, reaches {kit.number(best['r_normalized'])} and is not shown to be "
                "better: that neurons follow what is hidden does not follow from its score.",
                0.0,
                float(control["p"]),
                section="following",
            )


def _gap(best: pd.Series, control: pd.Series, folds: pd.DataFrame, confidence: float) -> tuple[float, float, float]:
    """Return how far one is above the other, paired over folds, and its interval; NaN of too few folds."""
    one, other = (
        kit.rows_where(folds, network=row["network"], name=row["name"]).sort_values("fold")["r_normalized"].to_numpy()
        for row in (best, control)
    )
    gap = one - other
    if len(gap) < MIN_UNITS or not np.isfinite(gap).all():
        return float(gap.mean()), float("nan"), float("nan")
    interval = cross_validated_interval(gap, 1 / (len(gap) - 1), confidence)
    return float(gap.mean()), interval.low, interval.high


def _beside(best: pd.Series, controls: pd.DataFrame, folds: pd.DataFrame, confidence: float) -> str:
    """Say how far the best model is above the best control, paired over folds."""
    control = controls.iloc[int(controls["r_normalized"].to_numpy().argmax())]
    gap, low, high = _gap(best, control, folds, confidence)
    text = f"The best control is {_name(control)}: {kit.number(control['r_normalized'])}. Difference {kit.number(gap)}"
    if np.isnan(low):
        return f"{text}; too few folds for an interval."
    verdict = "which excludes 0" if low > 0 else "so that nothing is shown beyond the control"
    return f"{text} ({confidence:.0%} interval {kit.number(low)} to {kit.number(high)}, {verdict})."


def _beside_linear(best: pd.Series, linear: pd.Series, folds: pd.DataFrame, confidence: float) -> str:
    """Say whether it took more than linear regression on the same frames, paired over folds."""
    gap, low, high = _gap(best, linear, folds, confidence)
    text = f"linear regression on the same frames ({kit.number(linear['r_normalized'])}; difference {kit.number(gap)}"
    if np.isnan(low):
        return f"Beside {_name(best)} stands {text}; too few folds for an interval)."
    side = "ahead of" if low > 0 else "behind" if high < 0 else "not told apart from"
    needed = "" if low > 0 else ": that it took anything nonlinear is not shown"
    between = f"{confidence:.0%} interval {kit.number(low)} to {kit.number(high)}"
    return f"{_name(best)} is {side} {text}, {between}){needed}."


def _name(row: pd.Series) -> str:
    return f"{row['network']} with {row['name']}" if row["network"] else str(row["name"])


def _cards(scores: pd.DataFrame) -> list[dict[str, str]]:
    first = "occluded" if (scores["epoch"] == "occluded").any() else "visible"
    cards = []
    for region, part in scores[scores["epoch"] == first].groupby("region", sort=False):
        models, controls = (part[part["role"] == role] for role in ("model", "control"))
        if models.empty:
            continue
        best = models.iloc[int(models["r_normalized"].to_numpy().argmax())]
        beside = f"best control {kit.number(controls['r_normalized'].max())}, " if len(controls) else ""
        linear = part.loc[part["role"] == "regression", "r_normalized"]
        beside += f"linear regression {kit.number(linear.max())}, " if len(linear) else ""
        of = {"name": f"{region}: {_name(best)}", "value": kit.number(best["r_normalized"])}
        cards.append(of | {"control": f"{beside}p {kit.p_equals(best['p'], 4)}", "split": EPOCH_NAMES[first]})
    return cards


def _headline(scores: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "quantity": f"r / sqrt(reliability), {row['region']}",
            "split": EPOCH_NAMES[row["epoch"]],
            "model": row["network"] or "–",
            "method": row["name"],
            "layer": row["role"],
            "value": row["r_normalized"],
            "chance": 0.0,
            "n": int(row["n_neurons"]),
        }
        | {name: row[name] for name in ("low", "high", "null_mean", "p")}
        for _, row in scores.iterrows()
    ]


def _table(scores: pd.DataFrame) -> Any:
    columns: kit.Columns = {
        "region": lambda row: str(row["region"]),
        "frames": lambda row: EPOCH_NAMES[row["epoch"]],
        "network": lambda row: row["network"] or "–",
        "hidden frames by": lambda row: row["name"],
        "": lambda row: row["role"],
        "r / sqrt(rel.)": lambda row: kit.number(row["r_normalized"]),
        "interval": kit.between,
        "r": lambda row: kit.number(row["r"]),
        "exchanged": lambda row: kit.number(row["null_mean"]),
        "p": lambda row: kit.p_number(row["p"], 4),
        "neurons": lambda row: str(row["n_neurons"]),
        "dropped": lambda row: str(row["n_dropped"]),
    }
    return kit.row_table(scores, columns, "Scores of all models and controls")


def _methods(material: kit.StudyMaterial) -> list[tuple[str, tuple[str, ...]]]:
    """List the paragraphs of the methods, each with the keys of its references."""
    options = material.config.dynamics
    trained = {model: material.details(f"model-{model}_rollouts") for model, use in options.models.items() if use.heads}
    learned = "; ".join(f"of {model} on {noted['trained_on']}" for model, noted in trained.items() if noted)
    chosen = [(model, name, sd) for model, noted in trained.items() for name, sd in noted.get("jitters", {}).items()]
    noise = ", ".join(f"{model} with {name} {kit.number(sd, 1) if sd else 'none'}" for model, name, sd in chosen)
    told = f"Noise on what they see, in SD, chosen by videos left out (of six or more): {noise}. " * bool(noise)
    linear = "linear regression on the same frames (ridge of one step, penalty by folds of whole videos, rolled out), "
    fitted = "of each epoch" if options.fit_on == "epoch" else "of shown frames alone, also for hidden ones"
    texts: list[tuple[str, tuple[str, ...]]] = [
        (
            "Features over time come from functions of the user's. Hidden frames are filled in from the "
            f"{options.context} frames before them: by the model's own simulation where it has one, and by networks "
            f"trained to predict its features ({options.training_steps:,} steps{', ' * bool(learned)}{learned}), the "
            f"encoder frozen; wider features were reduced to {options.components} principal components. {told}"
            f"Beside them stand {linear * bool(trained)}the same networks untrained, the last features held, the last "
            "change continued, the encoder looking at the hidden frames, and time alone.",
            ("futureprediction",),
        ),
        (
            "Neurons, averaged over repeats, were predicted by ridge regression with a penalty each, in "
            f"{options.folds} folds of whole conditions; maps {fitted}. r is taken over the frames of an epoch within "
            "each fold and divided by the square root of the split-half reliability of the mean over repeats; neurons "
            f"below {options.min_reliability:g} are dropped, for each epoch by itself. The null "
            f"exchanges the conditions of the neurons and fits anew ({options.permutations:,} permutations).",
            ("ridge", "spearmanbrown", "folds"),
        ),
    ]
    if len(material.tables.get("dynamicsmovies", ())):
        text = (
            "Geometry: at every frame the Euclidean RDM of a model's features is compared (Spearman) with the "
            "crossnobis RDM of the neurons, repeats being runs."
        )
        texts.append((text, ("rsa", "crossnobis")))
    return texts
