"""A small whole file for every reader, made on the spot, and how it is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import mne
import nibabel
import numpy as np
import pandas as pd
import torch
from nibabel.cifti2 import cifti2_axes as axes
from nibabel.freesurfer import write_annot
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable
from PIL import Image
from safetensors.numpy import save_file
from scipy.io import savemat

from brainalign.arrays import Responses
from brainalign.config import load_config
from brainalign.datasets import (
    audit_images,
    coco_captions,
    nsd_coco_ids,
    read_array,
    read_betas,
    read_epochs,
    read_images_table,
    read_muse,
    read_objects,
    read_rdm_study,
    read_table,
    read_task_table,
    read_things,
    read_trials,
    read_triplets,
    read_videos,
)
from brainalign.datasets.formats import (
    grayordinates,
    read_cifti,
    read_confounds,
    read_dlabel,
    read_labels,
    read_maps,
    read_surface_rois,
    read_volumes,
    vertex_table,
)
from brainalign.datasets.formats.bids import _timing
from brainalign.datasets.formats.region_series import _names
from brainalign.datasets.published import load_npy, read_sentences
from brainalign.datasets.published.cortical_maps import _read_column
from brainalign.datasets.published.nsd import _check_sessions, _read_ctab, _read_voxels
from brainalign.datasets.studies.triplets import _embedding
from brainalign.decoding import SharedSpace, TextDecoder, Trials
from brainalign.encoding import FactorizedReadout, RoutingEncoder
from brainalign.encoding.in_context import read_checkpoint
from brainalign.features import load_image
from brainalign.io import Provenance, artifact_path, load, open_writer, read_npy, read_npz, save
from brainalign.regression import NpyFile, read_state
from brainalign.study import Study, load_descriptor, parse, read_feature_norms, read_vectors

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)
VOXELS = RNG.normal(100, 9, size=(4, 3, 2, 6)).astype(np.float32)
PATTERN = RNG.normal(size=(5, 7)).astype(np.float32)
TABLE = pd.DataFrame(
    {"stimulus_id": ["a", "b", "c", "d"], "session": ["1", "1", "2", "2"], "onset": [0.5, 1.5, 2.0, 3.25], "n": "007"}
)


class Reader(NamedTuple):
    """How a sample is made in a folder and read from there.

    Attributes
    ----------
    damaged : str
        The file of the folder that is damaged.
    kind : str
        Words for what may be done to it: table, text, yaml, gzip, zip.
    checked : bool
        Whether the format itself tells any other value from what was written.
    """

    damaged: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    kind: str = ""
    checked: bool = False


def _table(name: str, **options: Any) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        if name.endswith("parquet"):
            TABLE.to_parquet(folder / name)
        else:
            TABLE.to_csv(folder / name, sep="," if name.endswith("csv") else "\t", index=False, **options)

    return make


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _arrays(name: str, **arrays: np.ndarray) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        if name.endswith("npz"):
            np.savez(folder / name, **arrays)
        else:
            save_file(arrays, folder / name)

    return make


def _image(name: str, values: np.ndarray = VOXELS) -> Callable[[Path], object]:
    kind = nibabel.MGHImage if ".mg" in name else nibabel.Nifti1Image
    return lambda folder: kind(values, np.eye(4)).to_filename(folder / name)


def _volumes_and_mask(folder: Path) -> None:
    _image("betas.nii.gz")(folder)
    _image("mask.nii.gz", (VOXELS[..., 0] > 95).astype(np.uint8))(folder)
    _text("trials.tsv", "stimulus_id\n" + "\n".join("abcabc") + "\n")(folder)


def _rates(folder: Path) -> None:
    _arrays("values.npz", rates=PATTERN)(folder)
    _text("trials.tsv", "stimulus_id\n" + "\n".join("abcab") + "\n")(folder)


def _maps(folder: Path) -> None:
    image = GiftiImage(darrays=[GiftiDataArray(row, datatype="NIFTI_TYPE_FLOAT32") for row in PATTERN])
    image.to_filename(folder / "lh.func.gii")


def _labels(folder: Path) -> None:
    table = GiftiLabelTable()
    for key, name in enumerate(("???", "V1", "V2")):
        label = GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    keys = GiftiDataArray(np.array([0, 1, 2, 1, 0, 2, 2], np.int32), "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    GiftiImage(labeltable=table, darrays=[keys]).to_filename(folder / "lh.label.gii")


def _annot(folder: Path) -> None:
    colours = np.array([[0, 0, 0, 0, 0], [255, 0, 0, 0, 0], [0, 255, 0, 0, 0]])
    write_annot(folder / "lh.annot", np.array([0, 1, 2, 1, 0]), colours, ["unknown", "V1", "V2"], fill_ctab=True)


def _brain() -> axes.BrainModelAxis:
    left = axes.BrainModelAxis.from_surface(np.arange(4), 6, "CortexLeft")
    return left + axes.BrainModelAxis.from_mask(np.ones((1, 1, 3)), name="thalamus_left", affine=np.eye(4))


def _cifti(folder: Path) -> None:
    header = nibabel.Cifti2Header.from_axes((axes.ScalarAxis([f"t{k}" for k in range(5)]), _brain()))
    nibabel.Cifti2Image(PATTERN, header).to_filename(folder / "maps.dscalar.nii")


def _dlabel(folder: Path) -> None:
    names = axes.LabelAxis(["areas"], [{0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("V2", (0, 1, 0, 1))}])
    header = nibabel.Cifti2Header.from_axes((names, _brain()))
    nibabel.Cifti2Image(np.array([[1, 1, 2, 0, 2, 0, 1]], np.float32), header).to_filename(folder / "areas.dlabel.nii")


def _surface(folder: Path) -> None:
    points = GiftiDataArray(RNG.normal(size=(7, 3)).astype(np.float32), "NIFTI_INTENT_POINTSET", "NIFTI_TYPE_FLOAT32")
    faces = GiftiDataArray(np.array([[0, 1, 2], [2, 3, 4]], np.int32), "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32")
    GiftiImage(darrays=[points, faces]).to_filename(folder / "lh.surf.gii")


def _pictures(extension: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        for condition in ("one", "two"):
            (folder / condition).mkdir()
            for frame in range(2):
                pixels = np.random.default_rng(frame).integers(0, 255, (9, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / condition / f"{frame}{extension}")

    return make


def _sentences(folder: Path) -> None:
    struct = np.zeros((1, 2), dtype=[("content", object), ("rawData", object)])
    for row, text in enumerate(("A film.", "He moved.")):
        struct[0, row]["content"], struct[0, row]["rawData"] = text, RNG.normal(size=(5, 40))
    savemat(folder / "results.mat", {"sentenceData": struct}, do_compression=True)


def _sentences_73(folder: Path) -> None:
    with h5py.File(folder / "results.mat", "w") as file:
        store, group = file.create_group("#refs#"), file.create_group("sentenceData")
        for field in ("content", "rawData"):
            table = group.create_dataset(field, (2, 1), dtype=h5py.ref_dtype)
            for row in range(2):
                text = np.frombuffer("A film.".encode("utf-16-le"), dtype=np.uint16)[:, None]
                table[row, 0] = store.create_dataset(f"{field}{row}", data=text if field == "content" else PATTERN).ref


def _things(folder: Path) -> None:
    n_voxels, n_trials = 8, 12
    voxels = pd.DataFrame({"voxel_id": np.arange(n_voxels), "nc_singletrial": 10.0, "V1": [0, 1] * 4})
    for axis in "xyz":
        voxels[f"voxel_{axis}"] = np.arange(n_voxels)
    voxels.to_csv(folder / "sub-01_VoxelMetadata.csv", index=False)
    trials = pd.DataFrame({"trial_type": ["test", "train", "train"] * 4, "session": np.repeat([1, 2], 6), "run": 1})
    trials["trial_id"], trials["stimulus"] = np.arange(n_trials), [f"thing{k if k % 3 else 0}.jpg" for k in range(12)]
    trials.to_csv(folder / "sub-01_StimulusMetadata.csv", index=False)
    with h5py.File(folder / "sub-01_ResponseData.h5", "w") as file:
        group = file.create_group("ResponseData")
        group["block0_values"] = np.random.default_rng(0).normal(size=(n_voxels, n_trials))
        group["block1_values"] = np.arange(n_voxels)[:, None]


def _read_things(folder: Path) -> object:
    found = read_things(folder, "01", standardize="none", bad_targets="keep")
    return found.responses, found.splits


def _session(folder: Path) -> None:
    with h5py.File(folder / "betas_session01.hdf5", "w") as file:
        values = np.random.default_rng(0).integers(-2000, 2000, (750, 2, 2, 2), dtype=np.int16)
        file.create_dataset("betas", data=values, chunks=(750, 1, 1, 1), compression="gzip")


def _read_session(folder: Path) -> object:
    path, out = folder / "betas_session01.hdf5", np.empty((750, 8), dtype=np.int16)
    _check_sessions({1: path}, (2, 2, 2), 1)
    _read_voxels(path, np.argwhere(np.ones((2, 2, 2))), out)
    return out


def _epochs(folder: Path) -> None:
    info = mne.create_info([f"EEG{k}" for k in range(3)], 100.0, "eeg", verbose="error")
    metadata = pd.DataFrame({"stimulus_id": ["a", "b", "a", "b"]})
    values = 1e-6 * np.random.default_rng(0).normal(size=(4, 3, 20))
    mne.EpochsArray(values, info, metadata=metadata, verbose="error").save(folder / "s-epo.fif", verbose="error")


def _muse(folder: Path) -> None:
    table = pd.DataFrame({"timestamps": np.arange(64) / 256})
    for name in ("TP9", "AF7", "AF8", "TP10"):
        table[name] = np.random.default_rng(0).normal(size=64).round(3)
    table["Marker0"] = [1 if k % 16 == 3 else 0 for k in range(64)]
    table.to_csv(folder / "recording.csv", index=False)


def _read_muse(folder: Path) -> object:
    raw, events = read_muse(folder / "recording.csv", {"1": "face"})
    return raw.get_data(), events


def _rdm_study(folder: Path) -> None:
    pd.DataFrame({"stimulus_id": list("abcd"), "category": "x"}).to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    save_file({"humans": RNG.random((2, 1, 6))}, folder / "sets.safetensors")


def _read_rdm_study(folder: Path) -> object:
    recorded = {"humans": {"format": "rdms", "file": "sets.safetensors"}}
    content = {"name": "mine", "folder": folder, "stimuli": "stimuli.tsv", "recordings": recorded}
    found = read_rdm_study(parse(Study, content, "fuzz"))
    return found.stimuli, found.sets


def _trials(shape: tuple[int, ...]) -> Trials:
    rng = np.random.default_rng(0)
    meta = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(24)], "subject": ["s1", "s2"] * 12, "task": "x"})
    return Trials(rng.normal(size=(24, *shape)).astype(np.float32), rng.normal(size=(24, 3)), meta)


def _space(folder: Path) -> None:
    SharedSpace(steps=1, width=8, device="cpu").fit({"fmri": _trials((6,))}).save(folder / "space.safetensors")


def _decoder(folder: Path) -> None:
    decoder = TextDecoder(encoder="tiny", n_epochs=1, batch_size=12, device="cpu").fit(_trials((4, 32)))
    decoder.save(folder / "decoder.safetensors")


def _checkpoint(folder: Path) -> None:
    save_file({"w": PATTERN}, folder / "network.safetensors")
    _text("network.json", json.dumps({"n_features": 3, "losses": [1.0, 0.5]}))(folder)


def _readout(folder: Path) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(24, 4, 5)), rng.normal(size=(24, 3))
    FactorizedReadout(epochs=1, batch_size=8, device="cpu").fit(X, Y, grid=(2, 2)).save(folder / "saved")


def _routing(folder: Path) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(24, 4, 5)), rng.normal(size=(24, 3))
    encoder = RoutingEncoder(d_model=4, validation=0.2, epochs=1, device="cpu")
    encoder.fit(X, Y, grid=(2, 2), roi=np.array(["V1", "V1", "V2"])).save(folder / "saved")


def _state(folder: Path) -> None:
    torch.save({"network": {"w": torch.from_numpy(PATTERN)}, "history": [(1.0, 2.0)]}, folder / "state.pt")


def _responses(folder: Path) -> None:
    trials = pd.DataFrame({"trial_id": ["t0", "t1"], "stimulus_id": ["a", "b"], "session": "1", "run": "1"})
    targets = pd.DataFrame({"target_id": ["v0"], "kind": "voxel", "hemi": "L", "roi": [["V1"]]})
    values = np.array([[1.0], [2.0]], dtype=np.float32)
    content = Responses(values, trials.assign(repeat=1, onset_s=0.5), targets, "z")
    save(_artifact(folder, "responses"), content, Provenance("s", {}, "d"))


def _artifact(folder: Path, suffix: str) -> Path:
    path = artifact_path("", "d", suffix, subject="1")
    return folder / path.name


def _stream(folder: Path) -> None:
    stimuli = pd.DataFrame({"stimulus_id": list("abcde")})
    writer = open_writer(folder / "model-m_features.safetensors", stimuli, Provenance("s", {}, "d"))
    writer.write(np.arange(4), {"layer": PATTERN[:4]})


def _read_stream(folder: Path) -> object:
    """Finish what was cut short: rows are copied or computed again, and must be those that were planned."""
    stimuli = pd.DataFrame({"stimulus_id": list("abcde")})
    path = folder / "model-m_features.safetensors"
    writer = open_writer(path, stimuli, Provenance("s", {}, "d"))
    writer.write(writer.pending, {"layer": PATTERN[writer.pending]})
    writer.close()
    values = {name: layer.values for name, layer in load(path, dict).items()}
    for file in folder.iterdir():
        if file.name.startswith(".previous") or "model-m" in file.name:
            file.unlink()
    _stream(folder)
    return values


def _descriptor(folder: Path) -> None:
    (folder / "study.yaml").write_text((ROOT / "data" / "haxby-slice.yaml").read_text())


def _config(folder: Path) -> None:
    (folder / "run.yaml").write_text((ROOT / "snakemake" / "config" / "demo.yaml").read_text())


CAPTIONS = json.dumps({"annotations": [{"image_id": k, "caption": f"a dog {k}"} for k in range(5)]})
NSD_TABLE = Path("nsddata/experiments/nsd/nsd_stim_info_merged.csv")
NORMS = "word,size,warm\ndog,1.5,3\nsun,9.0,7\nice,2.5,0\n"
CONFOUNDS = "trans_x\trot_x\tcsf\nn/a\t0.1\t4.5\n0.25\t0.0\t4.75\n0.5\t0.125\t5.0\n"
IMAGES = "stimulus_id\tpath\tcategory\na\ta.png\tdog\nb\tb.png\tcat\n"


def _coco_ids(folder: Path) -> None:
    (folder / NSD_TABLE).parent.mkdir(parents=True)
    (folder / NSD_TABLE).write_text("id,cocoId,nsdId\n0,532481,0\n1,245764,1\n2,385029,2\n")


READERS = {
    "table .tsv": Reader("t.tsv", _table("t.tsv"), lambda f: read_table(f / "t.tsv"), "table"),
    "table .csv": Reader("t.csv", _table("t.csv"), lambda f: read_table(f / "t.csv"), "table"),
    "table .parquet": Reader("t.parquet", _table("t.parquet"), lambda f: read_table(f / "t.parquet")),
    "trials": Reader("t.tsv", _table("t.tsv"), lambda f: read_trials(f / "t.tsv"), "table"),
    "table of images": Reader(
        "i.tsv", _text("i.tsv", IMAGES), lambda f: _local(read_images_table(f / "i.tsv")), "table"
    ),
    "labels of volumes": Reader(
        "l.txt", _text("l.txt", "face 1\nrest 1\nhouse 2\n"), lambda f: read_labels(f / "l.txt"), "text"
    ),
    "volumes .nii": Reader("b.nii", _image("b.nii"), lambda f: read_volumes(f / "b.nii")),
    "volumes .nii.gz": Reader("b.nii.gz", _image("b.nii.gz"), lambda f: read_volumes(f / "b.nii.gz"), "gzip", True),
    "volumes .mgz": Reader("b.mgz", _image("b.mgz"), lambda f: read_volumes(f / "b.mgz"), "gzip", True),
    "betas of a volume": Reader(
        "betas.nii.gz",
        _volumes_and_mask,
        lambda f: read_betas(f / "betas.nii.gz", f / "trials.tsv", mask=f / "mask.nii.gz", standardize="none").values,
        "gzip",
        True,
    ),
    "surface maps .gii": Reader("lh.func.gii", _maps, lambda f: read_maps(f / "lh.func.gii", "L"), "text"),
    "surface maps .mgh": Reader("b.mgh", _image("b.mgh"), lambda f: read_maps(f / "b.mgh", "L")),
    "surface labels .gii": Reader(
        "lh.label.gii", _labels, lambda f: read_surface_rois(f / "lh.label.gii", "L", 7), "text"
    ),
    "surface labels .annot": Reader("lh.annot", _annot, lambda f: read_surface_rois(f / "lh.annot", "L", 5)),
    "surface .gii": Reader(
        "lh.surf.gii", _surface, lambda f: vertex_table("L", 7, "native", f / "lh.surf.gii"), "text"
    ),
    "maps .dscalar.nii": Reader("maps.dscalar.nii", _cifti, lambda f: read_cifti([f / "maps.dscalar.nii"], {}, {})),
    "labels .dlabel.nii": Reader(
        "areas.dlabel.nii", _dlabel, lambda f: read_dlabel(f / "areas.dlabel.nii", grayordinates(_brain(), {}))
    ),
    "column of numbers": Reader(
        "m.csv", _text("m.csv", "1.5\n2.25\n0\n"), lambda f: _read_column(f / "m.csv", 3), "text"
    ),
    "array .npy": Reader("a.npy", lambda f: np.save(f / "a.npy", PATTERN), lambda f: load_npy(f / "a.npy", 2, "")),
    "array .npy, whole": Reader("a.npy", lambda f: np.save(f / "a.npy", PATTERN), lambda f: read_npy(f / "a.npy")),
    "array .npy, pieces": Reader(
        "a.npy", lambda f: np.save(f / "a.npy", PATTERN), lambda f: NpyFile.open("X", f / "a.npy").read()
    ),
    "arrays .npz": Reader(
        "a.npz", _arrays("a.npz", x=PATTERN, y=np.arange(3)), lambda f: read_npz(f / "a.npz"), "zip", True
    ),
    "responses .npz": Reader(
        "values.npz",
        _rates,
        lambda f: read_array(f / "values.npz", f / "trials.tsv", key="rates", standardize="none").values,
        "zip",
        True,
    ),
    "vectors .npz": Reader(
        "a.npz",
        _arrays("a.npz", early=PATTERN, stimulus_id=np.array([f"s{k}" for k in range(len(PATTERN))])),
        lambda f: read_vectors(f / "a.npz").layers,
        "zip",
        True,
    ),
    "videos .npz": Reader(
        "v.npz",
        _arrays("v.npz", frames=RNG.random((2, 3, 4)), visible=np.array([[1, 0, 1], [1, 1, 1]])),
        lambda f: read_videos(f / "v.npz"),
        "zip",
        True,
    ),
    "videos .safetensors": Reader(
        "v.safetensors",
        _arrays("v.safetensors", frames=RNG.random((2, 3, 4))),
        lambda f: read_videos(f / "v.safetensors"),
    ),
    "videos, folders of .png": Reader("two/1.png", _pictures(".png"), lambda f: read_videos(f), "", True),
    "image .png": Reader("two/1.png", _pictures(".png"), lambda f: load_image(f / "two/1.png"), "", True),
    "image .jpg": Reader("two/1.jpg", _pictures(".jpg"), lambda f: load_image(f / "two/1.jpg")),
    "image .bmp": Reader("two/1.bmp", _pictures(".bmp"), lambda f: load_image(f / "two/1.bmp")),
    "image .tif": Reader("two/1.tif", _pictures(".tif"), lambda f: load_image(f / "two/1.tif")),
    "audit of images": Reader("two/1.png", _pictures(".png"), lambda f: _audit(f)),
    "captions of COCO": Reader(
        "c.json",
        _text("c.json", CAPTIONS),
        lambda f: coco_captions([f / "c.json"], {str(k): k for k in range(5)}),
        "text",
    ),
    "ids of COCO": Reader(str(NSD_TABLE), _coco_ids, lambda f: nsd_coco_ids(f), "table"),
    "feature norms": Reader("n.csv", _text("n.csv", NORMS), lambda f: read_feature_norms(f / "n.csv"), "table"),
    "triplets": Reader("t.txt", _text("t.txt", "0 1 2\n1 2 3\n0 2 3\n"), lambda f: read_triplets(f / "t.txt"), "text"),
    "objects, lines": Reader(
        "o.txt", _text("o.txt", "dog\nhot_dog\nbat1\n"), lambda f: read_objects(f / "o.txt"), "text"
    ),
    "objects, table": Reader("t.csv", _table("t.csv"), lambda f: read_objects(f / "t.csv"), "table"),
    "embedding": Reader("e.txt", _text("e.txt", "1.5 2\n3 4\n5 6\n"), lambda f: _embedding(f / "e.txt", 3), "text"),
    "study of RDMs, stimuli": Reader("stimuli.tsv", _rdm_study, _read_rdm_study, "table"),
    "study of RDMs, sets": Reader("sets.safetensors", _rdm_study, _read_rdm_study),
    "sentences .mat 5": Reader("results.mat", _sentences, lambda f: list(read_sentences(f / "results.mat"))),
    "sentences .mat 7.3": Reader("results.mat", _sentences_73, lambda f: list(read_sentences(f / "results.mat"))),
    "THINGS, voxels": Reader("sub-01_VoxelMetadata.csv", _things, _read_things, "table"),
    "THINGS, trials": Reader("sub-01_StimulusMetadata.csv", _things, _read_things, "table"),
    "THINGS, betas": Reader("sub-01_ResponseData.h5", _things, _read_things),
    "NSD, session": Reader("betas_session01.hdf5", _session, _read_session),
    "NSD, colour table": Reader(
        "r.ctab", _text("r.ctab", "0 Unknown\n1 V1v 255 0 0\n2 V1d\n"), lambda f: _read_ctab(f / "r.ctab"), "text"
    ),
    "epochs .fif": Reader("s-epo.fif", _epochs, lambda f: read_epochs(f / "s-epo.fif", picks="eeg")),
    "recording of a Muse": Reader("recording.csv", _muse, _read_muse, "table"),
    "confounds": Reader(
        "c.tsv", _text("c.tsv", CONFOUNDS), lambda f: read_confounds(f / "c.tsv", ["trans_*", "csf"]), "table"
    ),
    "timing .json": Reader(
        "task-x_bold.json",
        _text("task-x_bold.json", '{"RepetitionTime": 2.5, "StartTime": 0.5}'),
        lambda f: _timing(f / "sub-1_task-x_bold.nii.gz", f / "none", f),
        "text",
    ),
    "names of regions": Reader(
        "r.tsv", _text("r.tsv", "index\tname\n1\tV1\n2\tV2\n"), lambda f: _names(f / "r.tsv", np.array([1, 2])), "table"
    ),
    "table of sentences": Reader(
        "s.csv",
        _text("s.csv", "sentence;label\nA film.;1\nHe moved.;0\n"),
        lambda f: read_task_table(f / "s.csv"),
        "table",
    ),
    "descriptor": Reader(
        "study.yaml",
        _descriptor,
        lambda f: load_descriptor(f / "study.yaml").model_dump(exclude={"folder", "file"}),
        "yaml",
    ),
    "configuration": Reader("run.yaml", _config, lambda f: load_config(f / "run.yaml").model_dump(), "yaml"),
    "artifact, sidecar": Reader(
        "sub-1_responses.json", _responses, lambda f: load(_artifact(f, "responses"), Responses), "text", True
    ),
    "artifact, arrays": Reader(
        "sub-1_responses.safetensors", _responses, lambda f: load(_artifact(f, "responses"), Responses), "", True
    ),
    "artifact, table": Reader(
        "sub-1_responses_trials.parquet", _responses, lambda f: load(_artifact(f, "responses"), Responses), "", True
    ),
    "stream, rows": Reader("model-m_features.safetensors.partial", _stream, _read_stream, "", True),
    "stream, marks": Reader("model-m_features.safetensors.partial.rows", _stream, _read_stream, "", True),
    "stream, record": Reader("model-m_features.safetensors.partial.json", _stream, _read_stream, "text", True),
    "state of a training": Reader("state.pt", _state, lambda f: read_state(f / "state.pt") or _whole(), "zip", True),
    "shared space": Reader("space.safetensors", _space, lambda f: _loaded_space(f / "space.safetensors")),
    "text decoder": Reader("decoder.safetensors", _decoder, lambda f: _loaded_decoder(f / "decoder.safetensors")),
    "in-context encoder": Reader(
        "network.safetensors", _checkpoint, lambda f: read_checkpoint(f / "network.safetensors")
    ),
    "in-context description": Reader(
        "network.json", _checkpoint, lambda f: read_checkpoint(f / "network.safetensors"), "text"
    ),
    "read-out, options": Reader("saved/encoder.json", _readout, lambda f: _fitted(FactorizedReadout, f), "text"),
    "read-out, weights": Reader("saved/encoder.safetensors", _readout, lambda f: _fitted(FactorizedReadout, f)),
    "routing, options": Reader("saved/encoder.json", _routing, lambda f: _fitted(RoutingEncoder, f), "text"),
    "routing, weights": Reader("saved/encoder.safetensors", _routing, lambda f: _fitted(RoutingEncoder, f)),
}


def _local(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without its folder; one whose damage took the column of paths is a table of texts."""
    return table.assign(path=[Path(path).name for path in table["path"]]) if "path" in table else table


def _audit(folder: Path) -> object:
    paths = sorted(folder.rglob("*.png"))
    return audit_images(pd.DataFrame({"stimulus_id": ["a", "b", "c", "d"], "path": [str(path) for path in paths]}))


def _whole() -> object:
    """Return what a training that begins afresh comes to."""
    return {"network": {"w": torch.from_numpy(PATTERN)}, "history": [(1.0, 2.0)]}


def _loaded_space(path: Path) -> object:
    space = SharedSpace.load(path)
    scales = {name: (scale.names, scale.mean, scale.deviation) for name, scale in space.scales_.items()}
    paths = {name: (path.weights, path.intercepts) for name, path in space.linear_.items()}
    return space.blend_, scales, paths, space.network_.state_dict()


def _loaded_decoder(path: Path) -> object:
    decoder = TextDecoder.load(path, device="cpu")
    return vars(decoder) | {"network_": decoder.network_.state_dict()}


def _fitted(kind: Any, folder: Path) -> object:
    return kind.load(folder / "saved").predict(np.ones((2, 4, 5)))
