"""Networks beside networks: what similarity says of unrelated units, of shared first weights, of unequal variance."""

import numpy as np
import pytest
import torch
from shown import FURTHER, Record, cases, within

from brainalign.geometry import cka, equal_variance, feature_bias, rdm, whitened

WIDTH, N_BITS, N_TRAIN, N_TEST = 32, 8, 512, 200
TASKS = ("linear", "linear", "xor", "both", "both", "both")  # the last one starts from the weights of the fourth
PAIRS = {"lin-lin": (0, 1), "both-xor": (3, 2), "both-lin": (3, 0), "independent": (3, 4), "shared start": (3, 5)}


def images(n: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    bits = torch.randint(0, 2, (n, N_BITS), generator=draw) * 2.0 - 1
    return bits, torch.stack([bits[:, 0], bits[:, 1] * bits[:, 2]], 1)


def trained(seed: int, level: float = 0.05, most_steps: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train networks of one hidden layer side by side, each until its loss reaches a level: equally accurate ones.
    Returns hidden activations (n_networks, n_test, WIDTH) of new images, the two features, and the accuracies."""
    draw = torch.Generator().manual_seed(seed)
    bits, truth = images(N_TRAIN, draw)
    wanted, n = torch.tensor([[task != "xor", task != "linear"] for task in TASKS]).float(), len(TASKS)
    weights = [torch.randn(n, N_BITS, WIDTH, generator=draw) * (2 / N_BITS) ** 0.5, torch.zeros(n, 1, WIDTH)]
    weights += [torch.randn(n, WIDTH, 2, generator=draw) / WIDTH**0.5]
    for part in weights:
        part[5] = part[3]
        part.requires_grad_()
    kept, done = [part.detach().clone() for part in weights], torch.zeros(n, dtype=torch.bool)
    optimiser = torch.optim.Adam(weights, lr=1e-2)
    for _ in range(most_steps):
        seen = bits + 0.2 * torch.randn(n, N_TRAIN, N_BITS, generator=draw)  # each network its own noise
        output = torch.relu(seen @ weights[0] + weights[1]) @ weights[2]
        loss = (torch.nn.functional.softplus(-output * truth) * wanted[:, None]).sum((1, 2)) / N_TRAIN
        now = (loss.detach() < level) & ~done
        done |= now
        for old, new in zip(kept, weights, strict=True):
            old[now] = new.detach()[now]
        if done.all():
            break
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    assert done.all(), f"{int((~done).sum())} networks did not learn in {most_steps} steps"
    bits, truth = images(N_TEST, draw)
    hidden = torch.relu((bits + 0.2 * torch.randn(N_TEST, N_BITS, generator=draw)) @ kept[0] + kept[1])
    correct = ((hidden @ kept[2] * truth > 0).float().mean(1) * wanted).sum(1) / wanted.sum(1)
    return hidden.double().numpy(), truth.double().numpy(), correct.numpy()


def rsa(X: np.ndarray, Y: np.ndarray) -> float:
    return float(np.corrcoef(rdm(X, "euclidean"), rdm(Y, "euclidean"))[0, 1])


@cases((0,), (0, 1, 2, *FURTHER))("seeds")
def test_similarity_follows_variance_not_what_is_computed(seeds: tuple[int, ...], record: Record) -> None:
    """Learned-feature bias: linear, XOR and both, equally accurate; RSA as it is and with features of equal variance"""
    shown: dict[str, list[float]] = {}
    for seed in seeds:
        hidden, truth, correct = trained(seed)
        assert correct.min() >= 0.97
        features = {"linear": truth[:, 0], "xor": truth[:, 1]}
        even, white = ([control(X, features) for X in hidden] for control in (equal_variance, lambda X, _: whitened(X)))
        share = feature_bias(hidden[3], features).set_index("feature")["explained"]
        quantities = {f"RSA {name}": rsa(hidden[a], hidden[b]) for name, (a, b) in PAIRS.items()}
        for control, turned in (("equal variance", even), ("whitened", white)):
            for name in ("lin-lin", "both-xor", "both-lin"):
                a, b = PAIRS[name]
                quantities[f"RSA {name}, {control}"] = rsa(turned[a], turned[b])
        quantities |= {f"{name} fills of `both`": float(share[name]) for name in features}
        quantities["lowest accuracy"] = float(correct.min())
        for name, value in quantities.items():
            shown.setdefault(name, []).append(value)
    for name, values in shown.items():
        record(f"{name}, by seed ({', '.join(map(str, seeds))})", " ".join(f"{v:.3f}" for v in values), "shown")
    mean = {name: float(np.mean(values[:3])) for name, values in shown.items()}
    gap = mean["RSA both-xor"] - mean["RSA lin-lin"]
    control = mean["RSA both-xor, equal variance"] - mean["RSA lin-lin, equal variance"]
    record("both-xor minus lin-lin, first 3 seeds", f"{gap:.3f}; equal variance {control:.3f}", "> 0; smaller")
    assert gap > 0  # networks of one task are less alike than networks of different ones
    assert abs(control) < gap
    assert mean["linear fills of `both`"] > mean["xor fills of `both`"] * 1.3
    within(record, "shared start minus independent", mean["RSA shared start"] - mean["RSA independent"], least=0.05)


@cases(((50, 500), 40), ((50, 500, 5000), 40))("sizes")
def test_debiased_cka_of_unrelated_units(sizes: tuple[tuple[int, ...], int], record: Record) -> None:
    """Debiased CKA of independent units, 100 stimuli, 40 draws"""
    widths, draws = sizes
    for p in widths:
        rng = np.random.default_rng(p)
        found, plain = np.empty(draws), 0.0
        for k in range(draws):
            X, Y = rng.normal(size=(2, 100, p))
            found[k] = cka(X, Y)
            plain += cka(X, Y, debiased=False) / draws
        se, text = found.std(ddof=1) / np.sqrt(draws), f"{found.mean():.4f}, {found.std(ddof=1):.4f}, {plain:.3f}"
        record(f"p = {p}: mean, sd, mean of the plain CKA", text, "0 ± 3 SE, <= .02")
        assert abs(found.mean()) <= 3 * se
        assert found.std(ddof=1) <= 0.02
        assert plain == pytest.approx(p / (p + 100), abs=0.02)
