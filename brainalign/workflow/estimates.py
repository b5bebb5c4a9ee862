"""What one job of a run will cost in memory, time and disk, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from brainalign.checks import check_choice
from brainalign.config import (
    BandedRidgeMethod,
    Config,
    DictionaryMethod,
    InContextMethod,
    PixelsModel,
    ResponseOptimisedMethod,
    TrainedMethod,
)
from brainalign.study import (
    BlockStudy,
    Descriptor,
    ImageStudy,
    ModalityStudy,
    RecordingStudy,
    SentenceStudy,
    SeriesStudy,
    TripletStudy,
    VideoStudy,
    shape_of,
)
from brainalign.workflow.table import STEPS

MB = 2**20
CONVOLUTIONS = 2.4e11  # operations per second and trial: what was shown three times is averaged first
START_S = 2  # seconds of one core: a stage imports, reads and writes
NETWORK_S = 3  # and a pretrained network is loaded
# Seconds of stages of images: at least, and per trial and target.
PASSES = {"report": (6, 2e-7), "report_group": (4, 1e-7)}


@dataclass(frozen=True)
class Cost:
    """Estimate for one job: memory at once, time on one core, what it leaves on disk."""

    memory_mb: int
    seconds: int
    disk_mb: float


def estimate(stage: str, config: Config, descriptor: Descriptor, model: str = "", method: str = "") -> Cost:
    """Return the cost of one job of a stage: fixed parts measured on two 2.5-GHz cores, the rest from sizes.

    Parameters
    ----------
    stage : str
    config, descriptor
    model, method : str
        Names in the configuration, for the stages that have them.

    Raises
    ------
    BrainalignError
        If the stage is unknown.
    """
    check_choice("stage", stage, STEPS)
    if isinstance(descriptor, BlockStudy):
        return _block_cost(stage, config, descriptor, model, method)
    if stage == "decode_times":
        return _time_cost(config, descriptor)
    if isinstance(descriptor, ImageStudy):
        if stage == "converge":  # nulls of every network, in every subject and in their mean
            return Cost(1500, START_S + round(0.4 * len(config.converge.networks) * (1 + len(descriptor.subjects))), 5)
        if stage == "match":  # every pair of layers of every pair of models, with nulls
            pairs = len(config.match.models) * (len(config.match.models) - 1) // 2
            known = len(config.match.models) * len(config.match.features) * (1 + config.match.draws)
            work = 2 * pairs * len(config.match.measures) * config.match.draws + known
            return Cost(1500, START_S + round(0.04 * work), 1)
        if stage == "identify":  # all thresholds in every draw
            return Cost(2500, 30 + config.identify.draws * len(descriptor.scanned) // 4, 1)
        if stage == "caption":
            return _caption_cost(config, descriptor)
        if stage == "ground":  # two trainings; every step meets as many places as a batch has
            return Cost(2500, 4 + round(2 * 0.0017 * config.ground.n_steps * config.ground.batch_size / 16), 20)
        if stage == "compare_images":
            trials, targets = _sizes(descriptor)
            each = 3e-8 + 3.2e-10 * (config.compare_images.permutations + 4 * config.compare_images.draws)
            cost = _image_cost(stage, descriptor, 1.0)
            return replace(cost, seconds=START_S + round(each * trials * targets))
        if stage == "ground_regions":
            return replace(_image_cost("compare_images", descriptor, 1.0), seconds=START_S + config.ground.draws // 300)
        if stage == "searchlight":
            return _searchlight_cost(config, descriptor)
        if stage == "directions":
            return _directions_cost(config)
        if stage in ("guide", "synthesize"):
            return _synthesis_cost(stage, config, descriptor)
        if stage == "pretrain":
            return _pretraining_cost(config, descriptor, model, method)
        if stage != "encode_images":
            return _image_cost(stage, descriptor, 1.0)
        if isinstance(config.methods[method], InContextMethod):
            return _context_cost(config, descriptor, model, method)
        if isinstance(config.methods[method], DictionaryMethod):
            cost = _dictionary_cost(config, descriptor, model, method)
        elif config.methods[method].trained:
            cost = _training_cost(config, descriptor, model, method)
        else:
            cost = _image_cost(stage, descriptor, _searches(config, model, method))
        return replace(cost, memory_mb=cost.memory_mb + _pixels_mb(config, descriptor, model))
    if isinstance(descriptor, SentenceStudy):
        return _sentence_cost(stage, config, descriptor, method)
    if isinstance(descriptor, VideoStudy) and stage == "rollout":  # the model's own time is not known
        heads = len(config.dynamics.models[model].heads)
        return Cost(3000, 60 + round(0.02 * heads * config.dynamics.training_steps), 50)
    if isinstance(descriptor, ModalityStudy) and stage == "decode_modalities":  # of tiny networks, with all beside
        trainings = 1 + len(config.decode_modalities.beside)
        return Cost(3000, 14 + round(0.008 * trainings * min(config.decode_modalities.steps, 600)), 50)
    if isinstance(descriptor, TripletStudy) and stage == "concepts":  # sizes are not in the descriptor: those of THINGS
        fits = len(config.concepts.methods) * (1 + config.concepts.starts) + len(config.concepts.alphas)
        return Cost(3000, 60 + round(0.06 * fits * config.concepts.epochs * config.concepts.n_dims), 10)
    if isinstance(descriptor, SeriesStudy) and stage == "decode_series":  # sizes are not in the descriptor
        return _series_cost(config)
    if isinstance(descriptor, TripletStudy) and stage == "align":  # of layers of some hundred features
        students = len(config.align.models_of(list(config.models)))
        return Cost(4000, 60 + 30 * len(config.align.penalties) + students * config.align.steps // 5, 10)
    if stage == "extract":  # as many pictures as there are in the study of 92 images, or sentences
        loading = _loading_s(config, model)
        return Cost(1500, START_S + loading + (4 * getattr(config.models[model], "n_draws", 0) if loading else 0), 20)
    if stage == "compare_rdms":  # bootstrap of some thirty layers: how many there are is not known here
        return Cost(1500, START_S + round(0.025 * config.compare_rdms.draws), 20)
    return Cost(1500, START_S + stage.startswith("report"), 20)


def _loading_s(config: Config, model: str) -> int:
    return NETWORK_S if hasattr(config.models[model], "weights") else 0


def _sizes(descriptor: BlockStudy | ImageStudy) -> tuple[int, int]:
    shape = shape_of(descriptor)
    return shape.trials, shape.targets


def _series_cost(config: Config) -> Cost:
    """Return the cost of a study of a hundred regions: trainings, folds with their permuted labels."""
    options = config.decode_series
    trainings = 1 + len(options.nulls) + len(options.ablations)
    full = 4 if options.model.design == "full" else 1
    ends = 2000 if options.model.schedule == "plateau" else options.model.n_steps  # nulls end before, models after
    steps = min(ends, options.model.n_steps) * options.model.batch_size / 48
    permuted = options.folds * options.repeats * options.permutations
    return Cost(2500, START_S + round(0.025 * full * trainings * steps + 0.045 * permuted), 20)


def _synthesis_cost(stage: str, config: Config, descriptor: ImageStudy) -> Cost:
    """Return the cost of encoders and of images of 32 pixels; a large diffusion model needs a GPU, and hours."""
    options = config.synthesize
    trials, targets = _sizes(descriptor)
    if stage == "guide":
        return Cost(
            1500 + round(5 * 4 * trials * targets / MB), START_S + round(0.003 * trials * (1 + options.views)), 10
        )
    n_regions = len(options.regions) if options.regions is not None else 10
    guided = options.n_images * n_regions * (1 + len(options.scales)) + options.n_nulls * max(options.n_null_images, 12)
    # The searches beside take as long as guidance does, each.
    guided += 2 * options.n_images * n_regions
    return Cost(2000, START_S + round(0.0036 * guided * options.recurrence * options.steps), 20)


def _directions_cost(config: Config) -> Cost:
    """Return the cost of directions in a diffusion model of 32 pixels; regions are not known before encoders are."""
    options = config.directions
    n_regions = len(options.regions or config.synthesize.regions or range(8))
    asking = len({"supervised", "ridge", "pullback"}.intersection(options.methods))
    n_directions = 2 * asking * n_regions + options.n_directions * (len(options.methods) - asking)
    images = options.n_seeds * (1 + 2 * n_regions * ("pullback" in options.methods))
    images += n_directions * (len(options.alphas) - 1) * options.n_images
    images += 4 * options.n_controls * options.n_control_images
    return Cost(2500, 10 + round(0.0025 * images * config.synthesize.steps), 5.0 + 0.5 * n_directions)


def _sentence_cost(stage: str, config: Config, descriptor: SentenceStudy, decoder: str) -> Cost:
    """Return the cost of a job of EEG of sentences: of ZuCo some 350 sentences of 104 channels and 10 s in every file.

    Half of 18 subjects and 3 tasks is assumed where a release is read whole: no release has all of both.
    """
    files = [
        len(release.subjects or range(18)) * len(release.tasks or range(3)) / (1 if release.tasks else 1.5)
        for release in descriptor.releases.values()
    ]
    values_mb = 350 * 104 * 1280 * 4 * sum(files) / MB
    if descriptor.simulate:
        values_mb = 576 * 24 * 128 * 4 * descriptor.simulate.n_subjects / MB
    if stage == "prepare_sentences":
        return Cost(1500 + round(3 * values_mb), START_S + round(0.3 * values_mb), values_mb)
    if stage == "decode":
        fits = 3 * len(config.decode.seeds)
        network = config.decode.decoders[decoder].decoder != "linear" if decoder else False
        return Cost(2000 + round(6 * values_mb), 2 * START_S + round(fits * values_mb * (0.5 if network else 0.05)), 5)
    return Cost(1200, START_S + 1, 5)


def _time_cost(config: Config, descriptor: Descriptor) -> Cost:
    """Return the cost of decoding over time; targets of a study are its vertices, so sensors are guessed for images."""
    shape = getattr(descriptor, "shape", None)
    trials, sensors = (shape.trials, shape.targets) if isinstance(descriptor, RecordingStudy) and shape else (1000, 100)
    options = config.decode_times
    work = (options.permutations + 50 * options.square_permutations) * trials * (sensors + 20)
    return Cost(1200, START_S + round(4e-8 * work), 5)


def _searches(config: Config, model: str, method: str) -> float:
    """Return the seconds of encoding per trial and target: of every layer, with its null and draws.

    Each set of shares of a joint fit decomposes the layers anew.
    """
    options, network = config.methods.get(method), config.models.get(model)
    joint = 1 + options.n_candidates / 20 if isinstance(options, BandedRidgeMethod) else 1.0
    wide = 3 if getattr(network, "pooling", None) == "flatten" else 1  # more features than images
    n_drawn = config.encode_images.permutations + config.encode_images.draws
    return wide * joint * _n_layers(network) * (2.5e-8 + 3e-11 * n_drawn)


def _image_cost(stage: str, descriptor: ImageStudy, searches: float) -> Cost:
    """Return the cost of a job of a study of images; responses are held once as read and once as averaged.

    `searches` are seconds per trial and target, of encoding.
    """
    trials, targets = _sizes(descriptor)
    values_mb = 4 * trials * targets / MB
    if stage == "extract":
        return Cost(1500, START_S + round(0.004 * trials), 100)
    if stage == "simulate":
        return Cost(2500, 5 + round(1e-6 * trials * targets), 250)
    if stage == "encode_images":
        return Cost(1200 + round(6 * values_mb), START_S + round(searches * trials * targets), 20)
    disk_mb = values_mb if stage == "prepare_images" else 5
    fixed, each = PASSES.get(stage, (START_S, 1e-7))
    return Cost(1000 + round(5 * values_mb), fixed + round(each * trials * targets), disk_mb)


def _training_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of training on tokens, with the control and all that is trained beside it.

    Sizes of feature maps are not known before they are extracted: some hundred tokens are assumed.
    """
    options = config.methods[method]
    assert isinstance(options, TrainedMethod)
    base = _image_cost("encode_images", descriptor, _searches(config, model, method))
    trials, targets = _sizes(descriptor)
    n_layers = _n_layers(config.models[model])
    n_beside = len({"factorized", "gaussian"}.intersection(options.baselines)) + len(getattr(options, "controls", ()))
    trainings = n_layers * len(options.seeds) * (2 + n_beside)
    seconds = base.seconds + trainings * getattr(options, "restarts", 1) * options.epochs * trials * targets * 2.5e-9
    if isinstance(options, ResponseOptimisedMethod):
        each = _core_operations(options, config.models[model]) / CONVOLUTIONS
        seconds += n_layers * len(options.seeds) * 2 * options.epochs * trials * each
    return Cost(2 * base.memory_mb, round(seconds), base.disk_mb)


def _dictionary_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of dictionaries: of the scores and their control, one per start, and ridge on four spaces."""
    options = config.methods[method]
    assert isinstance(options, DictionaryMethod)
    base = _image_cost("encode_images", descriptor, 4 * _searches(config, model, method))
    images = shape_of(descriptor).trials
    n_layers = _n_layers(config.models[model])
    rows = n_layers * (1 + len(options.seeds)) * options.epochs * images
    steps = options.n_active if options.coding == "matching_pursuit" else 2
    return replace(base, seconds=base.seconds + round(rows * options.width * (1 + steps) * 1e-8))


def _n_layers(model: object) -> int:
    """Count the layers of a model; of networks whose layers are not named, four are assumed."""
    return len(getattr(model, "layers", None) or range(4 if hasattr(model, "layers") else 1))


def _core_operations(options: ResponseOptimisedMethod, model: object) -> float:
    """Return the operations of one image in training: a convolution, and its gradients to weights and input."""
    side, n_inputs = (model.image_size, 3) if isinstance(model, PixelsModel) else (16, 64)
    total = 0
    for n_channels, size, pool in zip(options.n_channels, options.kernel_sizes, options.pool, strict=True):
        total += 3 * 2 * side**2 * size**2 * n_inputs * n_channels
        side, n_inputs = math.ceil(side / pool), n_channels
    return total


def _pixels_mb(config: Config, descriptor: ImageStudy, model: str) -> int:
    """Return the memory of pixels, which are large: as read, by trial, by split, and as ridge scales them."""
    options = config.models[model]
    trials = shape_of(descriptor).trials
    return round(6 * 12 * options.image_size**2 * trials / MB) if isinstance(options, PixelsModel) else 0


def _pretraining_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of meta-training a network per layer and seed; the published sizes are meant for a GPU."""
    options = config.methods[method]
    assert isinstance(options, InContextMethod)
    base = _image_cost("prepare_images", descriptor, 1.0)
    n_layers = _n_layers(config.models[model])
    low, high = options.context_sizes
    images = high if low == high else (high - low) / math.log(high / low)  # mean size of log-uniform contexts
    step = (0.02 if options.network == "small" else 0.5) * options.n_voxels / 48 * images / 36
    seconds = base.seconds * len(descriptor.subjects) + n_layers * len(options.seeds) * sum(options.n_steps) * step
    return Cost(base.memory_mb + 500, round(seconds), 5.0 * n_layers * len(options.seeds))


def _context_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of reading weights off contexts of several sizes, with and without their responses in order."""
    options = config.methods[method]
    assert isinstance(options, InContextMethod)
    base = _image_cost("encode_images", descriptor, _searches(config, model, method))
    targets = shape_of(descriptor).targets
    n_layers = _n_layers(config.models[model])
    images = 2 * options.n_repeats * sum(options.sizes) + 2 * options.context_sizes[1]
    per_image = 5e-7 if options.network == "small" else 2e-4  # seconds of a forward pass, per target and image
    seconds = base.seconds + n_layers * len(options.seeds) * images * targets * per_image
    return Cost(2 * base.memory_mb, round(seconds), base.disk_mb)


def _block_cost(stage: str, config: Config, descriptor: BlockStudy, model: str, method: str) -> Cost:
    trials, targets = _sizes(descriptor)
    values_mb = 4 * trials * targets / MB
    if stage == "prepare":
        # All volumes, in float32 and in nilearn's float64; a trial is some ten volumes.
        return Cost(700 + round(120 * values_mb), START_S + round(values_mb), 11 * values_mb)
    if stage == "extract":
        return Cost(900, START_S + _loading_s(config, model), 1)
    if stage == "encode":
        # Every fold decomposes its features once; the rest grows with targets and permutations.
        seconds = _layers(config, descriptor, model) * sum(
            folds * (0.004 + n_sets * targets * work / 1.4e10)
            for n_sets, folds, work in _response_sets(config, descriptor, model, method)
        )
        return Cost(900 + round(12 * values_mb), START_S + round(seconds), 1e-4 * targets + 1)
    if stage == "searchlight":
        return _searchlight_cost(config, descriptor)
    if stage == "compare":
        if not {"crossnobis", "mahalanobis"} & set(config.compare.distances):
            return Cost(800, START_S, 1)
        # Four copies of the residuals of volumes in float64, and a matrix of volumes or of targets.
        smaller = min(10 * trials, targets)
        memory = 80 * values_mb + 2 * 8 * smaller**2 / MB
        return Cost(800 + round(memory), START_S + round(10 * trials * targets * smaller / 1e9), 1)
    return Cost(800, START_S if stage == "summarize" else 5, 3)


def _caption_cost(config: Config, descriptor: ImageStudy) -> Cost:
    """Return the cost of captions: every null is a refit whose voxels are compared with the whole bank.

    How many targets are reliable is not known before: a third of them is assumed.
    """
    trials, targets = _sizes(descriptor)
    projections = 2 * config.caption.nulls + len(config.caption.temperatures) + 6
    seconds = trials * targets / 3 * (1.4e-8 * projections + 1e-11 * config.caption.draws * 25)
    return Cost(1500 + round(8 * 6 * trials * targets / 3 / MB), START_S + round(seconds), 5)


def _searchlight_cost(config: Config, descriptor: BlockStudy | ImageStudy) -> Cost:
    """Return the cost of searchlights of one model: neighbourhoods, their RDMs, and models under permutation.

    Test images are not known before splits are made: a hundred are assumed, and five layers.
    """
    trials, targets = _sizes(descriptor)
    n = min(len(descriptor.stimuli) if isinstance(descriptor, BlockStudy) else 100, trials)
    pairs = n * (n - 1) / 2
    seconds = targets * (8e-5 + pairs * (1e-8 + 5 * config.searchlight.permutations * 2.6e-11))
    return Cost(1200 + round(8 * 4 * trials * targets / MB), START_S + round(seconds), 1e-4 * targets + 1)


def _layers(config: Config, descriptor: BlockStudy, model: str) -> int:
    """Count the layers of a model."""
    options = config.models[model]
    if options.extractor == "random":
        return options.n_draws
    each = options.extractor == "sentence" and options.wordings == "each"
    return len(next(iter(descriptor.stimuli.values())).texts) if each else 1


def _response_sets(config: Config, descriptor: BlockStudy, model: str, method: str) -> Iterator[tuple[int, int, float]]:
    """Yield (response sets, outer folds, floating point operations per target and fold) of an encode job's splits."""
    shape = shape_of(descriptor)
    runs, trials = shape.runs, shape.trials
    settings = config.methods[method]
    assert not isinstance(settings, TrainedMethod | InContextMethod | DictionaryMethod)  # refused for studies of blocks
    inner = 0 if len(settings.alphas) == 1 else min(runs, settings.cv if isinstance(settings.cv, int) else runs)
    rank = min(len(descriptor.stimuli), trials)
    for name, split in descriptor.splits.items():
        permuted = config.models[model].permute
        by_run = split.leave_out == "run"
        n = config.encode.run_permutations if by_run else config.encode.stimulus_permutations
        folds = math.comb(runs if by_run else len(descriptor.stimuli), split.size)
        work = 4 * rank * trials + inner * rank * (2 * trials + len(settings.alphas) * (rank + 12))
        yield 1 + (n if permuted is None or name in permuted else 0), folds, work
