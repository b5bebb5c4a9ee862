"""Folders of volumes and surfaces: runs with a label each, and maps of trials with their masks and regions."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init.lab import CIFTI, Lab, named_texts, rows_of_events
from brainalign.io import MISSING, load_image_file, read_lines
from brainalign.study import header_step_s, table_column

A_GLM = "estimate a response per trial first, from derivatives of fMRIPrep (docs/pages/fmriprep.md) or by GLMsingle"


def describe_blocks(lab: Lab) -> dict[str, Any] | None:
    """Describe volumes of runs with a mask, and what was shown in each as labels or events."""
    bold, masks, regions = lab.volumes()
    of_regions = tuple(path.name.split(".")[0] for path in regions)  # whose names are no labels of volumes
    labels = [path for path in lab.ending(".txt") if "label" in path.stem and not path.name.startswith(of_regions)]
    tables = {path: path.with_name(f"{path.name.partition('_bold.nii')[0]}_events.tsv") for path in bold if not labels}
    bold = labs.of_task(lab, [path for path in bold if labels or tables[path] in lab.files])
    if not (masks and bold):
        return None
    if not labels:
        key, _, rows = rows_of_events(lab, [tables[path] for path in bold])
        if key and len({row.get("trial_type") for row in rows}) < 3 <= len({row[key[0]] for row in rows}):
            raise BrainalignError(f"{tables[bold[0]]}: {key[0]} names what was shown in each trial; {A_GLM}")
    step, known = header_step(lab.folder / bold[0])
    tr = lab.answer("fmri", f"repetition time in seconds ({known})", step)
    recordings: dict[str, Any] = {}
    people = labs.by_subject(bold)
    for name, of in people.items():
        what: dict[str, Any] = {"bold": [str(path) for path in of], "events": [str(tables.get(path)) for path in of]}
        if labels:
            what = {"bold": what["bold"] if of[1:] else str(of[0])}
            what["labels"] = str(labs.files_of_subject(name, labels, people)[0])
        recordings[name] = {"format": "nifti", **mask_and_regions(lab, name, people), **what}
    cells = [name for path in bold if not labels for name in table_column(lab.folder / tables[path], "trial_type")]
    if labels:
        cells = [line.split()[0] for line in read_lines(lab.folder / labels[0]) if line.strip()]
    rest = next((name for name in ("rest", "baseline", "fixation") if name in cells), "rest")
    names = [name for name in dict.fromkeys(cells) if name not in (rest, *MISSING)]
    images = {path.stem: str(path) for path in lab.ending(*labs.IMAGES)}
    shown = {name: {"path": images[name]} for name in names} if {*names} <= images.keys() else named_texts(lab, names)
    fmri = {"tr_s": float(tr), "space": "of the scanner", **({"rest": rest} if rest != "rest" else {})}
    return {"stimuli": shown, "recordings": recordings, "fmri": fmri, "splits": {"runs": {"leave_out": "run"}}}


def header_step(path: Path) -> tuple[str, str]:
    """Return the seconds from volume to volume, 2 where the header says none, and how far they are known."""
    import nibabel

    header: Any = nibabel.load(path).header
    if not hasattr(header, "get_zooms"):  # CIFTI
        return f"{header.get_axis(0).step:g}", "as the header says"
    zooms = header.get_zooms()
    seconds = header_step_s(zooms, header.get_xyzt_units()[1])
    if seconds is None:
        return "2", "the header says none"
    return f"{seconds:g}", "1 in a header may mean unknown" if zooms[3] == 1 else "as the header says"


def describe_maps(lab: Lab, name: str, of: list[Path], people: Collection[str]) -> dict[str, Any]:
    """Describe the maps of a person: surfaces, grayordinates or volumes, and the regions that lie in them."""
    labels, parcels = lab.ending(".label.gii"), lab.ending(".dlabel.nii")
    if of[0] in lab.ending(*labs.SURFACES):
        rois = {"rois": {side: paths[0] for side, paths in labs.hemispheres_of(labels).items()}} if labels else {}
        maps = {side: paths if len(paths) > 1 else paths[0] for side, paths in labs.hemispheres_of(of).items()}
        return {"betas": maps, **rois}
    betas: dict[str, Any] = {"betas": str(of[0]) if len(of) == 1 else [str(path) for path in of]}
    if of[0] in lab.ending(*CIFTI):
        return betas | ({"rois": {"areas": str(labs.files_of_subject(name, parcels, people)[0])}} if parcels else {})
    betas |= mask_and_regions(lab, name, people)
    known = "MNI152" if any("MNI" in part for part in of[0].parts) else "scanner"
    return betas | {"space": lab.answer("recordings", "space of the volumes: MNI152 or scanner", known)}


def mask_and_regions(lab: Lab, name: str, people: Collection[str]) -> dict[str, Any]:
    """Describe the mask of a person, and the regions inside it."""
    _, masks, regions = lab.volumes()
    masks, regions = (labs.files_of_subject(name, paths, people) if paths else [] for paths in (masks, regions))
    apart = [path for path in masks if "brain" not in path.name and not labs.PART.search(path.name)]
    if apart and masks[1:]:
        masks, parts = _mask_and_parts(lab, name, masks, apart)
        regions = [*parts, *regions]
    kind = re.compile(r"(?i)masks?|rois?|atlas|labels?|parcels?|sub-[a-z0-9]+|[^a-z0-9]")
    named = {kind.sub("", path.name.split(".")[0]) or "areas": str(path) for path in regions}
    found: dict[str, Any] = {"mask": str(masks[0])} if masks else {}
    return found | ({"rois": named} if named else {})


def _mask_and_parts(lab: Lab, name: str, masks: list[Path], apart: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part masks into the one around all others, written where none is, and those of regions inside it."""
    images = {path: load_image_file(lab.folder / path) for path in masks}
    inside = {path: np.asanyarray(image.dataobj) > 0 for path, image in images.items()}
    if len({of.shape for of in inside.values()}) > 1:
        return masks, []
    every = np.any([*inside.values()], axis=0)
    if whole := [path for path, of in inside.items() if (of == every).all()]:
        return whole, [path for path in apart if path != whole[0]]
    import nibabel

    joined = Path(f"sub-{name}_{labs.JOINED}_mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(every.astype("u1"), images[masks[0]].affine), lab.folder / joined)
    lab.written.add(joined)
    lab.remark("recordings", f"{joined} is all of {listed([*map(str, apart)])}")
    return [joined], apart
