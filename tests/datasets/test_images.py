from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from refusals import refused

from brainalign.datasets import audit_images
from brainalign.datasets.formats import near_duplicates


def photograph(seed: int, size: int = 128) -> Image.Image:
    """Return a picture with structure at all scales, as natural images have."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size, 3))
    for cells in (4, 8, 16, 32):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float) * 8 / cells
    return Image.fromarray((255 * (total - total.min()) / np.ptp(total)).astype(np.uint8))


def scene(place=(30, 40), colour=(200, 30, 30), size=24, background=(120, 120, 120)) -> Image.Image:
    image = Image.new("RGB", (128, 128), background)
    x, y = place
    ImageDraw.Draw(image).ellipse((x, y, x + size, y + size), fill=colour)
    return image


def audited(folder, images, **options):
    rows = []
    for name, image in images.items():
        path = folder / (name if "." in name else f"{name}.png")
        if isinstance(image, bytes):
            path.write_bytes(image)
        elif image is not None:
            image.save(path)
        rows.append({"stimulus_id": name, "path": path})
    return audit_images(pd.DataFrame(rows), **options)


def pairs_of(audit, kind):
    rows = audit.pairs[audit.pairs["kind"] == kind]
    return {frozenset(pair) for pair in rows[["stimulus_a", "stimulus_b"]].to_numpy().tolist()}


def test_duplicates_and_near_duplicates_are_found_and_nothing_else(tmp_path) -> None:
    base = photograph(0)
    images = {f"photo{k}": photograph(k) for k in range(20)}
    images |= {
        "copy": base,
        "jpeg.jpg": base,
        "small": base.resize((64, 64)),
        "brighter": base.point(lambda value: value * 0.9 + 12),
        "grey": base.convert("L"),
    }
    audit = audited(tmp_path, images)
    assert pairs_of(audit, "duplicate") == {frozenset({"photo0", "copy"})}
    same = {"photo0", "copy", "jpeg.jpg", "small", "brighter"}
    expected = {frozenset({a, b}) for a in same for b in same if a != b} - {frozenset({"photo0", "copy"})}
    assert pairs_of(audit, "near-duplicate") == expected
    assert [problem.level for problem in audit.problems()] == ["warning", "warning"]
    assert "photo0 and copy" in str(audit.problems()[0])


def test_simple_scenes_that_differ_are_not_confused(tmp_path) -> None:
    images = {
        "base": scene(),
        "green": scene(colour=(30, 200, 30)),
        "moved": scene(place=(60, 40)),
        "larger": scene(size=40),
        "background": scene(background=(120, 90, 150)),
        "flat": Image.new("RGB", (128, 128), (200, 30, 30)),
        "flatgreen": Image.new("RGB", (128, 128), (30, 200, 30)),
    }
    assert audited(tmp_path, images).pairs.empty


def test_missing_and_unreadable_images_are_all_named(tmp_path) -> None:
    whole = tmp_path / "whole.png"
    photograph(1).save(whole)
    content = whole.read_bytes()
    images = {"good": photograph(2), "gone": None, "cut": content[: len(content) // 2], "text": b"<html>", "empty": b""}
    audit = audited(tmp_path, images)
    missing, unreadable = audit.problems()
    assert missing.rows == ("gone",)
    assert "1 of 5 images are missing: gone (" in str(missing)
    assert set(unreadable.rows) == {"cut", "text", "empty"}
    assert {missing.level, unreadable.level} == {"error"}
    assert audit.pairs.empty
    refused("no column 'path'", audit_images, pd.DataFrame({"stimulus_id": ["a"]}))


def test_pairs_are_met_among_ten_thousand_images() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (10_000, 4), dtype=np.uint64)
    thumbnails = rng.random((10_000, 16, 16, 3), dtype=np.float32)
    hashes[7_000], thumbnails[7_000] = hashes[12] ^ np.array([1, 2, 4, 8], dtype=np.uint64), thumbnails[12]
    hashes[9_999] = hashes[500]  # the same hash of another picture
    first, second, bits = near_duplicates(hashes, thumbnails)
    assert list(zip(first, second, bits, strict=True)) == [(12, 7_000, 4)]
