"""Read-out weights in closed form: ridge regression on what the fields of a trained network see."""

from collections.abc import Callable, Sequence

import torch
from sklearn.utils import gen_batches

from brainalign.encoding.networks.token_inputs import CHUNK, Seen

PENALTIES = torch.logspace(-3, 4, 15, dtype=torch.float64)  # in units of a target's mean eigenvalue
HELD = 2**25  # numbers of sums, of training rows and as many of validation rows


def solve(
    seen: Callable[[torch.Tensor], Seen],
    responses: Callable[[torch.Tensor], torch.Tensor],
    rows: Sequence[torch.Tensor],
    at_once: int,
    sizes: tuple[int, int, int],
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights (n_targets, n_channels) and offsets of ridge regression: of training rows, and of all rows.

    One penalty, in units of each target's mean eigenvalue, serves all targets, the best of training rows for validation
    rows: with few rows a choice for each target is noise. Where sums of all are more than `HELD`, tokens are read once
    for every part of the targets, and the first part, a target in so many, chooses for all.

    Parameters
    ----------
    seen : function of rows (n,)
        What targets of a slice read (n, targets, n_channels), as a function of the slice.
    responses : function of rows (n,) to standardised responses (n, n_targets), NaN where missing
    rows : training rows and validation rows
    at_once : int
        Rows that are seen in one go.
    sizes : n_targets, n_channels, and the most numbers of a row and target that are held at once
    """
    n_targets, n_channels, most = sizes

    def moments(part: torch.Tensor, where: slice) -> torch.Tensor:
        """Return sums over measured rows of products of what is read, 1 and the response, by target."""
        n = len(range(*where.indices(n_targets)))
        total = torch.zeros(n, n_channels + 2, n_channels + 2, dtype=torch.float64)
        for some in part.split(max(1, at_once)):
            of_targets, measured = seen(some), responses(some)
            total = total.to(measured.device)
            for few in gen_batches(n, max(1, CHUNK // (len(some) * most))):
                there = slice(where.start + few.start * n_parts, where.start + few.stop * n_parts, n_parts)
                z, y = of_targets(there), measured[:, there, None].float()
                both = torch.cat([z, torch.ones_like(y), y.nan_to_num()], dim=2) * ~y.isnan()
                total[few] += torch.einsum("nvc,nvd->vcd", both, both)
        return total

    n_parts, best, found = -(-n_targets * (n_channels + 2) ** 2 // HELD), None, []
    for first in range(n_parts):
        where = slice(first, n_targets, n_parts)
        taught, held = (moments(part, where) for part in rows)
        some_at_once = list(gen_batches(len(taught), max(1, 2 * CHUNK // (n_channels + 2) ** 2)))
        if best is None:
            errors = torch.zeros(len(PENALTIES), dtype=torch.float64)
            for some in some_at_once:
                of_taught = _ridges(taught[some, :-1], PENALTIES)[:, :, 0]
                missed = torch.cat([of_taught, -torch.ones_like(of_taught[..., :1])], dim=2)
                errors += torch.einsum("kvc,vcd,kvd->k", missed, held[some], missed).cpu()
            best = PENALTIES[errors.argmin()][None]
            found = [taught.new_empty(n_targets, n_channels + 1, dtype=torch.float32) for _ in rows]
        held += taught
        for solved, sums in zip(found, (taught, held), strict=True):
            solved[where] = torch.cat([_ridges(sums[some, :-1], best)[0, :, 0].float() for some in some_at_once])
    return [(one[:, :-1], one[:, -1]) for one in found]


def solve_shared(
    seen: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    responses: Callable[[torch.Tensor], torch.Tensor],
    rows: Sequence[torch.Tensor],
    at_once: int,
    groups: Sequence[torch.Tensor],
) -> list[list[torch.Tensor]]:
    """Solve for weights where targets of a group read the same: as `solve`, by group, offsets last (of targets, n).

    Sums of a group serve all its targets: a missing response counts as its target's mean, and a target's products are
    scaled up by the share that is there. seen: what each group reads (n, n_channels). groups: numbers of their targets.
    """

    def moments(part: torch.Tensor) -> list[torch.Tensor]:
        """Return sums over rows of products of what a group reads and 1 with themselves and its responses, by group."""
        total, known = [torch.zeros(())] * len(groups), torch.zeros(())
        for some in part.split(max(1, at_once)):
            y = responses(some).double()
            known = known.to(y.device) + (~y.isnan()).sum(dim=0)
            for number, (z, targets) in enumerate(zip(seen(some), groups, strict=True)):
                read = torch.cat([z.double(), torch.ones_like(y[:, :1])], dim=1)
                total[number] = total[number].to(y.device) + read.mT @ torch.cat([read, y[:, targets].nan_to_num()], 1)
        for sums, targets in zip(total, groups, strict=True):
            sums[:, len(sums) :] *= len(part) / known[targets].clamp(min=1)
        return total

    taught, held = (moments(part) for part in rows)
    errors = torch.zeros(len(PENALTIES), dtype=torch.float64)
    for of_taught, of_held in zip(taught, held, strict=True):
        n = len(of_held)
        for number in range(len(PENALTIES)):  # one by one: together they would be many times the weights
            weights = _ridges(of_taught[None], PENALTIES[number : number + 1])[0, 0]
            errors[number] += ((weights @ of_held[:, :n] - 2 * of_held[:, n:].mT) * weights).sum().cpu()
    best = PENALTIES[errors.argmin()][None]
    of_all = (of_taught + of_held for of_taught, of_held in zip(taught, held, strict=True))
    return [[_ridges(sums[None], best)[0, 0].float() for sums in each] for each in (taught, of_all)]


def _ridges(moments: torch.Tensor, penalties: torch.Tensor) -> torch.Tensor:
    """Return weights and offsets of ridge with each of some penalties (n_penalties, n_fits, n_targets, n_channels + 1).

    Moments (n_fits, n_channels + 1, n_channels + 1 + n_targets) are of channels and 1, with themselves and targets.
    """
    n = moments.shape[1] - 1
    about = moments - moments[:, :, n : n + 1] @ moments[:, n:] / moments[:, n:, n : n + 1]
    channels, cross = about[:, :n, :n], about[:, :n, n + 1 :]
    # Of a field that is zero everywhere nothing is seen: its weights are zero.
    level = channels.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-12)[:, None, None]
    identity = level * torch.eye(n, dtype=level.dtype, device=level.device)
    factors = (torch.linalg.cholesky(channels + penalty * identity) for penalty in penalties.tolist())
    weights = torch.stack([torch.cholesky_solve(cross, factor).mT for factor in factors])
    offsets = (moments[:, n:, n + 1 :].mT - weights @ moments[:, :n, n : n + 1]) / moments[:, n:, n : n + 1]
    return torch.cat([weights, offsets], dim=3)
