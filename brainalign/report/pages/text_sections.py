"""Sections of the page of decoded sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from brainalign.checks import BrainalignError
from brainalign.report import kit

WORDS = {"brain": "EEG", "shuffled": "shuffled pairs"}
LEVEL = 0.01  # of the verdict
BARE = re.compile(r"(?<![\d.])0(?=\.\d)")  # what verdicts write before a point, and numbers of the page do not


def matrix_figure(controls: pd.DataFrame) -> Figure:
    """Draw the control matrix, a panel per measure; cells without brain signals that are above chance are outlined."""
    measures = list(pd.unique(controls["measure"]))
    trained, tested = list(pd.unique(controls["trained"])), list(pd.unique(controls["tested"]))
    figure, axes = kit.new_figure(9.0, 0.6 + len(measures) * (0.75 + 0.36 * len(trained)), 1, len(measures))
    for ax, measure in zip(axes, measures, strict=True):
        cells = controls[controls["measure"] == measure].set_index(["trained", "tested"])
        values = np.array([[cells.loc[(a, b), "value"] for b in tested] for a in trained], dtype=float)
        ax.imshow(values, cmap="Blues", vmin=0, vmax=max(1e-9, 1.15 * values.max()), aspect="auto")
        for i, a in enumerate(trained):
            for j, b in enumerate(tested):
                cell = cells.loc[(a, b)]
                dark, star = values[i, j] > 0.6 * values.max(), "*" if cell["p"] <= LEVEL else ""
                kit.cell_text(ax, i, j, f"{values[i, j]:.3f}{star}", dark=dark, size=8)
                empty = a != "brain" or b not in {"brain", "phase-randomised", "time-reversed"}
                if empty and cell["p"] <= LEVEL:
                    ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=kit.COLOURS[5], linewidth=2))
        ax.set_xticks(range(len(tested)), [WORDS.get(name, name) for name in tested], fontsize=8)
        ax.set_yticks(range(len(trained)), [WORDS.get(name, name) for name in trained], fontsize=8)
        chance = float(cells.loc[("brain", "brain"), "chance"])
        ax.set_title(f"{measure} (chance {chance:.3f})", fontsize=9, loc="left")
        ax.set_ylabel("trained on", fontsize=8)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[-1].set_xlabel("tested on", fontsize=8)
    return figure


def rank_figure(ranks: Mapping[str, pd.Series], n_gallery: int) -> Figure:
    """Draw how often the right sentence is among the first k, by k, a line per decoder."""
    figure, (ax,) = kit.new_figure(5.2, 3.2)
    colours = kit.model_colours(list(ranks))
    k = np.arange(1, n_gallery + 1)
    for name, values in ranks.items():
        share = (values.to_numpy()[:, None] <= k).mean(axis=0)
        ax.step(k, share, where="post", color=colours[name], label=name, linewidth=1.5)
    ax.plot(k, k / n_gallery, color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set_xscale("log")
    ax.set_xlim(1, n_gallery)
    ax.set_ylim(0, 1.02)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= n_gallery]
    ax.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=7)
    ax.minorticks_off()
    kit.label_axes(ax, x=f"k, of {n_gallery} sentences", y="true sentence among the first k", ticks="y")
    return kit.legend_below(figure, [ax], 4)


def averaged_figure(averaged: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw top-1 by how many subjects or repeats are averaged, with what halves of them reach; a panel for each."""
    kinds = list(dict.fromkeys(kind for table in averaged.values() for kind in table["over"]))
    figure, axes = kit.new_figure(4.4 * len(kinds), 3.2, len(kinds))
    colours = kit.model_colours(list(averaged))
    for ax, kind in zip(axes, kinds, strict=True):
        for name, table in averaged.items():
            part = table[table["over"] == kind]
            ax.errorbar(
                part["n_averaged"], part["value"], yerr=part["sd"], color=colours[name], marker="o", markersize=4,
                capsize=2, linewidth=1.2, label=name,
            )  # fmt: skip
            halves = part[part["ceiling"].notna()]
            ax.plot(
                halves["n_averaged"], halves["ceiling"], color=colours[name], marker="s", markersize=4,
                markerfacecolor="none", linestyle="--", linewidth=0.8, label=f"{name}: halves find each other",
            )  # fmt: skip
        part = next(iter(averaged.values()))
        ax.axhline(float(part["chance"].iloc[0]), color="black", linestyle=":", linewidth=0.8, label="chance")
        ax.set_xticks(sorted(set(part.loc[part["over"] == kind, "n_averaged"])))
        ax.set_ylim(0, 1.02)
        kit.label_axes(ax, x=f"{kind} averaged", y="top-1", ticks="both")
    return kit.legend_below(figure, axes, 3)


def subject_figure(subjects: Mapping[str, pd.DataFrame], chance: float) -> Figure:
    """Draw top-1 of every subject and seed, a colour per decoder."""
    names = list(dict.fromkeys(name for table in subjects.values() for name in table["subject"]))
    figure, (ax,) = kit.new_figure(max(4.4, 1.2 + 0.5 * len(names)), 2.8)
    colours = kit.model_colours(list(subjects))
    for k, (decoder, table) in enumerate(subjects.items()):
        shift = 0.6 * (k - (len(subjects) - 1) / 2) / max(len(subjects), 1)
        x = table["subject"].map({name: place for place, name in enumerate(names)}) + shift
        ax.plot(x, table["top-1"], "o", color=colours[decoder], markersize=4, alpha=0.7, label=decoder)
    ax.axhline(chance, color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set_xticks(range(len(names)), names, fontsize=7, rotation=45 if len(names) > 10 else 0)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(0, 1.02)
    kit.label_axes(ax, x="subject", y="top-1, a point per seed", ticks="y")
    return kit.legend_below(figure, [ax], 4)


def confusion_figure(confusions: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw which label sentences of each label are given, as shares of rows; a panel per decoder."""
    figure, axes = kit.new_figure(3.3 * len(confusions), 3.0, len(confusions))
    for ax, (name, table) in zip(axes, confusions.items(), strict=True):
        labels = sorted(set(table["true"]) | set(table["told"]))
        counts = table.pivot_table(index="true", columns="told", values="n", aggfunc="sum")
        filled = counts.reindex(index=labels, columns=labels).fillna(0).to_numpy(dtype=float)
        shares = filled / np.maximum(filled.sum(axis=1, keepdims=True), 1)
        ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (i, j), share in np.ndenumerate(shares):
            kit.cell_text(ax, i, j, f"{share:.2f}", dark=share > 0.6, size=8)
        ax.set_xticks(range(len(labels)), labels, fontsize=7, rotation=30)
        ax.set_yticks(range(len(labels)), labels if ax is axes[0] else [""] * len(labels), fontsize=7)
        ax.set_xlabel("told", fontsize=8)
        ax.set_title(name, fontsize=9, color=kit.GREY if filled.sum() == 0 else "black")
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("true", fontsize=8)
    return figure


Tables = Mapping[str, Mapping[str, pd.DataFrame]]
NEEDED = (("brain", "brain"), ("brain", "noise"), ("noise", "brain"), ("shuffled", "brain"))
SCORES = {"content": "content words", "bleu1": "BLEU-1", "bleu2": "BLEU-2", "rouge1": "ROUGE-1", "wer": "WER"}
LEAST_SENSORS = 8  # for a topography


def control_sections(decoders: Tables) -> list[kit.Section]:
    """Return the control matrix of every decoder, and what needs no brain at all beside it."""
    panels = [
        kit.captioned("textcontrols", f"Control matrix, {name}", matrix_figure(cells), cells, id=f"controls{k}")
        for k, (name, cells) in enumerate((name, tables["controls"]) for name, tables in decoders.items())
    ]
    nuisances = next(iter(decoders.values()))["nuisances"]
    measures = list(pd.unique(nuisances["measure"]))
    said = [
        f"{kit.number(row['value'])} (chance {kit.number(row['chance'])}, p {kit.p_equals(row['p'])})"
        for _, row in nuisances.iterrows()
    ]
    cells = nuisances.assign(said=said).pivot(index="nuisance", columns="measure", values="said")[measures]
    rows = [[str(name), *cells.loc[name]] for name in pd.unique(nuisances["nuisance"])]
    text = [
        "What is known of a trial without any brain signal, decoded by ridge (a label by logistic regression) and "
        "scored like the decoders; nothing: the mean vector, or the most frequent label, of training sentences; "
        "neighbours in time: what the same subject read nearby, all that a slow drift can tell; all: these together; "
        "all but time: these without what a slow drift can tell."
    ]
    table = kit.html_table(["without EEG", *measures], rows, "Baselines without EEG")
    return [
        kit.Section("controls", "Control matrix", panels, [_beside_noise(*each) for each in decoders.items()]),
        kit.Section("baselines", "Without the brain", [], text, [table, *_blocks(decoders)]),
    ]


def _beside_noise(name: str, tables: Mapping[str, pd.DataFrame]) -> str:
    """State the first score of a decoder on brain signals beside the highest without any brain in training."""
    cells = tables["controls"]
    cells = cells[cells["measure"] == cells["measure"].iloc[0]]
    real = cells.query("trained == 'brain' and tested == 'brain'").iloc[0]
    control = cells.loc[cells["trained"] != "brain", "value"].max()
    return (
        f"{name}: {real['measure']} {kit.number(real['value'])} from EEG, chance {kit.number(real['chance'])}, "
        f"p {kit.p_equals(real['p'])}; trained without it at most {kit.number(control)}."
    )


def _blocks(decoders: Tables) -> list[Markup]:
    rows = []
    for name, tables in decoders.items():
        for measure, part in tables["leftblocks"].groupby("measure", sort=False):
            means = [part[column].mean() for column in ("value", "chance", "neighbours")]
            over: list[pd.Series[float]] = [part["value"] - part[column] for column in ("chance", "neighbours")]
            gains = [f"{kit.number(gain.mean())} ± {kit.number(gain.std() / len(gain) ** 0.5)}" for gain in over]
            rows.append([name, str(measure), str(len(part)), *map(kit.number, means), *gains])
    if not rows:
        return [Markup("<p>No whole blocks of the session were left out.</p>")]
    header = ["decoder", "measure", "blocks left out", "score", "chance", "sentences nearby",
              "above chance (± standard error over blocks)", "above sentences nearby"]  # fmt: skip
    return [kit.folded("Whole blocks of the session left out", kit.html_table(header, rows, "Blocks left out"))]


def retrieval_section(decoders: Tables, confidence: float) -> kit.Section:
    """Return retrieval of every decoder: by measure, by k, by how much is averaged, by subject and seed."""
    rows: list[list[str | Markup]] = []
    for name, tables in decoders.items():
        for measure, part in tables["retrieval"].groupby("measure", sort=False):
            first = part.iloc[0]
            spread = kit.number(part["value"].std(ddof=1)) if len(part) > 1 else "–"
            score = Markup("<b>{}</b>").format(kit.number(part["value"].mean()))
            null = f"{kit.number(first['null_mean'])} ± {kit.number(first['null_sd'])}"
            beside = [kit.number(first["chance"]), null, kit.number(first["majority"]), kit.p_number(part["p"].max())]
            rows.append([name, str(measure), score, spread, kit.between(first), *beside])
    first_table = next(iter(decoders.values()))["retrieval"].iloc[0]
    header = ["decoder", "measure", "score", "sd of seeds", "interval", "chance", "null", "always the same", "p"]
    ranks = {name: tables["sentences"]["rank"] for name, tables in decoders.items()}
    averaged = {name: tables["averaged"] for name, tables in decoders.items()}
    subjects = {name: tables["retrievalsubjects"] for name, tables in decoders.items()}
    n, by_subject = int(first_table["n_stimuli"]), subject_figure(subjects, float(first_table["chance"]))
    every = pd.concat([tables["averaged"].assign(decoder=name) for name, tables in decoders.items()])
    readers = pd.concat([tables["retrievalsubjects"].assign(decoder=name) for name, tables in decoders.items()])
    panels = [
        kit.captioned("textranks", "Retrieval by k", rank_figure(ranks, n), id="ranks"),
        kit.captioned("textaveraged", "Retrieval by what is averaged", averaged_figure(averaged), every, id="averaged"),
        kit.captioned("textsubjects", "Subjects and seeds", by_subject, readers, id="subjects"),
    ]
    text = [
        f"{int(first_table['n_trials']):,} test trials of {int(first_table['n_subjects'])} subjects, "
        f"{n} different test sentences. Scores are means over seeds; {confidence:.0%} interval (of the first seed): "
        "subjects and sentences drawn anew; p: the largest of the seeds."
    ]
    table = kit.folded("All scores of retrieval", kit.html_table(header, rows, "Retrieval"))
    return kit.Section("retrieval", "Retrieval", panels, text, [table])


def sentence_section(
    decoders: Tables, said: Mapping[str, Mapping[str, Any]], n_examples: int, seed: int
) -> kit.Section:
    """Return sentences drawn at random, and scores of all; refuses to show any without their control matrix.

    Parameters
    ----------
    decoders : mapping of mappings of DataFrame
    said : mapping
        Details of every control matrix, among them the trials that it is of.
    n_examples : int
    seed : int
        Of the draw of trials, which is the same for every decoder.
    """
    blocks: list[Markup] = []
    for name, tables in decoders.items():
        sentences = tables["sentences"]
        _check_controlled(name, tables, said.get(name, {}))
        details = said[name]
        rng = np.random.default_rng([seed, len(sentences)])
        drawn = np.sort(rng.choice(len(sentences), min(n_examples, len(sentences)), replace=False))
        rows: list[list[str | Markup]] = [
            [
                str(row["subject"]),
                *(
                    Markup('<span style="white-space: normal">{}</span>').format(_marked(row[column], row["true"]))
                    for column in ("true", "decoded", "retrieved")
                ),
                str(int(row["rank"])),
            ]
            for _, row in sentences.iloc[drawn].iterrows()
        ]
        by = details["sentences_by"]
        header = ["subject", "true", f"decoded ({by})", "retrieved", "rank of the true one"]
        verdict = BARE.sub("", details["verdict"]["content words"][0])
        blocks.append(Markup('<h3 style="margin-top: 1.4rem">{}</h3><p>{}</p>').format(name, verdict))
        blocks.append(kit.html_table(header, rows, f"Sentences, {name}"))
        blocks += [_score_table(tables["textscores"]), *_forced_table(tables["textscores"])]
    text = [
        f"{n_examples} test trials drawn at random (seed {seed}), not picked; the same for every decoder. Read them "
        "with the control matrix above: sentences of one corpus share words, whatever was decoded. Marked: longer "
        "words that the true sentence has as well.",
        "Scores are of all test trials. Rotated: the same sentences against the references of other texts; only the "
        "gap counts. Constant: the sentence most often decoded in training, always.",
    ]
    return kit.Section("sentences", "Sentences", [], text, blocks)


def _marked(text: str, true: str) -> Markup:
    """Mark the words of four letters or more that the true sentence has, where it is not that sentence."""
    shared = set() if text == true else set(re.findall(r"\w{4,}", true.lower()))
    words = [(word, re.sub(r"\W", "", word.lower()) in shared) for word in text.split()]
    return Markup(" ").join(Markup("<mark>{}</mark>").format(word) if both else word for word, both in words)


def _check_controlled(name: str, tables: Mapping[str, pd.DataFrame], details: Mapping[str, Any]) -> None:
    controls = tables.get("controls")
    remedy = "no sentence is shown without it: run decode again"
    if controls is None or controls.empty or "verdict" not in details:
        raise BrainalignError(f"sentences of {name} have no control matrix; {remedy}")
    cells = set(zip(controls["trained"], controls["tested"], strict=True))
    if missing := [f"{trained} / {tested}" for trained, tested in NEEDED if (trained, tested) not in cells]:
        raise BrainalignError(
            f"the control matrix of {name} lacks the cells (trained / tested) {', '.join(missing)}; {remedy}"
        )
    if list(details["test_trials"]) != tables["sentences"]["trial_id"].tolist():
        raise BrainalignError(f"the control matrix of {name} is of other trials than its sentences; {remedy}")


def _score_table(scores: pd.DataFrame) -> Markup:
    constant = scores[scores["sentences"] == "constant"].set_index(["measure", "control"])["value"]
    # With a single task, rotation within it is rotation among all.
    shown = scores[scores["sentences"] == "decoded"].drop_duplicates(["measure", "value", "rotated"])
    columns: kit.Columns = {
        "measure": lambda row: SCORES.get(row["measure"], row["measure"]),
        "references rotated": lambda row: str(row["control"]),
        "score": lambda row: kit.number(row["value"]),
        "rotated": lambda row: kit.number(row["rotated"]),
        "gap": lambda row: kit.number(row["gap"]),
        "p": lambda row: kit.p_number(row["p"]),
        "constant": lambda row: kit.number(constant[(row["measure"], row["control"])]),
    }
    return kit.folded("Scores of all decoded sentences", kit.row_table(shown, columns, "Scores of sentences"))


def _forced_table(scores: pd.DataFrame) -> list[Markup]:
    """Tabulate the teacher-forced scores of a language model, from EEG and from noise: a diagnostic."""
    once = scores.drop_duplicates(["sentences", "measure"])
    values = once.pivot(index="measure", columns="sentences", values="value")
    if "teacher-forced" not in values:
        return []
    rows = [
        [SCORES[str(measure)], kit.number(row["teacher-forced"]), kit.number(row["teacher-forced noise"])]
        for measure, row in values.loc[[measure for measure in SCORES if measure in values.index]].iterrows()
    ]
    title = "Diagnostic, not a result: the likeliest word given the true words before it"
    return [kit.folded(title, kit.html_table(["measure", "from EEG", "from noise of equal spectrum"], rows, title))]


def label_section(decoders: Tables) -> list[kit.Section]:
    """Return labels told from decoded vectors; nothing where the study names no label."""
    named = {name: tables for name, tables in decoders.items() if not tables["zeroshot"].empty}
    if not named:
        return []
    columns: kit.Columns = {
        "decoder": lambda row: row["decoder"],
        "measure": lambda row: str(row["measure"]),
        "score": lambda row: kit.number(row["value"]),
        "chance": lambda row: kit.number(row["chance"]),
        "majority": lambda row: kit.number(row["majority"]),
        "null": lambda row: f"{kit.number(row['null_mean'])} ± {kit.number(row['null_sd'])}",
        "ceiling (true text)": lambda row: kit.number(row["text_ceiling"]),
        "p": lambda row: kit.p_number(row["p"]),
    }
    scores = pd.concat([tables["zeroshot"].assign(decoder=name) for name, tables in named.items()])
    confusions = {name: tables["confusion"] for name, tables in named.items()}
    numbers = pd.concat([table.assign(decoder=name) for name, table in confusions.items()])
    title, figure = "Labels told without a classifier", confusion_figure(confusions)
    panel = kit.captioned("textlabels", title, figure, numbers, id="confusion")
    text = [
        f"{row['decoder']}: {row['measure']} {kit.number(row['value'])}, chance {kit.number(row['chance'])}, "
        f"p {kit.p_equals(row['p'])}."
        for _, row in scores.drop_duplicates("decoder").iterrows()
    ]
    table = kit.folded("All scores of labels", kit.row_table(scores, columns, "Labels"))
    return [kit.Section("labels", "Labels", [panel], text, [table])]


def relevance_section(decoders: Tables, targets: pd.DataFrame) -> list[kit.Section]:
    """Draw the relevance of channels and times to decoders; no topography where places are not known."""
    placed = len(targets) >= LEAST_SENSORS and targets[["x_mm", "y_mm", "z_mm"]].notna().all(axis=None)
    panels, said = [], []
    for k, (name, tables) in enumerate(decoders.items()):
        table = tables["relevance"]
        top = table.sort_values("loss", ascending=False).iloc[0]
        when = f"{1000 * top['time_s']:.0f} ms"
        said.append(
            f"{name}: similarity falls most, by {kit.number(top['loss'])}, without {top['target_id']} at {when} "
            "(picked on these data, not tested)."
        )
        scores = table.rename(columns={"loss": "r"}).assign(significant=False)
        figure = kit.topomaps(scores, targets, label="loss of similarity") if placed else None
        html = Markup("" if placed else "<p>No topography: the descriptor names no montage.</p>")
        title = f"Channels and times, {name}"
        panels.append(kit.captioned("textrelevance", title, figure, table, id=f"heads{k}", html=html))
    return [kit.Section("relevance", "Channels and times", panels, said)]


def data_section(ledger: pd.DataFrame, prepared: Mapping[str, Any], details: Mapping[str, Any]) -> kit.Section:
    """Return the split, and the ledger of trials that were dropped or noted."""
    splits = details["splits"]
    sides = ("train", "val", "test")
    counts = ", ".join(f"{side} {splits['texts'][side]:,} texts in {splits['trials'][side]:,} trials" for side in sides)
    text = [
        f"{len(prepared['subjects'])} subjects, {prepared['n_texts']:,} different texts: {counts}. No text, and no "
        "text that is all but the same, is on two sides; a leak would have stopped the run.",
        *splits["warnings"],
    ]
    if ledger.empty:
        return kit.Section("data", "Data", [], [*text, "No trial was dropped."])
    grouped = ledger.groupby(["dataset", "task", "reason", "kept"], sort=True)["subject"].agg(["size", "nunique"])
    rows = [
        [str(dataset), str(task), str(reason), "kept, but noted" if kept else "dropped", str(n), str(subjects)]
        for (dataset, task, reason, kept), (n, subjects) in zip(grouped.index, grouped.to_numpy(), strict=True)
    ]
    header = ["release", "task", "reason", "what was done", "trials", "subjects"]
    return kit.Section("data", "Data", [], text, [kit.html_table(header, rows, "Ledger of trials")])
