"""Sentences that follow from the numbers: what was found, what that does not show, and how it was done."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from brainalign import config
from brainalign.checks import listed
from brainalign.report.kit.material import Material, StudyMaterial, SubjectMaterial
from brainalign.report.kit.tables import number, p_equals, p_value
from brainalign.statistics import permutation_test
from brainalign.statistics.classification import TIE
from brainalign.study import FmriOptions, RawOptions, Split

FEW_STIMULI = 20  # below it a zero-shot score says little about meaning, whatever its p
SAME = 0.02  # share identified, by which spaces of full rank may differ without a penalty
NEXT_TO_NONE = 0.01  # a penalty that shrinks nothing: features of unit length have eigenvalues of some units


def findings(material: Material) -> dict[str, str]:
    """Return the sentences of the summary section by what they are of, in order; empty without a summary."""
    if material.summary is None or not material.encodings:
        return {}
    sentences = {}
    for split in material.splits_that_leave("run"):
        sentences[f"identification {split}"] = _identification(material, split)
        sentences[f"maps {split}"] = _targets(material, split)
        sentences[f"same {split}"] = _same_for_all(material, split)
    sentences |= {f"zeroshot {split}": _zero_shot(material, split) for split in material.splits_that_leave("stimulus")}
    sentences["geometry"] = _geometry(material)
    return {name: sentence for name, sentence in sentences.items() if sentence}


def _headline(material: Material, quantity: str, split: str) -> "pd.Series[float] | None":
    """Return the headline row of the first model and method, if there is one.

    Of a network it is that of the layer which tells stimuli apart best. Since that was chosen on the same data, its
    null is the largest of all layers in every permutation.
    """
    first, layer = material.first, material.told_best(split)
    rows = material.summary_rows(quantity, split=split, model=first.model, method=first.method, layer=layer)
    if rows.empty:
        return None
    row = rows.iloc[0].copy()
    if first.model in material.layered_models and pd.notna(row["p"]):
        columns = {"identification": "accuracy", "pair matching": "accuracy", "largest r": "max_r"}
        null = material.first_null(split, columns.get(quantity, "share_good"))
        row["p"] = permutation_test(row["value"] - TIE, null)
        row["null_mean"], row["null_95"] = null.mean(), np.quantile(null, 0.95)
    return row


def _space(material: Material, row: "pd.Series[float]") -> str:
    """Name the space of a headline row, and how it was chosen."""
    model, n = str(row["model"]), material.first.encoding.scores["layer"].nunique()
    of = f", of {n} layers the one that tells {material.nouns.stimuli} apart best (p for all of them),"
    return material.name_of(model, str(row["layer"])) + of * (model in material.layered_models)


def _null(row: "pd.Series[float]", *, with_95: bool = False) -> str:
    """Describe the permutation null of a score, or say that it was not tested."""
    if pd.isna(row["p"]):
        return "not tested by permutation"
    top = f", 95 % point {number(row['null_95'])}" if with_95 else ""
    return f"permuted mean {number(row['null_mean'])}{top}; {p_value(row['p'], row['n_null'])}"


def _identification(material: Material, split: str) -> str:
    row = _headline(material, "identification", split)
    if row is None:
        return ""
    interval, left_out = "", material.descriptor.left_out[split].plural
    if pd.notna(row["low"]):
        low, high = number(row["low"]), number(row["high"])
        interval = f"{material.config.confidence:.0%} interval over {left_out} {low} to {high}; "
    text = (
        f"Held-out {left_out} ({split}): {_space(material, row)} with {row['method']} identifies "
        f"{number(row['value'])} of {int(row['n'])} test items ({interval}chance {number(row['chance'])}; "
        f"{_null(row)})."
    )
    first = material.first
    others = material.summary_rows("identification", split=split, model=first.model, layer=str(row["layer"]))
    others = others[others["method"] != row["method"]]
    if len(others):
        listing = ", ".join(f"{other['method']} {number(other['value'])}" for _, other in others.iterrows())
        text += f" Other methods on the same features: {listing}."
    logistic = material.summary_rows("classification", split=split)
    if len(logistic):
        text += f" A linear classifier of the responses themselves reaches {number(logistic['value'].iloc[0])}."
    return text


def _targets(material: Material, split: str) -> str:
    good_r = material.config.encode.good_r
    share = _headline(material, f"share of targets with r > {good_r:g}", split)
    best = _headline(material, "largest r", split)
    if share is None or best is None:
        return ""
    counted = f"pairs of a {material.nouns.target} and a time" if material.timed else material.nouns.targets
    name = material.name_of(str(share["model"]), str(share["layer"]))
    return (
        f"{name}: {share['value'] * share['n']:.0f} of {int(share['n'])} {counted} ({number(share['value'])}) reach "
        f"r > {good_r:g} (permuted {number(share['null_mean'])}); the best reaches r = {number(best['value'])} "
        f"(largest of a permuted map: {number(best['null_mean'])} on average)."
    )


def _same_for_all(material: Material, split: str) -> str:
    """Say that scores of a split whose every stimulus is trained on cannot favour one space of the stimuli."""
    if not material.trained_on_all(split):
        return ""
    n, nouns = material.n_stimuli, material.nouns
    text = (
        f"With all {n} {nouns.stimuli} in training, every full-rank {nouns.stimulus} space predicts the same but for "
        "its penalty"
    )
    rows = untuned_identification(material, split)
    if len(rows) > 1:
        listing = ", ".join(f"{number(row['value'])} ({row['model']})" for _, row in rows.iterrows())
        verdict = "" if np.ptp(rows["value"]) <= SAME else " These differ, which they should not: look for an error."
        text += f": with next to none (method {rows['method'].iloc[0]}) identification is {listing}.{verdict}"
    else:
        text += "."
    return (
        f"{text} Scores of this split therefore show that the {nouns.targets} tell the {nouns.stimuli} apart, and "
        "nothing about the meaning in a space; differences under tuned penalties come from the penalty, which falls "
        f"differently on the directions of each space and silences {nouns.targets} that do not generalise."
    )


def untuned_identification(material: Material, split: str) -> pd.DataFrame:
    """Return identification by every space of full rank, with next to no penalty: all must agree."""
    methods = material.config.methods
    ridges = {name: method for name, method in methods.items() if isinstance(method, config.PenaltyMethod)}
    untuned = [name for name, method in ridges.items() if max(method.alphas) <= NEXT_TO_NONE]
    rows = material.pooled_rows("identification", split=split, method=untuned[0] if untuned else "")
    return rows[rows["model"].isin(material.full_rank_models)]


def _zero_shot(material: Material, split: str) -> str:
    row = _headline(material, "pair matching", split)
    if row is None:
        return ""
    space = f"with {_space(material, row)} " if material.first.model in material.layered_models else ""
    text = (
        f"Zero-shot ({split}, stimuli never trained on): {space}{number(row['value'])} of {int(row['n'])} pairs are "
        f"matched (chance .500; {_null(row, with_95=True)})."
    )
    pooled = material.summary_rows("pair matching", split=split, method=material.first.method, layer="all")
    for _, spread in pooled[pooled["model"].isin(material.wording_models)].iterrows():
        text += f" Single wordings give {number(spread['low'])} to {number(spread['high'])}."
    for _, spread in pooled[pooled["model"].isin(material.models_of("random"))].iterrows():
        mean, sd = number(spread["value"]), number(spread["sd"])
        text += f" {int(spread['n'])} random spaces give {mean} on average (sd {sd})."
    if pd.notna(row["p"]):
        verdict = "above chance" if row["p"] < 0.05 else "not distinguishable from chance"
        text += f" This is {verdict} at the 5 % level."
    n = material.n_stimuli
    if n < FEW_STIMULI:
        text += (
            f" Whatever p says, {n} {material.nouns.stimuli} cannot establish a semantic effect: their pairs overlap, "
            f"and any space that happens to order so few {material.nouns.stimuli} alike would score as well."
        )
    return text


def _geometry(material: Material) -> str:
    if material.comparison is None:
        return ""
    model = material.first.model
    rows = material.comparison[material.comparison["model"] == model]
    if material.timed:
        best = rows[rows["se"].notna()]
        if best["score"].isna().all():
            return ""
        row = best.iloc[int(np.nanargmax(best["score"].to_numpy()))]
        return (
            f"Geometry: the RDM of {material.name_of(model, row['layer'])} fits that of the {material.nouns.targets} "
            f"best at {1000 * float(row['group']):.0f} ms, with {number(row['score'])} (p {p_equals(row['p_fwer'])}, "
            f"corrected over times and layers; ceiling {number(row['ceiling_low'])} to {number(row['ceiling_high'])})."
        )
    parts, n_layers = [], rows["layer"].nunique()
    for (distance, measure), fits in rows.groupby(["distance", "comparison"], sort=False):
        row = fits.sort_values("score", ascending=False, kind="stable").iloc[0]
        which = f"{row['layer']} by " * (n_layers > 1)
        parts.append(
            f"{which}{distance}/{measure} {number(row['score'])} (p {p_equals(min(n_layers * row['p'], 1.0))}, ceiling "
            f"{number(row['ceiling_low'])} to {number(row['ceiling_high'])})"
        )
    told = "; ".join(parts).replace("ceiling – to –", "no ceiling")  # of one RDM in all
    if n_layers > 1:
        return f"Geometry, the best of {n_layers} layers of {model} (p times {n_layers}): {told}."
    return f"Geometry: the RDM of {model} fits the response RDMs with {told}."


def methods_text(material: Material) -> list[tuple[str, list[str]]]:
    """Return paragraphs, each with the keys of its references, for the steps that left results."""
    steps: list[tuple[str, Callable[[Material], tuple[str, list[str]]]]] = [
        ("prepare", _prepare_text),
        ("extract", _extract_text),
        ("encode", _encode_text),
        ("compare", rdm_methods if material.timed else _compare_text),
        ("summarize", _summarize_text),
    ]
    ran = {record["stage"] for record in material.sidecars.values()}
    paragraphs = [paragraph for stage, write in steps if stage in ran and (paragraph := write(material))[0]]
    closing = "The steps were run by Snakemake; every file has a record of its settings, inputs and code (Provenance)."
    return [*paragraphs, (closing, ["snakemake"])]


def reading_methods(material: SubjectMaterial) -> tuple[str, list[str]]:
    """Describe the preparation of responses from recordings."""
    options, noted = material.descriptor.fmri, material.details("responses")
    if material.descriptor.in_blocks and options is not None:
        return _blocks_text(options), ["nilearn"]
    if not material.timed:
        text = "Responses per trial were z-scored within session."
        if material.descriptor.betas.standardize == "none":
            text = "Responses per trial were taken as they are."
        if material.responses is None or "vertex" not in material.responses.targets:
            return text, []
        return f"{text} Surface maps are drawn on nilearn's fsaverage5.", ["nilearn"]
    read = "Epochs were read with MNE-Python"
    form = material.descriptor.recordings[material.subject].format
    if form in ("bids", "muse"):
        read = recordings_text(material).removesuffix(".")
    elif form != "epochs":
        read = "Responses around every trial were read from arrays"
    if not ("whitened" in noted or (material.descriptor.holds_out and material.descriptor.epochs.whiten)):
        return f"{read}.", []
    noise = "samples before the stimulus"
    if noted.get("noise") != "baseline":
        noise = "deviations from the mean over repeats"
    return f"{read} and whitened by the noise covariance of training epochs ({noise}, Ledoit-Wolf shrinkage).", [
        "ledoitwolf"
    ]


# By the kind of signal space separation, what it did to recordings.
SEPARATED = {
    "sss": "freed of what came from outside of the head (signal space separation)",
    "tsss": "freed of what came from outside of the head (spatiotemporal signal space separation, windows of 10 s)",
}
# By the way artifacts were removed, what became of recordings.
REMOVED = {
    "ica": "freed of independent components that follow the eyes (and the heart, where it was recorded)",
    "ssp": "freed of a projection that follows the eyes",
}


def cleaning_words(options: RawOptions, resample_hz: float | None) -> list[str]:
    """List what was done to raw recordings, in order."""
    band, notch = options.band_hz, options.notch_hz
    reference = "the average" if options.reference == "average" else listed(options.reference or ())
    return [
        *([SEPARATED[options.maxwell]] if options.maxwell is not None else []),
        *([f"freed of {notch:g} Hz and multiples"] if notch is not None else []),
        "not filtered" if band is None else f"filtered from {band[0]:g} to {band[1]:g} Hz",
        *([REMOVED[options.artifacts]] if options.artifacts is not None else []),
        *([f"referenced to {reference}"] if reference else []),
        *([f"resampled to {resample_hz:g} Hz"] if resample_hz is not None else []),
    ]


def recordings_text(material: StudyMaterial) -> str:
    """Describe the preparation of epochs from files; epochs saved by MNE are neither filtered nor rejected."""
    cut, files = material.descriptor.epochs, material.descriptor.recordings[material.subject]
    start, stop = (1000 * moment for moment in cut.span_s)
    if files.format in ("epochs", "array"):
        first = "their start" if cut.tmin_s is None else f"{start:.0f} ms"
        last = "their end" if cut.tmax_s is None else f"{stop:.0f} ms"
        source = "in an array" if files.format == "array" else "saved by MNE-Python or EEGLAB"
        text = f"Epochs {source} were read as they were filtered, and cut from {first} to {last}"
    else:
        span = f"cut from {start:.0f} to {stop:.0f} ms"
        source = "with MNE-Python" if files.format == "bids" else "from files of a Muse headset"
        cleaned = cleaning_words(cut, cut.resample_hz)
        text = f"Recordings were read {', '.join([source, *cleaned, span])}"
    if cut.baseline_s is not None:
        start, stop = (1000 * moment for moment in cut.baseline_s)
        text += f"; the mean from {start:.0f} to {stop:.0f} ms was subtracted"
    if cut.reject_uv is not None and files.format not in ("epochs", "array"):
        text += f"; epochs in which an EEG channel spans more than {cut.reject_uv:g} µV were left out"
    if cut.decimate > 1:
        text += f"; one of {cut.decimate} samples was kept"
    return f"{text}."


def _blocks_text(options: FmriOptions) -> str:
    """Describe how blocks in volumes became responses."""
    steps = {"detrended": options.detrend, "z-scored": options.standardize == "run"}
    treatment = " and ".join(step for step, done in steps.items() if done)
    n, lag_s = options.lag_volumes, options.lag_volumes * options.tr_s
    return (
        f"Voxels inside the mask were read with nilearn{f', {treatment} within run' if treatment else ''}. The "
        f"response to a block is the mean of its volumes shifted by {n} volumes ({lag_s:g} s; repetition time "
        f"{options.tr_s:g} s)."
    )


def _design(material: Material) -> tuple[bool, bool, bool]:
    """Tell whether one run is all, whether each of several shows every stimulus, whether any tested is trained on."""
    if material.responses is None or material.splits is None:
        return False, True, True
    trials = material.responses.trials
    shown = pd.crosstab([trials["session"], trials["run"]], trials["stimulus_id"]).to_numpy()
    sides = material.splits.merge(trials[["trial_id", "stimulus_id"]]).groupby(["name", "fold", "stimulus_id"])["split"]
    return len(shown) == 1, len(shown) > 1 and bool(shown.all()), bool(sides.nunique().gt(1).any())


def _prepare_text(material: Material) -> tuple[str, list[str]]:
    nouns, (read, keys) = material.nouns, reading_methods(material)
    if material.ceiling is not None and material.ceiling["ceiling"].isna().all():
        return read, keys
    averages = f" (for {nouns.stimuli} left out: the averages scored)" * bool(material.splits_that_leave("stimulus"))
    if not _design(material)[1]:
        text = f"{read} Noise ceilings follow from the ratio of signal to noise variance over repeats of "
        return f"{text}{nouns.a_stimulus}, of a single {nouns.trial}{averages}, in units of variance, unclamped.", keys
    means = f" (of the mean of {nouns.a_stimulus}'s {nouns.trials} in each)" if material.several_blocks else ""
    text = (
        f"{read} Noise ceilings are split-half correlations over runs{means}, averaged over random halvings and scaled "
        f"to a single {nouns.trial}{averages} by the Spearman-Brown formula: a share of variance, not clamped at 0."
    )
    return text, [*keys, "spearmanbrown"]


def _extract_text(material: Material) -> tuple[str, list[str]]:
    parts, keys = [], []
    for name in material.config.models_of(material.dataset):
        model = material.config.models[name]
        if isinstance(model, config.SentenceModel):
            how = "averaged over wordings" if model.wordings == "mean" else "a layer per wording"
            parts.append(f"{name}: sentence embeddings of {model.weights}, token mean of unit length, {how}")
            keys = ["sentence"]
        elif model.extractor == "random":
            parts.append(f"{name}: {model.n_draws} draws of {model.n_features} Gaussian features")
        elif isinstance(model, config.PixelsModel):
            parts.append(f"{name}: the images in {model.image_size} × {model.image_size} pixels")
        elif isinstance(model, config.ImageModel):
            parts.append(f"{name}: {_network(model, model.extractor)}")
        elif isinstance(model, config.TableModel):
            parts.append(f"{name}: vectors as given in {model.file.name}")
        else:
            parts.append(f"{name}: one feature per {material.nouns.stimulus}")
        parts[-1] += "" if model.dtype == "float32" else f", rounded to {model.dtype}"
    return f"Feature spaces were {'; '.join(parts)}.", keys


def _network(model: config.ImageModel, extractor: str) -> str:
    """Describe a network that looks at images, and how its layers were read."""
    named = next((str(getattr(model, key)) for key in ("model", "function") if hasattr(model, key)), "")
    weights = "random weights" if model.random else str(getattr(model, "weights", ""))
    what = " ".join(part for part in (extractor, named, f"({weights})" if weights else "") if part)
    layers = f"{len(model.layers)} layer{'s' if len(model.layers) > 1 else ''}" if model.layers else "the main layers"
    how = {"cls": "class token", "mean": "mean over places", "flatten": "all places", "tokens": "all places"}
    return f"{layers} of {what}, {how[model.pooling]}"


def _encode_text(material: Material) -> tuple[str, list[str]]:
    nouns, methods, regression = material.nouns, [], "ridge regression with a free intercept"
    target, targets = ("score", "scores") if material.timed else (nouns.target, nouns.targets)
    rules, (alone, _, trained_on) = list(material.descriptor.left_out.values()), _design(material)
    rule = next((each for each in rules if not each.of_stimuli), rules[0])
    of = Split(leave_out="run") if trained_on and not alone else rule
    for name in material.config.methods_of(material.dataset):
        method = material.config.methods[name]
        if not isinstance(method, config.PenaltyMethod):
            methods.append(f"{name} ({getattr(method, 'estimator', method.encoder)})")
            regression = "regression"  # what else these do, their names say
        elif len(method.alphas) == 1:
            methods.append(f"{name} (alpha {method.alphas[0]:g})")
        else:
            each = getattr(method, "per_target_alpha", True)
            one = f"a penalty per {target}" if each else f"one penalty for all {targets}"
            one = f"all layers in one fit, each with its share of {one}" if method.joint else one
            whole = f"{method.cv} folds of whole {of.plural}"
            folds = f"leave-one-{of.leave_out}-out" if method.cv == "groups" else whole
            methods.append(
                f"{name} ({one}, chosen among {len(method.alphas)} alphas from {min(method.alphas):g} to "
                f"{max(method.alphas):g} by {method.metric} in {folds} inside the training {rule.plural})"
            )
    n_permutations, several = material.config.encode.of("left_out").null_draws, material.several_blocks
    fits = f"Responses were predicted by {regression}: {'; '.join(methods)}"
    text = f"{fits}. Scores were computed within each held-out fold and then averaged. "
    if not rule.of_stimuli:
        over = f"r and R² are over single {nouns.trials}" if trained_on else "as for fits, r and R²"
        over = f"; its {nouns.trials} in the held-out {rule.plural} are averaged first, {over}"
        text += (
            f"A held-out {nouns.stimulus} counts as identified when its prediction correlates best with it over "
            f"{nouns.targets}{' and times' * material.timed}{over * (several or not trained_on)}. "
        )
    keys = ["ridge", *["identification"] * (not rule.of_stimuli)]
    # What is never trained on is exchanged as a whole; of runs every one is permuted by itself.
    within = "within runs" if trained_on else "as wholes"
    if n_permutations:
        text += (
            f"Nulls refit everything, penalties included: {n_permutations:,} permutations of the {nouns.stimuli} "
            f"{within}{f', the {nouns.trials} of one staying together' if several else ''}. {target.capitalize()} p "
            "values are corrected by the permutation distribution of the maximum (family-wise) and by "
            f"Benjamini-Hochberg (FDR). Where {targets} outnumber permutations, are fitted one by one and "
            f"{nouns.stimuli} are shown equally often, those that few reach are permuted ten times as often. "
        )
        keys += ["maxstat", "fdr", "sequential"]
    if material.responses is not None and not material.timed and material.responses.regions():
        held = ", the highest held against the largest of all regions, layers and models in each permutation"
        text += f"Of a region r is the mean over reliable {nouns.targets}, else all{held * bool(n_permutations)}. "
    models = [(name, material.config.models[name]) for name in material.config.models_of(material.dataset)]
    if scaled := [name for name, model in models if model.reads_images or model.reads_vectors]:
        text += (
            f"Features of {', '.join(scaled)} were centred and scaled, on the training {nouns.trials}, so that every "
            "layer has the same total variance; all but those of single places were z-scored one by one. "
        )
    why = "they are fitted where one set of stimuli is held out"
    if material.descriptor.in_blocks:
        words = "features of words and categories have no places"
        why = "so few images cannot train them" if material.descriptor.has_images else words
    text += f"Encoders of tokens (spatial read-outs, routing) do not apply: {why}."
    rules = [split for split in rules if split.of_stimuli]
    if rules:
        every = " and ".join(
            f"every {rule.size} {nouns.stimuli}" if rule.folds is None else f"{rule.folds} parts of the {nouns.stimuli}"
            for rule in rules
        )
        text += (
            f" For zero-shot prediction {every} were left out of training in turn, and each two of their predicted "
            "patterns matched to the two measured ones"
        )
        text += f"; fits, r and R² are of averages of each one's {nouns.trials}" * any(split.folds for split in rules)
        text += f"; its null exchanges which features belong to which {nouns.stimulus}." if n_permutations else "."
        keys.append("zeroshot")
    return text, keys


def rdm_methods(material: SubjectMaterial) -> tuple[str, list[str]]:
    """Describe the comparison of representational geometries by region or over time."""
    options = material.config.compare
    lower, upper = options.thresholds
    stimuli = material.nouns.stimuli
    comparison = {
        "spearman": "Spearman correlation",
        "cosine": "cosine",
        "geotopological": f"Pearson correlation after the geo-topological transform ({lower:g} to {upper:g}) of both, "
        f"with thresholds of all {stimuli} also where these are drawn anew (Spearman correlation of the same layers "
        "stands in the table as rank_score)",
    }[options.comparison]
    few = f" (all, where {config.MOST_COMPARED} at most were shown, equally often; else test {stimuli})"
    between = stimuli + few * material.descriptor.holds_out
    text = (
        f"Representational similarity: {options.distance} distances between {between}, compared with "
        f"{options.feature_distance} distances of features by {comparison}, null by exchanging the "
        f"{material.nouns.stimuli} of the model ({options.permutations} times); shown is the layer of each network "
        f"with the largest mean fit, chosen on these same data. {CEILING_OF_HALVES.format(runs='repeats')}"
    )
    return text, ["rsa", "spearmanbrown"]


CEILING_OF_HALVES = (
    "The ceiling bounds how well the true geometry would compare, from RDMs of halves of the {runs}: noise falls with "
    "the number of {runs} (lower; Spearman and Brown) or its square (upper)."
)


def _compare_text(material: Material) -> tuple[str, list[str]]:
    compare, table = material.config.compare, material.comparison
    assert table is not None
    runs = "runs" if _design(material)[1] else "repeats"
    distances = list(table["distance"].unique())
    text = (
        f"Representational dissimilarities were measured by {' and '.join(distances)} distances over all {runs}, and "
        f"compared with the {compare.feature_distance}-distance RDMs of the feature spaces by "
        f"{' and '.join(compare.comparisons)}; p from {compare.permutations:,} permutations of the "
        f"{material.nouns.stimuli}."
    )
    keys = ["rsa"]
    if table["ceiling_low"].notna().any():
        text += f" {CEILING_OF_HALVES.format(runs=runs)}"
        keys.append("spearmanbrown")
    if table["low"].notna().any():
        text += f" Intervals of these fits are of t and the jackknife over {runs}."
    whitened = [name for name in distances if name in ("crossnobis", "mahalanobis")]
    keys += ["crossnobis"] * bool(whitened)
    if whitened and material.descriptor.in_blocks:
        text += (
            f" For {' and '.join(whitened)}, patterns were whitened by the covariance of volumes around their block "
            "means, shrunk to its diagonal."
        )
        keys.append("shrinkage")
    if material.region_fits is not None and len(material.region_fits):
        by = f"by {compare.comparison} of {compare.distance} distances, p corrected for regions and layers of a model"
        text += f" Regions of {config.MIN_TARGETS} {material.nouns.targets} or more were compared {by}."
    return text, keys


def _summarize_text(material: Material) -> tuple[str, list[str]]:
    nouns, text, keys = material.nouns, "", []
    if material.decoding is None or len(material.decoding):
        text = (
            f"A multinomial logistic regression of the {nouns.stimuli} on the z-scored responses shows what they tell "
            "apart at all."
        )
        keys.append("sklearn")
    rows = pd.DataFrame(columns=["layer", "low"]) if material.summary is None else material.summary
    if rows.loc[rows["layer"] != "all", "low"].notna().any():  # over layers it is their range
        text += (
            f" Intervals over folds are {material.config.confidence:.0%} t intervals corrected for the "
            "training data folds share, which errs on the wide side. They describe this subject measured again with "
            "these stimuli, not other subjects or other stimuli."
        )
        keys.append("folds")
    return text.strip(), keys
