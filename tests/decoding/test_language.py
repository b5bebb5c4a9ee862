import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused

from brainalign.decoding import LanguageBridge, Seq2SeqLanguage, batches, text_scores, train, word_t5
from brainalign.simulation import text_sentences

N_STEPS = 150
SENTENCES = text_sentences()
TEXTS = SENTENCES["text"].to_numpy()
ORDER = np.random.default_rng(5).permutation(len(TEXTS))
TRAIN, TEST = ORDER[:460], ORDER[517:]


def sentence_vectors() -> torch.Tensor:
    parts = pd.get_dummies(SENTENCES[["noun", "adjective", "place"]]).to_numpy(dtype=float)
    mixed = (parts - parts.mean(axis=0)) @ np.random.default_rng(0).normal(size=(parts.shape[1], 24))
    return torch.tensor(mixed / mixed.std(axis=0), dtype=torch.float32)


@pytest.fixture(scope="module")
def language() -> Seq2SeqLanguage:
    return word_t5(TEXTS[TRAIN].tolist(), 0)


def trained(language: Seq2SeqLanguage, vectors: torch.Tensor, texts, n_queries: int = 8) -> list[str]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bridge = LanguageBridge(language, 24, 24, n_queries)
        rows = batches(len(TRAIN), 64, N_STEPS, np.random.default_rng(1))

        def loss(step: int) -> torch.Tensor:
            chosen = TRAIN[next(rows)]
            return bridge.loss(bridge(vectors[chosen, None], vectors[chosen]), texts(chosen), step)

        train([bridge], loss, N_STEPS, learning_rate=3e-3, weight_decay=0.01)
    with torch.no_grad():
        return bridge.generate(bridge(vectors[TEST, None], vectors[TEST]), max_length=12)


def content(written: list[str]) -> pd.Series:
    return text_scores(written, TEXTS[TEST].tolist(), measures=("content",), n_permutations=200).iloc[0]


def test_the_model_of_training_texts_knows_no_other_words_and_restores_sentences_it_never_saw(language) -> None:
    seen, unseen = TEXTS[TRAIN].tolist(), TEXTS[TEST].tolist()
    assert set(language.tokenizer.get_vocab()) == {"<pad>", "</s>", "<unk>", "<blank>"} | set(" ".join(seen).split())
    states, mask = language.text_states(unseen)
    assert mask.all()  # sentences of this world all have eight tokens
    written = language.generate(states, max_length=12)
    assert np.mean([w == u for w, u in zip(written, unseen, strict=True)]) > 0.9
    assert language.teacher_forced(states[:5], unseen[:5]) == written[:5]
    refused("hold no word", word_t5, ["", " "])


def test_given_the_true_vector_it_writes_sentences_that_were_held_out(language: Seq2SeqLanguage) -> None:
    assert not any(p.requires_grad for p in language.model.parameters())
    before = [p.clone() for p in language.model.parameters()]
    found = content(trained(language, sentence_vectors(), lambda rows: TEXTS[rows].tolist()))
    assert (found[["value", "gap"]] > [0.9, 0.7]).all()
    assert found["p"] < 0.01
    assert all(torch.equal(was, now) for was, now in zip(before, language.model.parameters(), strict=True))


def test_taught_the_texts_of_others_it_says_nothing_of_its_own(language: Seq2SeqLanguage) -> None:
    of = dict(zip(TRAIN, np.random.default_rng(3).permutation(TRAIN), strict=True))
    found = content(trained(language, sentence_vectors(), lambda rows: [str(TEXTS[of[row]]) for row in rows]))
    assert found["gap"] < 3 * found["null_sd"]


def test_wordings_take_turns(language: Seq2SeqLanguage) -> None:
    bridge = LanguageBridge(language, 24, 24).eval()
    states = bridge(torch.ones(2, 5, 24), torch.ones(2, 24))
    wordings = [["the dog was lovely", "the goat was awful", "the soup was lovely"], ["the taxi was awful"]]
    for turn, pair in enumerate([(0, 0), (1, 0), (2, 0), (0, 0)]):
        alone = bridge.loss(states, [wordings[0][pair[0]], wordings[1][pair[1]]])
        assert bridge.loss(states, wordings, turn).item() == pytest.approx(alone.item())
    refused("no text", bridge.loss, states, [[], ["the dog"]])


def test_shapes_sizes_and_state(language: Seq2SeqLanguage) -> None:
    bridge = LanguageBridge(language, 12, 6, n_queries=3)
    assert bridge(torch.randn(4, 7, 12), torch.randn(4, 6)).shape == (4, 4, 64)
    assert LanguageBridge(language, 12, 6, n_queries=0)(torch.randn(4, 7, 12), torch.randn(4, 6)).shape == (4, 8, 64)
    assert not any("model" in name for name in bridge.state_dict())
    vector, tokens = torch.randn(4, 6), torch.randn(4, 7, 12)
    bridge.eval()
    torch.testing.assert_close(bridge(tokens, vector), bridge(tokens, 10 * vector))
    refused(r"tokens \(4, 7, 12\) and vector \(4, 5\)", bridge, tokens, torch.randn(4, 5))
    refused("5 heads do not divide", LanguageBridge, language, 12, 6, n_heads=5)
    refused("texts", bridge.loss, bridge(tokens, vector), ["the dog"])
