"""What a run is told to do: models, encoders, and the options of every analysis."""

from brainalign.config.align_options import AlignSettings as AlignSettings
from brainalign.config.caption_options import CaptionSettings as CaptionSettings
from brainalign.config.concept_options import ConceptSettings as ConceptSettings
from brainalign.config.convergence_options import ConvergeSettings as ConvergeSettings
from brainalign.config.decode_options import DecodeSettings, LinearDecoding
from brainalign.config.dynamics_options import DynamicsSettings as DynamicsSettings
from brainalign.config.encoders import BandedRidgeMethod as BandedRidgeMethod
from brainalign.config.encoders import DictionaryMethod as DictionaryMethod
from brainalign.config.encoders import EstimatorMethod as EstimatorMethod
from brainalign.config.encoders import InContextMethod as InContextMethod
from brainalign.config.encoders import MethodUse as MethodUse
from brainalign.config.encoders import PenaltyMethod as PenaltyMethod
from brainalign.config.encoders import ResponseOptimisedMethod as ResponseOptimisedMethod
from brainalign.config.encoders import RidgeMethod as RidgeMethod
from brainalign.config.encoders import TrainedMethod as TrainedMethod
from brainalign.config.ground_options import GroundSettings as GroundSettings
from brainalign.config.loading import check_table_models, load_config, load_descriptors, write_schemas
from brainalign.config.matching_options import MatchSettings as MatchSettings
from brainalign.config.modality_options import DecodeModalitiesSettings as DecodeModalitiesSettings
from brainalign.config.models import SHARED_LAYERS, ImageModel, ModelUse, PixelsModel, SentenceModel, TableModel
from brainalign.config.searchlight_options import SearchlightSettings as SearchlightSettings
from brainalign.config.series_options import SeriesSettings as SeriesSettings
from brainalign.config.settings import LEAST_SUBJECTS as LEAST_SUBJECTS
from brainalign.config.settings import MIN_TARGETS as MIN_TARGETS
from brainalign.config.settings import MOST_COMPARED as MOST_COMPARED
from brainalign.config.settings import ClusterSettings as ClusterSettings
from brainalign.config.settings import CompareSettings as CompareSettings
from brainalign.config.settings import Config as Config
from brainalign.config.settings import DecodeTimesSettings as DecodeTimesSettings
from brainalign.config.settings import EncodeSettings as EncodeSettings
from brainalign.config.settings import IdentifySettings as IdentifySettings
from brainalign.config.settings import PrepareSettings as PrepareSettings
from brainalign.config.settings import SummarizeSettings as SummarizeSettings
from brainalign.config.synthesis_options import DirectionSettings, SynthesizeSettings
