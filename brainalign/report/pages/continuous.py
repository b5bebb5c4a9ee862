"""The page of a subject for whom a stimulus went on: what every model predicts of runs left out, and adds to others."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from brainalign.arrays import Responses
from brainalign.report import kit
from brainalign.report.encoding_sections import penalty_ends
from brainalign.report.pages.answers import answer_of_runs
from brainalign.statistics import RELIABLE, SHARING, reliable_rule
from brainalign.study import RunFiles, apart_s

RUN_TABLES = ("runscores", "runtargets", "rundelays", "runshares", "rununiques")
WHOLE = {"all": "all models", "shared": "shared by several"}
KINDS = ("model", "control", "joint")
OTHERS = "#7b3294"  # people, beside models
EVERYWHERE = "all targets"
MOST_REGIONS = 9  # of a figure; all of them stand in its table


def gather_continuous(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather what was predicted of a subject's runs."""
    shelf.note("ceiling", "features")
    responses, tables = shelf.fetch("responses", Responses), shelf.tables(RUN_TABLES)
    if responses is not None and tables:
        tables |= shelf.tables(["intersubject"]) | {"targets": responses.targets}
    return shelf.material(kit.StudyMaterial, tables=tables)


def continuous_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of one subject whose runs were predicted from models of what went on."""
    tables, kind = material.tables, f"Subject {material.subject}"
    if not tables:
        return kit.Chapter(kind, methods=_methods(material))
    scores = tables["runscores"]
    tested = scores[scores["kind"].isin(KINDS)].assign(others=scores["region"].map(_others(material)).astype(float))
    apart, tested = tested[tested["test_set"] != ""], tested[tested["test_set"] == ""]
    drawn = material.config.encode.of("continuous").null_draws
    informed = tested[~tested["model"].isin(material.uninformed)]
    models, level = material.config.models_of(material.dataset), f"{material.config.confidence:.0%}"
    beside = [name for name in dict.fromkeys(tables["rundelays"]["model"]) if name not in models]
    greys = {name: str(0.3 + 0.12 * k) for k, name in enumerate(beside)}
    colours = kit.model_colours(models, material.uninformed) | greys | {"all": "black", "shared": kit.NULL}
    found = _findings(informed, tables["runshares"], drawn, level)
    best, rows = _best(tested[tested["kind"] == "model"])["model"], tables["runtargets"]
    grid = material.details("runtargets").get("alphas", ())
    penalties = penalty_ends(f"{best}, median over runs", rows[rows["model"] == best], grid)
    return kit.Chapter(
        kind,
        [
            _prediction(tested, scores, colours, [*found[:1], *penalties], level),
            *_test_sets(apart, colours, level),
            *_maps(material),
            _shares(tables["runshares"], colours, level),
            _delays(tables["rundelays"], tested, colours, level),
        ],
        [*found, *_findings_apart(apart), *material.descriptor.notes],
        answer=answer_of_runs(
            tested, tables["runshares"], (RELIABLE, EVERYWHERE), material.uninformed, material.config.confidence, drawn
        ),
        headline=_headline(tested),
        interval_note="Intervals: over runs, none of fewer than six; n: targets.",
        summary=tested,
        methods=_methods(material),
        failed_controls=_failed(material, tested),
    )


def predicted_runs(rows: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw r of every model in every region, with its interval, its null and the ceiling."""
    needed = ["model", "kind", "region", "r", "low", "high", "null_95", "ceiling", "others"]
    kit.check_columns("the table of scores", rows, needed)
    regions = list(dict.fromkeys(rows["region"]))[:MOST_REGIONS]
    models = list(dict.fromkeys(rows["model"]))
    figure, axes, columns = kit.panel_grid(len(regions), 3, (2.5, 0.7 + 0.25 * len(models)), (1.2, 0.6), least=4.5)
    for place, (ax, region) in enumerate(zip(axes, regions, strict=True)):
        part = rows[rows["region"] == region].set_index("model").reindex(models)
        for y, (model, row) in enumerate(part.iterrows()):
            ax.barh(y, max(row["null_95"], 0), height=0.8, color=kit.NULL, label="responses turned in time, 95 %")
            colour = colours[str(model)]
            ax.hlines(y, row["low"], row["high"], color=colour, linewidth=1.2)
            ax.plot(row["r"], y, "o", color=colour, markerfacecolor="white" if row["kind"] == "control" else colour)
        if np.isfinite(part["ceiling"]).any():
            ax.axvline(part["ceiling"].max(), color="black", linewidth=0.8, linestyle=":", label="ceiling")
        if np.isfinite(part["others"]).any():
            ax.axvline(part["others"].max(), color=OTHERS, linewidth=1, linestyle="--", label="mean of other subjects")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_yticks(
            range(len(models)), [_name(model) for model in models] if place % columns == 0 else [], fontsize=7
        )
        ax.invert_yaxis()
        kit.label_axes(ax, f"{region} ({int(part['n_targets'].max())})", x="r", ticks="x")
    kit.share_axis(axes, x=True, y=False)
    return kit.legend_below(figure, axes, 2)


def variance_shares(rows: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw the unique R² of every model and set of models in every region with its interval, and the rest, as bars."""
    kit.check_columns("the table of shares", rows, ["model", "region", "unique", "corrected", "low", "high", "p"])
    regions = list(dict.fromkeys(rows["region"]))[:MOST_REGIONS]
    models = [model for model in dict.fromkeys(rows["model"]) if model != "all"]
    figure, (ax,) = kit.new_figure(1.8 + 0.9 * len(regions) + 0.1 * len(models) * len(regions), 3.2)
    width = 0.8 / len(models)
    for k, model in enumerate(models):
        part = rows[rows["model"] == model].set_index("region").reindex(regions)
        x = np.arange(len(regions)) + (k - (len(models) - 1) / 2) * width
        colour = np.mean([to_rgb(colours.get(name, kit.NULL)) for name in model.split(SHARING)], axis=0)
        ax.bar(x, part["unique"], width=0.9 * width, color=colour, label=kit.legend_name(_name(model)))
        ax.vlines(x, part["low"], part["high"], color="black", linewidth=1)
        ax.plot(x, part["corrected"], "D", color="black", markerfacecolor="white", markersize=3, label="corrected")
        ax.plot(x, np.where(part["p"] < kit.LEVEL, 0, np.nan), "k*", markersize=4, label=f"p < {kit.LEVEL:g}")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(range(len(regions)), regions, fontsize=7)
    kit.label_axes(ax, y="R² that nothing else has", ticks="y")
    return kit.legend_below(figure, [ax], 4)


def delay_weights(rows: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw the size of weights at every delay in every region, of each model by itself, as a share of its largest."""
    kit.check_columns("the table of delays", rows, ["model", "region", "delay_s", "weight"])
    regions = list(dict.fromkeys(rows["region"]))[:MOST_REGIONS]
    figure, axes, _ = kit.panel_grid(len(regions), 3, (2.7, 2.2), (0.0, 0.5), least=4.6)
    for ax, region in zip(axes, regions, strict=True):
        for model, part in rows[rows["region"] == region].groupby("model", sort=False):
            share, colour = part["weight"] / part["weight"].max(), colours[str(model)]
            ax.plot(part["delay_s"], share, "o-", color=colour, label=kit.legend_name(_name(model)), markersize=3)
        ax.set_ylim(0, 1.05)
        kit.label_axes(ax, region, x="delay (s)", y="weights (share of largest)", ticks="both")
    return kit.legend_below(figure, axes, 3)


def _words(rows: pd.DataFrame, level: str) -> dict[str, Any]:
    """Gather what captions say of rows: the level of intervals, what is drawn, and whether regions are left out."""
    drawn = {name: rows.get(name, pd.Series()).notna().any() for name in ("low", "ceiling", "others")}
    return {"level": level, "cut": rows["region"].nunique() > MOST_REGIONS, **drawn}


def _name(model: object) -> str:
    return WHOLE.get(str(model), str(model))


def _prediction(
    tested: pd.DataFrame, scores: pd.DataFrame, colours: Mapping[str, str], said: Sequence[str], level: str
) -> kit.Section:
    figure = predicted_runs(tested, colours)
    panels = [kit.captioned("predictedruns", "Runs predicted from the others", figure, tested, **_words(tested, level))]
    layers = scores[scores["kind"] == "layer"]
    if layers.groupby("model")["layer"].nunique().max() > 1:
        cells = [[row["model"], row["layer"], row["region"], kit.number(row["r"])] for _, row in layers.iterrows()]
        html = kit.html_table(["model", "layer", "region", "r"], cells, "Scores of all layers")
        panels.append(kit.captioned("runlayers", "Every layer", None, layers, html=html))
    columns: kit.Columns = {
        "model": lambda row: _name(row["model"]),
        "region": lambda row: row["region"],
        "r": lambda row: kit.number(row["r"]),
        "interval": kit.between,
        "null 95 %": lambda row: kit.number(row["null_95"]),
        "p": lambda row: kit.p_number(row["p"], 4),
        "ceiling": lambda row: kit.number(row["ceiling"]),
        "others": lambda row: kit.number(row["others"]),
        "targets": lambda row: str(row["n_targets"]),
        "predicted": lambda row: f"{row['share']:.0%}",
    }
    table = kit.row_table(tested, columns, "Scores of all models and controls")
    panels.append(kit.captioned("runtable", "All numbers", None, tested, html=table))
    return kit.Section("prediction", "How well models predict", panels, [*said])


def _test_sets(apart: pd.DataFrame, colours: Mapping[str, str], level: str) -> list[kit.Section]:
    panels = []
    for name, of in apart.groupby("test_set", sort=False):
        figure, words = predicted_runs(of.assign(others=np.nan), colours), _words(of, level)
        panels.append(kit.captioned("testset", f"Test set: {name}", figure, of, id=f"testset-{name}", **words))
    return [kit.Section("test-sets", "Runs never trained on", panels, _findings_apart(apart))] if panels else []


def _findings_apart(apart: pd.DataFrame) -> list[str]:
    """Write what was found in every test set, of the region with all targets."""
    found = []
    for name, of in apart.groupby("test_set", sort=False):
        models = of[(of["kind"] == "model") & of["region"].isin((EVERYWHERE, RELIABLE))]
        told = [
            f"{row['model']} r = {kit.number(row['r'])} (p {kit.p_equals(row['p'], 4)})" for _, row in models.iterrows()
        ]
        found.append(f"Test set {name}, never trained on, {models['region'].iloc[0]}: {', '.join(told)}.")
    return found


def _maps(material: kit.StudyMaterial) -> list[kit.Section]:
    """Return maps of the best model's r and of what each model adds; none where targets have no place."""
    targets, rows, uniques = (material.tables[name] for name in ("targets", "runtargets", "rununiques"))
    models = [name for name in material.config.models_of(material.dataset) if name in set(rows["model"])]
    best = max(models, key=lambda name: rows.loc[rows["model"] == name, "r"].mean())
    table = targets[["target_id"]].merge(rows[rows["model"] == best], how="left")
    r, certain = table["r"].to_numpy(dtype=float), (table["p_fwer"] < kit.LEVEL).to_numpy()
    end, n_certain = float(np.ceil(10 * np.nanmax(np.abs(r))) / 10), int(certain.sum())
    options: dict[str, Any] = {"label": f"r of {best}, runs left out", "vmax": end}
    drawn = kit.place_map(targets, r, outline=certain, **options)
    if drawn is None:
        return []
    more: dict[str, Any] = {"where": drawn.where, "html": drawn.slices}
    panels = [kit.captioned("runmap", f"r of {best}", drawn.figure, table, model=best, n=n_certain, **more)]
    shown = "targets with p < .05 (corrected for all targets)" if certain.any() else "all targets; none is above chance"
    seen = np.where(certain, r, np.nan) if certain.any() else r
    panels += [
        kit.captioned(name, kit.IN_MNI[name], figure, shown=shown)
        for name, figure in kit.maps_in_mni(targets, seen, **options).items()
    ]
    if "intersubject" in material.tables:
        others = targets[["target_id"]].merge(material.tables["intersubject"], how="left")
        heard = others["r"].to_numpy(dtype=float)
        top = float(np.ceil(10 * np.nanmax(np.abs(heard))) / 10)
        drawn = kit.place_map(targets, heard, label="r with other subjects", vmax=top)
        assert drawn is not None  # as of r
        more = {"n": int(others["n_others"].max()), "html": drawn.slices}
        panels.append(kit.captioned("intersubject", "What other subjects predict", drawn.figure, others, **more))
    informed = {*models} - {*material.uninformed}
    added = uniques[[informed.issuperset(name.split(SHARING)) for name in uniques["model"].astype(str)]]
    top = float(added["unique"].quantile(0.995)) if len(added) else 0.0
    for model, part in added.groupby("model", sort=False) if top > 0 else ():
        part = targets[["target_id"]].merge(part, how="left")
        unique, certain = part["unique"].to_numpy(dtype=float), (part["p_fwer"] < kit.LEVEL).to_numpy()
        several = SHARING in str(model)
        label = f"R² common to {model}" if several else f"unique R² of {model}"
        drawn = kit.place_map(targets, unique, outline=certain, label=label, vmax=top)
        assert drawn is not None  # as of r
        kind, title = ("commonmap", f"What {model} share") if several else ("uniquemap", f"What {model} adds")
        more = {"id": f"uniquemap-{model}".replace(SHARING, "-"), "n": int(certain.sum()), "html": drawn.slices}
        panels.append(kit.captioned(kind, title, drawn.figure, part, model=model, **more))
    text = f"{best}: {n_certain:,} of {len(r):,} targets above chance (p < {kit.LEVEL:g}, corrected for all targets)"
    return [kit.Section("maps", "Maps", panels, [f"{text}; the largest r is {kit.number(np.nanmax(r))}."])]


def _others(material: kit.StudyMaterial) -> dict[str, float]:
    """Return the mean r with the mean of other subjects, by region, of the targets that its scores are of."""
    if "intersubject" not in material.tables:
        return {}
    ceilings = material.tables["runtargets"].drop_duplicates("target_id")[["target_id", "reliable"]]
    table = material.tables["targets"][["target_id", "roi"]].merge(material.tables["intersubject"]).merge(ceilings)
    table = table[table["reliable"]]
    means = table.explode("roi").groupby("roi")["r"].mean()
    return {str(name): float(r) for name, r in means.items()} | dict.fromkeys((EVERYWHERE, RELIABLE), table["r"].mean())


def _shares(shares: pd.DataFrame, colours: Mapping[str, str], level: str) -> kit.Section:
    figure, words = variance_shares(shares, colours), _words(shares, level)
    panel = kit.captioned("runshares", "What each model adds", figure, shares, **words)
    alone = ~shares["model"].isin([*WHOLE]) & ~shares["model"].str.contains(SHARING, regex=False)
    top = shares[alone].sort_values("unique", ascending=False).iloc[0]
    n, p = alone.sum(), top["p"]  # of the largest of many p says little: corrected, or over runs as well
    sure = top["unique"] > 0 and (p * n < kit.LEVEL or (p < kit.LEVEL and top["low"] > 0))
    verb = "adds most" if sure else "comes first of models that are not shown to add anything"
    text = f"{top['model']} {verb}: R² {kit.number(top['unique'])} in {top['region']} that nothing else has"
    corrected = f", p {kit.p_equals(min(p * n, 1), 4)} corrected for {n} models and regions"
    text += f" (p {kit.p_equals(p, 4)}{corrected * bool(n > 1)})."
    return kit.Section("shares", "Which model explains what", [panel], [text])


def _delays(weights: pd.DataFrame, tested: pd.DataFrame, colours: Mapping[str, str], level: str) -> kit.Section:
    n_models = tested.loc[tested["kind"] == "model", "model"].nunique()
    sure = tested[(tested["p"] * n_models < kit.LEVEL) & (tested["r"] > 0) & (tested["share"] > 0)]
    known = weights.merge(sure[["model", "region"]])  # weights of what predicts nothing are of noise
    if known.empty:
        return kit.Section("delays", "Delays", paragraphs=["No model is shown to predict: weights tell no delay."])
    figure, words = delay_weights(known, colours), _words(known, level)
    panel = kit.captioned("rundelays", "When responses follow", figure, weights, **words)
    tops = known.loc[known.groupby(["region", "model"], sort=False)["weight"].idxmax()]
    whole = tops["region"].isin((RELIABLE, EVERYWHERE))  # which regions may answer at delays of their own
    tops = tops if whole.all() else tops[~whole]
    told = [f"{row['delay_s']:.3g} s ({_name(row['model'])}, {row['region']})" for _, row in tops.iterrows()]
    more = f" and {len(told) - MOST_REGIONS} more" * (len(told) > MOST_REGIONS)
    return kit.Section("delays", "Delays", [panel], [f"Weights are largest at {', '.join(told[:MOST_REGIONS])}{more}."])


def _findings(tested: pd.DataFrame, shares: pd.DataFrame, n_permutations: int, level: str) -> list[str]:
    """Write what was found as sentences that follow from the numbers alone."""
    found = []
    for region, part in tested.groupby("region", sort=False):
        models = part[part["kind"] == "model"]
        if models.empty:
            continue
        best, control = _best(models), _best(part[part["kind"] == "control"])
        sure = best["p"] * len(models) < kit.LEVEL and best["r"] > 0
        verdict = "predicts" if sure else "is not shown to predict"
        beside = f"; {control['model']} alone: {kit.number(control['r'])}" if pd.notna(control["r"]) else ""  # constant
        found.append(
            f"{region}: {best['model']} {verdict} the runs left out, r = {kit.number(best['r'])} ({_range(best, level)}"
            f"95 % of the null below {kit.number(best['null_95'])}, {kit.p_value(best['p'], n_permutations)})"
            f"{beside}. By themselves {round(best['share'] * best['n_targets']):,} of {best['n_targets']:,} targets "
            f"are predicted (p < {kit.LEVEL:g}, corrected for all targets)."
        )
        beyond = shares[(shares["region"] == region) & shares["model"].isin(models["model"])]
        added = beyond[(beyond["low"] > 0) & (beyond["p"] < kit.LEVEL)]
        more = [
            f"{row['model']} (R² {kit.number(row['unique'])}, {_range(row, level)[:-2]})" for _, row in added.iterrows()
        ]
        if more:
            found.append(f"{region}: beyond all other models and controls, variance is added by {', '.join(more)}.")
        elif beyond["low"].notna().any():
            found.append(f"{region}: no model is shown to add to the others and the controls.")
        common = shares[(shares["region"] == region) & shares["model"].str.contains(SHARING, regex=False)]
        cost = (common["unique"] - common["corrected"]).clip(lower=0)  # what estimating loses looks like what is shared
        found += [
            f"{region}: {row['model']} share R² {kit.number(row['unique'])} that nothing else has "
            f"({_range(row, level)[:-2]})."
            for _, row in common[common["low"] > cost].iterrows()
        ]
    return found


def _best(rows: pd.DataFrame) -> pd.Series:
    return rows.iloc[int(rows["r"].fillna(-np.inf).to_numpy().argmax())]


def _range(row: Any, level: str) -> str:
    return "" if np.isnan(row["low"]) else f"{level} interval {kit.between(row)}, "


def _headline(tested: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "quantity": f"r, {row['region']}",
            "split": "runs left out",
            "model": _name(row["model"]),
            "method": "banded ridge" if row["kind"] == "joint" else "ridge",
            "layer": row["kind"],
            "value": row["r"],
            "chance": 0.0,
            "n": int(row["n_targets"]),
            "null_mean": row["null_mean"],
        }
        | {name: row[name] for name in ("low", "high", "p")}
        for _, row in tested.iterrows()
    ]


def _failed(material: kit.StudyMaterial, tested: pd.DataFrame) -> list[kit.FailedControl]:
    """List random features that predict: they know nothing but when events were."""
    noise = [name for name, model in material.config.models.items() if model.extractor == "random"]
    return [
        kit.FailedControl(
            f"{row['model']}, {row['region']}: r of features without content",
            float(row["r"]),
            "Something else than what was shown predicts these runs: look for drifts, or for runs that are not apart.",
            0.0,
            float(row["p"]),
            section="prediction",
        )
        for _, row in tested[tested["model"].isin(noise)].iterrows()
        if row["region"] in (EVERYWHERE, RELIABLE) and row["p"] < kit.LEVEL / 5  # regions and models are many
    ]


def _methods(material: kit.StudyMaterial) -> list[tuple[str, Sequence[str]]]:
    """List the paragraphs of the methods, each with the keys of its references."""
    read, options = material.details("responses"), material.config.encode.of("continuous")
    texts: list[tuple[str, Sequence[str]]] = []
    if read:
        start, stop = (rows * read["step_s"] for rows in read["trimmed"])
        heard = [run for run, count in read["presentations"].items() if count > 1]
        repeated = (
            f" {len(heard)} of them were presented more than once: their mean was fitted. Ceilings √EV follow from the "
            "variance that repeats there, for the number of presentations of each run. Scored are reliable targets: "
            f"{reliable_rule(material.config.ceiling_threshold)} (F test, by independent rows), or all where none is."
            if heard
            else " No run was presented twice, so that there is no ceiling."
        )
        files = next(iter(material.descriptor.recordings.values()), None)
        raw = isinstance(files, RunFiles) and files.kind == "recordings"
        cleaned = kit.cleaning_words(material.descriptor.continuous.raw, 1 / read["step_s"]) if raw else []
        cleaned += ["detrended linearly"] if read["detrend"] == "linear" else []
        cleaned += [f"high-pass filtered at {read['high_pass_hz']:g} Hz (cosines)"] if read["high_pass_hz"] else []
        cleaned += [f"cleared of confounds ({', '.join(read['confounds'])})"] if read["confounds"] else []
        how = ", ".join(cleaned) + (" and " if cleaned else "") + "z-scored within runs"
        cut = f", after the first {start:g} s and the last {stop:g} s were left out" if start or stop else ""
        text = (
            f"Responses of {len(read['presentations'])} runs (a row every {read['step_s']:.3g} s) were {how}{cut}; "
            f"{read['n_dropped']} targets without variance were dropped.{repeated}"
        )
        texts.append((text, ("explainable",) if heard else ()))
        delays = [delay * read["step_s"] for delay in read["delays"]]
        turns = f"Runs were left out in {read['folds']} groups" if read["folds"] else "Each run was left out in turn"
        listed = (
            ", ".join(f"{delay:.3g}" for delay in delays)
            if len(delays) <= 8
            else f"{min(delays):.3g} to {max(delays):.3g}"
        )
        entered = f"entered ridge regression at delays of {listed} s"
        if read["hrf"]:
            entered = (
                "convolved with SPM's response function and its derivatives to onset and dispersion, and entered ridge "
                "regression"
            )
        few = f", reduced to their first {options.n_components} principal components" if options.n_components else ""
        averaged = "within rows" if read["resample"] == "mean" else "through it"
        width = apart_s(read["step_s"], read["delays"]) if read["slow"] and not read["hrf"] else read["step_s"]
        wide = f"; it is {width:.2g} s wide, as delays lie apart" if width > read["step_s"] else ""
        models = material.config.models_of(material.dataset)
        noted = {name: material.details(f"model-{name}_features") for name in models}
        ahead = [name for name, of in noted.items() if of.get("sees_future") or of.get("hears_ahead_s")]
        knows = f" Features of {', '.join(ahead)} know what follows in their window, which nobody has heard yet."
        stands = f"an event stands at its {'middle' if read['slow'] else 'onset'}{wide}"
        text = (
            "Features of events were summed at the times of the rows through a Lanczos kernel of three lobes "
            f"({stands}), those of sounds and films averaged {averaged}. They were cleared "
            f"of the same drifts, scaled on training runs{few}, and {entered}, never across runs. {turns}; "
            "penalties were chosen leaving out each of the other runs, as was the layer of a model. Controls stand "
            "beside every model: the rate of events, the loudness of sounds (root mean square of 5 ms, to the "
            "power of 0.6), the luminance of films and their motion (mean absolute difference between frames), "
            f"whichever the study has.{knows * bool(ahead)}"
        )
        texts.append((text, ("huth", "ridge", "informed") if read["hrf"] else ("huth", "ridge")))
    if read and read["test_sets"]:
        listed_sets = "; ".join(f"{name}: {', '.join(runs)}" for name, runs in read["test_sets"].items())
        texts.append((f"Runs that were never trained on, predicted from all others: {listed_sets}.", ()))
    if "intersubject" in material.tables:
        n = int(material.tables["intersubject"]["n_others"].max())
        text = (
            f"Intersubject correlation: responses of every run were correlated with the mean of other subjects "
            f"({n}) whose targets lie in the same space."
        )
        texts.append((text, ("nastase",)))
    if material.tables:
        null = material.details("runscores").get("p", "")
        common = any(SHARING in str(name) for name in material.tables["runshares"]["model"])
        alike = "What several have in common and nothing else has is the sum, with signs, of R² of fits without them. "
        signs = alike * common + "Negative values stand as they are."
        text = (
            f"r is averaged over runs as Fisher's z; p: {null} ({options.permutations:,} times), which keeps "
            "their autocorrelation. All models and controls entered one banded ridge regression "
            f"({options.n_candidates} sets of shares at least); what a model has alone is the R² that is lost "
            f"without it, p: {material.details('runshares').get('p', '')}. {signs} Corrected is (R² − R0) / "
            "(1 − R0) for every fit, R0 being the mean R² of such responses at the same penalties."
        )
        texts.append((text, ("banded", "commonality") if common else ("banded",)))
    return texts
