"""The page of a subject with stimuli held out: findings in words, cards, sections, methods, provenance."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from brainalign import config
from brainalign.report import kit, synthesis_sections
from brainalign.report.encoding_sections import contest_methods, contest_sentence
from brainalign.report.geometry_sections import searchlight_methods
from brainalign.report.pages.answers import answer_of_images
from brainalign.report.pages.image_parts import image_sections
from brainalign.statistics import RELIABLE, reliable_rule


def images_chapter(material: kit.ImageMaterial) -> kit.Chapter:
    """Tell of one subject with a set of stimuli held out."""
    summary, stimuli = material.summary, material.nouns.stimuli
    return kit.Chapter(
        f"Subject {material.subject}",
        image_sections(material),
        image_findings(material),
        answer=answer_of_images(material, _pairs(material)),
        headline=[] if summary is None else _headline(summary),
        pairs=_pairs(material),
        interval_note=f"One row per model: the layer that scores best inside the training {stimuli} (the first one "
        "where nothing is scored there, as with a single penalty); all layers are in the CSV. Intervals: resampled "
        f"test {stimuli}.",
        summary=summary,
        methods=_methods(material),
        failed_controls=failed_image_controls(material),
    )


def failed_image_controls(material: kit.ImageMaterial) -> list[kit.FailedControl]:
    """Return the controls that failed for one subject: of encoding, of decoding, and of what builds on them."""
    found = [*kit.failed_windows(material.decoded), *_failed_encodings(material), *_failed_words(material)]
    for row in _pairs(material):
        better = row["better"]
        if better in material.fit_labels(material.controls):
            other = row["b"] if better == row["a"] else row["a"]
            if other not in material.fit_labels(material.controls):
                name = f"Random weights, {better}, predict better than {other}: difference of mean r"
                text = "What the trained network predicts is no evidence of what it learned."
                value, p = abs(float(row["difference"])), float(row["p"])
                found.append(kit.FailedControl(name, value, text, p=p, section="numbers"))
    study = material.synthesised
    for region in [] if study is None else study.regions:
        assert study is not None
        if text := synthesis_sections.warning(study, region):
            judge = next((name for name in study.judges if name != "guide"), "guide")
            gain = study.gain(region, "unguided", judge)
            value = float("nan") if gain is None else float(gain["gain"])
            name = f"Images guided for {region}, gain by another judge"
            found.append(kit.FailedControl(name, value, text, 0.0, section="synthesis"))
    return found


def _failed_encodings(material: kit.ImageMaterial) -> Iterator[kit.FailedControl]:
    """Return fits to exchanged responses that predict, and predictions of what was before the image."""
    nouns = material.nouns
    to_high = NormalDist().inv_cdf((1 + material.config.confidence) / 2)
    for (model, method), encoding in material.encodings.items():
        layer, name = material.chosen(model, method), material.fit_label(model, method)
        refits = encoding.profile.reindex(columns=["layer", "group", "null_mean", "null_high", "control_r"])
        for _, row in refits[(refits["layer"] == layer) & (refits["group"] == RELIABLE)].iterrows():
            limit = row["null_mean"] + kit.SPREADS * (row["null_high"] - row["null_mean"]) / to_high
            if np.isfinite(limit) and row["control_r"] > limit:
                yield kit.FailedControl(
                    f"{name}, {layer}, refitted on responses exchanged between {nouns.stimuli}, in every order, mean r",
                    float(row["control_r"]),
                    f"Exchanged responses hold nothing of {nouns.a_stimulus}; what predicts nevertheless (a split "
                    f"that shares {nouns.stimuli} or runs, a trend over all of them) is in the other scores as "
                    "well.",
                    0.0,
                    limit=float(limit),
                    section="time" if material.timed else "layers",
                )
        if material.timed and len(encoding.clusters):
            early = kit.before_onset(encoding.clusters[encoding.clusters["layer"] == layer], "start", "stop")
            for _, row in early.iterrows():
                yield kit.too_early(
                    f"{name}, {layer}, predicts {nouns.targets} before the {nouns.stimulus}, "
                    f"{1000 * row['start']:.0f} to {1000 * row['stop']:.0f} ms, mass of the cluster",
                    float(row["mass"]),
                    float(row["p"]),
                    nouns,
                )


def _failed_words(material: kit.ImageMaterial) -> Iterator[kit.FailedControl]:
    """Return captions of other voxels and words grounded in shuffled images that do as well."""
    scores = material.captions.get("captionscores", pd.DataFrame())
    rows = {} if scores.empty else kit.by_name(scores[scores["region"] == RELIABLE], "of")
    for name, words in (("permuted", "Captions of other voxels"), ("shuffled", "Captions of exchanged images")):
        if name in rows and np.isfinite(rows[name]["r"]) and not rows[name]["gain_low"] > 0:
            yield kit.FailedControl(
                f"{words} predict voxels, mean r",
                float(rows[name]["r"]),
                f"A voxel's own caption ({kit.number(rows['caption']['r'])}) does not beat it: the words "
                "describe the stimuli, not the voxels, and should not be used.",
                section="voxelcaptions",
            )
    scores = material.grounding.get("groundedscores", pd.DataFrame())
    rows = {} if scores.empty else kit.by_name(scores[scores["measure"] == "2-way"], "space")  # tells most
    if (
        "shuffled" in rows
        and rows["shuffled"]["p"] < kit.LEVEL
        and rows["shuffled"]["low"] > rows["shuffled"]["chance"]
    ):
        yield kit.FailedControl(
            "Words grounded in shuffled images find images, 2-way",
            float(rows["shuffled"]["value"]),
            "No word was trained with what it is said of, so that grounding needs no places to score.",
            float(rows["shuffled"]["chance"]),
            float(rows["shuffled"]["p"]),
            section="grounding",
        )


def _headline(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the layer chosen in training of every model; all layers are in the CSV."""
    shown = summary[summary["chosen"]]
    extreme = shown["quantity"].isin(["largest r", "share above ceiling"])  # above 0 by chance alone
    shown = shown.assign(chance=np.where(extreme, np.nan, 0.0))
    columns = ["quantity", "split", "model", "method", "layer", "value", "low", "high", "chance", "null_mean", "p", "n"]
    return [{str(k): v for k, v in row.items()} for row in shown.reindex(columns=columns).to_dict("records")]


def image_findings(material: kit.ImageMaterial) -> list[str]:
    """Write the findings of an image study as sentences that follow from the numbers alone."""
    if material.summary is None:
        return []
    sentences = []
    # A mean is taken over the reliable targets, or over all without a noise ceiling.
    known = material.has_ceilings
    counted = "reliable" if known else f"(all: no {material.nouns.stimulus} was repeated, so there is no noise ceiling)"
    for (model, method), mine in material.summary[material.summary["chosen"]].groupby(["model", "method"], sort=False):
        value = {str(row["quantity"]): row for _, row in mine.iterrows()}
        mean = value["mean r"]
        share = next(row for name, row in value.items() if name.startswith("share with q"))
        control = " (random weights)" if model in material.controls else ""
        if np.isnan(mean["value"]):
            threshold = material.config.ceiling_threshold
            why = "its predictions are constant" if mean["n"] else f"no target is reliable ({reliable_rule(threshold)})"
            sentences.append(f"{model}{control} with {method} has no mean r: {why}.")
            continue
        which = f"layer {mean['layer']} ({mean['choice']})"
        if material.joint(str(method)):
            which = "all layers jointly"
        sentences.append(
            f"{model}{control} with {method}, {which}: mean r "
            f"{kit.number(mean['value'])} over {int(mean['n']):,} {counted} targets "
            f"({kit.number(mean['low'])} to {kit.number(mean['high'])}; permuted {kit.number(mean['null_mean'])}, "
            f"refitted on permuted responses {kit.number(mean['control'])}; p {kit.p_equals(mean['p'], 4)}); "
            f"r²/ceiling {kit.number(value['r²/ceiling']['value'])}, above 1 in "
            f"{kit.number(value['share above ceiling']['value'])} of them; {kit.number(share['value'])} of them "
            "are significant (false discovery rate)."
        )
    sentences += _comparisons(material)
    sentences += contest_sentence(material)
    sentences += synthesis_sections.synthesis_findings(material)
    sentences += _decisions(material)
    return sentences


def _comparisons(material: kit.ImageMaterial) -> list[str]:
    """State which models predict better than which, and which cannot be told apart; the numbers are in the table."""
    pairs = _pairs(material)
    if not pairs:
        return []
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair["better"]:
            beaten.setdefault(pair["better"], []).append(pair["b" if pair["better"] == pair["a"] else "a"])
    ranked = sorted(beaten.items(), key=lambda each: -len(each[1]))
    found = [f"{better} predicts better than {', '.join(others)}" for better, others in ranked]
    ties = [f"{pair['a']} and {pair['b']}" for pair in pairs if not pair["better"]]
    found += [f"cannot be told apart: {', '.join(ties)}"] if ties else []
    of = f"Differences of mean r, paired over the same resampled test {material.nouns.stimuli}"
    corrected = f", p corrected for all {len(pairs)} by the largest" * (len(pairs) > 1)
    return [f"{of}{corrected}: {'; '.join(found)}."]


def _pairs(material: kit.ImageMaterial) -> list[dict[str, Any]]:
    """Return a row per pair of models; `better` is empty where the two cannot be told apart."""
    rows: list[dict[str, Any]] = []
    for _, row in (pd.DataFrame() if material.differences is None else material.differences).iterrows():
        a, b = (material.fit_label(row[f"model_{side}"], row[f"method_{side}"]) for side in "ab")
        sure = (row["low"] > 0 or row["high"] < 0) and row["p"] < 0.05
        better = "" if not sure else a if row["difference"] > 0 else b
        numbers = {column: row[column] for column in ("difference", "low", "high", "p")}
        rows.append({"a": a, "b": b, "better": better} | numbers)
    return rows


def _decisions(material: kit.ImageMaterial) -> list[str]:
    several = {
        model: encoding
        for (model, _), encoding in material.of_layers.items()
        if material.timed or encoding.profile["layer"].nunique() > 1
    }
    model, encoding = next(iter(several.items()), ("", None))
    if encoding is None:
        return []
    n, total = int(encoding.preference["decided"].sum()), len(encoding.preference)
    what, rival = "best layers of regions", "the second best layer"
    if material.timed:
        what, rival = "peak latencies of layers", "every time outside the peak's own hump"
    return [
        f"{n} of {total} {what} of {model} are decided: above their permuted null and ahead of {rival} by more than "
        "two standard errors. The others are called undecided and left out."
    ]


def _methods(material: kit.ImageMaterial) -> list[tuple[str, Sequence[str]]]:
    """List the paragraphs of the methods, each with the keys of its references."""
    texts: list[tuple[str, Sequence[str]]] = [kit.reading_methods(material)]
    if material.encodings:
        texts += [*_fits(material), _scoring(material)]
    texts += contest_methods(material)
    if material.ceiling is not None and material.ceiling.reindex(columns=["ceiling"]).notna().any(axis=None):
        text = (
            "Noise ceilings follow from the ratio of signal to noise variance over repeats of "
            f"{material.nouns.a_stimulus}, in units of "
            "variance, and are not clamped."
        )
        texts.append((text, ()))
    if material.comparison is not None:
        texts.append(kit.rdm_methods(material))
    texts += searchlight_methods(material)
    texts += synthesis_sections.synthesis_methods(material)
    texts += synthesis_sections.caption_methods(material)
    texts += synthesis_sections.grounding_methods(material)
    return texts


def _scoring(material: kit.ImageMaterial) -> tuple[str, tuple[str, ...]]:
    """Describe the scores of predictions and their tests."""
    options, stimuli = material.config.encode.of("held_out"), material.nouns.stimuli
    known = material.has_ceilings
    averaged = ", whose repeats were averaged" * known
    threshold = material.config.ceiling_threshold
    tested = f"over targets with a ceiling above {threshold:g}" if known else "over all targets"
    means = f"Means are over reliable targets: {reliable_rule(threshold)} (F test over repeats of {stimuli}). " * known
    profiles = [encoding.profile for encoding in material.encodings.values()]
    refit = any("control_r" in profile and profile["control_r"].notna().any() for profile in profiles)
    control = f"a refit on training responses exchanged between {stimuli} (ridge: of at most 1,000 targets a group) "
    control += "is a control, the last of up to 8 orders while it predicts, all of which do so 1 time in 256 at most; "
    control *= refit
    text = (
        f"Scores are Pearson correlations over test {stimuli}{averaged}. Nulls exchange the predictions between test "
        f"{stimuli} ({options.permutations:,} times, ten times as often where few of them reach a target's r); "
        f"{control}intervals resample test {stimuli} ({options.draws} draws, widened to Student's t). {means}"
        f"False discovery rate {tested}: Benjamini-Hochberg."
    )
    return text, ("maxstat", "sequential", "bootstrap", "fdr")


def _fits(material: kit.ImageMaterial) -> list[tuple[str, tuple[str, ...]]]:
    """Describe the regressions of responses on features: layers one by one, and all together."""
    stimuli = material.nouns.stimuli
    texts: list[tuple[str, tuple[str, ...]]] = []
    fits = list(material.encodings)
    methods = {name: material.config.methods[name] for _, name in fits}
    if separate := {name: method for name, method in methods.items() if isinstance(method, config.RidgeMethod)}:
        how = _penalties(separate, stimuli)
        text = f"Each layer of each network was regressed on the responses by ridge regression, {how}."
        texts.append((text, ("ridge",)))
    for name, method in methods.items():
        if not isinstance(method, config.BandedRidgeMethod):
            continue
        score = {"r2": "R²", "r": "r"}[method.metric]
        text = (
            f"{name}: all layers of {', '.join(model for model, other in fits if other == name)} were regressed on the "
            "responses together by banded ridge regression, which gives every layer its own share of the penalty. "
            f"Shares and penalty were chosen per target inside the training {stimuli} by {score}, among "
            f"{method.n_candidates} sets of shares (even, each layer alone, then Dirichlet draws) and "
            f"{len(method.alphas)} penalties from {min(method.alphas):g} to {max(method.alphas):g}. The {score} of the "
            f"joint prediction on test {stimuli} was split over the layers by the product measure: parts add up to it, "
            "what layers share is divided between them, and a part can be negative where layers correlate."
        )
        texts.append((text, ("banded",)))
    later: list[tuple[int, str, tuple[str, ...]]] = []
    for name, method in methods.items():
        if isinstance(method, config.EstimatorMethod):
            place, _, function = method.estimator.rpartition(":")
            options = ", ".join(f"{key} = {value}" for key, value in method.options.items()) or "its defaults"
            text = f"{name}: each layer was regressed on the responses by {function} ({place}) with {options}."
            later.append((0, text, ()))
        elif isinstance(method, config.InContextMethod):
            later.append((1, _few_images(name, method), ("incontext", "empiricalbayes")))
        elif isinstance(method, config.DictionaryMethod):
            later.append((2, _dictionary(name, method), ("sae",) if method.coding == "topk" else ("pursuit",)))
        elif isinstance(method, config.TrainedMethod):
            later.append((3, _training(name, method), ()))
        elif not isinstance(method, config.RidgeMethod | config.BandedRidgeMethod):  # of a lab, without words here
            text = f"{name}: each layer was regressed on the responses by the encoder {method.encoder}."
            later.append((0, text, ()))
    texts += [(text, keys) for _, text, keys in sorted(later, key=lambda each: each[0])]
    return texts


def _dictionary(name: str, method: config.DictionaryMethod) -> str:
    """Describe the learning of sparse codes and the regression of responses on them."""
    how = {
        "topk": f"the {method.n_active} atoms that respond most",
        "matching_pursuit": f"{method.n_active} atoms, each chosen by what the earlier ones left over",
    }[method.coding]
    return (
        f"{name}: from the training images alone a dictionary of {method.width} atoms was learned of each layer, which "
        f"explains an image by {how} (weights above 0), and the responses were regressed on these codes by ridge "
        f"regression; {len(method.seeds)} starts show whether the atoms depend on where learning began."
    )


def _few_images(name: str, method: config.InContextMethod) -> str:
    """Describe the in-context encoder, whose weights are read off a few images."""
    low, high = method.context_sizes
    synthetic, real = sum(method.n_steps[:2]), method.n_steps[2]
    return (
        f"{name}: a transformer was meta-trained on training images of the other subjects, {synthetic:,} steps on "
        f"synthetic voxels drawn from the prior of their weights and {real:,} steps in turn on their voxels and on "
        "synthetic ones, with contexts of "
        f"{low} to {high} images. It reads linear weights of this subject's voxels off a context without any gradient "
        "step. Ridge with a pooled penalty, with one per target, and empirical-Bayes ridge with the same prior saw the "
        "same contexts. Principal components, prior and networks hold nothing of this subject or of any test image."
    )


def _training(name: str, method: config.TrainedMethod) -> str:
    """Describe the training of an encoder of tokens."""
    kinds = {
        "factorized": "a spatial field and channel weights per target",
        "gaussian": "a Gaussian field and channel weights per target",
        "semantic": f"a spatial field per target that moves with the image ({method.needs_semantics}), and weights",
        "routing": "learned queries that attend to tokens by what they hold and where they lie, and weights per target",
        "response_optimised": "a convolutional core shared by all targets, and per target a "
        f"{getattr(method, 'readout', '')} read-out of its maps",
    }
    read = "images" if method.encoder == "response_optimised" else "the tokens of each layer"
    solved = getattr(method, "loss", "") == "mse" and getattr(method, "field", "integrated") != "point"
    chose = ", and the penalty of ridge, by which what fields see is then weighted" * solved
    seeds = f"seed {method.seeds[0]}"
    if len(method.seeds) > 1:
        seeds = f"{len(method.seeds)} seeds, whose predictions were averaged"
    return (
        f"{name}: {kinds[method.encoder]}, trained on {read} by AdamW for up to {method.epochs} "
        f"epochs ({seeds}). {method.validation:.0%} of the training images chose the epoch{chose}."
        + (
            " Simpler encoders of the same tokens stand beside it; differences are paired over resampled test images."
            if method.baselines
            else ""
        )
        + (
            " All layers and seeds as one: weighted per target by softmax(40 · validation r)."
            if method.ensemble
            else ""
        )
    )


def _penalties(methods: Mapping[str, config.RidgeMethod], stimuli: str) -> str:
    """Describe the choice of the ridge penalty, by method where they differ."""
    found = {}
    for name, method in methods.items():
        of = "per target" if method.per_target_alpha else "for all targets together"
        found[name] = f"the penalty chosen {of} inside the training {stimuli}"
        if len(method.alphas) == 1:
            found[name] = f"the penalty fixed at {method.alphas[0]:g}"
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name}: {text}" for name, text in found.items())
