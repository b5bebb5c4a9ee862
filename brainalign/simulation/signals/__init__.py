"""EEG, MEG and time series of regions."""

from brainalign.simulation.signals.meeg import MeegTruth, layer_latencies, sensor_info, simulate_meeg, to_epochs
from brainalign.simulation.signals.modalities import MODALITIES, Modality, SharedWorld, shared_space, write_modalities
from brainalign.simulation.signals.read_sentences import EegText, eeg_power, eeg_text, text_sentences
from brainalign.simulation.signals.regions import RoiSeries, rest_networks, roi_lagged, roi_series, simulate_rest
from brainalign.simulation.signals.stories import STORY_GROUPS, Story, story, write_story

__all__ = [
    "MODALITIES", "STORY_GROUPS", "EegText", "Modality", "RoiSeries", "SharedWorld", "Story", "eeg_power", "eeg_text",
    "layer_latencies", "rest_networks", "roi_lagged", "roi_series", "sensor_info", "shared_space", "simulate_meeg",
    "simulate_rest", "story", "text_sentences", "to_epochs", "write_modalities", "write_story",
]  # fmt: skip
