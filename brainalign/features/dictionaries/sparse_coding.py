"""Networks that explain a row by a few atoms: one look that keeps the strongest, or one atom after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

AUXILIARY = 1 / 32  # share of the loss by which atoms that never fire learn what is left of a row
DEAD_AFTER = 100  # steps without firing after which an atom counts as dead in training


class TopK(nn.Module):
    """Codes are the k largest of ReLU(W (x − b)); a row is their sum of unit atoms, plus b.

    Atoms that did not fire for a while learn to explain what the others leave over (the auxiliary loss), so that few
    stay dead.

    Parameters
    ----------
    n_features, n_atoms, n_active : int

    References
    ----------
    Gao L et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093
    """

    silent: Tensor

    def __init__(self, n_features: int, n_atoms: int, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.atoms = nn.Parameter(nn.functional.normalize(torch.randn(n_atoms, n_features)))
        self.encoder = nn.Parameter(self.atoms.detach().clone())
        self.register_buffer("silent", torch.zeros(n_atoms, dtype=torch.long))  # steps since an atom fired

    def encode(self, rows: Tensor) -> Tensor:
        """Return codes (n_rows, n_atoms) of rows (n_rows, n_features)."""
        return _largest(torch.relu((rows - self.bias) @ self.encoder.T), self.n_active)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the share of the rows' squares that is not explained, plus that of the auxiliary loss."""
        drive = torch.relu((rows - self.bias) @ self.encoder.T)
        codes = _largest(drive, self.n_active)
        rest = rows - self.bias - codes @ self.atoms
        unexplained = rest.square().sum() / rows.square().sum()
        with torch.no_grad():
            self.silent += 1
            self.silent[(codes > 0).any(dim=0)] = 0
        dead = self.silent > DEAD_AFTER
        n_dead = int(dead.sum())
        if not n_dead:
            return unexplained
        rest = rest.detach()
        raised = (rest @ self.encoder[dead].T).relu()
        again = rest - _largest(raised, min(n_dead, 2 * self.n_active)) @ self.atoms[dead]
        return unexplained + AUXILIARY * again.square().sum() / rest.square().sum()

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring atoms back to unit length."""
        self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(1e-8))


class MatchingPursuit(nn.Module):
    """One atom after the other explains what the earlier ones left: r ← r − (w_j · r) w_j, j the largest w · r.

    What is left never grows. Encoder and decoder share the unit atoms, so that a step depends on what came before it.

    Parameters
    ----------
    n_features, n_atoms : int
    n_active : int
        Steps; an atom may be taken twice.

    References
    ----------
    Costa V, Fel T, Lubana ES, Tolooshams B, Ba D (2025). From flat to hierarchical: extracting sparse representations
    with matching pursuit. arXiv:2506.03093
    """

    def __init__(self, n_features: int, n_atoms: int, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.atoms = nn.Parameter(nn.functional.normalize(torch.randn(n_atoms, n_features)))

    def encode(self, rows: Tensor) -> Tensor:
        """Return codes (n_rows, n_atoms) of rows (n_rows, n_features)."""
        return self._pursue(rows)[0]

    def loss(self, rows: Tensor) -> Tensor:
        """Return the share of the rows' squares that is not explained."""
        return self._pursue(rows)[1].square().sum() / rows.square().sum()

    def _pursue(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        rest = rows - self.bias
        codes = rest.new_zeros(len(rows), len(self.atoms))
        for _ in range(self.n_active):
            weight, chosen = (rest @ self.atoms.T).max(dim=1)
            weight = weight.relu()  # nothing points that way: nothing is taken
            codes = codes.scatter_add(1, chosen[:, None], weight[:, None])
            rest = rest - weight[:, None] * self.atoms[chosen]
        return codes, rest

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring atoms back to unit length."""
        self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(1e-8))


def _largest(values: Tensor, k: int) -> Tensor:
    """Keep the k largest values (n_rows, n) of each row, 0 elsewhere."""
    kept, where = values.topk(k, dim=1)
    return torch.zeros_like(values).scatter(1, where, kept)


CODINGS: dict[str, type[TopK] | type[MatchingPursuit]] = {"topk": TopK, "matching_pursuit": MatchingPursuit}
