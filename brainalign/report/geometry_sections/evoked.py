"""What stimuli evoke: the mean over trials at every sensor, heads at its peaks, categories at few sensors."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import stdtrit

from brainalign.arrays import Responses, Rows, Values
from brainalign.report import kit
from brainalign.statistics import permutation_test

FEW_SENSORS = 16  # below it colours between sensors would be mere interpolation
FLIPS = 99  # of the signs of trials
NAMES = {"eeg": "Event-related potential", "mag": "Event-related field", "grad": "Event-related field"}


def evoked_section(material: kit.SubjectMaterial) -> kit.Section | None:
    """Return the section on the mean over trials of M/EEG; None of other responses."""
    responses = material.responses
    if responses is None or responses.times is None:
        return None
    targets, times = responses.targets, np.asarray(responses.times, dtype=float)
    evoked = np.asarray(responses.values.mean(axis=0), dtype=float)
    kinds = targets.reindex(columns=["sensor_type"])["sensor_type"].astype(str)
    first, several = kinds.iloc[0], kinds.nunique() > 1
    strength = np.sqrt((evoked[kinds == first] ** 2).mean(axis=0))  # types have units of their own
    title = NAMES.get(first, "Evoked response")
    numbers = pd.DataFrame(evoked.T, columns=list(targets["target_id"])).assign(time_s=times)
    if kit.lie_on_the_head(targets) and len(targets) >= FEW_SENSORS:
        rows = numbers.melt("time_s", var_name="target_id", value_name="r").assign(significant=False)
        figure = kit.topomaps(rows, targets, label=responses.units)
        panel = kit.captioned("evoked", f"{title}, mean over trials", figure, numbers)
    else:
        strongest = np.sort(np.argsort(-np.abs(evoked).max(axis=1), kind="stable")[:FEW_SENSORS])
        figure = _courses(responses.select(targets=strongest))
        which = (
            f"the strongest {FEW_SENSORS} of {len(targets)} sensors" if len(targets) > FEW_SENSORS else "every sensor"
        )
        of = " of each category" * ("category" in responses.trials)
        panel = kit.captioned("evokedsensors", f"{title} at {which}", figure, numbers, id="evoked", of=of)
    after = times >= min(0.0, times[-1])
    top = int(np.where(after, strength, 0).argmax())
    p = kit.p_equals(_peak_p(responses.values, np.flatnonzero(kinds == first), after), 2)
    text = (
        f"Over {len(responses.trials):,} trials the mean response is largest at {1000 * times[top]:.0f} ms: "
        f"{strength[top]:.3g} {responses.units.split(',')[0]}, root mean square over sensors{f' ({first})' * several}; "
        f"p {p}, against the largest from onset on in {FLIPS} draws of signs of trials."
    )
    return kit.Section("evoked", title, [panel], [text])


def _peak_p(values: Values, sensors: Rows, after: NDArray[np.bool_]) -> float:
    """Compute p of the largest mean over trials; without a response a trial is as likely upside down."""
    signs = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.float32), (1 + FLIPS, len(values)))
    signs[0] = 1
    strength = np.zeros((1 + FLIPS, int(after.sum())))
    for sensor in sensors:  # all of them would need much memory
        strength += np.square(signs @ values[:, sensor, after], dtype=np.float64)
    largest = strength.max(axis=1)
    return float(permutation_test(largest[:1], largest[1:, None])[0])


def _courses(responses: Responses) -> Figure:
    """Draw the mean of every category at each sensor with its 95 % interval over trials; a panel per sensor."""
    assert responses.times is not None
    trials, targets = responses.trials, list(responses.targets["target_id"])
    of = trials["category"].astype(str) if "category" in trials else trials["trial_id"].map(lambda _: "all trials")
    of = of if of.nunique() <= len(kit.COLOURS) else of.map(lambda _: "all trials")
    x = 1000 * np.asarray(responses.times, dtype=float)
    figure, axes, _ = kit.panel_grid(len(targets), 2, (4.0, 2.3), margin=(0.0, 0.4))
    for colour, name in zip(kit.COLOURS, sorted(of.unique()), strict=False):
        values = np.asarray(responses.values[(of == name).to_numpy()], dtype=float)
        middle, dof = values.mean(axis=0), max(len(values) - 1, 1)
        error = stdtrit(dof, 0.975) * values.std(axis=0) / np.sqrt(dof)
        for k, ax in enumerate(axes):
            ax.fill_between(x, middle[k] - error[k], middle[k] + error[k], color=colour, alpha=0.25, linewidth=0)
            ax.plot(x, middle[k], color=colour, linewidth=1.3, label=kit.legend_name(f"{name} ({len(values):,})"))
    for ax, target in zip(axes, targets, strict=True):
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        kit.label_axes(ax, target, x="time from onset (ms)", y=responses.units, ticks="both")
    kit.share_axis(axes)
    return kit.legend_below(figure, axes[:1], 4)
