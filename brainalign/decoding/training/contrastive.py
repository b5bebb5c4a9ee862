"""The contrastive loss that pulls the two views of a stimulus together and pushes those of different stimuli apart."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError, check_rows

EXCLUDED = -1e4  # a logit that takes no part in a softmax, also in half precision


class LogitScale(nn.Module):
    """The inverse temperature of a contrastive loss, learned as its logarithm.

    Called without arguments it returns the scale itself, exponentiated and capped: the logarithm used raw, as public
    code has it, would be a temperature that never moves far from 1.

    Parameters
    ----------
    initial : float
        At the start of training.
    maximum : float
    """

    def __init__(self, initial: float = 1 / 0.07, maximum: float = 100.0) -> None:
        super().__init__()
        if not 0 < initial <= maximum:
            raise BrainalignError(f"initial scale {initial} is not in (0, {maximum}]; lower it or raise the maximum")
        self.log = nn.Parameter(torch.tensor(math.log(initial)))
        self.maximum = maximum

    def forward(self) -> Tensor:
        """Return the scale, a scalar."""
        return self.log.exp().clamp(max=self.maximum)


def clip_loss(a: Tensor, b: Tensor, scale: Tensor | float, stimuli: Tensor) -> Tensor:
    """Return the mean of the cross-entropies of finding each row of `a` in `b`, and of `b` in `a`.

    Parameters
    ----------
    a, b : Tensor (n, n_dimensions)
        Row i of both belongs to one stimulus; brought to unit length here.
    scale : Tensor or float
        Inverse temperature, for example of `LogitScale`.
    stimuli : Tensor (n,) of int
        Trials of one stimulus are no negatives of each other: they are left out of each other's softmax. If all are of
        one stimulus, there is nothing to tell apart, and an error says so.

    References
    ----------
    Radford et al. (2021), Learning transferable visual models from natural language supervision. arXiv:2103.00020.
    """
    check_rows("a", len(a), "b", len(b), "give one row of each per trial")
    check_rows("stimuli", len(stimuli), "a", len(a), "give one stimulus per trial")
    return pair_loss(scale * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T, stimuli)


def pair_loss(logits: Tensor, stimuli: Tensor) -> Tensor:
    """Return the mean of the cross-entropies of finding the diagonal in the rows, and in the columns.

    `logits` (n, n) are of every row of one kind with every row of another, the right ones on the diagonal; `stimuli`
    are as in `clip_loss`.
    """
    same = stimuli[:, None] == stimuli[None, :]
    if same.all():
        raise BrainalignError(
            f"all {len(logits)} trials of a batch show one stimulus; nothing to tell apart: enlarge it"
        )
    same = same.fill_diagonal_(False)
    logits = logits.masked_fill(same, EXCLUDED)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
