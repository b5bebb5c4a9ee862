"""Grounded language: word vectors pulled towards what the words name in scenes, by captions alone.

    stage 1    score(caption, scene) = mean over words of max over locations of cos(f(word), g(location)), CLIP loss
    stage 2    words fetch objects by cross-attention, and bilinear forms tell how two objects relate:
               o_w = Σ_l softmax_l(sharpness · cos(f(w), g(l))) g(l)            logit_r = o_s' M_r o_o + b_r

Captions say which words a scene has, not where: places are found by being what captions of other scenes lack.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_columns, check_finite, check_named, check_rows
from brainalign.decoding.training import History, LogitScale, batches, pair_loss, train
from brainalign.devices import pick_device, seeded
from brainalign.io import read_safetensors, reading
from brainalign.statistics.classification import TIE

_Pairs = tuple[Tensor, Tensor, Tensor, Tensor]  # word numbers, where there are any, scenes, sets of words
Captions = Sequence[Sequence[int] | NDArray[Any]]
WEIGHT_DECAYS = (0.5, 5.0, 15.0)  # to choose from: thousands of scenes ask for the first, a hundred for the last
FEWEST = 10  # scenes to choose by: fewer say nothing, and the last is taken
CHUNK = 64  # scenes scored at once: memory holds words × scenes × locations


@dataclass(eq=False, repr=False)
class GroundedLanguage:
    """A language space aligned with vision by contrastive learning.

    Parameters
    ----------
    n_dimensions, n_hidden : int
        Of the shared space, and of the hidden layer of both networks.
    n_steps, batch_size, learning_rate, weight_decay
        Of stage 1, AdamW at a constant rate. Where no decay is given, each of `WEIGHT_DECAYS` is tried, and the one
        that pairs a fifth of the scenes best with their captions (mean reciprocal rank) is taken for all of them.
    sharpness, relation_steps, relation_batch, relation_rate, relation_decay
        Of stage 2: of the attention by which words fetch objects, and of AdamW; stage 1 is frozen.
    device : {"auto", "cpu", "cuda"}
    seed : int

    Attributes
    ----------
    network_ : _Grounding
    weight_decay_ : float
    relation_ : _RelationReadout or None
    relation_names_ : list of str
    history_, relation_history_ : History
    text_ : Tensor (n_words, n_text)

    References
    ----------
    Zhang Y, Choi M, Han K, Liu Z (2021). Explainable semantic space by grounding language to vision with cross-modal
    contrastive learning. NeurIPS. arXiv:2111.07180
    """

    n_dimensions: int = 32
    n_hidden: int = 64
    n_steps: int = 800
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float | None = None
    sharpness: float = 10.0
    relation_steps: int = 600
    relation_batch: int = 128
    relation_rate: float = 5e-3
    relation_decay: float = 5.0
    device: str = "auto"
    seed: int = 0

    def fit(
        self, word_vectors: Values, captions: Captions, scenes: Values, relations: pd.DataFrame | None = None
    ) -> GroundedLanguage:
        """Ground words in scenes, and learn relations where some are given.

        Parameters
        ----------
        word_vectors : array (n_words, n_text)
            Of a text model; also of words that no caption holds.
        captions : sequence (n_scenes) of sequences of int
            Numbers of the words of every scene, in any order. Scenes of the same words are no negatives of each other.
        scenes : array (n_scenes, n_locations, n_channels)
        relations : DataFrame, optional
            scene (number), subject, object (numbers of words) and relation, a row for every pair that is known.

        Raises
        ------
        BrainalignError
            If shapes do not fit, a value is not finite, a caption is empty or names a word that has no vector, or all
            captions are the same.
        """
        text, seen = _checked_words(word_vectors), _checked_scenes(scenes)
        check_rows("captions", len(captions), "scenes", len(seen), "give one caption per scene")
        words, present = _checked_captions(captions, len(text))
        self.text_ = torch.from_numpy(text).float().to(pick_device(self.device))
        data = words, present, torch.from_numpy(seen), torch.from_numpy(same_words(captions))
        rng = np.random.default_rng([self.seed, 0x6E1])
        self.weight_decay_ = self._best_decay(data) if self.weight_decay is None else self.weight_decay
        self.history_ = self._align(data, np.arange(len(seen)), self.n_steps, self.weight_decay_, rng)
        self.relation_: _RelationReadout | None = None
        self.relation_names_: list[str] = []
        if relations is not None:
            self._fit_relations(seen, relations, rng)
        return self

    def _best_decay(self, data: _Pairs) -> float:
        words, present, scenes, same = data
        rng = np.random.default_rng([self.seed, 0xDECA])
        held, rest = np.split(rng.permutation(len(same)), [round(len(same) / 5)])
        rivals = (same[held][:, None] != same[held]).numpy()
        if len(held) < FEWEST or not rivals.any() or len(same[rest].unique()) < 2:
            return WEIGHT_DECAYS[-1]
        found = {}
        for decay in WEIGHT_DECAYS:
            self._align(data, rest, self.n_steps, decay, np.random.default_rng([self.seed, 0x6E1]))
            scores = self._scores(words[held], present[held], scenes[held])
            ahead = [(each >= np.diagonal(scores)[:, None] - TIE) & rivals for each in (scores, scores.T)]
            found[decay] = float((1 / (1 + np.sum(ahead, axis=2))).mean())
        return max(found, key=found.__getitem__)

    def _align(self, data: _Pairs, rows: Rows, n_steps: int, decay: float, rng: np.random.Generator) -> History:
        """Train a new network on some of the scenes."""
        words, present, scenes, same = data
        device = self.text_.device
        with seeded(int(rng.integers(2**31))):
            self.network_ = _Grounding(self.text_.shape[1], scenes.shape[2], self.n_hidden, self.n_dimensions)
        self.network_.standardise(self.text_.cpu(), scenes)
        self.network_.to(device)
        scale = LogitScale().to(device)
        order = list(batches(len(rows), self.batch_size, n_steps, rng))

        def loss(step: int) -> Tensor:
            taken = torch.from_numpy(rows[order[step]])
            scores = self.network_(self.text_, *(each[taken].to(device) for each in (words, present, scenes)))
            return pair_loss(scale() * scores, same[taken].to(device))

        rates: dict[str, Any] = {"learning_rate": self.learning_rate, "weight_decay": decay}
        return train([self.network_, scale], loss, n_steps, schedule="constant", **rates)

    def _fit_relations(self, scenes: NDArray[np.float32], relations: pd.DataFrame, rng: np.random.Generator) -> None:
        check_columns("relations", relations, ("scene", "subject", "object", "relation"), "give all of them")
        where = relations["scene"].to_numpy(dtype=np.intp)
        if len(where) == 0 or where.min() < 0 or where.max() >= len(scenes):
            raise BrainalignError(f"relations name scenes that are not among the {len(scenes)}; number them from 0")
        codes, names = pd.factorize(relations["relation"].astype(str), sort=True)
        self.relation_names_ = [str(name) for name in names]
        both = [self._fetch(relations[role].to_numpy(), scenes, where)[0] for role in ("subject", "object")]
        subjects, objects = both
        # A form has many more numbers than its relation has examples of each pair of words: strong decay of weights is
        # what makes it speak of objects it has not seen together.
        readout = _RelationReadout(subjects.shape[1], len(names)).to(subjects.device)
        readout.standardise(torch.cat(both))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        with torch.no_grad():
            readout.forms.copy_(0.02 * torch.randn(readout.forms.shape, generator=generator))
        wanted = torch.from_numpy(codes).to(subjects.device)
        order = list(batches(len(wanted), self.relation_batch, self.relation_steps, rng))

        def loss(step: int) -> Tensor:
            rows = torch.from_numpy(order[step]).to(subjects.device)
            return F.cross_entropy(readout(subjects[rows], objects[rows]), wanted[rows])

        self.relation_history_ = train(
            [readout], loss, self.relation_steps, learning_rate=self.relation_rate, weight_decay=self.relation_decay
        )
        self.relation_ = readout

    def embed(self, words: Values | None = None) -> NDArray[np.float64]:
        """Return words in the grounded space, unit vectors (n_words, n_dimensions).

        Parameters
        ----------
        words : array (n_words, n_text), optional
            Text vectors of any words; those that were fitted where not given.
        """
        text = self.text_ if words is None else torch.from_numpy(_checked_words(words)).float().to(self.text_.device)
        with torch.no_grad():
            return np.asarray(F.normalize(self.network_.embed_words(text), dim=-1).cpu().double().numpy())

    def scores(self, captions: Captions, scenes: Values) -> NDArray[np.float64]:
        """Score the match of every caption with every scene (n_captions, n_scenes), in −1 to 1.

        Parameters
        ----------
        captions : sequence of sequences of int
        scenes : array (n_scenes, n_locations, n_channels)
        """
        return self._scores(*_checked_captions(captions, len(self.text_)), torch.from_numpy(_checked_scenes(scenes)))

    def _scores(self, words: Tensor, present: Tensor, scenes: Tensor) -> NDArray[np.float64]:
        on = self.text_.device
        asked = self.text_, words.to(on), present.to(on)
        with torch.no_grad():
            parts = [self.network_(*asked, part.to(on)).cpu() for part in scenes.split(CHUNK)]
        return torch.cat(parts, dim=1).double().numpy()

    def locate(self, words: Sequence[int] | Rows, scenes: Values) -> NDArray[np.float64]:
        """Return where a word looks in its scene, shares (n, n_locations) that sum to 1.

        Parameters
        ----------
        words : (n,) of int
            One word per scene.
        scenes : array (n, n_locations, n_channels)
        """
        return self._fetch(np.asarray(words), _checked_scenes(scenes))[1].cpu().double().numpy()

    def relate(
        self, subjects: Sequence[int] | Rows, objects: Sequence[int] | Rows, scenes: Values
    ) -> NDArray[np.float64]:
        """Compute the probability of each of `relation_names_` (n, n_relations).

        Parameters
        ----------
        subjects, objects : (n,) of int
            Words; who does, and to whom.
        scenes : array (n, n_locations, n_channels)

        Raises
        ------
        BrainalignError
            If no relations were fitted.
        """
        if self.relation_ is None:
            raise BrainalignError("no relations were fitted; give relations to fit")
        seen = _checked_scenes(scenes)
        fetched = [self._fetch(np.asarray(words), seen)[0] for words in (subjects, objects)]
        with torch.no_grad():
            return np.asarray(self.relation_(*fetched).softmax(dim=1).cpu().double().numpy())

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything `from_state` needs, as arrays."""
        tensors = {f"network.{name}": each for name, each in self.network_.state_dict().items()} | {"text": self.text_}
        if self.relation_ is not None:
            tensors |= {f"relation.{name}": tensor for name, tensor in self.relation_.state_dict().items()}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        about = {"sharpness": self.sharpness, "relations": self.relation_names_}
        return arrays | {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], device: str = "auto") -> GroundedLanguage:
        """Return the fitted estimator whose `state` this is."""
        check_named("no grounded language", arrays, ("about", "text"), "array", "give what GroundedLanguage saved")
        about, where = json.loads(arrays["about"].tobytes()), pick_device(device)
        text, places, out = (arrays[f"network.{name}.weight"].shape for name in ("words.0", "places.0", "words.2"))
        made = cls(out[0], out[1], sharpness=about["sharpness"], device=device)
        made.network_, made.text_ = _Grounding(text[1], places[1], *out[::-1]), torch.tensor(arrays["text"]).to(where)
        _fill(made.network_.to(where), arrays, "network.")
        made.relation_names_, made.relation_ = about["relations"], None
        if about["relations"]:
            made.relation_ = _RelationReadout(out[0], len(about["relations"])).to(where)
            _fill(made.relation_, arrays, "relation.")
        return made

    def save(self, path: Path) -> None:
        """Write `state` as one safetensors file."""
        save_file({name: np.ascontiguousarray(each) for name, each in self.state().items()}, path)

    @classmethod
    def load(cls, path: Path, device: str = "auto") -> GroundedLanguage:
        """Read what `save` wrote."""
        with reading(path, "no whole grounded language", "give what GroundedLanguage.save wrote"):
            return cls.from_state(read_safetensors(path)[0], device)

    def _fetch(self, words: Rows, scenes: NDArray[np.float32], where: Rows | None = None) -> tuple[Tensor, Tensor]:
        """Return objects and attention of words, each in its scene: the row of its own number, or of `where`."""
        rows = np.arange(len(scenes)) if where is None else where
        check_rows("words", len(words), "scenes", len(rows), "give one word per scene")
        _check_numbers(words, len(self.text_))
        device, objects, attention = self.text_.device, [], []
        with torch.no_grad():
            for part in np.array_split(np.arange(len(words)), -(-len(words) // CHUNK)):
                text = self.text_[torch.from_numpy(words[part].astype(np.int64)).to(device)]
                seen = torch.from_numpy(scenes[rows[part]]).to(device)
                places, asked = self.network_.embed_places(seen), self.network_.embed_words(text)
                similar = torch.einsum("nd,nld->nl", F.normalize(asked, dim=-1), F.normalize(places, dim=-1))
                attention.append((self.sharpness * similar).softmax(dim=1))  # (n, n_locations)
                objects.append(torch.einsum("nl,nld->nd", attention[-1], places))
        return torch.cat(objects), torch.cat(attention)


def _fill(module: nn.Module, arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
    mine = {name: torch.tensor(each) for name, each in arrays.items() if name.startswith(prefix)}
    module.load_state_dict({name.removeprefix(prefix): each for name, each in mine.items()})
    module.eval()


class _Grounding(nn.Module):
    """Brings words and places of scenes into one space."""

    def __init__(self, n_text: int, n_channels: int, n_hidden: int, n_dimensions: int) -> None:
        super().__init__()
        self.words = nn.Sequential(nn.Linear(n_text, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_dimensions))
        self.places = nn.Sequential(nn.Linear(n_channels, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_dimensions))
        self.text_mean, self.text_scale = nn.Buffer(torch.zeros(n_text)), nn.Buffer(torch.ones(n_text))
        self.places_mean, self.places_scale = nn.Buffer(torch.zeros(n_channels)), nn.Buffer(torch.ones(n_channels))

    def standardise(self, text: Tensor, scenes: Tensor) -> None:
        """Take mean and scale of what comes in from word vectors and from all places of training scenes."""
        for name, values in (("text", text), ("places", scenes.flatten(0, 1))):
            spread = values.std(dim=0)
            setattr(self, f"{name}_mean", values.mean(dim=0))
            setattr(self, f"{name}_scale", torch.where(spread > 0, spread, 1))

    def embed_words(self, text: Tensor) -> Tensor:
        """Return words in the shared space (n_words, n_dimensions), of any length."""
        return self.words((text - self.text_mean) / self.text_scale)

    def embed_places(self, scenes: Tensor) -> Tensor:
        """Return places in the shared space (n_scenes, n_locations, n_dimensions), of any length."""
        return self.places((scenes - self.places_mean) / self.places_scale)

    def forward(self, text: Tensor, words: Tensor, present: Tensor, scenes: Tensor) -> Tensor:
        """Return the score of every caption with every scene (n_captions, n_scenes)."""
        spoken, of = words.unique(return_inverse=True)
        asked = F.normalize(self.embed_words(text[spoken]), dim=-1)
        places = F.normalize(self.embed_places(scenes), dim=-1)
        found = torch.einsum("wd,nld->wnl", asked, places).amax(dim=2)  # (n_spoken, n_scenes)
        weight = present / present.sum(dim=1, keepdim=True)
        return torch.einsum("cm,cmn->cn", weight.to(found.dtype), found[of])


class _RelationReadout(nn.Module):
    """A bilinear form and an offset for every relation, on objects z-scored over training scenes."""

    def __init__(self, n_dimensions: int, n_relations: int) -> None:
        super().__init__()
        self.forms = nn.Parameter(torch.zeros(n_relations, n_dimensions, n_dimensions))
        self.offsets = nn.Parameter(torch.zeros(n_relations))
        self.mean: Tensor = nn.Buffer(torch.zeros(n_dimensions))
        self.scale: Tensor = nn.Buffer(torch.ones(n_dimensions))

    def standardise(self, objects: Tensor) -> None:
        """Take mean and scale from the objects of training scenes (n, n_dimensions)."""
        spread = objects.std(dim=0)
        self.mean = objects.mean(dim=0)
        self.scale = torch.where(spread > 0, spread, 1)

    def forward(self, subjects: Tensor, objects: Tensor) -> Tensor:
        """Return logits (n, n_relations)."""
        s, o = (subjects - self.mean) / self.scale, (objects - self.mean) / self.scale
        return torch.einsum("nd,rde,ne->nr", s, self.forms, o) + self.offsets


def _checked_words(words: Values) -> NDArray[np.float64]:
    """Return word vectors (n_words, n_text)."""
    text = np.asarray(words, dtype=np.float64)
    if text.ndim != 2:
        raise BrainalignError(f"word vectors of shape {text.shape} must be (n_words, n_text)")
    check_finite("word vectors", text, "leave those words out")
    return text


def _checked_scenes(scenes: Values) -> NDArray[np.float32]:
    """Return scenes (n_scenes, n_locations, n_channels)."""
    seen = np.ascontiguousarray(scenes, dtype=np.float32)
    if seen.ndim != 3:
        raise BrainalignError(
            f"scenes of shape {seen.shape} must be (n_scenes, n_locations, n_channels); take features that keep their "
            "places, for example pooling: tokens"
        )
    check_finite("scenes", seen, "extract those features again")
    return seen


def _checked_captions(captions: Captions, n_words: int) -> tuple[Tensor, Tensor]:
    """Return word numbers (n_captions, most words), 0 where a caption is over, and where there is a word."""
    lengths = np.array([len(words) for words in captions])
    if not lengths.all():
        first = int(np.flatnonzero(lengths == 0)[0])
        raise BrainalignError(
            f"{int((lengths == 0).sum())} of {len(lengths)} captions hold no word (first: number {first}); leave them "
            "out"
        )
    flat = np.concatenate([np.asarray(each, dtype=np.int64) for each in captions])
    _check_numbers(flat, n_words)
    present = np.arange(lengths.max()) < lengths[:, None]
    numbers = np.zeros(present.shape, dtype=np.int64)
    numbers[present] = flat
    return torch.from_numpy(numbers), torch.from_numpy(present)


def _check_numbers(words: NDArray[Any], n_words: int) -> None:
    """Raise unless every word has a vector."""
    if len(words) and (words.min() < 0 or words.max() >= n_words):
        raise BrainalignError(
            f"words are numbered {words.min()} to {words.max()}, but there are {n_words} word vectors; number them by "
            "row, from 0"
        )


def same_words(captions: Captions) -> NDArray[np.intp]:
    """Return the number (n_captions,) of the set of words that each caption holds.

    Raises
    ------
    BrainalignError
        If it is the same for all.
    """
    sets = pd.factorize(pd.Series([tuple(sorted({int(word) for word in each})) for each in captions]))[0]
    if sets.max() == 0:
        raise BrainalignError(f"all {len(captions)} captions hold the same words; nothing tells the scenes apart")
    return np.asarray(sets)
