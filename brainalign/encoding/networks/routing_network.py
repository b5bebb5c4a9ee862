"""The network of routing: learned queries gather tokens by attention, and each query's members read what it gathered.

Queries do not see one another: each chooses tokens by what they hold, by where they lie, or by both.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.encoding.networks.token_inputs import Seen
from brainalign.regression import Array


def position_code(grid: tuple[int, int]) -> torch.Tensor:
    """Return a 2-D sine code (n_tokens, n_channels), tokens row-major: sines and cosines of the row and of the column.

    Wavelengths go from twice the grid to four tokens, so that a sum over channels can single out any row or column.
    """
    axes = []
    for size in grid:
        place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        angle = torch.pi * place[:, None] * torch.arange(1, (size + 1) // 2 + 1)
        axes.append(torch.cat([angle.sin(), angle.cos()], dim=1))
    rows, columns = axes
    return torch.cat([rows.repeat_interleave(grid[1], dim=0), columns.repeat(grid[0], 1)], dim=1).float()


class RoutingNetwork(nn.Module):
    """One layer of cross-attention from learned queries to tokens, and a linear read-out per target.

    Parameters
    ----------
    members : array of bool (n_queries, n_targets)
        Which targets read which query; a target of several sums their contributions.
    n_channels : int
        Of a token.
    code : tensor (n_tokens, n_code), optional
        Position code in the keys; without it they hold content alone.
    content : bool
        Whether keys hold content.
    d_model, n_heads : int
    feedforward : int, optional
        Hidden units of the feed-forward network with layer norms around it; without, targets read what was gathered.
    dropout : float
    """

    def __init__(
        self,
        members: NDArray[np.bool_],
        n_channels: int,
        code: torch.Tensor | None,
        *,
        content: bool,
        d_model: int,
        n_heads: int,
        feedforward: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        n_queries, n_targets = members.shape
        self.n_heads, self.dropout = n_heads, dropout
        # Small, so that attention starts nearly uniform: from a sharp start some queries never leave where they are.
        self.queries = nn.Parameter(0.1 * torch.randn(n_queries, d_model))
        self.content_key = nn.Linear(n_channels, d_model, bias=False) if content else None
        self.position_key = nn.Linear(code.shape[1], d_model, bias=False) if code is not None else None
        self.value: nn.Module = nn.Linear(n_channels, d_model)
        self.feedforward = None if feedforward is None else _FeedForward(d_model, feedforward, dropout)
        query, target = np.nonzero(members)  # ordered by query: its members are one slice of the packed weights
        self.counts = members.sum(axis=1).tolist()
        self.one_each = query.tolist() == target.tolist() == list(range(n_targets))
        # Zero, so that every target starts at its mean: random weights are noise that few images never unlearn.
        self.weight = nn.Parameter(torch.zeros(len(target), d_model))
        self.bias = nn.Parameter(torch.zeros(n_targets))
        for linear in (self.content_key, self.position_key, self.value):
            if isinstance(linear, nn.Linear):
                nn.init.xavier_uniform_(linear.weight)
        self.code = None if code is None else nn.Buffer(code)
        self.target = nn.Buffer(torch.from_numpy(target))
        self.x_mean, self.x_scale = nn.Buffer(torch.zeros(n_channels)), nn.Buffer(torch.ones(n_channels))
        self.y_mean, self.y_scale = nn.Buffer(torch.zeros(n_targets)), nn.Buffer(torch.ones(n_targets))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return predictions (n, n_targets), in units of the targets' scale, for tokens (n, n_tokens, n_channels)."""
        return self._read(self.seen(tokens)(slice(None)))

    def seen(self, tokens: torch.Tensor) -> Seen:
        """Gather what targets of some queries read (n, queries of a slice, n_channels), as a function of the slice."""
        tokens, there = self._standardised(tokens)
        keys, values = self._keys(tokens), self._heads(self.value(tokens))  # (n, heads, n_tokens, d_head)

        def gathered(which: slice) -> torch.Tensor:
            found = functional.scaled_dot_product_attention(
                self._queries(len(tokens))[:, :, which],
                keys,
                values,
                attn_mask=None if there is None else there[:, None, None],
                dropout_p=self.dropout if self.training else 0.0,
            )
            found = found.transpose(1, 2).flatten(2)
            return found if self.feedforward is None else self.feedforward(found)

        return gathered

    def read_channels(self) -> None:
        """Let targets read the channels that are gathered by a single head, with nothing between."""
        self.value = nn.Identity()
        self.keep(torch.zeros(len(self.weight), len(self.x_mean)), self.bias)

    def attend_evenly(self) -> None:
        """Let all queries gather the mean token: no key differs from another."""
        for key in (self.content_key, self.position_key):
            if key is not None:
                nn.init.zeros_(key.weight)

    def keep(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take packed weights and biases of targets."""
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def attention(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the weights (n, n_queries, n_tokens) of raw tokens, averaged over heads; 0 for padding."""
        tokens, there = self._standardised(tokens)
        keys = self._keys(tokens)
        logits = self._queries(len(tokens)) @ keys.transpose(2, 3) / keys.shape[-1] ** 0.5
        if there is not None:
            logits = logits.masked_fill(~there[:, None, None], -torch.inf)
        return logits.softmax(dim=-1).mean(dim=1)

    def scaled(self, responses: torch.Tensor) -> torch.Tensor:
        """Return responses (n, n_targets) about their mean, in units of their standard deviation."""
        return (responses - self.y_mean) / self.y_scale

    def unscaled(self, predicted: torch.Tensor) -> torch.Tensor:
        """Return predictions in the targets' own units."""
        return predicted * self.y_scale + self.y_mean

    def _standardised(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return scaled tokens and where they are none of padding (n, n_tokens), or None if all are."""
        scaled = (tokens - self.x_mean) / self.x_scale
        padding = torch.isnan(tokens[..., 0])  # such tokens are NaN in all channels
        if not bool(padding.any()):
            return scaled, None
        return scaled.masked_fill(padding[..., None], 0.0), ~padding

    def _queries(self, n: int) -> torch.Tensor:
        return self._heads(self.queries[None]).expand(n, -1, -1, -1)

    def _keys(self, tokens: torch.Tensor) -> torch.Tensor:
        keys = torch.zeros_like(self.queries[0])
        if self.content_key is not None:
            keys = keys + self.content_key(tokens)
        if self.position_key is not None:
            keys = keys + self.position_key(self.code)
        return self._heads(keys.expand(len(tokens), -1, -1))

    def _heads(self, values: torch.Tensor) -> torch.Tensor:
        """Split channels (n, n_items, d_model) over heads (n, heads, n_items, d_head)."""
        return values.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def _read(self, gathered: torch.Tensor) -> torch.Tensor:
        """Return the sum over a target's queries of its weights times what they gathered."""
        if self.one_each:
            return torch.einsum("bvd,vd->bv", gathered, self.weight) + self.bias
        parts = [gathered[:, query] @ weight.T for query, weight in enumerate(self.weight.split(self.counts))]
        read = self.bias.repeat(len(gathered), 1)
        return read.index_add(1, self.target, torch.cat(parts, dim=1).to(read.dtype))  # in half precision products are


class _FeedForward(nn.Module):
    """The rest of a decoder layer, pre-norm: gathered + FFN(norm(gathered)), normed once more for the read-out."""

    def __init__(self, d_model: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Linear(d_model, d_model)
        self.layers = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, d_model),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, gathered: torch.Tensor) -> torch.Tensor:
        mixed = self.mix(gathered)
        return self.norm(mixed + self.layers(mixed))


N_COMPONENTS = 64  # of response profiles: parcels lie in the leading ones, and k-means on all rows takes far longer

Members = tuple[list[str], NDArray[np.bool_]]


def members_of(
    queries: Literal["roi", "target", "hemisphere"], roi: Array | Sequence[object] | None, n_targets: int, *, rest: bool
) -> Members:
    """Return the names of the queries and which targets read them (n_queries, n_targets)."""
    if queries == "target":
        if roi is not None:
            raise BrainalignError("queries 'target' gives every target a query of its own; leave roi out")
        return [str(target) for target in range(n_targets)], np.eye(n_targets, dtype=bool)
    if roi is None:
        wanted = "labels or membership" if queries == "roi" else "'L' or 'R' per target"
        raise BrainalignError(f"queries {queries!r} needs roi={wanted} to know which targets a query has")
    values = np.asarray(roi.cpu() if isinstance(roi, torch.Tensor) else roi)
    names, members = _of_membership(values, n_targets) if values.ndim == 2 else _of_labels(values, n_targets)
    if queries == "hemisphere" and not {"L", "R"}.issuperset(names):
        raise BrainalignError(f"roi has labels {listed(names)}; queries 'hemisphere' wants 'L' or 'R' for each target")
    outside = ~members.any(axis=0)
    if outside.any() and not rest:
        raise BrainalignError(
            f"{int(outside.sum())} of {n_targets} targets are in no ROI (columns "
            f"{listed(np.flatnonzero(outside).tolist())}); drop them with "
            "responses.select(targets=...), or set rest=True for one more query that they share"
        )
    if outside.any():
        names, members = [*names, "rest"], np.vstack([members, outside])
    return names, members


def parcels_of(Y: NDArray[Any], n_parcels: int, seed: int) -> Members:
    """Cluster targets by their responses: k-means on profiles scaled to unit variance.

    Parameters
    ----------
    Y : array (n_rows, n_targets)
        Of the rows a network is trained on, and no others. Missing responses (NaN) count as the target's mean.
    """
    if not 1 <= n_parcels <= Y.shape[1]:
        raise BrainalignError(f"n_parcels is {n_parcels} but Y has {Y.shape[1]} targets; take 1 to {Y.shape[1]}")
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    profiles = ((Y - np.nanmean(Y, axis=0)) / np.nanstd(Y, axis=0)).T
    profiles = np.nan_to_num(profiles)
    if min(profiles.shape) > N_COMPONENTS:
        profiles = PCA(N_COMPONENTS, svd_solver="randomized", random_state=seed).fit_transform(profiles)
    labels = KMeans(n_parcels, n_init=3, random_state=seed).fit_predict(profiles)
    found = np.unique(labels)  # fewer than asked for where targets are copies of each other
    return [f"parcel{number}" for number in found], labels == found[:, None]


def _of_labels(values: NDArray[Any], n_targets: int) -> Members:
    """Return the membership that labels say, in order of first appearance; "", None and NaN are no label."""
    if values.ndim != 1:
        raise BrainalignError(f"roi has shape {values.shape}; give a label per target, or a boolean row per ROI")
    check_rows("roi", len(values), "the targets of Y", n_targets, "give one label per target")
    labels = np.array(["" if value is None or value != value else str(value) for value in values.tolist()])
    names = [name for name in dict.fromkeys(labels.tolist()) if name]
    if not names:
        raise BrainalignError(f"none of the {n_targets} targets has a label in roi; name the ROI of each")
    return names, labels == np.array(names)[:, None]


def _of_membership(values: NDArray[Any], n_targets: int) -> Members:
    if values.dtype != bool or values.shape[1] != n_targets:
        raise BrainalignError(
            f"roi has shape {values.shape} and dtype {values.dtype} but Y has {n_targets} targets; "
            "membership is boolean, (n_rois, n_targets)"
        )
    empty = np.flatnonzero(~values.any(axis=1)).tolist()
    if empty or not len(values):
        raise BrainalignError(
            f"{len(empty)} of {len(values)} ROIs have no members (rows {listed(empty)}); leave them out"
        )
    return [str(number) for number in range(len(values))], values
