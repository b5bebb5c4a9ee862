"""What one job of a run will cost in memory, time and disk, before anything runs."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from brainalign.checks import BrainalignError, check_choice
from brainalign.config import (
    MOST_COMPARED,
    BandedRidgeMethod,
    Config,
    DictionaryMethod,
    InContextMethod,
    PixelsModel,
    ResponseOptimisedMethod,
    RidgeMethod,
    TrainedMethod,
)
from brainalign.io import array_shapes, chosen_array
from brainalign.study import (
    ArrayFiles,
    RdmFiles,
    RunFiles,
    SimulatedSentences,
    Study,
    ZucoFiles,
    count_stimuli,
    find_weights,
    shape_of,
    table_column,
)
from brainalign.workflow.networks import Transformer, operations_per_s, read_transformer
from brainalign.workflow.table import STEPS

MB = 2**20
CONVOLUTIONS = 2.4e11  # operations per second and trial: what was shown three times is averaged first
START_S = 1  # seconds of one core: a stage reads and writes; where it is no fork, it imports for two more
NETWORK_S = 2  # and a pretrained network is loaded
RIDGE_SHARE = 0.5  # of the rate of a bare product of matrices: eigenvectors, in float64, are slower
STORY_SHARE = 0.8  # of larger products, in float32
NETWORK_SHARE = 0.7  # of the rate of a bare product of matrices: what transformers reach, their convolutions less
TOKENS, WORD_S = 1.3, 0.35  # of a word


@dataclass(frozen=True)
class Cost:
    """Estimate for one job: memory at once, time on one core, what it leaves on disk."""

    memory_mb: int
    seconds: int
    disk_mb: float


def estimate(stage: str, config: Config, descriptor: Study, model: str = "", method: str = "") -> Cost:
    """Return the cost of one job of a stage: fixed parts measured on two 2.5-GHz cores, the rest from sizes.

    Model and method are names in the configuration, for the stages that have them.
    """
    check_choice("stage", stage, STEPS)
    return COSTS[stage](config, descriptor, model, method) if stage in COSTS else Cost(900, START_S, 20)


def _sizes(descriptor: Study) -> tuple[int, int]:
    shape = shape_of(descriptor)
    return shape.trials, shape.targets


def _held_mb(study: Study) -> int:
    """Estimate what decoders hold of recordings in files: as read, by split, in float64. Of scans they hold little."""
    with suppress(BrainalignError, OSError):
        sizes = [path.stat().st_size for path in study.inputs() if path.is_file() and ".nii" not in path.name]
        return round(8 * sum(sizes) / MB)
    return 0


def _decode_series(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate a study of a hundred regions: trainings, folds with their permuted labels."""
    options = config.decode_series
    trainings = 1 + len(options.nulls) + len(options.ablations)
    full = 4 if options.model.design == "full" else 1
    ends = 2000 if options.model.schedule == "plateau" else options.model.n_steps  # nulls end before, models after
    steps = min(ends, options.model.n_steps) * options.model.batch_size / 48
    permuted = options.folds * options.repeats * options.permutations
    return Cost(690 + _held_mb(descriptor), START_S + round(0.025 * full * trainings * steps + 0.045 * permuted), 20)


def _guide(config: Config, descriptor: Study, *_: str) -> Cost:
    trials, targets = _sizes(descriptor)
    seconds = 0.003 * trials * (1 + config.synthesize.views)
    return Cost(600 + round(5 * 4 * trials * targets / MB), START_S + round(seconds), 10)


def _prior_mb(config: Config) -> float:
    """Return the size of a diffusion model's weights; of one on the hub that of Stable Diffusion's."""
    folder = Path(config.synthesize.prior or "")
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / MB if folder.is_dir() else 4000


def _synthesize(config: Config, *_: object) -> Cost:
    """Estimate images of 32 pixels; a large diffusion model needs a GPU, and hours."""
    options = config.synthesize
    n_regions = len(options.regions) if options.regions is not None else 10
    guided = options.n_images * n_regions * (1 + len(options.scales)) + options.n_nulls * max(options.n_null_images, 12)
    # The searches beside take as long as guidance does, each.
    guided += 2 * options.n_images * n_regions
    seconds = 0.0036 * guided * options.recurrence * options.steps
    return Cost(900 + round(2 * _prior_mb(config)), START_S + round(seconds), 20)


def _directions(config: Config, *_: object) -> Cost:
    """Estimate directions in a diffusion model of 32 pixels; regions are not known before encoders are."""
    options = config.directions
    n_regions = len(options.regions or config.synthesize.regions or range(8))
    asking = len({"supervised", "ridge", "pullback"}.intersection(options.methods))
    n_directions = 2 * asking * n_regions + options.n_directions * (len(options.methods) - asking)
    images = options.n_seeds * (1 + 2 * n_regions * ("pullback" in options.methods))
    images += n_directions * (len(options.alphas) - 1) * options.n_images
    images += 4 * options.n_controls * options.n_control_images
    memory = 1000 + round(2 * _prior_mb(config))
    return Cost(memory, 10 + round(0.0025 * images * config.synthesize.steps), 5.0 + 0.5 * n_directions)


def _sentences_mb(descriptor: Study) -> float:
    """Estimate the size of EEG of sentences: 350 of 104 channels and 10 s a file, half of ZuCo's 18 × 3 files."""
    if isinstance(descriptor.simulate, SimulatedSentences):
        return 576 * 24 * 128 * 4 * descriptor.simulate.n_subjects / MB
    files = [
        len(release.subjects or range(18)) * len(release.tasks or range(3)) / (1 if release.tasks else 1.5)
        for release in descriptor.recordings.values()
        if isinstance(release, ZucoFiles)
    ]
    return 350 * 104 * 1280 * 4 * sum(files) / MB


def _prepare_sentences(config: Config, descriptor: Study, *_: str) -> Cost:
    values_mb = _sentences_mb(descriptor)
    return Cost(700 + round(3 * values_mb), START_S + round(0.3 * values_mb), values_mb)


def _decode(config: Config, descriptor: Study, _: str, decoder: str) -> Cost:
    values_mb, fits = _sentences_mb(descriptor), 3 * len(config.decode.seeds)
    network = config.decode.decoders[decoder].decoder != "linear" if decoder else False
    return Cost(720 + round(6 * values_mb), 2 * START_S + round(fits * values_mb * (0.5 if network else 0.05)), 5)


def _decode_times(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate decoding over time; targets of a study of images are its vertices, so that sensors are guessed."""
    shape = None if descriptor.scanned else getattr(descriptor, "shape", None)
    trials, sensors = (shape.trials, shape.targets) if shape else (1000, 100)
    options = config.decode_times
    work = (options.permutations + 50 * options.square_permutations) * trials * (sensors + 20)
    return Cost(1200, START_S + round(4e-8 * work), 5)


def _searches(config: Config, model: str, method: str) -> float:
    """Estimate seconds of encoding per trial and target; each set of shares of a joint fit decomposes layers anew."""
    options, network = config.methods.get(method), config.models.get(model)
    joint = 1 + options.n_candidates / 20 if isinstance(options, BandedRidgeMethod) else 1.0
    wide = 3 if getattr(network, "pooling", None) == "flatten" else 1  # more features than images
    return wide * joint * _n_layers(network) * (2.5e-8 + 3e-11 * _n_drawn(config))


def _n_drawn(config: Config) -> int:
    """Count what is drawn of stimuli held out: permutations and bootstrap."""
    settings = config.encode.of("held_out")
    return settings.null_draws + settings.draws


def _passes(config: Config, descriptor: Study, least_s: float = START_S, each_s: float = 1e-7) -> Cost:
    """Estimate a job that passes over the responses once; they are held as read and as averaged."""
    trials, targets = _sizes(descriptor)
    return Cost(500 + round(5 * 4 * trials * targets / MB), round(least_s) + round(each_s * trials * targets), 5)


def _prepare_trials(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate reading: an array without times is in memory once, or a few blocks of it where it stays on disk."""
    trials, targets = _sizes(descriptor)
    values_mb = 4 * trials * targets / MB
    cost = replace(_passes(config, descriptor), disk_mb=values_mb)
    files = [one for one in descriptor.recordings.values() if isinstance(one, ArrayFiles) and not one.timed]
    if len(files) < len(descriptor.recordings):
        return cost
    on_disk = descriptor.holds_out and {one.values.suffix for one in files} == {".npy"}
    seconds = START_S + round(5e-8 * trials * targets)
    return replace(cost, seconds=seconds, memory_mb=400 + round(min(1.3 * values_mb, 150 if on_disk else math.inf)))


def _summarize_held_out(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate tables; what was planted is looked for in the responses."""
    cost = _passes(config, descriptor, each_s=1e-8)
    return cost if descriptor.simulate else replace(cost, memory_mb=700)


def _fit_cost(descriptor: Study, searches: float) -> Cost:
    """Estimate fits to images, of so many seconds per trial and target."""
    trials, targets = _sizes(descriptor)
    return Cost(500 + round(4 * 4 * trials * targets / MB), START_S + round(searches * trials * targets), 20)


def _training_cost(options: TrainedMethod, config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Estimate training on tokens, with all beside it; some hundred tokens, as maps are not yet extracted."""
    base = _fit_cost(descriptor, _searches(config, model, method))
    trials, targets = _sizes(descriptor)
    n_layers = _n_layers(config.models[model])
    n_beside = len({"factorized", "gaussian"}.intersection(options.baselines)) + len(getattr(options, "controls", ()))
    trainings = n_layers * len(options.seeds) * (2 + n_beside)
    seconds = base.seconds + trainings * getattr(options, "restarts", 1) * options.epochs * trials * targets * 2.5e-9
    if isinstance(options, ResponseOptimisedMethod):
        each = _core_operations(options, config.models[model]) / CONVOLUTIONS
        seconds += n_layers * len(options.seeds) * 2 * options.epochs * trials * each
    return replace(base, seconds=round(seconds))


def _dictionary_cost(options: DictionaryMethod, config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Return the cost of dictionaries: of the scores and their control, one per start, and ridge on four spaces."""
    base = _fit_cost(descriptor, 4 * _searches(config, model, method))
    images = shape_of(descriptor).trials
    n_layers = _n_layers(config.models[model])
    # Rows in training: 100 epochs or 1,200 batches of 128, as SparseAutoencoder says, whose module would bring torch.
    shown = options.epochs * images if options.epochs else max(100 * images, 1200 * 128)
    rows = n_layers * (1 + len(options.seeds)) * shown
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


def _pretrain(config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Estimate meta-training a network per layer and seed; the published sizes are meant for a GPU."""
    options = config.methods[method]
    assert isinstance(options, InContextMethod)
    base = _passes(config, descriptor)
    n_layers = _n_layers(config.models[model])
    low, high = options.context_sizes
    images = high if low == high else (high - low) / math.log(high / low)  # mean size of log-uniform contexts
    step = (0.02 if options.network == "small" else 0.5) * options.n_voxels / 48 * images / 36
    seconds = base.seconds * len(descriptor.subject_names) + n_layers * len(options.seeds) * sum(options.n_steps) * step
    return Cost(base.memory_mb, round(seconds), 5.0 * n_layers * len(options.seeds))


def _context_cost(options: InContextMethod, config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Return the cost of reading weights off contexts of several sizes, with and without their responses in order."""
    base = _fit_cost(descriptor, _searches(config, model, method))
    targets = shape_of(descriptor).targets
    n_layers = _n_layers(config.models[model])
    images = 2 * options.n_repeats * sum(options.sizes) + 2 * options.context_sizes[1]
    per_image = 5e-7 if options.network == "small" else 2e-4  # seconds of a forward pass, per target and image
    seconds = base.seconds + n_layers * len(options.seeds) * images * targets * per_image
    return replace(base, seconds=round(seconds))


def _encode_held_out(config: Config, descriptor: Study, model: str, method: str) -> Cost:
    options = config.methods[method]
    if isinstance(options, InContextMethod):
        return _context_cost(options, config, descriptor, model, method)
    if isinstance(options, DictionaryMethod):
        cost = _dictionary_cost(options, config, descriptor, model, method)
    elif isinstance(options, TrainedMethod):
        cost = _training_cost(options, config, descriptor, model, method)
    else:
        cost = _linear_cost(config, descriptor, model, method)
    pixels = config.models[model]
    if isinstance(pixels, PixelsModel):  # which are large: as read, by trial, by split, and as ridge scales them
        memory_mb = round(6 * 12 * pixels.image_size**2 * shape_of(descriptor).trials / MB)
        cost = replace(cost, memory_mb=cost.memory_mb + memory_mb)
    return cost


def _linear_cost(config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Estimate ridge on averages of images, and on exchanged ones: time, where files say how wide layers are.

    Of n images and targets t, with r = min(n, p) axes of p features: 2 r t (n + folds · min(r, n - n / folds) + p)
    operations turn targets into the axes of all images and of every fold, and into weights; decompositions take some
    9 r³ each. Exchanged images are fitted to some of each group of targets, here to 2,000 in all, with the same axes
    but where workers share the fits. In memory are averages, their copy in another order, weights of both fits, and
    test images of each layer; of averages that lie on disk a few times the test images; and the axes of one layer, with
    products of r × r.
    """
    options = config.methods[method]
    cost, widths = _fit_cost(descriptor, _searches(config, model, method)), _widths(config.models[model])
    if not isinstance(options, RidgeMethod):
        return cost
    trials, targets = _sizes(descriptor)
    images, folds = min(trials, _n_shown(descriptor)), options.cv if isinstance(options.cv, int) else 5
    n_layers = len(widths) or _n_layers(config.models[model])
    shared = config.cluster_of(method)
    held = 0.7 if shared or 4 * images * targets > 2**30 else 2.1 + 0.1 * n_layers
    fitted = targets + min(targets, 2000)
    memory = 4 * (images * held * targets + max(widths, default=1000) * (targets if shared else fitted)) / MB
    axes = max((4 * r * (p + 6 * r) for p in widths for r in [min(images, p)]), default=0) / MB
    if shared:  # a worker of this machine has a shard of targets, and axes of its own
        workers = (shared["workers"] or os.cpu_count() or 1) if shared["where"] == "local" else 0
        memory += 520 + (420 + axes) * workers
    else:
        memory += 1000 + axes
    if not widths:
        return replace(cost, memory_mb=round(memory))
    operations = 0.0
    for p in widths:
        r = min(images, p)
        operations += 2 * r * fitted * (images + folds * min(r, images - images / folds) + p)
        operations += (1 + bool(shared)) * 9 * (1 + folds) * r**3
    drawn = len(widths) * _n_drawn(config) * images * targets
    operations *= 2 if shared else 1  # shards are read and written by task
    seconds = START_S + operations / (RIDGE_SHARE * operations_per_s()) + 3e-11 * drawn
    return replace(cost, memory_mb=round(memory), seconds=round(seconds))


def _prepare(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate all volumes, in float32 and in nilearn's float64; a trial is some ten volumes."""
    trials, targets = _sizes(descriptor)
    values_mb = 4 * trials * targets / MB
    return Cost(700 + round(120 * values_mb), START_S + round(values_mb), 11 * values_mb)


def _encode(config: Config, descriptor: Study, model: str, method: str) -> Cost:
    """Estimate fits to blocks: 0.9 µs to score a set of responses by fold and target, and small products."""
    trials, targets = _sizes(descriptor)
    each = 0.01 * (config.methods[method].encoder == "estimator")  # s, since every draw is a fit of its own
    seconds = _layers(config, descriptor, model) * sum(
        folds * (0.006 + n_sets * (each + targets * (9e-7 + work / 9e10)))
        for n_sets, folds, work in _response_sets(config, descriptor, model, method)
    )
    return Cost(900 + round(12 * 4 * trials * targets / MB), START_S + round(seconds), 1e-4 * targets + 1)


def _encode_continuous(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate fits of each layer, of all bands in one and without each, and their nulls.

    Of R runs with n rows and T targets, a fit of r columns, delays included, makes R² decompositions of 9 r³ + n r²
    operations, a joint one as many for each set of shares; of many rows products are made once a fold, in fits and in
    nulls. A draw of the null predicts in 2 n T · min(R r, n), through factors or a map, and moves R n T values, short
    rows slower. The event rate is beside the models.
    """
    shape, settings = shape_of(descriptor), config.encode.of("continuous")
    rows, most, delays = shape.trials, shape.trials - shape.trials // shape.runs, 4
    for files in descriptor.recordings.values():
        if isinstance(files, RunFiles):
            delays = 3 if descriptor.continuous.hrf else len(descriptor.continuous.delays(files))
    models: list[Any] = list(config.models.values())  # of networks some hundred features are assumed
    widths = [_widths(model) or [getattr(model, "n_features", 500)] * _n_layers(model) for model in models]
    widest = settings.n_components or math.inf
    ranks = [[int(min(delays * min(width, widest), most)) for width in layers] for layers in (*widths, [1])]
    bands = [sum(layers) / len(layers) for layers in ranks]
    # Left out of the joint fit is each band, and for what models share each set of them, or of many each pair.
    most_of = len(models) if len(models) < 4 else 2
    lost: list[tuple[int, ...]] = [(k,) for k in range(len(bands))]
    lost += [of for n in range(2, most_of + 1) for of in combinations(range(len(models)), n)]
    every, *left = (min(sum(band for k, band in enumerate(bands) if k not in of), most) for of in [(), *lost])
    nulls = [*bands, *left[: len(bands)], every, *(every for _ in bands)]
    searched = max(settings.n_candidates, len(bands) + 1)
    fits = [(r, 1) for layers in ranks for r in layers] + [(every, searched)]
    fits += [(r, searched if len(bands) - len(of) > 1 else 1) for of, r in zip(lost, left, strict=True)]
    operations = shape.runs**2 * sum(times * (9 * r + min(rows, 16 * r)) * r**2 for r, times in fits)
    products = [r for r, _ in fits] + 2 * nulls  # joint ones have several shares
    operations += 6 * shape.runs * sum(max(rows - 16 * r, 0) * r**2 for r in products)
    drawn = rows * shape.targets * settings.null_draws
    operations += 2 * drawn * sum(min(shape.runs * r, rows) for r in nulls)
    moved_s = (1.5e-9 + 6e-8 / shape.targets) * drawn * shape.runs * len(nulls)
    seconds = START_S + operations / (STORY_SHARE * operations_per_s()) + moved_s
    drawn_mb = 4 * 4 * min(2048 * rows, 2**25) / MB  # at once, as continuous_runs says, which would bring torch
    held_mb = 4 * rows * (12 * shape.targets + 3 * every) / MB + 2 * 8 * len(bands) * every**2 / MB
    return Cost(600 + round(held_mb + drawn_mb), round(seconds), 1e-3 * shape.targets)


def _widths(model: Any) -> list[int]:
    """Count the features of every layer in a file of arrays; none where no such file says them."""
    if model.extractor != "table" or model.file.suffix in (".csv", ".tsv", ".parquet") or not model.file.exists():
        return []
    shapes = array_shapes(model.file)
    return [math.prod(shapes[name][1:]) for name in model.layers or shapes if len(shapes.get(name, ())) > 1]


def _compare(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate RDMs of whole patterns: four copies of residuals in float64, and a matrix of volumes or of targets."""
    if descriptor.holds_out or descriptor.over_time:
        return _compare_places(config, descriptor)
    if not descriptor.in_blocks or not {"crossnobis", "mahalanobis"} & {*config.compare.distances_of(n_repeats=2)}:
        return Cost(800, START_S, 1)
    trials, targets = _sizes(descriptor)
    smaller = min(10 * trials, targets)
    memory = 80 * 4 * trials * targets / MB + 2 * 8 * smaller**2 / MB
    return Cost(800 + round(memory), START_S + round(10 * trials * targets * smaller / 1e9), 1)


def _compare_places(config: Config, descriptor: Study) -> Cost:
    """Estimate RDMs of every region, or of some forty moments: reading, permutations, and ranks in every draw."""
    trials, targets = _sizes(descriptor)
    n_shown, n_tested = _n_shown(descriptor), _n_tested(descriptor)
    places = 40 if descriptor.over_time else _n_regions(descriptor)
    n_rdms = places + len(config.models)
    pairs, n_layers = n_tested * (n_tested - 1) / 2, sum(map(_n_layers, config.models.values()))
    seconds = 1.5e-8 * trials * targets + 1e-10 * pairs * targets + 1e-5 * pairs * n_layers  # read, compared, written
    seconds += pairs * (8e-9 * n_layers * config.compare.permutations + 3e-8 * n_rdms * config.compare.draws)
    halves = 20 * (trials >= 2 * n_shown)  # RDMs of halves of the repeats, of one place at a time
    seconds += halves * pairs * (1e-10 * targets + 2e-7 * places)
    read_mb = 0.8 * 4 * trials * targets / MB if descriptor.holds_out else 5 * 4 * trials * targets / MB
    return Cost(500 + round(read_mb + 8 * pairs * (3 * n_rdms + 1.5 * halves) / MB), START_S + round(seconds), 5)


def _compare_rdms(config: Config, study: Study, *_: str) -> Cost:
    """Estimate a bootstrap of matrices of subjects and of layers; where no file says them, four subjects' of 92."""
    sets, n, n_rdms = study.recordings.values(), 92, 0.0
    with suppress(BrainalignError, OSError):
        n = count_stimuli(study) or n
    pairs = math.comb(n, 2)
    for one in sets:
        stored = 4.0 * pairs
        with suppress(BrainalignError, OSError):
            if isinstance(one, RdmFiles):
                shape = array_shapes(path := study.locate(one.file, "file"))[chosen_array(path, one.key)]
                stored = math.prod(shape) / (2 if shape.count(n) > 1 else 1)
        n_rdms += stored / pairs
    n_layers = len(sets) * sum(len(_widths(model)) or _n_layers(model) for model in config.models.values())
    seconds = config.compare.draws * pairs * (9e-8 * n_rdms + 3.5e-8 * n_layers)
    return Cost(750 + round(6 * 8 * pairs * (n_rdms + n_layers) / MB), START_S + round(seconds), 20)


def _n_tested(study: Study) -> int:
    """Count the stimuli whose responses are compared: those held out, else all; all where few, as often shown."""
    n, rule = _n_shown(study), study.held_out[1] if study.held_out else None
    if n <= MOST_COMPARED and _sizes(study)[0] % n == 0:
        return n
    if rule is None or rule.share is not None:
        return round(n * rule.share) if rule and rule.share else n
    with suppress(BrainalignError, OSError):
        for table in study.image_tables():
            return table_column(table, str(rule.column)).count(str(rule.value))
    return n // 10


def _n_regions(study: Study) -> int:
    """Count the regions that a table of targets names, 8 where there is none."""
    with suppress(BrainalignError, OSError):
        tables = [path for label, path in study.found_files().items() if label.endswith(".targets")]
        return max((len({*table_column(table, "roi")}) for table in tables), default=8) or 1
    return 8


def _extract(config: Config, descriptor: Study, model: str, _: str) -> Cost:
    """Estimate features: of a transformer by its operations, of others by the number of images."""
    options = config.models[model]
    loading = NETWORK_S if hasattr(options, "weights") else 0
    if (found := _operations(options, descriptor)) is not None:
        network, operations = found
        seconds = START_S + loading + operations / (NETWORK_SHARE * operations_per_s())
        return Cost(600 + round(2 * 4 * network.weights / MB), round(seconds), 100)
    if widths := _widths(options):
        values_mb = 4 * sum(widths) * _n_shown(descriptor) / MB
        return Cost(450 + round(1.3 * values_mb), START_S + round(values_mb / 100), values_mb)
    if descriptor.holds_out:
        trials, _targets = _sizes(descriptor)
        return Cost(900, START_S + round(0.004 * trials), 100)
    return Cost(1000, START_S + loading + (4 * getattr(options, "n_draws", 0) if loading else 0), 20)


def _operations(options: Any, study: Study) -> tuple[Transformer, float] | None:
    """Return a transformer and the operations it takes for all stimuli; None where its files do not say its sizes."""
    network = None
    with suppress(BrainalignError):
        if options.extractor in ("vision", "language", "speech", "video"):
            network = read_transformer(Path(find_weights(options.weights)), options.extractor)
    if network is None:
        return None
    seconds = _seconds(study)
    frames = seconds * (study.continuous.fps or 0)
    match options.extractor:
        case "speech":
            operations = seconds * network.of_second(options.context_s, options.chunk_s)
        case "video":
            operations = frames * network.of_frame()
        case "vision":
            operations = (frames or _n_shown(study)) * network.of_image()
        case _:
            operations = TOKENS * _n_shown(study) * network.of_token(options.context)
    return None if math.isnan(operations) else (network, operations)


def _seconds(study: Study) -> float:
    """Measure all runs of a stimulus that goes on, in seconds; 0 of other studies."""
    if study.data_type != "continuous":
        return 0.0
    files: Any = next(iter(study.recordings.values()))
    return float(shape_of(study).trials * files.step_s)


def _n_shown(study: Study) -> int:
    """Count the stimuli of a study; where no table says how many there are, its trials or the words of its runs."""
    n = 0
    with suppress(BrainalignError, OSError):
        n = count_stimuli(study)
    return n or round(_seconds(study) / WORD_S) or shape_of(study).trials


def _caption(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate captions: every null is a refit that meets the whole bank; a third of targets is taken as reliable."""
    trials, targets = _sizes(descriptor)
    projections = 2 * config.caption.nulls + len(config.caption.temperatures) + 6
    seconds = trials * targets / 3 * (1.4e-8 * projections + 1e-11 * config.caption.draws * 25)
    return Cost(600 + round(8 * 6 * trials * targets / 3 / MB), START_S + round(seconds), 5)


def _searchlight(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate searchlights of one model with its permutations, of a hundred test images and five layers."""
    trials, targets = _sizes(descriptor)
    n = min(len(descriptor.listed_stimuli) or 100, trials)  # the rows of a table are not read
    pairs = n * (n - 1) / 2
    seconds = targets * (8e-5 + pairs * (1e-8 + 5 * config.searchlight.permutations * 2.6e-11))
    return Cost(1200 + round(8 * 4 * trials * targets / MB), START_S + round(seconds), 1e-4 * targets + 1)


def _layers(config: Config, descriptor: Any, model: str) -> int:
    """Count the layers of a model."""
    options = config.models[model]
    if options.extractor == "random":
        return options.n_draws
    if options.extractor == "sentence" and options.wordings == "each":
        return int(descriptor.n_texts)
    return _n_layers(options)


def _response_sets(config: Config, descriptor: Any, model: str, method: str) -> Iterator[tuple[int, int, float]]:
    """Yield (response sets, outer folds, floating point operations per target and fold) of an encode job's splits."""
    shape = shape_of(descriptor)
    runs, trials = shape.runs, shape.trials
    settings: Any = config.methods[method]
    alphas = getattr(settings, "alphas", (0.0, 0.0))  # regressors of scikit-learn have inner folds, too
    folds_inside = settings.cv if isinstance(settings.cv, int) else runs
    n_stimuli = min(_n_shown(descriptor), trials)
    for name, split in descriptor.splits.items():
        permuted = config.models[model].permute
        n = config.encode.of("left_out").null_draws
        folds = split.folds or math.comb(n_stimuli if split.of_stimuli else runs, split.size)
        averaged = split.leave_out not in ("run", "session") and split.size == 1  # a row per stimulus, also inside
        inner = 0 if len(alphas) == 1 else folds_inside if averaged else min(runs, folds_inside)
        rows, tested = (n_stimuli, n_stimuli / max(inner, 1)) if averaged else (trials, n_stimuli)
        work = 4 * n_stimuli * rows + inner * (2 * n_stimuli * rows + len(alphas) * (n_stimuli * tested + 1800))
        # Of many targets some are permuted ten times as often; pairs have no scores of targets.
        n *= 1 + (shape.targets > n and not (split.of_stimuli and split.size > 1))
        yield 1 + (n if permuted is None or name in permuted else 0), folds, work


def _match(config: Config, *_: object) -> Cost:
    """Estimate every pair of layers of every pair of models, with nulls."""
    options, n = config.match, len(config.match.models)
    work = n * (n - 1) * len(options.measures) * options.draws + n * len(options.features) * (1 + options.draws)
    return Cost(600, START_S + round(0.15 * work), 1)


def _decode_modalities(config: Config, descriptor: Study, *_: str) -> Cost:
    """Estimate tiny networks, with all that stands beside."""
    steps = (1 + len(config.decode_modalities.beside)) * min(config.decode_modalities.steps, 600)
    return Cost(1100 + _held_mb(descriptor), 14 + round(0.008 * steps), 50)


def _concepts(config: Config, *_: object) -> Cost:
    """Estimate a study of the size of THINGS: sizes are not in the descriptor."""
    fits = len(config.concepts.methods) * (1 + config.concepts.starts) + len(config.concepts.alphas)
    return Cost(3000, 60 + round(0.06 * fits * config.concepts.epochs * config.concepts.n_dims), 10)


def _align(config: Config, *_: object) -> Cost:
    """Estimate layers of some hundred features."""
    students = len(config.align.models_of(list(config.models)))
    return Cost(4000, 60 + 30 * len(config.align.penalties) + students * config.align.steps // 5, 10)


# By step; of a step that is not here, as of most that read small files, little more than its start.
COSTS: dict[str, Callable[[Config, Study, str, str], Cost]] = {
    "simulate": lambda config, study, *_: Cost(2500, 5 + round(1e-6 * math.prod(_sizes(study))), 250),
    "prepare_blocks": _prepare,
    "prepare": _prepare_trials,
    "prepare_sentences": _prepare_sentences,
    "extract": _extract,
    # The heads that are trained, three times each; the model's own time is not known.
    "rollout": lambda config, _, model, __: Cost(
        3000, 60 + round(0.06 * len(config.dynamics.models[model].heads) * config.dynamics.training_steps), 50
    ),
    "pretrain": _pretrain,
    "encode": _encode,
    "encode_held_out": _encode_held_out,
    "encode_continuous": _encode_continuous,
    "compare": _compare,
    "compare_rdms": _compare_rdms,
    "searchlight": _searchlight,
    "decode_times": _decode_times,
    "guide": _guide,
    "caption": _caption,
    "synthesize": _synthesize,
    "directions": _directions,
    # Two trainings, and three that choose a decay; every step meets as many places as a batch has.
    "ground": lambda config, *_: Cost(
        700, 4 + round((2 + 3 * ((of := config.ground).weight_decay is None)) * 1e-4 * of.n_steps * of.batch_size), 20
    ),
    "ground_regions": lambda config, descriptor, *_: _passes(
        config, descriptor, START_S + config.ground.draws // 300, 0
    ),
    "decode": _decode,
    "decode_modalities": _decode_modalities,
    "decode_series": _decode_series,
    "concepts": _concepts,
    "align": _align,
    "summarize_held_out": _summarize_held_out,
    "summarize_group": lambda config, descriptor, *_: _passes(config, descriptor),
    # Nulls of every network, in every subject and in their mean.
    "converge": lambda config, study, *_: Cost(
        1500, START_S + round(0.4 * len(config.converge.networks) * (1 + len(study.subject_names))), 5
    ),
    "match": _match,
    # All thresholds in every draw.
    "identify": lambda config, study, *_: Cost(2500, 30 + config.identify.draws * len(study.scanned) // 4, 1),
    # Maps of scanned subjects take longest.
    "report": lambda config, study, *_: Cost(1500, 6 + round(1.5e-4 * _sizes(study)[1]) if study.scanned else 5, 20),
    "report_group": lambda config, study, *_: _passes(config, study, 4) if study.scanned else Cost(1500, 3, 20),
}
