"""One space of EEG, MEG, fMRI and image vectors: an encoder per modality, a subject layer in each, one projector.

    embedding = |ridge(x)| unit((1 − b_m) unit(mixture(encoder_m(subject layer(x)))) + b_m unit(ridge(x)))

with x the standardised recording and the ridge of its subject; of length 1 where b_m is 0. The network is trained by a
contrastive and a regression loss towards the vectors of the images, one modality per batch; modalities share the
projector, and the space of the images itself. How much ridge counts is chosen per modality on validation images: a
network needs more trials than ridge does.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, check_shape, listed
from brainalign.decoding.scoring import reciprocal_rank
from brainalign.decoding.shared_space.linear_paths import (
    USUAL,
    LinearPath,
    best_share,
    blended,
    held_out_stimuli,
    ridge_penalty,
)
from brainalign.decoding.shared_space.modality_encoders import MODALITY_ENCODERS, SoftMixture
from brainalign.decoding.training import (
    History,
    LogitScale,
    SubjectScale,
    Trials,
    batches,
    check_unseen,
    clip_loss,
    train,
)
from brainalign.devices import pick_device, seeded
from brainalign.io import reading

Forward = Callable[[str, Tensor, Tensor], Tensor]
TrainingData = tuple[Tensor, Tensor, Tensor, Tensor]  # of a modality: signals, subjects, targets, stimuli by trial
# Batches of every modality, the most in a cycle that takes the place of a plateau: `steps` are then a limit that
# validation hardly reaches, and without it nothing says which weights of so long a training are the best.
CYCLE = 300
CHUNK = 512  # trials embedded at once


@dataclass(eq=False, repr=False)
class SharedSpace(BaseEstimator):  # type: ignore[misc]
    """Recordings of several modalities and subjects embedded among the vectors of the images that were shown.

    Parameters
    ----------
    size : {"tiny", "full"}
        For a CPU, or as published: then take width 1024, n_experts 5, router 2048, learning_rate 3e-4, batch_size 250.
    width : int
        Of the vectors between encoders and projector.
    n_experts, router : int
        Of the projector; hidden units of its router.
    subject_layers : bool
        False: one layer for all; the ablation.
    phases : {"joint", "two"}
        All at once, or encoders one by one, each with a projection of its own, and then, frozen, the mixture.
    steps : int
        Batches of every modality, in each phase; the most there are with schedule "plateau".
    learning_rate, weight_decay : float
    batch_size : int
    regression : float
        Weight of the mean squared distance to the image vector beside the contrastive loss.
    scale : (float, float)
        Inverse temperature at the start, and its largest value.
    schedule : {"one_cycle", "plateau"}
        "plateau" trains until validation images are found no better; one cycle, of 300 batches at most, where there are
        too few to validate.
    patience : int
        Batches without improvement after which "plateau" lowers the rate, and at last ends.
    blend : float, optional
        Share of each subject's ridge in embeddings; 0 is the network alone. Chosen on validation images where not
        given.
    penalty : float, optional
        Of ridge, in units of the mean eigenvalue; chosen per modality by folds of training images where not given.
    options : mapping, optional
        Of encoders by modality: {"eeg": {"kernel": 9}}.
    device, seed : str, int

    Attributes
    ----------
    history_, scales_ : dict of History by phase, dict of SubjectScale by modality
    blend_, penalty_ : dict of float
        Share of ridge and its penalty, by modality; no penalty with blend 0.

    References
    ----------
    Li D et al. (2025). BrainFLORA: uncovering brain concept representation via multimodal neural embeddings.
    arXiv:2507.09747. The published code never calls its subject layers; here they begin every encoder.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> meta = pd.DataFrame({"stimulus_id": range(40), "subject": "01", "task": "viewing"})
    >>> vectors = rng.normal(size=(40, 8))
    >>> fmri = Trials(vectors @ rng.normal(size=(8, 30)), vectors, meta)
    >>> space = SharedSpace(steps=20).fit({"fmri": fmri})
    >>> space.embed("fmri", fmri.signals[:3], ["01"] * 3).shape
    (3, 8)
    """

    size: Literal["tiny", "full"] = "tiny"
    _: KW_ONLY
    width: int = 64
    n_experts: int = 4
    router: int = 64
    subject_layers: bool = True
    phases: Literal["joint", "two"] = "joint"
    steps: int = 1500
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    batch_size: int = 96
    regression: float = 1.0
    scale: tuple[float, float] = (1 / 0.07, 100.0)
    schedule: Literal["one_cycle", "plateau"] = "plateau"
    patience: int = 300
    blend: float | None = None
    penalty: float | None = None
    options: Mapping[str, Mapping[str, Any]] | None = None
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    seed: int = 0

    def fit(self, train: Mapping[str, Trials], val: Mapping[str, Trials] | None = None) -> Self:
        """Train on trials of every modality.

        Parameters
        ----------
        train : mapping of Trials
            By modality; signals (n_trials, n_channels, n_times), or (n_trials, n_voxels) with as many columns for
            every subject (fill those with fewer voxels by a constant). Targets are the vectors of the images.
        val : mapping of Trials, optional
            Of other images: the weights that retrieve these best are kept, and the share of ridge that does. Without it
            a tenth of the training images are left out of the network's training for this, where they are ten or more.

        Raises
        ------
        BrainalignError
            If a stimulus is in train and val, targets have several sizes, or values are not finite.
        """
        check_choice("size", self.size, MODALITY_ENCODERS)
        check_choice("phases", self.phases, ("joint", "two"))
        check_choice("schedule", self.schedule, ("one_cycle", "plateau"))
        if self.blend is not None and not 0 <= self.blend <= 1:
            raise BrainalignError(f"blend {self.blend} is not between 0 (the network alone) and 1 (ridge alone)")
        _check(train, val or {})
        seen, held = (train, val) if val else held_out_stimuli(train, self.seed)
        self.scales_ = {name: SubjectScale.fit(t.signals, t.meta["subject"].to_numpy()) for name, t in seen.items()}
        self.shapes_ = {name: trials.signals.shape[1:] for name, trials in train.items()}
        self.n_dimensions_ = next(iter(train.values())).targets.shape[1]
        self.linear_: dict[str, LinearPath] = {}
        self.penalty_: dict[str, float] = {}
        self.blend_ = dict.fromkeys(train, 0.0)  # while the network is trained
        device = pick_device(self.device)
        with seeded(self.seed, device):
            self._build(device)
            validate = (lambda: self._validated(held)) if held else None
            self.history_ = self._trained(self._training_data(seen), validate)
        self.network_.eval()
        if self.blend != 0:
            self._blend(train, seen, held)
        return self

    def embed(self, modality: str, values: Values, subjects: Any) -> NDArray[np.float64]:
        """Return vectors (n_trials, n_dimensions) in the space of the image vectors, as long as ridge predicts them.

        Parameters
        ----------
        modality : str
        values : array (n_trials, n_channels, n_times) or (n_trials, n_voxels)
            As measured: scaled here as training trials were.
        subjects : (n_trials,) names
            One who was not in training gets the mean scale and the mean subject layer; `unknown` counts them.

        Raises
        ------
        BrainalignError
            If the modality was not in training, or shapes differ from its training trials.
        """
        check_is_fitted(self)
        subjects = np.asarray(subjects)
        network = self._network(modality, values, subjects)  # refuses other shapes
        return np.asarray(blended(network, *self._ridge(modality, values, subjects)), dtype=np.float64)

    def _network(self, modality: str, values: Values, subjects: NDArray[Any]) -> Values:
        """Apply the network of a modality to trials, before its vectors are brought to unit length."""
        check_choice("modality", modality, self.scales_)
        check_rows("subjects", len(subjects), "values", len(values), "give one subject per trial")
        remedy = "select the same channels and times"
        check_shape(f"{modality}: a trial", values.shape[1:], self.shapes_[modality], "training trials had", remedy)
        check_finite(modality, values, "drop those trials")
        found = []
        with torch.no_grad():
            for start in range(0, len(values), CHUNK):
                x, layers = self._inputs(modality, values[start : start + CHUNK], subjects[start : start + CHUNK])
                found.append(self.network_(modality, x, layers).cpu())
        return np.asarray(torch.cat(found) if found else torch.empty(0, self.n_dimensions_), dtype=np.float64)

    def _ridge(self, modality: str, values: Values, subjects: NDArray[Any]) -> tuple[Values, float]:
        """Predict the vectors of trials by ridge, and give its share; zeros and 0 where it takes no part."""
        share = self.blend_[modality]
        if share == 0:
            return np.zeros((len(values), self.n_dimensions_)), 0.0
        scale = self.scales_[modality]
        rows = scale.rows(subjects)
        layers = rows if self.subject_layers else np.zeros_like(rows)
        return self.linear_[modality](scale.apply(values, subjects), layers), share

    def _blend(self, train: Mapping[str, Trials], seen: Mapping[str, Trials], held: Mapping[str, Trials]) -> None:
        """Choose the shares by ridge on the same trials as the network; then fit it to all."""
        for name, trials in train.items():
            share, scale, own = USUAL if self.blend is None else self.blend, self.scales_[name], self.subject_layers
            penalty = ridge_penalty(seen[name], scale, own, self.seed) if self.penalty is None else self.penalty
            self.penalty_[name] = penalty
            if self.blend is None and name in held:
                part = held[name]
                subjects = part.meta["subject"].to_numpy()
                network = self._network(name, part.signals, subjects)
                self.linear_[name] = LinearPath.fit(seen[name], scale, penalty, own)
                self.blend_[name] = 1.0
                share = best_share(network, self._ridge(name, part.signals, subjects)[0], part)
            self.blend_[name] = share
            if share > 0:
                self.linear_[name] = LinearPath.fit(trials, scale, penalty, own)

    def unknown(self, modality: str, subjects: Any) -> int:
        """Count the trials of subjects who were not in training."""
        return int((self.scales_[modality].rows(np.asarray(subjects)) < 0).sum())

    def gates(self, modality: str, values: Values, subjects: Any) -> NDArray[np.float64]:
        """Compute the gate of each expert in each trial (n_trials, n_experts); arguments as of `embed`."""
        names = np.asarray(subjects)
        with torch.no_grad():
            x, layers = self._inputs(modality, values, names)
            return np.asarray(
                self.network_.mixture.gates(self.network_.encoders[modality](x, layers)).cpu(), dtype=float
            )

    def save(self, path: Path | str) -> None:
        """Write everything that `embed` needs into one safetensors file."""
        from safetensors.torch import save_file

        tensors = {f"network.{name}": value.cpu().contiguous() for name, value in self.network_.state_dict().items()}
        subjects = {}
        for name, scale in self.scales_.items():
            subjects[name] = list(scale.names)
            tensors[f"mean.{name}"] = torch.from_numpy(scale.mean)
            tensors[f"deviation.{name}"] = torch.from_numpy(scale.deviation)
        for name, ridge in self.linear_.items():
            tensors[f"linear.{name}"] = torch.from_numpy(ridge.weights)
            tensors[f"intercepts.{name}"] = torch.from_numpy(ridge.intercepts)
        names = [name for name in inspect.signature(type(self)).parameters if name != "device"]
        about = {
            "blend": self.blend_,
            "penalty": self.penalty_,
            "arguments": {name: getattr(self, name) for name in names},
            "subjects": subjects,
            "n_dimensions": self.n_dimensions_,
        }
        save_file(tensors, path, {"shared_space": json.dumps(about)})

    @classmethod
    def load(cls, path: Path | str) -> "SharedSpace":
        """Return a space that `save` wrote, on the CPU."""
        from safetensors import safe_open

        with reading(Path(path), "is no shared space", "give a file that SharedSpace.save wrote"):
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                about = json.loads((file.metadata() or {})["shared_space"])
            space = cls(**about["arguments"] | {"scale": tuple(about["arguments"]["scale"])})
            space.blend_, space.penalty_, space.n_dimensions_ = (
                about[name] for name in ("blend", "penalty", "n_dimensions")
            )
            space.scales_ = {
                name: SubjectScale(names, *(np.asarray(tensors[f"{part}.{name}"]) for part in ("mean", "deviation")))
                for name, names in about["subjects"].items()
            }
            space.linear_ = {
                name: LinearPath(*(np.asarray(tensors[f"{part}.{name}"]) for part in ("linear", "intercepts")))
                for name in space.blend_
                if f"linear.{name}" in tensors
            }
            state = {name[8:]: value for name, value in tensors.items() if name.startswith("network.")}
            space.shapes_ = {name: scale.mean.shape[1:] for name, scale in space.scales_.items()}
            with torch.random.fork_rng(devices=[]):  # what it begins with is overwritten
                space._build(torch.device("cpu"))
            space.network_.load_state_dict(state)
        space.network_.eval()
        return space

    def _build(self, device: torch.device) -> None:
        n_layers = {name: len(scale.names) if self.subject_layers else 1 for name, scale in self.scales_.items()}
        self.network_ = _SpaceNetwork(self, n_layers).to(device)

    def _inputs(self, modality: str, values: Values, subjects: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Return standardised values and the subject layer of every trial, on the device of the network."""
        device = self.network_.mixture.experts.weight.device
        scale = self.scales_[modality]
        rows = scale.rows(subjects)
        layers = torch.from_numpy(rows if self.subject_layers else np.zeros_like(rows))
        return torch.from_numpy(scale.apply(values, subjects)).to(device), layers.to(device)

    def _trained(self, data: Mapping[str, TrainingData], validate: Callable[[], float] | None) -> dict[str, History]:
        """Train the network, jointly or encoders alone and then the mixture; the last phase alone is validated."""
        network = self.network_

        def run(modules: list[nn.Module], forward: Forward, parts: Mapping[str, TrainingData], check: Any) -> History:
            names, rng = list(parts), np.random.default_rng(self.seed)
            n_steps = min(self.steps, CYCLE) if check is None and self.schedule == "plateau" else self.steps
            rows = {name: batches(len(parts[name][0]), self.batch_size, n_steps, rng) for name in names}

            def loss(step: int) -> Tensor:
                name = names[step % len(names)]
                chosen = torch.from_numpy(next(rows[name])).to(parts[name][0].device)
                signals, subjects, targets, stimuli = (tensor[chosen] for tensor in parts[name])
                found = forward(name, signals, subjects)
                distance = (found - targets).square().sum(dim=-1).mean()
                return clip_loss(found, targets, network.scale(), stimuli) + self.regression * distance

            schedule = "one_cycle" if check is None else self.schedule
            rates: dict[str, Any] = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
            checks: dict[str, Any] = {"schedule": schedule, "validate": check, "patience": self.patience}
            return train([*modules, network.scale], loss, n_steps * len(names), **rates, **checks)

        if self.phases == "joint":
            return {"joint": run([network.encoders, network.mixture], network, data, validate)}
        history = {}
        for name, encoder in network.encoders.items():
            head = nn.Linear(self.width, self.n_dimensions_).to(data[name][0].device)
            path = nn.ModuleList([encoder, head])

            def alone(_: str, x: Tensor, subjects: Tensor, path: nn.ModuleList = path) -> Tensor:
                return path[1](path[0](x, subjects))

            history[name] = run([encoder, head], alone, {name: data[name]}, None)
            encoder.requires_grad_(False)
        history["mixture"] = run([network.mixture], network, data, validate)  # encoders stay in evaluation mode
        return history

    def _training_data(self, train: Mapping[str, Trials]) -> dict[str, TrainingData]:
        ids = {i: k for k, i in enumerate(sorted({str(i) for t in train.values() for i in t.meta["stimulus_id"]}))}
        data = {}
        for name, trials in train.items():
            x, layers = self._inputs(name, trials.signals, trials.meta["subject"].to_numpy())
            targets = F.normalize(torch.from_numpy(np.asarray(trials.targets, dtype=np.float32)), dim=-1)
            stimuli = torch.tensor([ids[str(i)] for i in trials.meta["stimulus_id"]])
            data[name] = x, layers, targets.to(x.device), stimuli.to(x.device)
        return data

    def _validated(self, val: Mapping[str, Trials]) -> float:
        """Return the mean reciprocal rank of the images that were shown, over modalities, by the network alone."""
        found = []
        for name, trials in val.items():
            network = self._network(name, trials.signals, trials.meta["subject"].to_numpy())
            found.append(reciprocal_rank(network, trials.targets, trials.meta["stimulus_id"]))
        return float(np.mean(found))


def _check(train: Mapping[str, Trials], val: Mapping[str, Trials]) -> None:
    if not train:
        raise BrainalignError("no modality to train on; give a mapping like {'eeg': Trials, 'fmri': Trials}")
    sizes = {name: trials.targets.shape[1:] for name, trials in train.items()}
    if len(set(sizes.values())) > 1 or len(next(iter(sizes.values()))) != 1:
        raise BrainalignError(f"targets of the modalities have sizes {sizes}; give the image vectors of one model")
    if unknown := sorted(set(val) - set(train)):
        raise BrainalignError(f"validation trials of {listed(unknown)}, but training has {listed(list(train), 6)}")
    for name, trials in train.items():
        if trials.signals.ndim not in (2, 3):
            raise BrainalignError(
                f"{name}: signals of shape {trials.signals.shape} must be (n_trials, n_channels, n_times) or "
                "(n_trials, n_voxels)"
            )
        check_finite(f"{name} signals", trials.signals, "drop those trials")
        check_finite(f"{name} targets", trials.targets, "embed those images again")
    check_unseen(train.values(), val.values(), ("train", "val"))


class _SpaceNetwork(nn.Module):
    """An encoder per modality, the projector they share, and the learned temperature."""

    def __init__(self, space: SharedSpace, n_layers: Mapping[str, int]) -> None:
        super().__init__()
        menu, options = MODALITY_ENCODERS[space.size], space.options or {}
        self.encoders = nn.ModuleDict()
        for name, shape in space.shapes_.items():
            encoder = menu["signals" if len(shape) == 2 else "voxels"]
            self.encoders[name] = encoder(n_layers[name], tuple(shape), space.width, **options.get(name, {}))
        self.mixture = SoftMixture(space.width, space.n_dimensions_, space.n_experts, space.router)
        self.scale = LogitScale(*space.scale)

    def forward(self, modality: str, x: Tensor, subjects: Tensor) -> Tensor:
        """Return embeddings (n, n_dimensions), not of unit length."""
        return self.mixture(self.encoders[modality](x, subjects))
