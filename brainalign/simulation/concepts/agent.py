"""A small agent on a ring of states: double Q-learning beside a network that predicts its discounted future.

    loss = double Q + w |T(z, a) − (z' + γ T(z', a'))|² + .1 exp(−5 |z − z_other|) + .1 exp(−5 |z − z'|)

z = encoder(state), T linear for each action. One state is rewarded; after it the next episode starts anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice

if TYPE_CHECKING:
    import torch

Values = NDArray[np.float64]

OBJECTIVES = ("predictive", "model-free", "repulsion", "shuffled")
ENCODERS = ("tabular", "learned")
PREDICTION, REPULSION = 1e-2, 0.1  # weights beside 1 of double Q
N_UNITS, WIDTH = 10, 32
GREED, Q_DISCOUNT = 0.5, 0.9  # share of greedy actions; half are random, so that all states are seen
BATCH, STEPS_PER_UPDATE, COPY_EVERY = 64, 4, 50


@dataclass(frozen=True)
class RingAgent:
    """An agent at several checkpoints of its training.

    Attributes
    ----------
    encoder, transition : array (n_checkpoints, n_states, n_units)
        z, and T averaged over the actions that are taken.
    values : array (n_checkpoints, n_states, 2)
        Q of a step down and a step up.
    returns : array (n_checkpoints,)
        Rewards per step since the checkpoint before.
    transitions : array (n_states, n_states)
        How often each state followed each in all that the agent did, the start of a new episode included.
    """

    encoder: Values
    transition: Values
    values: Values
    returns: Values
    transitions: Values

    @property
    def places(self) -> Values:
        """Where states lie: cosine and sine (n_states, 2)."""
        angle = 2 * np.pi * np.arange(len(self.transitions)) / len(self.transitions)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ring_agent(
    gamma: float,
    *,
    n_states: int = 16,
    encoder: Literal["tabular", "learned"] = "tabular",
    objective: Literal["predictive", "model-free", "repulsion", "shuffled"] = "predictive",
    n_updates: int = 1000,
    n_checkpoints: int = 4,
    seed: int = 0,
) -> RingAgent:
    """Train an agent that is rewarded at one state of a ring.

    Parameters
    ----------
    gamma : float
        Discount of what is predicted; 0 predicts the next state alone.
    n_states : int
    encoder : {"tabular", "learned"}
        One unit per state, or ten units that all objectives shape.
    objective : {"predictive", "model-free", "repulsion", "shuffled"}
        The whole loss; double Q alone; without prediction; predictions of another transition's future.
    n_updates, n_checkpoints : int
    seed : int

    Raises
    ------
    BrainalignError
        If a choice is unknown or the ring is too small.

    References
    ----------
    Fang C, Stachenfeld KL (2024). Predictive auxiliary objectives in deep RL mimic learning in the brain. ICLR.
    arXiv:2310.06089
    """
    check_choice("encoder", encoder, ENCODERS)
    check_choice("objective", objective, OBJECTIVES)
    if n_states < 4 or not 1 <= n_checkpoints <= n_updates:
        raise BrainalignError(
            f"a ring needs 4 states and as many updates as checkpoints; got {n_states}, {n_updates}, {n_checkpoints}"
        )
    import torch

    rng = np.random.default_rng([seed, 0xA6E])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        agent = _Agent(n_states, encoder, gamma, objective)
        life = _Life(n_states, rng)
        found: dict[str, list[Any]] = {"encoder": [], "transition": [], "values": [], "returns": []}
        marks = set(np.linspace(0, n_updates, n_checkpoints + 1).round().astype(int)[1:].tolist())
        for update in range(1, n_updates + 1):
            for _ in range(STEPS_PER_UPDATE):
                life.step(agent)
            agent.learn(life.batch(), rng, copy=update % COPY_EVERY == 0)
            if update in marks:
                for name, values in agent.read(life.policy()).items():
                    found[name].append(values)
                found["returns"].append(life.earned())
    arrays = {name: np.array(values, dtype=np.float64) for name, values in found.items()}
    return RingAgent(**arrays, transitions=life.transitions())


class _Life:
    """What happened so far: states, actions, rewards, and what came next."""

    def __init__(self, n_states: int, rng: np.random.Generator) -> None:
        self.n_states, self.goal, self.rng = n_states, n_states // 3, rng
        self.state = 0
        self.memory: list[list[int]] = []
        self.action, self.seen = int(rng.integers(2)), 0

    def step(self, agent: _Agent) -> None:
        reached = (self.state + (1 if self.action else -1)) % self.n_states
        reward = int(reached == self.goal)
        following = int(self.rng.integers(self.n_states)) if reward else reached
        greedy = self.rng.random() < GREED
        action = agent.best(following) if greedy else int(self.rng.integers(2))
        self.memory.append([self.state, self.action, reward, following, action])
        self.state, self.action = following, action

    def batch(self) -> NDArray[np.intp]:
        rows = self.rng.integers(len(self.memory), size=BATCH)
        return np.array([self.memory[row] for row in rows], dtype=np.intp)

    def policy(self) -> Values:
        """Estimate the policy: the share of each action in each state."""
        counts = np.full((self.n_states, 2), 1e-9)
        past = np.array(self.memory)
        np.add.at(counts, (past[:, 0], past[:, 1]), 1)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def transitions(self) -> Values:
        counts = np.zeros((self.n_states, self.n_states))
        past = np.array(self.memory)
        np.add.at(counts, (past[:, 0], past[:, 3]), 1)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def earned(self) -> float:
        """Return the mean reward since the last call."""
        rewards = [row[2] for row in self.memory[self.seen :]]
        self.seen = len(self.memory)
        return float(np.mean(rewards))


class _Agent:
    """Encoder, value network with its slow copy, and a linear prediction for each action."""

    def __init__(self, n_states: int, encoder: str, gamma: float, objective: str) -> None:
        import torch
        from torch import nn

        self.gamma, self.objective, self.learned = gamma, objective, encoder == "learned"
        start = 0.3 * torch.randn(n_states, N_UNITS) if self.learned else torch.eye(n_states)
        self.z = nn.Parameter(start, requires_grad=self.learned)
        width = start.shape[1]
        self.q, self.slow_q = (nn.Sequential(nn.Linear(width, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2)) for _ in range(2))
        self.slow_q.load_state_dict(self.q.state_dict())
        self.future = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        modules = [self.q, self.future]
        parameters = [p for module in modules for p in module.parameters()] + [self.z] * self.learned
        self.optimizer = torch.optim.Adam(parameters, lr=1e-2 if self.learned else 3e-3)

    def best(self, state: int) -> int:
        import torch

        with torch.no_grad():
            return int(self.q(self.z[state]).argmax())

    def predicted(self, z: torch.Tensor) -> torch.Tensor:
        """Return T(z, a) of both actions (n, 2, n_units)."""
        import torch

        return torch.stack([linear(z) for linear in self.future], dim=1)

    def learn(self, batch: NDArray[np.intp], rng: np.random.Generator, *, copy: bool) -> None:
        import torch

        from brainalign.regression import descend

        state, action, reward, following, next_action = torch.from_numpy(batch).unbind(1)
        z, z_next, rows = self.z[state], self.z[following], torch.arange(len(batch))
        with torch.no_grad():  # the network chooses, its slow copy says what the choice is worth
            worth = self.slow_q(z_next)[rows, self.q(z_next).argmax(dim=1)]
            target = reward + Q_DISCOUNT * (1 - reward) * worth
        loss = torch.nn.functional.smooth_l1_loss(self.q(z)[rows, action], target)
        if self.objective in ("predictive", "shuffled"):
            with torch.no_grad():
                later = self.predicted(z_next)[rows, next_action]
            coming = z_next + self.gamma * later
            if self.objective == "shuffled":
                coming = coming[torch.from_numpy(rng.permutation(len(batch)))]
            loss = loss + PREDICTION * torch.mean((self.predicted(z)[rows, action] - coming) ** 2)
        if self.learned and self.objective != "model-free":
            order = torch.from_numpy(rng.permutation(len(batch)))
            for one, other in ((state, state[order]), (state, following)):
                apart = one != other  # the norm has no gradient at 0
                distance = (self.z[one[apart]] - self.z[other[apart]]).norm(dim=1)
                loss = loss + REPULSION * torch.exp(-5 * distance).mean()
        descend([loss], self.optimizer)
        if copy:
            self.slow_q.load_state_dict(self.q.state_dict())

    def read(self, policy: Values) -> dict[str, NDArray[Any]]:
        import torch

        with torch.no_grad():
            future = self.predicted(self.z).double().numpy()
            found = {"encoder": self.z.double().numpy().copy(), "values": self.q(self.z).double().numpy()}
        return found | {"transition": np.einsum("sau,sa->su", future, policy)}
