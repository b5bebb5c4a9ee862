"""Decoders of text from EEG, language models, and studies of them."""

from brainalign.decoding.text.decoder import KEY, TextDecoder
from brainalign.decoding.text.eeg_encoders import EEG_ENCODERS, Augmentation, eeg_encoder
from brainalign.decoding.text.glim import GlimEncoder, Prompt, time_code
from brainalign.decoding.text.language import CausalLanguage, LanguageBridge, LanguageModel, Seq2SeqLanguage
from brainalign.decoding.text.language_models import LANGUAGE_MODELS, pretrained, smollm, word_t5, word_tokenizer
from brainalign.decoding.text.residual import RidgeMaps, spread
from brainalign.decoding.text.scores import constant_scores, constant_sentence, text_scores
from brainalign.decoding.text.text_decoders import Decoded, TextFit, decoder_of, nearest_sentences
from brainalign.decoding.text.text_study import Components, TextStudy, exchange_relevance, study_text

__all__ = [
    "EEG_ENCODERS", "LANGUAGE_MODELS", "Augmentation", "CausalLanguage", "Components", "GlimEncoder", "LanguageBridge",
    "Seq2SeqLanguage", "TextDecoder", "TextStudy", "constant_scores", "constant_sentence", "decoder_of", "eeg_encoder",
    "exchange_relevance", "nearest_sentences", "pretrained", "smollm", "spread", "study_text", "text_scores", "word_t5",
    "word_tokenizer",
]  # fmt: skip
