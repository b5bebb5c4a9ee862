"""The two networks of grounded language, and how well a caption fits a scene: do its words find something to look at?

score(caption, scene) = mean over words of max over locations of cos(f(word), g(location))
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Grounding(nn.Module):
    """Brings words and places of scenes into one space.

    Parameters
    ----------
    n_text, n_channels : int
        Of the vectors of words, and of locations; both are standardised by what `standardise` saw.
    n_hidden, n_dimensions : int
    """

    text_mean: Tensor
    text_scale: Tensor
    places_mean: Tensor
    places_scale: Tensor

    def __init__(self, n_text: int, n_channels: int, n_hidden: int, n_dimensions: int) -> None:
        super().__init__()
        self.words = nn.Sequential(nn.Linear(n_text, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_dimensions))
        self.places = nn.Sequential(nn.Linear(n_channels, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_dimensions))
        for name, n in (("text", n_text), ("places", n_channels)):
            self.register_buffer(f"{name}_mean", torch.zeros(n))
            self.register_buffer(f"{name}_scale", torch.ones(n))

    def standardise(self, text: Tensor, scenes: Tensor) -> None:
        """Take mean and scale of what comes in from word vectors and from all places of training scenes."""
        for name, values in (("text", text), ("places", scenes.flatten(0, 1))):
            spread = values.std(dim=0)
            setattr(self, f"{name}_mean", values.mean(dim=0))
            setattr(self, f"{name}_scale", torch.where(spread > 0, spread, 1))

    def embed_words(self, text: Tensor) -> Tensor:
        """Return words in the shared space (n_words, n_dimensions), of any length."""
        return self.words((text - self.text_mean) / self.text_scale)  # type: ignore[no-any-return]

    def embed_places(self, scenes: Tensor) -> Tensor:
        """Return places in the shared space (n_scenes, n_locations, n_dimensions), of any length."""
        return self.places((scenes - self.places_mean) / self.places_scale)  # type: ignore[no-any-return]

    def similarities(self, text: Tensor, scenes: Tensor) -> Tensor:
        """Return the cosine of every word with every location of every scene (n_words, n_scenes, n_locations).

        Parameters
        ----------
        text : Tensor (n_words, n_text)
        scenes : Tensor (n_scenes, n_locations, n_channels)
        """
        words = F.normalize(self.embed_words(text), dim=-1)
        places = F.normalize(self.embed_places(scenes), dim=-1)
        return torch.einsum("wd,nld->wnl", words, places)

    def forward(self, text: Tensor, words: Tensor, present: Tensor, scenes: Tensor) -> Tensor:
        """Return the score of every caption with every scene (n_captions, n_scenes).

        Parameters
        ----------
        text : Tensor (n_vocabulary, n_text)
        words : Tensor (n_captions, most words) of int
        present : Tensor (n_captions, most words) of bool
        scenes : Tensor (n_scenes, n_locations, n_channels)
        """
        spoken, of = words.unique(return_inverse=True)
        found = self.similarities(text[spoken], scenes).amax(dim=2)  # (n_spoken, n_scenes)
        weight = present / present.sum(dim=1, keepdim=True)
        return torch.einsum("cm,cmn->cn", weight.to(found.dtype), found[of])

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Grounding:
        """Return the network of a state dict, whose shapes say its size."""
        (n_hidden, n_text), n_dimensions = weights["words.0.weight"].shape, len(weights["words.2.weight"])
        made = cls(n_text, weights["places.0.weight"].shape[1], n_hidden, n_dimensions)
        made.load_state_dict(weights)
        return made
