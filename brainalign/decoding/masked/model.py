"""A model of a brain's regions that learns by filling in hidden ones."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.decoding.masked.network import masked_loss, masked_network, token_correlations
from brainalign.decoding.masked.segments import check_hidden, check_series, hidden_regions, joined, segment_starts
from brainalign.decoding.training import History, train
from brainalign.devices import pick_device, seeded
from brainalign.io import read_safetensors, reading

N_VALIDATED = 192  # segments of validation runs, drawn once
CYCLE = 700  # steps at most, of one cycle in the place of a plateau that no validation runs end


@dataclass(frozen=True)
class Embedded:
    """What a model makes of runs.

    Attributes
    ----------
    mean : array (n_runs, n_regions, width)
        Tokens averaged over segments: no second-order information is left in them.
    covariance : array (n_runs, n_regions, n_regions)
        Correlation of the tokens of regions over segments and dimensions, each dimension centred over segments.
    """

    mean: NDArray[np.float32]
    covariance: NDArray[np.float32]


@dataclass(eq=False, repr=False)
class MaskedBrainModel(BaseEstimator):  # type: ignore[misc]
    """Learn how regions follow from each other by hiding some of them for a whole segment.

    Loss = hidden_share · MSE(hidden) + (1 − hidden_share) · MSE(visible). In its blocks of embedding attention,
    regions gather from those their learned embeddings ask for: the embeddings come to hold the networks.

    Parameters
    ----------
    design : {"tiny", "full"}
        tiny reads hidden regions off their tokens; full pools segments and decodes regions from these.
    attention : {"static", "adaptive"}
        Embedding attention in every block, or self-attention in all but the last.
    n_blocks : int
        2 in the tiny design; 3 in the published one.
    segment_frames : int
        Frames of a segment: about 15 s.
    width, n_heads, hidden_width : int
        Of tokens, attention and the network per region.
    region_vectors : bool
        A learned vector of its region on every token, hidden or not; without it regions cannot lag behind others.
    ratio : (float, float)
        Shares of regions that are hidden, drawn uniformly for every segment.
    masking : bool
        False: nothing is ever hidden in training (an ablation).
    fixed_embeddings, self_loops : bool
        Ablations.
    hidden_share : float
        Weight of hidden regions in the loss.
    n_segments, n_tokens, n_layers : int
        full: segments read together, tokens of a segment, layers over segments and of the decoder.
    n_steps, batch_size : int
        Steps of training (with "plateau" the most there are), and segments of each.
    learning_rate, weight_decay : float
    schedule : {"constant", "one_cycle", "plateau"}
        "plateau" trains until hidden regions of validation runs are filled in no better; one cycle, of 700 steps at
        most, where there are none.
    patience : int
        Steps without improvement after which "plateau" lowers the rate, and at last ends.
    device : {"auto", "cpu", "cuda"}
    seed : int

    Attributes
    ----------
    region_embeddings_ : array (n_regions, width)
    regions_ : list of str
    history_ : History
        `converged` is False where "plateau" came to its last step while runs were still filled in better.

    References
    ----------
    Yang Y et al. (2024). BrainMAE: A region-aware self-supervised learning framework for brain signals.
    arXiv:2406.17086.

    Examples
    --------
    >>> from brainalign.simulation import roi_series
    >>> world = roi_series(n_subjects=4, n_frames=80)
    >>> model = MaskedBrainModel(n_steps=2).fit(world.series, world.regions["region_id"])
    >>> model.reconstruct(world.series, np.arange(60) < 10).shape
    (4, 80, 60)
    """

    design: Literal["tiny", "full"] = "tiny"
    attention: Literal["static", "adaptive"] = "static"
    _: KW_ONLY
    n_blocks: int = 2
    segment_frames: int = 20
    width: int = 48
    n_heads: int = 1
    hidden_width: int = 96
    region_vectors: bool = True
    ratio: tuple[float, float] = (0.05, 0.95)
    masking: bool = True
    fixed_embeddings: bool = False
    self_loops: bool = False
    hidden_share: float = 0.75
    n_segments: int = 4
    n_tokens: int = 8
    n_layers: int = 2
    n_steps: int = 6000
    batch_size: int = 48
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    schedule: Literal["constant", "one_cycle", "plateau"] = "plateau"
    patience: int = 300
    device: str = "auto"
    seed: int = 0

    @property
    def frames_read(self) -> int:
        """Count the frames that the network reads together."""
        return self.segment_frames * (self.n_segments if self.design == "full" else 1)

    def fit(
        self,
        series: NDArray[np.floating[Any]],
        regions: Sequence[str] | None = None,
        val: NDArray[np.floating[Any]] | None = None,
    ) -> "MaskedBrainModel":
        """Train on runs.

        Parameters
        ----------
        series : array (n_subjects, n_frames, n_regions)
            Detrended, z-scored per run and region.
        regions : sequence of str, optional
            Their ids.
        val : array (n_runs, n_frames, n_regions), optional
            Runs of other people. The weights that fill in their hidden regions best are kept.

        Raises
        ------
        BrainalignError
            If values are not finite, a region is constant, or runs are shorter than what is read together.
        """
        check_choice("design", self.design, ("tiny", "full"))
        check_choice("attention", self.attention, ("static", "adaptive"))
        if not 0 <= self.ratio[0] <= self.ratio[1] < 1:
            raise BrainalignError(f"ratio {self.ratio} must rise within 0 and 1: shares of regions that are hidden")
        if self.width % self.n_heads:
            raise BrainalignError(f"width {self.width} is no multiple of n_heads {self.n_heads}; change one of them")
        values = check_series(series, self.frames_read)
        names = [f"region{k}" for k in range(values.shape[2])] if regions is None else [str(name) for name in regions]
        check_rows("regions", len(names), "series", values.shape[2], "name every region once")
        self.regions_ = names
        device = pick_device(self.device)
        self._build(len(names), device)
        data = torch.from_numpy(values).to(device)
        rng = np.random.default_rng([self.seed, 0x3A5C])

        def draw(runs: Tensor, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            rows = rng.integers(len(runs), size=n)
            starts = rng.integers(runs.shape[1] - self.frames_read + 1, size=n)
            frames = torch.from_numpy(starts[:, None] + np.arange(self.frames_read))
            cut = runs[torch.from_numpy(rows)[:, None], frames].unflatten(1, (-1, self.segment_frames))
            hidden = hidden_regions(cut.shape[:2], len(names), self.ratio if self.masking else None, rng)
            return cut, torch.from_numpy(hidden).to(device)

        def loss(step: int) -> Tensor:
            cut, hidden = draw(data, self.batch_size, rng)
            return masked_loss(self.network_(cut, hidden), cut, hidden, self.hidden_share)

        validate = None
        if val is not None:
            held = torch.from_numpy(check_series(val, self.frames_read, len(names))).to(device)
            seen = draw(held, N_VALIDATED, np.random.default_rng([self.seed, 0x7A1]))  # the same at every check

            def validate() -> float:
                return -masked_loss(self.network_(*seen), *seen, self.hidden_share).item()

        blind = validate is None and self.schedule == "plateau"
        self.history_: History = train(
            [self.network_],
            loss,
            min(self.n_steps, CYCLE) if blind else self.n_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule="one_cycle" if blind else self.schedule,
            validate=validate,
            patience=self.patience,
        )
        return self

    def reconstruct(
        self, series: NDArray[np.floating[Any]], hidden: NDArray[np.bool_], *, stride: int | None = None, edge: int = 0
    ) -> NDArray[np.float32]:
        """Return runs (n_runs, n_frames, n_regions) in which hidden regions are filled in from visible ones.

        Parameters
        ----------
        series : array (n_runs, n_frames, n_regions)
            Values of hidden regions are not read.
        hidden : array of bool (n_regions) or (n_runs, n_regions)
        stride : int, optional
            Frames from segment to segment; they do not overlap by default.
        edge : int
            Frames at the ends of a segment that are used only where no other segment has them in its middle.

        Raises
        ------
        BrainalignError
            If regions are not those it was fitted to, `hidden` does not fit or leaves nothing to be seen, or `stride`
            leaves frames out.
        """
        check_is_fitted(self)
        values = check_series(series, self.frames_read, len(self.regions_))
        if stride is not None and stride not in range(1, self.frames_read + 1):
            raise BrainalignError(f"stride is 1 to {self.frames_read} frames, what a segment has; got {stride}")
        hidden = check_hidden(hidden, len(values), values.shape[2])
        starts = segment_starts(values.shape[1], self.frames_read, stride or self.frames_read)
        filled = np.empty((len(values), len(starts), self.frames_read, values.shape[2]), dtype=np.float32)
        for run, segments in self._batches(values, starts):
            mask = torch.from_numpy(np.array(hidden[run])).to(segments.device).expand(*segments.shape[:2], -1)
            with torch.no_grad():
                filled[run] = self.network_(segments, mask).flatten(1, 2).cpu().numpy()
        return joined(filled, starts, values.shape[1], edge)

    def embed(self, series: NDArray[np.floating[Any]]) -> Embedded:
        """Embed runs of which nothing is hidden: the mean and the correlations of the blocks' tokens.

        Parameters
        ----------
        series : array (n_runs, n_frames, n_regions)
        """
        check_is_fitted(self)
        values = check_series(series, self.segment_frames, len(self.regions_))
        starts = segment_starts(values.shape[1], self.segment_frames, self.segment_frames)
        means, covariances = [], []
        for _, segments in self._batches(values, starts, self.segment_frames):
            cut = segments.flatten(0, 1)
            with torch.no_grad():
                tokens = self.network_.regions(
                    cut, torch.zeros(len(cut), cut.shape[2], dtype=torch.bool).to(cut.device)
                )
            means.append(tokens.mean(dim=0).cpu().numpy())
            covariances.append(token_correlations(tokens[None])[0].cpu().numpy())
        return Embedded(np.stack(means), np.stack(covariances))

    @property
    def region_embeddings_(self) -> NDArray[np.float32]:
        """Return the embeddings (n_regions, width)."""
        return np.array(self.network_.regions.embeddings.detach().cpu().numpy())

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights by name; with `config` and `regions_` they are the whole model."""
        return {name: np.array(tensor.cpu().numpy()) for name, tensor in self.network_.state_dict().items()}

    @property
    def config(self) -> dict[str, Any]:
        """Return the arguments that the model was made with."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, NDArray[np.float32]],
        config: Mapping[str, Any],
        regions: Sequence[str],
        device: str = "auto",
    ) -> "MaskedBrainModel":
        """Return the model of some weights, arguments and regions."""
        model = cls(**{**config, "ratio": tuple(config["ratio"]), "device": device})
        model.regions_ = list(regions)
        model._build(len(model.regions_), pick_device(device))
        try:
            model.network_.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        except RuntimeError as error:
            raise BrainalignError(
                f"{len(state)} arrays are not the weights of a model of {len(model.regions_)} regions with these "
                "arguments; give weights and arguments of one file"
            ) from error
        model.network_.eval()
        return model

    def save(self, path: Path | str) -> None:
        """Write weights, arguments and regions into a .safetensors file."""
        from safetensors.numpy import save_file

        save_file(self.state(), path, {"config": json.dumps(self.config), "regions": json.dumps(self.regions_)})

    @classmethod
    def load(cls, path: Path | str, device: str = "auto") -> "MaskedBrainModel":
        """Return a model that was saved."""
        state, about = read_safetensors(path)
        if not {"config", "regions"} <= set(about):
            raise BrainalignError(f"{path}: holds no masked model; give a file that MaskedBrainModel.save wrote")
        with reading(path, "no whole masked model", "give a file that MaskedBrainModel.save wrote"):
            return cls.from_state(state, json.loads(about["config"]), json.loads(about["regions"]), device)

    def _build(self, n_regions: int, device: torch.device) -> None:
        with seeded(self.seed):
            self.network_ = masked_network(n_regions, self.config).to(device)

    def _batches(
        self, values: NDArray[np.float32], starts: NDArray[np.intp], length: int | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield (run, segments (n, n_segments, segment_frames, n_regions)) run by run."""
        device = next(self.network_.parameters()).device
        frames = starts[:, None] + np.arange(length or self.frames_read)
        for run, one in enumerate(values):
            yield run, torch.from_numpy(one[frames]).to(device).unflatten(1, (-1, self.segment_frames))
