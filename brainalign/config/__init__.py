"""What a run is told to do: models, encoders, and the options of every analysis."""

from brainalign.config.align_options import AlignSettings
from brainalign.config.caption_options import CaptionSettings
from brainalign.config.concept_options import ConceptSettings
from brainalign.config.convergence_options import ConvergeSettings
from brainalign.config.decode_options import DecodeSettings, LinearDecoding
from brainalign.config.dynamics_options import DynamicsSettings
from brainalign.config.encoders import (
    BandedRidgeMethod,
    DictionaryMethod,
    EstimatorMethod,
    FactorizedMethod,
    GaussianMethod,
    InContextMethod,
    MethodUse,
    ResponseOptimisedMethod,
    RidgeMethod,
    RoutingMethod,
    SemanticMethod,
    TrainedMethod,
)
from brainalign.config.ground_options import GroundSettings
from brainalign.config.loading import check_table_models, load_config, load_descriptors, write_schemas
from brainalign.config.matching_options import MatchSettings
from brainalign.config.modality_options import DecodeModalitiesSettings
from brainalign.config.models import (
    SHARED_LAYERS,
    EfficientNetModel,
    ImageModel,
    ModelUse,
    OneHotModel,
    PixelsModel,
    RandomModel,
    SentenceModel,
    TableModel,
    TimmModel,
    TorchvisionModel,
    UserModel,
    VisionModel,
)
from brainalign.config.searchlight_options import SearchlightSettings
from brainalign.config.series_options import SeriesSettings
from brainalign.config.settings import (
    LEAST_SUBJECTS,
    CompareImagesSettings,
    CompareRdmsSettings,
    CompareSettings,
    Config,
    DecodeTimesSettings,
    EncodeImagesSettings,
    EncodeRunsSettings,
    EncodeSettings,
    IdentifySettings,
    PrepareSettings,
    SummarizeSettings,
)
from brainalign.config.synthesis_options import DirectionSettings, SynthesizeSettings

__all__ = [
    "LEAST_SUBJECTS",
    "SHARED_LAYERS",
    "AlignSettings",
    "BandedRidgeMethod",
    "CaptionSettings",
    "CompareImagesSettings",
    "CompareRdmsSettings",
    "CompareSettings",
    "ConceptSettings",
    "Config",
    "ConvergeSettings",
    "DecodeModalitiesSettings",
    "DecodeSettings",
    "DecodeTimesSettings",
    "DictionaryMethod",
    "DirectionSettings",
    "DynamicsSettings",
    "EfficientNetModel",
    "EncodeImagesSettings",
    "EncodeRunsSettings",
    "EncodeSettings",
    "EstimatorMethod",
    "FactorizedMethod",
    "GaussianMethod",
    "GroundSettings",
    "IdentifySettings",
    "ImageModel",
    "InContextMethod",
    "LinearDecoding",
    "MatchSettings",
    "MethodUse",
    "ModelUse",
    "OneHotModel",
    "PixelsModel",
    "PrepareSettings",
    "RandomModel",
    "ResponseOptimisedMethod",
    "RidgeMethod",
    "RoutingMethod",
    "SearchlightSettings",
    "SemanticMethod",
    "SentenceModel",
    "SeriesSettings",
    "SummarizeSettings",
    "SynthesizeSettings",
    "TableModel",
    "TimmModel",
    "TorchvisionModel",
    "TrainedMethod",
    "UserModel",
    "VisionModel",
    "check_table_models",
    "load_config",
    "load_descriptors",
    "write_schemas",
]
