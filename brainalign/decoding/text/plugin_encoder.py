"""Any model of EEG signals as an encoder: those of braindecode, or one of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from brainalign.checks import BrainalignError
from brainalign.decoding.training import EegShape, SubjectLayers, silenced
from brainalign.features import find_function

PLUGIN_PACKAGE = "braindecode"


class PluginEncoder(nn.Module):
    """A subject layer and any model of signals; the model's output is the vector and the only token.

    Parameters
    ----------
    shape : EegShape
    model : str
        "braindecode:EEGNet" (any of its models), "module:Model" of an installed module or "path/to/file.py:Model".
        Called with n_chans, n_times, n_outputs, sfreq, it returns a module from (n, n_chans, n_times) to
        (n, n_outputs).
    **options
        Of the model.

    Raises
    ------
    BrainalignError
        If the model cannot be imported or is not a module.
    """

    def __init__(self, shape: EegShape, model: str, **options: Any) -> None:
        super().__init__()
        self.width = shape.n_outputs
        self.model = model
        self.subjects = SubjectLayers(shape.n_subjects, shape.n_channels, shape.n_channels)
        sizes = {"n_chans": shape.n_channels, "n_times": shape.n_times, "n_outputs": shape.n_outputs}
        network = _found(model)(**sizes, sfreq=shape.sfreq, **options)
        if not isinstance(network, nn.Module):
            raise BrainalignError(f"{model} returned {type(network).__name__}; it must be a torch nn.Module")
        self.network = network

    def forward(self, signals: Tensor, mask: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (n, 1, n_outputs) and vectors (n, n_outputs).

        Parameters
        ----------
        signals : Tensor (n, n_channels, n_times)
        mask : Tensor (n, n_times) of bool or None
            Padding is set to zero: the model has no mask.
        prompt : Tensor (n, 3) of int
            Task, dataset, subject.

        Raises
        ------
        BrainalignError
            If the model's output has another shape.
        """
        vector = self.network(self.subjects(silenced(signals, mask), prompt[:, 2] - 1))
        if vector.shape != (len(signals), self.width):
            raise BrainalignError(
                f"{self.model} returned the shape {tuple(vector.shape)}, not {(len(signals), self.width)}; give a "
                "model with one vector of n_outputs per recording"
            )
        return vector[:, None], vector


def _found(model: str) -> Callable[..., object]:
    module, _, name = model.rpartition(":")
    if module == PLUGIN_PACKAGE:
        module = f"{PLUGIN_PACKAGE}.models"
    try:
        return find_function(f"{module}:{name}")[0]
    except BrainalignError as error:
        if module.split(".")[0] != PLUGIN_PACKAGE or not isinstance(error.__cause__, ImportError):
            raise
        raise BrainalignError(
            f"the encoder {model!r} needs braindecode, which cannot be imported here ({error.__cause__}); install it "
            "with: pip install braindecode, in an environment whose torch it fits"
        ) from error
