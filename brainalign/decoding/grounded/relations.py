"""How two objects of a scene relate, told from what their words fetch from it.

o_w = Σ_l softmax_l(sharpness · cos(f(w), g(l))) g(l)            logit_r = o_s' M_r o_o + b_r
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.decoding.grounded.network import Grounding
from brainalign.decoding.training import History, batches, train


def fetch_objects(network: Grounding, text: Tensor, scenes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Return the object that a word fetches from its scene (n, n_dimensions), and where it looked (n, n_locations).

    Parameters
    ----------
    network : Grounding
    text : Tensor (n, n_text)
        One word per scene.
    scenes : Tensor (n, n_locations, n_channels)
    sharpness : float
        Of the attention: 0 takes the mean of the scene.
    """
    places = network.embed_places(scenes)
    similar = torch.einsum("nd,nld->nl", F.normalize(network.embed_words(text), dim=-1), F.normalize(places, dim=-1))
    attention = (sharpness * similar).softmax(dim=1)
    return torch.einsum("nl,nld->nd", attention, places), attention


class RelationReadout(nn.Module):
    """A bilinear form and an offset for every relation, on objects z-scored over training scenes.

    Parameters
    ----------
    n_dimensions, n_relations : int
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_dimensions: int, n_relations: int) -> None:
        super().__init__()
        self.forms = nn.Parameter(torch.zeros(n_relations, n_dimensions, n_dimensions))
        self.offsets = nn.Parameter(torch.zeros(n_relations))
        self.register_buffer("mean", torch.zeros(n_dimensions))
        self.register_buffer("scale", torch.ones(n_dimensions))

    def standardise(self, objects: Tensor) -> None:
        """Take mean and scale from the objects of training scenes (n, n_dimensions)."""
        spread = objects.std(dim=0)
        self.mean = objects.mean(dim=0)
        self.scale = torch.where(spread > 0, spread, 1)

    def forward(self, subjects: Tensor, objects: Tensor) -> Tensor:
        """Return logits (n, n_relations).

        Parameters
        ----------
        subjects, objects : Tensor (n, n_dimensions)
        """
        s, o = (subjects - self.mean) / self.scale, (objects - self.mean) / self.scale
        return torch.einsum("nd,rde,ne->nr", s, self.forms, o) + self.offsets

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> RelationReadout:
        """Return the readout of a state dict, whose shapes say its size."""
        n_relations, n_dimensions, _ = weights["forms"].shape
        made = cls(n_dimensions, n_relations)
        made.load_state_dict(weights)
        return made


def train_relations(
    subjects: Tensor,
    objects: Tensor,
    relations: Tensor,
    *,
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    rng: np.random.Generator,
) -> tuple[RelationReadout, History]:
    """Return a readout trained by cross-entropy; the objects stay as they are.

    Parameters
    ----------
    subjects, objects : Tensor (n, n_dimensions)
    relations : Tensor (n,) of int
        Numbered from 0.
    n_steps, batch_size, learning_rate, weight_decay
        Of AdamW, one cycle. A form per relation has many more numbers than the relation has examples of each pair of
        words: strong decay of the weights is what makes it speak of objects it has not seen together.
    rng : Generator
    """
    readout = RelationReadout(subjects.shape[1], int(relations.max()) + 1).to(subjects.device)
    readout.standardise(torch.cat([subjects, objects]))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.no_grad():
        readout.forms.copy_(0.02 * torch.randn(readout.forms.shape, generator=generator))
    wanted = relations.to(subjects.device)
    order = list(batches(len(wanted), batch_size, n_steps, rng))

    def loss(step: int) -> Tensor:
        rows = torch.from_numpy(order[step]).to(subjects.device)
        return F.cross_entropy(readout(subjects[rows], objects[rows]), wanted[rows])

    history = train([readout], loss, n_steps, learning_rate=learning_rate, weight_decay=weight_decay)
    return readout, history
