import torch
from refusals import refused

from brainalign.decoding import EEG_ENCODERS, Augmentation, EegShape, eeg_encoder
from brainalign.decoding.training import SubjectLayers

SHAPE = EegShape(n_channels=5, n_times=40, n_outputs=7, n_subjects=3, sfreq=100.0)
MODEL = """
from torch import nn

class Flat(nn.Module):
    def __init__(self, n_chans, n_times, n_outputs, sfreq, extra=0):
        super().__init__()
        assert sfreq == 100.0
        self.linear = nn.Linear(n_chans * n_times, n_outputs + extra)

    def forward(self, x):
        return self.linear(x.flatten(1))

def number(**sizes):
    return 3
"""


def recordings(n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 5, 40, generator=generator), torch.tensor([[1, 1, k % 4] for k in range(n)])


def test_all_weights_of_the_menu_learn_and_subject_matrices_begin_as_the_identity() -> None:
    signals, prompt = recordings()
    for name in EEG_ENCODERS:
        encoder = eeg_encoder(name, SHAPE)
        tokens, vectors = encoder(signals, None, prompt)
        assert (tokens.shape[0], tokens.shape[2], vectors.shape) == (4, encoder.width, (4, 7))
        (vectors.square().sum() + tokens.square().sum()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    refused("did you mean 'tiny'", eeg_encoder, "tyny", SHAPE)
    refused("shorter than the window 8", eeg_encoder, "envelope", EegShape(5, 6, 7))
    layers, subjects = SubjectLayers(3, 5, 5), torch.tensor([-1, 0, 1, 2])
    torch.testing.assert_close(layers(signals, subjects), signals)
    layers.weight.data.copy_(torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(1)))
    mixed = layers(signals, subjects)
    torch.testing.assert_close(mixed[0], layers.weight.mean(dim=0) @ signals[0])
    torch.testing.assert_close(mixed[3], layers.weight[2] @ signals[3])
    layers(signals, torch.zeros(4, dtype=torch.long)).square().sum().backward()
    assert (layers.weight.grad.abs().sum(dim=(1, 2)) > 0).tolist() == [True, False, False]  # they learn apart


def test_a_model_of_ones_own_has_the_names_of_braindecode_or_is_missed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    signals, prompt = recordings()
    encoder = eeg_encoder(f"{path}:Flat", SHAPE)
    tokens, vectors = encoder(signals, None, prompt)
    torch.testing.assert_close(vectors, encoder.network.linear(signals.flatten(1)))
    assert tokens.shape == (4, 1, 7)
    encoder = eeg_encoder(f"{path}:Flat", SHAPE, {"extra": 2})
    refused(r"the shape \(4, 9\), not \(4, 7\)", encoder, signals, None, prompt)
    refused("returned int", eeg_encoder, f"{path}:number", SHAPE)
    monkeypatch.setitem(__import__("sys").modules, "braindecode", None)
    refused("pip install braindecode", eeg_encoder, "braindecode:EEGNet", SHAPE)
    refused("cannot import 'no_such_module'", eeg_encoder, "no_such_module:EEGNet", SHAPE)
    refused("out of range", Augmentation, channel_dropout=1.0)
