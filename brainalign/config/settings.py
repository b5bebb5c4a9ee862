"""The configuration of a run: every workflow default lives here and in the descriptor, nowhere else.

    Config                what to run: datasets, models.py, methods.py, one block of options per stage
    Study                 one dataset (descriptor.py): files, licence, how to read it, stimuli, splits

Field names and defaults of models and methods equal the constructor arguments of the classes they configure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator

from brainalign.config.align_options import AlignSettings
from brainalign.config.caption_options import CaptionSettings
from brainalign.config.concept_options import ConceptSettings
from brainalign.config.convergence_options import ConvergeSettings
from brainalign.config.decode_options import DecodeSettings
from brainalign.config.dynamics_options import DynamicsSettings
from brainalign.config.encoders import InContextMethod, Method, RidgeMethod
from brainalign.config.ground_options import GroundSettings
from brainalign.config.matching_options import MatchSettings
from brainalign.config.modality_options import DecodeModalitiesSettings
from brainalign.config.model_groups import check_contest, families_of
from brainalign.config.models import Model, ModelUse
from brainalign.config.searchlight_options import SearchlightSettings
from brainalign.config.series_options import SeriesSettings
from brainalign.config.synthesis_options import DirectionSettings, SynthesizeSettings
from brainalign.study import DatasetName, Name, Names, Strict, Study, check_known


class PrepareSettings(Strict):
    """Options of the prepare stage."""

    n_halvings: int = Field(200, ge=1, description="random halvings of the repeats for split-half reliability")


class EncodeSettings(Strict):
    """Options of the encode stage.

    Of stimuli that go on every draw of the null refits each model and all of them jointly: fewer are the default there.
    """

    permutations: int | None = Field(
        None, ge=0, description="draws of the null; 1,000 where not given, of stimuli that go on 200"
    )
    draws: int = Field(1000, ge=100, description="bootstrap draws of test stimuli that are held out")
    good_r: float = Field(0.3, description="the share of targets above this r is reported, and its null")
    standardize: bool = Field(True, description="scale every layer to the same total variance over training images")
    n_components: int | None = Field(
        None, ge=1, description="principal components, of training images or runs, that wider layers are reduced to"
    )
    n_candidates: int = Field(
        12, ge=1, description="sets of shares that the joint fit of all models tries, of stimuli that go on"
    )
    null: Literal["shift", "phase"] = Field(
        "shift",
        description="of stimuli that go on: runs of responses shifted circularly, or with random phases, alike for all "
        "targets",
    )
    shift_s: float = Field(30.0, gt=0, description="by so much or more: longer than responses autocorrelate")

    def of(self, data: Literal["left_out", "held_out", "continuous"]) -> EncodeSettings:
        """Return what is asked of some data: the draws of its null, its options, and of others the defaults."""
        usual = 200 if data == "continuous" else 1000
        permutations = usual if self.permutations is None else self.permutations
        return EncodeSettings(permutations=permutations, **{name: getattr(self, name) for name in OPTIONS[data]})

    @property
    def null_draws(self) -> int:
        """Draws of the null, once `of` has said of which data."""
        assert self.permutations is not None
        return self.permutations


# By what is done with the data: what changes its results.
OPTIONS = {
    "left_out": ("good_r",),
    "held_out": ("draws", "standardize", "n_components"),
    "continuous": ("n_candidates", "n_components", "null", "shift_s"),
}


class Combination(Strict):
    """Layers of a model as one: their RDMs with weights fitted to other subjects and other stimuli."""

    model: Name
    layers: tuple[str, ...] | None = Field(None, min_length=2, description="all layers by default")
    fit: Literal["weighted", "select", "interpolate"] = Field(
        "weighted", description="non-negative weights, the best one, or a mixture of two that follow each other"
    )


MIN_TARGETS = 5  # of a region whose geometry is compared: patterns over fewer have no stable correlation distance
MOST_COMPARED = 200  # stimuli whose geometry is compared whether trained on or not; RDMs grow with their square


class CompareSettings(Strict):
    """Options of the compare stage.

    Whole patterns of runs are compared by all distances and comparisons. Of every region and every moment one distance
    is taken: correlation where it is among them, else the first; and of them and published matrices the first
    comparison.
    """

    distances: tuple[Literal["correlation", "crossnobis", "euclidean", "mahalanobis"], ...] | None = Field(
        None,
        min_length=1,
        description="of responses; where not given correlation, after crossnobis where stimuli were shown again",
    )
    comparisons: tuple[Literal["spearman", "cosine", "geotopological"], ...] = Field(
        ("spearman", "cosine"), min_length=1
    )
    feature_distance: Literal["correlation", "euclidean"] = "correlation"
    thresholds: tuple[float, float] = Field((0.2, 0.8), description="of geotopological: quantiles, lower and upper")
    permutations: int = Field(1000, ge=1, description="permutations of the stimuli of the feature RDM")
    draws: int = Field(500, ge=100, description="bootstrap draws of stimuli, and of the subjects of published matrices")
    combinations: dict[str, Combination] = Field(
        {}, description="weighted layers in every region or set of matrices, by their name"
    )
    combination_draws: int = Field(100, ge=20, description="bootstrap of combinations, refitted in every draw")
    combination_permutations: int = Field(100, ge=1, description="refits with the stimuli of a combination exchanged")

    @property
    def distance(self) -> str:
        """The distance of regions and moments."""
        return self.distances[0] if self.distances and "correlation" not in self.distances else "correlation"

    def distances_of(self, n_repeats: int) -> tuple[str, ...]:
        """Return the distances of whole patterns, of stimuli that were shown so often at least."""
        return self.distances or (("crossnobis", "correlation") if n_repeats > 1 else ("correlation",))

    @property
    def comparison(self) -> str:
        """The comparison of regions, moments and published matrices."""
        return self.comparisons[0]


LEAST_SUBJECTS = 3  # to name regions across subjects: one is tested, one chooses thresholds, one is the mean


class IdentifySettings(Strict):
    """Options of the identify stage: regions of fMRI subjects named after the other subjects."""

    stimuli: int = Field(100, ge=10, description="test images that take part; a random sample where there are more")
    draws: int = Field(200, ge=100, description="bootstrap draws of subjects and images")
    shuffles: int = Field(100, ge=20, description="relabellings of the regions of every subject")


class DecodeTimesSettings(Strict):
    """Options of the decode_times stage: categories decoded from sensors over time."""

    permutations: int = Field(1000, ge=19, description="of the labels; every one trains anew")
    square_permutations: int = Field(200, ge=19, description="of these, for training at one time, testing at another")
    draws: int = Field(500, ge=100, description="bootstrap draws of the test trials, for intervals of latencies")
    square_step: int = Field(2, ge=1, description="every so many-th sample is used for generalisation over time")
    latency_window_s: tuple[float, float] | None = Field(
        None, description="where the peak is looked for, s from the stimulus; by default the first hump after it"
    )
    n_folds: int = Field(5, ge=2, description="contiguous folds within each recording")
    noise: Literal["residuals", "none"] = Field("residuals", description="whitening on training trials of each fold")

    @model_validator(mode="after")
    def _window_is_in_order(self) -> DecodeTimesSettings:
        if self.latency_window_s is not None and not 0 <= self.latency_window_s[0] < self.latency_window_s[1]:
            start, stop = self.latency_window_s
            raise ValueError(f"latency_window_s: {start:g} to {stop:g} s is no window after the stimulus")
        return self


class SummarizeSettings(Strict):
    """Options of the summarize stage."""

    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate")


class ClusterSettings(Strict):
    """Processes that share every ridge fit of a study of images, by dask, and read responses from disk."""

    where: str = Field(
        "local", pattern=r"^(local|slurm|\w+://.+)$", description="this machine, slurm, or the address of a scheduler"
    )
    workers: int | None = Field(None, ge=1, description="local: one per core where not given; slurm: jobs to ask for")
    options: dict[str, Any] = Field(
        {}, description="of LocalCluster (memory_limit: 8GB) or SLURMCluster (queue, cores, memory, walltime)"
    )

    @model_validator(mode="after")
    def _a_scheduler_has_its_workers(self) -> ClusterSettings:
        if "://" in self.where and self.workers is not None:
            raise ValueError(f"the scheduler at {self.where} has workers of its own; leave workers out")
        return self


class DatasetUse(Strict):
    """One dataset of the run; models and methods default to all of the configuration."""

    descriptor: Path
    optional: bool = Field(False, description="leave it out, with a message, where its files cannot be found")
    models: Names | None = None
    methods: Names | None = None


class Config(Strict):
    """One run: everything `snakemake` needs to know."""

    results: Path = Path("results")
    seed: int = Field(0, ge=0)
    confidence: float = Field(0.95, gt=0, lt=1, description="of every interval")
    ceiling_threshold: float = Field(0.2, gt=0, description="that the noise ceiling of a reliable target exceeds")
    memory: ByteSize | None = Field(
        None, ge=10**9, description="what jobs that run side by side on this machine may take together, such as 8GB"
    )
    cluster: Literal["dask"] | ClusterSettings | None = Field(
        None, description="workers that fit ridge to targets larger than memory; dask: one per core of this machine"
    )
    datasets: dict[DatasetName, DatasetUse] = Field(min_length=1)
    models: dict[Name, Model] = Field(min_length=1)
    methods: dict[Name, Method] = Field(min_length=1)
    prepare: PrepareSettings = PrepareSettings()
    encode: EncodeSettings = EncodeSettings()
    compare: CompareSettings = CompareSettings()
    converge: ConvergeSettings = ConvergeSettings()
    match: MatchSettings = MatchSettings()
    concepts: ConceptSettings = ConceptSettings()
    align: AlignSettings = AlignSettings()
    identify: IdentifySettings = IdentifySettings()
    searchlight: SearchlightSettings = SearchlightSettings()
    caption: CaptionSettings = CaptionSettings()
    ground: GroundSettings = GroundSettings()
    decode_times: DecodeTimesSettings = DecodeTimesSettings()
    decode: DecodeSettings = DecodeSettings()
    decode_modalities: DecodeModalitiesSettings = DecodeModalitiesSettings()
    dynamics: DynamicsSettings = DynamicsSettings()
    decode_series: SeriesSettings = SeriesSettings()
    synthesize: SynthesizeSettings = SynthesizeSettings()
    directions: DirectionSettings = DirectionSettings()
    summarize: SummarizeSettings = SummarizeSettings()
    contest: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="families that meet in every region of fMRI studies of images, by name: models, each with all its "
        "methods or as model/method",
    )

    @field_validator("results")
    @classmethod
    def _can_be_an_output(cls, results: Path) -> Path:
        if set("{}") & set(str(results)) or str(results).startswith("-"):
            raise ValueError("the workflow takes braces for wildcards and a first - for an option; name another folder")
        return results

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        models = {f"methods.{method}.models": options.models or () for method, options in self.methods.items()} | {
            "match.models": self.match.models,
            "align.teacher": (self.align.teacher,),
            "align.students": self.align.students or (),
            "searchlight.models": self.searchlight.models,
            "caption.model": (self.caption.model,),
            "ground.model": (self.ground.model,),
            "ground.text": (self.ground.text,),
            "decode_modalities.model": (self.decode_modalities.model,),
        }
        models |= {f"datasets.{dataset}.models": use.models or () for dataset, use in self.datasets.items()}
        methods = {f"datasets.{dataset}.methods": use.methods or () for dataset, use in self.datasets.items()}
        for kind, known, places in (("models", self.models, models), ("methods", self.methods, methods)):
            for place, named in places.items():
                for name in filter(None, named):
                    check_known(place, name, known, kind)
        check_contest(self.contest, self.models, self.methods)
        self.converge.check(self.models, self.methods)
        self.synthesize.check_models(self.models)
        self.ground.check(self.models)
        return self

    def decoded_model(self, dataset: str) -> str:
        """Return the model whose sentence vectors are decoded."""
        return self.decode.model or next(
            name for name in self.models_of(dataset) if self.models[name].reads_texts or self.models[name].reads_vectors
        )

    def cluster_of(self, method: str) -> dict[str, Any]:
        """Return which workers share the fits of a method; empty where it runs in one process."""
        if self.cluster is None or not isinstance(self.methods[method], RidgeMethod):
            return {}
        return (ClusterSettings() if self.cluster == "dask" else self.cluster).model_dump(mode="json")

    def raw_folder(self, dataset: str) -> Path:
        """Return where files that the workflow itself makes of a dataset lie: simulated data, unpacked images."""
        return self.results / dataset / "raw"

    def models_of(self, dataset: str) -> list[str]:
        """Return the names of the models used on a dataset."""
        return list(self.datasets[dataset].models or self.models)

    def extractor_of(self, model: str) -> dict[str, object]:
        """List the options that a model's features depend on: its extractor and the constructor arguments of it."""
        return self.models[model].model_dump(mode="json", exclude=set(ModelUse.model_fields))

    def methods_of(self, dataset: str) -> list[str]:
        """Return the names of the methods used on a dataset."""
        return list(self.datasets[dataset].methods or self.methods)

    def encoder_of(self, method: str) -> dict[str, object]:
        """List the options that a method's fits depend on: its encoder and the constructor arguments of it."""
        return self.methods[method].model_dump(mode="json", exclude={"models", "subjects"})

    def pretraining_of(self, method: str) -> dict[str, object]:
        """List the options that the networks of an in-context method depend on."""
        options = self.methods[method]
        return options.pretraining() if isinstance(options, InContextMethod) else {}

    def texts_of(self, model: str, method: str) -> dict[str, object]:
        """Return the texts that a method asks about, and the weights of the model that reads them."""
        queries = getattr(self.methods[method], "text_queries", ())
        weights = getattr(self.models[model], "weights", "")
        return {"texts": {"weights": weights, "queries": list(queries)}} if queries else {}

    def fits_of(self, dataset: str, subject: str | None = None) -> list[tuple[str, str]]:
        """Return every (model, method) that is fitted to a dataset, or to one subject of it."""
        pairs = itertools.product(self.models_of(dataset), self.methods_of(dataset))
        fitted = [(model, method) for model, method in pairs if self.methods[method].used_on(model, subject)]
        return [(model, method) for model, method in fitted if self.models[model].fitted_to(subject)]

    def contest_of(self, dataset: str, descriptor: Study, subject: str) -> dict[str, list[tuple[str, str]]]:
        """Return the fits of every family for a subject; empty where there is no contest.

        A subject takes part when it was recorded with fMRI, whose targets lie in regions, and every family has a fit.
        """
        if subject not in descriptor.scanned:
            return {}
        families = families_of(self.fits_of(dataset, subject), self.contest)
        return families if all(families.values()) else {}

    def convergence_of(self, dataset: str) -> ConvergeSettings:
        """Return the options of the converge stage for the networks that a dataset uses."""
        return self.converge.limited_to([name for name in self.converge.networks if name in self.models_of(dataset)])

    def aligned_models(self, dataset: str) -> list[str]:
        """Return the teacher and the students of a study of judgements; none where nothing is to be aligned."""
        return self.align.models_of(self.models_of(dataset))

    def matching_of(self, dataset: str) -> MatchSettings:
        """Return the options of the match stage for the networks that a dataset uses."""
        return self.match.limited_to(self.models_of(dataset))

    def checkpoints_of(self, dataset: str) -> dict[str, dict[int, str]]:
        """Return, by network that is matched, the models of its training steps."""
        known = self.models_of(dataset)
        steps = {name: self.converge.checkpoints.get(name, {}) for name in self.matching_of(dataset).models}
        return {name: of for name, of in steps.items() if of and set(of.values()) <= set(known)}

    def converging(self, dataset: str, network: str, subjects: Iterable[str]) -> list[str]:
        """Return the subjects to which a network is fitted with the method of its convergence scores."""
        method = self.converge.networks[network].method
        return [subject for subject in subjects if (network, method) in self.fits_of(dataset, subject)]

    def captioned(self, dataset: str, descriptor: Study) -> list[str]:
        """Return the fMRI subjects of a study of images whose voxels are put into words."""
        return self._scanned_of(self.caption, dataset, descriptor)

    def grounded(self, dataset: str, descriptor: Study) -> list[str]:
        """Return the fMRI subjects of a study of images whose regions are predicted by grounded words."""
        return self._scanned_of(self.ground, dataset, descriptor)

    def _scanned_of(self, section: CaptionSettings | GroundSettings, dataset: str, descriptor: Study) -> list[str]:
        if section.model is None or section.model not in self.models_of(dataset):
            return []
        return [name for name in descriptor.scanned if section.subjects is None or name in section.subjects]

    def searchlights_of(self, dataset: str, descriptor: Study, subject: str) -> list[str]:
        """Return the models that searchlights are made of in a subject; none in sensors."""
        chosen = self.searchlight.subjects is None or subject in self.searchlight.subjects
        if not chosen or subject not in descriptor.searched:
            return []
        return [model for model in self.searchlight.models if model in self.models_of(dataset)]

    def synthesises(self, dataset: str, descriptor: Study, subject: str) -> bool:
        """Return whether images are made for the regions of a subject: an fMRI subject who was shown images."""
        options = self.synthesize
        if options.prior is None or options.guide is None or options.check is None:
            return False
        return (
            subject in descriptor.scanned
            and (options.subjects is None or subject in options.subjects)
            and {options.guide.model, options.check.model} <= set(self.models_of(dataset))
        )

    def encoders_of_synthesis(self) -> dict[str, dict[str, object]]:
        """Return the extractors of the models that guide and judge what is synthesised."""
        chosen = {"guide": self.synthesize.guide, "check": self.synthesize.check}
        return {role: self.extractor_of(of.model) for role, of in chosen.items() if of is not None}
