"""The page of sentences decoded from EEG: whether brains are used first, then scores, and sentences last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from brainalign.config import LinearDecoding
from brainalign.io import read_parquet, table_path
from brainalign.report.kit import Chapter, FailedControl, Section, Shelf, StudyMaterial, number, p_equals
from brainalign.report.pages import text_sections

OTHERS = {"pre-stimulus": "on the time before the sentence", "EOG only": "on the channels of the eyes alone"}
WITH_BRAIN = ("brain", "phase-randomised", "time-reversed")
NAMED = {
    "all": "all nuisances together",
    "all but time": "all nuisances but time",
    "nothing": "the mean of training sentences",
}
TEXT_TABLES = (
    "controls", "retrieval", "retrievalsubjects", "averaged", "zeroshot", "confusion", "nuisances", "leftblocks",
    "textscores", "relevance", "sentences",
)  # fmt: skip


@dataclass
class TextMaterial(StudyMaterial):
    """What was decoded of sentences; empty after a failure.

    Attributes
    ----------
    decoders : mapping
        Tables by name, of every decoder by name.
    said : mapping
        Details of the control matrix, by decoder: the verdict among them.
    """

    decoders: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    said: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def gather_text(shelf: Shelf) -> TextMaterial:
    """Gather what every decoder told of sentences."""
    material = shelf.material(TextMaterial)
    if material.failures:
        return material
    shelf.note("responses", "splits")
    material.tables = shelf.tables(["ledger"])
    # Signals are large, and the page draws none.
    material.tables["targets"] = read_parquet(table_path(shelf.locate("responses", material.dataset), "targets"))
    for labels in shelf.each("controls"):
        material.decoders[labels["method"]] = shelf.tables(TEXT_TABLES, **labels)
        material.said[labels["method"]] = material.details(f"method-{labels['method']}_controls")
    return material


def text_chapter(material: TextMaterial) -> Chapter:
    """Tell of sentences decoded from EEG: whether brains are used first, then scores, and sentences last."""
    decoders, said, options = material.decoders, material.said, material.config.decode
    sections: list[Section] = []
    if decoders:
        ledger, targets = (material.tables.get(name, pd.DataFrame()) for name in ("ledger", "targets"))
        sections = [
            *text_sections.control_sections(decoders),
            text_sections.retrieval_section(decoders, material.config.confidence),
            text_sections.sentence_section(decoders, said, options.examples, material.config.seed),
            *text_sections.label_section(decoders),
            *text_sections.relevance_section(decoders, targets),
            text_sections.data_section(ledger, material.details("responses"), next(iter(said.values()))),
        ]
    return Chapter(
        "Text from EEG",
        sections,
        material.descriptor.notes if decoders else [],
        _cards(material),
        verdicts=_verdicts(material),
        methods=_methods(material) if decoders else [],
        failed_controls=[
            control
            for decoder, tables in decoders.items()
            for control in failed_decoding(decoder, tables, said[decoder])
        ],
    )


def failed_decoding(
    decoder: str, tables: Mapping[str, pd.DataFrame], details: Mapping[str, Any]
) -> Iterator[FailedControl]:
    """List the failed controls of a decoder: cells above their limit, nuisances that are not beaten, time."""
    cells = tables["controls"]
    for (trained, tested), part in cells.groupby(["trained", "tested"], sort=False):
        holds_brain = trained == "brain" and tested in WITH_BRAIN
        # Trained on noise or shuffled pairs, other inputs ask what a decoder of them uses.
        if holds_brain or (trained != "brain" and tested not in ("brain", "noise", "shuffled")):
            continue
        over = part[(part["value"] > part["limit"]) & (part["p"] <= text_sections.LEVEL)]
        if len(over):
            row = over.iloc[0]
            yield FailedControl(
                f"{decoder}, trained on {trained}, tested on {tested} ({row['measure']})",
                float(row["value"]),
                "There is no brain in this, so that the score comes from elsewhere, and with it some of the score "
                "of brain signals.",
                float(row["chance"]),
                float(row["p"]),
                float(row["limit"]),
                section="controls",
            )
    nuisances = tables["nuisances"].set_index(["nuisance", "measure"])
    for measure, names in details["not_excluded"].items():
        real = cells[(cells["trained"] == "brain") & (cells["tested"] == "brain") & (cells["measure"] == measure)]
        if known := [name for name in names if (name, measure) in nuisances.index]:
            row = nuisances.loc[(known[0], measure)]
            first, *more = (NAMED.get(name, name) for name in known)
            others = f" Nor does it beat {', '.join(more)}." if more else ""
            yield FailedControl(
                f"{first}, without EEG ({measure})",
                float(row["value"]),
                f"{decoder} scores {number(real['value'].iloc[0])}, which does not beat it: it may use the brain "
                f"for nothing else.{others}",
                float(row["chance"]),
                float(row["p"]),
                section="baselines",
            )
    for measure in details["blocks_fail"]:
        part = tables["leftblocks"].query("measure == @measure")
        yield FailedControl(
            f"{decoder}, blocks of the session left out ({measure})",
            float(part["value"].mean()),
            "Scores above chance do not hold where whole stretches of the session are left out, or are no better "
            f"than what sentences nearby tell ({number(part['neighbours'].mean())}): the decoder may read the time "
            "of the session.",
            float(part["chance"].mean()),
            section="controls",
        )


def _verdicts(material: TextMaterial) -> list[dict[str, Any]]:
    """Tabulate the verdicts of the controls on every decoder, in words."""
    names = {"2-way": "retrieval", "content words": "words of the decoded sentences"}
    return [
        {"name": f"{decoder}, {names[measure]}", "uses": details["uses_brain"][measure],
         "words": text_sections.BARE.sub("", sentences[0]), "more": text_sections.BARE.sub("", " ".join(sentences[1:]))}
        for decoder, details in material.said.items()
        for measure, sentences in details["verdict"].items()
    ]  # fmt: skip


def _cards(material: TextMaterial) -> list[dict[str, str]]:
    cards = []
    for decoder, tables in material.decoders.items():
        for measure in ("2-way", "top-1", "top-5"):
            rows = tables["retrieval"][tables["retrieval"]["measure"] == measure]
            if rows.empty:
                continue
            control = f"chance {number(rows['chance'].iloc[0])}, p {p_equals(rows['p'].max())}"
            cards.append({"name": f"{measure}, {decoder}", "value": number(rows["value"].mean()), "control": control})
    return cards


def _choices(material: TextMaterial) -> str:
    """Name the settings that were chosen on validation sentences, over all decoders."""
    chosen = []
    for options in material.config.decode.decoders.values():
        if isinstance(options, LinearDecoding):
            chosen += ["penalties"] * (options.penalties is None or len(options.penalties) > 1)
        elif options.selection == "best_val":
            chosen.append("epochs")
    names = list(dict.fromkeys(chosen))
    return f"{' and '.join(names).capitalize()} were chosen on validation sentences. " if names else ""


def _methods(material: TextMaterial) -> list[tuple[str, Sequence[str]]]:
    options, details = material.config.decode, next(iter(material.said.values()))
    model = material.config.decoded_model(material.dataset)
    split = material.descriptor.sentences.split
    whole = (
        "every trial of a text, and of texts that are all but the same (Levenshtein similarity above "
        f"{split.similarity:g}), is on one side"
    )
    said = f"Sentences were split by text: {whole}; texts of several tasks train."
    if split.table is not None:
        said = f"Sentences were split as a table of the lab says; it was checked that {whole}."
    text = [
        f"{said} {_choices(material)}Test sentences were looked at once, by the fitted decoders.",
        f"What is decoded: the first {options.n_components} principal components ({details['explained']:.0%} of the "
        f"variance) of the vectors that {model} gives to sentences, scaled to unit variance; fitted to training "
        "sentences.",
        "Retrieval: a sentence's rank is the number of different test sentences whose vector is at least as similar "
        "(cosine) as its own, so that ties count against the decoder. The full set of test sentences is the gallery; "
        "k-way accuracy is its mean over all galleries of k.",
        f"p: {options.permutations:,} exchanges of different sentences within a task; controls call their mean chance. "
        f"{material.config.confidence:.0%} intervals: {options.draws:,} bootstrap draws of subjects and sentences; of "
        "two to five subjects by Student's t, of one over sentences alone, for that subject.",
        "Control matrix: the decoder is trained on EEG, on noise with each subject's mean spectrum, and on pairs of "
        "EEG and sentence shuffled within subject and task; each is tested on EEG, noise, shuffled EEG, EEG with "
        "random phases and EEG played backwards"
        + "".join(f", {OTHERS[name]}" for name in details["others"])
        + ". A decoder is said to use the brain where EEG scores above chance (2-way, or shared content words), above "
        "each of these cells that holds no brain signal, and above what each nuisance tells without EEG (p ≤ .01 each, "
        "and the 98 % interval of the gain, over draws of these subjects and sentences, above 0).",
    ]
    if blocked := [name for name, tables in material.decoders.items() if len(tables["leftblocks"])]:
        text.append(
            f"Whole blocks of the session were left out in turn ({', '.join(blocked)}): scores must then be above "
            "chance and above what sentences nearby tell (one-sided t test over blocks, p ≤ .01), and the place in the "
            "session need not be beaten."
        )
    for name, one in material.said.items():
        settings = ", ".join(f"{key} {value}" for key, value in one["decoder"].items() if key != "decoder")
        chosen = ", ".join(f"{key} {value:g}" for key, value in one["chosen"].items())
        text.append(f"Decoder {name}: {one['decoder']['decoder']} ({settings}); chosen: {chosen or 'nothing'}.")
    networks = any(decoder.decoder == "network" for decoder in options.decoders.values())
    keys = ["eegtotext", "permutationimportance"] + ["contrastive"] * networks
    keys += ["zuco"] * bool(material.descriptor.recordings)
    return [(text[0], keys), *((paragraph, ()) for paragraph in text[1:])]
