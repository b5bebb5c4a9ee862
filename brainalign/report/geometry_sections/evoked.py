"""What stimuli evoke: the mean over trials at every sensor, heads at its peaks, categories at few sensors."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.arrays import Responses
from brainalign.report import kit

FEW_SENSORS = 16  # below it colours between sensors would be mere interpolation
TO_95 = 1.96
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
    top = int(np.where(times >= 0, strength, 0).argmax())
    text = (
        f"Over {len(responses.trials):,} trials the mean response is largest at {1000 * times[top]:.0f} ms: "
        f"{strength[top]:.3g} {responses.units.split(',')[0]}, root mean square over sensors{f' ({first})' * several}."
    )
    return kit.Section("evoked", title, [panel], [text])


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
        middle, error = values.mean(axis=0), TO_95 * values.std(axis=0) / np.sqrt(max(len(values) - 1, 1))
        for k, ax in enumerate(axes):
            ax.fill_between(x, middle[k] - error[k], middle[k] + error[k], color=colour, alpha=0.25, linewidth=0)
            ax.plot(x, middle[k], color=colour, linewidth=1.3, label=kit.legend_name(f"{name} ({len(values):,})"))
    for ax, target in zip(axes, targets, strict=True):
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        kit.label_axes(ax, target, x="time from onset (ms)", y=responses.units, ticks="both")
    kit.share_axis(axes)
    kit.legend_below(figure, axes[:1], 4)
    return figure
