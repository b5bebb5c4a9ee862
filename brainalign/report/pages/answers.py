"""What pages answer first: a question, yes or no with what it rests on, models ranked in a picture, three numbers."""

from collections.abc import Mapping, Sequence
from math import comb
from types import MappingProxyType

import numpy as np
import pandas as pd

from brainalign.report import kit
from brainalign.statistics import RELIABLE, fdr

NOT_SHOWN = "Not shown."
NEAR_CHANCE = "should be near chance"
UNTRAINED = "what training adds is beyond it"  # random weights predict something


def answer_of_images(material: kit.ImageMaterial, pairs: Sequence[Mapping[str, object]]) -> kit.Answer | None:
    """Say whether models predict responses to stimuli that were held out; `better` of a pair is empty of a tie."""
    if material.summary is None:
        return None
    chosen, nouns = material.summary[material.summary["chosen"]], material.nouns
    chosen = chosen.assign(
        name=[material.fit_label(*fit) for fit in zip(chosen["model"], chosen["method"], strict=True)]
    )
    table = chosen[chosen["quantity"] == "mean r"].rename(columns={"null_mean": "null"})
    table = table.assign(control=table["model"].isin(material.uninformed))
    best, control = _first_of(table)
    question = f"Do models predict this brain's responses to new {nouns.stimuli}?"
    if best is None and not table["control"].all():
        why = "predictions are constant" if table["n"].any() else "no target repeats well enough to be predicted"
        return kit.Answer(question, NOT_SHOWN, f"No model has a score: {why}.", holds=False)
    if best is None:
        return None
    mine = chosen[chosen["name"] == best["name"]].set_index("quantity")["value"]
    of_ceiling = float(mine.get("r²/ceiling", np.nan))
    tied = [(str(pair["a"]), str(pair["b"])) for pair in pairs if not pair["better"]]
    beaten = [
        str(pair["b"] if pair["better"] == pair["a"] else pair["a"]) for pair in pairs if pair["better"] == best["name"]
    ]
    equal = [next(iter({*pair} - {best["name"]})) for pair in tied if best["name"] in pair]
    words = f"{best['name']} predicts responses to {nouns.stimuli} it was not trained on"
    words += f", {of_ceiling:.0%} of what repeats explain" if np.isfinite(of_ceiling) else ""
    evidence = _evidence(best, table, material.config.encode.of("held_out").null_draws)
    holds = _holds(best, table)
    words = words if holds else f"The best model, {best['name']}, is not above chance"
    sentences = [f"{words} ({evidence})."]
    sentences += [f"It is ahead of {_few(beaten)}."] * bool(beaten) + [f"It ties with {_few(equal)}."] * bool(equal)
    fit = str(best["model"]), str(best["method"])
    profile = material.encodings[fit].profile
    means = profile[(profile["group"] == RELIABLE) & (profile["layer"] == material.chosen(*fit))]
    ceiling = float(means["ceiling_r"].iloc[0]) if "ceiling_r" in means and len(means) else np.nan
    beside = f"chance {kit.number(best['null'])}" + f", ceiling {kit.number(ceiling)}" * bool(np.isfinite(ceiling))
    which = "reliable " * material.has_ceilings
    numbers = [_number(f"mean r over {which}targets", best, beside)]
    share = next((value for name, value in mine.items() if str(name).startswith("share with q")), np.nan)
    of = f"share of {which}{nouns.targets}{' × times' * material.timed} predicted"
    numbers.append({"name": of, "value": kit.number(share), "control": _level(material)})
    untrained = control is not None and control["model"] in material.controls
    numbers += _control_number(control, UNTRAINED if untrained else NEAR_CHANCE)
    models, by_fit = material.fit_labels(material.models), table.drop(columns="model")
    panel = _ranking(by_fit, tied, "mean r", ceiling, material.config.confidence, *models)
    return kit.Answer(question, "Yes." if holds else NOT_SHOWN, " ".join(sentences), holds, panel, numbers)


def answer_of_blocks(material: kit.Material) -> kit.Answer | None:
    """Say whether what was shown in held-out blocks can be told from the responses that models predict."""
    if material.summary is None or not material.encodings:
        return None
    for split in (*material.splits_that_leave("run"), *material.splits_that_leave("stimulus")):
        for quantity in ("identification", "pair matching"):
            table = material.pooled_rows(quantity, split=split)
            if len(table):
                return _told_apart(material, table, quantity, split)
    return None


def _told_apart(material: kit.Material, table: pd.DataFrame, quantity: str, split: str) -> kit.Answer | None:
    fits = [fit[0] for fit in material.encodings]
    names = [
        model if fits.count(model) == 1 else f"{model} ({method})"
        for model, method in zip(table["model"], table["method"], strict=True)
    ]
    table = table.assign(name=names, null=table["chance"], control=table["model"].isin(material.uninformed))
    best, control = _first_of(table)
    if best is None:
        return None
    nouns, holds, apart = material.nouns, _holds(best, table), material.descriptor.left_out[split].plural
    words = (
        f"The {material.n_stimuli} {nouns.stimuli} are {'not shown to be ' * (not holds)}told apart by what "
        f"{best['name']} predicts of held-out {apart}: {quantity} {_evidence(best, table, best['n_null'])}."
    )
    numbers = [_number(f"{quantity}, {split}", best, f"chance {kit.number(best['chance'])}"), *_control_number(control)]
    if control is not None and material.trained_on_all(split):
        tested = bool(np.isfinite(control["p"]))  # not of several draws, or of one that is not permuted
        numbers[-1]["control"] = "a space that knows nothing" + f", p {kit.p_equals(control['p'])}" * tested
        if holds and (control["p"] < kit.LEVEL if tested else control["low"] > control["chance"]):
            # Any space of full rank gives every trained stimulus a pattern of its own.
            numbers[-1]["control"] = "suffices: a space that knows nothing keeps trained stimuli apart"
            words += f" Random features do so as well ({kit.number(control['value'])}): "
            words += "this tells of responses, not of what models know."
    row = f"share of targets at q < {material.config.summarize.q:g} (FDR)"
    found = material.pooled_rows(row, split=split, model=str(best["model"]), method=str(best["method"]))
    if len(found):
        share = {"name": f"share of {nouns.targets} predicted", "value": kit.number(found["value"].iloc[0])}
        numbers.insert(1, share | {"control": _level(material)})
    linear = material.summary_rows("classification", split=split) if quantity == "identification" else table[:0]
    linear = linear.assign(name=linear["method"] + " classifier", null=linear["chance"], control=False)
    drawn = pd.concat([table, linear], ignore_index=True) if len(linear) else table
    panel = _ranking(drawn, (), f"{quantity}, {split}", np.nan, material.config.confidence, *material.models)
    question = f"Do responses tell the {nouns.stimuli} apart?"
    return kit.Answer(question, "Yes." if holds else NOT_SHOWN, words, holds, panel, numbers)


def answer_of_runs(
    tested: pd.DataFrame,
    shares: pd.DataFrame,
    everywhere: Sequence[str],
    controls: Sequence[str],
    confidence: float,
    n_permutations: int = 0,
) -> kit.Answer | None:
    """Say whether models predict runs that were left out, and more than what stands beside every model does.

    Parameters
    ----------
    tested, shares : DataFrame
        A row per region and model.
    everywhere : sequence of str
        Regions with all targets, of which one is told first.
    controls : sequence of str
        Models that know nothing of the stimuli, besides those whose kind is control.
    confidence : float
    n_permutations : int
        That p rests on; 0 where that is not known.
    """
    region = next((name for name in everywhere if (tested["region"] == name).any()), None)
    if region is None:
        return None
    rows = tested[(tested["region"] == region) & (tested["kind"] != "joint")]
    table = rows.rename(columns={"model": "name", "r": "value", "null_mean": "null"})
    table = table.assign(control=(table["kind"] == "control") | table["name"].isin(controls))
    best, control = _first_of(table)
    if best is None:
        return None
    holds = _holds(best, table)
    verb = "predicts" if holds else "is not shown to predict"
    words = f"{best['name']} {verb} the runs left out ({_evidence(best, table, n_permutations)})."
    opening = "Yes." if holds else NOT_SHOWN
    if holds and control is not None and control["value"] >= best["value"]:
        # What was shown or said, unread, suffices for as much: then the model has to add to it.
        own = shares[(shares["region"] == region) & (shares["model"] == best["name"])].iloc[0]
        holds = bool(own["unique"] > 0 and _is_sure(own["p"], table))
        opening = f"Yes, beside {control['name']}." if holds else f"Not beyond {control['name']}."
        words += f" {control['name']} alone predicts {kit.number(control['value'])}; beside all others {best['name']} "
        words += f"adds R² {kit.number(own['unique'])}, p {kit.p_equals(own['p'])}."
    others = tested[(tested["kind"] == "model") & ~tested["region"].isin(everywhere) & ~tested["model"].isin(controls)]
    if opening != NOT_SHOWN and others["r"].notna().any():
        top = others.iloc[int(np.nanargmax(others["r"]))]
        words += f" Of regions r is highest in {top['region']}: {top['model']}, {kit.number(top['r'])}"
        words += f", p {kit.p_equals(top['p'])}, not corrected for regions"
        unread = tested[(tested["region"] == top["region"]) & (tested["kind"] == "control")].dropna(subset="r")
        words += "".join(f"; {of.model} alone {kit.number(of.r)}" for of in unread.nlargest(1, "r").itertuples()) + "."
    numbers = [_number(f"mean r, {region}", best, f"95 % of the null below {kit.number(best['null_95'])}")]
    share = {"name": "targets predicted by themselves", "value": f"{best['share'] * best['n_targets']:.0f}"}
    numbers.append(share | {"control": f"of {best['n_targets']:,}, p < .05 corrected for all"})
    unread = control is not None and control["name"] not in controls
    numbers += _control_number(control, "what was presented, unread" if unread else NEAR_CHANCE)
    ceiling = float(best["ceiling"]) if "ceiling" in best else np.nan
    panel = _ranking(table, (), f"mean r, {region}", ceiling, confidence)
    return kit.Answer("Do models predict what the brain does in runs left out?", opening, words, holds, panel, numbers)


def answer_of_rdms(
    scores: pd.DataFrame,
    random: pd.DataFrame,
    measure: str,
    confidence: float,
    decided: Mapping[str, str] = MappingProxyType({}),
    controls: Sequence[str] = (),
) -> kit.Answer | None:
    """Say whether models order the stimuli as reference RDMs do, in every reference set, and beside controls.

    `decided` holds the models that are ahead of all others, by the reference sets in which one is. `controls` are
    random features: models of `scores` that know nothing.
    """
    scores = scores.dropna(subset=["score"])  # of equal distances, as of one feature per stimulus, there is none
    unread, scores = (scores[scores["model"].isin(controls) == knows_nothing] for knows_nothing in (True, False))
    # The best of many candidates: its p counts for all of them, and then for all sets.
    scores = scores.assign(q=scores.groupby("reference")["p"].transform(lambda p: fdr(p.to_numpy())))
    best = scores.loc[scores.groupby("reference", sort=False)["score"].idxmax()]
    if best.empty:
        return None
    best = best.assign(q=fdr(best["q"].to_numpy()))
    sure, told, numbers, leaders = [], [], [], []
    one, n = len(scores) == len(best), scores.groupby("reference")["score"].count()
    for _, row in best.iterrows():
        twins = random.loc[random["reference"] == row["reference"], "mean"].max()
        features = unread.loc[unread["reference"] == row["reference"], "score"].max()
        above = row["low"] > 0 and row["q"] < kit.LEVEL and not np.fmax(twins, features) >= row["score"]
        beside = "no ceiling"
        if np.isfinite(row["ceiling_low"]):
            beside = f"ceiling {kit.between(row, 'ceiling_low', 'ceiling_high')}"
        beside += f", random weights {kit.number(twins)}" if np.isfinite(twins) else ""
        beside += f", random features {kit.number(features)}" if np.isfinite(features) else ""
        sure += [row["reference"]] * bool(above)
        name, extent = kit.layer_name(row), kit.interval(row)
        leaders.append(name)
        ahead = decided.get(row["reference"]) == name  # combinations of layers are in no comparison of all
        of = f" of {n[row['reference']]}" if n[row["reference"]] > 1 else ""
        fits = "fits" if above else "is not shown to fit"
        does = fits if one else "is ahead of all others on" if ahead else f"scores highest{of} on"
        told.append(f"{name} {does} {row['reference']}: {kit.number(row['score'])}{extent}, {beside}.")
        note = ", ".join(each for each in (extent.strip(), beside, "chance 0") if each)
        numbers.append({"name": f"{row['reference']}: {name}", "value": kit.number(row["score"]), "control": note})
    reference = [*sure, best["reference"].iloc[0]][0]  # drawn is what the answer rests on
    known_nothing = pd.concat([random.assign(score=random["mean"]), unread]).assign(control=True)
    first = pd.concat([scores.assign(control=False), known_nothing], ignore_index=True)
    first = first[first["reference"] == reference]
    tops = first.loc[first.groupby("model", sort=False)["score"].idxmax()]
    names = [kit.layer_name(row) for _, row in tops.iterrows()]
    table = tops.assign(name=names, value=tops["score"], null=0.0, control=tops["control"].astype(bool))
    measure = f"{measure.capitalize()} with RDMs of {reference}"
    ceiling, models = tuple(table[["ceiling_low", "ceiling_high"]].iloc[0]), pd.unique(scores["model"])
    panel = _ranking(table, (), measure, ceiling, confidence, *models)
    opening = NOT_SHOWN if not sure else "Yes." if len(sure) == len(best) else f"In {_few(sure)}."
    words = " ".join(told[:3])
    if len(told) > 1 and not one and len({*leaders}) > 1:
        led = "; ".join(f"{name} is ahead of all others in {of}" for of, name in decided.items())
        none = "No dissociation is shown: no two sets have different models ahead of all others."
        words += f" A dissociation: {led}." if len({*decided.values()}) > 1 else f" {none}"
    elif 1 < len(told) == len(sure) and not one:
        words += f" {leaders[0]} scores highest on every set."
    return kit.Answer("Do models arrange the stimuli as brains do?", opening, words, bool(sure), panel, numbers[:3])


def answer_of_group(
    scores: pd.DataFrame,
    controls: Sequence[str],
    n: int,
    *,
    question: str = "Do models predict every brain?",
    measure: str = "mean r",
    beside: str = NEAR_CHANCE,
    n_permutations: float = 0,
) -> kit.Answer | None:
    """Say in how many of n subjects models predict the first quantity, and which does so best.

    Scores have a row per quantity, subject and model: value, p within the subject or the low end of its interval, and
    chance where it is not 0. `beside` is said beside the best control. p rests on `n_permutations` (0: not known).
    """
    scores = scores[scores["quantity"] == scores["quantity"].iloc[0]]
    chance = float(scores["chance"].iloc[0]) if "chance" in scores else 0.0
    # A model of a few subjects is not compared with those of all.
    counts = scores.groupby("model")["subject"].nunique()
    scores = scores[scores["model"].map(counts) == counts[~counts.index.isin(controls)].max()]
    means = scores.groupby("model", sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
    spread = means["std"] / np.sqrt(means["count"])
    table = means.rename(columns={"model": "name", "mean": "value"}).assign(
        low=means["mean"] - spread,
        high=means["mean"] + spread,
        null=chance or np.nan,
        control=means["model"].isin(controls),
    )
    best, control = _first_of(table)
    if best is None and not table["control"].all():
        return kit.Answer(question, NOT_SHOWN, f"No model has {measure} in any subject.", holds=False)
    if best is None:
        return None
    mine = scores[scores["model"] == best["name"]]
    some = f"{int(best['count'])} of " * bool(best["count"] < len(mine))  # of the others nothing repeats
    tested = "p" in mine
    sure = mine["p"] < kit.LEVEL if tested else mine["low"] > 0
    above = int((sure & (mine["value"] > chance)).sum())
    words = f"{best['name']} is above chance in {above} of {len(mine)} subjects, {measure} {kit.number(best['value'])}"
    words += f" over {some}them" * bool(some) + f", chance {kit.number(chance)}" * bool(chance)
    if tested and not above and (least := kit.least_p(mine["p"].min(), n_permutations)):
        words += f", p {kit.p_equals(mine['p'].min())}{least}"
    words += f" (best control {control['name']}: {kit.number(control['value'])})." if control is not None else "."
    numbers = [
        {"name": f"subjects above chance: {best['name']}", "value": f"{above} of {len(mine)}",
         "control": "above chance within the subject, p < .05"},
        {"name": f"{measure}, mean over {some}{len(mine)} subjects", "value": kit.number(best["value"]),
         "control": f"range {kit.number(mine['value'].min())} to {kit.number(mine['value'].max())}"},
        *_control_number(None if control is None else pd.Series({**control, "low": np.nan}), beside),
    ]  # fmt: skip
    figure, grey = kit.ranked_models(table, measure=measure), table["control"].any()
    panel = kit.captioned("rankingofgroup", "Mean over subjects", figure, table, id="ranking", controls=grey)
    # Of subjects in whom nothing is predicted one in twenty comes out above chance: so many of them by luck alone. What
    # is shared, as stimuli are, makes the best of several models best in all: each p counts for all of the models.
    of, n_models = len(mine), int((~table["control"].astype(bool)).sum())
    certain = int((mine["p"] * n_models < kit.LEVEL)[mine["value"] > chance].sum()) if tested else above
    luck = sum(comb(of, k) * kit.LEVEL**k * (1 - kit.LEVEL) ** (of - k) for k in range(certain, of + 1))
    holds = luck * (1 if tested else n_models) < kit.LEVEL
    opening = f"In {above} of {n} subjects." if above else NOT_SHOWN
    if not holds and above:
        opening = f"{NOT_SHOWN[:-1]}: {above} of {n} subjects may be luck."
    elif above and control is not None and control["value"] >= best["value"]:
        opening, holds = f"Above chance, but not above {control['name']}.", False
    elif above == len(mine):
        opening = "Yes."
    return kit.Answer(question, opening, words, holds, panel, numbers)


def _first_of(table: pd.DataFrame) -> tuple[pd.Series | None, pd.Series | None]:
    """Return the best model and the best control, None where there is none with a score."""
    known = table[table["value"].notna()]
    parts = known[~known["control"].astype(bool)], known[known["control"].astype(bool)]
    best, control = (rows.iloc[int(rows["value"].to_numpy().argmax())] if len(rows) else None for rows in parts)
    return best, control


def _holds(best: pd.Series, table: pd.DataFrame) -> bool:
    return _is_sure(best["p"], table) and bool(best["value"] > 0)


def _is_sure(p: float, table: pd.DataFrame) -> bool:
    """Return whether the best model is above chance, corrected for all models that it was the best of."""
    return bool(p * int((~table["control"].astype(bool)).sum()) < kit.LEVEL)


def _evidence(best: pd.Series, table: pd.DataFrame, n_permutations: float) -> str:
    n_models = int((~table["control"].astype(bool)).sum())
    of = f", the best of {n_models}" if n_models > 1 else ""
    p = f"p {kit.p_equals(best['p'])}{kit.least_p(best['p'], n_permutations, n_models)}"
    return f"{kit.number(best['value'])}{kit.interval(best)}, chance {kit.number(best['null'])}, {p}{of}"


def _number(name: str, row: pd.Series, more: str | bool) -> dict[str, str]:
    beside = [kit.interval(row).strip(), str(more or ""), f"p {kit.p_equals(row['p'])}"]
    return {"name": name, "value": kit.number(row["value"]), "control": ", ".join(each for each in beside if each)}


def _level(material: kit.Material | kit.ImageMaterial) -> str:
    return f"q < {material.config.summarize.q:g}, chance 0".replace(" 0.", " .")


def _control_number(control: pd.Series | None, note: str = NEAR_CHANCE) -> list[dict[str, str]]:
    if control is None:
        return []
    beside = ", ".join(each for each in (kit.interval(control).strip(), note) if each)
    return [{"name": f"best control: {control['name']}", "value": kit.number(control["value"]), "control": beside}]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def _ranking(
    table: pd.DataFrame, tied: kit.Pairs, measure: str, ceiling: kit.Ceiling, confidence: float, *models: str
) -> kit.Panel:
    figure = kit.ranked_models(table, tied, measure=measure, ceiling=ceiling, models=models)
    columns = ["name", "value", "low", "high", "null", "p", "control"]
    more = "Bars at the right join models that cannot be told apart. " * bool(tied)
    upper = "; shaded: up to its upper bound" * (np.size(ceiling) > 1)
    more += f"Dashed: what noise leaves to be predicted{upper}." * bool(np.isfinite(ceiling).all())
    ranges, lines = (table.reindex(columns=[column])[column].notna() for column in ("sd", "low"))
    more += " Of a model with several layers: their mean and range." * bool((ranges & lines).any())
    return kit.captioned(
        "ranking", "Models, best first", figure, table.reindex(columns=columns),
        measure=measure, confidence=confidence, more=more, controls=table["control"].any(),
        intervals=(lines & ~ranges).any(),
    )  # fmt: skip
