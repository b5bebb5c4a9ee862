"""prepare_sentences: EEG of sentences, read or simulated, a split by text, and the ledger of what was dropped."""

import numpy as np
import pandas as pd

from brainalign import datasets
from brainalign.arrays import Responses
from brainalign.datasets import formats, studies
from brainalign.datasets.studies import ORDER
from brainalign.features import SentenceExtractor
from brainalign.io import write_table
from brainalign.simulation import eeg_power, eeg_text, text_sentences
from brainalign.study import SimulatedSentences, Study, load_descriptor
from brainalign.workflow import Job

WORLDS = {"eeg_text": (eeg_text, 0.25), "eeg_power": (eeg_power, 0.7)}  # and their signal-to-noise ratio
SECONDS = 2.0  # that a simulated sentence lasts, and the time before it
LEDGER = ("dataset", "subject", "task", "row", "text", "reason", "kept")


def prepare_sentences(job: Job) -> None:
    """Check EEG of sentences and save it, with its split by text and what was dropped; write the table of texts."""
    descriptor = load_descriptor(job.path("descriptor"))
    for name, path in descriptor.input_files().items():
        job.provenance.read(name, path)
    datasets.stop_on([datasets.Problem(descriptor.name, line) for line in datasets.changed_files(descriptor)])
    read: datasets.TextRecordings | None = None
    if descriptor.simulate is None:
        responses, read = studies.read_sentence_study(descriptor)
    else:
        responses = _simulated(descriptor, job.seed)
    trials = responses.trials
    splits = studies.sentence_splits(descriptor, trials, job.seed)
    problems = studies.split_problems(descriptor, splits, trials, job.seed)
    problems += [*formats.copied_recordings(descriptor), *formats.response_copies(responses, descriptor.name, [splits])]
    datasets.stop_on(problems)
    # Nothing is written before everything is checked.
    write_table(job.outputs["stimuli"], _texts(descriptor, trials))
    job.save("ledger", pd.DataFrame(columns=list(LEDGER)) if read is None else read.ledger)
    sides = splits.merge(trials[["trial_id", "subject"]], on="trial_id")
    counts = sides.groupby("split").agg(trials=("trial_id", "size"), texts=("stimulus_id", "nunique"))
    job.save(
        "splits",
        splits,
        texts=counts["texts"].to_dict(),
        trials=counts["trials"].to_dict(),
        warnings=[str(problem) for problem in problems],
        ordered=[str(problem) for problem in problems if problem.where == ORDER],
    )
    job.save(
        "responses",
        responses,
        subjects=sorted(set(trials["subject"])),
        n_texts=int(trials["stimulus_id"].nunique()),
        n_dropped=0 if read is None else int(read.drops()["n"].sum()),
        said="" if read is None else read.describe(),
        repeated=0 if read is None else len(read.duplicates()),
    )


def _simulated(descriptor: Study, seed: int) -> Responses:
    """Return a world's EEG, with as long a stretch of it before every sentence."""
    options = descriptor.simulate
    assert isinstance(options, SimulatedSentences)
    sentences = text_sentences()
    vectors = SentenceExtractor(options.weights, batch_size=64, device="cpu").vectors(sentences["text"].tolist())
    make, usual = WORLDS[options.world]
    snr = usual if options.snr is None else options.snr
    world = make(vectors, sentences, snr=snr, n_subjects=options.n_subjects, seed=seed)
    n_times = world.signals.shape[2]
    times = np.arange(-n_times, n_times) * SECONDS / n_times
    trials = world.trials.drop(columns="split").assign(
        dataset=descriptor.name,
        row=world.trials["trial_index"],
        n_samples=n_times,
        session="1",
        run=world.trials["task"],
        repeat=1,
        onset_s=np.nan,
    )
    values = np.concatenate([world.before, world.signals], axis=2)
    trials = studies.sentence_trials(descriptor, trials)
    return Responses(values, trials, studies.sentence_sensors(descriptor, values.shape[1]), "noise sd", times)


def _texts(descriptor: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the texts for the sentence model: those shown, and the sentences that say each label."""
    texts = trials.drop_duplicates("stimulus_id")
    table = pd.DataFrame({"stimulus_id": texts["stimulus_id"], "caption": texts["text"]})
    said = [
        {"stimulus_id": f"label:{label}:{k}", "caption": text}
        for label, wordings in descriptor.sentences.labels.items()
        for k, text in enumerate(wordings)
    ]
    return pd.concat([table, pd.DataFrame(said, columns=["stimulus_id", "caption"])], ignore_index=True)
