"""The page of a space that modalities share: retrieval between and within them, repeats, and geometry."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainalign.report import kit
from brainalign.report.pages.modality_figures import direction_matrix, space_curves, space_geometry, within_bars

SPACE_TABLES = ("spaceretrieval", "spacechanges", "spacecurve", "spacegeometry")
NAMES = {
    "joint": "joint space",
    "ridge": "ridge, each alone",
    "unimodal": "network per modality",
    "shuffled": "trained on shuffled pairs",
    "noise": "trained on noise",
    "noise at test": "tested on noise",
    "one layer": "one layer for all subjects",
    "mean layer": "mean subject layer at test",
    "low level": "luminance, contrast and spectrum",
}
LEVEL = 0.01
# Of weak signals it tells more than top-k. Nulls are told by top-1: of strong signals, a map that
# was trained on shuffled pairs finds by 2-way more, or less, than exchanged images allow.
MEASURE = "2-way"


def gather_modalities(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather what was found in the space that modalities share."""
    return shelf.study(SPACE_TABLES, noted=["modalities"])


def modalities_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of retrieval between and within modalities, of repeats, and of geometry."""
    whole, makers = bool(material.tables), (_between, _within, _repeats, _geometry)
    return kit.Chapter(
        "Modalities in one space",
        [make(material) for make in makers] if whole else [],
        [*_findings(material), *material.descriptor.notes] if whole else [],
        _cards(material),
        question="Is an image found across EEG, MEG and fMRI?",
        methods=_methods(material),
        failed_controls=[*failed_relations(material.tables["spaceretrieval"])] if whole else [],
    )


def _rows(material: kit.StudyMaterial, **wanted: str) -> pd.DataFrame:
    return kit.rows_where(material.tables["spaceretrieval"], **wanted)


def _cards(material: kit.StudyMaterial) -> list[dict[str, str]]:
    if not material.tables:
        return []
    cards = []
    for kind in ("image", "fused"):
        for _, row in _rows(material, decoder="joint", kind=kind, measure="top-1").iterrows():
            ridge = _rows(material, decoder="ridge", kind=kind, query=row["query"], measure="top-1")["value"].iloc[0]
            name = "all fused" if kind == "fused" else f"{row['query']}, one subject"
            control = f"top-1 of {int(row['n_gallery'])}, chance {kit.number(row['chance'])}, ridge {kit.number(ridge)}"
            cards.append({"name": name, "value": kit.number(row["value"]), "control": control})
    return cards


def _findings(material: kit.StudyMaterial) -> list[str]:
    fitted = material.details("spaceretrieval")
    nulls, said = _nulls(material.tables["spaceretrieval"]), []
    if False in fitted.get("converged", {}).values():
        said.append(
            f"Not converged: {material.config.decode_modalities.steps:,} batches of every modality were too few for "
            "the retrieval of validation images to stand still; raise decode_modalities.steps before comparing."
        )
    across = _rows(material, decoder="joint", kind="modalities", measure=MEASURE)
    if len(across):
        clear = across[across["p"] <= LEVEL]
        said.append(
            f"What one modality says of an image can be found in another in {len(clear)} of {len(across)} directions "
            f"({MEASURE}, p up to {kit.number(LEVEL, 2)}, images exchanged; subjects averaged)."
        )
    if leaning := [name for name, share in fitted.get("blend", {}).items() if share > 0.5]:
        said.append(
            f"Images of {', '.join(leaning)} are found by ridge rather than by the network: by validation images, each "
            "subject's ridge has the larger share in these embeddings."
        )
    if len(nulls):
        said.append(leak_sentence(nulls))
    for _, row in _rows(material, decoder="low level", kind="image", measure="top-1").iterrows():
        joint = _rows(material, decoder="joint", kind="image", query=row["query"], measure="top-1").iloc[0]
        said.append(
            f"Luminance, contrast and spectrum of the images, decoded from {row['query']} by ridge, find "
            f"{kit.number(row['value'])}{kit.interval(row)} (chance {kit.number(row['chance'])}) where the joint space "
            f"finds {kit.number(joint['value'])}{kit.interval(joint)}: so much needs no vector of a network."
        )
    changes = material.tables["spacechanges"]
    whole = changes[changes["modality"] == "all"].set_index("beside")
    for name, what in (("unimodal", "a network for each modality alone"), ("ridge", "ridge for each subject alone")):
        if name in whole.index:
            said.append(f"Joint training against {what}: {_change(whole[whole.index == name].iloc[0])}")
    layers = whole[whole.index.isin(["one layer", "mean layer"])]
    if len(layers):
        used = bool(((layers["change"] > 0) & layers["clear"]).any())
        words = "; ".join(f"{NAMES[str(name)]} {kit.signed(-row['change'])} ± {kit.number(row['se'])}"
                          for name, row in layers.iterrows())  # fmt: skip
        said.append(f"Subject layers are {'used' if used else 'unused here'}: {MEASURE} changes without them, {words}.")
    copies = [note for record in material.sidecars.values() for note in record["details"].get("warnings", [])]
    return [*said, *_not_comparable(material), *copies]


def leak_sentence(nulls: pd.DataFrame) -> str:
    """Name the scores above chance among those without a relation, each by the spread of its own permutations.

    Galleries differ in size, so the largest score need not be the one furthest above what it may be. Columns are
    decoder, kind, query, gallery, value, chance, null_mean and null_sd of top-1.
    """
    leaking = _leaking(nulls)
    if leaking.empty:
        top = nulls.iloc[int(nulls["value"].to_numpy().argmax())]
        return (
            f"Without a relation of recordings to images none of {len(nulls)} scores is above chance: the largest is "
            f"{kit.number(top['value'])} top-1 (chance {kit.number(top['chance'])})."
        )
    named = "; ".join(
        f"{NAMES[row['decoder']]}, {row['kind']} ({row['query']} in {row['gallery']}) {kit.number(row['value'])} "
        f"(chance {kit.number(row['chance'])})"
        for _, row in leaking.iterrows()
    )
    return (
        f"Without a relation of recordings to images {len(leaking)} of {len(nulls)} scores are above chance, so that "
        f"something besides the pairs is used: {named}, top-1."
    )


def _nulls(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["decoder"].isin(["shuffled", "noise", "noise at test"]) & (table["measure"] == "top-1")]


def _leaking(nulls: pd.DataFrame) -> pd.DataFrame:
    over = [kit.above_spread(row["value"], row["null_mean"], row["null_sd"]) for _, row in nulls.iterrows()]
    return nulls[np.array(over, dtype=bool)]


def failed_relations(table: pd.DataFrame) -> Iterator[kit.FailedControl]:
    """Yield scores without a relation of recordings to images above their limit, and pixels as good as all."""
    for _, row in _leaking(_nulls(table)).iterrows():
        yield kit.FailedControl(
            f"{NAMES[row['decoder']].capitalize()}: {row['kind']} ({row['query']} in {row['gallery']}), top-1",
            float(row["value"]),
            "No recording is related to its image here, so that something besides the pairs is used; the joint space "
            "may use it as well.",
            float(row["chance"]),
            limit=float(row["null_mean"] + 3 * row["null_sd"]),
            section="between",
        )
    images = table[(table["kind"] == "image") & (table["measure"] == "top-1")]
    joint = images[images["decoder"] == "joint"].set_index("query")
    for _, row in images[images["decoder"] == "low level"].iterrows():
        own = joint.loc[row["query"]]
        if row["value"] >= own["value"] and own["p"] <= LEVEL:
            yield kit.FailedControl(
                f"Luminance, contrast and spectrum alone, from {row['query']}, top-1",
                float(row["value"]),
                f"The joint space finds {kit.number(own['value'])}: nothing shows that it uses more of an image "
                "than these.",
                float(row["chance"]),
                section="within",
            )


def _change(row: pd.Series) -> str:
    better = "better" if row["change"] > 0 else "worse"
    words = better if row["clear"] else "no clear difference"
    return f"{kit.signed(row['change'])} ± {kit.number(row['se'])} {MEASURE}, {int(row['n_stimuli'])} images: {words}."


def _not_comparable(material: kit.StudyMaterial) -> list[str]:
    fitted, unequal = material.details("spaceretrieval"), []
    for key, what in (
        ("n_train", "training images"),
        ("n_test", "images in the gallery"),
        ("train_repeats", "repeats in training"),
        ("test_repeats", "repeats in the test"),
    ):
        values = fitted[key]
        if len(set(values.values())) > 1:
            unequal.append(f"{what} ({', '.join(f'{name} {value:g}' for name, value in values.items())})")
    if not unequal:
        return []
    return [
        f"Scores of modalities are not comparable with each other: they differ in {'; '.join(unequal)}. Neither are "
        "they comparable with published ones of other splits, repeats or galleries."
    ]


def _between(material: kit.StudyMaterial) -> kit.Section:
    rows = _rows(material, kind="modalities")
    title = "From modality to modality"
    if rows.empty:
        return kit.Section("between", title, paragraphs=["One modality: nothing to look for in another."])
    chance = {measure: kit.number(part["chance"].iloc[0]) for measure, part in rows.groupby("measure", sort=False)}
    panels = [
        kit.captioned("spacedirections", f"{title}, {name}", direction_matrix(rows, name), numbers, id=f"directions{k}")
        for k, name, numbers in ((2, MEASURE, rows), (1, "top-1", None), (5, "top-5", None))
    ]
    paragraphs = [
        f"An image's mean embedding over the subjects of one modality is looked for among {rows['n_gallery'].iloc[0]} "
        f"mean embeddings of another. Chance is {chance[MEASURE]} ({MEASURE}), {chance['top-1']} (top-1) and "
        f"{chance['top-5']} (top-5) where galleries are of this size. n.s.: p above .05, images exchanged."
    ]
    table = _table(rows, "From modality to modality", material.config.confidence)
    return kit.Section("between", title, panels, paragraphs, [table])


def _within(material: kit.StudyMaterial) -> kit.Section:
    fitted, rows = material.details("spaceretrieval"), _rows(material)
    rows = rows[rows["kind"].isin(["image", "averaged", "subjects", "fused"])]
    figure, title, confidence = within_bars(rows, "top-5"), "Images found from the brain", material.config.confidence
    panel = kit.captioned("spacewithin", title, figure, rows, id="within", confidence=confidence)
    changes = material.tables["spacechanges"]
    header = ["joint space against", "modality", f"{MEASURE} difference", "standard error", "images", "clear"]
    cells = [
        [NAMES[row["beside"]], row["modality"], kit.signed(row["change"]), kit.number(row["se"]),
         str(int(row["n_stimuli"])), "yes" if row["clear"] else "no"]
        for _, row in changes.iterrows()
    ]  # fmt: skip
    paragraphs = [
        "Image: every subject alone. Averaged: mean embedding of the subjects of a modality. Subjects: every subject "
        "looks in the embeddings of every other subject of its modality. Fused: mean over all modalities and subjects."
    ]
    if unknown := {name: n for name, n in fitted["unknown"].items() if n}:
        paragraphs.append(f"Test trials of subjects who were not in training, embedded by the mean layer: {unknown}.")
    blocks = [
        _table(rows, title, confidence),
        Markup("<h3>Differences, image by image</h3>"),
        kit.html_table(header, cells, "Differences from the joint space"),
    ]
    return kit.Section("within", "Within modalities", [panel], paragraphs, blocks)


def _table(rows: pd.DataFrame, label: str, confidence: float) -> Markup:
    """Return a row per search and measure: the joint space with interval and p, and what stands beside it."""
    decoders = [name for name in NAMES if name != "joint" and name in set(rows["decoder"])]
    header = ["search", "from", "in", "measure", "joint", f"{confidence:.0%} interval", "p", "chance", *decoders]
    keys = ["kind", "query", "gallery", "measure"]
    values = rows.pivot_table(index=keys, columns="decoder", values="value", sort=False)
    cells = []
    for _, row in rows[rows["decoder"] == "joint"].iterrows():
        beside = values.loc[tuple(row[key] for key in keys)]
        interval = f"{kit.number(row['low'], 2)} to {kit.number(row['high'], 2)}" if pd.notna(row["low"]) else "–"
        chance = f"{kit.number(row['chance'], 2)} of {int(row['n_gallery'])}"
        cells.append(
            [*(row[key] for key in keys), Markup("<b>{}</b>").format(kit.number(row["value"])), interval,
             kit.p_number(row["p"]), chance, *(kit.number(beside.get(name, float("nan"))) for name in decoders)]
        )  # fmt: skip
    return kit.html_table(header, cells, label)


def _repeats(material: kit.StudyMaterial) -> kit.Section:
    curve = material.tables["spacecurve"]
    title, measure = "Averaging repeats", "top-5"
    top = curve[curve["measure"] == measure].sort_values("value", ascending=False).iloc[0]
    text = (
        f"{top['modality']} reaches {measure} {kit.number(top['value'])} with {top['n_averaged']} repeats averaged, "
        f"chance {kit.number(top['chance'])}."
    )
    panel = kit.captioned("spacerepeats", title, space_curves(curve, measure), curve, id="repeats")
    return kit.Section("repeats", title, [panel], [text])


def _geometry(material: kit.StudyMaterial) -> kit.Section:
    table, title = material.tables["spacegeometry"], "Geometry of concepts"
    header = ["decoder", "patterns", "Spearman's r", "p", "mean of exchanged images", "images"]
    cells = [
        [NAMES[row["decoder"]], row["source"], kit.number(row["r"]), kit.p_number(row["p"]),
         kit.number(row["null_mean"]), str(int(row["n_stimuli"]))]
        for _, row in table.iterrows()
    ]  # fmt: skip
    panel = kit.captioned("spacegeometry", title, space_geometry(table), table, id="geometry")
    top = table.sort_values("r", ascending=False).iloc[0]
    paragraphs = [
        f"{NAMES[top['decoder']]}, {top['source']}: Spearman's r {kit.number(top['r'])}, the highest of {len(table)}, "
        f"p {kit.p_equals(top['p'])}.",
        "Do images that are alike for the image vectors lie close to each other in the space? A map learned from "
        "shuffled pairs is no null here: it keeps part of the geometry that the recordings have by themselves. What "
        "was learned is what lies above it.",
    ]
    return kit.Section("geometry", title, [panel], paragraphs, [kit.html_table(header, cells, title)])


def _ending(material: kit.StudyMaterial) -> list[str]:
    """Describe the length of training, the images that validated it, and the share of ridge."""
    fitted = material.details("spaceretrieval")
    if not fitted:
        return []
    options, blend = material.config.decode_modalities, fitted["blend"]
    steps = f"({sum(fitted['steps'].values()):,} batches in all)"
    which = "Images of the split val" if fitted["has_val"] else "A tenth of the training images"
    went = {"plateau": "on until these were found no better"}.get(options.schedule, "over a cycle of the learning rate")
    trained = f"{which} validated: training went {went} {steps}, and the best weights for them were kept. "
    if not fitted["validated"]:
        trained = (
            f"Too few images to leave any out for validation: training took a cycle of the learning rate {steps}. "
        )
    shares = ", ".join(f"{name} {kit.number(share, 2)}" for name, share in blend.items())
    chosen = ", as configured"
    if options.blend is None:
        chosen = ", chosen by validation images" if fitted["validated"] else ", that of studies without them"
    penalties = ", ".join(f"{name} {penalty:g}" for name, penalty in fitted["penalty"].items())
    by = "by folds of training images" if options.penalty is None else "in the configuration"
    return [
        f"{trained}Embeddings are weighted means of the network's and of each subject's ridge at unit length, as long "
        "as ridge predicts them, so that means over subjects follow those that say more; the share of ridge is "
        f"{shares}{chosen}. Its penalty, here and beside, was chosen {by}: {penalties or 'none'} (in units of the mean "
        "eigenvalue)."
    ]


def _methods(material: kit.StudyMaterial) -> list[tuple[str, Sequence[str]]]:
    options = material.config.decode_modalities
    phases = {
        "joint": "all networks were trained together, a batch of one modality after the other",
        "two": "encoders were trained one by one, frozen, and then the projector on all modalities",
    }[options.phases]
    whitened = "sensors were whitened by the noise of repeated training trials, and " * options.whiten
    squared = f", and the squared distance to the image vector (weight {options.regression:g})" * bool(
        options.regression
    )
    texts = [
        f"Repeats of an image were averaged within subjects, {whitened}every channel and time standardised by the "
        "subject's training trials. An encoder per modality, which begins with a linear layer of each subject, and a "
        f"projector that all modalities share ({options.n_experts} linear experts, weighted by a router) lead to the "
        f"space of the image vectors, from which the mean of the training images was subtracted; {phases} "
        f"(batches of {options.batch_size}, AdamW), by a contrastive loss, in which "
        f"trials of one image are no negatives of each other{squared}.",
        *_ending(material),
        "Ridge: one dual ridge for every subject, from its standardised signals to the image vector.",
    ]
    nulls = {
        "shuffled": "pairs of signals and images shuffled within every subject, independently in every modality",
        "noise": "noise with the mean spectrum of every subject",
    }
    if trained := [words for name, words in nulls.items() if name in options.beside]:
        texts.append(f"Nulls that were trained: {'; '.join(trained)}.")
    table = material.tables.get("spaceretrieval", pd.DataFrame(columns=["decoder"]))
    if (table["decoder"] == "low level").any():
        texts.append(
            "Ridge also decodes the luminance and contrast of images and their share of power in octaves of spatial "
            "frequency, standardised by the training images; the image is looked for by these."
        )
    texts.append(
        "p values: distinct test images exchanged. Intervals: subjects and images drawn with replacement; of two to "
        "five by Student's t, for people in general. Those of averages, and of two subjects that find each other, are "
        "over images alone: they speak of these subjects."
    )
    return [(texts[0], ("brainflora",)), *((text, ()) for text in texts[1:])]
