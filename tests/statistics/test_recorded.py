"""Summaries of tables as they were, of small uneven data."""

from typing import Any

import numpy as np
import pandas as pd
from seeded.recorded import Record

from brainalign.statistics import summary

NAN = np.nan


def summaries() -> Any:
    rng = np.random.default_rng(22)
    cells = [(split, layer) for split in ("run", "stimulus") for layer in ("l2", "l1")]
    each = [pd.DataFrame({"fold": np.arange(21) // 3 + k, "correct": rng.random(21) < 0.5 + 0.1 * k}) for k in range(4)]
    columns = ["r", "ceiling", "r2_normalized", "q", "p_fwer"], ["accuracy", "share_good", "max_r"]
    targets = [pd.DataFrame(rng.random((6, 5)), columns=columns[0]) for _ in cells]
    targets = [table.assign(reliable=table["ceiling"] > 0.3) for table in targets]
    nulls = [pd.DataFrame(rng.random((9, 3)) / 2, columns=columns[1]).assign(permutation=range(9)) for _ in cells]
    pairs = [zip(some, cells, strict=True) for some in (targets, each, nulls)]
    joined = [pd.concat([table.assign(split=s, layer=x) for table, (s, x) in pair]) for pair in pairs]
    splits = {name: summary.SplitInfo(*one) for name, one in {
        "run": ("run", 0.2), "stimulus": ("stimulus", NAN), "few": ("run", 0.3)}.items()
    }  # fmt: skip
    limits = {"good_r": 0.4, "confidence": 0.8, "q": 0.5}
    rows = summary.summarize_encoding(summary.Encoding(*joined), splits, **limits)
    joined[0]["q"] = NAN
    bare = summary.Encoding(joined[0], joined[1], joined[2][:0])
    chance, split = [0.25] * 7 + [0.5] * 3, ["run"] * 7 + ["few"] * 3
    folds = pd.DataFrame({"accuracy": rng.random(10), "chance": chance, "split": split})
    one = summary.summarize_encoding(bare, splits | {"run": summary.SplitInfo("run", NAN)}, **limits)
    return (
        pd.DataFrame(rows), pd.DataFrame(one), pd.DataFrame(summary.summarize_over_layers(rows, joined[2])),
        summary.summarize_over_layers(rows[:1], joined[2]), summary.summarize_decoding(folds, splits, 0.7),
    )  # fmt: skip


def test_summaries_are_as_they_were(recorded: Record) -> None:
    recorded.check("summaries", summaries())
    near = pd.DataFrame({"accuracy": [1.0] * 6 + [0.5], "chance": 0.5, "split": "run"})
    assert summary.summarize_decoding(near, {"run": summary.SplitInfo("run", 0.2)}, 0.95)[0]["high"] == 1
