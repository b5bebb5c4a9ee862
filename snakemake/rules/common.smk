# What all rules share: the validated configuration, the names of files, the cost of jobs.
import shlex
from pathlib import Path

from brainalign.io import artifact_files, artifact_path
from brainalign.workflow import forget, note
from brainalign.study import scanned_subjects
from brainalign.workflow import (
    LEAST_SUBJECTS,
    STAGES,
    estimate,
    group_report_path,
    image_state,
    library_digest,
    log_path,
    report_path,
    settings_file,
    subjects_of,
    wants_device,
    wants_gpu,
)
from brainalign.checks import BrainalignError
from brainalign.config import Config, load_descriptors
from brainalign.study import (
    BlockStudy,
    ImageStudy,
    ModalityStudy,
    RdmStudy,
    RecordingStudy,
    SentenceStudy,
    SeriesStudy,
    VideoStudy,
    TripletStudy,
)
from brainalign.study import parse as parse_settings  # "parse" is a name of Snakemake's own

try:
    SETTINGS = parse_settings(Config, config, "configuration")
    DESCRIPTORS = load_descriptors(SETTINGS)
    for descriptor in DESCRIPTORS.values():
        descriptor.all_files()
    for name in SETTINGS.datasets.keys() - DESCRIPTORS.keys():
        print(f"leaving out {name}: its files are not found; set BRAINALIGN_DATA to a folder that holds them")
except BrainalignError as error:
    raise WorkflowError(str(error)) from None

RESULTS = SETTINGS.results
BLOCKS = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, BlockStudy)]
IMAGES = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, ImageStudy)]
RDMS = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, RdmStudy)]
RECORDINGS = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, RecordingStudy)]
VIDEOS = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, VideoStudy)]
TRIPLETS = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, TripletStudy)]
SENTENCES = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, SentenceStudy)]
SHARED = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, ModalityStudy)]
MODALITIES = ("modalities", "modalitytrials", "modalitystimuli")
SPACE = ("spaceretrieval", "spacechanges", "spacecurve", "spacegeometry")
SERIES = [name for name, descriptor in DESCRIPTORS.items() if isinstance(descriptor, SeriesStudy)]
SIMULATED = [name for name in IMAGES if DESCRIPTORS[name].simulate]
CONVERGED = [name for name in IMAGES if SETTINGS.convergence_of(name).networks]
IDENTIFIED = [name for name in IMAGES if len(scanned_subjects(DESCRIPTORS[name])) >= LEAST_SUBJECTS]
CONCEPTS = ("concepts", "choices", "conceptdimensions", "networks", "readouts", "conceptregions")
ALIGNED = [name for name in TRIPLETS if SETTINGS.aligned_models(name)]
ALIGNMENT = ("aligned", "alignment", "alignedregions")
IDENTIFICATION = ("regions", "thresholds", "agreement")
MATCHED = [name for name in IMAGES if SETTINGS.matching_of(name).models]
MATCHING = ("similarity", "dimensions", "featurebias", "manifolds")
CONVERGENCE = ("convergence", "areas", "latencies", "curves", "halftimes", "maps")
GROUNDED = [name for name in IMAGES if SETTINGS.grounded(name, DESCRIPTORS[name])]
GROUNDING = ("grounding", "groundedwords", "groundedscores", "groundedaxes", "groundedattributes", "groundednorms")
CAPTIONED = ("captions", "captionscores", "captiontemperatures")
DECODED = (
    "controls",
    "retrieval",
    "retrievalsubjects",
    "averaged",
    "zeroshot",
    "confusion",
    "nuisances",
    "leftblocks",
    "textscores",
    "relevance",
    "sentences",
)
DYNAMICS = ("dynamics", "dynamicsneurons", "dynamicsfolds", "dynamicsmovies")
SYNTHESIS = ("guides", "synthesized", "synthesis", "synthesisgains", "synthesissteps")
DIRECTIONS = ("directions", "directionscores", "directionimages")
MASKED = ("maskedmodel", "filled", "filledtraces", "regionnetworks", "regionmap", "personscores")
TIMES = ("timescores", "timesensors", "timewindows", "timeclusters", "timepeaks", "timesquares")


def alternatives(names):
    """Return a regular expression of exactly these names; of none, one that never matches."""
    return "|".join(sorted(set(names))) or "(?!)"


wildcard_constraints:
    dataset=alternatives(SETTINGS.datasets),
    subject=alternatives(s for d in DESCRIPTORS.values() for s in subjects_of(d)),
    model=alternatives([*SETTINGS.models, *SETTINGS.dynamics.models]),
    method=alternatives(SETTINGS.methods),
    decoder=alternatives(SETTINGS.decode.decoders),


def files(suffix, **labels):
    """Return every file of an artifact with wildcards for what is not given: the outputs of a rule."""
    return artifact_files(artifact_path(RESULTS, "{dataset}", suffix, **labels))


def of(suffix, wildcards, **labels):
    """Return the main file of an artifact that a job reads."""
    of_subject = suffix != "features" and "subject" in wildcards.keys()
    subject = {"subject": wildcards.subject} if of_subject else {}
    return str(artifact_path(RESULTS, wildcards.dataset, suffix, **subject, **labels))


def artifacts(*suffixes):
    """Return an input function: artifacts of the subject."""
    return lambda wildcards: [of(suffix, wildcards) for suffix in suffixes]


def decoded_of(wildcards):
    """Return what was decoded over time; nothing where the descriptor does not ask."""
    asked = wildcards.subject in DESCRIPTORS[wildcards.dataset].decoded
    return [of(suffix, wildcards) for suffix in TIMES if asked]


def encodings_of(suffix):
    """Return an input function: an artifact of every model and method of the subject."""

    def inputs(wildcards):
        return [
            of(suffix, wildcards, model=model, method=method)
            for model, method in SETTINGS.fits_of(wildcards.dataset, wildcards.subject)
        ]

    return inputs


def searchlights_of(wildcards):
    """Return the searchlights of every model that has some in the subject."""
    models = SETTINGS.searchlights_of(wildcards.dataset, DESCRIPTORS[wildcards.dataset], wildcards.subject)
    return [of("searchlight", wildcards, model=model) for model in models]


def synthesis_of(wildcards):
    """Return what was synthesised for a subject; nothing where the configuration does not ask."""
    asked = SETTINGS.synthesises(wildcards.dataset, DESCRIPTORS[wildcards.dataset], wildcards.subject)
    return [of(suffix, wildcards) for suffix in SYNTHESIS if asked]


def prompting_captions(wildcards):
    """Return the captions that prompts are made of; nothing where the configuration does not ask."""
    return captions_of_voxels(wildcards)[:1] if SETTINGS.synthesize.prompts == "captions" else []


def directions_of(wildcards):
    """Return the directions found for a subject; nothing where the configuration does not ask."""
    asked = SETTINGS.directs(wildcards.dataset, DESCRIPTORS[wildcards.dataset], wildcards.subject)
    return [of(suffix, wildcards) for suffix in DIRECTIONS if asked]


def encoder_models():
    """Return the models whose features guide and judge what is synthesised."""
    options = SETTINGS.synthesize
    return [chosen.model for chosen in (options.guide, options.check) if options.prior and chosen]


def prior_files():
    """Return the files of a diffusion model that lies in a folder: a retrained one is another input."""
    folder = Path(SETTINGS.synthesize.prior or "")
    return sorted(str(file) for file in folder.rglob("*.*") if file.is_file()) if folder.name else []


def captions_of_voxels(wildcards):
    """Return words for the voxels of the subject, with their scores; nothing where none are asked for."""
    asked = wildcards.subject in SETTINGS.captioned(wildcards.dataset, DESCRIPTORS[wildcards.dataset])
    return [of(suffix, wildcards) for suffix in CAPTIONED if asked]


def grounding_of(wildcards):
    """Return grounded words, and the regions of the subject they predict; nothing where no words are grounded."""
    if wildcards.subject not in SETTINGS.grounded(wildcards.dataset, DESCRIPTORS[wildcards.dataset]):
        return []
    group = [str(artifact_path(RESULTS, wildcards.dataset, suffix)) for suffix in GROUNDING]
    return [*group, of("groundedregions", wildcards)]


def grounding_captions(wildcards):
    """Return the table of captions of a study; nothing where the table of images holds them."""
    descriptor = DESCRIPTORS[wildcards.dataset]
    table = getattr(descriptor, "captions", None)
    return [descriptor.locate(table, "captions")] if table is not None else []


def caption_files():
    """Return what a user gives captions: another bank, the files of a language model, a function."""
    options = SETTINGS.caption
    found = [str(options.bank)] if options.bank else []
    if options.prefix:
        found += [str(path) for path in sorted(options.prefix.rglob("*")) if path.is_file()]
    function = Path(options.captioner.rpartition(":")[0])
    return [*found, str(function)] if function.suffix == ".py" else found


def features_of(wildcards):
    return [of("features", wildcards, model=model) for model in SETTINGS.models_of(wildcards.dataset)]


def semantics_of(wildcards):
    """Return the features that say what an image shows; nothing where a method does not ask, or asks for categories."""
    source = getattr(SETTINGS.methods[wildcards.method], "semantics", None)
    return [] if source in (None, "classes") else of("features", wildcards, model=source)


def cls_of(wildcards):
    """Return the features with the CLS token of every layer; nothing where a method does not ask."""
    source = getattr(SETTINGS.methods[wildcards.method], "cls", None)
    return of("features", wildcards, model=source) if source else []


def of_others(suffix):
    """Return an input function: an artifact of every other fMRI subject of the dataset."""

    def inputs(wildcards):
        descriptor = DESCRIPTORS[wildcards.dataset]
        others = [subject for subject in subjects_of(descriptor) if subject != wildcards.subject]
        return [
            str(artifact_path(RESULTS, wildcards.dataset, suffix, subject=subject))
            for subject in others
            if descriptor.modality(subject) == "fmri"
        ]

    return inputs


def networks_of(wildcards):
    """Return the pre-trained networks of a method, or of every method of the subject; most have none."""
    fits = SETTINGS.fits_of(wildcards.dataset, wildcards.subject)
    if "method" in wildcards.keys():
        fits = [(wildcards.model, wildcards.method)]
    return [
        of("network", wildcards, model=model, method=method)
        for model, method in fits
        if SETTINGS.pretraining_of(method)
    ]


def weights_of(wildcards):
    """Return the files a model lies in: retrained weights, or an edited function of the user's, are another input."""
    return weights_of_model(wildcards.model)


def weights_of_model(model):
    function = Path(getattr(SETTINGS.models[model], "function", "").rpartition(":")[0])
    if function.suffix == ".py":
        return [str(function)]
    folder = Path(getattr(SETTINGS.models[model], "weights", ""))
    for dataset in SIMULATED:
        # The workflow makes this one: its files are not there yet when the first run is planned.
        if folder.name and folder.is_relative_to(SETTINGS.raw_folder(dataset)):
            return [raw_file("simulated.json", dataset)]
    return sorted(map(str, folder.glob("*.*"))) if folder.name and folder.is_dir() else []


def language_of(wildcards):
    """Return the files of the language model that a decoder writes sentences with; nothing where none lies in a folder."""
    folder = Path(getattr(SETTINGS.decode.decoders[wildcards.decoder], "language_weights", None) or "")
    return sorted(str(file) for file in folder.rglob("*.*") if file.is_file()) if folder.name else []


def raw_file(name, dataset="{dataset}"):
    """Return where a file lies that the workflow itself made of a dataset."""
    return str(SETTINGS.raw_folder(dataset) / name)


def raw_of(wildcards):
    """Return the files a subject's responses are read from; of a simulated study the list of all its files."""
    if wildcards.dataset in SIMULATED:
        return [raw_file("simulated.json", wildcards.dataset)]
    return DESCRIPTORS[wildcards.dataset].inputs(wildcards.subject)


def images_of(wildcards):
    """Return the table of the images of a dataset; nothing where the stimuli are texts."""
    if wildcards.dataset in SIMULATED + RDMS + TRIPLETS + SENTENCES:
        return [raw_file("stimuli/stimuli.tsv", wildcards.dataset)]
    descriptor = DESCRIPTORS[wildcards.dataset]
    if wildcards.dataset in SHARED:
        return [descriptor.locate(descriptor.stimuli, "stimuli")]
    return [descriptor.locate(descriptor.images, "images")] if wildcards.dataset in IMAGES else []


def captions_of(wildcards):
    """Return the table of captions, for models that read them; nothing where the table of images holds them."""
    descriptor = DESCRIPTORS[wildcards.dataset]
    table = getattr(descriptor, "captions", None)
    reads = SETTINGS.models[wildcards.model].reads_texts
    return [descriptor.locate(table, "captions")] if reads and table is not None else []


def images_changed(wildcards):
    """Return what changes when an image does; of images that the workflow makes itself their table says it."""
    descriptor = DESCRIPTORS[wildcards.dataset]
    if wildcards.dataset in TRIPLETS:
        return "".join(map(image_state, descriptor.found("images")))
    if wildcards.dataset not in IMAGES + SHARED or descriptor.simulate:
        return ""
    return image_state(images_of(wildcards)[0])


def over_subjects(*suffixes):
    """Return an input function: artifacts of every subject of the dataset."""

    def inputs(wildcards):
        return [
            str(artifact_path(RESULTS, wildcards.dataset, suffix, subject=subject))
            for suffix in suffixes
            for subject in subjects_of(DESCRIPTORS[wildcards.dataset])
        ]

    return inputs


def group_inputs(wildcards):
    """Return what the page over all subjects draws from."""
    if wildcards.dataset in RDMS:
        return [of(suffix, wildcards) for suffix in ("references", "rdm", "comparison", "differences")]
    convergence = [of(suffix, wildcards) for suffix in CONVERGENCE if wildcards.dataset in CONVERGED]
    identified = [of(suffix, wildcards) for suffix in IDENTIFICATION if wildcards.dataset in IDENTIFIED]
    matching = [of(suffix, wildcards) for suffix in MATCHING if wildcards.dataset in MATCHED]
    own = [of("ceiling", wildcards), *over_subjects("summary", "recovery")(wildcards)]
    return [*own, *convergence, *identified, *matching]


def regions_of(wildcards):
    """Return the RDMs of every subject whose patterns have regions."""
    return [of("rdm", wildcards, subject=subject) for subject in scanned_subjects(DESCRIPTORS[wildcards.dataset])]


def aligned_features(wildcards):
    """Return the features of the teacher and of the students."""
    return [of("features", wildcards, model=model) for model in SETTINGS.aligned_models(wildcards.dataset)]


def beside_concepts(wildcards):
    """Return the RDMs of the fMRI subjects of another dataset, where the configuration names one that is there."""
    other = SETTINGS.concepts.regions_of
    subjects = scanned_subjects(DESCRIPTORS[other]) if other in DESCRIPTORS else []
    return [str(artifact_path(RESULTS, other, "rdm", subject=subject)) for subject in subjects]


def vectors_of_images(wildcards):
    """Return the features that stand for image vectors; nothing where a file gives them."""
    model = SETTINGS.decode_modalities.model
    given = DESCRIPTORS[wildcards.dataset].vectors_file is not None
    return [] if given or model is None else [of("features", wildcards, model=model)]


def matched(wildcards):
    """Return the models that are compared with each other, and the checkpoints of those that have some."""
    dataset = wildcards.dataset
    steps = [model for of in SETTINGS.checkpoints_of(dataset).values() for model in of.values()]
    return list(dict.fromkeys([*SETTINGS.matching_of(dataset).models, *steps]))


def halves_of(wildcards):
    """Return the scores of every network that convergence is asked of, its twin and checkpoints, in every subject."""
    dataset, options = wildcards.dataset, SETTINGS.convergence_of(wildcards.dataset)
    found = [
        of("halves", wildcards, subject=subject, model=model, method=pair.method)
        for network, pair in options.networks.items()
        for model in options.models_of(network)
        for subject in SETTINGS.converging(dataset, network, subjects_of(DESCRIPTORS[dataset]))
    ]
    return list(dict.fromkeys(found))


def memory(stage):
    """Return the memory a job asks for: the estimate, and half as much again at every new attempt."""

    def mem_mb(wildcards, attempt):
        return round(cost(stage, wildcards).memory_mb * (1 + 0.5 * (attempt - 1)))

    return mem_mb


def minutes(stage):
    """Return the run time a job asks for: five times the estimate, ten minutes at least."""

    def runtime(wildcards, attempt):
        return attempt * max(10, cost(stage, wildcards).seconds * 5 // 60)

    return runtime


def cost(stage, wildcards):
    labels = {name: wildcards[name] for name in ("model", "method") if name in wildcards.keys()}
    if "decoder" in wildcards.keys():
        labels["method"] = wildcards.decoder
    return estimate(stage, SETTINGS, DESCRIPTORS[wildcards.dataset], **labels)


def settings_of(**settings):
    """Return the file of a stage's settings, named by its digest: what changes a result is a parameter of its rule."""
    plain = {
        name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
        for name, value in settings.items()
    }
    return str(settings_file(".snakemake/settings", plain))


def whole_configuration():
    """Return the file of all settings, for the stages that make pages."""
    return settings_of(**SETTINGS.model_dump(mode="json"))


def targets():
    of_subjects = [
        report_path(RESULTS, dataset, subject)
        for dataset, descriptor in DESCRIPTORS.items()
        for subject in subjects_of(descriptor)
    ]
    of_groups = IMAGES + RDMS + TRIPLETS + SENTENCES + SHARED + SERIES
    return of_subjects + [group_report_path(RESULTS, dataset) for dataset in of_groups]


onstart:
    # Who may hold a lock: `make unlock` releases it only when all noted processes are gone.
    note()


onsuccess:
    forget()


onerror:
    forget()
    # A rule whose input is missing never runs, so the report of what did work is made here.
    configuration = whole_configuration()
    for stage, datasets in {
        "report": BLOCKS,
        "report_images": IMAGES,
        "report_recordings": RECORDINGS,
        "report_dynamics": VIDEOS,
        "report_concepts": TRIPLETS,
        "report_sentences": SENTENCES,
        "report_modalities": SHARED,
        "report_series": SERIES,
        "report_group": IMAGES + RDMS,
    }.items():
        if datasets:
            shell(
                "python -P -m brainalign.pipelines.report.{stage} --incomplete --settings {configuration} || true"
            )
