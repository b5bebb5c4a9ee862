"""What was shown and recorded, as descriptors say it."""

from brainalign.study.continuous import RunFiles, apart_s, in_one_space
from brainalign.study.descriptor import DatasetName, Shape, Study, load_descriptor
from brainalign.study.feature_norms import norms_of_words, read_feature_norms
from brainalign.study.image_words import FUNCTION_WORDS as FUNCTION_WORDS
from brainalign.study.image_words import TEXT_COLUMNS as TEXT_COLUMNS
from brainalign.study.image_words import attribute_labels as attribute_labels
from brainalign.study.image_words import attribute_words as attribute_words
from brainalign.study.image_words import caption_words as caption_words
from brainalign.study.image_words import captions_of as captions_of
from brainalign.study.image_words import check_captions as check_captions
from brainalign.study.image_words import image_captions as image_captions
from brainalign.study.image_words import text_column as text_column
from brainalign.study.image_words import words as words
from brainalign.study.image_words import written_captions as written_captions
from brainalign.study.parsing import RUN_KEYS, Name, Strict, cache_folder, check_known, parse, read_yaml
from brainalign.study.parsing import DistinctNames as DistinctNames
from brainalign.study.parsing import Names as Names
from brainalign.study.parsing import Seeds as Seeds
from brainalign.study.parsing import Strings as Strings
from brainalign.study.preconditions import MIN_TEST as MIN_TEST
from brainalign.study.preconditions import check_categories as check_categories
from brainalign.study.preconditions import check_combination as check_combination
from brainalign.study.preconditions import check_complete as check_complete
from brainalign.study.preconditions import check_contexts as check_contexts
from brainalign.study.preconditions import check_dynamics as check_dynamics
from brainalign.study.preconditions import check_folds_within as check_folds_within
from brainalign.study.preconditions import check_halves as check_halves
from brainalign.study.preconditions import check_latency_window as check_latency_window
from brainalign.study.preconditions import check_neural as check_neural
from brainalign.study.preconditions import check_repeated as check_repeated
from brainalign.study.preconditions import check_repetition_time as check_repetition_time
from brainalign.study.preconditions import check_saved_layers as check_saved_layers
from brainalign.study.preconditions import check_shared_objects as check_shared_objects
from brainalign.study.preconditions import check_shared_stimuli as check_shared_stimuli
from brainalign.study.preconditions import check_test_stimuli as check_test_stimuli
from brainalign.study.preconditions import check_vectors as check_vectors
from brainalign.study.preconditions import find_weights as find_weights
from brainalign.study.preconditions import guessed_repetition_time as guessed_repetition_time
from brainalign.study.preconditions import header_step_s as header_step_s
from brainalign.study.preconditions import loading_model as loading_model
from brainalign.study.preconditions import quantized_file as quantized_file
from brainalign.study.recordings import ArrayRecordings as ArrayRecordings
from brainalign.study.recordings import Kriegeskorte92Files as Kriegeskorte92Files
from brainalign.study.recordings import NeuralFiles as NeuralFiles
from brainalign.study.recordings import RdmFiles as RdmFiles
from brainalign.study.recordings import Recording as Recording
from brainalign.study.recordings import SeriesFiles as SeriesFiles
from brainalign.study.recordings import ThingsRecordings as ThingsRecordings
from brainalign.study.recordings import TripletFiles as TripletFiles
from brainalign.study.recordings import ZucoFiles as ZucoFiles
from brainalign.study.responses import LONGEST_S as LONGEST_S
from brainalign.study.responses import AlgonautsFiles as AlgonautsFiles
from brainalign.study.responses import ArrayFiles as ArrayFiles
from brainalign.study.responses import BetaFiles as BetaFiles
from brainalign.study.responses import BidsFiles as BidsFiles
from brainalign.study.responses import BlockFiles as BlockFiles
from brainalign.study.responses import EpochFiles as EpochFiles
from brainalign.study.responses import FmriOptions as FmriOptions
from brainalign.study.responses import FmriprepFiles as FmriprepFiles
from brainalign.study.responses import Hemisphere as Hemisphere
from brainalign.study.responses import NsdCortexFiles as NsdCortexFiles
from brainalign.study.responses import NsdFiles as NsdFiles
from brainalign.study.responses import RawOptions as RawOptions
from brainalign.study.responses import ThingsEpochFiles as ThingsEpochFiles
from brainalign.study.responses import ThingsFmriFiles as ThingsFmriFiles
from brainalign.study.size import count_stimuli, has_unknown_size, known_shape, shape_of
from brainalign.study.splits import Split as Split
from brainalign.study.stimuli import COPIED, LEFT_OUT, table_column, table_columns, table_rows
from brainalign.study.vectors import StimulusVectors, files_of, read_vectors
from brainalign.study.worlds import SeriesWorld, SimulatedSentences, SimulateModalities, SimulateOptions, StoryWorld
