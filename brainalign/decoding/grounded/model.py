"""Grounded language: word vectors pulled towards what the words name in scenes, by captions alone.

    stage 1    score(caption, scene) = mean over words of max over locations of cos(f(word), g(location)), CLIP loss
    stage 2    words fetch objects by cross-attention, and bilinear forms tell how two objects relate

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
from torch import Tensor
from torch.nn import functional as F

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.decoding.grounded.grounded_inputs import (
    Captions,
    check_numbers,
    checked_captions,
    checked_relations,
    checked_scenes,
    checked_words,
    same_words,
)
from brainalign.decoding.grounded.network import Grounding
from brainalign.decoding.grounded.relations import RelationReadout, fetch_objects, train_relations
from brainalign.decoding.training import LogitScale, batches, pair_loss, train
from brainalign.devices import pick_device
from brainalign.io import read_safetensors, reading

CHUNK = 64  # scenes scored at once: memory holds words × scenes × locations


@dataclass(eq=False, repr=False)
class GroundedLanguage:
    """A language space aligned with vision by contrastive learning.

    Parameters
    ----------
    n_dimensions, n_hidden : int
        Of the shared space, and of the hidden layer of both networks.
    n_steps, batch_size, learning_rate, weight_decay
        Of stage 1, AdamW at a constant rate.
    sharpness, relation_steps, relation_batch, relation_rate, relation_decay
        Of stage 2: of the attention by which words fetch objects, and of AdamW; stage 1 is frozen.
    device : {"auto", "cpu", "cuda"}
    seed : int

    Attributes
    ----------
    network_ : Grounding
    relation_ : RelationReadout or None
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
    weight_decay: float = 0.5
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
        text, seen = checked_words(word_vectors), checked_scenes(scenes)
        check_rows("captions", len(captions), "scenes", len(seen), "give one caption per scene")
        words, present = checked_captions(captions, len(text))
        device = pick_device(self.device)
        self.text_ = torch.from_numpy(text).float().to(device)
        tensors = torch.from_numpy(seen), torch.from_numpy(same_words(captions))
        rng = np.random.default_rng([self.seed, 0x6E1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self.network_ = Grounding(text.shape[1], seen.shape[2], self.n_hidden, self.n_dimensions)
        self.network_.standardise(torch.from_numpy(text).float(), tensors[0])
        self.network_.to(device)
        scale = LogitScale().to(device)
        order = list(batches(len(seen), self.batch_size, self.n_steps, rng))

        def loss(step: int) -> Tensor:
            rows = torch.from_numpy(order[step])
            scores = self.network_(
                self.text_, words[rows].to(device), present[rows].to(device), tensors[0][rows].to(device)
            )
            return pair_loss(scale() * scores, tensors[1][rows].to(device))

        self.history_ = train(
            [self.network_, scale],
            loss,
            self.n_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule="constant",
        )
        self.relation_: RelationReadout | None = None
        self.relation_names_: list[str] = []
        if relations is not None:
            self._fit_relations(seen, relations, rng)
        return self

    def _fit_relations(self, scenes: NDArray[np.float32], relations: pd.DataFrame, rng: np.random.Generator) -> None:
        where = checked_relations(relations, len(scenes))
        codes, names = pd.factorize(relations["relation"].astype(str), sort=True)
        self.relation_names_ = [str(name) for name in names]
        both = [self._fetch(relations[role].to_numpy(), scenes, where)[0] for role in ("subject", "object")]
        self.relation_, self.relation_history_ = train_relations(
            both[0],
            both[1],
            torch.from_numpy(codes),
            n_steps=self.relation_steps,
            batch_size=self.relation_batch,
            learning_rate=self.relation_rate,
            weight_decay=self.relation_decay,
            rng=rng,
        )

    def embed(self, words: Values | None = None) -> NDArray[np.float64]:
        """Return words in the grounded space, unit vectors (n_words, n_dimensions).

        Parameters
        ----------
        words : array (n_words, n_text), optional
            Text vectors of any words; those that were fitted where not given.
        """
        text = self.text_ if words is None else torch.from_numpy(checked_words(words)).float().to(self.text_.device)
        with torch.no_grad():
            return np.asarray(F.normalize(self.network_.embed_words(text), dim=-1).cpu().double().numpy())

    def scores(self, captions: Captions, scenes: Values) -> NDArray[np.float64]:
        """Score the match of every caption with every scene (n_captions, n_scenes), in −1 to 1.

        Parameters
        ----------
        captions : sequence of sequences of int
        scenes : array (n_scenes, n_locations, n_channels)
        """
        seen = torch.from_numpy(checked_scenes(scenes))
        words, present = (part.to(self.text_.device) for part in checked_captions(captions, len(self.text_)))
        with torch.no_grad():
            parts = [
                self.network_(self.text_, words, present, part.to(self.text_.device)).cpu()
                for part in seen.split(CHUNK)
            ]
        return torch.cat(parts, dim=1).double().numpy()

    def locate(self, words: Sequence[int] | Rows, scenes: Values) -> NDArray[np.float64]:
        """Return where a word looks in its scene, shares (n, n_locations) that sum to 1.

        Parameters
        ----------
        words : (n,) of int
            One word per scene.
        scenes : array (n, n_locations, n_channels)
        """
        return self._fetch(np.asarray(words), checked_scenes(scenes))[1].cpu().double().numpy()

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
        seen = checked_scenes(scenes)
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
        """Return the fitted estimator whose `state` this is.

        Raises
        ------
        BrainalignError
            If it is the state of something else.
        """
        absent = [name for name in ("about", "text") if name not in arrays]
        if absent:
            raise BrainalignError(f"no grounded language: {listed(absent)} missing; give what GroundedLanguage saved")
        about, where = json.loads(arrays["about"].tobytes()), pick_device(device)
        weights = _part(arrays, "network.")
        network = Grounding.from_weights(weights).to(where).eval()
        n_dimensions, n_hidden = weights["words.2.weight"].shape
        made = cls(n_dimensions, n_hidden, sharpness=about["sharpness"], device=device)
        made.network_, made.text_ = network, torch.tensor(arrays["text"]).to(where)
        made.relation_names_, made.relation_ = about["relations"], None
        if about["relations"]:
            made.relation_ = RelationReadout.from_weights(_part(arrays, "relation.")).to(where).eval()
        return made

    def save(self, path: Path) -> None:
        """Write `state` as one safetensors file."""
        save_file({name: np.ascontiguousarray(each) for name, each in self.state().items()}, path)

    @classmethod
    def load(cls, path: Path, device: str = "auto") -> GroundedLanguage:
        """Read what `save` wrote.

        Raises
        ------
        BrainalignError
            If the file cannot be read, or holds something else.
        """
        with reading(path, "no whole grounded language", "give what GroundedLanguage.save wrote"):
            return cls.from_state(read_safetensors(path)[0], device)

    def _fetch(self, words: Rows, scenes: NDArray[np.float32], where: Rows | None = None) -> tuple[Tensor, Tensor]:
        """Return objects and attention of words, each in its scene: the row of its own number, or of `where`."""
        rows = np.arange(len(scenes)) if where is None else where
        check_rows("words", len(words), "scenes", len(rows), "give one word per scene")
        check_numbers(words, len(self.text_))
        device = self.text_.device
        found = []
        with torch.no_grad():
            for part in np.array_split(np.arange(len(words)), -(-len(words) // CHUNK)):
                text = self.text_[torch.from_numpy(words[part].astype(np.int64)).to(device)]
                seen = torch.from_numpy(scenes[rows[part]]).to(device)
                found.append(fetch_objects(self.network_, text, seen, self.sharpness))
        objects, attention = zip(*found, strict=True)
        return torch.cat(objects), torch.cat(attention)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): torch.tensor(each) for name, each in arrays.items() if name.startswith(prefix)}
