"""Features of stimuli: extractors of one or more layers, and what is made of their features."""

from brainalign.features.dictionaries import MatchingPursuit as MatchingPursuit
from brainalign.features.dictionaries import RandomUnits as RandomUnits
from brainalign.features.dictionaries import SparseAutoencoder as SparseAutoencoder
from brainalign.features.dictionaries import TopK as TopK
from brainalign.features.dictionaries import dictionary_quality as dictionary_quality
from brainalign.features.dictionaries import match_atoms as match_atoms
from brainalign.features.dictionaries import stability as stability
from brainalign.features.events import answered as answered
from brainalign.features.events import block_means as block_means
from brainalign.features.events import hemodynamic_responses as hemodynamic_responses
from brainalign.features.events import loudness as loudness
from brainalign.features.events import picture_changes as picture_changes
from brainalign.features.events import resample_events as resample_events
from brainalign.features.events import resample_signal as resample_signal
from brainalign.features.extractor import Extractor, Writer
from brainalign.features.extractors import EXTRACTORS as EXTRACTORS
from brainalign.features.images import *
from brainalign.features.language import LanguageExtractor as LanguageExtractor
from brainalign.features.latent_dynamics import HEADS, LatentDynamics
from brainalign.features.reduction import PCA, SparseProjection, layer_inputs
from brainalign.features.speech import SpeechExtractor as SpeechExtractor
from brainalign.features.tables import OneHotExtractor, RandomExtractor, TableExtractor
from brainalign.features.text import SentenceExtractor, embed_texts
from brainalign.features.videos import SimulatingModel, VideoModel, find_function, load_video_model, video_features
from brainalign.study import captions_of as captions_of
